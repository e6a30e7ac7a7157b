"""A backtest's outcome as lines for a terminal: the figures that matter, and what they stand on."""

from collections.abc import Iterator, Sequence
from textwrap import wrap

from engine.backtest.plan import Outcome
from engine.backtest.serial import HELD_COLUMNS, held_rows
from engine.backtest.words import figure, percent, picked, rules, verdict
from engine.candle import timeframe_name
from engine.market.candle_file import utc
from engine.metrics import TITLES, Report, breakdown
from engine.strategies.kernel import Strategy
from engine.walkforward import WalkForward

WIDTH = 100
FIGURES = (
    "equity", "return", "buy_and_hold", "cagr", "max_drawdown", "longest_underwater",
    "volatility", "sharpe", "sortino", "calmar", "probabilistic_sharpe", "trades", "win_rate",
    "profit_factor", "payoff", "expectancy", "expectancy_r", "mean_duration", "exposure", "fees",
    "funding", "slippage",
)  # fmt: skip


def card(
    outcome: Outcome, report: Report, came_from: str, walked: WalkForward | None = None
) -> Iterator[str]:
    """The lines."""
    yield from _head(outcome)
    yield ""
    yield from wrap(verdict(outcome, report), WIDTH)
    yield ""
    yield from _table(("", "", "n", ""), list(_figures(report)))
    yield from _by_exit(outcome)
    yield from _held(outcome)
    if walked is not None:
        yield from _walked(walked, outcome.plan.strategy)
    yield from _data(outcome, came_from)


def _head(outcome: Outcome) -> Iterator[str]:
    plan = outcome.plan
    speed = "exact" if plan.exact else "fast"
    yield (
        f"{plan.strategy.name} on {', '.join(outcome.symbols)}, "
        f"{timeframe_name(plan.strategy.timeframe)} bars, {speed} backtest"
    )
    yield (
        f"{utc(outcome.start)} to {utc(outcome.end)}, deposit {plan.deposit:,.2f}, fee "
        f"{plan.fee * 100:.4g}%, slippage {plan.slippage * 100:.4g}%, {plan.sides.words}"
    )
    for line in rules(plan.strategy, outcome.symbols):
        yield from wrap(line, WIDTH, subsequent_indent="  ")


def _figures(report: Report) -> Iterator[tuple[str, ...]]:
    for key in FIGURES:
        metric = report[key]
        yield TITLES[key].label, figure(metric), f"{metric.n:,}", metric.why


def _by_exit(outcome: Outcome) -> Iterator[str]:
    if not outcome.trips:
        return
    rows = [
        (each.key, f"{each.trades:,}", figure(each.win_rate), f"{each.net:,.2f}")
        for each in breakdown(outcome.trips, "exit_reason")
    ]
    yield ""
    yield from _table(("exit", "trades", "win rate", "net"), rows)


def _held(outcome: Outcome) -> Iterator[str]:
    if not outcome.held:
        return
    yield ""
    yield "Open at the end, worth what the last close says:"
    rows = [(*row[:3], utc(row[3]), *row[4:6], f"{row[6]:,.2f}") for row in held_rows(outcome)]
    yield from _table(HELD_COLUMNS, [tuple(map(str, row)) for row in rows])


def _walked(walked: WalkForward, strategy: Strategy) -> Iterator[str]:
    rows = [
        (
            utc(each.fold.test_start)[:10],
            utc(each.fold.test_end)[:10],
            figure(each.in_sample["return"]),
            figure(each.out_of_sample["return"]),
            picked(strategy, each.parameters),
        )
        for each in walked.outcomes
    ]
    yield ""
    yield from _table(("unseen from", "to", "training", "unseen", "parameters picked"), rows)
    yield (
        f"Unseen together {figure(walked.total_return)}, profitable folds "
        f"{figure(walked.profitable)}, efficiency {figure(walked.efficiency)}"
        f"{f' ({walked.efficiency.why})' if walked.efficiency.why else ''}"
    )
    spread = ", ".join(f"{name} {figure(metric)}" for name, metric in walked.spread.items())
    yield f"Spread of the picks over their ranges (0% is always the same): {spread}"


def _data(outcome: Outcome, came_from: str) -> Iterator[str]:
    yield ""
    yield from wrap(
        f"Data: {outcome.bars:,} bars of {timeframe_name(outcome.interval)} from {came_from}; "
        f"hash {outcome.digest}.",
        WIDTH,
    )
    for remark in outcome.remarks or ("Nothing was wrong with them.",):
        yield from wrap(remark, WIDTH, initial_indent="  ", subsequent_indent="  ")
    paid = outcome.fees - outcome.funding
    yield (
        f"Fees less funding, those of open positions too: {paid:,.2f}, "
        f"{_share(paid, outcome)} of the deposit."
    )


def _share(paid: float, outcome: Outcome) -> str:
    return percent(paid / outcome.plan.deposit)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    columns = [
        _aligned(column, to_right=place > 0 and any(map(_is_number, column)))
        for place, column in enumerate(zip(head, *rows, strict=True))
    ]
    for line in zip(*columns, strict=True):
        yield "  ".join(line).rstrip()


def _aligned(column: Sequence[str], to_right: bool) -> list[str]:
    width = max(map(len, column))
    return [f"{cell:{'>' if to_right else '<'}{width}}" for cell in column]


def _is_number(cell: str) -> bool:
    return cell.lstrip("-")[:1].isdigit()
