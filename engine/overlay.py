"""What was tuned, laid over what the settings say. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from engine.bot import Bot
from engine.errors import BadInput
from engine.limits import LIMIT_PARAMETERS, Limits, with_limits
from engine.slot import StepFailed, naming_failures
from engine.strategies.kernel import Strategy
from engine.tunable import Parameter, by_name, check_order
from engine.tuning import DESK_SCOPE, Dropped, TuningState, values_of

NO_BOT = "the bot is not there any more"
NO_PARAMETER = "there is no such parameter any more"


def parameters(bases: Mapping[str, Bot], scope: str) -> Mapping[str, Parameter]:
    """What can be tuned of a bot, or of the desk itself; nothing of a bot that is not there."""
    if scope == DESK_SCOPE:
        return by_name(LIMIT_PARAMETERS)
    return bases[scope].strategy.tunable if scope in bases else {}


def tuned_bot(base: Bot, values: Mapping[str, float]) -> Bot:
    """A bot with other values of its parameters; raises BadInput where it can't have them, or its
    strategy can't begin with them."""
    if not values:
        return base
    strategy = base.strategy.tuned(values)
    if strategy.params != base.strategy.params:
        _check_begins(strategy)
    known = tuple((dict(base.values) | dict(values)).items())
    return replace(base, strategy=strategy, values=known)


def _check_begins(strategy: Strategy) -> None:
    try:
        with naming_failures():
            strategy.start(strategy.params)
            strategy.bars(strategy.params)
    except StepFailed as error:
        own = strategy.params._asdict()
        values = ", ".join(f"{name} {value:g}" for name, value in own.items())
        raise BadInput(
            "parameters", values, f"what {strategy.name} can begin with ({error})"
        ) from error


def sift(state: TuningState, bases: Mapping[str, Bot], limits: Limits, now: int) -> list[Dropped]:
    """Forget the values that the program and settings of today have no place for: those of bots
    and parameters that are gone, out of today's bounds, or that no longer fit together.

    `now` is market time (UTC ms), until which they stood.
    """
    dropped = _sifted(state, bases, limits)
    for each in dropped:
        setting = state.values[each.scope][each.name]
        # What it was still counts for a day's reach.
        held = (*setting.held, (now, each.value))
        state.values[each.scope][each.name] = replace(setting, held=held)
    return dropped


def _sifted(state: TuningState, bases: Mapping[str, Bot], limits: Limits) -> list[Dropped]:
    dropped: list[Dropped] = []
    for scope in list(state.values):
        known = parameters(bases, scope)
        unfit = {name: _why_unfit(known, name, state, scope) for name in state.values[scope]}
        dropped += _drop(state, scope, {name: why for name, why in unfit.items() if why})
    for base in bases.values():
        dropped += _drop_false_starts(state, base)
    return [*dropped, *_drop_ladders(state, limits)]


def _why_unfit(known: Mapping[str, Parameter], name: str, state: TuningState, scope: str) -> str:
    setting = state.values[scope][name]
    if name not in known:
        return NO_PARAMETER if known else NO_BOT
    try:
        if not setting.is_base:
            known[name].check(setting.value)
    except BadInput as error:
        return str(error)
    return ""


def _drop_false_starts(state: TuningState, base: Bot) -> list[Dropped]:
    """What was set of a strategy's own parameters, where it can't begin with that any more."""
    try:
        values = values_of(state, base.bot_id)
        own_values = tuned_bot(base, values).strategy.params._asdict()
        check_order(base.strategy.ordered, own_values, values)
        return []
    except BadInput as error:
        own = {each.name for each in base.strategy.parameters}
        there = [name for name in state.values[base.bot_id] if name in own]
        return _drop(state, base.bot_id, dict.fromkeys(there, str(error)))


def _drop_ladders(state: TuningState, limits: Limits) -> Iterable[Dropped]:
    """Ladders of which the settings now have the other step beyond the one that was set."""
    dropped: list[Dropped] = []
    while True:
        try:
            with_limits(limits, values_of(state, DESK_SCOPE))
            return dropped
        except BadInput as error:
            span = error.field.partition("_")[0]
            both = [f"{span}_{step}" for step in ("stops", "halves")]
            there = [name for name in both if name in state.values[DESK_SCOPE]]
            dropped += _drop(state, DESK_SCOPE, dict.fromkeys(there, str(error)))


def _drop(state: TuningState, scope: str, unfit: Mapping[str, str]) -> list[Dropped]:
    settings = state.values[scope]
    gone = {name: settings[name] for name in unfit}
    # Its version goes on from there.
    settings |= {name: replace(each, is_base=True) for name, each in gone.items()}
    return [
        Dropped(scope, name, each.value, unfit[name])
        for name, each in gone.items()
        if not each.is_base
    ]
