"""What commands answered, read back from their compact text: sentences, fields and tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

BETWEEN_CELLS = " | "
NOTHING = "-"

Row = Mapping[str, str]


@dataclass
class Heard:
    """An answer in its parts. Tables are rows by column, under their titles."""

    sentences: list[str] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def rows(self, *columns: str) -> Sequence[Row]:
        """The rows of the first table with these columns."""
        for rows in self.tables.values():
            if set(columns) <= set(rows[0]):
                return rows
        return []


def heard(text: str) -> Heard:
    """An answer as `as_text` wrote it; a quotation around it is taken off."""
    found = Heard()
    lines = [line for line in text.splitlines() if not line.startswith(("<data ", "</data>"))]
    place = 0
    while place < len(lines):
        place += _take(found, lines[place:])
    return found


def _take(found: Heard, lines: Sequence[str]) -> int:
    """Take the first part of these lines; how many they are."""
    title = lines[0].removesuffix(":")
    if title == lines[0]:
        found.sentences.append(title)
        return 1
    columns = lines[1].split(BETWEEN_CELLS) if len(lines) > 1 else []
    if len(columns) > 1:
        rows = list(_rows(columns, lines[2:]))
        if rows:
            found.tables[title] = rows
        return 2 + len(rows)
    fields = dict(_fields(lines[1:]))
    found.fields |= fields
    return 1 + len(fields)


def _rows(columns: Sequence[str], lines: Sequence[str]) -> Iterator[Row]:
    for line in lines:
        cells = line.split(BETWEEN_CELLS)
        if len(cells) != len(columns):
            return
        yield dict(zip(columns, cells, strict=True))


def _fields(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(": ")
        if not colon or not name.replace("_", "").isalnum() or name != name.lower():
            return
        yield name, value
