"""Tokens: what a button that decides a proposal carries, good in one place and for one row of it.

28 bytes say what is decided, 16 bytes seal them together with the place and the proposal's digest:

    version(1) | action(1) | proposal id(8) | user id(8, 0 = anybody permitted) |
    expiry(4, whole seconds, rounded up) | nonce(6)

In base64url without padding that is 59 characters, which every platform takes as a button's data.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from itertools import product

from engine.errors import Broken
from engine.keys import derive, framed
from engine.mail import Address
from engine.proposal import Proposal
from engine.tunable import Tier
from handlers import cards
from handlers.reply import Decides

LENGTH = 59
VERSION = 1
# Big-endian, without gaps. Ids of proposals are signed, as databases keep them.
_BODY = struct.Struct(">BBqQI6s")
_NONCE_BYTES = 6
_MAC_BYTES = 16
_USER_ID_MAX = 2**64 - 1
# By the byte that stands for them; nothing green is ever decided.
_ACTIONS = tuple(product((Tier.YELLOW, Tier.RED), (False, True)))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token says it is for, which only `Tokens.verify` can confirm.

    `user_id` is empty where anybody permitted may use it; `expires_at` is UTC ms, at most a
    second after the proposal's own.
    """

    proposal_id: int
    approves: bool
    tier: Tier
    user_id: str
    expires_at: int


def tokens_key(secret: bytes, mode: str, market: str) -> bytes:
    """The key of one desk's tokens: in another mode or market they are worth nothing."""
    return derive(secret, "decision token", mode, market)


def read(data: str) -> Claim | None:
    """What a token claims; None for anything that is not written exactly as `make` does."""
    body = _body(data)
    if body is None:
        return None
    version, action, proposal_id, user_id, expires_s, _ = _BODY.unpack(body)
    if version != VERSION or action >= len(_ACTIONS) or proposal_id < 1:
        return None
    tier, approves = _ACTIONS[action]
    return Claim(proposal_id, approves, tier, str(user_id or ""), expires_s * 1000)


class Tokens:
    """Makes tokens and knows them again; `key` as `tokens_key` gives it."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, decides: Decides, address: Address, user_id: str) -> str:
        """The token of a button that is posted to `address`, for one user of that platform, or
        for anybody permitted where `user_id` is empty."""
        body = _BODY.pack(
            VERSION,
            _ACTIONS.index((decides.tier, decides.approves)),
            decides.proposal_id,
            _user_number(user_id),
            -(-decides.expires_at // 1000),
            _nonce(decides),
        )
        place = framed(address.surface, address.chat_id, address.thread_id, decides.digest)
        mac = hmac.digest(self._key, body + place, hashlib.sha256)[:_MAC_BYTES]
        return base64.urlsafe_b64encode(body + mac).decode().rstrip("=")

    def verify(self, data: str, proposal: Proposal, address: Address, user_id: str) -> bool:
        """Whether `make` made this very token for the proposal, in this place, for this user.

        Everything that it says is taken from the proposal itself and written again. Whether the
        proposal is still open, and whether the user may decide it, is not judged here.
        """
        claim = read(data)
        if claim is None or claim.tier is not proposal.tier:
            return False
        expected = self.make(cards.decides(proposal, claim.approves), address, claim.user_id)
        return hmac.compare_digest(expected, data) and claim.user_id in ("", user_id)


def _body(data: str) -> bytes | None:
    """The part of a token that is sealed, where the whole is well written."""
    if len(data) != LENGTH:
        return None
    try:
        decoded = base64.b64decode(f"{data}=", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # Several texts decode to the same bytes, one of them is ours.
    if base64.urlsafe_b64encode(decoded).decode() != f"{data}=":
        return None
    return decoded[: _BODY.size]


def _nonce(decides: Decides) -> bytes:
    """Of the proposal's nonce and digest: another proposal's is another one, whatever its id."""
    parts = framed("token nonce", decides.nonce, decides.digest)
    return hashlib.sha256(parts).digest()[:_NONCE_BYTES]


def _user_number(user_id: str) -> int:
    """A platform's numeric id; 0 for nobody in particular, which no platform gives anybody."""
    if not user_id:
        return 0
    number = int(user_id) if user_id.isascii() and user_id.isdecimal() else 0
    if str(number) != user_id or not 0 < number <= _USER_ID_MAX:
        raise Broken(f"user id: {user_id!r} can't be in a token. Allowed: 1 to {_USER_ID_MAX}.")
    return number
