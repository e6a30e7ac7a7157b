"""Desks whose limits are in force, and short ways to lose on them.

The puppet's usual entry is 50 coins at 100: each unit of price is half a percent of the account.
"""

from dataclasses import replace

from engine.candle import MINUTE_MS
from engine.effect import Effect, NoticeKind, Submit
from engine.event import Executed, OrderAccepted
from engine.limits import NO_CAPS, NO_LIMITS, Caps, Limits
from engine.order import ZERO, Order, Reason, Side
from engine.position import Trade
from engine.signal import Decision
from engine.standing import Tally
from engine.strategies.kernel import Strategy
from tests.askers import POLICY
from tests.engine.conftest import ACCOUNT, BTC, BUY_NOW, SELL, SELL_NOW, D, bot, execution
from tests.engine.cores import ETH, of
from tests.engine.office import Office

FREE = replace(POLICY, taker_fee=ZERO)
BARS_A_DAY = 24 * 60 // 5
HOUR = 60 * MINUTE_MS
# Bars that close at the first moment of a day count to it.
NEXT_DAY = BARS_A_DAY - 1


def limited(
    limits: Limits = NO_LIMITS,
    caps: Caps = NO_CAPS,
    symbols: tuple[str, ...] = (BTC, ETH),
    strategy: Strategy | None = None,
) -> Office:
    """A desk of one bot whose account is under limits; orders cost nothing."""
    policy = replace(FREE, limits=limits, caps=caps)
    return Office(policy=policy, bots=[bot(strategy, symbols=symbols)])


def tally(office: Office) -> Tally:
    return office.core.accounts()[ACCOUNT].tally


def wish(
    office: Office, index: int, symbol: str = ETH, side: Side = SELL, price: float = 100
) -> Decision:
    """What becomes of the strategy's wish to enter at the close of bar `index`."""
    said = SELL_NOW if side is SELL else BUY_NOW
    [decision] = of(Decision, office.candle(index, price, said, symbol))
    return decision


def size(office: Office, index: int, symbol: str = ETH, price: float = 100) -> object:
    """The quantity that is sent for a wish on bar `index`; None where it is refused."""
    found = of(Submit, office.candle(index, price, SELL_NOW, symbol))
    return found[0].order.quantity if found else None


def enter(
    office: Office, index: int, symbol: str = BTC, side: Side = SELL, price: float = 100
) -> Order:
    """Enter at the close of bar `index`, and be filled there."""
    said = SELL_NOW if side is SELL else BUY_NOW
    [sent] = of(Submit, office.candle(index, price, said, symbol))
    fill(office, sent.order, price)
    return sent.order


def fill(office: Office, order: Order, price: float) -> list[Effect]:
    ts = order.created_at
    office.step(OrderAccepted(order.account, order.order_link_id, "P1", ts))
    return office.step(Executed(execution(order, price=str(price), ts=ts)))


def leave(
    office: Office, entry: Order, price: float, reason: Reason = Reason.TAKE_PROFIT, after: int = 0
) -> list[Effect]:
    """Have the exchange close what an order opened, `after` ms later."""
    closing = execution(
        side=entry.side.opposite,
        quantity=entry.quantity,
        price=str(price),
        ts=entry.created_at + after,
        symbol=entry.symbol,
        account=entry.account,
        trigger=reason,
    )
    return office.step(Executed(closing))


def trade(
    office: Office,
    index: int,
    net: float,
    symbol: str = BTC,
    reason: Reason = Reason.TAKE_PROFIT,
) -> Trade:
    """Sell on bar `index` and gain or lose `net`; the last step is that of the exit."""
    entry = enter(office, index, symbol)
    price = D(100) - D(str(net)) / entry.quantity
    [closed] = of(Trade, leave(office, entry, float(price), reason))
    return closed


def told(office: Office) -> list[str]:
    """What the last step has people told of limits."""
    return [notice.text or "" for notice in office.told(NoticeKind.RISK)]
