"""The figures of losses: how far each goes, over which time, and what is left of new sizes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import tally
from engine.candle import HOUR_MS
from engine.limits import NO_LIMITS, USUAL_LIMITS, Ladder, Limits, Span, Step
from engine.request import Layers
from engine.standing import Standing, began, window
from tests.engine.conftest import GOOD, T0, D

DAY = Ladder(D("0.02"), D("0.03"))
FREE, HALVED, STOPPED = Step.FREE, Step.HALVED, Step.STOPPED


@pytest.mark.parametrize(
    ("ladder", "loss", "step"),
    [
        (DAY, "-1", FREE),
        (DAY, "0", FREE),
        (DAY, "0.0199999", FREE),
        (DAY, "0.02", HALVED),
        (DAY, "0.0299999", HALVED),
        (DAY, "0.03", STOPPED),
        (DAY, "5", STOPPED),
        (Ladder(), "1", FREE),
        (Ladder(halves=D("0.02")), "1", HALVED),
        (Ladder(stops=D("0.03")), "0.02", FREE),
        (Ladder(stops=D("0.03")), "0.03", STOPPED),
        (Ladder(halves=D("0.05"), stops=D("0.03")), "0.03", STOPPED),
    ],
)
def test_a_ladder_is_climbed_at_its_edges(ladder, loss, step):
    assert ladder.step(D(loss)) is step


def test_the_usual_ladders_get_wider_with_their_time():
    ladders = list(USUAL_LIMITS.ladders.values())
    for narrow, wide in zip(ladders, ladders[1:], strict=False):
        assert narrow.halves < wide.halves
        assert narrow.stops < wide.stops
    assert not NO_LIMITS.ladders


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("span", "moment", "start", "end"),
    [
        (Span.DAY, "2025-01-01T00:00", "2025-01-01", "2025-01-02"),
        (Span.DAY, "2025-01-01T23:59:59.999", "2025-01-01", "2025-01-02"),
        (Span.WEEK, "2025-01-05T23:59:59.999", "2024-12-30", "2025-01-06"),
        (Span.WEEK, "2025-01-06T00:00", "2025-01-06", "2025-01-13"),
        (Span.MONTH, "2024-02-29T23:59:59.999", "2024-02-01", "2024-03-01"),
        (Span.MONTH, "2024-12-31T12:00", "2024-12-01", "2025-01-01"),
        (Span.MONTH, "2025-01-01T00:00", "2025-01-01", "2025-02-01"),
    ],
)
def test_days_weeks_and_months_are_those_of_utc(span, moment, start, end):
    found = window(span, at(moment), D(1))
    assert (found.began, found.until) == (at(start), at(end))


def test_the_peak_has_no_calendar():
    found = window(Span.PEAK, T0 + 5, D(1))
    assert (found.began, found.until) == (T0 + 5, 0)


# -- any course of an account ------------------------------------------------------------

# Hours from one news to the next, and what the account is worth then.
COURSES = st.lists(st.tuples(st.integers(1, 80), st.integers(1, 20_000)), min_size=1, max_size=40)
LADDERS = st.sampled_from(
    [
        USUAL_LIMITS,
        Limits(day=DAY),
        Limits(week=Ladder(stops=D("0.5"))),
        Limits(drawdown=Ladder(halves=D("0.1"))),
    ]
)


@settings(max_examples=150, deadline=None)
@given(COURSES, LADDERS)
def test_a_step_is_never_taken_back_within_its_window(course, limits):
    for span, ladder in limits.ladders.items():
        kept, ts = None, T0
        for hours, worth in course:
            ts += hours * HOUR_MS
            before, kept = kept, tally.window_of(span, ladder, kept, D(worth), ts)
            assert kept.step >= ladder.step(-kept.change(D(worth)))
            if before is not None and kept.began == before.began:
                assert kept.step >= before.step
                assert kept.equity == before.equity
            if span is Span.PEAK:
                assert kept.equity >= worth
                assert before is None or before.step is not STOPPED or kept.step is STOPPED
            else:
                assert began(span, ts) == kept.began


def standings(limits: Limits, worth: int) -> tuple[Standing, ...]:
    """How an account of 10,000 stands by every limit after it came to `worth` today."""
    found = []
    for span, ladder in limits.ladders.items():
        began_with = window(span, T0, D(10_000))
        now = tally.window_of(span, ladder, began_with, D(worth), T0 + 1)
        found.append(Standing(span, ladder, now, now.change(D(worth))))
    return tuple(found)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 20_000), st.integers(0, 5_000))
def test_who_loses_more_is_never_let_trade_more(worth, more):
    """And nobody more than without limits."""

    def size(left: int, limits: Limits) -> object:
        layers = Layers(limits=limits, standing=standings(limits, left))
        return replace(GOOD, equity=D(left), layers=layers).quantity

    less = max(worth - more, 1)
    assert size(less, USUAL_LIMITS) <= size(worth, USUAL_LIMITS) <= size(worth, NO_LIMITS)


def test_halvings_do_not_multiply():
    layers = Layers(limits=USUAL_LIMITS, standing=standings(USUAL_LIMITS, 8_900))
    steps = {each.span: each.step for each in layers.standing}
    assert steps == {
        Span.DAY: STOPPED,
        Span.WEEK: STOPPED,
        Span.MONTH: HALVED,
        Span.PEAK: HALVED,
    }
    assert layers.factor == 0.5
    assert replace(GOOD, layers=layers).quantity == GOOD.quantity / 2


def test_what_a_person_asked_for_is_not_cut():
    layers = Layers(limits=USUAL_LIMITS, standing=standings(USUAL_LIMITS, 9_800))
    assert replace(GOOD, layers=layers, wanted=D(7)).quantity == D(7)
