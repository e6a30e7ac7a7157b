"""Stored notices on their way to people: shown at the consoles, and made letters to chats.

A notice is marked in the transaction that stores its letters, so that each chat gets one. A crash
before that shows it at the consoles a second time, and never loses it. To chats a proposal goes as
its card, and what changes of it as a renewal of every card: what they show is made when they are
sent.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from pydantic import TypeAdapter, ValidationError

from bot import letter as letters
from bot.letter import Letter
from engine.effect import Notice, NoticeKind
from engine.errors import Unreachable
from engine.mail import Address, Delivery, Priority
from engine.ports import Clock, Commit, OutboxRow, Store
from engine.proposal import Proposal, card_topic
from handlers.notices import notice_reply
from handlers.reply import Reply

# Notices handed over before they are marked together.
BATCH = 200
# What comes within this time goes out and is marked together: nobody sees the difference, and
# a fast replay is not slowed down by a transaction for each notice.
GATHER_S = 0.1
# How soon a database that could not be reached is asked again.
RETRY_S = 2.0

log = structlog.get_logger()

_NOTICE: TypeAdapter[Notice] = TypeAdapter(Notice)


# What goes first to a chat where several messages wait.
URGENT = frozenset(
    {
        NoticeKind.DESK_HALTED,
        NoticeKind.ORDER_REJECTED,
        NoticeKind.TROUBLE,
        NoticeKind.SECURITY,
        NoticeKind.RISK,
        NoticeKind.DIFFERENCE,
        NoticeKind.PROTECTION,
        NoticeKind.ORDER_UNKNOWN,
    }
)


# What is no news of the market's past, whenever it came: what people wait for or must know.
NEVER_PAST = frozenset(
    {
        NoticeKind.DESK_STOPPED,
        NoticeKind.PROPOSED,
        NoticeKind.PROPOSAL_CHANGED,
        NoticeKind.PROPOSAL_ENDED,
        NoticeKind.SECURITY,
        NoticeKind.AUDIT_ANCHOR,
    }
)


class Outbox:
    """Shows each stored notice with `tell`, oldest first, and stores a letter for each chat.

    `audience` gives the chats that a notice goes to, `badge` what stands beneath it; `posted` is
    called when letters wait.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        tell: Callable[[Notice], None],
        audience: Callable[[Notice], Sequence[Address]] = lambda notice: (),
        badge: Callable[[], str] = lambda: "",
        posted: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._tell = tell
        self._audience = audience
        self._badge = badge
        self._posted = posted
        self._delivering = asyncio.Lock()
        self.skipped = False
        self._failed = False
        self._wake = asyncio.Event()
        self._wake.set()

    def on_commit(self, batch: Commit) -> None:
        if batch.notices:
            self._wake.set()

    async def run(self) -> None:
        """Deliver for as long as the desk runs."""
        while True:
            await self._wake.wait()
            await self._clock.sleep(GATHER_S if not self._failed else RETRY_S)
            self._wake.clear()
            await self.deliver()

    async def deliver(self) -> None:
        """Hand over everything that waits. While the database can't be read it stays there."""
        try:
            # One at a time: each notice becomes its letters once.
            async with self._delivering:
                await self._deliver()
        except Unreachable as error:
            log.warning("notices wait for the database", error=str(error))
            self._failed = True
            self._wake.set()
        else:
            self._failed = False

    async def _deliver(self) -> None:
        while rows := await self._store.undelivered(BATCH):
            await self._route(rows, rows)

    async def skip(self) -> None:
        """Mark what waits as delivered without telling anybody: news of the past.

        What people wait for or must know is told even then.
        """
        async with self._delivering:
            while rows := await self._store.undelivered(BATCH):
                await self._route(rows, [row for row in rows if row.kind in NEVER_PAST])
        self.skipped = True

    async def _route(self, rows: Sequence[OutboxRow], told: Sequence[OutboxRow]) -> None:
        """Mark all rows, with the letters of those that are told."""
        deliveries = [delivery for row in told for delivery in await self._hand_over(row)]
        seqs = [row.seq for row in rows]
        await self._store.mail.route(seqs, deliveries, self._clock.now())
        if deliveries:
            self._posted()

    async def _hand_over(self, row: OutboxRow) -> list[Delivery]:
        try:
            notice = _NOTICE.validate_json(row.body)
        except ValidationError as error:
            # Told as what it is: one unreadable row must not keep back all that follow.
            log.error("a notice can't be read", seq=row.seq, error=str(error))
            text = f"Notice {row.seq} ({row.kind}) can't be read. The log says why."
            notice = Notice(NoticeKind.MARKET_REMARK, row.ts, text=text)
        self._tell(notice)
        return await self._letters(notice)

    async def _letters(self, notice: Notice) -> list[Delivery]:
        match notice:
            case Notice(kind=NoticeKind.PROPOSED, proposal=Proposal(proposal_id=number)):
                return await self._cards(notice, number)
            case Notice(kind=NoticeKind.PROPOSAL_CHANGED, proposal=Proposal(proposal_id=number)):
                return await self._renewals(number)
        audience = self._audience(notice)
        if not audience:
            return []
        reply = replace(notice_reply(notice), badge=self._badge() or None)
        priority = Priority.URGENT if notice.kind in URGENT else Priority.NEWS
        return self._to(audience, priority, notice.topic or "", Letter(reply, is_news=True))

    async def _cards(self, notice: Notice, proposal_id: int) -> list[Delivery]:
        """A card for each chat that has none yet, as whoever asked has."""
        card = Letter(Reply(), card=proposal_id)
        posted = await self._store.mail.posted_chats(card.topic)
        wanted = [at for at in self._audience(notice) if at not in posted]
        return self._to(wanted, Priority.URGENT, card.topic, card)

    async def _renewals(self, proposal_id: int) -> list[Delivery]:
        """What brings the cards up to date, wherever there are any."""
        posted = await self._store.mail.posted_chats(card_topic(proposal_id))
        renewal = Letter(Reply(), card=proposal_id, renews=True)
        return self._to(posted, Priority.URGENT, renewal.topic, renewal)

    def _to(
        self, audience: Sequence[Address], priority: Priority, topic: str, letter: Letter
    ) -> list[Delivery]:
        body, now = letters.to_body(letter), self._clock.now()
        return [
            Delivery(at.surface, at.chat_id, at.thread_id, now, priority, topic, body)
            for at in audience
        ]
