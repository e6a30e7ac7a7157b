"""Answers as compact text for a model: what they say, without what acts.

Buttons are left out, and so are phrases: what decides a proposal is for people.
"""

from collections.abc import Iterator

from handlers.reply import (
    Block,
    Chart,
    Code,
    Enrollment,
    Fields,
    File,
    Reply,
    Table,
    Text,
    Value,
    show,
)

# About 1,500 tokens: a page of a table, and no novel.
LENGTH_MAX = 6_000
CELL_MAX = 300
BETWEEN_CELLS = " | "
LEFT_OUT = "(A phrase is left out.)"


def as_text(reply: Reply) -> str:
    """The reply as lines: fields as `name: value`, tables as a heading and rows of cells.

    At most LENGTH_MAX characters of whole lines; it says when it was cut.
    """
    lines = [f"Refused: {reply.error}"] if reply.error else []
    lines += [line for block in reply.blocks for line in _lines(block)]
    return _bounded([line for line in lines if line])


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Text(text):
            yield from text.splitlines()
        case Fields(words=words) if words:
            yield from words.splitlines()
        case Fields(title, fields):
            yield f"{title}:"
            yield from (f"{name}: {_cell(value)}" for name, value in fields.items())
        case Table(title, rows=()):
            yield f"{title}: {block.empty}"
        case Table(title, columns, rows):
            yield f"{title}:"
            yield BETWEEN_CELLS.join(columns)
            yield from (BETWEEN_CELLS.join(map(_cell, row)) for row in rows)
        case Chart(chart):
            yield f"(A picture: {chart.title}, {chart.subtitle})"
        case File(name):
            yield f"(A file: {name})"
        case Code():
            yield LEFT_OUT
        case Enrollment():
            return


def _cell(value: Value) -> str:
    """A value on one line, without what ends a cell."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = " ".join(show(value).replace("|", "/").split())
    return text if len(text) <= CELL_MAX else f"{text[: CELL_MAX - 1]}…"


def _bounded(lines: list[str]) -> str:
    """The first lines that fit."""
    kept: list[str] = []
    left = LENGTH_MAX
    for number, line in enumerate(lines):
        left -= len(line) + 1
        if left < 0:
            return "\n".join([*kept, f"(Cut: {len(lines) - number} more lines.)"])
        kept.append(line)
    return "\n".join(kept)
