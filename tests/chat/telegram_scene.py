"""A desk on the local Telegram server, and the people before it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.ports import Store
from tests.chat.desks import ChatDesk, open_chat_desk
from tests.fast_clock import FastClock
from tests.handlers.desks import T0, ScriptedMarket
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat, Message, User

DAY_MS = 24 * 3600 * 1000
DEADLINE_S = 10
# Pauses of seconds pass in tenths; a command is too old for the desk after six real seconds.
RATE = 10.0


@dataclass
class Scene:
    """The server, and people before the desk, each with a private chat.

    Ann is admin, Tom trader, Vera and Eve are viewers, Sue is a stranger. `logs` is what the desk
    logged.
    """

    server: TelegramServer
    clock: "LeapingClock"
    folder: Path
    logs: list[Any]
    ann: User
    tom: User
    vera: User
    eve: User
    sue: User

    def open_desk(
        self, market: ScriptedMarket | None = None, store: Store | None = None, **settings: Any
    ) -> AbstractAsyncContextManager[ChatDesk]:
        """A desk on the server that knows these people."""
        known = {
            "telegram_bot_token": self.server.token,
            "telegram_api_base": self.server.base,
            "telegram_admin_ids": str(self.ann.id),
            "people": (
                {"name": "tom", "role": "trader", "telegram": self.tom.id},
                {"name": "vera", "role": "viewer", "telegram": self.vera.id},
                {"name": "eve", "role": "viewer", "telegram": self.eve.id},
            ),
        }
        return open_chat_desk(self.folder, market, store, self.clock, **known | settings)

    def private(self, user: User) -> Chat:
        return self.server.chats[user.id]

    async def open_group(self, title: str = "Trading") -> Chat:
        """A group that Ann has opened to the desk."""
        group = self.server.supergroup(title)
        await self.ask(self.ann, "/subscribe", group)
        return group

    async def ask(self, user: User, line: str, chat: Chat | None = None, **how: Any) -> Message:
        """What the desk answers somebody, in their private chat or another."""
        return await self.answer(self.server.write(user, chat or self.private(user), line, **how))

    async def answer(self, question: Message) -> Message:
        """The first message that replies to another."""
        answers = await self.server.until(lambda: self.answers(question))
        return answers[0]

    def answers(self, question: Message) -> list[Message]:
        return [each for each in self.server.from_bot(question.chat) if each.reply_to is question]

    def press(self, user: User, card: Message, label: str) -> str:
        """Press a card's button by its label; the id of the press."""
        return self.server.press(user, card, card.buttons[label])

    async def shown(self, card: Message, words: str) -> Message:
        """Wait until a card shows some words."""
        await self.server.until(lambda: words in (card.text or ""))
        return card

    async def told(self, chat: Chat, words: str, times: int = 1) -> Message:
        """The last of so many messages with some words, which the chat gets or has."""
        found = await self.server.until(lambda: self.having(chat, words, times))
        return found[-1]

    def having(self, chat: Chat, words: str, least: int = 1) -> list[Message]:
        """The messages of the desk that have some words, where they are at least so many."""
        found = [each for each in self.server.from_bot(chat) if words in (each.text or "")]
        return found if len(found) >= least else []

    async def until_logged(self, event: str) -> None:
        async def is_logged() -> bool:
            return any(each["event"] == event for each in self.logs)

        await eventually(is_logged)

    async def until_judged(self) -> None:
        """Return when all that was said and pressed up to now has been let in or refused."""
        await self.ask(self.ann, "/whoami")


@asynccontextmanager
async def open_scene(
    folder: Path, request: pytest.FixtureRequest, clock: "LeapingClock | None" = None
) -> AsyncIterator[Scene]:
    """A scene in which every call must be right, and nothing may fail for a fault of ours."""
    clock = clock or LeapingClock(RATE, T0 + 30 * DAY_MS)
    with capture_logs() as logs:
        async with TelegramServer(spec=specification(request), clock=clock) as server:
            people = [server.user(name) for name in ("Ann", "Tom", "Vera", "Eve", "Sue")]
            for each in people:
                server.private(each)
            yield Scene(server, clock, folder, logs, *people)
    assert server.violations == []
    assert [each for each in logs if each.get("exc_info")] == []


class LeapingClock(FastClock):
    """A fast clock that can be put on: who sleeps meanwhile does not notice."""

    def leap(self, ms: int) -> None:
        self._now += ms


async def eventually(happened: Callable[[], Awaitable[object]]) -> None:
    """Wait for what no call to the server tells."""
    async with asyncio.timeout(DEADLINE_S):
        for pause in chain([0], repeat(0.01)):
            await asyncio.sleep(pause)
            if await happened():
                return


def specification(request: pytest.FixtureRequest) -> Path | None:
    """The folder of the published specification, where there is one."""
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return None
    return shared / "specs" / "telegram"
