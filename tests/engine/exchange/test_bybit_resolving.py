"""Orders whose outcome nobody knows: asked for until it is known, and never sent again."""

from dataclasses import replace

from engine.effect import Resume, Submit
from engine.errors import OutcomeUnknown, Unreachable
from engine.event import (
    Executed,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    Surveyed,
)
from engine.exchange.resolving import FORGOTTEN, HORIZON_S, NEVER_ARRIVED
from engine.order import OrderStatus
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    books,
    entry,
    resting,
    venue,
    working,
)

LOST = OutcomeUnknown("no answer in time")


async def test_an_order_that_never_arrived_is_given_up_only_after_the_horizon(desk, fake):
    fake.failing["place"].append(LOST)
    await desk.does(Submit(entry()))
    await desk.passes(HORIZON_S - 0.2)
    assert desk.told(OrderRejected) == []

    await desk.passes(5)
    (rejected,) = desk.told(OrderRejected)
    assert rejected.reason == NEVER_ARRIVED
    assert len(fake.called("place")) == 1


async def test_it_was_looked_for_twice_after_the_horizon_and_among_executions(desk, fake, clock):
    fake.failing["place"].append(LOST)
    sent = clock.monotonic()
    await desk.does(Submit(entry()))
    await desk.passes(HORIZON_S - 0.5)
    asked, read = len(fake.called("order")), len(fake.called("executions"))
    while not desk.told(OrderRejected):
        await desk.passes(0.5)

    assert clock.monotonic() - sent >= HORIZON_S
    assert len(fake.called("order")) - asked >= 2
    assert len(fake.called("executions")) - read >= 2


async def test_an_order_that_shows_late_is_not_given_up(desk, fake):
    order = entry()
    fake.after["place"].append(LOST)
    fake.mute = True
    fake.hidden.add(order.order_link_id)
    await desk.does(Submit(order))
    await desk.passes(4)
    assert desk.told(OrderAccepted) == []

    fake.hidden.clear()
    await desk.passes(4)
    assert [type(event) for event in desk.told(OrderAccepted, OrderRejected)] == [OrderAccepted]


async def test_an_order_that_only_its_executions_tell_of_is_found(desk, fake):
    order = entry()
    fake.after["place"].append(LOST)
    fake.mute = True
    fake.hidden.add(order.order_link_id)
    await desk.does(Submit(order))
    await desk.passes(HORIZON_S + 8)

    assert [type(event) for event in desk.told(OrderAccepted, OrderRejected, Executed)] == [
        OrderAccepted,
        Executed,
    ]


async def test_while_nobody_can_be_asked_an_order_stays_unknown_and_that_is_said_again(desk, fake):
    fake.failing["place"].append(LOST)
    fake.failing["order"] += [Unreachable("down")] * 40
    await desk.does(Submit(entry()))
    await desk.passes(10)
    assert len(desk.told(OrderUnknown)) == 1

    await desk.passes(120)
    assert len(desk.told(OrderUnknown)) == 2
    assert desk.told(OrderRejected) == []


async def test_what_was_resolved_is_followed_by_a_survey(desk, fake):
    fake.after["place"].append(LOST)
    fake.mute = True
    await desk.does(Submit(entry()))
    await desk.passes(3)

    order_of = [type(event) for event in desk.told(OrderAccepted, Surveyed)]
    assert order_of == [OrderAccepted, Surveyed]


async def test_an_unknown_order_that_was_canceled_there_is_accepted_and_canceled(desk, fake):
    order = resting()
    fake.after["place"].append(LOST)
    fake.mute = True
    fake.hidden.add(order.order_link_id)
    await desk.does(Submit(order))
    fake.end(order.order_link_id)
    fake.hidden.clear()
    await desk.passes(3)

    told = [type(event) for event in desk.told(OrderAccepted, OrderCanceled, OrderRejected)]
    assert told == [OrderAccepted, OrderCanceled]


# -- after a restart -------------------------------------------------------------------------


async def test_a_resumed_order_is_never_sent_and_found_with_its_fills(fake, clock):
    order = entry()
    fake.mute = True
    fake.accept(order)
    known = books(orders={order.order_link_id: order})
    async with working(venue(fake), clock=clock, books=[known], first=[Resume(order)]) as desk:
        assert fake.called("place") == []
        told = [type(event) for event in desk.told(OrderAccepted, OrderUnknown, Executed)]
        assert told == [OrderAccepted, Executed]


async def test_a_resumed_order_that_never_was_sent_is_given_up(fake, clock):
    order = entry()
    known = books(orders={order.order_link_id: order})
    async with working(venue(fake), clock=clock, books=[known], first=[Resume(order)]) as desk:
        await desk.passes(HORIZON_S - 1)
        assert [type(event) for event in desk.told(OrderUnknown, OrderRejected)] == [OrderUnknown]

        await desk.passes(5)
        assert [event.reason for event in desk.told(OrderRejected)] == [NEVER_ARRIVED]
        assert fake.called("place") == []


async def test_an_order_that_ended_while_nobody_listened_ends_in_the_books(fake, clock):
    order = resting()
    fake.accept(order)
    fake.fill(order.order_link_id, order.quantity / 2)
    fake.end(order.order_link_id)
    accepted = replace(order, status=OrderStatus.NEW, order_id="o1")
    known = books(orders={order.order_link_id: accepted})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        await desk.passes(3)

        told = desk.told(Executed, OrderCanceled, Surveyed)
        assert [type(event) for event in told] == [Executed, OrderCanceled, Surveyed]


async def test_an_accepted_order_that_the_exchange_has_forgotten_is_canceled(fake, clock):
    order = replace(resting(), status=OrderStatus.NEW, order_id="o1")
    known = books(orders={order.order_link_id: order})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        await desk.passes(HORIZON_S - 1)
        assert desk.told(OrderCanceled) == []

        await desk.passes(HORIZON_S)
        (canceled,) = desk.told(OrderCanceled)
        assert (canceled.account, canceled.reason) == (ALPHA, FORGOTTEN)
