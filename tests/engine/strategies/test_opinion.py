"""Opinions: which level decides, what they ask for, and when they are silent."""

import pytest

from engine.strategies.kernel import LONG_ENTRY, NOTHING, SHORT_ENTRY, Signal
from engine.strategies.opinion import (
    CALM,
    UNCLEAR,
    Opinion,
    is_warm,
    judged,
    signal_of,
    told,
    warm_up,
)

CONFIDENCES = (0.9, 0.7, 0.5)

JUDGED = {
    "a long level": ((2.0, 0.0, False), Opinion(1.0, 0.7, 2.0)),
    "a short level": ((0.0, 3.0, False), Opinion(-1.0, 0.5, 3.0)),
    "the earlier level of two, long": ((1.0, 3.0, True), Opinion(1.0, 0.9, 1.0)),
    "the earlier level of two, short": ((3.0, 1.0, True), Opinion(-1.0, 0.9, 1.0)),
    "calm": ((0.0, 0.0, True), CALM),
    "unclear": ((0.0, 0.0, False), UNCLEAR),
}


@pytest.mark.parametrize(("levels", "opinion"), JUDGED.values(), ids=JUDGED)
def test_the_earlier_level_decides(levels, opinion):
    assert judged(*levels, CONFIDENCES) == opinion


def test_neutral_is_65_when_calm_and_45_when_unclear():
    assert (CALM[:2], UNCLEAR[:2]) == ((0.0, 0.65), (0.0, 0.45))


SIGNALS = {
    "long, sure": (Opinion(1.0, 0.65), Signal(1.0, 0.0, 1.0, LONG_ENTRY, 0.65)),
    "long, not sure": (Opinion(1.0, 0.64), Signal(1.0, 0.0, 0.0, LONG_ENTRY, 0.64)),
    "short, sure": (Opinion(-1.0, 0.9), Signal(-1.0, 1.0, 0.0, SHORT_ENTRY, 0.9)),
    "short, not sure": (Opinion(-1.0, 0.6), Signal(-1.0, 0.0, 0.0, SHORT_ENTRY, 0.6)),
    "neutral": (CALM, NOTHING),
}


@pytest.mark.parametrize(("opinion", "signal"), SIGNALS.values(), ids=SIGNALS)
def test_what_an_opinion_asks_for(opinion, signal):
    assert signal_of(opinion, 0.65) == signal


def test_each_timeframe_needs_50_bars_or_what_the_indicator_takes():
    assert (warm_up(16.0), warm_up(60.0)) == (203.0, 243.0)
    assert is_warm(203.0, 50.0, 16.0)
    assert not is_warm(202.0, 50.0, 16.0)
    assert not is_warm(203.0, 49.0, 16.0)
    assert is_warm(243.0, 60.0, 60.0)
    assert not is_warm(243.0, 59.0, 60.0)


def test_an_opinion_in_words():
    said = [told(each) for each in (Opinion(1.0, 0.73, 2.0), CALM, Opinion())]
    assert said == ["long 73%", "neutral 65%", "warming up"]
