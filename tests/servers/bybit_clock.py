"""A clock for tests that feed the local Bybit candles of the past, one after the other."""

import time

from tests.fast_clock import FastClock


class SteppedClock(FastClock):
    """Its time (UTC ms) jumps from candle to candle with `step_to`; between them it runs `drift`
    times as fast as real time.

    Durations and sleeps run `rate` times as fast as real ones and know nothing of the jumps, so
    that a jump of an hour is no hour of silence to anyone who waits. A window of so many ms for
    a request to arrive is real with a `drift` of 1, and so does not depend on a fast machine.
    """

    def __init__(self, now: int, rate: float = 10.0, drift: float = 1.0) -> None:
        super().__init__(rate, now)
        self.drift = drift
        self._base = now
        self._since = time.monotonic()

    def step_to(self, ts: int) -> None:
        """Let it be `ts`, or stay where it is when that has passed."""
        self._base = max(self.now(), ts)
        self._since = time.monotonic()

    def now(self) -> int:
        return self._base + int((time.monotonic() - self._since) * 1000 * self.drift)
