"""One table from what Google says to what went wrong, in words for the person who asked.

Pure. What Google itself says is shown in part at most, and never with the key or with long
quotations in it, which are the prompt's.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm.inert import inert
from llm.model import Fault, ModelFailed, Usage

SAID_MAX = 200
# What is longer is no message, and no reason, of Google's.
READ_MAX = 5_000
REASON_MAX = 40
# Nobody is left alone for longer than a day (s).
RETRY_MAX_S = 86_400.0
# A quotation longer than this in a complaint is of what was sent.
QUOTED_MAX = 40


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault is told by its codes (HTTP status, Google's status, reasons and quotas) and, where
    those say too little, by its message. `words` may hold {model}, {base}, {said} and {wait}."""

    fault: Fault
    words: str
    codes: str = ""
    says: str = ""

    def fits(self, codes: str, message: str) -> bool:
        return bool(re.search(self.codes, codes) and re.search(self.says, message, re.IGNORECASE))


# The first that fits. Reasons: google.rpc.ErrorInfo; quotas: google.rpc.QuotaFailure.
RULES = (
    Rule(
        Fault.BAD_KEY,
        "GEMINI_API_KEY is not valid: Google refused it. Put the right one into .env and restart.",
        codes="API_KEY_INVALID|API_KEY_NOT_FOUND",
    ),
    Rule(
        Fault.BAD_KEY,
        "The project of GEMINI_API_KEY has the Gemini API switched off. Switch it on in Google's "
        "console, or make a new key at aistudio.google.com.",
        codes="SERVICE_DISABLED",
    ),
    Rule(
        Fault.BAD_KEY,
        "GEMINI_API_KEY may not be used for this, or not from this machine. Loosen its "
        "restrictions in Google's console, or make a new key at aistudio.google.com.",
        codes=r"API_KEY_\w+_BLOCKED",
    ),
    Rule(
        Fault.REGION,
        "Google does not offer Gemini where this machine is, or not without billing. Turn on "
        "billing for the key at aistudio.google.com, or run the desk elsewhere.",
        codes="FAILED_PRECONDITION|PERMISSION_DENIED",
        says=r"location is not supported|not available in your (country|region|location)",
    ),
    Rule(
        Fault.BAD_KEY,
        "Google refuses GEMINI_API_KEY ({said}). Make a new one at aistudio.google.com, put it "
        "into .env and restart.",
        codes="^(401|403)",
    ),
    Rule(
        Fault.UNKNOWN_MODEL,
        "Google has no model {model!r} for this key. Set GEMINI_MODEL to one that it has, as "
        "gemini-3.5-flash-lite.",
        codes="^404 NOT_FOUND",
    ),
    Rule(
        Fault.BAD_REQUEST,
        "There is no Gemini at {base}. Is GEMINI_API_BASE right?",
        codes="^404",
    ),
    Rule(
        Fault.TOO_LONG,
        "What was asked is longer than {model} takes. Ask about fewer symbols or days.",
        codes="^(400|413)",
        says="token count|maximum number of tokens|payload size exceeds|too large",
    ),
    Rule(
        Fault.BAD_REQUEST,
        "{model} wants its thoughts handed back with every call of a tool, which this driver "
        "can't do. Set GEMINI_DRIVER=genai, or GEMINI_MODEL=gemini-2.5-flash.",
        codes="^400",
        says="thought_?signature",
    ),
    Rule(
        Fault.OVERLOADED,
        "{model} has no capacity left at Google just now. Try again in a minute.",
        codes="CAPACITY_EXHAUSTED",
    ),
    Rule(
        Fault.QUOTA,
        "Google grants this key no calls of {model} at all. Set another GEMINI_MODEL, or turn on "
        "billing for the key at aistudio.google.com.",
        codes="^429",
        says=r"limit: 0\b",
    ),
    Rule(
        Fault.QUOTA,
        "Google's daily quota of this key for {model} is used up. It begins anew at midnight "
        "Pacific time (08:00 UTC, in summer 07:00).",
        codes="^429.*PerDay",
    ),
    Rule(
        Fault.QUOTA,
        "The credit of GEMINI_API_KEY at Google is used up. Add to it at aistudio.google.com.",
        codes="^429",
        says=r"credits? (are|is|have been) depleted|spend(ing)? (cap|limit)",
    ),
    Rule(
        Fault.RATE,
        "Google takes no more calls of {model} with this key for now. Try again {wait}.",
        codes="^429",
    ),
    Rule(
        Fault.TIMEOUT,
        "{model} did not answer in time. Try again, or ask for less.",
        codes="^(408|504)|DEADLINE_EXCEEDED",
    ),
    Rule(
        Fault.OVERLOADED,
        "{model} is overloaded at Google just now. Try again in a minute.",
        codes="^503|UNAVAILABLE",
    ),
    Rule(
        Fault.OVERLOADED,
        "Google had an error of its own with {model} ({said}). Try again in a minute.",
        codes="^5",
    ),
    Rule(Fault.BAD_REQUEST, "Google refused the request for {model} ({said})."),
)

# Why there is no answer though there was no error: a finish reason, or why a prompt was blocked.
BLOCKS = {
    "SAFETY": "its safety filter",
    "BLOCKLIST": "a forbidden word",
    "PROHIBITED_CONTENT": "prohibited content",
    "SPII": "personal data",
    "RECITATION": "a known text, word for word",
    "LANGUAGE": "a language that it does not speak",
    "IMAGE_SAFETY": "its safety filter",
}
LIKELY = {"MEDIUM", "HIGH"}

DELAY = re.compile(r"([\d.]+)(ms|h|m|s)")
SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
RETRY_IN = re.compile(r"retry in ((?:[\d.]+(?:ms|h|m|s))+)")


@dataclass(frozen=True, slots=True)
class Faults:
    """Says what went wrong with calls of one model at one address."""

    key: str = field(repr=False)
    model: str
    base: str

    def refused(self, status: int, body: object) -> ModelFailed:
        """What an answer with an error's status means; `body` is its JSON, if it is JSON."""
        error = _error(body)
        message = str(error.get("message") or "")[:READ_MAX]
        details = [detail for detail in _list(error.get("details")) if isinstance(detail, Mapping)]
        codes = " ".join([str(status), str(error.get("status") or ""), *_codes(details)])
        rule = next(rule for rule in RULES if rule.fits(codes, message))
        after = _retry_after(details, message)
        words = rule.words.format(
            model=self.model,
            base=self.base,
            said=self._said(message) or f"HTTP {status}",
            wait="in a minute" if after is None else f"in {max(1, round(after))} s",
        )
        return ModelFailed(rule.fault, words, retry_after=after)

    def timed_out(self, timeout_s: float) -> ModelFailed:
        words = f"{self.model} did not answer within {timeout_s:.0f} s. Try again, or ask for less."
        return ModelFailed(Fault.TIMEOUT, words)

    def unreachable(self, *, sent: bool) -> ModelFailed:
        """No answer came; `sent` is False where there was not even a connection."""
        trouble = "broke off the connection" if sent else "can't be reached"
        words = f"Gemini at {self.base} {trouble}. Is this machine online?"
        return ModelFailed(Fault.UNREACHABLE, words, sent=sent)

    def senseless(self, usage: Usage | None = None) -> ModelFailed:
        """The answer came, and is none of Gemini's."""
        words = f"What {self.base} answered makes no sense. Is GEMINI_API_BASE right?"
        return ModelFailed(Fault.UNREACHABLE, words, usage=usage or Usage())

    def blocked(self, reason: str, ratings: object, usage: Usage) -> ModelFailed:
        categories = ", ".join(_categories(ratings))
        why = BLOCKS.get(reason, "its rules") + (f": {categories}" if categories else "")
        words = f"{self.model} did not answer, because of {why}. Ask in other words."
        return ModelFailed(Fault.BLOCKED, words, usage=usage)

    def cut_off(self, usage: Usage) -> ModelFailed:
        words = f"The answer of {self.model} was longer than it may be. Ask for less at once."
        return ModelFailed(Fault.CUT_OFF, words, usage=usage)

    def empty(self, reason: str, usage: Usage) -> ModelFailed:
        why = inert(reason, (), REASON_MAX) or "no reason given"
        words = f"{self.model} answered nothing ({why}). Ask again."
        return ModelFailed(Fault.EMPTY, words, usage=usage)

    def _said(self, message: str) -> str:
        """As much of Google's message as may be shown."""
        shown = " ".join(message.split())
        if shown.startswith("<"):
            # A page of something in between, as a proxy.
            return ""
        if self.key:
            shown = shown.replace(self.key, "…")
        shown = re.sub(rf'"[^"]{{{QUOTED_MAX},}}("|$)', '"…"', shown)
        return inert(shown, (), SAID_MAX)


def no_sdk() -> ModelFailed:
    words = (
        "GEMINI_DRIVER=legacy needs a package that is not installed: "
        "pip install 'countersign[gemini-legacy]', or set GEMINI_DRIVER=genai."
    )
    return ModelFailed(Fault.NO_SDK, words, sent=False)


def _error(body: object) -> Mapping[str, Any]:
    """The error in a body; some come in a list of one, some without their envelope."""
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return {}
    error = body.get("error", body)
    return error if isinstance(error, Mapping) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _codes(details: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for detail in details:
        if reason := detail.get("reason"):
            yield str(reason)
        for violation in _list(detail.get("violations")):
            if isinstance(violation, Mapping):
                yield str(violation.get("quotaId", ""))


def _retry_after(details: Sequence[Mapping[str, Any]], message: str) -> float | None:
    """Seconds to wait, by google.rpc.RetryInfo or else by the text, as `retry in 25.08s`."""
    delays = [str(detail["retryDelay"]) for detail in details if "retryDelay" in detail]
    if not delays and (found := RETRY_IN.search(message)):
        delays = [found[1]]
    try:
        waits = [sum(float(n) * SECONDS[unit] for n, unit in DELAY.findall(d)) for d in delays]
    except ValueError:
        return None
    return min(max(waits), RETRY_MAX_S) if waits else None


def _categories(ratings: object) -> Iterator[str]:
    """What a safety filter took offense at, as `hate speech`."""
    for rating in _list(ratings):
        if not isinstance(rating, Mapping):
            continue
        if rating.get("blocked") or rating.get("probability") in LIKELY:
            category = str(rating.get("category", "")).removeprefix("HARM_CATEGORY_")
            yield inert(category.replace("_", " ").lower(), (), REASON_MAX)
