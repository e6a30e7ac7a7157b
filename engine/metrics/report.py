"""The report of a period: every figure by its key, the same for backtest, paper and live."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.candle import DAY_MS
from engine.metrics.drawdown import drawdown_figures
from engine.metrics.facts import (
    DAYS_A_YEAR,
    Mark,
    Metric,
    RoundTrip,
    Unit,
    known,
    quotient,
    too_few,
    undefined,
)
from engine.metrics.moments import mean
from engine.metrics.returns import (
    Trials,
    annual_return,
    daily_returns,
    deflated_sharpe,
    expected_shortfall,
    omega,
    probabilistic_sharpe,
    sharpe,
    sortino,
    value_at_risk,
    volatility,
)
from engine.metrics.trades import time_in_market, trade_figures

NEVER_FELL = "equity never fell"


class Title(NamedTuple):
    """How a figure is shown: under which heading, by what name, and in which unit."""

    group: str
    label: str
    unit: Unit


# Every figure of a report, in the order to show them.
TITLES: dict[str, Title] = {
    "start": Title("Period", "Start", Unit.TIME),
    "end": Title("Period", "End", Unit.TIME),
    "days": Title("Period", "Whole days", Unit.COUNT),
    "equity": Title("Result", "Equity at the end", Unit.MONEY),
    "return": Title("Result", "Return", Unit.FRACTION),
    "buy_and_hold": Title("Result", "Buy and hold", Unit.FRACTION),
    "cagr": Title("Result", "Return a year (CAGR)", Unit.FRACTION),
    "net_profit": Title("Result", "Net profit of trades", Unit.MONEY),
    "roi": Title("Result", "Net profit of the deposit (ROI)", Unit.FRACTION),
    "gross_profit": Title("Result", "Won", Unit.MONEY),
    "gross_loss": Title("Result", "Lost", Unit.MONEY),
    "best_day": Title("Result", "Best day", Unit.FRACTION),
    "worst_day": Title("Result", "Worst day", Unit.FRACTION),
    "sharpe": Title("Ratios", "Sharpe", Unit.RATIO),
    "sortino": Title("Ratios", "Sortino", Unit.RATIO),
    "calmar": Title("Ratios", "Calmar", Unit.RATIO),
    "omega": Title("Ratios", "Omega", Unit.RATIO),
    "probabilistic_sharpe": Title("Ratios", "Probabilistic Sharpe", Unit.FRACTION),
    "deflated_sharpe": Title("Ratios", "Deflated Sharpe", Unit.FRACTION),
    "recovery_factor": Title("Ratios", "Recovery factor", Unit.RATIO),
    "max_drawdown": Title("Risk", "Max drawdown", Unit.FRACTION),
    "max_drawdown_money": Title("Risk", "Max drawdown in money", Unit.MONEY),
    "drawdown_peak": Title("Risk", "Drawdown from", Unit.TIME),
    "drawdown_trough": Title("Risk", "Drawdown deepest", Unit.TIME),
    "drawdown_recovery": Title("Risk", "Drawdown recovered", Unit.TIME),
    "longest_underwater": Title("Risk", "Longest underwater", Unit.MS),
    "ulcer_index": Title("Risk", "Ulcer index", Unit.FRACTION),
    "volatility": Title("Risk", "Volatility a year", Unit.FRACTION),
    "value_at_risk": Title("Risk", "VaR 95 % a day", Unit.FRACTION),
    "expected_shortfall": Title("Risk", "CVaR 95 % a day", Unit.FRACTION),
    "exposure": Title("Risk", "Time in the market", Unit.FRACTION),
    "turnover": Title("Risk", "Turnover a day", Unit.RATIO),
    "trades": Title("Trades", "Trades", Unit.COUNT),
    "wins": Title("Trades", "Wins", Unit.COUNT),
    "losses": Title("Trades", "Losses", Unit.COUNT),
    "break_even": Title("Trades", "Break-even", Unit.COUNT),
    "trades_a_day": Title("Trades", "Trades a day", Unit.RATIO),
    "win_rate": Title("Trades", "Win rate", Unit.FRACTION),
    "payoff": Title("Trades", "Payoff", Unit.RATIO),
    "profit_factor": Title("Trades", "Profit factor", Unit.RATIO),
    "expectancy": Title("Trades", "Expectancy", Unit.MONEY),
    "expectancy_r": Title("Trades", "Expectancy in R", Unit.RATIO),
    "sqn": Title("Trades", "SQN", Unit.RATIO),
    "kelly": Title("Trades", "Kelly", Unit.FRACTION),
    "mean_win": Title("Trades", "Mean win", Unit.MONEY),
    "mean_loss": Title("Trades", "Mean loss", Unit.MONEY),
    "best_trade": Title("Trades", "Best trade", Unit.MONEY),
    "worst_trade": Title("Trades", "Worst trade", Unit.MONEY),
    "longest_winning_streak": Title("Trades", "Longest winning streak", Unit.COUNT),
    "longest_losing_streak": Title("Trades", "Longest losing streak", Unit.COUNT),
    "mean_duration": Title("Trades", "Mean duration", Unit.MS),
    "median_duration": Title("Trades", "Median duration", Unit.MS),
    "mean_win_duration": Title("Trades", "Mean duration of wins", Unit.MS),
    "median_win_duration": Title("Trades", "Median duration of wins", Unit.MS),
    "mean_loss_duration": Title("Trades", "Mean duration of losses", Unit.MS),
    "median_loss_duration": Title("Trades", "Median duration of losses", Unit.MS),
    "mean_adverse": Title("Trades", "Mean MAE", Unit.FRACTION),
    "mean_favorable": Title("Trades", "Mean MFE", Unit.FRACTION),
    "fees": Title("Costs", "Fees", Unit.MONEY),
    "fees_share": Title("Costs", "Fees of what trades gained", Unit.FRACTION),
    "funding": Title("Costs", "Funding", Unit.MONEY),
    "slippage": Title("Costs", "Slippage", Unit.MONEY),
}


@dataclass(frozen=True, slots=True)
class Report:
    """Every figure of TITLES, in that order."""

    metrics: Mapping[str, Metric]

    def __getitem__(self, key: str) -> Metric:
        return self.metrics[key]

    def rows(self) -> Iterator[tuple[str, Title, Metric]]:
        """Key, title and figure of each, in the order to show them."""
        return ((key, TITLES[key], metric) for key, metric in self.metrics.items())

    def as_dict(self) -> dict[str, dict[str, float | int | str | None]]:
        """For JSON: by key the value, its n, why it is missing, and its unit."""
        return {key: metric.as_dict() for key, metric in self.metrics.items()}


def measure(
    marks: Sequence[Mark],
    trips: Sequence[RoundTrip],
    *,
    deposit: float | None = None,
    prices: Mapping[str, tuple[float, float]] | None = None,
    opened: Sequence[int] = (),
    trials: Trials | None = None,
    days_a_year: float = DAYS_A_YEAR,
) -> Report:
    """The report of a period from what the account was worth and the trades it closed.

    `marks` are oldest first, one a full hour and one at either end: return, CAGR and drawdown
    stand on all of them, ratios of days on the whole UTC days between them. `deposit` is the
    capital that net profit is set against (None: the first mark), `prices` the first and the
    last price of each symbol, `opened` when the positions were entered that are open at the end
    (UTC ms), `trials` what the parameters were picked from. Money that was paid in or out between
    the marks is not told apart from profit.
    """
    closed = sorted(trips, key=lambda trip: trip.exit_time)
    figures = trade_figures(closed)
    figures["buy_and_hold"] = buy_and_hold(prices or {})
    figures["roi"] = _roi(figures["net_profit"], marks, deposit)
    missing = _too_few_marks(marks)
    if missing is None:
        figures |= _of_equity(marks, days_a_year)
        figures |= _of_days(daily_returns(marks), days_a_year, trials)
        figures |= _of_activity(marks, closed, opened)
        figures["calmar"] = quotient(figures["cagr"], figures["max_drawdown"], NEVER_FELL)
    else:
        figures = dict.fromkeys(TITLES, missing) | figures
    return Report({key: figures[key]._replace(unit=title.unit) for key, title in TITLES.items()})


def buy_and_hold(prices: Mapping[str, tuple[float, float]]) -> Metric:
    """The return of holding every symbol from the first price to the last, in equal parts."""
    if not prices:
        return undefined("no price is known")
    return known(mean([last / first - 1.0 for first, last in prices.values()]), len(prices))


def _roi(net: Metric, marks: Sequence[Mark], deposit: float | None) -> Metric:
    capital = marks[0].equity if deposit is None and marks else deposit
    if capital is None or capital <= 0.0:
        return undefined("no deposit is known", net.n)
    return quotient(net, known(capital, 1), "")


def _too_few_marks(marks: Sequence[Mark]) -> Metric | None:
    """Why nothing can be said of equity, if nothing can."""
    if len(marks) < 2:
        return too_few(2, len(marks), "equity mark")
    if marks[0].equity <= 0.0:
        return undefined("equity was not above zero at the start", len(marks))
    return None


def _of_equity(marks: Sequence[Mark], days_a_year: float) -> dict[str, Metric]:
    n = len(marks)
    first, last = marks[0], marks[-1]
    drawdown = drawdown_figures(marks)
    earned = known(last.equity - first.equity, n)
    span = last.ts - first.ts
    years = span / (days_a_year * DAY_MS)
    growth = last.equity / first.equity
    return {
        "start": known(first.ts, n),
        "end": known(last.ts, n),
        "equity": known(last.equity, n),
        "return": known(growth - 1.0, n),
        "cagr": _under_a_day(span) or annual_return(growth, years, span // DAY_MS),
        **drawdown,
        "recovery_factor": quotient(earned, drawdown["max_drawdown_money"], NEVER_FELL),
    }


def _of_days(
    returns: Sequence[float], days_a_year: float, trials: Trials | None
) -> dict[str, Metric]:
    n = len(returns)
    none = too_few(1, 0, "day")
    return {
        "days": known(n, n),
        "best_day": known(max(returns), n) if returns else none,
        "worst_day": known(min(returns), n) if returns else none,
        "volatility": volatility(returns, days_a_year),
        "sharpe": sharpe(returns, days_a_year),
        "sortino": sortino(returns, days_a_year),
        "omega": omega(returns, days_a_year),
        "probabilistic_sharpe": probabilistic_sharpe(returns),
        "deflated_sharpe": deflated_sharpe(returns, trials),
        "value_at_risk": value_at_risk(returns),
        "expected_shortfall": expected_shortfall(returns),
    }


def _of_activity(
    marks: Sequence[Mark], trips: Sequence[RoundTrip], opened: Sequence[int]
) -> dict[str, Metric]:
    """Exposure is the share of time with at least one position held; turnover is what closed
    trades bought and sold a day, over mean equity."""
    n = len(trips)
    start, end = marks[0].ts, marks[-1].ts
    held = known(time_in_market(trips, start, end, opened), n + len(opened))
    short = _under_a_day(end - start)
    days = (end - start) / DAY_MS
    equity = mean([mark.equity for mark in marks])
    return {
        "exposure": quotient(held, known(end - start, held.n), "no time went by"),
        "trades_a_day": short or known(n / days, n),
        "turnover": short or _turnover(sum(trip.traded for trip in trips) / days, equity, n),
    }


def _turnover(traded: float, equity: float, n: int) -> Metric:
    return known(traded / equity, n) if equity > 0.0 else undefined("nothing was left", n)


def _under_a_day(span: int) -> Metric | None:
    """Why there is no rate of a day or a year, if there is none."""
    return undefined("needs 1 day, has less") if span < DAY_MS else None
