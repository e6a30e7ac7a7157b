"""Ways past the gate of tuning that somebody may try, or that bad luck finds."""

from dataclasses import replace

import pytest

from engine.candle import HOUR_MS
from engine.effect import Done, NotDone, Proposed, Record, Result
from engine.errors import Refused
from engine.instruction import LockPerson, SetParameters, UndoChange
from engine.people import DESK, Role
from engine.proposal import ProposalState, shown_of
from engine.strategies import STRATEGIES
from engine.tuning import DESK_SCOPE, Band, Evidence, Source
from tests.askers import asking, person
from tests.engine.conftest import BOT, bot, puppet
from tests.engine.cores import of
from tests.engine.office import EVERYBODY
from tests.engine.tuned import Tuned, ann, tom
from tests.tunings import evidence

NAN, INF = float("nan"), float("inf")
CROSS = "macross_001"
MANY = (
    "stop_loss", "take_profit", "trail", "trail_activation", "break_even",
    "margin", "risk", "share_cap", "slots", "flips",
)  # fmt: skip


def refused(result: Result) -> str:
    assert isinstance(result, NotDone), result
    return result.reason


def present(desk: Tuned, scope: str = BOT) -> tuple[tuple[str, float], ...]:
    return tuple(desk.values()[scope].items())


def found(desk: Tuned, found_with: Evidence | None = None, **to: float) -> Result:
    """What a study asks for that tested it against the values in force."""
    backed = found_with or replace(evidence(), present=present(desk))
    wanted = SetParameters(BOT, tuple(to.items()), "it earned more", Source.TUNER, backed)
    return desk.ask(wanted, DESK)


# -- evidence ------------------------------------------------------------------------------


def test_no_person_brings_evidence_of_their_own():
    desk = Tuned()
    wanted = SetParameters(BOT, (("confidence_min", 0.05),), "trust me", evidence=evidence())
    assert "own studies" in refused(desk.ask(wanted, ann))
    assert desk.set_values() == {}


@pytest.mark.parametrize("other", ["stop_loss", "confidence_min"])
def test_evidence_is_void_once_another_value_of_the_bot_was_changed_while_it_was_found(other):
    desk = Tuned()
    before = replace(evidence(), present=present(desk))
    desk.confirm(desk.tune(**{other: 0.05 if other == "stop_loss" else 0.1}))
    why = refused(found(desk, before, warm_up=3))
    assert f"{other} of {BOT} is" in why
    assert "in the study" in why


def test_a_proposal_is_void_once_another_value_that_was_tested_is_changed():
    desk = Tuned()
    waits = found(desk, stop_loss=0.05)
    assert isinstance(waits, Proposed)
    desk.confirm(desk.tune(leverage=8))
    assert "leverage" in refused(desk.confirm(waits))
    assert desk.set_values() == {BOT: {"leverage": 8}}
    [ended] = [each for each in of(Record, desk.effects) if hasattr(each.fact, "nonce")]
    assert ended.fact.state is ProposalState.VOID


def test_evidence_of_the_values_in_force_is_taken():
    desk = Tuned()
    assert isinstance(found(desk, confidence_min=0.05), Done)


@pytest.mark.parametrize("number", [NAN, INF, -INF])
@pytest.mark.parametrize("name", ["stop_loss", "confidence_min"])
def test_figures_that_are_no_numbers_prove_nothing_and_break_nothing(name, number):
    desk = Tuned()
    usual = evidence()
    broken = [
        replace(usual, deflated=number),
        replace(usual, after=usual.after._replace(sharpe=number)),
        replace(usual, expected=usual.expected._replace(drawdown=number)),
        replace(usual, expected=usual.expected._replace(lows=(number,))),
    ]
    for each in broken:
        assert "numbers" in refused(found(desk, each, **{name: 0.05}))
    wanted = SetParameters(BOT, ((name, 0.05),), expected=Band((number,), (0.1,), 0.1))
    assert "numbers" in refused(desk.ask(wanted, ann))
    assert desk.set_values() == {}
    assert not desk.core.view().proposals


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "name", "noisy", "whole"),
    [
        (BOT, "confirmed", 0.9999999, 1.0),
        (BOT, "leverage", 7.9999999, 8.0),
        (BOT, "confidence_min", 0.1 + 0.2 - 0.25, 0.05),
        (DESK_SCOPE, "positions", 3.9999999, 4.0),
    ],
)
def test_a_value_with_binary_noise_is_the_one_that_is_shown(scope, name, noisy, whole):
    desk = Tuned()
    done = desk.confirm(desk.tune(scope, **{name: noisy}))
    assert isinstance(done, Done)
    assert desk.set_values() == {scope: {name: whole}} == desk.replayed()
    shown = desk.parameter(name, scope).parameter.show(whole)
    assert desk.memory.tuning.changes[-1].moved[0].after == whole
    assert f"to {shown}." in done.text
    if scope == BOT:
        strategy = desk.memory.bots[BOT].strategy
        figures = {**strategy.sizing._asdict(), **strategy.pipeline._asdict()}
        assert figures.get(name, whole) == whole


@pytest.mark.parametrize("value", [NAN, INF, -INF, 1e308, -1e308, 5e-324, -0.5])
@pytest.mark.parametrize("name", ["leverage", "stop_loss", "warm_up", "confirmed"])
def test_no_monstrous_value_is_taken(name, value):
    desk = Tuned()
    before = desk.values()
    assert refused(desk.tune(**{name: value}))
    assert desk.values() == before


@pytest.mark.parametrize(("name", "size"), [("risk", 0.01), ("fixed", 500.0)])
def test_nobody_is_told_that_a_size_by_another_rule_risks_less(name, size):
    desk = Tuned()
    desk.confirm(desk.tune(**{name: size}))
    desk.later(25 * HOUR_MS)
    waits = desk.tune(**{name: 0.0})
    assert isinstance(waits, Proposed)
    risk = shown_of(waits.proposal).risk
    assert "nobody knows" in risk
    assert "less than now" not in risk


def test_values_that_no_longer_fit_those_of_the_file_are_dropped_at_the_start():
    desk = Tuned(bots=[bot(STRATEGIES["macross"], CROSS)])
    fast, slow = desk.value("fast", CROSS), desk.value("slow", CROSS)
    assert isinstance(desk.confirm(desk.tune(CROSS, fast=fast + 2)), Done)
    assert slow > fast + 2
    lower = STRATEGIES["macross"].tuned({"slow": fast + 1})
    desk.bots = [bot(lower, CROSS)]
    desk.start_again()
    assert desk.value("fast", CROSS) == fast
    assert desk.set_values() == desk.replayed() == {}


# -- what is shown is what is done -----------------------------------------------------------


def test_an_undo_does_not_give_back_a_value_of_the_file_that_nobody_was_shown():
    desk = Tuned()
    desk.confirm(desk.tune(leverage=8))
    waits = desk.ask(UndoChange(1, BOT), ann)
    assert isinstance(waits, Proposed)
    desk.bots = [bot(puppet().tuned({"leverage": 12}))]
    desk.start_again()
    assert "would become '12 (its own)'" in refused(desk.confirm(waits))
    assert desk.value("leverage") == 8


# -- the watch -------------------------------------------------------------------------------


def test_what_failed_is_proposed_to_be_taken_back_however_many_proposals_of_the_desk_wait():
    desk = Tuned()
    wanted = SetParameters(BOT, (("leverage", 8),), expected=Band((-0.01,), (0.01,), 0.01))
    assert isinstance(desk.carry(wanted), Done)
    for name in MANY:
        up = desk.parameter(name).parameter.stepped(desk.value(name), 1)
        assert isinstance(desk.tune(source=Source.MODEL, **{name: up}), Proposed), name
    eleventh = desk.tune(source=Source.MODEL, confidence_min=0.05)
    assert "10 proposals of the desk wait" in refused(eleventh)
    assert isinstance(desk.ask(UndoChange(1, BOT, "it fell", Source.WATCH), DESK), Proposed)


# -- who has the desk do it --------------------------------------------------------------------


def test_nobody_has_the_desk_tune_a_bot_that_they_may_not_tune():
    bound = person("tim", Role.TRADER, scopes="bot:another_001")
    desk = Tuned(people=[*(each for each in EVERYBODY if each.name != "tim"), bound])
    with pytest.raises(Refused, match="You may act only on another_001"):
        desk.core.check_may(asking(bound), BOT, desk.now)
    desk.core.check_may(asking(bound), "another_001", desk.now)
    desk.core.check_may(tom, BOT, desk.now)
    desk.core.check_may(DESK, BOT, desk.now)


def test_nobody_who_is_locked_out_has_the_desk_tune():
    desk = Tuned()
    assert isinstance(desk.ask(LockPerson("tom"), ann), Done)
    with pytest.raises(Refused, match="locked out"):
        desk.core.check_may(tom, BOT, desk.now)


def test_a_value_that_was_dropped_at_a_start_still_counts_for_a_days_reach():
    wide, narrow = (STRATEGIES["macross"].tuned({"slow": slow}) for slow in (300, 100))
    desk = Tuned(bots=[bot(wide, CROSS)])
    fast = desk.parameter("fast", CROSS)
    assert isinstance(desk.confirm(desk.tune(CROSS, fast=fast.highest)), Done)
    desk.bots = [bot(narrow, CROSS)]
    desk.start_again()
    assert desk.value("fast", CROSS) == fast.value
    desk.bots = [bot(wide, CROSS)]
    desk.start_again()
    desk.later(7 * HOUR_MS)
    now = desk.parameter("fast", CROSS)
    assert now.lowest == fast.highest - fast.parameter.reach > fast.parameter.low
    assert "within 24 hours" in refused(desk.tune(CROSS, fast=now.lowest - fast.parameter.step))
