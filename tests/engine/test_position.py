"""Positions and round trips, against sums made by hand and against the flow of cash."""

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import HOUR_MS, MINUTE_MS
from engine.ledger import Ledger, fold
from engine.order import ZERO, Fill, Reason, Side
from engine.position import Position, Trade, apply, round_trip
from tests.engine.conftest import ACCOUNT, BOT, BTC, BUY, SELL, T0, D, fill

FLAT = Position(ACCOUNT, BOT, BTC)


class Told(NamedTuple):
    """A position after some fills, the profit each realized, the trades that ended."""

    position: Position
    realized: list[Decimal]
    trades: list[Trade]


def tell(*news: Fill | Decimal) -> Told:
    """Fold fills, and payments of funding between them, as the core does."""
    position, realized, trades = FLAT, [], []
    for item in news:
        if isinstance(item, Decimal):
            position = position.with_funding(item)
            continue
        before = position
        position, gained, ended = apply(position, item, leverage=10)
        realized.append(gained)
        if ended is not None:
            trades.append(round_trip(len(trades) + 1, ended, before.side, item))
    return Told(position, realized, trades)


def test_a_long_gains_when_the_price_rises():
    told = tell(fill(BUY, "0.5", "100", "0.05"), fill(SELL, "0.5", "110", "0.06"))
    [trade] = told.trades
    assert (trade.side, trade.quantity) == (BUY, D("0.5"))
    assert (trade.entry_price, trade.exit_price) == (D(100), D(110))
    assert (trade.gross_pnl, trade.commission, trade.net_pnl) == (D(5), D("0.11"), D("4.89"))
    assert trade.pnl_pct == D("0.0978")


def test_a_short_gains_when_the_price_falls():
    told = tell(fill(SELL, "0.5", "100", "0.05"), fill(BUY, "0.5", "90", "0.04"))
    [trade] = told.trades
    assert (trade.side, trade.gross_pnl, trade.net_pnl) == (SELL, D(5), D("4.91"))


def test_a_short_loses_when_the_price_rises():
    told = tell(fill(SELL, "2", "100"), fill(BUY, "2", "103"))
    assert told.trades[0].gross_pnl == D(-6)


def test_scaling_in_averages_the_price():
    told = tell(fill(BUY, "1", "100"), fill(BUY, "3", "108"))
    assert told.position.quantity == 4
    assert told.position.average_price == D(106)
    assert told.position.unrealized(D(110)) == D(16)
    assert told.position.margin == D("42.4")


def test_a_short_with_three_partial_closes_is_paired_exactly():
    """T6. 0.3 BTC sold at 60,000; bought back in thirds at 59,000, 58,000 and 61,000."""
    told = tell(
        fill(SELL, "0.3", "60000", "9.9", T0),
        D("-0.45"),
        fill(BUY, "0.1", "59000", "3.245", T0 + HOUR_MS),
        fill(BUY, "0.1", "58000", "3.19", T0 + 2 * HOUR_MS),
        D("0.125"),
        fill(BUY, "0.1", "61000", "3.355", T0 + 150 * MINUTE_MS, Reason.STOP_LOSS),
    )
    assert told.realized == [0, 100, 200, -100]
    assert told.position.is_flat
    [trade] = told.trades
    assert trade.gross_pnl == D(200)
    assert trade.commission == D("19.69")
    assert trade.funding == D("-0.325")
    assert trade.net_pnl == D("179.985")
    assert trade.quantity == D("0.3")
    assert (trade.entry_price, trade.exit_price) == (D(60000), D(17800) / D("0.3"))
    assert trade.exit_time - trade.entry_time == 150 * MINUTE_MS
    assert (trade.entry_reason, trade.close_reason) == (Reason.EMA_CROSS, Reason.STOP_LOSS)
    assert trade.entry_client_order_id == f"{BOT}:ema_cross:{T0}"
    assert trade.exit_client_order_id == f"{BOT}:stop_loss:{T0 + 150 * MINUTE_MS}"


def test_a_partial_close_leaves_the_average_price_alone():
    told = tell(fill(SELL, "4", "100"), fill(BUY, "1", "90"))
    assert told.position.quantity == -3
    assert told.position.average_price == D(100)
    assert told.realized[-1] == D(10)


def test_a_cost_without_finite_decimals_is_whole_again_when_flat():
    """302 over three: each part is rounded at the twelfth place, the last takes the rest."""
    told = tell(
        fill(BUY, "1", "100"),
        fill(BUY, "2", "101"),
        fill(SELL, "1", "110"),
        fill(SELL, "1", "110"),
        fill(SELL, "1", "110"),
    )
    assert told.realized[2:] == [D("9.333333333333"), D("9.333333333334"), D("9.333333333333")]
    assert told.trades[0].gross_pnl == D(28)


def test_a_fill_through_zero_closes_one_trade_and_opens_the_next():
    told = tell(
        fill(BUY, "1", "100", "0.1", T0),
        fill(SELL, "3", "110", "0.33", T0 + HOUR_MS, Reason.MA_EXIT),
        fill(BUY, "2", "105", "0.21", T0 + 2 * HOUR_MS),
    )
    first, second = told.trades
    assert (first.side, first.gross_pnl, first.commission) == (BUY, D(10), D("0.21"))
    assert (second.side, second.gross_pnl, second.commission) == (SELL, D(10), D("0.43"))
    assert (second.quantity, second.entry_price) == (D(2), D(110))
    assert (second.entry_time, second.exit_time) == (T0 + HOUR_MS, T0 + 2 * HOUR_MS)
    assert second.entry_reason is Reason.MA_EXIT


def test_a_flip_divides_its_fee_by_quantity_to_the_last_digit():
    told = tell(fill(BUY, "1", "100"), fill(SELL, "3", "100", "0.1"))
    assert told.trades[0].commission == D("0.033333333333")
    assert told.position.commission == D("0.066666666667")


def test_funding_belongs_to_the_trip_it_was_paid_in():
    told = tell(
        fill(SELL, "1", "100"), D("0.5"), fill(BUY, "1", "100"), fill(SELL, "1", "100"), D("-0.2")
    )
    assert told.trades[0].funding == D("0.5")
    assert told.position.funding == D("-0.2")


def test_a_flat_position_has_neither_side_nor_price():
    assert (FLAT.side, FLAT.average_price, FLAT.margin) == (None, None, 0)
    assert FLAT.unrealized(D(100)) == 0


def test_the_next_trip_starts_with_nothing_of_the_last():
    told = tell(fill(BUY, "1", "100", "1"), fill(SELL, "1", "120", "1"))
    assert told.position == Position(ACCOUNT, BOT, BTC, updated_at=T0)


@pytest.mark.parametrize("side", Side)
def test_an_open_position_is_worth_its_profit_at_the_price(side):
    told = tell(fill(side, "2", "100"))
    assert told.position.unrealized(D(101)) == 2 * side.sign


# -- what holds for any history ----------------------------------------------------------

fees = st.integers(-(10**8), 10**9).map(lambda n: Decimal(n).scaleb(-8))
fills = st.builds(
    fill,
    st.sampled_from(Side),
    st.integers(1, 50_000).map(lambda n: Decimal(n).scaleb(-3)),
    st.integers(1, 2_000_000).map(lambda n: Decimal(n).scaleb(-1)),
    fees,
)
payments = st.integers(-(10**10), 10**10).map(lambda n: Decimal(n).scaleb(-8))
histories = st.lists(st.one_of(fills, fills, payments), min_size=1, max_size=40)
anything = settings(max_examples=150, deadline=None, derandomize=True)


def paid_while_open(history: list[Fill | Decimal]) -> list[Fill | Decimal]:
    """The history without funding on a flat position: nobody pays for nothing."""
    held, kept = ZERO, []
    for item in history:
        if isinstance(item, Decimal):
            if held:
                kept.append(item)
            continue
        held += item.exec_qty * item.side.sign
        kept.append(item)
    return kept


def close_of(position: Position, price: str = "12345.6") -> list[Fill]:
    if position.is_flat:
        return []
    return [fill(position.side.opposite, abs(position.quantity), price, "0.1")]


@anything
@given(histories)
def test_gross_profit_is_the_cash_that_came_back(history):
    """Once flat, whatever the path and the rounding inside: what was sold less what was bought."""
    history = paid_while_open(history)
    history = [*history, *close_of(tell(*history).position)]
    cash = sum(
        (-f.exec_qty * f.side.sign * f.exec_price for f in history if isinstance(f, Fill)), ZERO
    )
    assert sum((trade.gross_pnl for trade in tell(*history).trades), ZERO) == cash


@anything
@given(histories)
def test_the_ledger_is_the_sum_of_the_trades_and_the_open_part(history):
    history = paid_while_open(history)
    told = tell(*history)
    ledger = Ledger(D(10_000))
    position = FLAT
    for item in history:
        if isinstance(item, Decimal):
            ledger = ledger.after_funding(item)
        else:
            applied = apply(position, item, leverage=10)
            position = applied.position
            ledger = ledger.after_fill(applied.realized, item.commission, bool(applied.closed))
    position = told.position
    open_part = position.realized - position.commission + position.funding
    assert ledger.net == sum((trade.net_pnl for trade in told.trades), ZERO) + open_part
    assert ledger.trades == len(told.trades)


@anything
@given(histories)
def test_the_fold_of_the_fills_is_the_running_position(history):
    fills_only = [item for item in history if isinstance(item, Fill)]
    position = tell(*fills_only).position
    folded = fold(ACCOUNT, D(10_000), fills_only, [])
    held = {} if position.is_flat else {BTC: position.quantity}
    paid = {} if position.is_flat else {BTC: position.cost}
    assert (folded.quantities, folded.costs) == (held, paid)


@anything
@given(histories)
def test_every_trade_adds_up_within_itself(history):
    for trade in tell(*paid_while_open(history)).trades:
        assert trade.net_pnl == trade.gross_pnl - trade.commission + trade.funding
        moved = (trade.exit_price - trade.entry_price) * trade.quantity * trade.side.sign
        assert abs(trade.gross_pnl - moved) < D("1E-9")
