"""The platforms that the tests of chats speak through."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chat import discord_scene, telegram_scene


@pytest.fixture
async def telegram(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[telegram_scene.Scene]:
    async with telegram_scene.open_scene(tmp_path, request) as scene:
        yield scene


@pytest.fixture
async def discord(
    tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[discord_scene.Scene]:
    async with discord_scene.open_scene(tmp_path, request) as scene:
        yield scene
