"""`countersign tune`: what the tuner would propose for a strategy, on stored or given candles.

It takes no lock and needs no desk, and changes nothing.
"""

import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
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
from bot.desk_settings import scheduler_address
from bot.sections import TuningSection
from bot.tuner_job import crew_of
from engine.backtest.plan import FEE, SLIPPAGE, Plan
from engine.errors import BadInput
from engine.market.candle_file import utc

if TYPE_CHECKING:
    from engine.tuner import Found
    from engine.tuning import Evidence, Figures

_USUAL = TuningSection()


def tune(
    strategy: StrategyName,
    more: More = None,
    candles: Candles = None,
    symbols: Symbols = None,
    days: Days = None,
    timeframe: Annotated[str | None, typer.Option(help="Which stored candles.")] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE...", help="The values in force."),
    ] = None,
    search: Annotated[
        str,
        typer.Option("--tune", metavar="NAME,...", help="What is searched; by default its own."),
    ] = "",
    trials: Annotated[int, typer.Option(help="Sets of parameters to try.")] = _USUAL.trials,
    folds: Annotated[int, typer.Option(help="Unseen stretches.")] = _USUAL.folds,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = _USUAL.workers,
    scheduler: Annotated[
        str, typer.Option(envvar="DASK_SCHEDULER", help="A Dask cluster instead of processes.")
    ] = "",
    fee: Fee = str(FEE),
    slippage: Slippage = str(SLIPPAGE),
    seed: Annotated[int, typer.Option(help="Of the search.")] = SEED,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search better values around those in force, no further than a day may go, and say whether
    they are worth a proposal. Nothing is changed."""
    from engine.tuner import Search, study

    paths, words = told_apart(candles or [], param or [], more or [])
    chosen, source = strategy_named(strategy)
    plan = Plan(chosen, fee=cost_of("fee", fee), slippage=cost_of("slippage", slippage))
    plan = replace(plan, strategy=chosen.tuned(chosen.parse(values_of(words))))
    history, came_from = history_of(paths, symbols, timeframe, days)
    announce_compiling(plan.strategy, source)
    wanted = Search(trials, folds, seed, names_of(search))
    with crew_of(_address(scheduler), workers, source) as crew:
        found = study(plan, history, wanted, crew, _progress, source)
    title = f"{chosen.name} on {', '.join(history.symbols)}"
    say([_object(found)] if json else [*_card(plan, found, title), f"Candles: {came_from}."])


def _address(scheduler: str) -> str:
    try:
        return scheduler_address(scheduler) if scheduler else ""
    except ValueError as error:
        allowed = str(error).removeprefix("allowed: ")
        raise BadInput("scheduler", scheduler, allowed) from None


def _progress(done: int, total: int, words: str) -> None:
    """How far it is, for whoever sits at a terminal."""
    if sys.stderr.isatty():
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done} of {total} sets, {words}\x1b[K{end}")
        sys.stderr.flush()


# -- what came of it ---------------------------------------------------------------------


def _object(found: "Found") -> str:
    from json import dumps

    return dumps(asdict(found), allow_nan=False, separators=(",", ":"))


def _card(plan: Plan, found: "Found", title: str) -> Iterator[str]:
    known = plan.strategy.tunable
    proposes = "proposes" if found.values else "proposes nothing"
    yield f"{title}: the tuner {proposes}"
    for name, value in found.values.items():
        yield f"  {name} = {known[name].show(value)}"
    yield found.verdict
    if found.evidence is None:
        return
    yield from _beside(found.evidence)
    if found.values:
        yield (
            f"A Sharpe ratio above zero is {found.evidence.deflated:.0%} probable after so many "
            f"sets; values near by keep {found.evidence.neighbors:.0%} of it."
        )
    yield from found.evidence.remarks


def _beside(evidence: "Evidence") -> Iterator[str]:
    yield ""
    yield (
        f"Out of sample, {utc(evidence.start)} to {utc(evidence.end)} in {evidence.folds} "
        f"stretches, after {evidence.trials:,} sets:"
    )
    yield f"{'':<10} {'return':>9} {'drawdown':>9} {'sharpe':>8} {'trades':>7}"
    yield _row("in force", evidence.before)
    yield _row("found", evidence.after)


def _row(title: str, figures: "Figures") -> str:
    ratio = "n/a" if figures.sharpe is None else f"{figures.sharpe:.2f}"
    shares = f"{figures.total_return:>9.2%} {figures.max_drawdown:>9.2%}"
    return f"{title:<10} {shares} {ratio:>8} {figures.trades:>7,}"
