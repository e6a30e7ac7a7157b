"""Heavy work spread over workers: many jobs that stand on the same large grounds.

What the workers are is the executor's business: threads, processes here, machines of a cluster.
"""

import pickle
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from threading import Lock
from typing import Any, Generic, Self, TypeVar

from engine.errors import Broken, Unreachable

# A job whose worker dies is done once more: the worker may have been killed for another reason.
DEATHS_MAX = 2
# Workers that die this often, in all, will go on dying: too little memory, a broken installation.
HIRES_MAX = 20
# The longest of our jobs takes a minute. Where nothing ends for so long, nothing will.
PATIENCE_S = 600.0
# A worker keeps the grounds it was given last; a study needs one.
GROUNDS_KEPT = 2

G = TypeVar("G")
J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True)
class Grounds(Generic[G]):
    """What all jobs of a study need: it may be large, and travels to each worker once.

    Make it once and use it for all jobs: it is packed the first time.
    """

    value: G

    @cached_property
    def packed(self) -> bytes:
        """The value as it travels."""
        return pickle.dumps(self.value, pickle.HIGHEST_PROTOCOL)

    @cached_property
    def key(self) -> str:
        """What workers know it by. It follows from the value, for workers serve several desks."""
        return sha256(self.packed).hexdigest()


@dataclass(frozen=True, slots=True)
class Lost:
    """The result of a job that no worker has survived, and why."""

    reason: str


class Crew:
    """Workers, each with an executor of its own that holds one job at a time.

    So the job is known whose worker has died: nobody else's is lost. `seats` is how many jobs are
    under way at once; `hire` makes the executor of a seat, when it is first needed and when its
    worker has died. `deaths` are the errors that say so. `on_close` is called last. As a context
    it is closed at the end of the block.
    """

    def __init__(
        self,
        hire: Callable[[], Executor],
        seats: int = 1,
        deaths: tuple[type[Exception], ...] = (BrokenExecutor, CancelledError),
        patience_s: float = PATIENCE_S,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._hire = hire
        self._seats: list[Executor | None] = [None] * seats
        self._deaths = deaths
        self._patience_s = patience_s
        self._on_close = on_close
        self._died = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do(
        self,
        fn: Callable[[G, J], R],
        grounds: Grounds[G],
        jobs: Sequence[J],
        on_done: Callable[[int], None] = lambda done: None,
    ) -> list[R | Lost]:
        """`fn(grounds.value, job)` of each job, in their order; Lost where workers died of it.

        `fn` can be imported by its name; `on_done` is told how many are done. Raises what `fn`
        raises, and Unreachable where workers keep dying or none ends a job any more.
        """
        shift = _Shift(self, fn, grounds, jobs)
        try:
            while shift.is_open:
                shift.give(range(len(self._seats)))
                done = self._wait(shift.running)
                for future in done:
                    shift.take(future, self._deaths)
                on_done(len(shift.found))
        finally:
            for _, seat in shift.running.values():
                self._dismiss(seat)
        return [shift.found[place] for place in range(len(jobs))]

    def close(self) -> None:
        """End the workers."""
        for executor in filter(None, self._seats):
            executor.shutdown()
        self._seats = [None] * len(self._seats)
        self._on_close()

    def submit(self, seat: int, fn: Callable[..., R], *args: Any) -> Future[R]:
        """Hand a job to a seat, whose worker may have died since its last one."""
        while True:
            executor = self._seats[seat]
            if executor is None:
                executor = self._seats[seat] = self._hire()
            try:
                return executor.submit(fn, *args)
            except self._deaths as error:
                self.bury(seat, error)

    def bury(self, seat: int, error: Exception) -> None:
        """A seat's worker has died; another is hired for its next job, but not without end."""
        self._dismiss(seat)
        self._died += 1
        if self._died > HIRES_MAX:
            raise Unreachable(f"workers died {self._died} times, the last of {_said(error)}")

    def _dismiss(self, seat: int) -> None:
        executor, self._seats[seat] = self._seats[seat], None
        if executor is not None:
            executor.shutdown(wait=False)

    def _wait(self, running: Collection[Future[Any]]) -> set[Future[Any]]:
        done, _ = wait(running, self._patience_s, FIRST_COMPLETED)
        if not done:
            raise Unreachable(f"no worker has ended a job for {self._patience_s:g} s")
        return done


class _Shift(Generic[G, J, R]):
    """The jobs of one call: those that wait, those under way by seat, and what came of the rest."""

    def __init__(
        self, crew: Crew, fn: Callable[[G, J], R], grounds: Grounds[G], jobs: Sequence[J]
    ) -> None:
        self._crew = crew
        self._fn = fn
        self._grounds = grounds
        self._jobs = jobs
        self._waiting = deque(range(len(jobs)))
        self._deaths: Counter[int] = Counter()
        self.running: dict[Future[tuple[bool, R | None]], tuple[int, int]] = {}
        self.found: dict[int, Any] = {}

    @property
    def is_open(self) -> bool:
        return bool(self._waiting or self.running)

    def give(self, seats: Collection[int]) -> None:
        """A job to every seat that has none, as far as they go."""
        taken = {seat for _, seat in self.running.values()}
        for seat in seats:
            if self._waiting and seat not in taken:
                self._send(self._waiting.popleft(), seat, None)

    def take(
        self, future: Future[tuple[bool, R | None]], deaths: tuple[type[Exception], ...]
    ) -> None:
        """What came of a job: its result, a worker that lacks the grounds, or one that died."""
        place, seat = self.running.pop(future)
        try:
            knew, result = future.result()
        except deaths as error:
            self._mourn(place, error)
            self._crew.bury(seat, error)
            return
        if knew:
            self.found[place] = result
        else:
            self._send(place, seat, self._grounds.packed)

    def _mourn(self, place: int, error: Exception) -> None:
        self._deaths[place] += 1
        if self._deaths[place] < DEATHS_MAX:
            self._waiting.append(place)
        else:
            self.found[place] = Lost(f"its workers died: {_said(error)}")

    def _send(self, place: int, seat: int, packed: bytes | None) -> None:
        job = self._jobs[place]
        future = self._crew.submit(seat, _work, self._fn, self._grounds.key, packed, job)
        self.running[future] = place, seat


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")


# -- in a worker ---------------------------------------------------------------------------

_known: dict[str, Any] = {}
_lock = Lock()


def _work(
    fn: Callable[[Any, J], R], key: str, packed: bytes | None, job: J
) -> tuple[bool, R | None]:
    """Whether this worker knows the grounds of that key, and if so what came of the job."""
    with _lock:
        if packed is not None and key not in _known:
            _known[key] = pickle.loads(packed)  # noqa: S301  whoever hired us wrote it
        if key not in _known:
            return False, None
        # Used last is kept longest.
        value = _known[key] = _known.pop(key)
        while len(_known) > GROUNDS_KEPT:
            del _known[next(iter(_known))]
    try:
        return True, fn(value, job)
    except Exception as error:
        raise _portable(error) from None


def _portable(error: Exception) -> Exception:
    """The error where it survives the way back; else its words: executors break on it."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301  our own
    except Exception:
        return Broken(_said(error))
    return error
