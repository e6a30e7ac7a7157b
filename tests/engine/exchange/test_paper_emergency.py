"""The way to flat on paper: at once and at the last price, and never further than flat."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from engine.effect import Submit
from engine.errors import Unreachable
from engine.event import Executed, Journaled, OrderCanceled
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_emergency import PaperEmergency
from engine.exchange.paper_state import PaperSettings
from engine.killing import Killing, Scope
from engine.order import Order, OrderType, Reason, Side
from engine.ports import Exposure
from tests.clock import FakeClock
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BTC,
    BUY,
    SELL,
    T0,
    D,
    bar,
    closed,
    instrument,
    order,
)

PREFIX = "paper-test-"
BOT = ACCOUNT.removeprefix(PREFIX)
SYMBOLS = (BTC, "ETHUSDT", "SOLUSDT")
# Half a percent of slippage, 0.1 % of fee.
COSTLY = PaperSettings(taker_fee=D("0.001"), slippage=0.005, slippage_max=0.0)


class Desk:
    """A paper exchange whose answers somebody listens to."""

    def __init__(self) -> None:
        rules = {symbol: instrument(symbol) for symbol in SYMBOLS}
        self.book = PaperBook(ACCOUNT, D(1_000_000), COSTLY, rules, lambda symbol, ts: D(0))
        self.exchange = PaperExchange([self.book], {ACCOUNT: SYMBOLS})
        self.emergency = PaperEmergency(self.exchange, PREFIX)
        self.heard: list[Journaled] = []
        self._numbers: Iterator[int] = iter(range(1_000))

    def bars(self, index: int, price: float) -> None:
        for symbol in SYMBOLS:
            self.exchange.on_candle(closed(bar(index, price), symbol))

    def submit(self, symbol: str, side: Side, kind: OrderType, **how: Decimal | None) -> Order:
        made = order(side, "1", kind, sequence=next(self._numbers), symbol=symbol, **how)
        self.book.step(Submit(made))
        return made

    async def opened(self) -> None:
        """Two longs and a short at 100, and five orders that rest."""
        await self.exchange.run(self.heard.append)
        self.bars(0, 100)
        for symbol, side in zip(SYMBOLS, (BUY, SELL, BUY), strict=True):
            self.submit(symbol, side, OrderType.MARKET)
        self.bars(1, 100)
        for symbol in SYMBOLS:
            self.submit(symbol, BUY, OrderType.LIMIT, price=D(50))
        for symbol in SYMBOLS[:2]:
            self.submit(symbol, SELL, OrderType.STOP, trigger_price=D(10))
        self.exchange.dirty_states()

    def executions(self) -> list[Executed]:
        return [each for each in self.heard if isinstance(each, Executed)]


@pytest.fixture
async def desk() -> Desk:
    made = Desk()
    await made.opened()
    return made


async def test_t2_three_positions_and_five_orders_are_gone_before_the_next_bar(desk):
    assert await desk.emergency.look(BOT) == Exposure(
        BOT, {BTC: D(1), "ETHUSDT": D(-1), "SOLUSDT": D(1)}, 5
    )
    steps = []
    await Killing(desk.emergency, FakeClock(), steps.append, Scope.FLATTEN).run()
    assert await desk.emergency.look(BOT) == Exposure(BOT, {}, 0)
    assert steps[-1].text.startswith("Flat: ")
    assert len([each for each in desk.heard if isinstance(each, OrderCanceled)]) == 5
    assert desk.exchange.quantities() == {ACCOUNT: {}}


async def test_it_costs_what_a_market_order_does(desk):
    desk.bars(2, 104)
    await desk.emergency.close(BOT, BTC, D(1))
    await desk.emergency.close(BOT, "ETHUSDT", D(-1))
    sold, bought = (each.execution for each in desk.executions())
    assert (sold.side, sold.price, sold.fee) == (SELL, D(103), D("0.103"))
    assert (bought.side, bought.price, bought.fee) == (BUY, D(105), D("0.105"))
    assert {sold.trigger, bought.trigger} == {Reason.KILL}
    assert {sold.order_link_id, bought.order_link_id} == {""}


async def test_it_happens_at_the_markets_time(desk):
    desk.bars(2, 104)
    await desk.emergency.close(BOT, BTC, D(1))
    [executed] = desk.executions()
    assert executed.execution.ts == T0 + 3 * BAR


@pytest.mark.parametrize("quantity", ["1", "5"])
async def test_nothing_is_closed_further_than_flat(desk, quantity):
    for _ in range(2):
        await desk.emergency.close(BOT, BTC, D(quantity))
    assert [each.execution.quantity for each in desk.executions()] == [D(1)]


@pytest.mark.parametrize(("symbol", "quantity"), [(BTC, "-1"), (BTC, "0"), ("XRPUSDT", "1")])
async def test_what_is_not_held_is_not_closed(desk, symbol, quantity):
    await desk.emergency.close(BOT, symbol, D(quantity))
    assert desk.heard == []


async def test_a_part_can_be_closed(desk):
    await desk.emergency.close(BOT, "ETHUSDT", D("-0.4"))
    found = await desk.emergency.look(BOT)
    assert found.positions["ETHUSDT"] == D("-0.6")


async def test_a_stop_goes_with_its_position_and_meets_nothing_afterwards(desk):
    await Killing(desk.emergency, FakeClock(), lambda step: None, Scope.FLATTEN).run()
    before = list(desk.heard)
    for index, price in ((2, 1.0), (3, 1_000.0), (4, 1.0)):
        desk.bars(index, price)
    assert desk.heard == before
    assert desk.exchange.quantities() == {ACCOUNT: {}}


async def test_what_was_done_is_stored_with_the_next_commit(desk):
    await desk.emergency.cancel_all(BOT)
    [row] = desk.exchange.dirty_states()
    assert row.key == f"paper:{ACCOUNT}"


async def test_nothing_is_done_while_nobody_listens():
    desk = Desk()
    desk.bars(0, 100)
    with pytest.raises(Unreachable, match="not running yet"):
        await desk.emergency.cancel_all(BOT)
