"""Requests and answers in the shapes of Gemini's REST API, which both drivers speak.

https://ai.google.dev/api/generate-content. Pure: nothing is sent here.
"""

from collections.abc import Mapping
from typing import Any

from llm.faults import BLOCKS, Faults
from llm.model import FunctionCall, Request, Response, Speaker, Turn, Usage
from llm.strict_json import is_deeper

Json = dict[str, Any]
# Finished as asked: a model that calls a tool stops too.
FINISHED = {"", "STOP", "FINISH_REASON_UNSPECIFIED"}
# There is more, which would have to be asked for.
UNFINISHED = {"MAX_TOKENS", "CONTINUATION"}
# No answer that the desk asks for is longer (characters), none is nested deeper, and none is billed
# for more tokens: a count beyond it is no count.
LENGTH_MAX = 200_000
DEPTH_MAX = 20
TOKENS_MAX = 10_000_000
COUNTS = frozenset(
    {
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "totalTokenCount",
    }
)


def content(turn: Turn) -> Json:
    """One turn. What a tool said is the user's turn, as far as the API goes."""
    parts: list[Json] = [{"text": turn.text}] if turn.text else []
    parts += [
        {"functionCall": _named(call.name, call.call_id) | {"args": dict(call.arguments)}}
        for call in turn.calls
    ]
    parts += [
        {"functionResponse": _named(said.name, said.call_id) | {"response": dict(said.result)}}
        for said in turn.results
    ]
    role = "model" if turn.speaker is Speaker.MODEL else "user"
    return {"role": role, "parts": parts}


def settings(request: Request) -> Json:
    """What both drivers say about how to answer; the schema each says in its own way."""
    said: Json = {
        "max_output_tokens": request.output_tokens_max,
        "temperature": request.temperature,
    }
    if request.schema is not None:
        said["response_mime_type"] = "application/json"
    return said


def answer(body: Mapping[str, Any], raw: Any, faults: Faults) -> Response:
    """What an answer says; `raw` is the driver's own record of the turn. Raises ModelFailed."""
    usage = _usage(body.get("usageMetadata") or {})
    candidates = body.get("candidates") or []
    if not candidates:
        feedback = body.get("promptFeedback") or {}
        if not feedback:
            raise faults.empty("no candidate", usage)
        reason = str(feedback.get("blockReason") or "")
        raise faults.blocked(reason, feedback.get("safetyRatings"), usage)
    first = candidates[0]
    reason = str(first.get("finishReason") or "")
    if reason in BLOCKS:
        raise faults.blocked(reason, first.get("safetyRatings"), usage)
    if reason in UNFINISHED:
        raise faults.cut_off(usage)
    turn = _turn((first.get("content") or {}).get("parts") or [], raw)
    if any(is_deeper(call.arguments, DEPTH_MAX) for call in turn.calls):
        raise faults.senseless(usage)
    if len(turn.text) + sum(len(str(call)) for call in turn.calls) > LENGTH_MAX:
        raise faults.cut_off(usage)
    if reason not in FINISHED or not (turn.text.strip() or turn.calls):
        raise faults.empty(reason, usage)
    return Response(turn, usage, str(body.get("modelVersion") or faults.model))


def _named(name: str, call_id: str) -> Json:
    return {"id": call_id, "name": name} if call_id else {"name": name}


def _turn(parts: list[Mapping[str, Any]], raw: Any) -> Turn:
    """The words and calls of a model's turn, without its thoughts."""
    text = "".join(part.get("text") or "" for part in parts if not part.get("thought"))
    calls = [part["functionCall"] for part in parts if part.get("functionCall")]
    return Turn(
        Speaker.MODEL,
        text,
        tuple(
            FunctionCall(call.get("name") or "", call.get("args") or {}, call.get("id") or "")
            for call in calls
        ),
        raw=raw,
    )


def _usage(said: Mapping[str, Any]) -> Usage:
    """Thoughts are paid for as output. What knows nothing of them has them in its total. Where a
    count can't be meant, nothing is known."""
    counts = {name: int(count or 0) for name, count in said.items() if name in COUNTS}
    if not all(0 <= count <= TOKENS_MAX for count in counts.values()):
        return Usage()
    prompt = counts.get("promptTokenCount", 0) + counts.get("toolUsePromptTokenCount", 0)
    output = counts.get("candidatesTokenCount", 0) + counts.get("thoughtsTokenCount", 0)
    return Usage(prompt, max(output, counts.get("totalTokenCount", 0) - prompt))
