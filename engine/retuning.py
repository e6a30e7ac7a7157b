"""Parameters of bots and of the desk: what there are, their values, and giving them others.

Functions of the core's memory. Whether a value may be set is decided before (`changing`).
"""

from collections.abc import Mapping

from engine import overlay, plans, staff, tally
from engine.effect import Effect
from engine.errors import BadInput
from engine.limits import Limits, limit_value, with_limits
from engine.memory import Memory
from engine.tunable import Parameter
from engine.tuning import DESK_SCOPE, values_of


def scopes(memory: Memory) -> tuple[str, ...]:
    """What has parameters: each bot by its id, then the desk itself."""
    return (*memory.bots, DESK_SCOPE)


def parameters(memory: Memory, scope: str) -> Mapping[str, Parameter]:
    """The parameters of a scope by name; raises BadInput for an unknown bot."""
    if scope not in scopes(memory):
        raise BadInput("bot", scope, ", ".join(memory.bots))
    return overlay.parameters(memory.bases, scope)


def value(memory: Memory, scope: str, name: str) -> float:
    """The value in force; of an exit rule, that of the symbols without their own.

    Raises BadInput for an unknown bot or parameter.
    """
    _check(memory, scope, name)
    if scope == DESK_SCOPE:
        return limit_value(memory.policy.limits, name)
    return plans.value_of(memory.bots[scope].strategy, name)


def base_value(memory: Memory, scope: str, name: str) -> float:
    """The value that the settings and the strategy have by themselves; may lie out of bounds.

    Raises BadInput for an unknown bot or parameter.
    """
    _check(memory, scope, name)
    if scope == DESK_SCOPE:
        return limit_value(memory.base_limits, name)
    return plans.value_of(memory.bases[scope].strategy, name)


def _check(memory: Memory, scope: str, name: str) -> None:
    known = parameters(memory, scope)
    if name not in known:
        raise BadInput("parameter", name, ", ".join(known))


def check_together(memory: Memory, scope: str, values: Mapping[str, float]) -> None:
    """Raise BadInput where a scope can't have these values, all that stand above its settings."""
    if scope == DESK_SCOPE:
        with_limits(memory.base_limits, values)
    else:
        overlay.tuned_bot(memory.bases[scope], values)


def apply(memory: Memory, scope: str) -> list[Effect]:
    """Give a scope the values that `memory.tuning` has for it, above those of its settings.

    Exits, sizing and signal rules of a bot hold from now on; parameters of its strategy as soon as
    a kernel made with them is warm. The levels of positions that are open stay where they are.
    """
    values = values_of(memory.tuning, scope)
    if scope == DESK_SCOPE:
        return _limit(memory, with_limits(memory.base_limits, values))
    return staff.succeed(memory, memory.employ(overlay.tuned_bot(memory.bases[scope], values)))


def _limit(memory: Memory, limits: Limits) -> list[Effect]:
    """Have other limits in force, and see at once how every account stands by them."""
    level_before = memory.policy.limits.margin_level
    memory.limit(limits)
    if limits.margin_level != level_before:
        for slot in (slot for slots in memory.slots.values() for slot in slots):
            memory.watch_margin(slot)
    now = memory.desk.now
    if not now:
        return []
    return [each for account in memory.accounts for each in tally.watch(memory, account, now)]
