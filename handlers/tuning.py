"""Parameters from chat: looked at, set, taken back; their history, and what came of it."""

from collections.abc import Iterator
from dataclasses import replace

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.expectation import TRADES_MIN, band_of
from engine.instruction import RollBack, SetParameters, TakeSnapshot, UndoChange
from engine.memory import BY_HAND
from engine.order import ZERO
from engine.people import Role
from engine.position import Trade
from engine.tuning import DESK_SCOPE, Band, ChangeKind, ParameterChange, Snapshot
from handlers.arguments import reason_of
from handlers.command import Act, Context, Kind, Words, command
from handlers.parameters import (
    DESK_WORD,
    ChangeId,
    ParameterName,
    ParameterValue,
    ParameterValues,
    Scope,
    SnapshotId,
    SnapshotName,
    called,
    check_reason,
    number_of,
    parameter_named,
    scope_of,
    view_of,
    which_bot,
    which_scope,
    word_of,
)
from handlers.reply import (
    Button,
    Money,
    Percent,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Whole,
    reply,
    show,
)
from handlers.tuning_cards import HISTORY, OUTCOMES, band_words, came_words, fate_words
from handlers.tuning_pages import (
    changed_words,
    changes_table,
    parameter_page,
    scope_page,
    undo_buttons,
)

LISTED = 15
# Of a bot, newest first: what it does now, not what it did a year ago.
TRADES_LOOKED_AT = 50
DESK_LIMITS = Button("Desk limits", f"/tune show {DESK_WORD}")


@command("tune show")
async def tune_show(
    context: Context, name: ParameterName | None = None, bot: Scope | None = None
) -> Reply:
    """Every parameter of a bot, or of the desk: its value, what it may become now, its tier.

    With a name that one's whole story, and buttons that change it by a step. 🟢 acts at once
    within bounds, 🟡 waits for a press, 🔴 for a typed phrase.

    Example: /tune show, or /tune show desk, or /tune show leverage
    """
    desk = context.desk
    if name is not None:
        scope = which_scope(desk, (name,), bot, f"/tune show {name}")
        return scope if isinstance(scope, Reply) else parameter_page(context, scope, name)
    if bot is not None:
        return scope_page(desk, scope_of(bot))
    found = which_bot(desk, None, "/tune show")
    if isinstance(found, Reply):
        return replace(found, buttons=(*found.buttons, DESK_LIMITS))
    return scope_page(desk, found)


@command("tune set", role=Role.TRADER, kind=Kind.SENSITIVE)
async def tune_set(
    context: Context,
    name: ParameterValues,
    value: ParameterValue | None = None,
    bot: Scope | None = None,
    reason: Words = "",
) -> Reply | Act:
    """Give a parameter another value, or several theirs: at once, or once it is countersigned.

    What it takes is the parameter's own: 🟢 acts at once, 🟡 waits for a press, 🔴 for a typed
    phrase. up and down are a step; a bot need not be named where there is one. Why may follow.

    Example: /tune set leverage 3, or /tune set stop_loss up, or /tune set fast=8 slow=30
    """
    if "=" not in name:
        return await setting(context, name, value, bot, reason)
    pairs = dict(word.split("=", 1) for word in name.split())
    # A reason may begin with what could be a value.
    return await _set(context, pairs, bot, f"{value or ''} {reason}")


async def setting(
    context: Context, name: str, value: str | None, bot: str | None, reason: str
) -> Reply | Act:
    """Give one parameter a value; without one, its page."""
    if value is not None:
        return await _set(context, {name: value}, bot, reason)
    scope = which_scope(context.desk, (name,), bot, f"/tune set {name}")
    if isinstance(scope, Reply):
        return scope
    if reason:
        # What can be no value was taken for a reason.
        allowed = view_of(context.desk, scope, name).parameter.allowed
        raise BadInput(name, reason.split()[0], allowed)
    return parameter_page(context, scope, name)


async def _set(
    context: Context, texts: dict[str, str], bot: str | None, reason: str
) -> Reply | Act:
    desk, why = context.desk, reason_of(reason)
    check_reason(desk, why)
    said = [f"{name}={text}" for name, text in texts.items()]
    scope = which_scope(desk, texts, bot, f"/tune set {' '.join(said)}")
    if isinstance(scope, Reply):
        return scope
    values = tuple(
        (name, number_of(view_of(desk, scope, name), text)) for name, text in texts.items()
    )
    wanted = SetParameters(scope, values, why, expected=await _expected(desk, scope))
    return Act(wanted, lambda done: _changed(context, done, scope, tuple(texts)))


def _changed(context: Context, done: str, scope: str, names: tuple[str, ...]) -> Reply:
    """What took effect at once, with the way back; of one parameter, its page as it is now."""
    if parameter_named(context.desk, scope, names[0]) is None:
        # The bot was taken away since.
        return reply(Text(done))
    if len(names) == 1:
        page = parameter_page(context, scope, names[0])
        return replace(page, blocks=(Text(done), *page.blocks))
    undo = undo_buttons(view_of(context.desk, scope, names[0]))
    shown = Button("Parameters", f"/tune show {word_of(scope)}")
    return reply(Text(done), buttons=(*undo, shown))


async def _expected(desk: Desk, scope: str) -> Band | None:
    """What the next trades of a bot, or of all, are held against: the last ones; None where those
    are few."""
    accounts = [each for each in desk.view().accounts if scope in (each.bot_id, DESK_SCOPE)]
    equity = sum((each.equity for each in accounts), ZERO)
    found: list[Trade] = []
    for each in accounts:
        found += await desk.store.recent(Trade, account=each.account, limit=TRADES_LOOKED_AT)
    own = [trade for trade in found if trade.entry_reason not in BY_HAND]
    own.sort(key=lambda trade: trade.exit_time)
    if len(own) < TRADES_MIN or equity <= 0:
        return None
    return band_of([float(trade.net_pnl / equity) for trade in own[-TRADES_LOOKED_AT:]])


# -- taking back ---------------------------------------------------------------------------


@command("undo", role=Role.TRADER, kind=Kind.SENSITIVE)
async def undo(context: Context, change: ChangeId | None = None, reason: Words = "") -> Act:
    """Take a change of parameters back: the last one, or the one with this number.

    It takes what making it took: 🟢 at once, 🟡 a press, 🔴 a typed phrase.

    Example: /undo, or /undo 7
    """
    found = _undone(context.desk, change)
    scope = found.scopes[0] if len(found.scopes) == 1 else DESK_SCOPE
    wanted = UndoChange(found.change_id, scope, reason_of(reason))
    return Act(wanted, lambda done: reply(Text(done), buttons=(HISTORY,)))


def _undone(desk: Desk, number: int | None) -> ParameterChange:
    """The change that is to be taken back; raises Refused."""
    changes = desk.tuning().changes
    if number is None:
        gone = {each.undoes for each in changes}
        last = (each for each in changes if each.kind is not ChangeKind.UNDO)
        found = next((each for each in last if each.change_id not in gone), None)
        if found is None:
            raise Refused("No change of parameters is there to take back.")
        return found
    for each in changes:
        if each.change_id == number:
            return each
    raise Refused(f"There is no change {number} to take back. /tune history lists them.")


@command("tune rollback", role=Role.ADMIN, kind=Kind.CRITICAL)
async def tune_rollback(context: Context, snapshot: SnapshotId, reason: Words = "") -> Act:
    """Give every parameter of every bot and of the desk the value that a snapshot holds.

    It takes what the strictest of these changes takes; /tune diff shows them before.

    Example: /tune rollback 12, or /tune rollback calm
    """
    wanted = RollBack(snapshot, reason_of(reason))
    return Act(wanted, lambda done: reply(Text(done), buttons=(HISTORY,)))


@command("tune snapshot", role=Role.TRADER, kind=Kind.WRITE)
async def tune_snapshot(context: Context, name: SnapshotName) -> Act:
    """Keep all parameters as they are under a name; the desk takes one before every change.

    Example: /tune snapshot calm
    """
    buttons = (Button("Differences", f"/tune diff {name}"), HISTORY)
    return Act(TakeSnapshot(name), lambda done: reply(Text(done), buttons=buttons))


# -- what was ------------------------------------------------------------------------------


@command("tune history")
async def tune_history(context: Context, bot: Scope | None = None) -> Reply:
    """The last changes of parameters, who made them and why, and the snapshots that are kept.

    Example: /tune history, or /tune history shortseller_001
    """
    desk = context.desk
    changes = _of(desk, bot)[:LISTED]
    kept = desk.tuning().snapshots
    newest = [each for each in kept if each.name] + [each for each in kept if not each.name]
    return reply(
        changes_table(desk, changes),
        _snapshots_table(newest[:LISTED]),
        Text("/tune diff and a snapshot tells what is different now, /undo takes a change back."),
        buttons=(OUTCOMES, *_undo_button(changes)),
    )


def _of(desk: Desk, bot: str | None) -> list[ParameterChange]:
    """Changes, newest first; those of a scope, where one is named."""
    changes = desk.tuning().changes
    return [each for each in changes if bot is None or scope_of(bot) in each.scopes]


def _undo_button(changes: list[ParameterChange]) -> tuple[Button, ...]:
    if not changes or changes[0].kind is ChangeKind.UNDO:
        return ()
    number = changes[0].change_id
    return (Button(f"Undo {number}", f"/undo {number}"),)


def _snapshots_table(kept: list[Snapshot]) -> Table:
    columns = ("snapshot", "name", "taken", "values_set", "net_then")
    rows = tuple(map(_snapshot_row, kept))
    return Table("Snapshots", columns, rows, empty="No snapshot is kept yet.")


@command("tune diff")
async def tune_diff(context: Context, snapshot: SnapshotId) -> Reply:
    """What is different now from a snapshot, and how each bot stood then.

    Example: /tune diff 12, or /tune diff calm
    """
    desk = context.desk
    kept = _kept(desk, snapshot)
    table = Table(
        f"Snapshot {_named(kept)} and now",
        ("whose", "parameter", "difference"),
        tuple(_differences(desk, kept)),
        empty="All parameters are as they were.",
    )
    may = table.rows and context.principal.role >= Role.ADMIN
    back = (Button("Roll back", f"/tune rollback {snapshot}"),) if may else ()
    return reply(table, _stands(kept), buttons=(*back, HISTORY))


@command("tune outcomes")
async def tune_outcomes(context: Context, bot: Scope | None = None) -> Reply:
    """What came of the changes: what was expected of each, what was traded since, how it ended.

    Example: /tune outcomes, or /tune outcomes shortseller_001
    """
    desk = context.desk
    columns = ("change", "what", "what_became_of_it", "made", "expected", "came")
    rows = tuple(_outcome(desk, each) for each in _of(desk, bot)[:LISTED])
    table = Table("Outcomes", columns, rows, empty="Nothing was changed yet.")
    return reply(table, buttons=(HISTORY, Button("Studies", "/tune study")))


def _outcome(desk: Desk, change: ParameterChange) -> tuple[Value, ...]:
    expected = Whole(band_words(change.expected)) if change.expected else None
    came = Whole(came_words(change)) if change.expected else None
    what, fate = Whole(changed_words(desk, change)), Whole(fate_words(change))
    return change.change_id, what, fate, Time(change.made_at), expected, came


def _snapshot_row(kept: Snapshot) -> tuple[Value, ...]:
    count = sum(map(len, kept.set_.values()))
    net = sum((stand.net for stand in kept.figures.values()), ZERO)
    named = kept.name or None
    return kept.snapshot_id, named, Time(kept.taken_at), count, Money(net, signed=True)


def _kept(desk: Desk, number: int) -> Snapshot:
    for each in desk.tuning().snapshots:
        if each.snapshot_id == number:
            return each
    raise Refused(f"There is no snapshot {number}. /tune history lists them.")


def _named(kept: Snapshot) -> str:
    return f"{kept.snapshot_id} ({kept.name})" if kept.name else str(kept.snapshot_id)


def _differences(desk: Desk, kept: Snapshot) -> Iterator[tuple[Value, ...]]:
    """Values that are others now, of whatever is on the desk still."""
    for scope in desk.tuning().scopes.values():
        then = kept.values.get(scope.scope, {})
        for name, view in scope.parameters.items():
            if name in then and abs(then[name] - view.value) > view.parameter.step / 2:
                shown = view.parameter.show
                words = f"{shown(then[name])} then, {shown(view.value)} now"
                yield called(scope.scope), name, words


def _stands(kept: Snapshot) -> Table:
    columns = ("bot", "equity", "net", "trades", "won", "drawdown")
    rows = tuple(
        (
            bot_id,
            Money(each.equity),
            Money(each.net, signed=True),
            each.trades,
            each.wins,
            Percent(each.drawdown),
        )
        for bot_id, each in kept.figures.items()
    )
    return Table(f"How the bots stood at {show(Time(kept.taken_at))}", columns, rows)
