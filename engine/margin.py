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
