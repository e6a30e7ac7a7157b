"""Messages that are brought up to date, and what the consoles are told of runs."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bot.following import ConsoleLines, Following
from bot.letter import Letter
from engine.advice import AdviceStage, Briefing
from engine.desk import Desk
from engine.mail import Address
from engine.studies import Stage, Study
from engine.tuning import StudyStage, TuningStudy
from handlers import consulting
from handlers.reply import Reply, Text
from tests.advisors import ScriptedAdvisor
from tests.askers import OPERATING
from tests.clock import turn
from tests.findings import SETUP, done, finding
from tests.handlers.conftest import empty_desk, open_desk
from tests.handlers.desks import CHAT

__all__ = ["empty_desk", "open_desk"]


def lines(*changes: Study) -> list[str]:
    """What is printed, one line after the other."""
    heard: list[Reply] = []
    console = ConsoleLines(heard.append)
    for study in changes:
        console.on_change(study)
    return [block.text for each in heard for block in each.blocks if isinstance(block, Text)]


def test_a_console_is_told_each_stage_once_and_the_end() -> None:
    study = Study(3, SETUP, "console:ann", "console", 0)
    assert lines(
        study.at(Stage.FETCHING, "BTCUSDT 5m, 10 % of 900 bars"),
        study.at(Stage.FETCHING, "BTCUSDT 5m, 20 % of 900 bars"),
        study.at(Stage.RUNNING, "900 bars"),
        replace(done(3, finding()), surface="console"),
    ) == [
        "Backtest 3. Fetching: BTCUSDT 5m, 10 % of 900 bars",
        "Backtest 3. Running: 900 bars",
        "Backtest 3 is done: return -0.20%. /backtest show 3",
    ]


def test_a_console_is_told_why_there_is_no_result() -> None:
    study = Study(3, SETUP, "console:ann", "console", 0)
    assert lines(study.failed("Bybit does not answer.")) == [
        "Backtest 3 has no result: Bybit does not answer."
    ]


def test_what_was_asked_for_in_a_chat_is_no_business_of_the_consoles() -> None:
    assert lines(Study(3, SETUP, "telegram:7", "telegram", 0).at(Stage.RUNNING)) == []


# -- the tuner's studies -------------------------------------------------------------------


def test_a_console_is_told_of_its_studies_beside_backtests_of_the_same_number() -> None:
    heard: list[Reply] = []
    console = ConsoleLines(heard.append)
    study = TuningStudy(3, "paper-sim1", "tried_001", "console:ann", "ann", "console", 0)
    console.on_change(Study(3, SETUP, "console:ann", "console", 0).at(Stage.RUNNING, "900 bars"))
    for done_, stage in ((0, StudyStage.SEARCHING), (5, StudyStage.SEARCHING)):
        console.on_study(replace(study, stage=stage, done=done_, trials=9))
    for _ in range(2):
        console.on_study(study.at(StudyStage.NOTHING, "Nothing better was found."))
    console.on_study(replace(study, number=4, surface="telegram"))
    told = [block.text for each in heard for block in each.blocks if isinstance(block, Text)]
    assert told == [
        "Backtest 3. Running: 900 bars",
        "Study 3 of tried_001 searches: 0 of 9 sets of values are tried.",
        "Study 3 of tried_001 proposes nothing: Nothing better was found.",
    ]


# -- consultations -------------------------------------------------------------------------

BRIEFED = Briefing("Briefing of 2025-01-03", "All is well.", "a script")


class Postbox:
    """A courier that keeps what it is given: changes, and answers."""

    def __init__(self) -> None:
        self.refreshed: list[str] = []
        self.answered: list[str] = []

    async def answer(self, address: Address, letter: Letter) -> bool:
        assert (address, letter.edit) == (CHAT, "17")
        self.answered.append(words(letter.reply))
        return True

    async def refresh(self, address: Address, message_id: str, letter: Letter) -> None:
        assert (address, message_id) == (CHAT, "17")
        self.refreshed.append(words(letter.reply))

    async def until(self, said: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not said():
                await turn()


def words(answer: Reply) -> str:
    texts = [block.text for block in answer.blocks if isinstance(block, Text)]
    return "\n".join([*texts, answer.error or ""])


@asynccontextmanager
async def followed(folder: Path, desk: Desk) -> AsyncIterator[tuple[Following, Postbox]]:
    """The messages of a process that runs until it is left."""
    following, box = Following(folder, desk, lambda address: True), Postbox()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(following.run(box))
        yield following, box
        running.cancel()


async def posted(following: Following, desk: Desk) -> ScriptedAdvisor:
    """A message about a briefing that was begun in a chat."""
    advisor = desk.advisor
    assert isinstance(advisor, ScriptedAdvisor)
    begun = await advisor.brief(False, OPERATING)
    first = await consulting.shown(desk, begun.number)
    assert first.asks == (begun.number,)
    following.posted(Letter(replace(first, badge=desk.badge)), CHAT, "17")
    return advisor


async def test_a_message_about_a_question_shows_its_steps_and_then_the_answer(
    tmp_path: Path, empty_desk: Desk
) -> None:
    async with followed(tmp_path, empty_desk) as (following, box):
        advisor = await posted(following, empty_desk)
        advisor.change(1, AdviceStage.THINKING, steps=("Looked at /report.",))
        following.on_advice(advisor.all()[0])
        await box.until(lambda: box.refreshed)
        assert "Looked at /report." in box.refreshed[-1]
        advisor.end(1, BRIEFED)
        following.on_advice(advisor.all()[0])
        await box.until(lambda: box.answered)
    [answer] = box.answered
    assert answer.startswith("Briefing of 2025-01-03\nAll is well.")


async def test_a_question_that_a_restart_lost_is_ended_with_where_it_is(
    tmp_path: Path, empty_desk: Desk
) -> None:
    async with followed(tmp_path, empty_desk) as (following, _):
        await posted(following, empty_desk)
    again = replace(empty_desk, advisor=ScriptedAdvisor())
    async with followed(tmp_path, again) as (_, box):
        await box.until(lambda: box.answered)
    assert "/analysis 1" in box.answered[0]
    async with followed(tmp_path, again) as (_, box):
        for _ in range(20):
            await turn()
    assert box.answered == []


async def test_a_number_that_is_somebody_elses_by_now_tells_nothing_of_theirs(
    tmp_path: Path, empty_desk: Desk
) -> None:
    """A process that dies before a question is stored leaves its number to the next."""
    async with followed(tmp_path, empty_desk) as (following, _):
        await posted(following, empty_desk)
    advisor = ScriptedAdvisor(replace(BRIEFED, text="Between ann and the desk."))
    again = replace(empty_desk, advisor=advisor)
    assert (await advisor.brief(False, OPERATING)).number == 1
    async with followed(tmp_path, again) as (_, box):
        await box.until(lambda: box.answered)
    assert "Between" not in box.answered[0]
    assert "/analysis 1" in box.answered[0]
