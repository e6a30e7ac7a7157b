"""Commands as data: names, arguments, and how words become them."""

import re

import pytest

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.people import Role
from handlers import COMMANDS
from handlers.command import Command, Kind, find, parse
from tests.handlers.desks import BOT


def named(name: str) -> Command:
    found = find(COMMANDS, name.split())
    assert found is not None
    return found[0]


def test_the_commands_stand_in_the_order_of_the_registry() -> None:
    groups = list(dict.fromkeys(command.group for command in COMMANDS))
    assert groups == [
        "system",
        "bots",
        "portfolio",
        "reports",
        "trade",
        "market",
        "strategy",
        "alerts",
    ]


def test_every_name_stands_once_and_can_be_typed() -> None:
    names = [command.name for command in COMMANDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)?", name) for name in names)


def test_every_command_says_in_one_line_what_it_does_and_gives_an_example() -> None:
    for command in COMMANDS:
        assert 10 < len(command.summary) <= 90, command.name
        assert f"Example: /{command.name}" in command.help, command.name


def test_what_changes_something_needs_a_trader_or_an_admin() -> None:
    writing = {command.name: command.role for command in COMMANDS if command.kind is Kind.WRITE}
    assert writing == {
        "bot pause": Role.TRADER,
        "bot resume": Role.TRADER,
        "subscribe": Role.ADMIN,
        "unsubscribe": Role.ADMIN,
        "alert": Role.TRADER,
        "unalert": Role.TRADER,
        "schedule add": Role.TRADER,
        "schedule remove": Role.TRADER,
    }


def test_only_what_reduces_risk_acts_however_late_it_comes() -> None:
    assert [command.name for command in COMMANDS if command.always] == ["bot pause"]


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("status", "status", []),
        ("STATUS", "status", []),
        ("bot pause x", "bot pause", ["x"]),
        ("chart BTC 1h", "chart", ["BTC", "1h"]),
    ],
)
def test_the_longest_name_is_found(line: str, name: str, rest: list[str]) -> None:
    found = find(COMMANDS, line.split())
    assert found is not None
    assert (found[0].name, found[1]) == (name, rest)


def test_half_a_name_is_no_command() -> None:
    assert find(COMMANDS, ["bot"]) is None


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        ("chart", "", {}),
        ("chart", "btc 15m", {"symbol": "BTCUSDT", "timeframe": "15m"}),
        ("chart", "BTC/USDT", {"symbol": "BTCUSDT"}),
        ("chart", "timeframe=1H ethusdt", {"symbol": "ETHUSDT", "timeframe": "1h"}),
        ("chart", "timeframe=1h", {"timeframe": "1h"}),
        ("trades", "50", {"limit": 50}),
        ("pnl", "days=7", {"days": 7}),
        ("bot pause", "SHORTSELLER_001", {"bot": BOT}),
        ("help", "bot pause", {"command": "bot pause"}),
    ],
)
def test_words_become_arguments_in_order_or_by_name(
    desk: Desk, name: str, line: str, values: dict[str, object]
) -> None:
    assert parse(named(name), line.split(), desk) == values


@pytest.mark.parametrize(
    ("name", "line", "allowed"),
    [
        ("chart", "XYZ", "BTCUSDT, ETHUSDT"),
        ("chart", "BTC 7m", "5m, 15m, 30m, 1h"),
        ("chart", "BTC 1m", "5m, 15m, 30m, 1h"),
        ("chart", "BTC 1h more", "nothing more. Usage: /chart [symbol] [timeframe]"),
        ("chart", "symbol=BTC symbol=ETH", "one value"),
        ("status", "now", "nothing more. Usage: /status"),
        ("trades", "51", "a whole number from 1 to 50"),
        ("trades", "0", "a whole number from 1 to 50"),
        ("trades", "ten", "a whole number from 1 to 50"),
        ("pnl", "1.5", "a whole number from 1 to 3650"),
        ("bot pause", "longbuyer", BOT),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(
    desk: Desk, name: str, line: str, allowed: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(allowed)):
        parse(named(name), line.split(), desk)


def test_a_missing_argument_is_named_with_its_values(desk: Desk) -> None:
    with pytest.raises(Refused, match=f"bot is missing: {BOT}. Usage: /bot pause <bot>"):
        parse(named("bot pause"), [], desk)
