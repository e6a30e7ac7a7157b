"""Agreement of timeframes: five votes on each of 15 m, 30 m and 1 h, weighed."""

from array import array

import pytest

from engine.candle import HOUR_MS, MINUTE_MS, Candle, aggregate
from engine.strategies.agreement import (
    CELLS,
    Frame,
    Frames,
    Rules,
    Votes,
    allows,
    explained,
    followed,
    vote,
    votes,
    weighted,
)
from engine.strategies.indicators import (
    Bollinger,
    Macd,
    RelativeVolume,
    Rsi,
    Stochastic,
    bollinger,
    macd,
    relative_volume,
    rsi,
    stochastic,
)
from engine.strategies.kernel import Bar
from tests.engine.strategies.walks import FIVE, rough, walk

RULES = Rules()


def indicators(candles: list[Candle]) -> tuple:
    """The five over whole bars, one after the other."""
    found, rings = (Macd(), Rsi(), Bollinger(), Stochastic(), RelativeVolume()), [0.0] * 80
    for bar in candles:
        line, strength, bands, turn, volume = found
        found = (
            macd(line, bar.close, 12.0, 26.0, 9.0),
            rsi(strength, bar.close, 14.0),
            bollinger(bands, rings, 0, bar.close, 20.0, 2.0),
            stochastic(turn, rings, 20, bar.high, bar.low, bar.close, 14.0, 3.0, 3.0),
            relative_volume(volume, rings, 54, bar.volume, 20.0),
        )
    return found


def test_the_indicators_are_those_of_the_aggregated_bars():
    candles, state, window = rough(1_600), Frames(), array("d", bytes(8 * CELLS))
    for candle in candles:
        state = followed(state, window, 0, Bar(*candle))
    for frame, minutes in zip(state[1:], (15, 30, 60), strict=True):
        bars = aggregate(candles, FIVE, minutes * MINUTE_MS)
        assert frame[1:] == indicators(bars)
    assert state.hour.rsi.bars > 50


def test_bars_of_an_hour_stand_for_shorter_timeframes():
    candles, state, window = walk(100, timeframe=HOUR_MS), Frames(), array("d", bytes(8 * CELLS))
    for candle in candles:
        state = followed(state, window, 0, Bar(*candle))
    assert state.quarter[1:] == state.half[1:] == state.hour[1:]
    assert state.hour.rsi.bars == 100


def frame(
    histogram: float = 0.0,
    strength: float = 50.0,
    position: float = 0.5,
    k: float = 50.0,
    d: float = 50.0,
    volume: float = 1.0,
    bars: float = 50.0,
) -> Frame:
    return Frame(
        macd=Macd(histogram=histogram),
        rsi=Rsi(bars=bars, value=strength),
        bands=Bollinger(position=position),
        stochastic=Stochastic(k=k, d=d),
        volume=RelativeVolume(value=volume),
    )


CAST = {
    "nothing": (frame(), (0, 0, 0, 0, 0)),
    "MACD above": (frame(histogram=0.1), (1, 0, 0, 0, 0)),
    "MACD below": (frame(histogram=-0.1), (-1, 0, 0, 0, 0)),
    "RSI above 55": (frame(strength=55.1), (0, 1, 0, 0, 0)),
    "RSI at 55": (frame(strength=55), (0, 0, 0, 0, 0)),
    "RSI below 45": (frame(strength=44.9), (0, -1, 0, 0, 0)),
    "RSI at 45": (frame(strength=45), (0, 0, 0, 0, 0)),
    "low in the bands": (frame(position=0.29), (0, 0, 1, 0, 0)),
    "at 0.3 of the bands": (frame(position=0.3), (0, 0, 0, 0, 0)),
    "high in the bands": (frame(position=0.71), (0, 0, -1, 0, 0)),
    "at 0.7 of the bands": (frame(position=0.7), (0, 0, 0, 0, 0)),
    "K above D": (frame(k=79, d=70), (0, 0, 0, 1, 0)),
    "K above D, bought up": (frame(k=80, d=70), (0, 0, 0, 0, 0)),
    "K below D": (frame(k=21, d=30), (0, 0, 0, -1, 0)),
    "K below D, sold out": (frame(k=20, d=30), (0, 0, 0, 0, 0)),
    "volume confirms a long lead": (frame(histogram=1, volume=1.21), (1, 0, 0, 0, 1)),
    "volume confirms a short lead": (frame(histogram=-1, volume=1.21), (-1, 0, 0, 0, -1)),
    "volume confirms the bands": (frame(position=0.2, volume=2), (0, 0, 1, 0, 1)),
    "volume confirms the turn": (frame(k=60, d=50, volume=2), (0, 0, 0, 1, 1)),
    "volume confirms RSI": (frame(strength=40, volume=2), (0, -1, 0, 0, -1)),
    "volume of 1.2 does not": (frame(histogram=1, volume=1.2), (1, 0, 0, 0, 0)),
    "volume without a lead": (frame(histogram=1, strength=40, volume=9), (1, -1, 0, 0, 0)),
    "nothing before 50 bars": (frame(histogram=1, strength=60, bars=49), (0, 0, 0, 0, 0)),
}


@pytest.mark.parametrize(("state", "cast"), CAST.values(), ids=CAST)
def test_what_each_indicator_votes_for(state, cast):
    assert votes(RULES, state) == Votes(*map(float, cast))


LONG = frame(histogram=1, strength=60, k=60, d=50, volume=2)
SHORT = frame(histogram=-1, strength=40, k=40, d=50, volume=2)
NEUTRAL = frame()
THREE = frame(histogram=1, strength=60, k=60, d=50)
THREE_SHORT = frame(histogram=-1, strength=40, k=40, d=50)
SPLIT = frame(histogram=1, strength=60, position=0.8, k=40, d=50)


def test_four_of_five_make_the_vote_of_a_timeframe():
    cast = [vote(RULES, each) for each in (LONG, SHORT, THREE, THREE_SHORT, NEUTRAL)]
    assert cast == [1.0, -1.0, 0.0, 0.0, 0.0]


def test_how_many_are_needed_is_tunable_and_a_split_vote_is_none():
    assert vote(RULES._replace(min_required_indicators=3.0), THREE) == 1.0
    assert vote(RULES._replace(min_required_indicators=2.0), SPLIT) == 0.0


def frames(*each: Frame) -> Frames:
    return Frames(quarter=each[0], half=each[1], hour=each[2])


WEIGHED = {
    "all": ((LONG, LONG, LONG), 1.0),
    "15m": ((LONG, NEUTRAL, NEUTRAL), 0.5 / 3.5),
    "30m": ((NEUTRAL, LONG, NEUTRAL), 1 / 3.5),
    "1h": ((NEUTRAL, NEUTRAL, LONG), 2 / 3.5),
    "1h against the rest": ((SHORT, SHORT, LONG), 2 / 3.5),
    "the rest short": ((SHORT, SHORT, NEUTRAL), -1.5 / 3.5),
    "none": ((NEUTRAL, NEUTRAL, NEUTRAL), 0.0),
}


@pytest.mark.parametrize(("three", "share"), WEIGHED.values(), ids=WEIGHED)
def test_the_timeframes_are_weighed(three, share):
    assert weighted(RULES, frames(*three)) == share


def test_equal_weights_on_both_sides_are_a_draw_and_no_weights_nothing():
    even = RULES._replace(sp_weight_30m=0.5)
    assert weighted(even, frames(LONG, SHORT, NEUTRAL)) == 0.0
    none = RULES._replace(sp_weight_15m=0.0, sp_weight_30m=0.0, sp_weight_1h=0.0)
    assert weighted(none, frames(LONG, LONG, LONG)) == 0.0


ALLOWED = {
    "1h alone is too little": ((NEUTRAL, NEUTRAL, LONG), False),
    "1h and 15m": ((LONG, NEUTRAL, LONG), True),
    "1h and 30m against 15m": ((SHORT, LONG, LONG), True),
    "the other side": ((SHORT, SHORT, SHORT), False),
    "no votes": ((NEUTRAL, NEUTRAL, NEUTRAL), False),
}


@pytest.mark.parametrize(("three", "passes"), ALLOWED.values(), ids=ALLOWED)
def test_60_percent_of_the_weights_let_a_signal_pass(three, passes):
    assert allows(RULES, frames(*three), 1.0) == passes
    mirrored = [{LONG: SHORT, SHORT: LONG, NEUTRAL: NEUTRAL}[each] for each in three]
    assert allows(RULES, frames(*mirrored), -1.0) == passes


def test_the_share_that_is_needed_is_reached_exactly():
    exact = RULES._replace(sp_min_weighted_threshold=2 / 3.5)
    assert allows(exact, frames(NEUTRAL, NEUTRAL, LONG), 1.0)


def test_the_hour_blocks_what_the_others_are_for_unless_that_is_off():
    light = RULES._replace(sp_weight_1h=0.5)
    three = frames(LONG, LONG, SHORT)
    assert not allows(light, three, 1.0)
    assert allows(light._replace(sp_counter_trend_enabled=0.0), three, 1.0)


def test_it_tells_the_vote_of_each_timeframe():
    told = explained(RULES, frames(LONG, frame(bars=12), LONG), 1.0)
    assert [(each.name, each.holds) for each in told] == [
        ("vote of 15m", True),
        ("vote of 30m", False),
        ("vote of 1h", True),
        ("timeframes agree", True),
    ]
    assert told[0].detail == (
        "long: macd long, rsi long, bands neutral, stochastic long, volume long"
    )
    assert told[1].detail == "12 of 50 bars"
    assert told[3].detail == "71% of the weights for long, 60% needed"
    assert not explained(RULES, frames(LONG, LONG, LONG), 0.0)[3].holds
