"""The card of a proposal, as it stands at every step of its life."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.desk import Desk
from engine.instruction import ResumeDesk
from engine.order import Side
from engine.people import Role
from engine.proposal import Proposal, ProposalState, Ticket, digest, shown_of
from engine.signal import GateResult
from engine.tunable import Tier
from handlers.cards import card
from handlers.reply import (
    Button,
    Code,
    Decides,
    Fields,
    Money,
    Price,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    show,
)
from handlers.tickets import risk_of, ticket_blocks
from tests.handlers.desks import BOT, BTC, fields, propose, rows, say, table, text

D = Decimal
NO_ORDER = ResumeDesk()


def words(answer: Reply, title: str) -> str:
    """What people read of fields, where they read no names and values."""
    return next(b.words for b in answer.blocks if isinstance(b, Fields) and b.title == title)


async def ticket_of(desk: Desk, line: str) -> Ticket:
    ticket = shown_of(await propose(desk, line)).ticket
    assert ticket is not None
    return ticket


@pytest.fixture
async def yellow(desk: Desk) -> Proposal:
    await say(desk, f"/bot pause {BOT}")
    return await propose(desk, f"/bot resume {BOT}", Role.TRADER)


@pytest.fixture
async def red(desk: Desk) -> Proposal:
    await say(desk, "/halt")
    return await propose(desk, "/resume")


def ended(proposal: Proposal, state: ProposalState, outcome: str) -> Reply:
    at = proposal.created_at + 30_000
    over = replace(proposal, state=state, decided_by="bob", decided_at=at, outcome=outcome)
    return card(over, at)


async def test_a_card_says_what_is_asked_by_whom_and_for_how_long(yellow: Proposal) -> None:
    answer = card(yellow, yellow.created_at + 60_000)
    assert answer.blocks[0] == Text(f"Proposal 1: Resume {BOT}")
    assert fields(answer, "Approval") == {
        "tier": "yellow",
        "asked_by": "tom",
        "approved": "0 of 1",
        "ends": Time(yellow.expires_at),
    }
    assert words(answer, "Approval") == "🟡 yellow · asked by tom · Confirm until 16:25:30 UTC"
    over_night = card(yellow, yellow.created_at - 86_400_000)
    assert words(over_night, "Approval").endswith("Confirm until 2025-01-03 16:25:30 UTC")
    assert rows(table(answer, "What changes")) == [
        {"what": BOT, "before": "paused", "after": "running"}
    ]


async def test_the_answer_to_whoever_asked_is_the_card(desk: Desk) -> None:
    await say(desk, f"/bot pause {BOT}")
    answer = await say(desk, f"/bot resume {BOT}", in_chat=True)
    [proposal] = desk.view().proposals
    assert replace(answer, badge=None) == card(proposal, desk.clock.now())
    assert answer.badge == "PAPER - scripted market"


async def test_what_is_yellow_is_confirmed_or_rejected_by_buttons_bound_to_it(
    yellow: Proposal,
) -> None:
    bound = (Tier.YELLOW, yellow.nonce, yellow.expires_at, digest(yellow))
    assert card(yellow, 0).buttons == (
        Button("Confirm", "/approve 1", decides=Decides(1, True, *bound)),
        Button("Reject", "/reject 1", decides=Decides(1, False, *bound)),
    )


async def test_what_is_red_says_its_risk_and_the_phrase_and_how_to_say_it(red: Proposal) -> None:
    answer = card(red, red.created_at)
    assert "Risk: Bots may open positions again" in text(answer)
    for surface in ("Telegram: reply to", "Discord: press Approve...", "console: /approve 1 and"):
        assert surface in text(answer)
    assert answer.blocks[-1] == Code(red.phrase)
    approve, reject = answer.buttons
    assert (approve.label, approve.usage) == ("Approve...", "/approve 1 <phrase>")
    assert (reject.label, reject.usage) == ("Reject", "/reject 1")
    assert approve.decides is not None and approve.decides.tier is Tier.RED


async def test_how_many_others_must_approve_is_told(red: Proposal) -> None:
    told = fields(card(replace(red, needed=2, approved=1), 0), "Approval")
    assert (told["approved"], told["needed"]) == ("1 of 2", "2 other than ann")
    two, one, none = (
        words(card(replace(red, needed=needed), red.created_at), "Approval") for needed in (2, 1, 0)
    )
    assert "needs 2 other than ann · approved 0 of 2 · Approve until" in two
    assert "needs 1 other than ann · Approve until" in one
    assert "0 of" not in one + none


async def test_an_order_shows_its_ticket_and_what_each_gate_says(desk: Desk) -> None:
    proposal = await propose(desk, "/sell ETH 1k stop=3600 target=3000")
    answer = card(proposal, proposal.created_at)
    ticket = fields(answer, "Order")
    assert {name: ticket[name] for name in ("order", "quantity", "price", "stop", "target")} == {
        "order": "sell at the market",
        "quantity": Quantity(D("0.28")),
        "price": Price(D("3500.0"), 1),
        "stop": Price(D(3600), 0),
        "target": Price(D(3000), 0),
    }
    assert isinstance(ticket["loss_at_stop"], Money)
    assert ticket["loss_at_stop"].amount == D(28)
    assert {"value", "leverage", "margin", "fee", "share_of_account"} <= set(ticket)
    assert fields(answer, "Gates")["size"] == "passes: 0.28 for 98.00 margin"
    assert words(answer, "Order").splitlines() == [
        "Sell 0.28 ETH (980.00 of the 1,000.00 USDT asked) at about 3,500.0",
        "Stop 3,600: -28.00 · target 3,000 · fee 0.00",
        "10x, margin 98.00 · 9.80% of the account · liquidation at about 3,841.25",
        "Its stop, its target or a person closes it, never the bot's strategy",
    ]
    assert words(answer, "Gates") == (
        "All 6 gates pass: mode and kill, market open, fresh price, one position a symbol, size, "
        "instrument limits"
    )


async def test_a_gate_that_refuses_says_why(desk: Desk) -> None:
    ticket = await ticket_of(desk, "/sell ETH 1k")
    shut = GateResult("size", False, "needs 98.00 margin, 3.00 is free")
    [_, gates] = ticket_blocks(replace(ticket, gates=(shut, *ticket.gates[:1])), NO_ORDER)
    assert isinstance(gates, Fields)
    assert gates.words.splitlines() == [
        "Refused by size: needs 98.00 margin, 3.00 is free",
        "The others pass: mode and kill",
    ]


async def test_what_may_be_lost_beyond_what_one_thinks_is_said(desk: Desk) -> None:
    ticket = await ticket_of(desk, "/sell ETH 1k stop=3600")
    assert risk_of(ticket) == ""
    assert risk_of(replace(ticket, share=D("5.4"), loss_at_stop=D("15.79"))) == (
        "5.4 times the account; the stop costs 8.70% of it."
    )
    assert risk_of(replace(ticket, stop_loss=D(3850))) == (
        "the stop lies beyond the liquidation: all of the margin, 98.00, may be lost."
    )
    assert risk_of(replace(ticket, stop_loss=None, loss_at_stop=None)) == (
        "there is no stop: all of the margin, 98.00, may be lost."
    )
    proposal = await propose(desk, "/sell ETH 1k stop=4000")
    assert "Risk: the stop lies beyond the liquidation" in text(card(proposal, 0))


async def test_an_order_that_the_price_ran_away_from_is_asked_for_again_with_one_press(
    desk: Desk,
) -> None:
    proposal = await propose(desk, "/sell ETH 1k stop=3600")
    over = replace(proposal, state=ProposalState.VOID, decided_at=proposal.created_at)
    moved = replace(over, outcome="the price was 3500, it is 3600 (+2.86%, allowed 0.5%)")
    again = f"/sell ETHUSDT 1000 bot={BOT} stop=3600"
    assert card(moved, 0).buttons == (Button("Sell again", again),)
    assert (await propose(desk, again)).shown == proposal.shown
    superseded = replace(over, outcome="it was asked for again as proposal 2")
    assert card(superseded, 0).buttons == ()


async def test_closing_shows_no_stop_and_meets_no_gate(desk: Desk) -> None:
    answer = card(await propose(desk, "/close BTC half"), 0)
    ticket = fields(answer, "Order")
    assert ticket["order"] == f"{Side.BUY.lower()} at the market, only to close"
    assert ticket["symbol"] == BTC
    assert not {"stop", "target", "loss_at_stop"} & set(ticket)
    assert not any(isinstance(block, Table) for block in answer.blocks)
    position = desk.view().positions[0].position
    held, price = -position.quantity, D(str(desk.view().prices[BTC]))
    realizes = Money(round(position.unrealized(price) / 2, 4), signed=True)
    assert ticket["realizes"] == realizes
    assert ticket["held_after"] == Quantity(-held / 2)
    lines = words(answer, "Order").splitlines()
    assert lines[1] == f"Held {held:f} short → {(held / 2).normalize():f} short"
    assert lines[2] == f"Realizes about {show(realizes)}, fee 0.00 counted"


async def test_what_waits_for_its_delay_can_only_be_rejected(red: Proposal) -> None:
    at = red.created_at
    approved = replace(
        red,
        state=ProposalState.APPROVED,
        approved=1,
        decided_by="bob",
        decided_at=at,
        effective_at=at + 60_000,
    )
    answer = card(approved, at + 15_000)
    assert [button.label for button in answer.buttons] == ["Reject"]
    assert fields(answer, "Approval")["takes_effect"] == Time(at + 60_000)
    assert "it takes effect at 16:21:30 UTC, unless" in text(answer)
    assert "unless an admin rejects it before" in text(answer)
    assert not any(isinstance(block, Code) for block in answer.blocks)


@pytest.mark.parametrize(
    ("state", "outcome", "words"),
    [
        (ProposalState.DONE, "It is resumed.", "was approved by bob at {}. It is resumed."),
        (ProposalState.REJECTED, "", "was rejected by bob at {}. Nothing was changed."),
        (
            ProposalState.EXPIRED,
            "",
            "expired at {}: nobody decided it in time. Nothing was changed.",
        ),
        (
            ProposalState.VOID,
            "the price moved",
            "is void since {}: the price moved. Nothing was changed.",
        ),
    ],
)
async def test_what_has_ended_says_by_whom_when_and_how_and_has_no_buttons(
    red: Proposal, state: ProposalState, outcome: str, words: str
) -> None:
    answer = ended(red, state, outcome)
    assert answer.blocks[:2] == (
        Text("Proposal 1: Resume trading"),
        Text(f"Proposal 1 (Resume trading) {words.format('16:21:00 UTC')}"),
    )
    assert answer.buttons == ()
    assert not any(isinstance(block, Code | Fields) for block in answer.blocks)
