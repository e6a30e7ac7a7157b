"""Who may ask Bybit next: one at a time, the most urgent first, each within its budget."""

import asyncio
import contextlib
from bisect import insort
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count

from engine.bybit import parse
from engine.bybit.wire import HELD_MAX_S, RESET_HEADER, Headers
from engine.errors import Unreachable
from engine.pace import Pace, until
from engine.ports import Clock

LEFT_HEADER = "X-Bapi-Limit-Status"
# Bybit counts over a rolling second.
WINDOW_S = 1.0
# Of what Bybit allows, this part is used: the rest is for clocks that disagree, and for people
# who trade on the same account.
SHARE = 2
# The part of a budget that is kept for what can't open a position.
RESERVED = 3


class Urgency(IntEnum):
    """The order in which those who wait are served."""

    REDUCES = 0
    CHANGES = 1
    OPENS = 2


class Budget:
    """How often one of Bybit's endpoints may be asked, where Bybit allows `limit` a second.

    What opens positions leaves a reserve of at least one for what reduces them.
    """

    def __init__(self, clock: Clock, limit: int) -> None:
        allowed = max(limit // SHARE, 1)
        self._reserve = -(-allowed // RESERVED)
        self._clock = clock
        self._all = Pace(clock, allowed, WINDOW_S)
        self._opening = Pace(clock, max(allowed - self._reserve, 1), WINDOW_S)
        self._closed_until = 0.0
        self._reserved_until = 0.0

    def delay(self, urgency: Urgency) -> float:
        """Seconds until one more may go; 0 or less when it may go now."""
        now = self._clock.monotonic()
        delay = max(self._all.delay(), self._closed_until - now)
        if urgency is not Urgency.OPENS:
            return delay
        return max(delay, self._opening.delay(), self._reserved_until - now)

    def take(self, urgency: Urgency) -> None:
        self._all.take()
        if urgency is Urgency.OPENS:
            self._opening.take()

    def hold(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._closed_until = self._clock.monotonic() + seconds

    def heed(self, headers: Headers, server_now: int) -> None:
        """Keep to what Bybit says is left: others may use the same account."""
        try:
            left = int(headers.get(LEFT_HEADER, ""))
            reset = parse.stamp(headers.get(RESET_HEADER))
        except ValueError:
            return
        # The reset is a time that has passed where nothing was exceeded.
        wait = min((reset - server_now) / 1000, HELD_MAX_S)
        until_reset = self._clock.monotonic() + wait
        if left <= 0:
            self._closed_until = max(self._closed_until, until_reset)
        if left <= self._reserve:
            self._reserved_until = max(self._reserved_until, until_reset)


@dataclass(order=True, slots=True)
class _Place:
    """Where somebody stands in the line."""

    urgency: Urgency
    number: int
    budget: Budget = field(compare=False)
    woken: asyncio.Event = field(default_factory=asyncio.Event, compare=False)

    def delay(self) -> float:
        return self.budget.delay(self.urgency)


class Line:
    """Those who wait for one connection; nobody waits longer than `patience_s`."""

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._numbers = count()
        self._places: list[_Place] = []
        self._busy = False

    @contextlib.asynccontextmanager
    async def turn(self, budget: Budget, urgency: Urgency) -> AsyncIterator[None]:
        """The time in which one request may be made; raises Unreachable when it does not come."""
        place = _Place(urgency, next(self._numbers), budget)
        insort(self._places, place)
        try:
            await self._until_first(place)
            budget.take(urgency)
            self._busy = True
        finally:
            self._places.remove(place)
            self._wake()
        try:
            yield
        finally:
            self._busy = False
            self._wake()

    async def _until_first(self, place: _Place) -> None:
        deadline = self._clock.monotonic() + self._patience_s
        while self._busy or self._first() is not place:
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise Unreachable(
                    "Bybit's limit of requests is used up, so nothing was sent. Try again."
                )
            place.woken.clear()
            delay = place.delay()
            await until(place.woken, self._clock, min(delay, left) if delay > 0 else left)

    def _first(self) -> _Place | None:
        """Whose turn it is: whoever waits for a budget holds nobody up that has one."""
        return next((place for place in self._places if place.delay() <= 0), None)

    def _wake(self) -> None:
        for place in self._places:
            place.woken.set()
