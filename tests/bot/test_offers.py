"""What a button carries, and what it is taken for when it comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.offers import DATA_BYTES_MAX, GOOD_FOR_MS, Offers, Pressed, pressed
from engine.mail import Address, Offer
from engine.store.memory import MemoryStore
from handlers import COMMANDS
from handlers.command import Kind
from handlers.reply import Button
from tests.clock import FakeClock

HERE = Address("telegram", "7")


async def data(*buttons: Button, edit: bool = True) -> list[str]:
    return await Offers(MemoryStore().mail, FakeClock()).data(HERE, buttons, edit)


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
    offers = Offers(mail, clock)
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


@pytest.mark.parametrize("command", [c.name for c in COMMANDS if c.kind is Kind.WRITE])
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
