"""Keeping to a rate."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from engine.pace import Pace, until
from tests.clock import FakeClock, turn
from tests.handlers.desks import StillClock


async def test_as_many_as_allowed_go_at_once_and_the_next_waits_for_the_first_to_leave() -> None:
    clock = FakeClock()
    pace = Pace(clock, 3, 60.0)
    for _ in range(3):
        await pace.wait()
    assert clock.slept == 0
    clock.advance(10)
    await pace.wait()
    assert clock.slept == 50


async def test_a_wait_ends_with_its_time() -> None:
    clock = FakeClock()
    await until(asyncio.Event(), clock, 30.0)
    assert clock.slept == 30


async def test_a_wait_ends_with_what_it_is_for() -> None:
    came = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(until(came, StillClock(0), 30.0))
        await turn()
        assert not waiting.done()
        came.set()


async def test_what_goes_without_waiting_counts_for_those_who_do() -> None:
    clock = FakeClock()
    pace = Pace(clock, 1, 1.0)
    for _ in range(3):
        pace.take()
    assert pace.delay() == 1.0


async def test_nothing_is_remembered_longer_than_the_window() -> None:
    clock = FakeClock()
    pace = Pace(clock, 5, 1.0)
    for _ in range(1_000):
        pace.take()
        clock.advance(0.5)
    assert len(pace._taken) <= 3


@given(
    count=st.integers(1, 5),
    pauses=st.lists(st.floats(0, 3), min_size=1, max_size=40),
)
async def test_no_window_ever_holds_more_than_allowed(count: int, pauses: list[float]) -> None:
    clock = FakeClock()
    pace = Pace(clock, count, 2.0)
    went = []
    for pause in pauses:
        clock.advance(pause)
        await pace.wait()
        went.append(clock.monotonic())
    for first, later in zip(went, went[count:], strict=False):
        assert later - first >= 2.0 - 1e-6
