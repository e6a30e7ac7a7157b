"""Listing, pausing and resuming bots."""

from engine.desk import Desk
from engine.people import Role
from handlers.reply import Button, Money, Text
from tests.handlers.desks import BOT, rows, say, table


async def test_the_list_shows_what_a_bot_does_and_how(desk: Desk) -> None:
    answer = await say(desk, "/bot list", Role.VIEWER)
    assert rows(table(answer, "Bots")) == [
        {
            "bot": BOT,
            "strategy": "shortseller",
            "status": "active",
            "symbols": "BTCUSDT ETHUSDT",
            "positions": 1,
            "trades": 1,
            "net": Money(desk.view().accounts[0].ledger.net, signed=True),
        }
    ]
    assert answer.buttons == (Button(f"Pause {BOT}", f"/bot pause {BOT}"),)


async def test_a_paused_bot_is_paused_when_the_answer_comes_and_can_be_resumed(
    desk: Desk,
) -> None:
    paused = await say(desk, f"/bot pause {BOT}", Role.TRADER)
    assert isinstance(paused.blocks[0], Text)
    assert paused.blocks[0].text.startswith(f"{BOT} is paused.")
    assert paused.buttons == (Button(f"Resume {BOT}", f"/bot resume {BOT}"),)
    listed = await say(desk, "/bot list")
    assert rows(table(listed, "Bots"))[0]["status"] == "paused"
    assert listed.buttons == paused.buttons

    asked = await say(desk, f"/bot resume {BOT}", Role.TRADER)
    assert asked.blocks[0] == Text(f"Proposal 1: Resume {BOT}")
    assert rows(table(await say(desk, "/bot list"), "Bots"))[0]["status"] == "paused"

    resumed = await say(desk, "/approve 1", Role.TRADER)
    assert resumed.blocks == (Text(f"{BOT} is resumed."),)
    assert rows(table(await say(desk, "/bot list"), "Bots"))[0]["status"] == "active"


async def test_pausing_twice_says_that_nothing_changed(desk: Desk) -> None:
    await say(desk, f"/bot pause {BOT}")
    again = await say(desk, f"/bot pause {BOT}")
    assert isinstance(again.blocks[0], Text)
    assert "already paused" in again.blocks[0].text


async def test_an_unknown_bot_is_refused_with_the_ones_there_are(desk: Desk) -> None:
    answer = await say(desk, "/bot pause longbuyer")
    assert answer.error == f"bot: 'longbuyer' is not valid. Allowed: {BOT}."
