"""Autopsies of closed trades: figures are measured here, a model says what they teach."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from engine import autopsy
from engine.advice import Autopsy, Verdict
from engine.trade_facts import TradeFacts, measures
from llm.counsel import Case, Counsel
from llm.grounding import invented
from llm.inert import inert
from llm.model import ModelFailed, Request, Speaker, Turn
from llm.quoting import RULE, quoted
from llm.schema import Part, read_as, schema_of

SYSTEM = (
    "You look into one closed trade of a trading desk and say what it teaches. You see data only "
    "and can do nothing. Answer with JSON of the given schema alone. Every number in your words "
    "must stand in the data as it is there. Judge the decision by what was known at the entry, and "
    "the exit by what was to be had. "
    f"Short, plain sentences. {RULE}"
)
# Characters of data that are sent at most.
DATA_MAX = 8_000
SAID_MAX = 500
LISTED = Field(max_length=5)

BETTER_EXIT = "a price that was traded; left out where none was better"

Sentence = Annotated[str, Field(max_length=300)]
Quality = Literal["good", "acceptable", "poor"]


class _Entry(Part):
    quality: Quality
    reasoning: Sentence
    signals_valid: bool


class _Exit(Part):
    quality: Quality
    reasoning: Sentence
    better_exit_point: float | None = Field(None, description=BETTER_EXIT)


class _Recommendations(Part):
    config_changes: list[Sentence] = LISTED
    strategy_improvements: list[Sentence] = LISTED
    risk_management: list[Sentence] = LISTED


# The reference's trade analysis (section 2.3).
class _Answer(Part):
    trade_verdict: Quality
    entry_analysis: _Entry
    exit_analysis: _Exit
    key_factors: list[Sentence] = LISTED
    lessons_learned: list[Sentence] = LISTED
    recommendations: _Recommendations
    confidence: float = Field(ge=0, le=1)
    summary: str = Field(max_length=SAID_MAX)


SCHEMA = schema_of(_Answer)
_JSON = TypeAdapter(Autopsy)


async def examine(counsel: Counsel, case: Case, facts: TradeFacts) -> Autopsy:
    """What a trade teaches; by its figures alone where no model answers."""
    text = facts.to_text()
    prompt = quoted("the trade", text, DATA_MAX)
    if why_not := counsel.why_not():
        return await _computed(counsel, case, facts, text, why_not)
    request = Request(SYSTEM, (Turn(Speaker.USER, prompt),), schema=SCHEMA, output_tokens_max=4_096)
    try:
        found = await counsel.validated(case, request, lambda answer: _read(answer, facts))
    except ModelFailed as error:
        return await _computed(counsel, case, facts, text, str(error))
    found = replace(found, by=counsel.name)
    await counsel.found(case, _JSON.dump_json(found).decode())
    return found


async def _computed(
    counsel: Counsel, case: Case, facts: TradeFacts, text: str, why_not: str
) -> Autopsy:
    found = autopsy.verdict(facts, why_not)
    await counsel.computed(case, text, _JSON.dump_json(found).decode())
    return found


def _read(answer: str, facts: TradeFacts) -> Autopsy:
    """A valid answer; raises ValueError for any other."""
    said = read_as(_Answer, answer)
    better = said.exit_analysis.better_exit_point
    prices = [price for c in facts.candles for price in (c.high, c.low)]
    if better is not None and prices and not min(prices) <= better <= max(prices):
        raise ValueError(
            f"better_exit_point {better} was never traded: from {min(prices)} to {max(prices)}"
        )
    wanted = said.recommendations
    found = Autopsy(
        trade=facts.trade,
        by="",
        verdict=Verdict(said.trade_verdict),
        entry=Verdict(said.entry_analysis.quality),
        entry_words=_plain(said.entry_analysis.reasoning),
        exit=Verdict(said.exit_analysis.quality),
        exit_words=_plain(said.exit_analysis.reasoning),
        better_exit=better,
        factors=tuple(map(_plain, said.key_factors)),
        lessons=tuple(map(_plain, said.lessons_learned)),
        advice=tuple(
            map(
                _plain,
                wanted.config_changes + wanted.strategy_improvements + wanted.risk_management,
            )
        ),
        confidence=said.confidence,
        summary=_plain(said.summary),
        measured=tuple(measures(facts)),
        levels=facts.levels,
    )
    return replace(found, invented=invented(_words(found), facts.to_text()))


def _plain(sentence: str) -> str:
    return inert(sentence, (), SAID_MAX)


def _words(found: Autopsy) -> str:
    lists = (*found.factors, *found.lessons, *found.advice)
    return "\n".join((found.summary, found.entry_words, found.exit_words, *lists))
