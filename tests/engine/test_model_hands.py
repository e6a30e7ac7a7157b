"""A model has no hands: whatever it says, for whomever it reads, the core refuses (T10)."""

from dataclasses import replace
from random import Random
from typing import get_args

import pytest

from engine.approvals import NO_HANDS
from engine.effect import NotDone, Proposed
from engine.errors import Refused
from engine.instruction import Decide, HaltDesk, Instruction, ResumeBot, ResumeDesk
from engine.people import Asker, Human, PrincipalKind, human
from engine.proposal import Way, digest
from tests.askers import OPERATING, asking
from tests.engine.conftest import BOT
from tests.engine.office import ANN, TOM, VIC, Office
from tests.engine.test_approvals import halted, paused
from tests.engine.test_tuning_gate import made, prepared

TRIES = 5
ann, tom, vic = (asking(who) for who in (ANN, TOM, VIC))


def model_for(asker: Asker) -> Asker:
    """A model that reads for somebody: with their account, name, role and chat."""
    return replace(asker, principal=replace(asker.principal, kind=PrincipalKind.MODEL))


@pytest.mark.parametrize("kind", get_args(Instruction), ids=lambda kind: kind.__name__)
def test_t10_no_instruction_of_a_model_changes_anything(kind):
    desk, chance = prepared(), Random(kind.__name__)
    before = dict(desk.rows), dict(desk.proposals), desk.core.view()
    for asker in (*map(model_for, (ann, tom, vic)), model_for(OPERATING)):
        for _ in range(TRIES):
            assert desk.ask(made(kind, chance), asker) == NotDone(NO_HANDS)
            assert desk.audited == [(asker.actor, kind.__name__, f"refused: {NO_HANDS}")]
    assert (dict(desk.rows), dict(desk.proposals), desk.core.view()) == before


@pytest.mark.parametrize("kind", get_args(Instruction), ids=lambda kind: kind.__name__)
def test_t10_a_model_previews_nothing_either(kind):
    desk, chance = prepared(), Random(kind.__name__)
    for asker in map(model_for, (ann, OPERATING)):
        with pytest.raises(Refused):
            desk.core.preview(made(kind, chance), asker, desk.now)


@pytest.mark.parametrize("way", list(Way))
def test_t10_a_model_decides_nothing_not_even_with_the_phrase(way):
    desk = halted()
    red = desk.propose(ResumeDesk(), ann)
    model = model_for(ann)
    with pytest.raises(Refused, match="Only a person decides; this is model"):
        human(model)
    for by in (Human(model), human(ann)):
        for approves in (True, False):
            said = Decide(by, red.proposal_id, approves, way, red.phrase, digest=digest(red))
            assert desk.ask(said, model) == NotDone(NO_HANDS)
    assert desk.open(red) == red


def test_t10_a_person_can_not_lend_a_model_their_hands():
    """What a model would say in a person's name is refused before who is named is looked at."""
    desk = paused()
    waiting = desk.propose(ResumeBot(BOT), tom)
    said = Decide(human(tom), waiting.proposal_id, True, Way.BUTTON, digest=digest(waiting))
    assert desk.ask(said, model_for(tom)) == NotDone(NO_HANDS)
    assert desk.ask(said, tom) != NotDone(NO_HANDS)


def test_nothing_is_done_for_a_bot_because_a_model_asked():
    desk = Office()
    desk.core.check_may(tom, BOT, desk.now)
    with pytest.raises(Refused, match="no hands"):
        desk.core.check_may(model_for(tom), BOT, desk.now)


def test_the_person_a_model_reads_for_keeps_their_hands():
    desk = halted()
    assert desk.ask(HaltDesk(), model_for(tom)) == NotDone(NO_HANDS)
    assert isinstance(desk.ask(ResumeDesk(), ann), Proposed)
