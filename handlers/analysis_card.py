"""An analysis as it is shown: what to make of a market, by whom, and the picture of its levels."""

from collections.abc import Iterator, Sequence

from engine.advice import INDICATORS, NO_KEY, Analysis, MarketRead
from engine.candle import timeframe_ms
from engine.desk import Desk
from handlers.market import chart_candles, price_of, shown_range
from handlers.marking import marked, warning
from handlers.reply import (
    Block,
    Button,
    CandleChart,
    Chart,
    Fields,
    Percent,
    Price,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Word,
    reply,
    show,
)
from handlers.technical import usual_timeframe

COLUMNS = ("symbol", "signal", "confidence", "bias", "trend", "risk", "size", "stop", "target")
# Symbols of an analysis of several that get a button.
BUTTONS_FOR = 4
NONE_NEAR = "none near"


async def card(desk: Desk, number: int, analysis: Analysis) -> Reply:
    """The analysis `number`: one symbol in full, several as a table with their reasons."""
    reads = analysis.reads
    if len(reads) == 1:
        body = await _one(desk, number, reads[0])
    else:
        body = list(_several(desk, number, reads))
    return reply(*_instead(reads), *body, *_no_key(reads), buttons=_buttons(number, reads))


def _instead(reads: Sequence[MarketRead]) -> Iterator[Block]:
    """Why indicators speak and no model does: said first."""
    if instead := next((read.instead for read in reads if read.instead not in ("", NO_KEY)), ""):
        yield Text(f"Indicators stand in for the model: {instead.rstrip('.')}.")


def _no_key(reads: Sequence[MarketRead]) -> Iterator[Block]:
    if any(read.instead == NO_KEY for read in reads):
        yield Text(f"Indicators alone. {NO_KEY}")


def _invented(reads: Sequence[MarketRead]) -> Iterator[Block]:
    numbers = dict.fromkeys(each for read in reads for each in read.invented)
    if words := warning(tuple(numbers)):
        yield Text(words)


# -- one symbol --------------------------------------------------------------------------


async def _one(desk: Desk, number: int, read: MarketRead) -> list[Block]:
    blocks: list[Block] = [
        Text(_conclusion(read)),
        Fields(f"Analysis {number} of {read.symbol}", _facts(desk, read)),
        Text(f"Why: {marked(read.reasoning, read.invented)}"),
        *_invented([read]),
    ]
    picture = await _picture(desk, number, read)
    return [*blocks, Chart(picture)] if picture else blocks


def _conclusion(read: MarketRead) -> str:
    by = "the vote of indicators" if read.by == INDICATORS else read.by
    return f"{read.symbol}: {read.lean}, {read.confidence:.0%} sure, by {by}."


def _facts(desk: Desk, read: MarketRead) -> dict[str, Value]:
    facts: dict[str, Value] = {
        "price": price_of(desk, read.symbol, read.price),
        "as_of": Time(read.ts),
        "bias": f"{read.bias:+.2f} of -1 to 1",
        "trend": f"{read.trend}, strength {read.trend_strength:.0%}",
        "support": _levels(desk, read, read.supports),
        "resistance": _levels(desk, read, read.resistances),
        "stop": _away(desk, read, read.stop_loss),
        "target": _away(desk, read, read.take_profit),
        "volatility": Word(read.volatility),
        "volume": marked(read.volume, read.invented),
        "risk": f"{read.overall_risk} (technical {read.technical_risk}, market {read.market_risk})",
        "size": f"{read.size:.0%} of usual",
        "suits": ", ".join(f"{name} {score:.0%}" for name, score in read.scores),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _levels(desk: Desk, read: MarketRead, levels: Sequence[float]) -> str:
    return ", ".join(show(_price(desk, read, level)) for level in levels) or NONE_NEAR


def _away(desk: Desk, read: MarketRead, level: float | None) -> str | None:
    """A level and how far it is from the price."""
    if level is None:
        return None
    return f"{show(_price(desk, read, level))} ({show(Percent(level / read.price - 1.0, True))})"


def _price(desk: Desk, read: MarketRead, level: float) -> Price:
    found = price_of(desk, read.symbol, level)
    assert found is not None
    return found


async def _picture(desk: Desk, number: int, read: MarketRead) -> CandleChart | None:
    """The candles as they were then, with the levels that were named."""
    timeframe = usual_timeframe(desk)
    interval = timeframe_ms(timeframe)
    candles, until = await chart_candles(desk, read.symbol, interval, read.ts)
    if not candles:
        return None
    forming = until < candles[-1].ts + interval
    return CandleChart(
        title=f"{read.symbol} {timeframe} analysis {number}",
        subtitle=f"{shown_range(candles, until)} · {desk.badge}",
        interval=interval,
        candles=tuple(candles),
        levels=tuple(_drawn(desk, read)),
        forming_until=until if forming else None,
    )


def _drawn(desk: Desk, read: MarketRead) -> Iterator[tuple[str, float]]:
    named = [
        *(("support", level) for level in read.supports),
        *(("resistance", level) for level in read.resistances),
        ("stop", read.stop_loss),
        ("target", read.take_profit),
    ]
    for name, level in named:
        if level is not None:
            yield name, round(level, _price(desk, read, level).digits)


# -- several -----------------------------------------------------------------------------


def _several(desk: Desk, number: int, reads: Sequence[MarketRead]) -> Iterator[Block]:
    rows = tuple(_row(desk, read) for read in reads)
    yield Table(f"Analysis {number} by {reads[0].by}", COLUMNS, rows)
    words = [f"{read.symbol}: {marked(read.reasoning, read.invented)}" for read in reads]
    yield Text("\n".join(words))
    yield from _invented(reads)


def _row(desk: Desk, read: MarketRead) -> tuple[Value, ...]:
    return (
        read.symbol,
        Word(read.lean),
        f"{read.confidence:.0%}",
        f"{read.bias:+.2f}",
        Word(read.trend),
        Word(read.overall_risk),
        f"{read.size:.0%}",
        price_of(desk, read.symbol, read.stop_loss),
        price_of(desk, read.symbol, read.take_profit),
    )


def _buttons(number: int, reads: Sequence[MarketRead]) -> tuple[Button, ...]:
    end = (Button("How it was made", f"/analysis {number}"), Button("Bias", "/bias"))
    if len(reads) > 1:
        each = (Button(f"Why {read.symbol}", f"/why {read.symbol}") for read in reads[:BUTTONS_FOR])
        return (*each, *end)
    symbol = reads[0].symbol
    return Button("Why", f"/why {symbol}"), Button("Chart", f"/chart {symbol}"), *end
