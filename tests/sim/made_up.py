"""Worlds that are made up, for what is proven of the command; other processes import them too."""

import asyncio

from tests.sim.loop import SimLoop, simulate
from tests.sim.promises import Violation
from tests.sim.weather import Kind, Plan
from tests.sim.world import Outcome

PROMISE = "Nobody's made-up promise"


def keeps(plan: Plan) -> Outcome:
    """All is well, and the same each time."""
    return Outcome(plan, trace=[str(plan)], desks=1, seconds=3_600.0)


def breaks(plan: Plan) -> Outcome:
    """Funding breaks it, once a desk crashed."""
    crash = min((each.at for each in plan.faults if each.kind is Kind.CRASH), default=9_999.0)
    late = [each for each in plan.faults if each.kind is Kind.FUNDING and each.at > crash]
    return Outcome(plan, [Violation(PROMISE, each.at, "it broke") for each in late])


def differs(plan: Plan) -> Outcome:
    """Another trace where strings hash in another way."""
    return Outcome(plan, trace=[str(hash("a word"))])


def fails(plan: Plan) -> Outcome:
    """The simulation itself has a bug."""
    raise ValueError("no such seed")


def circles(plan: Plan) -> Outcome:
    """Something is tried again and again, and no time goes by."""

    async def circle(loop: SimLoop) -> Outcome:
        def again() -> None:
            loop.call_soon(again)

        again()
        never: asyncio.Future[Outcome] = loop.create_future()
        return await never

    return simulate(circle)
