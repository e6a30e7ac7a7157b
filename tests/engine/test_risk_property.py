"""Any sequence of wishes, orders by hand, fills, failures, restarts and midnights under limits.

What is sent to open a position is measured anew, with all open and unknown orders taken as filled
at the worst price they allow; and a position may always be closed.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from random import Random

import pytest

from engine.candle import DAY_MS, MINUTE_MS
from engine.effect import Done, NotDone, Proposed, Submit
from engine.event import (
    ExchangeFailed,
    Executed,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    PriceTicked,
)
from engine.instruction import ClosePosition, PlaceOrder
from engine.limits import USUAL_LIMITS, Caps, Step
from engine.memory import Memory
from engine.order import ZERO, Order, OrderType, Reason, Side
from engine.position import Position
from tests.askers import asking
from tests.engine.conftest import (
    BAR,
    BTC,
    BUY_NOW,
    NO_EXITS,
    SELL_NOW,
    T0,
    USUAL_SIZING,
    D,
    bot,
    execution,
    puppet,
)
from tests.engine.cores import ETH, of
from tests.engine.limited import FREE
from tests.engine.office import TOM, Office

SEEDS, MOVES = 25, 400
SYMBOLS = (BTC, ETH, "SOLUSDT")
CAPS = Caps(
    order_value=D(4_000),
    position_value=D(6_000),
    gross_exposure=D(9_000),
    leverage=10,
    orders_a_minute=3,
    daily_loss=D(600),
)
WISHES = (0.0, SELL_NOW, BUY_NOW)
tom = asking(TOM)


@dataclass
class Storm:
    """A desk of two bots that trade the same symbols, and what happens to it by chance."""

    rng: Random
    office: Office = field(init=False)
    index: int = 0
    sent: list[int] = field(default_factory=list)
    opened: int = 0
    fills: int = 0

    def __post_init__(self) -> None:
        strategy = puppet(
            exits=NO_EXITS._replace(stop_loss=0.04), sizing=USUAL_SIZING._replace(margin=0.03)
        )
        names = ("one_001", "two_001")
        bots = [bot(strategy, name, SYMBOLS) for name in names]
        policy = replace(FREE, limits=USUAL_LIMITS, caps=CAPS)
        self.office = Office(policy=policy, bots=bots)
        for symbol in SYMBOLS:
            self.office.candle(0, 1000, symbol=symbol)

    @property
    def memory(self) -> Memory:
        return self.office.core._memory

    def orders(self) -> list[Order]:
        return [each for state in self.memory.accounts.values() for each in state.orders.values()]

    def positions(self) -> list[Position]:
        return [each for account in self.memory.accounts for each in self.memory.held(account)]

    # -- moves ---------------------------------------------------------------------------

    def move(self) -> None:
        moves = (
            self.candle, self.candle, self.candle, self.tick, self.ask, self.ask, self.fill,
            self.fill, self.fill, self.end, self.doubt, self.close, self.stop_out, self.restart,
            self.fail, self.midnight,
        )  # fmt: skip
        self.rng.choice(moves)()
        self.check()

    def price(self, symbol: str) -> float:
        last = self.memory.desk.prices[symbol]
        return float(max(round(last * self.rng.uniform(0.98, 1.02)), 200))

    def candle(self) -> None:
        self.index += 1
        for symbol in SYMBOLS:
            self.office.candle(self.index, self.price(symbol), self.rng.choice(WISHES), symbol)
            self.check()

    def midnight(self) -> None:
        day = DAY_MS // BAR
        self.index = self.index // day * day + day - 2
        self.candle()

    def tick(self) -> None:
        symbol = self.rng.choice(SYMBOLS)
        at = self.memory.desk.now + 1_000
        self.office.step(PriceTicked(symbol, self.price(symbol), at))

    def ask(self) -> None:
        """A person asks for an order, and confirms it after the price has moved."""
        symbol, side = self.rng.choice(SYMBOLS), self.rng.choice(list(Side))
        kind = self.rng.choice([OrderType.MARKET, OrderType.LIMIT, OrderType.STOP])
        amount = D(self.rng.choice([500, 2_000, 4_000, 4_100, 5_000]))
        asked = None if kind is OrderType.MARKET else D(self.price(symbol))
        bot_id = self.rng.choice(list(self.memory.bots))
        wanted = PlaceOrder(bot_id, symbol, side, amount, order_type=kind, price=asked)
        result = self.office.ask(wanted, tom)
        if isinstance(result, Proposed):
            if self.rng.random() < 0.5:
                self.tick()
            self.office.press(result.proposal, tom)

    def fill(self) -> None:
        """An order is filled, perhaps in part, as dear as it allows."""
        if not self.orders():
            return
        order = self.rng.choice(self.orders())
        self.fills += 1
        part = max(order.remaining if self.rng.random() < 0.7 else order.remaining / 2, D("0.1"))
        part = min(part.quantize(D("0.1")), order.remaining)
        price = order.price or order.trigger_price or self.memory.mark(order.symbol)
        self.office.step(OrderAccepted(order.account, order.order_link_id, "X", order.created_at))
        self.trade(order.side, part, price, order.symbol, order.account, order)

    def trade(self, side, quantity, price, symbol, account, order=None, trigger=None) -> None:
        ts = self.memory.desk.now
        done = execution(order, side=side, quantity=quantity, price=str(price), ts=ts,
                         symbol=symbol, account=account, trigger=trigger)  # fmt: skip
        self.office.step(Executed(done))

    def end(self) -> None:
        if self.orders():
            order = self.rng.choice(self.orders())
            kind = self.rng.choice([OrderCanceled, OrderRejected])
            self.office.step(kind(order.account, order.order_link_id, "no", self.memory.desk.now))

    def doubt(self) -> None:
        if self.orders():
            order = self.rng.choice(self.orders())
            self.office.step(
                OrderUnknown(order.account, order.order_link_id, "?", self.memory.desk.now)
            )

    def close(self) -> None:
        """A person closes a position: refused by nothing but an order that may do so already."""
        if not self.positions():
            return
        held = self.rng.choice(self.positions())
        result = self.office.ask(ClosePosition(held.bot_id, held.symbol, D(1)), tom)
        if isinstance(result, NotDone):
            assert "order" in result.reason
            return
        assert isinstance(self.office.press(result.proposal, tom), Done)

    def stop_out(self) -> None:
        """The exchange closes a position at a loss."""
        if self.positions():
            held = self.rng.choice(self.positions())
            price = round(self.memory.mark(held.symbol) * (1 - D("0.03") * held.side.sign))
            self.trade(held.side.opposite, abs(held.quantity), price, held.symbol, held.account,
                       trigger=Reason.STOP_LOSS)  # fmt: skip

    def fail(self) -> None:
        account = self.rng.choice(list(self.memory.accounts))
        self.office.step(ExchangeFailed(account, "no answer", self.memory.desk.now))

    def restart(self) -> None:
        self.office.restart()
        self.office.effects = []

    # -- what must hold ------------------------------------------------------------------

    def check(self) -> None:
        submits, self.office.effects = of(Submit, self.office.effects), []
        for each in submits:
            order, now = each.order, each.order.created_at
            self.sent = [*(at for at in self.sent if at > now - MINUTE_MS), now]
            if not order.reduce_only:
                self.opened += 1
                self.check_entry(order)

    def check_entry(self, order: Order) -> None:
        assert self.worth(order) <= CAPS.order_value
        worths = [(each.symbol, self.worth(each)) for each in self.entries()]
        worths += [
            (each.symbol, abs(each.quantity) * self.memory.mark(each.symbol))
            for each in self.positions()
        ]
        assert sum(worth for _, worth in worths) <= CAPS.gross_exposure
        assert sum(worth for name, worth in worths if name == order.symbol) <= CAPS.position_value
        assert order.leverage <= CAPS.leverage
        assert len(self.sent) <= CAPS.orders_a_minute
        self.check_losses(order)

    def check_losses(self, order: Order) -> None:
        memory, now = self.memory, order.created_at
        tally = memory.accounts[order.account].tally
        equity = memory.equity(order.account)
        for span, window in tally.windows.items():
            if not window.until or window.until > now:
                assert window.step is not Step.STOPPED
                assert memory.ladders[span].step(-window.change(equity)) is not Step.STOPPED
        assert memory.desk.cap_log.told_on != now - now % DAY_MS
        todays = {name: state.tally.today for name, state in memory.accounts.items()}
        lost = sum(
            (today.equity - memory.equity(name) for name, today in todays.items()
             if today and today.began == now - now % DAY_MS),
            ZERO,
        )  # fmt: skip
        assert lost + self.at_stops() <= CAPS.daily_loss
        assert now >= max(tally.rests_until, tally.shut_until)
        assert not [each for each in tally.locks if each.until > now and not each.symbol]

    def entries(self) -> list[Order]:
        return [each for each in self.orders() if not each.reduce_only]

    def worth(self, order: Order) -> Decimal:
        price = order.price or order.trigger_price or self.memory.mark(order.symbol)
        return order.remaining * price

    def at_stops(self) -> Decimal:
        found = ZERO
        for order in self.entries():
            price = order.price or order.trigger_price or self.memory.mark(order.symbol)
            away = abs(price - order.stop_loss) if order.stop_loss else price
            found += min(order.remaining * away, self.worth(order) / order.leverage)
        for held in self.positions():
            mark = self.memory.mark(held.symbol)
            left = max(held.margin + held.unrealized(mark), ZERO)
            entry = self.memory.accounts[held.account].entries.get(held.symbol)
            stop = entry.stop_loss if entry else None
            away = max((mark - stop) * held.side.sign, ZERO) if stop else mark
            found += min(abs(held.quantity) * away, left)
        return found


@pytest.mark.parametrize("seed", range(SEEDS))
def test_limits_and_caps_hold_whatever_happens(seed):
    storm = Storm(Random(seed))
    for _ in range(MOVES):
        storm.move()
    assert storm.opened > 5 and storm.fills > 5
    assert storm.memory.desk.now > T0 + DAY_MS
