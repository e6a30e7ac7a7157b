"""`countersign data ...`: the candles and funding rates stored for backtests.

What is heavy is imported when a command runs. None of them takes the desk's lock.
"""

import asyncio
import json as jsonlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.candle import DAY_MS, timeframe_ms, timeframe_name
from engine.errors import BadInput, Unreachable
from engine.market.candle_file import utc
from engine.market.holdings import FUNDING, KEEP_DAYS_MAX, Holding, holdings

if TYPE_CHECKING:
    from bot.settings import Settings
    from engine.market.archive import Archive

# How often progress is told where it is a line each time, in percent.
STEP = 25

data = typer.Typer(help="Fetch, import and list the stored candles.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
Replace = Annotated[
    bool,
    typer.Option("--replace", help="Believe the new values where others are stored."),
]


@data.command()
def fetch(
    symbols: Annotated[str, typer.Argument(metavar="SYMBOL,...", help="Such as BTCUSDT,ETHUSDT.")],
    timeframe: Annotated[str, typer.Option(help="The length of a bar.")] = "5m",
    days: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=KEEP_DAYS_MAX,
            help="How far back; by default as far as candles are kept. More days are kept, too.",
        ),
    ] = None,
    replace: Replace = False,
) -> None:
    """Fetch candles and funding rates from Bybit; what is stored already is not asked for again.

    A fetch that was ended goes on where it was when it is started again. What is fetched for
    more than [data] keep_days stays until its folder under DATA_DIR/candles is removed.
    """
    wanted = _symbols(symbols)
    interval = timeframe_ms(timeframe.lower())
    asyncio.run(_fetch(_settings(), wanted, interval, days, replace))


@data.command(name="import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="CSV, CSV.gz or Parquet, or folders.")
    ],
    replace: Replace = False,
) -> None:
    """Import candles and funding rates from files; says what was wrong with them.

    What is imported stays until its folder under DATA_DIR/candles is removed.
    """
    from bot.clock import SystemClock
    from engine.market.archive import Archive
    from engine.market.intake import take_in

    settings = _settings()
    archive, now = Archive(settings.data_dir), SystemClock().now()
    _say(take_in(archive, paths, now, replace))


@data.command(name="list")
def list_(json: Json = False) -> None:
    """List what is stored: symbol, timeframe, from, to, bars, gaps and size."""
    from bot.settings import load

    stored = holdings(load(os.environ, Path()).data_dir)
    if json:
        _say([jsonlib.dumps(asdict(each)) for each in stored])
    else:
        _say(_table(stored) or ["Nothing is stored. `countersign data fetch BTCUSDT` fetches it."])


def _settings() -> "Settings":
    from bot.settings import load, prepare_folder

    settings = load(os.environ, Path())
    prepare_folder(settings)
    return settings


def _symbols(text: str) -> list[str]:
    found = [word.strip().upper() for word in text.split(",") if word.strip()]
    if not found:
        raise BadInput("symbols", text, "symbols with commas between, as in BTCUSDT,ETHUSDT")
    return list(dict.fromkeys(found))


async def _fetch(
    settings: "Settings", symbols: Sequence[str], interval: int, days: int | None, replace: bool
) -> None:
    import structlog

    from bot.clock import SystemClock
    from engine.market import download
    from engine.market.archive import Archive

    # What is said on standard output is for those who asked.
    structlog.configure(logger_factory=structlog.WriteLoggerFactory(file=sys.stderr))
    clock, archive = SystemClock(), Archive(settings.data_dir)
    kept = settings.data.keep_days
    days = kept if days is None else days
    rest = download.open_rest(settings.bases.rest, clock)
    try:
        bars = await download.wanted(
            rest, clock, symbols, interval, days * DAY_MS, replace=replace, keeps=days > kept
        )
        progress = _progress(timeframe_name(interval))
        for symbol in symbols:
            _say(await download.fetch(rest, archive, clock, symbol, bars, progress))
    except Unreachable as error:
        raise Unreachable(
            f"{error} What came until now is stored; the same command goes on from there."
        ) from error
    finally:
        rest.close()
    # By Bybit's time: a wrong clock of ours must not drop what is young.
    _say(_pruned(archive, bars.stop - kept * DAY_MS, kept))


def _pruned(archive: "Archive", before: int, days: int) -> list[str]:
    return [
        f"{each.symbol} {each.timeframe}: {each.bars:,} {_noun(each)} up to {utc(each.end)} "
        f"dropped; {days} days are kept ([data] keep_days)."
        for each in archive.prune(before)
    ]


def _noun(holding: Holding) -> str:
    return "rates" if holding.timeframe == FUNDING else "bars"


def _progress(timeframe: str) -> Callable[[str, int, int], None]:
    """Tells progress on standard error: one line that changes on a terminal, else a few lines."""
    changes = sys.stderr.isatty()
    told: dict[str, int] = {}

    def tell(symbol: str, asked: int, total: int) -> None:
        percent = 100 * asked // total
        step = percent if changes else percent // STEP * STEP
        if told.get(symbol) == step:
            return
        told[symbol] = step
        line = f"{symbol} {timeframe}: {percent:3d} % of {total:,} bars"
        sys.stderr.write(f"\r{line}{chr(10) * (percent == 100)}" if changes else f"{line}\n")
        sys.stderr.flush()

    return tell


def _table(stored: Sequence[Holding]) -> list[str]:
    if not stored:
        return []
    head = ("symbol", "timeframe", "from", "to", "bars", "gaps", "size", "kept")
    rows = [head, *map(_row, stored)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _row(each: Holding) -> tuple[str, ...]:
    gaps = f"{each.gaps:,} ({each.missing:,} bars)" if each.gaps else "0"
    kept = f"since {utc(each.kept_since)}" if each.kept_since else ""
    size = f"{each.size / 1e6:.1f} MB"
    return (
        each.symbol, each.timeframe, utc(each.start), utc(each.end), f"{each.bars:,}", gaps, size,
        kept,
    )  # fmt: skip


def _say(lines: Sequence[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()
