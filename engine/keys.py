"""Keys for one purpose each, derived from the desk's one secret."""

import hashlib
import hmac

_LENGTH_BYTES = 4


def derive(secret: bytes, purpose: str, *parts: str) -> bytes:
    """A key of 32 bytes, for this purpose and these parts alone; it tells nothing of the secret."""
    return hmac.digest(secret, framed(purpose, *parts), hashlib.sha256)


def framed(*parts: str) -> bytes:
    """The parts as bytes, each behind its length: no other parts give the same."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    return b"".join(len(part).to_bytes(_LENGTH_BYTES) + part for part in encoded)
