"""The whole program in chat: a process, and both platforms over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from random import Random
from time import monotonic

import pytest

from bot.clock import SystemClock
from engine.candle import MINUTE_MS
from tests.program.chats import ANSWER_S, Chats, Desk, open_chats, until
from tests.program.conftest import Program
from tests.servers.bybit import BybitServer
from tests.servers.discord_world import Message as Card
from tests.servers.telegram_chat import Message

# What the product promises of its first start, and of its memory.
FIRST_ANSWER_S = 10.0
FIRST_ANSWER_CPU_S = 8.0
RSS_MB_MAX = 300.0

LIVES = 3
# Less than may wait for one chat while the desk is away.
COMMANDS_A_LIFE = 8
# By when a desk that has just connected is killed: in the midst of its answers.
KILLED_WITHIN_S = 0.5

BAR_MS = 5 * MINUTE_MS
# How long before a candle's close, by its own clock, the market is met.
BEFORE_CLOSE_MS = 20_000


@pytest.fixture
def spec() -> Path | None:
    """The platforms' own specifications, where they are at hand."""
    folder = Path(__file__).parents[3] / "shared" / "specs"
    return folder if folder.is_dir() else None


@pytest.fixture
async def chats(program: Program, spec: Path | None) -> AsyncIterator[Chats]:
    async with open_chats(program, spec=spec) as found:
        yield found
    assert found.telegram.violations == []
    assert found.discord.violations == []


async def until_history_is_over(desk: Desk) -> None:
    await until(lambda: "percent=100" in desk.said, desk)


async def pressed(chats: Chats, card: Message, label: str) -> Message:
    """What a card on Telegram shows after a press of its button."""
    before = card.text
    chats.telegram.press(chats.ann, card, card.buttons[label])
    await chats.telegram.until(lambda: card.text != before, ANSWER_S)
    return card


async def pressed_on_discord(chats: Chats, card: Card, label: str) -> Card:
    before = card.embeds
    [custom_id] = [key for key, control in card.controls.items() if control["label"] == label]
    await chats.discord.press(chats.bob, card, custom_id)
    await chats.discord.until(lambda: card.embeds != before, ANSWER_S)
    return card


def shown(card: Card) -> str:
    texts = [card.content]
    for embed in card.embeds:
        texts += [embed.get("title", ""), embed.get("description", "")]
    return "\n".join(texts)


async def test_the_desk_is_used_from_both_platforms_at_once(chats: Chats) -> None:
    desk = await chats.start()
    await chats.until_connected(desk)
    await until_history_is_over(desk)

    status, card = await asyncio.gather(chats.ask_telegram("/status"), chats.ask_discord("status"))
    assert status.text is not None
    for fact in ("mode: paper", "market: simulated market, seed 1", "shortseller_001"):
        assert fact in status.text
        assert fact in shown(card).replace("\\", "")

    await pressed(chats, status, "Positions")
    assert "ositions" in status.text and "mode: paper" not in status.text
    await pressed_on_discord(chats, card, "Positions")
    assert "ositions" in shown(card) and "mode: paper" not in shown(card)

    positions, their = await asyncio.gather(
        chats.ask_telegram("/positions"), chats.ask_discord("positions")
    )
    assert positions.text is not None and "ositions" in positions.text
    assert "ositions" in shown(their)

    chart, drawn = await asyncio.gather(
        chats.ask_telegram("/chart BTC"), chats.ask_discord("chart", {"symbol": "BTCUSDT"})
    )
    assert chart.media is not None and chart.media.kind == "photo"
    assert chart.text is not None and "BTCUSDT 1h" in chart.text
    assert [name[-4:] for name in drawn.files] == [".png"]
    await pressed(chats, chart, "15m")
    assert chart.media is not None and "BTCUSDT 15m" in chart.text

    helped, their_help = await asyncio.gather(
        chats.ask_telegram("/help"), chats.ask_discord("help")
    )
    for command in ("/status", "/chart", "/bot pause"):
        assert helped.text is not None and command in helped.text
        assert command in shown(their_help)

    # The demo's history ends on an order: it is filled with the next candle, in five seconds.
    words = ("Sold ", "Bought back ")
    await chats.telegram.until(
        lambda: any((m.text or "").startswith(words) for m in chats.telegram.from_bot(chats.chat)),
        ANSWER_S,
    )
    await chats.discord.until(
        lambda: any(m.content.startswith(words) for m in chats.discord.messages(chats.dm)),
        ANSWER_S,
    )
    assert await desk.stop() == 0


@pytest.mark.alone
async def test_it_answers_soon_is_light_and_ends_when_told(chats: Chats) -> None:
    began = monotonic()
    desk = await chats.start()
    await chats.until_connected(desk)
    await asyncio.gather(chats.ask_telegram("/status"), chats.ask_discord("status"))
    first_answer_s, computed_s = monotonic() - began, desk.cpu_s
    await until_history_is_over(desk)

    rss_mb = desk.rss_mb
    code = await desk.stop()

    assert first_answer_s < FIRST_ANSWER_S
    assert computed_s < FIRST_ANSWER_CPU_S
    assert rss_mb < RSS_MB_MAX
    assert code == 0
    last = chats.telegram.from_bot(chats.chat)[-1], chats.discord.messages(chats.dm)[-1]
    assert last[0].text is not None and "The desk has stopped" in last[0].text
    assert "The desk has stopped" in last[1].content
    for word in ("level=error", "level=critical", "Traceback"):
        assert word not in desk.said


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_command_acts_once_and_is_answered_however_often_the_desk_is_killed(
    chats: Chats, seed: int
) -> None:
    rng = Random(seed)
    asked: list[Message] = []
    lines = {"PauseBot": "pause", "ResumeBot": "resume"}
    acts = list(lines) * (LIVES * COMMANDS_A_LIFE // 2)
    due = iter(acts)

    async def send(count: int) -> None:
        for _ in range(count):
            word = lines[next(due)]
            asked.append(
                chats.telegram.write(chats.ann, chats.chat, f"/bot {word} shortseller_001")
            )
            options = {"bot": "shortseller_001"}
            await chats.discord.slash(chats.bob, chats.dm, "bot", options, subcommand=word)
            await asyncio.sleep(rng.uniform(0, 2 * KILLED_WITHIN_S / count))

    for life in range(LIVES):
        desk = await chats.start()
        await chats.until_connected(desk)
        if not life:
            await until_history_is_over(desk)
        sending = asyncio.create_task(send(COMMANDS_A_LIFE))
        unheard, killed = sorted(rng.uniform(0, KILLED_WITHIN_S) for _ in range(2))
        await asyncio.sleep(unheard)
        # What came from now on is not confirmed, and comes again to the next desk.
        chats.telegram.fault("getUpdates", "drop", times=inf)
        await asyncio.sleep(killed - unheard)
        await desk.kill()
        chats.telegram.heal()
        await sending

    last = await chats.start()
    for each in asked:
        await chats.answer_to(each)
    rows = chats.program.rows
    unfinished = "SELECT 1 FROM inbox WHERE done_at IS NULL"
    await until(lambda: not rows(unfinished), last)
    await until(lambda: not rows("SELECT 1 FROM deliveries WHERE finished_at IS NULL"), last)
    assert await last.stop() == 0

    assert acted(chats, f"telegram:{chats.ann.id}") == acts
    # What Discord told nobody who kept it is lost, and it says so itself.
    kept = rows("SELECT COUNT(*) FROM inbox WHERE key LIKE 'discord:%'")
    assert kept == [(len(acted(chats, f"discord:{chats.bob.id}")),)]
    assert rows("SELECT error FROM deliveries WHERE error IS NOT NULL") == []


def acted(chats: Chats, actor: str) -> list[str]:
    """What somebody has done to the bot, in order."""
    query = f"SELECT action FROM audit WHERE actor = '{actor}' AND action LIKE '%Bot' ORDER BY seq"
    return [action for (action,) in chats.program.rows(query)]


async def test_live_candles_and_prices_from_bybit_are_shown_and_survive_a_dropped_stream(
    chats: Chats, spec: Path | None
) -> None:
    clock = SystemClock()
    bybit = BybitServer(clock, spec=spec and spec / "bybit")
    async with bybit.running():
        chats.program.settings |= {
            "MARKET": "bybit",
            "BYBIT_REST_BASE": bybit.rest_base,
            "BYBIT_WS_BASE": bybit.ws_base,
        }
        bybit.faults.skew_ms = BAR_MS - clock.now() % BAR_MS - BEFORE_CLOSE_MS
        closes_at = bybit.now() + BEFORE_CLOSE_MS
        desk = await chats.start()
        await chats.until_connected(desk)
        await until(lambda: bybit.streams == 1 and chats.program.candles() > 0, desk)

        quote = await chats.ask_telegram("/price BTC")
        chart = await chats.ask_discord("chart", {"symbol": "BTCUSDT", "timeframe": "15m"})
        assert quote.text is not None and "BYBIT" in quote.text.upper()
        assert [name[-4:] for name in chart.files] == [".png"]

        bybit.drop()
        await until(lambda: len(bybit.connections) > 1 and bybit.streams == 1, desk)
        await until(lambda: bybit.now() > closes_at, desk)
        await until(lambda: market_time(chats.program) == closes_at, desk)

        status = await chats.ask_telegram("/status")
        stamp = datetime.fromtimestamp(closes_at / 1000, UTC)
        assert status.text is not None
        assert f"market time: {stamp:%Y-%m-%d %H:%M} UTC" in status.text
        assert await desk.stop() == 0
    assert bybit.violations == []


def market_time(program: Program) -> int:
    """When the last candle that the desk has stored closed, UTC ms."""
    found = program.rows("SELECT body FROM state WHERE key LIKE 'desk:%'")
    return json.loads(found[0][0])["market_time"] if found else 0
