"""Curves over time as SVG, made by plain code: no library, no script, nothing fetched.

Colors are classes of the page that holds the picture, so that it is readable in light and dark.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from math import ceil, floor, log10
from typing import NamedTuple

from engine.candle import DAY_MS

WIDTH, HEIGHT = 640, 280
LEFT, RIGHT, TOP, BOTTOM = 74, 12, 10, 26
# Each of so many stretches of time is drawn by its lowest and its highest point.
BUCKETS = 320
LINES = 5
DATES = 5
# Of a longer time, a day without its year could be in two of them.
YEAR_SHOWN_DAYS = 300
# Room for a flat curve.
LEAST_SPAN = 1e-9

Points = Sequence[tuple[int, float]]


class Curve(NamedTuple):
    """A named series of (UTC ms, value); `style` is the class it is drawn with."""

    name: str
    style: str
    points: Points


class Frame(NamedTuple):
    """What of time and value the picture shows."""

    start: int
    end: int
    low: float
    high: float

    def x(self, ts: float) -> float:
        return LEFT + (ts - self.start) / max(self.end - self.start, 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.low) / max(self.high - self.low, LEAST_SPAN)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def picture(title: str, curves: Sequence[Curve], show: Callable[[float], str]) -> str:
    """An SVG of the curves, the first of them on top; `show` writes a value of the axis."""
    drawn = [curve._replace(points=thinned(curve.points)) for curve in curves if curve.points]
    frame = framed(drawn)
    named = ", ".join(curve.name for curve in drawn)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}: '
        f'{escape(named)}"><title>{escape(title)}</title>',
        *_lines(frame, show),
        *_dates(frame),
        *(_path(curve, frame) for curve in reversed(drawn)),
        "</svg>",
    ]
    return "".join(parts)


def thinned(points: Points) -> Points:
    """Few enough points to draw: of each stretch its lowest and highest, and both ends."""
    if len(points) <= 2 * BUCKETS:
        return points
    size = ceil(len(points) / BUCKETS)
    kept = [points[0]]
    for first in range(0, len(points), size):
        bucket = points[first : first + size]
        ends = min(bucket, key=_value), max(bucket, key=_value)
        kept += sorted(set(ends))
    return [*kept, points[-1]]


def _value(point: tuple[int, float]) -> float:
    return point[1]


def framed(curves: Sequence[Curve]) -> Frame:
    """A frame around all points, its values on round numbers."""
    times = [ts for curve in curves for ts, _ in curve.points]
    values = [value for curve in curves for _, value in curve.points]
    step = round_step(max(values) - min(values))
    low, high = floor(min(values) / step) * step, ceil(max(values) / step) * step
    return Frame(min(times), max(times), low, high if high > low else low + step)


def round_step(span: float) -> float:
    """The distance of lines: 1, 2 or 5 times a power of ten, for about LINES of them."""
    rough = max(span / LINES, LEAST_SPAN)
    power = 10.0 ** floor(log10(rough))
    return next(times * power for times in (1.0, 2.0, 5.0, 10.0) if rough <= times * power * 1.001)


def _lines(frame: Frame, show: Callable[[float], str]) -> Iterator[str]:
    step = round_step(frame.high - frame.low)
    for number in range(floor((frame.high - frame.low) / step + 0.5) + 1):
        value = frame.low + number * step
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}">{escape(show(value))}</text>'


def _dates(frame: Frame) -> Iterator[str]:
    days = (frame.end - frame.start) / DAY_MS
    form = "%Y-%m-%d" if days > YEAR_SHOWN_DAYS else "%m-%d" if days > 3 else "%d. %H:%M"
    for number in range(DATES):
        ts = frame.start + (frame.end - frame.start) * (number + 0.5) / DATES
        words = datetime.fromtimestamp(ts / 1000, UTC).strftime(form)
        yield f'<text class="date" x="{frame.x(ts):.1f}" y="{HEIGHT - 6}">{words}</text>'


def _path(curve: Curve, frame: Frame) -> str:
    line = " ".join(f"{frame.x(ts):.1f},{frame.y(value):.1f}" for ts, value in curve.points)
    return f'<polyline class="{curve.style}" points="{line}"/>'
