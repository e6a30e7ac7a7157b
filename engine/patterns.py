"""Patterns in closed candles: shapes of the last bar or two, and formations of swing points.

Levels are told apart in average true ranges, so that one rule serves every timeframe. Nothing
here trades; what a pattern is worth is for a backtest to say.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from engine.candle import Candle
from engine.errors import BadInput
from engine.strategies.indicators import Atr, atr

ATR_LENGTH = 14.0
# Formations are looked for among so many last bars, and need so many.
BARS_MAX = 120
BARS_MIN = 30

# A body below this share of the bar's range is none.
DOJI_BODY = 0.1
# A hammer's long shadow is at least so many bodies, its short one at most this share of the range.
SHADOW_BODIES = 2.0
SHORT_SHADOW = 0.1
# A hammer comes after a fall, a shooting star after a rise, over so many bars.
BEFORE_BARS = 5

# A swing point is beyond so many bars on either side of it.
SWING_BARS = 3
# Two tops are of one level within half a true range, at least 8 bars apart, with a valley of three.
LEVEL_RANGES = 0.5
VALLEY_RANGES = 3.0
APART_BARS = 8
# A formation whose last touch is older is history.
FRESH_BARS = 40


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern that ends with the last candle.

    `bias` is +1 where it is read as bullish, -1 bearish, 0 undecided. A formation has the
    `level` (in price) a close must pass, and is `confirmed` once one has; a shape of single
    bars has the level 0 and is whole as it stands. `ts` is the open of its first bar.
    """

    name: str
    bias: int
    ts: int
    level: float = 0.0
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class Swing:
    index: int
    price: float


def body(bar: Candle) -> float:
    return abs(bar.close - bar.open)


def upper_shadow(bar: Candle) -> float:
    return bar.high - max(bar.open, bar.close)


def lower_shadow(bar: Candle) -> float:
    return min(bar.open, bar.close) - bar.low


def bullish_engulfing(before: Candle, bar: Candle) -> bool:
    """A rising body that covers the falling one before it; where bars open at the last close,
    as on Bybit, it is enough to share that edge."""
    turned = before.close < before.open and bar.close > bar.open
    covers = bar.open <= before.close and bar.close >= before.open
    return turned and covers and body(bar) > body(before)


def bearish_engulfing(before: Candle, bar: Candle) -> bool:
    """A falling body that covers the rising one before it."""
    return bullish_engulfing(mirrored(before), mirrored(bar))


def doji(bar: Candle) -> bool:
    """A bar with a range and hardly a body: below a tenth of it."""
    return body(bar) < DOJI_BODY * (bar.high - bar.low)


def hammer(bar: Candle) -> bool:
    """A small body at the top of a long lower shadow: at least twice the body, with next to no
    upper shadow. A doji is none."""
    span = bar.high - bar.low
    long = lower_shadow(bar) >= SHADOW_BODIES * body(bar)
    return span > 0.0 and not doji(bar) and long and upper_shadow(bar) <= SHORT_SHADOW * span


def shooting_star(bar: Candle) -> bool:
    """A small body at the foot of a long upper shadow: a hammer turned over."""
    return hammer(mirrored(bar))


def mirrored(bar: Candle) -> Candle:
    """The bar turned over, so that tops are bottoms; its prices are below zero."""
    return Candle(bar.ts, -bar.open, -bar.low, -bar.high, -bar.close, bar.volume)


def patterns(candles: Sequence[Candle]) -> list[Pattern]:
    """Every pattern at the end of these closed candles, oldest first; the last 120 count.

    Raises BadInput below 30 candles.
    """
    if len(candles) < BARS_MIN:
        raise BadInput("candles", len(candles), f"at least {BARS_MIN} closed bars")
    bars = candles[-BARS_MAX:]
    return [*_shapes(bars), *_formations(bars)]


def swing_highs(bars: Sequence[Candle]) -> list[Swing]:
    """The bars whose high stands above those of three bars on either side; of equal highs the
    first."""
    found = []
    for index in range(SWING_BARS, len(bars) - SWING_BARS):
        high = bars[index].high
        before = max(bar.high for bar in bars[index - SWING_BARS : index])
        after = max(bar.high for bar in bars[index + 1 : index + 1 + SWING_BARS])
        if high > before and high >= after:
            found.append(Swing(index, high))
    return found


def double_top(bars: Sequence[Candle], atr_value: float) -> Pattern | None:
    """Two swing highs of one level with a valley between and nothing higher since, after a rise
    from below the valley: the latest such pair. The level to pass is the valley's low."""
    pairs = [pair for pair in combinations(swing_highs(bars), 2) if _fresh(bars, pair[1])]
    for first, second in sorted(pairs, key=lambda pair: pair[1].index, reverse=True):
        valley = min(bar.low for bar in bars[first.index : second.index + 1])
        lower, upper = sorted((first.price, second.price))
        if (
            second.index - first.index >= APART_BARS
            and upper - lower <= LEVEL_RANGES * atr_value
            and lower - valley >= VALLEY_RANGES * atr_value
            and any(bar.low < valley for bar in bars[: first.index])
            and max(bar.high for bar in bars[first.index :]) <= upper
        ):
            broken = any(bar.close < valley for bar in bars[second.index :])
            return Pattern("double top", -1, bars[first.index].ts, valley, broken)
    return None


def ascending_triangle(bars: Sequence[Candle], atr_value: float) -> Pattern | None:
    """A flat top that swing highs touch at least twice, over swing lows that rise from the first
    touch on. The level to pass is the top."""
    highs = swing_highs(bars)
    top = max((swing.price for swing in highs), default=0.0)
    touches = [swing for swing in highs if top - swing.price <= LEVEL_RANGES * atr_value]
    if not touches or touches[-1].index - touches[0].index < APART_BARS:
        return None
    lows = [
        -swing.price
        for swing in swing_highs([mirrored(bar) for bar in bars])
        if swing.index > touches[0].index
    ]
    rising = all(earlier < later for earlier, later in pairwise(lows))
    if len(lows) < 2 or not rising or lows[-1] - lows[0] < LEVEL_RANGES * atr_value:
        return None
    if bars[-1].close < lows[-1] or not _fresh(bars, touches[-1]):
        return None
    broken = any(bar.close > top for bar in bars[touches[-1].index :])
    return Pattern("ascending triangle", 1, bars[touches[0].index].ts, top, broken)


def _fresh(bars: Sequence[Candle], swing: Swing) -> bool:
    return swing.index >= len(bars) - FRESH_BARS


def _shapes(bars: Sequence[Candle]) -> Iterator[Pattern]:
    before, bar = bars[-2:]
    change = before.close - bars[-2 - BEFORE_BARS].close
    shapes = (
        ("bullish engulfing", 1, before.ts, bullish_engulfing(before, bar)),
        ("bearish engulfing", -1, before.ts, bearish_engulfing(before, bar)),
        ("doji", 0, bar.ts, doji(bar)),
        ("hammer", 1, bar.ts, hammer(bar) and change < 0.0),
        ("shooting star", -1, bar.ts, shooting_star(bar) and change > 0.0),
    )
    return (Pattern(name, bias, ts) for name, bias, ts, holds in shapes if holds)


FORMATIONS: tuple[tuple[Callable[[Sequence[Candle], float], Pattern | None], str], ...] = (
    (double_top, "double bottom"),
    (ascending_triangle, "descending triangle"),
)


def _formations(bars: Sequence[Candle]) -> Iterator[Pattern]:
    ranges = Atr()
    for bar in bars:
        ranges = atr(ranges, bar.high, bar.low, bar.close, ATR_LENGTH)
    over = [mirrored(bar) for bar in bars]
    for find, counterpart in FORMATIONS:
        upright, turned = find(bars, ranges.value), find(over, ranges.value)
        if upright is not None:
            yield upright
        if turned is not None:
            yield Pattern(counterpart, -turned.bias, turned.ts, -turned.level, turned.confirmed)
