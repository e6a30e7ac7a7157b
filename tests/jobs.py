"""Jobs for workers in other processes, which import them by their names."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_SH, flock
from pathlib import Path

from engine.errors import BadInput


class Stubborn(Exception):
    """An error that can't be made again from its arguments."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} and {second}")


def times(ground: int, job: int) -> int:
    return ground * job


def process_of(_: object, __: object) -> int:
    return os.getpid()


def fails(_: object, kind: str) -> None:
    match kind:
        case "ours":
            raise BadInput("days", 0, "1 to 9")
        case "stubborn":
            raise Stubborn("this", "that")
    raise ZeroDivisionError(kind)


def surroundings(_: object, __: object) -> tuple[dict[str, str], int, int]:
    """The environment, the niceness, and the parent's process id."""
    return dict(os.environ), os.nice(0), os.getppid()


def dies_once(folder: Path, job: int) -> int:
    """Ends its process where the file says so and nobody has done the job before."""
    done_before = note(folder, job)
    if (folder / f"kill{job}").exists() and not done_before:
        os.kill(os.getpid(), signal.SIGKILL)
    return job * 10


def dies_always(folder: Path, job: int) -> int:
    note(folder, job)
    if (folder / f"kill{job}").exists():
        os._exit(3)
    return job * 10


@contextmanager
def held_up(folder: Path) -> Iterator[None]:
    """Jobs that wait do so meanwhile."""
    with (folder / "gate").open("w") as gate:
        flock(gate, LOCK_EX)
        yield


def waits(folder: Path, job: int) -> int:
    """Done once nothing holds it up; by then it has told its process."""
    with (folder / "gate").open() as gate:
        (folder / f"pid{job}").write_text(str(os.getpid()))
        flock(gate, LOCK_SH)
    return job * 10


def note(folder: Path, job: int) -> int:
    """Note that a job is being done; how often it was begun before."""
    with (folder / f"job{job}").open("a") as file:
        file.write("x")
    return begun(folder, job) - 1


def begun(folder: Path, job: int) -> int:
    path = folder / f"job{job}"
    return path.stat().st_size if path.exists() else 0
