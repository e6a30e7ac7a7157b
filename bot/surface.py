"""What the desk expects of a chat platform, and how sending to one can fail."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bot.letter import Letter
from bot.redact import redact
from bot.render import Drawn
from bot.update import Update
from engine.errors import CountersignError, Unreachable
from engine.mail import Address
from handlers.command import Principal
from handlers.reply import Reply

# The pictures of a reply, in order; None stands for one that could not be drawn.
Draw = Callable[[Reply], Awaitable[Sequence[Drawn | None]]]


# Tells people, wherever they can still be reached, what is wrong with a platform.
Trouble = Callable[[str], Awaitable[None]]
# Keeps updates, to be answered; returns once they are stored.
Take = Callable[[Sequence[Update]], Awaitable[None]]


class Throttled(CountersignError):
    """The platform asks for patience: nothing was sent, try again after `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the platform asks to wait {seconds:g} s")
        self.seconds = seconds


class NotSent(Unreachable):
    """The platform could not be reached, and surely got nothing."""


class PlatformRefused(CountersignError):
    """What a platform would not do, in its words, but for what looks like a secret in them:
    a proxy may say back what it was asked, and people and tables are told."""

    def __init__(self, said: str) -> None:
        super().__init__(redact(said))


class PartlySent(Unreachable):
    """The first messages of a letter went out, a later one did not; wait for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__("only part of it was sent")
        self.seconds = seconds


class BadMarkup(PlatformRefused):
    """The platform can't read the markup; as plain text it may."""


class Undeliverable(PlatformRefused):
    """This message will never be taken; others may."""


class ChatGone(PlatformRefused):
    """Nothing can be sent to this chat any more: blocked, kicked, deleted, moved."""


class SurfaceEnded(PlatformRefused):
    """The platform will not have this bot: its token is wrong or revoked. No retry mends it."""


class Surface(Protocol):
    """One chat platform."""

    name: str

    async def run(self, take: Take) -> None:
        """Hand over what people say until canceled; raises SurfaceEnded where that is no use."""
        ...

    async def send(self, address: Address, letter: Letter, *, plain: bool, nonce: str) -> str:
        """Send a letter; the id of its message. `nonce` is the same each time it is tried.

        One that replaces a message which is gone is posted anew. Raises one of the errors above;
        Unreachable itself where it may have arrived.
        """
        ...

    async def renew(
        self, address: Address, message_id: str, letter: Letter, *, plain: bool
    ) -> None:
        """Put a letter in the place of a message of ours; nothing where that is gone.

        Raises one of the errors above.
        """
        ...

    async def forget(self, address: Address, message_id: str) -> bool:
        """Delete a message; whether it is gone: a platform does not let us delete them all.

        Raises Unreachable where that may be tried again.
        """
        ...

    def condition(self) -> tuple[bool, str]:
        """Whether the platform is connected, and how it is in words."""
        ...

    def is_open(self, address: Address) -> bool:
        """Whether the settings open this chat, whatever people have subscribed."""
        ...

    def admit(self, update: Update) -> Principal | None:
        """Who sent an update, where the gate lets it pass as it stands now; None otherwise."""
        ...
