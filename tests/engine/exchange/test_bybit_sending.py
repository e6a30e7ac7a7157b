"""Orders on their way to Bybit: each is sent once, and its outcome told once."""

import pytest

from engine.effect import Cancel, Submit, WithdrawThere
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.event import (
    ExchangeFailed,
    Executed,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
)
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BTC,
    ETH,
    closing,
    entry,
    resting,
)

OUTCOMES = (OrderAccepted, OrderRejected, OrderUnknown)


async def test_an_order_is_accepted_once_and_its_fill_is_told(desk, fake):
    order = entry()
    await desk.does(Submit(order))

    (accepted,) = desk.told(*OUTCOMES)
    assert accepted == OrderAccepted(ALPHA, order.order_link_id, "o1", accepted.ts)
    (executed,) = desk.told(Executed)
    assert executed.execution.order_link_id == order.order_link_id
    assert executed.execution.trigger is None
    assert fake.called("place") == [(order,)]


async def test_leverage_is_set_before_an_entry_where_it_is_not_known_to_be_so(desk, fake):
    await desk.does(Submit(entry(leverage=5)))
    await desk.does(Submit(closing(1, leverage=3)), Submit(entry(number=2, leverage=5)))
    changes = [name for name, _ in fake.calls if name in ("set_leverage", "place")]

    assert changes == ["set_leverage", "place", "place", "place"]
    assert fake.called("set_leverage") == [(BTC, 5)]


async def test_leverage_that_is_set_already_is_no_obstacle(desk, fake):
    fake.failing["set_leverage"].append(ExchangeRefused(110_043, "not modified", benign=True))
    await desk.does(Submit(entry(leverage=3)))

    assert len(desk.told(OrderAccepted)) == 1


@pytest.mark.parametrize(
    "error",
    [ExchangeRefused(110_013, "above the risk limit"), OutcomeUnknown("no answer")],
    ids=["refused", "unknown"],
)
async def test_without_its_leverage_an_order_is_not_sent(desk, fake, error):
    fake.failing["set_leverage"].append(error)
    await desk.does(Submit(entry(leverage=3)))

    assert fake.called("place") == []
    (rejected,) = desk.told(*OUTCOMES)
    assert isinstance(rejected, OrderRejected)
    assert str(error) in rejected.reason


async def test_a_refused_order_is_rejected_and_the_exchange_did_not_fail(desk, fake):
    fake.failing["place"].append(ExchangeRefused(110_007, "not enough free money"))
    await desk.does(Submit(entry()))

    (rejected,) = desk.told(*OUTCOMES)
    assert rejected == OrderRejected(
        ALPHA, entry().order_link_id, "not enough free money", rejected.ts
    )
    assert desk.told(ExchangeFailed) == []


async def test_a_key_that_is_refused_is_a_failure_of_the_exchange(desk, fake):
    fake.failing["place"].append(ExchangeRefused(10_003, "unknown key", stops=True))
    await desk.does(Submit(entry()))

    assert [type(event) for event in desk.events[:2]] == [OrderRejected, ExchangeFailed]


async def test_an_order_that_surely_did_not_arrive_is_rejected(desk, fake):
    fake.failing["place"].append(Unreachable("no connection"))
    await desk.does(Submit(entry()))
    await desk.passes(30)

    assert [type(event) for event in desk.told(*OUTCOMES, ExchangeFailed)] == [
        OrderRejected,
        ExchangeFailed,
    ]
    assert len(fake.called("place")) == 1


async def test_an_order_of_unknown_outcome_is_unknown_then_found(desk, fake):
    fake.after["place"].append(OutcomeUnknown("no answer in time"))
    fake.mute = True
    await desk.does(Submit(entry()))
    await desk.passes(1)

    told = [type(event) for event in desk.told(*OUTCOMES, ExchangeFailed, Executed)]
    assert told == [ExchangeFailed, OrderUnknown, OrderAccepted, Executed]
    assert len(fake.called("place")) == 1


async def test_what_the_stream_told_of_an_order_makes_a_lost_answer_harmless(desk, fake):
    fake.after["place"].append(OutcomeUnknown("no answer in time"))
    await desk.does(Submit(entry()))

    assert [type(event) for event in desk.told(*OUTCOMES)] == [OrderAccepted]


async def test_closing_what_is_flat_is_rejected_and_the_account_looked_at(desk, fake):
    looks = len(fake.called("positions"))
    flat = ExchangeRefused(110_017, "there is no position to reduce", benign=True)
    fake.failing["place"].append(flat)
    await desk.does(Submit(closing()))

    assert len(desk.told(OrderRejected)) == 1
    assert desk.told(ExchangeFailed) == []
    assert len(fake.called("positions")) > looks


async def test_orders_of_one_symbol_go_in_order_and_symbols_do_not_wait(desk, fake):
    fake.fills = False
    orders = [entry(number=1), entry(symbol=ETH, number=2), closing(3)]
    await desk.does(*map(Submit, orders))
    sent = [order.order_link_id for (order,) in fake.called("place")]

    assert sorted(sent) == sorted(order.order_link_id for order in orders)
    assert sent.index(orders[0].order_link_id) < sent.index(orders[2].order_link_id)


async def test_a_canceled_order_is_told_once_it_has_ended(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    await desk.does(Cancel(ALPHA, BTC, order.order_link_id, 0))

    (canceled,) = desk.told(OrderCanceled)
    assert (canceled.order_link_id, canceled.reason) == (order.order_link_id, "withdrawn")


async def test_a_cancel_that_failed_is_sent_until_the_order_has_ended(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.failing["cancel"] += [Unreachable("no connection"), OutcomeUnknown("no answer")]
    await desk.does(Cancel(ALPHA, BTC, order.order_link_id, 0))
    await desk.passes(10)

    assert len(fake.called("cancel")) == 3
    assert len(desk.told(OrderCanceled)) == 1
    assert desk.told(ExchangeFailed)


async def test_a_canceled_order_whose_report_is_lost_is_asked_for(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    await desk.does(Cancel(ALPHA, BTC, order.order_link_id, 0))
    await desk.passes(6)

    assert len(desk.told(OrderCanceled)) == 1


async def test_a_cancel_of_an_order_that_is_over_sends_nothing(desk, fake):
    order = entry()
    await desk.does(Submit(order))
    await desk.does(Cancel(ALPHA, BTC, order.order_link_id, 0))

    assert fake.called("cancel") == []


async def test_orders_the_books_do_not_know_are_withdrawn_by_their_ids(desk, fake):
    made = fake.accept(resting(5))
    looks = len(fake.called("open_orders"))
    await desk.does(WithdrawThere(ALPHA, BTC, (made.order_id,), 0))

    assert fake.called("cancel_by_id") == [(BTC, made.order_id)]
    assert len(fake.called("open_orders")) > looks
