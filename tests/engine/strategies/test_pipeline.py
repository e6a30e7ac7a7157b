"""What a signal must be before risk is asked, against the same rules over whole lists."""

from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import MINUTE_MS
from engine.risk import calm_market, confident, confirmed
from engine.strategies.pipeline import (
    FLIPS_KEPT,
    OPEN,
    UNHEARD,
    Heard,
    Pipeline,
    flips,
    hear,
    is_choppy,
    is_confirmed,
    passes,
)
from tests.engine.conftest import GOOD, T0

UP, DOWN = 1.0, -1.0
many = settings(max_examples=300, deadline=None, derandomize=True)


class Said(NamedTuple):
    """A signal: minutes after the start, its direction and confidence."""

    minute: float
    direction: float
    confidence: float = 1.0


def at(minute: float) -> float:
    return T0 + minute * MINUTE_MS


def heard(pipeline: Pipeline, said: list[Said]) -> Heard:
    known = UNHEARD
    for each in said:
        known = hear(pipeline, known, at(each.minute), each.direction, each.confidence)
    return known


# -- changes of direction ----------------------------------------------------------------


def test_the_first_signal_is_no_change():
    known = heard(OPEN, [Said(0, UP)])
    assert known == Heard(UP, at(0), at(0))
    assert flips(OPEN, known, at(0)) == 0


def test_each_change_of_direction_counts_and_each_repeat_does_not():
    known = heard(OPEN, [Said(0, UP), Said(1, UP), Said(2, DOWN), Said(3, DOWN), Said(4, UP)])
    assert flips(OPEN, known, at(4)) == 2


def test_no_more_than_four_changes_are_remembered_the_last_ones():
    said = [Said(minute, UP if minute % 2 else DOWN) for minute in range(9)]
    known = heard(OPEN, said)
    assert known[3:] == tuple(at(minute) for minute in (8, 7, 6, 5))
    assert flips(OPEN, known, at(8)) == FLIPS_KEPT == len(known[3:])


@pytest.mark.parametrize(("minute", "count"), [(14.99, 1), (15, 0)])
def test_a_change_counts_for_less_than_its_time(minute, count):
    assert flips(OPEN, heard(OPEN, [Said(-1, UP), Said(0, DOWN)]), at(minute)) == count


@pytest.mark.parametrize(("limit", "choppy"), [(0, False), (1, True), (2, True), (3, False)])
def test_so_many_changes_make_a_market_choppy(limit, choppy):
    known = heard(OPEN, [Said(0, UP), Said(1, DOWN), Said(2, UP)])
    assert is_choppy(OPEN._replace(flips=limit), known, at(2)) == choppy


# -- confirmation ------------------------------------------------------------------------

CONFIRMED = OPEN._replace(confirmed=1)


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ([Said(0, UP)], False),
        ([Said(0, UP), Said(0.99, UP)], False),
        ([Said(0, UP), Said(1, UP)], True),
        ([Said(0, UP), Said(10, UP)], True),
        ([Said(0, UP), Said(10.01, UP)], False),
        ([Said(0, UP), Said(0.5, UP), Said(1, UP)], True),
        ([Said(0, UP), Said(9, UP), Said(18, UP)], True),
        ([Said(0, UP), Said(1, DOWN)], False),
        ([Said(0, UP), Said(1, DOWN), Said(2, UP)], False),
        ([Said(0, UP), Said(1, DOWN), Said(2, UP), Said(3, UP)], True),
    ],
)
def test_a_second_signal_of_the_same_direction_confirms_the_first(said, holds):
    known = heard(CONFIRMED, said)
    assert is_confirmed(CONFIRMED, known, at(said[-1].minute)) == holds
    assert is_confirmed(OPEN, known, at(said[-1].minute))


def test_how_far_apart_and_within_what_is_the_pipelines_to_say():
    rules = CONFIRMED._replace(apart_ms=5 * MINUTE_MS, confirmed_ms=6 * MINUTE_MS)
    for minute, holds in ((4.99, False), (5, True), (6, True), (6.01, False)):
        known = heard(rules, [Said(0, UP), Said(minute, UP)])
        assert is_confirmed(rules, known, at(minute)) == holds


# -- confidence --------------------------------------------------------------------------

SURE = OPEN._replace(confidence_min=0.5)


def test_a_signal_without_confidence_is_not_heard():
    assert heard(SURE, [Said(0, UP, 0.49)]) == UNHEARD
    assert heard(SURE, [Said(0, UP, 0.5), Said(1, DOWN, 0.49)]) == Heard(UP, at(0), at(0))
    assert heard(OPEN, [Said(0, UP, 0.0)]) == Heard(UP, at(0), at(0))


def test_no_direction_is_no_signal():
    assert heard(OPEN, [Said(0, UP), Said(1, 0.0)]) == Heard(UP, at(0), at(0))


@pytest.mark.parametrize(
    ("rules", "confidence", "through"),
    [
        (OPEN, 0.0, True),
        (SURE, 0.49, False),
        (SURE, 0.5, True),
        (OPEN._replace(flips=1), 1.0, False),
        (OPEN._replace(flips=2), 1.0, True),
        (CONFIRMED, 1.0, False),
    ],
)
def test_only_what_every_rule_lets_through_goes_on(rules, confidence, through):
    known = heard(rules, [Said(0, UP), Said(1, DOWN)])
    assert passes(rules, known, at(1), confidence) == through


# -- against whole lists -----------------------------------------------------------------


def flips_of_a_list(rules: Pipeline, said: list[Said]) -> int:
    """Changes of direction among all confident signals, the last four at most."""
    loud = [each for each in said if each.direction and each.confidence >= rules.confidence_min]
    changes = [b.minute for a, b in zip(loud, loud[1:], strict=False) if a.direction != b.direction]
    now = said[-1].minute
    recent = [m for m in changes if (now - m) * MINUTE_MS < rules.flips_ms]
    return min(len(recent), FLIPS_KEPT)


def confirmed_by_a_list(rules: Pipeline, said: list[Said]) -> bool:
    """Walks back over signals of one direction without a break that is too long."""
    loud = [each for each in said if each.direction and each.confidence >= rules.confidence_min]
    since = loud[-1]
    for each in loud[-2::-1]:
        gap = (since.minute - each.minute) * MINUTE_MS
        if each.direction != since.direction or gap > rules.confirmed_ms:
            break
        since = each
    return (said[-1].minute - since.minute) * MINUTE_MS >= rules.apart_ms


@st.composite
def talks(draw) -> list[Said]:
    minutes = draw(st.lists(st.integers(1, 120), min_size=1, max_size=30, unique=True))
    directions = st.sampled_from([UP, DOWN, 0.0])
    confidences = st.sampled_from([0.3, 0.6, 1.0])
    said = [Said(minute / 2, draw(directions), draw(confidences)) for minute in sorted(minutes)]
    return [*said, Said(max(minutes) / 2 + 1, draw(st.sampled_from([UP, DOWN])))]


pipelines = st.builds(
    Pipeline,
    confidence_min=st.sampled_from([0.0, 0.5]),
    flips=st.integers(0, 4),
    confirmed=st.integers(0, 1),
    confirmed_ms=st.sampled_from([2 * MINUTE_MS, 10 * MINUTE_MS]),
    apart_ms=st.sampled_from([MINUTE_MS, 3 * MINUTE_MS]),
)


@many
@given(pipelines, talks())
def test_what_is_remembered_is_enough(rules, said):
    known, now = heard(rules, said), at(said[-1].minute)
    assert flips(rules, known, now) == flips_of_a_list(rules, said)
    asked = rules._replace(confirmed=1)
    assert is_confirmed(asked, known, now) == confirmed_by_a_list(rules, said)


@many
@given(pipelines, talks(), st.sampled_from([0.3, 0.6]))
def test_the_gates_let_pass_what_the_pipeline_does(rules, said, confidence):
    """The backtest asks the one, the desk the others."""
    known, now = heard(rules, said), int(at(said[-1].minute))
    request = replace(GOOD, ts=now, pipeline=rules, heard=known, confidence=confidence)
    answers = [gate(request) for gate in (confident, calm_market, confirmed)]
    assert passes(rules, known, now, confidence) == all(
        each is None or each.passed for each in answers
    )
