"""The five strategies together: each mode, the threshold, and the two gates."""

import pytest

from engine.strategies import (
    STRATEGIES,
    agreement,
    bollinger,
    combined,
    macd,
    rsi,
    stochastic,
    trendfilter,
    volume,
)
from engine.strategies.combined import MODES, STRATEGY, Five, Params, combine
from engine.strategies.opinion import CALM, UNCLEAR, Opinion, signal_of
from tests.engine.strategies.walks import moody, opinions, run, seen, walk

FIVE = {"rsi": rsi, "macd": macd, "bollinger": bollinger, "volume": volume,
        "stochastic": stochastic}  # fmt: skip
NEUTRAL = UNCLEAR


def long(confidence: float) -> Opinion:
    return Opinion(1.0, confidence, 1.0)


def short(confidence: float) -> Opinion:
    return Opinion(-1.0, confidence, 1.0)


def mirrored(said: Opinion) -> Opinion:
    return Opinion(-said.direction, said.confidence, said.level)


# Mode, the five opinions, and the confidence of a long that comes of them (0: neutral).
COMBINED = {
    "consensus of four": ("consensus", [long(0.9)] * 4 + [NEUTRAL], 0.9 * 0.94),
    "consensus of all": ("consensus", [long(0.7)] * 5, 0.7),
    "consensus is the mean of those who agree": (
        "consensus", [long(0.9), long(0.9), long(0.7), long(0.7), short(0.9)], 0.8 * 0.94,
    ),
    "three are no consensus": ("consensus", [long(0.9)] * 3 + [NEUTRAL] * 2, 0.0),
    "a consensus below the threshold": ("consensus", [long(0.69)] * 4 + [NEUTRAL], 0.0),
    "a consensus at the threshold": ("consensus", [long(0.65)] * 5, 0.65),
    "weighted, the larger sum": (
        "weighted", [long(0.9), long(0.7), short(0.8), short(0.5), NEUTRAL], 0.8,
    ),
    "weighted, neutral wins": ("weighted", [long(0.9), *[NEUTRAL] * 4], 0.0),
    "weighted, a tie": ("weighted", [long(0.8)] * 2 + [short(0.8)] * 2 + [NEUTRAL], 0.0),
    "best of all": ("best", [long(0.91), short(0.9), short(0.9), CALM, CALM], 0.91),
    "best is neutral": ("best", [long(0.55), CALM, NEUTRAL, NEUTRAL, NEUTRAL], 0.0),
    "best against as good": ("best", [long(0.9), short(0.9), *[NEUTRAL] * 3], 0.0),
    "best against as good a neutral": ("best", [long(0.65), CALM, *[NEUTRAL] * 3], 0.0),
    "conservative, two sure": (
        "conservative", [long(0.9), long(0.8), long(0.5), NEUTRAL, NEUTRAL], 0.9 * 0.85,
    ),
    "conservative, sure from 0.65": ("conservative", [long(0.9), long(0.65), *[CALM] * 3],
                                     0.9 * 0.775),
    "conservative, one sure": ("conservative", [long(0.9), long(0.64), *[NEUTRAL] * 3], 0.0),
    "conservative, one opposite": (
        "conservative", [long(0.9), long(0.8), short(0.5), NEUTRAL, NEUTRAL], 0.0,
    ),
    "majority of three": ("majority", [long(0.9), long(0.7), long(0.5), *[short(0.9)] * 2], 0.7),
    "two are no majority": ("majority", [long(0.9)] * 2 + [NEUTRAL] * 3, 0.0),
}  # fmt: skip


@pytest.mark.parametrize(("mode", "five", "confidence"), COMBINED.values(), ids=COMBINED)
def test_how_five_opinions_become_one(mode, five, confidence):
    params = Params(mode=float(MODES.index(mode)))
    up = combine(params, Five(*five))
    assert up.direction == float(confidence > 0.0)
    assert up.confidence == pytest.approx(confidence or UNCLEAR.confidence, rel=1e-12)
    down = combine(params, Five(*map(mirrored, five)))
    assert down == mirrored(up)


@pytest.mark.parametrize("name", FIVE)
def test_each_has_its_weight(name):
    mode, last = float(MODES.index("weighted")), list(FIVE).index(name)
    five = [short(0.7)] * 2 + [NEUTRAL] * 3
    five.insert(last, long(0.75))
    said = Five(*(five[:5] if last < 2 else [*five[:2], *five[2:5]]))
    assert getattr(said, name) == long(0.75)
    assert combine(Params(mode=mode), said).direction != 1.0
    heavy = Params(mode=mode)._replace(**{f"weight_{name}": 3.0})
    assert combine(heavy, said) == pytest.approx(Opinion(1.0, 0.75))


def test_the_weighted_confidence_is_the_weighted_mean():
    said = Five(long(0.9), long(0.6), NEUTRAL, NEUTRAL, NEUTRAL)
    params = Params(mode=float(MODES.index("weighted")), weight_rsi=3.0)
    assert combine(params, said).confidence == pytest.approx((3 * 0.9 + 0.6) / 4)


def test_weights_of_zero_are_neutral():
    none = {f"weight_{name}": 0.0 for name in FIVE}
    said = Five(*[long(0.9)] * 5)
    params = Params(mode=float(MODES.index("weighted")), **none)
    assert combine(params, said) == UNCLEAR


def test_how_many_make_a_consensus_is_tunable_from_three_to_five():
    said = Five(*[long(0.9)] * 3, NEUTRAL, NEUTRAL)
    assert combine(Params(agree=3.0), said).confidence == pytest.approx(0.9 * 0.88)
    said = Five(*[long(0.9)] * 4, NEUTRAL)
    assert combine(Params(agree=5.0), said) == UNCLEAR
    agree = STRATEGY.tunable["agree"]
    assert (agree.low, agree.default, agree.high) == (3, 4, 5)


def test_the_least_confidence_is_tunable():
    said = Five(*[long(0.9)] * 4, NEUTRAL)
    assert combine(Params(confidence_threshold=0.8), said).direction == 1.0
    assert combine(Params(confidence_threshold=0.85), said) == UNCLEAR


@pytest.fixture(scope="module")
def moods():
    return moody(3_000)


@pytest.mark.parametrize("name", FIVE)
def test_each_of_the_five_is_as_it_is_alone(name, moods):
    """In the combination and alone, with the same parameters, in the same window."""
    alone = FIVE[name].STRATEGY
    expected, _ = run(alone, seen(alone, moods[:900]))
    states, _ = run(STRATEGY, seen(STRATEGY, moods[:900]))
    assert [getattr(state.voices, f"{name}_state") for state in states] == expected


@pytest.mark.parametrize("name", FIVE)
def test_its_parameters_are_those_of_the_five(name):
    module = FIVE[name]
    changed = {each.name: each.low for each in module.OWN}
    tuned = STRATEGY.tuned(changed | {"reversal": 0.5})
    found = getattr(combined, f"{name}_params")(tuned.params)
    assert found == module.STRATEGY.tuned(changed | {"reversal": 0.5}).params
    assert getattr(combined, f"{name}_params")(Params()) == module.Params()


def test_its_parameters_are_those_of_the_agreement():
    assert combined.rules_of(Params()) == agreement.Rules()
    changed = {each.name: each.low for each in agreement.OWN if each.name != "agreement"}
    found = combined.rules_of(STRATEGY.tuned(changed).params)._asdict()
    assert found == changed


def test_the_signals_are_those_of_the_opinion(moods):
    bars = seen(STRATEGY, moods)
    states, signals = run(STRATEGY, bars)
    assert signals == [signal_of(state.opinion, 0.65) for state in states]
    for state in states[203:]:
        assert state.combined == combine(STRATEGY.params, combined.five_of(state.voices))
        assert state.opinion == state.combined
    assert {1.0, -1.0, 0.0} == {direction for direction, _ in opinions(states)}


def test_nothing_is_said_before_all_five_have_spoken():
    """The slowest decides: here the stochastic, with bars enough for 60 of each timeframe."""
    slow = STRATEGY.tuned({"stochastic_length": 60.0, "mode": 2.0})
    assert slow.bars_needed == 4 * 65 + 3
    states, _ = run(slow, seen(slow, moody(400)))
    assert [state.combined.confidence > 0 for state in states].index(True) == 262


LENGTHS = {
    "rsi_length": (90.0, 4 * 92 + 3),
    "macd_slow": (90.0, 4 * 99 + 3),
    "bollinger_length": (90.0, 4 * 91 + 3),
    "stochastic_length": (90.0, 4 * 95 + 3),
    "volume_profile_length": (200.0, 203),
    "agreement": (1.0, 51 * 12),
    "trend_filter": (1.0, 201 * 12),
}


@pytest.mark.parametrize(("name", "needs"), LENGTHS.items(), ids=LENGTHS)
def test_warm_up_is_that_of_the_slowest(name, needs):
    value, bars = needs
    assert STRATEGY.tuned({name: value}).bars_needed == bars
    assert STRATEGY.bars_needed == 203


GATED = STRATEGY.tuned(
    {"agree": 3.0, "confidence_threshold": 0.5, "agreement": 1.0, "min_required_indicators": 3.0}
    | {"trend_filter": 1.0, "alignment_min": 0.7}
)


@pytest.fixture(scope="module")
def gated():
    """A market that now and then is within 1 % of its average of 200 hours."""
    bars = seen(GATED, walk(4_000, 1, sigma=0.0006))
    return run(GATED, bars)[0], bars


def test_the_gates_follow_one_another(gated):
    """First the agreement, then the trends. Only the hour has 200 closes here, so that 0.65 is
    the most that an alignment can be: what has a trend is blocked, the rest loses confidence."""
    rules, met = combined.rules_of(GATED.params), set()
    for state, bar in list(zip(*gated, strict=True))[2_411:]:
        direction = state.combined.direction
        agreed = agreement.allows(rules, state.frames, direction)
        left = state.combined if agreed else UNCLEAR
        assert state.opinion == trendfilter.filtered(left, state.trends, bar.close, 0.7)
        if direction:
            trending = trendfilter.trend(state.trends.hour, bar.close) != 0.0
            met.add((direction, agreed, trending, state.opinion.direction))
    assert met == {
        (side, agreed, trending, side if agreed and not trending else 0.0)
        for side in (1.0, -1.0)
        for agreed in (True, False)
        for trending in (True, False)
    }


def test_nothing_is_said_before_the_gates_have_enough_bars(gated, moods):
    confidences = [state.combined.confidence for state in gated[0]]
    assert confidences[:2_411] == [0.0] * 2_411
    assert confidences[2_411] > 0.0
    agreeing = STRATEGY.tuned({"agreement": 1.0})
    states, _ = run(agreeing, seen(agreeing, moods[:612]))
    assert [state.combined.confidence > 0 for state in states] == [False] * 611 + [True]


def test_the_gates_are_off_by_default_and_cost_nothing(moods):
    states, _ = run(STRATEGY, seen(STRATEGY, moods[:300]))
    assert (states[-1].frames, states[-1].trends) == (agreement.Frames(), trendfilter.Trends())
    (_, window) = STRATEGY.start(STRATEGY.params)
    (_, longer) = STRATEGY.start(STRATEGY.tuned({"agreement": 1.0}).params)
    assert len(longer) - len(window) == agreement.CELLS


def test_it_is_in_the_table_with_the_defaults_that_were_decided():
    assert STRATEGIES["combined"] is STRATEGY
    assert STRATEGY.tunable["mode"].show(STRATEGY.params.mode) == "consensus"
    assert (STRATEGY.params.agree, STRATEGY.params.confidence_threshold) == (4, 0.65)
    assert (STRATEGY.params.rsi_oversold, STRATEGY.params.rsi_overbought) == (30, 70)
    assert STRATEGY.params.stochastic_oversold == 20
    assert STRATEGY.params.stochastic_overbought == 80
    assert STRATEGY.parse({"mode": "majority", "trend_filter": "on"}) == {
        "mode": 4.0,
        "trend_filter": 1.0,
    }


def test_why_tells_each_of_the_five_the_mode_and_the_gates(gated):
    states, bars = gated
    index = [state.combined.direction for state in states].index(1.0)
    conditions = GATED.explain(GATED.params, states[index], bars[index])
    told = {each.name: each for each in conditions}
    assert list(told) == [
        "enough bars",
        *FIVE,
        "consensus of 3, 50% or more",
        "vote of 15m",
        "vote of 30m",
        "vote of 1h",
        "timeframes agree",
        "trend of 1h",
        "trend of 4h",
        "trend of 1d",
        "goes with the trend",
        "opinion",
    ]
    assert told["consensus of 3, 50% or more"].holds
    assert "long, " in told["consensus of 3, 50% or more"].detail
    voices = combined.five_of(states[index].voices)
    assert [told[name].holds for name in FIVE] == [each.direction != 0 for each in voices]
    plain = STRATEGY.explain(STRATEGY.params, states[index], bars[index])
    assert [each.name for each in plain] == [
        "enough bars", *FIVE, "consensus of 4, 65% or more", "opinion",
    ]  # fmt: skip
