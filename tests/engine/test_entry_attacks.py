"""Ways past the layers of risk that were tried: each is shut, and none shuts a way out."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine import entries
from engine.effect import Cancel, Done, NotDone, Submit
from engine.event import (
    ExchangeFailed,
    Executed,
    OrderAccepted,
    OrderRejected,
    PriceTicked,
    Unprotected,
)
from engine.instruction import ClosePosition, KillDesk, LiftLocks, MoveStops, PlaceOrder
from engine.limits import NO_CAPS, NO_LIMITS, Caps, Ladder, Limits
from engine.order import Order, OrderType, Reason
from engine.people import DESK
from engine.standing import Lock
from tests.askers import asking
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    NO_EXITS,
    SELL,
    T0,
    D,
    bot,
    execution,
    puppet,
)
from tests.engine.cores import ETH, of
from tests.engine.limited import FREE, HOUR, enter, leave, limited
from tests.engine.office import TOM, Office

tom = asking(TOM)
BUYING = PlaceOrder(BOT, BTC, BUY, D(1000))
SELLING = replace(BUYING, side=SELL)


def desk(
    limits: Limits = NO_LIMITS, caps: Caps = NO_CAPS, price: float = 100, **how: object
) -> Office:
    """A desk whose symbols have a price."""
    office = limited(limits, caps, **how)
    for symbol in (BTC, ETH):
        office.candle(0, price, symbol=symbol)
    return office


def placed(office: Office, wanted: PlaceOrder) -> Order:
    """Ask for an order by hand and confirm it; the exchange takes it."""
    assert isinstance(office.press(office.propose(wanted, tom), tom), Done)
    [sent] = of(Submit, office.effects)
    order = sent.order
    office.step(OrderAccepted(ACCOUNT, order.order_link_id, "P1", order.created_at))
    return order


def withdrawn(office: Office) -> list[str]:
    return [each.order_link_id for each in of(Cancel, office.effects)]


def limit(wanted: PlaceOrder, price: float) -> PlaceOrder:
    return replace(wanted, order_type=OrderType.LIMIT, price=D(str(price)))


# -- what an order may cost --------------------------------------------------------------


@pytest.mark.parametrize(
    "cap", [Caps(order_value=D(1000)), Caps(position_value=D(1000)), Caps(gross_exposure=D(1000))]
)
def test_a_limit_counts_at_the_price_it_may_be_filled_at(cap):
    """10 coins at 100 are within the cap; the limit lets them cost 1,050."""
    office = desk(caps=cap)
    wanted = limit(replace(BUYING, value=D(1050)), 105)
    refused = office.ask(wanted, tom)
    assert isinstance(refused, NotDone)
    assert "the cap is 1000" in refused.reason
    assert office.propose(replace(wanted, value=D(1000)), tom)


def test_what_is_confirmed_meets_the_caps_with_the_size_that_was_shown():
    """A limit to sell takes more than it asks for where the price has run ahead of it."""
    office = desk(caps=Caps(order_value=D(1000)))
    proposal = office.propose(limit(SELLING, 101), tom)
    office.step(PriceTicked(BTC, 104, T0 + BAR + 1))
    result = office.press(proposal, tom)
    assert isinstance(result, NotDone)
    assert "hard caps: order_value would be" in result.reason
    assert of(Submit, office.effects) == []


# -- what waits for its price when a limit is hit ------------------------------------------


STOPPED = Limits(day=Ladder(stops=D("0.03")))


def test_a_limit_of_losses_withdraws_what_would_still_open_a_position():
    office = desk(STOPPED)
    order = placed(office, limit(BUYING, 90))
    held = enter(office, 1, ETH)
    leave(office, held, 107)
    assert withdrawn(office) == [order.order_link_id]


def test_the_hard_cap_on_a_days_loss_withdraws_it_of_every_bot():
    policy = replace(FREE, caps=Caps(daily_loss=D(600)))
    bots = [bot(symbols=(BTC, ETH)), bot(bot_id="other_001", symbols=(BTC, ETH))]
    office = Office(policy=policy, bots=bots)
    office.candle(0)
    wanted = replace(limit(BUYING, 90), bot_id="other_001", stop_loss=D(89))
    assert isinstance(office.press(office.propose(wanted, tom), tom), Done)
    [sent] = of(Submit, office.effects)
    closing = execution(side=SELL, quantity=50, price="100", trigger=Reason.EXTERNAL, ts=T0 + BAR)
    office.step(Executed(closing))
    office.candle(13, 112)
    office.candle(26, 112)
    assert withdrawn(office) == [sent.order.order_link_id]


def test_a_loss_streak_and_a_lock_withdraw_it_too():
    office = desk(Limits(losses=1, losses_rest_ms=HOUR))
    order = placed(office, limit(BUYING, 90))
    leave(office, enter(office, 1, ETH), 101)
    assert withdrawn(office) == [order.order_link_id]


def test_a_lock_withdraws_only_what_it_locks():
    limits = Limits(losers=1, losers_ms=HOUR, losers_loss=D("0.001"), losers_lock_ms=HOUR)
    office = desk(limits)
    placed(office, limit(BUYING, 90))
    leave(office, enter(office, 1, ETH), 101)
    assert withdrawn(office) == []


# -- what is confirmed late ----------------------------------------------------------------


def shut_by_a_kill(office: Office) -> None:
    office.ask(KillDesk("stop"), DESK)


def shut_by_a_loss(office: Office) -> None:
    leave(office, enter(office, 1, ETH), 107)


def shut_by_a_lock(office: Office) -> None:
    office.core.accounts()[ACCOUNT].tally.locks = (Lock(BTC, "a guard", T0, T0 + 9 * HOUR),)


def shut_by_settings(office: Office) -> None:
    office.policy = replace(office.policy, caps=Caps(order_value=D(900)))
    office.restart()


def shut_by_failures(office: Office) -> None:
    for _ in range(3):
        office.step(ExchangeFailed(ACCOUNT, "no answer", T0 + BAR))


LATE = {
    "mode and kill": shut_by_a_kill,
    "daily loss": shut_by_a_loss,
    "locked": shut_by_a_lock,
    "hard caps": shut_by_settings,
    "circuit breaker": shut_by_failures,
}


@pytest.mark.parametrize(("layer", "shut"), LATE.items(), ids=LATE)
@pytest.mark.parametrize("wanted", [BUYING, limit(BUYING, 90)], ids=["market", "limit"])
def test_what_was_shown_before_a_layer_shut_is_void_after(layer, shut, wanted):
    office = desk(replace(STOPPED, failures=3, failures_ms=HOUR, failures_rest_ms=HOUR))
    proposal = office.propose(wanted, tom)
    shut(office)
    result = office.press(proposal, tom)
    assert isinstance(result, NotDone)
    assert f"{layer}: " in result.reason
    assert of(Submit, office.effects) == []
    again = office.press(proposal, tom)
    assert isinstance(again, NotDone)


# -- stops -------------------------------------------------------------------------------


def test_a_stop_is_not_moved_beyond_what_the_day_may_lose():
    office = desk(caps=Caps(daily_loss=D(100)), strategy=puppet(exits=NO_EXITS))
    order = placed(office, replace(BUYING, stop_loss=D(95)))
    office.step(Executed(execution(order, price="100", ts=T0 + BAR)))
    assert isinstance(office.press(office.propose(MoveStops(BOT, BTC, D(93)), tom), tom), Done)
    tight = office.ask(MoveStops(BOT, BTC, D(97)), tom)
    assert not isinstance(tight, NotDone)
    office.policy = replace(office.policy, caps=Caps(daily_loss=D(60)))
    office.restart()
    refused = office.ask(MoveStops(BOT, BTC, D(93)), tom)
    assert isinstance(refused, NotDone)
    assert "daily_loss would be" in refused.reason


# -- ways out ----------------------------------------------------------------------------


def strange(office: Office, quantity: int = 10, index: int = 1) -> None:
    """Somebody else opens a position at the exchange."""
    ts = T0 + index * BAR
    trade = execution(side=BUY, quantity=quantity, trigger=Reason.EXTERNAL, ts=ts)
    office.step(Executed(trade))


def test_t8_an_order_that_waits_holds_back_no_exit_that_is_tried_again():
    """T8."""
    office = desk()
    order = placed(office, limit(BUYING, 90))
    office.step(Executed(execution(order, quantity=4, price="90", ts=T0 + BAR)))
    office.step(Unprotected(ACCOUNT, BTC, "no stop there", T0 + BAR))
    [closing] = of(Submit, office.effects)
    assert withdrawn(office) == [order.order_link_id]
    office.step(OrderRejected(ACCOUNT, closing.order.order_link_id, "busy", T0 + BAR))
    office.candle(3, 90)
    [again] = of(Submit, office.effects)
    assert (again.order.reduce_only, again.order.reason) == (True, Reason.UNPROTECTED)


def test_t8_a_position_larger_than_the_largest_order_is_closed_in_parts():
    """T8."""
    office = desk()
    strange(office, quantity=1_500)
    proposal = office.propose(ClosePosition(BOT, BTC, D(1)), tom)
    assert isinstance(office.press(proposal, tom), Done)
    [sent] = of(Submit, office.effects)
    assert (sent.order.reduce_only, sent.order.quantity) == (True, D(1_000))


def test_an_execution_before_the_first_price_is_booked():
    office = limited(Limits(day=Ladder(stops=D("0.03"))), Caps(daily_loss=D(100)))
    strange(office, index=0)
    assert entries.committed(office.core._memory, ACCOUNT).positions == 1
    assert Decimal(10) == office.core.view().positions[0].position.quantity


def test_a_lift_meets_the_locks_that_were_shown():
    office = desk(Limits(losers=4))
    kept = office.core.accounts()[ACCOUNT].tally
    kept.locks = (Lock("", "a guard", T0, T0 + HOUR),)
    proposal = office.propose(LiftLocks(), tom)
    kept.locks = (Lock("", "a guard", T0, T0 + 9 * HOUR),)
    assert isinstance(office.press(proposal, tom), NotDone)
