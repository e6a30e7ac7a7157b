"""Trades by what they have in common: symbol, tag, exit reason, or the time of the exit (UTC)."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from math import fsum
from typing import NamedTuple

from engine.errors import BadInput
from engine.metrics.facts import Metric, RoundTrip, Unit
from engine.metrics.moments import mean
from engine.metrics.trades import profit_factor, win_rate

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Row(NamedTuple):
    """The trades of one key; money is in quote currency, `net` after fees and funding."""

    key: str
    trades: int
    wins: int
    losses: int
    net: float
    fees: float
    funding: float
    mean: float
    win_rate: Metric
    profit_factor: Metric

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        figures = {"win_rate": self.win_rate, "profit_factor": self.profit_factor}
        return self._asdict() | {key: metric.as_dict() for key, metric in figures.items()}


class Grouping(NamedTuple):
    """What a trade is filed under; in the order of time, or the greatest profit first."""

    key: Callable[[RoundTrip], str]
    by_time: bool


def _exit_time(trip: RoundTrip) -> datetime:
    return datetime.fromtimestamp(trip.exit_time / 1000, UTC)


GROUPINGS = {
    "symbol": Grouping(lambda trip: trip.symbol, by_time=False),
    "side": Grouping(lambda trip: "long" if trip.side > 0 else "short", by_time=False),
    "entry_tag": Grouping(lambda trip: trip.entry_tag, by_time=False),
    "exit_reason": Grouping(lambda trip: trip.exit_reason, by_time=False),
    "mixed": Grouping(lambda trip: f"{trip.entry_tag} + {trip.exit_reason}", by_time=False),
    "day": Grouping(lambda trip: _exit_time(trip).isoformat()[:10], by_time=True),
    "month": Grouping(lambda trip: _exit_time(trip).isoformat()[:7], by_time=True),
    "weekday": Grouping(lambda trip: WEEKDAYS[_exit_time(trip).weekday()], by_time=True),
    "hour": Grouping(lambda trip: f"{_exit_time(trip).hour:02}:00", by_time=True),
}


def breakdown(trips: Iterable[RoundTrip], by: str) -> list[Row]:
    """A row for each key that has trades; `by` is one of GROUPINGS, else BadInput."""
    if by not in GROUPINGS:
        raise BadInput("by", by, ", ".join(GROUPINGS))
    grouping = GROUPINGS[by]
    groups: defaultdict[str, list[RoundTrip]] = defaultdict(list)
    for trip in trips:
        groups[grouping.key(trip)].append(trip)
    rows = [_row(key, group) for key, group in groups.items()]
    if grouping.by_time:
        return sorted(rows, key=lambda row: _place(row.key))
    return sorted(rows, key=lambda row: (-row.net, row.key))


def _place(key: str) -> str:
    """Weekdays by their number; dates and hours are sorted as they are written."""
    return str(WEEKDAYS.index(key)) if key in WEEKDAYS else key


def _row(key: str, trips: list[RoundTrip]) -> Row:
    nets = [trip.net for trip in trips]
    return Row(
        key=key,
        trades=len(nets),
        wins=sum(net > 0.0 for net in nets),
        losses=sum(net < 0.0 for net in nets),
        net=fsum(nets),
        fees=fsum(trip.fees for trip in trips),
        funding=fsum(trip.funding for trip in trips),
        mean=mean(nets),
        win_rate=win_rate(nets)._replace(unit=Unit.FRACTION),
        profit_factor=profit_factor(nets),
    )
