"""What an outcome says in words: figures as people read them, and one honest sentence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.backtest.plan import Outcome
from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.market.candle_file import utc
from engine.metrics import Metric, Report, Unit
from engine.strategies import common
from engine.strategies.exits import Exits
from engine.strategies.kernel import Strategy
from engine.tunable import Parameter

# Fewer trades prove next to nothing.
TRADES_FEW = 30
_UNITS = (("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", 1000))


def figure(metric: Metric) -> str:
    """A metric on one line; one that is not defined is `n/a`."""
    value = metric.value
    if value is None:
        return "n/a"
    match metric.unit:
        case Unit.FRACTION:
            return percent(value)
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.MS:
            return duration(int(value))
        case Unit.TIME:
            return utc(int(value))
        case Unit.MONEY | Unit.RATIO:
            return f"{value:,.2f}"


def percent(fraction: float) -> str:
    return f"{fraction * 100:,.2f}%"


def duration(ms: int) -> str:
    """The greatest unit and the one below it: `3h 25m`, `2d`."""
    left = ms
    parts: list[str] = []
    for letter, unit in _UNITS:
        count, left = divmod(left, unit)
        if count or parts:
            parts.append(f"{count}{letter}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0s"


def rules(strategy: Strategy, symbols: Sequence[str]) -> Iterator[str]:
    """What is in force: its parameters, then what is on of each symbol's exits and of sizing."""
    yield f"Parameters: {_listed(strategy.parameters, strategy.params) or 'none'}"
    alike: dict[Exits, list[str]] = {}
    for symbol in symbols:
        alike.setdefault(strategy.exits_for(symbol), []).append(symbol)
    for exits, names in alike.items():
        yield f"Exits of {', '.join(names)}: {_listed(common.EXITS, exits, on=True) or 'its own'}"
    yield f"Size: {_listed(common.SIZING, strategy.sizing, on=True)}"


def _listed(parameters: Sequence[Parameter], values: Any, on: bool = False) -> str:
    """Parameters with their values, `on` those that are not zero."""
    fields = values._asdict()
    named = ((each, fields[common.FIELDS.get(each.name, each.name)]) for each in parameters)
    return ", ".join(f"{each.name}={each.show(value)}" for each, value in named if value or not on)


def picked(strategy: Strategy, values: Mapping[str, float]) -> str:
    """Some of a strategy's parameters, with these values."""
    return ", ".join(
        f"{name}={strategy.tunable[name].show(value)}" for name, value in values.items()
    )


def verdict(outcome: Outcome, report: Report) -> str:
    """What the plan earned or lost, beside holding the same symbols, and how much that proves."""
    earned = outcome.equity - outcome.plan.deposit
    gain = earned / outcome.plan.deposit
    time = duration(outcome.end - outcome.start)
    words = (
        f"{_earned(earned)} {abs(earned):,.2f} of {outcome.plan.deposit:,.2f} "
        f"({percent(abs(gain))}) in {time}"
    )
    return f"{words}; {_beside(gain, report)}. {_evidence(outcome)}"


def _earned(amount: float) -> str:
    return "Earned" if amount >= 0.0 else "Lost"


def _beside(gain: float, report: Report) -> str:
    held = report["buy_and_hold"].value
    if held is None:
        return "what holding would have done is not known"
    did = "earned" if held >= 0.0 else "lost"
    points = (gain - held) * 100
    compared = "better" if points >= 0.0 else "worse"
    return (
        f"buying at the start and holding would have {did} {percent(abs(held))}, so this did "
        f"{abs(points):,.2f} points {compared}"
    )


def _evidence(outcome: Outcome) -> str:
    trades = len(outcome.trips)
    if not trades:
        return "No trade was closed."
    counted = f"{trades:,} closed trade{'s' if trades > 1 else ''}"
    if trades < TRADES_FEW:
        return f"It stands on {counted}: too few to prove anything."
    return f"It stands on {counted} of one past; another may differ."
