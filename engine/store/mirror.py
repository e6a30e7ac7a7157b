"""What of a desk stands in Redis for others to read: keys, values, events.

The one place that writer and readers have these from. Nothing here is ever believed by the desk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import TypeAdapter

from engine.candle import MINUTE_MS
from engine.instrument import exact
from engine.ledger import Funding
from engine.order import ZERO, Fill, Order
from engine.position import Trade
from engine.signal import Decision
from engine.view import AccountView, BotView, CoreView

# Every value is written anew so often, whether it changed or not.
REFRESH_S = 60.0
# A value that is older was written by a desk that runs no more, or can't reach its Redis.
STALE_MS = 3 * MINUTE_MS
# What no desk keeps up goes by itself.
EXPIRES_S = 15 * 60


@dataclass(frozen=True, slots=True)
class MirroredPosition:
    """What a bot holds of a symbol: `qty` is signed, negative when short and 0 when flat.

    Prices and money are in quote currency. `last_exec_id` is the newest fill in it, `ts` (UTC ms)
    when this was written and `epoch` by which process of the desk: a lower one is of the past.
    """

    qty: Decimal
    avg_price: Decimal | None
    unrealised_pnl: Decimal
    last_exec_id: str
    ts: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class MirroredBot:
    """How a bot stands. Money is in quote currency; `halted` says why nothing may be opened."""

    account: str
    strategy: str
    status: str
    symbols: tuple[str, ...]
    balance: Decimal
    equity: Decimal
    unrealised_pnl: Decimal
    trades: int
    halted: str
    ts: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class MirroredPrice:
    """The last price that the desk saw."""

    price: Decimal
    ts: int = 0
    epoch: int = 0


Mirrored = MirroredPosition | MirroredBot | MirroredPrice
M = TypeVar("M", MirroredPosition, MirroredBot, MirroredPrice)
# What happened to a bot, and what readers are told of it.
Happened = Order | Fill | Trade | Funding | Decision
HAPPENED = (Order, Fill, Trade, Funding, Decision)


def position_key(bot_id: str, symbol: str) -> str:
    return f"position:{bot_id}:{symbol}"


def bot_key(bot_id: str) -> str:
    return f"bot:{bot_id}"


def price_key(symbol: str) -> str:
    return f"price:{symbol}"


def events_channel(bot_id: str) -> str:
    return f"events:{bot_id}"


# -- writing -----------------------------------------------------------------------------


def mirrored(
    view: CoreView, executed: Mapping[tuple[str, str], str], epoch: int
) -> dict[str, Mirrored]:
    """Every value there is now by its key, unstamped; `executed` are the newest executions by bot
    and symbol."""
    money = {account.bot_id: account for account in view.accounts}
    prices = {price_key(s): MirroredPrice(exact(p), epoch=epoch) for s, p in view.prices.items()}
    bots = {bot_key(b.bot_id): _bot(view, b, money[b.bot_id], epoch) for b in view.bots}
    return {**prices, **bots, **_positions(view, executed, epoch)}


def _bot(view: CoreView, bot: BotView, money: AccountView, epoch: int) -> MirroredBot:
    return MirroredBot(
        account=bot.account,
        strategy=bot.strategy,
        status=str(bot.status),
        symbols=bot.symbols,
        balance=money.ledger.balance,
        equity=money.equity,
        unrealised_pnl=money.unrealized,
        trades=money.ledger.trades,
        halted=view.halted,
        epoch=epoch,
    )


def _positions(
    view: CoreView, executed: Mapping[tuple[str, str], str], epoch: int
) -> dict[str, MirroredPosition]:
    found = {}
    for bot in view.bots:
        for symbol in bot.symbols:
            last = executed.get((bot.bot_id, symbol), "")
            flat = MirroredPosition(ZERO, None, ZERO, last, epoch=epoch)
            found[position_key(bot.bot_id, symbol)] = flat
    for item in view.positions:
        held = item.position
        found[position_key(held.bot_id, held.symbol)] = MirroredPosition(
            qty=held.quantity,
            avg_price=held.average_price,
            unrealised_pnl=item.unrealized,
            last_exec_id=executed.get((held.bot_id, held.symbol), ""),
            epoch=epoch,
        )
    return found


def to_text(value: Mirrored, ts: int) -> str:
    """A value as it stands in Redis, written at `ts` (UTC ms)."""
    named = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    return json.dumps(named | {"ts": ts})


def _plain(value: object) -> object:
    return f"{value:f}" if isinstance(value, Decimal) else value


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in HAPPENED}


def to_event(fact: Happened, epoch: int, number: int) -> str:
    """A message of `events:{bot_id}`: what happened, and in which commit of which process."""
    kind = type(fact)
    body = _ADAPTERS[kind].dump_python(fact, mode="json")
    return json.dumps({"kind": kind.__name__.lower(), "epoch": epoch, "commit": number, **body})


# -- reading -----------------------------------------------------------------------------


def read(kind: type[M], text: str | bytes) -> M:
    """A value out of Redis; raises ValueError for what no desk wrote."""
    value: M = TypeAdapter(kind).validate_json(text)
    return value


def is_stale(value: Mirrored, now: int) -> bool:
    """Whether no desk keeps a value up any more; `now` is UTC ms."""
    return now - value.ts > STALE_MS
