"""T20. An exit that locks a gain in is an order at the market: it costs what the market asks.

The reference system closed such positions at their entry price, or at the stop's own.
"""

import pytest

from engine.candle import Candle
from engine.effect import Submit
from engine.event import Executed, PriceTicked
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.order import Execution, Reason, Side
from engine.position import Trade
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BTC,
    SELL,
    T0,
    D,
    bar,
    closed,
    execution,
    instrument,
    order,
)
from tests.engine.cores import core, entered, of

# A percent against every order that takes; at 1,000 with a tick of 1 that is ten ticks.
SLIPPERY = PaperSettings(taker_fee=D("0.001"), slippage=0.01, slippage_max=0.0, seed=1)
# How far from the entry at 1,000, in the direction of the gain. A trailing stop is a distance.
TRAILING = {"trailing_stop": 30, "trailing_activation": 40}
BREAK_EVEN = {"break_even_trigger": 40, "break_even_stop": 20}
BEST = 60
LOCKS = {
    # The best price was 1,060: the stop stands 30 behind it.
    "trailing": (TRAILING, 30, Reason.TRAILING_STOP),
    "break-even": (BREAK_EVEN, 20, Reason.STOP_LOSS),
}


def held(side: Side, lock: dict[str, int]) -> PaperBook:
    """A position of 1, opened near 1,000, that has come 60 far."""
    book = PaperBook(ACCOUNT, D(10_000), SLIPPERY, {BTC: instrument()}, lambda *_: D(0))
    levels = {
        name: D(away) if name == "trailing_stop" else D(1000 + side.sign * away)
        for name, away in lock.items()
    }
    wanted = order(side, "1", ts=T0 + BAR, stop_loss=D(1000 - 100 * side.sign), **levels)
    best = 1000.0 + side.sign * BEST
    book.step(closed(bar(0, 1000)))
    book.step(Submit(wanted))
    book.step(closed(bar(1, 1000)))
    book.step(closed(bar(2, 1000, high=max(1000, best), low=min(1000, best), close=best)))
    return book


def left(book: PaperBook, event: Candle | PriceTicked) -> Execution:
    answers = book.step(closed(event) if isinstance(event, Candle) else event)
    [found] = [each.execution for each in answers if isinstance(each, Executed)]
    return found


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("lock", "stands", "reason"), LOCKS.values(), ids=LOCKS)
@pytest.mark.parametrize("gap", [0, 8])
def test_t20_a_locked_in_exit_fills_at_the_market_with_slippage(side, lock, stands, reason, gap):
    """T20. Met within a bar it is filled a percent beyond its level, behind a gap beyond that."""
    book = held(side, lock)
    level = 1000 + side.sign * stands
    first = level - side.sign * gap
    start = 1000.0 + side.sign * BEST if not gap else first
    end = level - side.sign * 9.0
    exit_ = left(book, bar(3, start, high=max(start, end), low=min(start, end), close=end))
    assert (exit_.trigger, exit_.side) == (reason, side.opposite)
    assert 9 <= (first - exit_.price) * side.sign <= 11
    assert exit_.price not in (D(1000), D(level))


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(("lock", "stands", "reason"), LOCKS.values(), ids=LOCKS)
def test_t20_between_bars_it_fills_at_the_price_that_was_told(side, lock, stands, reason):
    """T20. The price that meets it may be far beyond its level."""
    told = 1000 + side.sign * (stands - 25)
    exit_ = left(held(side, lock), PriceTicked(BTC, float(told), T0 + 3 * BAR + 1_000))
    assert exit_.trigger is reason
    assert 9 <= (told - exit_.price) * side.sign <= 11


@pytest.mark.parametrize("reason", [Reason.TRAILING_STOP, Reason.STOP_LOSS])
def test_t20_a_trade_is_booked_at_what_its_exit_was_filled_at(reason):
    """T20. Whatever exchange it was: neither the level nor the entry is taken for the price."""
    desk = core()
    entry = entered(desk, price=100, side=SELL)
    price = D("97.3")
    done = execution(
        side=entry.side.opposite,
        quantity=entry.quantity,
        price=str(price),
        ts=T0 + 2 * BAR,
        trigger=reason,
    )
    [trade] = of(Trade, desk.step(Executed(done)))
    assert (trade.exit_price, trade.close_reason) == (price, reason)
    assert trade.gross_pnl == (100 - price) * entry.quantity
