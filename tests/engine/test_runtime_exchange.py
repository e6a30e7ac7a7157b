"""The runtime and an exchange that has to be waited for: what it tells, when it is booked."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from engine.core import Core
from engine.effect import Cancel, Resume, Submit, ToExchange
from engine.errors import Broken, Unreachable
from engine.event import (
    CandleClosed,
    ExchangeLink,
    Executed,
    Journaled,
    OrderAccepted,
    PriceTicked,
    Surveyed,
)
from engine.instruction import PauseBot
from engine.instrument import MAJORS
from engine.order import Fill, Order, OrderStatus
from engine.ports import Books, Commit, StateRow
from engine.runtime import REPORTS_PER_TURN, Runtime
from engine.store.memory import MemoryStore
from engine.survey import Survey
from tests.askers import OPERATING, POLICY
from tests.clock import FakeClock, turn
from tests.engine.conftest import ACCOUNT, BAR, BTC, SELL_NOW, T0, D, bar, bot, closed, execution
from tests.engine.test_runtime import KEY, ListMarket


class Remote:
    """An exchange far away: it takes what it is given and tells of it when the test says so."""

    def __init__(self) -> None:
        self.taken: list[ToExchange] = []
        self.books: Sequence[Books] = ()
        self.post: Callable[[Journaled], None] = lambda event: None
        self.surveys: list[Survey] = []
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def restore(self, states: Mapping[str, StateRow]) -> None: ...

    def take_over(self, books: Sequence[Books]) -> None:
        self.books = books

    def open_account(self, *_: object) -> None: ...

    def close_account(self, account: str) -> None: ...

    def quantities(self) -> None:
        return None

    async def run(self, post: Callable[[Journaled], None]) -> None:
        self.post = post
        self.agree()
        await self.failure

    async def survey(self) -> None:
        if not self.surveys:
            raise Unreachable("Bybit does not answer.")
        await turn()
        self.post(Surveyed(ACCOUNT, self.surveys.pop(0), T0, T0))

    def agree(self) -> None:
        """Be heard, and hold what the books hold: nothing."""
        self.post(ExchangeLink(ACCOUNT, "", T0))
        self.post(Surveyed(ACCOUNT, Survey((), (), D(10_000), D(10_000), "1"), T0, T0))

    async def carry_out(self, instruction: ToExchange) -> Sequence[Journaled]:
        self.taken.append(instruction)
        return ()

    def on_candle(self, candle: CandleClosed) -> Sequence[Journaled]:
        return ()

    def on_tick(self, tick: PriceTicked) -> Sequence[Journaled]:
        return ()

    def dirty_states(self) -> list[StateRow]:
        return []

    async def submitted(self, kind: type = Submit) -> Order:
        while not (found := [each for each in self.taken if isinstance(each, kind)]):
            await turn()
        return found[0].order


class Process:
    def __init__(
        self, store: MemoryStore, candles: Sequence[CandleClosed], killed: str = ""
    ) -> None:
        self.store = store
        self.exchange = Remote()
        self.commits: list[Commit] = []
        policy = replace(POLICY, surveys=True)
        core = Core([bot()], {BTC: MAJORS[BTC]}, BAR, "paper", "test", policy)
        self.runtime = Runtime(
            core, store, self.exchange, ListMarket(candles), FakeClock(), KEY, "1.0",
            killed=lambda: killed,
        )  # fmt: skip
        self.runtime.listen(self.commits.append)

    async def start(self) -> "Process":
        await self.runtime.start(await self.store.take_epoch("a test"))
        return self

    async def running(self, meanwhile: Callable[["Process"], object]) -> None:
        async def watch() -> None:
            try:
                await meanwhile(self)
            finally:
                self.runtime.stop()

        await asyncio.gather(self.runtime.run(), watch())


ENTRY = [closed(bar(0, 60_000, volume=SELL_NOW))]


async def test_an_order_is_handed_over_and_its_fate_is_booked_when_it_is_told():
    store = MemoryStore()

    async def trade(process: Process) -> None:
        order = await process.exchange.submitted()
        [stored] = await store.recent(Order)
        assert stored.status is OrderStatus.PENDING
        process.exchange.post(OrderAccepted(ACCOUNT, order.order_link_id, "1", T0))
        process.exchange.post(Executed(execution(order, price="60000")))
        process.exchange.surveys.append(Survey((), (), D(1), D(1), "1"))
        await process.runtime.survey()
        [stored] = await store.recent(Order)
        assert stored.status is OrderStatus.FILLED
        assert len(await store.recent(Fill)) == 1

    await (await Process(store, ENTRY).start()).running(trade)


async def test_what_is_told_at_once_shares_transactions():
    told = 3 * REPORTS_PER_TURN

    async def flood(process: Process) -> None:
        order = await process.exchange.submitted()
        before = len(process.commits)
        for number in range(told):
            part = execution(order, quantity="0.0001", exec_id=f"F{number}")
            process.exchange.post(Executed(part))
        process.exchange.surveys.append(Survey((), (), D(1), D(1), "1"))
        await process.runtime.survey()
        assert len(await process.store.recent(Fill)) == told
        assert len(process.commits) - before <= 5

    await (await Process(MemoryStore(), ENTRY).start()).running(flood)


async def test_somebody_who_asks_is_answered_while_the_exchange_tells_without_end():
    async def ask(process: Process) -> None:
        order = await process.exchange.submitted()
        said = asyncio.ensure_future(process.runtime.ask(PauseBot(order.bot_id), OPERATING))
        while not said.done():
            process.exchange.post(ExchangeLink(ACCOUNT, "", T0))
            await turn()
        assert "paused" in (await said).text

    await (await Process(MemoryStore(), ENTRY).start()).running(ask)


async def test_a_survey_that_can_t_be_made_says_so_to_whoever_wanted_it():
    async def look(process: Process) -> None:
        await process.exchange.submitted()
        with pytest.raises(Unreachable, match="does not answer"):
            await process.runtime.survey()

    await (await Process(MemoryStore(), ENTRY).start()).running(look)


async def test_an_exchange_that_breaks_ends_the_desk():
    process = await Process(MemoryStore(), ENTRY).start()

    async def fail(process: Process) -> None:
        await process.exchange.submitted()
        process.exchange.failure.set_exception(Broken("the adapter fell over"))
        while not process.runtime.stopping:
            await turn()

    with pytest.raises(Broken, match="fell over"):
        await asyncio.wait_for(asyncio.gather(process.runtime.run(), fail(process)), 30)


@pytest.mark.parametrize("killed", ["", "killed by ann"])
async def test_after_a_restart_an_order_is_asked_for_and_never_sent_again(killed):
    store = MemoryStore()

    async def send(process: Process) -> None:
        await process.exchange.submitted()

    await (await Process(store, ENTRY).start()).running(send)

    async def resumed(process: Process) -> None:
        await process.exchange.submitted(Resume)
        sent = [each for each in process.exchange.taken if isinstance(each, Submit | Cancel)]
        assert sent == []
        [books] = process.exchange.books
        assert list(books.orders.values())[0].status is OrderStatus.PENDING

    await (await Process(store, ENTRY, killed).start()).running(resumed)
