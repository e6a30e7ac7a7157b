"""Processes of this machine and a Dask cluster do the same work, and outlive what befalls them."""

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, Popen
from textwrap import dedent
from time import monotonic, sleep

import pytest

from bot import executors
from bot.executors import hire
from bot.settings import load
from bot.workers import NICENESS
from engine.errors import BadSettings, Refused, Unreachable
from engine.spread import Crew, Grounds, Lost
from tests import jobs
from tests.clusters import DEADLINE_S, ROOT, Cluster, cluster


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(params=["processes", "dask"])
def crew(request: pytest.FixtureRequest) -> Iterator[Crew]:
    of_dask = request.param == "dask"
    scheduler = request.getfixturevalue("dask").address if of_dask else ""
    with hire(scheduler, 2) as hired:
        yield hired


def until(is_so: Callable[[], object]) -> None:
    deadline = monotonic() + DEADLINE_S
    while not is_so():
        assert monotonic() < deadline, "it did not come about"
        sleep(0.01)


def in_background(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


# -- on both -------------------------------------------------------------------------------


def test_work_is_spread_over_two_processes(crew: Crew, tmp_path: Path) -> None:
    held = ExitStack()
    held.enter_context(jobs.held_up(tmp_path))

    def meet() -> None:
        with held:
            until(lambda: (tmp_path / "pid0").exists() and (tmp_path / "pid1").exists())

    meeting = in_background(meet)
    assert crew.do(jobs.waits, Grounds(tmp_path), range(8)) == [10 * job for job in range(8)]
    meeting.join()
    pids = {path.read_text() for path in tmp_path.glob("pid*")}
    assert len(pids) == 2 and str(os.getpid()) not in pids


def test_a_worker_that_crashes_once_costs_its_job_a_second_try(crew: Crew, tmp_path: Path) -> None:
    (tmp_path / "kill3").touch()
    found = crew.do(jobs.dies_once, Grounds(tmp_path), range(12))
    assert found == [10 * job for job in range(12)]
    assert jobs.begun(tmp_path, 3) == 2


def test_a_worker_that_is_killed_in_the_middle_is_replaced(crew: Crew, tmp_path: Path) -> None:
    victims: list[int] = []
    held = ExitStack()
    held.enter_context(jobs.held_up(tmp_path))

    def kill() -> None:
        first = tmp_path / "pid0"
        with held:
            until(lambda: first.exists() and first.read_text())
            victims.append(int(first.read_text()))
            os.kill(victims[0], signal.SIGKILL)

    killing = in_background(kill)
    found = crew.do(jobs.waits, Grounds(tmp_path), range(12))
    killing.join()
    assert found == [10 * job for job in range(12)]
    assert victims[0] not in crew.do(jobs.process_of, Grounds(None), range(4))


def test_a_worker_computes_on_one_processor_behind_trading_and_knows_no_secret(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:secret")
    [(environment, niceness, _)] = crew.do(jobs.surroundings, Grounds(None), [0])
    assert "1:secret" not in environment.values()
    assert executors.ONE_THREAD.items() <= environment.items()
    assert niceness == NICENESS
    assert os.environ["TELEGRAM_BOT_TOKEN"] == "1:secret"


# -- processes -----------------------------------------------------------------------------


def test_a_job_that_always_kills_its_process_is_lost_alone(tmp_path: Path) -> None:
    (tmp_path / "kill1").touch()
    with hire("", 2) as crew:
        found = crew.do(jobs.dies_always, Grounds(tmp_path), range(4))
    assert [found[0], *found[2:]] == [0, 20, 30]
    assert isinstance(found[1], Lost) and "terminated abruptly" in found[1].reason
    assert [jobs.begun(tmp_path, job) for job in range(4)] == [1, 2, 1, 1]


DRIVER = """
    import sys
    from pathlib import Path
    from bot.executors import hire
    from engine.spread import Grounds
    from tests import jobs

    if __name__ == "__main__":
        with hire("", 1) as crew:
            crew.do(jobs.waits, Grounds(Path(sys.argv[1])), [0])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_whoever_started_them(tmp_path: Path, how: signal.Signals) -> None:
    script = tmp_path / "driver.py"
    script.write_text(dedent(DRIVER))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = tmp_path / "pid0"
    with jobs.held_up(tmp_path):
        driver = Popen([sys.executable, str(script), str(tmp_path)], env=environment, stderr=PIPE)
        until(lambda: told.exists() and told.read_text())
        driver.send_signal(how)
        driver.communicate(timeout=DEADLINE_S)
        until(lambda: not is_alive(int(told.read_text())))


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


# -- the address of a cluster ----------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    ["tcp://127.0.0.1:8786", "tcp://scheduler:8786", "tcp://[fd00::5]:8786", "tls://a.example:1"],
)
def test_a_scheduler_is_reached_with_tls_or_on_a_private_network(
    address: str, tmp_path: Path
) -> None:
    assert load({"DASK_SCHEDULER": address}, tmp_path).dask_scheduler == address


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8786",
        "tcp://127.0.0.1",
        "tcp://8.8.8.8:8786",
        "tcp://a.example:8786",
        "http://scheduler:8786",
        "tcp://user:password@scheduler:8786",
    ],
)
def test_another_address_is_refused(address: str, tmp_path: Path) -> None:
    said = "DASK_SCHEDULER: .* is not valid; allowed: tls://HOST:PORT, or tcp://HOST:PORT on your"
    with pytest.raises(BadSettings, match=said):
        load({"DASK_SCHEDULER": address}, tmp_path)


# -- a cluster that can't be had -----------------------------------------------------------


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(BadSettings, match=r"Dask, which is not installed here; .* distributed"):
        hire("tcp://127.0.0.1:8786", 2)


def test_tls_without_certificates_says_where_they_belong() -> None:
    with pytest.raises(BadSettings, match=r"tls://scheduler:8786 needs certificates in Dask's own"):
        hire("tls://scheduler:8786", 2)


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "ANSWER_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(Unreachable, match=f"The Dask scheduler at {address} does not answer"):
            hire(address, 2)


def test_a_cluster_of_another_version_is_refused(
    dask: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "VERSION", "99.1")
    with pytest.raises(Refused, match=r"Dask scheduler has countersign .*, this machine .* 99\.1"):
        hire(dask.address, 2)


@pytest.mark.parametrize(
    ("program", "python", "found"),
    [
        (executors.VERSION, "3.99.1", "on Python 3.99"),
        ("0.0.1", sys.version.split()[0], "countersign 0.0.1"),
        (ModuleNotFoundError(), sys.version.split()[0], "no countersign"),
    ],
)
def test_a_worker_of_another_version_is_named(program: object, python: str, found: str) -> None:
    with pytest.raises(Refused, match=rf"Dask worker tcp://a has .*{found}.*, this machine"):
        executors._check("worker tcp://a", program, python)


def test_without_workers_it_says_how_to_start_one_and_without_a_scheduler_that_it_is_gone(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path, workers=0) as running:
        with pytest.raises(Unreachable, match=r"has no worker\. Start one: countersign worker"):
            hire(running.address, 2)
        running.start_workers(1)
        with jobs.held_up(tmp_path), hire(running.address, 2) as crew:

            def kill() -> None:
                until((tmp_path / "pid0").exists)
                running.scheduler.kill()

            killing = in_background(kill)
            with pytest.raises(Unreachable, match=f"scheduler at {running.address} is gone"):
                crew.do(jobs.waits, Grounds(tmp_path), range(3))
            killing.join()
