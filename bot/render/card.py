"""Replies as cards of styled lines, which the chats' renderers write in their own markup.

Here is what chats have in common: what a card says, pages for what is too long for one message,
a file for what is too long for several, rows of buttons. Only badges and labels are cut short.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import groupby
from typing import NamedTuple

from bot.render import Drawn, Picture
from bot.render.plain import (
    SPARKS_MAX,
    Cell,
    Paths,
    Sheet,
    cell_of,
    clean,
    course_of,
    grid,
    in_words,
    one_line,
    range_of,
    sheet_of,
    sparkline,
    uncolored,
    undrawn,
)
from bot.render.qr import QrCode
from handlers.reply import (
    Block,
    Button,
    Chart,
    Code,
    Enrollment,
    Fields,
    File,
    Reply,
    Table,
    Text,
    Value,
)

# More messages for one answer than this bury the chat; the answer comes as a file then.
MESSAGES_MAX = 5
# Where lines are as long as they like; a wider table is read as cards there too.
FILE_COLUMNS = 160
FILE_NAME = "answer.txt"
IN_FILE = "The whole answer is in the file."
BADGE_MAX = 200
# A chat takes no empty message.
NOTHING = "Nothing to show."
ATTACHED = "In a file:"
SCAN = "Scan the picture with an authenticator app, or type this key into it:"
NOTHING_ENROLLS = "No enrollment waits to be confirmed any more. /enroll begins a new one."

_LIGHTS = {"green": "🟢 green", "yellow": "🟡 yellow", "red": "🔴 red"}
_MARKS = ("✓", "✗")


class Style(Enum):
    PLAIN = auto()
    BOLD = auto()
    ITALIC = auto()
    CODE = auto()


class Span(NamedTuple):
    """A piece of one line. The text is clean, but not yet escaped for any markup."""

    text: str
    style: Style = Style.PLAIN


Line = tuple[Span, ...]
# How much of a message's room a span takes, in the chat's own units.
Cost = Callable[[Span], int]


@dataclass(frozen=True, slots=True)
class Card:
    """What one block of a reply says.

    `picture` is a chart that was drawn, or a QR code, `pairs` are the names and values of fields,
    which are lines as well.
    """

    title: str
    lines: tuple[Line, ...]
    picture: Drawn | None = None
    pairs: tuple[tuple[str, Span], ...] = ()

    @property
    def headed(self) -> tuple[Line, ...]:
        """The lines with the title above them."""
        return ((Span(self.title, Style.BOLD),), *self.lines) if self.title else self.lines


class Document(NamedTuple):
    """A file that is sent: its name and what it holds."""

    name: str
    content: bytes


def cards(blocks: Iterable[Block], columns: int, chart_paths: Paths = ()) -> list[Card]:
    """A card for each block; tables are grids where `columns` characters of code hold them.

    `chart_paths` as `draw_charts` gives them.
    """
    paths = iter(chart_paths)
    return [_card(block, columns, paths) for block in blocks]


def error_lines(error: str) -> tuple[Line, ...]:
    """An error as lines, marked as one."""
    return _paragraph(f"✗ {error}")


def badge_of(reply: Reply) -> str:
    """The badge in one line short enough for everywhere; empty where there is none."""
    return shortened(one_line(reply.badge or "").strip(), BADGE_MAX)


def document(reply: Reply, chart_paths: Paths = ()) -> Document:
    """The whole reply as a text file in UTF-8."""
    parts = [card.headed for card in cards(reply.blocks, FILE_COLUMNS, chart_paths)]
    if reply.error:
        parts.insert(0, error_lines(reply.error))
    if badge := badge_of(reply):
        parts.append(_paragraph(badge))
    text = "\n\n".join("\n".join(text_of(line) for line in lines) for lines in parts)
    return Document(FILE_NAME, f"{text}\n".encode())


def attached(reply: Reply) -> list[Document]:
    """The files that a reply brings."""
    files = [block for block in reply.blocks if isinstance(block, File)]
    return [Document(file.name, file.content.encode(errors="replace")) for file in files]


def text_of(line: Line) -> str:
    """A line without its styles."""
    return "".join(span.text for span in line)


def runs(lines: Iterable[Line]) -> Iterator[tuple[bool, list[Line]]]:
    """The lines in order, those of code apart from the others: whether it is code, and which."""
    for is_code, run in groupby(lines, lambda line: bool(line) and line[0].style is Style.CODE):
        yield is_code, list(run)


def button_rows(
    buttons: Sequence[Button], *, label_max: int, widest: Mapping[int, int], rows_max: int
) -> tuple[tuple[Button, ...], ...]:
    """Buttons in rows, in order; those for whom there is no room can only be typed.

    `widest` says how long (in characters) each label may be where so many stand in a row. Where
    that takes more than `rows_max` rows, all of them are as full as can be.
    """
    labeled = [_labeled(button, label_max) for button in buttons]
    rows: list[list[Button]] = []
    for button in labeled:
        if rows and _stand_together([*rows[-1], button], widest):
            rows[-1].append(button)
        else:
            rows.append([button])
    if len(rows) > rows_max:
        full = max(widest)
        rows = [labeled[at : at + full] for at in range(0, len(labeled), full)]
    return tuple(tuple(row) for row in rows[:rows_max])


def _labeled(button: Button, label_max: int) -> Button:
    label = one_line(button.label).strip() or one_line(button.command)
    return replace(button, label=shortened(label, label_max))


def _stand_together(row: Sequence[Button], widest: Mapping[int, int]) -> bool:
    return max(len(button.label) for button in row) <= widest.get(len(row), 0)


def shortened(text: str, length: int) -> str:
    """At most `length` characters of a text; an ellipsis tells that something is missing."""
    return text if len(text) <= length else text[: length - 1] + "…"


# -- blocks ------------------------------------------------------------------------------


def _card(block: Block, columns: int, paths: Iterator[Drawn | None]) -> Card:
    match block:
        case Text(text):
            return Card("", _paragraph(text))
        case Fields(words=words) if words:
            return Card("", _paragraph(words))
        case Fields(title, fields):
            return _fields(one_line(title).strip(), fields)
        case Table(title, _, rows):
            if not rows:
                return Card("", _paragraph(block.empty))
            return Card(one_line(title).strip(), _table(sheet_of(block), columns))
        case Code(text):
            return Card("", _code(clean(text).split("\n")))
        case Chart(chart):
            path = next(paths, None)
            return Card(one_line(chart.title).strip(), _chart(chart, path), path)
        case Enrollment():
            return _enrollment(next(paths, None))
        case File(name):
            return Card("", _paragraph(f"{ATTACHED} {one_line(name)}"))


def _paragraph(text: str) -> tuple[Line, ...]:
    return tuple((Span(line),) for line in clean(text).split("\n"))


def _code(lines: Iterable[str]) -> tuple[Line, ...]:
    return tuple((Span(line, Style.CODE),) for line in lines)


def _fields(title: str, fields: dict[str, Value]) -> Card:
    pairs = tuple((in_words(name), _value(cell_of(value))) for name, value in fields.items())
    return Card(title, tuple((Span(f"{name}: "), value) for name, value in pairs), pairs=pairs)


def _value(cell: Cell) -> Span:
    """Numbers are what people look for."""
    return Span(_LIGHTS.get(cell.text, cell.text), Style.BOLD if cell.is_number else Style.PLAIN)


def _table(sheet: Sheet, columns: int) -> tuple[Line, ...]:
    lines = grid(sheet, columns)
    if lines is not None:
        return _code(uncolored(line) for line in lines)
    return tuple(line for row in sheet.rows for line in _row(sheet.heads, row))


def _row(heads: Sequence[str], row: Sequence[Cell]) -> Iterator[Line]:
    """A row as what it is about, in words, and beneath it the rest with its names.

    `T4 · BTCUSDT · short`, then `entry 119,960.0 · net +149.67`.
    """
    first = next((at for at, cell in enumerate(row, 1) if cell.text not in _MARKS), len(row))
    is_word = [not cell.is_fact and cell.text not in ("-", *_MARKS) for cell in row[first:]]
    told = first + next((at for at, word in enumerate(is_word) if not word), len(is_word))
    heading = Span(" ".join(cell.text for cell in row[:first]), Style.BOLD)
    yield heading, *(Span(f" · {_value(cell).text}") for cell in row[first:told])
    if told < len(row):
        yield tuple(_named(zip(heads[told:], row[told:], strict=True)))


def _named(pairs: Iterable[tuple[str, Cell]]) -> Iterator[Span]:
    """Cells and their names, one after the other; gains and losses stand out."""
    for place, (head, cell) in enumerate(pairs):
        yield Span(f" · {head} " if place else f"{head} ")
        yield _value(cell) if cell.style else Span(cell.text)


def _chart(chart: Picture, path: Drawn | None) -> tuple[Line, ...]:
    """What a picture does not say by itself; without one, also its course."""
    lines = [*_paragraph(one_line(chart.subtitle))]
    if path is None:
        course = sparkline(course_of(chart), SPARKS_MAX // 2)
        lines += [*_code([course]), *_paragraph(one_line(undrawn(chart)))]
    return (*lines, *_paragraph(" · ".join(range_of(chart))))


def _enrollment(drawn: Drawn | None) -> Card:
    """What an authenticator scans, and the same to be typed."""
    if not isinstance(drawn, QrCode):
        return Card("", _paragraph(NOTHING_ENROLLS))
    return Card("Authenticator", (*_paragraph(SCAN), *_code([drawn.seed])), drawn)


# -- pages -------------------------------------------------------------------------------


def pages(parts: Iterable[Sequence[Line]], room: int, cost: Cost) -> list[list[Line]]:
    """The parts, with a blank line between them, on pages that each cost at most `room`.

    A part that fits on a page is not torn apart, a line that fits is not either, and a longer
    one is torn between words where it has any. A page is never blank. The costs of spans are
    added up, with one for each line's end; more text must never cost less.
    """
    filled = [_Page(room, cost)]
    for part in parts:
        if all(map(_is_blank, part)):
            continue
        gap: tuple[Line, ...] = ((),) if filled[-1].lines else ()
        size = sum(filled[-1].cost_of(line) for line in part)
        if filled[-1].used + len(gap) + size > room >= size:
            filled.append(_Page(room, cost))
            gap = ()
        for line in (*gap, *part):
            for piece in _torn(line, room - 1, cost):
                if not filled[-1].took(piece):
                    filled.append(_Page(room, cost))
                    filled[-1].took(piece)
    return [lines for page in filled if (lines := page.trimmed())]


class _Page:
    """Lines of one message, while it is filled."""

    def __init__(self, room: int, cost: Cost) -> None:
        self._room = room
        self._cost = cost
        self.lines: list[Line] = []
        self.used = 0

    def cost_of(self, line: Line) -> int:
        return sum(map(self._cost, line)) + 1

    def took(self, line: Line) -> bool:
        """Add a line where there is room for it; whether there was."""
        used = self.used + self.cost_of(line)
        if used > self._room:
            return False
        self.lines.append(line)
        self.used = used
        return True

    def trimmed(self) -> list[Line]:
        """The lines without blank ones at the ends."""
        told = [place for place, line in enumerate(self.lines) if not _is_blank(line)]
        return self.lines[told[0] : told[-1] + 1] if told else []


def _is_blank(line: Line) -> bool:
    return not text_of(line).strip()


def _torn(line: Line, room: int, cost: Cost) -> Iterator[Line]:
    """The line in pieces that each cost at most `room`; whole where it does not cost more."""
    if sum(map(cost, line)) <= room:
        yield line
        return
    kept: list[Span] = []
    left = room
    for span in line:
        rest = span
        while cost(rest) > left:
            at = _tear(rest, left, cost) if left >= room or cost(rest) > room else 0
            if at:
                kept.append(rest._replace(text=rest.text[:at]))
                rest = rest._replace(text=rest.text[at:])
            yield tuple(kept)
            kept, left = [], room
        kept.append(rest)
        left -= cost(rest)
    yield tuple(kept)


def _tear(span: Span, room: int, cost: Cost) -> int:
    """How many characters of a span cost at most `room`, best with whole words."""
    ends = range(len(span.text) + 1)
    fit = bisect_right(ends, room, key=lambda end: cost(span._replace(text=span.text[:end]))) - 1
    if fit <= 0:
        return 0
    at = span.text.rfind(" ", 0, fit) + 1
    return at or _between_letters(span.text, fit)


def _between_letters(text: str, place: int) -> int:
    """The last place up to this one that parts no letter from its marks."""
    at = place
    while at and _leans(text[at]):
        at -= 1
    return at or place


def _leans(character: str) -> bool:
    """Whether a character only changes the one before: accents, and the skin of an emoji."""
    return (
        unicodedata.category(character).startswith("M") or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def utf16(text: str) -> int:
    """How long a text is as chats count: in UTF-16 units."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
