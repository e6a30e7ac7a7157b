"""Proving who one is: where that may be said, and who is locked out."""

from engine.errors import Refused
from engine.mail import ChatKind
from engine.people import UNTIL_UNLOCKED, Person
from engine.proposal import Way
from handlers.command import Context
from handlers.reply import Time, Value

PRIVATELY = "Say that to me in a private chat."
NOT_HERE = "Say that in a private chat in Telegram or Discord; the console needs none."


def check_own_chat(context: Context) -> None:
    """Raise Refused anywhere but in somebody's private chat on a platform."""
    if context.address is None:
        raise Refused(NOT_HERE)
    if context.chat_kind is not ChatKind.PRIVATE:
        raise Refused(PRIVATELY)


def check_unseen(context: Context) -> None:
    """Raise Refused where others can read a code that was typed; nobody reads forms."""
    if context.address is not None and context.way is not Way.FORM:
        check_own_chat(context)


def locked_out(person: Person, now: int) -> Value:
    """Until when somebody is locked out; None where they are not."""
    if person.locked_until <= now:
        return None
    return Time(person.locked_until) if person.locked_until < UNTIL_UNLOCKED else "until unlocked"
