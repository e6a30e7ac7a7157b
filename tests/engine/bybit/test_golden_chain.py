"""The money of a real account, as Bybit recorded it, comes out of our books to the last digit."""

import json
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from engine.bybit import private_parse
from engine.ledger import Ledger
from engine.order import ExecType, Execution, Reason
from engine.position import Position, apply
from tests.engine.bybit import recorded

D = Decimal
CHAIN = "data/bybit_v5/formulas/golden_chain.json"
LOG = "data/bybit_v5/docs/account__transaction-log__1.json"
STREAM = "data/bybit_v5/gocryptotrader/wsAuth.jsonl"
ROW = {
    "orderId": "o", "symbol": "XRPUSDT", "execType": "Trade", "isMaker": False,
    "execTime": "1672121182224",
}  # fmt: skip


@dataclass
class Books:
    """A position and a ledger that executions are folded into, as Bybit tells them."""

    position: Position
    ledger: Ledger

    def book(self, row):
        venue = private_parse.execution(row)
        execution = Execution(
            "a", venue.exec_id, venue.order_id, venue.order_link_id, venue.symbol, venue.side,
            venue.price, venue.quantity, venue.fee, venue.is_maker, ExecType(venue.exec_type),
            venue.ts,
        )  # fmt: skip
        applied = apply(self.position, execution.as_fill("b", "c", Reason.MANUAL_ENTRY), 10)
        self.position = applied.position
        self.ledger = self.ledger.after_fill(
            applied.realized, execution.fee, applied.closed is not None
        )
        return applied

    def settle(self, row):
        """Funding: what Bybit calls a fee is positive where it was paid."""
        amount = -private_parse.execution(row).fee
        self.position = self.position.with_funding(amount)
        self.ledger = self.ledger.after_funding(amount)


@pytest.fixture
def items(shared):
    return json.loads((shared / CHAIN).read_text())["items"]


@pytest.fixture
def logged(shared):
    """The rows of the transaction log, oldest first."""
    return json.loads((shared / LOG).read_text())["result"]["list"][::-1]


@pytest.fixture
def pushed(shared):
    """The messages of the private stream, by their topics."""
    messages = recorded.messages(shared / STREAM)
    return {
        topic: next(m for m in messages if m["topic"] == topic)["data"]
        for topic in ("position", "wallet", "execution")
    }


def execution_of(entry, number):
    """The execution that a row of the transaction log is about."""
    settled = entry["type"] == "SETTLEMENT"
    return ROW | {
        "execId": f"{entry['tradeId']}-{number}",
        "side": entry["side"],
        "execPrice": entry["tradePrice"],
        "execQty": entry["qty"],
        # The log tells funding from the side of the account, executions from Bybit's.
        "execFee": str(-D(entry["funding"])) if settled else entry["fee"],
        "feeRate": entry["feeRate"],
        "execType": "Funding" if settled else "Trade",
        "execTime": entry["transactionTime"],
    }


def booked(logged, items):
    deposit = D(logged[0]["cashBalance"]) - D(logged[0]["change"])
    books = Books(Position("a", "b", "XRPUSDT"), Ledger(deposit))
    for number, (entry, step) in enumerate(zip(logged, items[1]["steps"], strict=True)):
        row = execution_of(entry, number)
        assert (row["execQty"], row["execPrice"]) == (step["qty"], step["price"])
        books.settle(row) if row["execType"] == "Funding" else books.book(row)
        yield entry, books


def test_the_balance_after_each_row_of_the_log_is_bybits(logged, items):
    balances = [(D(entry["cashBalance"]), books.ledger.balance) for entry, books in
                booked(logged, items)]  # fmt: skip

    assert len(balances) == 3
    assert all(bybits == ours for bybits, ours in balances)


def test_the_position_and_the_wallet_after_the_sale_are_bybits(logged, items, pushed):
    *_, (_, books) = booked(logged, items)
    before = books.ledger.balance
    [sale] = private_parse.linear(pushed["execution"])
    applied = books.book(sale)
    [row] = pushed["position"]
    position = private_parse.position(row)
    wallet = private_parse.wallet(pushed["wallet"])

    assert books.position.quantity == position.quantity == 75
    assert books.position.average_price == position.average_price
    assert books.position.unrealized(position.mark_price) == D(row["unrealisedPnl"])
    assert applied.realized == 25 * (D("0.3374") - D("0.3615"))
    assert books.ledger.balance == before + applied.realized - D("0.005061")
    # The wallet was told at a newer mark price than the position.
    assert wallet.equity - wallet.wallet_balance == books.position.unrealized(D("0.3362"))


@pytest.mark.parametrize("item", [2, 3])
def test_a_fee_is_value_times_rate(shared, pushed, item):
    rows = {
        2: pushed["execution"],
        3: json.loads(
            (shared / "data/bybit_v5/docs/websocket__private__execution__2.json").read_text()
        )["data"],
    }
    [execution] = map(private_parse.execution, private_parse.linear(rows[item]))

    assert execution.price * execution.quantity * execution.fee_rate == execution.fee


def test_a_closed_trade_earns_what_bybit_states(items):
    """Three contracts with the entry and exit values of the documented one, taker both ways."""
    values = {name: D(value) for name, value in items[0]["inputs"].items()}
    books = Books(Position("a", "b", "XRPUSDT"), Ledger(D(0)))
    # The averages have no end, so that each value is of two executions.
    legs = [
        ("Buy", values["cumEntryValue"], D("1194.97")),
        ("Sell", values["cumExitValue"], D("1180.6")),
    ]
    for side, value, price in legs:
        for quantity, at in ((D(2), price), (D(1), value - 2 * price)):
            fee = quantity * at * D("0.0006")
            row = {"side": side, "execId": f"{side}{quantity}", "execPrice": str(at)}
            applied = books.book(
                ROW | row | {"execQty": str(quantity), "execFee": f"{fee:f}", "feeRate": "0.0006"}
            )

    closed = applied.closed
    assert closed is not None
    assert closed.realized - closed.commission == books.ledger.net == D(items[0]["stated"])
    assert replace(books.position, updated_at=0).is_flat
