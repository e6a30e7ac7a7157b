"""Bybit's public REST; what comes back are our nouns."""

from collections.abc import Iterable
from decimal import Decimal

import structlog

from engine.bybit import parse
from engine.bybit.address import Address
from engine.bybit.codes import SHUT_OUT, Meaning, meaning
from engine.bybit.parse import Fields, Ticker
from engine.bybit.request import CATEGORY
from engine.bybit.wire import (
    TIMEOUT_S,
    Answer,
    NoAnswer,
    Query,
    Refusal,
    ServerClock,
    Wire,
    held_s,
    unusable,
)
from engine.candle import Candle
from engine.errors import BadInput, Unreachable
from engine.instrument import Instrument
from engine.ports import Clock

KLINES_PAGE = 1_000
INSTRUMENTS_PAGE = 1_000
FUNDING_PAGE = 200
# Bybit has about 700 linear contracts.
PAGES_MAX = 100
# The last trades of a bar may reach REST a moment after its end.
SETTLED_MS = 1_000
# Times a request is sent that is refused for coming too often.
ATTEMPTS = 4
NOT_VALID = 10_001

log = structlog.get_logger()


class BybitRest:
    """The public endpoints of one server, e.g. `https://api.bybit.com`.

    Each method raises Unreachable when there is no usable answer. Bybit's budget is for the
    whole address, so that all who call it from here should share one.
    """

    def __init__(
        self, base: str, clock: Clock, address: Address, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._clock = clock
        self._address = address
        self._wire = Wire(base, clock, "bybit-rest", timeout_s)
        self._server = ServerClock(clock)
        self._held_until = 0.0

    @property
    def offset_ms(self) -> int:
        """How far Bybit's clock is ahead of ours: the median of the last measurements."""
        return self._server.offset_ms

    async def server_time(self) -> int:
        """Bybit's time in UTC ms; measures `offset_ms` on the way."""
        answer = await self._ask("get_server_time", {})
        try:
            return self._server.measure(answer)
        except ValueError as error:
            raise unusable(error) from error

    async def klines(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """The candles of `interval` ms that open from `start` to before `end`, oldest first.

        Only those that had closed by Bybit's own time are among them. Raises BadInput for an
        interval or a symbol that Bybit does not have.
        """
        found: dict[int, Candle] = {}
        width = KLINES_PAGE * interval
        first = start - start % interval
        for page in range(first, end, width):
            last = min(page + width, end) - 1
            found |= await self._klines_page(symbol, interval, page, last)
        return [found[ts] for ts in sorted(found) if start <= ts < end]

    async def _klines_page(
        self, symbol: str, interval: int, start: int, last: int
    ) -> dict[int, Candle]:
        name = parse.interval_name(interval)
        query: Query = {"symbol": symbol, "interval": name, "start": start, "end": last}
        answer = await self._linear("get_kline", {**query, "limit": KLINES_PAGE})
        try:
            body = parse.fields(answer.body)
            closed = parse.stamp(body.get("time")) - SETTLED_MS
            rows = parse.items(parse.fields(body.get("result")).get("list"))
            candles = map(parse.candle, rows)
            return {c.ts: c for c in candles if c.ts % interval == 0 and c.ts + interval <= closed}
        except ValueError as error:
            raise unusable(error) from error

    async def instruments(self, symbols: Iterable[str]) -> dict[str, Instrument]:
        """The rules of those of `symbols` that are traded now."""
        wanted = frozenset(symbols)
        tickers = await self.tickers(wanted)
        rows: dict[str, Fields] = {}
        query: dict[str, str | int] = {"limit": INSTRUMENTS_PAGE}
        for _ in range(PAGES_MAX):
            result = await self._result("get_instruments_info", query)
            rows |= _by_symbol(result, wanted)
            cursor = result.get("nextPageCursor")
            if not cursor or wanted <= rows.keys():
                break
            query["cursor"] = str(cursor)
        try:
            return {
                symbol: parse.instrument(row, tickers[symbol].turnover or Decimal(0))
                for symbol, row in rows.items()
                if row.get("status") == "Trading" and symbol in tickers
            }
        except ValueError as error:
            raise unusable(error) from error

    async def tickers(self, symbols: Iterable[str]) -> dict[str, Ticker]:
        """The last prices of those of `symbols` that Bybit has."""
        result = await self._result("get_tickers", {})
        try:
            rows = _by_symbol(result, frozenset(symbols))
            return {symbol: parse.ticker(row) for symbol, row in rows.items()}
        except ValueError as error:
            raise unusable(error) from error

    async def funding_rates(self, symbol: str, start: int, end: int) -> dict[int, Decimal]:
        """The rates settled from `start` to `end` (both included), by their stamps."""
        found: dict[int, Decimal] = {}
        query: Query = {"symbol": symbol, "startTime": start, "limit": FUNDING_PAGE}
        for _ in range(PAGES_MAX):
            result = await self._result("get_funding_rate_history", {**query, "endTime": end})
            try:
                page = parse.funding(result.get("list"))
            except ValueError as error:
                raise unusable(error) from error
            found |= page
            if len(page) < FUNDING_PAGE or min(page) <= start:
                break
            end = min(page) - 1
        return {stamp: rate for stamp, rate in found.items() if stamp >= start}

    def close(self) -> None:
        """Let the connections and the thread go; a request on its way is not waited for."""
        self._wire.close()

    # -- asking ------------------------------------------------------------------------------

    async def _result(self, method: str, query: Query) -> Fields:
        answer = await self._linear(method, query)
        try:
            return parse.fields(parse.fields(answer.body).get("result"))
        except ValueError as error:
            raise unusable(error) from error

    async def _linear(self, method: str, query: Query) -> Answer:
        return await self._ask(method, {"category": CATEGORY, **query})

    async def _ask(self, method: str, query: Query) -> Answer:
        """Send a request within the budget; again when it is refused for coming too often."""
        for _ in range(ATTEMPTS):
            await self._permission()
            try:
                return await self._wire.send(method, query)
            except NoAnswer as lost:
                raise Unreachable(lost.reason) from lost
            except Refusal as refusal:
                if refusal.status == SHUT_OUT and refusal.http:
                    raise self._address.ban() from refusal
                if meaning(refusal.status, http=refusal.http) is not Meaning.BUSY:
                    raise _error(refusal, query) from refusal
                wait = held_s(refusal.headers, self._server.now())
                log.warning("bybit: too many requests, waiting", wait_s=wait)
                self._held_until = self._clock.monotonic() + wait
        raise Unreachable("Bybit refuses our requests as too many.")

    async def _permission(self) -> None:
        """Return when a request may be sent; raises Unreachable while none may for long."""
        while (left := self._held_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        self._address.check()
        await self._address.pace.wait()


def _error(refusal: Refusal, query: Query) -> Exception:
    if refusal.status == NOT_VALID and "symbol" in query:
        allowed = f"a linear contract of Bybit's (it said: {refusal.message})"
        return BadInput("symbol", query["symbol"], allowed)
    kind = "HTTP " if refusal.http else ""
    return Unreachable(f"Bybit answered {kind}{refusal.status}: {refusal.message}")


def _by_symbol(result: Fields, wanted: frozenset[str]) -> dict[str, Fields]:
    rows = map(parse.fields, parse.items(result.get("list")))
    return {str(row.get("symbol")): row for row in rows if row.get("symbol") in wanted}
