"""Parameters as people name them: whose they are, which they are, and their values."""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Annotated

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.tunable import Parameter
from engine.tuning import DESK_SCOPE
from engine.tuning_view import ParameterView
from handlers.arguments import parse_id
from handlers.command import ArgumentType
from handlers.reply import Button, Reply, Text, Time, reply, show

# How the limits of the desk itself are called, beside the bots.
DESK_WORD = "desk"
# A step from the value in force.
STEPS = {"up": 1, "down": -1}
# What may be a value; what is not is told from a reason by that.
_VALUE = re.compile(r"[+-]?\.?\d\S*", re.ASCII)
# What comes after values as name=value, and is none of them.
_OTHERS = ("bot", "reason", "value")
NEAREST = 3


# -- arguments -----------------------------------------------------------------------------


def _names(desk: Desk) -> list[str]:
    """Every parameter there is, those of bots before the desk's own."""
    scopes = desk.tuning().scopes.values()
    return list(dict.fromkeys(name for each in scopes for name in each.parameters))


def _parse_name(field: str, word: str, desk: Desk) -> str:
    name, known = word.lower().replace("-", "_"), _names(desk)
    if name not in known:
        raise BadInput(field, word, nearest(name, known))
    return name


def nearest(name: str, known: Sequence[str]) -> str:
    """What is allowed in the place of a name that nothing has."""
    near = get_close_matches(name.lower(), known, NEAREST)
    return f"what /tune show lists. Nearest: {', '.join(near)}" if near else "what /tune show lists"


def _parse_values(field: str, text: str, desk: Desk) -> str:
    """One name, or several values as name=value."""
    pairs = [word.partition("=") for word in text.lower().split()]
    names = [_parse_name(field, name, desk) for name, _, _ in pairs]
    for name, (_, equals, value) in zip(names, pairs, strict=True):
        if names.count(name) > 1:
            raise BadInput(name, value, "one value")
        if equals and not value:
            raise BadInput(name, value, "name=value")
    return " ".join(
        f"{name}{equals}{value}" for name, (_, equals, value) in zip(names, pairs, strict=True)
    )


def _pairs_span(words: Sequence[str]) -> int:
    """As many words as are name=value; one where the first is a name alone."""
    count = 0
    for word in words:
        name, equals, _ = word.partition("=")
        if not equals or name in _OTHERS:
            break
        count += 1
    return max(count, 1)


def _parse_value(field: str, word: str, desk: Desk) -> str:
    value = word.lower()
    if _VALUE.fullmatch(value) or value in STEPS or value in _choices(desk):
        return value
    example = "a value such as 5, 2% or 24h, or up or down by a step"
    raise BadInput(field, word, f"{example}; /tune show and the name tells what is allowed")


def _choices(desk: Desk) -> set[str]:
    views = (view for each in desk.tuning().scopes.values() for view in each.parameters.values())
    return {word for view in views for word in view.parameter.choices}


def _scopes(desk: Desk) -> list[str]:
    return [*desk.bot_ids, DESK_WORD]


def _parse_scope(field: str, word: str, desk: Desk) -> str:
    if word.lower() in _scopes(desk):
        return word.lower()
    raise BadInput(field, word, ", ".join(_scopes(desk)))


def _parse_change(field: str, word: str, desk: Desk) -> int:
    return parse_id(field, word, "the number of a change, as /tune history lists them")


def _changes(desk: Desk) -> list[str]:
    return [str(each.change_id) for each in desk.tuning().changes]


def _parse_snapshot(field: str, word: str, desk: Desk) -> int:
    """A snapshot's number: by it, or by the name that somebody gave it."""
    for each in desk.tuning().snapshots:
        if each.name and each.name.lower() == word.lower():
            return each.snapshot_id
    allowed = ", ".join(_snapshots(desk)) or "the number of a snapshot; none is kept yet"
    return parse_id(field, word, allowed)


def _snapshots(desk: Desk) -> list[str]:
    """Named ones by their names, the others by their numbers."""
    kept = desk.tuning().snapshots
    named = [each.name for each in kept if each.name]
    return [*named, *(str(each.snapshot_id) for each in kept if not each.name)]


def _parse_snapshot_name(field: str, word: str, desk: Desk) -> str:
    return word.lower()


PARAMETER = ArgumentType("a parameter", _parse_name, _names, changing=True)
VALUES = ArgumentType(
    "a parameter, or several name=value",
    _parse_values,
    _names,
    span=_pairs_span,
    changing=True,
)
VALUE = ArgumentType("a value, or up or down", _parse_value, lambda desk: list(STEPS), numeric=True)
SCOPE = ArgumentType(f"a bot, or {DESK_WORD}", _parse_scope, _scopes, changing=True)
CHANGE = ArgumentType(
    "a change's number", _parse_change, _changes, changing=True, numeric=True, unsaid="the last one"
)
SNAPSHOT = ArgumentType(
    "a snapshot's number or name",
    _parse_snapshot,
    _snapshots,
    changing=True,
    numeric=True,
    missing=lambda desk: f"Which snapshot? Kept: {', '.join(_snapshots(desk)) or 'none'}.",
)
SNAPSHOT_NAME = ArgumentType("a name for it", _parse_snapshot_name, lambda desk: [])

ParameterName = Annotated[str, PARAMETER]
ParameterValues = Annotated[str, VALUES]
ParameterValue = Annotated[str, VALUE]
Scope = Annotated[str, SCOPE]
ChangeId = Annotated[int, CHANGE]
SnapshotId = Annotated[int, SNAPSHOT]
SnapshotName = Annotated[str, SNAPSHOT_NAME]


# -- finding them --------------------------------------------------------------------------


def scope_of(word: str) -> str:
    """The scope that a word names: a bot's id, or that of the desk's own limits."""
    return DESK_SCOPE if word == DESK_WORD else word


def word_of(scope: str) -> str:
    """How a scope is typed."""
    return scope or DESK_WORD


def called(scope: str) -> str:
    """A scope in a sentence."""
    return scope or "the desk"


def parameter_named(desk: Desk, scope: str, name: str) -> Parameter | None:
    """A parameter of a scope; None where one of them is there no more."""
    found = desk.tuning().scopes.get(scope)
    return found.parameters[name].parameter if found and name in found.parameters else None


def view_of(desk: Desk, scope: str, name: str) -> ParameterView:
    """A parameter of a scope as it stands; raises BadInput with the nearest names."""
    known = desk.tuning().scopes[scope].parameters
    if name not in known:
        raise BadInput(f"parameter of {called(scope)}", name, nearest(name, list(known)))
    return known[name]


def which_bot(desk: Desk, bot: str | None, command: str) -> str | Reply:
    """The bot that is meant; where none was named and there are several, a question."""
    return bot or _one_of(desk.bot_ids, command)


def which_scope(desk: Desk, names: Iterable[str], word: str | None, command: str) -> str | Reply:
    """Whose parameters are meant; where several scopes have them and none was named, a question."""
    if word is not None:
        return scope_of(word)
    wanted = set(names)
    scopes = desk.tuning().scopes.values()
    having = [word_of(each.scope) for each in scopes if wanted <= each.parameters.keys()]
    found = _one_of(having, command)
    return found if isinstance(found, Reply) else scope_of(found)


def _one_of(words: Sequence[str], command: str) -> str | Reply:
    if not words:
        raise Refused("Nothing on this desk has that. /tune show lists what can be tuned.")
    if len(words) == 1:
        return words[0]
    buttons = tuple(Button(word, f"{command} bot={word}") for word in words)
    return reply(Text(f"Whose? Say bot= and one of {', '.join(words)}."), buttons=buttons)


# -- their values --------------------------------------------------------------------------


def number_of(view: ParameterView, text: str) -> float:
    """The value that people wrote, or a step from the one in force; raises BadInput."""
    if text in STEPS and text not in view.parameter.choices:
        return view.parameter.stepped(view.value, STEPS[text])
    return view.parameter.parse(text)


def check_reason(desk: Desk, reason: str) -> None:
    """Raise BadInput for a reason that begins as another value does: half of what was meant would
    be set, and the rest be taken for words."""
    name, value, *_ = [*reason.lower().replace("-", "_").split(), "", ""]
    if name in _names(desk) and (_VALUE.fullmatch(value) or value in STEPS):
        raise BadInput("reason", f"{name} {value}", f"several values as {name}={value}")


def today_words(view: ParameterView) -> str:
    """What it may become now, in words."""
    parameter = view.parameter
    if view.rests_until:
        return f"rests until {show(Time(view.rests_until))}"
    if parameter.choices:
        return parameter.allowed
    if view.lowest > view.highest:
        return "nothing else"
    return f"{parameter.show(view.lowest)} to {parameter.show(view.highest)}"


def steps_of(view: ParameterView) -> list[float]:
    """The values one step down and one step up that it may have now."""
    if view.rests_until:
        return []
    found = (view.parameter.stepped(view.value, step) for step in (-1, 1))
    slack = view.parameter.step / 2
    return [
        each
        for each in found
        if abs(each - view.value) > slack and view.lowest - slack < each < view.highest + slack
    ]
