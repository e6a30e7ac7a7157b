"""From signals to orders: who gets a free slot, which sides and symbols, sizes, levels, exits."""

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.core import Core
from engine.effect import Effect, Notify, Record, Submit
from engine.event import CandleClosed, Executed, OrderCanceled, OrderRejected, StopMoved
from engine.order import Order, Reason
from engine.ports import StateRow
from engine.signal import Action, Decision
from engine.strategies.exits import Exits
from engine.strategies.kernel import (
    EMA_CROSS,
    LONG_ENTRY,
    LONG_EXIT,
    SHORT_EXIT,
    VOLATILITY_BREAKOUT,
    Signal,
    Strategy,
)
from engine.strategies.pipeline import OPEN
from engine.strategies.sizing import Sizing
from tests.askers import POLICY
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    BUY_NOW,
    LEAVE_NOW,
    NO_EXITS,
    SELL,
    SELL_NOW,
    T0,
    USUAL_SIZING,
    WISHES,
    D,
    bar,
    bot,
    closed,
    execution,
    instrument,
    puppet,
)
from tests.engine.cores import ETH, candle, core, entered, filled, held, memory, of, restarted, rows

SOL = "SOLUSDT"
HOUR_BARS = 12

# More wishes, by the volume of a bar.
WEAK, SURE, SURER = 10.0, 11.0, 12.0
LEVELED = 13.0
LONGS_LEAVE, SHORTS_LEAVE, TURN_SHORT, TURN_LONG = 14.0, 15.0, 16.0, 17.0
MORE_WISHES = {
    **WISHES,
    WEAK: Signal(-1.0, 0.0, 0.0, EMA_CROSS, 0.4),
    SURE: Signal(-1.0, 0.0, 0.0, EMA_CROSS, 0.8),
    SURER: Signal(1.0, 0.0, 0.0, LONG_ENTRY, 0.9),
    LEVELED: Signal(-1.0, 0.0, 0.0, VOLATILITY_BREAKOUT, 0.7, 7.0, 21.0, 3.0),
    LONGS_LEAVE: Signal(0.0, 1.0, 0.0, LONG_EXIT),
    SHORTS_LEAVE: Signal(0.0, 0.0, 1.0, SHORT_EXIT),
    TURN_SHORT: Signal(-1.0, 1.0, 0.0, EMA_CROSS),
    TURN_LONG: Signal(1.0, 0.0, 1.0, EMA_CROSS),
}


def willing(exits: Exits = NO_EXITS, sizing: Sizing = USUAL_SIZING, **changes: object) -> Strategy:
    return puppet(exits=exits, sizing=sizing, wishes=MORE_WISHES, **changes)


def slotted(slots: int = 1, symbols: Sequence[str] = (BTC, ETH), **changes: object) -> Core:
    """A desk of one bot with so many slots."""
    sizing = USUAL_SIZING._replace(slots=slots, free_at_break_even=1)
    return core(bot(willing(sizing=sizing, **changes), symbols=tuple(symbols)))


def verdicts(effects: list[Effect]) -> list[tuple[str, float, bool, str]]:
    """Decisions in short: of which symbol, how sure, whether approved, else by which gate."""
    return [(d.symbol, d.confidence, d.approved, d.gate) for d in of(Decision, effects)]


def edited(desk: Core, fresh: Core, **changes: object) -> Core:
    """The desk after a restart, with other values in its row."""
    states = rows(desk)
    row = states["desk:paper-test"]
    body = json.dumps(json.loads(row.body) | changes)
    fresh.restore(states | {row.key: StateRow(row.key, row.version, body)}, [])
    return fresh


# -- few slots ---------------------------------------------------------------------------


@pytest.mark.parametrize("first", [BTC, ETH])
def test_the_strongest_signal_takes_the_slot_whichever_symbol_comes_first(first):
    desk = slotted()
    second = ETH if first == BTC else BTC
    wishes = {BTC: WEAK, ETH: SURE}
    assert candle(desk, 0, 100, wishes[first], first) == []
    effects = candle(desk, 0, 100, wishes[second], second)
    assert verdicts(effects) == [(ETH, 0.8, True, ""), (BTC, 0.4, False, "free slot")]
    [submit] = of(Submit, effects)
    assert submit.order.symbol == ETH
    assert [d.detail for d in of(Decision, effects)] == ["", "1 of 1 in use"]


@pytest.mark.parametrize("order", [(BTC, ETH, SOL), (SOL, ETH, BTC)])
def test_of_equals_the_one_that_came_first_takes_the_slot(order):
    desk = slotted(2, order)
    effects = [effect for each in order for effect in candle(desk, 0, 100, SURE, each)]
    assert verdicts(effects) == [
        (order[0], 0.8, True, ""),
        (order[1], 0.8, True, ""),
        (order[2], 0.8, False, "free slot"),
    ]


def test_sides_do_not_matter_to_the_strength():
    desk = slotted()
    candle(desk, 0, 100, SURE, BTC)
    effects = candle(desk, 0, 100, SURER, ETH)
    assert verdicts(effects) == [(ETH, 0.9, True, ""), (BTC, 0.8, False, "free slot")]
    assert of(Order, effects)[0].side is BUY


def test_a_symbol_that_wants_nothing_still_ends_the_wait():
    desk = slotted()
    assert candle(desk, 0, 100, WEAK, BTC) == []
    assert verdicts(candle(desk, 0, 100, 0, ETH)) == [(BTC, 0.4, True, "")]


def test_a_symbol_that_told_already_is_not_waited_for():
    desk = slotted()
    candle(desk, 0, 100, 0, ETH)
    assert verdicts(candle(desk, 0, 100, WEAK, BTC)) == [(BTC, 0.4, True, "")]


def test_a_silent_symbol_does_not_hold_the_others_up_for_ever():
    """ETH tells nothing: the next bar of BTC decides what was wanted on the one before."""
    desk = slotted()
    candle(desk, 0, 100, SURE, BTC)
    effects = candle(desk, 1, 110, 0, BTC)
    [decision], [placed] = of(Decision, effects), of(Order, effects)
    assert (decision.ts, decision.price, decision.approved) == (T0 + BAR, 100.0, True)
    assert (placed.created_at, placed.symbol) == (T0 + BAR, BTC)
    assert candle(desk, 2, 110, 0, BTC) == []


def test_what_waited_is_decided_before_what_comes_after_it():
    desk = slotted()
    candle(desk, 0, 100, WEAK, BTC)
    effects = candle(desk, 1, 100, SURE, ETH) + candle(desk, 1, 100, 0, BTC)
    assert verdicts(effects) == [(BTC, 0.4, True, ""), (ETH, 0.8, False, "free slot")]


def test_a_candle_of_the_past_does_not_end_the_wait():
    desk = slotted()
    candle(desk, 0, 100, 0, BTC)
    candle(desk, 1, 100, WEAK, BTC)
    assert desk.step(CandleClosed(ETH, bar(0, 100), T0 + BAR, late=True)) == []
    effects = candle(desk, 1, 100, SURE, ETH)
    assert verdicts(effects) == [(ETH, 0.8, True, ""), (BTC, 0.4, False, "free slot")]


def test_another_bots_symbol_is_not_waited_for():
    desk = core(
        bot(willing(sizing=USUAL_SIZING._replace(slots=1)), symbols=(BTC, ETH)),
        bot(willing(), bot_id="other_bot", symbols=(SOL,)),
    )
    candle(desk, 0, 100, 0, ETH)
    assert verdicts(candle(desk, 0, 100, WEAK, BTC)) == [(BTC, 0.4, True, "")]


@pytest.mark.parametrize(
    ("slots", "symbols"), [(0, (BTC, ETH)), (1, (BTC,))], ids=["no slots", "one symbol"]
)
def test_without_a_choice_nothing_waits(slots, symbols):
    assert verdicts(candle(slotted(slots, symbols), 0, 100, WEAK, BTC)) == [(BTC, 0.4, True, "")]


def test_bars_of_before_the_books_wait_for_nothing():
    desk = slotted()
    past = CandleClosed(BTC, bar(0, 100, volume=SURE), T0 + BAR, late=True)
    assert desk.step(past) == []
    assert verdicts(candle(desk, 0, 100, WEAK, ETH)) == [(ETH, 0.4, True, "")]


def test_an_entry_of_a_late_bar_stays_late_while_it_waits():
    desk = slotted()
    candle(desk, 0, 100, 0, ETH)
    candle(desk, 0, 100, 0, BTC)
    desk.step(CandleClosed(BTC, bar(1, 100, volume=SURE), T0 + 2 * BAR, late=True))
    assert verdicts(candle(desk, 1, 100, 0, ETH)) == [(BTC, 0.8, False, "fresh candle")]


def test_what_waits_survives_a_restart():
    desk = slotted()
    candle(desk, 0, 100, SURE, BTC)
    again = restarted(desk, slotted())
    effects = candle(again, 0, 100, WEAK, ETH)
    assert verdicts(effects) == [(BTC, 0.8, True, ""), (ETH, 0.4, False, "free slot")]
    assert of(Order, effects) == of(Order, candle_twice(slotted()))


def candle_twice(desk: Core) -> list[Effect]:
    candle(desk, 0, 100, SURE, BTC)
    return candle(desk, 0, 100, WEAK, ETH)


def test_what_waited_for_a_symbol_or_bot_that_is_gone_is_forgotten():
    desk = slotted()
    candle(desk, 0, 100, SURE, BTC)
    waiting = rows(desk)
    for fresh in (slotted(1, (ETH, SOL)), core(bot(bot_id="other_bot", symbols=(ETH,)))):
        fresh.restore(waiting, [])
        assert candle(fresh, 0, 100, 0, ETH) == []
        assert candle(fresh, 1, 100, 0, ETH) == []


def test_an_order_on_its_way_takes_its_slot_and_a_canceled_one_gives_it_back():
    desk = slotted()
    candle(desk, 0, 100, SURE, BTC)
    [placed] = of(Order, candle(desk, 0, 100, 0, ETH))
    candle(desk, 1, 100, 0, BTC)
    assert verdicts(candle(desk, 1, 100, SURE, ETH)) == [(ETH, 0.8, False, "free slot")]
    desk.step(OrderCanceled(ACCOUNT, placed.order_link_id, "by request", T0 + 2 * BAR))
    candle(desk, 2, 100, 0, BTC)
    assert verdicts(candle(desk, 2, 100, SURE, ETH)) == [(ETH, 0.8, True, "")]


def holding_btc(**changes: object) -> Core:
    """A desk of one slot, short of BTC from 100 with its stop at 110."""
    exits = NO_EXITS._replace(stop_loss=0.1)
    desk = slotted(exits=exits, **changes)
    candle(desk, 0, 100, SELL_NOW, BTC)
    [placed] = of(Order, candle(desk, 0, 100, 0, ETH))
    filled(desk, placed)
    return desk


def asked_for_eth(desk: Core, index: int = 1) -> list[tuple[str, float, bool, str]]:
    candle(desk, index, 100, 0, BTC)
    return verdicts(candle(desk, index, 100, SURE, ETH))


REFUSED, LET = [(ETH, 0.8, False, "free slot")], [(ETH, 0.8, True, "")]


def test_a_position_takes_its_slot_until_it_is_closed():
    desk = holding_btc()
    assert asked_for_eth(desk, 1) == REFUSED
    desk.step(Executed(execution(quantity="50", price="110", trigger=Reason.STOP_LOSS)))
    assert asked_for_eth(desk, 2) == LET


@pytest.mark.parametrize(("stop", "answer"), [("101", REFUSED), ("100", LET), ("99", LET)])
def test_a_slot_is_free_once_the_stop_stands_at_the_entry(stop, answer):
    desk = holding_btc()
    desk.step(StopMoved(ACCOUNT, BTC, D(stop), T0 + BAR))
    assert asked_for_eth(desk) == answer


def test_a_safe_position_keeps_its_slot_where_the_sizing_says_so():
    sizing = USUAL_SIZING._replace(slots=1)
    desk = core(bot(willing(sizing=sizing), symbols=(BTC, ETH)))
    candle(desk, 0, 100, SELL_NOW, BTC)
    [placed] = of(Order, candle(desk, 0, 100, 0, ETH))
    filled(desk, placed)
    desk.step(StopMoved(ACCOUNT, BTC, D(90), T0 + BAR))
    assert asked_for_eth(desk) == REFUSED


def test_the_exit_of_a_safe_position_takes_no_slot_on_its_way():
    desk = holding_btc()
    desk.step(StopMoved(ACCOUNT, BTC, D(99), T0 + BAR))
    assert of(Submit, candle(desk, 1, 100, LEAVE_NOW, BTC))
    assert verdicts(candle(desk, 1, 100, SURE, ETH)) == LET


def test_why_shows_the_slots_in_use_and_changes_nothing():
    desk = holding_btc()
    candle(desk, 1, 100, 0, ETH)
    before = memory(desk)
    [why] = desk.why(ETH)
    assert ("free slot", False, "1 of 1 in use") in why.gates
    assert memory(desk) == before


# -- sides and symbols -------------------------------------------------------------------


def sided(sides: str, until: int = 0) -> Core:
    """A desk on which somebody chose the sides, before bar 1."""
    desk = core(bot(willing(), symbols=(BTC, ETH)))
    candle(desk, 0)
    return edited(desk, core(bot(willing(), symbols=(BTC, ETH))), sides=sides, sides_until=until)


@pytest.mark.parametrize(
    ("sides", "wish", "detail"),
    [
        ("long_only", BUY_NOW, ""),
        ("long_only", SELL_NOW, "long only"),
        ("short_only", SELL_NOW, ""),
        ("short_only", BUY_NOW, "short only"),
        ("both", BUY_NOW, ""),
        ("both", SELL_NOW, ""),
    ],
)
def test_only_the_chosen_side_is_entered(sides, wish, detail):
    [decision] = of(Decision, candle(sided(sides), 1, 100, wish))
    assert (decision.approved, decision.detail) == (not detail, detail)
    assert decision.gate == ("side mode" if detail else "")


def test_the_chosen_side_ends_at_its_time_of_the_market():
    until = T0 + 3 * BAR
    desk = sided("long_only", until)
    assert of(Decision, candle(desk, 1, 100, SELL_NOW))[0].gate == "side mode"
    [decision] = of(Decision, candle(desk, 2, 100, SELL_NOW))
    assert (decision.ts, decision.approved) == (until, True)


def test_a_chosen_side_without_an_end_stays():
    assert of(Decision, candle(sided("long_only"), 9_999, 100, SELL_NOW))[0].gate == "side mode"


def test_what_is_held_leaves_whatever_side_is_chosen():
    desk = core()
    entered(desk)
    again = edited(desk, core(), sides="long_only")
    assert of(Submit, candle(again, 1, 100, LEAVE_NOW))


def test_a_symbol_that_was_switched_off_is_not_entered_by_its_bot():
    def build() -> Core:
        return core(
            bot(willing(), symbols=(BTC, ETH)),
            bot(willing(), bot_id="other_bot", symbols=(BTC,)),
        )

    desk = build()
    candle(desk, 0)
    again = edited(desk, build(), disabled={f"{BOT}:{BTC}": "ann"})
    first, other = of(Decision, candle(again, 1, 100, SELL_NOW))
    assert (first.bot_id, first.gate, first.detail) == (
        BOT,
        "symbol enabled",
        "switched off by ann",
    )
    assert (other.bot_id, other.approved) == ("other_bot", True)
    assert of(Decision, candle(again, 1, 100, SELL_NOW, ETH))[0].approved


# -- the signals so far ------------------------------------------------------------------


def test_a_signal_that_is_not_confident_is_refused_and_kept():
    desk = core(bot(willing(pipeline=OPEN._replace(confidence_min=0.5))))
    [decision] = of(Decision, candle(desk, 0, 100, WEAK))
    assert (decision.gate, decision.detail) == ("confidence", "0.40, it needs 0.50")
    assert (decision.confidence, decision.approved) == (0.4, False)
    assert of(Decision, candle(desk, 1, 100, SURE))[0].approved


def test_an_entry_waits_for_the_second_signal_also_over_a_restart():
    def build() -> Core:
        return core(bot(willing(pipeline=OPEN._replace(confirmed=1))))

    desk = build()
    [decision] = of(Decision, candle(desk, 0, 100, SELL_NOW))
    assert (decision.gate, decision.detail) == ("confirmed", "waits for a second signal")
    again = restarted(desk, build())
    assert of(Decision, candle(again, 1, 100, BUY_NOW))[0].gate == "confirmed"
    assert of(Decision, candle(again, 2, 100, BUY_NOW))[0].approved


def test_a_signal_too_long_ago_confirms_nothing():
    desk = core(bot(willing(pipeline=OPEN._replace(confirmed=1))))
    candle(desk, 0, 100, SELL_NOW)
    assert of(Decision, candle(desk, 3, 100, SELL_NOW))[0].gate == "confirmed"


def test_a_choppy_market_is_left_alone_until_it_is_calm():
    desk = core(bot(willing(pipeline=OPEN._replace(flips=2), exits=NO_EXITS), symbols=(BTC,)))
    for index, wish in enumerate([SELL_NOW, BUY_NOW, SELL_NOW]):
        [decision] = of(Decision, candle(desk, index, 100, wish))
        if decision.approved:
            desk.step(OrderRejected(ACCOUNT, decision.order_link_id, "busy", decision.ts))
    assert (decision.gate, decision.detail) == (
        "calm market",
        "2 changes of direction in 15 min, 2 stop it",
    )
    assert of(Decision, candle(desk, 3, 100, SELL_NOW))[0].gate == "calm market"
    assert of(Decision, candle(desk, 4, 100, SELL_NOW))[0].approved


def test_signals_of_before_the_books_are_heard():
    desk = core(bot(willing(pipeline=OPEN._replace(confirmed=1))))
    desk.step(CandleClosed(BTC, bar(0, 100, volume=SELL_NOW), T0 + BAR, late=True))
    assert of(Decision, candle(desk, 1, 100, SELL_NOW))[0].approved


# -- sizes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "exits", "quantity"),
    [
        ({}, NO_EXITS, "50"),
        ({"fixed": 1_234.0}, NO_EXITS, "12.3"),
        ({"risk": 0.01}, NO_EXITS._replace(stop_loss=0.05), "20"),
        ({"risk": 0.01}, NO_EXITS, "50"),
        ({"share_cap": 0.2}, NO_EXITS, "20"),
        ({"fixed": 9_000.0, "share_cap": 0.2}, NO_EXITS, "20"),
        ({"free_min": 10_000.0}, NO_EXITS, "50"),
    ],
)
def test_an_order_has_the_size_its_rule_gives(changes, exits, quantity):
    """10,000 of equity at a price of 100."""
    sizing = USUAL_SIZING._replace(**changes)
    [placed] = of(Order, candle(core(bot(willing(exits, sizing))), 0, 100, SELL_NOW))
    assert placed.quantity == D(quantity)


def test_by_risk_a_stop_of_the_signal_sets_the_size():
    """1 % of 10,000 with the stop 7 away from 100: 14.28 coins, whatever the exits say."""
    exits = NO_EXITS._replace(stop_loss=0.05)
    desk = core(bot(willing(exits, USUAL_SIZING._replace(risk=0.01))))
    [placed] = of(Order, candle(desk, 0, 100, LEVELED))
    assert placed.quantity == D("14.2")


def test_too_little_free_margin_refuses():
    desk = core(bot(willing(sizing=USUAL_SIZING._replace(free_min=10_000.01))))
    [decision] = of(Decision, candle(desk, 0, 100, SELL_NOW))
    assert (decision.gate, decision.detail) == (
        "size",
        "10000.00 is free, at least 10000.01 must be",
    )


# -- levels ------------------------------------------------------------------------------

ALL_EXITS = Exits(0.01, 0.03, 0.01, 0.02, 0, 0, break_even=0.015, break_even_buffer=0.002)


def levels(placed: Order) -> tuple[object, ...]:
    return (
        placed.stop_loss,
        placed.take_profit,
        placed.trailing_stop,
        placed.trailing_activation,
        placed.break_even_trigger,
        placed.break_even_stop,
    )


@pytest.mark.parametrize(
    ("wish", "expected"),
    [(BUY_NOW, (990, 1030, 10, 1020, 1015, 1002)), (SELL_NOW, (1010, 970, 10, 980, 985, 998))],
)
def test_an_order_carries_every_level_of_its_exits(wish, expected):
    [placed] = of(Order, candle(core(bot(willing(ALL_EXITS))), 0, 1000, wish))
    assert levels(placed) == tuple(map(D, expected))


@pytest.mark.parametrize("wish", [BUY_NOW, SELL_NOW])
def test_without_exits_an_order_carries_no_level(wish):
    [placed] = of(Order, candle(core(bot(willing())), 0, 1000, wish))
    assert levels(placed) == (None,) * 6


@pytest.mark.parametrize("exits", [ALL_EXITS, NO_EXITS], ids=["over fractions", "alone"])
def test_the_distances_of_a_signal_are_its_levels(exits):
    [placed] = of(Order, candle(core(bot(willing(exits))), 0, 1000, LEVELED))
    assert levels(placed)[:3] == (D(1007), D(979), D(3))
    assert placed.trailing_activation == (D(980) if exits is ALL_EXITS else None)
    assert placed.reason is Reason.VOLATILITY_BREAKOUT


def test_the_distances_of_a_long_are_the_mirror():
    wishes = {BUY_NOW: Signal(1.0, 0.0, 0.0, EMA_CROSS, 1.0, 7.0, 21.0, 3.0)}
    desk = core(bot(puppet(exits=ALL_EXITS, wishes=wishes)))
    [placed] = of(Order, candle(desk, 0, 1000, BUY_NOW))
    assert levels(placed)[:4] == (D(993), D(1021), D(3), D(1020))


def test_a_break_even_without_a_buffer_stands_at_the_entry():
    exits = NO_EXITS._replace(break_even=0.015)
    [placed] = of(Order, candle(core(bot(willing(exits))), 0, 1000, SELL_NOW))
    assert levels(placed) == (None, None, None, None, D(985), D(1000))


# -- exits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "wish", "reason"),
    [
        (BUY, LONGS_LEAVE, Reason.LONG_EXIT),
        (BUY, SHORTS_LEAVE, None),
        (SELL, SHORTS_LEAVE, Reason.SHORT_EXIT),
        (SELL, LONGS_LEAVE, None),
        (BUY, TURN_SHORT, Reason.SIGNAL_REVERSAL),
        (SELL, TURN_LONG, Reason.SIGNAL_REVERSAL),
        (BUY, TURN_LONG, None),
        (SELL, TURN_SHORT, None),
    ],
)
def test_a_position_leaves_when_its_own_side_has_lost_its_reason(side, wish, reason):
    desk = core(bot(willing()))
    entered(desk, side=side)
    left = [d for d in of(Decision, candle(desk, 1, 100, wish)) if d.action is Action.EXIT]
    assert [(d.reason, d.side) for d in left] == ([(reason, side.opposite)] if reason else [])


def test_a_position_that_is_turned_around_leaves_first_and_enters_later():
    desk = core(bot(willing()))
    entered(desk, side=BUY)
    effects = candle(desk, 1, 100, TURN_SHORT)
    leaving, refused = of(Decision, effects)
    assert (leaving.action, refused.action, refused.gate) == (
        Action.EXIT,
        Action.ENTRY,
        "one position a symbol",
    )
    [submit] = of(Submit, effects)
    filled(desk, submit.order)
    assert held(desk) == {}
    assert of(Submit, candle(desk, 2, 100, TURN_SHORT))[0].order.side is SELL


def test_losers_leave_sooner_than_winners():
    exits = NO_EXITS._replace(losing_age_ms=HOUR_BARS * BAR, max_age_ms=2 * HOUR_BARS * BAR)
    for price, leaves_at in ((101, 12), (100, 24), (99, 24)):
        desk = core(bot(willing(exits)))
        entered(desk)
        left = [index for index in range(1, 25) if of(Submit, candle(desk, index, price))]
        assert left[:1] == [leaves_at], price


def test_a_loser_leaves_for_its_age():
    desk = core(bot(willing(NO_EXITS._replace(losing_age_ms=BAR))))
    entered(desk)
    [decision] = of(Decision, candle(desk, 1, 101))
    assert (decision.action, decision.reason, decision.side) == (
        Action.EXIT,
        Reason.TIME_EXIT,
        BUY,
    )


def test_a_symbol_rests_until_the_next_full_block():
    """Stopped out at 00:20, it may enter again at 01:00, not before."""
    desk = core(bot(willing(NO_EXITS._replace(cooldown_block_ms=HOUR_BARS * BAR))))
    entered(desk)
    stop = execution(quantity="50", ts=T0 + 4 * BAR, trigger=Reason.STOP_LOSS)
    desk.step(Executed(stop))
    [refused] = of(Decision, candle(desk, 10, 100, SELL_NOW))
    assert (refused.gate, refused.detail) == ("cool-down", "5 min left")
    assert of(Decision, candle(desk, 11, 100, SELL_NOW))[0].approved


# -- warm-up -----------------------------------------------------------------------------


def test_bars_are_counted_by_the_desk_and_over_a_restart():
    def build(warm_up: int = 3) -> Core:
        return core(bot(willing(warm_up=warm_up)))

    desk = build()
    assert of(Decision, candle(desk, 0, 100, SELL_NOW))[0].detail == "1 of 3 bars"
    again = restarted(desk, build())
    assert of(Decision, candle(again, 1, 100, SELL_NOW))[0].detail == "2 of 3 bars"
    assert of(Decision, candle(again, 2, 100, SELL_NOW))[0].approved


def test_a_strategy_with_other_parameters_warms_up_again():
    desk = core(bot(willing(warm_up=2)))
    candle(desk, 0)
    candle(desk, 1)
    tuned = core(bot(willing(warm_up=2).tuned({"warm_up": 3})))
    again = restarted(desk, tuned)
    assert of(Decision, candle(again, 2, 100, SELL_NOW))[0].detail == "1 of 3 bars"


def test_bars_of_the_strategys_own_length_are_counted():
    desk = core(bot(willing(warm_up=2, timeframe=3 * BAR)))
    wishes = [0, 0, SELL_NOW, 0, 0, SELL_NOW]
    found = [d for i, wish in enumerate(wishes) for d in of(Decision, candle(desk, i, 100, wish))]
    assert [d.detail for d in found] == ["1 of 2 bars", ""]


# -- the whole of a decision -------------------------------------------------------------


def test_a_decision_tells_how_sure_its_signal_was_and_an_exit_is_sure():
    desk = core(bot(willing()))
    effects = candle(desk, 0, 100, SURER)
    [decision], [submit] = of(Decision, effects), of(Submit, effects)
    assert (decision.confidence, decision.reason) == (0.9, Reason.LONG_ENTRY)
    filled(desk, submit.order)
    assert of(Decision, candle(desk, 1, 100, LONGS_LEAVE))[0].confidence == 1.0


def test_a_refused_candidate_sends_nothing():
    desk = slotted()
    candle(desk, 0, 100, WEAK, BTC)
    effects = candle(desk, 0, 100, SURE, ETH)
    refused = of(Decision, effects)[1]
    assert refused.order_link_id is None
    assert effects[-1] == Record(refused)


def test_the_funding_of_a_candle_reaches_the_strategy():
    seen = []

    def explain(params, state, bar):
        seen.append(bar.funding)
        return []

    desk = core(bot(replace(willing(), explain=explain)))
    desk.step(replace(closed(bar(0, 100)), funding=0.0003))
    desk.why(BTC)
    assert seen == [0.0003]


# -- a step that fails -------------------------------------------------------------------

# The volume of a bar on which the step fails.
BAD = 30.0
NO_SIGNALS = {
    "raises": None,
    "nan": Signal(float("nan"), 0.0, 0.0, EMA_CROSS),
    "half an entry": Signal(0.5, 0.0, 0.0, EMA_CROSS),
    "no such reason": Signal(0.0, 1.0, 0.0, 99.0),
    "too sure": Signal(-1.0, 0.0, 0.0, EMA_CROSS, 1.5),
    "no distance": Signal(-1.0, 0.0, 0.0, EMA_CROSS, 1.0, -1.0),
}


def forgiving(said: Signal | None, exits: Exits = NO_EXITS) -> Core:
    """A core that goes on where its strategy fails, as it does on a BAD bar."""
    good = puppet(exits)

    def step(params, state, window, bar):
        if bar.volume != BAD:
            return good.step(params, state, window, bar)
        return (state, said) if said else (state, 1.0 / 0.0)

    failing = bot(replace(good, step=step))
    return Core([failing], {BTC: instrument()}, BAR, "paper", "test", POLICY, forgiving=True)


@pytest.mark.parametrize("said", NO_SIGNALS.values(), ids=NO_SIGNALS)
def test_a_strategy_whose_step_fails_is_switched_off_and_the_desk_goes_on(said):
    desk = forgiving(said)
    [notify] = of(Notify, candle(desk, 0, wish=BAD))
    assert notify.notice.text.startswith(f"{BOT} on {BTC} is switched off: its strategy failed")
    assert candle(desk, 1, wish=BAD) == []
    [decision] = of(Decision, candle(desk, 2, wish=SELL_NOW))
    assert (decision.gate, decision.approved) == ("symbol enabled", False)
    assert "its own fault" in decision.detail
    assert restarted(desk, forgiving(said)).view().disabled == desk.view().disabled


def test_a_position_grows_too_old_also_where_the_step_fails():
    desk = forgiving(None, NO_EXITS._replace(max_age_ms=2 * BAR))
    entered(desk)
    assert of(Submit, candle(desk, 1, wish=BAD)) == []
    [submit] = of(Submit, candle(desk, 2, wish=BAD))
    assert submit.order.reason is Reason.TIME_EXIT


def test_a_backtest_does_not_go_on_where_a_step_fails():
    bad = bot(replace(puppet(), step=lambda params, state, window, bar: 1.0 / 0.0))
    with pytest.raises(ZeroDivisionError):
        candle(core(bad), 0)
