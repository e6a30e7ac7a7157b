"""Answers as text for a model: all that they say, and nothing that acts."""

from decimal import Decimal

from engine.people import Role
from handlers.as_text import LEFT_OUT, LENGTH_MAX, as_text
from handlers.reply import (
    Button,
    Chart,
    Code,
    Duration,
    Enrollment,
    EquityChart,
    Fields,
    File,
    Money,
    Percent,
    Reply,
    Table,
    Text,
    Word,
    reply,
)
from llm.heard import heard
from tests.handlers.desks import propose, say


def test_sentences_fields_and_tables_are_lines():
    told = as_text(
        reply(
            Text("Two sentences.\nOn two lines."),
            Fields("Status", {"net": Money(Decimal("12.5"), signed=True), "since": None}),
            Table("Bots", ("bot", "on", "why"), (("a_001", True, Word("stop_loss")),)),
            Table("Locks", ("bot", "until"), (), empty="Nothing is locked."),
        )
    )
    assert told.splitlines() == [
        "Two sentences.",
        "On two lines.",
        "Status:",
        "net: +12.50",
        "since: -",
        "Bots:",
        "bot | on | why",
        "a_001 | yes | stop loss",
        "Locks: Nothing is locked.",
    ]


def test_fields_with_words_are_their_words():
    assert as_text(reply(Fields("", {"a": 1}, words="One of them."))) == "One of them."


def test_pictures_and_files_are_named():
    chart = Chart(EquityChart("Equity", "January", (), 100.0))
    told = as_text(reply(chart, File("audit.csv", "seq,actor")))
    assert told == "(A picture: Equity, January)\n(A file: audit.csv)"


def test_what_acts_or_proves_is_left_out():
    told = as_text(
        reply(
            Code("APPROVE RESUME TRADING 7K2M"),
            Enrollment("ann"),
            buttons=(Button("Approve", "/approve 1"),),
        )
    )
    assert told == LEFT_OUT


def test_a_cell_can_not_end_itself():
    told = as_text(reply(Table("T", ("a", "b"), (("x | y\nz", Duration(60_000)),))))
    assert told.splitlines()[2] == "x / y z | 1m"


def test_a_long_answer_is_cut_at_a_line_and_says_so():
    rows = tuple((f"row {number}", "x" * 90) for number in range(100))
    told = as_text(reply(Table("Many", ("a", "b"), rows)))
    assert len(told) <= LENGTH_MAX + 40
    shown = len(told.splitlines()) - 3
    assert told.splitlines()[-1] == f"(Cut: {100 - shown} more lines.)"
    assert told.splitlines()[-2].endswith("x" * 90)


def test_a_refusal_says_so():
    assert as_text(Reply(error="Not now.")) == "Refused: Not now."


async def test_the_card_of_a_proposal_is_told_without_its_phrase(desk):
    await say(desk, "/halt", in_chat=True)
    proposal = await propose(desk, "/resume", Role.ADMIN)
    told = as_text(await say(desk, f"/proposals {proposal.proposal_id}"))
    assert proposal.title in told and LEFT_OUT in told
    assert proposal.phrase and proposal.phrase not in told and proposal.nonce not in told


def test_what_was_written_can_be_read_back():
    told = as_text(
        reply(
            Text("A sentence: with a colon."),
            Fields("Money", {"net_loss": Percent(0.05), "fees": Money(Decimal(1))}),
            Table("Bots", ("bot", "net"), (("a", 1), ("b", 2))),
            Table("Locks", ("bot", "until"), (), empty="Nothing."),
            Text("The end."),
        )
    )
    found = heard(f'<data source="/x">\n{told}\n</data>')
    assert found.sentences == ["A sentence: with a colon.", "Locks: Nothing.", "The end."]
    assert found.fields == {"net_loss": "5.00%", "fees": "1.00"}
    assert found.tables == {"Bots": [{"bot": "a", "net": "1"}, {"bot": "b", "net": "2"}]}
    assert found.rows("net") == found.tables["Bots"]
    assert found.rows("until") == []
