"""Backtrader's own test of an SMA crossing, on both speeds: the same orders at the same prices.

A commission per order and a contract's multiplier are not ours: the fee is a share of what is
traded. They are taken from the outcome by hand, 2 an order, and ten units stand for the
multiplier. Their margin of 1,000 a contract has no counterpart.
"""

import csv
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backtest import exact, fast
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.candle import DAY_MS, FUNDING_EVERY_MS
from engine.columns import Columns, Rates
from engine.instrument import Instrument
from engine.order import ZERO
from tests.engine.backtest.crosses import CROSS, SOURCE
from tests.engine.conftest import D

DEPOSIT = 1_000_000.0
THEIR_CASH = 10_000.0
SYMBOL = "INDEXUSDT"
# What buys one unit, and no second, at any price of that year; and their commission.
ONE = 6_000.0
MULTIPLIER = 10
COMMISSION = 2.0
SPEEDS = ("fast", "exact")


@cache
def expected(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "expected.json").read_text())


@cache
def history(folder: Path, step: int) -> History:
    with (folder / "2006-day-001.csv").open() as file:
        rows = [
            (datetime.fromisoformat(f"{row['Date']}T00:00:00+00:00").timestamp() * 1000,
             *(float(row[name]) for name in ("Open", "High", "Low", "Close")), 1.0)
            for row in csv.DictReader(file)
        ]  # fmt: skip
    table = np.array(rows)
    ts = table[:, 0].astype(np.int64)
    stamps = np.arange(ts[0], ts[-1] + 2 * DAY_MS, FUNDING_EVERY_MS)
    rules = Instrument(SYMBOL, D("0.01"), D(step), D(step), D(1000), ZERO, 100, D(10**9))
    columns = Columns(ts, *map(np.ascontiguousarray, table.T[1:]))
    rates = Rates(stamps, np.zeros(len(stamps)))
    return made(DAY_MS, {SYMBOL: columns}, {SYMBOL: rates}, {SYMBOL: rules})


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "backtests" / "backtrader_sma15"


def run(folder: Path, speed: str, units: int = 1, **values: float) -> Outcome:
    strategy = CROSS.tuned({"fixed": ONE * units, **values})
    plan = Plan(strategy, deposit=DEPOSIT, fee=0.0, slippage=0.0)
    candles = history(folder, units)
    return fast.run(plan, candles, SOURCE) if speed == "fast" else exact.run(plan, candles)


def profit(outcome: Outcome) -> float:
    return outcome.equity - DEPOSIT


@pytest.mark.parametrize("speed", SPEEDS)
def test_orders_are_made_and_filled_at_the_same_prices(folder: Path, speed: str) -> None:
    outcome = run(folder, speed)
    columns = history(folder, 1).columns[SYMBOL]
    opened = [(each.entry_time, each.entry_price) for each in (*outcome.trips, *outcome.held)]
    left = [(each.exit_time, each.exit_price) for each in outcome.trips]
    for found, side in ((opened, "BUY"), (left, "SELL")):
        asked = [columns.close[np.searchsorted(columns.ts, ts) - 1] for ts, _ in found]
        assert [f"{price:.2f}" for price in asked] == expected(folder)[f"{side}CREATE"]
        assert [f"{price:.2f}" for _, price in found] == expected(folder)[f"{side}EXEC"]


@pytest.mark.parametrize("speed", SPEEDS)
def test_final_values_are_the_same(folder: Path, speed: str) -> None:
    stocks, futures = run(folder, speed), run(folder, speed, MULTIPLIER)
    orders = 2 * len(futures.trips) + len(futures.held)
    assert f"{THEIR_CASH + profit(stocks):.2f}" == expected(folder)["stock_like"]["final_value"]
    after_costs = THEIR_CASH + profit(futures) - COMMISSION * orders
    assert f"{after_costs:.2f}" == expected(folder)["futures_like"]["final_value"]


@pytest.mark.parametrize("speed", SPEEDS)
def test_forty_averages_bought_once_and_held(folder: Path, speed: str) -> None:
    values = [
        f"{THEIR_CASH + profit(run(folder, speed, MULTIPLIER, length=n, holds=1.0)) - 2.0:.2f}"
        for n in range(5, 45)
    ]
    assert values == expected(folder)["CHKVALUES"]
