"""A Bybit on loopback whose time runs fast."""

import pytest

from tests.fast_clock import FastClock
from tests.servers.bybit import BybitServer


@pytest.fixture
def clock():
    return FastClock(200)


@pytest.fixture
async def server(clock):
    async with BybitServer(clock).running() as server:
        yield server
