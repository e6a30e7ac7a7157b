"""One value in a small file of JSON: read at a start, written whole when it changes."""

from pathlib import Path
from typing import Generic, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

T = TypeVar("T")

log = structlog.get_logger()


class Kept(Generic[T]):
    """The value of a file, whose folder is made when there is something to keep.

    What can't be read or written is logged: the desk goes on with what it knows.
    """

    def __init__(self, path: Path, kind: TypeAdapter[T]) -> None:
        self._path = path
        self._kind = kind

    def read(self) -> T | None:
        """The value as it was kept last; None where there is none, or a damaged one."""
        try:
            return self._kind.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.error("a kept file is not used", path=str(self._path), error=str(error))
            return None

    def write(self, value: T) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = self._path.with_suffix(".part")
            unfinished.write_bytes(self._kind.dump_json(value))
            unfinished.replace(self._path)
        except OSError as error:
            log.error("a file can't be kept", path=str(self._path), error=str(error))
