"""Outcomes as JSON, as rows and as words."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from engine.backtest.serial import (
    EQUITY_COLUMNS,
    TRADE_COLUMNS,
    as_dict,
    csv_text,
    equity_rows,
    report_of,
    trade_rows,
)
from engine.backtest.words import duration, figure, rules, verdict
from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import TITLES, Metric, Unit
from engine.strategies import STRATEGIES
from tests.engine.backtest.outcomes import T0, outcome

ROOT = Path(__file__).parents[3]
VERSIONS = {"python": "3.11"}


def test_an_outcome_survives_json() -> None:
    made = outcome()
    found = as_dict(made, report_of(made), seed=7, versions=VERSIONS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert list(found["metrics"]) == list(TITLES)
    assert found["metrics"]["trades"] == {"value": 2.0, "n": 2, "why": "", "unit": "count"}
    assert (found["seed"], found["versions"], found["data_hash"]) == (7, VERSIONS, made.digest)
    assert (found["params"], found["symbols"]) == ({"distance": 0.01}, ["BTCUSDT", "ETHUSDT"])
    assert (found["candles"], found["timeframe"], found["sides"]) == ("1h", "1m", "both")
    assert found["equity"][0] == [T0, 1000.0]
    assert found["remarks"] == ["BTCUSDT: 1 gap."]


def test_a_trade_says_all_of_itself() -> None:
    made = outcome()
    won, lost = as_dict(made, report_of(made), seed=0, versions={})["trades"]
    assert won == {
        "symbol": "BTCUSDT", "side": "long", "entry_time": T0 + HOUR_MS, "entry_price": 100.0,
        "exit_time": T0 + 4 * HOUR_MS, "exit_price": 110.0, "quantity": 2.0, "bars": 3,
        "entry_reason": "long_entry", "reason": "take_profit", "gross": 20.0, "fee": 1.0,
        "funding": -0.5, "pnl": 18.5, "slippage": 0.25, "risk": 10.0, "adverse": 0.01,
        "favorable": 0.1,
    }  # fmt: skip
    assert (lost["side"], lost["pnl"], lost["slippage"], lost["bars"]) == ("short", -11.0, None, 1)


def test_what_is_open_is_no_trade() -> None:
    made = outcome()
    found = as_dict(made, report_of(made), seed=0, versions={})
    assert found["held"] == [
        {
            "symbol": "BTCUSDT", "side": "short", "quantity": 0.5,
            "entry_time": T0 + 60 * HOUR_MS, "entry_price": 100.0, "price": 90.0, "profit": 5.0,
        }
    ]  # fmt: skip
    assert len(found["trades"]) == 2


def test_csv_reads_back_to_the_same_numbers() -> None:
    made = outcome()
    won, lost = csv.DictReader(io.StringIO(csv_text(TRADE_COLUMNS, trade_rows(made))))
    assert (float(won["pnl"]), won["side"], won["risk"]) == (18.5, "long", "10.0")
    assert (lost["risk"], lost["slippage"]) == ("", "")
    rows = list(csv.DictReader(io.StringIO(csv_text(EQUITY_COLUMNS, equity_rows(made)))))
    assert [(int(row["ts"]), float(row["equity"])) for row in rows] == list(made.marks)


def test_csv_holds_no_formula_and_no_stray_comma() -> None:
    text = csv_text(("a", "b"), [("=1+1", 'one, "two"'), (-1.5, None)])
    assert list(csv.reader(io.StringIO(text))) == [
        ["a", "b"], ["'=1+1", 'one, "two"'], ["-1.5", ""],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (Metric(1234.567, 3, unit=Unit.MONEY), "1,234.57"),
        (Metric(-0.0312, 3, unit=Unit.FRACTION), "-3.12%"),
        (Metric(0.5, 3, unit=Unit.RATIO), "0.50"),
        (Metric(1200.0, 3, unit=Unit.COUNT), "1,200"),
        (Metric(3.0 * HOUR_MS, 3, unit=Unit.MS), "3h"),
        (Metric(T0, 3, unit=Unit.TIME), "2025-01-01 00:00 UTC"),
        (Metric(None, 0, "no trade closed"), "n/a"),
    ],
)
def test_a_figure_is_read_by_its_unit(metric: Metric, said: str) -> None:
    assert figure(metric) == said


def test_a_duration_has_two_parts_at_most() -> None:
    assert [duration(ms) for ms in (0, 59_000, DAY_MS + 61_000, 3 * HOUR_MS + 60_000)] == [
        "0s", "59s", "1d", "3h 1m",
    ]  # fmt: skip


def test_the_verdict_sets_the_result_beside_holding() -> None:
    made = outcome()
    assert verdict(made, report_of(made)) == (
        "Earned 12.50 of 1,000.00 (1.25%) in 3d; buying at the start and holding would have "
        "earned 5.00%, so this did 3.75 points worse. It stands on 2 closed trades: too few to "
        "prove anything."
    )
    made = outcome(equity=900.0, trips=())
    assert verdict(made, report_of(made)) == (
        "Lost 100.00 of 1,000.00 (10.00%) in 3d; buying at the start and holding would have "
        "earned 5.00%, so this did 15.00 points worse. No trade was closed."
    )


def test_the_rules_in_force_are_told_alike_ones_once() -> None:
    strategy = STRATEGIES["shortseller"].tuned({"max_age": 0.0, "leverage": 3.0, "fast": 200.0})
    assert list(rules(strategy, ("ETHUSDT", "DOGEUSDT", "XRPUSDT"))) == [
        "Parameters: fast=200, slow=600, crosses_per_day=12",
        "Exits of ETHUSDT: stop_loss=1.5%, take_profit=4%, trail=2%, trail_activation=2%, "
        "cooldown=1h",
        "Exits of DOGEUSDT, XRPUSDT: stop_loss=1.5%, take_profit=6%, trail=2%, "
        "trail_activation=3%, cooldown=1h",
        "Size: margin=5%, leverage=3",
    ]


def test_putting_into_words_loads_nothing_heavy() -> None:
    code = (
        "import sys, engine.backtest.serial, engine.backtest.words; "
        "print({'numpy', 'numba'} & set(sys.modules) or 'nothing')"
    )
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "nothing\n"
