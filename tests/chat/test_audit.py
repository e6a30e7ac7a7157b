"""The audit in the chats, through the real libraries: a card, and a file to keep."""

import csv
import io
from pathlib import Path

import pytest

from tests.chat.desks import busy_market
from tests.chat.discord_scene import Scene, said
from tests.chat.discord_scene import open_scene as open_discord
from tests.chat.telegram_scene import open_scene as open_telegram
from tests.servers.discord_world import Message


def actors(file: bytes) -> set[str]:
    return {row["actor"] for row in csv.DictReader(io.StringIO(file.decode()))}


async def test_discord_shows_the_plain_command_beside_its_subcommands(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with open_discord(tmp_path, request) as scene, scene.open_desk(busy_market()):
        card = await scene.ask(scene.ann, "audit show", user="desk", days=30)
        assert "of desk in the last 30 days." in said(card)
        assert "started" in said(card)
        await scene.press(scene.ann, card, "Export")
        await scene.server.until(lambda: any(m.files for m in sent(scene)))
        (file,) = (file for message in sent(scene) for file in message.files.items())
    name, content = file
    assert name.startswith("audit-")
    assert "desk" in actors(content)


def sent(scene: Scene) -> list[Message]:
    return scene.server.messages(scene.dm(scene.ann))


async def test_telegram_sends_the_export_as_a_document(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with open_telegram(tmp_path, request) as scene, scene.open_desk(busy_market()):
        told = await scene.ask(scene.ann, "/audit export 30")
        chat = scene.private(scene.ann)
        document = await scene.server.until(
            lambda: next((m.media for m in scene.server.from_bot(chat) if m.media), None)
        )
    assert "In a file: audit-" in (told.text or "")
    assert document.kind == "document"
    assert "desk" in actors(document.content)
