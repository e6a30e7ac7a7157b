"""Ratios of a series of returns, one a day (or any other period: `periods` is how many a year).

Returns are fractions. The risk-free rate is zero; against another rate or a benchmark the
caller subtracts it from the returns first.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from math import e, fsum, sqrt
from operator import mul
from statistics import NormalDist
from typing import NamedTuple

from engine.candle import DAY_MS
from engine.metrics.facts import DAYS_A_YEAR, Mark, Metric, known, too_few, undefined
from engine.metrics.moments import deviation, kurtosis, mean, quantile, skewness

# Returns are quotients near 1: what varies by less than this varies by rounding only.
NOISE = 1e-12
TAIL = 0.05
# The tail of 5 % holds one of them.
TAIL_DAYS_MIN = 20
EULER_MASCHERONI = 0.5772156649015329

NO_LOSING_DAY = "no losing day"
NORMAL = NormalDist()


def daily_equity(marks: Sequence[Mark]) -> list[Mark]:
    """Equity at each UTC midnight between the first and the last mark (oldest first).

    At a midnight without a mark the last one before it holds.
    """
    days: list[Mark] = []
    if not marks:
        return days
    midnight = -(-marks[0].ts // DAY_MS) * DAY_MS
    for mark, following in pairwise((*marks, marks[-1]._replace(ts=marks[-1].ts + 1))):
        while midnight < following.ts:
            days.append(Mark(midnight, mark.equity))
            midnight += DAY_MS
    return days


def daily_returns(marks: Sequence[Mark]) -> list[float]:
    """The return of each whole UTC day; the part-days at both ends are none.

    The series ends with the day that left nothing, if there is one.
    """
    returns = []
    for before, after in pairwise(daily_equity(marks)):
        if before.equity <= 0.0:
            break
        returns.append(after.equity / before.equity - 1.0)
    return returns


def compounded(returns: Iterable[float]) -> list[float]:
    """What 1 becomes, before the first return and after each; nothing comes back from zero."""
    factors = (max(1.0 + each, 0.0) for each in returns)
    return list(accumulate(factors, mul, initial=1.0))


def annual_return(growth: float, years: float, n: int) -> Metric:
    """The constant yearly return (CAGR) by which 1 grows to `growth` in `years`."""
    if growth <= 0.0:
        return undefined("nothing was left", n)
    try:
        return known(growth ** (1.0 / years) - 1.0, n)
    except OverflowError:
        return undefined("too large to be a number", n)


def volatility(returns: Sequence[float], periods: float = DAYS_A_YEAR) -> Metric:
    """The standard deviation (ddof 1), annualized by the square root of time."""
    if len(returns) < 2:
        return too_few(2, len(returns), "day")
    return known(deviation(returns) * sqrt(periods), len(returns))


def sharpe(returns: Sequence[float], periods: float = DAYS_A_YEAR) -> Metric:
    """Mean over standard deviation (ddof 1), annualized."""
    why = _not_varied(returns)
    if why is not None:
        return why
    return known(_sharpe(returns) * sqrt(periods), len(returns))


def _sharpe(returns: Sequence[float]) -> float:
    return mean(returns) / deviation(returns)


def _not_varied(returns: Sequence[float]) -> Metric | None:
    """Why there is no Sharpe ratio, if there is none."""
    n = len(returns)
    if n < 2:
        return too_few(2, n, "day")
    if deviation(returns) <= NOISE:
        return undefined("the returns do not vary", n)
    return None


def downside_risk(returns: Sequence[float], periods: float = DAYS_A_YEAR) -> Metric:
    """The root of the mean square of the losses, over all days, annualized."""
    if not returns:
        return too_few(1, 0, "day")
    squares = [min(each, 0.0) ** 2 for each in returns]
    return known(sqrt(mean(squares) * periods), len(returns))


def sortino(returns: Sequence[float], periods: float = DAYS_A_YEAR) -> Metric:
    """Mean over downside risk, annualized; the target is zero."""
    n = len(returns)
    if n < 2:
        return too_few(2, n, "day")
    risk = downside_risk(returns, periods).value
    if risk is None or risk <= NOISE:
        return undefined(NO_LOSING_DAY, n)
    return known(mean(returns) * periods / risk, n)


def omega(returns: Sequence[float], periods: float = DAYS_A_YEAR, required: float = 0.0) -> Metric:
    """The sum of what was earned above `required` (a year) over the sum of what fell short."""
    n = len(returns)
    if n < 2:
        return too_few(2, n, "day")
    if required <= -1.0:
        return undefined("no return is -100 % a year or less", n)
    threshold = (1.0 + required) ** (1.0 / periods) - 1.0
    excess = [each - threshold for each in returns]
    shortfall = fsum(-each for each in excess if each < 0.0)
    if shortfall <= NOISE:
        return undefined(NO_LOSING_DAY, n)
    return known(fsum(each for each in excess if each > 0.0) / shortfall, n)


def value_at_risk(returns: Sequence[float]) -> Metric:
    """The loss that 95 % of the days stay under (historical), as a fraction above zero."""
    if len(returns) < TAIL_DAYS_MIN:
        return too_few(TAIL_DAYS_MIN, len(returns), "day")
    return known(-quantile(sorted(returns), TAIL), len(returns))


def expected_shortfall(returns: Sequence[float]) -> Metric:
    """The mean loss (CVaR) of the days that lose the value at risk or more."""
    if len(returns) < TAIL_DAYS_MIN:
        return too_few(TAIL_DAYS_MIN, len(returns), "day")
    cut = quantile(sorted(returns), TAIL)
    return known(-mean([each for each in returns if each <= cut]), len(returns))


# -- is the Sharpe ratio luck? -------------------------------------------------------------


class Trials(NamedTuple):
    """How many parameter sets were tried, and the variance of their Sharpe ratios a day."""

    tried: int
    variance: float

    @classmethod
    def of(cls, ratios: Sequence[float], periods: float = DAYS_A_YEAR) -> "Trials":
        """From the annualized Sharpe ratios of all that were tried."""
        variance = deviation(ratios) ** 2 / periods if len(ratios) > 1 else 0.0
        return cls(len(ratios), variance)


def probabilistic_sharpe(returns: Sequence[float], benchmark: float = 0.0) -> Metric:
    """The probability that the true Sharpe ratio is above `benchmark`, which is not annualized.

    Bailey and Lopez de Prado, The Sharpe Ratio Efficient Frontier (2012).
    """
    why = _not_varied(returns)
    if why is not None:
        return why
    n = len(returns)
    moments = skewness(returns), kurtosis(returns)
    confidence = sharpe_confidence(_sharpe(returns), benchmark, n, *moments)
    if confidence is None:
        return undefined("the returns take too few values", n)
    return known(confidence, n)


def deflated_sharpe(returns: Sequence[float], trials: Trials | None) -> Metric:
    """The probability that the true Sharpe ratio beats what the best of as many tries has by luck.

    Bailey and Lopez de Prado, The Deflated Sharpe Ratio (2014).
    """
    if trials is None or trials.tried < 2:
        return undefined("one parameter set was tried, so none was picked", len(returns))
    return probabilistic_sharpe(returns, luckiest_sharpe(trials))


def sharpe_confidence(
    ratio: float, benchmark: float, n: int, skew: float, kurt: float
) -> float | None:
    """The probability that a ratio measured on `n` returns is truly above `benchmark`.

    None where the estimate has no error: the returns take two values only.
    """
    variance = 1.0 - skew * ratio + (kurt - 1.0) / 4.0 * ratio * ratio
    if variance <= NOISE:
        return None
    return NORMAL.cdf((ratio - benchmark) * sqrt((n - 1) / variance))


def luckiest_sharpe(trials: Trials) -> float:
    """The Sharpe ratio a day to expect of the best of at least two trials without any skill."""
    first = NORMAL.inv_cdf(1.0 - 1.0 / trials.tried)
    second = NORMAL.inv_cdf(1.0 - 1.0 / (trials.tried * e))
    weighed = (1.0 - EULER_MASCHERONI) * first + EULER_MASCHERONI * second
    return sqrt(trials.variance) * weighed
