"""A request and an answer as people read them, and without secrets."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from llm.model import FunctionCall, FunctionResult, Request, Turn
from llm.strict_json import mapped

Redact = Callable[[str], str]


def redacted(request: Request, redact: Redact) -> Request:
    """The request without secrets. What a driver kept of a model's turn goes back as it came: it
    is the model's own, and signed."""
    turns = tuple(redacted_turn(turn, redact) for turn in request.turns)
    return replace(request, system=redact(request.system), turns=turns)


def redacted_turn(turn: Turn, redact: Redact) -> Turn:
    """The turn without secrets in its words, in what tools are given, and in what they said."""
    calls = tuple(
        FunctionCall(call.name, mapped(dict(call.arguments), redact), call.call_id)
        for call in turn.calls
    )
    results = tuple(
        FunctionResult(result.name, mapped(dict(result.result), redact), result.call_id)
        for result in turn.results
    )
    return replace(turn, text=redact(turn.text), calls=calls, results=results)


def told(request: Request, before: Sequence[Turn], call_id: int) -> str:
    """What was sent, to be kept. `before` are the turns of the call `call_id` of the same
    consultation: what was sent then is not kept again."""
    count = len(before)
    if count and request.turns[:count] == tuple(before):
        turns = request.turns[count:]
        head = [f"(as in call {call_id}, then)" if turns else f"(as in call {call_id})"]
    else:
        head, turns = list(_head(request)), request.turns
    return "\n\n".join([*head, *map(turn_words, turns)])


def turn_words(turn: Turn) -> str:
    """One turn, led by who speaks."""
    calls = [f"{call.name}({_json(call.arguments)})" for call in turn.calls]
    results = [f"{result.name} said {_json(result.result)}" for result in turn.results]
    said = "\n".join([*filter(None, [turn.text]), *calls, *results])
    return f"[{turn.speaker}]\n{said}"


def answer_words(turn: Turn) -> str:
    """What a model said, and the tools that it wants called."""
    calls = [f"{call.name}({_json(call.arguments)})" for call in turn.calls]
    return "\n".join([*filter(None, [turn.text]), *calls])


def _head(request: Request) -> Iterator[str]:
    yield f"[system]\n{request.system}"
    if request.functions:
        yield f"[tools]\n{', '.join(function.name for function in request.functions)}"
    if request.schema is not None:
        yield f"[schema]\n{_json(request.schema)}"


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
