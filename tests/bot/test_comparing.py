"""Live against replay, with a real desk on a simulated market."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.clock import SystemClock
from bot.comparing import compare
from bot.workers import Workers
from engine.candle import DAY_MS
from engine.errors import BadInput, Refused
from engine.exchange.paper_state import PaperSettings
from engine.instruction import (
    ClosePosition,
    HaltDesk,
    MoveStops,
    PauseBot,
    ResumeBot,
    ResumeDesk,
    SetParameters,
)
from engine.ledger import Funding
from engine.limits import Limits
from engine.position import Trade
from engine.strategies import STRATEGIES
from engine.tuning import Comparison, DifferenceKind
from tests.traded import BOT, PAPER, Here, Tried, tried

DAYS = 10
# Of five minutes, in days; a little more, for what is rounded down.
BAR = 1.001 / 288


async def compared(desk: Tried, first: float = 6, last: float = DAYS) -> Comparison:
    begun = desk.market.anchor
    times = (begun + int(day * DAY_MS) for day in (first, last))
    return await compare(desk.subject, Here(), BOT, *times)


def kinds(found: Comparison) -> set[DifferenceKind]:
    return {each.kind for each in found.found}


def words(found: Comparison) -> str:
    return "\n".join(each.words for each in found.found)


class Altered:
    """A store that tells facts of one kind otherwise than they were stored."""

    def __init__(self, store: Any, kind: type, alter: Callable[[list[Any]], list[Any]]) -> None:
        self._store = store
        self._kind = kind
        self._alter = alter

    async def recent(self, kind: type, **filters: Any) -> list[Any]:
        found = await self._store.recent(kind, **filters)
        return self._alter(found) if kind is self._kind else found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def altered(desk: Tried, kind: type, alter: Callable[[list[Any]], list[Any]]) -> Tried:
    subject = replace(desk.subject, store=Altered(desk.store, kind, alter))
    return replace(desk, subject=subject)


# -- a desk that does what its backtest does ---------------------------------------------

FRICTIONS = {
    "as set by default": PAPER,
    "orders filled in parts": replace(PAPER, partial_fills=True),
    "late and large orders": replace(PAPER, latency_ms=30_000, impact=True),
    "wide slippage": replace(PAPER, slippage_max=0.01),
}


@pytest.mark.parametrize("paper", FRICTIONS.values(), ids=FRICTIONS)
async def test_what_the_desk_traded_is_what_the_backtest_trades(
    tmp_path: Path, paper: PaperSettings
) -> None:
    async with tried(tmp_path, paper=paper) as desk:
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.matched == found.live == found.replayed > 20
    assert found.diverges == ""
    assert kinds(found) <= {DifferenceKind.EXPLAINED}
    assert found.bars == 3 * 4 * 288
    assert found.remarks == ()


async def test_without_times_the_last_whole_day_and_what_came_since_is_compared(
    tmp_path: Path,
) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(9.75)
        found = await compare(desk.subject, Here(), BOT)
    days = [(ts - desk.market.anchor) / DAY_MS for ts in (found.start, found.end)]
    assert days == [8.0, 9.75]
    assert found.matched > 0
    assert found.diverges == ""


async def test_limits_that_stop_entries_are_named_and_no_divergence(tmp_path: Path) -> None:
    async with tried(tmp_path, limits=Limits(losses=2, losses_rest_ms=DAY_MS // 4)) as desk:
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.live < found.replayed
    assert found.diverges == ""
    assert "the gate `loss streak` refused it: " in words(found)


async def test_a_process_of_its_own_finds_the_same(tmp_path: Path) -> None:
    workers = Workers(SystemClock(), limit_s=600)
    try:
        async with tried(tmp_path) as desk:
            await desk.go_on(4)
            there = await compare(desk.subject, workers, BOT)
            assert there == await compare(desk.subject, Here(), BOT)
            assert there.matched > 0
    finally:
        await workers.close()


# -- what explains itself ----------------------------------------------------------------


async def test_a_paused_bot_is_no_divergence(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(7)
        await desk.do(PauseBot(BOT))
        await desk.go_on(8.5)
        await desk.do(ResumeBot(BOT))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert kinds(found) == {DifferenceKind.EXPLAINED}
    assert "the gate `mode and kill` refused it: the bot is paused" in words(found)
    assert found.matched > 0


async def test_a_halted_desk_is_no_divergence(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(7)
        await desk.do(HaltDesk("a look at it"))
        await desk.go_on(8.5)
        await desk.do(ResumeDesk())
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert "refused it: halted: " in words(found)


async def test_a_position_closed_by_hand_is_no_divergence_nor_what_follows(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(8.6)
        [held] = desk.runtime.view().positions
        await desk.do(ClosePosition(BOT, held.position.symbol, Decimal(1)))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert kinds(found) == {DifferenceKind.EXPLAINED}
    assert "a person closed it" in words(found)


async def test_half_a_position_closed_by_hand_is_no_divergence(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(8.6)
        [held] = desk.runtime.view().positions
        await desk.do(ClosePosition(BOT, held.position.symbol, Decimal("0.5")))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert kinds(found) <= {DifferenceKind.EXPLAINED}


async def test_a_position_whose_stop_a_person_moved_is_no_divergence(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(8.6)
        [held] = desk.runtime.view().positions
        near = (held.price * Decimal("1.0005")).quantize(Decimal("0.01"))
        await desk.do(MoveStops(BOT, held.position.symbol, stop_loss=near))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert "a person moved its levels" in words(found)


async def test_after_a_change_of_parameters_only_what_came_since_is_compared(
    tmp_path: Path,
) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(7)
        await desk.do(SetParameters(BOT, (("fast", 180.0),), "another length is tried"))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.start == desk.market.anchor + 7 * DAY_MS
    assert found.matched > 20
    assert found.diverges == ""
    # What was held as they changed was entered by the old ones.
    assert kinds(found) <= {DifferenceKind.EXPLAINED}
    [remark] = found.remarks
    assert "Parameters changed at 2025-01-08 00:00 UTC: only what came since" in remark


async def test_rules_that_changed_leave_averages_as_they_ran_on(tmp_path: Path) -> None:
    # The kernel goes on; it is not warmed up anew as it is where its averages change.
    async with tried(tmp_path, strategy="macross", market_seed=6) as desk:
        await desk.go_on(4 + 12 * BAR)
        await desk.do(SetParameters(BOT, (("stop_loss", 0.03),), "more room"))
        await desk.go_on(DAYS)
        found = await compare(desk.subject, Here(), BOT, desk.market.anchor + 4 * DAY_MS)
    assert found.matched > 5
    assert found.diverges == ""


async def test_after_a_change_of_the_settings_only_what_came_since_is_compared(
    tmp_path: Path,
) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        written = desk.market.anchor + 9 * DAY_MS + DAY_MS // 4
        found = await compare(desk.subject, Here(), BOT, written=written)
    assert found.start == written
    assert found.diverges == ""
    assert found.remarks[0].startswith("Parameters changed at 2025-01-10 06:00 UTC")


async def test_right_after_a_change_there_is_too_little_to_compare(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(7)
        await desk.do(SetParameters(BOT, (("stop_loss", 0.01),), "less room"))
        with pytest.raises(Refused, match="too little of tried_001.*since 2025-01-08 00:00 UTC"):
            await compare(desk.subject, Here(), BOT)


async def test_an_entry_that_was_decided_on_before_the_change_is_no_divergence(
    tmp_path: Path,
) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(7)
        while all(each.reduce_only for each in desk.runtime.view().open_orders):
            await desk.go_on((desk.runtime.view().market_time - desk.market.anchor) / DAY_MS + BAR)
        await desk.do(SetParameters(BOT, (("stop_loss", 0.02),), "more room"))
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert found.diverges == ""
    assert "it was decided on before, by 2025-01-08" in words(found)


async def test_a_day_before_the_desk_lived_is_left_out_and_said(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(4)
        found = await compared(desk, -2, 4)
    assert found.start > desk.market.anchor
    assert "Its books begin at" in found.remarks[0]
    assert found.matched > 0
    assert found.diverges == ""


# -- what is broken on purpose -----------------------------------------------------------


async def test_another_fee_than_is_set_diverges(tmp_path: Path) -> None:
    async with tried(tmp_path, paper=replace(PAPER, taker_fee=Decimal("0.0006"))) as desk:
        await desk.go_on(DAYS)
        set_otherwise = replace(desk, subject=replace(desk.subject, paper=PAPER))
        found = await compared(set_otherwise)
    assert kinds(found) == {DifferenceKind.FEE}
    assert (found.found[0].live, found.found[0].replayed) == ("0.0600%", "0.0550%")
    assert found.diverges == f"Fee is off in {found.matched} trades."


async def test_one_trade_that_was_lost_diverges(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        whole = await compared(desk)
        found = await compared(altered(desk, Trade, lambda trades: trades[:-3] + trades[-2:]))
    assert found.diverges == "1 entry or exit of the backtest was not traded live."
    [missing] = found.found
    assert missing.kind is DifferenceKind.MISSING
    assert missing.words == "live it was ordered, and nothing came of that"
    assert (found.live, found.matched) == (whole.live - 1, whole.matched - 1)


async def test_a_trade_that_nothing_asked_for_diverges(tmp_path: Path) -> None:
    def doubled(trades: list[Trade]) -> list[Trade]:
        alone = replace(
            trades[-1],
            trade_id=999,
            entry_time=trades[-1].entry_time - DAY_MS // 4,
            exit_time=trades[-1].entry_time - DAY_MS // 5,
        )
        return [*trades, alone]

    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        found = await compared(altered(desk, Trade, doubled))
    assert found.diverges == "1 entry or exit was traded live alone."
    assert DifferenceKind.EXTRA in kinds(found)


SHIFTS = {"the entry": "entry_price", "the way out": "exit_price"}


@pytest.mark.parametrize("name", SHIFTS.values(), ids=SHIFTS)
async def test_prices_that_are_off_diverge_from_the_second_trade_on(
    tmp_path: Path, name: str
) -> None:
    def shifted(count: int) -> Callable[[list[Trade]], list[Trade]]:
        def alter(trades: list[Trade]) -> list[Trade]:
            last = trades[-count:]
            off = [replace(t, **{name: getattr(t, name) * Decimal("1.003")}) for t in last]
            return trades[:-count] + off

        return alter

    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        once, twice = [await compared(altered(desk, Trade, shifted(n))) for n in (1, 2)]
    assert kinds(once) == kinds(twice) == {DifferenceKind.PRICE}
    assert (len(once.found), once.diverges) == (1, "")
    assert (len(twice.found), twice.diverges) == (2, "Price is off in 2 trades.")


async def test_funding_that_was_not_settled_is_found(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        found = await compared(altered(desk, Funding, lambda payments: []))
    assert kinds(found) == {DifferenceKind.FUNDING}
    assert {each.live for each in found.found} == {"nothing was settled"}
    assert found.diverges == f"Funding is off in {len(found.found)} settlements."


async def test_funding_of_another_rate_is_found(tmp_path: Path) -> None:
    def doubled(payments: list[Funding]) -> list[Funding]:
        return [replace(each, amount=2 * each.amount) for each in payments]

    async with tried(tmp_path) as desk:
        await desk.go_on(DAYS)
        found = await compared(altered(desk, Funding, doubled))
    assert kinds(found) == {DifferenceKind.FUNDING}
    assert "nothing" not in {each.live for each in found.found}


async def test_a_desk_that_trades_other_rules_than_it_says_diverges(tmp_path: Path) -> None:
    own = STRATEGIES["shortseller"].tuned({"fast": 180.0})
    async with tried(tmp_path, runs=own) as desk:
        await desk.go_on(DAYS)
        found = await compared(desk)
    assert {DifferenceKind.MISSING, DifferenceKind.EXTRA} <= kinds(found)
    assert "not traded live" in found.diverges


# -- what can't be compared --------------------------------------------------------------


async def test_a_bot_that_has_not_traded_yet_is_refused(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        with pytest.raises(Refused, match="has not traded for an hour yet"):
            await compare(desk.subject, Here(), BOT)
        await desk.go_on(3)
        with pytest.raises(Refused, match="too little of tried_001 to compare yet"):
            await compared(desk, 3, 3)


async def test_an_unknown_bot_is_named_with_those_there_are(tmp_path: Path) -> None:
    async with tried(tmp_path) as desk:
        with pytest.raises(BadInput, match=r"nobody_001.*tried_001"):
            await compare(desk.subject, Here(), "nobody_001")
