"""Who may do what: asking to be let in, roles, accounts, and proving who one is."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from engine.desk import Desk
from engine.mail import Address, ChatKind
from engine.people import Person, Role
from engine.proposal import ProposalKind
from engine.tunable import Tier
from handlers.cards import card
from handlers.command import Context
from handlers.dispatch import dispatch_line
from handlers.people import ASKED
from handlers.proof import NOT_HERE, PRIVATELY
from handlers.reply import Button, Enrollment, Time, show
from tests.clock import FakeClock
from tests.handlers.desks import BOT, STRANGER_ID, context, fields, propose, rows, say, table, text

WITHIN_30_MINUTES = 30 * 60_000


def person(desk: Desk, principal_id: str) -> Person:
    return next(each for each in desk.view().people if each.principal_id == principal_id)


async def enrolled(desk: Desk, role: Role = Role.ADMIN) -> pyotp.TOTP:
    """The authenticator of whoever has this role, enrolled as they would do it."""
    who = context(desk, role, in_chat=True).principal.principal_id
    assert (await say(desk, "/enroll", role, in_chat=True)).ok
    uri = desk.enrollment(who)
    assert uri is not None
    phone = pyotp.TOTP(parse_qs(urlsplit(uri).query)["secret"][0])
    assert (await say(desk, f"/enroll {code(desk, phone)}", role, in_chat=True)).ok
    return phone


def code(desk: Desk, phone: pyotp.TOTP) -> str:
    """The next code that the phone shows."""
    assert isinstance(desk.clock, FakeClock)
    desk.clock.advance(30)
    return phone.at(desk.clock.now() // 1000)


def elsewhere(desk: Desk, role: Role, user_id: str) -> Context:
    """Somebody of this role in their own chat of Discord, with an account not known there."""
    here = context(desk, role, in_chat=True)
    principal = replace(here.principal, id=user_id)
    at = Address("discord", user_id)
    return replace(here, principal=principal, surface="discord", address=at)


# -- roles -------------------------------------------------------------------------------


async def test_a_stranger_asks_to_be_let_in_and_sees_no_card(desk: Desk) -> None:
    answer = await say(desk, "/access trader", Role.NOBODY, in_chat=True)
    assert (text(answer), answer.buttons, answer.badge) == (ASKED, (), None)
    [proposal] = desk.view().proposals
    assert (proposal.tier, proposal.kind) == (Tier.RED, ProposalKind.ACCESS)
    assert proposal.asked_by == ""
    again = await say(desk, "/access", Role.NOBODY, in_chat=True)
    assert again.error == "You asked already. The admins know; wait for their answer."

    await say(desk, f"/approve 1 {proposal.phrase}")
    assert person(desk, f"telegram:{STRANGER_ID}").role is Role.TRADER


@pytest.mark.parametrize(
    ("sender", "name"),
    [
        ("Sue (@sue)", "Sue (@sue)"),
        ("Ann", f"telegram:{STRANGER_ID}"),
        ("", f"telegram:{STRANGER_ID}"),
    ],
)
async def test_a_stranger_is_called_as_their_account_calls_itself_and_never_as_somebody_here(
    desk: Desk, sender: str, name: str
) -> None:
    stranger = replace(context(desk, Role.NOBODY, in_chat=True), sender=sender)
    await dispatch_line(stranger, "/access trader")
    [proposal] = desk.view().proposals
    assert proposal.title == f"Let in {name} as trader"
    # What anybody may call themselves stands in no phrase.
    assert proposal.phrase.startswith(f"APPROVE ROLE TELEGRAM{STRANGER_ID} TRADER ")
    [change] = rows(table(card(proposal, 0), "What changes"))
    account = f"telegram:{STRANGER_ID}"
    said = f"{name} (as the account calls itself, {account})"
    assert change["what"] == (account if name == account else said)
    await say(desk, f"/approve 1 {proposal.phrase}")
    assert person(desk, account).name == name


async def test_a_name_that_an_account_gives_itself_renames_nobody(desk: Desk) -> None:
    proposal = await propose(desk, "/role tom nobody")
    await say(desk, f"/approve 1 {proposal.phrase}")
    here = context(desk, Role.NOBODY, in_chat=True)
    tom = replace(here, principal=replace(here.principal, id="8"), sender="Thomas (@tom)")
    await dispatch_line(tom, "/access")
    assert desk.view().proposals[0].title == "Let in tom as viewer"


async def test_nobody_asks_for_more_than_a_traders_role(desk: Desk) -> None:
    answer = await say(desk, "/access admin", Role.NOBODY, in_chat=True)
    assert answer.error == "role: 'admin' is not valid. Allowed: viewer, trader."


@pytest.mark.parametrize("line", ["/access", "/link", "/enroll"])
async def test_who_one_is_is_settled_in_private_chats(desk: Desk, line: str) -> None:
    role = Role.NOBODY if line == "/access" else Role.VIEWER
    group = replace(context(desk, role, in_chat=True), chat_kind=ChatKind.GROUP)
    assert (await dispatch_line(group, line)).error == PRIVATELY
    if role > Role.NOBODY:
        assert (await say(desk, line)).error == NOT_HERE


async def test_a_role_is_given_by_an_admins_phrase_within_scopes(desk: Desk) -> None:
    proposal = await propose(desk, f"/role telegram:123 trader eve bot:{BOT}")
    assert proposal.title.startswith("Make eve ")
    assert proposal.phrase.startswith("APPROVE ROLE EVE TRADER ")
    await say(desk, f"/approve 1 {proposal.phrase}")
    assert person(desk, "telegram:123") == Person(
        "telegram:123", "eve", Role.TRADER, person(desk, "telegram:123").origin, f"bot:{BOT}"
    )


async def test_somebody_known_keeps_their_name_and_account(desk: Desk) -> None:
    proposal = await propose(desk, "/role tom nobody")
    await say(desk, f"/approve 1 {proposal.phrase}")
    assert person(desk, "tom").role is Role.NOBODY


async def test_an_admin_says_what_somebody_is_to_be_called(desk: Desk) -> None:
    proposal = await propose(desk, "/role tom trader tim")
    assert proposal.title == "Make tom trader, called tim"
    await say(desk, f"/approve 1 {proposal.phrase}")
    assert (person(desk, "tom").name, person(desk, "tom").role) == ("tim", Role.TRADER)
    assert (await propose(desk, "/role tim viewer")).title == "Make tim viewer"


async def test_who_is_no_trader_any_more_decides_nothing(desk: Desk) -> None:
    assert "They may decide nothing any more." in text(
        card(await propose(desk, "/role tom viewer"), 0)
    )


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/role tom viewer ann", "name: 'ann' is not valid. Allowed: a name that nobody has yet"),
        ("/role telegram:123 viewer tom", "name: 'tom' is not valid. Allowed: a name that nobody"),
        ("/role tom trader", "tom is trader already."),
        ("/role telegram:abc viewer", "person: 'telegram:abc' is not valid."),
    ],
)
async def test_a_role_that_can_not_be_given_is_refused(desk: Desk, line: str, error: str) -> None:
    answer = await say(desk, line)
    assert answer.error is not None and answer.error.startswith(error)


# -- accounts ----------------------------------------------------------------------------


async def test_an_account_is_linked_by_a_word_said_with_the_other_one(desk: Desk) -> None:
    word = text(await say(desk, "/link", Role.TRADER, in_chat=True)).split()[-1]
    stranger = elsewhere(desk, Role.NOBODY, "808")
    answer = await dispatch_line(stranger, f"/link {word}")
    assert "You are trader with it." in text(answer)
    whoami = fields(await say(desk, "/whoami", Role.TRADER, in_chat=True))
    assert whoami["accounts"] == "discord:808, telegram:8"
    used = await dispatch_line(elsewhere(desk, Role.NOBODY, "909"), f"/link {word}")
    assert used.error is not None and used.error.startswith("That code is not good")


async def test_a_stranger_gets_no_word_to_link_with(desk: Desk) -> None:
    answer = await say(desk, "/link", Role.NOBODY, in_chat=True)
    assert answer.error is not None and answer.error.startswith("Say /link with the account")


# -- codes -------------------------------------------------------------------------------


async def test_enrolling_shows_a_picture_and_the_first_code_confirms_it(desk: Desk) -> None:
    answer = await say(desk, "/enroll", in_chat=True)
    assert Enrollment("ann") in answer.blocks
    assert "say /enroll and the six digits" in text(answer)
    wrong = await say(desk, "/enroll 000000", in_chat=True)
    assert wrong.error is not None and wrong.error.startswith("That code is wrong.")
    await say(desk, "/lock tom", in_chat=True)
    await enrolled(desk)
    assert person(desk, "ann").enrolled


async def test_whoever_is_enrolled_acts_only_while_their_session_is_open(desk: Desk) -> None:
    phone = await enrolled(desk, Role.TRADER)
    await say(desk, "/lock", Role.TRADER, in_chat=True)
    refused = await say(desk, "/alert BTC above 900000", Role.TRADER, in_chat=True)
    assert refused.error is not None and "/unlock" in refused.error
    assert (await say(desk, f"/unlock {code(desk, phone)}", Role.TRADER, in_chat=True)).ok
    assert (await say(desk, "/alert BTC above 900000", Role.TRADER, in_chat=True)).ok
    who = fields(await say(desk, "/whoami", Role.TRADER, in_chat=True))
    until = show(Time(desk.clock.now() + WITHIN_30_MINUTES))
    assert who["session"] == f"open until {until}"


async def test_a_lost_phone_is_forgotten_by_an_admins_phrase(desk: Desk) -> None:
    await enrolled(desk, Role.TRADER)
    proposal = await propose(desk, "/unenroll tom")
    assert proposal.tier is Tier.RED
    await say(desk, f"/approve 1 {proposal.phrase}")
    assert not person(desk, "tom").enrolled


async def test_an_admin_locks_somebody_out_and_lets_them_in_again(desk: Desk) -> None:
    assert (await say(desk, "/lock tom", in_chat=True)).ok
    refused = await say(desk, "/buy ETH 100", Role.TRADER, in_chat=True)
    assert refused.error is not None and refused.error.startswith("You are locked out")
    assert (await say(desk, "/halt", Role.TRADER, in_chat=True)).ok
    assert (await propose(desk, "/unlock tom")).tier is Tier.YELLOW
    assert (await say(desk, "/approve 1", in_chat=True)).ok
    assert (await say(desk, "/buy ETH 100", Role.TRADER, in_chat=True)).error is not None
    assert person(desk, "tom").locked_until == 0


async def test_the_console_is_left_and_not_locked(desk: Desk) -> None:
    answer = await say(desk, "/lock")
    assert answer.error == "The console has no session: leave it with Ctrl-D."


async def test_nobody_but_an_admin_locks_somebody_else(desk: Desk) -> None:
    answer = await say(desk, "/lock ann", Role.TRADER, in_chat=True)
    assert answer.error == "Only an admin locks somebody else."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/unlock", "code is missing: the six digits that your authenticator shows."),
        ("/unlock tomm", "There is nobody called 'tomm', and it is no code of six digits."),
        ("/unlock 123456 tom", "Say a code to open your own session, or a name to let"),
        ("/unlock 12345", "code: '***' is not valid. Allowed: the six digits"),
    ],
)
async def test_what_opens_nothing_is_refused(desk: Desk, line: str, error: str) -> None:
    answer = await say(desk, line, in_chat=True)
    assert answer.error is not None and answer.error.startswith(error)


# -- who is here -------------------------------------------------------------------------


async def test_admins_see_who_is_here(desk: Desk) -> None:
    await enrolled(desk)
    found = {row["name"]: row for row in rows(table(await say(desk, "/people"), "People"))}
    assert found["ann"] == {
        "name": "ann",
        "role": "admin",
        "where": "everywhere",
        "accounts": "telegram:7",
        "enrolled": True,
        "locked_out": None,
        "id": "ann",
    }
    assert (found["vic"]["role"], found["vic"]["enrolled"]) == ("viewer", False)


async def test_whoami_tells_how_one_stands(desk: Desk) -> None:
    assert fields(await say(desk, "/whoami", Role.VIEWER, in_chat=True)) == {
        "name": "vic",
        "id": "9",
        "role": "viewer",
        "surface": "telegram",
        "where": "everywhere",
        "accounts": "telegram:9",
        "enrolled": False,
        "session": "open, no code is needed",
    }


async def test_a_stranger_is_told_their_id_and_how_to_ask(desk: Desk) -> None:
    answer = await say(desk, "/whoami", Role.NOBODY, in_chat=True)
    assert fields(answer) == {"id": STRANGER_ID, "role": "nobody", "surface": "telegram"}
    assert answer.buttons == (Button("Ask for access", "/access"),)
    assert answer.badge is None
