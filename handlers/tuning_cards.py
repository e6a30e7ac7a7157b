"""Changes of parameters in words: the evidence for them, what is expected, what came of them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from engine.instruction import Instruction, RollBack, SetParameters, UndoChange
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Band, Evidence, Fate, Figures, ParameterChange, Point, Source
from handlers.reply import (
    Block,
    Button,
    Chart,
    CurvesChart,
    Money,
    Percent,
    Table,
    Text,
    Value,
    show,
)

HISTORY = Button("History", "/tune history")
OUTCOMES = Button("Outcomes", "/tune outcomes")
STUDIES = Button("Studies", "/tune study")
# With its picture, a card is one message where its words are few.
REASON_SHOWN = 200
WHO = {
    Source.PERSON: "asked for by hand",
    Source.TUNER: "found by the tuner",
    Source.RULE: "called for by a rule",
    Source.MODEL: "suggested by the model",
    Source.WATCH: "called for by the watch",
}
FATES = {
    Fate.WATCHED: "is being watched",
    Fate.KEPT: "kept to what was expected",
    Fate.BETTER: "did better than expected",
    Fate.FAILED: "failed: it left what was expected",
    Fate.UNDONE: "was taken back before it was known",
    Fate.REPLACED: "was changed again before it was known",
    Fate.UNWATCHED: "nothing was expected of it",
}
WHEN_IT_FAILS = {
    Tier.GREEN: "it is rolled back by itself",
    Tier.YELLOW: "a roll-back is proposed",
    Tier.RED: "a roll-back is proposed",
}
UNWATCHED = "Nothing watches it: too few closed trades say what to expect."


def why_blocks(instruction: Instruction) -> Iterator[Block]:
    """Who wants a change of parameters and why, in one sentence; nothing of anything else."""
    if not isinstance(instruction, SetParameters | UndoChange | RollBack):
        return
    source = Source.PERSON if isinstance(instruction, RollBack) else instruction.source
    who = "Why" if source is Source.PERSON else WHO[source].capitalize()
    if instruction.reason:
        yield Text(f"{who}: {shortened(instruction.reason)}")


def shortened(reason: str) -> str:
    """A reason as a card has room for it; its proposal keeps all of it."""
    return reason if len(reason) <= REASON_SHOWN else f"{reason[: REASON_SHOWN - 1]}…"


def grounds(instruction: Instruction, tier: Tier) -> Iterator[Block]:
    """What there is to be said for new values, and what happens with them next."""
    if not isinstance(instruction, SetParameters):
        return
    evidence = instruction.evidence
    if evidence is not None:
        yield from evidence_blocks(evidence)
    band = evidence.expected if evidence else instruction.expected
    holds = "from the next entry on" if instruction.bot_id == DESK_SCOPE else "at the next bar"
    yield Text(f"Live {holds}. {watched_words(band, tier)}")


def picture(instruction: Instruction) -> Iterator[Block]:
    """The equity curves of a change that a study found."""
    if isinstance(instruction, SetParameters) and instruction.evidence is not None:
        yield evidence_chart(instruction.evidence, instruction.bot_id)


def made_by(change: ParameterChange, actor: str) -> str:
    """Whose doing a change was: `found by the tuner, countersigned (proposal 17)`."""
    who = f"by {actor}" if change.source is Source.PERSON else WHO[change.source]
    return f"{who}, countersigned (proposal {change.proposal_id})" if change.proposal_id else who


def undo_button(change: ParameterChange) -> Button:
    """What takes a change back."""
    return Button("Undo", f"/undo {change.change_id}")


def study_button(number: int) -> tuple[Button, ...]:
    """What shows all of a study; none where there was none."""
    return (Button("Details", f"/tune study {number}"),) if number else ()


def study_of(instruction: Instruction) -> int:
    """The study that found a change; 0 where none did."""
    if isinstance(instruction, SetParameters) and instruction.evidence is not None:
        return instruction.evidence.study
    return 0


def evidence_blocks(evidence: Evidence) -> Iterator[Block]:
    """What a study found, without its picture: before and after out of sample, and how sure."""
    yield figures_table(evidence)
    yield Text(sureness(evidence))


def evidence_chart(evidence: Evidence, bot_id: str) -> Chart:
    """Both equity curves out of sample over each other, the values in force first."""
    curves = (("as it is", evidence.before_curve), ("changed", evidence.after_curve))
    chart = CurvesChart(
        title=f"{bot_id or 'The desk'} out of sample",
        subtitle=f"{day(evidence.start)} to {day(evidence.end)}",
        curves=tuple((name, _course(points)) for name, points in curves),
        first_is_base=True,
    )
    return Chart(chart)


def _course(points: Sequence[Point]) -> tuple[tuple[int, float], ...]:
    return tuple((point.ts, point.worth - 1.0) for point in points)


def figures_table(evidence: Evidence) -> Table:
    """Return, drawdown, Sharpe ratio and trades out of sample, as it is and changed."""
    pieces = "1 piece" if evidence.folds == 1 else f"{evidence.folds} pieces"
    title = f"Out of sample, {evidence.days:.0f} days in {pieces}"
    pairs = zip(_figures(evidence.before), _figures(evidence.after), strict=True)
    rows = tuple((name, before, after) for (name, before), (_, after) in pairs)
    return Table(title, ("figure", "as_it_is", "changed"), rows)


def _figures(figures: Figures) -> Iterator[tuple[str, Value]]:
    yield "return", Percent(figures.total_return, signed=True)
    yield "drawdown", Percent(figures.max_drawdown)
    yield "Sharpe", "n/a" if figures.sharpe is None else f"{figures.sharpe:.2f}"
    yield "trades", figures.trades


def sureness(evidence: Evidence) -> str:
    """How much the figures prove, in plain words."""
    said = (
        f"{int(evidence.deflated * 100)}% sure to be no luck after {evidence.trials} tries "
        "(deflated Sharpe)"
    )
    if (evidence.after.sharpe or 0.0) <= 0.0:
        return f"{said}."
    return f"{said}; neighbors keep {int(evidence.neighbors * 100)}% of the Sharpe."


def in_a_line(evidence: Evidence) -> str:
    """The evidence in one line: `Out of sample +4.1% instead of +1.2%, Sharpe 1.80 ...`."""
    before, after = dict(_figures(evidence.before)), dict(_figures(evidence.after))
    compared = (("", "return"), ("drawdown ", "drawdown"), ("Sharpe ", "Sharpe"))
    words = [f"{name}{show(after[key])} instead of {show(before[key])}" for name, key in compared]
    return f"Out of sample {', '.join(words)}; {evidence.after.trades} trades."


def band_words(band: Band) -> str:
    """What is expected of the next trades, in a few words."""
    low, high = _percent(band.lows[-1], signed=True), _percent(band.highs[-1], signed=True)
    return f"{low} to {high} after {len(band.lows)} trades, drawdown {_percent(band.drawdown)}"


def watched_words(band: Band | None, tier: Tier) -> str:
    """What a change is held against once it is made, and what rolls it back."""
    if band is None or not band.lows:
        return UNWATCHED
    return (
        f"Watched over {len(band.lows)} trades: below {_percent(band.lows[-1], signed=True)} at "
        f"their end, or after a fall of {_percent(band.drawdown)}, {WHEN_IT_FAILS[tier]}."
    )


def fate_words(change: ParameterChange) -> str:
    """What came of a change, in a few words."""
    return FATES[change.fate]


def came_words(change: ParameterChange) -> str:
    """What was closed since a change was made: `12 trades, -34.10 USDT, drawdown 2.3%`."""
    trades = "1 trade" if change.trades == 1 else f"{change.trades} trades"
    drawdown = _percent(change.drawdown)
    return f"{trades}, {show(Money(change.net, signed=True))} USDT, drawdown {drawdown}"


def day(ts: int) -> str:
    """The day of a moment (UTC ms)."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d}"


def _percent(fraction: float, *, signed: bool = False) -> str:
    return f"{fraction * 100:+.1f}%" if signed else f"{fraction * 100:.1f}%"
