"""One account at Bybit, behind one API key, and the bots that trade it on symbols of their own."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from engine.bybit.account import AccountApi, VenueExecution, VenuePosition
from engine.bybit.stream import StreamEvent
from engine.effect import Cancel, Protect, ReadHistory, Resume, Submit, ToExchange, WithdrawThere
from engine.errors import Broken, Unreachable
from engine.event import ExchangeLink, Journaled, PriceTicked, Unreadable
from engine.exchange.catching_up import FAILURES, CatchUp, History
from engine.exchange.lanes import Lanes
from engine.exchange.link import Cause, Link
from engine.exchange.listening import Listener
from engine.exchange.orders import Orders, Tell
from engine.exchange.owners import Owners
from engine.exchange.protecting import Guards
from engine.exchange.resolving import Resolver
from engine.exchange.sending import Failures, Sender
from engine.exchange.surveying import Surveyor, Times
from engine.exchange.tape import Tape
from engine.ports import Books, Clock

# A clock that is further off than this makes signed requests fail now and then.
CLOCK_OFF_MS = 500
# An account of ours that was never compared is told nothing: its books begin with the first survey.
NOT_BEGUN = sys.maxsize


class Running(Protocol):
    """A stream, which tells its handler until it is canceled."""

    async def run(self) -> None: ...


Connect = Callable[[Callable[[StreamEvent], None]], Running]


@dataclass(frozen=True, slots=True)
class VenueHealth:
    """How an account at the exchange is heard; times are UTC ms, 0 is never.

    `down` says why it is not, `recovered` counts executions that only REST told of, `foreign` are
    symbols of nobody's in which something was executed.
    """

    name: str
    uid: str
    accounts: tuple[str, ...]
    down: str
    synced_until: int
    surveyed_at: int
    offset_ms: int
    recovered: int
    foreign: tuple[str, ...]


class Venue:
    """Sends for, listens to, reads and watches over one account at Bybit.

    `bots` are our accounts there with their symbols; raises BadSettings where two have the same.
    Events of one venue never concern another.
    """

    def __init__(
        self,
        name: str,
        api: AccountApi,
        connect: Connect,
        bots: Mapping[str, Sequence[str]],
        clock: Clock,
        times: Times | None = None,
    ) -> None:
        self.name = name
        self.owners = Owners(bots)
        self._api = api
        self._clock = clock
        self._times = times or Times()
        self._post: Tell | None = None
        self._hedged: set[str] = set()
        self._link = Link(self._tell_link)
        self._lanes = Lanes()
        self._orders = Orders(self._tell, clock)
        self._tape = Tape(self.owners, self._orders, self._tell, clock)
        self._catch_up = CatchUp(api, self._tape, clock)
        self._history = History(self._catch_up, self._tape, self._tell, clock)
        failures = Failures(self._tell, clock)
        self._guards = Guards(api, self._lanes, self._tell, failures, self._want_survey, clock)
        self._sender = Sender(api, self._orders, self._lanes, failures, self._want_survey)
        self._tape.on_first_fill = self._guards.opened
        self._resolver = Resolver(
            api, self._orders, self._tape, self._catch_up.catch_up, self._want_survey, clock
        )
        self._surveyor = Surveyor(
            api, self._catch_up, self._resolver, self._orders, self._tape, self.owners,
            self._link, self._tell, self._on_positions, clock, self._times,
        )  # fmt: skip
        listener = Listener(
            self._link,
            on_connected=self._want_survey,
            on_execution=self._on_execution,
            on_order=self._orders.report,
            on_position=self._on_position,
            on_unread=self._tape.spoiled,
        )
        self._stream = connect(listener.handle)
        for account in self.owners.accounts:
            self._begin(account)

    # -- accounts ------------------------------------------------------------------------------

    def take_over(self, books: Books) -> None:
        """Go on where the books of an account of ours stand."""
        account = books.account
        open_in = {order.symbol for order in books.orders.values()}
        # What is held goes on, whether or not a bot still trades its symbol.
        self.owners.add(account, {*books.positions, *open_in})
        self._surveyor.uids[account] = books.uid
        if books.synced_until:
            self._tape.begin(account, 0)
            self._surveyor.beginning.discard(account)
            known = self._catch_up.synced_until or books.synced_until
            self._catch_up.synced_until = min(known, books.synced_until)
        for order in books.orders.values():
            self._orders.track(order)
        for symbol, quantity in books.positions.items():
            if quantity and symbol in books.entries:
                self._guards.restore(account, symbol, books.entries[symbol])

    def open_account(self, account: str, symbols: Iterable[str]) -> None:
        """Take on a bot, whose books begin now; raises BadSettings where its symbols are taken."""
        is_new = account not in self.owners.accounts
        self.owners.add(account, symbols)
        if not is_new:
            return
        self._begin(account)
        if self._post is not None:
            self._post(ExchangeLink(account, self._link.down, self._clock.now()))
            self._surveyor.want()

    def _begin(self, account: str) -> None:
        self._tape.begin(account, NOT_BEGUN)
        self._surveyor.beginning.add(account)

    def close_account(self, account: str) -> None:
        self.owners.remove(account)
        self._surveyor.uids.pop(account, None)
        self._surveyor.beginning.discard(account)

    # -- work ----------------------------------------------------------------------------------

    def carry_out(self, instruction: ToExchange) -> None:
        """Take an instruction; what comes of it is told by `run`."""
        match instruction:
            case Submit(order):
                self._sender.submit(order)
            case Cancel():
                self._sender.cancel(instruction)
            case Resume(order):
                self._orders.resume(order)
            case Protect():
                self._guards.move(instruction)
            case WithdrawThere():
                self._sender.withdraw(instruction)
            case ReadHistory():
                self._history.want(instruction)

    def tick(self, tick: PriceTicked) -> None:
        self._guards.tick(tick.symbol, tick.price)

    async def survey(self) -> None:
        """Look at the account now; raises Unreachable where it can't be asked."""
        try:
            await self._surveyor.survey()
        except FAILURES as error:
            raise Unreachable(f"{self.name}: {error}") from error

    async def run(self, post: Tell) -> None:
        """Do what was asked for and tell what happens, until canceled."""
        self._post = post
        self._link.begin()
        async with asyncio.TaskGroup() as group:
            for work in (
                self._stream,
                self._lanes,
                self._surveyor,
                self._resolver,
                self._guards,
                self._history,
            ):
                group.create_task(work.run())
            group.create_task(self._watch_clock())

    async def _watch_clock(self) -> None:
        """Measure how far our clock is off the exchange's: what is decided by it is then late."""
        while True:
            with suppress(*FAILURES):
                await self._api.server_time()
                self._judge_clock(self._api.offset_ms)
            await self._clock.sleep(self._times.clock_s)

    def _judge_clock(self, offset_ms: int) -> None:
        if abs(offset_ms) <= CLOCK_OFF_MS:
            self._link.mends(Cause.CLOCK)
            return
        way = "behind" if offset_ms > 0 else "ahead of"
        reason = f"the clock is {abs(offset_ms)} ms {way} the exchange's: set it by NTP"
        self._link.fails(Cause.CLOCK, reason)

    # -- what the parts are told ---------------------------------------------------------------

    def _tell(self, event: Journaled) -> None:
        if self._post is None:
            raise Broken(f"{self.name} tells of {type(event).__name__} before it runs")
        self._post(event)

    def _tell_link(self, down: str) -> None:
        for account in self.owners.accounts:
            self._tell(ExchangeLink(account, down, self._clock.now()))

    def _want_survey(self) -> None:
        self._surveyor.want()

    def _on_execution(self, row: VenueExecution) -> None:
        self._tape.take(row)

    def _on_positions(self, found: Iterable[VenuePosition]) -> None:
        held = list(found)
        for position in held:
            self._know(position)
        self._guards.positions(held)

    def _on_position(self, held: VenuePosition) -> None:
        self._know(held)
        self._guards.position(held)

    def _know(self, held: VenuePosition) -> None:
        """Note a leverage, and that somebody switched the position mode, in which nothing of ours
        would be understood."""
        if held.leverage is not None:
            self._sender.leverages[held.symbol] = held.leverage
        account = self.owners.of(held.symbol)
        if not held.index:
            self._hedged.discard(held.symbol)
        elif account is not None and held.symbol not in self._hedged:
            self._hedged.add(held.symbol)
            detail = f"{held.symbol} was switched to hedge mode: switch it back to one-way mode"
            self._tell(Unreadable(account, held.symbol, detail, self._clock.now()))

    def health(self) -> VenueHealth:
        return VenueHealth(
            name=self.name,
            uid=self._surveyor.uid,
            accounts=tuple(self.owners.accounts),
            down=self._link.down,
            synced_until=self._catch_up.synced_until,
            surveyed_at=self._surveyor.surveyed_at,
            offset_ms=self._api.offset_ms,
            recovered=self._tape.recovered,
            foreign=tuple(sorted(self._tape.strange)),
        )
