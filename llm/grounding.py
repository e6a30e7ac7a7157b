"""Whether the numbers in somebody's words stand in the data that they were given.

A number is known by its value, rounded to the digits it is said with: `61,235`, `61.2k` and
`61234.5` are one, as are `12.3%` and `0.123`; signs do not matter. Lengths of time are known by
their length (`24h`, `1 day`) and stand for no other number. Numbers in words are not looked at.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from math import isfinite

# What a float loses, as a share of it.
NOISE = 1e-12

NUMBER = re.compile(
    r"""
    (?P<digits> \d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)? | \d*\.\d+ | \d+ )
    (?P<exponent> [eE][+-]?\d{1,3}(?!\w) )?
    (?P<unit> \s?[%％] | [ ]?per[ ]?cent\b | [ -]?basis[ ]points?\b | [ -]?[^\W\d_]+ )?
    """,
    re.VERBOSE,
)
WORD = re.compile(r"\w*[^\W\d]\w*")

PERCENT_WORDS = frozenset({"%", "％", "percent", "per cent", "pct"})
# The 71st percentile of a share of 0.71.
ORDINALS = frozenset({"st", "nd", "rd", "th"})
BASIS_POINTS = frozenset({"bp", "bps", "basis point", "basis points"})
SCALES = {
    "k": 1e3, "K": 1e3, "thousand": 1e3, "M": 1e6, "mn": 1e6, "million": 1e6,
    "B": 1e9, "bn": 1e9, "billion": 1e9,
}  # fmt: skip
SECONDS = {
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3_600, "H": 3_600, "hr": 3_600, "hrs": 3_600, "hour": 3_600, "hours": 3_600,
    "d": 86_400, "D": 86_400, "day": 86_400, "days": 86_400,
    "w": 604_800, "W": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip


class Kind(Enum):
    PLAIN = auto()
    PERCENT = auto()
    TIME = auto()


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it is said: `value` in its kind's unit (1, percent, seconds), told apart in
    steps of `step`; `numeral` is what was written, `spelled` the unit written as a word of its own.
    """

    words: str
    kind: Kind
    value: float
    step: float
    numeral: float
    spelled: bool


@dataclass(frozen=True, slots=True)
class Stock:
    """The numbers that stand in the data, sorted, and its words that have digits."""

    plain: tuple[float, ...]
    percents: tuple[float, ...]
    fractions: tuple[float, ...]
    times: tuple[float, ...]
    words: frozenset[str]


def invented(text: str, data: str) -> tuple[str, ...]:
    """The numbers in a text that stand nowhere in the data, as written, each once."""
    stock = _stock(data)
    found = dict.fromkeys(each.words for each in _claimed(text, stock) if not _stands(each, stock))
    return tuple(found)


# The words about each of many symbols are held against the same data.
@lru_cache(maxsize=2)
def _stock(data: str) -> Stock:
    by_kind: dict[Kind, list[float]] = {kind: [] for kind in Kind}
    for match in NUMBER.finditer(data):
        number = _number(match)
        by_kind[number.kind].append(number.value)
    plain, percents = by_kind[Kind.PLAIN], by_kind[Kind.PERCENT]
    return Stock(
        plain=tuple(sorted([*plain, *percents])),
        percents=tuple(sorted(value * 100.0 for value in plain)),
        fractions=tuple(sorted(value / 100.0 for value in percents)),
        times=tuple(sorted(by_kind[Kind.TIME])),
        words=frozenset(_words(data)),
    )


def _words(text: str) -> Iterator[str]:
    """The words with digits in them that are more than a number and its unit: names."""
    return (match[0].lower() for match in WORD.finditer(text) if _is_name(match[0]))


def _is_name(word: str) -> bool:
    return not word[0].isdigit() and any(each.isdigit() for each in word)


def _claimed(text: str, stock: Stock) -> Iterator[Number]:
    """The numbers of a text, but for those within names that stand in the data."""
    known = [
        match.span()
        for match in WORD.finditer(text)
        if _is_name(match[0]) and match[0].lower() in stock.words
    ]
    for match in NUMBER.finditer(text):
        if not any(start <= match.start("digits") < end for start, end in known):
            yield _number(match)


def _number(match: re.Match[str]) -> Number:
    digits, exponent, unit = match["digits"], match["exponent"] or "", match["unit"] or ""
    numeral = float(digits.replace(",", "") + exponent)
    decimals = len(digits.partition(".")[2])
    step = float(f"1e{int(exponent[1:] or 0) - decimals}")
    kind, factor, steps = _measure(unit, decimals)
    written = digits + exponent + (unit if factor is not None else "")
    factor = 1.0 if factor is None else factor
    return Number(written, kind, numeral * factor, step * factor * steps, numeral, unit[:1] == " ")


def _measure(unit: str, decimals: int) -> tuple[Kind, float | None, float]:
    """What a unit measures and its size, None for what is no unit; and whether what is said in it
    is rounded: a whole number of hours is exact."""
    word = unit.strip(" -\u00a0")
    lower = word.lower()
    if lower in PERCENT_WORDS or unit in ORDINALS:
        return Kind.PERCENT, 1.0, 1.0
    if lower in BASIS_POINTS:
        return Kind.PERCENT, 0.01, 1.0
    if len(word) == 1:
        # `77 D` is no length of time; and a capital M is millions, a small one minutes.
        lower = word = "" if word != unit else word
    if scale := SCALES.get(word) or SCALES.get(lower):
        return Kind.PLAIN, scale, 1.0
    if seconds := SECONDS.get(word) or SECONDS.get(lower):
        return Kind.TIME, float(seconds), 1.0 if decimals else 0.0
    return Kind.PLAIN, None, 1.0


def _stands(number: Number, stock: Stock) -> bool:
    value, step = number.value, number.step
    match number.kind:
        case Kind.TIME:
            in_words = number.spelled and _near(stock.plain, number.numeral, 0.0)
            return _near(stock.times, value, step) or in_words
        case Kind.PERCENT:
            return _near(stock.plain, value, step) or _near(stock.percents, value, step)
        case Kind.PLAIN:
            return _near(stock.plain, value, step) or _near(stock.fractions, value, step)


def _near(values: tuple[float, ...], value: float, step: float) -> bool:
    """Whether one of the sorted values is said as this one, in steps of `step`."""
    reach = step / 2.0 + NOISE * (abs(value) + step)
    if not isfinite(reach):
        return value in values
    at = bisect_left(values, value - reach)
    return at < len(values) and values[at] <= value + reach
