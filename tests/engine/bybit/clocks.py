"""A clock for tests with real sockets that a test can also put forward."""

from tests.fast_clock import FastClock


class JumpingClock(FastClock):
    """All who share it are put forward at once; who sleeps goes on sleeping."""

    def __init__(self, rate: float) -> None:
        self._ahead = 0.0
        super().__init__(rate)

    def jump(self, seconds: float) -> None:
        self._ahead += seconds

    def _passed(self) -> float:
        return super()._passed() + self._ahead
