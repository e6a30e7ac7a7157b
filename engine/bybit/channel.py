"""The way to one account: requests signed, in turn and within budgets, and errors as ours."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from engine.bybit import codes, parse
from engine.bybit.address import Address
from engine.bybit.budget import Budget, Line, Urgency
from engine.bybit.codes import Deed, Meaning
from engine.bybit.parse import Fields
from engine.bybit.sign import ApiKey
from engine.bybit.wire import (
    Answer,
    Check,
    NoAnswer,
    Query,
    Refusal,
    ServerClock,
    Signing,
    Stopped,
    Wire,
    held_s,
    unusable,
)
from engine.errors import CountersignError, ExchangeRefused, OutcomeUnknown, Unreachable
from engine.ports import Clock

# An order is dead at Bybit this long after it was signed (ms); nothing ever widens it.
ORDER_WINDOW = 3_000
READ_WINDOW = 5_000
# How long a request waits for its turn; an order that waited longer is not what was decided.
ORDER_PATIENCE_S = 10.0
READ_PATIENCE_S = 30.0
# Times a read is sent that was not taken.
ATTEMPTS = 4

# What Bybit allows an account in a second (documentation, "Rate limit"), by pybit's method.
WRITES = {
    "place_order": 10,
    "amend_order": 10,
    "cancel_order": 10,
    "cancel_all_orders": 10,
    "set_trading_stop": 10,
    "set_leverage": 10,
    "switch_position_mode": 10,
    "set_margin_mode": 5,
}
READS = {
    "get_open_orders": 50,
    "get_order_history": 50,
    "get_executions": 50,
    "get_positions": 50,
    "get_wallet_balance": 50,
    "get_account_info": 50,
    "get_api_key_information": 10,
    "get_server_time": 50,
}
TIME = "get_server_time"
# The endpoint alone was asked too often; every other refusal of that kind is about all of them.
ENDPOINT_BUSY = 10_006

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Lane:
    """One connection, those who wait for it, and what they may ask."""

    wire: Wire
    line: Line
    budgets: Mapping[str, Budget]


class Channel:
    """Sends for one API key; orders and reads have a connection each, so that a read that hangs
    holds no order up."""

    def __init__(
        self, base: str, key: ApiKey, clock: Clock, address: Address, timeout_s: float
    ) -> None:
        self._address = address
        self.server = ServerClock(clock)

        def lane(name: str, window: int, patience_s: float, limits: Mapping[str, int]) -> _Lane:
            signing = Signing(key, self.server.now, window)
            wire = Wire(base, clock, name, timeout_s, signing)
            budgets = {method: Budget(clock, limit) for method, limit in limits.items()}
            return _Lane(wire, Line(clock, patience_s), budgets)

        self._writes = lane("bybit-orders", ORDER_WINDOW, ORDER_PATIENCE_S, WRITES)
        self._reads = lane("bybit-reads", READ_WINDOW, READ_PATIENCE_S, READS)

    async def read(self, method: str, query: Query) -> Fields:
        """The result of a question; sent again where it was not taken."""
        answer = await self._answer(method, query)
        try:
            return _result(answer)
        except ValueError as error:
            raise unusable(error) from error

    async def write(
        self,
        method: str,
        query: Query,
        urgency: Urgency = Urgency.CHANGES,
        deed: Deed = Deed.CHANGE,
        check: Check | None = None,
    ) -> Fields:
        """The result of a change, which is sent once.

        Raises OutcomeUnknown where it may have been carried out, Unreachable where it surely was
        not, ExchangeRefused where Bybit refused it or the `check` had a reason against it.
        """
        try:
            return _result(await self._send(self._writes, method, query, urgency, check))
        except Stopped as stopped:
            raise ExchangeRefused(0, stopped.reason) from None
        except NoAnswer as lost:
            if lost.sent:
                raise OutcomeUnknown(f"{lost.reason} It may have been carried out.") from None
            raise Unreachable(lost.reason) from None
        except Refusal as refusal:
            raise await self._failure(self._writes, method, refusal, deed) from None
        except ValueError as error:
            raise OutcomeUnknown(f"Bybit's answer makes no sense: {error}") from error

    async def server_time(self) -> int:
        """Bybit's time in UTC ms, measured on the way."""
        answer = await self._answer(TIME, {})
        try:
            return self.server.measure(answer)
        except ValueError as error:
            raise unusable(error) from error

    def close(self) -> None:
        """Let connections and threads go; requests on their way are not waited for."""
        self._writes.wire.close()
        self._reads.wire.close()

    async def _answer(self, method: str, query: Query) -> Answer:
        failure: CountersignError = Unreachable("Bybit was not asked.")
        for _ in range(ATTEMPTS):
            try:
                return await self._send(self._reads, method, query, Urgency.CHANGES)
            except NoAnswer as lost:
                raise Unreachable(lost.reason) from None
            except Refusal as refusal:
                failure = await self._failure(self._reads, method, refusal, Deed.READ)
                if codes.meaning(refusal.status, http=refusal.http) not in codes.NOT_TAKEN:
                    raise failure from None
        raise failure

    async def _send(
        self, lane: _Lane, method: str, query: Query, urgency: Urgency, check: Check | None = None
    ) -> Answer:
        if method != TIME and not self.server.measured:
            await self.server_time()
        budget = lane.budgets[method]
        async with lane.line.turn(budget, urgency):
            self._address.check()
            self._address.pace.take()
            try:
                answer = await lane.wire.send(method, query, check)
            except Refusal as refusal:
                budget.heed(refusal.headers, self.server.now())
                raise
            budget.heed(answer.headers, self.server.now())
        return answer

    async def _failure(
        self, lane: _Lane, method: str, refusal: Refusal, deed: Deed
    ) -> CountersignError:
        """The error that a refusal is, after what it asks for was done."""
        if refusal.http and refusal.status == codes.SHUT_OUT:
            return self._address.ban()
        match codes.meaning(refusal.status, http=refusal.http):
            case Meaning.BUSY:
                self._hold(lane, method, refusal)
            case Meaning.CLOCK:
                self.server.forget()
                with contextlib.suppress(CountersignError):
                    await self.server_time()
            case _:
                pass
        return codes.error(refusal.status, refusal.message, deed, http=refusal.http)

    def _hold(self, lane: _Lane, method: str, refusal: Refusal) -> None:
        wait = held_s(refusal.headers, self.server.now())
        log.warning("bybit: too many requests, waiting", asked=method, wait_s=wait)
        one = refusal.status == ENDPOINT_BUSY and not refusal.http
        for budget in [lane.budgets[method]] if one else lane.budgets.values():
            budget.hold(wait)


def _result(answer: Answer) -> Fields:
    body = parse.fields(answer.body)
    if body.get("retCode") != 0:
        raise ValueError(f"retCode is {body.get('retCode')!r:.40}")
    return parse.fields(body.get("result"))
