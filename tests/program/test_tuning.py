"""Tuning in the whole program: killed between asking and deciding, and between deciding and the
next bar; a value that stands above the settings; and a study to its end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.chat.discord_scene import said
from tests.program.chats import ANSWER_S, Chats, Desk, open_chats, until
from tests.program.conftest import Program
from tests.servers.discord_world import Message as Card

BOT = "shortseller_001"
STUDY = "[tuning]\non = false\ndays = 21\ntrials = 2\nfolds = 2\nworkers = 1\n"
# A bot of which the settings say another leverage than the strategy.
WRITTEN = f"""
[[bots]]
id = "{BOT}"
strategy = "shortseller"
symbols = ["BTCUSDT"]
params = {{ leverage = "8" }}
"""
# A study compiles first, beside whatever else the machine does.
STUDY_S = 240.0


@pytest.fixture
async def chats(program: Program) -> AsyncIterator[Chats]:
    specs = Path(__file__).parents[3] / "shared" / "specs"
    async with open_chats(program, spec=specs if specs.is_dir() else None) as found:
        yield found
    assert found.telegram.violations == []
    assert found.discord.violations == []


async def started(chats: Chats) -> Desk:
    desk = await chats.start()
    await chats.until_connected(desk)
    if len(chats.desks) == 1:
        # Later there are a few candles to make up for.
        await until(lambda: "percent=100" in desk.said, desk)
    return desk


async def card_of(chats: Chats, number: int) -> Card:
    """The card of a proposal in Bob's private chat on Discord."""

    def card() -> Card | None:
        found = chats.discord.messages(chats.dm)
        return next((each for each in found if f"Proposal {number}:" in said(each)), None)

    found: Card = await chats.discord.until(card, ANSWER_S)
    return found


async def confirm(chats: Chats, card: Card) -> None:
    [custom_id] = [each for each, one in card.controls.items() if one["label"] == "Confirm"]
    await chats.discord.press(chats.bob, card, custom_id)


async def shown_value(chats: Chats, name: str) -> str:
    """What the page of a parameter says of its value."""
    page = await chats.ask_telegram(f"/tune show {name} {BOT}")
    [line] = [each for each in (page.text or "").splitlines() if each.startswith("value")]
    return line.split()[-1]


def stored(chats: Chats) -> list[tuple[Any, ...]]:
    """Every version of a value that the database holds."""
    return chats.program.rows("SELECT name, version, value FROM parameters ORDER BY change_id")


def audited(chats: Chats) -> int:
    [(count,)] = chats.program.rows("SELECT COUNT(*) FROM audit WHERE action = 'parameter'")
    return int(count)


def state(chats: Chats, number: int) -> str:
    query = f"SELECT state FROM proposals WHERE proposal_id = {number}"
    [(found,)] = chats.program.rows(query)
    return str(found)


async def test_a_change_outlives_a_killed_desk_and_stands_above_the_settings(chats: Chats) -> None:
    (chats.program.folder / "countersign.toml").write_text("[tuning]\non = false\n")
    desk = await started(chats)
    await chats.ask_telegram(f"/tune set leverage 12 {BOT} it trends")
    card = await card_of(chats, 1)
    await desk.kill()
    assert state(chats, 1) == "open"
    assert stored(chats) == [] and audited(chats) == 0

    # Decided by a desk that never heard the question; killed before it tells anybody.
    desk = await started(chats)
    assert await shown_value(chats, "leverage") == "10"
    await confirm(chats, card)
    await until(lambda: state(chats, 1) == "done", desk)
    await desk.kill()
    assert stored(chats) == [("leverage", 1, 12.0)] and audited(chats) == 1

    # Live after the start, once, though the settings say another value now; the answer still comes.
    (chats.program.folder / "countersign.toml").write_text(f"[tuning]\non = false\n{WRITTEN}")
    desk = await started(chats)
    await chats.discord.until(lambda: "was approved by" in said(card), ANSWER_S)
    assert await shown_value(chats, "leverage") == "12"
    assert stored(chats) == [("leverage", 1, 12.0)] and audited(chats) == 1
    assert f"{BOT}: leverage = 8 is set in countersign.toml, but it was tuned to 12" in desk.said
    answer = await chats.ask_discord("undo")
    assert "leverage of shortseller_001 from 12 to 8" in said(answer)
    await confirm(chats, answer)
    await until(lambda: state(chats, 2) == "done", desk)
    assert await shown_value(chats, "leverage") == "8"
    await desk.kill()
    assert [row[:2] for row in stored(chats)] == [("leverage", 1), ("leverage", 2)]
    assert audited(chats) == 2


@pytest.mark.timeout(300)
async def test_a_study_asked_for_in_chat_runs_to_its_end_in_its_message(chats: Chats) -> None:
    (chats.program.folder / "countersign.toml").write_text(STUDY)
    desk = await started(chats)
    asked = await chats.ask_telegram(f"/tune run {BOT}")
    assert "Study 1" in (asked.text or "") and "Cancel" in asked.buttons

    await chats.telegram.until(lambda: "Cancel" not in asked.buttons, STUDY_S)
    [(stage, verdict)] = chats.program.rows("SELECT stage, verdict FROM studies")
    assert stage in ("nothing", "proposed")
    assert verdict in (asked.text or "")
    await desk.kill()
