"""The emergency stop's latch as a file of DATA_DIR: it outlives processes, and needs no database.

Anybody who may write there can set it, with an empty file too: that stops entries.
"""

import os
from contextlib import suppress
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from engine.killing import Latch, Scope

LATCH_NAME = "KILLED"
MODE = 0o600
# The last moment that a calendar knows: 9999-12-31, UTC ms.
TS_MAX = 253_402_300_799_999

_LATCH = TypeAdapter(Latch)


class LatchFile:
    """The file KILLED. It may be read from any thread."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LATCH_NAME

    def read(self) -> Latch | None:
        """The latch; one without a name where the file says nothing, or can't be read."""
        try:
            text = self.path.read_text(encoding="utf-8")
            changed_at = int(self.path.stat().st_mtime * 1000)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError):
            return Latch(Scope.STOP, "", 0)
        try:
            latch = _LATCH.validate_json(text)
        except ValidationError:
            return Latch(Scope.STOP, "", changed_at)
        return latch if 0 <= latch.ts <= TS_MAX else Latch(Scope.STOP, "", changed_at)

    def write(self, latch: Latch) -> None:
        """Keep the latch, so that it is there after a power cut; raises OSError.

        Where a disk is full there often is room for a name: an empty file stops entries, too.
        """
        beside = self.path.with_name(f"{LATCH_NAME}.new")
        try:
            _write(beside, _LATCH.dump_json(latch))
            beside.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            with suppress(OSError):
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, MODE))
                _sync_folder(self.path.parent)
            raise

    def remove(self) -> None:
        """Take the latch away, for good; raises OSError."""
        self.path.unlink(missing_ok=True)
        _sync_folder(self.path.parent)

    def check(self) -> None:
        """Raise OSError where the latch could not be written now; leaves nothing behind."""
        probe = self.path.with_name(f"{LATCH_NAME}.probe")
        try:
            _write(probe, _LATCH.dump_json(Latch(Scope.STOP, "", 0)))
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def _write(path: Path, body: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A name is in its folder for good only once the folder is written."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
