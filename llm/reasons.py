"""Why bots traded or did not, put together from what /status, /why, /signals and /risk say."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm.heard import NOTHING, Heard, Row

STATUS, BOTS = "/status", "/bot list"
# What one answer has room for.
SYMBOLS_MAX = 4
REFUSALS_SHOWN = 3
# As long as /signals lists.
SIGNALS = 50
OPENS = "open "
NOT_EXECUTED = "not executed"


@dataclass(frozen=True, slots=True)
class Span:
    """The days that are asked about, as dates: none for as far back as signals are listed."""

    words: str
    since: str = ""
    until: str = "9999"

    def has(self, time: str) -> bool:
        return self.since <= time[:10] <= self.until


# As things are: signals of before are no part of it.
NOW = Span("now")


@dataclass(frozen=True, slots=True)
class Matter:
    """What a question is about: bots with the symbols of each, and the days."""

    bots: Mapping[str, Sequence[str]]
    span: Span

    @property
    def symbols(self) -> list[str]:
        found = dict.fromkeys(symbol for symbols in self.bots.values() for symbol in symbols)
        return list(found)[:SYMBOLS_MAX]

    def lines(self) -> list[str]:
        """What has to be read for it."""
        why = [f"/why symbol={symbol}" for symbol in self.symbols]
        if self.span is NOW:
            return [*why, "/risk"]
        signals = [f"/signals symbol={symbol} count={SIGNALS}" for symbol in self.symbols]
        return [*why, *signals, "/risk"]


def explained(matter: Matter, heard: Mapping[str, Heard]) -> str:
    """The answer, a line for each bot and symbol, and before them what shuts everything."""
    told = [
        _of_symbol(matter, bot, symbol, heard)
        for bot, symbols in matter.bots.items()
        for symbol in symbols
        if symbol in matter.symbols
    ]
    is_all = len(told) == sum(map(len, matter.bots.values()))
    more = [] if is_all else ["Ask about one symbol to hear of the others."]
    shut = _shut(matter, heard)
    if matter.span is NOW:
        halted = heard.get(STATUS, Heard()).fields.get("halted")
        told = [each for each in told if not halted or f"halted: {halted}" not in each]
        return "\n".join([*shut, *told, *more])
    return "\n".join([*shut, _verdict(matter, heard), *told, *more])


def _shut(matter: Matter, heard: Mapping[str, Heard]) -> list[str]:
    """What keeps entries shut whatever a strategy wants."""
    halted = heard.get(STATUS, Heard()).fields.get("halted")
    said = [f"The desk is halted: {halted}."] if halted else []
    said += [
        f"{row['bot']} is {row['status']}."
        for row in heard.get(BOTS, Heard()).rows("bot", "status")
        if row["bot"] in matter.bots and row["status"] != "active"
    ]
    for sentence in heard.get("/risk", Heard()).sentences:
        bot, _, rest = sentence.partition(": ")
        if bot in matter.bots and rest and rest != "entries are open." and not halted:
            said.append(sentence)
    return said


def _verdict(matter: Matter, heard: Mapping[str, Heard]) -> str:
    """Whether anything was opened in the time that is asked about."""
    who = " and ".join(matter.bots)
    entries = [
        row
        for bot in matter.bots
        for symbol in matter.symbols
        for row in _entries(matter, bot, symbol, heard)
    ]
    opened = [row for row in entries if row["outcome"] != NOT_EXECUTED]
    if not entries:
        return f"{who} gave no signal to open anything {matter.span.words}."
    signals = _count(len(entries), "entry signal")
    if not opened:
        return f"{who} gave {signals} {matter.span.words}, and none was executed."
    return f"{who} did trade {matter.span.words}: {len(opened)} of {signals} opened a position."


def _of_symbol(matter: Matter, bot: str, symbol: str, heard: Mapping[str, Heard]) -> str:
    parts = [f"{symbol}:" if len(matter.bots) == 1 else f"{bot} on {symbol}:"]
    if matter.span is NOW:
        return " ".join([*parts, _now(bot, symbol, heard) or "no bar was seen yet."])
    entries = _entries(matter, bot, symbol, heard)
    opened = [row for row in entries if row["outcome"] != NOT_EXECUTED]
    refused = [row for row in entries if row["outcome"] == NOT_EXECUTED]
    if opened:
        last = opened[0]
        signal = last["signal"].removeprefix(OPENS)
        parts.append(f"last entry {signal} at {last['time']}, {last['outcome']}.")
    if refused:
        parts.append(_refusals(refused))
    if not entries:
        parts.append(_before(bot, symbol, heard))
    parts.append(_now(bot, symbol, heard))
    return " ".join(filter(None, parts))


def _entries(matter: Matter, bot: str, symbol: str, heard: Mapping[str, Heard]) -> list[Row]:
    """The signals to open something in the days that are asked about, newest first."""
    return [row for row in _signals(bot, symbol, heard) if matter.span.has(row["time"])]


def _signals(bot: str, symbol: str, heard: Mapping[str, Heard]) -> list[Row]:
    found = heard.get(f"/signals symbol={symbol} count={SIGNALS}", Heard())
    return [
        row
        for row in found.rows("time", "signal", "outcome", "because", "bot")
        if row["signal"].startswith(OPENS) and row["bot"] in (bot, NOTHING)
    ]


def _refusals(refused: Sequence[Row]) -> str:
    """Which gates stopped signals, how often, and what the last of each said."""
    gates = Counter(_gate(row) for row in refused)
    last = {_gate(row): row for row in reversed(refused)}
    said = [
        f"{gate} {'once' if count == 1 else f'{count} times'} (last {last[gate]['time']}: "
        f"{last[gate]['because'].partition(': ')[2]})"
        for gate, count in gates.most_common(REFUSALS_SHOWN)
    ]
    return f"{_count(len(refused), 'entry signal')} stopped by {', '.join(said)}."


def _gate(row: Row) -> str:
    return row["because"].partition(": ")[0]


def _before(bot: str, symbol: str, heard: Mapping[str, Heard]) -> str:
    """The last signal there was, where there was none in the days asked about."""
    signals = _signals(bot, symbol, heard)
    if not signals:
        return "no entry signal yet."
    last = signals[0]
    stopped = f", stopped by {last['because']}" if last["outcome"] == NOT_EXECUTED else ""
    return f"no entry signal then; the last was at {last['time']} ({last['outcome']}{stopped})."


def _now(bot: str, symbol: str, heard: Mapping[str, Heard]) -> str:
    """What /why concludes."""
    for sentence in heard.get(f"/why symbol={symbol}", Heard()).sentences:
        if sentence.startswith(f"{bot} on {symbol}. "):
            return sentence.partition(". ")[2]
        if sentence.startswith(f"{bot} has not seen"):
            return sentence
    return ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
