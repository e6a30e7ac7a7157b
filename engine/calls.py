"""What is kept of each call of a model: what was sent, what came back, what it cost.

Nouns. `ts` is wall time (UTC ms), costs are in US dollars.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

# What was sent and answered is kept for so long; what it cost stays in the sums of its month.
KEPT_DAYS = 30


class Purpose(StrEnum):
    """What a model is asked for."""

    ANALYSIS = "analysis"
    QUESTION = "question"
    AUTOPSY = "autopsy"
    SUGGESTION = "suggestion"
    BRIEFING = "briefing"


class CallState(StrEnum):
    """How a call stands. One that was `asked` and never ended cost what was reserved for it, for
    all that anybody knows; one that was `computed` asked no model."""

    ASKED = "asked"
    ANSWERED = "answered"
    FAILED = "failed"
    COMPUTED = "computed"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One call of a model, or one answer that was computed in its stead.

    `consultation` is the number of the first call made for the same end: what people know it by.
    `subject` says in a few words what it is about, `asked_by` is an actor of the audit. While it is
    `asked`, `cost` is what it may cost at most. `result` is what was made of the answer, as JSON,
    once it was found valid; `failure` says in a sentence why there is none.
    """

    call_id: int
    consultation: int
    books: str
    ts: int
    purpose: Purpose
    subject: str
    asked_by: str
    model: str
    prompt: str
    state: CallState = CallState.ASKED
    answer: str = ""
    result: str = ""
    failure: str = ""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    latency_ms: int = 0


@dataclass(frozen=True, slots=True)
class DayCost:
    """What the calls of one purpose to one model came to on one day, which began at `day`."""

    day: int
    purpose: Purpose
    model: str
    calls: int
    failed: int
    prompt_tokens: int
    output_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Spending:
    """What models have cost on this day and in this month (UTC), what they may at most, and when
    the day and the month begin anew (UTC ms)."""

    day: Decimal
    month: Decimal
    daily_cap: Decimal
    monthly_cap: Decimal
    day_ends: int
    month_ends: int


class Calls(Protocol):
    """The calls of models that are stored. Each raises Unreachable; what writes, LostLock too."""

    async def put(self, call: ModelCall) -> None:
        """Store a call, in the place of the row with its number if there is one."""
        ...

    async def last_id(self) -> int:
        """The greatest number of a call ever stored; 0 where there is none."""
        ...

    async def of(self, consultation: int) -> list[ModelCall]:
        """The calls of one consultation, in their order."""
        ...

    async def last(self, limit: int, purpose: Purpose | None = None) -> list[ModelCall]:
        """The first call of each of the last consultations, newest first."""
        ...

    async def spent(self, since: int) -> Decimal:
        """What calls since `since` (UTC ms) cost, whatever books were open."""
        ...

    async def costs(self, since: int) -> Sequence[DayCost]:
        """What calls since `since` (UTC ms) cost, newest day first."""
        ...

    async def prune(self, before: int) -> None:
        """Forget what was sent and answered before `before` (UTC ms); costs stay."""
        ...
