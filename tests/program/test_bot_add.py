"""Bots that were added from chat, in a process that is killed."""

from typing import Any

from tests.program.conftest import Program, until

ADDED = "SELECT bot_id, strategy_name, symbols, status FROM bots ORDER BY bot_id"
TWO = [
    ("momentum_001", "momentum", "BTCUSDT,ETHUSDT", "active"),
    ("shortseller_001", "shortseller", "BTCUSDT,ETHUSDT,SOLUSDT", "active"),
]


def listed(answers: dict[str, Any]) -> dict[str, Any]:
    """What `/bot list` answered: a row for each bot, by id; and what is said of them."""
    table, *texts = answers["/bot list"]["blocks"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return {row["bot"]: row for row in rows} | {"said": " ".join(t["text"] for t in texts)}


def test_a_bot_that_was_added_is_there_after_a_kill_and_its_id_stays_taken(
    program: Program,
) -> None:
    program.settings |= {"MARKET": "simulated:3", "MARKET_SPEED": "200000"}
    desk = program.start("run")
    until((program.data / "desk.sock").exists, desk)
    until(lambda: program.candles() > 0, desk)
    program.say("/bot add momentum BTC,ETH 700 leverage=2", "/approve 1", "/strategy off momentum")
    assert program.rows(ADDED) == TWO

    program.kill(desk)

    answers = program.say(
        "/bot list", "/bot remove momentum_001", "/approve 2", "/bot add momentum BTC", "/approve 3"
    )
    found = listed(answers)
    assert list(found) == ["shortseller_001", "momentum_001", "said"]
    assert (found["momentum_001"]["symbols"], found["momentum_001"]["timeframe"]) == (
        "BTCUSDT ETHUSDT",
        "4h",
    )
    assert "momentum_001 has values of its own: leverage 2." in found["said"]
    assert "momentum_001 is switched off on BTCUSDT, ETHUSDT." in found["said"]
    assert program.rows(ADDED) == [
        ("momentum_001", "momentum", "BTCUSDT,ETHUSDT", "removed"),
        ("momentum_002", "momentum", "BTCUSDT", "active"),
        TWO[1],
    ]
    assert list(listed(program.say("/bot list"))) == ["shortseller_001", "momentum_002", "said"]
