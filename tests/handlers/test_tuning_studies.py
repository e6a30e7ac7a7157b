"""The tuner from chat: studies asked for, followed, canceled, looked at; tuning stopped."""

from dataclasses import replace

import pytest

from engine.candle import DAY_MS
from engine.desk import Desk
from engine.people import Role
from engine.ports import Commit
from engine.tuning import Comparison, DifferenceKind, Divergence, StudyStage, TuningStudy
from handlers.reply import Button, Chart, Reply
from handlers.tuning_studies import progress_line, shown
from tests.handlers.desks import BOT, BTC, T0, fields, rows, say, table, text
from tests.handlers.evidence import evidence
from tests.tunings import ScriptedTuner

FOUND = TuningStudy(
    1,
    "paper-sim42",
    BOT,
    "desk",
    "desk",
    "desk",
    T0,
    stage=StudyStage.PROPOSED,
    verdict="A tighter stop is proposed.",
    values=(("stop_loss", 0.01), ("gone", 3.0)),
    evidence=evidence(1),
)


def tuner(desk: Desk) -> ScriptedTuner:
    assert isinstance(desk.tuner, ScriptedTuner)
    return desk.tuner


def commands(answer: Reply) -> list[str]:
    return [button.command for button in answer.buttons]


async def test_a_study_that_runs_is_followed_and_can_be_canceled(desk: Desk) -> None:
    answer = await say(desk, "/tune run", Role.TRADER, in_chat=True)
    assert text(answer) == (f"Study 1: {BOT}, asked by tom\nStudy 1 of {BOT} waits for its turn.")
    assert (answer.searches, answer.buttons) == ((1,), (Button("Cancel", "/tune cancel 1"),))
    canceled = await say(desk, "/tune cancel 1", Role.TRADER)
    assert text(canceled) == f"Study 1 of {BOT} was canceled."
    assert (await say(desk, "/tune cancel 1")).error == "Study 1 neither waits nor runs."
    over = await say(desk, "/tune study 1", Role.VIEWER)
    assert (over.searches, commands(over)) == ((), [f"/tune show bot={BOT}", "/tune outcomes"])


@pytest.mark.parametrize(
    ("study", "line"),
    [
        (replace(FOUND, stage=StudyStage.LOADING), f"Study 1 of {BOT} loads candles."),
        (
            replace(FOUND, stage=StudyStage.SEARCHING, done=12, trials=64),
            f"Study 1 of {BOT} searches: 12 of 64 sets of values are tried.",
        ),
        (
            replace(FOUND, stage=StudyStage.NOTHING, verdict="Nothing beats them."),
            f"Study 1 of {BOT} proposes nothing: Nothing beats them.",
        ),
        (FOUND, f"Study 1 of {BOT} found something: A tighter stop is proposed."),
    ],
)
def test_how_far_a_study_is_stands_in_one_line(study: TuningStudy, line: str) -> None:
    assert progress_line(study) == line


async def test_a_study_that_found_something_shows_all_its_evidence(desk: Desk) -> None:
    tuner(desk).end(1, FOUND)
    answer = await say(desk, "/tune study 1", Role.VIEWER)
    assert answer.blocks == (await shown(desk, 1)).blocks
    assert fields(answer, "Found") == {"stop_loss": "1%", "gone": "3"}
    words = text(answer)
    assert "Trades won: 20 as it is, 24 changed." in words
    assert "Funding is that of the last month." in words
    assert "Candles a1b2c3d4e5f60708." in words
    assert isinstance(answer.blocks[-1], Chart)


async def test_studies_are_listed_those_of_before_and_those_that_run(desk: Desk) -> None:
    assert table(await say(desk, "/tune study"), "Studies").rows == ()
    elsewhere = replace(FOUND, number=5, books="demo-bybit")
    await desk.store.commit(Commit(epoch=1, facts=[FOUND, elsewhere]))
    tuner(desk).found[2] = replace(FOUND, number=2, stage=StudyStage.SEARCHING, verdict="")
    listed = rows(table(await say(desk, "/tune study"), "Studies"))
    assert [(row["study"], row["stage"], row["what_came_of_it"]) for row in listed] == [
        (2, "searches", None),
        (1, "found something", "A tighter stop is proposed."),
    ]


async def test_a_study_that_runs_is_told_where_the_parameters_are(desk: Desk) -> None:
    await say(desk, "/tune run")
    assert f"Study 1 of {BOT} waits for its turn." in text(await say(desk, "/tune"))


async def test_live_trades_are_held_against_the_backtest(desk: Desk) -> None:
    found = Divergence(DifferenceKind.PRICE, BTC, T0, "100", "101", "the entry cost more")
    since = "Parameters changed at noon: only what came since is compared."
    compared = Comparison(BOT, T0, T0 + DAY_MS, 576, 3, 3, 2, (found,), remarks=(since,))
    tuner(desk).comparisons[BOT] = compared
    answer = await say(desk, "/tune check", Role.TRADER)
    said = (
        f"{BOT}: of 3 trades live and 3 trades of the exact backtest on the same 576 bars 2 are "
        "the same. It does not diverge."
    )
    span = "From 2025-01-01 00:00 UTC to 2025-01-02 00:00 UTC."
    assert text(answer) == f"{said}\n{span}\n{since}"
    [row] = rows(table(answer, "Differences"))
    assert (row["what"], row["live"], row["replayed"]) == ("price", "100", "101")
    assert said in text(await say(desk, "/tune"))
    tuner(desk).comparisons[BOT] = replace(compared, diverges="Its prices differ.")
    assert "It diverges: Its prices differ." in text(await say(desk, "/tune check"))


async def test_tuning_is_stopped_at_once_and_goes_on_once_confirmed(desk: Desk) -> None:
    answer = await say(desk, "/tune stop the market has changed", Role.TRADER, in_chat=True)
    assert text(answer).startswith("tom stopped tuning: the market has changed.")
    assert "Tuning is stopped: the market has changed." in text(await say(desk, "/tune"))
    assert (await say(desk, "/tune resume")).ok
    assert desk.tuning().stopped
    assert (await say(desk, "/approve 1")).ok
    assert not desk.tuning().stopped


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/tune study nonsense", "study: 'nonsense' is not valid. Allowed: the number of a study"),
        ("/tune study 9", "There is no study 9."),
        ("/tune cancel", "Which study? Open: none."),
        ("/tune run nobody", "bot: 'nobody' is not valid. Allowed: " + BOT),
        ("/tune check", f"{BOT} traded nothing that could be compared."),
        ("/tune resume", "Tuning is not stopped."),
    ],
)
async def test_what_is_not_there_is_told(desk: Desk, line: str, error: str) -> None:
    answer = await say(desk, line)
    assert answer.error is not None and answer.error.startswith(error), answer.error
