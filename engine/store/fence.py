"""Lets a process write only as long as the epoch that it was given is the last one."""

from typing import TypeVar

from sqlalchemy import Connection, select

from engine.errors import LostLock
from engine.store.database import Transaction
from engine.store.tables import epoch

T = TypeVar("T")

# On PostgreSQL it locks the row, so that the epoch can't move before the commit; on SQLite nobody
# else writes meanwhile.
_HELD = select(epoch.c.epoch, epoch.c.holder).with_for_update(read=True)


def fenced(connection: Connection, own: int | None, transaction: Transaction[T]) -> T:
    """Run a transaction where the epoch is still our own, or where we were given none."""
    if own is not None:
        held = connection.execute(_HELD).one_or_none()
        if held is None or held.epoch != own:
            holder = held.holder if held else "nobody"
            raise LostLock(f"epoch {own} is over: {holder} trades this account now")
    return transaction(connection)
