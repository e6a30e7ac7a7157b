"""The sections [risk] and [caps] of countersign.toml: what may be set of limits, and how far.

Shares are written as `"2%"` or as 0.02; 0 switches a rule off.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.limits import USUAL_LIMITS, Caps, Ladder, Limits

SECOND_MS = 1000
# No account and no order is worth more.
MONEY_MAX = Decimal(10) ** 12

_USUAL = USUAL_LIMITS


def _of_percent(value: Any) -> Any:
    """`"2%"` is 0.02; what is written otherwise is let be."""
    if not isinstance(value, str) or not value.strip().endswith("%"):
        return value
    try:
        return Decimal(value.strip().removesuffix("%")) / 100
    except InvalidOperation:
        raise ValueError('allowed: a share such as "2%" or 0.02') from None


def _share(most: str, default: Decimal) -> Any:
    return Field(default=default, ge=0, le=Decimal(most))


def _count(most: int, default: int, least: int = 0) -> Any:
    return Field(default=default, ge=least, le=most)


Share = Annotated[Decimal, BeforeValidator(_of_percent)]
Money = Annotated[Decimal, Field(ge=0, le=MONEY_MAX)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RiskSection(_Section):
    """The limits of each bot's account, see engine/limits.py for what each means.

    `day_stops` is the loss of a UTC day from which nothing is opened until the next one,
    `day_halves` the one from which new sizes are halved; week, month and drawdown alike.
    """

    day_stops: Share = _share("0.5", _USUAL.day.stops)
    day_halves: Share = _share("0.5", _USUAL.day.halves)
    week_stops: Share = _share("0.5", _USUAL.week.stops)
    week_halves: Share = _share("0.5", _USUAL.week.halves)
    month_stops: Share = _share("0.5", _USUAL.month.stops)
    month_halves: Share = _share("0.5", _USUAL.month.halves)
    drawdown_stops: Share = _share("0.5", _USUAL.drawdown.stops)
    drawdown_halves: Share = _share("0.5", _USUAL.drawdown.halves)
    losses: int = _count(100, _USUAL.losses)
    losses_rest_min: int = _count(10_080, _USUAL.losses_rest_ms // MINUTE_MS, least=1)
    one_way: Share = _share("1", _USUAL.one_way)
    one_way_from: int = _count(100, _USUAL.one_way_from, least=2)
    open_risk: Share = _share("1", _USUAL.open_risk)
    positions: int = _count(1000, _USUAL.positions)
    stop_first: bool = _USUAL.stop_first
    margin_level: Share = _share("5", _USUAL.margin_level)
    stop_outs: int = _count(100, _USUAL.stop_outs)
    stop_outs_h: int = _count(720, _USUAL.stop_outs_ms // HOUR_MS, least=1)
    stop_outs_lock_h: int = _count(720, _USUAL.stop_outs_lock_ms // HOUR_MS, least=1)
    losers: int = _count(100, _USUAL.losers)
    losers_days: int = _count(90, _USUAL.losers_ms // DAY_MS, least=1)
    losers_loss: Share = _share("1", _USUAL.losers_loss)
    losers_lock_h: int = _count(720, _USUAL.losers_lock_ms // HOUR_MS, least=1)
    failures: int = _count(100, _USUAL.failures)
    failures_s: int = _count(86_400, _USUAL.failures_ms // SECOND_MS, least=1)
    failures_rest_min: int = _count(1440, _USUAL.failures_rest_ms // MINUTE_MS, least=1)
    price_off: Share = _share("1", _USUAL.price_off)

    @field_validator("day_halves", "week_halves", "month_halves", "drawdown_halves")
    @classmethod
    def _before_the_stop(cls, halves: Decimal, info: ValidationInfo) -> Decimal:
        name = str(info.field_name).replace("halves", "stops")
        stops = info.data.get(name, Decimal(0))
        if stops and halves > stops:
            raise ValueError(f"allowed: 0 to {name}, {stops:.2%}")
        return halves

    def limits(self) -> Limits:
        """The same, as the desk counts them."""
        return Limits(
            day=Ladder(self.day_halves, self.day_stops),
            week=Ladder(self.week_halves, self.week_stops),
            month=Ladder(self.month_halves, self.month_stops),
            drawdown=Ladder(self.drawdown_halves, self.drawdown_stops),
            losses=self.losses,
            losses_rest_ms=self.losses_rest_min * MINUTE_MS,
            one_way=self.one_way,
            one_way_from=self.one_way_from,
            open_risk=self.open_risk,
            positions=self.positions,
            stop_first=self.stop_first,
            margin_level=self.margin_level,
            stop_outs=self.stop_outs,
            stop_outs_ms=self.stop_outs_h * HOUR_MS,
            stop_outs_lock_ms=self.stop_outs_lock_h * HOUR_MS,
            losers=self.losers,
            losers_ms=self.losers_days * DAY_MS,
            losers_loss=self.losers_loss,
            losers_lock_ms=self.losers_lock_h * HOUR_MS,
            failures=self.failures,
            failures_ms=self.failures_s * SECOND_MS,
            failures_rest_ms=self.failures_rest_min * MINUTE_MS,
            price_off=self.price_off,
        )


class CapsSection(_Section):
    """What nothing passes, over all bots of the desk together, in USDT; 0 caps nothing."""

    order_value: Money = Decimal(0)
    position_value: Money = Decimal(0)
    gross_exposure: Money = Decimal(0)
    leverage: int = _count(200, 0)
    orders_a_minute: int = _count(10_000, 60)
    daily_loss: Money = Decimal(0)

    def caps(self) -> Caps:
        """The same, as the desk counts them."""
        return Caps(**self.model_dump())
