"""What goes wrong in one simulation: a plan that is drawn from a seed, written down, and shrunk.

A plan is a list of faults. Some last for a while and strike what happens meanwhile with a
probability; others happen once. Whether one strikes is a function of the seed, its kind and what
is struck, and of nothing else: a fault taken out of a plan changes nothing for the others.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from random import Random

from tests.sim.loop import SimLoop

# How long things go wrong, then how long all is well (virtual seconds): longer than a desk takes to
# look at all that it holds at the exchange once more.
STORM_S, CALM_S = 900.0, 330.0
# Which share of the kinds a seed has, and how many faults of each.
SHARE = 0.55
EACH_MAX = 3


class Kind(StrEnum):
    """Everything that can go wrong; those that happen once come last."""

    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    SLOW_REQUEST = "slow request"
    REFUSED = "refused"
    RATE_LIMITED = "rate limited"
    NOT_VISIBLE = "not visible yet"
    NEWS_LOST = "news lost"
    NEWS_TWICE = "news twice"
    NEWS_LATE = "news late"
    STORE_DOWN = "database out of reach"
    STORE_SLOW = "database slow"
    SKEW = "clock wrong"
    CHAT_AWAY = "chat out of reach"
    CHAT_BUSY = "chat asks for patience"
    CHAT_SILENT = "chat took it and did not say so"
    UPDATE_TWICE = "update delivered twice"
    PRESSED_TWICE = "pressed twice"
    CRASH = "crash"
    CRASH_AT_COMMIT = "crash at a commit"
    STREAM_CUT = "stream cut"
    SECOND_DESK = "second desk"
    FUNDING = "funding"
    DELEVERAGED = "deleveraged"
    BY_HAND = "traded by hand"
    STRANGER = "said by a stranger"
    STOP_TAKEN = "stop taken away"


ONCE = frozenset(list(Kind)[list(Kind).index(Kind.CRASH) :])


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong: from `at` on for `lasts` seconds with `chance`, or once at `at`.

    `number` tells faults of a kind apart; it is what a fault that happens once is about.
    """

    kind: Kind
    at: float
    lasts: float = 0.0
    chance: float = 1.0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """All that goes wrong in one simulation."""

    seed: int
    faults: tuple[Fault, ...]

    @classmethod
    def of(cls, seed: int) -> "Plan":
        """The plan of a seed."""
        chance = Random(f"plan {seed}")
        found: list[Fault] = []
        for kind in Kind:
            if chance.random() < SHARE:
                count = chance.randint(1, EACH_MAX)
                found += [_drawn(kind, chance, number) for number in range(count)]
        return cls(seed, tuple(sorted(found, key=lambda fault: (fault.at, fault.kind))))

    def once(self) -> Sequence[Fault]:
        """Those that happen at a moment, in their order."""
        return [fault for fault in self.faults if fault.kind in ONCE]


def _drawn(kind: Kind, chance: Random, number: int) -> Fault:
    at = chance.uniform(20.0, STORM_S)
    if kind in ONCE:
        return Fault(kind, at, number=chance.randrange(1_000))
    lasts = chance.uniform(10.0, STORM_S / 3)
    return Fault(kind, at, min(lasts, STORM_S - at), chance.choice((0.05, 0.2, 0.5, 1.0)), number)


class Weather:
    """What strikes now. `struck` counts it by kind, `commits` what was stored by what it was about,
    and `crashed` at which of these a desk died: before it, or right after."""

    def __init__(self, plan: Plan, loop: SimLoop) -> None:
        self.plan = plan
        self.struck: Counter[Kind] = Counter()
        self.commits: Counter[str] = Counter()
        self.crashed: Counter[str] = Counter()
        self._loop = loop
        self._lasting = [fault for fault in plan.faults if fault.kind not in ONCE]

    @property
    def is_over(self) -> bool:
        """Whether nothing goes wrong any more."""
        return self._loop.time() > STORM_S

    def strikes(self, kind: Kind, what: str) -> bool:
        """Whether a fault of a kind strikes something now; the same thing is named the same."""
        now = self._loop.time()
        for fault in self._lasting:
            blows = fault.kind is kind and fault.at <= now < fault.at + fault.lasts
            if blows and self.share(f"{kind} {fault.number} {what}") < fault.chance:
                self.note(kind)
                return True
        return False

    def note(self, kind: Kind) -> None:
        self.struck[kind] += 1

    def share(self, what: str) -> float:
        """A number from 0 to 1 that belongs to something in this simulation."""
        drawn = blake2b(f"{self.plan.seed} {what}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") / 2**64
