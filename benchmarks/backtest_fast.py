"""The fast backtest beside a C loop of the same rules, and beside its peers.

Beside C the short seller runs with every rule on, over 1,000,000 one-minute bars of a seeded
random walk. Ours is the function that `countersign backtest` calls, the C loop is
benchmarks/backtest_fast.c at gcc -O3; their trades must be equal.

Beside the peers it runs by the rules that all of them have (benchmarks/workload.py). Each has an
environment of its own and is timed from bars in its own form in memory to its trades and its
equity; the slow ones get fewer bars, so many as `peer_bars` says. They can't take turns with ours,
so the quickest round counts on both sides: other work on the machine then counts least.

All do the same trades. What is left between the results: ours puts stops and targets on the tick,
vectorbt does not; vectorbt drops an entry on the bar where a stop fires, and lets the stop come
before an exit at that bar's open; jesse and freqtrade close the last position, and freqtrade has
its target as a return after fees.

    .venv/bin/python -m benchmarks.backtest_fast [--bars N] [--rounds N] [--all-peers] [--no-peers]

The last line is one JSON object: bars a second of each, and ours divided by theirs. `run_s` is
ours with everything that is made of the arrays for people (trades, hourly equity, excursions).
"""

import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import PEERS, Found, Unavailable, bars_a_second, version
from benchmarks.workload import (
    SYMBOL,
    funded,
    peers_plan,
    random_columns,
    timed,
    unfunded,
    whole_plan,
)
from engine.backtest import fast
from engine.backtest.history import History
from engine.backtest.plan import FUNDING_RATE, Plan
from engine.columns import Columns, take
from engine.instrument import MAJORS
from engine.margin import maintenance

BARS = 1_000_000
ROUNDS = 7
RATIO_C_MIN = 0.5
RATIO_VECTORBT_MIN = 20.0
SOURCE = Path(__file__).with_suffix(".c")
# How many bars the peers get that would take minutes over all of them.
PEER_BARS = {
    "backtesting": 200_000,
    "nautilus_trader": 100_000,
    "backtrader": 50_000,
    "jesse": 50_000,
    "freqtrade": 50_000,
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print the JSON line; exit code 1 when a bar is missed."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--bars", type=int, default=BARS)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--all-peers", action="store_true")
    options.add_argument("--no-peers", action="store_true")
    chosen = options.parse_args(arguments)
    columns = random_columns(chosen.bars)
    found = beside_c(funded(columns), chosen.rounds)
    if not chosen.no_peers:
        found |= beside_peers(PEERS if chosen.all_peers else PEERS[:1], columns, chosen.rounds)
    sys.stdout.write(json.dumps({"benchmark": "backtest_fast", **found}) + "\n")
    missed = found["ratio_c"] < RATIO_C_MIN
    missed |= found.get("ratio_vectorbt", RATIO_VECTORBT_MIN) < RATIO_VECTORBT_MIN
    return int(missed)


def beside_c(history: History, rounds: int) -> Found:
    """Ours and the C loop in turns, so that a busy machine slows both."""
    plan = whole_plan()
    c_loop = CLoop(plan, history)
    assert_equal(fast.run(plan, history).trips, c_loop.trades())
    ours: list[float] = []
    theirs: list[float] = []
    whole: list[float] = []
    for _ in range(rounds):
        ours.append(timed(lambda: fast.simulate(plan, history)))
        theirs.append(timed(c_loop.run))
        whole.append(timed(lambda: fast.run(plan, history)))
    bars = history.bars
    return {
        "bars": bars,
        "trades": c_loop.count,
        "bars_a_second": round(bars / median(ours)),
        "c_bars_a_second": round(bars / median(theirs)),
        "ratio_c": round(median(theirs) / median(ours), 3),
        "run_s": round(median(whole), 4),
    }


def beside_peers(names: tuple[str, ...], columns: Columns, rounds: int) -> Found:
    """Each peer on its bars, with ours on the same just before; one that fails is named."""
    found: Found = {"peer_bars": {}, "unavailable": {}}
    for name in names:
        bars = take(columns, slice(PEER_BARS.get(name)))
        ours = by_peers_rules(unfunded(bars), rounds)
        sys.stdout.write(f"ours beside {version(name)}: {json.dumps(ours)}\n")
        try:
            peer = bars_a_second(name, bars)
        except Unavailable as error:
            sys.stdout.write(f"{version(name)} is not measured: {error}\n")
            found["unavailable"][name] = str(error)
            continue
        found["peer_bars"][name] = peer["bars"]
        found[f"{name}_bars_a_second"] = peer["bars_a_second"]
        found[f"ratio_{name}"] = round(ours["bars_a_second"] / peer["bars_a_second"], 2)
    return found


def by_peers_rules(history: History, rounds: int) -> Found:
    """Ours on the rules that the peers trade by."""
    plan = peers_plan()
    outcome = fast.run(plan, history)
    seconds = min(timed(lambda: fast.simulate(plan, history)) for _ in range(rounds))
    return {
        "bars": history.bars,
        "bars_a_second": round(history.bars / seconds),
        "trades": len(outcome.trips),
        "final_equity": round(outcome.equity, 2),
    }


# -- the C loop --------------------------------------------------------------------------

_FLOATS = (
    "fast slow crosses_per_day stop_loss take_profit trail trail_activation",
    "margin leverage fee slippage deposit tick tick_scale step step_scale quantity_min "
    "quantity_max notional_min liquidation_loss bankruptcy_loss rate",
)


class CPlan(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_double) for name in _FLOATS[0].split()),
        ("max_age", ctypes.c_int64),
        ("cooldown", ctypes.c_int64),
        *((name, ctypes.c_double) for name in _FLOATS[1].split()),
        ("interval", ctypes.c_int64),
    ]


class CTrade(ctypes.Structure):
    _fields_ = [
        ("entry_time", ctypes.c_int64),
        ("exit_time", ctypes.c_int64),
        *((name, ctypes.c_double) for name in ["entry_price", "exit_price", "quantity"]),
        *((name, ctypes.c_double) for name in ["gross", "fees", "funding"]),
        ("reason", ctypes.c_int64),
    ]


class CLoop:
    """The C loop over the same candles, compiled when it is made."""

    def __init__(self, plan: Plan, history: History) -> None:
        self._function = compiled()
        self._plan = c_plan(plan, history.interval)
        self._columns = history.columns[SYMBOL]
        self._trades = (CTrade * len(self._columns.ts))()
        self.count = 0

    def run(self) -> None:
        columns = [column.ctypes.data_as(ctypes.c_void_p) for column in self._columns[:5]]
        balance = ctypes.c_double()
        self.count = self._function(
            ctypes.byref(self._plan),
            *columns,
            ctypes.c_int64(len(self._columns.ts)),
            self._trades,
            ctypes.byref(balance),
        )

    def trades(self) -> list[CTrade]:
        self.run()
        return self._trades[: self.count]


def compiled() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "backtest_fast.so"
        subprocess.run(["gcc", "-O3", "-shared", "-fPIC", "-o", library, SOURCE, "-lm"], check=True)
        function = ctypes.CDLL(str(library)).backtest
    function.restype = ctypes.c_int64
    return function


def c_plan(plan: Plan, interval: int) -> CPlan:
    own, exits, sizing = plan.strategy.params, plan.strategy.exits_for(SYMBOL), plan.strategy.sizing
    rules = MAJORS[SYMBOL]
    return CPlan(
        **own._asdict(),
        stop_loss=exits.stop_loss,
        take_profit=exits.take_profit,
        trail=exits.trail,
        trail_activation=exits.trail_activation,
        max_age=exits.max_age_ms,
        cooldown=exits.cooldown_ms,
        margin=min(sizing.margin, sizing.margin_cap),
        leverage=sizing.leverage,
        fee=plan.fee,
        slippage=plan.slippage,
        deposit=plan.deposit,
        tick=float(rules.tick),
        tick_scale=1 / float(rules.tick),
        step=float(rules.quantity_step),
        step_scale=1 / float(rules.quantity_step),
        quantity_min=float(rules.quantity_min),
        quantity_max=float(rules.quantity_max),
        notional_min=float(rules.notional_min),
        liquidation_loss=(1 - maintenance(sizing.leverage)) / sizing.leverage,
        bankruptcy_loss=1 / sizing.leverage,
        rate=FUNDING_RATE,
        interval=interval,
    )


def assert_equal(ours: Any, theirs: list[CTrade]) -> None:
    """The same trades: times, prices and quantity to the digit, money to the last bits."""
    assert len(ours) == len(theirs), f"{len(ours)} trades, in C {len(theirs)}"
    for one, other in zip(ours, theirs, strict=True):
        for name in ("entry_time", "exit_time", "entry_price", "exit_price", "quantity"):
            assert getattr(one, name) == getattr(other, name), f"{name} of {one}"
        net = other.gross - other.fees + other.funding
        assert abs(one.net - net) < 1e-6, f"net of {one}: in C {net}"


if __name__ == "__main__":
    sys.exit(main())
