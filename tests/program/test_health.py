"""`countersign health` beside a real desk: what a container's health check sees."""

import json
import signal

from tests.program.conftest import Program, until


def test_a_running_desk_is_healthy_and_a_stopped_one_is_not(program: Program) -> None:
    program.settings["MARKET"] = "simulated:1"
    desk = program.start("run")
    until((program.data / "desk.sock").exists, desk)
    until(lambda: program.candles() > 0, desk)

    running = program.run("health", "--json")

    assert running.returncode == 0, running.stderr
    answer = json.loads(running.stdout)
    assert answer["state"] in ("green", "yellow")
    assert {part["part"] for part in answer["parts"]} > {"database", "market feed"}

    desk.send_signal(signal.SIGTERM)
    assert desk.wait(30) == 0
    stopped = program.run("health")

    assert stopped.returncode == 1
    assert stopped.stdout == ""
    assert "No desk answers at" in stopped.stderr


def test_a_halted_desk_is_not_healthy(program: Program) -> None:
    program.settings["MARKET"] = "simulated:1"
    program.data.mkdir()
    (program.data / "KILLED").touch()
    desk = program.start("run")
    until((program.data / "desk.sock").exists, desk)

    done = program.run("health")

    assert done.returncode == 1
    assert done.stdout.startswith("red: trading: halted")
    assert desk.poll() is None


def test_asking_for_health_starts_no_desk(program: Program) -> None:
    assert program.run("health").returncode == 1
    assert not program.data.exists()
