"""Small cores to tell things to, and short ways to read what they answer."""

from decimal import Decimal
from typing import TypeVar

from engine.bot import Bot
from engine.core import Core
from engine.effect import Effect, Record, Sample, Submit
from engine.event import Executed, OrderAccepted
from engine.order import Order, Side
from engine.ports import StateRow
from tests.askers import POLICY
from tests.engine.conftest import (
    BAR,
    BTC,
    BUY_NOW,
    SELL,
    SELL_NOW,
    bar,
    bot,
    closed,
    execution,
    instrument,
)

T = TypeVar("T")
ETH = "ETHUSDT"


def core(*bots: Bot, interval: int = BAR, **rules: object) -> Core:
    bots = bots or (bot(),)
    instruments = {symbol: instrument(symbol, **rules) for b in bots for symbol in b.symbols}
    return Core(bots, instruments, interval, "paper", "test", POLICY)


def of(kind: type[T], effects: list[Effect]) -> list[T]:
    """The facts of a kind that are to be stored, or the effects of a kind."""
    facts = [effect.fact for effect in effects if isinstance(effect, Record | Sample)]
    return [item for item in [*facts, *effects] if isinstance(item, kind)]


def candle(
    desk: Core, index: int, price: float = 100, wish: float = 0, symbol: str = BTC
) -> list[Effect]:
    return desk.step(closed(bar(index, price, volume=wish), symbol))


def filled(desk: Core, placed: Order, price: float = 100, ts: int | None = None) -> list[Effect]:
    """Have the exchange take an order and fill it, by default when it was made."""
    ts = placed.created_at if ts is None else ts
    desk.step(OrderAccepted(placed.account, placed.order_link_id, "P1", ts))
    return desk.step(Executed(execution(placed, price=str(price), ts=ts)))


def entered(
    desk: Core, index: int = 0, price: float = 100, side: Side = SELL, symbol: str = BTC
) -> Order:
    """Let the desk enter on bar `index` and fill its order at the price of the close."""
    wish = SELL_NOW if side is SELL else BUY_NOW
    [submit] = of(Submit, candle(desk, index, price, wish, symbol))
    filled(desk, submit.order, price)
    return submit.order


def held(desk: Core) -> dict[str, Decimal]:
    return {view.position.symbol: view.position.quantity for view in desk.view().positions}


def rows(desk: Core) -> dict[str, StateRow]:
    return {row.key: row for row in desk.dirty_states()}


def memory(desk: Core) -> object:
    """All that can be seen of a core, and all that it would store."""
    return repr((desk.view(), desk.accounts(), desk.unfinished(), desk.cursors))


def restarted(desk: Core, fresh: Core) -> Core:
    fresh.restore(rows(desk), [])
    return fresh
