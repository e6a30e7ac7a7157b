"""Answers by rules where no model answers: the same request, the same tools, nothing made up.

It knows the words of a few kinds of questions, looks at the commands that answer them, and says
what those said. What it does not understand it says.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice

from llm.heard import NOTHING, Heard, heard
from llm.model import (
    Fault,
    FunctionCall,
    FunctionResult,
    ModelFailed,
    Request,
    Response,
    Speaker,
    Turn,
    Usage,
)
from llm.reasons import BOTS, NOW, STATUS, SYMBOLS_MAX, Matter, Span, explained
from llm.wanted import wanted_of

NAME, DRIVER = "rules", "scripted"
# What stands before the question in the first turn.
QUESTION = "Question: "
LOOK, DRAFT = "look", "draft"
ROWS_SHOWN, SENTENCES_SHOWN, CELLS_SHOWN = 6, 6, 9

COINS = {"bitcoin": "BTC", "ether": "ETH", "ethereum": "ETH", "solana": "SOL", "ripple": "XRP"}
WHY = re.compile(
    r"\b(?:why|reason|how come|explain|when (?:will|do|does)|what (?:stops|stopped|blocks|keeps))\b"
)
TODAY, YESTERDAY = re.compile(r"\btoday\b"), re.compile(r"\byesterday\b")
WEEK, MONTH = re.compile(r"\bweek"), re.compile(r"\bmonth")

CAN = (
    "I answer by rules, which know some English, and did not understand that. I can tell why a bot "
    "traded or not, what is open, what was earned and paid, which signals and orders there were, "
    "how risk, health, prices, market and parameters stand. Ask for example: why did {bot} not "
    "trade today? Or say /help."
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of question: the words it is known by, and the commands that answer it; `{symbol}`
    stands for each symbol that is named, else for the first there is."""

    words: re.Pattern[str]
    lines: tuple[str, ...]


def _topic(words: str, *lines: str) -> Topic:
    return Topic(re.compile(rf"\b(?:{words})"), lines)


# The first that fits is asked for; those further down know commoner words.
TOPICS = (
    _topic(r"ai ?costs?|model|tokens?\b|gemini", "/aicost"),
    _topic(r"liquidat|margin|leverage|exposure|equity|balance|capital", "/portfolio"),
    _topic(r"lock(?:s|ed)?\b", "/locks"),
    _topic(r"risk|limits?\b|draw ?down|caps?\b", "/risk"),
    _topic(r"backtests?", "/backtest list"),
    _topic(r"tun(?:e|er|ed|ing)\b|parameters?|settings? changed", "/tune outcomes"),
    _topic(r"chang(?:e|es|ed)\b", "/tune history"),
    _topic(r"signals?\b", "/signals"),
    _topic(r"hit rate|quality|how good", "/quality"),
    _topic(r"alerts?\b", "/alerts"),
    _topic(r"schedules?\b", "/schedule list"),
    _topic(r"proposals?\b|waits? for|waiting|to approve|countersign", "/proposals"),
    _topic(r"approvers?\b|who (?:may|can|decides)", "/approvers"),
    _topic(r"orders?\b", "/orders"),
    _topic(r"trades\b|last trade|closed", "/trades"),
    _topic(r"real money|paper|mode\b|live\b", "/mode"),
    _topic(r"patterns?\b", "/patterns symbol={symbol}"),
    _topic(r"regime|market|trend", "/regime symbol={symbol}", "/price symbol={symbol}"),
    _topic(r"prices?\b|how much is|quote", "/price symbol={symbol}"),
    _topic(r"strateg", "/strategy list"),
    _topic(r"positions?\b|hold|open\b|long\b|short\b", "/positions"),
    _topic(r"health|work(?:s|ing)|alive|feed|database|ok\b", "/health"),
    _topic(r"version", "/version"),
    _topic(r"bots?\b", "/bot list"),
    _topic(r"status|how (?:are we|is it|does it|do we)|going on", "/status", "/positions"),
)
# What is told of a symbol that is named in a question that no topic fits.
OF_A_SYMBOL = ("/price symbol={symbol}", "/why symbol={symbol}")
WHY_LINE = "/why "
EARNED = re.compile(
    r"\b(?:pnl|p&l|profit|earn|made|make\b(?! of)|gain|los[est]|losing|results?\b|won\b|win"
    r"|best trade|worst trade|funding|fees?\b|costs? of trading|paid|pay\b)"
)
# What asks for things as they are, and not for a time that is over.
IS_NOW = re.compile(r"\b(?:now|currently|are|aren't|is|isn't|do|don't|does|doesn't|will|won't)\b")
WAS = re.compile(r"\b(?:did|didn't|was|wasn't|were|weren't)\b")


class Scripted:
    """A `Model` of rules: deterministic, free, and never asked over a network."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def driver(self) -> str:
        return DRIVER

    async def answer(self, request: Request, timeout_s: float) -> Response:
        if not request.turns or QUESTION not in request.turns[0].text:
            raise ModelFailed(Fault.INVALID, "Rules answer questions about the desk alone.")
        found = _Found.of(request)
        calls = found.missing() if request.functions else ()
        text = "" if calls else found.words()
        return Response(Turn(Speaker.MODEL, text, calls), Usage(), NAME)

    async def check(self) -> str:
        return NAME

    async def close(self) -> None:
        """Nothing is held open."""


@dataclass
class _Found:
    """A question with the message that it is about, and what was found out so far, by command."""

    question: str
    about: str = ""
    heard: dict[str, Heard] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    drafted: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: Request) -> "_Found":
        about, _, question = request.turns[0].text.rpartition(QUESTION)
        found = cls(question, about)
        called: Sequence[FunctionCall] = ()
        for turn in request.turns:
            for call, result in zip(called, turn.results, strict=False):
                found._take(call, result)
            called = turn.calls
        return found

    def _take(self, call: FunctionCall, result: FunctionResult) -> None:
        line = str(call.arguments.get("line", ""))
        error = result.result.get("error")
        if call.name == DRAFT:
            self.drafted[line] = str(error or "")
        elif error is not None:
            self.refused[line] = str(error)
        else:
            self.heard[line] = heard(str(result.result.get("text", "")))

    # -- what to ask for -----------------------------------------------------------------

    def missing(self) -> tuple[FunctionCall, ...]:
        """The calls that are still to be made."""
        looks = [line for line in (STATUS, BOTS) if not self._has(line)]
        if looks:
            return _calls(LOOK, looks)
        if draft := self._draft():
            return () if draft in self.drafted else _calls(DRAFT, [draft])
        return _calls(LOOK, [line for line in self._lines() if not self._has(line)])

    def _has(self, line: str) -> bool:
        return line in self.heard or line in self.refused

    def _lines(self) -> list[str]:
        if self._asks_why:
            return self._matter().lines()
        return [line for line in self._topic_lines() if line not in (STATUS, BOTS)]

    @property
    def _asks_why(self) -> bool:
        return WHY.search(self._lower) is not None

    @property
    def _lower(self) -> str:
        return " ".join(self.question.lower().replace("\u2019", "'").split())

    def _draft(self) -> str:
        """The command that is wished for, empty where it is none."""
        bots = list(self._named_bots() or self._bots())
        return wanted_of(self._lower, self._named_symbols(), bots)

    def _topic_lines(self) -> list[str]:
        if EARNED.search(self._lower):
            return [_period_line(self._lower)]
        named = self._named_symbols()
        topics = [topic for topic in TOPICS if topic.words.search(self._lower)]
        lines = topics[0].lines if topics else OF_A_SYMBOL if named else ()
        symbols = (named or self._symbols()[:1])[:SYMBOLS_MAX]
        return list(dict.fromkeys(line.format(symbol=each) for line in lines for each in symbols))

    # -- what it is about ----------------------------------------------------------------

    def _bots(self) -> Mapping[str, Sequence[str]]:
        rows = self.heard.get(BOTS, Heard()).rows("bot", "symbols")
        return {row["bot"]: row["symbols"].split() for row in rows}

    def _symbols(self) -> list[str]:
        return list(dict.fromkeys(each for symbols in self._bots().values() for each in symbols))

    def _named_bots(self) -> dict[str, Sequence[str]]:
        """The bots that are named, by id or by strategy."""
        rows = self.heard.get(BOTS, Heard()).rows("bot", "strategy")
        known = self._bots()
        by_id = {r["bot"]: known[r["bot"]] for r in rows if r["bot"] in self._lower}
        return by_id or {r["bot"]: known[r["bot"]] for r in rows if r["strategy"] in self._lower}

    def _named_symbols(self) -> list[str]:
        """Those of the question; where it names none, those of the message that it is about."""
        return self._symbols_in(self._lower) or self._symbols_in(self.about.lower())

    def _symbols_in(self, text: str) -> list[str]:
        words = set(re.findall(r"[a-z0-9]+", text))
        words |= {COINS[word].lower() for word in words & COINS.keys()}
        known = self._symbols()
        return [s for s in known if words & {s.lower(), s.lower().removesuffix("usdt")}]

    def _matter(self) -> Matter:
        bots = self._named_bots() or self._bots()
        named = self._named_symbols()
        about = {
            bot: [symbol for symbol in symbols if not named or symbol in named]
            for bot, symbols in bots.items()
        }
        return Matter({bot: symbols for bot, symbols in about.items() if symbols}, self._span())

    def _span(self) -> Span:
        now = self.heard.get(STATUS, Heard()).fields.get("market_time", "")[:10]
        if not now or now == NOTHING:
            return Span("lately")
        if TODAY.search(self._lower):
            return Span(f"today ({now})", now, now)
        if YESTERDAY.search(self._lower):
            day = (date.fromisoformat(now) - timedelta(days=1)).isoformat()
            return Span(f"yesterday ({day})", day, day)
        is_now = IS_NOW.search(self._lower) and not WAS.search(self._lower)
        return NOW if is_now else Span("lately")

    # -- what to say ---------------------------------------------------------------------

    def words(self) -> str:
        if draft := self._draft():
            return self._drafted(draft)
        if self._asks_why and (matter := self._matter()).bots:
            return explained(matter, self.heard)
        lines = self._topic_lines()
        if not lines:
            return CAN.format(bot=next(iter(self._bots()), "the bot"))
        return "\n".join(self._told(line) for line in lines)

    def _drafted(self, line: str) -> str:
        if refusal := self.drafted.get(line):
            return f"I can't draft that: {refusal}"
        return "I have no hands, but you have: this is the command for it."

    def _told(self, line: str) -> str:
        if line in self.refused:
            return f"{line}: {self.refused[line]}"
        found = self.heard.get(line, Heard())
        # Its conclusions say what its tables show.
        said = Heard(found.sentences) if line.startswith(WHY_LINE) else found
        return f"{line}: {_digest(said)}"


def _calls(name: str, lines: Sequence[str]) -> tuple[FunctionCall, ...]:
    return tuple(
        FunctionCall(name, {"line": line}, f"{name}-{number}") for number, line in enumerate(lines)
    )


def _period_line(question: str) -> str:
    if TODAY.search(question):
        return "/daily count=1"
    if YESTERDAY.search(question):
        return "/daily count=2"
    if WEEK.search(question):
        return "/weekly count=1"
    return "/monthly count=1" if MONTH.search(question) else "/pnl"


def _digest(found: Heard) -> str:
    """What an answer says, shorter: its sentences, its fields, the first rows of its tables."""
    # What stands in brackets is said of the answer, not in it.
    parts = [each for each in found.sentences if not each.startswith("(")][:SENTENCES_SHOWN]
    if found.fields:
        parts = [*parts, _pairs(found.fields)]
    for title, rows in found.tables.items():
        more = f"\n- and {len(rows) - ROWS_SHOWN} more" if len(rows) > ROWS_SHOWN else ""
        listed = "".join(f"\n- {_pairs(row)}" for row in rows[:ROWS_SHOWN])
        parts = [*parts, f"{title}:{listed}{more}"]
    return "\n".join(parts) or "nothing."


def _pairs(values: Mapping[str, str]) -> str:
    shown = [(name, value) for name, value in values.items() if value != NOTHING]
    pairs = ((name.removesuffix("_pct").replace("_", " "), value) for name, value in shown)
    return ", ".join(f"{name} {value}" for name, value in islice(pairs, CELLS_SHOWN))
