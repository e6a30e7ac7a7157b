"""The live market: Bybit's candles and prices, by stream where it can be, else by REST."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import merge
from itertools import count, repeat
from math import inf
from random import Random

import structlog

from engine.bybit import parse
from engine.bybit.address import Address
from engine.bybit.parse import Ticker
from engine.bybit.rest import BybitRest
from engine.bybit.stream import (
    Connected,
    Disconnected,
    Message,
    Stream,
    StreamEvent,
    TopicRefused,
)
from engine.candle import HOUR_MS, Candle, aggregate, settled_before, timeframe_name
from engine.errors import BadInput, BadSettings, Unreachable
from engine.event import CandleClosed, MarketEvent
from engine.instrument import Instrument
from engine.market.live import SECOND_MS, Bar, LiveBars, LivePrices
from engine.ports import Clock, FeedHealth

STREAM_PATH = "/v5/public/linear"
# Where a symbol begins on its first run; the slowest strategy warms up in far less.
WARMUP_BARS = 1_000
# What Bybit's perpetuals settle every 8 hours while nobody is in a hurry.
FUNDING_RATE = Decimal("0.0001")
# Settled rates kept per symbol: a year and more of three a day.
RATES_KEPT = 2_000

BEAT_S = 1.0
# A closed candle that the stream has not brought by then is asked for by REST.
GRACE_MS = 3_000
# Older than this when it is handed out, a candle is too old to open a position on.
LATE_MS = 60_000
# Symbols wait this long for one that lacks a candle, then they go on without it.
PATIENCE_S = 30.0
# A candle that is neither told by stream nor by REST after this time does not exist.
ABSENT_MS = 600_000
# A message stamped further ahead of Bybit's clock is not believed.
FUTURE_MS = 60_000
# Bars asked for at a time, so that no symbol gets far ahead of the others.
CHUNK_BARS = 1_000
# How soon a candle is asked for again that REST does not have; that of a symbol which is quiet.
ASK_S = 1.0
ASK_QUIET_S = 30.0
# Waits between tries while REST is out of reach.
RETRY_S = 1.0
RETRY_MAX_S = 15.0
OPEN_RETRY_MAX_S = 60.0
MEASURE_S = 60.0
MEASUREMENTS_FIRST = 3
# Instruments' rules change; Bybit announces it on the day.
MEASURES_A_REFRESH = 60

log = structlog.get_logger()


@dataclass(slots=True)
class _Feed:
    """One symbol. It is `quiet` when Bybit has no candle for it where there should be one."""

    symbol: str
    bars: LiveBars
    prices: LivePrices
    rates: dict[int, Decimal] = field(default_factory=dict)
    rate: Decimal | None = None
    rate_at: int | None = None
    quiet: bool = False
    ask_at: float = 0.0

    def settle(self, rates: Mapping[int, Decimal]) -> None:
        self.rates |= rates
        while len(self.rates) > RATES_KEPT:
            del self.rates[min(self.rates)]


async def open_bybit(
    rest_base: str,
    ws_base: str,
    symbols: Sequence[str],
    interval: int,
    clock: Clock,
    rng: Random,
    *,
    warmup_bars: int = WARMUP_BARS,
    address: Address | None = None,
) -> "BybitMarket":
    """The market of those `symbols` that Bybit trades; waits until Bybit can be reached.

    The bases are such as `https://api.bybit.com` and `wss://stream.bybit.com`. A symbol that
    was never traded before begins `warmup_bars` back; `address` is shared with others who ask
    Bybit. Raises BadInput for an `interval` (ms) that Bybit does not have, BadSettings when it
    trades none of the symbols.
    """
    parse.interval_name(interval)
    rest = BybitRest(rest_base, clock, address or Address(clock))
    try:
        instruments = await _load(rest, symbols, clock)
        if not instruments:
            raise BadSettings(
                f"Bybit trades none of {', '.join(symbols)}. "
                "Allowed: its linear contracts, such as BTCUSDT."
            )
        stream_url = ws_base.rstrip("/") + STREAM_PATH
        return BybitMarket(
            rest, stream_url, symbols, instruments, interval, clock, rng, warmup_bars
        )
    except BaseException:
        rest.close()
        raise


async def _load(rest: BybitRest, symbols: Sequence[str], clock: Clock) -> dict[str, Instrument]:
    for attempt in count():
        try:
            for _ in range(MEASUREMENTS_FIRST):
                await rest.server_time()
            return await rest.instruments(symbols)
        except Unreachable as error:
            delay = min(RETRY_S * 2.0 ** min(attempt, 10), OPEN_RETRY_MAX_S)
            log.warning("bybit can't be reached, trying again", error=str(error), delay_s=delay)
            await clock.sleep(delay)
    raise AssertionError("count() has no end")


class BybitMarket:
    """Bybit's linear perpetuals, through the door `Market`; made by `open_bybit`.

    Prices come in only while `run` runs; `next` waits for what it brings. Candles are handed out
    by the time of their close, then in the order of the symbols, each once. A symbol that Bybit
    has no candles of, or all while REST is out of reach, are not waited for longer than
    PATIENCE_S; a symbol's own candles always come in order and without a hole.
    """

    name = "bybit"

    def __init__(
        self,
        rest: BybitRest,
        stream_url: str,
        symbols: Sequence[str],
        instruments: Mapping[str, Instrument],
        interval: int,
        clock: Clock,
        rng: Random,
        warmup_bars: int,
    ) -> None:
        self.symbols: Sequence[str] = tuple(s for s in symbols if s in instruments)
        self.interval = interval
        self.label = f"Bybit live prices, {timeframe_name(interval)}"
        self._rest = rest
        self._clock = clock
        self._instruments = dict(instruments)
        self._remarks = dict.fromkeys(
            f"{symbol} is not a linear contract that Bybit trades now; it is left out."
            for symbol in symbols
            if symbol not in instruments
        )
        self._feeds = {
            symbol: _Feed(symbol, LiveBars(interval), LivePrices(symbol)) for symbol in self.symbols
        }
        klines = f"kline.{parse.interval_name(interval)}"
        self._handlers = {f"{klines}.{symbol}": self._on_klines for symbol in self.symbols}
        self._handlers |= {f"tickers.{symbol}": self._on_ticker for symbol in self.symbols}
        self._stream = Stream(stream_url, tuple(self._handlers), clock, rng, self._hear)
        self._ready = asyncio.Event()
        self._work = asyncio.Event()
        self._connected = False
        self._connected_since: int | None = None
        self._reconnects = 0
        self._heard_at: int | None = None
        self._gaps_filled = 0
        self._failures = 0
        self._failing_since = inf
        self._live_from = self._boundary(self._now())
        self._warm_start = self._live_from - warmup_bars * interval
        self.resume({})

    # -- the door ----------------------------------------------------------------------------

    @property
    def speed(self) -> float:
        """Market time over wall time: always 1."""
        return 1.0

    @speed.setter
    def speed(self, speed: float) -> None:
        if speed != 1:
            raise BadInput("speed", speed, "1, because live prices come when they are made")

    @property
    def caught_up(self) -> bool:
        """Whether every candle that has closed by now was handed out."""
        closed = self._boundary(self._now())
        return all(feed.bars.given >= closed for feed in self._feeds.values() if not feed.quiet)

    def instrument(self, symbol: str) -> Instrument:
        return self._instruments[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        return self._feeds[symbol].rates.get(ts, FUNDING_RATE)

    def remarks(self) -> Sequence[str]:
        return tuple(self._remarks)

    def health(self) -> FeedHealth:
        return FeedHealth(
            connected=self._connected,
            since=self._connected_since,
            reconnects=self._reconnects,
            last_message_at=self._heard_at,
            bad_frames=self._stream.bad_frames,
            gaps_filled=self._gaps_filled,
            rest_reachable=self._failures == 0,
            quiet=tuple(feed.symbol for feed in self._feeds.values() if feed.quiet),
            offset_ms=self._rest.offset_ms,
        )

    def resume(self, cursors: Mapping[str, int]) -> None:
        """Go on after the candles that opened at `cursors`, by symbol."""
        for symbol, feed in self._feeds.items():
            after = cursors.get(symbol, self._warm_start - self.interval)
            feed.bars.begin(self._boundary(after) + self.interval)
        self._work.set()
        self._ready.set()

    async def next(self, limit: int) -> Sequence[MarketEvent]:
        """The next closed candles and prices, at least one and at most `limit`; waits for one."""
        while not (events := self._due(limit)):
            self._ready.clear()
            await self._ready.wait()
        return events

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        """The last `limit` bars of `interval` ms that had closed at `until`, oldest first.

        Raises Unreachable where Bybit has to be asked and does not answer.
        """
        if symbol not in self._feeds:
            raise BadInput("symbol", symbol, ", ".join(self.symbols))
        if limit <= 0:
            return []
        until = min(until, self._now())
        start = max(0, (until // interval - limit) * interval)
        stop = until - until % interval
        if interval % self.interval == 0:
            known = self._feeds[symbol].bars.between(start, stop)
            if known is not None:
                return aggregate(known, self.interval, interval)[-limit:]
        return (await self._rest.klines(symbol, interval, start, stop))[-limit:]

    async def run(self) -> None:
        """Bring prices in until canceled; to be started once, and supervised."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stream.run())
            group.create_task(self._beat())
            group.create_task(self._keep_filled())
            group.create_task(self._keep_current())

    def close(self) -> None:
        """Let connections go, after `run` has ended."""
        self._rest.close()

    # -- handing out -------------------------------------------------------------------------

    def _now(self) -> int:
        """Bybit's time."""
        return self._clock.now() + self._rest.offset_ms

    def _boundary(self, ts: int) -> int:
        """The end of the last bar that has closed at `ts`."""
        return ts - ts % self.interval

    def _waits_for(self, feed: _Feed) -> bool:
        failing = self._clock.monotonic() - self._failing_since
        return not feed.quiet and failing < PATIENCE_S

    def _due(self, limit: int) -> list[MarketEvent]:
        """Candles, each after the last price from before its close, then prices alone."""
        now = self._now()
        events: list[MarketEvent] = []
        for bar, feed in self._in_order():
            closed_at = bar.candle.ts + self.interval
            if tick := feed.prices.close(closed_at):
                events.append(tick)
            if len(events) >= limit:
                return events
            feed.bars.give(bar)
            late, ticked = now - closed_at > LATE_MS, feed.prices.was_told(bar.candle)
            candle = CandleClosed(
                feed.symbol,
                bar.candle,
                closed_at,
                late,
                bar.ticked and ticked,
                float(self.funding_rate(feed.symbol, settled_before(closed_at))),
            )
            events.append(candle)
            if len(events) >= limit:
                return events
        for feed in self._feeds.values():
            if len(events) < limit and not self._holds_back(feed, now):
                events.extend(filter(None, [feed.prices.take()]))
        return events

    def _in_order(self) -> Iterator[tuple[Bar, _Feed]]:
        """The candles that may be handed out, as far as all symbols that are waited for are."""
        feeds = self._feeds.values()
        before = min((f.bars.known for f in feeds if self._waits_for(f)), default=inf)
        return merge(
            *(zip(feed.bars.waiting(before), repeat(feed)) for feed in feeds),
            key=lambda pair: pair[0].candle.ts,
        )

    def _holds_back(self, feed: _Feed, now: int) -> bool:
        """Whether prices wait because a candle from before them is on its way."""
        return feed.bars.given + self.interval + GRACE_MS <= now and self._waits_for(feed)

    # -- coming in ---------------------------------------------------------------------------

    def _hear(self, event: StreamEvent) -> None:
        match event:
            case Message():
                self._heard_at = self._clock.now()
                self._on_message(event)
            case Connected(again):
                self._connected, self._connected_since = True, self._clock.now()
                self._reconnects += again
                log.info("bybit: stream is up", again=again)
            case Disconnected(reason):
                if self._connected:
                    log.warning("bybit: stream is down", reason=reason)
                self._connected, self._connected_since = False, self._clock.now()
                for feed in self._feeds.values():
                    feed.prices.lose()
            case TopicRefused(topic, reason):
                log.warning("bybit: topic refused", topic=topic, reason=reason)
                self._remarks[f"Bybit does not stream {topic}: {reason}."] = None

    def _on_message(self, message: Message) -> None:
        handler = self._handlers.get(message.topic)
        if handler is None:
            raise ValueError(f"the topic {message.topic!r:.100} was not asked for")
        if message.ts > self._now() + FUTURE_MS:
            raise ValueError(f"{message.ts} is in the future")
        handler(self._feeds[message.topic.rpartition(".")[2]], message)

    def _on_klines(self, feed: _Feed, message: Message) -> None:
        for candle, confirmed in parse.klines(message.data):
            closed_at = candle.ts + self.interval
            if candle.ts % self.interval or (confirmed and closed_at > self._now() + FUTURE_MS):
                raise ValueError(f"no candle opens at {candle.ts}")
            if confirmed and feed.bars.add(Bar(candle, feed.prices.flowed(candle, closed_at))):
                feed.quiet = False
                self._ready.set()
                if feed.bars.has_gap:
                    self._work.set()

    def _on_ticker(self, feed: _Feed, message: Message) -> None:
        said = parse.ticker(message.data)
        self._on_funding(feed, said, message.ts)
        if feed.prices.hear(message.ts, said.price):
            self._ready.set()

    def _on_funding(self, feed: _Feed, said: Ticker, ts: int) -> None:
        """Keep what the next settlement will be; after it the stamp's rate stands."""
        feed.rate_at = feed.rate_at if said.funding_at is None else said.funding_at
        feed.rate = feed.rate if said.funding_rate is None else said.funding_rate
        if feed.rate is not None and feed.rate_at is not None and ts < feed.rate_at:
            feed.settle({feed.rate_at: feed.rate})

    async def _beat(self) -> None:
        while True:
            await self._clock.sleep(BEAT_S)
            for feed in self._feeds.values():
                feed.prices.pass_seconds(self._now() - SECOND_MS)
            self._work.set()
            self._ready.set()

    # -- filling by REST ---------------------------------------------------------------------

    def _lacks(self, feed: _Feed) -> bool:
        """Whether a candle is to be asked for now."""
        overdue = feed.bars.known < self._boundary(self._now() - GRACE_MS)
        due = self._clock.monotonic() >= feed.ask_at
        return (overdue or feed.bars.has_gap) and due and feed.bars.room > 0

    async def _keep_filled(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while lacking := [feed for feed in self._feeds.values() if self._lacks(feed)]:
                try:
                    for feed in lacking:
                        await self._fill(feed)
                        self._on_reached()
                except Unreachable as error:
                    await self._clock.sleep(self._on_unreachable(error))

    async def _fill(self, feed: _Feed) -> None:
        """Ask for the next candles a symbol lacks."""
        start, now = feed.bars.known, self._now()
        wanted = min(CHUNK_BARS, feed.bars.room) * self.interval
        end = min(self._boundary(now), start + wanted)
        candles = await self._klines(feed.symbol, start, end)
        if end // HOUR_MS > (start - 1) // HOUR_MS:
            feed.settle(await self._rest.funding_rates(feed.symbol, start, end))
        last = candles[-1].ts + self.interval if candles else start
        # Where there is a later candle, or the time is long past, a missing one does not exist.
        through = max(last, min(end, self._boundary(now - ABSENT_MS)))
        bars = (Bar(c, feed.prices.flowed(c, c.ts + self.interval)) for c in candles)
        if feed.bars.fill(start, through, bars):
            self._gaps_filled += sum(c.ts >= self._live_from for c in candles)
            self._ready.set()
        self._on_filled(feed, complete=start < end <= feed.bars.known)

    async def _klines(self, symbol: str, start: int, end: int) -> list[Candle]:
        try:
            return await self._rest.klines(symbol, self.interval, start, end)
        except BadInput as error:
            self._remarks[f"Bybit has no candles of {symbol} any more: {error}"] = None
            return []

    def _on_filled(self, feed: _Feed, complete: bool) -> None:
        """Note whether Bybit had all that was asked for."""
        overdue_ms = self._now() - feed.bars.known - self.interval
        quiet = not complete and overdue_ms > PATIENCE_S * 1000
        if quiet and not feed.quiet:
            log.warning("bybit: no candles of a symbol, others go on", symbol=feed.symbol)
        feed.quiet = quiet
        wait = 0.0 if complete else ASK_QUIET_S if quiet else ASK_S
        feed.ask_at = self._clock.monotonic() + wait

    def _on_reached(self) -> None:
        if self._failures:
            log.info("bybit: REST answers again", failures=self._failures)
        self._failures, self._failing_since = 0, inf

    def _on_unreachable(self, error: Unreachable) -> float:
        """Seconds to wait before the next try."""
        delay = min(RETRY_S * 2.0 ** min(self._failures, 10), RETRY_MAX_S)
        if self._failures == 0:
            self._failing_since = self._clock.monotonic()
            log.warning("bybit: REST is out of reach, trying again", error=str(error))
        self._failures += 1
        return delay

    async def _keep_current(self) -> None:
        """Measure Bybit's clock and read the rules of the instruments again, now and then."""
        for minute in count(1):
            await self._clock.sleep(MEASURE_S)
            try:
                await self._rest.server_time()
                if minute % MEASURES_A_REFRESH == 0:
                    self._instruments |= await self._rest.instruments(self.symbols)
            except Unreachable as error:
                log.info("bybit: the clocks are not compared this time", error=str(error))
