"""Heavy work in a process of its own, so that the desk's loop is never held up by a picture.

The worker is a fresh interpreter (spawned, never forked): it inherits neither the desk's lock
nor its memory or secrets. It dies with the desk, and ends when there was nothing to do.
"""

import asyncio
import ctypes
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any, BinaryIO, Concatenate, ParamSpec, TypeVar

from engine.errors import Broken, Refused, Unreachable
from engine.ports import Clock

# A worker without work for this long ends: it holds 150 MB that the desk does not need.
IDLE_S = 60.0
# A picture takes half a second, and two more where matplotlib is loaded from a slow disk.
LIMIT_S = 30.0
# Jobs are done one at a time. Whoever finds this many waiting is told to come back.
JOBS_WAITING_MAX = 16
# What one job or its answer may take: candles and points are a few hundred kB.
FRAME_MAX = 64 * 1024 * 1024
FRAME_HEAD = 8
# Trading goes first where both want the processor.
NICENESS = 10
# How often a worker looks for its parent where the system does not tell.
PARENT_CHECK_S = 1.0
# A worker needs its libraries and its home, never the desk's tokens.
ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "XDG_CACHE_HOME",
)

PR_SET_PDEATHSIG = 1

P = ParamSpec("P")
R = TypeVar("R")

Tell = Callable[..., None]
"""Given to a function that is followed: what it is called with is told to whoever waits."""


class TookTooLong(Unreachable):
    """A job that was given up when its time was over."""


class Said(StrEnum):
    """What a frame from a worker is: how far it is, or how the job ended."""

    TOLD = "told"
    DONE = "done"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


class Workers:
    """Runs functions in one worker process, which is started when there is something to do.

    A job may take `limit_s` seconds; `busy` is said to whoever finds too many waiting.
    """

    def __init__(
        self,
        clock: Clock,
        idle_s: float = IDLE_S,
        limit_s: float = LIMIT_S,
        busy: str = "Too much is being drawn already. Try again in a moment.",
    ) -> None:
        self._clock = clock
        self._busy = busy
        self._idle_s = idle_s
        self._limit_s = limit_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._last_used = 0.0

    @property
    def pid(self) -> int | None:
        """The worker's process id while there is one."""
        return self._process.pid if self._process else None

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of `fn(*args)`, a function that can be imported by its name.

        Raises Refused or Unreachable as the function does, Broken when it fails otherwise,
        Unreachable when its process died or took too long, Refused when too many jobs wait.
        After a failure the next call gets a new process. Whoever stops waiting ends the process.
        """
        done: R = await self._do((fn, args, kwargs, False), fn.__qualname__, _nobody)
        return done

    async def follow(
        self,
        on_told: Tell,
        fn: Callable[Concatenate[Tell, P], R],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """The result of `fn(tell, *args)`: as `run`, and `on_told` is called as `tell` is."""
        done: R = await self._do((fn, args, kwargs, True), fn.__qualname__, on_told)
        return done

    async def _do(self, job: tuple[Any, ...], name: str, on_told: Tell) -> Any:
        if self._waiting >= JOBS_WAITING_MAX:
            raise Refused(self._busy)
        self._waiting += 1
        try:
            async with self._turn:
                said, found = await self._exchange(pickle.dumps(job), on_told)
        finally:
            self._waiting -= 1
        match said:
            case Said.REFUSED:
                raise Refused(found)
            case Said.UNREACHABLE:
                raise Unreachable(found)
            case Said.FAILED:
                raise Broken(f"{name} failed in a worker: {found}")
        return found

    async def close(self) -> None:
        """End the worker; a job that is being done is given up."""
        await self._end()

    async def _exchange(self, job: bytes, on_told: Tell) -> tuple[Said, Any]:
        """Hand a job over and wait for its end; whatever goes wrong ends the worker."""
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        process = self._process or await self._start()
        said, found = Said.FAILED, None
        try:
            async with asyncio.timeout(self._limit_s):
                await _hand_over(process, job)
                while True:
                    said, found = await _next(process)
                    if said is not Said.TOLD:
                        return said, found
                    on_told(*found)
        except TimeoutError:
            raise TookTooLong(f"a worker took longer than {self._limit_s:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await process.wait()
            raise Unreachable(f"a worker ended while it worked (exit code {code})") from None
        finally:
            self._last_used = self._clock.monotonic()
            if said in (Said.FAILED, Said.TOLD):
                await self._end()

    async def _start(self) -> asyncio.subprocess.Process:
        """A new interpreter with the same search path, and with pipes as its only way out."""
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment["OPENBLAS_NUM_THREADS"] = "1"
        environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "bot.workers", str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            limit=FRAME_MAX,
        )
        self._last_used = self._clock.monotonic()
        self._watch = asyncio.create_task(  # noqa: TID251  ends with the worker, in _end
            self._end_when_idle(process), name="idle worker"
        )
        return process

    async def _end_when_idle(self, process: asyncio.subprocess.Process) -> None:
        while (left := self._last_used + self._idle_s - self._clock.monotonic()) > 0:
            await self._clock.sleep(left)
            async with self._turn:
                # A job that was being done has set `_last_used` anew.
                continue
        self._watch = None
        if self._process is process:
            await self._end()

    async def _end(self) -> None:
        process, self._process = self._process, None
        watch, self._watch = self._watch, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])


def _nobody(*told: object) -> None:
    """Whoever does not follow is told nothing."""


async def _hand_over(process: asyncio.subprocess.Process, job: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(len(job).to_bytes(FRAME_HEAD) + job)
    await process.stdin.drain()


async def _next(process: asyncio.subprocess.Process) -> tuple[Said, Any]:
    """What the worker says next."""
    assert process.stdout is not None
    size = int.from_bytes(await process.stdout.readexactly(FRAME_HEAD))
    if size > FRAME_MAX:
        raise Broken(f"a worker announced an answer of {size} bytes, the most is {FRAME_MAX}")
    said, found = pickle.loads(await process.stdout.readexactly(size))  # noqa: S301  our worker's
    return Said(said), found


# -- in the worker -------------------------------------------------------------------------


def main(parent: int) -> None:
    """Do the jobs that come on standard input until it closes."""
    die_with(parent)
    # Ctrl-C in the desk's terminal is meant for the desk, which ends its worker itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICENESS)
    # What a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


def serve(jobs: BinaryIO, answers: BinaryIO) -> None:
    """Answer each job with its result or why it was refused; one that fails is the last."""

    def tell(*told: object) -> None:
        _answer(answers, Said.TOLD, told)

    while head := jobs.read(FRAME_HEAD):
        try:
            job = jobs.read(int.from_bytes(head))
            fn, args, kwargs, follows = pickle.loads(job)  # noqa: S301  our own desk wrote it
            _answer(answers, Said.DONE, fn(*((tell,) if follows else ()), *args, **kwargs))
        except Refused as error:
            _answer(answers, Said.REFUSED, str(error))
        except Unreachable as error:
            _answer(answers, Said.UNREACHABLE, str(error))
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            _answer(answers, Said.FAILED, f"{type(error).__name__}: {error} ({where})")
            raise


def _answer(answers: BinaryIO, said: Said, found: object) -> None:
    # This module goes by another name there: only plain values are understood.
    answer = pickle.dumps((said.value, found))
    answers.write(len(answer).to_bytes(FRAME_HEAD) + answer)
    answers.flush()


def die_with(parent: int) -> None:
    """End this process when the process `parent` ends, however it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    # The parent may have ended before the system was asked to tell.
    if os.getppid() != parent:
        os._exit(1)


def _watch_parent(parent: int) -> None:
    never = threading.Event()
    while os.getppid() == parent:
        never.wait(PARENT_CHECK_S)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
