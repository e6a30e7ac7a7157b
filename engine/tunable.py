"""What can be tuned: parameters with their bounds, and what it takes to change them."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import BadInput

DURATION_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
# A multiple of the step may miss it by this share of a step: 0.1 + 0.2 is 0.3 here.
STEP_SLACK = 1e-6


class Tier(StrEnum):
    """What it takes: nothing, a press, or a typed phrase."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class Unit(StrEnum):
    """What the number of a parameter counts; a duration is in ms, a fraction shown in percent."""

    BARS = "bars"
    FRACTION = "fraction"
    RATIO = "ratio"
    LEVEL = "level"
    COUNT = "count"
    HOUR = "hour"
    MONEY = "USDT"
    DURATION = "duration"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One tunable number: its value when nobody says otherwise, its bounds and its tier.

    Values are multiples of `step` above `low`; with `choices` the value is the index in them.
    """

    name: str
    default: float
    low: float
    high: float
    step: float
    unit: Unit
    tier: Tier
    words: str
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """The bounds in words, for errors and help."""
        if self.choices:
            return ", ".join(self.choices)
        low, high, step = (self.show(value) for value in (self.low, self.high, self.step))
        return f"{low} to {high} in steps of {step}"

    def show(self, value: float) -> str:
        """A value as people write it: `2%`, `24h`, `consensus`."""
        if self.choices:
            return self.choices[int(value)]
        if self.unit is Unit.FRACTION:
            return f"{value * 100:.10g}%"
        if self.unit is Unit.DURATION:
            return duration_words(value)
        return f"{value:.10g}"

    def check(self, value: float) -> float:
        """The value on its step; raises BadInput naming what is allowed."""
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise BadInput(self.name, value, self.allowed)
        steps = (value - self.low) / self.step
        if abs(steps - round(steps)) > STEP_SLACK:
            raise BadInput(self.name, value, self.allowed)
        return value

    def parse(self, text: str) -> float:
        """A value as people write it; raises BadInput naming what is allowed."""
        word = text.strip().lower()
        if self.choices:
            if word not in self.choices:
                raise BadInput(self.name, text, self.allowed)
            return float(self.choices.index(word))
        try:
            return self.check(self._number(word))
        except (ValueError, BadInput):
            raise BadInput(self.name, text, self.allowed) from None

    def _number(self, word: str) -> float:
        if "_" in word or not word.isascii():
            # Python takes 1_0 for 10 and digits of other scripts; people would not.
            raise ValueError(word)
        if self.unit is Unit.DURATION and (found := _DURATION.fullmatch(word)):
            return float(found[1]) * DURATION_MS[found[2]]
        if self.unit is Unit.FRACTION and word.endswith("%"):
            return float(word.removesuffix("%")) / 100
        return float(word)


def duration_words(ms: float) -> str:
    """A length in ms by the greatest unit that leaves nothing over: `90m`, `2d`."""
    letter = next((each for each in "dhm" if ms and ms % DURATION_MS[each] == 0), "s")
    return f"{ms / DURATION_MS[letter]:.10g}{letter}"


def by_name(parameters: Iterable[Parameter]) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


def parse_values(parameters: Mapping[str, Parameter], words: Mapping[str, str]) -> dict[str, float]:
    """Values that people wrote, by name; raises BadInput for what is unknown or out of bounds."""
    values = {}
    for name, text in words.items():
        if name not in parameters:
            raise BadInput("parameter", name, ", ".join(parameters))
        values[name] = parameters[name].parse(text)
    return values
