"""Tuning: changes of parameters, all versions of their values, snapshots and studies."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TEXT = sa.Text()
INTEGER = sa.Integer()
MS = sa.BigInteger()
NUMBER = sa.BigInteger()
BOOLEAN = sa.Boolean()
DOUBLE = sa.Double()

TABLES = ("studies", "parameter_snapshots", "parameters", "parameter_changes")


def upgrade() -> None:
    changes()
    values()
    snapshots()
    studies()


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


def column(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def changes() -> None:
    op.create_table(
        "parameter_changes",
        column("change_id", NUMBER),
        column("books", WORD),
        column("kind", TEXT),
        column("tier", TEXT),
        column("source", TEXT),
        column("author", TEXT),
        column("reason", TEXT),
        column("moved", TEXT),
        column("made_at", MS),
        column("told_at", MS),
        column("snapshot_id", NUMBER),
        column("proposal_id", NUMBER),
        column("undoes", NUMBER),
        column("study", NUMBER),
        column("fate", TEXT),
        column("trades", INTEGER),
        column("net", AMOUNT),
        column("drawdown", DOUBLE),
        column("ended_at", MS),
        sa.Column("expected", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("books", "change_id"),
    )
    op.create_index("ix_parameter_changes_made_at", "parameter_changes", ["books", "made_at"])


def values() -> None:
    op.create_table(
        "parameters",
        column("books", WORD),
        column("scope", WORD),
        column("name", WORD),
        column("version", INTEGER),
        column("value", DOUBLE),
        column("before", DOUBLE),
        column("low", DOUBLE),
        column("high", DOUBLE),
        column("is_base", BOOLEAN),
        column("change_id", NUMBER),
        column("author", TEXT),
        column("reason", TEXT),
        column("made_at", MS),
        column("told_at", MS),
        sa.PrimaryKeyConstraint("books", "scope", "name", "version", "change_id"),
        sa.CheckConstraint("is_base OR (value >= low AND value <= high)", name="within_bounds"),
    )
    op.execute(NEVER_CHANGED[op.get_bind().dialect.name])


def snapshots() -> None:
    op.create_table(
        "parameter_snapshots",
        column("snapshot_id", NUMBER),
        column("books", WORD),
        column("name", TEXT),
        column("taken_at", MS),
        column("values", TEXT),
        column("set_", TEXT),
        column("figures", TEXT),
        sa.PrimaryKeyConstraint("books", "snapshot_id"),
    )


def studies() -> None:
    op.create_table(
        "studies",
        column("number", NUMBER),
        column("books", WORD),
        column("bot_id", WORD),
        column("asked_by", TEXT),
        column("asker", TEXT),
        column("surface", WORD),
        column("asked_at", MS),
        column("stage", TEXT),
        column("done", INTEGER),
        column("trials", INTEGER),
        column("verdict", TEXT),
        column("values", TEXT),
        sa.Column("evidence", TEXT, nullable=True),
        column("ended_at", MS),
        sa.PrimaryKeyConstraint("books", "number"),
    )


# The trigger goes with its table; the function is of the first step.
NEVER_CHANGED = {
    "sqlite": "CREATE TRIGGER parameters_no_update BEFORE UPDATE ON parameters"
    " BEGIN SELECT RAISE(ABORT, 'parameters rows are never changed'); END",
    "postgresql": "CREATE TRIGGER parameters_no_update BEFORE UPDATE ON parameters"
    " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
}
