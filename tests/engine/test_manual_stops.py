"""Stops and targets moved by hand, break-even, and closing several positions at once."""

from dataclasses import replace

import pytest

from engine.effect import Done, NotDone, NoticeKind, Notify, Protect, Submit
from engine.event import Executed, PriceTicked, StopMoved
from engine.instruction import BreakEven, ClosePosition, ClosePositions, MoveStops, PlaceOrder
from engine.order import Reason
from engine.proposal import Change, ProposalKind, ProposalState, shown_of
from engine.strategies.exits import Exits
from engine.tunable import Tier
from tests.engine.by_hand import (
    BUYING,
    ETH,
    SELLING,
    Trading,
    agreed,
    confirmed,
    holding,
    priced,
    refused,
    tom,
    vic,
)
from tests.engine.conftest import ACCOUNT, BOT, BTC, BUY, SELL, T0, D, bot, execution, puppet
from tests.engine.office import Office

GUARDED = replace(BUYING, stop_loss=D(92), take_profit=D(120))
SHORT = replace(SELLING, stop_loss=D(108), take_profit=D(80))
STOP_95 = MoveStops(BOT, BTC, stop_loss=D(95))
TARGET_130 = MoveStops(BOT, BTC, take_profit=D(130))
EVEN = BreakEven(BOT, BTC)


def protected(desk: Office) -> list[Protect]:
    return [effect for effect in desk.effects if isinstance(effect, Protect)]


# -- moving ------------------------------------------------------------------------------


def test_moving_a_stop_shows_where_it_was_and_what_closing_there_gains():
    """10 held at 100, 0.1 % a side: at 92 80 are lost and 1.92 of fees, at 95 50 and 1.95."""
    desk = holding(GUARDED)
    proposal = desk.propose(STOP_95, tom)
    assert (proposal.kind, proposal.tier) == (ProposalKind.ORDER, Tier.YELLOW)
    assert proposal.title == f"Move the stop of {BTC} for {BOT}"
    shown = shown_of(proposal)
    assert shown.changes == (
        Change("stop", "92", "95"),
        Change("result at the stop", "-81.92 USDT", "-51.95 USDT"),
    )
    assert shown.risk == ""
    assert isinstance(desk.press(proposal, tom), Done)
    assert desk.levels() == (D(95), D(120))


def test_both_levels_of_a_short_move_together():
    desk = holding(SHORT)
    both = MoveStops(BOT, BTC, D(105), D(85))
    assert [(c.name, c.before, c.after) for c in shown_of(desk.propose(both, tom)).changes] == [
        ("stop", "108", "105"),
        ("result at the stop", "-82.08 USDT", "-52.05 USDT"),
        ("target", "80", "85"),
        ("result at the target", "+198.20 USDT", "+148.15 USDT"),
    ]
    agreed(desk, both)
    assert desk.levels() == (D(105), D(85))
    desk.play(100, high=106)
    assert not desk.held()


def test_a_stop_that_moves_away_says_what_more_may_be_lost():
    desk = holding(replace(GUARDED, stop_loss=D(95)))
    shown = shown_of(desk.propose(replace(STOP_95, stop_loss=D(92)), tom))
    assert shown.risk == ("the stop moves away from the price: 29.97 USDT more may be lost.")


def test_a_level_is_taken_away_with_a_word_about_what_may_be_lost():
    desk = holding(GUARDED)
    none = MoveStops(BOT, BTC, D(0), D(0))
    shown = shown_of(desk.propose(none, tom))
    assert [change.after for change in shown.changes] == ["none"] * 4
    assert shown.risk == "without a stop all of the margin, 100.00 USDT, may be lost."
    agreed(desk, none)
    assert desk.levels() == (None, None)
    desk.play(100, low=91)
    assert desk.held() == D(10)


def test_a_position_without_a_target_is_given_one():
    desk = holding(replace(GUARDED, take_profit=None))
    agreed(desk, TARGET_130)
    assert desk.levels() == (D(92), D(130))
    desk.play(100, high=131)
    assert not desk.held()


WRONG = {
    "nothing": (MoveStops(BOT, BTC), "Say where to: stop=, target=, or both."),
    "where they stand": (MoveStops(BOT, BTC, D(92), D(120)), "stand there already."),
    "a stop above": (MoveStops(BOT, BTC, D(100)), "Allowed: a price below 100."),
    "a target below": (MoveStops(BOT, BTC, None, D(100)), "Allowed: a price above 100."),
    "off the tick": (MoveStops(BOT, BTC, D("95.5")), "Allowed: steps of 1."),
    "no number": (MoveStops(BOT, BTC, D("NaN")), "stop: 'NaN' is not valid."),
    "a negative stop": (MoveStops(BOT, BTC, D(-5)), "Allowed: a price from 1 to 1000."),
    "too far": (MoveStops(BOT, BTC, None, D(1001)), "Allowed: a price from 1 to 1000."),
    "beyond the liquidation": (
        MoveStops(BOT, BTC, D(90)),
        "Allowed: a price above 90, where the position is liquidated.",
    ),
    "another bot": (MoveStops("x", BTC, D(95)), "bot: 'x' is not valid."),
    "what is not held": (MoveStops(BOT, ETH, D(95)), f"{BOT} holds no {ETH}."),
}


@pytest.mark.parametrize(("instruction", "said"), WRONG.values(), ids=WRONG)
def test_levels_that_can_not_be_are_refused(instruction, said):
    assert said in refused(holding(GUARDED), instruction)


def test_a_move_is_void_where_the_stop_was_trailed_meanwhile():
    desk = holding(GUARDED)
    proposal = desk.propose(STOP_95, tom)
    desk.step(StopMoved(ACCOUNT, BTC, D(94), T0))
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert desk.ended(proposal).outcome == "stop was '92', it is '94' now"
    assert desk.ended(proposal).state is ProposalState.VOID


def test_a_move_is_void_where_the_price_has_passed_the_level_or_the_position_is_closed():
    for low, said in ((94, "Allowed: a price below 94"), (91, f"{BOT} holds no {BTC}")):
        desk = holding(GUARDED)
        proposal = desk.propose(STOP_95, tom)
        desk.play(94, low=low)
        assert isinstance(desk.press(proposal, tom), NotDone)
        assert said in desk.ended(proposal).outcome
        assert protected(desk) == []


def test_levels_that_the_exchange_will_not_have_are_told():
    """The price passes the level after it was confirmed: here the exchange knows a newer one."""
    desk = holding(GUARDED)
    proposal = desk.propose(STOP_95, tom)
    desk.exchange._books[ACCOUNT].state.prices[BTC] = 94.0
    desk.press(proposal, tom)
    told = [each.notice for each in desk.found if isinstance(each, Notify)][-1]
    assert told.kind is NoticeKind.PROTECTION
    assert told.text is not None and "has passed it" in told.text
    assert desk.levels() == (D(92), D(120))


def test_a_stop_moved_by_hand_is_trailed_further():
    """It trails by 10 from 110 on: at 120 the stop is at 110, whoever put it where it was."""
    traders = [bot(puppet(exits=Exits(0.08, 0.0, 0.10, 0.10, 0, 0)))]
    desk = holding(bots=traders)
    agreed(desk, STOP_95)
    desk.play(100)
    assert desk.levels()[0] == D(95)
    desk.play(118, high=120)
    assert desk.levels()[0] == D(110)


def test_a_viewer_moves_nothing():
    desk = holding(GUARDED)
    for instruction in (STOP_95, EVEN):
        assert isinstance(desk.ask(instruction, vic), NotDone)
    assert desk.levels() == (D(92), D(120))


# -- break-even --------------------------------------------------------------------------


def test_break_even_moves_the_stop_beyond_the_entry_and_both_fees_at_once():
    """100 x 1.001 / 0.999 are 100.2: on ticks of 1, 101."""
    desk = holding(GUARDED)
    desk.play(103)
    assert desk.ask(EVEN, tom) == Done(
        f"{BTC}: the stop is being moved to 101, the entry and both fees."
    )
    assert desk.levels() == (D(101), D(120))
    desk.play(103, low=100)
    assert not desk.held()
    assert desk.core.accounts()[ACCOUNT].ledger.net > 0


def test_break_even_of_a_short_lies_below():
    desk = holding(SHORT)
    desk.play(97)
    assert isinstance(desk.ask(EVEN, tom), Done)
    assert desk.levels() == (D(99), D(80))


@pytest.mark.parametrize("price", [98, 100, 101])
def test_break_even_waits_for_the_price_to_pass_it(price):
    desk = holding(GUARDED)
    desk.play(price)
    assert refused(desk, EVEN) == (
        f"{BTC} is at {price}: closing costs nothing only beyond 101, where entry and fees are "
        "earned. The price has to pass it first."
    )
    assert desk.levels() == (D(92), D(120))


def test_break_even_never_moves_a_stop_away_from_the_price():
    desk = holding(GUARDED)
    desk.play(110)
    agreed(desk, replace(STOP_95, stop_loss=D(105)))
    assert refused(desk, EVEN) == f"{BTC}: the stop stands at 105 already; break-even is 101."
    assert desk.levels()[0] == D(105)


def test_break_even_needs_a_position():
    assert refused(priced(), EVEN) == f"{BOT} holds no {BTC}."


# -- closing several ---------------------------------------------------------------------


def two_held(btc: float = 100, eth: float = 100) -> Trading:
    """10 of each bought at 100, which are at these prices now."""
    desk = Trading(bots=[bot(symbols=(BTC, ETH))])
    for symbol in (BTC, ETH):
        desk.play(100, symbol=symbol)
        confirmed(desk, PlaceOrder(BOT, symbol, BUY, D(1000)))
        desk.play(100, symbol=symbol)
    desk.play(btc)
    desk.play(eth, symbol=ETH)
    return desk


def closing(desk: Trading) -> dict[str, bool]:
    submits = [effect.order for effect in desk.effects if isinstance(effect, Submit)]
    return {order.symbol: order.reduce_only for order in submits}


def test_one_press_closes_all_that_is_held():
    desk = two_held(110, 95)
    proposal = desk.propose(ClosePositions(), tom)
    assert (proposal.kind, proposal.tier) == (ProposalKind.ORDER, Tier.YELLOW)
    assert proposal.title == f"Close all that is held: {BTC}, {ETH}"
    tickets = shown_of(proposal).tickets
    assert [(t.symbol, t.quantity, t.realizes) for t in tickets] == [
        (BTC, D(10), D("98.9")),
        (ETH, D(10), D("-50.95")),
    ]
    assert desk.press(proposal, tom) == Done(f"{BTC}, {ETH}: closing at the market is sent.")
    assert closing(desk) == {BTC: True, ETH: True}
    for symbol in (BTC, ETH):
        desk.play(100, symbol=symbol)
    assert not desk.held()


def test_only_what_loses_is_closed_where_that_was_asked():
    desk = two_held(110, 95)
    proposal = desk.propose(ClosePositions(losers=True), tom)
    assert proposal.title == f"Close all that loses: {ETH}"
    desk.press(proposal, tom)
    assert closing(desk) == {ETH: True}


def test_a_loser_that_gains_meanwhile_is_closed_all_the_same():
    desk = two_held(110, 95)
    proposal = desk.propose(ClosePositions(losers=True), tom)
    desk.play(105, symbol=ETH)
    assert isinstance(desk.press(proposal, tom), Done)


def test_what_was_closed_meanwhile_is_left_out_and_said():
    desk = two_held()
    proposal = desk.propose(ClosePositions(), tom)
    stopped = execution(
        symbol=ETH, side=SELL, quantity=10, trigger=Reason.STOP_LOSS, exec_id="stopped"
    )
    desk.step(Executed(stopped))
    assert desk.press(proposal, tom) == Done(
        f"{BTC}: closing at the market is sent. Left out: {ETH}: {BOT} holds no {ETH}."
    )
    assert closing(desk) == {BTC: True}


def test_it_is_void_where_nothing_of_it_is_left():
    desk = two_held()
    proposal = desk.propose(ClosePositions(), tom)
    for symbol in (BTC, ETH):
        confirmed(desk, ClosePosition(BOT, symbol, D("0.5")))
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert desk.ended(proposal).outcome.count("an order is on its way already") == 2


@pytest.mark.parametrize(
    ("instruction", "said"),
    [
        (ClosePositions(losers=True), "Nothing that is held loses."),
        (ClosePositions(bot_id="x"), "bot: 'x' is not valid."),
    ],
)
def test_closing_nothing_is_refused(instruction, said):
    assert refused(two_held(), instruction).startswith(said)
    assert refused(priced(), ClosePositions()) == "Nothing is held."


def test_many_symbols_are_counted_in_the_title():
    symbols = tuple(f"C{letter}USDT" for letter in "ABCDEF")
    desk = Trading(bots=[bot(symbols=symbols)])
    for symbol in symbols:
        desk.play(100, symbol=symbol)
        confirmed(desk, PlaceOrder(BOT, symbol, BUY, D(100)))
        desk.play(100, symbol=symbol)
    proposal = desk.propose(ClosePositions(bot_id=BOT), tom)
    assert proposal.title == f"Close all that is held by {BOT}: 6 positions"


def test_a_position_is_as_old_as_the_last_price_and_never_less_than_nothing():
    """On a live market a candle closes minutes before what it led to."""
    desk = holding(GUARDED)
    [before] = desk.core.view().positions
    opened_at = before.position.opened_at
    desk.step(PriceTicked(BTC, 100.0, opened_at + 390_000))
    assert desk.core.view().positions[0].age == 390_000
    for account in desk.core.accounts().values():
        held = account.positions[BTC]
        account.positions[BTC] = replace(held, opened_at=opened_at + 400_000)
    assert desk.core.view().positions[0].age == 0
