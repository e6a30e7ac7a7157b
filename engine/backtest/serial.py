"""An outcome as plain data: one JSON object, and rows for tables and CSV.

Light and pure: numpy is not loaded, nothing is written here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.backtest.plan import Outcome
from engine.candle import timeframe_name
from engine.metrics import Report, RoundTrip, Trials, measure

# The columns of a trade, in this order in CSV; docs/backtest.md tells what each of them is.
TRADE_COLUMNS = (
    "symbol", "side", "entry_time", "entry_price", "exit_time", "exit_price", "quantity", "bars",
    "entry_reason", "reason", "gross", "fee", "funding", "pnl", "slippage", "risk", "adverse",
    "favorable",
)  # fmt: skip
EQUITY_COLUMNS = ("ts", "equity")


def report_of(outcome: Outcome, trials: Trials | None = None) -> Report:
    """Every metric of an outcome; `trials` are what its parameters were picked from."""
    return measure(
        outcome.marks,
        outcome.trips,
        deposit=outcome.plan.deposit,
        prices=outcome.prices,
        opened=[each.entry_time for each in outcome.held],
        trials=trials,
    )


def as_dict(
    outcome: Outcome, report: Report, *, seed: int, versions: Mapping[str, str]
) -> dict[str, Any]:
    """An outcome for JSON: times in UTC ms, money in quote currency, fractions not percent.

    `seed` is that of whatever is drawn beside the run, `versions` are those of the programs.
    """
    plan = outcome.plan
    return {
        "strategy": plan.strategy.name,
        "timeframe": timeframe_name(plan.strategy.timeframe),
        "params": plan.strategy.params._asdict(),
        "exits": {key: each._asdict() for key, each in plan.strategy.exits.items()},
        "sizing": plan.strategy.sizing._asdict(),
        "pipeline": plan.strategy.pipeline._asdict(),
        "symbols": list(outcome.symbols),
        "candles": timeframe_name(outcome.interval),
        "start": outcome.start,
        "end": outcome.end,
        "bars": outcome.bars,
        "deposit": plan.deposit,
        "fee": plan.fee,
        "slippage": plan.slippage,
        "sides": plan.sides.value,
        "exact": plan.exact,
        "balance": outcome.balance,
        "final_equity": outcome.equity,
        "fees": outcome.fees,
        "funding": outcome.funding,
        "metrics": report.as_dict(),
        "trades": [trade_dict(each, outcome.interval) for each in outcome.trips],
        "held": [held_dict(each) for each in held_rows(outcome)],
        "equity": [list(mark) for mark in outcome.marks],
        "prices": {symbol: list(ends) for symbol, ends in outcome.prices.items()},
        "data_hash": outcome.digest,
        "seed": seed,
        "versions": dict(versions),
        "remarks": list(outcome.remarks),
    }


def trade_dict(trip: RoundTrip, interval: int) -> dict[str, Any]:
    """A closed trade by the names of TRADE_COLUMNS; `interval` is the candles' length in ms."""
    return dict(zip(TRADE_COLUMNS, trade_row(trip, interval), strict=True))


def trade_row(trip: RoundTrip, interval: int) -> tuple[Any, ...]:
    """The values of TRADE_COLUMNS; what is not known is None."""
    return (
        trip.symbol, side_word(trip.side), trip.entry_time, trip.entry_price, trip.exit_time,
        trip.exit_price, trip.quantity, trip.duration // interval, trip.entry_tag,
        trip.exit_reason, trip.gross, trip.fees, trip.funding, trip.net, trip.slippage, trip.risk,
        trip.adverse, trip.favorable,
    )  # fmt: skip


def trade_rows(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    """A row of TRADE_COLUMNS for each closed trade."""
    return (trade_row(each, outcome.interval) for each in outcome.trips)


def equity_rows(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    """A row of EQUITY_COLUMNS for each mark."""
    return iter(outcome.marks)


HELD_COLUMNS = ("symbol", "side", "quantity", "entry_time", "entry_price", "price", "profit")


def held_rows(outcome: Outcome) -> Iterator[tuple[Any, ...]]:
    """A row of HELD_COLUMNS for each position open at the end."""
    for each in outcome.held:
        yield (
            each.symbol, side_word(each.side), each.quantity, each.entry_time, each.entry_price,
            each.price, each.profit,
        )  # fmt: skip


def held_dict(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(HELD_COLUMNS, row, strict=True))


def side_word(side: int) -> str:
    """`long` or `short`."""
    return "long" if side > 0 else "short"


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV with a head line; None is an empty cell, a float has all its digits."""
    lines = [columns, *rows]
    return "".join(",".join(map(_cell, line)) + "\n" for line in lines)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    # A spreadsheet would take it for a formula.
    if isinstance(value, str) and text.startswith(("=", "+", "-", "@")):
        text = f"'{text}"
    if any(mark in text for mark in ',"\n\r'):
        text = '"' + text.replace('"', '""') + '"'
    return text
