"""Pictures of amounts beside each other, and what stands where there is no picture."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bot.render.chart import BUY, DOWN, DPI, HEIGHT, UP, WIDTH, _draw_bars, draw
from bot.render.plain import to_text
from handlers.reply import BarChart, Chart, Reply

MONTH = tuple((f"2025-01-{day:02}", float(day % 5 - 2) * 31.25) for day in range(1, 32))
BARS = {
    "a week": MONTH[:7],
    "a month": MONTH,
    "great amounts": tuple((day, amount * 4_321.0) for day, amount in MONTH[:7]),
    "nothing at all": (("2025-01", 0.0), ("2025-02", 0.0)),
    "losses alone": (("2025-01", -12_345.67), ("2025-02", -0.01)),
}


@pytest.mark.parametrize("bars", BARS.values(), ids=BARS)
def test_no_text_lies_on_another(bars: tuple[tuple[str, float], ...]) -> None:
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    _draw_bars(figure, BarChart("Daily net", "January", bars))
    figure.canvas.draw()
    (axes,) = figure.axes
    texts = [*axes.texts, *axes.get_xticklabels()]
    boxes = [(each.get_text(), each.get_window_extent()) for each in texts if each.get_text()]
    assert boxes
    assert [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.overlaps(b)] == []
    assert [text for text, box in boxes if box.x0 < 0 or box.x1 > WIDTH or box.y0 < 0] == []


def test_the_newest_bar_is_named() -> None:
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    _draw_bars(figure, BarChart("Daily net", "January", MONTH))
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][-1] == "2025-01-31"


@pytest.mark.parametrize(
    ("gains", "amounts", "colors"),
    [(True, ["+1.23", "0", "-4.50"], {UP, DOWN}), (False, ["1.23", "0", "-4.50"], {BUY})],
)
def test_gains_have_a_sign_and_its_color_and_other_amounts_neither(
    gains: bool, amounts: list[str], colors: set[str]
) -> None:
    figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    bars = (("a", 1.23), ("b", 0.0), ("c", -4.5))
    _draw_bars(figure, BarChart("Cost a day", "January", bars, gains))
    (axes,) = figure.axes
    assert [each.get_text() for each in axes.texts][:3] == amounts
    assert {to_hex(bar.get_facecolor()) for bar in axes.patches} == colors


def test_it_is_drawn_into_a_file(tmp_path: Path) -> None:
    draw(BarChart("Daily net", "January", MONTH), tmp_path / "bars.png")
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_a_terminal_has_its_course_and_its_range() -> None:
    shown = to_text(Reply((Chart(BarChart("Daily net", "January", MONTH[:3])),)), color=False)
    assert "▁▅█" in shown
    assert "low -31.25   high 31.25" in shown
