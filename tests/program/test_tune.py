"""`countersign tune` as a process: what it would propose, and what it says to bad input."""

import json
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from bot.cli import app
from engine.candle import HOUR_MS
from engine.errors import BadInput
from tests.engine.backtest.puppets import walk
from tests.program.conftest import Program

DAYS = 90
QUICK = ("--trials", "8", "--folds", "2", "--workers", "1")
OFTEN = ("-p", "fast=4", "slow=12")
MACROSS = ("--strategy", "macross", "--candles", "BTCUSDT_1h.csv", *OFTEN)


@pytest.fixture(scope="module")
def hourly() -> str:
    bars = walk(Random(5), ("BTCUSDT",), DAYS * 24, HOUR_MS, gaps=False).columns["BTCUSDT"]
    rows = zip(*(column.tolist() for column in bars), strict=True)
    lines = "".join(",".join(map(str, row)) + "\n" for row in rows)
    return f"ts,open,high,low,close,volume\n{lines}"


@pytest.fixture
def folder(program: Program, hourly: str) -> Path:
    (program.folder / "BTCUSDT_1h.csv").write_text(hourly)
    return program.folder


def test_a_study_needs_no_desk_and_changes_nothing(program: Program, folder: Path) -> None:
    done = program.run("tune", *MACROSS, *QUICK, "--tune", "fast", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["verdict"]
    assert found["trials"] == 8
    assert found["evidence"]["folds"] == 2
    assert len(found["evidence"]["before"]) == len(found["evidence"]["after"]) == 5
    assert not program.data.exists()


def said(path: Path, *words: str) -> str:
    line = ["tune", "-s", "macross", "--candles", str(path), *words]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_person_reads_a_verdict_and_both_records_side_by_side(folder: Path) -> None:
    lines = said(folder / "BTCUSDT_1h.csv", *QUICK, *OFTEN, "--tune", "fast").splitlines()
    assert lines[0].startswith("macross on BTCUSDT: the tuner proposes")
    assert lines[-1] == f"Candles: {folder / 'BTCUSDT_1h.csv'}."
    in_force, found = (
        next(line for line in lines if line.startswith(start)) for start in ("in force", "found ")
    )
    assert len(in_force.split()) == 6
    assert len(found.split()) == 5


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--days", "4"), "candles: "),
        (("--tune", "nope"), "tune: 'nope' is not valid. Allowed: "),
        (("--trials", "0"), "trials: 0 is not valid. Allowed: 1 to "),
        (("--folds", "0"), "folds: 0 is not valid. Allowed: 1 to "),
        (("-p", "fast=0"), "fast: '0' is not valid. Allowed: "),
        (("--scheduler", "http://10.0.0.5"), "scheduler: .* Allowed: tls://HOST:PORT"),
    ],
)
def test_what_can_not_be_studied_is_named(
    folder: Path, words: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        said(folder / "BTCUSDT_1h.csv", *QUICK, *words)
