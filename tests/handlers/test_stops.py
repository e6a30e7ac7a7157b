"""Orders that wait, stops that move and several positions at once, said to a desk that trades."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import Candle
from engine.desk import Desk
from engine.order import Order, OrderStatus, OrderType, Side
from engine.people import Role
from engine.proposal import shown_of
from engine.store.memory import MemoryStore
from handlers.orders import LASTS_MS
from handlers.reply import Button, Money, Price, Quantity, Text, Time, Word
from tests.chat.desks import LiveMarket
from tests.clock import turn
from tests.handlers.desks import (
    BAR,
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    build,
    course,
    fields,
    propose,
    quiet,
    rows,
    say,
    table,
    text,
)

D = Decimal


def market() -> LiveMarket:
    """One open short of BTC at 102,080, the price at 101,780; nothing of ETH, at 3,500."""
    bars = course(100_000.0, FALLING_TWICE)
    return LiveMarket({BTC: bars, ETH: quiet(len(bars))})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    runtime, desk = await build(market())
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await task


async def play(desk: Desk, symbol: str, price: float, low: float | None = None) -> None:
    """The next bar of a symbol, at one price but for its low; the desk has taken it."""
    view, found = desk.view(), desk.market
    assert isinstance(found, LiveMarket)
    start = view.market_time
    found.tell(symbol, Candle(start, price, price, price if low is None else low, price, 10.0))
    while desk.view().market_time < start + BAR or desk.runtime.waiting:
        await turn()


async def confirm(desk: Desk, line: str) -> str:
    """Ask for something and confirm it; what is said then."""
    proposal = await propose(desk, line, Role.TRADER)
    answer = await say(desk, f"/approve {proposal.proposal_id}", Role.TRADER, in_chat=True)
    return text(answer)


# -- orders that wait --------------------------------------------------------------------


async def test_a_limit_order_waits_is_listed_and_withdrawn_with_one_press(desk: Desk) -> None:
    assert await confirm(desk, "/buy ETH 1k limit=3400") == (
        "Buy 0.29 ETHUSDT with the limit 3400 is sent."
    )
    [order] = desk.view().open_orders
    assert (order.order_type, order.price, order.post_only) == (OrderType.LIMIT, D(3400), False)
    assert order.expires_at - order.created_at == LASTS_MS == 3_600_000
    assert "1 order waits for a price: /orders." in text(await say(desk, "/positions"))

    listed = await say(desk, "/orders", Role.TRADER)
    row = rows(table(listed, "Orders"))[0]
    assert (row["type"], row["price"], row["status"]) == ("Limit", Price(D(3400), 2), "New")
    assert str(row["note"]).startswith("until ")
    assert listed.buttons == (Button(f"Cancel {ETH}", f"/cancel {order.order_link_id}"),)
    assert (await say(desk, "/orders", Role.VIEWER)).buttons == ()

    canceled = await say(desk, listed.buttons[0].command, Role.TRADER, in_chat=True)
    assert text(canceled) == f"Buy 0.29 {ETH} is being withdrawn."
    assert desk.view().open_orders == ()
    again = await say(desk, listed.buttons[0].command, Role.TRADER, in_chat=True)
    assert again.error == "That order is not open any more."


async def test_a_limit_order_is_filled_where_the_price_comes_to_it(desk: Desk) -> None:
    await confirm(desk, "/buy ETH 1k limit=3400 stop=3300")
    await play(desk, ETH, 3500.0, low=3399.0)
    [held] = [each for each in desk.view().positions if each.position.symbol == ETH]
    assert (held.position.average_price, held.stop_loss) == (D(3400), D(3300))
    assert desk.view().open_orders == ()


async def test_a_stop_order_waits_for_the_price_to_come_to_it(desk: Desk) -> None:
    await confirm(desk, "/sell ETH 1k at=3400 lasts=never stop=3600")
    [order] = desk.view().open_orders
    assert (order.order_type, order.trigger_price, order.expires_at) == (
        OrderType.STOP,
        D(3400),
        0,
    )
    await play(desk, ETH, 3390.0)
    [held] = [each for each in desk.view().positions if each.position.symbol == ETH]
    assert held.position.side is Side.SELL


async def test_an_order_that_nobody_withdraws_ends_by_itself(desk: Desk) -> None:
    await confirm(desk, "/buy ETH 1k limit=3400 post lasts=10m")
    assert desk.view().open_orders[0].post_only
    await play(desk, ETH, 3500.0)
    assert len(desk.view().open_orders) == 1
    await play(desk, ETH, 3500.0)
    while desk.view().open_orders:
        await turn()
    [order] = [each for each in await desk.store.recent(Order) if each.symbol == ETH]
    assert order.status is OrderStatus.CANCELED


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/buy ETH 1k limit=3400 at=3600", "Say limit= for that price or better, or at= to wait"),
        ("/buy ETH 1k post", "post goes with a limit"),
        ("/buy ETH 1k at=3600 post", "post goes with a limit"),
        ("/buy ETH 1k lasts=10m", "An order at the market never waits"),
        ("/buy ETH 1k at=3400", "at: '3400' is not valid. Allowed: a price above 3500."),
        ("/sell ETH 1k at=3600", "at: '3600' is not valid. Allowed: a price below 3500."),
        ("/buy ETH 30 limit=3400", "30.00 USDT buys less than 0.01 ETH, the least there is: about"),
        ("/buy ETH 1k limit=0.001", "limit: '0.001' is not valid. Allowed: a price from 0.01"),
        ("/close all half", "/close all closes each of them whole."),
        ("/close ETH", "No ETHUSDT is held. Held: BTCUSDT."),
        ("/cancel all", "No order is open."),
        ("/cancel ETH", "No order is open."),
        (f"/cancel {BOT}-me-m5d2mtc0000", "That order is not open any more."),
        ("/be ETH", "No ETHUSDT is held. Held: BTCUSDT."),
        ("/stops BTC 100000", "stop: '100000' is not valid. Allowed: a price above 101780."),
        ("/stops BTC bot=other", f"bot: 'other' is not valid. Allowed: {BOT}."),
        ("/order P99", "There is no order P99. /orders lists them."),
    ],
)
async def test_what_can_not_be_done_is_refused_with_what_can(
    desk: Desk, line: str, error: str
) -> None:
    answer = await say(desk, line)
    assert answer.error is not None
    assert answer.error.startswith(error)
    assert desk.view().proposals == ()


async def test_where_an_order_waits_and_nothing_is_held_the_way_on_is_named(desk: Desk) -> None:
    await confirm(desk, "/buy ETH 1k limit=3400")
    answer = await say(desk, "/close ETH")
    assert answer.error == "No ETHUSDT is held. An order waits: /cancel ETH."
    another = await say(desk, "/buy ETH 100")
    assert another.error == (
        "Refused by the gate one position a symbol: an order waits for its price."
    )


async def test_several_orders_are_withdrawn_together(desk: Desk) -> None:
    await confirm(desk, "/close BTC")
    await play(desk, BTC, 101_780.0)
    for line in ("/buy ETH 1k limit=3400", "/sell BTC 1k limit=103000"):
        await confirm(desk, line)
    listed = await say(desk, "/orders")
    assert [button.command for button in listed.buttons][-1] == "/cancel all"
    answer = await say(desk, "/coo all", Role.TRADER, in_chat=True)
    assert "are being withdrawn." in text(answer)
    assert desk.view().open_orders == ()


async def test_a_halt_takes_back_what_would_open_a_position(desk: Desk) -> None:
    await confirm(desk, "/buy ETH 1k limit=3400")
    assert text(await say(desk, "/halt")).endswith("1 order that waited is withdrawn.")
    assert desk.view().open_orders == ()


async def test_an_order_that_waits_is_there_after_a_restart_and_filled_then() -> None:
    store = MemoryStore()
    first = market()
    runtime, desk = await build(first, store)
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    await confirm(desk, "/buy ETH 1k limit=3400")
    runtime.stop()
    await task

    second = LiveMarket(first._bars)
    second.coming = []
    runtime, desk = await build(second, store, desk.clock)
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    [order] = desk.view().open_orders
    assert (order.price, order.status) == (D(3400), OrderStatus.NEW)
    await play(desk, ETH, 3500.0, low=3399.0)
    assert ETH in {each.position.symbol for each in desk.view().positions}
    stored = [each for each in await store.recent(Order) if each.symbol == ETH]
    assert [each.status for each in stored] == [OrderStatus.FILLED]
    runtime.stop()
    await task


# -- one order ---------------------------------------------------------------------------


async def test_an_order_tells_its_life_its_fills_why_it_was_made_and_its_trade(
    desk: Desk,
) -> None:
    answer = await say(desk, "/order P00000001", Role.VIEWER)
    first = next(each for each in await desk.store.recent(Order) if each.order_id == "P00000001")
    life = fields(answer, "Order P00000001")
    assert {name: life[name] for name in ("our_id", "bot", "side", "type", "status", "reason")} == {
        "our_id": first.order_link_id,
        "bot": BOT,
        "side": "Sell",
        "type": "Market",
        "status": "Filled",
        "reason": Word("ema_cross"),
    }
    [fill] = rows(table(answer, "Fills"))
    assert (fill["quantity"], fill["as"]) == (Quantity(D("0.049")), "taker")
    assert isinstance(fill["fee"], Money)
    why, trade = [block.text for block in answer.blocks if isinstance(block, Text)]
    assert why.startswith("Decision 1 at ")
    assert why.endswith(": entry for ema cross.")
    assert trade.startswith("Trade T1: short, ")
    by_link = await say(desk, f"/order {first.order_link_id}", Role.VIEWER)
    assert by_link == answer


async def test_an_order_is_found_by_how_its_id_begins(desk: Desk) -> None:
    await confirm(desk, "/sell ETH 1k limit=3600 post")
    [order] = desk.view().open_orders
    for start in ("P00000004", order.order_link_id[:-1], f"{order.order_link_id[:-2]}…"):
        life = fields(await say(desk, f"/order {start}"))
        assert life["our_id"] == order.order_link_id
    several = (await say(desk, "/order P0000")).error or ""
    assert several.startswith("Several orders are called P0000. Say which: ")
    assert (await say(desk, "/order P00")).error == "There is no order P00. /orders lists them."
    await say(desk, f"/cancel {order.order_link_id[:-2]}…")
    assert desk.view().open_orders == ()


async def test_an_order_that_waits_can_be_withdrawn_where_it_is_shown(desk: Desk) -> None:
    await confirm(desk, "/sell ETH 1k limit=3600 post")
    [order] = desk.view().open_orders
    answer = await say(desk, f"/order {order.order_id}")
    life = fields(answer)
    assert (life["type"], life["price"]) == ("Limit, post only", Price(D(3600), 2))
    assert life["created"] == Time(order.created_at)
    assert table(answer, "Fills").empty == "Nothing of it was filled."
    assert answer.buttons[0] == Button(f"Cancel {ETH}", f"/cancel {order.order_link_id}")
    assert (
        answer.buttons[0] not in (await say(desk, f"/order {order.order_id}", Role.VIEWER)).buttons
    )


async def test_an_order_that_nobody_knows_of_says_that_the_exchange_is_being_asked(
    desk: Desk,
) -> None:
    await confirm(desk, "/buy ETH 1k limit=3400")
    [order] = desk.view().open_orders
    account = desk.runtime._core.accounts()[order.account]
    unknown = replace(order, status=OrderStatus.UNKNOWN, order_id=None)
    account.orders[order.order_link_id] = unknown
    row = rows(table(await say(desk, "/orders"), "Orders"))[0]
    assert (row["status"], row["note"]) == (
        "Unknown",
        "nobody knows whether it arrived; the exchange is being asked",
    )
    account.orders.clear()


# -- stops -------------------------------------------------------------------------------


async def test_a_stop_is_shown_moved_and_stands_where_it_was_moved_to(desk: Desk) -> None:
    shown = await say(desk, "/stops BTC", Role.TRADER)
    before = desk.view().positions[0]
    values = fields(shown, f"Stop and target of {BTC}")
    assert (values["held"], values["stop"]) == ("0.048 short", Price(before.stop_loss or 0, 1))
    assert values["break_even"] == Price(D("102080.0"), 1)
    assert values["liquidation"] == Price(D("112032.8"), 1)
    stops_of = f"/stops {BTC} bot={BOT}"
    assert shown.buttons == (
        Button("Break-even", f"/be {BTC} {BOT}"),
        Button("Edit stop", stops_of, asks=("stop",)),
        Button("Stop and target", stops_of, asks=("stop", "target")),
        Button("No target", f"{stops_of} target=none"),
    )
    # A chat completes a button with what it was told.
    said = await confirm(desk, f"{shown.buttons[2].command} 103000 keep")
    assert said == f"{BTC}: the exchange is being told."
    after = desk.view().positions[0]
    assert (after.stop_loss, after.take_profit) == (D(103000), before.take_profit)
    await confirm(desk, shown.buttons[3].command)
    assert desk.view().positions[0].take_profit is None


async def test_a_card_of_a_move_shows_before_after_and_what_is_lost(desk: Desk) -> None:
    proposal = await propose(desk, "/stops BTC 104000 none", Role.TRADER)
    names = [change.name for change in shown_of(proposal).changes]
    assert names == ["stop", "result at the stop", "target", "result at the target"]
    answer = await say(desk, f"/proposals {proposal.proposal_id}", Role.TRADER)
    listed = rows(table(answer, "What changes"))
    assert (listed[0]["after"], listed[2]["after"]) == ("104,000", "none")
    assert [button.label for button in answer.buttons] == ["Confirm", "Cancel"]


async def test_break_even_acts_at_once_and_once(desk: Desk) -> None:
    answer = await say(desk, "/be BTC", Role.TRADER, in_chat=True)
    assert text(answer) == f"{BTC}: the stop is being moved to 102,080, the entry and both fees."
    assert desk.view().positions[0].stop_loss == D(102080)
    again = await say(desk, "/be BTC", Role.TRADER, in_chat=True)
    assert again.error == f"{BTC}: the stop stands at 102,080 already; break-even is 102,080."


async def test_a_preview_shows_what_can_be_moved_and_what_a_move_would_change(desk: Desk) -> None:
    shown = await say(desk, "/preview stops BTC")
    assert fields(shown, f"Stop and target of {BTC}")["held"] == "0.048 short"
    moved = await say(desk, "/preview stops BTC 104000")
    assert text(moved).startswith(f"Preview: Move the stop of {BTC} for {BOT}. Nothing was changed")
    assert text(await say(desk, "/preview be BTC")).endswith("Nothing was changed now.")
    assert desk.view().proposals == ()


# -- several at once ---------------------------------------------------------------------


@pytest.mark.parametrize(("line", "symbols"), [("all", {BTC, ETH}), ("losers", {ETH})])
async def test_one_card_closes_several_positions(desk: Desk, line: str, symbols: set[str]) -> None:
    await confirm(desk, "/buy ETH 1k")
    await play(desk, ETH, 3500.0)
    await play(desk, ETH, 3480.0)
    positions = await say(desk, "/positions", Role.TRADER)
    labels = [button.label for button in positions.buttons]
    assert labels[-2:] == ["Close losers", "Close all"]
    assert f"Edit stop {ETH}" in labels

    proposal = await propose(desk, f"/close {line}", Role.TRADER)
    card = await say(desk, f"/proposals {proposal.proposal_id}", Role.TRADER)
    listed = rows(table(card, "Closes at the market"))
    assert {row["symbol"] for row in listed} == symbols
    together = fields(card, "Together")["realizes"]
    assert isinstance(together, Money)
    assert together.amount == sum(row["realizes"].amount for row in listed)
    said = await say(desk, f"/approve {proposal.proposal_id}", Role.TRADER, in_chat=True)
    assert text(said).endswith("closing at the market is sent.")
    sent = {order.symbol for order in desk.view().open_orders if order.reduce_only}
    assert sent == symbols
