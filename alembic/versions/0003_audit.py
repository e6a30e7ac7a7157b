"""The audit: cuts, the only way for old rows to leave, and anchors."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

from engine.errors import Refused

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
TEXT = sa.Text()
MS = sa.BigInteger()
NUMBER = sa.BigInteger()

TABLES = ("audit_anchors", "audit_cuts")


def upgrade() -> None:
    op.create_table(
        "audit_cuts",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        column("mac", TEXT),
        column("ts", MS),
        column("seal", TEXT),
    )
    op.create_table(
        "audit_anchors",
        column("seq", NUMBER),
        column("mac", TEXT),
        column("ts", MS),
        sa.PrimaryKeyConstraint("seq", "ts"),
    )
    op.create_index("ix_audit_anchors_ts", "audit_anchors", ["ts"])
    op.create_index("ix_audit_ts", "audit", ["ts"])
    execute(UP)


def downgrade() -> None:
    cuts = op.get_bind().execute(sa.text("SELECT count(*) FROM audit_cuts")).scalar_one()
    if cuts:
        raise Refused(
            "the audit was cut: without its table audit_cuts the chain could not be verified any "
            "more. Restore a backup that is older than the first cut instead."
        )
    execute(DOWN)
    op.drop_index("ix_audit_ts", "audit")
    for table in TABLES:
        op.drop_table(table)


def column(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def execute(statements: dict[str, tuple[str, ...]]) -> None:
    for statement in statements[op.get_bind().dialect.name]:
        op.execute(statement)


# The triggers of the new tables are dropped with them.
UP = {
    "sqlite": (
        "DROP TRIGGER audit_no_delete",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
        " WHEN NOT EXISTS (SELECT 1 FROM audit_cuts WHERE seq >= OLD.seq)"
        " BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END",
        "CREATE TRIGGER audit_cuts_no_update BEFORE UPDATE ON audit_cuts"
        " BEGIN SELECT RAISE(ABORT, 'audit_cuts rows are never changed'); END",
        "CREATE TRIGGER audit_cuts_no_delete BEFORE DELETE ON audit_cuts"
        " BEGIN SELECT RAISE(ABORT, 'audit_cuts rows are never changed'); END",
        # REPLACE deletes without asking the trigger above.
        "CREATE TRIGGER audit_cuts_no_replace BEFORE INSERT ON audit_cuts"
        " WHEN EXISTS (SELECT 1 FROM audit_cuts WHERE seq = NEW.seq)"
        " BEGIN SELECT RAISE(ABORT, 'audit_cuts rows are never changed'); END",
        "CREATE TRIGGER audit_anchors_no_update BEFORE UPDATE ON audit_anchors"
        " BEGIN SELECT RAISE(ABORT, 'audit_anchors rows are never changed'); END",
        "CREATE TRIGGER audit_anchors_no_delete BEFORE DELETE ON audit_anchors"
        " BEGIN SELECT RAISE(ABORT, 'audit_anchors rows are never changed'); END",
        # The same anchor told twice is no change: it is left as it is.
        "CREATE TRIGGER audit_anchors_no_replace BEFORE INSERT ON audit_anchors"
        " WHEN EXISTS (SELECT 1 FROM audit_anchors"
        " WHERE seq = NEW.seq AND ts = NEW.ts AND mac <> NEW.mac)"
        " BEGIN SELECT RAISE(ABORT, 'audit_anchors rows are never changed'); END",
    ),
    "postgresql": (
        "DROP TRIGGER audit_no_change ON audit",
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
        "CREATE FUNCTION only_cut_away() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN"
        " IF EXISTS (SELECT 1 FROM audit_cuts WHERE seq >= OLD.seq) THEN RETURN OLD; END IF;"
        " RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME;"
        " END $$",
        "CREATE TRIGGER audit_only_cut_away BEFORE DELETE ON audit"
        " FOR EACH ROW EXECUTE FUNCTION only_cut_away()",
        "CREATE TRIGGER audit_cuts_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_cuts"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
        "CREATE TRIGGER audit_anchors_no_change"
        " BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_anchors"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
    ),
}

DOWN = {
    "sqlite": (
        "DROP TRIGGER audit_no_delete",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
        " BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END",
    ),
    "postgresql": (
        "DROP TRIGGER audit_only_cut_away ON audit",
        "DROP FUNCTION only_cut_away",
        "DROP TRIGGER audit_no_change ON audit",
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
    ),
}
