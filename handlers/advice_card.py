"""A suggestion of other parameters as it is shown, with what became of it."""

from collections.abc import Iterator

from engine.advice import Advice
from engine.desk import Desk
from handlers.marking import marked, warning
from handlers.reply import Block, Button, Reply, Table, Text, reply


def card(desk: Desk, number: int, advice: Advice) -> Reply:
    proposal = advice.proposal
    decide = (Button(f"Proposal {proposal}", f"/proposals {proposal}"),) if proposal else ()
    buttons = (
        *decide,
        Button("Parameters", f"/tune show {advice.bot_id}"),
        Button("How it was made", f"/analysis {number}"),
    )
    return reply(*_blocks(desk, advice), buttons=buttons)


def _blocks(desk: Desk, advice: Advice) -> Iterator[Block]:
    if advice.instead:
        yield Text(f"{advice.instead.rstrip('.')}. {advice.summary}")
        return
    yield Text(marked(f"{advice.bot_id}: {advice.summary}", advice.invented))
    if advice.root_cause:
        yield Text(marked(f"Cause: {advice.root_cause}", advice.invented))
    yield _wishes(desk, advice)
    if advice.outcome:
        yield Text(advice.outcome)
    if words := warning(advice.invented):
        yield Text(words)
    yield Text(f"By {advice.by}, {advice.confidence:.0%} sure, risk {advice.risk}.")


def _wishes(desk: Desk, advice: Advice) -> Table:
    scope = desk.tuning().scopes.get(advice.bot_id)
    known = scope.parameters if scope else {}
    rows = tuple(
        (
            wish.name,
            known[wish.name].parameter.show(known[wish.name].value),
            known[wish.name].parameter.show(wish.value),
            marked(wish.reason, advice.invented),
        )
        for wish in advice.wishes
        if wish.name in known
    )
    columns = ("parameter", "now", "suggested", "because")
    return Table("Suggested", columns, rows, empty="Nothing that may be tried.")
