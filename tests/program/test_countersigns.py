"""Countersigns in the whole program: killed between asking and deciding, and after deciding."""

import asyncio
from collections.abc import AsyncIterator
from math import inf
from pathlib import Path
from typing import Any

import pytest

from tests.chat.discord_scene import said
from tests.program.chats import ANSWER_S, Chats, Desk, open_chats, until
from tests.program.conftest import Program
from tests.servers.discord_world import Interaction
from tests.servers.discord_world import Message as Card
from tests.servers.telegram_chat import Message

BOT = "shortseller_001"


@pytest.fixture
async def chats(program: Program) -> AsyncIterator[Chats]:
    specs = Path(__file__).parents[3] / "shared" / "specs"
    async with open_chats(program, spec=specs if specs.is_dir() else None) as found:
        yield found
    assert found.telegram.violations == []
    assert found.discord.violations == []


async def shown(chats: Chats, card: Message, words: str) -> None:
    await chats.telegram.until(lambda: words in (card.text or ""), ANSWER_S)


async def shown_there(chats: Chats, card: Card, words: str) -> None:
    await chats.discord.until(lambda: words in said(card), ANSWER_S)


async def card_there(chats: Chats, number: int) -> Card:
    """The card of a proposal in Bob's private chat on Discord."""

    def card() -> Card | None:
        found = chats.discord.messages(chats.dm)
        return next((each for each in found if f"Proposal {number}:" in said(each)), None)

    found: Card = await chats.discord.until(card, ANSWER_S)
    return found


async def pressed_there(chats: Chats, card: Card, label: str) -> Interaction:
    [custom_id] = [each for each, button in card.controls.items() if button["label"] == label]
    return await chats.discord.press(chats.bob, card, custom_id)


def stored(chats: Chats, number: int) -> tuple[Any, ...]:
    """State and phrase of a proposal in the database."""
    query = f"SELECT state, phrase FROM proposals WHERE proposal_id = {number}"
    return chats.program.rows(query)[0]


def acted(chats: Chats, words: str) -> int:
    query = f"SELECT COUNT(*) FROM audit WHERE action = '{words.split()[0]}'"
    [(count,)] = chats.program.rows(f"{query} AND detail LIKE '{words.partition(' ')[2]}%'")
    return int(count)


async def started(chats: Chats) -> Desk:
    desk = await chats.start()
    await chats.until_connected(desk)
    return desk


async def test_what_waits_and_what_was_decided_outlives_a_killed_desk(chats: Chats) -> None:
    desk = await started(chats)
    await until(lambda: "percent=100" in desk.said, desk)
    await chats.ask_telegram(f"/bot pause {BOT}")
    yellow = await chats.ask_telegram(f"/bot resume {BOT}")
    await chats.ask_telegram("/halt")
    red = await chats.ask_telegram("/resume")
    theirs = [await card_there(chats, number) for number in (1, 2)]
    await desk.kill()
    assert [stored(chats, number)[0] for number in (1, 2)] == ["open", "open"]

    # Asked before the desk was killed, decided after: each on the other platform.
    desk = await started(chats)
    await pressed_there(chats, theirs[0], "Confirm")
    await shown_there(chats, theirs[0], "was approved by")
    await shown(chats, yellow, "was approved by")
    opened = await pressed_there(chats, theirs[1], "Approve...")
    await chats.discord.until(lambda: opened.modal, ANSWER_S)
    phrase = stored(chats, 2)[1]
    wrong = await chats.discord.submit(chats.bob, opened, {"phrase": f"{phrase}X"})
    await chats.discord.until(lambda: wrong.original and not wrong.original.loading, ANSWER_S)
    assert "Word 4 of the phrase" in said(wrong.original)
    answer = await chats.answer_to(
        chats.telegram.write(chats.ann, chats.chat, phrase, reply_to=red)
    )
    assert "Trading is on again" in (answer.text or "")
    await shown_there(chats, theirs[1], "was approved by")
    await shown(chats, red, "was approved by")

    # Decided, and killed before anybody on Telegram could be told.
    await chats.ask_telegram(f"/bot pause {BOT}")
    yellow = await chats.ask_telegram(f"/bot resume {BOT}")
    other = await card_there(chats, 3)
    chats.telegram.fault("editMessageText", "hang", times=inf)
    await pressed_there(chats, other, "Confirm")
    await until(lambda: stored(chats, 3)[0] == "done", desk)
    await desk.kill()
    assert "was approved by" not in (yellow.text or "")
    chats.telegram.heal()
    desk = await started(chats)
    await asyncio.gather(
        shown(chats, yellow, "was approved by"), shown_there(chats, other, "was approved by")
    )
    assert yellow.buttons == other.controls == {}

    # The end of the audit stands in the chats and in the database.
    def anchors() -> list[Message]:
        ours = chats.telegram.from_bot(chats.chat)
        return [each for each in ours if "The audit's end" in (each.text or "")]

    await chats.telegram.until(anchors, ANSWER_S)
    await desk.kill()
    assert [acted(chats, f"approved Proposal {number} ") for number in (1, 2, 3)] == [1, 1, 1]
    ((seq, mac),) = chats.program.rows("SELECT seq, mac FROM audit_anchors")
    done = await asyncio.to_thread(chats.program.run, "audit", "verify", "--head", f"{seq}:{mac}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("good: ")
