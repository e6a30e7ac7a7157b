"""Decisions joined with what became of them, and trades as the metrics take them."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.order import Order, OrderType, Reason, Side, client_order_id, order_link_id
from engine.outcomes import Outcome, confidence_band, judge_all, quality, trips
from engine.position import Position, Trade
from engine.signal import Action, Decision

D = Decimal
BOT, ACCOUNT, TS = "rsi_001", "paper-sim-rsi_001", 1_735_689_600_000
NAMED = client_order_id(BOT, Reason.SHORT_ENTRY, TS)
LINK = order_link_id(BOT, Reason.SHORT_ENTRY, TS, 0)

ENTRY = Decision(
    1, ACCOUNT, BOT, "BTCUSDT", TS, Action.ENTRY, Side.SELL, Reason.SHORT_ENTRY, 100.0,
    approved=True, gate="", detail="", order_link_id=LINK, confidence=0.73,
)  # fmt: skip
LEFT = Decision(
    2, ACCOUNT, BOT, "BTCUSDT", TS + 9, Action.EXIT, Side.BUY, Reason.SHORT_EXIT, 95.0,
    approved=True, gate="", detail="",
    order_link_id=order_link_id(BOT, Reason.SHORT_EXIT, TS + 9, 0),
)  # fmt: skip
TRADE = Trade(
    7, ACCOUNT, BOT, "BTCUSDT", Side.SELL, D(2), D(100), TS, Reason.SHORT_ENTRY, D(95), TS + 9,
    Reason.SHORT_EXIT, gross_pnl=D(10), commission=D("0.5"), funding=D("0.1"), net_pnl=D("9.6"),
    pnl_pct=D("0.048"), entry_client_order_id=NAMED,
    exit_client_order_id=client_order_id(BOT, Reason.SHORT_EXIT, TS + 9),
)  # fmt: skip
ORDER = Order(
    ACCOUNT, LINK, NAMED, BOT, "BTCUSDT", Side.SELL, OrderType.MARKET, D(2), 3,
    Reason.SHORT_ENTRY, TS, TS, stop_loss=D(104),
)  # fmt: skip
HELD = Position(ACCOUNT, BOT, "BTCUSDT", D(-2), D(-200), entry_client_order_id=NAMED)
REFUSED = replace(ENTRY, approved=False, gate="cool-down", detail="9 min left", order_link_id=None)


def outcome(
    decision: Decision,
    *,
    trades: tuple[Trade, ...] = (),
    held: tuple[Position, ...] = (),
    waiting: tuple[Order, ...] = (),
) -> Outcome:
    ((_, found, trade),) = judge_all([decision], trades, held, waiting)
    assert trade is None or trade in trades
    return found


@pytest.mark.parametrize(
    ("net", "expected"),
    [("9.6", Outcome.WINNER), ("-0.01", Outcome.LOSER), ("0", Outcome.BREAK_EVEN)],
)
def test_a_closed_trade_decides_for_its_entry_and_its_exit(net: str, expected: Outcome) -> None:
    trade = replace(TRADE, net_pnl=D(net))
    assert outcome(ENTRY, trades=(trade,)) is expected
    assert outcome(LEFT, trades=(trade,)) is expected


def test_a_trade_of_another_symbol_or_account_decided_at_once_is_not_taken_for_it() -> None:
    others = (replace(TRADE, symbol="ETHUSDT"), replace(TRADE, account="paper-sim-other"))
    assert outcome(ENTRY, trades=others) is Outcome.NOT_FILLED


def test_an_entry_whose_position_is_held_is_open() -> None:
    assert outcome(ENTRY, held=(HELD,)) is Outcome.OPEN
    assert outcome(ENTRY, held=(replace(HELD, symbol="ETHUSDT"),)) is Outcome.NOT_FILLED


def test_an_order_on_its_way_is_not_said_to_be_unfilled() -> None:
    assert outcome(ENTRY, waiting=(ORDER,)) is Outcome.UNDER_WAY
    assert outcome(LEFT, held=(HELD,), waiting=(ORDER,)) is Outcome.NOT_FILLED


def test_what_a_gate_stopped_was_not_executed_whatever_else_is_known() -> None:
    assert outcome(REFUSED, trades=(TRADE,), held=(HELD,)) is Outcome.NOT_EXECUTED


def test_the_hit_rate_is_of_closed_trades_alone() -> None:
    open_one = replace(ENTRY, symbol="ETHUSDT")
    lost = replace(TRADE, symbol="SOLUSDT", net_pnl=D(-4))
    decisions = [ENTRY, open_one, replace(ENTRY, symbol="SOLUSDT"), REFUSED, LEFT]
    judged = judge_all(decisions, [TRADE, lost], [replace(HELD, symbol="ETHUSDT")], [])
    (found,) = quality(judged, lambda decision: decision.bot_id)
    assert (found.key, found.signals, found.executed, found.closed) == (BOT, 4, 3, 2)
    assert (found.hit_rate.value, found.hit_rate.n) == (0.5, 2)
    assert found.net == pytest.approx(5.6)


def test_there_is_no_rate_on_nothing() -> None:
    (found,) = quality(judge_all([REFUSED], [], [], []), confidence_band)
    assert (found.hit_rate.value, found.hit_rate.why) == (None, "no trade closed")
    assert found.net is None


@pytest.mark.parametrize(
    ("confidence", "band"),
    [
        (0.0, "0 to 50 %"), (0.49, "0 to 50 %"), (0.5, "50 to 60 %"), (0.7, "70 to 80 %"),
        (0.29 + 0.41, "70 to 80 %"), (0.9, "90 to 100 %"), (1.0, "90 to 100 %"),
    ],
)  # fmt: skip
def test_a_confidence_has_its_band(confidence: float, band: str) -> None:
    assert confidence_band(replace(ENTRY, confidence=confidence)) == band


def test_a_trade_is_the_round_trip_of_the_metrics() -> None:
    (trip,) = trips([TRADE], [ORDER])
    assert (trip.symbol, trip.side, trip.quantity) == ("BTCUSDT", -1, 2.0)
    assert (trip.entry_time, trip.exit_time, trip.duration) == (TS, TS + 9, 9)
    assert (trip.entry_price, trip.exit_price) == (100.0, 95.0)
    assert (trip.entry_tag, trip.exit_reason) == ("short_entry", "short_exit")
    assert trip.net == pytest.approx(float(TRADE.net_pnl))


def test_its_risk_is_what_its_own_first_stop_would_have_lost() -> None:
    other = replace(ORDER, symbol="ETHUSDT", stop_loss=D(150))
    assert trips([TRADE], [other, ORDER])[0].risk == 8.0
    assert trips([TRADE], [other])[0].risk is None
    assert trips([TRADE], [replace(ORDER, stop_loss=None)])[0].risk is None
