"""People: who may do what, and by which accounts of which platform they are known."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """Who may do what; a higher role may do all that a lower one may."""

    NOBODY = 0
    VIEWER = 1
    TRADER = 2
    ADMIN = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may use the desk; with the role NOBODY they may no more."""

    principal_id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Identity:
    """An account on a platform, by its numeric id, and whose it is."""

    surface: str
    user_id: str
    principal_id: str
