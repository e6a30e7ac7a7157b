"""Every step goes up, down and up again, and ends at the tables the program works with."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from bot.app import open_app
from bot.settings import Settings
from engine.audit import Act, Chain, head_of
from engine.errors import BadSettings, Broken, Refused
from engine.mail import Offer
from engine.order import Order
from engine.people import Identity, Person, Role
from engine.signal import Decision
from engine.store.database import Database, open_database
from engine.store.migrations import HEAD, bring_to_head, config_for, migrate, revision_of
from engine.store.sql import open_store
from engine.store.tables import metadata

KEY = "a key of the desk that nobody knows"


def steps(connection: Connection) -> list[str]:
    """All steps, first to last."""
    script = ScriptDirectory.from_config(config_for(connection))
    return [step.revision for step in script.walk_revisions()][::-1]


def tables_of(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def set_revision(connection: Connection, revision: str) -> None:
    connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


async def test_each_step_goes_up_down_and_up(database: Database) -> None:
    for step in await database.read(steps):
        await database.write(lambda c, step=step: command.upgrade(config_for(c), step))  # type: ignore[misc]
        before = await database.read(tables_of)
        await database.write(lambda c: command.downgrade(config_for(c), "-1"))
        await database.write(lambda c, step=step: command.upgrade(config_for(c), step))  # type: ignore[misc]
        assert await database.read(tables_of) == before


async def test_going_all_the_way_down_leaves_nothing(database: Database) -> None:
    await bring_to_head(database)
    await database.write(lambda c: command.downgrade(config_for(c), "base"))
    assert await database.read(tables_of) <= {"alembic_version", "sqlite_sequence"}
    await bring_to_head(database)
    assert await database.read(revision_of) == HEAD


async def test_the_steps_make_the_tables_the_program_works_with(database: Database) -> None:
    await bring_to_head(database)
    assert await database.read(differences) == []
    assert await database.read(tables_of) - {"sqlite_sequence"} == {
        *metadata.tables,
        "alembic_version",
    }


def fill_second_step(connection: Connection) -> None:
    """What a desk of the second step left: two people, their accounts, and its audit."""
    command.upgrade(config_for(connection), "0002")
    for name, role, user_id in (("ann", "admin", "7"), ("old", "admin", "8")):
        connection.execute(
            text("INSERT INTO principals (principal_id, name, role) VALUES (:n, :n, :r)"),
            {"n": name, "r": role},
        )
        connection.execute(
            text("INSERT INTO identities (surface, user_id, principal_id) VALUES (:s, :u, :n)"),
            {"s": "telegram", "u": user_id, "n": name},
        )
    rows = Chain(KEY.encode(), None).seal([Act(1, "desk", "started", ""), Act(2, "x", "y", "z")])
    for row in rows:
        connection.execute(
            text("INSERT INTO audit VALUES (:seq, :ts, :actor, :action, :detail, :prev, :mac)"),
            {name: getattr(row, name) for name in row.__slots__},
        )
    head = head_of(rows[-1], KEY.encode())
    connection.execute(
        text("INSERT INTO audit_head (id, seq, mac) VALUES (1, :seq, :mac)"),
        {"seq": head.seq, "mac": head.mac},
    )


async def test_after_an_upgrade_who_is_in_the_settings_is_somebody_and_nobody_else(
    database: Database, url: str, tmp_path: Path
) -> None:
    await database.write(fill_second_step)
    await migrate(url)
    store = await open_store(url)
    assert {each.role for each in await store.recent(Person)} == {Role.NOBODY}
    assert {each.principal_id for each in await store.recent(Identity)} == {""}
    await store.close()
    settings = Settings(
        data_dir=tmp_path,
        database_url=url,
        secret_key=KEY,
        people=[
            {"name": "ann", "role": "trader", "telegram": 7},
            {"name": "bob", "role": "admin", "discord": 9},
        ],
    )
    async with open_app(settings) as app:
        assert app.desk.view().halted == ""
        people = await app.desk.store.recent(Person)
        identities = await app.desk.store.recent(Identity)
        last = await app.desk.store.last_audit()
    assert {(each.name, each.role) for each in people} == {
        ("ann", Role.TRADER),
        ("bob", Role.ADMIN),
        ("old", Role.NOBODY),
    }
    assert {(each.surface, each.user_id, each.principal_id) for each in identities} == {
        ("telegram", "7", "ann"),
        ("discord", "9", "bob"),
        ("telegram", "8", ""),
    }
    assert last is not None and last.seq > 2


FOURTH_STEP = (
    "INSERT INTO signals (decision_id, account, bot_id, symbol, ts, action, side, reason, price,"
    " approved, gate, detail, order_link_id) VALUES (1, 'a', 'b', 'BTCUSDT', 1, 'entry', 'Sell',"
    " 'ema_cross', 100.5, true, '', '', NULL)",
    "INSERT INTO orders (account, order_link_id, client_order_id, bot_id, symbol, side, order_type,"
    " quantity, leverage, reason, created_at, updated_at, status, filled_quantity, reduce_only)"
    " VALUES ('a', 'l', 'c', 'b', 'BTCUSDT', 'Sell', 'Market', '1', 10, 'ema_cross', 1, 1,"
    " 'Filled', '1', false)",
)


def fill_fourth_step(connection: Connection) -> None:
    """What a desk of the fourth step left: a decision and its order."""
    command.upgrade(config_for(connection), "0004")
    for statement in FOURTH_STEP:
        connection.execute(text(statement))


async def test_after_an_upgrade_old_decisions_were_sure_and_old_orders_break_even_never(
    database: Database, url: str
) -> None:
    await database.write(fill_fourth_step)
    await migrate(url)
    store = await open_store(url)
    [decision], [order] = await store.recent(Decision), await store.recent(Order)
    await store.close()
    assert (decision.confidence, decision.price, decision.order_link_id) == (1.0, 100.5, None)
    assert (order.break_even_trigger, order.break_even_stop) == (None, None)
    assert (order.post_only, order.expires_at) == (False, 0)
    assert order.quantity == 1
    assert (decision.consultation, decision.instead, decision.opposed) == (0, "", None)


SEVENTH_STEP = (
    "INSERT INTO signals (decision_id, account, bot_id, symbol, ts, action, side, reason, price,"
    " approved, gate, detail, order_link_id, confidence) VALUES (1, 'a', 'b', 'BTCUSDT', 1,"
    " 'entry', 'Sell', 'ema_cross', 100.5, true, '', '', NULL, 0.5)",
    "INSERT INTO offers (surface, chat_id, command, expires_at, used_by)"
    " VALUES ('telegram', '7', '/bot pause b', 9, 'k')",
)


def fill_seventh_step(connection: Connection) -> None:
    """What a desk of the seventh step left: a decision, and a button that was pressed."""
    command.upgrade(config_for(connection), "0007")
    for statement in SEVENTH_STEP:
        connection.execute(text(statement))


async def test_after_an_upgrade_no_model_had_a_say_and_buttons_are_for_anybody(
    database: Database, url: str
) -> None:
    await database.write(fill_seventh_step)
    await migrate(url)
    store = await open_store(url)
    [decision] = await store.recent(Decision)
    offered, taken = await store.mail.offered(1), await store.mail.claim(1, "other")
    [new] = await store.mail.offer([Offer("telegram", "7", "/bot resume b", 9, "8")])
    again = await store.mail.offered(new)
    calls = await store.calls.last(9), await store.calls.last_id()
    await store.close()
    assert (decision.confidence, decision.consultation, decision.instead) == (0.5, 0, "")
    assert offered == Offer("telegram", "7", "/bot pause b", 9, "")
    assert not taken
    assert again is not None and again.user_id == "8"
    assert calls == ([], 0)


async def test_a_step_back_takes_the_analyses_and_leaves_decisions_and_buttons(
    database: Database, url: str
) -> None:
    await database.write(fill_seventh_step)
    await migrate(url)
    await database.write(lambda c: command.downgrade(config_for(c), "0007"))
    assert "analyses" not in await database.read(tables_of)
    await migrate(url)
    store = await open_store(url)
    [decision], offered = await store.recent(Decision), await store.mail.offered(1)
    await store.close()
    assert decision.confidence == 0.5
    assert offered is not None and offered.command == "/bot pause b"


async def test_an_audit_that_was_cut_keeps_the_table_that_verifies_it(database: Database) -> None:
    await bring_to_head(database)
    cut = "INSERT INTO audit_cuts (seq, mac, ts, seal) VALUES (1, 'a', 1, 'b')"
    await database.write(lambda c: c.exec_driver_sql(cut))
    with pytest.raises(Refused, match="the audit was cut: without its table audit_cuts"):
        await database.write(lambda c: command.downgrade(config_for(c), "0002"))
    assert await database.read(revision_of) == HEAD


async def test_head_is_the_last_step(database: Database) -> None:
    assert (await database.read(steps))[-1] == HEAD


async def test_migrating_twice_is_migrating_once(url: str) -> None:
    await migrate(url)
    await migrate(url)


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    await migrate(url)
    database = open_database(url)
    await database.write(lambda c: set_revision(c, "9999"))
    try:
        with pytest.raises(BadSettings) as refused:
            await open_store(url)
        assert "at revision 9999, made by a newer version" in str(refused.value)
        assert f"this program knows up to {HEAD}" in str(refused.value)
        assert await database.read(revision_of) == "9999"
    finally:
        await database.close()


async def test_a_migration_that_fails_half_way_leaves_the_old_tables(database: Database) -> None:
    await database.write(lambda c: c.exec_driver_sql("CREATE TABLE audit (mine TEXT)"))
    with pytest.raises(Broken, match="audit.*already exists"):
        await bring_to_head(database)
    assert await database.read(tables_of) == {"audit"}
    await database.write(lambda c: c.exec_driver_sql("DROP TABLE audit"))
    await bring_to_head(database)
    assert await database.read(revision_of) == HEAD


async def test_two_processes_may_migrate_at_once(tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    code = (
        "import asyncio, sys; from engine.store.migrations import migrate; "
        "asyncio.run(migrate(sys.argv[1]))"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, f"sqlite:///{path}"], cwd=ROOT)  # noqa: ASYNC220
        for _ in range(3)
    ]
    assert [process.wait(30) for process in started] == [0, 0, 0]


async def test_a_start_at_head_does_not_import_alembic(tmp_path: Path) -> None:
    await migrate(f"sqlite:///{tmp_path}/desk.db")
    code = (
        "import asyncio, sys; from engine.store.sql import open_store\n"
        "async def main(): await (await open_store(sys.argv[1])).close()\n"
        "asyncio.run(main()); print([m for m in sys.modules if m.startswith('alembic')])"
    )
    command_line = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/desk.db"]
    assert subprocess.check_output(command_line, cwd=ROOT, text=True).strip() == "[]"  # noqa: ASYNC221


ROOT = Path(__file__).parents[3]
