"""Curves over each other: drawn as a picture, told in words, and each in a file of its own."""

from dataclasses import replace
from pathlib import Path

from bot.render import _name, draw_picture
from bot.render.plain import course_of, range_of
from handlers.reply import CurvesChart, EquityChart

POINTS = ((0, 0.0), (3_600_000, 0.05), (7_200_000, -0.02))
CURVES = (("11 shortseller", POINTS), ("12 rsi", ((0, 0.0), (7_200_000, 0.1))))


def chart(title: str = "Backtests 11 and 12") -> CurvesChart:
    return CurvesChart(title, "1 January", CURVES)


def test_curves_of_different_lengths_are_drawn_into_one_picture(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    draw_picture(chart(), path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_flat_curves_are_drawn(tmp_path: Path) -> None:
    flat = ((0, 0.0), (3_600_000, 0.0))
    draw_picture(CurvesChart("A", "", (("1 a", flat), ("2 b", flat))), tmp_path / "flat.png")
    assert (tmp_path / "flat.png").exists()


def test_a_curve_that_others_are_held_against_is_drawn_beside_them(tmp_path: Path) -> None:
    alike, held = tmp_path / "alike.png", tmp_path / "held.png"
    draw_picture(chart(), alike)
    draw_picture(replace(chart(), first_is_base=True), held)
    assert held.read_bytes().startswith(b"\x89PNG")
    assert held.read_bytes() != alike.read_bytes()


def test_two_studies_of_the_same_days_are_two_files() -> None:
    other = replace(chart(), curves=(CURVES[0], ("12 rsi", ((0, 0.0), (7_200_000, 0.2)))))
    assert _name(other) != _name(chart())


def test_in_words_each_curve_has_its_end() -> None:
    assert range_of(chart()) == ["11 shortseller -2.00%", "12 rsi +10.00%"]
    assert course_of(chart()) == [0.0, 0.05, -0.02]


def test_pictures_of_two_backtests_over_the_same_time_are_two_files() -> None:
    equity = [EquityChart(f"Backtest {n}: rsi", "", POINTS, 1.0) for n in (1, 2)]
    names = {_name(each) for each in (*equity, chart(), chart("Backtests 11 and 13"))}
    assert len(names) == 4
