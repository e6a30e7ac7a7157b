"""The exact backtest: the desk's own core and paper exchange over recorded candles.

Nothing of them is replaced: what the desk would decide and the paper exchange would fill is
what is counted here, candle by candle, without a store and without waiting.
"""

from collections.abc import Callable, Iterable, Iterator
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
from engine.memory import AccountState, Policy
from engine.metrics import Mark, RoundTrip
from engine.order import Order
from engine.outcomes import trip_of
from engine.position import Position, Trade

ACCOUNT = "backtest"
BOT = "backtest"

# The first stop of each entry, by symbol and the order's id in our books.
Stops = dict[tuple[str, str], Decimal | None]
Note = Callable[[Iterable[Effect]], None]


def run(plan: Plan, history: History) -> Outcome:
    """Backtest a plan candle by candle through the real core."""
    costs = PaperSettings(taker_fee=exact(plan.fee), slippage=plan.slippage, slippage_max=0.0)
    noted = _Noted()
    state = Run(plan, history, costs, noted.take).through()
    held = [
        _held(position, float(history.columns[position.symbol].close[-1]))
        for position in state.positions.values()
        if not position.is_flat
    ]
    ledger = state.ledger
    sums = (float(each) for each in (ledger.balance, ledger.fees, ledger.funding))
    return outcome(plan, history, noted.trips, held, noted.marks, *sums)


class Run:
    """One desk of one bot on a history; `note` is told all that it does.

    `costs` are those of its paper account. It enters nothing at a candle that closed by `begins`
    (UTC ms): those only warm it up.
    """

    def __init__(
        self, plan: Plan, history: History, costs: PaperSettings, note: Note, begins: int = 0
    ) -> None:
        self._history = history
        self._note = note
        self._begins = begins
        deposit = exact(plan.deposit)
        bot = Bot(BOT, plan.strategy, history.symbols, ACCOUNT, deposit)
        instruments = dict(history.instruments)
        policy = Policy(secret=b"", taker_fee=costs.taker_fee)
        self._core = Core([bot], instruments, history.interval, BOT, ACCOUNT, policy)
        self._core.set_sides(plan.sides)
        self._rates = {symbol: _by_stamp(history, symbol) for symbol in history.symbols}
        self._book = PaperBook(ACCOUNT, deposit, costs, instruments, self._rate)

    def through(self) -> AccountState:
        """Take every candle; the account after the last one."""
        feeds = [self._candles(s, c) for s, c in self._history.columns.items()]
        for event in merge(*feeds, key=attrgetter("closed_at")):
            self._take(event)
        return self._core.accounts()[ACCOUNT]

    def _candles(self, symbol: str, columns: Columns) -> Iterator[CandleClosed]:
        interval = self._history.interval
        settled, funding = -FUNDING_EVERY_MS, 0.0
        lists = (column.tolist() for column in columns)
        for row in zip(*lists, strict=True):
            closed_at = row[0] + interval
            if closed_at - settled >= FUNDING_EVERY_MS:
                settled = settled_before(closed_at)
                funding = float(self._rate(symbol, settled))
            late = closed_at <= self._begins
            yield CandleClosed(symbol, Candle._make(row), closed_at, late, funding=funding)

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

    def _rate(self, symbol: str, stamp: int) -> Decimal:
        return self._rates[symbol].get(stamp, exact(FUNDING_RATE))


class _Noted:
    """The closed trades of a run, and the worth of its account at full hours."""

    def __init__(self) -> None:
        self.trips: list[RoundTrip] = []
        self.marks: list[Mark] = []
        self._stops: Stops = {}

    def take(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Sample(point):
                    self.marks.append(Mark(point.ts, float(point.equity)))
                case Record(Order() as order) if not order.reduce_only:
                    self._stops.setdefault((order.symbol, order.client_order_id), order.stop_loss)
                case Record(Trade() as trade):
                    stop = self._stops.get((trade.symbol, trade.entry_client_order_id))
                    self.trips.append(trip_of(trade, stop))


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
