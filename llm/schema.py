"""The forms of a model's answers: told to it as a JSON schema, and read strictly."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

# What is wrong with an answer is told to the model, which needs no more at a time.
FAULTS_TOLD = 5
# All that every driver knows of a schema.
KEPT = ("type", "description", "enum")


class Part(BaseModel):
    """A part of an answer: nothing beside its fields, and none of another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Part)


def read_as(form: type[P], text: str) -> P:
    """The answer in a JSON text. Raises ValueError, which says to the model what is wrong."""
    try:
        return form.model_validate_json(text)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults)
        raise ValueError("; ".join(list(told)[:FAULTS_TOLD])) from None


def schema_of(form: type[Part]) -> dict[str, Any]:
    """What `Request.schema` is for answers of a form, its bounds in words."""
    whole = form.model_json_schema()
    return _simple(whole, whole.get("$defs", {}))


def _simple(node: Mapping[str, Any], parts: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema without references, choices and bounds, which not every driver knows."""
    if "anyOf" in node:
        chosen = next(each for each in node["anyOf"] if each.get("type") != "null")
        return _simple({**chosen, "description": node.get("description", "")}, parts)
    if "$ref" in node:
        node = parts[node["$ref"].rpartition("/")[2]]
    kept = {key: node[key] for key in KEPT if node.get(key)}
    if "description" not in kept and (words := _bounds(node)):
        kept["description"] = words
    if "properties" in node:
        kept["properties"] = {
            name: _simple(each, parts) for name, each in node["properties"].items()
        }
        kept["required"] = list(node["required"])
    if "items" in node:
        kept["items"] = _simple(node["items"], parts)
    return kept


def _bounds(node: Mapping[str, Any]) -> str:
    if "maxLength" in node:
        return f"at most {node['maxLength']} characters"
    if "maxItems" in node:
        return f"at most {node['maxItems']}"
    if "minimum" in node and "maximum" in node:
        return f"{node['minimum']:g} to {node['maximum']:g}"
    return ""
