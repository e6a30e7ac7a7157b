"""What Discord refuses: bodies against its published description, and its documented limits."""

import json
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT202012

Json = dict[str, Any]
Place = tuple[str | int, ...]

COMMANDS_MAX = 100
OPTIONS_MAX = 25
COMMAND_CHARACTERS_MAX = 8000
EMBED_CHARACTERS_MAX = 6000
COMPONENTS_V2 = 1 << 15

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT, LABEL = 1, 2, 3, 4, 18
SELECTS = (STRING_SELECT, 5, 6, 7, 8)
LINK_STYLE, PREMIUM_STYLE = 5, 6
SUBCOMMAND, SUBCOMMAND_GROUP = 1, 2

EMBED_LENGTHS = {"title": 256, "description": 4096}
SELECT_OPTION_LENGTHS = {"label": 100, "value": 100, "description": 100}


class Problem(NamedTuple):
    """One complaint about a body: where, Discord's code for it, and its words."""

    place: Place
    code: str
    message: str


def error_tree(problems: Sequence[Problem]) -> Json:
    """The problems as the `errors` of a 50035, nested by place."""
    tree: Json = {}
    for problem in problems:
        node = tree
        for step in problem.place:
            node = node.setdefault(str(step), {})
        error = {"code": problem.code, "message": problem.message}
        node.setdefault("_errors", []).append(error)
    return tree


class Description:
    """Discord's OpenAPI document: which calls there are, and what they carry."""

    def __init__(self, document: Json) -> None:
        self.paths: Mapping[str, Json] = document["paths"]
        # Discord takes ids as strings and as numbers, but tells them as strings only.
        schemas = document["components"]["schemas"]
        taken = schemas | {"SnowflakeType": {"type": ["string", "integer"], "minimum": 0}}
        taken_document = document | {"components": document["components"] | {"schemas": taken}}
        self._registry: Registry[Any] = Registry().with_resources(
            [
                ("urn:request", DRAFT202012.create_resource(taken_document)),
                ("urn:answer", DRAFT202012.create_resource(document)),
            ]
        )

    def methods(self, template: str) -> set[str]:
        return {name.upper() for name in self.paths.get(template, {}) if name != "parameters"}

    def request_problems(self, method: str, template: str, body: Any) -> list[Problem]:
        """What is wrong with a request's JSON; a body where none is described is a problem."""
        place = (template, method.lower(), "requestBody", "content", "application/json", "schema")
        if "requestBody" not in self.paths[template][method.lower()]:
            extra = Problem((), "BASE_TYPE_UNEXPECTED", "This call takes no body.")
            return [extra] if body is not None else []
        return self._problems("urn:request", place, body)

    def answer_problems(self, method: str, template: str, status: int, body: Any) -> list[Problem]:
        """What is wrong with an answer's JSON."""
        answers = self.paths[template][method.lower()]["responses"]
        key = str(status) if str(status) in answers else f"{status // 100}XX"
        if key not in answers:
            return [Problem((), "STATUS_UNEXPECTED", f"{status} is not described.")]
        if "content" not in answers[key]:
            return []
        place = (template, method.lower(), "responses", key)
        place = (*place, "content", "application/json", "schema")
        return self._problems("urn:answer", place, body)

    def _problems(self, document: str, place: Place, body: Any) -> list[Problem]:
        steps = (str(step).replace("~", "~0").replace("/", "~1") for step in ("paths", *place))
        schema = {"$ref": f"{document}#/" + "/".join(steps)}
        validator = Draft202012Validator(schema, registry=self._registry)
        worst = best_match(validator.iter_errors(body))
        return [_problem(worst)] if worst else []


@cache
def read_description(folder: Path) -> Description:
    """The description in a folder that holds Discord's `openapi.json`."""
    return Description(json.loads((folder / "openapi.json").read_text(encoding="utf-8")))


def _problem(error: ValidationError) -> Problem:
    place, wanted = tuple(error.absolute_path), error.validator_value
    match error.validator:
        case "required":
            missing = next(name for name in wanted if name not in error.instance)
            return Problem((*place, missing), "BASE_TYPE_REQUIRED", "This field is required")
        case "maxLength" | "maxItems":
            words = f"Must be {wanted} or fewer in length."
            return Problem(place, "BASE_TYPE_MAX_LENGTH", words)
        case "minLength" | "minItems":
            words = f"Must be {wanted} or more in length."
            return Problem(place, "BASE_TYPE_MIN_LENGTH", words)
        case _:
            return Problem(place, "BASE_TYPE_INVALID", error.message)


def message_problems(body: Json, place: Place = ()) -> list[Problem]:
    """Documented limits on a message, or on the message part of an interaction's answer."""
    return [
        *_length((*place, "content"), body.get("content"), 0, 2000),
        *_embeds((*place, "embeds"), body.get("embeds") or ()),
        *_components((*place, "components"), body),
    ]


def _length(place: Place, value: Any, low: int, high: int) -> Iterator[Problem]:
    if value is None or low <= len(value) <= high:
        return
    if low == 0:
        yield Problem(place, "BASE_TYPE_MAX_LENGTH", f"Must be {high} or fewer in length.")
    else:
        words = f"Must be between {low} and {high} in length."
        yield Problem(place, "BASE_TYPE_BAD_LENGTH", words)


def _embeds(place: Place, embeds: Sequence[Json]) -> Iterator[Problem]:
    yield from _length(place, embeds, 0, 10)
    for index, embed in enumerate(embeds):
        yield from _embed((*place, index), embed)
    if sum(len(text) for embed in embeds for text in _embed_texts(embed)) > EMBED_CHARACTERS_MAX:
        words = f"Embed size exceeds maximum size of {EMBED_CHARACTERS_MAX}"
        yield Problem(place, "MAX_EMBED_SIZE_EXCEEDED", words)


def _embed(place: Place, embed: Json) -> Iterator[Problem]:
    for key, high in EMBED_LENGTHS.items():
        yield from _length((*place, key), embed.get(key), 0, high)
    yield from _length((*place, "footer", "text"), (embed.get("footer") or {}).get("text"), 0, 2048)
    yield from _length((*place, "author", "name"), (embed.get("author") or {}).get("name"), 0, 256)
    fields = embed.get("fields") or ()
    yield from _length((*place, "fields"), fields, 0, 25)
    for index, field in enumerate(fields):
        for key, high in (("name", 256), ("value", 1024)):
            here = (*place, "fields", index, key)
            if not field.get(key):
                yield Problem(here, "BASE_TYPE_REQUIRED", "This field is required")
            yield from _length(here, field.get(key), 0, high)


def _embed_texts(embed: Json) -> Iterator[str]:
    yield embed.get("title") or ""
    yield embed.get("description") or ""
    yield (embed.get("footer") or {}).get("text") or ""
    yield (embed.get("author") or {}).get("name") or ""
    for field in embed.get("fields") or ():
        yield field.get("name", "") + field.get("value", "")


def walk(components: Sequence[Json]) -> Iterator[Json]:
    """Every component, and those within it."""
    for component in components:
        yield component
        yield from walk(component.get("components") or ())
        for key in ("component", "accessory"):
            if inner := component.get(key):
                yield from walk([inner])


def _components(place: Place, body: Json) -> Iterator[Problem]:
    components = body.get("components") or ()
    yield from _custom_ids(place, components)
    if (body.get("flags") or 0) & COMPONENTS_V2:
        if sum(1 for _ in walk(components)) > 40:
            yield Problem(place, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 40 in length.")
        for key in ("content", "embeds"):
            if body.get(key):
                words = f"The '{key}' field cannot be used with MessageFlags.IS_COMPONENTS_V2"
                yield Problem((*place[:-1], key), "MESSAGE_CANNOT_USE_LEGACY_FIELDS", words)
    else:
        yield from _rows(place, components)


def _rows(place: Place, rows: Sequence[Json]) -> Iterator[Problem]:
    yield from _length(place, rows, 0, 5)
    for index, row in enumerate(rows):
        here = (*place, index)
        if row.get("type") != ACTION_ROW:
            yield Problem((*here, "type"), "BASE_TYPE_CHOICES", "Value must be one of (1,).")
            continue
        children = row.get("components") or []
        yield from _length((*here, "components"), children, 1, 5)
        if len(children) > 1 and any(child.get("type") in SELECTS for child in children):
            words = "The specified component exceeds the maximum width"
            yield Problem((*here, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", words)
        for at, child in enumerate(children):
            yield from _control((*here, "components", at), child)


def _control(place: Place, control: Json) -> Iterator[Problem]:
    """A button or a select."""
    yield from _length((*place, "label"), control.get("label"), 0, 80)
    linked = control.get("type") == BUTTON and control.get("style") in (LINK_STYLE, PREMIUM_STYLE)
    if not linked and control.get("custom_id") is None:
        yield Problem((*place, "custom_id"), "BASE_TYPE_REQUIRED", "A custom id is required")
    if control.get("type") == STRING_SELECT:
        options = control.get("options") or []
        yield from _length((*place, "options"), options, 1, OPTIONS_MAX)
        yield from _length((*place, "placeholder"), control.get("placeholder"), 0, 150)
        for index, option in enumerate(options):
            for key, high in SELECT_OPTION_LENGTHS.items():
                yield from _length((*place, "options", index, key), option.get(key), 0, high)


def _custom_ids(place: Place, components: Sequence[Json]) -> Iterator[Problem]:
    ids = [c["custom_id"] for c in walk(components) if c.get("custom_id") is not None]
    for custom_id in ids:
        yield from _length((*place, "custom_id"), custom_id, 1, 100)
    if len(ids) != len(set(ids)):
        words = "Component custom id cannot be duplicated"
        yield Problem(place, "COMPONENT_CUSTOM_ID_DUPLICATED", words)


def modal_problems(modal: Json, place: Place = ()) -> list[Problem]:
    """Documented limits on a modal."""
    return list(_modal(modal, place))


def _modal(modal: Json, place: Place) -> Iterator[Problem]:
    components = modal.get("components") or []
    yield from _length((*place, "title"), modal.get("title") or "", 1, 45)
    yield from _length((*place, "custom_id"), modal.get("custom_id") or "", 1, 100)
    yield from _length((*place, "components"), components, 1, 5)
    yield from _custom_ids((*place, "components"), components)
    for index, row in enumerate(components):
        here = (*place, "components", index)
        if row.get("type") == LABEL:
            yield from _length((*here, "label"), row.get("label") or "", 1, 45)
            yield from _length((*here, "description"), row.get("description"), 0, 100)
        elif row.get("type") == ACTION_ROW:
            yield from _length((*here, "components"), row.get("components") or [], 1, 1)
        for control in walk([row]):
            if control.get("type") == TEXT_INPUT:
                yield from _text_input(here, control, labelled=row.get("type") == LABEL)


def _text_input(place: Place, control: Json, labelled: bool) -> Iterator[Problem]:
    if not labelled:
        yield from _length((*place, "label"), control.get("label") or "", 1, 45)
    yield from _length((*place, "placeholder"), control.get("placeholder"), 0, 100)
    yield from _length((*place, "value"), control.get("value"), 0, 4000)


def choice_problems(choices: Sequence[Json], place: Place = ()) -> list[Problem]:
    """Documented limits on choices, of an option or of an autocompletion."""
    found = list(_length(place, choices, 0, OPTIONS_MAX))
    for index, choice in enumerate(choices):
        found += _length((*place, index, "name"), choice.get("name") or "", 1, 100)
        if isinstance(choice.get("value"), str):
            found += _length((*place, index, "value"), choice["value"], 1, 100)
    return found


def command_problems(commands: Sequence[Json], place: Place = ()) -> list[Problem]:
    """Documented limits on slash commands, by their index."""
    return [
        problem
        for index, command in enumerate(commands)
        if command.get("type") in (None, 1)
        for problem in _command((*place, index), command)
    ]


def _command(place: Place, command: Json) -> Iterator[Problem]:
    yield from _described(place, command)
    if _characters(command) > COMMAND_CHARACTERS_MAX:
        words = f"Command exceeds maximum size ({COMMAND_CHARACTERS_MAX})"
        yield Problem(place, "APPLICATION_COMMAND_TOO_LARGE", words)


def _described(place: Place, thing: Json) -> Iterator[Problem]:
    """A command or an option, and the options within it."""
    if not _is_name(thing.get("name") or ""):
        words = "Command name is invalid"
        yield Problem((*place, "name"), "APPLICATION_COMMAND_INVALID_NAME", words)
    yield from _length((*place, "description"), thing.get("description") or "", 1, 100)
    options = thing.get("options") or []
    yield from _length((*place, "options"), options, 0, OPTIONS_MAX)
    yield from _order((*place, "options"), options)
    yield from choice_problems(thing.get("choices") or (), (*place, "choices"))
    if thing.get("choices") and thing.get("autocomplete"):
        words = "Autocomplete and choices cannot be used together"
        yield Problem((*place, "choices"), "APPLICATION_COMMAND_OPTION_CHOICES_INVALID", words)
    for index, option in enumerate(options):
        yield from _described((*place, "options", index), option)


def _order(place: Place, options: Sequence[Json]) -> Iterator[Problem]:
    required = [bool(option.get("required")) for option in options]
    if required != sorted(required, reverse=True):
        words = "Required options must be placed before non-required options"
        yield Problem(place, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", words)
    if any(times > 1 for times in Counter(option.get("name") for option in options).values()):
        words = "Option names must be unique"
        yield Problem(place, "APPLICATION_COMMAND_OPTION_NAME_ALREADY_EXISTS", words)
    groups = {option.get("type") in (SUBCOMMAND, SUBCOMMAND_GROUP) for option in options}
    if len(groups) > 1:
        words = "Sub-command and sub-command group option types are mutually exclusive"
        yield Problem(place, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", words)


def _is_name(name: str) -> bool:
    allowed = all(c in "-_'" or unicodedata.category(c)[0] in "LN" for c in name)
    return 1 <= len(name) <= 32 and allowed and name == name.lower()


def _characters(thing: Json) -> int:
    own = len(thing.get("name") or "") + len(thing.get("description") or "")
    choices = sum(len(c["name"]) + len(str(c["value"])) for c in thing.get("choices") or ())
    return own + choices + sum(_characters(option) for option in thing.get("options") or ())
