"""What a closed trade and a bot are looked at by, as a running desk gives it."""

from dataclasses import replace

import pytest

from bot.trade_facts import BEFORE, CANDLES_MAX, bot_facts, trade_facts
from engine.autopsy import verdict
from engine.candle import DAY_MS, HOUR_MS, Candle
from engine.desk import Desk
from engine.errors import Refused, Unreachable
from engine.order import Order
from engine.position import Trade
from engine.signal import Action, Decision
from handlers import autopsy_card
from handlers.market import past_candles
from handlers.reply import Chart, Reply
from tests.clock import FakeClock
from tests.handlers.conftest import desk, empty_desk, open_desk, young_desk
from tests.handlers.desks import (
    BAR,
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    OpenDesk,
    ScriptedMarket,
    course,
    say,
)

__all__ = ["desk", "empty_desk", "open_desk", "young_desk"]


class ForgetfulMarket(ScriptedMarket):
    """A market whose candles may be gone, or which may not be reached."""

    gone = False
    down = False

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        if self.down:
            raise Unreachable("The market does not answer.")
        return [] if self.gone else await super().history(symbol, interval, until, limit)


async def the_trade(desk: Desk) -> Trade:
    [trade] = await desk.recent(Trade, lambda trade: trade.exit_time)
    return trade


# -- trades ------------------------------------------------------------------------------


async def test_a_trade_is_known_with_its_order_its_signal_and_its_candles(desk: Desk) -> None:
    trade = await the_trade(desk)
    found = await trade_facts(desk, trade)
    orders = await desk.recent(Order, lambda order: order.created_at)
    [order] = [each for each in orders if each.client_order_id == trade.entry_client_order_id]
    signals = await desk.recent(Decision, lambda signal: signal.ts)
    [signal] = [each for each in signals if each.order_link_id == order.order_link_id]
    assert (found.leverage, found.confidence) == (order.leverage, signal.confidence)
    assert order.stop_loss and order.take_profit
    assert found.levels == (
        ("stop", float(order.stop_loss)),
        ("target", float(order.take_profit)),
    )
    assert (found.interval, found.digits) == (BAR, 1)


async def test_what_was_to_be_had_is_measured_on_the_candles_of_its_time(desk: Desk) -> None:
    trade = await the_trade(desk)
    found = await trade_facts(desk, trade)
    bars = course(100_000.0, FALLING_TWICE)
    held = [b for b in bars if trade.entry_time - BAR < b.ts < trade.exit_time]
    assert found.measured is not None
    assert found.measured.best_price == min(bar.low for bar in held)
    later = dict(found.measured.later)
    at = {bar.ts + BAR: bar.close for bar in bars}
    entry = float(trade.entry_price)
    assert later[1] == pytest.approx(1 - at[trade.exit_time + HOUR_MS] / entry)
    assert later[24] is None
    before = [bar for bar in found.candles if bar.ts < trade.entry_time]
    assert len(before) == pytest.approx(BEFORE, abs=1)


async def test_what_has_not_come_yet_by_the_markets_time_is_not_known(desk: Desk) -> None:
    """A replayed market is years behind the clock."""
    clock = desk.clock
    assert isinstance(clock, FakeClock)
    trade = await the_trade(desk)
    before = await trade_facts(desk, trade)
    clock.advance(400 * 86_400)
    assert await trade_facts(desk, trade) == before


async def test_a_long_trade_is_looked_at_on_longer_candles(desk: Desk) -> None:
    trade = await the_trade(desk)
    month = replace(trade, entry_time=trade.exit_time - 30 * DAY_MS)
    found = await trade_facts(desk, month)
    assert found.interval == 2 * HOUR_MS
    assert found.interval * CANDLES_MAX >= 30 * DAY_MS


async def test_candles_made_in_parts_are_those_made_in_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = desk.view().market_time
    whole = await desk.market.history(BTC, HOUR_MS, now, 50)
    monkeypatch.setattr("handlers.market.BARS_AT_ONCE", 84)
    assert await past_candles(desk, BTC, HOUR_MS, now, 50) == whole
    everything = await desk.market.history(BTC, HOUR_MS, now, 10_000)
    assert await past_candles(desk, BTC, HOUR_MS, now, 10_000) == everything


async def test_a_trade_whose_order_is_not_known_has_no_levels(desk: Desk) -> None:
    trade = replace(await the_trade(desk), entry_client_order_id="adopted")
    found = await trade_facts(desk, trade)
    assert (found.leverage, found.confidence, found.levels) == (None, None, ())
    assert found.measured is not None and found.measured.met == ()
    assert "leverage" not in found.to_text()


async def shown(desk: Desk) -> Reply:
    facts = await trade_facts(desk, await the_trade(desk))
    return await autopsy_card.card(desk, 1, verdict(facts, ""))


async def test_a_trade_whose_candles_are_gone_is_shown_without_prices(open_desk: OpenDesk) -> None:
    market = ForgetfulMarket({BTC: course(100_000.0, FALLING_TWICE)})
    desk = await open_desk(market)
    assert any(isinstance(block, Chart) for block in (await shown(desk)).blocks)
    market.gone = True
    found = await trade_facts(desk, await the_trade(desk))
    assert (found.measured, found.candles) == (None, ())
    answer = await shown(desk)
    assert not any(isinstance(block, Chart) for block in answer.blocks)


async def test_a_card_goes_without_its_chart_where_the_market_can_not_be_reached(
    open_desk: OpenDesk,
) -> None:
    market = ForgetfulMarket({BTC: course(100_000.0, FALLING_TWICE)})
    desk = await open_desk(market)
    facts = await trade_facts(desk, await the_trade(desk))
    market.down = True
    answer = await autopsy_card.card(desk, 1, verdict(facts, ""))
    assert answer.ok and not any(isinstance(block, Chart) for block in answer.blocks)


# -- bots --------------------------------------------------------------------------------


async def test_a_bot_is_known_with_its_parameters_trades_and_gates(desk: Desk) -> None:
    found = await bot_facts(desk, BOT)
    assert found.trades == (await the_trade(desk),)
    scope = desk.tuning().scopes[BOT].parameters
    known = {each.parameter.name: (each.value, each.lowest, each.highest) for each in found.choices}
    assert known.keys() <= scope.keys() and "fast" in known
    assert known["fast"] == (scope["fast"].value, scope["fast"].lowest, scope["fast"].highest)
    signals = await desk.recent(Decision, lambda signal: signal.ts)
    stopped = [s.gate for s in signals if s.action is Action.ENTRY and not s.approved]
    assert dict(found.gates) == {gate: stopped.count(gate) for gate in stopped}
    assert [symbol for symbol, _ in found.regimes] == [BTC, ETH]
    assert "last 1 trades" in found.to_text()


async def test_a_parameter_that_rests_after_a_change_is_no_choice(desk: Desk) -> None:
    assert (await say(desk, f"/tune set crosses_per_day 9 bot={BOT}")).ok
    names = {each.parameter.name for each in (await bot_facts(desk, BOT)).choices}
    scope = desk.tuning().scopes[BOT].parameters["crosses_per_day"]
    assert scope.rests_until > desk.tuning().now
    assert "crosses_per_day" not in names


async def test_a_young_bot_has_no_trades_and_no_regime(young_desk: Desk) -> None:
    found = await bot_facts(young_desk, BOT)
    assert (found.trades, found.gates) == ((), ())
    assert "trades: none has closed yet" in found.to_text()


async def test_before_the_first_candle_no_regime_is_known(empty_desk: Desk) -> None:
    assert (await bot_facts(empty_desk, BOT)).regimes == ((BTC, "not known yet"),)


async def test_a_bot_that_there_is_not_is_refused(desk: Desk) -> None:
    with pytest.raises(Refused, match="There is no bot nobody_001"):
        await bot_facts(desk, "nobody_001")
