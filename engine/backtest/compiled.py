"""Compiling kernels: the same functions that run as plain Python, linked and cached on disk.

A kernel is compiled together with the functions it calls by name. What is compiled is kept in
a folder named by a hash of everything it is made of: numba by itself would go on serving code
that was compiled from an older version of a function it only calls.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import config, njit

ENGINE = Path(__file__).resolve().parents[1]
STRATEGIES = ENGINE / "strategies"
# Division by zero gives what numpy gives, other threads may run meanwhile, and nothing counts
# who holds an array: kernels make none, and the counting took half of the time.
OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "_nrt": False}
# What only compiled code calls needs no door for Python: a third of the compiling.
INNER: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Versions of each kernel; those compiled longer ago are removed.
VERSIONS_KEPT = 4
HASH_BYTES = 8
# How numba names the files of compiled code.
COMPILED = ".nbc"


def jitted(kernel: Callable[..., Any]) -> Any:
    """The compiled twin of a pure function of numbers, kept nowhere."""
    return njit(**OPTIONS)(_linked(kernel))


def cached(kernel: Callable[..., Any], name: str, sources: Iterable[Path] = ()) -> Any:
    """The compiled twin of a pure function, kept on disk under `name` until a source changes.

    `sources` are files beside those of the engine that it is made of. Where nothing can be
    written it is compiled anew in each process.
    """
    folder = _folder(name, _hash(kernel, sources))
    if folder is None:
        return jitted(kernel)
    # numba reads it when the function is made, from a module that makes its names as it loads.
    setattr(config, "CACHE_DIR", str(folder))  # noqa: B010
    return njit(**OPTIONS, cache=True)(_linked(kernel))


def is_kept(kernel: Callable[..., Any], name: str, sources: Iterable[Path] = ()) -> bool:
    """Whether `cached` finds this version of a kernel on disk; else its first call compiles."""
    return any(_place(name, _hash(kernel, sources)).rglob(f"*{COMPILED}"))


def bound(template: Callable[..., Any], **functions: Callable[..., Any]) -> FunctionType:
    """A copy of a function in which some names mean other functions."""
    assert isinstance(template, FunctionType)
    return FunctionType(
        template.__code__,
        {**template.__globals__, **functions},
        template.__name__,
        template.__defaults__,
    )


def _linked(kernel: Callable[..., Any]) -> FunctionType:
    """A copy whose global functions are compiled ones."""
    assert isinstance(kernel, FunctionType)
    called = {name: _compiled_callee(callee) for name, callee in _callees(kernel).items()}
    linked = bound(kernel, **called)
    linked.__module__ = kernel.__module__
    linked.__qualname__ = kernel.__qualname__
    return linked


def _callees(kernel: FunctionType) -> dict[str, FunctionType]:
    """The global functions that a kernel names, but for numba's own."""
    return {
        name: found
        for name in kernel.__code__.co_names
        if isinstance(found := kernel.__globals__.get(name), FunctionType)
        and found.__module__.split(".")[0] != "numba"
    }


@cache
def _compiled_callee(function: FunctionType) -> Any:
    """It becomes part of its callers: handing a dozen arrays to a function costs more than most
    of them do."""
    return njit(**OPTIONS, **INNER, forceinline=True)(_linked(function))


# -- the cache ---------------------------------------------------------------------------


def _folder(name: str, version: str) -> Path | None:
    """Where a version of a kernel is kept; None where nothing can be written."""
    folder = _place(name, version)
    try:
        is_new = not folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if is_new:
        _forget_old(name)
    return folder if os.access(folder, os.W_OK) else None


def _place(name: str, version: str) -> Path:
    return _root() / f"{name}-{version}"


def _root() -> Path:
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(given)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "countersign" / "compiled"


def _forget_old(name: str) -> None:
    versions = _root().glob(f"{name}-{'?' * 2 * HASH_BYTES}")
    # Another process may be removing the same ones.
    with suppress(OSError):
        newest_first = sorted(versions, key=lambda each: each.stat().st_mtime_ns, reverse=True)
        for folder in newest_first[VERSIONS_KEPT:]:
            shutil.rmtree(folder, ignore_errors=True)


def _hash(kernel: Callable[..., Any], sources: Iterable[Path]) -> str:
    """Of the strategies' sources, of `sources`, and of everything that the kernel reaches."""
    assert isinstance(kernel, FunctionType)
    digest = blake2b(_sources(), digest_size=HASH_BYTES)
    reached = _reached(kernel)
    for path in sorted({Path(each.__code__.co_filename) for each in reached} | set(sources)):
        digest.update(path.name.encode() + path.read_bytes())
    for function in reached:
        digest.update(_meaning(function).encode())
    return digest.hexdigest()


@cache
def _sources() -> bytes:
    """A hash of all strategies' sources, and of everything that compiles them."""
    versions = (sys.version, numba.__version__, llvmlite.__version__, np.__version__)
    digest = blake2b(repr(versions).encode())
    for path in [Path(__file__), *sorted(STRATEGIES.rglob("*.py"))]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.digest()


def _reached(kernel: FunctionType) -> list[FunctionType]:
    """A kernel and all that it calls, and they call."""
    reached = [kernel]
    for function in reached:
        reached += [each for each in _callees(function).values() if each not in reached]
    return reached


def _meaning(function: FunctionType) -> str:
    """A function's code, and the numbers of its module that become part of it."""
    code = function.__code__
    constants = [each for each in code.co_consts if not isinstance(each, CodeType)]
    numbers = {
        name: found
        for name in code.co_names
        if isinstance(found := function.__globals__.get(name), int | float | tuple)
    }
    return repr((code.co_code, code.co_names, constants, numbers))
