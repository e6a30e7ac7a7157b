"""What the Gemini API refuses in schemas: it takes a part of OpenAPI's, or a part of JSON Schema.

The parts are listed at `Schema` and `GenerationConfig.response_json_schema` of its description.
"""

from collections.abc import Iterator

from tests.servers.gemini_refusals import Json, invalid_field, not_the_protocol

OPEN_API = {
    "type", "format", "title", "description", "nullable", "enum", "items", "maxItems", "minItems",
    "properties", "required", "minProperties", "maxProperties", "minimum", "maximum", "minLength",
    "maxLength", "pattern", "example", "anyOf", "propertyOrdering", "default",
}  # fmt: skip
JSON_SCHEMA = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items",
    "prefixItems", "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties",
    "additionalProperties", "required", "propertyOrdering", "default",
}  # fmt: skip
JSON_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}
FORMATS = {
    "STRING": {"enum", "date-time"},
    "NUMBER": {"float", "double"},
    "INTEGER": {"int32", "int64"},
}
# How deep schemas may nest is not told; nobody needs more.
DEPTH_MAX = 32


def check_schema(schema: Json, field: str) -> None:
    """Raise Refused for a Schema that the service does not take; `field` is its own name."""
    for place, each in _all(schema, field, ("properties",), ("items",), ("anyOf",)):
        _check_known(each, OPEN_API, place)
        _check_typed(each, place)
        _check_required(each, place)


def check_json_schema(schema: object, field: str) -> None:
    """Raise Refused for a JSON schema with words outside the part that the service takes."""
    if not isinstance(schema, dict):
        raise invalid_field(field, "must be a JSON schema")
    single, listed = ("items", "additionalProperties"), ("anyOf", "oneOf", "prefixItems")
    for place, each in _all(schema, field, ("properties", "$defs"), single, listed):
        _check_known(each, JSON_SCHEMA, place)
        types = each.get("type", [])
        if set([types] if isinstance(types, str) else types) - JSON_TYPES:
            raise invalid_field(f"{place}.type", f"{types} is no type")
        if "$ref" in each and place != field and any(not name.startswith("$") for name in each):
            raise invalid_field(place, "nothing may stand beside $ref")
        _check_required(each, place)


def _all(
    schema: Json,
    place: str,
    named: tuple[str, ...],
    single: tuple[str, ...],
    listed: tuple[str, ...],
    depth: int = 0,
) -> Iterator[tuple[str, Json]]:
    """A schema and all inside it, each with its place: `named` hold schemas by name."""
    if depth > DEPTH_MAX:
        raise invalid_field(place, "schemas are nested too deep")
    yield place, schema
    inner = [(f"{place}.{key}[{name}]", each)
             for key in named for name, each in schema.get(key, {}).items()]  # fmt: skip
    inner += [(f"{place}.{key}", schema[key]) for key in single if key in schema]
    inner += [(f"{place}.{key}[{number}]", each)
              for key in listed for number, each in enumerate(schema.get(key, []))]  # fmt: skip
    for where, each in inner:
        if isinstance(each, dict):
            yield from _all(each, where, named, single, listed, depth + 1)


def _check_known(schema: Json, known: set[str], place: str) -> None:
    if unknown := sorted(schema.keys() - known):
        raise not_the_protocol(f"Unknown name \"{unknown[0]}\" at '{place}': Cannot find field.")


def _check_typed(schema: Json, place: str) -> None:
    kind = schema.get("type")
    if kind is None and "anyOf" not in schema:
        raise invalid_field(f"{place}.type", "must be specified")
    if kind == "ARRAY" and "items" not in schema:
        raise invalid_field(f"{place}.items", "missing field.")
    if "enum" in schema and kind != "STRING":
        raise invalid_field(f"{place}.enum", "only allowed for STRING type")
    if "" in schema.get("enum", []):
        raise invalid_field(f"{place}.enum", "cannot be empty")
    formats = FORMATS.get(str(kind))
    if formats and schema.get("format") not in {None, *formats}:
        allowed = " and ".join(f"'{each}'" for each in sorted(formats, reverse=True))
        raise invalid_field(f"{place}.format", f"only {allowed} are supported for {kind} type")


def _check_required(schema: Json, place: str) -> None:
    for number, name in enumerate(schema.get("required", [])):
        if name not in schema.get("properties", {}):
            raise invalid_field(f"{place}.required[{number}]", "property is not defined")
