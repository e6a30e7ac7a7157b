"""Putting an outcome together: the same for both speeds."""

from collections.abc import Sequence

import numpy as np

from engine.backtest.history import History, check
from engine.backtest.plan import Held, Outcome, Plan
from engine.columns import Columns
from engine.metrics import Mark, RoundTrip
from engine.order import Reason

MET_INSIDE = {
    str(reason)
    for reason in (
        Reason.STOP_LOSS,
        Reason.TRAILING_STOP,
        Reason.TAKE_PROFIT,
        Reason.LIQUIDATION,
    )
}


def outcome(
    plan: Plan,
    history: History,
    trips: Sequence[RoundTrip],
    held: Sequence[Held],
    marks: Sequence[Mark],
    balance: float,
    fees: float,
    funding: float,
) -> Outcome:
    """The outcome of a run: its trades with their excursions, its marks with both ends."""
    equity = balance + sum(each.profit for each in held)
    start, end = history.start, history.end
    inner = [each for each in marks if start < each.ts < end]
    ends = Mark(start, plan.deposit), Mark(end, equity)
    return Outcome(
        plan=plan,
        symbols=history.symbols,
        interval=history.interval,
        start=start,
        end=end,
        bars=history.bars,
        trips=tuple(_with_excursions(each, history.columns[each.symbol]) for each in trips),
        held=tuple(sorted(held, key=lambda each: history.symbols.index(each.symbol))),
        marks=(ends[0], *inner, ends[1]),
        balance=balance,
        equity=equity,
        fees=fees,
        funding=funding,
        prices={
            symbol: (float(columns.open[0]), float(columns.close[-1]))
            for symbol, columns in history.columns.items()
        },
        digest=history.digest,
        remarks=(*history.remarks, *check(plan.strategy, history)),
    )


def _with_excursions(trip: RoundTrip, columns: Columns) -> RoundTrip:
    """The trade with how far the price went for and against it.

    Over the candles held from open to close, and the price it left at; the rest of the candle
    it left in is not its own.
    """
    first, last = np.searchsorted(columns.ts, (trip.entry_time, trip.exit_time))
    # A stop or target is met inside the candle that closes as the trade ends; a signal's exit
    # is filled at the open of the next one.
    whole = slice(first, last - 1 if trip.exit_reason in MET_INSIDE else last)
    low = min(trip.entry_price, trip.exit_price, columns.low[whole].min(initial=np.inf))
    high = max(trip.entry_price, trip.exit_price, columns.high[whole].max(initial=-np.inf))
    down, up = 1.0 - low / trip.entry_price, high / trip.entry_price - 1.0
    adverse, favorable = (down, up) if trip.side > 0 else (up, down)
    return trip._replace(adverse=float(adverse), favorable=float(favorable))
