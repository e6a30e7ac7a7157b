"""Two desks that trade with one API key: neither can know the other, and each says what it sees."""

from dataclasses import replace

from engine.core import Core
from engine.effect import Notify
from engine.event import DeskStarted, ExchangeLink, Executed, Surveyed
from engine.instruction import SyncHistory
from engine.order import Order, Reason
from engine.reconcile import run, shut
from engine.survey import HeldThere, Survey
from tests.askers import OPERATING, POLICY
from tests.engine.conftest import ACCOUNT, BAR, BOT, BTC, T0, D, bot, execution, instrument, order
from tests.engine.cores import entered, of

LIVE = replace(POLICY, surveys=True)


def desk(policy=LIVE) -> Core:
    made = Core([bot()], {BTC: instrument()}, BAR, "paper", "test", policy)
    made.step(DeskStarted("1.0", 1, T0))
    made.step(ExchangeLink(ACCOUNT, "", T0))
    made.step(Surveyed(ACCOUNT, Survey((), (), D(10_000), D(9_000), "1"), T0, T0))
    return made


def reported(made: Core, theirs: Order, ts: int = T0 + BAR) -> list[str]:
    """What people are told when an order of the same bot of another desk is filled."""
    effects = made.step(Executed(execution(theirs, ts=ts)))
    return [each.notice.text or "" for each in of(Notify, effects) if each.notice.text]


def test_an_order_in_our_name_that_we_did_not_send_shuts_its_symbol_and_is_told_once():
    made = desk()
    theirs = order(ts=T0 + 1)
    [text] = reported(made, theirs)
    assert text.startswith(f"{BOT} {BTC}: an order in this bot's name that this desk did not send")
    assert "does another desk trade with this API key?" in text
    assert reported(made, order(ts=T0 + 2)) == []
    # Books and exchange agree all the same: both desks book whatever is executed.
    held = HeldThere(BTC, D(-2), D(100), None, None)
    survey = Survey((held,), (), D(10_000), D(9_000), "1")
    made.step(Surveyed(ACCOUNT, survey, T0 + BAR, T0 + BAR))
    assert "another desk" in shut(made._memory, ACCOUNT, BTC)


def test_our_own_orders_and_the_emergency_stop_are_nobody_elses():
    made = desk()
    entered(made)
    killed = order(reason=Reason.KILL, ts=T0 + BAR, reduce_only=True)
    assert reported(made, killed) == []
    assert shut(made._memory, ACCOUNT, BTC) == ""


def test_what_is_read_of_history_was_our_own():
    made = desk()
    run(made._memory, SyncHistory(BOT, 1), OPERATING, T0 + BAR)
    assert reported(made, order(ts=T0 - BAR), T0 - BAR) == []
    assert shut(made._memory, ACCOUNT, BTC) == ""


def test_on_paper_nobody_else_trades():
    assert reported(desk(POLICY), order(ts=T0 + 1)) == []
