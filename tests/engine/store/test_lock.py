"""One desk at a time: the second is told who the first is, and takes over when it is gone."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # it has no types
import pytest

from engine.store.lock import DeskLock, Lock, PostgresLock

ROOT = Path(__file__).parents[3]

# Takes the lock, says so, and holds it until it is killed or its input ends.
HOLD = """
import asyncio, pathlib, sys
from engine.store.lock import DeskLock

async def main():
    lock = DeskLock(pathlib.Path(sys.argv[1]), started_at=1_700_000_000_000)
    assert await lock.try_acquire()
    print("held", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


class FakeClock:
    """Time that passes only in sleep; `then` happens after the given number of sleeps."""

    def __init__(self, after: int, then: Callable[[], object]) -> None:
        self.slept: list[float] = []
        self._after = after
        self._then = then

    def now(self) -> int:
        return 0

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self._after:
            result = self._then()
            if hasattr(result, "__await__"):
                await result


@contextmanager
def another_process(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of `data_dir`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    with process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


@pytest.fixture
async def pair(postgres_url: str) -> AsyncIterator[tuple[PostgresLock, PostgresLock]]:
    """The locks of two desks on one database."""
    first, second = PostgresLock(postgres_url, "desk"), PostgresLock(postgres_url, "desk")
    yield first, second
    await first.release()
    await second.release()


# -- the lock of a data directory --------------------------------------------------------


async def test_a_second_process_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    with another_process(tmp_path) as process:
        lock = DeskLock(tmp_path)
        assert not await lock.try_acquire()
        assert not lock.held
        words = await lock.holder()
    assert words.startswith(f"process {process.pid} on ")
    assert words.endswith(", started 2023-11-14 22:13 UTC")


async def test_a_killed_desk_frees_the_lock(tmp_path: Path) -> None:
    lock = DeskLock(tmp_path)
    with another_process(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        assert await lock.try_acquire()
    await lock.release()


async def test_a_waiting_desk_takes_over_and_is_told_once_whom_it_waits_for(
    tmp_path: Path,
) -> None:
    first, second = DeskLock(tmp_path, started_at=1_700_000_000_000), DeskLock(tmp_path)
    assert await first.try_acquire()
    clock, told = FakeClock(3, first.release), list[str]()
    await second.acquire(clock, told.append)
    assert second.held and not first.held
    assert clock.slept == [1.0, 1.0, 1.0]
    assert len(told) == 1 and f"process {os.getpid()} on" in told[0]
    await second.release()


async def test_a_free_lock_is_taken_without_waiting(tmp_path: Path) -> None:
    lock, told = DeskLock(tmp_path), list[str]()
    await lock.acquire(FakeClock(0, lambda: None), told.append)
    assert lock.held and not told
    assert await lock.try_acquire(), "asking again does no harm"
    await lock.release()
    await lock.release()


async def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = DeskLock(tmp_path)
    assert await lock.try_acquire()
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    child = context.Process(target=held.wait)
    child.start()
    try:
        await lock.release()
        other = DeskLock(tmp_path)
        assert child.is_alive()
        assert await other.try_acquire()
        await other.release()
    finally:
        held.set()
        child.join(30)


@pytest.mark.parametrize("content", ["", "nonsense", "1 2 x"])
async def test_a_lock_file_that_says_nothing_is_no_harm(tmp_path: Path, content: str) -> None:
    (tmp_path / "desk.lock").write_text(content)
    lock = DeskLock(tmp_path)
    assert await lock.holder() == "an unknown process"
    assert await lock.try_acquire()
    assert (await lock.holder()).startswith(f"process {os.getpid()} on ")
    await lock.release()


# -- the lock of a PostgreSQL database ---------------------------------------------------


async def test_one_of_two_desks_on_a_server_has_the_lock(
    pair: tuple[PostgresLock, PostgresLock],
) -> None:
    first, second = pair
    assert await first.try_acquire()
    assert await first.try_acquire(), "asking again does no harm"
    assert not await second.try_acquire()
    assert (first.held, second.held) == (True, False)
    assert f"countersign {os.getpid()} on " in await second.holder()
    await first.release()
    assert await second.try_acquire()


async def test_a_waiting_desk_takes_over_on_a_server(
    pair: tuple[PostgresLock, PostgresLock],
) -> None:
    first, second = pair
    assert await first.try_acquire()
    clock, told = FakeClock(2, first.release), list[str]()
    await second.acquire(clock, told.append)
    assert second.held and len(told) == 1 and clock.slept == [1.0, 1.0]


async def test_locks_of_different_names_do_not_meet(postgres_url: str) -> None:
    locks: list[Lock] = [PostgresLock(postgres_url, name) for name in ("a", "b")]
    assert [await lock.try_acquire() for lock in locks] == [True, True]
    for lock in locks:
        await lock.release()


async def test_a_lost_connection_is_a_lost_lock(
    postgres_url: str, pair: tuple[PostgresLock, PostgresLock]
) -> None:
    first, second = pair
    assert await first.try_acquire()
    connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""))
    await connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
    )
    await connection.close()
    assert await second.try_acquire()
    assert not first.held
    assert not await first.try_acquire()


async def test_a_free_lock_has_no_holder(pair: tuple[PostgresLock, PostgresLock]) -> None:
    assert await pair[0].holder() == "an unknown process"
