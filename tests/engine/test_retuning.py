"""Parameters of bots and of the desk that are given other values while the desk runs."""

from dataclasses import replace
from random import Random

import pytest

from engine import retuning
from engine.bot import Bot
from engine.candle import Candle
from engine.core import Core
from engine.effect import NoticeKind, Notify, RecallCandles, Submit
from engine.errors import BadInput
from engine.event import CandleClosed, CandlesRecalled, DeskStarted
from engine.instruction import TurnOn
from engine.instrument import MAJORS
from engine.limits import LIMIT_PARAMETERS, USUAL_LIMITS, Ladder, limit_value
from engine.memory import tuned_values
from engine.order import Reason
from engine.plans import candles_needed
from engine.signal import Decision
from engine.slot import Slot, flat
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Signal, Strategy
from engine.tuning import DESK_SCOPE
from tests.askers import POLICY, asking
from tests.engine.conftest import (
    BAR,
    BOT,
    BTC,
    BUY_NOW,
    LEAVE_NOW,
    NO_EXITS,
    SELL_NOW,
    T0,
    WISHES,
    D,
    bar,
    bot,
    closed,
    puppet,
)
from tests.engine.cores import ETH, filled, of
from tests.engine.limited import enter, wish
from tests.engine.office import TOM
from tests.engine.retuned import Bench, setting

WARM = {"warm_up": 3.0}


def past(count: int, until: int, wish: float = 0) -> list[CandleClosed]:
    """Bars of before, the last of which closes when bar `until` opens."""
    found = [closed(bar(until - count + i, 100, volume=wish)) for i in range(count)]
    return [replace(each, late=True) for each in found]


def begun(*bots: Bot, **changes: object) -> Bench:
    desk = Bench(bots=bots or [bot()], **changes)
    for index in range(5):
        for symbol in desk.rules:
            desk.candle(index, symbol=symbol)
    return desk


# -- at once -----------------------------------------------------------------------------


def test_other_exits_hold_from_the_next_entry_on_and_leave_open_levels_alone():
    desk = begun(bot(puppet(NO_EXITS._replace(stop_loss=0.02)), symbols=(BTC, ETH)))
    [first] = of(Submit, desk.candle(5, 100, BUY_NOW))
    filled(desk.core, first.order)

    assert desk.tune({"stop_loss": 0.05, "take_profit": 0.1}) == []

    [second] = of(Submit, desk.candle(5, 100, BUY_NOW, symbol=ETH))
    assert (first.order.stop_loss, first.order.take_profit) == (D(98), None)
    assert (second.order.stop_loss, second.order.take_profit) == (D(95), D(110))
    [held] = [each for each in desk.core.view().positions if each.position.symbol == BTC]
    assert (held.stop_loss, held.take_profit) == (D(98), None)


def test_another_size_and_leverage_hold_from_the_next_entry_on():
    desk = begun()
    desk.tune({"margin": 0.1, "leverage": 5.0})
    [sent] = of(Submit, desk.candle(5, 100, SELL_NOW))
    assert (sent.order.quantity, sent.order.leverage) == (D(50), 5)


def test_another_confidence_refuses_the_next_signal():
    shy = {SELL_NOW: Signal(-1.0, 0.0, 0.0, 0.0, 0.4)}
    desk = begun(bot(puppet(wishes=shy)))
    desk.tune({"confidence_min": 0.5})
    [decision] = of(Decision, desk.candle(5, 100, SELL_NOW))
    assert not decision.approved
    assert decision.detail == "0.40, it needs 0.50"


def test_another_rest_after_a_fill_holds_from_the_next_fill_on():
    desk = begun()
    [sent] = of(Submit, desk.candle(5, 100, SELL_NOW))
    desk.tune({"cooldown": 3_600_000.0})
    filled(desk.core, sent.order)
    assert desk.slot().cooldown_until == sent.order.created_at + 3_600_000


def test_each_symbol_of_a_bot_gets_the_values_and_no_other_bot_does():
    other = bot(bot_id="other_001", symbols=(BTC,))
    desk = begun(bot(symbols=(BTC, ETH)), other)
    desk.tune({"stop_loss": 0.05})
    stops = {
        (bot_id, symbol): desk.slot(symbol, bot_id).exits.stop_loss
        for bot_id, symbol in ((BOT, BTC), (BOT, ETH), ("other_001", BTC))
    }
    assert stops == {(BOT, BTC): 0.05, (BOT, ETH): 0.05, ("other_001", BTC): 0.0}
    assert desk.memory.bases[BOT].strategy.exits_for(BTC).stop_loss == 0.0


def test_values_that_are_nobodys_any_more_are_those_of_the_settings_again():
    desk = begun(bot(puppet(NO_EXITS._replace(stop_loss=0.02))))
    desk.tune({"stop_loss": 0.05})
    assert retuning.value(desk.memory, BOT, "stop_loss") == 0.05
    desk.tune({})
    assert retuning.value(desk.memory, BOT, "stop_loss") == 0.02
    assert desk.memory.bots[BOT] is desk.memory.bases[BOT]


def test_what_people_set_is_shown_as_the_values_of_the_bot():
    desk = begun(replace(bot(), values=(("leverage", 10.0), ("margin", 0.05))))
    desk.tune({"leverage": 4.0})
    [view] = desk.core.view().bots
    assert view.tuned == {"leverage": "4", "margin": "5%"}


# -- another kernel ----------------------------------------------------------------------


def test_candles_of_before_are_asked_for_and_until_they_are_there_the_old_kernel_works():
    desk = begun()
    [asked] = desk.tune(WARM)
    assert (asked.bot_id, asked.symbol, asked.until, asked.count) == (BOT, BTC, T0 + 5 * BAR, 4)

    desk.candle(5)
    before = desk.slot()
    assert (before.params.warm_up, before.bars) == (0.0, 6)

    desk.answer(asked, past(4, 5))
    after = desk.slot()
    assert (after.params.warm_up, after.bars) == (3.0, 5)
    assert after.last_bar.ts == T0 + 5 * BAR
    desk.candle(6)
    assert desk.slot().bars == 6


def test_where_nothing_was_seen_yet_the_new_kernel_begins_at_once():
    desk = Bench()
    assert desk.tune(WARM) == []
    assert desk.slot().params.warm_up == 3.0
    desk.candle(0)
    assert desk.slot().bars == 1


def test_what_is_held_keeps_its_exits_while_the_new_kernel_warms_up():
    desk = begun()
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    [asked] = desk.tune(WARM)

    [leave] = of(Submit, desk.candle(6, 100, LEAVE_NOW))

    assert (leave.order.reason, leave.order.reduce_only) == (Reason.MA_EXIT, True)
    desk.answer(asked, past(4, 6))
    assert desk.slot().params.warm_up == 3.0


def test_the_new_kernel_knows_of_the_position_and_the_rest_of_the_one_before():
    strategy = puppet(NO_EXITS._replace(cooldown_ms=2 * BAR, max_age_ms=BAR * 8))
    desk = begun(bot(strategy), policy=replace(POLICY, limits=USUAL_LIMITS))
    [asked] = desk.tune(WARM)
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    before = desk.slot()

    desk.answer(asked, past(4, 5))

    after = desk.slot()
    assert after is not before
    known = (after.held, after.opened_at, after.cooldown_until, after.alarm)
    assert known == (True, T0 + 6 * BAR, T0 + 8 * BAR, before.alarm)
    assert after.alarm
    sent = [of(Submit, desk.candle(index)) for index in range(6, 14)]
    [leave] = sent.pop()
    assert leave.order.reason is Reason.TIME_EXIT
    assert not any(sent)


def test_an_exit_of_the_market_is_known_after_the_change_of_kernels():
    desk = begun()
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    [asked] = desk.tune(WARM)
    [leave] = of(Submit, desk.candle(6, 100, LEAVE_NOW))
    filled(desk.core, leave.order)
    desk.answer(asked, past(4, 6))
    assert not desk.slot().held
    assert of(Submit, desk.candle(7, 100, SELL_NOW))


def test_a_second_change_is_warmed_up_in_the_place_of_the_first():
    desk = begun()
    [first] = desk.tune(WARM)
    desk.answer(first, past(2, 3), complete=False)
    [second] = desk.tune({"warm_up": 2.0})

    desk.answer(first, past(2, 5))
    assert desk.slot().params.warm_up == 0.0
    desk.answer(second, past(3, 5))
    assert (desk.slot().params.warm_up, desk.slot().bars) == (2.0, 3)


def test_a_change_of_exits_meanwhile_is_taken_along():
    desk = begun()
    [asked] = desk.tune(WARM)
    assert desk.tune({**WARM, "stop_loss": 0.05}) == []
    desk.answer(asked, past(4, 5))
    assert (desk.slot().params.warm_up, desk.slot().exits.stop_loss) == (3.0, 0.05)


def test_a_change_that_is_taken_back_meanwhile_leaves_the_kernel_as_it_is():
    desk = begun()
    before = desk.slot()
    [asked] = desk.tune(WARM)
    assert desk.tune({}) == []
    desk.candle(5)
    desk.answer(asked, past(4, 5))
    assert desk.slot() is before
    assert before.bars == 6


def test_with_too_few_candles_of_before_the_new_kernel_waits_until_it_is_warm():
    desk = begun()
    [asked] = desk.tune(WARM)
    desk.answer(asked, past(1, 5))
    for index in (5, 6):
        assert desk.slot().params.warm_up == 0.0
        desk.candle(index)
    assert (desk.slot().params.warm_up, desk.slot().bars) == (3.0, 3)
    assert of(Submit, desk.candle(7, 100, SELL_NOW))


def test_a_kernel_that_is_cold_itself_gives_way_to_another_cold_one():
    desk = begun(bot(puppet(warm_up=100)))
    [asked] = desk.tune({"warm_up": 50.0})
    desk.answer(asked, past(5, 5))
    assert (desk.slot().params.warm_up, desk.slot().bars) == (50.0, 5)


def test_an_entry_that_waits_for_other_symbols_is_decided_by_the_values_of_now():
    strategy = puppet(NO_EXITS._replace(stop_loss=0.02))
    strategy = replace(strategy, sizing=strategy.sizing._replace(slots=1))
    desk = begun(bot(strategy, symbols=(BTC, ETH)))
    assert not of(Submit, desk.candle(5, 100, BUY_NOW))
    asked = desk.tune({**WARM, "stop_loss": 0.05})
    for each in asked:
        desk.answer(each, [replace(old, symbol=each.symbol) for old in past(4, 5)])

    [sent] = of(Submit, desk.candle(5, 100, symbol=ETH))
    assert (sent.order.symbol, sent.order.stop_loss) == (BTC, D(95))


# -- a kernel that fails -----------------------------------------------------------------


def breaks_when_tuned(params, state, window, bar):
    if params.warm_up == 3.0:
        raise ArithmeticError("no such thing")
    return type(state)(state.bars + 1.0), WISHES.get(bar.volume, Signal(0.0, 0.0, 0.0, 0.0))


def test_a_kernel_that_fails_while_it_warms_up_enters_nothing_and_the_old_one_minds_the_exits():
    desk = begun(bot(puppet(step=breaks_when_tuned)))
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    [asked] = desk.tune(WARM)

    desk.answer(asked, past(4, 6))

    [notice] = desk.told(NoticeKind.DESK_CHANGED)
    assert "is switched off: its strategy failed (ArithmeticError: no such thing)" in notice.text
    [leave] = of(Submit, desk.candle(6, 100, LEAVE_NOW))
    filled(desk.core, leave.order)
    [refused] = of(Decision, desk.candle(7, 100, SELL_NOW))
    assert not refused.approved


def test_switched_on_again_it_tries_once_more():
    desk = begun(bot(puppet(step=breaks_when_tuned)))
    [asked] = desk.tune(WARM)
    desk.answer(asked, past(4, 5))
    desk.press(desk.propose(TurnOn(BOT)), asking(TOM))
    [again] = of(RecallCandles, desk.effects)
    assert again == replace(asked, recall=again.recall)
    assert again.recall != asked.recall


def test_a_kernel_that_fails_on_a_later_candle_gives_up_too():
    desk = begun(bot(puppet(step=breaks_when_tuned)))
    [asked] = desk.tune(WARM)
    desk.answer(asked, [])
    effects = desk.candle(5)
    assert desk.told(NoticeKind.DESK_CHANGED)
    assert desk.slot().successor is None
    assert not of(Submit, effects)


# -- restarts ----------------------------------------------------------------------------


def test_a_restart_keeps_the_values_and_what_was_warm():
    desk = begun()
    [asked] = desk.tune({**WARM, "leverage": 4.0})
    desk.answer(asked, past(4, 5))
    desk.candle(5)
    before = desk.slot()

    desk.restart()

    after = desk.slot()
    assert desk.core.warm_ups() == []
    assert (after.bars, after.kernel, after.last_bar) == (
        before.bars,
        before.kernel,
        before.last_bar,
    )
    assert retuning.value(desk.memory, BOT, "leverage") == 4.0
    assert retuning.value(desk.memory, BOT, "warm_up") == 3.0


def test_a_restart_while_the_new_kernel_warms_up_begins_it_again():
    desk = begun()
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    desk.candle(6)
    [asked] = desk.tune(WARM)
    desk.answer(asked, past(2, 5), complete=False)
    desk.candle(7)

    desk.restart()
    [again] = desk.core.warm_ups()

    assert (again.until, again.count) == (T0 + 8 * BAR, 4)
    assert (desk.slot().params.warm_up, desk.slot().held) == (3.0, True)
    desk.answer(again, past(4, 8))
    assert (desk.slot().bars, desk.slot().is_warm) == (4, True)
    [leave] = of(Submit, desk.candle(8, 100, LEAVE_NOW))
    assert leave.order.reduce_only


def test_a_kernel_that_is_stored_half_warm_begins_again_too():
    strategy = puppet(NO_EXITS._replace(cooldown_ms=10 * BAR))
    desk = begun(bot(strategy))
    [entry] = of(Submit, desk.candle(5, 100, SELL_NOW))
    filled(desk.core, entry.order)
    desk.candle(6)
    desk.tune(WARM)
    desk.restart()
    [asked] = desk.core.warm_ups()
    desk.answer(asked, past(2, 5), complete=False)
    desk.memory.touch_slot(desk.slot())
    desk.candle(7)

    desk.restart()

    assert desk.slot().bars == 0
    assert desk.slot().cooldown_until == T0 + 16 * BAR
    assert of(RecallCandles, desk.core.warm_ups())


def test_what_was_set_is_known_before_the_desk_is_there():
    desk = begun()
    desk.tune({"leverage": 4.0})
    desk.tune({"positions": 3.0}, DESK_SCOPE)
    desk.memory.touch_tuning().values[BOT]["margin"] = setting(0.2, is_base=True)
    desk.candle(6)
    assert tuned_values(desk.rows, "paper-test") == {
        BOT: {"leverage": 4.0}, DESK_SCOPE: {"positions": 3.0},
    }  # fmt: skip
    assert tuned_values(desk.rows, "paper-other") == {}


def test_without_a_change_nothing_of_tuning_is_stored():
    desk = begun()
    assert not [key for key in desk.rows if key.startswith("tuning")]


UNFIT = {
    (BOT, "leverage", 4.5): "leverage: 4.5 is not valid",
    (BOT, "leverage", 500.0): "leverage: 500.0 is not valid",
    (BOT, "forgotten", 1.0): "no such parameter any more",
    ("gone_001", "leverage", 4.0): "the bot is not there any more",
    (DESK_SCOPE, "day_stops", 0.5): "day_stops: 0.5 is not valid",
}


@pytest.mark.parametrize(("found", "why"), UNFIT.items(), ids=lambda v: str(v)[:40])
def test_a_value_that_has_no_place_any_more_is_dropped_and_said(found, why):
    scope, name, value = found
    desk = begun()
    desk.tune({"margin": 0.1})
    values = desk.memory.touch_tuning().values
    values.setdefault(scope, {})[name] = setting(value)
    desk.candle(5)

    desk.restart()

    [dropped] = desk.memory.dropped
    assert dropped[:3] == (scope, name, value)
    assert why in dropped.why
    assert retuning.value(desk.memory, BOT, "margin") == 0.1
    desk.candle(6)
    assert name not in tuned_values(desk.rows, "paper-test").get(scope, {})
    desk.restart()
    assert desk.memory.dropped == []


def begins_with_few(params):
    if params.warm_up > 5:
        raise ValueError("too long a past")
    return puppet().start(params)


def test_values_that_a_strategy_can_not_begin_with_are_refused_or_dropped():
    desk = begun()
    desk.tune({"warm_up": 9.0, "leverage": 4.0})
    desk.candle(5)
    desk.bots = [bot(puppet(start=begins_with_few))]

    desk.restart()

    assert [each[:3] for each in desk.memory.dropped] == [(BOT, "warm_up", 9.0)]
    assert retuning.value(desk.memory, BOT, "leverage") == 4.0
    with pytest.raises(BadInput, match="warm_up 9.* puppet can begin with .*too long a past"):
        retuning.check_together(desk.memory, BOT, {"warm_up": 9.0})


def test_people_are_told_at_the_start_of_values_that_were_dropped():
    desk = begun()
    desk.tune({"leverage": 4.0})
    desk.memory.touch_tuning().values[BOT]["leverage"] = setting(500.0)
    desk.candle(5)
    desk.restart()
    desk.step(DeskStarted("1.0", 2, desk.now))
    [notice] = desk.told(NoticeKind.TUNING)
    assert notice.text.startswith(
        f"Values that were set are dropped, those of the settings hold again: leverage of {BOT} 500"
    )


def test_a_ladder_that_no_longer_fits_the_settings_falls_back_on_them():
    desk = limited_bench(replace(USUAL_LIMITS, day=Ladder(D("0.02"), D("0.10"))))
    desk.tune({"day_halves": 0.08, "positions": 3.0}, DESK_SCOPE)
    desk.candle(5)
    narrower = Ladder(D("0.02"), D("0.05"))
    desk.policy = replace(desk.policy, limits=replace(USUAL_LIMITS, day=narrower))

    desk.restart()

    assert [each[:3] for each in desk.memory.dropped] == [(DESK_SCOPE, "day_halves", 0.08)]
    assert desk.memory.policy.limits.day == narrower
    assert desk.memory.policy.limits.positions == 3


def test_a_bot_that_is_removed_takes_its_settings_along():
    desk = begun(bot(), bot(bot_id="other_001"))
    desk.tune({"leverage": 4.0}, "other_001")
    desk.memory.drop_bot(desk.memory.bots["other_001"])
    assert retuning.scopes(desk.memory) == (BOT, DESK_SCOPE)
    assert [slot.bot.bot_id for slot in desk.memory.slots[BTC]] == [BOT]


# -- every strategy ----------------------------------------------------------------------


def walk(count: int, interval: int, seed: int) -> list[CandleClosed]:
    """A random walk in whole tenths, with volume."""
    chance, price, found = Random(seed), 50_000.0, []
    for index in range(count):
        ends = price * (1.0 + chance.gauss(0.0, 0.004))
        high, low = max(price, ends) * 1.001, min(price, ends) * 0.999
        candle = Candle(T0 + index * interval, price, high, low, ends, chance.uniform(1, 50))
        found.append(CandleClosed(BTC, candle, candle.ts + interval))
        price = ends
    return found


def nudged(strategy: Strategy, steps: int) -> dict[str, float]:
    """Other values of a strategy's own parameters, each so many steps away."""
    present = strategy.params._asdict()
    return {
        each.name: each.stepped(present[each.name], steps)
        for each in strategy.parameters
        if not each.choices
    }


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_bot_retuned_at_work_does_in_every_bar_what_one_begun_with_those_values_does(name):
    strategy = STRATEGIES[name]
    interval = strategy.timeframe // 2
    tuned = strategy.tuned(nudged(strategy, 1))
    needed = candles_needed(tuned, interval)
    candles = walk(needed + 120, interval, seed=len(name))
    market = {BTC: MAJORS[BTC]}
    desk = Core([bot(strategy)], market, interval, "paper", "test", POLICY)
    memory = desk._memory
    at = needed + 11
    for event in candles[:at]:
        desk.step(event)
    memory.touch_tuning().values[BOT] = {
        key: setting(value) for key, value in nudged(strategy, 1).items()
    }
    [asked] = retuning.apply(memory, BOT)
    meanwhile = candles[at : at + 3]
    for event in meanwhile:
        desk.step(event)
    recalled = candles[at - asked.count : at]
    desk.step(answer(asked, recalled))

    fresh = Slot(bot(tuned), BTC, interval)
    for event in (*recalled, *meanwhile):
        fresh.warm_up(event)
    for event in candles[at + 3 :]:
        desk.step(event)
        for each in fresh.take(event.candle, event.funding):
            fresh.see(each)
        working = memory.slot(BOT, BTC)
        assert working.params == tuned.params
        assert (working.bars, working.last_bar) == (fresh.bars, fresh.last_bar)
        assert tuple(flat(working.kernel)) == pytest.approx(
            tuple(flat(fresh.kernel)), rel=0, abs=0, nan_ok=True
        )
        assert list(working.window) == pytest.approx(list(fresh.window), rel=0, abs=0, nan_ok=True)


def answer(asked: RecallCandles, candles: list[CandleClosed]) -> CandlesRecalled:
    return CandlesRecalled(asked.bot_id, asked.symbol, candles, True, asked.recall)


def test_every_strategy_is_retuned_again_and_again_on_one_desk():
    bots = [
        bot(strategy.at(strategy.timeframe), bot_id=name[:20], symbols=(BTC,))
        for name, strategy in STRATEGIES.items()
    ]
    interval = BAR
    desk = Core(bots, {BTC: MAJORS[BTC]}, interval, "paper", "test", POLICY)
    candles = walk(400, interval, seed=5)
    for index, event in enumerate(candles):
        desk.step(event)
        if index % 100:
            continue
        for each in bots:
            steps = 1 + index // 100 % 2
            desk._memory.touch_tuning().values[each.bot_id] = {
                key: setting(value) for key, value in nudged(each.strategy, steps).items()
            }
            for asked in retuning.apply(desk._memory, each.bot_id):
                first = max(index + 1 - asked.count, 0)
                desk.step(answer(asked, candles[first : index + 1]))
    for each in bots:
        wanted = each.strategy.tuned(nudged(each.strategy, 2)).params
        assert desk._memory.bots[each.bot_id].strategy.params == wanted
        assert desk._memory.slot(each.bot_id, BTC).params == wanted


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_in_between_it_ends_with_the_kernel_of_the_last_values(seed):
    chance, desk = Random(seed), begun(bot(symbols=(BTC, ETH)))
    open_asks: list[RecallCandles] = []
    index = 5
    for _ in range(120):
        match chance.randrange(6):
            case 0:
                wanted = {"warm_up": float(chance.randrange(4)), "leverage": chance.choice([2, 3])}
                open_asks += of(RecallCandles, desk.tune(wanted))
            case 1 if open_asks:
                asked = open_asks.pop(0)
                there = chance.choice([asked.count, 1])
                until = (asked.until - T0) // BAR
                found = [replace(each, symbol=asked.symbol) for each in past(there, until)]
                desk.answer(asked, found[: there // 2], complete=False)
                desk.answer(asked, found[there // 2 :])
            case 2 if chance.random() < 0.3:
                desk.restart()
                open_asks = of(RecallCandles, desk.core.warm_ups())
            case 3 | 4 | 5:
                for symbol in (BTC, ETH):
                    said = chance.choice([0, 0, SELL_NOW, LEAVE_NOW])
                    for sent in of(Submit, desk.candle(index, 100, said, symbol)):
                        filled(desk.core, sent.order)
                index += 1
        check_slots(desk)
    while open_asks:
        asked = open_asks.pop(0)
        desk.answer(asked, [replace(each, symbol=asked.symbol) for each in past(asked.count, 5)])
    for _ in range(4):
        for symbol in (BTC, ETH):
            desk.candle(index, symbol=symbol)
        index += 1
    for symbol in (BTC, ETH):
        assert desk.slot(symbol).params == desk.memory.bots[BOT].strategy.params
        assert desk.slot(symbol).successor is None


def check_slots(desk: Bench) -> None:
    """Each symbol has one slot, which knows what is held and obeys the bot of now."""
    held = {each.position.symbol for each in desk.core.view().positions}
    for symbol in (BTC, ETH):
        [slot] = desk.memory.slots[symbol]
        assert slot.held is (symbol in held)
        assert slot.bot is desk.memory.bots[BOT]
        assert slot.successor is None or slot.successor.bot is slot.bot


# -- the desk's own ----------------------------------------------------------------------


def limited_bench(limits) -> Bench:
    policy = replace(POLICY, limits=limits, taker_fee=D(0))
    desk = Bench(policy=policy, bots=[bot(symbols=(BTC, ETH))])
    desk.candle(0)
    desk.candle(0, symbol=ETH)
    return desk


def test_another_limit_holds_at_the_next_entry():
    desk = limited_bench(replace(USUAL_LIMITS, positions=5))
    enter(desk, 1)
    desk.tune({"positions": 1.0}, DESK_SCOPE)
    decision = wish(desk, 1)
    assert (decision.approved, decision.gate) == (False, "positions of the bot")
    desk.tune({"positions": 2.0}, DESK_SCOPE)
    assert wish(desk, 2).approved


def test_a_tighter_limit_of_losses_stops_entries_at_once_and_says_so():
    desk = limited_bench(replace(USUAL_LIMITS, day=Ladder(D("0.02"), D("0.15"))))
    enter(desk, 1)
    desk.candle(2, 110)
    told = desk.tune({"day_stops": 0.05}, DESK_SCOPE)
    said = [each.notice.text for each in of(Notify, told)]
    assert any("daily loss" in text and "nothing is opened" in text for text in said)
    assert not wish(desk, 2).approved


def test_another_margin_level_watches_what_is_held():
    desk = limited_bench(USUAL_LIMITS)
    enter(desk, 1)
    before = desk.slot().alarm
    desk.tune({"margin_level": 5.0}, DESK_SCOPE)
    assert 100 < -desk.slot().alarm < -before
    desk.tune({}, DESK_SCOPE)
    assert desk.slot().alarm == before


def test_limits_that_were_set_stand_after_a_restart_above_those_of_the_settings():
    desk = limited_bench(USUAL_LIMITS)
    desk.tune({"positions": 3.0, "day_stops": 0.06}, DESK_SCOPE)
    desk.restart()
    limits = desk.memory.policy.limits
    assert (limits.positions, limits.day.stops) == (3, D("0.06"))
    assert desk.memory.ladders == limits.ladders
    assert retuning.base_value(desk.memory, DESK_SCOPE, "positions") == 5.0
    assert retuning.value(desk.memory, DESK_SCOPE, "day_stops") == 0.06


# -- what there is -----------------------------------------------------------------------


def test_bots_and_the_desk_have_parameters():
    desk = limited_bench(USUAL_LIMITS)
    assert retuning.scopes(desk.memory) == (BOT, DESK_SCOPE)
    assert set(retuning.parameters(desk.memory, BOT)) == set(puppet().tunable)
    names = [each.name for each in LIMIT_PARAMETERS]
    assert list(retuning.parameters(desk.memory, DESK_SCOPE)) == names
    for name in names:
        value = retuning.value(desk.memory, DESK_SCOPE, name)
        assert value == limit_value(USUAL_LIMITS, name)


@pytest.mark.parametrize("ask", [retuning.value, retuning.base_value])
def test_an_unknown_bot_or_parameter_is_refused_with_those_there_are(ask):
    desk = Bench()
    with pytest.raises(BadInput, match=f"bot: 'nobody' is not valid. Allowed: {BOT}"):
        ask(desk.memory, "nobody", "leverage")
    with pytest.raises(BadInput, match="parameter: 'leverag' .*leverage"):
        ask(desk.memory, BOT, "leverag")
    with pytest.raises(BadInput, match="parameter: 'leverage' .*day_stops"):
        ask(desk.memory, DESK_SCOPE, "leverage")
