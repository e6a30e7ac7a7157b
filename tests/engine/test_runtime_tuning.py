"""Parameters that are changed at work, through the loop and past a kill."""

import pytest

from engine.candle import Candle
from engine.effect import Done, Proposed, Result
from engine.instruction import Decide, SetParameters
from engine.people import human
from engine.proposal import Way, digest
from engine.slot import Slot
from engine.tuning import Band, ChangeKind, Fate, ParameterChange, Source
from tests.askers import OPERATING
from tests.engine.conftest import BOT, BTC, LEAVE_NOW, NO_EXITS, SELL_NOW, bar, bot, closed, puppet
from tests.engine.test_runtime import Killed, ListMarket, Process, World

# One trade that loses at all is more than was expected.
TIGHT = Band(lows=(0.0, 0.0), highs=(1.0, 1.0), drawdown=1.0)
WANTED = SetParameters(BOT, (("confidence_min", 0.1),), "to try it", expected=TIGHT)


def losing(count: int = 40) -> World:
    """A market in which a bot sells at the twentieth bar and buys back dearer."""
    wishes = {20: SELL_NOW, 25: LEAVE_NOW}
    candles = [
        closed(bar(index, 60_000 + 100 * (index > 22), volume=wishes.get(index, 1_000_000.0)), BTC)
        for index in range(count)
    ]
    return World(candles, bots=lambda: [bot(puppet(NO_EXITS))])


async def tuned(world: World) -> None:
    """Have the parameter changed in a process that sees the market's first bars."""
    everything, world.candles = world.candles, world.candles[:10]
    process = await world.process().start()

    async def wish() -> Result:
        await process.runtime.until_caught_up()
        return await process.runtime.ask(WANTED, OPERATING)

    [result] = await process.run(wish())
    assert isinstance(result, Done), result
    world.candles = everything


async def changes(world: World) -> list[ParameterChange]:
    """Each change as it was stored last."""
    stored = await world.store.recent(ParameterChange)
    return list({each.change_id: each for each in stored}.values())


def confidence(process: Process) -> float:
    return process.core._memory.bots[BOT].strategy.pipeline.confidence_min


async def test_the_desk_takes_a_failed_change_back_by_an_instruction_of_its_own():
    world = losing()
    await tuned(world)
    process = await world.process().start()
    assert confidence(process) == 0.1

    await process.run()

    assert confidence(process) == 0.0
    first, back = await changes(world)
    assert (first.fate, first.trades) == (Fate.FAILED, 1)
    assert (back.kind, back.source, back.undoes) == (ChangeKind.UNDO, Source.WATCH, 1)
    told = [row for commit in world.store.commits for row in commit.journal]
    assert any(row.kind == "Instructed" and '"source":"watch"' in row.body for row in told)


async def known_before(
    market: ListMarket, symbol: str, interval: int, until: int, limit: int
) -> list[Candle]:
    return [each.candle for each in market._all if each.closed_at <= until][-limit:]


async def test_another_kernel_is_warm_before_the_next_bar(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ListMarket, "history", known_before)
    process = await losing(10).process().start()

    async def wish() -> Slot:
        await process.runtime.until_caught_up()
        asked = await process.runtime.ask(SetParameters(BOT, (("warm_up", 6.0),)), OPERATING)
        assert isinstance(asked, Proposed), asked
        number, bound = asked.proposal.proposal_id, digest(asked.proposal)
        said = Decide(human(OPERATING), number, True, Way.BUTTON, digest=bound)
        assert isinstance(await process.runtime.ask(said, OPERATING), Done)
        return process.core._memory.slot(BOT, BTC)

    [slot] = await process.run(wish())
    assert (slot.params.warm_up, slot.bars, slot.is_warm) == (6.0, 7, True)


async def test_killed_before_the_desk_gave_it_the_instruction_is_given_once():
    world = losing()
    await tuned(world)

    def kill(batch):
        if any(isinstance(f, ParameterChange) and f.fate is Fate.FAILED for f in batch.facts):
            world.store.after_commit = lambda later: None
            raise Killed

    world.store.after_commit = kill
    process = await world.process().start()
    with pytest.raises(Killed):
        await process.run_until_stopped()
    assert len(await changes(world)) == 1

    for _ in range(2):
        process = await world.process().start()
        await process.run()

    assert confidence(process) == 0.0
    assert [each.kind for each in await changes(world)] == [ChangeKind.SET, ChangeKind.UNDO]
