"""What a model is asked for, over desks that trade: what each command answers and refuses."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bot.advisor import Consultations
from bot.trying import Tried
from engine.advice import Advice
from engine.autopsy import RULES
from engine.candle import HOUR_MS
from engine.desk import Desk
from engine.mail import Sealed
from engine.people import Role
from engine.position import Trade
from engine.store.memory import MemoryStore
from handlers import COMMANDS, consulting
from handlers.command import find, parse
from handlers.dispatch import dispatch_line
from handlers.reply import CandleChart, Chart, Price, Reply
from tests.handlers.desks import (
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    PEOPLE,
    ScriptedMarket,
    build,
    context,
    course,
    fields,
    say,
    text,
)
from tests.models import Played, counsel, said_json
from tests.tunings import ScriptedTuner

OTHER = "other_002"
NO_KEY = "No GEMINI_API_KEY is set."


async def untried(desk: Desk, number: int, advice: Advice) -> Tried:
    """Nothing of what is suggested here may be tried."""
    raise AssertionError(advice)


@asynccontextmanager
async def advised(desk: Desk, *answers: Played) -> AsyncIterator[Desk]:
    """The desk with an advisor that works, over a model that plays `answers` if there are any."""
    store = desk.store
    assert isinstance(store, MemoryStore)
    advisor = Consultations(counsel(*answers, calls=store.calls), 2 * HOUR_MS, untried)
    with_advisor = replace(desk, advisor=advisor)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(advisor.run(with_advisor))
        yield with_advisor
        running.cancel()


@pytest.fixture
async def told(desk: Desk) -> AsyncIterator[Desk]:
    """A desk with one closed trade, whose advisor has no model."""
    async with advised(desk) as found:
        yield found


@pytest.fixture
async def two_bots() -> AsyncIterator[Desk]:
    """Two bots with a closed trade each."""
    market = ScriptedMarket({BTC: course(100_000.0, FALLING_TWICE)})
    runtime, desk = await build(market, bot_ids=(BOT, OTHER))
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    async with advised(desk) as found:
        yield found
    runtime.stop()
    await task


async def the_trade(desk: Desk) -> Trade:
    [trade] = await desk.recent(Trade, lambda trade: trade.exit_time)
    return trade


def picture(answer: Reply) -> CandleChart:
    [chart] = [block.chart for block in answer.blocks if isinstance(block, Chart)]
    assert isinstance(chart, CandleChart)
    return chart


def leads(desk: Desk, answer: Reply) -> list[str]:
    """Where the buttons lead: each to a command that takes what they say."""
    for button in answer.buttons:
        found = find(COMMANDS, button.command.removeprefix("/").split())
        assert found is not None, button
        parse(*found, desk)
    return [button.command for button in answer.buttons]


# -- autopsies ---------------------------------------------------------------------------


async def test_an_autopsy_shows_the_trade_the_verdict_and_what_was_to_be_had(told: Desk) -> None:
    trade = await the_trade(told)
    answer = await say(told, "/autopsy", Role.VIEWER)
    shown = fields(answer, f"Autopsy of T1, {BTC} short")
    assert (shown["bot"], shown["entered_at"]) == (BOT, Price(trade.entry_price, 1))
    assert str(shown["net"]).startswith(f"{trade.net_pnl:+,.2f} (")
    assert {"verdict", "entry", "exit", "costs", "greatest_gain_while_open"} <= shown.keys()
    said = text(answer)
    assert said.startswith("T1: A ")
    assert f"By these rules: {RULES} {NO_KEY}" in said and "% sure" not in said
    assert leads(told, answer) == ["/trades", f"/why {BTC}", "/analysis 1"]
    kept = await say(told, "/analysis 1")
    assert fields(kept)["about"] == f"T1 of {BOT}"


async def test_an_autopsy_has_a_chart_with_entry_exit_stop_and_target(told: Desk) -> None:
    trade = await the_trade(told)
    chart = picture(await say(told, "/autopsy T1"))
    entry, leaving = chart.markers
    assert (entry.ts, entry.price, entry.is_entry) == (
        trade.entry_time, float(trade.entry_price), True,
    )  # fmt: skip
    assert (leaving.ts, leaving.label, leaving.side) == (trade.exit_time, "ma exit", "Buy")
    assert chart.candles[0].ts < trade.entry_time
    assert trade.exit_time < chart.candles[-1].ts
    levels = dict(chart.levels)
    assert levels["target"] < entry.price < levels["stop"]
    assert chart.title == f"{BTC} T1 5m"


@pytest.mark.parametrize("line", ["/autopsy t1", "/autopsy 1", f"/autopsy {BOT}"])
async def test_a_trade_is_named_as_people_do(told: Desk, line: str) -> None:
    assert picture(await say(told, line)).title == f"{BTC} T1 5m"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/autopsy T999", "There is no trade T999. /trades lists the last ones."),
        ("/autopsy Tom", "Allowed: a trade as /trades lists them, as T12"),
        ("/autopsy 0", "Allowed: a trade as /trades lists them, as T12"),
        ("/autopsy T1 nobody_001", "nobody_001"),
        ("/analysis 999", "There is no analysis 999. /analysis lists the last ones."),
        ("/briefing yearly", "'yearly' is not valid. Allowed: daily, weekly."),
        ("/analyze DOGE", "DOGE"),
        ("/ask", "/ask"),
    ],
)
async def test_what_there_is_not_is_refused_and_said(told: Desk, line: str, error: str) -> None:
    assert error in (await say(told, line)).error
    assert (await say(told, "/analysis")).ok


async def test_without_a_trade_there_is_nothing_to_look_into(young_desk: Desk) -> None:
    async with advised(young_desk) as desk:
        assert (await say(desk, "/autopsy")).error == "No trade has closed yet."
        error = (await say(desk, f"/autopsy {BOT}")).error
        assert error == f"No trade of {BOT} has closed yet."


async def test_a_bot_that_is_named_narrows_the_trades(two_bots: Desk) -> None:
    first, second = await two_bots.recent(Trade, lambda trade: trade.trade_id)
    assert first.bot_id != second.bot_id
    for trade, other in ((first, second), (second, first)):
        for line in (f"/autopsy {trade.bot_id}", f"/autopsy {trade.name}"):
            assert fields(await say(two_bots, line))["bot"] == trade.bot_id
        error = (await say(two_bots, f"/autopsy {trade.name} {other.bot_id}")).error
        assert error == (
            f"There is no trade {trade.name} of {other.bot_id}. /trades lists the last ones."
        )


# -- suggestions -------------------------------------------------------------------------


async def test_a_suggestion_needs_a_bot_where_there_are_several(two_bots: Desk) -> None:
    answer = await say(two_bots, "/suggest", Role.TRADER)
    assert BOT in text(answer) and OTHER in text(answer)
    assert leads(two_bots, answer) == [f"/suggest bot={BOT}", f"/suggest bot={OTHER}"]


async def test_without_a_model_nothing_is_suggested_and_the_tuner_is_named(told: Desk) -> None:
    answer = await say(told, "/suggest", Role.TRADER)
    assert text(answer).startswith(f"{NO_KEY} Nothing is suggested without a model: /tune run")
    assert leads(told, answer) == [f"/tune show {BOT}", "/analysis 1"]
    assert isinstance(told.tuner, ScriptedTuner) and not told.tuner.found


async def test_a_viewer_has_nothing_suggested(told: Desk) -> None:
    assert "needs the role trader" in (await say(told, "/suggest", Role.VIEWER)).error


async def test_whose_rights_end_at_other_bots_has_nothing_suggested(told: Desk) -> None:
    known = [person for person, _ in PEOPLE.values()]
    people = [replace(each, scopes="bot:another_001") for each in known]
    await told.runtime.know(people, [account for _, account in PEOPLE.values()])

    answer = await say(told, "/suggest", Role.TRADER, in_chat=True)

    assert answer.error == "You may act only on another_001."


# -- the others --------------------------------------------------------------------------


async def test_a_briefing_is_of_the_last_day_by_the_desks_figures(told: Desk) -> None:
    answer = await say(told, "/briefing", Role.VIEWER)
    said = text(answer)
    assert said.startswith("Briefing of 2025-01-02\nNet 0.00 USDT")
    [held] = told.view().positions
    assert f" BTCUSDT from {held.position.average_price:,.1f}, " in said
    assert said.endswith(f"By the desk's figures. {NO_KEY}")
    assert leads(told, answer) == ["/report", "/positions", "/analysis 1"]


async def test_a_briefing_of_a_time_before_the_desk_says_so(told: Desk) -> None:
    said = text(await say(told, "/briefing weekly"))
    assert "Nothing is known of 2024-12-23 to 2024-12-29: this desk had not begun." in said
    assert "begun.." not in said


async def test_an_analysis_is_of_one_symbol_or_of_all_that_is_traded(told: Desk) -> None:
    one = await say(told, "/analyze btc")
    assert text(one).endswith(f"Indicators alone. {NO_KEY}")
    assert f"Analysis 1 of {BTC}" in [getattr(block, "title", "") for block in one.blocks]
    leads(told, one)
    everything = await say(told, "/analyze")
    assert f"{BTC}: " in text(everything) and f"{ETH}: " in text(everything)
    leads(told, everything)


@pytest.mark.parametrize("line", ["/ask how do we stand?", "/aicost", "/bias", "/analysis"])
async def test_the_other_commands_answer_without_a_model(told: Desk, line: str) -> None:
    answer = await say(told, line, Role.VIEWER)
    assert answer.ok and answer.blocks
    leads(told, answer)


# -- on the way --------------------------------------------------------------------------


def never(make: Callable[[], Reply], card: int = 0) -> Sealed:
    """The letter of what changes something, which nothing here does."""
    raise AssertionError(card)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/autopsy", f"Looking into trade T1 of {BOT} ..."),
        ("/briefing weekly", "Writing the weekly briefing ..."),
        ("/analyze BTC", f"Looking at {BTC} ..."),
        ("/ask why?", "Thinking about why? ..."),
    ],
)
async def test_a_chat_is_told_at_once_and_sees_the_result_later(
    told: Desk, line: str, words: str
) -> None:
    chat = replace(context(told, Role.VIEWER, in_chat=True), seal=never)
    first = await dispatch_line(chat, line)
    assert (text(first), first.asks) == (words, (1,))
    await told.advisor.end_of(1)
    over = await consulting.shown(told, 1)
    assert over.asks == () and over.buttons


async def test_a_consultation_of_before_the_desk_began_says_where_it_is(told: Desk) -> None:
    lost = await consulting.shown(told, 41)
    assert "Ask again" in lost.error and "/analysis 41" in lost.error


async def test_a_consultation_that_failed_says_why(empty_desk: Desk) -> None:
    async with advised(empty_desk) as desk:
        answer = await say(desk, "/briefing")
        assert answer.error.startswith("No candle has closed yet")
        assert (await consulting.shown(desk, 1)).error == answer.error


async def test_a_models_autopsy_is_shown_as_its_own(desk: Desk) -> None:
    answer = said_json(
        {
            "trade_verdict": "poor",
            "entry_analysis": {"quality": "poor", "reasoning": "Late.", "signals_valid": True},
            "exit_analysis": {"quality": "good", "reasoning": "In time."},
            "key_factors": ["It turned."],
            "lessons_learned": ["Wait for 82.5."],
            "recommendations": {
                "config_changes": [],
                "strategy_improvements": [],
                "risk_management": ["Risk less."],
            },
            "confidence": 0.7,
            "summary": "It lost.",
        }
    )
    async with advised(desk, answer) as found:
        said = text(await say(found, "/autopsy"))
    assert said.startswith("T1: It lost.")
    assert "Lessons:\n- Wait for 82.5 [not in the data]." in said
    assert "Don't rely on 82.5" in said
    assert said.endswith("By gemini-2.5-flash, 70% sure.")
