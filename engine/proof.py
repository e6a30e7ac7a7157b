"""Whether an account as it was restored is the sum of its stored fills and funding."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from engine.ledger import Fold, Funding, Ledger, fold
from engine.memory import AccountState
from engine.order import ZERO, Fill


def difference(
    account: str,
    state: AccountState,
    fills: Iterable[Fill],
    payments: Iterable[Funding],
    there: Mapping[str, Decimal] | None,
) -> str:
    """In what an account is not what its facts add up to, in words; empty where it is.

    `there` are the quantities that the exchange holds, None where it has to be asked. Executions
    of such an exchange may come late and be booked after later ones: quantities, fees and funding
    are the same in any order, profits and costs only together, so that these are compared.
    """
    folded = fold(account, state.ledger.deposit, fills, payments)
    positions = [p for p in state.positions.values() if not p.is_flat]
    held = {position.symbol: position.quantity for position in positions}
    paid = {position.symbol: position.cost for position in positions}
    if held != folded.quantities:
        return (
            f"{account}: positions {_amounts(held)} are not the sum of the fills "
            f"{_amounts(folded.quantities)}"
        )
    if there is None:
        return _in_any_order(account, state.ledger, paid, folded)
    if paid != folded.costs:
        return (
            f"{account}: the cost of positions {_amounts(paid)} is not the sum of the fills "
            f"{_amounts(folded.costs)}"
        )
    if held != there:
        return f"{account}: positions {_amounts(held)} are not what the exchange holds"
    if state.ledger != folded.ledger:
        return (
            f"{account}: balance {state.ledger.balance} is not the sum of fills, fees and funding "
            f"{folded.ledger.balance}"
        )
    return ""


def _in_any_order(account: str, ledger: Ledger, paid: Mapping[str, Decimal], folded: Fold) -> str:
    here, there = _cash(ledger, paid), _cash(folded.ledger, folded.costs)
    if here == there:
        return ""
    names = ("realized less cost", "fees", "funding")
    wrong = [
        f"{name} {ours} in the books, {theirs} by the fills"
        for name, ours, theirs in zip(names, here, there, strict=True)
        if ours != theirs
    ]
    return f"{account}: {', '.join(wrong)}"


def _cash(ledger: Ledger, costs: Mapping[str, Decimal]) -> tuple[Decimal, Decimal, Decimal]:
    return ledger.realized - sum(costs.values(), ZERO), ledger.fees, ledger.funding


def _amounts(quantities: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {amount}" for symbol, amount in quantities.items()) or "none"
