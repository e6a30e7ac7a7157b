"""What `countersign reconcile` makes of a desk's answer; the desk is a door with a coroutine."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.door import Answered, Door, Hello, Welcome
from bot.reconcile_command import TO_MEND, compare
from bot.render.plain import to_json, to_text
from engine.errors import Unreachable
from handlers.reply import Reply, Table, Text, reply

LINES = {"/reconcile now": "json", "/reconcile": "text"}


def found(*differences: str, title: str = TO_MEND[0]) -> Reply:
    return reply(Text("Compared."), Table(title, ("what",), tuple((each,) for each in differences)))


@asynccontextmanager
async def desk_at(path: Path, answer: Reply) -> AsyncIterator[None]:
    async def say(line: str, hello: Hello, uid: int) -> Answered:
        assert hello.format == LINES[line]
        output = to_json(answer, line) if hello.format == "json" else to_text(answer, 80, False)
        return Answered(answer.ok, output)

    door = Door(path, answer=say, welcome=lambda hello: Welcome("", "demo", "1", {}, ""))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(door.serve())
        await door.opened.wait()
        try:
            yield
        finally:
            serving.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "desk.sock"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (found(), 0),
        (found("BTCUSDT: the books hold nothing, the exchange 1 long"), 1),
        (found("a trade that is not the desk's", title=TO_MEND[1]), 1),
        (found("an account", title="Books and exchange"), 0),
        (reply(Text("Orders are filled on paper.")), 0),
    ],
)
async def test_what_differs_is_an_exit_code(
    path: Path, capsys: pytest.CaptureFixture[str], answer: Reply, code: int
) -> None:
    async with desk_at(path, answer):
        assert await compare(path, json=False) == code
        text = capsys.readouterr().out
        assert await compare(path, json=True) == code
    assert text.startswith(("Compared.", "Orders are filled on paper."))
    assert json.loads(capsys.readouterr().out)["command"] == "/reconcile now"


async def test_an_exchange_that_can_not_be_asked_is_told(path: Path) -> None:
    async with desk_at(path, Reply(error="That did not work: Bybit does not answer")):
        with pytest.raises(Unreachable, match="Bybit does not answer"):
            await compare(path, json=False)


async def test_without_a_desk_nothing_is_started(path: Path) -> None:
    with pytest.raises(Unreachable, match="No desk answers at"):
        await compare(path, json=False)
