"""Tokens of buttons that decide: good for one row, in one place, for one person, and as written."""

import base64
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.tokens import LENGTH, Claim, Tokens, read, tokens_key
from engine.errors import Broken
from engine.mail import Address
from engine.proposal import Proposal, ProposalKind, ProposalState, digest
from engine.tunable import Tier
from handlers.reply import Decides

SECRET = b"a secret of the desk" * 2
TOKENS = Tokens(tokens_key(SECRET, "testnet", "bybit"))
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BODY_BYTES, ALL_BYTES = 28, 44
ADA, BEN = "7101", "7102"
HERE = Address("telegram", "7101", "")
EXPIRES = 1_784_652_975_000

PROPOSAL = Proposal(
    proposal_id=17,
    books="testnet-bybit",
    kind=ProposalKind.COMMAND,
    tier=Tier.YELLOW,
    title="Resume shortseller_001",
    instruction='{"kind":"resume_bot","bot_id":"shortseller_001"}',
    shown='{"changes":[],"ticket":null,"risk":""}',
    asked_by="ben",
    asker="Ben",
    surface="telegram",
    chat_id="7102",
    thread_id="",
    created_at=EXPIRES - 300_000,
    expires_at=EXPIRES,
    needed=0,
    nonce="7Q3K",
)


def decides(proposal: Proposal, approves: bool = True) -> Decides:
    return Decides(
        proposal.proposal_id,
        approves,
        proposal.tier,
        proposal.nonce,
        proposal.expires_at,
        digest(proposal),
    )


TOKEN = TOKENS.make(decides(PROPOSAL), HERE, ADA)
REJECTS = TOKENS.make(decides(PROPOSAL, approves=False), HERE, ADA)
ANYBODYS = TOKENS.make(decides(PROPOSAL), HERE, "")


def verified(data: str) -> bool:
    return TOKENS.verify(data, PROPOSAL, HERE, ADA)


def blob(data: str) -> bytes:
    return base64.urlsafe_b64decode(data + "=")


def text(blob: bytes) -> str:
    return base64.urlsafe_b64encode(blob).decode().rstrip("=")


# -- as it was made ----------------------------------------------------------------------


def test_a_token_is_verified_where_it_was_made_for() -> None:
    assert verified(TOKEN)
    assert verified(REJECTS)
    assert verified(ANYBODYS)


def test_a_token_says_what_it_is_for() -> None:
    assert read(TOKEN) == Claim(17, True, Tier.YELLOW, ADA, EXPIRES)
    assert read(REJECTS) == Claim(17, False, Tier.YELLOW, ADA, EXPIRES)
    assert read(ANYBODYS) == Claim(17, True, Tier.YELLOW, "", EXPIRES)


def test_a_token_fits_every_platform() -> None:
    assert {len(TOKEN), len(REJECTS), len(ANYBODYS)} == {LENGTH} == {59}
    assert set(TOKEN) <= set(ALPHABET)


def test_the_layout_is_the_one_that_is_written_down() -> None:
    body = blob(TOKEN)[:BODY_BYTES]
    assert (body[0], body[1]) == (1, 1)
    assert int.from_bytes(body[2:10]) == 17
    assert int.from_bytes(body[10:18]) == int(ADA)
    assert int.from_bytes(body[18:22]) == EXPIRES // 1000
    assert len(blob(TOKEN)) == ALL_BYTES


def test_no_two_actions_are_the_same_byte() -> None:
    made = [
        blob(TOKENS.make(decides(replace(PROPOSAL, tier=tier), approves), HERE, ADA))[1]
        for tier, approves in product((Tier.YELLOW, Tier.RED), (False, True))
    ]
    assert len(set(made)) == 4


@pytest.mark.parametrize(
    ("expires_at", "claimed"),
    [(EXPIRES - 1, EXPIRES), (EXPIRES, EXPIRES), (EXPIRES + 1, EXPIRES + 1000)],
)
def test_the_expiry_is_rounded_up_to_whole_seconds(expires_at: int, claimed: int) -> None:
    proposal = replace(PROPOSAL, expires_at=expires_at)
    data = TOKENS.make(decides(proposal), HERE, ADA)
    claim = read(data)
    assert claim is not None
    assert claim.expires_at == claimed
    assert TOKENS.verify(data, proposal, HERE, ADA)


def test_how_far_a_proposal_has_come_is_not_judged() -> None:
    for state in ProposalState:
        later = replace(PROPOSAL, state=state, approved=1, decided_by="ada", outcome="It is over.")
        assert TOKENS.verify(TOKEN, later, HERE, ADA)


ids = st.integers(1, 2**63 - 1)
names = st.text(max_size=20)
users = st.one_of(st.just(""), st.integers(1, 2**64 - 1).map(str))
proposals = st.builds(
    replace,
    st.just(PROPOSAL),
    proposal_id=ids,
    tier=st.sampled_from((Tier.YELLOW, Tier.RED)),
    expires_at=st.integers(0, (2**32 - 1) * 1000),
    nonce=names,
    phrase=names,
    instruction=names,
)
addresses = st.builds(Address, names, names, names)


@given(proposals, st.booleans(), addresses, users)
def test_every_token_is_read_and_verified_as_it_was_made(
    proposal: Proposal, approves: bool, address: Address, user_id: str
) -> None:
    data = TOKENS.make(decides(proposal, approves), address, user_id)
    claim = read(data)
    assert claim is not None
    assert 0 <= claim.expires_at - proposal.expires_at < 1000
    said = (claim.proposal_id, claim.approves, claim.tier, claim.user_id)
    assert said == (proposal.proposal_id, approves, proposal.tier, user_id)
    assert len(data) == LENGTH
    assert TOKENS.verify(data, proposal, address, user_id or ADA)


@given(addresses, addresses)
def test_a_token_is_good_in_its_own_place_and_in_no_other(here: Address, there: Address) -> None:
    data = TOKENS.make(decides(PROPOSAL), here, ADA)
    assert TOKENS.verify(data, PROPOSAL, there, ADA) == (here == there)


# -- as it was not made ------------------------------------------------------------------


@pytest.mark.parametrize("data", [TOKEN, REJECTS, ANYBODYS], ids=["own", "rejects", "anybody's"])
def test_a_token_with_any_bit_of_its_text_flipped_is_refused(data: str) -> None:
    flipped = [
        data[:at] + ALPHABET[ALPHABET.index(data[at]) ^ (1 << bit)] + data[at + 1 :]
        for at, bit in product(range(LENGTH), range(6))
    ]
    assert len(set(flipped)) == 59 * 6
    assert not any(map(verified, flipped))


def test_a_token_with_any_bit_of_its_bytes_flipped_is_refused() -> None:
    made = int.from_bytes(blob(TOKEN))
    flipped = [text((made ^ (1 << bit)).to_bytes(ALL_BYTES)) for bit in range(ALL_BYTES * 8)]
    assert len(set(flipped)) == ALL_BYTES * 8
    assert not any(map(verified, flipped))


def test_the_unused_bits_of_the_last_character_are_zero_or_it_is_no_token() -> None:
    last = ALPHABET.index(TOKEN[-1])
    for spare in (1, 2, 3):
        other = TOKEN[:-1] + ALPHABET[last | spare]
        assert blob(other) == blob(TOKEN)
        assert read(other) is None
        assert not verified(other)


def test_the_other_base64_alphabet_is_no_token() -> None:
    for character, foreign in (("-", "+"), ("_", "/")):
        data = next(
            made
            for number in range(1, 1000)
            if character in (made := TOKENS.make(decides(PROPOSAL), HERE, str(number)))
        )
        assert read(data) is not None
        assert read(data.replace(character, foreign)) is None


@pytest.mark.parametrize(
    "data",
    [
        "",
        text(blob(TOKEN)[:-3]),
        text(blob(TOKEN) + b"abc"),
        TOKEN[:-1],
        TOKEN + "=",
        TOKEN + "A",
        TOKEN[:-1] + "=",
        TOKEN[:-2] + "==",
        " " + TOKEN,
        TOKEN + "\n",
        TOKEN[:-1] + "\n",
        TOKEN[:20] + " " + TOKEN[21:],
        TOKEN[:20] + "=" + TOKEN[21:],
        TOKEN[:20] + "\x00" + TOKEN[21:],
        TOKEN[:20] + "é" + TOKEN[21:],
        TOKEN[:20] + "\ud800" + TOKEN[21:],
        TOKEN[:20] + "А" + TOKEN[21:],
        TOKEN[:20] + TOKEN[20:].translate({ord("A") + n: ord("Ａ") + n for n in range(26)}),
        "A" * LENGTH,
        "_" * LENGTH,
        "/approve 17",
    ],
)
def test_what_is_not_written_as_tokens_are_is_none(data: str) -> None:
    assert read(data) is None
    assert not verified(data)


def test_no_claim_is_made_for_an_id_that_no_database_can_look_up() -> None:
    for number in (0, 2**63, 2**64 - 1):
        body = blob(TOKEN)
        assert read(text(body[:2] + number.to_bytes(8) + body[10:])) is None
    assert read(text(blob(TOKEN)[:2] + (2**63 - 1).to_bytes(8) + blob(TOKEN)[10:])) is not None


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_none(version: int) -> None:
    assert read(text(bytes([version]) + blob(TOKEN)[1:])) is None


@pytest.mark.parametrize("action", [4, 5, 128, 255])
def test_an_unknown_action_is_none(action: int) -> None:
    assert read(text(blob(TOKEN)[:1] + bytes([action]) + blob(TOKEN)[2:])) is None


@given(st.text() | st.text(ALPHABET, min_size=LENGTH, max_size=LENGTH))
def test_any_text_is_read_without_an_error_and_never_verified(data: str) -> None:
    claim = read(data)
    assert claim is None or text(blob(data)) == data
    assert not verified(data)


# -- for something else ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"proposal_id": 18},
        {"tier": Tier.RED},
        {"tier": Tier.GREEN},
        {"nonce": "7Q3L"},
        {"nonce": ""},
        {"expires_at": EXPIRES + 1000},
        {"expires_at": EXPIRES - 1},
        {"instruction": '{"kind":"resume_bot","bot_id":"momentum_002"}'},
        {"shown": '{"changes":[],"ticket":null,"risk":"more"}'},
        {"books": "live-bybit"},
        {"asked_by": "ada"},
        {"needed": 2},
        {"phrase": "APPROVE RED 7Q3K"},
    ],
    ids=str,
)
@pytest.mark.parametrize("data", [TOKEN, REJECTS, ANYBODYS], ids=["own", "rejects", "anybody's"])
def test_a_token_of_another_proposal_is_refused(data: str, change: dict[str, object]) -> None:
    assert not TOKENS.verify(data, replace(PROPOSAL, **change), HERE, ADA)


@pytest.mark.parametrize(
    "there",
    [
        Address("discord", "7101", ""),
        Address("telegram", "7102", ""),
        Address("telegram", "7101", "5"),
        Address("telegram", "710", "1"),
        Address("telegra", "m7101", ""),
        Address("telegram", "", "7101"),
        Address("", "", ""),
    ],
    ids=str,
)
def test_a_token_of_another_place_is_refused(there: Address) -> None:
    assert not TOKENS.verify(TOKEN, PROPOSAL, there, ADA)
    assert not TOKENS.verify(ANYBODYS, PROPOSAL, there, ADA)


@pytest.mark.parametrize("user_id", [BEN, "", "0", "07101", " 7101", "7101 ", "٧١٠١", "ada", "-1"])
def test_a_token_of_another_user_is_refused(user_id: str) -> None:
    assert not TOKENS.verify(TOKEN, PROPOSAL, HERE, user_id)


def test_a_token_for_anybody_is_good_for_everybody_and_one_for_somebody_is_not() -> None:
    assert TOKENS.verify(ANYBODYS, PROPOSAL, HERE, BEN)
    assert not TOKENS.verify(TOKEN, PROPOSAL, HERE, BEN)


PARTS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "action": lambda ours, other: ours[:1] + other[1:2] + ours[2:],
    "proposal": lambda ours, other: ours[:2] + other[2:10] + ours[10:],
    "user": lambda ours, other: ours[:10] + other[10:18] + ours[18:],
    "expiry": lambda ours, other: ours[:18] + other[18:22] + ours[22:],
    "nonce": lambda ours, other: ours[:22] + other[22:28] + ours[28:],
    "seal": lambda ours, other: ours[:28] + other[28:],
}


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_one_token_is_worth_nothing_in_another(part: str) -> None:
    other = replace(PROPOSAL, proposal_id=18, tier=Tier.RED, expires_at=EXPIRES + 60_000)
    theirs = TOKENS.make(decides(other, approves=False), HERE, BEN)
    swapped = text(PARTS[part](blob(TOKEN), blob(theirs)))
    assert swapped != TOKEN
    for proposal, user_id in product((PROPOSAL, other), (ADA, BEN)):
        assert not TOKENS.verify(swapped, proposal, HERE, user_id)


def test_an_approval_is_no_rejection_with_another_byte() -> None:
    ours, theirs = blob(TOKEN), blob(REJECTS)
    assert ours[2:BODY_BYTES] == theirs[2:BODY_BYTES]
    assert not verified(text(theirs[:BODY_BYTES] + ours[BODY_BYTES:]))


# -- keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "mode", "market"),
    [
        (SECRET, "live", "bybit"),
        (SECRET, "testnet", "sim42"),
        (SECRET, "testnetb", "ybit"),
        (SECRET + b"x", "testnet", "bybit"),
    ],
)
def test_a_token_of_testnet_is_nothing_elsewhere(secret: bytes, mode: str, market: str) -> None:
    elsewhere = Tokens(tokens_key(secret, mode, market))
    assert not elsewhere.verify(TOKEN, PROPOSAL, HERE, ADA)
    assert not verified(elsewhere.make(decides(PROPOSAL), HERE, ADA))


def test_a_desk_that_starts_again_knows_its_tokens() -> None:
    again = Tokens(tokens_key(SECRET, "testnet", "bybit"))
    assert again.verify(TOKEN, PROPOSAL, HERE, ADA)


# -- what can't be made ------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["0", "-1", "007", "ada", "٧", "1.5", str(2**64), "²"])
def test_a_user_without_a_number_gets_no_token(user_id: str) -> None:
    with pytest.raises(Broken, match="user id"):
        TOKENS.make(decides(PROPOSAL), HERE, user_id)
