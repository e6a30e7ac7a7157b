"""Two clients that others wrote talk to the local Bybit: pybit, and ccxt with its own signing."""

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest

from bot.clock import SystemClock
from tests.servers.bybit import ApiKey, BybitServer, Liquidity
from tests.servers.bybit_client import recorded

LINEAR = {"category": "linear", "symbol": "BTCUSDT"}


@pytest.fixture
async def server(request):
    server = BybitServer(SystemClock(), accounts=[ApiKey()], spec=recorded(request))
    server.trade("BTCUSDT", 100_000)
    server.trade("ETHUSDT", 3_500)
    async with server.running():
        yield server


def ask(method: Callable[..., object], *args: object, **more: object) -> "asyncio.Future[object]":
    """Both clients block, so they work on a thread."""
    return asyncio.to_thread(method, *args, **more)


# -- pybit ---------------------------------------------------------------------------------------


@pytest.fixture
def pybit(server):
    from pybit.unified_trading import HTTP

    http = HTTP(api_key="key-1", api_secret="secret-1", max_retries=1, retry_codes={-1})
    http.endpoint = server.rest_base
    http.client.trust_env = False
    yield http
    http.client.close()


async def test_pybit_trades(server, pybit):
    await ask(pybit.set_leverage, **LINEAR, buyLeverage="5", sellLeverage="5")
    bought = await ask(
        pybit.place_order, **LINEAR, side="Buy", orderType="Market", qty="0.02",
        orderLinkId="entry", stopLoss="95000", positionIdx=0,
    )  # fmt: skip
    await ask(pybit.set_trading_stop, **LINEAR, tpslMode="Full", positionIdx=0, takeProfit="110000")
    await ask(
        pybit.place_order, **LINEAR, side="Sell", orderType="Limit", qty="0.01", price="105000",
        orderLinkId="half", reduceOnly=True, timeInForce="PostOnly",
    )  # fmt: skip
    await ask(pybit.amend_order, **LINEAR, orderLinkId="half", price="104000")
    server.glide("BTCUSDT", 104_500)

    (held,) = (await ask(pybit.get_positions, category="linear", settleCoin="USDT"))["result"][
        "list"
    ]
    assert (held["size"], held["stopLoss"], held["takeProfit"]) == ("0.01", "95000", "110000")
    fills = (await ask(pybit.get_executions, category="linear"))["result"]["list"]
    assert [fill["orderLinkId"] for fill in fills] == ["half", "entry"]
    assert fills[1]["orderId"] == bought["result"]["orderId"]
    log = await ask(pybit.get_transaction_log, accountType="UNIFIED", category="linear")
    assert Decimal(log["result"]["list"][0]["cashBalance"]) == server.account().wallet
    await ask(pybit.cancel_all_orders, category="linear", settleCoin="USDT")
    assert server.account().open_orders() == []
    assert server.violations == []


async def test_pybit_is_told_codes(pybit):
    from pybit.exceptions import InvalidRequestError

    for body, code in (({"qty": "0.0001"}, 10_001), ({"qty": "20"}, 110_007)):
        with pytest.raises(InvalidRequestError) as refused:
            await ask(pybit.place_order, **LINEAR, side="Buy", orderType="Market", **body)
        assert refused.value.status_code == code


async def test_pybit_settings_of_an_account(server, pybit):
    await ask(pybit.set_margin_mode, setMarginMode="ISOLATED_MARGIN")
    await ask(pybit.switch_position_mode, category="linear", coin="USDT", mode=3)
    info = (await ask(pybit.get_account_info))["result"]
    key = (await ask(pybit.get_api_key_information))["result"]
    fee = (await ask(pybit.get_fee_rates, **LINEAR))["result"]["list"][0]

    assert (info["marginMode"], key["uta"], fee["takerFeeRate"]) == (
        "ISOLATED_MARGIN", 1, "0.00055",
    )  # fmt: skip
    assert server.account().hedged == set(server.symbols)
    assert server.violations == []


# -- ccxt ----------------------------------------------------------------------------------------


@pytest.fixture
def ccxt(server):
    import ccxt

    exchange = ccxt.bybit(
        {
            "apiKey": "key-1",
            "secret": "secret-1",
            "enableRateLimit": False,
            "options": {"fetchMarkets": {"types": ["linear"]}, "defaultType": "swap"},
        }
    )
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], server.rest_base)
    exchange.has["fetchCurrencies"] = False
    yield exchange
    exchange.session.close()


async def traded(server: BybitServer) -> None:
    """An account in which much has happened."""
    server.liquidity = lambda order: Liquidity(parts=2, slippage=Decimal("0.0002"))
    server.place_foreign("1001", "BTCUSDT", "Buy", "0.03", stopLoss="95000")
    server.place_foreign("1001", "ETHUSDT", "Sell", "0.4")
    server.trade("BTCUSDT", 101_000)
    server.settle_funding("BTCUSDT", "0.0001")
    server.close_foreign("1001", "BTCUSDT", "0.01")
    server.place_foreign("1001", "BTCUSDT", "Buy", "0.01", price=99_000)
    server.cancel_foreign(
        "1001", server.place_foreign("1001", "BTCUSDT", "Buy", "0.01", price=98_000).order_id
    )


async def test_ccxt_reads_the_account_as_the_ledger_has_it(server, ccxt):
    await traded(server)
    account = server.account()
    await ask(ccxt.load_markets)

    balance = await ask(ccxt.fetch_balance)
    assert balance["USDT"]["total"] == pytest.approx(float(account.wallet), abs=1e-9)

    positions = await ask(ccxt.fetch_positions)
    sizes = {
        row["info"]["symbol"]: Decimal(str(row["contracts"])) * (1 if row["side"] == "long" else -1)
        for row in positions
    }
    assert sizes == account.sizes
    average = account.position("ETHUSDT").average
    short = next(row for row in positions if row["side"] == "short")
    assert short["entryPrice"] == pytest.approx(float(average), abs=1e-8)


async def test_ccxt_reads_every_trade_and_its_fee(server, ccxt):
    await traded(server)
    fills = {fill.exec_id: fill for fill in server.account().fills}
    await ask(ccxt.load_markets)
    trades = [
        trade
        for symbol in ("BTC/USDT:USDT", "ETH/USDT:USDT")
        for trade in await ask(ccxt.fetch_my_trades, symbol)
        if trade["info"]["execType"] == "Trade"
    ]

    assert {trade["id"] for trade in trades} == fills.keys()
    for trade in trades:
        fill = fills[trade["id"]]
        assert Decimal(str(trade["amount"])) == fill.quantity
        assert Decimal(str(trade["price"])) == fill.price
        assert trade["fee"]["cost"] == pytest.approx(float(fill.fee), abs=1e-12)
        assert trade["side"] == fill.side.lower()
        assert trade["order"] == fill.order.order_id


async def test_ccxt_reads_open_and_closed_orders(server, ccxt):
    await traded(server)
    account = server.account()
    await ask(ccxt.load_markets)
    found = await ask(ccxt.fetch_open_orders, "BTC/USDT:USDT")
    closed = await ask(ccxt.fetch_closed_orders, "BTC/USDT:USDT")
    canceled = await ask(ccxt.fetch_canceled_orders, "BTC/USDT:USDT")

    assert {o["id"] for o in found} == {o.order_id for o in account.open_orders("BTCUSDT")}
    of_btc = [o for o in account.orders.values() if o.symbol == "BTCUSDT"]
    by_status = {
        status: {o.order_id for o in of_btc if o.status == status}
        for status in ("Filled", "Cancelled")
    }
    assert {o["id"] for o in closed} == by_status["Filled"]
    assert {o["id"] for o in canceled} == by_status["Cancelled"]
    for order in closed:
        assert Decimal(str(order["filled"])) == account.orders[order["id"]].filled


async def test_ccxt_reads_the_ledger_of_money(server, ccxt):
    await traded(server)
    account = server.account()
    await ask(ccxt.load_markets)
    entries = await ask(ccxt.fetch_ledger, "USDT")

    told = sorted(entry["after"] for entry in entries)
    assert told == pytest.approx(sorted(float(entry.balance) for entry in account.log), abs=1e-9)


async def test_ccxt_trades_as_well(server, ccxt):
    await ask(ccxt.load_markets)
    made = await ask(ccxt.create_order, "BTC/USDT:USDT", "market", "buy", 0.01)

    assert server.account().orders[made["id"]].status == "Filled"
    assert server.account().sizes == {"BTCUSDT": Decimal("0.01")}
