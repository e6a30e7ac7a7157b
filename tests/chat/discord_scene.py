"""A desk on the local Discord server, and the people before it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.clock import SystemClock
from engine.ports import Store
from tests.chat.desks import ChatDesk, open_chat_desk
from tests.handlers.desks import ScriptedMarket
from tests.servers.discord import DiscordServer
from tests.servers.discord_world import Channel, Guild, Interaction, Message, User

DEADLINE_S = 15.0
# What is escaped is kept; stars, fences of code, small print and marks of no width go.
MARKUP = re.compile(r"\\([^\sA-Za-z0-9])|\*+|^```\n?|\n?```$|^-# |\u200b", re.MULTILINE)


class SteeredClock(SystemClock):
    """The system's clock, but that time can be skipped: who sleeps then wakes earlier."""

    def __init__(self) -> None:
        self._skipped_s = 0.0
        self._skip = asyncio.Event()

    def now(self) -> int:
        return super().now() + int(self._skipped_s * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped_s

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        await asyncio.sleep(0)
        while (left := until - self.monotonic()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._skip.wait()

    def skip(self, seconds: float) -> None:
        self._skipped_s += seconds
        self._skip.set()
        self._skip = asyncio.Event()


async def until(holds: Callable[[], Any]) -> Any:
    """Wait for something that no server is told of, and return it."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := holds()):  # noqa: ASYNC110  it is nobody's event
            await asyncio.sleep(0.01)
    return found


@dataclass
class Scene:
    """The server, an admin, a trader, a viewer and a stranger, and a guild with a channel.

    `logs` is what the desk logged.
    """

    server: DiscordServer
    clock: SteeredClock
    folder: Path
    logs: list[Any]
    ann: User
    tom: User
    vera: User
    sue: User
    guild: Guild
    channel: Channel

    @property
    def settings(self) -> dict[str, Any]:
        """A desk that knows Ann as admin, Tom as trader and Vera as viewer, and nobody else."""
        return {
            "discord_bot_token": self.server.token,
            "discord_api_base": self.server.api_base,
            "discord_gateway_url": self.server.gateway_url,
            "discord_admin_ids": str(self.ann.id),
            "discord_guild_ids": str(self.guild.id),
            "people": (
                {"name": "tom", "role": "trader", "discord": self.tom.id},
                {"name": "vera", "role": "viewer", "discord": self.vera.id},
            ),
        }

    @asynccontextmanager
    async def open_desk(
        self,
        market: ScriptedMarket | None = None,
        store: Store | None = None,
        *,
        connects: bool = True,
        **settings: Any,
    ) -> AsyncIterator[ChatDesk]:
        """A desk with `settings` beyond those above, once it is connected."""
        known = self.settings | settings
        async with open_chat_desk(self.folder, market, store, self.clock, **known) as desk:
            if connects:
                await self.server.until(lambda: self.server.gateway.connected)
            yield desk

    def dm(self, user: User) -> Channel:
        return self.server.dm(user)

    async def slash(
        self, user: User, name: str, channel: Channel | None = None, /, **options: Any
    ) -> Interaction:
        """Give a command, of two words where it is a subcommand; in a private chat, or another."""
        first, _, second = name.partition(" ")
        where = channel or self.dm(user)
        return await self.server.slash(user, where, first, options, subcommand=second or None)

    async def ask(
        self, user: User, name: str, channel: Channel | None = None, /, **options: Any
    ) -> Message:
        """What a command is answered."""
        return await self.answer(await self.slash(user, name, channel, **options))

    async def answer(self, asked: Interaction) -> Message:
        """The message that an interaction was answered with, when it is filled."""
        message: Message = await self.server.until(
            lambda: asked.original if asked.original and not asked.original.loading else None
        )
        return message

    async def press(self, user: User, card: Message, label: str) -> Interaction:
        """Press a card's button by its label."""
        return await self.server.press(user, card, buttons(card)[label])

    async def shown(self, card: Message, words: str) -> Message:
        """Wait until a card shows some words."""
        await self.server.until(lambda: words in said(card))
        return card

    async def told(self, channel: Channel, words: str, times: int = 1) -> Message:
        """The last of so many messages with some words, which the channel gets or has."""
        found: list[Message] = await self.server.until(lambda: self.having(channel, words, times))
        return found[-1]

    def having(self, channel: Channel, words: str, least: int = 1) -> list[Message]:
        """The messages that have some words, where they are at least so many."""
        found = [each for each in self.server.messages(channel) if words in said(each)]
        return found if len(found) >= least else []

    async def until_judged(self) -> None:
        """Return when all that was said and pressed up to now has been let in or refused."""
        await self.ask(self.ann, "whoami")

    def puts(self) -> int:
        """How often the commands were registered."""
        return sum(1 for call in self.server.calls if call.method == "PUT")


def said(message: Message) -> str:
    """All words of a message, without the markup."""
    parts = [message.content]
    for embed in message.embeds:
        parts += [embed.get("title") or "", embed.get("description") or ""]
        parts += [f"{field['name']}: {field['value']}" for field in embed.get("fields") or ()]
        parts.append((embed.get("footer") or {}).get("text") or "")
    return MARKUP.sub(lambda found: found[1] or "", "\n".join(filter(None, parts)))


def buttons(message: Message) -> dict[str, str]:
    """Custom ids by label."""
    return {control["label"]: custom_id for custom_id, control in message.controls.items()}


def replied_to(message: Message) -> int | None:
    """The id of the message that one replies to."""
    reference = message.data.get("message_reference")
    return int(reference["message_id"]) if reference else None


@asynccontextmanager
async def open_scene(
    folder: Path, request: pytest.FixtureRequest, clock: SteeredClock | None = None
) -> AsyncIterator[Scene]:
    """A scene in which every call must be right, and nothing may fail for a fault of ours."""
    clock = clock or SteeredClock()
    with capture_logs() as logs:
        async with DiscordServer(spec=specification(request), clock=clock) as server:
            people = [server.add_user(name) for name in ("ann", "tom", "vera", "sue")]
            guild = server.add_guild("Desk", *people)
            channel = server.add_channel(guild, "trading")
            yield Scene(server, clock, folder, logs, *people, guild, channel)
    assert [(each.call.path, each.problems) for each in server.violations] == []
    assert [each for each in logs if each.get("exc_info")] == []


def specification(request: pytest.FixtureRequest) -> Path | None:
    """The folder of the published specification, where there is one."""
    try:
        shared: Path = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return None
    return shared / "specs" / "discord"
