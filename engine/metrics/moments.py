"""The few statistics that metrics are made of, exact to rounding and without numpy."""

from collections.abc import Sequence
from math import floor, fsum, sqrt


def mean(values: Sequence[float]) -> float:
    """Of at least one value."""
    return fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The sample standard deviation (ddof 1) of at least two values."""
    return sqrt(_central(values, 2) * len(values) / (len(values) - 1))


def skewness(values: Sequence[float]) -> float:
    """The third standardized moment of values that vary; 0 for a normal distribution."""
    return float(_central(values, 3) / _central(values, 2) ** 1.5)


def kurtosis(values: Sequence[float]) -> float:
    """The fourth standardized moment of values that vary; 3 for a normal distribution."""
    return _central(values, 4) / _central(values, 2) ** 2


def _central(values: Sequence[float], power: int) -> float:
    center = mean(values)
    return fsum((value - center) ** power for value in values) / len(values)


def quantile(ordered: Sequence[float], level: float) -> float:
    """The value below which a share `level` of them lies, of at least one, lowest first.

    Between two of them it is interpolated (type 7 of Hyndman and Fan, 1996).
    """
    place = level * (len(ordered) - 1)
    below = floor(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low + (high - low) * (place - below)
