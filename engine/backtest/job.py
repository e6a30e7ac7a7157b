"""A backtest from its candles to its figures: what a worker process runs for the desk.

It imports numpy, and compiles: the desk hands `run` over to a worker by its name.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from engine.backtest import fast, speed
from engine.backtest.history import History, check, from_archive, made
from engine.backtest.plan import Plan
from engine.backtest.serial import report_of
from engine.backtest.signals import signals
from engine.candle import timeframe_name
from engine.columns import columns_of, rates_of
from engine.errors import BadInput
from engine.market import download
from engine.market.archive import Archive
from engine.metrics import Metric
from engine.studies import Finding, Place, Recorded, Setup, Source, Stage

# Enough for the compiler to see every type; nothing is read off them.
BARS_TO_COMPILE_WITH = 50

Tell = Callable[[Stage, str], None]
"""Told each stage as it begins, and what more there is to say of it."""


def run(
    tell: Tell, setup: Setup, plan: Plan, place: Place, source: Path | None = None
) -> tuple[Finding, dict[str, Metric]]:
    """What the setup, as a plan, does on its candles, and all metrics of it.

    `source` is the file of a strategy that is not the program's own. Raises BadInput for candles
    that it can't run on, Unreachable where Bybit does not answer.
    """
    history = history_of(tell, setup, place)
    check(plan.strategy, history)
    if not plan.exact and source is None:
        tell(Stage.COMPILING, "once for each version of the strategy")
        _compile(plan, history)
    tell(Stage.RUNNING, f"{history.bars:,} bars{', candle by candle' if plan.exact else ''}")
    outcome = speed.run(plan, history, source)
    tell(Stage.MEASURING, f"{len(outcome.trips):,} trades")
    return Finding.of(outcome), dict(report_of(outcome).metrics)


def _compile(plan: Plan, history: History) -> None:
    """Have both loops compiled, or loaded from where they are kept."""
    first = history.only(history.symbols[:1])
    few = first.within(first.start, first.start + BARS_TO_COMPILE_WITH * plan.strategy.timeframe)
    feeds = list(fast.feeds_of(plan.strategy, few).values())
    found = [signals(plan.strategy, each, few.interval) for each in feeds]
    fast.trade_signals(plan, few, feeds, found)


# -- candles -------------------------------------------------------------------------------


def history_of(tell: Tell, setup: Setup, place: Place) -> History:
    """The setup's candles, from where it says. Raises as `run` does."""
    archive = Archive(place.data_dir)
    if setup.source is Source.BYBIT:
        tell(Stage.FETCHING, "")
        asyncio.run(_fetch(tell, setup, place, archive))
    tell(Stage.LOADING, "")
    if setup.source is Source.MARKET:
        assert place.recorded is not None
        return _recorded(setup, place.recorded)
    return from_archive(archive, setup.symbols, setup.interval, setup.start, setup.stop)


def _recorded(setup: Setup, recorded: Recorded) -> History:
    columns = {symbol: columns_of(recorded.series[symbol]) for symbol in setup.symbols}
    for symbol, bars in columns.items():
        if not len(bars.ts):
            raise BadInput("symbol", symbol, "one of which the market has candles by now")
    rates = {symbol: rates_of(recorded.rates[symbol]) for symbol in setup.symbols}
    return made(setup.interval, columns, rates, recorded.instruments, recorded.remarks)


async def _fetch(tell: Tell, setup: Setup, place: Place, archive: Archive) -> None:
    """Bring what is not stored yet of the setup's candles into the archive."""
    rest = download.open_rest(place.rest_base, place.clock)
    span = setup.stop - setup.start
    try:
        # Names an unknown symbol before the long way.
        await download.wanted(
            rest,
            place.clock,
            setup.symbols,
            setup.interval,
            span,
            replace=False,
            keeps=True,
        )
        bars = download.Wanted(setup.interval, setup.start, setup.stop, keeps=True)
        for symbol in setup.symbols:
            await download.fetch(rest, archive, place.clock, symbol, bars, _progress(tell, setup))
    finally:
        rest.close()


def _progress(tell: Tell, setup: Setup) -> download.OnProgress:
    timeframe = timeframe_name(setup.interval)

    def on_progress(symbol: str, asked: int, total: int) -> None:
        tell(Stage.FETCHING, f"{symbol} {timeframe}, {100 * asked // total} % of {total:,} bars")

    return on_progress
