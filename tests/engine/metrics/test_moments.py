"""Moments and quantiles, by hand."""

from math import sqrt

import pytest

from engine.metrics.moments import deviation, kurtosis, mean, quantile, skewness

# Around a mean of 2: two below by 1, one above by 2.
VALUES = [1.0, 1.0, 4.0]


def test_moments():
    assert mean(VALUES) == 2.0
    assert deviation(VALUES) == pytest.approx(sqrt(6 / 2))
    assert skewness(VALUES) == pytest.approx((6 / 3) / (6 / 3) ** 1.5)
    assert kurtosis(VALUES) == pytest.approx((18 / 3) / (6 / 3) ** 2)


def test_a_long_left_tail_is_a_negative_skewness():
    assert skewness([-value for value in VALUES]) == pytest.approx(-1 / sqrt(2))


def test_sums_are_exact():
    assert mean([0.1] * 10) == 0.1
    assert deviation([1e8 + 0.1] * 10) == 0.0


@pytest.mark.parametrize(
    ("level", "expected"), [(0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.6, 3.8), (1.0, 9.0)]
)
def test_a_quantile_between_two_values_is_interpolated(level, expected):
    assert quantile([1.0, 2.0, 3.0, 5.0, 9.0], level) == pytest.approx(expected)


def test_one_value_is_every_quantile_of_itself():
    assert [quantile([7.0], level) for level in (0.0, 0.5, 1.0)] == [7.0] * 3
