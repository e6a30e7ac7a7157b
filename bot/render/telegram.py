"""Replies as messages for Telegram: HTML, pictures with captions, and rows of buttons.

Telegram's limits are held here, and its parser accepts whatever a reply is made of. Nothing is
sent from here.
"""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from bot.render import Drawn
from bot.render.card import (
    IN_FILE,
    MESSAGES_MAX,
    NOTHING,
    Document,
    Line,
    Span,
    Style,
    attached,
    badge_of,
    button_rows,
    cards,
    document,
    error_lines,
    pages,
    runs,
    text_of,
    utf16,
)
from bot.render.plain import Paths, clean
from handlers.reply import Button, Reply

# In UTF-16 units, counted when the markup has been taken out.
TEXT_MAX = 4096
CAPTION_MAX = 1024
# Columns of code that a phone shows without breaking the line.
COLUMNS = 36
# How long labels may be where so many stand beside each other on a phone.
LABELS_WIDEST = {2: 18, 3: 11}
LABEL_MAX = 64
ROWS_MAX = 8

_TAGS = {Style.BOLD: "b", Style.ITALIC: "i"}
_TAG = re.compile(r"</?(?:b|i|pre)>")

Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True)
class TelegramMessage:
    """A message in HTML; with a photo or a document the text is its caption, and may be empty."""

    text: str = ""
    photo: Drawn | None = None
    document: Document | None = None
    buttons: Rows = ()


@dataclass(frozen=True, slots=True)
class _Section:
    """Parts of a reply from one picture up to the next."""

    photo: Drawn | None
    parts: list[Sequence[Line]]


def telegram_messages(reply: Reply, chart_paths: Paths = ()) -> list[TelegramMessage]:
    """The reply as messages in the order to send them, at least one; buttons are on the last.

    `chart_paths` as `draw_charts` gives them. What would take more than `MESSAGES_MAX` messages
    ends in a text file, after the pictures that are still to come.
    """
    sections = _joined(_sections(reply, chart_paths))
    if any(button.decides for button in reply.buttons):
        sections = _whole(sections)
    messages = list(chain.from_iterable(map(_section, sections))) or [TelegramMessage(NOTHING)]
    if len(messages) > MESSAGES_MAX:
        messages = _with_file(messages, document(reply, chart_paths), reply)
    messages += [TelegramMessage(document=file) for file in attached(reply)]
    rows = button_rows(reply.buttons, label_max=LABEL_MAX, widest=LABELS_WIDEST, rows_max=ROWS_MAX)
    return [*messages[:-1], replace(messages[-1], buttons=rows)]


def escape(text: str) -> str:
    """Foreign text as HTML that shows it and does nothing else."""
    return html.escape(clean(text), quote=False)


def plain_text(message: TelegramMessage) -> str:
    """The text without its markup, for when Telegram refuses the markup."""
    return html.unescape(_TAG.sub("", message.text))


# -- messages ----------------------------------------------------------------------------


def _sections(reply: Reply, chart_paths: Paths) -> list[_Section]:
    sections = [_Section(None, [error_lines(reply.error)] if reply.error else [])]
    for card in cards(reply.blocks, COLUMNS, chart_paths):
        if card.picture:
            sections.append(_Section(card.picture, []))
        sections[-1].parts.append(card.headed)
    sections[-1].parts.append(_badge(reply))
    return sections


def _joined(sections: list[_Section]) -> list[_Section]:
    """One message where one picture has room for all that is said before it."""
    match sections:
        case [_Section(None, before), _Section(photo, after)] if _is_caption([*before, *after]):
            return [_Section(photo, [*before, *after])]
    return sections


def _whole(sections: list[_Section]) -> list[_Section]:
    """A card without its picture where it would be two messages: a decision changes the first one
    alone, and buttons on the other would outlive it."""
    if len(sections) == 1:
        return sections
    return [_Section(None, [part for section in sections for part in section.parts])]


def _section(section: _Section) -> list[TelegramMessage]:
    if section.photo is None:
        return _texts(section.parts)
    count = next(n for n in (len(section.parts), 1, 0) if _is_caption(section.parts[:n]))
    caption = "".join(map(_html, pages(section.parts[:count], CAPTION_MAX, _cost)))
    return [TelegramMessage(caption, section.photo), *_texts(section.parts[count:])]


def _is_caption(parts: Sequence[Sequence[Line]]) -> bool:
    return len(pages(parts, CAPTION_MAX, _cost)) <= 1


def _texts(parts: Sequence[Sequence[Line]]) -> list[TelegramMessage]:
    return [TelegramMessage(_html(lines)) for lines in pages(parts, TEXT_MAX, _cost)]


def _with_file(
    messages: list[TelegramMessage], file: Document, reply: Reply
) -> list[TelegramMessage]:
    kept, rest = messages[: MESSAGES_MAX - 1], messages[MESSAGES_MAX - 1 :]
    pictures = [TelegramMessage(photo=message.photo) for message in rest if message.photo]
    caption = _html([(Span(IN_FILE),), *_badge(reply)])
    return [*kept, *pictures, TelegramMessage(caption, document=file)]


def _badge(reply: Reply) -> tuple[Line, ...]:
    badge = badge_of(reply)
    return ((Span(badge, Style.ITALIC),),) if badge else ()


# -- HTML --------------------------------------------------------------------------------


def _html(lines: Iterable[Line]) -> str:
    return "\n".join(
        f"<pre>{escape(_joined_text(run))}</pre>" if is_code else "\n".join(map(_html_line, run))
        for is_code, run in runs(lines)
    )


def _html_line(line: Line) -> str:
    return "".join(_html_span(span) for span in line if span.text)


def _html_span(span: Span) -> str:
    tag = _TAGS.get(span.style)
    return f"<{tag}>{escape(span.text)}</{tag}>" if tag else escape(span.text)


def _joined_text(lines: Iterable[Line]) -> str:
    return "\n".join(map(text_of, lines))


def _cost(span: Span) -> int:
    return utf16(span.text)
