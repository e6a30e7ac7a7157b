"""What a button carries, and what it is taken for when it comes back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.offers import DATA_BYTES_MAX, GOOD_FOR_MS, Offers, Pressed, pressed
from bot.people import People
from bot.tokens import LENGTH
from bot.update import Update, UpdateKind
from engine.errors import Unreachable
from engine.mail import Address, ChatKind, Offer
from engine.people import Identity, Person, Principal, PrincipalKind, Role
from engine.proposal import Proposal, ProposalState
from engine.store.memory import MemoryStore
from handlers import COMMANDS
from handlers.cards import buttons as buttons_of
from handlers.command import Kind
from handlers.reply import Button
from tests.chat.posts import offers_of
from tests.clock import FakeClock
from tests.proposals import NOW, PHRASE, RED, YELLOW

ANN, TOM = "7", "8"
HERE, GROUP = Address("telegram", ANN), Address("telegram", "-100", "5")
PEOPLE = People(
    [Person("ann", "ann", Role.ADMIN), Person("tom", "tom", Role.TRADER)],
    [Identity("telegram", ANN, "ann"), Identity("telegram", TOM, "tom")],
    [],
)


def offers(*known: Proposal) -> Offers:
    """What buttons carry on a desk with these proposals."""
    found = {each.proposal_id: each for each in known}

    async def proposal(proposal_id: int) -> Proposal | None:
        return found.get(proposal_id)

    return offers_of(MemoryStore().mail, FakeClock(), PEOPLE, proposal)


async def data(*buttons: Button, edit: bool = True) -> list[str]:
    return await offers().data(HERE, buttons, edit)


async def token(shown: Proposal, at: Address = HERE, approves: bool = True) -> str:
    """What the button beneath a card carries."""
    carried = await offers().data(at, buttons_of(shown), edit=True)
    return carried[0 if approves else 1]


def press(decision: str, user_id: str = ANN, at: Address = HERE) -> Update:
    return Update(
        "telegram", "1", UpdateKind.BUTTON, user_id, at, ChatKind.PRIVATE, NOW, decision=decision
    )


def principal(role: Role) -> Principal:
    return Principal(PrincipalKind.PERSON, ANN, role, "ann", "ann")


async def test_a_button_that_looks_carries_its_command_and_edits_its_card() -> None:
    assert await data(Button("1h", "/chart BTCUSDT 1h")) == ["r:chart BTCUSDT 1h"]
    assert pressed("r:chart BTCUSDT 1h") == Pressed("/chart BTCUSDT 1h", edit=True)


async def test_beneath_news_a_look_is_a_message_of_its_own() -> None:
    assert await data(Button("Chart", "/chart BTCUSDT"), edit=False) == ["n:chart BTCUSDT"]
    assert pressed("n:chart BTCUSDT") == Pressed("/chart BTCUSDT")


async def test_a_button_that_asks_first_names_what_it_asks_for() -> None:
    button = Button("Alert", "/alert BTCUSDT", asks=("direction", "price"))
    assert await data(button) == ["a:alert BTCUSDT|direction,price"]
    assert pressed("a:alert BTCUSDT|direction,price") == Pressed(
        "/alert BTCUSDT", asks=("direction", "price")
    )


async def test_a_button_that_acts_is_kept_and_carries_only_its_number() -> None:
    mail, clock = MemoryStore().mail, FakeClock()
    offers = offers_of(mail, clock, PEOPLE)
    buttons = [Button("Status", "/status"), Button("Pause", "/bot pause shortseller_001")]
    look, act = await offers.data(HERE, buttons, edit=True)
    assert look == "r:status"
    found = pressed(act)
    assert found is not None
    assert await mail.offered(found.offer) == Offer(
        "telegram", "7", "/bot pause shortseller_001", clock.now() + GOOD_FOR_MS
    )


async def test_a_command_too_long_for_a_button_is_kept_too() -> None:
    (long,) = await data(Button("Help", "/help " + "x" * DATA_BYTES_MAX))
    assert long.startswith("b:")


@given(st.sampled_from(COMMANDS), st.text(max_size=80))
async def test_what_a_button_carries_always_fits(command, words) -> None:
    for carried in await data(Button("x", f"/{command.name} {words}")):
        assert len(carried.encode()) <= DATA_BYTES_MAX


MINE = Button("Pause", "/bot pause shortseller_001", only_asker=True)


@pytest.mark.parametrize(
    ("at", "asker", "whose"),
    [
        (GROUP, TOM, TOM),
        (HERE, ANN, ANN),
        # Nobody asked: in private it is theirs, in a group it is nobody's.
        (HERE, "", ANN),
        (GROUP, "", GROUP.chat_id),
    ],
)
async def test_a_button_for_whoever_asked_is_kept_with_their_account(
    at: Address, asker: str, whose: str
) -> None:
    mail = MemoryStore().mail
    offers = offers_of(mail, FakeClock(), PEOPLE)
    pause = Button("Pause", "/bot pause shortseller_001")
    carried = await offers.data(at, [MINE, pause], edit=True, user_id=asker)
    numbers = [found.offer for each in carried if (found := pressed(each))]
    kept = [await mail.offered(number) for number in numbers]
    assert [each.user_id for each in kept if each] == [whose, ""]


@pytest.mark.parametrize("command", ["/status", "/kill", "/access"])
async def test_what_carries_its_command_is_kept_where_it_is_for_whoever_asked(command: str) -> None:
    (anybody,) = await data(Button("x", command))
    (asker,) = await data(Button("x", command, only_asker=True))
    assert (anybody[:2], asker[:2]) == ("r:", "b:")


async def test_a_button_of_the_emergency_stop_needs_no_row() -> None:
    (carried,) = await data(Button("Also close positions", "/kill flatten"))
    assert carried == "r:kill flatten"
    assert pressed(carried) == Pressed("/kill flatten", edit=True)


ACTING = [c.name for c in COMMANDS if c.kind is not Kind.READ and not c.emergency]


@pytest.mark.parametrize("command", ACTING)
@pytest.mark.parametrize("kind", ["r", "n"])
def test_a_reading_button_never_acts_whatever_it_was_made_to_carry(kind: str, command: str) -> None:
    assert pressed(f"{kind}:{command} shortseller_001") is None


@pytest.mark.parametrize(
    "forged", ["", "r", "r:", "b:", "b:-1", "b:1.5", "b:١", "b:" + "9" * 40, "a:alert", "x:status"]
)
def test_what_no_button_of_ours_carries_is_nothing(forged: str) -> None:
    assert pressed(forged) is None


@given(st.text(max_size=70))
def test_nothing_that_is_carried_can_break_the_reading(carried: str) -> None:
    pressed(carried)


# -- buttons that decide -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "approves", "line", "asks"),
    [
        (YELLOW, True, "/approve 17", False),
        (YELLOW, False, "/reject 17", False),
        (RED, True, "/approve 17", True),
        (RED, False, "/reject 17", False),
    ],
)
async def test_a_button_that_decides_carries_a_token_and_nothing_else(
    shown: Proposal, approves: bool, line: str, asks: bool
) -> None:
    carried = await token(shown, approves=approves)
    assert len(carried) == LENGTH <= DATA_BYTES_MAX
    assert pressed(carried) == Pressed(
        line=line, edit=True, decision=carried, proposal_id=17, asks_phrase=asks
    )


async def test_beneath_news_too_it_carries_its_token() -> None:
    carried = await offers().data(HERE, buttons_of(RED), edit=False)
    assert carried == await offers().data(HERE, buttons_of(RED), edit=True)


async def test_a_token_decides_its_proposal_in_its_place_and_for_its_person() -> None:
    carried = await token(RED)
    assert await offers(RED).decided(press(carried)) == RED
    elsewhere = {
        "another person": press(carried, TOM),
        "another chat": press(carried, at=Address("telegram", TOM)),
        "another topic": press(carried, at=replace(HERE, thread_id="5")),
        "no token": press("/approve 17"),
        "forged": press(carried[:-1] + "A"),
        "none": press(""),
    }
    for why, update in elsewhere.items():
        assert await offers(RED).decided(update) is None, why
    assert await offers().decided(press(carried)) is None
    assert await offers(replace(RED, instruction="SetRole {}")).decided(press(carried)) is None
    assert await offers(YELLOW).decided(press(carried)) is None


async def test_in_a_group_a_token_is_for_anybody_who_may() -> None:
    carried = await token(RED, GROUP)
    for user_id in (ANN, TOM, "666"):
        assert await offers(RED).decided(press(carried, user_id, GROUP)) == RED


async def test_a_channel_that_nobody_subscribed_is_no_person_s_own_chat() -> None:
    channel = Address("discord", "1234567890")
    update = replace(press(await token(RED, channel), ANN, channel), surface="discord")
    assert await offers(RED).decided(update) == RED


async def test_whoever_may_approve_is_asked_for_the_phrase() -> None:
    assert await offers(RED).phrase(press(await token(RED)), principal(Role.ADMIN)) == PHRASE


async def test_nobody_is_asked_for_a_phrase_who_can_not_decide_with_it() -> None:
    carried, admin = await token(RED), principal(Role.ADMIN)
    assert await offers(RED).phrase(press(carried), principal(Role.TRADER)) == ""
    assert await offers(RED).phrase(press(carried, TOM), admin) == ""
    assert await offers().phrase(press(carried), admin) == ""
    for state in set(ProposalState) - {ProposalState.OPEN}:
        assert await offers(replace(RED, state=state)).phrase(press(carried), admin) == ""
    late = replace(RED, expires_at=NOW)
    assert await offers(late).phrase(press(await token(late)), admin) == ""


async def test_whoever_asked_is_asked_for_no_phrase_where_others_must_approve() -> None:
    own = replace(RED, asked_by="ann", needed=1)
    carried, admin = await token(own), principal(Role.ADMIN)
    assert await offers(own).phrase(press(carried), admin) == ""
    alone = replace(RED, asked_by="ann")
    assert await offers(alone).phrase(press(await token(alone)), admin) == PHRASE


async def test_without_a_database_nobody_is_asked_for_a_phrase() -> None:
    async def locked(proposal_id: int) -> Proposal | None:
        raise Unreachable("the database is locked")

    made = offers_of(MemoryStore().mail, FakeClock(), PEOPLE, locked)
    assert await made.phrase(press(await token(RED)), principal(Role.ADMIN)) == ""
