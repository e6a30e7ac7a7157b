"""Snapshots: all parameters of the desk and its bots at a moment, to come back to.

Pure functions of the core's memory.
"""

import re

from engine import leeway, retuning
from engine.bot import Bot
from engine.errors import BadInput, Refused
from engine.limits import Span
from engine.memory import Memory
from engine.tuning import SNAPSHOT_NAME_MAX, SNAPSHOTS_KEPT, Snapshot, Stand

# More named ones are a script's doing.
NAMED_MAX = 50
# A number alone would be taken for that of a snapshot.
NAME = re.compile(rf"(?=.*[a-z])[a-z0-9][a-z0-9_.-]{{0,{SNAPSHOT_NAME_MAX - 1}}}")


def take(memory: Memory, name: str = "") -> Snapshot:
    """Keep all parameters as they are; without a name, until 48 later ones were taken."""
    state = memory.touch_tuning()
    state.snapshots_made += 1
    scopes = retuning.scopes(memory)
    taken = Snapshot(
        snapshot_id=state.snapshots_made,
        books=memory.books,
        name=name,
        taken_at=leeway.market_time(memory),
        values={scope: _values(memory, scope) for scope in scopes},
        set_={scope: _set(memory, scope) for scope in scopes},
        figures={bot_id: _stand(memory, bot) for bot_id, bot in memory.bots.items()},
    )
    kept = [*memory.snapshots, taken]
    over = [each.snapshot_id for each in kept if not each.name][:-SNAPSHOTS_KEPT]
    memory.keep_snapshots([each for each in kept if each.snapshot_id not in over])
    return taken


def check_name(memory: Memory, name: str) -> None:
    """Raise Refused for a name that a snapshot can't have."""
    if not NAME.fullmatch(name):
        allowed = f"1 to {SNAPSHOT_NAME_MAX} of a-z, 0-9, _ . and -, at least one of them a letter"
        raise BadInput("snapshot name", name, allowed)
    names = [each.name for each in memory.snapshots if each.name]
    if name in names:
        raise Refused(f"There is a snapshot {name} already. Choose another name.")
    if len(names) >= NAMED_MAX:
        raise Refused(f"{NAMED_MAX} snapshots have names already.")


def _values(memory: Memory, scope: str) -> dict[str, float]:
    names = retuning.parameters(memory, scope)
    return {name: retuning.value(memory, scope, name) for name in names}


def _set(memory: Memory, scope: str) -> list[str]:
    settings = memory.tuning.values.get(scope, {})
    return [name for name, each in settings.items() if not each.is_base]


def _stand(memory: Memory, bot: Bot) -> Stand:
    account = memory.accounts[bot.account]
    equity = memory.equity(bot.account)
    peak = account.tally.windows.get(Span.PEAK)
    return Stand(
        equity=equity,
        net=account.ledger.net,
        trades=account.ledger.trades,
        wins=account.tally.wins,
        drawdown=max(-float(peak.change(equity)), 0.0) if peak else 0.0,
    )
