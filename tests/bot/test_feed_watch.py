"""When people are told that a connection has failed, and that it is back."""

from dataclasses import replace

from bot.feed_watch import PATIENCE_MS, LinkWatch, wrong_with_accounts, wrong_with_feed
from engine.event import ExchangeLink
from engine.ports import FeedHealth
from tests.handlers.watched import open_watched


def watching() -> LinkWatch:
    return LinkWatch("Live prices are", "the candles missed were fetched")


WELL = FeedHealth(True, 0, 0, 0, 0, 0, True, (), 0)
DOWN = replace(WELL, connected=False)


def test_a_short_drop_is_nobodys_news() -> None:
    watch = watching()
    assert watch.look(wrong_with_feed(WELL), 0) is None
    assert watch.look(wrong_with_feed(DOWN), 5_000) is None
    assert watch.look(wrong_with_feed(WELL), 10_000) is None


def test_a_failure_is_told_once_and_so_is_its_end() -> None:
    watch = watching()
    watch.look(wrong_with_feed(WELL), 0)
    assert watch.look(wrong_with_feed(DOWN), PATIENCE_MS - 1) is None
    assert watch.look(wrong_with_feed(DOWN), PATIENCE_MS) == (
        "Live prices: the stream is down, candles are fetched when they have closed."
    )
    assert watch.look(wrong_with_feed(DOWN), 2 * PATIENCE_MS) is None
    assert watch.look(wrong_with_feed(WELL), 120_000) == (
        "Live prices are back after 2m; the candles missed were fetched."
    )
    assert watch.look(wrong_with_feed(WELL), 130_000) is None


def test_a_feed_that_never_came_up_is_told_too() -> None:
    watch = watching()
    assert watch.look(wrong_with_feed(replace(DOWN, rest_reachable=False)), 0) is None
    said = watch.look(wrong_with_feed(replace(DOWN, rest_reachable=False)), PATIENCE_MS)
    assert said is not None
    assert "can't be asked either" in said


def test_a_symbol_without_candles_is_named() -> None:
    watch = watching()
    watch.look(wrong_with_feed(WELL), 0)
    quiet = wrong_with_feed(replace(WELL, quiet=("ETHUSDT",)))
    assert watch.look(quiet, PATIENCE_MS) == ("Live prices: no candles of ETHUSDT.")


def test_an_account_that_can_t_be_heard_is_named() -> None:
    watch = LinkWatch("The account of trend_001 is", "what was missed is booked", "Nothing opens.")
    watch.look("", 0)
    down = "the stream is down"
    assert watch.look(down, PATIENCE_MS) == (
        "The account of trend_001: the stream is down. Nothing opens."
    )
    assert watch.look("", 90_000) == (
        "The account of trend_001 is back after 1m 30s; what was missed is booked."
    )


async def test_bots_that_share_an_account_are_told_of_together() -> None:
    async with open_watched("demo", ("trend_001", "trend_002")) as (desk, exchange):
        assert wrong_with_accounts(desk.view()) == {"trend_001, trend_002": ""}
        exchange.tell(ExchangeLink(next(iter(exchange.there)), "the stream is down", 1))
        await desk.survey()
        assert wrong_with_accounts(desk.view()) == {"trend_001, trend_002": "the stream is down"}
