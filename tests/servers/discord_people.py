"""What Discord's own client sends when people act, and what it does not let them do."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.servers.discord_schema import (
    BUTTON,
    LABEL,
    SUBCOMMAND,
    SUBCOMMAND_GROUP,
    TEXT_INPUT,
    Json,
    walk,
)

STRING, INTEGER, BOOLEAN, NUMBER = 3, 4, 5, 10
TYPES: dict[int, tuple[type, ...]] = {
    STRING: (str,),
    INTEGER: (int,),
    BOOLEAN: (bool,),
    NUMBER: (int, float),
}


class Impossible(ValueError):
    """Something that Discord's client does not let a person do."""


def find_command(commands: Sequence[Json], name: str) -> Json:
    """The registered command with this name."""
    for command in commands:
        if command["name"] == name and command["type"] == 1:
            return command
    raise Impossible(f"command {name!r} is not registered, only {_names(commands)}")


def command_data(
    command: Json,
    values: Mapping[str, Any],
    subcommand: str | None,
    focused: str | None = None,
) -> Json:
    """The `data` of an interaction: a command with options, where one may be `focused`."""
    path = subcommand.split() if subcommand else []
    options = _nested(command, path, values, focused)
    data: Json = {"id": command["id"], "name": command["name"], "type": 1}
    if guild := command.get("guild_id"):
        data["guild_id"] = guild
    return data | ({"options": options} if options else {})


def _nested(
    thing: Json, path: Sequence[str], values: Mapping[str, Any], focused: str | None
) -> list[Json]:
    known: list[Json] = thing.get("options") or []
    inner = [option for option in known if option["type"] in (SUBCOMMAND, SUBCOMMAND_GROUP)]
    if not path:
        if inner:
            raise Impossible(f"{thing['name']!r} needs a subcommand: one of {_names(inner)}")
        return list(_options(thing["name"], known, values, focused))
    for option in inner:
        if option["name"] == path[0]:
            options = _nested(option, path[1:], values, focused)
            return [{"type": option["type"], "name": option["name"], "options": options}]
    raise Impossible(f"{thing['name']!r} has no subcommand {path[0]!r}, only {_names(inner)}")


def _options(
    name: str, known: Sequence[Json], values: Mapping[str, Any], focused: str | None
) -> Iterator[Json]:
    for given in values:
        if given not in {option["name"] for option in known}:
            raise Impossible(f"{name!r} has no option {given!r}, only {_names(known)}")
    for option in known:
        if option["name"] in values:
            yield _filled(option, values[option["name"]], focused == option["name"])
        elif option.get("required") and focused is None:
            raise Impossible(f"{name!r} needs the option {option['name']!r}")


def _filled(option: Json, value: Any, focused: bool) -> Json:
    shown: Json = {"type": option["type"], "name": option["name"], "value": value}
    if focused:
        if not option.get("autocomplete"):
            raise Impossible(f"option {option['name']!r} is not autocompleted")
        return shown | {"focused": True}
    if option["type"] not in TYPES:
        raise Impossible(f"options of type {option['type']} can't be filled in here")
    fits = isinstance(value, TYPES[option["type"]])
    if not fits or (isinstance(value, bool) and option["type"] != BOOLEAN):
        raise Impossible(f"option {option['name']!r} of type {option['type']} can't be {value!r}")
    _refuse_bounds(option, value)
    return shown


def _refuse_bounds(option: Json, value: Any) -> None:
    """Raise Impossible for a value that the option's choices and bounds leave out."""
    choices = [choice["value"] for choice in option.get("choices") or ()]
    if choices and value not in choices:
        raise Impossible(f"option {option['name']!r} can't be {value!r}, only one of {choices}")
    size = len(value) if isinstance(value, str) else value
    unit = "length" if isinstance(value, str) else "value"
    low, high = option.get(f"min_{unit}"), option.get(f"max_{unit}")
    if (low is not None and size < low) or (high is not None and size > high):
        raise Impossible(f"option {option['name']!r}: {value!r} is not within {low} to {high}")


def pressed(control: Json, values: Sequence[str] | None) -> Json:
    """The `data` of a pressed button, or of a select with these values chosen."""
    if control.get("disabled"):
        raise Impossible(f"{control['custom_id']!r} is disabled")
    data: Json = {"component_type": control["type"], "custom_id": control["custom_id"]}
    if control["type"] == BUTTON:
        return data
    known = [option["value"] for option in control.get("options") or ()]
    chosen = list(values or ())
    if control["type"] == 3 and not set(chosen) <= set(known):
        raise Impossible(f"{control['custom_id']!r} has {known}, not all of {chosen}")
    return data | {"values": chosen}


def submitted(modal: Json, values: Mapping[str, str]) -> Json:
    """The `data` of a modal that was filled in; what is not named stays as it was offered."""
    inputs = [c for c in walk(modal["components"]) if c["type"] == TEXT_INPUT]
    known = {control["custom_id"] for control in inputs}
    if unknown := values.keys() - known:
        raise Impossible(f"the modal has no {sorted(unknown)}, only {sorted(known)}")
    rows = [_submitted_row(row, values) for row in modal["components"]]
    return {"custom_id": modal["custom_id"], "components": rows}


def _submitted_row(row: Json, values: Mapping[str, str]) -> Json:
    if row["type"] == LABEL:
        return {"type": LABEL, "id": row.get("id") or 1, "component": _typed(row, values)}
    if not row.get("components"):
        return {"type": row["type"], "id": row.get("id") or 1}
    return {"type": row["type"], "id": row.get("id") or 1, "components": [_typed(row, values)]}


def _typed(row: Json, values: Mapping[str, str]) -> Json:
    control: Json = row["component"] if row["type"] == LABEL else row["components"][0]
    name = control["custom_id"]
    value = values.get(name, control.get("value") or "")
    low, high = control.get("min_length") or 0, control.get("max_length") or 4000
    if not value and control.get("required") is not False:
        raise Impossible(f"the modal's {name!r} must be filled in")
    if value and not low <= len(value) <= high:
        raise Impossible(f"the modal's {name!r} takes {low} to {high} characters: {value!r}")
    return {"type": TEXT_INPUT, "id": control.get("id") or 2, "custom_id": name, "value": value}


def _names(things: Sequence[Json]) -> list[str]:
    return [thing["name"] for thing in things]
