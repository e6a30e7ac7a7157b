"""Where log lines go: the terminal for `run`, a file beside the data for a console."""

import io
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog


def log_to_terminal(level: str) -> None:
    """Key-value lines on standard output, as containers and systemd expect them."""
    if not os.isatty(sys.stdout.fileno()):
        # A pipe that nobody empties would hold up trading with the first line too many.
        os.set_blocking(sys.stdout.fileno(), False)
    _configure(level, structlog.WriteLoggerFactory(file=_Lasting(sys.stdout.fileno())))


def log_to_file(path: Path, level: str) -> None:
    """Lines appended to `path`, so that they never meet what a person is typing."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    _configure(level, structlog.WriteLoggerFactory(file=_Lasting(descriptor)))


class _Lasting(io.TextIOWrapper):
    """A log that a full disk, or a reader who left, can't turn into the end of the desk: what
    can't be written is lost, and the desk goes on."""

    def __init__(self, descriptor: int) -> None:
        raw = io.FileIO(descriptor, "wb", closefd=False)
        super().__init__(raw, "utf-8", write_through=True)

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _configure(level: str, factory: Any) -> None:
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
