"""What the consoles are told of backtests that were asked for there."""

from dataclasses import replace

from bot.following import ConsoleLines
from engine.studies import Stage, Study
from engine.tuning import StudyStage, TuningStudy
from handlers.reply import Reply, Text
from tests.findings import SETUP, done, finding


def lines(*changes: Study) -> list[str]:
    """What is printed, one line after the other."""
    heard: list[Reply] = []
    console = ConsoleLines(heard.append)
    for study in changes:
        console.on_change(study)
    return [block.text for each in heard for block in each.blocks if isinstance(block, Text)]


def test_a_console_is_told_each_stage_once_and_the_end() -> None:
    study = Study(3, SETUP, "console:ann", "console", 0)
    assert lines(
        study.at(Stage.FETCHING, "BTCUSDT 5m, 10 % of 900 bars"),
        study.at(Stage.FETCHING, "BTCUSDT 5m, 20 % of 900 bars"),
        study.at(Stage.RUNNING, "900 bars"),
        replace(done(3, finding()), surface="console"),
    ) == [
        "Backtest 3. Fetching: BTCUSDT 5m, 10 % of 900 bars",
        "Backtest 3. Running: 900 bars",
        "Backtest 3 is done: return -0.20%. /backtest show 3",
    ]


def test_a_console_is_told_why_there_is_no_result() -> None:
    study = Study(3, SETUP, "console:ann", "console", 0)
    assert lines(study.failed("Bybit does not answer.")) == [
        "Backtest 3 has no result: Bybit does not answer."
    ]


def test_what_was_asked_for_in_a_chat_is_no_business_of_the_consoles() -> None:
    assert lines(Study(3, SETUP, "telegram:7", "telegram", 0).at(Stage.RUNNING)) == []


# -- the tuner's studies -------------------------------------------------------------------


def test_a_console_is_told_of_its_studies_beside_backtests_of_the_same_number() -> None:
    heard: list[Reply] = []
    console = ConsoleLines(heard.append)
    study = TuningStudy(3, "paper-sim1", "tried_001", "console:ann", "ann", "console", 0)
    console.on_change(Study(3, SETUP, "console:ann", "console", 0).at(Stage.RUNNING, "900 bars"))
    for done_, stage in ((0, StudyStage.SEARCHING), (5, StudyStage.SEARCHING)):
        console.on_study(replace(study, stage=stage, done=done_, trials=9))
    for _ in range(2):
        console.on_study(study.at(StudyStage.NOTHING, "Nothing better was found."))
    console.on_study(replace(study, number=4, surface="telegram"))
    told = [block.text for each in heard for block in each.blocks if isinstance(block, Text)]
    assert told == [
        "Backtest 3. Running: 900 bars",
        "Study 3 of tried_001 searches: 0 of 9 sets of values are tried.",
        "Study 3 of tried_001 proposes nothing: Nothing better was found.",
    ]
