"""Desks with the real chat side on: real surfaces against local servers, a script as the market."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bot.advisor import Consultations
from bot.chats import Chats, open_chats
from bot.clock import SystemClock
from bot.kill import KillSwitch
from bot.latch import LatchFile
from bot.outbox import Outbox
from bot.people import open_people
from bot.render import Drawn, Picture, draw_charts
from bot.settings import Settings
from engine.candle import Candle
from engine.desk import Desk
from engine.effect import Notice
from engine.event import CandleClosed
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_emergency import PaperEmergency
from engine.memory import Policy
from engine.ports import Clock, Store
from engine.runtime import Runtime
from engine.tuning import Studying
from handlers.reply import Reply
from tests.handlers.desks import (
    BAR,
    BTC,
    ETH,
    FALLING_TWICE,
    SECRET,
    ScriptedMarket,
    build,
    course,
    quiet,
)

# The smallest PNG there is: what a picture shows is tried elsewhere.
DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)


def draw_dot(path: Path) -> None:
    """At once: whoever draws the same picture beside reads no half of it."""
    path.write_bytes(DOT)


class LiveMarket(ScriptedMarket):
    """A scripted market that also takes bars while the desk runs."""

    def __init__(self, bars: dict[str, Sequence[Candle]], name: str = "sim42") -> None:
        super().__init__(bars, name)
        self._told = asyncio.Event()

    def tell(self, symbol: str, *candles: Candle) -> None:
        """Let bars close now."""
        self.coming += [CandleClosed(symbol, bar, bar.ts + BAR) for bar in candles]
        self._told.set()

    async def next(self, limit: int) -> list[CandleClosed]:
        while not self.coming:
            self._told.clear()
            await self._told.wait()
        return await super().next(limit)


@dataclass
class ChatDesk:
    """A desk that runs with its chats, and what it runs on."""

    desk: Desk
    runtime: Runtime
    chats: Chats
    outbox: Outbox
    told: list[Notice]
    tasks: asyncio.TaskGroup
    switch: KillSwitch
    exchange: PaperExchange


def busy_market() -> LiveMarket:
    """Bars that make one closed trade and one open short of BTC, and nothing of ETH."""
    bars = course(100_000.0, FALLING_TWICE)
    return LiveMarket({BTC: bars, ETH: quiet(len(bars))})


def quiet_market() -> LiveMarket:
    """A few bars in which nothing happens: a desk that is there at once."""
    return LiveMarket({BTC: course(100_000.0, [(3, 5.0)]), ETH: quiet(3)})


@asynccontextmanager
async def open_chat_desk(
    folder: Path,
    market: ScriptedMarket | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    *,
    tells_past: bool = False,
    tuner: Callable[[Desk], Studying] | None = None,
    advisor: Consultations | None = None,
    **settings: Any,
) -> AsyncIterator[ChatDesk]:
    """A desk with the chat surfaces that `settings` (as of bot.settings.Settings) turn on.

    It has taken every candle of the market when it is given. Nothing tells the news of what
    happened before, unless it `tells_past`. `tuner` makes its tuner; without an
    `advisor` a script answers.
    """
    clock = clock or SystemClock()
    wanted = Settings(**{"data_dir": folder, **settings})
    policy = Policy(SECRET, wanted.paper.taker_fee, wanted.approvals.required, wanted.delay_ms)
    switch = KillSwitch(LatchFile(folder), clock, redo=True)
    exchanges: list[PaperExchange] = []

    def exchange(*books: Any) -> PaperExchange:
        exchanges.append(PaperExchange(*books))
        return exchanges[0]

    market = market or quiet_market()
    runtime, desk = await build(market, store, clock, policy, exchange=exchange, switch=switch)
    if tuner is not None:
        desk = replace(desk, tuner=tuner(desk))
    if advisor is not None:
        desk = replace(desk, advisor=advisor)
    people = await open_people(wanted, runtime, desk.store)

    async def dot(picture: Picture, path: Path) -> None:
        draw_dot(path)

    async def draw(reply: Reply) -> list[Drawn | None]:
        return await draw_charts(reply, folder / "charts", dot, desk.enrollment)

    chats = open_chats(wanted, desk, people, draw)
    told: list[Notice] = []
    outbox = Outbox(
        desk.store, clock, told.append, chats.audience, lambda: desk.badge, chats.courier.wake
    )
    runtime.listen(chats.on_commit)
    switch.listen(chats.tell_kill)
    emergency = PaperEmergency(exchanges[0], f"paper-{market.name}-")
    async with asyncio.TaskGroup() as tasks:
        trading = tasks.create_task(runtime.run())
        await runtime.until_caught_up()
        if not tells_past:
            await outbox.skip()
        runtime.listen(outbox.on_commit)
        parts = outbox.run(), chats.run(), switch.run(emergency, runtime)
        serving = [tasks.create_task(part) for part in parts]
        if advisor is not None:
            advisor.listen(chats.following.on_advice)
            serving.append(tasks.create_task(advisor.run(desk)))
        try:
            yield ChatDesk(desk, runtime, chats, outbox, told, tasks, switch, exchanges[0])
        finally:
            for task in serving:
                task.cancel()
            runtime.stop()
            await trading
