"""The report card: what a day, a week or a month has brought, and what is at risk now."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated

from engine.bot import BotStatus
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import Refused
from engine.ledger import EquityPoint, Funding
from engine.order import ZERO, Fill
from engine.position import Trade
from engine.view import CoreView
from handlers.command import Context, command, one_of
from handlers.portfolio import Worth, curve_of, deposit, max_drawdown, picture, worths
from handlers.reply import Button, Fields, Money, Percent, Reply, Text, Value, reply, show
from handlers.system import INTERVALS_LATE, candle_age
from handlers.trade import won

A_DAY = timedelta(days=1)
NOW = "now"
# The first day of the period that a day is in.
FIRST_DAY: dict[str, Callable[[date], date]] = {
    "daily": lambda day: day,
    "weekly": lambda day: day - day.weekday() * A_DAY,
    "monthly": lambda day: day.replace(day=1),
}
BEFORE = {
    NOW: "against_yesterday",
    "daily": "against_day_before",
    "weekly": "against_week_before",
    "monthly": "against_month_before",
}
BUTTONS = {NOW: "Today", "daily": "Yesterday", "weekly": "Last week", "monthly": "Last month"}

PeriodName = Annotated[str, one_of(*BEFORE)]


@command("report")
async def report(context: Context, period: PeriodName = NOW) -> Reply:
    """A card of the last full day, week or month (UTC), or of today so far, with its equity.

    Net is after fees and funding. It is set against the period before; today so far against
    yesterday up to the same full hour. Open risk is what equity would lose if the stop of every
    position were hit now.

    Example: /report daily
    """
    desk = context.desk
    view = desk.view()
    if not view.candles:
        raise Refused("No candle has closed yet: there is nothing to report. Ask again later.")
    span = last_period(desk, view, period)
    course = worths(view, await _points(desk, view, span))
    buttons = (
        *(Button(label, f"/report {name}") for name, label in BUTTONS.items() if name != period),
        Button("Positions", "/positions"),
    )
    if course[0].ts > span.end:
        words = f"Nothing is known of {span.title}: this desk had not begun."
        return reply(Text(words), buttons=buttons)
    card = Fields(f"Report of {span.title}", await _card(desk, view, span, course))
    curve = curve_of(_within(course, span))
    return reply(card, picture(desk, view, curve), buttons=buttons)


# -- periods -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time and the one it is set against; all times are UTC ms.

    What happens on the last stroke belongs to it, as it does to the equity of that moment.
    """

    name: str
    title: str
    start: int
    end: int
    earlier_start: int
    earlier_end: int

    def holds(self, ts: int) -> bool:
        return self.start < ts <= self.end


def period_of(name: str, now: int) -> Period:
    """The last period of that name that had ended at `now` (UTC ms), or the day so far."""
    moment = datetime.fromtimestamp(now / 1000, UTC)
    today = moment.date()
    if name == NOW:
        begun = _midnight(today)
        title = f"{today} up to {moment:%H:%M} UTC"
        return Period(name, title, begun, now, begun - DAY_MS, now - DAY_MS)
    first_day = FIRST_DAY[name]
    end = first_day(today)
    last = end - A_DAY
    start = first_day(last)
    earlier = first_day(start - A_DAY)
    title = f"{start}" if start == last else f"{start} to {last}"
    return Period(name, title, *map(_midnight, (start, end, earlier, start)))


def last_period(desk: Desk, view: CoreView, name: str) -> Period:
    """The last period of that name that has ended for a desk, or its day so far."""
    return period_of(name, _now(desk, view))


def _midnight(day: date) -> int:
    return round(datetime.combine(day, time(), UTC).timestamp() * 1000)


def _now(desk: Desk, view: CoreView) -> int:
    """Market time; where it keeps up with the clock, the clock's, which ends days on time."""
    age = candle_age(desk, view)
    if age is None or not 0 <= age <= INTERVALS_LATE * desk.market.interval:
        return view.market_time
    return view.market_time + age


# -- the card ----------------------------------------------------------------------------


async def _points(desk: Desk, view: CoreView, span: Period) -> list[EquityPoint]:
    """Those since the earlier period, and of each account the last one before."""
    hours = (max(view.market_time, span.end) - span.earlier_start) // HOUR_MS + 2
    limit = hours * len(view.accounts)
    return await desk.recent(EquityPoint, lambda point: point.ts, limit=limit)


async def _card(
    desk: Desk, view: CoreView, span: Period, course: Sequence[Worth]
) -> dict[str, Value]:
    """At most eleven fields: with the title twelve lines."""
    trades = await desk.recent(Trade, lambda trade: trade.exit_time, since=span.start)
    fills = await desk.recent(Fill, lambda fill: fill.exec_time, since=span.start)
    payments = await desk.recent(Funding, lambda payment: payment.ts, since=span.start)
    trades = [trade for trade in trades if span.holds(trade.exit_time)]
    fees = (fill.commission for fill in fills if span.holds(fill.exec_time))
    funding = (payment.amount for payment in payments if span.holds(payment.ts))
    began = deposit(view)
    start, end = _at(course, span.start, began), _at(course, span.end, began)
    net = end.balance - start.balance
    return {
        **_stopped(view),
        "net": Money(net, signed=True),
        BEFORE[span.name]: _against(net, course, span, began),
        "equity": Money(end.equity),
        "equity_change": _change(start.equity, end.equity),
        "max_drawdown": Percent(max_drawdown(curve_of(_within(course, span)))),
        "trades": _trades(trades),
        "best_and_worst": _best_and_worst(trades),
        "fees": Money(sum(fees, ZERO)),
        "funding": Money(sum(funding, ZERO), signed=True),
        "open_risk": open_risk(view),
    }


def _stopped(view: CoreView) -> dict[str, Value]:
    """What keeps the desk from trading, where anything does."""
    if view.halted:
        return {"halted": view.halted}
    paused = [bot.bot_id for bot in view.bots if bot.status is BotStatus.PAUSED]
    return {"paused": ", ".join(paused)} if paused else {}


def _against(net: Decimal, course: Sequence[Worth], span: Period, began: Decimal) -> Value:
    """How much more was earned than in the earlier period; None where that is not known."""
    if course[0].ts > span.earlier_end:
        return None
    start, end = (_at(course, ts, began) for ts in (span.earlier_start, span.earlier_end))
    return Money(net - (end.balance - start.balance), signed=True)


def _change(start: Decimal, end: Decimal) -> str:
    """In money, open profit and all, and in percent."""
    words = show(Money(end - start, signed=True))
    return f"{words} ({show(Percent(end / start - 1, signed=True))})" if start > 0 else words


def _at(course: Sequence[Worth], ts: int, began: Decimal) -> Worth:
    """The last worth known at `ts`, exact on each full hour; the deposit before the first."""
    known = bisect_right(course, ts, key=lambda worth: worth.ts)
    return course[known - 1] if known else Worth(ts, began, began)


def _within(course: Sequence[Worth], span: Period) -> Sequence[Worth]:
    """The worths of a period, from the last one before it on."""
    first = bisect_right(course, span.start, key=lambda worth: worth.ts)
    return course[max(first - 1, 0) : bisect_right(course, span.end, key=lambda worth: worth.ts)]


def _trades(trades: Sequence[Trade]) -> str:
    if not trades:
        return "none closed"
    wins = won(trades)
    return f"{len(trades)} closed: {wins} won, {len(trades) - wins} lost"


def _best_and_worst(trades: Sequence[Trade]) -> str | None:
    if not trades:
        return None
    ranked = sorted(trades, key=lambda trade: trade.net_pnl)
    ends = dict.fromkeys((ranked[-1], ranked[0]))
    return ", ".join(f"{show(Money(trade.net_pnl, True))} {trade.symbol}" for trade in ends)


def open_risk(view: CoreView) -> str:
    """What the stops would cost, counted from the last prices, and what has none."""
    held = view.positions
    if not held:
        return "no open position"
    risk = sum(
        (
            max(item.position.quantity * (item.price - item.stop_loss), ZERO)
            for item in held
            if item.stop_loss is not None
        ),
        ZERO,
    )
    equity = sum((account.equity for account in view.accounts), ZERO)
    share = f" ({show(Percent(risk / equity))} of equity)" if equity > 0 else ""
    bare = sum(item.stop_loss is None for item in held)
    words = f"{show(Money(risk))}{share} on {_counted(len(held), 'position')}"
    return f"{words}, {bare} without a stop" if bare else words


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
