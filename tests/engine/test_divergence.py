"""What of two accounts' trades is the same, what differs, and what explains itself."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.candle import DAY_MS, FUNDING_EVERY_MS, MINUTE_MS
from engine.divergence import FOUND_MAX, Terms, Touch, compare
from engine.ledger import Funding
from engine.order import Reason, Side
from engine.position import Position, Trade
from engine.risk import MODEL_BIAS
from engine.signal import Action, Decision
from engine.stays import Traded
from engine.tuning import Comparison, DifferenceKind

BAR = 5 * MINUTE_MS
T0 = 1_735_689_600_000
BTC, ETH = "BTCUSDT", "ETHUSDT"
TERMS = Terms(T0, T0 + DAY_MS, BAR)
FEE = Decimal("0.00055")


def trade(bar: int, last: int, price: str = "100", **changes: Any) -> Trade:
    """A long of one coin from one bar to another, bought at `price` and sold at 110."""
    entry, way_out = Decimal(price), Decimal(110)
    made = Trade(
        trade_id=bar,
        account="a",
        bot_id="b",
        symbol=BTC,
        side=Side.BUY,
        quantity=Decimal(1),
        entry_price=entry,
        entry_time=T0 + bar * BAR,
        entry_reason=Reason.LONG_ENTRY,
        exit_price=way_out,
        exit_time=T0 + last * BAR,
        close_reason=Reason.LONG_EXIT,
        gross_pnl=way_out - entry,
        commission=Decimal(0),
        funding=Decimal(0),
        net_pnl=way_out - entry,
        pnl_pct=Decimal(0),
        entry_client_order_id=f"b:long_entry:{bar}",
        exit_client_order_id=f"b:long_exit:{last}",
    )
    made = replace(made, **changes)
    worth = (made.entry_price + made.exit_price) * made.quantity
    return made if "commission" in changes else replace(made, commission=worth * FEE)


def held(bar: int, **changes: Any) -> Position:
    made = Position(
        account="a",
        bot_id="b",
        symbol=BTC,
        quantity=Decimal(1),
        cost=Decimal(100),
        opened_at=T0 + bar * BAR,
        entry_reason=Reason.LONG_ENTRY,
        entry_client_order_id="b:long_entry:1",
        entry_quantity=Decimal(1),
        entry_notional=Decimal(100),
        commission=100 * FEE,
    )
    return replace(made, **changes)


def decision(bar: int, gate: str = "", **changes: Any) -> Decision:
    """What became of a wish to buy; with a gate it was refused."""
    made = Decision(
        decision_id=bar,
        account="a",
        bot_id="b",
        symbol=BTC,
        ts=T0 + bar * BAR,
        action=Action.ENTRY,
        side=Side.BUY,
        reason=Reason.LONG_ENTRY,
        price=100.0,
        approved=not gate,
        gate=gate,
        detail="12 min left" if gate else "",
        order_link_id=None,
    )
    return replace(made, **changes)


def payment(stamp: int, share: str = "-0.0001") -> Funding:
    rate, price = Decimal(share), Decimal(100)
    ts = T0 + stamp * FUNDING_EVERY_MS
    return Funding("a", "b", BTC, ts, price * rate, -rate, price, Decimal(1))


def between(
    live: Sequence[Trade], replayed: Sequence[Trade], *touches: Touch, terms: Terms = TERMS
) -> Comparison:
    return compare("b", terms, Traded(live), Traded(replayed), touches)


def said(found: Comparison) -> list[tuple[DifferenceKind, str]]:
    return [(each.kind, each.words) for each in found.found]


def kinds(found: Comparison) -> list[DifferenceKind]:
    return [each.kind for each in found.found]


EXPLAINED, PRICE = DifferenceKind.EXPLAINED, DifferenceKind.PRICE


# -- the same ----------------------------------------------------------------------------


def test_the_same_trades_do_not_differ() -> None:
    trades = [trade(10, 20), trade(12, 30, symbol=ETH), trade(40, 50, side=Side.SELL)]
    found = between(trades, trades)
    assert (found.live, found.replayed, found.matched) == (3, 3, 3)
    assert (found.found, found.diverges) == ((), "")


def test_a_fill_takes_its_time() -> None:
    late = trade(11, 21)
    late = replace(late, entry_time=late.entry_time + 1_500, exit_time=late.exit_time + 1_500)
    found = between([late], [trade(10, 20)])
    assert (found.matched, found.found) == (1, ())


def test_two_bars_later_or_the_other_side_is_another_trade() -> None:
    for other in (trade(12, 20), trade(10, 20, side=Side.SELL), trade(10, 20, symbol=ETH)):
        found = between([other], [trade(10, 20)])
        assert found.matched == 0
        assert found.diverges


def test_what_is_still_held_on_both_sides_is_one_trade() -> None:
    found = compare("b", TERMS, Traded((), [held(10)]), Traded((), [held(10)]))
    assert (found.matched, found.found) == (1, ())


def test_a_position_that_closed_while_it_was_read_is_one_trade() -> None:
    live = Traded([trade(10, 20)], [held(10)])
    found = compare("b", TERMS, live, Traded([trade(10, 20)]))
    assert (found.live, found.found) == (1, ())


def test_what_closed_after_the_end_is_held_still() -> None:
    found = compare("b", TERMS, Traded([trade(10, 300)]), Traded((), [held(10)]))
    assert (found.matched, found.found) == (1, ())


# -- trades ------------------------------------------------------------------------------


def test_one_trade_of_one_side_diverges() -> None:
    missing = between([], [trade(10, 20)])
    assert missing.diverges == "1 entry or exit of the backtest was not traded live."
    assert said(missing) == [
        (DifferenceKind.MISSING, "live the strategy asked for nothing then"),
    ]
    extra = between([trade(10, 20), trade(30, 40)], [])
    assert extra.diverges == "2 entries or exits were traded live alone."
    assert extra.found[0].live == "Buy at 100, long_entry"
    assert extra.found[0].replayed == "nothing"


def test_a_gate_that_refused_explains_it() -> None:
    live = Traded(decisions=[decision(10, "cool-down")])
    found = compare("b", TERMS, live, Traded([trade(10, 20)]))
    assert said(found) == [(EXPLAINED, "the gate `cool-down` refused it: 12 min left")]
    assert found.diverges == ""


def test_an_entry_that_a_models_bias_stopped_explains_itself_and_what_follows() -> None:
    """No backtest asks a model: what it stopped live, the backtest trades."""
    stopped = decision(10, MODEL_BIAS, detail="stops longs: score -0.62", consultation=41)
    live = Traded([trade(15, 40)], decisions=[stopped, decision(15)])
    found = compare("b", TERMS, live, Traded([trade(10, 20)], decisions=[decision(10)]))
    assert said(found) == [
        (EXPLAINED, "the gate `model bias` refused it: stops longs: score -0.62"),
        (EXPLAINED, "it follows from what differs since 2025-01-01 00:50 UTC"),
    ]
    assert found.diverges == ""


def test_an_entry_that_waited_for_the_end_of_a_bias_explains_its_price() -> None:
    live = Traded([trade(11, 20, "101")], decisions=[decision(10, MODEL_BIAS), decision(11)])
    found = compare("b", TERMS, live, Traded([trade(10, 20)], decisions=[decision(10)]))
    assert said(found) == [
        (EXPLAINED, "it came later, for the gate `model bias` refused it: 12 min left")
    ]


def test_what_took_the_slot_of_a_stopped_entry_in_its_moment_follows_from_it() -> None:
    live = Traded(
        [trade(10, 30, symbol=ETH)],
        decisions=[decision(10, MODEL_BIAS), decision(10, symbol=ETH)],
    )
    refused = decision(10, "free slot", symbol=ETH, detail="1 of 1 in use")
    found = compare("b", TERMS, live, Traded([trade(10, 20)], decisions=[decision(10), refused]))
    assert said(found) == [
        (EXPLAINED, "the gate `model bias` refused it: 12 min left"),
        (
            EXPLAINED,
            "in the backtest, after what differed before, the gate `free slot` refused it: "
            "1 of 1 in use",
        ),
    ]
    assert found.diverges == ""


def test_a_gate_that_refused_something_else_explains_nothing() -> None:
    for other in (
        decision(13, "cool-down"),
        decision(10, "cool-down", symbol=ETH),
        decision(10, "cool-down", side=Side.SELL),
        decision(10, "cool-down", action=Action.EXIT),
        decision(10),
    ):
        found = compare("b", TERMS, Traded(decisions=[other]), Traded([trade(10, 20)]))
        assert kinds(found) == [DifferenceKind.MISSING]


def test_what_a_person_opened_explains_itself() -> None:
    found = between([trade(10, 20, entry_reason=Reason.MANUAL_ENTRY)], [])
    assert said(found) == [(EXPLAINED, "a person opened it")]


def test_what_follows_from_a_difference_is_told_as_such_until_both_are_flat() -> None:
    live = [trade(15, 40), trade(60, 70)]
    replayed = [trade(10, 20), trade(41, 50), trade(80, 90)]
    found = between(live, replayed)
    since = "it follows from what differs since 2025-01-01 00:50 UTC"
    assert [(kind, words == since) for kind, words in said(found)] == [
        (DifferenceKind.MISSING, False),
        (EXPLAINED, True),
        (EXPLAINED, True),
        (DifferenceKind.EXTRA, False),
        (DifferenceKind.MISSING, False),
    ]


def test_a_difference_in_one_symbol_explains_none_in_another() -> None:
    found = between([], [trade(10, 50), trade(12, 20, symbol=ETH)])
    assert kinds(found) == [DifferenceKind.MISSING, DifferenceKind.MISSING]


def test_what_the_backtest_refused_follows_only_from_what_differed_before() -> None:
    refused = [decision(30, "free slot", symbol=ETH)]
    alone = trade(30, 40, symbol=ETH)
    first = compare("b", TERMS, Traded([alone]), Traded(decisions=refused))
    assert said(first) == [
        (DifferenceKind.EXTRA, "in the backtest the gate `free slot` refused it: 12 min left")
    ]
    live = Traded([alone], decisions=[decision(10, "reconciled")])
    after = compare("b", TERMS, live, Traded([trade(10, 50)], decisions=refused))
    assert kinds(after) == [EXPLAINED, EXPLAINED]
    assert after.diverges == ""


def test_what_was_opened_before_is_told_and_no_divergence() -> None:
    found = between([trade(-50, 10)], [trade(-20, 15)])
    assert kinds(found) == [EXPLAINED, EXPLAINED]
    assert {each.ts for each in found.found} == {T0}
    assert found.found[0].words == "it was opened before, 2024-12-31 19:50 UTC"


def test_what_was_over_before_is_not_told() -> None:
    assert between([trade(-50, -20)], []).found == ()


def test_the_last_bar_is_left_to_the_next_comparison() -> None:
    alone = [trade(287, 287)]
    tomorrow = replace(TERMS, start=TERMS.end, end=TERMS.end + DAY_MS)
    assert between(alone, []).found == ()
    assert kinds(between(alone, [], terms=tomorrow)) == [DifferenceKind.EXTRA]


# -- prices ------------------------------------------------------------------------------


def test_a_price_that_is_off_once_is_told_and_twice_a_divergence() -> None:
    replayed = [trade(10, 20), trade(30, 40)]
    once = between([trade(10, 20, "100.2"), trade(30, 40)], replayed)
    assert kinds(once) == [PRICE]
    assert (once.found[0].live, once.found[0].replayed) == ("entered at 100.2", "at 100")
    assert once.diverges == ""
    twice = between([trade(10, 20, "100.2"), trade(30, 40, "100.2")], replayed)
    assert twice.diverges == "Price is off in 2 trades."


def test_entry_and_way_out_of_one_trade_are_one_trade() -> None:
    off = trade(10, 20, "100.2", exit_price=Decimal(112))
    found = between([off], [trade(10, 20)])
    assert kinds(found) == [PRICE, PRICE]
    assert found.diverges == ""


def test_a_price_within_what_is_allowed_does_not_differ() -> None:
    live = [trade(10, 20, "100.09")]
    assert between(live, [trade(10, 20)]).found == ()
    wide = replace(TERMS, price=0.005)
    assert between([trade(10, 20, "100.4")], [trade(10, 20)], terms=wide).found == ()


def test_another_time_of_leaving_is_a_difference_and_what_follows_is_not() -> None:
    found = between([trade(10, 50)], [trade(10, 20), trade(30, 40)])
    assert kinds(found) == [DifferenceKind.MISSING, EXPLAINED]
    assert found.diverges == "1 entry or exit of the backtest was not traded live."
    assert "left at 110, long_exit, 2025-01-01 04:10 UTC" in found.found[0].live


def test_a_position_that_live_never_left_diverges() -> None:
    found = compare("b", TERMS, Traded((), [held(10)]), Traded([trade(10, 20), trade(30, 40)]))
    assert found.found[0].live == "still held"
    assert found.diverges == "1 entry or exit of the backtest was not traded live."


def test_what_somebody_closed_explains_itself() -> None:
    for reason, words in {
        Reason.MANUAL_EXIT: "a person closed it",
        Reason.KILL: "the emergency stop closed it",
    }.items():
        found = between([trade(10, 15, close_reason=reason)], [trade(10, 50)])
        assert said(found) == [(EXPLAINED, words)]


def test_a_touched_trade_explains_itself_and_no_other_does() -> None:
    moved = Touch(T0 + 12 * BAR, BTC, "a person moved its levels")
    live = [trade(10, 15), trade(30, 35)]
    found = between(live, [trade(10, 20), trade(30, 40)], moved)
    assert said(found)[0] == (EXPLAINED, "a person moved its levels")
    assert kinds(found) == [EXPLAINED, DifferenceKind.EXTRA]
    whenever = between(live, [trade(10, 20), trade(30, 40)], moved._replace(ts=0))
    assert kinds(whenever) == [EXPLAINED, EXPLAINED]


def test_a_gate_that_let_pass_a_bar_later_explains_price_and_way_out() -> None:
    live = Traded([trade(11, 30, "103")], decisions=[decision(10, "cool-down"), decision(11)])
    found = compare("b", TERMS, live, Traded([trade(10, 20)]))
    assert kinds(found) == [EXPLAINED, EXPLAINED]
    assert found.found[0].words == "it came later, for the gate `cool-down` refused it: 12 min left"


def test_only_prices_told_one_by_one_explain_what_a_bar_can_not_tell() -> None:
    stop = trade(10, 20, exit_price=Decimal(95), close_reason=Reason.STOP_LOSS)
    target = trade(10, 20, exit_price=Decimal(120), close_reason=Reason.TAKE_PROFIT)
    trailed = trade(10, 30, close_reason=Reason.TRAILING_STOP)
    bars, ticks = TERMS, replace(TERMS, ticked=True)
    moving = replace(ticks, stop_moves=True)
    assert kinds(between([target], [stop], terms=bars)) == [PRICE]
    assert kinds(between([target], [stop], terms=ticks)) == [EXPLAINED]
    assert kinds(between([trailed], [trade(10, 20)], terms=ticks)) == [DifferenceKind.MISSING]
    assert kinds(between([trailed], [trade(10, 40)], terms=ticks)) == [PRICE]
    assert kinds(between([trailed], [trade(10, 20)], terms=moving)) == [EXPLAINED]


# -- fees and funding --------------------------------------------------------------------


def test_a_fee_is_compared_as_a_share_of_what_was_traded() -> None:
    large = trade(10, 20, quantity=Decimal(7))
    assert between([large], [trade(10, 20)]).found == ()
    dear = trade(10, 20, commission=210 * FEE * Decimal("1.1"))
    found = between([dear], [trade(10, 20)])
    assert kinds(found) == [DifferenceKind.FEE]
    assert found.diverges == ""


def test_each_settlement_of_funding_is_compared() -> None:
    trades = [trade(10, 250)]
    live = Traded(trades, payments=[payment(1, "-0.0002")])
    replayed = Traded(trades, payments=[payment(1), payment(2)])
    found = compare("b", TERMS, live, replayed)
    assert [(each.live, each.replayed) for each in found.found] == [
        ("-0.0200%", "-0.0100%"),
        ("nothing was settled", "-0.0100%"),
    ]
    assert found.diverges == "Funding is off in 2 settlements."


def test_funding_counts_only_while_both_sides_hold_for_certain() -> None:
    at_entry = 8 * 60 // 5
    live = Traded([trade(at_entry, 120)], payments=[payment(1)])
    assert compare("b", TERMS, live, Traded([trade(at_entry, 120)])).found == ()


# -- much --------------------------------------------------------------------------------


def test_of_too_much_what_explains_itself_goes_first_and_all_is_counted() -> None:
    live = [trade(n, n, entry_reason=Reason.MANUAL_ENTRY) for n in range(0, 200, 4)]
    replayed = [trade(n, n, symbol=ETH) for n in range(0, 260, 4)]
    found = between(live, replayed)
    assert len(found.found) == FOUND_MAX
    assert kinds(found).count(DifferenceKind.MISSING) == 65
    assert [each.ts for each in found.found] == sorted(each.ts for each in found.found)
    assert found.diverges == "65 entries or exits of the backtest were not traded live."
