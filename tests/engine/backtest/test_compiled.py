"""What is compiled is kept, never served stale, and needs no folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.backtest.compiled import VERSIONS_KEPT, bound, cached, is_kept

ROOT = Path(__file__).parents[3]

# A strategy of one's own: 100 bars close at 1 to 100.
OWN = """\
from engine.strategies.kernel import LONG_ENTRY, NOTHING, Signal

LEVEL = {level}


def is_high(price):
    return price {than} LEVEL


def step(params, state, window, bar):
    if is_high(bar.close):
        return state, Signal(1.0, 0.0, 0.0, LONG_ENTRY, 1.0, 0.0, 0.0, 0.0)
    return state, NOTHING
"""
COUNT_ENTRIES = """\
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.backtest.feed import feed
from engine.backtest.signals import signals
from engine.columns import Columns, Rates
from tests.engine.backtest.puppets import PUPPET

sys.path.insert(0, str(Path(sys.argv[1]).parent))
import own

ts = np.arange(100) * 60_000
bars = Columns(ts, *(np.arange(1.0, 101.0) for _ in range(5)))
strategy = replace(PUPPET, name="own", step=own.step)
prepared = feed(bars, Rates(np.zeros(1, np.int64), np.zeros(1)), 0.0, 60_000, 60_000, 0)
print(len(signals(strategy, prepared, 60_000, Path(sys.argv[1])).entries))
"""


class Counting:
    """The entries of a strategy file, counted by a process of its own."""

    def __init__(self, path: Path, home: Path) -> None:
        # Nor does Python serve an older file: its own cache tells seconds apart, not less.
        environment = {**os.environ, "XDG_CACHE_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("NUMBA_CACHE_DIR", None)
        self._process = subprocess.Popen(
            [sys.executable, "-c", COUNT_ENTRIES, str(path)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def result(self) -> int:
        told, _ = self._process.communicate(timeout=60)
        assert self._process.returncode == 0
        return int(told)


def compiled_files(home: Path) -> set[Path]:
    return set(home.rglob("*.nbc"))


def test_a_strategy_that_changed_is_compiled_anew_and_two_may_compile_at_once(tmp_path):
    path = tmp_path / "own.py"
    home = tmp_path / "home"
    path.write_text(OWN.format(level="60.0", than=">"))
    both = [Counting(path, home), Counting(path, home)]
    assert [each.result() for each in both] == [40, 40]
    kept = compiled_files(home)
    assert Counting(path, home).result() == 40
    assert compiled_files(home) == kept != set()
    path.write_text(OWN.format(level="60.0", than="<="))
    assert Counting(path, home).result() == 60 - 4  # the first four only warm up


# -- versions ----------------------------------------------------------------------------

FACTOR = 2.0


def scaled(value: float) -> float:
    return value * FACTOR


def threefold(value: float) -> float:
    return value * 3.0


def kernel(value: float) -> float:
    return scaled(value) + 1.0


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "compiled"
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    return folder


def with_factor(factor: float) -> Callable[[float], float]:
    return bound(kernel, scaled=bound(scaled, FACTOR=factor))


def versions(root: Path) -> set[str]:
    return {folder.name for folder in root.iterdir()}


def test_the_same_kernel_is_one_version(root):
    cached(kernel, "kernel")
    cached(with_factor(FACTOR), "kernel")
    assert len(versions(root)) == 1


def test_another_callee_a_number_of_it_and_a_source_each_make_a_version(root, tmp_path):
    source = tmp_path / "source.py"
    source.write_text("one")
    cached(kernel, "kernel")
    cached(bound(kernel, scaled=threefold), "kernel")
    cached(with_factor(3.0), "kernel")
    cached(kernel, "kernel", [source])
    assert len(versions(root)) == 4
    source.write_text("two")
    cached(kernel, "kernel", [source])
    assert len(versions(root)) == min(5, VERSIONS_KEPT)


def test_a_version_is_kept_once_it_was_compiled(root):
    assert not is_kept(kernel, "kernel")
    loop = cached(kernel, "kernel")
    assert not is_kept(kernel, "kernel")
    loop(5.0)
    assert is_kept(kernel, "kernel")
    assert not is_kept(with_factor(3.0), "kernel")
    assert not is_kept(kernel, "other")


def test_asking_makes_no_folder(root):
    is_kept(kernel, "kernel")
    assert not root.exists()


def test_old_versions_are_removed_and_those_of_others_stay(root):
    cached(kernel, "other")
    [other] = versions(root)
    for number in range(VERSIONS_KEPT + 3):
        before = versions(root)
        cached(with_factor(float(number)), "kernel")
        [newest] = versions(root) - before
    assert len(versions(root)) == VERSIONS_KEPT + 1
    assert versions(root) >= {other, newest}


def test_where_nothing_can_be_written_it_is_compiled_all_the_same(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file" / "compiled"))
    assert cached(kernel, "kernel")(5.0) == 11.0
