"""Figures, breakdowns and periods, against the desk's own books."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.errors import Unreachable
from engine.ledger import EquityPoint
from engine.metrics import TITLES
from engine.order import Fill, Reason
from engine.ports import Commit
from engine.position import Trade
from handlers import performance
from handlers.figures import field_name
from handlers.periods import bounds_of
from handlers.reply import (
    BarChart,
    Chart,
    Duration,
    EquityChart,
    Money,
    Percent,
    Reply,
    Text,
    Word,
    show,
)
from tests.handlers.desks import (
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    T0,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    rows,
    say,
    table,
)

D = Decimal


async def the_trade(desk: Desk) -> Trade:
    """The one that the script brings about."""
    found = await desk.recent(Trade, lambda trade: trade.exit_time)
    return min(found, key=lambda trade: trade.trade_id)


async def won(desk: Desk, number: int, **changes: object) -> Trade:
    """Another trade in the books, which gained 30."""
    gained = {"gross_pnl": D(32), "commission": D(2), "funding": D(0), "net_pnl": D(30)}
    trade = replace(await the_trade(desk), trade_id=number, **(gained | changes))
    await desk.store.commit(Commit(epoch=1, facts=[trade]))
    return trade


# -- analytics ---------------------------------------------------------------------------


async def test_the_summary_is_the_metrics_of_the_stored_trades(desk: Desk) -> None:
    trade = await the_trade(desk)
    view = desk.view()
    answer = await say(desk, "/analytics")
    card = fields(answer, "Performance of all bots, last 30 days")
    assert card["trades"] == "1"
    assert card["win_rate"] == "0.00% (n 1)"
    assert card["net_profit_of_trades"] == show(Money(trade.net_pnl, signed=True))
    assert card["fees"] == show(Money(trade.commission))
    assert card["sharpe"] == "n/a: needs 2 days, has 1"
    first = (await desk.recent(EquityPoint, lambda point: point.ts))[0]
    change = view.accounts[0].equity / first.equity - 1
    assert str(card["return"]).startswith(show(Percent(change, signed=True)))
    assert any(isinstance(b, Chart) and isinstance(b.chart, EquityChart) for b in answer.blocks)


async def test_holding_is_from_the_first_price_to_the_last(desk: Desk) -> None:
    view = desk.view()
    (bar,) = await desk.market.history(BTC, desk.market.interval, T0 + HOUR_MS, 1)
    both = (view.prices[BTC] / bar.close - 1 + 0.0) / 2
    card = fields(await say(desk, "/analytics"))
    assert card["buy_and_hold"] == f"{show(Percent(both, signed=True))} (n 2)"


async def test_a_market_that_does_not_answer_costs_that_one_figure(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def history(*_: object) -> None:
        raise Unreachable("no answer")

    monkeypatch.setattr(desk.market, "history", history)
    card = fields(await say(desk, "/analytics"))
    assert card["buy_and_hold"] == "n/a: no price is known"
    assert card["trades"] == "1"


async def test_the_parts_together_are_every_figure_of_the_metrics(desk: Desk) -> None:
    told: list[str] = []
    for part in ("result", "ratios", "risk", "trades", "costs"):
        told += fields(await say(desk, f"/analytics {BOT} 30 {part}"))
    assert told == [field_name(key) for key, title in TITLES.items() if title.group != "Period"]


async def test_the_risk_of_a_trade_is_that_of_its_first_stop(desk: Desk) -> None:
    trade = await the_trade(desk)
    multiple = float(trade.net_pnl / (D("0.01") * trade.entry_price * trade.quantity))
    card = fields(await say(desk, "/analytics trades"))
    assert card["expectancy_in_r"] == f"{multiple:.2f} (n 1)"


async def test_a_bot_is_asked_for_alone(desk: Desk) -> None:
    answer = await say(desk, f"/analytics {BOT} 7")
    assert fields(answer, f"Performance of {BOT}, last 7 days")["trades"] == "1"
    assert f"/analytics {BOT} 7 risk" in [button.command for button in answer.buttons]


async def test_trades_before_the_days_asked_for_are_left_out(desk: Desk) -> None:
    await won(desk, 900, exit_time=desk.view().market_time - 3 * DAY_MS)
    assert fields(await say(desk, "/analytics 2"))["trades"] == "1"
    assert fields(await say(desk, "/analytics 30"))["trades"] == "2"


async def test_more_trades_than_are_read_are_said_to_be_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "TRADES_MAX", 2)
    note = Text("Of each bot the newest 2 trades at most are counted.")
    assert note not in (await say(desk, "/exits")).blocks
    for number in (900, 901):
        await won(desk, number)
    for line in ("/exits", "/performance", "/analytics", "/analytics risk", "/analytics side"):
        assert note in (await say(desk, line)).blocks


async def test_equity_begins_with_the_last_point_before_the_days_asked_for(desk: Desk) -> None:
    answer = await say(desk, "/analytics 1")
    (picture,) = (b.chart for b in answer.blocks if isinstance(b, Chart))
    assert isinstance(picture, EquityChart)
    since = desk.view().market_time - DAY_MS
    assert picture.points[0][0] == since - since % HOUR_MS


async def test_an_empty_desk_says_what_is_missing(empty_desk: Desk) -> None:
    for line in ("/analytics", "/analytics hour", "/daily", "/weekly", "/monthly"):
        assert (await say(empty_desk, line)).blocks == (
            Text("No candle has closed yet: nothing was earned or lost."),
        )
    for line in ("/performance", "/exits"):
        (listed,) = (await say(empty_desk, line)).blocks
        assert listed.empty == "No trade has closed in this time."


async def test_a_young_desk_has_reasons_instead_of_figures(young_desk: Desk) -> None:
    card = fields(await say(young_desk, "/analytics"))
    assert (card["trades"], card["win_rate"]) == ("0", "n/a: no trade closed")


# -- by what trades share ----------------------------------------------------------------

BY = {
    "by:symbol": ("By symbol", "symbol", [ETH, BTC]),
    "entry": ("By entry", "entry", ["ema cross"]),
    "by=exit": ("By exit", "exit", ["take profit", "ma exit"]),
    "mixed": (
        "By entry and exit",
        "entry and exit",
        ["ema cross + take profit", "ema cross + ma exit"],
    ),
    "side": ("By side", "side", ["short"]),
    "hour": ("By hour UTC", "hour UTC", ["08:00", "09:00"]),
    "weekday": ("By weekday", "weekday", ["Friday"]),
}


@pytest.mark.parametrize(("word", "expected"), BY.items(), ids=BY)
async def test_trades_are_told_by_what_they_share(
    desk: Desk, word: str, expected: tuple[str, str, list[str]]
) -> None:
    title, column, keys = expected
    ended = (await the_trade(desk)).exit_time + HOUR_MS
    await won(desk, 900, symbol=ETH, close_reason=Reason.TAKE_PROFIT, exit_time=ended)
    answer = await say(desk, f"/performance {word}")
    assert [show(row[column]) for row in rows(table(answer, f"{title}, last 30 days"))] == keys


async def test_a_row_counts_and_sums_its_trades(desk: Desk) -> None:
    trade = await the_trade(desk)
    await won(desk, 900)
    (row,) = rows(table(await say(desk, "/performance"), "By symbol, last 30 days"))
    assert row == {
        "symbol": Word(BTC),
        "trades": 2,
        "wins": 1,
        "win_rate": Percent(0.5),
        "net": near(trade.net_pnl + 30, row["net"]),
        "mean": near((trade.net_pnl + 30) / 2, row["mean"]),
        "fees": near(trade.commission + 2, row["fees"], signed=False),
    }


def near(amount: Decimal, found: object, signed: bool = True) -> Money:
    """An amount as it was found, where floats leave it near enough."""
    assert isinstance(found, Money)
    assert found.signed is signed
    assert abs(found.amount - amount) < D("1e-6")
    return found


async def test_exits_say_how_long_positions_were_held(desk: Desk) -> None:
    trade = await the_trade(desk)
    held = trade.exit_time - trade.entry_time
    await won(desk, 900, entry_time=trade.entry_time - 2 * held)
    (row,) = rows(table(await say(desk, "/exits"), "Exits, last 30 days"))
    assert (row["exit"], row["trades"], row["win_rate"]) == (Word("ma_exit"), 2, Percent(0.5))
    assert row["held"] == Duration(2 * held)


async def test_a_word_that_groups_nothing_is_refused_with_those_that_do(desk: Desk) -> None:
    said = (await say(desk, "/performance by:moon")).error
    assert said == (
        "by: 'by:moon' is not valid. Allowed: symbol, entry, exit, mixed, side, hour, weekday."
    )


ALIASES = {
    "/profit": "/pnl",
    "/entries": "/performance entry",
    "/entries 7": "/performance entry 7",
    "/mix_tags": "/performance mixed",
    "/stats 7": "/exits 7",
    "/balance": "/portfolio",
    "/count": "/positions",
}


@pytest.mark.parametrize(("habit", "ours"), ALIASES.items(), ids=ALIASES)
async def test_what_a_freqtrade_user_types_is_answered_as_ours(
    desk: Desk, habit: str, ours: str
) -> None:
    answer = await say(desk, habit)
    assert answer.ok
    assert answer == await say(desk, ours)


# -- periods -----------------------------------------------------------------------------


async def test_each_day_is_told_as_the_books_have_it(desk: Desk) -> None:
    trade = await the_trade(desk)
    fills = await desk.recent(Fill, lambda fill: fill.exec_time)
    account = desk.view().accounts[0]
    today, *before = rows(table(await say(desk, "/daily"), "Daily profit and loss"))
    assert today == {
        "day": "2025-01-03",
        "net": Money(account.ledger.net, signed=True),
        "trades": 1,
        "won": 0,
        "fees": Money(sum((fill.commission for fill in fills), D(0))),
        "funding": Money(account.ledger.funding, signed=True),
    }
    assert trade.net_pnl != account.ledger.net
    assert [(row["day"], row["net"]) for row in before] == [
        ("2025-01-02", Money(D(0), signed=True)),
        ("2025-01-01", Money(D(0), signed=True)),
    ]


async def test_days_before_the_desk_are_left_out_and_so_many_are_asked_for(desk: Desk) -> None:
    assert len(table(await say(desk, "/daily 31"), "Daily profit and loss").rows) == 3
    assert len(table(await say(desk, "/daily 2"), "Daily profit and loss").rows) == 2


async def test_what_happens_on_the_last_stroke_belongs_to_the_day(desk: Desk) -> None:
    midnight = T0 + 2 * DAY_MS
    await won(desk, 900, exit_time=midnight)
    await won(desk, 901, exit_time=midnight + 1)
    found = rows(table(await say(desk, "/daily"), "Daily profit and loss"))
    assert {row["day"]: row["trades"] for row in found} == {
        "2025-01-03": 2,
        "2025-01-02": 1,
        "2025-01-01": 0,
    }


async def test_weeks_begin_on_monday_and_months_on_the_first(desk: Desk) -> None:
    (week,) = rows(table(await say(desk, "/weekly"), "Weekly profit and loss"))
    (month,) = rows(table(await say(desk, "/monthly"), "Monthly profit and loss"))
    assert (week["week_of"], month["month"]) == ("2024-12-30", "2025-01")
    assert week["net"] == month["net"] == Money(desk.view().accounts[0].ledger.net, signed=True)


async def test_together_they_are_a_sentence_and_a_picture(desk: Desk) -> None:
    net = desk.view().accounts[0].ledger.net
    answer = await say(desk, "/daily")
    words = f"Together {show(Money(net, signed=True))} USDT; 0 of 1 trades won."
    assert Text(words) in answer.blocks
    assert bars(answer) == (
        ("2025-01-01", 0.0),
        ("2025-01-02", 0.0),
        ("2025-01-03", float(net)),
    )
    assert not any(isinstance(block, Chart) for block in (await say(desk, "/weekly")).blocks)


def bars(answer: Reply) -> tuple[tuple[str, float], ...]:
    (picture,) = (block.chart for block in answer.blocks if isinstance(block, Chart))
    assert isinstance(picture, BarChart)
    return picture.bars


async def test_a_desk_that_stood_still_counts_from_its_last_balance(open_desk: OpenDesk) -> None:
    """No point is stored at midnight where no candle came: the last one before it still holds."""
    early = course(100_000.0, FALLING_TWICE[:3])
    late = course(early[-1].close, [(20, 1.0)], at=T0 + 9 * DAY_MS + 5 * HOUR_MS)
    desk = await open_desk(ScriptedMarket({BTC: [*early, *late]}))
    (row,) = rows(table(await say(desk, "/daily 1"), "Daily profit and loss"))
    assert row["day"] == "2025-01-10"
    assert desk.view().accounts[0].ledger.net != 0
    assert (row["net"], row["trades"]) == (Money(D(0), signed=True), 0)


JANUARY_1, MARCH_1 = T0, T0 + 59 * DAY_MS

BOUNDS = {
    "days": ("daily", JANUARY_1 + HOUR_MS, 2, [JANUARY_1 - DAY_MS, JANUARY_1]),
    "midnight ends the day before": ("daily", JANUARY_1, 1, [JANUARY_1 - DAY_MS]),
    "weeks": ("weekly", JANUARY_1 + HOUR_MS, 2, [JANUARY_1 - 9 * DAY_MS, JANUARY_1 - 2 * DAY_MS]),
    "months": ("monthly", MARCH_1 + 1, 3, [JANUARY_1, JANUARY_1 + 31 * DAY_MS, MARCH_1]),
}


@pytest.mark.parametrize(("name", "now", "count", "starts"), BOUNDS.values(), ids=BOUNDS)
def test_periods_begin_on_their_first_day_and_end_now(
    name: str, now: int, count: int, starts: list[int]
) -> None:
    assert bounds_of(name, now, count) == [*starts, now]
