"""A Bybit for tests, over real HTTP and WebSocket: a market, accounts with keys, and a ledger.

    keys = [ApiKey("k", "s", uid="1001", balance=Decimal(10_000))]
    async with BybitServer(clock, accounts=keys).running() as server:
        http.endpoint = server.rest_base               # pybit, ccxt, or the desk's own client
        url = server.ws_base + "/v5/private"           # auth, subscribe: order, execution, ...
        server.trade("BTCUSDT", 100_500)               # a price of the test's own
        account = server.account("1001")               # the truth: orders, fills, sizes, wallet
        assert account.sizes == {"BTCUSDT": Decimal("0.01")}

Prices are a function of symbol and time until a test makes them, by `trade` for one price or
`feed` for a candle, which is played through all its prices, told on the public stream and served
as a kline; `load` gives it the past. Orders meet prices when they are made, on every beat, and
with every price of a test. A month is fed with a SteppedClock (bybit_clock.py), which both sides
share:

    server.load("BTCUSDT", past, 5 * MINUTE_MS)
    for candle in month:
        clock.step_to(candle.ts + 5 * MINUTE_MS)
        await server.feed("BTCUSDT", candle, 5 * MINUTE_MS)
        ...                                            # until the desk has done what it does

Faults are attributes of `faults` (bybit_faults.py), what the market takes of an order that of
`liquidity`. With a folder of recorded messages (`spec`) all that goes out and comes in is held to
them, see `violations`. The modules beside this one each hold one part of the server;
bybit_client.py has a client and a stream that tests can use.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random

from aiohttp import WSCloseCode, web

from engine.candle import Candle
from engine.ports import Clock
from tests.servers.bybit_auth import ApiKey, Keys
from tests.servers.bybit_book import Book
from tests.servers.bybit_faults import Call, Fate, Fault, Faults, Pushed, dice
from tests.servers.bybit_fills import Liquidity
from tests.servers.bybit_ledger import Account, Order
from tests.servers.bybit_prices import (
    FUNDING_MS,
    PRICES,
    SYMBOLS,
    candle_at,
    exact,
    funding_at,
    path,
    price_at,
)
from tests.servers.bybit_private import PrivateRest
from tests.servers.bybit_private_stream import PrivateStream
from tests.servers.bybit_public import LENGTHS, PublicRest
from tests.servers.bybit_public_stream import PublicStream, cut, send
from tests.servers.bybit_world import World

__all__ = [
    "FUNDING_MS", "LENGTHS", "PRICES", "SYMBOLS", "Account", "ApiKey", "BybitServer", "Call",
    "Fate", "Fault", "Faults", "Liquidity", "Pushed", "candle_at", "dice", "funding_at", "price_at",
]  # fmt: skip

Number = Decimal | float | int | str


class BybitServer:
    """Bybit on loopback; `clock` is its time, `symbols` what it lists, `accounts` its keys.

    `ticker_s` is how often prices move and streams speak, `seed` of all chance in it.
    """

    def __init__(
        self,
        clock: Clock,
        symbols: Iterable[str] = SYMBOLS,
        *,
        accounts: Iterable[ApiKey] = (),
        spec: Path | None = None,
        ticker_s: float = 1.0,
        page: int = 500,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self._world = World(clock, symbols, spec)
        keys = Keys(self._world, accounts)
        self._private = PrivateStream(self._world, keys)
        self.book = Book(
            self._world.rules, self._world.prices, self.now, Random(seed),
            self._private.hear, clock.monotonic,
        )  # fmt: skip
        self._private.book = self.book
        for key in keys.known.values():
            self.book.open_account(key.uid, key.balance)
        self._public_rest = PublicRest(self._world, page)
        self._public = PublicStream(self._world)
        self._private_rest = PrivateRest(self._world, self.book, keys, self._private.settle)
        self._ticker_s = ticker_s
        self._port = 0

    # -- what it is and what it saw ----------------------------------------------------------

    @property
    def rest_base(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_base(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    @property
    def symbols(self) -> tuple[str, ...]:
        return self._world.symbols

    @property
    def untradable(self) -> dict[str, str]:
        """Contracts that are listed but not traded, with their status."""
        return self._world.untradable

    @untradable.setter
    def untradable(self, contracts: dict[str, str]) -> None:
        self._world.untradable = contracts

    @property
    def faults(self) -> Faults:
        return self._world.faults

    @property
    def violations(self) -> list[str]:
        """What came in or went out that the recorded messages do not allow."""
        return self._world.spec.violations if self._world.spec else []

    @property
    def requests(self) -> "dict[str, int]":
        """How often each path was asked for."""
        return self._world.requests

    @property
    def queries(self) -> list[dict[str, str]]:
        """The parameters of every request, with its `path`."""
        return self._world.queries

    @property
    def connections(self) -> list[float]:
        """When each public stream was opened, in seconds of the clock."""
        return self._public.connections

    @property
    def private_connections(self) -> list[float]:
        """When each private stream was opened, in seconds of the clock."""
        return self._private.opened

    @property
    def subscriptions(self) -> list[list[str]]:
        return self._public.subscriptions

    @property
    def pings(self) -> int:
        return self._public.pings

    @property
    def private_pings(self) -> int:
        return self._private.pings

    @property
    def streams(self) -> int:
        """Public streams that are open."""
        return len(self._public.sockets)

    @property
    def private_streams(self) -> int:
        """Private streams that are open and subscribed to something."""
        return sum(bool(c.topics) for c in self._private.connections.values())

    def now(self) -> int:
        return self._world.now()

    def account(self, uid: str | None = None) -> Account:
        """The ledger of an account; of the only one there is without `uid`."""
        if uid is None:
            (uid,) = self.book.accounts
        return self.book.accounts[uid]

    # -- running -----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["BybitServer"]:
        """Serve while the context lasts."""
        app = web.Application()
        for part in (self._public_rest, self._public, self._private_rest, self._private):
            part.add_to(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = site._server.sockets[0].getsockname()[1]
        beat = asyncio.create_task(self._beat())
        try:
            yield self
        finally:
            beat.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beat
            self.drop()
            await self._private.close()
            await runner.cleanup()

    async def _beat(self) -> None:
        """Speak to the streams as time goes by: prices, open candles, and closes."""
        before = self.now()
        while True:
            await self.clock.sleep(self._ticker_s)
            now = self.now()
            self.tick(now)
            self._private.cut_idle()
            await self._public.speak(before, now)
            before = now

    def tick(self, now: int) -> None:
        """Settle the funding of the time that has passed, and let the prices of now be met."""
        if not self.book.accounts:
            return
        self.book.pass_time(now)
        for symbol in self.symbols:
            if not self._world.prices.is_scripted(symbol):
                self.book.visit(symbol)
        self._private.settle()

    # -- what a test does to it --------------------------------------------------------------

    def drop(self) -> None:
        """Cut every stream's TCP connection."""
        for socket in [*self._public.sockets, *self._private.connections]:
            cut(socket)

    async def close_streams(self, code: int = WSCloseCode.GOING_AWAY) -> None:
        for socket in [*self._public.sockets, *self._private.connections]:
            await socket.close(code=code)

    async def say(self, text: str) -> None:
        """Send every public stream a frame of the test's own."""
        for socket in list(self._public.sockets):
            await send(socket, text)

    async def say_privately(self, text: str) -> None:
        """Send every private stream a frame of the test's own."""
        for socket in list(self._private.connections):
            await send(socket, text)

    def restart(self) -> None:
        """All streams are cut, and `order/realtime` forgets the orders that ended."""
        self.drop()
        for account in self.book.accounts.values():
            account.recent.clear()

    @property
    def liquidity(self) -> Callable[[Order], Liquidity]:
        """How the market meets each order; may be set."""
        return self.book.fills.liquidity

    @liquidity.setter
    def liquidity(self, liquidity: Callable[[Order], Liquidity]) -> None:
        self.book.fills.liquidity = liquidity

    @property
    def cancel_race(self) -> Callable[[Order], bool]:
        """Which orders are filled in the very moment they are canceled; may be set."""
        return self.book.cancel_race

    @cancel_race.setter
    def cancel_race(self, race: Callable[[Order], bool]) -> None:
        self.book.cancel_race = race

    @property
    def rejection(self) -> Callable[[Order], str]:
        """Why an accepted order is rejected after all, nothing where it is not; may be set."""
        return self.book.rejection

    @rejection.setter
    def rejection(self, rejection: Callable[[Order], str]) -> None:
        self.book.rejection = rejection

    def price(self, symbol: str) -> Decimal:
        return self.book.last(symbol)

    def trade(self, symbol: str, price: Number, mark: Number | None = None) -> None:
        """Somebody trades at `price`; from now on the symbol has no prices but a test's."""
        self.book.jump(symbol, _decimal(price), None if mark is None else _decimal(mark))
        self._private.settle()

    def glide(self, symbol: str, price: Number) -> None:
        """The price goes to `price` and through everything between."""
        self.book.glide(symbol, _decimal(price))
        self._private.settle()

    def load(self, symbol: str, candles: Iterable[Candle], interval: int) -> None:
        """Candles of the past: served as klines, and the last close is the price."""
        for candle in candles:
            self._world.prices.keep(symbol, interval, candle)
            self._world.prices.say(symbol, exact(candle.close))

    async def feed(self, symbol: str, candle: Candle, interval: int) -> None:
        """Play a candle that closes now: open, then low and high, then close.

        Call it when the clock stands at the candle's close. Orders are met on the way; what
        happened is stamped with the time of the close.
        """
        self._world.prices.keep(symbol, interval, candle)
        opens, *others = path(candle)
        self.book.jump(symbol, exact(opens))
        for price in others:
            self.book.glide(symbol, exact(price))
        self.book.pass_time(self.now())
        self._private.settle()
        await self._public.feed(symbol, interval, candle.ts)

    def place_foreign(
        self, uid: str, symbol: str, side: str, qty: Number, price: Number | None = None,
        **fields: object,
    ) -> Order:  # fmt: skip
        """An order made in Bybit's app: without a link id. `fields` are those of the request."""
        body = {
            "symbol": symbol, "side": side, "qty": str(qty), **fields,
            **({"orderType": "Market"} if price is None
               else {"orderType": "Limit", "price": str(price)}),
        }  # fmt: skip
        account = self.account(uid)
        order = self.book.take(account, body)
        return self._match(account, order)

    def close_foreign(
        self, uid: str, symbol: str, qty: Number | None = None, idx: int = 0
    ) -> Order:
        """A position, or `qty` of it, closed in Bybit's app."""
        account = self.account(uid)
        position = account.position(symbol, idx)
        body = {
            "symbol": symbol, "side": position.exit_side, "orderType": "Market",
            "qty": str(abs(position.size) if qty is None else qty), "reduceOnly": True,
            "positionIdx": idx,
        }  # fmt: skip
        order = replace(self.book.take(account, body), create_type="CreateByClosing")
        account.enter(order)
        return self._match(account, order)

    def cancel_foreign(self, uid: str, order_id: str) -> None:
        """An order canceled in Bybit's app."""
        self.book.cancel(self.account(uid), order_id)
        self._private.settle()

    def _match(self, account: Account, order: Order) -> Order:
        self.book.match(account, order.order_id)
        self._private.settle()
        return account.orders[order.order_id]

    def liquidate(self, uid: str, symbol: str, idx: int = 0) -> None:
        """Take a position over at its bankruptcy price."""
        account = self.account(uid)
        self.book.fills.liquidate(account, account.position(symbol, idx))
        self._private.settle()

    def adl(self, uid: str, symbol: str, qty: Number, price: Number | None = None) -> None:
        """Auto-deleverage `qty` of a position, at the price of now where none is given."""
        self.force(uid, symbol, "AdlTrade", qty, price)

    def force(
        self, uid: str, symbol: str, kind: str, qty: Number, price: Number | None = None
    ) -> None:
        """Close `qty` of a position by an execution of any `kind`, such as `Delivery`, or one
        that Bybit has yet to invent."""
        account = self.account(uid)
        at = self.price(symbol) if price is None else _decimal(price)
        self.book.fills.force(account, account.position(symbol), _decimal(qty), at, kind)
        self._private.settle()

    def settle_funding(self, symbol: str, rate: Number = "0.0001") -> None:
        """Settle funding now, besides what is settled as the clock passes 0, 8 and 16 UTC."""
        self.book.settle(symbol, _decimal(rate), self.now())
        self._private.settle()

    def change_rules(self, symbol: str, **changes: object) -> None:
        """Change what an order has to keep to: the fields of Rules (bybit_rules.py)."""
        self._world.rules[symbol] = replace(self._world.rules[symbol], **changes)


def _decimal(number: Number) -> Decimal:
    return Decimal(str(number))
