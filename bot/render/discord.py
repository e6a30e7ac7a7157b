"""Replies as messages for Discord: embeds, pictures, and rows of buttons.

Discord's limits are held here. Nothing is sent from here, and nothing of Discord's library is
known: an `Embed` is what its own will be made of.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, takewhile

from bot.render import Drawn
from bot.render.card import (
    BADGE_MAX,
    IN_FILE,
    MESSAGES_MAX,
    NOTHING,
    Card,
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
from handlers.reply import Block, Button, Fields, File, Money, Reply, Table, Text

# In UTF-16 units, with the markup.
CONTENT_MAX = 2000
# The badge has room beneath them.
WORDS_MAX = CONTENT_MAX - 2 * BADGE_MAX - len("\n-# ")
TITLE_MAX = 256
DESCRIPTION_MAX = 4096
NAME_MAX = 256
# Over all embeds of a message.
EMBEDS_LENGTH_MAX = 6000
EMBEDS_MAX = 10
# Columns of code that an embed shows without breaking the line.
COLUMNS = 56
# A few short values are read faster beside each other, more of them below each other.
INLINE_FIELDS_MAX = 6
INLINE_VALUE_MAX = 24
LABEL_MAX = 80
ROWS_MAX = 5
# Five in a row, however long: Discord itself breaks a row that is too wide.
LABELS_WIDEST = dict.fromkeys(range(2, 6), LABEL_MAX)

RED, GREEN = 0xED4245, 0x57F287

_STARS = {Style.PLAIN: "", Style.BOLD: "**", Style.ITALIC: "*"}
# What is read as markup wherever it stands; a colon only where it may begin an emoji's name or
# the `//` of a link, and not in 16:20.
_ANYWHERE = re.compile(r"[\\*_~`|<>\[\]]|:(?!(?<=\d:)\d\d(?![\w:]))(?=[\w+/-])")
# Headings, lists and small print.
_AT_START = re.compile(r"^([^\S\n]*)(#{1,3}|-#|[-+])(?=\s)", re.MULTILINE)
_NUMBERED = re.compile(r"^([^\S\n]*\d+)\.(?=\s)", re.MULTILINE)
# What `escape` makes longer, and how much each style's own marks take.
_COSTLY = "\\*_~`|<>[]:#-+.@"
_MARKUP = {Style.PLAIN: 0, Style.BOLD: 4, Style.ITALIC: 2, Style.CODE: len("```\n\n```")}

Rows = tuple[tuple[Button, ...], ...]


@dataclass(frozen=True, slots=True)
class EmbedField:
    """A name and a value, in Markdown."""

    name: str
    value: str
    inline: bool = True


@dataclass(frozen=True, slots=True)
class Embed:
    """Title, description and fields are Markdown, the footer is not; `color` is 0xRRGGBB.

    `image` is one of the message's files, shown as `attachment://` and its name.
    """

    title: str = ""
    description: str = ""
    fields: tuple[EmbedField, ...] = ()
    color: int | None = None
    footer: str = ""
    image: Drawn | None = None

    @property
    def length(self) -> int:
        """What counts towards the limit of all embeds of a message, in UTF-16 units."""
        named = sum(utf16(field.name) + utf16(field.value) for field in self.fields)
        return utf16(self.title) + utf16(self.description) + utf16(self.footer) + named


@dataclass(frozen=True, slots=True)
class DiscordMessage:
    """A message in Markdown; `files` are the pictures its embeds show."""

    content: str = ""
    embeds: tuple[Embed, ...] = ()
    files: tuple[Drawn, ...] = ()
    document: Document | None = None
    buttons: Rows = ()


def discord_messages(reply: Reply, chart_paths: Paths = ()) -> list[DiscordMessage]:
    """The reply as messages in the order to send them, at least one; buttons are on the last.

    Sentences at the beginning are the message's own words, which a phone's notification shows;
    every other block is an embed. Errors are red, and fields with a signed `net` are green or
    red by its sign. `chart_paths` as `draw_charts` gives them. What would take more than
    `MESSAGES_MAX` messages ends in a text file, after the pictures that are still to come.
    """
    badge = badge_of(reply)
    words, blocks = _words(reply)
    embeds = _footed(_embeds(reply, blocks, chart_paths), badge)
    messages = _packed(words if embeds else _small_print(words or NOTHING, badge), embeds)
    if len(messages) > MESSAGES_MAX:
        messages = _with_file(messages, document(reply, chart_paths), reply)
    messages += [DiscordMessage(document=file) for file in attached(reply)]
    rows = button_rows(reply.buttons, label_max=LABEL_MAX, widest=LABELS_WIDEST, rows_max=ROWS_MAX)
    return [*messages[:-1], replace(messages[-1], buttons=rows)]


def escape(text: str) -> str:
    """Foreign text as Markdown that shows it and does nothing else.

    Nobody is mentioned: a mark of no width stands behind every @.
    """
    return _begun(_ANYWHERE.sub(r"\\\g<0>", clean(text))).replace("@", "@\u200b")


def _begun(text: str) -> str:
    """The text with nothing at the beginning of a line that makes more of the line."""
    return _NUMBERED.sub(r"\1\\.", _AT_START.sub(r"\1\\\2", text))


# -- messages ----------------------------------------------------------------------------


def _words(reply: Reply) -> tuple[str, Sequence[Block]]:
    """The sentences a reply begins with, where they are few enough, and what else there is."""
    texts = [] if reply.error else list(takewhile(_is_sentence, reply.blocks))
    found = pages([card.lines for card in cards(texts, COLUMNS)], WORDS_MAX, _cost)
    if len(found) != 1:
        return "", reply.blocks
    return _markdown(found[0]), reply.blocks[len(texts) :]


def _is_sentence(block: Block) -> bool:
    match block:
        case Text() | File():
            return True
        case Fields(words=words):
            return bool(words)
        case Table(rows=rows):
            return not rows
    return False


def _small_print(words: str, badge: str) -> str:
    return f"{words}\n-# {escape(badge)}" if badge else words


def _packed(words: str, embeds: Iterable[Embed]) -> list[DiscordMessage]:
    groups: list[list[Embed]] = [[]]
    for embed in embeds:
        length = sum(other.length for other in groups[-1]) + embed.length
        if len(groups[-1]) == EMBEDS_MAX or length > EMBEDS_LENGTH_MAX:
            groups.append([])
        groups[-1].append(embed)
    first, *others = (DiscordMessage(embeds=tuple(group), files=_files(group)) for group in groups)
    return [replace(first, content=words), *others]


def _files(embeds: Iterable[Embed]) -> tuple[Drawn, ...]:
    return tuple(dict.fromkeys(embed.image for embed in embeds if embed.image))


def _with_file(
    messages: list[DiscordMessage], file: Document, reply: Reply
) -> list[DiscordMessage]:
    kept, rest = messages[: MESSAGES_MAX - 1], messages[MESSAGES_MAX - 1 :]
    images = [Embed(image=path) for message in rest for path in message.files]
    content = _small_print(IN_FILE, badge_of(reply))
    last = DiscordMessage(content, document=file)
    return [*kept, *(_packed("", images) if images else ()), last]


# -- embeds ------------------------------------------------------------------------------


def _embeds(reply: Reply, blocks: Sequence[Block], chart_paths: Paths) -> list[Embed]:
    told = zip(blocks, cards(blocks, COLUMNS, chart_paths), strict=True)
    errors = _flowing("", error_lines(reply.error), RED) if reply.error else []
    return [*errors, *chain.from_iterable(_embeds_of(block, card) for block, card in told)]


def _embeds_of(block: Block, card: Card) -> list[Embed]:
    title = escape(card.title)
    fits = utf16(title) <= TITLE_MAX
    color = _color(block)
    if fits and _are_few(card.pairs):
        fields = tuple(EmbedField(escape(name), escape(span.text)) for name, span in card.pairs)
        return [Embed(title, fields=fields, color=color)]
    if fits:
        return _flowing(title, card.lines, color, card.picture)
    return _flowing("", card.headed, color, card.picture)


def _flowing(
    title: str, lines: Sequence[Line], color: int | None, image: Drawn | None = None
) -> list[Embed]:
    """Lines as descriptions, in several embeds where they are long; the first has the rest."""
    texts = [_markdown(page) for page in pages([lines], DESCRIPTION_MAX, _cost)]
    first, *others = texts or [""]
    if not (title or first or image):
        return []
    more = [Embed(description=text, color=color) for text in others]
    return [Embed(title, first, color=color, image=image), *more]


def _are_few(pairs: Sequence[tuple[str, Span]]) -> bool:
    return 0 < len(pairs) <= INLINE_FIELDS_MAX and all(
        name.strip()
        and span.text.strip()
        and utf16(escape(name)) <= NAME_MAX
        and len(span.text) <= INLINE_VALUE_MAX
        for name, span in pairs
    )


def _color(block: Block) -> int | None:
    match block:
        case Fields(fields={"net": Money(amount, signed=True)}) if amount:
            return GREEN if amount > 0 else RED
    return None


def _footed(embeds: list[Embed], badge: str) -> list[Embed]:
    """With the badge at the end, where there is an end."""
    return [*embeds[:-1], *(replace(last, footer=badge) for last in embeds[-1:])]


# -- Markdown ----------------------------------------------------------------------------


def _markdown(lines: Iterable[Line]) -> str:
    return "\n".join(
        _code(run) if is_code else "\n".join(map(_markdown_line, run))
        for is_code, run in runs(lines)
    )


def _code(lines: Iterable[Line]) -> str:
    """A code block; marks of no width keep the code from closing it."""
    text = re.sub("`(?=`)", "`\u200b", "\n".join(map(text_of, lines)))
    return f"```\n{text}\n```"


def _markdown_line(line: Line) -> str:
    return _begun("".join(map(_markdown_span, line)))


def _markdown_span(span: Span) -> str:
    stars = _STARS[span.style] if span.text else ""
    return f"{stars}{escape(span.text)}{stars}"


def _cost(span: Span) -> int:
    """At most what a span takes with all its markup."""
    return utf16(span.text) + sum(map(span.text.count, _COSTLY)) + _MARKUP[span.style]
