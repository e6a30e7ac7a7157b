"""A bot at work on one symbol: the bars it sees, and the memory that outlives a process."""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import MINUTE_MS, Candle, aggregate
from engine.slot import Slot
from engine.strategies import shortseller
from engine.strategies.kernel import NOTHING, Bar, Strategy
from engine.strategies.pipeline import Heard
from engine.tunable import Parameter, Tier, Unit
from tests.engine.conftest import BTC, T0, bot, puppet

FIVE, FIFTEEN, HOUR = 5 * MINUTE_MS, 15 * MINUTE_MS, 60 * MINUTE_MS
some = settings(max_examples=60, deadline=None, derandomize=True)


def candles(count: int, interval: int = MINUTE_MS, seed: int = 5) -> list[Candle]:
    """A random walk with volume, `interval` ms a bar."""
    random, price, made = Random(seed), 1_000.0, []
    for index in range(count):
        close = price * (1 + random.gauss(0, 0.003))
        high, low = max(price, close) + random.random(), min(price, close) - random.random()
        made.append(Candle(T0 + index * interval, price, high, low, close, random.random()))
        price = close
    return made


def slot(strategy: Strategy, interval: int = MINUTE_MS) -> Slot:
    return Slot(bot(strategy), BTC, interval)


def taken(at: Slot, feed: Sequence[Candle]) -> list[Bar]:
    return [bar for candle in feed for bar in at.take(candle, 0.0)]


# -- the bars it sees --------------------------------------------------------------------


@pytest.mark.parametrize("interval", [MINUTE_MS, FIVE])
def test_a_bar_is_that_of_its_timeframe_with_the_rate_settled_last(interval):
    feed = candles(12 * FIVE // interval, interval)
    at = slot(puppet(timeframe=FIVE), interval)
    bars = [bar for candle in feed for bar in at.take(candle, 0.0003)]
    assert [bar[:6] for bar in bars] == aggregate(feed, interval, FIVE)
    assert {bar[6:] for bar in bars} == {(0.0003, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)}
    assert len(bars) == 12


FIVE_IN_FIFTEEN = puppet(timeframe=FIVE, higher=FIFTEEN)


@pytest.mark.parametrize("interval", [MINUTE_MS, FIVE])
def test_a_bar_carries_the_longer_bar_that_closed_last(interval):
    feed = candles(90 * MINUTE_MS // interval, interval)
    bars = taken(slot(FIVE_IN_FIFTEEN, interval), feed)
    longer = aggregate(feed, interval, FIFTEEN)
    assert (len(bars), len(longer)) == (18, 6)
    for number, bar in enumerate(bars, start=1):
        shown = (bar.higher_open, bar.higher_high, bar.higher_low, bar.higher_close)
        if number < 3:
            assert bar[7:] == (0.0,) * 6
        else:
            last = longer[number // 3 - 1]
            assert (*shown, bar.higher_volume) == last[1:]
            assert bar.higher_closed == float(number % 3 == 0)


def test_a_longer_bar_is_seen_by_a_strategy_of_the_markets_own_timeframe():
    feed = candles(31)
    bars = taken(slot(puppet(timeframe=MINUTE_MS, higher=FIFTEEN)), feed)
    assert [bar.ts for bar in bars if bar.higher_closed] == [feed[14].ts, feed[29].ts]
    assert {bar.higher_close for bar in bars[:14]} == {0.0}
    assert {bar.higher_close for bar in bars[14:29]} == {feed[14].close}


def test_the_rate_stands_beside_the_longer_bar():
    at = slot(FIVE_IN_FIFTEEN, FIVE)
    [bar] = [bar for candle in candles(3, FIVE) for bar in at.take(candle, -0.01)][2:]
    assert (bar.funding, bar.higher_closed) == (-0.01, 1.0)


def test_a_longer_bar_whose_last_minutes_are_missing_is_seen_once_the_next_has_begun():
    feed = candles(45)
    gap = [*feed[:12], *feed[15:]]
    bars = taken(slot(FIVE_IN_FIFTEEN), gap)
    assert [(bar.ts - T0) // FIVE for bar in bars] == list(range(9))
    assert [(bar.ts - T0) // FIVE for bar in bars if bar.higher_closed] == [2, 5, 8]
    assert bars[2].higher_close == feed[11].close


def test_a_longer_bar_that_closed_between_two_bars_is_new_to_the_next_one():
    """Nothing is left of the third five minutes, so no bar closed with the fifteen."""
    feed = candles(30)
    bars = taken(slot(FIVE_IN_FIFTEEN), [*feed[:10], *feed[15:]])
    assert [(bar.ts - T0) // FIVE for bar in bars] == [0, 1, 3, 4, 5]
    assert [bar.higher_closed for bar in bars] == [0.0, 0.0, 1.0, 0.0, 1.0]
    assert bars[2].higher_close == feed[9].close


def test_of_two_longer_bars_that_close_at_once_the_later_is_seen():
    feed = candles(30)
    bars = taken(slot(FIVE_IN_FIFTEEN), [*feed[:10], feed[12], feed[29]])
    assert [(bar.ts - T0) // FIVE for bar in bars] == [0, 1, 2, 5]
    assert [bar.higher_closed for bar in bars] == [0.0, 0.0, 1.0, 0.0]
    assert bars[2].higher_close == feed[29].close


@some
@given(st.sets(st.integers(0, 119)), st.sampled_from([(FIVE, FIFTEEN), (FIFTEEN, HOUR)]))
def test_whatever_is_missing_a_bar_shows_the_last_longer_bar_there_was_by_then(missing, lengths):
    timeframe, higher = lengths
    feed = [c for i, c in enumerate(candles(120)) if i not in missing]
    at, seen = slot(puppet(timeframe=timeframe, higher=higher)), []
    for count, candle in enumerate(feed, start=1):
        for bar in at.take(candle, 0.0):
            longer = aggregate(feed[:count], MINUTE_MS, higher)
            assert bar[8:] == (longer[-1][1:] if longer else (0.0,) * 5)
            seen.append((bar.higher_closed, len(longer)))
    known = 0
    for closed, count in seen:
        assert closed == float(count > known)
        known = count


def test_two_futures_behind_one_past_give_the_same_bars():
    past, one, other = candles(47), candles(90)[47:], candles(90, seed=6)[47:]
    bars = [taken(slot(FIVE_IN_FIFTEEN), [*past, *future]) for future in (one, other)]
    assert bars[0][:9] == bars[1][:9]
    assert bars[0][9:] != bars[1][9:]


# -- its memory --------------------------------------------------------------------------


class Inner(NamedTuple):
    value: float = 0.0
    other: float = 0.0


class Outer(NamedTuple):
    bars: float = 0.0
    inner: Inner = Inner()
    more: float = 0.0


class Deep(NamedTuple):
    first: Inner = Inner()
    outer: Outer = Outer()
    last: float = 0.0


class Knobs(NamedTuple):
    length: float = 3.0


LENGTH = Parameter("length", 3, 1, 9, 1, Unit.BARS, Tier.GREEN, "cells of its window")


def deep(state: type = Deep, cells: int = 0) -> Strategy:
    """A strategy with tuples in the tuples of its state, and a window."""
    return puppet(
        params=Knobs(),
        parameters=(LENGTH,),
        bars=lambda params: 4,
        start=lambda params: (state(), array("d", [0.0] * (cells or int(params.length)))),
        step=lambda params, state, window, bar: (state, NOTHING),
    )


def bits(values: Sequence[float]) -> list[str]:
    return [value.hex() for value in values]


numbers = st.floats()


@some
@given(st.lists(numbers, min_size=7, max_size=7), st.lists(numbers, min_size=3, max_size=3))
def test_a_nested_state_survives_a_restart_bit_for_bit(values, cells):
    a, b, c, d, e, f, g = values
    before, after = slot(deep()), slot(deep())
    before.kernel = Deep(Inner(a, b), Outer(c, Inner(d, e), f), g)
    before.window[:] = array("d", cells)
    after.load(before.dump())
    first, outer, last = after.kernel
    assert bits([*first, outer.bars, *outer.inner, outer.more, last]) == bits(values)
    assert bits(after.window) == bits(cells)
    assert [type(each) for each in (after.kernel, first, outer, outer.inner)] == [
        Deep, Inner, Outer, Inner,
    ]  # fmt: skip
    assert type(after.window) is array


@pytest.mark.parametrize("cut", range(0, 50, 3))
def test_a_slot_put_up_again_anywhere_sees_the_same_bars(cut):
    """Open bars of both timeframes go on, and whether a longer one was shown."""
    feed = candles(50)
    feed = [*feed[:10], *feed[15:]]
    before, after = slot(FIVE_IN_FIFTEEN), slot(FIVE_IN_FIFTEEN)
    early = taken(before, feed[:cut])
    after.load(before.dump())
    assert [*early, *taken(after, feed[cut:])] == taken(slot(FIVE_IN_FIFTEEN), feed)


HEARD = Heard(-1.0, 1.0, 2.0, 3.0)


def lived(strategy: Strategy) -> Slot:
    """A slot with something of everything that is stored."""
    at = slot(strategy)
    *_, at.last_bar = taken(at, candles(23))
    at.kernel = Deep(Inner(1.0, 2.0), Outer(3.0), 4.0)
    at.window[:] = array("d", [5.0] * len(at.window))
    at.bars, at.heard, at.cooldown_until = 4, HEARD, T0 + 7
    return at


def told(at: Slot) -> tuple[object, ...]:
    """All that a slot keeps but its cool-down."""
    opened = at.aggregator.open_bar if at.aggregator else None
    longer = at.higher_aggregator.open_bar if at.higher_aggregator else None
    memory = (at.kernel, list(at.window), at.bars, at.heard, at.last_bar)
    return (*memory, at.higher, opened, longer)


DEEP = replace(deep(), timeframe=FIVE, higher=FIFTEEN)


def test_all_that_a_slot_keeps_comes_back():
    before, after = lived(DEEP), slot(DEEP)
    after.load(before.dump())
    assert told(after) == told(before)
    assert None not in told(after)
    assert after.cooldown_until == T0 + 7


OTHERS = {
    "another parameter": DEEP.tuned({"length": 5.0}),
    "another timeframe": replace(DEEP, timeframe=MINUTE_MS),
    "another pair of them": replace(DEEP, timeframe=FIFTEEN, higher=HOUR),
    "another longer timeframe": replace(DEEP, higher=HOUR),
    "no longer timeframe": replace(DEEP, higher=0),
    "another state": replace(deep(state=Outer), timeframe=FIVE, higher=FIFTEEN),
    "another window": replace(deep(cells=8), timeframe=FIVE, higher=FIFTEEN),
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_a_slot_whose_strategy_changed_begins_again_and_keeps_its_cool_down(changed):
    after = slot(changed)
    after.load(lived(DEEP).dump())
    assert told(after) == told(slot(changed))
    assert after.cooldown_until == T0 + 7


@pytest.mark.parametrize(
    "values", [{"stop_loss": 0.05, "cooldown": 60_000.0}, {"margin": 0.01}, {"flips": 2}]
)
def test_what_is_no_parameter_of_the_kernel_leaves_it_its_memory(values):
    before, after = lived(DEEP), slot(DEEP.tuned(values))
    after.load(before.dump())
    assert told(after) == told(before)


# As the release before stored the short seller after 22 bars of a minute.
OLD_ROW = (
    '{"kernel":[4.0,96.16666666666667,96.16666666666667,93.66666666666667,20089.0,0.0,0.0],'
    '"window":[],"cooldown_until":1735690000000,'
    '"open_bar":[1735690800000,93.33333333333333,94.33333333333333,92.0,93.0,3.0],'
    '"last_bar":[1735690500000,95.0,96.0,92.66666666666667,93.66666666666667,7.5]}'
)


def test_a_row_of_the_release_before_is_taken_on():
    at = slot(shortseller.STRATEGY)
    at.load(OLD_ROW)
    average = 96.16666666666667
    assert at.kernel == shortseller.State(4.0, average, average, 93.66666666666667, 20089.0)
    assert (at.bars, at.cooldown_until, at.heard) == (4, 1735690000000, Heard())
    assert at.last_bar == Bar(1735690500000, 95.0, 96.0, 92.66666666666667, 93.66666666666667, 7.5)
    [bar] = taken(
        at, [Candle(T0 + i * MINUTE_MS, 93.0, 93.0, 92.5, 92.5, 1.5) for i in (22, 23, 24)]
    )
    assert bar == Bar(1735690800000, 93.33333333333333, 94.33333333333333, 92.0, 92.5, 7.5)


def test_a_row_of_the_release_before_is_as_it_was_once_stored_again():
    old, new = slot(shortseller.STRATEGY), slot(shortseller.STRATEGY)
    old.load(OLD_ROW)
    new.load(old.dump())
    assert told(new) == told(old)
