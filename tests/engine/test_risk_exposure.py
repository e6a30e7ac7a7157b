"""What a desk counts as at risk, entries on their way as filled: positions, stops, caps, margin."""

from dataclasses import replace

import pytest

from engine import entries
from engine.bot import BotPlan
from engine.effect import Done, Submit
from engine.event import Executed, OrderCanceled, OrderRejected, OrderUnknown, PriceTicked
from engine.instruction import AddBot, RemoveBot
from engine.limits import Caps, Limits
from engine.memory import Memory
from engine.order import Order, Reason
from engine.standing import Committed
from tests.askers import asking
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    NO_EXITS,
    SELL,
    SELL_NOW,
    T0,
    USUAL_SIZING,
    D,
    bar,
    bot,
    closed,
    execution,
    puppet,
)
from tests.engine.cores import ETH, of
from tests.engine.limited import (
    BARS_A_DAY,
    FREE,
    enter,
    fill,
    leave,
    limited,
    told,
    wish,
)
from tests.engine.office import TOM, Office

SOL, XRP, ADA, DOGE = "SOLUSDT", "XRPUSDT", "ADAUSDT", "DOGEUSDT"
ALL = (BTC, ETH, SOL, XRP, ADA, DOGE)
# So small that six of them fit, so that one layer at a time is met.
SMALL = USUAL_SIZING._replace(margin=0.01)
STOP_AT_4 = NO_EXITS._replace(stop_loss=0.04)


def memory(office: Office) -> Memory:
    return office.core._memory


def committed(office: Office) -> Committed:
    return entries.committed(memory(office), ACCOUNT)


def stopped_at(stop: float) -> object:
    return puppet(exits=NO_EXITS._replace(stop_loss=stop))


# -- what is committed -------------------------------------------------------------------


def test_an_order_on_its_way_counts_as_filled_also_while_nobody_knows_of_it():
    office = limited(Limits(positions=5))
    [sent] = of(Submit, office.candle(0, 100, SELL_NOW))
    on_its_way = Committed(D(0), D(5_000), 1, D(500))
    assert committed(office) == on_its_way
    office.step(OrderUnknown(ACCOUNT, sent.order.order_link_id, "no answer", T0))
    assert committed(office) == on_its_way
    fill(office, sent.order, 100)
    assert committed(office) == on_its_way


@pytest.mark.parametrize("end", [OrderRejected, OrderCanceled])
def test_an_order_that_ended_is_at_risk_no_more(end):
    office = limited(Limits(positions=5))
    [sent] = of(Submit, office.candle(0, 100, SELL_NOW))
    office.step(end(ACCOUNT, sent.order.order_link_id, "no", T0))
    assert committed(office) == Committed()


def test_an_order_that_is_filled_in_part_counts_once():
    office = limited(Limits(positions=5))
    [sent] = of(Submit, office.candle(0, 100, SELL_NOW))
    office.step(Executed(execution(sent.order, quantity=20, ts=T0)))
    assert committed(office) == Committed(D(0), D(5_000), 1, D(500))


def test_a_way_out_is_no_risk():
    office = limited(Limits(positions=5))
    enter(office, 0)
    before = committed(office)
    assert of(Submit, office.candle(1, 100, 3.0))
    assert committed(office) == before


@pytest.mark.parametrize(
    ("price", "cost"),
    [(100, 200), (98, 300), (104, 0), (105, 0), (99.5, 225)],
)
def test_a_stop_costs_what_equity_loses_from_the_last_price_on(price, cost):
    office = limited(Limits(positions=5), strategy=puppet(exits=STOP_AT_4))
    enter(office, 0)
    office.candle(1, price)
    assert committed(office).at_stops == D(cost)


def test_a_position_without_a_stop_may_lose_what_is_left_of_its_margin():
    office = limited(Limits(positions=5))
    enter(office, 0)
    office.candle(1, 104)
    assert committed(office).at_stops == D(300)
    office.candle(2, 111)
    assert committed(office).at_stops == D(0)


def test_a_stop_of_another_position_guards_nothing():
    """What somebody else opened has no stop of ours, whatever the last entry had."""
    office = limited(Limits(positions=5), strategy=puppet(exits=STOP_AT_4))
    leave(office, enter(office, 0), 100)
    strange = execution(side=BUY, quantity=10, ts=T0 + 2 * BAR, trigger=Reason.EXTERNAL)
    office.step(Executed(strange))
    assert committed(office).at_stops == D(100)


# -- layers over several symbols ---------------------------------------------------------


def test_a_bot_opens_so_many_positions_and_orders_and_no_more():
    office = limited(Limits(positions=3), symbols=ALL, strategy=puppet(sizing=SMALL))
    enter(office, 0, BTC)
    enter(office, 0, ETH)
    assert wish(office, 0, SOL).approved
    decision = wish(office, 0, XRP)
    assert (decision.gate, decision.detail) == ("positions of the bot", "3 of 3 open")


def test_the_fourth_position_may_not_be_in_the_direction_of_all():
    limits = Limits(one_way=D("0.7"), one_way_from=3)
    office = limited(limits, symbols=ALL, strategy=puppet(sizing=SMALL))
    for symbol in (BTC, ETH, SOL):
        enter(office, 0, symbol)
    assert wish(office, 0, XRP).gate == "one-way exposure"
    assert wish(office, 1, XRP, BUY).approved


def test_stops_together_cost_at_most_a_tenth():
    """Each position is worth half of the account: its stop at 4 % costs 2 % of it."""
    limits = Limits(open_risk=D("0.1"))
    office = limited(limits, symbols=ALL, strategy=puppet(exits=STOP_AT_4))
    first, *_ = [enter(office, 0, symbol) for symbol in ALL[:5]]
    decision = wish(office, 0, DOGE)
    assert (decision.gate, decision.detail) == (
        "portfolio risk",
        "every stop met would cost 1200.00, at most 1000.00 (10% of equity)",
    )
    leave(office, first, 100)
    assert wish(office, 1, DOGE).approved


@pytest.mark.parametrize(("stop", "gate"), [(0.097, ""), (0.098, "liquidation")])
def test_an_entry_that_would_be_liquidated_before_its_stop_is_refused(stop, gate):
    office = limited(Limits(stop_first=True), strategy=stopped_at(stop))
    assert wish(office, 0).gate == gate


# -- margin ------------------------------------------------------------------------------

MARGIN = Limits(margin_level=D(3))
# Ten times: a fortieth of the margin must be left, three fortieths are left at 9.25 % of loss.
NEAR_LONG, NEAR_SHORT = 90.75, 109.25


@pytest.mark.parametrize(
    ("side", "far", "near"), [(BUY, 90.76, NEAR_LONG), (SELL, 109.24, NEAR_SHORT)]
)
def test_a_position_near_its_liquidation_is_told_once(side, far, near):
    office = limited(MARGIN)
    enter(office, 0, side=side)
    office.candle(1, far)
    assert told(office) == []
    office.candle(2, near)
    assert told(office) == [
        f"{BOT}: BTCUSDT is near its liquidation: at {near} what is left of its margin is "
        "300% of what must be."
    ]
    office.candle(3, near)
    assert told(office) == []


def test_a_price_that_touches_it_within_a_bar_is_enough():
    office = limited(MARGIN)
    enter(office, 0)
    office.step(closed(bar(1, 100, high=NEAR_SHORT, low=99, close=100)))
    assert len(told(office)) == 1


def test_a_price_told_between_bars_is_enough_and_the_bar_does_not_repeat_it():
    office = limited(MARGIN)
    enter(office, 0)
    office.step(PriceTicked(BTC, NEAR_SHORT, T0 + BAR + 1))
    assert len(told(office)) == 1
    office.step(replace(closed(bar(1, NEAR_SHORT)), ticked=True))
    assert told(office) == []


def test_bars_of_the_past_and_flat_symbols_ring_no_alarm():
    office = limited(MARGIN)
    leave(office, enter(office, 0), 100)
    office.candle(1, NEAR_SHORT)
    assert told(office) == []
    enter(office, 2)
    office.step(replace(closed(bar(1, NEAR_SHORT)), late=True))
    assert told(office) == []


def test_the_margin_is_watched_after_a_restart():
    office = limited(MARGIN)
    enter(office, 0)
    office.restart()
    office.candle(1, NEAR_SHORT)
    assert len(told(office)) == 1


# -- hard caps ---------------------------------------------------------------------------


def two_bots(caps: Caps) -> Office:
    """Two bots that trade the same symbols."""
    policy = replace(FREE, caps=caps)
    bots = [bot(symbols=(BTC, ETH)), bot(bot_id="other_001", symbols=(BTC, ETH))]
    return Office(policy=policy, bots=bots)


def sent(office: Office, index: int, symbol: str = BTC) -> list[Order]:
    effects = office.candle(index, 100, SELL_NOW, symbol)
    return [each.order for each in of(Submit, effects)]


def test_caps_count_what_all_bots_have_on_their_way():
    office = two_bots(Caps(position_value=D(9_999)))
    assert [each.bot_id for each in sent(office, 0)] == [BOT]
    office = two_bots(Caps(position_value=D(10_000)))
    assert len(sent(office, 0)) == 2
    office = two_bots(Caps(gross_exposure=D(15_000)))
    assert len(sent(office, 0)) == 2
    assert len(sent(office, 0, ETH)) == 1


def test_orders_of_a_minute_are_counted_also_those_that_close():
    office = limited(caps=Caps(orders_a_minute=2))
    enter(office, 0)
    assert of(Submit, office.candle(1, 100, 3.0))
    assert wish(office, 1).approved
    office = limited(caps=Caps(orders_a_minute=1))
    enter(office, 0)
    decision = wish(office, 0)
    assert (decision.gate, decision.detail) == (
        "hard caps",
        "orders_a_minute would be 2, the cap is 1",
    )
    assert wish(office, 1).approved


def test_a_daily_loss_is_of_all_bots_and_counts_what_the_stops_may_still_lose():
    office = two_bots(Caps(daily_loss=D(1_499)))
    for order in sent(office, 0):
        fill(office, order, 100)
    assert sent(office, 1, ETH) == []
    office = two_bots(Caps(daily_loss=D(1_500)))
    for order in sent(office, 0):
        fill(office, order, 100)
    assert len(sent(office, 1, ETH)) == 1


def test_the_cap_on_a_days_loss_is_told_once_and_holds_until_the_next():
    office = limited(caps=Caps(daily_loss=D(600)))
    leave(office, enter(office, 0), 112)
    assert told(office) == [
        "Hard cap: the desk lost 600.00 today, the cap is 600.00. Nothing is opened until "
        "2025-01-02 00:00 UTC. Stops, targets and exits go on."
    ]
    assert wish(office, 1).detail == "daily_loss is used up: no more before 00:00 UTC"
    assert told(office) == []
    office.restart()
    assert wish(office, 2).gate == "hard caps"
    assert wish(office, BARS_A_DAY).approved


def test_a_bot_that_is_removed_takes_no_loss_of_the_day_with_it():
    office = limited(caps=Caps(daily_loss=D(600)))
    office.candle(0)
    added = office.propose(AddBot(BotPlan("rsi", (BTC,), D(10_000))), asking(TOM))
    office.press(added, asking(TOM))
    office.candle(12)
    for side, price in ((SELL, "100"), (BUY, "112")):
        done = execution(side=side, quantity=50, price=price, ts=T0 + 13 * BAR)
        account = "paper-test-rsi_001"
        office.step(Executed(replace(done, account=account, trigger=Reason.EXTERNAL)))
    removal = office.propose(RemoveBot("rsi_001"), asking(TOM))
    assert isinstance(office.press(removal, asking(TOM)), Done)
    office.candle(13)
    assert entries.cap_use(memory(office), BTC, T0 + 14 * BAR).lost == D(600)
    assert wish(office, 14).gate == "hard caps"
