"""Autopsies, suggestions and briefings: what a model may say of them, and what stands in for it."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.advice import Verdict
from engine.autopsy import MEASURED
from engine.bot_facts import BotFacts, Choice
from engine.calls import CallState, Purpose
from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.day_facts import DAY_MAX, DayFacts
from engine.order import Reason, Side
from engine.position import Trade
from engine.trade_facts import TradeFacts, measure
from engine.tunable import Parameter, Tier, Unit
from llm.autopsy import examine
from llm.briefing import FACTS, brief
from llm.counsel import Case, Counsel
from llm.model import Fault, ModelFailed
from llm.suggest import suggest
from tests.models import KeptCalls, PlayedModel, counsel, said, said_json

BAR = 5 * MINUTE_MS
START = 1_000 * HOUR_MS

TRADE = Trade(
    trade_id=7,
    account="paper-a",
    bot_id="a_001",
    symbol="BTCUSDT",
    side=Side.BUY,
    quantity=Decimal(1),
    entry_price=Decimal(100),
    entry_time=START,
    entry_reason=Reason.EMA_CROSS,
    exit_price=Decimal(97),
    exit_time=START + 4 * BAR,
    close_reason=Reason.STOP_LOSS,
    gross_pnl=Decimal(-3),
    commission=Decimal("0.1"),
    funding=Decimal(0),
    net_pnl=Decimal("-3.1"),
    pnl_pct=Decimal("-0.031"),
    entry_client_order_id="in",
    exit_client_order_id="out",
)
CANDLES = tuple(Candle(START + i * BAR, c, c + 1, c - 1, c, 1.0) for i, c in enumerate((99, 98.0)))
TRADE_FACTS = TradeFacts(
    TRADE, 5, 0.8, (("stop", 97.0),), 1, BAR, CANDLES, measure(TRADE, CANDLES, BAR, START)
)

LEVERAGE = Parameter("leverage", 5, 1, 10, 1, Unit.RATIO, Tier.RED, "leverage", riskier=1)
STOP = Parameter("stop_loss", 0.02, 0.005, 0.1, 0.005, Unit.FRACTION, Tier.YELLOW, "the stop")
FAST = Parameter("fast", 8, 2, 50, 1, Unit.BARS, Tier.GREEN, "the fast average")


def bot_facts(trades: int = 20, net: str = "1", **changed: Any) -> BotFacts:
    """A bot with three parameters and so many trades of the same profit."""
    trade = replace(TRADE, net_pnl=Decimal(net))
    facts = BotFacts(
        bot_id="a_001",
        strategy="macross",
        summary="two averages",
        symbols=("BTCUSDT",),
        choices=(Choice(LEVERAGE, 5, 3, 7), Choice(STOP, 0.02, 0.01, 0.03), Choice(FAST, 8, 2, 20)),
        trades=(trade,) * trades,
        gates=(("confidence", 4),),
        regimes=(("BTCUSDT", "ranging"),),
    )
    return replace(facts, **changed)


DAY_FACTS = DayFacts(
    "Report of 2026-11-20",
    False,
    (
        ("Result", ("Net -12.50 USDT.", "Trades: 4 closed: 1 won, 3 lost.")),
        ("Open now", ("Short 3 BTCUSDT from 100, stop 103.",)),
    ),
)


async def opened(asked: Counsel, purpose: Purpose) -> Case:
    return await asked.open(purpose, "it", "console:ann")


# -- autopsies ---------------------------------------------------------------------------


def autopsy_answer(**changed: Any) -> dict[str, Any]:
    return {
        "trade_verdict": "poor",
        "entry_analysis": {"quality": "poor", "reasoning": "Bought late.", "signals_valid": True},
        "exit_analysis": {"quality": "acceptable", "reasoning": "The stop held."},
        "key_factors": ["It fell at once."],
        "lessons_learned": ["Wait for the close."],
        "recommendations": {
            "config_changes": ["A surer signal."],
            "strategy_improvements": [],
            "risk_management": [],
        },
        "confidence": 0.7,
        "summary": "It lost 3.10 net.",
        **changed,
    }


async def test_an_autopsy_has_the_models_words_and_our_figures() -> None:
    asked = counsel(said_json(autopsy_answer()))
    found = await examine(asked, await opened(asked, Purpose.AUTOPSY), TRADE_FACTS)
    assert (found.by, found.verdict, found.instead) == (asked.name, Verdict.POOR, "")
    assert found.advice == ("A surer signal.",)
    assert dict(found.measured)["when left"] == "-3.00% at 97.0"
    assert found.invented == ()


async def test_a_number_that_is_in_no_fact_is_known_as_invented() -> None:
    asked = counsel(said_json(autopsy_answer(summary="It lost 3.10, the RSI was at 82.5.")))
    found = await examine(asked, await opened(asked, Purpose.AUTOPSY), TRADE_FACTS)
    assert found.invented == ("82.5",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trade_verdict": "splendid"},
        {"trade_verdict": "unknown"},
        {"confidence": 1.5},
        {"do": "close everything"},
        {"exit_analysis": {"quality": "good", "reasoning": "x", "better_exit_point": 150.0}},
    ],
)
async def test_an_autopsy_of_another_form_is_asked_for_once_more(wrong: dict[str, Any]) -> None:
    model = PlayedModel(said_json(autopsy_answer(**wrong)), said_json(autopsy_answer()))
    asked = counsel(model=model)
    found = await examine(asked, await opened(asked, Purpose.AUTOPSY), TRADE_FACTS)
    assert found.by == asked.name and model.asked == 2


async def test_without_a_valid_answer_the_figures_speak_and_say_why() -> None:
    asked = counsel(said("no JSON"), said("still none"))
    found = await examine(asked, await opened(asked, Purpose.AUTOPSY), TRADE_FACTS)
    assert found.by == MEASURED and found.instead


async def test_without_a_key_no_model_is_asked_and_the_verdict_is_kept() -> None:
    calls = KeptCalls()
    asked = counsel(calls=calls)
    case = await opened(asked, Purpose.AUTOPSY)
    found = await examine(asked, case, TRADE_FACTS)
    assert "GEMINI_API_KEY" in found.instead
    [row] = await calls.of(case.number)
    assert (row.state, row.cost) == (CallState.COMPUTED, Decimal(0))
    assert json.loads(row.result)["by"] == MEASURED


# -- suggestions -------------------------------------------------------------------------


def advice_answer(*wishes: tuple[str, str], **changed: Any) -> dict[str, Any]:
    return {
        "analysis": {"root_cause": "It enters late.", "key_issues": [], "data_quality": "fair"},
        "suggestions": [
            {"parameter": name, "suggested": value, "reason": "Better so."}
            for name, value in wishes
        ],
        "confidence": 0.9,
        "risk_assessment": "low",
        "summary": "Be surer.",
        **changed,
    }


async def test_a_suggestion_keeps_to_parameters_and_what_is_allowed_now() -> None:
    asked = counsel(said_json(advice_answer(("fast", "12"), ("stop_loss", "1.5%"))))
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts())
    assert {wish.name: wish.value for wish in found.wishes} == {"fast": 12.0, "stop_loss": 0.015}
    assert found.confidence == 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        advice_answer(("daily_loss", "1")),
        advice_answer(("fast", "21")),
        advice_answer(("stop_loss", "1.23456%")),
        advice_answer(("fast", "9"), ("fast", "10")),
        advice_answer(("fast", "NaN")),
        advice_answer(("fast", "9"), also="approve proposal 3"),
    ],
)
async def test_a_suggestion_of_anything_else_is_refused_as_a_whole(wrong: dict[str, Any]) -> None:
    asked = counsel(said_json(wrong), said_json(wrong))
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts())
    assert found.wishes == () and found.instead


async def test_nothing_that_risks_more_is_tried_while_the_bot_loses() -> None:
    asked = counsel(said_json(advice_answer(("leverage", "6"), ("fast", "12"))))
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts(net="-2"))
    assert [wish.name for wish in found.wishes] == ["fast"]
    assert found.outcome == "Not tried: leverage 6, for it would risk more while the bot is losing."


async def test_what_is_not_tried_is_said_once_for_each_reason() -> None:
    asked = counsel(
        said_json(advice_answer(("fast", "12"), ("stop_loss", "1.5%"), ("leverage", "5")))
    )
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts(4))
    assert found.outcome == (
        "Not tried: fast 12, stop_loss 1.5%, for it counts as 29% sure (closed trades: 4), and 50% "
        "is needed. Not tried: leverage 5, for that is its value already."
    )


async def test_a_number_made_up_for_a_parameter_that_is_tried_is_known() -> None:
    answer = advice_answer(("fast", "12"), summary="12 beats 8 by 37.5 points.")
    asked = counsel(said_json(answer))
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts())
    assert found.invented == ("37.5",)


@pytest.mark.parametrize(("trades", "most"), [(4, 0.29), (9, 0.49), (10, 0.9)])
async def test_few_trades_make_nobody_sure(trades: int, most: float) -> None:
    asked = counsel(said_json(advice_answer(("fast", "12"))))
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), bot_facts(trades))
    assert found.confidence == most
    assert bool(found.wishes) == (most > 0.5)


async def test_nothing_is_suggested_while_tuning_is_stopped_or_without_a_model() -> None:
    model = PlayedModel()
    asked = counsel(model=model)
    stopped = bot_facts(stopped="live and replay differ.")
    found = await suggest(asked, await opened(asked, Purpose.SUGGESTION), stopped)
    assert model.asked == 0 and "/tune resume" in found.instead
    assert "without a model" not in found.summary
    without = counsel()
    found = await suggest(without, await opened(without, Purpose.SUGGESTION), bot_facts())
    assert found.wishes == () and "/tune run" in found.summary


# -- briefings ---------------------------------------------------------------------------


async def test_a_briefing_that_is_too_long_is_asked_for_once_more() -> None:
    long, short = {"briefing": "x" * (DAY_MAX + 1)}, {"briefing": "You lost 12.50 in 4 trades."}
    model = PlayedModel(said_json(long), said_json(short))
    asked = counsel(model=model)
    found = await brief(asked, await opened(asked, Purpose.BRIEFING), DAY_FACTS)
    assert found.text == short["briefing"] and model.asked == 2


async def test_a_briefing_says_nothing_that_can_be_pressed_or_followed() -> None:
    words = "See [this](https://evil.example) @everyone, /kill now. Net -12.50."
    asked = counsel(said_json({"briefing": words}))
    found = await brief(asked, await opened(asked, Purpose.BRIEFING), DAY_FACTS)
    assert found.text == "See this everyone, kill now. Net -12.50."


async def test_without_a_model_the_facts_are_told_in_their_order() -> None:
    asked = counsel(ModelFailed(Fault.BAD_KEY, "The key is not valid."))
    found = await brief(asked, await opened(asked, Purpose.BRIEFING), DAY_FACTS)
    assert found.by == FACTS and found.instead == "The key is not valid."
    assert found.text == (
        "Net -12.50 USDT. Trades: 4 closed: 1 won, 3 lost.\nShort 3 BTCUSDT from 100, stop 103."
    )
