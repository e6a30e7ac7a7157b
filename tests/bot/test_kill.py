"""The emergency stop of a desk: latched first, carried out, told, and recorded when that can be."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from bot.kill import AGAIN, AT_WORK, RECORD_AGAIN_S, KillSwitch
from bot.latch import LatchFile
from engine.effect import Done, NotDone, Result
from engine.errors import Refused, Unreachable
from engine.event import KillTold
from engine.instruction import Instruction, KillDesk
from engine.killing import Latch, Scope
from engine.people import DESK, Asker, Role
from tests.askers import OPERATING, asking, person
from tests.clock import FakeClock, turn
from tests.switches import FakeVenue

D = Decimal
BTC = "BTCUSDT"
ann, tom = asking(person("ann", Role.ADMIN)), asking(person("tom", Role.TRADER))


@dataclass
class Books:
    """Where it is recorded: `refuses` so many times, and knows nobody of `unknown`."""

    stopping: bool = False
    refuses: int = 0
    unknown: tuple[Asker, ...] = ()
    asked: list[tuple[Instruction, Asker]] = field(default_factory=list)
    told: list[KillTold] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def ask(self, instruction: Instruction, asker: Asker) -> Result:
        await self.open.wait()
        if self.refuses:
            self.refuses -= 1
            raise Refused("busy")
        self.asked.append((instruction, asker))
        return NotDone("no role") if asker in self.unknown else Done("noted")

    def note_kill(self, told: KillTold) -> None:
        self.told.append(told)


@dataclass
class Scene:
    """A switch over one exchange account, and what it told."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    books: Books = field(default_factory=Books)
    late_s: float = 0.0
    texts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.file = LatchFile(self.folder)
        self.venue = FakeVenue(self.clock, positions={BTC: D(1)}, orders=2)
        self.switch = self.opened()

    def opened(self, redo: bool = False) -> KillSwitch:
        """Another process's switch."""
        switch = KillSwitch(self.file, self.clock, self.late_s, redo)
        switch.listen(self.texts.append)
        return switch

    @asynccontextmanager
    async def running(self, switch: KillSwitch | None = None) -> AsyncIterator[None]:
        async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
            running = tasks.create_task((switch or self.switch).run(self.venue, self.books))
            yield
            running.cancel()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(30):
            while not holds():
                await turn()

    @property
    def is_flat(self) -> bool:
        return not (self.venue.positions or self.venue.orders)

    @property
    def recorded(self) -> list[tuple[str, str]]:
        return [
            (each.scope, asker.called)
            for each, asker in self.books.asked
            if isinstance(each, KillDesk)
        ]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


# -- pulling -----------------------------------------------------------------------------


async def test_pulling_stops_entries_before_anything_else_runs(scene: Scene) -> None:
    said = scene.switch.pull(Scope.FLATTEN, tom)
    assert said.startswith("Entries are stopped. All orders are being withdrawn")
    assert "by tom" in scene.switch.why()
    assert scene.file.read() == Latch(Scope.FLATTEN, "tom", scene.clock.now())
    assert scene.venue.asked == []


@pytest.mark.parametrize(
    ("scope", "positions", "orders"),
    [(Scope.STOP, 1, 2), (Scope.CANCEL, 1, 0), (Scope.FLATTEN, 0, 0)],
)
async def test_each_scope_does_what_it_says(
    scene: Scene, scope: Scope, positions: int, orders: int
) -> None:
    async with scene.running():
        scene.switch.pull(scope, tom)
        await scene.switch.finish()
        await scene.until(lambda: scene.recorded)
    assert (len(scene.venue.positions), scene.venue.orders) == (positions, orders)
    assert scene.recorded == [(scope, "tom")]


async def test_each_step_is_heard_and_what_matters_is_recorded(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.until(lambda: any(told.over for told in scene.books.told))
    assert scene.texts[:2] == ["Withdrawing all open orders.", "BTCUSDT: closing 1 long."]
    assert scene.texts[2].startswith("Flat: ")
    flat, over = scene.books.told
    assert (flat.text, flat.over) == (scene.texts[2], False)
    assert "the desk is flat" in over.text
    assert "/resume" in over.text


async def test_it_acts_while_nothing_can_be_recorded(scene: Scene) -> None:
    scene.books.open.clear()
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.switch.finish()
        assert scene.is_flat
        assert (scene.books.asked, scene.books.told) == ([], [])
        scene.books.open.set()
        await scene.until(lambda: len(scene.books.told) == 2)
    assert scene.recorded == [("flatten", "tom")]


async def test_a_desk_too_busy_to_record_it_is_asked_again(scene: Scene) -> None:
    scene.books.refuses = 3
    async with scene.running():
        scene.switch.pull(Scope.STOP, tom)
        await scene.until(lambda: scene.recorded)
    assert scene.recorded == [("stop", "tom")]
    assert scene.clock.slept >= 3 * RECORD_AGAIN_S


async def test_who_lost_their_role_meanwhile_is_recorded_all_the_same(scene: Scene) -> None:
    scene.books.unknown = (tom,)
    async with scene.running():
        scene.switch.pull(Scope.STOP, tom)
        await scene.until(lambda: len(scene.recorded) == 2)
    assert scene.books.asked[-1] == (KillDesk("stop", "tom"), DESK)


async def test_pulling_twice_does_it_twice_and_harms_nobody(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        scene.switch.pull(Scope.FLATTEN, ann)
        await scene.switch.finish()
        scene.switch.pull(Scope.FLATTEN, ann)
        await scene.switch.finish()
        await scene.until(lambda: len(scene.recorded) == 3)
    assert scene.is_flat
    assert scene.venue.calls.count("close BTCUSDT 1") == 1


async def test_a_scope_widens_while_it_is_carried_out(scene: Scene) -> None:
    scene.venue.faults = iter([Unreachable("down")] * 40)
    async with scene.running():
        scene.switch.pull(Scope.CANCEL, tom)
        await scene.until(lambda: len(scene.venue.asked) > 20)
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.switch.finish()
    assert scene.is_flat


async def test_a_narrower_pull_does_not_narrow_what_is_not_done(scene: Scene) -> None:
    scene.venue.faults = iter([Unreachable("down")] * 40)
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.until(lambda: scene.venue.asked)
        scene.switch.pull(Scope.STOP, ann)
        latch = scene.switch.latch
        assert latch is not None
        assert (latch.scope, latch.by) == (Scope.FLATTEN, "ann")
        await scene.switch.finish()
    assert scene.is_flat


async def test_a_narrower_pull_after_it_was_done_touches_no_position(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.switch.finish()
        # Somebody opened it by hand, in the exchange's own app.
        scene.venue.positions[BTC] = D(5)
        scene.switch.pull(Scope.STOP, tom)
        scene.switch.pull(Scope.CANCEL, tom)
        await scene.switch.finish()
    assert scene.venue.positions == {BTC: D(5)}


async def test_the_chats_that_pulled_it_are_known_until_it_is_lifted(scene: Scene) -> None:
    scene.switch.pull(Scope.STOP, tom)
    scene.switch.pull(Scope.STOP, OPERATING)
    assert set(scene.switch.asked_in) == {tom.address}
    async with scene.running():
        await scene.until(lambda: len(scene.recorded) == 2)
        assert scene.switch.lift() == ""
    assert not scene.switch.asked_in


# -- the file ----------------------------------------------------------------------------


async def test_a_file_made_by_hand_stops_entries_at_once_and_is_taken_up(scene: Scene) -> None:
    async with scene.running():
        scene.file.path.touch()
        assert "by hand" in scene.switch.why()
        await scene.until(lambda: scene.recorded)
    assert scene.books.asked[0] == (KillDesk("stop", "hand"), DESK)
    assert scene.venue.asked == []
    found = scene.file.read()
    assert found is not None
    assert found.by == "hand"


async def test_a_latch_that_another_process_sets_is_carried_out_within_seconds(
    scene: Scene,
) -> None:
    async with scene.running():
        await scene.until(lambda: scene.clock.slept > 3)
        before = scene.clock.slept
        scene.file.write(Latch(Scope.FLATTEN, "root at the command line", scene.clock.now()))
        await scene.until(lambda: scene.is_flat)
        assert scene.clock.slept - before < 3
        await scene.until(lambda: scene.recorded)
    assert scene.books.asked[0] == (KillDesk("flatten", "root at the command line"), DESK)
    assert "The latch was set by root at the command line." in scene.texts[0]


async def test_removing_the_file_changes_nothing(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.STOP, tom)
        scene.file.path.unlink()
        assert "by tom" in scene.switch.why()
        await scene.until(scene.file.read)
    assert scene.file.read() == scene.switch.latch


async def test_on_a_full_disk_the_latch_holds_in_memory_until_it_can_be_written(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(latch: Latch) -> None:
        raise OSError(28, "No space left on device")

    async with scene.running():
        with monkeypatch.context() as patched:
            patched.setattr(scene.file, "write", full)
            said = scene.switch.pull(Scope.FLATTEN, tom)
            assert "the latch can't be written (No space left on device)" in said
            assert "by tom" in scene.switch.why()
            await scene.switch.finish()
            assert scene.is_flat
            assert scene.file.read() is None
        await scene.until(scene.file.read)
    assert scene.file.read() == scene.switch.latch


async def test_that_it_is_done_is_written_as_soon_as_that_can_be(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(latch: Latch) -> None:
        raise OSError(28, "No space left on device")

    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        with monkeypatch.context() as patched:
            patched.setattr(scene.file, "write", full)
            await scene.switch.finish()
        await scene.until(lambda: scene.file.read() == scene.switch.latch)
    found = scene.file.read()
    assert found is not None
    assert found.is_done


# -- restarts ----------------------------------------------------------------------------


async def test_a_new_process_is_latched_and_says_by_whom(scene: Scene) -> None:
    scene.switch.pull(Scope.STOP, tom)
    again = scene.opened()
    assert again.latch == scene.switch.latch
    async with scene.running(again):
        await scene.until(lambda: scene.recorded)
    assert scene.books.asked == [(KillDesk("stop", "tom"), DESK)]


async def test_what_was_not_done_goes_on_in_the_next_process(scene: Scene) -> None:
    scene.switch.pull(Scope.FLATTEN, tom)
    again = scene.opened()
    async with scene.running(again):
        await again.finish()
    assert scene.is_flat


@pytest.mark.parametrize("redo", [False, True])
async def test_what_was_done_is_done_again_only_where_it_may_be_undone(
    scene: Scene, redo: bool
) -> None:
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.switch.finish()
    scene.venue.positions[BTC] = D(5)
    again = scene.opened(redo)
    async with scene.running(again):
        await again.finish()
        await scene.until(lambda: scene.recorded)
    assert scene.is_flat is redo


async def test_what_is_left_is_carried_out_before_the_desk_is_there(scene: Scene) -> None:
    scene.switch.pull(Scope.FLATTEN, tom)
    again = scene.opened()
    await again.finish_left(scene.venue, 30)
    assert scene.is_flat
    assert again.latch is not None
    assert again.latch.is_done


async def test_what_cannot_be_carried_out_before_goes_on_with_the_desk(scene: Scene) -> None:
    class Mute(FakeVenue):
        async def cancel_all(self, account: str) -> None:
            await asyncio.Event().wait()

    scene.switch.pull(Scope.FLATTEN, tom)
    again = scene.opened()
    await again.finish_left(Mute(scene.clock, positions={BTC: D(1)}), 0.01)
    async with scene.running(again):
        await again.finish()
    assert scene.is_flat


# -- lifting -----------------------------------------------------------------------------


async def test_lifting_takes_the_file_away_for_good(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.until(lambda: scene.books.told)
        await scene.switch.finish()
        assert scene.switch.lift() == ""
        assert (scene.switch.why(), scene.file.read()) == ("", None)
        slept = scene.clock.slept
        await scene.until(lambda: scene.clock.slept > slept + 5)
    assert (scene.switch.why(), scene.file.read()) == ("", None)


async def test_nothing_is_lifted_where_nothing_is_set(scene: Scene) -> None:
    assert scene.switch.lift() == ""


async def test_a_stop_at_work_is_not_lifted(scene: Scene) -> None:
    scene.venue.faults = iter([Unreachable("down")] * 100)
    async with scene.running():
        scene.switch.pull(Scope.FLATTEN, tom)
        await scene.until(lambda: scene.recorded)
        assert scene.switch.lift() == AT_WORK
        assert "by tom" in scene.switch.why()
        await scene.switch.finish()
        assert scene.switch.lift() == ""


async def test_a_pull_that_comes_after_the_resume_is_not_lifted(scene: Scene) -> None:
    scene.switch.pull(Scope.STOP, tom)
    assert scene.switch.lift() == AGAIN
    assert "by tom" in scene.switch.why()


async def test_a_pull_by_another_process_is_not_lifted_unseen(scene: Scene) -> None:
    async with scene.running():
        scene.switch.pull(Scope.STOP, tom)
        await scene.until(lambda: scene.recorded)
        latch = scene.switch.latch
        assert latch is not None
        scene.file.write(replace(latch, by="root", ts=latch.ts + 1))
        assert scene.switch.lift() == AGAIN
    assert scene.file.read() is not None


async def test_a_file_made_by_hand_is_not_lifted_unseen(scene: Scene) -> None:
    scene.file.path.touch()
    assert scene.switch.lift() == AGAIN
    assert scene.file.read() is not None


async def test_a_file_that_cannot_be_removed_keeps_entries_stopped(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck() -> None:
        raise OSError(30, "Read-only file system")

    async with scene.running():
        scene.switch.pull(Scope.STOP, tom)
        await scene.until(lambda: scene.recorded)
        monkeypatch.setattr(scene.file, "remove", stuck)
        assert scene.switch.lift() == f"{scene.file.path} can't be removed: Read-only file system"
    assert "by tom" in scene.switch.why()
