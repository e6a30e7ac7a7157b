"""The emergency stop in the books: what is recorded of it, and the word that ends it."""

from dataclasses import replace

import pytest

from engine.effect import Done, LiftLatch, NotDone, Notice, NoticeKind, Notify
from engine.event import DeskHalted, KillTold
from engine.instruction import HaltDesk, KillDesk, LockPerson, ResumeDesk
from engine.people import DESK, Role
from engine.proposal import ProposalState
from engine.tunable import Tier
from tests.askers import asking, person
from tests.engine.conftest import SELL_NOW, T0
from tests.engine.office import ANN, EVERYBODY, MINUTE, POLICY, SECOND, TOM, VIC, Office

ann, tom, vic = asking(ANN), asking(TOM), asking(VIC)
FLATTEN = KillDesk("flatten")
KILLED = "killed by tom: stop entries, withdraw all orders, close all positions"


def killed(**how) -> Office:
    desk = Office(**how)
    desk.ask(FLATTEN, tom)
    return desk


def told(desk: Office) -> list[Notice]:
    return [each.notice for each in desk.effects if isinstance(each, Notify)]


def test_a_kill_is_recorded_with_who_pulled_it():
    desk = killed()
    assert desk.core.view().halted == KILLED
    [notice] = told(desk)
    assert (notice.kind, notice.actor) == (NoticeKind.KILL, "tom")
    assert "tom pulled the emergency stop" in (notice.text or "")
    assert desk.acts[-1].action == "KillDesk"
    assert KILLED in desk.acts[-1].detail


def test_a_kill_takes_the_place_of_a_halt():
    desk = Office()
    desk.ask(HaltDesk("news"), ann)
    desk.ask(FLATTEN, tom)
    assert desk.core.view().halted == KILLED


def test_what_the_desk_records_names_whoever_did_it():
    desk = Office()
    desk.ask(KillDesk("stop", "root at the command line"), DESK)
    assert desk.core.view().halted == "killed by root at the command line: stop entries"


def test_a_restart_records_the_same_kill_without_telling_it_again():
    desk = killed()
    desk.restart()
    result = desk.ask(KillDesk("flatten", "tom"), DESK)
    assert isinstance(result, Done)
    assert told(desk) == []
    assert desk.core.view().halted == KILLED


def test_pulling_it_again_is_told_again():
    desk = killed()
    desk.ask(FLATTEN, tom)
    assert [notice.kind for notice in told(desk)] == [NoticeKind.KILL]


def test_whoever_may_trade_at_all_may_pull_it_however_bound_or_locked():
    bound = person("tom", Role.TRADER, "bot:other_001 chat:telegram:-100")
    desk = Office(people=[*(each for each in EVERYBODY if each is not TOM), bound])
    desk.ask(LockPerson("tom"), ann)
    assert isinstance(desk.ask(FLATTEN, asking(bound)), Done)
    assert desk.core.view().halted == KILLED


def test_who_may_only_look_pulls_nothing():
    desk = Office()
    assert isinstance(desk.ask(FLATTEN, vic), NotDone)
    assert desk.core.view().halted == ""


def test_only_an_approved_red_ends_it_and_lifts_the_latch():
    desk = killed()
    assert isinstance(desk.ask(ResumeDesk(), tom), NotDone)
    proposal = desk.propose(ResumeDesk(), ann)
    assert proposal.tier is Tier.RED
    assert KILLED in proposal.shown
    assert LiftLatch() not in desk.effects
    assert desk.reply(proposal, ann) == Done("Trading is on again.")
    assert LiftLatch() in desk.effects
    assert desk.core.view().halted == ""


@pytest.mark.parametrize("approved", [False, True])
def test_a_kill_voids_a_resume_that_waits_for_a_word_or_for_its_delay(approved):
    desk = killed(policy=replace(POLICY, delay_ms=MINUTE))
    proposal = desk.propose(ResumeDesk(), ann)
    if approved:
        desk.reply(proposal, ann)
    desk.ask(KillDesk("stop"), tom)
    assert desk.ended(proposal).state is ProposalState.VOID
    desk.wait(2 * MINUTE)
    assert desk.core.view().halted == "killed by tom: stop entries"
    assert LiftLatch() not in desk.effects


def test_a_latch_that_could_not_be_lifted_keeps_the_desk_halted():
    desk = killed()
    desk.reply(desk.propose(ResumeDesk(), ann), ann)
    desk.step(DeskHalted("KILLED can't be removed", T0))
    assert desk.core.view().halted == "KILLED can't be removed"


def test_each_step_is_told_and_kept():
    desk = Office()
    desk.step(KillTold("Flat: no positions.", T0 + SECOND))
    [notice] = told(desk)
    assert (notice.kind, notice.text) == (NoticeKind.KILL, "Flat: no positions.")
    assert (desk.acts[-1].action, desk.acts[-1].detail) == ("kill", "Flat: no positions.")


@pytest.mark.parametrize(("opened", "orders"), [(Office, 1), (killed, 0)])
def test_a_killed_desk_opens_nothing(opened, orders):
    desk = opened()
    desk.candle(0, 100, wish=SELL_NOW)
    assert len(desk.core.view().open_orders) == orders
