"""The desk itself: status, health, help and the way in."""

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from engine.desk import Desk
from engine.errors import Unreachable
from engine.event import DeskHalted
from engine.people import Role
from engine.store.memory import MemoryStore
from handlers.reply import Button, Duration, Money, Multiple, Table, Text, Time, Value
from handlers.system import DATABASE_SLOW_MS, candle_age
from tests.clock import FakeClock, turn
from tests.handlers.desks import (
    BAR,
    BOT,
    BTC,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    rows,
    say,
    table,
)


async def test_status_is_one_card_with_everything_at_a_glance(desk: Desk) -> None:
    answer = await say(desk, "/status")
    view = desk.view()
    card = fields(answer)
    assert card == {
        "mode": "paper",
        "market": "scripted market",
        "market_time": Time(view.market_time),
        "speed": Multiple(60.0),
        "candles": 1544,
        "bots": 1,
        "open_positions": 1,
        "equity": Money(view.accounts[0].equity),
        "unrealized": Money(view.accounts[0].unrealized, signed=True),
        "net": Money(view.accounts[0].ledger.net, signed=True),
        "trades": 1,
        "behind_the_clock": Duration(30_000),
    }
    assert rows(table(answer, "Bots"))[0]["bot"] == BOT
    assert Button("Positions", "/positions") in answer.buttons


async def test_status_says_first_when_the_desk_is_halted(desk: Desk) -> None:
    await desk.runtime._take(DeskHalted("positions are not the sum of the fills", 1))
    card = fields(await say(desk, "/status"))
    assert next(iter(card.items())) == ("halted", "positions are not the sum of the fills")


async def test_status_before_the_first_candle_has_no_times(empty_desk: Desk) -> None:
    card = fields(await say(empty_desk, "/status"))
    assert card["market_time"] is None
    assert "behind_the_clock" not in card


async def test_the_age_of_a_replayed_candle_is_nobodys_business(open_desk: OpenDesk) -> None:
    bars = {BTC: course(100_000.0, [(10, 5.0)])}
    desk = await open_desk(ScriptedMarket(bars, name="replay1234"))
    assert candle_age(desk, desk.view()) is None


async def test_a_market_as_fast_as_it_goes_says_so(open_desk: OpenDesk) -> None:
    market = ScriptedMarket({BTC: course(100_000.0, [(10, 5.0)])})
    market.speed = 0
    assert fields(await say(await open_desk(market), "/status"))["speed"] == "as fast as it goes"


# -- health ------------------------------------------------------------------------------


async def states(desk: Desk) -> Mapping[Value, Value]:
    return {row["part"]: row["state"] for row in rows(table(await say(desk, "/health"), "Health"))}


async def test_a_well_desk_is_all_green(desk: Desk) -> None:
    answer = await say(desk, "/health")
    assert answer.blocks[0] == Text("All green.")
    assert set((await states(desk)).values()) == {"green"}
    process = fields(answer, "Process")
    assert process["epoch"] == 1


@pytest.mark.parametrize(
    ("bars_late", "state"), [(0, "green"), (1.9, "green"), (2.5, "yellow"), (6, "red")]
)
async def test_a_late_candle_makes_the_feed_yellow_then_red(
    desk: Desk, bars_late: float, state: str
) -> None:
    assert isinstance(desk.clock, FakeClock)
    desk.clock.ms = desk.view().market_time + bars_late * BAR
    assert (await states(desk))["market feed"] == state


async def test_a_desk_without_candles_is_yellow(empty_desk: Desk) -> None:
    assert (await states(empty_desk))["market feed"] == "yellow"


async def test_a_market_that_ended_or_is_replayed_is_not_late(open_desk: OpenDesk) -> None:
    bars = {BTC: course(100_000.0, [(10, 5.0)])}
    replayed = await open_desk(ScriptedMarket(bars, name="replay1234"))
    ending = ScriptedMarket(bars)
    ending.ends = True
    ended = await open_desk(ending)
    for desk in (replayed, ended):
        assert isinstance(desk.clock, FakeClock)
        desk.clock.advance(1_000_000)
        await turn()
        assert (await states(desk))["market feed"] == "green"


async def test_a_halted_desk_is_red_and_says_why(desk: Desk) -> None:
    await desk.runtime._take(DeskHalted("someone must look", 1))
    answer = await say(desk, "/health")
    assert answer.blocks[0] == Text("Red: look at trading.")
    assert ("trading", "red", "halted: someone must look") in table(answer, "Health").rows


class SickStore(MemoryStore):
    """Answers a read late, or not at all."""

    def __init__(self, clock: FakeClock, takes_s: float | None) -> None:
        super().__init__()
        self._clock = clock
        self._takes_s = takes_s

    async def last_audit(self) -> None:
        if self._takes_s is None:
            raise Unreachable("connection refused")
        self._clock.advance(self._takes_s)


@pytest.mark.parametrize(
    ("takes_s", "state"), [(None, "red"), (DATABASE_SLOW_MS / 1000 + 0.1, "yellow")]
)
async def test_a_database_that_is_slow_or_away_shows(
    desk: Desk, takes_s: float | None, state: str
) -> None:
    assert isinstance(desk.clock, FakeClock)
    sick = replace(desk, store=SickStore(desk.clock, takes_s))
    assert (await states(sick))["database"] == state


# -- waiting, help, and the rest ---------------------------------------------------------


async def test_wait_says_how_many_candles_were_taken_and_until_when(desk: Desk) -> None:
    answer = await say(desk, "/wait")
    assert fields(answer) == {"candles": 1544, "market_time": Time(desk.view().market_time)}


async def test_help_lists_only_what_the_asker_may_run(desk: Desk) -> None:
    async def names(role: Role) -> set[str]:
        words = " ".join(map(str, fields(await say(desk, "/help", role)).values()))
        return {name.strip() for name in re.split(r"[⚪🟢🟡🔴]/", words) if name}

    viewer, trader = await names(Role.VIEWER), await names(Role.TRADER)
    assert trader - viewer == {
        "bot pause", "bot resume", "bot add", "bot remove", "strategy off", "strategy on", "side",
        "backtest", "backtest cancel", "alert", "unalert", "schedule add", "schedule remove",
        "buy", "sell", "close", "halt", "approve", "reject", "kill", "stops", "be", "cancel",
        "lift", "breaker", "discard", "accept", "sync run", "strategy set", "undo", "tune set",
        "suggest", "tune snapshot", "tune run", "tune cancel", "tune check", "tune stop",
        "tune resume",
    }  # fmt: skip
    assert {"pnl", "strategy show"} <= viewer


@pytest.mark.parametrize(
    ("about", "usage", "light"),
    [
        ("desk", "/status", "⚪"),
        ("orders", "/halt [reason]", "🟢"),
        ("bots", "/bot resume <bot>", "🟡"),
        ("Orders", "/resume", "🔴"),
    ],
)
async def test_help_on_a_group_shows_by_a_color_what_a_command_takes(
    desk: Desk, about: str, usage: str, light: str
) -> None:
    answer = await say(desk, f"/help {about}")
    told = {row[0]: row[1] for b in answer.blocks if isinstance(b, Table) for row in b.rows}
    assert str(told[usage]).startswith(f"{light} ")


async def test_a_group_that_is_named_like_a_command_gives_way_to_a_slash(desk: Desk) -> None:
    assert fields(await say(desk, "/help /orders"))["usage"] == "/orders [limit]"


@pytest.mark.parametrize(
    ("role", "before", "after"),
    [
        (Role.VIEWER, None, None),
        (Role.TRADER, Button("Halt", "/halt"), None),
        (Role.ADMIN, Button("Halt", "/halt"), Button("Resume", "/resume")),
    ],
)
async def test_the_switch_is_offered_to_whoever_may_use_it(
    desk: Desk, role: Role, before: Button | None, after: Button | None
) -> None:
    assert (await say(desk, "/status", role)).buttons[3:] == ((before,) if before else ())
    await say(desk, "/halt")
    assert (await say(desk, "/status", role)).buttons[3:] == ((after,) if after else ())


async def test_the_settings_in_force_are_shown_to_admins_by_section(desk: Desk) -> None:
    bots = [{"id": BOT, "capital": "10000"}]
    told = replace(desk, settings={"approvals": {"required": "1"}, "bots": bots, "people": []})
    answer = await say(told, "/settings")
    assert fields(answer, "approvals") == {"required": "1"}
    # An id is a value: names of fields are shown in words.
    assert rows(table(answer, "bots")) == [{"id": BOT, "capital": "10000"}]
    assert table(answer, "people").rows == ()
    assert (await say(told, "/settings", Role.TRADER)).error == "/settings needs the role admin."


async def test_help_on_a_command_gives_usage_arguments_and_allowed_values(desk: Desk) -> None:
    answer = await say(desk, "/help chart")
    assert fields(answer) == {
        "usage": "/chart [symbol] [timeframe]",
        "role": "viewer",
        "kind": "read",
    }
    arguments = rows(table(answer, "Arguments"))
    assert arguments[0]["allowed"] == "BTCUSDT, ETHUSDT"
    assert arguments[0]["needed"] == "no"
    assert "1h" in str(arguments[1]["allowed"])


async def test_help_says_what_leaving_out_means_where_the_default_does_not(desk: Desk) -> None:
    side, lasts = rows(table(await say(desk, "/help side"), "Arguments"))
    assert (side["default"], lasts["default"]) == (None, "for good")


async def test_help_knows_names_of_two_words_and_the_slash(desk: Desk) -> None:
    assert fields(await say(desk, "/help /bot pause"))["kind"] == "write"


@pytest.mark.parametrize(
    ("line", "role", "part"),
    [
        ("/help nothing", Role.ADMIN, "Allowed: start, menu, help"),
        ("/help bot", Role.ADMIN, "Allowed: bot list, bot pause, bot resume, bot add, bot remove."),
        ("/help bot pause", Role.VIEWER, "/bot pause needs the role trader."),
    ],
)
async def test_help_on_what_cannot_be_run_says_so(
    desk: Desk, line: str, role: Role, part: str
) -> None:
    assert part in str((await say(desk, line, role)).error)


async def test_start_says_what_this_is_and_that_no_money_is_real(desk: Desk) -> None:
    answer = await say(desk, "/start")
    text = " ".join(block.text for block in answer.blocks if isinstance(block, Text))
    assert "No money is real" in text
    assert BTC in text
    assert "/status" in text
    assert "MARKET=bybit" in text


async def test_start_on_real_prices_does_not_offer_them(open_desk: OpenDesk) -> None:
    market = ScriptedMarket({BTC: course(100_000.0, [(10, 5.0)])}, name="bybit")
    answer = await say(await open_desk(market), "/start")
    assert "MARKET=" not in str(answer.blocks)


@pytest.mark.parametrize(
    ("role", "in_chat", "offered"),
    [
        (Role.ADMIN, True, {"Subscribe", "Daily report"}),
        (Role.TRADER, True, {"Daily report"}),
        (Role.VIEWER, True, set()),
        (Role.ADMIN, False, set()),
    ],
)
async def test_start_offers_in_a_chat_what_the_asker_may_set_up(
    desk: Desk, role: Role, in_chat: bool, offered: set[str]
) -> None:
    answer = await say(desk, "/start", role, in_chat)
    labels = {button.label for button in answer.buttons}
    assert labels - {"Status", "Positions", "P&L", "Trades"} == offered
    for button in answer.buttons[4:]:
        assert button.command in str(answer.blocks)
        assert (await say(desk, button.command, role, in_chat)).ok


async def test_every_button_of_the_menu_is_a_command_that_works(desk: Desk) -> None:
    menu = await say(desk, "/menu")
    assert len(menu.buttons) >= 8
    for button in menu.buttons:
        assert (await say(desk, button.command)).ok, button


async def test_version_and_whoami_tell_who_is_talking_to_what(desk: Desk) -> None:
    version = fields(await say(desk, "/version"))
    assert version["version"] == "1.2.3"
    assert version["uptime"] == Duration(0)
    who = fields(await say(desk, "/whoami", Role.VIEWER))
    assert who == {"id": "ann", "role": "viewer", "surface": "console"}
