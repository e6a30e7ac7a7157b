"""Whoever meddles with the audit without its key is found out, and the right row is named."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.audit import (
    Act,
    AuditAnchor,
    AuditCut,
    AuditHead,
    AuditRow,
    Chain,
    Fault,
    Mark,
    Verdict,
    Whole,
    cut_at,
    head_of,
    seal,
    verify,
)

KEY = b"the key of these tests"
T0 = 1_735_689_600_000

TEXTS = st.text(max_size=12)
ACTS = st.builds(Act, ts=st.integers(0, 2**53), actor=TEXTS, action=TEXTS, detail=TEXTS)
CHAINS = st.lists(ACTS, min_size=1, max_size=8).map(lambda acts: Chain(KEY, None).seal(acts))


def chain(count: int = 8) -> list[AuditRow]:
    acts = [Act(T0 + n, "telegram:7", "command", f"/status {n}: done") for n in range(1, count + 1)]
    return Chain(KEY, None).seal(acts)


def checked(
    rows: Sequence[AuditRow],
    head: AuditHead | None,
    cut: AuditCut | None = None,
    anchors: Sequence[AuditAnchor] = (),
    mark: Mark | None = None,
) -> Whole | Fault:
    """What is found in rows as a database gives them: by their numbers."""
    in_order = sorted(rows, key=lambda row: row.seq)
    return verify(iter(in_order), KEY, head, cut, anchors, mark)


def anchor(row: AuditRow) -> AuditAnchor:
    return AuditAnchor(row.seq, row.mac, row.ts + 1)


def found(result: Whole | Fault) -> tuple[Verdict, int]:
    assert isinstance(result, Fault), result
    assert re.search(rf"[Rr]ow {result.row}(?!\d)", result.text), result.text
    return result.verdict, result.row


# -- a chain that holds ------------------------------------------------------------------


@given(CHAINS)
def test_an_untouched_chain_is_whole(rows: list[AuditRow]) -> None:
    head = head_of(rows[-1], KEY)
    anchors = [anchor(row) for row in rows[::2]]
    expected = Whole(len(rows), rows[0].ts, rows[-1].ts, rows[-1], None)
    assert checked(rows, head, None, anchors, Mark(rows[-1].mac, len(rows))) == expected


def test_an_audit_that_has_not_begun_is_whole() -> None:
    assert checked([], None) == Whole(0, None, None, None, None)


def test_an_audit_without_rows_that_has_begun_is_too_short() -> None:
    assert found(verify([], KEY, None, begun=True)) == (Verdict.SHORTER, 1)
    rows = chain()
    assert isinstance(verify(rows, KEY, head_of(rows[-1], KEY), begun=True), Whole)


@given(CHAINS, st.data())
def test_what_is_left_after_a_cut_is_whole(rows: list[AuditRow], data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(rows)))
    cut = cut_at(rows[at - 1], T0, KEY)
    left = rows[at:]
    whole = checked(left, head_of(rows[-1], KEY), cut, [anchor(row) for row in rows])
    assert isinstance(whole, Whole)
    assert (whole.rows, whole.cut) == (len(rows) - at, at)


def test_rows_are_taken_one_at_a_time() -> None:
    rows = chain()
    taken: list[int] = []

    def stream() -> Any:
        for row in rows:
            taken.append(row.seq)
            yield replace(row, detail="forged") if row.seq == 3 else row

    verify(stream(), KEY, head_of(rows[-1], KEY))
    assert taken == [1, 2, 3]


# -- changed rows ------------------------------------------------------------------------

FIELDS = [field.name for field in fields(AuditRow) if field.name != "seq"]


@given(CHAINS, st.data())
def test_any_changed_field_names_its_row(rows: list[AuditRow], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(FIELDS))
    kind = st.integers() if name == "ts" else TEXTS
    old = getattr(rows[at], name)
    value = data.draw(kind.filter(lambda value: value != old))
    forged = [*rows[:at], replace(rows[at], **{name: value}), *rows[at + 1 :]]
    assert found(checked(forged, head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, at + 1)


@given(CHAINS, st.data())
def test_a_single_flipped_bit_names_its_row(rows: list[AuditRow], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(["prev", "mac"]))
    text = getattr(rows[at], name)
    place, bit = data.draw(st.integers(0, 63)), data.draw(st.integers(0, 6))
    flipped = f"{text[:place]}{chr(ord(text[place]) ^ 1 << bit)}{text[place + 1 :]}"
    forged = [*rows[:at], replace(rows[at], **{name: flipped}), *rows[at + 1 :]]
    assert found(checked(forged, head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, at + 1)


@given(CHAINS, st.data())
def test_a_changed_number_names_the_row_or_the_gap(
    rows: list[AuditRow], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows) - 1))
    seq = data.draw(st.integers(-5, 20).filter(lambda seq: seq != at + 1))
    forged = [*rows[:at], replace(rows[at], seq=seq), *rows[at + 1 :]]
    assert found(checked(forged, head_of(rows[-1], KEY))) == (
        Verdict.CHANGED_ROW,
        min(at + 1, seq),
    )


@given(st.integers(0, 7), st.integers(0, 7))
def test_swapped_rows_name_the_first(one: int, other: int) -> None:
    if one == other:
        return
    rows = chain()
    forged = list(rows)
    forged[one] = replace(rows[other], seq=one + 1)
    forged[other] = replace(rows[one], seq=other + 1)
    result = checked(forged, head_of(rows[-1], KEY))
    assert found(result) == (Verdict.CHANGED_ROW, min(one, other) + 1)


@given(st.integers(0, 6))
def test_a_row_taken_out_of_the_middle_is_named(at: int) -> None:
    rows = chain()
    forged = [*rows[:at], *rows[at + 1 :]]
    assert found(checked(forged, head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, at + 1)


@given(st.integers(0, 7))
def test_a_row_that_stands_twice_is_named(at: int) -> None:
    rows = chain()
    result = checked([*rows, rows[at]], head_of(rows[-1], KEY))
    verdict = Verdict.LONGER if at == 7 else Verdict.CHANGED_ROW
    assert found(result) == (verdict, at + 1)


def test_a_chain_stamped_again_with_another_key_is_changed_from_its_first_row() -> None:
    forger = Chain(b"a guess", None)
    rows = forger.seal([Act(row.ts, row.actor, row.action, row.detail) for row in chain()])
    assert found(checked(rows, forger.head(rows))) == (Verdict.CHANGED_ROW, 1)


def test_a_forger_who_goes_on_from_a_true_row_is_named_at_his_first() -> None:
    rows = chain()
    forged = [*rows[:4], *Chain(b"a guess", rows[3]).seal([Act(T0, "x", "y", "z")] * 4)]
    assert found(checked(forged, head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, 5)


@pytest.mark.parametrize("value", [None, b"bytes", 1.5, "\udcff", "é"])
@pytest.mark.parametrize("name", ["mac", "prev"])
def test_what_no_desk_writes_is_a_changed_row_too(name: str, value: object) -> None:
    rows = chain()
    rows[2] = replace(rows[2], **{name: value})
    assert found(checked(rows, head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, 3)


# -- the ends ----------------------------------------------------------------------------


@given(st.integers(1, 7))
def test_a_cut_tail_is_shorter_than_the_sealed_head(left: int) -> None:
    rows = chain()
    assert found(checked(rows[:left], head_of(rows[-1], KEY))) == (Verdict.SHORTER, left + 1)


def test_no_row_at_all_is_shorter_than_the_sealed_head() -> None:
    assert found(checked([], head_of(chain()[-1], KEY))) == (Verdict.SHORTER, 1)


def test_rows_added_without_the_key_are_longer_than_the_chain() -> None:
    rows = chain()
    added = Chain(b"a guess", rows[-1]).seal([Act(T0, "x", "y", "z")] * 2)
    assert found(checked([*rows, *added], head_of(rows[-1], KEY))) == (Verdict.LONGER, 9)
    far = replace(added[0], seq=4_000)
    assert found(checked([*rows, far], head_of(rows[-1], KEY))) == (Verdict.LONGER, 4_000)


def test_an_older_head_put_back_leaves_true_rows_over() -> None:
    rows = chain()
    assert found(checked(rows, head_of(rows[4], KEY))) == (Verdict.LONGER, 6)


def test_a_tail_cut_with_its_head_rolled_back_shows_by_an_anchor_alone() -> None:
    rows = chain()
    head = head_of(rows[4], KEY)
    assert isinstance(checked(rows[:5], head), Whole)
    assert found(checked(rows[:5], head, None, [anchor(rows[6])])) == (Verdict.SHORTER, 6)
    noted = Mark(rows[6].mac, 7)
    assert found(checked(rows[:5], head, mark=noted)) == (Verdict.SHORTER, 6)
    assert found(checked(rows[:5], head, mark=Mark(rows[6].mac[:16]))) == (Verdict.SHORTER, 5)


def test_a_head_that_is_forged_or_gone_names_the_last_row() -> None:
    rows = chain()
    assert found(checked(rows, AuditHead(8, "0" * 64))) == (Verdict.CHANGED_ROW, 8)
    assert found(checked(rows, None)) == (Verdict.CHANGED_ROW, 8)


# -- anchors -----------------------------------------------------------------------------


def test_a_chain_written_anew_with_the_key_does_not_fit_its_anchor() -> None:
    rows = chain()
    again = [*rows[:2], *Chain(KEY, rows[1]).seal([Act(T0, "x", "y", "z")] * 6)]
    head = head_of(again[-1], KEY)
    assert isinstance(checked(again, head), Whole)
    anchors = [anchor(rows[1]), anchor(rows[4]), anchor(rows[6])]
    assert found(checked(again, head, None, anchors)) == (Verdict.ANCHOR_MISMATCH, 5)
    noted = Mark(rows[3].mac[:16], 4)
    assert found(checked(again, head, mark=noted)) == (Verdict.ANCHOR_MISMATCH, 4)


@pytest.mark.parametrize("digits", [16, 40, 64])
def test_a_mac_alone_is_looked_for_in_every_row(digits: int) -> None:
    rows = chain()
    head = head_of(rows[-1], KEY)
    for row in rows:
        assert isinstance(checked(rows, head, mark=Mark(row.mac[:digits])), Whole)
    other = Mark("f" * digits)
    assert found(checked(rows, head, mark=other)) == (Verdict.SHORTER, 8)


# -- cuts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forge",
    [
        lambda cut: replace(cut, seal="0" * 64),
        lambda cut: replace(cut, mac="0" * 64),
        lambda cut: replace(cut, ts=cut.ts + 1),
        lambda cut: replace(cut, seq=cut.seq + 1),
        lambda cut: replace(cut, seal=cut_at(chain()[3], T0, b"a guess").seal),
    ],
)
def test_a_cut_that_was_not_sealed_with_the_key_is_forged(forge: Any) -> None:
    rows = chain()
    cut = forge(cut_at(rows[3], T0, KEY))
    result = checked(rows[cut.seq :], head_of(rows[-1], KEY), cut)
    assert found(result) == (Verdict.FORGED_CUT, cut.seq)


def test_rows_removed_without_a_cut_are_missing() -> None:
    rows = chain()
    assert found(checked(rows[3:], head_of(rows[-1], KEY))) == (Verdict.CHANGED_ROW, 1)


def test_more_removed_than_was_cut_is_missing_and_less_is_too_much() -> None:
    rows = chain()
    cut, head = cut_at(rows[2], T0, KEY), head_of(rows[-1], KEY)
    assert found(checked(rows[4:], head, cut)) == (Verdict.CHANGED_ROW, 4)
    assert found(checked(rows[2:], head, cut)) == (Verdict.CHANGED_ROW, 3)


def test_an_anchor_is_held_against_the_cut_in_its_row_s_place() -> None:
    rows = chain()
    cut, head = cut_at(rows[2], T0, KEY), head_of(rows[-1], KEY)
    wrong = [AuditAnchor(3, "f" * 64, T0)]
    assert found(checked(rows[3:], head, cut, wrong)) == (Verdict.ANCHOR_MISMATCH, 3)


# -- the written form --------------------------------------------------------------------


def test_what_is_sealed_is_the_same_bytes_for_ever() -> None:
    """A row sealed years ago must verify: neither letters nor their order may ever change."""
    act = Act(T0, 'é "quoted" \n', "\u2028 \U0001f600 ü", "a\tb\\c/d\x00")
    row = seal(act, 7, "0" * 64, KEY)
    assert row.mac == "5947b644c07e5d618dc375eea6cd961421dd4be9e1921afb44e536c3510accc4"
    assert (
        head_of(row, KEY).mac == "d25754d41e78bfd8a6791b0b4f544a98777ae2f8075ddb2dcd7ebedf2f28a746"
    )
    assert (
        cut_at(row, T0, KEY).seal
        == "0821f081e7f814bedd391da5289631b1c98371ef72cb39cefd104041e9278cca"
    )


@given(ACTS, ACTS)
def test_different_acts_never_have_the_same_mac(one: Act, other: Act) -> None:
    same = seal(one, 1, "0" * 64, KEY).mac == seal(other, 1, "0" * 64, KEY).mac
    assert same == (one == other)
