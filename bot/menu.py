"""The commands as each platform lists them: all made from the one registry."""

from typing import Any

from engine.desk import Desk
from engine.people import Role
from handlers import COMMANDS
from handlers.command import Argument, Command

# Telegram's limits for a name and its description, and Discord's for descriptions and lists.
NAME_MAX = 32
TELEGRAM_TEXT_MAX = 256
DISCORD_TEXT_MAX = 100
DISCORD_CHOICES_MAX = 25

# Discord's numbers: what a command and its options are, and where it can be said.
CHAT_INPUT, SUBCOMMAND, STRING, INTEGER = 1, 1, 3, 4
IN_GUILD, IN_PRIVATE = 0, 1
INSTALLED_IN_GUILD = 0

# `/audit` beside `/audit export`: Discord has no command that is a group as well. It is called by
# what it does where `show` is another.
PLAIN = "show"
PLAIN_OF = {"backtest": "run"}


def menu(role: Role) -> list[tuple[str, str]]:
    """Telegram's list for somebody of this role: first words, and what they are for."""
    groups: dict[str, list[Command]] = {}
    for command in COMMANDS:
        if command.role <= role:
            groups.setdefault(command.name.split()[0], []).append(command)
    return [(name, _about(name, members)) for name, members in groups.items()]


def _about(name: str, members: list[Command]) -> str:
    if members[0].name == name:
        return members[0].summary[:TELEGRAM_TEXT_MAX]
    words = ", ".join(member.name.removeprefix(f"{name} ") for member in members)
    return f"{name.capitalize()}: {words}"[:TELEGRAM_TEXT_MAX]


def application_commands(desk: Desk) -> list[dict[str, Any]]:
    """Discord's application commands; a command of two words is a subcommand.

    Beside those, the one that is their first word alone is the subcommand `PLAIN`, or what
    `PLAIN_OF` says.
    """
    groups = {command.name.split()[0] for command in COMMANDS if " " in command.name}
    made: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        first, _, second = command.name.partition(" ")
        if first not in groups:
            made[first] = _application_command(first, command.summary, _options(command, desk))
            continue
        group = made.setdefault(first, _application_command(first, f"{first.capitalize()}s", []))
        group["options"].append(
            {
                "type": SUBCOMMAND,
                "name": second or _plain(first),
                "description": command.summary[:DISCORD_TEXT_MAX],
                "options": _options(command, desk),
            }
        )
    return list(made.values())


def command_name(path: str) -> str:
    """The command that Discord knows by this path: `audit show` is `audit`."""
    first, _, second = path.partition(" ")
    names = {command.name for command in COMMANDS}
    return first if second == _plain(first) and first in names else path


def _plain(first: str) -> str:
    """What a command that is its group's first word is called among them."""
    return PLAIN_OF.get(first, PLAIN)


def _application_command(name: str, text: str, options: list[Any]) -> dict[str, Any]:
    return {
        "type": CHAT_INPUT,
        "name": name,
        "description": text[:DISCORD_TEXT_MAX],
        "options": options,
        "contexts": [IN_GUILD, IN_PRIVATE],
        "integration_types": [INSTALLED_IN_GUILD],
    }


def _options(command: Command, desk: Desk) -> list[dict[str, Any]]:
    return [_option(argument, desk) for argument in command.arguments]


def _option(argument: Argument, desk: Desk) -> dict[str, Any]:
    option: dict[str, Any] = {
        "type": INTEGER if argument.type.bounds else STRING,
        "name": argument.name,
        # Everybody who meets the bot may read this: values of this desk are not in it.
        "description": argument.type.name[:DISCORD_TEXT_MAX],
        "required": argument.required,
    }
    if argument.type.bounds:
        option["min_value"], option["max_value"] = argument.type.bounds
    elif argument.type.words:
        words = argument.type.words[:DISCORD_CHOICES_MAX]
        option["choices"] = [{"name": word, "value": word} for word in words]
    elif argument.type.changing or argument.type.choices(desk):
        option["autocomplete"] = True
    return option


def differs(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> bool:
    """Whether Discord has other commands than these; what it adds by itself does not count."""
    return {each["name"]: _said(each) for each in wanted} != {
        each["name"]: _said(each) for each in found
    }


def _said(command: dict[str, Any]) -> dict[str, Any]:
    """What we say of a command or option, as plain values; what is empty is left out."""
    kept = ("type", "name", "description", "required", "autocomplete", "min_value", "max_value")
    said = {key: command[key] for key in kept if command.get(key)}
    for key in ("contexts", "integration_types"):
        if command.get(key):
            said[key] = sorted(command[key])
    said["choices"] = [(each["name"], each["value"]) for each in command.get("choices") or []]
    said["options"] = [_said(option) for option in command.get("options") or []]
    return said
