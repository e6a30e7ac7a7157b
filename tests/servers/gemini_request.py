"""What came in at the local Gemini, in one spelling.

Google takes names in camelCase and in snake_case, and enums as words in any case or as numbers;
what is checked and kept here has them as the documentation does.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.servers.gemini_refusals import Json, not_the_protocol

# Characters to a token; Google's own rule of thumb for English.
TOKEN_CHARS = 4
TYPES = (
    "TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL",
)  # fmt: skip
MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
UNCOUNTED = {"role", "thoughtSignature"}
# What stands below these is the caller's own, and has the caller's names.
FREE = {
    "args", "functionResponse.response", "parametersJsonSchema", "responseJsonSchema",
    "partMetadata", "default", "example", "enum",
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """A request to generate content: `body` is what came, in one spelling."""

    model: str
    method: str
    body: Json
    sse: bool = False

    @property
    def contents(self) -> list[Json]:
        return self.body.get("contents", [])

    @property
    def config(self) -> Json:
        return self.body.get("generationConfig", {})

    @property
    def system(self) -> str:
        return words(self.body.get("systemInstruction", {}))

    @property
    def text(self) -> str:
        """The words of the last turn that has any from the user."""
        said = [words(each) for each in self.contents if each.get("role", "user") == "user"]
        return next((each for each in reversed(said) if each), "")

    @property
    def schema(self) -> Json | None:
        """What the answer's JSON must look like."""
        return self.config.get("responseJsonSchema", self.config.get("responseSchema"))

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of the functions that the model is told of."""
        return tuple(each["name"] for each in declarations(self.body))

    @property
    def results(self) -> list[Json]:
        """What functions said, in the last turn: each with name and response, maybe an id."""
        parts = self.contents[-1].get("parts", []) if self.contents else []
        return [each["functionResponse"] for each in parts if "functionResponse" in each]

    @property
    def tokens(self) -> int:
        return tokens(self.body.get("systemInstruction"), self.contents, self.body.get("tools"))


def words(content: Json) -> str:
    return "".join(each.get("text", "") for each in content.get("parts", []))


def declarations(body: Json) -> Iterator[Json]:
    for tool in body.get("tools", []):
        yield from tool.get("functionDeclarations", [])


def tokens(*things: object) -> int:
    """About how many tokens things are: names and marks of JSON are none."""
    return math.ceil(sum(_chars(each) for each in things) / TOKEN_CHARS)


def _chars(thing: object) -> int:
    if isinstance(thing, dict):
        return sum(_chars(each) for name, each in thing.items() if name not in UNCOUNTED)
    if isinstance(thing, list):
        return sum(_chars(each) for each in thing)
    return 0 if thing is None else len(str(thing))


def parsed(text: bytes) -> Json:
    """The JSON object of a request's body; Refused is raised for anything else."""
    try:
        body = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once_each)
    except ValueError as problem:
        raise not_the_protocol(f"{problem}") from None
    if not isinstance(body, dict):
        raise not_the_protocol("Root element must be a message.")
    return body


def _no_number(name: str) -> None:
    raise ValueError(f"Unexpected token: {name}")


def _once_each(pairs: list[tuple[str, Any]]) -> Json:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("A field is there twice.")
    return dict(pairs)


def canonical(thing: Any, below: str = "", parent: str = "") -> Any:
    """A message in one spelling; `below` is the field it stands in, `parent` that one's."""
    if below in FREE or f"{parent}.{below}" in FREE:
        return thing
    if isinstance(thing, list):
        return [canonical(each, below, parent) for each in thing]
    if isinstance(thing, Mapping):
        own = below == "properties"
        named = {(name if own else _camel(name)): each for name, each in thing.items()}
        if own:
            return {name: canonical(each, "items", below) for name, each in named.items()}
        return {name: canonical(each, name, below) for name, each in named.items()}
    if below == "type":
        return _word(thing, TYPES)
    return _word(thing, MODES) if below == "mode" else thing


def _camel(name: str) -> str:
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), name)


def _word(value: object, known: tuple[str, ...]) -> object:
    if isinstance(value, int) and 0 <= value < len(known):
        return known[value]
    return value.upper() if isinstance(value, str) else value
