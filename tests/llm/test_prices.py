"""What models cost, and the most that a prompt can come to."""

from decimal import Decimal

import pytest

from llm.limits import dollars, moment_words, month_after, month_of, span_words
from llm.model import (
    Function,
    FunctionCall,
    FunctionResult,
    Request,
    Speaker,
    Turn,
    Usage,
)
from llm.prices import DEAREST, PRICES, price_of, prompt_tokens_max


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
        ("gemini-2.5-flash-lite-preview-09-2025", "gemini-2.5-flash-lite"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-3-pro-preview", "gemini-3-pro"),
        ("gemini-3.8-flash-latest", "gemini-3.8-flash"),
    ],
)
def test_a_model_costs_what_its_family_does(model: str, known: str) -> None:
    assert price_of(model) == PRICES[known]


@pytest.mark.parametrize(
    "model", ["gemini-9-ultra", "gemini-2.5-flash-image", "gemini-flash-latest", "x", "gemini-2.5"]
)
def test_a_model_that_nobody_knows_costs_as_much_as_the_dearest(model: str) -> None:
    assert price_of(model) == DEAREST
    assert DEAREST.input >= PRICES["gemini-2.5-pro"].input
    assert DEAREST.output >= PRICES["gemini-2.5-pro"].output


def test_a_cost_is_exact() -> None:
    price = PRICES["gemini-2.5-flash"]
    assert price.of_usage(Usage(1, 1)) == Decimal("0.0000028")
    assert price.tokens_for(Decimal("0.0025")) == 1000
    assert price.tokens_for(Decimal("0.0024999")) == 999


def test_all_that_is_sent_counts_for_the_most_that_a_prompt_can_have() -> None:
    bare = prompt_tokens_max(Request("", ()))
    parts = [
        Request("é" * 100, ()),
        Request("", (), schema={"description": "é" * 100}),
        Request("", (), functions=(Function("look", "é" * 100),)),
        Request("", (), functions=(Function("look", "", {"description": "é" * 100}),)),
        Request("", (Turn(Speaker.USER, "é" * 100),)),
        Request("", (Turn(Speaker.MODEL, calls=(FunctionCall("look", {"a": "é" * 100}),)),)),
        Request("", (Turn(Speaker.USER, results=(FunctionResult("x", {"a": "é" * 100}),)),)),
        Request("", (Turn(Speaker.MODEL, raw={"signature": b"s" * 200}),)),
    ]
    assert [prompt_tokens_max(each) - bare >= 200 for each in parts] == [True] * len(parts)


# 2024-02-29T23:59:59Z and 2024-12-31T12:00:00Z.
@pytest.mark.parametrize(
    ("now", "began", "ends"),
    [
        (1_709_251_199_000, 1_706_745_600_000, 1_709_251_200_000),
        (1_735_646_400_000, 1_733_011_200_000, 1_735_689_600_000),
    ],
)
def test_a_month_is_one_of_the_calendar(now: int, began: int, ends: int) -> None:
    assert (month_of(now), month_after(now)) == (began, ends)
    assert (month_of(began), month_of(ends)) == (began, ends)


def test_time_and_money_are_said_briefly() -> None:
    assert [span_words(ms) for ms in (1, 40_000, 61_000, 3_600_000, 93_600_000)] == [
        "1 s", "40 s", "2m", "1h 0m", "1d 2h",
    ]  # fmt: skip
    assert [dollars(Decimal(text)) for text in ("0.00028", "0.5", "12.345")] == [
        "$0.0003", "$0.5000", "$12.34",
    ]  # fmt: skip
    assert moment_words(1_735_689_600_000, 1_735_646_400_000) == "at 00:00 UTC, in 12h 0m"
    assert moment_words(1_735_689_600_000, 1_735_300_800_000) == (
        "on 2025-01-01 at 00:00 UTC, in 4d 12h"
    )
