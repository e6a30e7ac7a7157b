"""Orders on their way to the exchange: each is sent at most once, whatever comes of it."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial

from engine.bybit.account import AccountApi
from engine.effect import Cancel, WithdrawThere
from engine.errors import CountersignError, ExchangeRefused, OutcomeUnknown, Unreachable
from engine.event import ExchangeFailed
from engine.exchange.catching_up import FAILURES
from engine.exchange.lanes import Lanes
from engine.exchange.orders import MOMENT_S, SILENT_S, Orders, Tell, Tracked
from engine.order import Order
from engine.ports import Clock


class Failures:
    """Tells where the exchange failed: requests that it did not take or answer, and keys that it
    does not accept. A refusal of an order's own fault is none."""

    def __init__(self, tell: Tell, clock: Clock) -> None:
        self._tell = tell
        self._clock = clock

    def note(self, account: str, error: CountersignError) -> None:
        if isinstance(error, ExchangeRefused) and not error.stops:
            return
        self._tell(ExchangeFailed(account, str(error), self._clock.now()))


class Sender:
    """Sends and withdraws the orders of one key. `leverages` are those known to be set there."""

    def __init__(
        self,
        api: AccountApi,
        orders: Orders,
        lanes: Lanes,
        failures: Failures,
        want_survey: Callable[[], None],
    ) -> None:
        self._api = api
        self._orders = orders
        self._lanes = lanes
        self._failures = failures
        self._want_survey = want_survey
        self.leverages: dict[str, Decimal] = {}

    def submit(self, order: Order) -> None:
        """Send an order after what is on its way in its symbol."""
        tracked = self._orders.track(order)
        self._lanes.put(order.symbol, partial(self._submit, tracked))

    def cancel(self, wanted: Cancel) -> None:
        self._lanes.put(wanted.symbol, partial(self._cancel, wanted))

    def withdraw(self, wanted: WithdrawThere) -> None:
        self._lanes.put(wanted.symbol, partial(self._withdraw, wanted))

    async def _submit(self, tracked: Tracked) -> None:
        order = tracked.order
        try:
            await self._set_leverage(order)
            order_id = await self._api.place(order)
        except (ExchangeRefused, Unreachable) as error:
            self._refused(order, error)
        except OutcomeUnknown as error:
            self._failures.note(order.account, error)
            if tracked in self._orders and not tracked.accepted:
                self._orders.unsure(tracked, str(error))
                self._orders.ask(tracked, 0.0)
        else:
            self._orders.heard(order.order_link_id, order_id)

    def _refused(self, order: Order, error: ExchangeRefused | Unreachable) -> None:
        self._orders.rejected(order.order_link_id, str(error))
        self._failures.note(order.account, error)
        # There is no position to reduce: the books think otherwise.
        if isinstance(error, ExchangeRefused) and error.benign:
            self._want_survey()

    async def _set_leverage(self, order: Order) -> None:
        """Raises ExchangeRefused or Unreachable, after which the order was surely not sent."""
        if order.reduce_only or self.leverages.get(order.symbol) == order.leverage:
            return
        try:
            await self._api.set_leverage(order.symbol, order.leverage)
        except ExchangeRefused as refused:
            if not refused.benign:
                raise
        except OutcomeUnknown as error:
            raise Unreachable(f"The leverage could not be set: {error}") from error
        self.leverages[order.symbol] = Decimal(order.leverage)

    async def _cancel(self, wanted: Cancel) -> None:
        """Ask for an order to end, and go on until it has: what comes of it is told by reports."""
        tracked = self._orders.get(wanted.order_link_id)
        if tracked is None:
            return
        tracked.wanted_gone = True
        try:
            await self._api.cancel(wanted.symbol, wanted.order_link_id)
        except FAILURES as error:
            self._failures.note(wanted.account, error)
            self._orders.ask(tracked, MOMENT_S)
        else:
            self._orders.ask(tracked, SILENT_S)

    async def _withdraw(self, wanted: WithdrawThere) -> None:
        """What is left after it, the next survey tells."""
        for order_id in wanted.order_ids:
            try:
                await self._api.cancel_by_id(wanted.symbol, order_id)
            except FAILURES as error:
                self._failures.note(wanted.account, error)
        self._want_survey()
