"""The shape of the program, held by reading its source: layers, purity, vendors in their place."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Who may import whom: each layer everything to its right.
LAYERS = ("bot", "llm", "handlers", "engine")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))

# Each vendor library has its one place.
VENDORS = {
    "sqlalchemy": ("engine/store/",),
    "asyncpg": ("engine/store/",),
    "aiosqlite": ("engine/store/",),
    "alembic": ("engine/store/",),
    "matplotlib": ("bot/render/chart.py",),
    "prompt_toolkit": ("bot/terminal.py",),
    "typer": (
        "bot/cli.py",
        "bot/data_commands.py",
        "bot/backtest_command.py",
        "bot/command_options.py",
        "bot/sweep_command.py",
        "bot/tune_command.py",
        "bot/worker_command.py",
    ),
    "aiogram": ("bot/telegram.py",),
    "discord": ("bot/discord.py", "bot/discord_message.py"),
    "aiohttp": ("bot/telegram.py", "bot/discord.py", "engine/bybit/stream.py", "llm/gemini.py"),
    "google": ("llm/gemini.py", "llm/gemini_legacy.py"),
    "requests": ("engine/bybit/wire.py", "llm/gemini_legacy.py"),
    "urllib3": ("engine/bybit/wire.py", "llm/gemini_legacy.py"),
    "pybit": ("engine/bybit/wire.py",),
    "redis": ("engine/store/cache.py",),
    "apscheduler": ("engine/schedule.py",),
    "numba": ("engine/backtest/",),
    "numpy": (
        "engine/columns.py",
        "engine/market/archive.py",
        "engine/market/segments.py",
        "engine/backtest/",
        "bot/render/chart.py",
    ),
    "pyarrow": ("engine/market/candle_file.py",),
    "distributed": ("bot/executors.py", "bot/worker_command.py"),
    "dask": ("bot/executors.py", "bot/worker_command.py"),
    "optuna": ("engine/tuner.py",),
}

HEAVY = {"numpy", "numba", "matplotlib", "pyarrow", "optuna", "distributed", "dask", "google"}

# Where people speak: only these may say that somebody is a person.
DOORS_OF_PEOPLE = ("bot/console.py", "bot/telegram.py", "bot/discord.py")

# All modules of the engine are pure but these, and what is in its folders.
IMPURE = {"runtime.py", "killing.py", "pace.py", "studies.py", "spread.py", "tuner.py"}
MONTECARLO = ROOT / "engine" / "metrics" / "montecarlo.py"
PURE = [
    *(path for path in sorted((ROOT / "engine").glob("*.py")) if path.name not in IMPURE),
    *sorted((ROOT / "engine" / "strategies").glob("*.py")),
    # Not `montecarlo.py`, which draws from a seeded generator.
    *sorted(set((ROOT / "engine" / "metrics").glob("*.py")) - {MONTECARLO}),
    *(ROOT / "engine" / "exchange" / f"paper{part}.py" for part in ("", "_book", "_state")),
]

# What reaches out of a function: the clock, chance, the machine, the network, the disk.
IMPURE_MODULES = {
    "asyncio", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "socket", "ssl",
    "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
IMPURE_CALLS = {"open", "input", "print", "exec", "eval", "__import__"}
IMPURE_METHODS = {"now", "utcnow", "today"}

SQL_STARTS = ("select ", "insert ", "update ", "delete ", "create ", "drop ", "alter ", "pragma ")

Fault = tuple[int, str]
Finder = Callable[[ast.Module], Iterator[Fault]]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def faults(paths: list[Path], find: Finder) -> list[str]:
    """Every fault in the files, as `file:line: what`."""
    return [f"{name(path)}:{line}: {what}" for path in paths for line, what in find(tree(path))]


def imports(module: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of all that is imported, wherever in the file."""
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=source, level=0, names=names):
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in names)
            case ast.ImportFrom():
                yield node.lineno, ".relative"


def calls(module: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


# -- the rules ---------------------------------------------------------------------------


def upward_imports(layer: str) -> Finder:
    above = LAYERS[: LAYERS.index(layer)]

    def find(module: ast.Module) -> Iterator[Fault]:
        for line, imported in imports(module):
            if imported.split(".")[0] in above:
                yield line, f"{layer} imports {imported}"

    return find


def relative_imports(module: ast.Module) -> Iterator[Fault]:
    return ((line, "relative import") for line, what in imports(module) if what == ".relative")


def imports_of(vendor: str) -> Finder:
    def find(module: ast.Module) -> Iterator[Fault]:
        for line, imported in imports(module):
            if imported.split(".")[0] == vendor:
                yield line, f"imports {imported}"

    return find


def people_made(module: ast.Module) -> Iterator[Fault]:
    """Calls that are given `PrincipalKind.PERSON`: comparing with it is everybody's right."""
    for call in calls(module):
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        for argument in given:
            match argument:
                case ast.Attribute(value=ast.Name(id="PrincipalKind"), attr="PERSON"):
                    yield call.lineno, "makes a person"


def impurities(module: ast.Module) -> Iterator[Fault]:
    for line, imported in imports(module):
        if imported.split(".")[0] in IMPURE_MODULES:
            yield line, f"imports {imported}"
    for call in calls(module):
        match call.func:
            case ast.Name(id=called) if called in IMPURE_CALLS:
                yield call.lineno, f"calls {called}()"
            case ast.Attribute(attr=called) if called in IMPURE_METHODS:
                yield call.lineno, f"calls .{called}()"


def floats(module: ast.Module) -> Iterator[Fault]:
    for call in calls(module):
        match call.func:
            case ast.Name(id="float"):
                yield call.lineno, "calls float()"
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield node.lineno, f"the float {node.value}"


def wide_excepts(module: ast.Module) -> Iterator[Fault]:
    """`except:` and `except Exception:`, alone or in a tuple."""
    for node in ast.walk(module):
        if not isinstance(node, ast.ExceptHandler):
            continue
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        for kind in caught:
            match kind:
                case None:
                    yield node.lineno, "bare except"
                case ast.Name(id="Exception"):
                    yield node.lineno, "except Exception"
                case ast.Name(id="BaseException") if not _raises_again(node):
                    yield node.lineno, "except BaseException that does not raise again"


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def prints(module: ast.Module) -> Iterator[Fault]:
    for call in calls(module):
        match call.func:
            case ast.Name(id="print"):
                yield call.lineno, "calls print()"


def built_sql(module: ast.Module) -> Iterator[Fault]:
    """SQL put together from strings: formatted, added, joined by % or .format()."""
    for node in ast.walk(module):
        match node:
            case ast.JoinedStr(values=[ast.Constant(value=str(text)), *rest]) if rest:
                found = text
            case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Add() | ast.Mod()):
                found = text
            case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
                found = text
            case _:
                continue
        if _is_sql(found):
            yield node.lineno, f"SQL from strings: {found!r}"


def _is_sql(text: str) -> bool:
    """Statements are told from sentences by their capitals or their second keyword."""
    start = text.lstrip()
    return start.lower().startswith(SQL_STARTS) and (
        start.split()[0].isupper() or any(word in start.lower() for word in (" from ", " set "))
    )


# -- the program keeps them --------------------------------------------------------------


def sources(layer: str) -> list[Path]:
    return [path for path in SOURCES if name(path).startswith(f"{layer}/")]


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_run_one_way(layer):
    assert sources(layer)
    assert faults(sources(layer), upward_imports(layer)) == []


def test_imports_are_absolute():
    assert faults(SOURCES, relative_imports) == []


@pytest.mark.parametrize(("vendor", "homes"), VENDORS.items(), ids=VENDORS)
def test_a_vendor_library_stays_in_its_place(vendor, homes):
    elsewhere = [path for path in SOURCES if not name(path).startswith(homes)]
    assert faults(elsewhere, imports_of(vendor)) == []


def test_only_where_people_speak_is_a_person_made():
    elsewhere = [path for path in SOURCES if name(path) not in DOORS_OF_PEOPLE]
    assert faults(elsewhere, people_made) == []


@pytest.mark.parametrize("path", PURE, ids=name)
def test_nouns_and_verbs_are_pure(path):
    assert faults([path], impurities) == []


def test_the_desk_loads_nothing_heavy():
    """Only workers and the command line's heavy commands do, when they need it."""
    code = f"import sys, bot.app; print({HEAVY} & set(sys.modules) or 'nothing')"
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert found == "nothing\n"


def test_money_is_never_a_float():
    books = [ROOT / "engine" / "ledger.py", ROOT / "engine" / "position.py"]
    assert faults(books, floats) == []


# Where one answer ends and the desk goes on: a bug in a command, or in a strategy of a user's own,
# must not stop trading.
OF_ONE_ANSWER = [
    "bot/advisor.py",
    "bot/backtests.py",
    "bot/chats.py",
    "bot/console.py",
    "bot/courier.py",
    "bot/inbox.py",
    "bot/own_strategies.py",
    "bot/schedule.py",
    "bot/straight.py",
    "bot/telegram.py",
    "bot/tuner_clock.py",
    "bot/tunings.py",
    "engine/backtest/speed.py",
    "engine/backtest/speed.py",
    "engine/killing.py",
    "engine/slot.py",
    "engine/spread.py",
    "engine/store/cache.py",
]


@pytest.mark.parametrize("layer", LAYERS)
def test_no_error_is_caught_without_a_name(layer):
    places = [path for path in sources(layer) if name(path) not in OF_ONE_ANSWER]
    assert faults(places, wide_excepts) == []


def test_nothing_is_printed():
    assert faults(SOURCES, prints) == []


def test_no_sql_is_built_from_strings():
    assert faults(SOURCES, built_sql) == []


def test_every_module_says_what_lives_in_it():
    assert [name(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_alembics_folder_is_no_package():
    """An `__init__.py` there would hide the library of the same name."""
    assert list((ROOT / "alembic").rglob("__init__.py")) == []


# -- and the rules find what they are for ------------------------------------------------

CAUGHT = {
    "an import upward": (upward_imports("engine"), "from handlers.reply import Reply"),
    "an import upward, inside": (upward_imports("llm"), "def f():\n    import bot.app"),
    "a relative import": (relative_imports, "from . import order"),
    "a vendor": (imports_of("sqlalchemy"), "from sqlalchemy.ext.asyncio import create_engine"),
    "a person": (people_made, "Principal(7, PrincipalKind.PERSON)"),
    "a person by keyword": (people_made, "Principal(id=7, kind=PrincipalKind.PERSON)"),
    "the clock": (impurities, "import time"),
    "the date": (impurities, "from datetime import datetime\ndatetime.now()"),
    "chance": (impurities, "from random import random"),
    "an id from nowhere": (impurities, "from uuid import uuid4"),
    "a file": (impurities, "open('x')"),
    "a float": (floats, "float(amount)"),
    "a float constant": (floats, "amount * 0.5"),
    "a bare except": (wide_excepts, "try:\n    f()\nexcept:\n    pass"),
    "a wide except": (wide_excepts, "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
    "an except that keeps all": (wide_excepts, "try:\n    f()\nexcept BaseException:\n    pass"),
    "a print": (prints, "print('x')"),
    "SQL from a format": (built_sql, "f'SELECT * FROM {table}'"),
    "SQL from a sum": (built_sql, "'delete from fills where id = ' + id"),
    "SQL from a percent": (built_sql, "'UPDATE fills SET x = %s' % x"),
}

LET_PASS = {
    "an import downward": (upward_imports("handlers"), "from engine.order import Order"),
    "asking who is a person": (people_made, "kind is PrincipalKind.PERSON"),
    "a seeded hash": (impurities, "import hashlib"),
    "a named except": (wide_excepts, "try:\n    f()\nexcept OSError:\n    pass"),
    "cleaning up": (wide_excepts, "try:\n    f()\nexcept BaseException:\n    g()\n    raise"),
    "a sentence": (built_sql, "f'Update the desk to {version}.'"),
}


@pytest.mark.parametrize(("find", "code"), CAUGHT.values(), ids=CAUGHT)
def test_a_rule_catches(find, code):
    assert list(find(ast.parse(code)))


@pytest.mark.parametrize(("find", "code"), LET_PASS.values(), ids=LET_PASS)
def test_a_rule_lets_pass(find, code):
    assert list(find(ast.parse(code))) == []
