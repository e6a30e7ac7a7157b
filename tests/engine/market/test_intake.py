"""Files that are imported: what is dirty in them is told, and nothing is made up."""

import shutil

import pytest

from engine.candle import MINUTE_MS
from engine.errors import BadSettings
from engine.market.archive import Archive
from engine.market.intake import take_in

BAR = 5 * MINUTE_MS
START = 1_750_000_200_000  # 2025-06-15 15:10 UTC
NOW = 1_785_542_400_000
A1 = "bybit_{}_perp_5m_2025-09_2026-07.csv.gz"


def row(number, close=101.0, ts=0):
    return [START + number * BAR + ts, 100.0, 103.0, 98.0, close, 7.0]


@pytest.fixture
def archive(tmp_path):
    return Archive(tmp_path / "data")


def numbers(archive, symbol="BTCUSDT"):
    return [(int(ts) - START) // BAR for ts in archive.read(symbol, BAR).ts]


def test_dirt_is_told_and_left_out(archive, write_csv):
    rows = [row(0), row(1), row(1, close=99.0), row(3), row(2), row(9), row(10), row(11)]
    told = take_in(archive, [write_csv("BTCUSDT_5m.csv", rows)], NOW, replace=False)
    assert told == [
        "BTCUSDT: 1 bar out of order, at 2025-06-15 15:20 UTC; sorted.",
        "BTCUSDT: 1 bar given twice and differently, at 2025-06-15 15:15 UTC; the first was kept.",
        "BTCUSDT: 1 gap (5 bars missing), after 2025-06-15 15:30 UTC; nothing is filled in.",
        "BTCUSDT 5m: 7 bars new, 0 stored before.",
    ]
    assert numbers(archive) == [0, 1, 2, 3, 9, 10, 11]
    (held,) = archive.holdings()
    assert (held.gaps, held.missing, held.kept_since) == (1, 5, START)


def test_what_is_imported_is_not_pruned(archive, write_csv):
    take_in(archive, [write_csv("BTCUSDT_5m.csv", [row(0), row(1)])], NOW, replace=False)
    assert archive.prune(NOW) == []


@pytest.mark.parametrize(
    ("replace", "outcome", "close"),
    [(False, "the stored were kept", 101.0), (True, "the new were taken", 99.5)],
)
def test_a_second_file_that_disagrees_is_believed_when_told(
    archive, write_csv, replace, outcome, close
):
    first = write_csv("a_BTCUSDT.csv", [row(0), row(1), row(2)])
    other = write_csv("b_BTCUSDT.csv", [row(1, close=99.5), row(2), row(3)])
    take_in(archive, [first], NOW, replace=False)
    told = take_in(archive, [other], NOW, replace)
    assert told == [
        "BTCUSDT 5m: 1 bar new, 2 stored before.",
        f"BTCUSDT 5m: 1 bar differs from what was stored, at 2025-06-15 15:15 UTC; {outcome}.",
    ]
    assert archive.read("BTCUSDT", BAR).close.tolist() == [101.0, close, 101.0, 101.0]


def test_bars_off_the_grid_are_left_out_and_told(archive, write_csv):
    rows = [row(0), row(1), row(3, ts=MINUTE_MS), row(6), row(7)]
    told = take_in(archive, [write_csv("BTCUSDT.csv", rows)], NOW, replace=False)
    assert told[1] == "BTCUSDT: 1 bar off the grid of 5m, at 2025-06-15 15:26 UTC; left out."
    assert numbers(archive) == [0, 1, 6, 7]


def test_a_bar_still_forming_is_not_stored(archive, write_csv):
    path = write_csv("BTCUSDT.csv", [row(n) for n in range(4)])
    told = take_in(archive, [path], START + 3 * BAR + 1, replace=False)
    assert "1 bar still forming" in told[0]
    assert numbers(archive) == [0, 1, 2]


def test_a_folder_of_timeframes_symbols_funding_and_mark_prices_is_sorted_out(
    archive, write_csv, tmp_path
):
    write_csv("BTCUSDT_5m.csv", [row(n) for n in range(3)])
    write_csv("ETHUSDT_5m.csv", [row(n) for n in range(2)])
    write_csv("BTCUSDT_15m.csv", [[START + (3 * n + 1) * BAR, 1, 2, 1, 2, 0] for n in range(3)])
    write_csv("BTCUSDT_markprice_1h.csv", [row(0), row(1)])
    rates = [[START, "0.0001"], [START + 96 * BAR, "-0.0002"]]
    write_csv("BTCUSDT_funding_8h.csv", rates, "ts,funding_rate")
    told = take_in(archive, [tmp_path], NOW, replace=False)
    assert told[0] == "BTCUSDT_markprice_1h.csv: mark prices are not used."
    assert told[-1] == "BTCUSDT funding: 2 rates new, 0 stored before."
    assert [(h.symbol, h.timeframe, h.bars) for h in archive.holdings()] == [
        ("BTCUSDT", "5m", 3), ("BTCUSDT", "15m", 3), ("BTCUSDT", "funding", 2),
        ("ETHUSDT", "5m", 2),
    ]  # fmt: skip
    assert archive.rates("BTCUSDT").rate.tolist() == [0.0001, -0.0002]


def test_a_file_that_can_not_be_is_refused_before_anything_is_stored(archive, write_csv, tmp_path):
    write_csv("BTCUSDT.csv", [row(0), row(1)])
    write_csv("ETHUSDT.csv", [row(0), [START + BAR, 100, 90, 98, 101, 7]])
    with pytest.raises(BadSettings, match=r"ETHUSDT.csv, line 3, high: '90'"):
        take_in(archive, [tmp_path], NOW, replace=False)
    assert archive.holdings() == []


def test_a_file_off_the_grid_from_end_to_end_is_refused(archive, write_csv):
    path = write_csv("BTCUSDT.csv", [row(n, ts=MINUTE_MS) for n in range(3)])
    with pytest.raises(BadSettings, match="no bar of BTCUSDT is usable.*multiples of 5m"):
        take_in(archive, [path], NOW, replace=False)


@pytest.mark.parametrize(
    ("name", "reason"), [("nowhere.csv", "does not exist"), (".", "holds no usable file")]
)
def test_a_path_without_candles_is_named(archive, tmp_path, name, reason):
    with pytest.raises(BadSettings, match=f"{reason}.*csv.gz, .parquet"):
        take_in(archive, [tmp_path / name], NOW, replace=False)


def test_ten_months_of_real_bars_come_out_as_they_are_in_the_file(archive, recorded, tmp_path):
    source = recorded(A1.format("BTCUSDT"))
    copy = tmp_path / source.name
    shutil.copy(source, copy)
    told = take_in(archive, [copy], NOW, replace=False)
    assert told == ["BTCUSDT 5m: 86,604 bars new, 0 stored before."]
    (held,) = archive.holdings()
    assert (held.bars, held.gaps) == (86_604, 0)
    assert take_in(archive, [copy], NOW, replace=True) == [
        "BTCUSDT 5m: 0 bars new, 86,604 stored before."
    ]
