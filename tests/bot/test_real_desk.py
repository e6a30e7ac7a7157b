"""A whole desk with an account at the local Bybit: from a typed order to the books and back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from bot.app import App, open_app
from bot.clock import SystemClock
from bot.door import socket_path
from bot.modes import ACCEPTED
from bot.reconcile_command import compare
from bot.settings import Settings, load
from engine.errors import BadSettings, Unreachable
from engine.exchange.bybit import BybitExchange
from engine.order import Order
from engine.view import AccountView
from handlers.reply import Reply
from tests.handlers.desks import say, table
from tests.servers.bybit import ApiKey, BybitServer

BTC, ETH = "BTCUSDT", "ETHUSDT"
UID, OTHER_UID = "40771234", "40775678"
DESK = ApiKey("desk-key-0001", "desk-secret-0001", UID, Decimal(50_000), ips=("127.0.0.1",))
OWN = ApiKey("rsi-key-0002", "rsi-secret-0002", OTHER_UID, Decimal(50_000), ips=("127.0.0.1",))
# A strategy that needs more bars than there are: all orders are typed.
BOT = '[[bots]]\nid = "{}"\nstrategy = "shortseller"\nsymbols = ["{}"]\ncapital = 10000\n'
DEADLINE_S = 30.0


def settings_of(server: BybitServer, folder: Path, toml: str, **environ: str) -> Settings:
    (folder / "countersign.toml").write_text(toml)
    given = {
        "MODE": "demo",
        "DATA_DIR": str(folder / "data"),
        "BYBIT_API_KEY": DESK.key,
        "BYBIT_API_SECRET": DESK.secret,
        "BYBIT_REST_BASE": server.rest_base,
        "BYBIT_WS_BASE": server.ws_base,
    }
    return load(given | environ, folder)


@pytest.fixture
async def server() -> AsyncIterator[BybitServer]:
    async with BybitServer(SystemClock(), accounts=[DESK, OWN], ticker_s=0.2).running() as running:
        yield running


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[App]:
    """A desk that has compared its books with the exchange."""
    async with open_app(settings) as app, asyncio.TaskGroup() as tasks:
        working = tasks.create_task(app.run())
        await until(lambda: all(heard(each) for each in app.desk.view().accounts))
        yield app
        app.stop()
        await working


def heard(account: AccountView) -> bool:
    there = account.exchange
    return there is not None and not there.down and there.survey is not None


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not holds():  # noqa: ASYNC110  the server is watched too, from outside
            await asyncio.sleep(0.02)


async def answered(app: App, line: str) -> Reply:
    """What a line is answered once there are prices: those of the last candle are minutes old."""
    async with asyncio.timeout(DEADLINE_S):
        while "price" in str((answer := await say(app.desk, line)).error):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return answer


async def do(app: App, line: str) -> None:
    """Say a line at the console, and confirm what waits for that."""
    before = {each.proposal_id for each in app.desk.view().proposals}
    answer = await answered(app, line)
    assert answer.ok, answer.error
    for each in app.desk.view().proposals:
        if each.proposal_id not in before:
            done = await say(app.desk, f"/approve {each.proposal_id} {each.phrase}".rstrip())
            assert done.ok, done.error


def held(app: App) -> dict[str, Decimal]:
    found = app.desk.view().positions
    return {item.position.symbol: item.position.quantity for item in found}


async def test_an_order_by_hand_is_filled_there_and_booked_here(
    server: BybitServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(server, tmp_path, BOT.format("short_001", BTC))
    path = socket_path(settings.data_dir)
    async with running(settings) as app:
        assert app.desk.badge == "DEMO - Bybit live prices, 5m - account ..1234"
        await do(app, "/sell BTC 500")
        await until(lambda: held(app) == server.account(UID).sizes != {})
        [account] = app.desk.view().accounts
        assert account.account == "demo-bybit-short_001"
        assert await compare(path, json=False) == 0
        assert "Nothing differs." in capsys.readouterr().out

        # What somebody puts there in the app is found, and withdrawn once that is confirmed.
        foreign = server.place_foreign(UID, BTC, "Buy", "0.01", price=96_000)
        assert await compare(path, json=False) == 1
        assert "an order that is not the desk's" in capsys.readouterr().out
        await do(app, "/discard BTC")
        there = server.account(UID)
        await until(lambda: not there.orders[foreign.order_id].is_open)
        assert await compare(path, json=True) == 0

    # The next process goes on with the same books, and finds them right.
    async with running(settings) as app:
        assert held(app) == server.account(UID).sizes
        assert await compare(path, json=True) == 0
        await do(app, "/close BTC")
        await until(lambda: held(app) == {} == server.account(UID).sizes)

    with pytest.raises(Unreachable, match="No desk answers"):
        await compare(path, json=True)
    other = {"BYBIT_API_KEY": OWN.key, "BYBIT_API_SECRET": OWN.secret}
    another = settings_of(server, tmp_path, BOT.format("short_001", BTC), **other)
    with pytest.raises(BadSettings, match=f"belongs to account {OTHER_UID}, these books") as error:
        async with open_app(another):
            pass

    with closing(sqlite3.connect(settings.data_dir / "countersign.db")) as connection:
        stored = "\n".join(connection.iterdump())
    for told in (capsys.readouterr().out, stored, str(error.value)):
        assert DESK.key not in told
        assert DESK.secret not in told


async def test_two_bots_with_keys_of_their_own_touch_only_their_own_accounts(
    server: BybitServer, tmp_path: Path
) -> None:
    toml = BOT.format("short_001", BTC) + BOT.format("short_002", BTC)
    own = {"SHORT_002_BYBIT_API_KEY": OWN.key, "SHORT_002_BYBIT_API_SECRET": OWN.secret}
    async with running(settings_of(server, tmp_path, toml, **own)) as app:
        await do(app, "/sell BTC 500 bot=short_002")
        await until(lambda: server.account(OTHER_UID).sizes)
        await until(lambda: held(app) == server.account(OTHER_UID).sizes)
        assert server.account(UID).orders == {}
        [item] = app.desk.view().positions
        assert item.position.bot_id == "short_002"


async def test_two_bots_of_one_key_share_an_account_on_symbols_of_their_own(
    server: BybitServer, tmp_path: Path
) -> None:
    toml = BOT.format("short_001", BTC) + BOT.format("short_002", ETH)
    async with running(settings_of(server, tmp_path, toml)) as app:
        await do(app, "/sell BTC 500")
        await do(app, "/sell ETH 300")
        await until(lambda: set(server.account(UID).sizes) == {BTC, ETH})
        await until(lambda: held(app) == server.account(UID).sizes)
        owners = {each.position.symbol: each.position.bot_id for each in app.desk.view().positions}
        assert owners == {BTC: "short_001", ETH: "short_002"}
        # A third bot would have to take a symbol of one of them.
        answer = await say(app.desk, "/bot add momentum BTC")
        assert answer.error is not None
        assert "short_001 trades BTCUSDT with the same API key (BYBIT_API_KEY)" in answer.error


async def test_real_money_is_only_watched_until_the_account_is_armed(
    server: BybitServer, tmp_path: Path
) -> None:
    live = {"MODE": "live", "LIVE_TRADING": ACCEPTED}
    toml = BOT.format("short_001", BTC) + "[approvals]\ndelay_s = 0\n"
    settings = settings_of(server, tmp_path, toml, **live)
    async with running(settings) as app:
        assert app.desk.badge.startswith("LIVE - ")
        refused = await answered(app, "/sell BTC 500")
        assert refused.error is not None
        assert "real money" in refused.error
        await do(app, "/arm")
        [row] = table(await say(app.desk, "/mode"), "Accounts").rows
        assert row == ("short_001", "..1234, traded")
        await do(app, "/sell BTC 500")
        await until(lambda: server.account(UID).sizes)
    # It stays armed.
    async with running(settings) as app:
        await do(app, "/close BTC")
        await until(lambda: held(app) == {} == server.account(UID).sizes)
        await do(app, "/sell BTC 500")
        await until(lambda: held(app) == server.account(UID).sizes != {})


async def test_the_latch_and_a_lost_lock_stop_what_is_signed_already(
    server: BybitServer, tmp_path: Path
) -> None:
    settings = settings_of(server, tmp_path, BOT.format("short_001", BTC))
    async with open_app(settings) as app:
        exchange = app.desk.runtime._exchange
        assert isinstance(exchange, BybitExchange)
        [venue] = exchange._venues
        order = cast(Order, None)
        assert venue._api._fence(order) == ""
        latch = settings.data_dir / "KILLED"
        latch.touch()
        assert "latch" in venue._api._fence(order)
        latch.unlink()
        await app.locks[0].release()
        assert "the desk's lock is lost" in venue._api._fence(order)
