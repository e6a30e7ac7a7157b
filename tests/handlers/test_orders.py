"""Orders by hand, and the switch that stops all entries."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from engine.desk import Desk
from engine.order import Order, Reason, Side
from engine.people import Role
from engine.proposal import ProposalKind, shown_of
from engine.tunable import Tier
from tests.handlers.desks import (
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    OpenDesk,
    ScriptedMarket,
    build,
    course,
    propose,
    quiet,
    say,
    text,
)

D = Decimal
OTHER = "shortseller_002"


@pytest.fixture
async def two_bots() -> AsyncIterator[Desk]:
    """A desk with two bots that trade the same symbols."""
    bars = course(100_000.0, FALLING_TWICE)
    market = ScriptedMarket({BTC: bars, ETH: quiet(len(bars))})
    runtime, desk = await build(market, bot_ids=(BOT, OTHER))
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await task


async def manual_orders(desk: Desk) -> list[Order]:
    by_hand = (Reason.MANUAL_ENTRY, Reason.MANUAL_EXIT)
    return [order for order in await desk.store.recent(Order) if order.reason in by_hand]


async def test_an_order_by_hand_waits_for_its_authors_own_confirmation(desk: Desk) -> None:
    proposal = await propose(desk, "/sell ETH 1k", Role.TRADER)
    assert (proposal.tier, proposal.kind) == (Tier.YELLOW, ProposalKind.ORDER)
    assert proposal.expires_at - proposal.created_at == 60_000
    assert await manual_orders(desk) == []

    answer = await say(desk, "/approve 1", Role.TRADER, in_chat=True)
    assert text(answer) == "Sell 0.28 ETHUSDT is sent."
    assert "1 order is on its way." in text(await say(desk, "/positions"))
    [order] = await manual_orders(desk)
    assert (order.symbol, order.side, order.reduce_only) == (ETH, Side.SELL, False)
    assert order.quantity == D("0.28")


@pytest.mark.parametrize(
    ("line", "side", "stop", "target"),
    [
        ("/buy ETH 100 stop=3000 target=4000", Side.BUY, D(3000), D(4000)),
        (f"/sell ETH 100 {BOT} 4000 3000", Side.SELL, D(4000), D(3000)),
    ],
)
async def test_stop_and_target_are_those_that_were_asked_for(
    desk: Desk, line: str, side: Side, stop: Decimal, target: Decimal
) -> None:
    ticket = shown_of(await propose(desk, line)).ticket
    assert ticket is not None
    assert (ticket.side, ticket.stop_loss, ticket.take_profit) == (side, stop, target)


@pytest.mark.parametrize(
    ("line", "fraction"), [("/close BTC", 1), ("/close BTC half", 2), ("/close BTC 25%", 4)]
)
async def test_a_position_is_closed_whole_or_in_part(desk: Desk, line: str, fraction: int) -> None:
    held = abs(desk.view().positions[0].position.quantity)
    ticket = shown_of(await propose(desk, line)).ticket
    assert ticket is not None
    assert (ticket.side, ticket.reduce_only) == (Side.BUY, True)
    assert ticket.quantity == held / fraction


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/close ETH", "No ETHUSDT is held. Held: BTCUSDT."),
        ("/sell BTC 500", "BTCUSDT is held already (0."),
        (
            "/buy ETH 30",
            "30.00 USDT buys less than 0.01 ETH, the least there is: about 35 USDT at 3,500.0.",
        ),
        ("/sell ETH 34.99", "34.99 USDT sells less than 0.01 ETH"),
        ("/close DOGE", "symbol: 'DOGE' is not valid. Allowed: BTCUSDT, ETHUSDT."),
        ("/buy ETH", "amount is missing: an amount of USDT, as in 100 or 1.5k."),
        ("/buy ETH much", "amount: 'much' is not valid. Allowed: an amount of USDT, decimals with"),
        ("/buy ETH 100 stop=9999", "stop: '9999' is not valid. Allowed: a price below 3500."),
        ("/buy ETH 100 bot=other", f"bot: 'other' is not valid. Allowed: {BOT}."),
    ],
)
async def test_what_can_not_be_ordered_is_refused_with_what_can(
    desk: Desk, line: str, error: str
) -> None:
    answer = await say(desk, line)
    assert answer.error is not None
    assert answer.error.startswith(error)
    assert desk.view().proposals == ()


async def test_where_several_bots_trade_a_symbol_one_must_be_named(two_bots: Desk) -> None:
    answer = await say(two_bots, "/buy ETH 100")
    assert answer.error == (
        f"bot is missing: {BOT}, {OTHER} have ETHUSDT. Say which, as in /buy ETHUSDT ... bot={BOT}."
    )
    ticket = shown_of(await propose(two_bots, f"/buy ETH 100 {OTHER}")).ticket
    assert ticket is not None and ticket.bot_id == OTHER


async def test_a_halt_acts_at_once_and_a_resume_waits_for_an_admins_phrase(desk: Desk) -> None:
    halted = await say(desk, "/halt", Role.TRADER, in_chat=True)
    assert text(halted).startswith("Halted: ")
    assert desk.view().halted == "by tom"
    proposal = await propose(desk, "/resume")
    assert proposal.tier is Tier.RED
    assert desk.view().halted

    # Where somebody sits at the machine, the phrase can be typed.
    answer = await say(desk, f"/approve {proposal.proposal_id} {proposal.phrase}")
    assert text(answer) == "Trading is on again."
    assert desk.view().halted == ""


@pytest.mark.parametrize(
    "line",
    [
        "/halt now",
        "halt please",
        "/halt!",
        "stop",
        "PANIC",
        "/stopentry",
        "/halt reason=news",
        "/halt " + "x" * 900,
    ],
)
async def test_a_halt_acts_however_it_is_typed(desk: Desk, line: str) -> None:
    assert (await say(desk, line, Role.TRADER, in_chat=True)).ok
    assert desk.view().halted.startswith("by tom")


async def test_the_least_that_is_named_can_be_ordered(desk: Desk) -> None:
    assert (await propose(desk, "/buy ETH 35")).title.startswith("Buy 0.01 ETHUSDT")


async def test_nothing_is_closed_where_nothing_is_held(young_desk: Desk) -> None:
    assert (await say(young_desk, "/close all")).error == "Nothing is held."


async def test_nothing_can_be_opened_before_the_first_price(
    empty_desk: Desk, open_desk: OpenDesk
) -> None:
    answer = await say(empty_desk, "/buy BTC 100")
    assert answer.error == "BTCUSDT has no price yet."
