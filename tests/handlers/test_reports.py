"""The report card, against the desk's own books."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.event import DeskHalted
from engine.ledger import Funding
from engine.order import ZERO, Fill
from engine.ports import Commit
from engine.position import Trade
from handlers.portfolio import max_drawdown
from handlers.reply import (
    Button,
    Chart,
    EquityChart,
    Fields,
    Money,
    Percent,
    Reply,
    Text,
    show,
)
from handlers.reports import open_risk, period_of
from tests.clock import FakeClock
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
    say,
)

D = Decimal
LINES_MAX = 12
# A trade on the third day, and most of a fourth on which nothing happens.
TRADED, QUIET = T0 + 2 * DAY_MS, T0 + 3 * DAY_MS


@pytest.fixture
async def traded_desk(open_desk: OpenDesk) -> Desk:
    legs = (*FALLING_TWICE[:3], (400, 1.0))
    return await open_desk(ScriptedMarket({BTC: course(100_000.0, legs)}))


async def the_trade(desk: Desk) -> Trade:
    (trade,) = await desk.recent(Trade, lambda trade: trade.exit_time)
    assert TRADED < trade.entry_time < trade.exit_time < QUIET
    return trade


def picture(answer: Reply) -> EquityChart:
    (block,) = (block for block in answer.blocks if isinstance(block, Chart))
    assert isinstance(block.chart, EquityChart)
    return block.chart


# -- the figures -------------------------------------------------------------------------


async def test_a_day_is_reported_as_the_books_have_it(traded_desk: Desk) -> None:
    trade = await the_trade(traded_desk)
    equity = D(10_000) + trade.net_pnl
    answer = await say(traded_desk, "/report daily")
    change = Percent(trade.net_pnl / 10_000, signed=True)
    assert answer.blocks[0] == Fields("Report of 2025-01-03", fields(answer))
    assert fields(answer) == {
        "net": Money(trade.net_pnl, signed=True),
        "against_day_before": Money(trade.net_pnl, signed=True),
        "equity": Money(equity),
        "equity_change": f"{show(Money(trade.net_pnl, signed=True))} ({show(change)})",
        "max_drawdown": Percent(max_drawdown(picture(answer).points)),
        "trades": "1 closed: 0 won, 1 lost",
        "best_and_worst": f"{show(Money(trade.net_pnl, signed=True))} {BTC}",
        "fees": Money(trade.commission),
        "funding": Money(trade.funding, signed=True),
        "open_risk": "no open position",
    }


async def test_the_picture_is_of_the_period_alone(traded_desk: Desk) -> None:
    points = picture(await say(traded_desk, "/report daily")).points
    assert [ts for ts, _ in points] == list(range(TRADED, QUIET + 1, HOUR_MS))


async def test_today_so_far_ends_now(traded_desk: Desk) -> None:
    trade = await the_trade(traded_desk)
    answer = await say(traded_desk, "/report")
    card = fields(answer, "Report of 2025-01-04 up to 21:20 UTC")
    assert card["net"] == Money(ZERO, signed=True)
    assert card["against_yesterday"] == Money(-trade.net_pnl, signed=True)
    assert card["equity"] == Money(traded_desk.view().accounts[0].equity)
    assert (card["trades"], card["best_and_worst"]) == ("none closed", None)
    points = picture(answer).points
    assert (points[0][0], points[-1][0]) == (QUIET, traded_desk.view().market_time)


async def test_an_open_position_is_in_the_equity_but_not_in_the_net(desk: Desk) -> None:
    card = fields(await say(desk, "/report"))
    account = desk.view().accounts[0]
    assert account.unrealized > 0
    assert card["net"] == Money(account.ledger.net, signed=True)
    assert card["equity"] == Money(account.equity)
    change = show(Money(account.equity - account.ledger.deposit, signed=True))
    assert str(card["equity_change"]).startswith(f"{change} (")


async def test_what_happens_on_the_last_stroke_belongs_to_the_day(traded_desk: Desk) -> None:
    trade = await the_trade(traded_desk)
    (fill, *_) = await traded_desk.recent(Fill, lambda fill: fill.exec_time)
    paid = Funding(trade.account, BOT, ETH, 0, D(3), D("0.0001"), D(1), D(1))
    before = fields(await say(traded_desk, "/report daily"))
    strokes = [
        fact
        for number, ts in enumerate((TRADED, QUIET), start=900)
        for fact in (
            replace(trade, trade_id=number, exit_time=ts, net_pnl=D(number), symbol=ETH),
            replace(fill, exec_id=f"stroke-{number}", exec_time=ts, commission=D(5)),
            replace(paid, ts=ts),
        )
    ]
    await traded_desk.store.commit(Commit(epoch=1, facts=strokes))
    card = fields(await say(traded_desk, "/report daily"))
    assert card["trades"] == "2 closed: 1 won, 1 lost"
    lost = show(Money(trade.net_pnl, signed=True))
    assert card["best_and_worst"] == f"+901.00 {ETH}, {lost} {BTC}"
    fees, funding = before["fees"], before["funding"]
    assert isinstance(fees, Money) and isinstance(funding, Money)
    assert card["fees"] == Money(fees.amount + 5)
    assert card["funding"] == Money(funding.amount + 3, signed=True)


async def test_open_risk_is_what_the_stops_would_cost_from_here(desk: Desk) -> None:
    view = desk.view()
    (item,) = view.positions
    assert item.stop_loss is not None
    risk = abs(item.position.quantity) * (item.stop_loss - item.price)
    share = Percent(risk / view.accounts[0].equity)
    words = f"{show(Money(risk))} ({show(share)} of equity)"
    assert fields(await say(desk, "/report"))["open_risk"] == f"{words} on 1 position"
    bare = replace(item, stop_loss=None)
    more = replace(view, positions=(item, bare))
    assert open_risk(more) == f"{words} on 2 positions, 1 without a stop"


async def test_a_stop_that_locks_in_a_profit_beyond_the_price_risks_nothing(desk: Desk) -> None:
    view = desk.view()
    (item,) = view.positions
    passed = replace(view, positions=(replace(item, stop_loss=item.price - 10),))
    assert open_risk(passed) == "0.00 (0.00% of equity) on 1 position"


# -- the card ----------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["now", "daily"])
async def test_the_card_has_at_most_twelve_lines(traded_desk: Desk, period: str) -> None:
    await traded_desk.runtime._take(DeskHalted("positions are not the sum of the fills", 1))
    card = fields(await say(traded_desk, f"/report {period}"))
    assert next(iter(card.items())) == ("halted", "positions are not the sum of the fills")
    assert len(card) + 1 <= LINES_MAX


async def test_a_paused_bot_is_told_first(traded_desk: Desk) -> None:
    await say(traded_desk, f"/bot pause {BOT}")
    card = fields(await say(traded_desk, "/report"))
    assert next(iter(card.items())) == ("paused", BOT)


async def test_the_other_periods_are_a_button_away(traded_desk: Desk) -> None:
    answer = await say(traded_desk, "/report daily")
    assert answer.buttons == (
        Button("Today", "/report now"),
        Button("Last week", "/report weekly"),
        Button("Last month", "/report monthly"),
        Button("Positions", "/positions"),
    )


async def test_a_period_before_the_desk_is_a_sentence(young_desk: Desk) -> None:
    answer = await say(young_desk, "/report monthly")
    words = "Nothing is known of 2024-12-01 to 2024-12-31: this desk had not begun."
    assert answer.blocks == (Text(words),)


async def test_the_first_half_hour_is_reported_without_a_picture(open_desk: OpenDesk) -> None:
    bars = course(100_000.0, [(6, 5.0)])
    answer = await say(await open_desk(ScriptedMarket({BTC: bars}, name="replay")), "/report")
    assert fields(answer, "Report of 2025-01-01 up to 00:30 UTC")["equity"] == Money(D(10_000))
    assert answer.blocks[1:] == (
        Text("The equity curve begins with the first full hour of market time."),
    )


async def test_the_first_day_is_set_against_nothing(young_desk: Desk) -> None:
    card = fields(await say(young_desk, "/report daily"), "Report of 2025-01-01")
    assert card["against_day_before"] is None
    assert card["equity_change"] == "0.00 (0.00%)"


async def test_before_the_first_candle_there_is_nothing_to_report(empty_desk: Desk) -> None:
    answer = await say(empty_desk, "/report daily")
    assert answer.error == "No candle has closed yet: there is nothing to report. Ask again later."


# -- periods -----------------------------------------------------------------------------

JANUARY_2, MARCH_1 = T0 + DAY_MS, T0 + 424 * DAY_MS

PERIODS = {
    "the day that ended": ("daily", JANUARY_2, "2025-01-01"),
    "a day is not over before midnight": ("daily", JANUARY_2 - 1, "2024-12-31"),
    "weeks begin on Monday": ("weekly", JANUARY_2, "2024-12-23 to 2024-12-29"),
    "the week that ended now": ("weekly", T0 + 5 * DAY_MS, "2024-12-30 to 2025-01-05"),
    "the month that ended": ("monthly", JANUARY_2, "2024-12-01 to 2024-12-31"),
    "a short month": ("monthly", MARCH_1, "2026-02-01 to 2026-02-28"),
    "today so far": ("now", JANUARY_2 + 90 * 60_000, "2025-01-02 up to 01:30 UTC"),
}


@pytest.mark.parametrize(("name", "now", "title"), PERIODS.values(), ids=PERIODS)
def test_a_period_says_its_dates(name: str, now: int, title: str) -> None:
    assert period_of(name, now).title == title


def test_a_month_is_set_against_the_month_before() -> None:
    february = period_of("monthly", MARCH_1)
    assert (february.end - february.start) // DAY_MS == 28
    assert (february.earlier_end - february.earlier_start) // DAY_MS == 31
    assert february.earlier_end == february.start


def test_today_is_set_against_as_much_of_yesterday() -> None:
    now = JANUARY_2 + 90 * 60_000
    today = period_of("now", now)
    assert (today.start, today.end) == (JANUARY_2, now)
    assert (today.earlier_start, today.earlier_end) == (T0, now - DAY_MS)


async def test_a_day_ends_by_the_clock_while_its_last_candle_is_awaited(
    open_desk: OpenDesk,
) -> None:
    """A report made at midnight is of the day that has just ended."""
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(2 * 288 - 1, 5.0)])}))
    assert isinstance(desk.clock, FakeClock)
    assert desk.view().market_time == TRADED - 5 * 60_000
    assert fields(await say(desk, "/report daily"), "Report of 2025-01-01")
    desk.clock.advance(270)
    assert fields(await say(desk, "/report daily"), "Report of 2025-01-02")


async def test_a_market_that_lags_behind_has_days_of_its_own(open_desk: OpenDesk) -> None:
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, [(2 * 288 - 1, 5.0)])}))
    assert isinstance(desk.clock, FakeClock)
    desk.clock.advance(3 * 86_400)
    assert fields(await say(desk, "/report daily"), "Report of 2025-01-01")
