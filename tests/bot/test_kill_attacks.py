"""What somebody may do to the emergency stop to keep it from working: none of it does."""

import asyncio
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from bot.kill import KillSwitch
from bot.latch import LatchFile
from engine.errors import Unreachable
from engine.killing import Killing, Scope, Step
from tests.clock import FakeClock
from tests.switches import FakeVenue

D = Decimal
BTC = "BTCUSDT"


@pytest.mark.parametrize("ts", [10**17, 10**30, -(10**17)])
def test_a_latch_of_no_time_at_all_stops_entries_and_can_be_said(tmp_path: Path, ts: int) -> None:
    file = LatchFile(tmp_path)
    file.path.write_text(json.dumps({"scope": "flatten", "by": "x", "ts": ts}))
    switch = KillSwitch(file, FakeClock())
    assert "KILLED is set" in switch.why()


def deaf(step: Step) -> None:
    raise OSError(32, "Broken pipe")


async def test_nobody_has_to_hear_of_it_for_it_to_go_on() -> None:
    clock = FakeClock()
    venue = FakeVenue(clock, positions={BTC: D(1)}, orders=2)
    venue.faults = iter([Unreachable("not now"), None, Unreachable("not now")])
    async with asyncio.timeout(30):
        await Killing(venue, clock, deaf, Scope.FLATTEN, 6.0).run()
    assert (venue.positions, venue.orders) == ({}, 0)


def test_the_command_line_sets_the_latch_also_where_nobody_reads_what_it_says(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "bot", "kill", "--scope", "stop"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root), "DATA_DIR": str(tmp_path / "d")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        said = process.stderr.read().decode()
    assert "Traceback" not in said
    assert LatchFile(tmp_path / "d").read() is not None
