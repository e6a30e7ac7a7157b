"""The vote of indicators: weights, the guard, and a whole read from any candles."""

import re
from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.advice import INDICATORS, Lean, Level, MarketRead, Trend
from engine.candle import Candle
from engine.vote import REACH_MAX, read
from tests.markets import BAR, PRICE, T0, facts_of, timeframe, voting, walk

# All of the timeframes' sides, what comes of them, how sure, and with which bias.
COUNTS = {
    "all are for long": (voting(m15=1, m30=1, h1=1, h4=1), Lean.LONG, 0.85, 1.0),
    "all are for short": (voting(m15=-1, m30=-1, h1=-1, h4=-1), Lean.SHORT, 0.85, -1.0),
    "the two longest suffice": (voting(m15=0, m30=0, h1=1, h4=1), Lean.LONG, 0.745, 0.7),
    "exactly 60 %": (voting(m15=1, m30=1, h1=1, h4=0), Lean.LONG, 0.71, 0.6),
    "60 % against the shorter ones": (voting(m15=1, m30=0, h1=-1, h4=-1), Lean.SHORT, 0.745, -0.7),
    "the longest alone has 40 %": (voting(m15=0, m30=0, h1=0, h4=-1), Lean.NEUTRAL, 0.40, -0.3),
    "a lead without enough": (voting(m15=1, m30=0, h1=0, h4=0), Lean.NEUTRAL, 0.40, 0.1),
    "the longest blocks": (voting(m15=1, m30=1, h1=1, h4=-1), Lean.NEUTRAL, 0.45, 0.0),
    "nobody votes": (voting(m15=0, m30=0, h1=0, h4=0), Lean.NEUTRAL, 0.40, 0.0),
    "three timeframes are the whole": (voting(m15=1, m30=1, h1=1), Lean.LONG, 0.85, 1.0),
    "two of which neither has enough": (voting(h1=1, h4=-1), Lean.NEUTRAL, 0.40, -0.3),
    "a market of days": (voting(d1=-1), Lean.SHORT, 0.85, -1.0),
    "a market without candles": (voting(), Lean.NEUTRAL, 0.40, 0.0),
}


@pytest.mark.parametrize(("facts", "lean", "confidence", "bias"), COUNTS.values(), ids=COUNTS)
def test_what_comes_of_the_votes(facts, lean, confidence, bias):
    found = read(facts)
    assert (found.lean, found.by) == (lean, INDICATORS)
    assert found.confidence == pytest.approx(confidence)
    assert found.bias == pytest.approx(bias)


def test_four_of_five_indicators_make_a_vote_and_three_do_not():
    four = voting(h1=1)
    (hour,) = four.timeframes
    four = replace(four, timeframes=(_without_volume(hour),))
    assert read(four).lean is Lean.LONG
    three = _without_volume(hour)
    frame = three.frame._replace(rsi=three.frame.rsi._replace(value=50.0))
    assert read(replace(four, timeframes=(replace(three, frame=frame),))).lean is Lean.NEUTRAL


def _without_volume(hour):
    return replace(hour, frame=hour.frame._replace(volume=hour.frame.volume._replace(value=1.0)))


def test_the_reasons_name_each_timeframe_and_the_count():
    found = read(voting(m15=1, m30=1, h1=1, h4=-1)).reasoning
    assert found == (
        "15m votes long (5 long, 0 short), 30m votes long (5 long, 0 short), 1h votes long "
        "(5 long, 0 short), 4h votes short (0 long, 5 short). 60% of the weights are for long, "
        "60% needed, but 4h votes against it. On 1h: RSI 60.0, MACD histogram +0.017%, Bollinger "
        "position 0.20, stochastic K 60 and D 50, volume 1.50x its mean."
    )
    assert "No side leads, 60% needed." in read(voting(h1=0)).reasoning


def test_a_timeframe_that_is_too_young_says_how_many_bars_it_has():
    young = replace(voting(), timeframes=(timeframe("1h", 1, bars=49),))
    found = read(young)
    assert found.lean is Lean.NEUTRAL
    assert found.reasoning == "1h has 49 of 50 bars. No side leads, 60% needed."


def test_stop_and_target_are_ranges_from_the_price_on_the_side_of_the_vote():
    up, down = read(voting(h1=1)), read(voting(h1=-1))
    assert (up.stop_loss, up.take_profit) == (PRICE - 450, PRICE + 900)
    assert (down.stop_loss, down.take_profit) == (PRICE + 450, PRICE - 900)
    assert read(voting(h1=0)).stop_loss is None


@pytest.mark.parametrize(
    ("calmer", "level", "size"),
    [
        (0.1, Level.LOW, 1.0),
        (0.5, Level.MEDIUM, 0.75),
        (0.75, Level.HIGH, 0.5),
        (None, Level.MEDIUM, 0.75),
    ],
)
def test_volatility_is_where_the_range_stands_and_sets_the_size(calmer, level, size):
    facts = replace(voting(), timeframes=(timeframe("1h", 1, calmer=calmer),))
    found = read(facts)
    assert (found.volatility, found.overall_risk, found.size) == (level, level, size)


def test_what_is_blocked_is_risky_whatever_the_range():
    found = read(voting(m15=1, m30=1, h1=1, h4=-1))
    assert (found.technical_risk, found.overall_risk, found.size) == (Level.HIGH, Level.HIGH, 0.5)


def test_a_score_is_the_share_of_the_weights_of_which_an_indicator_is_of_one_mind():
    found = dict(read(voting(m15=1, m30=1, h1=1, h4=-1)).scores)
    assert list(found) == ["rsi", "macd", "bollinger", "volume", "stochastic"]
    assert found["rsi"] == pytest.approx(0.3 + 0.7 * 0.6)


def test_the_trend_is_that_of_the_directional_movement():
    assert read(voting(h1=1)).trend is Trend.UP
    assert read(voting(h1=-1)).trend is Trend.DOWN
    hour = timeframe("1h", 1)
    weak = replace(hour, trend=hour.trend._replace(value=19.9))
    found = read(replace(voting(), timeframes=(weak,)))
    assert (found.trend, found.trend_strength) == (Trend.SIDEWAYS, pytest.approx(0.398))


def test_a_walk_is_read_the_same_way_twice():
    facts = facts_of(walk(3_000))
    assert read(facts) == read(facts)


# -- any candles -------------------------------------------------------------------------

PRICES = st.floats(1e-8, 1e8)
STEPS = st.sampled_from([0.0, 0.0, 1e-12, 1e-4, 0.01, 0.5, 3.0])


@st.composite
def candles(draw: st.DrawFn) -> list[Candle]:
    """Bars that may be few, flat, tiny, wild, without volume, and with gaps in time and price."""
    ts, price, made = T0, draw(PRICES), []
    for _ in range(draw(st.integers(1, 60))):
        repeat, step, wick = draw(st.integers(1, 12)), draw(STEPS), draw(STEPS)
        opened = draw(PRICES) if draw(st.integers(0, 20)) == 0 else price
        volume = draw(st.sampled_from([0.0, 1e-9, 5.0, 1e12]))
        for each in range(repeat):
            up = draw(st.booleans()) if each == 0 else not made[-1].close > made[-1].open
            price = min(max(opened * (1 + step) if up else opened / (1 + step), 1e-8), 1e9)
            high, low = max(opened, price) * (1 + wick), min(opened, price) / (1 + wick)
            made.append(Candle(ts, opened, high, low, price, volume))
            ts, opened = ts + BAR, price
        ts += draw(st.sampled_from([0, 0, 0, 7])) * BAR
    return made


@settings(max_examples=60, deadline=None)
@given(candles())
def test_any_candles_give_a_finite_and_valid_read(bars):
    facts = facts_of(bars)
    check(read(facts))
    assert not {"nan", "inf", "unknown"} & set(re.findall(r"[a-z]+", facts.to_text().lower()))


@given(st.sampled_from([1, -1]), PRICES, st.floats(0.0, 1e12))
def test_any_range_gives_levels_on_their_sides_or_none(side, price, atr):
    hour = replace(timeframe("1h", side), atr=atr)
    found = read(replace(voting(), price=price, timeframes=(hour,)))
    check(found)
    assert (found.stop_loss is None) == (atr < price * 1e-6)


def check(found: MarketRead) -> None:
    numbers = [found.confidence, found.bias, found.trend_strength, found.size, found.price]
    assert all(map(isfinite, [*numbers, *found.supports, *found.resistances]))
    assert 0.4 <= found.confidence <= 0.85
    assert all(0.3 <= score <= 1.0 + 1e-12 for _, score in found.scores)
    assert 0.0 <= found.trend_strength <= 1.0
    assert 0 < len(found.reasoning) <= 500
    side = {Lean.LONG: 1, Lean.SHORT: -1, Lean.NEUTRAL: 0}[found.lean]
    assert found.bias * side > 0 if side else abs(found.bias) <= 0.3
    reach = REACH_MAX * found.price
    assert all(0 < found.price - level <= reach for level in found.supports)
    assert all(0 < level - found.price <= reach for level in found.resistances)
    if found.stop_loss is not None and found.take_profit is not None:
        assert 0 < (found.price - found.stop_loss) * side <= reach
        assert 0 < (found.take_profit - found.price) * side <= reach
    assert (found.stop_loss is None) == (found.take_profit is None)
