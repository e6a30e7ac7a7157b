"""The tuner from chat: studies asked for, followed, canceled and looked at; tuning as a whole."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from engine.desk import Desk
from engine.instruction import LetTune, StopTuning
from engine.people import Role
from engine.tuning import Comparison, Divergence, StudyStage, TuningStudy
from handlers.arguments import parse_id, reason_of
from handlers.command import (
    Act,
    ArgumentType,
    BotId,
    Context,
    Kind,
    Words,
    command,
)
from handlers.parameters import parameter_named, which_bot
from handlers.reply import (
    Block,
    Button,
    Fields,
    Reply,
    Table,
    Text,
    Time,
    Value,
    Whole,
    reply,
    show,
)
from handlers.tuning_cards import OUTCOMES, STUDIES, evidence_blocks, evidence_chart

LISTED = 15
DIFFERENCES_SHOWN = 15
STAGES = {
    StudyStage.QUEUED: "waits for its turn",
    StudyStage.LOADING: "loads candles",
    StudyStage.SEARCHING: "searches",
    StudyStage.PROVING: "proves the best by the exact backtest",
    StudyStage.PROPOSED: "found something",
    StudyStage.NOTHING: "proposes nothing",
    StudyStage.FAILED: "failed",
    StudyStage.CANCELED: "was canceled",
}


def _parse_number(field: str, word: str, desk: Desk) -> int:
    return parse_id(field, word, "the number of a study, as /tune study lists them")


def _open(desk: Desk) -> list[str]:
    return [str(study.number) for study in desk.tuner.open()]


NUMBER = ArgumentType(
    "a study's number",
    _parse_number,
    _open,
    changing=True,
    numeric=True,
    missing=lambda desk: f"Which study? Open: {', '.join(_open(desk)) or 'none'}.",
)

Number = Annotated[int, NUMBER]


@command("tune run", role=Role.TRADER, starts=True)
async def tune_run(context: Context, bot: BotId | None = None) -> Reply:
    """Search for better values of a bot's parameters now; what is found is proposed.

    It runs beside trading, says how far it is, and ends with a proposal or with why there is none.

    Example: /tune run, or /tune run shortseller_001
    """
    found = which_bot(context.desk, bot, "/tune run")
    if isinstance(found, Reply):
        return found
    return card(context.desk, await context.desk.tuner.start(found, context.asker))


@command("tune cancel", role=Role.TRADER, starts=True)
async def tune_cancel(context: Context, study: Number) -> Reply:
    """End a study that waits or runs; nothing is changed by it.

    Example: /tune cancel 3
    """
    return reply(Text(progress_line(context.desk.tuner.cancel(study))), buttons=(STUDIES,))


@command("tune study")
async def tune_study(context: Context, study: Number | None = None) -> Reply:
    """A study with all its evidence; without a number, those that run and the last ones.

    Example: /tune study, or /tune study 3
    """
    desk = context.desk
    if study is not None:
        return await shown(desk, study)
    books = desk.tuning().books
    stored = await desk.store.recent(TuningStudy, books=books, limit=LISTED)
    found = {each.number: each for each in (*stored, *desk.tuner.open())}
    newest = sorted(found.values(), key=lambda each: each.number, reverse=True)[:LISTED]
    columns = ("study", "bot", "asked_by", "when", "stage", "what_came_of_it")
    rows = tuple(map(_listed, newest))
    return reply(Table("Studies", columns, rows, empty="None was run yet."), buttons=(OUTCOMES,))


def _listed(study: TuningStudy) -> tuple[Value, ...]:
    when = Time(study.asked_at)
    return study.number, study.bot_id, study.asker, when, STAGES[study.stage], study.verdict or None


@command("tune check", role=Role.TRADER, starts=True)
async def tune_check(context: Context, bot: BotId | None = None) -> Reply:
    """Hold what a bot traded last against the exact backtest on the same bars, now.

    Example: /tune check, or /tune check shortseller_001
    """
    found = which_bot(context.desk, bot, "/tune check")
    if isinstance(found, Reply):
        return found
    return compared(await context.desk.tuner.compare(found))


@command("tune stop", role=Role.TRADER, kind=Kind.WRITE, always=True)
async def tune_stop(context: Context, reason: Words = "") -> Act:
    """Let tuner, rules and model change and propose nothing more, at once. Why may follow.

    What people set by hand goes on.

    Example: /tune stop, or /tune stop the market has changed
    """
    why = reason_of(reason)
    resume = Button("Let them tune", "/tune resume")
    return Act(StopTuning(why), lambda done: reply(Text(done), buttons=(resume,)))


@command("tune resume", role=Role.TRADER, kind=Kind.SENSITIVE)
async def tune_resume(context: Context) -> Act:
    """Let tuner, rules and model change and propose parameters again, once confirmed.

    Example: /tune resume
    """
    return Act(LetTune(), lambda done: reply(Text(done), buttons=(STUDIES,)))


# -- what a message shows ------------------------------------------------------------------


async def shown(desk: Desk, number: int) -> Reply:
    """A study as it stands now."""
    return card(desk, await desk.tuner.study(number))


def card(desk: Desk, study: TuningStudy) -> Reply:
    """A study: how far it is, or its verdict with all the evidence."""
    if not study.is_over:
        cancel = Button("Cancel", f"/tune cancel {study.number}")
        words = Text(f"{_name(study)}\n{progress_line(study)}")
        return replace(reply(words, buttons=(cancel,)), searches=(study.number,))
    return reply(
        Text(f"{_name(study)}\n{progress_line(study)}"),
        *_found(desk, study),
        buttons=(Button("Parameters", f"/tune show bot={study.bot_id}"), OUTCOMES),
    )


def progress_line(study: TuningStudy) -> str:
    """How far a study is, or how it ended, in one line."""
    said = f"Study {study.number} of {study.bot_id} {STAGES[study.stage]}"
    if study.is_over:
        return f"{said}: {study.verdict}" if study.verdict else f"{said}."
    if study.stage is StudyStage.SEARCHING and study.trials:
        return f"{said}: {study.done} of {study.trials} sets of values are tried."
    return f"{said}."


def _name(study: TuningStudy) -> str:
    return f"Study {study.number}: {study.bot_id}, asked by {study.asker}"


def _found(desk: Desk, study: TuningStudy) -> Iterator[Block]:
    values: dict[str, Value] = {
        name: _shown_value(desk, study.bot_id, name, value) for name, value in study.values
    }
    if values:
        yield Fields("Found", values)
    evidence = study.evidence
    if evidence is None:
        return
    yield from evidence_blocks(evidence)
    before, after = evidence.before.wins, evidence.after.wins
    yield Text(f"Trades won: {before} as it is, {after} changed.")
    yield from map(Text, evidence.remarks)
    yield Text(f"Candles {evidence.digest}.")
    yield evidence_chart(evidence, study.bot_id)


def _shown_value(desk: Desk, bot_id: str, name: str, value: float) -> str:
    parameter = parameter_named(desk, bot_id, name)
    return f"{value:.10g}" if parameter is None else parameter.show(value)


# -- live against replay -------------------------------------------------------------------


def compared(found: Comparison) -> Reply:
    """What a bot did beside what the exact backtest does on its bars."""
    columns = ("what", "symbol", "when", "live", "replayed", "note")
    rows = tuple(map(_difference, found.found[:DIFFERENCES_SHOWN]))
    table = Table("Differences", columns, rows, empty="No trade, price, fee or funding differs.")
    left = len(found.found) - len(rows)
    more = [Text(f"{left} more differ.")] if left > 0 else []
    span = Text(f"From {show(Time(found.start))} to {show(Time(found.end))}.")
    remarks = map(Text, found.remarks)
    return reply(Text(comparison_words(found)), span, *remarks, table, *more)


def comparison_words(found: Comparison) -> str:
    """A comparison in a sentence or two."""
    said = (
        f"{found.bot_id}: of {_trades(found.live)} live and {_trades(found.replayed)} of the exact "
        f"backtest on the same {found.bars:,} bars {found.matched} are the same."
    )
    if found.diverges:
        return f"{said} It diverges: {found.diverges}"
    return f"{said} {'It does not diverge.' if found.found else 'It agrees.'}"


def _trades(count: int) -> str:
    return "1 trade" if count == 1 else f"{count} trades"


def _difference(each: Divergence) -> tuple[Value, ...]:
    live, replayed, words = map(Whole, (each.live, each.replayed, each.words))
    return str(each.kind), each.symbol, Time(each.ts), live, replayed, words
