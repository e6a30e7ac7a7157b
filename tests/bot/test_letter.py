"""Letters: what of a chat's messages gives way to what their buttons show."""

import pytest

from bot.letter import Letter
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
