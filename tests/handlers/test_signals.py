"""What became of signals, and how good they were."""

import re
from dataclasses import replace

import pytest

from bot.render.telegram import telegram_messages
from engine.candle import DAY_MS
from engine.desk import Desk
from engine.ports import Commit
from engine.position import Trade
from engine.signal import Decision
from handlers.reply import Money, Price, Table, Text, Word, show
from handlers.signals import DECISIONS_MAX
from tests.handlers.desks import BOT, BTC, ETH, rows, say, table


async def the_trade(desk: Desk) -> Trade:
    (trade,) = await desk.recent(Trade, lambda trade: trade.exit_time)
    return trade


async def entry(desk: Desk) -> Decision:
    (first, *_) = await desk.recent(Decision, lambda decision: decision.ts)
    return first


async def add(desk: Desk, *decisions: Decision) -> None:
    numbered = [replace(each, decision_id=900 + at) for at, each in enumerate(decisions)]
    await desk.store.commit(Commit(epoch=1, facts=numbered))


async def refused(desk: Desk, **changes: object) -> Decision:
    stopped = {"approved": False, "gate": "cool-down", "detail": "9 min left"}
    return replace(await entry(desk), order_link_id=None, **(stopped | changes))


async def test_signals_stand_newest_first_with_their_outcomes(desk: Desk) -> None:
    trade = await the_trade(desk)
    lost = show(Money(trade.net_pnl, signed=True))
    listed = rows(table(await say(desk, "/signals"), "Signals"))
    assert [(row["signal"], row["outcome"]) for row in listed] == [
        ("open short, confidence 100%", "open"),
        ("close short", f"loser {lost}"),
        ("open short, confidence 100%", f"loser {lost}"),
    ]
    assert [row["because"] for row in listed] == [
        Word("ema_cross"), Word("ma_exit"), Word("ema_cross"),
    ]  # fmt: skip
    assert listed[0]["price"] == Price(102_080.0, 1)


async def test_a_signal_that_was_stopped_names_its_gate(desk: Desk) -> None:
    later = (await entry(desk)).ts + DAY_MS
    await add(desk, await refused(desk, ts=later, confidence=0.73))
    (row, *_) = rows(table(await say(desk, "/signals"), "Signals"))
    assert (row["outcome"], row["because"]) == ("not executed", "cool-down: 9 min left")
    assert row["signal"] == "open short, confidence 73%"


async def test_a_phone_reads_signals_without_empty_values(desk: Desk) -> None:
    later = (await entry(desk)).ts + DAY_MS
    await add(desk, await refused(desk, ts=later, confidence=0.73))
    for line in ("/signals", "/why btc"):
        for message in telegram_messages(await say(desk, line)):
            assert not re.search(r" -(?: ·|$)", message.text, re.MULTILINE), message.text


async def test_signals_of_one_symbol_and_so_many(desk: Desk) -> None:
    await add(desk, await refused(desk, symbol=ETH))
    (row,) = rows(table(await say(desk, "/signals eth"), f"Signals of {ETH}"))
    assert row["symbol"] == ETH
    assert len(table(await say(desk, "/signals btc 2"), f"Signals of {BTC}").rows) == 2


async def test_quality_is_by_strategy_by_confidence_and_by_gate(desk: Desk) -> None:
    await add(desk, *[await refused(desk, confidence=each) for each in (0.73, 0.78, 0.61)])
    trade = await the_trade(desk)
    answer = await say(desk, "/quality")
    (strategy,) = rows(table(answer, "Signals of the last 90 days"))
    assert strategy == {
        "strategy": "shortseller",
        "hit_rate": "0.00% (n 1)",
        "signals": 5,
        "executed": 2,
        "closed": 1,
        "net": Money(trade.net_pnl, signed=True),
    }
    bands = rows(table(answer, "By confidence"))
    assert [(row["confidence"], row["signals"], row["hit_rate"]) for row in bands] == [
        ("60 to 70 %", 1, "n/a: no trade closed"),
        ("70 to 80 %", 2, "n/a: no trade closed"),
        ("90 to 100 %", 2, "0.00% (n 1)"),
    ]
    assert table(answer, "Not executed").rows == (("cool-down", 3),)


async def test_quality_looks_back_so_many_days(desk: Desk) -> None:
    last = (await entry(desk)).ts
    await add(desk, await refused(desk, ts=last - 10 * DAY_MS))
    for days, count in ((5, 2), (30, 3)):
        (row,) = rows(
            table(await say(desk, f"/quality {days}"), f"Signals of the last {days} days")
        )
        assert row["signals"] == count


async def test_bots_that_share_a_strategy_are_told_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(desk, await refused(desk, bot_id="shortseller_002"))
    view = desk.view()
    twice = replace(view, bots=(*view.bots, replace(view.bots[0], bot_id="shortseller_002")))
    monkeypatch.setattr(Desk, "view", lambda self: twice)
    answer = await say(desk, "/quality")
    assert [row["bot"] for row in rows(table(answer, "By bot"))] == [BOT, "shortseller_002"]
    bots = {row["bot"] for row in rows(table(await say(desk, "/signals"), "Signals"))}
    assert bots == {BOT, "shortseller_002"}


async def test_more_signals_than_are_read_are_said_to_be_more(desk: Desk) -> None:
    one = await refused(desk)
    await add(desk, *[one] * DECISIONS_MAX)
    first = (await say(desk, "/quality")).blocks[0]
    assert first == Text(f"Of the newest {DECISIONS_MAX:,} signals.")


async def test_without_a_signal_it_says_what_to_ask_instead(
    empty_desk: Desk, young_desk: Desk
) -> None:
    for desk in (empty_desk, young_desk):
        (listed,) = (await say(desk, "/signals")).blocks
        assert isinstance(listed, Table)
        assert not listed.rows
        assert "/why" in listed.empty
        (told,) = (await say(desk, "/quality")).blocks
        assert isinstance(told, Text)
        assert told.text.startswith("No entry signal in the last 90 days.")
