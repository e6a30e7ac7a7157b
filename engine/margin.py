"""How much margin a position must keep: what liquidation rests on."""

# Maintenance margin as a share of the initial margin, by leverage: a position is liquidated
# once its loss has eaten all but this share.
MAINTENANCE = ((5, 0.01), (10, 0.025), (20, 0.05), (50, 0.10), (100, 0.125))
MAINTENANCE_ABOVE = 0.15


def maintenance(leverage: int) -> float:
    """The share of the initial margin that must be left, by leverage."""
    for limit, share in MAINTENANCE:
        if leverage <= limit:
            return share
    return MAINTENANCE_ABOVE


def liquidation(average_price: float, sign: int, leverage: int) -> float:
    """The price at which an isolated position has lost all but its maintenance margin.

    `sign` is +1 for long, -1 for short; `average_price` is in quote currency, and so is the answer.
    """
    return alarm_price(average_price, sign, leverage, 1.0)


def alarm_price(average_price: float, sign: int, leverage: int, level: float) -> float:
    """The price at which what is left of an isolated position's margin is `level` times what must
    be: at 1 it is liquidated.
    """
    loss = (1.0 - level * maintenance(leverage)) / leverage
    return average_price * (1.0 - sign * loss)
