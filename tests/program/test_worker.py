"""`countersign worker`: it works until it is told to end, and a study does not end with it."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from bot.executors import hire
from engine.backtest.plan import Plan
from engine.candle import MINUTE_MS
from engine.spread import Crew, Grounds
from engine.strategies import STRATEGIES
from engine.tuner import Search, study
from tests import jobs
from tests.clusters import DEADLINE_S, Cluster, cluster
from tests.engine.backtest.puppets import walk
from tests.program.conftest import Program, until

NOBODY = "tcp://127.0.0.1:1"


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), workers=2) as running:
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("empty"), workers=0) as running:
        yield running


# -- what it can't start with ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheduler", "words", "said"),
    [
        ("", (), "DASK_SCHEDULER: is not set; allowed: tls://HOST:PORT, or tcp://HOST:PORT on"),
        ("10.0.0.5:8786", (), "DASK_SCHEDULER: '10.0.0.5:8786' is not valid; allowed: tls://"),
        ("tcp://dask.example.com:8786", (), "is not valid; allowed: tls://HOST:PORT, or tcp://"),
        ("tls://127.0.0.1:1", (), "tls://127.0.0.1:1 needs certificates in Dask's own settings"),
        (NOBODY, ("--memory", "much"), "memory: 'much' is not valid. Allowed: auto, or an amount"),
    ],
    ids=["none", "no scheme", "open to all", "certificates", "memory"],
)
def test_a_bad_setting_is_said_in_a_sentence(
    program: Program, scheduler: str, words: tuple[str, ...], said: str
) -> None:
    program.settings["DASK_SCHEDULER"] = scheduler
    done = program.run("worker", *words)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_without_dask_it_says_what_to_install(program: Program) -> None:
    (program.folder / "dask.py").write_text("raise ImportError")
    program.settings["DASK_SCHEDULER"] = NOBODY
    program.settings["PYTHONPATH"] = f"{program.folder}:{program.environ()['PYTHONPATH']}"
    done = program.run("worker")
    assert done.returncode == 2
    assert "Dask, which is not installed here" in done.stderr


def test_a_scheduler_that_is_not_there_is_named(program: Program) -> None:
    program.settings["DASK_SCHEDULER"] = NOBODY
    program.settings["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "500ms"
    done = program.run("worker")
    assert done.returncode == 1
    assert done.stderr.startswith(f"countersign: The Dask scheduler at {NOBODY} does not answer: ")
    assert done.stderr.count("\n") == 1


# -- at work ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_works_until_it_is_told_to_end_and_needs_nothing_of_a_desk(
    program: Program, empty: Cluster, how: signal.Signals
) -> None:
    (program.folder / ".env").write_text("MODE=nonsense\n")
    program.settings |= {"DASK_SCHEDULER": empty.address, "TELEGRAM_BOT_TOKEN": "1:secret"}
    process = program.start("worker", "--name", "mule", "--memory", "2GB")
    assert process.stdout is not None
    assert process.stdout.readline().startswith(f"mule works for {empty.address}: ")
    with hire(empty.address, 1) as crew:
        [(environment, _, nanny)] = crew.do(jobs.surroundings, Grounds(None), [0])
    assert nanny == process.pid
    assert "1:secret" not in environment.values()
    process.send_signal(how)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err) == (0, "mule has ended.\n", "")
    assert [path.name for path in program.folder.iterdir()] == [".env"]


def test_what_it_started_ends_with_it(program: Program, empty: Cluster) -> None:
    program.settings["DASK_SCHEDULER"] = empty.address
    process = program.start("worker")
    assert process.stdout is not None
    assert " works for " in process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    program.kill(process)
    until(lambda: not any(Path(f"/proc/{each}").exists() for each in children), empty.scheduler)


def test_a_scheduler_that_ends_ends_it(program: Program, empty: Cluster) -> None:
    program.settings["DASK_SCHEDULER"] = empty.address
    process = program.start("worker")
    assert process.stdout is not None
    assert " works for " in process.stdout.readline()
    empty.scheduler.terminate()
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert err == f"countersign: The Dask scheduler at {empty.address} is gone.\n"


# -- a study ---------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_study_whose_worker_is_killed_ends_whole_with_the_values_of_this_machine(
    dask: Cluster,
) -> None:
    history = walk(Random(5), ("BTCUSDT",), 12_000, 5 * MINUTE_MS, gaps=False)
    plan, search = Plan(STRATEGIES["shortseller"]), Search(trials=24, folds=2, seed=3)
    with Crew(lambda: ThreadPoolExecutor(1)) as crew:
        expected = study(plan, history, search, crew)
    killed: list[int] = []
    with hire(dask.address, 2) as crew:
        victim, *_ = crew.do(jobs.process_of, Grounds(None), range(2))

        def told(done: int, total: int, words: str) -> None:
            # In the middle of a batch: others are under way.
            if done == 19 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)

        found = study(plan, history, search, crew, told)
    assert killed
    assert found == expected
    assert (found.trials, found.lost) == (24, 0)
