"""Bybit's messages as values: the recorded ones are understood, nonsense is not."""

import json
from decimal import Decimal

import pytest

from engine.bybit import parse
from engine.candle import Candle
from engine.errors import BadInput

D = Decimal
ROW = ["1709891640000", "27450", "27460", "27440", "27455", "123.45", "3390000"]
KLINE = {
    "start": 1672324800000, "end": 1672325099999, "interval": "5", "open": "2", "close": "3",
    "high": "4", "low": "1", "volume": "5", "turnover": "6", "confirm": True, "timestamp": 1,
}  # fmt: skip


@pytest.fixture
def recorded(shared):
    def read(name):
        return json.loads((shared / "specs" / "bybit" / f"{name}.json").read_text())

    return read


def test_a_recorded_row_of_rest_is_a_candle(recorded):
    [row] = recorded("nautilus/http_get_klines_linear")["result"]["list"]

    assert parse.candle(row) == Candle(1709891679000, 27450, 27460, 27440, 27455, 123.45)


def test_a_recorded_kline_is_a_candle_that_is_not_confirmed(recorded):
    [kline] = parse.klines(recorded("nautilus/ws_kline")["data"])

    assert kline == (Candle(1672324800000, 16649.5, 16677, 16608, 16677, 2.081), False)


def test_every_documented_kline_is_understood(recorded):
    for example in recorded("ws/public.kline")["messages"]:
        assert parse.klines(example["json"]["data"])


def test_a_recorded_ticker_tells_price_and_funding(recorded):
    ticker = parse.ticker(recorded("nautilus/ws_ticker_linear")["data"])

    assert ticker == (17216.0, D("-0.000212"), 1673280000000, D("1570383121.943499"))


def test_a_dated_contract_has_no_funding(recorded):
    messages = [example["json"] for example in recorded("ws/public.tickers")["messages"]]
    dated = next(m for m in messages if m["topic"] == "tickers.BTC-26DEC25")

    assert parse.ticker(dated["data"])[1:3] == (None, None)


def test_what_a_delta_does_not_mention_is_unchanged():
    assert parse.ticker({"symbol": "BTCUSDT"}) == (None, None, None, None)


def test_recorded_instruments_become_rules(recorded):
    rows = recorded("nautilus/http_get_instruments_linear")["result"]["list"]
    bitcoin = parse.instrument(rows[0], D(2400))

    assert (bitcoin.symbol, bitcoin.tick, bitcoin.quantity_step) == (
        "BTCUSDT",
        D("0.5"),
        D("0.001"),
    )
    assert (bitcoin.quantity_min, bitcoin.quantity_max) == (D("0.001"), D(50))
    assert (bitcoin.notional_min, bitcoin.leverage_max, bitcoin.hourly_volume) == (5, 100, 100)


def test_every_documented_instrument_is_understood(recorded):
    for example in recorded("rest/market.instruments-info")["response_examples"][:2]:
        for row in example["json"]["result"]["list"]:
            assert parse.instrument(row, D(0)).hourly_volume == 1


def test_zeros_that_pad_a_step_are_left_out():
    rules = parse.instrument(
        {
            "symbol": "X",
            "lotSizeFilter": {
                "qtyStep": "100.00",
                "minOrderQty": "0.10",
                "maxMktOrderQty": "500.000",
                "minNotionalValue": "5",
            },
            "priceFilter": {"tickSize": "0.10"},
            "leverageFilter": {"maxLeverage": "12.50"},
        },
        D(0),
    )

    assert str(rules.quantity_step) == "100"
    assert str(rules.tick) == "0.1"
    assert rules.leverage_max == 12


def test_recorded_funding_is_rates_by_stamp(recorded):
    [example] = recorded("rest/market.funding-history")["response_examples"]

    assert parse.funding(example["json"]["result"]["list"]) == {1672041600000: D("0.0001")}


@pytest.mark.parametrize(
    "row",
    [
        "text",
        ROW[:5],
        [1.5, *ROW[1:]],
        ["soon", *ROW[1:]],
        [True, *ROW[1:]],
        [ROW[0], 27450, *ROW[2:]],
        [ROW[0], "nan", *ROW[2:]],
        [ROW[0], "inf", *ROW[2:]],
        [ROW[0], "0", *ROW[2:]],
        [ROW[0], "-27450", *ROW[2:]],
        [ROW[0], "27461", *ROW[2:]],
        [*ROW[:5], "-1", ROW[6]],
        [*ROW[:5], None, ROW[6]],
    ],
    ids=str,
)
def test_what_is_no_candle_is_refused(row):
    with pytest.raises(ValueError):
        parse.candle(row)


@pytest.mark.parametrize(
    "change",
    [{"confirm": "true"}, {"confirm": None}, {"start": None}, {"open": "x"}, {"high": "2.5"}],
    ids=str,
)
def test_what_is_no_kline_is_refused(change):
    assert parse.klines([KLINE])
    with pytest.raises(ValueError):
        parse.klines([KLINE | change])


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"lastPrice": "NaN"},
        {"lastPrice": "0"},
        {"lastPrice": "-1"},
        {"lastPrice": 5},
        {"lastPrice": "1e999"},
        {"fundingRate": "x"},
        {"fundingRate": "NaN"},
        {"nextFundingTime": "later"},
    ],
    ids=str,
)
def test_what_is_no_ticker_is_refused(data):
    with pytest.raises(ValueError):
        parse.ticker(data)


def test_a_length_that_bybit_does_not_have_names_those_it_has():
    with pytest.raises(BadInput, match="1m, 3m, 5m, 15m"):
        parse.interval_name(45 * 60_000)


@pytest.mark.parametrize("wild", ["1e30", "1e9999999", "-1e-99", "1e999999"])
def test_a_number_that_can_not_be_real_is_nonsense_before_anybody_reckons_with_it(wild):
    with pytest.raises(ValueError, match="real"):
        parse.decimal(wild)


@pytest.mark.parametrize("wild", ["1.5", "-2", "1e6"])
def test_a_funding_rate_that_takes_all_there_is_is_nonsense(wild):
    with pytest.raises(ValueError, match="funding rate"):
        parse.ticker({"symbol": "BTCUSDT", "fundingRate": wild})
