"""Trades and orders, as they were stored."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.desk import Desk
from engine.order import Order, OrderStatus, Reason, order_link_id
from engine.ports import Commit
from engine.position import Trade
from handlers.reply import Duration, Money, Percent, Price, Quantity, Time, Word
from tests.handlers.desks import BOT, BTC, fields, rows, say, table

D = Decimal


async def test_a_trade_shows_its_prices_result_reason_and_time(desk: Desk) -> None:
    answer = await say(desk, "/trades")
    (trade,) = await desk.store.recent(Trade)
    (row,) = rows(table(answer, "Trades"))
    assert row == {
        "id": "T1",
        "symbol": BTC,
        "side": "short",
        "quantity": Quantity(D("0.049")),
        "entry": Price(trade.entry_price, 1),
        "exit": Price(trade.exit_price, 1),
        "net": Money(trade.net_pnl, signed=True),
        "net_pct": Percent(trade.pnl_pct, signed=True),
        "reason": Word("ma_exit"),
        "held": Duration(trade.exit_time - trade.entry_time),
        "closed": Time(trade.exit_time),
    }


async def test_the_newest_trade_stands_first_and_the_summary_counts_those_shown(
    desk: Desk,
) -> None:
    (first,) = await desk.store.recent(Trade)
    later = [
        replace(first, trade_id=n, exit_time=first.exit_time + n, net_pnl=D(n)) for n in range(2, 6)
    ]
    await desk.store.commit(Commit(epoch=1, facts=[*later]))
    answer = await say(desk, "/trades 4")
    assert [row["id"] for row in rows(table(answer, "Trades"))] == ["T5", "T4", "T3", "T2"]
    assert fields(answer, "Of these") == {
        "wins": 4,
        "losses": 0,
        "win_rate": Percent(1.0),
        "net": Money(D(14), signed=True),
    }


async def test_trades_of_another_market_are_not_shown(desk: Desk) -> None:
    (trade,) = await desk.store.recent(Trade)
    stranger = replace(trade, trade_id=9, account="paper-other-bot")
    await desk.store.commit(Commit(epoch=1, facts=[stranger]))
    assert [row["id"] for row in rows(table(await say(desk, "/trades"), "Trades"))] == ["T1"]


async def test_without_trades_there_is_no_summary(young_desk: Desk) -> None:
    (block,) = (await say(young_desk, "/trades")).blocks
    assert block == table(await say(young_desk, "/trades"), "Trades")
    assert table(await say(young_desk, "/trades"), "Trades").rows == ()


@pytest.mark.parametrize("limit", ["0", "51", "-1", "many"])
async def test_a_limit_outside_of_1_to_50_is_refused(desk: Desk, limit: str) -> None:
    for name in ("trades", "orders"):
        answer = await say(desk, f"/{name} {limit}")
        assert "a whole number from 1 to 50" in str(answer.error)


async def test_orders_are_listed_newest_first_with_status_and_reason(desk: Desk) -> None:
    listed = rows(table(await say(desk, "/orders"), "Orders"))
    assert [(row["order"], row["status"], row["reason"]) for row in listed] == [
        ("P00000003", "Filled", Word("ema_cross")),
        ("P00000002", "Filled", Word("ma_exit")),
        ("P00000001", "Filled", Word("ema_cross")),
    ]


async def test_an_open_order_stands_before_newer_finished_ones(desk: Desk) -> None:
    orders = await desk.store.recent(Order)
    waiting = replace(
        orders[0],
        order_link_id=order_link_id(BOT, Reason.EMA_CROSS, orders[0].created_at - 1, 0),
        order_id=None,
        status=OrderStatus.PENDING,
        filled_quantity=D(0),
        created_at=orders[0].created_at - 1,
    )
    account = desk.runtime._core.accounts()[waiting.account]
    account.orders[waiting.order_link_id] = waiting
    listed = rows(table(await say(desk, "/orders 2"), "Orders"))
    assert [row["order"] for row in listed] == [waiting.order_link_id, "P00000003"]
    account.orders.clear()


async def test_a_rejected_order_says_why(desk: Desk) -> None:
    last = (await desk.store.recent(Order))[-1]
    refused = replace(
        last,
        order_link_id=last.order_link_id[:-1] + "1",
        status=OrderStatus.REJECTED,
        reject_reason="insufficient margin",
        created_at=last.created_at + 1,
    )
    await desk.store.commit(Commit(epoch=1, facts=[refused]))
    first = rows(table(await say(desk, "/orders"), "Orders"))[0]
    assert (first["status"], first["note"]) == ("Rejected", "insufficient margin")
