"""Patterns and regimes of the desk's own candles."""

import math

import pytest

from engine.candle import Candle
from engine.desk import Desk
from engine.patterns import patterns
from engine.regime import Kind, regime
from handlers.reply import CandleChart, Chart, Percent, Price, Reply, Table, Text, Time
from handlers.technical import MEANING
from tests.handlers.desks import (
    BAR,
    BTC,
    ETH,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    quiet,
    rows,
    say,
    table,
)

# Up, down from a peak, half back, up to the same level, and down again through the valley.
DOUBLE_TOP = ((60, 20.0), (15, -40.0), (15, 40.0), (15, -40.0))


@pytest.fixture
async def topped(open_desk: OpenDesk) -> Desk:
    """A desk whose market has made a double top."""
    return await open_desk(ScriptedMarket({BTC: course(100_000.0, DOUBLE_TOP)}))


async def test_a_formation_stands_with_its_level_and_in_the_picture(topped: Desk) -> None:
    candles = await topped.candles(BTC, BAR, 120)
    (expected,) = [each for each in patterns(candles) if each.name == "double top"]
    answer = await say(topped, "/patterns btc 5m")
    found = {row["pattern"]: row for row in rows(table(answer, f"Patterns in {BTC} 5m"))}
    assert found["double top"]["read_as"] == "bearish"
    assert found["double top"]["level"] == Price(expected.level, 1)
    assert found["double top"]["since"] == Time(expected.ts)
    state = "confirmed" if expected.confirmed else "waits for a close beyond its level"
    assert found["double top"]["state"] == state
    levels = picture(answer).levels
    assert levels == (("double top", pytest.approx(expected.level, abs=0.1)),)


async def test_a_shape_of_one_bar_is_complete_and_has_no_level(open_desk: OpenDesk) -> None:
    bars = course(100_000.0, [(40, 10.0)])
    last = bars[-1]
    doji = Candle(last.ts + BAR, last.close, last.close + 90, last.close - 90, last.close, 1.0)
    desk = await open_desk(ScriptedMarket({BTC: [*bars, doji]}))
    (row,) = rows(table(await say(desk, "/patterns btc 5m"), f"Patterns in {BTC} 5m"))
    assert (row["pattern"], row["read_as"]) == ("doji", "undecided")
    assert (row["state"], row["level"]) == ("complete", None)


async def test_where_there_is_none_it_says_so_beside_the_candles(desk: Desk) -> None:
    answer = await say(desk, "/patterns eth 1h")
    block = answer.blocks[0]
    assert isinstance(block, Table)
    assert block.empty == f"No pattern in {ETH} 1h at 2025-01-03 16:00 UTC."
    assert picture(answer).title == "ETHUSDT patterns 1h"


def picture(answer: Reply) -> CandleChart:
    (found,) = (block.chart for block in answer.blocks if isinstance(block, Chart))
    assert isinstance(found, CandleChart)
    return found


async def test_a_regime_is_told_with_the_numbers_it_rests_on(desk: Desk) -> None:
    expected = regime(await desk.candles(BTC, BAR, 500))
    answer = await say(desk, "/regime btc 5m")
    sentence = answer.blocks[0]
    assert isinstance(sentence, Text)
    assert sentence.text == f"{BTC} 5m: {expected.kind} ({MEANING[expected.kind]})."
    card = fields(answer, f"Regime of {BTC} 5m")
    assert card["from_ema"] == Percent(expected.readings.distance, signed=True)
    assert card["close"] == Price(expected.readings.close, 1)
    assert str(card["adx"]).startswith(f"{expected.readings.adx:.1f} (up ")


async def test_without_a_symbol_each_that_is_traded_gets_a_row(desk: Desk) -> None:
    listed = rows(table(await say(desk, "/regime 5m"), "Regimes 5m"))
    assert [row["symbol"] for row in listed] == [BTC, ETH]
    expected = regime(await desk.candles(BTC, BAR, 500))
    assert listed[0]["regime"] == str(expected.kind)
    assert listed[0]["adx"] == round(expected.readings.adx)


def test_each_regime_has_its_meaning() -> None:
    assert MEANING.keys() == set(Kind)


async def test_too_few_candles_are_counted(desk: Desk) -> None:
    (text,) = (await say(desk, "/regime btc 1h")).blocks
    assert text == Text(
        "BTCUSDT has 64 closed candles of 1h; it takes 200. A shorter timeframe has more."
    )
    (text,) = (await say(desk, "/patterns btc 4h")).blocks
    assert text == Text(
        "BTCUSDT has 16 closed candles of 4h; it takes 30. A shorter timeframe has more."
    )
    (row, _) = rows(table(await say(desk, "/regime 1h"), "Regimes 1h"))
    assert row["regime"] == "n/a: needs 200 bars, has 64"


async def test_a_flat_market_has_finite_numbers(open_desk: OpenDesk) -> None:
    desk = await open_desk(ScriptedMarket({ETH: quiet(300)}))
    expected = regime(await desk.candles(ETH, BAR, 500)).readings
    assert math.isfinite(expected.bandwidth)
    card = fields(await say(desk, "/regime eth 5m"))
    assert card["from_ema"] == Percent(expected.distance, signed=True)


async def test_before_the_first_candle_nothing_is_made_up(empty_desk: Desk) -> None:
    for line in ("/patterns btc", "/regime btc"):
        assert "No candle of BTCUSDT has closed yet" in str((await say(empty_desk, line)).error)
    (row,) = rows(table(await say(empty_desk, "/regime"), "Regimes 1h"))
    assert row["regime"] == "n/a: needs 200 bars, has 0"


async def test_views_of_one_symbol_lead_to_each_other(desk: Desk) -> None:
    patterns_said = [button.command for button in (await say(desk, "/patterns btc 5m")).buttons]
    regime_said = [button.command for button in (await say(desk, "/regime btc 5m")).buttons]
    assert f"/regime {BTC} 5m" in patterns_said
    assert f"/patterns {BTC} 5m" in regime_said
    for said in (patterns_said, regime_said):
        assert {f"/chart {BTC} 5m", f"/why {BTC}"} <= set(said)
