"""What the tuner does by itself: when it is due, what a round does, and what is told of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot import tunings as tunings_module
from bot.lineup import tuned_above, tuned_plans
from bot.sections import TuningSection
from bot.settings import load
from bot.tuner_clock import Duty, TunerClock, duties, last_due
from bot.tuner_round import CHANGES_MAX, TunerRound
from engine import tuner
from engine.bot import BotPlan
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import BadSettings, Refused, Unreachable
from engine.instruction import PauseBot, SetParameters, StopTuning
from engine.order import Reason, Side
from engine.people import DESK
from engine.ports import Commit
from engine.position import Trade
from engine.store.memory import MemoryStore
from engine.strategies import STRATEGIES
from engine.tuning import Comparison, Dropped, Setting, Source, TuningStudy
from engine.tuning_view import TuningView
from tests.askers import OPERATING
from tests.handlers.desks import BOT, BTC, T0, ScriptedMarket, StillClock, course
from tests.tuner_hall import GREEN, NOTHING, YELLOW, Hall, hall
from tests.tunings import AFTER, BEFORE, evidence

TIMES = ("02:00", "08:00", "16:00")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# -- when --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-05 02:00", "2026-03-05 02:00"),
        ("2026-03-05 07:59", "2026-03-05 02:00"),
        ("2026-03-05 23:59", "2026-03-05 16:00"),
        ("2026-03-05 01:59", "2026-03-04 16:00"),
        ("2026-01-01 00:00", "2025-12-31 16:00"),
    ],
)
def test_what_is_due_is_the_last_time_of_day_that_has_come(now: str, due: str) -> None:
    assert last_due(TIMES, at(now)) == at(due)


def test_of_no_times_nothing_is_ever_due() -> None:
    assert last_due((), at("2026-03-05 02:00")) == 0


class Office:
    """A desk at a moment, and how often its duty was done."""

    def __init__(self, folder: Path, now: str, caught_up: bool = True) -> None:
        self.folder = folder
        self.clock = StillClock(at(now))
        self.market = ScriptedMarket({BTC: [] if caught_up else course(1.0, [(1, 0.0)])})
        self.started_at = self.clock.now()
        self.done = 0
        self.fails = False

    def moved(self, now: str) -> None:
        self.clock.advance((at(now) - self.clock.now()) / 1000)

    async def do(self) -> None:
        self.done += 1
        if self.fails:
            raise ZeroDivisionError

    async def look(self) -> int:
        """Look whether the duty is due; how often it was done in all."""
        duty = Duty("tune", TIMES, self.do)
        desk: Any = self
        await TunerClock(desk, [duty], self.folder).look(duty)
        return self.done


async def test_a_desk_that_was_never_there_makes_up_for_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, "2026-03-05 09:00")
    assert await office.look() == 0
    office.moved("2026-03-05 15:59")
    assert await office.look() == 0
    office.moved("2026-03-05 16:00")
    assert await office.look() == 1
    assert await office.look() == 1


async def test_times_that_were_missed_are_made_up_for_once(tmp_path: Path) -> None:
    assert await Office(tmp_path, "2026-03-05 09:00").look() == 0
    later = Office(tmp_path, "2026-03-09 12:00")
    assert await later.look() == 1
    assert await later.look() == 1
    later.moved("2026-03-09 16:00")
    assert await later.look() == 2


async def test_what_was_missed_waits_for_the_candles_that_were_missed_with_it(
    tmp_path: Path,
) -> None:
    await Office(tmp_path, "2026-03-05 09:00").look()
    later = Office(tmp_path, "2026-03-09 12:00", caught_up=False)
    assert await later.look() == 0
    later.moved("2026-03-09 12:11")
    assert await later.look() == 1


async def test_a_round_that_fails_is_not_begun_again_and_ends_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, "2026-03-05 15:59")
    await office.look()
    office.moved("2026-03-05 16:00")
    office.fails = True
    assert await office.look() == await office.look() == 1


async def test_a_damaged_file_is_like_none(tmp_path: Path) -> None:
    (tmp_path / "clock.json").write_text("{")
    assert await Office(tmp_path, "2026-03-05 09:00").look() == 0


async def test_it_looks_again_and_again(tmp_path: Path) -> None:
    office = Office(tmp_path, "2026-03-05 15:59")
    desk: Any = office
    clock = TunerClock(desk, [Duty("tune", TIMES, office.do)], tmp_path)
    task = asyncio.create_task(clock.run())
    async with asyncio.timeout(60):
        while not office.done:
            await asyncio.sleep(0)
            office.clock.advance(5)
    task.cancel()
    await asyncio.wait([task])
    assert office.clock.now() >= at("2026-03-05 16:00")


@pytest.mark.parametrize(("on", "names"), [(True, ["compare", "tune"]), (False, [])])
async def test_nothing_is_due_where_it_is_off(tmp_path: Path, on: bool, names: list[str]) -> None:
    async with hall(tmp_path) as opened:
        found = duties(TunerRound(opened.desk, opened.tunings, TuningSection(on=on)))
    assert [each.name for each in found] == names


# -- a round -----------------------------------------------------------------------------


def turn_of(opened: Hall, **given: Any) -> TunerRound:
    return TunerRound(opened.desk, opened.tunings, TuningSection(**given))


def will_find(opened: Hall, *results: Any) -> None:
    for each in results:
        opened.worker.results.put_nowait(each)


async def test_a_round_that_proposes_nothing_is_one_short_message(tmp_path: Path) -> None:
    async with hall(tmp_path, bot_ids=("one", "two", "three")) as opened:
        will_find(opened, NOTHING, Unreachable("The Dask scheduler is gone."), NOTHING)
        await turn_of(opened).tune()
        [text] = await opened.texts()
    assert "The tuner proposes nothing for one, two, three: /tune study says why." in text


async def test_of_one_bot_it_says_why(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        will_find(opened, NOTHING)
        await turn_of(opened).tune()
        [text] = await opened.texts()
    assert f"The tuner proposes nothing. {BOT}: Nothing better was found." in text


async def test_of_nothing_nobody_is_told_where_nobody_wants_it(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        will_find(opened, NOTHING)
        await turn_of(opened, tell_nothing=False).tune()
        assert await opened.texts() == []
        assert len(opened.worker.begun) == 1


async def test_a_round_makes_three_changes_at_most(tmp_path: Path) -> None:
    bot_ids = [f"bot_{number}" for number in range(CHANGES_MAX + 2)]
    async with hall(tmp_path, bot_ids=bot_ids) as opened:
        will_find(opened, NOTHING, *[GREEN, YELLOW] * 2)
        await turn_of(opened).tune()
        changes, proposals = opened.desk.tuning().changes, opened.desk.view().proposals
    assert len(opened.worker.begun) == CHANGES_MAX + 1
    assert len(changes) + len(proposals) == CHANGES_MAX


async def test_a_round_is_for_bots_that_run_and_that_are_named(tmp_path: Path) -> None:
    async with hall(tmp_path, bot_ids=("one", "two", "three")) as opened:
        await opened.desk.ask(PauseBot("one"), OPERATING)
        will_find(opened, NOTHING)
        await turn_of(opened, bots=("one", "two")).tune()
        assert [await opened.tunings.study(1)] == await studies(opened.desk)
        assert (await opened.tunings.study(1)).bot_id == "two"


async def studies(desk: Desk) -> list[TuningStudy]:
    return await desk.store.recent(TuningStudy)


async def test_nothing_is_tuned_while_it_is_stopped(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        await opened.desk.ask(StopTuning("a look at it first"), OPERATING)
        told = await opened.texts()
        await turn_of(opened).tune()
        assert await opened.texts() == told
        assert opened.worker.begun == []


async def test_a_bot_that_is_studied_for_somebody_is_left_to_them(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        await opened.tunings.start(BOT, OPERATING)
        await opened.begun(1)
        await turn_of(opened).tune()
        assert len(opened.worker.begun) == 1
        [text] = await opened.texts()
    assert "has not ended yet" in text


# -- rules -------------------------------------------------------------------------------


def losers(opened: Hall, bot_id: str = BOT) -> list[Trade]:
    """Ten trades of a bot that lost."""
    [account] = [each for each in opened.desk.view().accounts if each.bot_id == bot_id]
    return [
        Trade(
            trade_id=1000 + number,
            account=account.account,
            bot_id=bot_id,
            symbol=BTC,
            side=Side.BUY,
            quantity=Decimal(1),
            entry_price=Decimal(100),
            entry_time=T0 + number * HOUR_MS,
            entry_reason=Reason.LONG_ENTRY,
            exit_price=Decimal(99),
            exit_time=T0 + (number + 1) * HOUR_MS,
            close_reason=Reason.STOP_LOSS,
            gross_pnl=Decimal(-1),
            commission=Decimal(0),
            funding=Decimal(0),
            net_pnl=Decimal(-1),
            pnl_pct=Decimal("-0.01"),
            entry_client_order_id=f"in{number}",
            exit_client_order_id=f"out{number}",
        )
        for number in range(10)
    ]


async def badly(opened: Hall) -> None:
    """Let the bot's last ten trades be losers."""
    store = opened.desk.store
    assert isinstance(store, MemoryStore)
    await store.commit(Commit(epoch=1, facts=[*losers(opened)]))


async def test_a_rule_tightens_after_bad_trades_where_its_evidence_is_for_it(
    tmp_path: Path,
) -> None:
    async with hall(tmp_path, strategy="rsi") as opened:
        await badly(opened)
        will_find(opened, evidence())
        await turn_of(opened).tune()
        [change] = opened.desk.tuning().changes
        value = opened.desk.tuning().scopes[BOT].parameters["confidence_min"].value
        assert await studies(opened.desk) == []
    assert (change.source, value) == (Source.RULE, pytest.approx(0.70))
    assert "of the last 10 trades won" in change.reason


async def test_a_rule_whose_evidence_is_against_it_does_nothing_and_a_study_follows(
    tmp_path: Path,
) -> None:
    async with hall(tmp_path, strategy="rsi") as opened:
        await badly(opened)
        will_find(opened, evidence(before=AFTER, after=BEFORE), NOTHING)
        await turn_of(opened).tune()
        assert opened.desk.tuning().changes == ()
        assert len(await studies(opened.desk)) == 1
        assert len(opened.worker.begun) == 2


async def test_a_rule_without_evidence_does_nothing(tmp_path: Path) -> None:
    async with hall(tmp_path, strategy="rsi") as opened:
        await badly(opened)
        will_find(opened, Unreachable("Bybit does not answer."), NOTHING)
        await turn_of(opened).tune()
        assert opened.desk.tuning().changes == ()


# -- live against replay -------------------------------------------------------------------


def comparing(**answers: Comparison | Exception) -> Callable[..., Any]:
    """What stands for the comparison of each bot."""

    async def compare(subject: Any, workers: Any, bot_id: str, written: int) -> Comparison:
        answer = answers[bot_id]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return compare


CLEAN = Comparison("two", T0, T0 + DAY_MS, 288, 3, 3, 3, ())


async def test_each_bot_is_compared_and_a_divergence_stops_tuning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diverging = replace(CLEAN, bot_id="three", diverges="a trade is missing")
    answers = {"one": Refused("It traded nothing."), "two": CLEAN, "three": diverging}
    monkeypatch.setattr(tunings_module, "compare", comparing(**answers))
    async with hall(tmp_path, bot_ids=tuple(answers)) as opened:
        await turn_of(opened).compare()
        assert [opened.tunings.compared(each) for each in answers] == [None, CLEAN, diverging]
        assert "three" in opened.desk.tuning().stopped
        assert any("a trade is missing" in text for text in await opened.texts())
    async with hall(tmp_path, bot_ids=tuple(answers)) as again:
        assert again.tunings.compared("two") == CLEAN


async def test_a_clean_night_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunings_module, "compare", comparing(two=CLEAN))
    async with hall(tmp_path, bot_ids=("two",)) as opened:
        await turn_of(opened).compare()
        assert await opened.texts() == []
        assert opened.desk.tuning().stopped == ""


# -- settings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('at = ["2:00"]', "tuning.at: .*'2:00' is none"),
        ('at = ["24:00"]', "tuning.at: .*'24:00' is none"),
        ('at = ["02:00", "02:00"]', "tuning.at: .*each time once"),
        ('compare_at = "noon"', "tuning.compare_at: 'noon' .*'noon' is none"),
        ("days = 3", "tuning.days: 3 is not valid; greater than or equal to 7"),
        ('bots = ["Not One"]', "tuning.bots: .*'Not One' can be none"),
        ("trails = 3", "tuning.trails: there is no such setting. Did you mean trials?"),
    ],
)
def test_what_can_not_be_set_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "countersign.toml").write_text(f"[tuning]\n{line}\n")
    with pytest.raises(BadSettings, match=complaint):
        load({}, tmp_path)


def test_a_desk_searches_as_hard_as_the_tuner_is_made_for() -> None:
    usual = TuningSection()
    assert (usual.trials, usual.folds) == (tuner.TRIALS, tuner.FOLDS)


BOTS = """
[[bots]]
id = "shortseller_001"
strategy = "shortseller"
symbols = ["BTCUSDT"]
[bots.params]
trail = "2%"
"""


async def tuned(opened: Hall, **values: float) -> TuningView:
    change = SetParameters(BOT, tuple(values.items()), "", Source.TUNER)
    await opened.desk.ask(change, DESK)
    return opened.desk.tuning()


async def test_where_the_file_differs_from_what_was_tuned_the_desk_says_so(tmp_path: Path) -> None:
    toml = tmp_path / "countersign.toml"
    async with hall(tmp_path) as opened:
        view = await tuned(opened, crosses_per_day=9.0)
    toml.write_text(f"{BOTS}crosses_per_day = 12\n")
    assert list(tuned_above(load({}, tmp_path), view)) == [
        "shortseller_001: crosses_per_day = 12 is set in countersign.toml, but it was tuned to 9, "
        "which stands: /tune show crosses_per_day."
    ]
    toml.write_text(BOTS)
    assert list(tuned_above(load({}, tmp_path), view)) == []


async def test_so_it_does_of_limits_also_where_the_file_names_them_with_their_unit(
    tmp_path: Path,
) -> None:
    async with hall(tmp_path) as opened:
        view = opened.desk.tuning()
    limits = view.scopes[""].parameters
    setting = Setting(2 * HOUR_MS, 1, 1, "ann", "", 1)
    limits["losses_rest"] = replace(
        limits["losses_rest"], base=HOUR_MS, value=2 * HOUR_MS, setting=setting
    )
    (tmp_path / "countersign.toml").write_text("[risk]\nlosses_rest_min = 60\n")
    [remark] = tuned_above(load({}, tmp_path), view)
    assert remark.startswith("the desk: losses_rest = 1h is set")
    assert "it was tuned to 2h, which stands" in remark


async def test_what_has_no_place_any_more_is_told(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        view = opened.desk.tuning()
    gone = Dropped("one", "fast", 8.0, "the bot is not there any more")
    assert list(tuned_above(load({}, tmp_path), replace(view, dropped=(gone,)))) == [
        "one: fast was tuned to 8, which is dropped: the bot is not there any more"
    ]


def test_warm_up_takes_what_was_tuned_as_far_as_it_is_known() -> None:
    plans = {"one": BotPlan("shortseller", (BTC,), Decimal(1), values=(("fast", 100.0),))}
    tuned = {"one": {"slow": 1_800.0, "gone": 3.0, "fast": 1e9}, "two": {"slow": 5.0}}
    [plan] = tuned_plans(plans, tuned, STRATEGIES)
    assert dict(plan.values) == {"fast": 100.0, "slow": 1_800.0}
