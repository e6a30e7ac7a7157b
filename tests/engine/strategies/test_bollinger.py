"""Bollinger's bands with a confirming timeframe: each line of their table, on both sides."""

import pytest

from engine.strategies import STRATEGIES
from engine.strategies.bollinger import STRATEGY, level
from engine.strategies.indicators import Bollinger, bollinger
from engine.strategies.kernel import Bar
from tests.engine.strategies.walks import Table, all_met, judged, moody, opinions, run, seen

# p and c: the two positions; s: either is squeezed; e: expanding; m: the close above the middle
# of the confirming bands, in price.
TABLE: Table = [
    (
        0.87,
        lambda p, c, s, e, m: s and e and p > 1 and c > 0.5,
        lambda p, c, s, e, m: s and e and p < 0 and c < 0.5,
    ),
    (
        0.73,
        lambda p, c, s, e, m: p <= 0.1 and c < 0.3 and not e,
        lambda p, c, s, e, m: p >= 0.9 and c > 0.7 and not e,
    ),
    (
        0.65,
        lambda p, c, s, e, m: p > 0.65 and c > 0.55 and e,
        lambda p, c, s, e, m: p < 0.35 and c < 0.45 and e,
    ),
    (
        0.58,
        lambda p, c, s, e, m: p < 0.35 and m > 0,
        lambda p, c, s, e, m: p > 0.65 and m < 0,
    ),
]


def independent(bars: list[Bar]) -> list[tuple[float, float]]:
    primary, confirming, said = Bollinger(), Bollinger(), []
    rings = [0.0] * 20, [0.0] * 20
    for bar in bars:
        primary = bollinger(primary, rings[0], 0, bar.close, 20.0, 2.0)
        if bar.higher_closed:
            confirming = bollinger(confirming, rings[1], 0, bar.higher_close, 20.0, 2.0)
        width, before = primary.bandwidth, primary.previous_bandwidth
        squeezed = [width < 0.02, confirming.bandwidth < 0.02]
        calm = all(squeezed) or (0.4 <= primary.position <= 0.6 and width < before)
        found = judged(
            TABLE,
            calm,
            primary.position,
            confirming.position,
            any(squeezed),
            width > 1.05 * before,
            bar.close - confirming.middle,
        )
        said.append(found if primary.bars >= 203 and confirming.bars >= 50 else (0.0, 0.0))
    return said


def test_the_opinions_are_those_of_the_written_table():
    bars = seen(STRATEGY, moody(6_000))
    states, signals = run(STRATEGY, bars)
    expected = independent(bars)
    assert opinions(states) == expected
    assert [signal.entry for signal in signals] == [direction for direction, _ in expected]
    assert all_met(expected, TABLE)


# Position, confirming position, squeezed, expanding, above the confirming middle.
LEVELS = {
    "a breakout from a squeeze": ((1.1, 0.6, True, True, True), 1),
    "no breakout at the band": ((1.0, 0.54, True, True, True), 0),
    "no breakout without a squeeze": ((1.1, 0.54, False, True, True), 0),
    "no breakout without expansion": ((1.1, 0.54, True, False, True), 0),
    "no breakout with the confirming in the middle": ((1.1, 0.5, True, True, True), 0),
    "a return from the band": ((0.1, 0.29, True, False, False), 2),
    "no return from further in": ((0.11, 0.29, True, False, False), 0),
    "no return with the confirming too high": ((0.1, 0.3, True, False, False), 0),
    "no return while expanding": ((0.1, 0.29, True, True, False), 0),
    "a trend that goes on": ((0.66, 0.56, False, True, True), 3),
    "no trend too low in the bands": ((0.65, 0.56, False, True, True), 0),
    "no trend with the confirming too low": ((0.66, 0.55, False, True, True), 0),
    "no trend without expansion": ((0.66, 0.56, False, False, True), 0),
    "moderate low in the bands": ((0.34, 0.6, False, True, True), 4),
    "not moderate further up": ((0.35, 0.6, False, True, True), 0),
    "not moderate below the confirming middle": ((0.34, 0.6, False, True, False), 0),
}


@pytest.mark.parametrize(("values", "met"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_long(values, met):
    assert level(*values) == met


def test_lengths_and_squeeze_are_tunable():
    bars = seen(STRATEGY, moody(3_000))
    usual = opinions(run(STRATEGY, bars)[0])
    for values in (
        {"bollinger_length": 40.0},
        {"bollinger_sigmas": 1.5},
        {"bollinger_squeeze": 0.005},
    ):
        assert opinions(run(STRATEGY.tuned(values), bars)[0]) != usual, values


def test_it_is_in_the_table_and_waits_for_50_bars_of_each_timeframe():
    assert STRATEGIES["bollinger"] is STRATEGY
    assert STRATEGY.bars_needed == 203
    assert STRATEGY.tuned({"bollinger_length": 100.0}).bars_needed == 4 * 101 + 3


def test_why_tells_the_level_that_was_met():
    bars = seen(STRATEGY, moody(3_000))
    states, _ = run(STRATEGY, bars)
    index = opinions(states).index((1.0, 0.73))
    told = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [(condition.name, condition.holds) for condition in told[4:]] == [
        ("squeeze breakout 87%", False),
        ("mean reversion 73%", True),
        ("trend continuation 65%", False),
        ("moderate 58%", False),
        ("opinion", True),
    ]
    assert [condition.name for condition in told[:4]] == [
        "enough bars",
        "squeezed below 2.00%",
        "expanding",
        "outside the bands",
    ]
    assert not told[2].holds
