"""What people want to be told: the news in a chat, reports at times, prices that are reached."""

from dataclasses import replace
from typing import Annotated

from engine.alert import Direction
from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.instruction import AddAlert, AddSchedule, PutChat, RemoveAlert, RemoveSchedule
from engine.mail import Address, Chat, ChatKind
from engine.people import Role
from engine.schedule import ALIASES, Schedule, check, next_due
from handlers.arguments import Price
from handlers.command import (
    Act,
    ArgumentType,
    Context,
    Kind,
    Principal,
    PrincipalKind,
    Symbol,
    Words,
    command,
    find,
    one_of,
    parse,
    whole,
)
from handlers.dispatch import dispatch_line
from handlers.market import price_of, symbol_buttons
from handlers.reply import Button, Reply, Table, Text, Time, Value, reply, show

NUMBER_MAX = 10**9
CRON_FIELDS = 5
# Where an alert set at a terminal is told: at whichever terminal is open then.
CONSOLE = Address("console", "")
HERE = "This has no chat to answer in: say it in Telegram or Discord."

Number = Annotated[int, whole(1, NUMBER_MAX)]
Side = Annotated[str, one_of(*(word.value for word in Direction))]


def _parse_when(field: str, text: str, desk: Desk) -> str:
    """A time of day or five fields of cron, as cron."""
    word = text.lower()
    hour, colon, minute = word.partition(":")
    if colon and hour.isdecimal() and minute.isdecimal() and len(minute) == 2:
        text = f"{int(minute)} {int(hour)} * * *"
    elif f"@{word}" in ALIASES:
        text = f"@{word}"
    check(text, "UTC")
    return text


def _when_span(words: list[str]) -> int:
    """Five words where five fields of cron are typed, else one."""
    first = words[0]
    is_cron = first[:1] in "*0123456789" and ":" not in first and len(words) >= CRON_FIELDS
    return CRON_FIELDS if is_cron else 1


def _parse_zone(field: str, word: str, desk: Desk) -> str:
    check("@daily", word)
    return word


WHEN = ArgumentType(
    "a time as 08:00, daily, hourly, weekly, monthly, or cron as in 0 8 * * mon-fri",
    _parse_when,
    lambda desk: [],
    span=lambda words: _when_span(list(words)),
)
ZONE = ArgumentType("a time zone, as Europe/Berlin", _parse_zone, lambda desk: [])


# -- the news ----------------------------------------------------------------------------


@command("subscribe", role=Role.ADMIN, kind=Kind.WRITE)
async def subscribe(context: Context) -> Act:
    """Have the desk's news in this chat, and open the chat for commands.

    Whoever is known to the desk may then use it here, each by their own role.

    Example: /subscribe
    """
    return Act(PutChat(_chat(context, subscribed=True)), lambda done: reply(Text(done)))


@command("unsubscribe", role=Role.ADMIN, kind=Kind.WRITE)
async def unsubscribe(context: Context) -> Act:
    """Have no more of the desk's news in this chat; a group is closed for commands too.

    Example: /unsubscribe
    """
    return Act(PutChat(_chat(context, subscribed=False)), lambda done: reply(Text(done)))


def _chat(context: Context, subscribed: bool) -> Chat:
    at = _address(context)
    kind = context.chat_kind or ChatKind.PRIVATE
    now = context.desk.clock.now()
    return Chat(at.surface, at.chat_id, at.thread_id, kind, subscribed, context.actor, now)


def _address(context: Context) -> Address:
    if context.address is None:
        raise Refused(HERE)
    return context.address


# -- prices ------------------------------------------------------------------------------


@command("alert", role=Role.TRADER, kind=Kind.WRITE)
async def alert(context: Context, symbol: Symbol, direction: Side, price: Price) -> Act:
    """Tell this chat once, when a price is first at or beyond a level.

    Example: /alert BTC above 70000
    """
    at = context.address or CONSOLE
    wanted = AddAlert(symbol, Direction(direction), price, at)
    buttons = (Button("Alerts", "/alerts"), *symbol_buttons(symbol))
    return Act(wanted, lambda done: reply(Text(done), buttons=buttons))


@command("alerts")
async def alerts(context: Context) -> Reply:
    """The price alerts that wait, and where the prices are now.

    Example: /alerts
    """
    desk = context.desk
    view = desk.view()
    rows: list[tuple[Value, ...]] = [
        (
            each.alert_id,
            each.symbol,
            f"{each.direction} {show(price_of(desk, each.symbol, each.price))}",
            price_of(desk, each.symbol, view.prices.get(each.symbol)),
            _where(context, each.address),
        )
        for each in view.alerts
    ]
    columns = ("alert", "symbol", "when", "price", "tells")
    empty = "No alert waits. Set one as in /alert BTC above 70000."
    buttons = tuple(
        Button(f"Remove {each.alert_id}", f"/unalert {each.alert_id}") for each in view.alerts[:6]
    )
    return reply(Table("Price alerts", columns, tuple(rows), empty=empty), buttons=buttons)


@command("unalert", role=Role.TRADER, kind=Kind.WRITE)
async def unalert(context: Context, alert: Number) -> Act:
    """Remove a price alert, by its number in /alerts.

    Example: /unalert 3
    """
    buttons = (Button("Alerts", "/alerts"),)
    return Act(RemoveAlert(alert), lambda done: reply(Text(done), buttons=buttons))


# -- schedules ---------------------------------------------------------------------------


@command("schedule add", role=Role.TRADER, kind=Kind.WRITE)
async def schedule_add(
    context: Context,
    when: Annotated[str, WHEN],
    zone: Annotated[str, ZONE] | None = None,
    command: Words = "report daily",
) -> Act:
    """Have a command answered in this chat at times, by the clocks of a zone (else UTC).

    Only what looks can be scheduled, as reports and charts. What was missed while the desk was
    away is sent once, marked late.

    Example: /schedule add 08:00 Europe/Berlin report daily, or /schedule add 0 8 * * mon status
    """
    at = _address(context)
    line = schedulable(context, command)
    zone = zone or "UTC"
    due = next_due(when, zone, context.desk.clock.now())

    def say(done: str) -> Reply:
        text = f"{done} /{line} comes by itself, first at {show(Time(due))}."
        return reply(Text(text), buttons=(Button("Schedules", "/schedule list"),))

    return Act(AddSchedule(when, zone, line, at), say)


def schedulable(context: Context, line: str) -> str:
    """The line of a command that may run by itself; raises Refused for any other."""
    words = line.removeprefix("/").split()
    found = find(context.commands, words) if words else None
    if found is None:
        raise BadInput("command", line, "a command, as in report daily")
    target, rest = found
    if target.kind is not Kind.READ or target.name in ("wait", "schedule run"):
        raise BadInput("command", line, "a command that only looks, as report, status or chart")
    if target.role > Role.VIEWER:
        raise Refused(f"/{target.name} needs the role {target.role.word}; a schedule has none.")
    parse(target, rest, context.desk)
    return " ".join(words)


@command("schedule list")
async def schedule_list(context: Context) -> Reply:
    """What is sent by itself, where, and when next.

    Example: /schedule list
    """
    now = context.desk.clock.now()
    found = context.desk.view().schedules
    rows: tuple[tuple[Value, ...], ...] = tuple(
        (
            each.schedule_id,
            f"/{each.command}",
            f"{each.cron} ({each.zone})",
            Time(next_due(each.cron, each.zone, now)),
            _where(context, Address(each.surface, each.chat_id, each.thread_id)),
        )
        for each in found
    )
    columns = ("schedule", "command", "when", "next", "to")
    empty = "Nothing is sent by itself. Set it up as in /schedule add 08:00 report daily."
    buttons = tuple(
        button
        for each in found[:3]
        for button in (
            Button(f"Run {each.schedule_id}", f"/schedule run {each.schedule_id}"),
            Button(f"Remove {each.schedule_id}", f"/schedule remove {each.schedule_id}"),
        )
    )
    return reply(Table("Schedules", columns, rows, empty=empty), buttons=buttons)


@command("schedule remove", role=Role.TRADER, kind=Kind.WRITE)
async def schedule_remove(context: Context, schedule: Number) -> Act:
    """Send something by itself no more, by its number in /schedule list.

    Example: /schedule remove 2
    """
    buttons = (Button("Schedules", "/schedule list"),)
    return Act(RemoveSchedule(schedule), lambda done: reply(Text(done), buttons=buttons))


@command("schedule run", starts=True)
async def schedule_run(context: Context, schedule: Number) -> Reply:
    """Show now what a schedule sends, here; its own times stay as they are.

    Example: /schedule run 2
    """
    for each in context.desk.view().schedules:
        if each.schedule_id == schedule:
            schedulable(context, each.command)
            return await answer_scheduled(context, each)
    known = ", ".join(str(each.schedule_id) for each in context.desk.view().schedules)
    raise BadInput("schedule", schedule, known or "none: nothing is scheduled")


async def answer_scheduled(context: Context, schedule: Schedule) -> Reply:
    """What the schedule's command answers, as nobody in particular."""
    principal = Principal(
        PrincipalKind.SCHEDULE, str(schedule.schedule_id), Role.VIEWER, schedule.created_by
    )
    nobody = replace(context, principal=principal, surface="schedule", seal=None)
    return await dispatch_line(nobody, schedule.command)


def _where(context: Context, at: Address) -> str:
    if context.address == at:
        return "here"
    return f"{at.surface} {at.chat_id}"
