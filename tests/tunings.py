"""A tuner without a worker: what is asked for is noted, and ends when a test says so; and evidence
as studies find it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.candle import DAY_MS
from engine.errors import Refused
from engine.people import Asker
from engine.tuning import (
    Band,
    Comparison,
    Evidence,
    Figures,
    Point,
    StudyStage,
    TuningStudy,
)


@dataclass
class ScriptedTuner:
    """The door `Studying`, in memory."""

    found: dict[int, TuningStudy] = field(default_factory=dict)
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    async def start(self, bot_id: str, asker: Asker) -> TuningStudy:
        number = max(self.found, default=0) + 1
        study = TuningStudy(
            number, "paper-sim42", bot_id, asker.actor, asker.called, asker.surface, asked_at=0
        )
        self.found[number] = study
        return study

    def cancel(self, number: int) -> TuningStudy:
        if number not in self.found or self.found[number].is_over:
            raise Refused(f"Study {number} neither waits nor runs.")
        self.found[number] = self.found[number].at(StudyStage.CANCELED)
        return self.found[number]

    def open(self) -> Sequence[TuningStudy]:
        return [each for each in self.found.values() if not each.is_over]

    async def study(self, number: int) -> TuningStudy:
        if number not in self.found:
            raise Refused(f"There is no study {number}.")
        return self.found[number]

    async def compare(self, bot_id: str) -> Comparison:
        if bot_id not in self.comparisons:
            raise Refused(f"{bot_id} traded nothing that could be compared.")
        return self.comparisons[bot_id]

    def compared(self, bot_id: str) -> Comparison | None:
        return self.comparisons.get(bot_id)

    def end(self, number: int, study: TuningStudy) -> None:
        """Let a study end as `study` did."""
        self.found[number] = replace(study, number=number)


# -- what studies find ---------------------------------------------------------------------

DAYS = 30
BEFORE = Figures(total_return=0.02, max_drawdown=0.06, sharpe=0.4, trades=38, wins=17)
AFTER = Figures(total_return=0.09, max_drawdown=0.05, sharpe=1.8, trades=41, wins=22)


def evidence(
    before: Figures = BEFORE, after: Figures = AFTER, end: int = 1_735_689_600_000
) -> Evidence:
    """Evidence out of sample for a change, of the days before `end`."""
    start = end - DAYS * DAY_MS
    return Evidence(
        study=0,
        start=start,
        end=end,
        days=float(DAYS),
        folds=4,
        trials=120,
        deflated=0.97,
        neighbors=0.8,
        before=before,
        after=after,
        before_curve=_line(start, end, before.total_return),
        after_curve=_line(start, end, after.total_return),
        expected=Band((-0.01, -0.02, -0.03), (0.02, 0.03, 0.05), 0.06),
        digest="abc",
    )


def _line(start: int, end: int, total: float) -> tuple[Point, ...]:
    """A curve that rises evenly."""
    return tuple(
        Point(start + (end - start) * step // DAYS, 1.0 + total * step / DAYS)
        for step in range(DAYS + 1)
    )
