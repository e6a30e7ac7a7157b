"""LEAN's regression of EMA crosses on Bybit's one-minute bars: the fees that it publishes.

The algorithm trades fixed sizes at the best bid and ask, which no strategy of ours does: its
crosses are found with our averages, and its orders filled by our paper exchange.
"""

import csv
import gzip
import json
from decimal import Decimal
from pathlib import Path

from engine.effect import Submit
from engine.event import Executed
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.order import ZERO, Side
from engine.strategies.indicators import ema
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BTC,
    BUY,
    SELL,
    T0,
    D,
    bar,
    closed,
    instrument,
    order,
)

FAST, SLOW = 30.0, 60.0
TAKER = D("0.00055")
# US dollars of the inverse contract: its fee is that share of them, whatever the price.
INVERSE = D(100 + 300)


def quotes(shared: Path) -> list[dict[str, str]]:
    name = "lean_bybit_BTCUSDT_perp_1m_tradequote_2022-12-13.csv.gz"
    with gzip.open(shared / "data" / "candles" / name, "rt") as file:
        return list(csv.DictReader(file))


def crosses(closes: list[float]) -> tuple[int, int]:
    """The first bar with the fast average above the slow one, and the first after it without."""
    fast = slow = 0.0
    above = -1
    for i, close in enumerate(closes):
        fast, slow = ema(fast, close, i + 1.0, FAST), ema(slow, close, i + 1.0, SLOW)
        if above < 0 and i + 1 >= SLOW and fast > slow:
            above = i
        elif above >= 0 and fast <= slow:
            return above, i
    raise AssertionError("the averages do not cross twice")


def fee(side: Side, quantity: str, price: str) -> Decimal:
    """What the paper exchange takes for a market order that fills at `price`."""
    settings = PaperSettings(taker_fee=TAKER, slippage_max=0.0)
    rules = instrument(tick=D("0.5"), quantity_step=D("0.01"), quantity_min=D("0.01"))
    paper = PaperBook(ACCOUNT, D(100_000), settings, {BTC: rules}, lambda symbol, stamp: ZERO)
    paper.step(closed(bar(0, float(price))))
    paper.step(Submit(order(side, quantity, ts=T0 + BAR)))
    [done] = paper.step(closed(bar(1, float(price))))
    assert isinstance(done, Executed)
    assert done.execution.price == D(price)
    return done.execution.fee


def test_the_crosses_and_the_fees_are_those_published(shared: Path) -> None:
    bars = quotes(shared)
    up, down = crosses([float(each["close"]) for each in bars])
    assert (up, down) == (186, 189)
    linear = fee(BUY, "0.01", bars[up]["ask_close"]) + fee(SELL, "0.03", bars[down]["bid_close"])
    path = shared / "data" / "backtests" / "lean_bybit" / "expected_statistics.json"
    published = json.loads(path.read_text())["expected"]["BybitCryptoFuturesRegressionAlgorithm"]
    assert f"${linear + INVERSE * TAKER:.2f}" == published["Total Fees"]
