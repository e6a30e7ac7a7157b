"""Google as the drivers' tests reach it: a server on this machine."""

from collections.abc import AsyncIterator

import pytest

from tests.servers import gemini


@pytest.fixture
async def world() -> AsyncIterator[gemini.Gemini]:
    async with gemini.running() as world:
        yield world
