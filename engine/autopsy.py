"""A verdict on a closed trade by its measured figures alone, for where no model gives one.

Pure. The rules are ours and stated in `RULES`, so that nobody has to guess.
"""

from engine.advice import Autopsy, Verdict
from engine.order import Reason
from engine.position import Trade
from engine.trade_facts import Measured, TradeFacts, measures

# An entry that went so many times further the right way than the wrong one was good.
GOOD_RATIO = 2.0
# Shares of the greatest gain that a good and an acceptable exit keep.
GOOD_SHARE, FAIR_SHARE = 0.6, 0.3
# A move that is less, as a fraction, decides nothing.
NOISE = 0.0005
# Rules see prices and nothing else.
CONFIDENCE = 0.5
MEASURED = "measured figures"
RULES = (
    "An entry is good where the greatest gain while open was twice the greatest loss, acceptable "
    "where it was as great. The exit of a winner is good with 60 % of the greatest gain kept, "
    "acceptable with 30 %; that of a loser is good where the price stood worse 4 hours later, poor "
    "where it had come back to the entry."
)
UNKNOWN_PRICES = "Nothing is known of the prices of its time."


def verdict(facts: TradeFacts, instead: str) -> Autopsy:
    """What the figures say; `instead` is why no model does."""
    measured = facts.measured
    entry, entry_words = _entry(measured)
    leaving, exit_words = _exit(measured)
    won = facts.trade.net_pnl > 0
    return Autopsy(
        trade=facts.trade,
        levels=facts.levels,
        by=MEASURED,
        verdict=_overall(won, entry, leaving),
        entry=entry,
        entry_words=entry_words,
        exit=leaving,
        exit_words=exit_words,
        better_exit=_better_exit(measured),
        factors=(_reasons(facts),),
        lessons=(),
        advice=_advice(facts.trade, entry, leaving),
        confidence=CONFIDENCE if measured else 0.0,
        summary=f"{'A win' if won else 'A loss'}. Its entry is {entry}, its exit {leaving}.",
        measured=tuple(measures(facts)),
        instead=instead,
    )


def _entry(measured: Measured | None) -> tuple[Verdict, str]:
    if measured is None:
        return Verdict.UNKNOWN, UNKNOWN_PRICES
    best, worst = measured.best, -measured.worst
    words = f"It was {best:.2%} ahead at best and {worst:.2%} behind at worst."
    if best >= GOOD_RATIO * max(worst, NOISE):
        return Verdict.GOOD, words
    return (Verdict.ACCEPTABLE if best >= worst else Verdict.POOR), words


def _exit(measured: Measured | None) -> tuple[Verdict, str]:
    if measured is None:
        return Verdict.UNKNOWN, UNKNOWN_PRICES
    if measured.gain > 0:
        kept = measured.captured or 0.0
        words = f"It kept {kept:.0%} of the greatest gain."
        if kept >= GOOD_SHARE:
            return Verdict.GOOD, words
        return (Verdict.ACCEPTABLE if kept >= FAIR_SHARE else Verdict.POOR), words
    later = dict(measured.later).get(4)
    if later is None:
        return Verdict.UNKNOWN, "It is too early to say: 4 hours after it must have passed."
    words = (
        f"It was left at {measured.gain:+.2%}; 4 hours later it would have stood at {later:+.2%}."
    )
    if later < measured.gain - NOISE:
        return Verdict.GOOD, words
    return (Verdict.POOR if later >= 0 else Verdict.ACCEPTABLE), words


def _overall(won: bool, entry: Verdict, leaving: Verdict) -> Verdict:
    if entry is Verdict.UNKNOWN:
        return Verdict.UNKNOWN
    if won:
        return Verdict.ACCEPTABLE if Verdict.POOR in (entry, leaving) else Verdict.GOOD
    return Verdict.POOR if Verdict.POOR in (entry, leaving) else Verdict.ACCEPTABLE


def _better_exit(measured: Measured | None) -> float | None:
    if measured is None or measured.best <= measured.gain + NOISE:
        return None
    return measured.best_price


def _reasons(facts: TradeFacts) -> str:
    trade = facts.trade
    words = f"Entered because of {trade.entry_reason}, left because of {trade.close_reason}."
    return words.replace("_", " ")


def _advice(trade: Trade, entry: Verdict, leaving: Verdict) -> tuple[str, ...]:
    found = []
    if entry is Verdict.POOR:
        found.append("See whether a surer signal would have kept out of it: /why and /signals.")
    if leaving is Verdict.POOR:
        found.append(_better_leaving(trade))
    return tuple(found)


def _better_leaving(trade: Trade) -> str:
    """What would have kept more of a gain, or not have taken a loss that came back."""
    match trade.close_reason, trade.gross_pnl > 0:
        case Reason.TRAILING_STOP, True:
            return "A trailing stop that follows more closely keeps more of a gain: /tune show."
        case _, True:
            return "A trailing stop or a nearer target keeps more of a gain: /tune show."
        case Reason.STOP_LOSS | Reason.TRAILING_STOP, False:
            return "The stop may stand too near for this market's moves: /regime tells how wide."
        case reason, _:
            words = reason.replace("_", " ")
            return (
                f"It came back after it was left because of {words}: /why says what decides that."
            )
