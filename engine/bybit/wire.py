"""Bybit's REST through pybit, on a thread of its own: what was answered, or what went wrong.

pybit blocks and would sleep on its own account, so its retries are off: the pace, the waits
and the errors are ours. What an error means is not known here.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import structlog

from engine.bybit import parse
from engine.bybit.sign import ApiKey
from engine.errors import CountersignError, Unreachable
from engine.ports import Clock

if TYPE_CHECKING:
    from pybit.unified_trading import HTTP  # type: ignore[import-untyped]  # it has no types

# A desk that is told to end has 10 s; a request that hangs holds it up no longer than this.
TIMEOUT_S = 5.0
# Waits after a refusal for coming too often when it does not say how long, and at most.
HELD_S = 2.0
HELD_MIN_S = 0.1
HELD_MAX_S = 10.0
RESET_HEADER = "X-Bapi-Limit-Reset-Timestamp"
# Measurements of the server's clock that are kept.
OFFSETS = 9
# What a check may raise that pybit, or we, would take for a failure of the request.
FAULTS = (
    ArithmeticError,
    AttributeError,
    CountersignError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)

log = structlog.get_logger()

Query = Mapping[str, str | int | bool]
Headers = Mapping[str, str]
# Asked on the wire's thread when all is signed; what it says is why nothing is sent.
Check = Callable[[], str]


class Answer(NamedTuple):
    """A body with Bybit's code 0, and when it was asked for and came, by our clock."""

    body: object
    headers: Headers
    sent: int
    received: int


@dataclass(eq=False)
class Refusal(Exception):
    """An answer that is an error: `status` is Bybit's code, or HTTP's where `http` is set."""

    status: int
    http: bool
    message: str
    headers: Headers


@dataclass(eq=False)
class NoAnswer(Exception):
    """There is no usable answer; `sent` is false where the request surely did not go out."""

    reason: str
    sent: bool


@dataclass(eq=False)
class Stopped(Exception):
    """The check had a reason not to send the request, so nothing was sent."""

    reason: str


class ServerClock:
    """Bybit's time, as far as it was measured."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offsets: deque[int] = deque(maxlen=OFFSETS)
        # How far Bybit's clock is ahead of ours, in ms: the median of the last measurements.
        self.offset_ms = 0

    @property
    def measured(self) -> bool:
        return bool(self._offsets)

    def forget(self) -> None:
        """Let what was measured go, which proved wrong."""
        self._offsets.clear()

    def now(self) -> int:
        """UTC ms; may be asked on any thread."""
        return self._clock.now() + self.offset_ms

    def measure(self, answer: Answer) -> int:
        """Bybit's time (UTC ms) by an answer of `get_server_time`; raises ValueError for none."""
        result = parse.fields(parse.fields(answer.body).get("result"))
        server = parse.stamp(result.get("timeNano")) // 1_000_000
        self._offsets.append(server - (answer.sent + answer.received) // 2)
        self.offset_ms = round(median(self._offsets))
        return server


@dataclass(frozen=True, slots=True)
class Signing:
    """What requests about an account are signed with; `recv_window` (ms) is never widened."""

    key: ApiKey
    now: Callable[[], int]
    recv_window: int


def held_s(headers: Headers, server_now: int) -> float:
    """Seconds until Bybit counts anew, by the headers of a refusal for coming too often."""
    try:
        wait = (parse.stamp(headers.get(RESET_HEADER)) - server_now) / 1000
    except ValueError:
        wait = HELD_S
    return min(max(wait, HELD_MIN_S), HELD_MAX_S)


def unusable(error: ValueError) -> Unreachable:
    return Unreachable(f"Bybit's answer makes no sense: {error}")


class Wire:
    """The door to one server, e.g. `https://api.bybit.com`; one request at a time."""

    def __init__(
        self, base: str, clock: Clock, name: str, timeout_s: float, signing: Signing | None = None
    ) -> None:
        self._base = base.rstrip("/")
        self._clock = clock
        self._timeout_s = timeout_s
        self._signing = signing
        self._worker = ThreadPoolExecutor(1, name)
        self._http: HTTP | None = None
        self._check: Check | None = None
        self._closed = False

    async def send(self, method: str, query: Query, check: Check | None = None) -> Answer:
        """Call a method of pybit's, once. Raises Refusal, NoAnswer, Stopped."""
        if self._closed:
            raise NoAnswer("The connection to Bybit is closed.", sent=False)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._call, method, query, check)

    def close(self) -> None:
        """Let the connections and the thread go; a request on its way is not waited for."""
        if not self._closed:
            self._closed = True
            self._worker.submit(self._disconnect)
            self._worker.shutdown(wait=False)

    # -- on the worker's thread, the only one that touches pybit -----------------------------

    def _disconnect(self) -> None:
        if self._http is not None:
            self._http.client.close()

    def _call(self, method: str, query: Query, check: Check | None) -> Answer:
        from pybit.exceptions import (  # type: ignore[import-untyped]  # it has no types
            FailedRequestError,
            InvalidRequestError,
        )

        http = self._http = self._http or self._connect()
        self._check = check
        sent = self._clock.now()
        # No cause is kept: pybit's errors repeat the request, and Bybit's texts the key.
        try:
            body, _, headers = getattr(http, method)(**query)
        except (FailedRequestError, InvalidRequestError) as error:
            raise self._refusal(error, isinstance(error, FailedRequestError)) from None
        except OSError as error:
            reason = f"Bybit does not answer ({type(error).__name__})."
            raise NoAnswer(reason, not _surely_unsent(error)) from None
        # Over an answer that is no object, or lacks its fields, pybit stumbles.
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            reason = self._redacted(f"Bybit's answer makes no sense: {error!r:.200}")
            raise NoAnswer(reason, sent=True) from None
        return Answer(body, headers, sent, self._clock.now())

    def _refusal(self, error: object, of_http: bool) -> Exception:
        status, message = getattr(error, "status_code", None), str(getattr(error, "message", ""))
        if isinstance(status, bool) or not isinstance(status, int):
            return NoAnswer(f"Bybit's answer makes no sense: its code is {status!r:.40}", sent=True)
        headers = getattr(error, "resp_headers", None) or {}
        return Refusal(status, of_http, self._redacted(message), headers)

    def _redacted(self, text: str) -> str:
        return self._signing.key.redact(text) if self._signing else text

    def _connect(self) -> "HTTP":
        from pybit.unified_trading import HTTP

        options = {
            "timeout": self._timeout_s,
            "max_retries": 1,
            # An empty set would bring pybit's own back, and every number may be a code of Bybit's.
            "retry_codes": {"none"},
            "force_retry": False,
            "return_response_headers": True,
        }
        http = HTTP(**options) if self._signing is None else self._signed(self._signing, options)
        http.endpoint = self._base
        http.client.trust_env = False
        # A redirection would send the request a second time.
        http.client.max_redirects = 0
        # It would keep what Bybit says, which may repeat the key.
        http.logger.disabled = True
        return http

    def _signed(self, signing: Signing, options: dict[str, object]) -> "HTTP":
        from pybit.unified_trading import HTTP

        wire = self

        class Signed(HTTP):  # type: ignore[misc]  # it has no types
            """pybit with our time in its signature, which it would take from the system."""

            def _prepare_headers(
                self, payload: str, recv_window: int, content_type: str = "application/json"
            ) -> dict[str, str]:
                stamp = signing.now()
                signed = f"{stamp}{signing.key.key}{recv_window}{payload}"
                headers = {
                    "Content-Type": content_type,
                    "X-BAPI-API-KEY": signing.key.key,
                    "X-BAPI-SIGN": signing.key.sign(signed),
                    "X-BAPI-SIGN-TYPE": "2",
                    "X-BAPI-TIMESTAMP": str(stamp),
                    "X-BAPI-RECV-WINDOW": str(recv_window),
                }
                wire.ask_check()
                return headers

        return Signed(
            api_key=signing.key.key,
            api_secret=signing.key.secret,
            recv_window=signing.recv_window,
            **options,
        )

    def ask_check(self) -> None:
        """Raises Stopped where the check of the present request has a reason against it, or fails
        itself: nothing is sent then either."""
        if self._check is None:
            return
        try:
            reason = self._check()
        except FAULTS as error:
            # No traceback: pybit's part of it holds the key.
            log.error("bybit: nobody can say whether an order may be sent", error=repr(error))
            reason = f"Nobody can say whether it may be sent ({type(error).__name__})."
        if reason:
            raise Stopped(reason)


def _surely_unsent(error: OSError) -> bool:
    """Whether no connection came about: no address was found, or nobody is there."""
    from requests.exceptions import ConnectTimeout
    from urllib3.exceptions import NewConnectionError

    cause = error.args[0] if error.args else None
    return isinstance(error, ConnectTimeout) or isinstance(
        getattr(cause, "reason", None), NewConnectionError
    )
