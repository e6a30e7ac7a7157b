"""The indicators bar by bar: worked by hand, on dirty data, and as machine code."""

import math
from array import array
from collections.abc import Callable, Iterator
from decimal import Decimal, localcontext
from random import Random
from statistics import fmean, pstdev, stdev
from struct import pack
from typing import Any, NamedTuple

import numpy
import pytest

from engine.backtest.compiled import jitted
from engine.strategies.indicators import (
    Adx,
    Atr,
    Bollinger,
    BullVolume,
    Deviation,
    Extremes,
    Macd,
    Percentile,
    Profile,
    RelativeVolume,
    Roc,
    Rsi,
    Sma,
    Stochastic,
    Supertrend,
    Volatility,
    adx,
    atr,
    bollinger,
    bull_volume,
    deviation,
    ema,
    extremes,
    macd,
    percentile,
    profile,
    profile_cells,
    relative_volume,
    roc,
    rsi,
    sma,
    stochastic,
    stochastic_cells,
    supertrend,
    true_range,
    volatility,
    wilder,
)

Bar = tuple[float, float, float, float, float]


def cells(count: int) -> "array[float]":
    """A window full of what nobody may read before it is written."""
    return array("d", [math.nan] * count)


def over(step: Callable[..., Any], start: Any, values: list[tuple[float, ...]], *lengths: float):
    """The last state of an indicator without a window."""
    for value in values:
        start = step(start, *value, *lengths)
    return start


def over_window(
    step: Callable[..., Any], start: Any, values: list[tuple[float, ...]], *lengths: float
):
    """The last state of an indicator with a window."""
    window = cells(256)
    for value in values:
        start = step(start, window, 0, *value, *lengths)
    return start


def each(*values: float) -> list[tuple[float, ...]]:
    return [(float(value),) for value in values]


THREE_BARS = [(10.0, 8.0, 9.0), (12.0, 9.0, 12.0), (13.0, 11.0, 11.0)]
TURN = [(10.0, 8.0, 9.0), (12.0, 9.0, 11.0), (13.0, 10.0, 12.0), (12.0, 7.0, 8.0)]
RISE = [(10.0, 8.0, 9.0), (12.0, 10.0, 11.0), (13.0, 11.0, 12.0), (12.0, 10.0, 10.5)]
FALL = [(16.0, 14.0, 15.0), (14.0, 12.0, 13.0), (13.0, 10.0, 10.0), (11.0, 9.0, 10.0)]

# What is run, over which values, with which lengths, and the fields it must end with.
BY_HAND: dict[str, tuple[Any, dict[str, float]]] = {
    "RSI is even after a rise and an equal fall": (
        over(rsi, Rsi(), each(10, 11, 10), 2.0),
        {"gain": 0.5, "loss": 0.5, "value": 50.0},
    ),
    "RSI smooths as Wilder does, and keeps its last value": (
        over(rsi, Rsi(), each(10, 11, 10, 12), 2.0),
        {"gain": 1.25, "loss": 0.25, "value": 100 * 1.25 / 1.5, "previous": 50.0},
    ),
    "RSI of rises alone is 100": (over(rsi, Rsi(), each(1, 2, 3), 2.0), {"value": 100.0}),
    "RSI of falls alone is 0": (over(rsi, Rsi(), each(3, 2, 1), 2.0), {"value": 0.0}),
    "RSI of a price that stands is 50": (over(rsi, Rsi(), each(3, 3, 3), 2.0), {"value": 50.0}),
    "ATR has no range on the first bar": (
        over(atr, Atr(), [(10.0, 8.0, 9.0)], 2.0),
        {"value": 0.0, "close": 9.0},
    ),
    "ATR begins as the mean": (
        over(atr, Atr(), [(10, 8, 9), (12, 9, 11), (11, 10, 10.5)], 2.0),
        {"value": 2.0},
    ),
    "ATR smooths as Wilder does, gaps included": (
        over(atr, Atr(), [(10, 8, 9), (12, 9, 11), (11, 10, 10.5), (14, 12, 13)], 2.0),
        {"value": 2.75},
    ),
    "SMA forgets what left": (over_window(sma, Sma(), each(1, 3, 8), 2.0), {"value": 5.5}),
    "SMA before it is full is of what there is": (
        over_window(sma, Sma(), each(1, 3), 5.0),
        {"value": 2.0, "bars": 2.0},
    ),
    "relative volume counts its own bar": (
        over_window(relative_volume, RelativeVolume(), each(99, 10, 30), 2.0),
        {"mean": 20.0, "value": 1.5},
    ),
    "relative volume of nothing is nothing": (
        over_window(relative_volume, RelativeVolume(), each(0, 0), 2.0),
        {"mean": 0.0, "value": 0.0},
    ),
    "deviation, both kinds": (
        over_window(deviation, Deviation(), each(100, 2, 4, 4, 6), 4.0),
        {"mean": 4.0, "population": math.sqrt(2), "sample": math.sqrt(8 / 3)},
    ),
    "deviation of one value": (
        over_window(deviation, Deviation(), each(7), 4.0),
        {"mean": 7.0, "population": 0.0, "sample": 0.0},
    ),
    "deviation of two values": (
        over_window(deviation, Deviation(), each(5, 7), 4.0),
        {"mean": 6.0, "population": 1.0, "sample": math.sqrt(2)},
    ),
    "volatility is of the returns": (
        over_window(volatility, Volatility(), each(50, 100, 110, 99, 99), 3.0),
        {"value": 0.1},
    ),
    "volatility of two returns": (
        over_window(volatility, Volatility(), each(100, 110, 99), 3.0),
        {"value": math.sqrt(0.02)},
    ),
    "a price of nothing has no return": (
        over_window(volatility, Volatility(), each(0, 100, 120), 2.0),
        {"value": math.sqrt(0.02)},
    ),
    "ROC has none until a bar is old enough": (
        over_window(roc, Roc(), each(100, 105), 2.0),
        {"value": 0.0},
    ),
    "ROC is against the close so many bars ago": (
        over_window(roc, Roc(), each(100, 105, 110, 84), 2.0),
        {"value": -0.2},
    ),
    "extremes are of high and low": (
        over_window(extremes, Extremes(), [(10.0, 8.0), (9.0, 5.0), (8.0, 6.0)], 2.0),
        {"highest": 9.0, "lowest": 5.0},
    ),
    "percentile is the share strictly below": (
        over_window(percentile, Percentile(), each(5, 1, 3, 4), 4.0),
        {"value": 0.5},
    ),
    "percentile does not count equals": (
        over_window(percentile, Percentile(), each(3, 3, 3, 3), 4.0),
        {"value": 0.0},
    ),
    "percentile of the highest is short of 1": (
        over_window(percentile, Percentile(), each(5, 1, 3, 4, 9), 4.0),
        {"value": 0.75},
    ),
    "Bollinger uses the population's deviation": (
        over_window(bollinger, Bollinger(), each(100, 2, 4, 4, 6), 4.0, 2.0),
        {
            "middle": 4.0,
            "upper": 4 + 2 * math.sqrt(2),
            "lower": 4 - 2 * math.sqrt(2),
            "bandwidth": math.sqrt(2),
            "position": 0.5 + 2 / (4 * math.sqrt(2)),
        },
    ),
    "Bollinger keeps the bandwidth before": (
        over_window(bollinger, Bollinger(), each(4, 6, 6), 2.0, 2.0),
        {"previous_bandwidth": 4 / 5, "bandwidth": 0.0},
    ),
    "Bollinger without a width stands in the middle": (
        over_window(bollinger, Bollinger(), each(0.1, 0.1, 0.1), 3.0, 2.0),
        {"middle": 0.1, "upper": 0.1, "lower": 0.1, "bandwidth": 0.0, "position": 0.5},
    ),
    "MACD has no signal until the slow average is full": (
        over(macd, Macd(), each(10, 12), 1.0, 2.0, 2.0),
        {"line": 1.0, "signal": 1.0, "histogram": 0.0},
    ),
    "MACD's signal begins as the mean of lines": (
        over(macd, Macd(), each(10, 12, 16), 1.0, 2.0, 2.0),
        {"line": 5 / 3, "signal": 4 / 3, "histogram": 1 / 3},
    ),
    "MACD keeps the histogram before": (
        over(macd, Macd(), each(10, 12, 16, 10), 1.0, 2.0, 2.0),
        {"line": -13 / 9, "signal": -14 / 27, "histogram": -25 / 27, "previous_histogram": 1 / 3},
    ),
    "stochastic smooths twice": (
        over_window(stochastic, Stochastic(), [*THREE_BARS, (14.0, 12.0, 13.0)], 2.0, 2.0, 2.0),
        {"k": 175 / 3, "d": 200 / 3, "previous_k": 75.0, "previous_d": 75.0},
    ),
    "stochastic without a range is in the middle": (
        over_window(stochastic, Stochastic(), [(5.0, 5.0, 5.0)] * 3, 2.0, 1.0, 1.0),
        {"k": 50.0, "d": 50.0},
    ),
    "ADX begins once the directions are full": (
        over(adx, Adx(), TURN[:3], 2.0),
        {"plus": 50.0, "minus": 0.0, "value": 100.0},
    ),
    "ADX of a turn": (
        over(adx, Adx(), TURN, 2.0),
        {"range": 4.0, "plus": 18.75, "minus": 37.5, "value": 200 / 3},
    ),
    "ADX counts only the larger movement, and none when they are equal": (
        over(adx, Adx(), [(10.0, 8.0, 9.0), (11.0, 7.0, 9.0), (12.0, 6.5, 9.0)], 2.0),
        {"up": 0.5, "down": 0.0},
    ),
    "ADX of a price that stands is 0": (
        over(adx, Adx(), [(5.0, 5.0, 5.0)] * 6, 2.0),
        {"plus": 0.0, "minus": 0.0, "value": 0.0},
    ),
    "supertrend follows a rise and does not give way": (
        over(supertrend, Supertrend(), RISE, 1.0, 1.0),
        {"direction": 1.0, "value": 10.0, "upper": 13.0},
    ),
    "supertrend turns when a close passes it": (
        over(supertrend, Supertrend(), [*RISE, (10.0, 8.0, 8.5)], 1.0, 1.0),
        {"direction": -1.0, "value": 11.5, "lower": 10.0},
    ),
    "supertrend's upper band holds until a close passes it": (
        over(supertrend, Supertrend(), [*RISE[:2], (14, 11, 14), (15, 13, 14)], 1.0, 1.0),
        {"direction": 1.0, "value": 12.0, "upper": 14.0},
    ),
    "supertrend turns on a close that only meets it, and the lower band holds": (
        over(supertrend, Supertrend(), FALL, 1.0, 1.0),
        {"direction": -1.0, "value": 12.0, "lower": 10.0},
    ),
    "supertrend's upper band does not rise in a fall": (
        over(supertrend, Supertrend(), [*RISE, (10, 8, 8.5), (11, 7, 9)], 1.0, 1.0),
        {"direction": -1.0, "value": 11.5, "lower": 5.0},
    ),
    "bull volume is of bars that closed above their open": (
        over_window(
            bull_volume,
            BullVolume(),
            [(1.0, 2.0, 10.0), (2.0, 1.0, 30.0), (1.0, 1.0, 20.0), (1.0, 2.0, 40.0)],
            3.0,
        ),
        {"value": 40 / 90},
    ),
    "bull volume of nothing is even": (
        over_window(bull_volume, BullVolume(), [(1.0, 2.0, 0.0)] * 3, 3.0),
        {"value": 0.5},
    ),
    "the point of control is the middle of the fullest bin": (
        over_window(
            profile, Profile(), [(20, 0, 10, 1.0), (5, 4, 4.5, 7.0), (16, 14, 15, 5.0)], 3.0
        ),
        {"point_of_control": 4.5},
    ),
    "the profile's range is that of the bars it holds": (
        over_window(
            profile,
            Profile(),
            [(20, 0, 10, 1.0), (5, 4, 4.5, 7.0), (16, 14, 15, 5.0), (16, 14, 15, 5.0)],
            3.0,
        ),
        {"point_of_control": 4 + 18.5 * 0.6},
    ),
    "of equal bins the lowest has the control": (
        over_window(profile, Profile(), [(20, 20, 20, 5.0), (0, 0, 0, 5.0)], 3.0),
        {"point_of_control": 0.5},
    ),
    "the highest price is in the last bin": (
        over_window(profile, Profile(), [(20, 20, 20, 5.0), (0, 0, 0, 1.0)], 3.0),
        {"point_of_control": 19.5},
    ),
    "the profile without volume is the middle": (
        over_window(profile, Profile(), [(20, 10, 12, 0.0)], 3.0),
        {"point_of_control": 15.0},
    ),
    "the profile without a range is the price": (
        over_window(profile, Profile(), [(7, 7, 7, 3.0)], 3.0),
        {"point_of_control": 7.0},
    ),
}


@pytest.mark.parametrize(("state", "fields"), BY_HAND.values(), ids=BY_HAND)
def test_by_hand(state, fields):
    assert {name: getattr(state, name) for name in fields} == pytest.approx(fields, abs=1e-12)


def test_wilders_smoothing_by_hand():
    value = 0.0
    for count, price in enumerate([10.0, 20.0, 60.0], start=1):
        value = wilder(value, price, float(count), 3.0)
    assert value == pytest.approx(30.0)
    assert wilder(value, 60.0, 4.0, 3.0) == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("high", "low", "before", "wanted"),
    [(12, 10, 11, 2), (12, 10, 9, 3), (12, 10, 15, 5)],
    ids=["within", "gap up", "gap down"],
)
def test_the_true_range_reaches_to_the_close_before(high, low, before, wanted):
    assert true_range(high, low, before) == wanted


class Everything(NamedTuple):
    """Every indicator at once, each with a piece of one window."""

    bars: float = 0.0
    ema: float = 0.0
    wilder: float = 0.0
    rsi: Rsi = Rsi()
    atr: Atr = Atr()
    macd: Macd = Macd()
    adx: Adx = Adx()
    supertrend: Supertrend = Supertrend()
    sma: Sma = Sma()
    relative_volume: RelativeVolume = RelativeVolume()
    deviation: Deviation = Deviation()
    volatility: Volatility = Volatility()
    roc: Roc = Roc()
    extremes: Extremes = Extremes()
    bollinger: Bollinger = Bollinger()
    percentile: Percentile = Percentile()
    stochastic: Stochastic = Stochastic()
    bull_volume: BullVolume = BullVolume()
    profile: Profile = Profile()


# Where each piece begins, with a cell between any two that nobody may touch.
PIECES = [
    20,  # sma
    20,  # relative volume
    10,  # deviation
    30,  # volatility
    12,  # roc
    2 * 50,  # extremes
    20,  # bollinger
    90,  # percentile
    stochastic_cells(14.0, 3.0, 3.0),
    10,  # bull volume
    profile_cells(50.0),
]
AT = tuple(sum(PIECES[:index]) + index + 1 for index in range(len(PIECES)))
CELLS = sum(PIECES) + len(PIECES) + 1
FENCES = (0, *(at + size for at, size in zip(AT, PIECES, strict=True)))


def everything(
    state: Everything,
    window: Any,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
) -> Everything:
    bars = state.bars + 1.0
    bands = bollinger(state.bollinger, window, AT[6], close, 20.0, 2.0)
    return Everything(
        bars,
        ema(state.ema, close, bars, 20.0),
        wilder(state.wilder, close, bars, 14.0),
        rsi(state.rsi, close, 14.0),
        atr(state.atr, high, low, close, 14.0),
        macd(state.macd, close, 12.0, 26.0, 9.0),
        adx(state.adx, high, low, close, 14.0),
        supertrend(state.supertrend, high, low, close, 10.0, 3.0),
        sma(state.sma, window, AT[0], close, 20.0),
        relative_volume(state.relative_volume, window, AT[1], volume, 20.0),
        deviation(state.deviation, window, AT[2], close, 10.0),
        volatility(state.volatility, window, AT[3], close, 30.0),
        roc(state.roc, window, AT[4], close, 12.0),
        extremes(state.extremes, window, AT[5], high, low, 50.0),
        bands,
        percentile(state.percentile, window, AT[7], bands.bandwidth, 90.0),
        stochastic(state.stochastic, window, AT[8], high, low, close, 14.0, 3.0, 3.0),
        bull_volume(state.bull_volume, window, AT[9], open_, close, volume, 10.0),
        profile(state.profile, window, AT[10], high, low, close, volume, 50.0),
    )


def walk(count: int, seed: int) -> list[Bar]:
    """A random walk around 60,000 with gaps, flat bars, zero volumes and stretches that stand."""
    random, close, bars = Random(seed), 60_000.0, []
    for index in range(count):
        if index % 100 < 30:
            bars.append((close, close, close, close, 0.0))
            continue
        opened = close * (1 + random.gauss(0, 0.001))
        close = opened * (1 + random.gauss(0, 0.002))
        high = max(opened, close) * (1 + abs(random.gauss(0, 0.001)))
        low = min(opened, close) * (1 - abs(random.gauss(0, 0.001)))
        volume = random.choice((0.0, random.expovariate(0.01)))
        bars.append((opened, high, low, close, volume))
    return bars


def run(bars: list[Bar], window: Any, step: Any = everything) -> Iterator[Everything]:
    state = Everything()
    for bar in bars:
        state = step(state, window, *bar)
        yield state


def flat(state: Any) -> list[float]:
    if isinstance(state, tuple):
        return [number for part in state for number in flat(part)]
    return [state]


def bits(state: Everything) -> bytes:
    numbers = flat(state)
    return pack(f"{len(numbers)}d", *numbers)


STILL = [(60_000.0,) * 4 + (0.0,)] * 300
DEAD = [(0.0,) * 5] * 100
CRASH = (60_000.0, 60_000.0, 0.01, 60_000.0, 5.0)
SPIKE = (60_000.0, 1e15, 60_000.0, 1e15, 1e15)
DUST = (1e-12, 1e-12, 1e-12, 1e-12, 1e-12)

DIRTY = {
    "zero volume": [(*bar[:4], 0.0) for bar in walk(300, 1)],
    "a price that never moves": STILL,
    "absurd prints": [*walk(150, 2), CRASH, SPIKE, DUST, *walk(150, 3)],
    "a dead market that wakes": [*DEAD, *walk(100, 4)],
    "one bar beyond its own range": [*walk(60, 5), (100.0, 110.0, 90.0, 10.0, 50.0)] * 2,
}


@pytest.mark.parametrize("bars", DIRTY.values(), ids=DIRTY)
def test_every_state_stays_finite(bars):
    for state in run(bars, cells(CELLS)):
        assert all(math.isfinite(number) for number in flat(state)), state


@pytest.mark.parametrize("bars", DIRTY.values(), ids=DIRTY)
def test_no_indicator_writes_beside_its_cells(bars):
    window = cells(CELLS)
    list(run(bars, window))
    assert all(math.isnan(window[at]) for at in FENCES)


def test_every_cell_asked_for_is_used():
    window = cells(CELLS)
    list(run(walk(200, 12), window))
    unused = [at for at, value in enumerate(window) if math.isnan(value)]
    assert unused == list(FENCES)


def test_before_the_first_bar_everything_is_neutral():
    start = Everything()
    middles = start.rsi[-2:] + start.stochastic[1:]
    assert middles == (50.0,) * 6
    assert (start.bollinger.position, start.bull_volume.value) == (0.5, 0.5)
    assert sorted(set(flat(start))) == [0.0, 0.5, 50.0]


def test_every_field_is_a_float_from_the_first_bar_on():
    for state in run(walk(200, 6), cells(CELLS)):
        assert {type(number) for number in flat(state)} == {float}


def test_two_futures_behind_one_past_give_the_same_answers():
    past, rise, fall = walk(300, 7), walk(50, 8), DEAD[:50]
    after_rise = [bits(state) for state in run([*past, *rise], cells(CELLS))]
    after_fall = [bits(state) for state in run([*past, *fall], cells(CELLS))]
    assert after_rise[:300] == after_fall[:300]
    assert after_rise[300] != after_fall[300]


def test_what_looks_back_forgets_a_misprint_once_it_has_left():
    *_, clean = run(walk(400, 9), cells(CELLS))
    *_, dirty = run([SPIKE, CRASH, DUST, *walk(400, 9)], cells(CELLS))
    for name in ("sma", "relative_volume", "deviation", "roc", "extremes", "percentile", "profile"):
        ours, theirs = getattr(dirty, name)[1:], getattr(clean, name)[1:]
        assert ours == pytest.approx(theirs, rel=1e-12), name


def test_a_ring_holds_the_last_values_in_whatever_order():
    closes = [bar[3] for bar in walk(500, 10)]
    states = list(run(walk(500, 10), cells(CELLS)))
    for index in range(49, 500, 7):
        state = states[index]
        assert state.sma.value == pytest.approx(fmean(closes[index - 19 : index + 1]))
        last_ten = closes[index - 9 : index + 1]
        assert state.deviation.population == pytest.approx(pstdev(last_ten), abs=1e-9)
        assert state.deviation.sample == pytest.approx(stdev(last_ten), abs=1e-9)
        assert state.roc.value == pytest.approx(closes[index] / closes[index - 12] - 1)
        widths = [earlier.bollinger.bandwidth for earlier in states[: index + 1]][-90:]
        below = sum(width < widths[-1] for width in widths)
        assert state.percentile.value == pytest.approx(below / len(widths))


def test_a_hundred_thousand_bars_do_not_drift():
    """Prices around 100,000 beside 40 digits: the recursions forget their own rounding."""
    random, close, state = Random(11), 100_000.0, Rsi()
    window, bands = cells(20), Bollinger()
    with localcontext(prec=40):
        gain = loss = Decimal(0)
        last = Decimal(close)
        for count in range(100_001):
            close += random.gauss(0, 20)
            state = rsi(state, close, 14.0)
            bands = bollinger(bands, window, 0, close, 20.0, 2.0)
            change = Decimal(close) - last if count else Decimal(0)
            last = Decimal(close)
            weight = min(max(count, 1), 14)
            gain += (max(change, Decimal(0)) - gain) / weight
            loss += (max(-change, Decimal(0)) - loss) / weight
    assert state.value == pytest.approx(float(100 * gain / (gain + loss)), rel=1e-9)
    assert bands.middle == pytest.approx(fmean(window), rel=1e-12)
    assert bands.upper - bands.middle == pytest.approx(2 * pstdev(window), rel=1e-9)


def test_python_and_machine_code_give_the_same_bits():
    bars = [*walk(1_000, 13), CRASH, SPIKE, DUST, *DEAD, *walk(900, 14)]
    compiled = run(bars, numpy.full(CELLS, math.nan), jitted(everything))
    for index, (ours, theirs) in enumerate(zip(run(bars, cells(CELLS)), compiled, strict=True)):
        assert bits(ours) == bits(theirs), index
