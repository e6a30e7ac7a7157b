"""`countersign audit verify`: whether every row of the audit is as it was sealed.

It only reads, and takes no lock: a running desk is not disturbed, and what it appends meanwhile
does not count.
"""

import json as jsonlib
import os
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bot.settings import Settings, load, secret_key
from engine.audit import AuditCut, Fault, Mark, Verdict, Whole, verify
from engine.errors import BadInput, BadSettings
from engine.store.audit import Snapshot, read_audit
from handlers.reply import Time, show

MAC_DIGITS = 64
# Fewer characters of a mac could be met by chance, or on purpose.
MAC_DIGITS_MIN = 16
SEQ_DIGITS_MAX = 18
_HEAD = re.compile(
    rf"(?:([1-9][0-9]{{0,{SEQ_DIGITS_MAX - 1}}}):)?([0-9a-f]{{{MAC_DIGITS_MIN},{MAC_DIGITS}}})",
    re.ASCII | re.IGNORECASE,
)


async def verify_audit(folder: Path, head: str | None, json: bool) -> int:
    """Check the audit of the desk in `folder`, also against `head` where there is one.

    Prints what was found; exit code 1 where anything is wrong. Raises BadInput for a head that
    is none, BadSettings where there is no database or no key.
    """
    settings = load(os.environ, folder)
    mark = None if head is None else parse_mark(head)
    _check_database(settings)
    key = _key(settings)

    def check(audit: Snapshot) -> tuple[Whole | Fault, AuditCut | None]:
        found = verify(audit.rows, key, audit.head, audit.cut, audit.anchors, mark, audit.begun)
        return found, audit.cut

    found, cut = await read_audit(settings.database, check)
    if isinstance(found, Fault):
        _say(asdict(found), f"{found.verdict}: {found.text}", json)
        return 1
    if cut is not None and head is not None and mark and mark.seq and mark.seq < cut.seq:
        kept = f"a row from {cut.seq} on; older ones were cut away on {show(Time(cut.ts))}"
        raise BadInput("--head", head, kept)
    _say(_data(found), _sentence(found), json)
    return 0


def parse_mark(text: str) -> Mark:
    """A row as people note it: `SEQ:MAC`, a mac, or how one begins. Raises BadInput."""
    match = _HEAD.fullmatch(text.strip())
    if match is None:
        allowed = (
            f"SEQ:MAC as the desk posts it, or the mac alone: {MAC_DIGITS} digits 0-9 and a-f, "
            f"or at least the first {MAC_DIGITS_MIN} of them"
        )
        raise BadInput("--head", text, allowed)
    seq, mac = match.groups()
    return Mark(mac.lower(), int(seq) if seq else None)


def _check_database(settings: Settings) -> None:
    """Raise BadSettings where no desk has written anything yet."""
    kind, _, name = settings.database.partition(":///")
    path = Path(name).absolute()
    if kind == "sqlite" and not path.is_file():
        raise BadSettings(f"There is no database in {str(path.parent)!r}.")


def _key(settings: Settings) -> bytes:
    """The key that sealed the audit; none is made."""
    path = settings.data_dir / "secret.key"
    try:
        if settings.secret_key is not None or path.exists():
            return secret_key(settings)
    except OSError as error:
        raise BadSettings(f"{path} can't be read: {error.strerror}.") from None
    raise BadSettings(
        f"SECRET_KEY is not set and there is no {str(path)!r}. Allowed: the key that the desk "
        "sealed its audit with."
    )


def _data(found: Whole) -> dict[str, Any]:
    return {
        "verdict": Verdict.GOOD,
        "rows": found.rows,
        "since": found.since,
        "until": found.until,
        "head": _end(found),
        "cut": found.cut,
    }


def _sentence(found: Whole) -> str:
    if found.since is None or found.until is None:
        return "good: the audit has no rows."
    cut = f" Rows up to {found.cut} were cut away." if found.cut is not None else ""
    span = f"from {show(Time(found.since))} to {show(Time(found.until))}"
    counted = f"{found.rows:,} {'row' if found.rows == 1 else 'rows'}"
    return f"good: {counted}, {span}.{cut}\nhead: {_end(found)}"


def _end(found: Whole) -> str | None:
    """Where the chain ends, as it is posted and written down."""
    return f"{found.last.seq}:{found.last.mac}" if found.last else None


def _say(data: dict[str, Any], text: str, json: bool) -> None:
    sys.stdout.write(f"{jsonlib.dumps(data) if json else text}\n")
