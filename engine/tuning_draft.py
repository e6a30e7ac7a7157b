"""What people are shown of a wish about parameters before it comes true: title, phrase and risk."""

from engine import moves
from engine.errors import Refused
from engine.instruction import LetTune, RollBack, SetParameters, UndoChange
from engine.memory import Memory
from engine.proposal import Change, Shown
from engine.tunable import Parameter, Tier
from engine.tuning import DESK_SCOPE, Moved

Drafted = SetParameters | UndoChange | RollBack | LetTune

# Values that a phrase names; of more it says how many.
SPOKEN_MAX = 3
# What a parameter's way up and way down mean, where that can be said in general.
MEANING = {
    "leverage": (
        "the same margin moves more: a loss at the stop grows with it, and liquidation is nearer",
        "the same margin moves less, wins and losses alike",
    ),
    "margin": (
        "each position binds more of the equity, and its stop costs more",
        "each position is smaller",
    ),
    "stop_loss": (
        "a position may go further wrong before it is closed",
        "a position is closed sooner, also by moves that would have turned",
    ),
    "take_profit": (
        "gains are taken later, and some of them never",
        "gains are taken sooner, and great ones are missed",
    ),
    "confidence_min": (
        "fewer signals are traded",
        "weaker signals are traded too",
    ),
}
SAFER, RISKIER = "it risks less than now", "it risks more than now"
UNKNOWN = "other trades are made, and nobody knows beforehand whether they are better"
FOLLOWS = "nothing changes now, but it follows the settings file again"
OPEN_STAY = "Positions that are open keep their levels."


def title(memory: Memory, wanted: Drafted) -> str:
    """What it is, in a few words."""
    if isinstance(wanted, LetTune):
        return "Let tuning go on"
    moved = moves.checked(memory, wanted)
    first = moves.words(memory, moved[0])
    count = f"{len(moved)} parameters"
    match wanted:
        case SetParameters(bot_id):
            return f"Set {first}" if len(moved) == 1 else f"Set {count} of {moves.called(bot_id)}"
        case UndoChange(change_id):
            return f"Undo change {change_id}: {first if len(moved) == 1 else count}"
        case RollBack(snapshot_id):
            name = moves.snapshot(memory, snapshot_id).name
            named = f" ({name})" if name else ""
            return f"Roll back to snapshot {snapshot_id}{named}: {count}"


def shown(memory: Memory, wanted: Drafted) -> Shown:
    """Each value as it is and as it would be; raises Refused where it may not be."""
    if isinstance(wanted, LetTune):
        return _go_on(memory)
    moved = moves.checked(memory, wanted)
    alone = len({each.scope for each in moved}) == 1
    changes = tuple(_change(memory, each, alone) for each in moved)
    return Shown(changes, risk=_risk(memory, moved))


def meaning(memory: Memory, wanted: Drafted) -> str:
    """The words of the phrase that say what it does: `LEVERAGE 5`."""
    if isinstance(wanted, LetTune):
        return ""
    moved = moves.checked(memory, wanted)
    red = [
        each for each in moved if moves.parameter_of(memory, each.scope, each.name).tier is Tier.RED
    ]
    spoken = " ".join(_spoken(memory, each) for each in (red or moved)[:SPOKEN_MAX])
    more = max(len(red or moved) - SPOKEN_MAX, 0)
    ending = f"{spoken} AND {more} MORE" if more else spoken
    match wanted:
        case SetParameters():
            return ending
        case UndoChange(change_id):
            return f"UNDO {change_id} {ending}"
        case RollBack(snapshot_id):
            return f"ROLLBACK {snapshot_id} {ending}"


def _go_on(memory: Memory) -> Shown:
    why = memory.tuning.stopped
    if not why:
        raise Refused("Tuning is not stopped.")
    risk = "The tuner, rules and the model may change what is green, and propose the rest."
    return Shown((Change("tuning", f"stopped: {why}", "on"),), risk=risk)


def _change(memory: Memory, moved: Moved, alone: bool) -> Change:
    show = moves.parameter_of(memory, moved.scope, moved.name).show
    name = moved.name if alone else moves.called(moved.scope, moved.name)
    after = f"{show(moved.after)} (its own)" if moved.to_base else show(moved.after)
    return Change(name, show(moved.before), after)


def _spoken(memory: Memory, moved: Moved) -> str:
    """A parameter and its value as a phone types them."""
    show = moves.parameter_of(memory, moved.scope, moved.name).show
    return f"{moved.name.replace('_', ' ')} {show(moved.after)}".upper()


def _risk(memory: Memory, moved: tuple[Moved, ...]) -> str:
    """What the changes mean for the money, each in a sentence; the riskier ones first."""
    said: dict[str, list[str]] = {}
    for each in sorted(moved, key=lambda one: not _loosens(memory, one)):
        found = moves.parameter_of(memory, each.scope, each.name)
        said.setdefault(_meant(found, each), []).append(each.name)
    sentences = [f"{', '.join(names)}: {meant}." for meant, names in said.items()]
    of_bots = any(each.scope != DESK_SCOPE for each in moved)
    return " ".join([*sentences, *([OPEN_STAY] if of_bots else [])])


def _loosens(memory: Memory, moved: Moved) -> bool:
    found = moves.parameter_of(memory, moved.scope, moved.name)
    return found.loosens(moved.before, moved.after)


def _meant(parameter: Parameter, moved: Moved) -> str:
    before, after = moved.before, moved.after
    if before == after:
        return FOLLOWS
    if parameter.off_at_zero and 0.0 in (before, after):
        return "the protection is off" if after == 0.0 else "the protection is on"
    if parameter.name in MEANING:
        up, down = MEANING[parameter.name]
        return up if after > before else down
    if parameter.loosens(before, after):
        return RISKIER
    return SAFER if parameter.loosens(after, before) else UNKNOWN
