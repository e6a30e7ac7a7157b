"""One-time codes: RFC 6238's own numbers, one step either side, a seed for each person."""

import base64
from itertools import product

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.totp import STEP_MS, seed, step_of, uri

KEY = b"a secret of the desk" * 2
# Appendix B of RFC 6238 (SHA-1); its codes have eight digits, of which the last six are ours.
RFC_SEED = base64.b32encode(b"12345678901234567890").decode()
RFC_CODES = {
    59: "94287082",
    1_111_111_109: "07081804",
    1_111_111_111: "14050471",
    1_234_567_890: "89005924",
    2_000_000_000: "69279037",
    20_000_000_000: "65353130",
}
# A step that happens to have the same code as the next one.
TWIN_STEP = 910_737
SEED = seed(KEY, "ada", 1)
TS = 1_784_652_915_000
STEP = TS // STEP_MS


def code(step: int) -> str:
    return pyotp.TOTP(SEED).generate_otp(step)


@pytest.mark.parametrize(("second", "long_code"), RFC_CODES.items())
def test_the_codes_of_the_standard_are_known(second: int, long_code: str) -> None:
    assert step_of(RFC_SEED, long_code[-6:], second * 1000) == second // 30


@pytest.mark.parametrize("off", [-1, 0, 1])
def test_a_clock_may_be_one_step_off(off: int) -> None:
    assert step_of(SEED, code(STEP + off), TS) == STEP + off


@pytest.mark.parametrize("off", [-3, -2, 2, 3])
def test_a_clock_may_not_be_two_steps_off(off: int) -> None:
    assert step_of(SEED, code(STEP + off), TS) is None


def test_a_code_is_good_until_the_end_of_the_step_after_its_own() -> None:
    begins, ends = (STEP - 1) * STEP_MS, (STEP + 2) * STEP_MS
    assert step_of(SEED, code(STEP), begins - 1) is None
    assert step_of(SEED, code(STEP), begins) == STEP
    assert step_of(SEED, code(STEP), ends - 1) == STEP
    assert step_of(SEED, code(STEP), ends) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        code(STEP)[:5],
        code(STEP)[1:],
        code(STEP) + "0",
        "0" + code(STEP),
        code(STEP)[:3] + " " + code(STEP)[3:],
        code(STEP) + "\n",
        code(STEP).translate({ord("0") + n: ord("０") + n for n in range(10)}),
        code(STEP).translate({ord("0") + n: ord("٠") + n for n in range(10)}),
        "\ud800" * 6,
        "-12345",
        "abcdef",
    ],
)
def test_what_is_not_written_as_the_code_is_none(text: str) -> None:
    assert step_of(SEED, text, TS) is None


def test_at_the_beginning_of_time_there_is_no_step_before() -> None:
    assert step_of(SEED, code(0), 0) == 0
    assert step_of(SEED, code(1), 0) == 1


def test_a_code_of_two_steps_counts_as_the_later_so_that_it_is_used_up() -> None:
    codes = [pyotp.TOTP(RFC_SEED).generate_otp(TWIN_STEP + after) for after in (0, 1)]
    assert codes == ["911617", "911617"]
    for ts in (TWIN_STEP * STEP_MS, (TWIN_STEP + 1) * STEP_MS):
        assert step_of(RFC_SEED, "911617", ts) == TWIN_STEP + 1


@given(st.integers(0, 2**41))
def test_every_code_is_found_again_at_its_own_time(ts: int) -> None:
    step = ts // STEP_MS
    assert step_of(SEED, code(step), ts) in (step, step + 1)


def test_seeds_differ_by_person_generation_and_key() -> None:
    seeds = {
        seed(key, principal_id, generation)
        for key, principal_id, generation in product(
            (KEY, KEY[1:]), ("ada", "ben", "ada1", "1ada", ""), (0, 1, 11)
        )
    }
    assert len(seeds) == 2 * 5 * 3
    assert seed(KEY, "ada", 1) == SEED


def test_a_seed_has_160_bits_in_base32() -> None:
    assert len(SEED) == 32
    assert len(base64.b32decode(SEED)) == 20


def test_an_authenticator_reads_the_seed_and_whose_it_is() -> None:
    read = pyotp.parse_uri(uri(SEED, "Ada & Ben/\N{SMILING FACE WITH OPEN MOUTH}"))
    assert isinstance(read, pyotp.TOTP)
    assert read.secret == SEED
    assert read.issuer == "Countersign"
    assert read.name == "Ada & Ben/\N{SMILING FACE WITH OPEN MOUTH}"
    assert (read.digits, read.interval) == (6, 30)
