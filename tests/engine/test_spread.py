"""A crew does all jobs, in their order, whatever becomes of its workers."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from engine.errors import BadInput, Broken, Unreachable
from engine.spread import GROUNDS_KEPT, HIRES_MAX, Crew, Grounds, Lost
from tests import jobs


class Worker(Executor):
    """An executor that works at once, or dies of a job; it notes what it is given."""

    def __init__(self, given: list[tuple[Any, bool]], dies: Callable[[Any], bool]) -> None:
        self._given = given
        self._dies = dies
        self.is_open = True

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        *_, packed, job = args
        future: Future[Any] = Future()
        self._given.append((job, packed is not None))
        if self._dies(job):
            future.set_exception(BrokenExecutor("killed"))
            return future
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.is_open = False


class Office:
    """Hires workers that die of the jobs named, each as often as it says."""

    def __init__(self, **deaths: int) -> None:
        self.given: list[tuple[Any, bool]] = []
        self.hired: list[Worker] = []
        self._deaths = deaths

    def hire(self) -> Executor:
        self.hired.append(Worker(self.given, self._dies))
        return self.hired[-1]

    def _dies(self, job: str) -> bool:
        left = self._deaths.get(job, 0)
        self._deaths[job] = left - 1
        return left > 0

    def times_given(self, job: str) -> int:
        return sum(each == job for each, _ in self.given)


def upper(ground: str, job: str) -> str:
    return f"{ground} {job.upper()}"


@pytest.fixture(scope="module")
def process() -> Iterator[Crew]:
    context = multiprocessing.get_context("spawn")
    with Crew(lambda: ProcessPoolExecutor(1, context)) as crew:
        yield crew


@pytest.mark.parametrize("seats", [1, 3])
def test_results_come_in_the_order_of_the_jobs(seats: int) -> None:
    done: list[int] = []
    with Crew(lambda: ThreadPoolExecutor(1), seats) as crew:
        found = crew.do(jobs.times, Grounds(3), range(20), done.append)
        assert crew.do(jobs.times, Grounds(3), []) == []
    assert found == [3 * job for job in range(20)]
    assert done == sorted(done) and done[-1] == 20


# -- grounds -----------------------------------------------------------------------------


def test_grounds_travel_to_a_worker_once_and_equal_ones_are_the_same() -> None:
    office = Office()
    crew = Crew(office.hire)
    crew.do(upper, Grounds("once"), "ab")
    crew.do(upper, Grounds("once"), "c")
    assert office.given == [("a", False), ("a", True), ("b", False), ("c", False)]


def test_what_a_worker_has_forgotten_is_sent_again() -> None:
    office = Office()
    crew = Crew(office.hire)
    first, *others = (Grounds(f"forgotten {number}") for number in range(GROUNDS_KEPT + 1))
    assert crew.do(upper, first, "a") == ["forgotten 0 A"]
    for each in others:
        crew.do(upper, each, "b")
    office.given.clear()
    assert crew.do(upper, first, "c") == ["forgotten 0 C"]
    assert office.given == [("c", False), ("c", True)]


def test_grounds_that_are_used_are_not_forgotten() -> None:
    office = Office()
    crew = Crew(office.hire)
    used = Grounds("used")
    for number in range(GROUNDS_KEPT * 2):
        crew.do(upper, used, "a")
        crew.do(upper, Grounds(f"used by the way {number}"), "b")
    assert office.given.count(("a", True)) == 1


def test_grounds_are_packed_once() -> None:
    grounds = Grounds([1, 2, 3])
    assert grounds.packed is grounds.packed
    assert grounds.key == Grounds([1, 2, 3]).key != Grounds([1, 2]).key


# -- workers that die ----------------------------------------------------------------------


def test_a_job_whose_worker_died_is_given_to_the_next_one_and_no_other_is() -> None:
    office = Office(c=1)
    found = Crew(office.hire).do(upper, Grounds("one death"), "abcde")
    assert found == [f"one death {letter}" for letter in "ABCDE"]
    assert len(office.hired) == 2
    assert [office.times_given(job) for job in "bcde"] == [1, 2, 1, 1]


def test_a_job_that_two_workers_died_of_is_lost_and_the_rest_is_done() -> None:
    office = Office(b=2)
    found = Crew(office.hire, 2).do(upper, Grounds("two deaths"), "abc")
    assert found == [
        "two deaths A",
        Lost("its workers died: BrokenExecutor: killed"),
        "two deaths C",
    ]
    assert office.times_given("b") == 2


def test_a_worker_that_died_while_it_had_no_job_is_not_noticed() -> None:
    office = Office()
    crew = Crew(office.hire)
    crew.do(upper, Grounds("idle"), "a")

    def broken(*_: object) -> Future[Any]:
        raise BrokenExecutor("died since")

    office.hired[0].submit = broken  # type: ignore[method-assign]
    assert crew.do(upper, Grounds("idle"), "b") == ["idle B"]
    assert len(office.hired) == 2
    assert not office.hired[0].is_open


def test_workers_that_keep_dying_are_not_hired_without_end() -> None:
    letters = [chr(ord("a") + number) for number in range(HIRES_MAX)]
    office = Office(**dict.fromkeys(letters, 9))
    with pytest.raises(Unreachable, match=rf"workers died {HIRES_MAX + 1} times, .*killed"):
        Crew(office.hire).do(upper, Grounds("mortal"), letters)
    assert len(office.hired) == HIRES_MAX + 1


def test_where_no_job_ends_any_more_nobody_waits_for_ever() -> None:
    go = Event()
    pool = ThreadPoolExecutor(1)
    pool.submit(go.wait)
    with pytest.raises(Unreachable, match=r"no worker has ended a job for 0\.05 s"):
        Crew(lambda: pool, patience_s=0.05).do(upper, Grounds("stuck"), "a")
    go.set()


# -- jobs that fail ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("ours", BadInput, "days: 0 is not valid. Allowed: 1 to 9."),
        ("stubborn", Broken, "Stubborn: this and that"),
        ("other", ZeroDivisionError, "other"),
    ],
)
def test_what_a_job_raises_is_raised_here_and_no_worker_dies_of_it(
    process: Crew, kind: str, error: type[Exception], words: str
) -> None:
    before = process.do(jobs.process_of, Grounds(None), [0])
    with pytest.raises(error) as caught:
        process.do(jobs.fails, Grounds(None), [kind])
    assert str(caught.value) == words
    assert process.do(jobs.process_of, Grounds(None), [0]) == before


def test_a_job_that_fails_ends_the_others_and_the_crew_goes_on() -> None:
    office = Office()
    crew = Crew(office.hire)
    with pytest.raises(ZeroDivisionError):
        crew.do(jobs.fails, Grounds("f"), ["x", "y"])
    assert office.times_given("y") == 0
    assert crew.do(upper, Grounds("goes on"), "a") == ["goes on A"]


# -- the end -------------------------------------------------------------------------------


def test_a_closed_crew_has_ended_its_workers() -> None:
    office, closed = Office(), Event()
    with Crew(office.hire, 2, on_close=closed.set) as crew:
        crew.do(upper, Grounds("end"), "ab")
        assert all(worker.is_open for worker in office.hired)
    assert len(office.hired) == 2
    assert not any(worker.is_open for worker in office.hired)
    assert closed.is_set()


def test_a_process_that_dies_of_a_job_costs_that_job_alone(process: Crew, tmp_path: Path) -> None:
    (tmp_path / "kill3").touch()
    found = process.do(jobs.dies_once, Grounds(tmp_path), range(6))
    assert found == [0, 10, 20, 30, 40, 50]
    assert [jobs.begun(tmp_path, job) for job in range(6)] == [1, 1, 1, 2, 1, 1]
