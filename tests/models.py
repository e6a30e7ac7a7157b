"""A model in memory that answers what a test says, and a counsel that asks it."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from engine.calls import ModelCall
from engine.errors import Unreachable
from engine.store.memory import MemoryCalls
from llm.counsel import Counsel
from llm.limits import Limits
from llm.model import (
    FunctionCall,
    Request,
    Response,
    Speaker,
    Turn,
    Usage,
)
from tests.clock import FakeClock, turn

Played = Response | Exception | Callable[[Request], "Played"]

NAME = "gemini-2.5-flash"


def said(text: str, prompt_tokens: int = 100, output_tokens: int = 20) -> Response:
    """An answer in words."""
    turn = Turn(Speaker.MODEL, text)
    return Response(turn, Usage(prompt_tokens, output_tokens), NAME)


def said_json(value: Any, **tokens: int) -> Response:
    return said(json.dumps(value), **tokens)


def called(*calls: tuple[str, dict[str, Any]], text: str = "") -> Response:
    """An answer that wants tools called: each a name and its arguments."""
    wanted = tuple(
        FunctionCall(name, arguments, f"call-{number}")
        for number, (name, arguments) in enumerate(calls, start=1)
    )
    return Response(Turn(Speaker.MODEL, text, calls=wanted, raw="signed"), Usage(100, 20), NAME)


class PlayedModel:
    """Answers in the order they were given; a callable makes its answer of the request.

    An answer that is an exception is raised. The last answer, if it is a callable, is given again
    and again; otherwise a request more than there are answers is a fault of the test. `requests`
    are those that came, `timeouts` how long each was given. Each answer waits for a `gate`.
    """

    def __init__(
        self,
        *answers: Played,
        name: str = NAME,
        driver: str = "played",
        gate: asyncio.Event | None = None,
    ) -> None:
        self.name = name
        self.driver = driver
        self.requests: list[Request] = []
        self.timeouts: list[float] = []
        self.closed = False
        self._answers = deque(answers)
        self._gate = gate

    def plays(self, *answers: Played) -> None:
        self._answers.extend(answers)

    @property
    def asked(self) -> int:
        return len(self.requests)

    async def answer(self, request: Request, timeout_s: float) -> Response:
        self.requests.append(request)
        self.timeouts.append(timeout_s)
        if self._gate is not None:
            await self._gate.wait()
        return self._played(request)

    async def check(self) -> str:
        return self.name

    async def close(self) -> None:
        self.closed = True

    def texts(self) -> Sequence[str]:
        """All that was sent, a text for each request."""
        return [
            "\n".join([request.system, *(turn.text for turn in request.turns)])
            for request in self.requests
        ]

    def _played(self, request: Request) -> Response:
        answer: Played = self._next()
        while callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _next(self) -> Played:
        assert self._answers, f"request {len(self.requests)} has no answer"
        last = self._answers[0]
        return last if callable(last) and len(self._answers) == 1 else self._answers.popleft()


class KeptCalls(MemoryCalls):
    """Calls in memory, which are not there while `is_down`. Others get their turn meanwhile, as
    with any database."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False

    async def put(self, call: ModelCall) -> None:
        await self._reach()
        await super().put(call)
        # An answer that it is written comes later than it is written.
        for _ in range(4):
            await turn()

    async def last_id(self) -> int:
        await self._reach()
        return await super().last_id()

    async def spent(self, since: int) -> Decimal:
        await self._reach()
        return await super().spent(since)

    async def all(self) -> list[ModelCall]:
        """Every call there is, in the order of their numbers."""
        firsts = await self.last(10_000)
        return [call for first in reversed(firsts) for call in await self.of(first.consultation)]

    async def _reach(self) -> None:
        await turn()
        if self.is_down:
            raise Unreachable("the database does not answer")


def counsel(
    *answers: Played,
    model: PlayedModel | None = None,
    calls: MemoryCalls | None = None,
    limits: Limits | None = None,
    clock: FakeClock | None = None,
    redact: Callable[[str], str] = str,
) -> Counsel:
    """A counsel over a model that plays `answers`; without any and without `model`, over none."""
    played = model or (PlayedModel(*answers) if answers else None)
    return Counsel(
        played,
        calls or KeptCalls(),
        limits or Limits(),
        clock or FakeClock(),
        Random(1),
        redact,
        "paper",
    )
