"""How a model is asked: within caps of money, time and rate, again where that helps, and kept.

All that is asked of a model goes through here, whoever asks it. A consultation is one end for which
it is asked, by one call or several; its number is what people know it by.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from random import Random
from typing import TypeVar

from engine.advice import INDICATORS, NO_KEY
from engine.calls import Calls, CallState, ModelCall, Purpose, Spending
from engine.pace import Pace
from engine.ports import Clock
from llm import strict_json
from llm.health import Health
from llm.limits import Limits, span_words
from llm.model import (
    PASSING,
    Fault,
    Model,
    ModelFailed,
    Request,
    Response,
    Speaker,
    Turn,
)
from llm.purse import Purse
from llm.remembered import Remembered, digest
from llm.transcript import Redact, answer_words, redacted, redacted_turn, told

T = TypeVar("T")

# What fails in passing is tried so often in all, after so long, twice as long the next time, each
# by up to a half longer or shorter.
ATTEMPTS_MAX = 3
BACK_OFF_S = 1.0
# With less time left no attempt is begun.
ATTEMPT_S_MIN = 2.0
# A driver that keeps to its time ends by itself before it is ended.
GRACE_S = 1.0
# What is said back of what is wrong with an answer.
COMPLAINT_MAX = 300

AGAIN = "Your answer was not valid: {}. Answer again, with JSON of the given schema alone."
_COMPLAINTS = {
    Fault.CUT_OFF: "it was cut off, as it was too long",
    Fault.EMPTY: "it was empty",
}


@dataclass(slots=True)
class Case:
    """One consultation: its number, what it is for, what it is about, and who asked.

    `opened_at` is UTC ms, `cost` what its calls came to so far (US dollars). `last` is its last
    call, `sent` the turns of that; `ends` is when its time is over, by the monotonic clock.
    """

    number: int
    purpose: Purpose
    subject: str
    asked_by: str
    opened_at: int = 0
    cost: Decimal = Decimal(0)
    last: ModelCall | None = None
    sent: tuple[Turn, ...] = ()
    ends: float | None = None


class _Wrong(ModelFailed):
    """An answer that is of no use. `said` is the model's turn, where there was one."""

    def __init__(self, fault: Fault, complaint: str, said: tuple[Turn, ...] = ()) -> None:
        self.complaint = _bounded(complaint)
        super().__init__(fault, f"The model's answer was not valid: {self.complaint}. Ask again.")
        self.said = said


class Counsel:
    """Asks a model, or nobody where there is none, and keeps all that came of it.

    `rng` draws how long to wait before another attempt. `redact` takes the secrets out of all that
    is sent, kept and given back. `books` names the books that are open.
    """

    def __init__(
        self,
        model: Model | None,
        calls: Calls,
        limits: Limits,
        clock: Clock,
        rng: Random,
        redact: Redact,
        books: str,
    ) -> None:
        self._model = model
        self._calls = calls
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._redact = redact
        self._books = books
        self._purse = Purse(calls, limits, clock, self.name)
        self._health = Health(clock)
        self._pace = Pace(clock, limits.calls_a_minute, 60.0)
        self._remembered = Remembered(clock)
        self._last_id: int | None = None
        self._opening = asyncio.Lock()

    @property
    def name(self) -> str:
        """The model's; empty where there is none."""
        return "" if self._model is None else self._model.name

    @property
    def driver(self) -> str:
        return "" if self._model is None else self._model.driver

    def listen(self, listener: Callable[[str], None]) -> None:
        """Have it told, in a sentence, when a day or a month costs more than `warn_*` allows."""
        self._purse.listen(listener)

    def why_not(self) -> str:
        """Why the model would not be asked now, in a sentence; empty where it would."""
        if self._model is None:
            return NO_KEY
        return self._purse.why_not() or self._health.why_not()

    def spending(self) -> Spending:
        """What was spent, as far as it is known: all of it once `prepare` was called."""
        return self._purse.spending()

    async def prepare(self) -> None:
        """Read what was stored before. Raises Unreachable; then the first `open` reads it."""
        async with self._opening:
            if self._last_id is None:
                await self._purse.prepare()
                self._last_id = await self._calls.last_id()

    async def close(self) -> None:
        if self._model is not None:
            await self._model.close()

    # -- a consultation ------------------------------------------------------------------

    async def open(self, purpose: Purpose, subject: str, asked_by: str) -> Case:
        """Number a consultation. Raises Unreachable where no number was ever known."""
        await self.prepare()
        return Case(self._number(), purpose, self._redact(subject), asked_by, self._clock.now())

    async def call(self, case: Case, request: Request) -> Response:
        """What the model answers. Raises ModelFailed, with the sentence that people are shown."""
        response = await self._asked(case, redacted(request, self._redact))
        return replace(response, turn=redacted_turn(response.turn, self._redact))

    async def validated(self, case: Case, request: Request, read: Callable[[str], T]) -> T:
        """What `read` makes of the JSON that the model answers.

        `read` raises ValueError with what is wrong, in words that the model is told once. An answer
        that was good is given again for a while, to whoever asks exactly the same. Raises
        ModelFailed.
        """
        request = redacted(request, self._redact)
        key = digest(self.name, request)
        kept = self._remembered.get(key)
        if kept is not None:
            with suppress(ValueError):
                value = read(kept)
                row = self._row(case, request)
                await self._keep(case, replace(row, state=CallState.ANSWERED, answer=kept))
                return value
        try:
            value, text = await self._read(case, request, read)
        except _Wrong as wrong:
            complaint = Turn(Speaker.USER, AGAIN.format(wrong.complaint))
            again = replace(request, turns=(*request.turns, *wrong.said, complaint))
            value, text = await self._read(case, again, read)
        self._remembered.put(key, text)
        return value

    async def found(self, case: Case, result: str) -> None:
        """Keep what was made of the last call's answer, as JSON."""
        assert case.last is not None
        await self._keep(case, replace(case.last, result=result))

    async def computed(self, case: Case, prompt: str, result: str, by: str = INDICATORS) -> None:
        """Keep an answer that no model made: what it was made from, and what it is, as JSON."""
        row = self._row(case, None)
        await self._keep(
            case,
            replace(
                row,
                model=by,
                state=CallState.COMPUTED,
                prompt=self._redact(prompt),
                result=result,
            ),
        )

    # -- asking --------------------------------------------------------------------------

    async def _asked(self, case: Case, request: Request) -> Response:
        """One call of the model, tried again while it fails in passing."""
        model = self._model
        if model is None:
            raise ModelFailed(Fault.NO_KEY, NO_KEY, sent=False)
        self._health.check()
        attempts = 1 if self._health.is_on_trial else ATTEMPTS_MAX
        attempt = 0
        while True:
            await self._turn_comes(case)
            outcome = await self._attempt(case, model, request)
            if isinstance(outcome, Response):
                self._health.answered()
                return outcome
            attempt += 1
            delay = self._delay(attempt, outcome)
            is_last = outcome.fault not in PASSING or attempt == attempts
            if is_last or delay + self._least_s > self._left(case):
                self._health.failed(outcome)
                raise outcome
            await self._clock.sleep(delay)

    async def _attempt(self, case: Case, model: Model, request: Request) -> Response | ModelFailed:
        """One call, tried once: counted before, kept after. Raises ModelFailed for a cap."""
        call, fitted = await self._purse.reserve(self._row(case, request), request)
        case.last, case.sent = call, request.turns
        self._health.begin()
        began = self._clock.monotonic()
        outcome = await self._outcome(case, model, fitted)
        latency = round((self._clock.monotonic() - began) * 1000)
        call = replace(call, latency_ms=latency)
        if isinstance(outcome, Response):
            answer = self._redact(answer_words(outcome.turn))
            call = replace(call, state=CallState.ANSWERED, answer=answer)
            case.last = await self._purse.settle(call, outcome.usage)
        else:
            call = replace(call, state=CallState.FAILED, failure=str(outcome))
            case.last = await self._purse.settle_failed(call, outcome)
        case.cost += case.last.cost
        return outcome

    async def _outcome(self, case: Case, model: Model, request: Request) -> Response | ModelFailed:
        seconds = min(self._limits.timeout_s, self._left(case))
        try:
            async with asyncio.timeout(seconds + GRACE_S):
                return await model.answer(request, seconds)
        except ModelFailed as failed:
            return ModelFailed(
                failed.fault,
                self._redact(str(failed)),
                retry_after=failed.retry_after,
                usage=failed.usage,
                sent=failed.sent,
            )
        except TimeoutError:
            words = f"The model did not answer within {seconds:.0f} s."
            return ModelFailed(Fault.TIMEOUT, words)

    def _delay(self, attempt: int, failed: ModelFailed) -> float:
        """How long to wait before another attempt (s): as long as the other side says, at least."""
        back_off = BACK_OFF_S * 2.0 ** (attempt - 1) * self._rng.uniform(0.5, 1.5)
        return max(back_off, failed.retry_after or 0.0)

    # -- time ----------------------------------------------------------------------------

    @property
    def _least_s(self) -> float:
        """The shortest time that an attempt is begun with."""
        return min(ATTEMPT_S_MIN, self._limits.deadline_s / 2)

    def _left(self, case: Case) -> float:
        """How much time is left for a consultation (s); it runs from its first call on."""
        now = self._clock.monotonic()
        if case.ends is None:
            case.ends = now + self._limits.deadline_s
        return case.ends - now

    async def _turn_comes(self, case: Case) -> None:
        """Return when the desk's own rate lets a call through, and there is time for it."""
        while (delay := self._pace.delay()) > 0:
            if delay + self._least_s > self._left(case):
                raise ModelFailed(
                    Fault.OWN_RATE,
                    f"The desk asks the model at most {self._limits.calls_a_minute} times a "
                    f"minute. Try again in {span_words(int(delay * 1000))}. calls_a_minute in "
                    "[gemini] sets the rate.",
                    sent=False,
                )
            await self._clock.sleep(delay)
        if self._left(case) < self._least_s:
            raise ModelFailed(
                Fault.TIMEOUT,
                f"The model did not come to an end within {self._limits.deadline_s:g} s. "
                "deadline_s in [gemini] sets how long it may take.",
                sent=False,
            )
        self._pace.take()

    # -- reading -------------------------------------------------------------------------

    async def _read(self, case: Case, request: Request, read: Callable[[str], T]) -> tuple[T, str]:
        """What `read` makes of an answer, and the answer. Raises _Wrong for one to be put right."""
        try:
            turn = (await self._asked(case, request)).turn
        except ModelFailed as failed:
            if failed.fault in _COMPLAINTS:
                raise _Wrong(failed.fault, _COMPLAINTS[failed.fault]) from None
            raise
        fault = Fault.NOT_JSON
        try:
            text = self._clean(turn.text)
            fault = Fault.INVALID
            return read(text), text
        except ValueError as error:
            said = Turn(Speaker.MODEL, self._redact(turn.text))
            wrong = _Wrong(fault, self._redact(str(error)), (said,) if turn.text else ())
            assert case.last is not None
            failed_call = replace(case.last, state=CallState.FAILED, failure=str(wrong))
            await self._keep(case, failed_call)
            raise wrong from None

    def _clean(self, text: str) -> str:
        """A JSON text without secrets; numbers are let be. Raises ValueError for what is none."""
        value = strict_json.loads(text)
        clean = strict_json.mapped(value, self._redact)
        return text if clean == value else json.dumps(clean, ensure_ascii=False)

    # -- keeping -------------------------------------------------------------------------

    def _row(self, case: Case, request: Request | None) -> ModelCall:
        """The next call of a consultation; the first has its number."""
        before = 0 if case.last is None else case.last.call_id
        return ModelCall(
            call_id=self._number() if before else case.number,
            consultation=case.number,
            books=self._books,
            ts=self._clock.now(),
            purpose=case.purpose,
            subject=case.subject,
            asked_by=case.asked_by,
            model=self.name,
            prompt="" if request is None else told(request, case.sent, before),
        )

    async def _keep(self, case: Case, call: ModelCall) -> None:
        case.last = call
        await self._purse.keep(call)

    def _number(self) -> int:
        assert self._last_id is not None
        self._last_id += 1
        return self._last_id


def _bounded(text: str) -> str:
    text = text.strip().rstrip(".")
    return text if len(text) <= COMPLAINT_MAX else f"{text[:COMPLAINT_MAX]}…"
