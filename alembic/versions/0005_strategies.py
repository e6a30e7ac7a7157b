"""Strategies: how sure a signal was, and the break-even of the position that an order opens."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Spelled out, not imported from `tables.py`: a step must stay what it was when it ran.
AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
BREAK_EVEN = ("break_even_trigger", "break_even_stop")


def upgrade() -> None:
    # The strategy of before knew one kind of signal, and was sure of it.
    sure = sa.Column("confidence", sa.Double(), nullable=False, server_default=sa.text("1.0"))
    op.add_column("signals", sure)
    for name in BREAK_EVEN:
        op.add_column("orders", sa.Column(name, AMOUNT, nullable=True))


def downgrade() -> None:
    for name in BREAK_EVEN:
        op.drop_column("orders", name)
    op.drop_column("signals", "confidence")
