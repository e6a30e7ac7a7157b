"""Backtests from chat: asked for, followed, canceled, looked at and compared."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from typing import Annotated

from engine.backtest.words import verdict
from engine.desk import Desk
from engine.errors import BadInput, Broken, Refused
from engine.market.holdings import KEEP_DAYS_MAX
from engine.metrics import TITLES, Mark, Report, RoundTrip, breakdown
from engine.people import Role
from engine.signal import Sides
from engine.strategies.kernel import Strategy
from engine.studies import Finding, Setup, Source, Stage, Study
from handlers.arguments import StrategyName, listed_span
from handlers.command import ArgumentType, Context, command, one_of, whole
from handlers.figures import cell, figures, rate
from handlers.market import default_symbol
from handlers.reply import (
    Block,
    Button,
    Chart,
    CurvesChart,
    EquityChart,
    Fields,
    File,
    Money,
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
from handlers.trials import COSTS, Tuning, setting_names, setup_of, tuning_of

COMPARE_DAYS = 90
LISTED = 15
TRADES_SHOWN = 15
REMARKS_SHOWN = 6
# More points than a picture has pixels for are the weight of a letter, and nothing else.
POINTS_MAX = 600
# On a card: what stands for the rest. All figures are in the full report.
FIGURES = (
    "return", "buy_and_hold", "max_drawdown", "sharpe", "sortino", "trades", "win_rate",
    "profit_factor", "expectancy_r", "exposure", "fees", "funding",
)  # fmt: skip
# By table, each so narrow that a phone shows it in columns. Ratios stand among themselves: the
# others are values that a phone names where they are too wide for that.
COMPARED = {
    "Result": ("return", "buy_and_hold", "best_trade", "worst_trade", "fees", "funding"),
    "Ratios": ("sharpe", "sortino", "calmar", "profit_factor", "expectancy_r", "turnover"),
    "Risk": ("max_drawdown", "longest_underwater", "volatility", "exposure"),
    "Trades": ("trades", "win_rate", "mean_duration"),
}
SUMMARY, SYMBOLS, EXITS, TRADES, REPORT = "summary", "symbols", "exits", "trades", "report"
VIEWS = {SYMBOLS: "By symbol", EXITS: "By exit", TRADES: "Trades", REPORT: "Full report"}
CANDLES_FROM = {
    Source.ARCHIVE: "stored candles",
    Source.MARKET: "this market's own candles",
    Source.BYBIT: "Bybit's candles",
}


# -- arguments -----------------------------------------------------------------------------


def _parse_symbols(field: str, text: str, desk: Desk) -> tuple[str, ...]:
    """Names in capital letters; which of them there are is known when the candles are."""
    names = tuple(word.strip() for word in text.upper().split(",") if word.strip())
    if names and all(name.replace("/", "").replace("-", "").isalnum() for name in names):
        return tuple(name.replace("/", "").replace("-", "") for name in names)
    raise BadInput(field, text, "symbols with commas between, as in BTC,ETH")


def _parse_number(field: str, word: str, desk: Desk) -> int:
    plain = word.removeprefix("#")
    if plain.isascii() and plain.isdigit() and len(plain) < 10 and int(plain):
        return int(plain)
    raise BadInput(field, word, _numbers_allowed(desk))


def _numbers(desk: Desk) -> list[str]:
    return [str(number) for number in desk.studies.numbers()]


def _numbers_allowed(desk: Desk) -> str:
    newest = ", ".join(_numbers(desk)[:LISTED])
    return newest or "the number of a backtest; none was run yet"


def _parse_compared(field: str, word: str, desk: Desk) -> int | str:
    if word.removeprefix("#").isdigit():
        return _parse_number(field, word, desk)
    if word.lower() in desk.strategies:
        return word.lower()
    allowed = f"the number of a backtest, or one of {', '.join(desk.strategies)}"
    raise BadInput(field, word, allowed)


def _parse_text(field: str, text: str, desk: Desk) -> str:
    return text


SYMBOL_LIST = ArgumentType(
    "symbols with commas between, as in BTC,ETH",
    _parse_symbols,
    lambda desk: list(desk.symbols),
    span=listed_span,
)
SETTINGS = ArgumentType(
    "name=value of parameters, timeframe=1h, deposit=, fee=, slippage=, side=, or exact",
    _parse_text,
    lambda desk: setting_names(desk.strategies),
    rest=True,
)
NUMBER = ArgumentType(
    "a backtest's number",
    _parse_number,
    _numbers,
    changing=True,
    numeric=True,
    missing=lambda desk: f"Which backtest? There are {_numbers_allowed(desk)}.",
)
OPERAND = ArgumentType(
    "a backtest's number, or a strategy",
    _parse_compared,
    lambda desk: [*desk.strategies, *_numbers(desk)],
    changing=True,
    numeric=True,
)

SymbolList = Annotated[tuple[str, ...], SYMBOL_LIST]
Days = Annotated[int, whole(1, KEEP_DAYS_MAX)]
Settings = Annotated[str, SETTINGS]
StudyNumber = Annotated[int, NUMBER]
Operand = Annotated[int | str, OPERAND]
View = Annotated[str, one_of(SUMMARY, *VIEWS)]


# -- commands ------------------------------------------------------------------------------


@command("backtest", role=Role.TRADER, starts=True)
async def backtest(
    context: Context,
    strategy: StrategyName,
    symbols: SymbolList,
    days: Days,
    settings: Settings = "",
) -> Reply:
    """Try a strategy on the last days of candles; nothing is traded.

    It runs beside the desk; its message tells how far it is, and ends as the result. Parameters
    follow as name=value, /strategy show lists them; so do timeframe=1h, deposit=5000, fee=0.055%,
    slippage=0.02% and side=long_only. With `exact` the desk's own core and paper exchange run,
    candle by candle, which is slower.

    Example: /backtest shortseller BTC,ETH 90 stop_loss=2% exact
    """
    desk = context.desk
    tuning = tuning_of(desk.strategies, strategy, settings)
    setup = await setup_of(desk, tuning, symbols, days)
    [study] = await desk.studies.start([setup], context.asker)
    return _running(desk, [study])


@command("backtest list")
async def backtest_list(context: Context) -> Reply:
    """The last backtests: what was tried, by whom, and what it returned.

    Example: /backtest list
    """
    found, damaged = await _readable(context.desk)
    columns = ("backtest", "strategy", "symbols", "days", "return", "trades", "asked", "by")
    buttons = tuple(
        Button(f"Show {each.number}", f"/backtest show {each.number}") for each in found[:4]
    )
    empty = "None yet. /backtest shortseller BTC 30 runs the first."
    table = Table("Backtests", columns, tuple(map(_listed, found)), empty)
    return reply(table, *map(Text, damaged), buttons=buttons)


async def _readable(desk: Desk) -> tuple[list[Study], list[str]]:
    """The last backtests, and what is wrong with those that can't be read."""
    found: list[Study] = []
    damaged: list[str] = []
    for number in desk.studies.numbers()[:LISTED]:
        try:
            found.append(await desk.studies.study(number))
        except (Refused, Broken) as error:
            damaged.append(str(error))
    return found, damaged


@command("backtest show")
async def backtest_show(context: Context, number: StudyNumber, view: View = SUMMARY) -> Reply:
    """A backtest as it stands, or its trades by symbol, by exit, one by one, or all in a report.

    Example: /backtest show 12 exits
    """
    desk = context.desk
    study = await desk.studies.study(number)
    if view == SUMMARY:
        return await shown(desk, (number,))
    finding = await desk.studies.finding(number)
    buttons = _buttons(study, view)
    if view == REPORT:
        page = await desk.studies.report(number)
        words = f"All figures, months and trades of backtest {number}."
        return reply(Text(words), File(f"backtest-{number}.html", page), buttons=buttons)
    return reply(_view(desk, study, finding, view), buttons=buttons)


@command("backtest cancel", role=Role.TRADER, starts=True)
async def backtest_cancel(context: Context, number: StudyNumber) -> Reply:
    """End a backtest that waits or runs.

    Example: /backtest cancel 12
    """
    study = context.desk.studies.cancel(number)
    return reply(Text(_ended(study)))


@command("compare", starts=True)
async def compare(
    context: Context,
    first: Operand,
    second: Operand,
    symbols: SymbolList | None = None,
    days: Days = COMPARE_DAYS,
) -> Reply:
    """Two backtests beside each other, or two strategies on the same candles.

    Of backtests that were run say the numbers; of strategies the names, which runs both.

    Example: /compare 11 12, or /compare shortseller lxalgo BTC,ETH 60
    """
    desk = context.desk
    names = [each for each in (first, second) if isinstance(each, str)]
    if not names:
        return await shown(desk, (int(first), int(second)))
    if len(names) < 2:
        raise Refused("Say two numbers of backtests, or two strategies; not one of each.")
    if context.principal.role < Role.TRADER:
        raise Refused("Running backtests needs the role trader; two numbers compare what was run.")
    tunings = [tuning_of(desk.strategies, name, "") for name in names]
    symbols = symbols or (default_symbol(desk),)
    setups = await _on_same_candles(desk, tunings, symbols, days)
    studies = await desk.studies.start(setups, context.asker)
    return _running(desk, studies)


async def _on_same_candles(
    desk: Desk, tunings: Sequence[Tuning], symbols: Sequence[str], days: int
) -> list[Setup]:
    """Setups over the candles of whichever needs the shortest bars."""
    setups = [await setup_of(desk, tuning, symbols, days) for tuning in tunings]
    finest = min(setups, key=lambda setup: setup.interval)
    return [
        replace(
            each,
            source=finest.source,
            interval=finest.interval,
            start=finest.start,
            stop=finest.stop,
        )
        for each in setups
    ]


# -- what a message shows ------------------------------------------------------------------


async def shown(desk: Desk, numbers: Sequence[int]) -> Reply:
    """One backtest, or two beside each other, as they stand now."""
    studies = [await desk.studies.study(number) for number in numbers]
    if any(not study.is_over for study in studies):
        return _running(desk, studies)
    failures = [study for study in studies if study.stage is not Stage.DONE]
    if failures:
        return reply(*(Text(_ended(study)) for study in failures))
    findings = [await desk.studies.finding(number) for number in numbers]
    # Reading and summing up thousands of trades is no work for the desk's loop.
    return await asyncio.to_thread(_result, desk, studies, findings)


def _result(desk: Desk, studies: Sequence[Study], findings: Sequence[Finding]) -> Reply:
    if len(studies) > 1:
        return _compared(studies, findings)
    return _card(desk, studies[0], findings[0])


def _running(desk: Desk, studies: Sequence[Study]) -> Reply:
    """How far they are; a chat brings this up to date until they end."""
    blocks = [Text(f"{_name(study)}\n{_progress(desk, study)}") for study in studies]
    open_ = [study.number for study in studies if not study.is_over]
    labels = ["Cancel"] if len(open_) == 1 else [f"Cancel {number}" for number in open_]
    buttons = tuple(
        Button(label, f"/backtest cancel {number}")
        for label, number in zip(labels, open_, strict=True)
    )
    return replace(
        reply(*blocks, buttons=buttons), follows=tuple(study.number for study in studies)
    )


def _name(study: Study) -> str:
    exact = ", exact" if study.setup.exact else ""
    return f"Backtest {study.number}: {study.setup.title}{exact}"


def _progress(desk: Desk, study: Study) -> str:
    if study.is_over:
        return _ended(study)
    if study.stage is Stage.QUEUED and (ahead := desk.studies.ahead(study.number)):
        return f"Queued: {ahead} before it."
    return _stage(study)


def _stage(study: Study) -> str:
    stage = study.stage.value.capitalize()
    return f"{stage}: {study.detail}" if study.detail else f"{stage}…"


def progress_line(study: Study) -> str:
    """How far a backtest is, or how it ended, in one line."""
    if not study.is_over:
        return f"Backtest {study.number}. {_stage(study)}"
    if study.stage is not Stage.DONE:
        return _ended(study)
    returned = show(cell("return", study.metrics["return"]))
    return f"Backtest {study.number} is done: return {returned}. /backtest show {study.number}"


def _ended(study: Study) -> str:
    """How one that has no result ended; that it is done of one that has."""
    match study.stage:
        case Stage.CANCELED:
            return f"Backtest {study.number} was canceled."
        case Stage.FAILED:
            return f"Backtest {study.number} has no result: {study.failure}"
    return f"Backtest {study.number} is {study.stage.value}."


def _buttons(study: Study, shown: str) -> tuple[Button, ...]:
    others = {SUMMARY: "Result", **VIEWS} if shown != SUMMARY else VIEWS
    return tuple(
        Button(label, f"/backtest show {study.number} {view}")
        for view, label in others.items()
        if view != shown
    )


# -- one result ----------------------------------------------------------------------------


def _card(desk: Desk, study: Study, finding: Finding) -> Reply:
    setup = study.setup
    period = f"{_day(finding.start)} to {_day(finding.end)}"
    fields: dict[str, Value] = {
        "period": f"{period}, {CANDLES_FROM[setup.source]}",
        "net": Money(_money(finding.equity - setup.deposit), signed=True),
        **figures(Report(study.metrics), FIGURES),
    }
    points = thinned(finding.marks)
    chart = EquityChart(
        title=f"Backtest {study.number}: {setup.strategy}",
        subtitle=f"{period} · {', '.join(finding.symbols)} · {CANDLES_FROM[setup.source]}",
        points=points,
        deposit=setup.deposit,
    )
    lines = (*_verdict(desk, study, finding), *_open(finding), *_different(desk, setup))
    return reply(
        Fields(_name(study), fields),
        *map(Text, lines),
        *_remarks(finding.remarks),
        Chart(chart),
        buttons=_buttons(study, SUMMARY),
    )


def _day(ts: int) -> str:
    return show(Time(ts)).partition(" ")[0]


def _money(amount: float) -> Decimal:
    return round(Decimal(repr(amount)), 2)


def _verdict(desk: Desk, study: Study, finding: Finding) -> Iterator[str]:
    """The honest sentence; none where the strategy is gone since."""
    with suppress(BadInput):
        yield verdict(finding.outcome(study.setup.plan(desk.strategies)), Report(study.metrics))


def _open(finding: Finding) -> Iterator[str]:
    """What the figures hold beside closed trades."""
    if finding.held:
        names = ", ".join(
            f"{'long' if each.side > 0 else 'short'} {each.symbol}" for each in finding.held
        )
        profit = show(Money(_money(sum(each.profit for each in finding.held)), signed=True))
        yield f"Open at the end: {names}, {profit} by now; in the net, not among the trades."


def _different(desk: Desk, setup: Setup) -> Iterator[str]:
    """What was not as it is by default."""
    strategy = desk.strategies.get(setup.strategy)
    words = list(_values(strategy, setup.values)) if strategy else []
    if strategy and setup.timeframe != strategy.timeframe:
        words.append(setup.title.split()[1])
    costs = {"deposit": setup.deposit, "fee": setup.fee, "slippage": setup.slippage}
    words += [
        f"{name} {COSTS[name].show(value)}"
        for name, value in costs.items()
        if value != COSTS[name].default
    ]
    if setup.sides is not Sides.BOTH:
        words.append(setup.sides.words)
    yield f"Not by default: {', '.join(words)}." if words else "All parameters are the defaults."


def _values(strategy: Strategy, values: Mapping[str, float]) -> Iterator[str]:
    known = strategy.tunable
    for name, value in values.items():
        yield f"{name} {known[name].show(value) if name in known else value}"


def _remarks(remarks: Sequence[str]) -> tuple[Block, ...]:
    """What was wrong with the candles, in one paragraph."""
    told = list(remarks[:REMARKS_SHOWN])
    if len(remarks) > len(told):
        told.append(f"{len(remarks) - len(told)} more remarks are in the full report.")
    return (Text("\n".join(told)),) if told else ()


def thinned(marks: Sequence[Mark]) -> tuple[tuple[int, float], ...]:
    """The course of equity in at most POINTS_MAX points: of each stretch the lowest and highest."""
    if len(marks) <= POINTS_MAX:
        return tuple((mark.ts, mark.equity) for mark in marks)
    width = -(-len(marks) // (POINTS_MAX // 2 - 1))
    kept = {marks[0], marks[-1]}
    for start in range(0, len(marks), width):
        stretch = marks[start : start + width]
        kept |= {min(stretch, key=_equity), max(stretch, key=_equity)}
    return tuple((mark.ts, mark.equity) for mark in sorted(kept))


def _equity(mark: Mark) -> float:
    return mark.equity


# -- its trades ----------------------------------------------------------------------------


def _view(desk: Desk, study: Study, finding: Finding, view: str) -> Table:
    title = f"Backtest {study.number}"
    if view == TRADES:
        return _trades(title, finding.trips)
    by, words = {SYMBOLS: ("symbol", "by symbol"), EXITS: ("exit_reason", "by exit")}[view]
    columns = (by.partition("_")[0], "trades", "won", "net", "mean", "fees", "win_rate")
    rows = tuple(
        (
            Word(row.key),
            row.trades,
            row.wins,
            Money(_money(row.net), signed=True),
            Money(_money(row.mean), signed=True),
            Money(_money(row.fees)),
            rate(row.win_rate),
        )
        for row in breakdown(finding.trips, by)
    )
    return Table(f"{title} {words}", columns, rows, "No trade was closed.")


def _trades(title: str, trips: Sequence[RoundTrip]) -> Table:
    """The last trades, the newest first."""
    newest = sorted(trips, key=lambda trip: trip.exit_time, reverse=True)[:TRADES_SHOWN]
    columns = ("symbol", "side", "entry", "exit", "left", "net", "reason")
    rows = tuple(
        (
            trip.symbol,
            "long" if trip.side > 0 else "short",
            Price(trip.entry_price),
            Price(trip.exit_price),
            Time(trip.exit_time),
            Money(_money(trip.net), signed=True),
            Word(trip.exit_reason),
        )
        for trip in newest
    )
    words = f"last {len(newest)} of {len(trips):,} trades" if len(trips) > len(newest) else "trades"
    return Table(f"{title}, {words}", columns, rows, "No trade was closed.")


def _listed(study: Study) -> tuple[Value, ...]:
    setup, done = study.setup, study.stage is Stage.DONE
    returned = study.metrics["return"].value if done else None
    return (
        study.number,
        setup.strategy,
        ", ".join(setup.symbols),
        setup.days,
        Percent(returned, signed=True) if returned is not None else study.stage.value,
        int(study.metrics["trades"].value or 0) if done else None,
        Time(study.asked_at),
        study.asker or study.asked_by,
    )


# -- two beside each other -----------------------------------------------------------------


def _compared(studies: Sequence[Study], findings: Sequence[Finding]) -> Reply:
    names = [f"{study.number} {study.setup.strategy}" for study in studies]
    numbers = " and ".join(str(study.number) for study in studies)
    chart = CurvesChart(
        title=f"Backtests {numbers}",
        subtitle=f"{_day(findings[0].start)} to {_day(findings[0].end)}",
        curves=tuple(map(_curve, names, studies, findings)),
    )
    buttons = tuple(
        Button(f"Show {study.number}", f"/backtest show {study.number}") for study in studies
    )
    return reply(
        Text("\n".join(map(_name, studies))),
        *_honest(studies),
        *_side_by_side(studies),
        *_undefined(studies),
        Chart(chart),
        buttons=buttons,
    )


def _side_by_side(studies: Sequence[Study]) -> Iterator[Table]:
    """A table for each kind of figure, with a column for each backtest."""
    columns = ("figure", *(f"#{study.number}" for study in studies))
    for title, keys in COMPARED.items():
        rows = tuple(
            (TITLES[key].label, *(cell(key, study.metrics[key]) for study in studies))
            for key in keys
        )
        yield Table(title, columns, rows)


def _undefined(studies: Sequence[Study]) -> Iterator[Text]:
    """Why figures are missing, where any are."""
    for study in studies:
        missing = [
            f"{TITLES[key].label} ({metric.why})"
            for key in chain.from_iterable(COMPARED.values())
            if (metric := study.metrics[key]).value is None
        ]
        if missing:
            yield Text(f"Backtest {study.number} has no {', '.join(missing)}.")


def _honest(studies: Sequence[Study]) -> Iterator[Text]:
    """What makes the comparison less than fair."""
    if len({study.digest for study in studies}) > 1:
        yield Text("They ran on different candles: the figures do not answer which is better.")
    if len({(each.setup.fee, each.setup.slippage) for each in studies}) > 1:
        yield Text("They paid different fees or slippage.")


def _curve(name: str, study: Study, finding: Finding) -> tuple[str, tuple[tuple[int, float], ...]]:
    deposit = study.setup.deposit
    return name, tuple((ts, worth / deposit - 1.0) for ts, worth in thinned(finding.marks))
