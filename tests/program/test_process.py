"""The program as a process: starting, waiting, attaching, stopping, refusing."""

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.program.conftest import Program, until


def replay_slowly(program: Program, candles: Path) -> None:
    """A desk that goes on for as long as a test looks at it: some 300 candles a second."""
    program.settings |= {"MARKET": f"replay:{candles}", "MARKET_SPEED": "50000"}


def is_open(program: Program) -> bool:
    return (program.data / "desk.sock").exists()


def test_the_demo_has_traded_weeks_before_its_first_answer(program: Program) -> None:
    answers = program.say("/status", "/positions", "/trades")

    status = answers["/status"]["blocks"][0]["fields"]
    assert status["mode"] == "paper"
    assert status["candles"] > 21 * 288 * 3 - 3 * 288
    assert answers["/trades"]["blocks"][0]["rows"]
    # The history ends on an order, so that the first fill comes with the next candle.
    assert program.rows("SELECT 1 FROM orders WHERE status IN ('Pending', 'New')")


def test_a_restart_repeats_neither_history_nor_tour(program: Program) -> None:
    first = at_a_prompt(program)
    assert "Welcome to Countersign" in first
    assert "Trading the demo's history" in first
    candles = program.candles()

    second = at_a_prompt(program)

    assert "Welcome to Countersign" not in second
    assert "Trading the demo's history" not in second
    assert candles <= program.candles() <= candles + 30


def at_a_prompt(program: Program) -> str:
    """What a person sees who opens the console and leaves it again."""
    mine, theirs = pty.openpty()
    console = subprocess.Popen(
        [sys.executable, "-m", "bot", "console"],
        cwd=program.folder,
        env=program.environ() | {"TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(mine, 4096):
            seen += chunk
            if b"paper>" in seen:
                os.write(mine, b"\x04")
    except OSError:  # the terminal is gone with its program
        pass
    assert console.wait(30) == 0
    os.close(mine)
    return seen.decode("utf-8", "replace")


def test_a_second_desk_waits_and_says_who_holds_the_lock(
    program: Program, candle_folder: Path
) -> None:
    replay_slowly(program, candle_folder)
    first = program.start("run")
    until(lambda: is_open(program), first)
    second = program.start("run")
    assert second.stdout is not None

    told = second.stdout.readline()

    assert "another desk holds the lock" in told
    assert f"process {first.pid}" in told
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    while "desk is open" not in second.stdout.readline():
        pass
    second.send_signal(signal.SIGTERM)
    assert second.wait(30) == 0


def test_a_desk_whose_log_nobody_reads_goes_on_trading(
    program: Program, candle_folder: Path
) -> None:
    program.settings |= {"MARKET": f"replay:{candle_folder}", "MARKET_SPEED": "1000000"}
    desk = program.start("run")

    until(lambda: program.candles() == 50_000, desk)

    desk.send_signal(signal.SIGTERM)
    assert desk.wait(30) == 0


def test_a_waiting_desk_can_be_stopped(program: Program, candle_folder: Path) -> None:
    replay_slowly(program, candle_folder)
    first = program.start("run")
    until(lambda: is_open(program), first)
    second = program.start("run")
    assert second.stdout is not None
    second.stdout.readline()

    second.send_signal(signal.SIGTERM)

    assert second.wait(30) == 0


def test_a_second_console_attaches_to_the_running_desk(
    program: Program, candle_folder: Path
) -> None:
    replay_slowly(program, candle_folder)
    desk = program.start("run")
    until(lambda: is_open(program), desk)

    answers = program.say("/bot pause shortseller_001", "/status")

    assert answers["/bot pause shortseller_001"]["ok"]
    assert desk.poll() is None
    assert program.rows("SELECT status FROM bots") == [("paused",)]
    assert program.rows("SELECT MAX(epoch) FROM epoch") == [(1,)]


def test_settings_that_take_no_effect_on_old_books_are_told(program: Program) -> None:
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "0"}
    program.say("/wait")
    (program.folder / "countersign.toml").write_text(
        "[[bots]]\nid = 'shortseller_001'\nstrategy = 'shortseller'\n"
        "symbols = ['BTCUSDT']\ncapital = 500\n"
    )

    done = program.run("console", typed="/portfolio\n")

    assert done.returncode == 0
    assert "capital 500 is set, but its books were opened with 10000" in done.stderr


def test_a_data_folder_that_can_not_be_used_is_named(program: Program) -> None:
    program.data.write_text("a file, not a folder")

    done = program.run("console", typed="/status\n")

    assert done.returncode == 2
    assert "DATA_DIR" in done.stderr
    assert str(program.data) in done.stderr


def test_the_pause_is_kept_over_a_kill(program: Program, candle_folder: Path) -> None:
    replay_slowly(program, candle_folder)
    desk = program.start("run")
    until(lambda: is_open(program), desk)
    program.say("/bot pause shortseller_001")
    program.kill(desk)

    table = program.say("/bot list")["/bot list"]["blocks"][0]

    assert "paused" in json.dumps(table)


def test_a_desk_stopped_by_a_signal_says_so_in_the_audit(
    program: Program, candle_folder: Path
) -> None:
    replay_slowly(program, candle_folder)
    desk = program.start("run")
    until(lambda: is_open(program), desk)

    desk.send_signal(signal.SIGTERM)

    assert desk.wait(30) == 0
    assert not is_open(program)
    actions = [action for (action,) in program.rows("SELECT action FROM audit ORDER BY seq")]
    assert actions[0] == "started"
    assert actions[-1] == "stopped"


def test_no_worker_survives_a_killed_desk(program: Program, candle_folder: Path) -> None:
    replay_slowly(program, candle_folder)
    desk = program.start("run")
    until(lambda: is_open(program), desk)
    until(lambda: program.candles() > 0, desk)
    chart = program.say("/chart BTC")["/chart BTC"]
    assert any(block["kind"] == "chart" for block in chart["blocks"]), chart
    workers = children_of(desk.pid)
    assert workers

    program.kill(desk)

    follower = program.start("run")
    until(lambda: is_open(program), follower)
    until(lambda: not any(alive(pid) for pid in workers), follower)


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_another_market_opens_other_books_and_says_so(
    program: Program, candle_folder: Path
) -> None:
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "0"}
    program.say("/wait")
    replay_slowly(program, candle_folder)

    answers = program.say("/portfolio")

    assert "paper-replay" in json.dumps(answers["/portfolio"])
    notices = program.rows("SELECT body FROM outbox WHERE kind = 'market_remark'")
    assert any("paper-sim1" in body for (body,) in notices)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MARKET", "binance", "MARKET: 'binance' is not valid; allowed: auto, bybit, replay:PATH"),
        ("MARKET", "replay:nowhere.csv", "nowhere.csv"),
        ("MARKET_SPEED", "fast", "MARKET_SPEED: 'fast'"),
        ("MODE", "real", "MODE: 'real' is not valid"),
        ("MODE", "live", "LIVE_TRADING: '' is not valid; MODE=live trades with real money"),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL: is not valid"),
        ("SECRET_KEY_FILE", "nowhere", "SECRET_KEY_FILE: 'nowhere' can't be read"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_ends_with_code_2(
    program: Program, name: str, value: str, told: str
) -> None:
    program.settings[name] = value

    done = program.run("console", typed="/status\n")

    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[bots]]\nid = 'x'", "bots x strategy: is missing"),
        ("[[bots]]\nid = 'x'\nstrategy = 'nope'\nsymbols = ['BTCUSDT']", "shortseller"),
        ("[paper]\ntaker_feee = 1", "Did you mean taker_fee?"),
        ("not toml", "countersign.toml can't be read"),
    ],
)
def test_a_mistake_in_the_settings_file_is_named(program: Program, text: str, told: str) -> None:
    (program.folder / "countersign.toml").write_text(text)

    done = program.run("console", typed="/status\n")

    assert done.returncode == 2
    assert told in done.stderr


def test_a_malformed_candle_row_is_named_and_nothing_is_begun(program: Program) -> None:
    file = program.folder / "BTCUSDT_5m.csv"
    file.write_text("ts,open,high,low,close,volume\n1704067200000,1,2,0.5,oops,3\n")
    program.settings["MARKET"] = f"replay:{file}"

    done = program.run("console", typed="/status\n")

    assert done.returncode == 2
    for part in ("BTCUSDT_5m.csv", "line 2", "close", "oops"):
        assert part in done.stderr
    assert not program.rows("SELECT 1 FROM bots")


def test_a_database_of_a_newer_version_is_refused_untouched(program: Program) -> None:
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "0"}
    program.say("/wait")
    path = program.data / "countersign.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = program.rows("SELECT COUNT(*) FROM audit")

    done = program.run("run")

    assert done.returncode == 2
    assert "9999" in done.stderr
    assert "newer version" in done.stderr
    assert program.rows("SELECT COUNT(*) FROM audit") == before


def test_positions_that_are_not_the_sum_of_the_fills_halt_the_desk(program: Program) -> None:
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "0"}
    program.say("/wait")
    path = program.data / "countersign.db"
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM fills WHERE exec_id = (SELECT MAX(exec_id) FROM fills)")
    connection.close()

    status = program.say("/status")["/status"]["blocks"][0]["fields"]

    assert "sum of" in status["halted"]


def test_a_file_named_killed_keeps_the_desk_from_trading(program: Program) -> None:
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "0"}
    program.data.mkdir()
    (program.data / "KILLED").touch()

    halted = program.say("/wait", "/status")["/status"]["blocks"][0]["fields"]
    assert "KILLED" in halted["halted"]
    assert halted["trades"] == 0


def test_doctor_reads_only_and_says_what_is_wrong(program: Program) -> None:
    program.settings["MARKET"] = "replay:nowhere"

    done = program.run("doctor")

    assert done.returncode == 1
    assert "BAD  market" in done.stdout
    assert "TELEGRAM_BOT_TOKEN" in done.stdout
    assert not os.path.exists(program.data)


def test_doctor_finds_nothing_wrong_with_a_running_desk(
    program: Program, candle_folder: Path
) -> None:
    replay_slowly(program, candle_folder)
    desk = program.start("run")
    until(lambda: is_open(program), desk)

    done = program.run("doctor", "--json")

    assert done.returncode == 0, done.stdout
    found = {line["what"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "running" in found["desk"]["detail"]
    assert desk.poll() is None


def test_version_and_migrate_say_what_they_did(program: Program) -> None:
    assert program.run("version").stdout.startswith("countersign ")
    assert "revision" in program.run("migrate").stdout
    assert program.run("nonsense").returncode == 2
