"""What is said of an account at the exchange: whether the books agree, and the ways to mend it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.effect import ReadHistory, WithdrawThere
from engine.event import ExchangeLink, HistoryRead, Unreadable
from engine.order import Side
from engine.people import Role
from engine.proposal import shown_of
from engine.survey import HeldThere, RestingThere
from handlers.exchange import CHANGING, MODES, ON_PAPER
from handlers.reply import Button, Reply
from tests.handlers.desks import (
    BOT,
    BTC,
    fields,
    propose,
    rows,
    say,
    table,
    text,
)
from tests.handlers.watched import NOW, UID, Watched, open_watched

OTHER_UID = "40775678"
BOT_2 = "shortseller_002"
STRAY = RestingThere("stray-1", "", BTC, Side.SELL, Decimal(1), price=Decimal(4_000))
CHECK = Button("Check now", "/reconcile now")


@pytest.fixture
async def watched() -> AsyncIterator[tuple[Desk, Watched]]:
    async with open_watched() as found:
        yield found


def put(exchange: Watched, **changes: Any) -> None:
    """Have an account hold something else from now on."""
    account = next(iter(exchange.there))
    exchange.there[account] = replace(exchange.there[account], **changes)


async def account_of(desk: Desk) -> object:
    """What /mode says of the bot's account."""
    [row] = rows(table(await say(desk, "/mode"), "Accounts"))
    assert row["bot"] == BOT
    return row["account"]


def commands(answer: Reply) -> list[str]:
    return [button.command for button in answer.buttons]


async def approve(desk: Desk, line: str, role: Role = Role.ADMIN) -> None:
    asked = await propose(desk, line)
    phrase = f" {asked.phrase}" if asked.phrase else ""
    done = await say(desk, f"/approve {asked.proposal_id}{phrase}", role)
    assert done.ok, done.error


# -- on paper ----------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["/reconcile", "/reconcile now", "/sync status"])
async def test_on_paper_there_is_nothing_to_agree_with(young_desk: Desk, line: str) -> None:
    assert text(await say(young_desk, line, Role.VIEWER)) == ON_PAPER


@pytest.mark.parametrize("line", ["/discard BTC", "/accept BTC", "/sync run 7", "/arm"])
async def test_on_paper_there_is_nothing_to_mend(young_desk: Desk, line: str) -> None:
    assert (await say(young_desk, line)).error == ON_PAPER


async def test_the_mode_says_where_orders_go_and_how_that_is_changed(young_desk: Desk) -> None:
    answer = await say(young_desk, "/mode", Role.VIEWER)
    assert text(answer) == f"{MODES['paper']}\n{CHANGING}"
    assert fields(answer) == {"mode": "paper", "market": "scripted market"}


# -- whether they agree ------------------------------------------------------------------


async def test_books_that_agree_say_so(watched: tuple[Desk, Watched]) -> None:
    desk, _ = watched
    answer = await say(desk, "/reconcile now", Role.VIEWER)
    [account] = rows(table(answer, "Books and exchange"))
    assert account["bot"] == BOT
    assert account["account"] == "..1234"
    assert account["link"] == "up"
    assert (account["positions"], account["orders"]) == (0, 0)
    assert table(answer, "What differs").empty == "Nothing differs."
    assert rows(table(answer, "What differs")) == []
    assert answer.buttons == (CHECK,)


async def test_before_anything_was_compared_nobody_says_that_nothing_differs(
    watched: tuple[Desk, Watched],
) -> None:
    desk, exchange = watched
    desk.runtime._core.accounts()[next(iter(exchange.there))].survey = None
    answer = await say(desk, "/reconcile")
    assert table(answer, "What differs").empty == "Nothing was compared yet."


async def test_of_several_bots_those_not_compared_yet_are_named() -> None:
    async with open_watched("demo", (BOT, BOT_2)) as (desk, exchange):
        desk.runtime._core.accounts()[list(exchange.there)[1]].survey = None
        answer = await say(desk, "/reconcile")
        empty = f"Nothing differs; not compared yet: {BOT_2}."
        assert table(answer, "What differs").empty == empty


async def test_the_board_of_risk_says_first_what_stands_before_any_limit(
    watched: tuple[Desk, Watched],
) -> None:
    desk, exchange = watched
    unarmed = "nobody has let the desk trade this account's real money yet: /arm"
    assert f"{BOT}: nothing is opened ({unarmed})." in text(await say(desk, "/risk"))
    await approve(desk, "/arm")
    assert f"{BOT}: entries are open." in text(await say(desk, "/risk"))
    account = next(iter(exchange.there))
    exchange.tell(Unreadable(account, BTC, "an execution of a new kind", NOW))
    await desk.survey()
    assert f"{BOT}: entries are open, but for {BTC}." in text(await say(desk, "/risk"))
    exchange.tell(ExchangeLink(account, "the stream is down", NOW))
    await desk.survey()
    shut = "the exchange can't be heard: the stream is down"
    assert f"{BOT}: nothing is opened ({shut})." in text(await say(desk, "/risk"))
    await say(desk, "/halt")
    await say(desk, f"/bot pause {BOT}")
    against = f"the desk is halted; the bot is paused; {shut}"
    assert f"{BOT}: nothing is opened ({against})." in text(await say(desk, "/risk"))


async def test_what_differs_is_shown_with_the_ways_to_mend_it(
    watched: tuple[Desk, Watched],
) -> None:
    desk, exchange = watched
    held = HeldThere(BTC, Decimal("0.5"))
    put(exchange, positions=(held,), orders=(STRAY,), foreign=("XRPUSDT: 10 long",))
    answer = await say(desk, "/reconcile now")
    found = [row["what"] for row in rows(table(answer, "What differs"))]
    assert found == [
        "the books hold nothing, the exchange 0.5 long",
        "an order that is not the desk's (Sell 1 BTCUSDT)",
    ]
    assert "Also in the account, in symbols that no bot trades: XRPUSDT: 10 long." in text(answer)
    assert commands(answer) == [
        "/reconcile now",
        f"/sync run 7 {BOT}",
        f"/discard BTCUSDT {BOT}",
    ]
    # Looking again without asking shows the same.
    assert rows(table(await say(desk, "/reconcile"), "What differs")) != []


async def test_an_exchange_that_can_not_be_asked_is_told(watched: tuple[Desk, Watched]) -> None:
    desk, exchange = watched
    exchange.down = "Bybit does not answer"
    answer = await say(desk, "/reconcile now")
    assert answer.error == "That did not work: Bybit does not answer"


async def test_a_lost_link_shows_where_entries_stand(watched: tuple[Desk, Watched]) -> None:
    desk, exchange = watched
    exchange.tell(ExchangeLink(next(iter(exchange.there)), "the stream is down", NOW))
    await desk.survey()
    [account] = rows(table(await say(desk, "/reconcile"), "Books and exchange"))
    assert account["link"] == "the stream is down"
    assert account["entries"] == "shut: the exchange can't be heard: the stream is down"
    status = fields(await say(desk, "/status"))
    assert status["exchange"] == f"{BOT}: the exchange can't be heard: the stream is down"
    parts = {row["part"]: row["state"] for row in rows(table(await say(desk, "/health"), "Health"))}
    assert parts[f"exchange {BOT}"] == "red"


# -- mending -----------------------------------------------------------------------------


async def test_orders_that_nobody_knows_are_withdrawn_by_their_own_ids(
    watched: tuple[Desk, Watched],
) -> None:
    desk, exchange = watched
    put(exchange, orders=(STRAY, replace(STRAY, order_id="stray-2")))
    await desk.survey()
    await approve(desk, "/discard BTC")
    [told] = exchange.told
    assert isinstance(told, WithdrawThere)
    assert (told.symbol, told.order_ids) == (BTC, ("stray-1", "stray-2"))


async def test_there_is_nothing_to_withdraw_where_the_books_know_all(
    watched: tuple[Desk, Watched],
) -> None:
    answer = await say(watched[0], "/discard BTC")
    assert answer.error == (
        "No order rests in BTCUSDT that the books do not know. /reconcile now looks."
    )


async def test_what_was_looked_at_lets_the_bot_go_on(watched: tuple[Desk, Watched]) -> None:
    desk, exchange = watched
    exchange.tell(Unreadable(next(iter(exchange.there)), BTC, "an execution of a new kind", NOW))
    await desk.survey()
    answer = await say(desk, "/reconcile")
    [waiting] = rows(table(answer, "To be looked at"))
    assert (waiting["bot"], waiting["symbol"]) == (BOT, BTC)
    assert "an execution of a new kind" in str(waiting["what"])
    assert f"/accept BTCUSDT {BOT}" in commands(answer)
    await approve(desk, f"/accept BTCUSDT {BOT}")
    assert "/accept" not in " ".join(commands(await say(desk, "/reconcile")))


async def test_history_is_read_and_followed(watched: tuple[Desk, Watched]) -> None:
    desk, exchange = watched
    [never] = rows(table(await say(desk, "/sync status"), "History"))
    assert (never["history"], never["found"]) == ("never read", None)
    await approve(desk, "/sync run 30")
    [told] = exchange.told
    assert isinstance(told, ReadHistory)
    assert told.since == told.until - 30 * DAY_MS
    [reading] = rows(table(await say(desk, "/sync status"), "History"))
    assert reading["history"] == "being read"
    exchange.tell(HistoryRead(told.account, told.until, told.until, 3, NOW))
    await desk.survey()
    [read] = rows(table(await say(desk, "/sync status"), "History"))
    assert (read["history"], read["found"]) == ("read", 3)


@pytest.mark.parametrize("days", ["0", "91", "many"])
async def test_history_has_its_bounds(watched: tuple[Desk, Watched], days: str) -> None:
    answer = await say(watched[0], f"/sync run days={days}")
    assert answer.error is not None
    assert "a whole number from 1 to 90" in answer.error


async def test_with_several_bots_one_has_to_be_named() -> None:
    async with open_watched("demo", (BOT, BOT_2)) as (desk, exchange):
        answer = await say(desk, "/sync run 7")
        assert answer.error == f"bot is missing: {BOT}, {BOT_2}. Say which, as in bot={BOT}."
        await approve(desk, f"/sync run 7 {BOT_2}")
        [told] = exchange.told
        assert isinstance(told, ReadHistory)
        assert told.account == f"demo-bybit-{BOT_2}"


# -- bots --------------------------------------------------------------------------------


async def test_a_bot_is_added_on_symbols_that_nobody_trades_with_its_key() -> None:
    keys = {BOT: "BYBIT_API_KEY", "momentum_001": "BYBIT_API_KEY", "rsi_001": "RSI_BYBIT_API_KEY"}
    async with open_watched("demo", key_of=lambda bot_id: keys.get(bot_id, "")) as (desk, _):
        answer = await say(desk, "/bot add momentum BTC")
        assert answer.error == (
            f"{BOT} trades BTCUSDT with the same API key (BYBIT_API_KEY), and an account has one "
            "position a symbol. Choose other symbols, or set a key of another subaccount for "
            "momentum_001 and put it into countersign.toml."
        )
        assert (await say(desk, "/bot add momentum ETH")).ok
        # Another account has a position of its own in every symbol.
        assert (await say(desk, "/bot add rsi BTC")).ok


async def test_a_bot_without_an_open_key_is_not_added() -> None:
    async with open_watched("demo", key_of=lambda bot_id: "") as (desk, _):
        answer = await say(desk, "/bot add momentum ETH")
        assert answer.error is not None
        assert answer.error.startswith("No API key is open for momentum_001")


# -- real money --------------------------------------------------------------------------


async def test_a_live_account_is_armed_once_with_a_phrase_that_names_it(
    watched: tuple[Desk, Watched],
) -> None:
    desk, _ = watched
    assert await account_of(desk) == "..1234, watched only until an admin says /arm"
    asked = await propose(desk, "/arm")
    assert "LIVE 1234" in asked.phrase
    assert "No hard cap in USDT is set" in shown_of(asked).risk
    # Without the phrase nothing happens, and a trader can't ask for it.
    assert not (await say(desk, f"/approve {asked.proposal_id}")).ok
    assert "needs the role admin" in str((await say(desk, "/arm", Role.TRADER)).error)
    done = await say(desk, f"/approve {asked.proposal_id} {asked.phrase}")
    assert done.ok, done.error
    assert await account_of(desk) == "..1234, traded"
    again = await say(desk, "/arm")
    assert again.error == "The desk may trade every account already."


async def test_of_several_accounts_one_is_armed_by_its_number() -> None:
    async with open_watched("live", (BOT, BOT_2)) as (desk, exchange):
        second = exchange.there[f"live-bybit-{BOT_2}"]
        exchange.there[f"live-bybit-{BOT_2}"] = replace(second, uid=OTHER_UID)
        await desk.survey()
        answer = await say(desk, "/arm")
        assert answer.error == (
            f"account is missing: {UID}, {OTHER_UID}. Say which, as in /arm {UID}."
        )
        assert "is not valid" in str((await say(desk, "/arm 4077")).error)
        await approve(desk, "/arm 5678")
        armed = [each.exchange.armed for each in desk.view().accounts if each.exchange]
        assert armed == [False, True]


async def test_demo_money_needs_no_arming() -> None:
    async with open_watched("demo") as (desk, _):
        assert (await say(desk, "/arm")).error == f"{MODES['demo']} Nothing has to be armed."
        assert await account_of(desk) == "..1234"


async def test_the_badge_names_the_accounts(watched: tuple[Desk, Watched]) -> None:
    desk = replace(watched[0], uids=(UID, OTHER_UID))
    answer = await say(desk, "/mode")
    assert answer.badge is not None
    assert answer.badge.startswith("LIVE - scripted market")
    assert answer.badge.endswith(" - account ..1234, ..5678")
