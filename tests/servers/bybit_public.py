"""Public REST of the local Bybit."""

from collections.abc import Callable

from aiohttp import web

from engine.bybit.parse import INTERVALS
from engine.candle import Candle
from tests.servers.bybit_answers import fail
from tests.servers.bybit_prices import FUNDING_MS, funding_at
from tests.servers.bybit_rules import Rules
from tests.servers.bybit_world import OTHERS, World

LENGTHS = {name: length for length, name in INTERVALS.items()}

Query = dict[str, str]
Result = dict[str, object]


class PublicRest:
    """`page` is how many contracts `instruments-info` tells at a time."""

    def __init__(self, world: World, page: int) -> None:
        self._world = world
        self._page = page

    def add_to(self, app: web.Application) -> None:
        for name, handler in {
            "time": self._time,
            "kline": self._kline,
            "instruments-info": self._instruments,
            "tickers": self._tickers,
            "funding/history": self._funding,
        }.items():
            app.router.add_get(f"/v5/market/{name}", self._serve(handler))

    def _serve(self, handler: Callable[[Query], Result | str]) -> Callable[..., object]:
        async def serve(request: web.Request) -> web.StreamResponse:
            world, query = self._world, dict(request.query)
            world.log_request(request.path, query)
            if world.spec:
                world.spec.check_request(request.path, query)
            if fault := world.faults.rest(request.path):
                return await fail(world, request, fault)
            result = handler(query)
            if isinstance(result, str):
                return web.json_response(world.body(10_001, result, {}))
            body = world.body(0, "OK", result)
            if world.spec:
                world.spec.check_answer(request.path, body)
            return web.json_response(body)

        return serve

    def _time(self, query: Query) -> Result:
        now = self._world.now()
        return {"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}

    def _kline(self, query: Query) -> Result | str:
        symbol, interval = query["symbol"], LENGTHS[query["interval"]]
        if symbol not in self._world.symbols:
            return "params error: symbol invalid"
        now, limit = self._world.now(), int(query.get("limit", 200))
        last = min(int(query.get("end", now)), now) // interval * interval
        first = -(-int(query.get("start", 0)) // interval) * interval
        opens = range(last, max(first, last - limit * interval + 1) - 1, -interval)
        rows = [[*map(str, candle), "1.5"] for candle in self._candles(symbol, interval, opens)]
        if rows and int(rows[0][0]) + interval > now:
            rows[0][4], rows[0][5] = rows[0][3], "0.001"
        return {"symbol": symbol, "category": query["category"], "list": rows}

    def _candles(self, symbol: str, interval: int, opens: range) -> list[Candle]:
        absent = self._world.faults.absent
        there = (ts for ts in opens if not absent(symbol, ts))
        found = (candle_now(self._world, symbol, interval, ts) for ts in there)
        return [candle for candle in found if candle is not None]

    def _instruments(self, query: Query) -> Result:
        """Those asked for in pages, with many others before and after them."""
        size = min(int(query.get("limit", 500)), self._page)
        names = [*OTHERS, *self._world.symbols, *self._world.untradable]
        start = int(query.get("cursor", "0"))
        after = start + size
        return {
            "category": "linear",
            "list": [self._rules(symbol).row() for symbol in names[start:after]],
            "nextPageCursor": str(after) if after < len(names) else "",
        }

    def _rules(self, symbol: str) -> Rules:
        status = self._world.untradable.get(symbol, "Trading")
        return self._world.rules.get(symbol) or Rules(symbol, status)

    def _tickers(self, query: Query) -> Result:
        names = [*self._world.symbols, *self._world.untradable]
        rows = [{**ticker(self._world, s), "basis": "", "basisRate": ""} for s in names]
        for row in rows:
            del row["tickDirection"]
        return {"category": "linear", "list": rows}

    def _funding(self, query: Query) -> Result | str:
        if "startTime" in query and "endTime" not in query:
            return "params error: endTime is required"
        symbol, limit, now = query["symbol"], int(query.get("limit", 200)), self._world.now()
        last = min(int(query.get("endTime", now)), now) // FUNDING_MS * FUNDING_MS
        first = max(int(query.get("startTime", 0)), last - (limit - 1) * FUNDING_MS)
        rows = [
            {
                "symbol": symbol,
                "fundingRate": funding_at(symbol, stamp),
                "fundingRateTimestamp": str(stamp),
            }
            for stamp in range(last, first - 1, -FUNDING_MS)
        ]
        return {"category": "linear", "list": rows}


def candle_now(world: World, symbol: str, interval: int, ts: int) -> Candle | None:
    """A candle as it is by now: one that has just opened has seen no price but the last."""
    now = world.now()
    candle = world.prices.candle(symbol, interval, ts)
    if candle is None and ts <= now < ts + interval:
        price = float(world.prices.last(symbol, now))
        return Candle(ts, price, price, price, price, 0.0)
    return candle


def ticker(world: World, symbol: str) -> Result:
    """What a ticker says in full."""
    now = world.now()
    price = f"{world.prices.last(symbol, now):.2f}"
    stamp = (now // FUNDING_MS + 1) * FUNDING_MS
    same = dict.fromkeys(
        ["lastPrice", "prevPrice24h", "highPrice24h", "lowPrice24h", "prevPrice1h",
         "indexPrice", "bid1Price", "ask1Price"], price
    )  # fmt: skip
    return {
        "symbol": symbol, "tickDirection": "PlusTick", "price24hPcnt": "0.01", **same,
        "markPrice": f"{world.prices.mark(symbol, now):.2f}",
        "openInterest": "1000.5", "openInterestValue": "1000000.00",
        "turnover24h": "2400000000.5", "volume24h": "91705.276", "bid1Size": "84.489",
        "ask1Size": "83.020", "nextFundingTime": str(stamp),
        "fundingRate": funding_at(symbol, stamp), "fundingIntervalHour": "8",
    }  # fmt: skip
