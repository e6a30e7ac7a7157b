"""What was to be had of a closed trade, and the verdict that follows from it alone."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.advice import Verdict
from engine.autopsy import verdict
from engine.candle import HOUR_MS, MINUTE_MS, Candle
from engine.order import Reason, Side
from engine.position import Trade
from engine.trade_facts import Measured, TradeFacts, measure

BAR = 5 * MINUTE_MS
START = 1_000 * HOUR_MS
# Later than anything that is looked at.
LONG_AFTER = START + 100 * HOUR_MS
LEVELS = (("stop", 97.0), ("target", 106.0))


def trade(side: Side = Side.BUY, entry: str = "100", exit: str = "101", bars: int = 4) -> Trade:
    """A trade that opened at START and was held for so many bars."""
    gross = (Decimal(exit) - Decimal(entry)) * side.sign
    return Trade(
        trade_id=7,
        account="paper-a",
        bot_id="a_001",
        symbol="BTCUSDT",
        side=side,
        quantity=Decimal(1),
        entry_price=Decimal(entry),
        entry_time=START,
        entry_reason=Reason.EMA_CROSS,
        exit_price=Decimal(exit),
        exit_time=START + bars * BAR,
        close_reason=Reason.STOP_LOSS,
        gross_pnl=gross,
        commission=Decimal("0.1"),
        funding=Decimal(0),
        net_pnl=gross - Decimal("0.1"),
        pnl_pct=(gross - Decimal("0.1")) / Decimal(entry),
        entry_client_order_id="in",
        exit_client_order_id="out",
    )


def bars(*closes: float, at: int = START) -> list[Candle]:
    """Bars whose highs and lows are one above and below their closes."""
    return [Candle(at + i * BAR, c, c + 1, c - 1, c, 1.0) for i, c in enumerate(closes)]


def known(found: Measured | None) -> Measured:
    assert found is not None
    return found


def test_the_greatest_gain_and_loss_are_of_the_bars_in_which_it_was_open() -> None:
    candles = bars(90.0, 95.0, at=START - 2 * BAR) + bars(101, 104, 98, 100, 150)
    found = known(measure(trade(), candles, BAR, LONG_AFTER))
    assert found.best == pytest.approx(0.05)
    assert (found.best_price, found.worst_price) == (105.0, 97.0)
    assert found.worst == pytest.approx(-0.03)
    assert found.captured == pytest.approx(0.01 / 0.05)


def test_a_short_gains_where_the_price_falls() -> None:
    found = known(measure(trade(Side.SELL, exit="99"), bars(101, 95, 98, 99), BAR, LONG_AFTER))
    assert found.best == pytest.approx(0.06)
    assert found.worst == pytest.approx(-0.02)
    assert found.gain == pytest.approx(0.01)


def test_what_came_later_is_of_the_bar_that_closed_then_and_unknown_before() -> None:
    long_bars = bars(*([100.0] * 4), *([110.0] * 12), *([120.0] * 36))
    now = START + 4 * BAR + 4 * HOUR_MS
    found = known(measure(trade(), long_bars, BAR, now))
    later = dict(found.later)
    assert later[1] == pytest.approx(0.10)
    assert later[4] == pytest.approx(0.20)
    assert later[24] is None


def test_without_candles_of_its_time_nothing_is_measured() -> None:
    assert measure(trade(), bars(1.0, 2.0, at=START - 50 * BAR), BAR, LONG_AFTER) is None


@given(
    closes=st.lists(st.floats(50, 200), min_size=4, max_size=4),
    side=st.sampled_from(Side),
    exit_price=st.decimals("60", "190", places=2),
)
def test_it_was_left_between_its_best_and_its_worst(
    closes: list[float], side: Side, exit_price: Decimal
) -> None:
    found = known(measure(trade(side, exit=str(exit_price)), bars(*closes), BAR, LONG_AFTER))
    assert found.worst <= min(found.gain, 0.0) and max(found.gain, 0.0) <= found.best
    assert found.captured is None or found.captured <= 1.0


def facts(of: Trade, candles: list[Candle], now: int = LONG_AFTER) -> TradeFacts:
    measured = measure(of, candles, BAR, now, LEVELS)
    return TradeFacts(of, 5, 0.8, LEVELS, 1, BAR, tuple(candles), measured)


def test_the_words_of_the_facts_hold_the_costs_and_what_was_to_be_had() -> None:
    text = facts(trade(), bars(101, 104, 98, 100)).to_text()
    assert "net profit: 0.90 (0.90% of its value)" in text
    assert "greatest gain while open: +5.00% at 105.0" in text
    assert "24 h after the exit: not known yet" in text


@pytest.mark.parametrize(
    ("of", "candles", "entry", "leaving"),
    [
        # Straight up, and left near the top.
        (trade(exit="104"), bars(101, 102, 103, 104), Verdict.GOOD, Verdict.GOOD),
        # Far down first, and up at last.
        (trade(exit="101"), bars(90, 92, 96, 101), Verdict.POOR, Verdict.ACCEPTABLE),
        # Nearly all of a gain given back.
        (trade(exit="100.5"), bars(104, 109, 104, 101), Verdict.GOOD, Verdict.POOR),
        # A stop, and the price came back.
        (trade(exit="97"), bars(99, 98, 98, 98) + bars(*([103.0] * 60), at=START + 4 * BAR),
         Verdict.POOR, Verdict.POOR),
        # A stop, and it fell on.
        (trade(exit="97"), bars(99, 98, 98, 98) + bars(*([90.0] * 60), at=START + 4 * BAR),
         Verdict.POOR, Verdict.GOOD),
    ],
)  # fmt: skip
def test_the_verdict_follows_from_the_figures(
    of: Trade, candles: list[Candle], entry: Verdict, leaving: Verdict
) -> None:
    found = verdict(facts(of, candles), "no key")
    assert (found.entry, found.exit) == (entry, leaving)
    assert found.instead == "no key"


def test_levels_that_the_exit_left_open_are_looked_for_after_it() -> None:
    after = bars(*([101.0] * 12), 105.5, *([101.0] * 30), at=START + 4 * BAR)
    by_rule = replace(trade(), close_reason=Reason.MA_EXIT)
    held = bars(101, 104, 99, 100)
    found = known(measure(by_rule, held + after, BAR, LONG_AFTER, LEVELS))
    assert dict(found.met) == {"stop": None, "target": 13 * BAR}
    stopped = known(measure(trade(), held + after, BAR, LONG_AFTER, LEVELS))
    assert dict(stopped.met) == {"target": 13 * BAR}
    text = facts(by_rule, held + after).to_text()
    assert "target after the exit: reached 1.1 h later" in text
    assert "stop after the exit: not reached so far" in text


def test_a_fill_beyond_the_candles_is_its_best_price() -> None:
    found = known(measure(trade(exit="112"), bars(101, 104, 98, 100), BAR, LONG_AFTER))
    assert (found.best, found.best_price, found.captured) == (pytest.approx(0.12), 112.0, 1.0)


@pytest.mark.parametrize(
    ("reason", "exit", "words"),
    [
        (Reason.STOP_LOSS, "97", "The stop may stand too near"),
        (Reason.MA_EXIT, "97", "because of ma exit: /why says"),
        (Reason.TRAILING_STOP, "100.5", "A trailing stop that follows more closely"),
        (Reason.MA_EXIT, "100.5", "A trailing stop or a nearer target"),
        # Ahead by less than it cost.
        (Reason.MA_EXIT, "100.05", "A trailing stop or a nearer target"),
    ],
)
def test_advice_on_a_poor_exit_is_about_what_closed_it(
    reason: Reason, exit: str, words: str
) -> None:
    candles = bars(104, 109, 96, 98) + bars(*([103.0] * 60), at=START + 4 * BAR)
    found = verdict(facts(replace(trade(exit=exit), close_reason=reason), candles), "no key")
    assert found.exit is Verdict.POOR
    assert words in found.advice[-1]


def test_an_exit_of_which_nothing_came_yet_is_not_judged() -> None:
    found = verdict(facts(trade(exit="97"), bars(99, 98, 98, 98)), "no key")
    assert (found.exit, found.better_exit) == (Verdict.UNKNOWN, 100.0)


def test_a_better_exit_is_named_where_there_was_one() -> None:
    given_back = verdict(facts(trade(exit="100.5"), bars(104, 109, 104, 101)), "no key")
    assert given_back.better_exit == 110.0
    at_the_top = replace(trade(exit="110"))
    assert verdict(facts(at_the_top, bars(104, 109, 104, 101)), "no key").better_exit is None


def test_a_trade_whose_candles_are_gone_gets_no_verdict_on_its_prices() -> None:
    found = verdict(facts(trade(), []), "no key")
    assert found.confidence == 0.0
    assert dict(found.measured) == {
        "costs": "0.10 (commission 0.10, funding +0.00), 10% of the profit before costs",
        "prices": "the candles of its time are not known any more",
    }
    assert (found.verdict, found.entry, found.exit) == (Verdict.UNKNOWN,) * 3


def test_half_of_the_candles_that_are_told_are_of_until_the_exit() -> None:
    held = bars(101, 104, 99, 100)
    before = bars(*([100.0] * 20), at=START - 20 * BAR)
    after = bars(*([101.0] * 290), at=START + 4 * BAR)
    of = trade()
    assert of.exit_time == START + 4 * BAR
    told = facts(of, before + held + after).to_text().partition("close):\n")[2].splitlines()
    minutes = [int(line.partition(",")[0]) for line in told]
    assert len(minutes) <= 24 and minutes == sorted(minutes)
    assert sum(each <= 20 for each in minutes) == 12
    assert 20 < minutes[12] < minutes[-1] and minutes[-1] > 1_300
