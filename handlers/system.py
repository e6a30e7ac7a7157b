"""The desk itself: how it stands, whether it is well, and what can be said to it."""

import asyncio
import platform
from collections.abc import Mapping, Sequence

from engine.bot import BotStatus
from engine.candle import MINUTE_MS
from engine.desk import Desk, Section
from engine.errors import BadInput, Refused, Unreachable
from engine.order import ZERO
from engine.people import Role
from engine.ports import FeedHealth
from engine.signal import Sides
from engine.view import CoreView
from handlers.bots import bots_table
from handlers.command import Argument, Command, Context, Kind, Words, command, find
from handlers.exchange import MODES, kept, said_standing, standing
from handlers.reply import (
    Block,
    Button,
    Duration,
    Fields,
    Money,
    Multiple,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)

# A database that takes longer to give one row is as good as away.
DATABASE_DEADLINE_S = 5.0
DATABASE_SLOW_MS = 500
# An inbox that is longer than this means that the core does not keep up.
WAITING_MANY = 1000
# A candle that is late by one interval may still come; after this many the feed is silent.
INTERVALS_LATE = 2
INTERVALS_SILENT = 5
# A clock that is off by more makes signed requests fail now and then.
CLOCK_OFF_MS = 500
DEAD_LETTERS_SHOWN = 10
WAITING_COUNTED = 1000

MENU = (
    Button("Status", "/status"),
    Button("Positions", "/positions"),
    Button("P&L", "/pnl"),
    Button("Trades", "/trades"),
    Button("Chart", "/chart"),
    Button("Why", "/why"),
    Button("Prices", "/price"),
    Button("Bots", "/bot list"),
    Button("Health", "/health"),
    Button("Help", "/help"),
)

# What a chat offers to whoever may say the command.
SETUPS = (
    ("subscribe", Button("Subscribe", "/subscribe"), "to have the desk's news in a chat"),
    (
        "schedule add",
        Button("Daily report", "/schedule add 08:00 report daily"),
        "to have a report each morning (UTC)",
    ),
)

# What commands are about, by the module they stand in.
GROUPS = {
    "system": "Desk",
    "bots": "Bots",
    "sides": "Bots",
    "portfolio": "Money",
    "reports": "Reports",
    "periods": "Reports",
    "performance": "Reports",
    "trade": "Trades",
    "orders": "Orders",
    "stops": "Orders",
    "kill": "Orders",
    "exchange": "Exchange",
    "risk": "Risk",
    "proposals": "Countersigns",
    "market": "Market",
    "technical": "Market",
    "strategy": "Strategies",
    "strategies": "Strategies",
    "signals": "Strategies",
    "tuning": "Tuning",
    "tuning_studies": "Tuning",
    "backtest": "Backtests",
    "data": "Backtests",
    "alerts": "Alerts",
    "people": "People",
    "audit": "Record",
    "model": "Questions",
}

# What a command takes, by its class.
BADGES = {Kind.READ: "⚪", Kind.WRITE: "🟢", Kind.SENSITIVE: "🟡", Kind.CRITICAL: "🔴"}
LEGEND = (
    "⚪ looks, 🟢 acts at once, 🟡 waits for a press, 🔴 waits for a typed phrase. "
    "/help money tells what those of one kind do, /help /chart all about one."
)


@command("start")
async def start(context: Context) -> Reply:
    """What this desk is, and what to type next.

    Example: /start
    """
    desk = context.desk
    sentences = [
        "Countersign is a trading desk run from chat.",
        f"It trades {', '.join(desk.symbols)} with {', '.join(desk.bot_ids)}.",
        f"Market: {desk.market.label}.",
    ]
    sentences.append(MODES[desk.mode])
    if desk.market.name.startswith("sim"):
        sentences.append("Prices are made up; MARKET=bybit in .env brings real ones.")
    setups = _setups(context)
    blocks = [
        Text(" ".join(sentences)),
        Text("Say /status to see how it stands, /why to see what it thinks, /help for the rest."),
    ]
    if setups:
        words = ", ".join(f"{button.command} {why}" for button, why in setups)
        blocks.append(Text(f"Also: {words}."))
    return reply(
        *blocks,
        buttons=(*MENU[:4], *(button for button, _ in setups)),
    )


def _setups(context: Context) -> list[tuple[Button, str]]:
    """What somebody may set up in the chat where they are, and what it is for."""
    if context.address is None:
        return []
    mine = {command.name for command in context.commands if command.role <= context.principal.role}
    return [(button, why) for name, button, why in SETUPS if name in mine]


@command("menu")
async def menu(context: Context) -> Reply:
    """The main commands as buttons.

    Example: /menu
    """
    return reply(Text("What would you like to see?"), buttons=MENU)


@command("help")
async def help_(context: Context, command: Words | None = None) -> Reply:
    """The commands you may use: all by what they are about, those of one group, or one in full.

    A word with a slash is always a command.

    Example: /help, or /help money, or /help /orders
    """
    groups = _groups([c for c in context.commands if c.role <= context.principal.role])
    if command is None:
        listed: dict[str, Value] = {
            title: " ".join(f"{BADGES[c.kind]}/{c.name}" for c in members)
            for title, members in groups.items()
        }
        words = "\n".join(f"{title}: {names}" for title, names in listed.items())
        return reply(Fields("What you may say", listed, words), Text(LEGEND))
    if (title := command.capitalize()) in groups:
        told = tuple((c.usage, f"{BADGES[c.kind]} {c.summary}") for c in groups[title])
        return reply(Table(title, ("command", "what"), told))
    return _help_on(context, _named(context.commands, command))


def _groups(commands: Sequence[Command]) -> dict[str, list[Command]]:
    found: dict[str, list[Command]] = {}
    for each in commands:
        found.setdefault(GROUPS.get(each.group, each.group.capitalize()), []).append(each)
    return found


@command("status")
async def status(context: Context) -> Reply:
    """How the desk stands: market, money, positions and bots on one card.

    Example: /status
    """
    desk = context.desk
    view = desk.view()
    buttons = (
        Button("Positions", "/positions"),
        Button("P&L", "/pnl"),
        Button("Why", "/why"),
        *_switch(context, view),
    )
    return reply(Fields("Status", _status(desk, view)), bots_table(view), buttons=buttons)


def _switch(context: Context, view: CoreView) -> tuple[Button, ...]:
    """Halt or resume, for whoever may say so."""
    name = "resume" if view.halted else "halt"
    mine = {each.name for each in context.commands if each.role <= context.principal.role}
    return (Button(name.capitalize(), f"/{name}"),) if name in mine else ()


@command("health")
async def health(context: Context) -> Reply:
    """Whether database, market feed and inbox are well: green, yellow or red, and why.

    Example: /health
    """
    desk = context.desk
    view = desk.view()
    checks = (
        _trading(view),
        _data(desk),
        await _database(desk),
        _feed(desk, view),
        _inbox(desk),
        *_exchange(desk),
        *_links(desk),
        _mirror(desk),
    )
    worst = max((state for _, state, _ in checks), key=STATES.index)
    bad = [part for part, state, _ in checks if state == worst != GREEN]
    verdict = f"{worst.capitalize()}: look at {', '.join(bad)}." if bad else "All green."
    process: dict[str, Value] = {
        "uptime": Duration(desk.clock.now() - desk.started_at),
        "started": Time(desk.started_at),
        "epoch": desk.runtime.epoch,
    }
    table = Table("Health", ("part", "state", "detail"), checks)
    return reply(Text(verdict), table, Fields("Process", process))


@command("wait", starts=True)
async def wait(context: Context) -> Reply:
    """Wait until every candle is taken, then say how many there were.

    It returns when a replay has ended, or when a simulated market has caught up with the clock.
    In a market of real time it returns at once, and so it does in a chat, where others wait for
    their answers.

    Example: /wait
    """
    desk = context.desk
    if context.address is None:
        await desk.runtime.until_caught_up()
    view = desk.view()
    fields: dict[str, Value] = {
        "candles": view.candles,
        "market_time": Time(view.market_time) if view.candles else None,
    }
    title = "Caught up" if desk.market.caught_up else "Not caught up yet"
    return reply(Fields(title, fields))


@command("outbox", role=Role.ADMIN)
async def outbox(context: Context) -> Reply:
    """Messages to chats that wait, and the newest that could not be delivered, and why.

    Example: /outbox
    """
    mail = context.desk.store.mail
    chats = await mail.waiting_chats()
    waiting = Table(
        "Waiting",
        ("chat", "messages", "oldest"),
        tuple([await _waiting(context.desk, surface, chat_id) for surface, chat_id in chats]),
        empty="No message waits.",
    )
    rows = tuple(
        (f"{each.surface} {each.chat_id}", Time(each.ts), each.error)
        for each in await mail.dead_letters(DEAD_LETTERS_SHOWN)
    )
    dead = Table("Given up", ("chat", "ts", "why"), rows, empty="None was given up.")
    return reply(waiting, dead)


async def _waiting(desk: Desk, surface: str, chat_id: str) -> tuple[Value, ...]:
    rows = await desk.store.mail.waiting(surface, chat_id, WAITING_COUNTED)
    more = f"{WAITING_COUNTED} or more" if len(rows) == WAITING_COUNTED else len(rows)
    oldest = min((row.delivery.ts for row in rows), default=None)
    return f"{surface} {chat_id}", more, None if oldest is None else Time(oldest)


@command("version")
async def version(context: Context) -> Reply:
    """The version of this desk, and since when it runs.

    Example: /version
    """
    desk = context.desk
    fields: dict[str, Value] = {
        "version": desk.version,
        "python": platform.python_version(),
        "started": Time(desk.started_at),
        "uptime": Duration(desk.clock.now() - desk.started_at),
    }
    return reply(Fields("Countersign", fields))


@command("settings", role=Role.ADMIN)
async def settings(context: Context) -> Reply:
    """The settings in force, by section; what is secret is not shown.

    Example: /settings
    """
    return reply(*(_section(*each) for each in context.desk.settings.items()))


def _section(title: str, values: Section) -> Block:
    if isinstance(values, Mapping):
        return Fields(title, dict(values))
    columns = tuple(values[0]) if values else ()
    return Table(title, columns, tuple(tuple(each.values()) for each in values))


# -- help --------------------------------------------------------------------------------


def _named(commands: Sequence[Command], text: str) -> Command:
    words = text.removeprefix("/").split()
    found = find(commands, words)
    if found is None or found[1]:
        first = words[0].lower() if words else ""
        near = [c.name for c in commands if c.name.split()[0] == first]
        raise BadInput("command", text, ", ".join(near or [c.name for c in commands]))
    return found[0]


def _help_on(context: Context, target: Command) -> Reply:
    if target.role > context.principal.role:
        raise Refused(f"/{target.name} needs the role {target.role.word}.")
    fields: dict[str, Value] = {
        "usage": target.usage,
        "role": target.role.word,
        "kind": str(target.kind),
    }
    blocks: list[Block] = [Text(target.help), Fields(f"/{target.name}", fields)]
    if target.arguments:
        rows = tuple(
            (
                argument.name,
                "yes" if argument.required else "no",
                argument.type.allowed(context.desk),
                _default(argument),
            )
            for argument in target.arguments
        )
        blocks.append(Table("Arguments", ("name", "needed", "allowed", "default"), rows))
    return reply(*blocks)


def _default(argument: Argument) -> str | None:
    """What is meant where an argument is left out, where that can be said."""
    if argument.required or argument.type.unsaid:
        return argument.type.unsaid or None
    return None if argument.default is None else str(argument.default)


# -- status ------------------------------------------------------------------------------


def _status(desk: Desk, view: CoreView) -> dict[str, Value]:
    accounts = view.accounts
    fields: dict[str, Value] = {
        "mode": desk.mode,
        "market": desk.market.label,
        "market_time": Time(view.market_time) if view.candles else None,
        "speed": Multiple(desk.market.speed) if desk.market.speed else "as fast as it goes",
        "candles": view.candles,
        "bots": len(view.bots),
        "open_positions": len(view.positions),
        "equity": Money(sum((account.equity for account in accounts), ZERO)),
        "unrealized": Money(sum((account.unrealized for account in accounts), ZERO), signed=True),
        "net": Money(sum((account.ledger.net for account in accounts), ZERO), signed=True),
        "trades": sum(account.ledger.trades for account in accounts),
    }
    if (age := candle_age(desk, view)) is not None:
        name = "last_candle_age" if desk.market.speed == 1 else "behind_the_clock"
        fields[name] = Duration(age)
    fields |= standing(desk)
    if view.sides != Sides.BOTH.words:
        fields = {"sides": view.sides, **fields}
    if view.halted:
        fields = {"halted": view.halted, **fields}
    return fields


def candle_age(desk: Desk, view: CoreView) -> int | None:
    """How long ago the last candle closed, ms; None where the market's time is the past's."""
    if not view.candles or desk.market.name.startswith("replay"):
        return None
    return desk.clock.now() - view.market_time


# -- health ------------------------------------------------------------------------------

GREEN, YELLOW, RED = "green", "yellow", "red"
STATES = (GREEN, YELLOW, RED)
Check = tuple[str, str, Value]


def _trading(view: CoreView) -> Check:
    if view.halted:
        return "trading", RED, f"halted: {view.halted}"
    paused = [bot.bot_id for bot in view.bots if bot.status is BotStatus.PAUSED]
    if paused:
        return "trading", YELLOW, f"no entries by {', '.join(paused)}: paused"
    if not view.bots:
        return "trading", YELLOW, "no bot trades on this market"
    return "trading", GREEN, "entries allowed"


def _data(desk: Desk) -> Check:
    """What a person should know about the market's data before believing a number."""
    if not desk.remarks:
        return "market data", GREEN, "nothing to remark"
    state = GREEN if desk.market.name.startswith("sim") else YELLOW
    return "market data", state, " ".join(desk.remarks)


async def _database(desk: Desk) -> Check:
    """Read one row, against the clock."""
    began = desk.clock.monotonic()
    try:
        async with asyncio.timeout(DATABASE_DEADLINE_S):
            await desk.store.last_audit()
    except TimeoutError:
        return "database", RED, f"no answer within {DATABASE_DEADLINE_S:g} s"
    except Unreachable as error:
        return "database", RED, str(error)
    took = round((desk.clock.monotonic() - began) * 1000)
    return "database", YELLOW if took > DATABASE_SLOW_MS else GREEN, f"one read in {took} ms"


def _feed(desk: Desk, view: CoreView) -> Check:
    """The market feed, judged by how late the next candle is."""
    if not view.candles:
        return "market feed", YELLOW, "no candle yet"
    if view.market_ended:
        return "market feed", GREEN, "ended: every candle is taken"
    age = candle_age(desk, view)
    if age is None:
        return "market feed", GREEN, "a recording is being replayed"
    if (live := desk.market.health()) is not None:
        return _live_feed(live, age, desk)
    words = f"last candle {show(Duration(age))} ago, one comes every "
    words += f"{desk.market.interval // MINUTE_MS} min of market time"
    if not desk.market.caught_up:
        return "market feed", GREEN, f"catching up: {words}"
    return "market feed", _lateness(age, desk.market.interval), words


def _live_feed(live: FeedHealth, age: int, desk: Desk) -> Check:
    """Prices from outside: by stream, by REST, or not at all."""
    words = [f"last candle {show(Duration(age))} ago"]
    if live.last_message_at is not None:
        heard = desk.clock.now() - live.last_message_at
        words.append(f"last message {show(Duration(max(heard, 0)))} ago")
    words.append("stream up" if live.connected else "stream DOWN, candles by REST")
    if not live.rest_reachable:
        words.append("REST can't be reached")
    if live.quiet:
        words.append(f"no candles of {', '.join(live.quiet)}")
    counts = {"reconnects": live.reconnects, "gaps filled": live.gaps_filled}
    words += [f"{count} {name}" for name, count in counts.items() if count]
    if abs(live.offset_ms) > CLOCK_OFF_MS:
        words.append(f"the exchange's clock is {live.offset_ms:+} ms off ours")
    if not desk.market.caught_up:
        return "market feed", YELLOW, ", ".join(["catching up", *words])
    state = _lateness(age, desk.market.interval)
    well = live.connected and live.rest_reachable and not live.quiet
    return "market feed", YELLOW if state == GREEN and not well else state, ", ".join(words)


def _exchange(desk: Desk) -> list[Check]:
    """Each account at the exchange: whether it is heard, and agrees with the books."""
    checks: list[Check] = []
    for account, there in kept(desk):
        state = RED if there.down else YELLOW if there.shut else GREEN
        checks.append((f"exchange {account.bot_id}", state, said_standing(there, desk.clock.now())))
    return checks


def _mirror(desk: Desk) -> Check:
    """What others read of the desk: no order waits for it."""
    well, words = desk.mirror()
    return "mirror", GREEN if well else YELLOW, words


def _links(desk: Desk) -> list[Check]:
    return [
        (name, GREEN if well else RED, words)
        for name, (well, words) in ((name, link()) for name, link in desk.links.items())
    ]


def _lateness(age: int, interval: int) -> str:
    if age > INTERVALS_SILENT * interval:
        return RED
    return YELLOW if age > INTERVALS_LATE * interval else GREEN


def _inbox(desk: Desk) -> Check:
    waiting = desk.runtime.waiting
    state = YELLOW if waiting > WAITING_MANY else GREEN
    return "inbox", state, f"{waiting} waiting"
