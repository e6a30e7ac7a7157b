"""What a question may look at, written down beforehand."""

from collections.abc import Mapping, Sequence

from engine.advice import Draft, Tool
from engine.errors import Refused

TOOLS = (
    Tool("status", "How the desk stands"),
    Tool("bot list", "The bots of this desk"),
    Tool("why", "Why a symbol is traded or not", {"symbol": "BTCUSDT, ETHUSDT"}),
    Tool("order", "One order", {"order": "an order's id"}, ("order",)),
)


class PlayedReading:
    """The door `Reading`: a line that has no answer is refused; `drafts` may be drafted. `noted`
    are the refusals that went to the audit."""

    def __init__(self, answers: Mapping[str, str] | None = None, drafts: Sequence[str] = ()):
        self._answers = dict(answers or {})
        self._drafts = drafts
        self.looked: list[str] = []
        self.noted: list[tuple[str, str]] = []

    def tools(self) -> Sequence[Tool]:
        return TOOLS

    async def look(self, line: str) -> str:
        self.looked.append(line)
        if line not in self._answers:
            raise Refused(f"{line} is not for a model.")
        return self._answers[line]

    def draft(self, line: str) -> Draft:
        if line not in self._drafts:
            raise Refused("Only a person decides a proposal.")
        return Draft(line, "Do it")

    def refused(self, wanted: str, reason: str) -> None:
        self.noted.append((wanted, reason))
