"""Brings a database to the tables this program knows; the steps themselves are in `alembic/`.

To make a new step: change `tables.py`, then run

    python -m engine.store.migrations "what changed"

which compares the tables with a scratch database at the last step and writes the difference to
`alembic/versions/`. Read it, add what it can't see (triggers), and set `HEAD` below to its number.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy import Column, Connection, MetaData, Table, Text, inspect, select

from engine.errors import BadSettings
from engine.store.database import Database, open_database

if TYPE_CHECKING:
    from alembic.config import Config

# The last step. Known without asking alembic, which takes 100 ms to import at every start.
HEAD = "0008"

# As alembic makes it.
_VERSION = Table("alembic_version", MetaData(), Column("version_num", Text))


async def migrate(url: str) -> None:
    """Bring the database at `url` to the newest tables.

    Raises BadSettings where a newer version of this program has been at work.
    """
    database = open_database(url)
    try:
        await bring_to_head(database)
    finally:
        await database.close()


async def bring_to_head(database: Database) -> None:
    """Bring an open database to the newest tables, all steps in one transaction."""
    if await database.read(revision_of) != HEAD:
        await database.write(_upgrade)


def revision_of(connection: Connection) -> str | None:
    """The last step a database has made, `None` for a new one."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(select(_VERSION)).scalar_one_or_none()


def config_for(connection: Connection) -> "Config":
    """Alembic's settings for commands that run on `connection`, inside its transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    # Imported here, because nearly every start finds its database at head already.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = config_for(connection)
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    # Asked again: another process may have migrated while this one waited to write.
    found = revision_of(connection)
    if found is not None and found not in known:
        raise BadSettings(
            f"database {connection.engine.url.database} is at revision {found}, made by a newer "
            f"version; this program knows up to {HEAD}"
        )
    command.upgrade(config, "head")


def _scripts() -> Path:
    """The directory of the steps: packed beside this file in a wheel, else at the top."""
    packed = Path(__file__).with_name("alembic")
    return packed if packed.is_dir() else Path(__file__).parents[2] / "alembic"


async def draft(message: str) -> None:
    """Write a new step from what `tables.py` has and the last step has not."""
    with TemporaryDirectory() as scratch:
        database = open_database(f"sqlite:///{scratch}/draft.db")
        try:
            await database.write(_upgrade)
            await database.write(partial(_draft, message=message))
        finally:
            await database.close()


def _draft(connection: Connection, message: str) -> None:
    from alembic import command

    number = f"{int(HEAD) + 1:04d}"
    command.revision(config_for(connection), message, autogenerate=True, rev_id=number)


if __name__ == "__main__":
    asyncio.run(draft(sys.argv[1]))
