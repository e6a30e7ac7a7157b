"""Signals: what the strategies wanted lately, what became of it, and how good they were."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Annotated

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.outcomes import (
    Judged,
    Outcome,
    Quality,
    confidence_band,
    judge_all,
    quality,
)
from engine.position import Trade
from engine.signal import Action, Decision
from handlers.command import Context, Symbol, command, whole
from handlers.figures import figure, money
from handlers.market import price_of
from handlers.reply import (
    Block,
    Button,
    Money,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
    show,
)

LISTED = 10
LISTED_MAX = 50
QUALITY_DAYS = 90
QUALITY_DAYS_MAX = 365
# What one answer reads at most, the newest.
DECISIONS_MAX = 5_000
COLUMNS = (
    "time",
    "symbol",
    "signal",
    "outcome",
    "because",
    "price",
    "bot",
)
NO_SIGNAL = "No strategy gave a signal yet. /why tells what each waits for."

Count = Annotated[int, whole(1, LISTED_MAX)]
Days = Annotated[int, whole(1, QUALITY_DAYS_MAX)]


@command("signals")
async def signals(context: Context, symbol: Symbol | None = None, count: Count = LISTED) -> Reply:
    """The last signals, newest first, with what the gates said and how they ended.

    One that was executed is a winner or a loser by the net profit of its trade, or still open;
    one that was not names the gate that stopped it.

    Example: /signals, or /signals BTC 20
    """
    desk = context.desk
    decisions = await desk.recent(
        Decision, lambda decision: decision.ts, symbol=symbol, limit=count
    )
    judged = await _judged(desk, decisions)
    of = f" of {symbol}" if symbol else ""
    rows = tuple(_row(desk, each) for each in reversed(judged))
    table = Table(f"Signals{of}", COLUMNS, rows, empty=NO_SIGNAL)
    why = Button("Why", f"/why {symbol}" if symbol else "/why")
    return reply(table, buttons=(Button("Quality", "/quality"), why, Button("Trades", "/trades")))


async def _judged(desk: Desk, decisions: Sequence[Decision]) -> list[Judged]:
    """These decisions, oldest first, with their outcomes; a trade ends after what opened it."""
    if not decisions:
        return []
    trades = await desk.recent(Trade, lambda trade: trade.exit_time, since=decisions[0].ts)
    view = desk.view()
    positions = [item.position for item in view.positions]
    # Thousands of joins would hold the desk up.
    return await asyncio.to_thread(judge_all, decisions, trades, positions, view.open_orders)


def _row(desk: Desk, judged: Judged) -> tuple[Value, ...]:
    decision, outcome, trade = judged
    several = len(desk.bot_ids) > 1
    return (
        Time(decision.ts),
        decision.symbol,
        _wanted(decision),
        f"{outcome} {show(Money(trade.net_pnl, signed=True))}" if trade else str(outcome),
        Word(str(decision.reason)) if decision.approved else refusal(decision),
        price_of(desk, decision.symbol, decision.price),
        decision.bot_id if several else None,
    )


def _wanted(decision: Decision) -> str:
    if decision.action is Action.ENTRY:
        return f"open {decision.side.direction}, confidence {decision.confidence:.0%}"
    return f"close {decision.side.opposite.direction}"


def refusal(decision: Decision) -> str:
    """The gate that stopped a signal, and what it said."""
    return f"{decision.gate}: {decision.detail}"


@command("quality")
async def quality_(context: Context, days: Days = QUALITY_DAYS) -> Reply:
    """How good the entry signals of the last days were: hit rate by bot and by confidence.

    The hit rate is winners among closed trades, and `n` how many those are; signals that were not
    executed, or whose trade is still open, are counted but have no part in it.

    Example: /quality 30
    """
    desk = context.desk
    view = desk.view()
    strategies = {bot.bot_id: bot.strategy for bot in view.bots}
    since = view.market_time - days * DAY_MS
    decisions = await desk.recent(
        Decision, lambda decision: decision.ts, since=since, limit=DECISIONS_MAX
    )
    judged = await _judged(desk, decisions)
    by_bot = quality(judged, lambda decision: decision.bot_id)
    buttons = (
        *(Button(f"{each} days", f"/quality {each}") for each in (7, 30, 90) if each != days),
        Button("Signals", "/signals"),
        Button("By entry", "/performance entry"),
    )
    if not by_bot:
        words = f"No entry signal in the last {days} days. /why tells what each bot waits for."
        return reply(Text(words), buttons=buttons)
    by_strategy = quality(judged, lambda decision: strategies[decision.bot_id])
    tables = (
        _quality_table(f"Signals of the last {days} days", "strategy", by_strategy),
        *([_quality_table("By bot", "bot", by_bot)] if len(by_bot) > len(by_strategy) else []),
        _quality_table("By confidence", "confidence", quality(judged, confidence_band)),
    )
    return reply(*_bounded(decisions), *tables, *_refused(judged), buttons=buttons)


def _bounded(decisions: Sequence[Decision]) -> tuple[Block, ...]:
    """That not all was looked at, where that is so."""
    if len(decisions) < DECISIONS_MAX:
        return ()
    return (Text(f"Of the newest {DECISIONS_MAX:,} signals."),)


def _quality_table(title: str, name: str, found: Iterable[Quality]) -> Table:
    columns = (name, "hit_rate", "signals", "executed", "closed", "net")
    return Table(title, columns, tuple(_quality_row(each) for each in found))


def _quality_row(each: Quality) -> tuple[Value, ...]:
    return (
        each.key,
        figure(each.hit_rate),
        each.signals,
        each.executed,
        each.closed,
        None if each.net is None else money(each.net),
    )


def _refused(judged: Iterable[Judged]) -> tuple[Block, ...]:
    """Which gates stopped how many entries, the most first."""
    gates: dict[str, int] = {}
    for each in judged:
        entry = each.decision.action is Action.ENTRY
        if entry and each.outcome is Outcome.NOT_EXECUTED:
            gates[each.decision.gate] = gates.get(each.decision.gate, 0) + 1
    rows = tuple(sorted(gates.items(), key=lambda item: (-item[1], item[0])))
    return (Table("Not executed", ("gate", "signals"), rows),) if rows else ()
