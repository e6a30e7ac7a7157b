"""Answers as data: plain blocks of typed values, which only the renderers turn into words.

A value knows what it is (money, a price, a moment), not how it looks: the terminal, a chat
and a machine each show it their own way. `show` is how people read a single value, `raw` how
machines do.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS, Candle
from engine.order import Side
from engine.tunable import Tier


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of quote currency (USDT); `signed` shows a plus on gains."""

    amount: Decimal
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """A price in quote currency, shown with `digits` decimals: the instrument's own."""

    price: Decimal | float
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount of base currency."""

    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Percent:
    """A fraction that is shown in percent."""

    fraction: Decimal | float
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Multiple:
    """How many times something: a leverage, a speed."""

    times: Decimal | float


@dataclass(frozen=True, slots=True)
class Time:
    """A moment in UTC ms."""

    ts: int


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in ms."""

    ms: int


@dataclass(frozen=True, slots=True)
class Word:
    """An identifier such as `stop_loss`, which people read with spaces."""

    word: str


class Whole(str):
    """Words that say something else when a part is missing: no column cuts them."""

    __slots__ = ()


Value = (
    str | int | bool | None | Money | Price | Quantity | Percent | Multiple | Time | Duration | Word
)


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Fields:
    """Named values. Names are snake_case; renderers make words of them.

    Where there are `words`, people read those instead, and the values are for machines.
    """

    title: str
    fields: dict[str, Value]
    words: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values. Columns are snake_case; an empty table says so in `empty`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    empty: str = "None."


@dataclass(frozen=True, slots=True)
class Code:
    """Text in which every character counts."""

    code: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A fill on a chart."""

    ts: int
    price: float
    side: Side
    is_entry: bool
    label: str


@dataclass(frozen=True, slots=True)
class CandleChart:
    """Candles with fills and levels; `levels` are (name, price).

    `forming_until` is set where the last candle has not closed: how far (UTC ms) it is known.
    """

    title: str
    subtitle: str
    interval: int
    candles: tuple[Candle, ...]
    markers: tuple[Marker, ...] = ()
    levels: tuple[tuple[str, float], ...] = ()
    forming_until: int | None = None


@dataclass(frozen=True, slots=True)
class EquityChart:
    """Equity over time, with its drawdown beneath; `points` are (UTC ms, quote currency)."""

    title: str
    subtitle: str
    points: tuple[tuple[int, float], ...]
    deposit: float


@dataclass(frozen=True, slots=True)
class BarChart:
    """Amounts beside each other, as the net of each day; `bars` are (label, amount).

    Those that are `gains` have a sign and its color; others, as costs, have neither.
    """

    title: str
    subtitle: str
    bars: tuple[tuple[str, float], ...]
    gains: bool = True


@dataclass(frozen=True, slots=True)
class CurvesChart:
    """Several curves over each other, each as a fraction of what it began with.

    `curves` are names with points of (UTC ms, fraction): 0 at the start, 0.05 for 5 % more. Where
    the `first_is_base`, the others are held against it.
    """

    title: str
    subtitle: str
    curves: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]
    first_is_base: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, as the data to draw; each surface has it drawn and shows it its own way."""

    chart: CandleChart | EquityChart | BarChart | CurvesChart


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What somebody enrolls their authenticator with: a picture to scan, a key to type.

    It names whose it is and nothing more. A private chat has it made when it is sent; everywhere
    else, and once nothing waits to be confirmed, it says so in words.
    """

    principal_id: str


@dataclass(frozen=True, slots=True)
class File:
    """A text file to keep: a chat sends it as one, a terminal prints what is in it."""

    name: str
    content: str


Block = Text | Fields | Table | Code | Chart | Enrollment | File


@dataclass(frozen=True, slots=True)
class Decides:
    """What a button decides: the proposal as it was shown, and which way.

    `nonce`, `expires_at` (UTC ms) and `digest` are the proposal's own.
    """

    proposal_id: int
    approves: bool
    tier: Tier
    nonce: str
    expires_at: int
    digest: str


@dataclass(frozen=True, slots=True)
class Button:
    """A command under a finger: `command` is what typing it would be.

    `asks` names the arguments that are not in it yet: a chat asks for them before it runs.
    `decides` is set where it decides a proposal: in a chat it is good for that and nothing else.
    `only_asker` says that in a chat it is good for whoever the card answers, and nobody else.
    """

    label: str
    command: str
    asks: tuple[str, ...] = ()
    decides: Decides | None = None
    only_asker: bool = False

    @property
    def usage(self) -> str:
        """How it is typed: `/alert BTCUSDT <direction> <price>`."""
        return " ".join([self.command, *(f"<{name}>" for name in self.asks)])


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `error` says in one sentence why there is none; `badge` names mode and market.

    `follows` are the numbers of backtests that still run, `searches` those of the tuner's studies,
    `asks` those of what somebody thinks about: a chat brings the message with them up to date
    until they end.
    """

    blocks: tuple[Block, ...] = ()
    buttons: tuple[Button, ...] = ()
    error: str | None = None
    badge: str | None = None
    follows: tuple[int, ...] = ()
    searches: tuple[int, ...] = ()
    asks: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        return self.error is None


def reply(*blocks: Block, buttons: tuple[Button, ...] = ()) -> Reply:
    return Reply(blocks, buttons)


def raw(value: Value) -> Any:
    """The bare value for machines: decimals as text, times and durations in ms."""
    match value:
        case Money(number) | Price(number) | Quantity(number) | Percent(number) | Multiple(number):
            return f"{_decimal(number):f}"
        case Time(ms) | Duration(ms):
            return ms
        case Word(word):
            return word
        case str() | int() | None:
            return value


def show(value: Value) -> str:
    """The value as people read it, on one line."""
    match value:
        case Money(amount, signed):
            return _number(amount, _money_digits(amount), signed)
        case Price(price, digits):
            return _number(price, _price_digits(price) if digits is None else digits)
        case Quantity(quantity):
            return f"{_normal(quantity):,f}"
        case Percent(fraction, signed):
            return _number(_decimal(fraction) * 100, 2, signed) + "%"
        case Multiple(times):
            return f"{_normal(round(_decimal(times), 2)):,f}x"
        case Time(ts):
            return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        case Duration(ms):
            return _length(ms)
        case Word(word):
            return word.replace("_", " ")
        case bool():
            return "✓" if value else "✗"
        case int():
            return f"{value:,}"
        case None:
            return "-"
        case str():
            return value


def _decimal(number: Decimal | float) -> Decimal:
    return number if isinstance(number, Decimal) else Decimal(repr(number))


def _normal(number: Decimal) -> Decimal:
    """Without trailing zeros; zero has no sign."""
    return number.normalize() + 0 if number else Decimal(0)


def _number(number: Decimal | float, digits: int, signed: bool = False) -> str:
    rounded = round(_decimal(number), digits)
    if rounded == 0:
        return f"{abs(rounded):,f}"
    return f"{rounded:+,f}" if signed else f"{rounded:,f}"


def _money_digits(amount: Decimal) -> int:
    """Cents; what is less than a cent, as funding often is, shows what it is."""
    return 4 if 0 < abs(amount) < Decimal("0.01") else 2


def _price_digits(price: Decimal | float) -> int:
    """Decimals where no instrument says: those that a price of this size usually has."""
    size = abs(_decimal(price))
    for least, digits in ((10_000, 1), (10, 2), (1, 4)):
        if size >= least:
            return digits
    return 6


_UNITS = {"d": DAY_MS, "h": HOUR_MS, "m": MINUTE_MS, "s": 1000}


def _length(ms: int) -> str:
    """The greatest unit and the one below it: `3h 25m`, `2d`, `40s`, `12 ms`."""
    if abs(ms) < 1000:
        return f"{ms} ms"
    counts = {}
    left = abs(ms)
    for letter, unit in _UNITS.items():
        counts[letter], left = divmod(left, unit)
    letters = list(counts)
    first = next(index for index, letter in enumerate(letters) if counts[letter])
    words = [f"{counts[letter]}{letter}" for letter in letters[first : first + 2] if counts[letter]]
    return ("-" if ms < 0 else "") + " ".join(words)
