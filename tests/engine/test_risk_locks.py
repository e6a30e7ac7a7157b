"""What losses and failures lock: the rest after a streak, protections, the circuit breaker."""

import pytest

from engine.event import ExchangeFailed, Executed
from engine.instruction import LiftLocks, ResetBreaker
from engine.limits import USUAL_LIMITS, Limits
from engine.order import Reason
from engine.standing import Lock, said_time
from tests.askers import asking
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    T0,
    USUAL_SIZING,
    D,
    execution,
    order,
    puppet,
)
from tests.engine.cores import ETH
from tests.engine.limited import BARS_A_DAY, HOUR, enter, leave, limited, tally, told, trade, wish
from tests.engine.office import TOM, VIC, Office

STREAK = Limits(losses=3, losses_rest_ms=HOUR)
STOP_OUTS = Limits(stop_outs=4, stop_outs_ms=24 * HOUR, stop_outs_lock_ms=12 * HOUR)
LOSERS = Limits(losers=4, losers_ms=7 * 24 * HOUR, losers_loss=D("0.02"), losers_lock_ms=24 * HOUR)
# Fifty coins at 100, whatever is left.
ALWAYS_50 = puppet(sizing=USUAL_SIZING._replace(fixed=5_000.0))
BREAKER = Limits(failures=3, failures_ms=5 * 60_000, failures_rest_ms=15 * 60_000)


def lose(office: Office, count: int, first: int = 0, net: float = -10, **how: object) -> Office:
    """Lose on so many bars from `first` on."""
    for index in range(first, first + count):
        trade(office, index, net, **how)
    return office


# -- a streak of losses ------------------------------------------------------------------


def test_losses_in_a_row_make_a_bot_rest():
    office = lose(limited(STREAK), 3)
    ended = T0 + 3 * BAR
    assert told(office) == [
        f"{BOT}: 3 losses in a row: nothing is opened until {said_time(ended + HOUR)}. "
        "Stops, targets and exits go on."
    ]
    decision = wish(office, 3)
    assert (decision.gate, decision.detail) == (
        "loss streak",
        "3 losses in a row: 55 min of rest left",
    )
    assert wish(office, 13).gate == "loss streak"
    assert wish(office, 14).approved


def test_two_losses_are_no_streak_and_a_win_ends_one():
    office = lose(limited(STREAK), 2)
    trade(office, 2, +1)
    assert tally(office).streak == 0
    lose(office, 2, first=3)
    assert tally(office).streak == 2
    assert wish(office, 5).approved


def test_a_trade_that_ends_even_neither_makes_nor_breaks_a_streak():
    office = lose(limited(STREAK), 2)
    trade(office, 2, 0)
    assert tally(office).streak == 2


def test_the_next_loss_after_a_rest_makes_another():
    office = lose(limited(STREAK), 3)
    lose(office, 1, first=20)
    assert told(office) == [
        f"{BOT}: 4 losses in a row: nothing is opened until "
        f"{said_time(T0 + 21 * BAR + HOUR)}. Stops, targets and exits go on."
    ]


def read_again(office: Office, count: int) -> None:
    """Losing trades of the first minutes, as a history that is read again tells of them."""
    for ts in range(T0, T0 + 2 * count, 2):
        office.step(Executed(execution(order(ts=ts), ts=ts)))
        closing = execution(side=BUY, price="101", ts=ts + 1, trigger=Reason.TAKE_PROFIT)
        office.step(Executed(closing))


def test_a_loss_within_a_rest_makes_it_last_and_is_not_told_again():
    office = limited(STREAK)
    entry = enter(office, 0, ETH)
    lose(office, 3, first=1)
    leave(office, entry, 101, after=10 * BAR)
    assert told(office) == []
    assert tally(office).rests_until == T0 + 11 * BAR + HOUR


def test_what_was_closed_before_the_last_trade_and_is_read_again_does_not_count():
    office = limited(STREAK)
    trade(office, BARS_A_DAY, -10)
    read_again(office, 3)
    assert tally(office).streak == 1


def test_a_rest_that_is_over_when_it_is_heard_of_is_not_told():
    office = limited(STREAK)
    office.candle(BARS_A_DAY)
    read_again(office, 3)
    assert tally(office).streak == 3
    assert told(office) == []


# -- the stop-loss guard -----------------------------------------------------------------


@pytest.mark.parametrize("reason", [Reason.STOP_LOSS, Reason.TRAILING_STOP, Reason.LIQUIDATION])
def test_stops_that_lost_lock_a_bot(reason):
    office = lose(limited(STOP_OUTS), 4, reason=reason)
    until = T0 + 4 * BAR + 12 * HOUR
    assert tally(office).locks == (Lock("", "4 stops lost within 24 h", T0 + 4 * BAR, until),)
    [said] = told(office)
    assert f"nothing is opened there until {said_time(until)}" in said
    for symbol in (BTC, ETH):
        decision = wish(office, 4, symbol)
        assert decision.gate == "locked"
        assert decision.detail == (f"4 stops lost within 24 h: until {said_time(until)}, or /lift")
    assert wish(office, 3 + 143).gate == "locked"
    assert wish(office, 3 + 144).approved


def test_stops_are_counted_for_a_day():
    office = lose(limited(STOP_OUTS), 1, reason=Reason.STOP_LOSS)
    lose(office, 3, first=BARS_A_DAY, reason=Reason.STOP_LOSS)
    assert tally(office).locks == ()
    lose(office, 1, first=BARS_A_DAY + 3, reason=Reason.STOP_LOSS)
    assert len(tally(office).locks) == 1


@pytest.mark.parametrize(
    ("net", "reason"), [(+10, Reason.STOP_LOSS), (-10, Reason.TAKE_PROFIT)], ids=str
)
def test_a_stop_that_gained_and_a_loss_without_a_stop_do_not_count(net, reason):
    office = lose(limited(STOP_OUTS), 4, net=net, reason=reason)
    assert tally(office).stop_outs == ()


# -- a symbol that earns nothing ---------------------------------------------------------


def test_a_symbol_whose_last_trades_lost_too_much_is_locked():
    office = lose(limited(LOSERS, strategy=ALWAYS_50), 3, net=-50)
    trade(office, 3, -51)
    until = T0 + 4 * BAR + 24 * HOUR
    reason = "its last 4 trades lost 201.00, more than 200.00"
    assert tally(office).locks == (Lock(BTC, reason, T0 + 4 * BAR, until),)
    assert wish(office, 4, BTC).gate == "locked"
    assert wish(office, 4, ETH).approved
    assert wish(office, 3 + BARS_A_DAY - 1, BTC).gate == "locked"
    assert wish(office, 3 + BARS_A_DAY, BTC).approved


def test_just_two_percent_of_the_deposit_locks_nothing():
    office = lose(limited(LOSERS, strategy=ALWAYS_50), 4, net=-50)
    assert tally(office).locks == ()


def test_trades_of_another_symbol_or_of_before_do_not_count():
    office = lose(limited(LOSERS), 3, net=-100)
    trade(office, 3, -100, symbol=ETH)
    trade(office, 8 * BARS_A_DAY, -100)
    assert tally(office).locks == ()


# -- lifting -----------------------------------------------------------------------------


def locked(office: Office) -> Office:
    """Have a bot locked as a whole, and one of its symbols."""
    lose(office, 4, net=-60, reason=Reason.STOP_LOSS)
    return office


BOTH = Limits(
    stop_outs=4, stop_outs_ms=24 * HOUR, stop_outs_lock_ms=12 * HOUR,
    losers=4, losers_ms=7 * 24 * HOUR, losers_loss=D("0.02"), losers_lock_ms=24 * HOUR,
)  # fmt: skip


def test_a_person_lifts_a_lock_and_what_led_to_it_counts_no_more():
    office = locked(limited(BOTH))
    proposal = office.propose(LiftLocks(), asking(TOM))
    assert proposal.title == "Lift the locks of all bots"
    office.press(proposal, asking(TOM))
    assert tally(office).locks == ()
    assert wish(office, 5, ETH).approved
    lose(office, 1, first=6, net=-60, reason=Reason.STOP_LOSS)
    assert tally(office).locks == ()


def test_lifting_a_symbols_lock_leaves_that_of_the_bot():
    office = locked(limited(BOTH))
    office.press(office.propose(LiftLocks(BOT, BTC), asking(TOM)), asking(TOM))
    assert [each.symbol for each in tally(office).locks] == [""]
    assert wish(office, 5, BTC).gate == "locked"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (LiftLocks("", ETH), "No lock is there to lift"),
        (LiftLocks("nobody", ""), "bot: 'nobody' is not valid. Allowed: shortseller_001."),
        (ResetBreaker(), "The circuit breaker is not open."),
    ],
)
def test_what_would_do_nothing_is_refused(asked, error):
    office = locked(limited(BOTH))
    assert office.ask(asked, asking(TOM)).reason.startswith(error)


def test_who_may_only_look_lifts_nothing():
    office = locked(limited(BOTH))
    assert office.ask(LiftLocks(), asking(VIC)).reason.startswith("That needs the role trader")


def test_a_lock_that_ended_is_not_lifted():
    office = locked(limited(BOTH))
    office.candle(2 * BARS_A_DAY)
    assert office.ask(LiftLocks(), asking(TOM)).reason.startswith("No lock is there to lift")


# -- the circuit breaker -----------------------------------------------------------------


def fail(office: Office, *seconds: int) -> Office:
    for each in seconds:
        office.step(ExchangeFailed(ACCOUNT, "5xx", T0 + each * 1000))
    return office


def test_failures_of_the_exchange_shut_entries_until_there_was_none_for_a_while():
    office = fail(limited(BREAKER), 0, 299)
    assert wish(office, 0).approved
    fail(office, 299)
    until = T0 + 299_000 + 15 * 60_000
    assert told(office) == [
        f"{BOT}: circuit breaker: the exchange failed 3 times within 5 min, last with: 5xx. "
        "Nothing is opened until it did not fail for 15 min, or /breaker reset. "
        "Stops, targets and exits go on."
    ]
    decision = wish(office, 1, BTC)
    assert (decision.gate, decision.detail) == (
        "circuit breaker",
        f"the exchange failed: shut until {said_time(until)}, or /breaker reset",
    )
    assert wish(office, 2, BTC).gate == "circuit breaker"
    assert wish(office, 3, BTC).approved


def test_failures_far_apart_shut_nothing():
    office = fail(limited(BREAKER), 0, 1, 301)
    assert tally(office).shut_until == 0


def test_a_failure_while_shut_makes_it_last_and_is_not_told_again():
    office = fail(limited(BREAKER), 0, 1, 2)
    fail(office, 800)
    assert told(office) == []
    assert tally(office).shut_until == T0 + 800_000 + 15 * 60_000


def test_a_person_resets_the_breaker():
    office = fail(limited(BREAKER), 0, 1, 2)
    proposal = office.propose(ResetBreaker(), asking(TOM))
    office.press(proposal, asking(TOM))
    assert wish(office, 0).approved
    fail(office, 3, 4)
    assert tally(office).shut_until == 0


def test_failures_of_an_account_that_is_gone_are_nobodys():
    office = limited(USUAL_LIMITS)
    assert office.step(ExchangeFailed("live-bybit-gone", "5xx", T0)) == []


def test_without_a_breaker_failures_are_not_counted():
    office = fail(limited(), 0, 1, 2)
    assert tally(office).failures == ()
