"""What seldom happens: fills after the end, positions that others turn around, parts that fail."""

from dataclasses import replace

import pytest

from engine.bybit.account import VenueStatus
from engine.effect import Resume, Submit
from engine.errors import ExchangeRefused
from engine.event import (
    Executed,
    FundingSettled,
    OrderCanceled,
    OrderRejected,
    Surveyed,
    Unprotected,
)
from engine.order import Reason, Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BETA,
    BTC,
    ETH,
    D,
    books,
    closing,
    entry,
    resting,
    venue,
    working,
)

# -- fills that come late ------------------------------------------------------------------------


async def test_a_fill_after_a_cancel_has_its_stops_watched_over(desk, fake):
    order = resting(trailing_stop=D(2))
    await desk.does(Submit(order))
    made = fake.orders[order.order_link_id]
    fake.end(order.order_link_id)
    fake.orders[order.order_link_id] = replace(made, status=VenueStatus.NEW)
    fake.fill(order.order_link_id, D(1))
    await desk.passes(5)

    assert [type(e) for e in desk.told(OrderCanceled, Executed)] == [OrderCanceled, Executed]
    assert fake.held[BTC].trailing_stop == D(2)


async def test_the_orders_that_ended_are_not_remembered_for_ever(desk, fake):
    for number in range(150):
        order = resting(number)
        await desk.exchange.carry_out(Submit(order))
        await desk.passes(0.05)
        fake.end(order.order_link_id)
    orders = desk.exchange._venues[0]._orders

    assert len(desk.told(OrderCanceled)) == 150
    assert len(orders._unfilled) == 100 and not orders._open


# -- positions that others change ------------------------------------------------------------------


async def test_a_position_that_somebody_turns_around_is_none_of_ours(desk, fake):
    await desk.does(Submit(entry()), seconds=3)
    fake.execute(BTC, Side.SELL, D(3))
    fake.held[BTC] = replace(fake.held[BTC], stop_loss=None, take_profit=None)
    fake.reconnect()
    await desk.passes(320)

    assert fake.held[BTC].quantity == D(-2)
    assert fake.called("protect") == []
    assert desk.told(Unprotected) == []


async def test_one_that_was_turned_around_before_the_start_is_none_of_ours(fake, clock):
    fake.execute(BTC, Side.SELL, D(2))
    known = books(positions={BTC: D(-2)}, entries={BTC: entry()})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        await desk.passes(10)

        assert fake.called("protect") == []
        assert desk.told(Unprotected) == []


async def test_a_liquidation_comes_before_an_exit(desk, fake):
    await desk.does(Submit(entry()))

    async def place(order, index=0):
        fake.execute(BTC, Side.SELL, D(1), exec_type="BustTrade", made_by="CreateByLiq")
        raise ExchangeRefused(110_017, "nothing to reduce", benign=True)

    fake.place = place
    desk.forget()
    await desk.does(Submit(closing()), seconds=3)

    kinds = [type(event) for event in desk.told(Executed, OrderRejected, Surveyed)]
    assert kinds == [Executed, OrderRejected, Surveyed]
    assert desk.told(Executed)[0].execution.trigger is Reason.LIQUIDATION
    assert desk.told(Surveyed)[0].survey.positions == ()


async def test_an_exit_that_was_partly_beaten_by_adl_ends_with_what_was_left(desk, fake):
    await desk.does(Submit(entry(quantity=D(5))))
    fake.fills = False
    await desk.does(Submit(closing(quantity=D(5))))
    link_id = closing().order_link_id
    fake.execute(BTC, Side.SELL, D(2), exec_type="AdlTrade", made_by="CreateByAdl_PassThrough")
    fake.execute(
        BTC, Side.SELL, D(3), order_id=fake.orders[link_id].order_id, order_link_id=link_id
    )
    fake.note(replace(fake.orders[link_id], filled_quantity=D(3), status=VenueStatus.FILLED))

    assert sum(e.execution.side.sign * e.execution.quantity for e in desk.told(Executed)) == 0
    [over] = desk.told(OrderCanceled)
    assert (over.order_link_id, over.reason) == (link_id, "the position was smaller than the order")


async def test_funding_of_what_was_just_closed_is_told(desk, fake):
    await desk.does(Submit(entry()), Submit(closing()))
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1), exec_type="Funding", fee=D("0.01"))
    await desk.passes(20)

    [paid] = desk.told(FundingSettled)
    assert (paid.account, paid.amount) == (ALPHA, D("-0.01"))


# -- parts that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["place", "order", "executions", "positions", "position", "server_time", "key_info"]
)
async def test_no_part_of_it_dies_unnoticed(fake, clock, method):
    """Whatever breaks that is no failure of the exchange's ends the whole exchange, and so the
    desk."""
    known = books(positions={BTC: D(1)}, entries={BTC: entry()})
    fake.failing[method].append(RuntimeError("a fault of ours"))
    with pytest.raises(ExceptionGroup) as died:
        async with working(venue(fake), clock=clock, books=[known]) as desk:
            lost = entry(number=2, symbol=ETH)
            await desk.does(Submit(entry(number=1, symbol=ETH)), Resume(lost), seconds=10)
    assert died.group_contains(RuntimeError, match="a fault of ours")


async def test_one_bots_removal_leaves_the_other_at_work(fake, clock):
    async with working(venue(fake, {ALPHA: (BTC,), BETA: (ETH,)}), clock=clock) as desk:
        desk.exchange.close_account(BETA)
        desk.forget()
        await desk.does(Submit(entry()))
        await desk.exchange.survey()

        assert {event.account for event in desk.told(Surveyed)} == {ALPHA}
        assert len(desk.told(Executed)) == 1
