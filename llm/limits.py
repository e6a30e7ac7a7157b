"""What asking a model may come to: money, time, and how often. And how that is said."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps of a UTC day and month in US dollars, of which 0 lets nothing through; `warn_*` are
    told when they are passed, 0 never. Prices are US dollars for a million tokens, None where the
    list of known models has them. `timeout_s` is for one attempt, `deadline_s` for all calls of
    one consultation together."""

    daily_usd: Decimal = Decimal(5)
    monthly_usd: Decimal = Decimal(100)
    warn_daily_usd: Decimal = Decimal(2)
    warn_monthly_usd: Decimal = Decimal(50)
    calls_a_minute: int = 30
    timeout_s: float = 30.0
    deadline_s: float = 60.0
    price_input: Decimal | None = None
    price_output: Decimal | None = None


def day_of(ts: int) -> int:
    """When the day of a moment began (UTC ms)."""
    return ts - ts % DAY_MS


def month_of(ts: int) -> int:
    """When the month of a moment began (UTC ms)."""
    moment = datetime.fromtimestamp(ts // 1000, UTC)
    return day_of(ts) - (moment.day - 1) * DAY_MS


def month_after(ts: int) -> int:
    """When the next month begins (UTC ms)."""
    return month_of(month_of(ts) + 32 * DAY_MS)


def dollars(amount: Decimal) -> str:
    """As `$0.0123`, `$2.50`: four digits where a cent would hide it."""
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"


def cap_words(cap: Decimal) -> str:
    """As it was set: `$5`, `$0.01`."""
    return f"${cap.normalize():f}"


def span_words(ms: int) -> str:
    """As `3d 4h`, `5h 12m`, `40 s`; never less than a second."""
    if ms < MINUTE_MS:
        return f"{max(1, round(ms / 1000))} s"
    minutes = -(-ms // MINUTE_MS) * MINUTE_MS
    days, hours = minutes // DAY_MS, minutes % DAY_MS // HOUR_MS
    if days:
        return f"{days}d {hours}h"
    return f"{hours}h {minutes % HOUR_MS // MINUTE_MS}m" if hours else f"{minutes // MINUTE_MS}m"


def moment_words(ts: int, now: int) -> str:
    """As `at 00:00 UTC, in 5h 12m`, with the date where it is not within a day."""
    moment = datetime.fromtimestamp(ts // 1000, UTC)
    form = "at %H:%M UTC" if ts - now <= DAY_MS else "on %Y-%m-%d at %H:%M UTC"
    return f"{moment:{form}}, in {span_words(ts - now)}"
