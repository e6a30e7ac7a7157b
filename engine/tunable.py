"""What can be tuned: parameters with their bounds, and what it takes to change them."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.errors import BadInput

DURATION_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
# A multiple of the step may miss it by this share of a step: 0.1 + 0.2 is 0.3 here.
STEP_SLACK = 1e-6
# No step is finer than this many decimals.
DECIMALS = 9
# How long a value stands before it is changed again, where a parameter says nothing else.
COOLDOWN_MS = 6 * DURATION_MS["h"]
# The same of a switch or choice.
SWITCH_COOLDOWN_MS = DURATION_MS["h"]
# How far it may come within a day, as a share of its range, where it says nothing else.
DAILY_SHARE = 0.25


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

    Values are multiples of `step` above `low`; with `choices` the value is the index in them. Once
    changed it rests for `cooldown_ms` of market time; within any 24 hours its values lie no further
    apart than `daily` (None: a quarter of the range, at least a step; choices go anywhere).
    `riskier` is the direction in which it risks more: 1 up, -1 down, 0 neither; where `off_at_zero`
    the value 0 switches a protection off, which risks most; where `other_at_zero` it has another
    rule decide, and nobody knows which of them risks more.
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
    cooldown_ms: int = COOLDOWN_MS
    daily: float | None = None
    riskier: int = 0
    off_at_zero: bool = False
    other_at_zero: bool = False

    @property
    def reach(self) -> float:
        """How far apart its values within any 24 hours may lie."""
        if self.choices:
            return self.high - self.low
        if self.daily is not None:
            return self.daily
        steps = math.floor((self.high - self.low) * DAILY_SHARE / self.step + STEP_SLACK)
        return max(steps, 1) * self.step

    def loosens(self, before: float, after: float) -> bool:
        """Whether a change of its value surely risks more."""
        if self.other_at_zero and 0.0 in (before, after):
            return False
        if self.off_at_zero and 0.0 in (before, after):
            return after == 0.0 != before
        return (after - before) * self.riskier > 0.0

    def stepped(self, value: float, steps: int) -> float:
        """The value so many steps up (down where negative), within the bounds and on its step."""
        at = round((value - self.low) / self.step) + steps
        top = math.floor((self.high - self.low) / self.step + STEP_SLACK)
        # Without the binary tail of its steps, which may lie beyond the bound.
        return round(self.low + min(max(at, 0), top) * self.step, DECIMALS)

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
        """The value on its step, without the binary noise of whoever computed it; raises BadInput
        naming what is allowed."""
        slack = STEP_SLACK * self.step
        if not (math.isfinite(value) and self.low - slack <= value <= self.high + slack):
            raise BadInput(self.name, value, self.allowed)
        kept = float(self.stepped(value, 0))
        if abs(value - kept) > slack:
            raise BadInput(self.name, value, self.allowed)
        return kept

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


def strictest(tiers: Iterable[Tier]) -> Tier:
    """The one that takes the most; GREEN of none."""
    return max(tiers, key=list(Tier).index, default=Tier.GREEN)


def check_order(
    pairs: Iterable[tuple[str, str]], values: Mapping[str, float], changed: Collection[str]
) -> None:
    """Raise BadInput where a changed value is not below another that it has to stay below, or not
    above another that has to stay below it."""
    for lower, upper in pairs:
        if values[lower] >= values[upper] and (lower in changed or upper in changed):
            raise BadInput(lower, f"{values[lower]:g}", f"less than {upper}, {values[upper]:g}")


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
