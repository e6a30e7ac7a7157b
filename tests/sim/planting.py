"""How a bug is planted: a function that changes the product through a patch that can be undone."""

from collections.abc import Callable

from pytest import MonkeyPatch

Plant = Callable[[MonkeyPatch], None]

MUTANTS: dict[str, Plant] = {}


def planted(plant: Plant) -> Plant:
    """Have a bug looked for, by the name of its function."""
    MUTANTS[plant.__name__] = plant
    return plant


def nothing(*arguments: object, **more: object) -> None: ...
