"""The stochastic with a confirming timeframe: each line of its table, on both sides."""

import pytest

from engine.strategies import STRATEGIES
from engine.strategies.indicators import Stochastic, stochastic
from engine.strategies.kernel import Bar
from engine.strategies.stochastic import STRATEGY, level
from tests.engine.strategies.walks import Table, all_met, judged, moody, opinions, run, seen

# k and d, kb and db of the bar before, c the K of the confirming bars.
TABLE: Table = [
    (
        0.89,
        lambda k, d, kb, db, c: kb <= db and k > d and k <= 20 and c <= 20,
        lambda k, d, kb, db, c: kb >= db and k < d and k >= 80 and c >= 80,
    ),
    (
        0.85,
        lambda k, d, kb, db, c: k <= 10 and c <= 20 and k > d,
        lambda k, d, kb, db, c: k >= 90 and c >= 80 and k < d,
    ),
    (
        0.72,
        lambda k, d, kb, db, c: kb <= db and k > d and k <= 30 and c < 50,
        lambda k, d, kb, db, c: kb >= db and k < d and k >= 70 and c > 50,
    ),
    (
        0.58,
        lambda k, d, kb, db, c: k > d and 50 < k < 80 and c > 50 and k > kb,
        lambda k, d, kb, db, c: k < d and 20 < k < 50 and c < 50 and k < kb,
    ),
    (
        0.52,
        lambda k, d, kb, db, c: k > d and k < 50 and c < 50 and k > kb,
        lambda k, d, kb, db, c: k < d and k > 50 and c > 50 and k < kb,
    ),
]


def independent(bars: list[Bar]) -> list[tuple[float, float]]:
    primary, confirming, said = Stochastic(), Stochastic(), []
    rings = [0.0] * 34, [0.0] * 34
    lengths = 14.0, 3.0, 3.0
    for bar in bars:
        primary = stochastic(primary, rings[0], 0, bar.high, bar.low, bar.close, *lengths)
        if bar.higher_closed:
            longer = bar.higher_high, bar.higher_low, bar.higher_close
            confirming = stochastic(confirming, rings[1], 0, *longer, *lengths)
        k, d, c = primary.k, primary.d, confirming.k
        calm = 40 < k < 60 and 35 < c < 65
        found = judged(TABLE, calm, k, d, primary.previous_k, primary.previous_d, c)
        said.append(found if primary.bars >= 203 and confirming.bars >= 50 else (0.0, 0.0))
    return said


def test_the_opinions_are_those_of_the_written_table():
    bars = seen(STRATEGY, moody(9_000))
    states, signals = run(STRATEGY, bars)
    expected = independent(bars)
    assert opinions(states) == expected
    assert [signal.entry for signal in signals] == [direction for direction, _ in expected]
    assert all_met(expected, TABLE)


# K, D, both of the bar before, K of the confirming bars.
LEVELS = {
    "strong on a cross with both sold out": ((20, 19, 18, 18, 20), 1),
    "not strong above oversold": ((20.1, 19, 18, 18, 20), 3),
    "not strong with the confirming above": ((20, 19, 18, 18, 20.1), 3),
    "not strong without a cross": ((20, 19, 18.1, 18, 20), 5),
    "extreme without a cross": ((10, 9, 8.1, 8, 20), 2),
    "extreme while it falls": ((10, 9, 12, 8, 20), 2),
    "not extreme above it": ((10.1, 9, 12, 8, 20), 0),
    "not extreme with the confirming above": ((10, 9, 12, 8, 20.1), 0),
    "not extreme below D": ((10, 10, 12, 8, 20), 0),
    "moderate on a cross near oversold": ((30, 29, 28, 28, 49.9), 3),
    "moderate while it falls": ((30, 29, 31, 31, 49.9), 3),
    "not moderate further up": ((30.1, 29, 31, 31, 49.9), 0),
    "not moderate without a cross": ((30, 29, 31, 30, 49.9), 0),
    "not moderate against the confirming": ((30, 29, 31, 31, 50), 0),
    "momentum above 50": ((50.1, 50, 49, 48, 50.1), 4),
    "no momentum at 50": ((50, 49, 48, 47, 50.1), 0),
    "no momentum at overbought": ((80, 79, 78, 77, 60), 0),
    "no momentum below D": ((60, 60, 59, 58, 60), 0),
    "no momentum while it falls": ((60, 59, 60, 58, 60), 0),
    "no momentum against the confirming": ((60, 59, 58, 57, 50), 0),
    "weak below 50": ((49.9, 49, 48, 47, 49.9), 5),
    "not weak at 50": ((50, 49, 48, 47, 49.9), 0),
    "not weak while it falls": ((49.9, 49, 49.9, 47, 49.9), 0),
    "not weak against the confirming": ((49.9, 49, 48, 47, 50), 0),
}


@pytest.mark.parametrize(("values", "met"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_long(values, met):
    assert level(*values, extreme=10, oversold=20, overbought=80) == met


def test_lengths_and_levels_are_tunable():
    bars = seen(STRATEGY, moody(4_000))
    usual = opinions(run(STRATEGY, bars)[0])
    for values in (
        {"stochastic_length": 7.0},
        {"stochastic_smooth": 1.0},
        {"stochastic_signal": 5.0},
        {"stochastic_oversold": 30.0},
        {"stochastic_overbought": 70.0},
        {"stochastic_extreme_oversold": 1.0},
        {"stochastic_extreme_overbought": 99.0},
    ):
        assert opinions(run(STRATEGY.tuned(values), bars)[0]) != usual, values


def test_it_is_in_the_table_and_waits_for_50_bars_of_each_timeframe():
    assert STRATEGIES["stochastic"] is STRATEGY
    assert STRATEGY.bars_needed == 203
    assert STRATEGY.tuned({"stochastic_length": 100.0}).bars_needed == 4 * 105 + 3


def test_why_tells_the_level_that_was_met():
    bars = seen(STRATEGY, moody(4_000))
    states, _ = run(STRATEGY, bars)
    index = opinions(states).index((-1.0, 0.72))
    told = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [(condition.name, condition.holds) for condition in told[2:]] == [
        ("strong 89%", False),
        ("extreme 85%", False),
        ("moderate 72%", True),
        ("momentum 58%", False),
        ("weak 52%", False),
        ("opinion", True),
    ]
    assert told[1].name == "K above D"
    assert not told[1].holds
