"""A desk on Telegram and Discord at once, and a clock that only the test moves."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pyotp
import pytest

from engine.effect import Fact
from engine.memory import OFFICE_KEY
from engine.ports import Store
from engine.proposal import Proposal
from engine.store.memory import MemoryStore
from tests.chat import discord_scene, telegram_scene
from tests.chat.desks import ChatDesk
from tests.chat.telegram_scene import DAY_MS, RATE, LeapingClock, eventually
from tests.handlers.desks import T0, ScriptedMarket
from tests.servers.discord_world import User as DiscordUser
from tests.servers.telegram_chat import Message
from tests.servers.telegram_chat import User as TelegramUser

# What passes until a sleeper is looked at.
SLACK_S = 15.0
# As people type it into an authenticator.
SEED = re.compile(r"(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}")


class HandClock(LeapingClock):
    """Wall time stands still until `leap`; pauses pass `rate` times as fast, or by a leap."""

    def __init__(self) -> None:
        super().__init__(RATE, T0 + 30 * DAY_MS)
        self._leapt_s = 0.0
        self._moved = asyncio.Event()
        self._sleepers: list[float] = []

    def now(self) -> int:
        return self._now

    def monotonic(self) -> float:
        return self._passed() + self._leapt_s

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        self._sleepers.append(until)
        try:
            await asyncio.sleep(0)
            while (left := until - self.monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left / self.rate):
                        await self._moved.wait()
        finally:
            self._sleepers.remove(until)

    def leap(self, ms: int) -> None:
        super().leap(ms)
        self._leapt_s += max(0, ms) / 1000
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleeping(self, seconds: float) -> None:
        """Wait until somebody sleeps for about so long, or longer: a leap then wakes them."""

        async def somebody_does() -> bool:
            left = max(self._sleepers, default=0.0) - self.monotonic()
            return left > seconds - SLACK_S

        await eventually(somebody_does)


@dataclass
class Both:
    """The scenes of both platforms around one desk, one clock and one store.

    Ann and Bea are admins, Tom is a trader, each with an account on both; Vera is a viewer and Sue
    a stranger on both. `bea` and `bea_there` are Bea's accounts on Telegram and on Discord.
    """

    telegram: telegram_scene.Scene
    discord: discord_scene.Scene
    clock: HandClock
    bea: TelegramUser
    bea_there: DiscordUser
    store: Store = field(default_factory=MemoryStore)

    @property
    def people(self) -> tuple[dict[str, Any], ...]:
        here, there = self.telegram, self.discord
        return (
            {"name": "ann", "role": "admin", "telegram": here.ann.id, "discord": there.ann.id},
            {"name": "bea", "role": "admin", "telegram": self.bea.id, "discord": self.bea_there.id},
            {"name": "tom", "role": "trader", "telegram": here.tom.id, "discord": there.tom.id},
            {"name": "vera", "role": "viewer", "telegram": here.vera.id, "discord": there.vera.id},
        )

    @asynccontextmanager
    async def open_desk(
        self, market: ScriptedMarket | None = None, **settings: Any
    ) -> AsyncIterator[ChatDesk]:
        """A desk that knows these people, once both platforms are connected to it."""
        wanted = self.discord.settings | {"people": self.people} | settings
        async with self.telegram.open_desk(market, self.store, **wanted) as desk:
            await self.discord.server.until(lambda: self.discord.server.gateway.connected)
            yield desk


@asynccontextmanager
async def open_both(folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    clock = HandClock()
    async with (
        telegram_scene.open_scene(folder, request, clock) as here,
        discord_scene.open_scene(folder, request) as there,
    ):
        bea = here.server.user("Bea")
        here.server.private(bea)
        bea_there = there.server.add_user("bea")
        yield Both(here, there, clock, bea, bea_there)


def staff(scene: telegram_scene.Scene) -> dict[str, Any]:
    """Settings of a desk on Telegram alone: Ann and Eve are admins, Tom is a trader, Vera a
    viewer, by these names."""
    roles = {scene.ann: "admin", scene.eve: "admin", scene.tom: "trader", scene.vera: "viewer"}
    people = tuple(
        {"name": user.first_name.lower(), "role": role, "telegram": user.id}
        for user, role in roles.items()
    )
    return {"people": people}


def only(desk: ChatDesk) -> Proposal:
    """The one proposal that waits."""
    [proposal] = desk.desk.view().proposals
    return proposal


# -- authenticators ----------------------------------------------------------------------


def code(seed: str, clock: HandClock) -> str:
    """What an authenticator shows now."""
    return pyotp.TOTP(seed).at(clock.now() // 1000)


async def enroll(scene: telegram_scene.Scene, user: TelegramUser, clock: HandClock) -> str:
    """Enroll somebody on Telegram; the seed that the text beneath the picture gives."""
    began = len(scene.server.from_bot(scene.private(user)))
    scene.server.write(user, scene.private(user), "/enroll")

    def seed() -> str:
        since = scene.server.from_bot(scene.private(user))[began:]
        found = [SEED.search(each.text or "") for each in since if is_png(each)]
        return next((each[0].replace(" ", "") for each in found if each), "")

    found = await scene.server.until(seed)
    scene.server.write(user, scene.private(user), f"/enroll {code(found, clock)}")
    await scene.told(scene.private(user), "You are enrolled")
    return found


def is_png(message: Message) -> bool:
    return message.media is not None and message.media.content.startswith(b"\x89PNG")


# -- what is stored ----------------------------------------------------------------------


async def rows(store: Store) -> dict[str, Any]:
    """All that is stored of money, people and proposals: not what was said, and not the audit.

    How often somebody tried in vain is left out, too.
    """
    found: dict[str, Any] = {}
    for kind in get_args(Fact):
        found[kind.__name__] = sorted(map(repr, await store.recent(kind)))
    states = (await store.states()).values()
    return found | {row.key: row.body for row in states if row.key != OFFICE_KEY}


async def said_of(store: Store, words: str) -> list[str]:
    """The audit's rows that hold some words, oldest first."""
    told = [f"{row.actor} {row.action} {row.detail}" for row in await store.audit_rows(0, 10_000)]
    return [line for line in told if words in line]


async def until_said(store: Store, words: str, times: int = 1) -> str:
    """Wait until the audit holds so many rows with some words; the last."""

    async def is_said() -> bool:
        return len(await said_of(store, words)) >= times

    await eventually(is_said)
    return (await said_of(store, words))[-1]
