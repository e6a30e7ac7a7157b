"""Replies as plain text for terminals, and as one JSON line for machines."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import zip_longest
from textwrap import wrap
from typing import Any, NamedTuple

from bot.render import Drawn, Picture, decimals
from handlers.reply import (
    BarChart,
    Block,
    Button,
    CandleChart,
    Chart,
    Code,
    CurvesChart,
    Duration,
    Enrollment,
    Fields,
    File,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Whole,
    raw,
    show,
)

Paths = Sequence[Drawn | None]

WIDTH = 100
# Below this nothing is readable anyway; it keeps the arithmetic of columns sound.
WIDTH_MIN = 20
# What a column of words may be cut to before a table gives up and shows cards.
WORDS_MIN = 8
PADDINGS = (3, 2, 1)
SPARKS = "▁▂▃▄▅▆▇█"
SPARKS_MAX = 60
# Fewer fields are read faster below each other.
TWO_COLUMNS_FROM = 8
# A terminal keeps what it showed, and a machine's log does too.
ENROLL_ELSEWHERE = "Enrollment needs a private chat with the desk: say /enroll there."

BOLD, DIM, RESET = "\x1b[1m", "\x1b[2m", "\x1b[0m"
RED, GREEN, YELLOW = "\x1b[31m", "\x1b[32m", "\x1b[33m"
_STYLE = re.compile(r"\x1b\[\d+m")
_NUMBERS = (Money, Price, Quantity, Percent, Multiple, Duration)


def to_text(reply: Reply, width: int = WIDTH, color: bool = True, chart_paths: Paths = ()) -> str:
    """The reply for a terminal of `width` columns; `chart_paths` as `draw_charts` gives them."""
    width = max(width, WIDTH_MIN)
    paths = iter(chart_paths)
    parts = [_paragraph(f"✗ {reply.error}", width, RED)] if reply.error else []
    parts += [_block(block, width, paths) for block in reply.blocks]
    if reply.buttons:
        parts.append(_hints(reply.buttons, width))
    if reply.badge:
        parts.append([_paint(_cut(one_line(reply.badge), width), DIM)])
    text = "\n\n".join("\n".join(lines) for lines in parts)
    return text if color else uncolored(text)


def to_json(reply: Reply, command: str, chart_paths: Paths = ()) -> str:
    """The reply as one line: `command`, `ok`, `error`, `blocks`, `buttons`, with raw values."""
    paths = iter(chart_paths)
    return json.dumps(
        {
            "command": command,
            "ok": reply.ok,
            "error": reply.error,
            "blocks": [_data(block, paths) for block in reply.blocks],
            "buttons": [{"label": b.label, "command": b.command} for b in reply.buttons],
        },
        separators=(",", ":"),
    )


def clean(text: str) -> str:
    """Text without power over a terminal: control characters become pictures of themselves."""
    if text.isprintable():
        return text
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    if character == "\n":
        return character
    if character in "\t\u2028\u2029":
        return " "
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    # Cc: the other controls. Cf: marks that turn the direction of text, or hide in it.
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cf", "Cs") else character


def one_line(text: str) -> str:
    """The same in one line."""
    return clean(text).replace("\n", " ")


# -- JSON --------------------------------------------------------------------------------


def _data(block: Block, paths: Iterator[Drawn | None]) -> dict[str, Any]:
    match block:
        case Text(text):
            return {"kind": "text", "text": text}
        case Fields(title, fields):
            values = {name: raw(value) for name, value in fields.items()}
            return {"kind": "fields", "title": title, "fields": values}
        case Table(title, columns, rows):
            cells = [[raw(value) for value in row] for row in rows]
            return {"kind": "table", "title": title, "columns": list(columns), "rows": cells}
        case Code(text):
            return {"kind": "code", "text": text}
        case Chart(chart):
            path = next(paths, None)
            if path is None:
                return {"kind": "text", "text": undrawn(chart)}
            return {"kind": "chart", "path": str(path)}
        case Enrollment():
            next(paths, None)
            return {"kind": "text", "text": ENROLL_ELSEWHERE}
        case File(name, content):
            return {"kind": "file", "name": name, "content": content}


def undrawn(chart: Picture) -> str:
    """What stands where a picture should."""
    return f"The chart {chart.title} could not be drawn."


# -- blocks ------------------------------------------------------------------------------


def _block(block: Block, width: int, paths: Iterator[Drawn | None]) -> list[str]:
    match block:
        case Text(text):
            return _paragraph(text, width)
        case Fields(words=words) if words:
            return _paragraph(words, width)
        case Fields():
            return [*_title(block.title, width), *_fields(block.fields, width)]
        case Table():
            if not block.rows:
                return _paragraph(block.empty, width)
            return [*_title(block.title, width), *_table(block, width)]
        case Code(text):
            return [f"  {line}" for line in clean(text).splitlines()]
        case Chart(chart):
            return [*_title(chart.title, width), *_chart(chart, next(paths, None), width)]
        case Enrollment():
            next(paths, None)
            return _paragraph(ENROLL_ELSEWHERE, width)
        case File(name, content):
            # As it is, so that it can be put into a file.
            return [*_title(name, width), *clean(content).splitlines()]


def _title(title: str, width: int) -> list[str]:
    return [_paint(_cut(one_line(title), width), BOLD)] if title else []


def _paragraph(text: str, width: int, style: str = "") -> list[str]:
    lines = clean(text).split("\n")
    return [_paint(part, style) for line in lines for part in wrap(line, width) or [""]]


def _fields(fields: dict[str, Value], width: int) -> list[str]:
    """Names and values below each other; in two columns where there are many and they fit."""
    names = {name: in_words(name) for name in fields}
    longest = max(map(_width, names.values()), default=0)
    half = (len(fields) + 1) // 2
    column = (width - 4) // 2
    cells = {name: cell_of(value) for name, value in fields.items()}
    pairs = [(names[name], cells[name]) for name in fields]
    fits = longest + 4 <= column // 2 and all(
        longest + 4 + _width(cell.text) <= column for cell in cells.values()
    )
    if len(fields) < TWO_COLUMNS_FROM or not fits:
        return [line for name, cell in pairs for line in _field(name, cell, longest, width)]
    left = [_field(name, cell, longest, column)[0] for name, cell in pairs[:half]]
    right = [_field(name, cell, longest, column)[0] for name, cell in pairs[half:]]
    return [
        f"{_pad(first, column)}    {second}".rstrip()
        for first, second in zip_longest(left, right, fillvalue="")
    ]


def _field(name: str, cell: "Cell", longest: int, width: int) -> list[str]:
    """A name and its value, which goes on beneath itself when it is long."""
    start = min(longest + 4, width // 2)
    lines = wrap(cell.text, max(width - start, 1)) or [""]
    head = _pad(_paint("  " + _cut(name, start - 4), DIM), start)
    rest = [" " * start + _paint(line, cell.style) for line in lines[1:]]
    return [head + _paint(lines[0], cell.style), *rest]


def _chart(chart: Picture, path: Drawn | None, width: int) -> list[str]:
    """A picture for those who see none: its course in one line, its range, where it lies."""
    where = [_paint(one_line(str(path)), DIM)] if path else _paragraph(undrawn(chart), width, DIM)
    return [
        _paint(_cut(one_line(chart.subtitle), width), DIM),
        sparkline(course_of(chart), min(width, SPARKS_MAX)),
        *wrap("   ".join(range_of(chart)), width),
        *where,
    ]


def course_of(chart: Picture) -> list[float]:
    """What a chart draws, as numbers one after the other."""
    if isinstance(chart, CandleChart):
        return [candle.close for candle in chart.candles]
    if isinstance(chart, BarChart):
        return [amount for _, amount in chart.bars]
    if isinstance(chart, CurvesChart):
        return [share for _, share in chart.curves[0][1]]
    return [worth for _, worth in chart.points]


def range_of(chart: Picture) -> list[str]:
    """How low and how high a chart goes, and its levels: `low 99.00`, `stop 140.25`."""
    course = course_of(chart)
    if isinstance(chart, CandleChart):
        low = min((candle.low for candle in chart.candles), default=0.0)
        high = max((candle.high for candle in chart.candles), default=0.0)
        digits = decimals([*course, *(level for _, level in chart.levels)])
        levels = [("low", low), ("high", high), *chart.levels]
        return [f"{one_line(name)} {show(Price(level, digits))}" for name, level in levels]
    if isinstance(chart, CurvesChart):
        ends = [(name, points[-1][1]) for name, points in chart.curves]
        return [f"{one_line(name)} {show(Percent(share, signed=True))}" for name, share in ends]
    low, high = min(course, default=0.0), max(course, default=0.0)
    return [f"{name} {_rounded(worth)}" for name, worth in (("low", low), ("high", high))]


def _rounded(worth: float) -> str:
    return show(Money(round(Decimal(repr(worth)), 2)))


def sparkline(course: Sequence[float], width: int) -> str:
    """A course of numbers in one line of at most `width` characters."""
    if not course:
        return ""
    count = min(width, len(course))
    points = [course[(index + 1) * len(course) // count - 1] for index in range(count)]
    low, high = min(points), max(points)
    if low == high:
        return SPARKS[len(SPARKS) // 2] * count
    top = len(SPARKS) - 1
    return "".join(SPARKS[round((point - low) / (high - low) * top)] for point in points)


def _hints(buttons: Sequence[Button], width: int) -> list[str]:
    """The commands behind the buttons, as something one could type."""
    lines = [""]
    for command in dict.fromkeys(one_line(button.usage) for button in buttons):
        wider = f"{lines[-1]}   {command}" if lines[-1] else command
        if _width(wider) <= width:
            lines[-1] = wider
        else:
            lines.append(_cut(command, width))
    return [_paint(line, DIM) for line in lines if line]


# -- tables ------------------------------------------------------------------------------


class Cell(NamedTuple):
    """A value as text; a number stands at the right, a fact (a number, a time) says little without
    its name, and what is whole may not be cut."""

    text: str
    style: str
    is_number: bool = False
    is_fact: bool = False
    is_whole: bool = False


def cell_of(value: Value) -> Cell:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    is_number = is_count or isinstance(value, _NUMBERS)
    is_fact = is_number or isinstance(value, Time)
    is_whole = is_fact or isinstance(value, Whole)
    return Cell(one_line(show(value)), _style(value), is_number, is_fact, is_whole)


class Sheet(NamedTuple):
    """A table as text, without the columns that say nothing.

    By column: `numbers` has any number, `words` none that may not be cut, `needed` is the width.
    """

    heads: list[str]
    rows: list[list[Cell]]
    numbers: list[bool]
    words: list[bool]
    needed: list[int]


def sheet_of(table: Table) -> Sheet:
    """The cells of a table that has rows."""
    told = [place for place, _ in enumerate(table.columns) if _says_something(table, place)]
    heads = [in_words(table.columns[place]) for place in told]
    rows = [[cell_of(row[place]) for place in told] for row in table.rows]
    columns = list(zip(*rows, strict=True))
    return Sheet(
        heads,
        rows,
        numbers=[any(cell.is_number for cell in column) for column in columns],
        words=[not any(cell.is_whole for cell in column) for column in columns],
        needed=[
            max(_width(head), *(_width(cell.text) for cell in column))
            for head, column in zip(heads, columns, strict=True)
        ],
    )


def _says_something(table: Table, place: int) -> bool:
    """Whether a column holds anything at all: notes, for one, are mostly empty."""
    return place == 0 or any(row[place] is not None for row in table.rows)


def _style(value: Value) -> str:
    match value:
        case Money(number, signed=True) | Percent(number, signed=True):
            return GREEN if number > 0 else RED if number < 0 else ""
        case True:
            return GREEN
        case False:
            return RED
        case None:
            return DIM
        case "green" | "red" | "yellow":
            return {"green": GREEN, "red": RED, "yellow": YELLOW}[value]
        case _:
            return ""


def _table(table: Table, width: int) -> list[str]:
    sheet = sheet_of(table)
    lines = grid(sheet, width)
    if lines is not None:
        return lines
    shrunk = _shrunk(sheet, width - PADDINGS[-1] * (len(sheet.heads) - 1))
    if shrunk is not None:
        return _grid(sheet, shrunk, PADDINGS[-1])
    return _cards(sheet, width)


def grid(sheet: Sheet, width: int) -> list[str] | None:
    """The lines of a grid, its heads first; None where nothing cut it is wider than `width`."""
    for padding in PADDINGS:
        if sum(sheet.needed) + padding * (len(sheet.heads) - 1) <= width:
            return _grid(sheet, sheet.needed, padding)
    return None


def _grid(sheet: Sheet, widths: Sequence[int], padding: int) -> list[str]:
    header = [Cell(head, DIM) for head in sheet.heads]
    return [
        (" " * padding)
        .join(
            _pad(_paint(_cut(cell.text, width), cell.style), width, to_right=is_number)
            for cell, width, is_number in zip(row, widths, sheet.numbers, strict=True)
        )
        .rstrip()
        for row in (header, *sheet.rows)
    ]


def _shrunk(sheet: Sheet, room: int) -> list[int] | None:
    """Narrower columns of words, the widest first; None where that is not enough.

    A number or a time is never cut: part of a number is another number.
    """
    widths = list(sheet.needed)
    places = [place for place, is_words in enumerate(sheet.words) if is_words]
    while sum(widths) > room:
        widest = max(places, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= WORDS_MIN:
            return None
        widths[widest] -= 1
    return widths


def _cards(sheet: Sheet, width: int) -> list[str]:
    """Each row as a card: its first cell as a heading, the others named, as many as fit a line."""
    lines: list[str] = []
    for row in sheet.rows:
        lines.append(_paint(_cut(row[0].text, width), BOLD))
        used = width
        for head, cell in zip(sheet.heads[1:], row[1:], strict=True):
            room = width - 2 - _width(head) - 1
            text = _cut(cell.text, max(room, 1))
            part = f"{_paint(head, DIM)} {_paint(text, cell.style)}"
            size = _width(head) + 1 + _width(text)
            if used + 3 + size > width:
                lines.append(f"  {part}")
                used = 2 + size
            else:
                lines[-1] += f"   {part}"
                used += 3 + size
    return lines


# -- letters -----------------------------------------------------------------------------


def in_words(name: str) -> str:
    """A snake_case name as people read it."""
    return one_line(name).replace("_pct", " %").replace("_", " ")


def _paint(text: str, style: str) -> str:
    return f"{style}{text}{RESET}" if style and text else text


def _pad(text: str, width: int, to_right: bool = False) -> str:
    space = " " * max(0, width - _width(text))
    return space + text if to_right else text + space


def _cut(text: str, width: int) -> str:
    """The beginning of a text, with an ellipsis where something is missing."""
    if _width(text) <= width:
        return text
    kept = text
    while kept and _width(kept) > width - 1:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def uncolored(text: str) -> str:
    """A text without the terminal's colors."""
    return _STYLE.sub("", text)


def _width(text: str) -> int:
    """Columns that a text takes: East Asian wide letters take two, combining marks none."""
    bare = uncolored(text)
    # Nearly every text is; each letter is not looked at.
    if bare.isascii():
        return len(bare)
    return sum(_columns(character) for character in bare)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
