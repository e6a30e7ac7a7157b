"""The morning and the weekly briefing: given facts in a few sentences."""

from dataclasses import replace

from pydantic import Field, TypeAdapter

from engine.advice import Briefing
from engine.day_facts import DayFacts
from llm.counsel import Case, Counsel
from llm.grounding import invented
from llm.inert import inert
from llm.model import ModelFailed, Request, Speaker, Turn
from llm.quoting import RULE, quoted
from llm.schema import Part, read_as, schema_of

SYSTEM = (
    "You write the briefing of a trading desk for its trader: what happened, what is at risk, what "
    "waits for them, in this order and in plain prose. You see data only and can do nothing. "
    "Answer with JSON of the given schema alone. Every number in your words must stand in the data "
    "as it is there. Advise no trade. No headings, no lists, no markup. "
    f"{RULE}"
)
DATA_MAX = 12_000
FACTS = "the desk's figures"
_JSON = TypeAdapter(Briefing)


class _Answer(Part):
    briefing: str = Field(min_length=1)


SCHEMA = schema_of(_Answer)


async def brief(counsel: Counsel, case: Case, facts: DayFacts) -> Briefing:
    """The facts told by a model; by a fixed order of sentences where none answers."""
    text = facts.to_text()
    if why_not := counsel.why_not():
        return await _composed(counsel, case, facts, why_not)
    wanted = f"Write at most {facts.length_max} characters.\n{quoted('the desk', text, DATA_MAX)}"
    request = Request(SYSTEM, (Turn(Speaker.USER, wanted),), schema=SCHEMA, output_tokens_max=4_096)
    try:
        found = await counsel.validated(case, request, lambda answer: _read(answer, facts))
    except ModelFailed as error:
        return await _composed(counsel, case, facts, str(error))
    found = replace(found, by=counsel.name)
    await counsel.found(case, _JSON.dump_json(found).decode())
    return found


def _read(answer: str, facts: DayFacts) -> Briefing:
    """A valid answer; raises ValueError for any other."""
    said = read_as(_Answer, answer).briefing
    if len(said) > facts.length_max:
        raise ValueError(f"briefing has {len(said)} characters, at most {facts.length_max}")
    said = inert(said, (), facts.length_max)
    return Briefing(facts.title, said, "", invented(said, facts.to_text()))


async def _composed(counsel: Counsel, case: Case, facts: DayFacts, why_not: str) -> Briefing:
    text = inert(_composition(facts), (), facts.length_max)
    found = Briefing(facts.title, text, FACTS, instead=why_not)
    await counsel.computed(case, facts.to_text(), _JSON.dump_json(found).decode())
    return found


def _composition(facts: DayFacts) -> str:
    """A paragraph for each section."""
    return "\n".join(" ".join(sentences) for _, sentences in facts.sections)
