"""An API key of Bybit's, and what is signed with it."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.bybit.parse import Fields

# How long a login is good for: enough for a clock that is off by some seconds.
LOGIN_MS = 10_000
# Shorter texts are not searched for: they would be found in everything.
REDACTED_MIN = 4
REDACTED = "[redacted]"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and its secret; neither is ever shown."""

    key: str = field(repr=False)
    secret: str = field(repr=False)

    def redact(self, text: str) -> str:
        """A text without them: Bybit's own messages may repeat the key."""
        for part in (self.key, self.secret):
            if len(part) >= REDACTED_MIN:
                text = text.replace(part, REDACTED)
        return text

    def sign(self, text: str) -> str:
        """HMAC-SHA256 in hexadecimal digits, as Bybit's documentation of authentication says."""
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def login(key: ApiKey, now: Callable[[], int]) -> Callable[[], Fields]:
    """Makes the frame that opens a private stream, anew at each call; `now` is Bybit's time."""

    def frame() -> Fields:
        expires = now() + LOGIN_MS
        signature = key.sign(f"GET/realtime{expires}")
        return {"req_id": "login", "op": "auth", "args": [key.key, expires, signature]}

    return frame
