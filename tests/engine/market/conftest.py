"""What the tests of the markets share: a clock that only sleeping moves, files, real data."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


class FakeClock:
    """Time stands still but for `sleep`, which takes no real time."""

    def __init__(self, now: int) -> None:
        self.ms = float(now)
        self.slept = 0.0

    def now(self) -> int:
        return int(self.ms)

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.ms += seconds * 1000


WriteCsv = Callable[..., Path]


@pytest.fixture
def clock() -> FakeClock:
    """A clock at 2026-08-01 00:00 UTC, after all recorded data."""
    return FakeClock(1_785_542_400_000)


@pytest.fixture
def write_csv(tmp_path: Path) -> WriteCsv:
    """Writes rows of cells under a header, as a file last changed in 2001."""

    def write(
        name: str, rows: Sequence[Sequence[object]], header: str = "ts,open,high,low,close,volume"
    ) -> Path:
        path = tmp_path / name
        lines = [header, *(",".join(map(str, row)) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))
        return path

    return write


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Finds a file of real candles; without them the test is skipped."""

    def find(name: str) -> Path:
        beside = Path(__file__).resolve().parents[4] / "shared" / "data"
        path = Path(os.environ.get("TEST_DATA_DIR", beside)) / "candles" / name
        if not path.exists():
            pytest.skip(f"real data is not here: {name} (set TEST_DATA_DIR to its folder)")
        return path

    return find
