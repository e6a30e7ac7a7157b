"""Suggestions of other parameters for a bot: a model thinks of them, and no more.

They are tried on unseen candles, and wait for a person, whatever the model says of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.json_schema import SkipJsonSchema

from engine.advice import Advice, Level, Wish
from engine.bot_facts import BotFacts, Choice
from engine.errors import BadInput
from llm.counsel import Case, Counsel
from llm.grounding import invented
from llm.inert import inert
from llm.model import ModelFailed, Request, Speaker, Turn
from llm.quoting import RULE, quoted
from llm.schema import Part, read_as, schema_of

SYSTEM = (
    "You look at one bot of a trading desk and suggest other values of its parameters, or none. "
    "You can change nothing: what you suggest is tried on unseen candles and decided by people. "
    "Answer with JSON of the given schema alone. Suggest at most three parameters of those listed, "
    "within what is allowed now, written as the values there are. Every number in your words must "
    "stand in the data or be one of your values. Few trades prove little: with fewer than 10 your "
    "confidence is below 0.5, with fewer than 5 below 0.3. Loosen nothing while the bot loses. "
    f"Short, plain sentences. {RULE}"
)
DATA_MAX = 12_000
SAID_MAX = 500
WISHES_MAX = 3
# With fewer trades than these a suggestion is at most so sure: below 0.3 and 0.5 (reference,
# section 2.3).
TRADES_FEW, SURE_OF_FEW = 5, 0.29
TRADES_SOME, SURE_OF_SOME = 10, 0.49
# A suggestion that is less sure is not tried.
TRIED_FROM = 0.5
NO_MODEL = "Nothing is suggested without a model: /tune run searches for better values by itself."
NOT_NOW = "Until then nothing is suggested."

Sentence = Annotated[str, Field(max_length=300)]


class _Analysis(Part):
    root_cause: Sentence
    key_issues: list[Sentence] = Field(max_length=5)
    data_quality: Sentence


class _Suggested(Part):
    parameter: str = Field(max_length=60)
    suggested: str = Field(max_length=40)
    reason: Sentence


# The reference's config suggestion (section 2.3). What a model says of `auto_apply_safe` is read,
# never asked for, and means nothing here.
class _Answer(Part):
    analysis: _Analysis
    suggestions: list[_Suggested] = Field(max_length=WISHES_MAX)
    confidence: float = Field(ge=0, le=1)
    risk_assessment: Level
    summary: str = Field(max_length=SAID_MAX)
    auto_apply_safe: SkipJsonSchema[bool] = False


SCHEMA = schema_of(_Answer)
_JSON = TypeAdapter(Advice)


async def suggest(counsel: Counsel, case: Case, facts: BotFacts) -> Advice:
    """What a model would change about a bot: what of it may be tried, and why the rest is not."""
    text = facts.to_text()
    if facts.stopped:
        why_not = f"Tuning is stopped: {facts.stopped.rstrip('.')}. /tune resume lets it go on."
        return await _none(counsel, case, facts, NOT_NOW, why_not)
    if why_not := counsel.why_not():
        return await _none(counsel, case, facts, NO_MODEL, why_not)
    turn = Turn(Speaker.USER, quoted(f"bot {facts.bot_id}", text, DATA_MAX))
    request = Request(SYSTEM, (turn,), schema=SCHEMA, output_tokens_max=4_096)
    try:
        found = await counsel.validated(case, request, lambda answer: _read(answer, facts))
    except ModelFailed as error:
        return await _none(counsel, case, facts, NO_MODEL, str(error))
    found = replace(found, by=counsel.name)
    await counsel.found(case, _JSON.dump_json(found).decode())
    return found


async def _none(
    counsel: Counsel, case: Case, facts: BotFacts, summary: str, why_not: str
) -> Advice:
    found = Advice(facts.bot_id, "", "", (), 0.0, Level.LOW, summary, instead=why_not)
    await counsel.computed(case, facts.to_text(), _JSON.dump_json(found).decode())
    return found


def _read(answer: str, facts: BotFacts) -> Advice:
    """A valid answer, without the wishes that may not be tried; raises ValueError for any other."""
    said = read_as(_Answer, answer)
    choices = {choice.parameter.name: choice for choice in facts.choices}
    wishes = [_wish(each, choices) for each in said.suggestions]
    if len({wish.name for wish in wishes}) < len(wishes):
        raise ValueError("each parameter once")
    confidence = min(said.confidence, _sure_at_most(len(facts.trades)))
    against = {wish: _against(wish, choices[wish.name], facts, confidence) for wish in wishes}
    kept = [wish for wish in wishes if not against[wish]]
    words = "\n".join((said.summary, said.analysis.root_cause, *(wish.reason for wish in kept)))
    data = "\n".join((facts.to_text(), *(each.suggested for each in said.suggestions)))
    return Advice(
        bot_id=facts.bot_id,
        by="",
        root_cause=_plain(said.analysis.root_cause),
        wishes=tuple(kept),
        confidence=confidence,
        risk=said.risk_assessment,
        summary=_plain(said.summary),
        outcome=" ".join(_not_tried(against, choices)),
        invented=invented(words, data),
    )


def _wish(said: _Suggested, choices: dict[str, Choice]) -> Wish:
    choice = choices.get(said.parameter)
    if choice is None:
        raise ValueError(f"parameter {said.parameter!r}: allowed are {', '.join(choices)}")
    try:
        value = choice.parameter.parse(said.suggested)
    except BadInput as error:
        raise ValueError(str(error)) from None
    if not choice.lowest <= value <= choice.highest:
        low, high = map(choice.parameter.show, (choice.lowest, choice.highest))
        raise ValueError(f"{said.parameter} {said.suggested!r}: allowed now are {low} to {high}")
    return Wish(said.parameter, value, _plain(said.reason))


def _plain(sentence: str) -> str:
    return inert(sentence, (), SAID_MAX)


def _sure_at_most(trades: int) -> float:
    """How sure anybody may be after so few trades."""
    if trades < TRADES_FEW:
        return SURE_OF_FEW
    return SURE_OF_SOME if trades < TRADES_SOME else 1.0


def _against(wish: Wish, choice: Choice, facts: BotFacts, confidence: float) -> str:
    """Why a wish is not tried; empty where it may be."""
    if wish.value == choice.value:
        return "that is its value already"
    if facts.is_losing and choice.parameter.loosens(choice.value, wish.value):
        return "it would risk more while the bot is losing"
    if confidence < TRIED_FROM:
        return (
            f"it counts as {confidence:.0%} sure (closed trades: {len(facts.trades)}), and "
            f"{TRIED_FROM:.0%} is needed"
        )
    return ""


def _not_tried(against: Mapping[Wish, str], choices: Mapping[str, Choice]) -> Iterator[str]:
    """A sentence for each reason why something is not tried."""
    for why in dict.fromkeys(filter(None, against.values())):
        named = [
            f"{wish.name} {choices[wish.name].parameter.show(wish.value)}"
            for wish, reason in against.items()
            if reason == why
        ]
        yield f"Not tried: {', '.join(named)}, for {why}."
