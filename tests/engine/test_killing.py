"""The way to flat: all is withdrawn and closed, whatever fails, until the exchange says so."""

import asyncio
from decimal import Decimal

import pytest

from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.killing import SAID_AGAIN_S, WAITS_S, Killing, Latch, Scope, Step
from tests.clock import FakeClock, turn
from tests.switches import FakeVenue, FakeVenues

D = Decimal
LATE_S = 6.0
BTC, ETH, SOL = "BTCUSDT", "ETHUSDT", "SOLUSDT"
HELD = {BTC: D("0.5"), ETH: D("-2"), SOL: D("10")}


class Told:
    """What was told, and by whom it can be heard."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self.steps.append(step)

    @property
    def texts(self) -> list[str]:
        return [step.text for step in self.steps]

    @property
    def notable(self) -> list[str]:
        return [step.text for step in self.steps if step.notable]


async def bring_down(
    venue: FakeVenue | FakeVenues, scope: Scope, clock: FakeClock, late_s: float = 0.0
) -> Told:
    told = Told()
    async with asyncio.timeout(30):
        await Killing(venue, clock, told, scope, late_s).run()
    return told


async def test_t2_three_positions_and_five_orders_are_flat_and_confirmed():
    clock = FakeClock()
    venue = FakeVenue(clock, positions=dict(HELD), orders=5, takes_s=0.1)
    told = await bring_down(venue, Scope.FLATTEN, clock)
    assert (venue.positions, venue.orders) == ({}, 0)
    assert told.texts == [
        "Withdrawing all open orders.",
        "BTCUSDT: closing 0.5 long.",
        "ETHUSDT: closing 2 short.",
        "SOLUSDT: closing 10 long.",
        "Flat: no positions, no orders, confirmed by the exchange at 00:00:00 UTC.",
    ]
    assert clock.slept < 5


async def test_stopping_entries_asks_the_exchange_for_nothing():
    clock = FakeClock()
    venue = FakeVenue(clock, positions=dict(HELD), orders=5)
    told = await bring_down(venue, Scope.STOP, clock)
    assert (venue.asked, told.texts) == ([], [])


async def test_canceling_leaves_positions_and_names_them():
    clock = FakeClock()
    venue = FakeVenue(clock, positions={BTC: D("0.50")}, orders=2)
    told = await bring_down(venue, Scope.CANCEL, clock)
    assert venue.positions == {BTC: D("0.50")}
    assert told.texts == [
        "Withdrawing all open orders.",
        "No order is open, confirmed by the exchange at 00:00:00 UTC. "
        "Held, with the stops they have: BTCUSDT 0.5 long.",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        Unreachable("no route to host"),
        OutcomeUnknown("no answer"),
        ExchangeRefused(10016, "internal error"),
        ValueError("our own mistake"),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("place", range(5))
async def test_whatever_fails_is_told_and_tried_again(fault: Exception, place: int):
    clock = FakeClock()
    faults = iter([*[None] * place, fault])
    venue = FakeVenue(clock, positions={BTC: D(1)}, orders=1, faults=faults)
    told = await bring_down(venue, Scope.FLATTEN, clock)
    assert (venue.positions, venue.orders) == ({}, 0)
    assert told.texts[-1].startswith("Flat: ")
    if place < 4:
        [failed] = [text for text in told.notable if "tried again" in text]
        assert str(fault) in failed or "in the log" in failed


async def test_it_goes_on_for_hours_without_repeating_itself():
    clock = FakeClock()
    tries = 2_000
    venue = FakeVenue(clock, positions={BTC: D(1)}, faults=iter([Unreachable("down")] * tries))
    began = clock.monotonic()
    told = await bring_down(venue, Scope.FLATTEN, clock)
    passed = clock.monotonic() - began
    assert passed > 3_600
    assert venue.positions == {}
    said = told.texts.count("The exchange can't say what is open yet: down. It is tried again.")
    assert 1 < said <= passed / SAID_AGAIN_S + 1


async def test_waits_grow_to_five_seconds_and_no_further():
    clock = FakeClock()
    venue = FakeVenue(clock, faults=iter([Unreachable("down")] * 20))
    await bring_down(venue, Scope.FLATTEN, clock)
    looked = [at for at, call in venue.asked if call == "look"]
    gaps = [round(b - a, 3) for a, b in zip(looked, looked[1:], strict=False)]
    assert gaps[: len(WAITS_S)] == list(WAITS_S)
    assert set(gaps[len(WAITS_S) :]) == {WAITS_S[-1]}


async def test_what_the_exchange_says_is_done_already_is_no_failure():
    clock = FakeClock()
    gone = ExchangeRefused(110017, "position is zero", benign=True)
    venue = FakeVenue(clock, positions={BTC: D(1)}, faults=iter([None, None, gone]))
    told = await bring_down(venue, Scope.FLATTEN, clock)
    assert not any("tried again" in text for text in told.texts)


async def test_an_exchange_that_never_answers_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    class Mute(FakeVenue):
        async def cancel_all(self, account: str) -> None:
            if not self.asked:
                self.asked.append((0.0, "cancel"))
                await asyncio.Event().wait()
            await super().cancel_all(account)

    monkeypatch.setattr("engine.killing.CALL_S", 0.05)
    clock = FakeClock()
    venue = Mute(clock, positions={BTC: D(1)}, orders=1)
    told = await bring_down(venue, Scope.FLATTEN, clock)
    assert "no answer within" in told.notable[0]
    assert (venue.positions, venue.orders) == ({}, 0)


async def test_an_order_that_comes_late_is_closed_too():
    clock = FakeClock()
    venue = FakeVenue(clock, positions={BTC: D(1)}, late={ETH: D(3)})
    told = await bring_down(venue, Scope.FLATTEN, clock, LATE_S)
    assert venue.positions == {}
    assert "ETHUSDT: closing 3 long." in told.texts
    assert told.texts[-1].startswith("Still flat: no order came late")


async def test_accounts_are_brought_down_side_by_side_and_named():
    clock = FakeClock()
    down = FakeVenue(clock, "a", {BTC: D(1)}, faults=iter([Unreachable("down")] * 50))
    well = FakeVenue(clock, "b", {ETH: D(1)}, orders=2)
    told = await bring_down(FakeVenues([down, well]), Scope.FLATTEN, clock)
    flat = [text for text in told.texts if "Flat" in text]
    assert [text[:8] for text in flat] == ["b: Flat:", "a: Flat:"]
    assert flat[0].endswith("00:00:00 UTC.")
    assert (down.positions, well.positions) == ({}, {})


async def test_a_wider_scope_takes_over_at_once():
    clock = FakeClock()
    told = Told()
    venue = FakeVenue(
        clock, positions={BTC: D(1)}, orders=1, faults=iter([Unreachable("down")] * 30)
    )
    killing = Killing(venue, clock, told, Scope.CANCEL)

    async def widen() -> None:
        while len(venue.asked) < 25:
            await clock.sleep(0.1)
        venue.faults = iter(())
        killing.widen(Scope.FLATTEN)
        killing.widen(Scope.STOP)
        widened_at.append(clock.monotonic())

    widened_at: list[float] = []
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(killing.run())
        tasks.create_task(widen())
    assert (venue.positions, venue.orders) == ({}, 0)
    closed_at = next(at for at, call in venue.asked if call.startswith("close"))
    assert closed_at - widened_at[0] < WAITS_S[0] + 0.1


async def test_a_wider_scope_reaches_an_account_that_was_done_already():
    clock = FakeClock()
    slow = FakeVenue(clock, "a", faults=iter([Unreachable("down")] * 10))
    done = FakeVenue(clock, "b", {BTC: D(1)})
    killing = Killing(FakeVenues([slow, done]), clock, Told(), Scope.CANCEL, LATE_S)

    async def widen() -> None:
        while "look" not in done.calls:
            await clock.sleep(0.1)
        killing.widen(Scope.FLATTEN)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(killing.run())
        tasks.create_task(widen())
    assert done.positions == {}


async def test_being_canceled_ends_it():
    clock = FakeClock()
    venue = FakeVenue(clock, faults=iter([Unreachable("down")] * 10_000))
    task = asyncio.ensure_future(Killing(venue, clock, Told(), Scope.FLATTEN).run())
    while len(venue.asked) < 20:
        await turn()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_latch_says_who_set_it_and_when():
    latch = Latch(Scope.FLATTEN, "ann", 1_735_689_600_000)
    assert latch.why == ("the emergency stop's latch KILLED is set, by ann at 2025-01-01 00:00 UTC")
    assert not latch.is_done


def test_each_scope_takes_in_those_before_it():
    assert [Scope.CANCEL.widened(each) for each in Scope] == ["cancel", "cancel", "flatten"]
