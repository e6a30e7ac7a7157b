"""A prompt with completion and history, and what counts as a command in what is typed."""

import asyncio
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from bot.door import Answered, Completion, Hello, Welcome
from handlers import COMMANDS
from handlers.command import find

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.formatted_text import StyleAndTextTuples
    from prompt_toolkit.history import History

# Commands typed while an earlier one is still being answered.
TYPED_AHEAD_MAX = 100
HISTORY_MODE = 0o600

LEAVING = ("quit", "exit")
# Where one command ends and the next begins on the same line.
BETWEEN_COMMANDS = re.compile(r"\s+(?=/[A-Za-z])")
PROMPT_STYLES = {"live": "ansired bold"}
PROMPT_STYLE = "ansigreen bold"


class Link(Protocol):
    """A connection to a desk."""

    async def greet(self, hello: Hello) -> Welcome: ...

    async def ask(self, line: str) -> Answered: ...

    def let_go(self) -> None: ...


def commands(text: str) -> list[str]:
    """The commands in what was typed: `/wait /status` is two, a line after `#` is none.

    `/preview /halt` is one: what takes a command takes all that follows.
    """
    lines = (line.strip() for line in text.splitlines())
    said = (line for line in lines if line and not line.startswith("#"))
    return [command for line in said for command in _split(line)]


def _split(line: str) -> list[str]:
    first, *rest = BETWEEN_COMMANDS.split(line, maxsplit=1)
    return [first, *_split(rest[0])] if rest and not _takes_command(first) else [line]


def _takes_command(said: str) -> bool:
    found = find(COMMANDS, said.removeprefix("/").split())
    return found is not None and any(
        argument.name == "command" and argument.type.rest for argument in found[0].arguments
    )


def leaves(command: str) -> bool:
    return command.removeprefix("/").lower() in LEAVING


class Terminal:
    """A prompt with completion and history; answers and notices appear above it.

    The prompt is there all the time: what is typed while a command is being answered waits for
    its turn. Ctrl-C clears the line; on an empty one it stops waiting for the answer.
    """

    def __init__(self, stdout: TextIO, hello: Callable[[], Hello], history: Path) -> None:
        self._stdout = stdout
        self._hello = hello
        self._history = history
        self._typed: asyncio.Queue[str] = asyncio.Queue(TYPED_AHEAD_MAX)
        self._answering = ""
        self._welcome = Welcome("", "", "", {}, "", [])

    async def run(self, link: Link) -> None:
        """Converse until the person leaves; what was typed before that is still answered."""
        from prompt_toolkit.patch_stdout import patch_stdout

        newcomer = not self._history.exists()
        self._welcome = await link.greet(replace(self._hello(), newcomer=newcomer))
        if self._welcome.greeting:
            notes = [f"Note: {remark}" for remark in self._welcome.remarks]
            await self.show("\n".join([self._welcome.greeting.rstrip(), *notes]))
        session = self._session()
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self._answer(link), name="answers in turn")
            with patch_stdout(raw=True):
                await self._prompt(link, session)
                await self._typed.join()
            answering.cancel()

    async def show(self, text: str) -> None:
        """Print above the line that is being typed."""
        from prompt_toolkit.application import run_in_terminal

        def write() -> None:
            self._stdout.write(f"{text.rstrip()}\n\n")
            self._stdout.flush()

        await run_in_terminal(write)

    async def _prompt(self, link: Link, session: "PromptSession[str]") -> None:
        while True:
            try:
                typed = await session.prompt_async(self._message, bottom_toolbar=self._toolbar)
            except KeyboardInterrupt:
                if not session.default_buffer.text:
                    link.let_go()
                continue
            except EOFError:
                # Whoever leaves waits no longer; the desk finishes what it was asked.
                link.let_go()
                return
            for command in commands(typed):
                if leaves(command):
                    return
                await self._typed.put(command)
            # The window may have another size by now, and the desk other bots.
            self._welcome = await link.greet(self._hello())

    async def _answer(self, link: Link) -> None:
        while True:
            self._answering = await self._typed.get()
            _, output = await link.ask(self._answering)
            self._answering = ""
            await self.show(output)
            self._typed.task_done()

    def _session(self) -> "PromptSession[str]":
        from prompt_toolkit import PromptSession
        from prompt_toolkit.auto_suggest import AutoSuggestFromHistory

        return PromptSession(
            completer=_completer(lambda: self._welcome.completions),
            history=_open_history(self._history),
            auto_suggest=AutoSuggestFromHistory(),
        )

    def _message(self) -> "StyleAndTextTuples":
        mode = self._welcome.mode
        return [(PROMPT_STYLES.get(mode, PROMPT_STYLE), f"{mode}> ")]

    def _toolbar(self) -> str:
        waiting = f"   waiting for {self._answering}, Ctrl-C lets go" if self._answering else ""
        return f" {self._welcome.badge}{waiting}"


def _open_history(path: Path) -> "History":
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, HISTORY_MODE))
        path.chmod(HISTORY_MODE)
    except OSError:
        return InMemoryHistory()  # somebody else's file or a full disk: no reason not to talk
    return FileHistory(str(path))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something that may stand in place of the last `replaces` characters typed."""

    text: str
    replaces: int
    summary: str = ""


def suggestions(text: str, offered: Mapping[str, Completion]) -> list[Suggestion]:
    """What `text` may go on to say: commands first, then values of the argument begun."""
    typed = BETWEEN_COMMANDS.split(text)[-1].lstrip()
    said = typed.removeprefix("/")
    found = [
        Suggestion(f"/{name}", len(typed), offered[name].summary)
        for name in _matching(said, offered)
    ]
    begun = [name for name in offered if said.lower().startswith(f"{name} ")]
    if begun:
        name = max(begun, key=len)
        *before, last = said[len(name) + 1 :].split(" ")
        position = len([word for word in before if word])
        for choices in offered[name].arguments[position : position + 1]:
            found += [Suggestion(choice, len(last)) for choice in _matching(last, choices)]
    return found


def _matching(part: str, options: Iterable[str]) -> list[str]:
    """The options that begin with `part`, then those that have its letters in that order."""
    wanted = part.lower()
    rest = [option for option in options if option.lower() != wanted]
    first = [option for option in rest if option.lower().startswith(wanted)]
    return first + [o for o in rest if o not in first and _has_letters(o.lower(), wanted)]


def _has_letters(option: str, letters: str) -> bool:
    remaining = iter(option)
    return all(letter in remaining for letter in letters)


def _completer(offered: Callable[[], Mapping[str, Completion]]) -> "Completer":
    from prompt_toolkit.completion import CompleteEvent, Completer, Completion
    from prompt_toolkit.document import Document

    class Commands(Completer):
        def get_completions(
            self, document: Document, complete_event: CompleteEvent
        ) -> Iterator[Completion]:
            for found in suggestions(document.text_before_cursor, offered()):
                yield Completion(found.text, -found.replaces, display_meta=found.summary)

    return Commands()
