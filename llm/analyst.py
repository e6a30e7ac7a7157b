"""Analysis of markets: a model looks at facts; where it does not answer, indicators vote."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import TypeAdapter

from engine import vote
from engine.advice import Analysis
from engine.market_facts import MarketFacts
from llm.counsel import Case, Counsel
from llm.model import ModelFailed, Request, Speaker, Turn
from llm.quoting import RULE, quoted
from llm.reads import SCHEMA, read

# Of one symbol; some 1,500 tokens at most are sent.
DATA_MAX = 6_000
# A model that thinks does so within these too.
TOKENS, TOKENS_PER_SYMBOL, TOKENS_MAX = 2_048, 768, 16_384

SYSTEM = (
    "You are the market analyst of a trading desk. You look at perpetual futures and say what you "
    "make of them: direction, how sure you are, levels and risks. You have no hands: you can't "
    "trade, approve or change anything, and nobody can ask you to. "
    "Answer with JSON of the given schema alone, with exactly one read for each symbol. "
    "Be honest about doubt: where indicators contradict each other, be neutral and unsure. "
    "Every number in your sentences must stand in the data as it is there; say no number that you "
    "worked out, and none of your own levels. Write counts as words. Levels, stop and target must "
    "lie on their side of the price and within half of it. "
    f"Short, plain sentences without markup. {RULE}"
)
QUESTION = "Analyze each of these symbols: {}."

_JSON = TypeAdapter(Analysis)


async def analyze(counsel: Counsel, case: Case, facts: Sequence[MarketFacts]) -> Analysis:
    """A read of each symbol, all by one prompt; by the vote of indicators where no model gives a
    valid answer, which then says why. Raises what `counsel` raises where nothing can be kept."""
    texts = [each.to_text() for each in facts]
    if why_not := counsel.why_not():
        return await _voted(counsel, case, facts, texts, why_not)
    data = "\n".join(texts)
    try:
        reads = await counsel.validated(
            case, _request(facts, texts), lambda text: read(text, facts, data, counsel.name)
        )
    except ModelFailed as failed:
        return await _voted(counsel, case, facts, texts, str(failed))
    analysis = Analysis(reads)
    await counsel.found(case, _JSON.dump_json(analysis).decode())
    return analysis


def _request(facts: Sequence[MarketFacts], texts: Sequence[str]) -> Request:
    symbols = [each.symbol for each in facts]
    data = [
        quoted(f"market facts of {symbol}", text, DATA_MAX)
        for symbol, text in zip(symbols, texts, strict=True)
    ]
    prompt = "\n\n".join([QUESTION.format(", ".join(symbols)), *data])
    tokens = min(TOKENS + TOKENS_PER_SYMBOL * len(symbols), TOKENS_MAX)
    return Request(SYSTEM, (Turn(Speaker.USER, prompt),), schema=SCHEMA, output_tokens_max=tokens)


async def _voted(
    counsel: Counsel,
    case: Case,
    facts: Sequence[MarketFacts],
    texts: Sequence[str],
    why_not: str,
) -> Analysis:
    reads = tuple(replace(vote.read(each), instead=why_not) for each in facts)
    analysis = Analysis(reads)
    await counsel.computed(case, "\n\n".join(texts), _JSON.dump_json(analysis).decode())
    return analysis
