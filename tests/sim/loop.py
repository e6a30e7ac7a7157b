"""An event loop whose time is virtual: nobody waits, and the same program does the same twice.

Time moves when all that could run has run, to the next that is due. What the program does in
threads is done at once, in its place; a thread that is not asked for through the loop, or a
program in which nothing will ever happen again, is an error.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_735_689_600_000
# What a piece of work in a thread takes, in seconds.
THREAD_S = 0.001


class Deadlock(Exception):
    """Nothing is due, and nothing can come from outside."""


class _NoSockets(selectors.BaseSelector):
    """Waits by moving time; nothing is ever readable."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        key = selectors.SelectorKey(fileobj, descriptor, events, data)
        self._keys[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock("nothing will ever happen again")
        self.now += max(timeout, 0.0)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys


class SimLoop(asyncio.SelectorEventLoop):
    """The loop of one simulation."""

    def __init__(self) -> None:
        self._virtual = _NoSockets()
        super().__init__(self._virtual)
        self.failures: list[dict[str, Any]] = []
        self.set_exception_handler(lambda loop, context: self.failures.append(context))

    def time(self) -> float:
        return self._virtual.now

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *arguments: Any
    ) -> "asyncio.Future[T]":
        future: asyncio.Future[T] = self.create_future()
        context = copy_context()

        def work() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(context.run(func, *arguments))
            except BaseException as error:  # as a thread's, whatever it is, it is the waiter's
                future.set_exception(error)

        self.call_later(THREAD_S, work)
        return future


def simulate(main: Callable[[SimLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a program to its end in virtual time; whatever task it left behind is canceled."""
    loop = SimLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main(loop))
    finally:
        _end(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _end(loop: SimLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())


class SimClock:
    """The clock of a simulated machine; `skew_ms` is by how much its wall time is wrong."""

    def __init__(self, loop: SimLoop, epoch: int = EPOCH) -> None:
        self._loop = loop
        self._epoch = epoch
        self.skew_ms = 0

    def now(self) -> int:
        return self._epoch + round(self._loop.time() * 1000) + self.skew_ms

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))
