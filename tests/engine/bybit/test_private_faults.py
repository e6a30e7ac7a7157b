"""What is sent to an account once and for all: nothing is doubled, lost or let through."""

import asyncio
import socket
import threading
from decimal import Decimal

import pytest

from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.bybit.rest import BybitRest
from engine.bybit.sign import ApiKey
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.order import OrderType, Side
from tests.engine.bybit.clocks import JumpingClock
from tests.engine.bybit.orders import order
from tests.servers import bybit
from tests.servers.bybit import BybitServer, Fault

D = Decimal
BTC = "BTCUSDT"
KEY = ApiKey("kEy-0f-theDesk-77", "s3cret-0f-theDesk-99")
CREATE, CANCEL, TIME = "/v5/order/create", "/v5/order/cancel", "/v5/market/time"
# Where a test waits for a while of Bybit's.
FAST = 4
# How wrong the measured time may be on a busy machine.
OFFSET_ERROR_MS = 2_000


@pytest.fixture
def rate():
    """Real time, so that a busy machine has Bybit's whole second for each request."""
    return 1


@pytest.fixture
def clock(rate):
    return JumpingClock(rate)


@pytest.fixture
async def server(clock):
    accounts = [bybit.ApiKey(KEY.key, KEY.secret)]
    async with BybitServer(clock, accounts=accounts).running() as server:
        server.trade(BTC, 100_000)
        server.arrived = []
        server.faults.private = Faulty(server)
        yield server


class Faulty:
    """Notes when each request came, and hands out the faults of each path one after another."""

    def __init__(self, server):
        self.server = server
        self.left = {}

    def __call__(self, call):
        self.server.arrived.append((call.path, self.server.now(), call.params))
        faults = self.left.get(call.path)
        return faults.pop(0) if faults else None


@pytest.fixture
def address(clock):
    return Address(clock)


@pytest.fixture
def account(server, clock, address):
    account = PrivateRest(server.rest_base, KEY, clock, address)
    yield account
    account.close()


def fails(server, *faults, path=CREATE):
    server.faults.private.left[path] = list(faults)


def times(server, path):
    """When requests to a path came, in ms of the server."""
    return [at for asked, at, _ in server.arrived if asked == path]


async def arrival(server):
    """Return when the first request has come."""
    while not server.arrived:  # noqa: ASYNC110  the server knows nothing of who waits
        await asyncio.sleep(0.005)


# -- nobody knows ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault(drop=True, after=True),
        Fault(status=502, body="<html>Bad gateway</html>", after=True),
        Fault(status=307, headers={"Location": "/v5/order/create"}, body="", after=True),
        Fault(body="<html>Hello</html>", after=True),
        Fault(body="[]", after=True),
        Fault(body="{}", after=True),
        Fault(body='{"retCode":0,"retMsg":"OK","result":{}}', after=True),
        Fault(body='{"retMsg":"OK","result":{"orderId":"o-1"}}', after=True),
        Fault(body='{"retCode":-1,"retMsg":"request expired"}', after=True),
        Fault(body='{"retCode":null,"retMsg":"?"}', after=True),
        *(Fault(code=code, after=True) for code in (10_000, 10_016, 10_019, 170_007, 170_146, 429)),
    ],
    ids=["cut", "502", "307", "html", "array", "empty", "no-id", "code-missing", "expired",
         "no-code", "10000", "10016", "10019", "170007", "170146", "429"],
)  # fmt: skip
async def test_an_answer_that_is_none_leaves_the_outcome_unknown_and_nothing_is_sent_again(
    account, server, fault
):
    made = order()
    fails(server, fault)
    with pytest.raises(OutcomeUnknown):
        await account.place(made)

    assert server.requests[CREATE] == 1
    assert len(server.account().orders) == 1
    found = await account.order(BTC, made.order_link_id)
    assert found.filled_quantity == made.quantity


async def test_an_answer_that_does_not_come_leaves_the_outcome_unknown(server, clock, address):
    account = PrivateRest(server.rest_base, KEY, clock, address, timeout_s=0.2)
    fails(server, Fault(hang=True, after=True))
    with pytest.raises(OutcomeUnknown, match="ReadTimeout.*may have been carried out"):
        await account.place(order())
    account.close()

    assert server.requests[CREATE] == 1
    assert server.account().sizes == {BTC: D("0.010")}


async def test_an_order_sent_again_by_mistake_is_there_once(account, server):
    await account.place(order())
    with pytest.raises(OutcomeUnknown, match="already has an order"):
        await account.place(order())

    assert len(server.account().orders) == 1


@pytest.mark.parametrize("path", [CANCEL, "/v5/order/amend", "/v5/position/trading-stop"])
async def test_other_changes_are_unknown_too(account, server, path):
    made = order(order_type=OrderType.LIMIT, price=D(90_000))
    await account.place(made)
    fails(server, Fault(drop=True, after=True), path=path)
    asked = {
        CANCEL: lambda: account.cancel(BTC, made.order_link_id),
        "/v5/order/amend": lambda: account.amend(BTC, made.order_link_id, price=D(91_000)),
        "/v5/position/trading-stop": lambda: account.protect(BTC, stop_loss=D(90_000)),
    }[path]
    with pytest.raises(OutcomeUnknown):
        await asked()

    assert server.requests[path] == 1


# -- surely not taken ------------------------------------------------------------------------------


async def test_nobody_there_means_that_nothing_was_sent(clock, address):
    async with BybitServer(clock, accounts=[bybit.ApiKey(KEY.key, KEY.secret)]).running() as server:
        account = PrivateRest(server.rest_base, KEY, clock, address)
        await account.server_time()
    with pytest.raises(Unreachable, match="does not answer"):
        await account.place(order())
    with pytest.raises(Unreachable, match="does not answer"):
        await account.positions()
    account.close()


async def test_a_name_without_an_address_means_that_nothing_was_sent(account, monkeypatch):
    await account.server_time()

    def nowhere(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(Unreachable, match="does not answer"):
        await account.place(order())


@pytest.mark.parametrize(
    "fault", [Fault(code=10_006), Fault(code=10_429), Fault(status=429, body="slow down")], ids=str
)
@pytest.mark.parametrize("rate", [FAST])
async def test_an_order_that_came_too_often_was_not_taken_and_is_not_sent_again(
    account, server, clock, fault
):
    fails(server, fault)
    with pytest.raises(Unreachable, match="did not take"):
        await account.place(order())
    assert server.requests[CREATE] == 1

    await account.place(order())
    first, second = times(server, CREATE)
    assert second - first >= 2_000


@pytest.mark.parametrize("rate", [FAST])
async def test_after_too_many_requests_bybits_own_reset_is_waited_for(account, server):
    await account.server_time()
    reset = server.now() + 6_000
    fails(server, Fault(code=10_006, headers={"X-Bapi-Limit-Reset-Timestamp": str(reset)}))
    with pytest.raises(Unreachable):
        await account.place(order(1))
    await account.place(order(2))

    _, second = times(server, CREATE)
    assert second >= reset - OFFSET_ERROR_MS


async def test_a_clock_that_is_off_is_measured_again_and_the_order_is_not(account, server):
    await account.server_time()
    server.faults.skew_ms = 30_000
    with pytest.raises(Unreachable, match="clock"):
        await account.place(order())
    assert (server.requests[CREATE], server.requests[TIME]) == (1, 2)

    await account.place(order())
    assert len(server.account().orders) == 1


async def test_a_read_finds_the_right_time_by_itself(account, server):
    await account.server_time()
    server.faults.skew_ms = 30_000

    assert await account.positions() == []


async def test_after_403_nothing_at_all_is_sent_for_ten_minutes(account, server, clock, address):
    public = BybitRest(server.rest_base, clock, address)
    await account.server_time()
    fails(server, Fault(status=403, body="access too frequent"))
    with pytest.raises(Unreachable, match="HTTP 403"):
        await account.place(order())
    sent = sum(server.requests.values())

    for _ in range(2):
        for asked in (account.place(order()), account.positions(), public.server_time()):
            with pytest.raises(Unreachable, match="HTTP 403"):
                await asked
        clock.jump(290)
    assert sum(server.requests.values()) == sent

    clock.jump(30)
    await public.server_time()
    await account.place(order())
    public.close()
    assert len(server.account().orders) == 1


async def test_after_403_those_who_wait_are_not_sent_either(account, server):
    fails(server, Fault(status=403, body="access too frequent", late_s=0.2))
    results = await asyncio.gather(
        *(account.place(order(n)) for n in range(3)), return_exceptions=True
    )

    assert [type(result) for result in results] == [Unreachable] * 3
    assert server.requests[CREATE] == 1


@pytest.mark.parametrize(
    ("made", "code", "benign"),
    [
        (order(quantity=D("0.0001")), 10_001, False),
        (order(quantity=D(90)), 110_007, False),
        (order(order_type=OrderType.LIMIT, price=D(500_000)), 110_003, False),
        (order(side=Side.SELL, reduce_only=True), 110_017, True),
    ],
    ids=["step", "money", "price", "flat"],
)
async def test_what_bybit_refuses_is_told_in_a_sentence(account, server, made, code, benign):
    with pytest.raises(ExchangeRefused) as refused:
        await account.place(made)

    assert (refused.value.code, refused.value.stops, refused.value.benign) == (
        code, False, benign,
    )  # fmt: skip
    assert str(refused.value)[0].isupper()


@pytest.mark.parametrize("which", ["link", "id"])
async def test_what_is_gone_already_needs_no_cancel(account, which):
    asked = account.cancel(BTC, "alpha-le-0") if which == "link" else account.cancel_by_id(BTC, "x")
    with pytest.raises(ExchangeRefused) as refused:
        await asked

    assert (refused.value.code, refused.value.benign) == (110_001, True)


# -- the fence -------------------------------------------------------------------------------------


@pytest.fixture
def fenced(server, clock, address):
    asked = []
    account = PrivateRest(
        server.rest_base, KEY, clock, address, fence=lambda made: asked.append(made) or account.why
    )
    account.asked, account.why = asked, ""
    yield account
    account.close()


async def test_the_fence_stops_an_order_before_it_is_sent(fenced, server):
    fenced.why = "This process no longer holds the desk's lock."
    made = order()
    with pytest.raises(ExchangeRefused, match="holds the desk's lock") as refused:
        await fenced.place(made)

    assert refused.value.code == 0
    assert fenced.asked == [made]
    assert server.requests[CREATE] == 0
    fenced.why = ""
    await fenced.place(made)
    assert len(server.account().orders) == 1


BROKEN = [KeyError("x"), ValueError("x"), OSError("x"), RuntimeError("x")]


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_fence_that_fails_lets_nothing_pass(server, clock, address, broken):
    def fails(made):
        raise broken

    account = PrivateRest(server.rest_base, KEY, clock, address, fence=fails)
    with pytest.raises(ExchangeRefused, match=type(broken).__name__) as refused:
        await account.place(order())
    account.close()

    assert refused.value.code == 0
    assert server.requests[CREATE] == 0


async def test_the_fence_is_not_asked_about_what_can_open_nothing(fenced, server):
    server.place_foreign("1001", BTC, "Buy", "0.010")
    fenced.why = "closed"
    await fenced.place(order(side=Side.SELL, reduce_only=True))

    assert server.account().sizes == {}
    assert fenced.asked == []


@pytest.mark.parametrize("rate", [FAST])
async def test_a_process_that_sleeps_behind_the_fence_sends_what_bybit_takes_no_more(
    server, clock, address
):
    """The signature is older than the fence, so that its time fences in turn."""
    pause = threading.Event()

    def asleep(made):
        pause.wait(timeout=4.5 / FAST)
        return ""

    account = PrivateRest(server.rest_base, KEY, clock, address, fence=asleep)
    with pytest.raises(Unreachable, match="too late"):
        await account.place(order())
    account.close()

    assert server.requests[CREATE] == 1
    assert server.account().orders == {}


# -- in turn ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [FAST])
async def test_bybits_limit_is_never_met(account, server):
    await asyncio.gather(*(account.place(order(n, quantity=D("0.001"))) for n in range(9)))

    stamps = times(server, CREATE)
    assert len(server.account().orders) == 9
    # Three are let go a second; one that was let go before may arrive with them.
    assert max(sum(0 <= other - at < 1_000 for other in stamps) for at in stamps) <= 4


async def test_a_cancel_goes_before_the_entries_that_wait(account, server):
    resting = order(99, order_type=OrderType.LIMIT, price=D(90_000))
    await account.place(resting)
    server.arrived.clear()
    fails(server, Fault(slow_s=0.5))
    entries = [asyncio.create_task(account.place(order(n))) for n in range(3)]
    await arrival(server)
    await account.cancel(BTC, resting.order_link_id)
    await asyncio.gather(*entries)

    assert [path for path, _, _ in server.arrived] == [CREATE, CANCEL, CREATE, CREATE]


async def test_what_reduces_goes_before_the_entries_that_wait(account, server):
    server.place_foreign("1001", BTC, "Buy", "0.010")
    await account.server_time()
    fails(server, Fault(slow_s=0.5))
    entries = [asyncio.create_task(account.place(order(n))) for n in range(3)]
    await arrival(server)
    await account.place(order(50, side=Side.SELL, reduce_only=True))
    await asyncio.gather(*entries)

    assert [params["reduceOnly"] for _, _, params in server.arrived] == [
        False, True, False, False,
    ]  # fmt: skip


async def test_a_read_that_hangs_holds_no_order_up(server, clock, address):
    account = PrivateRest(server.rest_base, KEY, clock, address, timeout_s=0.5)
    await account.server_time()
    fails(server, Fault(hang=True), path="/v5/position/list")
    read = asyncio.create_task(account.positions())
    await arrival(server)
    await account.place(order())
    still_reading = not read.done()
    with pytest.raises(Unreachable):
        await read
    account.close()

    assert still_reading


@pytest.mark.parametrize("rate", [FAST])
async def test_what_others_left_of_the_limit_is_kept_to(account, server):
    """Another program on the same account used it up: the next entry waits for the reset."""
    await account.server_time()
    reset = server.now() + 6_000
    headers = {
        "X-Bapi-Limit": "10",
        "X-Bapi-Limit-Status": "0",
        "X-Bapi-Limit-Reset-Timestamp": str(reset),
    }
    fails(server, Fault(code=110_007, headers=headers))
    with pytest.raises(ExchangeRefused):
        await account.place(order(1))
    await account.place(order(2))

    _, second = times(server, CREATE)
    assert second >= reset - OFFSET_ERROR_MS
