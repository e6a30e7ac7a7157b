"""The fast backtest: signals first, then one account over all of them, both compiled."""

from collections.abc import Mapping, Sequence
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from engine.backtest.account import trade
from engine.backtest.compiled import cached
from engine.backtest.feed import Feed, Indexes, feed
from engine.backtest.history import History
from engine.backtest.outcome import outcome
from engine.backtest.plan import FUNDING_RATE, Held, Outcome, Plan
from engine.backtest.records import (
    BOOK,
    BY_AGE,
    BY_LIQUIDATION,
    BY_STOP,
    BY_TARGET,
    BY_TRAILING,
    SYMBOL,
    TRADE,
    Out,
    Tape,
    Trades,
)
from engine.backtest.signals import BAR, Signals, signals
from engine.candle import HOUR_MS
from engine.columns import Floats
from engine.instrument import Instrument
from engine.margin import maintenance
from engine.metrics import Mark, RoundTrip
from engine.order import Reason
from engine.signal import Sides
from engine.strategies.kernel import REASONS, Strategy

OWN_REASONS = {
    BY_STOP: Reason.STOP_LOSS,
    BY_TRAILING: Reason.TRAILING_STOP,
    BY_TARGET: Reason.TAKE_PROFIT,
    BY_LIQUIDATION: Reason.LIQUIDATION,
    BY_AGE: Reason.TIME_EXIT,
}
SIDES = {Sides.BOTH: 0, Sides.LONG_ONLY: 1, Sides.SHORT_ONLY: -1}
# Two bars of one symbol can be completed by one candle, not more.
CANDIDATES_A_SYMBOL = 2


class Account:
    """What one run of the account loop left behind, as arrays."""

    def __init__(self, symbols: Any, book: Any, out: Out) -> None:
        self.symbols = symbols
        self.balance = float(book["balance"])
        self.trades = out.trades[: book["trades"]]
        self.samples = out.samples[: book["samples"]]


def run(plan: Plan, history: History, source: Path | None = None) -> Outcome:
    """Backtest a plan. `source` is the file of a strategy that is not the program's own."""
    account = simulate(plan, history, source)
    held = [
        _held(symbol, record, float(history.columns[symbol].close[-1]))
        for symbol, record in zip(history.symbols, account.symbols, strict=True)
        if record["quantity"]
    ]
    marks = [Mark(int(ts), equity) for ts, _, equity in account.samples.tolist()]
    trips = [_trip(each, history.symbols) for each in account.trades]
    still_open = account.symbols[account.symbols["quantity"] != 0.0]
    fees = sum(trip.fees for trip in trips) + float(still_open["fees"].sum())
    funding = sum(trip.funding for trip in trips) + float(still_open["funding"].sum())
    return outcome(plan, history, trips, held, marks, account.balance, fees, funding)


def simulate(plan: Plan, history: History, source: Path | None = None) -> Account:
    """The whole backtest as arrays, before anything is made of them for people."""
    feeds = list(feeds_of(plan.strategy, history).values())
    found = [signals(plan.strategy, each, history.interval, source) for each in feeds]
    return trade_signals(plan, history, feeds, found)


def feeds_of(strategy: Strategy, history: History) -> dict[str, Feed]:
    """Each symbol's candles with the bars that the strategy makes of them."""
    return {
        symbol: feed(
            columns,
            history.rates[symbol],
            FUNDING_RATE,
            history.interval,
            strategy.timeframe,
            strategy.higher,
        )
        for symbol, columns in history.columns.items()
    }


def trade_signals(
    plan: Plan, history: History, feeds: Sequence[Feed], found: Sequence[Signals]
) -> Account:
    """Run the account loop over the signals of each symbol."""
    tape, symbols = _joined(plan.strategy, history, feeds, found)
    book = _record(BOOK, **_book(plan, history.interval))
    hours = (history.end - history.start) // HOUR_MS + 2
    waiting = CANDIDATES_A_SYMBOL * len(symbols)
    out = Out(
        trades=np.empty(len(tape.entries), TRADE),
        samples=np.empty((hours, 3)),
        candidates=np.empty((waiting, 3), np.int64),
    )
    _account_loop()(symbols, book, tape, out)
    return Account(symbols, book[0], out)


@cache
def _account_loop() -> Any:
    return cached(trade_all, "account")


def trade_all(symbols: Any, book: Any, tape: Tape, out: Out) -> None:
    """`trade` for a book that comes as an array of one, as numpy makes them."""
    trade(symbols, book[0], tape, out)


def _book(plan: Plan, interval: int) -> dict[str, float]:
    sizing = plan.strategy.sizing
    return {
        "interval": interval,
        "per_ms": 1.0 / interval,
        "per_candle": interval / plan.strategy.timeframe,
        "fee": plan.fee,
        "slippage": plan.slippage,
        "sides": SIDES[plan.sides],
        "liquidation_loss": (1.0 - maintenance(sizing.leverage)) / sizing.leverage,
        "bankruptcy_loss": 1.0 / sizing.leverage,
        "balance": plan.deposit,
        **sizing._asdict(),
    }


def _record(kind: np.dtype[Any], **values: float) -> Any:
    """An array of one record; fields that are not given are 0."""
    record = np.zeros(1, kind)
    for name, value in values.items():
        record[name] = value
    return record


def _joined(
    strategy: Strategy, history: History, feeds: Sequence[Feed], found: Sequence[Signals]
) -> tuple[Tape, Any]:
    """All symbols' arrays one after the other, and a record for each that says where."""
    symbols = np.zeros(len(feeds), SYMBOL)
    firsts = _starts([len(each.candles.ts) for each in feeds])
    bars = _starts([len(each.bars.ts) for each in feeds])
    entries = _starts([len(each.entries) for each in found])
    rates = _starts([len(each.rates) for each in feeds])
    for s, symbol in enumerate(history.symbols):
        symbols[s] = _record(
            SYMBOL,
            first=firsts[s],
            end=firsts[s + 1],
            bars_end=bars[s + 1],
            entries_end=entries[s + 1],
            rates_first=rates[s],
            first_stamp=feeds[s].first_stamp,
            at=firsts[s] - 1,
            bar=bars[s],
            entry=entries[s],
            **_rules_of(history.instruments[symbol]),
            **strategy.exits_for(symbol)._asdict(),
        )[0]
    tape = Tape(
        ts=_join([each.candles.ts for each in feeds]),
        open=_join([each.candles.open for each in feeds]),
        high=_join([each.candles.high for each in feeds]),
        low=_join([each.candles.low for each in feeds]),
        close=_join([each.candles.close for each in feeds]),
        completed_by=_join(
            [_moved(each.completed_by, first) for each, first in zip(feeds, firsts, strict=False)]
        ),
        exits=_join([each.exits for each in found]),
        entries=_join([_shifted(each, bar) for each, bar in zip(found, bars, strict=False)]),
        rates=_join([each.rates for each in feeds]),
    )
    return tape, symbols


def _starts(lengths: list[int]) -> list[int]:
    return [0, *map(int, np.cumsum(lengths))]


def _join(arrays: list[Any]) -> Any:
    """One array after the other; a single one without a copy where its memory allows it."""
    return np.ascontiguousarray(arrays[0]) if len(arrays) == 1 else np.concatenate(arrays)


def _moved(indexes: Indexes, first: int) -> Indexes:
    """Indexes into one symbol's candles as indexes into those of all."""
    return indexes + first if first else indexes


def _shifted(found: Signals, bars: int) -> Floats:
    """Entries whose bars are counted over all symbols."""
    if not bars:
        return found.entries
    entries = found.entries.copy()
    entries[:, BAR] += bars
    return entries


def _rules_of(instrument: Instrument) -> Mapping[str, float]:
    """An instrument's rules; a step is held as whole units of a power of ten, so that steps
    times units over scale is the float nearest to the exact decimal."""
    tick_units, tick_scale = instrument.tick.as_integer_ratio()
    step_units, step_scale = instrument.quantity_step.as_integer_ratio()
    return {
        "tick": float(instrument.tick),
        "tick_units": tick_units,
        "tick_scale": tick_scale,
        "step": float(instrument.quantity_step),
        "step_units": step_units,
        "step_scale": step_scale,
        "quantity_min": float(instrument.quantity_min),
        "quantity_max": float(instrument.quantity_max),
        "notional_min": float(instrument.notional_min),
        "leverage_max": instrument.leverage_max,
    }


def net_of(trades: Trades) -> Floats:
    """The profit of each trade after all costs."""
    net: Floats = trades["gross"] - trades["fees"] + trades["funding"]
    return net


def _reason(code: float) -> Reason:
    return OWN_REASONS[int(code)] if code < 0 else REASONS[int(code)]


def _trip(trade: Any, symbols: Sequence[str]) -> RoundTrip:
    return RoundTrip(
        symbol=symbols[int(trade["symbol"])],
        side=int(trade["side"]),
        entry_time=int(trade["entry_time"]),
        exit_time=int(trade["exit_time"]),
        entry_price=float(trade["entry_price"]),
        exit_price=float(trade["exit_price"]),
        quantity=float(trade["quantity"]),
        entry_tag=str(_reason(trade["entry_reason"])),
        exit_reason=str(_reason(trade["exit_reason"])),
        gross=float(trade["gross"]),
        fees=float(trade["fees"]),
        funding=float(trade["funding"]),
        slippage=float(trade["slippage"]),
        risk=None if isnan(trade["risk"]) else float(trade["risk"]),
    )


def _held(symbol: str, record: Any, price: float) -> Held:
    quantity = float(record["quantity"])
    entry = float(record["price"])
    return Held(
        symbol=symbol,
        side=1 if quantity > 0 else -1,
        quantity=abs(quantity),
        entry_time=int(record["opened_at"]),
        entry_price=entry,
        price=price,
        profit=quantity * (price - entry),
    )
