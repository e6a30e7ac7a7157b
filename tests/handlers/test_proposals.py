"""Looking at what waits for a human, deciding it, and trying without changing anything."""

from dataclasses import replace

import pytest

from engine.desk import Desk
from engine.mail import ChatKind, Delivery, Priority, Sealed
from engine.people import PrincipalKind, Role
from engine.proposal import ProposalState, Way, digest
from engine.store.memory import MemoryStore
from handlers.command import Context
from handlers.dispatch import dispatch_line, dispatch_named
from handlers.proof import PRIVATELY
from handlers.reply import Duration, Reply, Text
from tests.clock import FakeClock, turn
from tests.handlers.desks import BOT, context, fields, propose, rows, say, table, text


@pytest.fixture
async def waiting(desk: Desk) -> Desk:
    """A desk where proposal 1 waits for a press and 2 for a phrase."""
    await say(desk, f"/bot pause {BOT}")
    await say(desk, "/halt")
    await propose(desk, f"/bot resume {BOT}", Role.TRADER)
    await propose(desk, "/resume")
    return desk


async def state(desk: Desk, number: int) -> ProposalState:
    found = await desk.proposal(number)
    assert found is not None
    return found.state


def phrase(desk: Desk) -> str:
    return desk.view().proposals[1].phrase


# -- looking -----------------------------------------------------------------------------


async def test_what_waits_is_listed_with_buttons_and_what_ended_below(waiting: Desk) -> None:
    await say(waiting, "/reject 1")
    answer = await say(waiting, "/proposals", Role.VIEWER)
    [open_] = rows(table(answer, "Waiting"))
    assert (open_["proposal"], open_["what"], open_["tier"]) == (2, "Resume trading", "red")
    assert open_["time_left"] == Duration(300_000)
    assert [button.label for button in answer.buttons] == ["Approve 2...", "Reject 2"]
    [over] = rows(table(answer, "Ended"))
    assert (over["proposal"], over["result"], over["by"]) == (1, "rejected", "ann at the console")


async def test_who_names_no_proposal_is_asked_which(waiting: Desk) -> None:
    assert (await say(waiting, "/approve")).error == "Which proposal? Open: 1, 2."
    await say(waiting, "/reject 1")
    await say(waiting, "/reject 2")
    assert (await say(waiting, "/reject")).error == "Which proposal? Open: none."


async def test_where_nothing_waits_it_says_so(desk: Desk) -> None:
    answer = await say(desk, "/proposals")
    assert table(answer, "Waiting").empty == "No proposal waits."
    assert answer.buttons == ()


async def test_the_card_of_one_can_be_asked_for_again(waiting: Desk) -> None:
    answer = await say(waiting, "/proposals 2")
    assert answer.blocks[0] == Text("Proposal 2: Resume trading")
    assert (await say(waiting, "/proposals 99")).error == (
        "There is no proposal 99. /proposals lists them."
    )


async def test_who_may_decide_what_is_told(waiting: Desk) -> None:
    answer = await say(waiting, "/approvers", Role.VIEWER)
    found = {row["name"]: row for row in rows(table(answer, "Approvers"))}
    assert set(found) == {"ann", "tom"}
    assert found["tom"]["decides"] == "yellow"
    assert found["ann"]["decides"] == "yellow and red"
    assert (found["ann"]["platforms"], found["ann"]["enrolled"]) == ("telegram", False)
    await say(waiting, "/lock tom", in_chat=True)
    answer = await say(waiting, "/approvers")
    locked = {row["name"]: row["locked_out"] for row in rows(table(answer, "Approvers"))}
    assert locked == {"ann": None, "tom": "until unlocked"}


# -- deciding ----------------------------------------------------------------------------


async def test_a_decision_is_made_once_and_the_second_is_told_by_whom(waiting: Desk) -> None:
    done = await say(waiting, "/approve 1", Role.TRADER, in_chat=True)
    assert text(done) == f"{BOT} is resumed. The desk is halted: nothing is opened until /resume."
    assert await state(waiting, 1) is ProposalState.DONE
    late = await say(waiting, "/approve 1", in_chat=True)
    assert late.error is not None and "was approved by tom" in late.error


async def test_a_proposal_that_is_not_there_is_refused(waiting: Desk) -> None:
    assert (await say(waiting, "/approve 99")).error == (
        "There is no open proposal 99. /proposals lists them."
    )


async def test_what_nobody_decided_in_time_is_over(waiting: Desk) -> None:
    assert isinstance(waiting.clock, FakeClock)
    waiting.clock.advance(300)
    late = await say(waiting, "/approve 1", Role.TRADER, in_chat=True)
    assert late.error is not None and "expired" in late.error
    assert await state(waiting, 1) is ProposalState.EXPIRED


async def test_a_phrase_typed_in_a_chat_is_no_fresh_reply(waiting: Desk) -> None:
    answer = await say(waiting, f"/approve 2 {phrase(waiting)}", in_chat=True)
    assert answer.error == "Reply to the card of proposal 2 with its phrase."


@pytest.mark.parametrize("way", [Way.REPLY, Way.FORM])
async def test_a_phrase_is_taken_from_a_reply_and_from_a_form(waiting: Desk, way: Way) -> None:
    said = replace(context(waiting, in_chat=True), way=way)
    answer = await dispatch_named(said, "approve", {"proposal": "2", "phrase": phrase(waiting)})
    assert text(answer) == "Trading is on again."


async def test_a_wrong_phrase_says_which_part_differs(waiting: Desk) -> None:
    said = replace(context(waiting, in_chat=True), way=Way.REPLY)
    typed = {"proposal": "2", "phrase": phrase(waiting).replace("TRADING", "TRAINING")}
    answer = await dispatch_named(said, "approve", typed)
    assert answer.error is not None
    assert "is 'TRAINING', not 'TRADING'" in answer.error
    assert await state(waiting, 2) is ProposalState.OPEN


@pytest.mark.parametrize(
    "typed",
    [
        "{} 123456",
        "123456 {}",
        "{} 123 456",
        "{} 123456.",
        "{}, 123-456",
        "{} (123.456)",
        "{} 123 456!",
        "{}\n１２３４５６",
    ],
)
async def test_a_code_that_stands_beside_the_phrase_is_taken_from_it(
    waiting: Desk, typed: str
) -> None:
    said = replace(context(waiting, in_chat=True), way=Way.REPLY)
    words = {"proposal": "2", "phrase": typed.format(phrase(waiting))}
    assert (await dispatch_named(said, "approve", words)).ok


async def test_no_code_stands_in_the_audit_however_it_was_typed(waiting: Desk) -> None:
    said = replace(context(waiting, in_chat=True), way=Way.REPLY)
    wrong = {"proposal": "2", "phrase": "APPROVE 135790"}
    await dispatch_named(said, "approve", wrong)
    for line in (
        "/approve 2 135790",
        "/approve 135790x",
        "/approve 2 135790 135790",
        "/unlock 135790",
        "/unlock 135790 135790",
        "/unlokc 135790",
        "/enroll 135790",
        "/link 135790",
        "/link word 135790",
        "/preview unlock 135790",
        "/help unlock 135790",
        "/preview unlock 135790 135790",
        "/schedule add 08:00 unlock 135790",
        "/resume 135790",
        "/role tom admin 135790",
        "/halt 135790",
    ):
        await say(waiting, line, in_chat=True)
    while waiting.runtime.waiting:
        await turn()
    assert isinstance(waiting.store, MemoryStore)
    kept = [row.detail for row in waiting.store.audit.values()]
    assert sum("/approve" in detail for detail in kept) == 4
    assert [detail for detail in kept if "135790" in detail] == []


async def test_a_code_typed_in_a_group_is_not_taken(waiting: Desk) -> None:
    group = replace(context(waiting, in_chat=True), chat_kind=ChatKind.GROUP)
    assert (await dispatch_line(group, "/approve 2 123456")).error == PRIVATELY
    assert (await dispatch_line(group, "/unlock 123456")).error == PRIVATELY
    # Nobody else sees what is typed into a form.
    form = replace(group, way=Way.FORM)
    words = {"proposal": "2", "phrase": phrase(waiting), "code": "123456"}
    assert (await dispatch_named(form, "approve", words)).ok


@pytest.mark.parametrize("line", ["/approve 1", "/reject 1"])
async def test_only_a_person_decides(waiting: Desk, line: str) -> None:
    someone = context(waiting, in_chat=True)
    clockwork = replace(someone, principal=replace(someone.principal, kind=PrincipalKind.SCHEDULE))
    answer = await dispatch_line(clockwork, line)
    assert answer.error == "Only a person decides; this is schedule."
    assert await state(waiting, 1) is ProposalState.OPEN


async def test_a_press_of_a_card_that_shows_something_else_is_refused(waiting: Desk) -> None:
    pressed = replace(context(waiting, in_chat=True), way=Way.BUTTON, digest="0" * 64)
    answer = await dispatch_line(pressed, "/approve 1")
    assert answer.error is not None
    assert answer.error.startswith("That card shows something else")


# -- answers in chats --------------------------------------------------------------------


async def sealed_card(context: Context, line: str) -> tuple[int, Reply]:
    """Which card, and else which words, are stored with the effect of a command."""
    stored: list[tuple[int, Reply]] = []

    def seal(make: object, card: int = 0) -> Sealed:
        assert callable(make)
        stored.append((card, make()))
        return Sealed("key", Delivery("telegram", "7", "", 0, Priority.ANSWER, "", ""))

    await dispatch_line(replace(context, seal=seal), line)
    [found] = stored
    return found


async def test_what_is_asked_in_a_chat_is_stored_as_a_card(desk: Desk) -> None:
    await say(desk, "/halt")
    card, reply = await sealed_card(context(desk, in_chat=True), "/resume")
    assert card == 1
    assert reply.badge == "PAPER - scripted market"


async def test_a_press_is_answered_with_the_card_and_typing_with_words(waiting: Desk) -> None:
    found = await waiting.proposal(1)
    assert found is not None
    typed = context(waiting, in_chat=True)
    pressed = replace(typed, way=Way.BUTTON, digest=digest(found))
    assert (await sealed_card(pressed, "/approve 1"))[0] == 1
    # What was refused is told in words, where the card stays.
    card, reply = await sealed_card(pressed, "/approve 1")
    assert card == 0 and not reply.ok
    assert (await sealed_card(typed, "/reject 2"))[0] == 0


# -- trying ------------------------------------------------------------------------------


async def test_a_preview_shows_what_would_happen_and_changes_nothing(desk: Desk) -> None:
    answer = await say(desk, "/preview sell ETH 1k", Role.TRADER, in_chat=True)
    assert text(answer).startswith("Preview: Sell 0.28 ETHUSDT")
    assert fields(answer, "What it takes") == {
        "tier": "yellow",
        "decided_by": "a trader, with one press",
        "waits_for": Duration(60_000),
    }
    assert fields(answer, "Order")["symbol"] == "ETHUSDT"
    assert [button.command for button in answer.buttons] == ["/sell ETH 1k"]
    assert desk.view().proposals == ()


async def test_a_preview_of_what_would_be_refused_says_so_and_offers_nothing(desk: Desk) -> None:
    await say(desk, "/halt")
    answer = await say(desk, "/preview sell ETH 1k")
    assert text(answer).startswith("This would be refused: mode and kill: halted")
    assert answer.buttons == ()


async def test_a_preview_of_what_is_red_says_who_decides(desk: Desk) -> None:
    await say(desk, "/halt")
    answer = await say(desk, "/preview resume")
    assert fields(answer, "What it takes")["decided_by"] == "an admin, with a typed phrase"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("halt", "/halt acts at once and waits for nobody"),
        (f"bot pause {BOT}", "/bot pause acts at once and waits for nobody"),
        ("status", "/status only looks: it changes nothing."),
    ],
)
async def test_a_preview_of_what_acts_at_once_says_so_and_does_not_act(
    desk: Desk, line: str, words: str
) -> None:
    before = desk.view()
    assert text(await say(desk, f"/preview {line}")).startswith(words)
    assert (desk.view().halted, desk.view().bots) == (before.halted, before.bots)


@pytest.mark.parametrize(
    ("line", "role", "error"),
    [
        ("resume", Role.TRADER, "/resume needs the role admin."),
        ("resume", Role.ADMIN, "This would be refused: The desk is not halted."),
        ("buy ETH 30", Role.ADMIN, "This would be refused: 30.00 USDT buys less than"),
        ("", Role.ADMIN, "Which command? As in /preview buy ETH 250."),
        ("nonsense", Role.ADMIN, "There is no command /nonsense. /help lists them."),
        ("buy BTC", Role.ADMIN, "amount is missing: an amount of USDT, as in 100 or 1.5k."),
    ],
)
async def test_a_preview_is_refused_as_the_command_would_be(
    desk: Desk, line: str, role: Role, error: str
) -> None:
    answer = await say(desk, f"/preview {line}", role, in_chat=True)
    assert answer.error is not None and answer.error.startswith(error)
