"""Numbers in words, held against the data they are said to come from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.grounding import invented

DATA = """
BTCUSDT at 2025-01-03 16:00 UTC, price 61234.5, change: 1h +0.12%, 24h -1.20%
RSI 56.2, Bollinger position 0.71, ADX 27 (+DI 25, -DI 14), EMA 200 59900, volume 1.31x its mean
funding rate 0.0100%, size 0.0123, cap 1,250,000, spent 2.5M, daily 70k, stochastic K 77, D 69
bot shortseller_001 on 5m, open for 3h 25m, trade T12, uptime 35, slippage 12 bps
"""

STANDS = {
    "as it is": "61234.5",
    "with a separator": "61,234.5",
    "rounded to a whole": "61,235",
    "rounded, in thousands": "61.2k",
    "in whole thousands": "61k",
    "with more zeros": "61234.50",
    "in millions of what has separators": "1.25 million",
    "in millions of what is said in them": "2,500,000",
    "in thousands of what is said in them": "70,000",
    "a percentage": "1.20%",
    "a percentage, rounded": "1.2 percent",
    "a percentage without its sign": "it fell by 1.2%",
    "a percentage with another sign": "+1.2%",
    "a percentage as a fraction": "0.012",
    "a fraction as a percentage": "1.23%",
    "a fraction as a rounded percentage": "71%",
    "a fraction as an ordinal": "the 71st percentile",
    "what is out of a hundred, in percent": "an RSI of 56.2%",
    "basis points of a percentage": "1 bp",
    "a percentage of basis points": "0.12%",
    "an average by its name": "EMA 200",
    "an average by its name in one word": "EMA200 (200)",
    "a time by its name": "over 24h",
    "a time in words": "in 24 hours",
    "a time with a hyphen": "the 24-hour change",
    "a time in another unit": "in 1 day",
    "a timeframe": "the 5-minute bars",
    "a length in parts": "open for 3 hours 25 min",
    "minutes of a number without a unit": "35 minutes",
    "a multiple": "1.3 times",
    "a multiple with its sign": "1.31x",
    "two of them with a hyphen": "25-27",
    "a date": "on 2025-01-03 at 16:00",
    "a bot": "shortseller_001",
    "a trade": "T12, or trade 12",
    "numbers in words": "all three of the four timeframes",
    "none at all": "no number at all",
    "nothing": "",
}

INVENTED = {
    "another price": ("61,300", "61,300"),
    "a round price": ("near 61,000", "61,000"),
    "digits that are not there": ("61234.56", "61234.56"),
    "another percentage": ("12.3%", "12.3%"),
    "a percentage with a blank": ("up 9 %", "9 %"),
    "another multiple in thousands": ("71k", "71k"),
    "a plain number of a time": ("all 24 indicators", "24"),
    "a time of a plain number": ("the 27m chart", "27m"),
    "another time": ("over 48 hours", "48 hours"),
    "minutes are no millions": ("25 million", "25 million"),
    "millions are no minutes": ("5M", "5M"),
    "another bot": ("shortseller_002", "002"),
    "another average": ("EMA 100", "100"),
    "a tenth": ("6,123.45", "6,123.45"),
    "too long for a float": ("9" * 400, "9" * 400),
    "beyond any float": ("1e999", "1e999"),
    "other digits": ("٤٤", "٤٤"),
}


@pytest.mark.parametrize("text", STANDS.values(), ids=STANDS)
def test_what_stands_in_the_data_is_not_invented(text):
    assert invented(text, DATA) == ()


@pytest.mark.parametrize(("text", "number"), INVENTED.values(), ids=INVENTED)
def test_what_does_not_is_said_as_it_was_written(text, number):
    assert invented(text, DATA) == (number,)
    assert number in text


def test_each_is_said_once_in_its_order():
    text = "From 5,000 to 4,000, not 61,235, then 5,000 again and 8%."
    assert invented(text, DATA) == ("5,000", "4,000", "8%")


def test_without_data_every_number_is_invented():
    assert invented("RSI 56 and 24h, 3%", "") == ("56", "24h", "3%")


def test_a_list_of_numbers_is_no_number_with_separators():
    assert invented("27,25,14", DATA) == ()
    assert invented("1,2", "1 and 2") == ()


@given(st.decimals(0, 10**9, places=4), st.integers(0, 4))
def test_a_number_of_the_data_stands_however_it_is_rounded(number, places):
    data = f"the figure is {number}"
    assert invented(f"{number:.{places}f}", data) == ()
    assert invented(f"about -{number:,.{places}f}.", data) == ()
    assert invented(f"{number:.{places}%}", data) == ()
    assert invented(f"{number / 100:.8f}", f"{number}%") == ()


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_whole_number_that_is_not_there_is_found(number, off):
    assert invented(f"it is {number + off}", f"it was {number}") == (str(number + off),)


@given(st.text(), st.text())
def test_any_texts_are_read(text, data):
    for number in invented(text, data):
        assert number in text


@given(st.text())
def test_a_text_stands_in_itself(text):
    assert invented(text, text) == ()
