"""The record of what was done: who did what, when, and as a file for a spreadsheet."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from engine.audit import KEPT_DAYS, AuditRow
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.errors import BadInput
from engine.people import Role
from handlers.command import ArgumentType, Context, command, whole
from handlers.reply import Button, File, Reply, Table, Text, Time, reply

SHOWN = 20
# What somebody does leaves a few rows, all within so long; one of them is shown.
ROWS_OF_ONE_ACT = 5
ONE_ACT_MS = 1_000
# A file that every chat takes, and that is soon read.
EXPORTED = 5_000
DETAIL_SHOWN = 80
DAYS_SHOWN = 7
WORD_MAX = 100
COMMAND = "command"
COLUMNS = ("seq", "time", "ts", "actor", "action", "detail", "prev", "mac")
# Where a cell begins that a spreadsheet would work out: with a sign that makes a formula of it,
# at the start, or behind what some spreadsheet or other takes for the end of a cell.
FORMULA = re.compile(r"(?:\A|(?<=[;\t\r\n]))(?=[\s\"]*[=+\-@＝＋－＠])")


def _parse_user(field: str, word: str, desk: Desk) -> str:
    """A part of who acted, or what they did."""
    # Days below zero are no name either.
    days = word.lstrip("+-")
    is_days = days.isdigit() and len(days) <= len(str(KEPT_DAYS))
    if is_days or len(word) > WORD_MAX:
        allowed = (
            f"days from 1 to {KEPT_DAYS}, or whose rows: a name, an account as in "
            "telegram:1234567, a bot, an action as in PauseBot"
        )
        raise BadInput(field, word, allowed)
    return word


User = Annotated[str, ArgumentType("a name, an account or an action", _parse_user, lambda desk: [])]
Days = Annotated[int, whole(1, KEPT_DAYS)]


@command("audit", role=Role.ADMIN)
async def audit(context: Context, user: User = "", days: Days = DAYS_SHOWN) -> Reply:
    """What was done lately, by whom, newest first, on one line each; the export has every row.

    `user` is a part of who acted, or an action. Every command, refusal, decision and order is
    kept for 180 days; `countersign audit verify` shows whether anybody changed a row.

    Example: /audit telegram:1234567 30
    """
    desk = context.desk
    found = await desk.store.find_audit(_since(desk, days), user, SHOWN * ROWS_OF_ONE_ACT)
    acts = _acts(found.rows)
    whose = f" of {user}" if user else ""
    rows = tuple(
        (str(row.seq), Time(row.ts), row.actor, row.action, _short(row.detail))
        for row in map(_most_telling, acts[:SHOWN])
    )
    table = Table("Audit", ("row", "time", "who", "action", "detail"), rows, "No rows.")
    said = f"{_counted(found.total)}{whose} in {_days(days)}"
    shown = sum(map(len, acts[:SHOWN]))
    newest = f"; these are the newest {len(rows)}" if found.total > shown else ""
    return reply(
        Text(f"{said}{newest}."), table, buttons=(Button("Export", f"/audit export {days}"),)
    )


@command("audit export", role=Role.ADMIN)
async def audit_export(context: Context, days: Days = DAYS_SHOWN) -> Reply:
    """The record as a file for a spreadsheet (CSV), oldest first.

    What a spreadsheet would take for a formula has an apostrophe before it.

    Example: /audit export 30
    """
    desk = context.desk
    now = desk.clock.now()
    found = await desk.store.find_audit(_since(desk, days), "", EXPORTED)
    said = f"{_counted(found.total)} in {_days(days)}"
    if not found.rows:
        return reply(Text(f"{said}."))
    newest = f"; the newest {EXPORTED:,} are in the file" if found.total > EXPORTED else ""
    name = f"audit-{datetime.fromtimestamp(now / 1000, UTC):%Y-%m-%d}.csv"
    return reply(Text(f"{said}{newest}."), File(name, _csv(found.rows[::-1])))


def _acts(rows: Sequence[AuditRow]) -> list[list[AuditRow]]:
    """Rows, newest first, by what was done: a command, and what its author left just before."""
    acts: list[list[AuditRow]] = []
    latest: dict[str, list[AuditRow]] = {}
    for row in rows:
        act = latest.get(row.actor)
        if act and row.action != COMMAND and act[0].ts - row.ts <= ONE_ACT_MS:
            act.append(row)
            continue
        acts.append([row])
        if row.action == COMMAND:
            latest[row.actor] = acts[-1]
    return acts


def _most_telling(act: Sequence[AuditRow]) -> AuditRow:
    """What came of it, rather than what was asked for, rather than how it was said."""
    return max(act, key=lambda row: (row.action != COMMAND, row.action.islower(), row.seq))


def _since(desk: Desk, days: int) -> int:
    return desk.clock.now() - days * DAY_MS


def _counted(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _days(days: int) -> str:
    return "the last day" if days == 1 else f"the last {days} days"


def _short(detail: str) -> str:
    return detail if len(detail) <= DETAIL_SHOWN else f"{detail[: DETAIL_SHOWN - 1]}…"


def _csv(rows: list[AuditRow]) -> str:
    written = io.StringIO()
    # Only what is quoted may hold a carriage return.
    writer = csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    writer.writerows([_harmless(value) for value in _values(row)] for row in rows)
    return written.getvalue()


def _values(row: AuditRow) -> tuple[Any, ...]:
    time = f"{datetime.fromtimestamp(row.ts / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return (row.seq, time, row.ts, row.actor, row.action, row.detail, row.prev, row.mac)


def _harmless(value: Any) -> Any:
    """The value as a cell that is shown and never worked out."""
    return FORMULA.sub("'", value) if isinstance(value, str) else value
