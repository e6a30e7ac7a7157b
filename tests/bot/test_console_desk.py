"""What only the console does with a line, on a desk that is there: phrases, files and news."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import console
from bot.app import is_for_consoles
from bot.door import Answered, Hello
from engine.desk import Desk
from engine.effect import Notice, NoticeKind
from handlers.command import HIDDEN
from handlers.reply import Reply
from tests.advisors import ScriptedAdvisor
from tests.handlers.desks import BTC, ScriptedMarket, build, course, propose, say
from tests.proposals import NOW, RED


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    runtime, desk = await build(ScriptedMarket({BTC: course(100_000.0, [(300, 5.0)])}))
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await task


async def typed(desk: Desk, line: str, folder: Path, hello: Hello | None = None) -> Answered:
    async def draw(reply: Reply) -> list[Path | None]:
        return []

    return await console.answer(desk, draw, folder, line, hello or Hello(), 0)


async def test_a_phrase_alone_approves_the_proposal_that_it_names(
    desk: Desk, tmp_path: Path
) -> None:
    await say(desk, "/halt")
    proposal = await propose(desk, "/resume")
    wrong = proposal.phrase.replace("TRADING", "TRAINING")
    refused = await typed(desk, wrong, tmp_path)
    assert not refused.ok and "not 'TRADING'" in refused.output
    assert (await typed(desk, proposal.phrase, tmp_path)).ok
    assert desk.view().halted == ""
    over = await typed(desk, proposal.phrase, tmp_path)
    assert not over.ok


async def test_plain_words_at_the_prompt_ask(desk: Desk, tmp_path: Path) -> None:
    advisor = desk.advisor
    assert isinstance(advisor, ScriptedAdvisor)
    answer = await typed(desk, "why are we short BTC? 123 456", tmp_path)
    assert answer.ok and "Answered." in answer.output
    assert advisor.asked == [(f"why are we short BTC? {HIDDEN}", "")]
    assert "Did you mean /status?" in (await typed(desk, "statsu", tmp_path)).output
    assert (await typed(desk, "price btc", tmp_path)).ok
    assert "halt" in (await typed(desk, "halt?", tmp_path)).output
    assert len(advisor.asked) == 1


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_file_is_put_where_its_owner_alone_reads_it_and_its_path_is_said(
    desk: Desk, tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "files"
    hello = Hello(format="json") if form == "json" else Hello(width=1000)
    for _ in range(2):
        found = await typed(desk, "/audit export", folder, hello)
    [path] = folder.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith('"seq","time","ts","actor"')
    said = json.loads(found.output)["blocks"][1]["text"] if form == "json" else found.output
    assert f"It is in {path}" in said
    assert "prev" not in found.output


async def test_a_folder_that_can_not_be_written_is_said(desk: Desk, tmp_path: Path) -> None:
    taken = tmp_path / "files"
    taken.touch()
    found = await typed(desk, "/audit export", taken)
    assert "can't be written" in found.output and "prev" not in found.output


def test_consoles_are_told_what_they_do_not_know() -> None:
    asked = Notice(NoticeKind.PROPOSED, NOW, proposal=RED)
    assert is_for_consoles(asked)
    assert not is_for_consoles(replace(asked, proposal=replace(RED, surface="console")))
    decided = replace(asked, proposal=replace(RED, surface="console"))
    assert is_for_consoles(replace(decided, kind=NoticeKind.PROPOSAL_CHANGED))
    assert not is_for_consoles(replace(asked, kind=NoticeKind.PROPOSAL_ENDED))
