"""What is asked of an account, in Bybit's words."""

import json
from decimal import Decimal

import pytest

from engine.bybit import request
from engine.errors import Broken
from engine.order import OrderType, Side
from tests.engine.bybit.orders import order

D = Decimal


def test_a_market_order_has_what_bybit_wants_and_nothing_else():
    made = order(3)

    assert request.placing(made) == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Market",
        "qty": "0.010",
        "timeInForce": "IOC",
        "positionIdx": 0,
        "orderLinkId": made.order_link_id,
        "reduceOnly": False,
    }


def test_an_order_without_a_quantity_closes_what_one_order_can():
    asked = request.placing(order(quantity=D(0), reduce_only=True), index=2)

    assert (asked["qty"], asked["closeOnTrigger"], asked["positionIdx"]) == ("0", True, 2)


@pytest.mark.parametrize(("post_only", "force"), [(False, "GTC"), (True, "PostOnly")])
def test_a_limit_order_rests_at_its_price(post_only, force):
    asked = request.placing(
        order(order_type=OrderType.LIMIT, price=D("60000.50"), post_only=post_only)
    )

    assert (asked["orderType"], asked["price"], asked["timeInForce"]) == (
        "Limit", "60000.50", force,
    )  # fmt: skip
    assert "triggerPrice" not in asked


@pytest.mark.parametrize(("side", "direction"), [(Side.BUY, 1), (Side.SELL, 2)])
def test_a_stop_waits_for_the_last_price_to_come_from_the_other_side(side, direction):
    asked = request.placing(order(side=side, order_type=OrderType.STOP, trigger_price=D(61000)))

    assert (asked["orderType"], asked["triggerPrice"], asked["triggerDirection"]) == (
        "Market", "61000", direction,
    )  # fmt: skip
    assert asked["triggerBy"] == "LastPrice"
    assert "price" not in asked


def test_stop_and_target_travel_with_the_order():
    asked = request.placing(order(stop_loss=D("59000"), take_profit=D("1E+5")))

    assert (asked["stopLoss"], asked["takeProfit"], asked["tpslMode"]) == (
        "59000", "100000", "Full",
    )  # fmt: skip


def test_an_order_that_only_reduces_has_no_levels():
    asked = request.placing(order(reduce_only=True, stop_loss=D(1), take_profit=D(2)))

    assert asked["reduceOnly"] is True
    assert not {"stopLoss", "takeProfit", "tpslMode"} & asked.keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (D("0.00001"), "0.00001"),
        (D("1E-7"), "0.0000001"),
        (D("1E+3"), "1000"),
        (D("0.10"), "0.10"),
        (D(0), "0"),
    ],
)
def test_numbers_have_no_exponent(value, text):
    assert request.digits(value) == text


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity")])
def test_what_is_no_number_is_our_own_fault(value):
    with pytest.raises(Broken):
        request.digits(value)


def test_only_the_levels_that_are_named_are_sent():
    asked = request.protecting("BTCUSDT", D("59000"), None, D(0), None)

    assert asked == {
        "category": "linear",
        "symbol": "BTCUSDT",
        "tpslMode": "Full",
        "positionIdx": 0,
        "stopLoss": "59000",
        "trailingStop": "0",
    }


def test_only_what_changes_is_amended():
    asked = request.amending("BTCUSDT", "a-le-1", None, D("60001"), None)

    assert asked == {
        "category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a-le-1", "price": "60001",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ("order.create", request.placing(
            order(order_type=OrderType.STOP, trigger_price=D(1), stop_loss=D(1), take_profit=D(1))
        )),
        ("order.create", request.placing(order(order_type=OrderType.LIMIT, price=D(1)))),
        ("order.amend", request.amending("X", "a", D(1), D(1), D(1))),
        ("position.trading-stop", request.protecting("X", D(1), D(1), D(1), D(1))),
    ],
    ids=["stop", "limit", "amend", "protect"],
)  # fmt: skip
def test_every_parameter_is_documented_and_of_its_type(shared, page, asked):
    types = {"string": str, "integer": int, "boolean": bool}
    documented = json.loads((shared / f"specs/bybit/rest/{page}.json").read_text())
    known = {each["name"]: types[each["type"]] for each in documented["request_params"]}
    required = {each["name"] for each in documented["request_params"] if each["required"]}

    assert required <= asked.keys()
    assert {name: type(value) for name, value in asked.items()} == {
        name: known[name] for name in asked
    }
