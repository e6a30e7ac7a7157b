"""The board of risk layers, the locks, and the commands that open again what they shut."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.desk import Desk
from engine.drafts import instruction_of
from engine.effect import Notice, NoticeKind
from engine.instruction import ClearCooldown, LiftLocks, ResetBreaker
from engine.limits import USUAL_LIMITS, Caps, Limits, Span, Step
from engine.memory import Policy
from engine.people import Role
from engine.runtime import Runtime
from engine.standing import Lock, Tally
from handlers.notices import notice_reply
from handlers.reply import Button, Quantity, Time, Word
from tests.handlers.desks import (
    BOT,
    BTC,
    ETH,
    FALLING_TWICE,
    SECRET,
    ScriptedMarket,
    build,
    course,
    propose,
    quiet,
    rows,
    say,
    table,
    text,
)

OTHER = "other_002"
HOUR = 3_600_000
CAPS = Caps(gross_exposure=Decimal(50_000), orders_a_minute=60)


async def opened(limits: Limits, *bot_ids: str) -> tuple[Runtime, Desk]:
    bars = course(100_000.0, FALLING_TWICE)
    market = ScriptedMarket({BTC: bars, ETH: quiet(len(bars))})
    policy = Policy(SECRET, Decimal(0), limits=limits, caps=CAPS)
    return await build(market, policy=policy, bot_ids=bot_ids)


@pytest.fixture
async def limited() -> AsyncIterator[Desk]:
    """A desk of two bots under the usual limits, each with an open short of BTC."""
    runtime, desk = await opened(USUAL_LIMITS, BOT, OTHER)
    running = asyncio.ensure_future(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await running


def tally(desk: Desk, bot_id: str = BOT) -> Tally:
    """What the limits of a bot remember, to be changed."""
    return desk.runtime._core.accounts()[f"paper-sim42-{bot_id}"].tally


def stop(desk: Desk, span: Span, step: Step, bot_id: str = BOT) -> None:
    windows = tally(desk, bot_id).windows
    windows[span] = replace(windows[span], step=step)


def until(desk: Desk, ms: int) -> int:
    return desk.view().market_time + ms


async def test_the_board_shows_every_layer_with_its_numbers(limited: Desk) -> None:
    answer = await say(limited, f"/risk {BOT}", Role.VIEWER)
    assert text(answer) == f"{BOT}: entries are open."
    layers = {row["layer"]: row for row in rows(table(answer, f"Limits of {BOT}"))}
    assert list(layers) == [
        "daily loss",
        "weekly loss",
        "monthly loss",
        "drawdown",
        "loss streak",
        "stop-loss guard",
        "circuit breaker",
        "one-way exposure",
        "portfolio risk",
        "positions of the bot",
    ]
    assert {row["state"] for row in layers.values()} == {"free"}
    assert str(layers["daily loss"]["detail"]).endswith("; -2% halves sizes, -3% stops entries")
    assert layers["positions of the bot"]["detail"] == "1 of 5 open"
    assert layers["one-way exposure"]["detail"] == (
        "0% long, 100% short; at most 70% one way, from 3 positions on"
    )
    caps = rows(table(answer, "Hard caps"))
    assert [row["cap"] for row in caps] == [Word("gross_exposure"), Word("orders_a_minute")]
    assert caps[1] == {
        "cap": Word("orders_a_minute"),
        "used": Quantity(Decimal(0)),
        "at_most": Quantity(Decimal(60)),
    }
    assert answer.buttons == (Button("Locks", "/locks"), Button("Why", "/why"))


async def test_without_a_name_the_board_shows_every_bot(limited: Desk) -> None:
    answer = await say(limited, "/risk")
    assert text(answer) == f"{BOT}: entries are open.\n{OTHER}: entries are open."
    assert table(answer, f"Limits of {OTHER}").rows


async def test_a_limit_that_is_hit_shows_its_state_and_its_end(limited: Desk) -> None:
    stop(limited, Span.DAY, Step.HALVED)
    stop(limited, Span.PEAK, Step.STOPPED, OTHER)
    answer = await say(limited, "/risk")
    assert text(answer) == (
        f"{BOT}: new sizes are halved (daily loss).\n{OTHER}: nothing is opened (drawdown)."
    )
    day, *_ = rows(table(answer, f"Limits of {BOT}"))
    assert (day["state"], day["until"]) == (
        "sizes halved",
        Time(tally(limited).windows[Span.DAY].until),
    )
    drawdown = rows(table(answer, f"Limits of {OTHER}"))[3]
    assert (drawdown["state"], drawdown["until"]) == ("shut", None)
    assert Button("Begin anew", "/cooldown clear") in answer.buttons
    assert (
        Button("Begin anew", "/cooldown clear")
        not in (await say(limited, "/risk", Role.TRADER)).buttons
    )


async def test_layers_that_are_off_are_named(desk: Desk) -> None:
    answer = await say(desk, "/risk")
    assert table(answer, f"Limits of {BOT}").empty == "No limit is set."
    assert table(answer, "Hard caps").empty == "No hard cap is set."
    assert "Off: daily loss, weekly loss, monthly loss, drawdown, loss streak" in text(answer)


async def test_a_halt_stands_above_the_board(limited: Desk) -> None:
    await say(limited, "/halt news")
    assert text(await say(limited, "/risk")).startswith("The desk is halted: by ")


async def test_nothing_locked_is_said(limited: Desk) -> None:
    answer = await say(limited, "/locks", Role.VIEWER)
    assert table(answer, "Locks").rows == ()
    assert table(answer, "Locks").empty == "Nothing is locked."


async def test_locks_are_listed_with_reason_end_and_what_opens_them(limited: Desk) -> None:
    soon = until(limited, HOUR)
    tally(limited).locks = (Lock("", "4 stops lost within 24 h", 0, soon), Lock(ETH, "over", 0, 1))
    tally(limited, OTHER).shut_until = soon
    tally(limited, OTHER).rests_until = soon
    answer = await say(limited, "/locks")
    found = [tuple(row.values()) for row in rows(table(answer, "Locks"))]
    assert found == [
        (BOT, "all", Time(soon), "4 stops lost within 24 h", "/lift"),
        (OTHER, "all", Time(soon), "loss streak: 1 in a row, 3 bring a rest", "/cooldown clear"),
        (OTHER, "all", Time(soon), "circuit breaker: 0 of 3 failures", "/breaker reset"),
    ]
    assert answer.buttons == (
        Button("Risk", "/risk"),
        Button("Lift locks", "/lift"),
        Button("Reset breaker", "/breaker reset"),
        Button("Begin anew", "/cooldown clear"),
    )
    assert (await say(limited, "/locks", Role.VIEWER)).buttons == (Button("Risk", "/risk"),)


async def test_a_locked_symbol_is_named_by_the_board(limited: Desk) -> None:
    tally(limited).locks = (Lock(ETH, "it loses", 0, until(limited, HOUR)),)
    assert text(await say(limited, f"/risk {BOT}")) == f"{BOT}: entries are open, but for {ETH}."


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("/lift", LiftLocks()),
        ("/lift eth", LiftLocks("", ETH)),
        (f"/lift {BOT}", LiftLocks(BOT)),
        (f"/lift ETH {BOT}", LiftLocks(BOT, ETH)),
        ("/breaker reset", ResetBreaker()),
        (f"/breaker reset {BOT}", ResetBreaker(BOT)),
        ("/cooldown clear", ClearCooldown()),
        (f"/cooldown clear {BOT}", ClearCooldown(BOT)),
    ],
)
async def test_each_is_asked_for_in_one_line(limited: Desk, line: str, wanted: object) -> None:
    tally(limited).locks = (Lock(ETH, "it loses", 0, until(limited, HOUR)),)
    tally(limited).shut_until = tally(limited).rests_until = until(limited, HOUR)
    assert instruction_of(await propose(limited, line)) == wanted


async def test_a_lock_is_lifted_after_a_press(limited: Desk) -> None:
    tally(limited).locks = (Lock(ETH, "it loses", 0, until(limited, HOUR)),)
    asked = await say(limited, "/lift ETH", Role.TRADER)
    assert "Lift the locks of ETHUSDT" in text(asked)
    assert text(await say(limited, "/approve 1", Role.TRADER)) == (
        f"Lift the locks of ETHUSDT: {BOT} ETHUSDT."
    )
    assert table(await say(limited, "/locks"), "Locks").rows == ()


async def test_the_limits_begin_anew_after_an_admins_phrase(limited: Desk) -> None:
    stop(limited, Span.DAY, Step.STOPPED)
    proposal = await propose(limited, "/cooldown clear")
    assert await say(limited, f"/approve 1 {proposal.phrase}", Role.ADMIN)
    assert text(await say(limited, f"/risk {BOT}")) == f"{BOT}: entries are open."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/cooldown", "action is missing: clear."),
        ("/cooldown now", "action: 'now' is not valid. Allowed: clear."),
        ("/breaker", "action is missing: reset."),
        ("/lift doge", "symbol: 'doge' is not valid. Allowed: BTCUSDT, ETHUSDT."),
    ],
)
async def test_a_slip_of_the_finger_is_told_what_there_is(
    limited: Desk, line: str, error: str
) -> None:
    assert str((await say(limited, line)).error).startswith(error)


async def test_why_shows_the_layer_that_stops_an_entry(limited: Desk) -> None:
    stop(limited, Span.WEEK, Step.STOPPED)
    answer = await say(limited, "/why ETH")
    gates = {row["gate"]: row for row in rows(table(answer, "What the gates say to an entry now"))}
    assert gates["weekly loss"]["open"] is False
    assert "nothing is opened until" in str(gates["weekly loss"]["verdict"])


async def test_a_limit_is_news_with_the_ways_to_look_at_it() -> None:
    notice = Notice(NoticeKind.RISK, 0, bot_id=BOT, text="daily loss: -3.00% today")
    answer = notice_reply(notice)
    assert text(answer) == "daily loss: -3.00% today"
    assert answer.buttons == (Button("Risk", "/risk"), Button("Locks", "/locks"))
