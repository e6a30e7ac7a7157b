"""Inserts that know what becomes of a row whose key is stored already, in either dialect."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

_INSERT: dict[str, Callable[[Table], Any]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}


def insert_into(dialect: str, table: Table, replaced: bool | None) -> Any:
    """An insert; a known key is replaced, left as it is, or, for `None`, an error."""
    statement = _INSERT[dialect](table)
    if replaced is None:
        return statement
    key = list(table.primary_key)
    if not replaced:
        return statement.on_conflict_do_nothing(index_elements=key)
    others = [column.name for column in table.columns if column.name not in table.primary_key]
    return statement.on_conflict_do_update(
        index_elements=key, set_={name: statement.excluded[name] for name in others}
    )
