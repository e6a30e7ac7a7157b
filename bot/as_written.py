"""Since when each bot has had the values that its settings say.

They may be others after a start, and no change of parameters tells of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from bot.kept import Kept
from engine.tuning_view import TuningView


@dataclass(frozen=True, slots=True)
class Written:
    """The values of a bot by its settings, and since when it has them: market time, UTC ms; 0:
    as long as anybody remembers."""

    values: Mapping[str, float]
    since: int


class AsWritten:
    """Kept in a file, by the bots' books: those of another market have another time."""

    def __init__(self, path: Path, books: str) -> None:
        self._kept = Kept(path, TypeAdapter(dict[str, Written]))
        self._known = self._kept.read() or {}
        self._books = books

    def note(self, tuning: TuningView, now: int) -> None:
        """Hold what the settings say at a start, at `now` of the market, against what they said."""
        for scope, found in tuning.scopes.items():
            values = {name: view.base for name, view in found.parameters.items()}
            before = self._known.get(self._key(scope))
            if before is None or before.values != values:
                self._known[self._key(scope)] = Written(values, now if before else 0)
        self._kept.write(self._known)

    def since(self, scope: str) -> int:
        """Since when a bot trades as its settings say."""
        found = self._known.get(self._key(scope))
        return found.since if found else 0

    def _key(self, scope: str) -> str:
        return f"{self._books}:{scope}"
