"""People: who is here, what they may do, and how they prove who they are."""

import re
from dataclasses import replace
from typing import Annotated

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.instruction import (
    BeginEnrollment,
    ConfirmEnrollment,
    EndEnrollment,
    LockPerson,
    MakeLinkCode,
    OpenSession,
    SetRole,
    UnlockPerson,
    UseLinkCode,
)
from engine.people import ACCOUNT_MAX, OPERATOR, Person, Role
from engine.view import CoreView
from handlers.arguments import (
    PERSON,
    SOMEBODY_HERE,
    Code,
    LinkCode,
    Name,
    PersonId,
    Scopes,
    is_code,
    person_named,
)
from handlers.command import Act, ArgumentType, Context, Kind, command, one_of
from handlers.proof import check_own_chat, check_unseen, locked_out
from handlers.reply import Button, Enrollment, Fields, Reply, Table, Text, Time, Value, reply, show

ACCOUNT = re.compile(r"(telegram|discord):([1-9][0-9]{0,18})")
ASKED = "The admins are asked. You are told here what they decide."
SCANNED = (
    "When it is there, say /enroll and the six digits it shows, within ten minutes. Then this "
    "message is deleted: whoever has its picture or its key has your codes."
)
STRANGER = "You may not use this desk. /access asks its admins to let you in."
OWN_OR_THEIRS = "Say a code to open your own session, or a name to let that person in, not both."


def _parse_somebody(field: str, word: str, desk: Desk) -> str:
    """Somebody known, as their principal id, or the account of somebody new."""
    known = person_named(desk, word)
    if known is not None:
        return known
    account = ACCOUNT.fullmatch(word.lower())
    if account and int(account[2]) <= ACCOUNT_MAX:
        return word.lower()
    new = f"telegram:NUMBER or discord:NUMBER, up to {ACCOUNT_MAX}, for somebody new"
    raise BadInput(field, word, f"{SOMEBODY_HERE}, or {new}")


SOMEBODY = ArgumentType(
    "a person, or telegram:ID", _parse_somebody, PERSON.choices, changing=True, for_admins=True
)

Somebody = Annotated[str, SOMEBODY]
AnyRole = Annotated[str, one_of(*(role.word for role in Role))]
AskedRole = Annotated[str, one_of(Role.VIEWER.word, Role.TRADER.word)]


# -- roles -------------------------------------------------------------------------------


@command("access", role=Role.NOBODY, kind=Kind.CRITICAL)
async def access(context: Context, role: AskedRole = Role.VIEWER.word) -> Act:
    """Ask the admins to let you use this desk, as a viewer or a trader.

    Example: /access trader
    """
    who = context.principal
    if who.role > Role.NOBODY:
        raise Refused(f"You are {who.role.word} already. An admin changes that with /role.")
    check_own_chat(context)
    account = f"{context.surface}:{who.id}"
    owner = _owner(context.desk.view(), context.surface, who.id)
    wanted = SetRole(
        principal_id=owner or account,
        name=_name_for(context, owner, account),
        role=Role[role.upper()],
        surface=context.surface,
        user_id=who.id,
    )
    return Act(
        wanted,
        lambda done: reply(Text(done)),
        proposed=lambda proposal: reply(Text(ASKED)),
    )


def _name_for(context: Context, owner: str, account: str) -> str:
    """What to call whoever asks: as the account calls itself, unless somebody is called so."""
    names = {each.principal_id: each.name for each in context.desk.view().people}
    if owner in names:
        return names[owner]
    taken = context.sender.lower() in map(str.lower, names.values())
    return account if taken else context.sender or account


@command("role", role=Role.ADMIN, kind=Kind.CRITICAL)
async def role_(
    context: Context,
    person: Somebody,
    role: AnyRole,
    name: Name | None = None,
    scopes: Scopes = "",
) -> Act:
    """Give somebody a role, everywhere or within scopes; nobody is the role of who may no more.

    Somebody new is named by their account; a name is what to call them from now on. Scopes bind
    their rights to a bot, chat, topic, server or channel; elsewhere they only look.

    Example: /role telegram:123456 trader ann bot:shortseller_001
    """
    wanted = _set_role(context.desk, person, Role[role.upper()], name, scopes)
    return Act(wanted, lambda done: reply(Text(done)))


def _set_role(desk: Desk, person: str, role: Role, name: str | None, scopes: str) -> SetRole:
    view = desk.view()
    if name is not None and person_named(desk, name) not in (None, person):
        raise BadInput("name", name, "a name that nobody has yet")
    for known in view.people:
        if known.principal_id == person:
            return SetRole(person, name or known.name, role, scopes)
    surface, _, user_id = person.partition(":")
    return SetRole(person, name or person, role, scopes, surface, user_id)


def _owner(view: CoreView, surface: str, user_id: str) -> str:
    """Whose account this is or was; empty where it never was anybody's."""
    for each in view.identities:
        if (each.surface, each.user_id) == (surface, user_id):
            return each.principal_id
    return ""


# -- accounts and codes ------------------------------------------------------------------


@command("link", role=Role.NOBODY, kind=Kind.WRITE)
async def link(context: Context, code: LinkCode = "") -> Act:
    """Use the desk with another account of yours: get a one-time word here, say it there.

    Example: /link, then from the other account /link and the word
    """
    check_own_chat(context)
    if code:
        return Act(UseLinkCode(code), lambda done: reply(Text(done)))
    if context.principal.role is Role.NOBODY:
        raise Refused("Say /link with the account that the desk knows, then here with its word.")
    return Act(MakeLinkCode(), lambda done: reply(Text(done)))


@command("enroll", kind=Kind.WRITE)
async def enroll(context: Context, code: Code = "") -> Act:
    """Prove yourself with an authenticator's codes from now on: scan its picture, say a code.

    Without a code you get the picture; the first code confirms it.

    Example: /enroll, then /enroll 123456
    """
    check_own_chat(context)
    if code:
        return Act(ConfirmEnrollment(code), lambda done: reply(Text(done)))
    picture = Enrollment(context.principal.principal_id)
    return Act(BeginEnrollment(), lambda done: reply(Text(done), picture, Text(SCANNED)))


@command("unenroll", role=Role.ADMIN, kind=Kind.CRITICAL)
async def unenroll(context: Context, person: PersonId) -> Act:
    """Ask somebody for no codes any more, say because their phone is lost.

    Example: /unenroll ann
    """
    return Act(EndEnrollment(person), lambda done: reply(Text(done)))


def _parse_locked_out(field: str, word: str, desk: Desk) -> str:
    """Somebody known. What has digits may be a code mistyped, which is said back to nobody."""
    known = person_named(desk, word)
    if known is not None and not is_code(word):
        return known
    if any(letter.isdigit() for letter in word):
        raise BadInput("code", word, "the six digits that your authenticator shows")
    raise Refused(f"There is nobody called {word!r}, and it is no code of six digits.")


LOCKED_OUT = replace(PERSON, parse=_parse_locked_out)


@command("unlock", kind=Kind.WRITE)
async def unlock(context: Context, person: Annotated[str, LOCKED_OUT] = "", code: Code = "") -> Act:
    """Open your session with a code, or, as an admin, let in somebody who is locked out.

    Example: /unlock 123456, or /unlock ann
    """
    if code and person:
        raise Refused(OWN_OR_THEIRS)
    if person:
        return Act(UnlockPerson(person), lambda done: reply(Text(done)))
    if not code:
        raise Refused("code is missing: the six digits that your authenticator shows.")
    check_unseen(context)
    return Act(OpenSession(code), lambda done: reply(Text(done)))


@command("lock", kind=Kind.WRITE, always=True, alone=True)
async def lock(context: Context, person: PersonId = "") -> Act:
    """Close your own session at once; an admin locks anybody out.

    Example: /lock, or /lock ann
    """
    whom = person or context.principal.principal_id
    if whom == OPERATOR:
        raise Refused("The console has no session: leave it with Ctrl-D.")
    return Act(LockPerson(whom), lambda done: reply(Text(done)))


# -- who is here -------------------------------------------------------------------------


@command("people", role=Role.ADMIN)
async def people(context: Context) -> Reply:
    """Who may use this desk: role, scopes, accounts, and whether they are enrolled or locked out.

    Example: /people
    """
    view = context.desk.view()
    now = context.desk.clock.now()
    columns = ("name", "role", "where", "accounts", "enrolled", "locked_out", "id")
    rows = tuple(_row(view, person, now) for person in view.people)
    return reply(Table("People", columns, rows, empty="Nobody but the console."))


def _row(view: CoreView, person: Person, now: int) -> tuple[Value, ...]:
    return (
        person.name,
        person.role.word,
        person.scopes or "everywhere",
        _accounts(view, person.principal_id),
        person.enrolled,
        locked_out(person, now),
        person.principal_id,
    )


def _accounts(view: CoreView, principal_id: str) -> str | None:
    accounts = (
        f"{each.surface}:{each.user_id}"
        for each in view.identities
        if each.principal_id == principal_id
    )
    return ", ".join(sorted(accounts)) or None


@command("whoami", role=Role.NOBODY)
async def whoami(context: Context) -> Reply:
    """Your id, your role, where you speak from, and how you prove who you are.

    Example: /whoami
    """
    who = context.principal
    fields: dict[str, Value] = {
        "id": who.id,
        "role": who.role.word,
        "surface": context.surface,
    }
    if who.role is Role.NOBODY:
        ask = (Button("Ask for access", "/access"),)
        return reply(Fields("You", fields), Text(STRANGER), buttons=ask)
    if who.name and who.name != who.id:
        fields = {"name": who.name, **fields}
    view = context.desk.view()
    for person in view.people:
        if person.principal_id == who.principal_id:
            fields |= _standing(view, person, context.desk.clock.now())
    return reply(Fields("You", fields))


def _standing(view: CoreView, person: Person, now: int) -> dict[str, Value]:
    until = view.sessions.get(person.principal_id, 0)
    session = f"open until {show(Time(until))}" if until > now else "closed: say /unlock and a code"
    fields: dict[str, Value] = {
        "where": person.scopes or "everywhere",
        "accounts": _accounts(view, person.principal_id),
        "enrolled": person.enrolled,
        "session": session if person.enrolled else "open, no code is needed",
    }
    if out := locked_out(person, now):
        fields["locked_out"] = out
    return fields
