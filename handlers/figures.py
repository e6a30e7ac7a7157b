"""Figures of the metrics as people read them: the value and its n, or why there is none."""

import re
from collections.abc import Iterable
from decimal import Decimal

from engine.metrics import TITLES, Metric, Report, Row, Unit
from handlers.reply import Duration, Money, Percent, Table, Time, Value, Word, show

# What a name of a field can't hold.
NO_NAME = re.compile(r"[^a-z0-9]+")
# What a ratio is made of is said beside it; sums and counts stand for themselves.
WITH_N = {Unit.RATIO, Unit.FRACTION, Unit.MS}
# What may be gained or lost: these have a sign, costs and depths have none.
SIGNED = {
    "return", "buy_and_hold", "cagr", "net_profit", "roi", "best_day", "worst_day", "expectancy",
    "mean_win", "mean_loss", "best_trade", "worst_trade", "gross_profit", "gross_loss", "funding",
}  # fmt: skip


def figure(metric: Metric, signed: bool = False) -> str:
    """One figure in words: `1.32 (n 30)`, `+12.40`, `n/a: needs 2 days, has 1`."""
    if metric.value is None:
        return f"n/a: {metric.why}"
    text = show(_typed(metric.value, metric.unit, signed))
    return f"{text} (n {metric.n:,})" if metric.unit in WITH_N else text


def figures(report: Report, keys: Iterable[str]) -> dict[str, Value]:
    """These figures of a report, as fields that are called as they are everywhere."""
    return {field_name(key): figure(report[key], key in SIGNED) for key in keys}


def field_name(key: str) -> str:
    """The label of a figure as the name of a field: `time_in_the_market` of `exposure`."""
    return NO_NAME.sub("_", TITLES[key].label.lower()).strip("_")


def cell(key: str, metric: Metric) -> Value:
    """A figure as a value of a table, without its n; `n/a` where it is not defined."""
    return "n/a" if metric.value is None else _typed(metric.value, metric.unit, key in SIGNED)


def money(amount: float, signed: bool = True) -> Money:
    """An amount of quote currency out of a float, whose noise is left out."""
    return Money(Decimal(repr(round(amount, 8))), signed)


def rate(metric: Metric) -> Percent | None:
    """A share as a value of a table; None where it is not defined."""
    return None if metric.value is None else Percent(metric.value)


def rows_table(title: str, name: str, rows: Iterable[Row], empty: str) -> Table:
    """A breakdown of trades; `name` is what its first column holds."""
    columns = (name, "trades", "wins", "win_rate", "net", "mean", "fees")
    return Table(title, columns, tuple(map(_row, rows)), empty)


def _row(row: Row) -> tuple[Value, ...]:
    return (
        Word(row.key),
        row.trades,
        row.wins,
        rate(row.win_rate),
        money(row.net),
        money(row.mean),
        money(row.fees, signed=False),
    )


def _typed(value: float, unit: Unit, signed: bool) -> Value:
    match unit:
        case Unit.MONEY:
            return money(value, signed)
        case Unit.FRACTION:
            return Percent(value, signed)
        case Unit.RATIO:
            return f"{value:,.2f}"
        case Unit.COUNT:
            return round(value)
        case Unit.MS:
            return Duration(round(value))
        case Unit.TIME:
            return Time(round(value))
