"""What models cost, against what they may, and what for."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from engine.advice import ModelStatus
from engine.calls import DayCost, ModelCall, Spending
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.order import ZERO
from handlers.reply import (
    BarChart,
    Block,
    Button,
    Chart,
    Duration,
    Fields,
    Price,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
    show,
)

# A hundredth of a cent: a short question costs a few of them.
COST_DIGITS = 4
CENTS = 100
DAYS_DRAWN = 14
COLUMNS = (
    "purpose",
    "model",
    "calls",
    "failed",
    "prompt_tokens",
    "output_tokens",
    "cost_usd",
)
NOTHING_SPENT = "No model was asked this month."


async def page(desk: Desk, spending: Spending, status: ModelStatus) -> Reply:
    """What models cost today and in this month against their caps, and by what it was for."""
    now = desk.clock.now()
    today = now - now % DAY_MS
    month = today - (_day(now).day - 1) * DAY_MS
    since = today - (DAYS_DRAWN - 1) * DAY_MS
    found = await desk.store.calls.costs(min(month, since))
    return reply(
        Text(_who_answers(status)),
        _spent(spending, now),
        _by_purpose([each for each in found if each.day >= month]),
        *_drawn(desk, [each for each in found if each.day >= since], today),
        buttons=(Button("Analyses", "/analysis"),),
    )


def _who_answers(status: ModelStatus) -> str:
    if why_not := status.why_not.rstrip("."):
        return f"No model is asked now. {why_not[0].upper()}{why_not[1:]}."
    return f"{status.name} answers, through {status.driver}."


def _spent(spending: Spending, now: int) -> Fields:
    """Both caps: for people in two sentences, for machines as values."""
    lines = (
        _spent_line("Today", spending.day, spending.daily_cap, spending.day_ends, now),
        _spent_line("Month", spending.month, spending.monthly_cap, spending.month_ends, now),
    )
    fields: dict[str, Value] = {
        "today_usd": Price(spending.day, COST_DIGITS),
        "daily_cap_usd": Price(spending.daily_cap),
        "day_ends": Time(spending.day_ends),
        "month_usd": Price(spending.month, COST_DIGITS),
        "monthly_cap_usd": Price(spending.monthly_cap),
        "month_ends": Time(spending.month_ends),
    }
    return Fields("Cost of the model", fields, words="\n".join(lines))


def _spent_line(name: str, spent: Decimal, cap: Decimal, ends: int, now: int) -> str:
    left = show(Duration(max(ends - now, 0)))
    return (
        f"{name}: {dollars(spent)} of {dollars(cap)}; it begins anew at {show(Time(ends))}, "
        f"in {left}."
    )


def dollars(amount: Decimal) -> str:
    """`$0.0123`, `$5.00`: cents, and what is finer as far as it matters."""
    exact = amount == round(amount, 2)
    return f"${amount:,.{2 if exact else COST_DIGITS}f}"


def _by_purpose(found: Sequence[DayCost]) -> Table:
    keys = dict.fromkeys((each.purpose, each.model) for each in found)
    parts = [[each for each in found if (each.purpose, each.model) == key] for key in sorted(keys)]
    rows = tuple(_purpose_row(part) for part in parts)
    return Table("This month by purpose", COLUMNS, rows, empty=NOTHING_SPENT)


def _purpose_row(part: Sequence[DayCost]) -> tuple[Value, ...]:
    return (
        Word(part[0].purpose),
        part[0].model,
        sum(each.calls for each in part),
        sum(each.failed for each in part),
        sum(each.prompt_tokens for each in part),
        sum(each.output_tokens for each in part),
        cost_of(part),
    )


def _drawn(desk: Desk, found: Sequence[DayCost], today: int) -> Iterator[Block]:
    """The cost of each of the last days, where there is more than one to compare."""
    if len({each.day for each in found if each.cost}) < 2:
        return
    first = min(each.day for each in found)
    days = range(first, today + 1, DAY_MS)
    sums = [sum((each.cost for each in found if each.day == day), ZERO) for day in days]
    bars = tuple(
        (f"{_day(day):%m-%d}", float(total * CENTS)) for day, total in zip(days, sums, strict=True)
    )
    subtitle = f"{bars[0][0]} to {bars[-1][0]}, in US cents · {desk.badge}"
    yield Chart(BarChart("Cost of the model a day", subtitle, bars, gains=False))


def _day(ts: int) -> datetime:
    return datetime.fromtimestamp(ts / 1000, UTC)


def cost_of(calls: Iterable[ModelCall | DayCost]) -> Price:
    """What calls came to, in US dollars."""
    return Price(sum((each.cost for each in calls), ZERO), COST_DIGITS)
