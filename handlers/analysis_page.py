"""What is kept of consultations: the last ones, one with all its calls, and what they cost.

A model's words are shown as they came, and nothing in them takes effect.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import TypeAdapter

from engine.advice import Advice
from engine.calls import KEPT_DAYS, CallState, ModelCall, Purpose
from engine.errors import Refused
from engine.mail import ChatKind
from engine.people import Role
from engine.signal import Action, Decision
from handlers.command import Context
from handlers.cost_page import cost_of
from handlers.reply import (
    Block,
    Button,
    Code,
    Duration,
    Fields,
    File,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
)
from handlers.signals import refusal

_ADVICE = TypeAdapter(Advice)

LISTED = 10
# The newest have a button.
BUTTONS_FOR = 4
# What a phone shows without much scrolling; more is a file.
CODE_MAX = 1_500
DECISIONS_SHOWN = 10

LISTED_COLUMNS = ("number", "time", "purpose", "about", "asked_by", "model", "cost_usd", "outcome")
CALL_COLUMNS = (
    "call",
    "time",
    "model",
    "outcome",
    "prompt_tokens",
    "output_tokens",
    "cost_usd",
    "took",
)
DECISION_COLUMNS = ("time", "bot", "symbol", "signal", "outcome", "otherwise")
OUTCOMES = {
    CallState.ASKED: "not ended",
    CallState.ANSWERED: "answered",
    CallState.FAILED: "failed",
    CallState.COMPUTED: "computed",
}
NOTHING_KEPT = "Nothing was asked yet. /analyze looks at a market, /ask answers a question."
FORGOTTEN = f"What was sent and answered is kept for {KEPT_DAYS} days; only what it cost stays."
NOT_ENDED = "A call of it has not ended: it counts as what it may cost at most."
NOT_YOURS = (
    "What was sent and answered is shown to whoever asked and to admins, in a private chat or at "
    "the console."
)
AI_COST = Button("Cost", "/aicost")
ANALYSES = Button("Analyses", "/analysis")


# -- the last ones -------------------------------------------------------------------------


async def listed(context: Context) -> Reply:
    """The last consultations, newest first."""
    kept = context.desk.store.calls
    firsts = await kept.last(LISTED)
    rows = tuple([_listed_row(context, await kept.of(each.consultation)) for each in firsts])
    shown = tuple(
        Button(f"Show {each.consultation}", f"/analysis {each.consultation}")
        for each in firsts[:BUTTONS_FOR]
    )
    table = Table("Analyses", LISTED_COLUMNS, rows, empty=NOTHING_KEPT)
    return reply(table, buttons=(*shown, AI_COST))


def _listed_row(context: Context, calls: Sequence[ModelCall]) -> tuple[Value, ...]:
    first = calls[0]
    return (
        str(first.consultation),
        Time(first.ts),
        Word(first.purpose),
        _subject(context, first),
        _called(first.asked_by),
        calls[-1].model or None,
        cost_of(calls),
        OUTCOMES[calls[-1].state],
    )


def _subject(context: Context, first: ModelCall) -> str | None:
    """What it is about; of a question that is the question."""
    return (first.subject or None) if _may_read(context, first) else None


def _called(actor: str) -> str:
    """What people call an actor of the audit: its name, where it has one."""
    _, known, name = actor.rpartition(" (")
    return name.removesuffix(")") if known else actor


# -- one of them ---------------------------------------------------------------------------


async def page(context: Context, number: int) -> Reply:
    """One consultation: what was asked and answered, each call, its cost, and what used it.

    Raises Refused for a number that none has.
    """
    desk = context.desk
    calls = await desk.store.calls.of(number)
    if not calls:
        raise Refused(f"There is no analysis {number}. /analysis lists the last ones.")
    decisions = await desk.store.recent(Decision, consultation=number, limit=DECISIONS_SHOWN + 1)
    outcome = _outcome(calls)
    proposal = Button(f"Proposal {outcome.proposal}", f"/proposals {outcome.proposal}")
    return reply(
        Fields(f"Analysis {number}", _facts(context, calls)),
        *_failures(calls),
        *_calls(calls),
        *(_words(calls) if _may_read(context, calls[0]) else (Text(NOT_YOURS),)),
        *([Text(outcome.words)] if outcome.words else []),
        *_decisions(decisions),
        buttons=(*([proposal] if outcome.proposal else []), ANALYSES, AI_COST),
    )


def _facts(context: Context, calls: Sequence[ModelCall]) -> dict[str, Value]:
    first, last = calls[0], calls[-1]
    asked = sum(each.state is not CallState.COMPUTED for each in calls)
    facts: dict[str, Value] = {
        "asked_for": Word(first.purpose),
        "about": _subject(context, first),
        "asked_by": _called(first.asked_by),
        "time": Time(first.ts),
        "books": first.books,
        "model": ", ".join(dict.fromkeys(each.model for each in calls if each.model)) or None,
        "outcome": OUTCOMES[last.state],
        "calls": asked,
        "prompt_tokens": sum(each.prompt_tokens for each in calls) if asked else None,
        "output_tokens": sum(each.output_tokens for each in calls) if asked else None,
        "cost_usd": cost_of(calls),
        "took": Duration(sum(each.latency_ms for each in calls)) if asked else None,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _failures(calls: Sequence[ModelCall]) -> Iterator[Block]:
    for failure in dict.fromkeys(each.failure for each in calls if each.failure):
        yield Text(failure)
    if any(each.state is CallState.ASKED for each in calls):
        yield Text(NOT_ENDED)


def _calls(calls: Sequence[ModelCall]) -> Iterator[Block]:
    """Each call on a line, where there was more than one."""
    if len(calls) > 1:
        yield Table("Calls", CALL_COLUMNS, tuple(map(_call_row, calls)))


def _call_row(call: ModelCall) -> tuple[Value, ...]:
    return (
        str(call.call_id),
        Time(call.ts),
        call.model or None,
        OUTCOMES[call.state],
        call.prompt_tokens,
        call.output_tokens,
        cost_of([call]),
        Duration(call.latency_ms),
    )


# -- its words -----------------------------------------------------------------------------


def _may_read(context: Context, first: ModelCall) -> bool:
    """Whether somebody may read what was said. An answer to a question was made of what its asker
    may see, which others may not; everything else of what everybody may."""
    if first.purpose is not Purpose.QUESTION:
        return True
    # What a schedule says goes into a chat of any kind.
    is_private = context.address is None or context.chat_kind is ChatKind.PRIVATE
    is_theirs = context.actor == first.asked_by
    return is_private and (is_theirs or context.principal.role >= Role.ADMIN)


def _words(calls: Sequence[ModelCall]) -> Iterator[Block]:
    """Prompts and answers: as they are where they are short, else the last answer and a file."""
    said = [part for call in calls for part in _parts(call)]
    if not said:
        yield Text(FORGOTTEN)
    elif sum(len(text) for _, text in said) <= CODE_MAX:
        for title, text in said:
            yield Text(f"{title}:")
            yield Code(text)
    else:
        yield from _last_answer(calls[-1])
        whole = "\n\n".join(f"== {title} ==\n{text}" for title, text in said)
        yield File(f"analysis-{calls[0].consultation}.txt", whole)


def _parts(call: ModelCall) -> Iterator[tuple[str, str]]:
    """What there is of a call, each with its title; a result that is the answer stands once."""
    of = f"of call {call.call_id}"
    if call.prompt:
        yield f"Prompt {of}", call.prompt
    if call.answer:
        yield f"Answer {of}", call.answer
    if call.result and call.result != call.answer:
        yield f"Result {of}", call.result


def _last_answer(call: ModelCall) -> Iterator[Block]:
    answer = call.answer or call.result
    if 0 < len(answer) <= CODE_MAX:
        yield Text("The answer:")
        yield Code(answer)


# -- what used it --------------------------------------------------------------------------


def _decisions(decisions: Sequence[Decision]) -> Iterator[Block]:
    """The entries that were decided while its bias was in force, newest first."""
    if decisions:
        newest = decisions[::-1][:DECISIONS_SHOWN]
        yield Table("Entries under its bias", DECISION_COLUMNS, tuple(map(_decision_row, newest)))
    if len(decisions) > DECISIONS_SHOWN:
        yield Text(f"These are the newest {DECISIONS_SHOWN} of them.")


def _decision_row(decision: Decision) -> tuple[Value, ...]:
    wanted = "open" if decision.action is Action.ENTRY else "close"
    return (
        Time(decision.ts),
        decision.bot_id,
        decision.symbol,
        f"{wanted} {decision.side.direction}",
        "executed" if decision.approved else refusal(decision),
        decision.instead or None,
    )


class Outcome(NamedTuple):
    """What became of a suggestion: in words, and the proposal that it became, or 0."""

    words: str = ""
    proposal: int = 0


def _outcome(calls: Sequence[ModelCall]) -> Outcome:
    """As the last result of the consultation tells it."""
    results = [each.result for each in calls if each.purpose is Purpose.SUGGESTION and each.result]
    if not results:
        return Outcome()
    advice = _ADVICE.validate_json(results[-1])
    return Outcome(advice.outcome, advice.proposal)
