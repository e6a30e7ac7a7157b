"""Kernels keep to what compiles, and to what is the same to the bit in Python and machine code."""

import ast
from pathlib import Path

import pytest

import engine.strategies

FOLDER = Path(engine.strategies.__file__).parent
# These speak of strategies and are never compiled.
NO_KERNELS = {"__init__.py", "kernel.py", "common.py"}
SOURCES = sorted(path for path in FOLDER.glob("*.py") if path.name not in NO_KERNELS)
# These sum in another order than a Python loop does.
BANNED_CALLS = {"_replace", "sum", "mean", "nansum", "nanmean", "fsum", "pow"}


def faults(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Pow()) | ast.AugAssign(op=ast.Pow()):
                found.append(f"line {node.lineno}: **")
            case ast.Call(func=ast.Attribute(attr=name)) if name in BANNED_CALLS:
                found.append(f"line {node.lineno}: .{name}()")
            case ast.Call(func=ast.Name(id=name)) if name in BANNED_CALLS:
                found.append(f"line {node.lineno}: {name}()")
            case ast.Import(names=names) if any(n.name.startswith("numpy") for n in names):
                found.append(f"line {node.lineno}: numpy")
            case ast.ImportFrom(module=str(module)) if module.startswith("numpy"):
                found.append(f"line {node.lineno}: numpy")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_kernel_uses_only_what_compiles(path):
    assert faults(ast.parse(path.read_text())) == []


@pytest.mark.parametrize(
    "code",
    ["a ** 2", "a **= 2", "state._replace(a=1)", "np.sum(w)", "w.mean()", "sum(w)", "pow(a, 2)",
     "import numpy", "import numpy as np", "from numpy import sum"],
)  # fmt: skip
def test_the_bans_find_what_they_are_for(code):
    assert faults(ast.parse(code))
