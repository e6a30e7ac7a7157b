"""What a chat offers while somebody types an option: values, each with words that tell it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.desk import Desk
from engine.tuning import DESK_SCOPE
from engine.tuning_view import ParameterView, ScopeView
from handlers.cards import LIGHTS
from handlers.command import Argument, ArgumentType
from handlers.parameters import (
    CHANGE,
    PARAMETER,
    SNAPSHOT,
    STEPS,
    VALUE,
    VALUES,
    scope_of,
    steps_of,
    today_words,
)
from handlers.reply import Time, show
from handlers.tuning_pages import changed_words


class Choice(NamedTuple):
    """A value, and the words that it is offered by."""

    value: str
    words: str


# What somebody has typed into the other options, by their names.
Said = Mapping[str, str]


def offered(argument: Argument, desk: Desk, said: Said, typed: str) -> list[Choice]:
    """The choices for an option that fit what is `typed` into it so far."""
    telling = TELLING.get(argument.type)
    plain = (Choice(value, value) for value in argument.type.choices(desk))
    found = plain if telling is None else telling(desk, said)
    wanted = typed.lower()
    return [each for each in found if wanted in f"{each.value} {each.words}".lower()]


# -- parameters ----------------------------------------------------------------------------


def _names(desk: Desk, said: Said) -> Iterator[Choice]:
    """Parameters of the bot that was chosen, or of all, each once: tier, value and bounds."""
    known = set[str]()
    for scope in _scopes(desk, said):
        for name, view in scope.parameters.items():
            if name not in known:
                known.add(name)
                yield Choice(name, _told(name, view))


def _told(name: str, view: ParameterView) -> str:
    parameter = view.parameter
    light = LIGHTS[parameter.tier]
    now = today_words(view)
    today = "" if now == parameter.allowed else f"; now {now}"
    return f"{light} {name} is {parameter.show(view.value)} ({parameter.allowed}{today})"


def _scopes(desk: Desk, said: Said) -> Sequence[ScopeView]:
    """Whose parameters are meant: those of the bot that was chosen; else all, bots before desk."""
    scopes = desk.tuning().scopes
    chosen = scopes.get(scope_of(said["bot"].lower())) if said.get("bot") else None
    if chosen is not None:
        return [chosen]
    return sorted(scopes.values(), key=lambda each: each.scope == DESK_SCOPE)


def _values(desk: Desk, said: Said) -> Iterator[Choice]:
    """Values for the parameter that was chosen: a step down and up, the bounds of now, all
    choices."""
    name = said.get("name", "").lower()
    view = next((s.parameters[name] for s in _scopes(desk, said) if name in s.parameters), None)
    if view is None:
        yield from (Choice(word, f"{word}: by a step") for word in STEPS)
        return
    shown: dict[str, str] = {}
    for value, words in _steps_and_bounds(view):
        shown.setdefault(view.parameter.show(value), words)
    yield from (Choice(value, f"{value}: {words}") for value, words in shown.items())


def _steps_and_bounds(view: ParameterView) -> Iterator[tuple[float, str]]:
    parameter, now = view.parameter, today_words(view)
    if view.rests_until:
        yield view.value, f"as it is; {now}"
        return
    if parameter.choices:
        for place in range(len(parameter.choices)):
            yield float(place), "as it is" if place == view.value else "instead"
        return
    for value in steps_of(view):
        yield value, "a step up" if value > view.value else "a step down"
    yield view.value, f"as it is, in steps of {parameter.show(parameter.step)}"
    if view.lowest <= view.highest:
        yield view.lowest, f"the least now; bounds {parameter.show(parameter.low)}"
        yield view.highest, f"the most now; bounds {parameter.show(parameter.high)}"


# -- what was ------------------------------------------------------------------------------


def _changes(desk: Desk, said: Said) -> Iterator[Choice]:
    for each in desk.tuning().changes:
        number = str(each.change_id)
        yield Choice(number, f"{number}: {changed_words(desk, each)}, by {each.author}")


def _snapshots(desk: Desk, said: Said) -> Iterator[Choice]:
    """Named ones first, by their names."""
    for each in sorted(desk.tuning().snapshots, key=lambda kept: not kept.name):
        value = each.name or str(each.snapshot_id)
        yield Choice(value, f"{value}: taken {show(Time(each.taken_at))}")


TELLING: Mapping[ArgumentType, Callable[[Desk, Said], Iterator[Choice]]] = {
    PARAMETER: _names,
    VALUES: _names,
    VALUE: _values,
    CHANGE: _changes,
    SNAPSHOT: _snapshots,
}
