"""How fast a bot may send: Telegram's published guidance, kept account of."""

from dataclasses import dataclass

# Two sends that left in time may arrive a little closer together.
TOLERANCE_S = 0.05


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` messages within any `seconds`."""

    count: int
    seconds: float


PER_CHAT = Limit(1, 1.0)
PER_GROUP = Limit(20, 60.0)
OVER_ALL = Limit(30, 1.0)


@dataclass(frozen=True, slots=True)
class Send:
    """A message that a bot sent, `at` seconds of the clock that never goes back."""

    at: float
    chat_id: int


class Pace:
    """Every send, and what of it was too fast."""

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.too_fast: list[str] = []

    def wait(self, chat_id: int, is_group: bool, now: float) -> float:
        """How many seconds too early a further message to the chat would be; 0 if it may go."""
        everywhere = [send.at for send in self.sends]
        in_chat = [send.at for send in self.sends if send.chat_id == chat_id]
        waits = [_wait(in_chat, PER_CHAT, now), _wait(everywhere, OVER_ALL, now)]
        if is_group:
            waits.append(_wait(in_chat, PER_GROUP, now))
        return max(waits)

    def record(self, chat_id: int, is_group: bool, now: float) -> None:
        if wait := self.wait(chat_id, is_group, now):
            self.too_fast.append(f"chat {chat_id}: {wait:.2f} s too early at {now:.2f}")
        self.sends.append(Send(now, chat_id))


def _wait(times: list[float], limit: Limit, now: float) -> float:
    if len(times) < limit.count:
        return 0
    wait = times[-limit.count] + limit.seconds - now
    return wait if wait > TOLERANCE_S else 0
