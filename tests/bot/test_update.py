"""What platforms tell the desk, as plain values: codes in it go no further than they must."""

import json
from dataclasses import replace

import pytest

from bot.update import ABOUT_MAX, Update, UpdateKind, from_body, to_body, without_codes
from engine.mail import Address, ChatKind
from engine.proposal import Way


def said(line: str = "", name: str = "", **arguments: str) -> Update:
    at = Address("telegram", "7")
    made = ("telegram", "1", UpdateKind.MESSAGE, "7", at, ChatKind.PRIVATE, 1)
    return Update(*made, line=line, name=name, arguments=arguments, way=Way.REPLY, decision="t")


SECRETS = {
    "a code after the proposal": said("/approve 17 123456 APPROVE RESUME TRADING 7Q3K"),
    "a code as apps show it": said("/unlock 123 456"),
    "a code by its name": said("/unlock code=123456"),
    "a bare code": said("123456"),
    "a code where none is asked for": said("/resume 123456"),
    "a code for a command that is tried": said("/preview unlock 123456"),
    "a code for a command that is looked up": said("/help unlock 123456"),
    "a code in a form where none is asked for": said(name="preview", command="unlock 123456"),
    "a one-time word": said("/link WORD-123456"),
    "a code of a form": said(name="approve", proposal="17", phrase="APPROVE X", code="123456"),
    "a code behind a phrase": said(name="approve", proposal="17", phrase="APPROVE X 123 456"),
    "a word of a form": said(name="link", code="WORD-123456"),
}
PLAIN = [
    said("/status"),
    said("/approve 17"),
    said("/buy BTC 100000"),
    said("/alert BTC above 123456"),
    said("/preview buy BTC 123456"),
    said(name="preview", command="buy BTC 123456"),
    said("/role telegram:123456 viewer"),
    said("/link"),
    said(name="approve", proposal="17", phrase="APPROVE RESUME TRADING 7Q3K"),
    said(name="approve", proposal="17", phrase="APPROVE ROLE TELEGRAM123456789 VIEWER 7Q3K"),
    said(name="approve", proposal="17", phrase="APPROVE ROLE TELEGRAM123456 VIEWER 7Q3K"),
    said("/approve 17 APPROVE ROLE TELEGRAM123456789 VIEWER 7Q3K"),
    said("/role telegram:123456789 viewer"),
    said(name="buy", symbol="BTC", amount="100000"),
    said(name="no such command", code="1"),
    said(""),
]


@pytest.mark.parametrize("update", SECRETS.values(), ids=SECRETS)
def test_a_code_is_not_in_what_is_kept_or_shown(update: Update) -> None:
    kept = without_codes(update)
    assert kept.cut
    for text in (to_body(kept), kept.shown, update.shown):
        assert "123456" not in text and "123 456" not in text
    assert (kept.key, kept.command, kept.decision) == (update.key, update.command, "t")
    assert without_codes(kept).shown == kept.shown


@pytest.mark.parametrize("update", PLAIN, ids=lambda update: update.line or update.name)
def test_what_holds_no_code_is_kept_whole(update: Update) -> None:
    assert without_codes(update) is update
    assert from_body(to_body(update)) == update


@pytest.mark.parametrize(
    ("update", "always"),
    [
        (said("/halt"), True),
        (said("/bot pause x"), True),
        (said(name="reject", proposal="17"), True),
        (said("/lock"), True),
        (said("/lock tom"), False),
        (said(name="lock", person="tom"), False),
        (said("/resume"), False),
        (said(""), False),
    ],
    ids=lambda given: getattr(given, "shown", given),
)
def test_what_reduces_risk_acts_always_and_locking_others_does_not(
    update: Update, always: bool
) -> None:
    assert update.always is always


def test_a_phrase_is_kept_without_the_code_behind_it() -> None:
    kept = without_codes(SECRETS["a code behind a phrase"])
    assert kept.arguments == {"proposal": "17", "phrase": "APPROVE X ***"}


SEED = "ABCD EFGH IJKL MNOP QRST UVWX YZ23 4567"


@pytest.mark.parametrize("secret", ["APPROVE RESUME TRADING 7Q3K", SEED, SEED.replace(" ", "")])
def test_a_card_that_is_replied_to_gives_no_phrase_and_no_key(secret: str) -> None:
    card = f"Proposal 3: resume\n{secret}\nStop 104500, BTCUSDT"
    update = replace(said("why?"), about=card)
    assert update.about == "Proposal 3: resume\n***\nStop 104500, BTCUSDT"
    assert from_body(to_body(update)) == update


def test_a_card_that_is_replied_to_gives_no_one_time_word() -> None:
    update = replace(said("why?"), about="From your other account: /link ABCD-EF23")
    assert update.about == "From your other account: /link ***"


def test_of_a_card_that_is_replied_to_a_page_is_kept() -> None:
    update = replace(said("why?"), about="so much\x00" + "x" * 10_000)
    assert len(update.about) == ABOUT_MAX and "\x00" not in update.about


def test_an_update_of_before_replies_to_nothing() -> None:
    old = json.loads(to_body(said("/status")))
    del old["about"]
    assert from_body(json.dumps(old)) == said("/status")
