"""JSON as it is taken from outside: finite numbers, each name once, bounded in size and depth."""

import json
import math
from collections.abc import Callable
from typing import Any

DEPTH_MAX = 20
SIZE_MAX = 200_000


def loads(text: str) -> Any:
    """The value of a JSON text. Raises ValueError, which says what is wrong with it."""
    if len(text) > SIZE_MAX:
        raise ValueError(f"it is {len(text)} characters long; at most {SIZE_MAX} are read")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_once,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"it is no JSON, from {where} on") from None
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEPTH_MAX}") from None
    if is_deeper(value, DEPTH_MAX):
        raise ValueError(f"it is nested deeper than {DEPTH_MAX}")
    _check_texts(value)
    return value


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with each text in it changed, names too."""
    match value:
        case str():
            return change(value)
        case list():
            return [mapped(each, change) for each in value]
        case dict():
            return {change(name): mapped(each, change) for name, each in value.items()}
        case _:
            return value


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a value has more levels than that."""
    level = [value]
    for _ in range(levels):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is out of range")
    return value


def _check_texts(value: Any) -> None:
    """Half a surrogate, which JSON can spell, is no character that could be stored or sent."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it is no Unicode") from None
