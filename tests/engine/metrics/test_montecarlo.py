"""Bands over shuffled trades and resampled days."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.metrics import resampled, shuffled_drawdown
from engine.metrics.montecarlo import DAYS_MIN, LEVELS, RUNS_MAX, TRADES_MIN, drawn

RANDOM = Random(7)
NETS = [RANDOM.gauss(1.0, 10.0) for _ in range(60)]
RETURNS = [RANDOM.gauss(0.001, 0.02) for _ in range(120)]


# -- shuffled trades ----------------------------------------------------------------------


def test_the_bands_lie_between_the_kindest_and_the_cruelest_order():
    """Ten wins and ten losses of the same size: one by one, or all losses at the start."""
    nets = [10.0] * 10 + [-10.0] * 10
    bands = shuffled_drawdown(nets, 1000.0, seed=1, runs=400)
    assert bands.observed == pytest.approx(100.0 / 1100.0)
    assert 10.0 / 1010.0 < bands.values[0] < bands.values[-1] < 100.0 / 1000.0
    assert list(bands.values) == sorted(set(bands.values))


def test_wins_alone_never_fall_in_any_order():
    bands = shuffled_drawdown([1.0] * 20, 100.0, seed=1, runs=50)
    assert bands.values == (0.0,) * 5
    assert bands.observed == 0.0


def test_equal_losses_fall_alike_in_any_order():
    bands = shuffled_drawdown([-1.0] * 20, 100.0, seed=1, runs=50)
    assert bands.values == pytest.approx((0.2,) * 5)


def test_a_path_that_loses_all_counts_as_all():
    assert shuffled_drawdown([-50.0] * 20, 100.0, seed=1, runs=5).values == (1.0,) * 5


def test_the_trades_given_stay_as_they_are():
    nets = list(NETS)
    shuffled_drawdown(nets, 1000.0, seed=1, runs=5)
    assert nets == NETS


def test_few_trades_have_no_bands():
    bands = shuffled_drawdown(NETS[: TRADES_MIN - 1], 1000.0, seed=1)
    assert (bands.values, bands.observed, bands.why) == ((), None, "needs 20 trades, has 19")
    assert shuffled_drawdown(NETS[:TRADES_MIN], 1000.0, seed=1, runs=5).why == ""


# -- resampled days -----------------------------------------------------------------------


def test_a_day_that_is_always_the_same_has_one_future():
    found = resampled([0.01] * 40, seed=1, runs=20)
    assert found.total_return.values == pytest.approx((1.01**40 - 1.0,) * 5)
    assert found.max_drawdown.values == (0.0,) * 5


def test_what_was_observed_lies_within_the_bands():
    found = resampled(RETURNS, seed=3, runs=300)
    for bands in found:
        assert bands.values[0] < bands.observed < bands.values[-1]
        assert list(bands.values) == sorted(bands.values)
        assert (bands.n, bands.runs, bands.seed) == (120, 300, 3)


def test_days_keep_their_neighbors_inside_a_block():
    days = [float(day) for day in range(1000)]
    path = drawn(days, 20.0, Random(1))
    kept = sum(after == (before + 1) % 1000 for before, after in zip(path, path[1:], strict=False))
    assert len(path) == 1000
    assert kept / 999 == pytest.approx(1.0 - 1.0 / 20.0, abs=0.02)


def test_blocks_of_one_day_draw_every_day_anew():
    days = [float(day) for day in range(1000)]
    path = drawn(days, 1.0, Random(1))
    assert sum(after == before + 1 for before, after in zip(path, path[1:], strict=False)) < 10


def test_every_day_is_drawn_as_often_as_another():
    """Blocks go round at the end, else the first and the last days would be rare."""
    counts = [0] * 40
    chance = Random(5)
    for _ in range(2_000):
        for day in drawn(range(40), 8.0, chance):
            counts[day] += 1
    assert min(counts) > 1_750
    assert max(counts) < 2_250


def test_few_days_have_no_bands():
    found = resampled(RETURNS[: DAYS_MIN - 1], seed=1)
    assert {bands.why for bands in found} == {"needs 30 days, has 29"}
    assert resampled(RETURNS[:DAYS_MIN], seed=1, runs=5).total_return.why == ""


# -- both ---------------------------------------------------------------------------------


def test_a_seed_gives_the_same_bands_again_and_another_gives_others():
    def both(seed: int) -> tuple[object, ...]:
        shuffled = shuffled_drawdown(NETS, 1000.0, seed=seed, runs=40)
        return shuffled.values, *(each.values for each in resampled(RETURNS, seed=seed, runs=40))

    assert both(1) == both(1)
    assert all(one != other for one, other in zip(both(1), both(2), strict=True))


def test_bands_as_json_have_their_levels_and_seed():
    found = shuffled_drawdown(NETS, 1000.0, seed=4, runs=10).as_dict()
    assert list(found["quantiles"]) == ["p5", "p25", "p50", "p75", "p95"]
    assert (found["n"], found["runs"], found["seed"], found["why"]) == (60, 10, 4, "")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: shuffled_drawdown(NETS, 0.0, seed=1), "deposit: 0.0 .* above zero"),
        (lambda: shuffled_drawdown(NETS, 1.0, seed=1, runs=0), "runs: 0 .* 1 to 10,000"),
        (lambda: resampled(RETURNS, seed=1, runs=RUNS_MAX + 1), "runs: 10001 .* 1 to 10,000"),
        (lambda: resampled(RETURNS, seed=1, block=0.5), "block: 0.5 .* 1 to 120 days"),
        (lambda: resampled(RETURNS, seed=1, block=121), "block: 121 .* 1 to 120 days"),
    ],
)
def test_what_is_not_allowed_is_named(call, words):
    with pytest.raises(BadInput, match=words):
        call()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.floats(-50.0, 50.0), min_size=20, max_size=40), st.integers(0, 99))
def test_bands_lie_between_no_fall_and_all(nets, seed):
    bands = shuffled_drawdown(nets, 3000.0, seed=seed, runs=20)
    assert len(bands.values) == len(LEVELS)
    assert all(0.0 <= value <= 1.0 for value in (*bands.values, bands.observed))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.lists(st.integers(-50, 50), min_size=20, max_size=40), st.integers(0, 99))
def test_a_shuffle_ends_where_the_trades_ended(nets, seed):
    """From a peak that no order passes, every order falls to the same end: the sum is kept."""
    last = [*(-abs(net) for net in nets)]
    bands = shuffled_drawdown(last, 3000.0, seed=seed, runs=5)
    assert bands.values == pytest.approx((-sum(last) / 3000.0,) * 5)
