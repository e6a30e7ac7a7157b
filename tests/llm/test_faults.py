"""What Google's errors and empty answers mean, by bodies that Google sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm.faults import SAID_MAX, Faults
from llm.gemini_wire import answer
from llm.model import Fault, ModelFailed, Usage

KEY = "AIzaSyTheKeyOfThisDesk0123456789"
FAULTS = Faults(KEY, "gemini-2.5-flash", "https://generativelanguage.googleapis.com")


def refused(status: int, message: str, *details: dict[str, Any], google: str = "") -> ModelFailed:
    error = {"code": status, "message": message, "status": google, "details": list(details)}
    return FAULTS.refused(status, {"error": error})


def retry_info(delay: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def reason(name: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name}


# -- the table ---------------------------------------------------------------------------

REFUSALS = {
    "an expired key": (
        refused(400, "API key expired. Please renew the API key.", reason("API_KEY_INVALID")),
        Fault.BAD_KEY, "is not valid",
    ),
    "a key for elsewhere": (
        refused(403, "The provided API key has an IP address restriction.",
                reason("API_KEY_IP_ADDRESS_BLOCKED")),
        Fault.BAD_KEY, "not from this machine",
    ),
    "no key at all": (
        refused(401, "Request had invalid credentials.", google="UNAUTHENTICATED"),
        Fault.BAD_KEY, "Request had invalid credentials.",
    ),
    "a country without a free tier": (
        refused(400, "Gemini API free tier is not available in your country.",
                google="FAILED_PRECONDITION"),
        Fault.REGION, "billing",
    ),
    "a body that is too large": (
        refused(400, "Request payload size exceeds the limit: 20971520 bytes."),
        Fault.TOO_LONG, "longer than gemini-2.5-flash takes",
    ),
    "no capacity": (
        refused(429, "No capacity available for model.", reason("MODEL_CAPACITY_EXHAUSTED")),
        Fault.OVERLOADED, "no capacity left",
    ),
    "no credit": (
        refused(429, "Your prepayment credits are depleted."), Fault.QUOTA, "credit",
    ),
    "high demand": (
        refused(503, "This model is currently experiencing high demand.", google="UNAVAILABLE"),
        Fault.OVERLOADED, "is overloaded",
    ),
    "a redirect": (FAULTS.refused(307, None), Fault.BAD_REQUEST, "(HTTP 307)"),
}  # fmt: skip


@pytest.mark.parametrize(("failed", "fault", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_by_its_codes_and_its_message(
    failed: ModelFailed, fault: Fault, words: str
) -> None:
    assert failed.fault is fault
    assert words in str(failed)


@pytest.mark.parametrize("body", [None, [], "", 7, {}, {"error": "no"}, {"error": {"details": 1}}])
def test_a_body_that_is_no_error_of_googles_is_told_by_its_status(body: object) -> None:
    failed = FAULTS.refused(500, body)

    assert failed.fault is Fault.OVERLOADED
    assert "HTTP 500" in str(failed)


def test_an_error_may_come_in_a_list() -> None:
    assert FAULTS.refused(429, [{"error": {"message": "limit: 0"}}]).fault is Fault.QUOTA


DELAYS = {
    "whole seconds": (refused(429, "", retry_info("25s")), 25.0),
    "a fraction": (refused(429, "", retry_info("0.5s")), 0.5),
    "in the text": (refused(429, "Please retry in 25.08253422s."), 25.08253422),
    "milliseconds": (refused(429, "Please retry in 450ms."), 0.45),
    "hours": (refused(429, "Please retry in 18h32m12.5s."), 66732.5),
    "both": (refused(429, "Please retry in 25.9s.", retry_info("25s")), 25.0),
    "none": (refused(429, "Slow down."), None),
    "nonsense": (refused(429, "", retry_info("1.2.3s")), None),
}


@pytest.mark.parametrize(("failed", "seconds"), DELAYS.values(), ids=DELAYS)
def test_how_long_to_wait_is_read(failed: ModelFailed, seconds: float | None) -> None:
    assert failed.retry_after == pytest.approx(seconds)


def test_what_google_says_is_shown_in_part_and_without_secrets() -> None:
    prompt = "We are short ETH since 3 500, what of the stop at 3 650?"
    message = f'Invalid value at "{prompt}" (key {KEY}):\n "{prompt}' + " and so on" * 50

    words = str(refused(400, message))

    assert words.startswith(
        'Google refused the request for gemini-2.5-flash (Invalid value at "…" (key …): "…"'
    )
    assert "short ETH" not in words
    assert len(str(refused(400, "No. " * 100))) < SAID_MAX + 60


def test_the_key_is_not_in_what_says_the_faults() -> None:
    assert KEY not in repr(FAULTS)


# -- as recorded -------------------------------------------------------------------------

SPECS = "specs/gemini"
SHOWN = {
    "unary-failure-api-key": Fault.BAD_KEY,
    "unary-failure-finish-reason-safety": Fault.BLOCKED,
    "unary-failure-generativelanguage-api-not-enabled": Fault.BAD_KEY,
    "unary-failure-only-prompt-feedback": Fault.BLOCKED,
    "unary-failure-unknown-model": Fault.UNKNOWN_MODEL,
    "unary-failure-with-message-no-content": Fault.EMPTY,
}


@pytest.mark.parametrize(("name", "fault"), SHOWN.items(), ids=SHOWN)
def test_failures_that_google_publishes_are_told(shared: Path, name: str, fault: Fault) -> None:
    body = json.loads((shared / SPECS / "firebase_mock" / f"{name}.json").read_text())

    with pytest.raises(ModelFailed) as caught:
        if "error" in body:
            raise FAULTS.refused(body["error"]["code"], body)
        answer(body, None, FAULTS)

    assert caught.value.fault is fault


def test_refusals_that_people_met_are_told(shared: Path) -> None:
    cases = json.loads((shared / SPECS / "errors.json").read_text())["cases"]
    bodies = [case["body"] for case in cases]

    failed = [FAULTS.refused(body["error"]["code"], body) for body in bodies]

    assert [(each.fault, each.retry_after) for each in failed] == [
        (Fault.RATE, 25), (Fault.RATE, 33), (Fault.OVERLOADED, None), (Fault.OVERLOADED, None),
        (Fault.RATE, None),
    ]  # fmt: skip


def test_answers_that_google_gave_are_read(shared: Path) -> None:
    bodies = [body for body in recorded(shared) if not was_cut_off(body)]

    answers = [answer(body, None, FAULTS) for body in bodies]

    assert len(answers) > 50
    assert any(each.turn.calls for each in answers)
    assert [each.usage for each in answers] == [usage(body) for body in bodies]


def test_an_answer_that_google_cut_off_is_told_with_its_cost(shared: Path) -> None:
    bodies = [body for body in recorded(shared) if was_cut_off(body)]
    assert bodies

    for body in bodies:
        with pytest.raises(ModelFailed) as caught:
            answer(body, None, FAULTS)
        assert caught.value.fault is Fault.CUT_OFF
        assert caught.value.usage == usage(body)


def recorded(shared: Path) -> list[dict[str, Any]]:
    """What generateContent answered."""
    exchanges = [
        exchange
        for path in sorted((shared / SPECS / "recorded").glob("*.json"))
        for exchange in json.loads(path.read_text())["interactions"]
        if ":generateContent" in exchange["request"]["uri"]
    ]
    return [exchange["response"]["body"] for exchange in exchanges]


def was_cut_off(body: dict[str, Any]) -> bool:
    return bool(body["candidates"][0]["finishReason"] == "MAX_TOKENS")


def usage(body: dict[str, Any]) -> Usage:
    said = body["usageMetadata"]
    output = said.get("candidatesTokenCount", 0) + said.get("thoughtsTokenCount", 0)
    tools = said.get("toolUsePromptTokenCount", 0)
    return Usage(said["promptTokenCount"] + tools, output)


# -- answers that are meant to do harm ---------------------------------------------------


def test_a_message_with_power_is_shown_without_it() -> None:
    said = (
        "\x1b[2J\x1b[31mowned\x1b[0m @everyone see https://evil.example/x or /kill " + "y" * 9_999
    )
    words = str(refused(400, said))

    assert "\x1b" not in words
    assert "@" not in words
    assert "evil" not in words
    assert "/kill" not in words
    assert len(words) < 400


def test_nobody_is_left_alone_for_ever() -> None:
    for delay in ("9" * 400 + "s", "100000h"):
        failed = refused(429, "Later.", retry_info(delay))

        assert failed.fault is Fault.RATE
        assert failed.retry_after is not None and failed.retry_after <= 86_400


def test_a_reason_of_a_stranger_is_bounded_and_inert() -> None:
    body = {"candidates": [{"finishReason": "\x1b[31mSTOP /kill " + "x" * 10_000}]}
    with pytest.raises(ModelFailed) as caught:
        answer(body, None, FAULTS)

    assert len(str(caught.value)) < 200
    assert "\x1b" not in str(caught.value)
    assert "/kill" not in str(caught.value)


@pytest.mark.parametrize("count", [-1, -(10**9), 10**30])
def test_a_count_of_tokens_that_can_not_be_meant_is_no_count(count: int) -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": count}
    content = {"parts": [{"text": "Up."}]}
    said = answer({"candidates": [{"content": content}], "usageMetadata": usage}, None, FAULTS)

    assert said.usage == Usage()


def test_an_answer_that_is_far_too_long_is_cut_off() -> None:
    for part in (
        {"text": "x" * 300_000},
        {"functionCall": {"name": "look", "args": {"line": "x" * 300_000}}},
    ):
        with pytest.raises(ModelFailed) as caught:
            answer({"candidates": [{"content": {"parts": [part]}}]}, None, FAULTS)

        assert caught.value.fault is Fault.CUT_OFF


def test_calls_that_are_nested_without_end_make_no_sense() -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"line": deep}
    part = {"functionCall": {"name": "look", "args": deep}}
    with pytest.raises(ModelFailed) as caught:
        answer({"candidates": [{"content": {"parts": [part]}}]}, None, FAULTS)

    assert caught.value.fault is Fault.UNREACHABLE
