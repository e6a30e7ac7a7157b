"""The strategies there are. A new one is one file beside this and one line here."""

from engine.strategies import shortseller
from engine.strategies.kernel import Strategy

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (shortseller.STRATEGY,)}
