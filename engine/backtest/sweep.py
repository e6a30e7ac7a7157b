"""Many parameter sets over the same candles, on all threads that are asked for.

The compiled loops hold no lock of the interpreter, so threads share candles and memory. What
comes back is a summary of each set, with the figures of engine.metrics; run the chosen ones for
the rest.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from math import isnan, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.backtest import fast
from engine.backtest.compiled import cached
from engine.backtest.feed import Feed
from engine.backtest.history import History, fit
from engine.backtest.plan import Plan
from engine.backtest.records import Trades
from engine.backtest.signals import Signals, signals
from engine.candle import DAY_MS
from engine.columns import Floats
from engine.metrics import DAYS_A_YEAR
from engine.metrics.returns import NOISE

THREADS = 2


class Summary(NamedTuple):
    """What a parameter set did: `total_return` and `max_drawdown` are fractions, `sharpe` is
    annualized over whole UTC days and None where it is not defined."""

    values: Mapping[str, float]
    trades: int
    wins: int
    total_return: float
    max_drawdown: float
    sharpe: float | None


def sweep(
    plan: Plan,
    history: History,
    candidates: Sequence[Mapping[str, float]],
    threads: int = THREADS,
    source: Path | None = None,
) -> list[Summary]:
    """The summary of each set of parameter values, in the order given.

    Raises BadInput for a value out of its bounds, and for candles that a set can't run on,
    before anything runs.
    """
    plans = [replace(plan, strategy=plan.strategy.tuned(values)) for values in candidates]
    if not plans:
        return []
    for each in plans:
        fit(each.strategy, history)
    known = KnownSignals(history, source)
    # The first one compiles: by itself, so that the others find what it made.
    first = known.summary(plans[0], candidates[0])
    with ThreadPoolExecutor(threads) as pool:
        return [first, *pool.map(known.summary, plans[1:], candidates[1:])]


class KnownSignals:
    """Signals that were found last, for sets that differ in exits or size alone."""

    def __init__(self, history: History, source: Path | None) -> None:
        self._history = history
        self._source = source
        self._last: tuple[Any, list[Signals]] | None = None
        self._feeds: dict[tuple[int, int], list[Feed]] = {}

    def summary(self, plan: Plan, values: Mapping[str, float]) -> Summary:
        return _summary(self.account(plan), plan, self._history, values)

    def account(self, plan: Plan) -> fast.Account:
        """What the plan leaves behind on these candles."""
        strategy = plan.strategy
        span = (strategy.timeframe, strategy.higher)
        feeds = self._feeds.get(span)
        if feeds is None:
            feeds = list(fast.feeds_of(strategy, self._history).values())
            self._feeds[span] = feeds
        key = (strategy.name, strategy.params, strategy.pipeline, span)
        last = self._last
        if last is not None and last[0] == key:
            found = last[1]
        else:
            interval = self._history.interval
            found = [signals(strategy, each, interval, self._source) for each in feeds]
            self._last = (key, found)
        return fast.trade_signals(plan, self._history, feeds, found)


def summary_until(
    account: fast.Account, plan: Plan, values: Mapping[str, float], start: int, end: int
) -> Summary:
    """What an account that began at `start` had done by `end` (UTC ms): no rule looks ahead, so
    it is that of a backtest which ends there."""
    seen = int(np.searchsorted(account.samples[:, 0], end, side="right"))
    equity = float(account.samples[seen - 1, 2]) if seen else plan.deposit
    trades = account.trades[account.trades["exit_time"] <= end]
    return _of(account.samples[:seen], trades, plan.deposit, equity, values, start, end)


def _summary(
    account: fast.Account, plan: Plan, history: History, values: Mapping[str, float]
) -> Summary:
    equity = account.balance
    for symbol, record in zip(history.symbols, account.symbols, strict=True):
        price = float(history.columns[symbol].close[-1])
        equity += float(record["quantity"]) * (price - float(record["price"]))
    return _of(
        account.samples, account.trades, plan.deposit, equity, values, history.start, history.end
    )


def _of(
    samples: Floats,
    trades: Trades,
    deposit: float,
    equity: float,
    values: Mapping[str, float],
    start: int,
    end: int,
) -> Summary:
    total, drawdown, sharpe = _figures()(samples, deposit, equity, start, end, np.empty(3))
    return Summary(
        values=values,
        trades=len(trades),
        wins=int(np.count_nonzero(fast.net_of(trades) > 0.0)),
        total_return=float(total),
        max_drawdown=float(drawdown),
        sharpe=None if isnan(sharpe) else float(sharpe),
    )


@cache
def _figures() -> Any:
    return cached(figures, "figures")


def figures(
    samples: Floats, deposit: float, equity: float, start: int, end: int, out: Floats
) -> Floats:
    """Total return, greatest drawdown and annualized Sharpe ratio (nan where not defined).

    The same as engine.metrics makes of the same marks: drawdown over all of them, the Sharpe
    ratio over the returns of whole UTC days.
    """
    peak = deposit
    drawdown = 0.0
    day = start // DAY_MS * DAY_MS
    if day < start:
        day += DAY_MS
    last, at_midnight = deposit, 0.0
    has_midnight = ruined = False
    count, mean, squares = 0, 0.0, 0.0
    size = len(samples)
    for i in range(size + 1):
        ts = samples[i, 0] if i < size else float(end)
        worth = samples[i, 2] if i < size else equity
        while day < ts or (day == ts and i == size):
            if day == ts:
                last = worth
            ruined = ruined or (has_midnight and at_midnight <= 0.0)
            if has_midnight and not ruined:
                change = last / at_midnight - 1.0
                count += 1
                delta = change - mean
                mean += delta / count
                squares += delta * (change - mean)
            at_midnight, has_midnight = last, True
            day += DAY_MS
        last = worth
        peak = max(peak, worth)
        drawdown = max(drawdown, 1.0 - worth / peak)
    out[0] = equity / deposit - 1.0
    out[1] = drawdown
    out[2] = np.nan
    if count > 1 and sqrt(squares / (count - 1)) > NOISE:
        out[2] = mean / sqrt(squares / (count - 1)) * sqrt(DAYS_A_YEAR)
    return out
