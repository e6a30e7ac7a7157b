"""The exact backtest: the desk's own core and paper exchange over recorded candles.

Nothing of them is replaced: what the desk would decide and the paper exchange would fill is
what is counted here, candle by candle, without a store and without waiting.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from heapq import merge
from operator import attrgetter

from engine.backtest.history import History
from engine.backtest.outcome import outcome
from engine.backtest.plan import FUNDING_RATE, Held, Outcome, Plan
from engine.bot import Bot
from engine.candle import FUNDING_EVERY_MS, Candle, settled_before
from engine.columns import Columns
from engine.core import Core
from engine.effect import Effect, Record, Sample, Submit
from engine.event import CandleClosed
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instrument import exact
from engine.memory import Policy
from engine.metrics import Mark, RoundTrip
from engine.order import Order
from engine.outcomes import trip_of
from engine.position import Position, Trade

ACCOUNT = "backtest"
BOT = "backtest"

# The first stop of each entry, by symbol and the order's id in our books.
Stops = dict[tuple[str, str], Decimal | None]


def run(plan: Plan, history: History) -> Outcome:
    """Backtest a plan candle by candle through the real core."""
    return _Run(plan, history).outcome()


class _Run:
    """One desk of one bot, and what it did."""

    def __init__(self, plan: Plan, history: History) -> None:
        self._plan = plan
        self._history = history
        fee, deposit = exact(plan.fee), exact(plan.deposit)
        bot = Bot(BOT, plan.strategy, history.symbols, ACCOUNT, deposit)
        instruments = dict(history.instruments)
        policy = Policy(secret=b"", taker_fee=fee)
        self._core = Core([bot], instruments, history.interval, BOT, ACCOUNT, policy)
        self._core.set_sides(plan.sides)
        self._rates = {symbol: _by_stamp(history, symbol) for symbol in history.symbols}
        costs = PaperSettings(taker_fee=fee, slippage=plan.slippage, slippage_max=0.0)
        self._book = PaperBook(ACCOUNT, deposit, costs, instruments, self._rate)
        self._trips: list[RoundTrip] = []
        self._marks: list[Mark] = []
        self._stops: Stops = {}

    def outcome(self) -> Outcome:
        feeds = [self._candles(s, c) for s, c in self._history.columns.items()]
        for event in merge(*feeds, key=attrgetter("closed_at")):
            self._take(event)
        state = self._core.accounts()[ACCOUNT]
        held = [_held(p, self._last(p.symbol)) for p in state.positions.values() if not p.is_flat]
        ledger = state.ledger
        return outcome(
            self._plan,
            self._history,
            self._trips,
            held,
            self._marks,
            float(ledger.balance),
            float(ledger.fees),
            float(ledger.funding),
        )

    def _candles(self, symbol: str, columns: Columns) -> Iterator[CandleClosed]:
        interval = self._history.interval
        settled, funding = -FUNDING_EVERY_MS, 0.0
        lists = (column.tolist() for column in columns)
        for row in zip(*lists, strict=True):
            closed_at = row[0] + interval
            if closed_at - settled >= FUNDING_EVERY_MS:
                settled = settled_before(closed_at)
                funding = float(self._rate(symbol, settled))
            yield CandleClosed(symbol, Candle._make(row), closed_at, funding=funding)

    def _take(self, event: CandleClosed) -> None:
        core, book = self._core, self._book
        for answer in book.step(event):
            self._note(core.step(answer))
        effects = core.step(event)
        if not effects:
            return
        self._note(effects)
        for effect in effects:
            if isinstance(effect, Submit):
                for answer in book.step(effect):
                    self._note(core.step(answer))

    def _note(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Sample(point):
                    self._marks.append(Mark(point.ts, float(point.equity)))
                case Record(Order() as order) if not order.reduce_only:
                    self._stops.setdefault((order.symbol, order.client_order_id), order.stop_loss)
                case Record(Trade() as trade):
                    stop = self._stops.get((trade.symbol, trade.entry_client_order_id))
                    self._trips.append(trip_of(trade, stop))

    def _rate(self, symbol: str, stamp: int) -> Decimal:
        return self._rates[symbol].get(stamp, exact(FUNDING_RATE))

    def _last(self, symbol: str) -> float:
        return float(self._history.columns[symbol].close[-1])


def _by_stamp(history: History, symbol: str) -> dict[int, Decimal]:
    rates = history.rates[symbol]
    return {int(ts): exact(float(rate)) for ts, rate in zip(*rates, strict=True)}


def _held(position: Position, price: float) -> Held:
    assert position.average_price is not None and position.side is not None
    return Held(
        symbol=position.symbol,
        side=position.side.sign,
        quantity=float(abs(position.quantity)),
        entry_time=position.opened_at,
        entry_price=float(position.average_price),
        price=price,
        profit=float(position.unrealized(exact(price))),
    )
