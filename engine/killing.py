"""The emergency stop: its scopes, its latch, and the way to flat over the port `Emergency`.

It knows no books: what is open is what the exchange says. Whatever it does is booked afterwards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Protocol, TypeVar

import structlog

from engine.errors import CountersignError, ExchangeRefused
from engine.mail import Address
from engine.pace import until
from engine.people import Asker
from engine.ports import Clock, Emergency, Exposure

# Waits between two looks at what is left; the last one is kept to until nothing is.
WAITS_S = (0.2, 0.5, 1.0, 2.0, 5.0)
# An exchange that takes longer for one request is asked again.
CALL_S = 10.0
# What goes on unchanged is said again only so often.
SAID_AGAIN_S = 60.0
# An order that was sent before the latch may be taken for as long as its receive window (3 s) and
# the exchange's allowance for clocks (1 s) last; the rest is the way there and back.
LATE_S = 6.0
OUR_FAULT = "that failed, and it is our fault; what happened is in the log"

T = TypeVar("T")

log = structlog.get_logger()


class Scope(StrEnum):
    """How much is stopped; each scope takes in those before it."""

    STOP = "stop"
    CANCEL = "cancel"
    FLATTEN = "flatten"

    def widened(self, other: "Scope") -> "Scope":
        """The wider one of both."""
        return max(self, other, key=list(Scope).index)


@dataclass(frozen=True, slots=True)
class Latch:
    """That somebody pulled the emergency stop: how much of it, who, and when (UTC ms).

    `by` is empty where that is not known; `done_at` is when it was carried out, 0 until then.
    """

    scope: Scope
    by: str
    ts: int
    done_at: int = 0

    @property
    def is_done(self) -> bool:
        return self.scope is Scope.STOP or self.done_at > 0

    @property
    def why(self) -> str:
        """Why no position may be opened."""
        since = datetime.fromtimestamp(self.ts / 1000, UTC)
        by = self.by or "hand"
        return f"the emergency stop's latch KILLED is set, by {by} at {since:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way to flat, in words; a `notable` one is news for everybody."""

    text: str
    notable: bool = False


Tell = Callable[[Step], None]


class Switch(Protocol):
    """The emergency stop of a running desk."""

    @property
    def latch(self) -> Latch | None:
        """Whether it is pulled, and by whom."""
        ...

    @property
    def asked_in(self) -> Collection[Address]:
        """The chats that pulled it since it was last lifted: they are told each step."""
        ...

    def pull(self, scope: Scope, asker: Asker) -> str:
        """Stop entries now, and have the rest of the scope carried out; what is done, in words.

        A scope that is wider already stays so.
        """
        ...


class Killing:
    """Carries a scope out on all exchange accounts at once, until the exchange says it is done."""

    def __init__(
        self, emergency: Emergency, clock: Clock, tell: Tell, scope: Scope, late_s: float = 0.0
    ) -> None:
        """`late_s` is how long after it was done everything is looked at once more."""
        self._emergency = emergency
        self._clock = clock
        self._tell = tell
        self._scope = scope
        self._late_s = late_s
        self._widened = asyncio.Event()

    def widen(self, scope: Scope) -> None:
        """Do more from now on, where the scope is wider."""
        if scope.widened(self._scope) is not self._scope:
            self._scope = scope
            self._widened.set()
            self._widened = asyncio.Event()

    async def run(self) -> None:
        """Return when nothing is left anywhere; there is no end before that."""
        if self._scope is Scope.STOP:
            return
        accounts = self._emergency.accounts
        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                name = account if len(accounts) > 1 else ""
                tasks.create_task(self._bring_down(account, _Teller(self._tell, self._clock, name)))

    async def _bring_down(self, account: str, teller: "_Teller") -> None:
        await self._cancel(account, teller)
        scope, tries, confirmed = self._scope, 0, False
        while True:
            if scope is not self._scope:
                scope, tries, confirmed = self._scope, 0, False
            widened = self._widened
            done = await self._round(account, teller, scope, confirmed)
            if done and (confirmed or not self._late_s) and scope is self._scope:
                return
            tries, confirmed = (0, True) if done else (tries + 1, False)
            wait = self._late_s if done else WAITS_S[min(tries, len(WAITS_S)) - 1]
            await until(widened, self._clock, wait)

    async def _round(self, account: str, teller: "_Teller", scope: Scope, again: bool) -> bool:
        """Withdraw and close what there is, once; whether the exchange says that nothing is."""
        what = "the exchange can't say what is open"
        exposure = await self._try(self._emergency.look(account), teller, what)
        if exposure is None:
            await self._cancel(account, teller)
            return False
        if not exposure.orders and not (scope is Scope.FLATTEN and exposure.positions):
            teller.say(_confirmed(exposure, scope, again, self._clock.now()), notable=not again)
            return True
        if exposure.orders:
            await self._cancel(account, teller)
        if scope is Scope.FLATTEN:
            async with asyncio.TaskGroup() as tasks:
                for symbol, quantity in exposure.positions.items():
                    tasks.create_task(self._close(account, symbol, quantity, teller))
        return False

    async def _cancel(self, account: str, teller: "_Teller") -> None:
        teller.say("Withdrawing all open orders.")
        await self._try(self._emergency.cancel_all(account), teller, "the orders are not withdrawn")

    async def _close(self, account: str, symbol: str, quantity: Decimal, teller: "_Teller") -> None:
        teller.say(f"{symbol}: closing {held(quantity)}.")
        closing = self._emergency.close(account, symbol, quantity)
        await self._try(closing, teller, f"{symbol} is not closed")

    async def _try(self, call: Awaitable[T], teller: "_Teller", failed: str) -> T | None:
        """What a call gives; None where it failed, which is told: nothing ends the way to flat."""
        try:
            async with asyncio.timeout(CALL_S):
                return await call
        except TimeoutError:
            reason = f"no answer within {CALL_S:g} s"
        except CountersignError as error:
            if isinstance(error, ExchangeRefused) and error.benign:
                return None
            reason = str(error).removesuffix(".")
        except Exception:
            # A fault in one step must keep nobody from the next.
            log.exception("a step of the emergency stop failed", what=failed)
            reason = OUR_FAULT
        sentence = f"{failed[0].upper()}{failed[1:]} yet: {reason}. It is tried again."
        teller.say(sentence, notable=True)
        return None


class _Teller:
    """Says what happens on one account, but not the same over and over."""

    def __init__(self, tell: Tell, clock: Clock, name: str) -> None:
        self._tell = tell
        self._clock = clock
        self._name = name
        self._said: dict[str, float] = {}

    def say(self, text: str, notable: bool = False) -> None:
        now = self._clock.monotonic()
        if now - self._said.get(text, -SAID_AGAIN_S) < SAID_AGAIN_S:
            return
        self._said[text] = now
        try:
            self._tell(Step(f"{self._name}: {text}" if self._name else text, notable))
        except Exception:
            # Nobody has to hear of it for it to go on.
            log.exception("a step of the emergency stop could not be told")


def held(quantity: Decimal) -> str:
    """A signed quantity as people say it: `0.5 long`."""
    return f"{abs(quantity).normalize():f} {'long' if quantity > 0 else 'short'}"


def _confirmed(exposure: Exposure, scope: Scope, again: bool, ts: int) -> str:
    """What the exchange confirms, as of now (UTC ms)."""
    at = f"{datetime.fromtimestamp(ts / 1000, UTC):%H:%M:%S} UTC"
    if again:
        still = "flat: no" if scope is Scope.FLATTEN else "no order is open, and no"
        return f"Still {still} order came late, {at}."
    if scope is Scope.FLATTEN:
        return f"Flat: no positions, no orders, confirmed by the exchange at {at}."
    positions = exposure.positions.items()
    left = ", ".join(f"{symbol} {held(quantity)}" for symbol, quantity in positions)
    kept = f" Held, with the stops they have: {left}." if left else " No position is held."
    return f"No order is open, confirmed by the exchange at {at}.{kept}"
