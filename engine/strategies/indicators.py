"""Streaming indicators: pure float functions over their own last value."""


def ema(previous: float, close: float, count: float, length: float) -> float:
    """The exponential moving average after its `count`-th value (1 for the first).

    Seeded with the plain mean of the first `length` values, as TA-Lib does.
    """
    if count <= length:
        return previous + (close - previous) / count
    return previous + (close - previous) * (2.0 / (length + 1.0))
