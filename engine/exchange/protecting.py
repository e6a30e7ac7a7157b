"""Stops live at the exchange from the moment a position does.

They travel with the order that opens it; here it is seen to that they stand, and what can't travel
with the order is set: trailing stops, stops at break-even, levels that people move.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from functools import partial
from math import inf

from engine.bybit.account import AccountApi, VenuePosition
from engine.effect import Protect
from engine.errors import CountersignError, ExchangeRefused, OutcomeUnknown, Unreachable
from engine.event import StopMoved, StopsRefused, StopsSet, Unprotected
from engine.exchange.catching_up import FAILURES
from engine.exchange.guard import Guard
from engine.exchange.lanes import Lanes
from engine.exchange.orders import Tell
from engine.exchange.sending import Failures
from engine.order import Order
from engine.pace import until
from engine.ports import Clock

# A position has to have its stop within 3 s of its first execution. The stream tells of it in
# milliseconds; where it did not, the position is asked for, and there is time to set what is
# missing.
CHECK_S = 1.0
AGAIN_S = 1.0
# Times a missing stop is set before the position is given up, and times that a position has to
# look flat before it is believed.
ATTEMPTS = 2
FLATS = 3
# Break-even is tried again after so long.
BREAK_EVEN_AGAIN_S = 5.0
# Bybit's code for a parameter that can't be: of levels that were looked at before they were sent,
# one that the price has passed since.
FAULTY = 10_001
PASSED = "the price has passed the level meanwhile (Bybit: 10001)."
IDLE_S = 60.0


class Guards:
    """Watches over the positions of one key."""

    def __init__(
        self,
        api: AccountApi,
        lanes: Lanes,
        tell: Tell,
        failures: Failures,
        want_survey: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._api = api
        self._lanes = lanes
        self._tell = tell
        self._failures = failures
        self._want_survey = want_survey
        self._clock = clock
        self._guards: dict[str, Guard] = {}
        self._changed = asyncio.Event()

    # -- what begins and ends a watch ----------------------------------------------------------

    def opened(self, order: Order) -> None:
        """An order was filled for the first time: its position has to have its stop soon."""
        known = self._guards.get(order.symbol)
        if order.reduce_only or (known is not None and known.is_of(order)):
            return
        guard = Guard(order.account, order.symbol, order.stop_loss, order.take_profit, order)
        self._guards[order.symbol] = guard
        self._check(guard, CHECK_S)

    def restore(self, account: str, symbol: str, entry: Order) -> None:
        """Watch over a position that was opened before this process began."""
        guard = Guard(account, symbol, entry.stop_loss, entry.take_profit, entry)
        self._guards[symbol] = guard
        self._check(guard, 0.0)

    def positions(self, held: Iterable[VenuePosition]) -> None:
        """Take all open positions, as they were found: what is not among them is flat."""
        there = {position.symbol: position for position in held}
        for symbol, guard in list(self._guards.items()):
            if symbol in there:
                self.position(there[symbol])
            elif guard.seen:
                del self._guards[symbol]

    def position(self, held: VenuePosition) -> None:
        """Take what the exchange tells of a position. Before it was filled it looks flat."""
        guard = self._guards.get(held.symbol)
        if guard is None:
            return
        if not held.quantity or not guard.is_on(held):
            if guard.seen:
                del self._guards[held.symbol]
            return
        guard.seen, guard.flats = True, 0
        if guard.moving:
            return
        if held.stop_loss is not None and held.stop_loss != guard.stop:
            guard.stop = held.stop_loss
            self._tell_moved(guard, held.stop_loss)
        guard.target = held.take_profit or guard.target
        if not guard.is_safe(held):
            self._missing(guard)
            return
        guard.standing, guard.attempts, guard.check_at = True, 0, inf
        if guard.lacks_trail(held):
            self._check(guard, 0.0)

    def _missing(self, guard: Guard) -> None:
        """A stop that stood is gone: set it again, once. Who takes it away twice means it."""
        if not guard.standing:
            return
        guard.standing = False
        if guard.renewed:
            self._want_survey()
        else:
            guard.renewed = True
            self._check(guard, AGAIN_S)

    # -- looking after them ----------------------------------------------------------------------

    async def run(self) -> None:
        """Look after what is due, until canceled."""
        while True:
            self._changed.clear()
            now = self._clock.monotonic()
            for guard in [each for each in self._guards.values() if each.check_at <= now]:
                await self._look_after(guard)
            due = min((guard.check_at for guard in self._guards.values()), default=inf)
            wait = due - self._clock.monotonic()
            if wait > 0:
                await until(self._changed, self._clock, min(wait, IDLE_S))

    def _check(self, guard: Guard, seconds: float) -> None:
        guard.check_at = min(guard.check_at, self._clock.monotonic() + seconds)
        self._changed.set()

    async def _look_after(self, guard: Guard) -> None:
        """Ask for a position, and set what it lacks."""
        guard.check_at = inf
        try:
            held = await self._api.position(guard.symbol)
        except FAILURES:
            self._check(guard, AGAIN_S)
            return
        if self._guards.get(guard.symbol) is not guard:
            return
        if not held.quantity or not guard.is_on(held):
            self._flat(guard)
            return
        self.position(held)
        if not guard.is_safe(held):
            await self._set(guard)
        elif guard.lacks_trail(held):
            guard.check_at = inf
            await self._trail(guard, held)

    def _flat(self, guard: Guard) -> None:
        """A position that looks flat may not show yet; one that ended is told by the stream."""
        guard.flats += 1
        if guard.flats >= FLATS:
            del self._guards[guard.symbol]
        else:
            self._check(guard, AGAIN_S)

    async def _set(self, guard: Guard) -> None:
        """Give a position the stop that it lacks; give it up where that did not work."""
        if guard.attempts >= ATTEMPTS:
            self._give_up(guard, guard.failure or "the exchange took its stop, and it is not there")
            return
        guard.attempts += 1
        self._check(guard, AGAIN_S)
        try:
            await self._protect(guard, stop_loss=guard.stop, take_profit=guard.target)
        except FAILURES as error:
            guard.failure = str(error)
        else:
            self._tell_set(guard)

    async def _trail(self, guard: Guard, held: VenuePosition) -> None:
        """Let the stop trail. Where the exchange does not take it, a fixed stop still stands, or
        none does."""
        guard.trail_attempts += 1
        activation = guard.activation(held)
        try:
            await self._protect(guard, trailing_stop=guard.trailing, activation=activation)
        except FAILURES as error:
            if guard.trail_attempts < ATTEMPTS:
                self._check(guard, AGAIN_S)
                return
            reason = f"the trailing stop: {error}"
            if guard.stop is None:
                self._give_up(guard, reason)
            else:
                self._refused(guard, reason)
        guard.trails = True

    # -- what moves them -------------------------------------------------------------------------

    def tick(self, symbol: str, price: float) -> None:
        """Move a stop to break-even once the market has come far enough."""
        guard = self._guards.get(symbol)
        if guard is None or self._clock.monotonic() < guard.even_after:
            return
        stop = guard.breaks_even_at(price)
        if stop is not None:
            guard.even_after = inf
            self._lanes.put(symbol, partial(self._break_even, guard, stop))

    async def _break_even(self, guard: Guard, stop: Decimal) -> None:
        try:
            await self._protect(guard, stop_loss=stop)
        except ExchangeRefused as refused:
            self._refused(guard, f"the stop at break-even: {_why(refused)}")
        except (Unreachable, OutcomeUnknown):
            guard.even_after = self._clock.monotonic() + BREAK_EVEN_AGAIN_S
        else:
            guard.stop = stop
            self._tell_moved(guard, stop)

    def move(self, wanted: Protect) -> None:
        """Set levels as somebody wants them."""
        self._lanes.put(wanted.symbol, partial(self._move, wanted))

    async def _move(self, wanted: Protect) -> None:
        fresh = Guard(wanted.account, wanted.symbol)
        guard = self._guards.setdefault(wanted.symbol, fresh)
        try:
            await self._protect(guard, stop_loss=wanted.stop_loss, take_profit=wanted.take_profit)
        except FAILURES as error:
            self._refused(guard, _why(error))
        else:
            guard.stop = _level(wanted.stop_loss, guard.stop)
            guard.target = _level(wanted.take_profit, guard.target)
            self._tell_set(guard)
        self._check(guard, AGAIN_S)

    async def _protect(
        self,
        guard: Guard,
        *,
        stop_loss: Decimal | None = None,
        take_profit: Decimal | None = None,
        trailing_stop: Decimal | None = None,
        activation: Decimal | None = None,
    ) -> None:
        """Set levels, which are absolute: what may not have arrived is sent again. Raises
        FAILURES."""
        send = partial(
            self._api.protect,
            guard.symbol,
            stop_loss=stop_loss,
            take_profit=take_profit,
            trailing_stop=trailing_stop,
            activation=activation,
        )
        guard.moving += 1
        try:
            for last in (False, True):
                if await self._sent(guard, send, last):
                    return
        finally:
            guard.moving -= 1

    async def _sent(self, guard: Guard, send: Callable[[], Awaitable[None]], last: bool) -> bool:
        """Whether levels stand as they were sent; raises what went wrong, if it is the last try."""
        try:
            await send()
        except ExchangeRefused as refused:
            self._failures.note(guard.account, refused)
            if not refused.benign:
                raise
        except (Unreachable, OutcomeUnknown) as error:
            self._failures.note(guard.account, error)
            if last:
                raise
            return False
        return True

    # -- what is told ----------------------------------------------------------------------------

    def _tell_moved(self, guard: Guard, stop: Decimal) -> None:
        self._tell(StopMoved(guard.account, guard.symbol, stop, self._clock.now()))

    def _tell_set(self, guard: Guard) -> None:
        now = self._clock.now()
        self._tell(StopsSet(guard.account, guard.symbol, guard.stop, guard.target, now))

    def _give_up(self, guard: Guard, reason: str) -> None:
        self._tell(Unprotected(guard.account, guard.symbol, reason, self._clock.now()))

    def _refused(self, guard: Guard, reason: str) -> None:
        self._tell(StopsRefused(guard.account, guard.symbol, reason, self._clock.now()))


def _why(error: CountersignError) -> str:
    """Why levels were not set. Those that the price has passed have no code of their own, and
    Bybit's text names them ten thousandfold."""
    if isinstance(error, ExchangeRefused) and error.code == FAULTY:
        return PASSED
    return str(error)


def _level(wanted: Decimal | None, current: Decimal | None) -> Decimal | None:
    """A level after an instruction: None leaves it as it is, 0 takes it away."""
    if wanted is None:
        return current
    return wanted or None
