"""Resting orders: whether one may only rest, and until when it does."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Orders of before were at the market: they never rested.
    never = sa.Column("post_only", sa.Boolean(), nullable=False, server_default=sa.false())
    forever = sa.Column("expires_at", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    op.add_column("orders", never)
    op.add_column("orders", forever)


def downgrade() -> None:
    op.drop_column("orders", "expires_at")
    op.drop_column("orders", "post_only")
