"""One-time codes of authenticator apps (RFC 6238): seeds are derived, and never stored."""

import base64
import hmac

import pyotp

from engine.keys import derive

ISSUER = "Countersign"
STEP_MS = 30_000
# How many steps a clock may be off.
STEPS_OFF = 1
SEED_BYTES = 20


def seed(key: bytes, principal_id: str, generation: int) -> str:
    """The seed (base32, 160 bits) that one person's authenticator holds.

    Another `generation` is another seed: the one before it is good for nothing any more.
    """
    derived = derive(key, "totp seed", principal_id, str(generation))
    return base64.b32encode(derived[:SEED_BYTES]).decode()


def uri(seed: str, name: str) -> str:
    """The otpauth address that an authenticator scans; `name` is what it shows beside the code."""
    return pyotp.TOTP(seed).provisioning_uri(name=name, issuer_name=ISSUER)


def step_of(seed: str, code: str, ts: int) -> int | None:
    """The time step whose code this is, at most one from that of `ts` (UTC ms); None where it is
    none's. The last one where it is the code of several, so that it can't be used again."""
    if not code.isascii():
        return None
    now = ts // STEP_MS
    totp = pyotp.TOTP(seed)
    # Every step is compared, whichever matches: how long it takes tells nothing.
    steps = [
        step
        for step in range(max(now - STEPS_OFF, 0), now + STEPS_OFF + 1)
        if hmac.compare_digest(totp.generate_otp(step), code)
    ]
    return max(steps, default=None)
