"""What models cost: US dollars for a million tokens, and the most that a prompt can come to.

Source: Google's list of prices of the Gemini API, paid tier, for text, as it stood in October 2026
(https://ai.google.dev/gemini-api/docs/pricing). Thoughts cost as much as other output.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from llm.model import Request, Turn, Usage

MILLION = Decimal(1_000_000)
# What a model is told about roles, tools and schemas beside their text: for the request, and for
# each turn and tool. Far above what such marks are known to take.
REQUEST_TOKENS = 256
PART_TOKENS = 32

# A model's name may end in a preview, a version or a date. Others, as those that make pictures,
# have prices of their own.
_SUFFIX = re.compile(r"(-preview)?(-\d[\d-]*|-latest)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens sent, and for a million that come back."""

    input: Decimal
    output: Decimal

    def of(self, prompt_tokens: int, output_tokens: int) -> Decimal:
        """US dollars, exact."""
        return (self.input * prompt_tokens + self.output * output_tokens) / MILLION

    def of_usage(self, usage: Usage) -> Decimal:
        return self.of(usage.prompt_tokens, usage.output_tokens)

    def tokens_for(self, dollars: Decimal) -> int:
        """How many tokens may come back for so much."""
        return int(dollars * MILLION / self.output) if self.output else 2**31


def _price(input_price: str, output_price: str) -> Price:
    return Price(Decimal(input_price), Decimal(output_price))


# Where a price depends on the prompt's length or on the date, the higher one: a cap that holds for
# it holds.
PRICES = {
    "gemini-3.8-flash": _price("1.5", "7.5"),
    "gemini-3.7-flash": _price("1.5", "7.5"),
    "gemini-3.6-flash": _price("1.5", "7.5"),
    "gemini-3.5-flash": _price("1.5", "9"),
    "gemini-3.5-flash-lite": _price("0.3", "2.5"),
    "gemini-3.1-pro": _price("4", "18"),
    "gemini-3.1-flash-lite": _price("0.25", "1.5"),
    "gemini-3-pro": _price("4", "18"),
    "gemini-3-flash": _price("0.5", "3"),
    "gemini-2.5-pro": _price("2.5", "15"),
    "gemini-2.5-flash": _price("0.3", "2.5"),
    "gemini-2.5-flash-lite": _price("0.1", "0.4"),
    "gemini-2.0-flash": _price("0.1", "0.4"),
    "gemini-2.0-flash-lite": _price("0.075", "0.3"),
}
DEAREST = Price(
    max(price.input for price in PRICES.values()), max(price.output for price in PRICES.values())
)


def price_of(model: str) -> Price:
    """What a model costs; one that is not known, as much as the dearest that is."""
    for name in sorted(PRICES, key=len, reverse=True):
        if model.startswith(name) and _SUFFIX.fullmatch(model, len(name)):
            return PRICES[name]
    return DEAREST


def prompt_tokens_max(request: Request) -> int:
    """More tokens than the prompt of a request can have.

    Every token of text stands for at least one byte of its UTF-8, so that the bytes bound the
    tokens. It is about four times too much for English, and near the truth for numbers.
    """
    parts = len(request.turns) + len(request.functions)
    size = sum(len(text.encode(errors="surrogatepass")) for text in _texts(request))
    return REQUEST_TOKENS + PART_TOKENS * parts + size


def _texts(request: Request) -> Iterator[str]:
    yield request.system
    if request.schema is not None:
        yield _json(request.schema)
    for function in request.functions:
        yield from (function.name, function.description, _json(function.parameters))
    for turn in request.turns:
        yield from _said(turn)


def _said(turn: Turn) -> Sequence[str]:
    """A turn's words; what a driver kept of it is longer, as it holds thoughts that were signed."""
    calls = [call.name + _json(call.arguments) for call in turn.calls]
    results = [result.name + _json(result.result) for result in turn.results]
    raw = "" if turn.raw is None else repr(turn.raw)
    return [turn.text, *calls, *results, raw]


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
