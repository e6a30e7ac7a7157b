"""Candles that a backtest can't run on are named with what is allowed, and dirt is told."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from engine.backtest import speed
from engine.backtest.history import History, check, from_files, made
from engine.backtest.plan import Plan
from engine.candle import FUNDING_EVERY_MS, HOUR_MS, MINUTE_MS
from engine.columns import Rates, take
from engine.errors import BadInput
from tests.engine.backtest.agreement import disagreement
from tests.engine.backtest.puppets import PUPPET, SOURCE, SYMBOLS, T0, walk

NOW = 1 << 50


def small(symbols: int = 1, interval: int = MINUTE_MS) -> History:
    return walk(Random(3), SYMBOLS[:symbols], 60, interval, gaps=False)


def with_volume(history: History, symbol: str, first: int, end: int, volume: float) -> History:
    columns = history.columns[symbol]
    changed = columns.volume.copy()
    changed[first:end] = volume
    bars = {**history.columns, symbol: columns._replace(volume=changed)}
    return made(history.interval, bars, history.rates, history.instruments)


REFUSED = {
    "too few bars": (
        lambda: small().within(T0, T0 + 14 * MINUTE_MS),
        {},
        "candles: '14 bars of BTCUSDT' is not valid. Allowed: at least 15 bars of 1m, of which 5 "
        "only warm puppet up.",
    ),
    "too few bars of one of two": (
        lambda: cut(small(2), "ETHUSDT", 9),
        {},
        "candles: '9 bars of ETHUSDT' is not valid",
    ),
    "bars longer than the strategy's": (
        lambda: small(interval=HOUR_MS),
        {},
        "timeframe: '1h' is not valid. Allowed: candles of which 1m can be made, for puppet.",
    ),
    "bars that do not make the higher ones": (
        lambda: small(interval=3 * MINUTE_MS),
        {"timeframe": 3 * MINUTE_MS, "higher": 5 * MINUTE_MS},
        "timeframe: '3m' is not valid. Allowed: candles of which 5m can be made, for puppet.",
    ),
    "no candles at all": (
        lambda: small().within(0, T0),
        {},
        "candles: 'none' is not valid. Allowed: some of at least one symbol",
    ),
}


def cut(history: History, symbol: str, bars: int) -> History:
    columns = {**history.columns, symbol: take(history.columns[symbol], slice(0, bars))}
    return made(history.interval, columns, history.rates, history.instruments)


@pytest.mark.parametrize("is_exact", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_candles_that_the_strategy_can_not_run_on_are_refused(name, is_exact):
    candles, changes, words = REFUSED[name]
    with pytest.raises(BadInput) as refused:
        speed.run(Plan(replace(PUPPET, **changes), exact=is_exact), candles(), SOURCE)
    assert words in str(refused.value)


def test_a_symbol_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(BadInput, match="symbol: 'DOGEUSDT' is not valid. Allowed: BTC.*, ETHUSDT"):
        small(2).only(["ETHUSDT", "DOGEUSDT"])


@pytest.mark.parametrize("is_exact", [False, True])
def test_bars_without_volume_are_counted_by_symbol(is_exact):
    history = with_volume(small(2), "ETHUSDT", 20, 27, 0.0)
    outcome = speed.run(Plan(PUPPET, exact=is_exact), history, SOURCE)
    assert outcome.remarks == ("ETHUSDT: 7 bars without volume, traded at their prices.",)


def test_settlements_without_a_rate_are_counted():
    day = walk(Random(3), SYMBOLS[:1], 1_500, MINUTE_MS, gaps=False)
    eight = Rates(np.array([T0 + FUNDING_EVERY_MS]), np.array([0.0001]))
    assert check(PUPPET, replace(day, rates={"BTCUSDT": eight})) == (
        "BTCUSDT: 2 of 3 funding rates are missing; 0.01 % is assumed there.",
    )


# -- dirty files -------------------------------------------------------------------------


def written(path, history: History, dirt: list[str]):
    """A candle file of a history's bars, with rows of dirt in the place of the bars after 30."""
    rows = list(zip(*history.columns["BTCUSDT"], strict=True))
    lines = [",".join(str(value) for value in row) for row in (*rows[:30], *rows[40:])]
    lines[30:30] = dirt
    path.write_text("\n".join(["ts,open,high,low,close,volume", *lines]) + "\n")
    return path


@pytest.mark.parametrize("is_exact", [False, True])
def test_a_backtest_of_a_dirty_file_says_what_it_did_with_the_dirt(tmp_path, is_exact):
    history = walk(Random(3), ("BTCUSDT",), 200, MINUTE_MS, busy=0.5, gaps=False)
    at = [T0 + number * MINUTE_MS for number in range(30, 40)]
    price = float(history.columns["BTCUSDT"].close[29])
    still = f"{price},{price},{price},{price},100"
    dirt = [
        f"{at[3]},{still}",  # out of order
        f"{at[0]},{still}",
        f"{at[0]},{still}",  # twice
        f"{at[2]},{price},{price * 9},{price},{price},100",  # an absurd print
    ]
    dirty = from_files([written(tmp_path / "BTCUSDT_1m.csv", history, dirt)], NOW)
    # The file without what is left out.
    clean_rows = [f"{at[0]},{still}", f"{at[3]},{still}"]
    folder = tmp_path / "clean"
    folder.mkdir()
    clean = from_files([written(folder / "BTCUSDT_1m.csv", history, clean_rows)], NOW)
    plan = Plan(PUPPET.tuned({"stop_loss": 0.01}), exact=is_exact)
    outcome = speed.run(plan, dirty, SOURCE)
    assert len(outcome.trips) > 5
    assert disagreement(outcome, speed.run(plan, clean, SOURCE)) == ""
    told = "\n".join(outcome.remarks)
    for word in ("1 duplicate bar", "1 absurd print", "order", "2 gaps"):
        assert word in told


def test_what_was_wrong_with_a_symbol_is_told_of_no_other():
    remarks = ("BTCUSDT: 2 gaps.", "ETHUSDT: 1 gap.", "one.csv: mark prices are not used.")
    history = replace(small(2), remarks=remarks)
    assert history.only(["ETHUSDT"]).remarks == remarks[1:]


def test_the_same_candles_have_one_name_and_others_another():
    one, same, other = small(), small(), with_volume(small(), "BTCUSDT", 3, 4, 7.0)
    assert one.digest == same.digest != other.digest
    assert one.within(T0, T0 + 20 * MINUTE_MS).digest != one.digest
    assert np.array_equal(one.columns["BTCUSDT"].ts, other.columns["BTCUSDT"].ts)
