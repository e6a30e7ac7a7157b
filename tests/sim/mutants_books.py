"""Planted bugs in what is stored, in what is known after a crash, and in what shuts entries."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pytest import MonkeyPatch

from engine import booking, reconcile, trading
from engine.core import Core
from engine.effect import Audit, Effect, Submit
from engine.errors import Unreachable
from engine.event import ExchangeLink
from engine.exchange import venue
from engine.exchange.protecting import Guards
from engine.memory import Memory
from engine.ports import Commit, StateRow
from engine.runtime import Runtime
from engine.store import memory as stored
from tests.sim.planting import nothing, planted

# -- the database, and several desks ---------------------------------------------------------


@planted
def fencing_ignored(patch: MonkeyPatch) -> None:
    """A desk whose epoch is over may still store."""
    patch.setattr(stored, "repeats", lambda *arguments: False)


@planted
def epoch_kept(patch: MonkeyPatch) -> None:
    """A lock that times out, with nothing that tells its holders apart."""

    async def take_epoch(self: stored.MemoryStore, holder: str) -> int:
        self._epoch, self._number = 1, 0
        return 1

    patch.setattr(stored.MemoryStore, "take_epoch", take_epoch)


def _in_two_parts(patch: MonkeyPatch, split: Callable[[Commit], tuple[Commit, Commit]]) -> None:
    """Store what belongs together in two transactions."""
    persist = Runtime._persist

    async def persisted(self: Runtime, batch: Commit) -> None:
        for part in split(batch):
            await persist(self, part)

    patch.setattr(Runtime, "_persist", persisted)


@planted
def audit_apart(patch: MonkeyPatch) -> None:
    """The audit is written after what it tells of is stored."""
    _in_two_parts(
        patch,
        lambda batch: (
            replace(batch, audit=(), audit_head=None),
            Commit(batch.epoch, audit=batch.audit, audit_head=batch.audit_head),
        ),
    )


@planted
def cursor_before_commit(patch: MonkeyPatch) -> None:
    """Where the books stand is stored before what they are made of."""
    _in_two_parts(
        patch,
        lambda batch: (Commit(batch.epoch, states=batch.states), replace(batch, states=())),
    )


@planted
def failed_commit_dropped(patch: MonkeyPatch) -> None:
    """What the database did not take is not offered again (freqtrade #7184)."""

    async def persist(self: Runtime, batch: Commit) -> None:
        try:
            await self._store.commit(batch)
        except Unreachable:
            return

    patch.setattr(Runtime, "_persist", persist)


@planted
def order_not_audited(patch: MonkeyPatch) -> None:
    """Orders leave no trace in the audit."""
    intend = booking.intend

    def intended(memory: Memory, approved: Any) -> list[Any]:
        return [each for each in intend(memory, approved) if not isinstance(each, Audit)]

    patch.setattr(booking, "intend", intended)


# -- after a crash ---------------------------------------------------------------------------


def _forgets(patch: MonkeyPatch, **lost: Callable[[], object]) -> None:
    """Have a desk that begins again not know something of its accounts."""
    restore = Memory.restore

    def restored(self: Memory, states: dict[str, StateRow], *more: Any) -> None:
        restore(self, states, *more)
        for state in self.accounts.values():
            for name, empty in lost.items():
                setattr(state, name, empty())

    patch.setattr(Memory, "restore", restored)


@planted
def positions_forgotten(patch: MonkeyPatch) -> None:
    """What is held is known to the process only."""
    _forgets(patch, positions=dict)


@planted
def open_orders_forgotten(patch: MonkeyPatch) -> None:
    """What is on its way is known to the process only."""
    _forgets(patch, orders=dict)


@planted
def levels_forgotten(patch: MonkeyPatch) -> None:
    """Where stops have to stand is known to the process only."""
    _forgets(patch, entries=dict)


@planted
def quarantine_forgotten(patch: MonkeyPatch) -> None:
    """That a person has to look is known to the process only."""
    _forgets(patch, quarantined=dict)


@planted
def executions_forgotten(patch: MonkeyPatch) -> None:
    """Which executions are booked is known to the process only."""
    restore = Memory.restore

    def restored(self: Memory, states: dict[str, StateRow], *more: Any) -> None:
        restore(self, states, ())

    patch.setattr(Memory, "restore", restored)


@planted
def begun_is_not_finished(patch: MonkeyPatch) -> None:
    """Nobody asks what became of the orders of a process that died."""
    patch.setattr(Core, "unfinished", lambda self: [])


@planted
def begun_is_sent_again(patch: MonkeyPatch) -> None:
    """The orders of a process that died, which may have arrived, are sent again."""
    patch.setattr(Core, "unfinished", lambda self: list(map(Submit, self._memory.unfinished())))


# -- what keeps entries shut, and positions safe ---------------------------------------------


@planted
def own_orders_overlooked(patch: MonkeyPatch) -> None:
    """A position is entered again while the first entry is on its way, though nothing is heard."""
    patch.setattr(Memory, "order_open", lambda self, slot: False)
    linked = reconcile.linked

    def heard(memory: Memory, event: ExchangeLink) -> list[Effect]:
        down = event.down if "clock" in event.down else ""
        return linked(memory, replace(event, down=down))

    patch.setattr(reconcile, "linked", heard)


@planted
def strangers_overlooked(patch: MonkeyPatch) -> None:
    """The desk goes on trading where somebody trades by hand (freqtrade #8666)."""
    patch.setattr(booking, "_stand_still", lambda memory, fill, what: [])


@planted
def skew_overlooked(patch: MonkeyPatch) -> None:
    """Nobody minds that the clock is wrong."""
    patch.setattr(venue.Venue, "_judge_clock", nothing)


@planted
def lost_stop_overlooked(patch: MonkeyPatch) -> None:
    """A stop that was set once is believed to stand."""
    patch.setattr(Guards, "_missing", nothing)
    patch.setattr(reconcile, "_stops", lambda state, there: iter(()))


@planted
def differences_overlooked(patch: MonkeyPatch) -> None:
    """Books and exchange are compared, and nothing comes of it."""
    patch.setattr(reconcile, "differences", lambda *arguments: iter(()))


@planted
def late_candles_traded(patch: MonkeyPatch) -> None:
    """What closed while nobody was there is traded as if it were new, by what was known then."""
    patch.setattr(reconcile, "began", nothing)
    decide: Any = trading._decide_entry

    def decided(*arguments: Any) -> Any:
        *known, _ = arguments
        return decide(*known, False)

    patch.setattr(trading, "_decide_entry", decided)
