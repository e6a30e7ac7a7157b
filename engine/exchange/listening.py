"""What the private stream of an account tells, row by row: a bad row never hides the next one."""

from collections.abc import Callable
from typing import TypeVar

from engine.bybit import private_parse
from engine.bybit.account import Unread, VenueExecution, VenueOrder, VenuePosition
from engine.bybit.parse import Fields
from engine.bybit.stream import (
    Connected,
    Disconnected,
    LoginRefused,
    Message,
    StreamEvent,
    TopicRefused,
)
from engine.exchange.link import Cause, Link

TOPICS = ("order", "execution", "position", "wallet")
# What a row that is not as it should be may raise in whoever takes it.
POISON = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)

T = TypeVar("T")


class Listener:
    """Hands what a private stream tells to those who follow orders, executions and positions."""

    def __init__(
        self,
        link: Link,
        *,
        on_connected: Callable[[], None],
        on_execution: Callable[[VenueExecution], None],
        on_order: Callable[[VenueOrder], None],
        on_position: Callable[[VenuePosition], None],
        on_unread: Callable[[Unread], None],
    ) -> None:
        self._link = link
        self._on_connected = on_connected
        self._on_unread = on_unread
        self._readers: dict[str, Callable[[Fields], None]] = {
            "execution": _reader(private_parse.execution, on_execution),
            "order": _reader(private_parse.order, on_order),
            "position": _reader(private_parse.position, on_position),
        }

    def handle(self, event: StreamEvent) -> None:
        """Take one thing that the stream tells."""
        match event:
            case Message(topic=topic, data=data) if topic in self._readers:
                self._take(topic, data)
            case Connected():
                self._link.connected()
                self._on_connected()
            case Disconnected(reason):
                self._link.fails(Cause.OFFLINE, f"the connection was lost: {reason}")
                self._link.mends(Cause.TOPIC)
            case LoginRefused(reason):
                self._link.fails(Cause.KEY, f"the exchange refuses the API key: {reason}")
            case TopicRefused(topic, reason):
                self._link.fails(Cause.TOPIC, f"the exchange does not tell of {topic}: {reason}")
            case _:
                pass

    def _take(self, topic: str, data: object) -> None:
        try:
            rows = private_parse.linear(data)
        except ValueError as error:
            self._unreadable(topic, {}, data, error)
            return
        for row in rows:
            try:
                self._readers[topic](row)
            except POISON as error:
                self._unreadable(topic, row, row, error)

    def _unreadable(self, topic: str, row: Fields, raw: object, error: Exception) -> None:
        why = f"{topic}: {type(error).__name__}: {error}"
        self._on_unread(private_parse.unread(row, why, raw))


def _reader(read: Callable[[Fields], T], take: Callable[[T], None]) -> Callable[[Fields], None]:
    return lambda row: take(read(row))
