"""The books of a live market: bars come out in order and once, prices at most once a second."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import MINUTE_MS, Candle
from engine.market import live
from engine.market.live import Bar, LiveBars, LivePrices

T0 = 1_735_689_600_000
SECOND = 1_000


def candle(index):
    return Candle(T0 + index * MINUTE_MS, 1.0 + index, 2.0 + index, 0.5, 1.5 + index, 1.0)


def bar(index):
    return Bar(candle(index), ticked=False)


def books(start=0):
    bars = LiveBars(MINUTE_MS)
    bars.begin(T0 + start * MINUTE_MS)
    return bars


def indexes(candles):
    return [(c.ts - T0) // MINUTE_MS for c in candles]


def give_all(bars):
    given = []
    for waiting in list(bars.waiting(float("inf"))):
        bars.give(waiting)
        given.append(waiting.candle)
    return indexes(given)


# -- bars ----------------------------------------------------------------------------------------


def test_a_bar_after_a_missing_one_waits_for_it():
    bars = books()
    bars.add(bar(0))
    bars.add(bar(2))

    assert (give_all(bars), bars.has_gap) == ([0], True)

    assert bars.fill(bars.known, T0 + 2 * MINUTE_MS, [bar(1)]) == 1
    assert (give_all(bars), bars.has_gap) == ([1, 2], False)


def test_a_bar_that_comes_again_is_no_news():
    bars = books()

    assert bars.add(bar(0))
    assert not bars.add(bar(0))
    assert bars.add(bar(2))
    assert not bars.add(bar(2))


def test_a_bar_that_does_not_exist_is_passed_over_once_it_is_said_so():
    bars = books()
    bars.fill(T0, T0 + 4 * MINUTE_MS, [bar(0), bar(3)])

    assert give_all(bars) == [0, 3]


def test_an_answer_that_begins_after_a_hole_is_left():
    bars = books()

    assert bars.fill(T0 + MINUTE_MS, T0 + 3 * MINUTE_MS, [bar(1), bar(2)]) == 0
    assert give_all(bars) == []


def test_bars_are_handed_out_again_from_where_they_are_resumed():
    bars = books()
    bars.fill(T0, T0 + 5 * MINUTE_MS, [bar(i) for i in range(5)])
    give_all(bars)

    bars.begin(T0 + 3 * MINUTE_MS)
    assert give_all(bars) == [3, 4]
    bars.begin(T0 - MINUTE_MS)
    assert (give_all(bars), bars.known) == ([], T0 - MINUTE_MS)


def test_what_nobody_takes_is_not_kept_for_ever(monkeypatch):
    monkeypatch.setattr(live, "BARS_WAITING", 10)
    monkeypatch.setattr(live, "BARS_AHEAD", 5)
    bars = books()
    news = [bars.add(bar(index)) for index in range(100)]

    assert sum(news) == 15
    assert give_all(bars) == list(range(10))
    bars.fill(bars.known, T0 + 100 * MINUTE_MS, [bar(index) for index in range(10, 100)])
    assert give_all(bars) == list(range(10, 100))


def test_bars_that_were_handed_out_are_kept_to_look_back_but_not_all(monkeypatch):
    monkeypatch.setattr(live, "BARS_KEPT", 3)
    bars = books()
    for index in range(10):
        bars.add(bar(index))
        give_all(bars)

    assert indexes(bars.between(T0 + 7 * MINUTE_MS, T0 + 10 * MINUTE_MS)) == [7, 8, 9]
    assert bars.between(T0, T0 + 10 * MINUTE_MS) is None
    assert bars.between(T0 + 7 * MINUTE_MS, T0 + 11 * MINUTE_MS) is None


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_whatever_comes_when_every_bar_is_handed_out_once_and_in_order(data):
    bars, given = books(), []
    for _ in range(data.draw(st.integers(0, 30))):
        match data.draw(st.sampled_from(["stream", "rest", "take"])):
            case "stream":
                bars.add(bar(data.draw(st.integers(0, 12))))
            case "rest":
                start = (bars.known - T0) // MINUTE_MS + data.draw(st.integers(-2, 2))
                end = start + data.draw(st.integers(0, 5))
                answer = [bar(i) for i in range(max(start, 0), end)]
                bars.fill(T0 + start * MINUTE_MS, T0 + end * MINUTE_MS, answer)
            case "take":
                given += give_all(bars)
    bars.fill(bars.known, T0 + 20 * MINUTE_MS, [bar(i) for i in range(20)])
    given += give_all(bars)

    assert given == list(range(len(given)))
    assert len(given) >= 20


# -- prices --------------------------------------------------------------------------------------


def heard(*prices):
    """A symbol whose ticker spoke: pairs of a time in seconds and a price."""
    symbol = LivePrices("BTCUSDT")
    for seconds, price in prices:
        symbol.hear(T0 + int(seconds * SECOND), price)
    return symbol


def test_of_one_second_only_the_last_price_is_told_when_it_is_over():
    symbol = heard((0.1, 5.0), (0.5, 6.0), (0.9, 7.0))
    assert symbol.take() is None

    symbol.hear(T0 + 1_100, 8.0)
    tick = symbol.take()
    assert (tick.price, tick.ts) == (7.0, T0 + 900)
    assert symbol.take() is None


def test_the_last_price_is_told_though_none_follows():
    symbol = heard((0.1, 5.0))
    symbol.pass_seconds(T0 + SECOND)

    assert symbol.take().price == 5.0


def test_who_is_slow_gets_only_the_newest_price():
    symbol = heard(*((second, 100.0 + second) for second in range(10)))

    assert symbol.take().price == 108.0
    assert symbol.take() is None


def test_a_ticker_that_names_no_price_tells_none():
    symbol = heard((0, 5.0), (1, None), (2, None))

    assert symbol.take().price == 5.0
    symbol.pass_seconds(T0 + 9 * SECOND)
    assert symbol.take() is None


def test_the_last_price_of_a_candle_goes_before_it_and_none_after():
    symbol = heard((59.2, 5.0), (59.8, 6.0))

    assert symbol.close(T0 + MINUTE_MS).price == 6.0
    symbol.hear(T0 + 59_900, 7.0)
    symbol.hear(T0 + 62_000, None)
    assert symbol.take() is None


def test_a_price_from_after_the_close_stays_for_after_the_candle():
    symbol = heard((60.2, 5.0), (61.0, 6.0))

    assert symbol.close(T0 + MINUTE_MS) is None
    assert symbol.take().price == 5.0


def test_prices_do_not_go_back_in_time():
    symbol = heard((5.0, 5.0), (3.0, 3.0), (6.0, 6.0))
    assert symbol.take().price == 5.0

    symbol.pass_seconds(T0 + 7 * SECOND)
    symbol.hear(T0 + 4 * SECOND, 4.0)
    symbol.hear(T0 + 9 * SECOND, None)
    assert symbol.take().price == 6.0


@pytest.mark.parametrize(
    ("spoke", "flowed"),
    [
        (range(-2, 62), True),
        (range(1, 62), False),
        ([*range(-2, 20), *range(36, 62)], False),
        ([*range(-2, 20), *range(30, 62)], True),
        (range(-2, 40), False),
        ([], False),
    ],
    ids=["all-through", "from-inside", "long-gap", "short-gap", "until-inside", "never"],
)
def test_a_candle_is_ticked_when_its_ticker_spoke_all_through(spoke, flowed):
    symbol = heard(*((second, None) for second in spoke))

    assert symbol.flowed(candle(0), T0 + MINUTE_MS) is flowed


def test_a_lost_connection_ends_the_flow():
    symbol = heard(*((second, None) for second in range(-2, 30)))
    symbol.lose()
    for second in range(30, 125):
        symbol.hear(T0 + second * SECOND, None)

    assert not symbol.flowed(candle(0), T0 + MINUTE_MS)
    assert symbol.flowed(candle(1), T0 + 2 * MINUTE_MS)


def test_a_candle_whose_prices_nobody_took_in_time_was_not_told():
    symbol = heard(*((second, 1.0 + second) for second in range(-2, 50)))
    symbol.close(T0)

    assert not symbol.was_told(candle(0))
    assert symbol.was_told(candle(1))
