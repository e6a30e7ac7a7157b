"""What the desk is told by a model, or computes in its stead, and how it is asked for.

Nouns, and the doors to whoever answers. None of it acts: what a model wants done is a draft that a
person says, or a change of parameters that waits for one. Times are UTC ms, shares are fractions,
prices are in quote currency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from engine.calls import Purpose, Spending
from engine.people import Asker
from engine.position import Trade

# Who speaks where no model did.
INDICATORS = "indicators"
# Why nobody does where there is no model: no news to whoever runs the desk so.
NO_KEY = "No GEMINI_API_KEY is set."


# -- analysis ----------------------------------------------------------------------------


class Lean(StrEnum):
    LONG = "long"
    SHORT = "short"
    NEUTRAL = "neutral"


class Trend(StrEnum):
    UP = "up"
    DOWN = "down"
    SIDEWAYS = "sideways"


class Level(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class MarketRead:
    """What somebody makes of a market: the one shape of an analysis, whoever made it.

    `by` is the model's name, or INDICATORS; `ts` is when the last candle looked at had closed.
    `bias` lies between -1 (down) and 1 (up). `scores` say how well each kind of strategy suits the
    market, 0 to 1. `size` is the share of its usual size that a bot should take. `invented` are the
    numbers in its words that do not stand in the data it was given; `instead` says why the model
    did not answer, where indicators stand in for it.
    """

    symbol: str
    ts: int
    price: float
    by: str
    lean: Lean
    confidence: float
    reasoning: str
    bias: float
    scores: tuple[tuple[str, float], ...]
    trend: Trend
    trend_strength: float
    supports: tuple[float, ...]
    resistances: tuple[float, ...]
    volatility: Level
    volume: str
    overall_risk: Level
    technical_risk: Level
    market_risk: Level
    size: float
    stop_loss: float | None = None
    take_profit: float | None = None
    invented: tuple[str, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The reads of one consultation, a symbol each."""

    reads: tuple[MarketRead, ...]


# -- questions ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tool:
    """A command that a model may have looked at: `arguments` are their names with what is allowed
    in words, `required` those that must be given."""

    name: str
    summary: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A command that a model would have said: a person may say it, and nobody else does.

    `line` is what typing it would be; `what` says what it does.
    """

    line: str
    what: str


class Reading(Protocol):
    """What somebody's question may look at: their own reach, and nothing that acts."""

    def tools(self) -> Sequence[Tool]:
        """The commands that only look, as the asker may say them."""
        ...

    async def look(self, line: str) -> str:
        """What a command answers that only looks, in words, as `/why symbol=BTCUSDT`. Nothing is
        changed. Raises Refused, which the audit knows."""
        ...

    def draft(self, line: str) -> Draft:
        """Read a command that acts, without saying it. Raises Refused for what is none, for what
        decides, and for what the asker may not say."""
        ...

    def refused(self, wanted: str, reason: str) -> None:
        """Note in the audit that a model wanted what it may not."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to. `looked` are the commands that were read for it, as typed; `drafts`
    what it would have said; `invented` numbers that stand in nothing it read. `by` is the model's
    name, and `instead` says why it was not the model that answered, where it was not."""

    text: str
    by: str
    looked: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()
    invented: tuple[str, ...] = ()
    instead: str = ""


# -- trades and settings -----------------------------------------------------------------


class Verdict(StrEnum):
    """How good a trade's entry or exit was; unknown only where no model answers."""

    GOOD = "good"
    ACCEPTABLE = "acceptable"
    POOR = "poor"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Autopsy:
    """What a closed trade teaches. `measured` are figures computed from candles and fills, by name,
    whoever else speaks; `better_exit` is the best price that was to be had while it was open, or
    soon after; `levels` are the stop and the target that it was entered with, by name."""

    trade: Trade
    by: str
    verdict: Verdict
    entry: Verdict
    entry_words: str
    exit: Verdict
    exit_words: str
    better_exit: float | None
    factors: tuple[str, ...]
    lessons: tuple[str, ...]
    advice: tuple[str, ...]
    confidence: float
    summary: str
    measured: tuple[tuple[str, str], ...] = ()
    levels: tuple[tuple[str, float], ...] = ()
    invented: tuple[str, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """Another value of a parameter that a model would rather have, and why."""

    name: str
    value: float
    reason: str


@dataclass(frozen=True, slots=True)
class Advice:
    """What a model would change about a bot, and what became of that.

    `outcome` says what was done: proposed with the tuner's evidence, tried and found no better, or
    refused; `proposal` is the number of the proposal that waits, 0 where there is none.
    """

    bot_id: str
    by: str
    root_cause: str
    wishes: tuple[Wish, ...]
    confidence: float
    risk: Level
    summary: str
    outcome: str = ""
    proposal: int = 0
    invented: tuple[str, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Briefing:
    """A day or a week in a few sentences, made of given facts."""

    title: str
    text: str
    by: str
    invented: tuple[str, ...] = ()
    instead: str = ""


Advised = Analysis | Answer | Autopsy | Advice | Briefing


# -- consultations -----------------------------------------------------------------------


class AdviceStage(StrEnum):
    """How far a consultation is. The last two are ends."""

    WAITING = "waiting"
    THINKING = "thinking"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_end(self) -> bool:
        return self in (AdviceStage.DONE, AdviceStage.FAILED)


@dataclass(frozen=True, slots=True)
class Consultation:
    """One thing that somebody wants to be told, on its way.

    `asked_by` is an actor of the audit, `asker` what people call them, `surface` the door they
    asked through. `steps` say what was done so far; `failure` why there is no result.
    """

    number: int
    purpose: Purpose
    subject: str
    asked_by: str
    asker: str
    surface: str
    asked_at: int
    stage: AdviceStage = AdviceStage.WAITING
    steps: tuple[str, ...] = ()
    failure: str = ""
    result: Advised | None = None

    @property
    def is_over(self) -> bool:
        return self.stage.is_end

    def at(self, stage: AdviceStage, **changed: Any) -> "Consultation":
        return replace(self, stage=stage, **changed)


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """Who answers. `name` is the model's, empty where there is none; `why_not` says why nobody is
    asked now, as long as that is so: no key, a cap that is reached, a model that fails."""

    name: str
    driver: str
    why_not: str = ""


class Advisor(Protocol):
    """Whoever answers what is not a fact. Each that starts raises Refused where too many wait."""

    def status(self) -> ModelStatus: ...

    def spending(self) -> Spending: ...

    async def analyze(self, symbols: Sequence[str], asker: Asker) -> Consultation:
        """Have symbols looked at, all in one prompt."""
        ...

    async def ask(self, question: str, about: str, reading: Reading, asker: Asker) -> Consultation:
        """Have a question answered; `about` is the message that it replies to, or empty."""
        ...

    async def autopsy(self, trade: Trade, asker: Asker) -> Consultation:
        """Have a closed trade looked into."""
        ...

    async def suggest(self, bot_id: str, asker: Asker) -> Consultation:
        """Have better parameters of a bot thought of, tried, and proposed if they are better."""
        ...

    async def brief(self, weekly: bool, asker: Asker) -> Consultation:
        """Have the last day or week told."""
        ...

    def consultation(self, number: int) -> Consultation | None:
        """One of this process, on its way or over; None where it is of before."""
        ...

    async def end_of(self, number: int) -> Consultation:
        """One of this process once it is over. Raises Refused where there is none."""
        ...
