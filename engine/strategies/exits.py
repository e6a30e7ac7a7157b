"""When a position leaves: the float rules that paper, live and backtest share.

Prices and distances are in quote currency. The order inside a bar is the cautious one: the
stop before the target. A trailing stop follows the bar's best price once the older levels have
been tried, and is met in the same bar only where the close proves it.
"""

from typing import NamedTuple


class Exits(NamedTuple):
    """Exit rules of a strategy for one symbol.

    `stop_loss`, `take_profit`, `trail`, `trail_activation`, `break_even` and
    `break_even_buffer` are fractions of the entry's reference price; ages and cool-downs are ms
    of market time; zero turns a rule off. Once the price has come `break_even` in favor, the
    stop stands `break_even_buffer` beyond the entry. A position that is losing leaves at
    `losing_age_ms`, any at `max_age_ms`. After a fill the symbol rests for `cooldown_ms`, or until
    the next full `cooldown_block_ms` of UTC.
    """

    stop_loss: float
    take_profit: float
    trail: float
    trail_activation: float
    max_age_ms: int
    cooldown_ms: int
    break_even: float = 0.0
    break_even_buffer: float = 0.0
    losing_age_ms: int = 0
    cooldown_block_ms: int = 0


def level(price: float, fraction: float, distance: float) -> float:
    """A price moved by `distance` where one is given, else by `fraction` of itself; both are
    signed alike."""
    return price + distance if distance != 0.0 else price * (1.0 + fraction)


class Touch(NamedTuple):
    """How a bar met a position's protection: which kind, at what price before slippage."""

    kind: int
    price: float


UNTOUCHED = 0
STOP = 1
TARGET = 2
LIQUIDATION = 3

NO_TOUCH = Touch(UNTOUCHED, 0.0)


def touch(
    side: int, open_: float, high: float, low: float, stop: float, target: float, liquidation: float
) -> Touch:
    """The first of stop, liquidation and target that a bar reaches for a position.

    `side` is +1 for long, -1 for short; a level of 0 is not set. A bar that opens beyond a
    level is met at its open: the gap is not given back.
    """
    if liquidation > 0.0 and (open_ - liquidation) * side <= 0.0:
        return Touch(LIQUIDATION, liquidation)
    if stop > 0.0 and (open_ - stop) * side <= 0.0:
        return Touch(STOP, open_)
    if target > 0.0 and (open_ - target) * side >= 0.0:
        return Touch(TARGET, open_)
    adverse = low if side > 0 else high
    favorable = high if side > 0 else low
    nearer = liquidation > 0.0 and (stop <= 0.0 or (liquidation - stop) * side >= 0.0)
    if nearer and (adverse - liquidation) * side <= 0.0:
        return Touch(LIQUIDATION, liquidation)
    if stop > 0.0 and (adverse - stop) * side <= 0.0:
        return Touch(STOP, stop)
    if target > 0.0 and (favorable - target) * side >= 0.0:
        return Touch(TARGET, target)
    return NO_TOUCH


def trailed_stop(
    side: int, high: float, low: float, stop: float, distance: float, activation: float
) -> float:
    """The stop after a bar: once the bar's best price reached `activation` (0: from the start)
    it follows that price at `distance`, and never moves back. 0 while there is none."""
    best = high if side > 0 else low
    if distance <= 0.0 or (activation > 0.0 and (best - activation) * side < 0.0):
        return stop
    candidate = best - distance * side
    if stop <= 0.0 or (candidate - stop) * side > 0.0:
        return candidate
    return stop


def broken_even(
    side: int, high: float, low: float, stop: float, level: float, trigger: float
) -> float:
    """The stop after a bar: at `level` or better once the bar's best price reached `trigger`
    (0: never)."""
    best = high if side > 0 else low
    if trigger <= 0.0 or (best - trigger) * side < 0.0:
        return stop
    if stop <= 0.0 or (level - stop) * side > 0.0:
        return level
    return stop


def too_old(exits: Exits, opened_at: int, ts: int, gain: float) -> bool:
    """Whether a position opened at `opened_at` has reached its greatest age at `ts`.

    `gain` is its open profit before costs; only its sign counts.
    """
    age = ts - opened_at
    if exits.max_age_ms > 0 and age >= exits.max_age_ms:
        return True
    return exits.losing_age_ms > 0 and gain < 0.0 and age >= exits.losing_age_ms


def rests_until(exits: Exits, ts: int) -> int:
    """Until when a symbol rests after a fill at `ts`."""
    if exits.cooldown_block_ms > 0:
        return ts - ts % exits.cooldown_block_ms + exits.cooldown_block_ms
    return ts + exits.cooldown_ms
