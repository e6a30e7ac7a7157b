"""How much to trade: the float rules that paper, live and backtest share."""

from typing import NamedTuple


class Sizing(NamedTuple):
    """How large a position is, and how many there may be.

    By default a position binds the fraction `margin` of equity, never more than `margin_cap`,
    and trades `leverage` times that. With `fixed` it is so much quote currency; with `risk` so
    large that its stop costs that fraction of equity. `share_cap` bounds its notional as a
    fraction of equity. At most `slots` positions are open at once (0: one a symbol); with
    `free_at_break_even` 1 one whose stop stands beyond its entry takes none. `free_min` is the
    free margin in quote currency that an entry must find.
    """

    margin: float
    margin_cap: float
    leverage: int
    fixed: float = 0.0
    risk: float = 0.0
    share_cap: float = 0.0
    slots: int = 0
    free_at_break_even: int = 0
    free_min: float = 0.0


def notional(sizing: Sizing, equity: float, stop: float) -> float:
    """The wanted size of a position in quote currency; `stop` is the distance of its stop as a
    fraction of the price, 0 where it has none."""
    if sizing.fixed > 0.0:
        wanted = sizing.fixed
    elif sizing.risk > 0.0 and stop > 0.0:
        wanted = equity * sizing.risk / stop
    else:
        wanted = equity * min(sizing.margin, sizing.margin_cap) * sizing.leverage
    if sizing.share_cap > 0.0:
        wanted = min(wanted, equity * sizing.share_cap)
    return wanted
