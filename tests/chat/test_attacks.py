"""Decisions that nobody permitted has made: each is refused and audited, and changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pyotp
import pytest

from bot.discord import NOT_KEPT
from bot.inbox import NOT_OURS
from bot.settings import Settings, secret_key
from bot.tokens import LENGTH, Tokens, tokens_key
from engine import totp
from engine.bot import BotStatus
from engine.effect import NotDone
from engine.errors import Refused, Unreachable
from engine.instruction import AddSchedule, Decide
from engine.mail import Address, Received
from engine.people import Asker, Human, Principal, PrincipalKind, Role, human
from engine.ports import Commit
from engine.proposal import Proposal, ProposalState, Way, digest
from engine.store.memory import MemoryMail, MemoryStore
from engine.store.sql import open_store
from engine.tunable import Tier
from handlers import COMMANDS
from handlers.command import Kind
from handlers.reply import Decides
from tests.chat.both_scene import (
    Both,
    HandClock,
    code,
    enroll,
    only,
    open_both,
    rows,
    said_of,
    staff,
    until_said,
)
from tests.chat.desks import ChatDesk, LiveMarket, quiet_market
from tests.chat.discord_scene import said
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import (
    BAR,
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    SECRET,
    ScriptedMarket,
    build,
    course,
    quiet,
    say,
)
from tests.servers.telegram_chat import Chat, Message, User
from tests.servers.telegram_world import GROUP_ANONYMOUS

MINUTE_MS = 60_000
# What is told to whoever presses after Tom.
LATE = f"✗ Proposal 1 (Resume {BOT}) was approved by tom at 00:00:00 UTC"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
# Of all the bits of a token; every one is flipped in tests/bot/test_tokens.py.
FLIPPED = 40
YELLOW, RED = 1, 2


@dataclass
class Siege:
    """A desk on which a YELLOW proposal (1, to resume the bot) and a RED one (2, to trade again)
    wait, with cards in the group where they were asked for and with all who may decide.

    Tom asked for the first, Ann for the second. Both may be decided for as long as the test runs.
    """

    scene: Scene
    desk: ChatDesk
    store: MemoryStore
    group: Chat
    yellow: Message
    red: Message

    def card(self, user: User, number: int) -> Message:
        """The card of a proposal in somebody's private chat."""
        [found] = self.scene.having(self.scene.private(user), f"Proposal {number}:")
        return found

    @property
    def tokens(self) -> Tokens:
        """What makes this desk's own tokens."""
        return self.tokens_of("paper", self.desk.desk.market.name)

    def tokens_of(self, mode: str, market: str) -> Tokens:
        key = secret_key(Settings(data_dir=self.scene.folder))
        return Tokens(tokens_key(key, mode, market))

    def proposal(self, number: int) -> Proposal:
        found = (each for each in self.desk.desk.view().proposals if each.proposal_id == number)
        return next(found)

    def decides(self, number: int) -> Decides:
        """What a button that approves is bound to."""
        about = self.proposal(number)
        return Decides(number, True, about.tier, about.nonce, about.expires_at, digest(about))

    @asynccontextmanager
    async def repels(self, noted: str) -> AsyncIterator[None]:
        """Nothing that is stored changes by what is done within, and the audit has a row of it."""
        before, known = await rows(self.store), len(await said_of(self.store, noted))
        yield
        await until_said(self.store, noted, known + 1)
        await self.scene.until_judged()
        assert await rows(self.store) == before
        assert [each.state for each in self.desk.desk.view().proposals] == [ProposalState.OPEN] * 2


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def scene(
    tmp_path: Path, request: pytest.FixtureRequest, clock: HandClock
) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request, clock) as scene:
        yield scene


@pytest.fixture
async def both(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    async with open_both(tmp_path, request) as both:
        yield both


@pytest.fixture
async def siege(scene: Scene) -> AsyncIterator[Siege]:
    store = MemoryStore()
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        group = await scene.open_group()
        await scene.ask(scene.tom, f"/bot pause {BOT}", group)
        yellow = await scene.ask(scene.tom, f"/bot resume {BOT}", group)
        await scene.ask(scene.ann, "/halt", group)
        red = await scene.ask(scene.ann, "/resume", group)
        for user in (scene.ann, scene.eve):
            for number in (YELLOW, RED):
                await scene.told(scene.private(user), f"Proposal {number}:")
        await scene.told(scene.private(scene.tom), f"Proposal {YELLOW}:")
        yield Siege(scene, desk, store, group, yellow, red)


def is_paused(desk: ChatDesk) -> bool:
    return desk.desk.view().bots[0].status is BotStatus.PAUSED


# -- presses -----------------------------------------------------------------------------


def press_of_a_copy(at: Siege) -> None:
    """The card as the bot would have sent it to somebody else."""
    card = at.card(at.scene.ann, YELLOW)
    chat = at.scene.private(at.scene.eve)
    copy = at.scene.server.post(chat, at.scene.server.bot, text=card.text, markup=card.markup)
    at.scene.press(at.scene.eve, copy, "Confirm")


def press_of_a_copy_in_an_unopened_group(at: Siege) -> None:
    card = at.card(at.scene.ann, YELLOW)
    chat = at.scene.server.supergroup("Elsewhere")
    copy = at.scene.server.post(chat, at.scene.server.bot, text=card.text, markup=card.markup)
    at.scene.press(at.scene.ann, copy, "Confirm")


def press_of_a_forwarded_card(at: Siege) -> None:
    card = at.card(at.scene.ann, YELLOW)
    chat = at.scene.private(at.scene.ann)
    origin = {"type": "user", "sender_user": at.scene.server.bot.json(), "date": card.date}
    content = {"text": card.text, "markup": card.markup, "extra": {"forward_origin": origin}}
    forwarded = at.scene.server.post(chat, at.scene.ann, **content)
    at.scene.press(at.scene.ann, forwarded, "Confirm")


def press_of_a_card_sent_inline(at: Siege) -> None:
    token = at.card(at.scene.ann, YELLOW).buttons["Confirm"]
    at.scene.server.press(at.scene.ann, None, token)


def press_by_a_viewer(at: Siege) -> None:
    at.scene.press(at.scene.vera, at.yellow, "Confirm")


def press_by_a_stranger(at: Siege) -> None:
    at.scene.press(at.scene.sue, at.yellow, "Confirm")


def press_by_an_anonymous_admin(at: Siege) -> None:
    at.scene.press(GROUP_ANONYMOUS, at.yellow, "Confirm")


def press_of_another_persons_button(at: Siege) -> None:
    stolen = at.card(at.scene.ann, YELLOW).buttons["Confirm"]
    at.scene.server.press(at.scene.eve, at.card(at.scene.eve, YELLOW), stolen)


def press_of_a_private_button_in_a_group(at: Siege) -> None:
    own = at.card(at.scene.ann, YELLOW).buttons["Confirm"]
    at.scene.server.press(at.scene.ann, at.yellow, own)


def press_of_a_groups_button_in_private(at: Siege) -> None:
    card = at.card(at.scene.ann, YELLOW)
    at.scene.server.press(at.scene.ann, card, at.yellow.buttons["Confirm"])


def press_of_red_by_a_trader(at: Siege) -> None:
    at.scene.press(at.scene.tom, at.red, "Approve...")


def rejection_of_red_by_a_trader(at: Siege) -> None:
    at.scene.press(at.scene.tom, at.red, "Reject")


def press(at: Siege, decides: Decides, tokens: Tokens | None = None) -> None:
    """Press what the key of a desk's tokens makes of this, in the group."""
    address = Address("telegram", str(at.group.id))
    token = (tokens or at.tokens).make(decides, address, "")
    at.scene.server.press(at.scene.ann, at.yellow, token)


def button_of_another_mode(at: Siege) -> None:
    press(at, at.decides(YELLOW), at.tokens_of("live", at.desk.desk.market.name))


def button_of_another_market(at: Siege) -> None:
    press(at, at.decides(YELLOW), at.tokens_of("paper", "bybit"))


def button_with_another_key(at: Siege) -> None:
    press(at, at.decides(YELLOW), Tokens(b"a key that somebody made up......"))


def red_as_if_it_were_yellow(at: Siege) -> None:
    press(at, replace(at.decides(RED), tier=Tier.YELLOW))


def button_that_lasts_longer(at: Siege) -> None:
    about = at.decides(YELLOW)
    press(at, replace(about, expires_at=about.expires_at + 60_000))


def button_of_what_was_shown_otherwise(at: Siege) -> None:
    press(at, replace(at.decides(YELLOW), digest="0" * 64))


def button_of_no_proposal(at: Siege) -> None:
    press(at, replace(at.decides(YELLOW), proposal_id=999))


PRESSES: dict[Callable[[Siege], None], str] = {
    press_of_a_copy: NOT_OURS,
    press_of_a_copy_in_an_unopened_group: "the chat is not opened to the desk",
    press_of_a_forwarded_card: "a button on a card that is not ours",
    press_of_a_card_sent_inline: "a button without its card",
    press_by_a_viewer: "/approve needs the role trader",
    press_by_a_stranger: "a stranger",
    press_by_an_anonymous_admin: "pressed by a bot",
    press_of_another_persons_button: NOT_OURS,
    press_of_a_private_button_in_a_group: NOT_OURS,
    press_of_a_groups_button_in_private: NOT_OURS,
    press_of_red_by_a_trader: "Deciding that needs the role admin",
    rejection_of_red_by_a_trader: "Deciding that needs the role admin",
    button_of_another_mode: NOT_OURS,
    button_of_another_market: NOT_OURS,
    button_with_another_key: NOT_OURS,
    red_as_if_it_were_yellow: NOT_OURS,
    button_that_lasts_longer: NOT_OURS,
    button_of_what_was_shown_otherwise: NOT_OURS,
    button_of_no_proposal: NOT_OURS,
}


# -- words -------------------------------------------------------------------------------


def write(at: Siege, user: User, text: str, chat: Chat | None = None, **how: Any) -> None:
    at.scene.server.write(user, chat or at.scene.private(user), text, **how)


def red_typed_in_private(at: Siege) -> None:
    write(at, at.scene.ann, f"/approve {RED} {at.proposal(RED).phrase}")


def red_typed_in_a_group(at: Siege) -> None:
    write(at, at.scene.ann, f"/approve {RED} {at.proposal(RED).phrase}", at.group)


def red_typed_without_its_phrase(at: Siege) -> None:
    write(at, at.scene.ann, f"/approve {RED}")


def red_by_reply_of_a_trader(at: Siege) -> None:
    write(at, at.scene.tom, at.proposal(RED).phrase, at.group, reply_to=at.red)


def red_by_reply_of_a_viewer(at: Siege) -> None:
    write(at, at.scene.vera, at.proposal(RED).phrase, at.group, reply_to=at.red)


def red_by_reply_of_a_stranger(at: Siege) -> None:
    write(at, at.scene.sue, at.proposal(RED).phrase, at.group, reply_to=at.red)


def red_by_forwarded_reply(at: Siege) -> None:
    phrase, card = at.proposal(RED).phrase, at.card(at.scene.ann, RED)
    write(at, at.scene.ann, phrase, reply_to=card, forwarded=at.scene.eve)


def red_by_reply_by_way_of_a_bot(at: Siege) -> None:
    phrase, card = at.proposal(RED).phrase, at.card(at.scene.ann, RED)
    other = at.scene.server.user("Helper", "helper_bot", is_bot=True)
    write(at, at.scene.ann, phrase, reply_to=card, via_bot=other)


def red_by_reply_in_the_name_of_the_group(at: Siege) -> None:
    write(
        at, at.scene.ann, at.proposal(RED).phrase, at.group, reply_to=at.red, sender_chat=at.group
    )


def red_by_edited_reply(at: Siege) -> None:
    card = at.card(at.scene.ann, RED)
    said_before = at.scene.server.post(card.chat, at.scene.ann, text="hello", reply_to=card)
    at.scene.server.edit(said_before, at.proposal(RED).phrase)


def red_by_reply_to_words_of_ones_own(at: Siege) -> None:
    chat = at.scene.private(at.scene.ann)
    phrase = at.proposal(RED).phrase
    own = at.scene.server.post(chat, at.scene.ann, text=f"Proposal {RED}: Resume\n{phrase}")
    write(at, at.scene.ann, phrase, reply_to=own)


def red_without_a_reply(at: Siege) -> None:
    """As a keyboard of replies would say it."""
    write(at, at.scene.ann, at.proposal(RED).phrase)


def red_in_letters_that_look_alike(at: Siege) -> None:
    phrase = at.proposal(RED).phrase.replace("A", "\N{CYRILLIC CAPITAL LETTER A}")
    write(at, at.scene.ann, phrase, reply_to=at.card(at.scene.ann, RED))


def red_with_the_word_of_another(at: Siege) -> None:
    words = [*at.proposal(RED).phrase.split()[:-1], at.proposal(YELLOW).nonce]
    write(at, at.scene.ann, " ".join(words), reply_to=at.card(at.scene.ann, RED))


def yellow_by_reply(at: Siege) -> None:
    write(at, at.scene.ann, "APPROVE", reply_to=at.card(at.scene.ann, YELLOW))


def yellow_typed_by_a_viewer(at: Siege) -> None:
    write(at, at.scene.vera, f"/approve {YELLOW}")


def yellow_typed_by_a_stranger(at: Siege) -> None:
    write(at, at.scene.sue, f"/approve {YELLOW}")


def yellow_typed_in_an_unopened_group(at: Siege) -> None:
    write(at, at.scene.ann, f"/approve {YELLOW}", at.scene.server.supergroup("Elsewhere"))


def rejection_by_a_viewer(at: Siege) -> None:
    write(at, at.scene.vera, f"/reject {YELLOW}")


def approval_of_what_is_not_there(at: Siege) -> None:
    write(at, at.scene.ann, "/approve 99")


WORDS: dict[Callable[[Siege], None], str] = {
    red_typed_in_private: "Reply to the card of proposal 2",
    red_typed_in_a_group: "Reply to the card of proposal 2",
    red_typed_without_its_phrase: "Reply to the card of proposal 2",
    red_by_reply_of_a_trader: "Deciding that needs the role admin",
    red_by_reply_of_a_viewer: "/approve needs the role trader",
    red_by_reply_of_a_stranger: "a stranger",
    red_by_forwarded_reply: "forwarded",
    red_by_reply_by_way_of_a_bot: "sent by way of a bot",
    red_by_reply_in_the_name_of_the_group: "sent in the name of a chat",
    red_by_edited_reply: "not taken from edited_message",
    red_by_reply_to_words_of_ones_own: "proposal: ",
    red_without_a_reply: "proposal: ",
    red_in_letters_that_look_alike: "Word 1 of the phrase is",
    red_with_the_word_of_another: "Word 4 of the phrase is",
    yellow_by_reply: "Press its button",
    yellow_typed_by_a_viewer: "/approve needs the role trader",
    yellow_typed_by_a_stranger: "a stranger",
    yellow_typed_in_an_unopened_group: "the chat is not opened to the desk",
    rejection_by_a_viewer: "/reject needs the role trader",
    approval_of_what_is_not_there: "There is no open proposal 99",
}


@pytest.mark.parametrize(
    ("attack", "noted"), [pytest.param(*each, id=each[0].__name__) for each in PRESSES.items()]
)
async def test_a_press_that_is_nobodys_decision_is_repelled(
    siege: Siege, attack: Callable[[Siege], None], noted: str
) -> None:
    async with siege.repels(noted):
        attack(siege)


@pytest.mark.parametrize(
    ("attack", "noted"), [pytest.param(*each, id=each[0].__name__) for each in WORDS.items()]
)
async def test_words_that_are_nobodys_decision_are_repelled(
    siege: Siege, attack: Callable[[Siege], None], noted: str
) -> None:
    async with siege.repels(noted):
        attack(siege)


async def test_talk_in_a_group_decides_nothing_even_where_the_bot_hears_it(siege: Siege) -> None:
    siege.scene.server.privacy = False
    before = await rows(siege.store)
    write(siege, siege.scene.ann, siege.proposal(RED).phrase, siege.group)
    other = siege.scene.server.post(siege.group, siege.scene.eve, text=siege.red.text)
    write(siege, siege.scene.ann, siege.proposal(RED).phrase, siege.group, reply_to=other)
    await siege.scene.until_judged()
    assert await rows(siege.store) == before


async def test_a_press_of_red_only_asks_for_the_phrase(siege: Siege) -> None:
    before = await rows(siege.store)
    card = siege.card(siege.scene.eve, RED)
    siege.scene.press(siege.scene.eve, card, "Approve...")
    await siege.scene.told(card.chat, "Reply to this message with")
    assert await rows(siege.store) == before


async def test_no_bit_of_a_token_can_be_flipped(siege: Siege) -> None:
    scene = siege.scene
    card = siege.card(scene.ann, YELLOW)
    token = card.buttons["Confirm"]
    before = await rows(siege.store)
    places = [(place, bit) for place in range(LENGTH) for bit in range(6)]
    for place, bit in Random(7).sample(places, FLIPPED):
        other = LETTERS[LETTERS.index(token[place]) ^ 1 << bit]
        scene.server.press(scene.ann, card, f"{token[:place]}{other}{token[place + 1 :]}")

    async def all_are_refused() -> bool:
        at_gate = [each for each in scene.logs if each["event"] == "refused at the gate"]
        return len(at_gate) + len(await said_of(siege.store, NOT_OURS)) == FLIPPED

    await eventually(all_are_refused)
    assert await rows(siege.store) == before
    scene.server.press(scene.ann, card, token)
    await scene.shown(card, "approved by ann")
    assert not is_paused(siege.desk)


async def test_one_token_of_a_group_is_good_once_whoever_presses(siege: Siege) -> None:
    scene = siege.scene
    token = siege.yellow.buttons["Confirm"]
    scene.server.press(scene.tom, siege.yellow, token)
    scene.server.press(scene.ann, siege.yellow, token)
    await scene.told(siege.group, LATE)
    await scene.shown(siege.yellow, "approved by tom")
    assert len(await said_of(siege.store, "approved Proposal 1")) == 1


async def test_a_press_that_telegram_delivers_again_acts_once(scene: Scene) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store, **staff(scene)):
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        # What comes with the poll under way is not confirmed by a next one.
        scene.server.fault("getUpdates", "drop", times=1e9)
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")
        [again] = [each for each in scene.server.pending if "callback_query" in each]
    scene.server.heal()
    before = await rows(store)
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        await scene.server.until(lambda: again not in scene.server.pending)
        await scene.until_judged()
        assert not is_paused(desk)
        assert scene.having(card.chat, LATE) == []
    assert (await rows(store))["Proposal"] == before["Proposal"]
    assert len(await said_of(store, "approved Proposal 1")) == 1


# -- Discord -----------------------------------------------------------------------------


async def test_a_form_is_good_for_whom_it_was_opened(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        await here.ask(here.ann, "/halt")
        await here.ask(here.ann, "/resume")
        card = await there.told(there.dm(there.ann), "Proposal 1:")
        phrase = only(desk).phrase
        before = await rows(both.store)
        opened = await there.press(there.ann, card, "Approve...")
        await there.server.until(lambda: opened.modal)
        for user in (both.bea_there, there.tom, there.vera):
            sent = await there.server.submit(user, opened, {"phrase": phrase})
            answer = await there.answer(sent)
            assert NOT_OURS in said(answer)
        await until_said(both.store, NOT_OURS, 3)
        assert await rows(both.store) == before
        assert desk.desk.view().halted


async def test_a_form_opened_in_a_channel_is_no_role(both: Both) -> None:
    there = both.discord
    async with both.open_desk() as desk:
        await there.ask(there.ann, "halt", there.channel)
        card = await there.ask(there.ann, "resume", there.channel)
        before = await rows(both.store)
        opened = await there.press(there.ann, card, "Approve...")
        await there.server.until(lambda: opened.modal)
        for user, refusal in ((there.tom, "role admin"), (there.vera, "role trader")):
            sent = await there.server.submit(user, opened, {"phrase": only(desk).phrase})
            assert refusal in said(await there.answer(sent))
        await there.server.submit(there.sue, opened, {"phrase": only(desk).phrase})
        await until_said(both.store, "refused at the gate: a stranger")
        assert await rows(both.store) == before
        assert desk.desk.view().halted


async def test_a_form_that_names_another_proposal_is_not_believed(both: Both) -> None:
    there = both.discord
    async with both.open_desk() as desk:
        await there.ask(there.tom, "bot pause", bot=BOT)
        yellow = await there.ask(there.tom, "bot resume", there.channel, bot=BOT)
        await there.ask(there.ann, "halt", there.channel)
        card = await there.ask(there.ann, "resume", there.channel)
        phrase = next(each.phrase for each in desk.desk.view().proposals if each.phrase)
        before = await rows(both.store)
        opened = await there.press(there.ann, card, "Approve...")
        modal = await there.server.until(lambda: opened.modal)
        token = modal["custom_id"].removeprefix("m:")
        flipped = token[:20] + LETTERS[LETTERS.index(token[20]) ^ 1] + token[21:]
        [reject] = [each for each, c in card.controls.items() if c["label"] == "Reject"]
        [confirm] = [each for each, c in yellow.controls.items() if c["label"] == "Confirm"]
        for other in (flipped, reject, confirm):
            modal["custom_id"] = f"m:{other}"
            sent = await there.server.submit(there.ann, opened, {"phrase": phrase})
            await there.answer(sent)
        assert await rows(both.store) == before
        assert desk.desk.view().halted and is_paused(desk)


async def test_a_press_that_discord_delivers_again_acts_once(both: Both) -> None:
    there = both.discord
    async with both.open_desk() as desk:
        await there.ask(there.tom, "bot pause", bot=BOT)
        card = await there.ask(there.tom, "bot resume", there.channel, bot=BOT)
        pressed = await there.press(there.tom, card, "Confirm")
        await there.shown(card, "approved by tom")
        await there.ask(there.tom, "bot pause", bot=BOT)
        before = await rows(both.store)
        await there.server.redeliver(pressed)
        await there.until_judged()
        assert await rows(both.store) == before
        assert is_paused(desk)


async def test_a_token_of_telegram_is_nothing_on_discord(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        await here.ask(here.tom, f"/bot pause {BOT}")
        card = await here.ask(here.tom, f"/bot resume {BOT}")
        other = await there.told(there.dm(there.tom), "Proposal 1:")
        before = await rows(both.store)
        [button] = [c for c in other.controls.values() if c["label"] == "Confirm"]
        mine, button["custom_id"] = button["custom_id"], card.buttons["Confirm"]
        await there.press(there.tom, other, "Confirm")
        await there.told(there.dm(there.tom), NOT_OURS)
        here.server.press(here.tom, card, mine)
        await here.told(card.chat, NOT_OURS)
        assert await rows(both.store) == before
        assert is_paused(desk)


# -- without a database ------------------------------------------------------------------


class FailingMail(MemoryMail):
    """Keeps nothing that comes while `is_down`."""

    is_down = False

    async def receive(self, updates: Sequence[Received]) -> set[str]:
        if self.is_down:
            raise Unreachable("the database is away")
        return await super().receive(updates)


class FailingStore(MemoryStore):
    """A database that can be away: for what comes from chats, for what the core stores."""

    mail: FailingMail

    def __init__(self) -> None:
        super().__init__()
        self.mail = FailingMail(self._delivered)
        self.refused = 0
        self.is_down = False

    async def commit(self, batch: Commit) -> None:
        if self.is_down:
            self.refused += 1
            raise Unreachable("the database is away")
        await super().commit(batch)


async def test_a_press_while_the_database_is_away_is_told_and_does_nothing(both: Both) -> None:
    here, there = both.telegram, both.discord
    both.store = store = FailingStore()
    async with both.open_desk() as desk:
        await here.ask(here.tom, f"/bot pause {BOT}")
        card = await here.ask(here.tom, f"/bot resume {BOT}")
        other = await there.told(there.dm(there.tom), "Proposal 1:")
        before = await rows(store)
        store.mail.is_down = True
        await there.press(there.tom, other, "Confirm")
        await there.told(there.dm(there.tom), NOT_KEPT)
        assert await rows(store) == before
        assert is_paused(desk)
        here.press(here.tom, card, "Confirm")
        await eventually(lambda: is_logged_twice(there.logs, "updates can't be kept"))
        assert is_paused(desk) and await rows(store) == before
        store.mail.is_down = False
        await here.shown(card, "approved by tom")
    assert len(await said_of(store, "approved Proposal 1")) == 1


async def is_logged_twice(logs: Sequence[Any], event: str) -> bool:
    return sum(each["event"] == event for each in logs) > 1


async def test_a_decision_that_can_not_be_stored_is_told_to_nobody_until_it_is(
    scene: Scene,
) -> None:
    store = FailingStore()
    async with scene.open_desk(store=store, **staff(scene)):
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        before = await rows(store)
        store.is_down = True
        scene.press(scene.tom, card, "Confirm")

        async def is_tried() -> bool:
            return store.refused > 1

        await eventually(is_tried)
        assert await rows(store) == before
        assert "Approved" not in (card.text or "")
        store.is_down = False
        await scene.shown(card, "approved by tom")
    assert len(await said_of(store, "approved Proposal 1")) == 1


# -- T1 ----------------------------------------------------------------------------------


async def test_t1_a_press_with_an_expired_session_is_refused_and_audited(
    scene: Scene, clock: HandClock
) -> None:
    store = MemoryStore()
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        seed = await enroll(scene, scene.tom, clock)
        clock.leap(30 * MINUTE_MS - 1)
        await scene.until_judged()
        # What acts keeps the session open.
        await scene.ask(scene.tom, "/alert BTC above 900000")
        assert len(desk.desk.view().alerts) == 1
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        clock.leap(30 * MINUTE_MS)
        await scene.until_judged()
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        before = await rows(store)
        scene.press(scene.tom, card, "Confirm")
        await scene.told(card.chat, "Your session is closed")
        await until_said(store, "refused: Your session is closed")
        typed = await scene.ask(scene.tom, "/approve 1")
        assert "Your session is closed" in (typed.text or "")
        alert = await scene.ask(scene.tom, "/alert BTC above 900001")
        assert "Your session is closed" in (alert.text or "")
        assert await rows(store) == before
        assert is_paused(desk)
        # What reduces risk needs none.
        await scene.ask(scene.tom, "/halt")
        assert desk.desk.view().halted
        scene.server.write(scene.tom, card.chat, f"/unlock {code(seed, clock)}")
        await scene.told(card.chat, "Your session is open for 30 minutes after")
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")


# -- T10 ---------------------------------------------------------------------------------


async def test_t10_a_schedule_can_not_say_approve(siege: Siege, clock: HandClock) -> None:
    scene = siege.scene
    for line in (f"approve {YELLOW}", f"/approve {YELLOW}", f"reject {YELLOW}"):
        async with siege.repels("a command that only looks"):
            refused = await scene.ask(scene.ann, f"/schedule add 00:02 UTC {line}")
            assert "a command that only looks" in (refused.text or "")


async def test_t10_a_schedule_that_got_in_by_other_ways_decides_nothing(
    siege: Siege, clock: HandClock
) -> None:
    scene = siege.scene
    ann = Principal(PrincipalKind.PERSON, str(scene.ann.id), Role.ADMIN, "ann", "ann")
    at = Address("telegram", str(scene.ann.id))
    asker = Asker(ann, "telegram", at)
    wanted = AddSchedule("2 0 * * *", "UTC", f"approve {YELLOW}", at)
    assert not isinstance(await siege.desk.runtime.ask(wanted, asker), NotDone)
    before = (await rows(siege.store))["Proposal"]
    await clock.sleeping(60)
    clock.leap(2 * MINUTE_MS + 1_000)
    await until_said(siege.store, "/approve needs the role trader")
    assert (await rows(siege.store))["Proposal"] == before
    assert is_paused(siege.desk)


@pytest.mark.parametrize("kind", [PrincipalKind.SCHEDULE, PrincipalKind.DESK])
@pytest.mark.parametrize("way", list(Way))
async def test_t10_what_is_no_person_decides_nothing(
    siege: Siege, kind: PrincipalKind, way: Way
) -> None:
    scene = siege.scene
    at = Address("telegram", str(scene.ann.id))
    machine = Asker(Principal(kind, str(scene.ann.id), Role.ADMIN, "ann", "ann"), "telegram", at)
    with pytest.raises(Refused, match="Only a person decides"):
        human(machine)
    person = Principal(PrincipalKind.PERSON, str(scene.ann.id), Role.ADMIN, "ann", "ann")
    borrowed = human(Asker(person, "telegram", at))
    async with siege.repels("Only a person decides"):
        for number in (YELLOW, RED):
            for by in (cast(Human, machine), borrowed):
                said_so = Decide(by, number, True, way, siege.proposal(number).phrase)
                result = await siege.desk.runtime.ask(said_so, machine)
                assert isinstance(result, NotDone) and "Only a person" in result.reason


def test_t10_one_command_decides_and_nothing_else_does() -> None:
    root = Path(__file__).parents[2]
    sources = [
        path for layer in ("bot", "engine", "handlers") for path in root.glob(f"{layer}/**/*.py")
    ]
    makers = {
        str(path.relative_to(root))
        for path in sources
        if any(
            "Decide(" in line and not line.strip().startswith(("class ", "case "))
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    }
    assert makers == {"handlers/proposals.py"}


# -- T11 ---------------------------------------------------------------------------------


async def test_t11_proposals_sessions_and_lock_outs_survive_a_restart(
    scene: Scene, clock: HandClock
) -> None:
    store = await open_store(f"sqlite:///{scene.folder / 'desk.db'}")
    async with scene.open_desk(store=store, **staff(scene)):
        seed = await enroll(scene, scene.tom, clock)
        await scene.ask(scene.tom, f"/bot pause {BOT}")
        card = await scene.ask(scene.tom, f"/bot resume {BOT}")
        await scene.ask(scene.ann, "/halt")
        red = await scene.ask(scene.ann, "/resume")
        for _ in range(3):
            await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=red)
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        await scene.until_judged()
        assert [each.proposal_id for each in desk.desk.view().proposals] == [1, 2]
        assert is_paused(desk) and desk.desk.view().halted
        # A code is good once, whichever desk it was said to.
        scene.server.write(scene.tom, card.chat, f"/unlock {code(seed, clock)}")
        await scene.told(card.chat, "was used already")
        # The session goes on.
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")
        # So do the tries.
        fourth = await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=red)
        assert "1 more and you are locked out" in (fourth.text or "")
        await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=red)
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        phrase = only(desk).phrase
        locked = await scene.ask(scene.ann, phrase, reply_to=red)
        assert "You are locked out" in (locked.text or "")
        clock.leap(15 * MINUTE_MS)
        await scene.until_judged()
        again = await scene.ask(scene.ann, "/resume")
        await scene.ask(scene.ann, only(desk).phrase, reply_to=again)
        assert not desk.desk.view().halted
    await store.close()


async def test_t11_a_cool_down_survives_a_restart(scene: Scene) -> None:
    store = await open_store(f"sqlite:///{scene.folder / 'desk.db'}")
    market = quiet_market()
    first = market.coming[0].candle.ts
    bars = course(100_015.0, [(2, 5.0)])
    async with scene.open_desk(market, store=store, **staff(scene)) as desk:
        for line, place, told in (("/buy BTC 500", 0, "Bought "), ("/close BTC", 1, "Sold ")):
            card = await scene.ask(scene.tom, line)
            scene.press(scene.tom, card, "Confirm")
            await scene.shown(card, "approved by tom")
            market.tell(BTC, bars[place]._replace(ts=first + (3 + place) * BAR))
            await scene.told(scene.private(scene.ann), told)
        cooling = cool_down(desk)
        assert "min left" in cooling
    async with scene.open_desk(LiveMarket({BTC: [], ETH: []}), store, **staff(scene)) as desk:
        assert cool_down(desk) == cooling
    await store.close()


def cool_down(desk: ChatDesk) -> str:
    [why] = desk.desk.why(BTC)
    return next(gate.detail for gate in why.gates if gate.gate == "cool-down")


# -- T14 ---------------------------------------------------------------------------------

NOBODY, VIEWER, TRADER, ADMIN = Role
LOOKS, ACTS, PRESSED, TYPED = Kind.READ, Kind.WRITE, Kind.SENSITIVE, Kind.CRITICAL

# Every command, in an order in which each has something to do: its class, the least role, and
# what is typed; `{open}` is the newest proposal.
CLASSES: dict[str, tuple[Kind, Role, str]] = {
    "start": (LOOKS, VIEWER, "/start"),
    "menu": (LOOKS, VIEWER, "/menu"),
    "help": (LOOKS, VIEWER, "/help"),
    "status": (LOOKS, VIEWER, "/status"),
    "health": (LOOKS, VIEWER, "/health"),
    "wait": (LOOKS, VIEWER, "/wait"),
    "outbox": (LOOKS, ADMIN, "/outbox"),
    "version": (LOOKS, VIEWER, "/version"),
    "settings": (LOOKS, ADMIN, "/settings"),
    "bot list": (LOOKS, VIEWER, "/bot list"),
    "positions": (LOOKS, VIEWER, "/positions"),
    "portfolio": (LOOKS, VIEWER, "/portfolio"),
    "pnl": (LOOKS, VIEWER, "/pnl"),
    "report": (LOOKS, VIEWER, "/report"),
    "trades": (LOOKS, VIEWER, "/trades"),
    "orders": (LOOKS, VIEWER, "/orders"),
    "order": (LOOKS, VIEWER, "/order P00000001"),
    "proposals": (LOOKS, VIEWER, "/proposals"),
    "approvers": (LOOKS, VIEWER, "/approvers"),
    "preview": (LOOKS, VIEWER, "/preview buy ETH 500"),
    "price": (LOOKS, VIEWER, "/price BTC"),
    "chart": (LOOKS, VIEWER, "/chart BTC"),
    "symbols": (LOOKS, VIEWER, "/symbols"),
    "data": (LOOKS, VIEWER, "/data"),
    "backtest": (LOOKS, TRADER, "/backtest shortseller BTC 1"),
    "backtest list": (LOOKS, VIEWER, "/backtest list"),
    "backtest show": (LOOKS, VIEWER, "/backtest show 1"),
    "backtest cancel": (LOOKS, TRADER, "/backtest cancel 1"),
    "compare": (LOOKS, VIEWER, "/compare 1 1"),
    "why": (LOOKS, VIEWER, "/why BTC"),
    "patterns": (LOOKS, VIEWER, "/patterns BTC"),
    "regime": (LOOKS, VIEWER, "/regime BTC"),
    "signals": (LOOKS, VIEWER, "/signals"),
    "quality": (LOOKS, VIEWER, "/quality"),
    "strategy list": (LOOKS, VIEWER, "/strategy list"),
    "strategy show": (LOOKS, VIEWER, "/strategy show rsi"),
    "analytics": (LOOKS, VIEWER, "/analytics"),
    "performance": (LOOKS, VIEWER, "/performance by:entry"),
    "exits": (LOOKS, VIEWER, "/exits"),
    "daily": (LOOKS, VIEWER, "/daily"),
    "weekly": (LOOKS, VIEWER, "/weekly"),
    "monthly": (LOOKS, VIEWER, "/monthly"),
    "alerts": (LOOKS, VIEWER, "/alerts"),
    "schedule list": (LOOKS, VIEWER, "/schedule list"),
    "people": (LOOKS, ADMIN, "/people"),
    "whoami": (LOOKS, NOBODY, "/whoami"),
    "audit": (LOOKS, ADMIN, "/audit"),
    "audit export": (LOOKS, ADMIN, "/audit export"),
    "buy": (PRESSED, TRADER, "/buy ETH 500"),
    "sell": (PRESSED, TRADER, "/sell ETH 500"),
    "close": (PRESSED, TRADER, "/close BTC"),
    "stops": (PRESSED, TRADER, "/stops BTC 104000"),
    "be": (ACTS, TRADER, "/be BTC"),
    "cancel": (ACTS, TRADER, "/cancel all"),
    "tune show": (LOOKS, VIEWER, "/tune show leverage"),
    "tune set": (PRESSED, TRADER, "/tune set leverage 9"),
    "strategy set": (PRESSED, TRADER, f"/strategy set {BOT} margin 4%"),
    "tune history": (LOOKS, VIEWER, "/tune history"),
    "tune outcomes": (LOOKS, VIEWER, "/tune outcomes"),
    "tune snapshot": (ACTS, TRADER, "/tune snapshot calm"),
    "tune diff": (LOOKS, VIEWER, "/tune diff calm"),
    "tune rollback": (TYPED, ADMIN, "/tune rollback calm"),
    "undo": (PRESSED, TRADER, "/undo"),
    "tune run": (LOOKS, TRADER, "/tune run"),
    "tune study": (LOOKS, VIEWER, "/tune study"),
    "tune cancel": (LOOKS, TRADER, "/tune cancel 1"),
    "tune check": (LOOKS, TRADER, "/tune check"),
    "tune stop": (ACTS, TRADER, "/tune stop news"),
    "ask": (LOOKS, VIEWER, "/ask what do we hold?"),
    "analyze": (LOOKS, VIEWER, "/analyze BTC"),
    "analysis": (LOOKS, VIEWER, "/analysis"),
    "aicost": (LOOKS, VIEWER, "/aicost"),
    "bias": (LOOKS, VIEWER, "/bias"),
    "autopsy": (LOOKS, VIEWER, "/autopsy"),
    "suggest": (LOOKS, TRADER, "/suggest"),
    "briefing": (LOOKS, VIEWER, "/briefing"),
    "tune resume": (PRESSED, TRADER, "/tune resume"),
    "bot pause": (ACTS, TRADER, f"/bot pause {BOT}"),
    "bot resume": (PRESSED, TRADER, f"/bot resume {BOT}"),
    "bot add": (PRESSED, TRADER, "/bot add momentum ETH"),
    "bot remove": (PRESSED, TRADER, f"/bot remove {BOT}"),
    "strategy off": (ACTS, TRADER, f"/strategy off {BOT} ETH"),
    "strategy on": (PRESSED, TRADER, f"/strategy on {BOT} ETH"),
    "side": (PRESSED, TRADER, "/side long_only 12h"),
    "approve": (ACTS, TRADER, "/approve {open}"),
    "risk": (LOOKS, VIEWER, "/risk"),
    "locks": (LOOKS, VIEWER, "/locks"),
    "lift": (PRESSED, TRADER, "/lift BTC"),
    "breaker": (PRESSED, TRADER, "/breaker reset"),
    "cooldown": (TYPED, ADMIN, "/cooldown clear"),
    "halt": (ACTS, TRADER, "/halt"),
    "kill": (ACTS, TRADER, "/kill stop"),
    "reconcile": (LOOKS, VIEWER, "/reconcile"),
    "sync status": (LOOKS, VIEWER, "/sync status"),
    "mode": (LOOKS, VIEWER, "/mode"),
    "discard": (PRESSED, TRADER, "/discard BTC"),
    "accept": (PRESSED, TRADER, "/accept BTC"),
    "sync run": (PRESSED, TRADER, "/sync run 7"),
    "arm": (TYPED, ADMIN, "/arm"),
    "resume": (TYPED, ADMIN, "/resume"),
    "reject": (ACTS, TRADER, "/reject 3"),
    "subscribe": (ACTS, ADMIN, "/subscribe"),
    "unsubscribe": (ACTS, ADMIN, "/unsubscribe"),
    "alert": (ACTS, TRADER, "/alert BTC above 900000"),
    "unalert": (ACTS, TRADER, "/unalert 1"),
    "schedule add": (ACTS, TRADER, "/schedule add 08:00 status"),
    "schedule run": (LOOKS, VIEWER, "/schedule run 1"),
    "schedule remove": (ACTS, TRADER, "/schedule remove 1"),
    "access": (TYPED, NOBODY, "/access"),
    "role": (TYPED, ADMIN, "/role vic trader"),
    "unenroll": (TYPED, ADMIN, "/unenroll tom"),
    "unlock": (ACTS, VIEWER, "/unlock 123456"),
    "link": (ACTS, NOBODY, "/link"),
    "enroll": (ACTS, VIEWER, "/enroll"),
    "lock": (ACTS, VIEWER, "/lock"),
}
# What has nothing to do for who is allowed to say it.
IN_VAIN = {
    "Allowed: 3 to 3650: shortseller warms up",
    "There is no backtest 1.",
    "Backtest 1 neither waits nor runs",
    "You are viewer already",
    "You are trader already",
    "You are admin already",
    "There is no schedule 1",
    "No order is open.",
    "No lock is there to lift",
    "No limit of losses cuts or stops anything",
    "The circuit breaker is not open",
    "none: nothing is scheduled",
    "You have no authenticator: your session needs no code",
    "with the account that the desk knows",
    "/buy needs the role trader",
    "ann is the only admin who can act",
    "stands in countersign.toml",
    "No change of parameters is there to take back",
    "All parameters are as in snapshot",
    "snapshot: 'calm' is not valid",
    "traded nothing that could be compared",
    "Orders are filled on paper",
}
TIERS = {PRESSED: Tier.YELLOW, TYPED: Tier.RED}
# Of one person only so many may wait.
REJECTED = {"tune set", "strategy set", "tune resume"}


def test_t14_every_command_stands_in_the_table_with_its_class_and_role() -> None:
    assert {each.name: (each.kind, each.role) for each in COMMANDS} == {
        name: (kind, role) for name, (kind, role, _) in CLASSES.items()
    }


@pytest.mark.parametrize("role", list(Role), ids=lambda role: role.word)
async def test_t14_no_role_makes_a_command_act_beyond_its_class(role: Role) -> None:
    bars = course(100_000.0, FALLING_TWICE)
    store = MemoryStore()
    market = ScriptedMarket({BTC: bars, ETH: quiet(len(bars))})
    runtime, desk = await build(market, store)
    async with asyncio.TaskGroup() as tasks:
        trading = tasks.create_task(runtime.run())
        await runtime.until_caught_up()
        if role is ADMIN:
            await say(desk, "/enroll", TRADER, in_chat=True)
            shown = pyotp.TOTP(totp.seed(SECRET, "tom", 1)).at(desk.clock.now() // 1000)
            assert (await say(desk, f"/enroll {shown}", TRADER, in_chat=True)).ok
        for name, (kind, least, line) in CLASSES.items():
            before, known = await rows(store), set(await store.recent(Proposal))
            last = max((each.proposal_id for each in known), default=1)
            answer = await say(desk, line.format(open=last), role, in_chat=True)
            after = await rows(store)
            fresh = set(await store.recent(Proposal)) - known
            where = f"{name} as {role.word}: {answer.error}"
            in_vain = any(words in (answer.error or "") for words in IN_VAIN)
            if role < least:
                assert f"/{name} needs the role {least.word}" in (answer.error or ""), where
            if role < least or in_vain or kind is LOOKS:
                assert after == before, where
                assert answer.ok is (role >= least and not in_vain), where
            elif kind in TIERS:
                assert answer.ok, where
                [proposal] = fresh
                assert (proposal.tier, proposal.state) == (TIERS[kind], ProposalState.OPEN), where
                assert without_proposals(after) == without_proposals(before), where
                if name in REJECTED:
                    assert (await say(desk, f"/reject {proposal.proposal_id}", role)).ok
            else:
                assert answer.ok, where
                assert {each.state for each in fresh} <= {
                    ProposalState.DONE,
                    ProposalState.REJECTED,
                }, where
        runtime.stop()
        await trading


def without_proposals(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "Proposal"}
