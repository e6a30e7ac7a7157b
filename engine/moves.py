"""What a wish about parameters would move, and whether it may: nothing else says what is allowed.

Pure functions of the core's memory. A wish is carried out as a whole or not at all.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite
from typing import NamedTuple

from engine import leeway, retuning, watching
from engine.errors import SAID_BACK_MAX, BadInput, Refused
from engine.instruction import RollBack, SetParameters, UndoChange
from engine.memory import Memory
from engine.standing import said_time
from engine.tunable import STEP_SLACK, Parameter, Tier, check_order, duration_words, strictest
from engine.tuning import (
    DESK_SCOPE,
    ChangeKind,
    Evidence,
    Fate,
    Moved,
    ParameterChange,
    Snapshot,
    Source,
    values_of,
)

Tuning = SetParameters | UndoChange | RollBack
# Who proposes by themselves; only these can be stopped.
BY_ITSELF = (Source.TUNER, Source.RULE, Source.MODEL)
REASON_MAX = 1_000


class Target(NamedTuple):
    """A value that a parameter is to have; None gives it back what it has by itself."""

    scope: str
    name: str
    value: float | None


def tier(memory: Memory, wanted: Tuning) -> Tier:
    """The strictest tier of the parameters that are moved; a model's wish always waits.

    So taking back a change takes what making it took. Raises Refused for what can't be moved.
    """
    known = (parameter_of(memory, each.scope, each.name) for each in _targets(memory, wanted))
    least = Tier.YELLOW if source_of(wanted) is Source.MODEL else Tier.GREEN
    return strictest([least, *(each.tier for each in known)])


def source_of(wanted: Tuning) -> Source:
    return Source.PERSON if isinstance(wanted, RollBack) else wanted.source


def loosens(memory: Memory, moved: Iterable[Moved]) -> bool:
    """Whether any of these risks more than before, as far as anybody can know."""
    return any(
        parameter_of(memory, each.scope, each.name).loosens(each.before, each.after)
        for each in moved
    )


def raises_risk(memory: Memory, moved: Iterable[Moved]) -> bool:
    """Whether any of these does not surely risk less than before."""
    return any(
        not parameter_of(memory, each.scope, each.name).loosens(each.after, each.before)
        for each in moved
    )


def checked(memory: Memory, wanted: Tuning) -> tuple[Moved, ...]:
    """What would move, each with its bounds; raises Refused, naming what is allowed instead."""
    if not leeway.market_time(memory):
        raise Refused("No candle has closed yet: parameters can be changed once one has.")
    targets = _targets(memory, wanted)
    check_reason(wanted.reason)
    if isinstance(wanted, SetParameters):
        _check_set(memory, wanted, targets)
    moved = tuple(_moved(memory, each) for each in targets)
    if source_of(wanted) in BY_ITSELF:
        _check_by_itself(memory, moved)
    for each in moved:
        _check_reach(memory, each)
    for scope in dict.fromkeys(each.scope for each in targets):
        _check_together(memory, scope, targets)
    return moved


def check_reason(reason: str) -> None:
    """Raise BadInput for a reason that nobody reads to its end."""
    if len(reason) > REASON_MAX:
        raise BadInput("reason", reason, f"at most {REASON_MAX} characters")


# -- what is meant -----------------------------------------------------------------------


def _targets(memory: Memory, wanted: Tuning) -> list[Target]:
    match wanted:
        case SetParameters(bot_id, values):
            return [_wanted(memory, bot_id, name, value) for name, value in values]
        case UndoChange():
            return _before(memory, wanted)
        case RollBack(snapshot_id):
            return _as_in(memory, snapshot(memory, snapshot_id))


def _wanted(memory: Memory, scope: str, name: str, value: float) -> Target:
    return Target(scope, name, parameter_of(memory, scope, name).check(float(value)))


def snapshot(memory: Memory, snapshot_id: int) -> Snapshot:
    """A snapshot that is kept; raises Refused."""
    kept = {each.snapshot_id: each for each in memory.snapshots}
    if snapshot_id not in kept:
        raise Refused(f"There is no snapshot {snapshot_id}. /tune history lists them.")
    return kept[snapshot_id]


def _before(memory: Memory, wanted: UndoChange) -> list[Target]:
    """The values of before a change, while it is the last one of its parameters."""
    change = _undoable(memory, wanted.change_id)
    if change.scopes != (wanted.bot_id,) and wanted.bot_id != DESK_SCOPE:
        raise Refused(f"Change {change.change_id} is not of {wanted.bot_id} alone.")
    if change.scopes != (wanted.bot_id,) and len(change.scopes) == 1:
        raise Refused(f"Change {change.change_id} is of {change.scopes[0]}, not of the desk.")
    for each in change.moved:
        _check_still(memory, change, each)
    return [
        Target(each.scope, each.name, None if each.was_base else each.before)
        for each in change.moved
    ]


def _check_still(memory: Memory, change: ParameterChange, moved: Moved) -> None:
    """Raise Refused where a parameter is not what a change made it any more."""
    what, found = called(moved.scope, moved.name), leeway.setting(memory, moved.scope, moved.name)
    if moved.scope not in retuning.scopes(memory) or found is None:
        raise Refused(f"{what} is there no more.")
    if found.change_id != change.change_id:
        raise Refused(f"{what} was changed again since, by change {found.change_id}.")
    if found.is_base != moved.to_base:
        raise Refused(f"{what} is not what change {change.change_id} made it any more.")


def _undoable(memory: Memory, change_id: int) -> ParameterChange:
    found = {each.change_id: each for each in memory.tuning.changes}.get(change_id)
    if found is None:
        raise Refused(f"There is no change {change_id} to take back. /tune history lists them.")
    if found.kind is ChangeKind.UNDO:
        raise Refused(f"Change {change_id} took another one back; /tune set gives other values.")
    if found.fate is Fate.UNDONE:
        raise Refused(f"Change {change_id} is taken back already.")
    return found


def _as_in(memory: Memory, kept: Snapshot) -> list[Target]:
    """The values of a snapshot that differ from those in force, of every scope that it knows."""
    found = [
        target
        for scope in retuning.scopes(memory)
        if scope in kept.values
        for name in retuning.parameters(memory, scope)
        if _differs(memory, target := _kept_value(memory, kept, scope, name))
    ]
    if not found:
        raise Refused(f"All parameters are as in snapshot {kept.snapshot_id} already.")
    return found


def _kept_value(memory: Memory, kept: Snapshot, scope: str, name: str) -> Target:
    """The value in a snapshot; one that nobody had set is what it is by itself, unless the settings
    say otherwise since and it is one that can be set."""
    value = kept.values[scope].get(name)
    if value is None or name in kept.set_.get(scope, ()):
        return Target(scope, name, value)
    parameter = parameter_of(memory, scope, name)
    is_own = _same(parameter, retuning.base_value(memory, scope, name), value)
    is_allowed = parameter.low <= value <= parameter.high
    return Target(scope, name, value if is_allowed and not is_own else None)


def _differs(memory: Memory, target: Target) -> bool:
    found = leeway.setting(memory, target.scope, target.name)
    is_set = found is not None and not found.is_base
    if target.value is None or not is_set:
        return is_set or target.value is not None
    parameter = parameter_of(memory, target.scope, target.name)
    now = retuning.value(memory, target.scope, target.name)
    return not _same(parameter, now, target.value)


def _same(parameter: Parameter, one: float, other: float) -> bool:
    return abs(one - other) <= STEP_SLACK * parameter.step


def _moved(memory: Memory, target: Target) -> Moved:
    scope, name, value = target
    parameter = parameter_of(memory, scope, name)
    found = leeway.setting(memory, scope, name)
    return Moved(
        scope=scope,
        name=name,
        before=retuning.value(memory, scope, name),
        after=retuning.base_value(memory, scope, name) if value is None else value,
        version=found.version + 1 if found else 1,
        low=float(parameter.low),
        high=float(parameter.high),
        was_base=found is None or found.is_base,
        to_base=value is None,
    )


def parameter_of(memory: Memory, scope: str, name: str) -> Parameter:
    """A parameter by name; raises Refused with the nearest name for one that is not there."""
    known = retuning.parameters(memory, scope)
    if name in known:
        return known[name]
    near = get_close_matches(name.lower(), known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise Refused(
        f"{called(scope)} has no parameter {name[:SAID_BACK_MAX]!r}.{hint} /tune show lists them."
    )


def called(scope: str, name: str = "") -> str:
    """A scope, or a parameter of it, in a sentence."""
    if not name:
        return scope or "the desk"
    return f"{name} of {scope or 'the desk'}"


def words(memory: Memory, moved: Moved) -> str:
    """What moves, in a few words: `leverage of rsi_001 from 3 to 5`."""
    show = parameter_of(memory, moved.scope, moved.name).show
    back = " (its own)" if moved.to_base else ""
    return (
        f"{called(moved.scope, moved.name)} from {show(moved.before)} to {show(moved.after)}{back}"
    )


# -- whether it may ----------------------------------------------------------------------


def _check_set(memory: Memory, wanted: SetParameters, targets: list[Target]) -> None:
    """What binds new values, and not those that were there before."""
    scope = wanted.bot_id
    if not targets:
        raise BadInput("values", "", "at least one parameter and its value")
    if scope in memory.desk.paused:
        raise Refused(f"{scope} is paused. Say /bot resume {scope} first.")
    names = [each.name for each in targets]
    for name, value in wanted.values:
        parameter = parameter_of(memory, scope, name)
        if names.count(name) > 1:
            raise BadInput(name, f"{names.count(name)} values", "one value")
        if _same(parameter, retuning.value(memory, scope, name), value):
            raise Refused(f"{called(scope, name)} is {parameter.show(value)} already.")
        if until := leeway.rests_until(memory, scope, parameter):
            raise Refused(
                f"{called(scope, name)} was changed less than "
                f"{duration_words(parameter.cooldown_ms)} ago and rests until {said_time(until)}."
            )
    if wanted.evidence:
        _check_evidence(memory, scope, wanted.evidence)
    if band := wanted.expected:
        _check_numbers((*band.lows, *band.highs, band.drawdown))


def _check_evidence(memory: Memory, scope: str, evidence: Evidence) -> None:
    """What was compared with other values than those in force says nothing of now."""
    band, sides = evidence.expected, (*evidence.before, *evidence.after)
    _check_numbers((evidence.days, evidence.deflated, evidence.neighbors, *filter(None, sides)))
    _check_numbers((*band.lows, *band.highs, band.drawdown))
    known = retuning.parameters(memory, scope)
    for name, tested in evidence.present:
        parameter = known.get(name)
        if parameter is None:
            raise Refused(f"{called(scope, name)} is there no more, and its study counted on it.")
        now = retuning.value(memory, scope, name)
        if not _same(parameter, now, tested):
            was, is_now = parameter.show(tested), parameter.show(now)
            raise Refused(f"{called(scope, name)} is {is_now} now; it was {was} in the study.")


def _check_numbers(found: Iterable[float]) -> None:
    """What is no number can be neither compared nor kept."""
    if not all(map(isfinite, found)):
        raise Refused("The figures of its evidence are not all numbers: nothing follows from them.")


def _check_by_itself(memory: Memory, moved: tuple[Moved, ...]) -> None:
    """What binds the tuner, rules and the model, and no person."""
    if memory.tuning.stopped:
        raise Refused(f"Tuning is stopped: {memory.tuning.stopped}. /tune resume lets it go on.")
    losing = watching.losing(memory)
    if losing and loosens(memory, moved):
        raise Refused(f"Nothing is loosened while the desk is losing: {losing}.")
    for failed in _failed_lately(memory):
        if all(_is_again(memory, each, moved) for each in failed.moved):
            raise Refused(f"Change {failed.change_id} tried that, and failed. A person may set it.")


def _failed_lately(memory: Memory) -> list[ParameterChange]:
    since = leeway.market_time(memory) - watching.WATCH_MS
    changes = memory.tuning.changes
    return [each for each in changes if each.fate is Fate.FAILED and each.ended_at > since]


def _is_again(memory: Memory, failed: Moved, moved: Iterable[Moved]) -> bool:
    """Whether the value that a change gave a parameter is among those it is to have now."""
    found = (each for each in moved if (each.scope, each.name) == (failed.scope, failed.name))
    return any(
        _same(parameter_of(memory, each.scope, each.name), each.after, failed.after)
        for each in found
    )


def _check_reach(memory: Memory, moved: Moved) -> None:
    """Bounds hold for what people set, and a day's reach for all."""
    parameter = parameter_of(memory, moved.scope, moved.name)
    if not moved.to_base:
        parameter.check(moved.after)
    room = leeway.room_now(memory, moved.scope, parameter)
    if room.holds(min(max(moved.after, parameter.low), parameter.high), parameter.step):
        return
    low, high, reach = (parameter.show(each) for each in (*room, parameter.reach))
    allowed = f"{low} to {high} now; within 24 hours it moves by {reach} at most"
    raise BadInput(moved.name, parameter.show(moved.after), allowed)


def _check_together(memory: Memory, scope: str, targets: list[Target]) -> None:
    """Whether the values of a scope fit each other."""
    values = dict(values_of(memory.tuning, scope))
    own = {each.name: each.value for each in targets if each.scope == scope}
    for name, value in own.items():
        values.pop(name, None)
        if value is not None:
            values[name] = value
    retuning.check_together(memory, scope, values)
    if scope != DESK_SCOPE:
        pairs = memory.bases[scope].strategy.ordered
        names = {name for pair in pairs for name in pair}
        held = {name: values.get(name, retuning.base_value(memory, scope, name)) for name in names}
        check_order(pairs, held, own)
