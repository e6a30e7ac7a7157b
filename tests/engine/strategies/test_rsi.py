"""RSI with a confirming timeframe: each line of its table, on both sides."""

import pytest

from engine.strategies import STRATEGIES
from engine.strategies.indicators import Rsi, rsi
from engine.strategies.kernel import LONG_ENTRY, SHORT_ENTRY, Bar
from engine.strategies.rsi import STRATEGY, level
from tests.engine.strategies.walks import Table, all_met, judged, moody, opinions, run, seen

# p and c: the two RSI; pb and cb: those of the bar before.
TABLE: Table = [
    (
        0.87,
        lambda p, pb, c, cb: p <= 20 and c <= 30 and c >= cb,
        lambda p, pb, c, cb: p >= 80 and c >= 70 and c <= cb,
    ),
    (
        0.73,
        lambda p, pb, c, cb: p <= 30 and c < 50 and p > pb,
        lambda p, pb, c, cb: p >= 70 and c > 50 and p < pb,
    ),
    (
        0.60,
        lambda p, pb, c, cb: 55 < p < 70 and p > pb and 50 < c < 75,
        lambda p, pb, c, cb: 30 < p < 45 and p < pb and 25 < c < 50,
    ),
    (
        0.51,
        lambda p, pb, c, cb: 30 < p < 50 and p > pb and c < 50,
        lambda p, pb, c, cb: 50 < p < 70 and p < pb and c > 50,
    ),
]


def independent(bars: list[Bar]) -> list[tuple[float, float]]:
    primary, confirming, said = Rsi(), Rsi(), []
    for bar in bars:
        primary = rsi(primary, bar.close, 14.0)
        if bar.higher_closed:
            confirming = rsi(confirming, bar.higher_close, 14.0)
        p, c = primary.value, confirming.value
        calm = 40 < p < 60 and 35 < c < 65
        found = judged(TABLE, calm, p, primary.previous, c, confirming.previous)
        said.append(found if primary.bars >= 203 and confirming.bars >= 50 else (0.0, 0.0))
    return said


def test_the_opinions_are_those_of_the_written_table():
    bars = seen(STRATEGY, moody(6_000))
    states, signals = run(STRATEGY, bars)
    expected = independent(bars)
    assert opinions(states) == expected
    assert [signal.entry for signal in signals] == [direction for direction, _ in expected]
    assert all_met(expected, TABLE)


LEVELS = {
    "strong at the extreme": ((20, 19, 30, 30), 1),
    "strong while it falls itself": ((20, 25, 30, 30), 1),
    "not strong above the extreme": ((20.1, 19, 30, 30), 2),
    "not strong while the confirming falls": ((20, 19, 29, 30), 2),
    "not strong while the confirming is not sold out": ((20, 19, 30.1, 30), 2),
    "moderate at oversold": ((30, 29, 49.9, 40), 2),
    "not moderate while it falls": ((30, 31, 49.9, 40), 0),
    "not moderate while it stands": ((30, 30, 49.9, 40), 0),
    "not moderate against the confirming": ((30, 29, 50, 40), 0),
    "momentum above 55": ((55.1, 55, 50.1, 50), 3),
    "no momentum at 55": ((55, 54, 50.1, 50), 0),
    "no momentum at overbought": ((70, 69, 60, 50), 0),
    "no momentum while it falls": ((60, 61, 60, 50), 0),
    "no momentum with the confirming at 50": ((60, 59, 50, 50), 0),
    "no momentum with the confirming at 75": ((60, 59, 75, 50), 0),
    "weak above oversold": ((30.1, 30, 49.9, 40), 4),
    "not weak at 50": ((50, 49, 49.9, 40), 0),
    "not weak while it falls": ((40, 41, 49.9, 40), 0),
    "not weak against the confirming": ((40, 39, 50, 40), 0),
}


@pytest.mark.parametrize(("values", "met"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_long(values, met):
    assert level(*values, extreme=20, oversold=30, overbought=70) == met


def test_the_levels_are_tunable():
    bars = seen(STRATEGY, moody(3_000))
    usual = run(STRATEGY, bars)[1]
    for values in (
        {"rsi_length": 7.0},
        {"rsi_oversold": 40.0},
        {"rsi_overbought": 60.0},
        {"rsi_extreme_oversold": 5.0},
        {"rsi_extreme_overbought": 95.0},
    ):
        assert run(STRATEGY.tuned(values), bars)[1] != usual, values


def test_a_confident_opinion_leaves_the_other_side_and_a_weak_one_does_not():
    _, signals = run(STRATEGY, seen(STRATEGY, moody(6_000)))
    entries = [signal for signal in signals if signal.entry]
    for signal in entries:
        sure = float(signal.confidence >= 0.65)
        wanted = (LONG_ENTRY, 0.0, sure) if signal.entry > 0 else (SHORT_ENTRY, sure, 0.0)
        assert (signal.reason, signal.exit_long, signal.exit_short) == wanted
    assert {signal.confidence for signal in entries} == {0.87, 0.73, 0.60, 0.51}
    early = STRATEGY.tuned({"reversal": 0.5})
    _, signals = run(early, seen(early, moody(1_500)))
    assert all(signal.exit_long or signal.exit_short for signal in signals if signal.entry)


def test_it_is_in_the_table_and_waits_for_50_bars_of_each_timeframe():
    assert STRATEGIES["rsi"] is STRATEGY
    assert STRATEGY.bars_needed == 203
    assert STRATEGY.tuned({"rsi_length": 100.0}).bars_needed == 4 * 102 + 3


def test_why_tells_the_level_that_was_met():
    bars = seen(STRATEGY, moody(3_000))
    states, _ = run(STRATEGY, bars)
    index = opinions(states).index((1.0, 0.73))
    told = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [condition.name for condition in told] == [
        "enough bars",
        "RSI 14 away from 50",
        "strong 87%",
        "moderate 73%",
        "momentum 60%",
        "weak 51%",
        "opinion",
    ]
    assert [condition.holds for condition in told[2:]] == [False, True, False, False, True]
    assert told[-1].detail == "long 73%"
    assert f"{states[index].primary.value:.1f}" in told[1].detail
