"""Models: what each call of one was and cost, decisions under a bias, buttons of one person."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
WORD = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TEXT = sa.Text()
NUMBER = sa.BigInteger()
MS = sa.BigInteger()


def upgrade() -> None:
    analyses()
    # No model had a say in what was decided before, and buttons were for whoever saw them.
    op.add_column("signals", column("consultation", NUMBER, server_default=sa.text("0")))
    op.add_column("signals", column("instead", TEXT, server_default=""))
    op.add_column("signals", sa.Column("opposed", TEXT, nullable=True))
    op.create_index("ix_signals_consultation", "signals", ["consultation"])
    op.add_column("offers", column("user_id", WORD, server_default=""))


def downgrade() -> None:
    op.drop_column("offers", "user_id")
    op.drop_index("ix_signals_consultation", "signals")
    op.drop_column("signals", "opposed")
    op.drop_column("signals", "instead")
    op.drop_column("signals", "consultation")
    op.drop_table("analyses")


def column(name: str, kind: TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


def analyses() -> None:
    op.create_table(
        "analyses",
        sa.Column("call_id", NUMBER, primary_key=True, autoincrement=False),
        column("consultation", NUMBER),
        column("books", WORD),
        column("ts", MS),
        column("purpose", TEXT),
        column("subject", TEXT),
        column("asked_by", TEXT),
        column("model", TEXT),
        column("prompt", TEXT),
        column("state", TEXT),
        column("answer", TEXT),
        column("result", TEXT),
        column("failure", TEXT),
        column("prompt_tokens", NUMBER),
        column("output_tokens", NUMBER),
        column("cost", AMOUNT),
        column("latency_ms", NUMBER),
    )
    op.create_index("ix_analyses_consultation", "analyses", ["consultation"])
    op.create_index("ix_analyses_ts", "analyses", ["ts"])
