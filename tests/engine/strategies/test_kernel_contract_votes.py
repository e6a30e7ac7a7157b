"""What every indicator strategy promises: no look ahead, the same bits compiled, warm-up, calm."""

import json
from array import array
from functools import cache
from typing import Any

import numpy as np
import pytest

from engine.backtest.compiled import jitted
from engine.candle import TIMEFRAMES, Candle
from engine.slot import flat, shaped
from engine.strategies import bollinger, combined, macd, rsi, stochastic, volume
from engine.strategies.kernel import NOTHING, Strategy
from tests.engine.conftest import BTC_5M, T0
from tests.engine.strategies.walks import FIVE, rough, run, seen, walk

FIVE_STRATEGIES = [module.STRATEGY for module in (rsi, macd, bollinger, volume, stochastic)]
COMBINED = combined.STRATEGY
# Three of five agree now and then on a walk; four seldom do.
EASY = {"agree": 3.0, "confidence_threshold": 0.5}
MODES = [COMBINED.tuned(EASY | {"mode": float(mode)}) for mode in range(len(combined.MODES))]
GATED = COMBINED.tuned(
    EASY
    | {"agreement": 1.0, "min_required_indicators": 2.0, "sp_min_weighted_threshold": 0.3}
    | {"trend_filter": 1.0, "alignment_min": 0.2}
)
NAMED: dict[str, Strategy] = {
    **{each.name: each for each in FIVE_STRATEGIES},
    **{f"combined {name}": each for name, each in zip(combined.MODES, MODES, strict=True)},
    "combined with its gates": GATED,
}
each_strategy = pytest.mark.parametrize("strategy", NAMED.values(), ids=NAMED)


@each_strategy
def test_two_futures_behind_one_past_are_decided_alike(strategy):
    past = walk(700)
    later = past[-1].ts + FIVE
    one = run(strategy, seen(strategy, [*past, *walk(200, 1, later)]))
    other = run(strategy, seen(strategy, [*past, *walk(200, 2, later)]))
    assert one[0][:700] == other[0][:700]
    assert one[1][:700] == other[1][:700]
    assert one[0][700:] != other[0][700:]


# Compiling the combination takes a quarter of a minute, and more where the machine is busy.
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("strategy", "count"), [(COMBINED, 1_200), (GATED, 3_200)], ids=["plain", "with its gates"]
)
def test_compiled_and_plain_agree_to_the_bit(strategy, count):
    """The combination runs the five, so that their states and opinions are compared, too."""
    bars = seen(strategy, rough(count))
    params = strategy.tuned(EASY).params
    (state, window), (twin, cells) = strategy.start(params), strategy.start(params)
    cells = np.array(cells)
    entries = set()
    for index, bar in enumerate(bars):
        params = params._replace(mode=float(index % len(combined.MODES)))
        state, signal = strategy.step(params, state, window, bar)
        twin, other = compiled()(params, twin, cells, bar)
        assert (state, signal) == (twin, other)
        entries.add(signal.entry)
    assert window.tobytes() == cells.tobytes()
    assert entries == {-1.0, 0.0, 1.0}


@cache
def compiled() -> Any:
    return jitted(COMBINED.step)


@each_strategy
def test_a_state_is_numbers_and_comes_back_from_its_row(strategy):
    bars = seen(strategy, walk(300))
    states, _ = run(strategy, bars)
    row = json.loads(json.dumps(list(flat(states[-1]))))
    assert all(isinstance(value, float) for value in row)
    assert shaped(strategy.start(strategy.params)[0], iter(row)) == states[-1]


@each_strategy
def test_nothing_is_said_before_the_bars_it_asks_for(strategy):
    needed = strategy.bars_needed
    bars = seen(strategy, walk(needed + 1_000))
    _, signals = run(strategy, bars)
    assert signals[: needed - 1] == [NOTHING] * (needed - 1)
    assert any(signal != NOTHING for signal in signals[needed - 1 :])


@each_strategy
def test_without_confirming_bars_nothing_is_said(strategy):
    if not strategy.higher:
        pytest.skip("looks at one timeframe")
    bars = [bar._replace(higher_closed=0.0) for bar in seen(strategy, walk(700))]
    assert set(run(strategy, bars)[1]) == {NOTHING}


@each_strategy
@pytest.mark.parametrize("volumes", [(0.0,), (5.0,), (5.0, 5.0, 50.0)], ids=str)
def test_flat_prices_say_nothing(strategy, volumes):
    candles = [
        Candle(T0 + index * FIVE, 100.0, 100.0, 100.0, 100.0, volumes[index % len(volumes)])
        for index in range(1_000)
    ]
    assert set(run(strategy, seen(strategy, candles))[1]) == {NOTHING}


@each_strategy
def test_bars_of_an_hour_confirmed_by_four_hours_are_served_too(strategy):
    hour = TIMEFRAMES["1h"]
    longer = strategy.at(hour)
    assert longer.higher in (TIMEFRAMES["4h"], 0)
    needed = longer.bars_needed
    bars = seen(longer, walk(needed + 600, timeframe=hour, sigma=0.008))
    _, signals = run(longer, bars)
    assert signals[: needed - 1] == [NOTHING] * (needed - 1)
    assert any(signal.entry != 0.0 for signal in signals)


@pytest.mark.parametrize("shipped", [*FIVE_STRATEGIES, COMBINED], ids=lambda each: each.name)
def test_every_parameter_has_bounds_and_its_default_lies_within(shipped):
    assert {each.name for each in shipped.parameters} == set(shipped.params._fields)
    for each in shipped.parameters:
        assert each.check(each.default) == getattr(shipped.params, each.name)


@each_strategy
def test_it_explains_itself_at_any_time(strategy):
    bars = seen(strategy, rough(900))
    states, signals = run(strategy, bars)
    for index in (0, 100, 500, 700, len(bars) - 1):
        told = strategy.explain(strategy.params, states[index], bars[index])
        assert told[0].name == "enough bars"
        assert told[-1].name == "opinion"
        assert told[-1].holds == (signals[index].entry != 0.0)
        assert all(condition.detail for condition in told)


@each_strategy
def test_a_step_changes_neither_its_bar_nor_its_state(strategy):
    bars = seen(strategy, walk(700))
    states, _ = run(strategy, bars[:-1])
    held = json.dumps(list(flat(states[-1])))
    _, window = strategy.start(strategy.params)
    strategy.step(strategy.params, states[-1], array("d", window), bars[-1])
    assert json.dumps(list(flat(states[-1]))) == held


def test_the_five_share_their_exits_and_their_pipeline():
    for strategy in (*FIVE_STRATEGIES, COMBINED):
        exits = strategy.exits_for("BTCUSDT")
        assert (exits.stop_loss, exits.take_profit, exits.cooldown_ms) == (0.0167, 0.0333, 0)
        assert strategy.sizing[:3] == (0.02, 0.02, 3)
        assert strategy.pipeline[:2] == (0.60, 4)
        assert strategy.pipeline.confirmed == 1
        assert strategy.timeframe == FIVE


@pytest.mark.parametrize("strategy", [*FIVE_STRATEGIES, COMBINED], ids=lambda each: each.name)
def test_real_candles_give_signals_of_both_sides(strategy, recorded):
    bars = seen(strategy, list(recorded(BTC_5M))[:6_000])
    _, signals = run(strategy, bars)
    assert {signal.entry for signal in signals} == {-1.0, 0.0, 1.0}
