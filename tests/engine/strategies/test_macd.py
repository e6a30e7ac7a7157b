"""MACD with a confirming timeframe: each line of its table, on both sides."""

import pytest

from engine.strategies import STRATEGIES
from engine.strategies.indicators import Macd, macd
from engine.strategies.kernel import Bar
from engine.strategies.macd import STRATEGY, level
from tests.engine.strategies.walks import Table, all_met, judged, moody, opinions, run, seen

# p and c: the two histograms; pb and cb: those of the bar before; t and ct: the thresholds.
TABLE: Table = [
    (
        0.89,
        lambda p, pb, c, cb, t, ct: pb <= 0 < p and c > ct and p > pb and c > cb,
        lambda p, pb, c, cb, t, ct: pb >= 0 > p and c < -ct and p < pb and c < cb,
    ),
    (
        0.71,
        lambda p, pb, c, cb, t, ct: (
            (pb <= 0 < p and c > cb) or (p > t and c > ct and p > pb and c > cb)
        ),
        lambda p, pb, c, cb, t, ct: (
            (pb >= 0 > p and c < cb) or (p < -t and c < -ct and p < pb and c < cb)
        ),
    ),
    (
        0.55,
        lambda p, pb, c, cb, t, ct: p > pb and p > 0 and p > 1.1 * pb and c >= 0,
        lambda p, pb, c, cb, t, ct: p < pb and p < 0 and p < 1.1 * pb and c <= 0,
    ),
]


def independent(bars: list[Bar]) -> list[tuple[float, float]]:
    primary, confirming, said = Macd(), Macd(), []
    for bar in bars:
        primary = macd(primary, bar.close, 12.0, 26.0, 9.0)
        if bar.higher_closed:
            confirming = macd(confirming, bar.higher_close, 12.0, 26.0, 9.0)
        p, c = primary.histogram, confirming.histogram
        t, ct = 0.001 * bar.close, 0.001 * bar.higher_close
        calm = -t < p < t and -2 * ct < c < 2 * ct
        before = primary.previous_histogram, confirming.previous_histogram
        found = judged(TABLE, calm, p, before[0], c, before[1], t, ct)
        said.append(found if primary.bars >= 203 and confirming.bars >= 50 else (0.0, 0.0))
    return said


def test_the_opinions_are_those_of_the_written_table():
    bars = seen(STRATEGY, moody(6_000))
    states, signals = run(STRATEGY, bars)
    expected = independent(bars)
    assert opinions(states) == expected
    assert [signal.entry for signal in signals] == [direction for direction, _ in expected]
    assert all_met(expected, TABLE)


# The threshold of the strategy's bars is 1 here, that of the confirming ones 2.
LEVELS = {
    "strong on a cross with all": ((0.1, 0.0, 2.1, 2.0), 1),
    "not strong at the confirming threshold": ((0.1, 0.0, 2.0, 1.0), 2),
    "not strong while the confirming falls": ((0.1, 0.0, 2.1, 2.2), 3),
    "not strong while the confirming stands": ((0.1, 0.0, 2.1, 2.1), 3),
    "no cross that was above before": ((0.1, 0.01, 2.1, 2.0), 3),
    "no cross that is not above": ((0.0, -0.1, 2.1, 2.0), 0),
    "moderate on a cross while the confirming rises": ((0.1, -0.1, -1.0, -2.0), 2),
    "moderate with both above and rising": ((1.2, 1.15, 2.1, 2.0), 2),
    "not moderate at the threshold": ((1.0, 0.95, 2.1, 2.0), 0),
    "not moderate at the confirming threshold": ((1.2, 1.15, 2.0, 1.9), 0),
    "not moderate while it falls": ((1.2, 1.25, 2.1, 2.0), 0),
    "not moderate while the confirming falls": ((1.2, 1.15, 2.1, 2.2), 0),
    "not moderate while it stands": ((1.2, 1.2, 2.1, 2.0), 0),
    "not weak at a tenth more": ((1.1, 1.0, 0.0, 0.1), 0),
    "weak with the line above": ((0.23, 0.2, 0.0, 0.1), 3),
    "not weak below a tenth more": ((0.219, 0.2, 0.0, 0.1), 0),
    "not weak with the line below": ((-0.1, -0.2, 0.0, 0.1), 0),
    "not weak against the confirming": ((0.23, 0.2, -0.1, 0.1), 0),
}


@pytest.mark.parametrize(("values", "met"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_long(values, met):
    assert level(*values, limit=1.0, confirming_limit=2.0) == met


def test_lengths_and_threshold_are_tunable():
    bars = seen(STRATEGY, moody(3_000))
    usual = opinions(run(STRATEGY, bars)[0])
    for values in (
        {"macd_fast": 8.0},
        {"macd_slow": 40.0},
        {"macd_signal": 5.0},
        {"macd_threshold": 0.0001},
    ):
        assert opinions(run(STRATEGY.tuned(values), bars)[0]) != usual, values


def test_it_is_in_the_table_and_waits_for_50_bars_of_each_timeframe():
    assert STRATEGIES["macd"] is STRATEGY
    assert STRATEGY.bars_needed == 203
    longer = STRATEGY.tuned({"macd_slow": 100.0, "macd_signal": 20.0})
    assert longer.bars_needed == 4 * 120 + 3


def test_why_tells_the_level_that_was_met():
    bars = seen(STRATEGY, moody(3_000))
    states, _ = run(STRATEGY, bars)
    index = opinions(states).index((-1.0, 0.71))
    told = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [(condition.name, condition.holds) for condition in told[2:]] == [
        ("strong 89%", False),
        ("moderate 71%", True),
        ("weak 55%", False),
        ("opinion", True),
    ]
    assert told[1].name == "MACD 12/26/9 away from 0"
    assert told[-1].detail == "short 71%"
