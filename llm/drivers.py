"""Which driver speaks to Gemini: GEMINI_DRIVER chooses."""

from collections.abc import Callable, Mapping

from llm.gemini import Gemini
from llm.gemini_legacy import LegacyGemini
from llm.model import Model

DRIVERS: Mapping[str, Callable[[str, str, str], Model]] = {"genai": Gemini, "legacy": LegacyGemini}


def open_model(driver: str, key: str, model: str, base: str) -> Model | None:
    """The model that the settings name, None without a key. Nothing is sent yet.

    Raises KeyError for a driver not in DRIVERS.
    """
    return DRIVERS[driver](key, model, base) if key else None
