"""Bybit's public REST, through pybit on a thread of its own; what comes back are our nouns.

pybit blocks and would sleep on its own account, so its retries are off: the pace, the waits
and the errors are ours.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import structlog

from engine.bybit import parse
from engine.bybit.parse import Fields, Ticker
from engine.candle import Candle
from engine.errors import BadInput, Unreachable
from engine.instrument import Instrument
from engine.pace import Pace
from engine.ports import Clock

if TYPE_CHECKING:
    from pybit.unified_trading import HTTP  # type: ignore[import-untyped]  # it has no types

CATEGORY = "linear"
# Bybit allows an address 600 requests in 5 s; other programs may share the address.
REQUESTS = 300
REQUESTS_S = 5.0
# A desk that is told to end has 10 s; a request that hangs holds it up no longer than this.
TIMEOUT_S = 5.0
KLINES_PAGE = 1_000
INSTRUMENTS_PAGE = 1_000
FUNDING_PAGE = 200
# Bybit has about 700 linear contracts.
PAGES_MAX = 100
# The last trades of a bar may reach REST a moment after its end.
SETTLED_MS = 1_000
# Times a request is sent that is refused for coming too often.
ATTEMPTS = 4
# Waits after such a refusal when it does not say how long, and at most.
HELD_S = 2.0
HELD_MIN_S = 0.1
HELD_MAX_S = 10.0
# What Bybit asks for after HTTP 403.
BANNED_S = 600.0
# Measurements of the server's clock that are kept.
OFFSETS = 9

TOO_MANY = frozenset({10_006, 10_429, 429})
RESET_HEADER = "X-Bapi-Limit-Reset-Timestamp"

Query = Mapping[str, str | int]

log = structlog.get_logger()


class _Answer(NamedTuple):
    """A body with Bybit's code 0, and when it was asked for and came, by our clock."""

    body: object
    sent: int
    received: int


@dataclass(eq=False)
class _Refusal(Exception):
    """An answer that is an error: `status` is Bybit's code, or HTTP's where `http` is set."""

    status: int
    http: bool
    message: str
    headers: Mapping[str, str]


class BybitRest:
    """The public endpoints of one server, e.g. `https://api.bybit.com`.

    Each method raises Unreachable when there is no usable answer. Bybit's budget is for the
    whole address, so that all who call it from here should share one `pace`.
    """

    def __init__(
        self, base: str, clock: Clock, pace: Pace, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._base = base.rstrip("/")
        self._clock = clock
        self._pace = pace
        self._timeout_s = timeout_s
        self._worker = ThreadPoolExecutor(1, "bybit-rest")
        self._http: HTTP | None = None
        self._offsets: deque[int] = deque(maxlen=OFFSETS)
        self._held_until = 0.0
        self._banned_until = 0.0

    @property
    def offset_ms(self) -> int:
        """How far Bybit's clock is ahead of ours: the median of the last measurements."""
        return round(median(self._offsets)) if self._offsets else 0

    async def server_time(self) -> int:
        """Bybit's time in UTC ms; measures `offset_ms` on the way."""
        answer = await self._ask("get_server_time", {})
        try:
            result = parse.fields(parse.fields(answer.body).get("result"))
            server = parse.stamp(result.get("timeNano")) // 1_000_000
        except ValueError as error:
            raise _unusable(error) from error
        self._offsets.append(server - (answer.sent + answer.received) // 2)
        return server

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
            raise _unusable(error) from error

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
            raise _unusable(error) from error

    async def tickers(self, symbols: Iterable[str]) -> dict[str, Ticker]:
        """The last prices of those of `symbols` that Bybit has."""
        result = await self._result("get_tickers", {})
        try:
            rows = _by_symbol(result, frozenset(symbols))
            return {symbol: parse.ticker(row) for symbol, row in rows.items()}
        except ValueError as error:
            raise _unusable(error) from error

    async def funding_rates(self, symbol: str, start: int, end: int) -> dict[int, Decimal]:
        """The rates settled from `start` to `end` (both included), by their stamps."""
        found: dict[int, Decimal] = {}
        query: Query = {"symbol": symbol, "startTime": start, "limit": FUNDING_PAGE}
        for _ in range(PAGES_MAX):
            result = await self._result("get_funding_rate_history", {**query, "endTime": end})
            try:
                page = parse.funding(result.get("list"))
            except ValueError as error:
                raise _unusable(error) from error
            found |= page
            if len(page) < FUNDING_PAGE or min(page) <= start:
                break
            end = min(page) - 1
        return {stamp: rate for stamp, rate in found.items() if stamp >= start}

    def close(self) -> None:
        """Let the connections and the thread go; a request on its way is not waited for."""
        self._worker.submit(self._disconnect)
        self._worker.shutdown(wait=False)

    def _disconnect(self) -> None:
        if self._http is not None:
            self._http.client.close()

    # -- asking ------------------------------------------------------------------------------

    async def _result(self, method: str, query: Query) -> Fields:
        answer = await self._linear(method, query)
        try:
            return parse.fields(parse.fields(answer.body).get("result"))
        except ValueError as error:
            raise _unusable(error) from error

    async def _linear(self, method: str, query: Query) -> _Answer:
        return await self._ask(method, {"category": CATEGORY, **query})

    async def _ask(self, method: str, query: Query) -> _Answer:
        """Send a request within the budget; again when it is refused for coming too often."""
        loop = asyncio.get_running_loop()
        for _ in range(ATTEMPTS):
            await self._permission()
            try:
                return await loop.run_in_executor(self._worker, self._call, method, query)
            except _Refusal as refusal:
                if refusal.status not in TOO_MANY:
                    raise self._error(refusal, query) from refusal
                self._hold(refusal)
        raise Unreachable("Bybit refuses our requests as too many.")

    async def _permission(self) -> None:
        """Return when a request may be sent; raises Unreachable while none may for long."""
        while (left := self._held_until - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
        if self._banned_until > self._clock.monotonic():
            raise self._banned()
        await self._pace.wait()

    def _hold(self, refusal: _Refusal) -> None:
        """Keep all requests back until Bybit counts anew."""
        try:
            reset = parse.stamp(refusal.headers.get(RESET_HEADER))
            wait = (reset - self._clock.now() - self.offset_ms) / 1000
        except ValueError:
            wait = HELD_S
        wait = min(max(wait, HELD_MIN_S), HELD_MAX_S)
        log.warning("bybit: too many requests, waiting", wait_s=wait)
        self._held_until = self._clock.monotonic() + wait

    def _error(self, refusal: _Refusal, query: Query) -> Exception:
        match refusal:
            case _Refusal(status=403, http=True):
                self._banned_until = self._clock.monotonic() + BANNED_S
                return self._banned()
            case _Refusal(status=10_001) if "symbol" in query:
                allowed = f"a linear contract of Bybit's (it said: {refusal.message})"
                return BadInput("symbol", query["symbol"], allowed)
            case _:
                kind = "HTTP " if refusal.http else ""
                return Unreachable(f"Bybit answered {kind}{refusal.status}: {refusal.message}")

    def _banned(self) -> Unreachable:
        left = self._banned_until - self._clock.monotonic()
        return Unreachable(
            "Bybit has shut this address out (HTTP 403: too many requests, or a country it does "
            f"not serve). Nothing is sent to it for {left / 60:.0f} min."
        )

    def _call(self, method: str, query: Query) -> _Answer:
        """Runs on the worker's thread, the only one that touches pybit."""
        from pybit.exceptions import (  # type: ignore[import-untyped]  # it has no types
            FailedRequestError,
            InvalidRequestError,
        )

        http = self._http = self._http or self._connect()
        sent = self._clock.now()
        try:
            body, _, _ = getattr(http, method)(**query)
        except (FailedRequestError, InvalidRequestError) as error:
            of_http = isinstance(error, FailedRequestError)
            headers = error.resp_headers or {}
            raise _Refusal(error.status_code, of_http, error.message, headers) from error
        except OSError as error:
            raise Unreachable(f"Bybit does not answer ({type(error).__name__}).") from error
        # Over an answer that is no object, or lacks its fields, pybit stumbles.
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise Unreachable(f"Bybit's answer makes no sense: {error!r}") from error
        return _Answer(body, sent, self._clock.now())

    def _connect(self) -> "HTTP":
        from pybit.unified_trading import HTTP

        http = HTTP(
            timeout=self._timeout_s,
            max_retries=1,
            retry_codes={-1},
            force_retry=False,
            return_response_headers=True,
        )
        http.endpoint = self._base
        http.client.trust_env = False
        return http


def _by_symbol(result: Fields, wanted: frozenset[str]) -> dict[str, Fields]:
    rows = map(parse.fields, parse.items(result.get("list")))
    return {str(row.get("symbol")): row for row in rows if row.get("symbol") in wanted}


def _unusable(error: ValueError) -> Unreachable:
    return Unreachable(f"Bybit's answer makes no sense: {error}")
