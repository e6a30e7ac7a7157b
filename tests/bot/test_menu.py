"""The commands as the platforms list them."""

import re

import pytest

from bot.menu import application_commands, command_name, differs, menu
from engine.desk import Desk
from engine.people import Role
from handlers import COMMANDS
from tests.handlers.conftest import desk, open_desk

__all__ = ["desk", "open_desk"]


@pytest.mark.parametrize("role", Role)
def test_telegram_lists_what_a_role_may_say_within_its_limits(role: Role) -> None:
    listed = menu(role)
    allowed = {command.name.split()[0] for command in COMMANDS if command.role <= role}
    assert {name for name, _ in listed} == allowed
    assert len(listed) <= 100
    for name, text in listed:
        assert re.fullmatch(r"[a-z0-9_]{1,32}", name)
        assert 1 <= len(text) <= 256


def test_a_group_of_commands_is_listed_once_with_its_words() -> None:
    assert dict(menu(Role.TRADER))["bot"] == "Bot: list, pause, resume, add, remove"
    assert dict(menu(Role.VIEWER))["bot"] == "Bot: list"


def options(desk: Desk, *path: str) -> dict[str, dict]:
    """The options of a command by name."""
    found = next(c for c in application_commands(desk) if c["name"] == path[0])
    for word in path[1:]:
        found = next(each for each in found["options"] if each["name"] == word)
    return {option["name"]: option for option in found["options"]}


async def test_every_command_is_an_application_command_or_a_subcommand(desk: Desk) -> None:
    said = set()
    for command in application_commands(desk):
        subs = [option for option in command["options"] if option["type"] == 1]
        paths = {f"{command['name']} {sub['name']}" for sub in subs} or {command["name"]}
        said |= {command_name(path) for path in paths}
    assert said == {command.name for command in COMMANDS}


async def test_no_application_command_is_both_said_and_a_group(desk: Desk) -> None:
    for command in application_commands(desk):
        kinds = {option["type"] == 1 for option in command["options"]}
        assert len(kinds) <= 1, command["name"]
        names = [option["name"] for option in command["options"]]
        assert len(set(names)) == len(names), command["name"]


async def test_a_command_beside_those_that_begin_with_it_is_their_first(desk: Desk) -> None:
    (audit,) = (each for each in application_commands(desk) if each["name"] == "audit")
    assert [each["name"] for each in audit["options"]] == ["show", "export"]
    assert list(options(desk, "audit", "show")) == ["user", "days"]
    assert command_name("audit show") == "audit"
    assert command_name("audit export") == "audit export"
    assert command_name("bot list") == "bot list"
    # There is no plain /bot: nobody may mean it.
    assert command_name("bot show") == "bot show"


async def test_an_option_is_a_number_a_choice_or_completed_as_its_type_says(desk: Desk) -> None:
    limit = options(desk, "trades")["limit"]
    assert (limit["type"], limit["min_value"], limit["max_value"]) == (4, 1, 50)
    direction = options(desk, "alert")["direction"]
    assert [choice["value"] for choice in direction["choices"]] == ["above", "below"]
    symbol = options(desk, "alert")["symbol"]
    assert (symbol["type"], symbol["required"], symbol["autocomplete"]) == (3, True, True)
    assert "autocomplete" not in options(desk, "alert")["price"]
    assert options(desk, "bot", "pause")["bot"]["required"] is True


async def test_required_options_come_first_as_discord_wants(desk: Desk) -> None:
    def check(options: list[dict]) -> None:
        needed = [option["required"] for option in options if "required" in option]
        assert needed == sorted(needed, reverse=True)
        for option in options:
            check(option.get("options", []))

    for command in application_commands(desk):
        check(command["options"])


async def test_only_what_was_said_tells_two_lists_apart(desk: Desk) -> None:
    ours = application_commands(desk)
    told = [
        {**each, "id": "1", "version": "2", "nsfw": False, "dm_permission": True}
        for each in reversed(ours)
    ]
    assert not differs(ours, told)
    assert differs(ours, told[1:])
    assert differs(ours, [{**told[0], "description": "other"}, *told[1:]])
