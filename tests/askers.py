"""Those who ask the desk for something, as the doors would name them."""

from decimal import Decimal

from engine.mail import Address
from engine.memory import Policy
from engine.people import OPERATOR, Asker, Identity, Person, Principal, PrincipalKind, Role

POLICY = Policy(secret=b"a secret of a desk that is tried", taker_fee=Decimal("0.00055"))
OPERATING = Asker(
    Principal(PrincipalKind.PERSON, "root", Role.ADMIN, principal_id=OPERATOR), "console"
)


def person(name: str, role: Role, scopes: str = "") -> Person:
    return Person(name, name, role, scopes=scopes)


def account(name: str, surface: str = "telegram") -> Identity:
    """One account a platform, its id made of the name."""
    return Identity(surface, user_id(name), name)


def user_id(name: str) -> str:
    return str(sum(ord(letter) << (8 * place) for place, letter in enumerate(name)))


def asking(
    who: Person, surface: str = "telegram", chat_id: str | None = None, place: str = ""
) -> Asker:
    """Somebody in a chat, their own if none is named."""
    own = user_id(who.name)
    principal = Principal(PrincipalKind.PERSON, own, who.role, who.name, who.principal_id)
    return Asker(principal, surface, Address(surface, own if chat_id is None else chat_id), place)
