"""What can go wrong with the local Bybit: everything here can be changed while it runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from random import Random
from typing import TypeVar

ACK_S = 0.03

T = TypeVar("T")


@dataclass
class Fault:
    """How a request fails: its answer is a status, a code, a body, a cut, or never comes.

    With `after` it is carried out all the same. `late_s` is how long it is on its way to the
    server, which judges it by its time of arrival; `slow_s` how long its answer is; the two
    alone change no answer.
    """

    status: int = 200
    code: int = 0
    message: str = "fault"
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    drop: bool = False
    after: bool = False
    late_s: float = 0.0
    slow_s: float = 0.0

    @property
    def spoils(self) -> bool:
        """Whether the true answer is not given."""
        late_only = self.late_s > 0 or self.slow_s > 0
        wrong = self.status != 200 or self.code != 0 or self.body is not None
        return wrong or self.hang or self.drop or not late_only


@dataclass(frozen=True)
class Call:
    """A signed request: `number` counts those to the same path, from 1 on."""

    path: str
    uid: str
    params: Mapping[str, object]
    number: int


@dataclass(frozen=True)
class Pushed:
    """A message on its way to one private connection."""

    uid: str
    topic: str
    message: Mapping[str, object]


class Fate(Enum):
    """What becomes of a message of the private stream."""

    DELIVER = auto()
    LOSE = auto()
    TWICE = auto()
    LATE = auto()
    # It is sent after the next one.
    SWAP = auto()
    # Something that is not JSON is sent before it.
    GARBLE = auto()
    # The connection is cut instead.
    CUT = auto()


@dataclass
class Faults:
    """What is wrong with the server.

    `rest` fails any request by its path, `private` a signed one; `fate` decides on each private
    message. `push_first` lets the private stream tell of an order before the answer to the
    request is sent. Changes show in answers to reads `lag_s` after they were made.
    """

    rest: Callable[[str], Fault | None] = lambda path: None
    ack_s: float = ACK_S
    mute_acks: bool = False
    mute_pongs: bool = False
    silent: bool = False
    refused: frozenset[str] = frozenset()
    skip: Callable[[str, int], bool] = lambda symbol, ts: False
    absent: Callable[[str, int], bool] = lambda symbol, ts: False
    duplicate: bool = False
    reorder: bool = False
    skew_ms: int = 0
    tickers: bool = True
    private: Callable[[Call], Fault | None] = lambda call: None
    fate: Callable[[Pushed], Fate] = lambda pushed: Fate.DELIVER
    late_s: float = 1.0
    push_first: bool = False
    private_silent: bool = False
    lag_s: float = 0.0
    limits: bool = True


def dice(rng: Random, faces: Sequence[tuple[float, T]], otherwise: T) -> Callable[[object], T]:
    """A fault that comes by chance: each of `faces` with its probability, else `otherwise`.

    For `Faults.private` and `Faults.fate`, e.g. `dice(Random(1), [(0.02, Fate.LOSE)],
    Fate.DELIVER)`.
    """

    def roll(asked: object) -> T:
        left = rng.random()
        for probability, face in faces:
            left -= probability
            if left < 0:
                return face
        return otherwise

    return roll
