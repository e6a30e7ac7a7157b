"""What a model answers that looked at markets, as it has to."""

from typing import Any


def read_of(symbol: str, price: float, **changed: Any) -> dict[str, Any]:
    """A valid read that is for falling prices, but for what is `changed`."""
    return {
        "symbol": symbol,
        "signal": "short",
        "confidence": 0.9,
        "reasoning": "The trend points down.",
        "bias": -0.8,
        "strategy_scores": dict.fromkeys(("rsi", "macd", "bollinger", "volume", "stochastic"), 0.5),
        "market_analysis": {
            "trend_direction": "down",
            "trend_strength": 0.6,
            "support_levels": [price * 0.95],
            "resistance_levels": [price * 1.05],
            "volatility_level": "medium",
            "volume_analysis": "usual",
        },
        "risk_assessment": {
            "overall_risk": "medium",
            "technical_risk": "medium",
            "market_risk": "medium",
            "recommended_position_size": 0.5,
            "stop_loss_suggestion": price * 1.02,
            "take_profit_suggestion": price * 0.96,
        },
        **changed,
    }
