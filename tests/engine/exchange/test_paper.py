"""The paper exchange, against lists made by hand: bars and orders in, answers out."""

import json
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, FUNDING_EVERY_MS, HOUR_MS, Candle
from engine.effect import Cancel, Submit
from engine.event import (
    Executed,
    FundingSettled,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    PriceTicked,
    StopMoved,
)
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instrument import MAJORS
from engine.ledger import Funding, fold
from engine.order import ExecType, Execution, Fill, Order, OrderType, Reason, Side
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BTC_5M,
    BUY,
    SELL,
    T0,
    D,
    bar,
    closed,
    instrument,
    order,
)

# No chance and round costs: 0.1 % as taker, 0.02 % as maker.
FREE = PaperSettings(taker_fee=D("0.001"), maker_fee=D("0.0002"), slippage_max=0.0, seed=1)
RATE = D("0.0001")
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP


def book(settings_: PaperSettings = FREE, rate: Decimal = RATE, deposit: str = "10000", **rules):
    return PaperBook(
        ACCOUNT, D(deposit), settings_, {BTC: instrument(**rules)}, lambda symbol, stamp: rate
    )


def play(paper: PaperBook, *inputs: Candle | Order | Cancel | PriceTicked) -> list[object]:
    """All answers to bars, prices and orders in turn, as they come."""
    answers: list[object] = []
    for item in inputs:
        match item:
            case PriceTicked():
                answers += paper.step(item)
            case Candle():
                answers += paper.step(closed(item))
            case Order():
                answers += paper.step(Submit(item))
            case Cancel():
                answers += paper.step(item)
    return answers


def executions(answers: list[object]) -> list[Execution]:
    return [answer.execution for answer in answers if isinstance(answer, Executed)]


def told(answers: list[object]) -> list[tuple]:
    """Executions in short: when (in bars), side, quantity, price, fee, and why if not an order."""
    return [
        ((e.ts - T0) / BAR, e.side, e.quantity, e.price, e.fee, e.trigger)
        for e in executions(answers)
    ]


def at(index: float) -> int:
    return T0 + round(index * BAR)


# -- market orders -----------------------------------------------------------------------


def test_a_market_order_fills_at_the_next_open():
    answers = play(book(), bar(0, 100), order(BUY, "2", ts=at(1)), bar(1, 103, close=110))
    assert answers[0] == OrderAccepted(ACCOUNT, answers[0].order_link_id, "P00000001", at(1))
    assert told(answers) == [(1, BUY, D(2), D(103), D("0.206"), None)]


def test_an_order_fills_at_the_next_bar_there_is_even_after_a_gap():
    answers = play(book(), bar(0, 100), order(BUY, "2", ts=at(1)), bar(7, 90))
    assert told(answers) == [(7, BUY, D(2), D(90), D("0.180"), None)]


def test_an_execution_says_which_order_it_was():
    placed = order(BUY, "2", ts=at(1))
    [found] = executions(play(book(), bar(0, 100), placed, bar(1, 103)))
    assert (found.order_link_id, found.order_id) == (placed.order_link_id, "P00000001")
    assert (found.exec_id, found.exec_type) == ("E00000001", ExecType.TRADE)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("seed", range(40))
def test_slippage_goes_against_the_order_within_bounds_and_on_the_tick(side, seed):
    slippery = replace(FREE, slippage_max=0.01, seed=seed)
    [found] = executions(
        play(book(slippery), bar(0, 1000), order(side, "1", ts=at(1)), bar(1, 1000))
    )
    worse = (found.price - 1000) * side.sign
    assert 0 <= worse <= 10
    assert found.price % 1 == 0


def test_slippage_is_drawn_anew_for_every_execution():
    paper = book(replace(FREE, slippage_max=0.05))
    prices = set()
    for index in range(0, 40, 2):
        inputs = [
            bar(index, 1000),
            order(BUY, "0.1", ts=at(index + 1)),
            bar(index + 1, 1000),
            order(SELL, "0.1", ts=at(index + 2), reduce_only=True),
        ]
        prices |= {e.price for e in executions(play(paper, *inputs))}
    assert len(prices) > 15


@pytest.mark.parametrize("side", Side)
def test_exits_slip_against_the_position_too(side):
    """A stop of the exchange is a market order: the reference system forgot its slippage."""
    slippery = replace(FREE, slippage_max=0.02, seed=5)
    stop = D(1000 - 50 * side.sign)
    beyond = 1000.0 - 60 * side.sign
    answers = play(
        book(slippery),
        bar(0, 1000),
        order(side, "1", ts=at(1), stop_loss=stop),
        bar(1, 1000),
        bar(2, 1000, high=max(1000, beyond), low=min(1000, beyond), close=beyond),
    )
    found = executions(answers)[-1]
    assert found.trigger is Reason.STOP_LOSS
    assert 0 < (stop - found.price) * side.sign <= 20


@pytest.mark.parametrize(("latency", "price"), [(0, 100), (150_000, 105), (900_000, 110)])
def test_latency_moves_the_price_along_the_bar_and_not_beyond(latency, price):
    late = replace(FREE, latency_ms=latency)
    answers = play(book(late), bar(0, 100), order(BUY, "1", ts=at(1)), bar(1, 100, close=110))
    assert executions(answers)[0].price == price


IMPACT = {
    "small": ("100", BUY, 100_010),  # 0.1 of the hourly volume: 0.01 %
    "small, sold": ("100", SELL, 99_990),
    "huge": ("30000", BUY, 101_000),  # 30 times the hourly volume would be 3 %: capped at 1 %
    "huge, sold": ("30000", SELL, 99_000),
}


@pytest.mark.parametrize(("quantity", "side", "price"), IMPACT.values(), ids=IMPACT)
def test_impact_goes_against_the_order_and_is_capped(quantity, side, price):
    paper = book(
        replace(FREE, impact=True),
        deposit="10000000000",
        quantity_max=D(100_000),
        hourly_volume=D(100_000_000),
    )
    answers = play(paper, bar(0, 100_000), order(side, quantity, ts=at(1)), bar(1, 100_000))
    assert executions(answers)[0].price == price


# -- protection --------------------------------------------------------------------------

LONG = {"side": BUY, "stop": 95, "target": 110}


def opened(side: Side = BUY, entry: float = 100, **levels: int) -> list[Candle | Order]:
    """A position of 1 bought (or sold) at the open of bar 1, which does not move."""
    levels = {name: D(level) for name, level in levels.items()}
    return [bar(0, entry), order(side, "1", ts=at(1), **levels), bar(1, entry)]


PROTECTED = {
    "the stop": (bar(2, 100, low=94), (95, Reason.STOP_LOSS)),
    "the target": (bar(2, 100, high=111), (110, Reason.TAKE_PROFIT)),
    "the stop before the target in one bar": (
        bar(2, 100, high=111, low=94),
        (95, Reason.STOP_LOSS),
    ),
    "a gap through the stop fills at the open": (bar(2, 93), (93, Reason.STOP_LOSS)),
    "a gap through the target fills at the open": (bar(2, 113), (113, Reason.TAKE_PROFIT)),
}


@pytest.mark.parametrize(("second", "expected"), PROTECTED.values(), ids=PROTECTED)
def test_protection_of_a_long(second, expected):
    paper = book()
    price, reason = expected
    answers = play(paper, *opened(stop_loss=95, take_profit=110), second)
    fee = D(price) * D("0.001")
    assert told(answers)[1:] == [(3, SELL, D(1), D(price), fee, reason)]
    assert paper.state.positions == {}
    assert paper.state.ledger.balance == 10_000 + D(price - 100) - D("0.1") - fee


def test_protection_of_a_short():
    short = opened(SELL, stop_loss=105, take_profit=90)
    assert told(play(book(), *short, bar(2, 100, high=106, low=89)))[1:] == [
        (3, BUY, D(1), D(105), D("0.105"), Reason.STOP_LOSS)
    ]


def test_a_position_can_be_stopped_in_the_bar_it_was_opened_in():
    placed = order(BUY, "1", ts=at(1), stop_loss=D(95))
    answers = play(book(), bar(0, 100), placed, bar(1, 100, low=94))
    assert told(answers) == [
        (1, BUY, D(1), D(100), D("0.1"), None),
        (2, SELL, D(1), D(95), D("0.095"), Reason.STOP_LOSS),
    ]


def test_a_stop_of_the_exchange_has_no_order_of_ours():
    found = executions(play(book(), *opened(stop_loss=95), bar(2, 94)))[-1]
    assert (found.order_link_id, found.order_id) == ("", "P00000002")


TRAIL = {"stop_loss": 95, "trailing_stop": 3, "trailing_activation": 105}


def test_a_trailing_stop_waits_for_its_activation():
    paper = book()
    answers = play(paper, *opened(**TRAIL), bar(2, 100, high=104, close=104), bar(3, 104, low=96))
    assert len(executions(answers)) == 1
    assert paper.state.protections[BTC].stop == 95


def test_a_trailing_stop_follows_and_ratchets():
    paper = book()
    play(paper, *opened(**TRAIL), bar(2, 103, high=106, close=105))
    assert paper.state.protections[BTC].stop == 103
    play(paper, bar(3, 105, high=110, close=109), bar(4, 109, high=109, low=108))
    assert paper.state.protections[BTC].stop == 107
    answers = play(paper, bar(5, 108, low=106))
    assert told(answers) == [(6, SELL, D(1), D(107), D("0.107"), Reason.TRAILING_STOP)]


def test_a_trailing_stop_is_met_in_its_own_bar_where_the_close_proves_it():
    """High 110 puts the stop at 107; a close of 106 came after it. A low of 106 alone might
    have come before."""
    proven = play(book(), *opened(**TRAIL), bar(2, 100, high=110, low=100, close=106))
    assert told(proven)[1:] == [(3, SELL, D(1), D(107), D("0.107"), Reason.TRAILING_STOP)]
    unproven = play(book(), *opened(**TRAIL), bar(2, 106, high=110, low=106, close=109))
    assert len(executions(unproven)) == 1


def test_the_exchange_tells_where_a_trailed_stop_stands():
    trailed, idle = bar(2, 103, high=106, close=105), bar(3, 105, high=106, low=104)
    answers = play(book(), *opened(**TRAIL), trailed, idle)
    moved = [answer for answer in answers if isinstance(answer, StopMoved)]
    assert moved == [StopMoved(ACCOUNT, BTC, D(103), T0 + 3 * BAR)]


def test_a_short_trails_from_above():
    short = opened(SELL, stop_loss=105, trailing_stop=3, trailing_activation=95)
    answers = play(book(), *short, bar(2, 97, high=97, low=90, close=91), bar(3, 91, high=94))
    assert told(answers)[1:] == [(4, BUY, D(1), D(93), D("0.093"), Reason.TRAILING_STOP)]


def test_a_trailing_stop_does_not_loosen_when_the_rest_of_its_order_fills():
    """With part fills the second half of an entry must not bring the first stop back."""
    paper, index = trailing_with_half_an_order()
    before = paper.state.protections[BTC].stop
    assert before > 95
    play(paper, bar(index, 106))
    assert paper.state.protections[BTC].stop >= before


def trailing_with_half_an_order() -> tuple[PaperBook, int]:
    """A book whose entry is half filled and whose stop has trailed in the same bar."""
    for seed in range(100):
        paper = book(replace(FREE, partial_fills=True, seed=seed))
        placed = order(BUY, "10", ts=at(1), **{name: D(level) for name, level in TRAIL.items()})
        play(paper, bar(0, 100), placed, bar(1, 100, high=108, low=100, close=106))
        if paper.state.orders:
            return paper, 2
    raise AssertionError("no seed left a part of the order")


def test_the_rest_of_an_order_is_protected_when_its_first_part_was_stopped_out():
    for seed in range(100):
        paper = book(replace(FREE, partial_fills=True, seed=seed))
        placed = order(BUY, "10", ts=at(1), stop_loss=D(95))
        play(paper, bar(0, 100), placed, bar(1, 100, low=94, close=96))
        if paper.state.orders:
            break
    play(paper, bar(2, 100))
    assert paper.state.protections[BTC].stop == 95


# -- break-even --------------------------------------------------------------------------

EVEN = {"stop_loss": 95, "break_even_trigger": 104, "break_even_stop": 101}


def test_the_stop_stands_beyond_the_entry_once_the_price_came_so_far():
    paper = book()
    play(paper, *opened(**EVEN), bar(2, 100, high=103))
    assert paper.state.protections[BTC].stop == 95
    answers = play(paper, bar(3, 103, high=104), bar(4, 103, high=110, low=102))
    assert answers == [StopMoved(ACCOUNT, BTC, D(101), at(4))]
    answers = play(paper, bar(5, 102, low=100))
    assert told(answers) == [(6, SELL, D(1), D(101), D("0.101"), Reason.STOP_LOSS)]


def test_a_short_breaks_even_from_above():
    short = opened(SELL, stop_loss=105, break_even_trigger=96, break_even_stop=99)
    answers = play(book(), *short, bar(2, 100, low=96, close=97), bar(3, 97, high=100))
    assert told(answers)[1:] == [(4, BUY, D(1), D(99), D("0.099"), Reason.STOP_LOSS)]


def test_a_position_without_a_stop_gets_one_at_break_even():
    even = {name: level for name, level in EVEN.items() if name != "stop_loss"}
    answers = play(book(), *opened(**even), bar(2, 103, high=104), bar(3, 103, low=50))
    assert told(answers)[1:] == [(4, SELL, D(1), D(101), D("0.101"), Reason.STOP_LOSS)]


def test_break_even_is_met_in_its_own_bar_where_the_close_proves_it():
    proven = play(book(), *opened(**EVEN), bar(2, 100, high=104, close=100))
    assert told(proven)[1:] == [(3, SELL, D(1), D(101), D("0.101"), Reason.STOP_LOSS)]
    unproven = play(book(), *opened(**EVEN), bar(2, 100, high=104, low=100, close=103))
    assert len(executions(unproven)) == 1


def test_a_stop_may_trail_on_from_break_even():
    paper = book()
    trailing = EVEN | {"trailing_stop": 3, "trailing_activation": 106}
    play(paper, *opened(**trailing), bar(2, 103, high=104))
    play(paper, bar(3, 104, high=108, close=107))
    assert paper.state.protections[BTC].stop == 105
    answers = play(paper, bar(4, 106, low=104))
    assert told(answers) == [(5, SELL, D(1), D(105), D("0.105"), Reason.TRAILING_STOP)]


def test_a_trail_behind_break_even_changes_neither_the_stop_nor_its_name():
    trailing = EVEN | {"trailing_stop": 8, "trailing_activation": 104}
    answers = play(
        book(), *opened(**trailing), bar(2, 103, high=105, close=104), bar(3, 103, low=99)
    )
    assert told(answers)[1:] == [(4, SELL, D(1), D(101), D("0.101"), Reason.STOP_LOSS)]


def test_break_even_is_reached_by_prices_too():
    paper = book()
    answers = play(paper, *opened(**EVEN), tick(2.1, 104), tick(2.2, 101))
    assert told(answers)[1:] == [
        (pytest.approx(2.2), SELL, D(1), D(101), D("0.101"), Reason.STOP_LOSS)
    ]


def test_a_protection_of_the_release_before_breaks_even_never():
    paper, old = book(), book()
    play(old, *opened(**TRAIL))
    state = json.loads(old.dump().body)
    for name in ("break_even", "break_even_stop"):
        del state["protections"][BTC][name]
    paper.load(json.dumps(state))
    assert paper.state.protections == old.state.protections


# -- fixed slippage ----------------------------------------------------------------------


@pytest.mark.parametrize(("side", "price"), [(BUY, 1002), (SELL, 998)])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_fixed_slippage_goes_against_every_order_that_takes(side, price, seed):
    paper = book(replace(FREE, slippage=0.002, seed=seed))
    [found] = executions(play(paper, bar(0, 1000), order(side, "1", ts=at(1)), bar(1, 1000)))
    assert found.price == price


def test_a_fixed_slippage_goes_against_stops_and_targets_but_no_resting_limit():
    slippery = replace(FREE, slippage=0.01)
    [_, stopped] = executions(play(book(slippery), *opened(stop_loss=950, entry=1000), bar(2, 940)))
    assert stopped.price == D(930)
    [_, met] = executions(
        play(book(slippery), *opened(take_profit=1100, entry=1000), bar(2, 1000, high=1100))
    )
    assert met.price == D(1089)
    [rested] = executions(play(book(slippery), bar(0, 100), limit(BUY, 98), bar(1, 100, low=97)))
    assert (rested.price, rested.is_maker) == (D(98), True)


def test_a_draw_comes_on_top_of_the_fixed_slippage():
    both = replace(FREE, slippage=0.01, slippage_max=0.005)
    prices = {
        executions(
            play(book(replace(both, seed=seed)), bar(0, 1000), order(BUY, ts=at(1)), bar(1, 1000))
        )[0].price
        for seed in range(20)
    }
    assert min(prices) >= 1010
    assert max(prices) <= 1015
    assert len(prices) > 2


# -- resting orders ----------------------------------------------------------------------


def limit(side: Side, price: int, quantity: str = "1", **changes) -> Order:
    return order(side, quantity, LIMIT, price=D(price), ts=at(1), **changes)


def test_a_limit_fills_as_maker_when_the_bar_trades_through_it():
    answers = play(book(), bar(0, 100), limit(BUY, 95), bar(1, 100), bar(2, 100, low=94))
    assert told(answers) == [(3, BUY, D(1), D(95), D("0.019"), None)]
    assert executions(answers)[0].is_maker


def test_a_limit_that_is_only_touched_waits_behind_the_others():
    answers = play(book(), bar(0, 100), limit(BUY, 95), bar(1, 100), bar(2, 100, low=95))
    assert executions(answers) == []


def test_a_limit_to_sell_is_the_mirror():
    touched = play(book(), bar(0, 100), limit(SELL, 105), bar(1, 100, high=105))
    passed = play(book(), bar(0, 100), limit(SELL, 105), bar(1, 100, high=106))
    assert executions(touched) == []
    assert told(passed) == [(2, SELL, D(1), D(105), D("0.021"), None)]


def test_a_marketable_limit_takes_the_open_as_taker():
    answers = play(book(), bar(0, 100), limit(BUY, 105), bar(1, 101))
    assert told(answers) == [(1, BUY, D(1), D(101), D("0.101"), None)]
    assert not executions(answers)[0].is_maker


def test_a_marketable_limit_takes_the_open_also_after_a_gap():
    """Bars 1 to 5 are missing: the order still meets the market for the first time at bar 6."""
    answers = play(book(), bar(0, 100), limit(BUY, 105), bar(6, 101, low=99))
    assert told(answers) == [(6, BUY, D(1), D(101), D("0.101"), None)]


@pytest.mark.parametrize("seed", range(20))
def test_a_marketable_limit_never_slips_beyond_its_price(seed):
    slippery = replace(FREE, slippage_max=0.05, seed=seed)
    answers = play(book(slippery), bar(0, 1000), limit(BUY, 1005), bar(1, 1000))
    assert 1000 <= executions(answers)[0].price <= 1005


def stop_entry(side: Side, trigger: int, **changes) -> Order:
    return order(side, "1", STOP, trigger_price=D(trigger), ts=at(1), **changes)


def test_a_stop_entry_fills_at_its_trigger():
    answers = play(book(), bar(0, 100), stop_entry(BUY, 105), bar(1, 100), bar(2, 102, high=106))
    assert told(answers) == [(3, BUY, D(1), D(105), D("0.105"), None)]


def test_a_stop_entry_fills_at_the_open_behind_a_gap():
    answers = play(book(), bar(0, 100), stop_entry(SELL, 95), bar(1, 92))
    assert told(answers) == [(1, SELL, D(1), D(92), D("0.092"), None)]


def test_an_entry_inside_a_bar_can_be_stopped_there_but_reaches_no_target():
    """The high may have come before the entry, so it proves no profit; the low is held against."""
    entry = stop_entry(BUY, 105, stop_loss=D(103), take_profit=D(107))
    answers = play(book(), bar(0, 106), entry, bar(1, 104, high=108, low=104, close=106))
    assert told(answers) == [(2, BUY, D(1), D(105), D("0.105"), None)]
    answers = play(book(), bar(0, 106), entry, bar(1, 104, high=108, low=102, close=106))
    assert told(answers)[1:] == [(2, SELL, D(1), D(103), D("0.103"), Reason.STOP_LOSS)]


def test_the_open_before_an_entry_is_no_gap_through_its_stop():
    """Opened at 100, bought at 105 with a stop at 102: it pays 102, not the open it never saw."""
    entry = stop_entry(BUY, 105, stop_loss=D(102))
    answers = play(book(), bar(0, 100), entry, bar(1, 100, high=106, low=99, close=106))
    assert told(answers)[1:] == [(2, SELL, D(1), D(102), D("0.102"), Reason.STOP_LOSS)]


def test_what_fills_at_the_open_comes_before_what_fills_inside_the_bar():
    """In time's order, so that the stored fills add up as the book did."""
    answers = play(
        book(),
        bar(0, 100),
        limit(BUY, 95),
        order(SELL, "1", ts=at(1), sequence=1),
        bar(1, 100, low=94),
    )
    assert [line[:4] for line in told(answers)] == [
        (1, SELL, D(1), D(100)),
        (2, BUY, D(1), D(95)),
    ]


def test_a_canceled_order_is_gone():
    paper = book()
    placed = limit(BUY, 95)
    answers = play(
        paper, bar(0, 100), placed, Cancel(ACCOUNT, BTC, placed.order_link_id, at(1)), bar(1, 90)
    )
    assert answers[1:] == [OrderCanceled(ACCOUNT, placed.order_link_id, "canceled", at(1))]


def test_canceling_what_is_not_there_says_nothing():
    assert play(book(), Cancel(ACCOUNT, BTC, "nothing", at(1))) == []


# -- reduce-only -------------------------------------------------------------------------


def reducing(side: Side, quantity: str, ts: int, **changes) -> Order:
    return order(side, quantity, ts=ts, reason=Reason.MA_EXIT, reduce_only=True, **changes)


def test_a_reduce_only_order_is_clipped_to_the_position():
    paper = book()
    placed = reducing(SELL, "5", at(2))
    answers = play(paper, *opened(), placed, bar(2, 100), bar(3, 100))
    assert told(answers)[1:] == [(2, SELL, D(1), D(100), D("0.1"), None)]
    assert answers[-1] == OrderCanceled(
        ACCOUNT, placed.order_link_id, "no position to reduce", at(3)
    )
    assert (paper.state.positions, paper.state.orders) == ({}, {})


def test_a_reduce_only_order_is_canceled_when_its_position_is_gone():
    """The stop was hit in the same bar that the exit was meant for the end of."""
    paper = book()
    first, second = reducing(SELL, "1", at(2)), reducing(SELL, "1", at(2), sequence=1)
    answers = play(paper, *opened(), first, second, bar(2, 100))
    assert answers[-1] == OrderCanceled(
        ACCOUNT, second.order_link_id, "no position to reduce", at(2)
    )


@pytest.mark.parametrize("side", Side)
def test_a_reduce_only_order_without_a_position_to_reduce_is_refused(side):
    held = opened(BUY) if side is BUY else [bar(0, 100)]
    answers = play(book(), *held, reducing(side, "1", at(2)))
    assert answers[-1].reason == "no position to reduce"


def test_an_exit_leaves_no_protection_behind():
    paper = book()
    play(paper, *opened(stop_loss=95), reducing(SELL, "1", at(2)), bar(2, 100))
    assert paper.state.protections == {}
    assert play(paper, bar(3, 90)) == []


def test_adding_to_a_position_without_levels_keeps_its_protection():
    paper = book()
    play(paper, *opened(stop_loss=95), order(BUY, "1", ts=at(2)), bar(2, 100))
    assert told(play(paper, bar(3, 94)))[0][1:4] == (SELL, D(2), D(94))


def test_adding_to_a_position_with_levels_moves_its_protection():
    paper = book()
    play(paper, *opened(stop_loss=95), order(BUY, "1", ts=at(2), stop_loss=D(97)), bar(2, 100))
    assert paper.state.protections[BTC].stop == 97


def test_selling_part_of_a_long_does_not_give_it_the_stop_of_a_short():
    paper = book()
    sold = order(SELL, "0.4", ts=at(2), stop_loss=D(105))
    play(paper, *opened(stop_loss=95), sold, bar(2, 100))
    assert paper.state.protections[BTC].stop == 95


def test_turning_a_position_around_turns_its_protection_around():
    paper = book()
    play(paper, *opened(stop_loss=95), order(SELL, "3", ts=at(2), stop_loss=D(105)), bar(2, 100))
    assert paper.state.protections[BTC].stop == 105
    play(paper, order(BUY, "3", ts=at(3)), bar(3, 100))
    assert paper.state.protections[BTC].stop == 0


def test_a_partial_exit_keeps_the_protection():
    answers = play(
        book(), *opened(stop_loss=95), reducing(SELL, "0.4", at(2)), bar(2, 100), bar(3, 94)
    )
    assert told(answers)[-1][1:4] == (SELL, D("0.6"), D(94))


# -- refusals ----------------------------------------------------------------------------

REFUSED = {
    "off the step": (order(quantity="1.05"), "quantity 1.05: at least 0.1, in steps of 0.1"),
    "too small": (order(quantity="0"), "quantity 0: at least 0.1, in steps of 0.1"),
    "too large": (order(quantity="1000.1"), "quantity 1000.1 is above the maximum 1000"),
    "off the tick": (limit(BUY, 95, quantity="1"), None),
    "a limit without a price": (order(order_type=LIMIT), "a limit order needs a price"),
    "a stop without a trigger": (order(order_type=STOP), "a stop order needs a trigger price"),
    "more than the margin": (
        order(quantity="990.1"),
        "insufficient margin: needs 10000.01, 10000.00 is free",
    ),
}
REFUSED["off the tick"] = (
    replace(REFUSED["off the tick"][0], price=D("95.5")),
    "price 95.5: above zero, in steps of 1",
)


@pytest.mark.parametrize(("placed", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_no_exchange_takes_is_refused(placed, reason):
    paper = book(quantity_max=D(1_000))
    answers = play(paper, bar(0, 100), placed)
    assert [answer.reason for answer in answers] == [reason]
    assert isinstance(answers[0], OrderRejected)
    assert paper.state.orders == {}
    assert play(paper, bar(1, 100)) == []


def test_margin_is_taken_to_the_last_cent():
    """990 at 100 with 10 times: 9,900 of margin and 99 of fee leave 1 of 10,000."""
    answers = play(book(), bar(0, 100), order(quantity="990"))
    assert isinstance(answers[0], OrderAccepted)


def test_margin_bound_by_positions_and_resting_orders_is_not_free():
    paper = book()
    play(paper, bar(0, 100), order(BUY, "400", ts=at(1)), bar(1, 100))
    assert paper.free_margin() == D(10_000) - D(40) - D(4_000)
    play(paper, order(BUY, "100", LIMIT, price=D(90), ts=at(2)))
    assert paper.free_margin() == D(5_960) - D(900) - D(9)


def test_an_open_loss_is_not_free():
    paper = book()
    play(paper, bar(0, 100), order(BUY, "400", ts=at(1)), bar(1, 100, close=95))
    assert paper.free_margin() == D(5_960) - D(2_000)


def test_before_the_first_price_nothing_is_taken():
    assert play(book(), order())[0].reason == "no market price yet"


def test_an_id_is_taken_once():
    placed = limit(BUY, 95)
    answers = play(book(), bar(0, 100), placed, placed)
    assert answers[-1].reason == "duplicate order link id"


# -- funding -----------------------------------------------------------------------------

STAMP = FUNDING_EVERY_MS // BAR  # bars between settlements


def payments(answers: list[object]) -> list[FundingSettled]:
    return [answer for answer in answers if isinstance(answer, FundingSettled)]


def flat_bars(first: int, last: int, price: float = 100) -> list[Candle]:
    return [bar(index, price) for index in range(first, last + 1)]


def test_24_hours_are_exactly_three_payments():
    """T16. Entered one bar after midnight, held through 08:00, 16:00 and the next midnight."""
    held = [bar(0, 100), order(BUY, "2", ts=at(1)), *flat_bars(1, 1 + DAY_MS // BAR)]
    paper = book()
    found = payments(play(paper, *held))
    assert [p.ts - T0 for p in found] == [8 * HOUR_MS, 16 * HOUR_MS, 24 * HOUR_MS]
    assert [p.amount for p in found] == [D("-0.02")] * 3
    assert paper.state.ledger.funding == D("-0.06")


SIGNS = {
    "longs pay a positive rate": (BUY, "0.0001", "-0.01"),
    "shorts receive it": (SELL, "0.0001", "0.01"),
    "longs receive a negative rate": (BUY, "-0.0003", "0.03"),
    "shorts pay it": (SELL, "-0.0003", "-0.03"),
}


@pytest.mark.parametrize(("side", "rate", "amount"), SIGNS.values(), ids=SIGNS)
def test_who_pays_funding(side, rate, amount):
    paper = book(rate=D(rate))
    [found] = payments(play(paper, *opened(side), *flat_bars(2, STAMP)))
    assert found == FundingSettled(
        ACCOUNT, BTC, T0 + FUNDING_EVERY_MS, D(amount), D(rate), D(100), D(side.sign)
    )
    assert paper.state.positions[BTC].funding == D(amount)


def test_an_entry_exactly_at_the_stamp_does_not_pay():
    inputs = [bar(STAMP - 1, 100), order(BUY, "1", ts=at(STAMP)), *flat_bars(STAMP, STAMP + 5)]
    assert payments(play(book(), *inputs)) == []


def test_an_exit_at_the_stamps_own_open_pays_first():
    inputs = [
        *opened(),
        *flat_bars(2, STAMP - 1),
        reducing(SELL, "1", at(STAMP)),
        bar(STAMP, 100),
    ]
    answers = play(book(), *inputs)[-2:]
    assert [type(answer) for answer in answers] == [FundingSettled, Executed]


def test_a_stop_in_the_bar_before_the_stamp_does_not_pay():
    inputs = [*opened(stop_loss=95), *flat_bars(2, STAMP - 2), bar(STAMP - 1, 94), bar(STAMP, 94)]
    assert payments(play(book(), *inputs)) == []


def test_a_gap_over_stamps_pays_each_at_the_last_price():
    inputs = [*opened(), bar(2, 100, close=104), bar(3 * STAMP, 110)]
    found = payments(play(book(), *inputs))
    assert [(p.ts - T0) / FUNDING_EVERY_MS for p in found] == [1, 2, 3]
    assert [p.price for p in found] == [D(104), D(104), D(110)]


def test_an_order_that_waits_out_a_stamp_has_nothing_to_pay():
    inputs = [bar(STAMP - 2, 100), order(BUY, "1", ts=at(STAMP - 1)), bar(STAMP + 2, 100)]
    assert payments(play(book(), *inputs)) == []


# -- part fills --------------------------------------------------------------------------


def parted_entry() -> tuple[PaperBook, list[object]]:
    """An order of 10 that filled in more than one part, and all its answers."""
    for seed in range(100):
        paper = book(replace(FREE, partial_fills=True, seed=seed))
        answers = play(paper, bar(0, 100), order(BUY, "10", ts=at(1)), *flat_bars(1, 9))
        if len(executions(answers)) > 1:
            return paper, answers
    raise AssertionError("no seed gave a part fill")


def test_part_fills_finish_on_later_bars_and_their_fees_add_up():
    paper, answers = parted_entry()
    found = executions(answers)
    assert sum(e.quantity for e in found) == 10
    assert D("3") <= found[0].quantity <= D("9")
    assert [e.ts for e in found] == [at(1 + index) for index in range(len(found))]
    assert len({e.order_id for e in found}) == 1
    assert len({e.exec_id for e in found}) == len(found)
    assert sum(e.fee for e in found) == paper.state.ledger.fees == D(1)
    assert paper.state.orders == {}


def test_one_order_in_ten_fills_in_parts():
    first = []
    for seed in range(600):
        paper = book(replace(FREE, partial_fills=True, seed=seed))
        answers = play(paper, bar(0, 100), order(BUY, "10", ts=at(1)), bar(1, 100))
        first.append(executions(answers)[0].quantity)
    parts = [quantity for quantity in first if quantity < 10]
    assert 40 <= len(parts) <= 80
    assert all(D(3) <= quantity <= D(9) for quantity in parts)


def test_the_smallest_order_is_never_overfilled():
    """A step below the minimum may remain: it fills as it is, not as the minimum."""
    for seed in range(200):
        paper = book(replace(FREE, partial_fills=True, seed=seed), quantity_min=D(1))
        answers = play(paper, bar(0, 100), order(BUY, "1.2", ts=at(1)), *flat_bars(1, 12))
        assert sum(e.quantity for e in executions(answers)) == D("1.2")


# -- liquidation -------------------------------------------------------------------------

# Where a long from 10,000 is liquidated (97.5 % of its margin lost at 10 times) and what it is
# paid (all of it), by leverage.
LIQUIDATED = {
    2: (5_050, 5_000),
    5: (8_020, 8_000),
    10: (9_025, 9_000),
    20: (9_525, 9_500),
    50: (9_820, 9_800),
    100: (9_912.5, 9_900),
}


@pytest.mark.parametrize(("leverage", "levels"), LIQUIDATED.items(), ids=str)
@pytest.mark.parametrize("side", Side)
def test_liquidation_takes_the_margin_at_the_bankruptcy_price(side, leverage, levels):
    limit_, paid = (10_000 + (level - 10_000) * side.sign for level in levels)
    short_of = limit_ + side.sign
    paper = book(deposit="100000")
    inputs = [bar(0, 10_000), order(side, "1", ts=at(1), leverage=leverage), bar(1, 10_000)]
    answers = play(paper, *inputs, bar(2, 10_000, max(10_000, short_of), min(10_000, short_of)))
    assert len(executions(answers)) == 1
    beyond = limit_ - side.sign
    answers = play(paper, bar(3, 10_000, max(10_000, beyond), min(10_000, beyond)))
    [found] = executions(answers)
    assert told(answers) == [(4, side.opposite, D(1), D(paid), D(paid) / 1_000, Reason.LIQUIDATION)]
    assert found.exec_type is ExecType.LIQUIDATION
    assert paper.state.ledger.realized == -D(10_000) / leverage


def test_a_stop_before_liquidation_saves_the_rest():
    inputs = [
        bar(0, 10_000),
        order(BUY, "1", ts=at(1), leverage=20, stop_loss=D(9_900)),
        bar(1, 10_000),
        bar(2, 10_000, low=9_000),
    ]
    found = executions(play(book(deposit="100000"), *inputs))[-1]
    assert (found.price, found.trigger) == (D(9_900), Reason.STOP_LOSS)


# -- same inputs, same answers -----------------------------------------------------------


def busy_book(seed: int = 7) -> PaperBook:
    """Every friction on, with the real rules of BTC."""
    frictions = PaperSettings(
        slippage_max=0.0005, impact=True, partial_fills=True, latency_ms=100, seed=seed
    )
    return PaperBook(ACCOUNT, D(10_000), frictions, MAJORS, lambda symbol, stamp: RATE)


def script(seed: int, count: int = 300) -> list[Candle | Order]:
    """Bars that jump about, with entries, exits, limits and stops between them."""
    random, price = Random(seed), 60_000.0
    inputs: list[Candle | Order] = []
    for index in range(count):
        close = round(price * (1 + random.gauss(0, 0.004)), 1)
        top, bottom = max(price, close), min(price, close)
        high, low = round(top + random.random() * 150, 1), round(bottom - random.random() * 150, 1)
        inputs.append(bar(index * (1 + seed % 3), price, high, low, close))
        price = close
        if random.random() < 0.3:
            inputs.append(random_order(random, index, inputs[-1]))
    return inputs


def random_order(random: Random, sequence: int, last: Candle) -> Order:
    side = random.choice([BUY, SELL])
    price = last.close
    kind = random.choice([OrderType.MARKET, OrderType.MARKET, LIMIT, STOP])
    near = D(round(price - side.sign * random.randrange(200)))
    return order(
        side,
        str(D(random.randrange(1, 100)) / 1000),
        kind,
        ts=last.ts + BAR,
        sequence=sequence,
        price=near if kind is LIMIT else None,
        trigger_price=near + 2 * (D(round(price)) - near) if kind is STOP else None,
        reduce_only=random.random() < 0.3,
        stop_loss=D(round(price * (1 - side.sign * 0.01))),
        take_profit=D(round(price * (1 + side.sign * 0.02))),
        trailing_stop=D(200),
        trailing_activation=D(round(price * (1 + side.sign * 0.005))),
        break_even_trigger=D(round(price * (1 + side.sign * 0.003))),
        break_even_stop=D(round(price)),
    )


def test_the_same_seed_gives_the_same_answers():
    assert play(busy_book(), *script(1)) == play(busy_book(), *script(1))


def test_another_seed_slips_otherwise():
    one, other = (executions(play(busy_book(seed), *script(1))) for seed in (7, 8))
    assert [e.price for e in one] != [e.price for e in other]


def test_the_name_of_an_account_changes_no_price():
    slippery = replace(FREE, slippage_max=0.2)
    prices = []
    for account in (ACCOUNT, "paper-other"):
        paper = PaperBook(account, D(10_000), slippery, {BTC: instrument()}, lambda *_: RATE)
        placed = order(BUY, "1", ts=at(1), account=account)
        prices += [e.price for e in executions(play(paper, bar(0, 1000), placed, bar(1, 1000)))]
    assert prices[0] == prices[1]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 20), st.integers(0, 300))
def test_a_book_taken_down_and_put_up_anywhere_goes_on_the_same(seed, cut):
    inputs = script(seed)
    whole = play(busy_book(), *inputs)
    first, second = busy_book(), busy_book()
    answers = play(first, *inputs[:cut])
    second.load(first.dump().body)
    answers += play(second, *inputs[cut:])
    assert answers == whole
    assert len(executions(whole)) > 20


def test_a_book_put_up_before_every_input_goes_on_the_same():
    inputs = script(3)
    paper, answers = busy_book(), []
    for item in inputs:
        row = paper.dump()
        paper = busy_book()
        paper.load(row.body)
        answers += play(paper, item)
    assert answers == play(busy_book(), *inputs)


def test_a_book_over_real_candles_goes_on_the_same_wherever_it_was_cut(recorded):
    candles = recorded(BTC_5M)[4_000:5_000]  # with the crash of 2025-10-10 not far off
    random, inputs = Random(5), []
    for index, candle in enumerate(candles):
        inputs.append(candle)
        if index % 7 == 0:
            inputs.append(random_order(random, index, candle))
    whole = play(busy_book(), *inputs)
    for cut in range(50, len(inputs), 171):
        first, second = busy_book(), busy_book()
        answers = play(first, *inputs[:cut])
        second.load(first.dump().body)
        assert answers + play(second, *inputs[cut:]) == whole


def as_fill(found: Execution) -> Fill:
    return Fill(
        found.exec_id, found.account, BOT, found.symbol, found.order_id, "", found.side,
        found.price, found.quantity, found.ts, found.fee, found.is_maker, found.exec_type,
        Reason.EMA_CROSS,
    )  # fmt: skip


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_money_in_the_book_is_the_fold_of_its_executions(seed):
    paper = busy_book(seed)
    answers = play(paper, *script(seed))
    fills = [as_fill(found) for found in executions(answers)]
    paid = [
        Funding(ACCOUNT, BOT, p.symbol, p.ts, p.amount, p.rate, p.price, p.quantity)
        for p in payments(answers)
    ]
    stored = sorted(fills, key=lambda fill: (fill.exec_time, fill.exec_id))
    folded = fold(ACCOUNT, D(10_000), stored, paid)
    assert folded.ledger == paper.state.ledger
    assert folded.quantities == {s: p.quantity for s, p in paper.state.positions.items()}
    assert folded.costs == {s: p.cost for s, p in paper.state.positions.items()}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_every_execution_is_on_the_tick_and_the_step(seed):
    rules = MAJORS[BTC]
    for found in executions(play(busy_book(seed), *script(seed))):
        assert found.price % rules.tick == 0
        assert found.quantity % rules.quantity_step == 0
        assert found.quantity > 0


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_no_order_is_filled_beyond_its_quantity(seed):
    inputs = script(seed)
    wanted = {item.order_link_id: item.quantity for item in inputs if isinstance(item, Order)}
    filled: dict[str, Decimal] = {}
    for found in executions(play(busy_book(seed), *inputs)):
        if found.order_link_id:
            filled[found.order_link_id] = filled.get(found.order_link_id, D(0)) + found.quantity
    assert all(quantity <= wanted[link_id] for link_id, quantity in filled.items())


# -- live prices -------------------------------------------------------------------------


def tick(index: float, price: float) -> PriceTicked:
    return PriceTicked(BTC, price, at(index))


def ticked(candle: Candle):
    """A bar whose prices were all told before."""
    return replace(closed(candle), ticked=True)


def test_a_market_order_fills_at_the_next_price_told():
    answers = play(book(), bar(0, 100), order(BUY, "2", ts=at(1)), tick(1.01, 103), tick(1.02, 110))
    assert told(answers) == [(pytest.approx(1.01), BUY, D(2), D(103), D("0.206"), None)]


def test_a_stop_is_met_by_the_price_that_reaches_it_and_fills_there():
    paper = book()
    answers = play(paper, *opened(stop_loss=95), tick(2.5, 96), tick(2.6, 94), tick(2.7, 90))
    assert told(answers)[1:] == [
        (pytest.approx(2.6), SELL, D(1), D(94), D("0.094"), Reason.STOP_LOSS)
    ]


def test_a_trailing_stop_follows_prices():
    paper = book()
    play(paper, *opened(**TRAIL), tick(2.1, 106))
    assert paper.state.protections[BTC].stop == 103
    answers = play(paper, tick(2.2, 110), tick(2.3, 108), tick(2.4, 107))
    assert told(answers) == [
        (pytest.approx(2.4), SELL, D(1), D(107), D("0.107"), Reason.TRAILING_STOP)
    ]


def test_a_bar_whose_prices_were_told_meets_nothing_again():
    paper = book()
    play(paper, *opened(stop_loss=95), tick(2.5, 96))
    assert paper.step(ticked(bar(2, 100, low=90, close=97))) == []
    assert paper.state.prices[BTC] == 97


def test_a_bar_that_no_price_was_told_of_is_met_whole():
    """As after an outage: the bar alone knows how low it went."""
    answers = play(book(), *opened(stop_loss=95), tick(1.5, 99), bar(2, 100, low=90, close=97))
    assert told(answers)[1:] == [(3, SELL, D(1), D(95), D("0.095"), Reason.STOP_LOSS)]


def test_a_bar_that_comes_after_later_prices_meets_nothing():
    """It may have been low before the position was there."""
    late = [bar(0, 100), order(BUY, "1", ts=at(2), stop_loss=D(95)), tick(2.1, 100)]
    assert told(play(book(), *late, bar(1, 100, low=90)))[1:] == []


def test_a_bar_that_began_before_the_position_may_stop_it_but_reaches_no_target():
    """What the bar did before is unknown: the worse half is assumed."""
    entry = order(BUY, "1", ts=at(1), stop_loss=D(95), take_profit=D(110))
    begun = [bar(0, 100), entry, tick(1.9, 100)]
    assert told(play(book(), *begun, bar(1, 100, high=120)))[1:] == []
    stopped = told(play(book(), *begun, bar(1, 90, high=100)))[1:]
    assert stopped == [(2, SELL, D(1), D(95), D("0.095"), Reason.STOP_LOSS)]


def test_funding_is_paid_once_whether_a_price_or_a_bar_comes_first():
    settled = FUNDING_EVERY_MS // BAR
    paper = book()
    play(paper, *opened(), bar(settled - 1, 100))
    after = [tick(settled + 0.01, 102), tick(settled + 0.02, 103), bar(settled, 102, close=103)]
    payments = [a for a in play(paper, *after) if isinstance(a, FundingSettled)]
    assert [(p.ts, p.price) for p in payments] == [(at(settled), D(100))]
    again = play(paper, tick(settled + 1.5, 104), bar(settled + 1, 103, close=104))
    assert not [a for a in again if isinstance(a, FundingSettled)]


@given(prices=st.lists(st.integers(80, 120), min_size=1, max_size=60))
@settings(max_examples=60)
def test_prices_one_by_one_and_the_bars_they_make_agree_on_what_is_held(prices):
    """A bar of one moment is what a price is: the same inputs, the same books."""
    by_tick, by_bar = book(), book()
    for index, price in enumerate(prices):
        for paper in (by_tick, by_bar):
            if index % 7 == 0 and not paper.state.positions:
                play(paper, order(BUY, "1", ts=at(index), sequence=index, stop_loss=D(90)))
        play(by_tick, tick(index, price))
        play(by_bar, bar(index, price))
    assert by_tick.state.ledger == by_bar.state.ledger
    assert set(by_tick.state.positions) == set(by_bar.state.positions)


# -- all books behind the port -----------------------------------------------------------


def exchange() -> tuple[PaperExchange, PaperBook, PaperBook]:
    mine = book()
    other = PaperBook("other", D(500), FREE, {BTC: instrument()}, lambda symbol, stamp: RATE)
    return PaperExchange([mine, other], {ACCOUNT: [BTC], "other": ["ETHUSDT"]}), mine, other


async def test_an_order_goes_to_the_book_of_its_account():
    paper, mine, other = exchange()
    paper.on_candle(closed(bar(0, 100)))
    await paper.carry_out(Submit(order()))
    assert (len(mine.state.orders), len(other.state.orders)) == (1, 0)


async def test_a_candle_goes_to_the_books_that_trade_its_symbol():
    paper, mine, other = exchange()
    paper.on_candle(closed(bar(0, 100)))
    assert (mine.state.prices, other.state.prices) == ({BTC: 100.0}, {})


async def test_a_price_is_stored_only_where_something_hangs_on_it():
    paper, mine, _ = exchange()
    paper.on_candle(closed(bar(0, 100)))
    paper.dirty_states()
    assert paper.on_tick(tick(1.1, 101)) == []
    assert paper.dirty_states() == []
    await paper.carry_out(Submit(order(ts=at(1))))
    assert len(executions(paper.on_tick(tick(1.2, 102)))) == 1
    assert [row.key for row in paper.dirty_states()] == [f"paper:{ACCOUNT}"]
    assert mine.state.prices[BTC] == 102


async def test_memory_is_handed_out_once_and_taken_back():
    paper, mine, _ = exchange()
    paper.on_candle(closed(bar(0, 100)))
    await paper.carry_out(Submit(order(ts=at(1))))
    [row] = paper.dirty_states()
    assert (row.key, paper.dirty_states()) == (f"paper:{ACCOUNT}", [])
    again, restored, _ = exchange()
    again.restore({row.key: row})
    assert restored.state == mine.state
    assert len(executions(again.on_candle(closed(bar(1, 100))))) == 1
