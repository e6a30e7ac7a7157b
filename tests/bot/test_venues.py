"""The accounts at Bybit that a desk trades: what stops it from starting, and what it says."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from bot.clock import SystemClock
from bot.doctor import examine
from bot.settings import TOML_NAME, Settings, load
from bot.venues import Opened, Venues, shares
from engine.bot import Bot
from engine.bybit.address import Address
from engine.errors import BadSettings
from engine.exchange.bybit import BybitExchange
from engine.plans import made
from tests.servers.bybit import ApiKey, BybitServer

UID, OTHER_UID = "40771234", "40775678"
DESK = ApiKey("desk-key-0001", "desk-secret-0001", UID, Decimal(50_000), ips=("127.0.0.1",))
OWN = ApiKey("rsi-key-0002", "rsi-secret-0002", OTHER_UID, Decimal(50_000), ips=("127.0.0.1",))
BOT = '[[bots]]\nid = "{}"\nstrategy = "rsi"\nsymbols = {}\n'
RSI = BOT.format("rsi_001", '["BTCUSDT"]')
TWO = RSI + BOT.format("rsi_002", '["ETHUSDT"]')


class Scene:
    """A folder with settings, and a Bybit that they lead to."""

    def __init__(self, server: BybitServer, folder: Path, toml: str, environ: Mapping[str, str]):
        self.server = server
        self.folder = folder
        self.environ = {
            "MODE": "demo",
            "DATA_DIR": str(folder / "data"),
            "BYBIT_API_KEY": DESK.key,
            "BYBIT_API_SECRET": DESK.secret,
            "BYBIT_REST_BASE": server.rest_base,
            "BYBIT_WS_BASE": server.ws_base,
            **environ,
        }
        (folder / TOML_NAME).write_text(toml)

    @property
    def settings(self) -> Settings:
        return load(self.environ, self.folder)

    @property
    def bots(self) -> list[Bot]:
        settings = self.settings
        plans = {bot.id: bot.plan(settings.strategies) for bot in settings.bots}
        return [made(name, plan, settings.strategies, "demo-bybit") for name, plan in plans.items()]

    async def open(self, uids: Mapping[str, str] | None = None) -> Opened:
        clock = SystemClock()
        venues = Venues(self.settings, clock, Address(clock), Random(1))
        try:
            return await venues.open(self.bots, uids or {}, lambda order: "")
        finally:
            venues.close()

    async def examine(self, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
        """What the doctor finds of the accounts."""
        lines = (f"{name}={value}\n" for name, value in self.environ.items())
        (self.folder / ".env").write_text("".join(lines))
        capsys.readouterr()
        await examine(self.folder, json=True)
        found = map(json.loads, capsys.readouterr().out.splitlines())
        return [(each["state"], each["detail"]) for each in found if each["what"] == "account"]


@asynccontextmanager
async def open_scene(
    folder: Path, key: ApiKey = DESK, toml: str = RSI, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Scene]:
    server = BybitServer(SystemClock(), accounts=[key, OWN])
    async with server.running():
        yield Scene(server, folder, toml, environ or {})


# -- what stops it -----------------------------------------------------------------------


def nothing(server: BybitServer) -> None:
    pass


def hedge(server: BybitServer) -> None:
    server.account(UID).hedged.add("BTCUSDT")
    server.place_foreign(UID, "BTCUSDT", "Buy", "0.01", positionIdx=1)


def hold(server: BybitServer) -> None:
    server.place_foreign(UID, "ETHUSDT", "Buy", "0.1")


BAD: dict[str, tuple[ApiKey, Callable[[BybitServer], None], str]] = {
    "a key that can only read": (replace(DESK, read_only=True), nothing, "can only read"),
    "a key that may not trade": (replace(DESK, trades=False), nothing, "may not trade contracts"),
    "a key that may withdraw": (replace(DESK, withdraws=True), nothing, "may withdraw money"),
    "a key that has expired": (replace(DESK, expires=1), nothing, "expired"),
    "a key that nobody knows": (replace(DESK, key="another-key"), nothing, "key"),
    "a wrong secret": (replace(DESK, secret="another-secret"), nothing, "sign"),
    "hedge mode with a position": (DESK, hedge, "hedge mode"),
    "another margin mode with a position": (DESK, hold, "margin mode is cross"),
    "no money": (replace(DESK, balance=Decimal(0)), nothing, "holds no USDT"),
}


@pytest.mark.parametrize(("key", "prepare", "said"), BAD.values(), ids=BAD)
async def test_what_can_not_be_traded_is_told_at_the_start_and_by_the_doctor(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    key: ApiKey,
    prepare: Callable[[BybitServer], None],
    said: str,
) -> None:
    async with open_scene(tmp_path, key) as scene:
        prepare(scene.server)
        with pytest.raises(BadSettings) as error:
            await scene.open()
        assert str(error.value).startswith("BYBIT_API_KEY: ")
        assert said in str(error.value)
        found = await scene.examine(capsys)
        assert [detail for state, detail in found if state == "wrong" and said in detail]
        for text in (str(error.value), str(found)):
            assert DESK.key not in text
            assert DESK.secret not in text


async def test_a_symbol_that_is_none_is_told_by_its_name(tmp_path: Path) -> None:
    async with open_scene(tmp_path, toml=BOT.format("rsi_001", '["XYZUSDT"]')) as scene:
        with pytest.raises(BadSettings, match="Bybit does not know XYZUSDT"):
            await scene.open()


async def test_books_of_another_account_are_not_traded(tmp_path: Path) -> None:
    async with open_scene(tmp_path) as scene:
        with pytest.raises(BadSettings) as error:
            await scene.open({"demo-bybit-rsi_001": OTHER_UID})
        assert f"belongs to account {UID}, these books to account {OTHER_UID}" in str(error.value)
        assert (await scene.open({"demo-bybit-rsi_001": UID})).uids == (UID,)


async def test_books_of_two_accounts_are_not_traded_with_one_key(tmp_path: Path) -> None:
    async with open_scene(tmp_path, toml=TWO) as scene:
        uids = {"demo-bybit-rsi_001": UID, "demo-bybit-rsi_002": OTHER_UID}
        with pytest.raises(BadSettings, match="the books belong to different accounts"):
            await scene.open(uids)


async def test_two_keys_of_one_account_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {"RSI_002_BYBIT_API_KEY": OWN.key, "RSI_002_BYBIT_API_SECRET": OWN.secret}
    server = BybitServer(SystemClock(), accounts=[DESK, replace(OWN, uid=UID)])
    async with server.running():
        scene = Scene(server, tmp_path, TWO, environ)
        with pytest.raises(BadSettings) as error:
            await scene.open()
        assert str(error.value) == (
            f"BYBIT_API_KEY and RSI_002_BYBIT_API_KEY are keys of one account ({UID}). Use one key "
            "for all its bots, or one of another subaccount."
        )
        assert ("wrong", str(error.value)) in await scene.examine(capsys)


async def test_without_a_bot_nothing_is_opened(tmp_path: Path) -> None:
    async with open_scene(tmp_path) as scene:
        clock = SystemClock()
        venues = Venues(scene.settings, clock, Address(clock), Random(1))
        with pytest.raises(BadSettings, match="No bot can trade in mode demo"):
            await venues.open([], {}, lambda order: "")


# -- what it is told ---------------------------------------------------------------------


async def test_an_account_that_is_well_is_told_by_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_scene(tmp_path) as scene:
        opened = await scene.open()
        assert (opened.uids, opened.remarks) == ((UID,), ())
        # Flat, it was switched to the margin mode that the settings ask for.
        assert scene.server.account(UID).margin_mode == "ISOLATED_MARGIN"
        assert ("ok", "BYBIT_API_KEY: account ..1234 can be traded by rsi_001") in (
            await scene.examine(capsys)
        )


async def test_less_money_than_the_bots_have_is_a_remark(tmp_path: Path) -> None:
    async with open_scene(tmp_path, replace(DESK, balance=Decimal(15_000)), TWO) as scene:
        [remark] = (await scene.open()).remarks
        assert remark.startswith("BYBIT_API_KEY: The account is worth 15000.00 USDT")
        assert "a capital of 20000.00 USDT together" in remark


async def test_a_key_that_may_withdraw_is_taken_by_whoever_insists(tmp_path: Path) -> None:
    toml = RSI + "[exchange]\nallow_withdraw_keys = true\n"
    async with open_scene(tmp_path, replace(DESK, withdraws=True), toml) as scene:
        assert (await scene.open()).uids == (UID,)


async def test_a_key_that_no_bot_has_is_a_remark(tmp_path: Path) -> None:
    environ = {"RSY_BYBIT_API_KEY": OWN.key, "RSY_BYBIT_API_SECRET": OWN.secret}
    async with open_scene(tmp_path, environ=environ) as scene:
        opened = await scene.open()
        assert opened.remarks == ("RSY_BYBIT_API_KEY is no bot's, and is not used.",)


async def test_each_key_has_its_own_bots_margin_and_account(tmp_path: Path) -> None:
    environ = {"RSI_002_BYBIT_API_KEY": OWN.key, "RSI_002_BYBIT_API_SECRET": OWN.secret}
    toml = RSI + 'margin = "cross"\n' + BOT.format("rsi_002", '["BTCUSDT"]')
    async with open_scene(tmp_path, toml=toml, environ=environ) as scene:
        first, second = shares(scene.settings, scene.bots)
        assert (first.name, first.margin_mode) == ("BYBIT_API_KEY", "REGULAR_MARGIN")
        assert (second.name, second.margin_mode) == ("RSI_002_BYBIT_API_KEY", "ISOLATED_MARGIN")
        opened = await scene.open()
        assert opened.uids == (UID, OTHER_UID)
        assert list(opened.links) == ["bybit BYBIT_API_KEY", "bybit RSI_002_BYBIT_API_KEY"]
        assert opened.key_of is not None
        assert opened.key_of("rsi_002") == "RSI_002_BYBIT_API_KEY"
        assert opened.key_of("macd_001") == "BYBIT_API_KEY"
        assert isinstance(opened.exchange, BybitExchange)
        taken = opened.exchange.taken("demo-bybit-macd_001", ["BTCUSDT"])
        assert "belongs to rsi_001 already" in taken


async def test_a_bot_whose_key_is_not_open_has_none(tmp_path: Path) -> None:
    environ = {"MACD_BYBIT_API_KEY": OWN.key, "MACD_BYBIT_API_SECRET": OWN.secret}
    async with open_scene(tmp_path, environ=environ) as scene:
        opened = await scene.open()
        assert opened.key_of is not None
        assert opened.key_of("macd_001") == ""


async def test_it_waits_for_a_bybit_that_is_away(tmp_path: Path) -> None:
    class Quick(SystemClock):
        async def sleep(self, seconds: float) -> None:
            waited.set()
            await asyncio.sleep(0.01)

    waited = asyncio.Event()
    async with open_scene(tmp_path) as scene:
        base = scene.environ["BYBIT_REST_BASE"]
        scene.environ["BYBIT_REST_BASE"] = "http://127.0.0.1:9"
        clock = Quick()
        settings = scene.settings
        venues = Venues(settings, clock, Address(clock), Random(1))
        opening = asyncio.create_task(venues.open(scene.bots, {}, lambda order: ""))
        await waited.wait()
        assert not opening.done()
        opening.cancel()
        await asyncio.wait([opening])
        scene.environ["BYBIT_REST_BASE"] = base
        assert (await scene.open()).uids == (UID,)
