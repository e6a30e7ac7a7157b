"""Pictures: they are drawn for every course there can be, and nothing in them overlaps.

What they look like was looked at; what is tested is that text keeps clear of text.
"""

import struct
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

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
