"""Planted bugs in how orders go to the exchange, and in how its executions are heard."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pytest import MonkeyPatch

from engine import booking, reconcile
from engine.bybit.account import Rows, VenueExecution
from engine.effect import Submit
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.exchange import attributing, catching_up, resolving, tape, venue
from engine.exchange.catching_up import FAILURES, CatchUp, in_time
from engine.exchange.orders import SILENT_S, Orders, Tracked
from engine.exchange.sending import Sender
from engine.memory import Memory
from engine.order import Order
from engine.runtime import Runtime
from tests.sim.planting import planted

# -- executions ------------------------------------------------------------------------------


@planted
def no_deduplication(patch: MonkeyPatch) -> None:
    """An execution that is told twice is booked twice."""
    patch.setattr(tape.Tape, "_remember", lambda self, exec_id: True)
    patch.setattr(Memory, "see", lambda self, account, exec_id: True)


@planted
def stream_only(patch: MonkeyPatch) -> None:
    """Nobody asks for what the stream did not tell."""

    async def read(self: CatchUp, start: int, end: int) -> Rows[VenueExecution]:
        return Rows()

    patch.setattr(CatchUp, "read", read)


@planted
def first_page_only(patch: MonkeyPatch) -> None:
    """A list of executions is read to the end of its first page."""

    async def read(self: CatchUp, start: int, end: int) -> Rows[VenueExecution]:
        return in_time((await self._api.executions(start, end, "")).rows)

    patch.setattr(CatchUp, "read", read)


@planted
def cursor_by_stream(patch: MonkeyPatch) -> None:
    """What the stream tells moves the time until which all is thought to be known."""
    take = venue.Venue._on_execution

    def taken(self: venue.Venue, row: VenueExecution) -> None:
        take(self, row)
        self._catch_up.synced_until = max(self._catch_up.synced_until, row.ts)

    patch.setattr(catching_up, "OVERLAP_MS", 0)
    patch.setattr(venue.Venue, "_on_execution", taken)


@planted
def funding_as_fill(patch: MonkeyPatch) -> None:
    """Funding is taken for a trade."""
    attribute = attributing.attribute

    def attributed(row: VenueExecution, *more: Any) -> Any:
        return attribute(replace(row, exec_type="Trade"), *more)

    patch.setattr(tape, "attribute", attributed)


@planted
def funding_ignored(patch: MonkeyPatch) -> None:
    """Funding is not booked."""
    patch.setattr(booking, "funding", lambda memory, event: [])


@planted
def funding_twice(patch: MonkeyPatch) -> None:
    """Funding that is told again after a restart is taken from the balance again."""
    see = Memory.see

    def seen(self: Memory, account: str, key: str) -> bool:
        return see(self, account, key) or not key.startswith("e")

    patch.setattr(Memory, "see", seen)


@planted
def deleveraging_ignored(patch: MonkeyPatch) -> None:
    """Only trades count; that the exchange took a position away is not heard."""
    take = tape.Tape.take

    def taken(self: tape.Tape, row: VenueExecution, **more: bool) -> None:
        if row.exec_type != "AdlTrade":
            take(self, row, **more)

    patch.setattr(tape.Tape, "take", taken)


@planted
def done_before_its_fills(patch: MonkeyPatch) -> None:
    """An order is over as soon as the exchange says so, whatever was told of its fills."""

    def finish(self: Orders, tracked: Tracked) -> None:
        self.gone(tracked, "it is over")

    patch.setattr(Orders, "_finish", finish)


# -- orders on their way ---------------------------------------------------------------------


def _on_unknown(patch: MonkeyPatch, then: Callable[[Sender, Tracked], Awaitable[None]]) -> None:
    """Have something else done where nobody knows whether an order arrived."""

    async def submit(self: Sender, tracked: Tracked) -> None:
        order = tracked.order
        try:
            await self._set_leverage(order)
            order_id = await self._api.place(order)
        except (ExchangeRefused, Unreachable) as error:
            self._refused(order, error)
        except OutcomeUnknown:
            await then(self, tracked)
        else:
            self._orders.heard(order.order_link_id, order_id)

    patch.setattr(Sender, "_submit", submit)


@planted
def time_out_is_rejected(patch: MonkeyPatch) -> None:
    """An order whose answer did not come is taken as rejected (hummingbot #493)."""

    async def rejected(self: Sender, tracked: Tracked) -> None:
        self._orders.rejected(tracked.order.order_link_id, "timed out")

    _on_unknown(patch, rejected)


@planted
def time_out_is_accepted(patch: MonkeyPatch) -> None:
    """An order whose answer did not come is taken as accepted, and nobody asks for it."""

    async def accepted(self: Sender, tracked: Tracked) -> None:
        self._orders.heard(tracked.order.order_link_id, "unknown")
        tracked.ask_at = float("inf")

    _on_unknown(patch, accepted)
    patch.setattr(Orders, "missing", lambda self, there: [])
    patch.setattr(reconcile, "_asked_after", lambda memory, event: iter(()))


@planted
def resent_with_a_new_id(patch: MonkeyPatch) -> None:
    """An order whose answer did not come is sent again as another one (catalyst #317)."""

    async def again(self: Sender, tracked: Tracked) -> None:
        order = tracked.order
        self._orders.unsure(tracked, "timed out")
        self._orders.ask(tracked, 0.0)
        with suppress(*FAILURES):
            await self._api.place(replace(order, order_link_id=f"{order.order_link_id}-again"))

    _on_unknown(patch, again)


@planted
def resent_with_the_same_id(patch: MonkeyPatch) -> None:
    """An order whose answer did not come is sent again, in the hope that it counts once."""

    async def again(self: Sender, tracked: Tracked) -> None:
        self._orders.ask(tracked, SILENT_S)
        try:
            await self._api.place(tracked.order)
        except FAILURES as error:
            self._orders.unsure(tracked, str(error))

    _on_unknown(patch, again)


@planted
def unknown_is_forgotten(patch: MonkeyPatch) -> None:
    """Nobody asks what became of an order whose answer did not come (hummingbot #3374)."""

    async def forgotten(self: Sender, tracked: Tracked) -> None:
        tracked.unsure = True

    _on_unknown(patch, forgotten)


@planted
def absence_is_proof(patch: MonkeyPatch) -> None:
    """An order that is not seen at once is taken as one that never arrived (freqtrade #2054)."""
    patch.setattr(resolving, "HORIZON_S", 0.0)
    patch.setattr(resolving, "ABSENCES", 1)


@planted
def sent_before_stored(patch: MonkeyPatch) -> None:
    """An order is sent, and only then written down."""
    sort = Runtime._sort

    def sorted_(self: Runtime, effects: Sequence[Any]) -> bool:
        closes = sort(self, effects)
        for effect in [each for each in self._outgoing if isinstance(each, Submit)]:
            self._exchange._venue(effect.order.account).carry_out(effect)  # type: ignore[attr-defined]
            self._outgoing.remove(effect)
        return closes

    patch.setattr(Runtime, "_sort", sorted_)


def _changed(patch: MonkeyPatch, **terms: object) -> None:
    """Send orders that are not those that were decided."""
    submit = Sender.submit

    def submitted(self: Sender, order: Order) -> None:
        submit(self, replace(order, **terms))  # type: ignore[arg-type]

    patch.setattr(Sender, "submit", submitted)


@planted
def reduce_only_not_sent(patch: MonkeyPatch) -> None:
    """What closes a position is sent as an order that may open one."""
    _changed(patch, reduce_only=False)


@planted
def stop_not_sent(patch: MonkeyPatch) -> None:
    """An entry travels without its stop; the desk means to set it afterwards."""
    _changed(patch, stop_loss=None)


@planted
def reduce_only_not_meant(patch: MonkeyPatch) -> None:
    """An exit is decided as an order that may open a position (freqtrade #12528)."""
    intend = booking.intend

    def intended(memory: Memory, approved: Any) -> list[Any]:
        return intend(memory, replace(approved, order=replace(approved.order, reduce_only=False)))

    patch.setattr(booking, "intend", intended)
