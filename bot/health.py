"""`countersign health`: asks the desk that runs here how it is, for containers and monitors.

It never starts a desk. It asks through the desk's own door, as a console would: what is well is
then also within reach.
"""

import asyncio
import json as jsonlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from bot.door import Hello, connect, encode
from engine.errors import Unreachable
from handlers.system import GREEN, RED, STATES

# A desk that takes longer for one answer is in trouble, whatever the answer is.
DEADLINE_S = 5.0
# The answer is a table of a few rows.
ANSWER_BYTES_MAX = 1024 * 1024
AS_JSON = Hello(format="json")


class Part(NamedTuple):
    """One part of the desk, its state, and why."""

    part: str
    state: Literal["green", "yellow", "red"]
    detail: str


_PARTS: TypeAdapter[list[Part]] = TypeAdapter(Annotated[list[Part], Field(min_length=1)])


async def probe(path: Path, *, json: bool, deadline_s: float = DEADLINE_S) -> int:
    """Print in one line how the desk at `path` is; exit code 1 when its worst state is red.

    Raises Unreachable where no desk answers within `deadline_s`, or none that can be understood.
    """
    async with answered(path, deadline_s):
        parts = _parts(await ask(path, "/health"))
    worst = max((part.state for part in parts), key=STATES.index)
    sys.stdout.write(f"{_as_json(worst, parts) if json else _as_line(worst, parts)}\n")
    return int(worst == RED)


@asynccontextmanager
async def answered(path: Path, deadline_s: float) -> AsyncIterator[None]:
    """Raises Unreachable where the desk at `path` does not answer within `deadline_s`, or not in a
    way that is understood."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except TimeoutError:
        raise Unreachable(f"The desk at {path} gave no answer within {deadline_s:g} s.") from None
    except OSError as error:
        raise Unreachable(f"No desk answers at {path} ({error.strerror or error}).") from error
    except (LookupError, ValueError) as error:
        raise Unreachable(f"What answers at {path} is a desk of another version.") from error


async def ask(path: Path, line: str, hello: Hello = AS_JSON) -> str:
    """The desk's answer to a command; raises OSError where none answers."""
    reader, writer = await connect(path, ANSWER_BYTES_MAX)
    try:
        writer.write(encode({"hello": asdict(hello)}))
        writer.write(encode({"id": 1, "line": line}))
        while said := await reader.readline():
            match jsonlib.loads(said):
                case {"id": 1, "output": str(output)}:
                    return output
                case {"bye": str(reason)} | {"error": str(reason)}:
                    raise Unreachable(reason)
        raise Unreachable(f"The desk at {path} went away without an answer.")
    finally:
        writer.close()


def _parts(output: str) -> list[Part]:
    """The rows of the health table; LookupError or ValueError where there is none."""
    answer = jsonlib.loads(output)
    if not answer["ok"]:
        raise Unreachable(f"The desk could not say how it is: {answer['error']}")
    tables = [block for block in answer["blocks"] if block["kind"] == "table"]
    return _PARTS.validate_python(tables[0]["rows"])


def _as_json(worst: str, parts: list[Part]) -> str:
    return jsonlib.dumps({"state": worst, "parts": [part._asdict() for part in parts]})


def _as_line(worst: str, parts: list[Part]) -> str:
    if worst == GREEN:
        return f"{GREEN}: {', '.join(part.part for part in parts)}"
    reasons = (f"{part.part}: {part.detail}" for part in parts if part.state == worst)
    return " ".join(f"{worst}: {'; '.join(reasons)}".split())
