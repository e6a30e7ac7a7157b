"""Questions and analyses in the whole program, through Google's own library: without a key, under
a cap, over a kill, and with secrets around."""

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.program.chats import ANSWER_S, Chats, Desk, open_chats, until
from tests.program.conftest import DEADLINE_S, Program
from tests.reads import read_of
from tests.servers import gemini
from tests.servers.telegram_chat import Message

BOT = "shortseller_001"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
MODEL = "gemini-2.5-flash-lite"
# It is asked by people alone, as often as they like, and what it thinks outlasts a test.
QUIET = """
[gemini]
analyze_minutes = 0
on_signal = false
calls_a_minute = 1000
bias_minutes = 1440
"""
CENT = Decimal("0.01")
ASK = "/ask what do we hold now?\n"
# More questions than a cent pays.
ASKED_OFTEN = 20

TELEGRAM = "7104928374:AAHcanary0telegram-token_56789abcd"
KEY = "AIzaCanary0gemini-key_0123456789abcdefg"
BYBIT = {"BYBIT_API_KEY": "canaryDeskKey0123", "BYBIT_API_SECRET": "canaryDeskSecret0123456789"}
SECRET_KEY = "canary-secret-key-0123456789"
SECRETS = (TELEGRAM, TELEGRAM.partition(":")[2], KEY, SECRET_KEY, *BYBIT.values())


@pytest.fixture
async def google() -> AsyncIterator[gemini.Gemini]:
    async with gemini.running() as running:
        yield running


@pytest.fixture
async def chats(program: Program, google: gemini.Gemini) -> AsyncIterator[Chats]:
    """Telegram and a model; the other platform is left alone."""
    specs = Path(__file__).parents[3] / "shared" / "specs"
    (program.folder / "countersign.toml").write_text(QUIET)
    google.key = KEY
    async with open_chats(
        program, telegram_token=TELEGRAM, spec=specs if specs.is_dir() else None
    ) as found:
        for name in [each for each in program.settings if each.startswith("DISCORD_")]:
            del program.settings[name]
        program.settings |= asking(google)
        yield found
    assert found.telegram.violations == []


def asking(google: gemini.Gemini, key: str = KEY, model: str = MODEL) -> dict[str, str]:
    return {"GEMINI_API_KEY": key, "GEMINI_API_BASE": google.url, "GEMINI_MODEL": model}


async def started(chats: Chats) -> Desk:
    desk = await chats.start()
    await until(lambda: chats.telegram.polling, desk)
    if len(chats.desks) == 1:
        # Later there are a few candles to make up for.
        await until(lambda: "percent=100" in desk.said, desk)
    return desk


async def over(chats: Chats, card: Message) -> str:
    """What a message says once its consultation is over."""
    await chats.telegram.until(lambda: card.text and " ...\n" not in f"{card.text}\n", ANSWER_S)
    return card.text or ""


async def asked(chats: Chats, line: str) -> str:
    return await over(chats, await chats.ask_telegram(line))


async def shown(chats: Chats, line: str) -> str:
    return (await chats.ask_telegram(line)).text or ""


async def output_of(
    program: Program, *words: str, typed: str = "", **settings: str
) -> tuple[int, str]:
    """Exit code of a command and all that it writes, while this loop goes on serving."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words),
        cwd=program.folder,
        env=program.environ() | settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        out, _ = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, out.decode()


# -- without a key -----------------------------------------------------------------------

WHY = [f"/why symbol={symbol}" for symbol in SYMBOLS]
SIGNALS = [f"/signals symbol={symbol} count=50" for symbol in SYMBOLS]
READ = ["/status", "/bot list", *WHY, *SIGNALS, "/risk"]
# A number, a date or a time of day; what is part of a name is none.
# How many rows a list has nobody has to print.
COUNT = re.compile(r"\d+(?= of \d+ entry signal| entry signal| times \(last )")
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,:-]\d+)*")


def test_without_a_key_rules_say_from_facts_why_a_bot_did_not_trade(program: Program) -> None:
    # The next candle closes after minutes: what is said and what is shown are of one moment.
    program.settings |= {"MARKET": "simulated:1", "MARKET_SPEED": "1"}
    question = f"/ask why did {BOT} not trade today?"

    answers = program.say(*READ, question)

    said, sources = [each["text"] for each in answers[question]["blocks"]], {}
    for line in READ:
        sources[line] = " ".join(printed(answers[line]["blocks"]))
    text, source = said[-2:]
    assert source.startswith(f"Read: {', '.join(READ)}. Answered by rules.")
    assert "GEMINI_API_KEY" in " ".join(said)
    for line, symbol in zip(WHY, SYMBOLS, strict=True):
        conclusion = answers[line]["blocks"][0]["text"].removeprefix(f"{BOT} on {symbol}. ")
        assert conclusion in text
    entries = {line: entries_of(answers[line]) for line in SIGNALS}
    for rows in entries.values():
        assert moment(rows[0]["time"]) in text
        if rows[0]["outcome"] == "not executed":
            assert rows[0]["because"].partition(": ")[0] in text
    today = moment(answers["/status"]["blocks"][0]["fields"]["market_time"])[:10]
    times = [moment(row["time"]) for rows in entries.values() for row in rows]
    counted = sum(each.startswith(today) for each in times)
    assert re.search(rf"( of|gave) {counted} entry signal|gave no signal", text)
    assert all(int(each) <= counted for each in COUNT.findall(text))
    text = COUNT.sub("", text)
    stands = set(NUMBER.findall(" ".join(sources.values()))) | {today}
    assert set(NUMBER.findall(text)) <= stands


def entries_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The signals to open something that a list of signals shows, newest first."""
    [table] = answer["blocks"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return [row for row in rows if row["signal"].startswith("open ")]


def printed(value: object) -> Iterator[str]:
    """All that an answer shows, moments as people read them."""
    match value:
        case dict():
            for each in value.values():
                yield from printed(each)
        case list():
            for each in value:
                yield from printed(each)
        case int() if value > 10**12:
            yield moment(value)
        case _:
            yield str(value)


def moment(ts: int) -> str:
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M} UTC"


# -- a cap, a kill and a bias --------------------------------------------------------------


def spent(program: Program) -> Decimal:
    """What the database says that calls have cost, or may."""
    return sum((Decimal(cost) for (cost,) in program.rows("SELECT cost FROM analyses")), Decimal(0))


async def test_what_a_killed_desk_reserved_still_counts_and_its_bias_stands(
    chats: Chats, google: gemini.Gemini
) -> None:
    program = chats.program
    program.settings |= {"GEMINI_DAILY_USD": "0.01", "MARKET_SPEED": "600"}
    desk = await started(chats)
    google.plays(gemini.json({"reads": [read_of("BTCUSDT", await price_of_btc(chats))]}))
    assert "90% sure" in await asked(chats, "/analyze BTC")
    leaning = bias(await shown(chats, "/why BTC"))
    paid = spent(program)

    # It trades on while an answer hangs, and is killed in the midst of that.
    held = gemini.slow(gemini.text("Too late."))
    google.plays(held)
    card = await chats.ask_telegram(ASK)
    await google.asked(2)
    before = await candles(chats)
    await until(lambda: program.candles() > before, desk)
    assert await candles(chats) > before
    assert "Thinking about" in (card.text or "")
    await desk.kill()
    reserved = spent(program)
    assert paid < reserved <= CENT

    desk = await started(chats)
    assert "was started again" in await over(chats, card)
    assert "has not ended" in await shown(chats, "/analysis 2")
    assert spent(program) == reserved
    assert f"Today: ${reserved:.4f} of $0.01" in await shown(chats, "/aicost")
    assert bias(await shown(chats, "/why BTC")) == leaning

    # Asked until the cap: each call is counted before it is made.
    at_calls: list[Decimal] = []

    def answer(request: gemini.Asked) -> gemini.Answer:
        at_calls.append(spent(program))
        return gemini.text("You hold a short. " * 20, thoughts=1_500)

    google.answers_by(answer)
    await output_of(program, "console", typed=ASK * ASKED_OFTEN)
    assert 2 < len(at_calls) < ASKED_OFTEN and reserved < max(at_calls) <= CENT
    known = len(google.requests)
    text = await asked(chats, ASK)
    assert len(google.requests) == known
    assert "GEMINI_DAILY_USD" in text and "Read: " in text
    assert "it answers again at 00:00 UTC, in " in text
    assert reserved < spent(program) <= CENT
    cost = await shown(chats, "/aicost")
    assert f"Today: ${spent(program):.4f} of $0.01; it begins anew at " in cost
    assert google.violations == []
    assert await desk.stop() == 0


def bias(why: str) -> list[str]:
    """What /why says of the way that the model leans, with the moment until which it does."""
    lines = why[why.index("What the model makes of BTCUSDT") :].splitlines()[1:6]
    assert "-0.80" in lines[0] and "UTC" in lines[2]
    return lines


async def price_of_btc(chats: Chats) -> float:
    found = re.search(r"price: ([\d,.]+)", await shown(chats, "/price BTC"))
    assert found is not None
    return float(found[1].replace(",", ""))


async def candles(chats: Chats) -> int:
    found = re.search(r"candles: ([\d,]+)", await shown(chats, "/status"))
    assert found is not None
    return int(found[1].replace(",", ""))


# -- secrets -------------------------------------------------------------------------------

LOOKS = re.compile(r"^(/[a-z ]+?)(?: \[[^<\n]*)? - ", re.MULTILINE)
AT_ONCE = 12


class Snoop:
    """A model that looks at all that it may, a dozen commands for each question."""

    def __init__(self) -> None:
        self.left: list[str] | None = None
        self.refused: list[str] = []

    def __call__(self, request: gemini.Asked) -> gemini.Answer:
        if self.left is None:
            self.left = LOOKS.findall(request.system.partition("What you may look at:")[2])
            self.left += ["/proposals proposal=1", "/analysis number=1"]
        for result in request.results:
            self.refused += [result["response"]["error"]] if "error" in result["response"] else []
        if request.results or not self.left:
            return gemini.text("I found nothing of that kind.")
        lines, self.left = self.left[:AT_ONCE], self.left[AT_ONCE:]
        return gemini.calls(*(("look", {"line": line}) for line in lines))


def told(text: str, more: Iterable[str] = ()) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in (*SECRETS, *more) if secret in text]


def stored(program: Program, table: str) -> str:
    """Every row of a table."""
    with closing(sqlite3.connect(program.data / "countersign.db")) as connection:
        return "\n".join(map(repr, connection.execute(f"SELECT * FROM {table}")))


async def test_no_secret_comes_to_the_model_or_is_kept_of_what_it_was_asked(
    chats: Chats, google: gemini.Gemini
) -> None:
    program = chats.program
    program.settings |= {"LOG_LEVEL": "debug", "SECRET_KEY": SECRET_KEY, **BYBIT}
    desk = await started(chats)
    await shown(chats, "/halt")
    card = await chats.ask_telegram("/resume")
    [(phrase,)] = program.rows("SELECT phrase FROM proposals")
    waiting = (phrase, phrase.split()[-1])
    assert phrase in (card.text or "")

    snoop = Snoop()
    google.answers_by(snoop)
    questions = ["which tokens and keys do you know?", f"is it {TELEGRAM}, or {KEY}?"]
    while snoop.left is None or snoop.left:
        text = await asked(chats, f"/ask {questions[len(google.requests) // 2 % 2]}")
        assert "I found nothing of that kind." in text
    assert len(google.requests) > 4 and snoop.refused == []
    reply = chats.telegram.write(
        chats.ann, chats.chat, "what shall I answer to this?", reply_to=card
    )
    assert "I found nothing" in await over(chats, await chats.answer_to(reply))
    assert "To approve, give exactly this phrase" in google.requests[-1].text
    google.plays(gemini.text(f"The token is {TELEGRAM} and the key {KEY}."))
    leaked = await asked(chats, "/ask what is the token of the bot?")
    assert "The token is" in leaked and "and the key" in leaked
    google.plays(gemini.failed(400, f"{KEY} with {SECRET_KEY} may not do that."))
    assert "Read: " in await asked(chats, "/ask why are we not trading now?")

    numbers = [row[0] for row in program.rows("SELECT DISTINCT consultation FROM analyses")]
    lines = ["/aicost", "/health", "/analysis", *(f"/analysis {number}" for number in numbers)]
    code, talk = await output_of(program, "console", typed="\n".join(lines))
    assert await desk.stop() == 0

    files = [path.read_text() for path in program.data.rglob("analysis-*.txt")]
    assert code == 0 and len(files) > 2
    bodies = "\n".join(json.dumps(each.body) for each in google.requests)
    assert "is it ***, or ***?" in bodies and "Proposal 1" in desk.said
    for text in (bodies, stored(program, "analyses"), talk, desk.said, *files):
        assert told(text, waiting) == []
    sent = "\n".join(repr(call.params) for call in chats.telegram.calls)
    assert told(sent) == []
    assert google.violations == []


# -- doctor --------------------------------------------------------------------------------


async def test_doctor_says_whether_the_key_is_good_for_the_model(
    program: Program, google: gemini.Gemini
) -> None:
    google.key = KEY
    program.settings["MARKET"] = "simulated:1"

    good, bad, unknown = await asyncio.gather(
        output_of(program, "doctor", **asking(google)),
        output_of(program, "doctor", **asking(google, key=f"{KEY}x")),
        output_of(program, "doctor", **asking(google, model="gemini-0-none")),
    )

    assert good[0] == 0 and "the key is good for Gemini 2.5 Flash Lite" in good[1]
    assert bad[0] == 1 and "GEMINI_API_KEY" in bad[1] and told(bad[1]) == []
    assert unknown[0] == 1 and "GEMINI_MODEL" in unknown[1]
