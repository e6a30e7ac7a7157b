"""The facts of a market as a running desk gives them."""

from decimal import Decimal

import pytest

from bot.market_facts import market_facts
from engine.candle import DAY_MS, HOUR_MS, aggregate
from engine.desk import Desk
from engine.errors import Refused
from engine.order import Side
from engine.position import Trade
from engine.signal import Decision
from engine.vote import read
from tests.handlers.conftest import desk, empty_desk, open_desk
from tests.handlers.desks import BAR, BOT, BTC, ETH, FALLING_TWICE, OpenDesk, ScriptedMarket, course

__all__ = ["desk", "empty_desk", "open_desk"]


async def test_what_the_desk_did_in_a_market_is_among_its_facts(desk: Desk) -> None:
    found = await market_facts(desk, BTC)
    view = desk.view()
    (item,) = view.positions
    (held,) = found.held
    assert (held.bot_id, held.side) == (BOT, Side.SELL)
    assert held.quantity == float(abs(item.position.quantity))
    assert held.entry == float(item.position.cost / item.position.quantity)
    assert held.gain == pytest.approx(1 - found.price / held.entry)
    assert held.stop_loss == float(item.stop_loss or 0)
    (trade,) = await desk.recent(Trade, lambda trade: trade.exit_time, symbol=BTC)
    assert found.trades == (trade,)
    signals = await desk.recent(Decision, lambda signal: signal.ts, symbol=BTC)
    assert found.signals == tuple(signals[-5:])
    (trader,) = found.traders
    assert (trader.bot_id, trader.strategy, trader.timeframe) == (BOT, "shortseller", "5m")


async def test_a_market_nobody_trades_in_has_no_doings(desk: Desk) -> None:
    found = await market_facts(desk, ETH)
    assert (found.held, found.trades, found.signals) == ((), (), ())


async def test_prices_are_those_of_the_last_candle_with_the_digits_of_the_tick(desk: Desk) -> None:
    found = await market_facts(desk, BTC)
    bars = course(100_000.0, FALLING_TWICE)
    assert (found.ts, found.price) == (desk.view().market_time, bars[-1].close)
    assert found.digits == 1
    assert found.funding == float(Decimal("0.0001"))
    closes = {bar.ts + BAR: bar.close for bar in bars}
    assert dict(found.changes) == {
        "1h": found.price / closes[found.ts - HOUR_MS] - 1,
        "24h": found.price / closes[found.ts - DAY_MS] - 1,
    }


async def test_each_timeframe_of_the_market_is_measured(desk: Desk) -> None:
    found = await market_facts(desk, BTC)
    assert [each.name for each in found.timeframes] == ["15m", "30m", "1h", "4h"]
    hours = aggregate(course(100_000.0, FALLING_TWICE), BAR, HOUR_MS)
    assert found.base == "1h"
    assert found.candles == tuple(hours[-120:])
    assert found.timeframes[2].bars == len(hours)
    assert found.regime is None


async def test_with_two_hundred_hours_there_is_a_regime(open_desk: OpenDesk) -> None:
    bars = course(100_000.0, [(2_400, 1.0)])
    desk = await open_desk(ScriptedMarket({BTC: bars}))
    found = await market_facts(desk, BTC)
    assert found.regime is not None
    assert found.regime.readings.close == bars[-1].close


async def test_a_market_of_longer_bars_has_the_timeframes_that_it_can_make(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(2_000, 1.0)])}))
    monkeypatch.setattr(desk.market, "interval", DAY_MS)
    found = await market_facts(desk, BTC)
    assert [each.name for each in found.timeframes] == ["1d"]
    assert found.base == "1d"
    assert read(found).reasoning.startswith("1d has")


async def test_a_first_candle_is_enough(open_desk: OpenDesk) -> None:
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(1, 0.0)])}))
    found = await market_facts(desk, BTC)
    assert (found.timeframes, found.candles, found.changes) == ((), (), ())
    assert "price 100000.0" in found.to_text()


async def test_before_it_there_is_nothing_to_look_at(empty_desk: Desk) -> None:
    with pytest.raises(Refused, match="No candle of BTCUSDT has closed yet"):
        await market_facts(empty_desk, BTC)
