"""The audit as admins read it, and as a file that does nothing in a spreadsheet."""

import csv
import io
from dataclasses import replace

import pytest

from engine.audit import Act, AuditRow, Chain
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.people import Role
from engine.store.memory import MemoryStore
from handlers import audit
from handlers.reply import Button, File, Reply, Text, Time
from tests.handlers.desks import rows, say, table

KEY = b"any key"


@pytest.fixture
def store(empty_desk: Desk) -> MemoryStore:
    """The desk's memory, with what was done on other days."""
    assert isinstance(empty_desk.store, MemoryStore)
    return empty_desk.store


def put(store: MemoryStore, *acts: Act) -> list[AuditRow]:
    """Rows as if they were stored just now, out of the way of those that the desk stores."""
    numbered = enumerate(Chain(KEY, None).seal(acts), start=max(store.audit) + 1_000)
    made = [replace(row, seq=seq) for seq, row in numbered]
    store.audit.update({row.seq: row for row in made})
    return made


def ago(desk: Desk, days: float, actor: str = "telegram:7 (Ann)", detail: str = "/status") -> Act:
    return Act(desk.clock.now() - round(days * DAY_MS), actor, "command", detail)


def sentence(reply: Reply) -> str:
    assert reply.ok, reply.error
    assert isinstance(reply.blocks[0], Text)
    return reply.blocks[0].text


def cells(reply: Reply) -> list[dict[str, str]]:
    """An exported file as a spreadsheet reads it."""
    file = reply.blocks[1]
    assert isinstance(file, File)
    return list(csv.DictReader(io.StringIO(file.content)))


async def test_the_newest_rows_come_first(empty_desk: Desk, store: MemoryStore) -> None:
    older, newer = put(store, ago(empty_desk, 0.2), ago(empty_desk, 0.1, detail="x" * 500))
    found = rows(table(await say(empty_desk, "/audit"), "Audit"))
    assert [row["row"] for row in found][:2] == [str(newer.seq), str(older.seq)]
    assert found[1] == {
        "row": str(older.seq),
        "time": Time(older.ts),
        "who": "telegram:7 (Ann)",
        "action": "command",
        "detail": "/status",
    }
    detail = found[0]["detail"]
    assert isinstance(detail, str)
    assert len(detail) == audit.DETAIL_SHOWN


async def test_what_somebody_did_is_one_line_with_what_came_of_it(
    empty_desk: Desk, store: MemoryStore
) -> None:
    ts = empty_desk.clock.now() - 10_000
    done = "Proposal 2 (Sell 1 ETHUSDT): Sell 1 ETHUSDT is sent."
    put(
        store,
        Act(ts, "telegram:8", "HaltDesk", "Halted: no position is opened."),
        Act(ts, "telegram:8", "command", "/halt: done"),
        Act(ts + 5_000, "telegram:8", "Decide", "Sell 1 ETHUSDT is sent."),
        Act(ts + 5_000, "telegram:8", "approved", "Proposal 2 (Sell 1 ETHUSDT)"),
        Act(ts + 5_000, "a_bot", "order", "open Sell 1 ETHUSDT"),
        Act(ts + 5_000, "a_bot", "order", "open Sell 1 BTCUSDT"),
        Act(ts + 5_000, "telegram:8", "done", done),
        Act(ts + 5_900, "telegram:8", "command", "/approve 2: done"),
        Act(ts + 5_900, "telegram:9", "command", "/status: done"),
        Act(ts + 5_900, "telegram:9", "command", "/halt: refused"),
    )
    answer = await say(empty_desk, "/audit")
    assert [row["detail"] for row in rows(table(answer, "Audit"))][:6] == [
        "/halt: refused",
        "/status: done",
        done,
        "open Sell 1 BTCUSDT",
        "open Sell 1 ETHUSDT",
        "Halted: no position is opened.",
    ]
    assert "these are the newest" not in sentence(answer)


async def test_twenty_are_shown_and_all_counted(empty_desk: Desk, store: MemoryStore) -> None:
    put(store, *(ago(empty_desk, 1, "discord:9") for _ in range(57)))
    answer = await say(empty_desk, "/audit discord:9 30")
    assert sentence(answer) == (
        "57 rows of discord:9 in the last 30 days; these are the newest 20."
    )
    assert len(rows(table(answer, "Audit"))) == 20
    assert answer.buttons == (Button("Export", "/audit export 30"),)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("/audit ann", 2),
        ("/audit ann 10", 3),
        ("/audit ANN days=10", 3),
        ("/audit user=ann days=1", 1),
        ("/audit BotPause", 1),
        ("/audit nobody", 0),
    ],
)
async def test_a_search_is_by_somebody_and_by_days(
    empty_desk: Desk, store: MemoryStore, line: str, count: int
) -> None:
    put(store, *(ago(empty_desk, days) for days in (8, 5, 0.5)))
    put(store, Act(empty_desk.clock.now(), "discord:9", "BotPause", "paused"))
    answer = await say(empty_desk, line)
    assert sentence(answer).startswith(f"{count} row")
    assert len(rows(table(answer, "Audit"))) == count


async def test_a_number_alone_is_days(empty_desk: Desk, store: MemoryStore) -> None:
    put(store, *(ago(empty_desk, days, "discord:9") for days in (8, 5)))
    assert sentence(await say(empty_desk, "/audit 30")).endswith("in the last 30 days.")
    assert sentence(await say(empty_desk, "/audit 1")).endswith("in the last day.")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/audit 0", "user: '0' is not valid. Allowed: days from 1 to 180, or"),
        ("/audit 181", "user"),
        ("/audit -1", "user"),
        ("/audit ann 181", "days"),
        ("/audit ann forever", "days"),
        (f"/audit {'x' * 101}", "user"),
        ("/audit user=7", "user"),
        ("/audit export 181", "days"),
        ("/audit export ann", "days"),
    ],
)
async def test_what_is_no_search_is_refused_by_name_value_and_what_is_allowed(
    empty_desk: Desk, line: str, error: str
) -> None:
    answer = await say(empty_desk, line)
    assert answer.error is not None
    assert answer.error.startswith(error)
    assert "Allowed: " in answer.error


@pytest.mark.parametrize("line", ["/audit", "/audit export"])
@pytest.mark.parametrize("role", [Role.VIEWER, Role.TRADER])
async def test_only_admins_read_it(empty_desk: Desk, line: str, role: Role) -> None:
    assert (await say(empty_desk, line, role)).error == f"{line} needs the role admin."


async def test_the_export_holds_every_row_oldest_first(
    empty_desk: Desk, store: MemoryStore
) -> None:
    *_, row = put(
        store, *(ago(empty_desk, 2, detail=f'a "quoted", {n}\nline é') for n in range(40))
    )
    answer = await say(empty_desk, "/audit export")
    file = answer.blocks[1]
    assert isinstance(file, File)
    assert file.name == "audit-2025-01-01.csv"
    found = cells(answer)
    assert [int(each["seq"]) for each in found] == sorted(store.audit)[: len(found)]
    assert sentence(answer) == f"{len(found)} rows in the last 7 days."
    assert len(found) > 40
    assert found[-1] == {
        "seq": str(row.seq),
        "time": "2024-12-30T00:00:30Z",
        "ts": str(row.ts),
        "actor": row.actor,
        "action": row.action,
        "detail": row.detail,
        "prev": row.prev,
        "mac": row.mac,
    }


async def test_an_export_that_would_be_too_long_says_what_it_leaves_out(
    empty_desk: Desk, store: MemoryStore
) -> None:
    put(store, *(ago(empty_desk, 1) for _ in range(audit.EXPORTED + 1)))
    answer = await say(empty_desk, "/audit export")
    assert "; the newest 5,000 are in the file." in sentence(answer)
    assert len(cells(answer)) == audit.EXPORTED


async def test_an_export_of_nothing_has_no_file(empty_desk: Desk, store: MemoryStore) -> None:
    store.audit.clear()
    answer = await say(empty_desk, "/audit export 1")
    assert answer.blocks == (Text("0 rows in the last day."),)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1", '=HYPERLINK("http://x.y")', '"=1'],
)
async def test_no_cell_begins_as_a_formula_does(
    empty_desk: Desk, store: MemoryStore, text: str
) -> None:
    put(store, ago(empty_desk, 1, actor=text, detail=text))
    file = (await say(empty_desk, "/audit export")).blocks[1]
    assert isinstance(file, File)
    found = list(csv.DictReader(io.StringIO(file.content, newline="")))[-1]
    assert found["actor"] == found["detail"] == f"'{text}"


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ('/foo ;=HYPERLINK("http://x.y")', '/foo ;\'=HYPERLINK("http://x.y")'),
        ("/foo; +1", "/foo;' +1"),
        ('/foo;"=1"', '/foo;\'"=1"'),
        ("/foo\t@SUM(A1)", "/foo\t'@SUM(A1)"),
        ("/foo\n-1", "/foo\n'-1"),
        ("/foo\r=1", "/foo\r'=1"),
        ("\t=1", "'\t'=1"),
        ("a - b, 1+1; c=d", "a - b, 1+1; c=d"),
    ],
)
async def test_no_formula_begins_where_a_spreadsheet_may_see_another_cell(
    empty_desk: Desk, store: MemoryStore, text: str, harmless: str
) -> None:
    put(store, ago(empty_desk, 1, detail=text))
    file = (await say(empty_desk, "/audit export")).blocks[1]
    assert isinstance(file, File)
    found = list(csv.DictReader(io.StringIO(file.content, newline="")))[-1]
    assert found["detail"] == harmless
