"""Momentum: the four conditions of a breakout, its rank, and the way out."""

from statistics import mean, pstdev

import pytest

from engine.candle import HOUR_MS
from engine.strategies.exits import Exits
from engine.strategies.indicators import Bollinger, Percentile, RelativeVolume, Sma
from engine.strategies.kernel import NOTHING, VOLATILITY_BREAKOUT, Bar
from engine.strategies.momentum import LEAVE, STRATEGY, Params, State, strength
from engine.strategies.sizing import Sizing
from tests.engine.strategies.feeding import bars_of, feed

FOUR = 4 * HOUR_MS


def market(last: float = 102.0, volume: float = 10.0, quiet: int = 40, before: float = 100.0):
    """A hundred bars of wide swings about `before`, `quiet` ones about 100, then the last bar."""
    swings = [before * (1.05 if index % 2 else 0.95) for index in range(100)]
    calm = [100.1 if index % 2 else 99.9 for index in range(quiet)]
    closes = [*swings, *calm, last]
    return bars_of(closes, FOUR, volumes=[1.0] * (len(closes) - 1) + [volume])


def answer(bars: list[Bar], **params: float):
    return feed(STRATEGY, bars, **params)[1][-1]


def test_a_break_out_of_a_quiet_market_is_bought():
    signal = answer(market())
    assert signal[:4] == (1.0, 0.0, 0.0, VOLATILITY_BREAKOUT)
    assert signal[5:] == (0.0, 0.0, 0.0)


def test_the_confidence_is_the_strength_worked_out_another_way():
    closes = [bar.close for bar in market()]
    widths = [
        4 * pstdev(closes[end - 20 : end]) / mean(closes[end - 20 : end])
        for end in range(len(closes) - 89, len(closes) + 1)
    ]
    rank = sum(width < widths[-1] for width in widths) / 90
    above = closes[-1] / mean(closes[-20:]) - 1
    expected = ((1 - rank) + 1.0 + above / 0.10) / 3
    assert rank > 0.0
    assert answer(market()).confidence == pytest.approx(expected)


REFUSED = {
    "a market that was quiet for long is not quiet now": ({"quiet": 80}, {}),
    "a close at the band": ({"last": 100.15}, {}),
    "twice the volume is not enough": ({"volume": 2.1}, {}),
    "below the average": ({"before": 130.0}, {"average_bars": 130}),
}


@pytest.mark.parametrize(("changed", "params"), REFUSED.values(), ids=REFUSED)
def test_each_condition_is_needed(changed, params):
    assert answer(market(**changed), **params).entry == 0.0


def test_a_width_at_the_limit_is_not_quiet():
    rank = feed(STRATEGY, market())[0][-1].width.value
    assert answer(market(), width_max=rank).entry == 0.0
    assert answer(market(), width_max=rank + 0.01).entry == 1.0


def test_a_little_more_than_twice_the_volume_is_enough():
    assert answer(market(volume=2.2)).entry == 1.0


def known(width: float, volume: float, average: float) -> State:
    """What a kernel knows after a bar of that rank and relative volume."""
    bands = Bollinger(200.0, upper=101.5)
    return State(
        200.0,
        bands,
        Percentile(200.0, width),
        RelativeVolume(200.0, 1.0, volume),
        Sma(200.0, average),
    )


RANKS = {
    "all of it": (known(0.0, 5.0, 100.0), 110.0, 1.0),
    "more counts no more": (known(0.0, 9.0, 100.0), 150.0, 1.0),
    "a third each": (known(0.1, 2.0, 100.0), 105.0, (0.9 + 0.4 + 0.5) / 3),
}


@pytest.mark.parametrize(("state", "close", "expected"), RANKS.values(), ids=RANKS)
def test_strength_is_the_mean_of_three(state, close, expected):
    assert strength(state, close) == pytest.approx(expected)


def test_a_close_below_the_average_leaves():
    assert answer(market(last=99.0)) == LEAVE


def test_a_close_at_the_average_stays():
    assert set(feed(STRATEGY, bars_of([100.0] * 200, FOUR))[1]) == {NOTHING}


@pytest.mark.parametrize(
    ("changed", "needed"),
    [({}, 109), ({"band_bars": 30}, 119), ({"width_bars": 50}, 69), ({"volume_bars": 150}, 150),
     ({"average_bars": 150}, 150)],
)  # fmt: skip
def test_nothing_is_said_before_warm_up(changed, needed):
    assert STRATEGY.bars(STRATEGY.params._replace(**changed)) == needed
    falling = bars_of((1_000.0 - index for index in range(needed + 1)), FOUR)
    assert feed(STRATEGY, falling, **changed)[1] == [NOTHING] * (needed - 1) + [LEAVE] * 2


def test_each_indicator_has_its_own_length():
    bars = [bar._replace(volume=1.0 + index % 7) for index, bar in enumerate(market())]
    state = feed(STRATEGY, bars)[0][-1]
    closes = [bar.close for bar in bars]
    assert state.average.value == pytest.approx(mean(closes[-20:]))
    assert state.bands.upper == pytest.approx(mean(closes[-20:]) + 2 * pstdev(closes[-20:]))
    assert state.volume.mean == pytest.approx(mean(bar.volume for bar in bars[-20:]))


def test_it_trades_by_these_numbers():
    assert Params() == (20, 2, 90, 0.35, 20, 2, 20)
    assert STRATEGY.timeframe == FOUR
    assert STRATEGY.exits_for("SOLUSDT") == Exits(0.10, 0.0, 0.10, 0.0, 0, 0)
    assert STRATEGY.sizing == Sizing(0.2, 0.2, 1, risk=0.03, share_cap=0.2, slots=3)


def test_it_puts_its_conditions_into_words():
    told = STRATEGY.explain(Params(), known(0.4, 3.0, 100.0), bars_of([102.0], FOUR)[0])
    assert [(each.holds, each.detail) for each in told] == [
        (False, "percentile 40% of 90 bars"),
        (True, "102 vs 101.5"),
        (True, "3.00 times"),
        (True, "102 vs 100"),
    ]
