"""A desk at work at a made-up Bybit, heard and looked at."""

import pytest

from tests.clock import FakeClock
from tests.engine.exchange.fake_bybit import FakeBybit, venue, working


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def fake(clock):
    return FakeBybit(clock)


@pytest.fixture
async def desk(fake, clock):
    async with working(venue(fake), clock=clock) as desk:
        desk.forget()
        yield desk
