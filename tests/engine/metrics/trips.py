"""Builders of trades and of marks for the tests of metrics, all from one midnight (UTC)."""

from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import Mark, RoundTrip
from tests.engine.conftest import T0

BASE = RoundTrip("BTCUSDT", 1, T0, T0 + HOUR_MS, 100.0, 101.0, 1.0, "cross", "take_profit", 0.0)


def trip(gross: float, hour: int = 0, hours: int = 1, **changes: object) -> RoundTrip:
    """A trade of 200 in all, entered at a full hour after T0 and held for some hours."""
    entered = T0 + hour * HOUR_MS
    timed = BASE._replace(gross=gross, entry_time=entered, exit_time=entered + hours * HOUR_MS)
    return timed._replace(**changes)


def daily(*equity: float) -> list[Mark]:
    """A mark a midnight, the first at T0."""
    return [Mark(T0 + day * DAY_MS, value) for day, value in enumerate(equity)]


def hourly(*equity: float) -> list[Mark]:
    """A mark a full hour, the first at T0."""
    return [Mark(T0 + hour * HOUR_MS, value) for hour, value in enumerate(equity)]
