"""A proposal: an instruction that waits for a human, bound to exactly what they are shown."""

import hashlib
import json
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache

from pydantic import TypeAdapter

from engine.mail import Address
from engine.order import OrderType, Side
from engine.signal import GateResult
from engine.tunable import Tier


class ProposalKind(StrEnum):
    """What it is about, which says how long it waits."""

    COMMAND = "command"
    ORDER = "order"
    ACCESS = "access"
    TUNING = "tuning"


class ProposalState(StrEnum):
    """OPEN waits for people, APPROVED for its delay to pass; the others are the end."""

    OPEN = "open"
    APPROVED = "approved"
    DONE = "done"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"

    @property
    def is_final(self) -> bool:
        return self not in (ProposalState.OPEN, ProposalState.APPROVED)


class Way(StrEnum):
    """How a decision was said: typed as a command, pressed, replied to the card, by a form."""

    TYPED = "typed"
    BUTTON = "button"
    REPLY = "reply"
    FORM = "form"


MINUTE_MS = 60_000
EXPIRES_AFTER_MS = {
    ProposalKind.ORDER: MINUTE_MS,
    ProposalKind.COMMAND: 5 * MINUTE_MS,
    ProposalKind.ACCESS: 24 * 60 * MINUTE_MS,
    ProposalKind.TUNING: 24 * 60 * MINUTE_MS,
}


@dataclass(frozen=True, slots=True)
class Change:
    """A value as it is, and as it would be. It must still be `before` when it is decided."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """An order as it would be sent, at the price it was shown with.

    Money is in quote currency, `quantity` and `held` in base currency (`held` is what the
    account holds before, negative when short). `fee` is what opening or closing costs,
    `loss_at_stop` what is lost at the stop, both fees counted; `share` is the order's worth as a
    fraction of the account's equity. `gates` are all that it must pass, and what they say;
    `realizes` is what closing gains at this price, less its fee.

    `price` is where it is expected to be filled, `last` the symbol's last one. `asked_price` is
    that of a limit order, or what sets a stop off; what rests is withdrawn after `lasts_ms` of
    market time (0: never).
    `liquidation` is about where the exchange would take the position away.
    """

    account: str
    bot_id: str
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    value: Decimal
    leverage: int
    margin: Decimal
    fee: Decimal
    share: Decimal
    held: Decimal
    reduce_only: bool
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    loss_at_stop: Decimal | None = None
    gates: tuple[GateResult, ...] = ()
    realizes: Decimal | None = None
    order_type: OrderType = OrderType.MARKET
    asked_price: Decimal | None = None
    last: Decimal | None = None
    post_only: bool = False
    lasts_ms: int = 0
    liquidation: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What people are shown of an instruction, and what must still hold when they decide.

    `tickets` are several orders at once, of which those are sent that still hold then.
    """

    changes: tuple[Change, ...] = ()
    ticket: Ticket | None = None
    risk: str = ""
    tickets: tuple[Ticket, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposal, as it stands now. Times are UTC ms.

    `instruction` and `shown` are JSON, as the core wrote them. `asked_by` is the principal who
    asked, empty where nobody of the desk did, `asker` what they are called; the address is where
    it was asked. `phrase` is what has to be typed, empty where a press is enough. `needed` people
    other than the asker must approve; with 0 it is one, who may be the asker. `approved` counts
    those who did. `outcome` says how it ended, in words.
    """

    proposal_id: int
    books: str
    kind: ProposalKind
    tier: Tier
    title: str
    instruction: str
    shown: str
    asked_by: str
    asker: str
    surface: str
    chat_id: str
    thread_id: str
    created_at: int
    expires_at: int
    needed: int
    nonce: str = ""
    phrase: str = ""
    state: ProposalState = ProposalState.OPEN
    approved: int = 0
    decided_by: str = ""
    decided_at: int = 0
    effective_at: int = 0
    outcome: str = ""

    @property
    def address(self) -> Address | None:
        """The chat where it was asked; None where it was no chat."""
        if not self.chat_id:
            return None
        return Address(self.surface, self.chat_id, self.thread_id)


# What the topics of cards begin with.
CARDS = "proposal:"


def card_topic(proposal_id: int) -> str:
    """What the cards of one proposal in chats belong to."""
    return f"{CARDS}{proposal_id}"


def digest(proposal: Proposal) -> str:
    """SHA-256, in hex, over everything that a decision is bound to; nothing of it ever changes."""
    bound = [
        proposal.proposal_id,
        proposal.books,
        proposal.kind,
        proposal.tier,
        proposal.instruction,
        proposal.shown,
        proposal.asked_by,
        proposal.created_at,
        proposal.expires_at,
        proposal.needed,
        proposal.nonce,
        proposal.phrase,
    ]
    canonical = json.dumps(bound, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def shown_of(proposal: Proposal) -> Shown:
    """What people are shown of it."""
    return _shown().validate_json(proposal.shown)


def shown_text(shown: Shown) -> str:
    """What `shown_of` reads again."""
    return _shown().dump_json(shown).decode()


@cache
def _shown() -> TypeAdapter[Shown]:
    return TypeAdapter(Shown)


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's word on a proposal."""

    proposal_id: int
    principal_id: str
    approves: bool
    actor: str
    ts: int
