"""Having the charts of a reply drawn: paths, failures, and the folder they are kept in."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.render import PICTURES_KEPT, Picture, decimals, draw_charts
from engine.candle import HOUR_MS, Candle
from engine.errors import Unreachable
from handlers.reply import CandleChart, Chart, EquityChart, Text, reply

TS = 1_784_652_900_000
CANDLES = (Candle(TS, 1.0, 2.0, 0.5, 1.5, 3.0),)
CANDLE_CHART = CandleChart("BTCUSDT 1h", "", HOUR_MS, CANDLES)
EQUITY_CHART = EquityChart("Equity", "", ((TS, 1.0), (TS + HOUR_MS, 2.0)), 1.0)
REPLY = reply(Chart(CANDLE_CHART), Text("between"), Chart(EQUITY_CHART))


async def draw(picture: Picture, path: Path) -> None:
    _write(picture, path)


def _write(picture: Picture, path: Path) -> None:
    path.write_text(picture.title)


def nobody(principal_id: str) -> None:
    """Nobody enrolls here."""


def _pictures(folder: Path) -> int:
    return len(list(folder.glob("*.png")))


async def test_every_chart_gets_a_path_in_its_order(tmp_path: Path) -> None:
    paths = await draw_charts(REPLY, tmp_path / "charts", draw, nobody)
    assert [path and path.read_text() for path in paths] == ["BTCUSDT 1h", "Equity"]
    assert [path and path.name for path in paths] == [
        f"btcusdt-1h-{TS + HOUR_MS}.png",
        f"equity-{TS}-{TS + HOUR_MS}.png",
    ]
    assert all(path and path.is_absolute() for path in paths)


async def test_two_charts_of_the_same_candles_have_their_own_names(tmp_path: Path) -> None:
    marked = replace(CANDLE_CHART, title="BTCUSDT patterns 1h")
    both = reply(Chart(CANDLE_CHART), Chart(marked))
    paths = await draw_charts(both, tmp_path, draw, nobody)
    assert len({path and path.name for path in paths}) == 2


async def test_a_chart_that_cannot_be_drawn_is_none_and_the_others_are_drawn(
    tmp_path: Path,
) -> None:
    async def fail_on_candles(picture: Picture, path: Path) -> None:
        if isinstance(picture, CandleChart):
            raise Unreachable("the worker ended")
        await draw(picture, path)

    paths = await draw_charts(REPLY, tmp_path, fail_on_candles, nobody)
    assert paths[0] is None
    assert paths[1] is not None


async def test_a_folder_that_cannot_be_made_is_no_exception(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert await draw_charts(REPLY, tmp_path / "file" / "charts", draw, nobody) == [None, None]


async def test_a_reply_without_charts_touches_nothing(tmp_path: Path) -> None:
    assert await draw_charts(reply(Text("hello")), tmp_path / "charts", draw, nobody) == []
    assert not (tmp_path / "charts").exists()


async def test_only_the_newest_pictures_are_kept(tmp_path: Path) -> None:
    for n in range(PICTURES_KEPT + 5):
        (tmp_path / f"old-{n}.png").write_text("")
    paths = await draw_charts(REPLY, tmp_path, draw, nobody)
    assert _pictures(tmp_path) == PICTURES_KEPT
    assert all(path and path.exists() for path in paths)


@pytest.mark.parametrize(
    ("title", "name"), [("../../etc/x y", "------etc-x"), ("A/B 1h", "a-b"), ("Équity", "équity")]
)
async def test_a_title_cannot_leave_the_folder(tmp_path: Path, title: str, name: str) -> None:
    chart = EquityChart(title, "", EQUITY_CHART.points, 1.0)
    (path,) = await draw_charts(reply(Chart(chart)), tmp_path, draw, nobody)
    assert path is not None
    assert path.parent == tmp_path
    assert path.name.startswith(f"{name}-")


@pytest.mark.parametrize(
    ("prices", "digits"),
    [
        ([], 0),
        ([100.0, 25_000.0], 0),
        ([111_920.5, 111_920.0], 1),
        ([0.23145, 0.2], 5),
        ([1e-05], 5),
        ([1 / 3], 8),
    ],
)
def test_prices_get_the_decimals_of_the_finest(prices: list[float], digits: int) -> None:
    assert decimals(prices) == digits
