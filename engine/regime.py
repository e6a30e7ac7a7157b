"""What kind of market the last candles show: one of eight regimes, with the numbers it rests on."""

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.candle import Candle
from engine.errors import BadInput
from engine.strategies.indicators import (
    Adx,
    Atr,
    Bollinger,
    Percentile,
    adx,
    atr,
    bollinger,
    ema,
    percentile,
)

AVERAGE = 200.0
LENGTH = 14.0
BANDS = 20.0
SIGMAS = 2.0
HISTORY = 90.0
BARS = int(AVERAGE)

# A close this near to the average, as a fraction of it, has no side.
NEUTRAL = 0.01
# Wilder's own limits: above the one there is a trend, below the other there is none.
ADX_STRONG = 25.0
ADX_WEAK = 20.0
# Shares of the last 90 bars that were narrower, and calmer, than this one.
SQUEEZED = 0.2
VOLATILE = 0.9
# A close beyond the bands is a breakout for as many bars after a squeeze.
BREAKOUT_BARS = 5
# The percentiles need no older bars than these.
RECENT_BARS = int(BANDS + HISTORY) + BREAKOUT_BARS


class Kind(StrEnum):
    BREAKOUT = "breakout"
    STRONG_UPTREND = "strong uptrend"
    STRONG_DOWNTREND = "strong downtrend"
    CALM = "calm"
    VOLATILE = "volatile"
    WEAK_UPTREND = "weak uptrend"
    WEAK_DOWNTREND = "weak downtrend"
    RANGING = "ranging"


@dataclass(frozen=True, slots=True)
class Readings:
    """What a regime is told by, after the bar that opened at `ts` (UTC ms).

    `average` is the EMA 200; `adx`, `plus` and `minus` are Wilder's of 14 bars, 0 to 100;
    `bandwidth` that of the Bollinger bands (20, 2) and `atr` the average true range of 14 bars,
    both as fractions of the price, with their percentiles among the last 90 bars. `beyond` is +1
    or -1 for a close above or below the bands, `squeezed` whether they were narrow just before.
    """

    ts: int
    close: float
    average: float
    adx: float
    plus: float
    minus: float
    bandwidth: float
    bandwidth_percentile: float
    atr: float
    atr_percentile: float
    beyond: int
    squeezed: bool

    @property
    def distance(self) -> float:
        """How far the close stands from the average, as a fraction of it."""
        return self.close / self.average - 1.0

    @property
    def side(self) -> int:
        """+1 above the average, -1 below it, 0 within 1 % of it."""
        if abs(self.distance) <= NEUTRAL:
            return 0
        return 1 if self.distance > 0.0 else -1

    @property
    def strong(self) -> bool:
        """Whether the trend on this side of the average is a strong one."""
        return self.adx >= ADX_STRONG and (self.plus - self.minus) * self.side > 0.0


@dataclass(frozen=True, slots=True)
class Regime:
    kind: Kind
    readings: Readings


# Read top to bottom: the first that holds is the regime.
RULES: tuple[tuple[Kind, Callable[[Readings], bool]], ...] = (
    (Kind.BREAKOUT, lambda found: found.squeezed and found.beyond != 0),
    (Kind.STRONG_UPTREND, lambda found: found.strong and found.side > 0),
    (Kind.STRONG_DOWNTREND, lambda found: found.strong and found.side < 0),
    (Kind.CALM, lambda found: found.bandwidth_percentile < SQUEEZED),
    (Kind.VOLATILE, lambda found: found.atr_percentile >= VOLATILE),
    (Kind.WEAK_UPTREND, lambda found: found.side > 0 and found.adx >= ADX_WEAK),
    (Kind.WEAK_DOWNTREND, lambda found: found.side < 0 and found.adx >= ADX_WEAK),
)


def regime(candles: Sequence[Candle]) -> Regime:
    """The regime after the last of these closed candles, oldest first.

    A few hundred more than 200 let the EMA forget where it began. Raises BadInput below 200.
    """
    if len(candles) < BARS:
        raise BadInput("candles", len(candles), f"at least {BARS} closed bars")
    readings = _readings(candles)
    return Regime(kind(readings), readings)


def kind(readings: Readings) -> Kind:
    """The name for these readings; ranging where no rule holds."""
    return next((name for name, holds in RULES if holds(readings)), Kind.RANGING)


def _readings(candles: Sequence[Candle]) -> Readings:
    average, trend, ranges, bands = 0.0, Adx(), Atr(), Bollinger()
    widths, spreads = Percentile(), Percentile()
    closes, narrow, calm = (array("d", bytes(8 * int(size))) for size in (BANDS, HISTORY, HISTORY))
    squeezes = deque[bool](maxlen=BREAKOUT_BARS + 1)
    for count, bar in enumerate(candles, start=1):
        average = ema(average, bar.close, float(count), AVERAGE)
        trend = adx(trend, bar.high, bar.low, bar.close, LENGTH)
        ranges = atr(ranges, bar.high, bar.low, bar.close, LENGTH)
        if count <= len(candles) - RECENT_BARS:
            continue
        bands = bollinger(bands, closes, 0, bar.close, BANDS, SIGMAS)
        if bands.bars >= BANDS:
            widths = percentile(widths, narrow, 0, bands.bandwidth, HISTORY)
            spreads = percentile(spreads, calm, 0, ranges.value / bar.close, HISTORY)
            squeezes.append(widths.value < SQUEEZED)
    last = candles[-1]
    return Readings(
        ts=last.ts,
        close=last.close,
        average=average,
        adx=trend.value,
        plus=trend.plus,
        minus=trend.minus,
        bandwidth=bands.bandwidth,
        bandwidth_percentile=widths.value,
        atr=ranges.value / last.close,
        atr_percentile=spreads.value,
        beyond=int(last.close > bands.upper) - int(last.close < bands.lower),
        squeezed=any(list(squeezes)[:-1]),
    )
