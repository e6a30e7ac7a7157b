"""Freqtrade's hand-written bar tables: which of its rules inside a bar are ours, on both speeds.

docs/backtest.md tells the same in words. Distances are counted from the close with the signal
here and from the fill there: the tables are made to open where they closed, as Bybit's do.
"""

import json
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backtest import exact, fast
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.candle import MINUTE_MS
from engine.columns import Columns, Rates
from engine.instrument import MAJORS
from engine.metrics import RoundTrip
from engine.strategies.kernel import Strategy
from tests.engine.backtest.puppets import PUPPET, SOURCE, T0

SYMBOL = "BTCUSDT"
# Bars before the first of a table: warm-up, and what a backtest asks for beyond it.
BEFORE = 15
BUY, SELL, LONGS_OUT, SHORTS_OUT = 1.0, 2.0, 3.0, 4.0
REASONS = {
    "stop_loss": "stop_loss",
    "trailing_stop": "trailing_stop_loss",
    "take_profit": "roi",
    "time_exit": "roi",
    "short_exit": "exit_signal",
}
AT_THE_OPEN = ("time_exit", "short_exit")

# Entry bar, exit bar, reason and result are freqtrade's.
SHARED = [f"tc{number}" for number in (*range(8), 10, 13, 14, 15, 17, 21, 22, 23, *range(25, 31),
                                       32, 33)]  # fmt: skip
FIXED = "our trail is a distance in price that is fixed at the entry, theirs a share of the best"
TRIED_FIRST = "we try a bar against the older stop before its high moves it"
TARGET_FIRST = "our target is met by a high that is exactly there"
# What we make of the same table where the rule is another.
OURS = {
    "tc8": ((1, 3, "trailing_stop_loss", -0.05), FIXED),
    "tc9": ((1, 3, "trailing_stop_loss", -0.09), TRIED_FIRST),
    "tc11": ((1, 2, "trailing_stop_loss", 0.02), FIXED),
    "tc12": ((1, 2, "trailing_stop_loss", 0.02), FIXED),
    "tc24": ((1, 2, "trailing_stop_loss", 0.02), FIXED),
    "tc31": ((1, 2, "trailing_stop_loss", 0.02), FIXED),
    "tc34": ((1, 1, "roi", 0.1), TARGET_FIRST),
    "tc35": ((1, 1, "roi", 0.1), TARGET_FIRST),
}
# What our strategies have no words for.
NOT_EXPRESSED = {
    **dict.fromkeys(["tc16", "tc18", "tc19", "tc20"], "a target that changes with age"),
    **dict.fromkeys(["tc36", "tc37", "tc38"], "a stop made by a callback"),
    **dict.fromkeys([f"tc{n}" for n in (*range(39, 47), *range(48, 54))], "limit orders"),
    "tc47": "both sides at once: a signal has one",
}

Trade = tuple[int, int, str, float]


@cache
def cases(path: Path) -> dict[str, dict[str, Any]]:
    return {case["name"]: case for case in json.loads(path.read_text())["cases"]}


def case_of(shared: Path, name: str) -> dict[str, Any]:
    return cases(shared / "data/backtests/freqtrade_scenarios/fill_scenarios.json")[name]


def strategy_of(case: dict[str, Any]) -> Strategy:
    leverage = case.get("leverage", 1.0)
    stop = -case["stop_loss"] / leverage
    values = {"stop_loss": stop, "take_profit": case["roi"]["0"]}
    if case.get("trailing_stop"):
        values["trail"] = case.get("trailing_stop_positive") or stop
        if case.get("trailing_only_offset_is_reached"):
            values["trail_activation"] = case["trailing_stop_positive_offset"]
    # An ROI of -1 is a greatest age.
    for minutes, roi in case["roi"].items():
        if roi == -1:
            values["max_age"] = float(minutes) / 60 * MINUTE_MS
    return PUPPET.tuned(values)


def history_of(case: dict[str, Any]) -> History:
    rows = [[5000.0, 5000.0, 5000.0, 5000.0, 100.0]] * BEFORE
    for row, following in zip_longest(case["data"], case["data"][1:]):
        prices = list(map(float, row[1:5]))
        said = dict(zip(case["columns"], row, strict=True))
        entry = BUY * said["enter_long"] + SELL * said.get("enter_short", 0)
        leaving = LONGS_OUT * said["exit_long"] + SHORTS_OUT * said.get("exit_short", 0)
        if entry and following:
            prices[3] = float(following[1])
        rows.append([*prices, 100.0 + entry + leaving])
    table = np.array(rows)
    ts = T0 + np.arange(len(rows), dtype=np.int64) * MINUTE_MS
    columns = Columns(ts, *map(np.ascontiguousarray, table.T))
    stamps = Rates(np.array([T0], np.int64), np.zeros(1))
    return made(MINUTE_MS, {SYMBOL: columns}, {SYMBOL: stamps}, MAJORS)


def trade_of(trip: RoundTrip, leverage: float) -> Trade:
    bar = (trip.exit_time - T0) // MINUTE_MS - BEFORE
    result = trip.side * (trip.exit_price / trip.entry_price - 1.0) * leverage
    return (
        (trip.entry_time - T0) // MINUTE_MS - BEFORE,
        bar - (trip.exit_reason not in AT_THE_OPEN),
        REASONS[trip.exit_reason],
        round(result, 3),
    )


def run(case: dict[str, Any], speed: str) -> Outcome:
    plan = Plan(strategy_of(case), fee=0.0, slippage=0.0)
    history = history_of(case)
    return fast.run(plan, history, SOURCE) if speed == "fast" else exact.run(plan, history)


def trades(case: dict[str, Any], speed: str) -> list[Trade]:
    return [trade_of(trip, case.get("leverage", 1.0)) for trip in run(case, speed).trips]


@pytest.mark.parametrize("speed", ["fast", "exact"])
@pytest.mark.parametrize("name", SHARED)
def test_a_rule_that_we_share(shared: Path, name: str, speed: str) -> None:
    case = case_of(shared, name)
    found = trades(case, speed)
    expected = [(each["open_tick"], each["close_tick"], each["exit_reason"])
                for each in case["trades"]]  # fmt: skip
    assert [trade[:3] for trade in found] == expected
    assert sum(trade[3] for trade in found) == pytest.approx(case["profit_perc"], abs=6e-4)


@pytest.mark.parametrize("speed", ["fast", "exact"])
@pytest.mark.parametrize("name", OURS)
def test_a_rule_of_our_own(shared: Path, name: str, speed: str) -> None:
    case = case_of(shared, name)
    ours, _ = OURS[name]
    assert trades(case, speed) == [ours]
    [theirs] = case["trades"]
    assert ours[:3] != (1, theirs["close_tick"], theirs["exit_reason"]) or (
        ours[3] != case["profit_perc"]
    )


def test_every_table_is_accounted_for(shared: Path) -> None:
    path = shared / "data/backtests/freqtrade_scenarios/fill_scenarios.json"
    assert sorted([*SHARED, *OURS, *NOT_EXPRESSED]) == sorted(cases(path))
