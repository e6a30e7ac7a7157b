"""Stops of positions on the local Bybit: set, moved, triggered, and gone with the position."""

from decimal import Decimal

import pytest

from tests.servers.bybit_fills import Liquidity
from tests.servers.bybit_rules import Refusal
from tests.servers.bybit_table import BTC, Table


@pytest.fixture
def table() -> Table:
    return Table()


def test_the_stops_of_an_order_become_those_of_the_position_when_it_fills(table):
    order = table.order(
        "Buy", "0.01", 99_000, orderLinkId="mine", takeProfit="110000", stopLoss="95000"
    )
    assert not table.children()
    table.glide(98_500)

    children = table.children()
    assert {kind: child.trigger for kind, child in children.items()} == {
        "TakeProfit": 110_000, "StopLoss": 95_000,
    }  # fmt: skip
    for kind, child in children.items():
        assert (child.link_id, child.parent_link) == ("", "mine")
        assert child.create_type == f"CreateBy{kind}"
        assert child.order_id != order


@pytest.mark.parametrize(
    ("price", "kind", "other"),
    [(94_000, "StopLoss", "TakeProfit"), (111_000, "TakeProfit", "StopLoss")],
)
def test_a_stop_ends_the_position_and_the_other_stop_with_it(table, price, kind, other):
    table.order("Buy", "0.01", takeProfit="110000", stopLoss="95000")
    children = table.children()
    table.price(price)

    assert table.size == 0
    assert table[children[kind].order_id].status == "Filled"
    ended = table[children[other].order_id]
    assert (ended.status, ended.cancel_type) == ("Deactivated", "CancelByTpSlTsClear")


def test_stops_follow_the_size_of_the_position(table):
    table.order("Buy", "0.01", stopLoss="95000")
    table.order("Buy", "0.02")
    assert table.children()["StopLoss"].quantity == Decimal("0.03")
    table.order("Sell", "0.025", reduceOnly=True)

    assert table.children()["StopLoss"].quantity == Decimal("0.005")


def test_a_stop_can_be_set_moved_and_ended(table):
    table.order("Buy", "0.01")
    table.stop(stopLoss="95000")
    table.stop(stopLoss="96000")
    assert table.children()["StopLoss"].trigger == 96_000
    with pytest.raises(Refusal, match="34040"):
        table.stop(stopLoss="96000")
    table.stop(stopLoss="0")

    assert not table.children()


def test_a_stop_that_is_canceled_or_amended_as_an_order_changes_the_position(table):
    table.order("Buy", "0.01", stopLoss="95000", takeProfit="110000")
    table.do("amend", orderId=table.children()["StopLoss"].order_id, triggerPrice="97000")
    table.do("cancel", orderId=table.children()["TakeProfit"].order_id)

    assert table.account.position(BTC).stops.keys() == {"StopLoss"}
    table.price(96_500)
    assert table.size == 0


def test_partial_stops_are_added_each_time_and_close_their_own_part(table):
    table.order("Buy", "0.03")
    for trigger in ("96000", "95000"):
        table.do("trading_stop", tpslMode="Partial", stopLoss=trigger, slSize="0.01")
    assert len(table.account.open_orders(BTC)) == 2
    table.glide(95_500)

    assert table.size == Decimal("0.02")


@pytest.mark.parametrize(("side", "way"), [("Buy", 1), ("Sell", -1)])
def test_a_trailing_stop_follows_the_price_and_stays(table, side, way):
    table.order(side, "0.01")
    table.stop(trailingStop="1000")
    for move in (2_000, 1_500, 3_000, 2_500):
        table.glide(100_000 + way * move)
    assert table.size
    table.glide(100_000)

    assert table.prices[-1] == 100_000 + way * 2_000
    assert table.size == 0


def test_a_trailing_stop_with_an_activation_price_waits_for_it(table):
    table.order("Buy", "0.01")
    table.stop(trailingStop="1000", activePrice="105000")
    table.glide(98_000)
    assert table.size
    table.glide(106_000)
    table.glide(104_500)

    assert table.prices[-1] == 105_000


def test_a_stop_that_is_filled_in_part_leaves_the_rest_without_one(table):
    table.order("Buy", "0.010", stopLoss="95000")
    table.book.fills.liquidity = lambda order: Liquidity(share=Decimal("0.5"))
    table.price(94_000)
    assert (table.size, table.account.position(BTC).stops) == (Decimal("0.005"), {})
    table.stop(stopLoss="93000")

    assert table.children()["StopLoss"].quantity == Decimal("0.005")
