"""Volume: each line of its table, on both sides."""

import pytest

from engine.candle import TIMEFRAMES
from engine.strategies import STRATEGIES
from engine.strategies.indicators import Profile, profile, profile_cells
from engine.strategies.kernel import Bar
from engine.strategies.volume import STRATEGY, level
from tests.engine.strategies.walks import Table, all_met, judged, moody, opinions, run, seen

# v: the volume in means; s: the bull share; d: the close less the point of control, as a
# fraction of it.
TABLE: Table = [
    (
        0.91,
        lambda v, s, d: v >= 2 and s >= 0.7 and d > 0,
        lambda v, s, d: v >= 2 and s <= 0.3 and d < 0,
    ),
    (
        0.71,
        lambda v, s, d: (v >= 1.5 and s >= 0.6) or (abs(d) <= 0.02 and s >= 0.65 and d > 0),
        lambda v, s, d: (v >= 1.5 and s <= 0.4) or (abs(d) <= 0.02 and s <= 0.35 and d < 0),
    ),
    (0.51, lambda v, s, d: s >= 0.55 and v > 1.2, lambda v, s, d: s <= 0.45 and v > 1.2),
]


def independent(bars: list[Bar]) -> list[tuple[float, float]]:
    traded, ring, said = Profile(), [0.0] * profile_cells(50.0), []
    for index, bar in enumerate(bars):
        traded = profile(traded, ring, 0, bar.high, bar.low, bar.close, bar.volume, 50.0)
        if index < 49:
            said.append((0.0, 0.0))
            continue
        mean = sum(each.volume for each in bars[index - 19 : index + 1]) / 20
        volume = bar.volume / mean
        last = bars[index - 9 : index + 1]
        bulls = sum(each.volume for each in last if each.close > each.open)
        share = bulls / sum(each.volume for each in last if each.close != each.open)
        distance = bar.close / traded.point_of_control - 1
        said.append(judged(TABLE, volume < 0.8, volume, share, distance))
    return said


def test_the_opinions_are_those_of_the_written_table():
    bars = seen(STRATEGY, moody(6_000))
    states, signals = run(STRATEGY, bars)
    expected = independent(bars)
    assert opinions(states) == expected
    assert [signal.entry for signal in signals] == [direction for direction, _ in expected]
    assert all_met(expected, TABLE)


# Volume, bull share, above the point of control, near it.
LEVELS = {
    "strong on a spike": ((2.0, 0.7, True, False), 1),
    "not strong below the spike": ((1.99, 0.7, True, False), 2),
    "not strong with too few bulls": ((2.0, 0.69, True, False), 2),
    "not strong below the point of control": ((2.0, 0.7, False, False), 2),
    "moderate on volume": ((1.5, 0.6, False, False), 2),
    "not moderate on less volume": ((1.49, 0.6, False, False), 3),
    "not moderate with fewer bulls": ((1.5, 0.59, False, False), 3),
    "moderate near the point of control": ((0.1, 0.65, True, True), 2),
    "not moderate far from it": ((0.1, 0.65, True, False), 0),
    "not moderate below it": ((0.1, 0.65, False, True), 0),
    "not moderate near it with fewer bulls": ((0.1, 0.64, True, True), 0),
    "weak": ((1.21, 0.55, False, False), 3),
    "not weak at usual volume": ((1.2, 0.55, False, False), 0),
    "not weak with fewer bulls": ((1.21, 0.54, False, False), 0),
}


@pytest.mark.parametrize(("values", "met"), LEVELS.values(), ids=LEVELS)
def test_the_level_of_a_long(values, met):
    assert level(*values, spike=2.0) == met


def test_bars_that_close_where_they_opened_take_no_side():
    """Of ten bars nine stand still: the share is that of the one that moved."""
    bars = [bar._replace(close=bar.open) for bar in seen(STRATEGY, moody(59))]
    last = bars[-1]._replace(close=bars[-1].open * 1.0001, high=bars[-1].high * 1.01)
    states, _ = run(STRATEGY, [*bars[:-1], last])
    assert states[-2].bulls.value == 0.5
    assert states[-1].bulls.value == 1.0


def test_lengths_and_spike_are_tunable():
    bars = seen(STRATEGY, moody(3_000))
    usual = opinions(run(STRATEGY, bars)[0])
    for values in (
        {"volume_length": 40.0},
        {"volume_spike": 3.0},
        {"volume_bull_length": 20.0},
        {"volume_profile_length": 20.0},
    ):
        assert opinions(run(STRATEGY.tuned(values), bars)[0]) != usual, values


def test_it_is_in_the_table_and_looks_at_one_timeframe():
    assert STRATEGIES["volume"] is STRATEGY
    assert (STRATEGY.higher, STRATEGY.at(TIMEFRAMES["1h"]).higher) == (0, 0)
    assert STRATEGY.bars_needed == 50
    for name in ("volume_length", "volume_bull_length", "volume_profile_length"):
        assert STRATEGY.tuned({name: 99.0}).bars_needed == 99


def test_why_tells_the_level_that_was_met():
    bars = seen(STRATEGY, moody(3_000))
    states, _ = run(STRATEGY, bars)
    index = opinions(states).index((1.0, 0.91))
    told = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [(condition.name, condition.holds) for condition in told] == [
        ("enough bars", True),
        ("volume from 2 means", True),
        ("one side leads", True),
        ("above the point of control", True),
        ("strong 91%", True),
        ("moderate 71%", False),
        ("weak 51%", False),
        ("opinion", True),
    ]
