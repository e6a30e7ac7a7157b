"""The emergency stop as a command: what it shows, and that nothing slows it down."""

from dataclasses import replace

import pytest

from engine.desk import Desk
from engine.killing import Latch, Scope
from engine.pace import Paces
from engine.people import Role
from handlers.dispatch import RATES
from tests.handlers.desks import BOT, rows, say, table, text
from tests.switches import ScriptedSwitch


def pulled(desk: Desk) -> list[tuple[Scope, str]]:
    assert isinstance(desk.switch, ScriptedSwitch)
    return desk.switch.pulled


async def test_alone_it_shows_what_is_open_and_stops_nothing(desk: Desk) -> None:
    answer = await say(desk, "/kill", Role.TRADER)
    [row] = rows(table(answer, "Open now"))
    assert (row["bot"], row["symbol"]) == (BOT, "BTCUSDT")
    assert str(row["what"]).endswith(" short")
    assert [button.command for button in answer.buttons] == [
        "/kill stop",
        "/kill cancel",
        "/kill flatten",
    ]
    assert pulled(desk) == []


async def test_orders_that_are_open_are_shown(desk: Desk) -> None:
    assert (await say(desk, "/sell ETH 1k", Role.TRADER, in_chat=True)).ok
    assert (await say(desk, "/approve 1", Role.TRADER, in_chat=True)).ok
    found = rows(table(await say(desk, "/kill", Role.TRADER), "Open now"))
    assert [row["symbol"] for row in found] == ["BTCUSDT", "ETHUSDT"]
    assert str(found[1]["what"]).startswith("order to sell ")


async def test_a_desk_with_nothing_open_says_so(empty_desk: Desk) -> None:
    answer = await say(empty_desk, "/kill", Role.TRADER)
    assert table(answer, "Open now").empty == "Nothing is open."


async def test_a_latch_that_is_set_is_named(desk: Desk) -> None:
    assert isinstance(desk.switch, ScriptedSwitch)
    desk.switch.latch = Latch(Scope.STOP, "ann", 1_735_689_600_000)
    answer = await say(desk, "/kill", Role.TRADER)
    assert "by ann at 2025-01-01 00:00 UTC" in text(answer)


@pytest.mark.parametrize(
    ("line", "scope", "further"),
    [
        ("/kill stop", Scope.STOP, ["/kill cancel", "/kill flatten", "/status"]),
        ("/kill cancel", Scope.CANCEL, ["/kill flatten", "/status"]),
        ("/kill flatten", Scope.FLATTEN, ["/status"]),
        ("kill flatten", Scope.FLATTEN, ["/status"]),
        ("KILL Flatten", Scope.FLATTEN, ["/status"]),
        ("/kill! flatten", Scope.FLATTEN, ["/status"]),
    ],
)
async def test_with_a_scope_it_acts_at_once(
    desk: Desk, line: str, scope: Scope, further: list[str]
) -> None:
    answer = await say(desk, line, Role.TRADER, in_chat=True)
    assert pulled(desk) == [(scope, "tom")]
    assert text(answer) == f"Pulled: {scope}."
    assert [button.command for button in answer.buttons] == further


@pytest.mark.parametrize("line", ["/preview kill flatten", "/preview /kill! flatten"])
async def test_a_preview_of_it_stops_nothing(desk: Desk, line: str) -> None:
    answer = await say(desk, line, Role.TRADER)
    assert "acts at once" in text(answer)
    assert "Nothing was changed" in text(answer)
    assert pulled(desk) == []


async def test_no_schedule_pulls_it(desk: Desk) -> None:
    answer = await say(desk, "/schedule add 08:00 kill flatten", Role.TRADER, in_chat=True)
    assert not answer.ok


async def test_another_scope_is_refused_with_those_there_are(desk: Desk) -> None:
    answer = await say(desk, "/kill everything", Role.TRADER)
    assert answer.error == "scope: 'everything' is not valid. Allowed: stop, cancel, flatten."
    assert pulled(desk) == []


async def test_nobody_who_may_trade_is_ever_too_fast(desk: Desk) -> None:
    paced = replace(desk, rates=Paces(desk.clock, dict.fromkeys(RATES, (1, 60.0))))
    for _ in range(100):
        assert (await say(paced, "/kill stop", Role.TRADER, in_chat=True)).ok
    assert len(pulled(paced)) == 100


async def test_whoever_may_only_look_is_refused_and_paced(desk: Desk) -> None:
    paced = replace(desk, rates=Paces(desk.clock, dict.fromkeys(RATES, (1, 60.0))))
    answers = [await say(paced, "/kill stop", Role.VIEWER, in_chat=True) for _ in range(2)]
    assert answers[0].error == "/kill needs the role trader."
    assert "Slow down" in (answers[1].error or "")
    assert pulled(desk) == []


async def test_a_desk_that_takes_no_commands_any_more_takes_this_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.runtime.NOTES_MAX", 0)
    assert "busy" in ((await say(desk, "/halt", Role.TRADER)).error or "")
    assert (await say(desk, "/kill stop", Role.TRADER)).ok
