"""What holding would have been worth: the curve that a backtest is looked at beside."""

from collections.abc import Sequence

import numpy as np

from engine.backtest.history import History
from engine.metrics import Mark


def hold(history: History, deposit: float, times: Sequence[int]) -> tuple[Mark, ...]:
    """The worth, at each of `times` (UTC ms), of a deposit that bought every symbol at its first
    price in equal parts and did nothing more; before a symbol's first candle its part is cash."""
    at = np.asarray(times, np.int64)
    worth = np.zeros(len(at))
    for columns in history.columns.values():
        seen = np.searchsorted(columns.ts + history.interval, at, side="right") - 1
        prices = np.where(seen < 0, columns.open[0], columns.close[np.maximum(seen, 0)])
        worth += prices / columns.open[0]
    worth *= deposit / len(history.columns)
    return tuple(map(Mark, at.tolist(), worth.tolist()))
