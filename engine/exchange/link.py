"""Whether an exchange account is heard: why not, as all of ours that share it are told."""

from collections.abc import Callable
from enum import IntEnum


class Cause(IntEnum):
    """Why an account can't be heard, what a person has to mend first."""

    ACCOUNT = 1
    KEY = 2
    TOPIC = 3
    OFFLINE = 4
    CLOCK = 5
    UNREAD = 6
    BEHIND = 7
    CONNECTING = 8


# On the way up: said only where nothing worse was.
PASSING = (Cause.BEHIND, Cause.CONNECTING)


class Link:
    """Gathers the causes and tells the first of them when that changes, and when there is none."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._causes = {Cause.CONNECTING: "connecting"}
        self._told: Cause | None = None
        # Counts the connections, so that what was read for one does not speak for the next.
        self.connections = 0

    @property
    def down(self) -> str:
        """Why the account can't be heard at this moment; empty where it can."""
        return self._causes[min(self._causes)] if self._causes else ""

    def begin(self) -> None:
        """Say that there is no connection yet."""
        self._say()

    def fails(self, cause: Cause, reason: str) -> None:
        self._causes[cause] = reason
        self._say()

    def mends(self, cause: Cause) -> None:
        if self._causes.pop(cause, None) is not None:
            self._say()

    def connected(self) -> None:
        """The stream is up; what was missed has still to be read."""
        self.connections += 1
        self._causes[Cause.BEHIND] = "what was missed is being read"
        for cause in (Cause.CONNECTING, Cause.OFFLINE, Cause.KEY):
            self._causes.pop(cause, None)
        self._say()

    def read(self, connections: int) -> None:
        """All was read that was missed until the connection counted so."""
        self._causes.pop(Cause.UNREAD, None)
        if connections == self.connections:
            self._causes.pop(Cause.BEHIND, None)
        self._say()

    def _say(self) -> None:
        first = min(self._causes, default=None)
        if first is self._told or (first in PASSING and self._told is not None):
            return
        self._told = first
        self._tell(self.down)
