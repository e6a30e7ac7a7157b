"""A day or a week as it is told: sentences made of the desk's own figures.

Nouns.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# How long a briefing may be, in characters (reference: the morning and the weekly briefing).
DAY_MAX, WEEK_MAX = 800, 2_000


@dataclass(frozen=True, slots=True)
class DayFacts:
    """`sections` are named and hold whole sentences, the most important first."""

    title: str
    weekly: bool
    sections: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def length_max(self) -> int:
        return WEEK_MAX if self.weekly else DAY_MAX

    def to_text(self) -> str:
        """The facts, a line each."""
        return "\n".join(_lines(self))


def _lines(facts: DayFacts) -> Iterator[str]:
    yield facts.title
    for name, sentences in facts.sections:
        yield f"{name}:"
        for sentence in sentences:
            yield f"  {sentence}"
