"""Changes of parameters, carried out: each with a snapshot before it, a version, and an audit row.

Pure functions of the core's memory. `ts` is wall time, what is remembered market time; UTC ms. No
tuned value is written anywhere else while the desk runs.
"""

import json
from collections.abc import Iterable

from engine import leeway, moves, retuning, snapshots, watching
from engine.audit import Act
from engine.candle import DAY_MS
from engine.effect import Audit, Done, Effect, NotDone, Notice, NoticeKind, Notify, Outcome, Record
from engine.errors import Refused
from engine.instruction import (
    LetTune,
    NoteComparison,
    NoteRound,
    NoteStudy,
    RollBack,
    SetParameters,
    StopTuning,
    TakeSnapshot,
    UndoChange,
)
from engine.memory import Memory
from engine.people import DESK, Asker
from engine.proposal import Proposal, digest
from engine.tuning import (
    DESK_SCOPE,
    Band,
    ChangeKind,
    Dropped,
    Evidence,
    Moved,
    ParameterChange,
    ParameterValue,
    Setting,
    StudyStage,
    TuningState,
)

TuningInstruction = (
    SetParameters
    | UndoChange
    | RollBack
    | TakeSnapshot
    | StopTuning
    | LetTune
    | NoteStudy
    | NoteRound
    | NoteComparison
)
KINDS = {
    SetParameters: ChangeKind.SET,
    UndoChange: ChangeKind.UNDO,
    RollBack: ChangeKind.ROLLBACK,
}
# Older changes are in the database; they can't be taken back any more.
CHANGES_KEPT = 200
# What the audit calls a parameter that got another value.
ACTION = "parameter"
GONE = "the bot is removed"


def run(
    memory: Memory, wanted: TuningInstruction, asker: Asker, ts: int, proposal: Proposal | None
) -> Outcome:
    """Carry it out; the answer, and what it calls for. `proposal` is what people decided, None
    where nobody had to."""
    try:
        match wanted:
            case SetParameters() | UndoChange() | RollBack():
                return _change(memory, wanted, asker, ts, proposal)
            case TakeSnapshot(name):
                return _take_snapshot(memory, name)
            case StopTuning(reason):
                return _stop(memory, reason or "no reason was given", asker, ts)
            case LetTune():
                return _go_on(memory, asker, ts)
            case NoteStudy():
                return _note_study(wanted, ts)
            case NoteRound(words):
                return Done(words), [_tell(words, ts)]
            case NoteComparison():
                return _note_comparison(memory, wanted, ts)
    except Refused as error:
        return NotDone(str(error)), []


# -- changes -----------------------------------------------------------------------------


def _change(
    memory: Memory, wanted: moves.Tuning, asker: Asker, ts: int, proposal: Proposal | None
) -> Outcome:
    moved = moves.checked(memory, wanted)
    tier = moves.tier(memory, wanted)
    state = memory.touch_tuning()
    state.clock = leeway.market_time(memory)
    state.changes_made += 1
    before = snapshots.take(memory)
    evidence = wanted.evidence if isinstance(wanted, SetParameters) else None
    change = ParameterChange(
        change_id=state.changes_made,
        books=memory.books,
        kind=KINDS[type(wanted)],
        tier=tier,
        source=moves.source_of(wanted),
        author=asker.actor,
        reason=" ".join(wanted.reason.split()),
        moved=moved,
        made_at=state.clock,
        told_at=ts,
        snapshot_id=before.snapshot_id,
        proposal_id=proposal.proposal_id if proposal else 0,
        undoes=wanted.change_id if isinstance(wanted, UndoChange) else 0,
        study=evidence.study if evidence else 0,
        expected=_expected(wanted),
    )
    written = [each for part in moved for each in _written(memory, change, part, proposal)]
    applied = [effect for scope in change.scopes for effect in retuning.apply(memory, scope)]
    change, watched = watching.begin(memory, change, change.expected)
    state.changes = _kept(state, change)
    told = _told(memory, change, evidence, asker)
    return Done(said(memory, change)), [
        Record(before), *written, Record(change), *applied, *watched, Notify(told)
    ]  # fmt: skip


def _kept(state: TuningState, change: ParameterChange) -> list[ParameterChange]:
    """The last changes, and those of before that are watched still: they may have to be undone."""
    changes = [*state.changes, change]
    watched = [each for each in changes[:-CHANGES_KEPT] if each.change_id in state.watches]
    return [*watched, *changes[-CHANGES_KEPT:]]


def _written(
    memory: Memory, change: ParameterChange, moved: Moved, proposal: Proposal | None
) -> list[Effect]:
    """Give one parameter its value; its version for the database, and its row of the audit."""
    before = leeway.setting(memory, moved.scope, moved.name)
    held = before.held if before else ()
    made = Setting(
        value=moved.after,
        version=moved.version,
        changed_at=change.made_at,
        author=change.author,
        reason=change.reason,
        change_id=change.change_id,
        held=(*_lately(held, change.made_at), (change.made_at, moved.before)),
        is_base=moved.to_base,
    )
    memory.tuning.values.setdefault(moved.scope, {})[moved.name] = made
    return [Record(_version(change, moved)), Audit(_act(memory, change, moved, proposal))]


def _lately(held: Iterable[tuple[int, float]], now: int) -> list[tuple[int, float]]:
    return [(until, value) for until, value in held if until > now - DAY_MS]


def _version(change: ParameterChange, moved: Moved) -> ParameterValue:
    return ParameterValue(
        books=change.books,
        scope=moved.scope,
        name=moved.name,
        version=moved.version,
        value=moved.after,
        before=moved.before,
        low=moved.low,
        high=moved.high,
        is_base=moved.to_base,
        change_id=change.change_id,
        author=change.author,
        reason=change.reason,
        made_at=change.made_at,
        told_at=change.told_at,
    )


def _expected(wanted: moves.Tuning) -> Band | None:
    """What a study, or whoever wants it, expects of a change."""
    if not isinstance(wanted, SetParameters):
        return None
    return wanted.evidence.expected if wanted.evidence else wanted.expected


def said(memory: Memory, change: ParameterChange) -> str:
    """A change in a sentence, and how it is taken back."""
    parts = ", ".join(moves.words(memory, each) for each in change.moved)
    again = "" if change.kind is ChangeKind.UNDO else f" /undo {change.change_id} takes it back."
    return f"Change {change.change_id}: {parts}.{again}"


def _told(
    memory: Memory, change: ParameterChange, evidence: Evidence | None, asker: Asker
) -> Notice:
    scopes = [scope for scope in change.scopes if scope != DESK_SCOPE]
    return Notice(
        NoticeKind.TUNED,
        change.told_at,
        bot_id=scopes[0] if len(change.scopes) == 1 and scopes else None,
        text=said(memory, change),
        actor=asker.called,
        change=change,
        evidence=evidence,
    )


# -- the audit ---------------------------------------------------------------------------


def _act(memory: Memory, change: ParameterChange, moved: Moved, proposal: Proposal | None) -> Act:
    """What the audit keeps of one parameter's new value: a sentence for people, and its parts."""
    parts = {
        "books": change.books,
        "scope": moved.scope,
        "name": moved.name,
        "before": moved.before,
        "after": moved.after,
        "base": moved.to_base,
        "version": moved.version,
        "change": change.change_id,
        "kind": change.kind,
        "tier": change.tier,
        "source": change.source,
        "proposal": change.proposal_id,
        "digest": digest(proposal) if proposal else "",
    }
    return _row(change.told_at, change.author, moves.words(memory, moved), parts)


def _row(ts: int, actor: str, words: str, parts: dict[str, object]) -> Act:
    return Act(ts, actor, ACTION, f"{words} {json.dumps(parts, sort_keys=True)}")


def parts_of(act: Act) -> dict[str, object]:
    """What a row about a parameter says, by name; empty for any other row."""
    if act.action != ACTION:
        return {}
    return dict(json.loads(act.detail[act.detail.rindex("{") :]))


def replayed(acts: Iterable[Act], books: str) -> dict[str, dict[str, float]]:
    """The values that stand above those of the settings, by scope and name, as the audit of these
    books has them, oldest row first."""
    values: dict[str, dict[str, float]] = {}
    for parts in filter(None, map(parts_of, acts)):
        if parts["books"] != books:
            continue
        scope, name = str(parts["scope"]), str(parts["name"])
        mine = values.setdefault(scope, {})
        mine.pop(name, None)
        if not parts["base"]:
            mine[name] = float(str(parts["after"]))
    return {scope: each for scope, each in values.items() if each}


def forget(memory: Memory, bot_id: str, actor: str, ts: int) -> list[Effect]:
    """Forget the values of a bot that is gone; each has its row of the audit."""
    settings = memory.touch_tuning().values.pop(bot_id, {})
    gone = [Dropped(bot_id, name, each.value, GONE) for name, each in settings.items()
            if not each.is_base]  # fmt: skip
    return [Audit(_gone(memory, each, actor, ts)) for each in gone]


def dropped(memory: Memory, actor: str, ts: int) -> list[Effect]:
    """What there is to tell of values that this program has no place for any more, and their rows
    of the audit."""
    if not memory.dropped:
        return []
    gone = "; ".join(
        f"{moves.called(each.scope, each.name)} {each.value:g} ({each.why})"
        for each in memory.dropped
    )
    told = _tell(f"Values that were set are dropped, those of the settings hold again: {gone}", ts)
    return [*(Audit(_gone(memory, each, actor, ts)) for each in memory.dropped), told]


def _gone(memory: Memory, value: Dropped, actor: str, ts: int) -> Act:
    what = moves.called(value.scope, value.name)
    words = f"{what} is no longer {value.value:g}: {value.why.replace('{', '(')}"
    parts = {
        "books": memory.books,
        "scope": value.scope,
        "name": value.name,
        "before": value.value,
        "after": None,
        "base": True,
    }
    return _row(ts, actor, words, parts)


# -- the rest ----------------------------------------------------------------------------


def _take_snapshot(memory: Memory, name: str) -> Outcome:
    snapshots.check_name(memory, name)
    taken = snapshots.take(memory, name)
    return Done(f"Snapshot {taken.snapshot_id} ({name}) is kept for good."), [Record(taken)]


def _stop(memory: Memory, why: str, asker: Asker, ts: int) -> Outcome:
    moves.check_reason(why)
    if memory.tuning.stopped:
        return Done(f"Tuning is stopped already: {memory.tuning.stopped}."), []
    memory.touch_tuning().stopped = why
    text = (
        f"{asker.called} stopped tuning: {why}. The tuner, rules and the model change and propose "
        "nothing until /tune resume."
    )
    return Done(text), [_tell(text, ts)]


def _go_on(memory: Memory, asker: Asker, ts: int) -> Outcome:
    if not memory.tuning.stopped:
        raise Refused("Tuning is not stopped.")
    memory.touch_tuning().stopped = ""
    text = f"{asker.called} let tuning go on: parameters are changed and proposed again."
    return Done(text), [_tell(text, ts)]


def _note_study(noted: NoteStudy, ts: int) -> Outcome:
    """Keep a study; people are told of one that ended and proposes nothing. The desk's own are
    told together, with their round."""
    study = noted.study
    text = f"Study {study.number} of {study.bot_id}: {study.verdict}"
    told = study.stage in (StudyStage.NOTHING, StudyStage.FAILED) and study.surface != DESK.surface
    return Done(text), [Record(study), *([_tell(text, ts, study.bot_id)] if told else [])]


def _note_comparison(memory: Memory, noted: NoteComparison, ts: int) -> Outcome:
    found = noted.comparison
    text = (
        f"Live against replay, {found.bot_id}: of {found.live} trades live and {found.replayed} of "
        f"the exact backtest {found.matched} are the same."
    )
    if not found.diverges:
        return Done(text), []
    state = memory.touch_tuning()
    state.stopped = state.stopped or f"{found.bot_id} diverges from its replay"
    text = f"{text} It diverges: {found.diverges} Nothing is tuned until /tune resume."
    return Done(text), [_tell(text, ts, found.bot_id)]


def _tell(text: str, ts: int, bot_id: str | None = None) -> Effect:
    return Notify(Notice(NoticeKind.TUNING, ts, bot_id=bot_id, text=text))
