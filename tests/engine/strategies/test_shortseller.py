"""The short seller, bar by bar, against averages worked out another way."""

from array import array
from collections.abc import Sequence
from random import Random

import pytest

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS, Candle
from engine.strategies import STRATEGIES
from engine.strategies.indicators import ema
from engine.strategies.kernel import EMA_CROSS, MA_EXIT, NOTHING, REASONS, Bar, Signal
from engine.strategies.shortseller import ENTER, LEAVE, STRATEGY, Params, State, start, step
from tests.engine.conftest import BTC_5M, T0

FIVE = 5 * MINUTE_MS


def walk(count: int, seed: int = 7, start_at: int = T0) -> list[Bar]:
    """A random walk of closes around 60,000; only the close matters to this strategy."""
    random, close, made = Random(seed), 60_000.0, []
    for index in range(count):
        opened, close = close, close * (1 + random.gauss(0, 0.002))
        high, low = max(opened, close), min(opened, close)
        made.append(Bar(start_at + index * FIVE, opened, high, low, close, 1.0))
    return made


def closes(*values: float, start_at: int = T0) -> list[Bar]:
    return [
        Bar(start_at + index * FIVE, value, value, value, value, 1.0)
        for index, value in enumerate(values)
    ]


def real(candles: Sequence[Candle]) -> list[Bar]:
    return [Bar(*candle) for candle in candles]


def run(bars: list[Bar], params: Params = STRATEGY.params) -> tuple[list[State], list[Signal]]:
    (state, window), states, signals = start(params), [], []
    for bar in bars:
        state, signal = step(params, state, window, bar)
        states.append(state)
        signals.append(signal)
    return states, signals


def talib_ema(values: list[float], length: int) -> list[float | None]:
    """As TA-Lib does: the mean of the first `length` values, then the usual recursion."""
    found: list[float | None] = [None] * (length - 1)
    last = sum(values[:length]) / length
    found.append(last)
    alpha = 2 / (length + 1)
    for value in values[length:]:
        last = alpha * value + (1 - alpha) * last
        found.append(last)
    return found


def assert_averages(bars: list[Bar]) -> None:
    states, _ = run(bars)
    values = [bar.close for bar in bars]
    fast, slow = talib_ema(values, 240), talib_ema(values, 600)
    for state, quick, calm in zip(states[599:], fast[599:], slow[599:], strict=True):
        assert state.fast == pytest.approx(quick, rel=1e-9)
        assert state.slow == pytest.approx(calm, rel=1e-9)


def test_the_averages_are_those_of_talib_on_random_candles():
    assert_averages(walk(5_000))


def test_the_averages_are_those_of_talib_on_real_candles(recorded):
    assert_averages(real(recorded(BTC_5M))[:20_000])


def test_an_average_begins_as_the_plain_mean():
    value = 0.0
    for count, close in enumerate([10.0, 20.0, 60.0], start=1):
        value = ema(value, close, float(count), 3.0)
    assert value == pytest.approx(30.0)
    assert ema(value, 50.0, 4.0, 3.0) == pytest.approx(40.0)


# Short averages, so that each rule can be shown in a few closes: fast 2, slow 4.
SMALL = Params(fast=2.0, slow=4.0, crosses_per_day=12.0)
CALM = [100.0] * 5

RULES = {
    "a fall through both from above enters": ([*CALM, 90.0], ENTER),
    "standing on both is not below": (CALM, LEAVE),
    "still below both without a cross is nothing": ([*CALM, 90.0, 80.0], NOTHING),
    "above both leaves": ([*CALM, 110.0], LEAVE),
    "below one only leaves": ([100, 100, 100, 100, 200, 150], LEAVE),
    "a cross of the fast alone enters": ([200, 200, 200, 200, 100, 140, 90], ENTER),
}


@pytest.mark.parametrize(("values", "last"), RULES.values(), ids=RULES)
def test_the_last_close_decides(values, last):
    assert run(closes(*map(float, values)), SMALL)[1][-1] == last


def test_a_cross_of_the_slow_alone_enters():
    """The close stood above the slow and below the fast average, and falls below both."""
    bars = closes(10.0, 10.0, 10.0, 100.0, 200.0, 110.0, 40.0)
    states, signals = run(bars, SMALL)
    assert states[5].slow < 110.0 < states[5].fast
    assert signals[5] == LEAVE
    assert states[6].slow > 40.0 < states[6].fast
    assert signals[6] == ENTER


def test_nothing_is_said_before_bar_601():
    """600 bars fall all the way, the close is below both averages: the 601st may speak first."""
    falling = closes(*(60_000.0 - index for index in range(599)), 70_000.0, 50_000.0, 80_000.0)
    _, signals = run(falling)
    assert signals[:600] == [NOTHING] * 600
    assert signals[600:] == [ENTER, LEAVE]


@pytest.mark.parametrize(("fast", "slow", "bars"), [(240, 600, 601), (700, 600, 701)])
def test_warm_up_takes_one_bar_more_than_the_longer_average(fast, slow, bars):
    assert STRATEGY.tuned({"fast": fast, "slow": slow}).bars_needed == bars


def crossings(count: int, start_at: int) -> list[Bar]:
    """After a calm, `count` falls through the averages, each after a rise above them."""
    return closes(*CALM, *[90.0, 110.0] * count, start_at=start_at)


def entries(signals: list[Signal]) -> int:
    return sum(signal == ENTER for signal in signals)


def test_twelve_crosses_a_day_are_acted_on_and_no_more():
    _, signals = run(crossings(20, T0), SMALL)
    assert entries(signals) == 12
    assert ENTER not in signals[5 + 2 * 12 :]


def test_the_count_starts_anew_at_midnight_utc():
    midnight = T0 + DAY_MS
    bars = crossings(40, midnight - 35 * FIVE)
    signals = run(bars, SMALL)[1]
    before = [signal for bar, signal in zip(bars, signals, strict=True) if bar.ts < midnight]
    after = [signal for bar, signal in zip(bars, signals, strict=True) if bar.ts >= midnight]
    assert (entries(before), entries(after)) == (12, 12)
    first = next(bar for bar, s in zip(bars[35:], after, strict=True) if s == ENTER)
    assert first.ts - midnight < 2 * FIVE


def test_every_cross_counts_against_the_day_even_unused_ones():
    states, _ = run(crossings(20, T0), SMALL)
    assert states[-1].crosses == 20


def independent(bars: list[Bar]) -> list[Signal]:
    """The rules written again, looking back over whole lists."""
    values = [bar.close for bar in bars]
    fast, slow = talib_ema(values, 240), talib_ema(values, 600)
    crosses: dict[int, int] = {}
    found = []
    for i, bar in enumerate(bars):
        if i < 600:
            found.append(NOTHING)
        elif not (values[i] < fast[i] and values[i] < slow[i]):
            found.append(LEAVE)
        elif values[i - 1] < fast[i - 1] and values[i - 1] < slow[i - 1]:
            found.append(NOTHING)
        else:
            day = bar.ts // DAY_MS
            crosses[day] = crosses.get(day, 0) + 1
            found.append(ENTER if crosses[day] <= 12 else NOTHING)
    return found


def test_the_signals_are_those_of_the_written_rules_on_random_candles():
    bars = walk(20_000, seed=3)
    signals = run(bars)[1]
    assert signals == independent(bars)
    assert entries(signals) > 100


def test_the_signals_are_those_of_the_written_rules_on_real_candles(recorded):
    bars = real(recorded(BTC_5M))
    signals = run(bars)[1]
    assert signals == independent(bars)
    assert entries(signals) > 500


def test_two_futures_behind_one_past_are_decided_alike():
    """N11: what comes later can't be seen, whatever it is."""
    past = walk(1_200)
    later = past[-1].ts + FIVE
    one = run([*past, *walk(300, seed=1, start_at=later)])
    other = run([*past, *walk(300, seed=2, start_at=later)])
    assert one[0][:1_200] == other[0][:1_200]
    assert one[1][:1_200] == other[1][:1_200]
    assert one[1][1_200:] != other[1][1_200:]


def test_a_step_changes_neither_its_bar_nor_its_state_nor_the_window():
    (state, window), bar = start(Params()), walk(1)[0]
    held, seen = tuple(state), tuple(bar)
    step(Params(), state, window, bar)
    assert (tuple(state), tuple(bar), window) == (held, seen, array("d"))


def test_the_same_bars_give_the_same_states_to_the_bit():
    bars = walk(2_000)
    assert run(bars) == run(bars)


def test_going_on_from_a_stored_state_is_going_on():
    bars = walk(2_000)
    states, signals = run(bars)
    state, tail = State(*map(float, map(repr, states[999]))), []
    for bar in bars[1_000:]:
        state, signal = step(Params(), state, array("d"), bar)
        tail.append(signal)
    assert (state, tail) == (states[-1], signals[1_000:])


# -- what stands beside the kernel -------------------------------------------------------


def test_it_is_in_the_table_under_its_name():
    assert STRATEGIES["shortseller"] is STRATEGY
    assert STRATEGY.timeframe == FIVE


def test_its_signals_name_their_reasons():
    assert REASONS[int(ENTER.reason)] == "ema_cross"
    assert REASONS[int(LEAVE.reason)] == "ma_exit"
    assert (ENTER.reason, LEAVE.reason) == (EMA_CROSS, MA_EXIT)
    assert ENTER[:3] == (-1, 0, 0)
    assert LEAVE[:3] == (0, 1, 1)


# Stop, target, trail and its activation per symbol, as in the reference system.
PROTECTION = {
    "BTCUSDT": (0.01, 0.03, 0.01, 0.02),
    "ETHUSDT": (0.015, 0.04, 0.02, 0.02),
    "SOLUSDT": (0.015, 0.05, 0.02, 0.03),
    "XRPUSDT": (0.015, 0.06, 0.02, 0.03),
}


@pytest.mark.parametrize(("symbol", "levels"), PROTECTION.items(), ids=PROTECTION)
def test_each_symbol_has_its_protection(symbol, levels):
    exits = STRATEGY.exits_for(symbol)
    assert exits[:4] == levels
    assert (exits.max_age_ms, exits.cooldown_ms) == (DAY_MS, HOUR_MS)


def test_it_puts_its_last_bar_into_words():
    states, _ = run([*closes(*CALM), *closes(90.0, start_at=T0 + 5 * FIVE)], SMALL)
    bar = closes(90.0)[0]
    told = {c.name: c for c in STRATEGY.explain(SMALL, states[-1], bar)}
    assert list(told) == [
        "below EMA 2",
        "below EMA 4",
        "crossed an average on this bar",
        "crosses today",
    ]
    assert all(condition.holds for condition in told.values())
    assert told["crosses today"].detail == "1 of 12"
