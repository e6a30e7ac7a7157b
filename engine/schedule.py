"""Schedules: commands said again and again, and when each is due by the clocks of its zone.

Pure: asks no clock. A fixed hour means a wall time, which comes once a day even where the
clocks are changed; a wildcard hour means real time, which no change of the clocks stretches.
"""

import re
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo, available_timezones

from engine.candle import DAY_MS, MINUTE_MS
from engine.errors import BadInput

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
CRON = f"minute hour day month weekday, as in 0 8 * * mon-fri, or {', '.join(ALIASES)}"
ZONE = "a time zone of the IANA database, as UTC, Europe/Berlin or America/New_York"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
LEAP_YEAR = 2024
# What is kept of what was parsed; more schedules than a desk has.
KEPT = 256


@dataclass(frozen=True, slots=True)
class Schedule:
    """A command that is said at times, and where its answers go. Times are UTC ms.

    `cron` is in the wall time of `zone`. `last_due` is the moment the last run was due, or
    `created_at` before the first.
    """

    schedule_id: int
    cron: str
    zone: str
    command: str
    surface: str
    chat_id: str
    thread_id: str
    created_by: str
    created_at: int
    last_due: int
    removed: bool = False


def check(cron: str, zone: str) -> None:
    """Raises BadInput naming the field, the value and what is allowed."""
    _parsed(cron)
    _zone(zone)


def next_due(cron: str, zone: str, after: int) -> int:
    """The first moment (UTC ms) after `after` at which `cron` is due by the clocks of `zone`.

    With a fixed hour, a wall time that is skipped is due at the first moment after the gap,
    and one that comes twice is due the first time. With a wildcard hour each moment whose wall
    time matches is due. Raises BadInput as `check` does.
    """
    parsed, clock = _parsed(cron), _zone(zone)
    return (_next_moment if parsed.every_hour else _next_wall_time)(parsed, clock, after)


def last_due_between(cron: str, zone: str, after: int, until: int) -> int | None:
    """The newest moment that was due after `after` and up to `until` (UTC ms), if any was.

    Raises BadInput as `check` does.
    """
    passed = bisect_left(
        range(after, until), True, key=lambda moment: next_due(cron, zone, moment) > until
    )
    return after + passed if passed else None


# -- by the wall clock, and by real time -------------------------------------------------


def _next_wall_time(cron: "_Cron", zone: ZoneInfo, after: int) -> int:
    """When the clocks first show, or are put past, the next wall time that matches."""
    wall = cron.next(after + _offset(zone, after))
    # After the clocks were put back they show what they have shown before.
    while (due := _reached(zone, wall)) <= after:
        wall = cron.next(wall + MINUTE_MS)
    return due


def _next_moment(cron: "_Cron", zone: ZoneInfo, after: int) -> int:
    """The next moment whose wall time matches; between two changes the clocks run evenly."""
    start = after + 1
    while True:
        offset = _offset(zone, start)
        due = cron.next(start + offset) - offset
        changed = _next_change(zone, start, due)
        if changed is None:
            return due
        start = changed


def _reached(zone: ZoneInfo, wall: int) -> int:
    """The first moment at which the clocks show `wall` or later."""
    local = (EPOCH + wall * MS).replace(tzinfo=zone)
    moment = (local - EPOCH) // MS
    if moment + _offset(zone, moment) == wall:
        return moment
    # In a gap the second reading lies before the change, the first one after it.
    return _change(zone, (local.replace(fold=1) - EPOCH) // MS, moment)


def _next_change(zone: ZoneInfo, start: int, end: int) -> int | None:
    """The first moment after `start` and up to `end` at which the clocks are changed."""
    offset = _offset(zone, start)
    for low in range(start, end, DAY_MS):
        high = min(low + DAY_MS, end)
        if _offset(zone, high) != offset:
            return _change(zone, low, high)
    return None


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """When, after `low` and not after `high`, the clocks are changed; once, within a day."""
    offset = _offset(zone, low)
    return low + bisect_left(
        range(low, high), True, key=lambda moment: _offset(zone, moment) != offset
    )


def _offset(zone: ZoneInfo, moment: int) -> int:
    """How far, in ms, the clocks are ahead of UTC."""
    offset = (EPOCH + moment * MS).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // MS


# -- reading -----------------------------------------------------------------------------


class _Trigger(Protocol):
    """APScheduler's calculator, given no zone but UTC: its own are wrong where clocks change."""

    def get_next_fire_time(self, previous: None, now: datetime) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class _Cron:
    """What matches one of `triggers` matches. `every_hour`: the hour is a wildcard."""

    triggers: tuple[_Trigger, ...]
    every_hour: bool

    def next(self, wall: int) -> int:
        """The first wall time that matches, from `wall` on; both in ms, as if of UTC."""
        start = EPOCH + wall * MS
        found = [trigger.get_next_fire_time(None, start) for trigger in self.triggers]
        return min((time - EPOCH) // MS for time in found if time is not None)


class _Field(NamedTuple):
    """One of the five; `names` are other words for its values, from `low` on."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        named = f" or {self.names[0]} to {self.names[-1]}" if self.names else ""
        return f"{self.low} to {self.high}{named}, *, lists as 1,2, ranges as 1-5, steps as */2"

    def number(self, word: str) -> int:
        number = self.low + self.names.index(word) if word in self.names else int(word)
        if not self.low <= number <= self.high:
            raise ValueError(word)
        return number


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day", 1, 31),
    _Field("month", 1, 12, MONTHS),
    _Field("weekday", 0, 7, WEEKDAYS),
)
# A star or a range, and a step.
PART = re.compile(r"(?:\*|([a-z]{3}|[0-9]{1,2})(?:-([a-z]{3}|[0-9]{1,2}))?)(?:/([0-9]{1,2}))?")


@lru_cache(KEPT)
def _parsed(text: str) -> _Cron:
    words = ALIASES.get(text.strip().lower(), text).lower().split()
    if len(words) != len(FIELDS):
        raise BadInput("cron", text, CRON)
    minute, hour, day, month, weekday = (
        _values(field, word) for field, word in zip(FIELDS, words, strict=True)
    )
    _check_day(words[2], day, month)
    # As cron has it: where both kinds of day are restricted, either is enough.
    either = not any(word.startswith("*") for word in (words[2], words[4]))
    days = [(day, None), (None, weekday)] if either else [(day, weekday)]
    triggers = (_trigger(minute, hour, month, *each) for each in days)
    return _Cron(tuple(triggers), every_hour=words[1].startswith("*"))


def _values(field: _Field, text: str) -> set[int] | None:
    """The values that match; None for a bare star, which is all of them."""
    if text == "*":
        return None
    try:
        return {value for part in text.split(",") for value in _range(field, part)}
    except ValueError:
        raise BadInput(f"cron {field.name}", text, field.allowed) from None


def _range(field: _Field, text: str) -> range:
    found = PART.fullmatch(text)
    if found is None:
        raise ValueError(text)
    first, last, step = found.groups()
    start = field.low if first is None else field.number(first)
    if last is not None:
        stop = field.number(last)
    elif first is None or step is not None:
        stop = field.high
    else:
        stop = start
    if field.name == "weekday" and stop == 0 < start:
        stop = field.high  # Sunday ends a week as well as it begins one
    if stop < start:
        raise ValueError(text)
    return range(start, stop + 1, int(step or 1))


def _check_day(text: str, days: set[int] | None, months: set[int] | None) -> None:
    """A day that none of the months has would never come."""
    longest = max(monthrange(LEAP_YEAR, month)[1] for month in months or range(1, 13))
    if min(days or {1}) > longest:
        raise BadInput("cron day", text, f"up to {longest}, the last day of that month")


def _trigger(
    minutes: set[int] | None,
    hours: set[int] | None,
    months: set[int] | None,
    days: set[int] | None,
    weekdays: set[int] | None,
) -> _Trigger:
    # A tenth of a second to import, which a desk without schedules never spends.
    from apscheduler.triggers.cron import CronTrigger  # type: ignore[import-untyped]

    from_monday = weekdays and {(day - 1) % 7 for day in weekdays}
    trigger: _Trigger = CronTrigger(
        minute=_listed(minutes),
        hour=_listed(hours),
        day=_listed(days),
        month=_listed(months),
        day_of_week=_listed(from_monday),
        timezone=UTC,
    )
    return trigger


def _listed(values: set[int] | None) -> str:
    return "*" if values is None else ",".join(map(str, sorted(values)))


@lru_cache(KEPT)
def _zone(name: str) -> ZoneInfo:
    if name not in _zones():
        raise BadInput("zone", name, ZONE)
    return ZoneInfo(name)


@cache
def _zones() -> set[str]:
    return available_timezones()
