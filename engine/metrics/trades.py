"""Figures of closed round trips: how often they win, how much, and how long they take.

A trade whose net profit is exactly zero is neither won nor lost.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import fsum, sqrt
from statistics import median

from engine.metrics.facts import Metric, RoundTrip, known, quotient, too_few, undefined
from engine.metrics.moments import deviation, mean
from engine.metrics.returns import NOISE

NO_TRADE = "no trade closed"
NO_WIN = "no winning trade"
NO_LOSS = "no losing trade"


def win_rate(nets: Sequence[float]) -> Metric:
    """The share of trades that won."""
    return _share(sum(net > 0.0 for net in nets), len(nets))


def _share(part: int, n: int) -> Metric:
    return known(part / n, n) if n else undefined(NO_TRADE)


def profit_factor(nets: Sequence[float]) -> Metric:
    """All that was won over all that was lost."""
    won = fsum(net for net in nets if net > 0.0)
    lost = -fsum(net for net in nets if net < 0.0)
    if not nets:
        return undefined(NO_TRADE)
    return known(won / lost, len(nets)) if lost else undefined(NO_LOSS, len(nets))


def payoff(nets: Sequence[float]) -> Metric:
    """The mean win over the mean loss."""
    wins = [net for net in nets if net > 0.0]
    losses = [-net for net in nets if net < 0.0]
    lost = _mean(losses, NO_LOSS)
    return quotient(_mean(wins, NO_WIN), lost, NO_LOSS)._replace(n=len(wins) + len(losses))


def kelly(nets: Sequence[float]) -> Metric:
    """The share of capital that makes it grow fastest (Kelly, 1956): W - (1 - W) / payoff.

    W is the share of wins among the trades won and lost. Below zero there is no edge.
    """
    ratio = payoff(nets)
    if ratio.value is None:
        return ratio
    won = sum(net > 0.0 for net in nets) / ratio.n
    return known(won - (1.0 - won) / ratio.value, ratio.n)


def sqn(nets: Sequence[float]) -> Metric:
    """System quality number (Tharp) on money: root of n times mean over standard deviation."""
    n = len(nets)
    if n < 2:
        return too_few(2, n, "trade")
    spread = deviation(nets)
    if spread <= NOISE * max(map(abs, nets)):
        return undefined("all trades earned the same", n)
    return known(sqrt(n) * mean(nets) / spread, n)


def expectancy_r(trips: Iterable[RoundTrip]) -> Metric:
    """The mean net profit as a multiple of what the first stop would have lost.

    A trade that was filled beyond its stop already risked nothing that could be counted.
    """
    multiples = [trip.net / trip.risk for trip in trips if trip.risk and trip.risk > 0.0]
    return _mean(multiples, "no trade with a known risk")


def longest_streaks(nets: Iterable[float]) -> tuple[int, int]:
    """The longest runs of wins and of losses, of trades in the order of their exits."""
    longest = {1: 0, 0: 0, -1: 0}
    for outcome, run in groupby(nets, _sign):
        longest[outcome] = max(longest[outcome], sum(1 for _ in run))
    return longest[1], longest[-1]


def _sign(value: float) -> int:
    return (value > 0.0) - (value < 0.0)


def time_in_market(
    trips: Iterable[RoundTrip], start: int, end: int, opened: Iterable[int] = ()
) -> int:
    """For how many ms of a stretch of time at least one position was held.

    `opened` is when those were entered that are open still (UTC ms).
    """
    held = 0
    until = start
    closed = ((trip.entry_time, trip.exit_time) for trip in trips)
    for entered, left in sorted((*closed, *((ts, end) for ts in opened))):
        first, last = max(entered, until), min(left, end)
        if last > first:
            held += last - first
            until = last
    return held


def _mean(values: Sequence[float], why_not: str) -> Metric:
    return known(mean(values), len(values)) if values else undefined(why_not)


def _median(values: Sequence[float], why_not: str) -> Metric:
    return known(median(values), len(values)) if values else undefined(why_not)


def _total(values: Sequence[float], why_not: str) -> Metric:
    return known(fsum(values), len(values)) if values else undefined(why_not)


# -- the figures of a report ---------------------------------------------------------------


def trade_figures(trips: Sequence[RoundTrip]) -> dict[str, Metric]:
    """Every figure that needs nothing but the trades, which are in the order of their exits."""
    nets = [trip.net for trip in trips]
    return {
        **_counts(nets),
        **_money(trips, nets),
        "win_rate": win_rate(nets),
        "payoff": payoff(nets),
        "profit_factor": profit_factor(nets),
        "expectancy": _mean(nets, NO_TRADE),
        "expectancy_r": expectancy_r(trips),
        "sqn": sqn(nets),
        "kelly": kelly(nets),
        **_durations(trips, nets),
        **_excursions(trips),
    }


def _counts(nets: Sequence[float]) -> dict[str, Metric]:
    n = len(nets)
    winning, losing = longest_streaks(nets)
    counts = {
        "trades": n,
        "wins": sum(net > 0.0 for net in nets),
        "losses": sum(net < 0.0 for net in nets),
        "break_even": sum(net == 0.0 for net in nets),
        "longest_winning_streak": winning,
        "longest_losing_streak": losing,
    }
    return {key: known(count, n) for key, count in counts.items()}


def _money(trips: Sequence[RoundTrip], nets: Sequence[float]) -> dict[str, Metric]:
    n = len(trips)
    wins = [net for net in nets if net > 0.0]
    losses = [net for net in nets if net < 0.0]
    fees = known(fsum(trip.fees for trip in trips), n)
    gains = known(fsum(trip.gross for trip in trips if trip.gross > 0.0), n)
    slippage = [trip.slippage for trip in trips if trip.slippage is not None]
    return {
        "net_profit": known(fsum(nets), n),
        "gross_profit": known(fsum(wins), len(wins)),
        "gross_loss": known(fsum(losses), len(losses)),
        "mean_win": _mean(wins, NO_WIN),
        "mean_loss": _mean(losses, NO_LOSS),
        "best_trade": known(max(nets), n) if nets else undefined(NO_TRADE),
        "worst_trade": known(min(nets), n) if nets else undefined(NO_TRADE),
        "fees": fees,
        "fees_share": quotient(fees, gains, "no trade gained before costs"),
        "funding": known(fsum(trip.funding for trip in trips), n),
        "slippage": _total(slippage, "slippage is not known of any trade"),
    }


def _durations(trips: Sequence[RoundTrip], nets: Sequence[float]) -> dict[str, Metric]:
    held = [(net, float(trip.duration)) for net, trip in zip(nets, trips, strict=True)]
    groups = {
        "duration": (NO_TRADE, [duration for _, duration in held]),
        "win_duration": (NO_WIN, [duration for net, duration in held if net > 0.0]),
        "loss_duration": (NO_LOSS, [duration for net, duration in held if net < 0.0]),
    }
    figures = {}
    for name, (why_not, durations) in groups.items():
        figures[f"mean_{name}"] = _mean(durations, why_not)
        figures[f"median_{name}"] = _median(durations, why_not)
    return figures


def _excursions(trips: Sequence[RoundTrip]) -> dict[str, Metric]:
    adverse = [trip.adverse for trip in trips if trip.adverse is not None]
    favorable = [trip.favorable for trip in trips if trip.favorable is not None]
    why_not = "not known of any trade"
    return {"mean_adverse": _mean(adverse, why_not), "mean_favorable": _mean(favorable, why_not)}
