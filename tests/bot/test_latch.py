"""The latch's file: it outlives the process, and what can't be understood stops entries."""

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.latch import LATCH_NAME, LatchFile
from engine.killing import Latch, Scope

LATCH = Latch(Scope.FLATTEN, "ann", 1_735_689_600_000)


@pytest.fixture
def file(tmp_path: Path) -> LatchFile:
    return LatchFile(tmp_path)


def test_there_is_none_until_it_is_set(file: LatchFile, tmp_path: Path) -> None:
    assert file.read() is None
    assert LatchFile(tmp_path / "nowhere").read() is None
    (tmp_path / "a file").touch()
    assert LatchFile(tmp_path / "a file" / "below").read() is None


def test_what_is_written_is_read(file: LatchFile, tmp_path: Path) -> None:
    file.write(LATCH)
    assert LatchFile(tmp_path).read() == LATCH
    file.write(replace(LATCH, done_at=5))
    assert file.read() == replace(LATCH, done_at=5)
    assert [path.name for path in tmp_path.iterdir()] == [LATCH_NAME]
    assert file.path.stat().st_mode & 0o077 == 0


def test_what_is_removed_is_gone(file: LatchFile) -> None:
    file.write(LATCH)
    file.remove()
    file.remove()
    assert file.read() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"flatten",
        b'{"scope": "flatten"}',
        b'{"scope": "x", "by": "y", "ts": 1}',
        b"\xff",
    ],
)
def test_a_file_that_says_nothing_stops_entries(file: LatchFile, content: bytes) -> None:
    file.path.write_bytes(content)
    found = file.read()
    assert found is not None
    assert (found.scope, found.by, found.is_done) == (Scope.STOP, "", True)


def test_a_file_that_cannot_be_read_stops_entries(file: LatchFile) -> None:
    file.path.mkdir()
    found = file.read()
    assert found is not None
    assert found.scope is Scope.STOP


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A disk that has room for names, and for nothing else."""

    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size and not os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("bot.latch.os.fsync", fsync)
        yield


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_the_name_alone_is_kept(file: LatchFile) -> None:
    with pytest.raises(OSError, match="No space left"):
        file.write(LATCH)
    assert [path.name for path in file.path.parent.iterdir()] == [LATCH_NAME]
    found = file.read()
    assert found is not None
    assert (found.scope, found.by) == (Scope.STOP, "")


@pytest.mark.usefixtures("full_disk")
def test_on_a_full_disk_a_latch_that_stands_is_kept(
    file: LatchFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as mended:
        mended.setattr("bot.latch.os.fsync", lambda descriptor: None)
        file.write(LATCH)
    with pytest.raises(OSError, match="No space left"):
        file.write(replace(LATCH, done_at=5))
    assert file.read() == LATCH


def test_looking_whether_it_could_be_set_leaves_nothing(file: LatchFile, tmp_path: Path) -> None:
    file.check()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        LatchFile(tmp_path / "nowhere").check()
