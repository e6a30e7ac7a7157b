"""`countersign data` as a process: fetch, import and list, and a fetch that is killed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.candle import DAY_MS, MINUTE_MS
from engine.columns import digest
from engine.market.archive import Archive
from tests.fast_clock import FastClock
from tests.program.conftest import Program, until
from tests.servers.bybit import BybitServer, Fault

KLINES = "/v5/market/kline"
ROWS = "ts,open,high,low,close,volume\n" + "".join(
    f"{1_750_000_200_000 + n * 300_000},100,103,98,101,7\n" for n in (0, 1, 2, 2, 5)
)
FETCH = ("data", "fetch", "btcusdt,ETHUSDT", "--days", "40")
# A fast clock's rate of one is the wall clock, at another time.
RATE = 1
AROUND = 1_784_000_000_000


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with BybitServer(FastClock(RATE, AROUND)).running() as server:
        yield server


async def run(program: Program, *words: str) -> tuple[int, str, str]:
    """Run a command while the server, which lives in this process, answers it."""
    done = await asyncio.to_thread(program.run, *words)
    return done.returncode, done.stdout, done.stderr


def listed(program: Program) -> list[dict[str, object]]:
    done = program.run("data", "list", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def stored(program: Program) -> dict[str, str]:
    archive = Archive(program.data)
    return {
        each.symbol: digest(archive.read(each.symbol, 5 * MINUTE_MS))
        for each in archive.holdings()
        if each.timeframe == "5m"
    }


async def test_a_fetch_tells_progress_and_what_came(program: Program, server: BybitServer) -> None:
    program.settings["BYBIT_REST_BASE"] = server.rest_base
    code, out, err = await run(program, *FETCH)
    assert code == 0, err
    assert out.splitlines()[0] == "BTCUSDT 5m: 11,520 bars new, 0 stored before."
    told = [
        f"{symbol} 5m: {percent:3d} % of 11,520 bars"
        for symbol in ("BTCUSDT", "ETHUSDT")
        for percent in (43, 86, 100)
    ]
    assert err.splitlines() == told
    holdings = await asyncio.to_thread(listed, program)
    assert [(h["symbol"], h["timeframe"], h["bars"], h["missing"]) for h in holdings][::2] == [
        ("BTCUSDT", "5m", 11_520, 0), ("ETHUSDT", "5m", 11_520, 0),
    ]  # fmt: skip
    assert not (program.data / "desk.lock").exists()


async def test_a_killed_fetch_goes_on_and_ends_as_one_that_was_not(
    program: Program, server: BybitServer, tmp_path: Path
) -> None:
    program.settings["BYBIT_REST_BASE"] = server.rest_base
    # The first bar of each symbol, one part of five pages, and two pages of the second.
    hangs_at = 2 + 5 + 2
    server.faults.rest = lambda path: Fault(hang=True) if asked(server) > hangs_at else None
    killed = program.start(*FETCH)
    await asyncio.to_thread(until, lambda: asked(server) > hangs_at, killed)
    program.kill(killed)
    archive = Archive(program.data)
    assert len(archive.read("BTCUSDT", 5 * MINUTE_MS).ts) == 5_000

    server.faults.rest = lambda path: None
    code, out, _ = await run(program, *FETCH)
    assert code == 0
    assert ", 5,000 stored before." in out.splitlines()[0]

    other = Program(tmp_path / "other", program.settings)
    other.folder.mkdir()
    assert (await run(other, *FETCH))[0] == 0
    assert stored(program) == stored(other)


def asked(server: BybitServer) -> int:
    return server.requests[KLINES]


async def test_more_days_than_are_kept_stay_and_others_are_dropped_and_told(
    program: Program, server: BybitServer
) -> None:
    program.settings["BYBIT_REST_BASE"] = server.rest_base
    daily = ("--timeframe", "1d")
    assert (await run(program, "data", "fetch", "BTCUSDT", *daily, "--days", "400"))[0] == 0
    assert (await run(program, "data", "fetch", "ETHUSDT", *daily))[0] == 0
    (program.folder / "countersign.toml").write_text("[data]\nkeep_days = 20\n")
    code, out, _ = await run(program, "data", "fetch", "ETHUSDT", *daily)
    assert code == 0
    dropped = [line for line in out.splitlines() if "dropped" in line]
    assert [line[:11] for line in dropped] == ["ETHUSDT 1d:", "ETHUSDT fun"]
    assert all(line.endswith("20 days are kept ([data] keep_days).") for line in dropped)
    btc, _, eth, _ = await asyncio.to_thread(listed, program)
    assert btc["bars"] == 400
    assert 20 <= (eth["end"] - eth["start"]) / DAY_MS <= 20 + 31  # type: ignore[operator]


def test_an_import_tells_the_dirt_and_the_list_what_is_there(program: Program) -> None:
    (program.folder / "BTCUSDT_5m.csv").write_text(ROWS)
    done = program.run("data", "import", "BTCUSDT_5m.csv")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "BTCUSDT: 1 duplicate bar, at 2025-06-15 15:20 UTC; each taken once.",
        "BTCUSDT: 1 gap (2 bars missing), after 2025-06-15 15:25 UTC; nothing is filled in.",
        "BTCUSDT 5m: 4 bars new, 0 stored before.",
    ]
    lines = program.run("data", "list").stdout.splitlines()
    assert lines[0].split() == ["symbol", "timeframe", "from", "to", "bars", "gaps", "size", "kept"]
    assert lines[1].startswith("BTCUSDT  5m         2025-06-15 15:10 UTC  2025-06-15 15:40 UTC  4")
    assert "1 (2 bars)" in lines[1]


def test_where_nothing_is_stored_nothing_is_made(program: Program) -> None:
    done = program.run("data", "list")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing is stored.")
    assert not program.data.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fetch", "BTCUSDT", "--timeframe", "7m"), "timeframe: '7m' is not valid. Allowed: 1m"),
        (("fetch", ","), "symbols: ',' is not valid. Allowed: symbols with commas between"),
        (("fetch", "BTCUSDT", "--days", "0"), "--days"),
        (("import", "nowhere.csv"), "nowhere.csv does not exist. Allowed: files (.csv"),
        (("import",), "Missing argument 'PATH...'"),
    ],
)
def test_bad_usage_is_named(program: Program, words: tuple[str, ...], said: str) -> None:
    done = program.run("data", *words)
    assert done.returncode == 2
    assert said in done.stderr


async def test_an_unknown_symbol_is_bad_usage(program: Program, server: BybitServer) -> None:
    program.settings["BYBIT_REST_BASE"] = server.rest_base
    code, out, err = await run(program, "data", "fetch", "BTCUSDT,NONEUSDT")
    assert (code, out) == (2, "")
    assert "symbol: 'NONEUSDT' is not valid. Allowed: a linear contract of Bybit's" in err


def test_what_is_damaged_fails(program: Program) -> None:
    (program.folder / "BTCUSDT_5m.csv").write_text(ROWS)
    program.run("data", "import", "BTCUSDT_5m.csv")
    (program.data / "candles/BTCUSDT/5m/manifest.json").write_text("{")
    done = program.run("data", "list")
    assert done.returncode == 1
    assert "manifest.json is damaged" in done.stderr
