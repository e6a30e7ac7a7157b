"""Commands as data: a handler's signature is its arguments, its docstring its help."""

import inspect
import re
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints

from engine.candle import TIMEFRAMES
from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.instruction import Instruction
from engine.mail import Address, ChatKind, Sealed
from engine.people import Asker, Role
from engine.people import Principal as Principal
from engine.people import PrincipalKind as PrincipalKind
from engine.proposal import Proposal, Way
from handlers.reply import Reply

# What stands in audit and logs where a code was typed.
HIDDEN = "***"
# A code, which an account in a phrase is not; what may be one with a slip of the finger; and one
# where no number is asked for, which no part of an account or a chat's name is.
CODES = re.compile(r"\b(?:\d{6}|\d{3}[ .-]\d{3})\b")
NEAR_CODES = re.compile(r"\d{6,}|\b\d{3}[ .-]\d{3}\b")
STRAY_CODES = re.compile(r"(?<![\w:.,-])(?:\d{6}|\d{3}[ .-]\d{3})(?!\w)")


# What somebody in a hurry types instead of a command's name, or from the habit of freqtrade; it
# may stand for a command with its first argument.
ALIASES = {
    "halt!": "halt",
    "stop": "halt",
    "panic": "halt",
    "kill!": "kill",
    "killswitch": "kill",
    "stopentry": "halt",
    "stopbuy": "halt",
    "forceexit": "close",
    "fx": "close",
    "coo": "cancel",
    "cancel_open_order": "cancel",
    "forcelong": "buy",
    "forceshort": "sell",
    "balance": "portfolio",
    "count": "positions",
    "profit": "pnl",
    "stats": "exits",
    "entries": "performance by=entry",
    "mix_tags": "performance by=mixed",
}

# The commands about what a model says.
OF_MODELS = "model"

# What the first word of some commands means where nothing follows it.
ALONE = {"tune": "tune show"}


class Kind(StrEnum):
    """What a command does: look, change something, or what waits for a human first.

    SENSITIVE waits for a press (a YELLOW proposal), CRITICAL for a typed phrase (a RED one).
    """

    READ = "read"
    WRITE = "write"
    SENSITIVE = "sensitive"
    CRITICAL = "critical"


class Seal(Protocol):
    """Makes the letter that is stored with an effect.

    `make` makes the answer; with a `card`, the answer is the card of that proposal instead, as it
    stands when it is sent.
    """

    def __call__(self, make: Callable[[], Reply], card: int = 0) -> Sealed: ...


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, where, and of which desk. `surface` names the door: `console`, `telegram`, ...

    `address` is the chat in which they ask, None at the console, `place` the Discord server that
    it belongs to. `seal` makes the letter that is stored with the effect of a command; where there
    is none, the answer just goes back. `way` is how it was said, `digest` what a pressed card was
    bound to, `sender` what the account calls itself, which is never believed. `about` is the
    message of the desk that it replies to, as text, or empty.
    """

    principal: Principal
    surface: str
    desk: Desk
    commands: "tuple[Command, ...]"
    address: Address | None = None
    chat_kind: ChatKind | None = None
    seal: Seal | None = None
    place: str = ""
    way: Way = Way.TYPED
    digest: str = ""
    sender: str = ""
    about: str = ""

    @property
    def badge(self) -> str | None:
        """Mode and market; somebody who may not use the desk is not told what it trades."""
        return self.desk.badge if self.principal.role > Role.NOBODY else None

    @property
    def asker(self) -> Asker:
        return Asker(self.principal, self.surface, self.address, self.place)

    @property
    def actor(self) -> str:
        """Who this is in the audit: the door and the id, and the name where there is one."""
        return self.asker.actor


@dataclass(frozen=True, slots=True)
class ArgumentType:
    """A kind of argument: how words become a value, and what values there are.

    `parse` raises BadInput naming the field, the value and what is allowed; `choices` lists the
    values for completion, where they can be listed; `words` are all there are, where they are the
    same on every desk; `bounds` the least and greatest whole number. One that is `rest` takes all
    words that are left, as the last argument of a command; `span` says how many of the words
    typed from there on are one value. What is `secret` is kept in no audit and no log; what is
    `numeric` may be six digits that are no code. What is `changing` has choices that come and go
    while the desk runs; those of one that is `for_admins` are offered to nobody else. `missing`
    asks for one that was left out; `unsaid` is what that means, where the default does not tell it.
    """

    name: str
    parse: Callable[[str, str, Desk], Any]
    choices: Callable[[Desk], Sequence[str]]
    rest: bool = False
    words: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    span: Callable[[Sequence[str]], int] = lambda words: 1
    secret: bool = False
    changing: bool = False
    for_admins: bool = False
    numeric: bool = False
    missing: Callable[[Desk], str] | None = None
    unsaid: str = ""

    def allowed(self, desk: Desk) -> str:
        """What may be typed, in words."""
        return ", ".join(self.choices(desk)) or self.name


def _parse_symbol(field: str, word: str, desk: Desk) -> str:
    wanted = word.upper().removesuffix("/USDT").removesuffix("-USDT")
    for symbol in desk.symbols:
        if wanted in (symbol, symbol.removesuffix("USDT")):
            return symbol
    raise BadInput(field, word, ", ".join(desk.symbols))


def _parse_bot(field: str, word: str, desk: Desk) -> str:
    if word.lower() in desk.bot_ids:
        return word.lower()
    raise BadInput(field, word, ", ".join(desk.bot_ids))


def _parse_timeframe(field: str, word: str, desk: Desk) -> str:
    offered = timeframes(desk)
    if word.lower() in offered:
        return word.lower()
    raise BadInput(field, word, ", ".join(offered))


def timeframes(desk: Desk) -> list[str]:
    """The timeframes that can be built of the market's own candles."""
    return [name for name, ms in TIMEFRAMES.items() if ms % desk.market.interval == 0]


SYMBOL = ArgumentType("symbol", _parse_symbol, lambda desk: list(desk.symbols))
BOT = ArgumentType("bot", _parse_bot, lambda desk: desk.bot_ids, changing=True)
TIMEFRAME = ArgumentType("timeframe", _parse_timeframe, timeframes)

Symbol = Annotated[str, SYMBOL]
BotId = Annotated[str, BOT]
Timeframe = Annotated[str, TIMEFRAME]


def whole(least: int, most: int) -> ArgumentType:
    """A whole number from `least` to `most`."""

    def parse(field: str, word: str, desk: Desk) -> int:
        allowed = f"a whole number from {least} to {most}"
        try:
            number = int(word)
        except ValueError:
            raise BadInput(field, word, allowed) from None
        if not least <= number <= most:
            raise BadInput(field, word, allowed)
        return number

    name = f"a whole number from {least} to {most}"
    return ArgumentType(name, parse, lambda desk: [], bounds=(least, most), numeric=True)


def one_of(*words: str) -> ArgumentType:
    """One of a few words."""

    def parse(field: str, word: str, desk: Desk) -> str:
        if word.lower() in words:
            return word.lower()
        raise BadInput(field, word, ", ".join(words))

    return ArgumentType("a word", parse, lambda desk: words, words=words)


def _parse_text(field: str, word: str, desk: Desk) -> str:
    return word


TEXT = ArgumentType("text", _parse_text, lambda desk: [])
WORDS = ArgumentType("text", _parse_text, lambda desk: [], rest=True)

Words = Annotated[str, WORDS]


@dataclass(frozen=True, slots=True)
class Argument:
    name: str
    type: ArgumentType
    required: bool
    default: Any = None


@dataclass(frozen=True, slots=True)
class Act:
    """What a command asks of the core, and how its sentence about the outcome is answered.

    What waits for a human is answered with its card, or as `proposed` says; what took effect, in a
    chat, with the card of the proposal `card`, if one is named. None of these may fail or wait:
    the answer is stored in one transaction with the effect.
    """

    instruction: Instruction
    say: Callable[[str], Reply]
    proposed: Callable[[Proposal], Reply] | None = None
    card: int = 0


Handler = Callable[..., Awaitable[Reply | Act]]


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be said. `name` may be two words, as in `bot pause`.

    One that is `always` taken acts however late it arrives: it reduces risk. Where it is `alone`,
    that is so without arguments. One that is an `emergency` waits for nothing: no database, no
    pace and no other command. One that only looks and yet `starts` something, as a search, a
    question to a model or another command, is not for models.
    """

    name: str
    summary: str
    help: str
    role: Role
    kind: Kind
    arguments: tuple[Argument, ...]
    handler: Handler
    group: str = ""
    always: bool = False
    alone: bool = False
    emergency: bool = False
    starts: bool = False

    @property
    def is_for_models(self) -> bool:
        """Whether a model may say it, for somebody who may."""
        return self.kind is Kind.READ and not self.starts

    @property
    def asks_model(self) -> bool:
        """Whether it has a model think, which costs money."""
        return self.starts and self.group == OF_MODELS

    def is_always(self, has_arguments: bool) -> bool:
        """Whether it acts at any time, said with arguments or without."""
        return self.always and not (self.alone and has_arguments)

    @property
    def holds_secrets(self) -> bool:
        """Whether what is typed with it may be kept nowhere."""
        return any(argument.type.secret for argument in self.arguments)

    @property
    def usage(self) -> str:
        """How it is typed: `/chart [symbol] [timeframe]`."""
        words = [f"<{a.name}>" if a.required else f"[{a.name}]" for a in self.arguments]
        return " ".join([f"/{self.name}", *words])


def command(
    name: str,
    *,
    role: Role = Role.VIEWER,
    kind: Kind = Kind.READ,
    always: bool = False,
    alone: bool = False,
    emergency: bool = False,
    starts: bool = False,
) -> Callable[[Handler], Command]:
    """Make a Command of a handler; `registry` collects it from its module."""

    def make(handler: Handler) -> Command:
        text = inspect.cleandoc(handler.__doc__ or "")
        return Command(
            name=name,
            summary=text.splitlines()[0].rstrip("."),
            help=text,
            role=role,
            kind=kind,
            arguments=_arguments(handler),
            handler=handler,
            group=handler.__module__.rpartition(".")[2],
            always=always,
            alone=alone,
            emergency=emergency,
            starts=starts,
        )

    return make


def _arguments(handler: Handler) -> tuple[Argument, ...]:
    hints = get_type_hints(handler, include_extras=True)
    parameters = list(inspect.signature(handler).parameters.values())[1:]
    return tuple(
        Argument(
            name=parameter.name,
            type=_argument_type(hints[parameter.name]),
            required=parameter.default is inspect.Parameter.empty,
            default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters
    )


def _argument_type(hint: Any) -> ArgumentType:
    for option in (hint, *get_args(hint)):
        if get_origin(option) is Annotated:
            return next(m for m in get_args(option) if isinstance(m, ArgumentType))
    return TEXT


def registry(*modules: ModuleType) -> tuple[Command, ...]:
    """All commands of `modules`, in the order they stand there."""
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, Command)
    )


def find(commands: Sequence[Command], words: Sequence[str]) -> tuple[Command, list[str]] | None:
    """The command that `words` begin with, longest name first, and the words left over."""
    if words and (meant := ALIASES.get(words[0].lower())):
        words = [*meant.split(), *words[1:]]
    if len(words) == 1:
        words = ALONE.get(words[0].lower(), words[0]).split()
    for length in (2, 1):
        name = " ".join(word.lower() for word in words[:length])
        for candidate in commands:
            if candidate.name == name:
                return candidate, list(words[length:])
    return None


def kept(commands: Sequence[Command], line: str) -> str:
    """A typed line as audit and logs may keep it: of one that may hold a code, the command."""
    words = line.strip().removeprefix("/").split()
    found = find(commands, words) if words else None
    if found is None:
        return NEAR_CODES.sub(HIDDEN, line)
    target, rest = found
    if target.holds_secrets:
        return f"/{target.name} {HIDDEN}" if rest else line
    if any(argument.type.numeric for argument in target.arguments):
        return line
    place = _begins_within(commands, target, line)
    return STRAY_CODES.sub(HIDDEN, line[:place]) + (kept(commands, line[place:]) if rest else "")


def _begins_within(commands: Sequence[Command], target: Command, line: str) -> int:
    """Where the command begins that a line is about, as in `/preview buy BTC 100`; its end where
    there is none."""
    if not any(argument.type.rest for argument in target.arguments):
        return len(line)
    words = list(re.finditer(r"\S+", line))[len(target.name.split()) :]
    for word in words:
        place = word.start() + word[0].rfind("=") + 1
        if find(commands, line[place:].removeprefix("/").split()):
            return place
    return len(line)


def said(commands: Sequence[Command], target: Command, arguments: Mapping[str, Any]) -> str:
    """A command with its arguments, on one line, as audit and logs may keep it."""
    types = {argument.name: argument.type for argument in target.arguments}
    words = [f"/{target.name}"]
    for name, value in arguments.items():
        if types[name].secret:
            value = HIDDEN
        elif types[name].rest:
            value = kept(commands, str(value))
        words.append(f"{name}={value}")
    return " ".join(words)


def parse(target: Command, words: Sequence[str], desk: Desk) -> dict[str, Any]:
    """The arguments of `target` out of words, in order or as `name=value`; raises Refused."""
    values: dict[str, Any] = {}
    place = 0
    while place < len(words):
        argument, word, taken = _argument_for(target, values, words[place:], desk)
        values[argument.name] = argument.type.parse(argument.name, word, desk)
        place += taken
    return _complete(target, values, desk)


def parse_named(target: Command, texts: Mapping[str, str], desk: Desk) -> dict[str, Any]:
    """The arguments of `target` out of texts by name, as forms give them; raises Refused.

    What was left blank is not given.
    """
    types = {argument.name: argument.type for argument in target.arguments}
    for name in texts:
        if name not in types:
            raise BadInput("argument", name, f"one of the names in {target.usage}")
    values = {
        name: types[name].parse(name, text, desk) for name, text in texts.items() if text.strip()
    }
    return _complete(target, values, desk)


def _complete(target: Command, values: dict[str, Any], desk: Desk) -> dict[str, Any]:
    for argument in target.arguments:
        if argument.required and argument.name not in values:
            if argument.type.missing is not None:
                raise Refused(argument.type.missing(desk))
            allowed = argument.type.allowed(desk)
            raise Refused(f"{argument.name} is missing: {allowed}. Usage: {target.usage}")
    return values


def _argument_for(
    target: Command, given: Container[str], words: Sequence[str], desk: Desk
) -> tuple[Argument, str, int]:
    """Which argument the first of `words` is meant for, its value, and the words it takes.

    What may be left out is passed over for a later argument that the word does fit, so that
    `/chart 1h` means the timeframe.
    """
    name, equals, text = words[0].partition("=")
    for argument in target.arguments:
        if equals and argument.name == name:
            if name in given:
                raise BadInput(name, text, f"one value. Usage: {target.usage}")
            return argument, *_value(argument, [text, *words[1:]])
    open_ = [argument for argument in target.arguments if argument.name not in given]
    for argument in open_:
        value, taken = _value(argument, words)
        if argument.required or _fits(argument, value, desk):
            return argument, value, taken
    if open_:
        return open_[0], *_value(open_[0], words)
    raise BadInput("argument", words[0], f"nothing more. Usage: {target.usage}")


def _value(argument: Argument, words: Sequence[str]) -> tuple[str, int]:
    """The words that make one value of an argument, together, and how many they are."""
    count = len(words) if argument.type.rest else argument.type.span(words)
    return " ".join(words[:count]), count


def _fits(argument: Argument, word: str, desk: Desk) -> bool:
    try:
        argument.type.parse(argument.name, word, desk)
    except Refused:
        return False
    return True
