"""How long an answer takes in chat: `/status` on Telegram beside a bare echo bot of aiogram's.

50 people each send `/status` and, once answered, send it again: 50 are in flight all the time.
Both bots are processes of their own, each polls a local Telegram server, which is this process; the
echo bot answers with the very text and buttons of the desk's answer, does nothing else, and keeps
nothing. The two take turns.

    .venv/bin/python -m benchmarks.chat [--rounds N] [--answers N]

The last line is one JSON object: milliseconds from when an update can be fetched to when its answer
arrives, of the round with the middle ratio; `ratio` is that of the medians, the middle one of all
rounds, and at most 2. `cpu_ms` is what a bot's process spends on an answer.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import User
from tests.servers.telegram_methods import SENDS

IN_FLIGHT = 50
ANSWERS = 500
ROUNDS = 9
RATIO_MAX = 2.0
# What goes before the first answer that counts: connections are opened, caches filled.
WARM_UP = 2 * IN_FLIGHT
# By when whatever is waited for has happened, or never will.
DEADLINE_S = 120.0
TOKEN = "123456:TEST"
LINE = "/status"


def main() -> int:
    """Measure, print a table and the JSON line; exit code 1 when the bar is missed."""
    if sys.argv[1:2] == ["echo"]:
        asyncio.run(echo(sys.argv[2], json.loads(sys.stdin.read())))
        return 0
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--answers", type=int, default=ANSWERS)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rounds = asyncio.run(measure(Path(folder), chosen.rounds, chosen.answers))
    middle = sorted(rounds, key=lambda found: found["ratio"])[len(rounds) // 2]
    ratio = median(found["ratio"] for found in rounds)
    say("| round | " + " | ".join(middle) + " |")
    say("|---" * (len(middle) + 1) + "|")
    for number, found in enumerate(rounds, 1):
        say(f"| {number} | " + " | ".join(f"{value:g}" for value in found.values()) + " |")
    say(json.dumps({"benchmark": "chat", **middle, "ratio": ratio}))
    return int(ratio > RATIO_MAX)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


# -- the measuring -------------------------------------------------------------------------


@dataclass(frozen=True)
class Rival:
    """A bot in a process of its own, the Telegram that it polls, and who writes to it there."""

    server: TelegramServer
    people: dict[int, User]
    process: asyncio.subprocess.Process

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path, rounds: int, answers: int) -> list[dict[str, float]]:
    async with open_desk(folder) as desk:
        await times(desk, WARM_UP)
        sample = desk.server.called("sendMessage")[-1].params
        async with open_echo(sample) as bare:
            await times(bare, WARM_UP)
            return [await one_round(desk, bare, answers, number) for number in range(rounds)]


async def one_round(desk: Rival, bare: Rival, answers: int, number: int) -> dict[str, float]:
    """Both in turn; who goes first changes from round to round."""
    turns = [("desk", desk), ("echo", bare)]
    found: dict[str, float] = {}
    for name, rival in turns if number % 2 else reversed(turns):
        before = rival.cpu_s
        taken = await times(rival, answers)
        found[f"{name}_p50_ms"] = round(median(taken), 1)
        found[f"{name}_p95_ms"] = round(quantiles(taken, n=20)[-1], 1)
        found[f"{name}_cpu_ms"] = round((rival.cpu_s - before) * 1000 / answers, 2)
    ratio = round(found["desk_p50_ms"] / found["echo_p50_ms"], 2)
    return {name: found[name] for name in sorted(found)} | {"ratio": ratio}


async def times(rival: Rival, answers: int) -> list[float]:
    """Milliseconds that each answer took, with everybody waiting for one all the time."""
    server = rival.server
    # What was before makes the server no slower.
    server.calls.clear()
    server.pace.sends.clear()
    server.pace.too_fast.clear()
    asked_at: dict[int, float] = {}

    def ask(chat_id: int) -> None:
        chat = server.chats[chat_id]
        chat.messages.clear()
        asked_at[chat_id] = perf_counter()
        server.write(rival.people[chat_id], chat, LINE)

    for chat_id in rival.people:
        ask(chat_id)
    taken: list[float] = []
    seen = 0
    async with asyncio.timeout(DEADLINE_S):
        while asked_at:
            await server.news()
            now = perf_counter()
            came, seen = server.calls[seen:], len(server.calls)
            for chat_id in [call.params["chat_id"] for call in came if call.method in SENDS]:
                taken.append((now - asked_at.pop(chat_id)) * 1000)
                if len(taken) + len(asked_at) < answers:
                    ask(chat_id)
    return taken


# -- the bots ------------------------------------------------------------------------------


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Rival]:
    """`countersign run` on its demo, with everybody as a viewer: nobody is told the news."""
    async with TelegramServer(TOKEN) as server:
        people = crowd(server)
        entries = [
            f'[[people]]\nname = "{user.first_name}"\nrole = "viewer"\ntelegram = {user.id}\n'
            for user in people.values()
        ]
        (folder / "countersign.toml").write_text("\n".join(entries))
        settings = {"TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_BASE": server.base}
        words = ("-m", "bot", "run")
        async with bot_process(words, folder, settings) as process:
            assert process.stdout is not None
            async with asyncio.timeout(DEADLINE_S):
                while b"percent=100" not in await process.stdout.readline():
                    pass
                await server.until(lambda: server.polling, DEADLINE_S)
            yield Rival(server, people, process)


@asynccontextmanager
async def open_echo(sample: dict[str, Any]) -> AsyncIterator[Rival]:
    """A bot that answers whatever is said with the text and the buttons of `sample`."""
    async with TelegramServer(TOKEN) as server:
        words = ("-m", "benchmarks.chat", "echo", server.base)
        async with bot_process(words, Path(), {}) as process:
            assert process.stdin is not None
            process.stdin.write(json.dumps(sample).encode())
            process.stdin.close()
            await server.until(lambda: server.polling, DEADLINE_S)
            yield Rival(server, crowd(server), process)


def crowd(server: TelegramServer) -> dict[int, User]:
    people = [server.user(f"Person {number}") for number in range(IN_FLIGHT)]
    return {server.private(user).id: user for user in people}


@asynccontextmanager
async def bot_process(
    words: Sequence[str], folder: Path, settings: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        cwd=folder,
        env={**kept, "PYTHONPATH": str(Path(__file__).parents[1]), **settings},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.terminate()
        await process.wait()


async def echo(base: str, sample: dict[str, Any]) -> None:
    """The bare bot: aiogram's own dispatcher and polling, and one handler."""
    from aiogram import Bot, Dispatcher
    from aiogram.client.session.aiohttp import AiohttpSession
    from aiogram.client.telegram import TelegramAPIServer
    from aiogram.types import InlineKeyboardMarkup, LinkPreviewOptions, Message

    dispatcher = Dispatcher()
    keyboard = InlineKeyboardMarkup.model_validate(sample["reply_markup"])
    quiet = LinkPreviewOptions(is_disabled=True)

    @dispatcher.message()
    async def answer(message: Message) -> None:
        await message.reply(
            sample["text"],
            parse_mode="HTML",
            reply_markup=keyboard,
            link_preview_options=quiet,
        )

    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(base)))
    await dispatcher.start_polling(
        bot, allowed_updates=["message"], polling_timeout=25, handle_signals=False
    )


if __name__ == "__main__":
    sys.exit(main())
