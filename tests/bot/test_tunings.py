"""Studies on their way: the queue, the worker, what becomes of a result, and what a crash loses."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bot.backtests import recorded_of
from bot.clock import SystemClock
from bot.sections import TuningSection
from bot.tuner_job import Found, Job, run_study
from bot.tunings import LIMIT_S, LOST, OPEN_MAX, OUR_FAULT, PROPOSED_BEFORE, TOO_LONG
from bot.workers import TookTooLong, Workers
from engine.candle import DAY_MS, HOUR_MS
from engine.effect import Done
from engine.errors import BadInput, Broken, Refused, Unreachable
from engine.instruction import Instruction, PauseBot, SetParameters, StopTuning
from engine.people import DESK, Role
from engine.ports import FeedHealth
from engine.store.memory import MemoryStore
from engine.studies import Place, Setup
from engine.studies import Source as Candles
from engine.tuning import Source, StudyStage, TuningStudy
from tests.askers import OPERATING, account, asking, person
from tests.clock import turn
from tests.handlers.desks import BAR, BOT, BTC, T0, ScriptedMarket, course
from tests.tuner_hall import GREEN, NOTHING, PATIENCE_S, SECTION, TOM, YELLOW, hall, subject
from tests.tunings import evidence

# -- what becomes of a result ----------------------------------------------------------------


async def test_what_is_found_in_a_green_parameter_is_in_force_at_once(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.studied(GREEN)
        parameters = opened.desk.tuning().scopes[BOT].parameters
        [change] = opened.desk.tuning().changes
    assert (study.stage, study.values) == (StudyStage.PROPOSED, GREEN.values)
    assert study.verdict == "It earned more. It is in force."
    assert parameters["crosses_per_day"].value == 9.0
    assert (change.source, change.study, change.author) == (Source.TUNER, study.number, "desk")


async def test_what_is_found_in_a_yellow_parameter_waits_for_a_person(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.studied(YELLOW)
        [proposal] = opened.desk.view().proposals
        assert opened.desk.tuning().changes == ()
        known = opened.desk.tuning().scopes[BOT].parameters
    assert study.stage is StudyStage.PROPOSED
    assert study.verdict.endswith(f"Proposal {proposal.proposal_id} waits for a person.")
    present = tuple((name, each.value) for name, each in known.items())
    assert study.evidence == replace(evidence(), study=study.number, present=present)


async def test_what_was_found_with_other_values_than_those_in_force_by_then_is_void(
    tmp_path: Path,
) -> None:
    async with hall(tmp_path) as opened:
        begun = await opened.tunings.start(BOT, TOM)
        await opened.begun(1)
        changed = SetParameters(BOT, (("confidence_min", 0.1),))
        assert isinstance(await opened.desk.runtime.ask(changed, OPERATING), Done)
        opened.worker.results.put_nowait(GREEN)
        study = await opened.ended(begun.number)
        assert len(opened.desk.tuning().changes) == 1
    assert study.stage is StudyStage.NOTHING
    assert study.verdict.endswith(
        f"But: confidence_min of {BOT} is 10% now; it was 0% in the study."
    )


@pytest.mark.parametrize("meanwhile", [PauseBot(BOT), StopTuning("enough")])
async def test_nothing_comes_of_a_study_whose_bot_or_tuning_was_stopped_meanwhile(
    tmp_path: Path, meanwhile: Instruction
) -> None:
    async with hall(tmp_path) as opened:
        begun = await opened.tunings.start(BOT, TOM)
        await opened.begun(1)
        assert isinstance(await opened.desk.runtime.ask(meanwhile, OPERATING), Done)
        opened.worker.results.put_nowait(GREEN)
        study = await opened.ended(begun.number)
        assert opened.desk.tuning().changes == ()
    assert study.stage is StudyStage.NOTHING
    assert " But: " in study.verdict


async def test_a_study_that_finds_nothing_is_kept_and_told_with_its_reason(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.studied(NOTHING)
        stored = await opened.desk.store.one(TuningStudy, "paper-sim42", study.number)
        assert stored == study == await opened.tunings.study(study.number)
        [text] = await opened.texts()
        assert opened.desk.view().proposals == ()
    assert (study.stage, study.verdict) == (StudyStage.NOTHING, "Nothing better was found.")
    assert "Nothing better was found." in text
    assert study.ended_at == opened.desk.clock.now()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("fast", 900.0, "fast"), ("crosses_per_day", 15.0, "Nothing is loosened")],
)
async def test_what_the_core_refuses_is_the_end_of_a_study_that_says_why(
    tmp_path: Path, name: str, value: float, reason: str
) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.studied(replace(GREEN, values=((name, value),)))
        assert opened.desk.tuning().changes == ()
    assert study.stage is StudyStage.NOTHING
    assert study.verdict.startswith(f"It earned more. But: {reason}")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TookTooLong("a worker took longer than 3600 s"), TOO_LONG),
        (Unreachable("The Dask scheduler is gone."), "The Dask scheduler is gone."),
        (BadInput("candles", "9 days", "at least 20 days"), "candles: '9 days' is not valid."),
        (Broken("fn failed in a worker"), OUR_FAULT),
        (ZeroDivisionError(), OUR_FAULT),
    ],
)
async def test_a_study_that_fails_says_why_and_the_next_one_runs(
    tmp_path: Path, error: Exception, reason: str
) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.studied(error)
        assert study.stage is StudyStage.FAILED
        assert study.verdict.startswith(reason)
        assert (await opened.studied(NOTHING)).stage is StudyStage.NOTHING


async def test_what_the_desk_asked_for_is_kept_and_not_told_by_itself(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        opened.worker.results.put_nowait(NOTHING)
        begun = await opened.tunings.start(BOT, DESK)
        study = await opened.ended(begun.number)
        assert await opened.desk.store.one(TuningStudy, study.books, study.number) == study
        assert await opened.texts() == []


# -- what a worker is given ------------------------------------------------------------------


async def test_a_worker_searches_no_further_than_today_allows(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        await opened.studied(NOTHING)
        known = opened.desk.tuning().scopes[BOT].parameters
    [job] = opened.worker.begun
    assert set(job.limits) == {"fast", "slow", "crosses_per_day"}
    for name, limits in job.limits.items():
        assert limits == (known[name].lowest, known[name].highest)
    assert (job.trials, job.folds, job.seed) == (SECTION.trials, SECTION.folds, 1)


async def test_what_rests_is_not_searched_and_what_was_tuned_is_in_force(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        await opened.studied(GREEN)
        await opened.studied(NOTHING)
    job = opened.worker.begun[1]
    assert set(job.limits) == {"fast", "slow"}
    assert job.setup.values == {"crosses_per_day": 9.0}
    assert job.setup.source is Candles.MARKET
    assert job.setup.stop == opened.desk.view().market_time


async def test_on_live_prices_candles_are_those_that_bybit_has(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        market = opened.desk.market
        live = subject(opened.desk, tmp_path, SECTION)
        health = FeedHealth(True, T0, 0, T0, 0, 0, True, (), 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(market, "health", lambda: health)
            setup = live.setup(live.bot(BOT))
            place = await live.place(setup)
    assert (setup.source, place.recorded) == (Candles.BYBIT, None)
    assert setup.stop - setup.start == SECTION.days * DAY_MS


async def test_progress_is_told_as_it_comes(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        study = await opened.tunings.start(BOT, TOM)
        await opened.begun(1)
        opened.worker.tell(StudyStage.SEARCHING, 12, 120)
        assert [each.done for each in opened.tunings.open()] == [12]
        opened.worker.results.put_nowait(NOTHING)
        await opened.ended(study.number)
    stages = [each.stage for each in opened.told]
    assert stages == [StudyStage.LOADING, StudyStage.SEARCHING, StudyStage.NOTHING]


# -- the queue -------------------------------------------------------------------------------


async def test_one_runs_at_a_time_and_a_bot_has_one_at_most(tmp_path: Path) -> None:
    async with hall(tmp_path, bot_ids=("one", "two")) as opened:
        first = await opened.tunings.start("one", TOM)
        await opened.tunings.start("two", TOM)
        with pytest.raises(Refused, match="Study 1 of one has not ended yet"):
            await opened.tunings.start("one", TOM)
        await opened.begun(1)
        await turn()
        assert len(opened.worker.begun) == 1
        opened.worker.results.put_nowait(NOTHING)
        await opened.ended(first.number)
        await opened.begun(2)
        assert [each.bot_id for each in opened.tunings.open()] == ["two"]


async def test_too_many_are_refused(tmp_path: Path) -> None:
    bot_ids = [f"bot_{number}" for number in range(OPEN_MAX + 1)]
    async with hall(tmp_path, bot_ids=bot_ids) as opened:
        for bot_id in bot_ids[:-1]:
            await opened.tunings.start(bot_id, TOM)
        with pytest.raises(Refused, match="Too many studies wait already"):
            await opened.tunings.start(bot_ids[-1], TOM)


async def test_two_who_ask_at_once_get_two_numbers_or_one_study(tmp_path: Path) -> None:
    async with hall(tmp_path, bot_ids=("one", "two")) as opened:
        asked = [opened.tunings.start(bot_id, TOM) for bot_id in ("one", "two", "one")]
        found = await asyncio.gather(*asked, return_exceptions=True)
    numbers = [each.number for each in found if isinstance(each, TuningStudy)]
    assert numbers == [1, 2]
    assert isinstance(found[2], Refused)


@pytest.mark.parametrize("wanted", [PauseBot(BOT), StopTuning("a look at it first")])
async def test_nothing_is_studied_of_a_paused_bot_or_while_tuning_is_stopped(
    tmp_path: Path, wanted: PauseBot | StopTuning
) -> None:
    async with hall(tmp_path) as opened:
        assert isinstance(await opened.desk.ask(wanted, OPERATING), Done)
        with pytest.raises(Refused, match="is paused|Tuning is stopped: .*a look at it first"):
            await opened.tunings.start(BOT, TOM)


async def test_who_is_bound_to_another_bot_has_no_study_begun(tmp_path: Path) -> None:
    bound = person("tim", Role.TRADER, scopes="bot:another_001")
    async with hall(tmp_path) as opened:
        await opened.desk.runtime.know([bound], [account("tim")])
        with pytest.raises(Refused, match="You may act only on another_001"):
            await opened.tunings.start(BOT, asking(bound))
        assert opened.tunings.open() == []


async def test_an_unknown_bot_is_named_with_those_there_are(tmp_path: Path) -> None:
    async with hall(tmp_path) as opened:
        with pytest.raises(BadInput, match=f"bot: 'nobody' is not valid. Allowed: {BOT}"):
            await opened.tunings.start("nobody", TOM)


async def test_what_is_canceled_ends_with_its_work_and_the_next_one_runs(tmp_path: Path) -> None:
    async with hall(tmp_path, bot_ids=("one", "two", "three")) as opened:
        for bot_id in ("one", "two", "three"):
            await opened.tunings.start(bot_id, TOM)
        await opened.begun(1)
        opened.tunings.cancel(1)
        opened.tunings.cancel(2)
        await opened.begun(2)
        opened.worker.results.put_nowait(NOTHING)
        stages = [(await opened.ended(number)).stage for number in (1, 2, 3)]
        with pytest.raises(Refused, match="Study 1 neither waits nor runs"):
            opened.tunings.cancel(1)
        stored = await opened.desk.store.recent(TuningStudy)
    assert stages == [StudyStage.CANCELED, StudyStage.CANCELED, StudyStage.NOTHING]
    assert len(opened.worker.begun) == 2
    assert [each.number for each in stored] == [1, 2, 3]


# -- restarts --------------------------------------------------------------------------------


async def test_numbers_go_on_after_a_restart(tmp_path: Path) -> None:
    store = MemoryStore()
    async with hall(tmp_path, store) as opened:
        await opened.studied(NOTHING)
    async with hall(tmp_path, store) as again:
        assert (await again.studied(NOTHING)).number == 2
        assert (await again.tunings.study(1)).stage is StudyStage.NOTHING
        with pytest.raises(Refused, match="There is no study 3"):
            await again.tunings.study(3)


async def test_what_a_desk_did_not_end_is_lost_and_says_so(tmp_path: Path) -> None:
    store = MemoryStore()
    async with hall(tmp_path, store, ("one", "two")) as opened:
        await opened.tunings.start("one", TOM)
        await opened.tunings.start("two", TOM)
        await opened.begun(1)
    async with hall(tmp_path, store, ("one", "two")) as again:
        fresh = await again.tunings.start("one", TOM)
        again.worker.results.put_nowait(NOTHING)
        await again.ended(fresh.number)
        lost = [await again.tunings.study(number) for number in (1, 2)]
        assert [each for each in again.told if each.number < 3] == lost
    assert [(each.stage, each.verdict) for each in lost] == [(StudyStage.FAILED, LOST)] * 2
    assert fresh.number == 3


@pytest.mark.parametrize("result", [GREEN, YELLOW])
async def test_a_study_that_had_proposed_before_the_crash_is_not_called_lost(
    tmp_path: Path, result: Found
) -> None:
    store = MemoryStore()
    async with hall(tmp_path, store) as opened:
        study = await opened.tunings.start(BOT, TOM)
        await opened.begun(1)
        # The same that the study does last, without the end that a crash took.
        proof = replace(evidence(), study=study.number)
        change = SetParameters(BOT, result.values, "It earned more.", Source.TUNER, proof)
        await opened.desk.ask(change, DESK)
    async with hall(tmp_path, store) as again:
        await again.studied(NOTHING)
        found = await again.tunings.study(study.number)
    assert (found.stage, found.verdict) == (StudyStage.PROPOSED, PROPOSED_BEFORE)


# -- for real --------------------------------------------------------------------------------

# A fall every two days, which the short seller takes.
MONTH = ((620, 5.0), *((40, -60.0), (60, 70.0), (188, 2.0), (60, -60.0), (60, 65.0)) * 19)
QUICK = TuningSection(days=30, trials=6, folds=2, workers=1)
OWN = Path(__file__).parents[2] / "docs" / "examples" / "dip.py"


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await SystemClock().sleep(0.01)


def started_by(pid: int) -> list[int]:
    """The processes that a process has started and that have not ended."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in map(int, found) if is_alive(each)]


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.timeout(300)
async def test_a_study_runs_in_a_worker_of_its_own_and_comes_to_a_verdict(tmp_path: Path) -> None:
    workers = Workers(SystemClock(), limit_s=LIMIT_S)
    async with hall(tmp_path, workers=workers, legs=MONTH, section=QUICK) as opened:
        study = await opened.tunings.start(BOT, TOM)
        ended = await opened.ended(study.number)
    await workers.close()
    assert ended.stage in (StudyStage.PROPOSED, StudyStage.NOTHING), ended.verdict
    assert ended.evidence is not None
    assert ended.evidence.end <= opened.desk.view().market_time
    assert StudyStage.SEARCHING in [each.stage for each in opened.told]


@pytest.mark.timeout(300)
async def test_canceling_ends_the_search_with_all_its_processes(tmp_path: Path) -> None:
    workers = Workers(SystemClock(), limit_s=LIMIT_S)
    section = QUICK.model_copy(update={"trials": 5_000})
    async with hall(tmp_path, workers=workers, legs=MONTH, section=section) as opened:
        study = await opened.tunings.start(BOT, TOM)
        await until(lambda: opened.tunings.open()[0].done)
        assert workers.pid is not None
        searching = [workers.pid, *started_by(workers.pid)]
        assert len(searching) > 1
        opened.tunings.cancel(study.number)
        assert (await opened.ended(study.number)).stage is StudyStage.CANCELED
        await until(lambda: not any(map(is_alive, searching)))


async def test_a_strategy_of_ones_own_is_studied_in_the_process_that_loaded_its_file(
    tmp_path: Path,
) -> None:
    shutil.copy(OWN, tmp_path)
    market = ScriptedMarket({BTC: course(100_000.0, MONTH)})
    setup = Setup("dip", (BTC,), HOUR_MS, BAR, T0, T0 + 23 * DAY_MS, Candles.MARKET)
    place = Place(tmp_path, "", SystemClock(), await recorded_of(market, setup, SystemClock()))
    limits = {"length": (10, 60)}
    job = Job(setup, limits, trials=4, folds=2, workers=2, source=tmp_path / OWN.name)
    stages: list[StudyStage] = []
    found = run_study(lambda stage, done, total: stages.append(stage), job, place)
    assert found.verdict
    assert stages[0] is StudyStage.LOADING
