"""Tuning as it stands, in values that commands can show: a copy, never the thing itself."""

from dataclasses import dataclass

from engine import leeway, retuning, watching
from engine.memory import Memory
from engine.tunable import Parameter
from engine.tuning import Dropped, ParameterChange, Setting, Snapshot, Watch


@dataclass(frozen=True, slots=True)
class ParameterView:
    """One parameter of a scope.

    `base` is the value that the settings file and the strategy have by themselves; `setting` is
    None where nobody ever changed it. It rests until `rests_until` (market ms; 0: it does not), and
    may go from `lowest` to `highest` now.
    """

    parameter: Parameter
    value: float
    base: float
    setting: Setting | None
    rests_until: int
    lowest: float
    highest: float

    @property
    def is_set(self) -> bool:
        """Whether somebody's value stands above that of the settings file."""
        return self.setting is not None and not self.setting.is_base


@dataclass(frozen=True, slots=True)
class ScopeView:
    """The parameters of a bot, or of the desk itself (DESK_SCOPE), by name."""

    scope: str
    parameters: dict[str, ParameterView]


@dataclass(frozen=True, slots=True)
class TuningView:
    """All of tuning at one moment; `now` is market time, UTC ms.

    `changes` and `snapshots` are newest first, those that the desk still remembers; `watches` are
    by change. `stopped` says why the tuner, rules and the model change nothing, `losing` why they
    loosen nothing; both are empty while they may. `books` is what its facts are stored under,
    `dropped` are the values that had no place any more when this process began.
    """

    now: int
    scopes: dict[str, ScopeView]
    changes: tuple[ParameterChange, ...]
    snapshots: tuple[Snapshot, ...]
    watches: dict[int, Watch]
    stopped: str
    losing: str
    books: str
    dropped: tuple[Dropped, ...]


def tuning_view(memory: Memory) -> TuningView:
    state = memory.tuning
    return TuningView(
        now=leeway.market_time(memory),
        scopes={scope: _scope_view(memory, scope) for scope in retuning.scopes(memory)},
        changes=tuple(reversed(state.changes)),
        snapshots=tuple(reversed(memory.snapshots)),
        watches=dict(state.watches),
        stopped=state.stopped,
        losing=watching.losing(memory),
        books=memory.books,
        dropped=tuple(memory.dropped),
    )


def _scope_view(memory: Memory, scope: str) -> ScopeView:
    known = retuning.parameters(memory, scope).values()
    return ScopeView(scope, {each.name: _parameter_view(memory, scope, each) for each in known})


def _parameter_view(memory: Memory, scope: str, parameter: Parameter) -> ParameterView:
    span = leeway.room_now(memory, scope, parameter)
    return ParameterView(
        parameter=parameter,
        value=retuning.value(memory, scope, parameter.name),
        base=retuning.base_value(memory, scope, parameter.name),
        setting=leeway.setting(memory, scope, parameter.name),
        rests_until=leeway.rests_until(memory, scope, parameter),
        lowest=span.low,
        highest=span.high,
    )
