"""Replies that renderers are tried with, and what must be read in each of them."""

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from hypothesis import strategies as st

from bot.render.plain import one_line
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
    Word,
    show,
)
from tests.handlers.desks import BTC, ETH, FALLING_TWICE, ScriptedMarket, build, course, say

D = Decimal
TS = 1_784_652_900_000
CANDLES = tuple(
    Candle(TS + i * HOUR_MS, 100.0 + i, 101.5 + i, 99.0 + i, 100.5 + i, 1.0) for i in range(30)
)
PICTURE = Chart(CandleChart("BTCUSDT 1h", "all day", HOUR_MS, CANDLES, (), (("stop", 140.25),)))
EQUITY = Chart(EquityChart("Equity", "all day", ((TS, 10_000.0), (TS + 1, 9_990.5)), 10_000.0))
PATHS = (Path("/tmp/a.png"), Path("/tmp/b.png"), Path("/tmp/c.png"), Path("/tmp/d.png"))

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

NASTY = (
    "<b>bold</b> & </pre> &lt; <a href='tg://user?id=1'>you</a>",
    "**b** __u__ ~~s~~ ||spoiler|| `c` ``` > q [t](http://x.y)",
    "@everyone @here <@1> <@&2> <#3> </x:4> <:e:5> <t:6:R> :smile: https://x.y discord://z",
    "# head\n## head\n-# small\n- list\n+ list\n* list\n1. list\n> quote\n>>> quotes",
    "\x00\x1b[2J\u202eright to left\u202c \u200b\u2028\u2029\ud800 \ufeff",
    "שלום עולם مرحبا",
    "👩‍👩‍👧‍👦👍🏽🇩🇪",
    "\\" * 30,
    "x" * 10_000,
    "word " * 2_000,
    "😀" * 5_000,
    "e\u0301" * 5_000,
    "`" * 5_000,
    "<&>" * 3_000,
    "\n" * 5_000,
    " " * 5_000,
    "",
)

_texts = st.one_of(st.sampled_from(NASTY), st.text(st.characters(exclude_categories=())))
_numbers = st.decimals(
    allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12
)
_values: st.SearchStrategy[Value] = st.one_of(
    _texts,
    st.integers(),
    st.booleans(),
    st.none(),
    st.builds(Money, _numbers, st.booleans()),
    st.builds(Price, _numbers),
    st.builds(Percent, _numbers, st.booleans()),
    st.builds(Time, st.integers(0, 2**41)),
    st.builds(Duration, st.integers(0, 2**41)),
    st.builds(Word, st.sampled_from(("stop_loss", "ma_exit"))),
)


@st.composite
def _tables(draw: st.DrawFn) -> Table:
    columns = draw(st.lists(_texts, min_size=1, max_size=5))
    row = st.tuples(*(_values for _ in columns))
    rows = tuple(draw(st.lists(row, max_size=5)))
    return Table(draw(_texts), tuple(columns), rows, draw(_texts))


_charts = st.builds(
    lambda title, subtitle, level: Chart(
        CandleChart(title, subtitle, HOUR_MS, CANDLES, (), ((level, 100.5),))
    ),
    *(_texts, _texts, _texts),
)
_blocks = st.one_of(
    st.builds(Text, _texts),
    st.builds(Fields, _texts, st.dictionaries(_texts, _values, max_size=30)),
    _tables(),
    st.builds(Code, _texts),
    st.builds(File, st.just("audit.csv"), _texts.filter(bool)),
    _charts,
)
REPLIES = st.builds(
    Reply,
    st.lists(_blocks, max_size=8).map(tuple),
    st.lists(st.builds(Button, _texts, st.just("/status")), max_size=30).map(tuple),
    st.none() | _texts,
    st.none() | _texts,
)
PICTURES = st.lists(st.none() | st.sampled_from(PATHS), max_size=8)


def shown(reply: Reply) -> Iterator[str]:
    """Every value of fields and tables as people read it, as far as a surface shows it."""
    for block in reply.blocks:
        match block:
            case Fields(fields=fields):
                yield from (one_line(show(value)) for value in fields.values())
            case Table(rows=rows):
                told = (value for row in rows for value in row if value is not None)
                yield from (one_line(show(value)) for value in told)


def squeezed(text: str) -> str:
    """Without white space, which pages and grids may change."""
    return "".join(text.split())


LINES = (
    "/status", "/positions", "/help", "/pnl", "/why BTC", "/bot list", "/health", "/trades",
    "/orders", "/portfolio", "/price BTC", "/help why", "/nonsense",
)  # fmt: skip


async def real_replies() -> dict[str, Reply]:
    """What a desk with closed trades and an open one says to `LINES`."""
    bars = course(100_000.0, FALLING_TWICE)
    runtime, desk = await build(ScriptedMarket({BTC: bars, ETH: bars}))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(runtime.run())
        await runtime.until_caught_up()
        replies = {line: await say(desk, line) for line in LINES}
        runtime.stop()
    return replies
