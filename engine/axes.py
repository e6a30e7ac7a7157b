"""Where a search for better values looks: each parameter as an axis of equal steps.

Pure. A set of values is a point, its `Places` count the steps on each axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.errors import BadInput
from engine.strategies.kernel import Strategy
from engine.tunable import STEP_SLACK, Parameter

# A step of the search: this share of the searched range, at least the parameter's own step.
SEARCH_STEP = 0.05
NEIGHBOR_STEPS = (-2, -1, 1, 2)
# Digits of a value behind the point, finer than any step: sums of steps are no round numbers.
DIGITS = 10

Places = tuple[int, ...]
Limits = tuple[float, float]


class Axis(NamedTuple):
    """The values of a parameter that are searched: so many, its steps apart, from `low`.

    `present` is the place of the value in force, `stride` a step of the search in such steps.
    """

    parameter: Parameter
    low: float
    places: int
    present: int
    stride: int

    @property
    def name(self) -> str:
        return self.parameter.name

    def at(self, place: int) -> float:
        return round(self.low + place * self.parameter.step, DIGITS)


class Axes(tuple[Axis, ...]):
    """All parameters of a search."""

    @property
    def present(self) -> Places:
        """The values in force."""
        return tuple(axis.present for axis in self)

    @property
    def widest(self) -> dict[str, float]:
        """The highest value of each."""
        return self.values(tuple(axis.places - 1 for axis in self))

    def named(self, places: Places) -> dict[str, int]:
        return {axis.name: place for axis, place in zip(self, places, strict=True)}

    def values(self, places: Places) -> dict[str, float]:
        return {axis.name: axis.at(place) for axis, place in zip(self, places, strict=True)}

    def changes(self, places: Places) -> dict[str, float]:
        """The values that differ from those in force."""
        return {
            axis.name: axis.at(place)
            for axis, place in zip(self, places, strict=True)
            if place != axis.present
        }

    def around(self, places: Places) -> Iterator[Places]:
        """The neighbors: one and two steps of the search away on one axis, as far as it goes. A
        choice has none."""
        for k, axis in enumerate(self):
            for steps in () if axis.parameter.choices else NEIGHBOR_STEPS:
                place = places[k] + steps * axis.stride
                if 0 <= place < axis.places:
                    yield (*places[:k], place, *places[k + 1 :])


def axes_of(strategy: Strategy, names: Sequence[str], limits: Mapping[str, Limits]) -> Axes:
    """The axes of a search over parameters of a strategy's own, over all its numbers where none
    is named. Raises BadInput for a name that is not there, and for impossible limits."""
    known = {each.name: each for each in strategy.parameters}
    numbers = [each.name for each in strategy.parameters if not each.choices]
    wanted = names or numbers
    for name in wanted:
        if name not in known:
            raise BadInput("tune", name, ", ".join(known))
    if not wanted:
        raise BadInput("tune", strategy.name, "a strategy with numbers of its own")
    values = strategy.params._asdict()
    return Axes(_axis(known[name], values[name], limits.get(name)) for name in wanted)


def reachable(parameter: Parameter, value: float) -> Limits:
    """How far down and up a value may come within a day."""
    steps = int(parameter.reach / parameter.step + STEP_SLACK)
    low, high = (parameter.stepped(value, by) for by in (-steps, steps))
    return round(low, DIGITS), round(high, DIGITS)


def _axis(parameter: Parameter, value: float, limits: Limits | None) -> Axis:
    low, high = limits or reachable(parameter, value)
    if not parameter.check(low) <= value <= parameter.check(high):
        allowed = f"limits around the value in force, {parameter.show(value)}"
        raise BadInput(parameter.name, f"{parameter.show(low)} to {parameter.show(high)}", allowed)
    steps, present = (round((each - low) / parameter.step) for each in (high, value))
    return Axis(parameter, low, steps + 1, present, max(round(steps * SEARCH_STEP), 1))
