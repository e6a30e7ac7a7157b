"""Listing, pausing, adding and removing bots, and what they may enter."""

from decimal import Decimal

import pytest

from engine.bot import BotPlan
from engine.candle import HOUR_MS
from engine.desk import Desk
from engine.drafts import instruction_of
from engine.instruction import AddBot, SetSides
from engine.people import Role
from engine.proposal import shown_of
from engine.signal import Sides
from handlers import COMMANDS
from handlers.command import find
from handlers.reply import Button, Money, Text
from tests.handlers.desks import BOT, BTC, ETH, fields, propose, rows, say, table, text


async def test_the_list_shows_what_a_bot_does_and_how(desk: Desk) -> None:
    answer = await say(desk, "/bot list", Role.VIEWER)
    assert rows(table(answer, "Bots")) == [
        {
            "bot": BOT,
            "strategy": "shortseller",
            "timeframe": "5m",
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


# -- adding and removing -----------------------------------------------------------------

WANTED = {
    "rsi BTC": BotPlan("rsi", (BTC,), Decimal(10_000)),
    "RSI btc,ETHUSDT 5k": BotPlan("rsi", (BTC, ETH), Decimal(5_000)),
    "rsi BTC, ETH 500": BotPlan("rsi", (BTC, ETH), Decimal(500)),
    "rsi BTC leverage=2": BotPlan("rsi", (BTC,), Decimal(10_000), 0, (("leverage", 2.0),)),
    "rsi BTC 500 timeframe=1h margin=3%": BotPlan(
        "rsi", (BTC,), Decimal(500), HOUR_MS, (("margin", 0.03),)
    ),
    "symbols=ETH strategy=rsi capital=700 leverage=1 margin=1%": BotPlan(
        "rsi", (ETH,), Decimal(700), 0, (("leverage", 1.0), ("margin", 0.01))
    ),
}


@pytest.mark.parametrize(("line", "plan"), WANTED.items(), ids=WANTED)
async def test_a_bot_is_asked_for_in_one_line(desk: Desk, line: str, plan: BotPlan) -> None:
    assert instruction_of(await propose(desk, f"/bot add {line}")) == AddBot(plan)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("magic BTC", "strategy: 'magic' is not valid. Allowed: shortseller, "),
        ("rsi DOGE", "symbol: 'DOGE' is not valid. Allowed: BTCUSDT, ETHUSDT."),
        ("rsi BTC,BTC", "symbols: 'BTC,BTC' is not valid. Allowed: different symbols"),
        ("rsi ,", "symbols: ',' is not valid. Allowed: different symbols"),
        ("rsi BTC 0.5", "capital: '0.5' is not valid. Allowed: 1 to 1,000,000,000,000 USDT."),
        ("rsi BTC much", "capital: 'much' is not valid. Allowed: an amount of USDT"),
        ("rsi BTC 500 luck", "values: 'luck' is not valid. Allowed: name=value, as in "),
        ("rsi BTC luck=3", "parameter: 'luck' is not valid. Allowed: "),
        ("rsi BTC leverage=900", "leverage: '900' is not valid. Allowed: 1 to 100"),
        ("rsi BTC timeframe=7m", "timeframe: '7m' is not valid. Allowed: 1m, "),
        ("rsi BTC timeframe=4h", "timeframe: '4h' is not valid. Allowed: 5m, 1h."),
    ],
)
async def test_what_can_not_be_is_refused_with_what_is_allowed(
    desk: Desk, line: str, error: str
) -> None:
    answer = await say(desk, f"/bot add {line}", Role.TRADER, in_chat=True)
    assert str(answer.error).startswith(error)


async def test_an_added_bot_is_listed_with_what_it_waits_for_and_is_removed(desk: Desk) -> None:
    await say(desk, "/bot add momentum ETH 500 leverage=2")
    added = await say(desk, "/approve 1", Role.TRADER)
    assert text(added) == (
        "momentum_001 is added: momentum on ETHUSDT. /why says what it waits for."
    )
    listed = await say(desk, "/bot list")
    assert [row["bot"] for row in rows(table(listed, "Bots"))] == [BOT, "momentum_001"]
    assert "momentum_001 has values of its own: leverage 2." in text(listed)
    assert "momentum_001 warms up; bars missing: ETHUSDT " in text(listed)
    assert "warm-up" in text(await say(desk, "/why ETH"))

    removal = await propose(desk, "/bot remove momentum_001")
    assert shown_of(removal).changes[0].before == "active, momentum on ETHUSDT"
    removed = await say(desk, "/approve 2", Role.TRADER)

    assert text(removed) == "momentum_001 is removed. What it did stays stored."
    assert [row["bot"] for row in rows(table(await say(desk, "/bot list"), "Bots"))] == [BOT]


async def test_a_bot_of_the_settings_is_not_removed(desk: Desk) -> None:
    answer = await say(desk, f"/bot remove {BOT}")
    assert str(answer.error).startswith(f"{BOT} stands in countersign.toml")


async def test_a_pasted_list_of_symbols_may_have_spaces() -> None:
    found = find(COMMANDS, ["bot", "add"])
    assert found is not None
    symbols = found[0].arguments[1].type
    spans = {"BTC 500": 1, "BTC, ETH 500": 2, "BTC, ETH,": 2, "BTC,ETH": 1}
    assert {line: symbols.span(line.split()) for line in spans} == spans


# -- what may be entered -----------------------------------------------------------------


async def test_a_strategy_is_switched_off_at_once_and_on_after_a_press(desk: Desk) -> None:
    off = await say(desk, "/strategy off shortseller btc", Role.TRADER, in_chat=True)
    assert text(off) == (
        "shortseller on BTCUSDT is off: no new positions. Open ones are still managed."
    )
    assert off.buttons == (Button("Switch on", "/strategy on shortseller BTCUSDT"),)
    assert f"{BOT} is switched off on BTCUSDT." in text(await say(desk, "/bot list"))
    await say(desk, "/strategy on shortseller BTC")
    on = await say(desk, "/approve 1", Role.TRADER)
    assert text(on) == "shortseller on BTCUSDT is on again."


async def test_which_sides_are_entered_is_said_in_the_status(desk: Desk) -> None:
    assert "sides" not in fields(await say(desk, "/status"))
    proposal = await propose(desk, "/side long_only 48h")
    assert instruction_of(proposal) == SetSides(Sides.LONG_ONLY, 48 * HOUR_MS)
    assert proposal.title == "Enter long only for 2d"

    await say(desk, "/approve 1", Role.TRADER)

    assert str(fields(await say(desk, "/status"))["sides"]).startswith("long only until 2025-")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "/bot add rsi BTC 5000 leverage=3 LEVERAGE=4",
            "leverage: '4' is not valid. Allowed: one value.",
        ),
        ("/side sideways", "side: 'sideways' is not valid. Allowed: both, long_only, short_only."),
        ("/side long_only soon", "lasts: 'soon' is not valid. Allowed: a time such as 30m, 12h"),
        ("/side long_only 999d", "lasts: '999d' is not valid. Allowed: a time such as 30m, 12h"),
        ("/strategy off rsi", f"name: 'rsi' is not valid. Allowed: {BOT}, shortseller."),
        (f"/strategy on {BOT}", f"{BOT} is on already."),
    ],
)
async def test_a_slip_of_the_finger_is_told_what_there_is(
    desk: Desk, line: str, error: str
) -> None:
    assert str((await say(desk, line)).error).startswith(error)
