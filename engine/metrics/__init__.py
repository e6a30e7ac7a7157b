"""Metrics: what a series of equity and a list of closed trades say, in figures and tables.

One implementation for backtest, paper and live, pure and without numpy. What is not defined is
None with its reason, never a number.
"""

from engine.metrics.breakdown import GROUPINGS, Row, breakdown
from engine.metrics.facts import DAYS_A_YEAR, Mark, Metric, RoundTrip, Unit
from engine.metrics.montecarlo import Bands, Resampled, resampled, shuffled_drawdown
from engine.metrics.report import TITLES, Report, Title, measure
from engine.metrics.returns import Trials, daily_equity, daily_returns

__all__ = [
    "DAYS_A_YEAR",
    "GROUPINGS",
    "TITLES",
    "Bands",
    "Mark",
    "Metric",
    "Report",
    "Resampled",
    "Row",
    "RoundTrip",
    "Title",
    "Trials",
    "Unit",
    "breakdown",
    "daily_equity",
    "daily_returns",
    "measure",
    "resampled",
    "shuffled_drawdown",
]
