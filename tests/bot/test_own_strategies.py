"""A user's own strategies: what is found, what is refused and how it is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from bot.own_strategies import OwnStrategies, load_file, load_own
from bot.settings import load
from engine.candle import TIMEFRAMES
from engine.errors import BadSettings
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Strategy

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "dip.py"
DIP = EXAMPLE.read_text()


def changed(*changes: tuple[str, str]) -> str:
    text = DIP
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def line_of(text: str, near: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if near in line)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "strategies"
    folder.mkdir()
    return folder


def test_the_example_of_the_docs_is_found(folder: Path) -> None:
    (folder / "dip.py").write_text(DIP)
    found = load_own(folder)
    assert found.faults == ()
    assert found.sources == {"dip": folder / "dip.py"}
    assert found.strategies["dip"].timeframe == TIMEFRAMES["1h"]
    assert list(found.known) == [*STRATEGIES, "dip"]


def test_what_is_no_strategy_by_its_name_is_not_looked_at(folder: Path) -> None:
    (folder / "_draft.py").write_text("this is no Python")
    (folder / "notes.txt").write_text("neither is this")
    assert load_own(folder) == OwnStrategies()


def test_a_broken_file_does_not_hide_the_others(folder: Path) -> None:
    (folder / "a.py").write_text("def step(:\n")
    (folder / "dip.py").write_text(DIP)
    found = load_own(folder)
    assert list(found.strategies) == ["dip"]
    assert found.remarks == (f"{folder / 'a.py'}, line 1: invalid syntax. The file is left out.",)


BROKEN = {
    "no Python": (DIP + "\nclass :\n", "class :", "invalid syntax"),
    "no strategy": ("STRATEGIES = []\n", "STRATEGIES", "has no STRATEGY"),
    "something else": ("STRATEGY = 7\n", "STRATEGY", "has no STRATEGY"),
    "a library": ("import math\nimport numpy as np\n", "numpy", "imports 'numpy'; allowed: array"),
    "a neighbor": ("from . import other\n", "from .", "imports '.'; allowed"),
    "a power": (
        changed(("params.depth)", "params.depth ** 2)")), "params.depth ** 2", "** may differ in",
    ),
    "a power assigned": ("x = 2.0  # no **kwargs\nx **= 2\n", "x **=", "allowed: x * x"),
    "an error": ("X = 1\nY = X / 0\n", "X / 0", "ZeroDivisionError: division by zero"),
    "an exit": ("raise SystemExit('over')\n", "raise", "SystemExit: over"),
    "its own error": (
        "class Mine(Exception): pass\nraise Mine('odd')\n", "raise", "Mine: odd",
    ),
    "our name": (changed(('name="dip"', 'name="rsi"')), "name=", "that of a strategy of the pr"),
    "a long name": (changed(('name="dip"', f'name="{"d" * 17}"')), "name=", "allowed: 1 to 16"),
    "odd bars": (
        changed(('timeframe=TIMEFRAMES["1h"]', "timeframe=7")), "timeframe=", "timeframe 7 ms",
    ),
    "longer bars that don't fit": (
        changed(("params=Params(),", 'params=Params(), higher=TIMEFRAMES["30m"],')),
        "higher=",
        "a multiple of 1h",
    ),
    "a parameter without bounds": (
        changed(("depth: float = 0.02", "depth: float = 0.02\n    odd: float = 1.0")),
        "odd:",
        "parameter 'odd' has no bounds",
    ),
    "bounds without a parameter": (
        changed(('Parameter("depth"', 'Parameter("deep"'), ('"length"', '"length"')),
        "depth:",
        "parameter 'depth' has no bounds",
    ),
    "a shared name": (
        changed(
            ("    depth: float = 0.02", "    depth: float = 0.02\n    trail: float = 0.01"),
            ('    Parameter("depth"',
             '    Parameter("trail", 0.01, 0, 1, 0.01, Unit.FRACTION, Tier.RED, "far"),\n'
             '    Parameter("depth"'),
        ),
        "trail:",
        "parameter 'trail' is one that every strategy has already",
    ),
    "a default out of bounds": (
        changed(('Parameter("length", 24, 5', 'Parameter("length", 2, 5')),
        '"length"',
        "the default of 'length' is 2; allowed: 5 to 200 in steps of 1",
    ),
    "a value out of bounds": (
        changed(("length: float = 24.0", "length: float = 4.0")),
        '"length"',
        "the value in Params of 'length' is 4.0",
    ),
    "a whole number": (
        changed(("length: float = 24.0", "length: float = 24")),
        "length:",
        "parameter 'length' is 24; allowed: a float",
    ),
    "a day that moves nothing": (
        changed(('"length of the average"', '"length of the average", daily=0')),
        '"length"',
        "`daily` must be at least a step",
    ),
    "an order of a stranger": (
        changed(("params=Params(),", 'params=Params(), ordered=(("length", "slow"),),')),
        "ordered=",
        "ordered ('length', 'slow'); allowed: pairs",
    ),
    "an order that its own values break": (
        changed(("params=Params(),", 'params=Params(), ordered=(("trend", "length"),),')),
        "ordered=",
        "the first below the second",
    ),
    "no tier": (
        changed(("Unit.BARS, Tier.YELLOW", 'Unit.BARS, "yellow"')), '"length"', "needs a Unit",
    ),
    "no exits for the rest": (
        changed(('exits={"*"', 'exits={"BTCUSDT"')), "exits=", 'one for "*"',
    ),
    "endless warm-up": (
        changed(("int(max(params.length, params.trend)) + 1", "1_000_000")),
        "def bars",
        "bars(params) is 1000000; allowed: a whole number from 1 to",
    ),
    "no signal": (
        changed(("return state, BUY", "return state, 1.0")), "def step", "allowed: a Signal",
    ),
    "a signal of nothing": (
        changed(("BUY = Signal(1.0", "BUY = Signal(2.0")), "def step", "Signal.entry is 2.0",
    ),
    "an unknown reason": (
        changed(("0.0, 0.0, LONG_ENTRY", "0.0, 0.0, 99.0")), "def step", "Signal.reason is 99.0",
    ),
    "too sure": (
        changed(("LONG_ENTRY, 1.0, 0.0", "LONG_ENTRY, 1.5, 0.0")), "def step", "confidence is 1.5",
    ),
    "an infinite stop": (
        changed(("LONG_ENTRY, 1.0, 0.0", "LONG_ENTRY, 1.0, 1e400")), "def step", "finite numbers",
    ),
    "a negative stop": (
        changed(("LONG_ENTRY, 1.0, 0.0", "LONG_ENTRY, 1.0, -1.0")), "def step", "are distances",
    ),
    "an error inside": (
        changed(("average.bars < bars(params)", "average.bars < state.odd")),
        "state.odd",
        "AttributeError: 'State' object has no attribute 'odd'",
    ),
    "memory of its own": (
        changed(
            ("def step(", "SEEN = []\n\n\ndef step("),
            ("    state = State(average, trend)\n",
             "    SEEN.append(0)\n    state = State(average, trend + len(SEEN))\n"),
        ),
        "def step",
        "the same bars gave other signals the second time",
    ),
    "odd words": (
        changed(("    dip = state.average.value * (1.0 - params.depth)\n    return [",
                 "    return ['dip']\n    dip = 0\n    return [")),
        "def explain",
        "allowed: a list of Condition",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "near", "said"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_told_with_file_and_line(
    folder: Path, text: str, near: str, said: str
) -> None:
    path = folder / "mine.py"
    path.write_text(text)
    fault = load_file(path)
    assert isinstance(fault, str)
    assert fault.startswith(f"{path}, line {line_of(text, near)}: ")
    assert said in fault


def test_the_line_is_told_of_a_folder_beside_the_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = changed(("average.bars < bars(params)", "average.bars < state.odd"))
    (folder / "mine.py").write_text(text)
    monkeypatch.chdir(folder)
    fault = load_file(Path("mine.py"))
    assert isinstance(fault, str)
    assert fault.startswith(f"mine.py, line {line_of(text, 'state.odd')}: ")


def test_two_files_of_one_name_clash(folder: Path) -> None:
    (folder / "a.py").write_text(DIP)
    (folder / "b.py").write_text(DIP)
    found = load_own(folder)
    assert list(found.sources.values()) == [folder / "a.py"]
    assert f"name 'dip' is that of the strategy in {folder / 'a.py'}" in found.faults[0]


def test_a_file_that_is_no_text_is_told(folder: Path) -> None:
    (folder / "dip.py").write_bytes(b"\xff\xfe\x00")
    assert "dip.py can't be read" in load_own(folder).faults[0]


def test_a_file_changed_is_loaded_anew(folder: Path) -> None:
    path = folder / "dip.py"
    path.write_text(DIP)
    before = load_file(path)
    path.write_text(changed(("length: float = 24.0", "length: float = 124.0")))
    after = load_file(path)
    assert isinstance(before, Strategy) and isinstance(after, Strategy)
    assert (before.params.length, after.params.length) == (24.0, 124.0)


# -- in the settings ---------------------------------------------------------------------

TOML = """
strategies_dir = "strategies"
[[bots]]
id = "one"
strategy = "{strategy}"
symbols = ["BTCUSDT"]
"""


def toml(folder: Path, strategy: str) -> Path:
    (folder.parent / "countersign.toml").write_text(TOML.format(strategy=strategy))
    return folder.parent


def test_a_bot_may_run_ones_own(folder: Path) -> None:
    (folder / "dip.py").write_text(DIP)
    settings = load({}, toml(folder, "dip"))
    assert settings.strategies["dip"] is settings.own.strategies["dip"]


def test_without_a_folder_there_are_ours_only() -> None:
    assert load({}, Path("nowhere")).strategies == STRATEGIES


def test_a_broken_file_that_no_bot_uses_is_a_remark(folder: Path) -> None:
    (folder / "dip.py").write_text("oops")
    settings = load({}, toml(folder, "rsi"))
    assert "NameError: name 'oops' is not defined. The file is left out." in settings.own.remarks[0]


def test_a_bot_of_a_broken_file_is_a_setting_error_that_names_it(folder: Path) -> None:
    (folder / "dip.py").write_text("oops")
    with pytest.raises(BadSettings) as error:
        load({}, toml(folder, "dip"))
    assert str(error.value).startswith("bots one strategy: 'dip' is not valid; allowed: ")
    assert f"left out: {folder / 'dip.py'}, line 1: NameError" in str(error.value)


def test_a_folder_that_is_not_there_is_a_setting_error(tmp_path: Path) -> None:
    (tmp_path / "countersign.toml").write_text('strategies_dir = "mine"')
    with pytest.raises(BadSettings, match="STRATEGIES_DIR: .*mine' is no folder. Allowed: a fold"):
        load({}, tmp_path)


def test_the_environment_may_name_the_folder(folder: Path) -> None:
    (folder / "dip.py").write_text(DIP)
    assert "dip" in load({"STRATEGIES_DIR": str(folder)}, folder.parent).strategies


def test_loading_one_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from bot.own_strategies import load_file; "
        f"assert load_file(Path({str(EXAMPLE)!r})).name == 'dip'; "
        "print({'numpy', 'numba'} & set(sys.modules) or 'nothing')"
    )
    found = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    assert found == "nothing\n"
