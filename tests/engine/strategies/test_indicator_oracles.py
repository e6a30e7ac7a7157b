"""The indicators beside recorded references: spreadsheets, a textbook's numbers, and TA-Lib."""

import csv
import gzip
import math
from array import array
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.strategies.indicators import (
    Adx,
    Atr,
    Bollinger,
    Deviation,
    Extremes,
    Macd,
    Roc,
    Rsi,
    Sma,
    Stochastic,
    Supertrend,
    adx,
    adx_bars,
    atr,
    bollinger,
    deviation,
    ema,
    extremes,
    macd,
    macd_bars,
    roc,
    rsi,
    sma,
    stochastic,
    stochastic_bars,
    stochastic_cells,
    supertrend,
    true_range,
    wilder,
)

Row = dict[str, float]
Run = Callable[[list[Row]], Iterator[Row]]


def cells(count: int) -> "array[float]":
    return array("d", bytes(8 * count))


def number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def sheet(shared: Path, name: str) -> list[Row]:
    """The rows of a spreadsheet with the cells that hold numbers; of columns with one name the
    first, the later ones are rounded copies."""
    folder = shared / "data" / "indicators" / "stock_indicators" / "calc_xlsx_as_csv"
    with gzip.open(folder / f"{name}.csv.gz", "rt") as file:
        header, *lines = csv.reader(file)
    rows = []
    for line in lines:
        row: Row = {}
        for column, text in zip(header, line, strict=False):
            value = number(text)
            if value is not None:
                row.setdefault(column, value)
        if "close" in row:
            rows.append(row)
    return rows


def run_ema(rows: list[Row]) -> Iterator[Row]:
    value = 0.0
    for count, row in enumerate(rows, start=1):
        value = ema(value, row["close"], float(count), 20.0)
        yield {"ema": value}


def run_sma(rows: list[Row]) -> Iterator[Row]:
    state, window = Sma(), cells(20)
    for row in rows:
        state = sma(state, window, 0, row["close"], 20.0)
        yield {"SMA": state.value}


def run_volume_sma(rows: list[Row]) -> Iterator[Row]:
    state, window = Sma(), cells(20)
    for row in rows:
        state = sma(state, window, 0, row["volume"], 20.0)
        yield {"sma": state.value}


def run_rsi(rows: list[Row]) -> Iterator[Row]:
    state = Rsi()
    for row in rows:
        state = rsi(state, row["close"], 14.0)
        yield {"AvgGain": state.gain, "AvgLoss": state.loss, "RSI(14)": state.value}


def run_true_range(rows: list[Row]) -> Iterator[Row]:
    before = rows[0]["close"]
    for row in rows:
        yield {"TR": true_range(row["high"], row["low"], before)}
        before = row["close"]


def run_atr(rows: list[Row]) -> Iterator[Row]:
    state = Atr()
    for row in rows:
        state = atr(state, row["high"], row["low"], row["close"], 14.0)
        yield {"ATR": state.value}


def run_bollinger(rows: list[Row]) -> Iterator[Row]:
    state, window = Bollinger(), cells(20)
    for row in rows:
        state = bollinger(state, window, 0, row["close"], 20.0, 2.0)
        yield {
            "sma": state.middle,
            "upper": state.upper,
            "lower": state.lower,
            "%b": state.position,
            "width": state.bandwidth,
        }


def run_macd(rows: list[Row]) -> Iterator[Row]:
    state = Macd()
    for row in rows:
        state = macd(state, row["close"], 12.0, 26.0, 9.0)
        yield {"MACD": state.line, "Signal": state.signal, "Histo": state.histogram}


def run_stochastic(rows: list[Row]) -> Iterator[Row]:
    state, window = Stochastic(), cells(stochastic_cells(14.0, 3.0, 3.0))
    for row in rows:
        bar = (row["high"], row["low"], row["close"])
        state = stochastic(state, window, 0, *bar, 14.0, 3.0, 3.0)
        yield {"%K": state.k, "%D": state.d}


def run_adx(rows: list[Row]) -> Iterator[Row]:
    state = Adx()
    for row in rows:
        state = adx(state, row["high"], row["low"], row["close"], 14.0)
        yield {
            "TR14": 14.0 * state.range,
            "+DM14": 14.0 * state.up,
            "-DM14": 14.0 * state.down,
            "+DI14": state.plus,
            "-DI14": state.minus,
            "ADX": state.value,
        }


def run_supertrend(length: float) -> Run:
    def run(rows: list[Row]) -> Iterator[Row]:
        state = Supertrend()
        for row in rows:
            state = supertrend(state, row["high"], row["low"], row["close"], length, 3.0)
            yield {"ATR": state.atr, "SuperTrend": state.value}

    return run


def run_roc(rows: list[Row]) -> Iterator[Row]:
    state, window = Roc(), cells(20)
    for row in rows:
        state = roc(state, window, 0, row["close"], 20.0)
        yield {"roc": 100.0 * state.value}


def run_deviation(rows: list[Row]) -> Iterator[Row]:
    state, window = Deviation(), cells(10)
    for row in rows:
        state = deviation(state, window, 0, row["close"], 10.0)
        yield {"mean": state.mean, "stddev": state.population}


def run_extremes(rows: list[Row]) -> Iterator[Row]:
    """The sheet's channel is of the bars before: our state before the bar."""
    state, window = Extremes(), cells(40)
    for row in rows:
        yield {"Upper": state.highest, "Lower": state.lowest}
        state = extremes(state, window, 0, row["high"], row["low"], 20.0)


# The sheet, how it is followed, and from how many bars on each column has a value.
SHEETS: dict[str, tuple[str, Run, dict[str, float]]] = {
    "EMA(20)": ("Ema__EMA", run_ema, {"ema": 20}),
    "SMA(20)": ("Sma__SMA_Close", run_sma, {"SMA": 20}),
    "SMA(20) of volume": ("Sma__SMA_Volume", run_volume_sma, {"sma": 20}),
    "RSI(14)": ("Rsi__RSI", run_rsi, {"AvgGain": 15, "AvgLoss": 15, "RSI(14)": 15}),
    "true range": ("Atr__ATR", run_true_range, {"TR": 2}),
    "ATR(14)": ("Atr__ATR", run_atr, {"ATR": 15}),
    "Bollinger(20, 2)": (
        "BollingerBands__Bollinger_Bands",
        run_bollinger,
        {"sma": 20, "upper": 20, "lower": 20, "%b": 20, "width": 20},
    ),
    "MACD(12, 26, 9)": (
        "Macd__MACD",
        run_macd,
        {"MACD": 26, "Signal": macd_bars(26.0, 9.0), "Histo": macd_bars(26.0, 9.0)},
    ),
    "stochastic(14, 3, 3)": (
        "Stoch__STO_14_3_3_2",
        run_stochastic,
        {"%K": 16, "%D": stochastic_bars(14.0, 3.0, 3.0)},
    ),
    "ADX(14)": (
        "Adx__ADX",
        run_adx,
        {"TR14": 15, "+DM14": 15, "-DM14": 15, "+DI14": 15, "-DI14": 15, "ADX": adx_bars(14.0)},
    ),
    "supertrend(14, 3)": (
        "SuperTrend__SuperTrend_14_3",
        run_supertrend(14.0),
        {"ATR": 15, "SuperTrend": 15},
    ),
    "supertrend(10, 3)": (
        "SuperTrend__SuperTrend_10_3_with_Bitcoin",
        run_supertrend(10.0),
        {"ATR": 11, "SuperTrend": 11},
    ),
    "ROC(20)": ("Roc__ROC", run_roc, {"roc": 21}),
    "deviation(10)": ("StdDev__StdDev", run_deviation, {"mean": 10, "stddev": 10}),
    "extremes(20)": ("Donchian__Donchian", run_extremes, {"Upper": 21, "Lower": 21}),
}


@pytest.mark.parametrize(("name", "run", "columns"), SHEETS.values(), ids=SHEETS)
def test_an_indicator_is_that_of_the_spreadsheet(shared, name, run, columns):
    rows = sheet(shared, name)
    ours = list(run(rows))
    for column, bars in columns.items():
        wanted = [(index, row[column]) for index, row in enumerate(rows) if column in row]
        assert wanted[0][0] == bars - 1
        for index, value in wanted:
            assert ours[index][column] == pytest.approx(value, rel=1e-9, abs=1e-9), (column, index)


def run_textbook_bollinger(closes: list[float]) -> Iterator[tuple[float, ...]]:
    state, window = Bollinger(), cells(5)
    for close in closes:
        state = bollinger(state, window, 0, close, 5.0, 2.0)
        yield state.lower, state.middle, state.upper


def run_textbook_stochastic(
    highs: list[float], lows: list[float], closes: list[float]
) -> Iterator[tuple[float, ...]]:
    state, window = Stochastic(), cells(stochastic_cells(5.0, 3.0, 3.0))
    for bar in zip(highs, lows, closes, strict=True):
        state = stochastic(state, window, 0, *bar, 5.0, 3.0, 3.0)
        yield state.k, state.d


def run_textbook_rsi(closes: list[float]) -> Iterator[tuple[float, ...]]:
    state = Rsi()
    for close in closes:
        state = rsi(state, close, 5.0)
        yield (state.value,)


def run_textbook_wilder(values: list[float]) -> Iterator[tuple[float, ...]]:
    smoothed = 0.0
    for count, value in enumerate(values, start=1):
        smoothed = wilder(smoothed, value, float(count), 5.0)
        yield (smoothed,)


def run_textbook_deviation(values: list[float]) -> Iterator[tuple[float, ...]]:
    state, window = Deviation(), cells(5)
    for value in values:
        state = deviation(state, window, 0, value, 5.0)
        yield (state.population,)


def run_textbook_roc(closes: list[float]) -> Iterator[tuple[float, ...]]:
    state, window = Roc(), cells(3)
    for close in closes:
        state = roc(state, window, 0, close, 3.0)
        yield (state.value,)


# The file and the entry in it; how many of its lines go in, the others must come out.
TEXTBOOK: dict[str, tuple[str, str, int, Callable[..., Iterator[tuple[float, ...]]]]] = {
    "Bollinger": ("atoz", "bbands 5 2", 1, run_textbook_bollinger),
    "stochastic": ("atoz", "stoch 5 3 3", 3, run_textbook_stochastic),
    "RSI": ("atoz", "rsi 5", 1, run_textbook_rsi),
    "Wilder's smoothing": ("atoz", "wilders 5", 1, run_textbook_wilder),
    "deviation": ("atoz", "stddev 5", 1, run_textbook_deviation),
    "ROC": ("extra", "roc 3", 1, run_textbook_roc),
}


def vectors(shared: Path, file: str, entry: str) -> list[list[float]]:
    lines = (shared / "data" / "indicators" / "tulip" / f"{file}.txt").read_text().splitlines()
    found = []
    for line in lines[lines.index(entry) + 1 :]:
        if line.startswith("{"):
            found.append([float(text) for text in line.strip("{}").split(",")])
        elif not line.startswith("#"):
            break
    return found


@pytest.mark.parametrize(("file", "entry", "inputs", "run"), TEXTBOOK.values(), ids=TEXTBOOK)
def test_an_indicator_is_that_of_the_textbook(shared, file, entry, inputs, run):
    """Achelis, Technical Analysis from A to Z, printed with four decimals."""
    lines = vectors(shared, file, entry)
    ours = list(zip(*run(*lines[:inputs]), strict=True))
    for found, wanted in zip(ours, lines[inputs:], strict=True):
        assert found[-len(wanted) :] == pytest.approx(wanted, rel=1e-4, abs=1e-4)


def talib_ema(values: list[float], length: int, first: int) -> list[float]:
    """TA-Lib seeds an average so that its first value stands at index `first`."""
    last = sum(values[first - length + 1 : first + 1]) / length
    found = [math.nan] * first + [last]
    for value in values[first + 1 :]:
        last += (value - last) * 2 / (length + 1)
        found.append(last)
    return found


def talib_sums(values: list[float], length: int) -> list[float]:
    """TA-Lib's directional sums begin with one value less than their length."""
    total = sum(values[1:length])
    found = [math.nan] * length
    for value in values[length:]:
        total += value - total / length
        found.append(total)
    return found


def talib_macd(rows: list[Row]) -> dict[str, list[float]]:
    closes = [row["close"] for row in rows]
    quick, calm = talib_ema(closes, 12, 25), talib_ema(closes, 26, 25)
    line = [fast - slow for fast, slow in zip(quick, calm, strict=True)]
    signal = talib_ema(line, 9, 33)
    histogram = [one - other for one, other in zip(line, signal, strict=True)]
    return {"MACD(12,26)": line, "MACD signal(9)": signal, "MACD hist": histogram}


def talib_adx(rows: list[Row]) -> dict[str, list[float]]:
    ranges, ups, downs = ([0.0] for _ in range(3))
    for before, row in pairwise(rows):
        rise, fall = row["high"] - before["high"], before["low"] - row["low"]
        ranges.append(true_range(row["high"], row["low"], before["close"]))
        ups.append(rise if rise > max(fall, 0) else 0.0)
        downs.append(fall if fall > max(rise, 0) else 0.0)
    whole = talib_sums(ranges, 14)
    plus = [100 * up / total for up, total in zip(talib_sums(ups, 14), whole, strict=True)]
    minus = [100 * down / total for down, total in zip(talib_sums(downs, 14), whole, strict=True)]
    index = [100 * abs(p - m) / (p + m) for p, m in zip(plus, minus, strict=True)]
    strength = [math.nan] * 27 + [sum(index[14:28]) / 14]
    for value in index[28:]:
        strength.append((strength[-1] * 13 + value) / 14)
    return {"+DI(14)": plus, "-DI(14)": minus, "ADX(14)": strength}


TALIB = {
    "MACD": (
        "Macd__MACD",
        talib_macd,
        run_macd,
        {"MACD(12,26)": "MACD", "MACD signal(9)": "Signal", "MACD hist": "Histo"},
    ),
    "ADX": (
        "Adx__ADX",
        talib_adx,
        run_adx,
        {"+DI(14)": "+DI14", "-DI(14)": "-DI14", "ADX(14)": "ADX"},
    ),
}


def agreement(shared: Path) -> dict[str, int]:
    """From which bar on TA-Lib was recorded to be within a millionth of the spreadsheets."""
    path = shared / "data" / "indicators" / "TALIB_vs_StockIndicators_calc.csv"
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["agree_1e6_from_index"]]
    return {row["indicator"]: int(float(row["agree_1e6_from_index"])) for row in rows}


@pytest.mark.parametrize(("name", "talib", "run", "columns"), TALIB.values(), ids=TALIB)
def test_another_seed_is_forgotten_when_the_table_says(shared, name, talib, run, columns):
    rows = sheet(shared, name)
    ours, theirs = list(run(rows)), talib(rows)
    first = agreement(shared)
    for indicator, column in columns.items():
        close = [
            abs(ours[index][column] - value) < 1e-6 * abs(value)
            for index, value in enumerate(theirs[indicator])
        ]
        assert all(close[first[indicator] :]), indicator
        assert not close[first[indicator] - 1], indicator
