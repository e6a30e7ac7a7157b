"""Where log lines go: the terminal for `run`, a file beside the data for a console."""

import logging
from pathlib import Path
from typing import Any

import structlog


def log_to_terminal(level: str) -> None:
    """Key-value lines on standard output, as containers and systemd expect them."""
    _configure(level, structlog.PrintLoggerFactory())


def log_to_file(path: Path, level: str) -> None:
    """Lines appended to `path`, so that they never meet what a person is typing."""
    _configure(level, structlog.WriteLoggerFactory(file=path.open("a", encoding="utf-8")))


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
