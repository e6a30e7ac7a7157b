"""Letters: what of a chat's messages gives way to what their buttons show."""

import json

import pytest

from bot.letter import Letter, from_body, to_body
from handlers.reply import Reply


@pytest.mark.parametrize(
    ("letter", "gives_way"),
    [
        (Letter(Reply()), True),
        (Letter(Reply(), edit="17"), True),
        (Letter(Reply(), is_news=True), False),
        (Letter(Reply(), card=3), False),
        (Letter(Reply(), card=3, renews=True), False),
    ],
)
def test_an_answer_gives_way_to_the_next_and_news_and_proposals_stay(
    letter: Letter, gives_way: bool
) -> None:
    assert letter.gives_way is gives_way


def test_a_letter_of_before_answers_nobody_in_particular() -> None:
    old = json.loads(to_body(Letter(Reply(), reply_to="17", user_id="7")))
    del old["user_id"]
    assert from_body(json.dumps(old)) == Letter(Reply(), reply_to="17")
