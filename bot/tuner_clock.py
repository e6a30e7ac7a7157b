"""What the tuner does by itself: it looks for better parameters at times of the day, and holds
live trades against backtests at night.

A time that was missed while the desk was away is made up for once, however many there were.
"""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pydantic import TypeAdapter

from bot.kept import Kept
from bot.tuner_round import TunerRound
from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.desk import Desk

FILE_NAME = "clock.json"
# How often is looked whether something is due.
LOOK_S = 5.0
# Later than this is late: what was missed is done once the candles missed with it are taken, for
# which a desk may take so long after its start.
LATE_MS = 2 * MINUTE_MS
PATIENCE_MS = 10 * MINUTE_MS

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Duty:
    """Something that is due at times of the UTC day."""

    name: str
    times: tuple[str, ...]
    do: Callable[[], Coroutine[Any, Any, None]]


class TunerClock:
    """Does each duty when it is due, one after the other."""

    def __init__(self, desk: Desk, duties: Sequence[Duty], folder: Path) -> None:
        """When each was done last is kept in `folder`."""
        self._desk = desk
        self._duties = duties
        self._kept = Kept(folder / FILE_NAME, TypeAdapter(dict[str, int]))
        self._done = self._kept.read() or {}

    async def run(self) -> None:
        """Look for what is due until canceled."""
        while True:
            for duty in self._duties:
                await self.look(duty)
            await self._desk.clock.sleep(LOOK_S)

    async def look(self, duty: Duty) -> None:
        """Do a duty whose time has come since it was done last."""
        now = self._desk.clock.now()
        if duty.name not in self._done:
            self._note(duty, now)
        due = last_due(duty.times, now)
        if due <= self._done[duty.name] or self._must_wait(due, now):
            return
        # Before it is done: what fails once does not fail again and again.
        self._note(duty, due)
        log.info("a duty of the tuner is due", duty=duty.name)
        try:
            await duty.do()
        except Exception:
            # What failed is one round, and that is no reason to stop trading.
            log.exception("a duty of the tuner failed", duty=duty.name)

    def _note(self, duty: Duty, ts: int) -> None:
        self._done[duty.name] = ts
        self._kept.write(self._done)

    def _must_wait(self, due: int, now: int) -> bool:
        patient = now - self._desk.started_at < PATIENCE_MS
        return now - due > LATE_MS and patient and not self._desk.market.caught_up


def duties(turn: TunerRound) -> tuple[Duty, ...]:
    """What is due by the section [tuning]; nothing where it is off."""
    section = turn.section
    if not section.on:
        return ()
    return (
        Duty("compare", (section.compare_at,), turn.compare),
        Duty("tune", section.at, turn.tune),
    )


def last_due(times: Sequence[str], now: int) -> int:
    """The newest moment (UTC ms) up to `now` that is one of the times of day; 0 of none."""
    midnight = now - now % DAY_MS
    found = [midnight + _of_day(text) for text in times]
    return max((each if each <= now else each - DAY_MS for each in found), default=0)


def _of_day(text: str) -> int:
    """How long after midnight (ms) a time such as `02:00` is."""
    hours, minutes = text.split(":")
    return int(hours) * HOUR_MS + int(minutes) * MINUTE_MS
