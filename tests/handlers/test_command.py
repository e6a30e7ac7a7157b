"""Commands as data: names, arguments, and how words become them."""

import re
from decimal import Decimal
from typing import get_type_hints

import pytest

from engine.desk import Desk
from engine.errors import BadInput, Refused
from engine.people import Role
from handlers import COMMANDS
from handlers.command import Act, Command, Kind, find, kept, parse, parse_named
from handlers.reply import Reply
from tests.handlers.desks import BOT, BTC, ETH

D = Decimal


def named(name: str) -> Command:
    found = find(COMMANDS, name.split())
    assert found is not None
    return found[0]


def test_the_commands_stand_in_the_order_of_the_registry() -> None:
    groups = list(dict.fromkeys(command.group for command in COMMANDS))
    assert groups == [
        "system",
        "bots",
        "portfolio",
        "reports",
        "periods",
        "performance",
        "trade",
        "orders",
        "stops",
        "kill",
        "risk",
        "exchange",
        "proposals",
        "market",
        "data",
        "backtest",
        "technical",
        "strategy",
        "signals",
        "strategies",
        "sides",
        "tuning",
        "tuning_studies",
        "model",
        "alerts",
        "people",
        "audit",
    ]


def test_every_name_stands_once_and_can_be_typed() -> None:
    names = [command.name for command in COMMANDS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+( [a-z]+)?", name) for name in names)


def test_every_command_says_in_one_line_what_it_does_and_gives_an_example() -> None:
    for command in COMMANDS:
        assert 10 < len(command.summary) <= 90, command.name
        assert f"Example: /{command.name}" in command.help, command.name


def test_what_changes_something_needs_a_trader_or_an_admin() -> None:
    writing = {command.name: command.role for command in COMMANDS if command.kind is Kind.WRITE}
    # Their own session, account and phone are anybody's.
    own = {name: writing.pop(name) for name in ("link", "enroll", "unlock", "lock")}
    assert own == {
        "link": Role.NOBODY,
        "enroll": Role.VIEWER,
        "unlock": Role.VIEWER,
        "lock": Role.VIEWER,
    }
    assert writing == {
        "bot pause": Role.TRADER,
        "strategy off": Role.TRADER,
        "be": Role.TRADER,
        "cancel": Role.TRADER,
        "halt": Role.TRADER,
        "kill": Role.TRADER,
        "approve": Role.TRADER,
        "reject": Role.TRADER,
        "subscribe": Role.ADMIN,
        "unsubscribe": Role.ADMIN,
        "alert": Role.TRADER,
        "unalert": Role.TRADER,
        "schedule add": Role.TRADER,
        "schedule remove": Role.TRADER,
        "tune snapshot": Role.TRADER,
        "tune stop": Role.TRADER,
    }


def test_what_can_hurt_the_account_waits_for_a_human() -> None:
    waiting = {
        command.name: (command.role, command.kind)
        for command in COMMANDS
        if command.kind in (Kind.SENSITIVE, Kind.CRITICAL)
    }
    assert waiting == {
        "bot resume": (Role.TRADER, Kind.SENSITIVE),
        "bot add": (Role.TRADER, Kind.SENSITIVE),
        "bot remove": (Role.TRADER, Kind.SENSITIVE),
        "strategy on": (Role.TRADER, Kind.SENSITIVE),
        "side": (Role.TRADER, Kind.SENSITIVE),
        "buy": (Role.TRADER, Kind.SENSITIVE),
        "sell": (Role.TRADER, Kind.SENSITIVE),
        "close": (Role.TRADER, Kind.SENSITIVE),
        "stops": (Role.TRADER, Kind.SENSITIVE),
        "lift": (Role.TRADER, Kind.SENSITIVE),
        "breaker": (Role.TRADER, Kind.SENSITIVE),
        "cooldown": (Role.ADMIN, Kind.CRITICAL),
        "resume": (Role.ADMIN, Kind.CRITICAL),
        "discard": (Role.TRADER, Kind.SENSITIVE),
        "accept": (Role.TRADER, Kind.SENSITIVE),
        "sync run": (Role.TRADER, Kind.SENSITIVE),
        "arm": (Role.ADMIN, Kind.CRITICAL),
        "access": (Role.NOBODY, Kind.CRITICAL),
        "role": (Role.ADMIN, Kind.CRITICAL),
        "unenroll": (Role.ADMIN, Kind.CRITICAL),
        "tune set": (Role.TRADER, Kind.SENSITIVE),
        "strategy set": (Role.TRADER, Kind.SENSITIVE),
        "undo": (Role.TRADER, Kind.SENSITIVE),
        "tune resume": (Role.TRADER, Kind.SENSITIVE),
        "tune rollback": (Role.ADMIN, Kind.CRITICAL),
    }


def test_whatever_changes_something_only_asks_the_core_for_it() -> None:
    # With nothing to change, these show what could be.
    shows = {"stops", "tune set", "strategy set"}
    for command in COMMANDS:
        returned = get_type_hints(command.handler)["return"]
        if command.name in shows:
            assert returned == Reply | Act
        elif command.emergency:
            # It acts before anybody is asked.
            assert returned is Reply
        else:
            assert returned is (Reply if command.kind is Kind.READ else Act), command.name


def test_only_what_reduces_risk_acts_however_late_it_comes() -> None:
    always = {command.name for command in COMMANDS if command.always}
    assert always == {
        "bot pause",
        "strategy off",
        "halt",
        "kill",
        "cancel",
        "reject",
        "lock",
        "tune stop",
    }


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        ("buy", "btc 1.5k", {"symbol": BTC, "amount": D(1500)}),
        ("buy", "btc 100USDT 90000", {"symbol": BTC, "amount": D(100), "stop": D(90000)}),
        (
            "sell",
            f"ETH 2,500 {BOT} 4000 3000",
            {"symbol": ETH, "amount": D(2500), "bot": BOT, "stop": D(4000), "target": D(3000)},
        ),
        ("sell", "ETH 10 target=0.5", {"symbol": ETH, "amount": D(10), "target": D("0.5")}),
        ("close", "BTC half", {"symbol": BTC, "share": D("0.5")}),
        ("close", "BTC 25%", {"symbol": BTC, "share": D("0.25")}),
        ("close", f"BTC {BOT}", {"symbol": BTC, "bot": BOT}),
        ("close", "losers", {"symbol": "losers"}),
        ("close", f"ALL {BOT}", {"symbol": "all", "bot": BOT}),
        (
            "buy",
            "BTC 1k limit=90000 post 30m",
            {
                "symbol": BTC,
                "amount": D(1000),
                "limit": D(90000),
                "post": "post",
                "lasts": 1_800_000,
            },
        ),
        (
            "sell",
            "BTC 1k at=90000 lasts=never",
            {"symbol": BTC, "amount": D(1000), "at": D(90000), "lasts": 0},
        ),
        ("stops", "BTC 90000 120000", {"symbol": BTC, "stop": D(90000), "target": D(120000)}),
        (
            "stops",
            f"BTC bot={BOT} keep none",
            {"symbol": BTC, "bot": BOT, "stop": None, "target": D(0)},
        ),
        ("cancel", "ALL", {"order": "all"}),
        ("cancel", "btc", {"order": BTC}),
        ("approve", "17", {"proposal": 17}),
        ("approve", "#17 123 456", {"proposal": 17, "code": "123456"}),
        (
            "approve",
            "17 123456 APPROVE X",
            {"proposal": 17, "code": "123456", "phrase": "APPROVE X"},
        ),
        ("approve", "17 APPROVE X 123456", {"proposal": 17, "phrase": "APPROVE X 123456"}),
        ("unlock", "123456", {"code": "123456"}),
        ("unlock", "TOM", {"person": "tom"}),
        ("unlock", "telegram:8", {"person": "tom"}),
        ("role", "tom viewer", {"person": "tom", "role": "viewer"}),
        (
            "role",
            f"telegram:123 trader eve bot:{BOT} guild:5",
            {
                "person": "telegram:123",
                "role": "trader",
                "name": "eve",
                "scopes": f"bot:{BOT} guild:5",
            },
        ),
        ("role", "tom trader everywhere", {"person": "tom", "role": "trader", "scopes": ""}),
    ],
)
def test_amounts_shares_codes_and_people_are_read(
    desk: Desk, name: str, line: str, values: dict[str, object]
) -> None:
    assert parse(named(name), line.split(), desk) == values


@pytest.mark.parametrize(
    ("name", "line", "allowed"),
    [
        ("buy", "BTC nothing", "an amount of USDT, decimals with a point"),
        ("buy", "BTC -5", "an amount of USDT, decimals with a point"),
        ("buy", "BTC 0", "an amount of USDT, decimals with a point"),
        ("buy", "BTC nan", "an amount of USDT, decimals with a point"),
        ("buy", "BTC 1e30", "an amount of USDT, decimals with a point"),
        ("buy", "ETH 1,5k", "an amount of USDT, decimals with a point, as in 100, 1500 or 1.5k"),
        ("buy", "ETH 1,50", "an amount of USDT, decimals with a point"),
        ("buy", "ETH 1500,50", "an amount of USDT, decimals with a point"),
        ("buy", "ETH 100 stop=3,5", "a price above zero, decimals with a point"),
        ("buy", "BTC 100 stop=x", "a price above zero"),
        ("close", "BTC 101%", "half, all, or a percentage up to 100%"),
        ("close", "BTC 0%", "half, all, or a percentage up to 100%"),
        ("buy", "BTC 100 lasts=31d", "a time such as 30m, 12h or 7d, at most 30d, or never"),
        ("buy", "BTC 100 limit=60000 lasts=1x", "a time such as 30m, 12h or 7d, at most 30d"),
        ("buy", "BTC 100 post=maybe", "post: 'maybe' is not valid. Allowed: post."),
        ("stops", "BTC somewhere", "a price above zero"),
        ("cancel", "nothing", "all, a symbol, or an open order's id"),
        ("unlock", "12345", "the six digits"),
        ("role", "tom viewer bot:none", f"scopes: 'bot:none' is not valid. Allowed: bot:{BOT}"),
        ("approve", "x", "the number of a proposal; none is open"),
        ("approve", "0", "the number of a proposal; none is open"),
        ("buy", "BTC 1e-13", "an amount of USDT"),
        ("buy", "BTC 100 stop=1e-9999999999", "decimals with a point, at most 12 of them"),
        ("buy", "BTC 100 stop=0.1234567890123", "decimals with a point, at most 12 of them"),
        ("unenroll", "nobody", "There is nobody called that"),
        ("role", "somebody viewer", "telegram:NUMBER or discord:NUMBER, up to 9223372036854775807"),
        ("role", "telegram:9223372036854775808 viewer", "up to 9223372036854775807"),
        ("role", "tom king", "nobody, viewer, trader, admin"),
        ("role", "tom viewer scopes=planet:5", "bot:ID, chat:SURFACE:ID"),
        ("role", "tom viewer scopes=bot:none", BOT),
    ],
)
def test_what_is_no_amount_share_code_or_person_is_refused_with_what_is(
    desk: Desk, name: str, line: str, allowed: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(allowed)):
        parse(named(name), line.split(), desk)


def test_what_a_form_leaves_blank_is_not_given(desk: Desk) -> None:
    typed = {"proposal": "17", "phrase": "APPROVE X", "code": " "}
    assert parse_named(named("approve"), typed, desk) == {"proposal": 17, "phrase": "APPROVE X"}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/unlock 123456", "/unlock ***"),
        ("unlock nonsense", "/unlock ***"),
        ("/unlock", "/unlock"),
        ("/link ABCD-EFGH", "/link ***"),
        ("/enroll 12345", "/enroll ***"),
        ("/approve 17 APPROVE X 123456", "/approve ***"),
        ("/unlokc 123456", "/unlokc ***"),
        ("123 456", "***"),
        ("/buy BTC 100000", "/buy BTC 100000"),
        ("/status", "/status"),
        ("/unlokc 123-456", "/unlokc ***"),
        ("/resume 765432", "/resume ***"),
        ("/halt 765 432", "/halt ***"),
        ("/halt ７６５４３２.", "/halt ***."),
        ("/role tom admin 765432", "/role tom admin ***"),
        ("/role telegram:765432 viewer", "/role telegram:765432 viewer"),
        ("/role tom trader chat:telegram:-765432", "/role tom trader chat:telegram:-765432"),
        ("/preview unlock 765432", "/preview /unlock ***"),
        ("/preview 765432 unlock 1", "/preview *** /unlock ***"),
        ("/preview /link ABCD-EFGH", "/preview /link ***"),
        ("/preview command=link ABCD-EFGH", "/preview command=/link ***"),
        ("/help unlock 765432", "/help /unlock ***"),
        ("/help 765432", "/help ***"),
        ("/preview buy BTC 100000", "/preview buy BTC 100000"),
        ("/schedule add 08:00 unlock 765432", "/schedule add 08:00 /unlock ***"),
        ("/schedule add 08:00 pnl 7", "/schedule add 08:00 pnl 7"),
        ("/alert BTC above 765432", "/alert BTC above 765432"),
    ],
)
def test_a_line_that_may_hold_a_code_is_kept_without_it(line: str, shown: str) -> None:
    assert kept(COMMANDS, line) == shown


@pytest.mark.parametrize(
    ("line", "name", "rest"),
    [
        ("status", "status", []),
        ("STATUS", "status", []),
        ("bot pause x", "bot pause", ["x"]),
        ("chart BTC 1h", "chart", ["BTC", "1h"]),
    ],
)
def test_the_longest_name_is_found(line: str, name: str, rest: list[str]) -> None:
    found = find(COMMANDS, line.split())
    assert found is not None
    assert (found[0].name, found[1]) == (name, rest)


def test_half_a_name_is_no_command() -> None:
    assert find(COMMANDS, ["bot"]) is None


@pytest.mark.parametrize(
    ("name", "line", "values"),
    [
        ("chart", "", {}),
        ("chart", "btc 15m", {"symbol": "BTCUSDT", "timeframe": "15m"}),
        ("chart", "BTC/USDT", {"symbol": "BTCUSDT"}),
        ("chart", "timeframe=1H ethusdt", {"symbol": "ETHUSDT", "timeframe": "1h"}),
        ("chart", "timeframe=1h", {"timeframe": "1h"}),
        ("trades", "50", {"limit": 50}),
        ("pnl", "days=7", {"days": 7}),
        ("bot pause", "SHORTSELLER_001", {"bot": BOT}),
        ("help", "bot pause", {"command": "bot pause"}),
    ],
)
def test_words_become_arguments_in_order_or_by_name(
    desk: Desk, name: str, line: str, values: dict[str, object]
) -> None:
    assert parse(named(name), line.split(), desk) == values


@pytest.mark.parametrize(
    ("name", "line", "allowed"),
    [
        ("chart", "XYZ", "BTCUSDT, ETHUSDT"),
        ("chart", "BTC 7m", "5m, 15m, 30m, 1h"),
        ("chart", "BTC 1m", "5m, 15m, 30m, 1h"),
        ("chart", "BTC 1h more", "nothing more. Usage: /chart [symbol] [timeframe]"),
        ("chart", "symbol=BTC symbol=ETH", "one value"),
        ("status", "now", "nothing more. Usage: /status"),
        ("trades", "51", "a whole number from 1 to 50"),
        ("trades", "0", "a whole number from 1 to 50"),
        ("trades", "ten", "a whole number from 1 to 50"),
        ("pnl", "1.5", "a whole number from 1 to 3650"),
        ("bot pause", "longbuyer", BOT),
    ],
)
def test_what_is_not_allowed_is_refused_with_what_is(
    desk: Desk, name: str, line: str, allowed: str
) -> None:
    with pytest.raises(BadInput, match=re.escape(allowed)):
        parse(named(name), line.split(), desk)


def test_a_missing_argument_is_named_with_its_values(desk: Desk) -> None:
    with pytest.raises(Refused, match=f"bot is missing: {BOT}. Usage: /bot pause <bot>"):
        parse(named("bot pause"), [], desk)
