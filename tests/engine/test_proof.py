"""Whether restored books are the sum of their facts, in the order of booking or in any other."""

from dataclasses import replace
from itertools import permutations

import pytest

from engine.ledger import Funding, Ledger
from engine.memory import AccountState
from engine.order import Fill
from engine.position import Position, apply
from engine.proof import difference
from tests.engine.conftest import ACCOUNT, BOT, BTC, BUY, SELL, T0, D, fill

DEPOSIT = D(1_000)
FILLS = [
    fill(SELL, 3, 100, "0.3", T0),
    fill(SELL, 2, 110, "0.2", T0 + 1),
    fill(BUY, 4, 90, "0.4", T0 + 2),
    fill(BUY, 2, 95, "0.2", T0 + 3),
]
PAID = [Funding(ACCOUNT, BOT, BTC, T0, D("-0.5"), D("0.0001"), D(100), D(-3))]


def booked(fills: list[Fill]) -> AccountState:
    """An account that was told of its executions in this order."""
    ledger, position = Ledger(DEPOSIT), Position(ACCOUNT, BOT, BTC)
    for each in fills:
        applied = apply(position, each, leverage=1)
        position = applied.position
        closed = applied.closed is not None
        ledger = ledger.after_fill(applied.realized, each.commission, closed)
    return AccountState(ledger.after_funding(D("-0.5")), {BTC: position})


def compared(state: AccountState, there: dict | None) -> str:
    return difference(ACCOUNT, state, FILLS, PAID, there)


def test_books_that_are_the_sum_of_their_facts_agree():
    assert compared(booked(FILLS), {BTC: D(1)}) == ""


@pytest.mark.parametrize("told", list(permutations(FILLS)))
def test_executions_told_in_any_order_agree_where_the_exchange_has_to_be_asked(told):
    assert compared(booked(list(told)), None) == ""


@pytest.mark.parametrize("there", [None, {BTC: D(1)}])
@pytest.mark.parametrize("missing", range(4))
def test_a_fill_that_was_not_booked_shows(missing, there):
    state = booked([each for index, each in enumerate(FILLS) if index != missing])
    assert "not the sum of the fills" in compared(state, there)


@pytest.mark.parametrize(
    ("field", "said"), [("realized", "realized less cost"), ("fees", "fees"), ("funding", "fund")]
)
def test_money_that_is_not_in_the_fills_shows(field, said):
    state = booked(FILLS)
    wrong = replace(state.ledger, **{field: getattr(state.ledger, field) + D("0.01")})
    assert said in compared(replace(state, ledger=wrong), None)
    assert "balance" in compared(replace(state, ledger=wrong), {BTC: D(1)})


def test_what_a_simulated_exchange_holds_otherwise_shows():
    assert "what the exchange holds" in compared(booked(FILLS), {})
