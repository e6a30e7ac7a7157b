"""What the archive holds, read from its manifests alone: no array is loaded.

DATA_DIR/candles/lock
                 BTCUSDT/5m/manifest.json
                            2026-07-3f9a61c2d0b4.npy      one UTC month, named by its content
                         funding/manifest.json
                                 ...
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from engine.candle import TIMEFRAMES
from engine.errors import BadInput, BadSettings, Broken

FOLDER = "candles"
MANIFEST = "manifest.json"
VERSION = 1
# Settled rates are kept like bars, under this name instead of a timeframe's.
FUNDING = "funding"
# Ten years: more than Bybit's linear contracts have.
KEEP_DAYS_MAX = 3_650

_SYMBOL = re.compile(r"[A-Z0-9]{1,40}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: the stamps of its first and last row (UTC ms), its rows, holes and bytes."""

    file: str
    first: int
    last: int
    rows: int
    gaps: int
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The segments of one symbol and timeframe, oldest first, a UTC month each.

    `kept_since` (UTC ms) is how far back somebody asked for: nothing after it is pruned.
    """

    symbol: str
    timeframe: str
    segments: tuple[Segment, ...] = ()
    kept_since: int | None = None

    @property
    def interval(self) -> int:
        """The length of a bar in ms; 0 for funding, which is settled when the exchange likes."""
        return TIMEFRAMES.get(self.timeframe, 0)

    def dumps(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class Holding:
    """What is stored of one symbol and timeframe; funding rates count as bars.

    `start` is the open of the first bar and `end` the close of the last, in UTC ms; `missing`
    bars are not there between them, in so many `gaps`; `size` is in bytes. Nothing after
    `kept_since` is pruned.
    """

    symbol: str
    timeframe: str
    start: int
    end: int
    bars: int
    gaps: int
    missing: int
    size: int
    kept_since: int | None


def holdings(data_dir: Path) -> list[Holding]:
    """All that is stored under DATA_DIR, by symbol, shortest bars first and funding last."""
    found = map(read_manifest, sorted((data_dir / FOLDER).glob(f"*/*/{MANIFEST}")))
    kept = (manifest for manifest in found if manifest is not None and manifest.segments)
    order = [*TIMEFRAMES, FUNDING]
    return sorted(map(holding, kept), key=lambda each: (each.symbol, order.index(each.timeframe)))


def holding(manifest: Manifest) -> Holding:
    """What a manifest says, added up; it must name at least one segment."""
    segments, interval = manifest.segments, manifest.interval
    start, last = segments[0].first, segments[-1].last
    bars = sum(segment.rows for segment in segments)
    between = sum(after.first - before.last > interval for before, after in pairwise(segments))
    return Holding(
        symbol=manifest.symbol,
        timeframe=manifest.timeframe,
        start=start,
        end=last + interval,
        bars=bars,
        gaps=sum(segment.gaps for segment in segments) + between if interval else 0,
        missing=(last - start) // interval + 1 - bars if interval else 0,
        size=sum(segment.size for segment in segments),
        kept_since=manifest.kept_since,
    )


def series_folder(data_dir: Path, symbol: str, timeframe: str) -> Path:
    """Where a symbol's bars of a timeframe lie; raises BadInput for a name that can't be."""
    if not _SYMBOL.fullmatch(symbol):
        raise BadInput("symbol", symbol, "capital letters and digits, as in BTCUSDT")
    return data_dir / FOLDER / symbol / timeframe


def read_manifest(path: Path) -> Manifest | None:
    """What `path` says; None where there is no such file. Raises Broken for a damaged one."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found.pop("version")
        if version > VERSION:
            raise BadSettings(
                f"{path} has version {version}, made by a newer version of this program; "
                f"this one knows up to {VERSION}."
            )
        if found["timeframe"] not in (*TIMEFRAMES, FUNDING):
            raise ValueError(f"timeframe {found['timeframe']!r}")
        return Manifest(**{**found, "segments": _segments(found["segments"])})
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadSettings(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Broken(
            f"{path} is damaged ({error!r}). Remove the folder {path.parent} and fetch or import "
            "its candles again."
        ) from error


def _segments(found: Iterable[Mapping[str, Any]]) -> tuple[Segment, ...]:
    numbers = ("first", "last", "rows", "gaps", "size")
    return tuple(Segment(each["file"], *(int(each[name]) for name in numbers)) for each in found)
