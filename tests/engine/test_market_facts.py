"""Facts of a market: what is measured, and how it is told in few words."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import HOUR_MS, Candle
from engine.market_facts import (
    CANDLES_TOLD,
    Held,
    MarketFacts,
    Trader,
    levels,
    measured,
)
from engine.order import Reason, Side
from engine.patterns import Pattern
from engine.position import Trade
from engine.regime import regime
from engine.signal import Action, Decision
from tests.markets import T0, facts_of, walk

TRADE = Trade(
    trade_id=7,
    account="paper-a",
    bot_id="shortseller_001",
    symbol="BTCUSDT",
    side=Side.SELL,
    quantity=Decimal("0.250"),
    entry_price=Decimal(61_000),
    entry_time=T0,
    entry_reason=Reason.EMA_CROSS,
    exit_price=Decimal(60_500),
    exit_time=T0 + HOUR_MS,
    close_reason=Reason.TAKE_PROFIT,
    gross_pnl=Decimal(125),
    commission=Decimal(17),
    funding=Decimal(0),
    net_pnl=Decimal("108.004"),
    pnl_pct=Decimal("0.00708"),
    entry_client_order_id="in",
    exit_client_order_id="out",
)
SIGNAL = Decision(
    decision_id=1,
    account="paper-a",
    bot_id="shortseller_001",
    symbol="BTCUSDT",
    ts=T0,
    action=Action.ENTRY,
    side=Side.SELL,
    reason=Reason.EMA_CROSS,
    price=61_000.0,
    approved=False,
    gate="cooldown",
    detail="12 of 30 minutes",
    order_link_id=None,
)
HELD = Held("shortseller_001", Side.SELL, 0.25, 61_000.0, 0.0123, 61_500.0, None, 3 * HOUR_MS)


@pytest.fixture(scope="module")
def whole() -> MarketFacts:
    """Everything that may stand in the facts of a symbol, at its most."""
    facts = facts_of(walk(5_400))
    return replace(
        facts,
        changes=(("1h", -0.00123), ("24h", 0.0456), ("7d", -0.3)),
        funding=-0.000123,
        regime=regime(facts.candles),
        patterns=(
            Pattern("double top", -1, T0, 59_000.0, confirmed=False),
            Pattern("ascending triangle", 1, T0, 61_000.0),
            Pattern("bullish engulfing", 1, T0),
        ),
        traders=tuple(Trader(f"shortseller_00{i}", "shortseller", "5m", "active") for i in "123"),
        held=(HELD, HELD, HELD),
        trades=(TRADE,) * 5,
        signals=(SIGNAL,) * 5,
    )


def test_all_there_is_takes_about_1500_tokens_at_most(whole):
    text = whole.to_text()
    # Counted from above: each digit, word and mark for itself.
    assert len(re.findall(r"\d|[^\W\d_]+|[^\w\s]", text)) <= 1_650
    assert len(text) <= 4_000


def test_it_is_told_in_lines_that_say_what_they_are(whole):
    lines = whole.to_text().splitlines()
    assert lines[0].startswith("BTCUSDT at 2025-01-19 18:00 UTC")
    assert "change: 1h -0.12%, 24h +4.56%, 7d -30.00%" in lines
    assert "funding rate -0.0123% (positive: longs pay)" in lines
    assert [line.partition(":")[0] for line in lines if re.match(r"\d+[mh]: close", line)] == [
        "15m",
        "30m",
        "1h",
        "4h",
    ]
    assert (
        "patterns 1h: double top (bearish, level 59000.0, not confirmed), ascending triangle "
        "(bullish, level 61000.0, confirmed), bullish engulfing (bullish)"
    ) in lines
    assert "bot shortseller_001: shortseller on 5m, active" in lines
    assert (
        "position of shortseller_001: short 0.25 from 61000.0, +1.23% so far, open for 3h 0m, "
        "stop 61500.0"
    ) in lines
    assert (
        "closed trade: short 0.25 of shortseller_001 from 61000.0 to 60500.0, net +108.00 USDT "
        "(+0.71%), closed 2025-01-01 01:00 by take profit"
    ) in lines
    assert (
        "signal 2025-01-01 00:00: open short at 61000.0, stopped by cooldown (12 of 30 minutes)"
    ) in lines


def test_a_close_is_told_by_the_side_that_it_closes(whole):
    closing = replace(SIGNAL, action=Action.EXIT, side=Side.BUY, approved=True)
    text = replace(whole, signals=(closing,)).to_text()
    assert "signal 2025-01-01 00:00: close short at 61000.0, done" in text


def test_what_a_gate_said_is_told_in_part_where_it_is_long(whole):
    wordy = replace(SIGNAL, detail="x" * 500)
    assert f"({'x' * 80})" in replace(whole, signals=(wordy,)).to_text()


def test_prices_of_little_coins_keep_their_digits():
    facts = replace(facts_of(walk(1_000, price=0.00123456)), digits=8)
    assert f"EMA 20 {facts.timeframe('1h').averages[0][1]:.7f}" in facts.to_text()
    assert f"price {facts.price:.8f}" in facts.to_text()


def test_only_the_last_candles_are_told(whole):
    lines = whole.to_text().splitlines()
    at = lines.index(f"last {CANDLES_TOLD} candles of 1h, oldest first, high low close:")
    bars = lines[at + 1 : at + 1 + CANDLES_TOLD]
    last = whole.candles[-1]
    assert bars[-1] == f"{last.high:.0f} {last.low:.0f} {last.close:.0f}"
    assert lines[at + 1 + CANDLES_TOLD].startswith("bot ")


def test_what_is_not_defined_yet_is_left_out():
    young = facts_of(walk(12 * 20))
    hour = next(line for line in young.to_text().splitlines() if line.startswith("1h: "))
    assert "RSI" in hour
    assert "Bollinger" in hour
    assert "MACD" not in hour
    assert "ADX" not in hour
    assert "EMA 50" not in hour
    assert "90 bars" not in hour
    assert "regime" not in young.to_text()
    assert "funding" not in young.to_text()
    first = facts_of(walk(12)).to_text()
    assert "1h: close" in first
    assert "RSI" not in first.partition("1h: close")[2]
    assert "4h" not in first


@pytest.mark.parametrize("count", [1, 14, 15, 104, 105, 300])
def test_the_range_is_ranked_once_there_are_ninety_of_them(count):
    found = measured("5m", walk(count))
    assert found.bars == count
    assert (found.calmer is not None) == (count >= 14 + 90)


def test_the_averages_are_those_there_are_twice_the_bars_for():
    assert [length for length, _ in measured("5m", walk(100)).averages] == [20, 50]
    assert [length for length, _ in measured("5m", walk(99)).averages] == [20]
    assert measured("5m", walk(39)).averages == ()


# -- levels ------------------------------------------------------------------------------


def zigzag(*turns: float) -> list[Candle]:
    """Bars that go straight from each price to the next, in steps of 1, closing where they go."""
    closes = [turns[0]]
    for goal in turns[1:]:
        step = 1.0 if goal > closes[-1] else -1.0
        while closes[-1] != goal:
            closes.append(closes[-1] + step)
    pairs = zip(closes, closes[1:], strict=False)
    return [
        Candle(T0 + i * HOUR_MS, a, max(a, b), min(a, b), b, 1.0) for i, (a, b) in enumerate(pairs)
    ]


def test_levels_are_the_swing_points_nearest_first():
    bars = zigzag(100, 110, 90, 105, 95, 100)
    assert levels(bars, 100.0) == ((95.0, 90.0), (105.0, 110.0))


def test_at_most_three_levels_stand_on_a_side():
    bars = zigzag(100, 120, 90, 115, 92, 110, 94, 105, 96, 100)
    assert levels(bars, 100.0) == ((96.0, 94.0, 92.0), (105.0, 110.0, 115.0))


def test_levels_that_nearly_meet_are_one():
    bars = zigzag(100, 110, 90, 110, 95, 100)
    assert levels(bars, 100.0)[1] == (110.0,)


def test_what_is_further_than_half_the_price_is_no_level():
    bars = zigzag(100, 110, 90, 105, 95, 100)
    assert levels(bars, 72.0) == ((), (105.0,))
    assert levels(bars, 185.0) == ((95.0,), ())
    assert levels(bars, 200.0) == ((), ())


def test_without_candles_there_are_no_levels():
    assert levels([], 100.0) == ((), ())
