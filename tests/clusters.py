"""A Dask cluster on this machine, as people start one: its scheduler, and workers of ours."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).parents[1]
# A process that has not done what is waited for by then never will.
DEADLINE_S = 60.0


@dataclass
class Cluster:
    """A running scheduler and its workers."""

    address: str
    scheduler: "subprocess.Popen[str]"
    folder: Path
    workers: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def start_workers(self, count: int) -> None:
        """Workers that the scheduler knows."""
        words = ("-m", "bot", "worker")
        added = [start(*words, DASK_SCHEDULER=self.address, cwd=self.folder) for _ in range(count)]
        self.workers += added
        for process in added:
            assert process.stdout is not None
            assert " works for " in process.stdout.readline()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.terminate()
        for process in (*self.workers, self.scheduler):
            process.communicate(timeout=DEADLINE_S)


@contextmanager
def cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A cluster until the block ends; its scheduler listens on a port of its own choice."""
    said = folder / "scheduler.json"
    listens = ("--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    words = ("-m", "distributed.cli.dask_scheduler", "--no-dashboard", *listens)
    quiet = {"DASK_LOGGING__DISTRIBUTED": "critical"}
    scheduler = start(*words, "--scheduler-file", str(said), cwd=folder, **quiet)
    found = Cluster(_address(said, scheduler), scheduler, folder)
    try:
        found.start_workers(workers)
        yield found
    finally:
        found.close()


def start(*words: str, cwd: Path, **environment: str) -> "subprocess.Popen[str]":
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _address(path: Path, scheduler: "subprocess.Popen[str]") -> str:
    """What a scheduler says of itself when it listens."""
    deadline = monotonic() + DEADLINE_S
    while monotonic() < deadline and scheduler.poll() is None:
        try:
            return str(json.loads(path.read_text())["address"])
        except (OSError, ValueError):
            sleep(0.02)
    raise AssertionError("the scheduler did not start")
