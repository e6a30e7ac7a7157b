"""Which way a model leans as people see it, and what came of what it spoke against."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.render.telegram import telegram_messages
from engine.bias import Bias
from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.effect import Done
from engine.errors import Unreachable
from engine.instruction import NoteBias
from engine.memory import Policy
from engine.order import Side
from engine.people import DESK
from engine.ports import Commit
from engine.signal import Decision, Opposed
from handlers.bias_page import page
from handlers.reply import Percent, Price, Reply, Text, Time
from tests.handlers.desks import (
    BAR,
    BTC,
    ETH,
    SECRET,
    T0,
    OpenDesk,
    ScriptedMarket,
    build,
    course,
    fields,
    quiet,
    rows,
    say,
    table,
)

IN_FORCE = "Which way the model leans"
AGAINST = "Entries it spoke against, last 30 days"
VETO = "A bias keeps strategies out of entries that it speaks against, and stops no exit."
WATCHES = (
    "It only watches: what it would have stopped is noted. With [gemini] veto = true in the "
    "settings it stops entries."
)


async def lean(desk: Desk, score: float = -0.62, confidence: float = 0.8, **changes) -> Bias:
    """Have a bias on BTC in force, for four hours from now on."""
    now = desk.view().market_time
    found = replace(Bias(BTC, score, confidence, now, now + 4 * HOUR_MS, 41), **changes)
    assert isinstance(await desk.runtime.ask(NoteBias(found), DESK), Done)
    return found


async def spoke(desk: Desk, *against: Decision) -> None:
    """Have decisions stored that a bias spoke against."""
    numbered = [replace(each, decision_id=900 + at) for at, each in enumerate(against)]
    await desk.store.commit(Commit(epoch=1, facts=numbered))


async def stopped(desk: Desk, ts: int, stop: str = "", target: str = "", **changes) -> Decision:
    """A short at 100,000 that a bias stopped."""
    (first, *_) = await desk.recent(Decision, lambda decision: decision.ts)
    levels = [Decimal(level) if level else None for level in (stop, target)]
    made = replace(
        first,
        symbol=BTC,
        ts=ts,
        side=Side.SELL,
        price=100_000.0,
        approved=False,
        gate="model bias",
        detail="stops shorts",
        order_link_id=None,
        consultation=41,
        instead="would have sold 1 at the market",
        opposed=Opposed(Decimal(1), *levels),
    )
    return replace(made, **changes)


def told(answer: Reply) -> str:
    assert answer.ok, answer.error
    return "\n".join(block.text for block in answer.blocks if isinstance(block, Text))


# -- in force ----------------------------------------------------------------------------


async def test_without_a_bias_it_says_what_makes_one(desk: Desk) -> None:
    answer = await page(desk)
    assert table(answer, IN_FORCE).rows == ()
    assert "/analyze" in table(answer, IN_FORCE).empty
    assert told(answer) == f"{WATCHES}\nThe model spoke against no entry in the last 30 days."


async def test_a_bias_is_shown_with_its_end_and_its_analysis(desk: Desk) -> None:
    found = await lean(desk)
    [row] = rows(table(await page(desk), IN_FORCE))
    assert row == {
        "symbol": BTC,
        "score": "-0.62",
        "confidence": "80%",
        "until": Time(found.until),
        "against": "longs",
        "analysis": "/analysis 41",
    }


async def test_a_desk_before_its_first_candle_has_a_page(empty_desk: Desk) -> None:
    assert (await page(empty_desk)).ok


@pytest.fixture
async def vetoing() -> AsyncIterator[Desk]:
    """A desk whose model may stop entries, and whose bot is warm."""
    policy = Policy(SECRET, Decimal(0), veto=True)
    runtime, desk = await build(ScriptedMarket({BTC: quiet(700)}), policy=policy)
    task = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await task


async def test_the_page_says_whether_it_stops_or_watches(vetoing: Desk, desk: Desk) -> None:
    assert told(await page(vetoing)).startswith(VETO)
    assert told(await page(desk)).startswith(WATCHES)


# -- what came of it ---------------------------------------------------------------------


@pytest.fixture
async def rising(open_desk: OpenDesk) -> Desk:
    """A desk of a BTC that rises by 100 a bar for three days, from 100,000 on; it traded once."""
    fall = course(160_000.0, [(620, 5.0), (40, -60.0)], at=T0 - 660 * BAR)
    bars = fall + course(100_000.0, [(3 * DAY_MS // BAR, 100.0)])
    return await open_desk(ScriptedMarket({BTC: bars, ETH: quiet(10)}))


async def test_entries_that_were_stopped_stand_newest_first_with_what_came_after(
    rising: Desk,
) -> None:
    await spoke(
        rising,
        await stopped(rising, T0, "105000", "90000"),
        await stopped(rising, T0 + DAY_MS, "", "", price=128_800.0),
    )
    newest, oldest = rows(table(await page(rising), AGAINST))
    assert oldest["time"] == Time(T0)
    assert oldest["entry"] == f"short {BTC}"
    assert oldest["price"] == Price(100_000.0, 1)
    assert oldest["after_1h"] == Percent(pytest.approx(0.012), signed=True)
    assert oldest["after_4h"] == Percent(pytest.approx(0.048), signed=True)
    assert oldest["after_24h"] == Percent(pytest.approx(0.288), signed=True)
    assert oldest["outcome"] == "stop: -5.00%"
    assert newest["time"] == Time(T0 + DAY_MS)
    assert newest["outcome"] == "neither within 24 h: -22.36%"


async def test_the_balance_says_what_the_bias_kept_and_its_n(rising: Desk) -> None:
    long = {"side": Side.BUY, "symbol": BTC}
    now = rising.view().market_time
    await spoke(
        rising,
        await stopped(rising, T0, "105000", "90000"),
        await stopped(rising, T0 + DAY_MS, "95000", "130088", price=128_800.0, **long),
        await stopped(rising, now - HOUR_MS, "200000", "90000"),
        await stopped(
            rising, now - 2 * HOUR_MS, opposed=None, instead="size would have stopped it: no"
        ),
    )
    said = told(await page(rising))
    assert (
        "It stopped 4 entries: 1 would have lost, 1 would have won, 1 not over yet, 1 that another "
        "gate would have stopped anyway; together it kept 4.00% of one entry's worth, before costs "
        "(n 2)."
    ) in said


async def test_a_bias_that_kept_winners_out_is_told_to_have_cost_them(rising: Desk) -> None:
    long = {"side": Side.BUY, "price": 100_000.0}
    await spoke(rising, await stopped(rising, T0, "95000", "101000", **long))
    said = "It stopped 1 entry: 1 would have won; together it cost 1.00% of one entry's worth"
    assert said in told(await page(rising))


async def test_what_it_only_watched_is_told_apart(rising: Desk) -> None:
    watched = {"approved": True, "gate": "", "instead": "the model would have stopped it"}
    await spoke(rising, await stopped(rising, T0, "105000", "90000", **watched))
    answer = await page(rising)
    [row] = rows(table(answer, AGAINST))
    assert row["entry"] == f"short {BTC} (entered all the same)"
    said = "It would have stopped 1 entry: 1 would have lost; together it would have kept 5.00%"
    assert said in told(answer)
    assert "It stopped" not in told(answer)


async def test_an_entry_that_another_gate_would_have_stopped_names_it(rising: Desk) -> None:
    instead = "size would have stopped it: equity is -1.00"
    await spoke(rising, await stopped(rising, T0, opposed=None, instead=instead))
    answer = await page(rising)
    [row] = rows(table(answer, AGAINST))
    assert row["outcome"] == instead
    assert "It stopped 1 entry: 1 that another gate would have stopped anyway. " in told(answer)


async def test_ten_are_listed_and_all_are_counted(rising: Desk) -> None:
    every_bar = [await stopped(rising, T0 + at * 2 * BAR, "100100", "") for at in range(12)]
    await spoke(rising, *(replace(each, price=100_000.0 + 200 * at)
                          for at, each in enumerate(every_bar)))  # fmt: skip
    answer = await page(rising)
    assert len(table(answer, AGAINST).rows) == 10
    assert "It stopped 12 entries: 12 would have lost" in told(answer)


async def test_entries_older_than_a_month_and_decisions_of_other_gates_are_left_out(
    rising: Desk,
) -> None:
    now = rising.view().market_time
    await spoke(
        rising,
        await stopped(rising, now - 30 * DAY_MS - 1),
        await stopped(rising, T0, gate="cool-down", opposed=None, instead=""),
    )
    assert "The model spoke against no entry" in told(await page(rising))


async def test_without_prices_the_page_says_so(
    rising: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*of: object) -> None:
        raise Unreachable("Bybit does not answer")

    await spoke(rising, await stopped(rising, T0, "105000", "90000"))
    monkeypatch.setattr(rising.market, "history", silent)
    answer = await page(rising)
    assert "It stopped 1 entry: 1 without known prices." in told(answer)
    [row] = rows(table(answer, AGAINST))
    assert (row["after_1h"], row["outcome"]) == ("n/a", "no prices known")


async def test_a_phone_reads_the_page(rising: Desk) -> None:
    await lean(rising)
    await spoke(rising, await stopped(rising, T0, "105000", "90000"))
    messages = telegram_messages(await page(rising))
    assert "/analysis 41" in messages[0].text
    assert "outcome stop: -5.00%" in messages[0].text


# -- why and signals ---------------------------------------------------------------------


async def test_why_shows_the_bias_in_force(desk: Desk) -> None:
    title = f"What the model makes of {BTC}"
    found = await lean(desk)
    answer = await say(desk, "/why btc")
    assert fields(answer, title) == {
        "score": "-0.62",
        "confidence": "80%",
        "until": Time(found.until),
        "analysis": "/analysis 41",
        "against": "longs",
        "effect": WATCHES,
    }
    assert "/analysis 41" in [button.command for button in answer.buttons]
    others = (await say(desk, "/why eth")).blocks
    assert title not in [getattr(block, "title", "") for block in others]


async def test_why_shows_the_gate_where_it_may_stop(vetoing: Desk) -> None:
    await lean(vetoing, 0.7)
    answer = await say(vetoing, "/why btc")
    assert fields(answer, f"What the model makes of {BTC}")["effect"] == VETO
    gates = table(answer, "What the gates say to an entry now")
    [gate] = [row for row in rows(gates) if row["gate"] == "model bias"]
    assert gate["open"] is True
    assert str(gate["verdict"]).startswith("stops shorts: score +0.70, confidence 80%, until ")


async def test_signals_name_the_gate_as_any_other(desk: Desk) -> None:
    last = desk.view().market_time
    await spoke(desk, await stopped(desk, last))
    (row, *_) = rows(table(await say(desk, "/signals"), "Signals"))
    assert (row["outcome"], row["because"]) == ("not executed", "model bias: stops shorts")
