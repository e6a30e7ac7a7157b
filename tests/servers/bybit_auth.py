"""Who may ask the local Bybit for what, and how often."""

import hmac
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256

from tests.servers.bybit_rules import Refusal
from tests.servers.bybit_world import World

# A timestamp may be this far ahead of the server's clock, in ms.
AHEAD_MS = 1_000
RECV_WINDOW_MS = 5_000


@dataclass(frozen=True)
class ApiKey:
    """A key of an account; keys with one `uid` share it, and the first one's `balance` (USDT).

    `expires` is in UTC ms. A `read_only` key may ask but change nothing; `trades` and `withdraws`
    are permissions; `ips` the addresses it is bound to, none for any.
    """

    key: str = "key-1"
    secret: str = "secret-1"
    uid: str = "1001"
    balance: Decimal = Decimal(10_000)
    read_only: bool = False
    trades: bool = True
    withdraws: bool = False
    expires: int | None = None
    ips: tuple[str, ...] = ()

    def sign(self, text: str) -> str:
        return hmac.new(self.secret.encode(), text.encode(), sha256).hexdigest()

    def row(self) -> dict[str, object]:
        """The result of `user/query-api`."""
        trading = ["Order", "Position"] if self.trades else []
        wallet = ["AccountTransfer", *(["Withdraw"] if self.withdraws else [])]
        nothing = ("Spot", "Options", "CopyTrading", "BlockTrade", "NFT", "Affiliate", "Earn",
                   "FiatP2P", "FiatConvertBroker", "FiatGlobalPay", "FiatBitPay", "BitCard",
                   "ByXPost")  # fmt: skip
        return {
            "id": "2208369", "note": "local", "apiKey": self.key, "readOnly": int(self.read_only),
            "secret": "",
            "permissions": {
                **{name: [] for name in nothing}, "ContractTrade": trading, "Wallet": wallet,
                "Derivatives": ["DerivativesTrade"] if self.trades else [],
                "Exchange": ["ExchangeHistory"],
            },
            "ips": list(self.ips) or ["*"], "type": 1, "deadlineDay": 90,
            "expiredAt": "2030-01-01T00:00:00Z", "createdAt": "2024-10-13T03:20:45Z", "unified": 0,
            "uta": 1, "userID": int(self.uid), "inviterID": 0, "vipLevel": "No VIP",
            "mktMakerLevel": "0", "affiliateID": 0, "rsaPublicKey": "", "isMaster": True,
            "parentUid": "0", "kycLevel": "LEVEL_1", "kycRegion": "NLD", "userIDInt64": self.uid,
            "inviterIDInt64": "0", "affiliateIDInt64": "0",
        }  # fmt: skip


class Keys:
    """Checks what is signed; each check raises Refusal."""

    def __init__(self, world: World, keys: Iterable[ApiKey]) -> None:
        self._world = world
        self.known = {key.key: key for key in keys}

    def of_request(self, headers: Mapping[str, str], payload: str, address: str | None) -> ApiKey:
        """Whose request it is; the order of the checks is Bybit's."""
        stamp, name = headers.get("X-BAPI-TIMESTAMP", ""), headers.get("X-BAPI-API-KEY", "")
        signature = headers.get("X-BAPI-SIGN", "")
        if not (stamp and name and signature):
            text = f"empty value: apiTimestamp[{stamp}] apiKey[{name}] apiSignature[{signature}]"
            raise Refusal(10_001, text)
        window = headers.get("X-BAPI-RECV-WINDOW") or str(RECV_WINDOW_MS)
        self._check_time(stamp, window)
        key = self._live(name)
        origin = f"{stamp}{name}{window}{payload}"
        if not hmac.compare_digest(key.sign(origin), signature):
            raise Refusal(10_004, f"error sign! origin_string[{origin}]")
        if key.ips and address not in key.ips:
            raise Refusal(10_010, "Unmatched IP, please check your API key's bound IP addresses.")
        return key

    def of_stream(self, name: object, expires: object, signature: object) -> ApiKey | None:
        """Whose stream it is, or None for nobody's."""
        key = self.known.get(str(name))
        if key is None or not isinstance(expires, int | str) or not str(expires).isdecimal():
            return None
        good = hmac.compare_digest(key.sign(f"GET/realtime{expires}"), str(signature))
        dead = key.expires is not None and key.expires <= self._world.now()
        return key if good and not dead and int(expires) > self._world.now() else None

    def _check_time(self, stamp: str, window: str) -> None:
        now = self._world.now()
        if not (stamp.isdecimal() and window.isdecimal()):
            raise Refusal(10_001, "Request parameter error.")
        if not now - int(window) <= int(stamp) < now + AHEAD_MS:
            raise Refusal(
                10_002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{stamp}],server_timestamp[{now}],recv_window[{window}]",
            )

    def _live(self, name: str) -> ApiKey:
        key = self.known.get(name)
        if key is None:
            raise Refusal(10_003, "API key is invalid.")
        if key.expires is not None and key.expires <= self._world.now():
            raise Refusal(33_004, "Your api key has expired.")
        return key


class Rates:
    """Requests of each account to each path in a rolling second of the server's monotonic time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stamps: dict[tuple[str, str], deque[float]] = {}

    def spend(self, uid: str, path: str, limit: int) -> tuple[bool, dict[str, str]]:
        """Whether one more is allowed, and the headers that tell what is left."""
        moment, now = self._world.clock.monotonic(), self._world.now()
        stamps = self._stamps.setdefault((uid, path), deque())
        while stamps and stamps[0] <= moment - 1:
            stamps.popleft()
        allowed = len(stamps) < limit or not self._world.faults.limits
        if allowed:
            stamps.append(moment)
        reset = now if allowed else now + max(1, round((stamps[0] + 1 - moment) * 1000))
        headers = {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(max(limit - len(stamps), 0)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset),
        }
        return allowed, headers
