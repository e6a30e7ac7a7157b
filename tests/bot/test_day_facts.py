"""What a briefing is made of, as a running desk gives it."""

from dataclasses import replace

import pytest

from bot.day_facts import day_facts
from engine.bias import Bias
from engine.candle import DAY_MS, HOUR_MS
from engine.day_facts import DayFacts
from engine.desk import Desk
from engine.errors import Refused
from engine.instruction import NoteBias
from engine.people import DESK
from engine.ports import Commit
from engine.signal import Action, Decision
from handlers.reply import show
from tests.handlers.conftest import desk, empty_desk, open_desk
from tests.handlers.desks import (
    BOT,
    BTC,
    FALLING_TWICE,
    T0,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    propose,
    say,
)

__all__ = ["desk", "empty_desk", "open_desk"]

# The trade closes on the third day, which is over with these.
UNTIL_THE_FOURTH = (*FALLING_TWICE, (120, 0.0))
THIRD_DAY = T0 + 2 * DAY_MS
TOO_LATE = THIRD_DAY + DAY_MS + 1


@pytest.fixture
async def next_day(open_desk: OpenDesk) -> Desk:
    """A desk on the day after the one on which it closed a trade."""
    return await open_desk(ScriptedMarket({BTC: course(100_000.0, UNTIL_THE_FOURTH)}))


def section(found: DayFacts, name: str) -> str:
    return " ".join(dict(found.sections).get(name, ()))


async def test_the_result_is_that_of_the_last_full_day(next_day: Desk) -> None:
    report = fields(await say(next_day, "/report daily"))
    found = await day_facts(next_day, weekly=False)
    assert (found.title, found.weekly) == ("Briefing of 2025-01-03", False)
    result = section(found, "Result")
    assert "Trades: 1 closed, 0 won, 1 lost." in result
    net, before = show(report["net"]), show(report["against_day_before"])
    assert result.startswith(f"Net {net} USDT, {before} against the day before. Equity ")
    assert f"a change of {report['equity_change']}." in result


async def test_what_is_open_is_told_with_its_stop(next_day: Desk) -> None:
    [held] = next_day.view().positions
    said = section(await day_facts(next_day, weekly=False), "Open now")
    assert said.startswith("Short ") and f"stop {held.stop_loss:,.1f}." in said


async def test_what_waits_and_what_holds_entries_back_is_told(desk: Desk) -> None:
    await say(desk, f"/bot pause {BOT}")
    await say(desk, "/halt")
    proposal = await propose(desk, "/resume")
    found = await day_facts(desk, weekly=False)
    waits = section(found, "Waits for a person")
    assert waits.startswith(f"Proposal {proposal.proposal_id} waits for ")
    held_back = section(found, "Holds entries back")
    assert "The desk is halted: " in held_back and f"Paused: {BOT}." in held_back
    assert ".." not in found.to_text()


async def test_a_bias_is_told_as_long_as_it_is_in_force(desk: Desk) -> None:
    now = desk.view().market_time
    await desk.ask(NoteBias(Bias(BTC, -0.8, 0.9, now, now + HOUR_MS, 1)), DESK)
    said = section(await day_facts(desk, weekly=False), "What the model makes of it")
    assert said == f"{BTC} -0.80 of -1 to 1, 90% sure, until 2025-01-03 17:20 UTC."


async def test_gates_are_counted_in_the_time_that_is_told(next_day: Desk) -> None:
    entry = next(
        signal
        for signal in await next_day.recent(Decision, lambda signal: signal.ts)
        if signal.action is Action.ENTRY and signal.approved
    )
    refused = [
        replace(entry, decision_id=100 + number, ts=ts, approved=False, gate="cool-down")
        for number, ts in enumerate((THIRD_DAY, THIRD_DAY + 1, THIRD_DAY + DAY_MS, TOO_LATE))
    ]
    await next_day.store.commit(Commit(epoch=1, facts=refused))
    said = section(await day_facts(next_day, weekly=False), "Stopped most")
    assert said == "Of 4 entry signals 2 were stopped: 2 by cool-down."


async def test_a_time_before_the_desk_is_told_as_such(desk: Desk) -> None:
    found = await day_facts(desk, weekly=True)
    assert found.title == "Briefing of 2024-12-23 to 2024-12-29"
    assert section(found, "Result") == (
        "Nothing is known of 2024-12-23 to 2024-12-29: this desk had not begun."
    )


async def test_before_the_first_candle_there_is_nothing_to_tell(empty_desk: Desk) -> None:
    with pytest.raises(Refused, match="No candle has closed yet"):
        await day_facts(empty_desk, weekly=False)
