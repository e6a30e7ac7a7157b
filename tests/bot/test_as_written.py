"""Since when bots have had the values of their settings, over starts of the desk."""

from dataclasses import replace
from pathlib import Path

import pytest

from bot.as_written import AsWritten
from engine.tuning_view import TuningView
from tests.handlers.desks import BOT, BTC, ScriptedMarket, build, quiet

HERE, ELSEWHERE = "paper-sim42", "paper-bybit"


@pytest.fixture
async def first() -> TuningView:
    _, desk = await build(ScriptedMarket({BTC: quiet(3)}))
    return desk.tuning()


def with_base(view: TuningView, name: str, base: float) -> TuningView:
    scope = view.scopes[BOT]
    changed = scope.parameters | {name: replace(scope.parameters[name], base=base)}
    return replace(view, scopes=view.scopes | {BOT: replace(scope, parameters=changed)})


def test_other_settings_hold_since_the_start_that_read_them(
    first: TuningView, tmp_path: Path
) -> None:
    path = tmp_path / "written.json"
    AsWritten(path, HERE).note(first, 1_000)
    for now in (2_000, 3_000):
        later = AsWritten(path, HERE)
        later.note(with_base(first, "stop_loss", 0.03), now)
        assert later.since(BOT) == 2_000


def test_the_first_settings_and_the_same_again_hold_for_ever(
    first: TuningView, tmp_path: Path
) -> None:
    for now in (1_000, 2_000):
        written = AsWritten(tmp_path / "written.json", HERE)
        written.note(first, now)
        assert written.since(BOT) == 0


def test_another_market_is_of_another_time(first: TuningView, tmp_path: Path) -> None:
    path = tmp_path / "written.json"
    AsWritten(path, HERE).note(first, 1_000)
    elsewhere = AsWritten(path, ELSEWHERE)
    elsewhere.note(with_base(first, "stop_loss", 0.03), 2_000)
    assert elsewhere.since(BOT) == 0
