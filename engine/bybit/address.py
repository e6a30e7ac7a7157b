"""What all requests of this machine share at Bybit: one budget, and one ban."""

from engine.errors import Unreachable
from engine.pace import Pace
from engine.ports import Clock

# Bybit allows an address 600 requests in 5 s; other programs may share the address.
REQUESTS = 300
REQUESTS_S = 5.0
# What Bybit asks for after HTTP 403.
BANNED_S = 600.0


class Address:
    """The address that this machine has for Bybit; all who send from it should share one.

    `pace` is what may be asked of the public market. Requests about an account have budgets of
    their own and are only counted here: they never wait for a download of candles.
    """

    def __init__(self, clock: Clock, count: int = REQUESTS, seconds: float = REQUESTS_S) -> None:
        self._clock = clock
        self.pace = Pace(clock, count, seconds)
        self._banned_until = 0.0

    def ban(self) -> Unreachable:
        """Let nobody send for as long as Bybit asks for after HTTP 403; the error that says so."""
        self._banned_until = self._clock.monotonic() + BANNED_S
        return self._banned(BANNED_S)

    def check(self) -> None:
        """Raises Unreachable while nothing may be sent."""
        left = self._banned_until - self._clock.monotonic()
        if left > 0:
            raise self._banned(left)

    def _banned(self, left: float) -> Unreachable:
        return Unreachable(
            "Bybit has shut this address out (HTTP 403: too many requests, or a country it does "
            f"not serve). Nothing is sent to it for {left / 60:.0f} min."
        )
