"""Backtests that are done, with figures that are easy to tell apart."""

from dataclasses import replace

from engine.candle import DAY_MS, HOUR_MS
from engine.metrics import Mark, RoundTrip, measure
from engine.studies import Finding, Setup, Source, Stage, Study

START = 1_735_689_600_000
DAYS = 30
SETUP = Setup(
    strategy="shortseller",
    symbols=("BTCUSDT",),
    timeframe=300_000,
    interval=300_000,
    start=START,
    stop=START + DAYS * DAY_MS,
    source=Source.MARKET,
)


def trip(net: float, day: int, symbol: str = "BTCUSDT", reason: str = "stop_loss") -> RoundTrip:
    """A short trade of an hour that earned `net` after a fee of 1."""
    at = START + day * DAY_MS
    return RoundTrip(
        symbol, -1, at, at + HOUR_MS, 100.0, 99.0, 2.0, "ema_cross", reason, net + 1.0, 1.0
    )


TRIPS = (
    trip(50.0, 3, reason="take_profit"),
    trip(-20.0, 5),
    trip(30.0, 9, "ETHUSDT", "take_profit"),
    trip(-80.0, 20),
)


def finding(trips: tuple[RoundTrip, ...] = TRIPS, digest: str = "abc") -> Finding:
    """What the account did: it steps by the net of each trade when it closes."""
    equity, marks = 10_000.0, [Mark(START, 10_000.0)]
    for each in trips:
        equity += each.net
        marks.append(Mark(each.exit_time, equity))
    end = START + DAYS * DAY_MS
    return Finding(
        symbols=("BTCUSDT",),
        interval=300_000,
        start=START,
        end=end,
        bars=DAYS * 288,
        trips=trips,
        held=(),
        marks=(*marks, Mark(end, equity)),
        balance=equity,
        equity=equity,
        fees=sum(each.fees for each in trips),
        funding=0.0,
        prices={"BTCUSDT": (100.0, 101.0)},
        digest=digest,
        remarks=("BTCUSDT: 2 gaps (5 bars missing); nothing is filled in.",),
    )


def done(number: int, found: Finding, setup: Setup = SETUP) -> Study:
    """The study that ended with a finding."""
    report = measure(found.marks, found.trips, deposit=setup.deposit, prices=found.prices)
    study = Study(number, setup, "telegram:7", "telegram", START)
    return replace(study.at(Stage.DONE), metrics=dict(report.metrics), digest=found.digest)
