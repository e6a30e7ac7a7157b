"""The candles that are stored for backtests: what there is of which symbol."""

import asyncio

from engine.market.holdings import Holding
from handlers.command import Context, command
from handlers.reply import Reply, Table, Time, Value, reply

COLUMNS = ("symbol", "timeframe", "from", "to", "bars", "gaps", "missing", "megabytes")
HOW = "Nothing is stored yet. `countersign data fetch BTCUSDT`, typed where the desk runs, does it."


@command("data")
async def data(context: Context) -> Reply:
    """The stored candles and funding rates: from when to when, and how many bars are missing.

    `countersign data fetch` and `countersign data import`, typed where the desk runs, store more.
    A backtest reads them.

    Example: /data
    """
    # The manifests are files; a slow disk must not hold the desk up.
    stored = await asyncio.to_thread(context.desk.holdings)
    return reply(Table("Stored candles", COLUMNS, tuple(map(_row, stored)), empty=HOW))


def _row(each: Holding) -> tuple[Value, ...]:
    return (
        each.symbol,
        each.timeframe,
        Time(each.start),
        Time(each.end),
        each.bars,
        each.gaps,
        each.missing,
        f"{each.size / 1e6:.1f}",
    )
