"""A strategy that does what the volume of each bar says, and histories full of such volumes."""

from array import array
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from engine.backtest.history import History, made
from engine.candle import FUNDING_EVERY_MS, MINUTE_MS
from engine.columns import Columns, Rates
from engine.instrument import MAJORS
from engine.strategies.exits import Exits
from engine.strategies.kernel import (
    EMA_CROSS,
    LONG_ENTRY,
    NOTHING,
    SHORT_EXIT,
    Bar,
    Condition,
    Signal,
    Strategy,
)
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit

SOURCE = Path(__file__)
T0 = 1_735_689_600_000  # 2025-01-01
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
PRICES = {"BTCUSDT": 90_000.0, "ETHUSDT": 3_000.0, "SOLUSDT": 180.0}

# What a volume can say: its last digits are a code, what is above them a confidence.
BUY, SELL, LONGS_OUT, SHORTS_OUT, ALL_OUT, TURN_LONG, TURN_SHORT, BUY_TIGHT, SELL_TRAILED = range(
    1, 10
)


class Params(NamedTuple):
    distance: float = 0.01


class State(NamedTuple):
    bars: float = 0.0


def start(params: Params) -> tuple[State, "array[float]"]:
    return State(), array("d", bytes(8))


def bars(params: Params) -> int:
    return 5


def step(params: Params, state: State, window, bar: Bar) -> tuple[State, Signal]:
    seen = State(state.bars + 1.0)
    if seen.bars < 5.0:
        return seen, NOTHING
    code = bar.volume % 100.0
    sure = (bar.volume - code) / 10_000.0
    near = bar.close * params.distance
    if code == 1.0:
        return seen, Signal(1.0, 0.0, 0.0, LONG_ENTRY, sure, 0.0, 0.0, 0.0)
    if code == 2.0:
        return seen, Signal(-1.0, 0.0, 0.0, EMA_CROSS, sure, 0.0, 0.0, 0.0)
    if code == 3.0:
        return seen, Signal(0.0, 1.0, 0.0, SHORT_EXIT, sure, 0.0, 0.0, 0.0)
    if code == 4.0:
        return seen, Signal(0.0, 0.0, 1.0, SHORT_EXIT, sure, 0.0, 0.0, 0.0)
    if code == 5.0:
        return seen, Signal(0.0, 1.0, 1.0, SHORT_EXIT, sure, 0.0, 0.0, 0.0)
    if code == 6.0:
        return seen, Signal(1.0, 0.0, 1.0, LONG_ENTRY, sure, 0.0, 0.0, 0.0)
    if code == 7.0:
        return seen, Signal(-1.0, 1.0, 0.0, EMA_CROSS, sure, 0.0, 0.0, 0.0)
    if code == 8.0:
        return seen, Signal(1.0, 0.0, 0.0, LONG_ENTRY, sure, near, 2.0 * near, 0.0)
    if code == 9.0:
        return seen, Signal(-1.0, 0.0, 0.0, EMA_CROSS, sure, near, 0.0, near)
    return seen, NOTHING


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    return []


PUPPET = Strategy(
    name="puppet",
    summary="does what it is told",
    timeframe=MINUTE_MS,
    params=Params(),
    parameters=(Parameter("distance", 0.01, 0.0, 0.5, 0.0001, Unit.FRACTION, Tier.YELLOW, "far"),),
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={"*": Exits(0.0, 0.0, 0.0, 0.0, 0, 0)},
    sizing=Sizing(margin=0.05, margin_cap=1.0, leverage=5),
)


def walk(
    random: Random,
    symbols: tuple[str, ...],
    bars: int,
    interval: int,
    *,
    volatility: float = 0.004,
    busy: float = 0.1,
    gaps: bool = True,
) -> History:
    """Random candles: some missing, opens that jump, volumes that now and then say something."""
    columns = {symbol: _columns(random, symbol, bars, interval, volatility, busy, gaps)
               for symbol in symbols}  # fmt: skip
    rates = {symbol: _rates(random, bars * interval) for symbol in symbols}
    return made(interval, columns, rates, MAJORS)


def _columns(
    random: Random,
    symbol: str,
    bars: int,
    interval: int,
    volatility: float,
    busy: float,
    gaps: bool,
) -> Columns:
    tick = float(MAJORS[symbol].tick)
    price = PRICES[symbol]
    rows = []
    missing = 0
    for i in range(random.randrange(20) if gaps else 0, bars):
        if gaps and not missing and random.random() < 0.01:
            missing = random.choice((1, 2, 5, 30, 130))
        jump = random.gauss(0, volatility) if gaps and random.random() < 0.05 else 0.0
        open_ = price * (1.0 + jump)
        close = open_ * (1.0 + random.gauss(0, volatility))
        high = max(open_, close) * (1.0 + abs(random.gauss(0, volatility / 2)))
        low = min(open_, close) * (1.0 - abs(random.gauss(0, volatility / 2)))
        price = close
        if missing:
            missing -= 1
            continue
        code = random.randrange(1, 10) if random.random() < busy else 0
        volume = 100.0 * random.randrange(1, 100) + code
        rows.append((T0 + i * interval, *_on_tick(tick, open_, high, low, close), volume))
    table = np.array(rows)
    return Columns(table[:, 0].astype(np.int64), *map(np.ascontiguousarray, table.T[1:]))


def _on_tick(tick: float, open_: float, high: float, low: float, close: float) -> list[float]:
    prices = [round(round(each / tick) * tick, 8) for each in (open_, high, low, close)]
    return [prices[0], max(prices), min(prices), prices[3]]


def _rates(random: Random, span: int) -> Rates:
    stamps = range(T0 - T0 % FUNDING_EVERY_MS, T0 + span, FUNDING_EVERY_MS)
    known = [(ts, round(random.gauss(0, 2e-4), 6)) for ts in stamps if random.random() < 0.9]
    table = np.array(known or [(T0, 0.0)])
    return Rates(table[:, 0].astype(np.int64), np.ascontiguousarray(table[:, 1]))


Choice = Callable[..., object]


def random_strategy(random: Random) -> Strategy:
    """The puppet with random rules of every kind."""
    pick: Choice = random.choice
    values = {
        "distance": pick((0.003, 0.01, 0.05)),
        "stop_loss": pick((0.0, 0.004, 0.01, 0.05)),
        "take_profit": pick((0.0, 0.006, 0.02, 0.1)),
        "trail": pick((0.0, 0.0, 0.005, 0.02)),
        "trail_activation": pick((0.0, 0.004, 0.02)),
        "break_even": pick((0.0, 0.0, 0.005)),
        "break_even_buffer": pick((0.0, 0.0002, 0.001)),
        "max_age": pick((0.0, 0.0, 3_600_000.0, 36_000_000.0)),
        "losing_age": pick((0.0, 0.0, 1_800_000.0)),
        "cooldown": pick((0.0, 300_000.0, 3_600_000.0)),
        "cooldown_block": pick((0.0, 0.0, 0.0, 14_400_000.0)),
        "margin": pick((0.05, 0.3, 0.9)),
        "leverage": pick((1.0, 5.0, 20.0, 50.0)),
        "fixed": pick((0.0, 0.0, 0.0, 150.0, 20_000.0)),
        "risk": pick((0.0, 0.0, 0.01)),
        "share_cap": pick((0.0, 0.0, 0.5)),
        "slots": pick((0.0, 1.0, 2.0)),
        "confidence_min": pick((0.0, 0.0, 0.5)),
        "flips": pick((0.0, 0.0, 2.0)),
        "confirmed": pick((0.0, 0.0, 1.0)),
    }
    made = PUPPET.tuned(values)
    sizing = made.sizing._replace(
        free_at_break_even=pick((0, 1)), free_min=pick((0.0, 0.0, 3_000.0))
    )
    return _replaced(made, sizing)


def _replaced(strategy: Strategy, sizing: Sizing) -> Strategy:
    from dataclasses import replace

    return replace(strategy, sizing=sizing)
