"""The tables, the same on SQLite and PostgreSQL, and which of them keeps which fact."""

from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum, StrEnum
from functools import cache, cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
)
from sqlalchemy.types import TypeEngine

from engine.alert import Alert, Direction
from engine.audit import AuditAnchor
from engine.bot import BotRow, BotStatus
from engine.calls import CallState, Purpose
from engine.effect import Fact, Notice
from engine.errors import Broken
from engine.instrument import Instrument
from engine.ledger import EquityPoint, Funding
from engine.mail import Chat, ChatKind
from engine.order import ExecType, Fill, Order, OrderStatus, OrderType, Reason, Side
from engine.people import Identity, Origin, Person, Role
from engine.position import Position, Trade
from engine.proposal import Proposal, ProposalKind, ProposalState, Vote
from engine.schedule import Schedule
from engine.signal import Action, Decision, Opposed
from engine.tunable import Tier
from engine.tuning import (
    Band,
    ChangeKind,
    Evidence,
    Fate,
    Moved,
    ParameterChange,
    ParameterValue,
    Snapshot,
    Source,
    Stand,
    StudyStage,
    TuningStudy,
)


class DecimalText(TypeDecorator[Decimal]):
    """An exact amount: NUMERIC on PostgreSQL, plain digits in TEXT on SQLite.

    SQLite has no decimals: its NUMERIC gives back 12345678901.123456789 as a float.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = Numeric() if dialect.name == "postgresql" else Text()
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not value.is_finite():
            raise Broken(f"{value!r} is not an amount")
        return value if dialect.name == "postgresql" else format(value, "f")

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return Decimal(value) if value.__class__ is str else value


class EnumText(TypeDecorator[StrEnum]):
    """A word of a closed vocabulary, stored as its text."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum
        self._words = {word.value: word for word in enum}

    def process_result_value(self, value: Any, dialect: Dialect) -> StrEnum | None:
        if value is None:
            return None
        if value not in self._words:
            raise Broken(
                f"{value!r} is not a {self.enum.__name__}; was it written by a newer version?"
            )
        return self._words[value]


class NameText(TypeDecorator[IntEnum]):
    """A rank of a closed vocabulary, stored as its name in small letters."""

    impl = Text
    cache_ok = True

    def __init__(self, enum: type[IntEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: IntEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else value.name.lower()

    def process_result_value(self, value: Any, dialect: Dialect) -> IntEnum | None:
        if value is None:
            return None
        try:
            return self.enum[value.upper()]
        except KeyError:
            raise Broken(
                f"{value!r} is not a {self.enum.__name__}; was it written by a newer version?"
            ) from None


class JsonText(TypeDecorator[Any]):
    """A value of parts that nobody asks for one by one, stored as JSON."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.kind)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self._adapter.dump_json(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        try:
            return self._adapter.validate_json(value)
        except ValidationError as error:
            raise Broken(f"{value[:80]!r} is not what is kept as {self.kind}") from error


# An id or a name, sorted by its characters alone, as Python and SQLite do.
Word = Text().with_variant(Text(collation="C"), "postgresql")


def _column(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _optional(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _count() -> Column[Any]:
    """A number the database gives; SQLite counts up by itself in an INTEGER only."""
    return Column(
        "seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )


def _only_row() -> Column[Any]:
    return Column("id", Integer, primary_key=True, autoincrement=False)


metadata = MetaData()

state = Table(
    "state",
    metadata,
    Column("key", Word, primary_key=True),
    _column("version", Integer),
    _column("body", Text),
)

journal = Table(
    "journal",
    metadata,
    _count(),
    _column("ts", BigInteger),
    _column("kind", Text),
    _column("body", Text),
    Index("ix_journal_ts", "ts"),
    sqlite_autoincrement=True,
)

outbox = Table(
    "outbox",
    metadata,
    _count(),
    _column("ts", BigInteger),
    _column("kind", Text),
    _column("body", Text),
    _optional("delivered_at", BigInteger),
    sqlite_autoincrement=True,
)
# Only what waits is in it, so that it stays small however long the desk has run.
Index(
    "ix_outbox_undelivered",
    outbox.c.seq,
    sqlite_where=outbox.c.delivered_at.is_(None),
    postgresql_where=outbox.c.delivered_at.is_(None),
)

# `number` is that of the last commit stored under this epoch.
epoch = Table(
    "epoch",
    metadata,
    _only_row(),
    _column("epoch", BigInteger),
    _column("holder", Text),
    _column("number", BigInteger),
)

orders = Table(
    "orders",
    metadata,
    _column("account", Word),
    _column("order_link_id", Word),
    _column("client_order_id", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("side", EnumText(Side)),
    _column("order_type", EnumText(OrderType)),
    _column("quantity", DecimalText),
    _column("leverage", Integer),
    _column("reason", EnumText(Reason)),
    _column("created_at", BigInteger),
    _column("updated_at", BigInteger),
    _column("status", EnumText(OrderStatus)),
    _optional("order_id", Word),
    _column("filled_quantity", DecimalText),
    _optional("price", DecimalText),
    _optional("trigger_price", DecimalText),
    _column("reduce_only", Boolean),
    _optional("stop_loss", DecimalText),
    _optional("take_profit", DecimalText),
    _optional("trailing_stop", DecimalText),
    _optional("trailing_activation", DecimalText),
    _optional("break_even_trigger", DecimalText),
    _optional("break_even_stop", DecimalText),
    _optional("reject_reason", Text),
    _column("post_only", Boolean),
    _column("expires_at", BigInteger),
    PrimaryKeyConstraint("account", "order_link_id"),
    Index("ix_orders_created_at", "created_at"),
    Index("ix_orders_account", "account", "created_at"),
)

fills = Table(
    "fills",
    metadata,
    _column("exec_id", Word),
    _column("account", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("order_id", Word),
    _column("client_order_id", Word),
    _column("side", EnumText(Side)),
    _column("exec_price", DecimalText),
    _column("exec_qty", DecimalText),
    _column("exec_time", BigInteger),
    _column("commission", DecimalText),
    _column("is_maker", Boolean),
    _column("exec_type", EnumText(ExecType)),
    _column("close_reason", EnumText(Reason)),
    PrimaryKeyConstraint("account", "exec_id"),
    Index("ix_fills_exec_time", "exec_time"),
    Index("ix_fills_account", "account", "exec_time"),
)

positions = Table(
    "positions",
    metadata,
    _column("account", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("quantity", DecimalText),
    _column("cost", DecimalText),
    _column("leverage", Integer),
    _column("opened_at", BigInteger),
    _column("updated_at", BigInteger),
    _optional("entry_reason", EnumText(Reason)),
    _optional("entry_client_order_id", Word),
    _column("entry_quantity", DecimalText),
    _column("entry_notional", DecimalText),
    _column("exit_notional", DecimalText),
    _column("realized", DecimalText),
    _column("commission", DecimalText),
    _column("funding", DecimalText),
    PrimaryKeyConstraint("account", "bot_id", "symbol"),
)

trades = Table(
    "trades",
    metadata,
    _column("trade_id", BigInteger),
    _column("account", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("side", EnumText(Side)),
    _column("quantity", DecimalText),
    _column("entry_price", DecimalText),
    _column("entry_time", BigInteger),
    _column("entry_reason", EnumText(Reason)),
    _column("exit_price", DecimalText),
    _column("exit_time", BigInteger),
    _column("close_reason", EnumText(Reason)),
    _column("gross_pnl", DecimalText),
    _column("commission", DecimalText),
    _column("funding", DecimalText),
    _column("net_pnl", DecimalText),
    _column("pnl_pct", DecimalText),
    _column("entry_client_order_id", Word),
    _column("exit_client_order_id", Word),
    PrimaryKeyConstraint("account", "trade_id"),
    Index("ix_trades_exit_time", "exit_time"),
    Index("ix_trades_account", "account", "exit_time"),
)

funding = Table(
    "funding",
    metadata,
    _column("account", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("ts", BigInteger),
    _column("amount", DecimalText),
    _column("rate", DecimalText),
    _column("price", DecimalText),
    _column("quantity", DecimalText),
    PrimaryKeyConstraint("account", "symbol", "ts"),
    Index("ix_funding_ts", "ts"),
    Index("ix_funding_account", "account", "ts"),
)

signals = Table(
    "signals",
    metadata,
    _column("decision_id", BigInteger),
    _column("account", Word),
    _column("bot_id", Word),
    _column("symbol", Word),
    _column("ts", BigInteger),
    _column("action", EnumText(Action)),
    _column("side", EnumText(Side)),
    _column("reason", EnumText(Reason)),
    _column("price", Double),
    _column("approved", Boolean),
    _column("gate", Text),
    _column("detail", Text),
    _optional("order_link_id", Word),
    _column("confidence", Double),
    _column("consultation", BigInteger),
    _column("instead", Text),
    _optional("opposed", JsonText(Opposed)),
    PrimaryKeyConstraint("account", "decision_id"),
    Index("ix_signals_ts", "ts"),
    Index("ix_signals_account", "account", "ts"),
    Index("ix_signals_consultation", "consultation"),
)

equity = Table(
    "equity",
    metadata,
    _column("account", Word),
    _column("ts", BigInteger),
    _column("balance", DecimalText),
    _column("equity", DecimalText),
    PrimaryKeyConstraint("account", "ts"),
    Index("ix_equity_ts", "ts"),
)

bots = Table(
    "bots",
    metadata,
    _column("bot_id", Word),
    _column("account", Word),
    _column("strategy_name", Word),
    _column("symbols", Text),
    _column("status", EnumText(BotStatus)),
    _column("deployment_mode", Text),
    _column("initial_capital", DecimalText),
    PrimaryKeyConstraint("bot_id", "account"),
)

instruments = Table(
    "instruments",
    metadata,
    Column("symbol", Word, primary_key=True),
    _column("tick", DecimalText),
    _column("quantity_step", DecimalText),
    _column("quantity_min", DecimalText),
    _column("quantity_max", DecimalText),
    _column("notional_min", DecimalText),
    _column("leverage_max", Integer),
    _column("hourly_volume", DecimalText),
    _column("derived", Boolean),
)

# Triggers made by the migration forbid to change or remove a row of it.
audit = Table(
    "audit",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _column("ts", BigInteger),
    _column("actor", Text),
    _column("action", Text),
    _column("detail", Text),
    _column("prev", Text),
    _column("mac", Text),
    Index("ix_audit_ts", "ts"),
)

audit_head = Table(
    "audit_head",
    metadata,
    _only_row(),
    _column("seq", BigInteger),
    _column("mac", Text),
)

# Only a row at or before the last of these may be removed from `audit`.
audit_cuts = Table(
    "audit_cuts",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _column("mac", Text),
    _column("ts", BigInteger),
    _column("seal", Text),
)

audit_anchors = Table(
    "audit_anchors",
    metadata,
    _column("seq", BigInteger),
    _column("mac", Text),
    _column("ts", BigInteger),
    PrimaryKeyConstraint("seq", "ts"),
    Index("ix_audit_anchors_ts", "ts"),
)

principals = Table(
    "principals",
    metadata,
    Column("principal_id", Word, primary_key=True),
    _column("name", Text),
    _column("role", NameText(Role)),
    _column("origin", EnumText(Origin)),
    _column("scopes", Text),
    _column("enrolled", Boolean),
    _column("locked_until", BigInteger),
)

identities = Table(
    "identities",
    metadata,
    _column("surface", Word),
    _column("user_id", Word),
    _column("principal_id", Word),
    PrimaryKeyConstraint("surface", "user_id"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("proposal_id", BigInteger, primary_key=True, autoincrement=False),
    _column("books", Word),
    _column("kind", EnumText(ProposalKind)),
    _column("tier", EnumText(Tier)),
    _column("title", Text),
    _column("instruction", Text),
    _column("shown", Text),
    _column("asked_by", Word),
    _column("asker", Text),
    _column("surface", Word),
    _column("chat_id", Word),
    _column("thread_id", Word),
    _column("created_at", BigInteger),
    _column("expires_at", BigInteger),
    _column("needed", Integer),
    _column("nonce", Text),
    _column("phrase", Text),
    _column("state", EnumText(ProposalState)),
    _column("approved", Integer),
    _column("decided_by", Text),
    _column("decided_at", BigInteger),
    _column("effective_at", BigInteger),
    _column("outcome", Text),
    Index("ix_proposals_created_at", "created_at"),
)

# Each person's word on a proposal.
decisions = Table(
    "decisions",
    metadata,
    _column("proposal_id", BigInteger),
    _column("principal_id", Word),
    _column("approves", Boolean),
    _column("actor", Text),
    _column("ts", BigInteger),
    PrimaryKeyConstraint("proposal_id", "principal_id", "ts"),
)

chats = Table(
    "chats",
    metadata,
    _column("surface", Word),
    _column("chat_id", Word),
    _column("thread_id", Word),
    _column("kind", EnumText(ChatKind)),
    _column("subscribed", Boolean),
    _column("added_by", Text),
    _column("ts", BigInteger),
    _column("gone", Text),
    PrimaryKeyConstraint("surface", "chat_id", "thread_id"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("schedule_id", BigInteger, primary_key=True, autoincrement=False),
    _column("cron", Text),
    _column("zone", Text),
    _column("command", Text),
    _column("surface", Word),
    _column("chat_id", Word),
    _column("thread_id", Word),
    _column("created_by", Text),
    _column("created_at", BigInteger),
    _column("last_due", BigInteger),
    _column("removed", Boolean),
)

alerts = Table(
    "alerts",
    metadata,
    Column("alert_id", BigInteger, primary_key=True, autoincrement=False),
    _column("symbol", Word),
    _column("direction", EnumText(Direction)),
    _column("price", DecimalText),
    _column("surface", Word),
    _column("chat_id", Word),
    _column("thread_id", Word),
    _column("created_by", Text),
    _column("created_at", BigInteger),
    _column("fired_at", BigInteger),
    _column("removed", Boolean),
)

# A row is replaced while a change is watched: what became of it.
parameter_changes = Table(
    "parameter_changes",
    metadata,
    _column("change_id", BigInteger),
    _column("books", Word),
    _column("kind", EnumText(ChangeKind)),
    _column("tier", EnumText(Tier)),
    _column("source", EnumText(Source)),
    _column("author", Text),
    _column("reason", Text),
    _column("moved", JsonText(tuple[Moved, ...])),
    _column("made_at", BigInteger),
    _column("told_at", BigInteger),
    _column("snapshot_id", BigInteger),
    _column("proposal_id", BigInteger),
    _column("undoes", BigInteger),
    _column("study", BigInteger),
    _column("fate", EnumText(Fate)),
    _column("trades", Integer),
    _column("net", DecimalText),
    _column("drawdown", Double),
    _column("ended_at", BigInteger),
    _optional("expected", JsonText(Band)),
    PrimaryKeyConstraint("books", "change_id"),
    Index("ix_parameter_changes_made_at", "books", "made_at"),
)

# A trigger made by the migration forbids to change a row. A bot that was removed and added again
# begins with the first version again, by another change.
parameters = Table(
    "parameters",
    metadata,
    _column("books", Word),
    _column("scope", Word),
    _column("name", Word),
    _column("version", Integer),
    _column("value", Double),
    _column("before", Double),
    _column("low", Double),
    _column("high", Double),
    _column("is_base", Boolean),
    _column("change_id", BigInteger),
    _column("author", Text),
    _column("reason", Text),
    _column("made_at", BigInteger),
    _column("told_at", BigInteger),
    PrimaryKeyConstraint("books", "scope", "name", "version", "change_id"),
    CheckConstraint("is_base OR (value >= low AND value <= high)", name="within_bounds"),
)

parameter_snapshots = Table(
    "parameter_snapshots",
    metadata,
    _column("snapshot_id", BigInteger),
    _column("books", Word),
    _column("name", Text),
    _column("taken_at", BigInteger),
    _column("values", JsonText(dict[str, dict[str, float]])),
    _column("set_", JsonText(dict[str, list[str]])),
    _column("figures", JsonText(dict[str, Stand])),
    PrimaryKeyConstraint("books", "snapshot_id"),
)

studies = Table(
    "studies",
    metadata,
    _column("number", BigInteger),
    _column("books", Word),
    _column("bot_id", Word),
    _column("asked_by", Text),
    _column("asker", Text),
    _column("surface", Word),
    _column("asked_at", BigInteger),
    _column("stage", EnumText(StudyStage)),
    _column("done", Integer),
    _column("trials", Integer),
    _column("verdict", Text),
    _column("values", JsonText(tuple[tuple[str, float], ...])),
    _optional("evidence", JsonText(Evidence)),
    _column("ended_at", BigInteger),
    PrimaryKeyConstraint("books", "number"),
)

# A row a call of a model, numbered whatever books were open. When its words are forgotten, what it
# cost stays.
analyses = Table(
    "analyses",
    metadata,
    Column("call_id", BigInteger, primary_key=True, autoincrement=False),
    _column("consultation", BigInteger),
    _column("books", Word),
    _column("ts", BigInteger),
    _column("purpose", EnumText(Purpose)),
    _column("subject", Text),
    _column("asked_by", Text),
    _column("model", Text),
    _column("prompt", Text),
    _column("state", EnumText(CallState)),
    _column("answer", Text),
    _column("result", Text),
    _column("failure", Text),
    _column("prompt_tokens", BigInteger),
    _column("output_tokens", BigInteger),
    _column("cost", DecimalText),
    _column("latency_ms", BigInteger),
    Index("ix_analyses_consultation", "consultation"),
    Index("ix_analyses_ts", "ts"),
)

inbox = Table(
    "inbox",
    metadata,
    Column("key", Word, primary_key=True),
    _column("ts", BigInteger),
    _column("body", Text),
    _optional("done_at", BigInteger),
)
_unfinished = inbox.c.done_at.is_(None)
Index("ix_inbox_unfinished", inbox.c.ts, sqlite_where=_unfinished, postgresql_where=_unfinished)

# `finished_at` is when it arrived, or was given up with an `error`.
deliveries = Table(
    "deliveries",
    metadata,
    _count(),
    _column("surface", Word),
    _column("chat_id", Word),
    _column("thread_id", Word),
    _column("ts", BigInteger),
    _column("priority", Integer),
    _column("topic", Word),
    _column("body", Text),
    _optional("attempted_at", BigInteger),
    _optional("finished_at", BigInteger),
    _optional("message_id", Word),
    _optional("error", Text),
    Index("ix_deliveries_topic", "surface", "chat_id", "topic"),
    Index("ix_deliveries_about", "topic"),
    sqlite_autoincrement=True,
)
_waiting = deliveries.c.finished_at.is_(None)
Index(
    "ix_deliveries_waiting",
    *deliveries.c["surface", "chat_id", "priority", "seq"],
    sqlite_where=_waiting,
    postgresql_where=_waiting,
)

offers = Table(
    "offers",
    metadata,
    _count(),
    _column("surface", Word),
    _column("chat_id", Word),
    _column("command", Text),
    _column("expires_at", BigInteger),
    _column("user_id", Word),
    _optional("used_by", Word),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True)
class FactTable:
    """Where one kind of fact is kept.

    `time` is the column that tells when it happened, `None` where a fact has no time.
    `replaced` tells whether a newer row takes the place of a known one, or is left out.
    """

    table: Table
    time: str | None
    replaced: bool

    @cached_property
    def key(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.primary_key)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The columns that facts are sorted by."""
        return (self.time, *self.key) if self.time else self.key

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns if not column.nullable)

    def matching(self, since: int | None, **wanted: str | int | None) -> dict[str, str | int]:
        """The filters that are set, by column. Raises Broken for one that no row could have."""
        if since is not None and self.time is None:
            raise Broken(f"{self.table.name} has no time to ask for")
        filters = {name: value for name, value in wanted.items() if value is not None}
        for name in filters:
            if name not in self.table.columns:
                raise Broken(f"{self.table.name} has no {name} to ask for")
        return filters


# A fact of a kind that happened is left as first told; what only stands as it stands now is
# replaced.
FACTS: dict[type[Fact], FactTable] = {
    Order: FactTable(orders, "created_at", replaced=True),
    Fill: FactTable(fills, "exec_time", replaced=False),
    Position: FactTable(positions, "updated_at", replaced=True),
    Trade: FactTable(trades, "exit_time", replaced=False),
    Funding: FactTable(funding, "ts", replaced=False),
    Decision: FactTable(signals, "ts", replaced=False),
    EquityPoint: FactTable(equity, "ts", replaced=True),
    BotRow: FactTable(bots, None, replaced=True),
    Instrument: FactTable(instruments, None, replaced=True),
    Person: FactTable(principals, None, replaced=True),
    Identity: FactTable(identities, None, replaced=True),
    Chat: FactTable(chats, "ts", replaced=True),
    Schedule: FactTable(schedules, "created_at", replaced=True),
    Alert: FactTable(alerts, "created_at", replaced=True),
    Proposal: FactTable(proposals, "created_at", replaced=True),
    Vote: FactTable(decisions, "ts", replaced=False),
    AuditAnchor: FactTable(audit_anchors, "ts", replaced=False),
    ParameterChange: FactTable(parameter_changes, "made_at", replaced=True),
    ParameterValue: FactTable(parameters, "made_at", replaced=False),
    Snapshot: FactTable(parameter_snapshots, "taken_at", replaced=False),
    TuningStudy: FactTable(studies, "asked_at", replaced=True),
}


def fact_table(kind: type[Any]) -> FactTable:
    """The table of a kind of fact; raises Broken for anything else."""
    try:
        return FACTS[kind]
    except KeyError:
        raise Broken(f"a {kind.__name__} is not a fact that can be stored") from None


@cache
def notices() -> TypeAdapter[Notice]:
    """How a notice becomes the body of its outbox row, and a notice again."""
    return TypeAdapter(Notice)
