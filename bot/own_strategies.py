"""A user's own strategies: Python files in the folder that `strategies_dir` names.

Each file is checked before it may trade: what it imports, that it has no `**`, its bounds, and that
the same bars give the same signals. One that fails is left out and told, it never stops the desk.
Nothing here keeps a file from doing harm: it runs with the rights of the desk, like any program.
"""

import ast
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from math import isfinite
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from engine.candle import TIMEFRAMES, timeframe_name
from engine.errors import BadInput, BadSettings
from engine.strategies import STRATEGIES, common
from engine.strategies.exits import Exits
from engine.strategies.kernel import REASONS, Bar, Condition, Signal, Strategy
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit, by_name

# A bot is called `<strategy>_001`, in 20 characters.
NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")
# What a strategy needs. The desk's process loads nothing heavy, and a kernel does nothing else.
IMPORTS = ("__future__", "array", "collections", "dataclasses", "engine", "math", "typing")
# Bars of the check beyond warm-up, and the most that are walked for it when the desk starts.
CHECK_BARS, CHECK_BARS_MAX = 200, 3_000
CHECK_SEED = 42
CHECK_START = 1_735_689_600_000
MODULE = "own_strategy_"


@dataclass(frozen=True, slots=True)
class OwnStrategies:
    """What was found: strategies and their files by name, and sentences on what was left out."""

    strategies: Mapping[str, Strategy] = field(default_factory=dict)
    sources: Mapping[str, Path] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    @property
    def known(self) -> dict[str, Strategy]:
        """Every strategy by name: the program's, then these."""
        return {**STRATEGIES, **self.strategies}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out, for the desk's remarks."""
        return tuple(f"{fault} The file is left out." for fault in self.faults)


class _Fault(Exception):
    """Something in a file that is not allowed, in `line` or in the one with the text `near`."""

    def __init__(self, words: str, near: str = "STRATEGY", line: int = 0) -> None:
        super().__init__(words)
        self.near = near
        self.line = line


def load_own(folder: Path) -> OwnStrategies:
    """The strategies of a folder's files, in the order of their names; `_x.py` is not looked at.

    Raises BadSettings where the folder can't be read.
    """
    if not folder.is_dir():
        raise BadSettings(
            f"STRATEGIES_DIR: {str(folder)!r} is no folder. Allowed: a folder of Python files, "
            "each with a STRATEGY."
        )
    found: dict[str, Strategy] = {}
    sources: dict[str, Path] = {}
    faults: list[str] = []
    for path in sorted(folder.glob("[!_]*.py")):
        loaded = load_file(path, sources)
        if isinstance(loaded, str):
            faults.append(loaded)
        else:
            found[loaded.name], sources[loaded.name] = loaded, path
    return OwnStrategies(found, sources, tuple(faults))


def known_with(source: Path | None) -> Mapping[str, Strategy]:
    """Every strategy by name, in a process that has loaded none: with those of the folder where
    `source` lies, if there is one."""
    return load_own(source.parent).known if source else STRATEGIES


def load_file(path: Path, taken: Mapping[str, Path] | None = None) -> Strategy | str:
    """The strategy of one file, else a sentence: the file, the line and what is wrong there.

    `taken` are the names of other files' strategies.
    """
    try:
        source = path.read_text(encoding="utf-8")
        _check_source(source)
        strategy = getattr(_module(path), "STRATEGY", None)
        _check(strategy, taken or {})
    except SyntaxError as error:
        return f"{path}, line {error.lineno}: {error.msg}."
    except (OSError, UnicodeDecodeError) as error:
        return f"{path} can't be read: {error}."
    except _Fault as fault:
        return f"{path}, line {fault.line or _line_of(source, fault.near)}: {fault}."
    except (Exception, SystemExit) as error:  # a stranger's file may raise anything
        return f"{path}, line {_line_in(path, error)}: {type(error).__name__}: {error}."
    assert isinstance(strategy, Strategy)
    return strategy


def _module(path: Path) -> ModuleType:
    """The file as a module that others can find by its name: compiled code refers to it."""
    spec = spec_from_file_location(f"{MODULE}{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _check_source(source: str) -> None:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(lineno=line) | ast.ImportFrom(lineno=line):
                _check_import(node, line)
            case ast.BinOp(op=ast.Pow(), lineno=line) | ast.AugAssign(op=ast.Pow(), lineno=line):
                words = "** may differ in the last bit once compiled; allowed: x * x, math.sqrt"
                raise _Fault(words, line=line)


def _check_import(node: ast.Import | ast.ImportFrom, line: int) -> None:
    for name in _imported(node):
        if name.partition(".")[0] not in IMPORTS:
            allowed = ", ".join(IMPORTS[1:])
            raise _Fault(f"imports {name!r}; allowed: {allowed}", line=line)


def _imported(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, level=level):
            yield "." * level + (module or "")


def _line_of(source: str, near: str) -> int:
    """The first line that holds a text, else the one where STRATEGY is set, else the first."""
    for wanted in (near, "STRATEGY"):
        for number, line in enumerate(source.splitlines(), 1):
            if wanted in line:
                return number
    return 1


def _line_in(path: Path, error: BaseException) -> int:
    """The line of a file in which an error arose, or from which it was called."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path.absolute()]
    return (lines and lines[-1]) or 1


# -- what is checked ---------------------------------------------------------------------


def _check(strategy: object, taken: Mapping[str, Path]) -> None:
    if not isinstance(strategy, Strategy):
        raise _Fault("has no STRATEGY; allowed: STRATEGY = Strategy(...) of engine.strategies")
    _check_name(strategy.name, taken)
    _check_parameters(strategy)
    _check_bars(strategy)
    _check_rules(strategy)
    _check_signals(strategy)


def _check_name(name: object, taken: Mapping[str, Path]) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise _Fault(f"name {name!r}; allowed: 1 to 16 of a-z, 0-9 and _, a letter first", "name=")
    if name in STRATEGIES:
        raise _Fault(f"name {name!r} is that of a strategy of the program", "name=")
    if name in taken:
        raise _Fault(f"name {name!r} is that of the strategy in {taken[name]}", "name=")


def _check_bars(strategy: Strategy) -> None:
    lengths = TIMEFRAMES.values()
    names = ", ".join(TIMEFRAMES)
    if strategy.timeframe not in lengths:
        raise _Fault(f"timeframe {strategy.timeframe!r} ms; allowed: {names}", "timeframe=")
    higher = strategy.higher
    if higher and (higher not in lengths or higher % strategy.timeframe):
        allowed = f"0, or a multiple of {timeframe_name(strategy.timeframe)} among {names}"
        raise _Fault(f"higher {higher!r} ms; allowed: {allowed}", "higher=")
    needed = strategy.bars_needed
    if not isinstance(needed, int) or not 1 <= needed <= CHECK_BARS_MAX - CHECK_BARS:
        allowed = f"a whole number from 1 to {CHECK_BARS_MAX - CHECK_BARS:,}"
        raise _Fault(f"bars(params) is {needed!r}; allowed: {allowed}", "def bars")


def _check_parameters(strategy: Strategy) -> None:
    values = strategy.params._asdict()
    bounds = by_name(strategy.parameters)
    shared = by_name((*common.EXITS, *common.SIZING, *common.PIPELINE))
    for name, value in values.items():
        near = f"{name}:"
        if name not in bounds:
            raise _Fault(f"parameter {name!r} has no bounds in `parameters`", near)
        if name in shared:
            raise _Fault(f"parameter {name!r} is one that every strategy has already", near)
        if not isinstance(value, float):
            raise _Fault(f"parameter {name!r} is {value!r}; allowed: a float, as in 2.0", near)
    for name, parameter in bounds.items():
        if name not in values:
            raise _Fault(f"`parameters` has {name!r}, which Params lacks", f'"{name}"')
        _check_bounds(parameter, values[name])
    for pair in strategy.ordered:
        if not bounds.keys() >= set(pair) or not values[pair[0]] < values[pair[1]]:
            allowed = "pairs of parameters, the first below the second"
            raise _Fault(f"ordered {pair!r}; allowed: {allowed}", "ordered=")


def _check_bounds(parameter: Parameter, value: float) -> None:
    name, near = parameter.name, f'"{parameter.name}"'
    if not isinstance(parameter.tier, Tier) or not isinstance(parameter.unit, Unit):
        raise _Fault(f"parameter {name!r} needs a Unit and a Tier of engine.tunable", near)
    if not (parameter.low <= parameter.high and parameter.step > 0.0):
        raise _Fault(f"parameter {name!r}: low may not be above high, step must be above 0", near)
    if parameter.reach < parameter.step or parameter.cooldown_ms < 0:
        words = "`daily` must be at least a step, `cooldown_ms` at least 0"
        raise _Fault(f"parameter {name!r}: {words}", near)
    for what, number in (("default", parameter.default), ("value in Params", value)):
        try:
            parameter.check(number)
        except BadInput as error:
            words = f"the {what} of {name!r} is {number!r}; allowed: {error.allowed}"
            raise _Fault(words, near) from None


def _check_rules(strategy: Strategy) -> None:
    exits = strategy.exits
    if "*" not in exits or not all(isinstance(each, Exits) for each in exits.values()):
        raise _Fault('exits; allowed: a dict of Exits with one for "*"', "exits=")
    if not isinstance(strategy.sizing, Sizing):
        raise _Fault("sizing; allowed: a Sizing", "sizing=")


def _check_signals(strategy: Strategy) -> None:
    """Run a seeded walk twice, each from the start: everything must be the same."""
    first, second = _signals(strategy), _signals(strategy)
    if first != second:
        raise _Fault("the same bars gave other signals the second time", "def step")


def _signals(strategy: Strategy) -> list[tuple[Any, Signal]]:
    state, window = strategy.start(strategy.params)
    found: list[tuple[Any, Signal]] = []
    for bar in _walk(strategy):
        state, signal = strategy.step(strategy.params, state, window, bar)
        _check_signal(signal)
        found.append((state, signal))
    conditions = strategy.explain(strategy.params, state, bar)
    if not all(isinstance(each, Condition) for each in conditions):
        raise _Fault("explain; allowed: a list of Condition", "def explain")
    return found


def _check_signal(signal: object) -> None:
    near = "def step"
    if not isinstance(signal, Signal) or not all(map(isfinite, signal)):
        raise _Fault(f"step gave {signal!r}; allowed: a Signal of finite numbers", near)
    if signal.entry not in (-1.0, 0.0, 1.0):
        raise _Fault(f"Signal.entry is {signal.entry!r}; allowed: -1, 0, 1", near)
    if int(signal.reason) not in range(len(REASONS)):
        allowed = f"the index of one of REASONS, 0 to {len(REASONS) - 1}"
        raise _Fault(f"Signal.reason is {signal.reason!r}; allowed: {allowed}", near)
    if not 0.0 <= signal.confidence <= 1.0:
        raise _Fault(f"Signal.confidence is {signal.confidence!r}; allowed: 0 to 1", near)
    if min(signal.stop, signal.target, signal.trail) < 0.0:
        raise _Fault("Signal.stop, target and trail are distances; allowed: 0 or more", near)


def _walk(strategy: Strategy) -> Iterator[Bar]:
    """Bars of a price that wanders and trends, the same each time."""
    chance = Random(CHECK_SEED)
    price = 100.0
    per_higher = strategy.higher // strategy.timeframe if strategy.higher else 0
    higher = (0.0,) * 6
    for i in range(strategy.bars_needed + CHECK_BARS):
        open_, drift = price, 0.002 * (1 if i // 50 % 2 else -1)
        price *= 1.0 + chance.gauss(drift, 0.005)
        high, low = max(open_, price) * 1.001, min(open_, price) * 0.999
        volume = chance.uniform(1.0, 100.0)
        if per_higher and i % per_higher == per_higher - 1:
            higher = (1.0, open_, high, low, price, volume)
        ts = CHECK_START + i * strategy.timeframe
        yield Bar(ts, open_, high, low, price, volume, 0.0001, *higher)
        higher = (0.0, *higher[1:])
