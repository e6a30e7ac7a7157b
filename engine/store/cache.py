"""Keeps the mirror of the desk in Redis, for others to read.

The desk never waits for it, and reads nothing back but to see whether somebody changed it: gone,
slow, flushed or lying, it is written anew, and no order differs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Never, Protocol
from urllib.parse import urlsplit

import structlog

from engine.errors import Unreachable
from engine.order import Fill
from engine.pace import until
from engine.ports import Clock, Commit, Store
from engine.store.mirror import (
    EXPIRES_S,
    HAPPENED,
    REFRESH_S,
    Happened,
    Mirrored,
    events_channel,
    mirrored,
    to_event,
    to_text,
)
from engine.view import CoreView

# Writes are this far apart: of what changes meanwhile only the newest is written.
GATHER_S = 0.1
# Events that wait for a slow Redis. Nobody who listens there may rely on having heard all.
EVENTS_MAX = 2_000
# Commands that go out together, and how long all of them may take.
BATCH = 500
TIMEOUT_S = 2.0
# Waits between tries to reach it.
RETRY_S = 1.0
RETRY_MAX_S = 16.0

log = structlog.get_logger()


class Keeper(Protocol):
    """Where values and events are put. What fails raises Unreachable."""

    label: str

    async def write(
        self,
        values: Mapping[str, str],
        gone: Sequence[str],
        events: Sequence[tuple[str, str]],
    ) -> None:
        """Set values by key, remove others, and publish events by channel."""
        ...

    async def values(self, keys: Sequence[str]) -> list[str | None]: ...

    async def close(self) -> None: ...


class Mirror:
    """Writes what `view` shows to the Redis of `url` after each commit; without a `url` into this
    process's own memory."""

    def __init__(
        self, url: str, view: Callable[[], CoreView], store: Store, epoch: int, clock: Clock
    ) -> None:
        self._url = url
        self._view = view
        self._store = store
        self._epoch = epoch
        self._clock = clock
        self._wake = asyncio.Event()
        self._executed: dict[tuple[str, str], str] = {}
        self._events: deque[tuple[Happened, int]] = deque(maxlen=EVENTS_MAX)
        self._telling = 0
        self._written: dict[str, Mirrored] = {}
        self._texts: dict[str, str] = {}
        self._label = ""
        self._down = "not reached yet"
        self.lost_events = 0
        self.mended = 0

    def on_commit(self, batch: Commit) -> None:
        for fact in batch.facts:
            if isinstance(fact, Fill):
                self._executed[fact.bot_id, fact.symbol] = fact.exec_id
            if isinstance(fact, HAPPENED):
                self.lost_events += len(self._events) == EVENTS_MAX
                self._events.append((fact, batch.number))
        self._wake.set()

    def condition(self) -> tuple[bool, str]:
        """Whether it is kept up, and how it is in words."""
        if self._down:
            return False, f"not written: {self._down}"
        words = [f"{len(self._written)} keys in {self._label}"]
        if self.mended:
            words.append(f"{self.mended} were changed or removed there, and written anew")
        if self.lost_events:
            words.append(f"{self.lost_events} events told to nobody")
        return True, ", ".join(words)

    async def run(self) -> None:
        """Keep it up until canceled, whatever happens at the other end."""
        delay = RETRY_S
        while True:
            began = self._clock.monotonic()
            # In a task of its own: the library may answer a cancel with an error, and the cancel
            # would be lost.
            async with asyncio.TaskGroup() as tasks:
                attempt = tasks.create_task(self._attempt())
            self._down = attempt.result()
            self._drop_events()
            lasted = self._clock.monotonic() - began
            delay = RETRY_S if lasted > RETRY_MAX_S else min(2 * delay, RETRY_MAX_S)
            await self._clock.sleep(delay)

    async def _attempt(self) -> str:
        """Keep it up until that fails; why it did."""
        try:
            await self._connect_and_keep()
        except Unreachable as error:
            if not self._down:
                log.warning("the mirror can't be written", error=str(error))
            return str(error)
        except Exception as error:
            # A fault in what others read is no reason to stop trading.
            log.exception("the mirror failed")
            return f"{type(error).__name__}, see the log"

    async def _connect_and_keep(self) -> Never:
        await self._recall()
        # Its library takes a third of a second to load: not on the loop.
        keeper = await asyncio.to_thread(open_keeper, self._url)
        try:
            await self._keep(keeper)
        finally:
            await keeper.close()

    async def _recall(self) -> None:
        """The newest executions of before this process."""
        for bot in self._view().bots:
            for symbol in bot.symbols:
                last = await self._store.recent(Fill, account=bot.account, symbol=symbol, limit=1)
                for fill in last:
                    self._executed.setdefault((bot.bot_id, symbol), fill.exec_id)

    async def _keep(self, keeper: Keeper) -> Never:
        self._written, self._texts = {}, {}
        refreshed = self._clock.monotonic()
        while True:
            await self._write(keeper)
            self._label, self._down = keeper.label, ""
            await self._clock.sleep(GATHER_S)
            left = refreshed + REFRESH_S - self._clock.monotonic()
            if left > 0:
                await until(self._wake, self._clock, left)
            else:
                await self._compare(keeper)
                refreshed = self._clock.monotonic()
            self._wake.clear()

    async def _compare(self, keeper: Keeper) -> None:
        """See what others did to it, and have everything written anew."""
        found = await keeper.values(list(self._texts))
        ours = self._texts.values()
        self.mended += sum(each != text for each, text in zip(found, ours, strict=True))
        self._written, self._texts = {}, {}

    async def _write(self, keeper: Keeper) -> None:
        """Write what is not as it was written last, and tell what happened."""
        now = mirrored(self._view(), self._executed, self._epoch)
        fresh = {key: value for key, value in now.items() if self._written.get(key) != value}
        gone = [key for key in self._written if key not in now]
        ts = self._clock.now()
        texts = {key: to_text(value, ts) for key, value in fresh.items()}
        told = self._told()
        self._telling = len(told)
        await keeper.write(texts, gone, told)
        self._telling = 0
        self._written = now
        self._texts = {key: text for key, text in (self._texts | texts).items() if key in now}

    def _told(self) -> list[tuple[str, str]]:
        told = [
            (events_channel(fact.bot_id), to_event(fact, self._epoch, number))
            for fact, number in self._events
        ]
        self._events.clear()
        return told

    def _drop_events(self) -> None:
        """Nobody listens to a Redis that is gone, and what is told late is no news."""
        self.lost_events += self._telling + len(self._events)
        self._telling = 0
        self._events.clear()


# -- where it is kept --------------------------------------------------------------------


def open_keeper(url: str) -> Keeper:
    return _Redis(url) if url else _Memory()


class _Memory:
    """This process's own memory, which nobody else can look into."""

    label = "memory, where nobody else reads them (REDIS_URL)"

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    async def write(
        self,
        values: Mapping[str, str],
        gone: Sequence[str],
        events: Sequence[tuple[str, str]],
    ) -> None:
        self._values.update(values)
        for key in gone:
            self._values.pop(key, None)

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        return [self._values.get(key) for key in keys]

    async def close(self) -> None:
        self._values.clear()


class _Redis:
    """A Redis, or what speaks its protocol."""

    def __init__(self, url: str) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        self.label = f"Redis at {urlsplit(url).hostname}"
        self._client: Redis = Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            # Tried again by the mirror, with everything that is true by then.
            retry=Retry(NoBackoff(), 0),
        )

    async def write(
        self,
        values: Mapping[str, str],
        gone: Sequence[str],
        events: Sequence[tuple[str, str]],
    ) -> None:
        commands: list[tuple[str | int, ...]] = [
            *(("SET", key, text, "EX", EXPIRES_S) for key, text in values.items()),
            *(("DEL", key) for key in gone),
            *(("PUBLISH", channel, text) for channel, text in events),
        ]
        with _errors():
            for start in range(0, len(commands), BATCH):
                async with self._client.pipeline(transaction=False) as pipe:
                    for command in commands[start : start + BATCH]:
                        pipe.execute_command(*command)
                    await pipe.execute()

    async def values(self, keys: Sequence[str]) -> list[str | None]:
        with _errors():
            found = await self._client.mget(keys) if keys else []
            return [None if each is None else str(each) for each in found]

    async def close(self) -> None:
        with suppress(Unreachable), _errors():
            await self._client.aclose()


@contextmanager
def _errors() -> Iterator[None]:
    """What its library raises, in our words."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
