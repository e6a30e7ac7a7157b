"""The curve of buying and holding."""

import numpy as np

from engine.backtest.history import made
from engine.backtest.hold import hold
from engine.candle import HOUR_MS
from engine.columns import Columns, Rates
from engine.instrument import MAJORS
from tests.engine.backtest.puppets import T0

NO_RATES = Rates(np.empty(0, np.int64), np.empty(0))


def columns(first: int, *closes: float) -> Columns:
    """Bars that open where the one before closed, the first at 100."""
    ts = T0 + (first + np.arange(len(closes), dtype=np.int64)) * HOUR_MS
    close = np.array(closes)
    opens = np.concatenate(([100.0], close[:-1]))
    return Columns(ts, opens, opens, opens, close, close)


def test_a_worth_is_that_of_the_last_close_before_it() -> None:
    bars = {"BTCUSDT": columns(0, 110.0, 120.0)}
    history = made(HOUR_MS, bars, {"BTCUSDT": NO_RATES}, MAJORS)
    times = [T0, T0 + HOUR_MS - 1, T0 + HOUR_MS, T0 + 2 * HOUR_MS, T0 + 9 * HOUR_MS]
    assert hold(history, 1000.0, times) == tuple(
        zip(times, (1000.0, 1000.0, 1100.0, 1200.0, 1200.0), strict=True)
    )


def test_symbols_have_equal_parts_and_cash_until_they_begin() -> None:
    bars = {"BTCUSDT": columns(0, 200.0, 200.0, 200.0), "ETHUSDT": columns(1, 50.0, 50.0)}
    rates = dict.fromkeys(bars, NO_RATES)
    history = made(HOUR_MS, bars, rates, MAJORS)
    worths = [mark.equity for mark in hold(history, 1000.0, [T0, T0 + HOUR_MS, T0 + 2 * HOUR_MS])]
    assert worths == [1000.0, 1500.0, 1250.0]
