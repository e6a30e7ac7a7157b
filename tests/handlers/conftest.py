"""The desks that the commands' tests talk to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.desk import Desk
from engine.runtime import Runtime
from tests.handlers.desks import (
    BTC,
    ETH,
    FALLING_TWICE,
    OpenDesk,
    ScriptedMarket,
    build,
    course,
    quiet,
)


@pytest.fixture
async def open_desk() -> AsyncIterator[OpenDesk]:
    """Start a desk on a scripted market; it has taken every candle when it is returned."""
    running: list[tuple[Runtime, asyncio.Task[None]]] = []

    async def open_(market: ScriptedMarket) -> Desk:
        runtime, desk = await build(market)
        task = asyncio.create_task(runtime.run())
        running.append((runtime, task))
        await runtime.until_caught_up()
        return desk

    yield open_
    for runtime, task in running:
        runtime.stop()
        await task


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """A desk with one closed trade and one open short of BTC, and nothing of ETH."""
    bars = course(100_000.0, FALLING_TWICE)
    return await open_desk(ScriptedMarket({BTC: bars, ETH: quiet(len(bars))}))


@pytest.fixture
async def young_desk(open_desk: OpenDesk) -> Desk:
    """A desk that has seen 300 bars: still warming up, flat."""
    return await open_desk(ScriptedMarket({BTC: course(100_000.0, [(300, 5.0)])}))


@pytest.fixture
async def empty_desk(open_desk: OpenDesk) -> Desk:
    """A desk before its first candle."""
    return await open_desk(ScriptedMarket({BTC: []}))
