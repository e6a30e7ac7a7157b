"""Running a plan at the speed it asks for, or at the one its strategy can do."""

import re
import traceback
from dataclasses import replace
from pathlib import Path

from engine.backtest.history import History, check
from engine.backtest.plan import Outcome, Plan
from engine.errors import BadInput
from engine.strategies.kernel import Strategy

ENGINE = Path(__file__).resolve().parents[1]
# Where numba says which line of the strategy it stumbled over, in one of its two ways.
_PLACE = re.compile(r'(?:File "|Raised from )[^"\n]*?([^"/\\\n]+\.py)(?:", line | \()(\d+)')
_RAISED = " Raised from "


def run(plan: Plan, history: History, source: Path | None = None) -> Outcome:
    """Backtest a plan. `source` is the file of a strategy that is not the program's own.

    A step of such a file that does not compile is run by the exact backtest, and a remark says
    so. Raises BadInput where the strategy can't run on these candles, or its own step fails.
    """
    check(plan.strategy, history)
    try:
        return _run(plan, history, source)
    except Exception as error:  # a stranger's step may raise anything
        if source is None or not (line := _line_in(source, error)):
            raise
        allowed = (
            "a step that takes every bar; "
            f"{source.name}, line {line}: {type(error).__name__}: {error}"
        )
        raise BadInput("strategy", plan.strategy.name, allowed) from error


def _line_in(source: Path, error: Exception) -> int:
    """The last line of a file on the way to an error; 0 where none was.

    Compiled code goes on naming the folder that the file lay in when it was compiled.
    """
    frames = [
        (Path(each.filename), each.lineno) for each in traceback.extract_tb(error.__traceback__)
    ]
    lines = [
        line for path, line in frames if path.name == source.name and ENGINE not in path.parents
    ]
    return (lines and lines[-1]) or 0


def _run(plan: Plan, history: History, source: Path | None) -> Outcome:
    if plan.exact:
        return _exact(plan, history)
    # Numba takes 100 MB and half a second, which the exact backtest does not need.
    from engine.backtest import fast

    try:
        return fast.run(plan, history, source)
    except _compile_errors() as error:
        if source is None:
            raise
        outcome = _exact(replace(plan, exact=True), history)
        return replace(outcome, remarks=(*outcome.remarks, _uncompiled(plan, str(error))))


def compile_fault(strategy: Strategy, source: Path) -> str:
    """Why the step of a strategy of one's own does not compile; empty where it does."""
    import numpy as np

    from engine.backtest.feed import feed
    from engine.backtest.signals import signals
    from engine.columns import Columns, Rates

    interval = strategy.timeframe
    size = strategy.bars_needed + 1
    flat = Columns(np.arange(size) * interval, *(np.ones(size) for _ in range(5)))
    rates = Rates(np.zeros(1, np.int64), np.zeros(1))
    try:
        signals(
            strategy,
            feed(flat, rates, 0.0, interval, interval, strategy.higher),
            interval,
            source,
        )
    except _compile_errors() as error:
        return _stumbled(str(error))
    return ""


def _compile_errors() -> tuple[type[Exception], ...]:
    from numba.core.errors import NumbaError, UnsupportedBytecodeError

    return NumbaError, UnsupportedBytecodeError, NotImplementedError


def _exact(plan: Plan, history: History) -> Outcome:
    from engine.backtest import exact

    return exact.run(plan, history)


def _uncompiled(plan: Plan, error: str) -> str:
    return (
        f"{plan.strategy.name} does not compile ({_stumbled(error)}): the exact backtest ran "
        "instead, with the same rules and slower."
    )


def _stumbled(error: str) -> str:
    """Numba's many lines in one: where, and the first thing that it says."""
    place = _PLACE.search(error)
    where = f"{place[1]}, line {place[2]}: " if place else ""
    lines = [line.strip() for line in error.splitlines()]
    words = next((line for line in lines if line and not line.startswith("Failed in")), "")
    return f"{where}{words.partition(_RAISED)[0].rstrip('.')}"
