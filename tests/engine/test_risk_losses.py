"""Limits of losses at work: day, week, month and drawdown cut sizes and stop entries, and no exit.

The account has 10,000 and is short of 50 coins at 100: at 104 it has lost 2 %, at 106 it is 3 %.
"""

from dataclasses import replace

import pytest

from engine.effect import Notify, Submit
from engine.event import Executed, FundingSettled
from engine.instruction import ClearCooldown, ClosePosition, PlaceOrder
from engine.limits import USUAL_LIMITS, Caps, Ladder, Limits, Span, Step
from engine.order import Reason
from engine.people import Role
from engine.position import Trade
from engine.signal import Decision
from engine.standing import Lock, window
from tests.askers import asking
from tests.engine.conftest import (
    ACCOUNT,
    BOT,
    BTC,
    BUY,
    LEAVE_NOW,
    SELL_NOW,
    T0,
    D,
    execution,
    puppet,
)
from tests.engine.cores import ETH, of
from tests.engine.limited import (
    BARS_A_DAY,
    HOUR,
    NEXT_DAY,
    enter,
    fill,
    leave,
    limited,
    size,
    tally,
    told,
    wish,
)
from tests.engine.office import ANN, TOM, Office

DAY_LADDER = Ladder(D("0.02"), D("0.03"))
ONLY_DAY = Limits(day=DAY_LADDER)
SOL = "SOLUSDT"


def short_at(price: float, limits: Limits = ONLY_DAY, **more: object) -> Office:
    """A desk that is short of BTC since 100, with its price at the close of bar 1."""
    office = limited(limits, **more)
    enter(office, 0)
    office.candle(1, price)
    return office


# -- a day -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "quantity"),
    [
        (100, "50"),
        (90, "52.5"),
        (103.9, "49"),
        (104, "24.5"),
        (105.9, "24.2"),
    ],
)
def test_losses_of_a_day_halve_new_sizes_from_the_edge_on(price, quantity):
    assert size(short_at(price), 1) == D(quantity)


def test_losses_of_a_day_stop_entries_from_the_edge_on():
    decision = wish(short_at(106), 1)
    assert not decision.approved
    assert (decision.gate, decision.detail) == (
        "daily loss",
        "-3.00% today: nothing is opened until 2025-01-02 00:00 UTC",
    )


def test_t9_a_breach_is_refused_with_the_named_layer_by_signal_and_by_hand():
    office = short_at(106)
    office.candle(1, symbol=ETH)
    refused = office.ask(PlaceOrder(BOT, ETH, BUY, D(1_000)))
    assert refused.reason == (
        "Refused by the gate daily loss: -3.00% today: nothing is opened until "
        "2025-01-02 00:00 UTC."
    )
    decision = wish(office, 2)
    assert (decision.approved, decision.gate) == (False, "daily loss")
    [why] = office.core.why(ETH)
    assert ("daily loss", False) in [(gate.gate, gate.passed) for gate in why.gates]


def test_a_stop_holds_for_the_day_whatever_is_earned_back():
    office = short_at(106)
    assert wish(office, 1).gate == "daily loss"
    office.candle(2, 100)
    decision = wish(office, 2)
    assert decision.detail == (
        "+0.00% today, after -3%: nothing is opened until 2025-01-02 00:00 UTC"
    )


def test_sizes_stay_halved_for_the_day_whatever_is_earned_back():
    office = short_at(104)
    office.candle(13, 100)
    assert size(office, 13) == D("25")


def test_the_next_utc_day_counts_from_what_is_left():
    office = short_at(106)
    assert wish(office, 1).gate == "daily loss"
    assert wish(office, NEXT_DAY - 1).gate == "daily loss"
    office.candle(NEXT_DAY, 106)
    assert size(office, NEXT_DAY) == D("48.5")


def test_what_is_lost_overnight_belongs_to_the_day_on_which_it_was_lost():
    """A day of which nothing was heard at midnight begins with the last prices before it."""
    office = short_at(102)
    office.candle(BARS_A_DAY + 50, 105)
    assert tally(office).windows[Span.DAY].equity == D(9_900)
    office.candle(BARS_A_DAY + 51, 105.96)
    assert size(office, BARS_A_DAY + 51) == D("24.2")


def test_a_loss_that_an_execution_brings_is_seen_at_once():
    office = limited(ONLY_DAY)
    entry = enter(office, 0)
    leave(office, entry, 106)
    assert [text.split(": ")[1] for text in told(office)] == ["daily loss"]


def test_funding_and_fees_are_losses_too():
    office = short_at(100)
    office.step(FundingSettled(ACCOUNT, BTC, T0 + 1, D(-300), D("0.01"), D(100), D(-50)))
    assert wish(office, 1).gate == "daily loss"


def test_a_limit_is_told_once_with_its_numbers_and_its_end():
    office = short_at(104)
    office.candle(1, 100, SELL_NOW, ETH)
    halved = (
        f"{BOT}: daily loss: -2.00% today: new sizes are halved until 2025-01-02 00:00 UTC. "
        "It was worth 10000.00. Stops, targets and exits go on."
    )
    assert told(office) == [halved]
    assert (BOT, "limit", halved) in office.audited

    office.candle(2, 106)
    wish(office, 2)
    [stopped] = told(office)
    assert "nothing is opened until 2025-01-02" in stopped
    for index in (3, 20, 40):
        office.candle(index, 106)
        wish(office, index)
        assert told(office) == []

    office.candle(BARS_A_DAY + 5, 106)
    office.candle(BARS_A_DAY + 6, 112)
    wish(office, BARS_A_DAY + 6)
    assert len(told(office)) == 1


def test_a_limit_is_watched_each_hour_without_any_signal():
    office = limited(ONLY_DAY)
    enter(office, 0)
    office.candle(10, 106)
    assert told(office) == []
    office.candle(12, 100)
    assert len(told(office)) == 1
    assert tally(office).windows[Span.DAY].step is Step.STOPPED


# -- week, month and drawdown ------------------------------------------------------------


def test_losses_of_a_week_stop_entries_until_monday():
    """T0 is a Wednesday: Monday is five days later."""
    office = short_at(114, Limits(week=Ladder(D("0.04"), D("0.07"))))
    assert wish(office, 1).detail == (
        "-7.00% this week: nothing is opened until 2025-01-06 00:00 UTC"
    )
    assert wish(office, 5 * BARS_A_DAY - 2).gate == "weekly loss"
    assert wish(office, 5 * BARS_A_DAY - 1).approved


def test_losses_of_a_month_stop_entries_until_the_first():
    office = short_at(130, Limits(month=Ladder(D("0.08"), D("0.15"))))
    assert wish(office, 1).gate == "monthly loss"
    assert wish(office, 31 * BARS_A_DAY - 2).gate == "monthly loss"
    assert wish(office, 31 * BARS_A_DAY - 1).approved


def test_a_day_may_end_while_its_week_goes_on():
    office = short_at(114, Limits(day=DAY_LADDER, week=Ladder(D("0.04"), D("0.07"))))
    assert wish(office, 1).gate == "daily loss"
    assert wish(office, NEXT_DAY).gate == "weekly loss"


DRAWDOWN = Limits(drawdown=Ladder(D("0.10"), D("0.20")))


def test_a_drawdown_counts_from_the_peak():
    office = short_at(80, DRAWDOWN)
    leave(office, enter(office, 1, ETH), 100)
    assert tally(office).windows[Span.PEAK].equity == D(11_000)
    office.candle(2, 101.9)
    assert leave(office, enter(office, 2, ETH), 100)
    assert tally(office).windows[Span.PEAK].step is Step.FREE
    office.candle(3, 102)
    assert size(office, 3) == D("24.7")


def test_a_drawdown_halves_until_a_new_peak():
    office = short_at(120, DRAWDOWN)
    office.candle(13, 100)
    entry = enter(office, 13, ETH)
    assert entry.quantity == D(25)
    leave(office, entry, 100)
    office.candle(26, 99)
    assert size(office, 26) == D("50.2")


def test_t18_a_drawdown_stops_trading_until_a_person_clears_it():
    office = short_at(140, DRAWDOWN)
    decision = wish(office, 1)
    assert (decision.gate, decision.detail) == (
        "drawdown",
        "-20.00% from the peak: nothing is opened until /cooldown clear",
    )
    for index, price in ((BARS_A_DAY, 140), (40 * BARS_A_DAY, 100), (41 * BARS_A_DAY, 60)):
        office.candle(index, price)
        assert wish(office, index).gate == "drawdown"

    proposal = office.propose(ClearCooldown(), asking(ANN))
    assert proposal.phrase.startswith("APPROVE CLEAR LIMITS ")
    office.reply(proposal, asking(ANN))

    assert wish(office, 41 * BARS_A_DAY + 1).approved


# -- clearing ----------------------------------------------------------------------------


def test_only_an_admins_phrase_begins_anew_with_the_limits():
    office = short_at(106)
    wish(office, 1)
    assert office.ask(ClearCooldown(), asking(TOM)).reason == (
        f"That needs the role {Role.ADMIN.word}; yours is {Role.TRADER.word}."
    )
    proposal = office.propose(ClearCooldown(BOT), asking(ANN))
    assert "CLEAR LIMITS SHORTSELLER001" in proposal.phrase
    office.press(proposal, asking(ANN))
    assert wish(office, 2).gate == "daily loss"
    done = office.reply(proposal, asking(ANN))
    assert done.text == (f"Begin anew with the limits of losses of {BOT}: {BOT} daily loss.")
    assert size(office, 3) == D("48.5")


def test_nothing_is_cleared_that_does_not_hold():
    office = short_at(100, USUAL_LIMITS)
    assert office.ask(ClearCooldown(), asking(ANN)).reason.startswith("No limit of losses cuts")


def test_clearing_moves_the_limits_and_never_the_hard_cap():
    office = short_at(130, caps=Caps(daily_loss=D(1_500)))
    assert wish(office, 1).gate == "daily loss"
    proposal = office.propose(ClearCooldown(), asking(ANN))
    office.reply(proposal, asking(ANN))
    assert wish(office, 2).gate == "hard caps"


# -- several at once ---------------------------------------------------------------------


def test_halvings_of_several_limits_do_not_multiply():
    office = short_at(104, Limits(day=DAY_LADDER, week=Ladder(D("0.02"), D("0.07"))))
    assert size(office, 1) == D("24.5")


ALL_STOPPED = {span: replace(window(span, T0, D(20_000)), step=Step.STOPPED) for span in Span}


def stopped(office: Office) -> Office:
    """Have every limit of an account hit, and every lock hold, for a long time."""
    kept = tally(office)
    far = T0 + 10_000 * HOUR
    kept.windows = dict(ALL_STOPPED)
    kept.rests_until = kept.shut_until = far
    kept.locks = (Lock("", "a guard", T0, far), Lock(BTC, "a guard", T0, far))
    return office


TIGHT = Caps(order_value=D(1), gross_exposure=D(1), leverage=1, orders_a_minute=1, daily_loss=D(1))


@pytest.mark.parametrize("reason", [Reason.STOP_LOSS, Reason.TAKE_PROFIT, Reason.LIQUIDATION])
def test_t8_what_the_exchange_closes_is_booked_with_every_limit_hit(reason):
    office = limited(USUAL_LIMITS, symbols=(BTC, ETH))
    entry = enter(office, 0)
    stopped(office)
    [closed] = of(Trade, leave(office, entry, 150, reason))
    assert (closed.net_pnl, closed.close_reason) == (D(-2_500), reason)


def test_t8_a_strategys_exit_goes_on_with_every_limit_hit():
    office = limited(USUAL_LIMITS)
    enter(office, 0)
    office = stopped(office)
    assert wish(office, 1).gate == "circuit breaker"
    effects = office.candle(1, 150, LEAVE_NOW)
    [sent] = of(Submit, effects)
    assert sent.order.reduce_only
    assert [each.approved for each in of(Decision, effects)] == [True]


def test_t8_an_exit_by_age_goes_on_with_every_limit_hit():
    strategy = puppet(exits=puppet().exits["*"]._replace(max_age_ms=HOUR))
    office = limited(USUAL_LIMITS, strategy=strategy)
    enter(office, 0)
    [sent] = of(Submit, stopped(office).candle(13, 150))
    assert (sent.order.reduce_only, sent.order.reason) == (True, Reason.TIME_EXIT)


def test_t8_a_person_may_close_with_every_limit_hit_and_every_cap_used_up():
    office = limited(USUAL_LIMITS)
    enter(office, 0)
    office.policy = replace(office.policy, caps=TIGHT)
    office.restart()
    stopped(office)
    office.candle(1, 150)
    proposal = office.propose(ClosePosition(BOT, BTC, D("0.5")), asking(TOM))
    office.press(proposal, asking(TOM))
    [sent] = of(Submit, office.effects)
    assert (sent.order.reduce_only, sent.order.quantity) == (True, D(25))
    assert of(Decision, fill(office, sent.order, 150)) == []


# -- restarts ----------------------------------------------------------------------------


def test_t11_limits_locks_and_streaks_survive_a_restart():
    office = short_at(104, USUAL_LIMITS)
    wish(office, 1)
    office.candle(2, 107)
    wish(office, 2)
    kept = tally(office)
    kept.locks = (Lock(ETH, "a guard", T0, T0 + HOUR),)
    kept.streak, kept.rests_until, kept.failures, kept.shut_until = 2, T0 + 3, (T0,), T0 + 4
    kept.stop_outs = (T0 + 1, T0 + 2)
    office.step(Executed(execution(side=BUY, quantity=1, trigger=Reason.STOP_LOSS, ts=T0 + 700)))
    office.restart()
    assert tally(office) == kept
    assert tally(office).windows[Span.DAY].step is Step.STOPPED
    assert wish(office, 3).gate == "daily loss"
    assert told(office) == []


def test_limits_that_nobody_set_remember_nothing():
    office = short_at(150, Limits())
    assert wish(office, 1).approved
    assert tally(office).windows == {}
    assert not [each for each in office.effects if isinstance(each, Notify)]


def test_books_of_before_there_were_limits_begin_with_what_they_are_worth():
    office = short_at(130, Limits())
    office.policy = replace(office.policy, limits=ONLY_DAY)
    office.restart()
    assert wish(office, 2).approved
    assert tally(office).windows[Span.DAY].equity == D(8_500)
