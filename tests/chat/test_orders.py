"""Orders by hand from end to end: asked, waiting, moved and withdrawn, on both platforms."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from engine.order import Order
from tests.chat.both_scene import Both, open_both
from tests.chat.desks import ChatDesk, busy_market
from tests.chat.discord_scene import buttons, said
from tests.handlers.desks import BOT, BTC, ETH


@pytest.fixture
async def both(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    async with open_both(tmp_path, request) as both:
        yield both


def waiting(desk: ChatDesk) -> list[Order]:
    return list(desk.desk.view().open_orders)


def stop(desk: ChatDesk) -> Decimal | None:
    [position] = desk.desk.view().positions
    return position.stop_loss


async def test_a_limit_order_of_telegram_is_withdrawn_on_discord(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk(busy_market()) as desk:
        card = await here.ask(here.tom, "/buy ETH 500 limit=3400 30m")
        for fact in (
            "at 3,400 or better; the price is 3,500.0",
            "It waits at most 30m",
            "liquidation",
        ):
            assert fact in (card.text or ""), fact
        assert set(card.buttons) == {"Confirm", "Cancel"}
        here.press(here.tom, card, "Confirm")
        await here.shown(card, "approved by tom")
        assert len(waiting(desk)) == 1

        listed = await there.ask(there.tom, "orders")
        assert "Limit" in said(listed)
        await there.press(there.tom, listed, f"Cancel {ETH}")
        await there.shown(listed, "is being withdrawn.")
        told = await here.told(here.private(here.tom), f"The order to buy 0.14 {ETH} at 3,400")
        assert "is canceled." in (told.text or "")
        assert waiting(desk) == []


async def test_a_limit_order_of_discord_is_withdrawn_on_telegram(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk(busy_market()) as desk:
        card = await there.ask(there.tom, "sell", symbol="ETH", amount="500", limit="3600")
        assert "at 3,600 or better" in said(card)
        assert set(buttons(card)) == {"Confirm", "Cancel"}
        await there.press(there.tom, card, "Confirm")
        await there.shown(card, "approved by tom")
        assert len(waiting(desk)) == 1

        listed = await here.ask(here.tom, "/orders")
        here.press(here.tom, listed, f"Cancel {ETH}")
        await here.shown(listed, "is being withdrawn.")
        await there.told(there.dm(there.tom), f"The order to sell 0.13 {ETH} at 3,600")
        assert waiting(desk) == []


async def test_a_stop_is_moved_with_the_reply_to_a_button_of_telegram(both: Both) -> None:
    here = both.telegram
    async with both.open_desk(busy_market()) as desk:
        before = stop(desk)
        shown = await here.ask(here.tom, "/positions")
        here.press(here.tom, shown, f"Edit stop {BTC}")
        asked = await here.told(shown.chat, f"/stops {BTC} bot={BOT}")
        card = await here.ask(here.tom, "104000", reply_to=asked)
        assert "104,000" in (card.text or "") and "result at the stop" in (card.text or "")
        assert stop(desk) == before
        here.press(here.tom, card, "Confirm")
        await here.shown(card, "approved by tom")
        assert stop(desk) == 104_000
        here.press(here.tom, shown, f"Break-even {BTC}")
        await here.told(shown.chat, "the stop is being moved to 101,967.7")
        assert stop(desk) == Decimal("101967.7")


async def test_a_stop_is_moved_with_a_form_of_discord(both: Both) -> None:
    there = both.discord
    async with both.open_desk(busy_market()) as desk:
        shown = await there.ask(there.tom, "stops", symbol="BTC")
        opened = await there.press(there.tom, shown, "Stop and target")
        await there.server.until(lambda: opened.modal)
        filled = await there.server.submit(there.tom, opened, {"stop": "104000", "target": "keep"})
        card = await there.answer(filled)
        assert "104,000" in said(card)
        assert set(buttons(card)) == {"Confirm", "Cancel"}
        await there.press(there.tom, card, "Confirm")
        await there.shown(card, "approved by tom")
        assert stop(desk) == 104_000


async def test_a_viewer_sees_orders_and_stops_and_moves_neither(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk(busy_market()) as desk:
        before = stop(desk)
        shown = await here.ask(here.vera, "/positions")
        assert set(shown.buttons) == {f"Chart {BTC}", f"Why {BTC}"}
        for line in ("/be BTC", "/stops BTC 104000", "/cancel all", "/buy ETH 500 limit=3400"):
            refused = await here.ask(here.vera, line)
            assert "needs the role trader" in (refused.text or "")
        one = await there.ask(there.vera, "order", order="P00000001")
        assert "Order P00000001" in said(one)
        assert stop(desk) == before
        assert waiting(desk) == []
