"""Chat: people and chats, schedules and alerts, the inbox, deliveries and buttons."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
INTEGER = sa.Integer()
MS = sa.BigInteger()
NUMBER = sa.BigInteger()
BOOLEAN = sa.Boolean()

TABLES = (
    "offers",
    "deliveries",
    "inbox",
    "alerts",
    "schedules",
    "chats",
    "identities",
    "principals",
)


def upgrade() -> None:
    people()
    wishes()
    mail()


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


def column(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def place() -> list[sa.Column[Any]]:
    """Where people talk."""
    return [column("surface", WORD), column("chat_id", WORD), column("thread_id", WORD)]


def people() -> None:
    """Who may use the desk, by which accounts they are known, and where they talk."""
    op.create_table(
        "principals",
        sa.Column("principal_id", WORD, primary_key=True),
        column("name", TEXT),
        column("role", TEXT),
    )
    op.create_table(
        "identities",
        column("surface", WORD),
        column("user_id", WORD),
        column("principal_id", WORD),
        sa.PrimaryKeyConstraint("surface", "user_id"),
    )
    op.create_table(
        "chats",
        *place(),
        column("kind", TEXT),
        column("subscribed", BOOLEAN),
        column("added_by", TEXT),
        column("ts", MS),
        column("gone", TEXT),
        sa.PrimaryKeyConstraint("surface", "chat_id", "thread_id"),
    )


def wishes() -> None:
    """What people want to be told, and when."""
    op.create_table(
        "schedules",
        sa.Column("schedule_id", NUMBER, primary_key=True, autoincrement=False),
        column("cron", TEXT),
        column("zone", TEXT),
        column("command", TEXT),
        *place(),
        column("created_by", TEXT),
        column("created_at", MS),
        column("last_due", MS),
        column("removed", BOOLEAN),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", NUMBER, primary_key=True, autoincrement=False),
        column("symbol", WORD),
        column("direction", TEXT),
        column("price", AMOUNT),
        *place(),
        column("created_by", TEXT),
        column("created_at", MS),
        column("fired_at", MS),
        column("removed", BOOLEAN),
    )


def mail() -> None:
    """What came from chats, what goes to them, and the buttons that act."""
    op.create_table(
        "inbox",
        sa.Column("key", WORD, primary_key=True),
        column("ts", MS),
        column("body", TEXT),
        optional("done_at", MS),
    )
    unfinished = sa.text("done_at IS NULL")
    op.create_index(
        "ix_inbox_unfinished",
        "inbox",
        ["ts"],
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", COUNT, primary_key=True, autoincrement=True),
        *place(),
        column("ts", MS),
        column("priority", INTEGER),
        column("topic", WORD),
        column("body", TEXT),
        optional("attempted_at", MS),
        optional("finished_at", MS),
        optional("message_id", WORD),
        optional("error", TEXT),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_topic", "deliveries", ["surface", "chat_id", "topic"])
    waiting = sa.text("finished_at IS NULL")
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["surface", "chat_id", "priority", "seq"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
    op.create_table(
        "offers",
        sa.Column("seq", COUNT, primary_key=True, autoincrement=True),
        column("surface", WORD),
        column("chat_id", WORD),
        column("command", TEXT),
        column("expires_at", MS),
        optional("used_by", WORD),
        sqlite_autoincrement=True,
    )
