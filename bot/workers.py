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
from typing import Any, BinaryIO, ParamSpec, TypeVar

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
ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "MPLCONFIGDIR", "XDG_CACHE_HOME")

PR_SET_PDEATHSIG = 1

P = ParamSpec("P")
R = TypeVar("R")


class Workers:
    """Runs functions in one worker process, which is started when there is something to do."""

    def __init__(self, clock: Clock, idle_s: float = IDLE_S, limit_s: float = LIMIT_S) -> None:
        self._clock = clock
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

        Raises Broken when it fails, Unreachable when its process died or took too long, Refused
        when too many jobs wait. After a failure the next call gets a new process.
        """
        if self._waiting >= JOBS_WAITING_MAX:
            raise Refused("Too much is being drawn already. Try again in a moment.")
        self._waiting += 1
        try:
            async with self._turn:
                failure, result = await self._exchange(pickle.dumps((fn, args, kwargs)))
        finally:
            self._waiting -= 1
        if failure:
            raise Broken(f"{fn.__qualname__} failed in a worker: {failure}")
        done: R = result
        return done

    async def close(self) -> None:
        """End the worker; a job that is being done is given up."""
        await self._end()

    async def _exchange(self, job: bytes) -> tuple[str, Any]:
        """Hand a job over and wait for its answer; whatever goes wrong ends the worker.

        Returns what went wrong in the function, else an empty text, and its result.
        """
        if self._process is not None and self._process.returncode is not None:
            await self._end()
        process = self._process or await self._start()
        failure, result = "no answer", None
        try:
            async with asyncio.timeout(self._limit_s):
                answer = await _ask(process, job)
            failure, result = pickle.loads(answer)  # noqa: S301  our own worker wrote it
        except TimeoutError:
            raise Unreachable(f"a worker took longer than {self._limit_s:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            code = await process.wait()
            raise Unreachable(f"a worker ended while it worked (exit code {code})") from None
        finally:
            self._last_used = self._clock.monotonic()
            if failure:
                await self._end()
        return failure, result

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


async def _ask(process: asyncio.subprocess.Process, job: bytes) -> bytes:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(len(job).to_bytes(FRAME_HEAD) + job)
    await process.stdin.drain()
    size = int.from_bytes(await process.stdout.readexactly(FRAME_HEAD))
    if size > FRAME_MAX:
        raise Broken(f"a worker announced an answer of {size} bytes, the most is {FRAME_MAX}")
    return await process.stdout.readexactly(size)


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
    """Answer each job with its result; one that fails is answered with why, and is the last."""
    while head := jobs.read(FRAME_HEAD):
        try:
            job = jobs.read(int.from_bytes(head))
            fn, args, kwargs = pickle.loads(job)  # noqa: S301  our own desk wrote it
            _answer(answers, "", fn(*args, **kwargs))
        except BaseException as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            _answer(answers, f"{type(error).__name__}: {error} ({where})", None)
            raise


def _answer(answers: BinaryIO, failure: str, result: object) -> None:
    answer = pickle.dumps((failure, result))
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
