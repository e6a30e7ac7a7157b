"""A model as the desk sees it: what is sent, what comes back, and every way in which it fails.

The one seam between the desk and whatever SDK speaks to a model; drivers differ in nothing else.
Nothing here can act: a model's calls of tools are data, which whoever asked looks at.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from engine.errors import CountersignError


class Speaker(StrEnum):
    USER = "user"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Function:
    """A tool that a model may call. `parameters` is a JSON schema of type object, made of `type`,
    `description`, `enum`, `properties`, `required` and `items` alone."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A model's wish to have a tool called. `call_id` is its own, empty where it gave none."""

    name: str
    arguments: Mapping[str, Any]
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class FunctionResult:
    """What a tool said, to go back to the model."""

    name: str
    result: Mapping[str, Any]
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation: words, calls of tools (by the model), or what they said.

    `raw` is the driver's own record of a model's turn. It goes back as it came: newer models sign
    their thoughts, and refuse calls whose signature is missing.
    """

    speaker: Speaker
    text: str = ""
    calls: tuple[FunctionCall, ...] = ()
    results: tuple[FunctionResult, ...] = ()
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model. With a `schema` (as of `Function.parameters`, of any type) the answer is
    JSON; a model that thinks does so within `output_tokens_max`."""

    system: str
    turns: tuple[Turn, ...]
    functions: tuple[Function, ...] = ()
    schema: Mapping[str, Any] | None = None
    output_tokens_max: int = 4_096
    temperature: float = 0.2


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were paid for; thoughts count as output."""

    prompt_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered: a turn with words or with calls of tools; never neither."""

    turn: Turn
    usage: Usage
    model: str

    @property
    def text(self) -> str:
        return self.turn.text


class Fault(StrEnum):
    """Every way in which there is no answer."""

    NO_KEY = "no key"
    BAD_KEY = "bad key"
    NO_SDK = "no library"
    UNKNOWN_MODEL = "unknown model"
    REGION = "region refused"
    TOO_LONG = "prompt too long"
    BAD_REQUEST = "request refused"
    EMPTY = "empty answer"
    CUT_OFF = "answer cut off"
    NOT_JSON = "answer not JSON"
    INVALID = "answer not as asked for"
    BLOCKED = "blocked by safety"
    RATE = "too many calls"
    QUOTA = "quota exhausted"
    OVERLOADED = "model overloaded"
    TIMEOUT = "no answer in time"
    UNREACHABLE = "not reachable"
    DAILY_CAP = "daily cap reached"
    MONTHLY_CAP = "monthly cap reached"
    OWN_RATE = "own rate reached"
    RESTING = "resting after failures"


# What may be different a moment later: the same call is sent again.
PASSING = frozenset({Fault.RATE, Fault.OVERLOADED, Fault.TIMEOUT, Fault.UNREACHABLE})


class ModelFailed(CountersignError):
    """There is no answer; `str()` is the sentence shown to the person, without secrets.

    `retry_after` is how many seconds the other side wants to be left alone, None where it did not
    say. `usage` is what was paid for all the same, as for an answer that was blocked. `sent` is
    False where the request surely never got there, and so can't have cost anything.
    """

    def __init__(
        self,
        fault: Fault,
        words: str,
        *,
        retry_after: float | None = None,
        usage: Usage = Usage(),
        sent: bool = True,
    ) -> None:
        super().__init__(words)
        self.fault = fault
        self.retry_after = retry_after
        self.usage = usage
        self.sent = sent


class Model(Protocol):
    """Whoever answers a request. Tools are never carried out here."""

    @property
    def name(self) -> str: ...

    @property
    def driver(self) -> str: ...

    async def answer(self, request: Request, timeout_s: float) -> Response:
        """One call, tried once. Raises ModelFailed."""
        ...

    async def check(self) -> str:
        """What the other side calls the model, if the key is good for it. Raises ModelFailed."""
        ...

    async def close(self) -> None: ...
