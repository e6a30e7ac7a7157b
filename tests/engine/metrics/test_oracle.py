"""The recorded cases of empyrical: our definitions are the field's."""

import json
from functools import cache
from math import isfinite
from pathlib import Path

import pytest

from engine.metrics.drawdown import deepest
from engine.metrics.facts import Metric, known, quotient, too_few
from engine.metrics.returns import (
    annual_return,
    compounded,
    downside_risk,
    omega,
    sharpe,
    sortino,
    volatility,
)
from tests.engine.conftest import BESIDE
from tests.engine.metrics.trips import daily

FILE = BESIDE / "metrics" / "empyrical_reference.json"

Series = list[float | None]


@cache
def oracle(path: Path = FILE) -> dict[str, object]:
    return json.loads(path.read_text()) if path.is_file() else {"series": {}, "cases": []}


def name_of(case: dict[str, object]) -> str:
    return f"{case['metric']}-{case['returns']}-{case['expected']}"


def series(value: float | str, length: int) -> Series:
    """A benchmark of the oracle: the name of a series or one rate for all periods."""
    return oracle()["series"][value] if isinstance(value, str) else [value] * length


def excess(case: dict[str, object], field: str) -> list[float]:
    """Returns above the benchmark. A first period without a price before it has none."""
    returns = oracle()["series"][case["returns"]]
    benchmark = series(case.get(field, 0), len(returns))
    pairs = zip(returns, benchmark, strict=True)
    return [each - other for each, other in pairs if each is not None]


def elapsed(case: dict[str, object]) -> list[float]:
    """Returns of all periods: time went by in the first one too."""
    return [each or 0.0 for each in oracle()["series"][case["returns"]]]


def a_year(case: dict[str, object]) -> float:
    return case.get("periods_per_year", 252)


def fall(case: dict[str, object]) -> Metric:
    returns = elapsed(case)
    if not returns:
        return too_few(1, 0, "return")
    return known(deepest(daily(*compounded(returns))).depth, len(returns))


def yearly(case: dict[str, object]) -> Metric:
    returns = elapsed(case)
    years = len(returns) / a_year(case)
    if not returns:
        return too_few(1, 0, "return")
    return annual_return(compounded(returns)[-1], years, len(returns))


def final(case: dict[str, object]) -> Metric:
    growth = compounded(elapsed(case))[-1]
    start = case["starting_value"]
    return known(start * growth if start else growth - 1.0, 1)


def negative(metric: Metric) -> Metric:
    """The oracle's drawdown is a loss below zero."""
    return metric._replace(value=None if metric.value is None else -metric.value)


OURS = {
    "max_drawdown": lambda case: negative(fall(case)),
    "annual_return": yearly,
    "annual_volatility(ddof=1)": lambda case: volatility(excess(case, ""), a_year(case)),
    "calmar_ratio": lambda case: quotient(yearly(case), fall(case), "equity never fell"),
    "omega_ratio": lambda case: omega(
        excess(case, "risk_free"), a_year(case), case["required_return_annual"]
    ),
    "sharpe_ratio(ddof=1)": lambda case: sharpe(excess(case, "risk_free"), a_year(case)),
    "downside_risk": lambda case: downside_risk(excess(case, "required_return"), a_year(case)),
    "sortino_ratio": lambda case: sortino(excess(case, "required_return"), a_year(case)),
    "cum_returns_final": final,
}


@pytest.mark.parametrize("case", oracle()["cases"], ids=name_of)
def test_a_recorded_case_comes_out_as_recorded(case):
    found = OURS[case["metric"]](case)
    expected = float(case["expected"])
    if isfinite(expected):
        assert found.value == pytest.approx(expected, abs=case["abs_tol"])
    else:
        assert found.value is None
        assert found.why


def test_all_recorded_cases_are_run(shared):
    assert len(oracle(shared / "data" / "metrics" / FILE.name)["cases"]) == 65
    assert {case["metric"] for case in oracle()["cases"]} == set(OURS)
