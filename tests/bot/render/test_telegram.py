"""Replies as Telegram's messages, read by Telegram's own parser."""

import json
from decimal import Decimal

import pytest
import tdjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.render.card import FILE_NAME, MESSAGES_MAX, utf16
from bot.render.plain import to_text
from bot.render.telegram import (
    CAPTION_MAX,
    ROWS_MAX,
    TEXT_MAX,
    TelegramMessage,
    escape,
    plain_text,
    telegram_messages,
)
from handlers.reply import (
    Button,
    Chart,
    Code,
    Fields,
    File,
    Money,
    Reply,
    Table,
    Text,
    Time,
    reply,
)
from tests.bot.render.replies import (
    EQUITY,
    NASTY,
    PATHS,
    PICTURE,
    PICTURES,
    REPLIES,
    TRADES,
    TS,
    real_replies,
    shown,
    squeezed,
)

D = Decimal
STYLES = {"textEntityTypeBold", "textEntityTypeItalic", "textEntityTypePre"}


def ask(request: dict) -> dict:
    return json.loads(tdjson.td_execute(json.dumps(request).encode()))


ask({"@type": "setLogVerbosityLevel", "new_verbosity_level": 0})


def parsed(text: str) -> str:
    """What Telegram reads in a text; it may have no style that we don't use."""
    mode = {"@type": "textParseModeHTML"}
    answer = ask({"@type": "parseTextEntities", "text": text, "parse_mode": mode})
    assert answer["@type"] == "formattedText", answer
    assert {entity["type"]["@type"] for entity in answer["entities"]} <= STYLES
    return answer["text"]


def read(messages: list[TelegramMessage]) -> str:
    """All that can be read in the messages, or in the file that has all of it."""
    for message in messages:
        if message.document and message.document.name == FILE_NAME:
            return message.document.content.decode()
    return "".join(parsed(message.text) for message in messages)


def only(answer: Reply) -> str:
    [message] = telegram_messages(answer)
    return message.text


def check_limits(messages: list[TelegramMessage]) -> None:
    for message in messages:
        text = parsed(message.text)
        assert text == plain_text(message)
        is_caption = message.photo or message.document
        assert utf16(text) <= (CAPTION_MAX if is_caption else TEXT_MAX)
        assert text.strip() or message.photo or message.document
        assert not set(text) & set("\x00\x1b\u202e\u200b\u2028")
    assert not any(message.buttons for message in messages[:-1])
    assert len(messages[-1].buttons) <= ROWS_MAX


# -- whatever a reply is made of ---------------------------------------------------------


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REPLIES, PICTURES)
def test_every_reply_becomes_messages_that_telegram_takes(answer, paths):
    messages = telegram_messages(answer, paths)
    check_limits(messages)
    drawn = paths[: sum(isinstance(block, Chart) for block in answer.blocks)]
    photos = [path for path in drawn if path]
    assert [message.photo for message in messages if message.photo] == photos
    files = [block.content for block in answer.blocks if isinstance(block, File)]
    assert len(messages) <= MESSAGES_MAX + len(photos) + len(files)
    sent = [message.document.content for message in messages if message.document]
    assert sent[len(sent) - len(files) :] == [file.encode(errors="replace") for file in files]
    text = squeezed(read(messages))
    for value in shown(answer):
        assert squeezed(value) in text


@given(st.text(st.characters(exclude_categories=())) | st.sampled_from(NASTY))
def test_escaped_text_is_read_as_it_was(text):
    assert parsed(escape(text)) == plain_text(TelegramMessage(escape(text)))


async def test_a_desk_says_the_same_as_on_the_terminal():
    for line, answer in (await real_replies()).items():
        messages = telegram_messages(answer, PATHS)
        check_limits(messages)
        text, terminal = squeezed(read(messages)), squeezed(to_text(answer, 200, color=False))
        assert list(shown(answer)) or line in ("/positions", "/orders", "/nonsense"), line
        for value in shown(answer):
            assert squeezed(value) in terminal
            assert squeezed(value) in text


# -- how it looks ------------------------------------------------------------------------


def test_fields_are_lines_with_their_numbers_in_bold():
    fields = {"market_time": Time(TS), "net": Money(D(-5), signed=True), "state": "red", "n": None}
    assert only(Reply((Fields("Status", fields),), badge="PAPER - here")) == (
        "<b>Status</b>\n"
        "market time: 2026-07-21 16:55 UTC\n"
        "net: <b>-5.00</b>\n"
        "state: 🔴 red\n"
        "n: -\n"
        "\n"
        "<i>PAPER - here</i>"
    )


def test_a_narrow_table_is_a_grid():
    table = Table("Bots", ("bot", "net"), (("a<b", Money(D(5))), ("c", Money(D(-12)))))
    assert (
        only(reply(table)) == "<b>Bots</b>\n<pre>bot      net\na&lt;b     5.00\nc     -12.00</pre>"
    )


def test_a_wide_table_is_a_card_for_each_row():
    assert only(reply(TRADES)).splitlines()[:3] == [
        "<b>Trades</b>",
        "<b>T12</b> · BTCUSDT · short",
        "quantity 0.54 · entry 111,920.0 · net <b>+48.31</b> · net % <b>+0.96%</b>"
        " · reason trailing_stop · closed 2026-07-21 16:55 UTC",
    ]


def test_a_row_that_begins_with_a_mark_is_headed_by_the_words_behind_it():
    rows = ((True, "below the average of 240 bars", "116360 vs 128580"),)
    table = Table("", ("holds", "condition", "numbers"), rows)
    assert only(reply(table)) == "<b>✓ below the average of 240 bars</b> · 116360 vs 128580"


def test_an_empty_table_is_only_its_sentence():
    assert only(reply(Table("Trades", ("id",), (), empty="No trades yet."))) == "No trades yet."


def test_an_error_is_marked():
    assert only(Reply(error="No bot <x>.")) == "✗ No bot &lt;x&gt;."


def test_code_keeps_every_character():
    assert only(reply(Code("a  <b>\n\n   c"))) == "<pre>a  &lt;b&gt;\n\n   c</pre>"


def test_a_reply_of_nothing_says_so():
    assert only(Reply()) == "Nothing to show."
    assert only(reply(Text(" \n "))) == "Nothing to show."


# -- pictures ----------------------------------------------------------------------------


def test_what_fits_is_the_caption_of_the_picture():
    answer = Reply((Fields("P&L", {"net": 5}), PICTURE), badge="PAPER")
    assert telegram_messages(answer, PATHS) == [
        TelegramMessage(
            "<b>P&amp;L</b>\nnet: <b>5</b>\n\n"
            "<b>BTCUSDT 1h</b>\nall day\nlow 99.00 · high 130.50 · stop 140.25\n\n"
            "<i>PAPER</i>",
            PATHS[0],
        )
    ]


def test_longer_texts_stand_in_messages_before_and_after_the_picture():
    answer = reply(Text("before " * 200), PICTURE, Text("after " * 200), EQUITY)
    messages = telegram_messages(answer, PATHS)
    assert [message.photo for message in messages] == [None, PATHS[0], None, PATHS[1]]
    assert [message.text[:9] for message in messages] == [
        "before be", "<b>BTCUSD", "after aft", "<b>Equity",
    ]  # fmt: skip


def test_a_chart_that_was_not_drawn_says_so_and_shows_its_course():
    [message] = telegram_messages(reply(EQUITY), [None])
    assert message.photo is None
    assert "<pre>█▁</pre>\nThe chart Equity could not be drawn." in message.text


# -- long replies ------------------------------------------------------------------------


def test_a_block_that_fits_into_a_message_is_not_torn():
    one, two = "\n".join(["a" * 900] * 3), "\n".join(["b" * 900] * 3)
    assert [m.text for m in telegram_messages(reply(Text(one), Text(two)))] == [one, two]


def test_a_long_block_is_torn_between_lines_and_its_tags_are_closed():
    code = "\n".join(f"line {n}" for n in range(800))
    messages = telegram_messages(reply(Code(code)))
    assert len(messages) == 2
    assert all(m.text.startswith("<pre>line ") and m.text.endswith("</pre>") for m in messages)
    assert "\n".join(map(plain_text, messages)) == code


def test_a_long_line_is_torn_between_words():
    messages = telegram_messages(reply(Text("word " * 1000)))
    assert {word for message in messages for word in message.text.split()} == {"word"}


@pytest.mark.parametrize("letter", ["e\u0301\u0323", "👍🏽", "😀"])
def test_no_letter_is_torn(letter):
    messages = telegram_messages(reply(Text("x" + letter * 3000)))
    assert len(messages) > 1
    assert all(message.text.removeprefix("x").startswith(letter) for message in messages)


def test_what_is_too_long_for_five_messages_ends_in_a_file():
    rows = "\n".join(f"row {n:,} of many" for n in range(3000))
    answer = Reply((Text(rows), PICTURE), (Button("Again", "/again"),), badge="PAPER")
    messages = telegram_messages(answer, PATHS)
    assert [bool(m.photo) for m in messages] == [False] * 4 + [True, False]
    assert messages[-1].text == "The whole answer is in the file.\n<i>PAPER</i>"
    assert messages[-1].buttons == ((Button("Again", "/again"),),)
    name, content = messages[-1].document
    assert name == "answer.txt"
    assert rows in content.decode()
    assert "could not be drawn" not in content.decode()


def test_a_file_comes_behind_what_is_said_of_it():
    button = Button("Status", "/status")
    said, sent = telegram_messages(
        reply(Text("2 rows."), File("a.csv", "seq\n1 \u00e9\n"), buttons=(button,))
    )
    assert said.text == "2 rows.\n\nIn a file: a.csv"
    assert sent.document == ("a.csv", "seq\n1 \u00e9\n".encode())
    assert (sent.text, sent.buttons, said.buttons) == ("", ((button,),), ())


# -- buttons -----------------------------------------------------------------------------


def labels(*names: str) -> list[list[str]]:
    buttons = tuple(Button(name, f"/{place}") for place, name in enumerate(names))
    [message] = telegram_messages(reply(Text("Hello."), buttons=buttons))
    return [[button.label for button in row] for row in message.buttons]


def test_short_labels_stand_three_in_a_row_and_longer_ones_have_more_room():
    assert labels("5m", "15m", "4h", "1d", "Why") == [["5m", "15m", "4h"], ["1d", "Why"]]
    assert labels("Close BTCUSDT", "Close ETHUSDT", "Why") == [
        ["Close BTCUSDT", "Close ETHUSDT"],
        ["Why"],
    ]
    assert labels("Pause shortseller_001", "Why") == [["Pause shortseller_001"], ["Why"]]


def test_many_long_labels_move_together_and_keep_their_order():
    names = [f"A label that is long, number {n}" for n in range(24)]
    rows = labels(*names)
    assert len(rows) == ROWS_MAX
    assert [label for row in rows for label in row] == names


def test_a_label_cannot_be_empty_or_endless():
    assert labels("\n", "x" * 200) == [["/0"], ["x" * 63 + "…"]]
