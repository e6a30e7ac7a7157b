"""Consultations as they are shown: on their way, and what came of them."""

from dataclasses import replace

from engine.advice import (
    Advice,
    AdviceStage,
    Analysis,
    Answer,
    Autopsy,
    Briefing,
    Consultation,
)
from engine.calls import Purpose
from engine.desk import Desk
from handlers import advice_card, analysis_card, answer_card, autopsy_card, briefing_card
from handlers.command import Context
from handlers.reply import Reply, Text, reply

LOST = "The desk was started again meanwhile. Ask again, or see what there is: /analysis {number}."
DOES = {
    Purpose.ANALYSIS: "Looking at",
    Purpose.QUESTION: "Thinking about",
    Purpose.AUTOPSY: "Looking into trade",
    Purpose.SUGGESTION: "Thinking about the parameters of",
    Purpose.BRIEFING: "Writing",
}


async def begun(context: Context, consultation: Consultation) -> Reply:
    """The first answer: a chat is told that it is on its way, and the rest when it is there.

    Where the answer goes nowhere that can be brought up to date, it waits for the end.
    """
    if context.seal is None:
        consultation = await context.desk.advisor.end_of(consultation.number)
    return await card(context.desk, consultation)


async def shown(desk: Desk, number: int) -> Reply:
    """A consultation as it stands now."""
    found = desk.advisor.consultation(number)
    return lost(number) if found is None else await card(desk, found)


def lost(number: int) -> Reply:
    """What becomes of a consultation whose process ended before it did."""
    return Reply(error=LOST.format(number=number))


async def card(desk: Desk, consultation: Consultation) -> Reply:
    if not consultation.is_over:
        lines = "\n".join([_heading(consultation), *consultation.steps])
        return replace(reply(Text(lines)), asks=(consultation.number,))
    if consultation.stage is AdviceStage.FAILED:
        return Reply(error=consultation.failure)
    return await _result(desk, consultation)


def _heading(consultation: Consultation) -> str:
    return f"{DOES[consultation.purpose]} {consultation.subject} ..."


async def _result(desk: Desk, consultation: Consultation) -> Reply:
    number = consultation.number
    match consultation.result:
        case Analysis() as analysis:
            return await analysis_card.card(desk, number, analysis)
        case Answer() as answer:
            return answer_card.card(number, answer)
        case Autopsy() as autopsy:
            return await autopsy_card.card(desk, number, autopsy)
        case Advice() as advice:
            return advice_card.card(desk, number, advice)
        case Briefing() as briefing:
            return briefing_card.card(number, briefing)
        case None:
            return Reply(error=f"Consultation {number} has no result.")
