"""The parameters every strategy has: those of its exits, its sizing and its signal pipeline."""

from collections.abc import Mapping

from engine.strategies.exits import Exits
from engine.strategies.pipeline import FLIPS_KEPT, Pipeline
from engine.strategies.sizing import Sizing
from engine.tunable import SWITCH_COOLDOWN_MS, Parameter, Tier, Unit

DAY_MS = 86_400_000
MINUTE_MS = 60_000


def _fraction(
    name: str,
    high: float,
    step: float,
    words: str,
    daily: float,
    riskier: int = 0,
    off_at_zero: bool = False,
    other_at_zero: bool = False,
    tier: Tier = Tier.YELLOW,
) -> Parameter:
    return Parameter(
        name, 0.0, 0.0, high, step, Unit.FRACTION, tier, words,
        daily=daily, riskier=riskier, off_at_zero=off_at_zero, other_at_zero=other_at_zero,
    )  # fmt: skip


def _duration(name: str, words: str, daily: int, riskier: int) -> Parameter:
    """An age lets a position run, a rest keeps it from being opened."""
    return Parameter(
        name, 0.0, 0.0, 30.0 * DAY_MS, MINUTE_MS, Unit.DURATION, Tier.YELLOW, words,
        daily=float(daily), riskier=riskier, off_at_zero=riskier > 0,
    )  # fmt: skip


def _number(
    name: str,
    low: int,
    high: int,
    unit: Unit,
    words: str,
    daily: int,
    off_at_zero: bool = False,
    other_at_zero: bool = False,
) -> Parameter:
    """The more, the riskier."""
    return Parameter(
        name, low, low, high, 1, unit, Tier.YELLOW, words,
        daily=daily, riskier=1, off_at_zero=off_at_zero, other_at_zero=other_at_zero,
    )  # fmt: skip


# The defaults are those of each strategy: only bounds, tier and reach stand here.
EXITS = (
    _fraction(
        "stop_loss", 0.5, 0.0001, "distance of the stop from the entry; 0 for none",
        daily=0.05, riskier=1, off_at_zero=True,
    ),
    _fraction(
        "take_profit", 2.0, 0.0001, "distance of the target from the entry; 0 for none", daily=0.1
    ),
    _fraction(
        "trail", 0.5, 0.0001, "distance of the trailing stop; 0 for none",
        daily=0.1, riskier=1, off_at_zero=True,
    ),
    _fraction("trail_activation", 2.0, 0.0001, "gain from which the stop trails", daily=0.2),
    _fraction(
        "break_even", 1.0, 0.0001, "gain from which the stop stands at the entry; 0: never",
        daily=0.1, riskier=1, off_at_zero=True,
    ),
    _fraction("break_even_buffer", 0.1, 0.0001, "how far beyond the entry it stands then", 0.02),
    _duration("max_age", "age at which any position leaves; 0 for none", 2 * DAY_MS, 1),
    _duration("losing_age", "age at which a losing position leaves; 0 for none", 2 * DAY_MS, 1),
    _duration("cooldown", "rest of a symbol after a fill", DAY_MS // 2, -1),
    _duration(
        "cooldown_block", "a symbol rests until the next full block of UTC; 0 for none",
        2 * DAY_MS, -1,
    ),
)  # fmt: skip
SIZING = (
    _fraction("margin", 1.0, 0.001, "share of equity that a position binds", 0.05, riskier=1),
    _number("leverage", 1, 100, Unit.COUNT, "multiple traded on its margin", daily=5),
    _number(
        "fixed", 0, 1_000_000, Unit.MONEY, "size of a position; 0: by equity",
        daily=1000, other_at_zero=True,
    ),
    _fraction(
        "risk", 0.2, 0.001, "share of equity that the stop may cost; 0: by margin",
        daily=0.01, riskier=1, other_at_zero=True,
    ),
    _fraction(
        "share_cap", 10.0, 0.01, "greatest size of a position as a share of equity; 0: none",
        daily=1.0, riskier=1, off_at_zero=True,
    ),
    _number(
        "slots", 0, 100, Unit.COUNT, "positions at once; 0: one a symbol",
        daily=2, off_at_zero=True,
    ),
)  # fmt: skip
PIPELINE = (
    _fraction(
        "confidence_min", 0.95, 0.01, "least confidence of a signal",
        daily=0.1, riskier=-1, tier=Tier.GREEN,
    ),
    _number(
        "flips", 0, FLIPS_KEPT, Unit.COUNT,
        "changes of direction in 15 minutes that mean a choppy market; 0: off",
        daily=3, off_at_zero=True,
    ),
    Parameter(
        "confirmed", 0, 0, 1, 1, Unit.CHOICE, Tier.YELLOW,
        "whether a second signal must confirm the first", ("no", "yes"),
        cooldown_ms=SWITCH_COOLDOWN_MS, riskier=-1,
    ),
)  # fmt: skip

# What a parameter is called in the tuples it belongs to, where that is not its own name.
FIELDS = {
    "max_age": "max_age_ms",
    "losing_age": "losing_age_ms",
    "cooldown": "cooldown_ms",
    "cooldown_block": "cooldown_block_ms",
}
_WHOLE = {"max_age", "losing_age", "cooldown", "cooldown_block", "leverage", "slots", "flips",
          "confirmed"}  # fmt: skip


def with_exits(exits: Exits, values: Mapping[str, float]) -> Exits:
    return Exits(**exits._asdict() | _fields(EXITS, values))


def with_sizing(sizing: Sizing, values: Mapping[str, float]) -> Sizing:
    """The sizing with other values; a margin asked for is no longer capped by the default."""
    changed = _fields(SIZING, values)
    if "margin" in values:
        changed["margin_cap"] = max(sizing.margin_cap, values["margin"])
    return Sizing(**sizing._asdict() | changed)


def with_pipeline(pipeline: Pipeline, values: Mapping[str, float]) -> Pipeline:
    return Pipeline(**pipeline._asdict() | _fields(PIPELINE, values))


def _fields(
    parameters: tuple[Parameter, ...], values: Mapping[str, float]
) -> dict[str, float | int]:
    return {
        FIELDS.get(each.name, each.name): int(values[each.name])
        if each.name in _WHOLE
        else float(values[each.name])
        for each in parameters
        if each.name in values
    }
