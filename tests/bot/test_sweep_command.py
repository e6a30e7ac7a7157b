"""`countersign sweep`: many sets of parameters, ranked, and what luck alone would show."""

import json
import sys
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from bot.backtest_command import announce_compiling
from bot.cli import app
from engine.candle import MINUTE_MS
from engine.errors import BadInput
from engine.strategies import STRATEGIES
from tests.engine.backtest.puppets import walk


@pytest.fixture(scope="module")
def candles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    columns = walk(Random(5), ("BTCUSDT",), 700, 5 * MINUTE_MS, gaps=False).columns["BTCUSDT"]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    text = "\n".join(",".join(map(str, row)) for row in rows)
    path = tmp_path_factory.mktemp("candles") / "BTCUSDT_5m.csv"
    path.write_text(f"ts,open,high,low,close,volume\n{text}\n")
    return path


def said(candles: Path, *words: str) -> str:
    line = ["sweep", "-s", "shortseller", "--candles", str(candles), "-p", "slow=60", *words]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_sets_stand_best_first_beside_what_is_in_force(candles: Path) -> None:
    lines = said(candles, "--tune", "fast,stop_loss", "--trials", "30").splitlines()
    assert lines[0].startswith("shortseller: ")
    ratios = [float(line.split()[0]) for line in lines[2:12]]
    assert ratios == sorted(ratios, reverse=True)
    assert sum("as they are" in line for line in lines) == 1
    assert any("need more candles than there are to warm up" in line for line in lines)
    assert lines[-1].startswith("The best of so many sets without any skill would show a Sharpe of")


def test_as_json_each_set_is_a_line_with_its_values(candles: Path) -> None:
    lines = said(candles, "--tune", "crosses_per_day,margin", "--trials", "5", "--json")
    found = [json.loads(line) for line in lines.splitlines()]
    assert len(found) == 6
    assert {tuple(each["values"]) for each in found} == {(), ("crosses_per_day", "margin")}


def test_the_same_seed_tries_the_same_sets(candles: Path) -> None:
    assert said(candles, "--trials", "5") == said(candles, "--trials", "5", "--seed", "42")


def test_what_cannot_be_varied_is_named(candles: Path) -> None:
    with pytest.raises(BadInput, match="tune: 'nope' is not valid. Allowed: fast, slow"):
        said(candles, "--tune", "nope")


# -- the first run -----------------------------------------------------------------------

SHORTSELLER = STRATEGIES["shortseller"]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def announced(stderr: StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stderr)
    announce_compiling(SHORTSELLER, None)
    return stderr.getvalue()


def test_a_terminal_is_told_of_a_strategy_that_was_never_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    told = "Compiling shortseller, once for each version of it...\n"
    assert announced(Terminal(), monkeypatch) == told
    assert announced(StringIO(), monkeypatch) == ""


def test_nothing_is_told_of_one_that_ran_before(
    candles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(candles, "--trials", "1")
    assert announced(Terminal(), monkeypatch) == ""
