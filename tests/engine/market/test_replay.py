"""The replay market: what is opened, how it is named, and real recordings."""

import re
from decimal import Decimal

import pytest

from engine.candle import MINUTE_MS, aggregate, timeframe_ms
from engine.errors import BadInput, BadSettings
from engine.instrument import MAJORS
from engine.market.replay import ReplayMarket, open_replay
from engine.ports import Market

BAR = 5 * MINUTE_MS
START = 1_750_000_200_000
ASSUMED = "{}: no funding rates are given, 0.01 % every 8 h is assumed."


def rows(*numbers: int, bar: int = BAR) -> list[list[object]]:
    return [[START + n * bar, 100, 103, 98.5, 101 + n % 2, 7] for n in numbers]


def candles(market: ReplayMarket, symbol: str, until: int = 4_000_000_000_000):
    return market._tape.history(symbol, market.interval, until, 10**7)


async def test_several_files_make_one_market(write_csv, clock):
    eth = write_csv("ETHUSDT.csv", rows(0, 1))
    btc = write_csv("BTCUSDT.csv", rows(1, 2))
    market: Market = open_replay(f" {eth} , {btc}", 0, clock)
    assert (market.symbols, market.interval) == (("BTCUSDT", "ETHUSDT"), BAR)
    batch = await market.next(99)
    assert [(event.symbol, (event.closed_at - START) // BAR) for event in batch] == [
        ("ETHUSDT", 1), ("BTCUSDT", 2), ("ETHUSDT", 2), ("BTCUSDT", 3)
    ]  # fmt: skip
    assert await market.next(99) == []
    market.resume({"BTCUSDT": START + BAR, "ETHUSDT": START + BAR})
    assert len(await market.next(99)) == 1
    assert await market.history("BTCUSDT", BAR, START + 3 * BAR, 1) == [batch[-1].candle]


def test_a_folder_is_read_with_all_that_is_usable_in_it(write_csv, tmp_path, clock):
    write_csv("BTCUSDT_5m.csv", rows(0, 1, 2))
    write_csv("ETHUSDT_5m.csv", rows(0, 1, 2))
    write_csv("README.md", [])
    market = open_replay(str(tmp_path), 0, clock)
    assert market.symbols == ("BTCUSDT", "ETHUSDT")
    assert market.label == "replay of BTCUSDT_5m and 1 more file (6 candles)"


def test_a_file_given_twice_is_read_once(write_csv, clock):
    path = write_csv("BTCUSDT.csv", rows(0, 1))
    market = open_replay(f"{path},{path.parent}", 0, clock)
    assert market.remarks() == [ASSUMED.format("BTCUSDT")]


def test_the_name_tells_recordings_apart_by_their_beginning_not_by_their_files(write_csv, clock):
    btc, eth = (write_csv(f"{symbol}USDT.csv", rows(0, 1)) for symbol in ("BTC", "ETH"))
    rates = write_csv("BTCUSDT_funding_8h.csv", [[START, "0.1"]], "ts,funding_rate")
    both = open_replay(f"{btc},{eth}", 0, clock).name
    assert re.fullmatch(r"replay[0-9a-f]{8}", both)
    assert open_replay(f"{eth},{btc}", 0, clock).name == both
    assert open_replay(f"{eth},{btc},{rates}", 0, clock).name != both
    alone = open_replay(f"{btc}", 0, clock).name
    assert alone != both
    renamed = write_csv("march_BTCUSDT.csv", rows(0, 1))
    assert open_replay(f"{renamed}", 0, clock).name == alone


def test_a_recording_that_has_grown_keeps_its_name(write_csv, clock):
    short = open_replay(str(write_csv("BTCUSDT.csv", rows(*range(100)))), 0, clock).name
    assert open_replay(str(write_csv("BTCUSDT.csv", rows(*range(150)))), 0, clock).name == short


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ("", "no path is given"),
        ("nowhere/BTCUSDT.csv", "nowhere/BTCUSDT.csv does not exist"),
        (".", " holds no usable file"),
    ],
)
def test_a_path_without_candles_is_refused(spec, found, clock, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadSettings) as refused:
        open_replay(spec, 0, clock)
    assert found in str(refused.value)
    assert str(refused.value).endswith(
        "Allowed: a file (.csv, .csv.gz, .parquet), a folder of them, or several with commas "
        "between."
    )


def test_a_file_of_another_kind_is_refused(tmp_path, clock):
    path = tmp_path / "BTCUSDT.xlsx"
    path.touch()
    with pytest.raises(BadSettings, match="BTCUSDT.xlsx holds no usable file"):
        open_replay(str(path), 0, clock)


def test_different_timeframes_are_refused_by_file(write_csv, clock):
    five = write_csv("BTCUSDT_5m.csv", rows(0, 1))
    hour = write_csv("BTCUSDT_1h.csv", rows(0, 1, bar=timeframe_ms("1h")))
    with pytest.raises(BadSettings) as refused:
        open_replay(f"{five},{hour}", 0, clock)
    assert str(refused.value) == (
        "MARKET=replay: the files have different timeframes: 5m in BTCUSDT_5m.csv; "
        "1h in BTCUSDT_1h.csv. Allowed: files of one timeframe."
    )


def test_of_a_folder_of_many_timeframes_only_some_files_are_named(write_csv, clock, tmp_path):
    for number in range(7):
        write_csv(f"BTCUSDT_5m_{number}.csv", rows(0, 1))
    write_csv("BTCUSDT_1h.csv", rows(0, 1, bar=timeframe_ms("1h")))
    with pytest.raises(BadSettings, match="BTCUSDT_5m_4.csv and 2 more; 1h in BTCUSDT_1h.csv"):
        open_replay(str(tmp_path), 0, clock)


def test_funding_files_alone_are_no_market(write_csv, clock):
    path = write_csv("BTCUSDT_funding_8h.csv", [[START, "0.1"]], "ts,funding_rate")
    with pytest.raises(BadSettings, match="no candles in .*BTCUSDT_funding_8h.csv"):
        open_replay(str(path), 0, clock)


def test_rates_come_from_the_files_else_a_usual_one_is_assumed(write_csv, clock, tmp_path):
    settled = 1_750_003_200_000
    for symbol in ("BTCUSDT", "ETHUSDT"):
        write_csv(f"{symbol}_5m.csv", rows(0, 1))
    write_csv("BTCUSDT_funding_8h.csv", [[settled + 5, "1.004e-05"]], "ts,funding_rate")
    market = open_replay(str(tmp_path), 0, clock)
    assert market.funding_rate("BTCUSDT", settled) == Decimal("0.00001004")
    assert market.funding_rate("BTCUSDT", settled + 8) == Decimal("0.0001")
    assert market.funding_rate("ETHUSDT", settled) == Decimal("0.0001")
    assert market.remarks() == [ASSUMED.format("ETHUSDT")]


def test_mark_prices_are_not_used_and_that_is_said(write_csv, clock, tmp_path):
    write_csv("BTCUSDT_5m.csv", rows(0, 1))
    write_csv("BTCUSDT_markprice_1h.csv", rows(0, 1, bar=timeframe_ms("1h")))
    remarks = open_replay(str(tmp_path), 0, clock).remarks()
    assert "BTCUSDT_markprice_1h.csv: mark prices are not used." in remarks


def test_rules_of_an_unknown_symbol_are_read_off_the_data(write_csv, clock, tmp_path):
    write_csv("BTCUSDT.csv", rows(0, 1))
    write_csv("WIFUSDT.csv", [[START + n * BAR, 0.6104, 0.62, 0.6, 0.61, 5] for n in range(3)])
    market = open_replay(str(tmp_path), 0, clock)
    assert market.instrument("BTCUSDT") is MAJORS["BTCUSDT"]
    derived = market.instrument("WIFUSDT")
    assert (derived.tick, derived.quantity_step, derived.derived) == (Decimal("0.0001"), 1, True)
    assert (
        "WIFUSDT is not in the built-in table, its rules are read off the data: "
        "tick 0.0001, step 1." in market.remarks()
    )


async def test_the_speed_can_be_changed_on_the_way(write_csv, clock):
    market = open_replay(str(write_csv("BTCUSDT.csv", rows(*range(9)))), 0, clock)
    assert len(await market.next(3)) == 3
    market.speed = 60
    assert market.speed == 60
    assert len(await market.next(9)) == 1
    assert clock.slept == pytest.approx(5)
    with pytest.raises(BadInput, match="speed: -1"):
        market.speed = -1


def test_a_market_of_nothing_but_forming_bars_is_refused(write_csv, clock):
    clock.ms = START + 1
    path = write_csv("BTCUSDT.csv", [*rows(0), *rows(0)])
    with pytest.raises(BadSettings, match="holds a single bar"):
        open_replay(str(path), 0, clock)


# -- real recordings -------------------------------------------------------------------------

YEAR = "bybit_{}_perp_{}_2025-09_2026-07.csv.gz"


async def test_ten_months_of_bitcoin_come_whole(recorded, clock):
    market = ReplayMarket([recorded(YEAR.format("BTCUSDT", "5m"))], 0, clock)
    served = 0
    while batch := await market.next(10_000):
        served += len(batch)
    assert served == 86_604
    assert market.remarks() == [ASSUMED.format("BTCUSDT")]
    assert market.label == "replay of bybit_BTCUSDT_perp_5m_2025-09_2026-07 (86,604 candles)"


def test_recorded_funding_is_used(recorded, clock):
    names = (YEAR.format("BTCUSDT", "5m"), "bybit_BTCUSDT_funding_8h_2025-09_2026-07.csv.gz")
    market = ReplayMarket([recorded(name) for name in names], 0, clock)
    assert market.funding_rate("BTCUSDT", 1_758_729_600_000) == Decimal("6.94e-05")
    assert market.remarks() == []


async def test_history_of_real_bars_equals_their_aggregate(recorded, clock):
    market = ReplayMarket([recorded(YEAR.format("SOLUSDT", "5m"))], 0, clock)
    until = 1_770_000_123_456
    expected = aggregate(candles(market, "SOLUSDT", until), BAR, timeframe_ms("4h"))
    assert await market.history("SOLUSDT", timeframe_ms("4h"), until, 300) == expected[-300:]


TOLD = {
    "binance_BTCUSDT_spot_1h_2021_2026.csv.gz": [
        "BTCUSDT: 5 gaps (12 bars missing), the first after 2021-04-20 02:00 UTC; "
        "nothing is filled in."
    ],
    "binance_SOLUSDT_spot_1h_2020_2026.csv.gz": [
        "SOLUSDT: 10 gaps (20 bars missing), the first after 2020-11-30 06:00 UTC; "
        "nothing is filled in."
    ],
    "coinbase_BTCUSD_spot_4h_2016_2025.csv.gz": [
        "BTCUSD: 1 absurd print, at 2017-04-15 20:00 UTC (open 0.06, high 1186.6, low 0.06, "
        "close 1178.85); left out like a gap.",
        "BTCUSD: 3 gaps (5 bars missing), the first after 2017-02-28 20:00 UTC; "
        "nothing is filled in.",
    ],
    "coinbase_ETHUSD_spot_4h_2016_2025.csv.gz": [
        "ETHUSD: 1 absurd print, at 2017-06-21 16:00 UTC (open 314.9, high 321.45, low 0.1, "
        "close 298); left out like a gap.",
        "ETHUSD: 9 gaps (26 bars missing), the first after 2016-05-18 04:00 UTC; "
        "nothing is filled in.",
    ],
}


@pytest.mark.parametrize("name", TOLD)
def test_what_is_wrong_with_real_recordings_is_told(recorded, clock, name):
    remarks = ReplayMarket([recorded(name)], 0, clock).remarks()
    assert list(remarks[: len(TOLD[name])]) == TOLD[name]
