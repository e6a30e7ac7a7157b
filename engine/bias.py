"""Which way a model thinks a market leans, for how long, and which entries that speaks against.

Nouns. A bias is made by an analysis outside the core, comes in as an instruction of the desk's
own, and ends by itself: no replay asks a model.
"""

from dataclasses import dataclass

from engine.order import Side
from engine.standing import said_time

# A bias that is less sure stops nothing; longs and shorts are stopped beyond these scores
# (reference: the veto of a desk that was traded on, section 2.1).
CONFIDENCE_MIN = 0.7
LONGS_FROM = -0.3
SHORTS_TO = 0.5


@dataclass(frozen=True, slots=True)
class Bias:
    """A model's view of a symbol: `score` from -1 (down) to 1 (up), `confidence` from 0 to 1.

    `made_at` and `until` are market time (UTC ms); `consultation` is the number of the analysis.
    """

    symbol: str
    score: float
    confidence: float
    made_at: int
    until: int
    consultation: int

    def stops(self, side: Side) -> bool:
        """Whether it speaks against an entry on that side, while it lasts."""
        if self.confidence <= CONFIDENCE_MIN:
            return False
        return self.score < LONGS_FROM if side is Side.BUY else self.score > SHORTS_TO

    @property
    def stopped(self) -> str:
        """Which entries it speaks against, in a word: `longs`, `shorts` or `nothing`."""
        if self.stops(Side.BUY):
            return "longs"
        return "shorts" if self.stops(Side.SELL) else "nothing"

    @property
    def words(self) -> str:
        """`score -0.62, confidence 80%, until 2026-11-21 18:00 UTC (/analysis 17)`."""
        sure = f"score {self.score:+.2f}, confidence {self.confidence:.0%}"
        return f"{sure}, until {said_time(self.until)} (/analysis {self.consultation})"
