"""What the tuner proposes where there is nothing to find, and what it finds where there is.

Random walks: a proposal is a false alarm. Planted edges: seeds are taken in their order, and those
count whose unseen time bears out the edge, by a Sharpe ratio after costs of 1.5 to 2.5 with the
values it was planted for and below 0.3 with the defaults. A proposal has found the edge where its
values keep most of it in markets of the same kind that the tuner never saw.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from statistics import fmean
from time import monotonic

import pytest

from engine.backtest.history import History, from_files
from engine.backtest.plan import Plan
from engine.backtest.sweep import sweep
from engine.spread import Crew
from engine.strategies import STRATEGIES
from engine.tuner import TRAINED_SHARE, Found, Search, study
from engine.walkforward import folds
from tests.planted import EDGES, Edge, random_walk

KINDS = tuple(EDGES)
YEARS = 5.0
WALK_YEARS = 3.0
FIRST_WALK, WALKS = 93_000, 20
FIRST_EDGE, WANTED, SEEDS_MAX = 94_000, 10, 80
# Other markets of a kind, long enough together to tell what values are worth there.
FRESH, FRESH_YEARS = range(98_000, 98_004), 8.0
KEPT = 0.6

RECORDED = "bybit_{}USDT_{}_2025-09_2026-07.csv.gz"
AFTER_RECORDED = 1_790_000_000_000
STUDY_MAX_S = 180.0

# Thirty studies in a row, also where others need the processor.
pytestmark = pytest.mark.timeout(600)


def kind(seed: int) -> str:
    return KINDS[seed % len(KINDS)]


def studied(plan: Plan, history: History, seed: int, seats: int = 1) -> Found:
    with closing(Crew(lambda: ThreadPoolExecutor(1), seats)) as crew:
        return study(plan, history, Search(seed=seed), crew)


def unseen_sharpe(edge: Edge, history: History, values: Mapping[str, float]) -> float:
    """The Sharpe ratio of values over the time that no search of a study sees."""
    cut = folds(history.start, history.end, Search().folds, in_share=TRAINED_SHARE, anchored=True)
    unseen = history.within(cut[0].test_start, cut[-1].test_end)
    return sweep(edge.plan, unseen, [values])[0].sharpe or 0.0


def qualified(first: int) -> Iterator[tuple[str, History, int]]:
    """Series that bear out what was planted, from a seed on."""
    for seed in range(first, first + SEEDS_MAX):
        edge = EDGES[kind(seed)]
        history = edge.market(seed, YEARS)
        if (
            unseen_sharpe(edge, history, {}) < 0.3
            and 1.5 <= unseen_sharpe(edge, history, edge.best) <= 2.5
        ):
            yield kind(seed), history, seed


@cache
def fresh(name: str) -> list[History]:
    return [EDGES[name].market(seed, FRESH_YEARS) for seed in FRESH]


def worth(name: str, values: Mapping[str, float]) -> float:
    """The mean Sharpe ratio of values in fresh markets of that kind."""
    plan = EDGES[name].plan
    return fmean(sweep(plan, each, [values])[0].sharpe or 0.0 for each in fresh(name))


def keeps_the_edge(name: str, values: Mapping[str, float]) -> bool:
    return worth(name, values) >= KEPT * worth(name, EDGES[name].best)


def false_alarms(first: int, count: int) -> list[int]:
    """The seeds of those random walks for which something is proposed."""
    return [
        seed
        for seed in range(first, first + count)
        if studied(EDGES[kind(seed)].plan, random_walk(seed, WALK_YEARS), seed).values
    ]


def test_on_random_walks_nothing_is_proposed() -> None:
    alarms = false_alarms(FIRST_WALK, WALKS)
    assert len(alarms) <= 1, alarms


def test_a_planted_edge_is_found() -> None:
    series = [each for each, _ in zip(qualified(FIRST_EDGE), range(WANTED), strict=False)]
    assert len(series) == WANTED
    found = [
        seed
        for name, history, seed in series
        if (values := studied(EDGES[name].plan, history, seed).values)
        and keeps_the_edge(name, values)
    ]
    assert len(found) >= 8, found


@pytest.mark.parametrize("name", KINDS)
def test_what_is_planted_is_there_and_the_defaults_miss_it(name: str) -> None:
    """In fresh markets of each kind the planted values earn, the defaults do not."""
    assert worth(name, EDGES[name].best) > 1.5
    assert worth(name, {}) < 0.3


def test_the_short_seller_on_recorded_candles_is_judged_in_time(shared: Path) -> None:
    """The whole default search, on all three symbols: ten months of five-minute candles."""
    folder = shared / "data" / "candles"
    files = [
        folder / RECORDED.format(coin, what)
        for coin in ("BTC", "ETH", "SOL")
        for what in ("perp_5m", "funding_8h")
    ]
    history = from_files(files, AFTER_RECORDED)
    began = monotonic()
    found = studied(Plan(STRATEGIES["shortseller"]), history, 0, seats=2)
    assert monotonic() - began < STUDY_MAX_S
    assert found.trials == Search().trials
    assert found.verdict
    assert found.evidence is not None
    assert found.evidence.before.trades > 500
    assert found.evidence.digest.startswith(history.digest)
    # Costs eat this strategy on these candles, whatever its averages.
    assert found.values == {}
    assert "after costs" in found.verdict
