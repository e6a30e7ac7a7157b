"""The desk's lock: one process at a time trades an account, and the next is told who does.

The lock keeps a second desk out; the epoch in every commit stops a desk that lost it.
"""

import fcntl
import hashlib
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import make_url

from engine.ports import Clock
from engine.store.database import COMMAND_TIMEOUT_S, CONNECT_TIMEOUT_S, postgres_errors

if TYPE_CHECKING:
    import asyncpg  # type: ignore[import-untyped]  # it has no types

# How soon a waiting desk takes over; a restart by systemd or docker takes about as long.
POLL_S = 1.0

_UNKNOWN = "an unknown process"


class Lock(Protocol):
    """Held by one process at a time, and by nobody once that process is gone."""

    @property
    def held(self) -> bool:
        """Whether this process holds it still, as far as can be told without asking."""
        ...

    async def try_acquire(self) -> bool: ...

    async def holder(self) -> str:
        """Who holds it, in words for the person who has to choose between the two."""
        ...

    async def acquire(self, clock: Clock, on_wait: Callable[[str], None]) -> None:
        """Wait for it, as long as it takes; `on_wait` is told once who holds it."""
        ...

    async def release(self) -> None: ...


async def _wait(lock: Lock, clock: Clock, on_wait: Callable[[str], None]) -> None:
    # No limit: a desk that stands by is meant to, for days if need be.
    if await lock.try_acquire():
        return
    on_wait(await lock.holder())
    while not await lock.try_acquire():
        await clock.sleep(POLL_S)


class DeskLock:
    """A lock of the operating system on `desk.lock` in the data directory.

    The system frees it when the process ends, however that happens. The file stays and names
    the holder as "pid host started"; `started_at` is UTC ms.
    """

    def __init__(self, data_dir: Path, started_at: int = 0) -> None:
        self._path = data_dir / "desk.lock"
        self._started_at = started_at
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    async def try_acquire(self) -> bool:
        if self._file is None:
            self._file = self._lock()
        return self.held

    async def holder(self) -> str:
        try:
            pid, host, started_at = self._path.read_text().split()
            started = datetime.fromtimestamp(int(started_at) / 1000, UTC)
        except (OSError, ValueError):
            return _UNKNOWN
        since = f", started {started:%Y-%m-%d %H:%M} UTC" if int(started_at) else ""
        return f"process {pid} on {host}{since}"

    async def acquire(self, clock: Clock, on_wait: Callable[[str], None]) -> None:
        await _wait(self, clock, on_wait)

    async def release(self) -> None:
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = None

    def _lock(self) -> int | None:
        # The file is never removed: a third process could lock the name anew while a second
        # one holds the file. Python opens it close-on-exec, so no child keeps the lock.
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        text = f"{os.getpid()} {socket.gethostname()} {self._started_at}\n".encode()
        os.pwrite(file, text, 0)
        os.ftruncate(file, len(text))
        return file


class PostgresLock:
    """An advisory lock that lives as long as one connection of its own.

    Never on a pooled connection: a pool that recycles it drops the lock without a word.
    """

    def __init__(self, url: str, name: str) -> None:
        parsed = make_url(url).set(drivername="postgresql+asyncpg")
        _, self._options = parsed.get_dialect()().create_connect_args(parsed)
        digest = hashlib.sha256(name.encode()).digest()
        self._key = int.from_bytes(digest[:8], signed=True)
        self._connection: asyncpg.Connection | None = None
        self._locked = False

    @property
    def held(self) -> bool:
        return self._locked and self._connection is not None and not self._connection.is_closed()

    async def try_acquire(self) -> bool:
        if not self.held:
            with postgres_errors():
                connection = await self._connected()
                self._locked = await connection.fetchval(
                    "SELECT pg_try_advisory_lock($1)", self._key
                )
        return self.held

    async def holder(self) -> str:
        with postgres_errors():
            connection = await self._connected()
            row = await connection.fetchrow(_HOLDER, self._key)
        if row is None:
            return _UNKNOWN
        return f"{row['application_name'] or 'a process'} (backend {row['pid']} of the database)"

    async def acquire(self, clock: Clock, on_wait: Callable[[str], None]) -> None:
        await _wait(self, clock, on_wait)

    async def release(self) -> None:
        self._locked = False
        if self._connection is not None:
            with postgres_errors():
                await self._connection.close(timeout=CONNECT_TIMEOUT_S)
            self._connection = None

    async def _connected(self) -> "asyncpg.Connection":
        import asyncpg

        if self._connection is None or self._connection.is_closed():
            self._locked = False
            self._connection = await asyncpg.connect(
                **self._options,
                timeout=CONNECT_TIMEOUT_S,
                command_timeout=COMMAND_TIMEOUT_S,
                server_settings=_session(),
            )
        return self._connection


def _session() -> dict[str, str]:
    """Who we are, and that the server forgets us 40 s after our machine has vanished."""
    return {
        "application_name": f"countersign {os.getpid()} on {socket.gethostname()}"[:63],
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }


# A 64-bit key is shown in two halves.
_HOLDER = """
    SELECT a.pid, a.application_name
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (l.classid::bigint << 32 | l.objid::bigint) = $1
"""
