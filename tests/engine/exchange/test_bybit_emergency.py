"""The way to flat at Bybit: everything is withdrawn and closed, and nothing else can be done."""

from dataclasses import replace
from random import Random

import pytest

from engine.bybit.account import Rows, Unread, VenueStatus
from engine.errors import Broken, ExchangeRefused, Unreachable
from engine.exchange.bybit_emergency import BybitEmergency, EmergencyAccount
from engine.order import Reason, Side, decode_link_id
from tests.clock import FakeClock
from tests.engine.exchange.fake_bybit import BTC, ETH, SOL, D, FakeBybit, entry, resting


@pytest.fixture
def fake():
    return FakeBybit(FakeClock())


def emergency(fake, seed=1):
    account = EmergencyAccount("main", fake, {"alpha": (BTC,), "beta": (ETH,)})
    return BybitEmergency([account], fake.clock, Random(seed))


async def test_it_looks_at_all_that_is_held_and_rests_but_guards(fake):
    fake.accept(entry())
    fake.execute(SOL, Side.SELL, D(2))
    guard = fake.accept(resting(3))
    fake.note(replace(guard, status=VenueStatus.UNTRIGGERED, stop_kind="StopLoss"))
    fake.accept(resting(4))
    found = await emergency(fake).look("main")

    assert dict(found.positions) == {BTC: D(1), SOL: D(-2)}
    assert found.orders == 1


async def test_it_closes_by_reducing_only_in_the_owners_name(fake):
    fake.accept(entry("beta", ETH))
    await emergency(fake).close("main", ETH, D(1))

    order = fake.called("place")[0][0]
    assert (order.side, order.quantity, order.reduce_only) == (Side.SELL, D(1), True)
    assert decode_link_id(order.order_link_id)[:2] == ("beta", Reason.KILL)
    assert not (await emergency(fake).look("main")).positions


async def test_a_short_in_a_symbol_of_nobodys_is_bought_back(fake):
    fake.execute(SOL, Side.SELL, D(2))
    await emergency(fake).close("main", SOL, D(-2))

    assert fake.called("place")[0][0].side is Side.BUY
    assert not (await emergency(fake).look("main")).positions


async def test_closing_twice_makes_two_ids_also_from_two_processes(fake):
    for each in (emergency(fake, 1), emergency(fake, 2)):
        for _ in range(2):
            await each.close("main", BTC, D(1))
    ids = {order.order_link_id for (order,) in fake.called("place")}

    assert len(ids) == 4


async def test_it_withdraws_all_orders(fake):
    fake.accept(resting(1))
    fake.accept(resting(2, symbol=ETH))
    await emergency(fake).cancel_all("main")

    assert (await emergency(fake).look("main")).orders == 0


async def test_what_is_flat_already_is_no_failure(fake):
    fake.failing["place"].append(ExchangeRefused(110_017, "flat", benign=True))
    fake.failing["cancel_all"].append(ExchangeRefused(110_001, "none", benign=True))
    await emergency(fake).cancel_all("main")
    await emergency(fake).close("main", BTC, D(1))


async def test_failures_are_the_callers_to_try_again(fake):
    halted, banned = ExchangeRefused(110_074, "not traded"), ExchangeRefused(1, "", stops=True)
    fake.failing["place"] += [halted, halted, banned, Unreachable("down")]
    for kind in (ExchangeRefused, ExchangeRefused, Unreachable):
        with pytest.raises(kind):
            await emergency(fake).close("main", BTC, D(1))


async def test_what_is_too_much_for_one_order_is_closed_in_parts(fake):
    """Bybit closes up to its maximum where an order that only reduces has no quantity."""
    fake.execute(BTC, Side.BUY, D(700))

    async def place(order, index=0):
        if order.quantity > 500:
            raise ExchangeRefused(10_001, "Qty above max")
        most = min(D(500), fake.held[BTC].quantity)
        return await honest(order if order.quantity else replace(order, quantity=most), index)

    honest, fake.place = fake.place, place
    close = emergency(fake)
    while left := (await close.look("main")).positions:
        await close.close("main", BTC, left[BTC])

    assert [order.quantity for (order,) in fake.called("place")] == [D(500), D(200)]


async def test_both_sides_of_a_hedge_are_closed(fake):
    close, left = emergency(fake), {1: D(2), 2: D(-3)}

    async def positions():
        held = replace(fake.held[BTC], symbol=BTC)
        return Rows(replace(held, quantity=q, index=i) for i, q in left.items())

    fake.execute(BTC, Side.BUY, D(1))
    fake.positions = positions
    while held := (await close.look("main")).positions:
        await close.close("main", BTC, held[BTC])
        order, index = fake.called("place")[-1]
        assert order.side.sign * order.quantity == -left.pop(index)

    assert len(fake.called("place")) == 2


async def test_a_position_that_can_not_be_read_keeps_nobody_from_closing_others(fake):
    fake.execute(BTC, Side.BUY, D(1))
    fake.unread_positions.append(Unread(ETH, "", "size: 'x' is not a number"))
    close = emergency(fake)
    await close.close("main", BTC, (await close.look("main")).positions[BTC])

    with pytest.raises(Unreachable, match="size: 'x'"):
        await close.look("main")


async def test_an_order_that_can_not_be_read_is_not_taken_for_none(fake):
    fake.unread_orders.append(Unread(ETH, "", "orderStatus: 'Odd' is not a status"))

    assert (await emergency(fake).look("main")).orders == 1


async def test_an_account_it_does_not_have_is_a_bug(fake):
    assert list(emergency(fake).accounts) == ["main"]
    with pytest.raises(Broken):
        await emergency(fake).look("other")
