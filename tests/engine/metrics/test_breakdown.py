"""Trades by what they have in common."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS
from engine.errors import BadInput
from engine.metrics import GROUPINGS, RoundTrip, Unit, breakdown
from tests.engine.metrics.trips import trip

# 2025-01-01 was a Wednesday.
TRIPS = [
    trip(-5.0, hour=22, symbol="ETHUSDT", exit_reason="stop_loss", fees=1.0),
    trip(10.0, hour=22, hours=2, fees=1.0, funding=0.5),
    trip(2.0, hour=5 * 24, side=-1, entry_tag="rsi"),
    trip(0.0, hour=31 * 24 + 9),
]


def keys(by: str) -> list[str]:
    return [row.key for row in breakdown(TRIPS, by)]


def test_a_row_holds_the_figures_of_its_trades():
    bitcoin, ether = breakdown(TRIPS, "symbol")
    assert (bitcoin.key, bitcoin.trades, bitcoin.wins, bitcoin.losses) == ("BTCUSDT", 3, 2, 0)
    assert (bitcoin.net, bitcoin.fees, bitcoin.funding) == (11.5, 1.0, 0.5)
    assert bitcoin.mean == pytest.approx(11.5 / 3)
    assert bitcoin.win_rate.value == pytest.approx(2 / 3)
    assert bitcoin.win_rate.unit is Unit.FRACTION
    assert bitcoin.profit_factor.why == "no losing trade"
    assert (ether.net, ether.losses, ether.profit_factor.value) == (-6.0, 1, 0.0)


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ("symbol", ["BTCUSDT", "ETHUSDT"]),
        ("side", ["long", "short"]),
        ("entry_tag", ["cross", "rsi"]),
        ("exit_reason", ["take_profit", "stop_loss"]),
        ("mixed", ["cross + take_profit", "rsi + take_profit", "cross + stop_loss"]),
        ("day", ["2025-01-01", "2025-01-02", "2025-01-06", "2025-02-01"]),
        ("month", ["2025-01", "2025-02"]),
        ("weekday", ["Monday", "Wednesday", "Thursday", "Saturday"]),
        ("hour", ["00:00", "01:00", "10:00", "23:00"]),
    ],
)
def test_the_best_come_first_and_times_in_their_order(by, expected):
    assert keys(by) == expected


def test_every_grouping_is_tried_here():
    assert all(keys(by) for by in GROUPINGS)


def test_an_unknown_grouping_names_those_there_are():
    with pytest.raises(BadInput, match="by: 'color' is not valid. Allowed: symbol, side"):
        breakdown(TRIPS, "color")


def test_a_row_as_json_says_what_is_missing():
    row = breakdown(TRIPS, "symbol")[0].as_dict()
    assert row["net"] == 11.5
    assert row["profit_factor"] == {
        "value": None,
        "n": 3,
        "why": "no losing trade",
        "unit": "ratio",
    }


ANY_TRIP = st.builds(
    lambda gross, hour, symbol, fees: trip(gross, hour=hour, symbol=symbol, fees=fees),
    st.floats(-1e4, 1e4),
    st.integers(0, 90 * DAY_MS // HOUR_MS),
    st.sampled_from(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
    st.floats(0.0, 10.0),
)
TRADES = st.lists(ANY_TRIP, max_size=30)


def sums(trips: list[RoundTrip], by: str) -> dict[str, tuple[int, float]]:
    return {row.key: (row.trades, row.net) for row in breakdown(trips, by)}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(TRADES, TRADES, st.sampled_from(sorted(GROUPINGS)))
def test_rows_add_up_to_the_whole_and_two_lists_to_their_union(one, other, by):
    both = sums(one + other, by)
    assert sum(count for count, _ in both.values()) == len(one + other)
    total = sum(trip.net for trip in one + other)
    assert sum(net for _, net in both.values()) == pytest.approx(total, abs=1e-6)
    left, right = sums(one, by), sums(other, by)
    assert both.keys() == left.keys() | right.keys()
    for key, (count, net) in both.items():
        apart = [part.get(key, (0, 0.0)) for part in (left, right)]
        assert count == sum(each for each, _ in apart)
        assert net == pytest.approx(sum(each for _, each in apart), abs=1e-6)
