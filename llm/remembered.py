"""Answers that were found valid, by the content of what was asked: for a while, in process."""

import hashlib
from collections import OrderedDict

from engine.ports import Clock
from llm.model import Request

KEPT_S = 900.0
KEPT_MAX = 100


class Remembered:
    """The last answers, each for `KEPT_S`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answers: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def get(self, key: str) -> str | None:
        kept = self._answers.get(key)
        if kept is None:
            return None
        until, answer = kept
        return answer if self._clock.monotonic() < until else None

    def put(self, key: str, answer: str) -> None:
        self._answers[key] = (self._clock.monotonic() + KEPT_S, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > KEPT_MAX:
            self._answers.popitem(last=False)


def digest(model: str, request: Request) -> str:
    """What two requests share exactly when they ask the same of the same model."""
    return hashlib.sha256(f"{model}\n{request!r}".encode()).hexdigest()
