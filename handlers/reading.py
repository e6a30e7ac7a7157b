"""What a question may look at: the commands that only look, as far as whoever asks may say them.

A model says them for a person, goes the way of everybody's commands, and stands in the audit; it
has no hands. What it would do it drafts, for that person to say.
"""

from collections.abc import Sequence
from dataclasses import replace

from engine.advice import Draft, Tool
from engine.errors import Refused
from engine.mail import ChatKind, storable
from engine.people import Identity, Role
from handlers.as_text import as_text
from handlers.command import Argument, Command, Context, PrincipalKind, find, kept, parse
from handlers.dispatch import AUDIT_LINE_MAX, CONSOLE, authorize, dispatch_line

# Their answers are buttons, pictures or files.
SAYS_NOTHING = ("start", "menu", "chart", "audit export")
DECIDES = ("approve", "reject")
# Who is here, and who may do what, is between people.
ABOUT_PEOPLE = "people"
# More is nobody's command.
DRAFT_MAX = 300
DRAFTED = "drafted by the model; nothing was done"


class DeskReading:
    """The door `engine.advice.Reading` for somebody who asks."""

    def __init__(self, context: Context) -> None:
        self._asked = context

    @property
    def _context(self) -> Context:
        """Who asks, as they stand now: an answer may take a minute, and their role end before."""
        asked = self._asked
        return replace(asked, principal=replace(asked.principal, role=_role_now(asked)))

    @property
    def _reader(self) -> Context:
        """The model, as far as whoever hears the answer may see."""
        context = self._context
        principal = context.principal
        # In a group everybody reads the answer: it holds what every viewer may see.
        is_shared = context.chat_kind not in (None, ChatKind.PRIVATE)
        role = min(principal.role, Role.VIEWER) if is_shared else principal.role
        reader = replace(principal, kind=PrincipalKind.MODEL, role=role)
        return replace(context, principal=reader, seal=None)

    def tools(self) -> Sequence[Tool]:
        role = self._reader.principal.role
        return tuple(
            _tool(each, self._asked)
            for each in self._asked.commands
            if each.is_for_models and each.role <= role and each.name not in SAYS_NOTHING
        )

    async def look(self, line: str) -> str:
        reader = self._reader
        if reader.principal.role < Role.VIEWER:
            raise Refused("Whoever asked may not use the desk any more.")
        answer = await dispatch_line(reader, f"/{line.strip().removeprefix('/')}")
        if answer.error is not None:
            raise Refused(answer.error)
        return as_text(answer)

    def draft(self, line: str) -> Draft:
        context = self._context
        words = storable(line).strip().removeprefix("/").split()
        found = find(context.commands, words) if len(line) <= DRAFT_MAX else None
        if found is None:
            raise Refused("That is no command. /help lists them.")
        target, rest = found
        _check_draft(target)
        authorize(context, target)
        parse(target, rest, context.desk)
        drafted = " ".join([f"/{target.name}", *rest])
        self._note(drafted, DRAFTED)
        return Draft(drafted, target.summary)

    def refused(self, wanted: str, reason: str) -> None:
        self._note(wanted, f"refused to the model: {reason}")

    def _note(self, said: str, outcome: str) -> None:
        line = kept(self._asked.commands, storable(said))
        runtime = self._asked.desk.runtime
        runtime.note_command(
            self._asked.actor, line[:AUDIT_LINE_MAX], storable(outcome)[:AUDIT_LINE_MAX]
        )


def _role_now(context: Context) -> Role:
    """What whoever asked may do now, and never more than when they asked."""
    who = context.principal
    if who.kind is not PrincipalKind.PERSON or context.surface == CONSOLE:
        return who.role
    view = context.desk.view()
    account = Identity(context.surface, who.id, who.principal_id)
    roles = (each.role for each in view.people if each.principal_id == who.principal_id)
    return min(who.role, next(roles, Role.NOBODY)) if account in view.identities else Role.NOBODY


def _check_draft(target: Command) -> None:
    """Raise Refused for a command that nobody is to be led to."""
    if target.is_for_models:
        raise Refused(f"/{target.name} only looks: look at it.")
    if target.name in DECIDES:
        raise Refused("Only a person decides a proposal, of their own accord.")
    if target.holds_secrets:
        raise Refused(f"/{target.name} takes a code: a person says it of their own accord.")
    if target.group == ABOUT_PEOPLE:
        raise Refused(f"/{target.name} is about people: a person says it of their own accord.")


def _tool(target: Command, context: Context) -> Tool:
    return Tool(
        name=target.name,
        summary=target.summary,
        arguments={each.name: _allowed(each, context) for each in target.arguments},
        required=tuple(each.name for each in target.arguments if each.required),
    )


def _allowed(argument: Argument, context: Context) -> str:
    return argument.type.allowed(context.desk)
