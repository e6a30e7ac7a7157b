"""Desks whose parameters are given other values past the gate, as the gate does it at its end."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine import retuning
from engine.effect import Effect, RecallCandles
from engine.event import CandleClosed, CandlesRecalled
from engine.memory import Memory
from engine.slot import Slot
from engine.tuning import Setting
from tests.engine.conftest import BOT, BTC
from tests.engine.office import Office


def setting(value: float, is_base: bool = False) -> Setting:
    return Setting(value, 1, 0, "chat:1 (tom)", "to try it", 1, is_base=is_base)


@dataclass
class Bench(Office):
    """An office whose core is looked into."""

    @property
    def memory(self) -> Memory:
        return self.core._memory

    def tune(self, values: Mapping[str, float], scope: str = BOT) -> list[Effect]:
        """Give a scope these values, all that stand above its settings."""
        settings = {name: setting(value) for name, value in values.items()}
        self.memory.touch_tuning().values[scope] = settings
        effects = retuning.apply(self.memory, scope)
        self.rows |= {row.key: row for row in self.core.dirty_states()}
        return effects

    def slot(self, symbol: str = BTC, bot_id: str = BOT) -> Slot:
        return self.memory.slot(bot_id, symbol)

    def answer(
        self, asked: RecallCandles, candles: list[CandleClosed], complete: bool = True
    ) -> list[Effect]:
        return self.step(
            CandlesRecalled(asked.bot_id, asked.symbol, candles, complete, asked.recall)
        )
