"""Who may ask Bybit next, in a time that stands still but for sleepers."""

import asyncio

import pytest

from engine.bybit.budget import Budget, Line, Urgency
from engine.errors import Unreachable
from tests.clock import FakeClock, turn

OPENS, REDUCES, CHANGES = Urgency.OPENS, Urgency.REDUCES, Urgency.CHANGES


@pytest.fixture
def clock():
    return FakeClock()


class Counter:
    """A server that counts, and takes some time over each request."""

    def __init__(self, clock, patience_s=60.0, takes_s=0.0):
        self.clock = clock
        self.line = Line(clock, patience_s)
        self.takes_s = takes_s
        self.served = []

    async def ask(self, name, budget, urgency):
        async with self.line.turn(budget, urgency):
            self.served.append((name, self.clock.monotonic()))
            await self.clock.sleep(self.takes_s)

    @property
    def names(self):
        return [name for name, _ in self.served]

    def most_in_a_second(self):
        times = [at for _, at in self.served]
        return max(sum(at <= other < at + 1 for other in times) for at in times)


async def test_half_of_bybits_limit_is_used(clock):
    counter, budget = Counter(clock), Budget(clock, 10)
    await asyncio.gather(*(counter.ask(n, budget, REDUCES) for n in range(23)))

    assert counter.most_in_a_second() == 5
    assert counter.served[-1][1] - counter.served[0][1] == pytest.approx(4.0)


def test_what_opens_leaves_a_reserve_for_what_reduces(clock):
    budget = Budget(clock, 10)
    for urgency, most in ((OPENS, 3), (REDUCES, 2)):
        for _ in range(most):
            assert budget.delay(urgency) <= 0
            budget.take(urgency)
        assert budget.delay(urgency) == pytest.approx(1.0)

    clock.advance(1.0)
    assert budget.delay(OPENS) <= 0


async def test_a_waiting_cancel_goes_before_a_waiting_entry(clock):
    counter = Counter(clock, takes_s=0.5)
    create, cancel = Budget(clock, 10), Budget(clock, 10)
    names = ["first", "entry 1", "entry 2", "change", "cancel"]
    urgencies = [OPENS, OPENS, OPENS, CHANGES, REDUCES]
    budgets = [create, create, create, create, cancel]
    await asyncio.gather(*map(counter.ask, names, budgets, urgencies))

    assert counter.names == ["first", "cancel", "change", "entry 1", "entry 2"]


async def test_who_waits_for_a_budget_holds_nobody_up_that_has_one(clock):
    counter = Counter(clock)
    spent, free = Budget(clock, 10), Budget(clock, 10)
    spent.hold(5.0)
    began = clock.monotonic()
    await asyncio.gather(counter.ask("cancel", spent, REDUCES), counter.ask("entry", free, OPENS))

    assert counter.served == [("entry", began), ("cancel", began + 5.0)]


async def test_nobody_waits_longer_than_the_patience(clock):
    counter, budget = Counter(clock, patience_s=3.0), Budget(clock, 10)
    budget.hold(9.0)
    began = clock.monotonic()
    with pytest.raises(Unreachable, match="nothing was sent"):
        await counter.ask("entry", budget, OPENS)

    assert clock.monotonic() - began == pytest.approx(3.0)
    clock.advance(6.0)
    await counter.ask("later", budget, OPENS)
    assert counter.names == ["later"]


async def test_who_leaves_while_waiting_holds_nobody_up(clock):
    counter, budget = Counter(clock, takes_s=1.0), Budget(clock, 10)
    first, gone, last = (
        asyncio.create_task(counter.ask(name, budget, REDUCES))
        for name in ("first", "gone", "last")
    )
    await turn()
    gone.cancel()
    await asyncio.gather(first, last)

    assert counter.names == ["first", "last"]
    assert gone.cancelled()


async def test_who_fails_leaves_the_line_free(clock):
    line, budget = Line(clock, 5.0), Budget(clock, 10)
    with pytest.raises(KeyError):
        async with line.turn(budget, OPENS):
            raise KeyError
    async with line.turn(budget, OPENS):
        pass


# -- what Bybit's headers say --------------------------------------------------------------------


def heeded(clock, left, reset_in_ms, urgency):
    """Seconds that a request has to wait after an answer with such headers."""
    budget = Budget(clock, 10)
    budget.heed(
        {
            "X-Bapi-Limit": "10",
            "X-Bapi-Limit-Status": left,
            "X-Bapi-Limit-Reset-Timestamp": str(clock.now() + reset_in_ms),
        },
        clock.now(),
    )
    return max(budget.delay(urgency), 0)


@pytest.mark.parametrize(
    ("left", "reset_in_ms", "opens_s", "reduces_s"),
    [
        ("9", 800, 0, 0),
        ("3", 800, 0, 0),
        ("2", 800, 0.8, 0),
        ("0", 800, 0.8, 0.8),
        # It is the present time where nothing was exceeded, and has passed on arrival.
        ("0", 0, 0, 0),
        ("0", -90_000, 0, 0),
        ("0", 3_600_000, 10, 10),
    ],
)
def test_what_bybit_says_is_left_is_kept_to(clock, left, reset_in_ms, opens_s, reduces_s):
    assert heeded(clock, left, reset_in_ms, OPENS) == pytest.approx(opens_s)
    assert heeded(clock, left, reset_in_ms, REDUCES) == pytest.approx(reduces_s)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Bapi-Limit-Status": "many", "X-Bapi-Limit-Reset-Timestamp": "1"},
        {"X-Bapi-Limit-Status": "0", "X-Bapi-Limit-Reset-Timestamp": "soon"},
        {"X-Bapi-Limit-Status": "0"},
    ],
    ids=str,
)
def test_headers_that_are_missing_or_make_no_sense_change_nothing(clock, headers):
    budget = Budget(clock, 10)
    budget.heed(headers, clock.now())

    assert budget.delay(OPENS) <= 0


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 50])
async def test_however_small_a_limit_is_something_goes_through(clock, limit):
    counter, budget = Counter(clock), Budget(clock, limit)
    await asyncio.gather(*(counter.ask(n, budget, OPENS) for n in range(3)))

    assert len(counter.names) == 3
    assert counter.most_in_a_second() <= max(limit // 2, 1)
