"""Autopsies, suggestions and briefings as they are shown, whoever made them."""

from dataclasses import replace

import pytest

from bot.trade_facts import trade_facts
from engine.advice import Advice, Autopsy, Briefing, Level, Verdict, Wish
from engine.autopsy import verdict
from engine.candle import timeframe_ms
from engine.desk import Desk
from engine.position import Trade
from handlers import advice_card, autopsy_card, briefing_card
from handlers.market import CHART_CANDLES
from handlers.reply import CandleChart, Chart, Price, Reply, Table
from tests.handlers.desks import BOT, BTC, fields, rows, table, text

MODEL = "gemini-2.5-flash"


@pytest.fixture
async def computed(desk: Desk) -> Autopsy:
    [trade] = await desk.recent(Trade, lambda trade: trade.exit_time)
    return verdict(await trade_facts(desk, trade), "The daily cap is reached.")


@pytest.fixture
def made(computed: Autopsy) -> Autopsy:
    """An autopsy of a model, with a number that it made up."""
    return replace(
        computed,
        by=MODEL,
        verdict=Verdict.POOR,
        entry_words="The RSI was 82.5.",
        better_exit=101_234.5,
        factors=("It turned at 82.5.",),
        lessons=("Wait.",),
        confidence=0.7,
        summary="It lost.",
        invented=("82.5",),
        instead="",
    )


def pictures(answer: Reply) -> list[CandleChart]:
    charts = [block.chart for block in answer.blocks if isinstance(block, Chart)]
    return [chart for chart in charts if isinstance(chart, CandleChart)]


# -- autopsies ---------------------------------------------------------------------------


async def test_an_autopsy_by_figures_says_why_and_by_which_rules(
    desk: Desk, computed: Autopsy
) -> None:
    answer = await autopsy_card.card(desk, 4, computed)
    said = text(answer)
    assert said.startswith("Measured figures stand in for the model: The daily cap is reached.\n")
    assert "By these rules: " in said and "Lessons" not in said
    # That price stands among the figures already.
    assert "better_exit" not in fields(answer)


async def test_a_number_that_a_model_made_up_is_marked_wherever_it_stands(
    desk: Desk, made: Autopsy
) -> None:
    answer = await autopsy_card.card(desk, 4, made)
    said = text(answer)
    assert fields(answer)["entry"] == f"{made.entry}. The RSI was 82.5 [not in the data]."
    assert "- It turned at 82.5 [not in the data]." in said
    assert "Don't rely on 82.5: it stands in nothing that the model was shown." in said
    assert said.endswith(f"By {MODEL}, 70% sure.")
    assert "stand in for" not in said


async def test_a_better_exit_has_the_digits_of_its_symbol(desk: Desk, made: Autopsy) -> None:
    answer = await autopsy_card.card(desk, 4, made)
    assert fields(answer)["better_exit"] == Price(101_234.5, 1)
    [picture] = pictures(answer)
    assert dict(picture.levels)["best exit"] == 101_234.5


async def test_the_chart_of_a_long_trade_holds_all_of_it(desk: Desk, computed: Autopsy) -> None:
    trade = replace(computed.trade, entry_time=computed.trade.exit_time - 40 * 3_600_000)
    [picture] = pictures(await autopsy_card.card(desk, 4, replace(computed, trade=trade)))
    first, last = picture.candles[0], picture.candles[-1]
    assert picture.interval == timeframe_ms("1h")
    assert first.ts < trade.entry_time and last.ts >= trade.exit_time
    assert len(picture.candles) <= CHART_CANDLES


# -- suggestions -------------------------------------------------------------------------

ADVICE = Advice(
    bot_id=BOT,
    by=MODEL,
    root_cause="It enters at 82.5.",
    wishes=(Wish("crosses_per_day", 9.0, "Fewer bad entries."), Wish("gone", 1.0, "Why not.")),
    confidence=0.8,
    risk=Level.LOW,
    summary="Be surer.",
    outcome="Proposal 7 waits for a person.",
    proposal=7,
    invented=("82.5",),
)


def test_a_suggestion_shows_each_value_beside_the_one_in_force(desk: Desk) -> None:
    answer = advice_card.card(desk, 4, ADVICE)
    [row] = rows(table(answer, "Suggested"))
    now = desk.tuning().scopes[BOT].parameters["crosses_per_day"]
    assert row == {
        "parameter": "crosses_per_day",
        "now": now.parameter.show(now.value),
        "suggested": "9",
        "because": "Fewer bad entries.",
    }
    said = text(answer)
    assert "Cause: It enters at 82.5 [not in the data]." in said
    assert "Proposal 7 waits for a person." in said
    assert said.endswith(f"By {MODEL}, 80% sure, risk low.")
    commands = [button.command for button in answer.buttons]
    assert commands == ["/proposals 7", f"/tune show {BOT}", "/analysis 4"]


def test_a_suggestion_for_a_bot_that_is_gone_is_still_shown(desk: Desk) -> None:
    answer = advice_card.card(desk, 4, replace(ADVICE, bot_id="gone_001", proposal=0))
    assert table(answer, "Suggested").rows == ()
    assert "/proposals 7" not in [button.command for button in answer.buttons]


def test_no_suggestion_says_why_and_shows_no_table(desk: Desk) -> None:
    answer = advice_card.card(desk, 4, replace(ADVICE, instead="The cap is reached."))
    assert text(answer) == "The cap is reached. Be surer."
    assert not any(isinstance(block, Table) for block in answer.blocks)


# -- briefings ---------------------------------------------------------------------------


def test_a_briefing_says_what_time_it_is_of_and_who_wrote_it() -> None:
    briefing = Briefing("Briefing of 2025-01-03", f"You hold {BTC} at 82.5.", MODEL, ("82.5",))
    assert text(briefing_card.card(4, briefing)) == (
        "Briefing of 2025-01-03\n"
        f"You hold {BTC} at 82.5 [not in the data].\n"
        "Don't rely on 82.5: it stands in nothing that the model was shown.\n"
        f"By {MODEL}."
    )
    by_figures = Briefing("T", "All is well.", "the desk's figures", instead="No key is set.")
    assert text(briefing_card.card(4, by_figures)) == (
        "T\nAll is well.\nBy the desk's figures. No key is set."
    )
