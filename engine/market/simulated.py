"""The simulated market: invented candles that are a pure function of a seed.

Everything is drawn in blocks of one day, each from generators seeded by names, so that any
candle comes out the same on every run, in whatever order candles are asked for.
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from math import exp, log, pi, sin, sqrt
from random import Random
from typing import NamedTuple, TypeVar

from engine.candle import DAY_MS, MINUTE_MS, Candle
from engine.errors import BadInput
from engine.event import CandleClosed
from engine.instrument import MAJORS, Instrument
from engine.market.tape import Tape
from engine.ports import Clock

D = TypeVar("D")

INTERVAL = 5 * MINUTE_MS
BARS_A_DAY = DAY_MS // INTERVAL
SQRT_BARS_A_YEAR = sqrt(365 * BARS_A_DAY)
# Days of candles kept per symbol (9 kB each): 500 bars of 4 h and some. Older days are drawn
# again from the state at their start when somebody looks back further.
DAYS_KEPT = 96

FUNDING_MEAN = 0.0001
FUNDING_DEVIATION = 0.00008
FUNDING_MIN = -0.0003
FUNDING_MAX = 0.0005


class Regime(NamedTuple):
    """A mood of the market: drift of log prices a day, factor on volatility, hours it lasts.

    `then` is the chance, by regime, of what comes next.
    """

    drift: float
    volatility: float
    hours: float
    then: tuple[float, float, float]


# Bull and bear are visited equally often; 40 h up at 1.8 % a day weigh as much as 24 h down
# at 3 %, so that there is no trend in the long run.
REGIMES = (
    Regime(drift=0.018, volatility=0.85, hours=40, then=(0.0, 0.4, 0.6)),
    Regime(drift=-0.03, volatility=1.25, hours=24, then=(0.4, 0.0, 0.6)),
    Regime(drift=0.0, volatility=0.6, hours=30, then=(0.5, 0.5, 0.0)),
)
RANGE = 2
# A mood lasts at least this long: the hours above are its mean.
HOURS_MIN = 4

# Annualized volatility of what all symbols share, before regimes and clustering.
MARKET_VOLATILITY = 0.53
# The log of the volatility returns to zero with this memory (bars); it is pushed by itself
# and by large moves, which is what makes them come in clusters.
CLUSTER_MEMORY = 0.992
CLUSTER_NOISE = 0.03
CLUSTER_SHOCK = 0.035
MEAN_ABSOLUTE_NORMAL = sqrt(2 / pi)
# Seldom a move is several times too large, as when a cascade of liquidations runs.
JUMP_CHANCE = 0.0006
JUMP_FACTOR = 4.0
# The quiet hours are around 04:00 UTC, the busy ones around 16:00.
HOURS_SWING = 0.3
HOURS_QUIET = 4
HOURS_FACTORS = tuple(
    1 + HOURS_SWING * sin(2 * pi * (bar / BARS_A_DAY - (HOURS_QUIET + 6) / 24))
    for bar in range(BARS_A_DAY)
)
# Half of a distance from the start price is made good in this time: a month looks free, and
# a year stays within bounds.
HALF_LIFE_DAYS = 30
PULL = log(2) / HALF_LIFE_DAYS / BARS_A_DAY
# Mean length of a wick, in standard deviations of the bar's return.
WICK = 0.32
VOLUME_NOISE = 0.35


class Profile(NamedTuple):
    """How one symbol behaves: its first price, its part of the market's moves, its own
    annualized volatility, and its volume (base currency) in a calm bar."""

    price: float
    beta: float
    volatility: float
    volume: float


PROFILES = {
    "BTCUSDT": Profile(price=100_000, beta=1.0, volatility=0.22, volume=90),
    "ETHUSDT": Profile(price=3_500, beta=1.2, volatility=0.42, volume=1_500),
    "SOLUSDT": Profile(price=180, beta=1.45, volatility=0.65, volume=16_000),
}


class SimulatedMarket:
    """Invented 5-minute candles from `anchor` (UTC ms, aligned down to a day) to now.

    It never runs ahead of the wall clock: at speed 0 `next` gives all that has closed by now
    and then []; at any other it catches up at that pace and goes on in real time.
    """

    def __init__(
        self,
        seed: int,
        anchor: int,
        speed: float,
        clock: Clock,
        symbols: Sequence[str] = ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
    ) -> None:
        if seed < 0:
            raise BadInput("seed", seed, "a whole number of at least 0")
        for symbol in symbols:
            if symbol not in PROFILES:
                raise BadInput("symbol", symbol, ", ".join(PROFILES))
        self.name = f"sim{seed}"
        self.label = f"simulated market, seed {seed}"
        self.symbols: Sequence[str] = tuple(symbols)
        self.interval = INTERVAL
        self._seed = seed
        self.anchor = anchor - anchor % DAY_MS
        moods = _Moods(seed)
        bars = {symbol: _SimulatedBars(seed, symbol, self.anchor, moods) for symbol in symbols}
        self._tape = Tape(bars, INTERVAL, speed, clock, self.funding_rate, live=True)

    @property
    def speed(self) -> float:
        """Market time over wall time until it has caught up; 0 is as fast as it goes."""
        return self._tape.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        self._tape.speed = speed

    @property
    def caught_up(self) -> bool:
        """Whether every candle that has closed by now was served."""
        return self._tape.caught_up

    def instrument(self, symbol: str) -> Instrument:
        return MAJORS[symbol]

    def funding_rate(self, symbol: str, ts: int) -> Decimal:
        rate = Random(f"{self._seed}:{symbol}:funding:{ts}").gauss(FUNDING_MEAN, FUNDING_DEVIATION)
        return Decimal(round(min(max(rate, FUNDING_MIN), FUNDING_MAX) * 1e8)).scaleb(-8)

    def remarks(self) -> Sequence[str]:
        return [f"This market is simulated (seed {self._seed}): no price in it is real."]

    def health(self) -> None:
        """Nothing comes in from outside."""

    def resume(self, cursors: Mapping[str, int]) -> None:
        self._tape.resume(cursors)

    async def next(self, limit: int) -> list[CandleClosed]:
        return await self._tape.next(limit)

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        return self._tape.history(symbol, interval, until, limit)


# -- the mood all symbols share --------------------------------------------------------------


class _Mood(NamedTuple):
    """What is carried from bar to bar: the regime, the bars it has left, log volatility."""

    regime: int
    left: int
    cluster: float


class _MarketDay(NamedTuple):
    """For each bar of a day the shared log return, and the factor on everyone's volatility."""

    returns: "array[float]"
    volatility: "array[float]"
    after: _Mood


class _Moods:
    """The shared part of the moves, day by day."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._starts = [_Mood(RANGE, BARS_A_DAY // 4, 0.0)]
        self._kept: dict[int, _MarketDay] = {}

    def day(self, number: int) -> _MarketDay:
        for missing in range(len(self._starts) - 1, number):
            self._starts.append(self._drawn(missing).after)
        return self._drawn(number)

    def _drawn(self, number: int) -> _MarketDay:
        return self._kept.get(number) or self._draw(number)

    def _draw(self, number: int) -> _MarketDay:
        drawn = _market_day(Random(f"{self._seed}:market:{number}"), self._starts[number])
        return _keep(self._kept, number, drawn)


def _market_day(random: Random, mood: _Mood) -> _MarketDay:
    returns, volatility = array("d"), array("d")
    scale = MARKET_VOLATILITY / SQRT_BARS_A_YEAR
    for hours in HOURS_FACTORS:
        normal = random.gauss(0, 1)
        factor = REGIMES[mood.regime].volatility * exp(mood.cluster) * hours
        jump = JUMP_FACTOR if random.random() < JUMP_CHANCE else 1.0
        returns.append(REGIMES[mood.regime].drift / BARS_A_DAY + scale * factor * normal * jump)
        volatility.append(factor)
        mood = _next_mood(random, mood, normal * jump)
    return _MarketDay(returns, volatility, mood)


def _next_mood(random: Random, mood: _Mood, shock: float) -> _Mood:
    push = CLUSTER_NOISE * random.gauss(0, 1)
    push += CLUSTER_SHOCK * (abs(shock) - MEAN_ABSOLUTE_NORMAL)
    cluster = CLUSTER_MEMORY * mood.cluster + push
    if mood.left > 1:
        return _Mood(mood.regime, mood.left - 1, cluster)
    regime = random.choices(range(len(REGIMES)), REGIMES[mood.regime].then)[0]
    hours = HOURS_MIN + random.expovariate(1 / (REGIMES[regime].hours - HOURS_MIN))
    return _Mood(regime, round(hours * BARS_A_DAY / 24), cluster)


# -- one symbol ------------------------------------------------------------------------------


class _Day(NamedTuple):
    """The candles of one day: open is the close before, so four columns say it all."""

    opened: float
    high: "array[float]"
    low: "array[float]"
    close: "array[float]"
    volume: "array[float]"


class _SimulatedBars:
    """The bars of one symbol, drawn a day at a time; the door `Bars` of the tape."""

    def __init__(self, seed: int, symbol: str, start: int, moods: _Moods) -> None:
        self._seed = seed
        self._symbol = symbol
        self._start = start
        self._moods = moods
        self._profile = PROFILES[symbol]
        # The price each day begins at: all that one day needs to know of the day before.
        self._prices = array("d", [self._profile.price])
        self._kept: dict[int, _Day] = {}

    @property
    def first(self) -> int:
        return self._start

    def since(self, start: int) -> Iterator[Candle]:
        index = max(0, -((self._start - start) // INTERVAL))
        number, skipped = divmod(index, BARS_A_DAY)
        yield from islice(self._candles(number), skipped, None)
        while True:
            number += 1
            yield from self._candles(number)

    def between(self, start: int, stop: int) -> Sequence[Candle]:
        start = max(start, self._start)
        count = max(0, -((start - stop) // INTERVAL))
        return [candle for candle in islice(self.since(start), count) if candle.ts < stop]

    def _candles(self, number: int) -> Iterator[Candle]:
        day = self._day(number)
        first = self._start + number * DAY_MS
        stamps = range(first, first + DAY_MS, INTERVAL)
        opens = (day.opened, *day.close[:-1])
        columns = (opens, day.high, day.low, day.close, day.volume)
        return map(Candle._make, zip(stamps, *columns, strict=True))

    def _day(self, number: int) -> _Day:
        for missing in range(len(self._prices) - 1, number):
            self._prices.append(self._drawn(missing).close[-1])
        return self._drawn(number)

    def _drawn(self, number: int) -> _Day:
        return self._kept.get(number) or self._draw(number)

    def _draw(self, number: int) -> _Day:
        random = Random(f"{self._seed}:{self._symbol}:{number}")
        market = self._moods.day(number)
        instrument = MAJORS[self._symbol]
        drawn = _symbol_day(random, self._profile, instrument, market, self._prices[number])
        return _keep(self._kept, number, drawn)


def _symbol_day(
    random: Random, profile: Profile, instrument: Instrument, market: _MarketDay, price: float
) -> _Day:
    """One day of candles that begins at `price`; all prices are on the tick."""
    day = _Day(price, array("d"), array("d"), array("d"), array("d"))
    places, lot_places = _places(instrument.tick), _places(instrument.quantity_step)
    own = profile.volatility / SQRT_BARS_A_YEAR
    for shared, factor in zip(market.returns, market.volatility, strict=True):
        pull = PULL * log(profile.price / price)
        move = pull + profile.beta * shared + own * factor * random.gauss(0, 1)
        opened, price = price, round(price * exp(move), places)
        wick = WICK * factor * (profile.beta * MARKET_VOLATILITY / SQRT_BARS_A_YEAR + own)
        top, bottom = max(opened, price), min(opened, price)
        day.high.append(round(top * exp(wick * random.expovariate(1)), places))
        day.low.append(round(bottom * exp(-wick * random.expovariate(1)), places))
        day.close.append(price)
        day.volume.append(round(_volume(random, profile, factor, abs(move)), lot_places))
    return day


def _volume(random: Random, profile: Profile, factor: float, move: float) -> float:
    """Volume in base currency: more when the market is restless, most in large moves."""
    usual = profile.beta * MARKET_VOLATILITY / SQRT_BARS_A_YEAR
    busy = 0.4 + 0.6 * factor + move / usual
    noise = exp(VOLUME_NOISE * random.gauss(0, 1))
    return profile.volume * busy * noise


def _places(step: Decimal) -> int:
    return -int(step.as_tuple().exponent)


def _keep(kept: dict[int, D], number: int, drawn: D) -> D:
    if len(kept) >= DAYS_KEPT:
        del kept[next(iter(kept))]
    kept[number] = drawn
    return drawn
