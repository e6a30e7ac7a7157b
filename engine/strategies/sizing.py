"""How much to trade: the float rules that paper, live and backtest share."""

from typing import NamedTuple


class Sizing(NamedTuple):
    """`margin` is the fraction of equity bound per position, `margin_cap` the fraction that
    no setting may pass, `leverage` the multiple traded on it."""

    margin: float
    margin_cap: float
    leverage: int


def notional(sizing: Sizing, equity: float) -> float:
    """The wanted size of a position in quote currency."""
    return equity * min(sizing.margin, sizing.margin_cap) * sizing.leverage
