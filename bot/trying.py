"""What a model suggests is tried on unseen candles, and proposed to a person where it is better."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bot.tunings import Tunings
from engine.advice import Advice
from engine.desk import Desk
from engine.effect import Done, NotDone, Proposed
from engine.errors import Refused, Unreachable
from engine.instruction import SetParameters
from engine.people import DESK
from engine.tuning import Evidence, Source
from handlers.marking import marked


class Tried(NamedTuple):
    """What became of a suggestion, in a sentence; `proposal` waits for a person, or is 0."""

    outcome: str
    proposal: int = 0


# Tries the wishes of a suggestion, which has the number of a consultation.
Try = Callable[[Desk, int, Advice], Awaitable[Tried]]


def trying(tunings: Tunings) -> Try:
    """Try by the tuner's own evidence: the same candles, costs and thresholds as its studies."""

    async def attempt(desk: Desk, number: int, advice: Advice) -> Tried:
        values = {wish.name: wish.value for wish in advice.wishes}
        try:
            evidence = await tunings.evaluate(advice.bot_id, values)
        except (Refused, Unreachable) as error:
            return Tried(f"It could not be tried: {error}")
        if evidence.after.total_return <= evidence.before.total_return:
            return Tried(f"Tried and not proposed: {_figures(evidence)}")
        summary = marked(" ".join(advice.summary.split()), advice.invented)
        reason = f"Analysis {number}: {summary}"
        change = SetParameters(
            advice.bot_id, tuple(values.items()), reason, Source.MODEL, evidence=evidence
        )
        match await desk.runtime.ask(change, DESK):
            case Proposed(proposal):
                waits = f"Proposal {proposal.proposal_id} waits for a person"
                return Tried(f"{waits}: {_figures(evidence)}", proposal.proposal_id)
            case NotDone(reason):
                return Tried(f"Tried, and refused: {reason}")
            case Done(text):
                raise AssertionError(f"a model's change acted by itself: {text}")

    return attempt


def _figures(evidence: Evidence) -> str:
    before, after = evidence.before, evidence.after
    return (
        f"on unseen candles {after.total_return:.2%} with it and {before.total_return:.2%} "
        f"without, deepest fall {after.max_drawdown:.2%} and {before.max_drawdown:.2%}, "
        f"{after.trades} and {before.trades} trades."
    )
