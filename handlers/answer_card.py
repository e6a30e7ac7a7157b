"""The answer to a question: what was said, by whom, what it rests on, and what it would have done.

A model's words have no power: nothing in them is markup, a link or a command that acts.
"""

from collections.abc import Iterator

from engine.advice import NO_KEY, Answer, Draft
from handlers.marking import marked, warning
from handlers.reply import Block, Button, Code, Reply, Text, reply

# What was read gets so many buttons, and of each so much of its label is seen on a phone.
READ_BUTTONS, LABEL_MAX = 3, 30
NOTHING_DONE = "Nothing was done. Press, or type, what you want done:"
BY_RULES = "So rules answer, from what the desk's commands say."
NOTHING_READ = "Nothing of the desk was read for this."


def card(number: int, answer: Answer) -> Reply:
    """The answer of consultation `number`."""
    drafts = tuple(Button(_label(each.line), each.line, only_asker=True) for each in answer.drafts)
    # What was read last rests on what was read to find out what there is.
    looked = tuple(Button(_label(line), line) for line in answer.looked[-READ_BUTTONS:])
    how = Button("How", f"/analysis {number}")
    return reply(*_blocks(answer), buttons=(*drafts, *looked, how))


def _blocks(answer: Answer) -> Iterator[Block]:
    if answer.instead not in ("", NO_KEY):
        yield Text(f"{answer.instead} {BY_RULES}")
    yield Text(marked(answer.text, answer.invented))
    if answer.invented:
        yield Text(warning(answer.invented))
    if answer.drafts:
        yield Text(NOTHING_DONE)
        yield from (block for each in answer.drafts for block in _draft(each))
    yield Text(_source(answer))


def _draft(draft: Draft) -> Iterator[Block]:
    yield Code(draft.line)
    yield Text(f"{draft.what}.")


def _source(answer: Answer) -> str:
    read = f"Read: {', '.join(answer.looked)}." if answer.looked else NOTHING_READ
    no_key = f" {NO_KEY}" if answer.instead == NO_KEY else ""
    return f"{read} Answered by {answer.by}.{no_key}"


def _label(line: str) -> str:
    return line if len(line) <= LABEL_MAX else f"{line[: LABEL_MAX - 1]}…"
