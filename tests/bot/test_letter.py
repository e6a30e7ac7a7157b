"""A letter comes back as it was stored, whatever it holds."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.letter import REPEATED, Letter, from_body, to_body
from engine.candle import HOUR_MS, Candle
from engine.order import Side
from handlers.reply import (
    Button,
    CandleChart,
    Chart,
    Code,
    Duration,
    EquityChart,
    Fields,
    Marker,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Word,
)

CANDLES = (Candle(0, 1.0, 2.0, 0.5, 1.5, 10.0), Candle(HOUR_MS, 1.5, 2.5, 1.0, 2.0, 11.0))
PICTURE = CandleChart(
    "BTCUSDT 1h",
    "a day",
    HOUR_MS,
    CANDLES,
    (Marker(5, 1.5, Side.SELL, True, "Sell 0.1"),),
    (("stop", 2.5),),
    forming_until=7,
)
CURVE = EquityChart("Equity", "a week", ((0, 10_000.0), (HOUR_MS, 9_999.5)), 10_000.0)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=6)
floats = st.floats(allow_nan=False, allow_infinity=False, width=32)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    texts,
    st.builds(Money, numbers, st.booleans()),
    st.builds(Price, numbers | floats, st.none() | st.integers(0, 8)),
    st.builds(Quantity, numbers),
    st.builds(Percent, numbers | floats, st.booleans()),
    st.builds(Multiple, numbers | floats),
    st.builds(Time, st.integers(0, 2**45)),
    st.builds(Duration, st.integers(-(2**40), 2**40)),
    st.builds(Word, st.sampled_from(("stop_loss", "ma_exit"))),
)
tables = st.integers(1, 4).flatmap(
    lambda width: st.builds(
        Table,
        texts,
        st.tuples(*[texts] * width),
        st.lists(st.tuples(*[values] * width), max_size=3).map(tuple),
        texts,
    )
)
blocks = st.one_of(
    st.builds(Text, texts),
    st.builds(Code, texts),
    st.builds(Fields, texts, st.dictionaries(texts, values, max_size=4)),
    tables,
    st.sampled_from([Chart(PICTURE), Chart(CURVE)]),
)
buttons = st.builds(Button, texts, texts, st.lists(texts, max_size=2).map(tuple))
replies = st.builds(
    Reply,
    st.lists(blocks, max_size=4).map(tuple),
    st.lists(buttons, max_size=3).map(tuple),
    st.none() | texts,
    st.none() | texts,
)


@given(st.builds(Letter, replies, texts, texts, texts, st.booleans(), st.booleans()))
@settings(max_examples=200, deadline=None)
def test_what_is_stored_is_what_is_sent(letter: Letter) -> None:
    found = from_body(to_body(letter))
    assert found == letter
    assert repr(found) == repr(letter)


def test_money_keeps_every_digit() -> None:
    amount = Decimal("12345678901.123456789")
    letter = Letter(Reply((Fields("", {"net": Money(amount)}),)))
    (block,) = from_body(to_body(letter)).reply.blocks
    assert block == Fields("", {"net": Money(amount)})


def test_a_letter_that_may_have_come_before_says_so_first() -> None:
    letter = Letter(Reply((Text("Sold 0.1 BTCUSDT"),), badge="PAPER"))
    assert letter.shown == letter.reply
    again = replace(letter, repeated=True).shown
    assert again.blocks == (Text(REPEATED), Text("Sold 0.1 BTCUSDT"))
    assert again.badge == "PAPER"


@pytest.mark.parametrize("body", ["", "{}", '{"reply": 1}', "not json"])
def test_what_is_no_letter_is_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        from_body(body)
