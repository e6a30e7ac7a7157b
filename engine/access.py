"""Who may do what: roles, linked accounts, codes, sessions and lock-outs.

Pure functions of the core's memory, like `booking`. Times are wall time, UTC ms.
"""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import replace

from engine import totp
from engine.audit import Act
from engine.effect import (
    Audit,
    Done,
    Effect,
    NotDone,
    Notice,
    NoticeKind,
    Notify,
    Outcome,
    Record,
)
from engine.event import PeopleNamed
from engine.instruction import (
    BeginEnrollment,
    ConfirmEnrollment,
    EndEnrollment,
    Instruction,
    LockPerson,
    MakeLinkCode,
    OpenSession,
    SetRole,
    UnlockPerson,
    UseLinkCode,
)
from engine.keys import derive
from engine.memory import LinkCode, Memory, OfficeState, Security
from engine.people import (
    OPERATOR,
    UNTIL_UNLOCKED,
    Asker,
    Identity,
    Origin,
    Person,
    PrincipalKind,
    Role,
    beyond,
)

SESSION_MS = 30 * 60_000
LINK_CODE_MS = 10 * 60_000
# How long a seed is offered: who finds the picture later has a picture of nothing.
ENROLLMENT_MS = 10 * 60_000
# Bad codes and phrases, within so long, and how long nobody can try again.
BAD_TRIES_MAX, BAD_TRIES_MS = 5, 15 * 60_000
LOCKED_OUT_MS = 15 * 60_000
# Words that nobody has asked for any more are forgotten; more than these is a script's doing.
LINK_CODES_MAX = 100

Errand = (
    SetRole
    | MakeLinkCode
    | UseLinkCode
    | BeginEnrollment
    | ConfirmEnrollment
    | EndEnrollment
    | OpenSession
    | LockPerson
    | UnlockPerson
)


def run(memory: Memory, errand: Errand, asker: Asker, ts: int) -> Outcome:
    """Do what is asked for about people; the answer, and what is to be stored and told."""
    match errand:
        case SetRole():
            return _set_role(memory, errand, ts)
        case MakeLinkCode():
            return _make_link_code(memory, asker, ts)
        case UseLinkCode(code):
            return _use_link_code(memory, code, asker, ts)
        case BeginEnrollment():
            return _begin_enrollment(memory, asker, ts)
        case ConfirmEnrollment(code):
            return _confirm_enrollment(memory, code, asker, ts)
        case EndEnrollment(principal_id):
            return _end_enrollment(memory, principal_id, ts)
        case OpenSession(code):
            return _open_session(memory, code, asker, ts)
        case LockPerson(principal_id):
            return _lock(memory, principal_id, asker, ts)
        case UnlockPerson(principal_id):
            return _unlock(memory, principal_id, ts)


# -- who it is ---------------------------------------------------------------------------


def role_of(memory: Memory, asker: Asker) -> Role:
    """What somebody may do now, whatever it was when they asked."""
    if not _is_known_by_account(asker):
        return asker.principal.role
    person = _person(memory.office, asker)
    return person.role if person else Role.NOBODY


def is_locked(memory: Memory, principal_id: str, ts: int) -> bool:
    guard = memory.office.security.get(principal_id)
    return guard is not None and guard.locked_until > ts


def is_locked_by_hand(memory: Memory, principal_id: str) -> bool:
    guard = memory.office.security.get(principal_id)
    return guard is not None and guard.locked_until == UNTIL_UNLOCKED


def locked_until(memory: Memory, principal_id: str) -> int:
    """Until when somebody is locked out, UTC ms."""
    guard = memory.office.security.get(principal_id)
    return guard.locked_until if guard else 0


def is_enrolled(memory: Memory, principal_id: str) -> bool:
    guard = memory.office.security.get(principal_id)
    return guard is not None and guard.generation > 0


def principal_of(asker: Asker) -> str:
    """Which human it is; everybody at the console is the one who may open the desk's files."""
    return OPERATOR if asker.surface == "console" else asker.principal.principal_id


def out_of_scope(memory: Memory, asker: Asker, bot_id: str) -> str:
    """Why somebody may only look here, or may not touch this bot; empty when they may."""
    person = _person(memory.office, asker) if _is_known_by_account(asker) else None
    return beyond(person, asker.address, asker.place, bot_id) if person else ""


def _is_known_by_account(asker: Asker) -> bool:
    return asker.principal.kind is PrincipalKind.PERSON and asker.surface != "console"


def _person(office: OfficeState, asker: Asker) -> Person | None:
    """Whose account the asker's is; None for a stranger, or where it changed hands since."""
    identity = office.identities.get(f"{asker.surface}:{asker.principal.id}")
    if identity is None or identity.principal_id != asker.principal.principal_id:
        return None
    return office.people.get(identity.principal_id)


def owner_of(memory: Memory, asker: Asker) -> str:
    """Whose the asking account is, whatever they may do now; empty where it is nobody's."""
    identity = memory.office.identities.get(f"{asker.surface}:{asker.principal.id}")
    return identity.principal_id if identity else ""


def _guard(memory: Memory, principal_id: str) -> Security:
    """What guards somebody, to be changed now."""
    return memory.touch_office().security.setdefault(principal_id, Security())


def asks_for_self(memory: Memory, instruction: Instruction, asker: Asker) -> bool:
    """Whether somebody asks for a role for themselves alone, by the very account they ask with."""
    account = f"{asker.surface}:{asker.principal.id}"
    return (
        isinstance(instruction, SetRole)
        and asker.principal.kind is PrincipalKind.PERSON
        and f"{instruction.surface}:{instruction.user_id}" == account
        and instruction.principal_id == (owner_of(memory, asker) or account)
        and Role.NOBODY < instruction.role < Role.ADMIN
    )


# -- proof -------------------------------------------------------------------------------


def session_refusal(memory: Memory, principal_id: str, ts: int) -> str:
    """Why somebody with an authenticator has to prove themselves first; empty where they need not.

    Whoever acts keeps their session open.
    """
    if not is_enrolled(memory, principal_id):
        return ""
    guard = _guard(memory, principal_id)
    if guard.open_until <= ts:
        return "Your session is closed. Say /unlock and the code of your authenticator first."
    guard.open_until = ts + SESSION_MS
    return ""


def prove(memory: Memory, asker: Asker, code: str, ts: int) -> tuple[str, list[Effect]]:
    """Check an authenticator's code, once for ever; why it does not hold, empty where it does.

    RFC 6238 §5.2: a code that was accepted is not accepted again.
    """
    principal_id = principal_of(asker)
    guard = _guard(memory, principal_id)
    if not code:
        return "The code of your authenticator is missing.", []
    seed = totp.seed(memory.policy.secret, principal_id, guard.generation)
    step = totp.step_of(seed, code, ts)
    if step is None:
        return bad_try(memory, asker, "That code is wrong.", ts)
    if step <= guard.last_step:
        return "That code was used already. Wait for the next one.", []
    guard.last_step = step
    guard.open_until = ts + SESSION_MS
    guard.bad_tries.clear()
    return "", []


def bad_try(memory: Memory, asker: Asker, reason: str, ts: int) -> tuple[str, list[Effect]]:
    """Count a wrong code or phrase; the reason, and a lock-out where it was one too many."""
    principal_id = principal_of(asker)
    if asker.surface == "console" or not principal_id:
        return reason, []
    guard = _guard(memory, principal_id)
    guard.bad_tries = [tried for tried in guard.bad_tries if tried > ts - BAD_TRIES_MS]
    guard.bad_tries.append(ts)
    left = BAD_TRIES_MAX - len(guard.bad_tries)
    if left > 0:
        return f"{reason} {left} more and you are locked out.", []
    guard.bad_tries.clear()
    effects = _lock_until(memory, principal_id, ts + LOCKED_OUT_MS, ts)
    minutes = LOCKED_OUT_MS // 60_000
    text = f"{asker.called} is locked out for {minutes} minutes: {BAD_TRIES_MAX} wrong tries."
    return (
        f"{reason} That was one too many: you are locked out for {minutes} minutes.",
        [*effects, *_alert(asker.actor, "locked out", text, ts)],
    )


def _lock_until(memory: Memory, principal_id: str, until: int, ts: int) -> list[Effect]:
    guard = _guard(memory, principal_id)
    guard.locked_until = until
    guard.open_until = 0
    return _keep(memory, principal_id, locked_until=until)


def _keep(memory: Memory, principal_id: str, **values: object) -> list[Effect]:
    """Remember a person with some of it changed; what is to be stored."""
    office = memory.touch_office()
    person = office.people.get(principal_id)
    if person is None:
        return []
    office.people[principal_id] = replace(person, **values)  # type: ignore[arg-type]
    return [Record(office.people[principal_id])]


def _alert(actor: str, action: str, text: str, ts: int) -> list[Effect]:
    return [Audit(Act(ts, actor, action, text)), Notify(Notice(NoticeKind.SECURITY, ts, text=text))]


# -- codes and sessions ------------------------------------------------------------------


def _begin_enrollment(memory: Memory, asker: Asker, ts: int) -> Outcome:
    principal_id = asker.principal.principal_id
    if not principal_id or asker.surface == "console":
        return NotDone("An authenticator belongs to a person of the desk, in a chat."), []
    guard = _guard(memory, principal_id)
    if guard.generation:
        return NotDone(
            "You are enrolled. If your phone is lost, an admin says /unenroll, then enroll again."
        ), []
    guard.generations += 1
    guard.offered, guard.offered_at = guard.generations, ts
    return Done("Scan the picture with an authenticator, then say /enroll and its code."), []


def _confirm_enrollment(memory: Memory, code: str, asker: Asker, ts: int) -> Outcome:
    principal_id = asker.principal.principal_id
    guard = _guard(memory, principal_id)
    if not _is_offered(guard, ts):
        return NotDone("There is nothing to confirm. Say /enroll first."), []
    seed = totp.seed(memory.policy.secret, principal_id, guard.offered)
    step = totp.step_of(seed, code, ts)
    if step is None:
        reason, effects = bad_try(memory, asker, "That code is wrong.", ts)
        return NotDone(reason), effects
    guard.generation, guard.offered = guard.offered, 0
    guard.last_step = step
    guard.open_until = ts + SESSION_MS
    text = f"{asker.called} proves themselves with an authenticator from now on."
    return Done("You are enrolled, and your session is open for 30 minutes."), [
        *_keep(memory, principal_id, enrolled=True),
        *_alert(asker.actor, "enrolled", text, ts),
    ]


def _end_enrollment(memory: Memory, principal_id: str, ts: int) -> Outcome:
    person = memory.office.people.get(principal_id)
    if person is None or not is_enrolled(memory, principal_id):
        return NotDone(f"{principal_id} has no authenticator."), []
    guard = _guard(memory, principal_id)
    guard.generation = guard.offered = guard.open_until = 0
    text = f"{person.name} is asked for no codes any more."
    return Done(text), [
        *_keep(memory, principal_id, enrolled=False),
        *_alert("desk", "unenrolled", text, ts),
    ]


def _is_offered(guard: Security, ts: int) -> bool:
    return guard.offered > 0 and ts < guard.offered_at + ENROLLMENT_MS


def enrollment(memory: Memory, principal_id: str, ts: int) -> str | None:
    """The otpauth URI of an enrollment that waits for its first code."""
    guard = memory.office.security.get(principal_id)
    person = memory.office.people.get(principal_id)
    if guard is None or person is None or not _is_offered(guard, ts):
        return None
    return totp.uri(totp.seed(memory.policy.secret, principal_id, guard.offered), person.name)


def _open_session(memory: Memory, code: str, asker: Asker, ts: int) -> Outcome:
    if not is_enrolled(memory, principal_of(asker)):
        return NotDone(
            "You have no authenticator: your session needs no code. /enroll adds one."
        ), []
    refusal, effects = prove(memory, asker, code, ts)
    if refusal:
        return NotDone(refusal), effects
    return Done("Your session is open for 30 minutes after your last command."), effects


def _lock(memory: Memory, principal_id: str, asker: Asker, ts: int) -> Outcome:
    """One's own session ends; somebody else is locked out until they are let in again."""
    own = principal_of(asker)
    if principal_id in ("", own):
        if is_enrolled(memory, own):
            _guard(memory, own).open_until = 0
            return Done("Your session is closed. /unlock and a code opens it."), []
        principal_id = own
    elif role_of(memory, asker) < Role.ADMIN:
        return NotDone("Only an admin locks somebody else."), []
    person = memory.office.people.get(principal_id)
    if person is None:
        return NotDone(f"There is nobody called {principal_id!r}."), []
    if asker.surface != "console" and not _others_left(memory, principal_id, ts):
        return NotDone(
            f"{person.name} is the only admin who can act: only the console locks them out."
        ), []
    text = f"{person.name} is locked out by {asker.called}, until an admin says /unlock."
    return Done(text), [
        *_lock_until(memory, principal_id, UNTIL_UNLOCKED, ts),
        *_alert(asker.actor, "locked out", text, ts),
    ]


def _others_left(memory: Memory, principal_id: str, ts: int) -> bool:
    """Whether an admin who can act is left without this person."""
    office = memory.office
    reachable = _reachable_admins(office.people.values(), office.identities.values())
    return (
        any(each != principal_id and not is_locked(memory, each, ts) for each in reachable)
        or principal_id not in reachable
    )


def _unlock(memory: Memory, principal_id: str, ts: int) -> Outcome:
    person = memory.office.people.get(principal_id)
    if person is None or not is_locked(memory, principal_id, ts):
        return NotDone(f"{principal_id} is not locked out."), []
    guard = _guard(memory, principal_id)
    guard.locked_until = 0
    guard.bad_tries.clear()
    text = f"{person.name} is not locked out any more."
    return Done(text), [
        *_keep(memory, principal_id, locked_until=0),
        *_alert("desk", "unlocked", text, ts),
    ]


# -- accounts ----------------------------------------------------------------------------


def _make_link_code(memory: Memory, asker: Asker, ts: int) -> Outcome:
    if not _is_known_by_account(asker):
        return NotDone(
            "Say /link in a chat: it links another account to the one you say it with."
        ), []
    office = memory.touch_office()
    principal_id = asker.principal.principal_id
    # One at a time each: the last one made is the one that counts.
    office.links = {
        key: link
        for key, link in office.links.items()
        if link.expires_at > ts and link.principal_id != principal_id
    }
    if len(office.links) >= LINK_CODES_MAX:
        return NotDone("Too many codes wait to be used. Try again in ten minutes."), []
    office.links_made += 1
    made = derive(memory.policy.secret, "link", principal_id, str(office.links_made), str(ts))
    word = base64.b32encode(made[:5]).decode()
    code = f"{word[:4]}-{word[4:]}"
    office.links[_link_key(code)] = LinkCode(principal_id, ts + LINK_CODE_MS)
    text = f"Within 10 minutes, from your other account: /link {code}"
    return Done(text, audited="a code to link an account was made"), []


def _use_link_code(memory: Memory, code: str, asker: Asker, ts: int) -> Outcome:
    office = memory.touch_office()
    link = office.links.get(_link_key(code))
    if not asker.principal.id or asker.surface == "console":
        return NotDone("Only an account of a chat platform can be linked."), []
    if asker.address is None or asker.address.chat_id != asker.principal.id:
        # Others have read it.
        office.links.pop(_link_key(code), None)
        return NotDone("Say that in a private chat. Whoever could read it: the code is spent."), []
    if refusal := session_refusal(memory, owner_of(memory, asker), ts):
        return NotDone(refusal), []
    if link is None or link.expires_at <= ts:
        reason, effects = bad_try(memory, asker, "That code is not good, or not any more.", ts)
        return NotDone(reason), effects
    del office.links[_link_key(code)]
    before = office.identities.get(f"{asker.surface}:{asker.principal.id}")
    if before is not None and before.principal_id == link.principal_id:
        return NotDone("This account is yours already."), []
    identity = Identity(asker.surface, asker.principal.id, link.principal_id)
    refusal = _last_admin(office, identity=identity)
    if refusal:
        return NotDone(refusal), []
    office.identities[f"{identity.surface}:{identity.user_id}"] = identity
    owner = office.people[link.principal_id]
    text = f"The {asker.surface} account {asker.principal.id} is {owner.name}'s from now on."
    return Done(f"{text} You are {owner.role.word} with it."), [
        Record(identity),
        *_alert(asker.actor, "linked", text, ts),
    ]


def _link_key(code: str) -> str:
    word = "".join(letter for letter in code.upper() if letter.isalnum())
    return hashlib.sha256(word.encode()).hexdigest()


# -- roles -------------------------------------------------------------------------------


def _set_role(memory: Memory, errand: SetRole, ts: int) -> Outcome:
    office = memory.touch_office()
    account = f"{errand.surface}:{errand.user_id}" if errand.user_id else ""
    owned = office.identities.get(account)
    principal_id = errand.principal_id
    if owned is not None and owned.principal_id not in ("", principal_id):
        return NotDone(f"{account} is an account of {owned.principal_id} already."), []
    before = office.people.get(principal_id)
    if before is None and not account:
        return NotDone(f"There is nobody called {principal_id!r}."), []
    person = Person(
        principal_id=principal_id,
        name=_name(errand, before),
        role=errand.role,
        origin=Origin.DESK,
        scopes=errand.scopes,
        enrolled=before.enrolled if before else False,
        locked_until=before.locked_until if before else 0,
    )
    if refusal := _last_admin(office, person=person):
        return NotDone(refusal), []
    office.people[principal_id] = person
    effects: list[Effect] = [Record(person)]
    if account:
        office.identities[account] = Identity(errand.surface, errand.user_id, principal_id)
        effects.append(Record(office.identities[account]))
    where = f", only within {person.scopes}" if person.scopes else ""
    text = f"{person.name} is {person.role.word} now{where}."
    return Done(text), [*effects, *_alert("desk", "role", text, ts)]


def _name(errand: SetRole, before: Person | None) -> str:
    """What somebody is called: whoever is known is renamed by an admin, and not by themselves."""
    if before is not None and (errand.user_id or not errand.name):
        return before.name
    return errand.name or errand.principal_id


def leaves_no_admin(memory: Memory, principal_id: str, role: Role) -> str:
    """Why somebody can't have this role; empty where they can."""
    return _last_admin(memory.office, Person(principal_id, principal_id, role))


def _last_admin(
    office: OfficeState, person: Person | None = None, identity: Identity | None = None
) -> str:
    """Why a change is refused that would leave no admin with an account; empty when one is left."""
    people = dict(office.people)
    identities = dict(office.identities)
    if person is not None:
        people[person.principal_id] = person
    if identity is not None:
        identities[f"{identity.surface}:{identity.user_id}"] = identity
    was_one = _reachable_admins(office.people.values(), office.identities.values())
    if _reachable_admins(people.values(), identities.values()) or not was_one:
        return ""
    return "That would leave the desk without an admin who can be reached in a chat."


def _reachable_admins(people: Iterable[Person], identities: Iterable[Identity]) -> set[str]:
    admins = {person.principal_id for person in people if person.role is Role.ADMIN}
    return admins & {identity.principal_id for identity in identities}


def named(memory: Memory, event: PeopleNamed) -> list[Effect]:
    """Bring people to what the settings say, where the settings say something new.

    What was decided at the desk stands until the settings change; whom the settings name no
    longer may do nothing any more.
    """
    office = memory.touch_office()
    effects: list[Effect] = []
    wanted = {person.principal_id: person for person in event.people}
    for principal_id, person in wanted.items():
        said = f"{person.role.word} {person.scopes}"
        known = office.people.get(principal_id)
        if known is None or office.named.get(principal_id) != said:
            guard = office.security.get(principal_id, Security())
            person = replace(person, enrolled=guard.generation > 0, locked_until=guard.locked_until)
            office.people[principal_id] = person
        office.named[principal_id] = said
        effects.append(Record(office.people[principal_id]))
    for principal_id in [each for each in office.named if each not in wanted]:
        del office.named[principal_id]
        effects += _keep(memory, principal_id, role=Role.NOBODY)
    accounts = {f"{each.surface}:{each.user_id}": each for each in event.identities}
    for account, identity in accounts.items():
        if office.named_identities.get(account) != identity.principal_id:
            office.identities[account] = identity
        office.named_identities[account] = identity.principal_id
        effects.append(Record(office.identities[account]))
    for account in [each for each in office.named_identities if each not in accounts]:
        owner = office.named_identities.pop(account)
        if office.identities[account].principal_id == owner:
            given_back = replace(office.identities[account], principal_id="")
            office.identities[account] = given_back
            effects.append(Record(given_back))
    return effects
