"""What the account loop reads and writes: records of numpy, and tuples of arrays.

A record is the form in which compiled functions change what they are handed. Indexes run over
the joined candles, bars and entries of all symbols; times are UTC ms, money is quote currency.
"""

from typing import Any, NamedTuple, get_type_hints

import numpy as np
from numpy.typing import NDArray

from engine.columns import Floats, Times
from engine.strategies.exits import Exits
from engine.strategies.sizing import Sizing

# Later than every candle, in UTC ms.
NEVER = 1 << 62

# An entry is approved first, and counts as an order when the exchange has taken it.
NO_ORDER, APPROVED, ENTRY, EXIT = 0, 1, 2, 3

# Reasons of the exchange's own closing, below those of strategies.
BY_STOP, BY_TRAILING, BY_TARGET, BY_LIQUIDATION, BY_AGE = -1.0, -2.0, -3.0, -4.0, -5.0


def _rules_of(rules: type[Any]) -> list[tuple[str, type[Any]]]:
    """The fields of Exits or Sizing, as they stand in a record beside what changes."""
    hints = get_type_hints(rules).items()
    return [(name, np.int64 if kind is int else np.float64) for name, kind in hints]


SYMBOL = np.dtype(
    [
        # Where its candles, bars, entries and rates are in the joined arrays.
        ("first", np.int64), ("end", np.int64), ("bars_end", np.int64),
        ("entries_end", np.int64), ("rates_first", np.int64), ("first_stamp", np.int64),
        # The instrument's rules; a rounded number is steps * units / scale.
        ("tick", np.float64), ("tick_units", np.float64), ("tick_scale", np.float64),
        ("step", np.float64), ("step_units", np.float64), ("step_scale", np.float64),
        ("quantity_min", np.float64), ("quantity_max", np.float64),
        ("notional_min", np.float64), ("leverage_max", np.float64),
        *_rules_of(Exits),
        # Where it stands: the last candle taken, the next bar and entry, when it wakes.
        ("at", np.int64), ("bar", np.int64), ("entry", np.int64), ("wake", np.int64),
        # The order on its way.
        ("order", np.int64), ("order_side", np.float64), ("order_quantity", np.float64),
        ("order_reason", np.float64), ("order_rank", np.int64),
        # The position and its protection; a level of 0 is not set.
        ("quantity", np.float64), ("price", np.float64), ("opened_at", np.int64),
        ("reason", np.float64), ("fees", np.float64),
        ("funding", np.float64), ("slippage", np.float64), ("risk", np.float64),
        ("next_stamp", np.int64), ("rests_until", np.int64), ("trailing", np.int64),
        ("stop", np.float64), ("target", np.float64), ("distance", np.float64),
        ("activation", np.float64), ("break_even_at", np.float64),
        ("break_even_stop", np.float64), ("liquidation", np.float64),
    ]
)  # fmt: skip
BOOK = np.dtype(
    [
        # What holds for the whole account: costs as fractions of the notional, +1 for long only
        # and -1 for short only, the moves against a position, as fractions of its price, at
        # which it is liquidated and at which its margin is gone. `per_ms` is how many candles
        # there usually are to a ms, `per_candle` how many bars to a candle.
        ("interval", np.int64), ("per_ms", np.float64), ("per_candle", np.float64),
        ("fee", np.float64), ("slippage", np.float64),
        ("sides", np.int64), ("liquidation_loss", np.float64), ("bankruptcy_loss", np.float64),
        *_rules_of(Sizing),
        # Where it stands.
        ("balance", np.float64), ("next_sample", np.int64), ("settle_at", np.int64),
        ("samples", np.int64), ("trades", np.int64), ("candidates", np.int64),
        ("approved", np.int64),
    ]
)  # fmt: skip

TRADE = np.dtype(
    [
        ("symbol", np.int64), ("side", np.float64), ("quantity", np.float64),
        ("entry_time", np.int64), ("entry_price", np.float64), ("entry_reason", np.float64),
        ("exit_time", np.int64), ("exit_price", np.float64), ("exit_reason", np.float64),
        ("gross", np.float64), ("fees", np.float64), ("funding", np.float64),
        ("risk", np.float64), ("slippage", np.float64),
    ]
)  # fmt: skip

Symbols = Any
Symbol = Any
Book = Any
Trades = Any


class Tape(NamedTuple):
    """The joined arrays of all symbols, oldest first within each.

    `ts` to `close` are candles, `completed_by` is for each bar the index of the candle that
    completed it, `exits` and `entries` are those of engine.backtest.signals, `rates` the funding
    rate of every settlement.
    """

    ts: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    completed_by: Times
    exits: NDArray[np.uint8]
    entries: Floats
    rates: Floats


class Out(NamedTuple):
    """Where results are written: closed trades; worths at full hours as rows of time, balance
    and equity; entries that wait, as rows of symbol, entry and the time of the signal."""

    trades: Trades
    samples: Floats
    candidates: NDArray[np.int64]


def exits_of(symbol: Symbol) -> Exits:
    return Exits(
        symbol.stop_loss,
        symbol.take_profit,
        symbol.trail,
        symbol.trail_activation,
        symbol.max_age_ms,
        symbol.cooldown_ms,
        symbol.break_even,
        symbol.break_even_buffer,
        symbol.losing_age_ms,
        symbol.cooldown_block_ms,
    )


def sizing_of(book: Book) -> Sizing:
    return Sizing(
        book.margin,
        book.margin_cap,
        book.leverage,
        book.fixed,
        book.risk,
        book.share_cap,
        book.slots,
        book.free_at_break_even,
        book.free_min,
    )
