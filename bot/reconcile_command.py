"""`countersign reconcile`: has the desk that runs here compare its books with the exchange.

It asks through the desk's own door, as a console would: the desk alone knows both sides.
"""

import json as jsonlib
import sys
from pathlib import Path
from typing import Any

from bot.door import Hello
from bot.health import answered, ask
from engine.errors import Unreachable

# A look at all accounts takes seconds; while Bybit answers slowly, and orders fill, some more.
DEADLINE_S = 180.0
# The tables whose rows are something to be mended.
TO_MEND = ("What differs", "To be looked at")


async def compare(path: Path, *, json: bool, deadline_s: float = DEADLINE_S) -> int:
    """Print what the desk at `path` finds; exit code 1 when something differs.

    Raises Unreachable where no desk answers, or the exchange can't be asked.
    """
    async with answered(path, deadline_s):
        answer = await ask(path, "/reconcile now")
        found = jsonlib.loads(answer)
        if not found["ok"]:
            raise Unreachable(str(found["error"]))
        said = answer if json else await ask(path, "/reconcile", Hello())
    sys.stdout.write(f"{said.rstrip()}\n")
    return int(_differs(found["blocks"]))


def _differs(blocks: list[dict[str, Any]]) -> bool:
    return any(
        block["rows"]
        for block in blocks
        if block["kind"] == "table" and block.get("title") in TO_MEND
    )
