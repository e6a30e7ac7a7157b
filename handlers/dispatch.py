"""The one door in: find the command, authorize, validate, call, audit.

Whatever goes wrong leaves as a Reply; nothing is half-applied. A bug of ours is the exception:
it goes through, and the surface says so to whoever it talks to.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

import structlog

from engine.effect import Done, NotDone, Proposed, Result
from engine.errors import BadInput, CountersignError, Refused
from engine.mail import Sealed, storable
from engine.runtime import BUSY
from handlers.cards import card
from handlers.command import (
    HIDDEN,
    NEAR_CODES,
    STRAY_CODES,
    Act,
    Command,
    Context,
    Kind,
    PrincipalKind,
    find,
    kept,
    parse,
    parse_named,
    said,
)
from handlers.reply import Duration, Reply, show

# A longer line is nobody's command; it is refused before anything reads it.
LINE_MAX = 4096
TOO_LONG = f"A command has at most {LINE_MAX} characters."
# What of a command is kept in the audit.
AUDIT_LINE_MAX = 200
OUR_FAULT = "That did not work, and it is our fault. What happened is in the desk's log."
# What of an unknown word is said back.
WORD_SHOWN = 40
ALWAYS, PRESS, NOTED, ASKS = "always", "press", "noted", "asks"
# How many commands of each class one person may say in so many seconds. Whoever sits at the
# machine may say any number.
RATES: Mapping[str, tuple[int, float]] = {
    Kind.READ: (30, 60.0),
    Kind.WRITE: (20, 60.0),
    Kind.SENSITIVE: (10, 60.0),
    Kind.CRITICAL: (5, 60.0),
    # What has a model think, which costs money and time.
    ASKS: (10, 60.0),
    # What reduces risk, and presses that decide, which are counted before they are looked into.
    ALWAYS: (60, 60.0),
    PRESS: (60, 60.0),
    # What is refused for its rate is written to the audit so often.
    NOTED: (1, 60.0),
}
CONSOLE = "console"
# What became of a command that a model said for somebody, in the audit.
FOR_MODEL = "read for the model"

log = structlog.get_logger()


async def dispatch_line(context: Context, line: str) -> Reply:
    """Answer a typed line such as `/chart BTC 1h`; the slash may be left out."""
    line = storable(line)
    words = line[:LINE_MAX].strip().removeprefix("/").split()
    found = find(context.commands, words) if words else None
    if context.desk.runtime.busy and not _is_emergency(found):
        return Reply(error=BUSY, badge=context.badge)
    shown = kept(context.commands, line)
    if len(line) > LINE_MAX:
        return _refuse(context, shown, TOO_LONG)
    if found is None:
        return _not_found(context, shown, words)
    target, rest = found
    read = partial(parse, target, rest, context.desk)
    return await _dispatch(context, target, shown, read, always=target.is_always(bool(rest)))


async def dispatch_named(context: Context, name: str, texts: Mapping[str, str]) -> Reply:
    """Answer a command whose arguments come as texts by name, as from a form."""
    found = find(context.commands, name.split())
    if context.desk.runtime.busy and not _is_emergency(found):
        return Reply(error=BUSY, badge=context.badge)
    texts = {name: storable(text) for name, text in texts.items()}
    line = " ".join([f"/{storable(name)}", *(f"{key}={text}" for key, text in texts.items())])
    shown = kept(context.commands, line)
    if found is None or found[0].name != name:
        return _not_found(context, shown, name.split())
    if len(line) > LINE_MAX:
        return _refuse(context, shown, TOO_LONG)
    target = found[0]
    read = partial(parse_named, target, texts, context.desk)
    return await _dispatch(context, target, shown, read, always=target.is_always(bool(texts)))


async def dispatch(context: Context, target: Command, arguments: dict[str, Any]) -> Reply:
    """Run a command for somebody, with arguments that are parsed already."""
    line = said(context.commands, target, arguments)
    always = target.is_always(bool(arguments))
    return await _dispatch(context, target, line, lambda: arguments, always=always)


async def _dispatch(
    context: Context,
    target: Command,
    line: str,
    arguments: Callable[[], dict[str, Any]],
    *,
    always: bool,
) -> Reply:
    may = context.principal.role >= target.role
    paced = not (may and target.emergency)
    what = ALWAYS if always and may else ASKS if target.asks_model else target.kind
    if paced and (slow := too_fast(context, line, what)):
        return slow
    try:
        authorize(context, target)
        values = arguments()
    except BadInput as error:
        return _refuse(context, line, _without_secrets(target, error))
    except Refused as error:
        return _refuse(context, line, str(error))
    return await _run(context, target, values)


async def _run(context: Context, target: Command, arguments: dict[str, Any]) -> Reply:
    line = said(context.commands, target, arguments)
    try:
        answer = await target.handler(context, **arguments)
        if isinstance(answer, Act):
            answer = await _carry_out(context, answer)
    except Refused as error:
        return _refuse(context, line, str(error))
    except CountersignError as error:
        log.error("command failed", command=line, error=str(error))
        return _refuse(context, line, f"That did not work: {error}")
    _audit(context, line, FOR_MODEL if _is_model(context) else "done")
    return replace(answer, badge=context.badge)


async def _carry_out(context: Context, act: Act) -> Reply:
    """Have the core act; where the answer goes to a chat, it is stored with the effect."""
    seal = None if context.seal is None else partial(_sealed, context, act)
    return _answer(context, act, await context.desk.ask(act.instruction, context.asker, seal))


def _sealed(context: Context, act: Act, result: Result) -> Sealed:
    assert context.seal is not None

    def answer() -> Reply:
        return replace(_answer(context, act, result), badge=context.badge)

    return context.seal(answer, card=_card_of(act, result))


def _card_of(act: Act, result: Result) -> int:
    """The proposal whose card is the answer; 0 where it is words."""
    match result:
        case Proposed(proposal) if act.proposed is None:
            return proposal.proposal_id
        case Done():
            return act.card
    return 0


def _answer(context: Context, act: Act, result: Result) -> Reply:
    match result:
        case Done(text):
            return act.say(text)
        case NotDone(reason):
            return Reply(error=reason)
        case Proposed(proposal) if act.proposed is not None:
            return act.proposed(proposal)
        case Proposed(proposal):
            return card(proposal, context.desk.clock.now())


def _is_emergency(found: tuple[Command, list[str]] | None) -> bool:
    return found is not None and found[0].emergency


def authorize(context: Context, target: Command) -> None:
    """Raise Refused where somebody's role is not enough, or where a model says what acts."""
    if _is_model(context) and not target.is_for_models:
        raise Refused(f"/{target.name} is not for a model, which has no hands.")
    if context.principal.role < target.role:
        raise Refused(f"/{target.name} needs the role {target.role.word}.")


def too_fast(context: Context, line: str, what: str) -> Reply | None:
    """The refusal of somebody who says more of a class (of RATES) than anybody types; None where
    they do not."""
    who, rates = context.principal, context.desk.rates
    if who.kind is not PrincipalKind.PERSON or context.surface == CONSOLE:
        return None
    whose = who.principal_id or f"{context.surface}:{who.id}"
    delay = rates.take(whose, what)
    if delay <= 0:
        return None
    count, seconds = RATES[what]
    wait = show(Duration(ceil(delay) * 1000))
    per = show(Duration(int(seconds * 1000)))
    reason = f"Slow down: {count} such commands in {per} are allowed. Wait {wait}."
    if rates.take(whose, NOTED) <= 0:
        _audit(context, line, f"refused: {reason}")
    return Reply(error=reason, badge=context.badge)


def _without_secrets(target: Command, error: BadInput) -> str:
    """What is wrong with an argument, without what may be a code typed in its place."""
    if not target.holds_secrets:
        return str(error)
    plain = {argument.name for argument in target.arguments if not argument.type.secret}
    value = NEAR_CODES.sub(HIDDEN, str(error.value)) if error.field in plain else HIDDEN
    return str(BadInput(error.field, value, error.allowed))


def _not_found(context: Context, line: str, words: Sequence[str]) -> Reply:
    """Answer what is no command, as slowly as what only looks."""
    slow = too_fast(context, line, Kind.READ)
    return slow or _refuse(context, line, _unknown(context.commands, words))


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
    # An answer may have to be kept until it can be sent: no code is said back.
    noted, told = reason, reason
    if HIDDEN in line:
        noted, told = NEAR_CODES.sub(HIDDEN, reason), STRAY_CODES.sub(HIDDEN, reason)
    whom = "refused to the model" if _is_model(context) else "refused"
    _audit(context, line, f"{whom}: {noted}")
    return Reply(error=told, badge=context.badge)


def _is_model(context: Context) -> bool:
    return context.principal.kind is PrincipalKind.MODEL


def _audit(context: Context, line: str, outcome: str) -> None:
    runtime = context.desk.runtime
    runtime.note_command(context.actor, line[:AUDIT_LINE_MAX], outcome[:AUDIT_LINE_MAX])
