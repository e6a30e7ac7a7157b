"""The worker process: it works, it breaks alone, and it never outlives its desk."""

import asyncio
import operator
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.render import draw_picture
from bot.workers import JOBS_WAITING_MAX, Tell, Workers
from engine.candle import HOUR_MS, Candle
from engine.errors import BadInput, Broken, Refused, Unreachable
from handlers.reply import CandleChart
from tests.clock import FakeClock, turn

# Generous: it only ends a test that would hang.
PATIENCE_S = 30
CLOCK = SystemClock()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    opened = Workers(CLOCK)
    yield opened
    await opened.close()


async def gone(pid: int) -> None:
    """Return when the process has ended; fail when it does not."""
    async with asyncio.timeout(PATIENCE_S):
        while alive(pid):
            await CLOCK.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_work_is_done_in_another_process_which_is_kept(workers: Workers) -> None:
    assert await workers.run(operator.add, 1, 2) == 3
    first = await workers.run(os.getpid)
    assert first != os.getpid()
    assert first == workers.pid == await workers.run(os.getpid)


async def test_large_jobs_and_answers_pass(workers: Workers) -> None:
    data = bytes(5_000_000)
    assert await workers.run(operator.add, data, data) == data + data


async def test_a_failing_function_is_broken_and_the_next_call_works(workers: Workers) -> None:
    with pytest.raises(Broken, match=r"truediv failed in a worker: ZeroDivisionError"):
        await workers.run(operator.truediv, 1, 0)
    assert await workers.run(operator.truediv, 1, 2) == 0.5


async def test_a_function_that_leaves_or_answers_what_cannot_be_sent_is_broken(
    workers: Workers,
) -> None:
    with pytest.raises(Broken, match="SystemExit"):
        await workers.run(sys.exit, 3)
    with pytest.raises(Broken, match="failed in a worker"):
        await workers.run(threading.Lock)
    assert await workers.run(operator.add, 1, 1) == 2


async def test_a_worker_that_dies_is_unreachable_and_the_next_call_works(
    workers: Workers,
) -> None:
    pid = await workers.run(os.getpid)
    with pytest.raises(Unreachable, match="ended while it worked"):
        await workers.run(os._exit, 3)
    assert await workers.run(os.getpid) != pid


async def test_a_worker_that_was_killed_while_idle_is_not_noticed(workers: Workers) -> None:
    pid = await workers.run(os.getpid)
    os.kill(pid, signal.SIGKILL)
    await gone(pid)
    while workers._process is not None and workers._process.returncode is None:
        await CLOCK.sleep(0.01)
    assert await workers.run(os.getpid) != pid


async def test_a_job_that_takes_too_long_is_given_up_with_its_worker() -> None:
    workers = Workers(CLOCK, limit_s=0.5)
    with pytest.raises(Unreachable, match=r"took longer than 0\.5 s"):
        await workers.run(time.sleep, 600)
    assert workers.pid is None
    await workers.close()


async def test_a_caller_that_gives_up_takes_the_worker_with_it(workers: Workers) -> None:
    pid = await workers.run(os.getpid)
    job = asyncio.ensure_future(workers.run(time.sleep, 600))
    await turn()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    await gone(pid)
    assert await workers.run(operator.add, 1, 1) == 2


async def test_jobs_are_done_one_after_the_other(workers: Workers) -> None:
    pids = await asyncio.gather(*(workers.run(os.getpid) for _ in range(10)))
    assert len(set(pids)) == 1


async def test_too_many_jobs_are_refused_in_words(workers: Workers) -> None:
    jobs = [asyncio.ensure_future(workers.run(os.getpid)) for _ in range(JOBS_WAITING_MAX)]
    await turn()
    with pytest.raises(Refused, match="Try again in a moment"):
        await workers.run(os.getpid)
    await asyncio.gather(*jobs)


async def test_an_idle_worker_ends_and_the_next_job_starts_another() -> None:
    # Nobody else sleeps on this clock, so that its minute passes as soon as the worker idles.
    workers = Workers(FakeClock())
    first = await workers.run(os.getpid)
    await gone(first)
    assert workers.pid is None
    second = await workers.run(os.getpid)
    assert second != first
    await gone(second)
    await workers.close()


async def test_a_worker_with_work_is_not_idle() -> None:
    workers = Workers(CLOCK, idle_s=0.05)
    assert await workers.run(time.sleep, 0.3) is None
    await workers.close()


async def test_closing_ends_the_worker(workers: Workers) -> None:
    pid = await workers.run(os.getpid)
    await workers.close()
    assert not alive(pid)
    await workers.close()


async def test_a_worker_knows_no_secret_and_what_it_prints_goes_nowhere(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:secret")
    assert await workers.run(os.getenv, "TELEGRAM_BOT_TOKEN") is None
    assert await workers.run(print, "noise") is None
    assert await workers.run(os.write, 1, b"more noise") == 10
    assert await workers.run(operator.add, 1, 1) == 2


async def test_a_worker_inherits_no_open_file(workers: Workers, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        await workers.run(os.getpid)
        pid = workers.pid
        links = {
            os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")
        }
    assert str(tmp_path / "lock") not in links


DESK = """
    import asyncio, os, sys, time
    from bot.clock import SystemClock
    from bot.workers import Workers

    async def main():
        workers = Workers(SystemClock())
        print(await workers.run(os.getpid), flush=True)
        {then}

    asyncio.run(main())
"""
BUSY = "await workers.run(time.sleep, 600)"
IDLE = "await asyncio.Event().wait()"


@pytest.mark.parametrize("then", [BUSY, IDLE], ids=["busy", "idle"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_a_worker_never_survives_the_death_of_its_desk(
    then: str, how: signal.Signals
) -> None:
    desk = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(DESK).format(then=then),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert desk.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        worker = int(await desk.stdout.readline())
    assert alive(worker)
    desk.send_signal(how)
    await desk.wait()
    await gone(worker)


async def test_a_worker_whose_parent_is_gone_already_ends_at_once() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot.workers", "1"),
        stdin=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 1


async def test_where_the_system_does_not_tell_a_thread_watches_the_parent() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from bot import workers; workers._watch_parent(-1)"),
        env=ENVIRONMENT,
    )
    async with asyncio.timeout(PATIENCE_S):
        assert await process.wait() == 1


async def test_a_picture_is_drawn_without_loading_matplotlib_here(
    workers: Workers, tmp_path: Path
) -> None:
    candles = (Candle(0, 1.0, 2.0, 0.5, 1.5, 3.0),)
    await workers.run(draw_picture, CandleChart("A 1h", "", HOUR_MS, candles), tmp_path / "a.png")
    assert _size(tmp_path / "a.png") > 1000
    code = "import handlers, bot.render.plain, bot.workers, sys; print('matplotlib' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", code),
        stdout=asyncio.subprocess.PIPE,
        env=ENVIRONMENT,
    )
    out, _ = await process.communicate()
    assert out.strip() == b"False"


def _size(path: Path) -> int:
    return path.stat().st_size


# -- jobs that say how far they are, and that are refused ------------------------------------


def count(tell: Tell, upto: int) -> int:
    for number in range(upto):
        tell(number, "counted")
    return upto


def refuse(tell: Tell, kind: type[Exception], *words: str) -> None:
    tell("asked")
    raise kind(*words)


async def test_a_job_that_is_followed_tells_how_far_it_is_in_order(workers: Workers) -> None:
    told: list[tuple[int, str]] = []
    assert await workers.follow(lambda *said: told.append(said), count, 3) == 3
    assert told == [(0, "counted"), (1, "counted"), (2, "counted")]
    # Who does not follow is told nothing, and the function is called as it is.
    assert await workers.run(operator.add, 1, 1) == 2


@pytest.mark.parametrize(
    ("kind", "words", "as_what"),
    [
        (BadInput, ("days", "0", "1 to 9"), Refused),
        (Refused, ("no",), Refused),
        (Unreachable, ("gone",), Unreachable),
    ],
)
async def test_what_a_job_refuses_is_refused_here_and_its_worker_goes_on(
    workers: Workers, kind: type[Exception], words: tuple[str, ...], as_what: type[Exception]
) -> None:
    pid = await workers.run(os.getpid)
    with pytest.raises(as_what) as caught:
        await workers.follow(lambda *said: None, refuse, kind, *words)
    assert type(caught.value) is as_what
    assert str(caught.value) == str(kind(*words))
    assert await workers.run(os.getpid) == pid


async def test_a_follower_that_fails_takes_the_worker_with_it(workers: Workers) -> None:
    pid = await workers.run(os.getpid)

    def fail(*said: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await workers.follow(fail, count, 3)
    await gone(pid)
    assert await workers.run(operator.add, 1, 1) == 2
