"""Private REST of the local Bybit: signed, limited, paged and told as Bybit does."""

from decimal import Decimal

import pytest
from aiohttp import ClientSession

from bot.clock import SystemClock
from engine.candle import DAY_MS, HOUR_MS
from tests.servers.bybit import ApiKey, BybitServer
from tests.servers.bybit_client import Client, client, recorded
from tests.servers.bybit_queries import WINDOW_MS

KEYS = [
    ApiKey(),
    ApiKey("key-2", "secret-2", uid="2002", balance=Decimal(500)),
    ApiKey("reads", "secret-3", read_only=True),
    ApiKey("moves", "secret-4", trades=False),
    ApiKey("old", "secret-5", expires=1),
    ApiKey("bound", "secret-6", ips=("18.1.2.3",)),
    ApiKey("draws", "secret-7", withdraws=True),
]


class Still(SystemClock):
    """A clock on which time passes when the test says so."""

    seconds = 1_735_689_600.0

    def now(self) -> int:
        return int(self.seconds * 1_000)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
async def still():
    """A server whose time stands still."""
    async with BybitServer(Still(), accounts=KEYS).running() as server:
        yield server


@pytest.fixture
async def server(request):
    server = BybitServer(SystemClock(), accounts=KEYS, spec=recorded(request))
    server.trade("BTCUSDT", 100_000)
    async with server.running():
        yield server
        assert server.violations == []


@pytest.fixture
async def bybit(server):
    async with client(server) as bybit:
        yield bybit


async def as_key(server: BybitServer, name: str, path: str, **query: object) -> int:
    """What code the key gets for a GET."""
    key = next(key for key in KEYS if key.key == name)
    async with client(server, key) as bybit:
        return (await bybit.get(path, **query))["retCode"]


# -- who may ask ---------------------------------------------------------------------------------


async def asked(server: BybitServer, bybit: Client, query: str, **headers: object) -> dict:
    async with (
        ClientSession() as session,
        session.get(
            f"{server.rest_base}/v5/account/info?{query}", headers=bybit.signed(query, **headers)
        ) as answer,
    ):
        return await answer.json()


@pytest.mark.parametrize(
    ("ahead_ms", "window", "code"),
    [(0, "5000", 0), (999, "5000", 0), (1_000, "60000", 10_002), (-5_000, "5000", 0),
     (-5_001, "5000", 10_002), (-5_001, "60000", 0)],
)  # fmt: skip
async def test_a_request_counts_in_its_window_only(still, ahead_ms, window, code):
    async with client(still) as bybit:
        answer = await asked(still, bybit, "", ahead_ms=ahead_ms, window=window)

    assert answer["retCode"] == code


async def test_what_was_signed_is_what_counts(server, bybit):
    headers = bybit.signed("coin=BTC")
    url = f"{server.rest_base}/v5/account/info?coin=ETH"
    async with ClientSession() as session, session.get(url, headers=headers) as answer:
        body = await answer.json()

    assert body["retCode"] == 10_004
    # Bybit repeats the key in the message, which is why clients must not show it.
    assert "key-1" in body["retMsg"]


@pytest.mark.parametrize(("key", "code"), [("old", 33_004), ("bound", 10_010), ("reads", 0)])
async def test_a_key_is_known_live_and_at_its_address(server, key, code):
    assert await as_key(server, key, "account/info") == code


async def test_an_unknown_key_is_refused(server):
    async with client(server, ApiKey("stranger", "secret")) as bybit:
        assert (await bybit.get("account/info"))["retCode"] == 10_003


@pytest.mark.parametrize("name", ["reads", "moves"])
async def test_a_key_without_the_permission_changes_nothing(server, name):
    key = next(key for key in KEYS if key.key == name)
    async with client(server, key) as bybit:
        assert (await bybit.order())["retCode"] == 10_005

    assert server.account("1001").orders == {}


async def test_a_key_tells_what_it_may_do(server, bybit):
    mine = (await bybit.get("user/query-api"))["result"]
    assert (mine["readOnly"], mine["userID"], mine["permissions"]["Wallet"]) == (
        0, 1001, ["AccountTransfer"],
    )  # fmt: skip
    async with client(server, KEYS[-1]) as other:
        assert "Withdraw" in (await other.get("user/query-api"))["result"]["permissions"]["Wallet"]


async def test_accounts_are_apart_and_keys_of_one_share_it(server, bybit):
    await bybit.order()

    assert server.account("1001").sizes == {"BTCUSDT": Decimal("0.01")}
    assert server.account("2002").sizes == {}
    assert server.account("2002").wallet == 500
    async with client(server, KEYS[2]) as reader:
        rows = (await reader.linear("position/list", settleCoin="USDT"))["result"]["list"]
    assert [row["size"] for row in rows] == ["0.01"]


# -- how often -----------------------------------------------------------------------------------


async def test_requests_beyond_the_limit_are_refused_until_the_second_is_over(still):
    async with client(still) as bybit, client(still, KEYS[1]) as other:
        codes = [(await bybit.order(symbol="NONE"))["retCode"] for _ in range(11)]
        assert codes == [10_001] * 10 + [10_006]
        assert bybit.headers["X-Bapi-Limit"] == "10"
        assert bybit.headers["X-Bapi-Limit-Status"] == "0"
        assert int(bybit.headers["X-Bapi-Limit-Reset-Timestamp"]) == still.now() + 1_000

        # Another path and another account have limits of their own.
        assert (await bybit.get("account/info"))["retCode"] == 0
        assert (await other.order(symbol="NONE"))["retCode"] == 10_001
        still.clock.seconds += 1
        assert (await bybit.order(symbol="NONE"))["retCode"] == 10_001


async def test_a_limit_that_is_not_reached_tells_the_time_of_now(server, bybit):
    await bybit.linear("order/realtime", symbol="BTCUSDT")

    assert (bybit.headers["X-Bapi-Limit"], bybit.headers["X-Bapi-Limit-Status"]) == ("50", "49")
    assert int(bybit.headers["X-Bapi-Limit-Reset-Timestamp"]) <= server.now()


# -- orders --------------------------------------------------------------------------------------


async def test_an_order_is_found_by_its_link_id_wherever_it_is(server, bybit):
    made = (await bybit.order(orderLinkId="mine"))["result"]
    for path in ("order/realtime", "order/history"):
        (row,) = (await bybit.linear(path, orderLinkId="mine"))["result"]["list"]
        assert (row["orderId"], row["orderStatus"]) == (made["orderId"], "Filled")
    (fill,) = (await bybit.linear("execution/list", orderLinkId="mine"))["result"]["list"]
    assert fill["orderId"] == made["orderId"]
    assert (await bybit.order(orderLinkId="mine"))["retCode"] == 110_072

    server.restart()
    assert (await bybit.linear("order/realtime", orderLinkId="mine"))["result"]["list"] == []
    assert len((await bybit.linear("order/history", orderLinkId="mine"))["result"]["list"]) == 1


async def test_realtime_tells_open_orders_or_those_that_ended(bybit):
    await bybit.order(orderLinkId="filled")
    await bybit.order(orderLinkId="rests", orderType="Limit", price="90000")
    await bybit.order(orderLinkId="waits", triggerPrice="110000", triggerDirection=1)

    async def links(**query: object) -> set[object]:
        result = (await bybit.linear("order/realtime", symbol="BTCUSDT", **query))["result"]
        return {row["orderLinkId"] for row in result["list"]}

    assert await links() == {"rests", "waits"}
    assert await links(openOnly=1) == {"filled"}
    assert await links(orderFilter="Order") == {"rests"}
    assert await links(orderFilter="StopOrder") == {"waits"}
    assert (await bybit.linear("order/realtime"))["retCode"] == 10_001


async def test_history_hides_what_came_to_nothing_after_a_day(server, bybit):
    await bybit.order(orderLinkId="filled")
    await bybit.order(orderLinkId="rests", orderType="Limit", price="90000")
    await bybit.post("order/cancel", orderLinkId="rests")

    async def links(**query: object) -> set[object]:
        rows = (await bybit.linear("order/history", **query))["result"]["list"]
        return {row["orderLinkId"] for row in rows}

    assert await links() == {"filled", "rests"}
    server.faults.skew_ms = DAY_MS + HOUR_MS
    assert await links() == {"filled"}
    assert await links(orderLinkId="rests") == set()
    server.faults.skew_ms = 8 * DAY_MS
    assert await links() == set()
    assert await links(orderLinkId="filled") == {"filled"}
    start = server.now() - 9 * DAY_MS
    assert await links(startTime=start, endTime=start + WINDOW_MS) == {"filled"}


async def test_an_order_id_counts_before_a_link_id(server, bybit):
    first = (await bybit.order(orderType="Limit", price="90000"))["result"]["orderId"]
    await bybit.order(orderLinkId="second", orderType="Limit", price="90000")
    await bybit.post("order/cancel", orderId=first, orderLinkId="second")

    assert server.account("1001").order("second").status == "New"
    assert (await bybit.post("order/cancel", orderId=first))["retCode"] == 110_001


# -- executions ----------------------------------------------------------------------------------


async def test_executions_come_newest_first_in_pages_that_lose_none(server, bybit):
    server.faults.limits = False
    for number in range(7):
        server.faults.skew_ms = number
        await bybit.order(orderLinkId=f"o-{number}")
    pages = await bybit.pages("execution/list", limit=3)
    rows = [row for page in pages for row in page]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert {row["execId"] for row in rows} == {
        fill.exec_id for fill in server.account("1001").fills
    }
    stamps = [int(row["execTime"]) for row in rows]
    assert stamps == sorted(stamps, reverse=True)


async def test_a_last_page_that_is_full_is_followed_by_an_empty_one(bybit):
    for _ in range(2):
        await bybit.order()

    assert [len(page) for page in await bybit.pages("execution/list", limit=2)] == [2, 0]


async def test_a_cursor_goes_back_as_it_came(bybit):
    for _ in range(2):
        await bybit.order()
    result = (await bybit.linear("execution/list", limit=1))["result"]
    cursor = str(result["nextPageCursor"])
    assert "%3D" in cursor
    again = await bybit.linear("execution/list", limit=1, cursor=cursor)
    assert again["result"]["list"] != result["list"]

    encoded_twice = cursor.replace("%", "%25")
    assert (await bybit.linear("execution/list", cursor=encoded_twice))["retCode"] == 10_001


async def test_executions_are_told_in_windows_of_a_week(server, bybit):
    await bybit.order(orderLinkId="mine")
    now = server.now()

    async def count(**query: object) -> int:
        return len((await bybit.linear("execution/list", **query))["result"]["list"])

    assert await count(startTime=now - HOUR_MS, endTime=now + HOUR_MS) == 1
    assert await count(endTime=now - HOUR_MS) == 0
    too_long = await bybit.linear("execution/list", startTime=now - WINDOW_MS - 1, endTime=now)
    assert too_long["retCode"] == 10_001
    server.faults.skew_ms = 8 * DAY_MS
    assert await count() == 0
    assert await count(startTime=now - HOUR_MS) == 1
    assert await count(orderLinkId="mine", startTime=now + DAY_MS) == 1


async def test_funding_stands_among_the_executions_and_names_no_link(server, bybit):
    await bybit.order(orderLinkId="mine")
    server.settle_funding("BTCUSDT", "0.0001")
    rows = (await bybit.linear("execution/list", execType="Funding"))["result"]["list"]

    (row,) = rows
    assert (row["execType"], row["execQty"], row["orderLinkId"]) == ("Funding", "0.01", "")
    assert (row["orderType"], row["closedSize"], row["execFee"]) == ("UNKNOWN", "0", "0.100000")


# -- the account ---------------------------------------------------------------------------------


async def test_positions_are_told_by_symbol_or_when_there_are_any(server, bybit):
    (flat,) = (await bybit.linear("position/list", symbol="BTCUSDT"))["result"]["list"]
    assert (flat["side"], flat["size"], flat["liqPrice"], flat["seq"]) == ("", "0", "", -1)
    assert (await bybit.linear("position/list", settleCoin="USDT"))["result"]["list"] == []
    assert (await bybit.linear("position/list"))["retCode"] == 10_001

    await bybit.post("position/set-leverage", buyLeverage="5", sellLeverage="5")
    await bybit.order(side="Sell", stopLoss="105000")
    server.trade("BTCUSDT", 99_000)
    (held,) = (await bybit.linear("position/list", settleCoin="USDT"))["result"]["list"]
    assert (held["side"], held["size"], held["avgPrice"]) == ("Sell", "0.01", "100000")
    assert (held["unrealisedPnl"], held["stopLoss"], held["leverage"]) == ("10", "105000", "5")


async def test_the_wallet_follows_every_execution(server, bybit):
    await bybit.order()
    server.trade("BTCUSDT", 101_000)
    await bybit.order(side="Sell")
    result = (await bybit.get("account/wallet-balance", accountType="UNIFIED"))["result"]
    (coin,) = result["list"][0]["coin"]

    account = server.account("1001")
    assert Decimal(coin["walletBalance"]) == account.wallet
    assert account.wallet == account.deposit + 10 - sum(fill.fee for fill in account.fills)
    assert (await bybit.get("account/wallet-balance", accountType="SPOT"))["retCode"] == 10_001


async def test_an_isolated_account_has_no_sums_of_margin(bybit):
    answer = await bybit.post("account/set-margin-mode", setMarginMode="ISOLATED_MARGIN")
    assert answer["retCode"] == 0
    info = (await bybit.get("account/info"))["result"]
    wallet = (await bybit.get("account/wallet-balance", accountType="UNIFIED"))["result"]

    assert info["marginMode"] == "ISOLATED_MARGIN"
    assert wallet["list"][0]["totalAvailableBalance"] == ""


async def test_the_transaction_log_is_a_chain_of_balances(server, bybit):
    await bybit.order()
    server.settle_funding("BTCUSDT", "0.0001")
    server.trade("BTCUSDT", 99_000)
    await bybit.order(side="Sell", reduceOnly=True)
    result = (await bybit.get("account/transaction-log", accountType="UNIFIED"))["result"]
    rows = result["list"]

    assert [row["type"] for row in rows] == ["TRADE", "SETTLEMENT", "TRADE"]
    balance = Decimal(10_000)
    for row in reversed(rows):
        balance += Decimal(row["change"])
        assert Decimal(row["cashBalance"]) == balance
    # What was paid is below zero here, and above it among the executions.
    assert Decimal(rows[1]["funding"]) == Decimal("-0.1")


async def test_fees_are_told_by_symbol(bybit):
    (row,) = (await bybit.linear("account/fee-rate", symbol="BTCUSDT"))["result"]["list"]

    assert (row["takerFeeRate"], row["makerFeeRate"]) == ("0.00055", "0.0002")


async def test_another_category_has_nothing_in_it(bybit):
    query = {"category": "spot", "symbol": "BTCUSDT"}
    assert (await bybit.get("order/realtime", **query))["result"]["list"] == []
    assert (await bybit.get("order/realtime", **query | {"category": "x"}))["retCode"] == 10_001
