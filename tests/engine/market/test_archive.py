"""The archive: what went in comes out, each bar once, whatever ends the process in between."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import DAY_MS, HOUR_MS, MINUTE_MS
from engine.columns import Columns, Rates, between, digest, joined, take
from engine.errors import BadInput, BadSettings, Broken
from engine.market import segments
from engine.market.archive import Archive
from engine.market.holdings import holdings
from engine.market.segments import Merged

BTC, ETH = "BTCUSDT", "ETHUSDT"
FOUR_HOURS = 4 * HOUR_MS


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


# Three days before a month ends: most ranges cross it.
T0 = at("2025-01-29")


def bars(numbers: range | list[int], interval: int = FOUR_HOURS, version: int = 0) -> Columns:
    """The bars of these numbers, counted from T0; each `version` has other prices."""
    place = np.array(numbers, np.int64)
    price = 100.0 + place + version / 8
    return Columns(T0 + place * interval, price, price + 1, price - 1, price + 0.5, place * 2.0)


def same(found: Columns, expected: Columns) -> bool:
    return digest(found) == digest(expected)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path)


# -- storing and reading -------------------------------------------------------------------------


def test_bars_come_out_as_they_went_in_over_the_ends_of_months(archive):
    year = bars(range(6 * 365))
    assert archive.append(BTC, FOUR_HOURS, year) == Merged(6 * 365, 0)
    assert same(archive.read(BTC, FOUR_HOURS), year)
    start, stop = at("2025-03-30T05:00"), at("2025-05-02T04:00")
    part = archive.read(BTC, FOUR_HOURS, start, stop)
    assert same(part, between(year, start, stop))
    assert (part.ts[0], part.ts[-1]) == (at("2025-03-30T08:00"), at("2025-05-02"))
    assert all(column.flags.writeable and column.flags.c_contiguous for column in part)


def test_a_range_without_bars_is_empty(archive):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    for start, stop in ((0, T0), (T0 + 1, T0 + 2), (at("2026-01-01"), at("2027-01-01"))):
        empty = archive.read(BTC, FOUR_HOURS, start, stop)
        assert [len(column) for column in empty] == [0] * 6


def test_what_is_not_stored_is_named_with_what_is(archive):
    with pytest.raises(BadInput, match="symbol: 'BTCUSDT'.*what is stored: nothing"):
        archive.read(BTC, MINUTE_MS)
    archive.append(BTC, FOUR_HOURS, bars(range(3)))
    archive.append(BTC, HOUR_MS, bars(range(3), HOUR_MS))
    with pytest.raises(BadInput, match="timeframe: '1m'.*what is stored: 1h, 4h"):
        archive.read(BTC, MINUTE_MS)
    with pytest.raises(BadInput, match="symbol: 'ETHUSDT'.*what is stored: BTCUSDT"):
        archive.read(ETH, FOUR_HOURS)


def test_funding_rates_are_kept_beside(archive):
    stamps = T0 + np.arange(300, dtype=np.int64) * 8 * HOUR_MS
    rates = Rates(stamps, np.linspace(-1e-4, 3e-4, 300))
    assert len(archive.rates(BTC).ts) == 0
    assert archive.append_rates(BTC, rates) == Merged(300, 0)
    assert archive.append_rates(BTC, rates) == Merged(0, 300)
    found = archive.rates(BTC, int(stamps[10]), int(stamps[200]))
    assert found.ts.tolist() == stamps[10:200].tolist()
    assert found.rate.tolist() == rates.rate[10:200].tolist()
    (held,) = archive.holdings()
    assert (held.timeframe, held.bars, held.gaps, held.missing) == ("funding", 300, 0, 0)


def test_a_segment_is_a_file_that_numpy_reads(archive, tmp_path):
    archive.append(BTC, FOUR_HOURS, bars(range(2)))
    (path,) = tmp_path.glob("candles/BTCUSDT/4h/2025-01-*.npy")
    content = np.load(path)
    assert content["close"][0].tolist() == [100.5, 101.5]
    assert content["ts"][0].tolist() == [T0, T0 + FOUR_HOURS]


# -- appending -----------------------------------------------------------------------------------


def test_a_bar_with_other_values_stays_out_and_is_counted(archive):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    told = archive.append(BTC, FOUR_HOURS, bars(range(25, 40), version=1))
    assert told == Merged(10, 5, 5, T0 + 25 * FOUR_HOURS)
    kept = archive.read(BTC, FOUR_HOURS)
    assert same(take(kept, slice(0, 30)), bars(range(30)))
    assert same(take(kept, slice(30, 40)), bars(range(30, 40), version=1))


def test_a_bar_with_other_values_is_believed_where_that_is_said(archive):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    told = archive.append(BTC, FOUR_HOURS, bars(range(10, 12), version=1), replace=True)
    assert told == Merged(0, 2, 2, T0 + 10 * FOUR_HOURS)
    kept = archive.read(BTC, FOUR_HOURS)
    assert same(take(kept, slice(10, 12)), bars(range(10, 12), version=1))
    assert same(take(kept, slice(12, 30)), bars(range(12, 30)))


def test_bars_that_are_there_already_write_nothing(archive, tmp_path):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert archive.append(BTC, FOUR_HOURS, bars(range(5, 20))) == Merged(0, 15)
    assert archive.append(BTC, FOUR_HOURS, bars([])) == Merged(0, 0)
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


appends = st.lists(
    st.tuples(
        st.lists(st.integers(0, 40), unique=True).map(sorted), st.integers(0, 2), st.booleans()
    ),
    max_size=6,
)


@settings(max_examples=30, deadline=None)
@given(appends)
def test_any_overlapping_appends_make_the_merged_set(given_):
    model: dict[int, int] = {}
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder))
        for numbers, version, replace in given_:
            known = [number for number in numbers if number in model]
            differing = [number for number in known if model[number] != version]
            told = archive.append(BTC, FOUR_HOURS, bars(numbers, version=version), replace=replace)
            first = T0 + differing[0] * FOUR_HOURS if differing else None
            added = len(numbers) - len(known)
            assert told == Merged(added, len(known), len(differing), first)
            model |= {n: version for n in numbers if replace or n not in model}
        if not model:
            assert archive.holdings() == []
            return
        found = archive.read(BTC, FOUR_HOURS)
        assert found.ts.tolist() == [T0 + number * FOUR_HOURS for number in sorted(model)]
        prices = [100.0 + number + model[number] / 8 for number in sorted(model)]
        assert found.open.tolist() == prices
        (held,) = archive.holdings()
        span = max(model) - min(model) + 1
        holes = np.diff(sorted(model)) > 1
        assert (held.bars, held.missing, held.gaps) == (len(model), span - len(model), holes.sum())
        asked = archive.missing(BTC, FOUR_HOURS, T0, T0 + 41 * FOUR_HOURS)
        gone = [n for n in range(41) if n not in model]
        assert [
            (ts - T0) // FOUR_HOURS for each in asked for ts in range(*each, FOUR_HOURS)
        ] == gone


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (bars([0, 2, 1]), "ts: .*stamps that ascend"),
        (bars([0, 1, 1]), "ts: .*each once"),
        (bars(range(3), FOUR_HOURS + 1), "ts: .*on the grid of 4h"),
        (bars([0])._replace(high=np.array([np.nan])), "high: nan .*a finite number"),
        (bars([0])._replace(volume=np.array([np.inf])), "volume: inf .*a finite number"),
    ],
)
def test_what_no_market_gives_is_refused_and_nothing_is_stored(archive, wrong, said):
    with pytest.raises(BadInput, match=said):
        archive.append(BTC, FOUR_HOURS, wrong)
    assert archive.holdings() == []


@pytest.mark.parametrize("symbol", ["../BTCUSDT", "btcusdt", "", "BTC/USDT", "A" * 41])
def test_a_name_that_is_no_symbol_opens_no_folder(archive, symbol):
    with pytest.raises(BadInput, match="symbol"):
        archive.append(symbol, FOUR_HOURS, bars([0]))


def test_a_length_that_is_no_timeframe_is_refused(archive):
    with pytest.raises(BadInput, match="timeframe: '7m'.*1m, 3m, 5m"):
        archive.append(BTC, 7 * MINUTE_MS, bars(range(3), 7 * MINUTE_MS))


# -- what is held --------------------------------------------------------------------------------


def test_holdings_tell_what_there_is_in_order(archive, tmp_path):
    archive.append(ETH, FOUR_HOURS, bars([0, 1, 3, 30, 31]), kept_since=T0)
    archive.append(BTC, FOUR_HOURS, bars(range(4)))
    archive.append(BTC, 5 * MINUTE_MS, bars(range(4), 5 * MINUTE_MS))
    found = holdings(tmp_path)
    assert [(each.symbol, each.timeframe) for each in found] == [
        (BTC, "5m"), (BTC, "4h"), (ETH, "4h"),
    ]  # fmt: skip
    eth = found[2]
    assert (eth.start, eth.end) == (T0, T0 + 32 * FOUR_HOURS)
    assert (eth.bars, eth.gaps, eth.missing, eth.kept_since) == (5, 2, 27, T0)
    assert eth.size == sum(p.stat().st_size for p in tmp_path.glob("candles/ETHUSDT/4h/*.npy"))
    assert archive.holding(ETH, FOUR_HOURS) == eth
    assert archive.holding(ETH, HOUR_MS) is None


def test_the_desk_reads_holdings_without_numpy():
    code = "import sys, engine.market.holdings; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


ROOT = Path(__file__).parents[3]


# -- pruning -------------------------------------------------------------------------------------


def test_pruning_drops_whole_months_and_tells_them(archive):
    year = bars(range(6 * 365))
    archive.append(BTC, FOUR_HOURS, year)
    (dropped,) = archive.prune(at("2025-04-15"))
    assert (dropped.start, dropped.end) == (T0, at("2025-04-01"))
    assert dropped.bars == 6 * (3 + 28 + 31)
    assert same(archive.read(BTC, FOUR_HOURS), between(year, at("2025-04-01"), 1 << 60))
    assert archive.prune(at("2025-04-15")) == []


def test_what_somebody_asked_to_keep_is_not_pruned(archive):
    archive.append(BTC, FOUR_HOURS, bars(range(6 * 365)), kept_since=at("2025-03-10"))
    archive.append(BTC, FOUR_HOURS, bars(range(6 * 365)), kept_since=at("2025-06-10"))
    (dropped,) = archive.prune(at("2026-01-01"))
    assert dropped.end == at("2025-03-01")
    assert archive.read(BTC, FOUR_HOURS).ts[0] == at("2025-03-01")


def test_what_is_outdated_as_a_whole_is_gone(archive, tmp_path):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    archive.append(ETH, FOUR_HOURS, bars(range(3_000)))
    archive.prune(at("2026-01-01"))
    assert [each.symbol for each in archive.holdings()] == [ETH]
    assert list(tmp_path.glob("candles/BTCUSDT/4h/*.npy")) == []
    assert archive.append(BTC, FOUR_HOURS, bars(range(30))) == Merged(30, 0)


# -- accidents -----------------------------------------------------------------------------------


class Crash(Exception):
    pass


class Power:
    """Fails before the step of that number; steps are what reaches the disk."""

    def __init__(self, step: int) -> None:
        self._left = step

    def stepping(self, act: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object) -> object:
            self._left -= 1
            if self._left < 0:
                raise Crash
            return act(*arguments)

        return stepped


def crash_at(step: int, patch: pytest.MonkeyPatch, write: Callable[[], object]) -> bool:
    """Do a write and end it before a step; whether it ended so."""
    power = Power(step)
    with patch.context() as patched:
        for place, name in ((os, "replace"), (os, "fsync"), (Path, "unlink")):
            patched.setattr(place, name, power.stepping(getattr(place, name)))
        try:
            write()
        except Crash:
            return True
    return False


def test_a_write_that_ends_at_any_step_leaves_the_old_or_the_new(tmp_path, monkeypatch):
    # Both write to January, where one bar is missing, and to February.
    old, new = bars([n for n in range(30) if n != 12]), bars(range(10, 60), version=1)
    whole = joined(
        [bars(range(12)), bars([12], version=1), bars(range(13, 30)), take(new, slice(20, 50))]
    )
    for step in count():
        archive, folder = Archive(tmp_path / str(step)), tmp_path / str(step) / "candles/BTCUSDT/4h"
        archive.append(BTC, FOUR_HOURS, old)
        ended = crash_at(step, monkeypatch, partial(archive.append, BTC, FOUR_HOURS, new))
        assert digest(archive.read(BTC, FOUR_HOURS)) in (digest(old), digest(whole))
        archive.append(BTC, FOUR_HOURS, new)
        assert same(archive.read(BTC, FOUR_HOURS), whole)
        archive.append(BTC, FOUR_HOURS, bars([60]))
        left = sorted(path.name[:7] for path in folder.iterdir())
        assert left == ["2025-01", "2025-02", "manifes"]
        if not ended:
            break
    assert step >= 10


WRITER = """
import sys
from pathlib import Path
from tests.engine.market.test_archive import BTC, FOUR_HOURS, bars
from engine.market.archive import Archive
archive, start, step = Archive(Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
for page in range(start, 10_000 if step == 1 else 40, step):
    archive.append(BTC, FOUR_HOURS, bars(range(page * 10, page * 10 + 10)))
    print(page, flush=True)
"""


def writer(folder: Path, start: int, step: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), str(start), str(step)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_writer_that_is_killed_leaves_whole_appends(tmp_path):
    archive, pages = Archive(tmp_path), 0
    for lines in (3, 11):
        with writer(tmp_path, pages, 1) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(lines)]
            process.send_signal(signal.SIGKILL)
        found = archive.read(BTC, FOUR_HOURS)
        pages = len(found.ts) // 10
        assert pages > int(told[-1])
        assert same(found, bars(range(pages * 10)))


def test_two_writers_at_once_lose_nothing(tmp_path):
    with writer(tmp_path, 0, 2) as even, writer(tmp_path, 1, 2) as odd:
        archive = Archive(tmp_path)
        while even.poll() is None or odd.poll() is None:
            if archive.holdings():
                found = archive.read(BTC, FOUR_HOURS)
                assert same(found, bars(((found.ts - T0) // FOUR_HOURS).tolist()))
        assert (even.communicate()[0] + odd.communicate()[0]).count("\n") == 40
    assert same(archive.read(BTC, FOUR_HOURS), bars(range(400)))


def test_a_damaged_file_is_named_with_what_to_do(archive, tmp_path):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    path = max(tmp_path.glob("candles/BTCUSDT/4h/*.npy"))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(Broken, match=rf"{path.name} is damaged.*fetch or import"):
        archive.read(BTC, FOUR_HOURS)
    path.unlink()
    with pytest.raises(Broken, match="lacks a file"):
        archive.read(BTC, FOUR_HOURS)
    with pytest.raises(Broken, match=f"{path.name} is gone"):
        archive.append(BTC, FOUR_HOURS, bars(range(100)))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version": 1}', '{"version": 1, "timeframe": "9m"}']
)
def test_a_damaged_manifest_is_named_with_what_to_do(archive, tmp_path, content):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    path = tmp_path / "candles/BTCUSDT/4h/manifest.json"
    path.write_text(content)
    for act in (archive.holdings, lambda: archive.read(BTC, FOUR_HOURS)):
        with pytest.raises(Broken, match="manifest.json is damaged.*Remove the folder"):
            act()


def test_a_manifest_of_a_newer_version_is_not_touched(archive, tmp_path):
    archive.append(BTC, FOUR_HOURS, bars(range(30)))
    path = tmp_path / "candles/BTCUSDT/4h/manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(BadSettings, match="version 2, made by a newer version"):
        archive.append(BTC, FOUR_HOURS, bars(range(40)))


def test_a_disk_that_refuses_is_named(archive, monkeypatch):
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments, "put", full)
    with pytest.raises(BadSettings, match="can't be written: No space left on device"):
        archive.append(BTC, FOUR_HOURS, bars(range(30)))


def test_a_day_of_a_month_that_begins_late_is_in_its_month(archive, tmp_path):
    archive.append(BTC, DAY_MS, bars(range(400), DAY_MS))
    months = sorted(path.name[:7] for path in tmp_path.glob("candles/BTCUSDT/1d/*.npy"))
    assert (len(months), months[0], months[-1]) == (15, "2025-01", "2026-03")
