"""When schedules are due, above all where the clocks are changed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.errors import BadInput
from engine.schedule import check, last_due_between, next_due

MINUTE = timedelta(minutes=1)


def ms(text: str) -> int:
    """A moment of UTC, as `2025-03-30 01:00`."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def words(moment: int) -> str:
    return f"{datetime.fromtimestamp(moment / 1000, UTC):%Y-%m-%d %H:%M}"


def dues(cron: str, zone: str, after: int) -> Iterator[int]:
    while True:
        after = next_due(cron, zone, after)
        yield after


def said(cron: str, zone: str, after: str, count: int) -> list[str]:
    return [words(due) for due in islice(dues(cron, zone, ms(after)), count)]


# -- what the fields mean ----------------------------------------------------------------

# All after Wednesday 2025-01-01 00:00 UTC.
FIELDS = {
    "a minute and an hour": ("30 8 * * *", "2025-01-01 08:30", "2025-01-02 08:30"),
    "every minute": ("* * * * *", "2025-01-01 00:01", "2025-01-01 00:02"),
    "steps": ("*/25 * * * *", "2025-01-01 00:25", "2025-01-01 00:50"),
    "steps from a value": ("50/5 * * * *", "2025-01-01 00:50", "2025-01-01 00:55"),
    "steps in a range": ("0 9-17/4 * * *", "2025-01-01 09:00", "2025-01-01 13:00"),
    "a list": ("0 6,18 * * *", "2025-01-01 06:00", "2025-01-01 18:00"),
    "a list of ranges": ("0 0 3-4,9 * *", "2025-01-03 00:00", "2025-01-04 00:00"),
    "the 31st": ("0 0 31 * *", "2025-01-31 00:00", "2025-03-31 00:00"),
    "a leap day": ("0 0 29 2 *", "2028-02-29 00:00", "2032-02-29 00:00"),
    "a month by name": ("0 0 1 Jul *", "2025-07-01 00:00", "2026-07-01 00:00"),
    "months by name": ("0 0 1 mar-apr *", "2025-03-01 00:00", "2025-04-01 00:00"),
    "Sunday is 0": ("0 0 * * 0", "2025-01-05 00:00", "2025-01-12 00:00"),
    "Sunday is 7": ("0 0 * * 7", "2025-01-05 00:00", "2025-01-12 00:00"),
    "Monday is 1": ("0 0 * * 1", "2025-01-06 00:00", "2025-01-13 00:00"),
    "weekdays by name": ("0 0 * * FRI-SUN", "2025-01-03 00:00", "2025-01-04 00:00"),
    "weekdays by number": ("0 0 * * 5-7", "2025-01-03 00:00", "2025-01-04 00:00"),
    "every other weekday from Sunday": ("0 0 * * */2", "2025-01-02 00:00", "2025-01-04 00:00"),
    "either of two days": ("0 0 13 * fri", "2025-01-03 00:00", "2025-01-10 00:00"),
    "a star with a step restricts both": ("0 0 */2 * fri", "2025-01-03 00:00", "2025-01-17 00:00"),
    "hourly": ("@hourly", "2025-01-01 01:00", "2025-01-01 02:00"),
    "daily": ("@daily", "2025-01-02 00:00", "2025-01-03 00:00"),
    "weekly": ("@Weekly", "2025-01-05 00:00", "2025-01-12 00:00"),
    "monthly": ("@monthly", "2025-02-01 00:00", "2025-03-01 00:00"),
}


@pytest.mark.parametrize(("cron", "first", "second"), FIELDS.values(), ids=FIELDS)
def test_a_field_means_what_cron_means_by_it(cron: str, first: str, second: str) -> None:
    assert said(cron, "UTC", "2025-01-01 00:00", 2) == [first, second]


REFUSED = {
    "too few fields": ("* * * *", "UTC", "cron"),
    "nothing": ("", "UTC", "cron"),
    "an unknown alias": ("@sometimes", "UTC", "cron"),
    "a minute too many": ("60 * * * *", "UTC", "cron minute"),
    "a number of any length": ("1" * 10_000 + " * * * *", "UTC", "cron minute"),
    "a step of nothing": ("*/0 * * * *", "UTC", "cron minute"),
    "a digit of another script": ("\u0661 * * * *", "UTC", "cron minute"),
    "an hour too many": ("0 24 * * *", "UTC", "cron hour"),
    "a range that ends before it begins": ("0 22-2 * * *", "UTC", "cron hour"),
    "an empty part of a list": ("0 1,,2 * * *", "UTC", "cron hour"),
    "a day of none": ("0 0 0 * *", "UTC", "cron day"),
    "a day that February never has": ("0 0 30 2 *", "UTC", "cron day"),
    "a day that never is, or a weekday": ("0 0 31 2 fri", "UTC", "cron day"),
    "a name where there are none": ("0 0 mon * *", "UTC", "cron day"),
    "no month": ("0 0 * 13 *", "UTC", "cron month"),
    "the name of no month": ("0 0 * foo *", "UTC", "cron month"),
    "no weekday": ("0 0 * * 8", "UTC", "cron weekday"),
    "a weekday with more behind it": ("0 0 * * mon#1", "UTC", "cron weekday"),
    "an unknown zone": ("@daily", "Europe/Atlantis", "zone"),
    "a folder of zones": ("@daily", "Europe", "zone"),
    "a file elsewhere": ("@daily", "../../etc/passwd", "zone"),
    "a zone with a control character": ("@daily", "UTC\0", "zone"),
}


@pytest.mark.parametrize(("cron", "zone", "field"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_schedule_is_refused_by_its_field(cron: str, zone: str, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        check(cron, zone)
    assert refused.value.field == field
    with pytest.raises(BadInput):
        next_due(cron, zone, 0)


@pytest.mark.parametrize("cron", [cron for cron, *_ in FIELDS.values()])
def test_what_is_a_schedule_passes(cron: str) -> None:
    check(cron, "Europe/Berlin")


# -- where the clocks are changed --------------------------------------------------------

CHANGES = {
    "a skipped time is due after the gap": (
        *("30 2 * * *", "Europe/Berlin", "2025-03-29 00:00"),
        ["2025-03-29 01:30", "2025-03-30 01:00", "2025-03-31 00:30"],
    ),
    "a time at the end of the gap is due once": (
        *("0 2,3 * * *", "Europe/Berlin", "2025-03-29 03:00"),
        ["2025-03-30 01:00", "2025-03-31 00:00", "2025-03-31 01:00"],
    ),
    "a time that comes twice is due the first time": (
        *("30 2 * * *", "Europe/Berlin", "2025-10-25 12:00"),
        ["2025-10-26 00:30", "2025-10-27 01:30"],
    ),
    "an hourly one keeps its hour in spring": (
        *("0 * * * *", "Europe/Berlin", "2025-03-29 23:30"),
        ["2025-03-30 00:00", "2025-03-30 01:00", "2025-03-30 02:00"],
    ),
    "an hourly one keeps its hour in autumn": (
        *("0 * * * *", "Europe/Berlin", "2025-10-25 23:30"),
        ["2025-10-26 00:00", "2025-10-26 01:00", "2025-10-26 02:00"],
    ),
    "a change of half an hour, in spring": (
        *("15 2 * * *", "Australia/Lord_Howe", "2025-10-04 00:00"),
        ["2025-10-04 15:30", "2025-10-05 15:15"],
    ),
    "a change of half an hour, in autumn": (
        *("45 * * * *", "Australia/Lord_Howe", "2025-04-05 14:00"),
        ["2025-04-05 14:45", "2025-04-05 15:15", "2025-04-05 16:15"],
    ),
    "a midnight that does not exist": (
        *("@daily", "America/Havana", "2025-03-08 12:00"),
        ["2025-03-09 05:00", "2025-03-10 04:00"],
    ),
    "a day that does not exist": (
        *("0 9 30 * *", "Pacific/Apia", "2011-12-01 00:00"),
        ["2011-12-30 10:00", "2012-01-29 19:00"],
    ),
}


@pytest.mark.parametrize(("cron", "zone", "after", "due"), CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_clocks(cron: str, zone: str, after: str, due: list[str]) -> None:
    assert said(cron, zone, after, len(due)) == due


@dataclass(frozen=True)
class Drawn:
    """A schedule in cron's words and as a question to a wall time."""

    cron: str
    every_hour: bool
    matches: Callable[[datetime], bool]


@st.composite
def schedules(draw: st.DrawFn) -> Drawn:
    """Schedules of many shapes; hours are mostly those at which clocks are changed."""
    minutes = draw(st.sets(st.integers(0, 59), min_size=1, max_size=4) | st.just(set(range(60))))
    minute = "*" if len(minutes) == 60 else ",".join(map(str, minutes))
    step = draw(st.none() | st.integers(1, 12))
    hours = draw(st.sets(st.integers(0, 3), min_size=1) | st.sets(st.integers(0, 23), min_size=1))
    hour = ",".join(map(str, hours))
    if step is not None:
        hours = set(range(0, 24, step))
        hour = "*" if step == 1 else f"*/{step}"
    weekdays = draw(st.none() | st.sets(st.integers(1, 6), max_size=5).map(lambda days: {0, *days}))
    weekday = "*" if weekdays is None else ",".join(map(str, weekdays))

    def matches(wall: datetime) -> bool:
        on_day = weekdays is None or wall.isoweekday() % 7 in weekdays
        return wall.minute in minutes and wall.hour in hours and on_day

    return Drawn(f"{minute} {hour} * * {weekday}", step is not None, matches)


def wall_time(zone: ZoneInfo, moment: int) -> datetime:
    return datetime.fromtimestamp(moment // 1000, zone).replace(tzinfo=None)


def changes(zone: ZoneInfo, year: int) -> list[int]:
    """The hours of a year, in UTC ms, in which the clocks of the zone are changed."""
    start = ms(f"{year}-01-01 00:00")
    return [
        hour
        for day in range(start, start + 366 * DAY_MS, DAY_MS)
        if ahead(zone, day) != ahead(zone, day + DAY_MS)
        for hour in range(day, day + DAY_MS, HOUR_MS)
        if ahead(zone, hour) != ahead(zone, hour + HOUR_MS)
    ]


def ahead(zone: ZoneInfo, moment: int) -> timedelta | None:
    return datetime.fromtimestamp(moment // 1000, zone).utcoffset()


def walked(drawn: Drawn, zone: ZoneInfo, start: int, end: int) -> list[int]:
    """What is due after `start` and up to `end`, found minute by minute."""
    found = []
    # Clocks put back before the start have shown more than they show now; a day is enough.
    shown = max(wall_time(zone, start - back * MINUTE_MS) for back in range(24 * 60))
    for moment in range(start + MINUTE_MS, end + 1, MINUTE_MS):
        wall = wall_time(zone, moment)
        fresh = []
        while shown < wall:
            shown += MINUTE
            fresh.append(shown)
        if any(map(drawn.matches, [wall] if drawn.every_hour else fresh)):
            found.append(moment)
    return found


# The zones that taught daemons their lessons; others are drawn.
HARD = ["Europe/Berlin", "Australia/Lord_Howe", "Pacific/Chatham", "America/Havana",
        "Africa/Casablanca", "Antarctica/Troll", "America/Sao_Paulo", "Asia/Beirut"]  # fmt: skip
ZONES = sorted(available_timezones())
AT_MOST = 40


@settings(deadline=None, max_examples=150)
@given(
    drawn=schedules(),
    name=st.sampled_from(HARD) | st.sampled_from(ZONES),
    year=st.integers(2000, 2030),
    which=st.integers(0, 5),
    hours=st.integers(-6, 3),
)
def test_no_due_moment_is_skipped_or_doubled(
    drawn: Drawn, name: str, year: int, which: int, hours: int
) -> None:
    zone = ZoneInfo(name)
    changed = changes(zone, year) or [ms(f"{year}-06-15 00:00")]
    start = changed[which % len(changed)] + hours * HOUR_MS
    end = start + DAY_MS
    expected = walked(drawn, zone, start, end)
    got = list(islice(dues(drawn.cron, name, start), min(len(expected) + 1, AT_MOST)))
    assert [words(due) for due in got if due <= end] == list(map(words, expected[:AT_MOST]))
    assert last_due_between(drawn.cron, name, start, end) == (expected or [None])[-1]


@pytest.mark.parametrize("change", ["2011-12-30 10:00", "1993-08-21 12:00"])
@pytest.mark.parametrize("cron", ["0 9 * * *", "30 23 * * *", "0 */7 * * *", "15 * * * *"])
def test_a_skipped_day_leaves_time_as_it_is(change: str, cron: str) -> None:
    name = "Pacific/Apia" if change.startswith("2011") else "Pacific/Kwajalein"
    minute, hour, *_ = cron.split()
    hours = {
        "9": {9}, "23": {23}, "*/7": {0, 7, 14, 21}, "*": set(range(24))
    }[hour]  # fmt: skip
    drawn = Drawn(
        cron,
        hour.startswith("*"),
        lambda wall: wall.minute == int(minute) and wall.hour in hours,
    )
    start, end = ms(change) - 2 * DAY_MS, ms(change) + 2 * DAY_MS
    expected = walked(drawn, ZoneInfo(name), start, end)
    assert list(islice(dues(cron, name, start), len(expected))) == expected


# -- what was missed ---------------------------------------------------------------------

DAILY = ("0 8 * * *", "UTC")


def test_the_newest_of_those_missed_is_found() -> None:
    found = last_due_between(*DAILY, ms("2025-01-01 08:00"), ms("2025-01-05 07:59"))
    assert found == ms("2025-01-04 08:00")


def test_the_end_counts_and_the_beginning_does_not() -> None:
    eight, next_eight = ms("2025-01-01 08:00"), ms("2025-01-02 08:00")
    assert last_due_between(*DAILY, eight, next_eight) == next_eight
    assert last_due_between(*DAILY, eight, next_eight - 1) is None


def test_nothing_was_due_where_the_clock_went_back() -> None:
    assert last_due_between(*DAILY, ms("2025-01-05 08:00"), ms("2025-01-01 08:00")) is None


def test_a_year_of_missed_minutes_is_not_walked_through() -> None:
    found = last_due_between("* * * * *", "Europe/Berlin", 0, ms("2025-06-01 12:34") + 5)
    assert found == ms("2025-06-01 12:34")
