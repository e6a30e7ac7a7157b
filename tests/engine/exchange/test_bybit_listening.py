"""What the private stream tells: each execution once, to whom it belongs, whatever comes along."""

from dataclasses import replace

import pytest

from engine.bybit.account import VenueStatus
from engine.bybit.stream import Message
from engine.effect import Submit
from engine.event import (
    Executed,
    FundingSettled,
    OrderCanceled,
    OrderRejected,
    Surveyed,
    Unreadable,
)
from engine.order import ExecType, OrderStatus, Reason, Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BETA,
    BTC,
    ETH,
    SOL,
    D,
    books,
    closing,
    entry,
    execution_row,
    order_row,
    position_row,
    resting,
    venue,
    working,
)


@pytest.fixture
async def desk(fake, clock):
    bots = {ALPHA: (BTC,), BETA: (ETH,)}
    async with working(venue(fake, bots), clock=clock) as desk:
        desk.forget()
        yield desk


def rows(desk):
    return [event.execution for event in desk.told(Executed)]


# -- executions ------------------------------------------------------------------------------


async def test_t3_the_same_execution_is_told_once(desk, fake):
    await desk.does(Submit(entry()))
    (row,) = fake.rows
    fake.push("execution", execution_row(row), execution_row(row))
    await desk.passes(40)

    assert [each.exec_id for each in rows(desk)] == [row.exec_id]


async def test_t7_an_execution_goes_to_the_bot_that_owns_the_symbol_alone(desk, fake):
    fake.execute(ETH, Side.BUY, D(2), stop_kind="StopLoss")
    fake.execute(ETH, Side.SELL, D(2), exec_type="Funding", fee=D("0.7"))
    await desk.passes(0.1)

    assert {event.account for event in desk.told(FundingSettled)} == {BETA}
    assert {each.account for each in rows(desk)} == {BETA}


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"stop_kind": "StopLoss"}, ExecType.TRADE, Reason.STOP_LOSS),
        ({"made_by": "CreateByStopLoss"}, ExecType.TRADE, Reason.STOP_LOSS),
        ({"stop_kind": "PartialTakeProfit"}, ExecType.TRADE, Reason.TAKE_PROFIT),
        ({"made_by": "CreateByTakeProfit"}, ExecType.TRADE, Reason.TAKE_PROFIT),
        ({"stop_kind": "TrailingStop"}, ExecType.TRADE, Reason.TRAILING_STOP),
        ({"made_by": "CreateByLiq"}, ExecType.TRADE, Reason.LIQUIDATION),
        ({"exec_type": "BustTrade"}, ExecType.LIQUIDATION, Reason.LIQUIDATION),
        ({"exec_type": "AdlTrade"}, ExecType.AUTO_DELEVERAGING, Reason.AUTO_DELEVERAGING),
        ({"exec_type": "Delivery"}, ExecType.DELIVERY, Reason.SETTLEMENT),
        ({"exec_type": "Settle"}, ExecType.SETTLEMENT, Reason.SETTLEMENT),
        ({"exec_type": "BlockTrade"}, ExecType.BLOCK, Reason.EXTERNAL),
        ({"exec_type": "MovePosition"}, ExecType.MOVE, Reason.EXTERNAL),
        ({"made_by": "CreateByClosing"}, ExecType.TRADE, Reason.EXTERNAL),
        ({"order_link_id": "x-somebody-elses"}, ExecType.TRADE, Reason.EXTERNAL),
        ({"order_link_id": entry("beta").order_link_id}, ExecType.TRADE, Reason.EXTERNAL),
    ],
)  # fmt: skip
async def test_t5_what_the_exchange_or_others_made_has_its_reason(desk, fake, fields, kind, reason):
    fake.execute(BTC, Side.SELL, D(1), **fields)
    await desk.passes(0.1)

    (row,) = rows(desk)
    assert (row.account, row.exec_type, row.trigger, row.order_link_id) == (
        ALPHA, kind, reason, "",
    )  # fmt: skip


async def test_a_link_id_of_the_bots_own_stays_even_where_the_order_is_not_known(desk, fake):
    link_id = closing(77).order_link_id
    fake.execute(BTC, Side.SELL, D(1), order_link_id=link_id)
    await desk.passes(0.1)

    (row,) = rows(desk)
    assert (row.order_link_id, row.trigger) == (link_id, None)


async def test_funding_is_money_and_no_fill(desk, fake):
    row = fake.execute(
        BTC, Side.SELL, D(2), D(50_000), exec_type="Funding", fee=D("-10"), fee_rate=D("0.0001")
    )
    await desk.passes(0.1)

    assert rows(desk) == []
    (funding,) = desk.told(FundingSettled)
    assert funding == FundingSettled(
        ALPHA, BTC, row.ts, amount=D(10), rate=D("0.0001"), price=D(50_000), quantity=D(-2)
    )


async def test_executions_in_symbols_of_nobodys_are_not_booked_but_shown(desk, fake):
    fake.execute(SOL, Side.BUY, D(3))
    await desk.exchange.survey()

    assert rows(desk) == []
    surveys = desk.told(Surveyed)
    assert {event.account for event in surveys} == {ALPHA, BETA}
    assert surveys[0].survey.foreign == (f"{SOL}: 3 long", f"{SOL}: 1 executions")


# -- what can't be read ------------------------------------------------------------------------


async def test_an_unknown_kind_of_execution_is_told_as_unreadable(desk, fake):
    fake.execute(BTC, Side.BUY, D(1), exec_type="CorporateAction")
    fake.execute(BTC, Side.BUY, D(1))
    await desk.passes(0.1)

    (unreadable,) = desk.told(Unreadable)
    assert (unreadable.account, unreadable.symbol) == (ALPHA, BTC)
    assert "CorporateAction" in unreadable.detail
    assert len(rows(desk)) == 1


async def test_a_row_that_makes_no_sense_hides_no_other(desk, fake):
    good = execution_row(fake.execute(BTC, Side.BUY, D(1)))
    desk.forget()
    fake.push("execution", {**good, "execQty": "many"}, {**good, "execId": "e99"})

    (unreadable,) = desk.told(Unreadable)
    assert (unreadable.account, unreadable.symbol) == (ALPHA, BTC)
    assert "execQty" in unreadable.detail
    assert [row.exec_id for row in rows(desk)] == ["e99"]


@pytest.mark.parametrize("data", [[{"symbol": 7}], [{}], ["row"], "rows", None], ids=str)
async def test_what_names_no_symbol_concerns_everybody(desk, fake, data):
    fake.tell(Message("position", "", 0, data))

    assert [(e.account, e.symbol) for e in desk.told(Unreadable)] == [(ALPHA, ""), (BETA, "")]


async def test_a_row_of_a_symbol_of_nobodys_that_makes_no_sense_concerns_nobody(desk, fake):
    fake.push("execution", {"symbol": SOL, "category": "linear"})

    assert desk.events == []


async def test_other_products_are_not_looked_at(desk, fake):
    row = execution_row(fake.execute(BTC, Side.BUY, D(1)))
    desk.forget()
    fake.push("execution", {**row, "execId": "e99", "category": "spot"})

    assert desk.events == []


async def test_hedge_mode_is_told_once(desk, fake):
    held = replace(await fake.position(BTC), quantity=D(1), index=1)
    fake.push("position", position_row(held))
    fake.push("position", position_row(held))

    (unreadable,) = desk.told(Unreadable)
    assert "hedge mode" in unreadable.detail


# -- reports of orders -------------------------------------------------------------------------


async def test_an_order_is_canceled_only_once_all_it_filled_was_told(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    fake.fill(order.order_link_id, D("0.4"))
    fake.mute = False
    fake.end(order.order_link_id)
    assert desk.told(Executed, OrderCanceled) == []

    await desk.passes(3)
    assert [type(event) for event in desk.told(Executed, OrderCanceled)] == [
        Executed,
        OrderCanceled,
    ]


async def test_a_fill_that_comes_after_its_report_completes_the_order(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    fake.fill(order.order_link_id, D("0.4"))
    fake.mute = False
    fake.end(order.order_link_id)
    fake.push("execution", execution_row(fake.rows[0]))

    assert [type(event) for event in desk.told(Executed, OrderCanceled)] == [
        Executed,
        OrderCanceled,
    ]


async def test_a_single_lost_execution_of_a_filled_order_is_fetched(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    fake.fill(order.order_link_id, D(1))
    fake.mute = False
    fake.note(fake.orders[order.order_link_id])
    await desk.passes(3)

    assert [row.quantity for row in rows(desk)] == [D(1)]
    assert desk.told(OrderCanceled) == []


async def test_a_market_order_that_says_nothing_is_asked_for_until_it_ended(desk, fake):
    fake.fills = False
    order = entry()
    await desk.does(Submit(order))
    await desk.passes(10)
    fake.mute = True
    fake.end(order.order_link_id, why="EC_NoImmediateQtyToFill")
    await desk.passes(10)

    (canceled,) = desk.told(OrderCanceled)
    assert canceled.reason == "nobody was there to trade with"


async def test_executions_that_show_late_are_waited_for(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    fake.fill(order.order_link_id, D("0.4"))
    (row,) = fake.rows
    fake.rows.clear()
    fake.mute = False
    fake.end(order.order_link_id)
    await desk.passes(4)
    assert desk.told(OrderCanceled) == []

    fake.rows.append(row)
    await desk.passes(6)
    assert [type(event) for event in desk.told(Executed, OrderCanceled)] == [
        Executed,
        OrderCanceled,
    ]


async def test_filled_told_twice_on_a_late_cancel_is_one_fill_and_no_cancel(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.fill(order.order_link_id, D(1))
    filled = fake.orders[order.order_link_id]
    fake.push("order", order_row(replace(filled, reason="EC_OrigClOrdIDDoesNotExist")))
    await desk.passes(3)

    assert len(rows(desk)) == 1
    assert desk.told(OrderCanceled) == []


async def test_a_close_that_the_exchange_cut_to_the_position_ends(desk, fake):
    fake.fills = False
    order = closing(quantity=D(3))
    await desk.does(Submit(order))
    cut = fake.orders[order.order_link_id]
    fake.orders[order.order_link_id] = replace(cut, quantity=D(1))
    fake.fill(order.order_link_id, D(1))

    (canceled,) = desk.told(OrderCanceled)
    assert canceled.reason == "the position was smaller than the order"


async def test_an_order_that_is_rejected_after_all_says_why(desk, fake):
    order = resting(post_only=True)
    await desk.does(Submit(order))
    fake.end(order.order_link_id, VenueStatus.REJECTED, "EC_PostOnlyWillTakeLiquidity")

    (rejected,) = desk.told(OrderRejected)
    assert rejected.reason == "it would have taken, and is post-only"


async def test_reports_of_others_orders_are_none_of_the_desks(desk, fake):
    stranger = fake.accept(resting(3, order_link_id="somebody-elses"))
    fake.end(stranger.order_link_id)

    assert desk.told(OrderCanceled, OrderRejected) == []


async def test_an_order_that_was_filled_in_part_before_a_restart_is_canceled(fake, clock):
    order = resting()
    fake.accept(order)
    fake.fill(order.order_link_id, D("0.4"))
    known = replace(
        order, status=OrderStatus.PARTIALLY_FILLED, order_id="o1", filled_quantity=D("0.4")
    )
    held = books(orders={order.order_link_id: known}, positions={BTC: D("0.4")})
    async with working(venue(fake), clock=clock, books=[held]) as desk:
        fake.fill(order.order_link_id, D("0.1"))
        fake.end(order.order_link_id)
        await desk.passes(3)

        assert len(desk.told(OrderCanceled)) == 1
        assert sum(row.quantity for row in rows(desk)) == D("0.5")
