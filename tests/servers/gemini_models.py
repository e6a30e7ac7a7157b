"""The models that the local Gemini offers, and what each of them takes."""

import re
from dataclasses import dataclass

from tests.servers.gemini_refusals import Json

INPUT_TOKENS_MAX = 1_048_576
NAMES = (
    "gemini-2.0-flash",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-3-flash-preview",
    "gemini-3-pro-preview",
    "gemini-3.5-flash-lite",
)


@dataclass
class Card:
    """A model. `signs` is whether it wants the signatures of its calls back, `mixes` whether it
    takes functions and a schema of the answer at once; `budgets` are the least and the most
    tokens that it may be told to think, `idle` whether it can be told not to think at all."""

    name: str
    input_tokens_max: int = INPUT_TOKENS_MAX
    output_tokens_max: int = 65_536
    thinks: bool = True
    signs: bool = False
    mixes: bool = False
    budgets: tuple[int, int] = (1, 24_576)
    idle: bool = True

    def json(self) -> Json:
        return {
            "name": f"models/{self.name}",
            "version": "001",
            "displayName": self.name.replace("-", " ").title(),
            "description": "A model of a test.",
            "inputTokenLimit": self.input_tokens_max,
            "outputTokenLimit": self.output_tokens_max,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
            "temperature": 1,
            "topP": 0.95,
            "topK": 64,
            "maxTemperature": 2,
        } | ({"thinking": True} if self.thinks else {})


def card(name: str) -> Card:
    """A model by its generation, which its name tells: thinking came with 2.5, signatures that
    must come back and functions beside a schema with 3. Names that tell nothing are of 2.5."""
    found = re.match(r"gemini-(\d+(?:\.\d+)?)", name)
    generation = float(found[1]) if found else 2.5
    if generation < 2.5:
        return Card(name, output_tokens_max=8_192, thinks=False)
    new = generation >= 3
    if "pro" in name:
        return Card(name, signs=new, mixes=new, budgets=(128, 32_768), idle=False)
    least = 512 if "lite" in name else 1
    return Card(name, signs=new, mixes=new, budgets=(least, 24_576), idle=not new)
