"""The log: whose lines are in it, and what is never in it."""

import json
import logging
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import pytest
import structlog

from bot.logs import log_to_file
from bot.redact import Redactor, redact

TELEGRAM = "7104928374:AAFh3kQz-9wXcV_bN5mL0pR7sT2uY4eW6iO"
# Made up, in the three parts that Discord's have.
DISCORD = ".".join(["MTA0" + "x" * 22, "GkLmNo", "q" * 38])
GEMINI = "AIza" + "Sy-_9" * 7
PASSWORD = "pa ss/w@rd"
DATABASE = "postgresql+asyncpg://desk:pa%20ss%2Fw%40rd@db/desk"
KEY = 'key "with" \\ quotes'


class Log:
    """A log file and what it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


@pytest.fixture
def restored() -> Iterator[None]:
    """Puts logging back as it was: it is the whole process's."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level, kept = root.handlers, root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    root.setLevel(level)
    logging.captureWarnings(False)
    sys.excepthook, threading.excepthook = hooks
    structlog.configure(**kept)


def opened(path: Path, level: str) -> Log:
    log_to_file(path, level, [TELEGRAM, DISCORD, DATABASE, KEY])
    return Log(path)


@pytest.fixture
def log(tmp_path: Path, restored: None) -> Log:
    return opened(tmp_path / "desk.log", "debug")


def test_the_lines_of_libraries_are_in_the_log(log: Log) -> None:
    logging.getLogger("aiogram.dispatcher").warning("Sleep for %s seconds", 2)
    logging.getLogger("urllib3.connectionpool").info("said")

    first, second = log.lines
    assert 'level=warning event="Sleep for 2 seconds" logger=aiogram.dispatcher' in first
    assert "level=info event=said" in second


def test_libraries_are_not_heard_below_info(log: Log) -> None:
    chatty = logging.getLogger("discord.gateway")
    chatty.setLevel(logging.DEBUG)
    try:
        chatty.debug("For Shard ID None: WebSocket Event: %s", {"token": "abc"})
    finally:
        chatty.setLevel(logging.NOTSET)
    structlog.get_logger().debug("ours")

    assert [line.partition("event=")[2] for line in log.lines] == ["ours"]


def test_the_level_holds_for_libraries_too(tmp_path: Path, restored: None) -> None:
    log = opened(tmp_path / "desk.log", "error")
    logging.getLogger("asyncio").warning("slow")
    logging.getLogger("asyncio").error("lost")

    assert [line.partition("event=")[2] for line in log.lines] == ["lost logger=asyncio"]


def test_a_level_of_a_librarys_own_is_shown_as_the_one_below(log: Log) -> None:
    logging.getLogger("odd").log(35, "odd")
    logging.getLogger("odd").log(99, "odder")

    assert [line.split()[1] for line in log.lines] == ["level=warning", "level=critical"]


def test_a_line_whose_arguments_do_not_fit_is_kept(tmp_path: Path, restored: None) -> None:
    log = opened(tmp_path / "desk.log", "info")
    logging.getLogger("careless").error("%d of %d", "x")

    assert 'event="%d of %d"' in log.text


def test_warnings_are_in_the_log(log: Log) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("an old way of doing it", DeprecationWarning, stacklevel=1)

    assert "an old way of doing it" in log.text
    assert "logger=py.warnings" in log.text


def test_control_characters_and_half_characters_do_not_reach_a_terminal(log: Log) -> None:
    structlog.get_logger().info("refused", said="\x1b[2J\x00 \ud83d \x9b31m\r\nlevel=error")

    [line] = log.lines
    assert "\\x1b[2J\\x00 \\ud83d \\x9b31m" in line.replace("\\\\", "\\")
    assert line.isprintable()


def test_numbers_and_flags_stay_as_they_are(log: Log) -> None:
    structlog.get_logger().info("x", count=7, share=0.5, late=True, note=None)

    assert log.text.rstrip().endswith("count=7 share=0.5 late note=")


HALF = TELEGRAM.partition(":")[2]


@pytest.mark.parametrize("secret", [TELEGRAM, HALF, DISCORD, DATABASE, PASSWORD, KEY])
def test_a_secret_of_the_settings_is_in_no_line(log: Log, secret: str) -> None:
    ours, theirs = structlog.get_logger(), logging.getLogger("aiohttp.client")
    ours.info(f"with {secret} within", field=secret, listed=[secret], nested={"a": (secret,)})
    theirs.error("at http://127.0.0.1/bot%s/getMe: %r", secret, ValueError(secret))
    try:
        raise OSError(f"can't reach {secret}") from KeyError(secret)
    except OSError:
        ours.exception("failed")
        theirs.exception("failed too")

    assert len(log.lines) == 4
    assert "Traceback" in log.text
    assert not any(form in log.text for form in shown(secret))


def shown(secret: str) -> set[str]:
    """A secret as a log may have it; of a database's URL it is the password."""
    hidden = {"postgresql+asyncpg": "pa%20ss%2Fw%40rd"}.get(secret.partition("://")[0], secret)
    once = repr(hidden)[1:-1].replace('"', '\\"')
    return {hidden, once, once.replace("\\", "\\\\"), hidden.replace('"', '\\"')}


def test_a_name_of_a_database_without_a_password_can_be_read() -> None:
    hide = Redactor(["sqlite:////var/lib/countersign/desk.db"])

    assert hide("at /var/lib/countersign/desk.db") == "at /var/lib/countersign/desk.db"


def test_a_password_that_should_have_been_encoded_is_hidden_all_the_same() -> None:
    hide = Redactor(["postgresql+asyncpg://desk:123/45@6:7@db/desk"])

    assert hide("with 123/45@6:7 it said no") == "with *** it said no"


def test_a_short_password_hides_no_words_but_its_place_in_the_url() -> None:
    hide = Redactor(["postgresql+asyncpg://me:desk@db/countersign"])

    assert hide("the desk is open") == "the desk is open"
    assert hide("at postgresql+asyncpg://me:desk@db/x") == "at postgresql+asyncpg://me:***@db/x"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"http://127.0.0.1/bot{TELEGRAM}/getMe", "http://127.0.0.1/bot7104928374:***/getMe"),
        (f"TELEGRAM_ADMIN_IDS: {TELEGRAM!r} is", "TELEGRAM_ADMIN_IDS: '7104928374:***' is"),
        (f"Authorization: Bot {DISCORD}", "Authorization: Bot ***"),
        (f"token {DISCORD}.", "token ***."),
        (
            "POST /api/v10/interactions/12/aW50ZXJhY3Rpb24/callback",
            "POST /api/v10/interactions/12/***/callback",
        ),
        ("PATCH /webhooks/12/aW50.x-y/messages/1", "PATCH /webhooks/12/***/messages/1"),
        ("https://ann:s3cret@proxy:8080/x", "https://ann:***@proxy:8080/x"),
        (
            "{'X-BAPI-API-KEY': 'AbC1', 'X-BAPI-SIGN': 'f00d', 'X-BAPI-TIMESTAMP': '17'}",
            "{'X-BAPI-API-KEY': '***', 'X-BAPI-SIGN': '***', 'X-BAPI-TIMESTAMP': '17'}",
        ),
        (f"the key {GEMINI} was", "the key *** was"),
        ("{'x-goog-api-key': 'f00d'}", "{'x-goog-api-key': '***'}"),
        ("POST /v1beta/models/x:go?key=f00d&alt=sse", "POST /v1beta/models/x:go?key=***&alt=sse"),
        ('{"id":"1","token":"aW50"}', '{"id":"1","token":"***"}'),
        (repr('{"token": "aW50"}'), repr('{"token": "***"}')),
        ("{'token': 'aW50'}", "{'token': '***'}"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_hidden_without_being_known(text: str, hidden: str) -> None:
    assert redact(text) == hidden


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-21T12:23:43.869081Z price=61234.5 qty=0.011 id=123456:7",
        "http://127.0.0.1:8080/v5/market/kline?symbol=BTCUSDT&start=1704067200000",
        "sqlite:////home/me/data/countersign.db",
        "shortseller_001 opened a short of 0.2 BTC at 61,234.5",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "piece", ["a-", "a.b", "token", "1", "://", "://a:", "X-BAPI-SIGN ", "AIza", "?key="]
)
def test_a_long_text_of_a_strangers_takes_no_time(piece: str) -> None:
    text = piece * (50_000 // len(piece))
    began = perf_counter()
    redact(text)

    assert perf_counter() - began < 1.0


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_crash_is_shown_without_secrets(tmp_path: Path, where: str) -> None:
    script = f"""
import sys, threading
from pathlib import Path
from bot.logs import log_to_file
log_to_file(Path(sys.argv[1]), "debug", [{TELEGRAM!r}])
def fail():
    raise RuntimeError({f"at http://x/bot{TELEGRAM}/getMe"!r})
if {where == "main"}:
    fail()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "desk.log")],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert "RuntimeError: at http://x/bot***/getMe" in done.stderr
    assert TELEGRAM not in done.stderr


def test_json_of_settings_is_unharmed_by_the_patterns() -> None:
    text = json.dumps({"tokens": 3, "token_kind": "bot", "authorization": None})

    assert redact(text) == text
