"""When people are told that live prices have failed, and that they are back."""

from dataclasses import replace

from bot.feed_watch import PATIENCE_MS, FeedWatch
from engine.ports import FeedHealth

WELL = FeedHealth(True, 0, 0, 0, 0, 0, True, (), 0)
DOWN = replace(WELL, connected=False)


def test_a_short_drop_is_nobodys_news() -> None:
    watch = FeedWatch()
    assert watch.look(WELL, 0) is None
    assert watch.look(DOWN, 5_000) is None
    assert watch.look(WELL, 10_000) is None


def test_a_failure_is_told_once_and_so_is_its_end() -> None:
    watch = FeedWatch()
    watch.look(WELL, 0)
    assert watch.look(DOWN, PATIENCE_MS - 1) is None
    assert watch.look(DOWN, PATIENCE_MS) == (
        "Live prices: the stream is down, candles are fetched when they have closed."
    )
    assert watch.look(DOWN, 2 * PATIENCE_MS) is None
    assert watch.look(WELL, 120_000) == (
        "Live prices are back after 2m; the candles missed were fetched."
    )
    assert watch.look(WELL, 130_000) is None


def test_a_feed_that_never_came_up_is_told_too() -> None:
    watch = FeedWatch()
    assert watch.look(replace(DOWN, rest_reachable=False), 0) is None
    said = watch.look(replace(DOWN, rest_reachable=False), PATIENCE_MS)
    assert said is not None
    assert "can't be asked either" in said


def test_a_symbol_without_candles_is_named() -> None:
    watch = FeedWatch()
    watch.look(WELL, 0)
    assert watch.look(replace(WELL, quiet=("ETHUSDT",)), PATIENCE_MS) == (
        "Live prices: no candles of ETHUSDT."
    )
