"""The card of an answer: what was said, by whom, from what, and what it would have done."""

from engine.advice import NO_KEY, Answer, Draft
from handlers.answer_card import BY_RULES, NOTHING_DONE, NOTHING_READ, card
from handlers.reply import Button, Code, Reply, Text

READ = ("/status", "/why symbol=ETHUSDT", "/signals", "/analytics bot=shortseller_001 days=30")


def said(reply: Reply) -> list[str]:
    return [block.text for block in reply.blocks if isinstance(block, Text)]


def test_an_answer_names_what_it_rests_on_so_that_it_can_be_checked():
    found = card(7, Answer("It waits.", "gemini-2.5-flash", READ))
    assert said(found) == [
        "It waits.",
        "Read: /status, /why symbol=ETHUSDT, /signals, /analytics bot=shortseller_001 days=30. "
        "Answered by gemini-2.5-flash.",
    ]
    assert found.buttons == (
        Button("/why symbol=ETHUSDT", "/why symbol=ETHUSDT"),
        Button("/signals", "/signals"),
        Button("/analytics bot=shortseller_00…", READ[3]),
        Button("How", "/analysis 7"),
    )


def test_an_answer_that_read_nothing_says_so():
    assert said(card(1, Answer("Hello.", "rules")))[-1] == f"{NOTHING_READ} Answered by rules."


def test_a_draft_is_for_whoever_asked_and_nothing_was_done():
    draft = Draft("/close ETHUSDT half", "Close a position")
    found = card(1, Answer("Drafted.", "m", drafts=(draft,)))
    assert NOTHING_DONE in said(found) and "Close a position." in said(found)
    assert Code("/close ETHUSDT half") in found.blocks
    assert found.buttons[0] == Button(draft.line, draft.line, only_asker=True)


def test_numbers_that_stand_nowhere_are_marked_and_said():
    found = card(1, Answer("It lost 99,999 and 5.", "m", invented=("99,999",)))
    assert said(found)[0] == "It lost 99,999 [not in the data] and 5."
    assert "Don't rely on 99,999" in said(found)[1]


def test_it_says_first_why_the_model_did_not_answer():
    found = card(1, Answer("It waits.", "rules", instead="The daily cap is reached."))
    assert said(found)[0] == f"The daily cap is reached. {BY_RULES}"


def test_that_there_is_no_key_is_said_last():
    found = said(card(1, Answer("It waits.", "rules", instead=NO_KEY)))
    assert found == ["It waits.", f"{NOTHING_READ} Answered by rules. {NO_KEY}"]
