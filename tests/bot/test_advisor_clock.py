"""What the desk asks the model by itself, and when."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from bot.advisor_clock import LOSSES_MAX, AdvisorClock
from bot.sections import GeminiSection
from engine.calls import Purpose
from engine.candle import HOUR_MS
from engine.order import Reason, Side
from engine.ports import Commit
from engine.position import Trade
from engine.signal import Action, Decision
from tests.advisors import ScriptedAdvisor
from tests.clock import FakeClock

BTC, ETH = "BTCUSDT", "ETHUSDT"


class Scene:
    """A desk of two symbols, an advisor that has a model, and a clock."""

    def __init__(self, **section: Any) -> None:
        self.clock = FakeClock(HOUR_MS * 1_000)
        bots = [SimpleNamespace(symbols=(BTC, ETH))]
        desk: Any = SimpleNamespace(clock=self.clock, view=lambda: SimpleNamespace(bots=bots))
        self.advisor = ScriptedAdvisor()
        self.advisor.why_not = ""
        self.asker = AdvisorClock(desk, self.advisor, GeminiSection(**section))

    async def asked(self) -> list[str]:
        """What one look asks for."""
        before = self.advisor.begun
        await self.asker.look()
        return [f"{each.purpose} {each.subject}" for each in self.advisor.all()[before:]]

    def signal(self, symbol: str) -> None:
        decision = Decision(
            1,
            "a",
            "b",
            symbol,
            0,
            Action.ENTRY,
            Side.BUY,
            Reason.VOLATILITY_BREAKOUT,
            1.0,
            True,
            "",
            "",
            None,
        )
        self.asker.on_commit(Commit(epoch=1, facts=[decision]))

    def lost(self, number: int, net: str = "-1") -> None:
        amount = Decimal(net)
        one, none = Decimal(1), Decimal(0)
        trade = Trade(
            number, "a", "bot", BTC, Side.BUY, one, one, 0, Reason.EMA_CROSS, one, 1,
            Reason.STOP_LOSS, amount, none, none, amount, amount, "", "",
        )  # fmt: skip
        self.asker.on_commit(Commit(epoch=1, facts=[trade]))


async def test_all_that_is_traded_is_looked_at_in_one_prompt_each_hour() -> None:
    scene = Scene(analyze_minutes=60)
    assert await scene.asked() == [f"analysis {BTC}, {ETH}"]
    assert await scene.asked() == []
    scene.clock.advance(59 * 60)
    assert await scene.asked() == []
    scene.clock.advance(60)
    assert await scene.asked() == [f"analysis {BTC}, {ETH}"]


async def test_a_signal_has_its_symbol_looked_at_once_in_a_quarter_of_an_hour() -> None:
    scene = Scene(analyze_minutes=0)
    assert await scene.asked() == []
    scene.signal(ETH)
    assert await scene.asked() == [f"analysis {ETH}"]
    scene.signal(ETH)
    assert await scene.asked() == []
    scene.clock.advance(15 * 60)
    scene.signal(ETH)
    assert await scene.asked() == [f"analysis {ETH}"]


async def test_signals_ask_nothing_where_the_settings_say_so() -> None:
    scene = Scene(analyze_minutes=0, on_signal=False)
    scene.signal(BTC)
    assert await scene.asked() == []


async def test_losing_trades_are_looked_into_every_two_hours_the_newest_ten() -> None:
    scene = Scene(analyze_minutes=0)
    for number in range(LOSSES_MAX + 3):
        scene.lost(number)
    scene.lost(99, net="5")
    assert await scene.asked() == []
    scene.clock.advance(2 * 3600)
    assert await scene.asked() == [
        f"{Purpose.AUTOPSY} T{number} of bot" for number in range(3, LOSSES_MAX + 3)
    ]
    scene.clock.advance(2 * 3600)
    assert await scene.asked() == []


@pytest.mark.parametrize("why_not", ["no GEMINI_API_KEY is set", "The daily cap is reached."])
async def test_nothing_is_asked_where_no_model_would_answer(why_not: str) -> None:
    scene = Scene()
    scene.advisor.why_not = why_not
    scene.signal(BTC)
    assert await scene.asked() == []
    # What gave reason to ask meanwhile is old by then.
    scene.advisor.why_not = ""
    scene.clock.advance(60)
    assert await scene.asked() == [f"analysis {BTC}, {ETH}"]
