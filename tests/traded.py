"""A real desk that trades some days of a simulated market, and what the tuner sees of it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from bot.backtests import Grounds
from bot.sections import TuningSection
from bot.tuner_subject import Subject
from engine.bot import Bot
from engine.core import Core
from engine.effect import Done, Proposed, Result
from engine.event import CandleClosed
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instruction import Decide, Instruction
from engine.limits import NO_LIMITS, Limits
from engine.market.simulated import BARS_A_DAY, SimulatedMarket
from engine.memory import Policy
from engine.people import Human
from engine.proposal import Way
from engine.runtime import Runtime
from engine.store.memory import MemoryStore
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Strategy
from tests.askers import OPERATING
from tests.clock import turn
from tests.handlers.desks import StillClock

T0 = 1_735_689_600_000
BOT = "tried_001"
PAPER = PaperSettings()


class WaitingMarket(SimulatedMarket):
    """One that waits for the clock to be moved, where the other ends."""

    def __init__(self, clock: StillClock, seed: int) -> None:
        super().__init__(seed, T0, 0.0, clock)
        self.moved = asyncio.Event()

    async def next(self, limit: int) -> list[CandleClosed]:
        while not (found := await super().next(limit)):
            self.moved.clear()
            await self.moved.wait()
        return found


@dataclass
class Tried:
    """A desk with one bot; `go_on` lets it trade until a day of the market."""

    runtime: Runtime
    store: MemoryStore
    market: WaitingMarket
    clock: StillClock
    subject: Subject
    account: str

    async def go_on(self, days: float) -> None:
        until = self.market.anchor + int(days * BARS_A_DAY) * self.market.interval
        self.clock.ms = until
        self.market.moved.set()
        while self.runtime.view().market_time < until:
            await turn()
        await self.runtime.until_caught_up()

    async def do(self, instruction: Instruction) -> Result:
        """Have somebody at the console ask for something, and confirm it where it waits."""
        result = await self.runtime.ask(instruction, OPERATING)
        if isinstance(result, Proposed):
            proposal = result.proposal
            said = Decide(Human(OPERATING), proposal.proposal_id, True, Way.TYPED, proposal.phrase)
            result = await self.runtime.ask(said, OPERATING)
        assert isinstance(result, Done), result
        return result


@asynccontextmanager
async def tried(
    folder: Path,
    strategy: str = "shortseller",
    values: Mapping[str, float] | None = None,
    paper: PaperSettings = PAPER,
    limits: Limits = NO_LIMITS,
    runs: Strategy | None = None,
    market_seed: int = 42,
) -> AsyncIterator[Tried]:
    """A running desk on a market of three symbols, with the costs of `paper`.

    Where it `runs` something else, that is not what it says.
    """
    clock = StillClock(T0)
    market = WaitingMarket(clock, market_seed)
    values = values or {}
    plan = runs or STRATEGIES[strategy].tuned(values)
    account = f"paper-{market.name}-{BOT}"
    symbols, capital = tuple(market.symbols), Decimal(10_000)
    bot = Bot(BOT, plan, symbols, account, capital, tuple(values.items()))
    rules = {symbol: market.instrument(symbol) for symbol in market.symbols}
    policy = Policy(b"s" * 32, paper.taker_fee, limits=limits)
    store = MemoryStore()

    def new_book(account: str, deposit: Decimal) -> PaperBook:
        return PaperBook(account, deposit, paper, rules, market.funding_rate)

    runtime = Runtime(
        core=Core([bot], rules, market.interval, "paper", market.name, policy),
        store=store,
        exchange=PaperExchange([new_book(account, bot.capital)], {account: bot.symbols}, new_book),
        market=market,
        clock=clock,
        audit_key=b"k" * 32,
        version="1.2.3",
        killed=lambda: "",
        lift_latch=lambda: "",
    )
    await runtime.start(await store.take_epoch("test"))
    subject = Subject(
        runtime=runtime,
        store=store,
        clock=clock,
        grounds=Grounds(folder, market, "http://127.0.0.1:9"),
        strategies=STRATEGIES,
        books=f"paper-{market.name}",
        section=TuningSection(),
        paper=paper,
    )
    task = asyncio.create_task(runtime.run())
    yield Tried(runtime, store, market, clock, subject, account)
    runtime.stop()
    await task


class Here:
    """A worker that is no process of its own."""

    async def run(self, fn: Any, *args: Any) -> Any:
        return fn(*args)
