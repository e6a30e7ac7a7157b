"""The answer of a model that looked at markets: its schema, and what makes it valid.

The shape is the reference's AI signal (2.3) for each symbol, and a bias. What is not as asked for
is refused as a whole: half an analysis is none.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from engine.advice import Lean, Level, MarketRead, Trend
from engine.market_facts import LEVELS_MAX, MarketFacts
from engine.vote import NEUTRAL_BIAS_MAX, REACH_MAX
from llm.grounding import invented
from llm.inert import inert
from llm.schema import Part, read_as, schema_of

REASONING_MAX = 500
VOLUME_MAX = 200

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Score = Annotated[float, Field(ge=0.3, le=1.0)]
Price = Annotated[float, Field(gt=0.0)]
Levels = Annotated[list[Price], Field(max_length=LEVELS_MAX)]


class StrategyScores(Part):
    rsi: Score
    macd: Score
    bollinger: Score
    volume: Score
    stochastic: Score


class MarketAnalysis(Part):
    trend_direction: Trend
    trend_strength: Share
    support_levels: Annotated[Levels, Field(description="at most 3, below the price")]
    resistance_levels: Annotated[Levels, Field(description="at most 3, above the price")]
    volatility_level: Level
    volume_analysis: Annotated[str, Field(max_length=VOLUME_MAX, description="a short sentence")]


class RiskAssessment(Part):
    overall_risk: Level
    technical_risk: Level
    market_risk: Level
    recommended_position_size: Annotated[
        Share, Field(description="share of its usual size that a bot should take, 0 to 1")
    ]
    stop_loss_suggestion: Annotated[
        Price | None, Field(description="a price; left out where the signal is neutral")
    ] = None
    take_profit_suggestion: Annotated[
        Price | None, Field(description="a price; left out where the signal is neutral")
    ] = None


class AiSignal(Part):
    symbol: str
    signal: Lean
    confidence: Share
    reasoning: Annotated[
        str,
        Field(max_length=REASONING_MAX, description="why, in at most 60 words and 4 sentences"),
    ]
    bias: Annotated[
        float,
        Field(
            ge=-1.0,
            le=1.0,
            description="-1 (down) to 1 (up), its sign that of the signal; "
            "-0.3 to 0.3 where the signal is neutral",
        ),
    ]
    strategy_scores: StrategyScores
    market_analysis: MarketAnalysis
    risk_assessment: RiskAssessment


class Answer(Part):
    reads: list[AiSignal]


SCHEMA = schema_of(Answer)


def read(text: str, facts: Sequence[MarketFacts], data: str, by: str) -> tuple[MarketRead, ...]:
    """The reads in an answer by the model `by`, in the order of the facts.

    Raises ValueError, which says to the model what is wrong: what is not of the schema, symbols
    that are missing or were not asked for, prices on the wrong side. `data` is what it was given.
    """
    found = read_as(Answer, text).reads
    asked, answered = [each.symbol for each in facts], [each.symbol for each in found]
    if Counter(asked) != Counter(answered):
        raise ValueError(f"reads must have one of each symbol: {', '.join(asked)}")
    by_symbol = {each.symbol: each for each in found}
    return tuple(_read(by_symbol[each.symbol], each, data, by) for each in facts)


def _read(said: AiSignal, facts: MarketFacts, data: str, by: str) -> MarketRead:
    _check(said, facts)
    market, risk = said.market_analysis, said.risk_assessment
    reasoning = inert(said.reasoning, (), REASONING_MAX)
    volume = inert(market.volume_analysis, (), VOLUME_MAX)
    if not reasoning:
        raise ValueError(f"{facts.symbol}: the reasoning says nothing")
    has_side = said.signal is not Lean.NEUTRAL
    return MarketRead(
        symbol=facts.symbol,
        ts=facts.ts,
        price=facts.price,
        by=by,
        lean=said.signal,
        confidence=said.confidence,
        reasoning=reasoning,
        bias=said.bias,
        scores=tuple(said.strategy_scores.model_dump().items()),
        trend=market.trend_direction,
        trend_strength=market.trend_strength,
        supports=tuple(sorted(set(market.support_levels), reverse=True)),
        resistances=tuple(sorted(set(market.resistance_levels))),
        volatility=market.volatility_level,
        volume=volume,
        overall_risk=risk.overall_risk,
        technical_risk=risk.technical_risk,
        market_risk=risk.market_risk,
        size=risk.recommended_position_size,
        stop_loss=risk.stop_loss_suggestion if has_side else None,
        take_profit=risk.take_profit_suggestion if has_side else None,
        invented=invented(f"{reasoning}\n{volume}", data),
    )


def _check(said: AiSignal, facts: MarketFacts) -> None:
    """Raises ValueError where prices lie on the wrong side, or the bias is not of the signal."""
    market, risk = said.market_analysis, said.risk_assessment
    side = {Lean.LONG: 1, Lean.SHORT: -1, Lean.NEUTRAL: 0}[said.signal]
    if said.bias * side < 0.0 or (side == 0 and abs(said.bias) > NEUTRAL_BIAS_MAX):
        raise ValueError(f"{facts.symbol}: bias {said.bias} does not fit the signal {said.signal}")
    for level in market.support_levels:
        _check_side("support_levels", level, facts, -1)
    for level in market.resistance_levels:
        _check_side("resistance_levels", level, facts, 1)
    _check_side("stop_loss_suggestion", risk.stop_loss_suggestion, facts, -side)
    _check_side("take_profit_suggestion", risk.take_profit_suggestion, facts, side)


def _check_side(name: str, level: float | None, facts: MarketFacts, side: int) -> None:
    """A level must lie on its side of the price, and no further off than half of it."""
    if level is None or side == 0:
        return
    away = (level - facts.price) * side
    if not 0.0 < away <= REACH_MAX * facts.price:
        where = "above" if side > 0 else "below"
        raise ValueError(
            f"{facts.symbol}: {name} {level} must lie {where} the price {facts.price}, within "
            f"{REACH_MAX:.0%} of it"
        )
