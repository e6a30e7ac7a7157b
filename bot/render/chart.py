"""Charts as PNG files, legible on a phone; runs in a worker, the only place with matplotlib.

Text never lies on text: tags on the price axis push each other apart, and the tick labels and
captions that would be covered are left out.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
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
from handlers.reply import CandleChart, EquityChart, Marker

WIDTH, HEIGHT, DPI = 1080, 810, 100
# Where things stand, in fractions of the picture.
LEFT, ACROSS = 0.03, 0.77
CANDLES_BOX = (LEFT, 0.225, ACROSS, 0.625)
VOLUME_BOX = (LEFT, 0.085, ACROSS, 0.12)
EQUITY_BOX = (LEFT, 0.375, ACROSS, 0.475)
DRAWDOWN_BOX = (LEFT, 0.085, ACROSS, 0.225)

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

TITLE, SUBTITLE, TICK, TAG, NOTE = 28, 17, 16, 14.5, 14
# A long subtitle is set smaller, down to this, and then cut.
SUBTITLE_LEAST, SUBTITLE_MAX = 12, 100
# Glyphs that the built-in font surely has.
LETTERS_END = 0x250

BODY = 0.72
# Fewer candles than this do not fill the width: a candle stays a candle.
SLOTS_MIN = 40
# A level further away than this share of the candles' range would flatten them; it is named at
# the edge instead.
LEVEL_REACH = 0.75
MARKER_SIZE = 190
# Captions on more markers than this hide the candles; the triangles say enough.
CAPTIONS_MAX = 8
TIME_TICKS = 6
TAG_HEIGHT_PX = 37
TAG_MARGIN_PX = 12
TIME_STEPS = (
    *(minutes * MINUTE_MS for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * HOUR_MS for hours in (1, 2, 3, 4, 6, 12)),
    *(days * DAY_MS for days in (1, 2, 4, 7, 14, 28, 56, 112, 182, 364, 728)),
)


def draw(chart: CandleChart | EquityChart, path: Path) -> None:
    """Draw a chart into the file `path`; it appears there complete or not at all."""
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)
    _headline(figure, chart.title, chart.subtitle)
    match chart:
        case CandleChart():
            _draw_candles(figure, chart)
        case EquityChart():
            _draw_equity(figure, chart)
    unfinished = path.with_suffix(".part")
    figure.savefig(unfinished, format="png", facecolor=BACKGROUND)
    unfinished.replace(path)


def _headline(figure: Figure, title: str, subtitle: str) -> None:
    _write(figure, 0.947, title, color=INK, size=TITLE, weight="bold")
    if len(subtitle) > SUBTITLE_MAX:
        subtitle = subtitle[: SUBTITLE_MAX - 1] + "…"
    text = _write(figure, 0.889, subtitle, color=FAINT, size=SUBTITLE)
    room = WIDTH * (1 - 2 * LEFT)
    taken = text.get_window_extent().width
    if taken > room:
        text.set_fontsize(max(SUBTITLE * room / taken, SUBTITLE_LEAST))


def _write(figure: Figure, y: float, text: str, **style: Any) -> Text:
    """A line of text at the left, with a question mark for what the font can't show."""
    known = "".join(c if c.isprintable() and _is_letter(c) else "?" for c in text)
    return figure.text(LEFT, y, known, va="center", parse_math=False, **style)


def _is_letter(character: str) -> bool:
    return ord(character) < LETTERS_END or character == "…"


# -- candles -----------------------------------------------------------------------------


def _draw_candles(figure: Figure, chart: CandleChart) -> None:
    candles = chart.candles
    low, high = _candle_range(chart)
    axes = _panel(figure, CANDLES_BOX)
    volume = _panel(figure, VOLUME_BOX)
    right = len(candles) + 0.9
    left = min(-0.9, right - SLOTS_MIN)
    for each in (axes, volume):
        each.set_xlim(left, right)
    axes.set_ylim(low, high)
    opens = [candle.ts for candle in candles]
    _time_axis(axes, volume, opens, range(len(opens)), chart.interval)
    _bodies(axes, candles)
    _volume(volume, candles)
    placed = _markers(axes, chart)
    _captions(axes, placed)
    if placed:
        _legend(figure)
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


def _candle_range(chart: CandleChart) -> tuple[float, float]:
    """What the price axis spans: the candles, what is near them, and room for the markers."""
    low = min(candle.low for candle in chart.candles)
    high = max(candle.high for candle in chart.candles)
    reach = (high - low) * LEVEL_REACH
    near = [price for _, price in chart.levels if low - reach <= price <= high + reach]
    low, high = min([low, *near]), max([high, *near])
    span = (high - low) or max(abs(high) * 0.002, 1e-9)
    room = 0.13 if chart.markers else 0.05
    return low - span * room, high + span * room


def _color(candle: Candle) -> str:
    return UP if candle.close >= candle.open else DOWN


def _bodies(axes: Axes, candles: Sequence[Candle]) -> None:
    """Bodies and wicks; a body is at least a pixel high."""
    low, high = axes.get_ylim()
    thin = (high - low) / 700
    colors = [_color(candle) for candle in candles]
    wicks = [[(x, candle.low), (x, candle.high)] for x, candle in enumerate(candles)]
    axes.add_collection(LineCollection(wicks, colors=colors, linewidths=1.3))
    boxes = []
    for x, candle in enumerate(candles):
        bottom, top = sorted((candle.open, candle.close))
        top = max(top, bottom + thin)
        a, b = x - BODY / 2, x + BODY / 2
        boxes.append([(a, bottom), (a, top), (b, top), (b, bottom)])
    axes.add_collection(PolyCollection(boxes, facecolors=colors, edgecolors="none", zorder=2))


def _volume(axes: Axes, candles: Sequence[Candle]) -> None:
    axes.set_yticks([])
    most = max(candle.volume for candle in candles)
    if not most:
        return
    axes.set_ylim(0, most * 1.05)
    colors = [_color(candle) for candle in candles]
    volumes = [candle.volume for candle in candles]
    axes.bar(range(len(candles)), volumes, width=BODY, color=colors, alpha=0.45, linewidth=0)
    # The scale matters less than the shape; the largest bar's size is enough.
    _beside(axes, 0.8, f"volume\nto {_short(most)}", FAINT, NOTE)


def _short(number: float) -> str:
    for unit, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.3g}{letter}"
    return f"{number:.3g}"


# -- markers -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Placed:
    """A marker on its candle; `y` is where the triangle stands, outside of the candle."""

    marker: Marker
    x: int
    y: float


def _markers(axes: Axes, chart: CandleChart) -> list[Placed]:
    """Triangles: up beneath a bar that was bought, down above one that was sold."""
    placed = _places(chart, *axes.get_ylim())
    for each in placed:
        bought = each.marker.side is Side.BUY
        color = BUY if bought else SELL
        axes.scatter(
            [each.x],
            [each.y],
            s=MARKER_SIZE,
            marker="^" if bought else "v",
            facecolor=color if each.marker.is_entry else BACKGROUND,
            edgecolor=color if not each.marker.is_entry else BACKGROUND,
            linewidths=2.2 if not each.marker.is_entry else 1.0,
            zorder=5,
        )
    return placed


def _places(chart: CandleChart, low: float, high: float) -> list[Placed]:
    """Where each triangle stands; several at one bar are stacked away from it."""
    opens = [candle.ts for candle in chart.candles]
    gap, step = (high - low) * 0.026, (high - low) * 0.036
    stacked: Counter[tuple[int, Side]] = Counter()
    placed = []
    for marker in chart.markers:
        x = bisect_right(opens, marker.ts) - 1
        if x < 0:
            continue
        if marker.ts >= opens[x] + chart.interval and x == len(opens) - 1:
            x += 1
        candle = chart.candles[min(x, len(opens) - 1)]
        away = gap + step * stacked[x, marker.side]
        stacked[x, marker.side] += 1
        y = candle.low - away if marker.side is Side.BUY else candle.high + away
        placed.append(Placed(marker, x, y))
    return placed


def _captions(axes: Axes, placed: Sequence[Placed]) -> None:
    """Words on the triangles, where there are few and where there is room."""
    if len(placed) > CAPTIONS_MAX:
        return
    taken = [_around(axes, each) for each in placed]
    frame = axes.get_window_extent()
    for each, own in zip(placed, list(taken), strict=True):
        below = each.marker.side is Side.BUY
        text = axes.annotate(
            each.marker.label,
            (each.x, each.y),
            xytext=(0, -13 if below else 13),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            color=BUY if below else SELL,
            size=NOTE,
            zorder=6,
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.15", "fc": BACKGROUND, "ec": "none", "alpha": 0.8},
        )
        _pull_inside(text, frame)
        box = text.get_window_extent()
        others = [other for other in taken if other is not own]
        if box.y0 < frame.y0 or box.y1 > frame.y1 or any(box.overlaps(o) for o in others):
            text.remove()
        else:
            taken.append(box)


def _around(axes: Axes, each: Placed) -> Bbox:
    """The pixels of a triangle."""
    x, y = axes.transData.transform((each.x, each.y))
    return Bbox.from_extents(x - 10, y - 10, x + 10, y + 10)


def _pull_inside(text: Text, frame: Bbox) -> None:
    """Align a text that would leave its panel at a side with that side of its marker."""
    box = text.get_window_extent()
    if box.x1 > frame.x1:
        text.set_horizontalalignment("right")
    elif box.x0 < frame.x0:
        text.set_horizontalalignment("left")


def _legend(figure: Figure) -> None:
    for x, color, sign, word in ((0.70, BUY, "^", "buy"), (0.775, SELL, "v", "sell")):
        _sign(figure, x, color, sign, filled=True)
        figure.text(x + 0.014, 0.947, word, color=FAINT, size=NOTE, va="center")
    for x, filled, word in ((0.855, True, "in"), (0.915, False, "out")):
        _sign(figure, x, FAINT, "o", filled)
        figure.text(x + 0.014, 0.947, word, color=FAINT, size=NOTE, va="center")


def _sign(figure: Figure, x: float, color: str, sign: str, filled: bool) -> None:
    axes = figure.add_axes((x - 0.012, 0.932, 0.024, 0.03))
    axes.set_axis_off()
    face = color if filled else BACKGROUND
    axes.scatter([0], [0], s=110, marker=sign, facecolor=face, edgecolor=color, linewidths=2)


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
    figure.text(LEFT, middle, "below the last peak", color=FAINT, size=NOTE, va="center")


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


def _drawdown(axes: Axes, times: Sequence[int], worths: Sequence[float]) -> None:
    falls = [worth / peak - 1 for worth, peak in zip(worths, accumulate(worths, max), strict=True)]
    deepest = min(falls)
    # The note stands beneath the deepest point.
    axes.set_ylim(min(deepest * 1.5, -0.001), 0)
    axes.fill_between(times, falls, 0, color=DOWN, alpha=0.3, linewidth=0)
    axes.plot(times, falls, color=DOWN, linewidth=1.8)
    _value_axis(axes, [], lambda value, more: f"{value * 100:.{max(more - 2, 0)}f}%", count=3)
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
        size=TAG,
        zorder=6,
    )
    _pull_inside(text, axes.get_window_extent())


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
    axes.tick_params(length=0, labelsize=TICK, colors=FAINT)
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
            _beside(axes, pixel(tick) / height, words(tick, more), FAINT, TICK)


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
        size=TAG,
        weight="bold" if tag.filled else "normal",
        parse_math=False,
        bbox={"boxstyle": "square,pad=0.28", "fc": face, "ec": tag.color, "lw": 1.2},
    )
    box = text.get_window_extent()
    room = WIDTH - TAG_MARGIN_PX - box.x0
    if box.width > room:
        text.set_fontsize(TAG * room / box.width)


def _beside(axes: Axes, y: float, text: str, color: str, size: float) -> None:
    axes.text(
        1.015,
        y,
        text,
        transform=axes.transAxes,
        va="center",
        color=color,
        size=size,
        linespacing=1.3,
    )


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
