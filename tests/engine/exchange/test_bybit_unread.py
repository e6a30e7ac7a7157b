"""Rows of REST that can't be read: nobody's do no harm, ours are told once, and hide no others."""

from dataclasses import replace

import pytest

from engine.bybit.account import Unread
from engine.effect import ReadHistory, Submit
from engine.errors import Unreachable
from engine.event import ExchangeLink, Executed, OrderAccepted, OrderCanceled, Surveyed, Unreadable
from engine.exchange.surveying import UNREAD_S
from engine.order import Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BETA,
    BTC,
    ETH,
    SOL,
    D,
    entry,
    execution_row,
    order_row,
    venue,
    working,
)

WHY = "feeCurrency is 'MNT'"


@pytest.fixture
async def desk(fake, clock):
    async with working(venue(fake, {ALPHA: (BTC,), BETA: (ETH,)}), clock=clock) as desk:
        desk.forget()
        yield desk


def spoiled(symbol, exec_id="bad", why=WHY):
    return Unread(symbol, exec_id, why)


async def test_an_execution_of_nobodys_does_no_harm_at_all(desk, fake):
    fake.unread_executions.append(spoiled("BTCPERP"))
    fake.disconnect()
    fake.execute(BTC, Side.BUY, D(1), exec_id="mine")
    fake.reconnect()
    await desk.passes(1)

    assert [event.execution.exec_id for event in desk.told(Executed)] == ["mine"]
    assert desk.told(Unreadable) == []
    assert desk.is_up


async def test_one_of_ours_is_told_once_and_all_others_are_booked(desk, fake):
    fake.unread_executions.append(spoiled(BTC))
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1), exec_id="mine")
    before = desk.exchange.health()[0].synced_until
    await desk.passes(100)

    told = [(event.account, event.symbol, event.detail) for event in desk.told(Unreadable)]
    assert told == [(ALPHA, BTC, WHY)]
    assert [event.execution.exec_id for event in desk.told(Executed)] == ["mine"]
    assert desk.exchange.health()[0].synced_until > before
    assert desk.told(ExchangeLink) == []


async def test_what_the_stream_told_is_not_told_again_by_rest(desk, fake):
    fake.mute = True
    row = execution_row(fake.execute(BTC, Side.BUY, D(1))) | {"feeCurrency": "MNT"}
    fake.rows.clear()
    fake.push("execution", row)
    fake.unread_executions.append(spoiled(BTC, str(row["execId"])))
    await desk.passes(40)

    assert len(desk.told(Unreadable)) == 1


async def test_what_the_stream_garbled_is_booked_where_rest_has_it_whole(desk, fake):
    fake.mute = True
    row = fake.execute(BTC, Side.BUY, D(1))
    fake.push("execution", execution_row(row) | {"execQty": "much"})
    await desk.passes(20)

    assert [event.execution.exec_id for event in desk.told(Executed)] == [row.exec_id]


async def test_a_row_without_a_symbol_concerns_everybody(desk, fake):
    fake.unread_executions.append(spoiled(""))
    await desk.passes(40)

    assert [event.account for event in desk.told(Unreadable)] == [ALPHA, BETA]


async def test_an_order_whose_execution_can_not_be_read_does_not_stay_open(desk, fake):
    order = entry()

    def fill(link_id, quantity, price=None):
        made = fake.orders[link_id]
        fake.note(replace(made, filled_quantity=quantity, status=type(made.status)("Filled")))
        fake.unread_executions.append(spoiled(BTC))

    fake.fill = fill
    await desk.does(Submit(order), seconds=3)

    kinds = [type(event) for event in desk.told(OrderAccepted, OrderCanceled, Unreadable)]
    assert kinds == [OrderAccepted, Unreadable, OrderCanceled]
    [over] = desk.told(OrderCanceled)
    assert (over.order_link_id, "can't be read" in over.reason) == (order.order_link_id, True)


async def test_history_goes_on_behind_a_row_that_can_not_be_read(desk, fake, clock):
    fake.unread_executions.append(spoiled(BTC))
    await desk.does(ReadHistory(ALPHA, clock.now() - 1_000, clock.now()))

    assert len(desk.told(Unreadable)) == 1


async def test_positions_and_orders_of_nobodys_are_named_and_do_no_harm(desk, fake):
    fake.unread_positions.append(spoiled(SOL))
    fake.unread_orders.append(spoiled("DOGEUSDT"))
    await desk.exchange.survey()

    assert {event.account for event in desk.told(Surveyed)} == {ALPHA, BETA}
    foreign = desk.told(Surveyed)[0].survey.foreign
    assert [each.partition(":")[0] for each in foreign] == [SOL, "DOGEUSDT"]
    assert desk.told(Unreadable) == []


@pytest.mark.parametrize("where", ["unread_positions", "unread_orders"])
async def test_where_ours_can_not_be_read_nobody_says_what_is_held(desk, fake, where):
    getattr(fake, where).append(spoiled(ETH, ""))
    for _ in range(2):
        with pytest.raises(Unreachable, match="can't be read"):
            await desk.exchange.survey()

    assert desk.told(Surveyed) == []
    assert [event.account for event in desk.told(Unreadable)] == [BETA]


async def test_a_link_that_comes_not_up_says_why(desk, fake):
    fake.disconnect()
    fake.unread_positions.append(spoiled(ETH, ""))
    fake.reconnect()
    await desk.passes(2 * UNREAD_S)
    assert WHY in desk.told(ExchangeLink)[-1].down

    fake.unread_positions.clear()
    await desk.passes(20)
    assert desk.is_up


async def test_an_order_report_that_can_not_be_read_is_told_once(desk, fake):
    order = fake.accept(entry(order_link_id="x"))
    for _ in range(2):
        fake.push("order", order_row(order) | {"orderStatus": "Odd"})

    assert len(desk.told(Unreadable)) == 1
