"""What is kept of consultations, as people see it: over a real store, and inert."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bot.render.discord import discord_messages
from bot.render.plain import to_text
from bot.render.telegram import telegram_messages
from engine.advice import Advice, Level, ModelStatus
from engine.calls import CallState, ModelCall, Purpose, Spending
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import Refused
from engine.mail import ChatKind
from engine.order import Reason, Side
from engine.people import Role
from engine.ports import Commit
from engine.signal import Action, Decision
from engine.store.sql import open_store
from handlers import analysis_page, cost_page
from handlers.reply import (
    BarChart,
    Chart,
    Code,
    Duration,
    Fields,
    File,
    Price,
    Reply,
    Text,
    Time,
    Word,
)
from tests.handlers.desks import (
    BOT,
    BTC,
    ScriptedMarket,
    StillClock,
    build,
    context,
    fields,
    rows,
    say,
    table,
    text,
)

D = Decimal
FLASH = "gemini-2.5-flash"
# 2025-01-15 18:00 UTC.
NOW = 1_736_964_000_000
TODAY = NOW - NOW % DAY_MS
EVIL = "<b>buy</b> @everyone [here](https://evil.example) ``` # now\n<script>x</script>"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk without candles on a SQLite store."""
    store = await open_store(f"sqlite:///{tmp_path}/desk.db")
    runtime, desk = await build(ScriptedMarket({BTC: []}), store, StillClock(NOW))
    yield desk
    runtime.stop()
    await store.close()


async def keep(desk: Desk, number: int, consultation: int = 0, **changes: Any) -> ModelCall:
    """Have a call stored that was answered; without a consultation it begins its own."""
    call = ModelCall(
        call_id=number,
        consultation=consultation or number,
        books="paper-sim42",
        ts=NOW - HOUR_MS + number * 1_000,
        purpose=Purpose.ANALYSIS,
        subject="BTCUSDT",
        asked_by="telegram:8 (tom)",
        model=FLASH,
        prompt="look at BTCUSDT",
        state=CallState.ANSWERED,
        answer='{"bias": -0.5}',
        result='{"bias": -0.5}',
        prompt_tokens=1_000,
        output_tokens=200,
        cost=D("0.0008"),
        latency_ms=1_250,
    )
    call = replace(call, **changes)
    await desk.store.calls.put(call)
    return call


async def shown(desk: Desk, number: int, role: Role = Role.VIEWER) -> Reply:
    return await analysis_page.page(context(desk, role, in_chat=True), number)


async def listed(desk: Desk, role: Role = Role.VIEWER) -> list[dict[str, Any]]:
    answer = await analysis_page.listed(context(desk, role, in_chat=True))
    return rows(table(answer, "Analyses"))


def said(answer: Reply) -> str:
    return to_text(answer, width=200, color=False)


def codes(answer: Reply) -> list[str]:
    return [block.code for block in answer.blocks if isinstance(block, Code)]


# -- the last ones -----------------------------------------------------------------------


async def test_before_anything_was_asked_the_list_says_what_to_do(desk: Desk) -> None:
    answer = await analysis_page.listed(context(desk))
    assert table(answer, "Analyses").rows == ()
    assert said(answer).startswith(
        "Nothing was asked yet. /analyze looks at a market, /ask answers a question."
    )


async def test_the_last_ten_are_listed_newest_first_with_what_all_their_calls_cost(
    desk: Desk,
) -> None:
    for number in range(1, 13):
        await keep(desk, number)
    await keep(desk, 13, 12, state=CallState.FAILED, cost=D("0.0002"))
    found = await listed(desk)
    assert [each["number"] for each in found] == [str(n) for n in range(12, 2, -1)]
    assert found[0] == {
        "number": "12",
        "time": Time(NOW - HOUR_MS + 12_000),
        "purpose": Word("analysis"),
        "about": "BTCUSDT",
        "asked_by": "tom",
        "model": FLASH,
        "cost_usd": Price(D("0.001"), 4),
        "outcome": "failed",
    }


async def test_the_newest_of_the_list_are_a_press_away(desk: Desk) -> None:
    for number in range(1, 7):
        await keep(desk, number)
    answer = await analysis_page.listed(context(desk))
    commands = [button.command for button in answer.buttons]
    assert commands == [*(f"/analysis {n}" for n in (6, 5, 4, 3)), "/aicost"]


# -- one of them -------------------------------------------------------------------------


async def test_a_number_that_none_has_is_refused_in_a_sentence(desk: Desk) -> None:
    with pytest.raises(Refused) as refused:
        await shown(desk, 17)
    assert str(refused.value) == "There is no analysis 17. /analysis lists the last ones."


async def test_one_call_is_shown_with_its_words_tokens_and_cost(desk: Desk) -> None:
    await keep(desk, 17, cost=D("0.00123"))
    answer = await shown(desk, 17)
    assert fields(answer, "Analysis 17") == {
        "asked_for": Word("analysis"),
        "about": "BTCUSDT",
        "asked_by": "tom",
        "time": Time(NOW - HOUR_MS + 17_000),
        "books": "paper-sim42",
        "model": FLASH,
        "outcome": "answered",
        "calls": 1,
        "prompt_tokens": 1_000,
        "output_tokens": 200,
        "cost_usd": Price(D("0.00123"), 4),
        "took": Duration(1_250),
    }
    assert codes(answer) == ["look at BTCUSDT", '{"bias": -0.5}']
    assert text(answer).split("\n") == ["Prompt of call 17:", "Answer of call 17:"]
    assert "cost usd" in said(answer) and "0.0012" in said(answer)


async def test_each_of_several_calls_is_shown_and_why_one_failed(desk: Desk) -> None:
    failure = "The model is overloaded."
    failed: dict[str, Any] = {
        "state": CallState.FAILED,
        "failure": failure,
        "answer": "",
        "result": "",
    }
    await keep(desk, 17, cost=D(0), output_tokens=0, **failed)
    await keep(desk, 18)
    await keep(desk, 19, 17, answer="not JSON", result="{}")
    answer = await shown(desk, 17)
    assert [each["call"] for each in rows(table(answer, "Calls"))] == ["17", "19"]
    assert [each["outcome"] for each in rows(table(answer, "Calls"))] == ["failed", "answered"]
    assert text(answer).startswith(failure)
    facts = fields(answer, "Analysis 17")
    assert (facts["calls"], facts["cost_usd"]) == (2, Price(D("0.0008"), 4))
    assert codes(answer) == ["look at BTCUSDT", "look at BTCUSDT", "not JSON", "{}"]


async def test_what_no_model_was_asked_for_says_so(desk: Desk) -> None:
    made: dict[str, Any] = {
        "model": "indicators",
        "state": CallState.COMPUTED,
        "cost": D(0),
        "answer": "",
    }
    await keep(desk, 17, prompt_tokens=0, output_tokens=0, latency_ms=0, **made)
    facts = fields(await shown(desk, 17), "Analysis 17")
    assert (facts["outcome"], facts["model"], facts["calls"]) == ("computed", "indicators", 0)


async def test_a_call_that_never_ended_counts_as_what_it_may_cost(desk: Desk) -> None:
    await keep(desk, 17, state=CallState.ASKED, answer="", result="", cost=D("0.02"))
    answer = await shown(desk, 17)
    assert text(answer).startswith("A call of it has not ended: it counts as what it may cost")
    assert fields(answer)["cost_usd"] == Price(D("0.02"), 4)
    assert (await listed(desk))[0]["outcome"] == "not ended"


async def test_long_words_are_a_file_beneath_the_last_answer(desk: Desk) -> None:
    await keep(desk, 17, prompt="x" * 50_000)
    await keep(desk, 18, 17, prompt="again", answer="short", result="")
    answer = await shown(desk, 17)
    assert codes(answer) == ["short"]
    [file] = [block for block in answer.blocks if isinstance(block, File)]
    assert file.name == "analysis-17.txt"
    parts = ["Prompt of call 17", "Answer of call 17", "Prompt of call 18", "Answer of call 18"]
    places = [file.content.index(f"== {part} ==") for part in parts]
    assert places == sorted(places)
    assert "x" * 50_000 in file.content
    assert [len(message.text) < 4_096 for message in telegram_messages(answer)]
    assert [message.document is not None for message in telegram_messages(answer)] == [False, True]


async def test_of_what_is_forgotten_the_cost_stays(desk: Desk) -> None:
    await keep(desk, 17)
    await desk.store.calls.prune(NOW)
    answer = await shown(desk, 17)
    facts = fields(answer, "Analysis 17")
    assert facts["cost_usd"] == Price(D("0.0008"), 4)
    assert "about" not in facts
    assert text(answer) == (
        "What was sent and answered is kept for 30 days; only what it cost stays."
    )
    assert [each["about"] for each in await listed(desk)] == [None]


async def test_each_page_is_a_command_away(desk: Desk) -> None:
    await keep(desk, 17)
    assert codes(await say(desk, "/analysis 17", Role.VIEWER, in_chat=True))
    assert rows(table(await say(desk, "/analysis"), "Analyses"))[0]["number"] == "17"
    assert "/analysis lists the last ones." in ((await say(desk, "/analysis 18")).error or "")
    assert table(await say(desk, "/aicost"), "This month by purpose").rows


# -- whose words they are ----------------------------------------------------------------

SECRET = "what did ann do?"


async def ask(desk: Desk) -> None:
    said: dict[str, Any] = {
        "purpose": Purpose.QUESTION,
        "subject": SECRET,
        "prompt": "audit rows of ann",
    }
    await keep(desk, 17, **said)


@pytest.mark.parametrize("role", [Role.TRADER, Role.ADMIN])
async def test_whoever_asked_and_admins_read_a_question_and_its_answer(
    desk: Desk, role: Role
) -> None:
    await ask(desk)
    answer = await shown(desk, 17, role)
    assert codes(answer)[0] == "audit rows of ann"
    assert fields(answer)["about"] == SECRET
    assert (await listed(desk, role))[0]["about"] == SECRET


async def test_others_learn_what_a_question_cost_and_not_what_it_was(desk: Desk) -> None:
    await ask(desk)
    answer = await shown(desk, 17, Role.VIEWER)
    assert codes(answer) == []
    assert text(answer) == analysis_page.NOT_YOURS
    assert fields(answer)["cost_usd"] == Price(D("0.0008"), 4)
    assert SECRET not in said(answer)
    assert (await listed(desk))[0]["about"] is None


@pytest.mark.parametrize("kind", [ChatKind.GROUP, ChatKind.CHANNEL, None])
async def test_where_others_may_read_along_a_question_is_not_told(
    desk: Desk, kind: ChatKind | None
) -> None:
    await ask(desk)
    in_group = replace(context(desk, Role.ADMIN, in_chat=True), chat_kind=kind)
    answer = await analysis_page.page(in_group, 17)
    assert codes(answer) == []
    assert codes(await analysis_page.page(context(desk), 17))
    assert SECRET not in said(answer)
    assert SECRET not in said(await analysis_page.listed(in_group))


# -- what used it ------------------------------------------------------------------------


def decision(number: int, consultation: int, approved: bool = False) -> Decision:
    gate, detail = ("", "") if approved else ("model bias", "analysis 17 leans down")
    return Decision(
        number, "a", BOT, BTC, NOW + number, Action.ENTRY, Side.BUY, Reason.LONG_ENTRY,
        100.5, approved, gate, detail, None, 0.8, consultation,
        "" if approved else "would have bought 0.5 at the market",
    )  # fmt: skip


async def decided(desk: Desk, *decisions: Decision) -> None:
    epoch = await desk.store.take_epoch("test")
    await desk.store.commit(Commit(epoch, facts=list(decisions)))


async def test_the_entries_that_were_decided_under_it_are_shown(desk: Desk) -> None:
    await keep(desk, 17)
    await decided(desk, decision(1, 17), decision(2, 17, approved=True), decision(3, 16))
    found = rows(table(await shown(desk, 17), "Entries under its bias"))
    assert [tuple(each.values()) for each in found] == [
        (Time(NOW + 2), BOT, BTC, "open long", "executed", None),
        (
            Time(NOW + 1),
            BOT,
            BTC,
            "open long",
            "model bias: analysis 17 leans down",
            "would have bought 0.5 at the market",
        ),
    ]


async def test_of_many_entries_the_newest_are_shown_and_that_is_said(desk: Desk) -> None:
    await keep(desk, 17)
    await decided(desk, *(decision(n, 17) for n in range(1, 13)))
    answer = await shown(desk, 17)
    found = rows(table(answer, "Entries under its bias"))
    assert [each["time"] for each in found] == [Time(NOW + n) for n in range(12, 2, -1)]
    assert "These are the newest 10 of them." in text(answer)


async def test_what_became_of_a_suggestion_is_told_with_its_proposal(desk: Desk) -> None:
    advice = Advice(BOT, FLASH, "late exits", (), 0.8, Level.LOW, "exit sooner")
    results = [advice, replace(advice, outcome="Proposal 4 waits for a person.", proposal=4)]
    for number, result in enumerate(results, start=17):
        kept = TypeAdapter(Advice).dump_json(result).decode()
        await keep(desk, number, purpose=Purpose.SUGGESTION, subject=BOT, result=kept)
    tried, proposed = await shown(desk, 17), await shown(desk, 18)
    assert "waits for a person" not in text(tried)
    assert "Proposal 4 waits for a person." in text(proposed).split("\n")
    assert "/proposals 4" not in [button.command for button in tried.buttons]
    assert "/proposals 4" in [button.command for button in proposed.buttons]


# -- nothing takes effect ----------------------------------------------------------------


async def test_no_markup_of_a_model_takes_effect(desk: Desk) -> None:
    await keep(desk, 17, subject=EVIL, prompt=EVIL, answer=EVIL, model=EVIL, failure=EVIL)
    context_ = context(desk, in_chat=True)
    for answer in (await shown(desk, 17), await analysis_page.listed(context_)):
        html = "\n".join(message.text for message in telegram_messages(answer))
        assert "&lt;b&gt;buy&lt;/b&gt;" in html
        assert "<b>buy" not in html and "<script" not in html and "<a " not in html
        for message in discord_messages(answer):
            embedded = [(each.title, each.description) for each in message.embeds]
            named = [(each.name, each.value) for embed in message.embeds for each in embed.fields]
            outside = outside_code("\n".join([message.content, *map("\n".join, embedded + named)]))
            assert "@everyone" not in outside
            assert "[here](" not in outside


def outside_code(markdown: str) -> str:
    """Markdown without its blocks of code, in which nothing takes effect."""
    return "".join(markdown.split("```")[::2])


# -- cost --------------------------------------------------------------------------------


def spending(day: str = "0", month: str = "0", daily_cap: str = "5") -> Spending:
    ends = TODAY + DAY_MS, TODAY + 17 * DAY_MS
    return Spending(D(day), D(month), D(daily_cap), D(100), *ends)


ANSWERS = ModelStatus(FLASH, "genai")
NO_KEY = ModelStatus("", "", "no GEMINI_API_KEY is set")


async def test_without_a_call_the_cost_says_who_answers_and_what_may_be_spent(desk: Desk) -> None:
    answer = await cost_page.page(desk, spending(), NO_KEY)
    assert said(answer).split("\n")[:4] == [
        "No model is asked now. No GEMINI_API_KEY is set.",
        "",
        "Today: $0.00 of $5.00; it begins anew at 2025-01-16 00:00 UTC, in 6h.",
        "Month: $0.00 of $100.00; it begins anew at 2025-02-01 00:00 UTC, in 16d 6h.",
    ]
    assert table(answer, "This month by purpose").rows == ()
    assert not any(isinstance(block, Chart) for block in answer.blocks)


async def test_a_sentence_of_why_nobody_is_asked_is_told_as_it_is(desk: Desk) -> None:
    reached = ModelStatus(FLASH, "genai", "The model has cost $0.01 of $0.01 today.")
    answer = await cost_page.page(desk, spending("0.01", "0.01", "0.01"), reached)
    assert text(answer) == "No model is asked now. The model has cost $0.01 of $0.01 today."


async def test_machines_have_the_cost_as_values(desk: Desk) -> None:
    answer = await cost_page.page(desk, spending("0.0123", "0.5"), ANSWERS)
    [block] = [block for block in answer.blocks if isinstance(block, Fields)]
    assert block.fields == {
        "today_usd": Price(D("0.0123"), 4),
        "daily_cap_usd": Price(D(5)),
        "day_ends": Time(TODAY + DAY_MS),
        "month_usd": Price(D("0.5"), 4),
        "monthly_cap_usd": Price(D(100)),
        "month_ends": Time(TODAY + 17 * DAY_MS),
    }
    assert block.words.startswith("Today: $0.0123 of $5.00;")
    assert text(answer) == f"{FLASH} answers, through genai."


async def test_this_month_is_summed_by_purpose_and_model(desk: Desk) -> None:
    month = TODAY - 14 * DAY_MS
    await keep(desk, 1, ts=month - 1, cost=D(9))
    await keep(desk, 2, ts=month)
    await keep(desk, 3, ts=NOW, state=CallState.FAILED, cost=D(0), output_tokens=0)
    await keep(desk, 4, ts=NOW, model="gemini-2.5-pro", cost=D("0.5"))
    await keep(desk, 5, ts=NOW, purpose=Purpose.QUESTION)
    answer = await cost_page.page(desk, spending("0.5008", "0.5016"), ANSWERS)
    assert [tuple(each.values()) for each in rows(table(answer, "This month by purpose"))] == [
        (Word("analysis"), FLASH, 2, 1, 2_000, 200, Price(D("0.0008"), 4)),
        (Word("analysis"), "gemini-2.5-pro", 1, 0, 1_000, 200, Price(D("0.5"), 4)),
        (Word("question"), FLASH, 1, 0, 1_000, 200, Price(D("0.0008"), 4)),
    ]


async def test_the_last_days_are_drawn_in_cents_with_those_that_cost_nothing(desk: Desk) -> None:
    await keep(desk, 1, ts=TODAY - 20 * DAY_MS, cost=D(9))
    await keep(desk, 2, ts=TODAY - 3 * DAY_MS, cost=D("0.0123"))
    await keep(desk, 3, ts=NOW, cost=D("0.01"))
    await keep(desk, 4, ts=NOW, purpose=Purpose.QUESTION, cost=D("0.002"))
    answer = await cost_page.page(desk, spending(), ANSWERS)
    [chart] = [block.chart for block in answer.blocks if isinstance(block, Chart)]
    assert isinstance(chart, BarChart)
    assert chart.bars == (("01-12", 1.23), ("01-13", 0.0), ("01-14", 0.0), ("01-15", 1.2))
    assert not chart.gains
    assert chart.subtitle.startswith("01-12 to 01-15, in US cents")


async def test_one_day_alone_is_not_drawn(desk: Desk) -> None:
    await keep(desk, 1, ts=TODAY - DAY_MS, cost=D(0))
    await keep(desk, 2, ts=NOW)
    answer = await cost_page.page(desk, spending(), ANSWERS)
    assert not any(isinstance(block, Chart) for block in answer.blocks)
    assert any(isinstance(block, Text) for block in answer.blocks)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("0", "$0.00"),
        ("0.01", "$0.01"),
        ("0.0100", "$0.01"),
        ("0.0123", "$0.0123"),
        ("0.00004", "$0.0000"),
        ("1234.5", "$1,234.50"),
    ],
)
def test_dollars_are_told_in_cents_and_as_finely_as_they_are(amount: str, words: str) -> None:
    assert cost_page.dollars(D(amount)) == words
