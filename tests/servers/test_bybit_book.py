"""The matching engine of the local Bybit: how orders, prices and positions meet."""

from decimal import Decimal

import pytest

from tests.servers.bybit_fills import Liquidity
from tests.servers.bybit_prices import FUNDING_MS
from tests.servers.bybit_rules import Refusal, Rules
from tests.servers.bybit_table import BTC, NOW, Table


@pytest.fixture
def table() -> Table:
    return Table()


def test_a_market_order_fills_at_the_price_of_now_and_pays_the_taker_fee(table):
    bought = table.order("Buy", "0.01")

    assert table[bought].status == "Filled"
    assert table.statuses(bought) == ["Filled"]
    assert table.prices == [Decimal(100_000)]
    assert table.account.wallet == 100_000 - Decimal("0.01") * 100_000 * Decimal("0.00055")
    assert not table.account.fills[0].maker


def test_a_price_off_the_tick_is_rounded_to_the_takers_disadvantage(table):
    table.price("100000.07")
    table.order("Buy", "0.01")
    table.order("Sell", "0.01")

    assert table.prices == [Decimal("100000.10"), Decimal("100000.00")]


def test_an_order_is_filled_in_parts_that_get_worse_and_share_their_number(table):
    table.book.fills.liquidity = lambda order: Liquidity(parts=3, slippage=Decimal("0.001"))
    table.order("Buy", "0.010")

    fills = table.account.fills
    assert [(f.quantity, f.price) for f in fills] == [
        (Decimal("0.003"), Decimal(100_000)), (Decimal("0.003"), Decimal(100_100)),
        (Decimal("0.004"), Decimal(100_200)),
    ]  # fmt: skip
    assert len({fill.seq for fill in fills}) == 1
    assert len({fill.exec_id for fill in fills}) == 3
    assert [fill.order.left for fill in fills] == [Decimal("0.007"), Decimal("0.004"), 0]


def test_what_the_market_does_not_take_of_a_market_order_is_canceled(table):
    table.book.fills.liquidity = lambda order: Liquidity(share=Decimal("0.5"))
    bought = table[table.order("Buy", "0.010")]

    assert (bought.status, bought.filled) == ("Cancelled", Decimal("0.005"))


def test_a_market_order_does_not_fill_beyond_its_bound(table):
    table.book.fills.liquidity = lambda order: Liquidity(parts=3, slippage=Decimal("0.04"))
    bought = table[table.order("Buy", "0.009")]

    assert (bought.status, bought.filled) == ("Cancelled", Decimal("0.006"))
    assert max(table.prices) <= 105_000


def test_a_limit_order_rests_and_is_filled_as_a_maker(table):
    bought = table.order("Buy", "0.01", 99_000)
    assert table[bought].status == "New"
    table.glide(98_000)

    assert table[bought].status == "Filled"
    assert table.prices == [Decimal(99_000)]
    assert table.account.fills[0].fee == Decimal("0.01") * 99_000 * Decimal("0.0002")


def test_a_limit_order_that_crosses_takes_the_better_price(table):
    table.order("Buy", "0.01", 101_000)

    assert table.prices == [Decimal(100_000)]
    assert not table.account.fills[0].maker


def test_a_resting_order_is_filled_bit_by_bit(table):
    table.book.fills.liquidity = lambda order: Liquidity(share=Decimal("0.5"))
    bought = table.order("Buy", "0.004", 99_000)
    for price in (98_900, 98_950, 98_900):
        table.price(price)

    assert table.statuses(bought) == ["New", "PartiallyFilled", "PartiallyFilled", "Filled"]


@pytest.mark.parametrize(
    ("force", "price", "share", "status", "reason"),
    [
        ("PostOnly", 100_100, "1", "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ("PostOnly", 99_000, "1", "New", "EC_NoError"),
        ("IOC", 99_000, "1", "Cancelled", "EC_NoImmediateQtyToFill"),
        ("IOC", 100_100, "1", "Filled", "EC_NoError"),
        ("FOK", 100_100, "0.5", "Cancelled", "EC_NoEnoughQtyToFill"),
        ("FOK", 100_100, "1", "Filled", "EC_NoError"),
    ],
)
def test_the_time_in_force_decides_what_rests(table, force, price, share, status, reason):
    table.book.fills.liquidity = lambda order: Liquidity(share=Decimal(share))
    order = table[table.order("Buy", "0.010", price, timeInForce=force)]

    assert (order.status, order.reject_reason) == (status, reason)


def test_an_accepted_order_may_be_rejected_after_all(table):
    table.book.rejection = lambda order: "EC_ReachRiskPriceLimit"
    order = table[table.order("Buy", "0.01")]

    assert (order.status, order.reject_reason) == ("Rejected", "EC_ReachRiskPriceLimit")


# -- conditional orders --------------------------------------------------------------------------


def test_a_stop_order_waits_for_its_price_and_then_takes_the_market(table):
    order = table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)
    assert table[order].status == "Untriggered"
    table.price(102_000)

    assert table.statuses(order) == ["Untriggered", "Triggered", "Filled"]
    assert table.prices == [Decimal(102_000)]


def test_a_price_that_glides_fills_a_stop_where_it_is_triggered(table):
    table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)
    table.glide(102_000)

    assert table.prices == [Decimal(101_000)]


def test_a_stop_limit_rests_once_it_is_triggered(table):
    order = table.order("Buy", "0.01", 100_900, triggerPrice="101000", triggerDirection=1)
    table.glide(101_500)
    assert table[order].status == "New"
    table.glide(100_500)

    assert table.prices == [Decimal(100_900)]


def test_a_stop_that_can_not_be_afforded_when_it_is_triggered_is_canceled(table):
    order = table.order("Buy", "20", triggerPrice="101000", triggerDirection=1)
    table.price(101_000)

    assert (table[order].status, table[order].cancel_type) == (
        "Cancelled", "CancelByCannotAffordOrderCost",
    )  # fmt: skip


def test_a_conditional_order_that_is_canceled_is_deactivated(table):
    order = table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)
    table.do("cancel", orderId=order)

    assert table[order].status == "Deactivated"


# -- positions -----------------------------------------------------------------------------------


def test_a_position_that_flips_is_one_execution_that_closes_a_part(table):
    table.order("Buy", "0.01")
    table.price(101_000)
    table.order("Sell", "0.03")

    fill = table.account.fills[-1]
    assert (fill.quantity, fill.closed, fill.pnl) == (Decimal("0.03"), Decimal("0.01"), 10)
    assert table.size == Decimal("-0.02")
    assert table.account.position(BTC).average == 101_000


def test_a_reduce_only_order_is_cut_to_the_position_and_ends_with_it(table):
    table.order("Buy", "0.01")
    sold = table.order("Sell", "0.05", 101_000, reduceOnly=True)
    assert table[sold].quantity == Decimal("0.01")
    table.order("Sell", "0.01")

    assert (table[sold].status, table[sold].cancel_type) == ("Cancelled", "CancelByReduceOnly")


def test_a_users_conditional_order_outlives_the_position(table):
    table.order("Buy", "0.01")
    stop = table.order("Sell", "0.01", reduceOnly=True, triggerPrice="95000", triggerDirection=2)
    table.order("Sell", "0.01", reduceOnly=True)
    assert table[stop].status == "Untriggered"
    table.price(94_000)

    assert (table[stop].status, table.size) == ("Cancelled", 0)


def test_a_quantity_of_zero_closes_all_there_is(table):
    table.order("Buy", "0.01")
    table.order("Sell", "0", reduceOnly=True, closeOnTrigger=True)

    assert table.size == 0


def test_in_hedge_mode_both_sides_are_held(table):
    table.do("switch_mode", mode=3)
    table.order("Buy", "0.02", positionIdx=1)
    table.order("Sell", "0.01", positionIdx=2)
    table.order("Sell", "0.02", positionIdx=1, reduceOnly=True)

    assert table.account.position(BTC, 1).size == 0
    assert table.account.position(BTC, 2).size == Decimal("-0.01")


@pytest.mark.parametrize("mode", ["ISOLATED_MARGIN", "REGULAR_MARGIN"])
@pytest.mark.parametrize("side", ["Buy", "Sell"])
def test_a_position_is_taken_over_where_its_margin_is_gone(mode, side):
    table = Table(balance=1_000)
    table.account.margin_mode = mode
    table.order(side, "0.05")
    resting = table.order(side, "0.001", 60_000 if side == "Buy" else 140_000)
    position = table.account.position(BTC)
    liquidation = table.book.margin.liquidation_price(table.account, position)
    table.glide(50_000 if side == "Buy" else 150_000)

    bust = table.account.fills[-1]
    assert (bust.kind, bust.order.create_type) == ("BustTrade", "CreateByTakeOver_PassThrough")
    assert bust.order.link_id == ""
    assert table.size == 0
    # Isolated, the loss is the position's margin; in cross margin it is all there is.
    lost = 500 if mode == "ISOLATED_MARGIN" else 1_000
    assert abs(-bust.pnl - lost) < 10
    way = -1 if side == "Buy" else 1
    assert (liquidation - 100_000) * way > 0
    assert (bust.price - liquidation) * way >= 0
    assert table[resting].cancel_type == "CancelAllBeforeLiq"


def test_auto_deleveraging_closes_a_part_without_a_fee(table):
    table.order("Buy", "0.02")
    table.stop(stopLoss="90000")
    position = table.account.position(BTC)
    quantity, price = Decimal("0.005"), Decimal(101_000)
    table.book.fills.force(table.account, position, quantity, price, "AdlTrade")

    adl = table.account.fills[-1]
    assert (adl.kind, adl.fee, adl.closed) == ("AdlTrade", 0, Decimal("0.005"))
    assert table.children()["StopLoss"].quantity == Decimal("0.015")


@pytest.mark.parametrize(("side", "sign"), [("Buy", 1), ("Sell", -1)])
def test_funding_is_paid_by_longs_and_moves_no_position(table, side, sign):
    table.order(side, "0.01")
    wallet = table.account.wallet
    table.book.settle(BTC, Decimal("0.0001"), NOW)

    funding = table.account.funding[-1]
    paid = sign * Decimal("0.01") * 100_000 * Decimal("0.0001")
    assert (funding.fee, table.account.wallet) == (paid, wallet - paid)
    assert (funding.quantity, table.size) == (Decimal("0.01"), sign * Decimal("0.01"))
    assert table.account.log[-1].change == -paid


def test_funding_is_settled_once_as_each_stamp_passes(table):
    table.order("Buy", "0.01")
    stamp = NOW - NOW % FUNDING_MS + FUNDING_MS
    for now in (stamp - 1, stamp, stamp + 1, stamp + FUNDING_MS):
        table.book.pass_time(now)

    assert [funding.ts for funding in table.account.funding] == [stamp, stamp + FUNDING_MS]


# -- cancel and amend ----------------------------------------------------------------------------


def test_a_canceled_order_may_have_been_filled_in_part(table):
    table.book.fills.liquidity = lambda order: Liquidity(share=Decimal("0.5"))
    order = table.order("Buy", "0.010", 100_000)
    table.do("cancel", orderId=order)

    assert (table[order].status, table[order].filled) == ("Cancelled", Decimal("0.005"))


def test_an_order_filled_as_it_is_canceled_is_told_twice(table):
    table.book.cancel_race = lambda order: True
    order = table.order("Buy", "0.01", 99_000)
    table.do("cancel", orderId=order)

    assert table.statuses(order) == ["New", "Filled", "Filled"]
    assert table[order].reject_reason == "EC_OrigClOrdIDDoesNotExist"
    assert len(table.account.fills) == 1


def test_an_amended_order_keeps_its_id_and_may_fill_at_once(table):
    order = table.order("Buy", "0.01", 99_000)
    table.do("amend", orderId=order, price="98000", qty="0.02")
    assert (table[order].price, table[order].quantity) == (98_000, Decimal("0.02"))
    table.do("amend", orderId=order, price="100500")

    assert table[order].status == "Filled"


def test_all_orders_of_a_symbol_or_a_coin_are_canceled(table):
    table.order("Buy", "0.01", 99_000)
    table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)
    table.do("create", symbol="ETHUSDT", side="Buy", orderType="Limit", qty="1", price="3000")
    assert len(table.do("cancel_all", orderFilter="StopOrder")["list"]) == 1
    assert len(table.do("cancel_all")["list"]) == 1
    table.do("cancel_all", symbol=None, settleCoin="USDT")

    assert table.account.open_orders() == []


# -- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"symbol": "NONE"}, 10_001),
        ({"side": "Up"}, 10_001),
        ({"qty": "0.0001"}, 10_001),
        ({"qty": "0.0015"}, 10_001),
        ({"qty": "501"}, 10_001),
        ({"qty": "1e-05"}, 10_001),
        ({"qty": "-1"}, 10_001),
        ({"qty": "NaN"}, 10_001),
        ({"qty": "1", "price": "90000.05", "orderType": "Limit"}, 10_001),
        ({"orderType": "Limit"}, 10_001),
        ({"price": "106000", "orderType": "Limit"}, 110_003),
        ({"side": "Sell", "price": "94000", "orderType": "Limit"}, 110_003),
        ({"qty": "0.001", "price": "100", "orderType": "Limit"}, 110_094),
        ({"qty": "20"}, 110_007),
        ({"orderLinkId": "a" * 37}, 10_001),
        ({"orderLinkId": "a:b"}, 10_001),
        ({"orderLinkId": "taken"}, 110_072),
        ({"positionIdx": 1}, 10_001),
        ({"triggerPrice": "101000"}, 10_001),
        ({"triggerPrice": "99000", "triggerDirection": 1}, 110_092),
        ({"triggerPrice": "101000", "triggerDirection": 2}, 110_093),
        ({"takeProfit": "99000"}, 10_001),
        ({"stopLoss": "101000"}, 10_001),
        ({"side": "Sell", "stopLoss": "99000"}, 10_001),
        ({"reduceOnly": True}, 110_017),
        ({"side": "Sell", "symbol": "ETHUSDT", "qty": "1", "reduceOnly": True}, 110_017),
        ({"side": "Sell", "reduceOnly": True, "stopLoss": "101000"}, 110_057),
    ],
)
def test_an_order_against_the_rules_is_refused_and_changes_nothing(table, body, code):
    table.order("Buy", "0.01", orderLinkId="taken")
    orders = len(table.account.orders)
    asked = {"side": "Buy", "orderType": "Market", "qty": "0.01", **body}
    with pytest.raises(Refusal) as refused:
        table.do("create", **asked)

    assert refused.value.code == code
    assert len(table.account.orders) == orders


def test_a_symbol_takes_no_more_than_ten_conditional_orders(table):
    for _ in range(10):
        table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)
    with pytest.raises(Refusal, match="110009"):
        table.order("Buy", "0.01", triggerPrice="101000", triggerDirection=1)


def test_rules_that_change_count_from_then_on(table):
    table.book.rules[BTC] = Rules(BTC, step=Decimal("0.01"), quantity_min=Decimal("0.01"))
    with pytest.raises(Refusal, match="Qty invalid"):
        table.order("Buy", "0.015")


@pytest.mark.parametrize(
    ("command", "body", "code"),
    [
        ("cancel", {"orderId": "none"}, 110_001),
        ("cancel", {}, 10_001),
        ("amend", {"orderLinkId": "none", "qty": "1"}, 110_001),
        ("amend", {"orderLinkId": "rests", "price": "90000"}, 10_001),
        ("set_leverage", {"buyLeverage": "5", "sellLeverage": "6"}, 10_001),
        ("set_leverage", {"buyLeverage": "10", "sellLeverage": "10"}, 110_043),
        ("set_leverage", {"buyLeverage": "80", "sellLeverage": "80"}, 110_013),
        ("switch_mode", {"mode": 0}, 110_025),
        ("switch_mode", {"mode": 3}, 110_024),
        ("switch_mode", {"symbol": "ETHUSDT", "mode": 3}, 110_028),
        ("set_margin_mode", {"setMarginMode": "ISOLATED_MARGIN"}, 110_073),
        ("trading_stop", {"tpslMode": "Full"}, 34_040),
        ("trading_stop", {"stopLoss": "1"}, 10_001),
        ("trading_stop", {"tpslMode": "Full", "stopLoss": "101000"}, 10_001),
        ("trading_stop", {"tpslMode": "Full", "positionIdx": 1}, 10_001),
        ("trading_stop", {"tpslMode": "Full", "symbol": "ETHUSDT", "stopLoss": "1"}, 10_001),
        ("trading_stop", {"tpslMode": "Partial", "stopLoss": "95000", "slSize": "1"}, 10_001),
    ],
)
def test_what_else_is_refused(table, command, body, code):
    table.order("Buy", "0.01")
    eth = {"symbol": "ETHUSDT", "side": "Buy", "orderType": "Limit", "qty": "1", "price": "3000"}
    table.do("create", **eth)
    table.order("Buy", "0.01", 90_000, orderLinkId="rests")
    with pytest.raises(Refusal) as refused:
        table.do(command, **body)

    assert refused.value.code == code
