"""What a button carries: at most 64 bytes, which is what Telegram takes.

A button that only looks carries its command, `r:status`, and is good for ever; so is one that
asks first, `a:alert BTCUSDT|direction,price`, one for strangers, `r:access`, and one of the
emergency stop, `r:kill flatten`, which waits for no database: the gate judges them by their words
alone. One that acts, or whose command is too long, carries the number of a
stored row, `b:17`: good in its chat, for a day, and once. One that is for whoever asked is always
such a row, and good for them alone. Beneath news the letters are others, `n`
and `m`: what they lead to is a message of its own, and the news stays. One that decides a proposal
carries a token (`bot.tokens`), which nobody else can make.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot import tokens
from bot.people import People
from bot.surface import NotSent
from bot.tokens import Tokens
from bot.update import Update
from engine.candle import DAY_MS
from engine.drafts import instruction_of
from engine.errors import Unreachable
from engine.mail import Address, Offer
from engine.people import Role
from engine.ports import Clock, Mail
from engine.proposal import Proposal, ProposalState
from engine.tiers import decider
from engine.tunable import Tier
from handlers import COMMANDS
from handlers.command import Kind, Principal, find
from handlers.reply import Button

DATA_BYTES_MAX = 64
# More is no number of a database's.
NUMBER_DIGITS_MAX = 18
# What they lead to comes in the place of their card, or as a message of its own.
READ, STORED = "r", "b"
READ_BESIDE, STORED_BESIDE = "n", "m"
ASK = "a"
GOOD_FOR_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a pressed button asks for: a line to run, or the stored row that holds it.

    `asks` are the arguments that the line lacks; `edit` says that the answer takes the place of
    the button's card. `decision` is the token of one that decides the proposal with the number
    `proposal_id`; it `asks_phrase` where a press alone is not enough.
    """

    line: str = ""
    edit: bool = False
    offer: int = 0
    asks: tuple[str, ...] = ()
    decision: str = ""
    proposal_id: int = 0
    asks_phrase: bool = False


class Offers:
    """Makes the data of buttons, keeps the rows of those that need one, and knows tokens again.

    `proposal` finds a proposal by its number.
    """

    def __init__(
        self,
        mail: Mail,
        clock: Clock,
        people: People,
        tokens: Tokens,
        proposal: Callable[[int], Awaitable[Proposal | None]],
    ) -> None:
        self._mail = mail
        self._clock = clock
        self._people = people
        self._tokens = tokens
        self._proposal = proposal

    async def data(
        self, address: Address, buttons: Sequence[Button], edit: bool, user_id: str = ""
    ) -> list[str]:
        """What each button carries; `edit` says that the answer takes the place of its card, which
        answers the account `user_id`.

        Raises NotSent where those that need a row can't be kept.
        """
        kind = READ if edit else READ_BESIDE
        short = [self._token(address, button) or _short(button, kind) for button in buttons]
        stored = [button for button, data in zip(buttons, short, strict=True) if not data]
        expires_at = self._clock.now() + GOOD_FOR_MS
        # Of a card that answers nobody, in a group no account has the chat's own id.
        asker = user_id or address.chat_id
        rows = [
            Offer(
                address.surface,
                address.chat_id,
                button.command,
                expires_at,
                asker if button.only_asker else "",
            )
            for button in stored
        ]
        try:
            ids = iter(await self._mail.offer(rows))
        except Unreachable as error:
            raise NotSent(f"its buttons can't be kept: {error}") from error
        kind = STORED if edit else STORED_BESIDE
        return [data or f"{kind}:{next(ids)}" for data in short]

    def _token(self, address: Address, button: Button) -> str:
        """The token of a button that decides; in somebody's own chat it is good for them alone."""
        if button.decides is None:
            return ""
        is_somebodys = self._people.find(address.surface, address.chat_id) is not None
        user_id = address.chat_id if is_somebodys else ""
        return self._tokens.make(button.decides, address, user_id)

    async def decided(self, update: Update) -> Proposal | None:
        """The proposal that a token in an update decides; None where it is none of ours, or not
        for this place and person."""
        claim = tokens.read(update.decision)
        found = await self._proposal(claim.proposal_id) if claim else None
        if found is None:
            return None
        good = self._tokens.verify(update.decision, found, update.address, update.user_id)
        return found if good else None

    async def phrase(self, update: Update, principal: Principal) -> str:
        """What whoever pressed has to type to approve; empty where they have nothing to.

        Then the press is answered like any other, and they are told why.
        """
        try:
            proposal = await self.decided(update)
        except Unreachable:
            return ""
        if proposal is None:
            return ""
        may = principal.role >= decider(proposal.tier, instruction_of(proposal))
        waits = proposal.state is ProposalState.OPEN and self._clock.now() < proposal.expires_at
        # Where others must approve, whoever asked would type it all for nothing.
        others = proposal.needed > 0 and proposal.asked_by == principal.principal_id
        return proposal.phrase if may and waits and not others else ""


def pressed(data: str) -> Pressed | None:
    """What a button's data says; None for data that no button of ours carries.

    Whether a token is ours is not told by its looks: `Offers.decided` does.
    """
    if claim := tokens.read(data):
        return Pressed(
            line=f"/{'approve' if claim.approves else 'reject'} {claim.proposal_id}",
            edit=True,
            decision=data,
            proposal_id=claim.proposal_id,
            asks_phrase=claim.approves and claim.tier is Tier.RED,
        )
    kind, _, rest = data.partition(":")
    is_number = rest.isascii() and rest.isdigit() and len(rest) <= NUMBER_DIGITS_MAX
    if kind in (STORED, STORED_BESIDE) and is_number:
        return Pressed(offer=int(rest), edit=kind == STORED)
    if kind in (READ, READ_BESIDE) and _is_plain(rest.split()):
        return Pressed(line=f"/{rest}", edit=kind == READ)
    if kind == ASK and "|" in rest:
        command, _, asks = rest.partition("|")
        return _asking(command.split(), tuple(asks.split(",")))
    return None


def _asking(words: Sequence[str], asks: tuple[str, ...]) -> Pressed | None:
    """What is asked for, where the command has such arguments."""
    found = find(COMMANDS, words) if words else None
    if found is None or not set(asks) <= {argument.name for argument in found[0].arguments}:
        return None
    return Pressed(line=f"/{' '.join(words)}", asks=asks)


def _is_plain(words: Sequence[str]) -> bool:
    """Whether a button carries its command: it only looks, or is one that strangers may say, or
    stops everything."""
    found = find(COMMANDS, words) if words else None
    if found is None:
        return False
    target, rest = found
    for_strangers = target.role is Role.NOBODY and not rest
    return target.kind is Kind.READ or target.emergency or for_strangers


def _short(button: Button, kind: str) -> str:
    """The data of a button that needs no row; empty where it does."""
    words = button.command.removeprefix("/").split()
    if button.asks:
        data = f"{ASK}:{' '.join(words)}|{','.join(button.asks)}"
    elif _is_plain(words) and not button.only_asker:
        data = f"{kind}:{' '.join(words)}"
    else:
        return ""
    return data if len(data.encode()) <= DATA_BYTES_MAX else ""
