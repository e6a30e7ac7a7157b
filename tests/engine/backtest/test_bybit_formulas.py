"""Bybit's worked examples of entry, profit, fees and margin, against our books.

An inverse contract is a linear one at the reciprocal price, with the side turned: a long of
10,000 USD at 8,000 is a short of 10,000 at 1/8,000 BTC. We trade none, but the sums are the same.
"""

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.effect import Submit
from engine.event import Executed, FundingSettled
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.order import Execution, OrderType, Side
from engine.position import Position, apply
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    SELL,
    T0,
    D,
    bar,
    closed,
    fill,
    instrument,
    order,
)

# Its own equation does not give the stated answer; the other has none.
WRONG = "liquidation price inverse cross long"
UNSTATED = "liquidation price inverse isolated long UTA (pre-2026 text)"
EIGHT_HOURS = 96


@cache
def examples(folder: Path) -> dict[str, dict[str, Any]]:
    found = json.loads((folder / "bybit_formula_examples.json").read_text())["examples"]
    return {each["name"]: each for each in found}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "bybit_v5" / "formulas"


def held(side: Side, *fills: tuple[object, object], leverage: int = 10) -> Position:
    """A position of fills of (quantity, price)."""
    position = Position(ACCOUNT, BOT, BTC)
    for quantity, price in fills:
        position = apply(position, fill(side, D(str(quantity)), D(str(price))), leverage).position
    return position


def inverse(price: object) -> Decimal:
    return 1 / D(str(price))


class Market:
    """A paper account whose market orders fill at the price that is named."""

    def __init__(
        self, taker: object = "0.00055", deposit: str = "1000000", rate: str = "0"
    ) -> None:
        settings = PaperSettings(taker_fee=D(str(taker)), slippage_max=0.0)
        rules = instrument(tick=D("0.000001"), quantity_min=D("0.1"), quantity_max=D(10**6))
        self.book = PaperBook(
            ACCOUNT, D(deposit), settings, {BTC: rules}, lambda symbol, stamp: D(rate)
        )
        self.time = 0

    @property
    def balance(self) -> Decimal:
        return self.book.state.ledger.balance

    @property
    def position(self) -> Position:
        return self.book.state.positions[BTC]

    def see(self, price: float, low: float | None = None) -> list[object]:
        answers = self.book.step(closed(bar(self.time, price, low=low)))
        self.time += 1
        return list(answers)

    def trade(
        self, side: Side, quantity: object, at: float, leverage: int = 10, **changes: Any
    ) -> Execution:
        """Have an order filled by a bar that opens at the price, and goes a little below it."""
        self.see(at)
        ts = T0 + self.time * BAR
        placed = order(side, str(quantity), ts=ts, leverage=leverage, **changes)
        self.book.step(Submit(placed))
        return executed(self.see(at, 0.999 * at))

    def liquidated(self, price: float) -> Execution:
        return executed(self.see(price, 0.0001))


def executed(answers: list[object]) -> Execution:
    [found] = [each.execution for each in answers if isinstance(each, Executed)]
    return found


def linear_average(given: Any) -> object:
    return held(BUY, *given["fills"]).average_price


def profit_long(given: Any) -> object:
    return held(BUY, (given["qty"], given["entry"])).unrealized(D(given["last"]))


def profit_short(given: Any) -> object:
    return held(SELL, (given["qty"], given["entry"])).unrealized(D(given["last"]))


def roi(given: Any) -> object:
    """Of the margin and the fee of closing at bankruptcy; Bybit cuts the digits off."""
    market = Market(given["taker"])
    market.trade(BUY, given["qty"], given["entry"], given["lev"])
    margin = market.position.margin
    last = market.liquidated(given["entry"])
    assert last.price == D(given["bankruptcy"])
    share = D(given["upnl"]) / (margin + last.fee) * 100
    return int(share * 100) / D(100)


def closed_profit(given: Any) -> object:
    market = Market()
    fees = market.trade(SELL, "0.4", 6000).fee, market.trade(BUY, "0.4", 5000).fee
    assert fees == (D(str(given["open_fee"])), D(str(given["close_fee"])))
    paid = held(SELL, ("0.4", 6000)).with_funding(-D(str(given["funding_paid"])))
    done = apply(paid, fill(BUY, "0.4", 5000, sum(fees)), 10).closed
    assert done is not None
    return done.realized - done.commission + done.funding


def inverse_average(given: Any) -> object:
    fills = [(quantity, inverse(price)) for quantity, price in given["fills_usd"]]
    average = held(SELL, *fills).average_price
    assert average is not None
    return 1 / average


def inverse_profit(given: Any) -> object:
    return held(SELL, (given["qty"], inverse(given["entry"]))).unrealized(inverse(given["last"]))


def taker_fee(given: Any) -> object:
    return Market(given["rate"]).trade(BUY, given["qty"], given["price"]).fee


def maker_fee(given: Any) -> object:
    market = Market()
    limit = D(given["price"])
    done = market.trade(
        BUY, given["qty"], given["price"] + 1.0, order_type=OrderType.LIMIT, price=limit
    )
    assert done.is_maker
    return done.fee


def inverse_fee(given: Any) -> object:
    """At the reciprocal price, which is a multiple of the tick for 8,000."""
    return Market(given["rate"]).trade(SELL, given["qty"], float(inverse(given["price"]))).fee


def order_cost(given: Any) -> object:
    """What it binds: the margin, the fee to open, the fee to close at bankruptcy."""
    market = Market(given["taker"])
    opened = market.trade(BUY, given["qty"], given["price"], given["lev"])
    margin = market.position.margin
    return margin + opened.fee + market.liquidated(given["price"]).fee


def inverse_order_cost(given: Any) -> object:
    position = held(SELL, (given["qty"], inverse(given["price"])), leverage=given["lev"])
    value = abs(position.cost)
    at_bankruptcy = value + position.margin
    return position.margin + (value + at_bankruptcy) * D(str(given["taker"]))


def bankruptcy(given: Any) -> object:
    market = Market()
    market.trade(BUY, 1, given["entry"], given["lev"])
    return market.liquidated(given["entry"]).price


def inverse_margin(given: Any) -> object:
    return held(SELL, (given["qty"], inverse(given["price"])), leverage=given["lev"]).margin


def inverse_bankruptcy(given: Any) -> object:
    """Where nothing of the balance is left once the position is closed and the fee is paid."""
    position = held(SELL, (given["qty"], inverse(given["entry"])))
    left = D(str(given["balance"])) - position.cost
    return D("1.00075") * D(given["qty"]) / left


OURS = {
    "linear average entry price": (linear_average, 2),
    "linear uPnL long": (profit_long, 2),
    "linear uPnL short": (profit_short, 2),
    "ROI% incl. fee to close": (roi, 2),
    "closed PnL": (closed_profit, 2),
    "inverse average entry price": (inverse_average, 2),
    "inverse uPnL long": (inverse_profit, 4),
    "linear taker fee": (taker_fee, 4),
    "linear maker fee": (maker_fee, 4),
    "inverse taker fee": (inverse_fee, 8),
    "inverse maker fee": (inverse_fee, 8),
    "order cost linear long": (order_cost, 4),
    "order cost inverse long": (inverse_order_cost, 5),
    "order cost linear long (old 0.075% taker)": (order_cost, 4),
    "bankruptcy price linear isolated long": (bankruptcy, 4),
    "initial margin inverse": (inverse_margin, 4),
    "bankruptcy price inverse cross (0.075% taker)": (inverse_bankruptcy, 2),
}


@pytest.mark.parametrize("name", OURS)
def test_a_worked_example(folder: Path, name: str) -> None:
    example = examples(folder)[name]
    ours, digits = OURS[name]
    assert round(float(ours(example["inputs"])), digits) == round(example["stated"], digits)


def test_every_example_is_accounted_for(folder: Path) -> None:
    assert {*OURS, WRONG, UNSTATED} == set(examples(folder))


def chain(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "golden_chain.json").read_text())["items"]


def test_a_closed_profit_of_the_documents(folder: Path) -> None:
    [found] = [each for each in chain(folder) if each["what"].startswith("closed PnL")]
    market = Market("0.0006", deposit="10000")
    market.trade(BUY, 1, float(found["inputs"]["cumEntryValue"]))
    market.trade(SELL, 1, float(found["inputs"]["cumExitValue"]))
    assert market.balance - 10_000 == D(found["stated"])


def test_a_transaction_log_of_the_documents(folder: Path) -> None:
    """Two fills and a settlement of one account, each with the balance after it."""
    [found] = [each for each in chain(folder) if each["what"].startswith("transaction log")]
    first, second, funding = found["steps"]
    market = Market(first["rate"], str(D(first["cashBalance_after"]) + D(first["fee"])), "0.0001")
    for step in (first, second):
        done = market.trade(BUY, step["qty"], float(step["price"]))
        assert done.fee == D(step["fee"])
        assert market.balance == D(step["cashBalance_after"])
    market.time = EIGHT_HOURS
    [settled] = market.see(float(funding["price"]))
    assert isinstance(settled, FundingSettled)
    assert settled.amount == D(funding["change"])
    assert market.balance == D(funding["cashBalance_after"])


def test_a_position_partly_sold(folder: Path) -> None:
    [found] = [each for each in chain(folder) if "wallet chain" in each["what"]]
    market = Market("0.0006")
    market.trade(BUY, 100, 0.3615)
    assert str(market.trade(SELL, 25, 0.3374).fee.normalize()) == "0.005061"
    position = market.position
    assert (position.quantity, position.cost) == (75, D("27.1125"))
    assert position.unrealized(D("0.3374")) == D("-1.8075")
    for stated in ("execFee 0.005061", "size 75", "positionValue 27.1125", "-1.8075 at mark"):
        assert stated in found["note"]


def test_an_execution_of_the_documents(folder: Path) -> None:
    [found] = [each for each in chain(folder) if each["what"].startswith("ws execution")]
    assert Market().trade(BUY, 1, 47950.05).fee == D(found["stated"])
