"""The simulation finds each planted bug: on the seed that found it first, or one beside it."""

import pytest

from tests.sim import hunt, mutants, world
from tests.sim.trial import attempt
from tests.sim.weather import Plan

FOUND = hunt.kept()
# Seeds beside the first one that may find it too: plans are drawn anew where a kind is added.
BESIDE = 2


@pytest.mark.parametrize("name", mutants.MUTANTS)
def test_a_planted_bug_breaks_a_promise(name: str) -> None:
    first = FOUND[name].first
    assert first >= 0, f"{name} was found by no seed"
    seeds = range(first, first + 1 + BESIDE)
    assert any(hunt.broken(name, seed) for seed in seeds), (
        f"{name} is not found in seeds {seeds.start} to {seeds[-1]} any more; look for it again: "
        "python -m tests.sim.hunt"
    )


def test_nothing_is_left_of_a_bug_once_it_is_taken_out() -> None:
    plan = Plan.of(FOUND["no_deduplication"].first)
    assert attempt(plan, lambda each: mutants.run("no_deduplication", each)).violations
    assert not attempt(plan, world.run).violations


def test_there_are_at_least_thirty() -> None:
    assert len(mutants.MUTANTS) >= 30
    assert set(FOUND) == set(mutants.MUTANTS)
