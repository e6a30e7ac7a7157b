"""The local Bybit read by ccxt: a client that shares neither code nor ideas with ours."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt.async_support as ccxt

from engine.candle import DAY_MS
from tests.servers.bybit import ApiKey, BybitServer

# Bybit tells of at most seven days at once, and ccxt of one hundred pages.
WINDOW_MS = 7 * DAY_MS
PAGES = 100
SIGNS = {"long": 1, "short": -1}

Row = tuple[object, ...]
Fetch = Callable[..., Awaitable[list[dict[str, Any]]]]


class SecondClient:
    """What ccxt reads of an account from `since` to `until` (UTC ms); all numbers are exact."""

    def __init__(self, exchange: ccxt.bybit, since: int, until: int) -> None:
        self._exchange = exchange
        self._since = since
        self._until = until

    async def balance(self) -> Decimal:
        """The USDT in the wallet, without open profits."""
        return Decimal((await self._exchange.fetch_balance())["USDT"]["total"])

    async def positions(self) -> dict[str, Decimal]:
        """Signed sizes by symbol."""
        found = await self._exchange.fetch_positions()
        return {p["info"]["symbol"]: SIGNS[p["side"]] * Decimal(p["contracts"]) for p in found}

    async def trades(self, symbols: Iterable[str]) -> list[Row]:
        """Execution, order, side, price, amount and fee of all trades; ccxt has to be asked for
        those of a deleveraging."""
        fetch = self._exchange.fetch_my_trades
        kinds = ({}, {"execType": "AdlTrade"})
        found = [t for s in symbols for kind in kinds for t in await self._all(fetch, s, **kind)]
        return sorted(
            (
                t["id"], t["order"], t["side"], Decimal(t["price"]), Decimal(t["amount"]),
                Decimal(t["fee"]["cost"]),
            )
            for t in found
        )  # fmt: skip

    async def payments(self, symbols: Iterable[str]) -> list[Row]:
        """Symbol, time and amount of all funding; the amount is positive when paid."""
        fetch = self._exchange.fetch_funding_history
        found = [(s, p) for s in symbols for p in await self._all(fetch, s)]
        return sorted((s, p["timestamp"], Decimal(p["amount"])) for s, p in found)

    async def filled(self, symbols: Iterable[str]) -> dict[str, Decimal]:
        """How much was filled of each order that has a link id and is over."""
        fetch = self._exchange.fetch_canceled_and_closed_orders
        found = [o for s in symbols for o in await self._all(fetch, s)]
        ours = (o for o in found if o["clientOrderId"] and Decimal(o["filled"]))
        return {o["clientOrderId"]: Decimal(o["filled"]) for o in ours}

    async def _all(self, fetch: Fetch, symbol: str, **more: object) -> list[dict[str, Any]]:
        market = self._exchange.markets_by_id[symbol][0]["symbol"]
        return [
            row
            for start, end in self._windows()
            for row in await fetch(
                market,
                start,
                None,
                {"paginate": True, "paginationCalls": PAGES, "until": end, **more},
            )
        ]

    def _windows(self) -> Iterator[tuple[int, int]]:
        for start in range(self._since, self._until + 1, WINDOW_MS):
            yield start, min(start + WINDOW_MS - 1, self._until)


@asynccontextmanager
async def second_client(
    server: BybitServer, key: ApiKey, since: int
) -> AsyncIterator[SecondClient]:
    """ccxt, logged in with a key; it reads from `since` (UTC ms) until now."""
    options = {"adjustForTimeDifference": True, "fetchMarkets": {"types": ["linear"]}}
    exchange = ccxt.bybit({"apiKey": key.key, "secret": key.secret, "options": options})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], server.rest_base)
    exchange.has["fetchCurrencies"] = False
    exchange.number = str
    exchange.enableRateLimit = False
    try:
        await exchange.load_markets()
        yield SecondClient(exchange, since, server.now())
    finally:
        await exchange.close()
