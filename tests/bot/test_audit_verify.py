"""Ends of the audit as people note them, and what the verifier needs to begin."""

from pathlib import Path

import pytest

from bot.audit_verify import parse_mark, verify_audit
from engine.audit import Mark
from engine.errors import BadInput, BadSettings

MAC = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        (f"7:{MAC}", Mark(MAC, 7)),
        (f"7:{MAC[:16]}", Mark(MAC[:16], 7)),
        (MAC, Mark(MAC)),
        (MAC[:16], Mark(MAC[:16])),
        (f"  12:{MAC.upper()}\n", Mark(MAC, 12)),
    ],
)
def test_an_end_is_read_as_it_was_posted_or_in_part(text: str, mark: Mark) -> None:
    assert parse_mark(text) == mark


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7:",
        MAC[:15],
        f"{MAC}0",
        f"0:{MAC}",
        f"-1:{MAC}",
        f"07:{MAC}",
        f"x:{MAC}",
        f"7:{MAC[:-1]}g",
        f"7: {MAC}",
        f"{'9' * 19}:{MAC}",
        f"\u0667:{MAC}",
    ],
)
def test_what_is_no_end_is_refused_by_name_value_and_what_is_allowed(text: str) -> None:
    with pytest.raises(BadInput, match=r"^--head: .* is not valid\. Allowed: SEQ:MAC") as refused:
        parse_mark(text)
    assert repr(text[:40])[:-1] in str(refused.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings with nothing in it."""
    for name in ("SECRET_KEY", "SECRET_KEY_FILE", "DATABASE_URL", "DATABASE_URL_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    return tmp_path


def with_database(folder: Path) -> Path:
    """The folder of a desk that has a database, if an empty one."""
    (folder / "data").mkdir()
    (folder / "data" / "countersign.db").touch()
    return folder


async def test_without_a_key_nothing_is_verified_and_none_is_made(folder: Path) -> None:
    with pytest.raises(BadSettings, match=r"SECRET_KEY is not set and there is no '.*secret\.key'"):
        await verify_audit(with_database(folder), None, json=False)
    assert names(folder / "data") == ["countersign.db"]


async def test_an_end_that_is_empty_is_none() -> None:
    with pytest.raises(BadInput, match=r"^--head: '' is not valid\."):
        await verify_audit(Path(), "", json=False)


async def test_without_a_database_nothing_is_verified_and_none_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a key of sixteen characters")
    with pytest.raises(BadSettings, match=r"^There is no database in '.*/data'\.$"):
        await verify_audit(folder, None, json=False)
    assert not names(folder)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]
