"""A desk on the local Bybit whose stream is gone, whose stops are met there, and that is killed:
at the end the books are the exchange's own."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path

import pytest

from engine.bybit.private import EXECUTIONS_PAGE
from engine.event import ExchangeLink, Executed, Journaled, OrderAccepted
from engine.order import Fill, Order, OrderStatus, Reason
from engine.ports import Commit
from engine.position import Trade
from engine.strategies.exits import Exits
from tests.bybit_desk import Desk, Hooks, Killed, World, account_of, trader
from tests.engine.conftest import BAR, BTC, LEAVE_NOW, SELL_NOW, T0, bar
from tests.servers.bybit import ApiKey, BybitServer, Call, Fault, Liquidity
from tests.servers.bybit_clock import SteppedClock

ONE = ApiKey("key-1", "secret-1", "1001", Decimal(1_000_000))
TWO = ApiKey("key-2", "secret-2", "1002", Decimal(1_000_000))
# Seconds of the desk in a real one.
RATE = 50.0
PRICE = 60_000.0
# How long nothing can be heard.
GONE_S = 120.0
# A stop 1 % away; the second also has a target, the third trails.
STOPPED = Exits(0.01, 0, 0, 0, 0, 0)
TARGETED = Exits(0.01, 0.02, 0, 0, 0, 0)
TRAILED = Exits(0.01, 0, 0.004, 0.005, 0, 0)


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    clock = SteppedClock(T0, RATE)
    async with BybitServer(clock, [BTC], accounts=[ONE, TWO], ticker_s=RATE).running() as server:
        yield server


@pytest.fixture
def world(server: BybitServer, tmp_path: Path) -> World:
    return make_world(server, tmp_path, STOPPED)


def make_world(server: BybitServer, folder: Path, exits: Exits) -> World:
    shares = {ONE: [trader("alpha", BTC, exits=exits)]}
    return World(server, server.clock, shares, f"sqlite:///{folder}/desk.db")


class Candles:
    """One candle after the other, each from where the last one ended."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._index = 0
        self._price = PRICE

    async def close(self, at: float = 0.0, wish: float = 0.0) -> None:
        """Let a candle close at a price, by default where it opened."""
        opened, self._price = self._price, at or self._price
        candle = bar(self._index, opened, close=self._price)
        self._index += 1
        self._world.clock.step_to(candle.ts + BAR)
        await self._world.close({BTC: candle}, {BTC: wish})


@pytest.fixture
def candles(world: World) -> Candles:
    return Candles(world)


async def enter(desk: Desk, candles: Candles) -> None:
    """Have a short position opened at PRICE."""
    await desk.up()
    await candles.close(wish=SELL_NOW)
    await desk.settled()
    assert desk.core.view().positions


# -- gone for minutes --------------------------------------------------------------------


async def test_what_was_filled_while_nobody_listened_is_booked(
    world: World, candles: Candles
) -> None:
    """T4. Neither stream nor REST for minutes, and executions meanwhile that fill pages."""
    server = world.server
    server.liquidity = lambda order: Liquidity(parts=250)
    async with world.desk() as desk:
        await enter(desk, candles)
        server.faults.mute_acks = True
        server.faults.private = lambda call: Fault(status=503)
        server.drop()
        await desk.until(lambda: desk.shut[account_of("alpha")])
        before = desk.booked
        await candles.close(at=PRICE * 1.02)
        server.settle_funding(BTC)
        # An entry that is wanted meanwhile is not made.
        await candles.close(wish=SELL_NOW)
        await desk.taken()
        await world.clock.sleep(GONE_S)
        assert desk.booked == before
        assert len(server.account("1001").executions) - before > 2 * EXECUTIONS_PAGE
        server.faults.mute_acks = False
        server.faults.private = lambda call: None
        await desk.up()
        await desk.settled()
        assert not desk.core.view().positions
    assert await world.disagreements() == []


# -- stops that the exchange carries out -------------------------------------------------


@pytest.mark.parametrize(
    ("exits", "path", "reason"),
    [
        (STOPPED, [1.02], Reason.STOP_LOSS),
        (TARGETED, [0.97], Reason.TAKE_PROFIT),
        (TRAILED, [0.992, 1.0], Reason.TRAILING_STOP),
    ],
    ids=["stop", "target", "trailing stop"],
)
async def test_a_stop_at_the_exchange_is_its_bots_own_exit(
    server: BybitServer, tmp_path: Path, exits: Exits, path: list[float], reason: Reason
) -> None:
    """T5. An order that Bybit makes itself has none of our ids: it is known by its kind."""
    world = make_world(server, tmp_path, exits)
    candles = Candles(world)
    async with world.desk() as desk:
        await enter(desk, candles)
        await desk.until(lambda: protected(server, exits))
        for share in path:
            await candles.close(at=PRICE * share)
            await desk.settled()
        assert not desk.core.view().positions
    entry, exit_ = await world.stored(Fill)
    assert (entry.bot_id, entry.close_reason) == ("alpha", Reason.EMA_CROSS)
    assert (exit_.bot_id, exit_.close_reason) == ("alpha", reason)
    [trade] = await world.stored(Trade)
    assert (trade.bot_id, trade.close_reason) == ("alpha", reason)
    assert await world.disagreements() == []


def protected(server: BybitServer, exits: Exits) -> bool:
    """Whether the position has all its levels, the trailing stop too, which is set afterwards."""
    position = server.account("1001").position(BTC)
    return bool(position.trailing) == bool(exits.trail) and "StopLoss" in position.stops


async def test_what_happens_on_one_account_alters_no_other(
    server: BybitServer, tmp_path: Path
) -> None:
    """T7. Two bots hold the same symbol, each with a key and an account of its own."""
    shares = {
        ONE: [trader("alpha", BTC, exits=STOPPED)],
        TWO: [trader("beta", BTC, exits=TARGETED._replace(stop_loss=0.05))],
    }
    world = World(server, server.clock, shares, f"sqlite:///{tmp_path}/desk.db")
    candles = Candles(world)
    async with world.desk() as desk:
        await enter(desk, candles)
        accounts = desk.core.accounts()
        before = accounts[account_of("beta")].ledger, accounts[account_of("beta")].positions[BTC]
        server.liquidity = lambda order: Liquidity(parts=3)
        await candles.close(at=PRICE * 1.02)
        server.settle_funding(BTC)
        server.adl("1002", BTC, "0.001")
        await desk.settled()
        # Its own deleveraging is all that beta was told.
        assert accounts[account_of("alpha")].positions[BTC].is_flat
        after = accounts[account_of("beta")]
        assert after.positions[BTC].quantity == before[1].quantity + Decimal("0.001")
        assert after.ledger.fees == before[0].fees
        assert list(accounts[account_of("alpha")].entries) == []
        assert list(after.entries) == [BTC]
    fills = await world.stored(Fill)
    reasons = {(each.bot_id, each.close_reason) for each in fills}
    assert reasons == {
        ("alpha", Reason.EMA_CROSS),
        ("alpha", Reason.STOP_LOSS),
        ("beta", Reason.EMA_CROSS),
        ("beta", Reason.AUTO_DELEVERAGING),
    }
    assert await world.disagreements() == []


# -- killed ------------------------------------------------------------------------------

Arm = Callable[[World, Desk, Hooks], None]


def intent_committed(world: World, desk: Desk, hooks: Hooks) -> None:
    def stored(batch: Commit) -> None:
        orders = [fact for fact in batch.facts if isinstance(fact, Order)]
        if any(order.status is OrderStatus.PENDING for order in orders):
            raise Killed

    hooks.stored = stored


def sent(world: World, desk: Desk, hooks: Hooks) -> None:
    def arrived(call: Call) -> None:
        if call.path == "/v5/order/create":
            desk.kill()

    world.server.faults.private = arrived


def accepted(world: World, desk: Desk, hooks: Hooks) -> None:
    dies_before(hooks, OrderAccepted)


def filled(world: World, desk: Desk, hooks: Hooks) -> None:
    dies_before(hooks, Executed)


def dies_before(hooks: Hooks, kind: type[Journaled]) -> None:
    """Die as the exchange is about to tell of something."""

    def told(event: Journaled) -> None:
        if isinstance(event, kind):
            raise Killed

    hooks.told = told


def committed(world: World, desk: Desk, hooks: Hooks) -> None:
    def stored(batch: Commit) -> None:
        if any(isinstance(fact, Fill) for fact in batch.facts):
            raise Killed

    hooks.stored = stored


async def killed(world: World, candles: Candles, arm: Arm, wish: float) -> None:
    """A process that dies on the way of an order."""
    hooks = Hooks()
    async with world.desk(hooks) as desk:
        await desk.up()
        arm(world, desk, hooks)
        await candles.close(wish=wish)
        await desk.died()
    world.server.faults.private = lambda call: None


@pytest.mark.parametrize("again", [False, True], ids=["", "killed again as it recovers"])
@pytest.mark.parametrize("arm", [intent_committed, sent, accepted, filled, committed])
async def test_a_kill_on_the_way_of_an_order_loses_and_doubles_nothing(
    world: World, candles: Candles, arm: Arm, again: bool
) -> None:
    arrives = arm is not intent_committed
    for wish, ends in ((SELL_NOW, arrives), (LEAVE_NOW, not arrives)):
        if wish == LEAVE_NOW and not arrives:
            async with world.desk() as desk:
                await enter(desk, candles)
        await killed(world, candles, arm, wish)
        if again:
            await killed_as_it_recovers(world)
        async with world.desk() as desk:
            await desk.up()
            await desk.settled()
            assert bool(desk.core.view().positions) == ends
            assert desk.core.view().halted == ""
        assert await world.disagreements() == []
    orders = await world.stored(Order)
    fate = OrderStatus.FILLED if arrives else OrderStatus.REJECTED
    assert [orders[0].status, orders[-1].status] == [fate, fate]


async def killed_as_it_recovers(world: World) -> None:
    hooks = Hooks()
    dies_before(hooks, ExchangeLink)
    async with world.desk(hooks) as desk:
        await desk.died()


async def test_a_position_whose_exit_died_with_the_desk_is_left_by_the_next_one(
    world: World, candles: Candles
) -> None:
    async with world.desk() as desk:
        await enter(desk, candles)
    await killed(world, candles, intent_committed, LEAVE_NOW)
    async with world.desk() as desk:
        await desk.up()
        await desk.settled()
        await candles.close()
        await desk.settled()
        assert not desk.core.view().positions
    reasons = [order.reason for order in await world.stored(Order)]
    assert reasons == [Reason.EMA_CROSS, Reason.MA_EXIT, Reason.MA_EXIT]
    assert await world.disagreements() == []
