"""Approvals: proposals, people's words on them, and what guards a person."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TEXT = sa.Text()
INTEGER = sa.Integer()
MS = sa.BigInteger()
BOOLEAN = sa.Boolean()

# Who was known before was named by the settings, everywhere, and without a code.
GUARDS = (
    ("origin", TEXT, sa.text("'settings'")),
    ("scopes", TEXT, sa.text("''")),
    ("enrolled", BOOLEAN, sa.false()),
    ("locked_until", MS, sa.text("0")),
)


def upgrade() -> None:
    for name, kind, before in GUARDS:
        column = sa.Column(name, kind, nullable=False, server_default=before)
        op.add_column("principals", column)
    # Whom the settings name the next start writes anew, and nobody would take back all others.
    op.execute("UPDATE principals SET role = 'nobody'")
    op.execute("UPDATE identities SET principal_id = ''")
    op.create_table(
        "proposals",
        sa.Column("proposal_id", MS, primary_key=True, autoincrement=False),
        needed("books", WORD),
        needed("kind", TEXT),
        needed("tier", TEXT),
        needed("title", TEXT),
        needed("instruction", TEXT),
        needed("shown", TEXT),
        needed("asked_by", WORD),
        needed("asker", TEXT),
        needed("surface", WORD),
        needed("chat_id", WORD),
        needed("thread_id", WORD),
        needed("created_at", MS),
        needed("expires_at", MS),
        needed("needed", INTEGER),
        needed("nonce", TEXT),
        needed("phrase", TEXT),
        needed("state", TEXT),
        needed("approved", INTEGER),
        needed("decided_by", TEXT),
        needed("decided_at", MS),
        needed("effective_at", MS),
        needed("outcome", TEXT),
    )
    op.create_index("ix_proposals_created_at", "proposals", ["created_at"])
    op.create_table(
        "decisions",
        needed("proposal_id", MS),
        needed("principal_id", WORD),
        needed("approves", BOOLEAN),
        needed("actor", TEXT),
        needed("ts", MS),
        sa.PrimaryKeyConstraint("proposal_id", "principal_id", "ts"),
    )
    # Where a card was posted is asked for whenever it changes.
    op.create_index("ix_deliveries_about", "deliveries", ["topic"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_about", "deliveries")
    op.drop_table("decisions")
    op.drop_table("proposals")
    for name, _, _ in GUARDS:
        op.drop_column("principals", name)


def needed(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)
