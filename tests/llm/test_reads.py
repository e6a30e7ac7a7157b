"""A model's analysis: what is valid, what is refused and in which words, and its schema."""

import json
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.advice import Lean, Level, Trend
from engine.vote import read as voted
from llm.reads import SCHEMA, read
from tests.markets import PRICE, facts_of, voting, walk

FACTS = voting(h1=1)
DATA = "price 60000.0, RSI 56.2, EMA 200 59000"


def answer(symbol: str = "BTCUSDT", **changed: Any) -> dict[str, Any]:
    """One valid read, with other values at `path__to__it`."""
    said: dict[str, Any] = {
        "symbol": symbol,
        "signal": "long",
        "confidence": 0.72,
        "reasoning": "RSI of 56 above the EMA 200.",
        "bias": 0.6,
        "strategy_scores": dict.fromkeys(("rsi", "macd", "bollinger", "volume", "stochastic"), 0.5),
        "market_analysis": {
            "trend_direction": "up",
            "trend_strength": 0.4,
            "support_levels": [58_000, 59_000.5],
            "resistance_levels": [62_000, 61_000],
            "volatility_level": "low",
            "volume_analysis": "Volume is usual.",
        },
        "risk_assessment": {
            "overall_risk": "medium",
            "technical_risk": "low",
            "market_risk": "high",
            "recommended_position_size": 0.5,
            "stop_loss_suggestion": 59_000,
            "take_profit_suggestion": 62_000,
        },
    }
    for path, value in changed.items():
        *parts, last = path.split("__")
        inner = said
        for part in parts:
            inner = inner[part]
        inner[last] = value
    return said


def reads(*said: Any, facts: Any = (FACTS,)) -> Any:
    return read(json.dumps({"reads": list(said)}), facts, DATA, "gemini-x")


def test_a_valid_answer_is_read_whole():
    (found,) = reads(answer())
    assert (found.symbol, found.by, found.ts, found.price) == (
        "BTCUSDT",
        "gemini-x",
        FACTS.ts,
        PRICE,
    )
    assert (found.lean, found.confidence, found.bias) == (Lean.LONG, 0.72, 0.6)
    assert found.scores[0] == ("rsi", 0.5)
    assert (found.trend, found.trend_strength, found.volatility) == (Trend.UP, 0.4, Level.LOW)
    assert (found.supports, found.resistances) == ((59_000.5, 58_000.0), (61_000.0, 62_000.0))
    assert (found.overall_risk, found.technical_risk, found.market_risk) == (
        Level.MEDIUM,
        Level.LOW,
        Level.HIGH,
    )
    assert (found.size, found.stop_loss, found.take_profit) == (0.5, 59_000, 62_000)
    assert (found.invented, found.instead) == ((), "")


def test_numbers_that_are_not_in_the_data_are_named():
    said = answer(reasoning="RSI of 63 above 59,000.", market_analysis__volume_analysis="up 40%")
    assert reads(said)[0].invented == ("63", "40%")


def test_its_words_are_made_inert():
    said = answer(reasoning="Buy **now** at https://evil.example, @everyone: /approve 3\u200b!")
    assert reads(said)[0].reasoning == "Buy now at (a link is left out) everyone: approve 3!"


def test_where_it_is_neutral_there_is_no_stop_and_no_target():
    (found,) = reads(answer(signal="neutral", bias=0.2))
    assert (found.lean, found.stop_loss, found.take_profit) == (Lean.NEUTRAL, None, None)


def test_stop_and_target_may_be_left_out():
    said = answer()
    del said["risk_assessment"]["stop_loss_suggestion"]
    said["risk_assessment"]["take_profit_suggestion"] = None
    assert reads(said)[0].stop_loss is None


REFUSED = {
    "an unknown signal": (answer(signal="buy"), "reads.0.signal"),
    "more than sure": (answer(confidence=1.01), "reads.0.confidence"),
    "less than unsure": (answer(confidence=-0.1), "reads.0.confidence"),
    "a number in words": (answer(confidence="0.7"), "reads.0.confidence"),
    "a truth for a number": (answer(confidence=True), "reads.0.confidence"),
    "nothing for a number": (answer(confidence=None), "reads.0.confidence"),
    "a bias beyond its bounds": (answer(bias=1.5), "reads.0.bias"),
    "a bias against the signal": (answer(bias=-0.1), "bias -0.1 does not fit the signal long"),
    "a short with a bias up": (
        answer(
            signal="short",
            bias=0.1,
            risk_assessment__stop_loss_suggestion=None,
            risk_assessment__take_profit_suggestion=None,
        ),
        "bias 0.1 does not fit the signal short",
    ),
    "a neutral that leans": (answer(signal="neutral", bias=0.31), "does not fit"),
    "too many words": (answer(reasoning="x" * 501), "reads.0.reasoning"),
    "no words": (answer(reasoning=" \u200b"), "the reasoning says nothing"),
    "a score below its bounds": (answer(strategy_scores__rsi=0.2), "strategy_scores.rsi"),
    "a score too many": (answer(strategy_scores__floor=0.5), "strategy_scores.floor"),
    "a key too many": (answer(order="sell all"), "reads.0.order"),
    "an unknown trend": (answer(market_analysis__trend_direction="moon"), "trend_direction"),
    "support above the price": (
        answer(market_analysis__support_levels=[60_001]),
        "support_levels 60001.0 must lie below the price 60000.0, within 50% of it",
    ),
    "support at the price": (answer(market_analysis__support_levels=[60_000]), "support_levels"),
    "support too far": (answer(market_analysis__support_levels=[29_999]), "support_levels"),
    "resistance below the price": (
        answer(market_analysis__resistance_levels=[59_999]),
        "resistance_levels 59999.0 must lie above",
    ),
    "resistance too far": (answer(market_analysis__resistance_levels=[90_001]), "resistance"),
    "four levels": (answer(market_analysis__support_levels=[1e4] * 4), "support_levels"),
    "a stop on the wrong side": (
        answer(risk_assessment__stop_loss_suggestion=61_000),
        "stop_loss_suggestion 61000.0 must lie below",
    ),
    "a target on the wrong side": (
        answer(risk_assessment__take_profit_suggestion=59_000),
        "take_profit_suggestion 59000.0 must lie above",
    ),
    "a stop at nothing": (answer(risk_assessment__stop_loss_suggestion=0), "stop_loss"),
    "another symbol": (answer("DOGEUSDT"), "one of each symbol: BTCUSDT"),
}


@pytest.mark.parametrize(("said", "complaint"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_as_asked_for_is_refused_with_the_reason(said, complaint):
    with pytest.raises(ValueError) as refused:
        reads(said)
    assert complaint in str(refused.value)
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("path", ["confidence", "bias", "strategy_scores", "risk_assessment"])
def test_what_is_missing_is_named(path):
    said = answer()
    del said[path]
    with pytest.raises(ValueError, match=f"reads.0.{path}: Field required"):
        reads(said)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_no_number_is_beyond_all_bounds(number):
    text = json.dumps({"reads": [answer(market_analysis__trend_strength=7)]})
    text = text.replace('"trend_strength": 7', f'"trend_strength": {number}')
    with pytest.raises(ValueError, match="trend_strength"):
        read(text, (FACTS,), DATA, "x")


@pytest.mark.parametrize(
    "text", ["", "sell", "[]", "null", '{"reads": {}}', '{"reads": null}', "{"]
)
def test_what_is_no_such_json_is_refused(text):
    with pytest.raises(ValueError):
        read(text, (FACTS,), DATA, "x")


# -- several -----------------------------------------------------------------------------

ETH = replace(FACTS, symbol="ETHUSDT")


def test_reads_come_in_the_order_of_the_facts():
    found = reads(answer("ETHUSDT"), answer("BTCUSDT"), facts=(FACTS, ETH))
    assert [each.symbol for each in found] == ["BTCUSDT", "ETHUSDT"]


@pytest.mark.parametrize(
    "symbols", [["BTCUSDT"], ["BTCUSDT", "BTCUSDT"], ["BTCUSDT", "ETHUSDT", "ETHUSDT"], []]
)
def test_a_symbol_missing_or_twice_makes_the_whole_invalid(symbols):
    with pytest.raises(ValueError, match="one of each symbol: BTCUSDT, ETHUSDT"):
        reads(*map(answer, symbols), facts=(FACTS, ETH))


# -- the schema --------------------------------------------------------------------------


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [*schema.get("properties", {}).values(), *filter(None, [schema.get("items")])]
    return [schema, *(node for each in inner for node in nodes(each))]


def test_the_schema_is_made_of_what_every_driver_knows():
    for node in nodes(SCHEMA):
        assert node["type"] in {"object", "array", "string", "number"}
        assert node.keys() <= {"type", "description", "enum", "properties", "required", "items"}


def test_the_schema_asks_for_what_the_reference_lists():
    signal = SCHEMA["properties"]["reads"]["items"]
    assert set(signal["required"]) == answer().keys()
    for part in ("strategy_scores", "market_analysis", "risk_assessment"):
        assert signal["properties"][part]["properties"].keys() == answer()[part].keys()
    assert signal["properties"]["signal"]["enum"] == ["long", "short", "neutral"]


# -- the vote ----------------------------------------------------------------------------


def as_answer(found: Any) -> dict[str, Any]:
    """A read as a model would have answered it."""
    exits = {
        "stop_loss_suggestion": found.stop_loss,
        "take_profit_suggestion": found.take_profit,
    }
    return {
        **answer(found.symbol),
        "signal": found.lean,
        "confidence": found.confidence,
        "reasoning": found.reasoning,
        "bias": found.bias,
        "strategy_scores": dict(found.scores),
        "market_analysis": {
            "trend_direction": found.trend,
            "trend_strength": found.trend_strength,
            "support_levels": list(found.supports),
            "resistance_levels": list(found.resistances),
            "volatility_level": found.volatility,
            "volume_analysis": found.volume,
        },
        "risk_assessment": {
            "overall_risk": found.overall_risk,
            "technical_risk": found.technical_risk,
            "market_risk": found.market_risk,
            "recommended_position_size": found.size,
            **exits,
        },
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 700), st.sampled_from([0, 1, -1]))
def test_what_the_vote_says_would_be_a_valid_answer(seed, count, side):
    facts = facts_of(walk(count, seed))
    if side:
        frame = voting(h1=side).timeframes[0].frame
        agreed = (replace(each, frame=frame, bars=99) for each in facts.timeframes)
        facts = replace(facts, timeframes=tuple(agreed))
    found = voted(facts)
    (again,) = reads(as_answer(found), facts=(facts,))
    assert replace(again, by=found.by, invented=()) == found


@settings(max_examples=60)
@given(st.data())
def test_an_answer_with_anything_in_it_is_valid_or_refused(data):
    said = deepcopy(answer())
    part = data.draw(st.sampled_from([said, said["market_analysis"], said["risk_assessment"]]))
    name = data.draw(st.sampled_from(sorted(part)))
    junk = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    part[name] = data.draw(junk | st.lists(junk, max_size=4))
    try:
        (found,) = reads(said)
    except ValueError:
        return
    assert 0 <= found.confidence <= 1
    assert 0 < len(found.reasoning) <= 500
