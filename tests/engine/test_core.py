"""The core through its one door: events in, effects out, memory that survives being cut."""

import re
from collections.abc import Coroutine
from dataclasses import replace
from decimal import Decimal
from itertools import product
from random import Random
from typing import TypeVar

import pytest

from engine.audit import Act
from engine.bot import BotStatus
from engine.candle import DAY_MS, HOUR_MS, Candle
from engine.core import Core
from engine.effect import (
    Answer,
    Audit,
    Cancel,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Record,
    Resume,
    Sample,
    Submit,
)
from engine.errors import BadSettings
from engine.event import (
    CommandRun,
    DeskHalted,
    DeskStarted,
    DeskStopped,
    Executed,
    FundingSettled,
    Instructed,
    MarketEnded,
    MarketRemarked,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    PriceTicked,
    StopMoved,
)
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instruction import Decide, PauseBot, ResumeBot
from engine.instrument import MAJORS
from engine.ledger import EquityPoint, Funding, fold
from engine.order import (
    ExecType,
    Fill,
    Order,
    OrderStatus,
    Reason,
    decode_link_id,
    order_link_id,
)
from engine.people import human
from engine.ports import StateRow
from engine.position import Position, Trade
from engine.proposal import Way
from engine.signal import Action, Decision
from engine.strategies import shortseller
from engine.strategies.exits import Exits
from engine.strategies.pipeline import OPEN
from engine.strategies.sizing import Sizing
from tests.askers import OPERATING, POLICY
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BTC_5M,
    BUY,
    BUY_NOW,
    HOUR_COOLDOWN,
    LEAVE_NOW,
    NO_EXITS,
    SELL,
    SELL_NOW,
    T0,
    USUAL_SIZING,
    D,
    bar,
    bot,
    closed,
    execution,
    instrument,
    puppet,
)
from tests.engine.cores import ETH, candle, core, entered, held, memory, of, restarted, rows

T = TypeVar("T")

OTHER = "other_bot"
RATE = D("0.0001")


# -- a signal becomes an order -----------------------------------------------------------


def test_a_signal_that_passes_becomes_a_decision_an_order_and_a_submit():
    effects = candle(core(), 0, 100, SELL_NOW)
    [decision], [placed] = of(Decision, effects), of(Order, effects)
    assert [type(effect) for effect in effects] == [Record, Record, Audit, Submit]
    assert effects[-1] == Submit(placed)
    assert decision == Decision(
        decision_id=1,
        account=ACCOUNT,
        bot_id=BOT,
        symbol=BTC,
        ts=T0 + BAR,
        action=Action.ENTRY,
        side=SELL,
        reason=Reason.EMA_CROSS,
        price=100.0,
        approved=True,
        gate="",
        detail="",
        order_link_id=placed.order_link_id,
    )
    assert (placed.side, placed.quantity, placed.leverage) == (SELL, D(50), 10)
    assert (placed.status, placed.reduce_only) == (OrderStatus.PENDING, False)
    assert placed.client_order_id == f"{BOT}:ema_cross:{T0 + BAR}"
    assert decode_link_id(placed.order_link_id) == (BOT, Reason.EMA_CROSS, T0 + BAR, 0)


def test_a_candle_that_comes_long_after_its_close_opens_nothing():
    desk = core()
    candle(desk, 0)
    event = replace(closed(bar(1, 100, volume=SELL_NOW)), late=True)
    effects = desk.step(event)
    assert of(Submit, effects) == []
    [decision] = of(Decision, effects)
    assert (decision.approved, decision.gate) == (False, "fresh candle")


def test_candles_of_before_the_books_only_warm_the_strategies_up():
    desk = core()
    past = [replace(closed(bar(i, 100, volume=SELL_NOW)), late=True) for i in range(40)]
    assert [effect for event in past for effect in desk.step(event)] == []
    assert of(Submit, candle(desk, 40, 100, SELL_NOW))


def test_a_late_candle_still_closes_what_is_held():
    desk = core()
    entered(desk)
    effects = desk.step(replace(closed(bar(1, 100, volume=LEAVE_NOW)), late=True))
    [submit] = of(Submit, effects)
    assert submit.order.reduce_only


def test_a_price_told_inside_a_bar_moves_the_worth_of_positions_and_decides_nothing():
    desk = core()
    entered(desk, price=100)
    assert desk.step(PriceTicked(BTC, 110.0, T0 + BAR + 5)) == []
    assert desk.view().prices[BTC] == 110
    [held_] = desk.view().positions
    assert held_.unrealized == held_.position.quantity * 10


def test_a_buy_signal_buys():
    assert of(Order, candle(core(), 0, 100, BUY_NOW))[0].side is BUY


def test_no_signal_no_effect():
    assert candle(core(), 0) == []


def test_a_symbol_nobody_trades_has_no_effect_but_its_price_is_known():
    desk = core()
    assert candle(desk, 0, 2_000, SELL_NOW, symbol=ETH) == []
    assert desk.view().prices == {ETH: 2_000.0}


def test_the_protection_of_a_btc_short_is_worked_out_from_the_close():
    """Stop 1 % above, target 3 % below, trailing by 1 % from 2 % below, all on the tenth."""
    seller = bot(puppet(exits=shortseller.STRATEGY.exits_for(BTC)))
    desk = Core([seller], MAJORS, BAR, "paper", "test", POLICY)
    [placed] = of(Order, candle(desk, 0, 61_234.5, SELL_NOW))
    assert placed.stop_loss == D("61846.8")  # 61,846.845
    assert placed.take_profit == D("59397.4")  # 59,397.465
    assert placed.trailing_stop == D("612.3")  # 612.345
    assert placed.trailing_activation == D("60009.8")  # 60,009.81
    assert placed.quantity == D("0.081")  # 5,000 / 61,234.5 = 0.08165


def test_the_protection_of_a_long_is_the_mirror():
    desk = core(bot(puppet(exits=Exits(0.01, 0.03, 0.01, 0.02, 0, 0))))
    [placed] = of(Order, candle(desk, 0, 1000, BUY_NOW))
    levels = placed.stop_loss, placed.take_profit, placed.trailing_stop, placed.trailing_activation
    assert levels == (D(990), D(1030), D(10), D(1020))


def test_rules_that_are_off_set_no_levels():
    [placed] = of(Order, candle(core(), 0, 1000, SELL_NOW))
    levels = placed.stop_loss, placed.take_profit, placed.trailing_stop, placed.trailing_activation
    assert levels == (None, None, None, None)


def test_two_orders_in_one_millisecond_have_ids_of_their_own():
    desk = core(bot(symbols=(BTC, ETH)))
    [one] = of(Order, candle(desk, 0, 100, SELL_NOW))
    [other] = of(Order, candle(desk, 0, 100, SELL_NOW, symbol=ETH))
    assert one.client_order_id == other.client_order_id
    assert one.order_link_id != other.order_link_id


def test_the_order_of_a_late_bar_has_an_id_of_its_own():
    desk = core(bot(symbols=(BTC, ETH)))
    [first] = of(Order, candle(desk, 0, 100, SELL_NOW))
    [second] = of(Order, candle(desk, 0, 100, SELL_NOW, symbol=ETH))
    cancel = OrderCanceled(ACCOUNT, second.order_link_id, "by request", T0 + BAR)
    desk.step(cancel)
    candle(desk, 1, 100, symbol=BTC)
    [late] = of(Order, candle(desk, 0, 100, SELL_NOW, symbol=ETH))
    assert len({first.order_link_id, second.order_link_id, late.order_link_id}) == 3


def test_the_count_within_a_millisecond_survives_a_restart():
    seller = bot(symbols=(BTC, ETH))
    desk = core(seller)
    [one] = of(Order, candle(desk, 0, 100, SELL_NOW))
    again = restarted(desk, core(seller))
    [other] = of(Order, candle(again, 0, 100, SELL_NOW, symbol=ETH))
    assert one.order_link_id != other.order_link_id


# -- gates -------------------------------------------------------------------------------


def halted(desk: Core) -> None:
    desk.step(DeskHalted("books differ", T0))


def paused(desk: Core) -> None:
    desk.step(Instructed(PauseBot(BOT), OPERATING, 1, T0))


def holding(desk: Core) -> None:
    entered(desk)


def underway(desk: Core) -> None:
    candle(desk, 0, 100, SELL_NOW)


GATED = {
    "halted": (core, halted, "mode and kill", "halted: books differ"),
    "paused": (core, paused, "mode and kill", "the bot is paused"),
    "warming up": (
        lambda: core(bot(puppet(warm_up=600))),
        lambda desk: None,
        "warm-up",
        "1 of 600 bars",
    ),
    "cooling down": (
        lambda: core(bot(puppet(exits=HOUR_COOLDOWN))),
        holding,
        "cool-down",
        "55 min left",
    ),
    "holding": (core, holding, "one position a symbol", "holds -50"),
    "an order underway": (core, underway, "one position a symbol", "an order is on its way"),
    "no margin": (
        lambda: core(bot(puppet(sizing=Sizing(1.5, 1.5, 10)))),
        lambda desk: None,
        "size",
        "needs 15000.00 margin, 10000.00 is free",
    ),
    "no equity": (
        lambda: core(bot(capital="0")),
        lambda desk: None,
        "size",
        "equity is 0.00",
    ),
    "instrument limits": (
        lambda: core(quantity_max=D(10)),
        lambda desk: None,
        "instrument limits",
        "50.0 is above the maximum 10",
    ),
}


@pytest.mark.parametrize(("build", "happen", "gate", "detail"), GATED.values(), ids=GATED)
def test_a_refused_signal_is_kept_with_its_gate_and_nothing_is_sent(build, happen, gate, detail):
    desk = build()
    happen(desk)
    effects = candle(desk, 1, 100, SELL_NOW)
    [decision] = of(Decision, effects)
    assert (decision.approved, decision.gate, decision.detail) == (False, gate, detail)
    assert decision.order_link_id is None
    assert effects == [Record(decision)]


def test_margin_bound_by_another_symbol_is_not_free():
    desk = core(bot(puppet(sizing=Sizing(0.6, 1.0, 10)), symbols=(BTC, ETH)))
    entered(desk)
    [decision] = of(Decision, candle(desk, 1, 100, SELL_NOW, symbol=ETH))
    assert (decision.gate, decision.detail) == ("size", "needs 6000.00 margin, 4000.00 is free")


def test_margin_meant_for_an_order_underway_is_not_free():
    desk = core(bot(puppet(sizing=Sizing(0.6, 1.0, 10)), symbols=(BTC, ETH)))
    candle(desk, 0, 100, SELL_NOW)
    [decision] = of(Decision, candle(desk, 0, 100, SELL_NOW, symbol=ETH))
    assert (decision.gate, decision.detail) == ("size", "needs 6000.00 margin, 4000.00 is free")


def test_the_size_follows_equity_with_its_open_profit():
    """50 short from 100 to 90: 10,500 of equity, 5,250 to trade, 52.5 at 100."""
    desk = core(bot(symbols=(BTC, ETH)))
    entered(desk)
    candle(desk, 1, 90)
    [placed] = of(Order, candle(desk, 1, 100, SELL_NOW, symbol=ETH))
    assert placed.quantity == D("52.5")


def test_why_shows_every_gate_and_changes_nothing():
    desk = core()
    candle(desk, 0, 100)
    before = memory(desk)
    [why] = desk.why(BTC)
    assert [gate.gate for gate in why.gates][:2] == ["mode and kill", "warm-up"]
    assert len(why.gates) == 7
    assert memory(desk) == before


# -- what the exchange says --------------------------------------------------------------


def test_a_fill_is_booked_with_its_order_position_and_notice():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    ts = T0 + BAR
    effects = desk.step(Executed(execution(placed, price="100", fee="5", ts=ts, exec_id="X")))
    [found], [after], [position] = of(Fill, effects), of(Order, effects), of(Position, effects)
    assert (found.bot_id, found.close_reason) == (BOT, Reason.EMA_CROSS)
    assert found.client_order_id == placed.client_order_id
    assert (after.status, after.filled_quantity) == (OrderStatus.FILLED, D(50))
    assert (position.quantity, position.average_price, position.leverage) == (D(-50), D(100), 10)
    [notify] = of(Notify, effects)
    assert notify.notice.kind is NoticeKind.ENTRY
    assert notify.notice.balance == D(9_995)
    assert held(desk) == {BTC: D(-50)}


def test_an_execution_told_twice_changes_nothing():
    """T3."""
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    event = Executed(execution(placed, fee="5", exec_id="X"))
    assert desk.step(event)
    before = memory(desk)
    assert desk.step(event) == []
    assert memory(desk) == before


def test_an_execution_told_again_after_a_restart_changes_nothing():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    event = Executed(execution(placed, fee="5", exec_id="X"))
    fills = of(Fill, desk.step(event))
    again = core()
    again.restore(rows(desk), fills)
    before = memory(again)
    assert again.step(event) == []
    assert memory(again) == before


STOPS = [Reason.STOP_LOSS, Reason.TAKE_PROFIT, Reason.TRAILING_STOP, Reason.LIQUIDATION]


@pytest.mark.parametrize("reason", STOPS)
def test_a_stop_of_the_exchange_belongs_to_its_bot_and_reason(reason):
    """T5."""
    desk = core(bot(), bot(bot_id=OTHER, symbols=(ETH,)))
    placed = entered(desk)
    ts = T0 + 5 * BAR
    kind = ExecType.LIQUIDATION if reason is Reason.LIQUIDATION else ExecType.TRADE
    effects = desk.step(
        Executed(
            execution(quantity="50", price="90", ts=ts, side=BUY, trigger=reason, exec_type=kind)
        )
    )
    [found], [trade], [notify] = of(Fill, effects), of(Trade, effects), of(Notify, effects)
    assert (found.bot_id, found.close_reason, found.exec_type) == (BOT, reason, kind)
    assert found.client_order_id == f"{BOT}:{reason}:{ts}"
    assert (trade.bot_id, trade.close_reason, trade.gross_pnl) == (BOT, reason, D(500))
    assert trade.entry_client_order_id == placed.client_order_id
    assert (notify.notice.kind, notify.notice.trade) == (NoticeKind.EXIT, trade)
    assert held(desk) == {}


def test_a_trade_that_the_desk_did_not_make_is_booked_as_external_and_told():
    desk = core()
    entered(desk)
    effects = desk.step(Executed(execution(side=BUY, quantity="1")))
    [fill] = of(Fill, effects)
    told = [each.notice for each in of(Notify, effects)]
    [notice] = [each for each in told if each.kind is NoticeKind.DIFFERENCE]
    assert fill.close_reason is Reason.EXTERNAL
    assert "a trade that is not the desk's: Buy 1" in (notice.text or "")


def test_an_order_id_of_another_bot_is_no_order_of_ours():
    desk = core()
    entered(desk)
    link_id = order_link_id("somebody", Reason.MANUAL_EXIT, T0, 0)
    told = replace(execution(side=BUY, quantity="1"), order_link_id=link_id)
    [fill] = of(Fill, desk.step(Executed(told)))
    assert (fill.bot_id, fill.close_reason) == (BOT, Reason.EXTERNAL)


def test_part_fills_complete_the_order():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    first = desk.step(Executed(execution(placed, quantity="20", price="100")))
    assert of(Order, first)[0].status is OrderStatus.PARTIALLY_FILLED
    last = desk.step(Executed(execution(placed, quantity="30", price="110")))
    assert of(Order, last)[0].status is OrderStatus.FILLED
    assert of(Position, last)[0].average_price == D(106)
    assert desk.view().open_orders == ()


def test_a_fill_before_the_acceptance_counts_and_the_order_is_not_sent_again():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    assert desk.unfinished() == [Resume(placed)]
    desk.step(Executed(execution(placed, quantity="20")))
    assert held(desk) == {BTC: D(-20)}
    assert desk.unfinished() == []
    desk.step(OrderAccepted(ACCOUNT, placed.order_link_id, "P1", T0))
    [found] = desk.view().open_orders
    assert (found.status, found.order_id) == (OrderStatus.PARTIALLY_FILLED, "P1")


def test_an_order_filled_before_its_acceptance_still_knows_its_name():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    [filled] = of(Order, desk.step(Executed(execution(placed))))
    assert filled.order_id == "P1"
    assert desk.step(OrderAccepted(ACCOUNT, placed.order_link_id, "P1", T0)) == []


def test_a_late_fill_after_cancel_still_counts():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    desk.step(OrderAccepted(ACCOUNT, placed.order_link_id, "P1", T0))
    desk.step(OrderCanceled(ACCOUNT, placed.order_link_id, "by request", T0 + 1))
    effects = desk.step(Executed(execution(placed, quantity="20", fee="1", ts=T0 + 2)))
    [found] = of(Fill, effects)
    assert (found.bot_id, found.close_reason) == (BOT, Reason.EMA_CROSS)
    assert found.client_order_id == placed.client_order_id
    assert held(desk) == {BTC: D(-20)}
    [shown] = desk.view().positions
    assert shown.position.leverage == placed.leverage


def test_a_refused_order_is_told_and_forgotten():
    desk = core()
    [placed] = of(Order, candle(desk, 0, 100, SELL_NOW))
    effects = desk.step(OrderRejected(ACCOUNT, placed.order_link_id, "no margin", T0 + BAR))
    [found], [notify] = of(Order, effects), of(Notify, effects)
    assert (found.status, found.reject_reason) == (OrderStatus.REJECTED, "no margin")
    assert (notify.notice.kind, notify.notice.text) == (NoticeKind.ORDER_REJECTED, "no margin")
    assert of(Submit, candle(desk, 1, 100, SELL_NOW))


@pytest.mark.parametrize(
    "event",
    [
        OrderAccepted(ACCOUNT, "unknown", "P9", T0),
        OrderRejected(ACCOUNT, "unknown", "why", T0),
        OrderCanceled(ACCOUNT, "unknown", "why", T0),
    ],
    ids=lambda event: type(event).__name__,
)
def test_news_of_an_unknown_order_changes_nothing(event):
    desk = core()
    before = memory(desk)
    assert desk.step(event) == []
    assert memory(desk) == before


def test_funding_is_booked_to_account_and_position():
    desk = core()
    entered(desk)
    effects = desk.step(
        FundingSettled(ACCOUNT, BTC, T0 + 8 * HOUR_MS, D("0.5"), RATE, D(100), D(-50))
    )
    [payment], [position] = of(Funding, effects), of(Position, effects)
    assert (payment.bot_id, payment.amount, payment.rate) == (BOT, D("0.5"), RATE)
    assert position.funding == D("0.5")
    assert desk.view().accounts[0].ledger.funding == D("0.5")


def test_funding_told_twice_is_booked_once():
    desk = core()
    entered(desk)
    settled = FundingSettled(ACCOUNT, BTC, T0 + 8 * HOUR_MS, D("0.5"), RATE, D(100), D(-50))
    desk.step(settled)
    assert desk.step(settled) == []
    assert desk.view().accounts[0].ledger.funding == D("0.5")


def test_funding_that_comes_after_the_close_still_reaches_the_account():
    desk = core()
    effects = desk.step(
        FundingSettled(ACCOUNT, BTC, T0 + 8 * HOUR_MS, D("0.5"), RATE, D(100), D(-50))
    )
    assert len(of(Funding, effects)) == 1
    assert of(Position, effects) == []
    assert desk.view().accounts[0].ledger.balance == D("10000.5")


def test_a_trade_carries_fees_funding_and_the_money_after_it():
    desk = core()
    entered(desk)
    desk.step(FundingSettled(ACCOUNT, BTC, T0 + 8 * HOUR_MS, D("0.5"), RATE, D(100), D(-50)))
    stopped = execution(
        quantity="50", price="101", fee="2", ts=T0 + DAY_MS, trigger=Reason.STOP_LOSS
    )
    effects = desk.step(Executed(stopped))
    [trade], [notify] = of(Trade, effects), of(Notify, effects)
    assert (trade.trade_id, trade.gross_pnl, trade.net_pnl) == (1, D(-50), D("-51.5"))
    assert notify.notice.balance == D("9948.5")


# -- exits -------------------------------------------------------------------------------


def test_an_inactive_regime_ends_the_trade_with_a_reducing_order():
    desk = core()
    entered(desk)
    effects = candle(desk, 1, 105, LEAVE_NOW)
    [decision], [placed] = of(Decision, effects), of(Order, effects)
    assert (decision.action, decision.reason) == (Action.EXIT, Reason.MA_EXIT)
    assert (decision.side, decision.approved) == (BUY, True)
    assert (placed.side, placed.quantity, placed.reduce_only) == (BUY, D(50), True)
    assert effects[-1] == Submit(placed)


def test_leaving_with_nothing_held_is_nothing():
    assert candle(core(), 0, 100, LEAVE_NOW) == []


def test_an_exit_underway_is_not_sent_twice():
    desk = core()
    entered(desk)
    assert of(Submit, candle(desk, 1, 105, LEAVE_NOW))
    assert candle(desk, 2, 105, LEAVE_NOW) == []


def test_a_refused_exit_is_tried_again_on_the_next_bar():
    desk = core()
    entered(desk)
    [placed] = of(Order, candle(desk, 1, 105, LEAVE_NOW))
    desk.step(OrderRejected(ACCOUNT, placed.order_link_id, "busy", T0))
    assert of(Submit, candle(desk, 2, 105, LEAVE_NOW))


def cooling(index: int, wish: float, max_age: int = 0) -> list[Effect]:
    """What bar `index` does, with an hour of cool-down running from the entry at bar 1's open."""
    desk = core(bot(puppet(exits=HOUR_COOLDOWN._replace(max_age_ms=max_age))))
    entered(desk)
    return candle(desk, index, 100, wish)


def test_the_cool_down_after_an_entry_holds_the_regime_exit_back():
    assert of(Submit, cooling(11, LEAVE_NOW)) == []
    assert of(Submit, cooling(12, LEAVE_NOW)) != []  # closes an hour after the entry


def test_the_cool_down_does_not_hold_the_age_exit_back():
    [placed] = of(Order, cooling(6, LEAVE_NOW, max_age=30 * 60_000))
    assert placed.reason is Reason.TIME_EXIT


def test_a_position_leaves_at_its_greatest_age():
    assert of(Submit, cooling(12, 0, max_age=HOUR_MS + 1)) == []
    [placed] = of(Order, cooling(12, 0, max_age=HOUR_MS))
    assert (placed.reason, placed.reduce_only) == (Reason.TIME_EXIT, True)


def test_the_cool_down_after_an_exit_holds_the_next_entry_back():
    desk = core(bot(puppet(exits=HOUR_COOLDOWN)))
    entered(desk)
    ts = T0 + 20 * BAR
    desk.step(Executed(execution(quantity="50", ts=ts, trigger=Reason.STOP_LOSS)))
    [refused] = of(Decision, candle(desk, 30, 100, SELL_NOW))
    assert (refused.gate, refused.detail) == ("cool-down", "5 min left")
    assert of(Submit, candle(desk, 31, 100, SELL_NOW))


def test_funding_starts_no_cool_down():
    desk = core(bot(puppet(exits=HOUR_COOLDOWN)))
    entered(desk)
    desk.step(FundingSettled(ACCOUNT, BTC, T0 + 12 * BAR, D(1), RATE, D(100), D(-50)))
    assert of(Submit, candle(desk, 12, 100, LEAVE_NOW))


@pytest.mark.parametrize("happen", [paused, halted])
@pytest.mark.parametrize("aged", [False, True])
def test_exits_run_while_entries_do_not(happen, aged):
    exits = NO_EXITS._replace(max_age_ms=HOUR_MS) if aged else NO_EXITS
    desk = core(bot(puppet(exits=exits), symbols=(BTC, ETH)))
    entered(desk)
    happen(desk)
    assert of(Submit, candle(desk, 20, 100, SELL_NOW, symbol=ETH)) == []
    [placed] = of(Order, candle(desk, 20, 100, 0 if aged else LEAVE_NOW))
    assert placed.reduce_only


# -- people ------------------------------------------------------------------------------


def instructed(desk: Core, instruction, request_id: int = 7, ts: int = T0) -> list[Effect]:
    return desk.step(Instructed(instruction, OPERATING, request_id, ts))


def test_a_pause_is_answered_audited_stored_and_told():
    desk = core()
    effects = instructed(desk, PauseBot(BOT))
    assert of(Answer, effects) == [Answer(7, Done(f"{BOT} is paused."))]
    assert of(Audit, effects) == [Audit(Act(T0, "console:root", "PauseBot", f"{BOT} is paused."))]
    assert [effect.fact.status for effect in effects if isinstance(effect, Record)] == [
        BotStatus.PAUSED
    ]
    assert of(Notify, effects)[0].notice.kind is NoticeKind.BOT_PAUSED


def test_a_resumed_bot_enters_again():
    desk = core()
    instructed(desk, PauseBot(BOT))
    [asked] = of(Answer, instructed(desk, ResumeBot(BOT)))
    assert of(Submit, candle(desk, 0, 100, SELL_NOW)) == []
    yes = Decide(human(OPERATING), asked.result.proposal.proposal_id, True, Way.TYPED)
    assert of(Answer, instructed(desk, yes)) == [Answer(7, Done(f"{BOT} is resumed."))]
    assert of(Submit, candle(desk, 1, 100, SELL_NOW))


def test_pausing_twice_says_so_and_tells_nobody():
    desk = core()
    instructed(desk, PauseBot(BOT))
    effects = instructed(desk, PauseBot(BOT))
    assert of(Answer, effects) == [Answer(7, Done(f"{BOT} is already paused."))]
    assert of(Notify, effects) == []


def test_an_unknown_bot_is_refused_and_audited():
    effects = instructed(core(), PauseBot("nobody"))
    assert of(Answer, effects) == [Answer(7, NotDone("There is no bot 'nobody'."))]
    assert len(of(Audit, effects)) == 1


def test_commands_are_audited():
    effects = core().step(CommandRun("telegram:7", "/status", "ok", T0))
    assert effects == [Audit(Act(T0, "telegram:7", "command", "/status: ok"))]


def test_starting_stopping_and_halting_are_audited():
    desk = core()
    acts = [
        *of(Audit, desk.step(DeskStarted("1.0", 3, T0))),
        *of(Audit, desk.step(DeskHalted("books differ", T0))),
        *of(Audit, desk.step(DeskStopped(T0))),
    ]
    assert [(audit.act.action, audit.act.detail) for audit in acts] == [
        ("started", "version 1.0, epoch 3"),
        ("halted", "books differ"),
        ("stopped", ""),
    ]
    assert desk.view().halted == "books differ"


def test_the_end_of_the_market_is_told_once():
    desk = core()
    candle(desk, 0)
    assert desk.step(MarketEnded(T0)) == [Notify(Notice(NoticeKind.MARKET_ENDED, T0))]
    assert desk.step(MarketEnded(T0)) == []
    assert desk.view().market_ended
    candle(desk, 1)
    assert not desk.view().market_ended


def test_a_remark_on_the_market_is_told():
    [effect] = core().step(MarketRemarked(T0, "two bars are missing"))
    assert effect.notice.text == "two bars are missing"


# -- equity ------------------------------------------------------------------------------


def points(effects: list[Effect]) -> list[tuple[float, Decimal, Decimal]]:
    """Equity points: hours since midnight, balance, equity."""
    return [((p.ts - T0) / HOUR_MS, p.balance, p.equity) for p in of(EquityPoint, effects)]


def test_equity_is_sampled_at_full_hours_once_the_market_is_past_them():
    desk = core()
    effects = [effect for index in range(30) for effect in candle(desk, index, 100 + index)]
    assert points(effects) == [(1, D(10_000), D(10_000)), (2, D(10_000), D(10_000))]


def test_a_sample_does_not_close_a_group():
    desk = core()
    effects = [effect for index in range(30) for effect in candle(desk, index)]
    assert {type(effect) for effect in effects} == {Sample}


def test_a_sample_values_positions_at_the_last_close_of_its_hour():
    """Short 50 from 100; the bar that closes at 01:00 closes at 98, the next one at 90."""
    desk = core()
    entered(desk)
    for index in range(1, 12):
        candle(desk, index, 98)
    assert points(candle(desk, 12, 90)) == [(1, D(10_000), D(10_100))]


def test_all_symbols_are_valued_before_the_first_moves_on():
    desk = core(bot(symbols=(BTC, ETH)))
    entered(desk)
    for index in range(12):
        candle(desk, index, 100)
        candle(desk, index, 50, symbol=ETH)
    assert len(points(candle(desk, 12, 90))) == 1
    assert points(candle(desk, 12, 50, symbol=ETH)) == []


def test_a_stop_after_the_hour_is_not_in_the_hours_sample():
    """The exchange speaks of the bar after the hour before that bar itself is taken."""
    desk = core()
    entered(desk)
    for index in range(1, 12):
        candle(desk, index, 98)
    stopped = execution(quantity="50", price="90", ts=T0 + 13 * BAR, trigger=Reason.TAKE_PROFIT)
    effects = [*desk.step(Executed(stopped)), *candle(desk, 12, 90)]
    assert points(effects) == [(1, D(10_000), D(10_100))]


def test_a_fill_at_the_hour_is_in_the_hours_sample():
    desk = core()
    entered(desk)
    for index in range(1, 12):
        candle(desk, index, 98)
    left = execution(quantity="50", price="98", ts=T0 + HOUR_MS, trigger=Reason.STOP_LOSS)
    effects = [*desk.step(Executed(left)), *candle(desk, 12, 90)]
    assert points(effects) == [(1, D(10_100), D(10_100))]


def test_funding_after_the_hour_is_not_in_the_hours_sample():
    """A gap from 00:55 to 08:00: what is settled there comes after the sample of 01:00."""
    desk = core()
    entered(desk)
    for index in range(1, 11):
        candle(desk, index, 98)
    settled = FundingSettled(ACCOUNT, BTC, T0 + 8 * HOUR_MS, D(7), RATE, D(98), D(-50))
    effects = [*desk.step(settled), *candle(desk, 96, 98)]
    assert points(effects) == [(1, D(10_000), D(10_100)), (8, D(10_007), D(10_107))]


def test_hours_without_a_market_are_not_invented():
    desk = core()
    candle(desk, 0)
    assert points(candle(desk, 60)) == [(1, D(10_000), D(10_000))]
    assert points(candle(desk, 72)) == [(6, D(10_000), D(10_000))]


# -- bots apart --------------------------------------------------------------------------


def test_an_event_for_one_bot_does_not_alter_another():
    """T7. Two bots, the same symbol, each with its own account."""
    desk = core(bot(), bot(bot_id=OTHER))
    placed, others = of(Order, candle(desk, 0, 100, SELL_NOW))
    before = account_of(desk, OTHER)
    desk.step(OrderAccepted(ACCOUNT, placed.order_link_id, "P1", T0))
    desk.step(Executed(execution(placed, fee="5")))
    desk.step(FundingSettled(ACCOUNT, BTC, T0, D(1), RATE, D(100), D(-50)))
    desk.step(Executed(execution(quantity="50", price="90", trigger=Reason.STOP_LOSS)))
    desk.step(Instructed(PauseBot(BOT), OPERATING, 1, T0))
    assert account_of(desk, OTHER) == before
    assert desk.view().open_orders == (others,)
    assert [b.status for b in desk.view().bots] == [BotStatus.PAUSED, BotStatus.ACTIVE]


def account_of(desk: Core, bot_id: str) -> object:
    return [view for view in desk.view().accounts if view.bot_id == bot_id]


# -- longer bars -------------------------------------------------------------------------


def test_a_strategy_of_longer_bars_is_asked_when_they_close():
    desk = core(bot(puppet(timeframe=3 * BAR)))
    wishes = [0, 0, SELL_NOW]
    decided = [of(Decision, candle(desk, i, 100 + i, wish)) for i, wish in enumerate(wishes)]
    assert [len(found) for found in decided] == [0, 0, 1]
    assert (decided[2][0].price, decided[2][0].ts) == (102.0, T0 + 3 * BAR)


def test_a_longer_bar_begun_before_a_restart_is_finished_after_it():
    def build() -> Core:
        return core(bot(puppet(timeframe=3 * BAR)))

    desk = build()
    candle(desk, 0, 100, SELL_NOW)
    again = restarted(desk, build())
    candle(again, 1)
    assert of(Decision, candle(again, 2))


# -- memory ------------------------------------------------------------------------------


def at_once(coroutine: Coroutine[None, None, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


class Bench:
    """A core and a paper exchange in lockstep, as the runtime drives them, with stored rows."""

    def __init__(self, bots, symbols=(BTC,), rows=None, fills=()) -> None:
        rules = {symbol: MAJORS[symbol] for symbol in symbols}
        frictions = PaperSettings(slippage_max=0.0005, partial_fills=True)
        self.core = Core(bots, rules, BAR, "paper", "test", POLICY)
        self.books = {
            b.account: PaperBook(b.account, b.capital, frictions, rules, lambda *_: RATE)
            for b in bots
        }
        self.exchange = PaperExchange(
            list(self.books.values()), {b.account: b.symbols for b in bots}
        )
        self.rows: dict[str, StateRow] = dict(rows or {})
        if rows:
            self.core.restore(self.rows, fills)
            self.exchange.restore(self.rows)

    def take(self, candle: Candle, symbol: str = BTC) -> list[Effect]:
        event = closed(candle, symbol)
        effects = [e for answer in self.exchange.on_candle(event) for e in self.core.step(answer)]
        effects += self.core.step(event)
        for effect in list(effects):
            if isinstance(effect, Submit | Cancel):
                for answer in at_once(self.exchange.carry_out(effect)):
                    effects += self.core.step(answer)
        return effects

    def store(self) -> dict[str, StateRow]:
        for row in [*self.core.dirty_states(), *self.exchange.dirty_states()]:
            self.rows[row.key] = row
        return self.rows


def wandering(count: int, seed: int = 11) -> list[Candle]:
    """Bars of a random walk with wishes in them, lively enough for every kind of exit."""
    random, price, made = Random(seed), 60_000.0, []
    for index in range(count):
        close = round(price * (1 + random.gauss(0, 0.004)), 1)
        high = round(max(price, close) + random.random() * 150, 1)
        low = round(min(price, close) - random.random() * 150, 1)
        wish = random.choice([0, 0, 0, SELL_NOW, BUY_NOW, LEAVE_NOW])
        made.append(bar(index, price, high, low, close, wish))
        price = close
    return made


LIVELY = Exits(0.01, 0.02, 0.005, 0.008, 6 * HOUR_MS, HOUR_MS // 2)


def lively_bots():
    return [
        bot(puppet(exits=LIVELY)),
        bot(puppet(exits=LIVELY, timeframe=3 * BAR), bot_id=OTHER),
    ]


def crashing(
    bots, candles: list[Candle], every: int, symbols: tuple[str, ...] = (BTC,)
) -> tuple[list[Effect], Bench]:
    """All effects of a desk that is thrown away and restored after every so many candles."""
    bench, effects, fills = Bench(bots, symbols), [], []
    for number, (candle_, symbol) in enumerate(product(candles, symbols), start=1):
        found = bench.take(candle_, symbol)
        effects += found
        fills += of(Fill, found)
        bench.store()
        if every and number % every == 0:
            bench = Bench(bots, symbols, rows=bench.rows, fills=fills)
    return effects, bench


@pytest.mark.parametrize("every", [1, 2, 7, 50])
def test_a_desk_restored_after_every_few_candles_goes_on_the_same(every):
    candles = wandering(600)
    whole, bench = crashing(lively_bots(), candles, 0)
    cut, restored = crashing(lively_bots(), candles, every)
    assert cut == whole
    assert memory(restored.core) == memory(bench.core)
    assert {reason for t in of(Trade, whole) for reason in [t.close_reason]} > {
        Reason.STOP_LOSS,
        Reason.TAKE_PROFIT,
        Reason.MA_EXIT,
    }


SAFE = LIVELY._replace(break_even=0.004, break_even_buffer=0.001, losing_age_ms=2 * HOUR_MS)
PICKY = OPEN._replace(flips=3, confirmed=1)


def slotted_bots():
    """One with a slot for two symbols, and longer bars in the view of its own."""
    sizing = USUAL_SIZING._replace(slots=1, free_at_break_even=1)
    strategy = puppet(SAFE, sizing, timeframe=BAR, higher=3 * BAR, pipeline=PICKY)
    return [bot(strategy, symbols=(BTC, ETH))]


@pytest.mark.parametrize("every", [1, 3])
def test_a_desk_with_few_slots_goes_on_the_same_also_when_cut_between_two_symbols(every):
    candles = wandering(600)
    whole, bench = crashing(slotted_bots(), candles, 0, (BTC, ETH))
    cut, restored = crashing(slotted_bots(), candles, every, (BTC, ETH))
    assert cut == whole
    assert memory(restored.core) == memory(bench.core)
    gates = {decision.gate for decision in of(Decision, whole)}
    assert gates >= {"", "free slot", "confirmed", "calm market", "one position a symbol"}
    assert {trade.symbol for trade in of(Trade, whole)} == {BTC, ETH}


def test_the_short_seller_over_real_candles_goes_on_the_same_wherever_it_was_cut(recorded):
    candles = list(recorded(BTC_5M))[:8_000]
    seller = [bot(shortseller.STRATEGY)]
    whole, bench = crashing(seller, candles, 0)
    cut, restored = crashing(seller, candles, 613)
    assert cut == whole
    assert memory(restored.core) == memory(bench.core)
    assert len(of(Trade, whole)) > 10


def test_money_and_positions_are_the_fold_of_all_fills():
    effects, bench = crashing(lively_bots(), wandering(600), 0)
    for account, state in bench.core.accounts().items():
        fills = [f for f in of(Fill, effects) if f.account == account]
        paid = [p for p in of(Funding, effects) if p.account == account]
        folded = fold(account, D(10_000), fills, paid)
        assert folded.ledger == state.ledger == bench.books[account].state.ledger
        assert folded.quantities == {
            s: p.quantity for s, p in state.positions.items() if not p.is_flat
        }
        trades = [t for t in of(Trade, effects) if t.account == account]
        open_part = sum(
            (p.realized - p.commission + p.funding for p in state.positions.values()), D(0)
        )
        assert state.ledger.net == sum((t.net_pnl for t in trades), D(0)) + open_part
        assert state.ledger.trades == len(trades) > 5


def test_only_what_changed_is_stored_again():
    desk = core(bot(), bot(bot_id=OTHER, symbols=(ETH,)))
    candle(desk, 0)
    candle(desk, 0, symbol=ETH)
    desk.dirty_states()
    candle(desk, 1)
    keys = [row.key for row in desk.dirty_states()]
    assert keys == ["desk:paper-test", f"slot:{ACCOUNT}:puppet:{BTC}"]


def test_another_market_opens_other_books():
    desk = core()
    entered(desk)
    elsewhere = replace(bot(), account="paper-else-shortseller_001")
    other = Core([elsewhere], {BTC: instrument()}, BAR, "paper", "else", POLICY)
    other.restore(rows(desk), [])
    assert other.cursors == {}
    assert held(other) == {}


def test_unfinished_orders_come_oldest_first():
    desk = core(bot(bot_id="zebra"), bot(bot_id="ant", symbols=(ETH,)))
    [first] = of(Order, candle(desk, 0, 100, SELL_NOW))
    [second] = of(Order, candle(desk, 1, 100, SELL_NOW, symbol=ETH))
    assert desk.unfinished() == [Resume(first), Resume(second)]


def test_every_id_on_the_wire_is_legal():
    effects, _ = crashing(lively_bots(), wandering(200), 0)
    ids = [placed.order_link_id for placed in of(Order, effects)]
    assert ids
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,36}", link_id) for link_id in ids)


# -- views -------------------------------------------------------------------------------


def test_an_account_is_worth_its_balance_and_its_open_profit():
    desk = core()
    entered(desk)
    candle(desk, 1, 98)
    [account] = desk.view().accounts
    assert (account.unrealized, account.equity, account.margin) == (D(100), D(10_100), D(500))


def test_an_open_position_shows_the_protection_of_its_entry():
    desk = core(bot(puppet(exits=Exits(0.01, 0.03, 0.01, 0.02, 0, 0))))
    entered(desk, price=1000)
    [view] = desk.view().positions
    assert (view.stop_loss, view.take_profit, view.price) == (D(1010), D(970), D(1000))


def test_a_view_is_a_copy():
    desk = core()
    candle(desk, 0, 100)
    view = desk.view()
    candle(desk, 1, 200)
    assert (view.candles, view.prices) == (1, {BTC: 100.0})


def test_memory_that_a_newer_version_wrote_is_refused():
    desk = core()
    candle(desk, 0)
    rows = {row.key: replace(row, version=99) for row in desk.dirty_states()}
    with pytest.raises(BadSettings, match=r"version 99.*knows up to 1"):
        core().restore(rows, [])


def test_a_stop_that_the_exchange_trails_is_shown_where_it_stands():
    desk = core()
    entered(desk)
    assert desk.step(StopMoved(ACCOUNT, BTC, D("99.5"), T0 + 2 * BAR)) == []
    [shown] = restarted(desk, core()).view().positions
    assert shown.stop_loss == D("99.5")
