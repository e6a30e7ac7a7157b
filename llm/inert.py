"""A model's words without power: nothing in them can be pressed, followed, or calls anybody.

Chats make links of bare words: of addresses, of names behind an `@`, of commands behind a slash,
which are said by whoever touches them. The renderers know about markup, and not about these.
"""

import re
from collections.abc import Container

from llm.quoting import clean

LINK = "(a link is left out)"
ELLIPSIS = "…"
READ_TIMES = 4
# Breaks of the text that may be shortened there, the best first.
BREAKS = (". ", "\n", " ")

_MARKDOWN_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\n]{0,300}\)")
_TAG = re.compile(r"</?[a-zA-Z!][^<>\n]{0,300}>")
_ADDRESS = re.compile(r"[\w+.-]{0,20}:/{2,}[^\s)\]]*|\b(?:mailto|javascript|data):\S+")
# `evil.com`, and not 1.5 or the end of a sentence.
_DOMAIN = re.compile(r"(?<=\w)[.。．｡](?=[^\W\d_]{2})")
_MENTION = re.compile(r"[@＠]+(?=\S)")
_COMMAND = re.compile(r"(?<!\w)/([^\W\d]\w*)")
_SLASHES = re.compile(r"[/／]+")
_EMPHASIS = re.compile(r"\*{1,3}|_{2,}|`+|~~|\|\|")
_HEADING = re.compile(r"^[ \t]*(?:(?:#{1,6}|>+)[ \t]+)+", re.MULTILINE)
_BULLET = re.compile(r"^([ \t]*)[*•][ \t]+", re.MULTILINE)
# The phrase that approves what is red, from its first word to the end of its line.
_PHRASE = re.compile(r"APPROVE[ \t]+\S[^\n]*")


def inert(text: str, commands: Container[str], limit: int) -> str:
    """Plain words, at most `limit` characters: without links, mentions and markup, and without
    what people don't see. Of commands only those named in `commands` keep their slash."""
    # What is far too long to be shown is not worth the work.
    text = clean(text, READ_TIMES * limit)
    # What is taken away may leave something that had no power before.
    while (bare := _bare(text, commands)) != text:
        text = bare
    return _shortened("\n".join(line.rstrip() for line in text.splitlines()).strip(), limit)


def _bare(text: str, commands: Container[str]) -> str:
    def said(found: re.Match[str]) -> str:
        return f"/{found[1]}" if found[1].lower() in commands else found[1]

    text = _MARKDOWN_LINK.sub(r"\1", text).replace("](", "] (")
    text = _ADDRESS.sub(LINK, _TAG.sub("", text))
    text = _HEADING.sub("", _BULLET.sub(r"\1- ", text))
    text = _EMPHASIS.sub("", text)
    text = _DOMAIN.sub("[.]", _MENTION.sub("", text))
    return _COMMAND.sub(said, _SLASHES.sub("/", without_phrases(text)))


def without_phrases(text: str) -> str:
    """The text without phrases that approve: they are for people to read from a card."""
    return _PHRASE.sub("(a phrase is left out)", text)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    for end in BREAKS:
        place = head.rfind(end)
        if place > limit // 2:
            return f"{head[: place + len(end.rstrip())].rstrip()}{ELLIPSIS}"
    return f"{head}{ELLIPSIS}"
