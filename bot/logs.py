"""Where log lines go: the terminal for `run`, a file beside the data for a console.

The libraries' own lines, warnings and tracebacks go the same way, and no line holds a secret.
"""

import io
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from bot.redact import Redactor

# A terminal would obey control characters, and nobody wants to be told by a stranger's text.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) != "\n"}
# What libraries say below this has tokens in it: whole events from chats, and URLs.
LIBRARIES_LEVEL_MIN = logging.INFO


def log_to_terminal(level: str, secrets: Iterable[str] = ()) -> None:
    """Key-value lines on standard output, as containers and systemd expect them.

    `secrets` are hidden in every line, and so is what looks like one.
    """
    if not os.isatty(sys.stdout.fileno()):
        # A pipe that nobody empties would hold up trading with the first line too many.
        os.set_blocking(sys.stdout.fileno(), False)
    _configure(level, _Lasting(sys.stdout.fileno()), Redactor(secrets))


def log_to_file(path: Path, level: str, secrets: Iterable[str] = ()) -> None:
    """Lines appended to `path`, so that they never meet what a person is typing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _configure(level, _Lasting(descriptor), Redactor(secrets))


def log_to_errors(level: str, secrets: Iterable[str] = ()) -> None:
    """Lines on standard error, beside what a command prints."""
    _configure(level, _Lasting(sys.stderr.fileno()), Redactor(secrets))


class _Lasting(io.TextIOWrapper):
    """A log that a full disk, or a reader who left, can't turn into the end of the desk: what
    can't be written is lost, and the desk goes on."""

    def __init__(self, descriptor: int) -> None:
        raw = io.FileIO(descriptor, "wb", closefd=False)
        # Half a surrogate pair, which a chat can send, is no UTF-8.
        super().__init__(raw, "utf-8", errors="backslashreplace", write_through=True)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _configure(level: str, file: _Lasting, redact: Redactor) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Cleaned(redact),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    _take_libraries(max(number, LIBRARIES_LEVEL_MIN))
    _redact_crashes(redact)


class _Cleaned:
    """Takes secrets and control characters out of all that a line says."""

    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        return {name: self._clean(value) for name, value in event.items()}

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._redact(str(value)).translate(CONTROLS)


# -- what others say -----------------------------------------------------------------------


class _Libraries(logging.Handler):
    """Hands the lines of the standard library's `logging` to our log."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._log = structlog.get_logger()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            said = record.getMessage()
        except (TypeError, ValueError, LookupError, AttributeError):
            # Its arguments do not fit; the default is to print them all on standard error.
            said = str(record.msg)
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        self._log.log(level, said, logger=record.name, exc_info=record.exc_info)


def _take_libraries(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_Libraries(level)]
    root.setLevel(level)
    # It announces each of its own parts.
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _redact_crashes(redact: Redactor) -> None:
    """Whatever ends a thread or the program still ends on standard error, without secrets."""

    def show(
        kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))

    sys.excepthook = show
    threading.excepthook = lambda found: show(found.exc_type, found.exc_value, found.exc_traceback)
