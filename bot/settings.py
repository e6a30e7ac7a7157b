"""Settings: environment first, then `.env`, then `countersign.toml`; checked before a start."""

import difflib
import errno
import os
import secrets
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError

from bot import modes
from bot.desk_settings import DEMO_SEED, SECRET_KEY_MIN, SECRETS, Settings
from bot.effective import effective
from bot.modes import DESK_KEY
from bot.own_strategies import OwnStrategies, load_own
from bot.redact import redact
from bot.risk_settings import CapsSection, RiskSection
from bot.sections import (
    SECTIONS,
    TOML_NAME,
    ApprovalSection,
    BotSettings,
    DataSection,
    ExchangeSection,
    GeminiSection,
    PaperSection,
    PersonSettings,
    TuningSection,
)
from engine.errors import BadSettings
from llm import drivers
from llm.model import Model

__all__ = [
    "DEMO_SEED", "SECRETS", "TOML_NAME", "BotSettings", "Settings", "effective", "load",
    "prepare_folder", "secret_key",
]  # fmt: skip


def load(environ: Mapping[str, str] = os.environ, folder: Path = Path()) -> Settings:
    """The settings in force for a desk started in `folder`.

    Raises BadSettings with one line for each setting that can't be used: its name, the value
    found and what is allowed.
    """
    values = _toml(folder / TOML_NAME)
    dotenv = _dotenv(folder / ".env")
    keys: dict[str, dict[str, str]] = {}
    for source in (dotenv, environ):
        values.update(_from_environment(source))
        for name, halves in modes.keys_among(source, _secret_file).items():
            keys.setdefault(name, {}).update(halves)
    values["bot_keys"] = keys
    own = _own_strategies(values, folder)
    try:
        settings = Settings.model_validate(values, context={"own": own})
    except ValidationError as error:
        complaints = (_complaint(found, values) for found in error.errors())
        raise BadSettings("\n".join(complaints)) from None
    settings._own = own
    return settings


def _own_strategies(values: Mapping[str, Any], folder: Path) -> OwnStrategies:
    """Those of STRATEGIES_DIR, which is relative to where countersign.toml is."""
    found = values.get("strategies_dir")
    return load_own(folder / found) if found and isinstance(found, str) else OwnStrategies()


def _dotenv(path: Path) -> dict[str, str]:
    """The variables of a `.env`; a name that only nearly is one of ours is a slip of the pen.

    Other names are let be: a `.env` is shared with compose files and shells.
    """
    found = {name: text for name, text in dotenv_values(path).items() if text}
    ours = [field.upper() for field in Settings.model_fields]
    for name in found:
        close = difflib.get_close_matches(name, ours, n=1, cutoff=0.8)
        known = name in ours or name.removesuffix("_FILE") in ours or modes.is_key(name)
        if close and not known:
            raise BadSettings(f".env: {name}: there is no such setting. Did you mean {close[0]}?")
    return found


def _toml(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettings(f"{path.name} can't be read: {error}") from None


def _from_environment(source: Mapping[str, str]) -> dict[str, str]:
    """The settings among environment variables; `NAME_FILE` reads the value from a file."""
    found = {}
    for field in Settings.model_fields:
        name = field.upper()
        if field in SECTIONS or field == "bot_keys":
            continue
        if text := source.get(name):
            found[field] = text
        elif path := source.get(f"{name}_FILE"):
            found[field] = _secret_file(f"{name}_FILE", path)
    return found


def _secret_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(redact(f"{name}: {path!r} can't be read: {error}")) from None


def _complaint(error: Any, values: Mapping[str, Any]) -> str:
    """One validation error in words: the setting, the value found, what is allowed."""
    place = [str(part) for part in error["loc"]]
    if not place:
        return str(error["msg"]).removeprefix("Value error, ") + "."
    name = _place(place, values)
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(place[-1], _names_at(place), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        return f"{name}: there is no such setting.{hint}"
    if error["type"] == "missing":
        return f"{name}: is missing."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    # A token in the wrong line is no less a secret.
    found = "" if place[0] in SECRETS else redact(f"{error['input']!r} ")
    return f"{name}: {found}is not valid; {message}."


def _place(place: Sequence[str], values: Mapping[str, Any]) -> str:
    """Where a setting stands, as the person wrote it: `MARKET`, `paper.seed`, `bots x capital`."""
    if len(place) == 1:
        return place[0].upper() if place[0] in Settings.model_fields else place[0]
    if place[0] == "bot_keys":
        return f"{place[1]}_{DESK_KEY}_{place[-1].upper()}"
    named_by = {"bots": "id", "people": "name"}.get(place[0])
    if named_by is None:
        return ".".join(place)
    entry = values[place[0]][int(place[1])]
    number = f"number {int(place[1]) + 1}"
    which = entry.get(named_by, number) if isinstance(entry, dict) else number
    return f"{place[0]} {which} {' '.join(place[2:])}".rstrip()


def _names_at(place: list[str]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "bots": BotSettings,
        "people": PersonSettings,
        "paper": PaperSection,
        "exchange": ExchangeSection,
        "risk": RiskSection,
        "caps": CapsSection,
        "approvals": ApprovalSection,
        "tuning": TuningSection,
        "data": DataSection,
        "gemini": GeminiSection,
    }
    section = sections.get(place[0], Settings) if len(place) > 1 else Settings
    return list(section.model_fields)


def prepare_folder(settings: Settings) -> None:
    """Make DATA_DIR, for this user alone; raises BadSettings where it can't be written."""
    folder = settings.data_dir
    # The database and the pictures in it are nobody else's business either.
    os.umask(0o077)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise BadSettings(
            f"DATA_DIR: {str(folder)!r} can't be used: {error.strerror}. "
            "Allowed: a folder that this user may write."
        ) from None


def secret_key(settings: Settings) -> bytes:
    """The key that seals the audit: from SECRET_KEY, else made once and kept in DATA_DIR."""
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    path = settings.data_dir / "secret.key"
    if not path.exists():
        _write_key(path)
    key = path.read_bytes().strip()
    if len(key) < SECRET_KEY_MIN:
        raise BadSettings(f"{path} holds no key of {SECRET_KEY_MIN} characters; put it back.")
    return key


def _write_key(path: Path) -> None:
    """A new key, readable by this user alone, that is there whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def open_model(settings: Settings) -> Model | None:
    """Whoever answers at Google; None without a key. Nothing is sent yet."""
    key = settings.gemini_api_key.get_secret_value() if settings.gemini_api_key else ""
    return drivers.open_model(
        settings.gemini_driver, key, settings.gemini_model, settings.gemini_api_base
    )
