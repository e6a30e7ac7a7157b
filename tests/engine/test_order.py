"""Orders: their legal life, and the id they keep for ever."""

import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, Broken
from engine.order import (
    CODE_REASONS,
    OPEN_STATUSES,
    REASON_CODES,
    TRANSITIONS,
    Order,
    OrderStatus,
    Reason,
    Side,
    client_order_id,
    decode_link_id,
    order_link_id,
)
from tests.engine.conftest import BUY, SELL, T0, D, order

PENDING, UNKNOWN, NEW, PART, FILLED, CANCELED, REJECTED = OrderStatus

# What may become of an order, by where it stands: the table this file argues for.
LEGAL = {
    PENDING: {UNKNOWN, NEW, PART, FILLED, CANCELED, REJECTED},
    UNKNOWN: {NEW, PART, FILLED, CANCELED, REJECTED},
    NEW: {PART, FILLED, CANCELED, REJECTED},
    PART: {PART, FILLED, CANCELED},
    FILLED: set(),
    CANCELED: {CANCELED, FILLED},
    REJECTED: set(),
}

# How the exchange brings an order of 10, of which 2 are filled, to a status.
NEWS = {
    PART: lambda order: order.filled(D(3), T0 + 1),
    FILLED: lambda order: order.filled(D(8), T0 + 1),
    CANCELED: lambda order: order.canceled(T0 + 1, "by request"),
    REJECTED: lambda order: order.rejected("no margin", T0 + 1),
}

# A part filled late leaves a canceled order canceled: it does not come back to life.
PAIRS = [(b, a) for b in OrderStatus for a in NEWS if (b, a) != (CANCELED, PART)]


def standing(status: OrderStatus) -> Order:
    return order(quantity="10", status=status, filled_quantity=D(2))


def named(pair: tuple[OrderStatus, OrderStatus]) -> str:
    return f"{pair[0].name} to {pair[1].name}"


def test_the_table_says_what_may_follow_every_status():
    assert TRANSITIONS == LEGAL


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[1] in LEGAL[p[0]]], ids=named)
def test_a_legal_transition_gives_the_order_after_it(pair):
    before, after = pair
    moved = NEWS[after](standing(before))
    assert moved.status is after
    assert moved.updated_at == T0 + 1


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[1] not in LEGAL[p[0]]], ids=named)
def test_an_illegal_transition_raises_and_changes_nothing(pair):
    before, after = pair
    held = standing(before)
    with pytest.raises(Broken, match=f"{before} can't become {after}"):
        NEWS[after](held)
    assert held == standing(before)


def test_an_accepted_order_is_new_and_has_the_name_the_exchange_gave_it():
    accepted = order().accepted("P00000001", T0 + 5)
    assert (accepted.status, accepted.order_id) == (NEW, "P00000001")
    assert accepted.updated_at == T0 + 5


@pytest.mark.parametrize("status", [PART, FILLED, CANCELED, REJECTED])
def test_an_acceptance_that_comes_late_names_the_order_and_leaves_the_rest(status):
    accepted = standing(status).accepted("P00000001", T0 + 5)
    assert (accepted.status, accepted.order_id) == (status, "P00000001")
    assert accepted.filled_quantity == 2


def test_a_fill_may_come_before_the_acceptance():
    filled = order(quantity="1").filled(D("0.4"), T0 + 1)
    assert filled.status is PART
    accepted = filled.accepted("P00000001", T0 + 2)
    assert (accepted.status, accepted.remaining) == (PART, D("0.6"))


def test_a_late_fill_after_cancel_still_counts():
    canceled = order(quantity="1").accepted("P00000001", T0).canceled(T0 + 1)
    late = canceled.filled(D(1), T0 + 2)
    assert (late.status, late.filled_quantity, late.remaining) == (FILLED, D(1), D(0))


def test_a_part_filled_late_after_a_cancel_counts_and_leaves_the_order_over():
    canceled = order(quantity="1").accepted("P00000001", T0).canceled(T0 + 1, "by request")
    late = canceled.filled(D("0.4"), T0 + 2)
    assert (late.status, late.filled_quantity, late.is_open) == (CANCELED, D("0.4"), False)
    assert late.reject_reason == "by request"


@pytest.mark.parametrize("status", [NEW, PART, FILLED, CANCELED])
def test_only_what_is_not_known_to_be_received_can_become_unknown(status):
    assert standing(status).unknown(T0 + 1, "timed out") == standing(status)


def test_an_unknown_order_is_open_says_why_and_is_accepted_as_any_other():
    unknown = order().unknown(T0 + 1, "timed out")
    assert (unknown.status, unknown.reject_reason, unknown.is_open) == (UNKNOWN, "timed out", True)
    assert unknown.accepted("1", T0 + 2).status is NEW


def test_a_refusal_keeps_its_reason():
    assert order().rejected("insufficient margin", T0).reject_reason == "insufficient margin"
    assert order().canceled(T0, "no position to reduce").reject_reason == "no position to reduce"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12))
def test_part_fills_add_up_to_the_order(parts):
    held = order(quantity=str(Decimal(sum(parts)) / 10))
    for part in parts:
        assert held.is_open
        held = held.filled(Decimal(part) / 10, T0)
    assert (held.status, held.remaining) == (FILLED, 0)
    assert not held.is_open


def test_an_order_is_open_until_nothing_more_can_come_of_it():
    assert {PENDING, UNKNOWN, NEW, PART} == OPEN_STATUSES
    open_ones = [status for status in OrderStatus if standing(status).is_open]
    assert open_ones == [PENDING, UNKNOWN, NEW, PART]


def test_buy_and_sell_are_each_others_opposite():
    assert (BUY.sign, SELL.sign) == (1, -1)
    assert [side.opposite for side in Side] == [SELL, BUY]


# -- the id ------------------------------------------------------------------------------

bot_ids = st.from_regex(r"[a-z0-9_]{1,20}", fullmatch=True)
reasons = st.sampled_from(Reason)
times = st.integers(0, 36**8 - 1)
sequences = st.integers(0, 36**3 - 1)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(bot_ids, reasons, times, sequences)
def test_an_id_gives_back_what_it_was_made_of(bot_id, reason, ts, sequence):
    link_id = order_link_id(bot_id, reason, ts, sequence)
    assert decode_link_id(link_id) == (bot_id, reason, ts, sequence)
    assert len(link_id) <= 35
    assert re.fullmatch(r"[A-Za-z0-9_-]+", link_id)


def test_the_longest_bot_id_makes_an_id_of_35_characters():
    assert len(order_link_id("b" * 20, Reason.EMA_CROSS, 36**8 - 1, 36**3 - 1)) == 35


def test_the_planned_example_reads_as_it_was_planned():
    bot_id, reason, ts, sequence = decode_link_id("shortseller_001-ts-m3qjpxc0000")
    assert client_order_id(bot_id, reason, ts) == "shortseller_001:trailing_stop:1732147200000"
    assert sequence == 0
    assert order_link_id(bot_id, reason, ts, 0) == "shortseller_001-ts-m3qjpxc0000"


def test_orders_of_one_millisecond_have_ids_of_their_own():
    ids = {order_link_id("b", Reason.EMA_CROSS, T0, sequence) for sequence in range(2_000)}
    assert len(ids) == 2_000


FOREIGN = {
    "nothing": "",
    "a person's own": "my-order-1",
    "a uuid": "0b7c1e0a-53a4-4b62-9a53-0a1e2f5c7d11",
    "no bot": "-ts-m3qjpxc0000",
    "a bot id with a dash": "web-shortseller_001-ts-m3qjpxc0000",
    "a bot id of 21 characters": "b" * 21 + "-ts-m3qjpxc0000",
    "a bot id in capitals": "Shortseller-ts-m3qjpxc0000",
    "an unknown reason": "shortseller_001-zz-m3qjpxc0000",
    "too short a time": "shortseller_001-ts-m3qjpxc000",
    "too long a time": "shortseller_001-ts-m3qjpxc00000",
    "a time in capitals": "shortseller_001-ts-M3QJPXC0000",
    "a time with an underscore": "shortseller_001-ts-m3_jpxc0000",
    "a time with a sign": "shortseller_001-ts-+3qjpxc0000",
    "a time with a space": "shortseller_001-ts- 3qjpxc0000",
    "a line break after it": "shortseller_001-ts-m3qjpxc0000\n",
    "the id in our books": "shortseller_001:trailing_stop:1732147200000",
}


@pytest.mark.parametrize("link_id", FOREIGN.values(), ids=FOREIGN)
def test_an_id_that_is_not_ours_is_refused(link_id):
    with pytest.raises(BadInput, match="order link id"):
        decode_link_id(link_id)


@pytest.mark.parametrize("sequence", [-1, 36**3])
def test_a_sequence_that_does_not_fit_is_our_own_bug(sequence):
    with pytest.raises(Broken, match="sequence"):
        order_link_id("b", Reason.EMA_CROSS, T0, sequence)


@pytest.mark.parametrize("ts", [-1, 36**8])
def test_a_time_that_does_not_fit_is_our_own_bug(ts):
    with pytest.raises(Broken, match="time"):
        order_link_id("b", Reason.EMA_CROSS, ts, 0)


def test_every_reason_has_a_code_of_two_letters_of_its_own():
    assert set(REASON_CODES) == set(Reason)
    assert len(CODE_REASONS) == len(REASON_CODES)
    assert all(re.fullmatch(r"[a-z]{2}", code) for code in CODE_REASONS)
