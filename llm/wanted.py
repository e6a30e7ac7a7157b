"""Wishes in plain words, as the commands that people would type for them. Nothing is done."""

import re
from collections.abc import Sequence

_POLITE = re.compile(
    r"^(?:please|can you|could you|would you|i want you to|i want to|let's|now|ok|what if (?:i|we)"
    r"|what happens if (?:i|we)|should (?:i|we))[ ,]+"
)
_AMOUNT = re.compile(r"\b(\d+(?:\.\d+)?k?)\b")
_PERCENT = re.compile(r"\b(\d+(?:\.\d+)?)\s*(?:%|percent)")
_EVERY = {
    "losers": re.compile(r"\blos(?:ing|ers?)\b"),
    "all": re.compile(r"\b(?:all|everything)\b"),
}
# What is set, as its name may be written, and to what.
_SET = re.compile(r"(?:the |my )?([a-z]+(?:[ _][a-z]+){0,2}) (?:to|at|=) (\S+)$")


def wanted_of(question: str, symbols: Sequence[str], bots: Sequence[str]) -> str:
    """The command that a question in small letters wishes for, empty where it wishes for none."""
    said = _POLITE.sub("", _POLITE.sub("", question))
    verb, _, rest = said.rstrip("?!. ").partition(" ")
    match verb:
        case "close" | "exit":
            return _close(rest, symbols)
        case "buy" | "long" | "sell" | "short":
            return _open("buy" if verb in ("buy", "long") else "sell", rest, symbols)
        case "halt" | "stop" | "pause" | "resume" | "kill":
            return _switch(verb, rest, bots)
        case "set" | "change":
            return _set(rest)
        case "cancel":
            return f"/cancel {symbols[0] if symbols else 'all'}"
        case _:
            return ""


def _close(rest: str, symbols: Sequence[str]) -> str:
    if not symbols:
        which = next((word for word, known in _EVERY.items() if known.search(rest)), "")
        return f"/close {which}" if which else ""
    percent = _PERCENT.search(rest)
    share = f"{percent[1]}%" if percent else "half" if "half" in rest.split() else ""
    return " ".join(filter(None, ["/close", symbols[0], share]))


def _open(verb: str, rest: str, symbols: Sequence[str]) -> str:
    amount = _AMOUNT.search(rest)
    return f"/{verb} {symbols[0]} {amount[1]}" if symbols and amount else ""


def _set(rest: str) -> str:
    found = _SET.match(rest)
    return f"/tune set {found[1].replace(' ', '_')} {found[2]}" if found else ""


def _switch(verb: str, rest: str, bots: Sequence[str]) -> str:
    named = [bot for bot in bots if bot in rest] or [
        bot for bot in bots if len(bots) == 1 and re.search(r"\bbot\b", rest)
    ]
    if verb == "kill":
        return "/kill"
    if named:
        return f"/bot {'resume' if verb == 'resume' else 'pause'} {named[0]}"
    return "/resume" if verb == "resume" else "/halt"
