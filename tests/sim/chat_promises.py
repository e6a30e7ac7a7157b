"""What a desk promises to people in chats, and how each promise is looked at."""

from collections import Counter
from collections.abc import Callable

from engine.effect import Notice, NoticeKind
from engine.order import Order, Reason
from engine.ports import Commit
from engine.proposal import Proposal, ProposalState, Vote
from engine.store.memory import MemoryStore
from engine.tunable import Tier
from handlers.dispatch import OUR_FAULT
from handlers.notices import notice_reply
from tests.sim.chat import NAME, SimChat
from tests.sim.operators import ADMIN_ID, STRANGER_ID, TRADER_ID

# Who may approve what.
MAY = {Tier.YELLOW: {"ann": ADMIN_ID, "tom": TRADER_ID}, Tier.RED: {"ann": ADMIN_ID}}
OF_TRADES = frozenset({NoticeKind.ENTRY, NoticeKind.EXIT, NoticeKind.ORDER_REJECTED})
STRANGER = f"{NAME}:{STRANGER_ID}"
BY_HAND = frozenset({Reason.MANUAL_ENTRY, Reason.MANUAL_EXIT})

Hold = Callable[[str, bool, str], None]


class ChatPromises:
    """Looks at what people are promised; `hold` notes how each stands."""

    def __init__(self, chat: SimChat, hold: Hold) -> None:
        self._chat = chat
        self._hold = hold
        self._acted: set[str] = set()
        self._votes: Counter[int] = Counter()
        self._ended: dict[int, ProposalState] = {}
        self._tickets = 0
        self._ordered: set[str] = set()
        self._resumes = 0
        self._news: list[Notice] = []

    # -- at each commit ------------------------------------------------------------------------

    def on_commit(self, batch: Commit) -> None:
        for key in batch.answered:
            self._hold("an update acts at most once", key not in self._acted, key)
            self._acted.add(key)
        for fact in batch.facts:
            match fact:
                case Vote():
                    self._votes[fact.proposal_id] += fact.approves
                    known = fact.principal_id in MAY[Tier.YELLOW]
                    self._hold("nothing a stranger says changes anything", known, fact.actor)
                case Proposal():
                    self._stands(fact, batch)
        self._orders(batch)
        self._audit(batch)
        self._notices(batch)

    def _stands(self, proposal: Proposal, batch: Commit) -> None:
        number, words = proposal.proposal_id, f"{proposal.proposal_id} {proposal.title}"
        before = self._ended.get(number)
        self._hold("a proposal is decided once", before is None, f"{words}: {before} before")
        asked = proposal.asked_by in MAY[Tier.YELLOW]
        self._hold("nothing a stranger says changes anything", asked, words)
        if proposal.state.is_final:
            self._ended[number] = proposal.state
        if proposal.state is ProposalState.DONE:
            self._takes_effect(proposal, batch, words)

    def _takes_effect(self, proposal: Proposal, batch: Commit, words: str) -> None:
        number = proposal.proposal_id
        user_id = MAY[proposal.tier].get(proposal.decided_by)
        approved = (number, user_id) in self._chat.approvals
        once = self._votes[number] == 1
        self._hold(
            "what waits takes effect after one approval by somebody who may",
            user_id is not None and approved and once,
            f"{words} by {proposal.decided_by!r}, {self._votes[number]} times",
        )
        in_time = proposal.decided_at < proposal.expires_at
        self._hold("nothing takes effect too late", in_time, words)
        said = f"Proposal {number} ("
        named = any(
            row.action == "approved"
            and row.actor == f"{NAME}:{user_id} ({proposal.decided_by})"
            and row.detail.startswith(said)
            for row in batch.audit
        )
        self._hold("the audit names who approved", named, words)
        self._tickets += '"ticket":{' in proposal.shown
        self._resumes += proposal.title.startswith("Resume") and proposal.tier is Tier.RED

    def _orders(self, batch: Commit) -> None:
        """An order by hand is as many proposals' that were approved as there are such orders."""
        for fact in batch.facts:
            if isinstance(fact, Order) and fact.reason in BY_HAND:
                self._ordered.add(fact.order_link_id)
        ordered, tickets = len(self._ordered), self._tickets
        self._hold("an order by hand was approved", ordered <= tickets, f"{ordered} of {tickets}")

    def _audit(self, batch: Commit) -> None:
        for row in batch.audit:
            if row.actor.startswith(STRANGER):
                said = row.detail
                harmless = "refused" in said or "/whoami" in said
                self._hold(
                    "nothing a stranger says changes anything", harmless, f"{row.action} {said}"
                )

    def _notices(self, batch: Commit) -> None:
        for notice in batch.notices:
            if notice.kind in OF_TRADES:
                self._news.append(notice)
            if notice.kind is NoticeKind.DESK_RESUMED:
                self._resumes -= 1
                self._hold("a desk resumes once it was approved", self._resumes >= 0, "")

    # -- once all is calm ----------------------------------------------------------------------

    async def in_calm(self, store: MemoryStore) -> None:
        left = [update.key for update in self._chat.waiting]
        self._hold("what was said is taken", not left, str(left))
        rows = [row.key for row in await store.mail.unanswered()]
        answered = len(rows) <= self._chat.unkept
        self._hold("what was said is answered", answered, str(rows))
        kept = [f"{row.seq} {row.kind}" for row in await store.undelivered(100)]
        self._hold("no notice is left", not kept, str(kept))
        waiting = await store.mail.waiting_chats()
        self._hold("no message is left", not waiting, str(waiting))
        faults = [m.message_id for m in self._chat.messages if m.reply.error == OUR_FAULT]
        self._hold("no answer is a fault of ours", not faults, str(faults))
        self._arrived()

    def _arrived(self) -> None:
        """Each notice of a trade is in a chat, as often as there are such at least: those for one
        chat alone in that one, the others in the admin's."""
        for user_id in (ADMIN_ID, TRADER_ID):
            own = (each for each in self._chat.messages if each.user_id == user_id)
            there = Counter(repr(block) for each in own for block in each.reply.blocks)
            news = (each for each in self._news if _chat_of(each) == user_id)
            wanted = Counter(repr(block) for each in news for block in notice_reply(each).blocks)
            missing = list((wanted - there).elements())
            self._hold("news of a trade arrives", not missing, str(missing[:3]))


def _chat_of(notice: Notice) -> str:
    """Whose chat a notice goes to; the admin's has the news of everybody's orders anyway."""
    if notice.address is None:
        return ADMIN_ID
    return notice.address.chat_id if notice.address.chat_id != ADMIN_ID else ""
