"""What Bybit tells of an account as values: all recorded messages, and nonsense is refused."""

import json
from collections import Counter
from decimal import Decimal

import pytest

from engine.bybit import private_parse
from engine.bybit.account import KeyInfo, VenueStatus, Wallet
from engine.order import Side
from tests.engine.bybit import recorded

D = Decimal

ORDER = {
    "orderId": "o-1", "orderLinkId": "b-le-00000000000", "symbol": "BTCUSDT", "side": "Buy",
    "orderType": "Limit", "orderStatus": "New", "qty": "0.5", "cumExecQty": "0", "price": "60000",
    "triggerPrice": "", "reduceOnly": False, "createType": "CreateByUser", "stopOrderType": "",
    "rejectReason": "EC_NoError", "cancelType": "UNKNOWN", "createdTime": "1700000000000",
    "updatedTime": "1700000000001",
}  # fmt: skip
EXECUTION = {
    "category": "linear", "execId": "e-1", "orderId": "o-1", "orderLinkId": "", "symbol": "BTCUSDT",
    "side": "Sell", "execPrice": "60000.5", "execQty": "0.5", "execFee": "-1.5",
    "feeRate": "-0.00005", "isMaker": True, "execType": "Trade", "createType": "CreateByStopLoss",
    "stopOrderType": "StopLoss", "execTime": "1700000000000", "feeCurrency": "USDT",
}  # fmt: skip
POSITION = {
    "symbol": "BTCUSDT", "side": "Sell", "size": "0.5", "avgPrice": "60000", "leverage": "10",
    "stopLoss": "61000", "takeProfit": "0.00", "trailingStop": "", "liqPrice": "",
    "markPrice": "60010.5", "positionIdx": 0, "isReduceOnly": False,
    "updatedTime": "1700000000000",
}  # fmt: skip
COIN = {"coin": "USDT", "equity": "110", "walletBalance": "100"}
KEY = {
    "userID": 5, "readOnly": 0, "permissions": {"ContractTrade": ["Order", "Position"]}, "ips": [],
    "expiredAt": "1970-01-01T00:00:00Z",
}  # fmt: skip


@pytest.mark.parametrize("folder", recorded.FOLDERS)
def test_every_recorded_message_of_an_account_is_understood_or_refused_by_its_field(shared, folder):
    understood, refused = Counter(), {}
    for path in sorted((shared / folder).iterdir()):
        for message in recorded.messages(path):
            kind = recorded.kind_of(path.stem, message)
            if kind is None:
                continue
            try:
                understood[kind] += len(recorded.read(kind, message))
            except ValueError as error:
                refused[path.stem, kind] = str(error)

    assert sum(understood.values()) > 0
    # Only the fast executions, which lack fee and kind, are of no use.
    assert {kind for _, kind in refused} <= {"execution.fast"}
    assert all(reason.startswith("execFee: ") for reason in refused.values())


# -- orders --------------------------------------------------------------------------------------


def test_a_conditional_order_of_the_stream_has_its_trigger(shared):
    path = shared / "specs/bybit/nautilus/ws_account_order_stop_market.json"
    [row] = private_parse.linear(json.loads(path.read_text())["data"])
    order = private_parse.order(row)

    assert order.status is VenueStatus.UNTRIGGERED
    assert not order.status.is_final
    assert (order.side, order.order_type, order.stop_kind) == (Side.SELL, "Market", "Stop")
    assert (order.price, order.trigger_price, order.quantity) == (None, D(45000), D("0.100"))
    assert order.made_by == "CreateByUser"


def test_the_stops_of_a_position_are_told_by_their_kind(shared):
    path = shared / "specs/bybit/nautilus/http_get_orders_realtime_tp_sl.json"
    target, stop = map(
        private_parse.order, private_parse.linear(json.loads(path.read_text())["result"]["list"])
    )

    assert (target.stop_kind, target.trigger_price, target.reduce_only) == (
        "TakeProfit", D(55000), True,
    )  # fmt: skip
    assert (stop.stop_kind, stop.trigger_price, stop.reduce_only) == ("StopLoss", D(48000), True)


def test_why_an_order_ended_is_its_reject_reason_or_its_cancel_type():
    def reason(**fields):
        return private_parse.order(ORDER | fields).reason

    assert reason() == ""
    assert reason(rejectReason="EC_PostOnlyWillTakeLiquidity") == "EC_PostOnlyWillTakeLiquidity"
    assert reason(cancelType="CancelByReduceOnly") == "CancelByReduceOnly"
    assert (
        reason(rejectReason="EC_PerCancelRequest", cancelType="CancelByUser")
        == "EC_PerCancelRequest"
    )


def test_a_canceled_order_may_have_fills():
    order = private_parse.order(ORDER | {"orderStatus": "Cancelled", "cumExecQty": "0.2"})

    assert order.status.is_final
    assert order.filled_quantity == D("0.2")


# -- executions ----------------------------------------------------------------------------------


def test_an_execution_keeps_every_digit_and_the_sign_of_its_fee():
    execution = private_parse.execution(EXECUTION)

    assert (execution.fee, execution.fee_rate) == (D("-1.5"), D("-0.00005"))
    assert (execution.price, execution.quantity, execution.ts) == (
        D("60000.5"), D("0.5"), 1700000000000,
    )  # fmt: skip
    assert (execution.made_by, execution.stop_kind) == ("CreateByStopLoss", "StopLoss")


def test_a_kind_of_execution_that_is_not_known_is_handed_on():
    row = EXECUTION | {"execType": "CorporateAction", "somethingNew": {"a": 1}}

    assert private_parse.execution(row).exec_type == "CorporateAction"


def test_funding_has_the_position_as_its_quantity():
    row = EXECUTION | {
        "execType": "Funding", "orderLinkId": "", "stopOrderType": "UNKNOWN", "createType": "",
        "execFee": "0.01", "execQty": "3", "feeRate": "0.0001",
    }  # fmt: skip
    funding = private_parse.execution(row)

    assert (funding.exec_type, funding.quantity, funding.fee) == ("Funding", D(3), D("0.01"))
    assert (funding.stop_kind, funding.made_by) == ("", "")


def test_a_fee_in_another_coin_is_refused_with_the_mend():
    with pytest.raises(ValueError, match="feeCurrency is 'MNT'.*turn off"):
        private_parse.execution(EXECUTION | {"feeCurrency": "MNT"})


@pytest.mark.parametrize("category", ["spot", "inverse", "option"])
def test_rows_of_other_products_are_left_out(category):
    rows = [EXECUTION | {"category": category}, EXECUTION]

    assert private_parse.linear(rows) == [EXECUTION]


# -- positions -----------------------------------------------------------------------------------


def test_a_short_position_is_negative_and_its_missing_levels_are_none():
    position = private_parse.position(POSITION)

    assert position.quantity == D("-0.5")
    assert (position.stop_loss, position.take_profit, position.trailing_stop) == (
        D(61000), None, None,
    )  # fmt: skip
    assert (position.liquidation_price, position.mark_price) == (None, D("60010.5"))


def test_the_stream_calls_the_average_price_otherwise(shared):
    path = shared / "specs/bybit/nautilus/ws_account_position.json"
    [row] = private_parse.linear(json.loads(path.read_text())["data"])
    position = private_parse.position(row)

    assert (position.quantity, position.average_price) == (D("-0.01"), D("3641.075"))
    assert (position.leverage, position.liquidation_price) == (D(30), D("51764.83003276"))


def test_a_flat_position_has_no_side():
    flat = {"side": "", "size": "0", "avgPrice": "0", "leverage": "", "updatedTime": ""}
    position = private_parse.position(POSITION | flat)

    assert (position.quantity, position.average_price, position.leverage) == (0, None, None)
    assert position.updated_at == 0


def test_hedge_mode_is_told_by_the_index():
    assert private_parse.position(POSITION | {"positionIdx": 2}).index == 2


# -- the account ---------------------------------------------------------------------------------


def test_what_is_free_is_the_accounts_sum_in_cross_margin():
    account = {"totalAvailableBalance": "95.5", "coin": [{"coin": "BTC"}, COIN]}

    assert private_parse.wallet([account]) == Wallet(D(110), D(100), D("95.5"))


def test_what_is_free_is_the_rest_of_the_coin_in_isolated_margin():
    coin = COIN | {"totalPositionIM": "20", "totalOrderIM": "5", "locked": "1", "bonus": ""}

    for whole in ({}, {"totalAvailableBalance": ""}):
        assert private_parse.wallet([{**whole, "coin": [coin]}]) == Wallet(D(110), D(100), D(74))


def test_a_wallet_without_usdt_says_nothing():
    assert private_parse.wallet([{"coin": [{"coin": "BTC", "equity": "1"}]}]) is None


def test_a_key_tells_what_it_may():
    key = private_parse.key_info(
        KEY | {"ips": ["1.2.3.4", "*"], "expiredAt": "2023-12-22T07:20:25Z"}
    )

    assert key == KeyInfo(
        "5", False, frozenset({"ContractTrade:Order", "ContractTrade:Position"}), ("1.2.3.4",),
        1703229625000,
    )  # fmt: skip
    assert key.may_trade
    assert not key.may_withdraw


def test_a_key_that_never_expires_has_no_date():
    assert private_parse.key_info(KEY).expires_at is None
    assert private_parse.key_info(KEY | {"expiredAt": ""}).expires_at is None


@pytest.mark.parametrize(("status", "unified"), [(1, False), (3, True), (5, True), (6, True)])
def test_a_classic_account_is_not_unified(status, unified):
    result = {"marginMode": "ISOLATED_MARGIN", "unifiedMarginStatus": status}

    assert private_parse.account_info(result).unified is unified


# -- nonsense ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "row", "field", "value"),
    [
        (private_parse.order, ORDER, "orderId", ""),
        (private_parse.order, ORDER, "symbol", None),
        (private_parse.order, ORDER, "side", "None"),
        (private_parse.order, ORDER, "side", ["Buy"]),
        (private_parse.order, ORDER, "orderStatus", "Dancing"),
        (private_parse.order, ORDER, "qty", "-1"),
        (private_parse.order, ORDER, "qty", ""),
        (private_parse.order, ORDER, "cumExecQty", "NaN"),
        (private_parse.order, ORDER, "price", "1e999"),
        (private_parse.order, ORDER, "reduceOnly", "true"),
        (private_parse.order, ORDER, "orderLinkId", 7),
        (private_parse.order, ORDER, "createdTime", "soon"),
        (private_parse.execution, EXECUTION, "execId", ""),
        (private_parse.execution, EXECUTION, "execFee", ""),
        (private_parse.execution, EXECUTION, "execFee", 1.5),
        (private_parse.execution, EXECUTION, "execQty", "-0.1"),
        (private_parse.execution, EXECUTION, "execPrice", "x"),
        (private_parse.execution, EXECUTION, "execType", None),
        (private_parse.execution, EXECUTION, "isMaker", 1),
        (private_parse.execution, EXECUTION, "feeRate", "x"),
        (private_parse.position, POSITION, "size", "-1"),
        (private_parse.position, POSITION, "side", ""),
        (private_parse.position, POSITION, "positionIdx", "0"),
        (private_parse.position, POSITION, "positionIdx", True),
        (private_parse.position, POSITION, "liqPrice", "inf"),
        (private_parse.key_info, KEY, "userID", None),
        (private_parse.key_info, KEY, "permissions", []),
        (private_parse.key_info, KEY, "permissions", {"Wallet": [5]}),
        (private_parse.key_info, KEY, "expiredAt", "next year"),
        (private_parse.key_info, KEY, "ips", "1.2.3.4"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, dict) else "row",
)
def test_what_is_wrong_is_named(read, row, field, value):
    read(row)
    named = "Wallet" if value == {"Wallet": [5]} else field
    with pytest.raises(ValueError, match=f"^{named}: "):
        read(row | {field: value})


@pytest.mark.parametrize(
    "data", [None, {}, "x", [5], [{"coin": 5}], [{"coin": [COIN | {"equity": ""}]}]]
)
def test_what_is_no_wallet_is_refused(data):
    with pytest.raises(ValueError):
        private_parse.wallet(data)
