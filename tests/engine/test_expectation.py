"""What is expected of the next trades: bounds that futures like the past keep to."""

from itertools import accumulate
from random import Random

import pytest

from engine.errors import BadInput
from engine.expectation import HORIZON, TRADES_MIN, band_of

PAST = [0.03, -0.02, -0.01, 0.01, -0.02, 0.04, -0.015, 0.005, -0.01, 0.02, 0.01, -0.005]


def future(past: list[float], chance: Random) -> list[float]:
    return list(accumulate(chance.choices(past, k=HORIZON)))


def fall(path: list[float]) -> float:
    peak = deepest = 0.0
    for each in path:
        peak = max(peak, each)
        deepest = max(deepest, peak - each)
    return deepest


def test_of_futures_like_the_past_one_in_twenty_leaves_the_band_on_a_side():
    band, chance = band_of(PAST), Random(7)
    futures = [future(PAST, chance) for _ in range(1_000)]
    below = sum(any(e < low for e, low in zip(f, band.lows, strict=True)) for f in futures)
    above = sum(any(e > high for e, high in zip(f, band.highs, strict=True)) for f in futures)
    deeper = sum(fall(f) > band.drawdown for f in futures)
    assert [20 < each < 90 for each in (below, above, deeper)] == [True] * 3


def test_a_future_that_is_worse_by_two_deviations_leaves_it_soon():
    band, chance = band_of(PAST), Random(8)
    worse = [each - 0.02 for each in PAST]
    futures = [future(worse, chance) for _ in range(200)]
    below = sum(any(e < low for e, low in zip(f, band.lows, strict=True)) for f in futures)
    assert below > 190


def test_it_looks_ahead_over_so_many_trades_and_holds_what_was_seen():
    band = band_of(PAST)
    assert len(band.lows) == len(band.highs) == HORIZON
    assert all(low < high for low, high in zip(band.lows, band.highs, strict=True))
    assert (band.lows[0], band.highs[0]) == (min(PAST), max(PAST))


def test_the_same_past_and_seed_give_the_same_band():
    assert band_of(PAST) == band_of(PAST)
    assert band_of(PAST, seed=1) != band_of(PAST, seed=2)


def test_a_past_that_never_lost_still_lets_an_open_position_swing():
    band = band_of([0.01, 0.03] * 5)
    assert band.drawdown == pytest.approx(0.02)


def test_too_few_trades_say_nothing():
    with pytest.raises(BadInput, match="trades: 9 is not valid. Allowed: at least 10"):
        band_of(PAST[: TRADES_MIN - 1])
    assert band_of(PAST[:TRADES_MIN])
