"""Fixtures for every test."""

from pathlib import Path

import pytest
import structlog
from structlog.dev import ConsoleRenderer, plain_traceback


def pytest_configure() -> None:
    """Have tracebacks logged plainly: drawn with the value of each name, one takes seconds."""
    *processors, _ = structlog.get_config()["processors"]
    plain = ConsoleRenderer(exception_formatter=plain_traceback)
    structlog.configure(processors=[*processors, plain])


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of recorded data beside the project, where there is one."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the recorded data (../shared) is not here")
    return folder
