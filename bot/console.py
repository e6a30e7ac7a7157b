"""The terminal surface, on the desk's side: who is there, and the answer rendered for them."""

import asyncio
import os
import pwd
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import structlog

from bot.door import Answered, Completion, Hello, Welcome
from bot.render.plain import to_json, to_text
from bot.surface import Draw
from engine.desk import Desk
from engine.people import OPERATOR, Role
from handlers import COMMANDS
from handlers.command import Command, Context, Principal, PrincipalKind
from handlers.dispatch import LINE_MAX, OUR_FAULT, dispatch_line, dispatch_named
from handlers.reply import File, Reply, Text
from handlers.spoken import ASK, QUESTION, question

log = structlog.get_logger()


async def answer(
    desk: Desk, draw: Draw, folder: Path, line: str, hello: Hello, uid: int
) -> Answered:
    """Answer a line that the user `uid` of this machine typed.

    `draw` makes its pictures, its files come into `folder`.
    """
    context = Context(_principal(uid), "console", desk, COMMANDS)
    try:
        reply = await _dispatched(context, _approving(desk, line))
        reply = await asyncio.to_thread(_with_files_in, folder, reply)
        return Answered(reply.ok, await _rendered(reply, line, hello, draw))
    except Exception:
        # The core has its own task and ends the desk when it is broken. What failed here is
        # one answer, and that is no reason to stop trading.
        log.exception("no answer", command=line[:LINE_MAX])
        reply = Reply(error=OUR_FAULT, badge=desk.badge)
        return Answered(False, await _rendered(reply, line, hello, draw))


async def _dispatched(context: Context, line: str) -> Reply:
    """Answer a command, or plain words that ask something."""
    if asked := question(line, context.principal.role, context.desk, context.commands):
        return await dispatch_named(context, ASK, {QUESTION: asked})
    return await dispatch_line(context, line)


def _approving(desk: Desk, line: str) -> str:
    """The line; a phrase alone is an approval of its proposal, which its last word names."""
    words = line.split()
    if words[:1] != ["APPROVE"]:
        return line
    for proposal in desk.view().proposals:
        phrase = proposal.phrase.split()
        if phrase and words[:2] == phrase[:2] and words[-1] == phrase[-1]:
            return f"/approve {proposal.proposal_id} {line}"
    return line


def _with_files_in(folder: Path, reply: Reply) -> Reply:
    """The reply with each of its files in the folder, and its path in words."""
    try:
        blocks = tuple(
            Text(f"It is in {_written(folder, block)}") if isinstance(block, File) else block
            for block in reply.blocks
        )
    except OSError as error:
        return replace(reply, blocks=(), error=f"{folder} can't be written: {error.strerror}.")
    return replace(reply, blocks=blocks)


def _written(folder: Path, file: File) -> Path:
    """Where the file is, for nobody but its owner."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = (folder / Path(file.name).name).resolve()
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as opened:
        opened.write(file.content)
    return path


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
    return Principal(PrincipalKind.PERSON, name, Role.ADMIN, principal_id=OPERATOR)


async def _rendered(reply: Reply, line: str, hello: Hello, draw: Draw) -> str:
    paths = await draw(reply)
    if hello.format == "json":
        return to_json(reply, line, paths)
    return to_text(reply, hello.width, hello.color, paths)
