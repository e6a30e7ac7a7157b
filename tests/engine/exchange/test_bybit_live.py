"""The exchange through the real pybit and its stream against the local Bybit, whose ledger is the
truth: whatever goes wrong on the way, in the end the desk was told the same, each thing once."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random

import pytest

from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.bybit.sign import ApiKey, login
from engine.bybit.stream import Stream
from engine.effect import Cancel, Protect, Submit
from engine.event import (
    ExchangeLink,
    Executed,
    FundingSettled,
    Journaled,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    OrderUnknown,
    StopsSet,
    Surveyed,
    Unreadable,
)
from engine.exchange.bybit import BybitExchange
from engine.exchange.bybit_emergency import BybitEmergency, EmergencyAccount
from engine.exchange.checking import Wanted, open_venue
from engine.exchange.listening import TOPICS
from engine.exchange.surveying import Times
from engine.exchange.venue import Venue
from engine.order import OrderType, Reason, Side
from tests.engine.exchange.fake_bybit import ALPHA, BETA, closing, entry
from tests.fast_clock import FastClock
from tests.servers import bybit
from tests.servers.bybit import BybitServer, Call, Fate, Fault, dice

D = Decimal
BTC, ETH = "BTCUSDT", "ETHUSDT"
ONE, OTHER = ApiKey("kEy-0f-theDesk-77", "s3cret-77"), ApiKey("kEy-0f-theDesk-88", "s3cret-88")
# Slow enough for a request to arrive within Bybit's second, where the machine is busy.
RATE = 10
# Nothing here takes this long by the wall clock.
PATIENCE_S = 60
CREATE = "/v5/order/create"


class Desk:
    """An exchange at work against the local Bybit, and all that it told."""

    def __init__(self, exchange: BybitExchange, server: BybitServer, clock: FastClock) -> None:
        self.exchange = exchange
        self.server = server
        self.clock = clock
        self.events: list[Journaled] = []

    def told(self, *kinds: type) -> list[Journaled]:
        return [event for event in self.events if isinstance(event, kinds)]

    async def until(self, happened: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():  # noqa: ASYNC110  the server is watched too
                await asyncio.sleep(0.01)

    async def until_up(self) -> None:
        await self.until(lambda: self.told(ExchangeLink) and not self.told(ExchangeLink)[-1].down)

    async def does(self, *instructions: object) -> None:
        for instruction in instructions:
            await self.exchange.carry_out(instruction)

    async def trades(self, order: object) -> None:
        """Send a market order and wait until it is over."""
        before = len(self.fills())
        await self.does(Submit(order))
        await self.until(lambda: len(self.fills()) > before)

    def fills(self, account: str | None = None) -> list[object]:
        fills = [event.execution for event in self.told(Executed)]
        return [fill for fill in fills if account in (None, fill.account)]


def venue(server, clock, key=ONE, bots=None, name="main"):
    rest = PrivateRest(server.rest_base, key, clock, Address(clock), timeout_s=2.0)

    def connect(handle):
        return Stream(
            f"{server.ws_base}/v5/private", TOPICS, clock, Random(1), handle,
            login=login(key, lambda: clock.now() + rest.offset_ms), silence_s=None,
        )  # fmt: skip

    times = Times(catch_up_s=5.0, survey_s=60.0, clock_s=60.0)
    return rest, Venue(name, rest, connect, bots or {ALPHA: (BTC,), BETA: (ETH,)}, clock, times)


@contextlib.asynccontextmanager
async def working(
    server: BybitServer, clock: FastClock, *keys: tuple[ApiKey, Mapping[str, Sequence[str]]]
) -> AsyncIterator[Desk]:
    made = [venue(server, clock, key, bots) for key, bots in keys] or [venue(server, clock)]
    desk = Desk(BybitExchange([each for _, each in made]), server, clock)
    task = asyncio.create_task(desk.exchange.run(desk.events.append))
    try:
        await desk.until(lambda: _all_up(desk))
        yield desk
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for rest, _ in made:
            rest.close()


def _all_up(desk):
    links = {event.account: event.down for event in desk.told(ExchangeLink)}
    return bool(links) and not any(links.values())


@pytest.fixture
def clock():
    return FastClock(RATE)


@pytest.fixture
async def server(clock):
    keys = [
        bybit.ApiKey(ONE.key, ONE.secret, uid="1001", balance=D(1_000_000)),
        bybit.ApiKey(OTHER.key, OTHER.secret, uid="2002", balance=D(1_000_000)),
    ]
    async with BybitServer(clock, accounts=keys).running() as server:
        server.trade(BTC, 100_000)
        server.trade(ETH, 4_000)
        yield server


@pytest.fixture
async def desk(server, clock):
    async with working(server, clock) as desk:
        yield desk


def long(bot="alpha", symbol=BTC, number=0, **changes):
    levels = {"stop_loss": D(90_000), "take_profit": D(120_000)}
    if symbol == ETH:
        levels = {"stop_loss": D(3_600), "take_profit": D(4_800)}
    return entry(bot, symbol, number, quantity=D("0.1"), **{**levels, **changes})


def close(number, bot="alpha", symbol=BTC, **changes):
    made = entry(bot, symbol, number)
    sells = closing(number, quantity=D("0.1"), **changes)
    return replace(
        sells, account=made.account, bot_id=bot, symbol=symbol, order_link_id=made.order_link_id
    )


def truth(server, uid="1001"):
    """What the ledger has, as the desk is told it: by id, what, how much, at what price and fee."""
    account = server.account(uid)
    return Counter((e.exec_id, e.symbol, e.side, e.quantity, e.price, e.fee) for e in account.fills)


def told(desk, *accounts):
    return Counter(
        (f.exec_id, f.symbol, str(f.side), f.quantity, f.price, f.fee)
        for f in desk.fills()
        if f.account in (accounts or (ALPHA, BETA))
    )


# -- one account ----------------------------------------------------------------------------------


async def test_a_round_trip_is_told_as_the_ledger_has_it(desk, server):
    await desk.trades(long())
    assert server.account("1001").sizes == {BTC: D("0.1")}
    await desk.trades(close(1))
    await desk.until(lambda: len(desk.told(OrderAccepted)) == 2)

    assert told(desk) == truth(server)
    assert desk.told(OrderRejected, OrderUnknown, Unreadable) == []
    assert server.account("1001").leverage_of(BTC) == 5


async def test_t3_a_stream_that_says_everything_twice_doubles_nothing(desk, server):
    server.faults.fate = lambda pushed: Fate.TWICE
    await desk.trades(long())
    await desk.trades(close(1))
    await desk.exchange.survey()

    assert told(desk) == truth(server)
    assert len(desk.told(OrderAccepted)) == 2


async def test_t4_what_happened_while_the_stream_was_away_is_told(desk, server, clock):
    await desk.trades(long())
    server.faults.fate = lambda pushed: Fate.LOSE
    server.drop()
    server.adl("1001", BTC, "0.04", 101_000)
    server.settle_funding(BTC, "0.0002")
    server.trade(BTC, 89_000)
    server.faults.fate = lambda pushed: Fate.DELIVER
    await desk.until(lambda: desk.told(FundingSettled))
    await desk.until_up()
    await desk.exchange.survey()

    assert told(desk) == truth(server)
    assert [fill.trigger for fill in desk.fills()] == [
        None, Reason.AUTO_DELEVERAGING, Reason.STOP_LOSS,
    ]  # fmt: skip
    (funding,) = desk.told(FundingSettled)
    (paid,) = server.account("1001").funding
    assert (funding.amount, funding.quantity) == (-paid.fee, D("0.06"))
    assert desk.told(Surveyed)[-2].survey.positions == ()


@pytest.mark.parametrize(
    ("price", "reason"),
    [(89_000, Reason.STOP_LOSS), (121_000, Reason.TAKE_PROFIT)],
    ids=["stop", "target"],
)
async def test_t5_stop_and_target_are_the_bots_own(desk, server, price, reason):
    await desk.trades(long())
    server.trade(BTC, price)
    await desk.until(lambda: len(desk.fills()) == 2)

    (fill,) = [fill for fill in desk.fills() if fill.trigger]
    assert (fill.account, fill.trigger, fill.order_link_id) == (ALPHA, reason, "")
    assert told(desk) == truth(server)


async def test_t5_a_trailing_stop_is_set_and_is_the_bots_own(desk, server):
    await desk.trades(long(trailing_stop=D(2_000), trailing_activation=D(105_000)))
    await desk.until(lambda: server.account("1001").position(BTC).trailing)
    server.trade(BTC, 110_000)
    server.trade(BTC, 107_000)
    await desk.until(lambda: len(desk.fills()) == 2)

    assert desk.fills()[-1].trigger is Reason.TRAILING_STOP


async def test_t5_a_liquidation_is_the_bots_own(desk, server):
    await desk.trades(long(stop_loss=None, take_profit=None))
    server.liquidate("1001", BTC)
    await desk.until(lambda: len(desk.fills()) == 2)

    assert (desk.fills()[-1].account, desk.fills()[-1].trigger) == (ALPHA, Reason.LIQUIDATION)


async def test_what_somebody_does_in_bybits_app_is_told_as_theirs(desk, server):
    server.place_foreign("1001", BTC, "Buy", "0.2")
    server.place_foreign("1001", "SOLUSDT", "Buy", "3")
    await desk.until(lambda: desk.fills())
    await desk.exchange.survey()

    assert [(fill.symbol, fill.trigger) for fill in desk.fills()] == [(BTC, Reason.EXTERNAL)]
    assert any("SOLUSDT" in each for each in desk.told(Surveyed)[-1].survey.foreign)


async def test_a_canceled_order_that_was_filled_in_part_ends_with_its_fill(desk, server):
    resting = long(order_type=OrderType.LIMIT, price=D(99_000), stop_loss=None, take_profit=None)
    server.liquidity = lambda order: bybit.Liquidity(share=D("0.4"))
    await desk.does(Submit(resting))
    await desk.until(lambda: desk.told(OrderAccepted))
    server.trade(BTC, 99_000)
    await desk.does(Cancel(ALPHA, BTC, resting.order_link_id, 0))
    await desk.until(lambda: desk.told(OrderCanceled))

    assert told(desk) == truth(server)


async def test_a_cancel_that_races_a_fill_is_a_fill(desk, server):
    resting = long(order_type=OrderType.LIMIT, price=D(99_000))
    server.cancel_race = lambda order: True
    await desk.does(Submit(resting))
    await desk.until(lambda: desk.told(OrderAccepted))
    await desk.does(Cancel(ALPHA, BTC, resting.order_link_id, 0))
    await desk.until(lambda: desk.fills())
    await desk.exchange.survey()

    assert told(desk) == truth(server)
    assert desk.told(OrderCanceled) == []


async def test_levels_that_somebody_wants_stand_there(desk, server):
    await desk.trades(long())
    await desk.does(Protect(ALPHA, BTC, D(95_000), D(0), 0))
    await desk.until(lambda: desk.told(StopsSet))

    stops = server.account("1001").position(BTC).stops
    assert set(stops) == {"StopLoss"}
    assert server.account("1001").orders[stops["StopLoss"]].trigger == D(95_000)


# -- orders of unknown outcome ---------------------------------------------------------------------


def first(path: str, fault: Fault) -> Callable[[Call], Fault | None]:
    return lambda call: fault if call.path == path and call.number == 1 else None


async def test_an_order_that_was_taken_without_an_answer_is_found_and_sent_once(desk, server):
    server.faults.private = first(CREATE, Fault(drop=True, after=True))
    await desk.trades(long())
    await desk.until(lambda: desk.told(OrderAccepted))

    made = [order for order in server.account("1001").orders.values() if order.link_id]
    assert len(made) == server.requests[CREATE] == 1
    assert told(desk) == truth(server)


async def test_an_order_that_was_lost_is_told_dead_and_never_sent_again(desk, server):
    server.faults.private = first(CREATE, Fault(drop=True))
    await desk.does(Submit(long()))
    await desk.until(lambda: desk.told(OrderUnknown))
    await desk.until(lambda: desk.told(OrderRejected))

    assert server.requests[CREATE] == 1
    assert server.account("1001").orders == {}


async def test_an_order_that_arrives_too_late_is_refused_and_stays_so(desk, server):
    server.faults.private = first(CREATE, Fault(late_s=4.0))
    await desk.does(Submit(long()))
    await desk.until(lambda: desk.told(OrderRejected))
    await desk.exchange.survey()

    assert server.account("1001").orders == {}


# -- several bots, several keys ------------------------------------------------------------------


async def test_t7_two_bots_of_one_key_are_told_of_their_own(desk, server):
    await desk.trades(long())
    await desk.trades(long("beta", ETH, 1))
    server.trade(ETH, 3_500)
    await desk.until(lambda: len(desk.fills()) == 3)
    await desk.exchange.survey()

    assert told(desk, ALPHA) + told(desk, BETA) == truth(server)
    assert [fill.symbol for fill in desk.fills(ALPHA)] == [BTC]
    assert [fill.trigger for fill in desk.fills(BETA)] == [None, Reason.STOP_LOSS]
    surveys = {event.account: event.survey for event in desk.told(Surveyed)}
    assert [held.symbol for held in surveys[ALPHA].positions] == [BTC]
    assert surveys[BETA].positions == ()


async def test_t7_two_keys_trade_one_symbol_apart(server, clock):
    async with working(server, clock, (ONE, {ALPHA: (BTC,)}), (OTHER, {BETA: (BTC,)})) as desk:
        await desk.trades(long())
        # Its leverage is set: a request to do that would fail, and the order not be sent at all.
        await desk.trades(long("beta", BTC, 3))
        down = Fault(status=502, body="<html>")
        server.faults.private = lambda call: down if call.uid == "2002" else None
        await desk.does(Submit(long("beta", BTC, 1)))
        await desk.until(lambda: desk.told(OrderUnknown))
        await desk.trades(close(2))
        server.faults.private = lambda call: None
        await desk.until(lambda: desk.told(OrderRejected))

        assert {event.account for event in desk.told(OrderUnknown, OrderRejected)} == {BETA}
        assert told(desk, ALPHA) == truth(server, "1001")
        assert told(desk, BETA) == truth(server, "2002")
        assert server.account("1001").sizes == {}
        assert server.account("2002").sizes == {BTC: D("0.1")}


# -- everything at once ----------------------------------------------------------------------------


async def test_with_everything_going_wrong_the_desk_is_told_what_the_ledger_has(desk, server):
    """Nothing lost, nothing doubled: duplicates, losses, cuts, late and lost answers."""
    rng = Random(7)
    server.faults.fate = dice(
        rng,
        [(0.08, Fate.LOSE), (0.1, Fate.TWICE), (0.08, Fate.SWAP), (0.04, Fate.CUT),
         (0.03, Fate.GARBLE)],
        Fate.DELIVER,
    )  # fmt: skip
    spoil = dice(
        rng,
        [(0.12, Fault(drop=True, after=True)), (0.08, Fault(drop=True)),
         (0.05, Fault(status=502, body="<html>", after=True)), (0.05, Fault(code=10_006))],
        None,
    )  # fmt: skip
    server.faults.private = lambda call: spoil(call) if call.path == CREATE else None
    server.liquidity = lambda order: bybit.Liquidity(parts=rng.randint(1, 3))
    over = (OrderRejected, OrderCanceled)
    for number in range(20):
        order = long(number=2 * number, stop_loss=None, take_profit=None)
        await desk.does(Submit(order), Submit(close(2 * number + 1)))
        if number % 7 == 3:
            server.settle_funding(BTC)
    sent = 40

    def settled() -> bool:
        ended = {event.order_link_id for event in desk.told(*over)}
        filled = Counter[str]()
        for fill in desk.fills():
            filled[fill.order_link_id] += fill.quantity
        ended |= {link_id for link_id, quantity in filled.items() if quantity >= D("0.1")}
        return len(ended - {""}) == sent

    await desk.until(settled)
    server.faults.fate, server.faults.private = (lambda pushed: Fate.DELIVER), (lambda call: None)
    await desk.until_up()
    await desk.exchange.survey()

    assert desk.told(OrderUnknown)
    assert desk.exchange.health()[0].recovered > 0
    assert told(desk) == truth(server)
    paid = {(e.ts, -e.fee) for e in server.account("1001").funding}
    assert {(e.ts, e.amount) for e in desk.told(FundingSettled)} == paid
    assert len(desk.told(FundingSettled)) == len(paid)
    made = [order.link_id for order in server.account("1001").orders.values() if order.link_id]
    assert len(made) == len(set(made)) <= sent
    assert server.requests[CREATE] == sent


# -- the way to flat, and the start --------------------------------------------------------------


async def test_the_emergency_makes_an_account_flat_while_the_desk_listens(desk, server, clock):
    await desk.trades(long())
    await desk.trades(long("beta", ETH, 1))
    await desk.does(Submit(long(number=2, order_type=OrderType.LIMIT, price=D(99_000))))
    server.place_foreign("1001", "SOLUSDT", "Sell", "3")
    await desk.until(lambda: len(desk.told(OrderAccepted)) == 3)
    rest, _ = venue(server, clock)
    account = EmergencyAccount("main", rest, {"alpha": (BTC,), "beta": (ETH,)})
    emergency = BybitEmergency([account], clock, Random(3))
    before = await emergency.look("main")
    await emergency.cancel_all("main")
    for symbol, quantity in before.positions.items():
        await emergency.close("main", symbol, quantity)
    after = await emergency.look("main")
    await desk.until(lambda: len(desk.fills()) == 4 and desk.told(OrderCanceled))
    rest.close()

    assert (len(before.positions), before.orders) == (3, 1)
    assert (dict(after.positions), after.orders) == ({}, 0)
    closes = [fill for fill in desk.fills() if fill.side is Side.SELL]
    assert {fill.account for fill in closes} == {ALPHA, BETA}
    assert all(fill.trigger is None for fill in closes)


async def test_the_emergency_closes_a_hedge_and_what_is_too_much_for_one_order(server, clock):
    account = server.account("1001")
    account.hedged.add(ETH)
    for side, index in (("Buy", 1), ("Sell", 2)):
        server.place_foreign("1001", ETH, side, "3", positionIdx=index)
    server.trade(BTC, 1_000)
    for _ in range(2):
        server.place_foreign("1001", BTC, "Buy", "350", positionIdx=0)
    rest, _ = venue(server, clock)
    emergency = BybitEmergency(
        [EmergencyAccount("main", rest, {"alpha": (BTC,)})], clock, Random(3)
    )
    looks = []
    while held := (await emergency.look("main")).positions:
        looks.append(dict(held))
        for symbol, quantity in held.items():
            await emergency.close("main", symbol, quantity)
    rest.close()

    assert [look.get(BTC) for look in looks] == [D(700), D(200)]
    assert not any(position.size for position in account.positions_of(ETH))


async def test_the_desk_switches_the_modes_of_an_empty_account(server, clock):
    server.account("1001").hedged.add(BTC)
    rest, _ = venue(server, clock)
    key, findings = await open_venue(rest, (BTC, ETH), Wanted(uid="1001"), clock.now())
    rest.close()

    assert (key.uid, server.account("1001").margin_mode) == ("1001", "ISOLATED_MARGIN")
    assert [finding for finding in findings if finding.stops] == []
