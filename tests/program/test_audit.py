"""`countersign audit verify` as a process, on a database that hands have been at."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.audit import Act, AuditAnchor, AuditRow, Chain, cut_at
from engine.ports import Commit
from engine.store.sql import open_store
from tests.migrated import migrated_file
from tests.program.conftest import Program, until

KEY = "the key of these tests"
TS = 1_735_689_600_000
ACTS = [Act(TS + n * 60_000, "telegram:7", "command", f"/status {n}: done") for n in range(1, 21)]


async def _fill(path: Path, cut: int) -> list[AuditRow]:
    store = await open_store(await migrated_file(path))
    try:
        epoch = await store.take_epoch("test")
        chain = Chain(KEY.encode(), None)
        rows = chain.seal(ACTS)
        anchor = AuditAnchor(10, rows[9].mac, TS)
        head = chain.head(rows)
        await store.commit(Commit(epoch, facts=[anchor], audit=rows, audit_head=head))
        if cut:
            await store.cut_audit(cut_at(rows[cut - 1], TS, KEY.encode()), epoch)
        return rows
    finally:
        await store.close()


def fill(program: Program, cut: int = 0) -> list[AuditRow]:
    """An audit as a desk that has ended leaves it."""
    program.settings["SECRET_KEY"] = KEY
    program.data.mkdir()
    return asyncio.run(_fill(program.data / "countersign.db", cut))


def by_hand(program: Program, *statements: str) -> None:
    with closing(sqlite3.connect(program.data / "countersign.db")) as connection, connection:
        for name in ("update", "delete", "replace"):
            connection.execute(f"DROP TRIGGER audit_no_{name}")
        for statement in statements:
            connection.execute(statement)


def test_an_untouched_audit_is_good_and_tells_its_end(program: Program) -> None:
    rows = fill(program)
    end = f"20:{rows[-1].mac}"
    done = program.run("audit", "verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"good: 20 rows, from 2025-01-01 00:01 UTC to 2025-01-01 00:20 UTC.\nhead: {end}\n"
    )
    assert program.run("audit", "verify", "--head", end).returncode == 0
    assert sorted(path.name for path in program.data.iterdir()) == ["countersign.db"]


def test_machines_are_told_in_json(program: Program) -> None:
    rows = fill(program, cut=5)
    good = program.run("audit", "verify", "--json")
    assert json.loads(good.stdout) == {
        "verdict": "good",
        "rows": 15,
        "since": rows[5].ts,
        "until": rows[19].ts,
        "head": f"20:{rows[19].mac}",
        "cut": 5,
    }
    by_hand(program, "UPDATE audit SET actor = 'nobody' WHERE seq = 8")
    bad = program.run("audit", "verify", "--json")
    assert bad.returncode == 1
    found = json.loads(bad.stdout)
    assert (found["verdict"], found["row"]) == ("changed row", 8)


SWAP = (
    "UPDATE audit SET seq = -1 WHERE seq = 4",
    "UPDATE audit SET seq = 4 WHERE seq = 9",
    "UPDATE audit SET seq = 9 WHERE seq = -1",
)
FLIP = (
    "UPDATE audit SET detail = replace(detail, 'd', 'e') WHERE seq = 13",
    "changed row: Row 13 is not",
)


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (FLIP[:1], FLIP[1]),
        (SWAP, "changed row: Row 4 is not"),
        (("DELETE FROM audit WHERE seq = 12",), "changed row: Row 12 is missing"),
        (("DELETE FROM audit WHERE seq > 17",), "shorter than the anchor: Row 18 is missing"),
    ],
    ids=["a byte flipped", "two rows swapped", "a row removed", "the tail cut"],
)
def test_what_a_hand_did_ends_in_failure_and_names_the_row(
    program: Program, statements: tuple[str, ...], said: str
) -> None:
    fill(program)
    by_hand(program, *statements)
    done = program.run("audit", "verify")
    assert done.returncode == 1
    assert done.stdout.startswith(said)
    assert done.stdout.count("\n") == 1


def test_a_file_rolled_back_as_a_whole_shows_by_an_end_noted_elsewhere(program: Program) -> None:
    fill(program)
    done = program.run("audit", "verify", "--head", "25:" + "ab" * 32)
    assert done.returncode == 1
    assert done.stdout.startswith("shorter than the anchor: Row 21 is missing: row 25 was written")
    other = program.run("audit", "verify", "--head", "15:" + "ab" * 32)
    assert other.returncode == 1
    assert other.stdout.startswith("anchor mismatch: Row 15 is not the one that was written down")


def test_another_key_opens_nothing(program: Program) -> None:
    fill(program)
    program.settings["SECRET_KEY"] = "another key altogether"
    done = program.run("audit", "verify")
    assert done.returncode == 1
    assert done.stdout.startswith("changed row: Row 1 is not as it was sealed with this key")


@pytest.mark.parametrize("head", ["7", "12:xyz", "--json"])
def test_an_end_that_is_none_is_bad_usage(program: Program, head: str) -> None:
    fill(program)
    done = program.run("audit", "verify", f"--head={head}")
    assert done.returncode == 2
    assert f"--head: {head!r} is not valid. Allowed: SEQ:MAC" in done.stderr


def test_an_end_that_was_cut_away_can_not_be_compared_any_more(program: Program) -> None:
    rows = fill(program, cut=5)
    done = program.run("audit", "verify", "--head", f"3:{rows[2].mac}")
    assert done.returncode == 2
    assert "Allowed: a row from 5 on; older ones were cut away on 2025-01-01" in done.stderr
    assert program.run("audit", "verify", "--head", f"5:{rows[4].mac}").returncode == 0


def test_an_audit_that_was_emptied_is_not_good(program: Program) -> None:
    fill(program)
    tables = ("audit", "audit_head", "audit_anchors")
    emptied = [f"DELETE FROM {table}" for table in tables]
    by_hand(program, "DROP TRIGGER audit_anchors_no_delete", *emptied)
    done = program.run("audit", "verify")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout == (
        "shorter than the anchor: Row 1 is missing: a desk has run on this database, and the "
        "audit has no rows.\n"
    )


def test_where_no_desk_ever_ran_nothing_is_made(program: Program) -> None:
    program.settings["SECRET_KEY"] = KEY
    done = program.run("audit", "verify")
    assert done.returncode == 2
    assert "There is no database" in done.stderr
    assert not program.data.exists()


def test_a_running_desk_is_not_disturbed_and_posts_its_end(program: Program) -> None:
    program.settings |= {"MARKET": "simulated:42", "MARKET_SPEED": "60"}
    desk = program.start("run")
    until(lambda: bool(program.rows("SELECT 1 FROM audit_head")), desk)
    for _ in range(3):
        done = program.run("audit", "verify")
        assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: bool(program.rows("SELECT 1 FROM audit_anchors")), desk)
    ((seq, mac),) = program.rows("SELECT seq, mac FROM audit_anchors")
    assert program.run("audit", "verify", "--head", f"{seq}:{mac}").returncode == 0
    assert desk.poll() is None
    desk.terminate()
    _, errors = desk.communicate(timeout=30)
    assert desk.returncode == 0, errors
    assert program.run("audit", "verify").stdout.startswith("good: ")
