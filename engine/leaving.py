"""Exits that the exchange did not carry out: they are tried again until the position is closed.

Pure functions of the core's memory. Each try is a new order; the one before has surely ended.
"""

from engine import booking, resting
from engine.effect import Effect
from engine.memory import AccountState, Leaving, Memory
from engine.signal import Approved
from engine.survey import DifferenceKind


def try_again(memory: Memory, ts: int) -> list[Effect]:
    """Send an exit again for each position that should be closed and is not, once it is time."""
    effects: list[Effect] = []
    for key, leaving in list(memory.desk.leaving.items()):
        if leaving.retry_at <= ts:
            effects += _leave(memory, key, leaving, ts)
    return effects


def _is_gone(state: AccountState, symbol: str) -> bool:
    """Whether the exchange says, twice, that it holds nothing there: each exit would be refused,
    and books that are wrong are a person's to mend."""
    differs = any(
        each.kind is DifferenceKind.POSITION and each.symbol == symbol for each in state.different
    )
    survey = state.survey
    return differs and survey is not None and symbol not in {p.symbol for p in survey.positions}


def _leave(memory: Memory, key: str, leaving: Leaving, ts: int) -> list[Effect]:
    state = memory.accounts.get(leaving.account)
    position = state.positions.get(leaving.symbol) if state else None
    if state is None or position is None or position.is_flat:
        del memory.desk.leaving[key]
        return []
    if resting.why_not_close(memory, leaving.account, leaving.symbol):
        return []
    if _is_gone(state, leaving.symbol):
        return []
    order = booking.reduction(memory, position, leaving.reason, ts)
    return booking.intend(memory, Approved(order))
