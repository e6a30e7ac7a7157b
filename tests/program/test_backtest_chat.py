"""Backtests of a desk that runs as its user runs it: beside it, in a process of their own."""

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.handlers.desks import course
from tests.program.conftest import Program, until

LINE = "/backtest shortseller BTC 8 stop_loss=2% exact"
# Up, and again and again a fall through both averages and a recovery.
MOVES = ((620, 5.0), *((40, -60.0), (60, 70.0), (120, -15.0)) * 8)


def recording(folder: Path) -> Path:
    """Eight days of candles as a file."""
    path = folder / "BTCUSDT_5m.csv"
    rows = (",".join(map(str, candle)) for candle in course(100_000.0, MOVES))
    path.write_text("\n".join(["ts,open,high,low,close,volume", *rows]) + "\n")
    return path


def start(program: Program) -> subprocess.Popen[str]:
    process = program.start("run")
    until(lambda: (program.data / "desk.sock").exists(), process)
    program.say("/wait")
    return process


def words(answer: dict[str, Any]) -> str:
    return " ".join(each["text"] for each in answer["blocks"] if each["kind"] == "text")


def stage(program: Program, number: int) -> str:
    """How far a backtest is by what is kept of it."""
    with gzip.open(program.data / "backtests" / f"{number}.json.gz") as kept:
        found: str = json.loads(kept.readline())["stage"]
    return found


def workers(desk: subprocess.Popen[str]) -> list[int]:
    """The processes that a desk has begun."""
    children = Path(f"/proc/{desk.pid}/task/{desk.pid}/children").read_text()
    found = [int(pid) for pid in children.split()]
    assert found
    return found


def figures(program: Program) -> dict[str, Any]:
    """The card of the first backtest."""
    shown = program.say("/backtest show 1")["/backtest show 1"]
    [fields] = [each["fields"] for each in shown["blocks"] if each["kind"] == "fields"]
    [picture] = [each["path"] for each in shown["blocks"] if each["kind"] == "chart"]
    assert "buying at the start and holding would have" in words(shown)
    assert picture.endswith(".png")
    return dict(fields)


def test_a_backtest_runs_beside_the_desk_outlives_it_and_is_lost_with_it_halfway(
    program: Program,
) -> None:
    program.settings |= {"MARKET": f"replay:{recording(program.folder)}", "MARKET_SPEED": "0"}
    desk = start(program)
    asked = "Backtest 1: shortseller 5m on BTCUSDT, 8 days, exact"
    assert asked in words(program.say(LINE)[LINE])
    until(lambda: stage(program, 1) in ("done", "failed"), desk)
    before = figures(program)
    assert int(before["trades"]) >= 4
    assert before["period"].endswith("this market's own candles")
    # The desk itself has loaded nothing that a worker needs.
    maps = Path(f"/proc/{desk.pid}/maps").read_text(encoding="utf-8")
    assert "numpy" not in maps
    # The worker stands still, so that the second one is not done before the desk ends.
    for worker in workers(desk):
        os.kill(worker, signal.SIGSTOP)
    program.say(LINE)
    program.kill(desk)
    desk = start(program)
    assert figures(program) == before
    until(lambda: stage(program, 2) == "failed", desk)
    lost = "Backtest 2 has no result: The desk was started again before it ended."
    assert lost in words(program.say("/backtest show 2")["/backtest show 2"])
