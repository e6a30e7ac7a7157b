"""Keys of their own purpose: nothing is derived twice."""

from hypothesis import given
from hypothesis import strategies as st

from engine.keys import derive, framed

SECRET = b"a secret of the desk" * 2
PARTS = st.lists(st.text(max_size=4), max_size=4)


@given(PARTS, PARTS)
def test_only_the_same_parts_are_framed_alike(one: list[str], other: list[str]) -> None:
    assert (framed(*one) == framed(*other)) == (one == other)


def test_where_a_part_ends_counts() -> None:
    alike = [("abc",), ("ab", "c"), ("a", "bc"), ("a", "b", "c"), ("abc", ""), ("", "abc")]
    assert len({framed(*parts) for parts in alike}) == len(alike)


def test_any_text_can_be_framed() -> None:
    assert len(framed("\ud800", "")) == 4 + 3 + 4


def test_a_key_is_for_one_purpose_one_secret_and_these_parts() -> None:
    keys = {
        derive(SECRET, "tokens", "live", "bybit"),
        derive(SECRET, "codes", "live", "bybit"),
        derive(SECRET, "tokens", "live"),
        derive(SECRET, "tokens", "livebybit"),
        derive(SECRET + b"x", "tokens", "live", "bybit"),
    }
    assert len(keys) == 5
    assert {len(key) for key in keys} == {32}
    assert derive(SECRET, "tokens", "live", "bybit") in keys
