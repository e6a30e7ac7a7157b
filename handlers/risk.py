"""Risk: how each layer stands, what is locked and until when, and what people may open again."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from engine.board import BoardView, LayerView, RiskView
from engine.bot import BotStatus
from engine.instruction import ClearCooldown, LiftLocks, ResetBreaker
from engine.layers import LOSS_NAMES
from engine.limits import Step
from engine.people import Role
from engine.view import CoreView
from handlers.command import Act, BotId, Context, Kind, Symbol, command, one_of
from handlers.reply import (
    Block,
    Button,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
)

STATES = {Step.FREE: "free", Step.HALVED: "sizes halved", Step.STOPPED: "shut"}
RISK, LOCKS, WHY = Button("Risk", "/risk"), Button("Locks", "/locks"), Button("Why", "/why")
LIFT, CLEAR, RESET = "/lift", "/cooldown clear", "/breaker reset"
# What opens again what a layer has shut for a time.
OPENED_BY = {
    **dict.fromkeys(LOSS_NAMES.values(), CLEAR),
    "loss streak": CLEAR,
    "circuit breaker": RESET,
}
LAYERS = ("layer", "state", "until", "detail")

Clear = Annotated[str, one_of("clear")]
Reset = Annotated[str, one_of("reset")]


@command("risk")
async def risk(context: Context, bot: BotId | None = None) -> Reply:
    """Every layer of risk: free, cutting sizes or shut, with its numbers and its end.

    Of one bot, or of each. Stops, targets and exits meet none of them; /why tells what an entry
    in a symbol would meet now.

    Example: /risk, or /risk shortseller_001
    """
    board = context.desk.risk()
    shown = [each for each in board.risks if bot in (None, each.bot_id)]
    halted = context.desk.view().halted
    return reply(
        *([Text(f"The desk is halted: {halted}.")] if halted else []),
        *(Text(_verdict(context.desk.view(), each)) for each in shown),
        *(_layers(each) for each in shown),
        _caps(board),
        *_off(board),
        buttons=(LOCKS, WHY, *_openers(context, shown)),
    )


@command("locks")
async def locks(context: Context) -> Reply:
    """What keeps entries shut for a time: why, since when, until when, and what opens it before.

    Example: /locks
    """
    board = context.desk.risk()
    rows = tuple(row for each in board.risks for row in _locks(each))
    table = Table(
        "Locks", ("bot", "symbol", "until", "why", "opens_before"), rows, empty="Nothing is locked."
    )
    return reply(table, buttons=(RISK, *_openers(context, board.risks)))


@command("lift", role=Role.TRADER, kind=Kind.SENSITIVE)
async def lift(context: Context, symbol: Symbol | None = None, bot: BotId | None = None) -> Act:
    """Lift the locks of protections before their end, of a symbol or a bot, once confirmed.

    What led to them counts no more. Without a name all are lifted.

    Example: /lift, or /lift BTC, or /lift shortseller_001
    """
    return Act(LiftLocks(bot or "", symbol or ""), lambda done: reply(Text(done), buttons=(LOCKS,)))


@command("cooldown", role=Role.ADMIN, kind=Kind.CRITICAL)
async def cooldown(context: Context, action: Clear, bot: BotId | None = None) -> Act:
    """Begin anew with the limits of losses, once an admin has typed the card's phrase.

    Day, week, month, drawdown and losses in a row count from now on, of one bot or of all; the
    hard caps stay.

    Example: /cooldown clear, or /cooldown clear shortseller_001
    """
    return Act(ClearCooldown(bot or ""), lambda done: reply(Text(done), buttons=(RISK,)))


@command("breaker", role=Role.TRADER, kind=Kind.SENSITIVE)
async def breaker(context: Context, action: Reset, bot: BotId | None = None) -> Act:
    """Let entries go on that failures of the exchange have shut, once a trader has confirmed it.

    Example: /breaker reset
    """
    return Act(ResetBreaker(bot or ""), lambda done: reply(Text(done), buttons=(RISK,)))


# -- words -------------------------------------------------------------------------------


def _verdict(desk: CoreView, view: RiskView) -> str:
    """What the desk, the exchange and all layers of a bot together come to."""
    shut = list(_shut_before(desk, view.bot_id))
    step = Step.STOPPED if shut else view.step
    if step is Step.FREE:
        locked = ", ".join(sorted(_locked(desk, view)))
        return f"{view.bot_id}: entries are open{f', but for {locked}' if locked else ''}."
    by = "; ".join([*shut, *(each.layer for each in view.layers if each.step is step)])
    what = "nothing is opened" if step is Step.STOPPED else "new sizes are halved"
    return f"{view.bot_id}: {what} ({by})."


def _shut_before(desk: CoreView, bot_id: str) -> Iterator[str]:
    """What stands against entries before any limit does."""
    if desk.halted:
        yield "the desk is halted"
    if any(bot.bot_id == bot_id and bot.status is BotStatus.PAUSED for bot in desk.bots):
        yield "the bot is paused"
    for account in desk.accounts:
        if account.bot_id == bot_id and account.exchange and account.exchange.shut:
            yield account.exchange.shut


def _locked(desk: CoreView, view: RiskView) -> set[str]:
    """The symbols in which nothing is opened: by a lock, or until a person has looked."""
    found = [lock.symbol for lock in view.locks]
    for account in desk.accounts:
        if account.bot_id == view.bot_id and account.exchange:
            found += account.exchange.quarantined
    return set(filter(None, found))


def _layers(view: RiskView) -> Table:
    rows = tuple(
        (each.layer, STATES[each.step], _time(each.until), each.detail) for each in view.layers
    )
    return Table(f"Limits of {view.bot_id}", LAYERS, rows, empty="No limit is set.")


def _caps(board: BoardView) -> Block:
    rows = tuple(
        (Word(each.cap), None if each.used is None else Quantity(each.used), Quantity(each.most))
        for each in board.caps
    )
    return Table("Hard caps", ("cap", "used", "at_most"), rows, empty="No hard cap is set.")


def _off(board: BoardView) -> Iterator[Block]:
    if board.off:
        yield Text(f"Off: {', '.join(board.off)}.")


def _locks(view: RiskView) -> Iterator[tuple[Value, ...]]:
    for lock in view.locks:
        yield view.bot_id, lock.symbol or "all", Time(lock.until), lock.reason, LIFT
    for layer in _shut(view):
        until, opener = _time(layer.until), OPENED_BY[layer.layer]
        yield view.bot_id, "all", until, f"{layer.layer}: {layer.detail}", opener


def _shut(view: RiskView) -> list[LayerView]:
    """The layers that are shut and that somebody may open."""
    return [each for each in view.layers if each.step is Step.STOPPED and each.layer in OPENED_BY]


def _openers(context: Context, risks: Sequence[RiskView]) -> Iterator[Button]:
    """What opens what is shut or cut now, for whoever may say so."""
    role = context.principal.role
    shut = {OPENED_BY[each.layer] for view in risks for each in _shut(view)}
    cut = any(each.step is Step.HALVED for view in risks for each in view.layers)
    if role >= Role.TRADER and any(view.locks for view in risks):
        yield Button("Lift locks", LIFT)
    if role >= Role.TRADER and RESET in shut:
        yield Button("Reset breaker", RESET)
    if role >= Role.ADMIN and (cut or CLEAR in shut):
        yield Button("Begin anew", CLEAR)


def _time(ts: int) -> Time | None:
    return Time(ts) if ts else None
