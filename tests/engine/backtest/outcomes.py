"""Outcomes made by hand: two trades with round numbers, and one position that stays open."""

from dataclasses import replace
from typing import Any

from engine.backtest.plan import Held, Outcome, Plan
from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import Mark, RoundTrip
from tests.engine.backtest.puppets import PUPPET, T0

BAR = HOUR_MS
WON = RoundTrip(
    symbol="BTCUSDT",
    side=1,
    entry_time=T0 + BAR,
    exit_time=T0 + 4 * BAR,
    entry_price=100.0,
    exit_price=110.0,
    quantity=2.0,
    entry_tag="long_entry",
    exit_reason="take_profit",
    gross=20.0,
    fees=1.0,
    funding=-0.5,
    slippage=0.25,
    risk=10.0,
    adverse=0.01,
    favorable=0.1,
)
LOST = WON._replace(
    symbol="ETHUSDT",
    side=-1,
    entry_time=T0 + 30 * BAR,
    exit_time=T0 + 31 * BAR,
    exit_price=105.0,
    exit_reason="stop_loss",
    gross=-10.0,
    funding=0.0,
    slippage=None,
    risk=None,
)


def outcome(**changes: Any) -> Outcome:
    marks = [Mark(T0 + n * BAR, 1000.0 + (n % 7) - (n > 30) * 5.0) for n in range(72)]
    made = Outcome(
        plan=Plan(PUPPET, deposit=1000.0),
        symbols=("BTCUSDT", "ETHUSDT"),
        interval=BAR,
        start=T0,
        end=T0 + 3 * DAY_MS,
        bars=144,
        trips=(WON, LOST),
        held=(Held("BTCUSDT", -1, 0.5, T0 + 60 * BAR, 100.0, 90.0, 5.0),),
        marks=(*marks, Mark(T0 + 3 * DAY_MS, 1012.5)),
        balance=1007.5,
        equity=1012.5,
        fees=2.5,
        funding=-0.5,
        prices={"BTCUSDT": (100.0, 90.0), "ETHUSDT": (100.0, 120.0)},
        digest="0123456789abcdef",
        remarks=("BTCUSDT: 1 gap.",),
    )
    return replace(made, **changes)
