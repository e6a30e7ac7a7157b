"""Plain words that are no command: a question, which is said as /ask."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Annotated

from engine.desk import Desk
from engine.errors import Refused
from engine.people import Role
from handlers.command import (
    HIDDEN,
    NEAR_CODES,
    STRAY_CODES,
    ArgumentType,
    Command,
    find,
    parse,
)
from handlers.dispatch import LINE_MAX

# The command that a question is said with, and its argument.
ASK, QUESTION = "ask", "question"
# What has fewer words is a command with a slip of the finger.
WORDS_MIN = 3
# As authenticators show a code, and nobody writes a price.
SPACED_CODES = re.compile(r"(?<![\w:.,-])\d{3} \d{3}(?!\w)")
# What is too long for a code and holds one: a key, of which no part is let stand.
KEYS = re.compile(r"(?=[\w:+/=.-]*\d{6})[\w:+/=.-]{20,}")
# What codes are called, and what they are typed with.
OF_CODES = re.compile(
    r"\b(?:codes?|t?otp|2fa|authenticator|pin|pass(?:code|word)|token"
    r"|(?:approve|unlock|enroll|confirm|link)\w*)\b",
    re.IGNORECASE,
)
# The one-time words of /link, and the keys of authenticators; words are as long, so that those
# without a digit are none unless codes are spoken of.
ONE_TIME = re.compile(r"\b[A-Z2-7]{4}-[A-Z2-7]{4}\b|\b[A-Z2-7]{4}(?: ?[A-Z2-7]{4}){3,}\b")
DIGIT = re.compile(r"\d")
OF_PRICES = re.compile(
    r"\$|\b(?:prices?|above|below|over|under|reach\w*|levels?|stops?|targets?|support|resistance"
    r"|limit|entry|entered|usdt?|dollars?)\b",
    re.IGNORECASE,
)
# A word without the marks around it: `stop-loss` is one, `stop!stop!` are two.
BARE = re.compile(r"[\w'’/-]+")
WORD = re.compile(r"\w+")


def sounds_asked(words: str) -> bool:
    """Whether words are as many as a question has, or end as one."""
    return words.rstrip().endswith("?") or len(words.split()) >= WORDS_MIN


def question(
    line: str, role: Role, desk: Desk, commands: Sequence[Command], *, is_reply: bool = False
) -> str:
    """What a typed line asks; empty where it is a command, a slip in one, or above a role. A reply
    to a card asks about it, in however few words.

    What begins as a command that reduces risk or holds secrets stays that, whatever follows: it is
    answered at once, and goes to no model.
    """
    said = line.strip()
    asking = find(commands, [ASK])
    if asking is None or role < asking[0].role:
        return ""
    if said.startswith("/") or len(said) > LINE_MAX or not (is_reply or sounds_asked(said)):
        return ""
    words = said.split()
    stays = _is_for_the_desk(words, commands) or _parses(words, desk, commands)
    return "" if stays else said


def _is_for_the_desk(words: Sequence[str], commands: Sequence[Command]) -> bool:
    """Whether words begin as a command that reduces risk or holds secrets: `!!halt!?` does, also
    in wide letters or with marks between them that nobody sees."""
    folded = unicodedata.normalize("NFKC", " ".join(words))
    seen = "".join(each for each in folded if unicodedata.category(each) != "Cf")
    found = find(commands, [word.strip("_'’/-") for word in BARE.findall(seen)])
    return found is not None and (found[0].always or found[0].holds_secrets)


def _parses(words: Sequence[str], desk: Desk, commands: Sequence[Command]) -> bool:
    found = find(commands, words)
    if found is None:
        return False
    try:
        parse(*found, desk)
    except Refused:
        return False
    return True


def without_codes(words: str, desk: Desk) -> str:
    """A question with a mark for each authenticator's code in it, its key, and each one-time word.

    Six digits are a price where a symbol of the desk stands beside them or a word such as "above",
    and nothing speaks of codes.
    """
    of_codes = OF_CODES.search(words)

    def hidden(found: re.Match[str]) -> str:
        return HIDDEN if of_codes or DIGIT.search(found[0]) else found[0]

    words = ONE_TIME.sub(hidden, words)
    if of_codes:
        return NEAR_CODES.sub(HIDDEN, KEYS.sub(HIDDEN, words))
    coins = {symbol.lower() for symbol in desk.symbols}
    coins |= {coin.removesuffix("usdt") for coin in coins}
    of_prices = OF_PRICES.search(words) or coins & set(WORD.findall(words.lower()))
    return (SPACED_CODES if of_prices else STRAY_CODES).sub(HIDDEN, words)


def _parse_question(field: str, word: str, desk: Desk) -> str:
    return without_codes(word, desk)


Question = Annotated[str, ArgumentType("text", _parse_question, lambda desk: [], rest=True)]
