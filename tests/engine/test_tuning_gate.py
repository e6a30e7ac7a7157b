"""No way around the gate: whatever is asked, by whomever, moves a bounded parameter only by a
change that its tier lets through, within its bounds, with its rows of the audit (T12)."""

from collections.abc import Callable, Iterator
from dataclasses import is_dataclass, replace
from decimal import Decimal
from enum import Enum
from random import Random
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from engine import changing, retuning
from engine.bot import BotPlan
from engine.candle import HOUR_MS
from engine.effect import Proposed
from engine.instruction import (
    AddBot,
    Instruction,
    RemoveBot,
    RollBack,
    SetParameters,
    TakeSnapshot,
    UndoChange,
)
from engine.killing import Scope as KillScope
from engine.people import DESK, Asker, Principal, PrincipalKind, Role
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Source
from tests.askers import OPERATING, asking
from tests.engine.conftest import BOT, BTC, D
from tests.engine.office import ANN, TOM, VIC
from tests.engine.tuned import Tuned, ann

TUNES = (SetParameters, UndoChange, RollBack)
ADDED = "puppet_001"
STRANGER = Asker(Principal(PrincipalKind.PERSON, "99", Role.NOBODY, "Zoe"), "telegram")
SCHEDULE = Asker(Principal(PrincipalKind.SCHEDULE, "1", Role.ADMIN, principal_id="ann"), "schedule")
PEOPLE = [asking(who) for who in (ANN, TOM, VIC)]
ASKERS = [*PEOPLE, ann, OPERATING, DESK, DESK, STRANGER, SCHEDULE]
TRIES = 30

# -- any instruction ---------------------------------------------------------------------

NAMES = ("leverage", "confidence_min", "stop_loss", "day_stops", "warm_up", "x")
TO = (0.0, 0.01, 0.04, 0.05, 0.06, 1.0, 5.0, 8.0, 12.0, 101.0, float("nan"), -1.0)


def _values(chance: Random) -> tuple[tuple[str, float], ...]:
    count = chance.choice((0, 1, 1, 1, 2))
    return tuple((chance.choice(NAMES), chance.choice(TO)) for _ in range(count))


def _plan(chance: Random) -> BotPlan:
    return BotPlan("puppet", (BTC,), D(1000), values=_values(chance))


# What fields mean, by name: mostly what the desk knows, so that something comes of it.
POOLS: dict[str, Callable[[Random], Any]] = {
    "values": _values,
    "plan": _plan,
    "bot_id": lambda chance: chance.choice((BOT, BOT, ADDED, DESK_SCOPE, "nobody")),
    "symbol": lambda chance: chance.choice((BTC, BTC, "", "ETHUSDT")),
    "account": lambda chance: chance.choice((f"paper-test-{BOT}", "nobody")),
    "by": lambda chance: chance.choice(ASKERS),
    "principal_id": lambda chance: chance.choice(("tom", "vic")),
    "scope": lambda chance: chance.choice(list(KillScope)).value,
    "scopes": lambda chance: chance.choice(("", f"bot:{BOT}")),
    "role": lambda chance: chance.choice((Role.VIEWER, Role.TRADER)),
    "command": lambda chance: chance.choice(("/tune set leverage 50", "/status")),
    "evidence": lambda chance: None,
    "expected": lambda chance: None,
}
WORDS = ("", "before", "x1", "leverage", "/tune set leverage 50")


def made(kind: Any, chance: Random) -> Any:
    """Anything of a type: an instruction, with fields of all sorts."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        own = {name: hints[name] for name in kind.__dataclass_fields__}
        return kind(**{name: _field(name, hint, chance) for name, hint in own.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return chance.choice(list(kind))
    return {
        str: lambda: chance.choice(WORDS),
        bool: lambda: chance.random() < 0.5,
        int: lambda: chance.randrange(6),
        float: lambda: chance.choice(TO),
        Decimal: lambda: D(chance.choice(("-1", "0", "0.5", "1", "100", "1000", "NaN"))),
        tuple: tuple,
        dict: dict,
        type(None): lambda: None,
    }[get_origin(kind) or kind]()


def _field(name: str, hint: Any, chance: Random) -> Any:
    if name in POOLS:
        return POOLS[name](chance)
    is_union = get_origin(hint) not in (None, tuple, dict) or hasattr(hint, "__args__")
    if is_union and get_origin(hint) not in (tuple, dict):
        return made(chance.choice(get_args(hint)), chance)
    return made(hint, chance)


# -- what may come of it -----------------------------------------------------------------


def prepared() -> Tuned:
    """A desk with a bot that can be removed, changes that can be undone, and what waits."""
    desk = Tuned()
    desk.carry(AddBot(desk.plan(leverage=9)))
    desk.tune(confidence_min=0.05)
    desk.carry(SetParameters(BOT, (("leverage", 12.0),)))
    desk.ask(TakeSnapshot("x1"), ann)
    desk.carry(SetParameters(DESK_SCOPE, (("day_stops", 0.04),)))
    desk.tune(ADDED, leverage=8)
    desk.tune(source=Source.MODEL, stop_loss=0.01)
    return desk


def moved(before: dict[str, dict[str, float]], desk: Tuned) -> Iterator[tuple[str, str]]:
    """The parameters whose value is another one, of scopes that are there before and after."""
    after = desk.values()
    for scope in before.keys() & after.keys():
        yield from (
            (scope, name) for name in after[scope] if after[scope][name] != before[scope][name]
        )


def check(desk: Tuned, before: dict[str, dict[str, float]], known: int, by_itself: bool) -> None:
    """Whatever moved was changed as it may be; `by_itself` where nobody confirmed anything."""
    acts = [changing.parts_of(act) for act in desk.acts[known:]]
    written = {(each["scope"], each["name"]) for each in acts if each}
    changes = desk.memory.tuning.changes
    for scope, name in moved(before, desk):
        setting = desk.memory.tuning.values[scope][name]
        tier = retuning.parameters(desk.memory, scope)[name].tier
        assert (scope, name) in written
        assert setting.change_id == changes[-1].change_id
        assert not by_itself or tier is Tier.GREEN
    for scope, values in desk.set_values().items():
        for name, value in values.items():
            retuning.parameters(desk.memory, scope)[name].check(value)
    assert desk.replayed() == desk.set_values()


@pytest.mark.parametrize("kind", get_args(Instruction), ids=lambda kind: kind.__name__)
def test_t12_no_instruction_moves_a_bounded_parameter_past_the_gate(kind):
    desk, chance = prepared(), Random(kind.__name__)
    for _ in range(TRIES):
        before, known = desk.values(), len(desk.acts)
        result = desk.ask(made(kind, chance), chance.choice(ASKERS))
        check(desk, before, known, by_itself=True)
        if kind not in (*TUNES, RemoveBot):
            assert desk.values() == before
        if isinstance(result, Proposed):
            desk.confirm(result, ann)
            check(desk, before, known, by_itself=False)
        if kind not in TUNES:
            assert not list(moved(before, desk))
        if kind not in (AddBot, RemoveBot):
            assert desk.values().keys() == before.keys()
        desk.later(chance.choice((0, HOUR_MS, 6 * HOUR_MS)))


def test_t12_the_tries_reach_what_moves_parameters():
    """Else the test before would say nothing."""
    for kind in TUNES:
        desk, chance = prepared(), Random(kind.__name__)
        made_before = len(desk.core.tuning().changes)
        for _ in range(TRIES):
            desk.confirm(desk.ask(made(kind, chance), chance.choice(ASKERS)), ann)
            desk.later(6 * HOUR_MS)
        assert len(desk.core.tuning().changes) > made_before


def test_t12_what_people_add_a_bot_with_is_bounded_and_gated_too():
    desk = prepared()
    refused = desk.ask(AddBot(replace(desk.plan(), values=(("leverage", 101.0),))), ann)
    assert not isinstance(refused, Proposed)
    desk.carry(AddBot(desk.plan(leverage=50)))
    assert desk.value("leverage", "puppet_002") == 50
    assert desk.set_values().keys() == {BOT, DESK_SCOPE}
