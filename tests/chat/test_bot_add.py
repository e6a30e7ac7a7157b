"""A bot that is added from a chat: its card, its warming up beside a market that goes on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from engine.candle import Candle
from engine.errors import BadInput, Unreachable
from engine.ports import FeedHealth
from tests.chat.desks import LiveMarket, quiet_market
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import BAR, BOT, BTC, ETH, T0, quiet

# The short seller wants to see 600 bars and one more.
NEEDED = 601
BARS = NEEDED + 100
HEALTH = FeedHealth(True, T0, 0, T0, 0, 0, True, (), 0)


class SlowArchive(LiveMarket):
    """A live market that is asked for candles of before, and answers when it is told to."""

    def __init__(self) -> None:
        super().__init__({BTC: quiet(BARS), ETH: quiet(BARS)})
        self.answers = asyncio.Event()
        self.fails: list[Exception] = []
        self.asked: list[tuple[str, int]] = []

    def health(self) -> FeedHealth:
        return HEALTH

    async def history(self, symbol: str, interval: int, until: int, limit: int) -> list[Candle]:
        self.asked.append((symbol, until))
        await self.answers.wait()
        if self.fails:
            raise self.fails.pop(0)
        return await super().history(symbol, interval, until, limit)


def after(bars: int) -> Sequence[Candle]:
    """So many bars behind those there were."""
    return [Candle(T0 + (BARS + i) * BAR, 1.0, 1.0, 1.0, 1.0, 1.0) for i in range(bars)]


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as found:
        yield found


async def test_a_bot_is_added_by_one_line_and_a_press(scene: Scene) -> None:
    async with scene.open_desk(quiet_market()) as desk:
        card = await scene.ask(scene.tom, "/bot add momentum ETH 500")
        assert "Add a bot: momentum on ETHUSDT" in (card.text or "")
        assert "at worst all of its 500 USDT" in (card.text or "")
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "momentum_001 is added: momentum on ETHUSDT.")
        assert desk.desk.bot_ids == [BOT, "momentum_001"]
        await scene.told(scene.private(scene.ann), "tom added momentum_001: momentum on ETHUSDT.")


async def test_a_symbol_that_a_live_market_does_not_follow_is_refused_with_how_it_gets_there(
    scene: Scene,
) -> None:
    async with scene.open_desk(SlowArchive()):
        answer = await scene.ask(scene.tom, "/bot add shortseller DOGE")
    assert (
        "Allowed: BTCUSDT, ETHUSDT; a live market follows those of the bots in countersign.toml, "
        "from the next start on."
    ) in (answer.text or "")


async def test_while_candles_of_before_are_looked_up_the_desk_trades_and_answers(
    scene: Scene,
) -> None:
    market = SlowArchive()
    async with scene.open_desk(market) as desk:
        await scene.ask(scene.tom, f"/bot add shortseller {ETH}")
        await scene.ask(scene.tom, "/approve 1")
        await eventually(lambda: _is(market.asked == [(ETH, T0 + BARS * BAR)]))

        market.tell(BTC, *after(2))
        market.tell(ETH, *after(2))
        told = await scene.ask(scene.tom, "/bot list")

        assert f"bars missing: {ETH} {NEEDED}" in (told.text or "")
        assert desk.desk.view().market_time == T0 + (BARS + 2) * BAR
        market.answers.set()
        await eventually(lambda: _is(not _missing(desk.desk.view().bots)))


@pytest.mark.parametrize("fault", [Unreachable("away"), BadInput("symbol", ETH, BTC)])
async def test_candles_that_can_not_be_had_are_asked_for_again_or_waited_for(
    scene: Scene, fault: Exception
) -> None:
    market = SlowArchive()
    market.fails, again = [fault], isinstance(fault, Unreachable)
    market.answers.set()
    async with scene.open_desk(market) as desk:
        await scene.ask(scene.tom, f"/bot add shortseller {ETH}")
        await scene.ask(scene.tom, "/approve 1")
        await eventually(lambda: _is(not market.fails))
        if again:
            await eventually(lambda: _is(not _missing(desk.desk.view().bots)))
        else:
            market.tell(ETH, *after(3))
            await eventually(lambda: _is(_missing(desk.desk.view().bots) == [{ETH: NEEDED - 3}]))
    assert len(market.asked) == 1 + again


async def _is(holds: bool) -> bool:
    return holds


def _missing(bots: Sequence[object]) -> list[dict[str, int]]:
    return [found for each in bots if (found := getattr(each, "missing", {}))]
