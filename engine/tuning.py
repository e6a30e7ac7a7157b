"""What tuning is made of: changes of parameters, the evidence for them, and what came of them.

Nouns. Shares are fractions, `made_at` and whatever is not said otherwise is market time (UTC ms);
`told_at`, `asked_at` are wall time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple, Protocol

from engine.people import Asker
from engine.tunable import Tier

# The scope of what belongs to the desk and no bot: its limits of losses and positions.
DESK_SCOPE = ""
# Snapshots without a name that are kept.
SNAPSHOTS_KEPT = 48
# Points of an equity curve that a card shows.
CURVE_POINTS = 60
SNAPSHOT_NAME_MAX = 40


class Source(StrEnum):
    """Who wants a change. The tier is the parameter's; a source can only make it stricter."""

    PERSON = "person"
    TUNER = "tuner"
    RULE = "rule"
    MODEL = "model"
    WATCH = "watch"


class ChangeKind(StrEnum):
    """What a change is: new values, one change taken back, or all values of a snapshot again."""

    SET = "set"
    UNDO = "undo"
    ROLLBACK = "rollback"


class Fate(StrEnum):
    """What became of a change: it is watched; it kept to what was expected, or did better; it left
    that and was taken back; somebody took it back or changed it again before it was known; or
    nothing was expected of it."""

    WATCHED = "watched"
    KEPT = "kept"
    BETTER = "better"
    FAILED = "failed"
    UNDONE = "undone"
    REPLACED = "replaced"
    UNWATCHED = "unwatched"


# -- evidence ----------------------------------------------------------------------------


class Figures(NamedTuple):
    """What values did out of sample: return and greatest drawdown as fractions, the annualized
    Sharpe ratio (None where not defined), closed trades, and winners among them."""

    total_return: float
    max_drawdown: float
    sharpe: float | None
    trades: int
    wins: int = 0


class Point(NamedTuple):
    """The worth of an account at `ts` (UTC ms), as a multiple of what it began with."""

    ts: int
    worth: float


class Band(NamedTuple):
    """What is expected of the next trades, by resampling those out of sample.

    `lows` and `highs` bound the summed net result after 1, 2, ... trades, as fractions of equity;
    `drawdown` is the deepest fall of that sum that is still expected.
    """

    lows: tuple[float, ...]
    highs: tuple[float, ...]
    drawdown: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a study found for a change: the values in force beside the new ones, out of sample.

    The tests lie between `start` and `end` (UTC ms), `days` long together, in `folds` pieces.
    `trials` counts all parameter sets that were tried, `deflated` is the probability that the
    Sharpe ratio is above zero after so many. `neighbors` is the share of the winner's Sharpe ratio
    that its neighbors reach. `digest` names the candles. `present` are all values that were in
    force when it was found, by name: with others it is void.
    """

    study: int
    start: int
    end: int
    days: float
    folds: int
    trials: int
    deflated: float
    neighbors: float
    before: Figures
    after: Figures
    before_curve: tuple[Point, ...]
    after_curve: tuple[Point, ...]
    expected: Band
    digest: str
    remarks: tuple[str, ...] = ()
    present: tuple[tuple[str, float], ...] = ()


# -- values and changes ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that somebody set, and what is needed to judge the next change of it.

    `version` counts its changes. `held` are the values it had before, each with the time until
    which it stood, as far back as a day. With `is_base` the value is what the settings and the
    strategy have by themselves, of an exit rule for each symbol its own.
    """

    value: float
    version: int
    changed_at: int
    author: str
    reason: str
    change_id: int
    held: tuple[tuple[int, float], ...] = ()
    is_base: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """One parameter's part in a change; `scope` is a bot's id, or DESK_SCOPE. `was_base` and
    `to_base` say that the value before or after is nobody's setting (see `Setting`)."""

    scope: str
    name: str
    before: float
    after: float
    version: int
    low: float
    high: float
    was_base: bool = False
    to_base: bool = False


class Dropped(NamedTuple):
    """A value that was set and that the program of today has no place for, and why."""

    scope: str
    name: str
    value: float
    why: str


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A version of one parameter's value, as the database keeps all of them."""

    books: str
    scope: str
    name: str
    version: int
    value: float
    before: float
    low: float
    high: float
    is_base: bool
    change_id: int
    author: str
    reason: str
    made_at: int
    told_at: int


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """One change of parameters: who made it, why, and what came of it.

    `author` is an actor of the audit, `snapshot_id` holds all values of before, `proposal_id` is
    the proposal that people decided (0 where none was needed), `undoes` the change that it takes
    back (0: none). `trades` and `net` (quote currency) are what was closed since, `drawdown` the
    deepest fall since as a fraction of the equity at its beginning. `ended_at` is 0 while watched;
    `expected` is what it is or was held against.
    """

    change_id: int
    books: str
    kind: ChangeKind
    tier: Tier
    source: Source
    author: str
    reason: str
    moved: tuple[Moved, ...]
    made_at: int
    told_at: int
    snapshot_id: int
    proposal_id: int = 0
    undoes: int = 0
    study: int = 0
    fate: Fate = Fate.UNWATCHED
    trades: int = 0
    net: Decimal = Decimal(0)
    drawdown: float = 0.0
    ended_at: int = 0
    expected: Band | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.scope for each in self.moved))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All parameters of all scopes at a moment, with how each bot stood.

    `name` is empty for one that was taken before a change; named ones are kept for good. `values`
    are all there are, by scope and name; `set_` names those of them that somebody had set.
    """

    snapshot_id: int
    books: str
    name: str
    taken_at: int
    values: dict[str, dict[str, float]]
    set_: dict[str, list[str]] = field(default_factory=dict)
    figures: dict[str, "Stand"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stand:
    """How a bot stood: money in quote currency, drawdown from its peak as a fraction."""

    equity: Decimal
    net: Decimal
    trades: int
    wins: int
    drawdown: float


@dataclass(slots=True)
class Watch:
    """A change that is being watched, of one bot, against what was expected of it.

    `equity` is what the account was worth when it began; `net` and `peak` are of closed trades,
    `deepest` the greatest fall so far as a fraction of `equity`. `tripped` says why it failed.
    """

    change_id: int
    bot_id: str
    band: Band
    began_at: int
    ends_at: int
    equity: Decimal
    trades: int = 0
    net: Decimal = Decimal(0)
    peak: Decimal = Decimal(0)
    deepest: float = 0.0
    tripped: str = ""


@dataclass(slots=True)
class TuningState:
    """All that the desk remembers of tuning; a row of its own.

    `values` are those that were set, by scope and name: they stand above what the settings say.
    `stopped` says why nothing is tuned; empty while something may be.
    """

    values: dict[str, dict[str, Setting]] = field(default_factory=dict)
    changes: list[ParameterChange] = field(default_factory=list)
    changes_made: int = 0
    snapshots_made: int = 0
    watches: dict[int, Watch] = field(default_factory=dict)
    stopped: str = ""
    clock: int = 0


# -- studies -----------------------------------------------------------------------------


class StudyStage(StrEnum):
    """How far a study is. The last four are ends."""

    QUEUED = "queued"
    LOADING = "loading"
    SEARCHING = "searching"
    PROVING = "proving"
    PROPOSED = "proposed"
    NOTHING = "nothing"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_end(self) -> bool:
        return self in _ENDS


_ENDS = (StudyStage.PROPOSED, StudyStage.NOTHING, StudyStage.FAILED, StudyStage.CANCELED)


@dataclass(frozen=True, slots=True)
class TuningStudy:
    """One search for better parameters of a bot, as it stands.

    `done` of `trials` parameter sets were tried. `verdict` says in a sentence what came of it:
    what is proposed, or why nothing is. `values` and `evidence` are there where something was
    found; `asked_by` is an actor of the audit, `asker` what people call them.
    """

    number: int
    books: str
    bot_id: str
    asked_by: str
    asker: str
    surface: str
    asked_at: int
    stage: StudyStage = StudyStage.QUEUED
    done: int = 0
    trials: int = 0
    verdict: str = ""
    values: tuple[tuple[str, float], ...] = ()
    evidence: Evidence | None = None
    ended_at: int = 0

    @property
    def is_over(self) -> bool:
        return self.stage.is_end

    def at(self, stage: StudyStage, verdict: str = "") -> "TuningStudy":
        return replace(self, stage=stage, verdict=verdict)


class Studying(Protocol):
    """The desk's tuner, as commands reach it."""

    async def start(self, bot_id: str, asker: Asker) -> TuningStudy:
        """Put a study of a bot's parameters into the queue. Raises Refused, BadInput."""
        ...

    def cancel(self, number: int) -> TuningStudy:
        """End a study that waits or runs. Raises Refused where there is none."""
        ...

    def open(self) -> Sequence[TuningStudy]:
        """Those that wait or run, in their order."""
        ...

    async def study(self, number: int) -> TuningStudy:
        """One as it stands, also of before. Raises Refused where there is none."""
        ...

    async def compare(self, bot_id: str) -> "Comparison":
        """Run the bars that a bot traded last through the exact backtest, now. Raises Refused."""
        ...

    def compared(self, bot_id: str) -> "Comparison | None":
        """What came of a bot's last comparison; None where there was none yet."""
        ...


# -- live against replay -----------------------------------------------------------------


class DifferenceKind(StrEnum):
    """In what live and replay differ; the last explains itself and is no divergence."""

    MISSING = "not traded live"
    EXTRA = "traded live alone"
    PRICE = "price"
    FEE = "fee"
    FUNDING = "funding"
    EXPLAINED = "explained"


@dataclass(frozen=True, slots=True)
class Divergence:
    """One difference between what a bot did and what the exact backtest does on its bars."""

    kind: DifferenceKind
    symbol: str
    ts: int
    live: str
    replayed: str
    words: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A bot's trades between `start` and `end` beside those of the exact backtest.

    `diverges` says in a sentence why this is a real divergence; empty where it is none. `remarks`
    say what was left out.
    """

    bot_id: str
    start: int
    end: int
    bars: int
    live: int
    replayed: int
    matched: int
    found: tuple[Divergence, ...]
    diverges: str = ""
    remarks: tuple[str, ...] = ()


def values_of(state: TuningState, scope: str) -> Mapping[str, float]:
    """The values that stand above those of the settings in a scope, by name."""
    settings = state.values.get(scope, {}).items()
    return {name: each.value for name, each in settings if not each.is_base}
