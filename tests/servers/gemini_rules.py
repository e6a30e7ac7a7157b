"""What the Gemini API refuses in a request that is a message of its protocol."""

import base64
import re
from collections.abc import Collection, Iterator
from itertools import groupby

from tests.servers.gemini_models import Card
from tests.servers.gemini_refusals import Json, invalid, invalid_field
from tests.servers.gemini_request import Asked, declarations
from tests.servers.gemini_schema import check_json_schema, check_schema

FUNCTION_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
FUNCTIONS_MAX = 512
STOPS_MAX = 5
# What may be in a part; each part is one of them.
DATA = {
    "text", "inlineData", "functionCall", "functionResponse", "fileData", "executableCode",
    "codeExecutionResult", "toolCall", "toolResponse",
}  # fmt: skip
JSON_TYPE = "application/json"
# What Google takes in place of a signature, for calls that another model made.
STAND_INS = (b"skip_thought_signature_validator", b"context_engineering_is_the_way_to_go")

CALL_ORDER = (
    "Please ensure that function call turn comes immediately after a user turn or after a function "
    "response turn."
)
RESPONSE_ORDER = (
    "Please ensure that function response turn comes immediately after a function call turn."
)
RESPONSE_COUNT = (
    "Please ensure that the number of function response parts is equal to the number of function "
    "call parts of the function call turn."
)
USER_LAST = (
    "Please ensure that multiturn requests end with a user turn or a function response turn."
)
SIGNATURE_MISSING = (
    "Function call is missing a thought_signature in functionCall parts. This is required for "
    "tools to work correctly, and missing thought_signature may lead to degraded model "
    "performance. Additional data, function call `default_api:{name}` , position {place}. Please "
    "refer to https://ai.google.dev/gemini-api/docs/thought-signatures for more details."
)


def check(asked: Asked, card: Card, signed: Collection[bytes]) -> None:
    """Raise Refused for what the service does not take. `signed` are the signatures it gave."""
    _check_contents(asked.contents)
    _check_system(asked.body)
    _check_order(asked.contents)
    _check_functions(asked)
    _check_config(asked.config, card)
    _check_thinking(asked.config.get("thinkingConfig", {}), card)
    _check_answer(asked, card)
    if card.signs:
        _check_signatures(asked.contents, signed)
    if asked.tokens > card.input_tokens_max:
        raise invalid(
            f"The input token count ({asked.tokens}) exceeds the maximum number of tokens allowed "
            f"({card.input_tokens_max})."
        )


# Turns


def _check_contents(contents: list[Json]) -> None:
    if not contents:
        raise invalid_field("contents", "contents is not specified")
    for number, content in enumerate(contents):
        role = content.get("role", "user")
        if role not in {"user", "model", "function"}:
            raise invalid("Please use a valid role: user, model.")
        if not content.get("parts"):
            raise invalid_field(f"contents[{number}].parts", "contents.parts must not be empty.")
        for place, part in enumerate(content["parts"]):
            _check_part(part, role, f"contents[{number}].parts[{place}]")


def _check_part(part: Json, role: str, place: str) -> None:
    kinds = DATA & part.keys()
    if len(kinds) != 1 and not (role == "model" and "thoughtSignature" in part and not kinds):
        raise invalid_field(
            f"{place}.data", "required oneof field 'data' must have one initialized field"
        )
    if part.get("text") == "" and role != "model":
        raise invalid("Unable to submit request because it must have a text parameter.")
    for kind, name in (
        ("functionCall", "function_call"),
        ("functionResponse", "function_response"),
    ):
        if kind in part and not part[kind].get("name"):
            raise invalid_field(f"{place}.{name}.name", "Name cannot be empty.")
    if "functionCall" in part and role != "model":
        raise invalid("Please ensure that function call turn has the role model.")
    if "functionResponse" in part and role == "model":
        raise invalid("Please ensure that function response turn has the role user.")


def _check_system(body: Json) -> None:
    if "systemInstruction" not in body:
        return
    parts = body["systemInstruction"].get("parts", [])
    if not parts or not all(each.get("text") for each in parts):
        raise invalid("Unable to submit request because it must have a text parameter.")


def _check_order(contents: list[Json]) -> None:
    """Every call of a function is answered in the next turn, and nothing else is."""
    turns = [list(each) for _, each in groupby(contents, _speaker)]
    if _speaker(turns[-1][0]) == "model":
        raise invalid(USER_LAST)
    before: list[Json] = []
    for number, turn in enumerate(turns):
        calls, responses = _parts(turn, "functionCall"), _parts(turn, "functionResponse")
        if calls and number == 0:
            raise invalid(CALL_ORDER)
        if responses and not before:
            raise invalid(RESPONSE_ORDER)
        _check_answered(before, responses)
        before = calls


def _speaker(content: Json) -> str:
    return "model" if content.get("role") == "model" else "user"


def _parts(turn: list[Json], kind: str) -> list[Json]:
    return [part[kind] for content in turn for part in content["parts"] if kind in part]


def _check_answered(calls: list[Json], responses: list[Json]) -> None:
    if len(calls) != len(responses):
        raise invalid(RESPONSE_COUNT)
    if sorted(each["name"] for each in calls) != sorted(each["name"] for each in responses):
        raise invalid("Please ensure that function responses have the names of the function calls.")
    known = {each["id"]: each["name"] for each in calls if "id" in each}
    for response in responses:
        if known and "id" in response and known.get(response["id"]) != response["name"]:
            raise invalid(f"Function response {response['id']} answers no function call.")
        if not isinstance(response.get("response"), dict):
            raise invalid("Please ensure that function responses have a response.")


def _check_signatures(contents: list[Json], signed: Collection[bytes]) -> None:
    """The first call of each step since the user last spoke has the signature it came with."""
    since = max(
        (place for place, each in enumerate(contents) if _speaks(each)), default=0
    )  # fmt: skip
    for place, content in enumerate(contents[since:], since + 1):
        first = next((each for each in content["parts"] if "functionCall" in each), None)
        if first is None:
            continue
        if "thoughtSignature" not in first:
            name = first["functionCall"]["name"]
            raise invalid(SIGNATURE_MISSING.format(name=name, place=place))
        if decoded(first["thoughtSignature"]) not in {*signed, *STAND_INS}:
            raise invalid("Corrupted thought signature.")


def _speaks(content: Json) -> bool:
    return _speaker(content) == "user" and any("text" in each for each in content["parts"])


def decoded(signature: str) -> bytes:
    """A signature's bytes; clients may write them in either alphabet of base64."""
    text = signature.replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4))


# Functions and settings


def _check_functions(asked: Asked) -> None:
    seen: set[str] = set()
    for place, each in _declared(asked.body):
        name = each.get("name", "")
        if not FUNCTION_NAME.fullmatch(name):
            raise invalid_field(
                f"{place}.name",
                "Invalid function name. Must start with a letter or an underscore. Must be "
                "alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), "
                "with a maximum length of 64.",
            )
        if name in seen:
            raise invalid(f"Duplicate function declaration found: {name}")
        seen.add(name)
        if {"parameters", "parametersJsonSchema"} <= each.keys():
            raise invalid_field(place, "parameters and parameters_json_schema exclude each other")
        if "parameters" in each:
            check_schema(each["parameters"], f"{place}.parameters")
        if "parametersJsonSchema" in each:
            check_json_schema(each["parametersJsonSchema"], f"{place}.parameters_json_schema")
    if len(seen) > FUNCTIONS_MAX:
        raise invalid(f"At most {FUNCTIONS_MAX} function declarations are allowed.")
    _check_choice(asked.body.get("toolConfig", {}).get("functionCallingConfig", {}), seen)


def _declared(body: Json) -> Iterator[tuple[str, Json]]:
    for number, tool in enumerate(body.get("tools", [])):
        for place, each in enumerate(tool.get("functionDeclarations", [])):
            yield f"tools[{number}].function_declarations[{place}]", each


def _check_choice(choice: Json, declared: set[str]) -> None:
    allowed = choice.get("allowedFunctionNames", [])
    if allowed and choice.get("mode") not in {"ANY", "VALIDATED"}:
        raise invalid("allowed_function_names should be set only when mode is ANY or VALIDATED.")
    if unknown := sorted(set(allowed) - declared):
        raise invalid(f"allowed_function_names contains an undeclared function: {unknown[0]}")


def _check_config(config: Json, card: Card) -> None:
    most = card.output_tokens_max + 1
    if not 1 <= int(config.get("maxOutputTokens", 1)) < most:
        raise invalid(
            "Unable to submit request because it has a maxOutputTokens value of "
            f"{config['maxOutputTokens']} but the supported range is from 1 (inclusive) to {most} "
            "(exclusive). Update the value and try again."
        )
    for name, top in (("temperature", 2.0), ("topP", 1.0)):
        if not 0.0 <= float(config.get(name, 0.0)) <= top:
            raise invalid_field(
                f"generation_config.{name}", f"{name} must be in the range [0.0, {top}]."
            )
    if config.get("candidateCount", 1) != 1:
        raise invalid_field("generation_config.candidate_count", "must be 1 for this model.")
    if len(config.get("stopSequences", [])) > STOPS_MAX:
        raise invalid_field("generation_config.stop_sequences", f"at most {STOPS_MAX} are allowed.")


def _check_thinking(config: Json, card: Card) -> None:
    if config and not card.thinks:
        raise invalid(f"Thinking is not enabled for models/{card.name}")
    if "thinkingLevel" in config and not card.signs:
        raise invalid("Thinking level is not supported for this model.")
    if {"thinkingLevel", "thinkingBudget"} <= config.keys():
        raise invalid("You can only set only one of thinking budget and thinking level.")
    least, most = card.budgets
    budget = config.get("thinkingBudget", -1)
    if budget == 0 and not card.idle:
        raise invalid("Budget 0 is invalid. This model only works in thinking mode.")
    if budget not in {-1, 0} and not least <= budget <= most:
        raise invalid(
            f"The thinking budget {budget} is invalid. Please choose a value between {least} and "
            f"{most}."
        )


def _check_answer(asked: Asked, card: Card) -> None:
    """The form that the answer shall have."""
    config = asked.config
    kind = config.get("responseMimeType", "text/plain")
    if kind not in {"text/plain", JSON_TYPE, "text/x.enum"}:
        raise invalid_field(
            "generation_config.response_mime_type",
            "allowed mimetypes are `text/plain`, `application/json`, `application/xml`, "
            "`application/yaml` and `text/x.enum`.",
        )
    schemas = [each for each in ("responseSchema", "responseJsonSchema") if each in config]
    if len(schemas) > 1:
        raise invalid_field(
            "generation_config.response_json_schema", "response_schema must not be set as well."
        )
    if schemas and kind == "text/plain":
        raise invalid_field(
            "generation_config.response_schema",
            "only allowed when response_mime_type is `application/json` or `text/x.enum`.",
        )
    if "responseSchema" in config:
        check_schema(config["responseSchema"], "generation_config.response_schema")
    if "responseJsonSchema" in config:
        check_json_schema(config["responseJsonSchema"], "generation_config.response_json_schema")
    if kind != "text/plain" and any(declarations(asked.body)) and not card.mixes:
        raise invalid(f"Function calling with a response mime type: '{kind}' is unsupported")
