"""An account through the real pybit, against the local Bybit: each method, and what comes back."""

import asyncio
import logging
from decimal import Decimal

import pytest

from engine.bybit.account import VenueStatus
from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.bybit.sign import ApiKey
from engine.candle import DAY_MS
from engine.errors import ExchangeRefused, Unreachable
from engine.order import OrderType, Reason, Side
from tests.engine.bybit.orders import order
from tests.fast_clock import FastClock
from tests.servers import bybit
from tests.servers import bybit_wire as wire
from tests.servers.bybit import BybitServer

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
KEY = ApiKey("kEy-0f-theDesk-77", "s3cret-0f-theDesk-99")


@pytest.fixture
def clock():
    return FastClock(1)


@pytest.fixture
async def server(clock):
    accounts = [bybit.ApiKey(KEY.key, KEY.secret)]
    async with BybitServer(clock, accounts=accounts).running() as server:
        server.trade(BTC, 100_000)
        yield server


@pytest.fixture
def account(server, clock):
    account = PrivateRest(server.rest_base, KEY, clock, Address(clock))
    yield account
    account.close()


def resting(number=0, **changes):
    return order(number, order_type=OrderType.LIMIT, price=D(90_000), **changes)


# -- orders --------------------------------------------------------------------------------------


async def test_a_market_order_is_filled_and_found_by_its_link_id(account, server):
    made = order(1, quantity=D("0.010"))
    order_id = await account.place(made)
    found = await account.order(BTC, made.order_link_id)

    assert server.account().sizes == {BTC: D("0.010")}
    assert (found.order_id, found.order_link_id) == (order_id, made.order_link_id)
    assert (found.status, found.filled_quantity) == (VenueStatus.FILLED, D("0.010"))


async def test_an_order_that_nobody_made_is_not_found(account):
    assert await account.order(BTC, "alpha-le-00000000000") is None


async def test_an_order_is_found_in_the_history_after_bybit_restarted(account, server):
    made = order(1)
    await account.place(made)
    server.restart()
    found = await account.order(BTC, made.order_link_id)

    assert found.status is VenueStatus.FILLED
    assert server.requests["/v5/order/history"] == 1


async def test_a_limit_order_rests_is_amended_and_canceled(account, server):
    made = resting(quantity=D("0.010"))
    await account.place(made)
    await account.amend(BTC, made.order_link_id, quantity=D("0.020"), price=D("90000.10"))
    [found] = await account.open_orders()
    assert (found.quantity, found.price, found.status) == (
        D("0.020"), D("90000.10"), VenueStatus.NEW,
    )  # fmt: skip

    await account.cancel(BTC, made.order_link_id)
    found = await account.order(BTC, made.order_link_id)
    assert found.status is VenueStatus.CANCELED
    assert found.reason
    assert await account.open_orders() == []


async def test_a_stop_waits_for_its_trigger_and_is_among_the_open_orders(account, server):
    made = order(order_type=OrderType.STOP, trigger_price=D(101_000))
    await account.place(made)
    [found] = await account.open_orders()
    assert (found.status, found.trigger_price, found.stop_kind) == (
        VenueStatus.UNTRIGGERED, D(101_000), "Stop",
    )  # fmt: skip
    assert (await account.order(BTC, made.order_link_id)).status is VenueStatus.UNTRIGGERED

    server.trade(BTC, 101_500)
    assert (await account.order(BTC, made.order_link_id)).status is VenueStatus.FILLED


async def test_an_order_of_somebody_else_is_canceled_by_its_own_id(account, server):
    foreign = server.place_foreign("1001", BTC, "Buy", "0.01", 80_000)
    await account.cancel_by_id(BTC, foreign.order_id)

    assert server.account().open_orders() == []


async def test_levels_travel_with_the_order_and_change_with_the_position(account, server):
    await account.place(order(stop_loss=D(95_000), take_profit=D(110_000)))
    position = await account.position(BTC)
    assert (position.stop_loss, position.take_profit, position.trailing_stop) == (
        D(95_000), D(110_000), None,
    )  # fmt: skip

    await account.protect(BTC, stop_loss=D(96_000), trailing_stop=D(500), activation=D(101_000))
    await account.protect(BTC, take_profit=D(0))
    position = await account.position(BTC)
    assert (position.stop_loss, position.take_profit, position.trailing_stop) == (
        D(96_000), None, D(500),
    )  # fmt: skip


async def test_cancel_all_leaves_the_levels_of_positions(account, server):
    await account.place(order(1, stop_loss=D(95_000)))
    await account.place(resting(2))
    await account.place(order(3, order_type=OrderType.STOP, trigger_price=D(101_000)))
    server.place_foreign("1001", ETH, "Buy", "0.1", 3_400)

    await account.cancel_all(BTC)
    assert {(o.symbol, o.stop_kind) for o in await account.open_orders()} == {
        (BTC, "StopLoss"), (ETH, ""),
    }  # fmt: skip
    await account.cancel_all()
    assert [o.stop_kind for o in await account.open_orders()] == ["StopLoss"]


async def test_all_open_orders_are_told_over_all_pages(account, server):
    made = {
        server.place_foreign("1001", BTC, "Buy", "0.001", 80_000 + n).order_id for n in range(120)
    }

    assert {o.order_id for o in await account.open_orders()} == made
    assert server.requests["/v5/order/realtime"] == 3


# -- executions and positions ----------------------------------------------------------------------


async def test_executions_come_in_pages_until_all_are_told(account, server):
    for number in range(130):
        server.place_foreign("1001", BTC, "Buy" if number % 2 else "Sell", "0.001")
    now = server.now()
    first = await account.executions(now - DAY_MS, now + 1_000)
    second = await account.executions(now - DAY_MS, now + 1_000, first.cursor)

    told = [*first.rows, *second.rows]
    truth = {e.exec_id: e for e in server.account().executions}
    assert (len(first.rows), second.cursor) == (100, "")
    assert {e.exec_id for e in told} == truth.keys()
    assert all(e.fee == truth[e.exec_id].fee for e in told)


async def test_the_executions_of_one_order_are_told_alone(account, server):
    await account.place(order(1))
    await account.place(order(2))
    [executed, _] = server.account().executions
    found = await account.executions_of(BTC, executed.order.order_id)

    assert [e.exec_id for e in found] == [executed.exec_id]
    assert found[0].order_link_id == order(1).order_link_id


async def test_a_row_that_makes_no_sense_hides_no_other(account, server, monkeypatch):
    """A perpetual that settles in USDC is paid for in USDC: nobody here can book that."""
    honest = wire.execution_row
    odd = {"symbol": "BTCPERP", "feeCurrency": "USDC", "execId": "odd"}
    await account.place(order(1))
    await account.place(order(2))
    second = server.account().executions[1].exec_id

    def told(each):
        return honest(each) | (odd if each.exec_id == second else {})

    monkeypatch.setattr(wire, "execution_row", told)
    page = await account.executions(server.now() - DAY_MS, server.now() + 1_000)

    assert [row.order_link_id for row in page.rows] == [order(1).order_link_id]
    [unread] = page.rows.unread
    assert (unread.symbol, unread.exec_id) == ("BTCPERP", "odd")
    assert "'USDC'" in unread.detail


async def test_funding_is_told_with_its_own_kind(account, server):
    await account.place(order())
    server.settle_funding(BTC)
    now = server.now()
    page = await account.executions(now - DAY_MS, now + 1_000)

    [funding] = [e for e in page.rows if e.exec_type == "Funding"]
    assert funding.quantity == D("0.010")
    assert funding.order_link_id == ""
    assert funding.fee > 0


async def test_only_open_positions_are_told_but_each_can_be_asked_for(account, server):
    server.place_foreign("1001", ETH, "Sell", "0.1")
    [position] = await account.positions()
    flat = await account.position(BTC)

    assert (position.symbol, position.quantity, position.index) == (ETH, D("-0.1"), 0)
    assert (flat.quantity, flat.average_price, flat.stop_loss) == (0, None, None)
    assert flat.leverage is not None


async def test_hedge_mode_shows_and_is_switched_off(account, server):
    server.account().hedged.add(BTC)
    assert (await account.position(BTC)).index in (1, 2)
    await account.set_one_way(BTC)
    assert (await account.position(BTC)).index == 0
    with pytest.raises(ExchangeRefused) as refused:
        await account.set_one_way(BTC)
    assert (refused.value.code, refused.value.benign) == (110_025, True)


# -- the account -----------------------------------------------------------------------------------


async def test_leverage_is_set_and_what_is_so_already_is_benign(account):
    await account.set_leverage(BTC, 7)
    assert (await account.position(BTC)).leverage == 7
    with pytest.raises(ExchangeRefused) as refused:
        await account.set_leverage(BTC, 7)
    assert refused.value.benign


@pytest.mark.parametrize("mode", ["REGULAR_MARGIN", "ISOLATED_MARGIN"])
async def test_the_wallet_is_told_in_both_margin_modes(account, server, mode):
    if mode == "ISOLATED_MARGIN":
        await account.set_margin_mode(mode)
    await account.place(order())
    wallet = await account.wallet()

    assert (await account.account_info()).margin_mode == mode
    assert wallet.wallet_balance == server.account().wallet < 10_000
    assert 0 < wallet.available < wallet.equity


async def test_the_key_tells_whose_it_is_and_what_it_may(account, server):
    key = await account.key_info()
    info = await account.account_info()

    assert (key.uid, key.may_trade, key.may_withdraw, key.ips) == ("1001", True, False, ())
    assert key.expires_at > server.now()
    assert info.unified


async def test_all_that_is_asked_and_answered_is_as_documented(shared, clock):
    accounts = [bybit.ApiKey(KEY.key, KEY.secret)]
    spec = shared / "specs" / "bybit"
    async with BybitServer(clock, accounts=accounts, spec=spec).running() as server:
        server.trade(BTC, 100_000)
        account = PrivateRest(server.rest_base, KEY, clock, Address(clock))
        await account.set_margin_mode("ISOLATED_MARGIN")
        await account.set_leverage(BTC, 5)
        await account.place(order(1, stop_loss=D(95_000), take_profit=D(110_000)))
        await account.place(resting(2, post_only=True))
        await account.place(order(3, order_type=OrderType.STOP, trigger_price=D(101_000)))
        await account.place(
            order(4, side=Side.SELL, reduce_only=True, reason=Reason.LONG_EXIT, quantity=D("0.005"))
        )
        await account.amend(BTC, resting(2).order_link_id, price=D(89_000))
        await account.protect(BTC, trailing_stop=D(100))
        await account.order(BTC, "alpha-le-00000000000")
        await account.open_orders()
        await account.executions(server.now() - DAY_MS, server.now())
        await account.positions()
        await account.wallet()
        await account.key_info()
        await account.account_info()
        await account.cancel(BTC, resting(2).order_link_id)
        await account.cancel_all()
        account.close()

        assert server.violations == []
        assert len(server.requests) == 15


# -- keys ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "code", "words"),
    [
        ({"key": "another"}, 10_003, "does not know this API key"),
        ({"secret": "another"}, 10_004, "does not belong to the key"),
        ({"read_only": True}, 10_005, "lacks a permission"),
        ({"trades": False}, 10_005, "lacks a permission"),
        ({"ips": ("10.1.2.3",)}, 10_010, "add this one"),
        ({"expires": 1}, 33_004, "expired"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_a_key_that_does_not_do_is_told_with_the_mend_and_not_shown(
    clock, known, code, words
):
    key = bybit.ApiKey(**({"key": KEY.key, "secret": KEY.secret} | known))
    async with BybitServer(clock, accounts=[key]).running() as server:
        account = PrivateRest(server.rest_base, KEY, clock, Address(clock))
        with pytest.raises(ExchangeRefused, match=words) as refused:
            await account.place(order())
        account.close()

    assert (refused.value.code, refused.value.stops) == (code, True)
    assert KEY.key not in str(refused.value)
    assert server.account().orders == {}


async def test_no_log_and_no_error_has_the_key(account, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.faults.private = lambda call: bybit.Fault(
        code=10_004, message=f"error sign! origin_string[1{KEY.key}3000{KEY.secret}]"
    )
    with pytest.raises(ExchangeRefused) as refused:
        await account.wallet()
    server.faults.private = lambda call: bybit.Fault(status=502, body=KEY.key)
    with pytest.raises(Unreachable):
        await account.wallet()

    chain, error = [], refused.value
    while error is not None and len(chain) < 9:
        chain.append(repr(error))
        error = error.__cause__ if error.__suppress_context__ else error.__context__
    shown = f"{chain} {account!r} {caplog.text}"
    assert KEY.key not in shown
    assert KEY.secret not in shown


# -- reads that fail -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        bybit.Fault(status=502, body="<html>Bad gateway</html>"),
        bybit.Fault(body="<html>Hello</html>"),
        bybit.Fault(body="[]"),
        bybit.Fault(body="{}"),
        bybit.Fault(body='{"retCode":0,"retMsg":"OK","result":{"list":5}}'),
        bybit.Fault(body='{"retCode":"zero","retMsg":"OK","result":{}}'),
        bybit.Fault(code=10_016),
        bybit.Fault(drop=True),
    ],
    ids=["502", "html", "array", "empty", "no-list", "odd-code", "10016", "cut"],
)
async def test_a_read_without_a_usable_answer_is_unreachable(account, server, fault):
    server.faults.private = lambda call: fault
    with pytest.raises(Unreachable):
        await account.open_orders()
    server.faults.private = lambda call: None
    assert await account.open_orders() == []


async def test_a_row_that_makes_no_sense_is_named_and_hides_none(account, server):
    body = '{"retCode":0,"retMsg":"OK","result":{"list":[{"symbol":"BTCUSDT","size":"x"}]}}'
    server.faults.private = lambda call: bybit.Fault(body=body)

    [unread] = (await account.positions()).unread
    assert "size: 'x'" in unread.detail
    # Where it is all that is asked for, there is no answer.
    with pytest.raises(Unreachable, match="size: 'x'"):
        await account.position(BTC)


async def test_a_flat_position_among_the_open_ones_is_left_out(account, server):
    row = '{"symbol":"BTCUSDT","side":"","size":"0","positionIdx":0}'
    body = f'{{"retCode":0,"retMsg":"OK","result":{{"list":[{row}]}}}}'
    server.faults.private = lambda call: bybit.Fault(body=body)

    assert await account.positions() == []


async def test_a_read_that_comes_too_often_is_asked_again(account, server):
    past = {"X-Bapi-Limit-Reset-Timestamp": "1700000000000"}
    faults = [
        bybit.Fault(code=10_006, headers=past),
        bybit.Fault(status=429, body="slow down", headers=past),
    ]
    server.faults.private = lambda call: faults.pop(0) if faults else None

    assert await account.positions() == []
    assert server.requests["/v5/position/list"] == 3


async def test_bybits_clock_is_measured_before_anything_is_signed(account, server):
    server.faults.skew_ms = -90_000
    await account.positions()

    assert abs(account.offset_ms + 90_000) < 500
    assert server.requests["/v5/market/time"] == 1


async def test_who_is_closed_sends_nothing_more(account, server):
    await account.positions()
    account.close()
    with pytest.raises(Unreachable, match="closed"):
        await account.place(order())

    assert server.account().orders == {}


async def test_several_reads_at_once_are_all_answered(account, server):
    found = await asyncio.gather(*(account.positions() for _ in range(8)))

    assert found == [[]] * 8
