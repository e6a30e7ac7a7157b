"""What a backtest is asked for, in words: its strategy, symbols, parameters, and its candles."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.backtest.plan import BARS_BEYOND_WARM_UP, DEPOSIT, FEE, SLIPPAGE
from engine.candle import DAY_MS, TIMEFRAMES, timeframe_ms, timeframe_name
from engine.desk import Desk
from engine.errors import BadInput
from engine.market.holdings import KEEP_DAYS_MAX, Holding
from engine.signal import Sides
from engine.strategies.kernel import Strategy
from engine.studies import Setup, Source, strategy_named
from engine.tunable import Parameter, Tier, Unit, by_name, parse_values

SYMBOLS_MAX = 10
EXACT = "exact"
TIMEFRAME = "timeframe"
SIDE = "side"
# What trading costs, and what one begins with.
COSTS = by_name(
    (
        Parameter(
            "deposit", DEPOSIT, 10.0, 1e9, 1.0, Unit.MONEY, Tier.GREEN, "money at the start"
        ),
        Parameter(
            "fee", FEE, 0.0, 0.01, 1e-5, Unit.FRACTION, Tier.GREEN, "taken from every fill"
        ),
        Parameter(
            "slippage", SLIPPAGE, 0.0, 0.05, 1e-5, Unit.FRACTION, Tier.GREEN, "lost at every fill"
        ),
        Parameter(
            SIDE, 0.0, 0.0, 2.0, 1.0, Unit.CHOICE, Tier.GREEN, "sides that may be entered",
            tuple(side.value for side in Sides),
        ),
    )
)  # fmt: skip

_SYMBOL = re.compile(r"[A-Z0-9]{2,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tuning:
    """A strategy as it is to be tried: what differs from its own values, and how it is run."""

    strategy: Strategy
    values: Mapping[str, float]
    costs: Mapping[str, float]
    exact: bool

    @property
    def sides(self) -> Sides:
        return list(Sides)[int(self.costs.get(SIDE, 0))]


@dataclass(frozen=True, slots=True)
class Span:
    """Candles that can be had: of which length (ms), from when to when (UTC ms), and whence."""

    source: Source
    interval: int
    start: int
    stop: int


def tuning_of(strategies: Mapping[str, Strategy], name: str, text: str) -> Tuning:
    """A strategy with the settings that somebody typed behind it; raises BadInput."""
    strategy = strategy_named(name, strategies)
    words = dict(_pairs(text.split(), strategy))
    exact = words.pop(EXACT, None) is not None
    if TIMEFRAME in words:
        strategy = strategy.at(timeframe_ms(words.pop(TIMEFRAME).lower()))
    costs = parse_values(COSTS, {key: words.pop(key) for key in COSTS if key in words})
    values = strategy.parse(words)
    return Tuning(strategy.tuned(values), values, costs, exact)


def _pairs(words: Iterable[str], strategy: Strategy) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for word in words:
        name, equals, value = word.lower().partition("=")
        if not equals and name != EXACT:
            allowed = f"name=value with a parameter of {strategy.name}, or {EXACT}"
            raise BadInput("settings", word, allowed)
        if name in seen:
            raise BadInput(name, value, "one value")
        seen.add(name)
        yield name, value


def setting_names(strategies: Mapping[str, Strategy]) -> list[str]:
    """What may be typed behind a backtest, for completion: `stop_loss=`."""
    own = {name for strategy in strategies.values() for name in strategy.tunable}
    return [EXACT, *(f"{name}=" for name in (TIMEFRAME, *COSTS, *sorted(own)))]


async def setup_of(desk: Desk, tuning: Tuning, names: Sequence[str], days: int) -> Setup:
    """The complete setup of a backtest over the last days there are; raises BadInput.

    Stored candles come first, then the market's own; on live prices what is not stored is
    fetched.
    """
    # The manifests are files; a slow disk must not hold the desk up.
    stored = await asyncio.to_thread(desk.holdings)
    symbols = _symbols(desk, stored, names)
    _check_length(tuning.strategy, days)
    span = _stored_span(desk, tuning.strategy, stored, symbols, days)
    if span is None and _is_live(desk):
        span = _live_span(desk, tuning.strategy, days)
    span = span or await _market_span(desk, tuning.strategy, symbols, days)
    return Setup(
        strategy=tuning.strategy.name,
        symbols=symbols,
        timeframe=tuning.strategy.timeframe,
        interval=span.interval,
        start=span.start,
        stop=span.stop,
        source=span.source,
        values=tuning.values,
        sides=tuning.sides,
        exact=tuning.exact,
        **{name: value for name, value in tuning.costs.items() if name != SIDE},
    )


def _symbols(desk: Desk, stored: Sequence[Holding], names: Sequence[str]) -> tuple[str, ...]:
    """The symbols meant, each once: those of the market and those that are stored, and on live
    prices any other of Bybit's."""
    known = dict.fromkeys([*desk.symbols, *(each.symbol for each in stored)])
    found = []
    for name in names:
        full = name if name in known or name.endswith("USDT") else f"{name}USDT"
        if full not in known and not (_is_live(desk) and _SYMBOL.fullmatch(full)):
            raise BadInput("symbols", name, ", ".join(known))
        found.append(full)
    if len(set(found)) > SYMBOLS_MAX:
        raise BadInput("symbols", len(set(found)), f"at most {SYMBOLS_MAX} symbols")
    return tuple(dict.fromkeys(found))


def _check_length(strategy: Strategy, days: int) -> None:
    needed = (strategy.bars_needed + BARS_BEYOND_WARM_UP) * strategy.timeframe
    least = -(-needed // DAY_MS)
    if days < least:
        raise BadInput(
            "days",
            days,
            f"{least} to {KEEP_DAYS_MAX}: {strategy.name} warms up on {strategy.bars_needed} bars "
            f"of {timeframe_name(strategy.timeframe)}",
        )


def _is_live(desk: Desk) -> bool:
    """Whether prices come from outside, as nothing that is replayed or simulated has."""
    return desk.market.health() is not None


def _fits(strategy: Strategy, interval: int) -> bool:
    lengths = filter(None, (strategy.timeframe, strategy.higher))
    return interval > 0 and all(length % interval == 0 for length in lengths)


def _length(holding: Holding) -> int:
    """The length of its bars in ms; 0 for funding rates."""
    return TIMEFRAMES.get(holding.timeframe, 0)


def _stored_span(
    desk: Desk, strategy: Strategy, stored: Sequence[Holding], symbols: Sequence[str], days: int
) -> Span | None:
    """The last days of what is stored of all symbols; None where they are not all there.

    On live prices they must reach up to now. The market's own timeframe comes first: it is what
    the desk would have seen.
    """
    lengths = {length for each in stored if _fits(strategy, length := _length(each))}
    for interval in sorted(lengths, key=lambda length: (length != desk.market.interval, length)):
        held = {each.symbol: each for each in stored if _length(each) == interval}
        if not set(symbols) <= set(held):
            continue
        stop = min(held[symbol].end for symbol in symbols)
        if _is_live(desk) and stop < _now(desk, interval):
            continue
        start = stop - days * DAY_MS
        if all(held[symbol].start <= start for symbol in symbols):
            return Span(Source.ARCHIVE, interval, start, stop)
    return None


def _live_span(desk: Desk, strategy: Strategy, days: int) -> Span:
    market = desk.market.interval
    interval = market if _fits(strategy, market) else strategy.timeframe
    stop = _now(desk, interval)
    return Span(Source.BYBIT, interval, stop - days * DAY_MS, stop)


async def _market_span(desk: Desk, strategy: Strategy, symbols: Sequence[str], days: int) -> Span:
    """The last days that the market itself remembers; raises BadInput naming how many it does."""
    interval = desk.market.interval
    missing = [symbol for symbol in symbols if symbol not in desk.symbols]
    if missing:
        raise BadInput("symbols", ", ".join(missing), f"{', '.join(desk.symbols)}, {STORE_MORE}")
    if not _fits(strategy, interval):
        allowed = f"candles of which {timeframe_name(strategy.timeframe)} can be made"
        raise BadInput("timeframe", timeframe_name(interval), f"{allowed}, for {strategy.name}")
    stop = _now(desk, interval)
    known = await _days_known(desk, symbols, stop, days)
    if known < days:
        raise BadInput("days", days, f"up to {known}, the days of this market so far, {STORE_MORE}")
    return Span(Source.MARKET, interval, stop - days * DAY_MS, stop)


STORE_MORE = "or more once `countersign data` has stored candles of it"


async def _days_known(desk: Desk, symbols: Sequence[str], stop: int, days: int) -> int:
    """How many whole days before `stop` (UTC ms) the market has candles of all symbols of."""
    least, most = 0, days
    while least < most:
        middle = (least + most + 1) // 2
        if await _reaches(desk, symbols, stop - middle * DAY_MS):
            least = middle
        else:
            most = middle - 1
    return least


async def _reaches(desk: Desk, symbols: Sequence[str], ts: int) -> bool:
    interval = desk.market.interval
    bars = [await desk.market.history(each, interval, ts + interval, 1) for each in symbols]
    return all(found and found[-1].ts >= ts - DAY_MS for found in bars)


def _now(desk: Desk, interval: int) -> int:
    """The end (UTC ms) of the last bar that has closed, by the market's time."""
    now = desk.view().market_time or desk.clock.now()
    return now - now % interval
