"""A bot as it is looked at for better parameters: what it may change, and how it has done.

Nouns. Times are UTC ms, `net` is in quote currency.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.candle import HOUR_MS
from engine.position import Trade
from engine.tunable import Parameter

# Trades that are looked at, the last ones, and those that are listed one by one.
TRADES = 50
LISTED = 15


@dataclass(frozen=True, slots=True)
class Choice:
    """A parameter that may be changed now, from `lowest` to `highest`, and its value."""

    parameter: Parameter
    value: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class BotFacts:
    """What a bot does and did. `gates` count the entries that each gate stopped, `regimes` name the
    market of each symbol; `losing` says why nothing may be loosened, `stopped` why nothing may be
    changed at all; both are empty where it may."""

    bot_id: str
    strategy: str
    summary: str
    symbols: tuple[str, ...]
    choices: tuple[Choice, ...]
    trades: tuple[Trade, ...]
    gates: tuple[tuple[str, int], ...]
    regimes: tuple[tuple[str, str], ...]
    losing: str = ""
    stopped: str = ""

    @property
    def is_losing(self) -> bool:
        """Whether it lost on balance, or the desk counts as losing."""
        return bool(self.losing) or sum(trade.net_pnl for trade in self.trades) < 0

    def to_text(self) -> str:
        """The facts, a line each."""
        return "\n".join(_lines(self))


def _lines(facts: BotFacts) -> Iterator[str]:
    yield f"bot: {facts.bot_id}, strategy {facts.strategy}: {facts.summary}"
    for symbol, regime in facts.regimes:
        yield f"market of {symbol} now: {regime}"
    yield "parameters (name: value; allowed now; what it is):"
    for each in facts.choices:
        yield f"  {each.parameter.name}: {_choice(each)}"
    yield from _results(facts)
    if facts.losing:
        yield f"the desk is losing: {facts.losing}"
    for gate, count in facts.gates:
        yield f"entries stopped by the gate {gate}: {count}"


def _choice(each: Choice) -> str:
    parameter = each.parameter
    if parameter.choices:
        allowed = ", ".join(parameter.choices)
    else:
        low, high, step = map(parameter.show, (each.lowest, each.highest, parameter.step))
        allowed = f"{low} to {high} in steps of {step}"
    return f"{parameter.show(each.value)}; {allowed}; {parameter.words}"


def _results(facts: BotFacts) -> Iterator[str]:
    trades = facts.trades
    if not trades:
        yield "trades: none has closed yet"
        return
    won = sum(trade.net_pnl > 0 for trade in trades)
    net = sum(trade.net_pnl for trade in trades)
    costs = sum(trade.commission for trade in trades)
    yield f"last {len(trades)} trades: {won} won, net {net:.2f}, commission {costs:.2f}"
    yield "the last of them (symbol, side, hours held, net, entered because, left because):"
    for trade in trades[-LISTED:]:
        hours = (trade.exit_time - trade.entry_time) / HOUR_MS
        words = f"{trade.symbol}, {trade.side.direction}, {hours:.1f}, {trade.net_pnl:.2f}"
        yield f"  {words}, {trade.entry_reason}, {trade.close_reason}"
