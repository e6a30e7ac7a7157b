"""Replies in a terminal and as JSON."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from bot.render.plain import GREEN, RED, clean, sparkline, to_json, to_text
from engine.candle import HOUR_MS, Candle
from handlers.reply import (
    Button,
    CandleChart,
    Chart,
    Code,
    Duration,
    EquityChart,
    Fields,
    File,
    Money,
    Percent,
    Price,
    Quantity,
    Reply,
    Table,
    Text,
    Time,
    Value,
    reply,
)

D = Decimal
TS = 1_784_652_900_000
CANDLES = tuple(
    Candle(TS + i * HOUR_MS, 100.0 + i, 101.5 + i, 99.0 + i, 100.5 + i, 1.0) for i in range(30)
)
PICTURE = Chart(CandleChart("BTCUSDT 1h", "all day", HOUR_MS, CANDLES, (), (("stop", 140.25),)))
EQUITY = Chart(EquityChart("Equity", "all day", ((TS, 10_000.0), (TS + 1, 9_990.5)), 10_000.0))

TRADES = Table(
    "Trades",
    ("id", "symbol", "side", "quantity", "entry", "net", "net_pct", "reason", "closed", "note"),
    tuple(
        (
            f"T{n}",
            "BTCUSDT",
            "short",
            Quantity(D("0.045") * n),
            Price(D("111920.0"), 1),
            Money(D("48.31") * (-1) ** n, signed=True),
            Percent(D("0.0096") * (-1) ** n, signed=True),
            "trailing_stop",
            Time(TS),
            None,
        )
        for n in (12, 11)
    ),
)


def plain(answer: Reply, width: int = 100) -> str:
    return to_text(answer, width, color=False)


# -- text --------------------------------------------------------------------------------


def test_fields_are_aligned_and_named_in_words() -> None:
    card = Fields("Status", {"market_time": Time(TS), "net": Money(D(5), signed=True), "n": None})
    assert plain(reply(card)).splitlines() == [
        "Status",
        "  market time  2026-07-21 16:55 UTC",
        "  net          +5.00",
        "  n            -",
    ]


def test_many_short_fields_stand_in_two_columns_where_there_is_room() -> None:
    card = Fields("", {f"field_{n}": n for n in range(9)})
    assert plain(reply(card), 60).splitlines()[0].split() == ["field", "0", "0", "field", "5", "5"]
    assert len(plain(reply(card), 60).splitlines()) == 5
    assert len(plain(reply(card), 30).splitlines()) == 9


def test_a_long_value_goes_on_beneath_itself() -> None:
    lines = plain(reply(Fields("", {"halted": "word " * 20, "mode": "paper"})), 40).splitlines()
    assert lines[1].startswith(" " * 10 + "word")
    assert all(len(line) <= 40 for line in lines)


def test_numbers_stand_at_the_right_and_empty_columns_are_left_out() -> None:
    lines = plain(reply(TRADES), 120).splitlines()
    assert lines[0] == "Trades"
    assert "note" not in lines[1]
    quantities = lines[1].index("quantity") + len("quantity")
    assert lines[2][:quantities].endswith(" 0.54")
    assert lines[3][:quantities].endswith("0.495")
    assert "net %" in lines[1]
    assert lines[2].endswith("2026-07-21 16:55 UTC")


@pytest.mark.parametrize("width", [20, 25, 33, 40, 60, 80, 90, 100, 200])
@pytest.mark.parametrize(
    "block",
    [
        TRADES,
        Table("Help", ("command", "what"), (("/chart [symbol] [timeframe]", "word " * 30),)),
        Table("", ("price_of_something_long",), ((Price(1.0, 1),),)),
        Fields("A title that is rather long for a narrow window", {"a_long_name": "word " * 30}),
        Text("word " * 50),
        PICTURE,
        EQUITY,
    ],
)
def test_no_line_is_wider_than_the_window(block: Table | Fields | Text | Chart, width: int) -> None:
    answer = Reply((block,), (Button("Why", "/why " + "X" * 60),), badge="PAPER - " + "x" * 90)
    assert max(map(len, plain(answer, width).splitlines())) <= width


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 95])
def test_no_number_and_no_time_is_ever_cut(width: int) -> None:
    text = " ".join(plain(reply(TRADES), width).split())
    for whole in ("0.54", "111,920.0", "+48.31", "-48.31", "+0.96%", "-0.96%"):
        assert whole in text
    if width >= 40:
        assert "2026-07-21 16:55 UTC" in text


def test_words_are_cut_with_an_ellipsis_before_a_table_becomes_cards() -> None:
    table = Table("", ("command", "what"), (("/status", "How the desk stands in many words"),))
    assert plain(reply(table), 24).splitlines()[1] == "/status How the desk st…"


def test_a_table_that_cannot_fit_becomes_cards() -> None:
    lines = plain(reply(TRADES), 40).splitlines()
    assert lines[1] == "T12"
    assert lines[2] == "  symbol BTCUSDT   side short"


def test_an_empty_table_is_only_its_sentence() -> None:
    table = Table("Open positions", ("symbol",), (), empty="No open positions.")
    assert plain(reply(table)) == "No open positions."


def test_gains_are_green_losses_red_and_without_color_there_is_no_escape() -> None:
    card = Fields(
        "",
        {
            "gain": Money(D("1"), signed=True),
            "loss": Percent(-0.1, signed=True),
            "equity": Money(D("-3")),
        },
    )
    colored = to_text(reply(card), color=True)
    assert f"{GREEN}+1.00" in colored
    assert f"{RED}-10.00%" in colored
    assert f"{RED}-3.00" not in colored
    assert "\x1b" not in to_text(reply(card), color=False)


def test_an_error_is_marked_and_the_badge_stands_last() -> None:
    assert plain(Reply(error="No such thing.", badge="PAPER - here")).splitlines() == [
        "✗ No such thing.",
        "",
        "PAPER - here",
    ]


def test_buttons_are_commands_one_could_type() -> None:
    answer = reply(
        Text("Hello."), buttons=(Button("A", "/a"), Button("B", "/b"), Button("C", "/b"))
    )
    assert plain(answer).splitlines()[-1] == "/a   /b"


def test_code_keeps_every_character() -> None:
    assert plain(reply(Code("a  b\n   c"))) == "  a  b\n     c"


EVIL = "before\x1b[2J\x1b]0;title\x07\rafter\x9b31m\u202eelbat\u200b\x00end"


@pytest.mark.parametrize(
    "answer",
    [
        reply(Text(EVIL)),
        reply(Fields(EVIL, {EVIL: EVIL})),
        reply(Table(EVIL, (EVIL, "b"), ((EVIL, EVIL),))),
        reply(Table(EVIL, ("a",), (), empty=EVIL)),
        reply(Code(EVIL)),
        reply(Chart(CandleChart(EVIL, EVIL, HOUR_MS, CANDLES, (), ((EVIL, 100.0),)))),
        Reply(buttons=(Button(EVIL, EVIL),), badge=EVIL, error=EVIL),
    ],
)
@pytest.mark.parametrize("width", [30, 300])
def test_no_value_can_command_the_terminal(answer: Reply, width: int) -> None:
    text = plain(answer, width)
    assert not set(text) & set("\x1b\x07\r\x9b\u202e\u200b\x00")
    assert "before␛" in text


def test_a_file_is_printed_line_by_line_and_whole_for_machines() -> None:
    answer = reply(File("a.csv", "seq,detail\n1,\x1b[2J" + "x" * 300 + "\n"))
    lines = to_text(answer, width=40, color=False).split("\n")
    assert lines == ["a.csv", "seq,detail", "1,␛[2J" + "x" * 300]
    (block,) = json.loads(to_json(answer, "/audit export"))["blocks"]
    assert block == {
        "kind": "file",
        "name": "a.csv",
        "content": "seq,detail\n1,\x1b[2J" + "x" * 300 + "\n",
    }


def test_control_characters_become_pictures_of_themselves() -> None:
    assert clean("a\x1b\tb\nc\x00") == "a␛ b\nc␀"


def test_no_character_breaks_a_line_but_the_line_break() -> None:
    assert clean("a\u2028b\u2029c\u0085d").splitlines() == ["a b c\ufffdd"]


def test_wide_letters_are_counted_as_two_columns() -> None:
    table = Table("", ("name", "n"), (("価格価格", 1), ("ab", 22)))
    assert plain(reply(table)).splitlines() == [
        "name        n",
        "価格価格    1",
        "ab         22",
    ]


def test_a_chart_is_a_course_in_one_line_with_its_range_and_its_path() -> None:
    lines = to_text(reply(PICTURE), 80, False, [Path("/tmp/a.png")]).splitlines()
    assert lines == [
        "BTCUSDT 1h",
        "all day",
        sparkline([candle.close for candle in CANDLES], 60),
        "low 99.00   high 130.50   stop 140.25",
        "/tmp/a.png",
    ]


def test_a_chart_that_was_not_drawn_says_so() -> None:
    assert "The chart Equity could not be drawn." in plain(reply(EQUITY))
    assert "low 9,990.50   high 10,000.00" in plain(reply(EQUITY))


@pytest.mark.parametrize(
    ("course", "drawn"),
    [
        ([], ""),
        ([1.0], "▅"),
        ([2.0, 2.0], "▅▅"),
        ([1.0, 2.0, 3.0], "▁▅█"),
        ([float(n) for n in range(16)], "▁▂▃▄▅▆▇█"),
    ],
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest(course: list[float], drawn: str) -> None:
    assert sparkline(course, 8) == drawn


# -- JSON --------------------------------------------------------------------------------


def test_json_is_one_line_of_the_agreed_shape_with_raw_values() -> None:
    values: dict[str, Value] = {"net": Money(D("-8.900"), signed=True), "at": Time(TS), "x": None}
    answer = Reply(
        blocks=(
            Text("Two\nlines"),
            Fields("Status", values),
            Table("T", ("id", "held", "ok"), (("T1", Duration(60_000), True),), empty="Nothing."),
            Code("x = 1"),
            PICTURE,
            EQUITY,
        ),
        buttons=(Button("Why", "/why BTCUSDT"),),
        badge="PAPER - here",
    )
    line = to_json(answer, "/status", [Path("/tmp/a.png"), None])
    assert "\n" not in line
    assert json.loads(line) == {
        "command": "/status",
        "ok": True,
        "error": None,
        "blocks": [
            {"kind": "text", "text": "Two\nlines"},
            {
                "kind": "fields",
                "title": "Status",
                "fields": {"net": "-8.900", "at": TS, "x": None},
            },
            {
                "kind": "table",
                "title": "T",
                "columns": ["id", "held", "ok"],
                "rows": [["T1", 60_000, True]],
            },
            {"kind": "code", "text": "x = 1"},
            {"kind": "chart", "path": "/tmp/a.png"},
            {"kind": "text", "text": "The chart Equity could not be drawn."},
        ],
        "buttons": [{"label": "Why", "command": "/why BTCUSDT"}],
    }


def test_a_refusal_is_json_too() -> None:
    assert json.loads(to_json(Reply(error="No.", badge="b"), "/x")) == {
        "command": "/x",
        "ok": False,
        "error": "No.",
        "blocks": [],
        "buttons": [],
    }


def test_control_characters_leave_json_escaped() -> None:
    line = to_json(reply(Text("a\x1b\u2028\x9bb")), "/x\n")
    assert line.isascii()
    assert line.isprintable()
