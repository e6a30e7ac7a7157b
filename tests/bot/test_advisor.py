"""The desk's advisor over a desk that trades: what its answers come to, and what they can't."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.advisor import OPEN_MAX, OPEN_OF_ONE_MAX, OUR_FAULT, REMEMBERED, Consultations
from bot.trying import trying
from engine.advice import INDICATORS, Advice, AdviceStage, Analysis, Autopsy, Briefing, Consultation
from engine.calls import Purpose
from engine.candle import HOUR_MS
from engine.effect import NoticeKind
from engine.errors import Refused, Unreachable
from engine.people import DESK, Role
from engine.position import Trade
from engine.proposal import ProposalState
from engine.tunable import Tier
from engine.tuning import Source
from llm import analyst
from llm.limits import Limits
from llm.model import Fault, ModelFailed, Usage
from tests.askers import asking, person
from tests.handlers.desks import BOT, BTC
from tests.models import KeptCalls, Played, PlayedModel, counsel, said_json
from tests.reads import read_of
from tests.tuner_hall import Hall, hall
from tests.tunings import AFTER, BEFORE, evidence

TOM = asking(person("tom", Role.TRADER))
ANN = asking(person("ann", Role.ADMIN))
BIAS_MS = 2 * HOUR_MS


class Scene:
    """A desk with a tuner whose worker does what a test says, and an advisor with a model."""

    def __init__(self, opened: Hall, model: PlayedModel | None, limits: Limits | None) -> None:
        self.desk = opened.desk
        self.worker = opened.worker
        self.model = model or PlayedModel()
        self.calls = KeptCalls()
        asked = counsel(model=model, calls=self.calls, limits=limits)
        self.advisor = Consultations(asked, BIAS_MS, trying(opened.tunings))
        self.changes: list[Consultation] = []
        self.advisor.listen(self.changes.append)

    async def ended(self, begun: Consultation) -> Consultation:
        return await self.advisor.end_of(begun.number)

    @property
    def price(self) -> float:
        return self.desk.view().prices[BTC]


@asynccontextmanager
async def scene(
    folder: Path, *answers: Played, limits: Limits | None = None, **model: Any
) -> AsyncIterator[Scene]:
    played = PlayedModel(*answers, **model) if answers or model else None
    async with hall(folder) as opened, asyncio.TaskGroup() as tasks:
        found = Scene(opened, played, limits)
        running = tasks.create_task(found.advisor.run(opened.desk))
        yield found
        running.cancel()


async def test_an_analysis_of_a_model_leaves_a_bias_until_it_ends(tmp_path: Path) -> None:
    model = PlayedModel()
    async with hall(tmp_path) as opened, asyncio.TaskGroup() as tasks:
        found = Scene(opened, model, None)
        running = tasks.create_task(found.advisor.run(opened.desk))
        model.plays(said_json({"reads": [read_of(BTC, found.price)]}))
        over = await found.ended(await found.advisor.analyze([BTC], TOM))
        [bias] = found.desk.view().biases
        now = found.desk.view().market_time
        running.cancel()
    assert isinstance(over.result, Analysis) and over.result.reads[0].by == model.name
    assert (bias.symbol, bias.score, bias.confidence) == (BTC, -0.8, 0.9)
    assert (bias.made_at, bias.until) == (now, now + BIAS_MS)
    assert bias.consultation == over.number


async def test_a_bias_is_as_old_as_what_the_model_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one analysis thinks the market goes on, and others may be asked and done."""
    asked = analyst.analyze

    async def slowly(*args: Any) -> Analysis:
        found = await asked(*args)
        return Analysis(tuple(replace(read, ts=read.ts - HOUR_MS) for read in found.reads))

    monkeypatch.setattr(analyst, "analyze", slowly)
    async with scene(tmp_path, gate=None) as found:
        found.model.plays(said_json({"reads": [read_of(BTC, found.price)]}))
        await found.ended(await found.advisor.analyze([BTC], TOM))
        [bias] = found.desk.view().biases
        assert bias.until == found.desk.view().market_time + BIAS_MS - HOUR_MS


async def test_an_analysis_for_somebody_who_only_looks_leaves_no_bias(tmp_path: Path) -> None:
    vic = asking(person("vic", Role.VIEWER))
    async with scene(tmp_path, gate=None) as found:
        found.model.plays(said_json({"reads": [read_of(BTC, found.price)]}))
        over = await found.ended(await found.advisor.analyze([BTC], vic))
        assert found.desk.view().biases == ()
    assert isinstance(over.result, Analysis) and over.result.reads[0].by != INDICATORS


async def test_what_indicators_say_leaves_no_bias(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        over = await found.ended(await found.advisor.analyze([BTC], TOM))
        assert found.desk.view().biases == ()
    assert isinstance(over.result, Analysis)
    [read] = over.result.reads
    assert read.by == INDICATORS and "GEMINI_API_KEY" in read.instead


async def test_who_asks_is_told_of_each_stage(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        await found.ended(await found.advisor.brief(False, TOM))
    assert [each.stage for each in found.changes] == [AdviceStage.THINKING, AdviceStage.DONE]
    assert isinstance(found.changes[-1].result, Briefing)


async def test_an_autopsy_is_of_the_trade_that_was_meant(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        [trade] = await found.desk.recent(Trade, lambda trade: trade.exit_time)
        over = await found.ended(await found.advisor.autopsy(trade, TOM))
    assert isinstance(over.result, Autopsy)
    assert over.result.trade == trade
    assert over.subject == f"T{trade.trade_id} of {BOT}"
    assert "greatest gain while open" in dict(over.result.measured)


# -- T17: what a model suggests waits for a person, whatever it says of itself -----------


@pytest.fixture
def enough_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few trades a bot has, a model may be sure."""
    monkeypatch.setattr("llm.suggest.TRADES_FEW", 0)
    monkeypatch.setattr("llm.suggest.TRADES_SOME", 0)


def wish(name: str, value: str) -> dict[str, Any]:
    return {
        "analysis": {"root_cause": "Late.", "key_issues": [], "data_quality": "good"},
        "suggestions": [{"parameter": name, "suggested": value, "reason": "Fewer bad entries."}],
        "confidence": 1.0,
        "risk_assessment": "low",
        "summary": "Be surer.",
        "auto_apply_safe": True,
    }


@pytest.mark.parametrize(
    ("name", "value", "tier"),
    [("crosses_per_day", "9", Tier.YELLOW), ("fast", "200", Tier.YELLOW)],
)
async def test_t17_a_suggestion_that_does_better_waits_for_a_person_whatever_its_tier(
    tmp_path: Path, enough_trades: None, name: str, value: str, tier: Tier
) -> None:
    async with scene(tmp_path, said_json(wish(name, value))) as found:
        found.worker.results.put_nowait(evidence())
        over = await found.ended(await found.advisor.suggest(BOT, TOM))
        [proposal] = found.desk.view().proposals
        assert found.desk.tuning().changes == ()
    assert isinstance(over.result, Advice)
    assert over.result.proposal == proposal.proposal_id
    assert (proposal.tier, proposal.state) == (tier, ProposalState.OPEN)
    assert Source.MODEL.value in proposal.instruction
    assert f"Analysis {over.number}" in proposal.instruction


async def test_a_suggestion_that_does_no_better_is_not_proposed(
    tmp_path: Path, enough_trades: None
) -> None:
    async with scene(tmp_path, said_json(wish("crosses_per_day", "9"))) as found:
        found.worker.results.put_nowait(evidence(before=AFTER, after=BEFORE))
        over = await found.ended(await found.advisor.suggest(BOT, TOM))
        assert found.desk.view().proposals == ()
    assert isinstance(over.result, Advice) and over.result.proposal == 0
    assert over.result.outcome.startswith("Tried and not proposed: on unseen candles 2.00% with it")


async def test_a_suggestion_that_could_not_be_tried_is_still_told(
    tmp_path: Path, enough_trades: None
) -> None:
    async with scene(tmp_path, said_json(wish("crosses_per_day", "9"))) as found:
        found.worker.results.put_nowait(Unreachable("Bybit does not answer."))
        over = await found.ended(await found.advisor.suggest(BOT, TOM))
    assert isinstance(over.result, Advice) and over.result.summary == "Be surer."
    assert over.result.outcome == "It could not be tried: Bybit does not answer."


async def test_a_number_that_a_model_made_up_is_marked_on_the_proposal(
    tmp_path: Path, enough_trades: None
) -> None:
    said = {**wish("crosses_per_day", "9"), "summary": "It wins 77.7 % more."}
    async with scene(tmp_path, said_json(said)) as found:
        found.worker.results.put_nowait(evidence())
        await found.ended(await found.advisor.suggest(BOT, TOM))
        [proposal] = found.desk.view().proposals
    assert "It wins 77.7 % [not in the data] more." in proposal.instruction


async def test_a_suggestion_after_few_trades_is_not_even_tried(tmp_path: Path) -> None:
    async with scene(tmp_path, said_json(wish("crosses_per_day", "9"))) as found:
        over = await found.ended(await found.advisor.suggest(BOT, TOM))
        assert found.worker.begun == []
    assert isinstance(over.result, Advice)
    assert "Not tried: crosses_per_day 9, for it counts as 29% sure" in over.result.outcome


# -- room, failures, money ---------------------------------------------------------------


async def test_one_person_and_all_together_may_ask_only_so_much_at_once(tmp_path: Path) -> None:
    gate = asyncio.Event()
    refused = ModelFailed(Fault.BAD_REQUEST, "It was refused.")
    async with scene(tmp_path, lambda request: refused, gate=gate) as found:
        begun_all = [await found.advisor.brief(False, TOM) for _ in range(OPEN_OF_ONE_MAX)]
        with pytest.raises(Refused, match="Your last questions"):
            await found.advisor.brief(False, TOM)
        more = range(OPEN_MAX - OPEN_OF_ONE_MAX)
        begun_all += [await found.advisor.brief(False, DESK) for _ in more]
        with pytest.raises(Refused, match="Too many questions wait"):
            await found.advisor.brief(False, ANN)
        gate.set()
        for begun in begun_all:
            assert (await found.ended(begun)).is_over
        await found.ended(await found.advisor.brief(False, ANN))


async def test_a_fault_of_ours_ends_one_answer_and_no_other(tmp_path: Path) -> None:
    def broken(request: object) -> Any:
        raise ZeroDivisionError

    async with scene(tmp_path, broken) as found:
        over = await found.ended(await found.advisor.brief(False, TOM))
        again = await found.ended(await found.advisor.brief(True, TOM))
    assert (over.stage, over.failure) == (AdviceStage.FAILED, OUR_FAULT)
    assert again.stage is AdviceStage.FAILED


async def test_a_day_that_is_dear_is_told_to_people_once(tmp_path: Path) -> None:
    dear = said_json({"briefing": "Calm."}, prompt_tokens=2_000_000)
    limits = Limits(warn_daily_usd=Decimal("0.01"))
    async with scene(tmp_path, dear, dear, limits=limits) as found:
        await found.ended(await found.advisor.brief(False, TOM))
        await found.ended(await found.advisor.brief(True, TOM))
        await found.ended(await found.advisor.brief(True, TOM))
        rows = await found.desk.store.undelivered(1_000)
    told = [row.body for row in rows if row.kind is NoticeKind.TROUBLE and "model" in row.body]
    assert len(told) == 1


async def test_old_consultations_are_forgotten_and_the_newest_known(tmp_path: Path) -> None:
    async with scene(tmp_path) as found:
        for _ in range(REMEMBERED + 2):
            last = await found.ended(await found.advisor.brief(False, DESK))
        assert found.advisor.consultation(1) is None
        assert found.advisor.consultation(last.number) == last
        with pytest.raises(Refused, match="/analysis 1 shows it"):
            await found.advisor.end_of(1)
        [row] = await found.calls.of(1)
    assert row.purpose is Purpose.BRIEFING


async def test_one_person_may_spend_half_of_a_day_and_admins_and_the_desk_the_rest(
    tmp_path: Path,
) -> None:
    limits = Limits(daily_usd=Decimal("0.10"), warn_daily_usd=Decimal(0))
    dear = ModelFailed(Fault.BLOCKED, "No.", usage=Usage(200_000, 0))
    async with scene(tmp_path, lambda request: dear, limits=limits) as found:
        await found.ended(await found.advisor.brief(False, TOM))
        assert found.advisor.spending().day == Decimal("0.06")
        for account in (TOM, replace(TOM, surface="discord")):
            with pytest.raises(Refused, match="What you asked today has cost .0.0600 of the"):
                await found.advisor.brief(False, account)
        for other in (ANN, DESK, asking(person("vic", Role.VIEWER))):
            assert (await found.ended(await found.advisor.brief(False, other))).is_over


async def test_what_nobody_pays_for_bars_nobody(tmp_path: Path) -> None:
    async with scene(tmp_path, limits=Limits(daily_usd=Decimal(0))) as found:
        for _ in range(5):
            assert (await found.ended(await found.advisor.brief(False, TOM))).is_over
