"""Questions that rules answer, over a real desk: every fact out of what its commands say."""

import pytest

from engine.advice import Answer
from engine.calls import Purpose
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.people import Role
from handlers.reading import DeskReading
from llm import agent
from llm.scripted import TOPICS
from tests.handlers.desks import BOT, ETH, context, say
from tests.handlers.test_signals import add, entry, refused
from tests.models import counsel


async def ask(desk: Desk, question: str, role: Role = Role.ADMIN, about: str = "") -> Answer:
    asked = counsel()
    case = await asked.open(Purpose.QUESTION, question, "telegram:7 (ann)")
    reading = DeskReading(context(desk, role, in_chat=True))
    return await agent.answer(asked, case, question, about, reading, lambda step: None)


# -- why ---------------------------------------------------------------------------------


async def test_why_a_bot_did_not_trade_today_tells_signals_gates_and_what_it_waits_for(desk):
    """Of each of its symbols: how many signals it had, which gates stopped them how often."""
    last = desk.view().market_time
    stopped = [await refused(desk, symbol=ETH, ts=last - hour * HOUR_MS) for hour in (1, 2, 3)]
    stopped += [
        await refused(desk, symbol=ETH, ts=last - 2 * HOUR_MS, gate="spread", detail="9 bps"),
        await refused(desk, symbol=ETH, ts=last - 2 * DAY_MS, gate="old", detail="long ago"),
    ]
    await add(desk, *stopped)
    found = await ask(desk, f"why did {BOT} not trade ETH today?")
    assert found.text.splitlines() == [
        f"{BOT} gave 4 entry signals today (2025-01-03), and none was executed.",
        "ETHUSDT: 4 entry signals stopped by cool-down 3 times (last 2025-01-03 15:20 UTC: "
        "9 min left), spread once (last 2025-01-03 14:20 UTC: 9 bps). "
        "No entry now: not below EMA 240 (3500 vs 3500).",
    ]
    assert found.looked == (
        "/status", "/bot list", "/why symbol=ETHUSDT", "/signals symbol=ETHUSDT count=50", "/risk",
    )  # fmt: skip


async def test_each_symbol_of_a_bot_is_answered_for(desk):
    found = await ask(desk, "Why did shortseller not trade today?")
    first, btc, eth = found.text.splitlines()
    assert first == (f"{BOT} did trade today (2025-01-03): 2 of 2 entry signals opened a position.")
    assert btc.startswith(
        "BTCUSDT: last entry short, confidence 100% at 2025-01-03 15:55 UTC, open. "
        "Holds a short of 0.048 BTCUSDT from 102,080.0"
    )
    assert eth == ("ETHUSDT: no entry signal yet. No entry now: not below EMA 240 (3500 vs 3500).")


async def test_a_day_without_signals_names_the_last_one_before(desk):
    before = (await entry(desk)).ts - 2 * DAY_MS
    await add(desk, await refused(desk, symbol=ETH, ts=before))
    found = await ask(desk, "why no ether trade yesterday?")
    assert found.text.splitlines()[0] == (
        f"{BOT} gave no signal to open anything yesterday (2025-01-02)."
    )
    assert (
        "the last was at 2025-01-01 05:45 UTC (not executed, stopped by cool-down: 9 min left)"
        in (found.text)
    )


async def test_what_shuts_everything_comes_first(desk):
    await say(desk, "/halt the feed is odd")
    await say(desk, f"/bot pause {BOT}")
    first, second, *_ = (await ask(desk, "why is nothing bought?")).text.splitlines()
    assert first.startswith("The desk is halted: ") and "the feed is odd" in first
    assert second == f"{BOT} is paused."


async def test_a_halt_is_told_once_and_not_of_each_symbol(desk):
    await say(desk, "/halt the feed is odd")
    found = await ask(desk, "when will you trade again?")
    first, *others = found.text.splitlines()
    assert first.startswith("The desk is halted: ")
    assert [each.partition(":")[0] for each in others] == ["BTCUSDT"]


async def test_why_things_are_as_they_are_tells_nothing_of_before(desk):
    found = await ask(desk, "why are we short btc?")
    assert found.text.startswith("BTCUSDT: Holds a short of 0.048 BTCUSDT from 102,080.0")
    assert found.looked == ("/status", "/bot list", "/why symbol=BTCUSDT", "/risk")


async def test_a_reply_to_a_card_is_about_its_symbols(desk):
    found = await ask(desk, "why?", about="Sold 0.5 ETHUSDT at 3,500.00.")
    assert "/why symbol=ETHUSDT" in found.looked and "/why symbol=BTCUSDT" not in found.looked
    found = await ask(desk, "close it", about="Sold 0.5 ETHUSDT at 3,500.00.")
    assert [each.line for each in found.drafts] == ["/close ETHUSDT"]


async def test_a_desk_before_its_first_candle_answers_too(empty_desk):
    found = await ask(empty_desk, "why did we not trade today?")
    assert "has not seen a closed bar of BTCUSDT yet" in found.text


# -- other questions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "line", "fact"),
    [
        ("what did we earn today?", "/daily count=1", "net -11.11"),
        ("what did we lose today?", "/daily count=1", "net -11.11"),
        ("what did we pay in fees this week?", "/weekly count=1", "fees"),
        ("what was our worst trade?", "/pnl", "worst trade"),
        ("how much did we make this week", "/weekly count=1", "week of 2024-12-30"),
        ("what is our profit?", "/pnl", "realized -3.92"),
        ("which fees did we pay?", "/pnl", "fees 8.17"),
        ("what do we hold right now?", "/positions", "symbol BTCUSDT, side short"),
        ("are there open orders?", "/orders", "P00000003"),
        ("show me the last trades please", "/trades", "T1"),
        ("how is the risk?", "/risk", "entries are open"),
        ("what was changed?", "/tune history", "Changes"),
        ("is this real money?", "/mode", "No money is real"),
        ("does anything wait for me to approve?", "/proposals", "No proposal waits."),
        ("is the database ok?", "/health", "All green."),
        ("how is bitcoin?", "/price symbol=BTCUSDT", "price 101,780.0"),
        ("what signals were there", "/signals", "open short"),
        ("how much leverage do we use?", "/portfolio", "leverage in use 0.49x"),
    ],
)
async def test_a_question_is_answered_from_the_command_that_knows(desk, question, line, fact):
    found = await ask(desk, question, Role.VIEWER)
    assert line in found.looked and fact in found.text


async def test_every_topic_is_answered_by_commands_that_are_there(desk):
    reading = DeskReading(context(desk, in_chat=True))
    names = {tool.name for tool in reading.tools()}
    for topic in TOPICS:
        for line in topic.lines:
            words = line.removeprefix("/").split()
            assert {words[0], " ".join(words[:2])} & names, line


async def test_what_is_not_understood_says_so_and_what_is(desk):
    found = await ask(desk, "what is the meaning of life?")
    assert "did not understand that" in found.text and f"why did {BOT} not trade" in found.text
    assert found.drafts == ()


async def test_the_same_question_has_the_same_answer(desk):
    assert await ask(desk, "why no trade?") == await ask(desk, "why no trade?")


# -- wishes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "line"),
    [
        ("please close half of btc", "/close BTCUSDT half"),
        ("Close 25% of bitcoin!", "/close BTCUSDT 25%"),
        ("what if I close everything?", "/close all"),
        ("could you buy 250 of ETH", "/buy ETHUSDT 250"),
        ("short btc with 1.5k please", "/sell BTCUSDT 1.5k"),
        ("halt the desk", "/halt"),
        (f"pause {BOT}", f"/bot pause {BOT}"),
        ("resume the bot", f"/bot resume {BOT}"),
        ("please close my losing positions", "/close losers"),
        ("set the stop loss to 2%", "/tune set stop_loss 2%"),
        ("cancel the orders of eth", "/cancel ETHUSDT"),
        ("kill it", "/kill"),
    ],
)
async def test_a_wish_is_drafted_and_nothing_is_done(desk, question, line):
    before = desk.view()
    found = await ask(desk, question)
    assert [each.line for each in found.drafts] == [line]
    assert found.text == "I have no hands, but you have: this is the command for it."
    assert desk.view() == before


async def test_a_wish_of_somebody_who_may_not_is_refused(desk):
    found = await ask(desk, "close btc now", Role.VIEWER)
    assert found.drafts == ()
    assert found.text == "I can't draft that: close needs the role trader."
