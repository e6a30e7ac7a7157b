"""Every kind of news, in one or two lines."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.alert import Alert, Direction
from engine.desk import Desk
from engine.effect import Notice, NoticeKind
from engine.order import Fill, Order, Reason, Side
from engine.people import Role
from engine.position import Trade
from engine.proposal import Proposal, ProposalState
from engine.tunable import Tier
from engine.tuning import ChangeKind, Moved, ParameterChange, Source
from handlers.notices import REASON_WORDS, notice_reply
from handlers.reply import Button, Chart, Code, Text
from tests.handlers.desks import BOT, propose, say
from tests.handlers.evidence import evidence

D = Decimal
# 2025-01-03 08:10 UTC
TS = 1_735_891_800_000
ALERT = Alert(3, "BTCUSDT", Direction.ABOVE, D("104000"), "telegram", "7", "", "ann", 1, TS)

CHANGE = ParameterChange(
    change_id=1,
    books="paper-sim42",
    kind=ChangeKind.SET,
    tier=Tier.GREEN,
    source=Source.TUNER,
    author="desk",
    reason="Fewer crosses, fewer fees.",
    moved=(Moved(BOT, "crosses_per_day", 12.0, 9.0, 1, 1.0, 100.0),),
    made_at=TS,
    told_at=TS,
    snapshot_id=1,
)


@pytest.fixture
async def facts(desk: Desk) -> tuple[list[Order], list[Fill], Trade]:
    orders = await desk.store.recent(Order)
    fills = await desk.store.recent(Fill)
    (trade,) = await desk.store.recent(Trade)
    return orders, fills, trade


Facts = tuple[list[Order], list[Fill], Trade]


@pytest.fixture
async def proposal(desk: Desk) -> Proposal:
    await say(desk, "/halt")
    return await propose(desk, "/resume")


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_of_notice_is_one_or_two_lines_with_working_words(
    kind: NoticeKind, facts: Facts, proposal: Proposal
) -> None:
    orders, fills, trade = facts
    notice = Notice(
        kind,
        TS,
        BOT,
        trade.account,
        trade.symbol,
        orders[0],
        fills[0],
        trade,
        D(9991),
        "a text",
        alert=ALERT,
        proposal=proposal,
        actor="ann",
        change=CHANGE,
    )
    answer = notice_reply(notice)
    block = answer.blocks[0]
    assert len(answer.blocks) == (2 if kind is NoticeKind.AUDIT_ANCHOR else 1)
    assert isinstance(block, Text)
    assert 1 <= len(block.text.splitlines()) <= 2
    assert "None" not in block.text
    assert all(button.command.startswith("/") for button in answer.buttons)


async def test_the_buttons_of_notices_are_commands_that_work(
    desk: Desk, facts: Facts, proposal: Proposal
) -> None:
    assert (await say(desk, "/tune set crosses_per_day 9")).ok
    await say(desk, f"/bot pause {BOT}")
    orders, fills, trade = facts
    for kind in NoticeKind:
        notice = Notice(
            kind,
            TS,
            BOT,
            trade.account,
            trade.symbol,
            orders[0],
            fills[0],
            trade,
            text="by ann",
            alert=ALERT,
            proposal=proposal,
            change=CHANGE,
        )
        for button in notice_reply(notice).buttons:
            assert (await say(desk, button.command)).ok, button


def test_an_entry_says_price_protection_reason_and_bot(facts: Facts) -> None:
    orders, fills, _ = facts
    notice = Notice(NoticeKind.ENTRY, fills[0].exec_time, BOT, order=orders[0], fill=fills[0])
    answer = notice_reply(notice)
    assert answer.blocks == (
        Text(
            "Sold 0.049 BTCUSDT at 101,600.0, stop 102,616.0, target 98,552.0.\n"
            "shortseller_001, 2025-01-03 05:45 UTC: the price fell through a long average."
        ),
    )
    assert answer.buttons == (
        Button("Chart", "/chart BTCUSDT"),
        Button("Why", "/why BTCUSDT"),
    )


async def test_whoever_asked_to_be_let_in_is_told_what_they_are_now(desk: Desk) -> None:
    await say(desk, "/access trader", Role.NOBODY, in_chat=True)
    [asked] = desk.view().proposals

    def told(state: ProposalState) -> str:
        ended = replace(asked, state=state, decided_by="ann", outcome="outcome")
        [block] = notice_reply(Notice(NoticeKind.PROPOSAL_ENDED, TS, proposal=ended)).blocks
        assert isinstance(block, Text)
        return block.text

    assert told(ProposalState.DONE) == "You are let in as trader. /start says what you can do."
    assert told(ProposalState.REJECTED) == "You are not let in. /access asks again."


def test_an_exit_says_result_reason_time_held_and_balance(facts: Facts) -> None:
    _, fills, trade = facts
    notice = Notice(
        NoticeKind.EXIT, trade.exit_time, BOT, fill=fills[1], trade=trade, balance=D("9991.1014")
    )
    assert notice_reply(notice).blocks == (
        Text(
            "Bought back 0.049 BTCUSDT at 101,680.0: -8.90 USDT net (-0.18%) after 2h 25m.\n"
            "shortseller_001, 2025-01-03 08:10 UTC: the price is on the wrong side of its average. "
            "Balance 9,991.10 USDT."
        ),
    )


def test_a_long_is_bought_and_sold_and_an_order_is_not_needed(facts: Facts) -> None:
    fill = replace(facts[1][0], side=Side.BUY, close_reason=Reason.STOP_LOSS)
    entry = notice_reply(Notice(NoticeKind.ENTRY, TS, BOT, fill=fill)).blocks[0]
    assert isinstance(entry, Text)
    assert entry.text.startswith("Bought 0.049 BTCUSDT at 101,600.0.\n")
    strange = Notice(NoticeKind.ENTRY, TS, BOT, fill=replace(fill, close_reason=Reason.EXTERNAL))
    [told] = notice_reply(strange).blocks
    assert isinstance(told, Text)
    assert "at 101,600.0, with no stop of the desk's.\n" in told.text
    part = notice_reply(Notice(NoticeKind.EXIT, TS, BOT, fill=replace(fill, side=Side.SELL)))
    assert isinstance(part.blocks[0], Text)
    assert part.blocks[0].text.startswith("Sold 0.049 BTCUSDT at 101,600.0: part of the position")
    assert part.blocks[0].text.endswith("stop loss.")


def test_a_rejected_order_says_what_was_wanted_and_why_not(facts: Facts) -> None:
    notice = Notice(NoticeKind.ORDER_REJECTED, TS, BOT, order=facts[0][0], text="no margin")
    assert notice_reply(notice).blocks == (
        Text(
            "The order to sell 0.049 BTCUSDT was not carried out: no margin.\n"
            "shortseller_001, 2025-01-03 08:10 UTC."
        ),
    )


@pytest.mark.parametrize(
    ("reason", "next_step"),
    [(Reason.MANUAL_EXIT, "/close tries again."), (Reason.MA_EXIT, "until it is closed.")],
)
def test_an_exit_that_failed_says_what_becomes_of_the_position(
    facts: Facts, reason: Reason, next_step: str
) -> None:
    order = replace(facts[0][0], reduce_only=True, reason=reason)
    answer = notice_reply(
        Notice(NoticeKind.ORDER_REJECTED, TS, BOT, order=order, text="it never reached it.")
    )
    [told] = answer.blocks
    assert isinstance(told, Text)
    first, _ = told.text.splitlines()
    assert "it never reached it. The position is open as before; " in first
    assert first.endswith(next_step)
    assert answer.buttons[0] == Button("Positions", "/positions")


@pytest.mark.parametrize(
    ("reason", "said"),
    [("withdrawn", " is withdrawn.\n"), ("", " is canceled.\n"), ("late", " is canceled: late.\n")],
)
def test_an_order_that_somebody_withdrew_says_so_once(facts: Facts, reason: str, said: str) -> None:
    [told] = notice_reply(
        Notice(NoticeKind.ORDER_CANCELED, TS, BOT, order=facts[0][0], text=reason)
    ).blocks
    assert isinstance(told, Text)
    assert f"BTCUSDT{said}" in told.text


def test_an_order_whose_fate_is_unknown_says_that_it_is_not_sent_again(facts: Facts) -> None:
    answer = notice_reply(
        Notice(NoticeKind.ORDER_UNKNOWN, TS, BOT, order=facts[0][0], text="no answer in 5 s")
    )
    assert answer.blocks == (
        Text(
            "An order to sell 0.049 BTCUSDT was sent, and nobody knows yet whether it arrived: no "
            "answer in 5 s. The exchange is being asked; nothing is sent again.\n"
            "shortseller_001, 2025-01-03 08:10 UTC."
        ),
    )
    assert Button("Reconcile", "/reconcile") in answer.buttons


@pytest.mark.parametrize(
    ("kind", "button"),
    [
        (NoticeKind.DIFFERENCE, Button("Reconcile", "/reconcile")),
        (NoticeKind.PROTECTION, Button("Positions", "/positions")),
    ],
)
def test_news_of_the_exchange_leads_to_where_it_is_mended(kind: NoticeKind, button: Button) -> None:
    answer = notice_reply(Notice(kind, TS, BOT, text="Something is to be done."))
    assert answer.blocks == (Text("Something is to be done."),)
    assert button in answer.buttons


def test_whoever_paused_a_bot_is_named_and_it_can_be_undone() -> None:
    answer = notice_reply(Notice(NoticeKind.BOT_PAUSED, TS, BOT, text="console:ann"))
    assert answer.blocks == (
        Text("shortseller_001 was paused by console:ann. Open positions are still managed."),
    )
    assert answer.buttons == (Button(f"Resume {BOT}", f"/bot resume {BOT}"),)


def test_every_reason_has_words() -> None:
    assert set(REASON_WORDS) == set(Reason)


def test_a_halt_by_the_desk_itself_begins_a_sentence_and_offers_the_way_back() -> None:
    notice = Notice(NoticeKind.DESK_HALTED, TS, text="the emergency stop's latch KILLED is set")
    answer = notice_reply(notice)
    [told] = answer.blocks
    assert isinstance(told, Text)
    assert "says /resume. The emergency stop's latch KILLED is set.\n" in told.text
    assert Button("Resume", "/resume") in answer.buttons


def test_a_halt_by_a_person_says_whose_it_is_and_how_it_ends() -> None:
    answer = notice_reply(Notice(NoticeKind.DESK_HALTED, TS, actor="ann"))
    assert answer.blocks == (
        Text(
            "HALTED by ann: no new positions until an admin says /resume.\n"
            "Open positions are still managed."
        ),
    )
    assert Button("Resume", "/resume") in answer.buttons


def test_where_there_are_no_cards_a_proposal_is_told_with_what_to_type(
    proposal: Proposal,
) -> None:
    (block,) = notice_reply(Notice(NoticeKind.PROPOSED, TS, proposal=proposal)).blocks
    assert isinstance(block, Text)
    assert block.text.startswith("Proposal 1: Resume trading. Asked by ann, ends ")
    assert f"/approve 1 {proposal.phrase} or /reject 1;" in block.text


def test_whoever_asked_is_told_in_one_sentence_how_it_ended(proposal: Proposal) -> None:
    ended = replace(proposal, state=ProposalState.REJECTED, decided_by="bob", decided_at=TS)
    (block,) = notice_reply(Notice(NoticeKind.PROPOSAL_ENDED, TS, proposal=ended)).blocks
    assert block == Text(
        "Proposal 1 (Resume trading) was rejected by bob at 08:10:00 UTC. Nothing was changed."
    )


def test_the_end_of_the_audit_can_be_copied() -> None:
    answer = notice_reply(Notice(NoticeKind.AUDIT_ANCHOR, TS, text="17:abc"))
    assert answer.blocks[1] == Code("17:abc")


# -- tuning ------------------------------------------------------------------------------


def tuned(**changes: Any) -> Notice:
    """News of change 1, as it is but for `changes`."""
    told = {"text": "Change 1: crosses_per_day from 12 to 9.", "actor": "ann", "change": CHANGE}
    return Notice(NoticeKind.TUNED, TS, BOT, **(told | changes))


def test_a_change_by_hand_says_what_who_why_and_that_nothing_watches_it() -> None:
    by_hand = replace(CHANGE, source=Source.PERSON, reason="too many fees")
    answer = notice_reply(tuned(change=by_hand))
    assert answer.blocks == (
        Text(
            "Change 1: crosses_per_day from 12 to 9.\n"
            "By ann: too many fees. Nothing watches it: too few closed trades say what to expect."
        ),
    )
    assert [button.command for button in answer.buttons] == ["/undo 1", "/tune history"]


def test_a_change_that_was_found_brings_its_evidence_and_picture() -> None:
    found = replace(CHANGE, study=7, expected=evidence().expected)
    answer = notice_reply(tuned(change=found, evidence=evidence()))
    words, picture = answer.blocks
    assert words == Text(
        "Change 1: crosses_per_day from 12 to 9.\n"
        "Out of sample +4.13% instead of +1.20%, drawdown 3.10% instead of 5.20%, Sharpe 1.80 "
        "instead of 0.41; 41 trades.\n"
        "Found by the tuner: Fewer crosses, fewer fees. Watched over 3 trades: below -3.0% at "
        "their end, or after a fall of 6.0%, it is rolled back by itself."
    )
    assert isinstance(picture, Chart)
    assert [button.command for button in answer.buttons] == [
        "/undo 1",
        "/tune study 7",
        "/tune history",
    ]


def test_a_roll_back_by_the_watch_says_so_and_offers_no_undo() -> None:
    back = replace(
        CHANGE, kind=ChangeKind.UNDO, source=Source.WATCH, reason="It fell by 7%", proposal_id=17
    )
    answer = notice_reply(tuned(change=back))
    [block] = answer.blocks
    assert isinstance(block, Text)
    assert block.text.endswith(
        "Called for by the watch, countersigned (proposal 17): It fell by 7%."
    )
    assert [button.command for button in answer.buttons] == ["/tune history"]
