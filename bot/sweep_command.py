"""`countersign sweep`: many sets of a strategy's parameters over the same candles, ranked."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from bot.backtest_command import (
    SEED,
    announce_compiling,
    cost_of,
    history_of,
    names_of,
    say,
    strategy_named,
    told_apart,
    values_of,
)
from bot.command_options import Candles, Days, Fee, More, Slippage, StrategyName, Symbols
from engine.backtest.plan import FEE, SLIPPAGE, Plan
from engine.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from engine.backtest.history import History
    from engine.backtest.sweep import Summary

TRIALS = 200
SHOWN = 10


def sweep(
    strategy: StrategyName,
    more: More = None,
    candles: Candles = None,
    symbols: Symbols = None,
    days: Days = None,
    timeframe: Annotated[str | None, typer.Option(help="Which stored candles.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE...", help="What is not varied."),
    ] = None,
    tune: Annotated[
        str, typer.Option(metavar="NAME,...", help="What is varied; by default its own parameters.")
    ] = "",
    trials: Annotated[int, typer.Option(help="How many sets to try.")] = TRIALS,
    fee: Fee = str(FEE),
    slippage: Slippage = str(SLIPPAGE),
    seed: Annotated[int, typer.Option(help="Of the sets that are tried.")] = SEED,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a set.")] = False,
) -> None:
    """Try many sets of parameters and rank them. Says how good the best would be by luck."""
    from engine.backtest import sweep as sweeps
    from engine.backtest.history import fit
    from engine.backtest.walk import Search, candidates, searched

    paths, words = told_apart(candles or [], param or [], more or [])
    chosen, source = strategy_named(strategy)
    plan = Plan(chosen, fee=cost_of("fee", fee), slippage=cost_of("slippage", slippage))
    plan = replace(plan, strategy=chosen.tuned(chosen.parse(values_of(words))))
    history, _ = history_of(paths, symbols, timeframe, days)
    search = Search(trials, names_of(tune), seed=seed)
    tuned = searched(plan, search)
    fit(plan.strategy, history)
    sets = [{}, *candidates(tuned, {}, search)]
    runnable = [each for each in sets if _is_warm_within(plan, each, history)]
    announce_compiling(plan.strategy, source)
    found = sweeps.sweep(plan, history, runnable, source=source)
    ranked = sorted(found, key=lambda each: -_rank(each))
    say(_objects(ranked) if json else _card(plan, ranked, found[0], len(sets) - len(ranked)))


def _is_warm_within(plan: Plan, values: "Mapping[str, float]", history: "History") -> bool:
    """Whether there are candles enough for a set: long averages take long to warm up."""
    from engine.backtest.history import fit

    try:
        fit(plan.strategy.tuned(values), history)
    except BadInput:
        return False
    return True


def _rank(summary: "Summary") -> float:
    return float("-inf") if summary.sharpe is None else summary.sharpe


def _objects(ranked: "Sequence[Summary]") -> "Iterator[str]":
    from json import dumps

    for each in ranked:
        yield dumps(each._asdict(), allow_nan=False)


def _card(
    plan: Plan, ranked: "Sequence[Summary]", in_force: "Summary", left_out: int
) -> "Iterator[str]":
    from math import sqrt

    from engine.metrics import DAYS_A_YEAR, Trials
    from engine.metrics.returns import luckiest_sharpe

    yield f"{plan.strategy.name}: {len(ranked):,} sets, best first by Sharpe"
    yield f"{'sharpe':>8} {'return':>9} {'drawdown':>9} {'trades':>7}  parameters"
    for each in ranked[:SHOWN]:
        yield _line(plan, each)
    if in_force not in ranked[:SHOWN]:
        yield _line(plan, in_force)
    if left_out:
        yield f"{left_out:,} more sets need more candles than there are to warm up."
    ratios = [each.sharpe for each in ranked if each.sharpe is not None]
    if len(ratios) > 1:
        by_luck = luckiest_sharpe(Trials.of(ratios)) * sqrt(DAYS_A_YEAR)
        yield (
            f"The best of so many sets without any skill would show a Sharpe of {by_luck:.2f}: "
            "believe a set only after `countersign backtest --walk-forward`."
        )


def _line(plan: Plan, each: "Summary") -> str:
    known = plan.strategy.tunable
    values = ", ".join(f"{name}={known[name].show(value)}" for name, value in each.values.items())
    ratio = "n/a" if each.sharpe is None else f"{each.sharpe:.2f}"
    figures = f"{each.total_return:>9.2%} {each.max_drawdown:>9.2%} {each.trades:>7,}"
    return f"{ratio:>8} {figures}  {values or 'as they are'}"
