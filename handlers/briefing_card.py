"""A briefing as it is shown."""

from engine.advice import Briefing
from handlers.marking import marked, warning
from handlers.reply import Button, Reply, Text, reply


def card(number: int, briefing: Briefing) -> Reply:
    by = f"By {briefing.by}."
    if briefing.instead:
        by = f"{by} {briefing.instead}"
    words = (
        f"{briefing.title}\n{marked(briefing.text, briefing.invented)}",
        warning(briefing.invented),
        by,
    )
    buttons = (
        Button("Report", "/report"),
        Button("Positions", "/positions"),
        Button("How it was made", f"/analysis {number}"),
    )
    return reply(*(Text(each) for each in words if each), buttons=buttons)
