"""The audit chain, checked by adding the seals up again from the written rule alone."""

import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from engine.audit import GENESIS, Act, AuditHead, AuditRow, Chain, broken_end, head_of
from tests.engine.conftest import T0

KEY = b"the key of these tests"
ACTS = [
    Act(T0, "desk", "started", "version 1, epoch 1"),
    Act(T0 + 1, "telegram:7", "command", "/bot pause shortseller_001: ok"),
    Act(T0 + 2, "shortseller_001", "order", "open Sell 0.1 BTCUSDT"),
    Act(T0 + 3, "discord:9", "command", 'a "quoted", comma and \u00e9 and \n'),
]


def chain() -> tuple[list[AuditRow], AuditHead]:
    made = Chain(KEY, None)
    rows = made.seal(ACTS)
    return rows, made.head(rows)


def mac(text: str) -> str:
    return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()


def faults(rows: list[AuditRow], head: AuditHead) -> list[str]:
    """What a check that shares no code with the chain finds wrong."""
    found, prev = [], GENESIS
    for number, row in enumerate(rows, start=1):
        facts = [row.seq, row.ts, row.actor, row.action, row.detail, row.prev]
        if row.seq != number:
            found.append(f"row {number} is numbered {row.seq}")
        if row.prev != prev:
            found.append(f"row {number} does not follow the one before")
        if row.mac != mac(json.dumps(facts, separators=(",", ":"))):
            found.append(f"row {number} is not as it was sealed")
        prev = row.mac
    if head != AuditHead(len(rows), mac(f"head:{len(rows)}:{prev}")):
        found.append("the head is another one")
    return found


def test_an_untouched_chain_is_whole():
    assert faults(*chain()) == []


def edit(rows):
    rows[1] = replace(rows[1], detail="/bot pause nobody: ok")


def backdate(rows):
    rows[2] = replace(rows[2], ts=T0 - 1)


def move_a_border(rows):
    rows[1] = replace(rows[1], actor="telegram:7command", action="")


def remove(rows):
    del rows[1]


def remove_and_renumber(rows):
    del rows[1]
    rows[1:] = [replace(row, seq=row.seq - 1) for row in rows[1:]]


def cut_the_tail(rows):
    del rows[-1]


def swap(rows):
    rows[1], rows[2] = rows[2], rows[1]


def swap_contents(rows):
    rows[1], rows[2] = (
        replace(rows[2], seq=2, prev=rows[1].prev),
        replace(rows[1], seq=3, prev=rows[1].mac),
    )


def seal_again_without_the_key(rows):
    forger = Chain(b"a guess", None)
    acts = [Act(row.ts, row.actor, row.action, row.detail) for row in rows]
    acts[1] = replace(acts[1], actor="somebody else")
    rows[:] = forger.seal(acts)


def append_without_the_key(rows):
    rows += Chain(b"a guess", rows[-1]).seal([ACTS[0]])


@pytest.mark.parametrize(
    "tamper",
    [
        edit,
        backdate,
        move_a_border,
        remove,
        remove_and_renumber,
        cut_the_tail,
        swap,
        swap_contents,
        seal_again_without_the_key,
        append_without_the_key,
    ],
)
def test_whoever_lacks_the_key_is_found_out(tamper):
    rows, head = chain()
    tamper(rows)
    assert faults(rows, head)


def test_an_act_that_was_not_stored_is_not_followed():
    made = Chain(KEY, None)
    lost = made.seal(ACTS[:1])
    again = made.seal(ACTS[:1])
    assert again == lost
    made.advance(again)
    assert made.seal(ACTS[1:])[0].prev == again[0].mac


def test_a_new_process_goes_on_from_the_last_row():
    first = Chain(KEY, None)
    rows = first.seal(ACTS[:2])
    second = Chain(KEY, rows[-1])
    rows += second.seal(ACTS[2:])
    assert faults(rows, head_of(rows[-1], KEY)) == []


def test_nothing_sealed_leaves_the_chain_where_it_is():
    made = Chain(KEY, None)
    made.advance(made.seal([]))
    assert made.seal(ACTS[:1])[0].seq == 1


def test_an_end_that_fits_its_head_holds():
    rows, head = chain()
    assert broken_end(rows[-1], head, KEY) == ""
    assert broken_end(None, None, KEY) == ""


def test_a_cut_tail_shows_at_the_next_start():
    rows, head = chain()
    assert "ends at row 2, but its sealed head is of row 4" in broken_end(rows[1], head, KEY)
    assert "missing" in broken_end(None, head, KEY)


def test_another_key_does_not_open_the_chain():
    rows, head = chain()
    assert "was not sealed with this key" in broken_end(rows[-1], head, b"another key")
