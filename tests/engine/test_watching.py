"""Changes of parameters that are watched: what they are held against, and what comes of them."""

from dataclasses import replace

import pytest

from engine import changing, watching
from engine.effect import Done, Effect, Instruct, NotDone, NoticeKind, Proposed
from engine.event import Instructed
from engine.instruction import RollBack, SetParameters, TurnOff, UndoChange
from engine.limits import NO_CAPS, NO_LIMITS, USUAL_LIMITS, Caps, Ladder, Limits
from engine.order import Reason
from engine.people import DESK
from engine.position import Trade
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Band, Fate, ParameterChange, Source, Watch
from engine.watching import WATCH_MS
from tests.askers import OPERATING, asking
from tests.engine.conftest import BAR, BOT, BTC, T0, D, bot
from tests.engine.cores import ETH, of
from tests.engine.limited import BARS_A_DAY, FREE, enter, leave, trade
from tests.engine.office import ANN, TOM
from tests.engine.retuned import Bench

# Of 10,000: a loss of 100 is 1 %.
BAND = Band(lows=(-0.01, -0.02, -0.02), highs=(0.02, 0.03, 0.03), drawdown=0.03)
WIDE = Band(lows=(-1.0,) * 30, highs=(1.0,) * 30, drawdown=1.0)
GREEN = (("confidence_min", 0.1),)
ALSO_GREEN = (("confidence_min", 0.05),)
YELLOW = (("stop_loss", 0.02),)


def desk(limits: Limits = NO_LIMITS, caps: Caps = NO_CAPS, bots: int = 1) -> Bench:
    """A desk that has seen one bar of two symbols; orders cost nothing."""
    ids = [BOT, *(f"other_{number:03}" for number in range(1, bots))]
    found = Bench(
        policy=replace(FREE, limits=limits, caps=caps),
        bots=[bot(bot_id=each, symbols=(BTC, ETH)) for each in ids],
    )
    found.candle(0)
    found.candle(0, symbol=ETH)
    return found


def watched(
    bench: Bench, band: Band | None = BAND, values: tuple[tuple[str, float], ...] = GREEN
) -> ParameterChange:
    """Have somebody change a parameter of the bot, with what they expect."""
    wanted = SetParameters(BOT, values, "to try it", expected=band)
    result = bench.ask(wanted)
    if isinstance(result, Proposed):
        result = bench.press(result.proposal, asking(TOM))
    assert isinstance(result, Done), result
    return bench.memory.tuning.changes[-1]


def fate(bench: Bench, change: ParameterChange) -> Fate:
    kept = {each.change_id: each for each in bench.memory.tuning.changes}
    return kept[change.change_id].fate


def watch_of(bench: Bench, change: ParameterChange) -> Watch:
    return bench.memory.tuning.watches[change.change_id]


def obey(bench: Bench) -> list[Effect]:
    """Give the core what the last step has the desk tell itself."""
    [asked] = of(Instruct, bench.effects)
    return bench.step(Instructed(asked.instruction, DESK, 0, bench.now))


# -- begin -------------------------------------------------------------------------------


def test_a_change_of_which_something_is_expected_is_watched():
    bench = desk()
    change = watched(bench)
    assert change.fate is Fate.WATCHED
    watch = watch_of(bench, change)
    assert (watch.bot_id, watch.began_at, watch.ends_at) == (BOT, T0 + BAR, T0 + BAR + WATCH_MS)
    assert (watch.equity, watch.trades, watch.net) == (D(10_000), 0, D(0))


def test_a_change_of_which_nothing_is_expected_is_not():
    bench = desk()
    change = watched(bench, band=None)
    assert change.fate is Fate.UNWATCHED
    assert not bench.memory.tuning.watches
    trade(bench, 1, -500)
    assert not of(Instruct, bench.effects)


# -- within the band ---------------------------------------------------------------------


def test_each_trade_of_the_bot_counts_until_as_many_are_closed_as_were_expected():
    bench = desk()
    change = watched(bench)
    trade(bench, 1, -50)
    trade(bench, 2, 100)
    assert fate(bench, change) is Fate.WATCHED
    assert watch_of(bench, change).trades == 2
    assert watch_of(bench, change).net == pytest.approx(D(50))

    trade(bench, 3, -80)

    assert fate(bench, change) is Fate.KEPT
    assert not bench.memory.tuning.watches
    [kept] = of(ParameterChange, bench.effects)
    assert (kept.trades, kept.ended_at) == (3, T0 + 4 * BAR)
    assert kept.net == pytest.approx(D(-30))
    assert kept.drawdown == pytest.approx(0.008)
    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text == (
        f"Change 1 of {BOT} (confidence_min) kept to what was expected of it: "
        "-0.30% (-30.00 USDT) after 3 trades, it fell by 0.80% at most."
    )
    assert (notice.bot_id, notice.change) == (BOT, kept)


def test_more_than_was_expected_is_no_reason_to_take_it_back():
    bench = desk()
    change = watched(bench)
    for index in (1, 2, 3):
        trade(bench, index, 300)
        assert not of(Instruct, bench.effects)
    assert fate(bench, change) is Fate.BETTER
    [notice] = bench.told(NoticeKind.TUNING)
    assert "did better than was expected" in notice.text


def test_after_two_weeks_it_has_kept_to_it_with_the_trades_there_were():
    bench = desk()
    change = watched(bench, WIDE)
    trade(bench, 1, 10)
    bench.candle(14 * BARS_A_DAY)
    assert fate(bench, change) is Fate.WATCHED
    bench.candle(14 * BARS_A_DAY + 13)
    assert fate(bench, change) is Fate.KEPT


def test_without_a_trade_nothing_is_known_of_it():
    bench = desk()
    change = watched(bench)
    bench.candle(15 * BARS_A_DAY)
    assert fate(bench, change) is Fate.UNWATCHED
    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text == (
        f"Of change 1 of {BOT} (confidence_min) nothing is known: no trade within 14 days."
    )


def test_trades_of_before_of_other_bots_and_by_hand_do_not_count():
    bench = desk()
    old = enter(bench, 1)
    change = watched(bench)
    leave(bench, old, 110)
    assert watch_of(bench, change).trades == 0
    assert fate(bench, change) is Fate.WATCHED
    sold = enter(bench, 2)
    by_hand = replace(bench.core.accounts()[old.account].positions[BTC])
    bench.core.accounts()[old.account].positions[BTC] = replace(
        by_hand, entry_reason=Reason.MANUAL_ENTRY
    )
    leave(bench, sold, 110)
    assert watch_of(bench, change).trades == 0
    assert watch_of(bench, change).deepest == 0.0


def test_another_bots_trade_does_not_count():
    bench = desk(bots=2)
    change = watched(bench)
    made = Trade(
        1, "paper-test-other_001", "other_001", BTC, None, D(1), D(1), T0 + 2 * BAR,
        Reason.EMA_CROSS, D(1), T0 + 3 * BAR, Reason.STOP_LOSS, D(0), D(0), D(0), D(-500), D(0),
        "", "",
    )  # fmt: skip
    assert watching.closed(bench.memory, made) == []
    assert watch_of(bench, change).trades == 0
    watching.closed(bench.memory, replace(made, bot_id=BOT, net_pnl=D(-50)))
    assert watch_of(bench, change).trades == 1


def test_a_change_of_the_desks_own_limits_counts_the_trades_of_all_bots():
    bench = desk(USUAL_LIMITS, bots=2)
    bench.ask(TurnOff("other_001"))
    wanted = SetParameters(DESK_SCOPE, (("positions", 4.0),), "to try it", expected=BAND)
    bench.press(bench.propose(wanted), asking(ANN))
    [watch] = bench.memory.tuning.watches.values()
    assert (watch.bot_id, watch.equity) == (DESK_SCOPE, D(20_000))
    trade(bench, 1, -300)
    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text.startswith("Change 1 of the desk (positions) left what was expected of it")
    obey(bench)
    [proposal] = bench.core.view().proposals
    assert proposal.tier is Tier.YELLOW


# -- out of the band ---------------------------------------------------------------------


def test_a_green_change_that_loses_more_than_was_expected_is_taken_back_by_the_desk():
    bench = desk()
    change = watched(bench)
    trade(bench, 1, -150)

    assert fate(bench, change) is Fate.FAILED
    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text == (
        f"Change 1 of {BOT} (confidence_min) left what was expected of it: it stands at -1.50%, "
        "and -1.00% was the least expected by now, after 1 trade. It is taken back by itself."
    )
    [asked] = of(Instruct, bench.effects)
    assert isinstance(asked.instruction, UndoChange)
    assert (asked.instruction.change_id, asked.instruction.source) == (1, Source.WATCH)

    obey(bench)

    assert bench.memory.bots[BOT].strategy.pipeline.confidence_min == 0.0
    assert fate(bench, change) is Fate.FAILED
    assert not bench.memory.tuning.watches
    assert watching.unfinished(bench.memory) == []


def test_what_failed_is_not_tried_again_by_itself_until_it_is_forgotten():
    bench = desk()
    watched(bench)
    trade(bench, 1, -500)
    obey(bench)
    bench.candle(BARS_A_DAY)
    again = SetParameters(BOT, GREEN, "once more", Source.RULE)
    refused = bench.ask(again, DESK)
    assert isinstance(refused, NotDone)
    assert refused.reason == "Change 1 tried that, and failed. A person may set it."
    other = SetParameters(BOT, ALSO_GREEN, "a little", Source.RULE)
    assert isinstance(bench.ask(other, DESK), Done)
    bench.candle(2 * BARS_A_DAY)
    assert isinstance(bench.ask(SetParameters(BOT, GREEN, "I know better")), Done)
    assert isinstance(bench.ask(UndoChange(4, BOT)), Done)
    bench.candle(16 * BARS_A_DAY)
    assert isinstance(bench.ask(again, DESK), Done)


def test_what_is_watched_is_remembered_however_much_is_changed_since(monkeypatch):
    monkeypatch.setattr(changing, "CHANGES_KEPT", 1)
    bench = desk()
    change = watched(bench)
    for name in ("take_profit", "stop_loss"):
        watched(bench, None, ((name, 0.02),))
    assert [each.change_id for each in bench.memory.tuning.changes] == [1, 3]
    trade(bench, 1, -500)
    assert fate(bench, change) is Fate.FAILED
    obey(bench)
    assert bench.memory.bots[BOT].strategy.pipeline.confidence_min == 0.0


def test_taking_back_a_yellow_one_is_proposed():
    bench = desk()
    change = watched(bench, values=YELLOW)
    assert change.tier is Tier.YELLOW
    trade(bench, 1, -150)
    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text.endswith("To take it back is proposed.")

    obey(bench)

    [proposal] = bench.core.view().proposals
    assert bench.memory.bots[BOT].strategy.exits_for(BTC).stop_loss == 0.02
    assert watching.unfinished(bench.memory) == []
    bench.press(proposal, asking(TOM))
    assert bench.memory.bots[BOT].strategy.exits_for(BTC).stop_loss == 0.0
    assert fate(bench, change) is Fate.FAILED


def test_it_is_told_once_however_often_it_loses_more():
    bench = desk()
    watched(bench)
    trade(bench, 1, -150)
    trade(bench, 2, -150)
    assert not of(Instruct, bench.effects)
    assert not bench.told(NoticeKind.TUNING)


def test_a_fall_from_the_peak_that_is_deeper_than_expected_fails():
    bench = desk()
    change = watched(bench, WIDE._replace(drawdown=0.02))
    trade(bench, 1, 300)
    trade(bench, 2, -150)
    assert fate(bench, change) is Fate.WATCHED
    trade(bench, 3, -100)
    assert fate(bench, change) is Fate.FAILED
    [notice] = bench.told(NoticeKind.TUNING)
    assert "it fell by 2.50% from its peak, and 2.00% was the most expected" in notice.text


def test_open_positions_count_for_the_fall_every_hour():
    bench = desk()
    change = watched(bench, WIDE._replace(drawdown=0.02))
    enter(bench, 1)
    bench.candle(2, 103)
    bench.candle(2 + 12, 105)
    assert fate(bench, change) is Fate.WATCHED
    assert watch_of(bench, change).deepest == pytest.approx(0.015)
    bench.candle(2 + 24, 105)
    assert fate(bench, change) is Fate.FAILED
    assert of(Instruct, bench.effects)


def test_a_roll_back_that_was_not_answered_is_asked_for_again_after_a_restart():
    bench = desk()
    change = watched(bench)
    trade(bench, 1, -150)
    [asked] = of(Instruct, bench.effects)

    bench.restart()

    assert of(Instruct, bench.core.unfinished()) == [asked]
    bench.step(Instructed(asked.instruction, DESK, 0, bench.now))
    bench.restart()
    assert of(Instruct, bench.core.unfinished()) == []
    assert fate(bench, change) is Fate.FAILED
    assert bench.memory.bots[BOT].strategy.pipeline.confidence_min == 0.0


def test_a_roll_back_that_is_refused_is_told():
    bench = desk()
    change = watched(bench)
    trade(bench, 1, -150)
    [asked] = of(Instruct, bench.effects)
    bench.ask(UndoChange(change.change_id, BOT))
    bench.memory.tuning.watches[change.change_id] = Watch(
        change.change_id, BOT, BAND, T0, T0, D(1), tripped="it failed"
    )

    bench.step(Instructed(asked.instruction, DESK, 0, bench.now))

    [notice] = bench.told(NoticeKind.TUNING)
    assert notice.text.startswith(f"Change 1 of {BOT} (confidence_min) could not be taken back: ")
    assert not bench.memory.tuning.watches


# -- changed again -----------------------------------------------------------------------


def test_a_newer_change_of_the_same_parameter_ends_the_watch_of_the_older():
    bench = desk()
    older = watched(bench, WIDE)
    bench.candle(100)
    newer = watched(bench, WIDE, ALSO_GREEN)
    assert fate(bench, older) is Fate.REPLACED
    assert list(bench.memory.tuning.watches) == [newer.change_id]
    stored = {each.change_id: each.fate for each in of(ParameterChange, bench.effects)}
    assert stored == {older.change_id: Fate.REPLACED, newer.change_id: Fate.WATCHED}


def test_changes_of_different_parameters_are_watched_at_once():
    bench = desk()
    one = watched(bench, WIDE)
    other = watched(bench, WIDE, YELLOW)
    trade(bench, 1, -50)
    counted = [watch_of(bench, each).trades for each in (one, other)]
    assert counted == [1, 1]


@pytest.mark.parametrize("band", [WIDE, None])
def test_an_undone_change_was_undone_watched_or_not(band):
    bench = desk()
    change = watched(bench, band)
    bench.ask(UndoChange(change.change_id, BOT))
    assert fate(bench, change) is Fate.UNDONE
    assert not bench.memory.tuning.watches


def test_a_change_that_kept_to_it_stays_so_when_it_is_undone():
    bench = desk()
    change = watched(bench)
    for index in (1, 2, 3):
        trade(bench, index, 10)
    bench.ask(UndoChange(change.change_id, BOT))
    assert fate(bench, change) is Fate.KEPT


def test_a_roll_back_of_everything_ends_the_watches_of_what_it_moves():
    bench = desk()
    change = watched(bench, WIDE)
    result = bench.ask(RollBack(change.snapshot_id), OPERATING)
    if isinstance(result, Proposed):
        bench.press(result.proposal, asking(ANN))
    assert bench.memory.bots[BOT].strategy.pipeline.confidence_min == 0.0
    assert fate(bench, change) is Fate.UNDONE


def test_a_watch_ends_with_its_bot():
    bench = desk(bots=2)
    change = watched(bench, WIDE)
    bench.memory.drop_bot(bench.memory.bots[BOT])
    bench.candle(100)
    assert not bench.memory.tuning.watches
    assert fate(bench, change) is Fate.REPLACED


def test_a_watch_outlives_a_restart():
    bench = desk()
    change = watched(bench)
    trade(bench, 1, -50)
    bench.restart()
    assert watch_of(bench, change) == Watch(
        1, BOT, BAND, T0 + BAR, T0 + BAR + WATCH_MS, D(10_000), 1, D(-50), D(0), 0.005
    )


# -- losing ------------------------------------------------------------------------------


def test_a_desk_that_has_not_traded_is_not_losing():
    assert watching.losing(desk().memory) == ""


@pytest.mark.parametrize("caps", [NO_CAPS, Caps(daily_loss=D(5_000))])
def test_a_loss_of_today_is_losing_with_open_positions_too(caps):
    bench = desk(caps=caps)
    enter(bench, 20)
    bench.candle(21, 102)
    assert watching.losing(bench.memory) == "it lost 100.00 USDT today"
    bench.candle(22, 100)
    assert watching.losing(bench.memory) == ""


def test_the_last_ten_trades_of_all_bots_together_may_be_losing():
    bench = desk()
    trade(bench, 20, -100)
    for index in range(21, 30):
        trade(bench, index, 5)
    tomorrow = BARS_A_DAY + 20
    bench.candle(tomorrow)
    assert watching.losing(bench.memory) == "its last 10 trades together lost 55.00 USDT"
    trade(bench, tomorrow + 1, 5)
    assert watching.losing(bench.memory) == ""


def test_a_ladder_that_has_halved_sizes_is_losing():
    bench = desk(replace(USUAL_LIMITS, week=Ladder(D("0.01"), D("0.10")), losses=0))
    trade(bench, 20, -150)
    for index in range(21, 23):
        trade(bench, index, 200)
    bench.candle(BARS_A_DAY + 20)
    assert "weekly loss of shortseller_001: " in watching.losing(bench.memory)
    assert "halved" in watching.losing(bench.memory)
