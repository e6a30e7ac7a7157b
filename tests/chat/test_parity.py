"""The same desk on every platform: the same commands, the same facts, the same news."""

import re
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.inbox import OUR_FAULT
from bot.render.plain import to_text
from engine.desk import Desk
from engine.mail import Address, ChatKind
from engine.people import Role
from handlers import COMMANDS
from handlers.command import Command, Context, Kind, Principal, PrincipalKind
from handlers.dispatch import dispatch_line
from handlers.reply import Block, Chart, Code, Fields, File, Reply, Table, Text, show
from tests.chat import telegram_scene
from tests.chat.desks import ChatDesk, LiveMarket, busy_market
from tests.chat.discord_scene import Scene, SteeredClock, open_scene, said
from tests.findings import done, finding
from tests.handlers.desks import BOT, BTC, ETH, FALLING_TWICE, course, quiet
from tests.servers.telegram import TelegramServer
from tests.servers.telegram_chat import Chat, Menu, Message, User

# What is said with each command that needs to be told something, or that says more then.
VALUES: dict[str, dict[str, Any]] = {
    "bot pause": {"bot": BOT},
    "bot resume": {"bot": BOT},
    "bot add": {"strategy": "momentum", "symbols": ETH},
    "bot remove": {"bot": BOT},
    "strategy off": {"name": "shortseller"},
    "strategy on": {"name": "shortseller"},
    "side": {"side": "long_only"},
    "buy": {"symbol": ETH, "amount": "100"},
    "sell": {"symbol": ETH, "amount": "100"},
    "close": {"symbol": BTC},
    "kill": {"scope": "stop"},
    "cooldown": {"action": "clear"},
    "breaker": {"action": "reset"},
    "discard": {"symbol": BTC},
    "stops": {"symbol": BTC, "stop": "104000"},
    "be": {"symbol": BTC},
    "cancel": {"order": "all"},
    "order": {"order": "P00000001"},
    "preview": {"command": "close BTC half"},
    "approve": {"proposal": "1"},
    "reject": {"proposal": "1"},
    "role": {"person": "vera", "role": "trader"},
    "unenroll": {"person": "vera"},
    # All that is said here becomes a row; these are there before.
    "audit": {"user": "AddAlert"},
    "help": {"command": "schedule add"},
    "backtest": {"strategy": "shortseller", "symbols": BTC, "days": 2},
    "backtest show": {"number": "1"},
    "backtest cancel": {"number": "1"},
    "compare": {"first": "1", "second": "2"},
    "strategy show": {"strategy": "rsi"},
    "strategy set": {"bot": BOT, "name": "leverage", "value": "9"},
    "tune set": {"name": "leverage", "value": "9"},
    "tune snapshot": {"name": "calm"},
    "tune diff": {"snapshot": "calm"},
    "tune rollback": {"snapshot": "calm"},
    "tune cancel": {"study": "1"},
    "chart": {"symbol": BTC, "timeframe": "1h"},
    "alert": {"symbol": BTC, "direction": "above", "price": "120000"},
    "unalert": {"alert": 1},
    "schedule add": {"when": "08:00", "zone": "UTC", "command": "status"},
    "schedule remove": {"schedule": 1},
    "schedule run": {"schedule": 1},
    "ask": {"question": "what do we hold now?"},
}
# There a command that others begin with is one of them.
ON_DISCORD = {"audit": "audit show", "backtest": "backtest run"}
# A terminal cuts long words where it is narrow.
WIDE = 200
# They say where somebody speaks from, and so another thing to each.
PERSONAL = {"whoami", "alerts", "schedule list"}
# They run beside the desk: each time they are said it is another backtest.
RUNNING = {"backtest", "backtest cancel", "tune run", "tune cancel", "tune check"} | {
    command.name for command in COMMANDS if command.starts
}
READS = [
    command for command in COMMANDS if command.kind is Kind.READ and command.name not in RUNNING
]
# What not everybody of the desk may do.
REFUSED = [command for command in COMMANDS if command.role > Role.VIEWER]


Facts = Set[str]
NOTHING: Facts = frozenset()


def line_of(command: Command) -> str:
    words = [f"{name}={value}" for name, value in VALUES.get(command.name, {}).items()]
    return " ".join([f"/{command.name}", *words])


class StoppedClock(SteeredClock):
    """It shows one time for ever, and pauses pass: so that an age is the same on each platform."""

    def __init__(self) -> None:
        super().__init__()
        self._stopped_at = super().now()

    def now(self) -> int:
        return self._stopped_at


@dataclass
class Both:
    """A desk on both platforms, and who is there: Ann, an admin, and Vera, a viewer."""

    desk: ChatDesk
    discord: Scene
    telegram: TelegramServer
    ann: User
    vera: User

    @property
    def chat(self) -> Chat:
        return self.telegram.chats[self.ann.id]

    async def on_telegram(self, user: User, line: str, wanted: Facts = NOTHING) -> str:
        """What Telegram shows for a line: as soon as that holds all that is wanted, or later."""
        chat = self.telegram.chats[user.id]
        since = len(self.telegram.from_bot(chat))

        def words() -> str:
            return "\n".join(map(_telegram_words, self.telegram.from_bot(chat)[since:]))

        self.telegram.write(user, chat, line)
        with suppress(TimeoutError):
            await self.telegram.until(lambda: words() and not missing(wanted, words()))
        return words()

    async def on_discord(self, user: Any, command: Command, wanted: Facts = NOTHING) -> str:
        """What Discord shows for a command: as soon as that holds all that is wanted, or later."""
        server, channel = self.discord.server, self.discord.dm(user)
        since = len(server.messages(channel))

        def words() -> str:
            return "\n".join(map(_discord_words, server.messages(channel)[since:]))

        name = ON_DISCORD.get(command.name, command.name)
        await self.discord.slash(user, name, **VALUES.get(command.name, {}))
        with suppress(TimeoutError):
            await server.until(lambda: words() and not missing(wanted, words()))
        return words()


def _telegram_words(message: Message) -> str:
    is_file = message.media is not None and message.media.kind == "document"
    file = message.media.content.decode() if is_file and message.media else ""
    return f"{message.text or ''}\n{file}"


def _discord_words(message: Any) -> str:
    files = [
        body.decode() for name, body in message.files.items() if name.endswith((".txt", ".csv"))
    ]
    return "\n".join([said(message), *files])


@asynccontextmanager
async def both(
    folder: Path, request: pytest.FixtureRequest, market: LiveMarket, clock: SteeredClock
) -> AsyncIterator[Both]:
    spec = telegram_scene.specification(request)
    async with (
        open_scene(folder, request, clock) as scene,
        TelegramServer(spec=spec, clock=clock) as telegram,
    ):
        ann, vera = telegram.user("Ann"), telegram.user("Vera")
        for each in (ann, vera):
            telegram.private(each)
        settings = {
            "telegram_bot_token": telegram.token,
            "telegram_api_base": telegram.base,
            "people": (
                {"name": "ann", "role": "admin", "telegram": ann.id, "discord": scene.ann.id},
                {"name": "vera", "role": "viewer", "telegram": vera.id, "discord": scene.vera.id},
            ),
        }
        async with scene.open_desk(market, **settings) as desk:
            await telegram.until(lambda: telegram.polling)
            yield Both(desk, scene, telegram, ann, vera)
        assert telegram.violations == []


@pytest.fixture
async def here(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    async with both(tmp_path, request, busy_market(), StoppedClock()) as found:
        yield found


# Facts


def facts(reply: Reply) -> set[str]:
    """Whatever a reply tells, as people read it."""
    return {squeezed(fact) for block in reply.blocks for fact in _facts(block)} - {"", "-"}


def _facts(block: Block) -> Iterator[str]:
    match block:
        case Text(text) | Code(text):
            yield from text.splitlines()
        case Fields(words=words) if words:
            yield from words.splitlines()
        case Fields(title, fields):
            yield from (title, *map(show, fields.values()))
        case Table(rows=()):
            yield block.empty
        case Table(title, _, rows):
            yield title
            yield from (show(value) for row in rows for value in row)
        case Chart(chart):
            yield chart.title
        case File(_, content):
            yield content.splitlines()[0]


def squeezed(text: str) -> str:
    """Without spaces, as lines are broken elsewhere on each, and without what was measured."""
    return re.sub(r"\s+", "", re.sub(r"\d+\s(ms|waiting|rows)\b", r"\1", text))


def missing(wanted: Facts, text: str) -> set[str]:
    shown = squeezed(text)
    return {fact for fact in wanted if fact not in shown}


def contexts(here: Both) -> dict[str, Context]:
    """Ann, wherever she may be."""
    places = {
        "telegram": (str(here.ann.id), Address("telegram", str(here.ann.id))),
        "discord": (str(here.discord.ann.id), Address("discord", str(here.discord.ann.id))),
        "console": ("ann", None),
    }
    return {
        surface: context(here.desk.desk, surface, user_id, address)
        for surface, (user_id, address) in places.items()
    }


def context(desk: Desk, surface: str, user_id: str, address: Address | None) -> Context:
    ann = Principal(PrincipalKind.PERSON, user_id, Role.ADMIN, "ann", "ann")
    kind = ChatKind.PRIVATE if address else None
    return Context(ann, surface, desk, COMMANDS, address, kind)


async def test_each_command_that_looks_tells_the_same_everywhere(here: Both) -> None:
    before = "/alert BTC above 120000", "/schedule add 08:00 UTC status", "/tune snapshot calm"
    for line in before:
        await here.on_telegram(here.ann, line)
    for number in (1, 2):
        here.desk.desk.studies.end(number, done(number, finding()), finding())
    for command in READS:
        line = line_of(command)
        replies = {
            surface: await dispatch_line(context, line)
            for surface, context in contexts(here).items()
        }
        wanted = {surface: facts(reply) for surface, reply in replies.items()}
        assert wanted["console"], line
        if command.name not in PERSONAL:
            assert wanted["telegram"] == wanted["discord"] >= wanted["console"], line
        shown = {
            "telegram": await here.on_telegram(here.ann, line, wanted["telegram"]),
            "discord": await here.on_discord(here.discord.ann, command, wanted["discord"]),
            "console": to_text(replies["console"], WIDE, color=False),
        }
        for surface, text in shown.items():
            assert missing(wanted[surface], text) == set(), f"{line} on {surface}: {text}"
            assert OUR_FAULT not in text


async def test_who_may_not_is_told_so_in_the_same_words_everywhere(here: Both) -> None:
    for command in REFUSED:
        words = f"/{command.name} needs the role {command.role.word}."
        assert words in await here.on_telegram(here.vera, line_of(command))
        assert words in await here.on_discord(here.discord.vera, command)


async def test_each_command_can_be_said_on_each_platform(here: Both) -> None:
    menu = here.telegram.menus[Menu("chat", here.ann.id)]
    offered = dict(_offered(here.discord.server.commands()))

    assert {each["command"] for each in menu} == {each.name.split()[0] for each in COMMANDS}
    assert offered == {
        ON_DISCORD.get(each.name, each.name): [
            (argument.name, argument.required) for argument in each.arguments
        ]
        for each in COMMANDS
    }


def _offered(commands: list[Any]) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Discord's commands and subcommands, each with what it takes and whether it must be given."""
    for command in commands:
        options = command.get("options", [])
        if any(option["type"] == 1 for option in options):
            for option in options:
                yield f"{command['name']} {option['name']}", _taken(option.get("options", []))
        else:
            yield command["name"], _taken(options)


def _taken(options: list[Any]) -> list[tuple[str, bool]]:
    return [(option["name"], bool(option.get("required"))) for option in options]


# News


async def test_a_fill_is_told_in_the_same_words_everywhere(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bars = course(100_000.0, FALLING_TWICE[:3])
    flat = FALLING_TWICE[0][0]
    market = LiveMarket({BTC: bars[:flat], ETH: quiet(flat)})
    async with both(tmp_path, request, market, SteeredClock()) as here:
        market.tell(BTC, *bars[flat:])
        for words in ("Sold ", "Bought back "):
            first = await here.discord.told(here.discord.dm(here.discord.ann), words)
            second = await here.telegram.until(lambda words=words: _having(here, words))
            assert squeezed(said(first)) == squeezed(second[0].text or "")


def _having(here: Both, words: str) -> list[Message]:
    return [each for each in here.telegram.from_bot(here.chat) if words in (each.text or "")]


async def test_a_decision_on_one_platform_is_told_on_the_other(here: Both) -> None:
    ann = here.discord.dm(here.discord.ann)
    await here.discord.slash(here.discord.ann, "bot pause", bot=BOT)
    by = f"was paused by discord:{here.discord.ann.id} (ann)."
    await here.telegram.until(lambda: _having(here, by))
    await here.on_telegram(here.ann, f"/bot resume {BOT}")
    card = await here.discord.told(ann, "Proposal 1: ")
    await here.on_telegram(here.ann, "/approve 1")
    await here.discord.shown(card, "was approved by ann")
    await here.discord.told(ann, f"was resumed by telegram:{here.ann.id} (ann).")
