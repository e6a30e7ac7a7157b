"""How single values read, for people and for machines."""

from decimal import Decimal

import pytest

from handlers.reply import (
    Duration,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Reply,
    Time,
    Value,
    Word,
    raw,
    show,
)

D = Decimal
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Money(D("10048.314")), "10,048.31"),
        (Money(D("48.31"), signed=True), "+48.31"),
        (Money(D("-0.001"), signed=True), "-0.0010"),
        (Money(D("-0.00001"), signed=True), "0.0000"),
        (Money(D(0), signed=True), "0.00"),
        (Price(D("111920"), 1), "111,920.0"),
        (Price(D("5036.4") / D("0.045"), 1), "111,920.0"),
        (Price(0.23145, 5), "0.23145"),
        (Price(0.23145), "0.231450"),
        (Price(D("105000.5")), "105,000.5"),
        (Quantity(D("0.0450")), "0.045"),
        (Quantity(D("1E+3")), "1,000"),
        (Quantity(D(0)), "0"),
        (Percent(D("0.0123456"), signed=True), "+1.23%"),
        (Percent(-0.00001), "0.00%"),
        (Percent(1.5), "150.00%"),
        (Multiple(60.0), "60x"),
        (Multiple(D("0.4884")), "0.49x"),
        (Time(1_784_652_900_000), "2026-07-21 16:55 UTC"),
        (Duration(3 * HOUR + 25 * MINUTE + 10_000), "3h 25m"),
        (Duration(2 * DAY), "2d"),
        (Duration(HOUR + 5_000), "1h"),
        (Duration(40_000), "40s"),
        (Duration(12), "12 ms"),
        (Duration(0), "0 ms"),
        (Duration(-90_000), "-1m 30s"),
        (12_345, "12,345"),
        (True, "✓"),
        (False, "✗"),
        (None, "-"),
        ("as it_is", "as it_is"),
        (Word("stop_loss"), "stop loss"),
    ],
)
def test_a_value_reads_well(value: Value, shown: str) -> None:
    assert show(value) == shown


@pytest.mark.parametrize(
    ("value", "bare"),
    [
        (Money(D("-8.900"), signed=True), "-8.900"),
        (Money(D("1E+2")), "100"),
        (Price(0.00001, 5), "0.00001"),
        (Price(D("111920.0"), 1), "111920.0"),
        (Percent(0.5), "0.5"),
        (Multiple(60.0), "60.0"),
        (Quantity(D("0.045")), "0.045"),
        (Time(1_784_652_900_000), 1_784_652_900_000),
        (Duration(60_000), 60_000),
        (True, True),
        (7, 7),
        (None, None),
        ("short", "short"),
        (Word("stop_loss"), "stop_loss"),
    ],
)
def test_a_machine_gets_the_bare_value_and_never_an_exponent(value: Value, bare: object) -> None:
    assert raw(value) == bare


def test_a_reply_is_ok_unless_it_has_an_error() -> None:
    assert Reply().ok
    assert not Reply(error="No.").ok
