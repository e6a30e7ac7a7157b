"""What is not the desk's, or not as it thinks: nothing is done to it, and nothing gets stuck."""

from dataclasses import replace

import pytest

from engine.core import Core
from engine.effect import Notify, Protect, Submit
from engine.event import (
    DeskStarted,
    ExchangeFailed,
    ExchangeLink,
    Executed,
    FundingSettled,
    HistoryRead,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    PriceTicked,
    StopMoved,
    StopsRefused,
    StopsSet,
    Surveyed,
    Unprotected,
    Unreadable,
)
from engine.order import ZERO, Order, OrderStatus, OrderType, Reason
from engine.reconcile import shut
from engine.survey import HeldThere, RestingThere, Survey
from tests.askers import POLICY
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BTC,
    BUY,
    LEAVE_NOW,
    SELL,
    T0,
    D,
    bot,
    execution,
    instrument,
)
from tests.engine.cores import candle, filled, held, of

LIVE = replace(POLICY, surveys=True)
GONE = "paper-test-removed"


def started(**rules: object) -> Core:
    """A desk that is connected, found what it expected, and may trade."""
    desk = Core([bot()], {BTC: instrument(**rules)}, BAR, "paper", "test", LIVE)
    desk.step(DeskStarted("1.0", 1, T0))
    desk.step(ExchangeLink(ACCOUNT, "", T0))
    look(desk)
    return desk


def look(desk: Core, *found: HeldThere, orders: tuple[RestingThere, ...] = (), ts: int = T0):
    survey = Survey(found, orders, D(10_000), D(9_000), "1001")
    return desk.step(Surveyed(ACCOUNT, survey, T0, ts))


def there(quantity: str, **more: object) -> HeldThere:
    return HeldThere(BTC, D(quantity), **more)


def entered(desk: Core, stop: str = "110") -> Order:
    """A short of 50, with a stop."""
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    filled(desk, submit.order)
    state = desk.accounts()[ACCOUNT]
    state.entries[BTC] = replace(submit.order, stop_loss=D(stop))
    return submit.order


def left(desk: Core, index: int) -> Order:
    [submit] = of(Submit, candle(desk, index, 100, LEAVE_NOW))
    return submit.order


def foreign(desk: Core, side, quantity: str):
    return desk.step(Executed(execution(side=side, quantity=quantity, trigger=Reason.EXTERNAL)))


def ticked(desk: Core, seconds: int):
    return desk.step(PriceTicked(BTC, 100.0, T0 + 3 * BAR + seconds * 1_000))


# -- positions of somebody else ----------------------------------------------------------


def test_a_position_that_somebody_opens_after_ours_gets_none_of_its_stops():
    desk = started()
    entered(desk)
    filled(desk, left(desk, 1))
    foreign(desk, BUY, "7")
    for _ in range(3):
        assert of(Protect, look(desk, there("7"))) == []
    assert of(Submit, look(desk, there("7"))) == []
    assert desk.books()[0].entries == {}


def test_a_position_that_somebody_turns_around_gets_none_of_its_stops():
    desk = started()
    entered(desk)
    foreign(desk, BUY, "80")
    assert held(desk) == {BTC: D(30)}
    for _ in range(3):
        assert of(Protect | Submit, look(desk, there("30"))) == []


def test_a_position_that_somebody_adds_to_keeps_its_stop():
    desk = started()
    entered(desk)
    foreign(desk, SELL, "10")
    [protect] = of(Protect, look(desk, there("-60")))
    assert protect.stop_loss == D(110)


def test_what_somebody_else_opened_no_strategy_closes():
    desk = started()
    foreign(desk, SELL, "7")
    assert desk.view().positions[0].price == D(100)
    assert of(Submit, candle(desk, 1, 100, LEAVE_NOW)) == []


def test_an_entry_that_is_filled_on_after_a_stop_has_its_levels_again():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    desk.step(Executed(execution(submit.order, quantity="20")))
    desk.step(Executed(execution(side=BUY, quantity="20", trigger=Reason.STOP_LOSS)))
    desk.step(Executed(execution(submit.order, quantity="30")))
    assert held(desk) == {BTC: D(-30)}
    assert desk.books()[0].entries[BTC].order_link_id == submit.order.order_link_id


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (Reason.EXTERNAL, "not the desk's"),
        (Reason.LIQUIDATION, "liquidated"),
        (Reason.SETTLEMENT, "settled"),
    ],
)
def test_what_was_done_to_a_position_past_the_desk_shuts_its_symbol_and_is_said_once(reason, said):
    desk = started()
    entered(desk)
    texts = []
    for _ in range(3):
        effects = desk.step(Executed(execution(side=BUY, quantity="10", trigger=reason)))
        texts += [
            each.notice.text for each in of(Notify, effects) if said in (each.notice.text or "")
        ]
    assert len(texts) == 1
    assert said in shut(desk._memory, ACCOUNT, BTC)


# -- orders that are over in the books ---------------------------------------------------


def resting_there(order: Order) -> RestingThere:
    return RestingThere("P1", order.order_link_id, BTC, SELL, order.quantity)


def test_an_order_that_rests_there_and_is_over_here_is_told():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    desk.step(OrderAccepted(ACCOUNT, submit.order.order_link_id, "P1", T0))
    desk.step(OrderCanceled(ACCOUNT, submit.order.order_link_id, "forgotten", T0))
    state = desk.accounts()[ACCOUNT]

    # It may have ended while all was looked at.
    look(desk, orders=(resting_there(submit.order),), ts=T0 + 1_000)
    assert state.doubted == ()
    look(desk, orders=(resting_there(submit.order),), ts=T0 + 300_000)
    [found] = state.doubted
    assert (found.symbol, found.order_id) == (BTC, "P1")


# -- exits -------------------------------------------------------------------------------


def test_a_position_above_the_maximum_is_closed_in_parts():
    desk = started(quantity_max=D(50))
    entered(desk)
    foreign(desk, SELL, "70")
    sizes = []
    order = left(desk, 1)
    while True:
        sizes.append(order.quantity)
        filled(desk, order)
        if not held(desk):
            break
        [submit] = of(Submit, ticked(desk, 10 * len(sizes)))
        order = submit.order
    assert sizes == [50, 50, 20]
    assert ticked(desk, 90) == [] and desk.accounts()[ACCOUNT].orders == {}


def test_an_exit_by_hand_of_a_part_leaves_the_rest():
    desk = started()
    entered(desk)
    half = replace(
        left(desk, 1), order_link_id="by-hand", quantity=D(25), reason=Reason.MANUAL_EXIT
    )
    desk._memory.keep_order(half)
    filled(desk, half)
    desk.step(OrderRejected(ACCOUNT, desk.view().open_orders[0].order_link_id, "no", T0))
    desk._memory.desk.leaving.clear()
    assert held(desk) == {BTC: D(-25)} and of(Submit, ticked(desk, 90)) == []


@pytest.mark.parametrize("refused", [False, True], ids=["first try", "next try"])
def test_an_order_that_waits_to_add_keeps_nobody_from_leaving(refused):
    desk = started()
    entry = entered(desk)
    if refused:
        desk.step(OrderRejected(ACCOUNT, left(desk, 1).order_link_id, "no", T0))
    waiting = replace(
        entry, order_link_id="waits", order_type=OrderType.LIMIT, price=D(105),
        status=OrderStatus.NEW, filled_quantity=ZERO,
    )  # fmt: skip
    desk._memory.keep_order(waiting)
    found = ticked(desk, 10) if refused else candle(desk, 1, 100, LEAVE_NOW)
    assert [submit.order.quantity for submit in of(Submit, found)] == [D(50)]


def test_an_exit_from_what_the_exchange_does_not_hold_is_not_tried_for_ever():
    desk = started()
    entered(desk)
    desk.step(OrderRejected(ACCOUNT, left(desk, 1).order_link_id, "nothing to reduce", T0))
    look(desk)
    look(desk)
    assert of(Submit, ticked(desk, 90)) == []
    # It is held after all: the survey before was wrong.
    look(desk, there("-50", stop_loss=D(110)))
    assert len(of(Submit, ticked(desk, 91))) == 1


# -- funding -----------------------------------------------------------------------------


def test_funding_that_is_told_late_is_not_the_next_position_s():
    desk = started()
    entered(desk)
    filled(desk, left(desk, 1))
    look(desk, ts=T0 + 3 * BAR)
    [submit] = of(Submit, candle(desk, 2, 100, 1.0))
    filled(desk, submit.order)
    opened = desk.accounts()[ACCOUNT].positions[BTC].opened_at
    for ts, paid in ((opened - 1, ZERO), (opened, D(-3))):
        desk.step(FundingSettled(ACCOUNT, BTC, ts, D(-3), D("0.0001"), D(100), D(-50)))
        assert desk.accounts()[ACCOUNT].positions[BTC].funding == paid
    assert desk.accounts()[ACCOUNT].ledger.funding == D(-6)


# -- accounts that are gone --------------------------------------------------------------

LATE = [
    OrderAccepted(GONE, "x", "P1", T0),
    OrderRejected(GONE, "x", "no", T0),
    OrderCanceled(GONE, "x", "no", T0),
    OrderUnknown(GONE, "x", "no", T0),
    Executed(execution(account=GONE)),
    FundingSettled(GONE, BTC, T0, D(1), D(1), D(1), D(1)),
    StopMoved(GONE, BTC, D(1), T0),
    StopsSet(GONE, BTC, D(1), None, T0),
    StopsRefused(GONE, BTC, "no", T0),
    Unprotected(GONE, BTC, "no", T0),
    Surveyed(GONE, Survey((), (), D(1), D(1)), T0, T0),
    ExchangeLink(GONE, "down", T0),
    ExchangeFailed(GONE, "down", T0),
    Unreadable(GONE, BTC, "odd", T0),
    HistoryRead(GONE, T0, T0, 0, T0),
]


@pytest.mark.parametrize("event", LATE, ids=lambda event: type(event).__name__)
def test_what_is_told_of_a_bot_that_was_removed_ends_nobody(event):
    """It was on its way while the bot's removal was being stored."""
    desk = started()
    assert desk.step(event) == []
