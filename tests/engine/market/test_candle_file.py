"""Candle files: every cell that is refused, every trouble that is told."""

import gzip
import os
import re
import sys
from decimal import Decimal

import pytest

from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.errors import BadSettings
from engine.market.candle_file import BLOCK_ROWS, clean, read_candles, read_funding, utc

BAR = 5 * MINUTE_MS
START = 1_750_000_200_000  # 2025-06-15 15:10 UTC
NOW = 1_785_542_400_000


def row(number: int, open_=100.0, high=103.0, low=98.0, close=101.0, volume=7.0) -> list[object]:
    return [START + number * BAR, open_, high, low, close, volume]


def cleaned(*paths):
    files = [file for path in paths for file in read_candles(path)]
    series, quality = clean(files, NOW)
    numbers = [(candle.ts - START) // BAR for candle in series.since(0)]
    return numbers, quality.sentences()


# -- reading ---------------------------------------------------------------------------------


def test_a_file_gives_its_bars_its_symbol_and_its_timeframe(write_csv):
    (file,) = read_candles(write_csv("x_BTCUSDT_5m.csv", [row(0), row(1), row(3)]))
    assert (file.symbol, file.interval, file.disorder) == ("BTCUSDT", BAR, [])
    assert list(file.series.since(0))[2] == Candle(START + 3 * BAR, 100, 103, 98, 101, 7)
    assert file.series.between(START + 1, START + 3 * BAR) == [file.series.candle(1)]


def test_gzip_a_byte_order_mark_windows_lines_quotes_and_blank_lines_are_read(tmp_path):
    path = tmp_path / "ETHUSDT.csv.gz"
    text = (
        f'\ufeffTS, Open,High,Low,Close\r\n\r\n"{START}",1,2,1,2\r\n{START + BAR},2,2,1,1\r\n\r\n'
    )
    path.write_bytes(gzip.compress(text.encode()))
    (file,) = read_candles(path)
    assert list(file.series.volume) == [0, 0]
    assert len(file.series) == 2


def test_a_missing_volume_is_zero_and_other_columns_are_ignored(write_csv):
    header = "trades,ts,close,low,high,open,volume,note"
    rows = [["x", START + n * BAR, 2, 1, 4, 3, "", "y"] for n in range(3)]
    (file,) = read_candles(write_csv("SOLUSDT.csv", rows, header))
    assert file.series.candle(0) == Candle(START, 3, 4, 1, 2, 0)


def test_a_column_gives_the_symbols_of_a_mixed_file(write_csv):
    rows = [[*row(n), symbol] for n in range(3) for symbol in ("SOLUSDT", "ADAUSDT")]
    files = read_candles(write_csv("all_BTCUSDT.csv", rows, "ts,open,high,low,close,volume,symbol"))
    assert [(file.symbol, len(file.series)) for file in files] == [("ADAUSDT", 3), ("SOLUSDT", 3)]


def test_without_usdt_in_the_name_usd_will_do(write_csv):
    (file,) = read_candles(write_csv("coinbase_BTCUSD_4h.csv", [row(0), row(1)]))
    assert file.symbol == "BTCUSD"


def test_files_longer_than_a_block_are_read_whole(write_csv):
    (file,) = read_candles(write_csv("BTCUSDT.csv", [row(n) for n in range(BLOCK_ROWS + 2)]))
    assert len(file.series) == BLOCK_ROWS + 2


def test_parquet_gives_the_same_bars(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {
        "ts": [START, START + BAR],
        "open": [0.19712, 2.0],
        "high": [3.0, 3.0],
        "low": [0.1, 1.0],
        "close": [2.0, 1e-5 + 1],
        "volume": [None, 5.5],
    }
    path = tmp_path / "DOGEUSDT.parquet"
    parquet.write_table(arrow.table(columns), path)
    (file,) = read_candles(path)
    assert file.series.candle(0) == Candle(START, 0.19712, 3, 0.1, 2, 0)
    assert file.series.candle(1) == Candle(START + BAR, 2, 3, 1, 1.00001, 5.5)
    parquet.write_table(arrow.table(columns | {"low": [0.1, float("nan")]}), path)
    with pytest.raises(BadSettings, match=r"line 3, low: 'nan' is not valid"):
        read_candles(path)


def test_without_pyarrow_parquet_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "BTCUSDT.parquet"
    path.touch()
    with pytest.raises(BadSettings, match="-m pip install pyarrow"):
        read_candles(path)


# -- refused ---------------------------------------------------------------------------------

TS = "the open of the bar in UTC milliseconds, of the years 2009 to 2100"
PRICE = "a price above zero"
VOLUME = "a number of at least zero, or nothing"
BODY = "the open 100.0 and the close 101.0"

REFUSED = {
    "a word": (row(1, open_="abc"), "open: 'abc'", PRICE),
    "nothing": (row(1, close=""), "close: ''", PRICE),
    "not a number": (row(1, open_="nan"), "open: 'nan'", PRICE),
    "infinite": (row(1, high="inf"), "high: 'inf'", PRICE),
    "too large for a float": (row(1, high="1e999"), "high: '1e999'", PRICE),
    "an underscore": (row(1, high="1_000"), "high: '1_000'", PRICE),
    "digits of another script": (row(1, high="١٢٣"), "high: '١٢٣'", PRICE),
    "negative": (row(1, low=-98.0), "low: '-98.0'", PRICE),
    "zero": (row(1, low=0), "low: '0'", PRICE),
    "high below the close": (row(1, high=100.5), "high: '100.5'", f"at least {BODY}"),
    "low above the open": (row(1, low=100.5), "low: '100.5'", f"at most {BODY}"),
    "a broken stamp": ([f"{START}.5", *row(1)[1:]], f"ts: '{START}.5'", TS),
    "seconds": ([1_750_000_200, *row(1)[1:]], "ts: '1750000200'", TS),
    "microseconds": ([START * 1000, *row(1)[1:]], f"ts: '{START * 1000}'", TS),
    "a date": (["2025-06-15", *row(1)[1:]], "ts: '2025-06-15'", TS),
    "a negative volume": (row(1, volume=-1), "volume: '-1'", VOLUME),
    "an endless volume": (row(1, volume="inf"), "volume: 'inf'", VOLUME),
}


@pytest.mark.parametrize(("bad", "found", "allowed"), REFUSED.values(), ids=REFUSED)
def test_a_cell_that_cannot_be_is_refused_with_its_place(write_csv, bad, found, allowed):
    path = write_csv("BTCUSDT.csv", [row(0), [], bad, row(2)])
    with pytest.raises(BadSettings) as refused:
        read_candles(path)
    assert str(refused.value) == f"{path}, line 4, {found} is not valid. Allowed: {allowed}."


def test_the_line_is_right_beyond_the_first_block(write_csv):
    rows = [row(n) for n in range(BLOCK_ROWS + 10)]
    rows[BLOCK_ROWS + 5][4] = "x"
    with pytest.raises(BadSettings, match=f"line {BLOCK_ROWS + 7}, close: 'x'"):
        read_candles(write_csv("BTCUSDT.csv", rows))


def test_a_row_of_another_length_is_refused(write_csv):
    path = write_csv("BTCUSDT.csv", [row(0), row(1)[:3]])
    with pytest.raises(BadSettings) as refused:
        read_candles(path)
    assert str(refused.value) == f"{path}, line 3: 3 cells found. Allowed: 6, as in the header."


def test_a_missing_column_is_named(write_csv):
    path = write_csv("BTCUSDT.csv", [[START, 1, 2, 1]], "ts,open,high,low")
    with pytest.raises(BadSettings) as refused:
        read_candles(path)
    assert str(refused.value) == (
        f"{path}, line 1: the column 'close' is missing. Found: ts, open, high, low. "
        "Allowed: a header with ts, open, high, low, close."
    )


def test_a_symbol_that_is_none_is_refused(write_csv):
    path = write_csv("x.csv", [[*row(0), "btc/usdt"]], "ts,open,high,low,close,volume,symbol")
    with pytest.raises(BadSettings, match="line 2, symbol: 'btc/usdt' .* as in BTCUSDT"):
        read_candles(path)


def test_a_file_without_a_symbol_is_refused(write_csv):
    with pytest.raises(BadSettings, match="no symbol is given. Allowed: a column symbol"):
        read_candles(write_csv("prices.csv", [row(0), row(1)]))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no candles. Allowed: a header and at least two bars."),
        ([row(0)], "holds a single bar. Allowed: at least two."),
        ([row(0), row(2), row(4)], ": the bars are 10m apart. Allowed: 1m, 3m, 5m, 15m"),
    ],
)
def test_a_file_without_a_timeframe_is_refused(write_csv, rows, message):
    with pytest.raises(BadSettings, match=re.escape(message)):
        read_candles(write_csv("BTCUSDT.csv", rows))


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08broken", b"text", b""])
def test_a_damaged_archive_is_refused(tmp_path, content):
    path = tmp_path / "BTCUSDT.csv.gz"
    path.write_bytes(content)
    with pytest.raises(BadSettings, match=r"BTCUSDT.csv.gz (can't be read|holds no candles)"):
        read_candles(path)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "BTCUSDT.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettings, match="can't be read"):
        read_candles(path)


# -- told ------------------------------------------------------------------------------------


def test_good_bars_need_no_word(write_csv):
    assert cleaned(write_csv("BTCUSDT.csv", [row(n) for n in range(9)])) == ([*range(9)], [])


def test_gaps_are_told_and_never_filled(write_csv):
    path = write_csv("BTCUSDT.csv", [row(n) for n in (0, 1, 4, 5, 9)])
    numbers, told = cleaned(path)
    assert numbers == [0, 1, 4, 5, 9]
    assert told == [
        "BTCUSDT: 2 gaps (5 bars missing), the first after 2025-06-15 15:20 UTC; "
        "nothing is filled in."
    ]


def test_a_single_missing_bar_is_told_in_the_singular(write_csv):
    assert cleaned(write_csv("BTCUSDT.csv", [row(n) for n in (0, 1, 3)]))[1] == [
        "BTCUSDT: 1 gap (1 bar missing), after 2025-06-15 15:20 UTC; nothing is filled in."
    ]


def test_identical_duplicates_are_dropped(write_csv):
    path = write_csv("BTCUSDT.csv", [row(n) for n in (0, 1, 1, 2, 2, 3)])
    assert cleaned(path) == (
        [0, 1, 2, 3],
        ["BTCUSDT: 2 duplicate bars, the first at 2025-06-15 15:15 UTC; each taken once."],
    )


def test_of_conflicting_duplicates_the_first_is_kept(write_csv):
    path = write_csv("BTCUSDT.csv", [row(0), row(1, close=99), row(1, close=102), row(2)])
    (file,) = read_candles(path)
    series, quality = clean([file], NOW)
    assert series.candle(1).close == 99
    assert quality.sentences() == [
        "BTCUSDT: 1 bar given twice and differently, at 2025-06-15 15:15 UTC; the first was kept."
    ]


def test_of_two_files_the_first_is_believed_and_they_are_merged(write_csv):
    first = write_csv("a_BTCUSDT.csv", [row(3), row(4, close=99)])
    second = write_csv("b_BTCUSDT.csv", [row(1), row(2), row(3), row(4)])
    numbers, told = cleaned(first, second)
    assert numbers == [1, 2, 3, 4]
    assert [sentence.partition(",")[0] for sentence in told] == [
        "BTCUSDT: 1 duplicate bar",
        "BTCUSDT: 1 bar given twice and differently",
    ]


def test_disorder_is_sorted_and_told(write_csv):
    path = write_csv("BTCUSDT.csv", [row(n) for n in (4, 3, 2, 1, 0)])
    assert cleaned(path) == (
        [0, 1, 2, 3, 4],
        ["BTCUSDT: 4 bars out of order, the first at 2025-06-15 15:10 UTC; sorted."],
    )


def test_a_bar_inside_another_is_left_out(write_csv):
    rows = [row(0), row(1), row(2), row(3)]
    rows.insert(2, [START + BAR + MINUTE_MS, *row(1)[1:]])
    assert cleaned(write_csv("BTCUSDT.csv", rows)) == (
        [0, 1, 2, 3],
        ["BTCUSDT: 1 bar overlapping the one before, at 2025-06-15 15:16 UTC; left out."],
    )


ABSURD = {
    "a low of less than half": row(2, low=49.9),
    "a high of more than twice": row(2, high=202.1),
    "a close far above both neighbors": row(2, close=210, high=210),
    "a close far below both neighbors": row(2, close=50, low=50),
    "an open that nothing agrees with": row(2, open_=210, high=210),
}


@pytest.mark.parametrize("bad", ABSURD.values(), ids=ABSURD)
def test_an_absurd_print_is_left_out_like_a_gap(write_csv, bad):
    path = write_csv("BTCUSDT.csv", [row(0), row(1), bad, row(3), row(4)])
    numbers, (told,) = cleaned(path)
    _, open_, high, low, close, _ = bad
    assert numbers == [0, 1, 3, 4]
    assert told == (
        f"BTCUSDT: 1 absurd print, at 2025-06-15 15:20 UTC (open {open_:g}, high {high:g}, "
        f"low {low:g}, close {close:g}); left out like a gap."
    )


BELIEVABLE = {
    "exactly half": [row(0), row(1), row(2, low=50), row(3)],
    "a fall that stays": [row(0), row(1), row(2, low=51, close=51), *[
        row(n, 45, 46, 40, 44) for n in (3, 4)]],
    "a level that doubles": [row(0), row(1), row(2, high=202, close=202), *[
        row(n, 230, 240, 220, 230) for n in (3, 4)]],
    "the first bar and the last": [row(0, 30, 35, 29, 31), row(1), row(2),
        row(3, 100, 300, 100, 300)],
}  # fmt: skip


@pytest.mark.parametrize("rows", BELIEVABLE.values(), ids=BELIEVABLE)
def test_a_violent_move_is_kept(write_csv, rows):
    assert cleaned(write_csv("BTCUSDT.csv", rows)) == ([*range(len(rows))], [])


def test_a_last_bar_that_had_not_closed_when_the_file_was_written_is_dropped(write_csv):
    path = write_csv("BTCUSDT.csv", [row(n) for n in range(4)])
    written = (START + 3 * BAR) / 1000 + 299
    os.utime(path, (written, written))
    assert cleaned(path) == (
        [0, 1, 2],
        ["BTCUSDT: 1 bar still forming, at 2025-06-15 15:25 UTC; left out."],
    )
    os.utime(path, (written + 1, written + 1))
    assert cleaned(path) == ([0, 1, 2, 3], [])


@pytest.mark.parametrize(("age", "count"), [(0, 3), (BAR - 1, 3), (BAR, 4), (HOUR_MS, 4)])
def test_a_last_bar_that_is_still_open_now_is_dropped(write_csv, age, count):
    files = read_candles(write_csv("BTCUSDT.csv", [row(n) for n in range(4)]))
    series, quality = clean(files, START + 3 * BAR + age)
    assert len(series) == count
    assert len(quality.sentences()) == 4 - count


def test_a_complete_copy_of_a_forming_bar_is_taken_from_the_other_file(write_csv):
    forming = write_csv("a_BTCUSDT.csv", [row(0), row(1), row(2, close=99)])
    written = (START + 2 * BAR) / 1000 + 1
    os.utime(forming, (written, written))
    complete = write_csv("b_BTCUSDT.csv", [row(2), row(3)])
    files = [*read_candles(forming), *read_candles(complete)]
    series, _ = clean(files, NOW)
    assert [candle.close for candle in series.since(0)] == [101, 101, 101, 101]


def test_counts_are_grouped_in_thousands(write_csv):
    (told,) = cleaned(write_csv("BTCUSDT.csv", [row(n) for n in range(1500, 0, -1)]))[1]
    assert told.startswith("BTCUSDT: 1,499 bars out of order")


def test_moments_are_told_in_utc():
    assert utc(START) == "2025-06-15 15:10 UTC"


# -- funding ---------------------------------------------------------------------------------


def test_rates_keep_their_text_and_jitter_is_rounded_away(write_csv):
    settled = 1_758_700_800_000
    rows = [[settled + 5, "1.004e-05"], [settled, "0.5"], [settled + 8 * HOUR_MS - 7, "-0.00025"]]
    path = write_csv("bybit_BTCUSDT_funding_8h.csv", rows, "ts,funding_rate")
    assert read_funding(path) == {
        "BTCUSDT": {settled: Decimal("1.004e-05"), settled + 8 * HOUR_MS: Decimal("-0.00025")}
    }


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        ([START, "x"], "funding_rate: 'x'"),
        ([START, "nan"], "funding_rate: 'nan'"),
        ([START, "1.5"], "funding_rate: '1.5'"),
        ([1, "0.1"], "ts: '1'"),
    ],
)
def test_a_rate_that_cannot_be_is_refused_with_its_place(write_csv, bad, found):
    path = write_csv("BTCUSDT_funding_8h.csv", [bad], "ts,funding_rate")
    with pytest.raises(BadSettings, match=re.escape(f"{path}, line 2, {found} is not valid.")):
        read_funding(path)
