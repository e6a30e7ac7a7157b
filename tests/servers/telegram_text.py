"""Formatted text as Telegram reads it, by its own parser (TDLib, which needs no account here)."""

import json
import re
from typing import Any

import tdjson

from tests.servers.telegram_refusal import bad_request

PARSE_MODES = {
    "html": {"@type": "textParseModeHTML"},
    "markdown": {"@type": "textParseModeMarkdown", "version": 1},
    "markdownv2": {"@type": "textParseModeMarkdown", "version": 2},
}
# Where the Bot API's name is not TDLib's in snake case.
NAMES = {
    "block_quote": "blockquote",
    "expandable_block_quote": "expandable_blockquote",
    "pre_code": "pre",
    "text_url": "text_link",
    "mention_name": "text_mention",
}
DETECTED = {"mention", "hashtag", "cashtag", "bot_command", "url"}

Entities = list[dict[str, Any]]


def units(text: str) -> int:
    """The length of a text as Telegram counts it: in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def parsed(text: str, parse_mode: str | None) -> tuple[str, Entities]:
    """The text without its markup, and its entities; raises Refused in Telegram's own words."""
    if not parse_mode:
        return text, []
    if parse_mode.lower() not in PARSE_MODES:
        raise bad_request("unsupported parse_mode")
    mode = PARSE_MODES[parse_mode.lower()]
    answer = _execute({"@type": "parseTextEntities", "text": text, "parse_mode": mode})
    if answer["@type"] == "error":
        reason = answer["message"]
        raise bad_request(reason[0].lower() + reason[1:])
    return answer["text"], [_entity(each) for each in answer["entities"]]


def detected(text: str) -> Entities:
    """The commands, links and names that Telegram finds in what a person writes."""
    answer = _execute({"@type": "getTextEntities", "text": text})
    entities = [_entity(each) for each in answer["entities"]]
    return [each for each in entities if each["type"] in DETECTED]


def _entity(entity: dict[str, Any]) -> dict[str, Any]:
    kind = entity["type"]
    words = kind["@type"].removeprefix("textEntityType")
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", words).lower()
    plain = {
        "type": NAMES.get(name, name),
        "offset": entity["offset"],
        "length": entity["length"],
    }
    return plain | {key: kind[key] for key in ("url", "language") if kind.get(key)}


def _execute(request: dict[str, Any]) -> dict[str, Any]:
    answer = tdjson.td_execute(json.dumps(request).encode())
    assert answer is not None
    found: dict[str, Any] = json.loads(answer)
    return found


# TDLib writes to stderr from the level of warnings on.
_execute({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})
