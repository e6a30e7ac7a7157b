"""What the desk holds and earned, against its own books."""

from decimal import Decimal

import pytest

from engine.candle import DAY_MS, HOUR_MS
from engine.desk import Desk
from engine.ledger import EquityPoint
from engine.order import ZERO
from engine.people import Role
from engine.ports import Commit
from handlers.portfolio import max_drawdown
from handlers.reply import (
    Button,
    Chart,
    Duration,
    EquityChart,
    Fields,
    Money,
    Multiple,
    Percent,
    Price,
    Quantity,
    Reply,
    Table,
    Text,
)
from tests.handlers.desks import (
    BOT,
    BTC,
    FALLING_TWICE,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    rows,
    say,
    table,
)

D = Decimal
FIRST_FIELDS = ["realized", "fees", "funding", "net", "unrealized", "trades"]


async def test_a_position_shows_size_prices_profit_protection_and_age(desk: Desk) -> None:
    answer = await say(desk, "/positions")
    item = desk.view().positions[0]
    (row,) = rows(table(answer, "Open positions"))
    assert row == {
        "symbol": BTC,
        "side": "short",
        "quantity": Quantity(D("0.048")),
        "entry": Price(D("102080"), 1),
        "price": Price(D("101780.0"), 1),
        "pnl": Money(D("14.4000"), signed=True),
        "on_margin_pct": Percent(D("14.4") / (D("0.048") * D("102080") / 10), signed=True),
        "price_pct": Percent(D("101780") / D("102080") - 1, signed=True),
        "stop": Price(item.stop_loss or ZERO, 1),
        "target": Price(item.take_profit or ZERO, 1),
        # Ten times the margin, of which 2.5 % have to be left: 9.75 % above.
        "liquidation": Price(D("112032.8"), 1),
        "age": Duration(25 * 60_000),
        "bot": BOT,
    }
    assert answer.buttons == (
        Button(f"Chart {BTC}", f"/chart {BTC}"),
        Button(f"Why {BTC}", f"/why {BTC}"),
        Button(f"Close {BTC}", f"/close {BTC} all {BOT}"),
        Button(f"Half {BTC}", f"/close {BTC} half {BOT}"),
        Button(f"Break-even {BTC}", f"/be {BTC} {BOT}"),
        Button(f"Edit stop {BTC}", f"/stops {BTC} bot={BOT}", asks=("stop",)),
    )
    looks = (await say(desk, "/positions", Role.VIEWER)).buttons
    assert looks == answer.buttons[:2]


async def test_without_positions_the_answer_says_so(young_desk: Desk) -> None:
    answer = await say(young_desk, "/positions")
    (block,) = answer.blocks
    assert isinstance(block, Table)
    assert (block.rows, block.empty) == ((), "No open positions.")


async def test_the_portfolio_adds_up(desk: Desk) -> None:
    answer = await say(desk, "/portfolio")
    account = desk.view().accounts[0]
    card = fields(answer)
    assert answer.blocks[0] == Fields(account.account, card)
    exposure = D("0.048") * D("101780.0")
    assert card == {
        "bot": BOT,
        "deposit": Money(D(10_000)),
        "balance": Money(account.ledger.balance),
        "unrealized": Money(account.unrealized, signed=True),
        "equity": Money(account.equity),
        "margin": Money(account.margin),
        "free_margin": Money(account.equity - account.margin),
        "exposure": Money(exposure),
        "leverage_in_use": Multiple(exposure / account.equity),
    }
    (row,) = rows(table(answer, "Exposure"))
    assert row["of_equity"] == Percent(exposure / account.equity)


async def test_pnl_begins_with_the_ledgers_sums(desk: Desk) -> None:
    card = fields(await say(desk, "/pnl"))
    ledger = desk.view().accounts[0].ledger
    assert list(card)[: len(FIRST_FIELDS)] == FIRST_FIELDS
    assert card["realized"] == Money(ledger.realized, signed=True)
    assert card["fees"] == Money(ledger.fees)
    assert card["funding"] == Money(ledger.funding, signed=True)
    assert card["net"] == Money(ledger.net, signed=True)
    assert card["unrealized"] == Money(D("14.4000"), signed=True)
    assert card["trades"] == 1
    assert card["win_rate"] == Percent(0.0)
    assert card["best_trade"] == card["worst_trade"]


async def test_pnl_over_all_days_is_pnl_over_everything(desk: Desk) -> None:
    everything = fields(await say(desk, "/pnl"))
    assert fields(await say(desk, "/pnl 3650")) == everything


async def test_pnl_of_the_last_day_leaves_out_what_was_before(open_desk: OpenDesk) -> None:
    risen = (*FALLING_TWICE[:3], (400, 1.0))
    desk = await open_desk(ScriptedMarket({BTC: course(100_000.0, risen)}))
    assert fields(await say(desk, "/pnl 7"))["trades"] == 1
    answer = await say(desk, "/pnl 1")
    card = fields(answer, "Profit and loss, last day")
    assert card["trades"] == 0
    assert card["realized"] == Money(ZERO, signed=True)
    assert card["fees"] == Money(ZERO)
    assert card["win_rate"] is None
    assert len(_chart(answer).points) == DAY_MS // HOUR_MS + 1


async def test_pnl_shows_the_equity_curve_up_to_now(desk: Desk) -> None:
    chart = _chart(await say(desk, "/pnl"))
    view = desk.view()
    assert chart.deposit == 10_000.0
    assert chart.points[0][0] % HOUR_MS == 0
    assert chart.points[-1] == (view.market_time, float(view.accounts[0].equity))
    assert chart.subtitle.endswith(" UTC · PAPER - scripted market")


async def test_the_books_of_another_market_are_not_mixed_in(desk: Desk) -> None:
    before = _chart(await say(desk, "/pnl"))
    stranger = EquityPoint("paper-other-bot", before.points[0][0], D(1), D(1))
    await desk.store.commit(Commit(epoch=1, facts=[stranger]))
    assert _chart(await say(desk, "/pnl")) == before


async def test_before_the_first_hour_there_is_no_curve_but_a_sentence(empty_desk: Desk) -> None:
    answer = await say(empty_desk, "/pnl")
    assert isinstance(answer.blocks[1], Text)
    assert fields(answer)["max_drawdown"] == Percent(0.0)


def _chart(answer: Reply) -> EquityChart:
    block = next(block for block in answer.blocks if isinstance(block, Chart))
    assert isinstance(block.chart, EquityChart)
    return block.chart


@pytest.mark.parametrize(
    ("worths", "deepest"),
    [
        ([], 0.0),
        ([100.0], 0.0),
        ([100.0, 110.0, 120.0], 0.0),
        ([100.0, 120.0, 90.0, 130.0, 117.0], 0.25),
        ([100.0, 50.0, 200.0, 150.0], 0.5),
    ],
)
def test_the_drawdown_is_measured_from_the_highest_point_before(
    worths: list[float], deepest: float
) -> None:
    assert max_drawdown(list(enumerate(worths))) == pytest.approx(deepest)
