"""What is said of a key and its account before anything is traded, and what the desk mends."""

from dataclasses import replace

import pytest

from engine.bybit.account import AccountInfo, KeyInfo, Wallet
from engine.candle import DAY_MS
from engine.errors import BadSettings, ExchangeRefused, Unreachable
from engine.exchange.checking import Wanted, check_venue, open_venue
from engine.order import Side
from tests.clock import FakeClock
from tests.engine.exchange.fake_bybit import BTC, ETH, D, FakeBybit

MAY = frozenset({"ContractTrade:Order", "ContractTrade:Position"})
SYMBOLS = (BTC, ETH)


@pytest.fixture
def fake():
    return FakeBybit(FakeClock())


async def check(fake, **wanted):
    return (await check_venue(fake, SYMBOLS, Wanted(**wanted), fake.clock.now()))[1]


async def test_a_good_account_has_nothing_to_be_said_of(fake):
    key, findings = await open_venue(fake, SYMBOLS, Wanted(uid="1001"), fake.clock.now())

    assert (key.uid, findings) == ("1001", [])
    assert not [name for name, _ in fake.calls if name.startswith("set")]


def key(fake, **changes):
    fake.key = replace(fake.key, **changes)


def account(fake, **changes):
    fake.info = replace(fake.info, **changes)


def money(fake, amount):
    fake.money = Wallet(D(amount), D(amount), D(amount))


STOPPING = {
    "read-only key": (lambda f: key(f, read_only=True), "can only read"),
    "key without trading": (lambda f: key(f, permissions=frozenset()), "may not trade"),
    "key that withdraws": (
        lambda f: key(f, permissions=MAY | {"Wallet:Withdraw"}), "may withdraw money",
    ),
    "expired key": (lambda f: key(f, expires_at=f.clock.now() - 1), "has expired"),
    "another account": (lambda f: key(f, uid="2002"), "belongs to account 2002"),
    "classic account": (lambda f: account(f, unified=False), "not a unified"),
    "no money": (lambda f: money(f, 0), "holds no USDT"),
    "unknown key": (
        lambda f: f.failing["key_info"].append(ExchangeRefused(10_003, "no such key", stops=True)),
        "no such key",
    ),
    "unknown symbol": (
        lambda f: f.failing["position"].append(ExchangeRefused(10_001, "symbol invalid")),
        "Bybit does not know BTCUSDT",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "said"), STOPPING.values(), ids=STOPPING)
async def test_what_stops_an_account_is_said_with_its_mend(fake, spoil, said):
    spoil(fake)
    (finding,) = await check(fake, uid="1001")
    assert finding.stops
    assert said in finding.text
    assert finding.mend

    spoil(fake)
    with pytest.raises(BadSettings, match=said):
        await open_venue(fake, SYMBOLS, Wanted(uid="1001"), fake.clock.now())


async def test_a_key_that_withdraws_can_be_insisted_on(fake):
    key(fake, permissions=MAY | {"Wallet:Withdraw"})
    assert await check(fake, allow_withdrawal=True) == []


REMARKS = {
    "expires soon": (lambda f: key(f, expires_at=f.clock.now() + 3 * DAY_MS), "in 3 days"),
    "any address": (lambda f: key(f, ips=()), "any address"),
    "too little money": (lambda f: money(f, 500), "is worth 500.00 USDT"),
    "clock off": (lambda f: setattr(f, "offset_ms", 800), "800 ms off"),
}


@pytest.mark.parametrize(("spoil", "said"), REMARKS.values(), ids=REMARKS)
async def test_what_does_not_stop_it_is_a_remark(fake, spoil, said):
    spoil(fake)
    _, (finding,) = await open_venue(fake, SYMBOLS, Wanted(capital=D(900)), fake.clock.now())

    assert not finding.stops
    assert said in finding.text


# -- modes ---------------------------------------------------------------------------------------


async def test_the_margin_mode_of_a_flat_account_is_switched(fake):
    account(fake, margin_mode="REGULAR_MARGIN")
    (finding,) = await check(fake)
    assert finding.automatic
    assert fake.called("set_margin_mode") == []

    await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())
    assert fake.info == AccountInfo("ISOLATED_MARGIN", True)


async def test_the_margin_mode_of_an_account_that_holds_something_is_not(fake):
    account(fake, margin_mode="REGULAR_MARGIN")
    fake.execute("SOLUSDT", Side.BUY, D(1))

    with pytest.raises(BadSettings, match="margin mode is cross, the settings say isolated"):
        await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())
    assert fake.called("set_margin_mode") == []


async def test_hedge_mode_is_switched_off_where_nothing_is_held(fake):
    fake.held[ETH] = replace(await fake.position(ETH), index=1)
    await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())

    assert fake.called("set_one_way") == [(ETH,)]


async def test_hedge_mode_of_a_position_has_to_be_switched_by_a_person(fake):
    fake.held[ETH] = replace(await fake.position(ETH), index=2, quantity=D(-1))

    with pytest.raises(BadSettings, match="ETHUSDT is in hedge mode"):
        await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())
    assert fake.called("set_one_way") == []


async def test_a_mode_that_can_not_be_switched_stops_the_desk(fake):
    account(fake, margin_mode="REGULAR_MARGIN")
    fake.failing["set_margin_mode"].append(ExchangeRefused(3_400_045, "not allowed"))

    with pytest.raises(BadSettings, match="margin mode is cross"):
        await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())


async def test_an_exchange_that_does_not_answer_is_no_fault_of_the_settings(fake):
    fake.failing["account_info"].append(Unreachable("no answer"))

    with pytest.raises(Unreachable):
        await open_venue(fake, SYMBOLS, Wanted(), fake.clock.now())


def test_a_key_info_is_read_as_bybit_means_it():
    info = KeyInfo("1", False, MAY, (), None)

    assert info.may_trade
    assert not info.may_withdraw
