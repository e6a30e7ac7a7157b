"""What came after an entry that a bias spoke against: the price, its stop, its target. Pure.

It looks at bars as a backtest does: of stop and target within one bar the stop is met first. Fees,
funding and what else would have closed a position are left out.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from engine.candle import DAY_MS, HOUR_MS, Candle
from engine.signal import Decision, Opposed

# When the price is looked at again; the last is where nobody follows it any longer.
LATER_MS = (HOUR_MS, 4 * HOUR_MS, DAY_MS)
FOLLOWED_MS = LATER_MS[-1]


class Ending(StrEnum):
    """How an entry that was not made would have ended."""

    STOP = "stop"
    TARGET = "target"
    TIME = "neither within 24 h"
    OPEN = "not over yet"
    UNKNOWN = "no prices known"
    NONE = "not made anyway"


@dataclass(frozen=True, slots=True)
class Hindsight:
    """What came of a decision. `changes` are those of the price after each of LATER_MS, as
    fractions, None where that is not known (yet). `made` is what the entry would have made of its
    worth before costs, None while it has not ended; `ended_at` is when, UTC ms, at the latest."""

    decision: Decision
    changes: tuple[float | None, ...]
    ending: Ending
    ended_at: int
    made: float | None = None


def follow_all(
    decisions: Iterable[Decision], bars: Mapping[str, Sequence[Candle]], interval: int, now: int
) -> list[Hindsight]:
    """Follow entries, oldest first, each through the bars of its symbol.

    One that came while another of its account and symbol would have been held is left out: it would
    not have been made either.
    """
    found: list[Hindsight] = []
    held_until: dict[tuple[str, str], int] = {}
    for decision in decisions:
        key = decision.account, decision.symbol
        if decision.ts < held_until.get(key, 0):
            continue
        followed = follow(decision, bars.get(decision.symbol, ()), interval, now)
        held_until[key] = followed.ended_at
        found.append(followed)
    return found


def follow(decision: Decision, bars: Sequence[Candle], interval: int, now: int) -> Hindsight:
    """Follow an entry through the bars of `interval` ms that came after it, oldest first, as far as
    they had closed at `now` (market time, UTC ms)."""
    last = min(decision.ts + FOLLOWED_MS, now)
    first = bisect_left(bars, decision.ts, key=_opened)
    after = bars[first : bisect_left(bars, last - interval + 1, key=_opened)]
    changes = tuple(_change(decision, after, interval, later, now) for later in LATER_MS)
    if decision.opposed is None:
        return Hindsight(decision, changes, Ending.NONE, decision.ts)
    met = _met(decision, decision.opposed, after, interval)
    if met is not None:
        ending, ended_at, price = met
    elif now < decision.ts + FOLLOWED_MS:
        return Hindsight(decision, changes, Ending.OPEN, decision.ts + FOLLOWED_MS)
    elif not after:
        return Hindsight(decision, changes, Ending.UNKNOWN, last)
    else:
        ending, ended_at, price = Ending.TIME, last, after[-1].close
    made = (price / decision.price - 1.0) * decision.side.sign
    return Hindsight(decision, changes, ending, ended_at, made)


def _opened(bar: Candle) -> int:
    return bar.ts


def _change(
    decision: Decision, after: Sequence[Candle], interval: int, later: int, now: int
) -> float | None:
    until = decision.ts + later
    known = [bar.close for bar in after if bar.ts + interval <= until]
    return known[-1] / decision.price - 1.0 if known and until <= now else None


def _met(
    decision: Decision, entry: Opposed, after: Sequence[Candle], interval: int
) -> tuple[Ending, int, float] | None:
    """Which level was met first, when its bar had closed, and at what price; None for neither. A
    bar that opens beyond the stop is left at its open."""
    sign = decision.side.sign
    stop, target = (float(at) if at else None for at in (entry.stop_loss, entry.take_profit))
    for bar in after:
        worst, best = (bar.low, bar.high) if sign > 0 else (bar.high, bar.low)
        if stop is not None and (worst - stop) * sign <= 0:
            gapped = (bar.open - stop) * sign < 0
            return Ending.STOP, bar.ts + interval, bar.open if gapped else stop
        if target is not None and (best - target) * sign >= 0:
            return Ending.TARGET, bar.ts + interval, target
    return None


@dataclass(frozen=True, slots=True)
class Balance:
    """Entries that a bias spoke against and that are over: how many would have won and lost, and
    what they would have made together, each as a fraction of its own worth, before costs."""

    won: int
    lost: int
    made: float

    @property
    def ended(self) -> int:
        return self.won + self.lost


def balance(found: Iterable[Hindsight]) -> Balance:
    """What entries that are over came to; one that neither gained nor lost counts as lost: it would
    have paid its costs."""
    made = [each.made for each in found if each.made is not None]
    won = sum(each > 0 for each in made)
    return Balance(won, len(made) - won, sum(made))
