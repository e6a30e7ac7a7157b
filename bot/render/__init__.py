"""Renderers: replies as text, JSON and pictures; only they know how a surface looks."""

from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from pathlib import Path
from zlib import crc32

import structlog

from bot.render.qr import QrCode
from engine.errors import CountersignError
from handlers.reply import (
    BarChart,
    CandleChart,
    Chart,
    CurvesChart,
    Enrollment,
    EquityChart,
    Reply,
)

# Pictures kept in the folder, the newest: what was shown can be looked at again for a while.
PICTURES_KEPT = 50
# More are the noise of a float.
DECIMALS_MAX = 8

Picture = CandleChart | EquityChart | BarChart | CurvesChart
Draw = Callable[[Picture, Path], Awaitable[None]]
# What became of a picture: a file in the folder, or one that is made where it is sent.
Drawn = Path | QrCode
# The otpauth address while somebody (a principal's id) enrolls, else None.
Enrolling = Callable[[str], str | None]

log = structlog.get_logger()


def draw_picture(picture: Picture, path: Path) -> None:
    """Draw into `path`. For a worker: matplotlib takes 100 MB and half a second to load."""
    from bot.render.chart import draw

    draw(picture, path)


def decimals(prices: Iterable[float]) -> int:
    """How many decimals prices need to be told apart: those of the finest one."""
    exponents = (Decimal(repr(price)).normalize().as_tuple().exponent for price in prices)
    return min(max([0, *(-int(exponent) for exponent in exponents)]), DECIMALS_MAX)


async def draw_charts(
    reply: Reply, folder: Path, draw: Draw, enrolling: Enrolling
) -> list[Drawn | None]:
    """Have every chart of a reply drawn into `folder`; None stands for one that failed.

    They are in the order of the blocks, as every renderer takes them. An enrollment's picture
    is among them, in no folder: None stands for it once nothing waits to be confirmed.
    """
    drawn: list[Drawn | None] = []
    for block in reply.blocks:
        match block:
            case Chart(chart):
                drawn.append(await _drawn(chart, folder, draw))
            case Enrollment(principal_id):
                uri = enrolling(principal_id)
                drawn.append(QrCode(uri) if uri else None)
    if any(isinstance(block, Chart) for block in reply.blocks):
        _tidy(folder)
    return drawn


async def _drawn(picture: Picture, folder: Path, draw: Draw) -> Path | None:
    path = (folder / _name(picture)).resolve()
    try:
        if isinstance(picture, CurvesChart) and path.exists():
            # Its name tells all of it: everybody's card of a proposal shows the one picture.
            path.touch()
            return path
        _make(folder)
        await draw(picture, path)
    except (CountersignError, OSError) as error:
        log.error("a chart could not be drawn", path=str(path), error=str(error))
        return None
    return path


def _name(picture: Picture) -> str:
    """The same picture has the same name: what it shows, and until when (UTC ms)."""
    match picture:
        case CandleChart(title, _, interval, candles):
            words = [title, picture.forming_until or candles[-1].ts + interval]
        case EquityChart(title, _, points):
            words = [title, points[0][0], points[-1][0]]
        case CurvesChart(title, _, curves):
            # Two studies of the same days are told apart by what they found.
            words = [title, curves[0][1][0][0], crc32(repr(picture).encode())]
        case BarChart(title, _, bars):
            words = [title, bars[0][0], bars[-1][0]]
    name = "-".join(str(word) for word in words).lower()
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) + ".png"


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _tidy(folder: Path) -> None:
    """Remove all but the newest pictures."""
    if not folder.is_dir():
        return
    aged = sorted((path.stat().st_mtime_ns, path) for path in folder.glob("*.png"))
    for _, path in aged[:-PICTURES_KEPT]:
        path.unlink(missing_ok=True)
