"""Which way a model leans, and what came of the entries that it spoke against."""

import asyncio
from collections.abc import Iterable, Sequence

from engine.bias import Bias
from engine.candle import DAY_MS, MINUTE_MS, Candle
from engine.desk import Desk
from engine.errors import Unreachable
from engine.hindsight import Balance, Ending, Hindsight, balance, follow_all
from engine.risk import MODEL_BIAS
from engine.signal import Decision
from handlers.market import price_of
from handlers.reply import (
    Block,
    Button,
    Percent,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)
from handlers.signals import DECISIONS_MAX

DAYS = 30
LISTED = 10
# Finer bars than these are a month of many requests, and tell hardly more.
STEP_MS = 5 * MINUTE_MS
COLUMNS = (
    "time",
    "entry",
    "price",
    "after_1h",
    "after_4h",
    "after_24h",
    "outcome",
    "bot",
)
NO_BIAS = "No bias is in force. A model's analysis makes one, as of /analyze; indicators make none."
NO_ENTRY = f"The model spoke against no entry in the last {DAYS} days."
BUTTONS = (Button("Analyze", "/analyze"), Button("Analyses", "/analysis"), Button("Why", "/why"))
HOW = (
    "After 1, 4 and 24 h: what the price did. Each entry is followed to its stop, its target or "
    "24 h, on the desk's candles; of stop and target within one candle the stop counts. Costs, "
    "trailing stops and exits by signal are left out."
)


async def page(desk: Desk) -> Reply:
    """The biases in force, the entries of the last month that they spoke against, and what these
    would have made, or made."""
    view = desk.view()
    since = view.market_time - DAYS * DAY_MS
    decisions = await desk.recent(
        Decision, lambda decision: decision.ts, since=since, limit=DECISIONS_MAX
    )
    found = await _followed(desk, [each for each in decisions if _is_against(desk, each)])
    past = _past(desk, found, bounded=len(decisions) == DECISIONS_MAX)
    return reply(_in_force(view.biases), Text(effect(view.veto)), *past, buttons=BUTTONS)


def _is_against(desk: Desk, decision: Decision) -> bool:
    """Whether a bias spoke against it, in a symbol that still has prices."""
    spoke = decision.opposed is not None or decision.gate == MODEL_BIAS
    return spoke and decision.symbol in desk.symbols


# -- in force ----------------------------------------------------------------------------


def _in_force(biases: Sequence[Bias]) -> Table:
    columns = ("symbol", "score", "confidence", "until", "against", "analysis")
    rows = tuple(
        (
            bias.symbol,
            f"{bias.score:+.2f}",
            f"{bias.confidence:.0%}",
            Time(bias.until),
            bias.stopped,
            f"/analysis {bias.consultation}",
        )
        for bias in biases
    )
    return Table("Which way the model leans", columns, rows, empty=NO_BIAS)


def effect(veto: bool) -> str:
    """What a bias does to entries, in a sentence."""
    if veto:
        return "A bias keeps strategies out of entries that it speaks against, and stops no exit."
    return (
        "It only watches: what it would have stopped is noted. With [gemini] veto = true in the "
        "settings it stops entries."
    )


# -- what came of it ---------------------------------------------------------------------


async def _followed(desk: Desk, against: Sequence[Decision]) -> list[Hindsight]:
    if not against:
        return []
    interval = _step(desk.market.interval)
    now = desk.view().market_time
    oldest: dict[str, int] = {}
    for each in against:
        oldest.setdefault(each.symbol, each.ts)
    bars = {name: await _bars(desk, name, interval, now - ts) for name, ts in oldest.items()}
    return await asyncio.to_thread(follow_all, against, bars, interval, now)


def _step(interval: int) -> int:
    return STEP_MS if interval < STEP_MS and STEP_MS % interval == 0 else interval


async def _bars(desk: Desk, symbol: str, interval: int, reach: int) -> list[Candle]:
    """The bars of the last `reach` ms; none where nobody has them now."""
    try:
        return await desk.candles(symbol, interval, reach // interval + 1)
    except Unreachable:
        return []


def _past(desk: Desk, found: Sequence[Hindsight], bounded: bool) -> list[Block]:
    if not found:
        return [Text(NO_ENTRY)]
    stopped = [each for each in found if not each.decision.approved]
    watched = [each for each in found if each.decision.approved]
    sentences = [
        _sentence(stopped, "stopped", ""),
        _sentence(watched, "would have stopped", "would have "),
    ]
    if bounded:
        sentences.append(f"Of the newest {DECISIONS_MAX:,} signals.")
    rows = tuple(_row(desk, each) for each in reversed(found[-LISTED:]))
    table = Table(f"Entries it spoke against, last {DAYS} days", COLUMNS, rows)
    return [Text(" ".join(filter(None, [*sentences, HOW]))), table]


def _sentence(found: Sequence[Hindsight], did: str, would: str) -> str:
    """`It stopped 7 entries: 5 would have lost, 2 would have won; together it kept 1.20% ...`"""
    if not found:
        return ""
    sum_ = balance(found)
    entries = "1 entry" if len(found) == 1 else f"{len(found)} entries"
    parts = [*_counts(sum_), *_not_counted(found)]
    return f"It {did} {entries}: {', '.join(parts)}{_together(sum_, would)}."


def _counts(sum_: Balance) -> Iterable[str]:
    if sum_.lost:
        yield f"{sum_.lost} would have lost"
    if sum_.won:
        yield f"{sum_.won} would have won"


def _not_counted(found: Sequence[Hindsight]) -> Iterable[str]:
    words = {
        Ending.OPEN: "not over yet",
        Ending.NONE: "that another gate would have stopped anyway",
        Ending.UNKNOWN: "without known prices",
    }
    for ending, said in words.items():
        if count := sum(each.ending is ending for each in found):
            yield f"{count} {said}"


def _together(sum_: Balance, would: str) -> str:
    """What stopping those that are over was worth: all count alike, whatever their size."""
    if not sum_.ended:
        return ""
    word = "kept" if sum_.made < 0 else "cost"
    amount = show(Percent(abs(sum_.made)))
    return (
        f"; together it {would}{word} {amount} of one entry's worth, before costs (n {sum_.ended})"
    )


def _row(desk: Desk, found: Hindsight) -> tuple[Value, ...]:
    decision = found.decision
    several = len(desk.bot_ids) > 1
    watched = " (entered all the same)" if decision.approved else ""
    return (
        Time(decision.ts),
        f"{decision.side.direction} {decision.symbol}{watched}",
        price_of(desk, decision.symbol, decision.price),
        *("n/a" if change is None else Percent(change, signed=True) for change in found.changes),
        _outcome(found),
        decision.bot_id if several else None,
    )


def _outcome(found: Hindsight) -> str:
    """How it would have ended, with what it would have made; or why it would not have begun."""
    if found.made is None:
        return found.decision.instead if found.ending is Ending.NONE else str(found.ending)
    return f"{found.ending}: {show(Percent(found.made, signed=True))}"
