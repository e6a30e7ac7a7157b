"""Bars as arrays: nothing is copied without need, and equal bars have one digest."""

from decimal import Decimal

import numpy as np
import pytest

from engine.candle import Candle
from engine.columns import (
    Columns,
    between,
    columns_of,
    columns_of_candles,
    digest,
    joined,
    no_columns,
    rates_of,
    take,
)
from engine.market.candle_file import Series

T0 = 1_735_689_600_000
BARS = [Candle(T0 + n * 60_000, 100.0 + n, 103.5 + n, 99.0 + n, 101.0 + n, n) for n in range(5)]


def rows(columns: Columns) -> list[Candle]:
    return [Candle(int(ts), *map(float, rest)) for ts, *rest in zip(*columns, strict=True)]


@pytest.fixture
def series() -> Series:
    made = Series()
    ts, *values = zip(*BARS, strict=True)
    made.extend(ts, values)
    return made


def test_columns_of_a_series_are_its_own_memory(series):
    columns = columns_of(series)
    assert rows(columns) == BARS
    series.prices[3][2] = 7.0
    assert columns.close[2] == 7.0


def test_columns_of_candles_are_the_same_and_lie_together(series):
    columns = columns_of_candles(BARS)
    assert rows(columns) == rows(columns_of(series))
    assert columns.ts.dtype == np.int64
    assert all(column.flags.c_contiguous for column in columns)


def test_nothing_has_columns_too():
    for empty in (columns_of_candles([]), no_columns(), joined([]), columns_of(Series())):
        assert [len(column) for column in empty] == [0] * 6
        assert empty.ts.dtype == np.int64


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        (T0, T0 + 120_000, BARS[:2]),
        (T0 + 1, T0 + 120_001, BARS[1:3]),
        (0, T0, []),
        (T0 + 60_000, 1 << 60, BARS[1:]),
    ],
)
def test_a_range_ends_before_its_stop(start, stop, expected):
    assert rows(between(columns_of_candles(BARS), start, stop)) == expected


def test_a_range_is_a_view():
    columns = columns_of_candles(BARS)
    assert np.shares_memory(between(columns, T0, T0 + 120_000).close, columns.close)
    assert rows(take(columns, slice(3, None))) == BARS[3:]


def test_parts_are_joined_in_their_order():
    columns = columns_of_candles(BARS)
    assert rows(joined([take(columns, slice(0, 2)), take(columns, slice(2, 5))])) == BARS
    assert joined([columns]) is columns


def test_the_digest_is_of_the_values_alone():
    columns = columns_of_candles(BARS)
    spread = np.zeros((5, 6))
    spread[:, 0] = columns.close
    same = columns._replace(close=spread[:, 0])
    assert digest(same) == digest(columns)
    assert digest(columns._replace(close=columns.close + 1e-9)) != digest(columns)
    assert digest(columns._replace(open=columns.close, close=columns.open)) != digest(columns)
    assert digest(take(columns, slice(0, 4))) != digest(columns)


def test_funding_rates_are_sorted_by_their_stamps():
    rates = rates_of({T0 + 8: Decimal("-0.0003"), T0: Decimal("0.0001")})
    assert (rates.ts.tolist(), rates.rate.tolist()) == ([T0, T0 + 8], [0.0001, -0.0003])
    assert len(rates_of({}).rate) == 0
