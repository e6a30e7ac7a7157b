"""A small desk whose exchange has to be asked, as a real one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from engine.candle import MINUTE_MS
from engine.desk import Desk
from engine.effect import Submit, ToExchange
from engine.errors import Unreachable
from engine.event import ExchangeLink, Journaled, Surveyed
from engine.exchange.paper import PaperExchange
from engine.memory import Policy
from engine.survey import Survey
from tests.handlers.desks import BOT, BTC, ETH, SECRET, ScriptedMarket, build, quiet

UID = "40771234"
NOW = 1_735_689_600_000
# After the last candle: what was compared long before it is no longer relied on.
LOOKED = NOW + 15 * MINUTE_MS


class Watched(PaperExchange):
    """A paper exchange that has to be asked, as a real one: it holds what is put into `there`."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.there = dict.fromkeys(
            self.books, Survey((), (), Decimal(10_000), Decimal(9_000), uid=UID)
        )
        self.down = ""
        self.told: list[ToExchange] = []
        self.tell: Callable[[Journaled], None] = lambda event: None

    def quantities(self) -> None:  # type: ignore[override]
        return

    async def run(self, post: Callable[[Journaled], None]) -> None:
        self.tell = post
        for account in self.books:
            post(ExchangeLink(account, "", 1))

    async def survey(self) -> None:
        if self.down:
            raise Unreachable(self.down)
        for account, found in self.there.items():
            self.tell(Surveyed(account, found, 1_000, LOOKED))

    async def carry_out(self, instruction: ToExchange) -> Sequence[Journaled]:
        if isinstance(instruction, Submit):
            return await super().carry_out(instruction)
        self.told.append(instruction)
        return ()


@asynccontextmanager
async def open_watched(
    mode: str = "live",
    bots: Sequence[str] = (BOT,),
    key_of: Callable[[str], str] | None = None,
) -> AsyncIterator[tuple[Desk, Watched]]:
    policy = Policy(SECRET, Decimal(0), surveys=True, real_money=mode == "live", key_of=key_of)
    market = ScriptedMarket({BTC: quiet(3), ETH: quiet(3)}, "bybit")
    market.traded = (BTC,)
    runtime, desk = await build(market, None, None, policy, bots, mode, Watched)
    exchange = runtime._exchange
    assert isinstance(exchange, Watched)
    running = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    await desk.survey()
    yield desk, exchange
    runtime.stop()
    await running
