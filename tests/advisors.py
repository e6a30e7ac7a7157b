"""An advisor whose answers are written down beforehand."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from engine.advice import (
    AdviceStage,
    Advised,
    Answer,
    Consultation,
    ModelStatus,
    Reading,
)
from engine.calls import Purpose, Spending
from engine.errors import Refused
from engine.people import Asker
from engine.position import Trade


class ScriptedAdvisor:
    """The door `Advisor`: each consultation waits until `end` says what came of it."""

    def __init__(self, result: Advised | None = None) -> None:
        """With a `result`, each consultation is over at once with it."""
        self.result = result
        self.asked: list[tuple[str, str]] = []
        self.readings: list[Reading] = []
        self.why_not = "no GEMINI_API_KEY is set"
        self._known: dict[int, Consultation] = {}

    def status(self) -> ModelStatus:
        return ModelStatus("", "", self.why_not)

    def spending(self) -> Spending:
        return Spending(Decimal(0), Decimal(0), Decimal(5), Decimal(100), 0, 0)

    async def analyze(self, symbols: Sequence[str], asker: Asker) -> Consultation:
        return self._begin(Purpose.ANALYSIS, ", ".join(symbols), asker)

    async def ask(self, question: str, about: str, reading: Reading, asker: Asker) -> Consultation:
        self.asked.append((question, about))
        self.readings.append(reading)
        return self._begin(Purpose.QUESTION, question, asker)

    async def autopsy(self, trade: Trade, asker: Asker) -> Consultation:
        return self._begin(Purpose.AUTOPSY, f"T{trade.trade_id} of {trade.bot_id}", asker)

    async def suggest(self, bot_id: str, asker: Asker) -> Consultation:
        return self._begin(Purpose.SUGGESTION, bot_id, asker)

    async def brief(self, weekly: bool, asker: Asker) -> Consultation:
        return self._begin(Purpose.BRIEFING, "weekly" if weekly else "daily", asker)

    def consultation(self, number: int) -> Consultation | None:
        return self._known.get(number)

    async def end_of(self, number: int) -> Consultation:
        if not self._known[number].is_over:
            self.end(number, Answer("Answered.", "a script"))
        return self._known[number]

    @property
    def begun(self) -> int:
        return len(self._known)

    def all(self) -> list[Consultation]:
        """Those that were begun, in their order."""
        return list(self._known.values())

    def end(self, number: int, result: Advised | None = None, failure: str = "") -> None:
        """How a consultation ends."""
        stage = AdviceStage.FAILED if failure else AdviceStage.DONE
        self.change(number, stage, result=result, failure=failure)

    def change(self, number: int, stage: AdviceStage, **changed: Any) -> None:
        """How far a consultation is."""
        self._known[number] = self._known[number].at(stage, **changed)

    def _begin(self, purpose: Purpose, subject: str, asker: Asker) -> Consultation:
        if not subject:
            raise Refused("Nothing was asked.")
        number = len(self._known) + 1
        begun = Consultation(number, purpose, subject, asker.actor, asker.called, asker.surface, 0)
        self._known[number] = begun
        if self.result is not None:
            self.end(number, self.result)
        return self._known[number]
