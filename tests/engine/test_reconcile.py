"""Books and a real exchange: what shuts entries, what is told, and the ways to mend it."""

from dataclasses import replace

import pytest

from engine.booking import reduction
from engine.candle import DAY_MS, MINUTE_MS
from engine.core import Core
from engine.effect import (
    Effect,
    Notify,
    Protect,
    ReadHistory,
    Resume,
    Submit,
    WithdrawThere,
)
from engine.event import (
    DeskStarted,
    ExchangeLink,
    Executed,
    FundingSettled,
    HistoryRead,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    PriceTicked,
    Surveyed,
    Unprotected,
    Unreadable,
)
from engine.instruction import Accept, ArmAccount, CancelThere, SyncHistory
from engine.memory import Memory
from engine.order import ZERO, Fill, Order, OrderStatus, Reason, order_link_id
from engine.reconcile import SURVEY_AGE_MAX_MS, run, shut
from engine.survey import HeldThere, RestingThere, Survey
from tests.askers import OPERATING, POLICY
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    LEAVE_NOW,
    SELL,
    T0,
    D,
    bot,
    execution,
    instrument,
)
from tests.engine.cores import ETH, candle, filled, memory, of

LIVE = replace(POLICY, surveys=True)
REAL = replace(LIVE, real_money=True)
UID = "100200300"


def core(policy=LIVE, symbols=(BTC,), **exits: object) -> Core:
    rules = {symbol: instrument(symbol) for symbol in symbols}
    bots = [replace(bot(), symbols=symbols)]
    return Core(bots, rules, BAR, "paper", "test", policy)


def started(policy=LIVE, symbols=(BTC,)) -> Core:
    """A desk that is connected, found what it expected, and may trade."""
    desk = core(policy, symbols)
    desk.step(DeskStarted("1.0", 1, T0))
    desk.step(ExchangeLink(ACCOUNT, "", T0))
    look(desk)
    return desk


def look(desk: Core, *held: HeldThere, orders=(), ts: int = T0, until: int = T0) -> list[Effect]:
    survey = Survey(held, tuple(orders), D(10_000), D(9_000), UID)
    return desk.step(Surveyed(ACCOUNT, survey, until, ts))


def entered(desk: Core, stop: str | None = None) -> Order:
    """A short of 50 in the books, as the puppet's usual sizing makes it, with a stop or without."""
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    filled(desk, submit.order)
    if stop:
        inside(desk).accounts[ACCOUNT].entries[BTC] = replace(submit.order, stop_loss=D(stop))
    return submit.order


def inside(desk: Core) -> Memory:
    return desk._memory


def told(effects: list[Effect]) -> list[str]:
    return [each.notice.text or "" for each in of(Notify, effects)]


def short(quantity: str, **more: object) -> HeldThere:
    return HeldThere(BTC, -D(quantity), **more)


# -- whether entries are open ------------------------------------------------------------


def test_on_paper_nothing_has_to_agree():
    assert shut(inside(core(POLICY)), ACCOUNT) == ""


def test_a_desk_that_begins_opens_nothing_before_books_and_exchange_were_compared():
    desk = core()
    desk.step(DeskStarted("1.0", 1, T0))
    assert "can't be heard" in shut(inside(desk), ACCOUNT)
    desk.step(ExchangeLink(ACCOUNT, "", T0))
    assert "not compared yet" in shut(inside(desk), ACCOUNT)
    look(desk)
    assert shut(inside(desk), ACCOUNT) == ""


def test_a_restart_forgets_that_they_agreed():
    desk = started()
    desk.step(DeskStarted("1.0", 2, T0))
    assert shut(inside(desk), ACCOUNT)


def test_a_lost_connection_shuts_the_entries_of_its_account():
    desk = started()
    desk.step(ExchangeLink(ACCOUNT, "the stream is down", T0))
    assert shut(inside(desk), ACCOUNT).endswith("the stream is down")


def test_without_a_survey_for_long_nothing_is_opened():
    desk = started()
    assert shut(inside(desk), ACCOUNT, ts=T0 + SURVEY_AGE_MAX_MS) == ""
    assert "last compared" in shut(inside(desk), ACCOUNT, ts=T0 + SURVEY_AGE_MAX_MS + MINUTE_MS)


def test_real_money_waits_for_somebody_to_arm_the_account():
    desk = started(REAL)
    assert "/arm" in shut(inside(desk), ACCOUNT)
    result, effects = run(inside(desk), ArmAccount(UID), OPERATING, T0)
    assert UID in result.text and UID in told(effects)[0]
    assert shut(inside(desk), ACCOUNT) == ""


def test_only_an_account_that_was_heard_of_can_be_armed():
    result, _ = run(inside(started(REAL)), ArmAccount("7"), OPERATING, T0)
    assert "7" in result.reason and UID in result.reason


# -- differences -------------------------------------------------------------------------


def test_a_position_that_agrees_changes_nothing():
    desk = started()
    entered(desk)
    assert told(look(desk, short("50"))) == []
    assert shut(inside(desk), ACCOUNT) == ""


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ((), "the books hold 50 short, the exchange nothing"),
        ((short("30"),), "the books hold 50 short, the exchange 30 short"),
        ((HeldThere(BTC, D(50)),), "the books hold 50 short, the exchange 50 long"),
    ],
)
def test_a_position_that_differs_shuts_entries_at_once_and_is_told_the_second_time(there, said):
    desk = started()
    entered(desk)
    assert told(look(desk, *there)) == []
    assert said in shut(inside(desk), ACCOUNT)
    [text] = told(look(desk, *there))
    assert said in text and "/reconcile" in text
    assert told(look(desk, *there)) == []


def test_a_position_that_nobody_of_ours_opened_is_a_difference_and_is_left_alone():
    desk = started()
    effects = look(desk, HeldThere(BTC, D(3))) + look(desk, HeldThere(BTC, D(3)))
    assert "the books hold nothing, the exchange 3 long" in told(effects)[0]
    assert of(Submit, effects) == []


def test_once_they_agree_again_it_is_told_and_entries_open():
    desk = started()
    entered(desk)
    look(desk)
    look(desk)
    [text] = told(look(desk, short("50")))
    assert "agree again" in text
    assert shut(inside(desk), ACCOUNT) == ""


def resting(order_id: str = "9", **changes: object) -> RestingThere:
    return replace(RestingThere(order_id, "", BTC, BUY, D(1)), **changes)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (resting(), "an order that is not the desk's"),
        (resting(order_link_id="web-1"), "an order that is not the desk's"),
        (resting(order_link_id=order_link_id(BOT, Reason.EMA_CROSS, T0, 7)), "an order of ours"),
        (resting(stop_kind="StopLoss"), "a StopLoss is left of a position that is gone"),
    ],
)
def test_an_order_that_the_books_do_not_know_is_a_difference(order, said):
    desk = started()
    look(desk, orders=[order])
    assert said in shut(inside(desk), ACCOUNT)
    assert inside(desk).accounts[ACCOUNT].doubted[0].order_id == "9"


def test_a_position_s_own_stop_is_none():
    desk = started()
    entered(desk)
    look(desk, short("50"), orders=[resting(stop_kind="StopLoss")])
    assert shut(inside(desk), ACCOUNT) == ""


def test_an_order_that_rests_in_the_books_alone_is_asked_for():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    order = submit.order
    assert of(Resume, look(desk)) == []
    desk.step(OrderAccepted(ACCOUNT, order.order_link_id, "P1", T0))
    [asked] = of(Resume, look(desk))
    assert asked.order.order_link_id == order.order_link_id


# -- stops -------------------------------------------------------------------------------


def test_a_stop_that_is_not_there_is_set_and_where_it_can_t_be_the_position_is_closed():
    desk = started()
    entered(desk, stop="110")
    first = look(desk, short("50"))
    [protect] = of(Protect, first)
    assert (protect.symbol, protect.stop_loss) == (BTC, D(110))
    assert of(Submit, first) == []
    # It may be on its way.
    assert of(Submit, look(desk, short("50"), ts=T0 + 9_000)) == []
    again = look(desk, short("50"), ts=T0 + 20_000)
    [submit] = of(Submit, again)
    assert (submit.order.reduce_only, submit.order.side, submit.order.quantity) == (True, BUY, 50)
    assert submit.order.reason is Reason.UNPROTECTED
    assert any("without a stop" in text for text in told(again))


def test_a_position_is_closed_once_however_often_it_is_said_to_be_unprotected():
    desk = started()
    entered(desk)
    gone = Unprotected(ACCOUNT, BTC, "refused twice", T0)
    assert len(of(Submit, desk.step(gone))) == 1
    assert of(Submit, desk.step(gone)) == []


def test_what_is_flat_needs_no_stop():
    assert started().step(Unprotected(ACCOUNT, BTC, "refused twice", T0)) == []


# -- what was told and can't be booked ---------------------------------------------------


def test_what_can_t_be_booked_shuts_its_symbol_until_somebody_looked():
    desk = started(symbols=(BTC, ETH))
    [text] = told(desk.step(Unreadable(ACCOUNT, BTC, "an execution of type Gift", T0)))
    assert "Gift" in text
    assert desk.step(Unreadable(ACCOUNT, BTC, "an execution of type Gift", T0)) == []
    assert "Gift" in shut(inside(desk), ACCOUNT, BTC) and not shut(inside(desk), ACCOUNT, ETH)
    result, _ = run(inside(desk), Accept(ACCOUNT, BTC), OPERATING, T0)
    assert result.text == f"{BOT} may go on." and not shut(inside(desk), ACCOUNT, BTC)


def test_a_trade_made_outside_of_the_desk_is_booked_and_shuts_its_symbol():
    desk = started()
    entered(desk)
    effects = desk.step(Executed(execution(side=BUY, quantity="20", price="90")))
    [fill] = of(Fill, effects)
    assert (fill.bot_id, fill.close_reason) == (BOT, Reason.EXTERNAL)
    assert "not the desk's" in shut(inside(desk), ACCOUNT, BTC)
    assert told(look(desk, short("30"))) == []


def test_a_trade_told_before_any_candle_is_booked_and_valued_at_its_own_price():
    desk = started()
    desk.step(Executed(execution(side=BUY, quantity="20", price="90")))
    [account] = desk.view().accounts
    assert (account.unrealized, desk.view().prices) == (0, {BTC: 90.0})


# -- history -----------------------------------------------------------------------------


def test_history_is_read_from_so_many_days_back_and_again_from_where_a_restart_cut_it():
    desk = started()
    _, [read] = run(inside(desk), SyncHistory(BOT, 90), OPERATING, T0)
    assert read == ReadHistory(ACCOUNT, T0 - 90 * DAY_MS, T0)
    desk.step(HistoryRead(ACCOUNT, T0 - 83 * DAY_MS, T0, 5, T0))
    assert desk.unfinished() == [ReadHistory(ACCOUNT, T0 - 83 * DAY_MS, T0)]
    [text] = told(desk.step(HistoryRead(ACCOUNT, T0, T0, 12, T0)))
    assert "12" in text and desk.unfinished() == []


@pytest.mark.parametrize(
    ("instruction", "named"),
    [
        (SyncHistory("nobody", 5), "nobody"),
        (SyncHistory(BOT, 0), "1 to 90"),
        (SyncHistory(BOT, 91), "1 to 90"),
        (Accept(ACCOUNT, BTC), "Nothing waits"),
        (Accept("another", BTC), "another"),
        (CancelThere(ACCOUNT, BTC, ()), "No order"),
    ],
)
def test_what_can_t_be_mended_that_way_is_refused_in_words(instruction, named):
    result, effects = run(inside(started()), instruction, OPERATING, T0)
    assert named in result.reason and effects == []


def test_strange_orders_are_withdrawn_by_their_ids():
    _, effects = run(inside(started()), CancelThere(ACCOUNT, BTC, ("9", "10")), OPERATING, T0)
    assert effects == [WithdrawThere(ACCOUNT, BTC, ("9", "10"), T0)]


def test_on_paper_there_is_nothing_to_mend():
    result, _ = run(inside(core(POLICY)), SyncHistory(BOT, 5), OPERATING, T0)
    assert "Paper" in result.reason


# -- orders whose outcome is not known ---------------------------------------------------


def test_an_order_of_unknown_outcome_stays_open_blocks_its_symbol_and_is_told_when_said_again():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    unknown = OrderUnknown(ACCOUNT, submit.order.order_link_id, "no answer", T0)
    first = desk.step(unknown)
    assert of(Order, first)[0].status is OrderStatus.UNKNOWN and told(first) == []
    assert told(desk.step(unknown)) == ["no answer"]
    assert of(Submit, candle(desk, 1, 100, 1.0)) == []


@pytest.mark.parametrize("news", [OrderCanceled, OrderRejected, OrderUnknown, OrderAccepted])
def test_news_of_an_order_that_is_over_changes_nothing(news):
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    link_id = submit.order.order_link_id
    desk.step(OrderAccepted(ACCOUNT, link_id, "P1", T0))
    desk.step(OrderCanceled(ACCOUNT, link_id, "by request", T0))
    before = memory(desk)
    last = "P1" if news is OrderAccepted else "late"
    assert desk.step(news(ACCOUNT, link_id, last, T0 + 5)) == []
    assert memory(desk) == before


def test_a_fill_that_overtook_a_cancel_is_booked_with_its_order():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    desk.step(OrderCanceled(ACCOUNT, submit.order.order_link_id, "by request", T0))
    effects = desk.step(Executed(execution(submit.order, quantity="20")))
    assert of(Order, effects)[0].filled_quantity == 20
    assert of(Fill, effects)[0].close_reason is submit.order.reason
    assert desk.view().open_orders == ()


def test_a_refusal_that_comes_after_a_fill_ends_the_order_and_keeps_the_fill():
    desk = started()
    [submit] = of(Submit, candle(desk, 0, 100, 1.0))
    desk.step(Executed(execution(submit.order, quantity="20")))
    effects = desk.step(OrderRejected(ACCOUNT, submit.order.order_link_id, "would take", T0))
    [order] = of(Order, effects)
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELED, 20)


# -- funding -----------------------------------------------------------------------------


def test_funding_that_comes_after_a_later_one_is_booked_and_each_once():
    desk = started()
    entered(desk)
    later = FundingSettled(ACCOUNT, BTC, T0 + DAY_MS, D("-2"), D("0.0001"), D(100), D(-50))
    missed = replace(later, ts=T0 + DAY_MS // 3, amount=D("-1"))
    for each in (later, missed, later, missed):
        desk.step(each)
    ledger = desk.view().accounts[0].ledger
    assert (ledger.funding, ledger.fees) == (D(-3), ZERO)


def test_books_of_the_exchange_s_account_are_known_to_the_next_process():
    desk = started()
    order = entered(desk)
    look(desk, short("50"), until=T0 + 77)
    [books] = desk.books()
    assert (books.uid, books.synced_until, books.positions) == (UID, T0 + 77, {BTC: -D(50)})
    assert books.entries[BTC].order_link_id == order.order_link_id and SELL is order.side


# -- exits that were not carried out -----------------------------------------------------


def leaving(desk: Core) -> Order:
    """A short whose exit the exchange has just refused."""
    entered(desk)
    [submit] = of(Submit, candle(desk, 1, 100, LEAVE_NOW))
    desk.step(OrderRejected(ACCOUNT, submit.order.order_link_id, "Bybit does not answer", T0))
    return submit.order


def ticked(desk: Core, seconds: int) -> list[Effect]:
    return desk.step(PriceTicked(BTC, 100.0, T0 + 2 * BAR + seconds * 1_000))


def test_an_exit_that_was_refused_is_tried_again_with_a_new_id_until_it_is_done():
    desk = started()
    first = leaving(desk)
    assert of(Submit, ticked(desk, 4)) == []
    [again] = of(Submit, ticked(desk, 5))
    assert (again.order.reason, again.order.reduce_only) == (first.reason, True)
    assert again.order.order_link_id != first.order_link_id
    assert of(Submit, ticked(desk, 60)) == []
    desk.step(Executed(execution(again.order)))
    assert of(Submit, ticked(desk, 120)) == [] and inside(desk).desk.leaving == {}


def test_each_try_waits_longer_than_the_last_up_to_a_minute():
    desk = started()
    leaving(desk)
    waits, now = [], 5
    for _ in range(6):
        [again] = of(Submit, ticked(desk, now))
        desk.step(OrderRejected(ACCOUNT, again.order.order_link_id, "no", T0))
        begun = now
        while not of(Submit, ticked(desk, now)) and now < begun + 90:
            now += 1
        waits.append(now - begun)
        [open_] = list(desk.view().open_orders)
        desk.step(OrderRejected(ACCOUNT, open_.order_link_id, "no", T0))
        now += 60
    assert waits == sorted(waits) and waits[0] == 10 and waits[-1] == 60


def test_of_an_exit_that_fails_again_and_again_people_hear_ever_more_rarely():
    desk = started()
    entered(desk)
    [submit] = of(Submit, candle(desk, 1, 100, LEAVE_NOW))
    told, now = [], 0
    for attempt in range(1, 10):
        effects = desk.step(OrderRejected(ACCOUNT, submit.order.order_link_id, "no", T0))
        told += [attempt for each in of(Notify, effects)]
        now += 61
        [submit] = of(Submit, ticked(desk, now))
    assert told == [1, 2, 4, 8]


def test_the_rest_of_an_exit_that_filled_in_part_is_closed_too():
    desk = started()
    entered(desk)
    [submit] = of(Submit, candle(desk, 1, 100, LEAVE_NOW))
    desk.step(Executed(execution(submit.order, quantity="20")))
    desk.step(OrderCanceled(ACCOUNT, submit.order.order_link_id, "price band", T0))
    [again] = of(Submit, ticked(desk, 5))
    assert again.order.quantity == 30


def test_a_close_by_hand_that_failed_is_left_to_the_person_who_sees_it():
    desk = started()
    entered(desk)
    position = inside(desk).accounts[ACCOUNT].positions[BTC]
    order = reduction(inside(desk), position, Reason.MANUAL_EXIT, T0)
    inside(desk).keep_order(order)
    desk.step(OrderRejected(ACCOUNT, order.order_link_id, "no", T0))
    assert of(Submit, ticked(desk, 90)) == []
