"""Changing parameters: what may be changed, how far and by whom, and how it is taken back."""

from dataclasses import replace

import pytest

from engine import changing
from engine.candle import DAY_MS, HOUR_MS
from engine.effect import Done, NotDone, NoticeKind, Proposed, Record, Result
from engine.instruction import (
    AddBot,
    Decide,
    LetTune,
    NoteComparison,
    NoteStudy,
    PauseBot,
    RemoveBot,
    RollBack,
    SetParameters,
    StopTuning,
    TakeSnapshot,
    UndoChange,
)
from engine.limits import NO_LIMITS, Ladder
from engine.people import DESK, Role, human
from engine.proposal import ProposalKind, ProposalState, Way, digest, shown_of
from engine.snapshots import NAMED_MAX
from engine.strategies import STRATEGIES
from engine.tunable import Tier
from engine.tuning import (
    DESK_SCOPE,
    SNAPSHOTS_KEPT,
    ChangeKind,
    Comparison,
    Fate,
    ParameterChange,
    ParameterValue,
    Snapshot,
    Source,
    StudyStage,
    TuningStudy,
)
from engine.tuning_view import ParameterView
from tests.askers import asking, person
from tests.engine.conftest import BOT, T0, D, bot, puppet
from tests.engine.cores import of
from tests.engine.office import BEN, EVERYBODY, TIM, VIC, required
from tests.engine.tuned import KNOWN, LIMITED, Tuned, ann, tom

ben, tim, vic = asking(BEN), asking(TIM), asking(VIC)
SIX_HOURS = 6 * HOUR_MS
RSI = "rsi_001"


def refused(result: Result) -> str:
    assert isinstance(result, NotDone), result
    return result.reason


def two_bots(**how: object) -> Tuned:
    return Tuned(bots=[bot(), bot(STRATEGIES["rsi"], RSI)], **how)


def losing() -> Tuned:
    """A desk that lost money today."""
    desk = Tuned(bots=[bot(puppet())])
    desk.candle(2, 100)
    state = desk.core.accounts()[desk.bots[0].account]
    state.ledger = replace(state.ledger, realized=D(-100))
    assert desk.core.tuning().losing
    return desk


# -- tiers -------------------------------------------------------------------------------


def test_a_green_parameter_is_live_at_once_and_the_admins_are_told():
    desk = Tuned()
    assert isinstance(desk.tune(confidence_min=0.05), Done)
    assert desk.value("confidence_min") == 0.05
    [told] = desk.told(NoticeKind.TUNED)
    assert (told.bot_id, told.actor, told.address) == (BOT, "ann", None)
    assert told.change is not None
    assert told.change.reason == "as a trial"
    [moved] = told.change.moved
    assert (moved.before, moved.after, moved.was_base) == (0.0, 0.05, True)


def test_a_yellow_parameter_waits_for_a_press():
    desk = Tuned()
    result = desk.tune(leverage=12, who=tom)
    assert isinstance(result, Proposed)
    proposal = result.proposal
    assert (proposal.tier, proposal.kind) == (Tier.YELLOW, ProposalKind.TUNING)
    assert proposal.expires_at - proposal.created_at == DAY_MS
    assert proposal.title == f"Set leverage of {BOT} from 10 to 12"
    assert "liquidation is nearer" in shown_of(proposal).risk
    assert desk.value("leverage") == 10
    assert isinstance(desk.press(proposal, tom), Done)
    assert desk.value("leverage") == 12
    [change] = of(ParameterChange, desk.effects)
    assert (change.proposal_id, change.author, change.tier) == (1, tom.actor, Tier.YELLOW)


def test_a_red_parameter_waits_for_a_phrase_that_says_what_it_does():
    desk = Tuned()
    result = desk.tune(DESK_SCOPE, day_stops=0.05)
    assert isinstance(result, Proposed)
    assert result.proposal.phrase == f"APPROVE DAY STOPS 5% {result.proposal.nonce}"
    assert isinstance(desk.press(result.proposal, ann), NotDone)
    assert desk.value("day_stops", DESK_SCOPE) == 0.03
    assert isinstance(desk.reply(result.proposal, ann), Done)
    assert desk.value("day_stops", DESK_SCOPE) == 0.05
    assert desk.memory.policy.limits.day == Ladder(D("0.02"), D("0.05"))


def test_several_values_take_what_the_strictest_takes_and_come_together():
    desk = Tuned()
    result = desk.tune(confidence_min=0.05, leverage=12)
    assert isinstance(result, Proposed)
    assert result.proposal.tier is Tier.YELLOW
    assert desk.value("confidence_min") == 0
    desk.confirm(result)
    assert (desk.value("confidence_min"), desk.value("leverage")) == (0.05, 12)
    assert len(desk.core.tuning().changes) == 1


@pytest.mark.parametrize("source", [Source.TUNER, Source.RULE])
def test_a_source_makes_no_green_parameter_stricter_that_may_act(source):
    desk = Tuned()
    assert isinstance(desk.tune(source=source, confidence_min=0.05), Done)
    assert desk.value("confidence_min") == 0.05


@pytest.mark.parametrize("source", [Source.TUNER, Source.RULE, Source.MODEL])
def test_t17_what_anybody_but_a_person_suggests_for_yellow_or_red_waits_for_one(source):
    desk = Tuned()
    for scope, to in ((BOT, {"leverage": 12.0}), (DESK_SCOPE, {"day_stops": 0.05})):
        result = desk.tune(scope, source=source, **to)
        assert isinstance(result, Proposed)
        assert result.proposal.asked_by == ""
        assert desk.set_values() == {}
        said = Decide(human(ann), result.proposal.proposal_id, True, Way.BUTTON)
        assert isinstance(desk.ask(said, DESK), NotDone)
        assert desk.set_values() == {}
    for waiting in desk.core.view().proposals:
        desk.confirm(Proposed(waiting))
    assert desk.set_values() == {BOT: {"leverage": 12}, DESK_SCOPE: {"day_stops": 0.05}}


def test_t17_a_model_changes_nothing_by_itself_not_even_what_is_green():
    desk = Tuned()
    result = desk.tune(source=Source.MODEL, confidence_min=0.05)
    assert isinstance(result, Proposed)
    assert result.proposal.tier is Tier.YELLOW
    assert desk.set_values() == {}
    desk.later(2 * DAY_MS)
    desk.wait(2 * DAY_MS)
    assert desk.set_values() == {}
    assert desk.ended(result.proposal).state is ProposalState.EXPIRED


@pytest.mark.parametrize("source", [each for each in Source if each is not Source.PERSON])
def test_nobody_speaks_for_the_tuner_or_the_watch(source):
    desk = Tuned()
    refused(desk.tune(who=ann, source=source, confidence_min=0.05))
    desk.tune(confidence_min=0.05)
    refused(desk.ask(UndoChange(1, BOT, source=source), ann))
    assert desk.value("confidence_min") == 0.05


def test_the_desk_speaks_for_no_person_and_the_watch_only_takes_back():
    desk = Tuned()
    refused(desk.tune(who=DESK, confidence_min=0.05))
    refused(desk.tune(source=Source.WATCH, confidence_min=0.05))
    assert desk.set_values() == {}


def test_only_the_desk_notes_what_its_studies_found():
    desk = Tuned()
    study = TuningStudy(1, "paper-test", BOT, "desk", "desk", "desk", T0, StudyStage.NOTHING)
    diverging = Comparison(BOT, T0, T0 + DAY_MS, 288, 3, 3, 2, (), "a trade is missing.")
    for noted in (NoteStudy(study), NoteComparison(diverging)):
        assert refused(desk.ask(noted, ann)) == "Only the desk itself says that."
    assert desk.core.tuning().stopped == ""


# -- who ---------------------------------------------------------------------------------


def test_a_viewer_changes_nothing_and_the_desks_own_takes_an_admin():
    desk = Tuned()
    refused(desk.tune(who=vic, confidence_min=0.05))
    refused(desk.tune(DESK_SCOPE, who=tom, positions=6))
    refused(desk.ask(RollBack(1), tom))
    result = desk.tune(DESK_SCOPE, positions=6)
    assert isinstance(result, Proposed)
    assert result.proposal.tier is Tier.YELLOW
    assert "role admin" in refused(desk.press(result.proposal, tom))
    assert isinstance(desk.press(result.proposal, ben), Done)
    assert "role admin" in refused(desk.ask(UndoChange(1, DESK_SCOPE), tom))


def test_whoever_is_bound_to_a_bot_tunes_that_one_alone():
    bound = person("tim", Role.TRADER, scopes=f"bot:{RSI}")
    desk = two_bots(people=[*(each for each in EVERYBODY if each.name != "tim"), bound])
    asker = asking(bound)
    assert refused(desk.tune(BOT, asker, confidence_min=0.05)) == f"You may act only on {RSI}."
    assert isinstance(desk.tune(RSI, asker, rsi_oversold=29), Done)
    refused(desk.tune(DESK_SCOPE, asker, positions=6))
    desk.tune(BOT, confidence_min=0.05)
    refused(desk.ask(UndoChange(2, BOT), asker))
    assert refused(desk.ask(UndoChange(2, RSI), asker)) == f"Change 2 is not of {RSI} alone."
    assert isinstance(desk.ask(UndoChange(1, RSI), asker), Done)


def test_a_proposal_of_the_desk_takes_no_place_of_somebody_who_would_be_let_in():
    desk = Tuned()
    names = [each for each in desk.values()[DESK_SCOPE] if "_stops" in each or "_halves" in each]
    view = desk.core.tuning().scopes[DESK_SCOPE].parameters
    results = []
    for name in [*names, "positions", "losses", "stop_outs", "losers"]:
        seen = view[name]
        to = seen.parameter.stepped(seen.value, 1 if seen.value < seen.highest else -1)
        results.append(desk.tune(DESK_SCOPE, source=Source.TUNER, **{name: to}))
    waiting = [each for each in results if isinstance(each, Proposed)]
    assert len(waiting) == 10
    assert "10 proposals of the desk wait already." in map(
        refused, [each for each in results if isinstance(each, NotDone)]
    )
    assert isinstance(desk.tune(leverage=12), Proposed)


# -- bad input ---------------------------------------------------------------------------

WRONG = [
    ({"leverag": 12}, "Did you mean leverage?"),
    ({"nonsense_of_it": 1}, "has no parameter 'nonsense_of_it'. /tune show lists them."),
    ({"leverage": 101}, "1 to 100 in steps of 1"),
    ({"leverage": 0}, "1 to 100 in steps of 1"),
    ({"leverage": float("nan")}, "1 to 100 in steps of 1"),
    ({"leverage": float("inf")}, "1 to 100 in steps of 1"),
    ({"leverage": 10.5}, "1 to 100 in steps of 1"),
    ({"leverage": 10}, f"leverage of {BOT} is 10 already."),
    ({"leverage": 16}, "Allowed: 5 to 15 now; within 24 hours it moves by 5 at most."),
    ({"stop_loss": 0.06}, "Allowed: 0% to 5% now"),
    ({}, "at least one parameter"),
    ({"confidence_min": 0.05, "leverage": 99}, "5 to 15 now"),
]


@pytest.mark.parametrize(("to", "why"), WRONG)
def test_what_may_not_be_is_told_and_nothing_is_changed(to, why):
    desk = Tuned()
    before = desk.values()
    assert why in refused(desk.tune(BOT, **to))
    assert desk.values() == before
    assert desk.core.tuning().changes == ()
    assert desk.core.tuning().snapshots == ()


def test_one_name_has_one_value():
    desk = Tuned()
    twice = SetParameters(BOT, (("leverage", 11.0), ("leverage", 12.0)))
    assert "Allowed: one value" in refused(desk.ask(twice, ann))


def test_an_unknown_bot_is_named():
    assert "bot: 'nobody' is not valid" in refused(Tuned().tune("nobody", leverage=12))


def test_a_reason_has_an_end():
    desk = Tuned()
    long = SetParameters(BOT, (("confidence_min", 0.05),), "x" * 1_001)
    for wanted in (long, StopTuning("x" * 1_001)):
        assert "at most 1000 characters" in refused(desk.ask(wanted, ann))


def test_a_paused_bot_is_resumed_before_it_is_tuned():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.ask(PauseBot(BOT), ann)
    desk.later(DAY_MS)
    assert f"/bot resume {BOT}" in refused(desk.tune(confidence_min=0.06))
    assert isinstance(desk.ask(UndoChange(1, BOT), ann), Done)


def test_before_the_first_candle_there_is_no_time_to_count_by():
    desk = Tuned()
    desk.memory.desk.told_until = 0
    assert "No candle has closed yet" in refused(desk.tune(confidence_min=0.05))


@pytest.mark.parametrize(
    ("strategy", "to"),
    [("macross", {"fast": 26}), ("macross", {"slow": 12}), ("london", {"range_start": 9})],
)
def test_what_has_to_stay_below_another_does(strategy, to):
    desk = Tuned(bots=[bot(STRATEGIES[strategy])])
    [name] = to
    assert f"{name}" in refused(desk.tune(BOT, **to))


def test_a_limit_that_halves_stays_below_the_one_that_stops():
    desk = Tuned()
    assert "day_halves" in refused(desk.tune(DESK_SCOPE, day_halves=0.04))
    assert isinstance(desk.tune(DESK_SCOPE, day_halves=0.04, day_stops=0.05), Proposed)


def test_a_parameter_of_another_strategy_is_unknown():
    desk = two_bots()
    assert isinstance(desk.tune(RSI, rsi_oversold=29), Done)
    assert "has no parameter 'rsi_oversold'" in refused(desk.tune(BOT, rsi_oversold=29))


# -- rest and reach ----------------------------------------------------------------------


def test_a_parameter_rests_after_each_change_by_market_time():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.later(SIX_HOURS - 1)
    assert "rests until 2025-01-01 06:05 UTC" in refused(desk.tune(confidence_min=0.06))
    desk.now += 30 * DAY_MS
    assert "rests until" in refused(desk.tune(confidence_min=0.06))
    desk.later(1)
    assert desk.parameter("confidence_min").rests_until == 0
    assert isinstance(desk.tune(confidence_min=0.06), Done)


def test_one_parameters_rest_is_nobody_elses():
    desk = two_bots()
    desk.tune(BOT, confidence_min=0.05)
    assert isinstance(desk.tune(RSI, confidence_min=0.65), Done)
    assert isinstance(desk.tune(BOT, leverage=12), Proposed)


def test_many_small_steps_come_no_further_within_a_day_than_one():
    desk = Tuned()
    for step in range(4):
        assert isinstance(desk.carry(SetParameters(BOT, (("leverage", 11.0 + step),))), Done)
        desk.later(SIX_HOURS)
    # Ten stood until a day ago and is forgotten, eleven stood since.
    seen = desk.parameter("leverage")
    assert (seen.value, seen.lowest, seen.highest) == (14, 9, 16)
    assert "9 to 16 now" in refused(desk.tune(leverage=17))
    desk.later(DAY_MS)
    seen = desk.parameter("leverage")
    assert (seen.lowest, seen.highest) == (9, 19)


def test_a_value_that_was_left_still_counts_for_a_day():
    desk = Tuned()
    desk.carry(SetParameters(BOT, (("leverage", 15.0),)))
    desk.later(SIX_HOURS)
    desk.carry(SetParameters(BOT, (("leverage", 10.0),)))
    desk.later(SIX_HOURS)
    assert "10 to 15 now" in refused(desk.tune(leverage=9))
    desk.later(3 * SIX_HOURS)
    assert isinstance(desk.tune(leverage=9), Proposed)


def test_a_value_outside_of_the_bounds_is_moved_into_them_first():
    off = replace(LIMITED, limits=NO_LIMITS)
    desk = Tuned(policy=off)
    seen = desk.parameter("day_stops", DESK_SCOPE)
    assert (seen.value, seen.lowest, seen.highest) == (0, 0.03, pytest.approx(0.06))
    assert isinstance(desk.carry(SetParameters("", (("day_stops", 0.06),))), Done)
    assert isinstance(desk.carry(UndoChange(1, DESK_SCOPE)), Done)
    assert desk.value("day_stops", DESK_SCOPE) == 0


def test_t11_rest_reach_snapshots_and_values_survive_a_restart():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.carry(SetParameters(BOT, (("leverage", 15.0),)))
    desk.carry(SetParameters(DESK_SCOPE, (("day_stops", 0.05),)))
    desk.ask(TakeSnapshot("good"), ann)
    desk.ask(StopTuning("we look at it first"), ann)
    before = desk.core.tuning()
    desk.start_again()
    assert desk.core.tuning() == before
    assert desk.value("leverage") == 15
    assert desk.memory.policy.limits.day.stops == D("0.05")
    assert "rests until" in refused(desk.tune(confidence_min=0.06))
    desk.later(SIX_HOURS)
    assert "10 to 15 now" in refused(desk.tune(leverage=16))
    assert isinstance(desk.ask(UndoChange(1, BOT), ann), Done)


def test_a_wish_is_looked_at_again_when_it_is_confirmed():
    desk = Tuned()
    first, second = desk.tune(leverage=12), desk.tune(leverage=13)
    assert isinstance(desk.confirm(first), Done)
    assert "rests until" in refused(desk.confirm(second))
    assert desk.value("leverage") == 12
    third = desk.tune(stop_loss=0.02)
    desk.ask(PauseBot(BOT), ann)
    assert "is paused" in refused(desk.confirm(third))
    assert desk.value("stop_loss") == 0


def test_a_phrase_of_other_words_changes_nothing():
    desk = Tuned()
    result = desk.tune(DESK_SCOPE, day_stops=0.05)
    assert isinstance(result, Proposed)
    nonce = result.proposal.nonce
    refused(desk.reply(result.proposal, ann, f"APPROVE DAY STOPS 4% {nonce}"))
    assert desk.set_values() == {}


def test_two_people_and_a_delay_hold_for_limits_that_risk_more_alone():
    desk = Tuned(policy=replace(required(1, 60_000), limits=LIMITED.limits))
    looser = desk.ask(SetParameters(DESK_SCOPE, (("day_stops", 0.05),)), ann)
    assert "somebody else must approve" in refused(desk.confirm(looser, ann))
    assert isinstance(desk.confirm(looser, ben), Done)
    assert desk.value("day_stops", DESK_SCOPE) == 0.03
    desk.wait(60_000)
    assert desk.value("day_stops", DESK_SCOPE) == 0.05
    tighter = desk.ask(UndoChange(1, DESK_SCOPE), ann)
    assert isinstance(desk.confirm(tighter, ben), Done)
    assert desk.value("day_stops", DESK_SCOPE) == 0.03


# -- what proposes by itself -------------------------------------------------------------


@pytest.mark.parametrize("source", [Source.TUNER, Source.RULE, Source.MODEL])
def test_nothing_that_proposes_by_itself_does_while_tuning_is_stopped(source):
    desk = Tuned()
    waiting = desk.tune(source=source, leverage=12)
    desk.ask(StopTuning("I look at it first"), tom)
    assert "Tuning is stopped: I look at it first" in refused(desk.tune(source=source, slots=1))
    assert "Tuning is stopped" in refused(desk.confirm(waiting))
    assert isinstance(desk.tune(confidence_min=0.05), Done)
    assert isinstance(desk.carry(LetTune()), Done)
    assert isinstance(desk.tune(source=source, leverage=12), Proposed)


def test_nothing_is_loosened_by_itself_while_the_desk_is_losing():
    desk = losing()
    for source in (Source.TUNER, Source.RULE, Source.MODEL):
        assert "the desk is losing" in refused(desk.tune(source=source, leverage=12))
        assert isinstance(desk.tune(source=source, leverage=8), Proposed)
    assert isinstance(desk.tune(leverage=12), Proposed)
    assert isinstance(desk.tune(source=Source.RULE, confidence_min=0.05), Done)
    undoing = UndoChange(1, BOT, source=Source.WATCH)
    assert isinstance(desk.ask(undoing, DESK), Done)


def test_what_proposes_once_more_for_the_same_parameters_thought_better_of_it():
    desk = Tuned()
    older = desk.tune(source=Source.TUNER, leverage=12, stop_loss=0.02)
    other = desk.tune(source=Source.TUNER, slots=1)
    rule = desk.tune(source=Source.RULE, leverage=9)
    person_ = desk.tune(leverage=11)
    newer = desk.tune(source=Source.TUNER, leverage=8)
    waiting = {each.proposal_id for each in desk.core.view().proposals}
    results = (older, other, rule, person_, newer)
    numbers = [each.proposal.proposal_id for each in results if isinstance(each, Proposed)]
    assert waiting == set(numbers[1:])
    assert desk.core.ended(numbers[0]).state is ProposalState.VOID


def test_a_divergence_of_live_and_replay_stops_tuning_and_says_so():
    desk = Tuned()
    found = Comparison(BOT, T0, T0 + DAY_MS, 288, 3, 3, 3, ())
    assert isinstance(desk.ask(NoteComparison(found), DESK), Done)
    assert (desk.core.tuning().stopped, desk.notices) == ("", [])
    desk.ask(NoteComparison(replace(found, matched=2, diverges="a trade is missing.")), DESK)
    [told] = desk.told(NoticeKind.TUNING)
    assert "It diverges: a trade is missing." in (told.text or "")
    assert "diverges from its replay" in desk.core.tuning().stopped
    refused(desk.tune(source=Source.TUNER, confidence_min=0.05))


def test_a_study_is_stored_and_one_that_finds_nothing_is_told_to_whoever_asked():
    desk = Tuned()
    study = TuningStudy(
        1, "paper-test", BOT, "telegram:1", "Ann", "telegram", T0, StudyStage.NOTHING,
        verdict="nothing, because 3 trades are too few.",
    )  # fmt: skip
    desk.ask(NoteStudy(study), DESK)
    assert Record(study) in desk.effects
    assert [each.text for each in desk.told(NoticeKind.TUNING)] == [
        f"Study 1 of {BOT}: nothing, because 3 trades are too few."
    ]
    desk.ask(NoteStudy(replace(study, number=2, surface="desk")), DESK)
    desk.ask(NoteStudy(replace(study, number=3, stage=StudyStage.PROPOSED)), DESK)
    assert desk.notices == []


# -- undo --------------------------------------------------------------------------------


def test_an_undo_gives_back_the_value_of_before_whatever_rests():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.later(SIX_HOURS)
    desk.tune(confidence_min=0.08)
    assert isinstance(desk.ask(UndoChange(2, BOT, "worse"), tom), Done)
    seen = desk.parameter("confidence_min")
    assert seen.setting is not None
    assert (seen.value, seen.setting.version, seen.is_set) == (0.05, 3, True)
    newest, undone, _ = desk.core.tuning().changes
    assert (newest.kind, newest.undoes, newest.reason) == (ChangeKind.UNDO, 2, "worse")
    assert undone.fate is Fate.UNDONE
    assert "rests until" in refused(desk.tune(confidence_min=0.06))


def test_what_was_nobodys_setting_is_nobodys_again_and_follows_the_file():
    desk = Tuned()
    desk.carry(SetParameters(BOT, (("leverage", 12.0),)))
    assert desk.set_values() == {BOT: {"leverage": 12}}
    desk.carry(UndoChange(1, BOT))
    assert desk.set_values() == {}
    seen = desk.parameter("leverage")
    assert (seen.value, seen.is_set, seen.setting.is_base) == (10, False, True)
    desk.bots = [bot(puppet(sizing=puppet().sizing._replace(leverage=7)))]
    desk.start_again()
    assert desk.value("leverage") == 7


def test_an_undo_takes_what_the_change_took():
    desk = Tuned()
    desk.carry(SetParameters(DESK_SCOPE, (("day_stops", 0.05),)))
    result = desk.ask(UndoChange(1, DESK_SCOPE), ann)
    assert isinstance(result, Proposed)
    nonce = result.proposal.nonce
    assert result.proposal.phrase == f"APPROVE UNDO 1 DAY STOPS 3% {nonce}"


def test_the_watchs_own_undo_is_green_for_green_and_waits_for_the_rest():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.carry(SetParameters(BOT, (("leverage", 12.0),)))
    assert isinstance(desk.ask(UndoChange(1, BOT, source=Source.WATCH), DESK), Done)
    assert isinstance(desk.ask(UndoChange(2, BOT, source=Source.WATCH), DESK), Proposed)


def test_only_the_last_change_of_a_parameter_is_taken_back_and_only_once():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.later(SIX_HOURS)
    desk.tune(confidence_min=0.08)
    assert "changed again since, by change 2" in refused(desk.ask(UndoChange(1, BOT), ann))
    assert "no change 9" in refused(desk.ask(UndoChange(9, BOT), ann))
    desk.ask(UndoChange(2, BOT), ann)
    assert "taken back already" in refused(desk.ask(UndoChange(2, BOT), ann))
    assert "took another one back" in refused(desk.ask(UndoChange(3, BOT), ann))
    assert "changed again since, by change 3" in refused(desk.ask(UndoChange(1, BOT), ann))


def test_a_change_of_one_bot_is_not_undone_as_one_of_another_or_of_the_desk():
    desk = two_bots()
    desk.tune(BOT, confidence_min=0.05)
    assert "is not of" in refused(desk.ask(UndoChange(1, RSI), ann))
    assert "not of the desk" in refused(desk.ask(UndoChange(1, DESK_SCOPE), ann))
    desk.carry(SetParameters(DESK_SCOPE, (("positions", 6.0),)))
    assert "is not of" in refused(desk.ask(UndoChange(2, BOT), ann))
    assert desk.set_values() == {BOT: {"confidence_min": 0.05}, DESK_SCOPE: {"positions": 6}}


# -- snapshots and roll-back -------------------------------------------------------------


def test_t13_a_roll_back_restores_every_parameter_of_every_scope():
    """Each parameter of each strategy, those of exits, sizing and the signal pipeline too, and the
    desk's limits: all are moved, then all are back at once."""
    desk = Tuned(bots=[bot(strategy, f"{name}_1") for name, strategy in STRATEGIES.items()])
    desk.ask(TakeSnapshot("before"), ann)
    before = desk.values()
    for scope, found in desk.core.tuning().scopes.items():
        to = {name: _beside(each) for name, each in found.parameters.items()}
        assert isinstance(desk.carry(SetParameters(scope, tuple(to.items()))), Done)
    moved = desk.values()
    for scope, values in before.items():
        assert all(moved[scope][name] != value for name, value in values.items())
        pipeline_and_others = {"confidence_min", "flips", "confirmed", "stop_loss", "leverage"}
        assert scope == DESK_SCOPE or values.keys() >= pipeline_and_others
    assert isinstance(desk.carry(RollBack(1, "all of it")), Done)
    assert desk.values() == before
    assert desk.set_values() == desk.replayed() == {}
    desk.start_again()
    assert desk.values() == before


def _beside(seen: ParameterView) -> float:
    """The value a step below, or above where there is none."""
    beside = (seen.parameter.stepped(seen.value, step) for step in (-1, 1))
    return next(value for value in beside if value != seen.value)


def test_a_roll_back_gives_back_what_was_set_then_and_what_was_not():
    desk = two_bots()
    desk.tune(BOT, confidence_min=0.05)
    desk.ask(TakeSnapshot("good"), ann)
    desk.later(SIX_HOURS)
    desk.tune(BOT, confidence_min=0.08)
    desk.tune(RSI, rsi_oversold=29)
    result = desk.ask(RollBack(desk.core.tuning().snapshots[2].snapshot_id), ann)
    assert isinstance(result, Done)
    assert desk.set_values() == desk.replayed() == {BOT: {"confidence_min": 0.05}}
    [change, *_] = desk.core.tuning().changes
    assert (change.kind, change.scopes) == (ChangeKind.ROLLBACK, (BOT, RSI))
    assert isinstance(desk.ask(UndoChange(change.change_id, DESK_SCOPE), ann), Done)
    assert desk.set_values() == {BOT: {"confidence_min": 0.08}, RSI: {"rsi_oversold": 29}}


def test_a_roll_back_brings_back_what_only_the_settings_changed_since():
    desk = Tuned()
    desk.ask(TakeSnapshot("before"), ann)
    desk.bots = [replace(bot(), strategy=bot().strategy.tuned({"stop_loss": 0.02}))]
    desk.start_again()
    then = desk.memory.snapshots[0].values[BOT]["stop_loss"]
    assert (desk.value("stop_loss"), then != 0.02) == (0.02, True)
    assert isinstance(desk.carry(RollBack(1)), Done)
    assert desk.value("stop_loss") == then
    desk.start_again()
    assert desk.value("stop_loss") == then
    assert "as in snapshot 1 already" in refused(desk.ask(RollBack(1), ann))


def test_a_roll_back_takes_what_the_strictest_value_takes_and_shows_all_that_differs():
    desk = Tuned()
    desk.carry(SetParameters(DESK_SCOPE, (("day_stops", 0.05),)))
    desk.tune(confidence_min=0.05)
    result = desk.ask(RollBack(1), ann)
    assert isinstance(result, Proposed)
    assert result.proposal.phrase == f"APPROVE ROLLBACK 1 DAY STOPS 3% {result.proposal.nonce}"
    shown = [(each.name, each.before, each.after) for each in shown_of(result.proposal).changes]
    assert shown == [
        (f"confidence_min of {BOT}", "5%", "0% (its own)"),
        ("day_stops of the desk", "5%", "3% (its own)"),
    ]


def test_a_roll_back_stays_within_the_days_reach_and_moves_nothing_else():
    desk = Tuned()
    desk.carry(SetParameters(BOT, (("leverage", 15.0),)))
    desk.later(DAY_MS)
    desk.carry(SetParameters(BOT, (("leverage", 20.0),)))
    desk.tune(confidence_min=0.05)
    assert "15 to 20 now" in refused(desk.ask(RollBack(1), ann))
    assert (desk.value("leverage"), desk.value("confidence_min")) == (20, 0.05)


def test_a_roll_back_that_changes_nothing_and_one_to_nowhere_are_refused():
    desk = Tuned()
    desk.ask(TakeSnapshot("now"), ann)
    assert "as in snapshot 1 already" in refused(desk.ask(RollBack(1), ann))
    assert "There is no snapshot 7" in refused(desk.ask(RollBack(7), ann))


def test_a_snapshot_keeps_all_parameters_and_how_each_bot_stood():
    desk = two_bots()
    desk.tune(BOT, confidence_min=0.05)
    desk.tune(RSI, rsi_oversold=29)
    [taken] = of(Snapshot, desk.effects)
    assert (taken.snapshot_id, taken.name, taken.set_[BOT]) == (2, "", ["confidence_min"])
    assert {scope: set(found) for scope, found in taken.values.items()} == {
        scope: set(found) for scope, found in desk.values().items()
    }
    assert taken.values[RSI]["rsi_oversold"] == 30
    assert taken.figures[BOT].equity == D(10_000)
    assert taken.figures[BOT].trades == 0


def test_the_last_unnamed_snapshots_are_kept_and_all_named_ones():
    desk = Tuned()
    desk.ask(TakeSnapshot("first"), ann)
    for step in range(SNAPSHOTS_KEPT + 2):
        assert isinstance(desk.tune(confidence_min=0.01 * (1 + step % 2)), Done)
        desk.later(SIX_HOURS)
    kept = desk.core.tuning().snapshots
    assert len(kept) == SNAPSHOTS_KEPT + 1
    assert kept[-1].name == "first"
    assert kept[-2].snapshot_id == 4


def test_names_of_snapshots():
    desk = Tuned()
    for name in ("", "12", "Über", "a b", "x" * 41, "-a"):
        assert "snapshot name" in refused(desk.ask(TakeSnapshot(name), ann))
    assert isinstance(desk.ask(TakeSnapshot("a.b_c-1"), tom), Done)
    assert "already" in refused(desk.ask(TakeSnapshot("a.b_c-1"), ann))
    for number in range(NAMED_MAX - 1):
        desk.ask(TakeSnapshot(f"n{number}"), ann)
    assert "50 snapshots" in refused(desk.ask(TakeSnapshot("more"), ann))


# -- the books ---------------------------------------------------------------------------


def test_each_value_has_its_version_author_reason_and_audit_row():
    desk = Tuned()
    desk.tune(confidence_min=0.05)
    desk.later(SIX_HOURS)
    desk.tune(who=tom, confidence_min=0.08)
    [version] = of(ParameterValue, desk.effects)
    assert (version.version, version.value, version.before) == (2, 0.08, 0.05)
    assert (version.author, version.reason) == (tom.actor, "as a trial")
    assert (version.low, version.high, version.is_base) == (0, 0.95, False)
    [row] = [each for each in desk.acts[-2:] if each.action == changing.ACTION]
    assert row.detail.startswith(f"confidence_min of {BOT} from 5% to 8% {{")
    parts = changing.parts_of(row)
    assert (parts["before"], parts["after"], parts["tier"]) == (0.05, 0.08, "green")
    assert (parts["change"], parts["proposal"], parts["digest"]) == (2, 0, "")


def test_the_audit_names_the_proposal_that_was_decided():
    desk = Tuned()
    result = desk.tune(leverage=12)
    assert isinstance(result, Proposed)
    desk.press(result.proposal, ann)
    [row] = [each for each in desk.acts if each.action == changing.ACTION]
    parts = changing.parts_of(row)
    assert parts["proposal"] == result.proposal.proposal_id
    assert parts["digest"] == digest(result.proposal)


def test_the_audit_adds_up_to_the_values_in_force():
    desk = two_bots()
    desk.tune(BOT, confidence_min=0.05)
    desk.tune(RSI, rsi_oversold=29)
    desk.carry(SetParameters(DESK_SCOPE, (("day_stops", 0.05),)))
    desk.ask(UndoChange(2, RSI), ann)
    assert desk.replayed() == desk.set_values()
    assert desk.set_values() == {BOT: {"confidence_min": 0.05}, DESK_SCOPE: {"day_stops": 0.05}}
    assert changing.replayed(desk.acts, "live-bybit") == {}


def test_values_without_a_place_are_dropped_at_the_start_and_the_audit_says_so():
    desk = two_bots()
    desk.tune(RSI, rsi_oversold=29)
    desk.tune(BOT, confidence_min=0.05)
    desk.bots = [bot()]
    desk.start_again()
    assert desk.set_values() == desk.replayed() == {BOT: {"confidence_min": 0.05}}
    desk.bots = [bot(), bot(STRATEGIES["rsi"], RSI)]
    desk.start_again()
    assert desk.value("rsi_oversold", RSI) == 30
    assert "is not what change 1 made it any more" in refused(desk.ask(UndoChange(1, RSI), ann))
    desk.later(SIX_HOURS)
    desk.tune(RSI, rsi_oversold=28)
    [version] = of(ParameterValue, desk.effects)
    assert version.version == 2


def test_a_bot_that_is_removed_takes_its_values_along():
    desk = Tuned()
    assert isinstance(desk.carry(AddBot(desk.plan())), Done)
    assert isinstance(desk.tune("puppet_001", confidence_min=0.05), Done)
    assert isinstance(desk.carry(RemoveBot("puppet_001")), Done)
    assert desk.set_values() == desk.replayed() == {}
    assert [row.actor for row in desk.acts if row.action == changing.ACTION][-1] == ann.actor
    assert "is there no more" in refused(desk.ask(UndoChange(1, "puppet_001"), ann))


def test_a_new_bot_takes_what_its_values_take(monkeypatch):
    red = replace(puppet().parameters[0], tier=Tier.RED)
    monkeypatch.setitem(KNOWN, "puppet", puppet(parameters=(red,)))
    desk = Tuned()
    assert desk.propose(AddBot(desk.plan()), ann).tier is Tier.YELLOW
    assert desk.propose(AddBot(desk.plan(warm_up=0)), ann).tier is Tier.YELLOW
    assert desk.propose(AddBot(desk.plan(warm_up=5)), ann).tier is Tier.RED
