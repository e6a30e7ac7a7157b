"""The trend filter: three averages of 200 closes, and what they leave of an opinion."""

import pytest

from engine.candle import DAY_MS, HOUR_MS, aggregate
from engine.strategies.indicators import ema
from engine.strategies.kernel import Bar
from engine.strategies.opinion import CALM, UNCLEAR, Opinion
from engine.strategies.trendfilter import (
    Average,
    Trends,
    agreeing,
    alignment,
    explained,
    filtered,
    followed,
    trend,
)
from tests.engine.strategies.walks import FIVE, rough, walk

LONG, SHORT = Opinion(1.0, 0.8, 2.0), Opinion(-1.0, 0.8, 2.0)


def average_of(candles: list, base: int, target: int) -> tuple[float, float]:
    value, closes = 0.0, aggregate(candles, base, target)
    for count, bar in enumerate(closes, 1):
        value = ema(value, bar.close, float(count), 200.0)
    return float(len(closes)), value


@pytest.mark.parametrize(
    ("candles", "base"),
    [(rough(3_000), FIVE), (walk(5_000, timeframe=HOUR_MS, sigma=0.005), HOUR_MS)],
    ids=["five minutes with gaps", "hours"],
)
def test_the_averages_are_those_of_the_aggregated_closes(candles, base):
    state = Trends()
    for candle in candles:
        state = followed(state, Bar(*candle))
    for average, target in zip(state[1:], (HOUR_MS, 4 * HOUR_MS, DAY_MS), strict=True):
        assert (average.bars, average.value) == average_of(candles, base, target)
    assert state.hour.bars > 200


# The closes so far, and the close against an average of 100.
TRENDS = {
    "up beyond 1%": (200.0, 101.1, 1.0),
    "not up at 1%": (200.0, 101.0, 0.0),
    "down beyond 1%": (200.0, 98.9, -1.0),
    "not down at 1%": (200.0, 99.0, 0.0),
    "neutral before 200 closes": (199.0, 150.0, 0.0),
}


@pytest.mark.parametrize(("bars", "close", "direction"), TRENDS.values(), ids=TRENDS)
def test_a_trend_is_1_percent_from_a_full_average(bars, close, direction):
    assert trend(Average(bars=bars, value=100.0), close) == direction


# Averages that a close of 100 stands above, below, and at.
UP, DOWN, FLAT = (Average(bars=200.0, value=value) for value in (90.0, 110.0, 100.0))


def trends(*averages: Average) -> Trends:
    return Trends(hour=averages[0], four_hours=averages[1], day=averages[2])


@pytest.mark.parametrize("place", range(3))
def test_each_of_the_three_counts(place):
    averages = [FLAT] * 3
    averages[place] = UP
    assert agreeing(trends(*averages), 100.0, 1.0) == 1
    assert agreeing(trends(*averages), 100.0, -1.0) == 0


ALIGNED = {(3, 0): 1.0, (2, 0): 0.85, (1, 0): 0.65, (2, 1): 0.4, (1, 1): 0.4, (1, 2): 0.2}


@pytest.mark.parametrize(("counts", "score"), ALIGNED.items(), ids=str)
def test_the_alignment_by_how_many_are_with_it_and_against_it(counts, score):
    assert alignment(*map(float, counts)) == score


LEFT = {
    "with all three": ((UP, UP, UP), 0.4 * 0.8 + 0.6 * 1.0),
    "with two": ((UP, UP, FLAT), 0.4 * 0.8 + 0.6 * 0.85),
    "with one": ((FLAT, UP, FLAT), 0.4 * 0.8 + 0.6 * 0.65),
    "with two and against one": ((UP, UP, DOWN), None),
    "with one and against one": ((UP, FLAT, DOWN), None),
    "against one": ((FLAT, FLAT, DOWN), None),
    "against all": ((DOWN, DOWN, DOWN), None),
    "with no trend anywhere": ((FLAT, FLAT, FLAT), 0.8 * 0.85),
}


@pytest.mark.parametrize(("averages", "confidence"), LEFT.values(), ids=LEFT)
def test_what_is_left_of_an_opinion(averages, confidence):
    long = filtered(LONG, trends(*averages), 100.0, 0.6)
    assert long == (UNCLEAR if confidence is None else Opinion(1.0, confidence, 2.0))
    mirrored = [{UP: DOWN, DOWN: UP, FLAT: FLAT}[each] for each in averages]
    short = filtered(SHORT, trends(*mirrored), 100.0, 0.6)
    assert short == (UNCLEAR if confidence is None else Opinion(-1.0, confidence, 2.0))


def test_the_confidence_is_capped_at_95_percent():
    assert filtered(Opinion(1.0, 0.9, 0.0), trends(UP, UP, UP), 100.0, 0.6).confidence == 0.95


def test_a_neutral_opinion_stays_what_it_is():
    assert filtered(CALM, trends(UP, UP, UP), 100.0, 0.6) == CALM


def test_the_least_alignment_is_tunable_but_the_counter_trend_stays_blocked():
    mixed, against = trends(UP, UP, DOWN), trends(UP, DOWN, DOWN)
    assert filtered(LONG, mixed, 100.0, 0.4).direction == 1.0
    assert filtered(LONG, trends(UP, FLAT, DOWN), 100.0, 0.4).direction == 1.0
    assert filtered(LONG, trends(UP, UP, FLAT), 100.0, 0.9) == UNCLEAR
    assert filtered(LONG, against, 100.0, 0.2) == UNCLEAR


def test_it_tells_each_trend_and_the_verdict():
    told = explained(trends(UP, FLAT, DOWN), 100.0, 1.0, 0.6)
    assert [(each.name, each.holds) for each in told] == [
        ("trend of 1h", True),
        ("trend of 4h", False),
        ("trend of 1d", True),
        ("goes with the trend", False),
    ]
    assert told[0].detail == "long: 100 vs EMA 200 90, 200 of 200 closes"
    assert told[3].detail == "1 with it, 1 against, at least 0.6 needed"
    assert explained(trends(UP, UP, UP), 100.0, 1.0, 0.6)[3].holds
