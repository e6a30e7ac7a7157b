"""The steps and limits of what can be traded."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.instrument import MAJORS, ROUNDING_SLACK, derive
from tests.engine.conftest import BTC, D

rules = st.sampled_from(sorted(MAJORS.values(), key=lambda item: item.symbol))
# Up to two million steps: as far as the prices and sizes of the table go.
amounts = st.floats(0, 2_000_000, allow_nan=False)
many = settings(max_examples=300, deadline=None, derandomize=True)
SLACK = Decimal(ROUNDING_SLACK) * 2


@many
@given(rules, amounts)
def test_rounded_prices_lie_on_the_tick_around_the_price(item, ticks):
    price = ticks * float(item.tick)
    down, up = item.price_down(price), item.price_up(price)
    exact = Decimal(price) / item.tick
    assert down % item.tick == 0
    assert up % item.tick == 0
    assert down / item.tick <= exact + SLACK
    assert up / item.tick >= exact - SLACK
    assert up - down in (0, item.tick)


@many
@given(rules, st.integers(0, 2_000_000))
def test_a_price_on_the_tick_stays(item, ticks):
    price = ticks * item.tick
    assert item.price_down(float(price)) == item.price_up(float(price)) == price


@many
@given(rules, amounts)
def test_a_quantity_is_cut_to_whole_steps_and_never_raised(item, steps):
    wanted = steps * float(item.quantity_step)
    quantity = item.quantize(wanted)
    assert quantity % item.quantity_step == 0
    cut = Decimal(wanted) / item.quantity_step - quantity / item.quantity_step
    assert -SLACK <= cut < 1


QUANTITIES = {
    "a whole number of steps": (0.3, "0.3"),
    "a float just below it": (0.1 * 3 - 1e-17, "0.3"),
    "something between": (0.0129999, "0.012"),
    "less than one step": (0.0009, "0"),
    "nothing": (0.0, "0"),
}


@pytest.mark.parametrize(("wanted", "expected"), QUANTITIES.values(), ids=QUANTITIES)
def test_quantities_of_btc(wanted, expected):
    assert MAJORS[BTC].quantize(wanted) == D(expected)


def test_prices_of_btc_round_to_a_tenth():
    btc = MAJORS[BTC]
    assert (btc.price_down(60_000.07), btc.price_up(60_000.07)) == (D("60000.0"), D("60000.1"))


DERIVED = {
    "dear": (["61000.5", "60999.25"], "0.01", "0.0001"),
    "cheap": (["0.01234", "0.0124"], "0.00001", "1"),
    "whole": (["250", "251"], "1", "0.01"),
    "with zeros behind": (["10.500", "11.0"], "0.1", "0.1"),
    "none": ([], "1", "1"),
}


@pytest.mark.parametrize(("prices", "tick", "step"), DERIVED.values(), ids=DERIVED)
def test_rules_are_read_off_the_data(prices, tick, step):
    item = derive("NEWUSDT", prices)
    assert (item.tick, item.quantity_step, item.quantity_min) == (D(tick), D(step), D(step))
    assert item.derived
    assert not MAJORS[BTC].derived


@many
@given(st.lists(st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-5)), min_size=1))
def test_every_price_seen_lies_on_the_derived_tick(prices):
    item = derive("NEWUSDT", [str(price) for price in prices])
    assert all(price % item.tick == 0 for price in prices)


@many
@given(st.integers(1, 10**9).map(lambda n: Decimal(n).scaleb(-5)))
def test_one_derived_step_costs_less_than_ten_units_of_quote(price):
    item = derive("NEWUSDT", [str(price)])
    assert item.quantity_step * price < 10


def test_the_table_is_keyed_by_symbol():
    assert all(symbol == item.symbol for symbol, item in MAJORS.items())
