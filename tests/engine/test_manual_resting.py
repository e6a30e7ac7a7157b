"""Orders by hand that wait for a price: their ticket, their life on paper, and their end."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.effect import Cancel, Done, Effect, NotDone, Notice, NoticeKind, Notify, Submit
from engine.event import DeskHalted, Executed, OrderAccepted, OrderUnknown, PriceTicked
from engine.instruction import CancelOrders, HaltDesk
from engine.order import Order, OrderStatus, OrderType
from engine.proposal import ProposalState
from tests.engine.by_hand import (
    ALL,
    BUYING,
    HALF,
    SELLING,
    Trading,
    agreed,
    confirmed,
    priced,
    refused,
    ticket_of,
    tom,
    vic,
)
from tests.engine.conftest import ACCOUNT, BAR, BOT, BTC, SELL, SELL_NOW, T0, D, execution
from tests.engine.cores import of
from tests.engine.office import MINUTE, Office

HOUR = 60 * MINUTE
LIMIT = replace(BUYING, order_type=OrderType.LIMIT, price=D(95), lasts_ms=HOUR)
POST = replace(LIMIT, post_only=True)
STOP = replace(BUYING, order_type=OrderType.STOP, price=D(105), lasts_ms=HOUR)
SHORT_LIMIT = replace(LIMIT, side=SELL, price=D(104))
SHORT_STOP = replace(STOP, side=SELL, price=D(96))


def waiting(instruction=LIMIT, **how: object) -> tuple[Trading, Order]:
    """A desk at 100 with an order by hand that waits."""
    desk = priced(**how)
    order = confirmed(desk, instruction)
    assert desk.orders == [replace(order, status=OrderStatus.NEW, order_id="P00000001")]
    return desk, order


def news(effects: list[Effect]) -> list[Notice]:
    """What all are told: not what goes to the chat alone that asked."""
    notices = [each.notice for each in effects if isinstance(each, Notify)]
    return [each for each in notices if each.address is None]


def told_canceled(desk: Trading) -> list[str | None]:
    return [each.text for each in news(desk.found) if each.kind is NoticeKind.ORDER_CANCELED]


# -- the ticket --------------------------------------------------------------------------


@pytest.mark.parametrize("instruction", [LIMIT, STOP, SHORT_LIMIT, SHORT_STOP])
def test_an_order_with_a_price_is_worked_out_at_that_price(instruction):
    proposal = priced().propose(instruction, tom)
    ticket = ticket_of(proposal)
    price = instruction.price
    assert (ticket.price, ticket.asked_price, ticket.last) == (price, price, D(100))
    assert ticket.quantity == (D(1000) / price).quantize(D("0.1"), rounding="ROUND_DOWN")
    assert ticket.margin == (ticket.quantity * price / 10).quantize(D("0.0001"))
    word = "with the limit" if instruction.order_type is OrderType.LIMIT else "at"
    side = instruction.side
    assert proposal.title == f"{side} {ticket.quantity} {BTC} {word} {price} for {BOT}"


def test_stop_and_target_are_measured_from_the_price_of_the_order():
    wanted = replace(LIMIT, stop_loss=D(96))
    assert refused(priced(), wanted) == "stop: '96' is not valid. Allowed: a price below 95."
    ticket = ticket_of(priced().propose(replace(STOP, stop_loss=D(101), take_profit=D(107)), tom))
    assert (ticket.stop_loss, ticket.take_profit) == (D(101), D(107))


def test_a_limit_that_the_price_has_passed_is_filled_at_the_price():
    """1,000 for at most 104 each are 9.6; they are expected to cost 100."""
    ticket = ticket_of(priced().propose(replace(LIMIT, price=D(104)), tom))
    assert (ticket.quantity, ticket.price, ticket.value) == (D("9.6"), D(100), D(960))


WRONG = {
    "a limit without a price": (replace(LIMIT, price=None), "Allowed: a price."),
    "a market order with one": (replace(BUYING, price=D(95)), "Allowed: none, at the market."),
    "a market order that waits": (
        replace(BUYING, lasts_ms=1),
        "an order at the market never rests",
    ),
    "a stop that may only rest": (replace(STOP, post_only=True), "Allowed: only with a limit."),
    "too long": (replace(LIMIT, lasts_ms=31 * 24 * HOUR), "Allowed: at most 30d."),
    "a negative time": (replace(LIMIT, lasts_ms=-1), "Allowed: at most 30d."),
    "no number": (replace(LIMIT, price=D("NaN")), "limit: 'NaN' is not valid."),
    "off the tick": (replace(LIMIT, price=D("95.5")), "limit: '95.5' is not valid. Allowed: steps"),
    "far away": (replace(STOP, price=D(1001)), "at: '1001' is not valid. Allowed: a price from 1"),
    "a dear limit": (replace(LIMIT, price=D(106)), "Allowed: at most 5% above 100."),
    "a cheap limit to sell": (replace(SHORT_LIMIT, price=D(94)), "Allowed: at most 5% below 100."),
    "a stop to buy below": (replace(STOP, price=D(100)), "Allowed: a price above 100."),
    "a stop to sell above": (replace(SHORT_STOP, price=D(101)), "Allowed: a price below 100."),
    "post only at the price": (
        replace(POST, price=D(100)),
        "a price below 100, or the order would",
    ),
}


@pytest.mark.parametrize(("instruction", "said"), WRONG.values(), ids=WRONG)
def test_a_price_or_a_life_that_an_order_can_not_have_is_refused(instruction, said):
    assert said in refused(priced(), instruction)


def test_a_price_that_runs_away_voids_no_order_that_waits():
    desk = priced()
    proposal = desk.propose(LIMIT, tom)
    desk.play(110)
    assert isinstance(desk.press(proposal, tom), Done)
    assert [order.price for order in desk.orders] == [D(95)]


@pytest.mark.parametrize(("instruction", "price"), [(STOP, 106), (POST, 94)])
def test_an_order_whose_price_was_passed_meanwhile_is_void(instruction, price):
    desk = priced()
    proposal = desk.propose(instruction, tom)
    desk.play(price)
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert desk.ended(proposal).state is ProposalState.VOID
    assert desk.orders == []


def test_a_limit_whose_stop_the_price_has_passed_meanwhile_is_void():
    desk = priced()
    proposal = desk.propose(replace(LIMIT, stop_loss=D(90)), tom)
    desk.play(89)
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert desk.orders == []


# -- filled ------------------------------------------------------------------------------


def test_a_limit_is_sent_with_its_price_and_its_end_and_filled_there():
    """10.5 for 95 each, as maker."""
    desk, order = waiting(replace(LIMIT, stop_loss=D(90)))
    assert (order.order_type, order.price, order.trigger_price) == (OrderType.LIMIT, D(95), None)
    assert (order.expires_at, order.post_only) == (T0 + BAR + HOUR, False)
    desk.play(100, low=95)
    assert not desk.held(), "the price has to go through it"
    desk.play(100, low=94)
    assert desk.held() == D("10.5")
    assert desk.levels() == (D(90), None)
    assert desk.orders == []


def test_a_stop_becomes_a_market_order_where_its_price_is_reached():
    desk, order = waiting(STOP)
    assert (order.order_type, order.price, order.trigger_price) == (OrderType.STOP, None, D(105))
    desk.play(100, high=104)
    assert not desk.held()
    desk.play(100, high=105)
    assert desk.held() == D("9.5")


def test_a_limit_that_the_price_has_passed_takes_at_the_next_price():
    desk = priced()
    confirmed(desk, replace(LIMIT, price=D(104)))
    effects = desk.play(101)
    [told] = news(effects)
    assert told.fill is not None
    assert (told.fill.exec_price, told.fill.is_maker) == (D(101), False)


def test_a_limit_takes_at_the_next_price_told_where_prices_come_one_by_one():
    desk = priced()
    desk.step(PriceTicked(BTC, 100.0, T0 + BAR + 1000))
    confirmed(desk, replace(LIMIT, price=D(104)))
    tick = PriceTicked(BTC, 102.0, T0 + BAR + 2000)
    [executed] = desk.exchange.on_tick(tick)
    assert isinstance(executed, Executed)
    assert (executed.execution.price, executed.execution.is_maker) == (D(102), False)


def test_what_may_only_rest_is_canceled_where_it_would_take():
    desk, _ = waiting(POST)
    effects = desk.play(94)
    assert not desk.held()
    assert desk.orders == []
    [told] = news(effects)
    assert (told.kind, told.text) == (
        NoticeKind.ORDER_CANCELED,
        "it would have taken, and was to rest only",
    )


def test_what_may_only_rest_is_filled_as_maker_where_it_rests():
    desk, _ = waiting(POST)
    desk.play(100)
    desk.play(96, low=94)
    assert desk.held() == D("10.5")


# -- withdrawn ---------------------------------------------------------------------------


def test_what_waits_too_long_is_withdrawn_and_told():
    desk, order = waiting()
    for _ in range(11):
        desk.play(100)
    assert len(desk.orders) == 1
    desk.play(100)
    assert desk.orders == []
    assert told_canceled(desk) == ["canceled"]
    [canceled] = [each for each in of(Order, desk.found) if each.status is OrderStatus.CANCELED]
    assert (canceled.order_link_id, canceled.updated_at) == (order.order_link_id, order.expires_at)


def test_a_price_told_inside_a_bar_ends_it_too():
    desk, order = waiting()
    desk.step(PriceTicked(BTC, 100.0, order.expires_at - 1))
    assert len(desk.orders) == 1
    desk.step(PriceTicked(BTC, 100.0, order.expires_at))
    assert desk.orders == []


def test_an_order_without_an_end_waits_on():
    desk, order = waiting(replace(LIMIT, lasts_ms=0))
    assert order.expires_at == 0
    for _ in range(300):
        desk.play(100)
    assert len(desk.orders) == 1


def test_it_ends_after_a_restart_as_it_would_have_before():
    desk, order = waiting()
    desk.restart()
    [kept] = desk.orders
    assert kept.expires_at == order.expires_at
    desk.step(PriceTicked(BTC, 100.0, order.expires_at))
    assert desk.orders == []


def far(instruction=LIMIT) -> tuple[Office, Order]:
    """A desk whose exchange has taken an order, and says nothing more by itself."""
    desk = Office()
    desk.candle()
    agreed(desk, instruction)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    desk.step(OrderAccepted(ACCOUNT, submit.order.order_link_id, "X1", T0 + BAR))
    return desk, submit.order


def withdrawn(desk: Office) -> list[Cancel]:
    return [effect for effect in desk.effects if isinstance(effect, Cancel)]


def test_an_order_that_is_still_there_is_withdrawn_again_a_minute_later():
    desk, order = far()
    for later, count in ((0, 1), (1000, 0), (MINUTE - 1, 0), (MINUTE, 1), (2 * MINUTE, 1)):
        desk.step(PriceTicked(BTC, 100.0, order.expires_at + later))
        assert len(withdrawn(desk)) == count, later


def test_whoever_may_trade_withdraws_an_order_at_once():
    desk, order = waiting()
    assert desk.ask(CancelOrders(order.order_link_id), vic) == NotDone(
        "That needs the role trader; yours is viewer."
    )
    done = desk.ask(CancelOrders(order.order_link_id), tom)
    assert done == Done(f"Buy 10.5 {BTC} is being withdrawn.")
    assert desk.orders == []
    assert desk.ask(CancelOrders(order.order_link_id), tom) == NotDone(
        "That order is not open any more."
    )
    assert desk.ask(CancelOrders(), tom) == NotDone("No order is open.")


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (CancelOrders(), 1),
        (CancelOrders(symbol=BTC), 1),
        (CancelOrders(bot_id=BOT), 1),
        (CancelOrders(symbol="ETHUSDT"), 0),
        (CancelOrders(bot_id="other"), 0),
    ],
)
def test_only_what_is_meant_is_withdrawn(wanted, count):
    desk, _ = far()
    desk.ask(wanted, tom)
    assert len(withdrawn(desk)) == count


def test_what_closes_a_position_is_not_withdrawn():
    desk = priced()
    confirmed(desk, BUYING)
    desk.play(100)
    closing = confirmed(desk, ALL)
    for wanted in (CancelOrders(), CancelOrders(closing.order_link_id)):
        assert refused(desk, wanted) == (
            "It closes a position: what reduces risk is not withdrawn."
        )
    desk.play(100)
    assert not desk.held()


def test_a_halt_withdraws_what_would_open_a_position():
    desk, _ = waiting()
    done = desk.ask(HaltDesk(), tom)
    assert isinstance(done, Done)
    assert done.text.endswith("go on. 1 order that waited is withdrawn.")
    assert desk.orders == []
    desk.play(90)
    assert not desk.held()


def test_a_desk_that_finds_something_wrong_withdraws_it_too():
    desk, _ = waiting()
    desk.step(DeskHalted("books differ", desk.now))
    assert desk.orders == []


# -- beside a position -------------------------------------------------------------------


def test_a_strategy_enters_nothing_beside_an_order_that_waits():
    desk, _ = waiting()
    desk.play(100, SELL_NOW)
    [refusal] = [each for each in desk.core.why(BTC)[0].gates if not each.passed]
    assert refusal == ("one position a symbol", False, "an order waits for its price")
    assert len(desk.orders) == 1


def half_filled() -> tuple[Office, Order]:
    """A desk that holds 4 of the 10.5 it wanted to buy at 95."""
    desk, order = far(replace(LIMIT, stop_loss=D(90)))
    desk.step(Executed(execution(order, quantity=4, price="95", ts=T0 + BAR + 1)))
    assert len(desk.core.view().open_orders) == 1
    return desk, order


@pytest.mark.parametrize(("instruction", "quantity"), [(ALL, 4), (HALF, 2)])
def test_closing_what_is_filled_withdraws_the_rest(instruction, quantity):
    desk, order = half_filled()
    agreed(desk, instruction)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    assert (submit.order.reduce_only, submit.order.quantity) == (True, D(quantity))
    assert [each.order_link_id for each in withdrawn(desk)] == [order.order_link_id]


def test_a_position_that_its_stop_closes_takes_the_rest_of_its_entry_with_it():
    desk, order = half_filled()
    stopped = execution(side=SELL, quantity=4, price="90", trigger="stop_loss", ts=T0 + 2 * BAR)
    desk.step(Executed(stopped))
    assert [each.order_link_id for each in withdrawn(desk)] == [order.order_link_id]


def test_the_rest_of_an_entry_leaves_a_stop_where_it_was_moved_to():
    desk, order = half_filled()
    state = desk.core.accounts()[ACCOUNT]
    state.entries[BTC] = replace(state.entries[BTC], stop_loss=D(93))
    desk.step(Executed(execution(order, quantity=Decimal("6.5"), price="95", ts=T0 + 2 * BAR)))
    assert state.entries[BTC].stop_loss == D(93)


@pytest.mark.parametrize("unknown", [False, True])
def test_a_position_is_closed_once_at_a_time(unknown):
    """What nobody knows the outcome of may have closed it already."""
    desk = Office()
    desk.candle()
    agreed(desk, SELLING)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    desk.step(Executed(execution(submit.order, ts=T0 + BAR)))
    agreed(desk, ALL)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    said = "an order is on its way already."
    if unknown:
        desk.step(OrderUnknown(ACCOUNT, submit.order.order_link_id, "timed out", T0 + BAR))
        said = "nobody knows whether an order arrived; the exchange is being asked."
    assert refused(desk, ALL) == f"{BTC}: {said}"
