"""The loop around the core: what goes first, what is stored when, and what a kill costs."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from engine.candle import HOUR_MS, Candle
from engine.core import Core
from engine.effect import Done, NoticeKind, Resume, Submit, ToExchange
from engine.errors import BadSettings, Broken, LostLock, Refused, Unreachable
from engine.event import CandleClosed, Event, PriceTicked
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instruction import PauseBot, ResumeBot
from engine.instrument import MAJORS, Instrument
from engine.ledger import EquityPoint, Funding
from engine.mail import Delivery, Priority, Received, Sealed
from engine.order import Fill, Order
from engine.ports import Commit, StateRow
from engine.position import Position, Trade
from engine.runtime import (
    COMMIT_DELAYS,
    GROUP_CANDLES,
    NOTES_MAX,
    PEOPLE_WAITING_MAX,
    Runtime,
)
from engine.signal import Decision
from engine.store.memory import MemoryStore
from engine.strategies import shortseller
from tests.askers import OPERATING, POLICY
from tests.clock import FakeClock, turn
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BTC_5M,
    LEAVE_NOW,
    SELL_NOW,
    T0,
    bar,
    bot,
    closed,
    puppet,
)
from tests.engine.test_audit import KEY, faults
from tests.engine.test_core import LIVELY, wandering

ETH = "ETHUSDT"
FACTS = (Fill, Trade, Order, Position, Decision, Funding, EquityPoint)


class Killed(Exception):
    """The process ends here."""


class ListMarket:
    """A market over a list of candles."""

    name = "test"
    label = "a list of candles"
    interval = BAR
    speed = 0.0

    def __init__(self, candles: Sequence[CandleClosed]) -> None:
        self._all = list(candles)
        self._left = list(candles)
        self.symbols = tuple(dict.fromkeys(event.symbol for event in candles))
        self.fails: Exception | None = None

    @property
    def caught_up(self) -> bool:
        return not self._left

    def instrument(self, symbol: str) -> Instrument:
        return MAJORS[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        return Decimal("0.0001")

    def remarks(self) -> Sequence[str]:
        return []

    def health(self) -> None:
        return None

    def resume(self, cursors: Mapping[str, int]) -> None:
        self._left = [e for e in self._all if e.candle.ts > cursors.get(e.symbol, -1)]

    async def next(self, limit: int) -> list[CandleClosed]:
        if self.fails and not self._left:
            raise self.fails
        batch, self._left = self._left[:limit], self._left[limit:]
        return batch

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        return []


class WatchedStore(MemoryStore):
    """Remembers its commits; can be told to fail before or after it stores."""

    def __init__(self, log: list[object]) -> None:
        super().__init__()
        self.log = log
        self.commits: list[Commit] = []
        self.tried: list[Commit] = []
        self.fail_before: list[Exception] = []
        self.fail_after: list[Exception] = []
        self.after_commit: Callable[[Commit], None] = lambda batch: None

    async def commit(self, batch: Commit) -> None:
        self.tried.append(batch)
        await turn()
        if self.fail_before:
            raise self.fail_before.pop(0)
        await super().commit(batch)
        if not self.commits or self.commits[-1] is not batch:
            self.commits.append(batch)
            self.log.append(batch)
        self.after_commit(batch)
        if self.fail_after:
            raise self.fail_after.pop(0)


class WatchedExchange(PaperExchange):
    """Writes down what is sent; calls back before each candle."""

    log: list[object]
    candles = 0
    on_count: Callable[[int], None] = staticmethod(lambda count: None)
    before_send: Callable[[Submit | Resume], None] = staticmethod(lambda instruction: None)

    async def carry_out(self, instruction: ToExchange) -> Sequence[Event]:
        assert isinstance(instruction, Submit | Resume)
        self.before_send(instruction)
        self.log.append(instruction)
        return await super().carry_out(instruction)

    def on_candle(self, candle: CandleClosed) -> Sequence[Event]:
        self.candles += 1
        self.on_count(self.candles)
        return super().on_candle(candle)


def lively(**changes: object):
    return [bot(puppet(exits=LIVELY._replace(**changes)))]


@dataclass
class World:
    """What outlives a process: the store, the recorded market, the clock, the log."""

    candles: Sequence[CandleClosed]
    bots: Callable[[], list] = lively
    log: list[object] = field(default_factory=list)
    clock: FakeClock = field(default_factory=FakeClock)

    killed: str = ""

    def __post_init__(self) -> None:
        self.store = WatchedStore(self.log)

    def process(self, key: bytes = KEY) -> "Process":
        return Process(self, key)

    @property
    def sent(self) -> list[str]:
        return [item.order.order_link_id for item in self.log if isinstance(item, Submit | Resume)]

    async def facts(self) -> dict[str, list[object]]:
        return {kind.__name__: await self.store.recent(kind) for kind in FACTS}


class Process:
    """One process over a world: built, started, run, and thrown away."""

    def __init__(self, world: World, key: bytes = KEY) -> None:
        bots = world.bots()
        self.world = world
        self.market = ListMarket(world.candles)
        rules = {symbol: MAJORS[symbol] for symbol in (BTC, "ETHUSDT", "SOLUSDT")}
        frictions = PaperSettings(slippage_max=0.0005, partial_fills=True)
        books = [
            PaperBook(b.account, b.capital, frictions, rules, self.market.funding_rate)
            for b in bots
        ]
        self.exchange = WatchedExchange(books, {b.account: b.symbols for b in bots})
        self.exchange.log = world.log
        self.core = Core(bots, rules, BAR, "paper", "test", POLICY)
        self.runtime = Runtime(
            self.core,
            world.store,
            self.exchange,
            self.market,
            world.clock,
            key,
            "1.0",
            killed=lambda: world.killed,
        )

    async def start(self) -> "Process":
        epoch = await self.world.store.take_epoch("a test")
        await self.runtime.start(epoch)
        return self

    async def run(self, *meanwhile: Awaitable[object]) -> list[object]:
        """Run to the market's end, then stop; what the others came to."""

        async def watch() -> list[object]:
            results = await asyncio.gather(*meanwhile)
            await self.runtime.until_caught_up()
            self.runtime.stop()
            return results

        return (await asyncio.gather(self.runtime.run(), watch()))[1]

    async def run_until_stopped(self) -> None:
        await self.runtime.run()


def steady(count: int, symbol: str = BTC) -> list[CandleClosed]:
    """Candles without consequences."""
    return [closed(bar(index, 60_000), symbol) for index in range(count)]


def walk(count: int) -> list[CandleClosed]:
    """Candles full of entries and exits."""
    return [closed(candle) for candle in wandering(count)]


async def traded(world: World) -> dict[str, list[object]]:
    await (await world.process().start()).run()
    return await world.facts()


# -- order and grouping ------------------------------------------------------------------


async def test_people_go_before_candles():
    world = World(steady(1_000))
    process = await world.process().start()
    seen, asked = [], []

    def call(count: int) -> None:
        if count in (1, 300):
            asked.append(asyncio.ensure_future(process.runtime.ask(PauseBot(BOT), OPERATING)))

    def look(batch: Commit) -> None:
        seen.extend(
            process.runtime.view().candles for row in batch.journal if row.kind == "Instructed"
        )

    process.exchange.on_count = call
    process.runtime.listen(look)
    await process.run()
    await asyncio.gather(*asked)
    assert len(seen) == 2
    # Somebody who asks gets their turn with the task's next one, long before the last candle.
    assert all(0 <= taken - at <= 64 for taken, at in zip(seen, (1, 300), strict=True))


async def test_commands_for_the_audit_do_not_hold_up_candles():
    world = World(steady(1_000))
    process = await world.process().start()
    for number in range(500):
        process.runtime.note_command("console", f"/flood {number}", "ok")
    await process.run()
    acts = [row.detail for batch in world.store.commits for row in batch.audit]
    assert [act for act in acts if "flood" in act] == [f"/flood {n}: ok" for n in range(500)]
    assert len(world.store.commits) < 50


async def test_a_desk_with_more_commands_than_the_audit_can_take_says_that_it_is_busy():
    process = await World(steady(10)).process().start()
    for _ in range(NOTES_MAX):
        assert not process.runtime.busy
        process.runtime.note_command("console", "/status", "ok")
    assert process.runtime.busy
    await process.run()
    assert not process.runtime.busy


async def test_an_answer_comes_while_candles_wait():
    process = await World(steady(5_000)).process().start()
    taken = []

    async def ask() -> None:
        for _ in range(20):
            await turn()
        assert await process.runtime.ask(PauseBot(BOT), OPERATING) == Done(f"{BOT} is paused.")
        taken.append(process.runtime.view().candles)

    await process.run(ask())
    assert 0 < taken[0] < 2_000


async def test_candles_without_consequences_share_transactions_of_a_bounded_size():
    world = World(steady(3 * GROUP_CANDLES + 7))
    process = await world.process().start()
    counts = [0]
    process.runtime.listen(lambda batch: counts.append(process.runtime.view().candles))
    await process.run()
    sizes = [after - before for before, after in zip(counts, counts[1:], strict=False)]
    assert max(sizes) <= GROUP_CANDLES
    assert sum(sizes) == 3 * GROUP_CANDLES + 7
    assert len([size for size in sizes if size]) <= 8


async def test_prices_without_consequences_are_not_stored():
    world = World(steady(1))
    process = await world.process().start()
    process.market._left += [PriceTicked(BTC, 60_000.0 + i, T0 + BAR + i) for i in range(500)]
    await process.run()
    commits = [batch for batch in world.store.commits if not batch.journal]
    assert len(commits) == 1
    assert process.runtime.view().prices[BTC] == 60_499


async def test_an_execution_at_a_price_is_stored_at_once():
    world = World([closed(bar(0, 60_000, volume=SELL_NOW))])
    process = await world.process().start()
    process.market._left += [PriceTicked(BTC, 60_010.0, T0 + BAR + i) for i in range(3)]
    await process.run()
    fills = await world.store.recent(Fill)
    assert fills[0].exec_time == T0 + BAR
    # Stored with the price that brought it, long before the next candle.
    assert any(fills[0] in batch.facts for batch in world.store.commits[:-1])


# -- letters -----------------------------------------------------------------------------


def sealing(key: str = "telegram:1") -> Callable[[object], Sealed]:
    """What a chat side makes of an outcome: that its update is done, and the answer to it."""

    def seal(result: object) -> Sealed:
        at = ("telegram", "7", "", T0, Priority.ANSWER, "")
        return Sealed(key, Delivery(*at, body=str(result)))

    return seal


async def test_an_answer_to_a_chat_is_stored_with_the_effect_and_the_update_is_done():
    world = World(steady(10))
    await world.store.mail.receive([Received("telegram:1", T0, "")])
    process = await world.process().start()
    await process.run(process.runtime.ask(PauseBot(BOT), OPERATING, sealing()))
    [commit] = [batch for batch in world.store.commits if batch.deliveries]
    assert [row.kind for row in commit.journal] == ["Instructed"]
    assert [row.detail for row in commit.audit] == [f"{BOT} is paused."]
    assert commit.answered == ["telegram:1"]
    assert await world.store.mail.unanswered() == []
    [waiting] = await world.store.mail.waiting("telegram", "7", 10)
    assert waiting.delivery.body == str(Done(f"{BOT} is paused."))


async def test_a_commit_that_fails_leaves_the_update_unanswered_and_no_letter():
    world = World(steady(10))
    await world.store.mail.receive([Received("telegram:1", T0, "")])
    process = await world.process().start()
    world.store.fail_before = [Broken("the disk is gone")]
    with pytest.raises(Broken):
        await process.run(process.runtime.ask(PauseBot(BOT), OPERATING, sealing()))
    assert len(await world.store.mail.unanswered()) == 1
    assert await world.store.mail.waiting_chats() == []


async def test_a_decision_is_stored_with_the_candle_that_caused_it():
    world = World([closed(bar(i, 60_000, volume=SELL_NOW if i == 5 else 0)) for i in range(50)])
    process = await world.process().start()
    seen = []

    def look(batch: Commit) -> None:
        if any(isinstance(fact, Decision) for fact in batch.facts):
            seen.append(process.runtime.view().candles)

    process.runtime.listen(look)
    await process.run()
    assert seen == [6]


async def test_every_event_but_candles_is_in_the_journal():
    world = World(walk(100))
    process = await world.process().start()
    process.runtime.note_command("console", "/status", "ok")
    await process.run()
    kinds = {row.kind for batch in world.store.commits for row in batch.journal}
    assert kinds >= {"DeskStarted", "CommandRun", "OrderAccepted", "Executed", "DeskStopped"}
    assert "CandleClosed" not in kinds


# -- commit, then carry out --------------------------------------------------------------


def assert_stored_before_sent(log: list[object]) -> None:
    stored: set[str] = set()
    for item in log:
        if isinstance(item, Commit):
            stored |= {fact.order_link_id for fact in item.facts if isinstance(fact, Order)}
        else:
            assert item.order.order_link_id in stored


async def test_nothing_is_sent_before_it_is_stored():
    world = World(walk(300))
    await traded(world)
    assert_stored_before_sent(world.log)
    assert len(world.sent) > 10


async def test_a_store_that_does_not_answer_holds_the_order_back_until_it_does():
    quiet, troubled = World(walk(300)), World(walk(300))
    process = await troubled.process().start()
    waiting: list[int] = []

    def fail(count: int) -> None:
        if count == 100:
            waiting.append(len(troubled.sent))
            troubled.store.fail_before = [Unreachable("no answer")] * 4

    process.exchange.on_count = fail
    await process.run()
    tried = troubled.store.tried
    first = next(i for i, batch in enumerate(tried[1:], 1) if batch is tried[i - 1])
    assert all(tried[first + again] is tried[first] for again in range(4))
    assert troubled.clock.slept == pytest.approx(sum(COMMIT_DELAYS[:4]))
    assert_stored_before_sent(troubled.log)
    assert await troubled.facts() == await traded(quiet)
    assert troubled.sent == quiet.sent


async def test_a_commit_whose_answer_was_lost_is_not_doubled():
    """It was stored, nobody said so: the same batch comes again and changes nothing."""
    quiet, troubled = World(walk(300)), World(walk(300))
    process = await troubled.process().start()

    def lose(count: int) -> None:
        if count % 40 == 0:
            troubled.store.fail_after = [Unreachable("the answer was lost")]

    process.exchange.on_count = lose
    await process.run()
    assert len(troubled.store.tried) > len(troubled.store.commits)
    assert await troubled.facts() == await traded(quiet)
    assert troubled.sent == quiet.sent
    assert audit_faults(troubled) == []


async def test_a_store_that_stays_away_ends_the_process_with_nothing_sent():
    world = World(walk(300))
    process = await world.process().start()
    world.store.fail_before = [Unreachable("no answer")] * (len(COMMIT_DELAYS) + 1)
    with pytest.raises(Broken, match="the database can't be written: no answer"):
        await process.run_until_stopped()
    assert world.sent == []
    assert world.clock.slept == pytest.approx(sum(COMMIT_DELAYS))


async def test_a_process_that_lost_its_lock_writes_and_sends_nothing_more():
    world = World(walk(300))
    process = await world.process().start()
    await world.store.take_epoch("somebody else")
    with pytest.raises(LostLock):
        await process.run_until_stopped()
    assert world.sent == []


async def test_listeners_hear_what_was_stored_after_it_was():
    world = World(walk(50))
    process = await world.process().start()
    heard: list[bool] = []
    process.runtime.listen(lambda batch: heard.append(world.store.commits[-1] is batch))
    await process.run()
    assert heard
    assert all(heard)


# -- restarts ----------------------------------------------------------------------------


def audit_faults(world: World) -> list[str]:
    kept = [row for batch in world.store.commits for row in batch.audit]
    heads = [batch.audit_head for batch in world.store.commits if batch.audit_head]
    return faults(kept, heads[-1])


async def killed(world: World, arm: Callable[[Process], None]) -> Process:
    """A process that `arm` makes die somewhere."""
    process = await world.process().start()
    arm(process)
    with pytest.raises(Killed):
        await process.run_until_stopped()
    return process


def die() -> None:
    raise Killed


async def test_an_order_stored_but_not_sent_is_sent_once_after_a_restart():
    whole, world = World(walk(300)), World(walk(300))
    orders: list[str] = []

    def arm(process: Process) -> None:
        def before_send(instruction: Submit) -> None:
            orders.append(instruction.order.order_link_id)
            if len(orders) == 5:
                die()

        process.exchange.before_send = before_send

    await killed(world, arm)
    assert orders[-1] not in world.sent
    restarted = await world.process().start()
    assert world.sent.count(orders[-1]) == 1
    await restarted.run()
    assert await world.facts() == await traded(whole)
    assert sorted(world.sent) == sorted(set(world.sent))


def die_before_the_answer_is_stored(process: Process) -> None:
    process.exchange.on_count = lambda count: die() if len(process.world.sent) == 5 else None


def die_after_the_answer_is_stored(process: Process) -> None:
    def after_commit(batch: Commit) -> None:
        if len(process.world.sent) == 5:
            process.world.store.after_commit = lambda batch: None
            die()

    process.world.store.after_commit = after_commit


@pytest.mark.parametrize("arm", [die_before_the_answer_is_stored, die_after_the_answer_is_stored])
async def test_an_order_sent_before_a_kill_is_filled_once(arm):
    whole, world = World(walk(300)), World(walk(300))
    await killed(world, arm)
    assert len(world.sent) == 5
    await (await world.process().start()).run()
    facts = await world.facts()
    assert facts == await traded(whole)
    ids = [fill.exec_id for fill in facts["Fill"]]
    assert len(ids) == len(set(ids)) > 10


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_a_desk_restarted_on_the_way_ends_with_the_same_facts(how, share):
    whole, world = World(walk(800)), World(walk(800))
    at = round(800 * share)

    def end_at(process: Process) -> Callable[[int], None]:
        end = die if how == "killed" else process.runtime.stop
        return lambda count: end() if count == at else None

    process = await world.process().start()
    process.exchange.on_count = end_at(process)
    if how == "killed":
        with pytest.raises(Killed):
            await process.run_until_stopped()
    else:
        await process.run_until_stopped()
    assert process.runtime.view().candles < 800
    await (await world.process().start()).run()
    facts = await world.facts()
    assert facts == await traded(whole)
    assert len(facts["Trade"]) > 20
    assert len(facts["Funding"]) > 0
    assert audit_faults(world) == []


async def test_the_short_seller_restarted_over_real_candles_ends_the_same(recorded):
    candles = [closed(candle) for candle in recorded(BTC_5M)[:12_000]]

    def bots():
        return [bot(shortseller.STRATEGY)]

    whole, world = World(candles, bots), World(candles, bots)
    for at in (3_000, 6_000, 9_000):
        process = await world.process().start()
        taken = process.core.view().candles

        def end(count: int, process=process, at=at, taken=taken) -> None:
            if taken + count == at:
                process.runtime.stop()

        process.exchange.on_count = end
        await process.run_until_stopped()
    await (await world.process().start()).run()
    facts = await world.facts()
    assert facts == await traded(whole)
    assert len(facts["Trade"]) > 20
    assert len(facts["Funding"]) > 10


async def test_the_same_candles_give_the_same_facts():
    assert await traded(World(walk(500))) == await traded(World(walk(500)))


async def test_a_kill_takes_the_uncommitted_candles_again():
    world = World(steady(400))

    def arm(process: Process) -> None:
        process.exchange.on_count = lambda count: die() if count == 300 else None

    await killed(world, arm)
    process = await world.process().start()
    assert process.core.view().candles < 300
    await process.run()
    assert process.core.view().candles == 400


async def test_remarks_become_notices_on_the_first_start_alone():
    world = World(steady(10))
    process = world.process()
    await process.runtime.start(await world.store.take_epoch("a test"), ["a remark"])
    await process.run()
    again = world.process()
    await again.runtime.start(await world.store.take_epoch("a test"), ["a remark"])
    told = [n.text for b in world.store.commits for n in b.notices if n.text]
    assert told.count("a remark") == 1


REMARK = NoticeKind.MARKET_REMARK


async def test_books_that_have_no_candle_yet_are_no_others_after_a_restart():
    world = World(steady(10))
    await world.process().start()
    await world.process().start()
    assert [n.text for b in world.store.commits for n in b.notices if n.kind is REMARK] == []


async def test_a_pause_survives_a_restart():
    world = World(walk(100))
    process = await world.process().start()
    await process.run(process.runtime.ask(PauseBot(BOT), OPERATING))
    again = await world.process().start()
    [view] = again.runtime.view().bots
    assert view.status == "paused"


# -- the books are checked ---------------------------------------------------------------


async def holding() -> World:
    """A world whose desk holds a short of one bar ago, with a commission paid."""
    candles = [closed(bar(i, 60_000, volume=SELL_NOW if i == 5 else 0)) for i in range(20)]
    world = World(candles, lambda: [bot(puppet())])
    await traded(world)
    return world


async def replaced(world: World, old: str, new: str) -> None:
    """Change a text in the stored memory of the account."""
    row = (await world.store.states())[f"account:{ACCOUNT}"]
    assert row.body.count(old) > 0
    body = row.body.replace(old, new, 1)
    epoch = await world.store.take_epoch("a meddler")
    await world.store.commit(Commit(epoch, states=[StateRow(row.key, row.version, body)]))


async def test_books_that_agree_do_not_halt():
    world = await holding()
    process = await world.process().start()
    assert process.runtime.view().halted == ""


MEDDLED = {
    "another quantity": ('"quantity":"-0.083"', '"quantity":"-0.082"', "positions"),
    "another cost": ('"cost":"-49', '"cost":"-48', "cost"),
    "another fee": ('"fees":"', '"fees":"9', "balance"),
    "another deposit": ('"realized":"0', '"realized":"7', "balance"),
}


@pytest.mark.parametrize(("old", "new", "words"), MEDDLED.values(), ids=MEDDLED)
async def test_books_that_differ_from_the_fills_halt_the_desk(old, new, words):
    world = await holding()
    await replaced(world, old, new)
    process = await world.process().start()
    assert words in process.runtime.view().halted
    [notice] = [
        n for b in world.store.commits for n in b.notices if n.kind is NoticeKind.DESK_HALTED
    ]
    assert ACCOUNT in notice.text


async def test_an_exchange_that_holds_something_else_halts_the_desk():
    world = await holding()
    row = (await world.store.states())[f"paper:{ACCOUNT}"]
    body = row.body.replace('"quantity":"-0.083"', '"quantity":"-0.082"', 1)
    epoch = await world.store.take_epoch("a meddler")
    await world.store.commit(Commit(epoch, states=[StateRow(row.key, row.version, body)]))
    process = await world.process().start()
    assert "not what the exchange holds" in process.runtime.view().halted


async def test_an_audit_whose_tail_was_cut_halts_the_desk():
    world = await holding()
    del world.store.audit[max(world.store.audit)]
    process = await world.process().start()
    assert "sealed head" in process.runtime.view().halted


async def test_another_key_than_the_audits_starts_no_desk_and_writes_nothing():
    world = await holding()
    before = repr((world.store.commits, world.store.audit, await world.store.states()))
    with pytest.raises(BadSettings, match="SECRET_KEY is not the key that sealed this audit"):
        await world.process(b"another key").start()
    assert repr((world.store.commits, world.store.audit, await world.store.states())) == before
    right = await world.process().start()
    assert right.runtime.view().halted == ""


async def test_another_key_starts_no_desk_over_an_audit_that_was_meddled_with():
    """Where nothing of the end was sealed with this key, it is another one."""
    world = await holding()
    del world.store.audit[max(world.store.audit)]
    with pytest.raises(BadSettings):
        await world.process(b"another key").start()


async def test_a_last_row_that_was_changed_halts_the_desk_with_the_right_key():
    world = await holding()
    last = max(world.store.audit)
    world.store.audit[last] = replace(world.store.audit[last], detail="nothing happened")
    process = await world.process().start()
    assert process.runtime.view().halted


@pytest.mark.parametrize("head_too", [False, True])
async def test_an_audit_that_was_emptied_halts_the_desk(head_too):
    world = await holding()
    world.store.audit.clear()
    if head_too:
        world.store.audit_head = None
    process = await world.process().start()
    assert process.runtime.view().halted == "the audit is empty, but this desk has run before"


async def test_a_desk_that_never_ran_has_an_empty_audit():
    process = await World(steady(1)).process().start()
    assert process.runtime.view().halted == ""


async def test_a_position_whose_symbol_left_the_settings_is_named_and_still_protected():
    world = await holding()
    world.bots = lambda: [bot(puppet(), symbols=("ETHUSDT",))]
    world.candles = [*world.candles, closed(bar(20, 60_000)), closed(bar(21, 60_000, high=90_000))]
    process = await world.process().start()
    assert [stray.symbol for stray in process.runtime.strays()] == [BTC]
    await process.run()
    assert process.runtime.strays() == []
    [trade] = await world.store.recent(Trade)
    assert trade.close_reason in ("stop_loss", "liquidation")


async def test_a_pulled_plug_stops_the_next_entry_and_no_exit():
    world = await holding()
    world.killed = "the file KILLED is there"
    more = [
        closed(bar(20, 60_000, volume=LEAVE_NOW)),
        closed(bar(21, 60_000)),
        closed(bar(34, 60_000, volume=SELL_NOW)),
        closed(bar(35, 60_000)),
    ]
    world.candles = [*world.candles, *more]
    process = await world.process().start()
    await process.run()
    [trade] = await world.store.recent(Trade)
    assert trade.close_reason == "ma_exit"
    assert process.runtime.view().positions == ()
    assert process.runtime.view().halted == "the file KILLED is there"


async def test_a_halted_desk_still_leaves_its_positions():
    world = await holding()
    await replaced(world, '"fees":"', '"fees":"9')
    more = [closed(bar(20, 60_000, volume=SELL_NOW)), closed(bar(21, 60_000, volume=LEAVE_NOW))]
    world.candles = [*world.candles, *more, *[closed(bar(i, 60_000)) for i in range(22, 25)]]
    await (await world.process().start()).run()
    [trade] = await world.store.recent(Trade)
    decisions = await world.store.recent(Decision)
    assert trade.close_reason == "ma_exit"
    assert [d.gate for d in decisions if not d.approved] == ["mode and kill"]


# -- people and the end ------------------------------------------------------------------


async def test_an_answer_is_given_once_its_outcome_is_stored():
    world = World(steady(10))
    process = await world.process().start()

    async def ask() -> bool:
        await process.runtime.ask(PauseBot(BOT), OPERATING)
        return any(row.action == "PauseBot" for b in world.store.commits for row in b.audit)

    assert await process.run(ask()) == [True]


async def test_several_people_each_get_their_own_answer():
    process = await World(steady(10)).process().start()
    runtime = process.runtime
    answers = await process.run(
        runtime.ask(PauseBot(BOT), OPERATING), runtime.ask(ResumeBot("nobody"), OPERATING)
    )
    assert answers[0] == Done(f"{BOT} is paused.")
    assert answers[1].reason == "There is no bot 'nobody'."


async def test_too_many_waiting_people_are_told_to_come_again():
    process = await World(steady(10)).process().start()
    runtime = process.runtime

    async def crowd() -> str:
        asking = [
            asyncio.ensure_future(runtime.ask(ResumeBot(BOT), OPERATING))
            for _ in range(PEOPLE_WAITING_MAX)
        ]
        await turn()
        try:
            await runtime.ask(PauseBot(BOT), OPERATING)
        except Refused as refusal:
            return str(refusal)
        finally:
            for one in asking:
                one.cancel()
        return "taken"

    assert await crowd() == "The desk is busy. Nothing was changed; try again in a moment."
    await process.run()
    assert [b.status for b in runtime.view().bots] == ["active"]


async def test_stop_ends_the_run_and_writes_it_down():
    world = World(steady(10))
    process = await world.process().start()
    await process.run()
    assert [r.action for b in world.store.commits for r in b.audit] == ["started", "stopped"]
    assert process.market.caught_up


async def test_a_desk_stopped_before_it_ran_ends_at_once():
    process = await World(steady(10)).process().start()
    process.runtime.stop()
    await process.run_until_stopped()
    assert process.runtime.view().candles == 0


async def test_whoever_waits_when_the_desk_stops_is_told():
    process = await World(steady(10)).process().start()

    async def ask() -> str:
        process.runtime.stop()
        try:
            await process.runtime.ask(PauseBot(BOT), OPERATING)
        except Refused as refusal:
            return str(refusal)
        return "taken"

    asked, _ = await asyncio.gather(ask(), process.run_until_stopped())
    assert "stopping" in asked


async def test_whoever_waited_before_the_desk_stopped_is_told():
    process = await World(steady(10)).process().start()

    async def ask() -> str:
        try:
            await process.runtime.ask(PauseBot(BOT), OPERATING)
        except Refused as refusal:
            return str(refusal)
        return "taken"

    async def stop() -> None:
        process.runtime.stop()
        await process.run_until_stopped()

    asked, _ = await asyncio.gather(ask(), stop())
    assert "stopping" in asked


async def test_a_desk_that_has_ended_takes_no_more_questions():
    process = await World(steady(10)).process().start()
    await process.run()
    with pytest.raises(Refused, match="stopping"):
        await process.runtime.ask(PauseBot(BOT), OPERATING)


async def test_a_desk_that_broke_takes_no_more_questions():
    world = World(steady(10))
    process = await world.process().start()
    world.store.fail_before = [LostLock("somebody else trades")]
    with pytest.raises(LostLock):
        await process.run_until_stopped()
    with pytest.raises(Refused, match="stopping"):
        await process.runtime.ask(PauseBot(BOT), OPERATING)


async def test_a_market_that_breaks_ends_the_run_with_its_error():
    process = await World(steady(10)).process().start()
    process.market.fails = Unreachable("the feed is gone")
    async with asyncio.timeout(5) as guard:
        with pytest.raises(Unreachable, match="the feed is gone"):
            await process.run_until_stopped()
    assert not guard.expired()


async def test_caught_up_means_that_every_candle_was_taken():
    """Also where the feed brings the last candles while an earlier turn is being stored."""
    process = await World(steady(100)).process().start()
    process.runtime.note_command("console", "/status", "ok")
    await process.run()
    assert process.runtime.view().candles == 100


async def until(happened: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if happened():
            return
        await turn()
    raise AssertionError("it did not happen")


def ended(world: World) -> bool:
    return any(row.kind == "MarketEnded" for b in world.store.commits for row in b.journal)


async def test_the_end_of_the_market_is_told_once():
    world = World(steady(10))
    for _ in range(2):
        process = await world.process().start()
        await process.run(until(lambda: ended(world)))
    kinds = [n.kind for b in world.store.commits for n in b.notices]
    assert kinds.count(NoticeKind.MARKET_ENDED) == 1


async def test_a_change_of_speed_loses_and_doubles_no_candle():
    whole, world = World(walk(1_500)), World(walk(1_500))
    process = await world.process().start()

    def hurry(batch: Commit) -> None:
        process.runtime.set_speed(0)

    process.runtime.listen(hurry)
    await process.run()
    assert process.runtime.view().candles == 1_500
    assert await world.facts() == await traded(whole)


async def test_two_symbols_are_traded_side_by_side():
    btc = walk(400)
    eth = [CandleClosed(ETH, event.candle, event.closed_at) for event in walk(400)]
    both = [event for pair in zip(btc, eth, strict=True) for event in pair]
    world = World(both, lambda: [bot(puppet(exits=LIVELY), symbols=(BTC, ETH))])
    facts = await traded(world)
    symbols = {trade.symbol for trade in facts["Trade"]}
    assert symbols == {BTC, ETH}
    process = await world.process().start()
    assert process.runtime.view().halted == ""


async def test_equity_is_stored_for_every_full_hour():
    facts = await traded(World(walk(100)))
    hours = [(point.ts - T0) / HOUR_MS for point in facts["EquityPoint"]]
    assert hours == [1, 2, 3, 4, 5, 6, 7, 8]
