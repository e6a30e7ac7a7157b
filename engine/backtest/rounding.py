"""Prices and quantities in the steps of an instrument, as engine.instrument rounds them."""

from math import ceil, floor

from engine.backtest.records import Symbol
from engine.instrument import ROUNDING_SLACK


def price_down(symbol: Symbol, price: float) -> float:
    steps = floor(price / symbol.tick + ROUNDING_SLACK)
    return steps * symbol.tick_units / symbol.tick_scale


def price_up(symbol: Symbol, price: float) -> float:
    steps = ceil(price / symbol.tick - ROUNDING_SLACK)
    return steps * symbol.tick_units / symbol.tick_scale


def quantity_down(symbol: Symbol, quantity: float) -> float:
    steps = floor(quantity / symbol.step + ROUNDING_SLACK)
    return steps * symbol.step_units / symbol.step_scale


def slipped(symbol: Symbol, side: float, price: float, slippage: float) -> float:
    """The price of an order that buys (side above 0) or sells, after slippage, on the tick."""
    if side > 0.0:
        return price_up(symbol, price * (1.0 + slippage))
    return price_down(symbol, price * (1.0 - slippage))


def toward(symbol: Symbol, side: float, price: float) -> float:
    """The price on the tick; against whoever sells (side below 0) or buys."""
    return price_up(symbol, price) if side > 0.0 else price_down(symbol, price)
