"""What every strategy can be tuned by, and a strategy with other values."""

from dataclasses import replace

import pytest

from engine.candle import DAY_MS, HOUR_MS, TIMEFRAMES
from engine.errors import BadInput
from engine.strategies import STRATEGIES, shortseller
from engine.strategies.common import (
    EXITS,
    FIELDS,
    PIPELINE,
    SIZING,
    with_exits,
    with_pipeline,
    with_sizing,
)
from engine.strategies.exits import Exits
from engine.strategies.pipeline import OPEN
from engine.strategies.sizing import Sizing
from engine.tunable import Unit
from tests.engine.conftest import puppet

NO_EXITS = Exits(0.0, 0.0, 0.0, 0.0, 0, 0)
PLAIN = Sizing(0.05, 0.07, 10)
COMMON = (*EXITS, *SIZING, *PIPELINE)
PLACES = [
    *((each, with_exits, NO_EXITS) for each in EXITS),
    *((each, with_sizing, PLAIN) for each in SIZING),
    *((each, with_pipeline, OPEN) for each in PIPELINE),
]


@pytest.mark.parametrize(
    ("parameter", "changed", "before"), PLACES, ids=[each.name for each, *_ in PLACES]
)
def test_a_parameter_changes_its_own_field_and_no_other(parameter, changed, before):
    value = parameter.high
    after = changed(before, {parameter.name: value, "of another tuple": 3.0})
    field = FIELDS.get(parameter.name, parameter.name)
    differing = {
        name for name in before._fields if getattr(after, name) != getattr(before, name)
    } - {"margin_cap"}
    assert differing == {field}
    assert getattr(after, field) == value
    assert type(getattr(after, field)) is type(getattr(before, field))
    assert changed(before, {}) == before


def test_names_are_not_used_twice():
    names = [each.name for each in COMMON]
    assert len(set(names)) == len(names)


def test_every_exit_rule_can_be_tuned():
    assert {FIELDS.get(each.name, each.name) for each in EXITS} == set(Exits._fields)


@pytest.mark.parametrize(("margin", "cap"), [(0.03, 0.07), (0.07, 0.07), (0.2, 0.2)])
def test_a_margin_that_was_asked_for_is_not_capped(margin, cap):
    assert with_sizing(PLAIN, {"margin": margin})[:2] == (margin, cap)


def test_another_size_leaves_the_cap_of_the_margin():
    assert with_sizing(PLAIN, {"leverage": 3}) == Sizing(0.05, 0.07, 3)


# -- a strategy with other values --------------------------------------------------------

SELLER = shortseller.STRATEGY


def test_a_strategys_own_parameters_stand_first():
    own = [each.name for each in SELLER.parameters]
    assert list(SELLER.tunable) == [*own, *(each.name for each in COMMON)]


def test_other_values_make_another_strategy():
    tuned = SELLER.tuned({"fast": 20, "slow": 50, "stop_loss": 0.04, "risk": 0.01, "flips": 3})
    assert tuned.params == shortseller.Params(20.0, 50.0, 12.0)
    assert (tuned.bars_needed, SELLER.bars_needed) == (51, 601)
    assert (tuned.sizing.risk, tuned.pipeline.flips) == (0.01, 3)
    assert {type(value) for value in tuned.params} == {float}
    assert SELLER.params == shortseller.Params()


def test_an_exit_rule_changes_for_every_symbol_and_leaves_the_others():
    tuned = SELLER.tuned({"stop_loss": 0.04, "max_age": 2.0 * DAY_MS})
    assert list(tuned.exits) == list(SELLER.exits)
    for symbol, exits in tuned.exits.items():
        before = SELLER.exits[symbol]
        assert (exits.stop_loss, exits.max_age_ms) == (0.04, 2 * DAY_MS)
        assert exits[1:4] == before[1:4]
        assert exits.cooldown_ms == HOUR_MS


def test_no_other_values_leave_a_strategy_as_it_was():
    assert SELLER.tuned({}) == SELLER


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fast": 1}, "fast: 1 is not valid. Allowed: 2 to 1000 in steps of 1."),
        ({"fast": 2.5}, "fast: 2.5 is not valid. Allowed: 2 to 1000 in steps of 1."),
        ({"stop_loss": 0.6}, "stop_loss: 0.6 is not valid. Allowed: 0% to 50% in steps of 0.01%."),
        ({"leverage": 101}, "leverage: 101 is not valid. Allowed: 1 to 100 in steps of 1."),
        ({"confirmed": 2}, "confirmed: 2 is not valid. Allowed: no, yes."),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_its_bounds(values, message):
    with pytest.raises(BadInput) as refused:
        SELLER.tuned({"slow": 100, **values})
    assert str(refused.value) == message


def test_a_parameter_it_does_not_have_is_refused_with_those_it_has():
    with pytest.raises(BadInput) as refused:
        SELLER.tuned({"middle": 3.0})
    assert (refused.value.field, refused.value.value) == ("parameter", "middle")
    assert refused.value.allowed == ", ".join(SELLER.tunable)
    assert refused.value.allowed.startswith("fast, slow, crosses_per_day, stop_loss")


def test_words_become_values():
    words = {"fast": "20", "stop_loss": "4%", "cooldown": "90m", "confirmed": "yes"}
    values = SELLER.parse(words)
    assert values == {"fast": 20.0, "stop_loss": 0.04, "cooldown": 5_400_000.0, "confirmed": 1.0}
    assert SELLER.tuned(values).exits["BTCUSDT"].cooldown_ms == 5_400_000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"fast": "quick"}, "fast: 'quick' is not valid. Allowed: 2 to 1000 in steps of 1."),
        ({"fastest": "1"}, "parameter: 'fastest' is not valid. Allowed: fast, slow, "),
        ({"confirmed": "maybe"}, "confirmed: 'maybe' is not valid. Allowed: no, yes."),
    ],
)
def test_words_that_are_no_values_are_refused(words, message):
    with pytest.raises(BadInput) as refused:
        SELLER.parse(words)
    assert str(refused.value).startswith(message)


# -- on bars of another length -----------------------------------------------------------

PAIRED = puppet(
    timeframe=TIMEFRAMES["5m"],
    higher=TIMEFRAMES["15m"],
    pairs=((TIMEFRAMES["1m"], TIMEFRAMES["5m"]), (TIMEFRAMES["15m"], TIMEFRAMES["1h"])),
)


@pytest.mark.parametrize(("name", "higher"), [("1m", "5m"), ("5m", "15m"), ("15m", "1h")])
def test_another_length_of_bars_brings_its_longer_one(name, higher):
    at = PAIRED.at(TIMEFRAMES[name])
    assert (at.timeframe, at.higher) == (TIMEFRAMES[name], TIMEFRAMES[higher])
    assert at.params == PAIRED.params


def test_its_own_length_is_always_allowed():
    assert SELLER.at(SELLER.timeframe) == SELLER


@pytest.mark.parametrize(
    ("strategy", "allowed"), [(PAIRED, "1m, 5m, 15m"), (replace(SELLER, pairs=()), "5m")]
)
def test_a_length_it_is_not_made_for_is_refused_with_those_it_is(strategy, allowed):
    with pytest.raises(BadInput) as refused:
        strategy.at(TIMEFRAMES["4h"])
    assert str(refused.value) == f"timeframe: '4h' is not valid. Allowed: {allowed}."


# -- the strategies there are ------------------------------------------------------------

SHIPPED = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)


@SHIPPED
def test_every_parameter_of_a_strategy_is_a_field_with_its_value_and_bounds(strategy):
    assert [each.name for each in strategy.parameters] == list(strategy.params._fields)
    for each in strategy.parameters:
        assert getattr(strategy.params, each.name) == each.default == each.check(each.default)
        assert each.name not in {common.name for common in COMMON}
        assert each.words


@SHIPPED
def test_what_a_strategy_is_set_to_may_also_be_asked_for(strategy):
    for parameters, values in [
        *((EXITS, exits) for exits in strategy.exits.values()),
        (SIZING, strategy.sizing),
        (PIPELINE, strategy.pipeline),
    ]:
        for each in parameters:
            value = getattr(values, FIELDS.get(each.name, each.name))
            assert each.check(value) == value


@SHIPPED
def test_a_strategy_has_exits_for_any_symbol_and_a_window_of_floats(strategy):
    assert strategy.exits_for("PEPEUSDT") == strategy.exits["*"]
    _, window = strategy.start(strategy.params)
    assert window.typecode == "d"
    assert strategy.bars_needed > 0


@SHIPPED
def test_choices_are_whole_numbers_from_nothing(strategy):
    for each in strategy.parameters:
        assert (each.unit is Unit.CHOICE) == bool(each.choices)
        if each.choices:
            assert (each.low, each.high, each.step) == (0, len(each.choices) - 1, 1)
