"""The tables and the values of the engine fit each other."""

from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum, IntEnum
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import Boolean, Table
from sqlalchemy.dialects import sqlite

from engine.audit import AuditHead, AuditRow
from engine.calls import ModelCall
from engine.effect import Fact
from engine.errors import Broken
from engine.mail import Delivery, Offer, Received
from engine.order import Reason, Side
from engine.people import Role
from engine.ports import JournalRow, OutboxRow, StateRow
from engine.store import tables
from engine.store.tables import FACTS, DecimalText, EnumText, FactTable, JsonText, NameText
from engine.tuning import Moved

KINDS = pytest.mark.parametrize("kind, facts", FACTS.items(), ids=lambda v: getattr(v, "name", ""))


def names(row: type) -> list[str]:
    return [column.name for column in fields(row)]


def columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def test_every_kind_of_fact_has_a_table() -> None:
    assert set(FACTS) == set(get_args(Fact))


@KINDS
def test_a_fact_s_columns_are_its_fields_in_their_order(kind: type[Fact], facts: FactTable) -> None:
    assert columns(facts.table) == names(kind)


def of_parts(hint: Any) -> bool:
    is_pack = isinstance(hint, type) and issubclass(hint, tuple)
    return get_origin(hint) is not None or is_dataclass(hint) or is_pack


@KINDS
def test_a_column_holds_what_its_field_holds(kind: type[Fact], facts: FactTable) -> None:
    hints = get_type_hints(kind)
    for column in facts.table.columns:
        hint = hints[column.name]
        allowed = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        assert column.nullable == (type(None) in allowed), column
        assert isinstance(column.type, DecimalText) == (Decimal in allowed), column
        assert isinstance(column.type, Boolean) == (bool in allowed), column
        assert isinstance(column.type, JsonText) == any(map(of_parts, allowed)), column
        if isinstance(column.type, JsonText):
            assert column.type.kind == allowed[0]
            continue
        words = [one for one in allowed if issubclass(one, Enum)]
        assert [getattr(column.type, "enum", None)] == (words or [None]), column
        ranks = [one for one in words if issubclass(one, IntEnum)]
        assert isinstance(column.type, NameText) == bool(ranks), column


@KINDS
def test_a_fact_table_is_sorted_by_columns_it_has(kind: type[Fact], facts: FactTable) -> None:
    assert set(facts.order) <= set(names(kind))
    assert facts.key


def test_the_other_rows_are_read_by_position_too() -> None:
    assert columns(tables.state) == names(StateRow)
    assert columns(tables.journal) == ["seq", *names(JournalRow)]
    assert columns(tables.outbox) == [*names(OutboxRow), "delivered_at"]
    assert columns(tables.inbox) == [*names(Received), "done_at"]
    assert columns(tables.offers) == ["seq", *names(Offer), "used_by"]
    fate = ["attempted_at", "finished_at", "message_id", "error"]
    assert columns(tables.deliveries) == ["seq", *names(Delivery), *fate]
    assert columns(tables.analyses) == names(ModelCall)
    assert columns(tables.audit) == names(AuditRow)
    assert columns(tables.audit_head) == ["id", *names(AuditHead)]


def test_a_word_of_a_newer_version_is_not_guessed_at() -> None:
    kind = EnumText(Reason)
    assert kind.process_result_value("stop_loss", sqlite.dialect()) is Reason.STOP_LOSS
    assert EnumText(Side).process_result_value(None, sqlite.dialect()) is None
    with pytest.raises(Broken, match="'moon_phase' is not a Reason"):
        kind.process_result_value("moon_phase", sqlite.dialect())


def test_a_rank_is_stored_by_its_name_and_a_newer_one_is_not_guessed_at() -> None:
    kind = NameText(Role)
    assert kind.process_bind_param(Role.TRADER, sqlite.dialect()) == "trader"
    assert kind.process_bind_param(None, sqlite.dialect()) is None
    assert kind.process_result_value("trader", sqlite.dialect()) is Role.TRADER
    assert kind.process_result_value(None, sqlite.dialect()) is None
    with pytest.raises(Broken, match="'owner' is not a Role"):
        kind.process_result_value("owner", sqlite.dialect())


def test_what_was_kept_otherwise_is_not_guessed_at() -> None:
    kind = JsonText(tuple[Moved, ...])
    with pytest.raises(Broken, match="is not what is kept as tuple"):
        kind.process_result_value('[{"scope": 1}]', sqlite.dialect())
    assert kind.process_result_value(None, sqlite.dialect()) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_is_not_stored(value: str) -> None:
    with pytest.raises(Broken, match="is not an amount"):
        DecimalText().process_bind_param(Decimal(value), sqlite.dialect())
