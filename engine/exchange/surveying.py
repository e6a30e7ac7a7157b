"""Looks at all that an exchange account holds, when nothing moves, and tells its owners."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from engine.bybit.account import AccountApi, Rows, Unread, VenueOrder, VenuePosition, Wallet
from engine.errors import Unreachable
from engine.event import Surveyed, Unreadable
from engine.exchange.catching_up import FAILURES, CatchUp
from engine.exchange.link import Cause, Link
from engine.exchange.orders import Orders, Tell
from engine.exchange.owners import Owners
from engine.exchange.resolving import Resolver
from engine.exchange.tape import Tape
from engine.order import ZERO
from engine.pace import until
from engine.ports import Clock
from engine.survey import HeldThere, RestingThere, Survey

# Looks until one finds that nothing has moved meanwhile, and the wait between two of them.
LOOKS_MAX = 5
LOOK_AGAIN_S = 2.0
# Waits after readings that failed, one after the other.
RETRIES_S = (1.0, 2.0, 4.0, 8.0, 15.0)
# Without a reading for this long, what the stream tells is not trusted to be all.
UNREAD_S = 30.0


@dataclass(frozen=True, slots=True)
class Times:
    """How often, in seconds, executions are read again, all is looked at, the clock is measured."""

    catch_up_s: float = 15.0
    survey_s: float = 300.0
    clock_s: float = 60.0


@dataclass(frozen=True, slots=True)
class _Look:
    positions: Rows[VenuePosition]
    orders: Rows[VenueOrder]
    wallet: Wallet


class Surveyor:
    """Reads what was executed every few seconds, and everything every few minutes."""

    def __init__(
        self,
        api: AccountApi,
        catch_up: CatchUp,
        resolver: Resolver,
        orders: Orders,
        tape: Tape,
        owners: Owners,
        link: Link,
        tell: Tell,
        on_positions: Callable[[Iterable[VenuePosition]], None],
        clock: Clock,
        times: Times,
    ) -> None:
        self._api = api
        self._catch_up = catch_up
        self._resolver = resolver
        self._orders = orders
        self._tape = tape
        self._owners = owners
        self._link = link
        self._tell = tell
        self._on_positions = on_positions
        self._clock = clock
        self._times = times
        self._lock = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._due_at = 0.0
        self._failures = 0
        self._well_at = 0.0
        self._margin_mode = ""
        # The account's own id at the exchange, empty before it was asked for; those that the
        # books know; accounts of ours whose books begin with the next survey.
        self.uid = ""
        self.uids: dict[str, str] = {}
        self.beginning: set[str] = set()
        self.surveyed_at = 0

    def want(self) -> None:
        """Have a survey as soon as can be."""
        self._due_at = 0.0
        self._wanted.set()

    async def run(self) -> None:
        """Read and look, until canceled."""
        while True:
            self._wanted.clear()
            await until(self._wanted, self._clock, await self._turn())

    async def _turn(self) -> float:
        """One reading or survey; seconds until the next."""
        try:
            if self._clock.monotonic() >= self._due_at:
                await self.survey()
            else:
                await self._read()
        except FAILURES as error:
            return self._failed(str(error))
        self._failures = 0
        self._well_at = self._clock.monotonic()
        return self._times.catch_up_s

    async def _read(self) -> None:
        connections = self._link.connections
        await self._catch_up.catch_up()
        self._link.read(connections)

    def _failed(self, reason: str) -> float:
        # Where the account is not heard yet, reading alone does not bring it up.
        well_at = self._well_at if self._link.down else self._catch_up.synced_at
        unread = self._clock.monotonic() - well_at
        if unread >= UNREAD_S:
            self._link.fails(Cause.UNREAD, f"the exchange can't be asked: {reason}")
        wait = RETRIES_S[min(self._failures, len(RETRIES_S) - 1)]
        self._failures += 1
        return wait

    # -- a survey ------------------------------------------------------------------------------

    async def survey(self) -> None:
        """Look at everything now, and tell it. Raises FAILURES where that can't be done."""
        async with self._lock:
            connections = self._link.connections
            await self._know_account()
            look = await self._look()
            self._settle(look)
            for account in self._owners.accounts:
                self._tell_survey(account, look)
            self._due_at = self._clock.monotonic() + self._times.survey_s
            self.surveyed_at = self._clock.now()
            self._link.read(connections)

    async def _know_account(self) -> None:
        """Learn whose key it is, and when the books of new accounts begin."""
        if not self.uid:
            self.uid = (await self._api.key_info()).uid
        for account, known in self.uids.items():
            if known and known != self.uid:
                reason = (
                    f"the key belongs to account {self.uid}, the books of {account} to {known}: "
                    "put the right key into the settings"
                )
                self._link.fails(Cause.ACCOUNT, reason)
                raise Unreachable(reason)
        await self._check_margin()
        if self.beginning:
            now = await self._api.server_time()
            for account in self.beginning:
                self._tape.begin(account, now)
            self.beginning.clear()

    async def _check_margin(self) -> None:
        """Say that somebody switched the margin mode, by which risks are not what they were."""
        mode = (await self._api.account_info()).margin_mode
        before, self._margin_mode = self._margin_mode or mode, mode
        if mode != before:
            detail = f"the account's margin mode was switched from {before} to {mode}"
            for account in self._owners.accounts:
                self._tell(Unreadable(account, "", detail, self._clock.now()))

    async def _look(self) -> _Look:
        """All there is, while nothing moved; after several looks that differ from what was told,
        as it was found last."""
        for number in range(LOOKS_MAX):
            if number:
                await self._clock.sleep(LOOK_AGAIN_S)
            await self._catch_up.catch_up()
            news = self._tape.news
            positions = await self._api.positions()
            await self._catch_up.catch_up()
            orders = await self._api.open_orders()
            self._insist([*positions.unread, *orders.unread])
            look = _Look(positions, orders, await self._api.wallet())
            complete = await self._complete(look)
            moved = self._tape.news != news
            if complete and not moved:
                return look
        if moved:
            raise Unreachable("the account never stood still for long enough to be looked at")
        return look

    def _insist(self, rows: Sequence[Unread]) -> None:
        """Raise Unreachable where something of ours can't be read: what is held is not known."""
        ours = [row for row in rows if not row.symbol or self._owners.of(row.symbol)]
        for row in ours:
            self._tape.spoiled(row)
        if ours:
            raise Unreachable(f"what is held can't be read: {ours[0].detail}")

    async def _complete(self, look: _Look) -> bool:
        """Whether what was found is what was told; asks for orders that should be there."""
        missing = self._orders.missing({order.order_link_id for order in look.orders})
        for tracked in missing:
            await self._resolver.ask(tracked)
        return not missing and self._agrees(look)

    def _agrees(self, look: _Look) -> bool:
        if self._tape.holds is None:
            return True
        there = _quantities(look)
        return all(
            self._tape.holds.get(symbol, ZERO) == there.get(symbol, ZERO)
            for symbol in self._owners.symbols
        )

    def _settle(self, look: _Look) -> None:
        """From now on what is held is what was found, and what is executed after."""
        self._tape.holds = _quantities(look)
        self._on_positions(look.positions)

    def _tell_survey(self, account: str, look: _Look) -> None:
        mine = [p for p in look.positions if self._owners.of(p.symbol) == account]
        resting = [o for o in look.orders if self._owners.of(o.symbol) == account]
        survey = Survey(
            positions=tuple(map(_held, mine)),
            orders=tuple(map(_resting, resting)),
            equity=look.wallet.equity,
            available=look.wallet.available,
            uid=self.uid,
            foreign=self._foreign(look),
        )
        until_ms = self._catch_up.synced_until
        self._tell(Surveyed(account, survey, until_ms, self._clock.now()))

    def _foreign(self, look: _Look) -> tuple[str, ...]:
        """What stands, and was traded, in symbols that no bot trades."""
        held = [
            f"{p.symbol}: {abs(p.quantity):f} {'long' if p.quantity > 0 else 'short'}"
            for p in look.positions
            if self._owners.of(p.symbol) is None
        ]
        resting = [
            f"{o.symbol}: an order, {o.side} {o.quantity:f}"
            for o in look.orders
            if self._owners.of(o.symbol) is None
        ]
        obscure = [
            f"{row.symbol}: something that can't be read"
            for row in (*look.positions.unread, *look.orders.unread)
        ]
        traded = [f"{symbol}: {count} executions" for symbol, count in self._tape.strange.items()]
        return (*held, *resting, *obscure, *traded)


def _quantities(look: _Look) -> dict[str, Decimal]:
    return {position.symbol: position.quantity for position in look.positions}


def _held(position: VenuePosition) -> HeldThere:
    return HeldThere(
        symbol=position.symbol,
        quantity=position.quantity,
        average_price=position.average_price,
        leverage=position.leverage,
        stop_loss=position.stop_loss,
        take_profit=position.take_profit,
        liquidation_price=position.liquidation_price,
    )


def _resting(order: VenueOrder) -> RestingThere:
    return RestingThere(
        order_id=order.order_id,
        order_link_id=order.order_link_id,
        symbol=order.symbol,
        side=order.side,
        quantity=order.quantity,
        price=order.price,
        trigger_price=order.trigger_price,
        reduce_only=order.reduce_only,
        stop_kind=order.stop_kind if order.stop_kind != "Stop" else "",
    )
