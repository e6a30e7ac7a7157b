"""The first tables: state, journal, outbox, epoch, facts and the audit."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
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


def upgrade() -> None:
    memory()
    facts()
    audit()
    if op.get_bind().dialect.name == "postgresql":
        op.execute(POSTGRES_FUNCTION)
    for statement in TRIGGERS[op.get_bind().dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION never_changed")


def column(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def optional(name: str, kind: TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=True)


def memory() -> None:
    """What a desk remembers, what it received, what it has to say, and who may write."""
    op.create_table(
        "state",
        sa.Column("key", WORD, primary_key=True),
        column("version", INTEGER),
        column("body", TEXT),
    )
    op.create_table(
        "journal",
        sa.Column("seq", COUNT, primary_key=True, autoincrement=True),
        column("ts", MS),
        column("kind", TEXT),
        column("body", TEXT),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_journal_ts", "journal", ["ts"])
    op.create_table(
        "outbox",
        sa.Column("seq", COUNT, primary_key=True, autoincrement=True),
        column("ts", MS),
        column("kind", TEXT),
        column("body", TEXT),
        optional("delivered_at", MS),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_undelivered",
        "outbox",
        ["seq"],
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "epoch",
        sa.Column("id", INTEGER, primary_key=True, autoincrement=False),
        column("epoch", NUMBER),
        column("holder", TEXT),
        column("number", NUMBER),
    )


def facts() -> None:
    """One table for each kind of fact."""
    op.create_table(
        "orders",
        column("account", WORD),
        column("order_link_id", WORD),
        column("client_order_id", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("side", TEXT),
        column("order_type", TEXT),
        column("quantity", AMOUNT),
        column("leverage", INTEGER),
        column("reason", TEXT),
        column("created_at", MS),
        column("updated_at", MS),
        column("status", TEXT),
        optional("order_id", WORD),
        column("filled_quantity", AMOUNT),
        optional("price", AMOUNT),
        optional("trigger_price", AMOUNT),
        column("reduce_only", BOOLEAN),
        optional("stop_loss", AMOUNT),
        optional("take_profit", AMOUNT),
        optional("trailing_stop", AMOUNT),
        optional("trailing_activation", AMOUNT),
        optional("reject_reason", TEXT),
        sa.PrimaryKeyConstraint("account", "order_link_id"),
    )
    op.create_index("ix_orders_created_at", "orders", ["created_at"])
    op.create_index("ix_orders_account", "orders", ["account", "created_at"])
    op.create_table(
        "fills",
        column("exec_id", WORD),
        column("account", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("order_id", WORD),
        column("client_order_id", WORD),
        column("side", TEXT),
        column("exec_price", AMOUNT),
        column("exec_qty", AMOUNT),
        column("exec_time", MS),
        column("commission", AMOUNT),
        column("is_maker", BOOLEAN),
        column("exec_type", TEXT),
        column("close_reason", TEXT),
        sa.PrimaryKeyConstraint("account", "exec_id"),
    )
    op.create_index("ix_fills_exec_time", "fills", ["exec_time"])
    op.create_index("ix_fills_account", "fills", ["account", "exec_time"])
    op.create_table(
        "positions",
        column("account", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("quantity", AMOUNT),
        column("cost", AMOUNT),
        column("leverage", INTEGER),
        column("opened_at", MS),
        column("updated_at", MS),
        optional("entry_reason", TEXT),
        optional("entry_client_order_id", WORD),
        column("entry_quantity", AMOUNT),
        column("entry_notional", AMOUNT),
        column("exit_notional", AMOUNT),
        column("realized", AMOUNT),
        column("commission", AMOUNT),
        column("funding", AMOUNT),
        sa.PrimaryKeyConstraint("account", "bot_id", "symbol"),
    )
    op.create_table(
        "trades",
        column("trade_id", NUMBER),
        column("account", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("side", TEXT),
        column("quantity", AMOUNT),
        column("entry_price", AMOUNT),
        column("entry_time", MS),
        column("entry_reason", TEXT),
        column("exit_price", AMOUNT),
        column("exit_time", MS),
        column("close_reason", TEXT),
        column("gross_pnl", AMOUNT),
        column("commission", AMOUNT),
        column("funding", AMOUNT),
        column("net_pnl", AMOUNT),
        column("pnl_pct", AMOUNT),
        column("entry_client_order_id", WORD),
        column("exit_client_order_id", WORD),
        sa.PrimaryKeyConstraint("account", "trade_id"),
    )
    op.create_index("ix_trades_exit_time", "trades", ["exit_time"])
    op.create_index("ix_trades_account", "trades", ["account", "exit_time"])
    op.create_table(
        "funding",
        column("account", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("ts", MS),
        column("amount", AMOUNT),
        column("rate", AMOUNT),
        column("price", AMOUNT),
        column("quantity", AMOUNT),
        sa.PrimaryKeyConstraint("account", "symbol", "ts"),
    )
    op.create_index("ix_funding_ts", "funding", ["ts"])
    op.create_index("ix_funding_account", "funding", ["account", "ts"])
    op.create_table(
        "signals",
        column("decision_id", NUMBER),
        column("account", WORD),
        column("bot_id", WORD),
        column("symbol", WORD),
        column("ts", MS),
        column("action", TEXT),
        column("side", TEXT),
        column("reason", TEXT),
        column("price", sa.Double()),
        column("approved", BOOLEAN),
        column("gate", TEXT),
        column("detail", TEXT),
        optional("order_link_id", WORD),
        sa.PrimaryKeyConstraint("account", "decision_id"),
    )
    op.create_index("ix_signals_ts", "signals", ["ts"])
    op.create_index("ix_signals_account", "signals", ["account", "ts"])
    op.create_table(
        "equity",
        column("account", WORD),
        column("ts", MS),
        column("balance", AMOUNT),
        column("equity", AMOUNT),
        sa.PrimaryKeyConstraint("account", "ts"),
    )
    op.create_index("ix_equity_ts", "equity", ["ts"])
    op.create_table(
        "bots",
        column("bot_id", WORD),
        column("account", WORD),
        column("strategy_name", WORD),
        column("symbols", TEXT),
        column("status", TEXT),
        column("deployment_mode", TEXT),
        column("initial_capital", AMOUNT),
        sa.PrimaryKeyConstraint("bot_id", "account"),
    )
    op.create_table(
        "instruments",
        sa.Column("symbol", WORD, primary_key=True),
        column("tick", AMOUNT),
        column("quantity_step", AMOUNT),
        column("quantity_min", AMOUNT),
        column("quantity_max", AMOUNT),
        column("notional_min", AMOUNT),
        column("leverage_max", INTEGER),
        column("hourly_volume", AMOUNT),
        column("derived", BOOLEAN),
    )


def audit() -> None:
    """The chain of acts and its head."""
    op.create_table(
        "audit",
        sa.Column("seq", NUMBER, primary_key=True, autoincrement=False),
        column("ts", MS),
        column("actor", TEXT),
        column("action", TEXT),
        column("detail", TEXT),
        column("prev", TEXT),
        column("mac", TEXT),
    )
    op.create_table(
        "audit_head",
        sa.Column("id", INTEGER, primary_key=True, autoincrement=False),
        column("seq", NUMBER),
        column("mac", TEXT),
    )


TABLES = (
    "audit_head",
    "audit",
    "instruments",
    "bots",
    "equity",
    "signals",
    "funding",
    "trades",
    "positions",
    "fills",
    "orders",
    "epoch",
    "outbox",
    "journal",
    "state",
)

POSTGRES_FUNCTION = """
    CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% rows are never changed', TG_TABLE_NAME;
    END
    $$
"""

# Dropped with their tables.
TRIGGERS = {
    "sqlite": (
        "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit"
        " BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END",
        "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit"
        " BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END",
        # REPLACE deletes without asking the trigger above.
        "CREATE TRIGGER audit_no_replace BEFORE INSERT ON audit"
        " WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)"
        " BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END",
        "CREATE TRIGGER fills_no_update BEFORE UPDATE ON fills"
        " BEGIN SELECT RAISE(ABORT, 'fills rows are never changed'); END",
    ),
    "postgresql": (
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
        "CREATE TRIGGER fills_no_update BEFORE UPDATE ON fills"
        " FOR EACH STATEMENT EXECUTE FUNCTION never_changed()",
    ),
}
