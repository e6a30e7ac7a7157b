"""Live against replay: what a bot traded beside what the exact backtest trades on its bars. Pure.

Trades are matched by symbol, side and the bar they were entered on. A difference is followed until
both sides are flat again: what differs in a symbol until then follows from it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.ledger import Funding
from engine.order import Reason
from engine.signal import Action, Decision
from engine.standing import said_time
from engine.stays import FOREVER, Pair, Stay, Traded, paired, stays
from engine.tuning import Comparison, DifferenceKind, Divergence

# How far apart two prices of one trade may lie, as a share of the price.
PRICE_TOLERANCE = 0.001
# How far apart two fees or payments of funding may lie: of themselves, and of what was traded
# (they are rounded).
MONEY_TOLERANCE = 0.01
MONEY_SLACK = 1e-7
# So many trades whose price or fee is off, or settlements of funding, are no chance.
OFF_MIN = 2
# More is not kept: the sentence counts them all.
FOUND_MAX = 100

BY_SOMEBODY = {
    Reason.MANUAL_ENTRY: "a person opened it",
    Reason.MANUAL_EXIT: "a person closed it",
    Reason.KILL: "the emergency stop closed it",
    Reason.UNPROTECTED: "it was closed because it had no stop",
    Reason.EXTERNAL: "somebody else traded on the account",
    Reason.SETTLEMENT: "the exchange settled it",
    Reason.AUTO_DELEVERAGING: "the exchange deleveraged it",
}
STOPS = (Reason.STOP_LOSS, Reason.TRAILING_STOP)
TARGETS = (Reason.TAKE_PROFIT,)


class Touch(NamedTuple):
    """Something beside strategy and rules that a trade went through at `ts` (UTC ms; 0: at a time
    nobody knows), in words."""

    ts: int
    symbol: str
    words: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is compared, from `start` to before `end` (UTC ms), and how.

    The backtest acts on bars that close after `begins`. `bar` is the length of the strategy's bars
    in ms, `price` how far apart prices may lie. With `ticked` live stops meet every price, those of
    the backtest whole bars; `stop_moves` says that they trail or break even.
    """

    start: int
    end: int
    bar: int
    begins: int = 0
    price: float = PRICE_TOLERANCE
    ticked: bool = False
    stop_moves: bool = False

    @property
    def reach(self) -> int:
        """How far apart two moments on one bar, or on neighbors, may lie: a fill takes its time."""
        return self.bar * 3 // 2


def compare(
    bot_id: str,
    terms: Terms,
    live: Traded,
    replayed: Traded,
    touches: Collection[Touch] = (),
    bars: int = 0,
    remarks: Sequence[str] = (),
) -> Comparison:
    """Hold what a bot did against what the exact backtest does with the same rules and bars.

    Both may begin before `terms.start`, so that a difference of before explains what follows. The
    last bar is left to the next comparison: its orders may not be filled yet.

    It diverges where one side entered or left alone and nothing explains it: decisions are exact,
    there is no chance in them. Prices, fees and funding are told at once, and are a divergence from
    the second trade (settlement) on: one stop that a price just touched, or one maker's fee, is
    chance; a wrong rule is off again and again.
    """
    walk = _Walk(terms, live, replayed, touches)
    pairs = paired(stays(live, terms.end), stays(replayed, terms.end), terms.reach)
    for pair in pairs:
        walk.take(pair)
    inside = [pair for pair in pairs if walk.is_told(pair.entered_at) or walk.is_told(pair.left_at)]
    return Comparison(
        bot_id=bot_id,
        start=terms.start,
        end=terms.end,
        bars=bars,
        live=sum(pair.live is not None for pair in inside),
        replayed=sum(pair.replayed is not None for pair in inside),
        matched=sum(len(pair.there) == 2 for pair in inside),
        found=_kept(walk.found),
        diverges=_verdict(walk.found, walk.off),
        remarks=tuple(remarks),
    )


def _kept(found: Iterable[Divergence]) -> tuple[Divergence, ...]:
    """In the order of time; of too many those that explain themselves go first."""
    weighty = sorted(found, key=lambda each: (each.kind is DifferenceKind.EXPLAINED, each.ts))
    return tuple(sorted(weighty[:FOUND_MAX], key=lambda each: (each.ts, each.symbol)))


def _verdict(
    found: Iterable[Divergence], off: Mapping[DifferenceKind, Collection[tuple[str, int]]]
) -> str:
    counts = Counter(each.kind for each in found)
    missing, extra = counts[DifferenceKind.MISSING], counts[DifferenceKind.EXTRA]
    said = [
        (missing, f"{_ways(missing)} of the backtest {_were(missing)} not traded live"),
        (extra, f"{_ways(extra)} {_were(extra)} traded live alone"),
    ]
    for kind, noun in NOUNS.items():
        count = len(off[kind])
        said.append((count if count >= OFF_MIN else 0, f"{kind} is off in {_many(count, noun)}"))
    words = "; ".join(text for count, text in said if count)
    return f"{words[0].upper()}{words[1:]}." if words else ""


NOUNS = {
    DifferenceKind.PRICE: "trade",
    DifferenceKind.FEE: "trade",
    DifferenceKind.FUNDING: "settlement",
}


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _ways(count: int) -> str:
    return "1 entry or exit" if count == 1 else f"{count} entries or exits"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


@dataclass
class _Walk:
    """Goes through trades in the order of time, and remembers what differs until when.

    `off` are the trades, by symbol and entry, or settlements, of which something is off by kind.
    """

    terms: Terms
    live: Traded
    replayed: Traded
    touches: Collection[Touch]
    found: list[Divergence] = field(default_factory=list)
    off: dict[DifferenceKind, set[tuple[str, int]]] = field(default_factory=dict)
    upset: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.off = {kind: set() for kind in NOUNS}
        self._paid = [
            {(each.symbol, each.ts): each for each in side.payments}
            for side in (self.live, self.replayed)
        ]

    def is_told(self, ts: int) -> bool:
        """Whether what happened then belongs to this comparison."""
        return self.terms.start - self.terms.bar <= ts < self.terms.end - self.terms.bar

    def take(self, pair: Pair) -> None:
        if pair.live is None or pair.replayed is None:
            [stay] = pair.there
            self._alone(stay, is_live=pair.live is not None)
            return
        why = (
            self._touch(pair)
            or self._decided_before(pair.live)
            or self._why_shifted(pair.live, pair.replayed)
        )
        self._entries(pair.live, pair.replayed, why)
        self._exits(pair.live, pair.replayed, why)
        self._fees(pair.live, pair.replayed, why)
        self._fundings(pair.live, pair.replayed)

    def _note(
        self, kind: DifferenceKind, why: str, symbol: str, ts: int, both: tuple[str, str], said: str
    ) -> None:
        """A difference: `why` explains it, where that is empty it is what was `said`."""
        if self.is_told(ts):
            kind = DifferenceKind.EXPLAINED if why else kind
            self.found.append(Divergence(kind, symbol, ts, *both, why or said))

    def _upset(self, symbol: str, since: int, until: int) -> None:
        """From now on the sides differ in a symbol, until both are flat."""
        first, last = self.upset.get(symbol, (since, 0))
        self.upset[symbol] = (first if since <= last else since, max(last, until))

    # -- a trade of one side -------------------------------------------------------------

    def _alone(self, stay: Stay, is_live: bool) -> None:
        before = self.terms.start - self.terms.bar
        why = self._why_alone(stay, is_live)
        ts = stay.entered_at
        if ts < before <= stay.left_at:
            why, ts = f"it was opened before, {said_time(ts)}", self.terms.start
        kind = DifferenceKind.EXTRA if is_live else DifferenceKind.MISSING
        there = f"{stay.side} at {_price(stay.entry)}, {stay.entered_by}"
        both = (there, "nothing") if is_live else ("nothing", there)
        self._note(kind, why, stay.symbol, ts, both, self._said_alone(stay, is_live))
        self._upset(stay.symbol, stay.entered_at, stay.left_at)

    def _why_alone(self, stay: Stay, is_live: bool) -> str:
        if is_live and stay.entered_by in BY_SOMEBODY:
            return BY_SOMEBODY[stay.entered_by]
        if is_live and (before := self._decided_before(stay)):
            return before
        if follows := self._follows(stay):
            return follows
        decided = self._decided(self.replayed if is_live else self.live, stay)
        if decided is None or decided.approved or (is_live and not self.upset):
            return ""
        after = "in the backtest, after what differed before, " if is_live else ""
        return f"{after}{_refused(decided)}"

    def _decided_before(self, live: Stay) -> str:
        """Whether a live trade was decided on before the backtest began, in words."""
        decided = self._decided(self.live, live)
        if (decided.ts if decided else live.entered_at) > self.terms.begins:
            return ""
        return f"it was decided on before, by {said_time(self.terms.begins)}"

    def _follows(self, stay: Stay) -> str:
        """Whether the sides differed already when a position was opened, in words."""
        first, last = self.upset.get(stay.symbol, (0, -FOREVER))
        if stay.entered_at > last + self.terms.reach:
            return ""
        return f"it follows from what differs since {said_time(first)}"

    def _said_alone(self, stay: Stay, is_live: bool) -> str:
        decided = self._decided(self.replayed if is_live else self.live, stay)
        where = "in the backtest" if is_live else "live"
        if decided is None:
            return f"{where} the strategy asked for nothing then"
        if decided.approved:
            return f"{where} it was ordered, and nothing came of that"
        return f"{where} {_refused(decided)}"

    def _decided(self, traded: Traded, stay: Stay) -> Decision | None:
        """What one side made of the signal that the other entered on."""
        near = [
            each
            for each in traded.decisions
            if each.action is Action.ENTRY
            and (each.symbol, each.side) == (stay.symbol, stay.side)
            and abs(each.ts - stay.entered_at) <= self.terms.reach
        ]
        return min(near, key=lambda each: abs(each.ts - stay.entered_at), default=None)

    # -- a trade of both -----------------------------------------------------------------

    def _touch(self, pair: Pair) -> str:
        """What beside strategy and rules happened to a trade; empty where nothing is known."""
        symbol, last = pair.there[0].symbol, pair.left_at + self.terms.bar
        first = pair.entered_at
        met = (
            t for t in self.touches if t.symbol == symbol and (not t.ts or first <= t.ts <= last)
        )
        return next((touch.words for touch in met), "")

    def _why_shifted(self, live: Stay, replayed: Stay) -> str:
        """Why they were not entered on the very same bar; what is off about such a trade, its way
        out too, follows from that."""
        if abs(live.entered_at - replayed.entered_at) < self.terms.bar / 2:
            return ""
        if follows := self._follows(live):
            return follows
        decided = self._decided(self.live, replayed)
        if decided is None or decided.approved or live.entered_at < replayed.entered_at:
            return ""
        return f"it came later, for {_refused(decided)}"

    def _entries(self, live: Stay, replayed: Stay, why: str) -> None:
        if _apart(live.entry, replayed.entry) > self.terms.price:
            both = f"entered at {_price(live.entry)}", f"at {_price(replayed.entry)}"
            self._price_off(live, replayed, replayed.entered_at, why, both)

    def _exits(self, live: Stay, replayed: Stay, why: str) -> None:
        ts = min(live.left_at, replayed.left_at)
        if ts == FOREVER:
            return
        both = _way_out(live), _way_out(replayed)
        somebody = BY_SOMEBODY.get(live.left_by, "") if live.left_by else ""
        why = somebody or why or self._why_left(live, replayed)
        if abs(live.left_at - replayed.left_at) > self.terms.reach:
            self._left_alone(live, replayed, ts, why, both)
            self._upset(live.symbol, ts, max(live.left_at, replayed.left_at))
        elif _apart(live.exit, replayed.exit) > self.terms.price:
            self._price_off(live, replayed, ts, why, both)

    def _why_left(self, live: Stay, replayed: Stay) -> str:
        """What bars can't tell of a way out that is met inside of one."""
        if not self.terms.ticked:
            return ""
        reasons = {live.left_by, replayed.left_by}
        if self.terms.stop_moves and reasons.intersection(STOPS):
            return "live its stop moves with every price, in the backtest with every bar"
        near = abs(live.left_at - replayed.left_at) <= self.terms.reach
        if near and reasons.intersection(STOPS) and reasons.intersection(TARGETS):
            return "stop and target lie within one bar, of which the backtest takes the stop"
        return ""

    def _left_alone(
        self, live: Stay, replayed: Stay, ts: int, why: str, both: tuple[str, str]
    ) -> None:
        first = min(live, replayed, key=lambda stay: stay.left_at)
        if self.terms.ticked and first.left_by in (*STOPS, *TARGETS):
            # A level is just touched by one of the prices in a second, and not by another.
            self._price_off(live, replayed, ts, why, both)
            return
        kind = DifferenceKind.EXTRA if first is live else DifferenceKind.MISSING
        said = "one side left, and the other did not on that bar"
        self._note(kind, why, live.symbol, ts, both, said)

    def _price_off(
        self, live: Stay, replayed: Stay, ts: int, why: str, both: tuple[str, str]
    ) -> None:
        kind = DifferenceKind.PRICE
        said = f"a difference of {self.terms.price:.2%} is allowed, at the same bar"
        self._note(kind, why, live.symbol, ts, both, said)
        self._count(kind, why, live.symbol, replayed.entered_at, ts)

    def _count(self, kind: DifferenceKind, why: str, symbol: str, which: int, ts: int) -> None:
        if self.is_told(ts) and not why:
            self.off[kind].add((symbol, which))

    def _fees(self, live: Stay, replayed: Stay, why: str) -> None:
        if _is_near(live.fee, replayed.fee):
            return
        both = f"{live.fee:.4%}", f"{replayed.fee:.4%}"
        ts, kind = replayed.entered_at, DifferenceKind.FEE
        self._note(kind, why, live.symbol, ts, both, "fees are another share of what was traded")
        self._count(kind, why, live.symbol, ts, ts)

    def _fundings(self, live: Stay, replayed: Stay) -> None:
        """Settlements while both sides held the position for certain."""
        first = max(live.entered_at, replayed.entered_at)
        last = min(live.left_at, replayed.left_at)
        symbol = live.symbol
        stamps = {
            ts for paid in self._paid for at, ts in paid if at == symbol and first < ts < last
        }
        for ts in sorted(stamps):
            rates = [_share(paid.get((symbol, ts))) for paid in self._paid]
            if None not in rates and _is_near(rates[0] or 0.0, rates[1] or 0.0):
                continue
            both = _said_share(rates[0]), _said_share(rates[1])
            said = "funding is another share of the position"
            self._note(DifferenceKind.FUNDING, "", symbol, ts, both, said)
            self._count(DifferenceKind.FUNDING, "", symbol, ts, ts)


def _refused(decided: Decision) -> str:
    return f"the gate `{decided.gate}` refused it: {decided.detail}"


def _apart(one: float, other: float) -> float:
    return abs(one / other - 1.0)


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= max(MONEY_SLACK, MONEY_TOLERANCE * max(abs(one), abs(other)))


def _share(payment: Funding | None) -> float | None:
    """What was received, as a share of the position's worth; None where nothing was settled."""
    if payment is None or not payment.quantity:
        return None
    return float(payment.amount / abs(payment.quantity * payment.price))


def _said_share(share: float | None) -> str:
    return "nothing was settled" if share is None else f"{share:+.4%}"


def _price(price: float) -> str:
    return f"{price:,.10g}"


def _way_out(stay: Stay) -> str:
    if stay.left_at == FOREVER:
        return "still held"
    return f"left at {_price(stay.exit)}, {stay.left_by}, {said_time(stay.left_at)}"
