"""Numbers that a model made up are marked where it says them."""

import pytest

from handlers.marking import MARK, marked, warning

MARKED = {
    "a number": ("RSI is 63 now", ("63",), f"RSI is 63{MARK} now"),
    "wherever it is said": ("63, and 63.", ("63",), f"63{MARK}, and 63{MARK}."),
    "not within another": ("163, 63.5, 6,063 and 63k", ("63",), "163, 63.5, 6,063 and 63k"),
    "with its unit": ("up 8% in 48 hours", ("8%", "48 hours"), f"up 8%{MARK} in 48 hours{MARK}"),
    "the longer one first": ("5 and 5%", ("5", "5%"), f"5{MARK} and 5%{MARK}"),
    "with its separators": ("at 61,000.", ("61,000",), f"at 61,000{MARK}."),
    "nothing": ("RSI is 63", (), "RSI is 63"),
}


@pytest.mark.parametrize(("text", "invented", "found"), MARKED.values(), ids=MARKED)
def test_a_made_up_number_is_marked(text, invented, found):
    assert marked(text, invented) == found


def test_the_sentence_names_them():
    assert warning(()) == ""
    one = "Don't rely on 63: it stands in nothing that the model was shown."
    assert warning(("63",)) == one
    two = "Don't rely on 63, 8%: they stand in nothing that the model was shown."
    assert warning(("63", "8%")) == two
