"""Whatever people send: there is an answer, it is no fault of ours, and the platform takes it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bot.inbox import GONE, OTHER_CHAT, OUR_FAULT
from bot.offers import GOOD_FOR_MS
from bot.render.card import attached
from bot.render.telegram import CAPTION_MAX, TEXT_MAX, plain_text, telegram_messages
from bot.update import Update, UpdateKind
from engine.mail import Address, ChatKind, Offer
from engine.people import Identity, Person, Role
from engine.store.memory import MemoryStore
from engine.store.sql import open_store
from handlers import COMMANDS
from handlers.command import Command
from handlers.reply import Reply
from tests.chat.hall import Hall, open_hall
from tests.chat.telegram_scene import Scene, open_scene
from tests.handlers.desks import BOT
from tests.postgres import fresh_database, postgres_server
from tests.servers.telegram_chat import Message
from tests.servers.telegram_text import parsed, units

__all__ = ["postgres_server"]

ADMIN = (
    [Person("ann", "ann", Role.ADMIN)],
    [Identity(surface, "7", "ann") for surface in ("telegram", "discord")],
)

# What has broken programs: too long, markup of every kind, what turns or hides text, numbers that
# are none or look like others, halves of characters.
NASTY = [
    "A" * 10_000,
    "<b>bold</b> </pre><pre> &amp; &lt; & < >",
    "*bold* _it_ `code` ||spoiler|| [link](https://evil.example) ~~~",
    "@everyone <@1> <#1> <@&1> https://evil.example/x?y=z",
    "\u202eright to left\u202c \u2066\u2069 \u05e9\u05dc\u05d5\u05dd",
    "\x00",
    "\x1b[31m\x07\x08\r\n\t\x7f\x85\u2028",
    "👨‍👩‍👧‍👦🇩🇪✊🏿",
    "\ud83d",
    "\udcff\ud800",
    "e\u0301" * 500,
    "\u200b",
    "٣",
    "１２",
    "²",
    "NaN",
    "-Infinity",
    "1e999999999",
    "1_0,0",
    "-0",
    "9" * 5000,
    "=",
    "symbol=",
    "symbol=BTC symbol=BTC",
    "{0.__class__} %s %(x)s ${x}",
    "../../etc/passwd",
    "'; DROP TABLE audit; --",
    '"unclosed',
    "*/0 * * * *",
    "99:99",
    "Mars/Phobos",
]
GOOD = [
    "BTC",
    "ETHUSDT",
    BOT,
    "1h",
    "5m",
    "7",
    "1",
    "above",
    "below",
    "70000",
    "08:00",
    "UTC",
    "daily",
]

anything = st.one_of(st.sampled_from(NASTY), st.sampled_from(GOOD), st.text(max_size=60))
commands = st.sampled_from(COMMANDS)


def update(number: int, **said: object) -> Update:
    """Something that an admin said in a private chat."""
    known = {"surface": "telegram", "kind": UpdateKind.MESSAGE, "message_id": str(number)}
    values = known | said
    surface = str(values["surface"])
    return Update(
        key=f"{surface}:{number}",
        user_id="7",
        address=Address(surface, "7"),
        chat_kind=ChatKind.PRIVATE,
        **{"sent_at": 0} | values,  # type: ignore[arg-type]
    )


async def ask(hall: Hall, *said: dict[str, object]) -> list[Reply]:
    """What an admin is answered, line by line; every answer is a good one."""
    now = hall.desk.clock.now()
    replies = []
    with capture_logs() as logs:
        for number, each in enumerate(said, 1):
            reply = await hall.say(update(number, sent_at=now, **each))
            assert reply is not None
            replies.append(reply)
    assert [each for each in logs if each.get("exc_info")] == []
    for reply in replies:
        check(reply)
    return replies


def check(reply: Reply) -> None:
    """An answer says something, blames nobody but the question, and Telegram takes it."""
    assert reply.error != OUR_FAULT
    assert reply.blocks or reply.error
    # What is attached stands beneath words of its own.
    files = attached(reply)
    for message in telegram_messages(reply, [None] * 9):
        text, _ = parsed(message.text, "HTML")
        assert units(text) <= (CAPTION_MAX if message.document else TEXT_MAX)
        assert units(plain_text(message)) <= TEXT_MAX
        assert text.strip() or message.document in files


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(commands, st.lists(anything, max_size=4)), min_size=1, max_size=6))
async def test_every_line_has_an_answer(lines: list[tuple[Command, list[str]]]) -> None:
    async with open_hall(*ADMIN) as hall:
        await ask(hall, *({"line": " ".join([f"/{c.name}", *args])} for c, args in lines))


@st.composite
def forms(draw: st.DrawFn) -> dict[str, object]:
    """A command as Discord's form says it, every field filled in with anything."""
    command = draw(commands)
    return {
        "surface": "discord",
        "kind": UpdateKind.SLASH,
        "name": command.name,
        "arguments": {each.name: draw(anything) for each in command.arguments},
    }


@settings(max_examples=150, deadline=None)
@given(st.lists(forms(), min_size=1, max_size=6))
async def test_every_form_has_an_answer(filled: list[dict[str, object]]) -> None:
    async with open_hall(*ADMIN) as hall:
        await ask(hall, *filled)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
async def test_what_is_no_command_has_an_answer(line: str) -> None:
    async with open_hall(*ADMIN) as hall:
        await ask(hall, {"line": line}, {"line": f"/{line}"}, {"name": line})


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
async def test_every_command_withstands_everything_nasty(command: Command) -> None:
    async with open_hall(*ADMIN) as hall:
        await ask(hall, *({"line": f"/{command.name} {each}"} for each in NASTY))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_every_database_keeps_what_was_said(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    async with AsyncExitStack() as stack:
        url = f"sqlite:///{tmp_path}/desk.db"
        if kind == "postgres":
            server = request.getfixturevalue("postgres_server")
            url = await stack.enter_async_context(fresh_database(server))
        store = await open_store(url)
        stack.push_async_callback(store.close)
        hall = await stack.enter_async_context(open_hall(*ADMIN, store=store))
        lines = [f"/{name} {each}" for each in NASTY for name in ("status", "alert", "nonsense")]
        await ask(hall, *({"line": line} for line in lines))
        # A stranger's words are kept, too: that they were refused.
        assert await hall.say(stranger(lines[5], 1001)) is None
        assert await hall.say(stranger("\x00\ud800", 1002)) is None
        await ask_again(hall)


def stranger(line: str, number: int) -> Update:
    at = Address("telegram", "8")
    return Update(
        "telegram", f"telegram:{number}", UpdateKind.MESSAGE, "8", at, ChatKind.PRIVATE, 0, line
    )


async def ask_again(hall: Hall) -> None:
    """The desk has stored all that was said, and goes on."""
    now = hall.desk.clock.now()
    reply = await hall.say(update(2000, sent_at=now, line=f"/bot pause {BOT}"))
    assert reply is not None
    assert reply.ok


# Through the real server


@pytest.fixture
async def scene(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request) as scene:
        yield scene


def is_sendable(text: str) -> bool:
    """Whether a platform could hand it over: halves of characters are none."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


async def test_telegram_takes_every_answer(scene: Scene) -> None:
    async with scene.open_desk():
        for each in filter(is_sendable, NASTY):
            for command in ("/alert", "/help"):
                answer = await scene.ask(scene.ann, f"{command} {each}")
                assert OUR_FAULT not in (answer.text or "")


async def test_a_name_full_of_markup_is_only_a_name(scene: Scene) -> None:
    name = "<b>&amp;</b> @everyone [x](t.me/x)"
    people = ({"name": name, "role": "trader", "telegram": scene.tom.id},)
    async with scene.open_desk(people=people):
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        news = await scene.told(scene.private(scene.ann), "was paused by")

    assert name in (news.text or "")
    assert {each["type"] for each in news.entities} <= {"italic"}


async def test_no_link_is_previewed(scene: Scene) -> None:
    async with scene.open_desk():
        await scene.ask(scene.ann, "/chart https://evil.example")
        card = await scene.ask(scene.ann, "/status")
        scene.press(scene.ann, card, "Positions")
        await scene.shown(card, "No open positions")

    calls = [*scene.server.called("sendMessage"), *scene.server.called("editMessageText")]
    assert len(calls) == 3
    assert all(each.params["link_preview_options"] == {"is_disabled": True} for each in calls)


async def test_what_has_no_words_is_answered_in_private_only(scene: Scene) -> None:
    scene.server.privacy = False
    sticker = {
        "file_id": "1", "file_unique_id": "1", "type": "regular", "width": 1, "height": 1,
        "is_animated": False, "is_video": False,
    }  # fmt: skip
    async with scene.open_desk():
        group = await scene.open_group()
        for chat in (scene.private(scene.tom), group):
            message = scene.server.post(chat, scene.tom, extra={"sticker": sticker})
            scene.server.push({"message": message.json()})
        await scene.told(scene.private(scene.tom), "Type a command")
        await scene.until_judged()
        assert len(scene.server.from_bot(group)) == 1


async def test_a_slip_of_the_finger_is_answered(scene: Scene) -> None:
    async with scene.open_desk():
        for line in ("/", "//status", "/ status", "/@countersign_bot", "status", "  "):
            message = scene.server.post(scene.private(scene.vera), scene.vera, text=line)
            scene.server.push({"message": message.json()})
            answer = await scene.answer(message)
            assert "PAPER" in (answer.text or "")


# Buttons that are no good any more


async def button(scene: Scene, store: MemoryStore, line: str, chat_id: int) -> Message:
    """A card of the desk in Tom's chat whose button was offered with this line in that chat."""
    # What is pressed before the first poll was pressed while the desk was away.
    await scene.until_judged()
    offer = Offer("telegram", str(chat_id), line, scene.clock.now() + GOOD_FOR_MS)
    [number] = await store.mail.offer([offer])
    keyboard = [[{"text": "Do it", "callback_data": f"b:{number}"}]]
    chat = scene.private(scene.tom)
    return scene.server.post(
        chat, scene.server.bot, text="Card", markup={"inline_keyboard": keyboard}
    )


async def test_a_button_of_yesterday_is_too_old(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        card = await button(scene, store, f"/bot pause {BOT}", scene.tom.id)
        scene.clock.leap(GOOD_FOR_MS)
        scene.press(scene.tom, card, "Do it")
        await scene.told(card.chat, GONE)


async def test_a_button_that_nobody_remembers_is_too_old(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        card = await button(scene, store, "/status", scene.tom.id)
        scene.server.press(scene.tom, card, "b:999999")
        await scene.told(card.chat, GONE)


async def test_a_button_of_another_chat_does_nothing_here(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        card = await button(scene, store, f"/bot pause {BOT}", scene.ann.id)
        scene.press(scene.tom, card, "Do it")
        await scene.told(card.chat, OTHER_CHAT)
        assert desk.desk.view().bots[0].status == "active"


async def test_a_button_for_a_bot_that_is_gone_names_those_there_are(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        card = await button(scene, store, "/bot pause grid_007", scene.tom.id)
        scene.press(scene.tom, card, "Do it")
        answer = await scene.told(card.chat, "grid_007")

    assert BOT in (answer.text or "")
    assert card.text == "Card"


async def test_a_command_for_a_bot_that_is_gone_names_those_there_are(scene: Scene) -> None:
    async with scene.open_desk():
        answer = await scene.ask(scene.tom, "/bot pause grid_007")

    assert "grid_007" in (answer.text or "") and BOT in (answer.text or "")


async def test_a_button_of_a_command_that_is_gone_says_so(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store):
        card = await button(scene, store, "/teleport now", scene.tom.id)
        scene.press(scene.tom, card, "Do it")
        await scene.told(card.chat, "There is no command /teleport.")


FORGED = ["", "r:", "r:teleport", "n:", "b:x", "b:" + "9" * 30, "💥", f"r:bot pause {BOT}"]


async def test_a_press_of_something_forged_is_acknowledged_and_does_nothing(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store) as desk:
        card = await button(scene, store, "/status", scene.tom.id)
        presses = {scene.server.press(scene.tom, card, data) for data in FORGED}
        await scene.server.until(lambda: presses <= scene.server.answers.keys())
        await scene.until_judged()
        assert desk.desk.view().bots[0].status == "active"

    assert scene.server.from_bot(card.chat) == [card]


@pytest.mark.parametrize(
    "data", ["a:bot pause|<b>bot</b>", "a:alert BTC|buy everything now", "a:alert BTCUSDT|price"]
)
async def test_a_question_that_is_forged_or_above_ones_role_is_not_asked(
    scene: Scene, data: str
) -> None:
    """Clients may send any data: the desk does not say their words as its own."""
    async with scene.open_desk():
        group = await scene.open_group()
        card = scene.server.post(group, scene.server.bot, text="Card")
        before = len(scene.server.from_bot(group))
        scene.server.press(scene.vera, card, data)
        await scene.until_judged()
        assert len(scene.server.from_bot(group)) == before
