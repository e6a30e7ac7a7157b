"""Planted bugs: what real desks did wrong, done on purpose to this one inside a simulation.

Each changes the product until its patch is undone, and only in this process. The simulation has
to find all of them: one that it doesn't find is a promise that nobody looks at.
"""

from pytest import MonkeyPatch

from tests.sim import mutants_books, mutants_exchange, planting, world
from tests.sim.operators import Operators
from tests.sim.weather import Plan
from tests.sim.world import Outcome

# Their bugs are planted as they are imported.
PARTS = (mutants_exchange, mutants_books)
MUTANTS = planting.MUTANTS


def run(name: str, plan: Plan) -> Outcome:
    """Simulate a plan with a bug planted, with nobody in the chats: they halt the desk, in which no
    bug of its trading can show."""
    with MonkeyPatch.context() as patch:
        patch.setattr(Operators, "live", _nobody)
        MUTANTS[name](patch)
        return world.run(plan)


async def _nobody(people: Operators) -> None: ...
