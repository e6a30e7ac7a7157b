"""A bot's bars once more through the exact backtest, with everything noted that it does.

What a worker process runs where live trades are held against it (`engine.divergence`).
"""

from collections.abc import Iterable

import numpy as np

from engine.backtest.exact import Run
from engine.backtest.history import History
from engine.backtest.plan import Plan
from engine.effect import Effect, Record
from engine.exchange.paper_state import PaperSettings
from engine.ledger import Funding
from engine.position import Trade
from engine.signal import Decision
from engine.stays import Traded


def replay(plan: Plan, history: History, costs: PaperSettings, begins: int) -> Traded:
    """What the plan trades from `begins` (UTC ms) on; the candles of before only warm it up."""
    trades: list[Trade] = []
    payments: list[Funding] = []
    decisions: list[Decision] = []

    def note(effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Record(Trade() as trade):
                    trades.append(trade)
                case Record(Funding() as payment):
                    payments.append(payment)
                case Record(Decision() as decision):
                    decisions.append(decision)

    state = Run(plan, history, costs, note, begins).through()
    held = [each for each in state.positions.values() if not each.is_flat]
    return Traded(trades, held, payments, decisions)


def bars_within(history: History, start: int, stop: int) -> int:
    """How many of the candles, of all symbols, open from `start` to before `stop` (UTC ms)."""
    ends = [np.searchsorted(each.ts, (start, stop)) for each in history.columns.values()]
    return sum(int(last - first) for first, last in ends)
