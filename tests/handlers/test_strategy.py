"""Why: the explanation of what a bot does and does not."""

import pytest

from engine.desk import Desk
from engine.signal import GateResult
from engine.strategies import STRATEGIES
from engine.strategies.kernel import Condition
from engine.view import WhyView
from handlers.reply import Reply, Text, Word
from handlers.strategy import conclude
from tests.handlers.desks import BOT, BTC, ETH, OpenDesk, ScriptedMarket, quiet, say, table

TRADING = GateResult("mode and kill", True, "trading")
WARMING = GateResult("warm-up", False, "312 of 601 bars")
BELOW = Condition("below EMA 240", True, "1 vs 2")
ABOVE = Condition("below EMA 600", False, "3 vs 2")
GROUND = Condition("strong 87%", False, "RSI at most 20")
UNSURE = Condition("opinion", False, "neutral 45%")
SURE = Condition("opinion", True, "long 73%")


@pytest.mark.parametrize(
    ("conditions", "gates", "sentence"),
    [
        ((BELOW, ABOVE), (TRADING, WARMING), "No entry now: warm-up 312 of 601 bars."),
        ((BELOW, ABOVE), (TRADING,), "No entry now: not below EMA 600 (3 vs 2)."),
        ((BELOW,), (TRADING,), "Every condition holds and every gate is open: "),
        ((GROUND, UNSURE), (TRADING,), "No entry now: its opinion is neutral 45%."),
        ((GROUND, SURE), (TRADING,), "Every condition holds and every gate is open: "),
    ],
)
def test_the_conclusion_names_the_first_thing_in_the_way(
    conditions: tuple[Condition, ...], gates: tuple[GateResult, ...], sentence: str
) -> None:
    view = WhyView(BOT, BTC, 0, 1.0, conditions, gates)
    assert conclude(view).startswith(sentence)


async def test_a_young_bot_says_how_far_its_warm_up_is(young_desk: Desk) -> None:
    assert _sentence(await say(young_desk, "/why btc")) == (
        f"{BOT} on BTCUSDT. No entry now: warm-up 300 of 601 bars."
    )


async def test_every_condition_and_every_gate_is_shown_with_its_verdict(desk: Desk) -> None:
    answer = await say(desk, "/why eth")
    conditions = table(answer, "What the strategy sees")
    assert [row[1] for row in conditions.rows] == [
        "below EMA 240",
        "below EMA 600",
        "crossed an average on this bar",
        "crosses today",
    ]
    assert all(isinstance(row[0], bool) for row in conditions.rows)
    gates = table(answer, "What the gates say to an entry now")
    assert [row[1] for row in gates.rows] == [
        "mode and kill",
        "warm-up",
        "fresh candle",
        "cool-down",
        "one position a symbol",
        "size",
        "instrument limits",
    ]


async def test_the_votes_of_the_timeframes_stand_among_the_conditions(
    open_desk: OpenDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    agreeing = STRATEGIES["combined"].tuned({"agreement": 1.0})
    monkeypatch.setitem(STRATEGIES, "shortseller", agreeing)
    desk = await open_desk(ScriptedMarket({BTC: quiet(30)}))
    answer = await say(desk, "/why btc")
    conditions = [row[1] for row in table(answer, "What the strategy sees").rows]
    assert conditions[-5:] == [
        "vote of 15m",
        "vote of 30m",
        "vote of 1h",
        "timeframes agree",
        "opinion",
    ]
    gates = [row[1] for row in table(answer, "What the gates say to an entry now").rows]
    assert gates[:3] == ["confidence", "calm market", "confirmed"]


async def test_for_an_open_position_it_says_why_it_is_held_and_what_would_close_it(
    desk: Desk,
) -> None:
    assert _sentence(await say(desk, "/why")) == (
        f"{BOT} on BTCUSDT. Holds a short of 0.048 BTCUSDT from 102,080.0 for 25m: "
        "the price fell through a long average. It closes at the stop 103,100.8, at the target "
        "99,017.6, 1,020.8 behind the best price once that reached 100,038.4, at an age of 1d, "
        "or when the strategy's conditions no longer hold."
    )


async def test_the_last_decisions_stand_with_gate_and_reason_newest_first(desk: Desk) -> None:
    decisions = table(await say(desk, "/why btc"), "Last decisions")
    assert [(row[2], row[4], row[6]) for row in decisions.rows] == [
        ("entry", Word("ema_cross"), "approved"),
        ("exit", Word("ma_exit"), "approved"),
        ("entry", Word("ema_cross"), "approved"),
    ]


async def test_a_paused_bot_is_the_first_reason_for_no_entry(young_desk: Desk) -> None:
    await say(young_desk, f"/bot pause {BOT}")
    assert "No entry now: mode and kill the bot is paused." in _sentence(
        await say(young_desk, "/why")
    )


async def test_a_symbol_that_no_bot_trades_is_said_to_be_one(open_desk: OpenDesk) -> None:
    market = ScriptedMarket({BTC: quiet(10), ETH: quiet(10)})
    market.traded = (BTC,)
    desk = await open_desk(market)
    assert _sentence(await say(desk, "/why eth")) == (
        "No bot trades ETHUSDT. The bots trade BTCUSDT."
    )


async def test_a_bot_without_a_bar_says_so(empty_desk: Desk) -> None:
    assert _sentence(await say(empty_desk, "/why")) == (
        f"{BOT} has not seen a closed bar of BTCUSDT yet: 601 bars are missing."
    )


def _sentence(answer: Reply) -> str:
    assert answer.ok, answer.error
    block = answer.blocks[0]
    assert isinstance(block, Text)
    return block.text
