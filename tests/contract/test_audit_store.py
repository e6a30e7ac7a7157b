"""What every store promises of the audit: pages, searches, anchors, and the one way to cut it."""

from dataclasses import replace
from typing import Any

import pytest

from engine.audit import (
    Act,
    AuditAnchor,
    AuditFound,
    AuditRow,
    Chain,
    Fault,
    Verdict,
    Whole,
    cut_at,
    verify,
)
from engine.errors import Broken, LostLock
from engine.ports import Commit, Store
from tests.contract.conftest import Opened

KEY = b"key"
TS = 1_735_689_600_000

ACTS = [
    Act(TS, "desk", "started", "version 1, epoch 1"),
    Act(TS + 10, "telegram:7 (Ann)", "command", "/status: done"),
    Act(TS + 20, "discord:9", "PauseBot", "paused shortseller_001"),
    Act(TS + 30, "shortseller_001", "order", "open Sell 0.1 BTCUSDT"),
    Act(TS + 5, "console:ann_100%", "command", "\u00e9\n\U0001f600: done"),
]


async def kept(store: Store) -> tuple[list[AuditRow], int]:
    """The acts in the store, as rows, and the epoch that wrote them."""
    epoch = await store.take_epoch("test")
    chain = Chain(KEY, None)
    rows = chain.seal(ACTS)
    await store.commit(Commit(epoch, audit=rows, audit_head=chain.head(rows), number=1))
    return rows, epoch


async def verified(store: Store) -> Whole | Fault:
    rows = await store.audit_rows(0, 100)
    anchors = await store.recent(AuditAnchor)
    return verify(rows, KEY, await store.last_head(), await store.last_cut(), anchors)


# -- reading -----------------------------------------------------------------------------


async def test_an_audit_that_has_not_begun_is_empty(store: Store) -> None:
    assert await store.audit_rows(0, 10) == []
    assert await store.find_audit(0, "", 10) == AuditFound(0, [])
    assert await store.last_cut() is None


async def test_rows_come_in_pages_by_their_numbers(store: Store) -> None:
    rows, _ = await kept(store)
    assert await store.audit_rows(0, 2) == rows[:2]
    assert await store.audit_rows(2, 2) == rows[2:4]
    assert await store.audit_rows(4, 2) == rows[4:]
    assert await store.audit_rows(5, 2) == []


async def test_what_was_stored_is_what_was_sealed(opened: Opened) -> None:
    rows, _ = await kept(opened.store)
    again = await opened.restart()
    assert await again.audit_rows(0, 10) == rows
    assert isinstance(await verified(again), Whole)


async def test_the_newest_rows_come_first_and_all_are_counted(store: Store) -> None:
    rows, _ = await kept(store)
    assert await store.find_audit(0, "", 2) == AuditFound(5, [rows[4], rows[3]])


async def test_a_search_begins_at_its_moment(store: Store) -> None:
    rows, _ = await kept(store)
    assert await store.find_audit(TS + 20, "", 10) == AuditFound(2, [rows[3], rows[2]])
    assert await store.find_audit(TS + 31, "", 10) == AuditFound(0, [])


@pytest.mark.parametrize(
    ("word", "seqs"),
    [
        ("telegram:7", [2]),
        ("ann", [5, 2]),
        ("ANN", [5, 2]),
        ("pausebot", [3]),
        ("command", [5, 2]),
        ("comm", []),
        ("shortseller", [4]),
        ("100%", [5]),
        ("%", [5]),
        ("_100", [5]),
        ("n_1", [5]),
        ("x' OR 1=1 --", []),
    ],
)
async def test_a_word_is_a_part_of_an_actor_or_a_whole_action(
    store: Store, word: str, seqs: list[int]
) -> None:
    await kept(store)
    found = await store.find_audit(0, word, 10)
    assert [row.seq for row in found.rows] == seqs
    assert found.total == len(seqs)


# -- anchors -----------------------------------------------------------------------------


async def test_an_anchor_stays_as_it_was_first_told(store: Store) -> None:
    rows, epoch = await kept(store)
    anchor = AuditAnchor(5, rows[4].mac, TS + 100)
    later = replace(anchor, ts=TS + 200)
    await store.commit(Commit(epoch, facts=[anchor, anchor], number=2))
    await store.commit(Commit(epoch, facts=[anchor, later], number=3))
    assert await store.recent(AuditAnchor) == [anchor, later]
    assert await store.recent(AuditAnchor, since=TS + 150) == [later]


# -- cuts --------------------------------------------------------------------------------


async def test_a_cut_leaves_its_checkpoint_and_the_later_rows(opened: Opened) -> None:
    store = opened.store
    rows, epoch = await kept(store)
    cut = cut_at(rows[2], TS + 1000, KEY)
    await store.cut_audit(cut, epoch)
    assert await store.audit_rows(0, 10) == rows[3:]
    assert await store.last_cut() == cut
    assert await store.last_audit() == rows[4]
    whole = await verified(store)
    assert isinstance(whole, Whole)
    assert (whole.rows, whole.cut) == (2, 3)


async def test_a_cut_outlives_its_process(opened: Opened) -> None:
    rows, epoch = await kept(opened.store)
    cut = cut_at(rows[2], TS + 1000, KEY)
    await opened.store.cut_audit(cut, epoch)
    again = await opened.restart()
    assert await again.last_cut() == cut
    assert isinstance(await verified(again), Whole)


async def test_the_chain_goes_on_after_a_cut_and_may_be_cut_again(store: Store) -> None:
    rows, epoch = await kept(store)
    await store.cut_audit(cut_at(rows[1], TS + 1000, KEY), epoch)
    chain = Chain(KEY, await store.last_audit())
    more = chain.seal(ACTS[:2])
    await store.commit(Commit(epoch, audit=more, audit_head=chain.head(more), number=2))
    await store.cut_audit(cut_at(more[0], TS + 2000, KEY), epoch)
    assert await store.audit_rows(0, 10) == more[1:]
    last = await store.last_cut()
    assert last is not None
    assert last.seq == 6
    assert isinstance(await verified(store), Whole)


async def test_whoever_lost_the_epoch_cuts_nothing(store: Store) -> None:
    rows, epoch = await kept(store)
    await store.take_epoch("another")
    with pytest.raises(LostLock):
        await store.cut_audit(cut_at(rows[2], TS, KEY), epoch)
    assert await store.audit_rows(0, 10) == rows
    assert await store.last_cut() is None


@pytest.mark.parametrize(
    "spoil",
    {
        "the last row": lambda rows: cut_at(rows[4], TS, KEY),
        "a row that is not there": lambda rows: cut_at(replace(rows[4], seq=9), TS, KEY),
        "another row": lambda rows: cut_at(replace(rows[2], mac="f" * 64), TS, KEY),
    }.items(),
    ids=lambda item: item[0],
)
async def test_a_cut_that_does_not_fit_removes_nothing(store: Store, spoil: Any) -> None:
    rows, epoch = await kept(store)
    with pytest.raises(Broken, match="can't be cut"):
        await store.cut_audit(spoil[1](rows), epoch)
    assert await store.audit_rows(0, 10) == rows
    assert await store.last_cut() is None


async def test_a_cut_sealed_with_another_key_is_found_out(store: Store) -> None:
    rows, epoch = await kept(store)
    await store.cut_audit(cut_at(rows[2], TS, b"a guess"), epoch)
    fault = await verified(store)
    assert isinstance(fault, Fault)
    assert (fault.verdict, fault.row) == (Verdict.FORGED_CUT, 3)
