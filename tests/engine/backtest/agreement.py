"""What it means that both speeds agree, in one place."""

from engine.backtest.plan import Outcome

# Of the equity at the start: the fast loop adds floats where the exact one adds decimals.
MONEY_TOLERANCE = 1e-9


def disagreement(fast: Outcome, exact: Outcome) -> str:
    """The first difference between two outcomes of one plan; empty where there is none."""
    near = MONEY_TOLERANCE * fast.plan.deposit
    for one, other in zip(fast.trips, exact.trips, strict=False):
        same = (
            (one.symbol, one.side, one.entry_time, one.exit_time)
            == (other.symbol, other.side, other.entry_time, other.exit_time)
            and (one.entry_tag, one.exit_reason) == (other.entry_tag, other.exit_reason)
            and (one.entry_price, one.exit_price) == (other.entry_price, other.exit_price)
            and one.quantity == other.quantity
            and abs(one.net - other.net) <= near
        )
        if not same:
            return f"trade\n{one}\n{other}"
    if len(fast.trips) != len(exact.trips):
        return f"{len(fast.trips)} trades, {len(exact.trips)} trades"
    if [mark.ts for mark in fast.marks] != [mark.ts for mark in exact.marks]:
        return "the hours differ"
    for mark, other in zip(fast.marks, exact.marks, strict=True):
        if abs(mark.equity - other.equity) > near:
            return f"equity\n{mark}\n{other}"
    held = [(each.symbol, each.side, each.quantity, each.entry_time) for each in fast.held]
    if held != [(each.symbol, each.side, each.quantity, each.entry_time) for each in exact.held]:
        return f"what is held\n{fast.held}\n{exact.held}"
    for name in ("fees", "funding", "balance", "equity"):
        if abs(getattr(fast, name) - getattr(exact, name)) > near:
            return f"{name} {getattr(fast, name)} {getattr(exact, name)}"
    return ""
