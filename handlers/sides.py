"""What may be entered: switching strategies, bots and symbols off and on, and the side mode."""

from typing import Annotated

from engine.desk import Desk
from engine.errors import BadInput
from engine.instruction import SetSides, TurnOff, TurnOn
from engine.people import Role
from engine.signal import Sides
from engine.staff import LASTS_MAX_MS
from engine.tunable import DURATION_MS
from handlers.command import Act, ArgumentType, Context, Kind, Symbol, command, one_of
from handlers.reply import Button, Text, reply


def _parse_named(field: str, word: str, desk: Desk) -> str:
    if word.lower() in _named(desk):
        return word.lower()
    raise BadInput(field, word, ", ".join(_named(desk)))


def _named(desk: Desk) -> list[str]:
    """The bots at work, and their strategies."""
    bots = desk.view().bots
    return list(dict.fromkeys([*(b.bot_id for b in bots), *(b.strategy for b in bots)]))


def _parse_lasting(field: str, word: str, desk: Desk) -> int:
    number, unit = word[:-1], word[-1:].lower()
    lasts = int(number) * DURATION_MS.get(unit, 0) if _is_short(number) else 0
    if not 0 < lasts <= LASTS_MAX_MS:
        raise BadInput(field, word, "a time such as 30m, 12h or 7d, at most 366d")
    return lasts


def _is_short(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= 6


NAMED = ArgumentType("a strategy or a bot", _parse_named, _named, changing=True)
LASTING = ArgumentType("a time such as 12h", _parse_lasting, lambda desk: [], unsaid="for good")

Named = Annotated[str, NAMED]
Lasting = Annotated[int, LASTING]
SideWord = Annotated[str, one_of(*Sides)]


@command("strategy off", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def strategy_off(context: Context, name: Named, symbol: Symbol | None = None) -> Act:
    """Stop a bot, or all bots of a strategy, from entering a symbol (without one: any). At once.

    Open positions are still managed.

    Example: /strategy off rsi BTC
    """
    again = Button("Switch on", f"/strategy on {name} {symbol or ''}".rstrip())
    return Act(TurnOff(name, symbol or ""), lambda done: reply(Text(done), buttons=(again,)))


@command("strategy on", role=Role.TRADER, kind=Kind.SENSITIVE)
async def strategy_on(context: Context, name: Named, symbol: Symbol | None = None) -> Act:
    """Let a bot, or all bots of a strategy, enter again what was switched off, once confirmed.

    Example: /strategy on rsi BTC
    """
    return Act(TurnOn(name, symbol or ""), lambda done: reply(Text(done)))


@command("side", role=Role.TRADER, kind=Kind.SENSITIVE)
async def side(context: Context, side: SideWord, lasts: Lasting = 0) -> Act:
    """Let bots buy only, sell short only, or both, for a time of the market or for good.

    Open positions are still managed, and orders by hand may go either way.

    Example: /side long_only 12h
    """
    return Act(SetSides(Sides(side), lasts), lambda done: reply(Text(done)))
