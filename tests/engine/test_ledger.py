"""The money of an account: running sums, and the fold that must agree with them."""

from decimal import Decimal

from engine.ledger import Funding, Ledger, fold
from tests.engine.conftest import ACCOUNT, BOT, BTC, BUY, SELL, T0, D, fill

ETH = "ETHUSDT"


def payment(amount: str, symbol: str = BTC, ts: int = T0) -> Funding:
    return Funding(ACCOUNT, BOT, symbol, ts, D(amount), D("0.0001"), D(100), D(-1))


def test_net_is_gross_less_fees_plus_funding():
    ledger = Ledger(D(10_000), realized=D(50), fees=D("7.5"), funding=D("-2.25"))
    assert ledger.net == D("40.25")
    assert ledger.balance == D("10040.25")


def test_a_fill_adds_its_profit_and_fee_and_counts_the_trade_it_closes():
    opened = Ledger(D(100)).after_fill(D(0), D("0.1"), closed=False)
    closed = opened.after_fill(D(5), D("0.2"), closed=True)
    assert closed == Ledger(D(100), realized=D(5), fees=D("0.3"), trades=1)


def test_a_rebate_is_a_negative_fee():
    assert Ledger(D(100)).after_fill(D(0), D("-0.1"), closed=False).balance == D("100.1")


def test_funding_received_adds_and_paid_subtracts():
    ledger = Ledger(D(100)).after_funding(D("0.5")).after_funding(D("-0.2"))
    assert (ledger.funding, ledger.balance) == (D("0.3"), D("100.3"))


def test_sums_stay_exact_where_floats_would_not():
    ledger = Ledger(D(0))
    for _ in range(1_000):
        ledger = ledger.after_fill(D("0.1"), D("0.00000001"), closed=False)
    assert ledger.net == D("99.99999000")


def test_the_fold_adds_up_each_symbol_by_itself():
    folded = fold(
        ACCOUNT,
        D(10_000),
        [
            fill(SELL, "1", "100", "0.1"),
            fill(BUY, "2", "50", "0.1", symbol=ETH),
            fill(BUY, "1", "90", "0.1"),
            fill(SELL, "0.5", "60", "0.1", symbol=ETH),
        ],
        [payment("0.25"), payment("-0.5", ETH)],
    )
    assert folded.quantities == {ETH: D("1.5")}
    assert folded.costs == {ETH: D(75)}
    assert folded.ledger == Ledger(
        D(10_000), realized=D(15), fees=D("0.4"), funding=D("-0.25"), trades=1
    )


def test_the_fold_of_nothing_is_the_deposit():
    folded = fold(ACCOUNT, D(10_000), [], [])
    assert (folded.ledger, folded.quantities) == (Ledger(D(10_000)), {})


def test_a_flip_counts_one_trade():
    folded = fold(ACCOUNT, D(0), [fill(BUY, "1", "100"), fill(SELL, "2", "110")], [])
    assert (folded.ledger.trades, folded.ledger.realized) == (1, Decimal(10))
    assert folded.quantities == {BTC: D(-1)}
