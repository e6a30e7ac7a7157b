"""The program beside a Telegram and a Discord of our own, which this loop serves while it runs."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.program.conftest import DEADLINE_S, Program
from tests.servers.discord import DiscordServer
from tests.servers.discord_world import Channel
from tests.servers.discord_world import Message as Card
from tests.servers.discord_world import User as DiscordUser
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat, Message, User

# How long an answer may take while the machine does other things too.
ANSWER_S = 60.0
# Given to a desk that is told to stop, before Docker or systemd would kill it.
STOP_S = 5.0


@dataclass
class Desk:
    """`countersign run` as a process; what it says is in the file `output`."""

    process: asyncio.subprocess.Process
    output: Path

    @property
    def said(self) -> str:
        return self.output.read_text(encoding="utf-8")

    @property
    def rss_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    @property
    def cpu_s(self) -> float:
        """Seconds of computing so far, which say the same on a busy machine."""
        after_name = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    async def stop(self) -> int:
        """Its exit code after SIGTERM; raises TimeoutError when it does not end in time."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            return await self.process.wait()

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()


@dataclass
class Chats:
    """Both platforms, an admin on each, and the program that is pointed at them."""

    program: Program
    telegram: TelegramServer
    discord: DiscordServer
    ann: User
    chat: Chat
    bob: DiscordUser
    dm: Channel
    desks: list[Desk] = field(default_factory=list)

    async def start(self) -> Desk:
        """Start a desk; returns at once."""
        output = self.program.folder / f"run{len(self.desks)}.log"
        with output.open("wb") as file:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run"),
                cwd=self.program.folder,
                env=self.program.environ(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        desk = Desk(process, output)
        self.desks.append(desk)
        return desk

    async def until_connected(self, desk: Desk) -> None:
        await until(lambda: self.telegram.polling and self.discord.gateway.connected, desk)

    async def ask_telegram(self, line: str) -> Message:
        """The first message that answers a line of ann's."""
        asked = self.telegram.write(self.ann, self.chat, line)
        return await self.answer_to(asked)

    async def answer_to(self, asked: Message) -> Message:
        def answer() -> Message | None:
            found = (each for each in self.telegram.from_bot(self.chat) if each.reply_to is asked)
            return next(found, None)

        found = await self.telegram.until(answer, ANSWER_S)
        assert found is not None
        return found

    async def ask_discord(
        self, name: str, options: dict[str, object] | None = None, subcommand: str | None = None
    ) -> Card:
        """The answer to a command of bob's."""
        asked = await self.discord.slash(self.bob, self.dm, name, options, subcommand=subcommand)

        def answer() -> Card | None:
            return asked.original if asked.original and not asked.original.loading else None

        found: Card = await self.discord.until(answer, ANSWER_S)
        return found


@asynccontextmanager
async def open_chats(
    program: Program,
    *,
    telegram_token: str = "123456:TEST",
    discord_token: str = "TEST",
    spec: Path | None = None,
) -> AsyncIterator[Chats]:
    """Both servers, and a program whose settings name them; what it started ends with it."""
    async with AsyncExitStack() as stack:
        telegram = TelegramServer(telegram_token, spec and spec / "telegram")
        discord = DiscordServer(discord_token, spec and spec / "discord")
        await stack.enter_async_context(telegram)
        await stack.enter_async_context(discord)
        ann, bob = telegram.user("Ann"), discord.add_user("bob")
        chat, dm = telegram.private(ann), discord.dm(bob)
        program.settings |= {
            "MARKET": "simulated:1",
            "TELEGRAM_BOT_TOKEN": telegram_token,
            "TELEGRAM_API_BASE": telegram.base,
            "TELEGRAM_ADMIN_IDS": str(ann.id),
            "DISCORD_BOT_TOKEN": discord_token,
            "DISCORD_API_BASE": discord.api_base,
            "DISCORD_GATEWAY_URL": discord.gateway_url,
            "DISCORD_ADMIN_IDS": str(bob.id),
        }
        chats = Chats(program, telegram, discord, ann, chat, bob, dm)
        try:
            yield chats
        finally:
            for desk in chats.desks:
                await desk.kill()


async def until(condition: Callable[[], object], desk: Desk) -> None:
    """Return once `condition` holds; fail at the deadline, or when the desk has ended."""
    deadline = monotonic() + DEADLINE_S
    while not condition():
        assert monotonic() < deadline, f"waited in vain: {desk.said}"
        assert desk.process.returncode is None, f"the process ended: {desk.said}"
        await asyncio.sleep(0.02)
