"""The gate: what acts at once, what waits for a human, and which words of theirs count."""

import json
import re
import string
import unicodedata
from dataclasses import replace
from typing import get_args

import pytest
from pydantic import TypeAdapter

from engine import deciding, tiers
from engine.effect import Done, NotDone, NoticeKind, Proposed, Record, Submit
from engine.errors import Refused, Unreachable
from engine.event import DeskHalted, Executed, Instructed
from engine.instruction import (
    Accept,
    AddBot,
    AddSchedule,
    ArmAccount,
    BreakEven,
    CancelOrders,
    CancelThere,
    ClearCooldown,
    ClosePosition,
    ClosePositions,
    ConfirmEnrollment,
    Decide,
    EndEnrollment,
    HaltDesk,
    Instruction,
    KillDesk,
    LetTune,
    LiftLocks,
    LockPerson,
    MakeLinkCode,
    MoveStops,
    OpenSession,
    PauseBot,
    PlaceOrder,
    RemoveBot,
    ResetBreaker,
    ResumeBot,
    ResumeDesk,
    SetRole,
    SetSides,
    StopTuning,
    SyncHistory,
    TurnOff,
    TurnOn,
    UnlockPerson,
    UseLinkCode,
)
from engine.mail import Address
from engine.people import DESK, Asker, Human, Principal, PrincipalKind, Role, human
from engine.ports import JournalRow
from engine.proposal import (
    EXPIRES_AFTER_MS,
    ProposalKind,
    ProposalState,
    Vote,
    Way,
    digest,
    shown_of,
)
from engine.tunable import Tier
from tests.askers import OPERATING, asking, person, user_id
from tests.clock import turn
from tests.engine.conftest import BOT, BTC, BUY, T0, D, bot, execution, instrument
from tests.engine.office import (
    ANN,
    BEN,
    EVERYBODY,
    MINUTE,
    POLICY,
    SECOND,
    TIM,
    TOM,
    Office,
    required,
    telegram_and_discord,
)
from tests.engine.test_runtime import World

ann, ben, eva, tom, tim, vic = (asking(who) for who in EVERYBODY)
STRANGER = Asker(
    Principal(PrincipalKind.PERSON, "99", Role.NOBODY, "Zoe"), "telegram", Address("telegram", "99")
)
BUYING = PlaceOrder(BOT, BTC, BUY, D(1000))
ETH = "ETHUSDT"
ACCESS = SetRole("telegram:99", "Zoe", Role.TRADER, surface="telegram", user_id="99")


def paused(**how: object) -> Office:
    """A desk whose bot is paused."""
    desk = Office(**how)
    desk.ask(PauseBot(BOT))
    return desk


def halted(**how: object) -> Office:
    """A desk that a person has halted."""
    desk = Office(**how)
    desk.ask(HaltDesk(), ann)
    return desk


def priced(price: float = 100, **how: object) -> Office:
    """A desk that knows a price."""
    desk = Office(**how)
    desk.candle(0, price)
    return desk


def status(desk: Office) -> str:
    [found] = desk.core.view().bots
    return found.status.value


# -- tiers -------------------------------------------------------------------------------

TIERS = {
    Tier.YELLOW: {
        ResumeBot, AddBot, RemoveBot, TurnOn, SetSides, PlaceOrder, ClosePosition, UnlockPerson,
        ClosePositions, MoveStops, CancelThere, Accept, SyncHistory, LiftLocks, ResetBreaker,
        LetTune,
    },
    Tier.RED: {ResumeDesk, SetRole, EndEnrollment, ArmAccount, ClearCooldown},
}  # fmt: skip


def test_every_instruction_has_a_rule():
    assert set(tiers.RULES) == set(get_args(Instruction))


@pytest.mark.parametrize("kind", get_args(Instruction), ids=lambda kind: kind.__name__)
def test_what_takes_a_human_is_what_the_design_names(kind):
    waits = {tier for tier, kinds in TIERS.items() if kind in kinds}
    assert tiers.RULES[kind].tier in (waits or {Tier.GREEN})


def test_what_reduces_risk_stands_under_no_lock():
    always = {kind for kind, rule in tiers.RULES.items() if rule.reduces_risk}
    assert always == {PauseBot, HaltDesk, TurnOff, BreakEven, CancelOrders, KillDesk, StopTuning}


def test_what_is_red_takes_an_admin_to_decide():
    assert tiers.decider(Tier.RED, ResumeDesk()) is Role.ADMIN
    assert tiers.decider(Tier.YELLOW, BUYING) is Role.TRADER
    assert tiers.decider(Tier.YELLOW, UnlockPerson("tom")) is Role.ADMIN


# -- yellow ------------------------------------------------------------------------------


def test_what_is_yellow_waits_and_changes_nothing_yet():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert status(desk) == "paused"
    assert (proposal.proposal_id, proposal.tier, proposal.kind) == (
        1,
        Tier.YELLOW,
        ProposalKind.COMMAND,
    )
    assert (proposal.asked_by, proposal.asker, proposal.address) == ("tom", "tom", tom.address)
    assert (proposal.phrase, proposal.needed) == ("", 0)
    assert Record(proposal) in desk.effects
    [notice] = desk.notices
    assert (notice.kind, notice.proposal, notice.topic) == (
        NoticeKind.PROPOSED,
        proposal,
        "proposal:1",
    )


def test_one_press_carries_out_what_is_yellow():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert desk.press(proposal, tom) == Done(f"{BOT} is resumed.")
    assert status(desk) == "active"
    ended = desk.ended(proposal)
    assert (ended.state, ended.decided_by, ended.decided_at) == (ProposalState.DONE, "tom", T0)
    assert Record(Vote(1, "tom", True, tom.actor, T0)) in desk.effects
    assert Record(ended) in desk.effects
    assert [n.proposal for n in desk.told(NoticeKind.PROPOSAL_CHANGED)] == [ended]
    assert desk.core.view().proposals == ()


@pytest.mark.parametrize("way", Way)
def test_what_is_yellow_is_pressed_or_typed_as_a_command(way):
    """Words of a reply may as well say no."""
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    result = desk.reply(proposal, tim, phrase="", way=way)
    if way in (Way.BUTTON, Way.TYPED):
        assert isinstance(result, Done)
    else:
        assert result == NotDone("Press its button, or say /approve 1.")
        assert desk.open(proposal)


def test_what_is_yellow_takes_no_phrase():
    """Whoever says words to it may have meant another card."""
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    said = NotDone("Proposal 1 takes no phrase: say /approve 1 alone.")
    for way in (Way.TYPED, Way.BUTTON):
        assert desk.reply(proposal, tim, phrase="no, wait", way=way) == said
    assert desk.open(proposal) == proposal
    assert status(desk) == "paused"


def test_a_viewer_neither_asks_nor_decides():
    desk = paused()
    assert desk.ask(ResumeBot(BOT), vic) == NotDone("That needs the role trader; yours is viewer.")
    proposal = desk.propose(ResumeBot(BOT), tom)
    for approves in (True, False):
        assert desk.press(proposal, vic, approves) == NotDone(
            "Deciding that needs the role trader; yours is viewer."
        )
    assert desk.open(proposal) == proposal


def test_a_stranger_decides_nothing():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert desk.press(proposal, STRANGER) == NotDone("That needs the role viewer; yours is nobody.")


def test_a_role_that_somebody_claims_is_worth_nothing():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    pretending = replace(vic, principal=replace(vic.principal, role=Role.ADMIN))
    as_ann = replace(vic, principal=replace(vic.principal, principal_id="ann"))
    assert isinstance(desk.press(proposal, pretending), NotDone)
    assert isinstance(desk.press(proposal, as_ann), NotDone)


def test_a_rejection_ends_it_and_says_so():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert desk.press(proposal, tim, approves=False) == Done(
        f"Proposal 1 (Resume {BOT}) is rejected. Nothing was changed."
    )
    assert desk.ended(proposal).state is ProposalState.REJECTED
    assert Record(Vote(1, "tim", False, tim.actor, T0)) in desk.effects
    assert status(desk) == "paused"
    # Whoever asked elsewhere is told there.
    [told] = desk.told(NoticeKind.PROPOSAL_ENDED)
    assert told.address == tom.address


def test_whoever_asks_where_it_is_decided_is_told_once():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.press(proposal, tom)
    assert desk.told(NoticeKind.PROPOSAL_ENDED) == []


def test_the_second_decision_is_told_who_decided_and_when():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.now += 5 * SECOND
    desk.press(proposal, tom)
    effects = desk.step(Instructed(HaltDesk(), ann, 1, desk.now))
    assert effects
    assert desk.press(proposal, tim) == NotDone(
        f"Proposal 1 (Resume {BOT}) was approved by tom at 00:00:05 UTC."
    )
    assert desk.press(proposal, ann, approves=False) == NotDone(
        f"Proposal 1 (Resume {BOT}) was approved by tom at 00:00:05 UTC."
    )


def test_of_two_decisions_in_one_millisecond_the_first_counts():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert isinstance(desk.press(proposal, tim, approves=False), Done)
    assert desk.press(proposal, tom) == NotDone(
        f"Proposal 1 (Resume {BOT}) was rejected by tim at 00:00:00 UTC."
    )
    assert status(desk) == "paused"


def test_a_proposal_that_never_was_is_refused():
    desk = paused()
    said = Decide(human(tom), 7, True, Way.TYPED)
    assert desk.ask(said, tom) == NotDone("There is no open proposal 7. /proposals lists them.")


def test_a_card_of_another_proposal_decides_nothing():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    other = digest(replace(proposal, nonce="0000"))
    said = Decide(human(tom), 1, True, Way.BUTTON, digest=other)
    assert desk.ask(said, tom) == NotDone(
        "That card shows something else than what waits. Look at /proposals."
    )
    assert desk.open(proposal)


# -- red ---------------------------------------------------------------------------------


def test_what_is_red_waits_with_a_phrase_that_says_what_it_does():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    assert proposal.tier is Tier.RED
    assert proposal.phrase == f"APPROVE RESUME TRADING {proposal.nonce}"
    assert len(proposal.nonce) == 4
    assert shown_of(proposal).risk
    [change] = shown_of(proposal).changes
    assert (change.before, change.after) == ("halted: by ann", "on")


@pytest.mark.parametrize("way", [Way.REPLY, Way.FORM])
def test_the_phrase_carries_out_what_is_red(way):
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    assert desk.reply(proposal, ann, way=way) == Done("Trading is on again.")
    assert desk.core.view().halted == ""
    assert desk.ended(proposal).state is ProposalState.DONE


def test_resuming_lifts_whatever_halted_the_desk():
    desk = halted()
    desk.step(DeskHalted("books differ", T0))
    proposal = desk.propose(ResumeDesk(), ann)
    assert "by ann; books differ" in proposal.shown
    assert isinstance(desk.reply(proposal, ann), Done)
    assert desk.core.view().halted == ""


@pytest.mark.parametrize("way", [Way.BUTTON, Way.TYPED])
def test_what_is_red_is_neither_pressed_nor_typed_as_a_command_in_chat(way):
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    assert desk.reply(proposal, ann, way=way) == NotDone(
        "Reply to the card of proposal 1 with its phrase."
    )
    assert desk.open(proposal)


def test_at_the_console_the_phrase_is_typed():
    desk = halted()
    proposal = desk.propose(ResumeDesk())
    assert isinstance(desk.reply(proposal, OPERATING, phrase="", way=Way.TYPED), NotDone)
    assert desk.reply(proposal, OPERATING, way=Way.TYPED) == Done("Trading is on again.")


def test_at_the_console_what_is_red_is_not_pressed():
    desk = halted()
    proposal = desk.propose(ResumeDesk())
    assert isinstance(desk.reply(proposal, OPERATING, way=Way.BUTTON), NotDone)


def test_a_trader_neither_asks_for_nor_decides_what_is_red():
    desk = halted()
    assert desk.ask(ResumeDesk(), tom) == NotDone("That needs the role admin; yours is trader.")
    proposal = desk.propose(ResumeDesk(), ann)
    assert desk.reply(proposal, tom) == NotDone(
        "Deciding that needs the role admin; yours is trader."
    )


def test_each_proposal_has_a_word_of_its_own():
    desk = halted()
    words = set()
    for _ in range(8):
        proposal = desk.propose(ResumeDesk(), ann)
        words.add(proposal.nonce)
        desk.press(proposal, ann, approves=False)
    assert len(words) == 8


def test_the_phrase_of_the_proposal_before_it_is_refused():
    desk = halted()
    before = desk.propose(ResumeDesk(), ann)
    desk.press(before, ann, approves=False)
    proposal = desk.propose(ResumeDesk(), ann)
    result = desk.reply(proposal, ann, phrase=before.phrase)
    assert isinstance(result, NotDone)
    assert f"not '{proposal.nonce}'" in result.reason


def test_another_secret_gives_other_words():
    ours = halted().propose(ResumeDesk(), ann)
    theirs = halted(policy=replace(POLICY, secret=b"another")).propose(ResumeDesk(), ann)
    assert ours.nonce != theirs.nonce
    assert digest(ours) != digest(theirs)


PHRASE = "APPROVE ROLE TOM ADMIN 7Q3K"
WRONG = {
    "nothing": ("", "The phrase of the card is missing."),
    "nothing but marks": (' "" .', "The phrase of the card is missing."),
    "another word": (
        "APPROVE ROLE TIM ADMIN 7Q3K",
        "Word 3 of the phrase is 'TIM', not 'TOM'.",
    ),
    "another nonce": (
        "APPROVE ROLE TOM ADMIN 7Q3X",
        "Word 5 of the phrase is another, not '7Q3K'.",
    ),
    "a code in its place": (
        "APPROVE ROLE TOM ADMIN 123456",
        "Word 5 of the phrase is another, not '7Q3K'.",
    ),
    "a code before it": (
        "123456 APPROVE ROLE TOM ADMIN 7Q3K",
        "Word 1 of the phrase is another, not 'APPROVE'.",
    ),
    "a code after it": (
        "APPROVE ROLE TOM ADMIN 7Q3K 123456",
        "The phrase has more words than it should: another.",
    ),
    "a code in other digits": (
        "APPROVE ROLE TOM ADMIN \N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}",
        "Word 5 of the phrase is another, not '7Q3K'.",
    ),
    "no nonce": ("APPROVE ROLE TOM ADMIN", "The phrase ends too early: '7Q3K' is missing."),
    "a mark within a word": (
        "APPROVE RO'LE TOM ADMIN 7Q3K",
        "Word 2 of the phrase is \"RO'LE\", not 'ROLE'.",
    ),
    "a dash for a space": (
        "APPROVE ROLE-TOM ADMIN 7Q3K",
        "Word 2 of the phrase is 'ROLE-TOM', not 'ROLE'.",
    ),
    "a dotless i": (
        "APPROVE ROLE TOM ADM\N{LATIN SMALL LETTER DOTLESS I}N 7Q3K",
        "Word 4 of the phrase is 'ADM\N{LATIN SMALL LETTER DOTLESS I}N', not 'ADMIN'.",
    ),
    "an i with a dot": (
        "APPROVE ROLE TOM ADM\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}N 7Q3K",
        "Word 4 of the phrase is 'ADM\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}N', not 'ADMIN'.",
    ),
    "more": ("APPROVE ROLE TOM ADMIN 7Q3K NOW", "The phrase has more words than it should: 'NOW'."),
    "Cyrillic": (
        "APPROVE ROLE T\N{CYRILLIC CAPITAL LETTER O}M ADMIN 7Q3K",
        "Word 3 of the phrase is 'T\N{CYRILLIC CAPITAL LETTER O}M', not 'TOM'.",
    ),
    "Greek": (
        "APPROVE R\N{GREEK CAPITAL LETTER OMICRON}LE TOM ADMIN 7Q3K",
        "Word 2 of the phrase is 'R\N{GREEK CAPITAL LETTER OMICRON}LE', not 'ROLE'.",
    ),
    "small Cyrillic": (
        "approve role t\N{CYRILLIC SMALL LETTER O}m admin 7q3k",
        "Word 3 of the phrase is 'T\N{CYRILLIC SMALL LETTER O}M', not 'TOM'.",
    ),
    "an accent": (
        "APPROVE R\N{LATIN CAPITAL LETTER O WITH DIAERESIS}LE TOM ADMIN 7Q3K",
        "Word 2 of the phrase is 'R\N{LATIN CAPITAL LETTER O WITH DIAERESIS}LE', not 'ROLE'.",
    ),
    "an unseen letter": (
        "APPROVE ROLE TOM\N{ZERO WIDTH SPACE} ADMIN 7Q3K",
        "Word 3 of the phrase is 'TOM\\u200b', not 'TOM'.",
    ),
}
FULL_WIDTH = "".join(chr(ord(x) + 0xFEE0) if x != " " else "\N{IDEOGRAPHIC SPACE}" for x in PHRASE)
RIGHT = {
    "as shown": PHRASE,
    "white space": f"  {PHRASE.replace(' ', '   ')}\n",
    "other white space": PHRASE.replace(" ", "\N{NO-BREAK SPACE}\t"),
    "full width": FULL_WIDTH,
    "small letters": PHRASE.lower(),
    "small letters of full width": FULL_WIDTH.lower(),
    "a capital where a sentence begins": PHRASE.capitalize(),
    "quotes": f'"{PHRASE}"',
    "quotes of a phone": f"\N{LEFT DOUBLE QUOTATION MARK}{PHRASE}\N{RIGHT DOUBLE QUOTATION MARK}",
    "German quotes": f"\N{DOUBLE LOW-9 QUOTATION MARK}{PHRASE}\N{LEFT DOUBLE QUOTATION MARK}",
    "marks of code": f"`{PHRASE}`",
    "a full stop": f"{PHRASE}.",
    "a mark that stands alone": f"{PHRASE} !",
    "commas": PHRASE.replace(" ", ", "),
}


@pytest.mark.parametrize(("typed", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_phrase_is_told_which_part_differs(typed, said):
    assert deciding.wrong_part(PHRASE, typed) == said


@pytest.mark.parametrize("typed", RIGHT.values(), ids=RIGHT)
def test_a_phrase_that_a_phone_types_its_own_way_is_right(typed):
    assert deciding.wrong_part(PHRASE, typed) == ""


def read_as(letter: str) -> str:
    """Which capital or digit of ours a letter is taken for; empty for none."""
    said = deciding.wrong_part("?", letter)
    if "another" in said:
        return next((each for each in string.digits if not deciding.wrong_part(each, letter)), "")
    found = re.fullmatch(r"Word 1 of the phrase is '([A-Z])', not '\?'\.", said)
    return found[1] if found else ""


def test_a_letter_is_another_one_only_where_the_normal_form_says_so():
    """Of all that are assigned below the far planes: nothing else becomes one of ours."""
    alike = {}
    for letter in map(chr, range(128, 0x20000)):
        if unicodedata.category(letter) not in ("Cn", "Co", "Cs"):
            # "(a)" is one sign that reads as three, and marks fall away.
            plain = unicodedata.normalize("NFKC", letter).strip(".,()")
            ours = len(plain) == 1 and plain.isascii() and plain.isalnum()
            alike[letter] = plain.upper() if ours else ""
    assert {letter: read_as(letter) for letter in alike} == alike
    forms = "\N{FULLWIDTH LATIN SMALL LETTER A}\N{KELVIN SIGN}\N{LATIN SMALL LETTER LONG S}"
    assert [alike[letter] for letter in forms] == ["A", "K", "S"]
    others = "\u0131\u0130\u0410\u0430\u0391\u0421\u03bf\u0237\u0261\u2c6d\u13aa\ua4d0"
    assert {alike[letter] for letter in others} == {""}


def test_a_wrong_phrase_changes_nothing_and_leaves_the_proposal_open():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    result = desk.reply(proposal, ann, phrase="APPROVE RESUME TRADING")
    assert result == NotDone(
        f"The phrase ends too early: '{proposal.nonce}' is missing. 4 more and you are locked out."
    )
    assert desk.open(proposal) == proposal
    assert desk.core.view().halted


def test_whoever_has_the_last_word_of_the_card_may_mistype_the_others():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    for _ in range(9):
        result = desk.reply(proposal, ann, phrase=f"aprove resume trading {proposal.nonce}".lower())
        assert result == NotDone("Word 1 of the phrase is 'APROVE', not 'APPROVE'.")
    assert desk.open(proposal) == proposal
    assert not desk.who("ann").locked_until
    assert desk.reply(proposal, ann, phrase=proposal.phrase.lower()) == Done("Trading is on again.")


def test_a_word_of_another_card_does_not_excuse():
    desk = halted()
    before = desk.propose(ResumeDesk(), ben)
    proposal = desk.propose(ResumeDesk(), ann)
    for _ in range(5):
        desk.reply(proposal, ann, phrase=before.phrase)
    assert desk.who("ann").locked_until


def test_a_code_that_came_as_a_phrase_is_not_said_back():
    desk = halted()
    authenticator = desk.enroll(ANN)
    proposal = desk.propose(ResumeDesk(), ann)
    code = desk.code(authenticator)
    desk.reply(proposal, ann, phrase=f"{code} {proposal.phrase}")
    desk.reply(proposal, ann, phrase=f"{proposal.phrase} {code}")
    desk.reply(proposal, ann, phrase=code)
    assert not any(code in repr(act) for act in desk.acts)


FANCY = {
    "fancy small letters": ("\N{MATHEMATICAL BOLD SMALL A}\N{MATHEMATICAL BOLD SMALL B}", "AB"),
    "an accent": ("Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}", "ZOE"),
    "a letter that is two": ("Stra\N{LATIN SMALL LETTER SHARP S}er", "STRASSER"),
    "a picture": ("\N{FIRE}Zoe 7", "ZOE7"),
    "nothing that can be typed": ("\N{FIRE}", "TELEGRAM99"),
}


@pytest.mark.parametrize(("name", "spoken"), FANCY.values(), ids=FANCY)
def test_whatever_people_call_themselves_the_phrase_can_be_typed(name, spoken):
    desk = Office()
    proposal = desk.propose(replace(ACCESS, name=name), ann)
    assert proposal.phrase == f"APPROVE ROLE {spoken} TRADER {proposal.nonce}"
    assert isinstance(desk.reply(proposal, ann), Done)


def test_a_role_is_asked_for_by_name_and_account():
    desk = Office()
    proposal = desk.propose(ACCESS, STRANGER)
    [change] = shown_of(proposal).changes
    assert (change.name, change.before, change.after) == (
        "Zoe (as the account calls itself, telegram:99)",
        "nobody",
        "trader",
    )
    # Nobody types a name that a stranger chose: it may be somebody else's.
    assert proposal.phrase == f"APPROVE ROLE TELEGRAM99 TRADER {proposal.nonce}"
    assert proposal.title == "Let in Zoe as trader"


# -- codes, locks and sessions -----------------------------------------------------------


def test_an_enrolled_admin_needs_a_code_beside_the_phrase():
    desk = halted()
    authenticator = desk.enroll(ANN)
    proposal = desk.propose(ResumeDesk(), ann)
    assert desk.reply(proposal, ann) == NotDone("The code of your authenticator is missing.")
    desk.now += 30 * SECOND
    assert desk.reply(proposal, ann, code=desk.code(authenticator)) == Done("Trading is on again.")


@pytest.mark.parametrize(("steps", "taken"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_code_is_good_for_one_step_either_side(steps, taken):
    desk = halted()
    authenticator = desk.enroll(ANN)
    desk.now += 4 * 30 * SECOND
    proposal = desk.propose(ResumeDesk(), ann)
    result = desk.reply(proposal, ann, code=desk.code(authenticator, steps))
    assert isinstance(result, Done) is taken


def test_a_code_is_taken_once_for_ever():
    """RFC 6238, 5.2: also by another proposal, and after a restart."""
    desk = halted()
    authenticator = desk.enroll(ANN)
    desk.now += 30 * SECOND
    used = desk.code(authenticator)
    assert isinstance(desk.reply(desk.propose(ResumeDesk(), ann), ann, code=used), Done)
    desk.ask(HaltDesk(), ann)
    desk.restart()
    proposal = desk.propose(ResumeDesk(), ann)
    said = "That code was used already. Wait for the next one."
    assert desk.reply(proposal, ann, code=used) == NotDone(said)
    assert desk.ask(OpenSession(used), ann) == NotDone(said)
    assert desk.core.view().halted
    desk.now += 30 * SECOND
    assert desk.reply(proposal, ann, code=used) == NotDone(said)
    assert isinstance(desk.reply(proposal, ann, code=desk.code(authenticator)), Done)


def test_a_code_of_somebody_else_is_wrong():
    desk = halted()
    desk.enroll(ANN)
    other = desk.enroll(BEN)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.now += 30 * SECOND
    result = desk.reply(proposal, ann, code=desk.code(other))
    assert isinstance(result, NotDone)
    assert result.reason.startswith("That code is wrong.")


def test_five_wrong_phrases_lock_out_and_alert_the_admins():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    for left in (4, 3, 2, 1):
        result = desk.reply(proposal, ben, phrase="wrong")
        assert isinstance(result, NotDone)
        assert result.reason.endswith(f"{left} more and you are locked out.")
        assert desk.told(NoticeKind.SECURITY) == []
    result = desk.reply(proposal, ben, phrase="wrong")
    assert isinstance(result, NotDone)
    assert result.reason.endswith("you are locked out for 15 minutes.")
    [alert] = desk.told(NoticeKind.SECURITY)
    assert alert.text == "ben is locked out for 15 minutes: 5 wrong tries."
    assert (ben.actor, "locked out", alert.text) in desk.audited
    assert desk.who("ben").locked_until == T0 + 15 * MINUTE
    assert desk.reply(proposal, ben) == NotDone(
        "You are locked out until 00:15:00 UTC. An admin's /unlock lets you in before."
    )
    assert desk.open(proposal) == proposal


@pytest.mark.parametrize("how", ["for a time", "by hand"])
def test_whoever_is_locked_out_may_still_reject(how):
    desk = halted()
    if how == "by hand":
        desk.ask(LockPerson("ben"), ann)
    else:
        wrong_tries(desk, ben, 5)
    proposal = desk.propose(ResumeDesk(), ann)
    assert isinstance(desk.reply(proposal, ben), NotDone)
    assert isinstance(desk.press(proposal, ben, approves=False), Done)
    assert desk.ended(proposal).state is ProposalState.REJECTED


def holding(desk: Office) -> Office:
    """A desk whose bot has bought ten."""
    desk.candle(0)
    desk.press(desk.propose(BUYING, tim), tim)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    desk.step(Executed(execution(submit.order)))
    return desk


def test_whoever_is_locked_out_for_a_time_may_still_close_and_nothing_else():
    desk = holding(Office(bots=[bot(symbols=(BTC, ETH))]))
    desk.candle(0, symbol=ETH)
    for _ in range(5):
        desk.ask(UseLinkCode("AAAA-AAAA"), tom)
    said = NotDone("You are locked out until 00:15:00 UTC. An admin's /unlock lets you in before.")
    closing = desk.propose(ClosePosition(BOT, BTC, D("0.5")), tom)
    buying = desk.propose(replace(BUYING, symbol=ETH), tim)
    assert desk.ask(replace(BUYING, symbol=ETH), tom) == said
    assert desk.press(buying, tom) == said
    assert desk.press(closing, tom) == Done(f"Sell 5 {BTC} is sent.")
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    assert submit.order.reduce_only


def test_whoever_was_locked_by_hand_neither_closes_nor_has_it_closed():
    desk = holding(Office())
    closing = desk.propose(ClosePosition(BOT, BTC, D(1)), tim)
    desk.ask(LockPerson("tom"), ann)
    said = NotDone("You are locked out, until an admin says /unlock.")
    assert desk.ask(ClosePosition(BOT, BTC, D(1)), tom) == said
    assert desk.press(closing, tom) == said
    assert isinstance(desk.press(closing, tim), Done)


def wrong_tries(desk: Office, asker: Asker, count: int) -> None:
    """Say a wrong phrase so many times."""
    proposal = desk.propose(ResumeDesk(), eva)
    for _ in range(count):
        desk.reply(proposal, asker, phrase="wrong")


def test_a_lock_out_holds_over_a_restart_and_ends_in_time():
    desk = halted()
    wrong_tries(desk, ben, 5)
    desk.restart()
    desk.now += 15 * MINUTE - 1
    proposal = desk.propose(ResumeDesk(), ann)
    assert isinstance(desk.reply(proposal, ben), NotDone)
    desk.now += 1
    assert isinstance(desk.reply(proposal, ben), Done)


def test_wrong_tries_are_counted_over_a_restart():
    desk = halted()
    wrong_tries(desk, ben, 4)
    desk.restart()
    wrong_tries(desk, ben, 1)
    assert desk.who("ben").locked_until


@pytest.mark.parametrize(("since", "locked"), [(15 * MINUTE - 1, True), (15 * MINUTE, False)])
def test_tries_count_for_fifteen_minutes(since, locked):
    desk = halted()
    wrong_tries(desk, ben, 4)
    desk.now += since
    wrong_tries(desk, ben, 1)
    assert bool(desk.who("ben").locked_until) is locked


def test_wrong_codes_and_wrong_phrases_count_together():
    desk = halted()
    authenticator = desk.enroll(BEN)
    wrong_tries(desk, ben, 3)
    bad = desk.code(authenticator, steps=9)
    desk.ask(OpenSession(bad), ben)
    assert not desk.who("ben").locked_until
    desk.ask(OpenSession(bad), ben)
    assert desk.who("ben").locked_until


def test_the_console_is_never_locked_out():
    desk = halted()
    proposal = desk.propose(ResumeDesk())
    for _ in range(9):
        desk.reply(proposal, OPERATING, phrase="wrong", way=Way.TYPED)
    assert isinstance(desk.reply(proposal, OPERATING, way=Way.TYPED), Done)


def test_who_is_locked_out_may_still_halt_and_pause_and_nothing_else():
    desk = Office()
    desk.ask(LockPerson("tom"), ann)
    assert isinstance(desk.ask(ResumeBot(BOT), tom), NotDone)
    assert isinstance(desk.ask(MakeLinkCode(), tom), NotDone)
    assert isinstance(desk.ask(PauseBot(BOT), tom), Done)
    assert isinstance(desk.ask(HaltDesk(), tom), Done)


def test_a_press_with_an_expired_session_is_refused_and_audited():
    """T1."""
    desk = paused()
    desk.enroll(TOM)
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.now += 30 * MINUTE
    proposal = desk.propose(ResumeBot(BOT), tom)
    said = "Your session is closed. Say /unlock and the code of your authenticator first."
    assert desk.press(proposal, tom) == NotDone(said)
    assert desk.audited == [(tom.actor, "Decide", f"refused: {said}")]
    assert desk.open(proposal) == proposal
    assert status(desk) == "paused"


def test_a_session_slides_with_each_thing_done():
    desk = paused()
    desk.enroll(TOM)
    for _ in range(3):
        desk.now += 30 * MINUTE - 1
        proposal = desk.propose(ResumeBot(BOT), tom)
        assert isinstance(desk.press(proposal, tom), Done)
        desk.ask(PauseBot(BOT), tom)


def test_a_session_is_open_after_a_code_and_through_a_restart():
    desk = paused()
    authenticator = desk.enroll(TOM)
    desk.now += 31 * MINUTE
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), tom), Done)
    desk.restart()
    assert isinstance(desk.press(proposal, tom), Done)


def test_whoever_has_no_authenticator_is_asked_for_nothing():
    desk = paused()
    desk.now += 24 * 60 * MINUTE
    assert isinstance(desk.press(desk.propose(ResumeBot(BOT), tom), tom), Done)


# -- more than one person ----------------------------------------------------------------


def test_one_other_person_must_approve_where_one_is_required():
    desk = halted(policy=required(1))
    proposal = desk.propose(ResumeDesk(), ann)
    assert proposal.needed == 1
    assert desk.reply(proposal, ann) == NotDone(
        "You asked for it yourself: somebody else must approve it."
    )
    assert isinstance(desk.reply(proposal, ben), Done)
    assert desk.core.view().halted == ""


def test_two_other_people_must_approve_where_two_are_required():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    assert desk.reply(proposal, ben) == Done(
        "Approved by you. 1 more must approve Proposal 1 (Resume trading)."
    )
    waiting = desk.open(proposal)
    assert waiting is not None
    assert (waiting.state, waiting.approved) == (ProposalState.OPEN, 1)
    assert desk.told(NoticeKind.PROPOSAL_CHANGED)
    assert desk.core.view().halted
    assert isinstance(desk.reply(proposal, eva), Done)
    assert desk.core.view().halted == ""
    assert desk.ended(proposal).approved == 2


def test_one_person_counts_once_whatever_account_they_use():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    said = NotDone("You approved it already; it waits for somebody else.")
    assert desk.reply(proposal, ben) == said
    assert desk.reply(proposal, asking(BEN, "discord"), way=Way.FORM) == said
    assert desk.core.view().halted


def test_the_asker_is_not_another_person_on_another_platform():
    desk = halted(policy=required(1))
    proposal = desk.propose(ResumeDesk(), ann)
    assert isinstance(desk.reply(proposal, asking(ANN, "discord"), way=Way.FORM), NotDone)
    assert desk.core.view().halted


def test_nobody_knows_who_sits_at_the_console():
    desk = halted(policy=required(1))
    proposal = desk.propose(ResumeDesk(), ann)
    result = desk.reply(proposal, OPERATING, way=Way.TYPED)
    assert isinstance(result, NotDone)
    assert result.reason.startswith("Nobody knows who sits at the console")


@pytest.mark.parametrize(("count", "needed"), [(0, 0), (1, 2), (2, 3)])
def test_one_more_must_approve_where_nobody_knows_which_human_asked(count, needed):
    """Whoever asked may be one of those who approve."""
    desk = halted(policy=required(count))
    assert desk.propose(ResumeDesk()).needed == needed
    assert desk.propose(ACCESS, STRANGER).needed == needed
    assert desk.propose(ResumeDesk(), ann).needed == count
    # A press is one person's, whoever asked.
    desk.ask(PauseBot(BOT))
    assert desk.propose(ResumeBot(BOT)).needed == 0


def test_two_let_a_stranger_in_where_one_other_is_required():
    desk = Office(policy=required(1))
    proposal = desk.propose(ACCESS, STRANGER)
    assert desk.reply(proposal, ben) == Done(
        "Approved by you. 1 more must approve Proposal 1 (Let in Zoe as trader)."
    )
    assert isinstance(desk.reply(proposal, eva), Done)
    assert desk.who("telegram:99").role is Role.TRADER


def test_everybody_whose_word_counted_is_named():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    waiting = desk.open(proposal)
    assert waiting is not None
    assert waiting.decided_by == "ben"
    desk.now += 5 * SECOND
    desk.reply(proposal, eva)
    ended = desk.ended(proposal)
    assert (ended.decided_by, ended.decided_at) == ("ben, eva", T0 + 5 * SECOND)
    assert (eva.actor, "done", "Proposal 1 (Resume trading): Trading is on again.") in desk.audited
    assert isinstance(desk.ask(Decide(human(ann), 1, True, Way.TYPED), ann), NotDone)


def test_nobody_is_named_whose_word_does_not_count_any_more():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    desk.ask(LockPerson("ben"), ann)
    desk.reply(proposal, eva)
    waiting = desk.open(proposal)
    assert waiting is not None
    assert (waiting.decided_by, waiting.approved) == ("eva", 1)


def test_words_given_before_a_restart_count_after_it():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    desk.restart()
    assert isinstance(desk.reply(proposal, ben), NotDone)
    assert desk.reply(proposal, eva) == Done("Trading is on again.")


def test_the_required_number_is_that_of_when_it_was_asked():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.policy = required(0)
    desk.restart()
    assert isinstance(desk.reply(proposal, ben), Done)
    assert desk.core.view().halted


def linked(desk: Office, giver: Asker, user: Asker) -> None:
    """Make the account of `user` one of `giver`'s."""
    made = desk.ask(MakeLinkCode(), giver)
    assert isinstance(made, Done)
    assert isinstance(desk.ask(UseLinkCode(made.text.split()[-1]), user), Done)


def test_accounts_that_turn_out_to_be_one_persons_void_what_they_approved():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    linked(desk, eva, ben)
    assert desk.ended(proposal).outcome == ("two accounts of one person were linked meanwhile")
    assert isinstance(desk.reply(proposal, eva), NotDone)
    assert desk.core.view().halted


def test_accounts_that_turn_out_to_be_one_persons_void_what_they_asked_for():
    desk = halted(policy=required(1))
    proposal = desk.propose(ResumeDesk(), ben)
    linked(desk, eva, ben)
    assert desk.ended(proposal).state is ProposalState.VOID


def test_an_account_of_somebody_else_changes_nothing_of_what_others_approved():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    linked(desk, eva, tom)
    assert isinstance(desk.reply(proposal, eva), Done)
    assert desk.core.view().halted == ""


def demoted(desk: Office, who: str, role: Role = Role.VIEWER) -> None:
    """Have somebody made less than they were; ann asks, eva and ben approve as needed."""
    proposal = desk.propose(SetRole(who, who, role), ann)
    for approver in (eva, ben):
        if desk.open(proposal):
            desk.reply(proposal, approver)
    assert desk.who(who).role is role


def test_a_voter_who_was_demoted_counts_no_more():
    desk = halted(policy=required(2), people=(*EVERYBODY, person("uma", Role.ADMIN)))
    uma = asking(person("uma", Role.ADMIN))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, uma)
    demoted(desk, "uma")
    assert desk.reply(proposal, ben) == Done(
        "Approved by you. 1 more must approve Proposal 1 (Resume trading)."
    )
    assert desk.core.view().halted
    assert isinstance(desk.reply(proposal, eva), Done)
    assert desk.core.view().halted == ""


def test_a_voter_who_was_bound_to_a_bot_counts_no_more_for_the_desk():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    desk.name([replace(who, scopes=f"bot:{BOT}") if who is BEN else who for who in EVERYBODY])
    assert desk.reply(proposal, eva) == Done(
        "Approved by you. 1 more must approve Proposal 1 (Resume trading)."
    )
    assert desk.core.view().halted


def test_a_voter_who_was_bound_to_a_place_still_counts():
    """They spoke where they might."""
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    desk.name([replace(who, scopes="guild:5") if who is BEN else who for who in EVERYBODY])
    assert desk.reply(proposal, eva) == Done("Trading is on again.")


def test_a_voter_who_was_locked_counts_no_more():
    desk = halted(policy=required(2))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    desk.ask(LockPerson("ben"), ann)
    desk.reply(proposal, eva)
    assert desk.core.view().halted


def test_what_is_yellow_takes_one_person_whatever_is_required():
    desk = paused(policy=required(2))
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert proposal.needed == 0
    assert isinstance(desk.press(proposal, tom), Done)


# -- the delay ---------------------------------------------------------------------------

DELAYED = replace(POLICY, delay_ms=MINUTE)


def test_what_raises_risk_waits_once_approved_and_then_takes_effect():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.now += 10 * SECOND
    assert desk.reply(proposal, ann) == Done(
        "Approved. It takes effect in 60 s, unless an admin rejects it."
    )
    approved = desk.open(proposal)
    assert approved is not None
    assert (approved.state, approved.effective_at) == (
        ProposalState.APPROVED,
        T0 + 70 * SECOND,
    )
    assert desk.core.wakes_at == T0 + 70 * SECOND
    desk.wait(MINUTE - 1)
    assert desk.core.view().halted
    desk.wait(1)
    assert desk.core.view().halted == ""
    ended = desk.ended(proposal)
    assert ended.state is ProposalState.DONE
    # It was decided when the word was given, by whoever gave it.
    assert (ended.decided_by, ended.decided_at) == ("ann", T0 + 10 * SECOND)
    assert ("desk", "done", "Proposal 1 (Resume trading): Trading is on again.") in desk.audited
    assert [notice.actor for notice in desk.told(NoticeKind.DESK_RESUMED)] == ["ann"]
    assert desk.press(proposal, ben) == NotDone(
        "Proposal 1 (Resume trading) was approved by ann at 00:00:10 UTC."
    )
    assert desk.core.wakes_at is None


def test_it_takes_effect_once():
    desk = halted(policy=DELAYED)
    desk.reply(desk.propose(ResumeDesk(), ann), ann)
    desk.wait(MINUTE)
    desk.ask(HaltDesk(), ben)
    desk.wait(MINUTE)
    assert desk.core.view().halted == "by ben"


def test_what_waits_for_its_delay_is_not_expired_meanwhile():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.now += 5 * MINUTE - 1
    desk.reply(proposal, ann)
    desk.wait(MINUTE)
    assert desk.core.view().halted == ""


def test_any_admin_rejects_it_meanwhile():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ann)
    assert isinstance(desk.press(proposal, tom, approves=False), NotDone)
    assert isinstance(desk.press(proposal, ben, approves=False), Done)
    desk.wait(MINUTE)
    assert desk.core.view().halted
    assert desk.ended(proposal).state is ProposalState.REJECTED


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("already", [False, True])
def test_whoever_halts_takes_back_every_word_to_resume(approved, already):
    """T6."""
    desk = Office(policy=DELAYED)
    if already:
        desk.ask(HaltDesk(), ann)
    else:
        desk.step(DeskHalted("books differ", T0))
    proposal = desk.propose(ResumeDesk(), ann)
    if approved:
        desk.reply(proposal, ben)
    assert isinstance(desk.ask(HaltDesk(), tom), Done)
    ended = desk.ended(proposal)
    assert (ended.state, ended.outcome) == (ProposalState.VOID, "tom halted the desk meanwhile")
    assert ("desk", "void", "Proposal 1 (Resume trading): tom halted the desk meanwhile") in (
        desk.audited
    )
    assert [told.proposal for told in desk.told(NoticeKind.PROPOSAL_CHANGED)] == [ended]
    desk.wait(MINUTE)
    assert desk.core.view().halted
    assert isinstance(desk.reply(proposal, ben), NotDone)
    # To resume is asked for anew.
    again = desk.propose(ResumeDesk(), ann)
    desk.reply(again, ben)
    desk.wait(MINUTE)
    assert desk.core.view().halted == ""


def test_to_halt_voids_nothing_else():
    desk = halted(policy=DELAYED)
    desk.ask(PauseBot(BOT), ann)
    bot_again = desk.propose(ResumeBot(BOT), tom)
    role = desk.propose(SetRole("tom", "tom", Role.ADMIN), ann)
    desk.ask(HaltDesk(), tom)
    assert desk.open(bot_again) == bot_again
    assert desk.open(role) == role


def test_to_halt_voids_nothing_of_other_books():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    desk.market = "else"
    desk.restart()
    desk.ask(HaltDesk(), tom)
    assert desk.open(proposal) == proposal


def test_it_is_not_approved_again_meanwhile():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ann)
    assert desk.reply(proposal, ben) == NotDone(
        "Proposal 1 (Resume trading) is approved already, by ann."
    )
    approved = desk.open(proposal)
    assert approved is not None
    assert approved.effective_at == T0 + MINUTE


def test_what_has_changed_meanwhile_is_void_and_says_what():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ann)
    desk.step(DeskHalted("books differ", desk.now))
    desk.wait(MINUTE)
    assert desk.core.view().halted == "by ann; books differ"
    assert desk.ended(proposal).outcome == (
        "trading was 'halted: by ann', it is 'halted: by ann; books differ' now"
    )


@pytest.mark.parametrize("happen", ["demoted", "locked"])
def test_what_an_approver_may_not_decide_any_more_is_void(happen):
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    if happen == "demoted":
        demoted(desk, "ben")
    else:
        desk.ask(LockPerson("ben"), ann)
    desk.wait(MINUTE)
    assert desk.ended(proposal).outcome == "who approved it may not any more"
    assert desk.core.view().halted


def test_linking_accounts_voids_what_they_approved_and_waits():
    desk = halted(policy=required(1, MINUTE))
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ben)
    linked(desk, ann, ben)
    desk.wait(MINUTE)
    assert desk.ended(proposal).state is ProposalState.VOID
    assert desk.core.view().halted


def test_what_the_console_approved_takes_effect_too():
    desk = halted(policy=DELAYED)
    desk.reply(desk.propose(ResumeDesk()), OPERATING, way=Way.TYPED)
    desk.wait(MINUTE)
    assert desk.core.view().halted == ""


def test_the_delay_goes_on_through_a_restart():
    desk = halted(policy=DELAYED)
    desk.reply(desk.propose(ResumeDesk(), ann), ann)
    desk.restart()
    desk.wait(MINUTE - 1)
    assert desk.core.view().halted
    desk.wait(1)
    assert desk.core.view().halted == ""


LESS = {
    "a lower role": SetRole("tom", "tom", Role.VIEWER),
    "no role": SetRole("tom", "tom", Role.NOBODY),
    "bounds": SetRole("tom", "tom", Role.TRADER, f"bot:{BOT}"),
    "no role instead of a bounded one": SetRole("sue", "sue", Role.NOBODY),
}
MORE = {
    "a higher role": SetRole("tom", "tom", Role.ADMIN),
    "no bounds": SetRole("sue", "sue", Role.TRADER),
    "other bounds": SetRole("sue", "sue", Role.TRADER, "bot:other"),
    "somebody new": SetRole("telegram:5", "five", Role.VIEWER, "", "telegram", "5"),
    "another account": SetRole("tom", "tom", Role.VIEWER, "", "telegram", "5"),
}
SUE = person("sue", Role.TRADER, f"bot:{BOT}")


@pytest.mark.parametrize("instruction", LESS.values(), ids=LESS)
def test_what_takes_rights_away_is_not_delayed(instruction):
    desk = Office(policy=DELAYED, people=(*EVERYBODY, SUE))
    proposal = desk.propose(instruction, ann)
    desk.reply(proposal, ann)
    assert desk.ended(proposal).state is ProposalState.DONE


@pytest.mark.parametrize("instruction", MORE.values(), ids=MORE)
def test_what_gives_rights_is_delayed(instruction):
    desk = Office(policy=DELAYED, people=(*EVERYBODY, SUE))
    proposal = desk.propose(instruction, ann)
    desk.reply(proposal, ann)
    approved = desk.open(proposal)
    assert approved is not None
    assert approved.state is ProposalState.APPROVED


def test_what_is_yellow_is_not_delayed():
    desk = paused(policy=DELAYED)
    assert desk.press(desk.propose(ResumeBot(BOT), tom), tom) == Done(f"{BOT} is resumed.")


# -- time --------------------------------------------------------------------------------

KINDS = {
    ProposalKind.ORDER: (BUYING, tom, MINUTE),
    ProposalKind.COMMAND: (ResumeBot(BOT), tom, 5 * MINUTE),
    ProposalKind.ACCESS: (ACCESS, STRANGER, 24 * 60 * MINUTE),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_proposal_may_be_decided_until_it_expires(kind, off):
    instruction, asker, lasts = KINDS[kind]
    desk = priced()
    desk.ask(PauseBot(BOT))
    proposal = desk.propose(instruction, asker)
    assert (proposal.kind, proposal.expires_at) == (kind, T0 + lasts)
    assert EXPIRES_AFTER_MS[kind] == lasts
    desk.now += lasts + off
    result = desk.reply(proposal, ann) if proposal.phrase else desk.press(proposal, ann)
    if off < 0:
        assert isinstance(result, Done)
        return
    assert isinstance(result, NotDone)
    assert "expired at" in result.reason
    assert desk.ended(proposal).state is ProposalState.EXPIRED


def test_what_nobody_decides_expires_by_itself_and_is_told_and_audited():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert desk.core.wakes_at == proposal.expires_at
    assert desk.wait(5 * MINUTE - 1) == []
    desk.wait(1)
    ended = desk.ended(proposal)
    assert (ended.state, ended.decided_by, ended.decided_at) == (
        ProposalState.EXPIRED,
        "desk",
        T0 + 5 * MINUTE,
    )
    assert Record(ended) in desk.effects
    assert desk.told(NoticeKind.PROPOSAL_CHANGED)
    assert desk.audited == [("desk", "expired", f"Proposal 1 (Resume {BOT})")]
    assert desk.core.wakes_at is None


def test_the_core_wakes_for_what_comes_first():
    desk = priced()
    desk.ask(PauseBot(BOT))
    desk.propose(ResumeBot(BOT), tom)
    order = desk.propose(BUYING, tom)
    assert desk.core.wakes_at == order.expires_at


def test_a_clock_that_goes_back_voids_what_it_timed():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.wait(10 * SECOND)
    desk.wait(-2_001)
    assert desk.ended(proposal).outcome == "the desk's clock went back by 2 s"
    assert desk.audited
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert status(desk) == "paused"


def test_a_clock_that_is_set_a_little_right_voids_nothing():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.wait(10 * SECOND)
    desk.wait(-2_000)
    assert isinstance(desk.press(proposal, tom), Done)


def test_many_small_steps_back_are_one_large_one():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.wait(10 * SECOND)
    desk.wait(-1_500)
    desk.wait(-1_500)
    assert desk.ended(proposal).state is ProposalState.VOID


def test_a_clock_that_went_back_while_the_desk_was_away_voids_too():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.wait(2 * MINUTE)
    desk.restart()
    desk.wait(-MINUTE)
    assert desk.ended(proposal).state is ProposalState.VOID


def test_sessions_and_link_codes_end_with_a_clock_that_goes_back():
    desk = paused()
    desk.enroll(TOM)
    made = desk.ask(MakeLinkCode(), ann)
    assert isinstance(made, Done)
    desk.wait(-MINUTE)
    assert isinstance(desk.press(desk.propose(ResumeBot(BOT), tom), tom), NotDone)
    assert isinstance(desk.ask(UseLinkCode(made.text.split()[-1]), STRANGER), NotDone)


# -- drift -------------------------------------------------------------------------------


def test_what_has_come_about_meanwhile_is_void():
    desk = paused()
    first = desk.propose(ResumeBot(BOT), tom)
    second = desk.propose(ResumeBot(BOT), tim)
    desk.press(first, tom)
    assert desk.press(second, tim) == NotDone(
        f"Proposal 2 (Resume {BOT}) is void: {BOT} is running already."
    )
    assert desk.ended(second).state is ProposalState.VOID


def test_a_desk_that_was_halted_for_another_reason_meanwhile_is_not_resumed():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    desk.step(DeskHalted("books differ", desk.now))
    result = desk.reply(proposal, ann)
    assert isinstance(result, NotDone)
    assert "halted: by ann; books differ" in result.reason
    assert desk.core.view().halted == "by ann; books differ"


@pytest.mark.parametrize(
    ("price", "void"), [(99.5, False), (100.5, False), (99, True), (101, True)]
)
def test_an_entry_is_void_where_the_price_has_run_away(price, void):
    desk = Office(rules={BTC: instrument(tick=D("0.5"))})
    desk.candle(0, 100)
    proposal = desk.propose(BUYING, tom)
    desk.candle(1, price)
    result = desk.press(proposal, tom)
    assert isinstance(result, NotDone) is void
    assert any(isinstance(effect, Submit) for effect in desk.effects) is not void
    if void:
        assert isinstance(result, NotDone)
        assert f"the price was 100, it is {price:.0f}" in result.reason
        assert desk.ended(proposal).state is ProposalState.VOID


def test_a_role_that_changed_meanwhile_is_not_given():
    desk = Office()
    proposal = desk.propose(SetRole("tom", "tom", Role.ADMIN), ann)
    demoted(desk, "tom")
    result = desk.reply(proposal, ben)
    assert isinstance(result, NotDone)
    assert "tom was 'trader', it is 'viewer' now" in result.reason
    assert desk.who("tom").role is Role.VIEWER


def test_whoever_was_demoted_meanwhile_decides_nothing():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    demoted(desk, "ben", Role.TRADER)
    assert isinstance(desk.reply(proposal, ben), NotDone)
    assert desk.core.view().halted


# -- asking again, and limits ------------------------------------------------------------


def test_asking_again_voids_what_was_asked_before():
    desk = paused()
    first = desk.propose(ResumeBot(BOT), tom)
    second = desk.propose(ResumeBot(BOT), asking(TOM, "discord"))
    assert desk.ended(first).outcome == "it was asked for again as proposal 2"
    assert desk.press(first, tom) == NotDone(
        f"Proposal 1 (Resume {BOT}) is void since 00:00:00 UTC: "
        "it was asked for again as proposal 2."
    )
    assert isinstance(desk.press(second, tom), Done)


def test_two_people_may_ask_for_the_same():
    desk = paused()
    desk.propose(ResumeBot(BOT), tom)
    desk.propose(ResumeBot(BOT), tim)
    assert len(desk.core.view().proposals) == 2


def test_ten_proposals_of_one_person_are_enough():
    desk = priced()
    for count in range(10):
        desk.propose(replace(BUYING, value=D(1000 + count)), tom)
    assert desk.ask(replace(BUYING, value=D(2000)), tom) == NotDone(
        "10 proposals of yours wait already."
    )
    assert len(desk.core.view().proposals) == 10
    # What takes the place of another is none more.
    assert desk.propose(BUYING, tom)
    assert desk.propose(replace(BUYING, value=D(2000)), tim)


def test_fifty_proposals_are_enough():
    people = [person(f"p{number}", Role.TRADER) for number in range(6)]
    desk = priced(people=people)
    for who in people[:5]:
        for count in range(10):
            desk.propose(replace(BUYING, value=D(1000 + count)), asking(who))
    assert desk.ask(BUYING, asking(people[5])) == NotDone(
        "50 proposals wait already. Decide some of them first."
    )


def test_what_others_fill_shuts_out_no_admin():
    people = [ANN, *(person(f"p{number}", Role.TRADER) for number in range(5))]
    desk = priced(people=people)
    for who in people[1:]:
        for count in range(10):
            desk.propose(replace(BUYING, value=D(1000 + count)), asking(who))
    assert desk.propose(BUYING, ann)
    assert desk.propose(BUYING)
    assert len(desk.core.view().proposals) == 52


def test_who_asks_to_be_let_in_again_waits_for_the_answer():
    desk = Office()
    desk.propose(ACCESS, STRANGER)
    assert desk.ask(replace(ACCESS, role=Role.VIEWER), STRANGER) == NotDone(
        "You asked already. The admins know; wait for their answer."
    )


def test_ten_people_who_would_be_let_in_are_enough():
    desk = Office()
    for number in range(11):
        user = str(100 + number)
        zoe = replace(STRANGER, principal=replace(STRANGER.principal, id=user))
        wanted = replace(ACCESS, principal_id=f"telegram:{user}", user_id=user)
        result = desk.ask(wanted, zoe)
    assert result == NotDone("10 people who would be let in wait already.")


def test_nothing_is_asked_that_would_do_nothing():
    desk = Office()
    assert desk.ask(ResumeBot(BOT), tom) == NotDone(f"{BOT} is running already.")
    assert desk.ask(ResumeBot("x"), tom) == NotDone("There is no bot 'x'.")
    assert desk.ask(ResumeDesk(), ann) == NotDone("The desk is not halted.")
    assert desk.ask(SetRole("tom", "tom", Role.TRADER), ann) == NotDone("tom is trader already.")
    assert desk.ask(EndEnrollment("tom"), ann) == NotDone("tom has no authenticator.")
    assert desk.ask(EndEnrollment("x"), ann) == NotDone("There is nobody called 'x'.")
    assert desk.ask(UnlockPerson("tom"), ann) == NotDone("tom is not locked out.")
    assert desk.core.view().proposals == ()


def test_bounds_that_are_none_are_refused():
    result = Office().ask(SetRole("tom", "tom", Role.TRADER, "planet:mars"), ann)
    assert isinstance(result, NotDone)
    assert "planet:mars" in result.reason


# -- scopes ------------------------------------------------------------------------------

GROUP = "-100123"
SCOPES = {
    "chat": (f"chat:telegram:{GROUP}", asking(SUE, chat_id=GROUP), asking(SUE)),
    "topic": (
        f"topic:telegram:{GROUP}:7",
        replace(asking(SUE), address=Address("telegram", GROUP, "7")),
        replace(asking(SUE), address=Address("telegram", GROUP, "8")),
    ),
    "guild": (
        "guild:55",
        asking(SUE, "discord", "200", place="55"),
        asking(SUE, "discord", "200", place="56"),
    ),
    "channel": (
        "channel:200",
        asking(SUE, "discord", "200", place="55"),
        asking(SUE, "discord", "201", place="55"),
    ),
}


@pytest.mark.parametrize(("scope", "inside", "outside"), SCOPES.values(), ids=SCOPES)
def test_bound_to_a_place_somebody_asks_and_decides_only_there(scope, inside, outside):
    desk = paused(people=(*EVERYBODY, person("sue", Role.TRADER, scope)))
    refused = NotDone(f"You may act only in {scope}.")
    assert desk.ask(ResumeBot(BOT), outside) == refused
    proposal = desk.propose(ResumeBot(BOT), inside)
    assert desk.press(proposal, outside) == refused
    assert isinstance(desk.press(proposal, inside), Done)


def test_bound_to_two_places_somebody_acts_in_either():
    scopes = f"chat:telegram:{GROUP} guild:55"
    desk = paused(people=(*EVERYBODY, person("sue", Role.TRADER, scopes)))
    proposal = desk.propose(ResumeBot(BOT), asking(SUE, chat_id=GROUP))
    assert isinstance(desk.press(proposal, asking(SUE, "discord", "9", place="55")), Done)


def test_bound_to_a_bot_somebody_asks_and_decides_only_for_it():
    desk = Office(bots=[bot(), bot(bot_id="other")], people=(*EVERYBODY, SUE))
    sue = asking(SUE)
    for name in (BOT, "other"):
        desk.ask(PauseBot(name))
    refused = NotDone(f"You may act only on {BOT}.")
    assert desk.ask(ResumeBot("other"), sue) == refused
    foreign = desk.propose(ResumeBot("other"), tom)
    assert desk.press(foreign, sue) == refused
    assert desk.press(foreign, sue, approves=False) == refused
    assert isinstance(desk.press(desk.propose(ResumeBot(BOT), tom), sue), Done)


def test_bound_to_a_bot_an_admin_decides_nothing_of_the_desk():
    bound = person("amy", Role.ADMIN, f"bot:{BOT}")
    desk = halted(people=(*EVERYBODY, bound))
    proposal = desk.propose(ResumeDesk(), ann)
    said = NotDone(f"Your rights end at {BOT}.")
    assert desk.reply(proposal, asking(bound)) == said
    assert desk.ask(SetRole("tom", "tom", Role.ADMIN), asking(bound)) == said


def test_bounds_stand_in_no_ones_way_to_prove_themselves():
    bound = person("sue", Role.TRADER, f"chat:telegram:{GROUP} bot:{BOT}")
    desk = Office(people=(*EVERYBODY, bound))
    authenticator = desk.enroll(bound)
    desk.now += 31 * MINUTE
    assert isinstance(desk.ask(OpenSession(desk.code(authenticator)), asking(bound)), Done)
    assert isinstance(desk.ask(LockPerson(""), asking(bound)), Done)


def test_bounds_stand_in_no_ones_way_to_halt():
    desk = Office(people=(*EVERYBODY, SUE))
    assert isinstance(desk.ask(HaltDesk(), asking(SUE)), Done)


# -- the asker's own word ----------------------------------------------------------------


def test_whoever_asked_may_think_better_of_it():
    desk = halted(policy=required(1))
    proposal = desk.propose(ResumeDesk(), ann)
    assert isinstance(desk.press(proposal, ann, approves=False), Done)
    assert desk.ended(proposal).state is ProposalState.REJECTED


def test_whoever_asked_may_think_better_of_it_after_a_demotion():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    demoted(desk, "tom")
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert isinstance(desk.press(proposal, tom, approves=False), Done)


def test_a_viewer_may_take_a_request_for_more_back():
    desk = Office()
    wanted = SetRole("vic", "vic", Role.TRADER, "", "telegram", user_id("vic"))
    proposal = desk.propose(wanted, vic)
    assert isinstance(desk.reply(proposal, vic), NotDone)
    assert isinstance(desk.press(proposal, vic, approves=False), Done)


# -- only a person decides ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [PrincipalKind.SCHEDULE, PrincipalKind.DESK])
def test_nothing_but_a_person_decides(kind):
    """T10."""
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    for asker in (DESK, replace(ann, principal=replace(ann.principal, kind=kind))):
        said = Decide(Human(asker), proposal.proposal_id, True, Way.BUTTON)
        assert desk.ask(said, asker) == NotDone("Only a person decides, and only for themselves.")
        borrowed = Decide(human(tom), proposal.proposal_id, True, Way.BUTTON)
        assert isinstance(desk.ask(borrowed, asker), NotDone)
    assert desk.open(proposal) == proposal


def test_a_decision_in_another_persons_name_is_refused():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    said = Decide(human(ann), proposal.proposal_id, True, Way.BUTTON)
    assert desk.ask(said, vic) == NotDone("Only a person decides, and only for themselves.")
    assert desk.ask(said, tom) == NotDone("Only a person decides, and only for themselves.")
    assert desk.open(proposal) == proposal


# -- books and restarts ------------------------------------------------------------------


def test_a_proposal_of_other_books_decides_nothing_here():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    desk.market = "else"
    desk.restart()
    desk.ask(HaltDesk(), ann)
    assert desk.reply(proposal, ann) == NotDone(
        "Proposal 1 (Resume trading) belongs to other books (paper-test)."
    )
    assert desk.core.view().halted


def test_what_was_approved_for_other_books_takes_no_effect_here():
    desk = halted(policy=DELAYED)
    proposal = desk.propose(ResumeDesk(), ann)
    desk.reply(proposal, ann)
    desk.market = "else"
    desk.restart()
    desk.ask(HaltDesk(), ann)
    desk.wait(MINUTE)
    assert desk.core.view().halted == "by ann"
    assert desk.ended(proposal).outcome == "it belongs to other books (paper-test)"
    assert desk.core.wakes_at is None


def test_people_are_the_same_whatever_books_are_open():
    desk = Office()
    proposal = desk.propose(SetRole("tom", "tom", Role.ADMIN), ann)
    desk.market = "else"
    desk.restart()
    assert isinstance(desk.reply(proposal, ann), Done)
    assert desk.who("tom").role is Role.ADMIN


def test_asking_in_other_books_leaves_what_waits_in_these():
    desk = halted()
    proposal = desk.propose(ResumeDesk(), ann)
    desk.market = "else"
    desk.restart()
    desk.ask(HaltDesk(), ann)
    desk.propose(ResumeDesk(), ann)
    assert desk.open(proposal)


def test_a_restart_between_asking_and_deciding_changes_nothing():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.restart()
    assert desk.open(proposal) == proposal
    assert desk.press(proposal, tom) == Done(f"{BOT} is resumed.")
    desk.restart()
    assert desk.press(proposal, tim) == NotDone(
        f"Proposal 1 (Resume {BOT}) was approved by tom at 00:00:00 UTC."
    )
    desk.ask(PauseBot(BOT))
    assert desk.propose(ResumeBot(BOT), tom).proposal_id == 2


def test_a_restart_forgets_no_order_that_waits():
    desk = priced()
    proposal = desk.propose(BUYING, tom)
    desk.restart()
    assert isinstance(desk.press(proposal, tom), Done)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    assert submit.order.quantity == shown_of(proposal).ticket.quantity


async def test_a_running_desk_ends_what_nobody_decides_and_remembers_how_after_a_restart():
    world = World([])
    first = await world.process().start()
    await first.runtime.know([TOM], telegram_and_discord([TOM]))

    async def wait_for_the_end() -> None:
        runtime = first.runtime
        await runtime.ask(PauseBot(BOT), tom)
        assert isinstance(await runtime.ask(ResumeBot(BOT), tom), Proposed)
        while runtime.view().proposals:
            await turn()

    await first.run(wait_for_the_end())
    assert world.clock.now() == T0 + 5 * MINUTE
    second = await world.process().start()
    said = Decide(human(tom), 1, True, Way.BUTTON)
    [answer] = await second.run(second.runtime.ask(said, tom))
    assert isinstance(answer, NotDone)
    assert "expired at 00:05:00 UTC" in answer.reason
    assert [row.action for batch in world.store.commits for row in batch.audit].count(
        "expired"
    ) == 1


async def test_a_moment_that_two_wait_for_is_told_once_though_the_store_is_slow():
    world = World([])
    process = await world.process().start()
    await process.runtime.know([TOM, TIM], telegram_and_discord([TOM, TIM]))

    def moments() -> list[JournalRow]:
        rows = [row for batch in world.store.commits for row in batch.journal]
        return [row for row in rows if row.kind == "TimePassed"]

    async def wait_for_the_end() -> None:
        await process.runtime.ask(PauseBot(BOT), tom)
        for asker in (tom, tim):
            assert isinstance(await process.runtime.ask(ResumeBot(BOT), asker), Proposed)
        world.store.fail_before = [Unreachable("away") for _ in range(4)]
        while not moments():
            await turn()

    await process.run(wait_for_the_end())
    assert world.store.fail_before == []
    [moment] = moments()
    assert moment.ts == T0 + 5 * MINUTE
    assert process.runtime.view().proposals == ()


async def test_a_proposal_that_expired_while_the_desk_was_away_ends_at_its_start():
    world = World([])
    first = await world.process().start()
    await first.runtime.know([TOM], telegram_and_discord([TOM]))
    asked = [first.runtime.ask(PauseBot(BOT), tom), first.runtime.ask(ResumeBot(BOT), tom)]
    await first.run(*asked)
    assert first.runtime.view().proposals
    world.clock.advance(600)
    second = await world.process().start()

    async def wait_for_the_end() -> None:
        while second.runtime.view().proposals:
            await turn()

    await second.run(wait_for_the_end())
    ended = second.runtime.ended(1)
    assert ended is not None
    assert ended.state is ProposalState.EXPIRED


# -- looking first -----------------------------------------------------------------------


def test_a_preview_is_the_proposal_and_leaves_no_trace():
    desk = paused()
    desk.core.dirty_states()
    before = repr(desk.core.view())
    draft = desk.core.preview(ResumeBot(BOT), tom, desk.now)
    assert repr(desk.core.view()) == before
    assert [row.key for row in desk.core.dirty_states()] == ["desk:paper-test"]
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert replace(proposal, proposal_id=0, nonce="") == replace(draft, nonce="")


def test_there_is_no_preview_of_what_acts_at_once():
    with pytest.raises(Refused, match="acts at once"):
        Office().core.preview(PauseBot(BOT), tom, T0)


def test_a_preview_keeps_no_session_open():
    desk = Office()
    desk.enroll(TOM)
    desk.core.dirty_states()
    desk.now += MINUTE
    before = desk.core.view().sessions["tom"]
    with pytest.raises(Refused):
        desk.core.preview(MakeLinkCode(), tom, desk.now)
    assert desk.core.view().sessions["tom"] == before
    assert [row.key for row in desk.core.dirty_states()] == ["desk:paper-test"]


def looking_refused(desk: Office, instruction: Instruction, asker: Asker) -> str:
    """Why somebody may not even look at what it would do: the same as for asking it."""
    with pytest.raises(Refused) as refused:
        desk.core.preview(instruction, asker, desk.now)
    assert desk.ask(instruction, asker) == NotDone(str(refused.value))
    return str(refused.value)


def test_a_preview_is_for_those_who_may_ask():
    desk = paused(people=(*EVERYBODY, SUE, person("amy", Role.TRADER, "guild:5")))
    resume = ResumeBot(BOT)
    assert looking_refused(desk, resume, vic) == "That needs the role trader; yours is viewer."
    assert looking_refused(desk, resume, STRANGER) == (
        "That needs the role trader; yours is nobody."
    )
    assert looking_refused(desk, ResumeBot("other"), asking(SUE)) == f"You may act only on {BOT}."
    amy = asking(person("amy", Role.TRADER))
    assert looking_refused(desk, resume, amy) == "You may act only in guild:5."
    desk.ask(LockPerson("tom"), ann)
    assert looking_refused(desk, resume, tom) == "You are locked out, until an admin says /unlock."


# -- the audit and what is kept ----------------------------------------------------------


def actions(desk: Office) -> list[tuple[str, str]]:
    return [(actor, action) for actor, action, _ in desk.audited]


def test_every_step_of_a_proposal_is_audited():
    desk = paused()
    proposal = desk.propose(ResumeBot(BOT), tom)
    assert actions(desk) == [(tom.actor, "ResumeBot")]
    desk.press(proposal, vic)
    assert actions(desk) == [(vic.actor, "Decide")]
    desk.press(proposal, tim)
    assert actions(desk) == [(tim.actor, "Decide"), (tim.actor, "approved"), (tim.actor, "done")]
    desk.ask(PauseBot(BOT), tom)
    assert actions(desk) == [(tom.actor, "PauseBot")]
    proposal = desk.propose(ResumeBot(BOT), tom)
    desk.press(proposal, tim, approves=False)
    assert actions(desk) == [(tim.actor, "Decide"), (tim.actor, "rejected")]
    first = desk.propose(ResumeBot(BOT), tom)
    second = desk.propose(ResumeBot(BOT), tim)
    desk.press(first, tom)
    desk.press(second, tim)
    assert actions(desk) == [(tim.actor, "Decide"), (tim.actor, "void")]
    void = f"Proposal {second.proposal_id} (Resume {BOT}): {BOT} is running already"
    assert desk.audited[-1] == (tim.actor, "void", void)
    assert desk.ended(second).outcome == f"{BOT} is running already"


def test_an_order_by_hand_is_audited_as_such():
    desk = priced()
    desk.press(desk.propose(BUYING, tom), tim)
    assert (BOT, "order") in actions(desk)


def test_what_changed_about_people_is_audited():
    desk = Office()
    demoted(desk, "tom")
    assert ("desk", "role", "tom is viewer now.") in desk.audited


SECRETS = (
    UseLinkCode("SESAME"),
    ConfirmEnrollment("SESAME"),
    OpenSession("SESAME"),
    Decide(human(ann), 1, True, Way.REPLY, "a phrase", "SESAME"),
    Decide(human(ann), 1, True, Way.REPLY, "OPEN SESAME", "123456"),
)


@pytest.mark.parametrize("instruction", SECRETS, ids=lambda each: type(each).__name__)
def test_codes_are_not_kept_in_the_journal(instruction):
    event = Instructed(instruction, ann, 1, T0)
    row = TypeAdapter(Instructed).dump_json(event).decode()
    assert "SESAME" not in row
    assert json.loads(row)["asker"]["principal"]["id"] == user_id("ann")


def test_codes_are_not_kept_in_memory_or_audit():
    desk = halted()
    made = desk.ask(MakeLinkCode(), ann)
    assert isinstance(made, Done)
    word = made.text.split()[-1]
    authenticator = desk.enroll(ANN)
    desk.now += 30 * SECOND
    code = desk.code(authenticator)
    desk.reply(desk.propose(ResumeDesk(), ann), ann, code=code)
    kept = [row.body for row in desk.rows.values()] + [repr(act) for act in desk.acts]
    for secret in (word, word.replace("-", ""), code, authenticator.secret):
        assert not any(secret in text for text in kept)


def test_a_stranger_may_ask_for_nothing_but_to_be_let_in():
    desk = Office()
    asked = AddSchedule("* * * * *", "UTC", "/status", Address("telegram", "99"))
    assert isinstance(desk.ask(asked, STRANGER), NotDone)
    assert isinstance(desk.ask(PauseBot(BOT), STRANGER), NotDone)
    assert isinstance(desk.ask(ACCESS, STRANGER), Proposed)
