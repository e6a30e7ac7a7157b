"""`countersign backtest`: what a strategy would have done on candles that are stored or given.

It takes no lock and needs no desk. What is heavy is imported when it is needed: a cold start
must not take longer than the backtest.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import TYPE_CHECKING, Annotated

import typer

from bot.command_options import Candles, Days, Fee, More, Slippage, StrategyName, Symbols
from bot.version import VERSION
from engine.backtest.plan import DEPOSIT, FEE, SLIPPAGE, Outcome, Plan
from engine.candle import DAY_MS, timeframe_ms
from engine.errors import BadInput
from engine.signal import Sides

if TYPE_CHECKING:
    from bot.settings import Settings
    from engine.backtest.history import History
    from engine.metrics import Report
    from engine.strategies.kernel import Strategy
    from engine.walkforward import WalkForward

SEED = 42
TRIALS = 60
COST_MAX = 0.1
DEPOSIT_MAX = 1e12
CANDLES = "5m"
GARBAGE_MIN = 50_000


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be run: the plan, the file of a strategy of one's own, and its candles."""

    plan: Plan
    source: Path | None
    history: "History"
    came_from: str


def backtest(
    strategy: StrategyName,
    more: More = None,
    candles: Candles = None,
    symbols: Symbols = None,
    days: Days = None,
    timeframe: Annotated[
        str | None, typer.Option(help=f"Which stored candles to trade on; {CANDLES} by default.")
    ] = None,
    bars: Annotated[
        str | None, typer.Option(help="The strategy's own bars, where it can run on others.")
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="NAME=VALUE...", help="Such as stop_loss=2%."),
    ] = None,
    fee: Fee = str(FEE),
    slippage: Slippage = str(SLIPPAGE),
    deposit: Annotated[float, typer.Option(help="In quote currency.")] = DEPOSIT,
    side: Annotated[Sides, typer.Option(help="Which sides may be entered.")] = Sides.BOTH,
    exact: Annotated[
        bool, typer.Option("--exact", help="By the desk's own core and paper exchange.")
    ] = False,
    walk_forward: Annotated[
        int | None,
        typer.Option(metavar="FOLDS", help="Search parameters, and try them on unseen time."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Sets of parameters to try in each fold.")] = TRIALS,
    tune: Annotated[
        str, typer.Option(metavar="NAME,...", help="What to search; by default its own parameters.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the search and of Monte Carlo.")] = SEED,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a report to this file.")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write trades.csv and equity.csv to this folder.")
    ] = None,
) -> None:
    """Backtest a strategy. Says what it earned or lost, and what was wrong with the candles."""
    # It lives for a second: looking for garbage while libraries and candles load took a third.
    gc.set_threshold(GARBAGE_MIN)
    paths, words = told_apart(candles or [], param or [], more or [])
    chosen, source = strategy_named(strategy)
    plan = Plan(
        strategy=chosen.at(timeframe_ms(bars)) if bars else chosen,
        deposit=deposit_of(deposit),
        fee=cost_of("fee", fee),
        slippage=cost_of("slippage", slippage),
        sides=side,
        exact=exact,
    )
    plan = replace(plan, strategy=plan.strategy.tuned(plan.strategy.parse(values_of(words))))
    history, came_from = history_of(paths, symbols, timeframe, days)
    task = Task(plan, source, history, came_from)
    outcome, report, walked = _run(task, walk_forward, trials, names_of(tune), seed)
    if csv is not None:
        _write_csv(csv, outcome)
    if html is not None:
        _write_html(html, outcome, report, task.history, seed, walked)
    if json:
        say(_json(outcome, report, seed, walked))
    else:
        from bot.backtest_card import card

        say(card(outcome, report, task.came_from, walked))


# -- what is asked -----------------------------------------------------------------------


def told_apart(
    candles: list[Path], params: list[str], more: list[str]
) -> tuple[list[Path], list[str]]:
    """Paths and parameters, those too that stand behind the first of their option."""
    words = [word for word in more if "=" in word and not Path(word).exists()]
    return [*candles, *(Path(word) for word in more if word not in words)], [*params, *words]


def strategy_named(name: str) -> "tuple[Strategy, Path | None]":
    from engine.strategies import STRATEGIES

    if name in STRATEGIES:
        return STRATEGIES[name], None
    own = _settings().own
    if name not in own.strategies:
        left_out = "".join(f" {remark}" for remark in own.remarks)
        raise BadInput("strategy", name, ", ".join(own.known) + left_out.rstrip("."))
    return own.strategies[name], own.sources[name]


def _settings() -> "Settings":
    from bot.settings import load

    return load(os.environ, Path())


def values_of(words: Iterable[str]) -> dict[str, str]:
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise BadInput("param", word, "name=value, as in stop_loss=2%")
        values[name] = text
    return values


def cost_of(field: str, text: str) -> float:
    """A fraction of what is traded, also as people write percent."""
    word = text.strip()
    try:
        value = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < COST_MAX:
        raise BadInput(field, text, f"0 to below {COST_MAX:g}, or in percent, as in 0.055%")
    return value


def deposit_of(value: float) -> float:
    if not 1.0 <= value <= DEPOSIT_MAX:
        raise BadInput("deposit", value, f"1 to {DEPOSIT_MAX:,.0f}")
    return value


def names_of(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


# -- its candles -------------------------------------------------------------------------


def history_of(
    paths: list[Path], symbols: str | None, timeframe: str | None, days: int | None
) -> "tuple[History, str]":
    """The candles, and where they came from."""
    wanted = [name.upper() for name in names_of(symbols or "")]
    if not paths and not wanted:
        raise BadInput("candles", "", "--candles PATH, or --symbols A,B of what is stored")
    if not paths:
        interval = timeframe_ms((timeframe or CANDLES).lower())
        return _stored(wanted, interval, days), "the stored candles"
    if timeframe is not None:
        allowed = "nothing beside --candles, whose spacing says it; --bars are the strategy's own"
        raise BadInput("timeframe", timeframe, allowed)
    from bot.clock import SystemClock
    from engine.backtest.history import from_files

    history = from_files(paths, SystemClock().now())
    history = history.only(wanted) if wanted else history
    if days is not None:
        history = history.within(history.end - days * DAY_MS, history.end)
    return history, ", ".join(map(str, paths))


def _stored(symbols: Sequence[str], interval: int, days: int | None) -> "History":
    from engine.backtest.history import from_archive
    from engine.market.archive import FOREVER, Archive

    archive = Archive(_settings().data_dir)
    found = (archive.holding(symbol, interval) for symbol in symbols)
    end = max((holding.end for holding in found if holding), default=0)
    start = 0 if days is None else end - days * DAY_MS
    return from_archive(archive, symbols, interval, start, FOREVER)


# -- what came of it ---------------------------------------------------------------------


def _run(
    task: Task, folds: int | None, trials: int, tune: tuple[str, ...], seed: int
) -> "tuple[Outcome, Report, WalkForward | None]":
    from engine.backtest.history import fit
    from engine.backtest.serial import report_of
    from engine.backtest.speed import run

    if not task.plan.exact:
        # What can't run is refused before a word about compiling it.
        fit(task.plan.strategy, task.history)
        announce_compiling(task.plan.strategy, task.source)
    outcome = run(task.plan, task.history, task.source)
    walked = None
    if folds is not None:
        from engine.backtest.walk import Search, walk

        search = Search(trials, tune, seed=seed)
        walked = walk(
            lambda plan, history: run(plan, history, task.source),
            replace(task.plan, exact=outcome.plan.exact),
            task.history,
            folds,
            search,
        )
    return outcome, report_of(outcome), walked


def announce_compiling(strategy: "Strategy", source: Path | None) -> None:
    """Tell whoever sits at a terminal why a first run says nothing for so long."""
    from engine.backtest.signals import is_compiled

    if sys.stderr.isatty() and not is_compiled(strategy, source):
        sys.stderr.write(f"Compiling {strategy.name}, once for each version of it...\n")
        sys.stderr.flush()


def _json(
    outcome: Outcome, report: "Report", seed: int, walked: "WalkForward | None"
) -> Iterator[str]:
    import json

    from engine.backtest.serial import as_dict

    found = as_dict(outcome, report, seed=seed, versions=_versions())
    if walked is not None:
        found["walk_forward"] = walked.as_dict()
    yield json.dumps(found, separators=(",", ":"), allow_nan=False)


def _versions() -> dict[str, str]:
    return {
        "countersign": VERSION,
        "python": python_version(),
        **{name: version(name) for name in ("numpy", "numba")},
    }


def _write_csv(folder: Path, outcome: Outcome) -> None:
    from engine.backtest import serial

    trades = serial.csv_text(serial.TRADE_COLUMNS, serial.trade_rows(outcome))
    equity = serial.csv_text(serial.EQUITY_COLUMNS, serial.equity_rows(outcome))
    _write("csv", folder / "trades.csv", trades)
    _write("csv", folder / "equity.csv", equity)


def _write_html(
    path: Path,
    outcome: Outcome,
    report: "Report",
    history: "History",
    seed: int,
    walked: "WalkForward | None",
) -> None:
    from bot.render.report import html_report
    from engine.backtest.hold import hold

    held = hold(history, outcome.plan.deposit, [mark.ts for mark in outcome.marks])
    made_by = ", ".join(f"{name} {number}" for name, number in _versions().items())
    _write(
        "html",
        path,
        html_report(outcome, report, held=held, walked=walked, seed=seed, footer=made_by),
    )


def _write(option: str, path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        allowed = f"a place that can be written; {error.strerror}"
        raise BadInput(option, str(path), allowed) from None


def say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
