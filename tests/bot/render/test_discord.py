"""Replies as Discord's messages, read back from their Markdown."""

import re
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.render.card import FILE_NAME, MESSAGES_MAX, utf16
from bot.render.discord import (
    CONTENT_MAX,
    DESCRIPTION_MAX,
    EMBEDS_LENGTH_MAX,
    EMBEDS_MAX,
    GREEN,
    LABEL_MAX,
    RED,
    ROWS_MAX,
    TITLE_MAX,
    DiscordMessage,
    Embed,
    EmbedField,
    discord_messages,
    escape,
)
from bot.render.plain import clean, to_text
from handlers.reply import Button, Chart, Code, Fields, File, Money, Reply, Table, Text, Time, reply
from tests.bot.render.replies import (
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
TOKEN = re.compile(
    r"```\n(?P<code>.*?)\n```|\\(?P<escaped>[^\w\s]|_)|(?P<bold>\*\*)|(?P<small>^-# )|(?P<plain>.)",
    re.DOTALL | re.MULTILINE,
)
ALIVE = re.compile(r"[\\*_~`|<>\[\]]")
ALIVE_TOGETHER = re.compile(
    r"^[^\S\n]*(#{1,3}|-#|[-+]|\d+\.)[^\S\n]|:[\w+-]+:|://|@\w", re.MULTILINE
)


def read(markdown: str) -> str:
    """What a person reads in Markdown, in which only bold, code and small print are meant."""
    text, bare = [], []
    for token in TOKEN.finditer(markdown):
        match token.lastgroup:
            case "code":
                assert "```" not in token["code"]
                text.append(token["code"])
            case "escaped":
                text.append(token["escaped"])
                bare.append("\x00")
            case "bold":
                bare.append("\x00")
            case "plain":
                assert not ALIVE.match(token["plain"]), markdown
                text.append(token["plain"])
                bare.append(token["plain"])
    assert not ALIVE_TOGETHER.search("".join(bare)), markdown
    return "".join(text).replace("\u200b", "")


def read_all(messages: list[DiscordMessage]) -> str:
    """All that can be read in the messages, or in the file that has all of it."""
    for message in messages:
        if message.document and message.document.name == FILE_NAME:
            return message.document.content.decode()
    return "".join(
        read(part)
        for message in messages
        for part in (message.content, *(part for embed in message.embeds for part in parts(embed)))
    )


def parts(embed: Embed) -> list[str]:
    named = [part for field in embed.fields for part in (field.name, field.value)]
    return [embed.title, embed.description, *named]


def check_limits(message: DiscordMessage) -> None:
    assert utf16(message.content) <= CONTENT_MAX
    assert len(message.embeds) <= EMBEDS_MAX
    assert sum(embed.length for embed in message.embeds) <= EMBEDS_LENGTH_MAX
    assert message.content or message.embeds or message.document
    assert len(message.files) <= 10
    assert set(message.files) == {embed.image for embed in message.embeds if embed.image}
    assert len(message.buttons) <= ROWS_MAX
    for row in message.buttons:
        assert len(row) <= 5
        assert all(0 < len(button.label) <= LABEL_MAX for button in row)
    for embed in message.embeds:
        assert utf16(embed.title) <= TITLE_MAX
        assert utf16(embed.description) <= DESCRIPTION_MAX
        assert embed.title or embed.description or embed.image or embed.fields
        assert len(embed.fields) <= 25
        for field in embed.fields:
            assert 0 < utf16(field.name) <= 256
            assert 0 < utf16(field.value) <= 1024


# -- whatever a reply is made of ---------------------------------------------------------


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REPLIES, PICTURES)
def test_every_reply_becomes_messages_within_discords_limits(answer, paths):
    messages = discord_messages(answer, paths)
    for message in messages:
        check_limits(message)
    assert not any(message.buttons for message in messages[:-1])
    drawn = [path for path in paths[: sum(isinstance(b, Chart) for b in answer.blocks)] if path]
    assert {path for message in messages for path in message.files} == set(drawn)
    files = [block.content for block in answer.blocks if isinstance(block, File)]
    assert len(messages) <= MESSAGES_MAX + 1 + len(files)
    sent = [message.document.content for message in messages if message.document]
    assert sent[len(sent) - len(files) :] == [file.encode(errors="replace") for file in files]
    text = squeezed(read_all(messages))
    for value in shown(answer):
        assert squeezed(value) in text


@given(st.text(st.characters(exclude_categories=())) | st.sampled_from(NASTY))
def test_escaped_text_is_read_as_it_was(text):
    assert read(escape(text)) == clean(text)


async def test_a_desk_says_the_same_as_on_the_terminal():
    for answer in (await real_replies()).values():
        messages = discord_messages(answer, PATHS)
        for message in messages:
            check_limits(message)
        text, terminal = squeezed(read_all(messages)), squeezed(to_text(answer, 200, color=False))
        for value in shown(answer):
            assert squeezed(value) in terminal
            assert squeezed(value) in text


@pytest.mark.parametrize(
    ("foreign", "escaped"),
    [
        ("take_profit *now*", r"take\_profit \*now\*"),
        ("~~a~~ ||b|| `c`", r"\~\~a\~\~ \|\|b\|\| \`c\`"),
        ("@everyone", "@\u200beveryone"),
        ("<@1> <#2> <:x:3>", "\\<@\u200b1\\> \\<#2\\> \\<\\:x\\:3\\>"),
        ("[here](https://x.y)", r"\[here\](https\://x.y)"),
        (":smile: at 16:20 UTC", r"\:smile: at 16:20 UTC"),
        ("# a\n-# b\n- c\n+ d\n1. e", "\\# a\n\\-# b\n\\- c\n\\+ d\n1\\. e"),
        ("-12.50 +3 #5 1.5", "-12.50 +3 #5 1.5"),
        ("a\x1b\u202eb", "a␛\ufffdb"),
    ],
)
def test_foreign_text_has_no_power(foreign, escaped):
    assert escape(foreign) == escaped


# -- how it looks ------------------------------------------------------------------------


def only(answer: Reply) -> DiscordMessage:
    [message] = discord_messages(answer, PATHS)
    return message


def test_a_few_short_fields_stand_beside_each_other():
    card = Fields("Of_these", {"wins": 4, "net": Money(D(686), signed=True)})
    assert only(Reply((card,), badge="PAPER - here")) == DiscordMessage(
        embeds=(
            Embed(
                title=r"Of\_these",
                fields=(EmbedField("wins", "4"), EmbedField("net", "+686.00")),
                color=GREEN,
                footer="PAPER - here",
            ),
        )
    )


def test_more_fields_or_longer_ones_are_lines():
    long = Fields("Bot", {"halted": "because of a rather long reason", "since": Time(TS)})
    assert only(reply(long)).embeds == (
        Embed("Bot", "halted: because of a rather long reason\nsince: 2026-07-21 16:55 UTC"),
    )
    many = Fields("", {f"n_{n}": n for n in range(7)})
    assert only(reply(many)).embeds[0].description.splitlines()[:2] == ["n 0: **0**", "n 1: **1**"]


@pytest.mark.parametrize(("net", "color"), [(D(1), GREEN), (D(-1), RED), (D(0), None)])
def test_the_sign_of_the_net_result_colors_its_card(net, color):
    assert only(reply(Fields("", {"net": Money(net, signed=True)}))).embeds[0].color == color


def test_an_error_is_red():
    answer = Reply(error="No *such* thing.", badge="PAPER")
    assert only(answer) == DiscordMessage(
        embeds=(Embed(description=r"✗ No \*such\* thing.", color=RED, footer="PAPER"),)
    )


def test_sentences_at_the_beginning_are_the_message_itself():
    table = Table("", ("a",), (("b",),))
    message = only(Reply((Text("All _green_."), table, Text("Later.")), badge="PAPER"))
    assert message.content == r"All \_green\_."
    assert message.embeds == (
        Embed(description="```\na\nb\n```"),
        Embed(description="Later.", footer="PAPER"),
    )


def test_without_an_embed_the_badge_is_small_print():
    empty = Table("Trades", ("id",), (), empty="No trades yet.")
    assert only(Reply((empty,), badge="PAPER - x_1")) == DiscordMessage(
        "No trades yet.\n-# PAPER - x\\_1"
    )
    assert only(Reply()) == DiscordMessage("Nothing to show.")


def test_a_wide_table_is_a_card_for_each_row():
    [embed] = only(reply(TRADES)).embeds
    assert embed.title == "Trades"
    assert embed.description.splitlines()[:2] == [
        "**T12** · BTCUSDT · short",
        "quantity 0.54 · entry 111,920.0 · net **+48.31** · net % **+0.96%**"
        r" · reason trailing\_stop · closed 2026-07-21 16:55 UTC",
    ]


def test_code_cannot_close_its_block():
    [embed] = only(reply(Code("a ``` b `c`"))).embeds
    assert embed.description == "```\na `\u200b`\u200b` b `c`\n```"


def test_a_picture_is_shown_by_its_embed():
    message = only(reply(PICTURE))
    assert message.files == (PATHS[0],)
    assert message.embeds == (
        Embed("BTCUSDT 1h", "all day\nlow 99.00 · high 130.50 · stop 140.25", image=PATHS[0]),
    )


# -- long replies ------------------------------------------------------------------------


def test_long_code_goes_on_in_a_block_of_its_own():
    code = "\n".join(f"line {n}" for n in range(400))
    [message] = discord_messages(reply(Code(code)))
    assert len(message.embeds) == 2
    texts = [embed.description for embed in message.embeds]
    assert all(text.startswith("```\nline ") and text.endswith("\n```") for text in texts)
    assert "\n".join(map(read, texts)) == code


def test_a_long_text_is_several_messages():
    messages = discord_messages(reply(Text("word_ " * 1500)))
    assert len(messages) > 1
    assert "".join(read(m.embeds[0].description) for m in messages) == "word_ " * 1500


def test_what_is_too_long_for_five_messages_ends_in_a_file():
    rows = "\n".join(f"row {n:,} of many" for n in range(3000))
    answer = Reply((Text(rows), PICTURE), (Button("Again", "/again"),), badge="PAPER")
    messages = discord_messages(answer, PATHS)
    assert [message.files for message in messages] == [()] * 4 + [(PATHS[0],), ()]
    assert messages[-1].content == "The whole answer is in the file.\n-# PAPER"
    assert messages[-1].buttons == ((Button("Again", "/again"),),)
    assert rows in messages[-1].document.content.decode()


# -- buttons -----------------------------------------------------------------------------


def test_a_file_comes_behind_what_is_said_of_it():
    button = Button("Status", "/status")
    said, sent = discord_messages(
        reply(Text("2 rows."), File("a.csv", "seq\n1 \u00e9\n"), buttons=(button,))
    )
    assert said.content == "2 rows.\n\nIn a file: a.csv"
    assert sent.document == ("a.csv", "seq\n1 \u00e9\n".encode())
    assert (sent.content, sent.buttons, said.buttons) == ("", ((button,),), ())


def test_buttons_stand_five_in_a_row_in_order():
    buttons = tuple(Button(f"B{n}", f"/b {n}") for n in range(30))
    rows = only(reply(Text("Hello."), buttons=buttons)).buttons
    assert [len(row) for row in rows] == [5] * 5
    assert [button for row in rows for button in row] == list(buttons[:25])


def test_a_long_label_is_shortened():
    [[button]] = only(reply(Text("x"), buttons=(Button("y" * 100, "/y"),))).buttons
    assert button == Button("y" * 79 + "…", "/y")
