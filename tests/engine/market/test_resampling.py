"""Bars put together as the desk does it live, against the exchange's own longer bars.

Prices are equal to the last bit; a sum of volumes is right but for the rounding of floats.
"""

import pytest

from engine.candle import MINUTE_MS, Candle, aggregate, timeframe_ms, timeframe_name
from engine.market.candle_file import read_candles

Q2 = "bybit_{}_perp_{}_2025-q2.csv.gz"
TEN_MONTHS = "bybit_{}_perp_{}_2025-09_2026-07.csv.gz"
LONGER = ("5m", "15m", "30m", "1h", "4h")


def candles(path) -> list[Candle]:
    (file,) = read_candles(path)
    return list(file.series.since(0))


def assert_the_exchanges_own(short: list[Candle], base: int, theirs: list[Candle]) -> None:
    """Each bar of theirs whose time the short ones cover is ours; there are many of them."""
    target = theirs[1].ts - theirs[0].ts
    begun, ended = short[0].ts, short[-1].ts + base
    covered = [bar for bar in theirs if bar.ts >= begun and bar.ts + target <= ended]
    assert len(covered) >= len(theirs) - 2, f"{timeframe_name(target)}: too few to compare"
    ours = {bar.ts: bar for bar in aggregate(short, base, target)}
    assert [ours[bar.ts][:5] for bar in covered] == [bar[:5] for bar in covered]
    volumes = [bar.volume for bar in covered]
    assert [ours[bar.ts].volume for bar in covered] == pytest.approx(volumes, rel=1e-12)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "SOLUSDT"])
def test_ten_months_of_five_minutes_give_every_four_hours(recorded, symbol):
    short = candles(recorded(TEN_MONTHS.format(symbol, "5m")))
    theirs = candles(recorded(TEN_MONTHS.format(symbol, "4h")))
    assert len(theirs) > 1_800
    assert_the_exchanges_own(short, 5 * MINUTE_MS, theirs)


def test_a_month_of_minutes_gives_every_longer_bar(recorded):
    short = candles(recorded(Q2.format("DOGEUSDT", "1m")))
    for name in LONGER:
        theirs = candles(recorded(Q2.format("DOGEUSDT", name)))
        assert theirs[1].ts - theirs[0].ts == timeframe_ms(name)
        assert_the_exchanges_own(short, MINUTE_MS, theirs)


def test_a_quarter_of_five_minutes_gives_every_longer_bar(recorded):
    short = candles(recorded(Q2.format("BTCUSDT", "5m")))
    for name in LONGER[1:]:
        assert_the_exchanges_own(
            short, 5 * MINUTE_MS, candles(recorded(Q2.format("BTCUSDT", name)))
        )


def test_bars_that_lack_one_are_told_apart_from_the_exchanges_own(recorded):
    """The comparison itself fails where it should."""
    short = candles(recorded(Q2.format("DOGEUSDT", "5m")))
    theirs = candles(recorded(Q2.format("DOGEUSDT", "4h")))
    assert_the_exchanges_own(short, 5 * MINUTE_MS, theirs)
    with pytest.raises(AssertionError):
        assert_the_exchanges_own(short[:3_000] + short[3_001:], 5 * MINUTE_MS, theirs)
