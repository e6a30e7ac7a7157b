"""ADX: when a trend begins, turns and ends, and which of it is traded."""

from collections.abc import Callable

import pytest

from engine.candle import HOUR_MS
from engine.strategies.adx import LEAVE_LONG, LEAVE_SHORT, STRATEGY, TURNED, Params, direction_of
from engine.strategies.exits import Exits
from engine.strategies.forex import BUY, SELL
from engine.strategies.indicators import Adx
from engine.strategies.kernel import LONG_EXIT, NOTHING, SHORT_EXIT, SIGNAL_REVERSAL, Signal
from engine.strategies.sizing import Sizing
from tests.engine.strategies.feeding import bars_of, feed

RISE, FALL = [100.0 + index for index in range(30)], [130.0 - index for index in range(30)]
# Both ways in turn, where a rise or a fall has ended.
HIGH, LOW = [129.0, 128.5] * 40, [101.0, 101.5] * 40


def told(closes: list[float], **params: float) -> list[Signal]:
    return feed(STRATEGY, bars_of(closes, HOUR_MS, reach=0.001), **params)[1]


def spoken(closes: list[float], **params: float) -> list[Signal]:
    """What was said, without silence and repetition."""
    said = [signal for signal in told(closes, **params) if signal != NOTHING]
    return [now for before, now in zip([NOTHING, *said], said, strict=False) if now != before]


@pytest.mark.parametrize("length", [14, 5])
def test_a_rising_trend_is_bought_once_as_soon_as_the_index_is_ready(length):
    assert told(RISE, length=length)[: 2 * length] == [NOTHING] * (2 * length - 1) + [BUY]
    assert spoken(RISE, length=length) == [BUY]
    assert STRATEGY.bars(Params(length=length)) == 2 * length


def test_a_falling_trend_is_not_sold_unless_shorts_are_on():
    assert spoken(FALL) == [TURNED]
    assert spoken(FALL, shorts=1) == [SELL]


def test_a_weak_trend_is_left():
    assert spoken([*RISE, *HIGH]) == [BUY, LEAVE_LONG]
    assert spoken([*FALL, *LOW], shorts=1) == [SELL, LEAVE_SHORT]


def test_a_weak_trend_is_left_on_every_bar_until_it_is_strong_again():
    said = told([*RISE, *HIGH])
    left = said.index(LEAVE_LONG)
    assert set(said[left:]) == {LEAVE_LONG}
    assert spoken([*RISE, *HIGH, *(30 + close for close in RISE)]) == [BUY, LEAVE_LONG, BUY]


def test_a_turn_ends_a_long_and_is_sold_where_shorts_are_on():
    there_and_back = [*RISE, *FALL]
    assert spoken(there_and_back) == [BUY, TURNED]
    assert spoken(there_and_back, shorts=1) == [BUY, SELL]
    assert spoken([*FALL, *RISE], shorts=1) == [SELL, BUY]


def index_when(closes: list[float], holds: Callable[[Adx], bool]) -> tuple[int, Adx]:
    states, _ = feed(STRATEGY, bars_of(closes, HOUR_MS, reach=0.001))
    ready = STRATEGY.bars_needed - 1
    return next((i, s.adx) for i, s in enumerate(states[ready:], ready) if holds(s.adx))


def test_between_weak_and_strong_all_stays_as_it_was():
    """A held trend is kept, and one that is not held does not begin."""
    closes = [*RISE, *HIGH]
    between, index = index_when(closes, lambda index: 20.0 < index.value < 25.0)
    assert told(closes[: between + 1])[-1] == NOTHING
    assert told(HIGH, weak=0.0, strong=50.0)[-1] == NOTHING
    # The same bar is weak by a higher level, not by its own.
    assert told(closes[: between + 1], weak=index.value)[-1] == NOTHING
    assert told(closes[: between + 1], weak=index.value + 0.01)[-1] == LEAVE_LONG


LEVELS = {
    "at the level is not over it": (Adx(value=25.0, plus=30.0, minus=10.0), 0.0),
    "over it, rising": (Adx(value=25.1, plus=30.0, minus=10.0), 1.0),
    "over it, falling": (Adx(value=25.1, plus=10.0, minus=30.0), -1.0),
    "over it, neither": (Adx(value=25.1, plus=20.0, minus=20.0), 0.0),
}


@pytest.mark.parametrize(("index", "direction"), LEVELS.values(), ids=LEVELS)
def test_the_larger_movement_is_the_direction(index, direction):
    assert direction_of(Params(), index) == direction


def test_nothing_is_bought_where_the_price_stands_still():
    still = bars_of([100.0] * 200, HOUR_MS, volumes=[0.0] * 200)
    assert {signal.entry for signal in feed(STRATEGY, still, shorts=1)[1]} == {0.0}


def test_the_ways_out_say_why():
    assert TURNED[:4] == (0.0, 1.0, 0.0, SIGNAL_REVERSAL)
    assert LEAVE_LONG[:4] == (0.0, 1.0, 1.0, LONG_EXIT)
    assert LEAVE_SHORT[:4] == (0.0, 1.0, 1.0, SHORT_EXIT)


def test_it_trades_as_decided():
    assert Params() == (14, 25, 20, 0)
    assert STRATEGY.timeframe == HOUR_MS
    assert STRATEGY.exits_for("BTCUSDT") == Exits(0.02, 0.0, 0.0, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.02, 0.02, 3)


def test_it_puts_the_trend_into_words():
    bars = bars_of(FALL, HOUR_MS)
    states, _ = feed(STRATEGY, bars)
    assert STRATEGY.explain(Params(), states[27], bars[27]) == [
        ("ADX over 25", True, "100.0, leaves under 20"),
        ("direction may be traded", False, "+DI 0.0, -DI 100.0, shorts off"),
        ("trend begins on this bar", True, "just now"),
    ]
    assert STRATEGY.explain(Params(), states[28], bars[28])[2].detail == "lasts"
    just_strong = Params(strong=states[28].adx.value)
    assert not STRATEGY.explain(just_strong, states[28], bars[28])[0].holds


def test_a_trend_that_is_weak_does_not_begin():
    bars = bars_of([*RISE, *HIGH], HOUR_MS, reach=0.001)
    states, signals = feed(STRATEGY, bars)
    left = signals.index(LEAVE_LONG)
    assert STRATEGY.explain(Params(), states[left], bars[left])[2][1:] == (False, "no trend")
