"""The terminal surface, on the desk's side: who is there, and the answer rendered for them."""

import pwd
from collections.abc import Callable, Iterable

import structlog

from bot.door import Answered, Completion, Hello, Welcome
from bot.render.plain import to_json, to_text
from bot.surface import Draw
from engine.desk import Desk
from engine.people import Role
from handlers import COMMANDS
from handlers.command import Command, Context, Principal, PrincipalKind
from handlers.dispatch import LINE_MAX, OUR_FAULT, dispatch_line
from handlers.reply import Reply

log = structlog.get_logger()


async def answer(desk: Desk, draw: Draw, line: str, hello: Hello, uid: int) -> Answered:
    """Answer a line that the user `uid` of this machine typed; `draw` makes its pictures."""
    context = Context(_principal(uid), "console", desk, COMMANDS)
    try:
        reply = await dispatch_line(context, line)
        return Answered(reply.ok, await _rendered(reply, line, hello, draw))
    except Exception:
        # The core has its own task and ends the desk when it is broken. What failed here is
        # one answer, and that is no reason to stop trading.
        log.exception("no answer", command=line[:LINE_MAX])
        reply = Reply(error=OUR_FAULT, badge=desk.badge)
        return Answered(False, await _rendered(reply, line, hello, draw))


def welcome(desk: Desk, greet: Callable[[bool], str], hello: Hello) -> Welcome:
    """What a console is told when it comes in."""
    greeting = greet(hello.newcomer) if hello.format == "text" else ""
    return Welcome(
        desk.badge,
        desk.mode,
        desk.version,
        completions(COMMANDS, desk),
        greeting,
        list(desk.remarks),
    )


def completions(commands: Iterable[Command], desk: Desk) -> dict[str, Completion]:
    """What can be typed, by command: its summary, and for each argument the values there are."""
    return {
        command.name: Completion(
            command.summary,
            [list(argument.type.choices(desk)) for argument in command.arguments],
        )
        for command in commands
    }


def _principal(uid: int) -> Principal:
    """Whoever may open the desk's files may do anything with it already."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Principal(PrincipalKind.PERSON, name, Role.ADMIN)


async def _rendered(reply: Reply, line: str, hello: Hello, draw: Draw) -> str:
    paths = await draw(reply)
    if hello.format == "json":
        return to_json(reply, line, paths)
    return to_text(reply, hello.width, hello.color, paths)
