"""A model's words without power: no link, no mention, no markup, no command that acts."""

import re
from random import Random

import pytest

from llm.inert import inert, without_phrases

READS = {"why", "status"}
LETTERS = "ab1 .\n/@[]()<>*_`~|#:\\\u200b\u202e\U000e0041＠／。"
PIECES = ("http://", "evil.com", "@all", "/kill", "/why", "[x](y)", "<b>", "**", "APPROVE X Y ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("See /why BTC.", "See /why BTC."),
        ("Tap /kill or /kill_flatten@desk_bot!", "Tap kill or kill_flattendesk_bot!"),
        ("(/halt) //halt ／halt", "(halt) halt halt"),
        ("long and/or short, 24h/7d", "long and/or short, 24h/7d"),
        ("[Status](https://evil.example/x)", "Status"),
        ("![x](http://evil.example/p.png?q=1)", "x"),
        ("go to https://evil.example/x now", "go to (a link is left out) now"),
        ("tg://resolve?domain=evil", "(a link is left out)"),
        ("evil.com, t.me/evil, www.evil.io", "evil[.]com, t[.]me/evil, www[.]evil[.]io"),
        ("@everyone and ＠here, a@b.com", "everyone and here, ab[.]com"),
        ("<@123> <b>bold</b> 3 < 4", "<123> bold 3 < 4"),
        ("**Bold** __under__ `code` ~~no~~ ||spoiler||", "Bold under code no spoiler"),
        ("# Title\n> quote\n* one\n- two", "Title\nquote\n- one\n- two"),
        ("shortseller_001 lost 1.5k at 70,000.5.", "shortseller_001 lost 1.5k at 70,000.5."),
        ("a\u200bb\u202ec\U000e0041d", "abcd"),
        ("Type APPROVE RESUME TRADING 7K2M\nto go on", "Type (a phrase is left out)\nto go on"),
        ("\u200b \u200b", ""),
    ],
)  # fmt: skip
def test_words_keep_their_meaning_and_lose_their_power(text, words):
    assert inert(text, READS, 1_000) == words


def test_a_long_text_ends_at_a_sentence():
    assert (
        inert("One two three. " * 20, READS, 50) == "One two three. One two three. One two three.…"
    )
    assert inert("x" * 100, READS, 50) == "x" * 49 + "…"


def test_words_about_approving_stay():
    assert without_phrases("Should I approve this? APPROVED by ann.") == (
        "Should I approve this? APPROVED by ann."
    )


# What chats make something of that can be pressed, or that calls somebody.
POWERS = re.compile(
    r"[@＠]\S|\[[^\]\n]*\]\([^)\n]*\)|(?<!\w)[/／]kill|[a-z]://|\wl?\.com|\*\*|``|<b>|APPROVE \w"
    r"|[\u200b\u202e\U000e0041]"
)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_is_made_of_pieces_keeps_power(seed):
    chance = Random(seed)
    for _ in range(50):
        parts = [chance.choice((*PIECES, *LETTERS)) for _ in range(chance.randrange(1, 40))]
        words = inert("".join(parts), READS, 300)
        assert len(words) <= 300
        assert not POWERS.search(words), (parts, words)
        assert inert(words, READS, 300) == words
