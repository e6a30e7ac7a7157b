"""What many simulations add up to, and how it is said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.sim.promises import Violation
from tests.sim.weather import Kind, Plan
from tests.sim.world import Outcome

# How many seeds are named of those that break the same promise.
NAMED_MAX = 12


@dataclass
class Tally:
    """The sum of outcomes. `broken` has the first violation of each plan, by promise."""

    seeds: int = 0
    seconds: float = 0.0
    desks: int = 0
    orders: int = 0
    fills: int = 0
    struck: Counter[Kind] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    commits: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[tuple[Plan, Violation]]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        self.seeds += 1
        self.seconds += outcome.seconds
        self.desks += outcome.desks
        self.orders += outcome.orders
        self.fills += outcome.fills
        self.struck.update(outcome.struck)
        self.checks.update(outcome.checks)
        self.commits.update(outcome.commits)
        self.crashed.update(outcome.crashed)
        firsts: dict[str, Violation] = {}
        for violation in outcome.violations:
            firsts.setdefault(violation.promise, violation)
        for promise, violation in firsts.items():
            self.broken.setdefault(promise, []).append((outcome.plan, violation))

    def figures(self) -> dict[str, object]:
        """All of it, for a machine."""
        return {
            "seeds": self.seeds,
            "hours": round(self.seconds / 3600, 1),
            "desks": self.desks,
            "orders": self.orders,
            "fills": self.fills,
            "faults": {str(kind): self.struck[kind] for kind in Kind},
            "checks": dict(sorted(self.checks.items())),
            "crashes": self.boundaries(),
            "violations": {
                promise: [plan.seed for plan, _ in cases] for promise, cases in self.broken.items()
            },
        }

    def boundaries(self) -> dict[str, int]:
        """How often a desk died before and after a commit, by what that was about."""
        places = (
            f"{side} {about}" for about in sorted(self.commits) for side in ("before", "after")
        )
        return {place: self.crashed[place] for place in places}

    def words(self, wall_s: float) -> str:
        """All of it, for a person; `wall_s` is what it took."""
        return "\n".join(
            (
                f"{self.seeds:,} seeds, {self.seconds / 3600:,.1f} simulated hours, "
                f"{self.desks:,} desks, {self.orders:,} orders, {self.fills:,} fills, "
                f"in {wall_s:,.0f} s",
                *_table("Faults", {kind: self.struck[kind] for kind in Kind}),
                *_table("Checks", dict(sorted(self.checks.items()))),
                *_table("Crashes at commits", self.boundaries()),
                *_table("Seeds that broke a promise", _lengths(self.broken)),
                *self._cases(),
            )
        )

    def _cases(self) -> Iterable[str]:
        for promise, cases in self.broken.items():
            plan, first = cases[0]
            named = ", ".join(str(each.seed) for each, _ in cases[:NAMED_MAX])
            more = ", ..." if len(cases) > NAMED_MAX else ""
            yield f"Broken: {promise}. Seeds {named}{more}"
            yield f"  seed {plan.seed} at {first.at:.1f} s: {first.words}"


def _lengths(broken: Mapping[str, list[tuple[Plan, Violation]]]) -> dict[str, int]:
    return {promise: len(cases) for promise, cases in broken.items()}


def _table(title: str, counts: Mapping[str, int]) -> list[str]:
    rows = [f"  {name:<40} {count:>12,}" for name, count in counts.items()]
    return [f"{title:<42} {sum(counts.values()):>12,}", *rows]
