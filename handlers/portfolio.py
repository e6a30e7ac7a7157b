"""What the desk holds and what it earned: positions, accounts, profit and loss."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Annotated

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.ledger import EquityPoint, Funding, Ledger
from engine.order import ZERO, Fill, Order, OrderType
from engine.people import Role
from engine.position import Trade
from engine.view import AccountView, CoreView, PositionView
from handlers.command import Context, command, whole
from handlers.market import price_of
from handlers.reply import (
    Block,
    Button,
    Chart,
    Duration,
    EquityChart,
    Fields,
    Money,
    Multiple,
    Percent,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)
from handlers.stops import stop_buttons
from handlers.trade import won

PNL_DAYS_MAX = 3650
# What one answer reads at most, the newest: hourly points of a year, and years of trades.
POINTS_MAX = 10_000
TRADES_MAX = 10_000
# Positions that get buttons of their own; a keyboard with more is no help.
BUTTONS_FOR = 4

Days = Annotated[int, whole(1, PNL_DAYS_MAX)]


@command("positions")
async def positions(context: Context) -> Reply:
    """Open positions: size, entry, price, profit, stop, target, liquidation and age.

    Profit in percent is on the margin bound; the price's percentage is its move since the entry.

    Example: /positions
    """
    desk = context.desk
    view = desk.view()
    columns = (
        "symbol",
        "side",
        "quantity",
        "entry",
        "price",
        "pnl",
        "on_margin_pct",
        "price_pct",
        "stop",
        "target",
        "liquidation",
        "age",
        "bot",
    )
    rows = tuple(_position_row(desk, item) for item in view.positions)
    table = Table("Open positions", columns, rows, empty="No open positions.")
    may_act = context.principal.role >= Role.TRADER
    return reply(
        table,
        *_on_their_way(view.open_orders),
        buttons=_position_buttons(view.positions, may_act),
    )


def _position_buttons(positions: Sequence[PositionView], may_act: bool) -> tuple[Button, ...]:
    """What can be done with each position, and with all of them; else where to look."""
    shown = positions[:BUTTONS_FOR]
    looks = tuple(button for item in shown for button in _look_at(item))
    if not may_act:
        return looks
    acts = tuple(button for item in shown for button in (*_close(item), *stop_buttons(item)))
    if len(positions) < 2:
        return (*looks, *acts)
    return (*acts, Button("Close losers", "/close losers"), Button("Close all", "/close all"))


def _on_their_way(orders: Sequence[Order]) -> tuple[Text, ...]:
    """What these positions may soon be changed by."""
    waiting = sum(order.order_type is not OrderType.MARKET for order in orders)
    moving = len(orders) - waiting
    said = []
    if moving:
        verb = "order is on its" if moving == 1 else "orders are on their"
        said.append(f"{moving} {verb} way.")
    if waiting:
        verb = "order waits" if waiting == 1 else "orders wait"
        said.append(f"{waiting} {verb} for a price: /orders.")
    return (Text(" ".join(said)),) if said else ()


@command("portfolio")
async def portfolio(context: Context) -> Reply:
    """The money of each account: deposit, balance, equity, margin, and exposure per symbol.

    Exposure is what positions are worth at the last price; leverage is exposure over equity.

    Example: /portfolio
    """
    view = context.desk.view()
    accounts = [_account(view, account) for account in view.accounts]
    rows = tuple(_exposure_row(view, item) for item in view.positions)
    columns = ("account", "symbol", "side", "exposure", "of_equity", "margin")
    exposure = Table("Exposure", columns, rows, empty="No exposure: every account is flat.")
    buttons = (Button("Positions", "/positions"), Button("P&L", "/pnl"))
    return reply(*accounts, exposure, buttons=buttons)


@command("pnl")
async def pnl(context: Context, days: Days | None = None) -> Reply:
    """Profit and loss with fees and funding, the best and worst trade, and the equity curve.

    Over everything, or over the last days of market time. Realized is before costs;
    net = realized - fees + funding.

    Example: /pnl 7
    """
    desk = context.desk
    since = None if days is None else desk.view().market_time - days * DAY_MS
    trades = await desk.recent(Trade, lambda trade: trade.exit_time, since=since, limit=TRADES_MAX)
    points = await desk.recent(EquityPoint, lambda point: point.ts, since=since, limit=POINTS_MAX)
    result = await _result_since(desk, trades, since) if since is not None else None
    view = desk.view()
    result = result or _result(view)
    curve = curve_of(worths(view, points))
    period = "" if days is None else f", last {days} days" if days > 1 else ", last day"
    fields = Fields(
        f"Profit and loss{period}", {**result.fields(view), **_statistics(trades, curve)}
    )
    buttons = (
        Button("7 days", "/pnl 7"),
        Button("30 days", "/pnl 30"),
        Button("Trades", "/trades"),
    )
    return reply(fields, picture(desk, view, curve), buttons=buttons)


@dataclass(frozen=True, slots=True)
class Worth:
    """What all accounts together were worth at `ts`, in quote currency."""

    ts: int
    balance: Decimal
    equity: Decimal


Curve = tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Earned:
    """What was earned over some time, in quote currency: gross, and what it cost."""

    realized: Decimal
    fees: Decimal
    funding: Decimal
    trades: int

    def fields(self, view: CoreView) -> dict[str, Value]:
        """The first fields of `/pnl`; others read them by these names."""
        net = self.realized - self.fees + self.funding
        unrealized = sum((account.unrealized for account in view.accounts), ZERO)
        return {
            "realized": Money(self.realized, signed=True),
            "fees": Money(self.fees),
            "funding": Money(self.funding, signed=True),
            "net": Money(net, signed=True),
            "unrealized": Money(unrealized, signed=True),
            "trades": self.trades,
        }


def total(ledgers: Iterable[Ledger]) -> Earned:
    """The sums of several accounts together."""
    together = list(ledgers)
    return Earned(
        sum((ledger.realized for ledger in together), ZERO),
        sum((ledger.fees for ledger in together), ZERO),
        sum((ledger.funding for ledger in together), ZERO),
        sum(ledger.trades for ledger in together),
    )


def worths(view: CoreView, points: Iterable[EquityPoint]) -> list[Worth]:
    """The worth of all accounts at each point and now; one not yet opened counts its deposit.

    `points` are oldest first, as `Desk.recent` gives them.
    """
    known = {item.account: (item.ledger.deposit, item.ledger.deposit) for item in view.accounts}
    found = {}
    for point in points:
        known[point.account] = (point.balance, point.equity)
        found[point.ts] = _together(point.ts, known.values())
    if view.market_time:
        current = [(item.ledger.balance, item.equity) for item in view.accounts]
        found[view.market_time] = _together(view.market_time, current)
    return sorted(found.values(), key=lambda worth: worth.ts)


def _together(ts: int, accounts: Collection[tuple[Decimal, Decimal]]) -> Worth:
    balance = sum((balance for balance, _ in accounts), ZERO)
    return Worth(ts, balance, sum((equity for _, equity in accounts), ZERO))


def deposit(view: CoreView) -> Decimal:
    """What all accounts began with, in quote currency."""
    return sum((account.ledger.deposit for account in view.accounts), ZERO)


def curve_of(course: Iterable[Worth]) -> Curve:
    """Equity over time, as it is drawn."""
    return tuple((worth.ts, float(worth.equity)) for worth in course)


def picture(desk: Desk, view: CoreView, curve: Curve) -> Block:
    """The equity curve, or the sentence that there is none yet."""
    if len(curve) < 2:
        return Text("The equity curve begins with the first full hour of market time.")
    start = show(Time(curve[0][0])).removesuffix(" UTC")
    return Chart(
        EquityChart(
            title="Equity",
            subtitle=f"{start} to {show(Time(curve[-1][0]))} · {desk.badge}",
            points=curve,
            deposit=float(deposit(view)),
        )
    )


def max_drawdown(curve: Sequence[tuple[int, float]]) -> float:
    """The deepest fall below an earlier peak, as a fraction of that peak."""
    course = [worth for _, worth in curve]
    peaks = accumulate(course, max)
    return max((1 - worth / peak for worth, peak in zip(course, peaks, strict=True)), default=0.0)


def _result(view: CoreView) -> Earned:
    return total(account.ledger for account in view.accounts)


async def _result_since(desk: Desk, trades: Sequence[Trade], since: int) -> Earned:
    """What was earned from `since` on: trades by their exit, fees and funding by their payment.

    A position still open counts with what it has realized, so that the sum over everything is
    the ledger's.
    """
    fills = await desk.recent(Fill, lambda fill: fill.exec_time, since=since)
    payments = await desk.recent(Funding, lambda payment: payment.ts, since=since)
    held = [item.position for item in desk.view().positions if item.position.opened_at >= since]
    return Earned(
        sum((trade.gross_pnl for trade in trades), ZERO)
        + sum((position.realized for position in held), ZERO),
        sum((fill.commission for fill in fills), ZERO),
        sum((payment.amount for payment in payments), ZERO),
        len(trades),
    )


def _statistics(trades: Sequence[Trade], curve: Sequence[tuple[int, float]]) -> dict[str, Value]:
    nets = [trade.net_pnl for trade in trades]
    return {
        "win_rate": Percent(won(trades) / len(trades)) if trades else None,
        "best_trade": Money(max(nets), signed=True) if nets else None,
        "worst_trade": Money(min(nets), signed=True) if nets else None,
        "max_drawdown": Percent(max_drawdown(curve)),
    }


def _position_row(desk: Desk, item: PositionView) -> tuple[Value, ...]:
    position = item.position
    assert position.side is not None and position.average_price is not None
    return (
        position.symbol,
        position.side.direction,
        Quantity(abs(position.quantity)),
        price_of(desk, position.symbol, position.average_price),
        price_of(desk, position.symbol, item.price),
        Money(item.unrealized, signed=True),
        Percent(item.unrealized / position.margin, signed=True),
        Percent(item.price / position.average_price - 1, signed=True),
        price_of(desk, position.symbol, item.stop_loss),
        price_of(desk, position.symbol, item.take_profit),
        price_of(desk, position.symbol, item.liquidation),
        Duration(item.age),
        position.bot_id,
    )


def _look_at(item: PositionView) -> tuple[Button, ...]:
    symbol = item.position.symbol
    return (
        Button(f"Chart {symbol}", f"/chart {symbol}"),
        Button(f"Why {symbol}", f"/why {symbol}"),
    )


def _close(item: PositionView) -> tuple[Button, ...]:
    symbol, bot_id = item.position.symbol, item.position.bot_id
    return (
        Button(f"Close {symbol}", f"/close {symbol} all {bot_id}"),
        Button(f"Half {symbol}", f"/close {symbol} half {bot_id}"),
    )


def _account(view: CoreView, account: AccountView) -> Fields:
    exposure = sum(
        (_worth(item) for item in view.positions if item.position.account == account.account),
        ZERO,
    )
    equity = account.equity
    return Fields(
        account.account,
        {
            "bot": account.bot_id,
            "deposit": Money(account.ledger.deposit),
            "balance": Money(account.ledger.balance),
            "unrealized": Money(account.unrealized, signed=True),
            "equity": Money(equity),
            "margin": Money(account.margin),
            "free_margin": Money(equity - account.margin),
            "exposure": Money(exposure),
            "leverage_in_use": Multiple(exposure / equity) if equity > 0 else None,
        },
    )


def _exposure_row(view: CoreView, item: PositionView) -> tuple[Value, ...]:
    position = item.position
    assert position.side is not None
    equity = next(a.equity for a in view.accounts if a.account == position.account)
    worth = _worth(item)
    return (
        position.account,
        position.symbol,
        position.side.direction,
        Money(worth),
        Percent(worth / equity) if equity > 0 else None,
        Money(position.margin),
    )


def _worth(item: PositionView) -> Decimal:
    return abs(item.position.quantity) * item.price
