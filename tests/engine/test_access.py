"""Who may do what: roles, linked accounts, authenticators, locks, and what the settings say."""

from dataclasses import replace

import pyotp
import pytest

from engine.alert import Direction
from engine.effect import Done, NotDone, NoticeKind, Proposed, Record, Result
from engine.instruction import (
    AddAlert,
    BeginEnrollment,
    ConfirmEnrollment,
    EndEnrollment,
    HaltDesk,
    LockPerson,
    MakeLinkCode,
    OpenSession,
    PauseBot,
    SetRole,
    UnlockPerson,
    UseLinkCode,
)
from engine.mail import Address
from engine.people import (
    DESK,
    UNTIL_UNLOCKED,
    Asker,
    Identity,
    Origin,
    Person,
    Principal,
    PrincipalKind,
    Role,
)
from engine.proposal import ProposalState, Way
from engine.totp import STEP_MS, seed, step_of
from tests.askers import OPERATING, account, asking, person, user_id
from tests.engine.conftest import BOT, BTC, T0, D
from tests.engine.office import (
    ANN,
    BEN,
    EVERYBODY,
    MINUTE,
    POLICY,
    SECOND,
    TOM,
    VIC,
    Office,
    telegram_and_discord,
)

ann, ben, eva, tom, tim, vic = (asking(who) for who in EVERYBODY)
ALERT = AddAlert(BTC, Direction.ABOVE, D(200), Address("telegram", "1"))


def stranger(number: str = "99", surface: str = "telegram", principal_id: str = "") -> Asker:
    principal = Principal(PrincipalKind.PERSON, number, Role.NOBODY, "Zoe", principal_id)
    return Asker(principal, surface, Address(surface, number))


zoe = stranger()


def wanting(
    asker: Asker = zoe, role: Role = Role.TRADER, principal_id: str = "telegram:99"
) -> SetRole:
    """What somebody asks for who wants to be let in."""
    return SetRole(principal_id, "Zoe", role, "", asker.surface, asker.principal.id)


def decided(desk: Office, instruction, asker: Asker = ann, by: Asker = ann) -> Result:
    """Ask, and have somebody approve it."""
    return desk.reply(desk.propose(instruction, asker), by)


# -- roles -------------------------------------------------------------------------------


def test_a_role_is_given_told_stored_and_kept():
    desk = Office()
    assert decided(desk, SetRole("tom", "tom", Role.ADMIN)) == Done("tom is admin now.")
    made = desk.who("tom")
    assert (made.role, made.origin, made.name) == (Role.ADMIN, Origin.DESK, "tom")
    assert Record(made) in desk.effects
    [told] = desk.told(NoticeKind.SECURITY)
    assert told.text == "tom is admin now."
    desk.restart()
    assert desk.who("tom") == made
    assert isinstance(desk.ask(SetRole("vic", "vic", Role.TRADER), tom), Proposed)


def test_bounds_are_told_with_the_role():
    desk = Office()
    assert decided(desk, SetRole("vic", "vic", Role.TRADER, f"bot:{BOT}")) == Done(
        f"vic is trader now, only within bot:{BOT}."
    )


def test_a_stranger_who_is_let_in_may_act_with_that_account_alone():
    desk = Office()
    assert decided(desk, wanting(), zoe) == Done("Zoe is trader now.")
    assert desk.owner("telegram", "99") == "telegram:99"
    let_in = stranger(principal_id="telegram:99")
    assert isinstance(desk.ask(HaltDesk(), let_in), Done)
    same_number = stranger(surface="discord", principal_id="telegram:99")
    assert isinstance(desk.ask(PauseBot(BOT), same_number), NotDone)


@pytest.mark.parametrize(
    "wanted",
    [
        replace(wanting(), user_id="98"),
        replace(wanting(), surface="discord"),
        wanting(principal_id="ann"),
        wanting(principal_id="telegram:98"),
        wanting(role=Role.NOBODY),
        SetRole("ann", "Zoe", Role.NOBODY),
        SetRole("telegram:99", "Zoe", Role.TRADER),
    ],
    ids=[
        "another account",
        "another platform",
        "another person",
        "another name",
        "no role",
        "to shut somebody out",
        "no account",
    ],
)
def test_a_stranger_asks_for_nothing_but_their_own_account(wanted):
    desk = Office()
    assert desk.ask(wanted, zoe) == NotDone("That needs the role admin; yours is nobody.")


def test_a_stranger_who_claims_to_be_somebody_gets_nothing():
    desk = Office()
    claiming = stranger(principal_id="ann")
    assert isinstance(desk.ask(wanting(principal_id="ann"), claiming), NotDone)
    assert isinstance(desk.ask(HaltDesk(), claiming), NotDone)


def test_nobody_asks_to_be_an_admin():
    desk = Office()
    assert desk.ask(wanting(role=Role.ADMIN), zoe) == NotDone(
        "That needs the role admin; yours is nobody."
    )
    own = SetRole("tom", "tom", Role.ADMIN, "", "telegram", user_id("tom"))
    assert desk.ask(own, tom) == NotDone("That needs the role admin; yours is trader.")


def test_a_viewer_may_ask_for_more_for_themselves_alone():
    desk = Office()
    own = SetRole("vic", "vic", Role.TRADER, "", "telegram", user_id("vic"))
    assert isinstance(desk.ask(own, vic), Proposed)
    assert isinstance(desk.ask(replace(own, principal_id="tom"), vic), NotDone)
    assert isinstance(desk.ask(own, tom), NotDone)


def test_whoever_was_shut_out_may_ask_to_be_let_in_again():
    desk = Office()
    decided(desk, SetRole("tom", "tom", Role.NOBODY))
    # The door does not know them any more.
    outside = stranger(user_id("tom"))
    assert isinstance(desk.ask(HaltDesk(), tom), NotDone)
    wanted = SetRole("tom", "Zoe", Role.VIEWER, "", "telegram", user_id("tom"))
    proposal = desk.propose(wanted, outside)
    # Whom they knew as tom calls themselves otherwise now: that is said, and tom they stay.
    assert proposal.title == "Let in tom as viewer, called Zoe"
    assert proposal.phrase == f"APPROVE ROLE TOM VIEWER {proposal.nonce}"
    assert desk.reply(proposal, ann) == Done("tom is viewer now.")
    assert (desk.who("tom").role, desk.who("tom").name) == (Role.VIEWER, "tom")


def test_the_console_needs_no_role():
    desk = Office(people=())
    wanted = SetRole("telegram:5", "five", Role.ADMIN, "", "telegram", "5")
    proposal = desk.propose(wanted)
    assert isinstance(desk.reply(proposal, OPERATING, way=Way.TYPED), Done)
    assert desk.who("telegram:5").role is Role.ADMIN


def test_an_account_of_somebody_is_not_given_to_another():
    desk = Office()
    wanted = SetRole("new", "new", Role.TRADER, "", "telegram", user_id("tom"))
    proposal = desk.propose(wanted, ann)
    result = desk.reply(proposal, ann)
    assert isinstance(result, NotDone)
    assert "is an account of tom already" in result.reason
    assert desk.ended(proposal).state is ProposalState.VOID
    assert desk.owner("telegram", user_id("tom")) == "tom"


def test_somebody_unknown_is_named_by_an_account():
    desk = Office()
    result = decided(desk, SetRole("nobody", "nobody", Role.TRADER))
    assert result == NotDone(
        "Proposal 1 (Make nobody trader) is void: There is nobody called 'nobody'."
    )


LAST = "That would leave the desk without an admin who can be reached in a chat."


def test_the_last_admin_stays():
    desk = Office(people=(ANN, TOM))
    assert desk.ask(SetRole("ann", "ann", Role.TRADER), ann) == NotDone(LAST)
    assert desk.core.view().proposals == ()
    assert desk.who("ann").role is Role.ADMIN


def test_of_two_admins_who_would_both_go_one_stays():
    desk = Office(people=(ANN, BEN))
    first = desk.propose(SetRole("ben", "ben", Role.TRADER), ann)
    second = desk.propose(SetRole("ann", "ann", Role.TRADER), ben)
    assert isinstance(desk.reply(first, ann), Done)
    result = desk.reply(second, ann)
    assert result == NotDone(f"Proposal 2 (Make ann trader) is void: {LAST}")
    assert desk.who("ann").role is Role.ADMIN


def test_the_last_admin_with_an_account_stays():
    desk = Office()
    desk.name([ANN, BEN, TOM], [account("ann"), account("tom")])
    assert desk.ask(SetRole("ann", "ann", Role.TRADER), ann) == NotDone(LAST)
    # From the console too.
    assert desk.ask(SetRole("ann", "ann", Role.NOBODY)) == NotDone(LAST)


def test_the_last_admins_account_is_not_linked_away():
    desk = Office(people=())
    desk.name([ANN, TOM], [account("ann"), account("tom")])
    assert desk.ask(UseLinkCode(link_code(desk, tom)), ann) == NotDone(LAST)
    assert desk.owner("telegram", user_id("ann")) == "ann"


def test_one_of_two_admins_may_go():
    desk = Office(people=(ANN, BEN))
    assert isinstance(decided(desk, SetRole("ben", "ben", Role.NOBODY)), Done)


def test_a_desk_without_an_admin_in_chat_can_let_others_in():
    desk = Office(people=())
    desk.name([ANN], [])
    wanted = SetRole("telegram:5", "five", Role.TRADER, "", "telegram", "5")
    assert isinstance(desk.reply(desk.propose(wanted), OPERATING, way=Way.TYPED), Done)


# -- linking -----------------------------------------------------------------------------


def link_code(desk: Office, asker: Asker) -> str:
    made = desk.ask(MakeLinkCode(), asker)
    assert isinstance(made, Done), made
    return made.text.split()[-1]


def test_a_word_links_another_account():
    desk = Office()
    code = link_code(desk, tom)
    result = desk.ask(UseLinkCode(code), stranger("7", "discord"))
    assert result == Done("The discord account 7 is tom's from now on. You are trader with it.")
    assert Record(Identity("discord", "7", "tom")) in desk.effects
    assert desk.told(NoticeKind.SECURITY)
    assert isinstance(desk.ask(HaltDesk(), stranger("7", "discord", "tom")), Done)


@pytest.mark.parametrize("spell", [str.lower, lambda code: code.replace("-", " "), str.strip])
def test_a_word_may_be_typed_a_little_otherwise(spell):
    desk = Office()
    code = spell(link_code(desk, tom))
    assert isinstance(desk.ask(UseLinkCode(code), zoe), Done)


def test_a_word_links_once():
    desk = Office()
    code = link_code(desk, tom)
    desk.ask(UseLinkCode(code), zoe)
    result = desk.ask(UseLinkCode(code), stranger("98"))
    assert result == NotDone("That code is not good, or not any more.")
    assert desk.owner("telegram", "98") is None


@pytest.mark.parametrize(("after", "good"), [(10 * MINUTE - 1, True), (10 * MINUTE, False)])
def test_a_word_lasts_ten_minutes(after, good):
    desk = Office()
    code = link_code(desk, tom)
    desk.now += after
    desk.restart()
    assert isinstance(desk.ask(UseLinkCode(code), zoe), Done) is good


def test_the_last_word_made_is_the_one_that_counts():
    desk = Office()
    before, after = link_code(desk, tom), link_code(desk, tom)
    others = link_code(desk, ann)
    assert isinstance(desk.ask(UseLinkCode(before), zoe), NotDone)
    assert isinstance(desk.ask(UseLinkCode(after), zoe), Done)
    assert isinstance(desk.ask(UseLinkCode(others), stranger("98")), Done)


def test_a_word_of_somebody_else_makes_the_account_theirs():
    desk = Office()
    result = desk.ask(UseLinkCode(link_code(desk, vic)), tom)
    assert isinstance(result, Done)
    assert desk.owner("telegram", user_id("tom")) == "vic"
    # With the account that changed hands, tom is nobody: not even what vic is.
    assert isinstance(desk.ask(HaltDesk(), tom), NotDone)
    as_vic = replace(tom, principal=replace(tom.principal, principal_id="vic"))
    assert desk.ask(HaltDesk(), as_vic) == NotDone("That needs the role trader; yours is viewer.")
    # His other account is his still.
    assert isinstance(desk.ask(HaltDesk(), asking(TOM, "discord")), Done)


def test_ones_own_account_is_linked_already():
    desk = Office()
    result = desk.ask(UseLinkCode(link_code(desk, tom)), tom)
    assert result == NotDone("This account is yours already.")


def test_the_console_is_no_account_to_link():
    desk = Office()
    assert isinstance(desk.ask(MakeLinkCode()), NotDone)
    assert isinstance(desk.ask(UseLinkCode(link_code(desk, tom))), NotDone)


@pytest.mark.parametrize(
    "address", [Address("telegram", "-100123"), Address("telegram", "-100123", "7"), None], ids=str
)
def test_a_word_said_where_others_read_it_is_refused_and_spent(address):
    desk = Office()
    code = link_code(desk, tom)
    result = desk.ask(UseLinkCode(code), replace(zoe, address=address))
    assert result == NotDone(
        "Say that in a private chat. Whoever could read it: the code is spent."
    )
    assert desk.owner("telegram", "99") is None
    assert desk.ask(UseLinkCode(code), zoe) == NotDone("That code is not good, or not any more.")


def test_a_wrong_word_in_a_group_spends_no_other_and_is_no_bad_try():
    desk = Office()
    code = link_code(desk, tom)
    for _ in range(6):
        desk.ask(UseLinkCode("AAAA-AAAA"), asking(VIC, chat_id="-100123"))
    assert desk.who("vic").locked_until == 0
    assert isinstance(desk.ask(UseLinkCode(code), zoe), Done)


def test_an_account_of_somebody_enrolled_is_linked_in_their_open_session_alone():
    """Whoever holds the account alone can't take it away from them."""
    desk = Office()
    authenticator = desk.enroll(TOM)
    desk.now += 30 * MINUTE
    code = link_code(desk, ann)
    refused = NotDone(
        "Your session is closed. Say /unlock and the code of your authenticator first."
    )
    assert desk.ask(UseLinkCode(code), tom) == refused
    # A door that has forgotten whose account it is changes nothing of it.
    assert desk.ask(UseLinkCode(code), stranger(user_id("tom"))) == refused
    assert desk.owner("telegram", user_id("tom")) == "tom"
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), tom), Done)
    assert isinstance(desk.ask(UseLinkCode(code), tom), Done)
    assert desk.owner("telegram", user_id("tom")) == "ann"


def test_wrong_words_lock_out_whoever_is_known():
    desk = Office()
    for _ in range(5):
        desk.ask(UseLinkCode("AAAA-AAAA"), vic)
    assert desk.who("vic").locked_until == T0 + 15 * MINUTE


def test_a_linked_account_stays_linked_after_a_restart_with_the_same_settings():
    desk = Office()
    desk.ask(UseLinkCode(link_code(desk, ann)), asking(TOM, "discord"))
    desk.ask(UseLinkCode(link_code(desk, ann)), zoe)
    desk.restart()
    desk.name(EVERYBODY)
    assert desk.owner("discord", user_id("tom")) == "ann"
    assert desk.owner("telegram", "99") == "ann"


# -- authenticators ----------------------------------------------------------------------


def test_an_authenticator_is_confirmed_by_its_first_code():
    desk = Office()
    assert isinstance(desk.ask(BeginEnrollment(), tom), Done)
    assert not desk.who("tom").enrolled
    uri = desk.core.enrollment("tom", desk.now)
    assert uri is not None
    assert "issuer=Countersign" in uri
    desk = Office()
    desk.enroll(TOM)
    assert desk.who("tom").enrolled
    assert desk.core.enrollment("tom", desk.now) is None
    assert [notice.text for notice in desk.told(NoticeKind.SECURITY)] == [
        "tom proves themselves with an authenticator from now on."
    ]
    desk.restart()
    assert desk.who("tom").enrolled


def test_the_code_that_confirmed_is_used_up():
    desk = Office()
    authenticator = desk.enroll(TOM)
    said = NotDone("That code was used already. Wait for the next one.")
    assert desk.ask(OpenSession(desk.code(authenticator)), tom) == said


def test_a_picture_that_nobody_confirmed_asks_nobody_for_codes():
    desk = Office()
    desk.ask(BeginEnrollment(), tom)
    desk.restart()
    assert isinstance(desk.ask(ALERT, tom), Done)
    assert desk.core.enrollment("tom", desk.now) is not None


@pytest.mark.parametrize(("after", "good"), [(10 * MINUTE - 1, True), (10 * MINUTE, False)])
def test_a_picture_is_good_for_ten_minutes(after, good):
    desk = Office()
    desk.ask(BeginEnrollment(), tom)
    desk.restart()
    desk.now += after
    assert (desk.core.enrollment("tom", desk.now) is not None) is good
    code = pyotp.TOTP(seed(POLICY.secret, "tom", 1)).generate_otp(desk.now // STEP_MS)
    result = desk.ask(ConfirmEnrollment(code), tom)
    assert isinstance(result, Done) is good
    assert desk.who("tom").enrolled is good
    if not good:
        assert result == NotDone("There is nothing to confirm. Say /enroll first.")


def test_a_picture_asked_for_again_is_good_for_ten_minutes_more():
    desk = Office()
    desk.ask(BeginEnrollment(), tom)
    desk.now += 10 * MINUTE
    assert desk.core.enrollment("tom", desk.now) is None
    desk.ask(BeginEnrollment(), tom)
    desk.now += 10 * MINUTE - 1
    assert desk.core.enrollment("tom", desk.now) is not None


def test_a_second_picture_is_another_seed():
    desk = Office()
    desk.ask(BeginEnrollment(), tom)
    first = desk.core.enrollment("tom", desk.now)
    desk.ask(BeginEnrollment(), tom)
    assert desk.core.enrollment("tom", desk.now) != first


def test_a_wrong_first_code_enrolls_nobody():
    desk = Office()
    desk.ask(BeginEnrollment(), tom)
    right = seed(POLICY.secret, "tom", 1)
    wrong = next(
        f"{code:06}" for code in range(100) if step_of(right, f"{code:06}", desk.now) is None
    )
    result = desk.ask(ConfirmEnrollment(wrong), tom)
    assert result == NotDone("That code is wrong. 4 more and you are locked out.")
    assert not desk.who("tom").enrolled


def test_there_is_nothing_to_confirm_before_it_was_begun():
    assert isinstance(Office().ask(ConfirmEnrollment("123456"), tom), NotDone)


def test_whoever_is_enrolled_can_not_take_a_new_seed_by_themselves():
    desk = Office()
    desk.enroll(TOM)
    result = desk.ask(BeginEnrollment(), tom)
    assert isinstance(result, NotDone)
    assert "You are enrolled" in result.reason
    assert desk.core.enrollment("tom", desk.now) is None


def test_the_console_has_no_authenticator():
    assert isinstance(Office().ask(BeginEnrollment()), NotDone)


def test_whose_phone_is_lost_is_asked_for_no_codes_and_enrolls_anew():
    desk = Office()
    old = desk.enroll(TOM)
    desk.now += 31 * MINUTE
    assert isinstance(desk.ask(ALERT, tom), NotDone)
    assert decided(desk, EndEnrollment("tom")) == Done("tom is asked for no codes any more.")
    assert not desk.who("tom").enrolled
    assert isinstance(desk.ask(ALERT, tom), Done)
    new = desk.enroll(TOM)
    assert new.secret != old.secret
    desk.now += 30 * SECOND
    assert isinstance(desk.ask(OpenSession(desk.code(old)), tom), NotDone)
    assert isinstance(desk.ask(OpenSession(desk.code(new)), tom), Done)


# -- sessions ----------------------------------------------------------------------------


def test_a_session_is_needed_for_what_is_written():
    desk = Office()
    authenticator = desk.enroll(TOM)
    assert isinstance(desk.ask(ALERT, tom), Done)
    desk.now += 30 * MINUTE
    assert desk.ask(ALERT, tom) == NotDone(
        "Your session is closed. Say /unlock and the code of your authenticator first."
    )
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), tom), Done)
    assert isinstance(desk.ask(ALERT, tom), Done)


def test_no_session_is_needed_to_halt_or_pause():
    desk = Office()
    desk.enroll(TOM)
    desk.now += 24 * 60 * MINUTE
    assert isinstance(desk.ask(PauseBot(BOT), tom), Done)
    assert isinstance(desk.ask(HaltDesk(), tom), Done)


def test_a_session_belongs_to_the_person_whatever_account_they_use():
    desk = Office()
    desk.enroll(TOM)
    assert isinstance(desk.ask(ALERT, asking(TOM, "discord")), Done)


def test_a_refused_wish_keeps_no_session_open():
    desk = Office()
    desk.enroll(TOM)
    desk.now += 30 * MINUTE
    for _ in range(2):
        assert isinstance(desk.ask(ALERT, tom), NotDone)


def test_whoever_has_no_authenticator_has_no_session_to_open():
    result = Office().ask(OpenSession("123456"), tom)
    assert isinstance(result, NotDone)
    assert "/enroll" in result.reason


def test_lock_ends_ones_own_session():
    desk = Office()
    authenticator = desk.enroll(TOM)
    assert isinstance(desk.ask(LockPerson(""), tom), Done)
    assert isinstance(desk.ask(ALERT, tom), NotDone)
    desk.now += 30 * SECOND
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), tom), Done)
    assert isinstance(desk.ask(ALERT, tom), Done)


# -- locks -------------------------------------------------------------------------------


def test_whoever_has_no_authenticator_locks_themselves_until_an_admin_lets_them_in():
    desk = Office()
    result = desk.ask(LockPerson(""), tom)
    assert result == Done("tom is locked out by tom, until an admin says /unlock.")
    assert desk.told(NoticeKind.SECURITY)
    assert isinstance(desk.ask(ALERT, tom), NotDone)


def test_an_admin_locks_somebody_out_at_once_until_they_are_let_in():
    desk = Office()
    assert isinstance(desk.ask(LockPerson("tom"), ann), Done)
    assert desk.who("tom").locked_until == UNTIL_UNLOCKED
    assert Record(desk.who("tom")) in desk.effects
    desk.restart()
    desk.now += 365 * 24 * 60 * MINUTE
    assert isinstance(desk.ask(ALERT, tom), NotDone)
    proposal = desk.propose(UnlockPerson("tom"), ann)
    assert isinstance(desk.press(proposal, tim), NotDone)
    assert desk.press(proposal, ben) == Done("tom is not locked out any more.")
    assert desk.who("tom").locked_until == 0
    assert isinstance(desk.ask(ALERT, tom), Done)


def test_only_an_admin_locks_somebody_else():
    desk = Office()
    assert desk.ask(LockPerson("ann"), tom) == NotDone("Only an admin locks somebody else.")
    assert isinstance(desk.ask(LockPerson("nobody"), ann), NotDone)


def test_somebody_else_is_locked_in_an_open_session_alone():
    desk = Office()
    authenticator = desk.enroll(ANN)
    desk.now += 30 * MINUTE
    assert desk.ask(LockPerson("tom"), ann) == NotDone(
        "Your session is closed. Say /unlock and the code of your authenticator first."
    )
    assert desk.who("tom").locked_until == 0
    # To end one's own takes none.
    assert isinstance(desk.ask(LockPerson(""), ann), Done)
    desk.ask(OpenSession(desk.code(authenticator)), ann)
    assert isinstance(desk.ask(LockPerson("tom"), ann), Done)


@pytest.mark.parametrize("scope", [f"bot:{BOT}", "chat:telegram:-100123"])
def test_bound_to_a_bot_or_a_place_an_admin_locks_nobody_else_beyond_it(scope):
    bound = person("amy", Role.ADMIN, scope)
    desk = Office(people=(*EVERYBODY, bound))
    assert isinstance(desk.ask(LockPerson("tom"), asking(bound)), NotDone)
    assert desk.who("tom").locked_until == 0
    assert isinstance(desk.ask(LockPerson("amy"), asking(bound)), Done)


def test_the_only_admin_who_can_act_is_locked_out_from_the_console_alone():
    desk = Office(people=(ANN, BEN, TOM))
    only = NotDone("ann is the only admin who can act: only the console locks them out.")
    assert isinstance(desk.ask(LockPerson("ben"), ann), Done)
    assert desk.ask(LockPerson(""), ann) == only
    assert desk.ask(LockPerson("ann"), ann) == only
    assert desk.who("ann").locked_until == 0
    assert isinstance(desk.ask(LockPerson("ann")), Done)
    assert desk.who("ann").locked_until == UNTIL_UNLOCKED


def test_an_admin_without_an_account_does_not_count_among_those_who_can_act():
    desk = Office(people=())
    desk.name([ANN, BEN], [account("ann")])
    assert isinstance(desk.ask(LockPerson(""), ann), NotDone)


def test_whoever_is_locked_for_a_time_counts_as_one_who_can_act_once_it_is_over():
    desk = Office(people=(ANN, BEN))
    for _ in range(5):
        desk.ask(UseLinkCode("AAAA-AAAA"), ben)
    desk.now += 15 * MINUTE - 1
    assert isinstance(desk.ask(LockPerson(""), ann), NotDone)
    desk.now += 1
    assert isinstance(desk.ask(LockPerson(""), ann), Done)


def test_whoever_is_locked_does_not_let_themselves_in():
    desk = Office()
    authenticator = desk.enroll(BEN)
    desk.ask(LockPerson("ben"), ann)
    desk.now += 30 * SECOND
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), ben), NotDone)
    assert isinstance(desk.ask(UnlockPerson("ben"), ben), NotDone)
    proposal = desk.propose(UnlockPerson("ben"), ann)
    assert isinstance(desk.press(proposal, ben), NotDone)


def test_the_console_lets_an_admin_in():
    desk = Office(people=(ANN,))
    desk.ask(LockPerson("ann"))
    assert desk.who("ann").locked_until == UNTIL_UNLOCKED
    proposal = desk.propose(UnlockPerson("ann"))
    assert isinstance(desk.press(proposal, OPERATING), Done)
    assert desk.who("ann").locked_until == 0


def test_who_is_let_in_starts_with_no_wrong_tries():
    desk = Office()
    for _ in range(4):
        desk.ask(UseLinkCode("AAAA-AAAA"), vic)
    desk.ask(LockPerson("vic"), ann)
    desk.press(desk.propose(UnlockPerson("vic"), ann), ann)
    desk.ask(UseLinkCode("AAAA-AAAA"), vic)
    assert desk.who("vic").locked_until == 0


def test_a_lock_that_ended_by_itself_needs_no_unlocking():
    desk = Office()
    for _ in range(5):
        desk.ask(UseLinkCode("AAAA-AAAA"), vic)
    proposal = desk.propose(UnlockPerson("vic"), ann)
    desk.now += 5 * MINUTE - 1
    assert isinstance(desk.press(proposal, ann), Done)
    for _ in range(5):
        desk.ask(UseLinkCode("AAAA-AAAA"), vic)
    desk.now += 15 * MINUTE
    assert desk.ask(UnlockPerson("vic"), ann) == NotDone("vic is not locked out.")


def test_a_new_role_lifts_no_lock_and_ends_no_enrollment():
    desk = Office()
    desk.enroll(TOM)
    desk.ask(LockPerson("tom"), ann)
    decided(desk, SetRole("tom", "tom", Role.VIEWER))
    assert (desk.who("tom").locked_until, desk.who("tom").enrolled) == (UNTIL_UNLOCKED, True)


# -- what the settings say ---------------------------------------------------------------


def renamed(**roles: Role) -> list[Person]:
    """Everybody, some with other roles."""
    return [replace(who, role=roles.get(who.name, who.role)) for who in EVERYBODY]


def test_what_the_desk_decided_stands_until_the_settings_change():
    desk = Office()
    decided(desk, SetRole("tom", "tom", Role.ADMIN))
    desk.restart()
    desk.name(EVERYBODY)
    assert desk.who("tom").role is Role.ADMIN
    desk.restart()
    desk.name(renamed(tom=Role.VIEWER))
    assert (desk.who("tom").role, desk.who("tom").origin) == (Role.VIEWER, Origin.SETTINGS)


def test_bounds_in_the_settings_are_a_change_too():
    desk = Office()
    decided(desk, SetRole("tom", "tom", Role.ADMIN))
    desk.name([replace(who, scopes="guild:5") if who is TOM else who for who in EVERYBODY])
    assert (desk.who("tom").role, desk.who("tom").scopes) == (Role.TRADER, "guild:5")


def test_whoever_leaves_the_settings_may_nothing():
    desk = Office()
    desk.restart()
    desk.name([who for who in EVERYBODY if who is not TOM])
    assert desk.who("tom").role is Role.NOBODY
    assert Record(desk.who("tom")) in desk.effects
    assert desk.owner("telegram", user_id("tom")) == ""
    assert isinstance(desk.ask(HaltDesk(), tom), NotDone)


def test_whoever_comes_back_to_the_settings_may_again():
    desk = Office()
    desk.name([who for who in EVERYBODY if who is not TOM])
    desk.name(EVERYBODY)
    assert isinstance(desk.ask(HaltDesk(), tom), Done)


def test_whom_the_desk_let_in_stays_whatever_the_settings_say():
    desk = Office()
    decided(desk, wanting(), zoe)
    desk.restart()
    desk.name([ANN])
    assert desk.who("telegram:99").role is Role.TRADER
    assert desk.owner("telegram", "99") == "telegram:99"


def test_an_account_that_the_settings_take_away_is_nobodys():
    desk = Office()
    accounts = [each for each in telegram_and_discord(EVERYBODY) if each != account("tom")]
    desk.name(EVERYBODY, accounts)
    assert desk.owner("telegram", user_id("tom")) == ""
    assert isinstance(desk.ask(HaltDesk(), tom), NotDone)
    assert isinstance(desk.ask(HaltDesk(), asking(TOM, "discord")), Done)


def test_an_account_that_was_linked_elsewhere_stays_there_when_the_settings_drop_it():
    desk = Office()
    desk.ask(UseLinkCode(link_code(desk, ann)), tom)
    accounts = [each for each in telegram_and_discord(EVERYBODY) if each != account("tom")]
    desk.name(EVERYBODY, accounts)
    assert desk.owner("telegram", user_id("tom")) == "ann"


def test_an_account_that_the_settings_give_to_somebody_else_is_theirs():
    desk = Office()
    accounts = [
        replace(each, principal_id="ann") if each == account("tom") else each
        for each in telegram_and_discord(EVERYBODY)
    ]
    desk.name(EVERYBODY, accounts)
    assert desk.owner("telegram", user_id("tom")) == "ann"


def test_locks_and_authenticators_outlive_the_settings():
    desk = Office()
    desk.enroll(TOM)
    desk.ask(LockPerson("tom"), ann)
    desk.restart()
    desk.name(renamed(tom=Role.ADMIN))
    found = desk.who("tom")
    assert (found.enrolled, found.locked_until, found.role) == (True, UNTIL_UNLOCKED, Role.ADMIN)


def test_the_same_settings_again_change_nothing():
    desk = Office()
    before = repr(desk.core.view())
    desk.name(EVERYBODY)
    assert repr(desk.core.view()) == before


def test_the_desk_itself_is_no_person():
    desk = Office()
    assert isinstance(desk.ask(HaltDesk(), DESK), Done)
    assert isinstance(desk.ask(MakeLinkCode(), DESK), NotDone)
    assert isinstance(desk.ask(BeginEnrollment(), DESK), NotDone)


def test_somebody_new_to_the_settings_is_told_to_the_store():
    desk = Office(people=(ANN,))
    newcomer = person("sue", Role.TRADER)
    desk.name([ANN, newcomer])
    assert Record(newcomer) in desk.effects
    assert Record(account("sue")) in desk.effects
