"""`countersign backtest` as a process, and what it says to input that it can't use."""

import csv
import json
import sqlite3
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from bot.cli import app
from engine.candle import HOUR_MS, MINUTE_MS
from engine.errors import BadInput, BadSettings
from engine.market.archive import Archive
from engine.metrics import TITLES
from tests.engine.backtest.puppets import walk
from tests.program.conftest import Program

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "dip.py"
SYMBOL = "BTCUSDT"
BARS = 1_500
HEAD = "ts,open,high,low,close,volume\n"


def candles(interval: int, bars: int = BARS, symbol: str = SYMBOL) -> str:
    columns = walk(Random(5), (symbol,), bars, interval, gaps=False).columns[symbol]
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return HEAD + "".join(",".join(map(str, row)) + "\n" for row in rows)


@pytest.fixture(scope="module")
def hourly() -> str:
    return candles(HOUR_MS)


@pytest.fixture
def folder(program: Program, hourly: str) -> Path:
    (program.folder / "BTCUSDT_1h.csv").write_text(hourly)
    return program.folder


def answer(program: Program, *words: str) -> str:
    done = program.run("backtest", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


MACROSS = ("--strategy", "macross", "--candles", "BTCUSDT_1h.csv")


def test_both_speeds_give_the_same_json(program: Program, folder: Path) -> None:
    costs = ("--fee", "0.1%", "--slippage", "0.0005", "--param", "fast=8", "slow=40", "--json")
    fast = json.loads(answer(program, *MACROSS, *costs))
    exact = json.loads(answer(program, *MACROSS, *costs, "--exact"))
    assert list(fast["metrics"]) == list(TITLES)
    assert (fast["params"], fast["fee"], fast["slippage"]) == (
        {"fast": 8.0, "slow": 40.0}, 0.001, 0.0005,
    )  # fmt: skip
    assert set(fast["versions"]) == {"countersign", "python", "numpy", "numba"}
    assert (fast["exact"], exact["exact"]) == (False, True)
    keys = ("symbol", "side", "entry_time", "exit_time", "entry_price", "exit_price", "reason")
    short = [[[trade[key] for key in keys] for trade in each["trades"]] for each in (fast, exact)]
    assert len(short[0]) > 10
    assert short[0] == short[1]
    assert fast["final_equity"] == pytest.approx(exact["final_equity"], rel=1e-9)
    assert fast["data_hash"] == exact["data_hash"]
    assert "no funding rates are given" in fast["remarks"][0]


def test_a_person_reads_a_card_and_gets_files(program: Program, folder: Path) -> None:
    written = ("--html", "out/report.html", "--csv", "out")
    said = answer(program, *MACROSS, "--exact", "--side", "long_only", *written)
    assert said.startswith("macross on BTCUSDT, 1h bars, exact backtest\n")
    assert "fee 0.055%, slippage 0.025%, long only" in said
    for words in ("buying at the start and holding", "Max drawdown", "signal_reversal", "hash ",
                  "BTCUSDT: no funding rates are given"):  # fmt: skip
        assert words in said
    with (folder / "out" / "trades.csv").open() as file:
        trades = list(csv.DictReader(file))
    assert {trade["side"] for trade in trades} == {"long"}
    assert f"Trades               {len(trades):>9}" in said
    assert (folder / "out" / "equity.csv").read_text().startswith("ts,equity\n")
    page = (folder / "out" / "report.html").read_text()
    assert "countersign" in page
    assert page.count('class="held"') == 2
    assert not program.data.exists()


def test_stored_candles_are_tested_beside_a_running_desk(program: Program) -> None:
    program.data.mkdir()
    history = walk(Random(6), (SYMBOL,), 12 * BARS, 5 * MINUTE_MS, gaps=False)
    Archive(program.data).append(SYMBOL, 5 * MINUTE_MS, history.columns[SYMBOL])
    (program.data / "desk.lock").write_text("held")
    stored = ("--symbols", "btcusdt", "--days", "30", "--strategy", "macross", "--exact")
    found = json.loads(answer(program, *stored, "--json"))
    assert (found["bars"], found["candles"], found["timeframe"]) == (30 * 288, "5m", "1h")
    assert (program.data / "desk.lock").read_text() == "held"


def test_a_walk_forward_is_told_and_written(program: Program, folder: Path) -> None:
    words = ("--exact", "--walk-forward", "2", "--trials", "3", "--tune", "fast", "--seed", "9")
    found = json.loads(answer(program, *MACROSS, *words, "--json"))
    assert len(found["walk_forward"]["folds"]) == 2
    assert found["seed"] == 9
    said = answer(program, *MACROSS, *words)
    assert "Unseen together" in said
    assert "Spread of the picks" in said


def test_ones_own_strategy_is_found_and_one_that_does_not_compile_is_slow(
    program: Program, folder: Path
) -> None:
    mine = folder / "mine"
    mine.mkdir()
    text = EXAMPLE.read_text()
    (mine / "dip.py").write_text(text)
    slow = text.replace('name="dip"', 'name="slow"').replace(
        "    trend = ema(", '    assert f"{bar.close:.2f}"\n    trend = ema('
    )
    (mine / "slow.py").write_text(slow)
    (mine / "broken.py").write_text("STRATEGY = 1\n")
    (folder / "countersign.toml").write_text('strategies_dir = "mine"\n')
    words = ("--candles", "BTCUSDT_1h.csv", "--param", "depth=1%", "--json")
    dip, uncompiled = (
        json.loads(answer(program, "--strategy", name, *words)) for name in ("dip", "slow")
    )
    assert len(dip["trades"]) > 5
    assert (dip["exact"], uncompiled["exact"]) == (False, True)
    line = next(n for n, each in enumerate(slow.splitlines(), 1) if ":.2f" in each)
    assert f"slow does not compile (slow.py, line {line}: " in uncompiled["remarks"][-1]
    times = [[trade["exit_time"] for trade in each["trades"]] for each in (dip, uncompiled)]
    assert times[0] == times[1]

    findings = [json.loads(each) for each in program.run("doctor", "--json").stdout.splitlines()]
    told = {each["detail"]: each["state"] for each in findings if each["what"] == "strategies"}
    states = {words.split()[0].removesuffix(","): state for words, state in told.items()}
    assert states == {"mine/broken.py": "wrong", "dip": "ok", "slow": "note"}


@pytest.mark.parametrize("speed", [(), ("--exact",)], ids=["fast", "exact"])
def test_a_step_that_fails_ends_the_backtest_with_its_line_wherever_the_file_is_moved(
    program: Program, folder: Path, speed: tuple[str, ...]
) -> None:
    mine = folder / "mine"
    mine.mkdir()
    text = EXAMPLE.read_text().replace(
        "    trend = ema(",
        "    if bar.close > 1e3:\n        raise ValueError\n    trend = ema(",
    )
    (mine / "dip.py").write_text(text)
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "raise ValueError" in each)
    for name in ("mine", "moved"):
        mine = mine.rename(folder / name)
        (folder / "countersign.toml").write_text(f'strategies_dir = "{name}"\n')
        words = ("--strategy", "dip", "--candles", "BTCUSDT_1h.csv", *speed)
        done = program.run("backtest", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"dip.py, line {line}: ValueError" in done.stderr


def test_a_desk_runs_ones_own_strategy_and_tells_what_it_left_out(program: Program) -> None:
    mine = program.folder / "mine"
    mine.mkdir()
    (mine / "dip.py").write_text(EXAMPLE.read_text())
    (mine / "broken.py").write_text("STRATEGY = 1\n")
    (program.folder / "countersign.toml").write_text(
        'strategies_dir = "mine"\n'
        '[[bots]]\nid = "dip_001"\nstrategy = "dip"\nsymbols = ["BTCUSDT"]\n'
    )
    (program.folder / "BTCUSDT_1h.csv").write_text(candles(HOUR_MS, 300))
    program.settings |= {"MARKET": "replay:BTCUSDT_1h.csv", "MARKET_SPEED": "0"}
    answers = program.say("/why BTC", "/health")
    assert "SMA 24" in json.dumps(answers["/why BTC"])
    assert "mine/broken.py, line 1: has no STRATEGY" in json.dumps(answers)
    with sqlite3.connect(program.data / "countersign.db") as database:
        assert database.execute("SELECT strategy_name FROM bots").fetchall() == [("dip",)]
    database.close()


def test_bad_input_ends_with_its_own_code(program: Program) -> None:
    done = program.run("backtest", "--strategy", "moonshot", "--candles", "x.csv")
    assert (done.returncode, done.stdout) == (2, "")
    assert "strategy: 'moonshot' is not valid. Allowed: shortseller, " in done.stderr


# -- in this process ---------------------------------------------------------------------

WITH = ("--candles", "BTCUSDT_1h.csv")
BAD = {
    "an unknown parameter": ((*WITH, "-p", "speed=3"), "parameter: 'speed' is not valid. Allowed:"),
    "a parameter out of bounds": (
        (*WITH, "-p", "fast=1"), "fast: '1' is not valid. Allowed: 2 to 500 in steps of 1",
    ),
    "a parameter between steps": ((*WITH, "-p", "fast=2.5"), "fast: '2.5' is not valid"),
    "a parameter that is no number": ((*WITH, "-p", "fast=quick"), "fast: 'quick' is not valid"),
    "a parameter without a value": ((*WITH, "-p", "fast"), "param: 'fast' is not valid. Allowed:"),
    "a fee too high": ((*WITH, "--fee", "0.5"), "fee: '0.5' is not valid. Allowed: 0 to below 0.1"),
    "a fee below zero": ((*WITH, "--fee", "-1%"), "fee: '-1%' is not valid"),
    "a fee that is none": ((*WITH, "--slippage", "much"), "slippage: 'much' is not valid"),
    "an infinite fee": ((*WITH, "--fee", "nan"), "fee: 'nan' is not valid"),
    "no deposit": ((*WITH, "--deposit", "0"), "deposit: 0.0 is not valid. Allowed: 1 to"),
    "no candles": ((), "candles: '' is not valid. Allowed: --candles PATH, or --symbols A,B"),
    "a path that is not there": (("--candles", "gone.csv"), "gone.csv does not exist"),
    "a symbol that is not in them": (
        (*WITH, "--symbols", "ETHUSDT"), "symbol: 'ETHUSDT' is not valid. Allowed: BTCUSDT",
    ),
    "a symbol that is not stored": (
        ("--symbols", "ETHUSDT"), "symbol: 'ETHUSDT' is not valid. Allowed: what is stored: noth",
    ),
    "too few bars": ((*WITH, "--days", "1"), "candles: '24 bars of BTCUSDT' is not valid. Allowed"),
    "another timeframe": (
        ("--candles", "BTCUSDT_4h.csv"),
        "timeframe: '4h' is not valid. Allowed: candles of which 1h can be made, for macross",
    ),
    "a timeframe beside files": (
        (*WITH, "--timeframe", "1h"), "timeframe: '1h' is not valid. Allowed: nothing beside",
    ),
    "bars it can't run on": ((*WITH, "--bars", "15m"), "timeframe: '15m' is not valid. Allow"),
    "bars that are none": ((*WITH, "--bars", "7m"), "timeframe: '7m' is not valid. Allowed: 1m"),
    "too many folds": (
        (*WITH, "--exact", "--walk-forward", "200"), "folds: 200 is not valid. Allowed: 1 to 100",
    ),
    "a place that can't be written": (
        (*WITH, "--exact", "--csv", "BTCUSDT_1h.csv/x"), "csv: 'BTCUSDT_1h.csv/x/trades.csv' is",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_bad_input_is_named_with_what_is_allowed(
    folder: Path, hourly: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "BTCUSDT_4h.csv").write_text(candles(4 * HOUR_MS, 300))
    done = CliRunner().invoke(app, ["backtest", "--strategy", "macross", *words])
    assert isinstance(done.exception, BadInput | BadSettings), done.output
    assert said in str(done.exception)


def test_what_is_wrong_with_the_candles_is_said(
    folder: Path, hourly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    lines = hourly.splitlines(keepends=True)
    silent = lines[200].rsplit(",", 1)[0] + ",0\n"
    absurd = lines[300].split(",")
    absurd[2] = str(float(absurd[2]) * 9)
    dirty = [*lines[:100], *lines[110:200], silent, *lines[201:300], ",".join(absurd), *lines[301:]]
    (folder / "BTCUSDT_1h.csv").write_text("".join([*dirty, dirty[-1]]))
    words = [
        "backtest",
        "--strategy",
        "macross",
        "--candles",
        "BTCUSDT_1h.csv",
        "--exact",
        "--json",
    ]
    done = CliRunner().invoke(app, words)
    assert done.exception is None, done.exception
    remarks = " ".join(json.loads(done.stdout)["remarks"])
    for word in ("gap", "duplicate", "1 bar without volume, traded", "1 absurd print"):
        assert word in remarks, remarks
