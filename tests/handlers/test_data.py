"""/data: what is stored, as the manifests tell it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from engine.candle import HOUR_MS
from engine.columns import Columns, Rates
from engine.desk import Desk
from engine.market.archive import Archive
from engine.market.holdings import holdings
from engine.people import Role
from handlers.reply import Table, Time
from tests.handlers.desks import OpenDesk, ScriptedMarket, rows, say, table

T0 = 1_735_689_600_000


@pytest.fixture
async def stocked(open_desk: OpenDesk, tmp_path: Path) -> Desk:
    """A desk beside whose data some candles and rates lie."""
    archive, stamps = Archive(tmp_path), T0 + np.array([0, 1, 4, 5]) * HOUR_MS
    archive.append("BTCUSDT", HOUR_MS, Columns(stamps, *(np.full(4, 7.0) for _ in range(5))))
    archive.append_rates("BTCUSDT", Rates(stamps[:1], np.array([0.0001])))
    desk = await open_desk(ScriptedMarket({"BTCUSDT": []}))
    return replace(desk, holdings=partial(holdings, tmp_path))


async def test_what_is_stored_is_listed(stocked: Desk) -> None:
    candles, rates = rows(table(await say(stocked, "/data"), "Stored candles"))
    assert candles == {
        "symbol": "BTCUSDT",
        "timeframe": "1h",
        "from": Time(T0),
        "to": Time(T0 + 6 * HOUR_MS),
        "bars": 4,
        "gaps": 1,
        "missing": 2,
        "megabytes": "0.0",
    }
    assert (rates["timeframe"], rates["bars"]) == ("funding", 1)


async def test_an_empty_archive_says_how_to_fill_it(empty_desk: Desk) -> None:
    (block,) = (await say(empty_desk, "/data")).blocks
    assert isinstance(block, Table)
    assert not block.rows
    assert "countersign data fetch BTCUSDT" in block.empty


async def test_a_viewer_may_look(stocked: Desk) -> None:
    assert (await say(stocked, "/data", role=Role.VIEWER)).ok
