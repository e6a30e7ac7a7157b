"""Charts as PNG files, legible on a phone; runs in a worker, the only place with matplotlib.

Text never lies on text: tags on the price axis push each other apart, and the tick labels and
captions that would be covered are left out. Markers lie on no candle and on no other marker; where
they need room, the price axis makes it.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate, cycle
from math import inf
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from bot.render import decimals
from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS, Candle
from engine.order import Side
from handlers.reply import BarChart, CandleChart, CurvesChart, EquityChart

WIDTH, HEIGHT, DPI = 1080, 960, 100
# Where things stand, in fractions of the picture.
LEFT, ACROSS = 0.03, 0.72
TITLE_Y, SUBTITLE_YS = 0.953, (0.904, 0.869)
CANDLES_BOX = (LEFT, 0.225, ACROSS, 0.615)
VOLUME_BOX = (LEFT, 0.08, ACROSS, 0.125)
EQUITY_BOX = (LEFT, 0.375, ACROSS, 0.465)
DRAWDOWN_BOX = (LEFT, 0.08, ACROSS, 0.225)
BARS_BOX = (LEFT, 0.08, ACROSS, 0.76)
CURVES_BOX = (LEFT, 0.13, ACROSS, 0.71)
# With the drawdown of one of them beneath.
HELD_BOX = (LEFT, 0.43, ACROSS, 0.41)
FALLS_BOX = (LEFT, 0.13, ACROSS, 0.2)
LEGEND_Y = 0.025

# Teal against orange: they differ in lightness too, so that red-green blindness, and a print
# in black and white, still tell up from down.
BACKGROUND = "#10151d"
GRID = "#232c39"
INK = "#e6edf3"
FAINT = "#8b98a9"
UP = "#2dd4bf"
DOWN = "#f0713c"
BUY = "#7cc4ff"
SELL = "#ffd166"
LEVELS = {"stop": "#ff8fa3", "target": "#b5e48c", "entry": "#c8b6ff"}

# In points of 1/72 inch, which are 1.39 pixels: a phone shows a picture at a third of its size,
# and what is smaller than 26 of 1080 pixels is not read there.
TITLE, TEXT = 28, 19
# Text longer than this fits no line, whatever its letters: the middle is left out.
LINE_MAX = 200
# Between the parts of a subtitle; the first is the time range.
SEPARATOR = " · "
# Glyphs that the built-in font surely has.
LETTERS_END = 0x250

BODY = 0.72
# The candle that is still forming is hollow, and as wide as the one before it lets it be.
FORMING_BODY = 1.2
# Fewer candles than this do not fill the width: a candle stays a candle.
SLOTS_MIN = 40
# A level further away than this share of the candles' range would flatten them; it is named at
# the edge instead.
LEVEL_REACH = 0.75
# From the first and the last candle to the edges: half a marker, and air.
SIDE_PX = 16
TIME_TICKS = 6
TAG_HEIGHT_PX = 46
TAG_MARGIN_PX = 12
TIME_STEPS = (
    *(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_MS for hours in (1, 2, 3, 4, 6, 12)),
    *(days * DAY_MS for days in (1, 2, 4, 7, 14, 28, 56, 112, 182, 364, 728)),
)


def draw(chart: CandleChart | EquityChart | BarChart | CurvesChart, path: Path) -> None:
    """Draw a chart into the file `path`; it appears there complete or not at all."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _headline(figure, chart.title, chart.subtitle)
    match chart:
        case CandleChart():
            _draw_candles(figure, chart)
        case EquityChart():
            _draw_equity(figure, chart)
        case BarChart():
            _draw_bars(figure, chart)
        case CurvesChart():
            _draw_curves(figure, chart)
    unfinished = path.with_suffix(".part")
    figure.savefig(unfinished, format="png", facecolor=BACKGROUND)
    unfinished.replace(path)


def _headline(figure: Figure, title: str, subtitle: str) -> None:
    _write(figure, TITLE_Y, title, color=INK, size=TITLE, weight="bold")
    for y, line in zip(SUBTITLE_YS, _subtitle_lines(figure, subtitle), strict=False):
        _write(figure, y, line, color=FAINT, size=TEXT)


def _subtitle_lines(figure: Figure, subtitle: str) -> tuple[str, str]:
    """The time range, and beside it or beneath it the rest."""
    parts = subtitle.split(SEPARATOR)
    fitting = len(parts)
    while fitting > 1 and _overhang(figure, SEPARATOR.join(parts[:fitting])) > 0:
        fitting -= 1
    return SEPARATOR.join(parts[:fitting]), SEPARATOR.join(parts[fitting:])


def _overhang(figure: Figure, line: str) -> float:
    """By how many pixels a line of plain text is too long."""
    return _text_size(figure, line, TEXT)[0] - WIDTH * (1 - 2 * LEFT)


def _text_size(figure: Figure, text: str, size: float) -> tuple[float, float]:
    """How wide and high a text is, in pixels."""
    probe = figure.text(0, 0, _known(text[:LINE_MAX]), size=size, parse_math=False)
    box = probe.get_window_extent()
    probe.remove()
    # Where it is drawn, a text is moved to whole pixels.
    return box.width + 2, box.height + 2


def _write(figure: Figure, y: float, line: str, **style: Any) -> Text:
    """A line of text at the left; what is too long loses its middle."""
    text = figure.text(LEFT, y, _shortened(_known(line), LINE_MAX), va="center", **style)
    text.set_parse_math(False)
    room = WIDTH * (1 - 2 * LEFT)
    for length in range(min(len(line), LINE_MAX) - 1, 0, -1):
        if text.get_window_extent().width <= room:
            break
        text.set_text(_shortened(_known(line), length))
    return text


def _shortened(text: str, length: int) -> str:
    """A text of at most `length` letters: its beginning and its end."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def _known(text: str) -> str:
    """With a question mark for what the font can't show."""
    return "".join(c if c.isprintable() and _is_letter(c) else "?" for c in text)


def _is_letter(character: str) -> bool:
    return ord(character) < LETTERS_END or character == "…"


# -- candles -----------------------------------------------------------------------------


def _draw_candles(figure: Figure, chart: CandleChart) -> None:
    candles = chart.candles
    forming = chart.forming_until is not None
    groups = _groups(chart)
    axes = _panel(figure, CANDLES_BOX)
    volume = _panel(figure, VOLUME_BOX)
    left, right = _slots(axes, max([len(candles), *(group.x + 1 for group in groups)]))
    for each in (axes, volume):
        each.set_xlim(left, right)
    axes.set_ylim(*_candle_range(chart))
    placed = _fitted(figure, axes, candles, groups)
    low, high = axes.get_ylim()
    opens = [candle.ts for candle in candles]
    _time_axis(axes, volume, opens, range(len(opens)), chart.interval)
    _bodies(axes, candles, forming)
    _volume(volume, candles, forming)
    _draw_markers(axes, placed)
    if placed and not placed[0].size.count:
        _beside(volume, 0.12, f"{sum(group.count for group in groups):,} fills", FAINT)
    _legend(figure, bool(groups), _color(candles[-1]) if forming else None)
    prices = [candle.close for candle in candles]
    digits = decimals(prices)
    finest = decimals([*prices, *(price for _, price in chart.levels)])
    tags = [_level_tag(name, price, finest, low, high) for name, price in chart.levels]
    for tag in tags:
        if low <= tag.value <= high:
            axes.axhline(tag.value, color=tag.color, linewidth=1.8, linestyle=(0, (1.2, 2)))
    last = Tag(prices[-1], f"{prices[-1]:,.{finest}f}", _color(candles[-1]), filled=True)
    axes.axhline(last.value, color=last.color, linewidth=1, alpha=0.55)
    _value_axis(axes, [*tags, last], lambda value, more: f"{value:,.{max(digits, more)}f}")


def _slots(axes: Axes, count: int) -> tuple[float, float]:
    """The ends of the time axis: the candles at the right, and a margin on both sides."""
    across = max(count, SLOTS_MIN) - 1
    margin = across * SIDE_PX / (axes.get_window_extent().width - 2 * SIDE_PX)
    return count - 1 - across - margin, count - 1 + margin


def _candle_range(chart: CandleChart) -> tuple[float, float]:
    """What the price axis spans, before the markers: the candles and what is near them."""
    low = min(candle.low for candle in chart.candles)
    high = max(candle.high for candle in chart.candles)
    reach = (high - low) * LEVEL_REACH
    near = [price for _, price in chart.levels if low - reach <= price <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    span = (high - low) or max(abs(high) * 0.002, 1e-9)
    return low - span * 0.05, high + span * 0.05


def _color(candle: Candle) -> str:
    return UP if candle.close >= candle.open else DOWN


def _bodies(axes: Axes, candles: Sequence[Candle], forming: bool) -> None:
    """Bodies and wicks; a body is at least a pixel high. One still forming is hollow."""
    low, high = axes.get_ylim()
    thin = (high - low) / 700
    colors = [_color(candle) for candle in candles]
    wicks = [[(x, candle.low), (x, candle.high)] for x, candle in enumerate(candles)]
    axes.add_collection(LineCollection(wicks, colors=colors, linewidths=1.3))
    bodies = [_body(x, candle, BODY, thin) for x, candle in enumerate(candles)]
    closed = len(candles) - forming
    axes.add_collection(
        PolyCollection(bodies[:closed], facecolors=colors[:closed], edgecolors="none", zorder=2)
    )
    if forming:
        hollow = _body(closed, candles[-1], FORMING_BODY, thin)
        axes.add_collection(
            PolyCollection(
                [hollow], facecolors=BACKGROUND, edgecolors=colors[-1], linewidths=1.5, zorder=3
            )
        )


def _body(x: int, candle: Candle, width: float, thin: float) -> list[tuple[float, float]]:
    bottom, top = sorted((candle.open, candle.close))
    top = max(top, bottom + thin)
    a, b = x - width / 2, x + width / 2
    return [(a, bottom), (a, top), (b, top), (b, bottom)]


def _volume(axes: Axes, candles: Sequence[Candle], forming: bool) -> None:
    axes.set_yticks([])
    most = max(candle.volume for candle in candles)
    if not most:
        return
    axes.set_ylim(0, most * 1.05)
    colors = [_color(candle) for candle in candles]
    volumes = [candle.volume for candle in candles]
    bars = axes.bar(range(len(candles)), volumes, width=BODY, color=colors, alpha=0.45, linewidth=0)
    if forming:
        bars[-1].set(facecolor="none", edgecolor=colors[-1], linewidth=1.3, alpha=0.8)
    # The scale matters less than the shape; the largest bar's size is enough.
    _beside(axes, 0.62, f"volume\nto {_short(most)}", FAINT)


def _short(number: float) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.3g}"


# -- markers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The fills of one side and kind in one candle: one marker. `label` is what they share."""

    x: int
    side: Side
    is_entry: bool
    count: int
    label: str


@dataclass(frozen=True, slots=True)
class Size:
    """Of a triangle in pixels, and of the count beside it in points; 0 shows no counts.

    `share` is how much of the panel's height such markers may take.
    """

    marker_px: float
    count: float
    share: float


# The first that fits is taken. The last is for charts where most candles have fills of every
# kind: how many there are is told once, for all.
SIZES = (Size(20, 17, 0.45), Size(16, 15.5, 0.45), Size(12, 14.5, 0.6), Size(8, 0, 1))
# Captions on more markers than this hide the candles; the triangles say enough.
CAPTIONS_MAX = 8
# A caption further than this from its triangle could be anyone's.
CAPTION_REACH_PX = 40
GAP_PX = 4
# Each time the axis makes room, the candles shrink, and the markers move a little with them.
FITTINGS_MAX = 12


@dataclass(frozen=True, slots=True)
class Words:
    """A text in the panel's pixels: aligned at `x`, centered at `y`."""

    text: str
    x: float
    y: float
    align: str
    size: float


@dataclass(frozen=True, slots=True)
class Placed:
    """A marker in the panel's pixels; `y` is its middle, outside of its candle."""

    group: Group
    x: float
    y: float
    size: Size
    words: tuple[Words, ...] = ()


class Lane:
    """What is taken beside the candles on one side of them, in the panel's pixels.

    Heights beneath the candles are negated, so that further out is always more.
    """

    def __init__(self, outline: list[float]) -> None:
        self._outline = outline
        self._taken: list[tuple[float, float, float, float]] = []
        self.outer = max(outline)

    def free(self, left: float, right: float, tall: float) -> float:
        """Where the nearest free place of this size begins."""
        first = min(max(int(left), 0), len(self._outline) - 1)
        start = max(self._outline[first : max(int(right) + 1, first + 1)]) + GAP_PX
        near = sorted(box[2:] for box in self._taken if box[0] < right and left < box[1])
        for inner, outer in near:
            if inner < start + tall and start < outer:
                start = outer
        return start

    def take(self, left: float, right: float, start: float, tall: float) -> None:
        self._taken.append((left, right, start, start + tall))
        self.outer = max(self.outer, start + tall)

    def holds(self, left: float, right: float) -> bool:
        return left >= 0 and right <= len(self._outline)


def _groups(chart: CandleChart) -> list[Group]:
    """The fills by candle, side and kind, in the order of their first."""
    opens = [candle.ts for candle in chart.candles]
    found: dict[tuple[int, Side, bool], list[str]] = {}
    for marker in chart.markers:
        x = bisect_right(opens, marker.ts) - 1
        if x < 0:
            continue
        if marker.ts >= opens[x] + chart.interval and x == len(opens) - 1:
            x += 1
        found.setdefault((x, marker.side, marker.is_entry), []).append(marker.label)
    return [
        Group(x, side, is_entry, len(labels), labels[0] if len(set(labels)) == 1 else "")
        for (x, side, is_entry), labels in found.items()
    ]


def _fitted(
    figure: Figure, axes: Axes, candles: Sequence[Candle], groups: Sequence[Group]
) -> list[Placed]:
    """Where each marker stands; the price axis is widened until all are inside of it."""
    low, high = axes.get_ylim()
    placed: list[Placed] = []
    for size in SIZES:
        axes.set_ylim(low, high)
        for _ in range(FITTINGS_MAX):
            placed, depth, height = _placed(figure, axes, candles, groups, size)
            widened = _make_room(axes, depth, height)
            bottom, top = axes.get_ylim()
            fits = 1 - (high - low) / (top - bottom) <= size.share
            if not (widened and fits):
                break
        if fits:
            break
    return placed


def _make_room(axes: Axes, depth: float, height: float) -> bool:
    """Widen the price axis by what sticks out of the panel (px); whether anything did."""
    low, high = axes.get_ylim()
    panel = axes.get_window_extent().height
    below, above = max(depth, 0.0), max(height - panel, 0.0)
    scale = (high - low) / panel
    axes.set_ylim(low - below * scale, high + above * scale)
    return max(below, above) >= 1


def _placed(
    figure: Figure, axes: Axes, candles: Sequence[Candle], groups: Sequence[Group], size: Size
) -> tuple[list[Placed], float, float]:
    """The markers beside their candles, and how far they reach below the panel's floor and up."""
    lanes = {side: Lane(_outline(axes, candles, side)) for side in Side}
    placed = [_place(figure, axes, lanes[group.side], group, size) for group in groups]
    if len(placed) <= CAPTIONS_MAX:
        placed = [_captioned(figure, lanes[each.group.side], each) for each in placed]
    return placed, lanes[Side.BUY].outer + GAP_PX, lanes[Side.SELL].outer + GAP_PX


def _outline(axes: Axes, candles: Sequence[Candle], side: Side) -> list[float]:
    """The candles' lows, negated, or highs, by column of pixels.

    It goes on at both ends, so that what is below the candles stays below what is above them.
    """
    width = int(axes.get_window_extent().width)
    edges = [-inf] * width
    for x, candle in enumerate(candles):
        _, y = _pixel(axes, x, candle.low if side is Side.BUY else candle.high)
        edge = y * _outwards(side)
        left = 0 if x == 0 else int(_pixel(axes, x - 0.5, 0)[0])
        right = width if x == len(candles) - 1 else int(_pixel(axes, x + 0.5, 0)[0]) + 1
        for column in range(left, right):
            edges[column] = max(edges[column], edge)
    return edges


def _outwards(side: Side) -> int:
    return -1 if side is Side.BUY else 1


def _pixel(axes: Axes, x: float, price: float) -> tuple[float, float]:
    panel = axes.get_window_extent()
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    return (x - left) / (right - left) * panel.width, (price - low) / (high - low) * panel.height


def _place(figure: Figure, axes: Axes, lane: Lane, group: Group, size: Size) -> Placed:
    """A marker as near to its candle as it can be, with the count at the side that has room."""
    x, half = _pixel(axes, group.x, 0)[0], size.marker_px / 2 + 1
    left, right, tall = x - half, x + half, 2 * half
    text = f"x{group.count}" if group.count > 1 and size.count else ""
    align, beside = "left", right
    if text:
        width, high = _text_size(figure, text, size.count)
        tall = max(tall, high)
        if lane.holds(left, right + width):
            right += width
        else:
            align, beside, left = "right", left, left - width
    start = lane.free(left, right, tall)
    lane.take(left, right, start, tall)
    y = (start + tall / 2) * _outwards(group.side)
    words = (Words(text, beside, y, align, size.count),) if text else ()
    return Placed(group, x, y, size, words)


def _captioned(figure: Figure, lane: Lane, placed: Placed) -> Placed:
    """With words on what it is, where there is room for them near it."""
    label, side, half = placed.group.label, placed.group.side, placed.size.marker_px / 2
    if not label:
        return placed
    width, tall = _text_size(figure, label, TEXT)
    lefts = (placed.x - width / 2, placed.x - half, placed.x + half - width)
    spots = [
        (lane.free(left, left + width, tall), left)
        for left in lefts
        if lane.holds(left, left + width)
    ]
    start, left = min(spots, default=(inf, 0.0), key=lambda spot: spot[0])
    if start > placed.y * _outwards(side) + half + CAPTION_REACH_PX:
        return placed
    lane.take(left, left + width, start, tall)
    words = Words(label, left, (start + tall / 2) * _outwards(side), "left", TEXT)
    return replace(placed, words=(*placed.words, words))


def _draw_markers(axes: Axes, placed: Sequence[Placed]) -> None:
    """Triangles: up beneath a bar that was bought, down above one that was sold."""
    panel = axes.get_window_extent()
    for each in placed:
        bought, is_entry = each.group.side is Side.BUY, each.group.is_entry
        color = BUY if bought else SELL
        axes.scatter(
            [each.x / panel.width],
            [each.y / panel.height],
            s=(each.size.marker_px * 72 / DPI) ** 2,
            marker="^" if bought else "v",
            facecolor=color if is_entry else BACKGROUND,
            edgecolor=color,
            linewidths=1.0 if is_entry else 2.0,
            transform=axes.transAxes,
            zorder=5,
        )
        for words in each.words:
            axes.text(
                words.x / panel.width,
                words.y / panel.height,
                _known(words.text),
                transform=axes.transAxes,
                ha=words.align,
                va="center",
                color=color,
                size=words.size,
                zorder=6,
                parse_math=False,
            )


CANDLE_SIGN = [(-2, -5), (2, -5), (2, 5), (-2, 5), (-2, -5)]


def _legend(figure: Figure, has_markers: bool, forming: str | None) -> None:
    """What the signs mean, from the right edge to the left; only those that are there."""
    signs: list[tuple[str, str, bool, str]] = []
    if forming:
        signs.append(("forming", forming, False, "candle"))
    if has_markers:
        signs += [("out", FAINT, False, "o"), ("in", FAINT, True, "o")]
        signs += [("sell", SELL, True, "v"), ("buy", BUY, True, "^")]
    right = (1 - LEFT) * WIDTH
    for word, color, filled, sign in signs:
        width, _ = _text_size(figure, word, TEXT)
        figure.text((right - width) / WIDTH, TITLE_Y, word, color=FAINT, size=TEXT, va="center")
        right -= width + 20
        _sign(figure, right / WIDTH, color, sign, filled)
        right -= 28


def _sign(figure: Figure, x: float, color: str, sign: str, filled: bool) -> None:
    axes = figure.add_axes((x - 0.015, TITLE_Y - 0.016, 0.03, 0.032))
    axes.set_axis_off()
    face = color if filled else BACKGROUND
    shape = CANDLE_SIGN if sign == "candle" else sign
    size = 240 if sign == "candle" else 130
    axes.scatter(
        [0], [0], s=size, marker=shape, facecolor=face, edgecolor=color, linewidths=2, clip_on=False
    )


# -- equity ------------------------------------------------------------------------------


def _draw_equity(figure: Figure, chart: EquityChart) -> None:
    times = [ts for ts, _ in chart.points]
    worths = [worth for _, worth in chart.points]
    axes, below = _panel(figure, EQUITY_BOX), _panel(figure, DRAWDOWN_BOX)
    span = (times[-1] - times[0]) or HOUR_MS
    for each in (axes, below):
        each.set_xlim(times[0] - span * 0.01, times[-1] + span * 0.02)
    ticks = _round_times(times[0], times[-1])
    _time_axis(axes, below, ticks, ticks, step=_time_step(span))
    _worth(axes, times, worths, chart.deposit)
    _drawdown(below, times, worths)
    middle = DRAWDOWN_BOX[1] + DRAWDOWN_BOX[3] + 0.03
    figure.text(LEFT, middle, "below the last peak", color=FAINT, size=TEXT, va="center")


def _worth(axes: Axes, times: Sequence[int], worths: Sequence[float], deposit: float) -> None:
    low, high = min(worths), max(worths)
    reach = (high - low) * LEVEL_REACH
    if low - reach <= deposit <= high + reach:
        low, high = min(low, deposit), max(high, deposit)
    span = max(high - low, abs(deposit) * 0.002, 0.01)
    low, high = low - span * 0.08, high + span * 0.08
    axes.set_ylim(low, high)
    gained = worths[-1] >= deposit
    color = UP if gained else DOWN
    axes.fill_between(
        times,
        worths,
        deposit,
        where=[w >= deposit for w in worths],
        color=UP,
        alpha=0.16,
        interpolate=True,
        linewidth=0,
    )
    axes.fill_between(
        times,
        worths,
        deposit,
        where=[w < deposit for w in worths],
        color=DOWN,
        alpha=0.16,
        interpolate=True,
        linewidth=0,
    )
    axes.axhline(deposit, color=FAINT, linewidth=1.6, linestyle=(0, (4, 3)))
    axes.plot(times, worths, color=color, linewidth=2.4, solid_joinstyle="round")
    axes.plot([times[-1]], [worths[-1]], marker="o", color=color, markersize=8)
    tags = [
        _level_tag("deposit", deposit, 0, low, high, FAINT),
        Tag(worths[-1], f"{worths[-1]:,.2f}", color, filled=True),
    ]
    _value_axis(axes, tags, lambda value, more: f"{value:,.{more}f}")


def _pull_inside(text: Text, frame: Bbox) -> None:
    """Align a text that would leave its panel at a side with that side of its point."""
    box = text.get_window_extent()
    if box.x1 > frame.x1:
        text.set_horizontalalignment("right")
    elif box.x0 < frame.x0:
        text.set_horizontalalignment("left")


def _drawdown(axes: Axes, times: Sequence[int], worths: Sequence[float]) -> None:
    falls = _shade_falls(axes, times, worths)
    deepest = min(falls)
    where = falls.index(deepest)
    if deepest < 0:
        axes.plot([times[where]], [deepest], marker="o", color=INK, markersize=7)
    note = f"max drawdown {-deepest:.2%}" if deepest < 0 else "no drawdown"
    text = axes.annotate(
        note,
        (times[where], deepest),
        xytext=(0, -11),
        textcoords="offset points",
        ha="center",
        va="top",
        color=INK,
        size=TEXT,
        zorder=6,
    )
    _pull_inside(text, axes.get_window_extent())


def _shade_falls(axes: Axes, times: Sequence[int], worths: Sequence[float]) -> list[float]:
    """How far worth was below its highest so far, as fractions; drawn."""
    falls = [worth / peak - 1 for worth, peak in zip(worths, accumulate(worths, max), strict=True)]
    # There is room for a note beneath the deepest point.
    axes.set_ylim(min(min(falls) * 1.5, -0.001), 0)
    axes.fill_between(times, falls, 0, color=DOWN, alpha=0.3, linewidth=0)
    axes.plot(times, falls, color=DOWN, linewidth=1.8)
    _value_axis(axes, [], lambda value, more: f"{value * 100:.{max(more - 2, 0)}f}%", count=3)
    return falls


# -- bars --------------------------------------------------------------------------------

# Fewer bars than this do not fill the width; more than this have no amounts beside them.
BARS_MIN, AMOUNTS_MAX = 4, 7
# Labels are dates: so many stand beside each other.
BAR_LABELS = 4
# With cents, greater amounts would run into each other.
CENTS_BELOW = 1_000


def _draw_bars(figure: Figure, chart: BarChart) -> None:
    """Gains upwards from a line at zero, losses downwards."""
    axes = _panel(figure, BARS_BOX)
    amounts = [amount for _, amount in chart.bars]
    missing = max(BARS_MIN - len(amounts), 0)
    axes.set_xlim(-0.6 - missing / 2, len(amounts) - 0.4 + missing / 2)
    low, high = min(0.0, *amounts), max(0.0, *amounts)
    air = ((high - low) or 1.0) * 0.12
    axes.set_ylim(low - (air if low else 0), high + (air if high or not low else 0))
    colors = [BUY if not chart.gains else UP if amount >= 0 else DOWN for amount in amounts]
    axes.bar(range(len(amounts)), amounts, width=BODY, color=colors, linewidth=0)
    axes.axhline(0, color=FAINT, linewidth=1.6)
    step = -(-len(amounts) // BAR_LABELS)
    # The newest is always named.
    named = range((len(amounts) - 1) % step, len(amounts), step)
    axes.set_xticks(list(named), [_known(chart.bars[place][0]) for place in named])
    axes.tick_params(axis="x", pad=8)
    if len(amounts) <= AMOUNTS_MAX:
        digits = 2 if max(map(abs, amounts)) < CENTS_BELOW else 0
        for place, amount in enumerate(amounts):
            _amount(axes, place, amount, f"{'+' if chart.gains else ''},.{digits}f")
    _value_axis(axes, [], lambda value, more: f"{value:,.{more}f}")


def _amount(axes: Axes, place: int, amount: float, form: str) -> None:
    """What a bar comes to, at its end."""
    axes.annotate(
        format(amount, form) if amount else "0",
        (place, amount),
        xytext=(0, 8 if amount >= 0 else -8),
        textcoords="offset points",
        ha="center",
        va="bottom" if amount >= 0 else "top",
        color=INK,
        size=TEXT - 3,
    )


# -- curves ------------------------------------------------------------------------------

# As light as each other, and far apart for whoever is red-green blind.
CURVES = (BUY, SELL, LEVELS["entry"], LEVELS["target"])
# Widths of a curve, of one that others are held against, and of those others.
CURVE, BASE, CHANGED = 2.4, 2.0, 4.0


def _draw_curves(figure: Figure, chart: CurvesChart) -> None:
    """Each curve in its color from one zero line, with its end at the right.

    One that others are held against is thin and gray, and how far the last one fell is beneath.
    """
    held = chart.first_is_base
    axes = _panel(figure, HELD_BOX if held else CURVES_BOX)
    below = _panel(figure, FALLS_BOX) if held else axes
    times = [ts for _, points in chart.curves for ts, _ in points]
    shares = [share for _, points in chart.curves for _, share in points]
    first, last = min(times), max(times)
    span = (last - first) or HOUR_MS
    for each in (axes, below):
        each.set_xlim(first - span * 0.01, last + span * 0.02)
    low, high = min(0.0, *shares), max(0.0, *shares)
    air = ((high - low) or 0.01) * 0.08
    axes.set_ylim(low - air, high + air)
    ticks = _round_times(first, last)
    _time_axis(axes, below, ticks, ticks, step=_time_step(span))
    axes.axhline(0, color=FAINT, linewidth=1.6, linestyle=(0, (4, 3)))
    styles = list(_curve_styles(chart))
    tags = []
    for (_, points), (color, width) in zip(chart.curves, styles, strict=True):
        axes.plot(*zip(*points, strict=True), color=color, lw=width, solid_joinstyle="round")
        tags.append(Tag(points[-1][1], f"{points[-1][1]:+.2%}", color, filled=True))
    _value_axis(axes, tags, lambda value, more: f"{value * 100:.{max(more - 2, 0)}f}%")
    named = [(name, color) for (name, _), (color, _) in zip(chart.curves, styles, strict=True)]
    _name_curves(figure, named)
    if held:
        _falls(figure, below, *chart.curves[-1])


def _curve_styles(chart: CurvesChart) -> Iterator[tuple[str, float]]:
    """The color and width of each curve."""
    colors = cycle(CURVES)
    if chart.first_is_base:
        yield FAINT, BASE
    for _ in chart.curves[int(chart.first_is_base) :]:
        yield next(colors), CHANGED if chart.first_is_base else CURVE


def _falls(figure: Figure, axes: Axes, name: str, points: Sequence[tuple[int, float]]) -> None:
    """What a curve lost from its highest point so far; how much at most its figures say, which
    know more than the points of a curve."""
    _shade_falls(axes, [ts for ts, _ in points], [1.0 + share for _, share in points])
    y = FALLS_BOX[1] + FALLS_BOX[3] + 0.03
    _write(figure, y, f"{name}: below its last peak", color=FAINT, size=TEXT)


def _name_curves(figure: Figure, names: Sequence[tuple[str, str]]) -> None:
    """What each color is, on a line of its own beneath the picture."""
    x = LEFT
    for name, color in names:
        word = _shortened(_known(name), LINE_MAX // len(names))
        figure.text(x, LEGEND_Y, word, color=color, size=TEXT, weight="bold", parse_math=False)
        x += (_text_size(figure, word, TEXT)[0] * 1.15 + 40) / WIDTH


# -- axes --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tag:
    """A named value at the right edge; a filled one is the last value."""

    value: float
    text: str
    color: str
    filled: bool = False


def _level_tag(
    name: str, value: float, digits: int, low: float, high: float, color: str = INK
) -> Tag:
    """The tag of a level; one outside of the picture says in which direction it lies."""
    arrow = "▲ " if value > high else "▼ " if value < low else ""
    return Tag(value, f"{arrow}{name} {value:,.{digits}f}", LEVELS.get(name, color))


def _panel(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    axes = figure.add_axes(box, facecolor=BACKGROUND)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(GRID)
    axes.tick_params(length=0, labelsize=TEXT, colors=FAINT)
    axes.set_axisbelow(True)
    return axes


def _value_axis(
    axes: Axes, tags: Sequence[Tag], words: Callable[[float, int], str], count: int = 7
) -> None:
    """Grid lines with their values at the right, and the tags among them."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height
    ticks = [tick for tick in MaxNLocator(count).tick_values(low, high) if low <= tick <= high]
    ticks = [float(f"{tick:.10g}") for tick in ticks]
    axes.set_yticks(ticks, [""] * len(ticks))
    axes.grid(axis="y", color=GRID, linewidth=1)

    def pixel(value: float) -> float:
        return (value - low) / (high - low) * height

    places = _apart([pixel(tag.value) for tag in tags], height)
    for tag, place in zip(tags, places, strict=True):
        _draw_tag(axes, tag, place / height, pixel(tag.value) / height)
    more = decimals(ticks)
    for tick in ticks:
        if all(abs(pixel(tick) - place) >= TAG_HEIGHT_PX for place in places):
            _beside(axes, pixel(tick) / height, words(tick, more), FAINT)


def _apart(wanted: Sequence[float], height: float) -> list[float]:
    """Places as near as can be to the wanted ones, a tag's height between them, all inside."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    half = TAG_HEIGHT_PX / 2
    places = dict.fromkeys(order, 0.0)
    floor = half
    for index in order:
        places[index] = floor = max(min(wanted[index], height - half), floor)
        floor += TAG_HEIGHT_PX
    ceiling = height - half
    for index in reversed(order):
        places[index] = ceiling = min(places[index], ceiling)
        ceiling -= TAG_HEIGHT_PX
    return [places[index] for index in range(len(wanted))]


def _draw_tag(axes: Axes, tag: Tag, place: float, value: float) -> None:
    """A tag at `place`, with a thin line from the value where it had to move."""
    inside = min(max(value, 0.0), 1.0)
    axes.plot(
        [1.0, 1.012],
        [inside, place],
        transform=axes.transAxes,
        color=tag.color,
        linewidth=1.4,
        clip_on=False,
    )
    face = tag.color if tag.filled else BACKGROUND
    text = axes.text(
        1.02,
        place,
        tag.text,
        transform=axes.transAxes,
        va="center",
        color=BACKGROUND if tag.filled else tag.color,
        size=TEXT,
        weight="bold" if tag.filled else "normal",
        parse_math=False,
        bbox={"boxstyle": "square,pad=0.28", "fc": face, "ec": tag.color, "lw": 1.2},
    )
    _shrink(text)


def _shrink(text: Text) -> None:
    """Set a text at the right edge as small as it takes to fit, if it does not."""
    room = WIDTH - TAG_MARGIN_PX - text.get_window_extent().x0
    size = float(TEXT)
    # Letters are fitted to whole pixels, so that a smaller size may come out as wide.
    while (width := text.get_window_extent().width) > room and size > 1:
        size *= min(room / width, 0.98)
        text.set_fontsize(size)


def _beside(axes: Axes, y: float, text: str, color: str) -> None:
    label = axes.text(
        1.015,
        y,
        text,
        transform=axes.transAxes,
        va="center",
        color=color,
        size=TEXT,
        linespacing=1.2,
    )
    _shrink(label)


def _time_axis(
    axes: Axes, below: Axes, times: Sequence[int], places: Sequence[float], step: int
) -> None:
    """Grid lines through both panels at round times, named beneath the lower one."""
    if len(times) > TIME_TICKS:
        step = _time_step(times[-1] - times[0])
    shown = [(place, ts) for place, ts in zip(places, times, strict=True) if ts % step == 0]
    shown = shown or [(places[0], times[0])]
    marks = [place for place, _ in shown]
    axes.set_xticks(marks, [""] * len(marks))
    below.set_xticks(marks, [_time_words(ts, step) for _, ts in shown])
    for each in (axes, below):
        each.grid(axis="x", color=GRID, linewidth=1)
    below.tick_params(axis="x", pad=8)
    for label in below.get_xticklabels():
        if label.get_window_extent().x0 < 0:
            label.set_visible(False)


def _time_step(span: int) -> int:
    """The least round step of which at most TIME_TICKS cover `span` (ms)."""
    fitting = (step for step in TIME_STEPS if span / step <= TIME_TICKS)
    return next(fitting, TIME_STEPS[-1])


def _round_times(first: int, last: int) -> list[int]:
    """The round moments from `first` to `last`; the first where there is none."""
    step = _time_step(last - first)
    return list(range(first + -first % step, last + 1, step)) or [first]


def _time_words(ts: int, step: int) -> str:
    moment = datetime.fromtimestamp(ts / 1000, UTC)
    if step < DAY_MS and ts % DAY_MS:
        return f"{moment:%H:%M}"
    return f"{moment:%b %Y}" if step > 56 * DAY_MS else f"{moment:%-d %b}"
