"""Rules of thumb that tighten a strategy whose last trades went badly: what they would change.

Pure. They only suggest: evidence and the tiers decide what comes of it, like of any other change.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.order import ZERO
from engine.position import Trade
from engine.tuning_view import ParameterView

# Trades that are looked at: the last ones, all of them entered with the values of now. Without
# that one bad stretch would tighten again with every look at it.
TRADES = 10
# Shares of winners below which signals have to be surer, and by how much.
WEAK, POOR = 0.45, 0.35
SURER, MUCH_SURER = 0.05, 0.10
# How sure a signal has to be: the strategy's own measure comes before the one that all have.
CONFIDENCE = ("confidence_threshold", "confidence_min")
# How many indicators have to agree, and how many of them a poor strategy needs.
AGREEMENT = ("min_required_indicators", "agree")
ALL_INDICATORS = 5.0

Known = Mapping[str, ParameterView]


class Suggestion(NamedTuple):
    """Values that a rule wants, and its reason in a sentence."""

    values: tuple[tuple[str, float], ...]
    reason: str


def suggest(trades: Sequence[Trade], known: Known) -> Suggestion | None:
    """What the last closed trades of a bot (oldest first) call for, given its parameters by name.

    None where they are too few since the values stand, went well enough, or where nothing can be
    tightened now.
    """
    sure = _confidence(known)
    if sure is None:
        return None
    setting = known[sure].setting
    since = setting.changed_at if setting else 0
    last = [each for each in trades if each.entry_time >= since][-TRADES:]
    wins = sum(each.net_pnl > ZERO for each in last)
    if len(last) < TRADES or wins >= WEAK * TRADES:
        return None
    values = tuple(_tighter(known, sure, poor=wins < POOR * TRADES))
    if not values:
        return None
    return Suggestion(values, f"{wins} of the last {TRADES} trades won: signals have to be surer.")


def _confidence(known: Known) -> str | None:
    """The measure of confidence that is in force; 0 asks for none."""
    return next((name for name in CONFIDENCE if name in known and known[name].value > 0.0), None)


def _tighter(known: Known, sure: str, *, poor: bool) -> Iterator[tuple[str, float]]:
    """Those of the wanted values that can be had now, or as far toward them as they go."""
    wanted = {sure: known[sure].value + (MUCH_SURER if poor else SURER)}
    if poor:
        wanted |= {name: ALL_INDICATORS for name in AGREEMENT if name in known}
    for name, value in wanted.items():
        view = known[name]
        steps = round((min(value, view.highest) - view.value) / view.parameter.step)
        if steps > 0 and not view.rests_until:
            yield name, view.parameter.stepped(view.value, steps)
