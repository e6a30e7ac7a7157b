"""The mirror in a real Valkey: right while it is there, and nobody's trouble when it is not."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from random import Random

import pytest

from engine.candle import Candle
from engine.errors import Unreachable
from engine.order import Fill
from engine.ports import Commit
from engine.runtime import Runtime
from engine.store import cache
from engine.store.cache import Mirror
from engine.store.memory import MemoryStore
from engine.store.mirror import (
    STALE_MS,
    MirroredBot,
    MirroredPosition,
    MirroredPrice,
    bot_key,
    events_channel,
    is_stale,
    position_key,
    price_key,
    read,
)
from tests.chat.desks import LiveMarket, busy_market
from tests.fast_clock import FastClock
from tests.handlers.desks import BAR, BOT, BTC, ETH, ScriptedMarket, build, course
from tests.valkey import LocalValkey, valkey

__all__ = ["valkey"]

# So many seconds of waiting are one of the test's.
RATE = 60
DEADLINE_S = 20.0


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  a server is looked into
            await asyncio.sleep(0.01)


class Scene:
    """A desk that has traded, and its mirror."""

    def __init__(self, runtime: Runtime, mirror: Mirror, market: ScriptedMarket) -> None:
        self.runtime = runtime
        self.mirror = mirror
        self.market = market

    async def well(self) -> None:
        await until(lambda: self.mirror.condition()[0])


@asynccontextmanager
async def open_scene(url: str, market: ScriptedMarket | None = None) -> AsyncIterator[Scene]:
    market = market or busy_market()
    store = MemoryStore()
    runtime, _ = await build(market, store)
    mirror = Mirror(url, runtime.view, store, runtime.epoch, FastClock(RATE))
    runtime.listen(mirror.on_commit)
    async with asyncio.TaskGroup() as tasks:
        trading = tasks.create_task(runtime.run())
        await runtime.until_caught_up()
        mirroring = tasks.create_task(mirror.run())
        yield Scene(runtime, mirror, market)
        mirroring.cancel()
        runtime.stop()
        await trading


def held(server: LocalValkey, symbol: str = BTC) -> MirroredPosition:
    text = server.read.get(position_key(BOT, symbol))
    assert isinstance(text, str)
    return read(MirroredPosition, text)


def more_bars(market: ScriptedMarket) -> None:
    """Let prices go on to where the open short is closed and another trade is made."""
    assert isinstance(market, LiveMarket)
    last = max(bar.ts for bar in market._bars[BTC]) + BAR
    bars = course(100_000.0, [(60, 70.0), (60, -60.0)], at=last)
    market.tell(BTC, *bars)


# -- what stands there -------------------------------------------------------------------


def test_the_keys_are_those_that_readers_know() -> None:
    assert position_key("shortseller_001", "BTCUSDT") == "position:shortseller_001:BTCUSDT"
    assert bot_key("shortseller_001") == "bot:shortseller_001"
    assert price_key("BTCUSDT") == "price:BTCUSDT"
    assert events_channel("shortseller_001") == "events:shortseller_001"


async def test_t23_what_the_desk_writes_is_what_a_reader_reads(valkey: LocalValkey) -> None:
    """Keys and values of writer and readers are one."""
    async with open_scene(valkey.url) as scene:
        await scene.well()
        [item] = scene.runtime.view().positions
        position = held(valkey)
        assert position.qty == item.position.quantity < 0
        assert position.avg_price == item.position.average_price
        assert position.unrealised_pnl == item.unrealized
        assert position.epoch == scene.runtime.epoch
        assert not is_stale(position, position.ts + STALE_MS)
        assert is_stale(position, position.ts + STALE_MS + 1)

        flat = held(valkey, ETH)
        assert (flat.qty, flat.avg_price, flat.last_exec_id) == (0, None, "")

        bot = read(MirroredBot, str(valkey.read.get(bot_key(BOT))))
        [account] = scene.runtime.view().accounts
        assert (bot.balance, bot.equity) == (account.ledger.balance, account.equity)
        assert (bot.status, bot.symbols, bot.trades) == ("active", (BTC, ETH), 1)

        price = read(MirroredPrice, str(valkey.read.get(price_key(BTC))))
        assert price.price == Decimal(str(scene.runtime.view().prices[BTC]))
        raw = json.loads(str(valkey.read.get(position_key(BOT, BTC))))
        assert {"qty", "avg_price", "unrealised_pnl", "ts"} <= raw.keys()
        assert all(isinstance(raw[name], str) for name in ("qty", "avg_price", "unrealised_pnl"))


async def test_a_reader_refuses_what_no_desk_wrote() -> None:
    for text in ("", "null", '{"qty": "much"}', '{"qty": "1"}'):
        with pytest.raises(ValueError, match="validation error"):
            read(MirroredPosition, text)


async def test_the_last_fill_is_known_after_a_restart(valkey: LocalValkey) -> None:
    market, store = busy_market(), MemoryStore()
    first, _ = await build(market, store)
    running = asyncio.create_task(first.run())
    await first.until_caught_up()
    first.stop()
    await running
    fills = await store.recent(Fill)

    runtime, _ = await build(market, store)
    mirror = Mirror(valkey.url, runtime.view, store, runtime.epoch, FastClock(RATE))
    mirroring = asyncio.create_task(mirror.run())
    await until(lambda: mirror.condition()[0])
    assert held(valkey).last_exec_id == fills[-1].exec_id
    assert held(valkey).epoch == runtime.epoch > 1
    mirroring.cancel()
    with suppress(asyncio.CancelledError):
        await mirroring


async def test_what_happens_is_told_to_whoever_listens(valkey: LocalValkey) -> None:
    listening = valkey.read.pubsub()
    listening.subscribe(events_channel(BOT))
    assert listening.get_message(timeout=DEADLINE_S)["type"] == "subscribe"
    async with open_scene(valkey.url) as scene:
        await scene.well()
        before = held(valkey)
        more_bars(scene.market)
        await until(lambda: held(valkey).last_exec_id != before.last_exec_id)
        heard: list[dict[str, object]] = []
        missing = {"order", "fill", "trade", "decision", held(valkey).last_exec_id}
        while missing:
            message = listening.get_message(timeout=DEADLINE_S)
            assert message, f"never heard of {missing}"
            heard.append(json.loads(message["data"]))
            missing -= {heard[-1]["kind"], heard[-1].get("exec_id")}
    assert all(each["epoch"] == scene.runtime.epoch and each["commit"] for each in heard)
    listening.close()


async def test_what_nobody_keeps_up_goes_by_itself(valkey: LocalValkey) -> None:
    async with open_scene(valkey.url) as scene:
        await scene.well()
    keys = list(valkey.read.scan_iter("*"))
    assert len(keys) == 5
    assert all(0 < int(str(valkey.read.ttl(key))) <= cache.EXPIRES_S for key in keys)


# -- when it fails -----------------------------------------------------------------------


async def test_flushed_or_changed_by_others_it_is_written_anew(valkey: LocalValkey) -> None:
    async with open_scene(valkey.url) as scene:
        await scene.well()
        true = held(valkey)
        valkey.read.set(position_key(BOT, BTC), '{"qty": "1000000"}')
        valkey.read.delete(bot_key(BOT))
        await until(lambda: valkey.read.exists(bot_key(BOT)))
        assert held(valkey).qty == true.qty
        assert "2 were changed or removed there" in scene.mirror.condition()[1]
        valkey.read.flushall()
        await until(lambda: valkey.read.dbsize() == 5)


async def test_stopped_and_started_again_it_has_everything(valkey: LocalValkey) -> None:
    async with open_scene(valkey.url) as scene:
        await scene.well()
        before = held(valkey)
        valkey.stop()
        more_bars(scene.market)
        await until(lambda: not scene.mirror.condition()[0])
        assert scene.mirror.condition()[1].startswith("not written: ")
        await until(lambda: scene.market.caught_up)
        valkey.start()
        await scene.well()
        assert held(valkey).last_exec_id not in ("", before.last_exec_id)


async def test_a_redis_that_hangs_holds_nobody_up(
    valkey: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "TIMEOUT_S", 0.2)
    async with open_scene(valkey.url) as scene:
        await scene.well()
        valkey.pause()
        trades = scene.runtime.view().accounts[0].ledger.trades
        more_bars(scene.market)
        await until(lambda: scene.runtime.view().accounts[0].ledger.trades > trades)
        await until(lambda: not scene.mirror.condition()[0])
        valkey.go_on()
        await scene.well()
        valkey.pause()
    # The desk has ended while it hung.


async def test_events_that_nobody_can_be_told_are_counted(valkey: LocalValkey) -> None:
    async with open_scene(valkey.url) as scene:
        await scene.well()
        valkey.stop()
        fills = await scene.runtime._store.recent(Fill)
        scene.mirror.on_commit(Commit(1, facts=[*fills] * cache.EVENTS_MAX))
        await until(lambda: scene.mirror.lost_events >= len(fills) * cache.EVENTS_MAX)
        valkey.start()
        await scene.well()
        assert "events told to nobody" in scene.mirror.condition()[1]


@pytest.mark.parametrize(
    "nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n", b"*9\r\n", b"+OK\r\n", b""]
)
async def test_what_is_no_redis_is_nobody_s_trouble(nonsense: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(nonsense)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_scene(f"redis://127.0.0.1:{port}/0") as scene:
        tries = scene.mirror
        await until(lambda: "not reached yet" not in tries.condition()[1])
        assert not tries.condition()[0]


async def test_a_wrong_password_is_told_and_not_shown(valkey: LocalValkey) -> None:
    valkey.read.config_set("requirepass", "right-password")
    url = f"redis://:wrong-password@127.0.0.1:{valkey.port}/0"
    async with open_scene(url) as scene:
        await until(lambda: "not reached yet" not in scene.mirror.condition()[1])
        well, words = scene.mirror.condition()
    assert not well
    assert "password" in words
    assert "wrong-password" not in words


async def test_without_a_redis_it_is_kept_in_memory() -> None:
    async with open_scene("") as scene:
        await scene.well()
        assert scene.mirror.condition() == (
            True,
            "5 keys in memory, where nobody else reads them (REDIS_URL)",
        )


async def test_it_ends_when_told_to_whatever_its_library_makes_of_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stubborn(cache._Memory):
        async def write(self, *what: object) -> None:
            writing.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise Unreachable("closed") from None

    writing = asyncio.Event()
    monkeypatch.setattr(cache, "open_keeper", lambda url: Stubborn())
    runtime, _ = await build(busy_market())
    mirror = Mirror("", runtime.view, MemoryStore(), 1, FastClock(RATE))
    mirroring = asyncio.create_task(mirror.run())
    await writing.wait()
    mirroring.cancel()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait([mirroring])
    assert mirroring.cancelled()


# -- and no order differs ----------------------------------------------------------------


def restless() -> list[list[Candle]]:
    """Random ups and downs that make dozens of trades, in pieces."""
    rng = Random(5)
    legs = [(rng.randint(20, 90), rng.uniform(-60, 60)) for _ in range(80)]
    bars = course(100_000.0, [(300, 1.0), *legs])
    return [bars[start : start + 200] for start in range(0, len(bars), 200)]


def disturb(server: LocalValkey, place: int) -> None:
    """Lie, flush, hang, go away, in turn."""
    match place % 5:
        case 0:
            lie = json.dumps({"qty": "7", "avg_price": "1", "unrealised_pnl": "0", "ts": 1})
            for key in (position_key(BOT, BTC), bot_key(BOT), price_key(BTC)):
                server.read.set(key, lie)
        case 1:
            server.read.flushall()
        case 2:
            server.pause()
        case 3:
            server.go_on()
            server.stop()
        case 4:
            server.start()


async def test_the_same_orders_with_and_without_it(
    valkey: LocalValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "TIMEOUT_S", 0.05)

    async def fills(url: str, *, disturbed: bool) -> list[Fill]:
        first, *pieces = restless()
        market = LiveMarket({BTC: first})
        async with open_scene(url, market) as scene:
            await scene.well()
            for place, piece in enumerate(pieces):
                if disturbed:
                    disturb(valkey, place)
                market.tell(BTC, *piece)
                await until(lambda: market.caught_up)
                await scene.runtime.until_caught_up()
                if disturbed and place % 5 == 3:
                    await until(lambda: not scene.mirror.condition()[0])
            return await scene.runtime._store.recent(Fill)

    alone = await fills("", disturbed=False)
    mirrored = await fills(valkey.url, disturbed=True)
    assert len(alone) > 10
    assert mirrored == alone
