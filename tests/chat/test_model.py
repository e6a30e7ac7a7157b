"""A model asked through Google's own library, from both platforms: what chat shows, and that
trading goes on."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from bot.advisor import Consultations
from bot.trying import Tried
from engine.advice import Advice
from engine.calls import CallState
from engine.candle import HOUR_MS, Candle
from engine.desk import Desk
from engine.order import Side
from engine.store.memory import MemoryStore
from llm.counsel import Counsel
from llm.gemini import Gemini
from llm.limits import Limits
from tests.chat import discord_scene, telegram_scene
from tests.chat.desks import ChatDesk, LiveMarket
from tests.chat.discord_scene import said
from tests.fast_clock import FastClock
from tests.handlers.desks import BOT, BTC, ETH, FALLING_TWICE, course, quiet
from tests.reads import read_of
from tests.servers import gemini
from tests.servers.telegram_chat import Message

MODEL = "gemini-2.5-flash"
# Pauses of a consultation pass so many times as fast; what Google's library waits for does not.
RATE = 50.0
PATIENT = Limits(deadline_s=60 * RATE)


async def untried(desk: Desk, number: int, advice: Advice) -> Tried:
    """Nothing is suggested here."""
    raise AssertionError(advice)


@dataclass
class Asked:
    """A desk that has a model, and the server that is the model."""

    desk: ChatDesk
    google: gemini.Gemini
    store: MemoryStore
    market: LiveMarket
    counsel: Counsel

    @property
    def price(self) -> float:
        return self.desk.desk.view().prices[BTC]


@asynccontextmanager
async def asked(
    scene: telegram_scene.Scene | discord_scene.Scene,
    *answers: gemini.Answer,
    limits: Limits = PATIENT,
    key: str = "",
    model: str = MODEL,
) -> AsyncIterator[Asked]:
    """A desk with one closed trade and an open short of BTC, and a model that answers so."""
    bars = course(100_000.0, FALLING_TWICE)
    market = LiveMarket({BTC: bars, ETH: quiet(len(bars))})
    store = MemoryStore()
    clock = FastClock(RATE, scene.clock.now())
    async with gemini.running() as google:
        google.plays(*answers)
        driver = Gemini(key or google.key, model, google.url)
        plain: Callable[[str], str] = str
        counsel = Counsel(driver, store.calls, limits, clock, Random(1), plain, "paper-sim42")
        advisor = Consultations(counsel, 2 * HOUR_MS, untried)
        try:
            async with scene.open_desk(market, store, advisor=advisor) as desk:
                yield Asked(desk, google, store, market, counsel)
        finally:
            await counsel.close()


async def over(scene: telegram_scene.Scene, card: Message) -> str:
    """What a card says once its consultation is over."""
    await scene.server.until(lambda: card.text and " ...\n" not in f"{card.text}\n")
    return card.text or ""


async def trades_on(scene: telegram_scene.Scene, found: Asked) -> None:
    """A stop is met and its fill told, whatever the model does."""
    last, start = found.price, found.desk.desk.view().market_time
    found.market.tell(ETH, Candle(start, 3_500, 3_501, 3_499, 3_500, 1.0))
    found.market.tell(BTC, Candle(start, last, last * 1.2, last, last * 1.2, 10.0))
    closed = await scene.told(scene.private(scene.ann), "stop")
    assert "BTCUSDT" in (closed.text or "") and found.desk.desk.view().positions == ()


# -- what it answers ---------------------------------------------------------------------


async def test_an_analysis_shows_what_the_model_made_of_the_numbers(
    telegram: telegram_scene.Scene,
) -> None:
    async with asked(telegram) as found:
        found.google.plays(gemini.json({"reads": [read_of(BTC, found.price)]}))
        card = await telegram.ask(telegram.tom, "/analyze BTC")
        shown = await telegram.shown(card, "90% sure")
        assert MODEL in (shown.text or "") and "The trend points down." in (shown.text or "")
        [request] = found.google.requests
        assert "BTCUSDT" in request.text and request.schema is not None
        assert found.google.violations == []
        why = await telegram.ask(telegram.tom, "/why BTC")
        assert "-0.80" in (why.text or "")
        [bias] = found.desk.desk.view().biases
        assert bias.stops(Side.BUY)


async def test_a_question_is_answered_in_three_steps_of_reading(
    telegram: telegram_scene.Scene,
) -> None:
    answers = (
        gemini.calls(("look", {"line": "/positions"})),
        gemini.calls(("look", {"line": "/why symbol=BTCUSDT"})),
        gemini.calls(("draft", {"line": "/close BTCUSDT"})),
        gemini.text("You are short BTC because the price fell. I drafted a close."),
    )
    async with asked(telegram, *answers) as found:
        card = await telegram.ask(telegram.tom, "why are we short BTC?")
        shown = await telegram.shown(card, "because the price fell")
        assert "/why symbol=BTCUSDT" in (shown.text or "")
        assert len(found.google.requests) == 4 and found.google.violations == []
        assert found.desk.desk.view().proposals == ()
        telegram.press(telegram.tom, card, "/close BTCUSDT")
        await telegram.server.until(lambda: found.desk.desk.view().proposals)
        [proposal] = found.desk.desk.view().proposals
    assert proposal.asker == "tom" and proposal.title.startswith("Close")


async def test_a_question_is_answered_on_discord_too(discord: discord_scene.Scene) -> None:
    answers = (
        gemini.calls(("look", {"line": "/positions"})),
        gemini.text("You are short BTC."),
    )
    async with asked(discord, *answers) as found:
        dm = discord.dm(discord.vera)
        await discord.server.say(discord.vera, dm, "what do we hold now?")
        card = await discord.told(dm, "You are short BTC.")
        assert "/positions" in said(card) and MODEL in said(card)
        assert found.google.violations == []


# -- how it fails ------------------------------------------------------------------------


async def test_an_answer_of_another_form_is_asked_for_once_more_then_indicators_vote(
    telegram: telegram_scene.Scene,
) -> None:
    wrong = gemini.json({"reads": [{"symbol": BTC, "signal": "to the moon"}]})
    async with asked(telegram, wrong, wrong) as found:
        card = await telegram.ask(telegram.vera, "/analyze BTC")
        shown = await telegram.shown(card, "ndicators")
        assert "was not valid" in (shown.text or "")
        assert len(found.google.requests) == 2
        assert "was not valid" in found.google.requests[1].text
        assert found.desk.desk.view().biases == ()


async def test_too_many_calls_are_waited_out_as_long_as_google_says(
    telegram: telegram_scene.Scene,
) -> None:
    answers = (gemini.too_many(retry_after=25), gemini.text("You hold a short."))
    async with asked(telegram, *answers) as found:
        card = await telegram.ask(telegram.vera, "what do we hold now?")
        await telegram.shown(card, "You hold a short.")
        assert len(found.google.requests) == 2
        calls = await found.store.calls.of(1)
    assert [call.state for call in calls] == [CallState.FAILED, CallState.ANSWERED]


FAILURES: dict[str, tuple[gemini.Answer, str]] = {
    "quota": (gemini.quota_spent(), "quota"),
    "region": (gemini.wrong_region(), "run the desk elsewhere"),
    "blocked": (gemini.blocked(), "safety filter"),
    "empty": (gemini.empty(), "answered nothing"),
    "disabled": (gemini.disabled(), "switched off"),
}


@pytest.mark.parametrize("how", FAILURES)
async def test_what_fails_is_said_and_rules_answer_instead(
    telegram: telegram_scene.Scene, how: str
) -> None:
    failure, words = FAILURES[how]
    async with asked(telegram, failure) as found:
        card = await telegram.ask(telegram.vera, f"why did {BOT} not trade ETH today?")
        text = await over(telegram, card)
        assert words in text and "Read: " in text
        assert len(found.google.requests) == 1
        await trades_on(telegram, found)


@pytest.mark.parametrize(("how", "words"), [("key", "GEMINI_API_KEY"), ("model", "GEMINI_MODEL")])
async def test_what_is_set_wrong_is_named_by_its_setting(
    telegram: telegram_scene.Scene, how: str, words: str
) -> None:
    wrong: dict[str, Any] = {how: "gemini-0-none" if how == "model" else "AIza-wrong"}
    async with asked(telegram, gemini.text("Never."), **wrong) as found:
        card = await telegram.ask(telegram.vera, f"why did {BOT} not trade ETH today?")
        text = await over(telegram, card)
        assert words in text and "AIza-wrong" not in text
        cost = await telegram.ask(telegram.vera, "/aicost")
        assert words in (cost.text or "")
        await trades_on(telegram, found)


async def test_trading_goes_on_while_no_answer_comes(telegram: telegram_scene.Scene) -> None:
    late = gemini.slow(gemini.text("Too late."))
    limits = Limits(deadline_s=60 * RATE, timeout_s=0.5)
    async with asked(telegram, late, late, late, limits=limits) as found:
        card = await telegram.ask(telegram.vera, f"why did {BOT} not trade ETH today?")
        assert "Thinking about" in (card.text or "")
        await found.google.asked(1)
        await trades_on(telegram, found)
        text = await over(telegram, card)
        assert "did not answer within" in text and "Read: " in text
        status = await telegram.ask(telegram.vera, "/status")
        assert "open positions: 0" in (status.text or "")


# -- money -------------------------------------------------------------------------------


async def test_a_cap_of_a_cent_holds_and_chat_says_when_it_begins_anew(
    telegram: telegram_scene.Scene,
) -> None:
    limits = Limits(deadline_s=60 * RATE, daily_usd=Decimal("0.01"), calls_a_minute=1_000)
    async with asked(telegram, limits=limits) as found:
        found.google.answers_by(lambda request: gemini.text("You hold a short. " * 40))
        for _ in range(30):
            card = await telegram.ask(telegram.ann, "what do we hold now?")
            text = await over(telegram, card)
            if "GEMINI_DAILY_USD" in text:
                break
        else:
            pytest.fail("the cap was never reached")
        assert "00:00 UTC" in text and "Read: " in text
        assert Decimal(0) < await found.store.calls.spent(0) <= Decimal("0.01")
        cost = await telegram.ask(telegram.ann, "/aicost")
        assert "of $0.01" in (cost.text or "") and "begins anew" in (cost.text or "")
        known = len(found.google.requests)
        await over(telegram, await telegram.ask(telegram.ann, "what do we hold now?"))
        assert len(found.google.requests) == known
