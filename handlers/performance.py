"""How the desk has done: every figure of the metrics, and trades by what they have in common."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import BadInput, Unreachable
from engine.ledger import EquityPoint
from engine.metrics import TITLES, Mark, Report, RoundTrip, Row, breakdown, measure
from engine.order import Order
from engine.outcomes import trips
from engine.position import Trade
from engine.view import CoreView
from handlers.command import ArgumentType, BotId, Context, command, one_of, whole
from handlers.figures import figures, money, rate, rows_table
from handlers.portfolio import (
    POINTS_MAX,
    TRADES_MAX,
    Curve,
    curve_of,
    deposit,
    picture,
    worths,
)
from handlers.reply import (
    Block,
    Button,
    Duration,
    Fields,
    Reply,
    Table,
    Text,
    Value,
    Word,
    reply,
)

DAYS = 30
# Hourly points of a year are what one answer reads.
DAYS_MAX = 365
NO_TRADE = "No trade has closed in this time."
NO_CANDLE = "No candle has closed yet: nothing was earned or lost."

SUMMARY = "summary"
# What fits a phone of the figures; the rest is a button away, under the metrics' own headings.
SUMMARY_KEYS = (
    "net_profit",
    "return",
    "buy_and_hold",
    "trades",
    "win_rate",
    "profit_factor",
    "expectancy",
    "expectancy_r",
    "sharpe",
    "sortino",
    "max_drawdown",
    "longest_underwater",
    "exposure",
    "fees",
    "funding",
)
HEADINGS = {
    title.group.lower(): title.group for title in TITLES.values() if title.group != "Period"
}
# What is typed, the metrics' name of it, and what its first column holds.
GROUPED = {
    "symbol": ("symbol", "symbol"),
    "entry": ("entry_tag", "entry"),
    "exit": ("exit_reason", "exit"),
    "mixed": ("mixed", "entry and exit"),
    "side": ("side", "side"),
    "hour": ("hour", "hour UTC"),
    "weekday": ("weekday", "weekday"),
}
BY = "by:"

Days = Annotated[int, whole(1, DAYS_MAX)]
Part = Annotated[str, one_of(SUMMARY, *HEADINGS, *GROUPED)]


# -- everything --------------------------------------------------------------------------


@command("analytics")
async def analytics(
    context: Context, bot: BotId | None = None, days: Days = DAYS, part: Part = SUMMARY
) -> Reply:
    """Every figure of a bot or of the whole desk over the last days, as a backtest has them.

    Behind a ratio, n says how many trades, days or hours it stands on; n/a comes with its reason.
    Parts: result, ratios, risk, trades, costs, or trades by symbol, entry, exit, mixed, side,
    hour, weekday.

    Example: /analytics, /analytics shortseller_001 90, or /analytics 30 risk
    """
    desk = context.desk
    view = only(desk.view(), bot)
    buttons = _parts(bot, days, part)
    if not view.candles:
        return reply(Text(NO_CANDLE), buttons=buttons)
    since = view.market_time - days * DAY_MS
    of = f"{bot or 'all bots'}, last {days} days"
    closed = await _trips(desk, view, since)
    if part in GROUPED:
        return reply(await _grouped(closed, part, of), *_bounded(closed), buttons=buttons)
    curve = await _curve(desk, view, since)
    report = await _measured(desk, view, curve, closed)
    if part == SUMMARY:
        card = Fields(f"Performance of {of}", figures(report, SUMMARY_KEYS))
        return reply(card, picture(desk, view, curve), *_bounded(closed), buttons=buttons)
    keys = [key for key, title in TITLES.items() if title.group.lower() == part]
    card = Fields(f"{HEADINGS[part]} of {of}", figures(report, keys))
    return reply(card, *_bounded(closed), buttons=buttons)


async def _measured(
    desk: Desk, view: CoreView, curve: Curve, closed: Sequence[RoundTrip]
) -> Report:
    """The same report that a backtest has, of equity and trades out of the books."""
    marks = [Mark(ts, equity) for ts, equity in curve]
    prices = await _prices(desk, view, marks[0].ts)
    accounts = {each.account for each in view.accounts}
    held = [each.position for each in view.positions if each.position.account in accounts]
    opened = [position.opened_at for position in held]
    # The figures of thousands of trades take longer than the desk may stand still.
    return await asyncio.to_thread(
        measure, marks, closed, deposit=float(deposit(view)), prices=prices, opened=opened
    )


def _bounded(closed: Sequence[RoundTrip]) -> tuple[Block, ...]:
    """That there may be more trades than were read, where that is so."""
    if len(closed) < TRADES_MAX:
        return ()
    return (Text(f"Of each bot the newest {TRADES_MAX:,} trades at most are counted."),)


def only(view: CoreView, bot: str | None) -> CoreView:
    """The desk as if it had this bot alone; None sees all."""
    if bot is None:
        return view
    return replace(
        view,
        bots=tuple(each for each in view.bots if each.bot_id == bot),
        accounts=tuple(each for each in view.accounts if each.bot_id == bot),
    )


def _parts(bot: str | None, days: int, part: str) -> tuple[Button, ...]:
    """The other views of the same trades."""
    said = " ".join(["/analytics", *([bot] if bot else []), str(days)])
    names = {SUMMARY: "Summary", **HEADINGS, **{name: _label(name) for name in GROUPED}}
    return tuple(
        Button(label, said if name == SUMMARY else f"{said} {name}")
        for name, label in names.items()
        if name != part
    )


async def _trips(desk: Desk, view: CoreView, since: int) -> list[RoundTrip]:
    """The trades that closed since then (UTC ms), in the metrics' floats."""
    trades: list[Trade] = []
    orders: list[Order] = []
    for account in view.accounts:
        name = account.account
        trades += await desk.store.recent(Trade, account=name, since=since, limit=TRADES_MAX)
        orders += await desk.store.recent(Order, account=name, since=since, limit=TRADES_MAX)
    return await asyncio.to_thread(trips, trades, orders)


async def _curve(desk: Desk, view: CoreView, since: int) -> Curve:
    """Equity from the last full hour known before `since` on, in floats."""
    hours = min((view.market_time - since) // HOUR_MS, POINTS_MAX)
    course = worths(view, await last_points(desk, view, hours))
    known = bisect_right(course, since, key=lambda worth: worth.ts)
    return curve_of(course[max(known - 1, 0) :])


async def last_points(desk: Desk, view: CoreView, hours: int) -> list[EquityPoint]:
    """The points of so many hours and one before; where the desk stood still, older ones too."""
    points: list[EquityPoint] = []
    for account in view.accounts:
        points += await desk.store.recent(EquityPoint, account=account.account, limit=hours + 2)
    return sorted(points, key=lambda point: point.ts)


async def _prices(desk: Desk, view: CoreView, start: int) -> dict[str, tuple[float, float]]:
    """The first and the last price of each symbol that the bots trade, as far as known."""
    prices = {}
    for symbol in dict.fromkeys(symbol for bot in view.bots for symbol in bot.symbols):
        try:
            bars = await desk.market.history(symbol, desk.market.interval, start, 1)
        except Unreachable:
            continue
        if bars and symbol in view.prices:
            prices[symbol] = (bars[-1].close, view.prices[symbol])
    return prices


# -- by what trades share ----------------------------------------------------------------


def _parse_by(field: str, word: str, desk: Desk) -> str:
    found = word.lower().removeprefix(BY)
    if found in GROUPED:
        return found
    raise BadInput(field, word, ", ".join(GROUPED))


GROUPING = ArgumentType("a word", _parse_by, lambda desk: list(GROUPED), words=tuple(GROUPED))

Grouping = Annotated[str, GROUPING]


@command("performance")
async def performance(context: Context, by: Grouping = "symbol", days: Days = DAYS) -> Reply:
    """Closed trades of the last days by symbol, entry, exit, entry and exit (mixed), or side.

    Net and mean are after fees and funding. By hour and weekday it is the time of the exit, UTC.

    Example: /performance by:symbol, or /performance mixed 90
    """
    desk = context.desk
    view = desk.view()
    closed = await _trips(desk, view, view.market_time - days * DAY_MS)
    table = await _grouped(closed, by, f"last {days} days")
    others = (Button(_label(name), f"/performance {name} {days}") for name in GROUPED if name != by)
    return reply(
        table, *_bounded(closed), buttons=(*others, Button("All figures", f"/analytics {days}"))
    )


def _label(by: str) -> str:
    return "Entry + exit" if by == "mixed" else f"By {by}"


async def _grouped(closed: Sequence[RoundTrip], by: str, of: str) -> Table:
    key, name = GROUPED[by]
    rows = await asyncio.to_thread(breakdown, closed, key)
    return rows_table(f"By {name}, {of}", name, rows, NO_TRADE)


@command("exits")
async def exits(context: Context, days: Days = DAYS) -> Reply:
    """What closed the trades of the last days: how many, how often won, how long they were held.

    Example: /exits, or /exits 90
    """
    desk = context.desk
    view = desk.view()
    closed = await _trips(desk, view, view.market_time - days * DAY_MS)
    rows = await asyncio.to_thread(_exit_rows, closed)
    columns = ("exit", "trades", "win_rate", "net", "mean", "held")
    buttons = (
        *(Button(f"{each} days", f"/exits {each}") for each in (7, 30, 90) if each != days),
        Button("Mixed", f"/performance mixed {days}"),
        Button("By symbol", f"/performance symbol {days}"),
    )
    table = Table(f"Exits, last {days} days", columns, rows, NO_TRADE)
    return reply(table, *_bounded(closed), buttons=buttons)


def _exit_rows(closed: Sequence[RoundTrip]) -> tuple[tuple[Value, ...], ...]:
    held: dict[str, int] = {}
    for each in closed:
        held[each.exit_reason] = held.get(each.exit_reason, 0) + each.duration
    rows = breakdown(closed, "exit_reason")
    return tuple(_exit_row(row, held[row.key] // row.trades) for row in rows)


def _exit_row(row: Row, held: int) -> tuple[Value, ...]:
    return (
        Word(row.key),
        row.trades,
        rate(row.win_rate),
        money(row.net),
        money(row.mean),
        Duration(held),
    )
