"""Bybit's messages as values of ours. Whatever they are not raises ValueError."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import isfinite
from typing import NamedTuple

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS, Candle, timeframe_name
from engine.errors import BadInput
from engine.instrument import Instrument

MINUTES = (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)
# What Bybit calls the lengths of its candles.
INTERVALS = {minutes * MINUTE_MS: str(minutes) for minutes in MINUTES} | {DAY_MS: "D"}
HOURS_A_DAY = DAY_MS // HOUR_MS

Fields = Mapping[str, object]


class Kline(NamedTuple):
    """A candle of a stream; while it is not `confirmed` its bar is still open."""

    candle: Candle
    confirmed: bool


class Ticker(NamedTuple):
    """What a ticker says of a symbol; None is what it does not mention, so has not changed.

    `funding_rate` is a fraction, settled at `funding_at` (UTC ms); `turnover` is of the last
    24 hours, in quote currency.
    """

    price: float | None
    funding_rate: Decimal | None
    funding_at: int | None
    turnover: Decimal | None


def interval_name(interval: int) -> str:
    """Bybit's name of a candle's length in ms; raises BadInput naming the lengths it has."""
    try:
        return INTERVALS[interval]
    except KeyError:
        allowed = ", ".join(timeframe_name(known) for known in INTERVALS)
        raise BadInput("timeframe", timeframe_name(interval), allowed) from None


def fields(value: object) -> Fields:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.200} is not an object")
    return value


def items(value: object) -> Sequence[object]:
    """An array of JSON."""
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.200} is not an array")
    return value


def text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.200} is not a text")
    return value


def stamp(value: object) -> int:
    """A time in UTC ms; Bybit writes some as numbers, others as texts of digits."""
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r:.200} is not a time in ms")
    return value


# Amounts and prices have fewer digits before and behind the point; more is nonsense that takes
# for ever to reckon with.
DIGITS_MAX = 20


def number(value: object) -> float:
    """A finite number, which Bybit always writes as a text."""
    found = float(text(value))
    if not isfinite(found):
        raise ValueError(f"{value!r} is not a finite number")
    return found


def decimal(value: object) -> Decimal:
    """A finite number without a loss of digits."""
    try:
        found = Decimal(text(value))
    except InvalidOperation:
        raise ValueError(f"{value!r:.200} is not a number") from None
    if not found.is_finite() or (found and abs(found.adjusted()) > DIGITS_MAX):
        raise ValueError(f"{value!r:.200} is not a number that can be real")
    return found


def rate(value: object) -> Decimal:
    """A funding rate, as a fraction; one that takes all there is can't be real."""
    found = decimal(value)
    if abs(found) > 1:
        raise ValueError(f"{value!r:.200} is not a funding rate")
    return found


def price(value: object) -> float:
    found = number(value)
    if found <= 0:
        raise ValueError(f"{value!r} is not a price above zero")
    return found


def candle(row: object) -> Candle:
    """A row of REST: start, open, high, low, close, volume, turnover."""
    cells = items(row)
    if len(cells) < len(Candle._fields):
        raise ValueError(f"{row!r:.200} is not a candle")
    return _candle(stamp(cells[0]), *cells[1 : len(Candle._fields)])


def klines(data: object) -> list[Kline]:
    """The data of a message of a topic `kline`."""
    return [_kline(fields(row)) for row in items(data)]


def _kline(row: Fields) -> Kline:
    confirmed = row.get("confirm")
    if not isinstance(confirmed, bool):
        raise ValueError(f"confirm is {confirmed!r:.200}, neither true nor false")
    names = ("open", "high", "low", "close", "volume")
    return Kline(_candle(stamp(row.get("start")), *map(row.get, names)), confirmed)


def _candle(ts: int, *cells: object) -> Candle:
    open_, high, low, close = map(price, cells[:4])
    volume = number(cells[4])
    if not (low <= min(open_, close) and max(open_, close) <= high and volume >= 0):
        raise ValueError(f"{cells!r:.200} can't be a candle")
    return Candle(ts, open_, high, low, close, volume)


def ticker(data: object) -> Ticker:
    """The data of a message of a topic `tickers`, or an entry of REST's list."""
    row = fields(data)

    def said(name: str) -> object:
        return None if row.get(name) == "" else row.get(name)

    last, funding_rate, at = said("lastPrice"), said("fundingRate"), said("nextFundingTime")
    turnover = said("turnover24h")
    return Ticker(
        price=None if last is None else price(last),
        funding_rate=None if funding_rate is None else rate(funding_rate),
        funding_at=None if at is None else stamp(at),
        turnover=None if turnover is None else decimal(turnover),
    )


def instrument(row: Fields, turnover: Decimal) -> Instrument:
    """An entry of `instruments-info`, with the turnover of the symbol's last 24 hours."""
    lot, prices = fields(row.get("lotSizeFilter")), fields(row.get("priceFilter"))
    leverage = fields(row.get("leverageFilter"))
    return Instrument(
        symbol=text(row.get("symbol")),
        tick=_step(prices.get("tickSize")),
        quantity_step=_step(lot.get("qtyStep")),
        quantity_min=_step(lot.get("minOrderQty")),
        quantity_max=_step(lot.get("maxMktOrderQty")),
        notional_min=decimal(lot.get("minNotionalValue")),
        leverage_max=int(_step(leverage.get("maxLeverage"))),
        hourly_volume=Decimal(max(round(turnover / HOURS_A_DAY), 1)),
    )


def _step(value: object) -> Decimal:
    """An amount above zero, without the zeros Bybit pads it with."""
    found = decimal(value)
    if found <= 0:
        raise ValueError(f"{value!r} is not above zero")
    return Decimal(f"{found.normalize():f}")


def funding(rows: object) -> dict[int, Decimal]:
    """Settled rates, as fractions, by their stamps."""
    entries = map(fields, items(rows))
    return {stamp(row.get("fundingRateTimestamp")): rate(row.get("fundingRate")) for row in entries}
