"""The strategies there are. A new one is one file beside this and one line here."""

from engine.strategies import (
    adx,
    asian,
    bollinger,
    breakout,
    combined,
    london,
    lxalgo,
    macd,
    macross,
    meanreversion,
    momentum,
    rsi,
    shortseller,
    stochastic,
    trend,
    volume,
)
from engine.strategies.kernel import Strategy

STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy
    for strategy in (
        shortseller.STRATEGY,
        lxalgo.STRATEGY,
        momentum.STRATEGY,
        london.STRATEGY,
        asian.STRATEGY,
        breakout.STRATEGY,
        adx.STRATEGY,
        meanreversion.STRATEGY,
        macross.STRATEGY,
        trend.STRATEGY,
        rsi.STRATEGY,
        macd.STRATEGY,
        bollinger.STRATEGY,
        volume.STRATEGY,
        stochastic.STRATEGY,
        combined.STRATEGY,
    )
}
