"""What a button carries: at most 64 bytes, which is what Telegram takes.

A button that only looks carries its command, `r:status`, and is good for ever; so is one that
asks first, `a:alert BTCUSDT|direction,price`. One that acts, or whose command is too long, carries
the number of a stored row, `b:17`: good in its chat, for a day, and once. Beneath news the letters
are others, `n` and `m`: what they lead to is a message of its own, and the news stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.surface import NotSent
from engine.candle import DAY_MS
from engine.errors import Unreachable
from engine.mail import Address, Offer
from engine.ports import Clock, Mail
from handlers import COMMANDS
from handlers.command import Kind, find
from handlers.reply import Button

DATA_BYTES_MAX = 64
# More is no number of a database's.
NUMBER_DIGITS_MAX = 18
# What they lead to comes in the place of their card, or as a message of its own.
READ, STORED = "r", "b"
READ_BESIDE, STORED_BESIDE = "n", "m"
ASK = "a"
GOOD_FOR_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class Pressed:
    """What a pressed button asks for: a line to run, or the stored row that holds it.

    `asks` are the arguments that the line lacks; `edit` says that the answer takes the place of
    the button's card.
    """

    line: str = ""
    edit: bool = False
    offer: int = 0
    asks: tuple[str, ...] = ()


class Offers:
    """Makes the data of buttons, and keeps the rows of those that need one."""

    def __init__(self, mail: Mail, clock: Clock) -> None:
        self._mail = mail
        self._clock = clock

    async def data(self, address: Address, buttons: Sequence[Button], edit: bool) -> list[str]:
        """What each button carries; `edit` says that the answer takes the place of its card.

        Raises NotSent where those that need a row can't be kept.
        """
        short = [_short(button, READ if edit else READ_BESIDE) for button in buttons]
        stored = [button for button, data in zip(buttons, short, strict=True) if not data]
        expires_at = self._clock.now() + GOOD_FOR_MS
        rows = [
            Offer(address.surface, address.chat_id, button.command, expires_at) for button in stored
        ]
        try:
            ids = iter(await self._mail.offer(rows))
        except Unreachable as error:
            raise NotSent(f"its buttons can't be kept: {error}") from error
        kind = STORED if edit else STORED_BESIDE
        return [data or f"{kind}:{next(ids)}" for data in short]


def pressed(data: str) -> Pressed | None:
    """What a button's data says; None for data that no button of ours carries."""
    kind, _, rest = data.partition(":")
    is_number = rest.isascii() and rest.isdigit() and len(rest) <= NUMBER_DIGITS_MAX
    if kind in (STORED, STORED_BESIDE) and is_number:
        return Pressed(offer=int(rest), edit=kind == STORED)
    if kind in (READ, READ_BESIDE) and _only_looks(rest.split()):
        return Pressed(line=f"/{rest}", edit=kind == READ)
    if kind == ASK and "|" in rest:
        command, _, asks = rest.partition("|")
        return _asking(command.split(), tuple(asks.split(",")))
    return None


def _asking(words: Sequence[str], asks: tuple[str, ...]) -> Pressed | None:
    """What is asked for, where the command has such arguments."""
    found = find(COMMANDS, words) if words else None
    if found is None or not set(asks) <= {argument.name for argument in found[0].arguments}:
        return None
    return Pressed(line=f"/{' '.join(words)}", asks=asks)


def _only_looks(words: Sequence[str]) -> bool:
    found = find(COMMANDS, words) if words else None
    return found is not None and found[0].kind is Kind.READ


def _short(button: Button, kind: str) -> str:
    """The data of a button that needs no row; empty where it does."""
    words = button.command.removeprefix("/").split()
    if button.asks:
        data = f"{ASK}:{' '.join(words)}|{','.join(button.asks)}"
    elif _only_looks(words):
        data = f"{kind}:{' '.join(words)}"
    else:
        return ""
    return data if len(data.encode()) <= DATA_BYTES_MAX else ""
