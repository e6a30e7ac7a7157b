"""A whole desk over recorded candles: what it trades, and that nothing can change that."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.program.conftest import Program, until

FACTS = {
    "fills": "SELECT exec_id, symbol, side, exec_price, exec_qty, exec_time, commission, "
    "close_reason, client_order_id FROM fills ORDER BY exec_id",
    "trades": "SELECT trade_id, symbol, side, quantity, entry_price, entry_time, exit_price, "
    "exit_time, close_reason, net_pnl FROM trades ORDER BY trade_id",
    "funding": "SELECT symbol, ts, amount, rate FROM funding ORDER BY symbol, ts",
    "orders": "SELECT order_link_id, status, filled_quantity, order_id FROM orders "
    "ORDER BY order_link_id",
    "equity": "SELECT ts, balance, equity FROM equity ORDER BY ts",
    "signals": "SELECT decision_id, ts, symbol, approved, gate, detail FROM signals "
    "ORDER BY decision_id",
}


def facts(program: Program) -> dict[str, list[tuple[object, ...]]]:
    """Everything a desk has decided and met, to be compared with another's."""
    return {name: program.rows(query) for name, query in FACTS.items()}


def replaying(program: Program, candles: Path) -> Program:
    program.settings |= {"MARKET": f"replay:{candles}", "MARKET_SPEED": "0"}
    return program


@pytest.fixture(scope="module")
def unbroken(candle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """A desk that replayed everything without being disturbed."""
    program = replaying(Program(tmp_path_factory.mktemp("unbroken")), candle_folder)
    program.say("/wait")
    return program


def test_every_candle_is_seen_and_the_profit_is_the_sum_of_fills_fees_and_funding(
    unbroken: Program,
) -> None:
    answers = unbroken.say("/wait", "/status", "/trades", "/pnl")

    status = answers["/status"]["blocks"][0]["fields"]
    assert status["candles"] == 50_000
    pnl = answers["/pnl"]["blocks"][0]["fields"]
    assert pnl["trades"] > 20
    fills = unbroken.rows("SELECT side, exec_price, exec_qty, commission FROM fills")
    cash = sum(
        (
            Decimal(price) * Decimal(qty) * (1 if side == "Sell" else -1)
            for side, price, qty, _ in fills
        ),
        Decimal(0),
    )
    held = unbroken.rows("SELECT cost FROM positions")
    gross = cash + sum((Decimal(cost) for (cost,) in held), Decimal(0))
    fees = sum((Decimal(fee) for *_, fee in fills), Decimal(0))
    funding = sum((Decimal(a) for (a,) in unbroken.rows("SELECT amount FROM funding")), Decimal(0))
    assert Decimal(pnl["realized"]) == gross
    assert Decimal(pnl["fees"]) == fees
    assert Decimal(pnl["funding"]) == funding
    assert Decimal(pnl["net"]) == gross - fees + funding


def test_the_same_candles_give_the_same_facts_to_the_last_digit(
    unbroken: Program, program: Program, candle_folder: Path
) -> None:
    replaying(program, candle_folder).say("/wait")

    assert facts(program) == facts(unbroken)


def test_the_names_of_the_files_change_nothing(
    unbroken: Program, program: Program, candle_folder: Path, tmp_path: Path
) -> None:
    renamed = tmp_path / "renamed"
    renamed.mkdir()
    for file in candle_folder.iterdir():
        (renamed / f"spring_{file.name}").write_bytes(file.read_bytes())

    replaying(program, renamed).say("/wait")

    assert facts(program) == facts(unbroken)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_desk_killed_in_between_ends_with_the_same_facts(
    unbroken: Program, program: Program, candle_folder: Path, share: float
) -> None:
    replaying(program, candle_folder)
    desk = program.start("run")
    until(lambda: program.candles() >= share * 50_000, desk)
    program.kill(desk)
    assert program.candles() < 50_000

    program.say("/wait")

    assert facts(program) == facts(unbroken)


def test_postgresql_gives_the_same_facts_as_sqlite(
    unbroken: Program, program: Program, candle_folder: Path, postgres_url: str
) -> None:
    replaying(program, candle_folder).settings["DATABASE_URL"] = postgres_url

    answers = program.say("/wait", "/pnl", "/trades 50", "/orders 20")

    expected = unbroken.say("/pnl", "/trades 50", "/orders 20")
    for command in ("/pnl", "/trades 50", "/orders 20"):
        assert _without_paths(answers[command]) == _without_paths(expected[command])


def _without_paths(answer: dict[str, object]) -> str:
    blocks = [block for block in answer["blocks"] if block["kind"] != "chart"]  # type: ignore[attr-defined, index]
    return json.dumps(blocks)


def test_ten_months_of_real_candles_are_replayed(program: Program, shared: Path) -> None:
    file = shared / "data/candles/bybit_BTCUSDT_perp_5m_2025-09_2026-07.csv.gz"
    replaying(program, file)

    answers = program.say("/wait", "/status", "/pnl")

    assert answers["/status"]["blocks"][0]["fields"]["candles"] == 86_604
    assert answers["/pnl"]["blocks"][0]["fields"]["trades"] > 20
