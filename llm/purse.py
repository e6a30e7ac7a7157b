"""What models cost, counted before it is spent, so that a cap holds whatever happens in between.

A call is stored with the most it may cost before it is made, and with what it did cost after. What
is stored is the one truth: whoever starts after a crash finds what was reserved still counted.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import structlog

from engine.calls import Calls, CallState, ModelCall, Spending
from engine.candle import DAY_MS
from engine.errors import Unreachable
from engine.ports import Clock
from llm.limits import (
    Limits,
    cap_words,
    day_of,
    dollars,
    moment_words,
    month_after,
    month_of,
)
from llm.model import Fault, ModelFailed, Request, Usage
from llm.prices import DEAREST, Price, price_of, prompt_tokens_max

# An answer that may be no longer than this is not worth asking for.
OUTPUT_TOKENS_MIN = 512

# Google bills answers that came, also those that are no use. Errors cost nothing: "If your request
# fails with a 400 or 500 error, you won't be charged" (https://ai.google.dev/gemini-api/docs/billing).
ANSWERED = frozenset({Fault.EMPTY, Fault.CUT_OFF, Fault.BLOCKED})
# Whether these were billed nobody knows: the other side may have gone on to the end by itself.
UNKNOWN = frozenset({Fault.TIMEOUT, Fault.UNREACHABLE})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Sums:
    """What was spent of the day and the month that began at `day` and `month`."""

    day: int
    month: int
    of_day: Decimal = Decimal(0)
    of_month: Decimal = Decimal(0)

    def at(self, now: int) -> "_Sums":
        """The same, later: a new day and a new month begin at nothing."""
        day, month = day_of(now), month_of(now)
        return _Sums(
            day,
            month,
            self.of_day if day == self.day else Decimal(0),
            self.of_month if month == self.month else Decimal(0),
        )

    def less(self, amount: Decimal, ts: int) -> "_Sums":
        """Without an amount that was counted for a moment."""
        return replace(
            self,
            of_day=self.of_day - (amount if ts >= self.day else 0),
            of_month=self.of_month - (amount if ts >= self.month else 0),
        )


class Purse:
    """Reserves and settles what calls cost. One for the process: what two calls would take
    together, the second is refused."""

    def __init__(self, calls: Calls, limits: Limits, clock: Clock, model: str) -> None:
        known = price_of(model) if model else DEAREST
        self._price = Price(
            known.input if limits.price_input is None else limits.price_input,
            known.output if limits.price_output is None else limits.price_output,
        )
        self._calls = calls
        self._limits = limits
        self._clock = clock
        self._lock = asyncio.Lock()
        now = clock.now()
        self._sums = _Sums(day_of(now), month_of(now))
        self._warned_day = self._warned_month = 0
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have a sentence told when a day or a month costs more than `warn_*`: once in each."""
        self._listeners.append(listener)

    async def prepare(self) -> None:
        """Read what was spent before this process began. Raises Unreachable."""
        now = self._clock.now()
        self._sums = await self._stored(now)
        if self._passed(self._sums.of_day, self._limits.warn_daily_usd):
            self._warned_day = day_of(now)
        if self._passed(self._sums.of_month, self._limits.warn_monthly_usd):
            self._warned_month = month_of(now)

    def spending(self) -> Spending:
        return self._spending(self._clock.now())

    def _spending(self, now: int) -> Spending:
        sums = self._sums.at(now)
        return Spending(
            day=sums.of_day,
            month=sums.of_month,
            daily_cap=self._limits.daily_usd,
            monthly_cap=self._limits.monthly_usd,
            day_ends=day_of(now) + DAY_MS,
            month_ends=month_after(now),
        )

    def why_not(self) -> str:
        """Why not even the shortest call is made now; empty where one may be."""
        now = self._clock.now()
        failed = self._too_dear(self._price.of(0, OUTPUT_TOKENS_MIN), now)
        return "" if failed is None else str(failed)

    # -- reserving -----------------------------------------------------------------------

    async def reserve(self, call: ModelCall, request: Request) -> tuple[ModelCall, Request]:
        """Store a call as asked, with the most it may cost; the request with room for no more
        words than there is money for.

        Raises ModelFailed where a cap would not hold, or where nothing can be stored: calls that
        nobody counts would have no end.
        """
        async with self._lock:
            now = self._clock.now()
            try:
                self._sums = await self._stored(now)
                request, most = self._fitted(request, now)
                call = replace(call, ts=now, state=CallState.ASKED, cost=most)
                await self._calls.put(call)
            except Unreachable as error:
                raise ModelFailed(
                    Fault.UNREACHABLE,
                    f"The model is not asked while nothing can be stored: {error}",
                    sent=False,
                ) from None
            self._sums = self._sums.less(-most, now)
            return call, request

    def _fitted(self, request: Request, now: int) -> tuple[Request, Decimal]:
        """The request with as many words as there is money for, and the most that it may cost."""
        prompt = self._price.of(prompt_tokens_max(request), 0)
        wanted = request.output_tokens_max
        room = self._left() - prompt
        tokens = min(wanted, self._price.tokens_for(room)) if room >= 0 else 0
        if tokens < min(wanted, OUTPUT_TOKENS_MIN):
            least = prompt + self._price.of(0, min(wanted, OUTPUT_TOKENS_MIN))
            failed = self._too_dear(least, now)
            assert failed is not None
            raise failed
        most = prompt + self._price.of(0, tokens)
        return replace(request, output_tokens_max=tokens), most

    def _left(self) -> Decimal:
        sums, limits = self._sums, self._limits
        return min(limits.daily_usd - sums.of_day, limits.monthly_usd - sums.of_month)

    def _too_dear(self, least: Decimal, now: int) -> ModelFailed | None:
        """Why a call that costs so much at least can't be made: by the cap that lasts longest."""
        spending = self._spending(now)
        if spending.month + least > spending.monthly_cap:
            words = self._monthly_words(spending, least, now)
            return ModelFailed(Fault.MONTHLY_CAP, words, sent=False)
        if spending.day + least > spending.daily_cap:
            words = self._daily_words(spending, least, now)
            return ModelFailed(Fault.DAILY_CAP, words, sent=False)
        return None

    @staticmethod
    def _daily_words(spending: Spending, least: Decimal, now: int) -> str:
        if not spending.daily_cap:
            return "GEMINI_DAILY_USD is 0, so the model is never asked."
        spent = _spent_words(spending.day, spending.daily_cap, "today", least)
        again = f"it answers again {moment_words(spending.day_ends, now)}."
        return f"{spent} {again} GEMINI_DAILY_USD sets the cap."

    @staticmethod
    def _monthly_words(spending: Spending, least: Decimal, now: int) -> str:
        if not spending.monthly_cap:
            return "monthly_usd in [gemini] is 0, so the model is never asked."
        spent = _spent_words(spending.month, spending.monthly_cap, "this month", least)
        again = f"it answers again {moment_words(spending.month_ends, now)}."
        return f"{spent} {again} monthly_usd in [gemini] sets the cap."

    # -- settling ------------------------------------------------------------------------

    async def settle(self, call: ModelCall, usage: Usage) -> ModelCall:
        """Keep a call that ended, with what it used; where nobody says, with the most it may."""
        cost = call.cost if usage == Usage() else self._price.of_usage(usage)
        return await self._settle(call, cost, usage)

    async def settle_failed(self, call: ModelCall, failed: ModelFailed) -> ModelCall:
        """Keep a call that failed, with what it cost for all that anybody knows."""
        known = failed.usage != Usage()
        if known:
            cost = self._price.of_usage(failed.usage)
        elif failed.fault in ANSWERED or (failed.fault in UNKNOWN and failed.sent):
            cost = call.cost
        else:
            cost = Decimal(0)
        return await self._settle(call, cost, failed.usage)

    async def _settle(self, call: ModelCall, cost: Decimal, usage: Usage) -> ModelCall:
        settled = replace(
            call,
            cost=cost,
            prompt_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
        )
        async with self._lock:
            # What can't be stored stays reserved: too much is counted then, never too little.
            if await self.keep(settled):
                self._sums = self._sums.less(call.cost - cost, call.ts)
        self._warn()
        return settled

    async def keep(self, call: ModelCall) -> bool:
        """Store a call that costs no more for it; whether that worked."""
        try:
            await self._calls.put(call)
        except Unreachable as error:
            log.warning("a call of a model is not kept", call=call.call_id, error=str(error))
            return False
        return True

    async def _stored(self, now: int) -> _Sums:
        day, month = day_of(now), month_of(now)
        spent = self._calls.spent
        return _Sums(day, month, await spent(day), await spent(month))

    # -- warnings ------------------------------------------------------------------------

    def _warn(self) -> None:
        spending, limits = self.spending(), self._limits
        day, month = day_of(self._clock.now()), month_of(self._clock.now())
        if self._warned_day != day and self._passed(spending.day, limits.warn_daily_usd):
            self._warned_day = day
            self._tell(spending.day, "today", limits.warn_daily_usd, "daily", limits.daily_usd)
        if self._warned_month != month and self._passed(spending.month, limits.warn_monthly_usd):
            self._warned_month = month
            self._tell(
                spending.month,
                "this month",
                limits.warn_monthly_usd,
                "monthly",
                limits.monthly_usd,
            )

    @staticmethod
    def _passed(spent: Decimal, warn: Decimal) -> bool:
        return bool(warn) and spent > warn

    def _tell(self, spent: Decimal, when: str, warn: Decimal, name: str, cap: Decimal) -> None:
        sentence = (
            f"The model has cost {dollars(spent)} {when}, more than the {cap_words(warn)} of "
            f"warn_{name}_usd. At {cap_words(cap)} it is asked no more. /aicost says what for."
        )
        for listener in self._listeners:
            listener(sentence)


def _spent_words(spent: Decimal, cap: Decimal, when: str, least: Decimal) -> str:
    said = f"The model has cost {dollars(spent)} of {cap_words(cap)} {when}"
    return f"{said};" if spent >= cap else f"{said}, and a call takes up to {dollars(least)} more;"
