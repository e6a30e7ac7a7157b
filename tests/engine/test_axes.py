"""Where a search looks: bounds, steps, the reach of a day, neighbors."""

import pytest

from engine.axes import axes_of, reachable
from engine.errors import BadInput
from engine.strategies import STRATEGIES
from engine.tunable import Parameter, Tier, Unit

LENGTH = Parameter("length", 20, 5, 200, 1, Unit.BARS, Tier.YELLOW, "length")
RATIO = Parameter("sigmas", 2, 0.5, 4, 0.1, Unit.RATIO, Tier.GREEN, "deviations", daily=0.35)


def test_a_value_is_searched_as_far_as_it_may_come_within_a_day() -> None:
    assert reachable(LENGTH, 20.0) == (5.0, 68.0)
    assert reachable(LENGTH, 100.0) == (52.0, 148.0)
    assert reachable(RATIO, 2.0) == (1.7, 2.3)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_every_place_of_every_strategy_is_a_value_it_can_have(name: str) -> None:
    strategy = STRATEGIES[name]
    axes = axes_of(strategy, (), {})
    assert [axis.name for axis in axes] == [p.name for p in strategy.parameters if not p.choices]
    assert strategy.tuned(axes.values(axes.present)).params == strategy.params
    assert axes.changes(axes.present) == {}
    for axis in axes:
        values = [axis.at(place) for place in range(axis.places)]
        low, high = reachable(axis.parameter, axis.at(axis.present))
        assert (values[0], values[-1]) == (low, high)
        for value in values:
            assert axis.parameter.check(value) == value
            assert value == round(value, 6)


def test_neighbors_are_one_and_two_steps_of_the_search_away_where_there_is_room() -> None:
    axes = axes_of(STRATEGIES["meanreversion"], (), {"length": (20.0, 60.0), "sigmas": (2.0, 2.2)})
    assert axes.present == (0, 0)
    assert [axes.values(each) for each in axes.around((39, 1))] == [
        {"length": 55.0, "sigmas": 2.1},
        {"length": 57.0, "sigmas": 2.1},
        {"length": 59.0, "sigmas": 2.0},
        {"length": 59.0, "sigmas": 2.2},
    ]
    assert axes.changes((39, 0)) == {"length": 59.0}


def test_a_choice_that_is_asked_for_is_searched_and_has_no_neighbors() -> None:
    axes = axes_of(STRATEGIES["breakout"], ("volume_filter",), {})
    assert axes.widest == {"volume_filter": 1.0}
    assert list(axes.around((0,))) == []


@pytest.mark.parametrize(
    ("names", "limits", "said"),
    [
        (("depth",), {}, "tune: 'depth' is not valid. Allowed: length, sigmas"),
        (("leverage",), {}, "tune: 'leverage' is not valid. Allowed: length, sigmas"),
        ((), {"length": (30.0, 60.0)}, "length: '30 to 60' is not valid"),
        ((), {"length": (1.0, 60.0)}, "length: 1.0 is not valid. Allowed: 5 to 200"),
        ((), {"sigmas": (1.0, 2.25)}, "sigmas: 2.25 is not valid"),
    ],
)
def test_what_can_not_be_searched_is_named(names, limits, said: str) -> None:
    with pytest.raises(BadInput) as error:
        axes_of(STRATEGIES["meanreversion"], names, limits)
    assert said in str(error.value)
