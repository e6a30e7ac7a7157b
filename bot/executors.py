"""Who does heavy work: processes of this machine, or the workers of a Dask cluster."""

import os
import platform
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from typing import TYPE_CHECKING

from bot.version import VERSION
from bot.workers import ENVIRONMENT, NICENESS, die_with
from engine.errors import BadSettings, CountersignError, Refused, Unreachable
from engine.spread import Crew

if TYPE_CHECKING:
    from distributed import Client

# A scheduler that is there answers at once, and so do its workers, whatever they work at.
ANSWER_S = 10.0
NAME = "countersign"
# Each worker computes on one processor; there are as many workers as processors are to be used.
LIBRARIES = ("OPENBLAS", "OMP", "MKL", "NUMBA")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in LIBRARIES}
# What Dask has to say reaches people as our errors. It takes candles that travel for a mistake.
DASK = {
    "logging.distributed": "critical",
    "distributed.admin.large-graph-warning-threshold": "256MB",
}
EXTRA_MISSING = (
    "DASK_SCHEDULER: a cluster needs Dask, which is not installed here; "
    f"{sys.executable} -m pip install distributed"
)


def hire(scheduler: str, workers: int) -> Crew:
    """The workers of the Dask cluster at `scheduler`, as many as it has; where that is empty
    `workers` processes of this machine, which are started with their first jobs.

    Raises BadSettings where Dask is not installed, Unreachable where the scheduler does not answer
    or has no worker, Refused where a worker has another version of this program or of Python.
    """
    return _cluster(scheduler) if scheduler else Crew(start_process, workers)


# -- processes -----------------------------------------------------------------------------


def start_process() -> Executor:
    """An executor of one process, which gives way to trading.

    It dies with this process, and with the thread that calls this.
    """
    pool = ProcessPoolExecutor(1, get_context("spawn"), initializer=begin, initargs=(os.getpid(),))
    # A process is started by the first job; its environment is what it is then.
    with _environment():
        pool.submit(os.getpid)
    return pool


@contextmanager
def _environment() -> Iterator[None]:
    """What a worker is to know of the environment: no secrets."""
    before = dict(os.environ)
    kept = {name: before[name] for name in ENVIRONMENT if name in before}
    try:
        _become(kept | ONE_THREAD)
        yield
    finally:
        _become(before)


def forget_secrets() -> None:
    """Keep of the environment what a worker needs, and Dask's own settings."""
    kept = {name for name in os.environ if name in ENVIRONMENT or name.startswith("DASK_")}
    _become({name: os.environ[name] for name in kept})


def _become(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def begin(parent: int) -> None:
    """Called first in a process that was started by the process `parent`."""
    die_with(parent)
    # Ctrl-C is meant for whoever started us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    be_nice()


def be_nice() -> None:
    """Let trading go first where both want the processor."""
    with suppress(OSError):
        os.nice(max(0, NICENESS - os.nice(0)))


# -- a cluster -----------------------------------------------------------------------------


def _cluster(scheduler: str) -> Crew:
    try:
        import dask

        dask.config.set(DASK)
        from distributed import Client, KilledWorker
    except ImportError:
        raise BadSettings(EXTRA_MISSING) from None
    check_certificates(scheduler, "client")
    try:
        client = Client(scheduler, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise _no_answer(scheduler, error) from error
    try:
        workers = _workers(client, scheduler)
    except CountersignError:
        client.close()
        raise
    deaths = (BrokenExecutor, CancelledError, KilledWorker)
    return Crew(lambda: _executor(client, scheduler), workers, deaths, on_close=client.close)


def check_certificates(scheduler: str, role: str) -> None:
    """Raise BadSettings where the address wants TLS and a `role` of Dask's has no certificate."""
    from distributed.security import Security

    if scheduler.startswith("tls:") and not Security().get_connection_args(role)["ssl_context"]:
        raise BadSettings(
            f"DASK_SCHEDULER: {scheduler} needs certificates in Dask's own settings, "
            f"~/.config/dask: distributed.comm.tls.ca-file, and .cert and .key of its {role}."
        )


def _executor(client: "Client", scheduler: str) -> Executor:
    if client.status != "running":
        raise Unreachable(f"The Dask scheduler at {scheduler} is gone.")
    # Equal jobs are done again: the one before has failed.
    executor: Executor = client.get_executor(pure=False)
    return executor


def _workers(client: "Client", scheduler: str) -> int:
    """How many workers there are. They and the scheduler, which reads what jobs are made of, have
    this version of the program."""
    try:
        programs = client.run(version, NAME, on_error="return", callback_timeout=ANSWER_S)
        pythons = client.run(platform.python_version, callback_timeout=ANSWER_S)
        _check("scheduler", *_at_scheduler(client))
    except OSError as error:
        raise _no_answer(scheduler, error) from error
    there = sorted(programs.keys() & pythons.keys())
    if not there:
        raise Unreachable(
            f"The Dask scheduler at {scheduler} has no worker. Start one: countersign worker."
        )
    for address in there:
        _check(f"worker {address}", programs[address], pythons[address])
    return len(there)


def _at_scheduler(client: "Client") -> tuple[object, str]:
    python: str = client.run_on_scheduler(platform.python_version, callback_timeout=ANSWER_S)
    try:
        return client.run_on_scheduler(version, NAME, callback_timeout=ANSWER_S), python
    except PackageNotFoundError as error:
        return error, python


def _check(who: str, program: object, python: str) -> None:
    """Raise Refused where who answered so is of another version; an error is no program at all."""
    found = f"no {NAME}" if isinstance(program, Exception) else f"{NAME} {program}"
    theirs = _versions(found, python)
    ours = _versions(f"{NAME} {VERSION}", platform.python_version())
    if theirs != ours:
        raise Refused(f"The Dask {who} has {theirs}, this machine {ours}. Make them equal.")


def _versions(program: str, python: str) -> str:
    return f"{program} on Python {python.rpartition('.')[0]}"


def _no_answer(scheduler: str, error: Exception) -> Unreachable:
    return Unreachable(f"The Dask scheduler at {scheduler} does not answer: {error}")
