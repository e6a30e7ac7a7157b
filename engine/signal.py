"""Decisions: what a strategy wanted, what the gates said to it, and why."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from engine.order import Order, Reason, Side


class Action(StrEnum):
    ENTRY = "entry"
    EXIT = "exit"


class Sides(StrEnum):
    """Which sides may be entered: a person's word, or that of a regime."""

    BOTH = "both"
    LONG_ONLY = "long_only"
    SHORT_ONLY = "short_only"

    def allow(self, side: Side) -> bool:
        return self is Sides.BOTH or (self is Sides.LONG_ONLY) == (side is Side.BUY)

    @property
    def words(self) -> str:
        return {"both": "both sides", "long_only": "long only", "short_only": "short only"}[self]


class GateResult(NamedTuple):
    """One gate's answer to one signal: its name, whether it lets pass, the numbers behind."""

    gate: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Approved:
    """An order cleared to be submitted, and only this can be: an entry that every gate let pass,
    or a reduction, which meets none."""

    order: Order


@dataclass(frozen=True, slots=True)
class Denied:
    """A signal that a gate stopped: which one, and why."""

    gate: str
    detail: str


@dataclass(frozen=True, slots=True)
class Opposed:
    """An entry at the market that a bias spoke against: what was not sent for it, or was where a
    bias only watches. `quantity` is in base currency, its levels are prices (None: it has none)."""

    quantity: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one signal. `gate` and `detail` name the refusal, else are empty;
    `confidence` is the strategy's own, from 0 to 1. `consultation` is the number of the analysis
    whose bias was looked at, 0 where there was none; `instead` says what would have become of the
    signal without it, where that is something else, or with it, where it stops nothing. `opposed`
    is the entry that would have been made, or was, where the bias alone speaks against it."""

    decision_id: int
    account: str
    bot_id: str
    symbol: str
    ts: int
    action: Action
    side: Side
    reason: Reason
    price: float
    approved: bool
    gate: str
    detail: str
    order_link_id: str | None
    confidence: float = 1.0
    consultation: int = 0
    instead: str = ""
    opposed: Opposed | None = None
