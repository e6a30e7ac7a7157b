"""LXAlgo, the pump chaser: buys what has just risen fast, where it looks strong or restless.

Five-minute bars, long only. The close must stand 8 % above the one of an hour ago. Then a score
counts one point each for RSI(84) over 60, volume up by more than half and price by more than 5 %
against 144 bars ago, a spread (high less low over close) under 3 %, and a volatility (deviation
of 144 returns, per bar) over 0.005. Rule 8 is asked first: two points or more and a spread under
4 %. Else rule 6: RSI over 55 and volatility over 0.008. A fifth of the score is the confidence,
of both rules. Volume that cannot be compared, for there was none 144 bars ago, counts as
unchanged. Nothing ends a position but its exits. Positions are traded unlevered: what one of
them can lose is then the 150 USDT it binds.
"""

from array import array
from typing import NamedTuple

from engine.candle import HOUR_MS, TIMEFRAMES
from engine.strategies.exits import Exits
from engine.strategies.indicators import Roc, Rsi, Volatility, roc, rsi, volatility
from engine.strategies.kernel import (
    NOTHING,
    RULE_6,
    RULE_8,
    Bar,
    Condition,
    Signal,
    Strategy,
    Window,
)
from engine.strategies.sizing import Sizing
from engine.tunable import Parameter, Tier, Unit

POINTS = 5.0
# It trades on no fewer, however short the lengths are.
BARS_MIN = 150.0


class Params(NamedTuple):
    """Lengths in bars; rises, changes and spreads as fractions, the volatility per bar."""

    pump_bars: float = 12.0
    pump: float = 0.08
    rsi_bars: float = 84.0
    volatility_bars: float = 144.0
    change_bars: float = 144.0
    score_rsi: float = 60.0
    score_volume: float = 0.5
    score_spread: float = 0.03
    score_volatility: float = 0.005
    score_change: float = 0.05
    rule_8_score: float = 2.0
    rule_8_spread: float = 0.04
    rule_6_rsi: float = 55.0
    rule_6_volatility: float = 0.008


class State(NamedTuple):
    """Bars seen, the rise of the pump, and what the score looks at."""

    bars: float = 0.0
    pump: Roc = Roc()
    rsi: Rsi = Rsi()
    volatility: Volatility = Volatility()
    price: Roc = Roc()
    volume: Roc = Roc()


PARAMETERS = (
    Parameter("pump_bars", 12, 1, 288, 1, Unit.BARS, Tier.YELLOW, "bars a pump may take"),
    Parameter(
        "pump", 0.08, 0.01, 0.5, 0.005, Unit.FRACTION, Tier.GREEN, "least rise that is a pump",
        riskier=-1,
    ),
    Parameter("rsi_bars", 84, 2, 500, 1, Unit.BARS, Tier.YELLOW, "length of the RSI"),
    Parameter("volatility_bars", 144, 2, 1000, 1, Unit.BARS, Tier.YELLOW, "returns it looks at"),
    Parameter(
        "change_bars", 144, 1, 1000, 1, Unit.BARS, Tier.YELLOW, "bars volume and price change over"
    ),
    Parameter(
        "score_rsi", 60, 50, 80, 1, Unit.LEVEL, Tier.GREEN, "RSI over this: a point", riskier=-1
    ),
    Parameter(
        "score_volume", 0.5, 0, 5, 0.05, Unit.FRACTION, Tier.GREEN, "volume up by more: a point",
        riskier=-1,
    ),
    Parameter(
        "score_spread", 0.03, 0.005, 0.2, 0.005, Unit.FRACTION, Tier.GREEN,
        "spread under it: a point", riskier=1,
    ),
    Parameter(
        "score_volatility", 0.005, 0.001, 0.05, 0.001, Unit.FRACTION, Tier.GREEN,
        "volatility over it: a point", riskier=-1,
    ),
    Parameter(
        "score_change", 0.05, 0, 0.5, 0.01, Unit.FRACTION, Tier.GREEN, "price up by more: a point",
        riskier=-1,
    ),
    Parameter(
        "rule_8_score", 2, 1, 5, 1, Unit.COUNT, Tier.GREEN, "least score of rule 8", riskier=-1
    ),
    Parameter(
        "rule_8_spread", 0.04, 0.005, 0.2, 0.005, Unit.FRACTION, Tier.GREEN,
        "spread that rule 8 stays under", riskier=1,
    ),
    Parameter(
        "rule_6_rsi", 55, 50, 65, 1, Unit.LEVEL, Tier.GREEN, "RSI that rule 6 exceeds", riskier=-1
    ),
    Parameter(
        "rule_6_volatility", 0.008, 0.001, 0.05, 0.001, Unit.FRACTION, Tier.GREEN,
        "volatility that rule 6 exceeds", riskier=-1,
    ),
)  # fmt: skip


def bars(params: Params) -> int:
    compared = max(params.pump_bars, params.rsi_bars, params.volatility_bars, params.change_bars)
    return int(max(compared + 1.0, BARS_MIN))


def start(params: Params) -> tuple[State, Window]:
    cells = params.pump_bars + params.volatility_bars + 2.0 * params.change_bars
    return State(), array("d", bytes(8 * int(cells)))


def spread_of(bar: Bar) -> float:
    """The bar's range as a fraction of its close."""
    return (bar.high - bar.low) / bar.close if bar.close > 0.0 else 0.0


def score_of(params: Params, state: State, bar: Bar) -> float:
    """The composite score, 0 to 5."""
    score = 0.0
    if state.rsi.value > params.score_rsi:
        score += 1.0
    if state.volume.value > params.score_volume:
        score += 1.0
    if spread_of(bar) < params.score_spread:
        score += 1.0
    if state.volatility.value > params.score_volatility:
        score += 1.0
    if state.price.value > params.score_change:
        score += 1.0
    return score


def meets_rule_8(params: Params, score: float, bar: Bar) -> bool:
    return score >= params.rule_8_score and spread_of(bar) < params.rule_8_spread


def meets_rule_6(params: Params, state: State) -> bool:
    return state.rsi.value > params.rule_6_rsi and state.volatility.value > params.rule_6_volatility


def decide(params: Params, state: State, bar: Bar) -> Signal:
    if state.pump.value < params.pump:
        return NOTHING
    score = score_of(params, state, bar)
    confidence = score / POINTS
    if meets_rule_8(params, score, bar):
        return Signal(1.0, 0.0, 0.0, RULE_8, confidence, 0.0, 0.0, 0.0)
    if meets_rule_6(params, state):
        return Signal(1.0, 0.0, 0.0, RULE_6, confidence, 0.0, 0.0, 0.0)
    return NOTHING


def step(params: Params, state: State, window: Window, bar: Bar) -> tuple[State, Signal]:
    volatilities = int(params.pump_bars)
    prices = volatilities + int(params.volatility_bars)
    volumes = prices + int(params.change_bars)
    state = State(
        state.bars + 1.0,
        roc(state.pump, window, 0, bar.close, params.pump_bars),
        rsi(state.rsi, bar.close, params.rsi_bars),
        volatility(state.volatility, window, volatilities, bar.close, params.volatility_bars),
        roc(state.price, window, prices, bar.close, params.change_bars),
        roc(state.volume, window, volumes, bar.volume, params.change_bars),
    )
    if state.bars < bars(params):
        return state, NOTHING
    return state, decide(params, state, bar)


def explain(params: Params, state: State, bar: Bar) -> list[Condition]:
    score = score_of(params, state, bar)
    return [
        Condition(
            f"up {params.pump:.1%} in {params.pump_bars:.0f} bars",
            state.pump.value >= params.pump,
            f"{state.pump.value:.2%}",
        ),
        Condition(
            "rule 8 or rule 6",
            meets_rule_8(params, score, bar) or meets_rule_6(params, state),
            f"8: score {score:.0f} of {POINTS:.0f}, needs {params.rule_8_score:.0f}, spread "
            f"{spread_of(bar):.2%}, under {params.rule_8_spread:.2%} (volume "
            f"{state.volume.value:+.0%}, price {state.price.value:+.2%}); 6: RSI "
            f"{state.rsi.value:.1f}, over {params.rule_6_rsi:.0f}, volatility "
            f"{state.volatility.value:.2%}, over {params.rule_6_volatility:.2%}",
        ),
    ]


STRATEGY = Strategy(
    name="lxalgo",
    summary="Pump chaser: buys a rise of 8 % in an hour that scores well",
    timeframe=TIMEFRAMES["5m"],
    params=Params(),
    parameters=PARAMETERS,
    bars=bars,
    start=start,
    step=step,
    explain=explain,
    exits={
        "*": Exits(
            stop_loss=0.08,
            take_profit=0.25,
            trail=0.08,
            trail_activation=0.15,
            max_age_ms=72 * HOUR_MS,
            cooldown_ms=0,
            break_even=0.08,
            break_even_buffer=0.0002,
            losing_age_ms=8 * HOUR_MS,
            cooldown_block_ms=4 * HOUR_MS,
        )
    },
    sizing=Sizing(
        margin=0.015,
        margin_cap=0.015,
        leverage=1,
        fixed=150.0,
        slots=15,
        free_at_break_even=1,
        free_min=200.0,
    ),
)
