"""Profit and loss by day, week and month."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, NamedTuple, TypeVar

from engine.candle import HOUR_MS
from engine.desk import Desk
from engine.ledger import Funding
from engine.order import ZERO, Fill
from engine.position import Trade
from engine.view import CoreView
from handlers.command import Context, command, whole
from handlers.performance import NO_CANDLE, last_points
from handlers.portfolio import Worth, deposit, worths
from handlers.reply import (
    BarChart,
    Block,
    Button,
    Chart,
    Money,
    Reply,
    Table,
    Text,
    Value,
    reply,
    show,
)
from handlers.reports import FIRST_DAY
from handlers.trade import won

T = TypeVar("T")


class Periods(NamedTuple):
    """How a table of periods is asked for and named: what `/report` calls one, the heading of
    the first column, and how the period is written."""

    name: str
    column: str
    form: str


DAILY = Periods("daily", "day", "%Y-%m-%d")
WEEKLY = Periods("weekly", "week_of", "%Y-%m-%d")
MONTHLY = Periods("monthly", "month", "%Y-%m")

# Hourly points of each account are read for them.
DayCount = Annotated[int, whole(1, 31)]
WeekCount = Annotated[int, whole(1, 26)]
MonthCount = Annotated[int, whole(1, 12)]


@command("daily")
async def daily(context: Context, count: DayCount = 7) -> Reply:
    """Profit and loss of each of the last days (UTC), today so far among them.

    Net is what the balance gained, after fees and funding; won counts trades that closed then.

    Example: /daily, or /daily 14
    """
    return await _periods(context.desk, DAILY, count)


@command("weekly")
async def weekly(context: Context, count: WeekCount = 4) -> Reply:
    """Profit and loss of each of the last weeks, from Monday on (UTC), this one among them.

    Net is what the balance gained, after fees and funding; won counts trades that closed then.

    Example: /weekly, or /weekly 12
    """
    return await _periods(context.desk, WEEKLY, count)


@command("monthly")
async def monthly(context: Context, count: MonthCount = 3) -> Reply:
    """Profit and loss of each of the last months (UTC), this one among them.

    Net is what the balance gained, after fees and funding; won counts trades that closed then.

    Example: /monthly, or /monthly 12
    """
    return await _periods(context.desk, MONTHLY, count)


@dataclass(frozen=True, slots=True)
class Earning:
    """What one period brought, in quote currency; `net` is the change of the balance."""

    label: str
    net: Decimal
    trades: int
    wins: int
    fees: Decimal
    funding: Decimal


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is stored of some time: what the accounts were worth, and what was booked."""

    course: Sequence[Worth]
    trades: Sequence[Trade]
    fills: Sequence[Fill]
    payments: Sequence[Funding]


async def _periods(desk: Desk, periods: Periods, count: int) -> Reply:
    view = desk.view()
    others = [each for each in (DAILY, WEEKLY, MONTHLY) if each is not periods]
    buttons = (
        *(Button(each.name.capitalize(), f"/{each.name}") for each in others),
        Button("Report", f"/report {periods.name}"),
        Button("By symbol", "/performance symbol"),
    )
    if not view.candles:
        return reply(Text(NO_CANDLE), buttons=buttons)
    bounds = bounds_of(periods.name, view.market_time, count)
    facts = await _facts(desk, view, bounds[0])
    found = await asyncio.to_thread(earnings, facts, bounds, periods.form, deposit(view))
    rows = tuple(_period_row(each) for each in reversed(found))
    columns = (periods.column, "net", "trades", "won", "fees", "funding")
    table = Table(f"{periods.name.capitalize()} profit and loss", columns, rows)
    return reply(table, *_together(found), *_bars(desk, periods, found), buttons=buttons)


def bounds_of(name: str, now: int, count: int) -> list[int]:
    """The starts of the last so many periods, and `now`, which ends the last (UTC ms)."""
    first_day = FIRST_DAY[name]
    # What happens on the last stroke belongs to the period that it ends.
    start = first_day(datetime.fromtimestamp((now - 1) / 1000, UTC).date())
    starts = [start]
    for _ in range(count - 1):
        starts.append(first_day(starts[-1] - timedelta(days=1)))
    return [*map(_midnight, reversed(starts)), now]


def _midnight(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp() * 1000)


async def _facts(desk: Desk, view: CoreView, since: int) -> Facts:
    return Facts(
        worths(view, await last_points(desk, view, (view.market_time - since) // HOUR_MS)),
        await desk.recent(Trade, lambda trade: trade.exit_time, since=since),
        await desk.recent(Fill, lambda fill: fill.exec_time, since=since),
        await desk.recent(Funding, lambda payment: payment.ts, since=since),
    )


def earnings(facts: Facts, bounds: Sequence[int], form: str, began: Decimal) -> list[Earning]:
    """What each period brought, oldest first; those that ended before anything was known are
    left out. `began` is the balance before that."""
    balances = [_balance(facts.course, ts, began) for ts in bounds]
    count = len(bounds) - 1
    trades = _filed(bounds, ((trade.exit_time, trade) for trade in facts.trades))
    fills = _filed(bounds, ((fill.exec_time, fill) for fill in facts.fills))
    payments = _filed(bounds, ((payment.ts, payment) for payment in facts.payments))
    return [
        Earning(
            label=datetime.fromtimestamp(bounds[at] / 1000, UTC).strftime(form),
            net=balances[at + 1] - balances[at],
            trades=len(trades[at]),
            wins=won(trades[at]),
            fees=sum((fill.commission for fill in fills[at]), ZERO),
            funding=sum((payment.amount for payment in payments[at]), ZERO),
        )
        for at in range(count)
        if bounds[at + 1] >= facts.course[0].ts
    ]


def _balance(course: Sequence[Worth], ts: int, began: Decimal) -> Decimal:
    known = bisect_right(course, ts, key=lambda worth: worth.ts)
    return course[known - 1].balance if known else began


def _period_row(each: Earning) -> tuple[Value, ...]:
    return (
        each.label,
        Money(each.net, signed=True),
        each.trades,
        each.wins,
        Money(each.fees),
        Money(each.funding, signed=True),
    )


def _filed(bounds: Sequence[int], dated: Iterable[tuple[int, T]]) -> list[list[T]]:
    """Things by the period that they fell into; the last stroke belongs to the one it ends."""
    filed: list[list[T]] = [[] for _ in bounds[1:]]
    for ts, thing in dated:
        at = bisect_left(bounds, ts) - 1
        if 0 <= at < len(filed):
            filed[at].append(thing)
    return filed


def _together(found: Sequence[Earning]) -> tuple[Block, ...]:
    """All of them in a sentence."""
    net = show(Money(sum((each.net for each in found), ZERO), signed=True))
    trades, wins = sum(each.trades for each in found), sum(each.wins for each in found)
    if not trades:
        return (Text(f"Together {net} USDT; no trade has closed."),)
    return (Text(f"Together {net} USDT; {wins} of {trades} trades won."),)


def _bars(desk: Desk, periods: Periods, found: Sequence[Earning]) -> tuple[Block, ...]:
    """A picture of them, where there is more than one to compare."""
    if len(found) < 2:
        return ()
    bars = tuple((each.label, float(each.net)) for each in found)
    title = f"{periods.name.capitalize()} net"
    span = f"{found[0].label} to {found[-1].label}"
    return (Chart(BarChart(title, f"{span} · {desk.badge}", bars)),)
