"""Why: what each bot sees, what the gates say, and what became of its last signals."""

from decimal import Decimal

from engine.desk import Desk
from engine.signal import Decision
from engine.strategies import STRATEGIES
from engine.view import BotView, CoreView, PositionView, WhyView
from handlers.command import Context, Symbol, command
from handlers.market import default_symbol, price_of
from handlers.notices import REASON_WORDS
from handlers.reply import (
    Block,
    Button,
    Duration,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
    show,
)
from handlers.trade import direction

# The last signals shown.
DECISIONS = 8


@command("why")
async def why(context: Context, symbol: Symbol | None = None) -> Reply:
    """Why a symbol is traded or not: conditions, gates, and the last decisions.

    Without a symbol it explains the first open position.

    Example: /why BTC
    """
    desk = context.desk
    symbol = symbol or default_symbol(desk)
    view = desk.view()
    bots = [bot for bot in view.bots if symbol in bot.symbols]
    if not bots:
        trade = ", ".join(sorted({each for bot in view.bots for each in bot.symbols}))
        return reply(Text(f"No bot trades {symbol}. The bots trade {trade}."))
    seen = {found.bot_id: found for found in desk.why(symbol)}
    blocks = [block for bot in bots for block in _explain(desk, view, bot, symbol, seen)]
    decisions = await desk.recent(
        Decision, lambda decision: decision.ts, symbol=symbol, limit=DECISIONS
    )
    buttons = (Button("Chart", f"/chart {symbol}"), Button("Trades", "/trades"))
    return reply(*blocks, _decisions(desk, decisions), buttons=buttons)


def conclude(found: WhyView) -> str:
    """In one sentence why there is no entry now, or what it waits for."""
    for gate in found.gates:
        if not gate.passed:
            return f"No entry now: {gate.gate} {gate.detail}."
    for condition in found.conditions:
        if not condition.holds:
            return f"No entry now: not {condition.name} ({condition.detail})."
    return "Every condition holds and every gate is open: a position is being opened."


def _explain(
    desk: Desk, view: CoreView, bot: BotView, symbol: str, seen: dict[str, WhyView]
) -> list[Block]:
    found = seen.get(bot.bot_id)
    if found is None:
        return [Text(f"{bot.bot_id} has not seen a closed bar of {symbol} yet.")]
    held = _held(view, bot.bot_id, symbol)
    conclusion = conclude(found) if held is None else _holding(desk, view, bot, held)
    return [
        Text(f"{bot.bot_id} on {symbol}. {conclusion}"),
        Table(
            "What the strategy sees",
            ("holds", "condition", "numbers"),
            tuple((c.holds, c.name, c.detail) for c in found.conditions),
        ),
        Table(
            "What the gates say to an entry now",
            ("open", "gate", "verdict"),
            tuple((gate.passed, gate.gate, gate.detail) for gate in found.gates),
        ),
    ]


def _held(view: CoreView, bot_id: str, symbol: str) -> PositionView | None:
    for item in view.positions:
        if (item.position.bot_id, item.position.symbol) == (bot_id, symbol):
            return item
    return None


def _holding(desk: Desk, view: CoreView, bot: BotView, item: PositionView) -> str:
    """Why a position is held, and everything that would close it."""
    position = item.position
    assert position.side is not None and position.entry_reason is not None
    size = f"{show(Quantity(abs(position.quantity)))} {position.symbol}"
    entry = _at(desk, position.symbol, position.average_price)
    age = show(Duration(view.market_time - position.opened_at))
    return (
        f"Holds a {direction(position.side)} of {size} from {entry} for {age}: "
        f"{REASON_WORDS[position.entry_reason]}. {_ways_out(desk, bot, item)}"
    )


def _ways_out(desk: Desk, bot: BotView, item: PositionView) -> str:
    symbol = item.position.symbol
    ways = []
    if item.stop_loss is not None:
        ways.append(f"at the stop {_at(desk, symbol, item.stop_loss)}")
    if item.take_profit is not None:
        ways.append(f"at the target {_at(desk, symbol, item.take_profit)}")
    if item.trailing_stop is not None:
        ways.append(
            f"{_at(desk, symbol, item.trailing_stop)} behind the best price once that reached "
            f"{_at(desk, symbol, item.trailing_activation)}"
        )
    if max_age := STRATEGIES[bot.strategy].exits_for(symbol).max_age_ms:
        ways.append(f"at an age of {show(Duration(max_age))}")
    ways.append("when the strategy's conditions no longer hold")
    return f"It closes {', '.join(ways[:-1])}, or {ways[-1]}."


def _at(desk: Desk, symbol: str, price: Decimal | None) -> str:
    return show(price_of(desk, symbol, price))


def _decisions(desk: Desk, decisions: list[Decision]) -> Table:
    columns = ("time", "bot", "signal", "side", "reason", "price", "approved", "because")
    rows = tuple(_decision_row(desk, decision) for decision in reversed(decisions))
    return Table("Last decisions", columns, rows, empty="The strategy gave no signal yet.")


def _decision_row(desk: Desk, decision: Decision) -> tuple[Value, ...]:
    refusal = f"{decision.gate}: {decision.detail}" if decision.gate else None
    return (
        Time(decision.ts),
        decision.bot_id,
        str(decision.action),
        str(decision.side),
        str(decision.reason),
        price_of(desk, decision.symbol, decision.price),
        decision.approved,
        refusal,
    )
