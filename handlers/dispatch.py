"""The one door in: find the command, authorize, validate, call, audit.

Whatever goes wrong leaves as a Reply; nothing is half-applied. A bug of ours is the exception:
it goes through, and the surface says so to whoever it talks to.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from engine.effect import Done, Result
from engine.errors import CountersignError, Refused
from engine.mail import Sealed, storable
from engine.runtime import BUSY
from handlers.command import Act, Command, Context, find, parse, parse_named
from handlers.reply import Reply

# A longer line is nobody's command; it is refused before anything reads it.
LINE_MAX = 4096
# What of a command is kept in the audit.
AUDIT_LINE_MAX = 200
OUR_FAULT = "That did not work, and it is our fault. What happened is in the desk's log."
# What of an unknown word is said back.
WORD_SHOWN = 40

log = structlog.get_logger()


async def dispatch_line(context: Context, line: str) -> Reply:
    """Answer a typed line such as `/chart BTC 1h`; the slash may be left out."""
    if context.desk.runtime.busy:
        return Reply(error=BUSY, badge=context.badge)
    line = storable(line)
    if len(line) > LINE_MAX:
        return _refuse(context, line, f"A command has at most {LINE_MAX} characters.")
    words = line.strip().removeprefix("/").split()
    found = find(context.commands, words) if words else None
    if found is None:
        return _refuse(context, line, _unknown(context.commands, words))
    target, rest = found
    try:
        _authorize(context, target)
        arguments = parse(target, rest, context.desk)
    except Refused as error:
        return _refuse(context, line, str(error))
    return await dispatch(context, target, arguments)


async def dispatch_named(context: Context, name: str, texts: Mapping[str, str]) -> Reply:
    """Answer a command whose arguments come as texts by name, as from a form."""
    if context.desk.runtime.busy:
        return Reply(error=BUSY, badge=context.badge)
    texts = {name: storable(text) for name, text in texts.items()}
    line = " ".join([f"/{storable(name)}", *(f"{key}={text}" for key, text in texts.items())])
    found = find(context.commands, name.split())
    if found is None or found[0].name != name:
        return _refuse(context, line, _unknown(context.commands, name.split()))
    if len(line) > LINE_MAX:
        return _refuse(context, line, f"A command has at most {LINE_MAX} characters.")
    try:
        _authorize(context, found[0])
        arguments = parse_named(found[0], texts, context.desk)
    except Refused as error:
        return _refuse(context, line, str(error))
    return await dispatch(context, found[0], arguments)


async def dispatch(context: Context, target: Command, arguments: dict[str, Any]) -> Reply:
    """Run a command for somebody, with arguments that are parsed already."""
    line = " ".join([f"/{target.name}", *(f"{k}={v}" for k, v in arguments.items())])
    try:
        _authorize(context, target)
        answer = await target.handler(context, **arguments)
        if isinstance(answer, Act):
            answer = await _carry_out(context, answer)
    except Refused as error:
        return _refuse(context, line, str(error))
    except CountersignError as error:
        log.error("command failed", command=line, error=str(error))
        return _refuse(context, line, f"That did not work: {error}")
    _audit(context, line, "done")
    return replace(answer, badge=context.badge)


async def _carry_out(context: Context, act: Act) -> Reply:
    """Have the core act; where the answer goes to a chat, it is stored with the effect."""
    seal = None if context.seal is None else partial(_sealed, context, act)
    return act.say(await context.desk.ask(act.instruction, context.actor, seal))


def _sealed(context: Context, act: Act, result: Result) -> Sealed:
    assert context.seal is not None
    badge = context.badge

    def answer() -> Reply:
        if isinstance(result, Done):
            return replace(act.say(result.text), badge=badge)
        return Reply(error=result.reason, badge=badge)

    return context.seal(answer)


def _authorize(context: Context, target: Command) -> None:
    if context.principal.role < target.role:
        raise Refused(f"/{target.name} needs the role {target.role.word}.")


def _unknown(commands: Sequence[Command], words: Sequence[str]) -> str:
    if not words:
        return "Type a command, for example /status. /help lists them all."
    first = words[0].lower()
    if same := [c.usage for c in commands if c.name.split()[0] == first]:
        return "Say one of: " + ", ".join(same) + "."
    names = [command.name for command in commands]
    close = [name for name in names if name.startswith(first)]
    close = close or difflib.get_close_matches(first, names, n=1)
    hint = f" Did you mean /{' or /'.join(close)}?" if close else ""
    return f"There is no command /{words[0][:WORD_SHOWN]}.{hint} /help lists them all."


def _refuse(context: Context, line: str, reason: str) -> Reply:
    _audit(context, line, f"refused: {reason}")
    return Reply(error=reason, badge=context.badge)


def _audit(context: Context, line: str, outcome: str) -> None:
    runtime = context.desk.runtime
    runtime.note_command(context.actor, line[:AUDIT_LINE_MAX], outcome[:AUDIT_LINE_MAX])
