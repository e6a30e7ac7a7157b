"""What is kept for a while is forgotten after it, also by a desk without any chat."""

import asyncio
from pathlib import Path

from bot.chats import open_chats
from bot.people import People
from bot.render import Drawn
from bot.settings import Settings
from engine.calls import Calls, ModelCall, Purpose
from engine.candle import DAY_MS
from engine.store.memory import MemoryStore
from handlers.reply import Reply
from tests.clock import turn
from tests.handlers.desks import BTC, ScriptedMarket, StillClock, build

NOW = 1_736_964_000_000
DEADLINE_S = 10


def call(number: int, ts: int) -> ModelCall:
    return ModelCall(
        number, number, "books", ts, Purpose.ANALYSIS, BTC, "desk", "gemini", "a prompt"
    )


async def comes_to(calls: Calls, prompts: list[str]) -> None:
    """Return when these are the prompts that are kept, by the numbers of their calls."""
    async with asyncio.timeout(DEADLINE_S):
        while [each.prompt for each in reversed(await calls.last(9))] != prompts:
            await turn()


async def no_picture(reply: Reply) -> list[Drawn | None]:
    return []


async def test_what_a_model_was_asked_is_forgotten_after_thirty_days(tmp_path: Path) -> None:
    store, clock = MemoryStore(), StillClock(NOW)
    runtime, desk = await build(ScriptedMarket({BTC: []}), store, clock)
    for number, age in enumerate((30 * DAY_MS + 1, 30 * DAY_MS, 0), start=1):
        await store.calls.put(call(number, NOW - age))
    chats = open_chats(Settings(data_dir=tmp_path), desk, People((), (), ()), no_picture)
    assert chats.surfaces == {}
    serving = asyncio.create_task(chats.run())
    try:
        await comes_to(store.calls, ["", "a prompt", "a prompt"])
        clock.advance(24 * 3600)
        await comes_to(store.calls, ["", "", "a prompt"])
    finally:
        serving.cancel()
        runtime.stop()
        await asyncio.gather(serving, return_exceptions=True)
