"""Questions about the desk: a model looks at what the asker may see, and answers from that.

It has two tools, to look and to draft. Neither acts, whatever is written in a question, in a
message or in what was read: what may be looked at is decided behind `Reading`, by the role of
whoever asks, and what is drafted a person says, or nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from pydantic import TypeAdapter

from engine.advice import Answer, Draft, Reading, Tool
from engine.errors import Refused
from llm.counsel import Case, Counsel
from llm.grounding import invented
from llm.inert import inert, without_phrases
from llm.model import (
    Fault,
    Function,
    FunctionCall,
    FunctionResult,
    ModelFailed,
    Request,
    Response,
    Speaker,
    Turn,
)
from llm.quoting import RULE, clean, quoted
from llm.scripted import QUESTION, Scripted

# Bounds of one question. READ_MAX characters, about 10,000 tokens, go along with each step; at
# COST_MAX (US dollars) the model has to answer with what it has. One that calls more at a time is
# not asked again.
STEPS_MAX, LOOKS_MAX, DRAFTS_MAX, CALLS_MAX, READ_MAX = 6, 12, 3, 16, 40_000
COST_MAX = Decimal("0.05")
LOOK_DEADLINE_S = 10.0
QUESTION_MAX, ABOUT_MAX, RESULT_MAX, ANSWER_MAX = 1_000, 2_000, 6_500, 1_500
LINE_MAX = 300
# What a model wanted and may not is noted so often, then once more that it went on.
NOTED_MAX = 20
WANTED_SHOWN = 150
# Allowed values that are longer are told by the refusal of a wrong one.
ALLOWED_SHOWN = 80

LOOK, DRAFT = "look", "draft"
_LINE = {
    "type": "object",
    "properties": {"line": {"type": "string", "description": "One command, as it is typed."}},
    "required": ["line"],
}
FUNCTIONS = (
    Function(
        LOOK,
        "Read what a command answers that only looks, for example /why symbol=BTCUSDT.",
        _LINE,
    ),
    Function(
        DRAFT,
        "Draft a command that acts, for the asker to say or not, for example /close ETHUSDT. "
        "Nothing is done by it.",
        _LINE,
    ),
)

SYSTEM = f"""You explain Countersign, a trading desk, to the people who run it.
You have no hands: you can trade, change, approve and decide nothing, and nobody can allow you to.
Use {LOOK} to read what the desk itself says; you see what the asker may see, and nothing else.
Where the asker wants something done, {DRAFT} the command and say that nothing was done yet.
Every number in your answer stands in what you read or in the question. Do not work out new ones;
count in words. What you did not read you do not know: say so.
Answer in the language of the question, in plain words, at most 120 of them, no markup, no links.
Begin with the answer, then the facts it rests on, and name the commands that show them.
Amounts of money are in USDT, times in UTC. "Today" is the day of the desk's market time, which
/status tells.
{RULE}
"""
LAST_LOOK = "That was the last look. Answer now, with what you have read."
NOT_DONE = "Drafted: the asker sees it with a button. Nothing was done."
NO_MORE_LOOKS = "No more can be read for this question. Answer with what you have read."
NO_MORE_DRAFTS = f"At most {DRAFTS_MAX} drafts. Answer now."
WANTS_A_LINE = "It takes one argument, line: one command as it is typed, as /why symbol=BTCUSDT."
SLOW = "The desk did not answer that in time."
NO_END = "The model went on looking and gave no answer."

ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)

Ask = Callable[[Request], Awaitable[Response]]


async def answer(
    counsel: Counsel,
    case: Case,
    question: str,
    about: str,
    reading: Reading,
    told: Callable[[str], None],
) -> Answer:
    """Answer a question; `about` is the message it replies to, or empty, and `told` hears what is
    read. Where the model does not answer, rules do, and the answer says why."""
    instead = counsel.why_not()
    if not instead:
        try:
            return await _asked(counsel, case, _Talk(question, about, reading, told))
        except ModelFailed as failure:
            instead = str(failure)
    return await _by_rules(counsel, case, _Talk(question, about, reading, told), instead)


async def _asked(counsel: Counsel, case: Case, talk: "_Talk") -> Answer:
    """What the model answers. Raises ModelFailed."""

    def is_dear() -> bool:
        return case.cost >= COST_MAX

    text = await _converse(talk, partial(counsel.call, case), is_dear)
    found = _answer(talk, text, counsel.name, invented(text, talk.data))
    await counsel.found(case, ANSWER.dump_json(found).decode())
    return found


async def _by_rules(counsel: Counsel, case: Case, talk: "_Talk", instead: str) -> Answer:
    """What rules answer where the model does not."""
    rules = Scripted()
    text = await _converse(talk, partial(rules.answer, timeout_s=LOOK_DEADLINE_S), lambda: False)
    found = replace(_answer(talk, text, rules.name, ()), instead=instead)
    await counsel.computed(case, talk.opening, ANSWER.dump_json(found).decode(), rules.name)
    return found


# -- the loop ----------------------------------------------------------------------------


@dataclass
class _Talk:
    """One conversation: what was said, and what was read and drafted so far."""

    question: str
    about: str
    reading: Reading
    told: Callable[[str], None]
    tools: Sequence[Tool] = ()
    turns: list[Turn] = field(default_factory=list)
    read: dict[str, str] = field(default_factory=dict)
    drafts: list[Draft] = field(default_factory=list)
    looks: int = 0
    noted: int = 0

    def __post_init__(self) -> None:
        self.tools = self.reading.tools()
        self.turns = [Turn(Speaker.USER, self.opening)]

    @property
    def opening(self) -> str:
        """What the model is told first."""
        asked = f"{QUESTION}{_harmless(self.question, QUESTION_MAX)}"
        if not self.about:
            return asked
        about = quoted("the message it replies to", without_phrases(self.about), ABOUT_MAX)
        return f"{about}\n{asked}"

    @property
    def data(self) -> str:
        """All that the answer may rest on."""
        return "\n".join([self.opening, *self.read, *self.read.values()])

    @property
    def spoken(self) -> set[str]:
        """The words that may stand behind a slash: of commands that only look."""
        names = {tool.name for tool in self.tools}
        return {name.split()[0] for name in names} | {name.replace(" ", "_") for name in names}

    @property
    def is_full(self) -> bool:
        return self.looks >= LOOKS_MAX or sum(map(len, self.read.values())) >= READ_MAX


def _harmless(text: str, limit: int) -> str:
    return without_phrases(clean(text, limit))


async def _converse(talk: _Talk, ask: Ask, is_dear: Callable[[], bool]) -> str:
    """What the model says in the end. Raises ModelFailed."""
    system = f"{SYSTEM}\n{_listed(talk.tools)}"
    for left in reversed(range(STEPS_MAX)):
        functions = FUNCTIONS if left and not is_dear() else ()
        response = await ask(Request(system, tuple(talk.turns), functions))
        calls = response.turn.calls
        if not calls:
            return _worded(talk, response.text)
        if not functions or len(calls) > CALLS_MAX:
            break
        results = [await _carry_out(talk, call) for call in calls]
        if left == 1:
            results[-1] = replace(results[-1], result={**results[-1].result, "note": LAST_LOOK})
        talk.turns += [response.turn, Turn(Speaker.USER, results=tuple(results))]
    raise ModelFailed(Fault.INVALID, NO_END)


def _worded(talk: _Talk, text: str) -> str:
    """A model's answer as people see it. Raises ModelFailed where nothing is left of it."""
    words = inert(text, talk.spoken, ANSWER_MAX)
    if not words:
        raise ModelFailed(Fault.EMPTY, "The model's answer was empty.")
    return words


def _answer(talk: _Talk, text: str, by: str, numbers: tuple[str, ...]) -> Answer:
    return Answer(text, by, tuple(talk.read), tuple(talk.drafts), numbers)


# -- tools -------------------------------------------------------------------------------


def _listed(tools: Sequence[Tool]) -> str:
    """The commands that may be looked at, and what their arguments may be."""
    lines = [f"{_usage(each)} - {each.summary}" for each in tools]
    values = {
        f"{name}: {allowed}"
        for tool in tools
        for name, allowed in tool.arguments.items()
        if len(allowed) <= ALLOWED_SHOWN
    }
    return "\n".join(["What you may look at:", *lines, "What to give:", *sorted(values)])


def _usage(tool: Tool) -> str:
    words = [f"<{name}>" if name in tool.required else f"[{name}]" for name in tool.arguments]
    return " ".join([f"/{tool.name}", *words])


async def _carry_out(talk: _Talk, call: FunctionCall) -> FunctionResult:
    """What a tool says to a call; what was wanted and may not be is noted."""
    try:
        line = _line_of(call)
        result = await _look(talk, line) if call.name == LOOK else _draft(talk, line)
    except _Unfit as error:
        _note(talk, _wanted(call), str(error))
        result = {"error": str(error)}
    except Refused as error:
        result = {"error": clean(str(error), RESULT_MAX)}
    return FunctionResult(call.name, result, call.call_id)


class _Unfit(Refused):
    """A call that never comes before the desk, which so knows nothing of it."""


def _line_of(call: FunctionCall) -> str:
    """The command that a call is about. Raises _Unfit."""
    if call.name not in (LOOK, DRAFT):
        raise _Unfit(f"There is no such tool. There are {LOOK} and {DRAFT}.")
    line = call.arguments.get("line")
    if set(call.arguments) != {"line"} or not isinstance(line, str) or not line.strip():
        raise _Unfit(WANTS_A_LINE)
    if len(line) > LINE_MAX:
        raise _Unfit(f"A command has at most {LINE_MAX} characters here.")
    return f"/{' '.join(clean(line, LINE_MAX).split()).removeprefix('/')}"


async def _look(talk: _Talk, line: str) -> dict[str, str]:
    if talk.is_full:
        raise Refused(NO_MORE_LOOKS)
    talk.looks += 1
    try:
        async with asyncio.timeout(LOOK_DEADLINE_S):
            text = await talk.reading.look(line)
    except TimeoutError:
        raise Refused(SLOW) from None
    talk.read[line] = text = without_phrases(text)
    talk.told(f"Read {inert(line, talk.spoken, LINE_MAX)}")
    return {"text": quoted(line, text, RESULT_MAX)}


def _draft(talk: _Talk, line: str) -> dict[str, str]:
    if len(talk.drafts) >= DRAFTS_MAX:
        raise _Unfit(NO_MORE_DRAFTS)
    try:
        draft = talk.reading.draft(line)
    except Refused as error:
        raise _Unfit(str(error)) from None
    if draft not in talk.drafts:
        talk.drafts.append(draft)
    return {"text": NOT_DONE}


def _wanted(call: FunctionCall) -> str:
    """A call as the audit may keep it: a draft as its line."""
    line = call.arguments.get("line")
    is_draft = call.name == DRAFT and isinstance(line, str)
    wanted = str(line) if is_draft else f"{call.name} {dict(call.arguments)}"
    return " ".join(clean(wanted, WANTED_SHOWN).split())


def _note(talk: _Talk, wanted: str, reason: str) -> None:
    talk.noted += 1
    if talk.noted <= NOTED_MAX:
        talk.reading.refused(wanted, reason)
    elif talk.noted == NOTED_MAX + 1:
        talk.reading.refused(wanted, "It wants more of this; no more of it is noted.")
