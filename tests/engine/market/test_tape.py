"""The tape: order, pace, going on, looking back."""

from collections.abc import Iterator, Sequence

import pytest

from engine.candle import MINUTE_MS, Candle, aggregate
from engine.errors import BadInput
from engine.event import CandleClosed
from engine.market.tape import Tape

BAR = 5 * MINUTE_MS
START = 1_750_000_000_000 // (240 * MINUTE_MS) * (240 * MINUTE_MS)


class ListedBars:
    """Bars kept in a list."""

    def __init__(self, candles: Sequence[Candle]) -> None:
        self.candles = list(candles)

    @property
    def first(self) -> int:
        return self.candles[0].ts

    def since(self, start: int) -> Iterator[Candle]:
        return (candle for candle in self.candles if candle.ts >= start)

    def between(self, start: int, stop: int) -> Sequence[Candle]:
        return [candle for candle in self.candles if start <= candle.ts < stop]


def bars(*numbers: int) -> ListedBars:
    return ListedBars(
        [Candle(START + n * BAR, 100 + n, 103 + n, 98 + n, 101 + n, 1 + n) for n in numbers]
    )


def places(batch: Sequence[CandleClosed]) -> list[tuple[str, int]]:
    return [(event.symbol, (event.candle.ts - START) // BAR) for event in batch]


async def test_candles_come_by_close_then_in_the_order_of_the_symbols(clock):
    tape = Tape({"B": bars(0, 1, 3), "A": bars(1, 2, 3)}, BAR, 0, clock)
    batch = await tape.next(10)
    assert places(batch) == [("B", 0), ("B", 1), ("A", 1), ("A", 2), ("B", 3), ("A", 3)]
    assert all(event.closed_at == event.candle.ts + BAR for event in batch)


async def test_the_batch_size_changes_nothing(clock):
    whole = await Tape({"A": bars(*range(9)), "B": bars(*range(9))}, BAR, 0, clock).next(99)
    tape = Tape({"A": bars(*range(9)), "B": bars(*range(9))}, BAR, 0, clock)
    parts = []
    while batch := await tape.next(4):
        assert len(batch) <= 4
        parts += batch
    assert parts == whole


async def test_the_end_is_an_empty_list_for_ever(clock):
    tape = Tape({"A": bars(0)}, BAR, 1, clock)
    assert not tape.caught_up
    assert len(await tape.next(5)) == 1
    assert tape.caught_up
    assert await tape.next(5) == []
    assert await tape.next(5) == []


async def test_it_goes_on_after_the_given_opens(clock):
    tape = Tape({"A": bars(0, 1, 2), "B": bars(0, 1, 2)}, BAR, 0, clock)
    tape.resume({"A": START + BAR, "B": START, "GONE": START})
    assert places(await tape.next(9)) == [("B", 1), ("A", 2), ("B", 2)]
    tape.resume({"A": START + 2 * BAR, "B": START + 2 * BAR})
    assert await tape.next(9) == []
    tape.resume({"A": START + BAR})
    assert places(await tape.next(2)) == [("B", 0), ("B", 1)]


async def test_at_speed_0_nobody_sleeps(clock):
    await Tape({"A": bars(*range(50))}, BAR, 0, clock).next(50)
    assert clock.slept == 0


async def test_at_speed_60_a_five_minute_bar_takes_five_seconds(clock):
    tape = Tape({"A": bars(*range(50)), "B": bars(*range(50))}, BAR, 60, clock)
    assert places(await tape.next(10)) == [("A", 0), ("B", 0)]
    assert clock.slept == pytest.approx(5)
    assert places(await tape.next(10)) == [("A", 1), ("B", 1)]
    assert clock.slept == pytest.approx(10)


async def test_what_fell_due_meanwhile_comes_at_once(clock):
    tape = Tape({"A": bars(*range(50))}, BAR, 60, clock)
    await tape.next(10)
    clock.ms += 17_000
    assert places(await tape.next(10)) == [("A", 1), ("A", 2), ("A", 3)]
    assert clock.slept == pytest.approx(5)


async def test_a_gap_in_the_bars_takes_its_time(clock):
    tape = Tape({"A": bars(0, 10)}, BAR, 60, clock)
    await tape.next(1)
    await tape.next(1)
    assert clock.slept == pytest.approx(55)


async def test_going_on_starts_the_pace_anew(clock):
    tape = Tape({"A": bars(*range(50))}, BAR, 60, clock)
    await tape.next(10)
    tape.resume({"A": START + 30 * BAR})
    assert places(await tape.next(10)) == [("A", 31)]
    assert clock.slept == pytest.approx(10)


async def test_a_changed_speed_counts_from_the_next_candle(clock):
    tape = Tape({"A": bars(*range(50))}, BAR, 0, clock)
    await tape.next(20)
    tape.speed = 60
    assert places(await tape.next(9)) == [("A", 20)]
    assert clock.slept == pytest.approx(5)
    tape.speed = 300
    assert places(await tape.next(9)) == [("A", 21)]
    assert clock.slept == pytest.approx(6)


async def test_a_speed_changed_during_the_wait_is_noticed(clock):
    tape = Tape({"A": bars(*range(5))}, BAR, 1, clock)
    sleep = clock.sleep

    async def sleep_and_hurry(seconds: float) -> None:
        await sleep(seconds)
        if clock.slept >= 3:
            tape.speed = 0

    clock.sleep = sleep_and_hurry
    assert len(await tape.next(9)) == 5
    assert clock.slept == pytest.approx(3)


async def test_the_tape_may_be_moved_during_the_wait(clock):
    tape = Tape({"A": bars(*range(5))}, BAR, 1, clock)
    sleep = clock.sleep

    async def sleep_and_go_to_the_end(seconds: float) -> None:
        await sleep(seconds)
        tape.resume({"A": START + 4 * BAR})

    clock.sleep = sleep_and_go_to_the_end
    assert await tape.next(9) == []
    assert tape.caught_up


async def test_a_live_tape_never_runs_ahead_of_the_clock(clock):
    clock.ms = START + 2.5 * BAR
    tape = Tape({"A": bars(*range(50))}, BAR, 0, clock, live=True)
    assert places(await tape.next(9)) == [("A", 0), ("A", 1)]
    assert await tape.next(9) == []
    clock.ms += BAR
    assert places(await tape.next(9)) == [("A", 2)]


async def test_a_live_tape_catches_up_at_its_speed_and_then_waits_for_real(clock):
    clock.ms = START + 3 * BAR
    tape = Tape({"A": bars(*range(50))}, BAR, 60, clock, live=True)
    slept = []
    for _ in range(5):
        assert len(await tape.next(9)) == 1
        slept.append(round(clock.slept))
    assert slept == [5, 10, 15, 300, 600]


@pytest.mark.parametrize("speed", [-1, float("nan"), float("inf")])
def test_a_speed_that_is_none_is_refused(clock, speed):
    with pytest.raises(BadInput, match="speed: .* Allowed: 0"):
        Tape({"A": bars(0)}, BAR, speed, clock)


def test_history_equals_the_aggregate_of_all_that_had_closed(clock):
    held = bars(*(n for n in range(2, 2000) if n % 97 and not 500 < n < 900))
    tape = Tape({"A": held}, BAR, 0, clock)
    for factor in (1, 3, 12, 48):
        for step in (0, 1, 2, 47, 500, 905, 1999, 5000):
            until = START + step * BAR + 1
            closed = [candle for candle in held.candles if candle.ts + BAR <= until]
            expected = aggregate(closed, BAR, factor * BAR)
            for limit in (0, 1, 7, 10_000):
                found = tape.history("A", factor * BAR, until, limit)
                assert found == (expected[-limit:] if limit else []), (factor, step, limit)


def test_a_bar_that_closes_at_the_moment_asked_for_belongs_to_history(clock):
    tape = Tape({"A": bars(*range(20))}, BAR, 0, clock)
    assert tape.history("A", BAR, START + BAR, 9)[-1].ts == START
    assert tape.history("A", BAR, START + BAR - 1, 9) == []
    assert tape.history("A", 3 * BAR, START + 3 * BAR - 1, 9) == []


def test_live_history_ends_at_the_clock(clock):
    clock.ms = START + 4 * BAR
    tape = Tape({"A": bars(*range(20))}, BAR, 0, clock, live=True)
    assert len(tape.history("A", BAR, START + 15 * BAR, 99)) == 4


def test_history_names_what_can_be_asked_for(clock):
    tape = Tape({"A": bars(0), "B": bars(0)}, BAR, 0, clock)
    with pytest.raises(BadInput, match=r"symbol: 'C' is not valid. Allowed: A, B."):
        tape.history("C", BAR, START, 1)
    with pytest.raises(BadInput, match="a multiple of 5m"):
        tape.history("A", MINUTE_MS, START, 1)
