"""Why: what each bot sees, what the gates say, and what became of its last signals."""

from collections.abc import Sequence
from decimal import Decimal

from engine.bias import Bias
from engine.desk import Desk
from engine.signal import Decision
from engine.strategies.kernel import Condition
from engine.view import BotView, CoreView, PositionView, WhyView
from handlers.bias_page import effect
from handlers.command import Context, Symbol, command
from handlers.market import default_symbol, price_of
from handlers.notices import REASON_WORDS
from handlers.reply import (
    Block,
    Button,
    Duration,
    Fields,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
    show,
)
from handlers.signals import refusal

# The last signals shown.
DECISIONS = 8
# What the strategies that have one call their conclusion.
OPINION = "opinion"


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
    biases = [each for each in view.biases if each.symbol == symbol]
    buttons = (
        Button("Chart", f"/chart {symbol}"),
        Button("Regime", f"/regime {symbol}"),
        Button("Patterns", f"/patterns {symbol}"),
        Button("Signals", f"/signals {symbol}"),
        Button("Trades", "/trades"),
        *(Button("Analysis", f"/analysis {each.consultation}") for each in biases),
    )
    leans = [_leaning(each, view.veto) for each in biases]
    return reply(*blocks, *leans, _decisions(desk, decisions), buttons=buttons)


def _leaning(bias: Bias, veto: bool) -> Fields:
    """Which way a model leans, and what that does to entries."""
    return Fields(
        f"What the model makes of {bias.symbol}",
        {
            "score": f"{bias.score:+.2f}",
            "confidence": f"{bias.confidence:.0%}",
            "until": Time(bias.until),
            "analysis": f"/analysis {bias.consultation}",
            "against": bias.stopped,
            "effect": effect(veto),
        },
    )


def conclude(found: WhyView) -> str:
    """In one sentence why there is no entry now, or what it waits for."""
    for gate in found.gates:
        if not gate.passed:
            return f"No entry now: {gate.gate} {gate.detail}."
    for condition in _needed(found.conditions):
        if not condition.holds:
            return f"No entry now: {_missing(condition)}."
    return "Every condition holds and every gate is open: a position is being opened."


def _missing(condition: Condition) -> str:
    if condition.name == OPINION:
        return f"its opinion is {condition.detail}"
    return f"not {condition.name} ({condition.detail})"


def _needed(conditions: Sequence[Condition]) -> Sequence[Condition]:
    """What must hold for an entry; of a strategy that forms an opinion that one alone, since the
    others are the grounds it may have."""
    opinions = [condition for condition in conditions if condition.name == OPINION]
    return opinions or conditions


def _explain(
    desk: Desk, view: CoreView, bot: BotView, symbol: str, seen: dict[str, WhyView]
) -> list[Block]:
    found = seen.get(bot.bot_id)
    if found is None:
        missing = f"{bot.missing.get(symbol, 0)} bars are missing"
        return [Text(f"{bot.bot_id} has not seen a closed bar of {symbol} yet: {missing}.")]
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
    age = show(Duration(item.age))
    return (
        f"Holds a {position.side.direction} of {size} from {entry} for {age}: "
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
    if max_age := bot.max_ages[symbol]:
        ways.append(f"at an age of {show(Duration(max_age))}")
    ways.append("when the strategy's conditions no longer hold")
    return f"It closes {', '.join(ways[:-1])}, or {ways[-1]}."


def _at(desk: Desk, symbol: str, price: Decimal | None) -> str:
    return show(price_of(desk, symbol, price))


def _decisions(desk: Desk, decisions: list[Decision]) -> Table:
    columns = ("time", "bot", "signal", "side", "reason", "price", "verdict")
    rows = tuple(_decision_row(desk, decision) for decision in reversed(decisions))
    return Table("Last decisions", columns, rows, empty="The strategy gave no signal yet.")


def _decision_row(desk: Desk, decision: Decision) -> tuple[Value, ...]:
    return (
        Time(decision.ts),
        decision.bot_id,
        str(decision.action),
        str(decision.side),
        Word(str(decision.reason)),
        price_of(desk, decision.symbol, decision.price),
        "approved" if decision.approved else refusal(decision),
    )
