"""Orders by hand: the ticket a person confirms, the order it becomes, and what it adds up to."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.candle import HOUR_MS
from engine.effect import (
    Done,
    Effect,
    NotDone,
    NoticeKind,
    Notify,
    Proposed,
    Record,
    Submit,
)
from engine.event import (
    DeskHalted,
    Executed,
    MarketEnded,
    OrderCanceled,
    OrderRejected,
    PriceTicked,
)
from engine.instruction import ClosePosition, HaltDesk, MoveStops, PauseBot, PlaceOrder
from engine.instrument import MAJORS
from engine.ledger import Funding, fold
from engine.mail import Address
from engine.order import Fill, Order, OrderType, Reason
from engine.position import Trade
from engine.proposal import Proposal, ProposalKind, ProposalState, Ticket
from engine.signal import Action, Decision
from engine.strategies.exits import Exits
from engine.tunable import Tier
from tests.askers import OPERATING, asking
from tests.engine.by_hand import (
    ALL,
    BUYING,
    ETH,
    HALF,
    QUARTER,
    SELLING,
    Trading,
    confirmed,
    holding,
    priced,
    refused,
    ticket_of,
    tim,
    tom,
    vic,
)
from tests.engine.conftest import (
    ACCOUNT,
    BAR,
    BOT,
    BTC,
    BUY,
    BUY_NOW,
    LEAVE_NOW,
    SELL,
    SELL_NOW,
    T0,
    D,
    bar,
    bot,
    closed,
    execution,
    instrument,
    puppet,
)
from tests.engine.cores import of
from tests.engine.office import MINUTE, POLICY, SECOND, TOM, Office

# -- the ticket of an entry --------------------------------------------------------------


def test_an_entry_is_shown_with_all_that_it_costs():
    """1,000 at 100 with ten times leverage: 10 for 100 of margin, 0.1 % of 1,000 as the fee;
    at 95 it loses 10 x 5 and fees of 0.1 % of 1,000 and of 950."""
    desk = priced()
    proposal = desk.propose(replace(BUYING, stop_loss=D(95), take_profit=D(120)), tom)
    assert (proposal.kind, proposal.tier) == (ProposalKind.ORDER, Tier.YELLOW)
    assert proposal.title == f"Buy 10 {BTC} for {BOT}"
    ticket = ticket_of(proposal)
    assert ticket == Ticket(
        account=ACCOUNT,
        bot_id=BOT,
        symbol=BTC,
        side=BUY,
        quantity=D(10),
        price=D(100),
        value=D(1000),
        leverage=10,
        margin=D(100),
        fee=D(1),
        share=D("0.1"),
        held=D(0),
        reduce_only=False,
        stop_loss=D(95),
        take_profit=D(120),
        loss_at_stop=D("51.95"),
        gates=ticket.gates,
        last=D(100),
        liquidation=D(90),
    )
    assert [(gate.gate, gate.passed) for gate in ticket.gates] == [
        ("mode and kill", True),
        ("market open", True),
        ("fresh price", True),
        ("one position a symbol", True),
        ("size", True),
        ("instrument limits", True),
    ]


def test_a_short_loses_above_its_entry():
    """10 at 100 with the stop at 104: 10 x 4, and 0.1 % of 1,000 and of 1,040."""
    ticket = ticket_of(priced().propose(replace(SELLING, stop_loss=D(104)), tom))
    assert (ticket.side, ticket.loss_at_stop) == (SELL, D("42.04"))


def test_no_more_is_lost_than_the_margin_and_the_fees():
    """Ten times leverage: a stop 20 % below costs the margin of 100, as the position is closed
    before it, and fees of 0.1 % of 1,000 and of 800."""
    ticket = ticket_of(priced().propose(replace(BUYING, stop_loss=D(80)), tom))
    assert ticket.loss_at_stop == ticket.margin + D("1.8") == D("101.8")
    short = ticket_of(priced().propose(replace(SELLING, stop_loss=D(900)), tom))
    assert short.loss_at_stop == D(100) + D(1) + D(9)


def test_the_quantity_is_rounded_down_to_the_step():
    """1,000 at 300 are 3.33: 3.3 for 990."""
    ticket = ticket_of(priced(300).propose(BUYING, tom))
    assert (ticket.quantity, ticket.value, ticket.margin) == (D("3.3"), D(990), D(99))
    assert (ticket.fee, ticket.share) == (D("0.99"), D("0.099"))


def test_without_levels_of_ones_own_they_are_those_of_the_strategy():
    """Stop 1 % below 1,000 and target 3 % above; on the other side for a short."""
    traders = [bot(puppet(exits=Exits(0.01, 0.03, 0.01, 0.02, 0, 0)))]
    long = ticket_of(priced(1000, bots=traders).propose(BUYING, tom))
    short = ticket_of(priced(1000, bots=traders).propose(SELLING, tom))
    assert (long.stop_loss, long.take_profit) == (D(990), D(1030))
    assert (short.stop_loss, short.take_profit) == (D(1010), D(970))
    order = confirmed(priced(1000, bots=traders), BUYING)
    assert (order.stop_loss, order.take_profit) == (D(990), D(1030))
    assert (order.trailing_stop, order.trailing_activation) == (D(10), D(1020))


def test_a_strategy_without_a_stop_has_no_loss_at_it():
    ticket = ticket_of(priced().propose(BUYING, tom))
    assert (ticket.stop_loss, ticket.take_profit, ticket.loss_at_stop) == (None, None, None)


WRONG_SIDE = {
    "a long's stop above": (replace(BUYING, stop_loss=D(101)), "a price below 100"),
    "a long's stop at the price": (replace(BUYING, stop_loss=D(100)), "a price below 100"),
    "a short's stop below": (replace(SELLING, stop_loss=D(99)), "a price above 100"),
    "a long's target below": (replace(BUYING, take_profit=D(99)), "a price above 100"),
    "a short's target above": (replace(SELLING, take_profit=D(101)), "a price below 100"),
    "a stop between the ticks": (replace(BUYING, stop_loss=D("95.5")), "steps of 1"),
}


@pytest.mark.parametrize("amount", ["0", "-5", "1e12", "1e400", "NaN", "Infinity"])
def test_an_amount_or_a_price_that_is_none_is_refused(amount):
    desk = priced()
    assert refused(desk, replace(BUYING, value=D(amount))) == (
        f"amount: '{D(amount)}' is not valid. Allowed: more than 0, less than 1,000,000,000,000."
    )
    for field, name in (("stop_loss", "stop"), ("take_profit", "target")):
        said = f"{name}: '{D(amount)}' is not valid. Allowed: a price from 1 to 1000."
        assert refused(desk, replace(BUYING, **{field: D(amount)})) == said


def test_an_amount_beyond_the_greatest_order_is_refused():
    """1,000 coins at 300 are 300,000."""
    desk = priced(300)
    assert refused(desk, replace(BUYING, value=D("300000.01"))) == (
        "amount: '300000.01' is not valid. Allowed: at most 300000 at this price."
    )
    assert "Refused by the gate size" in refused(desk, replace(BUYING, value=D(300_000)))


@pytest.mark.parametrize(("level", "good"), [("0.9", False), ("1", True), ("99", True)])
def test_a_stop_is_a_tick_or_more(level, good):
    result = priced().ask(replace(BUYING, stop_loss=D(level)), tom)
    assert isinstance(result, Proposed) is good


@pytest.mark.parametrize(("level", "good"), [("101", True), ("1000", True), ("1001", False)])
def test_a_target_is_at_most_ten_times_the_price(level, good):
    result = priced().ask(replace(BUYING, take_profit=D(level)), tom)
    assert isinstance(result, Proposed) is good


WILD = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.decimals(min_value="1e-9", max_value="1e9", allow_nan=False),
    st.builds(
        lambda digits, exponent: Decimal((0, tuple(digits), exponent)),
        st.lists(st.integers(0, 9), min_size=1, max_size=60),
        st.integers(-(10**15), 10**15) | st.integers(-60, 60),
    ),
)


@given(
    symbol=st.sampled_from(sorted(MAJORS)),
    price=st.sampled_from([1e-05, 0.1234, 1.0, 3.3, 97_123.4, 999_999.9]),
    value=WILD,
    stop=st.none() | WILD,
    target=st.none() | WILD,
    fraction=WILD,
    side=st.sampled_from([BUY, SELL]),
    kind=st.sampled_from(OrderType),
    asked=st.none() | WILD,
    lasts=st.integers(-(10**15), 10**15) | st.sampled_from([0, 3_600_000]),
)
@settings(max_examples=300, deadline=None)
def test_whatever_number_is_asked_for_is_a_ticket_or_refused_in_words(
    symbol, price, value, stop, target, fraction, side, kind, asked, lasts
):
    """No number that can be written is too much, and none is said back at any length."""
    rules = {symbol: MAJORS[symbol]}
    desk = Office(bots=[bot(symbols=(symbol,))], rules=rules)
    desk.candle(0, price, symbol=symbol)
    wanted = PlaceOrder(BOT, symbol, side, value, stop, target, kind, asked, False, lasts)
    entry = desk.ask(wanted, tom)
    if isinstance(entry, Proposed):
        ticket = ticket_of(entry.proposal)
        assert 0 < ticket.quantity <= rules[symbol].quantity_max
        assert ticket.quantity * ticket.price <= value
        levels = [each for each in (ticket.stop_loss, ticket.take_profit) if each is not None]
        assert all(0 < each <= ticket.price * 10 for each in levels)
        assert not any(each % rules[symbol].tick for each in levels)
    elif isinstance(entry, NotDone):
        assert "Allowed: " in entry.reason or entry.reason.startswith("Refused by the gate ")
        assert len(entry.reason) < 250
    opened = execution(
        symbol=symbol,
        side=side,
        quantity=rules[symbol].quantity_min,
        price=f"{price:f}",
        trigger=Reason.MANUAL_ENTRY,
    )
    desk.step(Executed(opened))
    close = desk.ask(ClosePosition(BOT, symbol, fraction), tom)
    if isinstance(close, Proposed):
        assert 0 < ticket_of(close.proposal).quantity <= rules[symbol].quantity_min
    else:
        assert isinstance(close, NotDone)
        assert len(close.reason) < 200
    moved = desk.ask(MoveStops(BOT, symbol, stop, target), tom)
    if isinstance(moved, NotDone):
        nothing = ("Say where to: stop=, target=, or both.", "stand there already.")
        assert "Allowed: " in moved.reason or moved.reason.endswith(nothing)
        assert len(moved.reason) < 250


@pytest.mark.parametrize(("instruction", "allowed"), WRONG_SIDE.values(), ids=WRONG_SIDE)
def test_a_level_on_the_wrong_side_is_refused(instruction, allowed):
    assert f"Allowed: {allowed}." in refused(priced(), instruction)


def test_what_is_not_there_is_refused_by_its_name():
    desk = priced()
    assert refused(desk, replace(BUYING, bot_id="x")).startswith("bot: 'x' is not valid.")
    assert refused(desk, replace(BUYING, symbol=ETH)) == (
        f"symbol: '{ETH}' is not valid. Allowed: {BTC}."
    )
    assert refused(Trading(), BUYING) == f"{BTC} has no price yet."


def test_a_viewer_places_no_orders():
    assert priced().ask(BUYING, vic) == NotDone("That needs the role trader; yours is viewer.")


# -- gates -------------------------------------------------------------------------------


def halted(desk: Office) -> None:
    desk.step(DeskHalted("books differ", T0))


def ended(desk: Office) -> None:
    desk.step(MarketEnded(T0))


def underway(desk: Office) -> None:
    confirmed(desk, BUYING)


def signalled(desk: Office) -> None:
    desk.play(100, SELL_NOW)
    desk.play(100)


def roomy(desk: Office) -> None:
    desk.rules[BTC] = instrument(quantity_max=D(2_000))


GATES = {
    "halted": (halted, BUYING, "mode and kill: halted: books differ"),
    "the market's end": (ended, BUYING, "market open: the market has ended"),
    "an order underway": (underway, BUYING, "one position a symbol: an order is on its way"),
    "a position of the strategy": (signalled, BUYING, "one position a symbol: holds -50"),
    "no margin": (
        roomy,
        replace(BUYING, value=D(100_010)),
        "size: needs 10001.00 margin, 10000.00 is free",
    ),
    "too little": (
        lambda desk: None,
        replace(BUYING, value=D(9)),
        "instrument limits: 0.0 is below the minimum 0.1",
    ),
}


@pytest.mark.parametrize(("happen", "instruction", "said"), GATES.values(), ids=GATES)
def test_an_entry_that_a_gate_refuses_is_not_proposed(happen, instruction, said):
    desk = priced()
    happen(desk)
    assert refused(desk, instruction).startswith(f"Refused by the gate {said}")
    assert desk.core.view().proposals == ()


@pytest.mark.parametrize("happen", [halted, ended, underway, signalled])
def test_an_entry_that_a_gate_refuses_meanwhile_is_void(happen):
    desk = priced()
    proposal = desk.propose(BUYING, tim)
    happen(desk)
    assert isinstance(desk.press(proposal, tim), NotDone)
    assert not any(isinstance(effect, Submit) for effect in desk.effects)
    assert desk.ended(proposal).state is ProposalState.VOID


def test_an_entry_by_hand_waits_for_no_signal_and_no_paused_bot():
    """A pause is the strategy's, a warm-up and a cool-down too."""
    traders = [bot(puppet(warm_up=600, exits=Exits(0, 0, 0, 0, 0, HOUR_MS)))]
    desk = priced(bots=traders)
    desk.ask(PauseBot(BOT), tom)
    assert confirmed(desk, BUYING).quantity == D(10)


def test_a_desk_that_a_person_halted_takes_no_entry_by_hand():
    desk = priced()
    desk.ask(HaltDesk(), tim)
    assert "halted: by tim" in refused(desk, BUYING)


def live(**how: object) -> Trading:
    """A desk whose prices are good for a minute of the clock; the last one was of just now."""
    desk = priced(policy=replace(POLICY, price_age_max_ms=MINUTE), **how)
    desk.now = T0 + BAR
    return desk


@pytest.mark.parametrize(("age", "good"), [(0, True), (MINUTE, True), (MINUTE + 1, False)])
def test_an_entry_takes_a_fresh_price(age, good):
    desk = live()
    desk.now += age
    if good:
        gates = {gate.gate: gate for gate in ticket_of(desk.propose(BUYING, tom)).gates}
        assert gates["fresh price"].detail == f"{age // 1000} s old"
        assert confirmed(desk, BUYING)
    else:
        assert refused(desk, BUYING) == (
            "Refused by the gate fresh price: the last price is 60 s old."
        )


def test_an_entry_is_void_where_its_price_has_grown_old_meanwhile():
    desk = live()
    desk.now += 30 * SECOND
    proposal = desk.propose(BUYING, tom)
    desk.now += 31 * SECOND
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert desk.ended(proposal).outcome == "fresh price: the last price is 61 s old"


def test_a_tick_is_a_price_too():
    desk = live()
    desk.now += 2 * MINUTE
    desk.step(PriceTicked(BTC, 100.0, desk.now))
    assert desk.propose(BUYING, tom)


def test_an_old_price_of_one_symbol_is_none_of_anothers():
    desk = live(bots=[bot(symbols=(BTC, ETH))])
    desk.now += 2 * MINUTE
    desk.step(PriceTicked(ETH, 50.0, desk.now))
    assert "fresh price" in refused(desk, BUYING)
    assert desk.propose(replace(BUYING, symbol=ETH), tom)


def test_an_old_price_stops_no_close():
    desk = live()
    confirmed(desk, BUYING)
    desk.play(100)
    desk.now += 60 * MINUTE
    assert confirmed(desk, ALL).quantity == D(10)


# -- confirming --------------------------------------------------------------------------


def test_a_confirmed_ticket_is_sent_as_it_was_shown_with_the_record_of_why():
    desk = priced()
    proposal = desk.propose(replace(BUYING, stop_loss=D(95)), tom)
    assert desk.press(proposal, tom) == Done(f"Buy 10 {BTC} is sent.")
    [decision] = of(Decision, desk.effects)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    order = submit.order
    assert (decision.action, decision.side, decision.reason) == (
        Action.ENTRY,
        BUY,
        Reason.MANUAL_ENTRY,
    )
    assert (decision.approved, decision.order_link_id) == (True, order.order_link_id)
    assert (decision.ts, decision.price) == (T0 + BAR, 100.0)
    assert (order.bot_id, order.account, order.symbol) == (BOT, ACCOUNT, BTC)
    assert (order.side, order.quantity, order.leverage) == (BUY, D(10), 10)
    assert (order.order_type, order.reason) == (OrderType.MARKET, Reason.MANUAL_ENTRY)
    assert (order.stop_loss, order.take_profit) == (D(95), None)
    assert (order.reduce_only, order.created_at) == (False, T0 + BAR)
    assert order.client_order_id == f"{BOT}:manual_entry:{T0 + BAR}"
    assert Record(order) in desk.effects


def test_another_trader_may_confirm():
    desk = priced()
    assert isinstance(desk.press(desk.propose(BUYING, tom), tim), Done)


def test_an_order_that_nobody_confirms_in_a_minute_is_not_sent():
    desk = priced()
    proposal = desk.propose(BUYING, tom)
    desk.now += MINUTE
    assert isinstance(desk.press(proposal, tom), NotDone)
    assert not any(isinstance(effect, Submit) for effect in desk.found)


def test_what_is_sent_is_what_was_shown_though_the_price_moved_a_little():
    desk = priced(1000)
    proposal = desk.propose(BUYING, tom)
    desk.play(1004)
    desk.press(proposal, tom)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    assert submit.order.quantity == ticket_of(proposal).quantity == D(1)


def test_an_entry_is_void_where_the_price_has_passed_its_stop_or_target():
    """A stop of 0.3 % is passed within the half percent that a price may move."""
    traders = [bot(puppet(exits=Exits(0.003, 0.003, 0, 0, 0, 0)))]
    for price in (996, 1004):
        desk = priced(1000, bots=traders)
        proposal = desk.propose(BUYING, tom)
        desk.play(price)
        assert isinstance(desk.press(proposal, tom), NotDone)
        assert desk.ended(proposal).state is ProposalState.VOID


def test_two_confirmed_in_one_moment_have_ids_of_their_own():
    traders = [bot(symbols=(BTC, ETH))]
    desk = priced(bots=traders)
    desk.step(closed(bar(0, 50), ETH))
    one = confirmed(desk, BUYING)
    other = confirmed(desk, replace(BUYING, symbol=ETH))
    assert one.order_link_id != other.order_link_id


# -- closing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("instruction", "quantity"), [(ALL, "10"), (HALF, "5"), (QUARTER, "2.5")], ids=str
)
def test_a_close_is_shown_with_all_that_it_costs(instruction, quantity):
    """A long of 10 bought at 100, at 110: all of it is worth 1,100 for a fee of 1.1."""
    desk = holding()
    desk.play(110)
    proposal = desk.propose(instruction, tom)
    assert proposal.title == f"Close {quantity} {BTC} for {BOT}"
    ticket = ticket_of(proposal)
    value = D(quantity) * 110
    assert (ticket.side, ticket.quantity, ticket.held) == (SELL, D(quantity), D(10))
    assert (ticket.price, ticket.value, ticket.fee) == (D(110), value, value / 1000)
    assert (ticket.margin, ticket.reduce_only) == (value / 10, True)
    assert (ticket.stop_loss, ticket.loss_at_stop, ticket.gates) == (None, None, ())
    order = confirmed(desk, instruction)
    assert (order.side, order.quantity, order.reduce_only) == (SELL, D(quantity), True)
    assert order.reason is Reason.MANUAL_EXIT


@pytest.mark.parametrize(
    ("opened", "price", "instruction", "gain"),
    [
        (BUYING, 110, ALL, "98.9"),
        (BUYING, 110, HALF, "49.45"),
        (BUYING, 95, ALL, "-50.95"),
        (SELLING, 90, ALL, "99.1"),
    ],
    ids=["a gain", "half a gain", "a loss", "a short"],
)
def test_a_close_says_what_it_gains_less_its_fee(opened, price, instruction, gain):
    """10 at 100, closed at 110: 100 less 0.1 % of 1,100; at 95 a loss of 50 and 0.95."""
    desk = holding(opened)
    desk.play(price)
    assert ticket_of(desk.propose(instruction, tom)).realizes == D(gain)


def test_a_short_is_closed_by_buying():
    order = confirmed(holding(SELLING), HALF)
    assert (order.side, order.quantity) == (BUY, D(5))


def test_a_part_is_rounded_down_to_the_step():
    """30 at 100 are 0.3: half of it 0.15, which is 0.1."""
    desk = holding(replace(BUYING, value=D(30)))
    assert ticket_of(desk.propose(HALF, tom)).quantity == D("0.1")


def test_a_part_below_the_least_is_refused_with_what_can_be_done():
    desk = holding(replace(BUYING, value=D(30)))
    assert refused(desk, QUARTER) == (
        f"25% of 0.3 {BTC} is below the least quantity, 0.1. /close {BTC} all closes it."
    )


@pytest.mark.parametrize("fraction", ["0", "-0.5", "1.01"])
def test_a_part_that_is_none_is_refused(fraction):
    assert "Allowed: more than 0, at most 1." in refused(
        holding(), replace(ALL, fraction=D(fraction))
    )


def test_there_is_nothing_to_close_where_nothing_is_held():
    assert refused(priced(), ALL) == f"{BOT} holds no {BTC}."


def test_nothing_is_closed_twice():
    desk = holding()
    first, second = desk.propose(ALL, tom), desk.propose(ALL, tim)
    desk.press(first, tom)
    assert "an order is on its way already" in refused(desk, ALL)
    assert isinstance(desk.press(second, tim), NotDone)
    desk.play(100)
    assert desk.held() == 0


def test_a_close_is_void_where_the_position_has_changed():
    desk = holding()
    proposal = desk.propose(ALL, tom)
    confirmed(desk, HALF)
    desk.play(100)
    result = desk.press(proposal, tom)
    assert isinstance(result, NotDone)
    assert "the position was 10, it is 5" in result.reason
    assert desk.held() == D(5)


def test_a_close_stands_whatever_the_price_does():
    desk = holding()
    proposal = desk.propose(ALL, tom)
    desk.play(95)
    assert isinstance(desk.press(proposal, tom), Done)


def test_a_close_goes_through_while_the_desk_is_halted():
    desk = holding()
    desk.ask(HaltDesk(), tim)
    assert confirmed(desk, ALL).quantity == D(10)


def test_nothing_is_closed_after_the_markets_end():
    desk = holding()
    ended(desk)
    assert "The market has ended" in refused(desk, ALL)


def test_a_close_that_the_exchange_refused_may_be_asked_again():
    desk = holding()
    placed = confirmed(desk, ALL)
    desk.core.step(OrderRejected(ACCOUNT, placed.order_link_id, "busy", desk.now))
    assert desk.propose(ALL, tom)


def test_what_the_strategy_opened_is_closed_by_hand_too():
    desk = priced()
    signalled(desk)
    confirmed(desk, ALL)
    effects = desk.play(100)
    [trade] = of(Trade, effects)
    assert (trade.entry_reason, trade.close_reason) == (Reason.EMA_CROSS, Reason.MANUAL_EXIT)
    assert desk.held() == 0


# -- whose position it is ----------------------------------------------------------------


def test_a_strategy_leaves_alone_what_was_opened_by_hand():
    """No exit by its signal, none by age, and no entry beside it; /close ends it."""
    aging = [bot(puppet(exits=Exits(0, 0, 0, 0, BAR, 0)))]
    desk = holding(bots=aging)
    for wish in (LEAVE_NOW, 0, BUY_NOW, SELL_NOW, LEAVE_NOW):
        assert not any(isinstance(effect, Submit) for effect in desk.play(100, wish))
    assert desk.held() == D(10)
    confirmed(desk, ALL)
    desk.play(100)
    assert desk.held() == 0
    assert any(isinstance(effect, Submit) for effect in desk.play(100, SELL_NOW))


def test_a_restart_forgets_not_who_opened_it():
    desk = holding()
    desk.restart()
    assert not any(isinstance(effect, Submit) for effect in desk.play(100, LEAVE_NOW))


def test_what_is_left_after_a_part_was_closed_is_still_the_persons():
    desk = holding()
    confirmed(desk, HALF)
    desk.play(100)
    assert not any(isinstance(effect, Submit) for effect in desk.play(100, LEAVE_NOW))


def test_a_part_closed_by_hand_leaves_the_rest_to_the_strategy():
    desk = priced()
    signalled(desk)
    confirmed(desk, HALF)
    desk.play(100)
    assert desk.held() == D(-25)
    assert any(isinstance(effect, Submit) for effect in desk.play(100, LEAVE_NOW))


def test_its_stop_stands_at_the_exchange():
    desk = holding(replace(BUYING, stop_loss=D(95)))
    [trade] = of(Trade, desk.play(100, low=90.0))
    assert (trade.entry_reason, trade.close_reason) == (Reason.MANUAL_ENTRY, Reason.STOP_LOSS)
    assert desk.held() == 0


# -- told where it was asked -------------------------------------------------------------

GROUP = Address("telegram", "-100123", "7")
ELSEWHERE = Address("discord", "200")


def placed(desk: Office, instruction: PlaceOrder | ClosePosition, at: Address = GROUP) -> Order:
    """Ask in a chat and confirm; what is sent."""
    proposal = desk.propose(instruction, replace(asking(TOM, at.surface), address=at))
    assert isinstance(desk.press(proposal, tom), Done)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    return submit.order


def told(desk: Office, effects: list[Effect]) -> list[tuple[NoticeKind, Address | None]]:
    """What was told where; None is wherever everything is told."""
    notices = [effect.notice for effect in effects if isinstance(effect, Notify)]
    kinds = (NoticeKind.ENTRY, NoticeKind.EXIT, NoticeKind.ORDER_REJECTED)
    return [(notice.kind, notice.address) for notice in notices if notice.kind in kinds]


def remembered(desk: Office) -> dict[str, object]:
    """Which chats the desk still means to tell, as it has stored it."""
    return json.loads(desk.rows["desk:paper-test"].body)["asked_in"]


def asked_and_held(**how: object) -> Trading:
    desk = priced(**how)
    placed(desk, replace(BUYING, stop_loss=D(95)))
    entry = desk.play(100)
    assert told(desk, entry) == [(NoticeKind.ENTRY, None), (NoticeKind.ENTRY, GROUP)]
    return desk


def test_an_order_by_hand_is_told_where_it_was_asked_until_its_stop():
    desk = asked_and_held()
    desk.restart()
    assert told(desk, desk.play(100)) == []
    effects = desk.play(100, low=90.0)
    assert told(desk, effects) == [(NoticeKind.EXIT, None), (NoticeKind.EXIT, GROUP)]
    [at_large, there] = [e.notice for e in effects if isinstance(e, Notify)]
    assert there == replace(at_large, address=GROUP)
    assert there.trade is not None
    assert remembered(desk) == {}


def test_what_is_closed_elsewhere_is_told_in_both_chats():
    desk = asked_and_held()
    placed(desk, ALL, ELSEWHERE)
    kinds = [(NoticeKind.EXIT, at) for at in (None, ELSEWHERE, GROUP)]
    assert told(desk, desk.play(100)) == kinds
    assert remembered(desk) == {}


def test_what_is_closed_in_the_same_chat_is_told_there_once():
    desk = asked_and_held()
    placed(desk, ALL)
    assert told(desk, desk.play(100)) == [(NoticeKind.EXIT, None), (NoticeKind.EXIT, GROUP)]


def test_who_closed_a_part_elsewhere_is_told_of_that_alone():
    desk = asked_and_held()
    entry = remembered(desk)
    placed(desk, HALF, ELSEWHERE)
    assert told(desk, desk.play(100))[1:] == [
        (NoticeKind.EXIT, ELSEWHERE),
        (NoticeKind.EXIT, GROUP),
    ]
    assert remembered(desk) == entry
    effects = desk.play(100, low=90.0)
    assert told(desk, effects) == [(NoticeKind.EXIT, None), (NoticeKind.EXIT, GROUP)]
    assert remembered(desk) == {}


def test_what_the_strategy_opened_is_told_where_its_close_was_asked():
    desk = priced()
    signalled(desk)
    placed(desk, HALF)
    assert told(desk, desk.play(100))[1:] == [(NoticeKind.EXIT, GROUP)]
    assert remembered(desk) == {}
    assert told(desk, desk.play(100, LEAVE_NOW)) == []
    assert told(desk, desk.play(100)) == [(NoticeKind.EXIT, None)]


def test_an_order_that_the_exchange_refused_is_told_there_and_forgotten():
    desk = Office()
    desk.candle()
    order = placed(desk, BUYING)
    desk.step(OrderRejected(ACCOUNT, order.order_link_id, "busy", desk.now))
    assert told(desk, desk.effects) == [
        (NoticeKind.ORDER_REJECTED, None),
        (NoticeKind.ORDER_REJECTED, GROUP),
    ]
    assert remembered(desk) == {}


def held_by_hand() -> tuple[Office, Order]:
    """A desk without an exchange, told that what was bought by hand is filled."""
    desk = Office()
    desk.candle()
    entry = placed(desk, BUYING)
    desk.step(Executed(execution(entry)))
    return desk, entry


def test_a_close_that_the_exchange_refused_leaves_the_position_to_be_told():
    desk, entry = held_by_hand()
    exit_ = placed(desk, ALL, ELSEWHERE)
    desk.step(OrderRejected(ACCOUNT, exit_.order_link_id, "busy", desk.now))
    rejections = [(NoticeKind.ORDER_REJECTED, at) for at in (None, ELSEWHERE, GROUP)]
    assert told(desk, desk.effects) == rejections
    assert list(remembered(desk)) == [entry.order_link_id]
    stopped = execution(side=SELL, quantity=10, trigger=Reason.STOP_LOSS)
    desk.step(Executed(stopped))
    assert told(desk, desk.effects) == [(NoticeKind.EXIT, None), (NoticeKind.EXIT, GROUP)]
    assert remembered(desk) == {}


def test_an_order_that_was_canceled_unfilled_is_forgotten():
    desk = Office()
    desk.candle()
    order = placed(desk, BUYING)
    desk.step(OrderCanceled(ACCOUNT, order.order_link_id, "", desk.now))
    assert remembered(desk) == {}


def test_an_entry_that_was_canceled_with_a_part_filled_is_told_until_that_is_closed():
    desk = Office()
    desk.candle()
    order = placed(desk, BUYING)
    desk.step(Executed(execution(order, quantity=4)))
    desk.step(OrderCanceled(ACCOUNT, order.order_link_id, "", desk.now))
    assert list(remembered(desk)) == [order.order_link_id]
    desk.step(Executed(execution(side=SELL, quantity=4, trigger=Reason.STOP_LOSS)))
    assert told(desk, desk.effects)[1:] == [(NoticeKind.EXIT, GROUP)]
    assert remembered(desk) == {}


def test_a_close_that_fills_in_parts_is_told_part_by_part():
    desk, entry = held_by_hand()
    exit_ = placed(desk, HALF, ELSEWHERE)
    for quantity in (2, 3):
        desk.step(Executed(execution(exit_, quantity=quantity)))
        assert told(desk, desk.effects)[1:] == [
            (NoticeKind.EXIT, ELSEWHERE),
            (NoticeKind.EXIT, GROUP),
        ]
    assert list(remembered(desk)) == [entry.order_link_id]


def test_a_close_canceled_with_a_part_filled_is_forgotten():
    desk, entry = held_by_hand()
    exit_ = placed(desk, ALL, ELSEWHERE)
    desk.step(Executed(execution(exit_, quantity=3)))
    desk.step(OrderCanceled(ACCOUNT, exit_.order_link_id, "", desk.now))
    assert list(remembered(desk)) == [entry.order_link_id]


def test_what_the_console_asked_for_is_told_in_no_chat_of_its_own():
    desk = priced()
    desk.press(desk.propose(BUYING), OPERATING)
    assert told(desk, desk.play(100)) == [(NoticeKind.ENTRY, None)]
    assert remembered(desk) == {}


# -- from end to end ---------------------------------------------------------------------


def test_bought_halved_and_closed_by_hand_the_money_is_the_fold_of_the_fills():
    """10 bought at 100, 5 sold at 110 and 5 at 120: 150 gained, and 0.1 % of 1,000, 550 and 600
    paid."""
    desk = priced()
    confirmed(desk, BUYING)
    desk.play(100)
    desk.play(110)
    confirmed(desk, HALF)
    desk.play(110)
    desk.play(120)
    confirmed(desk, ALL)
    desk.play(120)
    fills = of(Fill, desk.found)
    assert [(f.side, f.exec_qty, f.exec_price, f.close_reason) for f in fills] == [
        (BUY, D(10), D(100), Reason.MANUAL_ENTRY),
        (SELL, D(5), D(110), Reason.MANUAL_EXIT),
        (SELL, D(5), D(120), Reason.MANUAL_EXIT),
    ]
    [trade] = of(Trade, desk.found)
    assert (trade.entry_reason, trade.close_reason) == (Reason.MANUAL_ENTRY, Reason.MANUAL_EXIT)
    assert (trade.gross_pnl, trade.commission, trade.net_pnl) == (D(150), D("2.15"), D("147.85"))
    state = desk.core.accounts()[ACCOUNT]
    folded = fold(ACCOUNT, D(10_000), fills, of(Funding, desk.found))
    assert state.ledger == folded.ledger
    assert state.ledger.balance == D("10147.85")
    assert folded.quantities == {}
    assert desk.exchange.quantities() == {ACCOUNT: {}}
    assert [decision.reason for decision in of(Decision, desk.found)] == [
        Reason.MANUAL_ENTRY,
        Reason.MANUAL_EXIT,
        Reason.MANUAL_EXIT,
    ]
    assert [proposal.state for proposal in of(Proposal, desk.found)][-1] is ProposalState.DONE
