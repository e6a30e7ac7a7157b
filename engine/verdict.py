"""Whether what a study found is worth a proposal, and if not, why: a table of checks.

Pure; probabilities and shares are fractions, Sharpe ratios annualized.
"""

from collections.abc import Callable
from typing import NamedTuple

from engine.tuning import Figures

TRADES_MIN = 30
# By how much the Sharpe ratio out of sample has to be better.
SHARPE_MARGIN = 0.3
SURE_MIN = 0.9
DEFLATED_MIN = 0.95
NEIGHBORS_MIN = 0.5
# How much deeper the drawdown may be: this multiple of the one before, and so much more.
DEEPER = 1.5
DEEPER_SLACK = 0.02
# How far the fast and the exact backtest may be apart.
RETURN_TOLERANCE = 0.005
TRADES_TOLERANCE = 0.01


class Proof(NamedTuple):
    """What a study measured of the values it chose.

    `before` and `after` are out of sample; `sure` is the probability that the latter earns more,
    `deflated` that its Sharpe ratio is above zero after `trials`; `neighbors` is the share of it
    that values near by keep. `changed` is False where the best values are those in force.
    """

    trials: int
    changed: bool
    before: Figures
    after: Figures
    sure: float
    deflated: float
    neighbors: float


def verdict(proof: Proof) -> str:
    """Why nothing is proposed, in a sentence with the numbers; empty where something is."""
    return next(filter(None, (check(proof) for check in CHECKS)), "")


def proposed(proof: Proof) -> str:
    """What speaks for the values, in a sentence."""
    before, after = proof.before, proof.after
    return (
        f"Out of sample {after.total_return:+.1%} at a Sharpe ratio of {_ratio(after)} in "
        f"{after.trades} trades, against {before.total_return:+.1%} at {_ratio(before)} with the "
        f"values in force; the best of {_sets(proof)}."
    )


def disagreement(fast: Figures, exact: Figures) -> str:
    """Why the exact backtest does not bear out the fast one; empty where it does."""
    apart = abs(fast.total_return - exact.total_return)
    if apart <= RETURN_TOLERANCE and abs(fast.trades - exact.trades) <= max(
        1, TRADES_TOLERANCE * exact.trades
    ):
        return ""
    return (
        f"The exact backtest gives {exact.total_return:+.2%} in {exact.trades} trades where the "
        f"fast one gave {fast.total_return:+.2%} in {fast.trades}: nothing is proposed on that."
    )


# -- the checks --------------------------------------------------------------------------


def _changed(proof: Proof) -> str:
    if proof.changed:
        return ""
    return f"Nothing better was found: of {_sets(proof)} the values in force are the best."


def _trades(proof: Proof) -> str:
    trades = proof.after.trades
    if trades >= TRADES_MIN:
        return ""
    return (
        f"The best values closed {trades} trade{'' if trades == 1 else 's'} out of sample, and it "
        f"takes {TRADES_MIN} to judge."
    )


def _return(proof: Proof) -> str:
    before, after = proof.before, proof.after
    if after.total_return > max(before.total_return, 0.0):
        return ""
    return (
        f"The best values returned {after.total_return:+.2%} out of sample after costs, those in "
        f"force {before.total_return:+.2%}: a proposal has to earn something, and more."
    )


def _sharpe(proof: Proof) -> str:
    before, after = proof.before, proof.after
    if after.sharpe is not None and after.sharpe >= max(before.sharpe or 0.0, 0.0) + SHARPE_MARGIN:
        return ""
    return (
        f"The best values have a Sharpe ratio of {_ratio(after)} out of sample, those in force "
        f"{_ratio(before)}: a proposal has to be better by {SHARPE_MARGIN:g}."
    )


def _sure(proof: Proof) -> str:
    if proof.sure >= SURE_MIN:
        return ""
    return (
        f"That the best values earn more than those in force is {proof.sure:.0%} probable out of "
        f"sample, and it takes {SURE_MIN:.0%}."
    )


def _deflated(proof: Proof) -> str:
    if proof.deflated >= DEFLATED_MIN:
        return ""
    return (
        f"After {proof.trials} trials the Sharpe ratio of the best values is above zero with a "
        f"probability of {proof.deflated:.0%} (deflated), and it takes {DEFLATED_MIN:.0%}."
    )


def _neighbors(proof: Proof) -> str:
    if proof.neighbors >= NEIGHBORS_MIN:
        return ""
    return (
        f"The best values stand alone: their neighbors keep {proof.neighbors:.0%} of the Sharpe "
        f"ratio, and it takes {NEIGHBORS_MIN:.0%}."
    )


def _drawdown(proof: Proof) -> str:
    before, after = proof.before, proof.after
    allowed = before.max_drawdown * DEEPER + DEEPER_SLACK
    if after.max_drawdown <= allowed:
        return ""
    return (
        f"The best values fell by {after.max_drawdown:.1%} out of sample, those in force by "
        f"{before.max_drawdown:.1%}: {allowed:.1%} would be allowed."
    )


CHECKS: tuple[Callable[[Proof], str], ...] = (
    _trades,
    _changed,
    _return,
    _sharpe,
    _sure,
    _deflated,
    _neighbors,
    _drawdown,
)


def _sets(proof: Proof) -> str:
    return f"{proof.trials} set{'s' if proof.trials > 1 else ''}"


def _ratio(figures: Figures) -> str:
    return "none" if figures.sharpe is None else f"{figures.sharpe:.2f}"
