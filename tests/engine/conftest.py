"""Builders the engine's tests share: small, with round numbers, all times from one midnight."""

import csv
import gzip
import os
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.bot import Bot
from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.event import CandleClosed
from engine.instrument import MAJORS, Instrument
from engine.order import (
    ExecType,
    Execution,
    Fill,
    Order,
    OrderType,
    Reason,
    Side,
    client_order_id,
    order_link_id,
)
from engine.risk import EntryRequest
from engine.strategies.exits import Exits
from engine.strategies.kernel import EMA_CROSS, MA_EXIT, NOTHING, Signal, Strategy
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit

# 2025-01-01 00:00 UTC, a settlement stamp.
T0 = 1_735_689_600_000
BAR = 5 * MINUTE_MS
BOT = "shortseller_001"
ACCOUNT = "paper-test-shortseller_001"
BTC = "BTCUSDT"
BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
DATA = Path(os.environ.get("TEST_DATA_DIR", BESIDE)) / "candles"

D = Decimal
BUY, SELL = Side.BUY, Side.SELL


def bar(
    index: int,
    open_: float,
    high: float | None = None,
    low: float | None = None,
    close: float | None = None,
    volume: float = 0.0,
) -> Candle:
    """The bar number `index` of five minutes; what is not given is as the open."""
    close = open_ if close is None else close
    high = max(open_, close) if high is None else high
    low = min(open_, close) if low is None else low
    return Candle(T0 + index * BAR, open_, high, low, close, volume)


def closed(candle: Candle, symbol: str = BTC, interval: int = BAR) -> CandleClosed:
    return CandleClosed(symbol, candle, candle.ts + interval)


def instrument(symbol: str = BTC, **changes: object) -> Instrument:
    """Whole prices and quantities of a tenth, so that sums can be made in the head."""
    rules = Instrument(
        symbol=symbol,
        tick=D(1),
        quantity_step=D("0.1"),
        quantity_min=D("0.1"),
        quantity_max=D(1_000),
        notional_min=D(5),
        leverage_max=100,
        hourly_volume=D(1_000_000),
    )
    return replace(rules, **changes)


def order(
    side: Side = SELL,
    quantity: str = "1",
    order_type: OrderType = OrderType.MARKET,
    *,
    reason: Reason = Reason.EMA_CROSS,
    ts: int = T0,
    sequence: int = 0,
    bot_id: str = BOT,
    leverage: int = 10,
    **changes: object,
) -> Order:
    made = Order(
        account=ACCOUNT,
        order_link_id=order_link_id(bot_id, reason, ts, sequence),
        client_order_id=client_order_id(bot_id, reason, ts),
        bot_id=bot_id,
        symbol=BTC,
        side=side,
        order_type=order_type,
        quantity=D(quantity),
        leverage=leverage,
        reason=reason,
        created_at=ts,
        updated_at=ts,
    )
    return replace(made, **changes)


_numbers = count(1)


def fill(
    side: Side,
    quantity: str | Decimal,
    price: str | Decimal,
    fee: str | Decimal = "0",
    ts: int = T0,
    reason: Reason = Reason.EMA_CROSS,
    symbol: str = BTC,
) -> Fill:
    return Fill(
        exec_id=f"X{next(_numbers)}",
        account=ACCOUNT,
        bot_id=BOT,
        symbol=symbol,
        order_id="P1",
        client_order_id=client_order_id(BOT, reason, ts),
        side=side,
        exec_price=D(price),
        exec_qty=D(quantity),
        exec_time=ts,
        commission=D(fee),
        is_maker=False,
        exec_type=ExecType.TRADE,
        close_reason=reason,
    )


def execution(
    of: Order | None = None,
    *,
    quantity: str | Decimal | None = None,
    price: str = "100",
    fee: str = "0",
    ts: int = T0,
    exec_id: str | None = None,
    **changes: object,
) -> Execution:
    """What the exchange reports: of an order, or (with side and trigger given) its own doing."""
    made = Execution(
        account=of.account if of else ACCOUNT,
        exec_id=exec_id or f"X{next(_numbers)}",
        order_id="P1",
        order_link_id=of.order_link_id if of else "",
        symbol=of.symbol if of else BTC,
        side=of.side if of else BUY,
        price=D(price),
        quantity=D(quantity) if quantity is not None else of.quantity if of else D(1),
        fee=D(fee),
        is_maker=False,
        exec_type=ExecType.TRADE,
        ts=ts,
    )
    return replace(made, **changes)


# -- a strategy that does what the candle says -------------------------------------------

# The wishes a puppet reads from a bar's volume.
SELL_NOW, BUY_NOW, LEAVE_NOW = 1.0, 2.0, 3.0

NO_EXITS = Exits(0.0, 0.0, 0.0, 0.0, 0, 0)
USUAL_SIZING = Sizing(margin=0.05, margin_cap=0.07, leverage=10)
HOUR_COOLDOWN = NO_EXITS._replace(cooldown_ms=HOUR_MS)


class PuppetParams(NamedTuple):
    warm_up: float = 0.0


class PuppetState(NamedTuple):
    bars: float = 0.0


Wishes = Mapping[float, Signal]

WISHES: Wishes = {
    SELL_NOW: Signal(-1.0, 0.0, 0.0, EMA_CROSS),
    BUY_NOW: Signal(1.0, 0.0, 0.0, EMA_CROSS),
    LEAVE_NOW: Signal(0.0, 1.0, 1.0, MA_EXIT),
}
WARM_UP = Parameter("warm_up", 0, 0, 1000, 1, Unit.BARS, Tier.YELLOW, "bars it wants to see first")


def puppet(
    exits: Exits = NO_EXITS,
    sizing: Sizing = USUAL_SIZING,
    warm_up: int = 0,
    timeframe: int = BAR,
    wishes: Wishes = WISHES,
    **changes: object,
) -> Strategy:
    """A strategy whose signals are written into the candles: scenarios become lists."""
    made = Strategy(
        name="puppet",
        summary="does what the candle says",
        timeframe=timeframe,
        params=PuppetParams(warm_up),
        parameters=(WARM_UP,),
        bars=lambda params: int(params.warm_up),
        start=lambda params: (PuppetState(), array("d")),
        step=lambda params, state, window, bar: (
            PuppetState(state.bars + 1.0),
            wishes.get(bar.volume, NOTHING),
        ),
        explain=lambda params, state, bar: [],
        exits={"*": exits},
        sizing=sizing,
    )
    return replace(made, **changes)


def bot(
    strategy: Strategy | None = None,
    bot_id: str = BOT,
    symbols: tuple[str, ...] = (BTC,),
    capital: str = "10000",
) -> Bot:
    return Bot(bot_id, strategy or puppet(), symbols, f"paper-test-{bot_id}", D(capital))


# -- an entry that every gate lets pass -------------------------------------------------

# 5 % of 10,000 at ten times, at a price of 100: 50 coins for 500 of margin.
GOOD = EntryRequest(
    ts=T0,
    price=100.0,
    instrument=instrument(),
    sizing=USUAL_SIZING,
    equity=D(10_000),
    free_margin=D(10_000),
    halted="",
    paused=False,
    bars=601,
    bars_needed=601,
    late=False,
    cooldown_until=0,
    holding=D(0),
    order_open=False,
    side=SELL,
    confidence=0.8,
)


# -- real candles ------------------------------------------------------------------------


@cache
def _read(path: Path) -> tuple[Candle, ...]:
    with gzip.open(path, "rt") as lines:
        rows = csv.reader(lines)
        next(rows)
        return tuple(Candle(int(ts), *map(float, values)) for ts, *values in rows)


Recorded = Callable[[str], tuple[Candle, ...]]


@pytest.fixture
def recorded() -> Recorded:
    """Real candles by file name; where they are not at hand the test is skipped."""

    def find(name: str) -> tuple[Candle, ...]:
        path = DATA / name
        if not path.exists():
            pytest.skip(f"real data is not here: {name} (set TEST_DATA_DIR to its folder)")
        return _read(path)

    return find


BTC_5M = "bybit_BTCUSDT_perp_5m_2025-09_2026-07.csv.gz"
BTC_4H = "bybit_BTCUSDT_perp_4h_2025-09_2026-07.csv.gz"


def majors(symbols: Iterable[str] = (BTC,)) -> dict[str, Instrument]:
    return {symbol: MAJORS[symbol] for symbol in symbols}
