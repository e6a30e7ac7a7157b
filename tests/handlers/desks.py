"""Whole small desks to say commands to: a real core, store and paper exchange, a script
instead of a market, and a clock that stands still until it is moved."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from itertools import accumulate, chain, repeat

from bot.kill import KillSwitch
from engine.bot import Bot
from engine.candle import MINUTE_MS, Candle, aggregate
from engine.core import Core
from engine.desk import Desk
from engine.event import CandleClosed
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instrument import MAJORS, Instrument
from engine.mail import Address, ChatKind
from engine.memory import Policy
from engine.pace import Paces
from engine.people import OPERATOR, Identity, Person, Role
from engine.ports import Clock, FeedHealth, Store
from engine.proposal import Proposal
from engine.runtime import Runtime
from engine.store.memory import MemoryStore
from engine.strategies import STRATEGIES
from handlers import COMMANDS
from handlers.command import Context, Principal, PrincipalKind
from handlers.dispatch import RATES, dispatch_line
from handlers.reply import Block, Fields, Reply, Table, Text, Value
from tests.advisors import ScriptedAdvisor
from tests.clock import FakeClock, turn
from tests.studies import ScriptedStudies
from tests.switches import ScriptedSwitch
from tests.tunings import ScriptedTuner

T0 = 1_735_689_600_000
BAR = 5 * MINUTE_MS
BOT = "shortseller_001"
BTC, ETH = "BTCUSDT", "ETHUSDT"

# 52 hours up, a fall through both averages (sold), a recovery (bought back), and a fall again.
FALLING_TWICE = ((620, 5.0), (40, -60.0), (60, 70.0), (52, -60.0))


SECRET = b"s" * 32

# Who is at the desk, each with an account of Telegram.
PEOPLE = {
    Role.ADMIN: (Person("ann", "ann", Role.ADMIN), Identity("telegram", "7", "ann")),
    Role.TRADER: (Person("tom", "tom", Role.TRADER), Identity("telegram", "8", "tom")),
    Role.VIEWER: (Person("vic", "vic", Role.VIEWER), Identity("telegram", "9", "vic")),
}
STRANGER_ID = "555"
# More than any test says.
WIDE_RATES = dict.fromkeys(RATES, (10_000, 60.0))


class StillClock(FakeClock):
    """Virtual time that only `advance` moves; who sleeps meanwhile wakes then."""

    def __init__(self, now: int) -> None:
        super().__init__(now)
        self._moved: list[asyncio.Event] = []

    async def sleep(self, seconds: float) -> None:
        until = self.ms + seconds * 1000
        moved = asyncio.Event()
        self._moved.append(moved)
        try:
            await turn()
            while self.ms < until:
                moved.clear()
                await moved.wait()
        finally:
            self._moved.remove(moved)

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        for moved in self._moved:
            moved.set()


class ScriptedMarket:
    """Bars of five minutes that were written down beforehand; then it waits, caught up."""

    def __init__(self, bars: Mapping[str, Sequence[Candle]], name: str = "sim42") -> None:
        self.name = name
        self.label = "scripted market"
        self.symbols: Sequence[str] = tuple(bars)
        self.interval = BAR
        self.speed = 60.0
        self.traded = self.symbols
        self.ends = False
        self._bars = bars
        self.coming = sorted(
            (CandleClosed(symbol, bar, bar.ts + BAR) for symbol in bars for bar in bars[symbol]),
            key=lambda event: event.closed_at,
        )

    @property
    def caught_up(self) -> bool:
        return not self.coming

    def instrument(self, symbol: str) -> Instrument:
        return MAJORS[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        return Decimal("0.0001")

    def remarks(self) -> Sequence[str]:
        return ()

    def health(self) -> FeedHealth | None:
        return None

    def resume(self, cursors: Mapping[str, int]) -> None:
        pass

    async def next(self, limit: int) -> list[CandleClosed]:
        if not self.coming and not self.ends:
            await asyncio.Event().wait()
        batch, self.coming = self.coming[:limit], self.coming[limit:]
        return batch

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        bars = [bar for bar in self._bars[symbol] if bar.ts + BAR <= until]
        return aggregate(bars, BAR, interval)[-limit:]


def course(start: float, legs: Sequence[tuple[int, float]], at: int = T0) -> list[Candle]:
    """Bars along a path from `at`: for each leg so many bars, each with so much change."""
    steps = chain.from_iterable(repeat(step, count) for count, step in legs)
    closes = list(accumulate(steps, initial=start))
    return [
        Candle(at + i * BAR, a, max(a, b) + 3.0, min(a, b) - 3.0, b, 10.0 + i % 7)
        for i, (a, b) in enumerate(zip(closes, closes[1:], strict=False))
    ]


def quiet(bars: int) -> list[Candle]:
    """A price that does not move enough for anybody to act."""
    return course(3_500.0, [(bars, 0.0)])


OpenDesk = Callable[[ScriptedMarket], Awaitable[Desk]]


async def build(
    market: ScriptedMarket,
    store: Store | None = None,
    clock: Clock | None = None,
    policy: Policy | None = None,
    bot_ids: Sequence[str] = (BOT,),
    mode: str = "paper",
    exchange: Callable[..., PaperExchange] = PaperExchange,
    switch: KillSwitch | None = None,
    strategy: str = "shortseller",
) -> tuple[Runtime, Desk]:
    last = max((event.closed_at for event in market.coming), default=T0)
    clock = clock or StillClock(last + 30_000)
    store = store or MemoryStore()
    epoch = await store.take_epoch("test")
    traded = tuple(market.traded)
    bots = [
        Bot(bot_id, STRATEGIES[strategy], traded, f"{mode}-{market.name}-{bot_id}", Decimal(10_000))
        for bot_id in bot_ids
    ]
    rules = {symbol: market.instrument(symbol) for symbol in market.symbols}
    paper = PaperSettings(slippage_max=0.0)

    def new_book(account: str, deposit: Decimal) -> PaperBook:
        return PaperBook(account, deposit, paper, rules, market.funding_rate)

    books = [new_book(bot.account, bot.capital) for bot in bots]
    runtime = Runtime(
        core=Core(
            bots, rules, market.interval, mode, market.name, policy or Policy(SECRET, Decimal(0))
        ),
        store=store,
        exchange=exchange(books, {bot.account: bot.symbols for bot in bots}, new_book),
        market=market,
        clock=clock,
        audit_key=b"k" * 32,
        version="1.2.3",
        killed=switch.why if switch else lambda: "",
        lift_latch=switch.lift if switch else lambda: "",
    )
    await runtime.start(epoch)
    people, accounts = zip(*PEOPLE.values(), strict=True)
    await runtime.know(people, accounts)
    rates = Paces(clock, WIDE_RATES)
    desk = Desk(
        mode,
        "1.2.3",
        clock.now(),
        runtime,
        store,
        market,
        clock,
        {"desk": IN_FORCE},
        rates,
        ScriptedStudies(),
        switch or ScriptedSwitch(),
        ScriptedTuner(),
        ScriptedAdvisor(),
    )
    return runtime, desk


# The settings of a desk that is tried.
IN_FORCE = {"mode": "paper", "market": "a script"}
# Where somebody is who speaks in a chat.
CHAT = Address("telegram", "7")


def context(desk: Desk, role: Role = Role.ADMIN, in_chat: bool = False) -> Context:
    """Somebody of this role, at the console or in a private chat."""
    if not in_chat:
        at_console = Principal(PrincipalKind.PERSON, "ann", role, "", OPERATOR)
        return Context(at_console, "console", desk, COMMANDS)
    return Context(principal(role), "telegram", desk, COMMANDS, CHAT, ChatKind.PRIVATE)


def principal(role: Role) -> Principal:
    """Whoever has this role at the desk, by their account of Telegram."""
    if role is Role.NOBODY:
        return Principal(PrincipalKind.PERSON, STRANGER_ID, role)
    person, account = PEOPLE[role]
    return Principal(PrincipalKind.PERSON, account.user_id, role, person.name, person.principal_id)


async def say(desk: Desk, line: str, role: Role = Role.ADMIN, in_chat: bool = False) -> Reply:
    """What the desk answers somebody who types `line`, at the console or in a chat."""
    return await dispatch_line(context(desk, role, in_chat), line)


async def propose(desk: Desk, line: str, role: Role = Role.ADMIN) -> Proposal:
    """Say a command that waits for a human, in a chat; the proposal it became."""
    before = {each.proposal_id for each in desk.view().proposals}
    answer = await say(desk, line, role, in_chat=True)
    [found] = [each for each in desk.view().proposals if each.proposal_id not in before]
    assert answer.ok, answer.error
    return found


def text(reply: Reply) -> str:
    """All that a reply says in whole sentences."""
    assert reply.ok, reply.error
    return "\n".join(block.text for block in reply.blocks if isinstance(block, Text))


def fields(reply: Reply, title: str | None = None) -> dict[str, Value]:
    """The fields of the block with this title, or of the first one."""
    assert reply.ok, reply.error
    found: list[Block] = [
        block
        for block in reply.blocks
        if isinstance(block, Fields) and title in (None, block.title)
    ]
    block = found[0]
    assert isinstance(block, Fields)
    return block.fields


def table(reply: Reply, title: str) -> Table:
    assert reply.ok, reply.error
    return next(b for b in reply.blocks if isinstance(b, Table) and b.title == title)


def rows(found: Table) -> list[dict[str, Value]]:
    """A table's rows by column."""
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]
