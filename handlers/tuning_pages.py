"""What /tune shows: the parameters of a bot or of the desk, and the whole story of one."""

from collections.abc import Iterator, Sequence

from engine.desk import Desk
from engine.people import Role
from engine.plans import value_of
from engine.tunable import Parameter, Unit, duration_words
from engine.tuning import DESK_SCOPE, Moved, ParameterChange
from engine.tuning_view import ParameterView, ScopeView
from handlers.cards import LIGHTS
from handlers.command import Context
from handlers.parameters import (
    called,
    parameter_named,
    steps_of,
    today_words,
    view_of,
    word_of,
)
from handlers.reply import Button, Fields, Reply, Table, Text, Time, Value, Whole, reply
from handlers.tuning_cards import HISTORY, OUTCOMES
from handlers.tuning_studies import comparison_words, progress_line

# Changes of one parameter that its page tells.
STORY = 5
UNITS = {Unit.BARS: " bars", Unit.MONEY: " USDT", Unit.HOUR: ":00 UTC"}


# -- all of a scope ------------------------------------------------------------------------


def scope_page(desk: Desk, scope: str) -> Reply:
    """All parameters of a bot, or of the desk's own limits."""
    found = desk.tuning().scopes[scope]
    run = (Button("Search", f"/tune run {scope}"),) if scope else ()
    return reply(
        *map(Text, _standing(desk, scope)),
        _parameters(desk, found),
        Text("/tune show and a name tells all about one, and changes it by a step."),
        buttons=(*run, HISTORY, OUTCOMES),
    )


def _standing(desk: Desk, scope: str) -> Iterator[str]:
    """How tuning stands, before the numbers."""
    view = desk.tuning()
    if view.stopped:
        yield f"Tuning is stopped: {view.stopped}. People may still set values by hand."
    if view.losing:
        yield f"Nothing is loosened by itself now: {view.losing}."
    if scope == DESK_SCOPE:
        return
    yield from (progress_line(each) for each in desk.tuner.open() if each.bot_id == scope)
    if compared := desk.tuner.compared(scope):
        yield comparison_words(compared)


def _parameters(desk: Desk, found: ScopeView) -> Table:
    columns = ("parameter", "value", "comes_from", "allowed", "tier")
    rows = tuple(_row(desk, found.scope, each) for each in found.parameters.values())
    return Table(f"Parameters of {called(found.scope)}", columns, rows)


def _row(desk: Desk, scope: str, view: ParameterView) -> tuple[Value, ...]:
    parameter = view.parameter
    return (
        parameter.name,
        _shown(view, view.value),
        _origin(view, _default(desk, scope, parameter)),
        _allowed(view),
        str(parameter.tier),
    )


def _origin(view: ParameterView, default: float) -> str:
    """Whose a value is, and what it would be else: a phone shows no heads of columns."""
    if view.is_set:
        return f"set here, {_shown(view, view.base)} in the settings"
    return "default" if view.base == default else f"settings, default {_shown(view, default)}"


def _allowed(view: ParameterView) -> str:
    now = today_words(view)
    if view.parameter.choices or view.rests_until:
        return now
    low, high = map(view.parameter.show, (view.parameter.low, view.parameter.high))
    return f"now {now}, of {low} to {high}"


def _default(desk: Desk, scope: str, parameter: Parameter) -> float:
    """What it is where no settings say otherwise: of a bot, what its strategy says."""
    run = {bot.bot_id: desk.strategies.get(bot.strategy) for bot in desk.view().bots}
    strategy = run.get(scope)
    return parameter.default if strategy is None else value_of(strategy, parameter.name)


def _shown(view: ParameterView, value: float) -> str:
    return f"{view.parameter.show(value)}{UNITS.get(view.parameter.unit, '')}"


# -- one parameter -------------------------------------------------------------------------


def parameter_page(context: Context, scope: str, name: str) -> Reply:
    """The whole story of one parameter; whoever may change it has buttons for a step."""
    desk, view = context.desk, view_of(context.desk, scope, name)
    changes = [
        each
        for each in desk.tuning().changes
        if any((part.scope, part.name) == (scope, name) for part in each.moved)
    ]
    may = context.principal.role >= Role.TRADER
    steps = _step_buttons(scope, view) if may else ()
    undo = undo_buttons(view) if may else ()
    history = Button("History", f"/tune history {word_of(scope)}")
    table = changes_table(desk, changes[:STORY])
    return reply(
        Fields(f"{name} of {called(scope)}", _facts(desk, scope, view)),
        *([table] if changes else []),
        buttons=(*steps, *undo, history),
    )


def _facts(desk: Desk, scope: str, view: ParameterView) -> dict[str, Value]:
    parameter, found = view.parameter, view.setting
    reach = "anywhere" if parameter.choices else parameter.show(parameter.reach)
    facts: dict[str, Value] = {
        "what": parameter.words,
        "value": _shown(view, view.value),
        "settings": _shown(view, view.base),
        "default": _shown(view, _default(desk, scope, parameter)),
        "bounds": parameter.allowed,
        "now_allowed": today_words(view),
        "within_a_day": reach,
        "rests_after_a_change": duration_words(parameter.cooldown_ms),
        "tier": str(parameter.tier),
    }
    if found is None:
        return facts | {"set_by": "nobody: it is what the settings say"}
    said = f" ({found.reason})" if found.reason else ""
    back = "back to the settings by " if found.is_base else ""
    return facts | {
        "set_by": f"{back}{found.author}{said}",
        "since": Time(found.changed_at),
        "version": found.version,
    }


def _step_buttons(scope: str, view: ParameterView) -> tuple[Button, ...]:
    """A step down and a step up, with the values that they lead to on their labels."""
    name, light = view.parameter.name, LIGHTS[view.parameter.tier]
    return tuple(
        Button(
            f"{light} {'▲' if value > view.value else '▼'} {view.parameter.show(value)}",
            f"/tune set {name} {view.parameter.show(value)} bot={word_of(scope)}",
        )
        for value in steps_of(view)
    )


def undo_buttons(view: ParameterView) -> tuple[Button, ...]:
    """What takes back its last change, where somebody's value is in force."""
    if view.setting is None or view.setting.is_base:
        return ()
    return (Button("Undo", f"/undo {view.setting.change_id}"),)


# -- changes -------------------------------------------------------------------------------


def changes_table(desk: Desk, changes: Sequence[ParameterChange]) -> Table:
    """Changes, newest first, a row for each value: what moved, who did it, and why."""
    columns = ("change", "what", "whose", "when", "by", "why")
    rows = tuple(
        (
            each.change_id,
            Whole(_moved(desk, moved)),
            called(moved.scope),
            Time(each.made_at),
            each.author,
            each.reason or None,
        )
        for each in changes
        for moved in each.moved
    )
    return Table("Changes", columns, rows, empty="Nothing was changed yet.")


def changed_words(desk: Desk, change: ParameterChange) -> str:
    """What a change moved: `shortseller_001: leverage 2 to 3, fast 10 to 8`."""
    parts = []
    for scope in change.scopes:
        moved = [_moved(desk, each) for each in change.moved if each.scope == scope]
        parts.append(f"{called(scope)}: {', '.join(moved)}")
    return "; ".join(parts)


def _moved(desk: Desk, moved: Moved) -> str:
    parameter = parameter_named(desk, moved.scope, moved.name)
    if parameter is None:
        return f"{moved.name} {moved.before:.10g} to {moved.after:.10g}"
    return f"{moved.name} {parameter.show(moved.before)} to {parameter.show(moved.after)}"
