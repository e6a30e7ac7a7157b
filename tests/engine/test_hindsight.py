"""What came after entries that a bias spoke against: prices, stops, targets, and the balance."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import DAY_MS, HOUR_MS, Candle
from engine.hindsight import Ending, Hindsight, balance, follow, follow_all
from engine.order import Reason, Side
from engine.signal import Action, Decision, Opposed
from tests.engine.conftest import BAR, BTC, BUY, SELL, T0, bar
from tests.engine.cores import ETH

A_DAY = DAY_MS // BAR
LATER = T0 + 2 * DAY_MS


def stopped(at: int = 0, side: Side = BUY, stop: str = "95", target: str = "110", **changes):
    """An entry at 100, stopped when bar `at` opened."""
    levels = [Decimal(level) if level else None for level in (stop, target)]
    made = Decision(
        decision_id=at,
        account="a",
        bot_id="b",
        symbol=BTC,
        ts=T0 + at * BAR,
        action=Action.ENTRY,
        side=side,
        reason=Reason.EMA_CROSS,
        price=100.0,
        approved=False,
        gate="model bias",
        detail="",
        order_link_id=None,
        consultation=41,
        opposed=Opposed(Decimal(1), *levels),
    )
    return replace(made, **changes)


def course(**moves: tuple[float, float, float, float]) -> list[Candle]:
    """Two days at 100, with other bars where `moves` say: `b12=(open, high, low, close)`."""
    bars = [bar(index, 100) for index in range(2 * A_DAY)]
    for name, (open_, high, low, close) in moves.items():
        index = int(name[1:])
        bars[index] = bar(index, open_, high, low, close)
    return bars


def after(*decision_and_bars: object, now: int = LATER) -> Hindsight:
    decision, bars = decision_and_bars
    return follow(decision, bars, BAR, now)


@pytest.mark.parametrize(
    ("side", "stop", "target", "move", "ending", "made"),
    [
        (BUY, "95", "110", (100, 100, 95, 99), Ending.STOP, -0.05),
        (BUY, "95", "110", (100, 100, 95.1, 99), Ending.TIME, 0.0),
        (BUY, "95", "110", (100, 110, 100, 101), Ending.TARGET, 0.10),
        (BUY, "95", "110", (100, 109.9, 100, 101), Ending.TIME, 0.0),
        (BUY, "95", "110", (100, 120, 90, 101), Ending.STOP, -0.05),
        (BUY, "95", "110", (93, 120, 90, 101), Ending.STOP, -0.07),
        (SELL, "105", "90", (100, 105, 100, 101), Ending.STOP, -0.05),
        (SELL, "105", "90", (100, 100, 90, 99), Ending.TARGET, 0.10),
        (SELL, "105", "90", (107, 108, 80, 99), Ending.STOP, -0.07),
        (BUY, "", "110", (100, 100, 50, 99), Ending.TIME, 0.0),
        (BUY, "95", "", (100, 200, 100, 101), Ending.TIME, 0.0),
    ],
)
def test_the_level_that_is_met_first_ends_it(side, stop, target, move, ending, made):
    found = after(stopped(3, side, stop, target), course(b9=move))
    assert found.ending is ending
    assert found.made == pytest.approx(made)
    ended = T0 + 10 * BAR if ending is not Ending.TIME else T0 + 3 * BAR + DAY_MS
    assert found.ended_at == ended


def test_levels_that_were_met_before_or_after_its_day_do_not_count():
    low = (100, 100, 50, 100)
    bars = course(b2=low)
    bars[3 + A_DAY] = bar(3 + A_DAY, *low)
    assert after(stopped(3), bars).ending is Ending.TIME
    bars[2 + A_DAY] = bar(2 + A_DAY, *low)
    assert after(stopped(3), bars).ending is Ending.STOP


def test_after_a_day_it_is_worth_what_the_price_is_then():
    last = A_DAY - 1
    found = after(stopped(side=SELL, stop="120", target="80"), course(**{f"b{last}": (98,) * 4}))
    assert (found.ending, found.made) == (Ending.TIME, pytest.approx(0.02))


def test_prices_are_looked_at_when_their_time_has_come():
    bars = course(b11=(101,) * 4, b47=(102,) * 4, b287=(103,) * 4)
    decision = stopped(stop="", target="")
    full = after(decision, bars).changes
    assert full == pytest.approx((0.01, 0.02, 0.03))
    for now, known in ((HOUR_MS - 1, 0), (HOUR_MS, 1), (4 * HOUR_MS, 2), (DAY_MS, 3)):
        changes = after(decision, bars, now=T0 + now).changes
        assert changes == (*full[:known], *[None] * (3 - known))


def test_what_is_not_over_yet_has_made_nothing():
    found = after(stopped(), course(), now=T0 + HOUR_MS)
    assert (found.ending, found.made, found.ended_at) == (Ending.OPEN, None, T0 + DAY_MS)
    bars = course(b3=(100, 100, 90, 100))
    assert after(stopped(), bars, now=T0 + 4 * BAR).ending is Ending.STOP
    assert after(stopped(), bars, now=T0 + 4 * BAR - 1).ending is Ending.OPEN


def test_without_prices_nothing_is_said():
    found = after(stopped(), [])
    assert (found.ending, found.made, found.changes) == (Ending.UNKNOWN, None, (None, None, None))


def test_what_another_gate_would_have_stopped_made_nothing():
    found = after(stopped(opposed=None), course(b11=(101,) * 4))
    assert (found.ending, found.made) == (Ending.NONE, None)
    assert found.changes[0] == pytest.approx(0.01)


def test_signals_while_one_would_have_been_held_are_no_more_entries():
    low = (100, 100, 90, 100)
    decisions = [
        stopped(0),
        stopped(1),
        stopped(1, symbol=ETH),
        stopped(2, account="c"),
        stopped(9),
        stopped(10),
        stopped(11, opposed=None),
        stopped(12),
    ]
    bars = {BTC: course(b9=low), ETH: course()}
    found = follow_all(decisions, bars, BAR, LATER)
    kept = [(each.decision.account, each.decision.symbol, each.decision.ts) for each in found]
    assert kept == [
        ("a", BTC, T0),
        ("a", ETH, T0 + BAR),
        ("c", BTC, T0 + 2 * BAR),
        ("a", BTC, T0 + 10 * BAR),
    ]


def test_one_that_was_not_made_anyway_keeps_no_other_out():
    found = follow_all([stopped(0, opposed=None), stopped(1)], {BTC: course()}, BAR, LATER)
    assert [each.ending for each in found] == [Ending.NONE, Ending.TIME]


def test_the_balance_counts_what_is_over_and_calls_no_gain_a_loss():
    bars = course(b9=(100, 110, 100, 100))
    won, open_ = stopped(0), stopped(2 * A_DAY - 2, symbol=ETH)
    even, lost = stopped(0, symbol=ETH), stopped(0, SELL, "105", "90", account="c")
    now = T0 + 2 * DAY_MS - BAR
    found = follow_all([won, even, lost, open_], {BTC: bars, ETH: course()}, BAR, now)
    sum_ = balance(found)
    assert (sum_.won, sum_.lost, sum_.ended) == (1, 2, 3)
    assert sum_.made == pytest.approx(0.10 - 0.05)
    assert balance([]).ended == 0
