"""Prices and charts."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import HOUR_MS, Candle, timeframe_ms
from engine.desk import Desk
from engine.order import Fill, Side
from handlers.market import CHART_CANDLES, FILLS_MAX
from handlers.reply import Button, CandleChart, Chart, Percent, Price, Quantity, Reply
from tests.handlers.desks import (
    BAR,
    BTC,
    ETH,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    rows,
    say,
    table,
)


async def test_a_price_comes_with_its_changes_and_the_days_range(desk: Desk) -> None:
    card = fields(await say(desk, "/price btc"))
    now = desk.view().market_time
    bars = await desk.candles(BTC, BAR, 1000)
    hour_ago = next(bar.close for bar in reversed(bars) if bar.ts + BAR <= now - HOUR_MS)
    day = bars[-288:]
    assert card == {
        "symbol": BTC,
        "price": Price(101_780.0, 1),
        "change_1h": Percent(101_780.0 / hour_ago - 1, signed=True),
        "change_24h": Percent(101_780.0 / bars[-289].close - 1, signed=True),
        "high_24h": Price(max(bar.high for bar in day), 1),
        "low_24h": Price(min(bar.low for bar in day), 1),
    }


async def test_without_a_symbol_every_symbol_gets_a_row(desk: Desk) -> None:
    listed = rows(table(await say(desk, "/price"), "Prices"))
    assert [(row["symbol"], row["price"]) for row in listed] == [
        (BTC, Price(101_780.0, 1)),
        (ETH, Price(3_500.0, 2)),
    ]


async def test_a_young_market_has_no_change_of_24_hours_yet(young_desk: Desk) -> None:
    bars_of_a_day = 288
    assert fields(await say(young_desk, "/price btc"))["change_24h"] is not None
    assert len(await young_desk.candles(BTC, BAR, 1000)) > bars_of_a_day


async def test_before_the_first_candle_nothing_is_made_up(empty_desk: Desk) -> None:
    assert "No candle of BTCUSDT has closed yet" in str((await say(empty_desk, "/price btc")).error)
    assert "No candle of BTCUSDT has closed yet" in str((await say(empty_desk, "/chart btc")).error)
    (row,) = rows(table(await say(empty_desk, "/price"), "Prices"))
    assert row["price"] is None


async def test_an_unknown_symbol_is_refused_with_those_there_are(desk: Desk) -> None:
    for name in ("price", "chart", "why"):
        answer = await say(desk, f"/{name} xyz")
        assert answer.error == "symbol: 'xyz' is not valid. Allowed: BTCUSDT, ETHUSDT."


async def test_the_chart_shows_the_open_position_its_levels_and_every_fill(desk: Desk) -> None:
    chart = _chart(await say(desk, "/chart"))
    assert chart.title == "BTCUSDT 1h"
    assert chart.subtitle == f"2025-01-01 00:00 to 2025-01-03 16:20 UTC · {desk.badge}"
    assert len(chart.candles) == 65
    assert chart.levels == (("entry", 102_080.0), ("stop", 103_100.8), ("target", 99_017.6))
    assert [(m.side, m.is_entry, m.label) for m in chart.markers] == [
        (Side.SELL, True, "Sell 0.049"),
        (Side.BUY, False, "ma exit"),
        (Side.SELL, True, "Sell 0.048"),
    ]


async def test_other_timeframes_are_a_button_away_as_far_as_the_market_has_them(
    desk: Desk,
) -> None:
    answer = await say(desk, "/chart btc 4h")
    assert Button("1h", f"/chart {BTC} 1h") in answer.buttons
    assert Button("4h", f"/chart {BTC} 4h") not in answer.buttons
    assert answer.buttons[-1] == Button("Why", f"/why {BTC}")
    for button in answer.buttons:
        assert (await say(desk, button.command)).ok


async def test_a_chart_of_a_flat_symbol_has_no_levels_and_no_markers(desk: Desk) -> None:
    chart = _chart(await say(desk, "/chart eth 15m"))
    assert chart.interval == 3 * BAR
    assert len(chart.candles) == 120
    assert (chart.markers, chart.levels) == ((), ())


@pytest.mark.parametrize("timeframe", ["7m", "1m", "week"])
async def test_a_timeframe_the_market_cannot_give_is_refused(desk: Desk, timeframe: str) -> None:
    assert "Allowed: 5m, 15m, 30m, 1h" in str((await say(desk, f"/chart btc {timeframe}")).error)


@pytest.mark.parametrize("timeframe", ["15m", "1h", "4h", "1d"])
async def test_a_chart_ends_with_the_last_price_in_a_candle_still_forming(
    desk: Desk, timeframe: str
) -> None:
    interval = timeframe_ms(timeframe)
    chart = _chart(await say(desk, f"/chart btc {timeframe}"))
    assert chart.forming_until is not None
    *closed, forming = chart.candles
    now, last = desk.view().market_time, desk.view().prices[BTC]
    assert closed == await desk.candles(BTC, interval, CHART_CANDLES - 1)
    since = [bar for bar in await desk.candles(BTC, BAR, 1000) if bar.ts >= now - now % interval]
    assert forming == Candle(
        since[0].ts,
        since[0].open,
        max(bar.high for bar in since),
        min(bar.low for bar in since),
        last,
        sum(bar.volume for bar in since),
    )


async def test_where_the_last_candle_has_just_closed_none_is_forming(open_desk: OpenDesk) -> None:
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(24, 5.0)])}))
    for timeframe, count in (("5m", 24), ("1h", 2)):
        chart = _chart(await say(desk, f"/chart btc {timeframe}"))
        assert chart.forming_until is None
        assert len(chart.candles) == count
        assert chart.candles[-1].close == desk.view().prices[BTC]


async def test_before_the_first_long_candle_has_closed_the_chart_shows_it_forming(
    open_desk: OpenDesk,
) -> None:
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(24, 5.0)])}))
    chart = _chart(await say(desk, "/chart btc 1d"))
    assert chart.forming_until is not None
    assert [candle.close for candle in chart.candles] == [desk.view().prices[BTC]]
    assert chart.subtitle.startswith("2025-01-01 00:00 to 2025-01-01 02:00 UTC")


async def test_a_chart_shows_every_fill_in_its_range(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = await _many_fills(desk, 200, monkeypatch)
    chart = _chart(await say(desk, "/chart btc 1d"))
    assert [marker.ts for marker in chart.markers] == [fill.exec_time for fill in fills]
    assert "newest" not in chart.subtitle


async def test_a_chart_that_leaves_out_fills_says_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fills = await _many_fills(desk, FILLS_MAX + 1, monkeypatch)
    chart = _chart(await say(desk, "/chart btc 1d"))
    assert [marker.ts for marker in chart.markers] == [fill.exec_time for fill in fills[1:]]
    assert " UTC · newest 5,000 fills · PAPER" in chart.subtitle


async def _many_fills(desk: Desk, count: int, monkeypatch: pytest.MonkeyPatch) -> list[Fill]:
    """Have the store find so many fills, a second apart, the last of them now."""
    account = desk.view().accounts[0].account
    one = (await desk.store.recent(Fill, account=account, limit=1))[0]
    now = desk.view().market_time
    fills = [replace(one, exec_id=str(i), exec_time=now - (count - i) * 1000) for i in range(count)]

    async def recent(kind: object, *, limit: int, **_: object) -> list[Fill]:
        return fills[-limit:]

    monkeypatch.setattr(desk.store, "recent", recent)
    return fills


def _chart(answer: Reply) -> CandleChart:
    assert answer.ok, answer.error
    block = answer.blocks[0]
    assert isinstance(block, Chart)
    assert isinstance(block.chart, CandleChart)
    return block.chart


async def test_the_rules_of_each_symbol_are_shown_and_which_are_traded(desk: Desk) -> None:
    found = rows(table(await say(desk, "/symbols"), "Symbols"))
    assert [row["symbol"] for row in found] == ["BTCUSDT", "ETHUSDT"]
    assert (found[0]["tick"], found[0]["step"]) == (
        Quantity(Decimal("0.1")),
        Quantity(Decimal("0.001")),
    )
    assert found[0]["traded"] is True
