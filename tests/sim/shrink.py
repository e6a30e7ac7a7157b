"""Plans that break a promise: made smaller, written down, and read again."""

import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace

from tests.sim.weather import Fault, Kind, Plan

# How often a plan is tried on the way; one of eighty faults seldom takes half as many.
TRIES_MAX = 200
# A fault that lasts no longer than this is short enough (s).
SHORT_S = 2.0

Faults = tuple[Fault, ...]
Fails = Callable[[Faults], bool]
DEFAULTS = {field.name: field.default for field in fields(Fault)}


def shrink(plan: Plan, fails: Callable[[Plan], bool], tries_max: int = TRIES_MAX) -> Plan:
    """The fewest faults of a plan that still fails, each as short as it can be.

    No fault of it can be left out, unless `tries_max` tries were not enough to find that.
    """
    left = tries_max

    def still_fails(faults: Faults) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(replace(plan, faults=faults))

    return replace(plan, faults=_shorter(_fewer(plan.faults, still_fails), still_fails))


def _fewer(faults: Faults, fails: Fails) -> Faults:
    """Leave out parts, then smaller ones: ddmin of Zeller and Hildebrandt (2002), complements."""
    if fails(()):
        return ()
    parts = 2
    while len(faults) > 1:
        size = -(-len(faults) // parts)
        rests = [faults[:at] + faults[at + size :] for at in range(0, len(faults), size)]
        smaller = next(filter(fails, rests), None)
        if smaller is not None:
            faults, parts = smaller, max(parts - 1, 2)
        elif size > 1:
            parts = min(parts * 2, len(faults))
        else:
            break
    return faults


def _shorter(faults: Faults, fails: Fails) -> Faults:
    """Let each fault last half as long, from its beginning or to its end, as often as it can."""
    for place in range(len(faults)):
        while (fault := faults[place]).lasts > SHORT_S:
            half = fault.lasts / 2
            halves = (replace(fault, lasts=half), replace(fault, at=fault.at + half, lasts=half))
            tries = [(*faults[:place], each, *faults[place + 1 :]) for each in halves]
            shorter = next(filter(fails, tries), None)
            if shorter is None:
                break
            faults = shorter
    return faults


def written(plan: Plan) -> str:
    """A plan as JSON, a line each fault, without what is as it mostly is."""
    rows = ",".join(f"\n  {json.dumps(_said(fault))}" for fault in plan.faults)
    return f'{{"seed": {plan.seed}, "faults": [{rows}\n]}}\n'


def _said(fault: Fault) -> dict[str, object]:
    return {name: found for name, found in asdict(fault).items() if found != DEFAULTS[name]}


def read(text: str) -> Plan:
    """The plan that was written; ValueError where a fault is of a kind that is unknown."""
    found = json.loads(text)
    return Plan(
        found["seed"],
        tuple(Fault(**{**fault, "kind": Kind(fault["kind"])}) for fault in found["faults"]),
    )
