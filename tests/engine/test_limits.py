"""The figures of losses: how far each goes, over which time, and what is left of new sizes."""

from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import tally
from engine.candle import HOUR_MS
from engine.errors import BadInput
from engine.limits import (
    LIMIT_PARAMETERS,
    NO_LIMITS,
    USUAL_LIMITS,
    Ladder,
    Limits,
    Span,
    Step,
    limit_value,
    with_limits,
)
from engine.request import Layers
from engine.standing import Standing, began, window
from engine.tunable import Tier
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


# -- as parameters -----------------------------------------------------------------------

NAMES = [each.name for each in LIMIT_PARAMETERS]


@pytest.mark.parametrize("parameter", LIMIT_PARAMETERS, ids=NAMES)
def test_a_limit_is_given_any_value_of_its_bounds_and_reads_it_back(parameter):
    free = replace(USUAL_LIMITS, **dict.fromkeys(("day", "week", "month", "drawdown"), Ladder()))
    for value in (parameter.low, parameter.stepped(parameter.low, 1), parameter.high):
        made = with_limits(free, {parameter.name: value})
        assert limit_value(made, parameter.name) == pytest.approx(value)
        others = [name for name in NAMES if name != parameter.name]
        assert all(limit_value(made, name) == limit_value(free, name) for name in others)


def test_every_figure_of_the_limits_is_a_parameter_and_the_usual_ones_are_the_defaults():
    assert len(NAMES) == len(set(NAMES)) == len(fields(Limits)) + 4
    for each in LIMIT_PARAMETERS:
        assert limit_value(USUAL_LIMITS, each.name) == each.default == each.check(each.default)


def test_no_limit_can_be_switched_off():
    for each in LIMIT_PARAMETERS:
        assert each.low > 0 or each.name == "stop_first"
        if each.name != "stop_first":
            with pytest.raises(BadInput, match=f"{each.name}: 0.0 is not valid"):
                with_limits(USUAL_LIMITS, {each.name: 0.0})


def test_what_stops_everything_is_red_and_the_rest_waits_for_a_press():
    red = {each.name for each in LIMIT_PARAMETERS if each.tier is Tier.RED}
    ladders = {
        f"{s}_{p}" for s in ("day", "week", "month", "drawdown") for p in ("stops", "halves")
    }
    assert red == ladders | {"stop_first"}
    assert {each.tier for each in LIMIT_PARAMETERS} == {Tier.RED, Tier.YELLOW}


def test_a_share_made_of_steps_is_kept_without_its_binary_tail():
    made = with_limits(USUAL_LIMITS, {"day_stops": 0.03 + 0.01 + 0.01 + 0.01})
    assert made.day == Ladder(D("0.02"), D("0.06"))


def test_kinds_stay_what_they_are():
    made = with_limits(
        USUAL_LIMITS, {"positions": 3.0, "stop_first": 0.0, "losses_rest": 300_000.0}
    )
    assert (made.positions, made.stop_first, made.losses_rest_ms) == (3, False, 300_000)
    assert type(made.positions) is type(made.losses_rest_ms) is int
    assert type(made.stop_first) is bool


@pytest.mark.parametrize(
    "values", [{"day_halves": 0.05}, {"week_stops": 0.03}, {"day_halves": 0.12, "day_stops": 0.1}]
)
def test_a_ladder_that_halves_after_it_has_stopped_is_refused(values):
    with pytest.raises(BadInput, match=r"_halves: .* at most (day|week)_stops"):
        with_limits(USUAL_LIMITS, values)


def test_both_steps_of_a_ladder_are_moved_together():
    made = with_limits(USUAL_LIMITS, {"day_halves": 0.05, "day_stops": 0.06})
    assert made.day == Ladder(D("0.05"), D("0.06"))
    assert with_limits(NO_LIMITS, {"day_halves": 0.05}).day == Ladder(D("0.05"))


def test_settings_that_stand_oddly_are_let_be():
    odd = replace(USUAL_LIMITS, day=Ladder(D("0.05"), D("0.03")))
    assert with_limits(odd, {"positions": 3.0}).day == odd.day


def test_an_unknown_limit_is_refused_with_those_there_are():
    with pytest.raises(BadInput, match="limit: 'day' is not valid. Allowed: day_stops, day_halves"):
        with_limits(USUAL_LIMITS, {"day": 0.05})
