"""What the tuner's worker process does: a study, or evidence for a change somebody suggests.

Light by itself. The candles, the compiler and the search are loaded where a function runs, which
is in that process.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bot.own_strategies import known_with
from engine.errors import BadInput
from engine.studies import Place, Setup
from engine.tuning import Evidence, StudyStage

if TYPE_CHECKING:
    from engine.backtest.history import History
    from engine.spread import Crew
    from engine.tuner import Found as Result

Tell = Callable[[StudyStage, int, int], None]
"""Told the stage, and of a search how many sets were tried of how many."""


@dataclass(frozen=True, slots=True)
class Job:
    """A study as it is handed over: the bot as a setup, and what is searched how hard, over `folds`
    unseen stretches at most.

    `limits` are the lowest and highest value of each parameter that is searched. It runs on
    `workers` processes, or on the cluster of `scheduler` where that is not empty; `source` is the
    file of a strategy of the user's own.
    """

    setup: Setup
    limits: Mapping[str, tuple[float, float]]
    trials: int
    folds: int
    workers: int
    scheduler: str = ""
    source: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """What came of a study: no `values` where nothing is proposed; `verdict` says why in a
    sentence."""

    values: tuple[tuple[str, float], ...]
    verdict: str
    evidence: Evidence | None


def run_study(tell: Tell, job: Job, place: Place) -> Found:
    """Search better values. Raises BadInput for too few candles, Unreachable where Bybit or the
    cluster does not answer."""
    history = _history(tell, job.setup, place)

    def told(done: int, total: int, words: str) -> None:
        tell(StudyStage.PROVING if done >= total else StudyStage.SEARCHING, done, total)

    with crew_of(job.scheduler, job.workers, job.source) as crew:
        found = _study(told, job, history, crew)
    return Found(tuple(found.values.items()), found.verdict, found.evidence)


def _study(
    tell: Callable[[int, int, str], None], job: Job, history: "History", crew: "Crew"
) -> "Result":
    """The study with as many stretches as there are candles for: fewer are weaker evidence, which
    its verdict weighs."""
    from engine.tuner import Search, study

    plan = job.setup.plan(known_with(job.source))
    search = Search(job.trials, job.folds, job.seed, tuple(job.limits), job.limits)
    for folds in range(job.folds, 1, -1):
        try:
            return study(plan, history, replace(search, folds=folds), crew, tell, job.source)
        except BadInput as error:
            if error.field != "candles":
                raise
    return study(plan, history, replace(search, folds=1), crew, tell, job.source)


def run_evaluation(
    setup: Setup, values: Mapping[str, float], place: Place, source: Path | None
) -> Evidence:
    """What a change that nobody searched for would have done on the setup's last candles."""
    from engine.outofsample import evaluate

    strategies = known_with(source)
    after = replace(setup, values={**setup.values, **values})
    history = _history(_nobody, setup, place)
    return evaluate(setup.plan(strategies), after.plan(strategies), history)


def _nobody(stage: StudyStage, done: int, total: int) -> None:
    """Evidence alone is quick: nobody follows it."""


def _history(tell: Tell, setup: Setup, place: Place) -> "History":
    from engine.backtest.job import history_of

    tell(StudyStage.LOADING, 0, 0)
    return history_of(lambda stage, detail: None, setup, place)


def crew_of(scheduler: str, workers: int, source: Path | None) -> "Crew":
    """Who does the work: the cluster of `scheduler`, else so many processes; for a strategy of a
    file of the user's own so many threads. Raises as `hire` does."""
    from bot.executors import hire
    from engine.spread import Crew

    if source is not None:
        # Nobody else has loaded that file: its code is known to this process alone.
        return Crew(lambda: ThreadPoolExecutor(1), workers)
    return hire(scheduler, workers)
