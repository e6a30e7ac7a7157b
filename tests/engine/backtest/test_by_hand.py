"""Short lists of candles whose every number was worked out by hand, on both engines.

The comments do the sums. Unless a test says more: one coin with a tick of 0.1 and steps of 0.001,
10,000 to start with, a position of 0.05 x 5 = a quarter of it, so 25 coins at 100; no fee, no
slippage, no funding. Bar 0 is the first after the warm-up, and the signal is its volume's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from engine.backtest import exact, fast
from engine.backtest.history import History, made
from engine.backtest.plan import Outcome, Plan
from engine.candle import FUNDING_EVERY_MS, HOUR_MS, MINUTE_MS
from engine.columns import Columns, Rates
from engine.instrument import Instrument
from engine.metrics import RoundTrip
from engine.signal import Sides
from engine.strategies.kernel import LONG_ENTRY, NOTHING, Bar, Signal, Strategy
from tests.engine.backtest.agreement import disagreement
from tests.engine.backtest.puppets import (
    BUY,
    BUY_TIGHT,
    LONGS_OUT,
    PUPPET,
    SELL,
    SELL_TRAILED,
    SHORTS_OUT,
    SOURCE,
    T0,
    TURN_SHORT,
    Params,
    State,
)

COIN = Instrument(
    symbol="COINUSDT",
    tick=Decimal("0.1"),
    quantity_step=Decimal("0.001"),
    quantity_min=Decimal("0.001"),
    quantity_max=Decimal(1000),
    notional_min=Decimal(5),
    leverage_max=50,
    hourly_volume=Decimal(1_000_000),
)
# Warm-up, and what a backtest asks for beyond it.
BEFORE = 15
FREE = {"fee": 0.0, "slippage": 0.0}

# Open, high, low, close, and what the volume says.
Row = tuple[float, float, float, float, float]
STILL: Row = (100, 100, 100, 100, 0)
BOUGHT: Row = (100, 100, 100, 100, BUY)
SOLD: Row = (100, 100, 100, 100, SELL)
GAP = None


def columns(rows: Sequence[Row | None], interval: int) -> Columns:
    """The rows after the warm-up's; a GAP is a bar that is missing."""
    found = [
        (T0 + number * interval, *row)
        for number, row in enumerate([STILL] * BEFORE + list(rows))
        if row is not GAP
    ]
    ts, *values = np.array(found, np.float64).T
    return Columns(ts.astype(np.int64), *map(np.ascontiguousarray, values))


def history(
    lists: Mapping[str, Sequence[Row | None]],
    interval: int = MINUTE_MS,
    rates: Mapping[int, float] | None = None,
) -> History:
    """`rates` are by stamp; without them funding is free."""
    stamps = dict(rates or {T0 + n * FUNDING_EVERY_MS: 0.0 for n in range(20)})
    settled = Rates(np.array(list(stamps), np.int64), np.array(list(stamps.values())))
    return made(
        interval,
        {symbol: columns(rows, interval) for symbol, rows in lists.items()},
        dict.fromkeys(lists, settled),
        {symbol: replace(COIN, symbol=symbol) for symbol in lists},
    )


def both(plan: Plan, candles: History, source: Path = SOURCE) -> Outcome:
    """What both engines make of it."""
    found = fast.run(plan, candles, source)
    assert disagreement(found, exact.run(plan, candles)) == ""
    return found


def run(rows: Sequence[Row | None], **values: float) -> Outcome:
    return both(Plan(PUPPET.tuned(values), **FREE), history({"COINUSDT": rows}))


class Left(NamedTuple):
    """A trade in the words of the lists: times are numbers of bars by their opens."""

    entered: float
    price: float
    left: float
    at: float
    reason: str


def bar(ts: int, interval: int = MINUTE_MS) -> float:
    return (ts - T0) / interval - BEFORE


def left(trip: RoundTrip) -> Left:
    return Left(
        bar(trip.entry_time),
        trip.entry_price,
        bar(trip.exit_time),
        trip.exit_price,
        trip.exit_reason,
    )


def near(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


# -- fills -------------------------------------------------------------------------------


def test_an_order_fills_at_the_next_open_after_slippage_on_the_tick():
    rows = [
        BOUGHT,
        (101, 102, 101, 102, 0),
        (102, 103, 102, 103, LONGS_OUT),
        (103, 103, 103, 103, 0),
    ]
    plan = Plan(PUPPET, fee=0.001, slippage=0.001)
    found = both(plan, history({"COINUSDT": rows}))
    [trip] = found.trips
    # 101 x 1.001 = 101.101, a buyer's tick is 101.2; 103 x 0.999 = 102.897, a seller's 102.8.
    assert left(trip) == (1, 101.2, 3, 102.8, "short_exit")
    # 10,000 x 0.05 x 5 / 100, the close with the signal.
    assert trip.quantity == 25.0
    # 25 x (102.8 - 101.2); 25 x (101.2 + 102.8) x 0.001.
    assert (trip.gross, trip.fees, trip.funding) == (near(40.0), near(5.1), 0.0)
    # 25 x 0.2 on the way in, 25 x 0.2 on the way out.
    assert trip.slippage == near(10.0)
    assert (found.balance, found.equity) == (near(10_034.9), near(10_034.9))


def test_a_short_sells_low_and_buys_back_high():
    rows = [SOLD, (99, 99, 99, 99, SHORTS_OUT), (97, 97, 97, 97, 0)]
    [trip] = both(Plan(PUPPET, fee=0.001, slippage=0.001), history({"COINUSDT": rows})).trips
    # 99 x 0.999 = 98.901, down to 98.9; 97 x 1.001 = 97.097, up to 97.1.
    assert left(trip) == (1, 98.9, 2, 97.1, "short_exit")
    # 25 x (98.9 - 97.1); 25 x (98.9 + 97.1) x 0.001.
    assert (trip.side, trip.gross, trip.fees) == (-1, near(45.0), near(4.9))


def test_where_bars_are_missing_an_order_fills_at_the_open_after_them():
    rows = [BOUGHT, GAP, GAP, (104, 104, 104, 104, LONGS_OUT), GAP, (105, 105, 105, 105, 0)]
    assert [left(trip) for trip in run(rows).trips] == [(3, 104, 5, 105, "short_exit")]


# -- excursions --------------------------------------------------------------------------


def test_a_trade_that_leaves_at_an_open_has_lived_through_all_candles_before_it():
    rows = [
        BOUGHT,
        (100, 101, 99, 100, 0),
        (100, 110, 96, 105, LONGS_OUT),
        (105, 120, 80, 105, 0),
    ]
    [trip] = run(rows).trips
    # From 100: down to 96, up to 110; the candle at whose open it left is not its own.
    assert (trip.adverse, trip.favorable) == (near(0.04), near(0.10))


def test_a_trade_that_is_stopped_inside_a_candle_knows_of_that_only_the_stop():
    rows = [BOUGHT, (100, 104, 99, 100, 0), (100, 130, 90, 100, 0)]
    [trip] = run(rows, stop_loss=0.02).trips
    # Down to the stop at 98, up to 104 the candle before.
    assert (trip.adverse, trip.favorable) == (near(0.02), near(0.04))


# -- protection --------------------------------------------------------------------------

# Levels are counted from the close with the signal, 100: a stop of 2 % stands at 98, a target
# of 3 % at 103. What leaves inside a bar leaves at its close.
OPENED: Row = (100, 101, 99, 100, 0)
STOPPED = {"stop_loss": 0.02, "take_profit": 0.03}
PROTECTED: dict[str, tuple[list[Row], Left]] = {
    "the stop": ([OPENED, (99, 99, 97.5, 98.5, 0)], Left(1, 100, 3, 98, "stop_loss")),
    "a touch is enough": ([OPENED, (99, 99, 98, 99, 0)], Left(1, 100, 3, 98, "stop_loss")),
    "a gap through the stop": ([OPENED, (96, 97, 95, 97, 0)], Left(1, 100, 3, 96, "stop_loss")),
    "the target": ([OPENED, (101, 103.5, 101, 103, 0)], Left(1, 100, 3, 103, "take_profit")),
    "a gap beyond the target": (
        [OPENED, (105, 106, 104, 104, 0)],
        Left(1, 100, 3, 105, "take_profit"),
    ),
    "the stop before the target": (
        [OPENED, (100, 104, 97, 102, 0)],
        Left(1, 100, 3, 98, "stop_loss"),
    ),
    "a gap up, and then the stop": (
        [OPENED, (103, 104, 97, 97, 0)],
        Left(1, 100, 3, 103, "take_profit"),
    ),
    "in the bar of the entry": ([(100, 101, 97, 99, 0)], Left(1, 100, 2, 98, "stop_loss")),
}


@pytest.mark.parametrize("name", PROTECTED)
def test_stop_and_target(name):
    rows, expected = PROTECTED[name]
    assert [left(trip) for trip in run([BOUGHT, *rows, STILL], **STOPPED).trips] == [expected]


def test_what_a_stop_risks_is_what_it_loses():
    [trip] = run([BOUGHT, (101, 101, 101, 101, 0), (101, 101, 97, 97, 0)], stop_loss=0.02).trips
    # Filled at 101, the stop stands at 98: 25 x 3.
    assert (trip.gross, trip.risk) == (near(-75.0), near(75.0))


def test_a_stop_slips_like_every_order():
    plan = Plan(PUPPET.tuned({"stop_loss": 0.02}), fee=0.0, slippage=0.001)
    [trip] = both(plan, history({"COINUSDT": [BOUGHT, OPENED, (99, 99, 97, 97, 0)]})).trips
    # In at 100.1; 98 x 0.999 = 97.902, out at 97.9.
    assert left(trip) == (1, 100.1, 3, 97.9, "stop_loss")


# A trail of 2 % is 2.0, a fixed distance; active from 103 on.
TRAIL = {"trail": 0.02, "trail_activation": 0.03}
UP: Row = (102, 104, 102, 103, 0)
TRAILED: dict[str, tuple[list[Row], Left]] = {
    # 104 - 2 is met by the next low.
    "in the next bar": (
        [OPENED, UP, (103, 103, 101.5, 101.5, 0)],
        Left(1, 100, 4, 102, "trailing_stop"),
    ),
    "in its own bar where the close proves it": (
        [OPENED, (102, 104, 100, 101.9, 0)],
        Left(1, 100, 3, 102, "trailing_stop"),
    ),
    # The low of 100 may have come before the high: the close is above 102.
    "not by a low that may be older": (
        [OPENED, (102, 104, 100, 103, 0), (103, 103, 101, 101, 0)],
        Left(1, 100, 4, 102, "trailing_stop"),
    ),
    # 102.9 is short of 103, 105 - 2 = 103, and 104.5 moves nothing back.
    "from its activation on, and never back": (
        [(100, 102.9, 100, 100.5, 0), (104, 105, 104, 104, 0), (104, 104.5, 103.1, 104, 0),
         (104, 104, 102, 102, 0)],
        Left(1, 100, 5, 103, "trailing_stop"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAILED)
def test_a_trailing_stop(name):
    rows, expected = TRAILED[name]
    assert [left(trip) for trip in run([BOUGHT, *rows, STILL], **TRAIL).trips] == [expected]


def test_a_signal_may_bring_its_own_levels():
    # 1 % of 100 each: short from 100, stop at 101, a trail of 1.0 with no activation.
    rows = [(100, 100, 100, 100, SELL_TRAILED), (100, 100, 98, 98.5, 0), (98.5, 99.2, 98, 99, 0)]
    # 98 + 1 = 99: the second bar's high meets it.
    assert [left(trip) for trip in run(rows).trips] == [(1, 100, 3, 99, "trailing_stop")]


def test_at_break_even_the_stop_stands_beyond_the_entry():
    # Armed at 102, then at 100.1; a stop that never trailed is called by its name.
    rows = [BOUGHT, (100, 102, 100, 101, 0), (101, 101, 99, 99, 0)]
    found = run(rows, stop_loss=0.02, break_even=0.02, break_even_buffer=0.001)
    assert [left(trip) for trip in found.trips] == [(1, 100, 3, 100.1, "stop_loss")]


def test_short_of_break_even_the_first_stop_stands():
    rows = [BOUGHT, (100, 101.9, 100, 101, 0), (101, 101, 97, 97, 0)]
    found = run(rows, stop_loss=0.02, break_even=0.02, break_even_buffer=0.001)
    assert [left(trip) for trip in found.trips] == [(1, 100, 3, 98, "stop_loss")]


# At 10 times 2.5 % of the margin must be left: 100 x (1 - 0.975 / 10) = 90.25 liquidates, and
# pays 100 x (1 - 1 / 10), wherever the bar opened; shorts the same above.
LIQUIDATED: dict[str, tuple[Row, Row, float]] = {
    "long": (BOUGHT, (95, 95, 90.2, 93, 0), 90),
    "long, beyond it at the open": (BOUGHT, (80, 81, 79, 81, 0), 90),
    "short": (SOLD, (105, 109.8, 105, 107, 0), 110),
}


@pytest.mark.parametrize("name", LIQUIDATED)
def test_liquidation_takes_the_whole_margin_and_no_more(name):
    entry, row, price = LIQUIDATED[name]
    found = run([entry, OPENED, row], leverage=10)
    assert [left(trip) for trip in found.trips] == [(1, 100, 3, price, "liquidation")]
    # 10,000 x 0.05 x 10 / 100 = 50 coins lose 10 each, their margin.
    assert (found.trips[0].gross, found.balance) == (near(-500.0), near(9_500.0))


def test_above_its_level_nothing_is_liquidated():
    assert run([BOUGHT, OPENED, (95, 95, 90.3, 93, 0)], leverage=10).trips == ()


def test_a_stop_that_is_nearer_saves_from_liquidation():
    rows = [BOUGHT, OPENED, (95, 95, 80, 80, 0)]
    found = run(rows, leverage=10, stop_loss=0.08)
    assert [left(trip) for trip in found.trips] == [(1, 100, 3, 92, "stop_loss")]


# -- time --------------------------------------------------------------------------------

MINUTES = float(MINUTE_MS)
LEAVE: Row = (100, 100, 100, 100, LONGS_OUT)


def test_at_its_greatest_age_a_position_leaves_at_the_next_open():
    # Filled at minute 1: three minutes old as bar 3 closes.
    found = run([BOUGHT, *[STILL] * 5], max_age=3 * MINUTES)
    assert [left(trip) for trip in found.trips] == [(1, 100, 4, 100, "time_exit")]


def test_only_a_loser_leaves_at_the_losing_age():
    # Two minutes old as bar 2 closes, and not losing; it loses as bar 4 closes.
    rows = [BOUGHT, (100, 100, 99, 99, 0), STILL, (100, 101, 100, 101, 0), (101, 101, 99, 99, 0),
            STILL]  # fmt: skip
    found = run(rows, losing_age=2 * MINUTES)
    assert [left(trip) for trip in found.trips] == [(1, 100, 5, 100, "time_exit")]


def test_after_a_fill_the_symbol_rests():
    # Filled at 1: deaf until 4, so the wish of bar 2, told at 3, passes and that of bar 3 counts.
    # Out at 4: the buy of bar 5, told at 6, is refused, that of bar 6 taken.
    rows = [BOUGHT, STILL, LEAVE, LEAVE, STILL, BOUGHT, BOUGHT, STILL]
    found = run(rows, cooldown=3 * MINUTES)
    assert [left(trip) for trip in found.trips] == [(1, 100, 4, 100, "short_exit")]
    assert [bar(each.entry_time) for each in found.held] == [7]


def test_a_rest_to_the_full_block_ends_with_it():
    # Blocks of 10 minutes from midnight: bar 0 opens at 00:15. Filled at 00:16, deaf until 00:20,
    # as bar 4 closes; out at 00:20, deaf until 00:30, as bar 14 closes.
    rows = [BOUGHT, STILL, STILL, LEAVE, LEAVE, *[STILL] * 8, BOUGHT, BOUGHT, STILL]
    found = run(rows, cooldown_block=10 * MINUTES)
    assert [left(trip) for trip in found.trips] == [(1, 100, 5, 100, "short_exit")]
    assert [bar(each.entry_time) for each in found.held] == [15]


def test_a_reversal_closes_first_and_enters_with_the_next_signal():
    turn: Row = (102, 102, 102, 102, TURN_SHORT)
    found = run([BOUGHT, (102, 102, 102, 102, 0), turn, turn, (101, 101, 101, 101, 0)])
    assert [left(trip) for trip in found.trips] == [(1, 102, 3, 102, "signal_reversal")]
    assert [(each.side, bar(each.entry_time)) for each in found.held] == [(-1, 4)]


@pytest.mark.parametrize(
    ("sides", "taken"), [(Sides.BOTH, [1]), (Sides.LONG_ONLY, [1]), (Sides.SHORT_ONLY, [])]
)
def test_a_side_that_is_off_is_not_entered(sides, taken):
    plan = Plan(PUPPET, sides=sides, **FREE)
    found = both(plan, history({"COINUSDT": [BOUGHT, STILL]}))
    assert [each.side for each in found.held] == taken


# -- funding -----------------------------------------------------------------------------


def test_funding_is_settled_at_each_stamp_that_a_position_is_held_over():
    # Bars of 4 hours: bar 0 opens at 12:00, so the fill at 16:00 comes with a stamp and pays it
    # nothing. Longs pay at 00:00 25 x 104 x 0.001, get at 08:00 25 x 108 x 0.002, and pay at
    # 16:00, of which no rate is known, 25 x 110 x 0.0001, before the order to leave fills.
    stamp = T0 + 9 * FUNDING_EVERY_MS
    rates = {T0: 0.5, stamp - FUNDING_EVERY_MS: 0.5, stamp: 0.001, stamp + FUNDING_EVERY_MS: -0.002}
    rows: list[Row | None] = [
        BOUGHT,  # 12:00
        (100, 102, 100, 102, 0),  # 16:00
        (102, 104, 102, 104, 0),  # 20:00
        (104, 106, 104, 106, 0),  # 00:00
        (106, 108, 106, 108, 0),  # 04:00
        GAP,  # 08:00: what was last is the price
        (109, 110, 109, 110, LONGS_OUT),  # 12:00
        (110, 110, 110, 110, 0),  # 16:00
    ]
    four_hours = 4 * HOUR_MS
    plan = Plan(replace(PUPPET, timeframe=four_hours), **FREE)
    found = both(plan, history({"COINUSDT": rows}, four_hours, rates))
    [trip] = found.trips
    assert trip.funding == near(-2.6 + 5.4 - 0.275)
    assert found.funding == near(2.525)
    # 25 x (110 - 100) and the funding.
    assert found.balance == near(10_252.525)


def test_shorts_get_what_longs_pay():
    rates = {T0 + n * FUNDING_EVERY_MS: 0.001 for n in range(20)}
    four_hours = 4 * HOUR_MS
    plan = Plan(replace(PUPPET, timeframe=four_hours), **FREE)
    found = both(plan, history({"COINUSDT": [SOLD, *[STILL] * 4]}, four_hours, rates))
    # One stamp, 00:00, is held over: 25 x 100 x 0.001.
    assert (found.funding, found.balance) == (near(2.5), near(10_002.5))


# -- size --------------------------------------------------------------------------------

STOP = {"stop_loss": 0.02}
SIZES: dict[str, tuple[dict[str, float], float]] = {
    "a share of equity as margin": ({"margin": 0.1, "leverage": 3}, 30.0),  # 3,000
    "fixed": ({"fixed": 333.0}, 3.33),
    "by risk": ({"risk": 0.01, **STOP}, 50.0),  # 100 / 2 %
    "by risk without a stop as by margin": ({"risk": 0.01}, 25.0),
    "by risk within a share": ({"risk": 0.01, "share_cap": 0.2, **STOP}, 20.0),
    "a share of equity at most": ({"share_cap": 0.1}, 10.0),
    "the least worth": ({"fixed": 5.0}, 0.05),
    "below the least worth": ({"fixed": 4.0}, 0.0),
    "more than the margin there is": ({"fixed": 50_100.0}, 0.0),  # a fifth of it is 10,020
    "above the greatest quantity": ({"fixed": 100_100.0, "leverage": 50}, 0.0),  # 1,001 coins
}


@pytest.mark.parametrize("name", SIZES)
def test_the_size_of_a_position(name):
    values, quantity = SIZES[name]
    found = run([BOUGHT, STILL], **values)
    assert sum(each.quantity for each in found.held) == quantity


def test_a_quantity_is_rounded_down_to_the_step():
    # 333 / 101 = 3.29703
    [held] = run([(100, 101, 100, 101, BUY), STILL], fixed=333.0).held
    assert held.quantity == 3.297


def test_the_risk_of_a_signal_with_its_own_stop_is_counted_from_that():
    # 100 of 10,000 over a stop of 1 %.
    [held] = run([(100, 100, 100, 100, BUY_TIGHT), STILL], risk=0.01).held
    assert held.quantity == 100.0


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"margin_cap": 0.04}, 20.0),
        ({"free_min": 10_000.0}, 25.0),
        ({"free_min": 10_000.1}, 0.0),
    ],
)
def test_what_only_a_strategy_itself_says_of_size(changes, quantity):
    strategy = replace(PUPPET, sizing=PUPPET.sizing._replace(**changes))
    found = both(Plan(strategy, **FREE), history({"COINUSDT": [BOUGHT, STILL]}))
    assert sum(each.quantity for each in found.held) == quantity


# -- several symbols ---------------------------------------------------------------------


def together(
    lists: Mapping[str, Sequence[Row | None]], fee: float = 0.0, **values: float
) -> Outcome:
    return both(Plan(PUPPET.tuned(values), fee=fee, slippage=0.0), history(lists))


@pytest.mark.parametrize(
    ("margin", "fee", "taken"),
    [
        # 4,000 each of 10,000.
        (0.4, 0.0, ["AUSDT", "BUSDT"]),
        # The first takes 6,000: the second's 6,000 are not there.
        (0.6, 0.0, ["AUSDT"]),
        (0.5, 0.0, ["AUSDT", "BUSDT"]),
        # Two halves leave nothing for their fees.
        (0.5, 0.001, ["AUSDT"]),
    ],
)
def test_two_symbols_share_the_margin_of_one_account(margin, fee, taken):
    lists = {"AUSDT": [BOUGHT, STILL], "BUSDT": [BOUGHT, STILL]}
    found = together(lists, fee, margin=margin, leverage=1)
    assert [each.symbol for each in found.held] == taken


def test_the_profit_of_one_symbol_counts_for_the_size_of_the_next():
    # 25 coins from 100 to 104 are 100 more: (10,000 + 100) x 0.25 / 100 = 25.25.
    up: Row = (100, 104, 100, 104, 0)
    lists = {"AUSDT": [BOUGHT, up, up], "BUSDT": [STILL, BOUGHT, STILL]}
    assert [each.quantity for each in together(lists).held] == [25.0, 25.25]


def said(code: float, confidence: float) -> Row:
    return 100, 100, 100, 100, code + 10_000.0 * confidence


@pytest.mark.parametrize(("first", "second", "taken"), [(0.2, 0.8, "BUSDT"), (0.5, 0.5, "AUSDT")])
def test_the_last_slot_is_the_stronger_signals(first, second, taken):
    lists = {"AUSDT": [said(BUY, first), STILL], "BUSDT": [said(BUY, second), STILL]}
    assert [each.symbol for each in together(lists, slots=1).held] == [taken]


def test_a_symbol_without_a_candle_keeps_a_slot_waiting_for_the_next_moment_only():
    # B tells nothing of minute 1: A's signal of it is decided as the candles of minute 2 come,
    # and its order fills at the open after.
    lists = {"AUSDT": [BOUGHT, STILL, STILL], "BUSDT": [GAP, STILL, STILL]}
    [held] = together(lists, slots=1).held
    assert (held.symbol, bar(held.entry_time)) == ("AUSDT", 2)


def test_a_position_at_break_even_takes_no_slot_where_the_strategy_says_so():
    tuned = PUPPET.tuned({"slots": 1, "break_even": 0.02})
    # At 102 the stop comes to 100.
    up: Row = (100, 102, 100, 102, 0)
    on: Row = (102, 102, 101, 102, 0)
    lists = {"AUSDT": [BOUGHT, up, on], "BUSDT": [STILL, BOUGHT, STILL]}
    taken = []
    for free in (0, 1):
        strategy = replace(tuned, sizing=tuned.sizing._replace(free_at_break_even=free))
        taken.append([each.symbol for each in both(Plan(strategy, **FREE), history(lists)).held])
    assert taken == [["AUSDT"], ["AUSDT", "BUSDT"]]


# -- the higher timeframe ----------------------------------------------------------------


def on_the_higher(params: Params, state: State, window: object, bar: Bar) -> tuple[State, Signal]:
    """Buys as a higher bar closes above 100, with its range as the distance of the target."""
    if bar.higher_closed != 0.0 and bar.higher_close > 100.0:
        far = bar.higher_high - bar.higher_low
        return state, Signal(1.0, 0.0, 0.0, LONG_ENTRY, 1.0, 0.0, far, 0.0)
    return state, NOTHING


def test_a_higher_bar_is_seen_once_it_has_closed():
    strategy: Strategy = replace(PUPPET, name="higher", step=on_the_higher, higher=5 * MINUTE_MS)
    # The five minutes from 00:15 reach from 99 to 103 and close, with bar 4, at 102: a target at
    # 102 + 4 = 106. Bar 1's 103 alone says nothing.
    rows = [STILL, (100, 103, 100, 101, 0), (101, 101, 99, 101, 0), (101, 101, 101, 101, 0),
            (101, 102, 101, 102, 0), (102, 103, 102, 103, 0), (103, 106, 103, 103, 0),
            STILL]  # fmt: skip
    found = both(Plan(strategy, **FREE), history({"COINUSDT": rows}), Path(__file__))
    assert [left(trip) for trip in found.trips] == [(5, 102, 7, 106, "take_profit")]


# -- the worth ---------------------------------------------------------------------------


def test_what_is_open_at_the_end_is_told_and_counted_at_the_last_price():
    plan = Plan(PUPPET, fee=0.001, slippage=0.0)
    found = both(plan, history({"COINUSDT": [BOUGHT, (101, 104, 101, 103, 0)]}))
    [held] = found.held
    # 25 x (103 - 101) before the costs of closing; 25 x 101 x 0.001 were paid.
    assert (held.entry_price, held.price, held.profit) == (101.0, 103.0, near(50.0))
    assert (found.trips, found.fees) == ((), near(2.525))
    assert (found.balance, found.equity) == (near(9_997.475), near(10_047.475))


def test_the_account_is_worth_at_each_hour_what_its_last_closes_say():
    half = HOUR_MS // 2
    rows = [
        BOUGHT,  # 07:30
        (100, 102, 100, 102, 0),  # 08:00
        (102, 104, 102, 104, 0),  # 08:30
        (104, 104, 98, 98, 0),  # 09:00: no hour sees it
        (98, 98, 96, 96, LONGS_OUT),  # 09:30
        (95, 96, 95, 96, 0),  # 10:00: leaves at 95, which is of that hour
        (96, 200, 96, 200, 0),  # 10:30: flat
        STILL,  # 11:00
    ]
    plan = Plan(replace(PUPPET, timeframe=half), **FREE)
    found = both(plan, history({"COINUSDT": rows}, half))
    worth = {(mark.ts - T0) / HOUR_MS: mark.equity for mark in found.marks}
    assert worth == {
        **{float(hour): 10_000.0 for hour in range(9)},
        9.0: near(10_100.0),  # 25 x (104 - 100)
        10.0: near(9_875.0),  # 25 x (95 - 100), closed
        11.0: near(9_875.0),
        11.5: near(9_875.0),  # the end
    }
