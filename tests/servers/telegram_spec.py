"""What the Bot API knows, read from its published specification: methods, parameters, types."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PLAIN = {
    "Integer": (int,),
    "Float": (int, float),
    "String": (str,),
    "Boolean": (bool,),
    "True": (bool,),
    "InputFile": (str,),
}
# Their values travel as they are; everything else is JSON.
TEXT_TYPES = {"String", "InputFile"}
ARRAY = "Array of "


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a field. `constant` is the one value it may have, where there is one."""

    types: tuple[str, ...]
    required: bool
    constant: str | None = None


Fields = dict[str, Field]


@cache
def specification(folder: Path) -> "Specification":
    """The specification in `folder`, read once."""
    official = json.loads((folder / "api.json").read_text())
    later = json.loads((folder / "bot_api_10.2.aiogram.min.json").read_text())
    return Specification(official, later)


class Specification:
    """Two versions of the Bot API as one: what either of them knows is right."""

    def __init__(self, official: Mapping[str, Any], later: Mapping[str, Any]) -> None:
        self._methods = _merged(official["methods"], later["methods"])
        self._types = _merged(official["types"], later["types"])
        self._subtypes = {
            name: tuple(each["subtypes"])
            for name, each in official["types"].items()
            if "subtypes" in each
        }
        self._results = {name: tuple(each["returns"]) for name, each in official["methods"].items()}

    def knows(self, method: str) -> bool:
        return method in self._methods

    def wrong_call(self, method: str, form: Mapping[str, str], files: Collection[str]) -> list[str]:
        """What is wrong with a call: its parameters as text, and the names of its files."""
        fields = self._methods[method]
        values = {name: _loaded(text, fields.get(name)) for name, text in form.items()}
        own_files = {name: name for name in files if name in fields}
        return self._wrong_fields(own_files | values, fields, method)

    def wrong_result(self, method: str, result: object) -> list[str]:
        """What is wrong with an answer; the answers of the newest methods are not known."""
        types = self._results.get(method)
        return self._wrong(result, types, f"the result of {method}") if types else []

    def wrong_update(self, update: object) -> list[str]:
        """What is wrong with an update."""
        return self._wrong(update, ("Update",), "update")

    def _wrong(self, value: object, types: Iterable[str], where: str) -> list[str]:
        """What is wrong with a value that may have any of `types`: by the one that fits best."""
        found = (self._wrong_as(value, each, where) for each in self._expanded(types))
        return min(found, key=len)

    def _expanded(self, types: Iterable[str]) -> Iterable[str]:
        for each in types:
            if each in self._subtypes:
                yield from self._expanded(self._subtypes[each])
            else:
                yield each

    def _wrong_as(self, value: object, kind: str, where: str) -> list[str]:
        if kind.startswith(ARRAY):
            return self._wrong_array(value, kind.removeprefix(ARRAY), where)
        if kind not in PLAIN:
            return self._wrong_object(value, kind, where)
        is_stray_bool = isinstance(value, bool) and bool not in PLAIN[kind]
        if is_stray_bool or not isinstance(value, PLAIN[kind]):
            return [f"{where}: {value!r} is no {kind}"]
        return []

    def _wrong_array(self, value: object, kind: str, where: str) -> list[str]:
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no {ARRAY}{kind}"]
        return [
            problem
            for index, each in enumerate(value)
            for problem in self._wrong(each, (kind,), f"{where}[{index}]")
        ]

    def _wrong_object(self, value: object, kind: str, where: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is no {kind}"]
        return self._wrong_fields(value, self._types[kind], where)

    def _wrong_fields(self, values: Mapping[str, Any], fields: Fields, where: str) -> list[str]:
        problems = [f"{where}: {name!r} is not known" for name in values if name not in fields]
        for name, field in fields.items():
            if name in values:
                problems += self._wrong_field(values[name], field, f"{where}.{name}")
            elif field.required:
                problems.append(f"{where}: {name!r} is missing")
        return problems

    def _wrong_field(self, value: object, field: Field, where: str) -> list[str]:
        if field.constant is not None and value != field.constant:
            return [f"{where}: {value!r} is not {field.constant!r}"]
        return self._wrong(value, field.types, where)


def _merged(official: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Fields]:
    """Fields by method or type. A field is required where both versions say so."""
    merged: dict[str, Fields] = {}
    for name in official.keys() | later.keys():
        known = {each["name"]: _official(each) for each in official.get(name, {}).get("fields", ())}
        newer = {each["name"]: _later(each) for each in later.get(name, ())}
        merged[name] = {
            each: _either(known.get(each), newer.get(each)) for each in known.keys() | newer.keys()
        }
    return merged


def _official(field: Mapping[str, Any]) -> Field:
    constant = re.search(r"(?:must be|always) \W?(\w+)\W?$", field["description"])
    is_kind = field["name"] in {"type", "status", "source"}
    return Field(
        tuple(field["types"]),
        field["required"],
        constant[1] if constant and is_kind else None,
    )


def _later(field: Mapping[str, Any]) -> Field:
    """`Array of A, B and C` is an array of one of them."""
    depth = field["type"].count(ARRAY)
    names = re.split(r", | or | and ", field["type"].removeprefix(ARRAY * depth))
    return Field(tuple(ARRAY * depth + each for each in names), field["required"])


def _either(known: Field | None, newer: Field | None) -> Field:
    """Both versions' word on a field; one that lacks it can't require it."""
    both = [each for each in (known, newer) if each is not None]
    types = dict.fromkeys(kind for each in both for kind in each.types)
    required = len(both) == 2 and all(each.required for each in both)
    return Field(tuple(types), required, both[0].constant)


def _loaded(text: str, field: Field | None) -> object:
    """A parameter's value, which comes as text; what is no JSON stays text, and is refused."""
    if field is None or TEXT_TYPES & set(field.types):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
