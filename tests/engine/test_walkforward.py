"""Walk-forward: how time is cut, and what the folds say together."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS
from engine.errors import BadInput
from engine.metrics import Mark, Report, Unit, measure
from engine.walkforward import FOLDS_MAX, Fold, FoldResult, efficiency, folds, spread, walk_forward
from tests.engine.conftest import T0


def days(*numbers: int) -> Fold:
    return Fold(*(T0 + number * DAY_MS for number in numbers))


def end_of(length: int) -> int:
    return T0 + length * DAY_MS


# -- folds --------------------------------------------------------------------------------


def test_rolling_folds_train_equally_long():
    assert folds(T0, end_of(90), 5) == [
        days(0, 40, 40, 50),
        days(10, 50, 50, 60),
        days(20, 60, 60, 70),
        days(30, 70, 70, 80),
        days(40, 80, 80, 90),
    ]


def test_anchored_folds_train_on_all_there_was():
    assert folds(T0, end_of(60), 2, anchored=True) == [days(0, 40, 40, 50), days(0, 50, 50, 60)]


def test_a_gap_before_the_test_is_in_neither():
    cut = folds(T0, end_of(62), 2, purge=2 * DAY_MS)
    assert cut == [days(0, 40, 42, 52), days(10, 50, 52, 62)]


def test_another_share_trains_less():
    assert folds(T0, end_of(30), 2, in_share=0.5) == [days(0, 10, 10, 20), days(10, 20, 20, 30)]


def test_what_is_left_over_lies_at_the_start():
    assert folds(T0, end_of(63), 2)[0] == days(3, 43, 43, 53)
    assert folds(T0, end_of(63), 2, anchored=True)[0] == days(0, 43, 43, 53)


def test_one_fold_is_a_plain_out_of_sample():
    assert folds(T0, end_of(10), 1) == [days(0, 8, 8, 10)]


def test_lengths_are_multiples_of_the_grid():
    first = folds(T0, T0 + 24 * HOUR_MS, 2, grid=HOUR_MS)[0]
    assert first == Fold(*(T0 + hour * HOUR_MS for hour in (0, 16, 16, 20)))


def test_a_range_that_is_no_multiple_of_the_grid_still_holds_all():
    end = T0 + 66 * HOUR_MS
    (only,) = folds(T0, end, 1, in_share=0.63)
    assert only == Fold(end - 2 * DAY_MS, end - DAY_MS, end - DAY_MS, end)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 0}, "folds: 0 .* 1 to 100"),
        ({"count": FOLDS_MAX + 1}, "folds: 101 .* 1 to 100"),
        ({"count": 9}, "folds: 9 .* so few that"),
        ({"in_share": 1.0}, "in_share: 1.0 .* between 0 and 1"),
        ({"in_share": 0.0}, "in_share: 0.0 .* between 0 and 1"),
        ({"purge": -1}, "purge: -1 .* 0 or more"),
        ({"purge": 20 * DAY_MS}, "folds: 2 .* so few that"),
        ({"in_share": 0.01}, "folds: 2 .* so few that"),
    ],
)
def test_what_leaves_no_time_is_refused(changes, words):
    with pytest.raises(BadInput, match=words):
        folds(**{"start": T0, "end": end_of(10), "count": 2} | changes)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    span=st.integers(1, 400),
    count=st.integers(1, 12),
    in_share=st.floats(0.05, 0.95),
    purge=st.integers(0, 5),
    anchored=st.booleans(),
)
def test_no_test_is_trained_on_and_all_are_in_the_range(span, count, in_share, purge, anchored):
    options = {"in_share": in_share, "purge": purge * DAY_MS, "anchored": anchored}
    try:
        cut = folds(T0, end_of(span), count, **options)
    except BadInput:
        return
    assert len(cut) == count
    assert cut[-1].test_end == end_of(span)
    for fold in cut:
        assert T0 <= fold.train_start < fold.train_end
        assert fold.train_end + purge * DAY_MS == fold.test_start < fold.test_end
    for before, after in zip(cut, cut[1:], strict=False):
        assert before.test_end == after.test_start
    assert len({fold.test_end - fold.test_start for fold in cut}) == 1


# -- results ------------------------------------------------------------------------------


def report(length: int, earned: float) -> Report:
    """Of an account that earned this fraction in so many days."""
    return measure([Mark(T0, 1000.0), Mark(end_of(length), 1000.0 * (1.0 + earned))], [])


def outcome(trained: float, tested: float, **parameters: float) -> FoldResult:
    return FoldResult(days(0, 40, 40, 50), parameters, report(40, trained), report(10, tested))


def test_efficiency_is_what_is_left_of_a_day_of_training():
    assert efficiency([outcome(0.4, 0.05)]).value == pytest.approx(0.5)
    found = efficiency([outcome(0.4, 0.05), outcome(0.8, -0.02)])
    assert found.value == pytest.approx((0.005 - 0.002) / (0.01 + 0.02))
    assert found.n == 2


@pytest.mark.parametrize("trained", [0.0039, 0.0, -0.1])
def test_training_that_earned_next_to_nothing_has_no_efficiency(trained):
    """0.39 % in 40 days is less than 0.01 % a day."""
    found = efficiency([outcome(trained, 0.05)])
    assert (found.value, found.n) == (None, 1)
    assert found.why == "training earned less than 0.01% a day"


def test_a_little_more_has_one():
    assert efficiency([outcome(0.0041, 0.002)]).value == pytest.approx(0.0002 / 0.0001025)


def test_a_fold_that_lost_counts_with_the_others():
    assert efficiency([outcome(0.4, 0.05), outcome(-0.2, -0.02)]).value == pytest.approx(0.6)
    assert efficiency([outcome(0.4, 0.05), outcome(-0.4, 0.05)]).value is None


def test_all_folds_together():
    found = walk_forward(
        [outcome(0.4, 0.1, ema=240.0), outcome(0.4, -0.1, ema=300.0), outcome(0.4, 0.0, ema=260.0)],
        {"ema": (100.0, 400.0)},
    )
    assert found.profitable.value == pytest.approx(1 / 3)
    assert found.profitable.n == 3
    assert found.total_return.value == pytest.approx(1.1 * 0.9 - 1.0)
    assert found.spread["ema"].value == pytest.approx(0.2)
    assert {found.profitable.unit, found.total_return.unit, found.spread["ema"].unit} == {
        Unit.FRACTION
    }


def test_a_fold_without_a_result_is_left_out():
    empty = FoldResult(days(0, 40, 40, 50), {}, report(40, 0.1), measure([], []))
    found = walk_forward([empty, outcome(0.4, 0.1)], {})
    assert (found.profitable.value, found.profitable.n, found.efficiency.n) == (1.0, 1, 1)
    nothing = walk_forward([empty], {})
    for metric in (nothing.efficiency, nothing.profitable, nothing.total_return):
        assert (metric.value, metric.why) == (None, "no fold has a result")


def test_a_spread_is_measured_against_the_allowed_range():
    assert spread([3.0, 3.0, 3.0], 1.0, 5.0).value == 0.0
    assert spread([1.0, 5.0, 3.0], 1.0, 5.0).value == 1.0
    assert spread([3.0], 1.0, 5.0).why == "needs 2 folds, has 1"
    assert spread([3.0, 3.0], 3.0, 3.0).why == "there is one allowed value"


def test_as_json_every_fold_has_both_reports():
    found = walk_forward([outcome(0.4, 0.05, ema=240.0)], {"ema": (1.0, 2.0)}).as_dict()
    fold = json.loads(json.dumps(found, allow_nan=False))["folds"][0]
    assert fold["test_start"] == end_of(40)
    assert fold["parameters"] == {"ema": 240.0}
    assert fold["in_sample"]["return"]["value"] == pytest.approx(0.4)
    assert fold["out_of_sample"]["return"]["value"] == pytest.approx(0.05)
    assert fold["efficiency"]["value"] == pytest.approx(0.5)
