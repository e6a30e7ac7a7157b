"""The eight regimes: by their readings, and from candles that were made to show them."""

from dataclasses import replace
from itertools import accumulate
from random import Random
from statistics import fmean, pstdev

import pytest

from engine.candle import HOUR_MS, Candle
from engine.errors import BadInput
from engine.regime import BARS, Kind, Readings, kind, regime

PLAIN = Readings(
    ts=0,
    close=100.0,
    average=100.0,
    adx=15.0,
    plus=20.0,
    minus=20.0,
    bandwidth=0.03,
    bandwidth_percentile=0.5,
    atr=0.01,
    atr_percentile=0.5,
    beyond=0,
    squeezed=False,
)
UP = replace(PLAIN, close=102.0, adx=30.0, plus=30.0, minus=10.0)
DOWN = replace(PLAIN, close=98.0, adx=30.0, plus=10.0, minus=30.0)
BREAK = replace(UP, squeezed=True, beyond=1)

TOLD = {
    "nothing in particular": (PLAIN, Kind.RANGING),
    "above, strong, directed up": (UP, Kind.STRONG_UPTREND),
    "below, strong, directed down": (DOWN, Kind.STRONG_DOWNTREND),
    "strong from an ADX of 25 on": (replace(UP, adx=25.0), Kind.STRONG_UPTREND),
    "above, weaker than 25": (replace(UP, adx=24.9), Kind.WEAK_UPTREND),
    "below, weaker than 25": (replace(DOWN, adx=24.9), Kind.WEAK_DOWNTREND),
    "above, but directed down": (replace(UP, plus=10.0, minus=30.0), Kind.WEAK_UPTREND),
    "below, but directed up": (replace(DOWN, plus=30.0, minus=10.0), Kind.WEAK_DOWNTREND),
    "a trend from an ADX of 20 on": (replace(UP, adx=20.0), Kind.WEAK_UPTREND),
    "above without a trend": (replace(UP, adx=19.9), Kind.RANGING),
    "within one percent of the average": (replace(UP, close=100.99), Kind.RANGING),
    "just beyond one percent": (replace(UP, close=101.01), Kind.STRONG_UPTREND),
    "narrow bands": (replace(PLAIN, bandwidth_percentile=0.19), Kind.CALM),
    "bands not quite narrow": (replace(PLAIN, bandwidth_percentile=0.2), Kind.RANGING),
    "narrow bands in a strong trend": (
        replace(UP, bandwidth_percentile=0.1),
        Kind.STRONG_UPTREND,
    ),
    "narrow bands in a weak trend": (
        replace(UP, adx=22.0, bandwidth_percentile=0.1),
        Kind.CALM,
    ),
    "wide ranges": (replace(PLAIN, atr_percentile=0.9), Kind.VOLATILE),
    "ranges not quite wide": (replace(PLAIN, atr_percentile=0.89), Kind.RANGING),
    "wide ranges in a strong trend": (replace(DOWN, atr_percentile=0.95), Kind.STRONG_DOWNTREND),
    "wide ranges in a weak trend": (replace(UP, adx=22.0, atr_percentile=0.95), Kind.VOLATILE),
    "out of a squeeze upward": (BREAK, Kind.BREAKOUT),
    "out of a squeeze downward": (replace(BREAK, beyond=-1), Kind.BREAKOUT),
    "beyond the bands without a squeeze": (replace(BREAK, squeezed=False), Kind.STRONG_UPTREND),
    "a squeeze without a break": (replace(BREAK, beyond=0), Kind.STRONG_UPTREND),
}


@pytest.mark.parametrize(("readings", "wanted"), TOLD.values(), ids=TOLD)
def test_the_first_rule_that_holds_names_the_regime(readings, wanted):
    assert kind(readings) is wanted


def candles(closes: list[float], reach: float = 0.5) -> list[Candle]:
    """Bars that open at the last close and reach a little beyond both."""
    opens = [closes[0], *closes[:-1]]
    tops = [max(pair) + reach for pair in zip(opens, closes, strict=True)]
    lows = [min(pair) - reach for pair in zip(opens, closes, strict=True)]
    return [
        Candle(index * HOUR_MS, *prices, 1.0)
        for index, prices in enumerate(zip(opens, tops, lows, closes, strict=True))
    ]


def noise(count: int, seed: int, size: float = 1.0) -> list[float]:
    random = Random(seed)
    return [1_000.0 + random.uniform(-size, size) for _ in range(count)]


SHOWN = {
    Kind.STRONG_UPTREND: [1_000.0 * 1.002**index for index in range(300)],
    Kind.STRONG_DOWNTREND: [1_000.0 * 0.998**index for index in range(300)],
    Kind.CALM: [*noise(250, 1, 5.0), *noise(50, 2, 0.5)],
    Kind.VOLATILE: [*noise(280, 3), *noise(20, 4, 5.0)],
    Kind.BREAKOUT: [*noise(250, 5, 5.0), *noise(50, 6, 0.5), 1_004.0],
}


@pytest.mark.parametrize(("wanted", "closes"), SHOWN.items(), ids=SHOWN)
def test_a_market_made_for_it_shows_its_regime(wanted, closes):
    assert regime(candles(closes)).kind is wanted


def walk(count: int) -> list[float]:
    random = Random(7)
    return list(accumulate((random.gauss(0, 5) for _ in range(count)), initial=1_000.0))


def bandwidths(closes: list[float]) -> list[float]:
    windows = [closes[end - 20 : end] for end in range(20, len(closes) + 1)]
    return [4 * pstdev(window) / fmean(window) for window in windows]


def share_below(values: list[float]) -> float:
    return sum(value < values[-1] for value in values[-90:]) / 90


def true_ranges(bars: list[Candle]) -> list[float]:
    return [bar.high - bar.low for bar in bars]


def test_a_squeeze_is_remembered_for_five_bars():
    closes = walk(280)
    bars, widths = candles(closes), bandwidths(closes)
    shares = {end: share_below(widths[: end - 19]) for end in range(150, 281)}
    squeezed = {end: regime(bars[:end]).readings.squeezed for end in range(200, 281)}
    assert squeezed == {
        end: any(shares[end - back] < 0.2 for back in range(1, 6)) for end in range(200, 281)
    }


@pytest.mark.parametrize("count", range(200, 400, 17))
def test_the_readings_are_those_of_the_whole_history(count):
    """Worked out from the definitions; the bars open at the last close, so a range is true."""
    closes = walk(count)
    bars = candles(closes)
    found = regime(bars).readings
    assert (found.ts, found.close) == (bars[-1].ts, closes[-1])
    widths = bandwidths(closes)
    assert found.bandwidth == pytest.approx(widths[-1])
    assert found.bandwidth_percentile == pytest.approx(share_below(widths))
    average, ranges = fmean(true_ranges(bars)[1:15]), []
    for bar, span in zip(bars[15:], true_ranges(bars)[15:], strict=True):
        average += (span - average) / 14
        ranges.append(average / bar.close)
    assert found.atr == pytest.approx(ranges[-1])
    assert found.atr_percentile == pytest.approx(share_below(ranges))


def test_the_average_and_its_distance():
    found = regime(candles([100.0] * 199 + [301.0])).readings
    assert found.average == pytest.approx(101.005)
    assert found.distance == pytest.approx(301 / 101.005 - 1)
    assert (found.side, found.beyond) == (1, 1)


def test_a_close_below_the_bands_is_beyond_them():
    assert regime(candles([*noise(250, 8), 900.0])).readings.beyond == -1


def test_too_few_candles_are_refused():
    with pytest.raises(BadInput, match="candles: 199 is not valid. Allowed: at least 200"):
        regime(candles([100.0] * (BARS - 1)))
