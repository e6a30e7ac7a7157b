"""Pictures: they are drawn for every course there can be, and nothing in them overlaps.

What they look like was looked at; what is tested is that text keeps clear of text.
"""

import struct
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bot.render import chart as charts
from bot.render.chart import HEIGHT, TAG_HEIGHT_PX, WIDTH, draw
from engine.candle import DAY_MS, HOUR_MS, Candle
from engine.order import Side
from handlers.reply import CandleChart, EquityChart, Marker

# 2026-07-21 16:00 UTC
END = 1_784_649_600_000
SUBTITLE = (
    "2026-07-16 17:00 to 2026-07-21 16:00 UTC · PAPER - simulated market, seed 42 at 60x speed"
)
LONG_SUBTITLE = (
    "2026-03-24 00:00 to 2026-07-21 17:00 UTC · newest 5,000 fills"
    " · PAPER - replay of bybit_BTCUSDT_perp_5m_2025-09_2026-07 (86,604 candles)"
)


def course(count: int, price: float, digits: int, interval: int = HOUR_MS) -> tuple[Candle, ...]:
    random = Random(7)
    candles = []
    for index in range(count):
        close = round(price * (1 + random.gauss(0, 0.004)), digits)
        high = round(max(price, close) * 1.001, digits)
        low = round(min(price, close) * 0.999, digits)
        ts = END + (index - count) * interval
        candles.append(Candle(ts, price, high, low, close, random.random() * 100))
        price = close
    return tuple(candles)


def markers(candles: tuple[Candle, ...], count: int) -> tuple[Marker, ...]:
    places = sorted(Random(3).sample(range(len(candles)), count))
    return tuple(
        Marker(
            candles[place].ts + 1,
            candles[place].close,
            (Side.BUY, Side.SELL)[number % 2],
            number % 2 == 0,
            ("Buy 0.045", "trailing stop")[number % 2],
        )
        for number, place in enumerate(places)
    )


def levels(
    candles: tuple[Candle, ...], stop: float, target: float
) -> tuple[tuple[str, float], ...]:
    last = candles[-1].close
    return (("entry", last), ("stop", last * stop), ("target", last * target))


def crowd(candles: tuple[Candle, ...], count: int) -> tuple[Marker, ...]:
    """So many fills of both sides and kinds in every candle."""
    return tuple(
        Marker(candle.ts + 1, candle.close, side, is_entry, "Buy 0.045")
        for candle in candles
        for side in Side
        for is_entry in (True, False)
        for _ in range(count)
    )


BTC = course(120, 111_920.0, 1)
DOGE = course(120, 0.23145, 5, 900_000)
FLAT = tuple(Candle(END + i * HOUR_MS, 100.0, 100.0, 100.0, 100.0, 0.0) for i in range(50))

CANDLE_CHARTS = {
    "plain": CandleChart("BTCUSDT 1h", SUBTITLE, HOUR_MS, BTC),
    "position": CandleChart(
        "BTCUSDT 1h", SUBTITLE, HOUR_MS, BTC, markers(BTC, 6), levels(BTC, 1.01, 0.97)
    ),
    "levels that touch": CandleChart(
        "BTCUSDT 1h", SUBTITLE, HOUR_MS, BTC, (), levels(BTC, 1.0001, 0.9999)
    ),
    "levels far away": CandleChart(
        "BTCUSDT 1h", SUBTITLE, HOUR_MS, BTC, markers(BTC, 40), levels(BTC, 1.5, 0.5)
    ),
    "one candle with fills of every kind": CandleChart(
        "BTCUSDT 1d", SUBTITLE, HOUR_MS, BTC, crowd(BTC[-1:], 3), levels(BTC, 1.01, 0.97)
    ),
    "fills of every kind in every twelfth candle": CandleChart(
        "BTCUSDT 1d", SUBTITLE, HOUR_MS, BTC, crowd(BTC[::12], 5)
    ),
    "a dozen fills of every kind in every candle": CandleChart(
        "BTCUSDT 1d", SUBTITLE, HOUR_MS, BTC, crowd(BTC, 12), levels(BTC, 1.01, 0.97)
    ),
    "still forming": CandleChart(
        "1000PEPEUSDT 15m",
        LONG_SUBTITLE,
        900_000,
        BTC,
        markers(BTC, 8),
        levels(BTC, 1.01, 0.97),
        forming_until=BTC[-1].ts + 300_000,
    ),
    "small prices": CandleChart(
        "DOGEUSDT 15m", SUBTITLE, 900_000, DOGE, markers(DOGE, 3), levels(DOGE, 1.015, 0.94)
    ),
    "one candle": CandleChart("SOLUSDT 1d", SUBTITLE, DAY_MS, course(1, 180.0, 2, DAY_MS)),
    "three candles": CandleChart("SOLUSDT 1d", SUBTITLE, DAY_MS, course(3, 180.0, 2, DAY_MS)),
    "many candles": CandleChart("BTCUSDT 5m", SUBTITLE, 300_000, course(500, 1e5, 1, 300_000)),
    "nothing moves": CandleChart("XYZUSDT 1h", SUBTITLE, HOUR_MS, FLAT, markers(FLAT, 4)),
    "strange words": CandleChart("$x$ 漢字", "\x1b$\\frac{" * 30, HOUR_MS, BTC[:30]),
}


def equity(count: int, step: float) -> tuple[tuple[int, float], ...]:
    random = Random(5)
    worth, points = 10_000.0, []
    for index in range(count):
        points.append((END + (index - count) * HOUR_MS, worth))
        worth *= 1 + random.gauss(0, step)
    return tuple(points)


EQUITY_CHARTS = {
    "a month": EquityChart("Equity", SUBTITLE, equity(720, 0.001), 10_000.0),
    "years": EquityChart("Equity", SUBTITLE, equity(10_000, 0.001), 10_000.0),
    "three hours": EquityChart("Equity", SUBTITLE, equity(3, 0.001), 10_000.0),
    "one point": EquityChart("Equity", SUBTITLE, equity(1, 0.001), 10_000.0),
    "far from the deposit": EquityChart("Equity", SUBTITLE, equity(50, 0.0001), 25_000.0),
    "flat": EquityChart("Equity", SUBTITLE, equity(100, 0.0), 10_000.0),
    "ruin": EquityChart("Equity", SUBTITLE, ((END, 1e4), (END + 1, 0.0), (END + 2, 1.0)), 1e4),
}
CHARTS = {**CANDLE_CHARTS, **EQUITY_CHARTS}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_becomes_a_picture_of_the_right_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    draw(CHARTS[name], path)
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:]) == (WIDTH, HEIGHT)
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name", CHARTS)
def test_no_text_lies_on_text_or_leaves_the_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(charts, "FigureCanvasAgg", _remembering(figures))
    draw(CHARTS[name], tmp_path / "a.png")
    texts = [text for text in _texts(figures[0]) if text.get_text()]
    boxes = {text: text.get_window_extent() for text in texts}
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.x1 <= WIDTH and box.y0 >= 0 and box.y1 <= HEIGHT, text
    for first, second in combinations(texts, 2):
        assert not boxes[first].overlaps(boxes[second]), (first, second)


@pytest.mark.parametrize("name", CANDLE_CHARTS)
def test_no_marker_lies_on_a_candle_on_a_marker_or_on_an_edge(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    axes, placed = _fitted(name, tmp_path, monkeypatch)
    panel = axes.get_window_extent()
    boxes = [_triangle(each) for each in placed]
    for first, second in combinations(boxes, 2):
        assert not first.overlaps(second)
    chart = CANDLE_CHARTS[name]
    assert isinstance(chart, CandleChart)
    for each, box in zip(placed, boxes, strict=True):
        assert box.x0 >= 0 and box.x1 <= panel.width and box.y0 >= 0 and box.y1 <= panel.height
        for x, candle in enumerate(chart.candles):
            column, low = charts._pixel(axes, x, candle.low)
            _, high = charts._pixel(axes, x, candle.high)
            assert not (box.x0 < column < box.x1 and box.y0 < high and low < box.y1), each


def test_fills_of_one_side_and_kind_in_one_candle_share_a_marker_with_their_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "one candle with fills of every kind"
    _, placed = _fitted(name, tmp_path, monkeypatch)
    assert [(each.group.side, each.group.is_entry, each.group.count) for each in placed] == [
        (side, is_entry, 3) for side in Side for is_entry in (True, False)
    ]
    assert [each.words[0].text for each in placed] == ["x3"] * 4


def test_where_counts_have_no_room_the_picture_says_how_many_fills_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = _drawn("a dozen fills of every kind in every candle", tmp_path, monkeypatch)
    assert "5,760 fills" in [text.get_text() for text in _texts(figure)]


def test_the_time_range_stands_whole_and_a_long_badge_loses_its_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = _drawn("still forming", tmp_path, monkeypatch)
    words = [text.get_text() for text in figure.texts]
    assert "2026-03-24 00:00 to 2026-07-21 17:00 UTC · newest 5,000 fills" in words
    (badge,) = [word for word in words if word.startswith("PAPER - replay of bybit")]
    assert "…" in badge and badge.endswith("(86,604 candles)")
    assert "forming" in words


@pytest.mark.parametrize("name", ["position", "still forming", "a month"])
def test_what_says_how_to_read_the_picture_is_large_enough_for_a_phone(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [text.get_fontsize() for text in _drawn(name, tmp_path, monkeypatch).texts]
    assert all(float(size) * charts.DPI / 72 >= 26 for size in sizes)


def test_only_the_candle_still_forming_is_hollow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hollow(name: str) -> int:
        panel = _drawn(name, tmp_path, monkeypatch).axes[0]
        bodies = [each for each in panel.collections if isinstance(each, PolyCollection)]
        background = to_rgba(charts.BACKGROUND)
        return sum(tuple(color) == background for each in bodies for color in each.get_facecolor())

    assert (hollow("position"), hollow("still forming")) == (0, 1)


def _drawn(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    figures: list[Figure] = []
    with monkeypatch.context() as patch:
        patch.setattr(charts, "FigureCanvasAgg", _remembering(figures))
        draw(CHARTS[name], tmp_path / "a.png")
    return figures[0]


def _fitted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Axes, list[charts.Placed]]:
    """The panel of a chart's candles, and the markers as they were drawn there."""
    drawn: list[tuple[Axes, list[charts.Placed]]] = []
    with monkeypatch.context() as patch:
        patch.setattr(charts, "_draw_markers", lambda *drawing: drawn.append(drawing))
        draw(CHARTS[name], tmp_path / "a.png")
    return drawn[0]


def _triangle(placed: charts.Placed) -> Bbox:
    half = placed.size.marker_px / 2
    x, y = placed.x, placed.y
    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _remembering(figures: list[Figure]) -> object:
    original = charts.FigureCanvasAgg

    def make(figure: Figure) -> object:
        figures.append(figure)
        return original(figure)

    return make


def _texts(figure: Figure) -> list[Text]:
    found = list(figure.texts)
    for axes in figure.axes:
        assert isinstance(axes, Axes)
        found += axes.texts
        if axes.axison:
            found += [*axes.get_xticklabels(), *axes.get_yticklabels()]
    return found


@pytest.mark.parametrize(
    ("wanted", "height"),
    [
        ([], 500.0),
        ([250.0], 500.0),
        ([250.0, 250.0, 250.0, 250.0], 500.0),
        ([0.0, 1.0, 499.0, 500.0], 500.0),
        ([-900.0, 2_000.0], 500.0),
        ([10.0, 400.0], 500.0),
    ],
)
def test_tags_keep_a_tags_height_apart_and_inside(wanted: list[float], height: float) -> None:
    places = charts._apart(wanted, height)
    assert len(places) == len(wanted)
    ordered = sorted(places)
    assert all(TAG_HEIGHT_PX / 2 - 1e-9 <= place <= height - TAG_HEIGHT_PX / 2 for place in places)
    gaps = [b - a for a, b in zip(ordered, ordered[1:], strict=False)]
    assert all(gap >= TAG_HEIGHT_PX - 1e-9 for gap in gaps)
    assert [wanted[i] for i in _order(wanted)] == [wanted[i] for i in _order(places)]


def _order(values: list[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda index: values[index])


def test_a_tag_with_room_stays_where_its_value_is() -> None:
    assert charts._apart([100.0, 300.0], 500.0) == [100.0, 300.0]


@pytest.mark.parametrize("span", [HOUR_MS, 5 * HOUR_MS, DAY_MS, 5 * DAY_MS, 400 * DAY_MS])
def test_time_ticks_are_round_and_few(span: int) -> None:
    ticks = charts._round_times(END - span, END)
    assert 1 <= len(ticks) <= charts.TIME_TICKS + 1
    assert all(tick % charts._time_step(span) == 0 for tick in ticks)
