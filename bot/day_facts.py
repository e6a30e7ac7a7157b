"""Facts for a briefing: the figures of the report, and what is open, waits or was stopped."""

from collections import Counter
from collections.abc import Iterator, Mapping

from engine.bot import BotStatus
from engine.day_facts import DayFacts
from engine.desk import Desk
from engine.people import DESK
from engine.signal import Action, Decision
from engine.view import CoreView, PositionView
from handlers import COMMANDS, reports
from handlers.command import Context
from handlers.market import price_of
from handlers.reply import Duration, Fields, Money, Quantity, Reply, Text, Time, Value, show
from handlers.reports import Period

# Signals among which the gates are counted, and how many gates and positions are named.
DECISIONS_MAX = 5_000
GATES_NAMED = 3
POSITIONS_NAMED = 5


async def day_facts(desk: Desk, weekly: bool) -> DayFacts:
    """The last full day or week. Raises Refused, Unreachable."""
    name = "weekly" if weekly else "daily"
    context = Context(DESK.principal, DESK.surface, desk, COMMANDS)
    report = await reports.report.handler(context, name)
    assert isinstance(report, Reply)
    view = desk.view()
    period = reports.last_period(desk, view, name)
    sections = {
        "Result": tuple(_result(report)),
        "Open now": tuple(_open(desk, view)),
        "Waits for a person": tuple(_waiting(desk, view)),
        "Holds entries back": tuple(_held_back(view)),
        "What the model makes of it": tuple(_leanings(view)),
        "Stopped most": await _stopped(desk, period),
    }
    told = tuple((title, lines) for title, lines in sections.items() if lines)
    return DayFacts(f"Briefing of {period.title}", weekly, told)


def _result(report: Reply) -> Iterator[str]:
    """The figures of a report as sentences; of one that knows nothing its own."""
    for block in report.blocks:
        if isinstance(block, Fields):
            yield from _sentences(block.fields)
        elif isinstance(block, Text):
            yield block.text


def _sentences(figures: Mapping[str, Value]) -> Iterator[str]:
    said = {name: show(value) for name, value in figures.items() if value is not None}
    before = {"against_day_before": "day", "against_week_before": "week"}
    against = [
        f", {said[key]} against the {name} before" for key, name in before.items() if key in said
    ]
    yield f"Net {said['net']} USDT{''.join(against)}."
    yield f"Equity {said['equity']} USDT, a change of {said['equity_change']}."
    ends = said.get("best_and_worst", "")
    best = f"; best and worst {ends}" if "," in ends else ""
    yield f"Trades: {said['trades'].replace(':', ',')}{best}."
    costs = f"Fees {said['fees']}, funding {said['funding']}"
    yield f"{costs}, deepest fall {said['max_drawdown']}."
    yield f"At risk now: {said['open_risk']}."


def _open(desk: Desk, view: CoreView) -> Iterator[str]:
    for item in view.positions[:POSITIONS_NAMED]:
        yield _position(desk, item)
    if len(view.positions) > POSITIONS_NAMED:
        yield f"And {len(view.positions) - POSITIONS_NAMED} more positions."


def _position(desk: Desk, item: PositionView) -> str:
    position = item.position
    assert position.side is not None
    size = f"{show(Quantity(abs(position.quantity)))} {position.symbol}"
    entry = show(price_of(desk, position.symbol, position.average_price))
    result = show(Money(item.unrealized, signed=True))
    stop = show(price_of(desk, position.symbol, item.stop_loss)) if item.stop_loss else "none"
    side = position.side.direction.capitalize()
    return f"{side} {size} from {entry}, {result} USDT so far, stop {stop}."


def _waiting(desk: Desk, view: CoreView) -> Iterator[str]:
    now = desk.clock.now()
    for each in view.proposals:
        left = show(Duration(max(0, each.expires_at - now)))
        yield f"Proposal {each.proposal_id} waits for {left} more: {each.title.rstrip('.')}."


def _held_back(view: CoreView) -> Iterator[str]:
    if view.halted:
        yield f"The desk is halted: {view.halted.rstrip('.')}."
    paused = [bot.bot_id for bot in view.bots if bot.status is BotStatus.PAUSED]
    if paused:
        yield f"Paused: {', '.join(paused)}."


def _leanings(view: CoreView) -> Iterator[str]:
    for bias in view.biases:
        until = show(Time(bias.until))
        sure = f"{bias.confidence:.0%} sure"
        yield f"{bias.symbol} {bias.score:+.2f} of -1 to 1, {sure}, until {until}."


async def _stopped(desk: Desk, period: Period) -> tuple[str, ...]:
    """The gates that stopped the most entries of a period, in one sentence."""
    decisions = await desk.recent(
        Decision, lambda decision: decision.ts, since=period.start, limit=DECISIONS_MAX
    )
    entries = [each for each in decisions if each.action is Action.ENTRY and period.holds(each.ts)]
    gates = Counter(each.gate for each in entries if not each.approved)
    if not gates:
        return ()
    named = ", ".join(f"{count} by {gate}" for gate, count in gates.most_common(GATES_NAMED))
    return (f"Of {len(entries)} entry signals {gates.total()} were stopped: {named}.",)
