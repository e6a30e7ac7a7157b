"""Parameters from chat: looked at, set, taken back, and what came of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bot.render.plain import to_text
from bot.render.telegram import telegram_messages
from engine.desk import Desk
from engine.drafts import instruction_of
from engine.effect import Proposed
from engine.instruction import RollBack, SetParameters, UndoChange
from engine.people import DESK, Role
from engine.ports import Commit
from engine.position import Trade
from engine.proposal import Proposal, ProposalState
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Fate, Source
from handlers.cards import card
from handlers.reply import Chart, CurvesChart, Reply, Table, Text
from tests.handlers.desks import (
    BOT,
    BTC,
    ETH,
    ScriptedMarket,
    build,
    fields,
    propose,
    quiet,
    rows,
    say,
    table,
    text,
)
from tests.handlers.evidence import evidence

OTHER = "shortseller_002"
TITLE = f"Parameters of {BOT}"
NEAREST = "Allowed: what /tune show lists. Nearest: leverage."


@pytest.fixture
async def two_bots() -> AsyncIterator[Desk]:
    """A desk with two bots that see nothing happen."""
    market = ScriptedMarket({BTC: quiet(3), ETH: quiet(3)})
    runtime, desk = await build(market, bot_ids=(BOT, OTHER))
    running = asyncio.create_task(runtime.run())
    await runtime.until_caught_up()
    yield desk
    runtime.stop()
    await running


def value(desk: Desk, name: str, scope: str = BOT) -> float:
    return desk.tuning().scopes[scope].parameters[name].value


def commands(answer: Reply) -> dict[str, str]:
    return {button.label: button.command for button in answer.buttons}


async def found_by_the_tuner(
    desk: Desk, name: str, wanted: float, scope: str = BOT, reason: str = "It lost less."
) -> Proposal:
    """What the tuner proposes, with evidence."""
    asked = SetParameters(scope, ((name, wanted),), reason, Source.TUNER, evidence())
    result = await desk.ask(asked, DESK)
    assert isinstance(result, Proposed)
    return result.proposal


# -- looking -----------------------------------------------------------------------------


async def test_tune_alone_shows_every_parameter_of_the_only_bot(desk: Desk) -> None:
    answer = await say(desk, "/tune", Role.VIEWER)
    assert answer == await say(desk, "/tune show", Role.VIEWER)
    shown = {row["parameter"]: row for row in rows(table(answer, f"Parameters of {BOT}"))}
    assert shown.keys() == desk.tuning().scopes[BOT].parameters.keys()
    assert shown["stop_loss"] == {
        "parameter": "stop_loss",
        "value": "1.5%",
        "comes_from": "default",
        "allowed": "now 0% to 6.5%, of 0% to 50%",
        "tier": "yellow",
    }
    assert commands(answer)["Search"] == f"/tune run {BOT}"


async def test_the_limits_of_the_desk_are_shown_beside_the_bots(desk: Desk) -> None:
    answer = await say(desk, "/tune show desk")
    shown = {row["parameter"]: row for row in rows(table(answer, "Parameters of the desk"))}
    assert shown["day_stops"]["tier"] == "red"
    assert "stop_loss" not in shown


async def test_a_value_that_was_set_stands_beside_that_of_the_settings(desk: Desk) -> None:
    assert (await say(desk, "/tune set crosses_per_day 9")).ok
    shown = {row["parameter"]: row for row in rows(table(await say(desk, "/tune"), TITLE))}
    row = shown["crosses_per_day"]
    assert (row["value"], row["comes_from"]) == ("9", "set here, 12 in the settings")
    assert row["allowed"] == "rests until 2025-01-03 22:20 UTC"


async def test_of_several_bots_one_is_asked_for_with_buttons(two_bots: Desk) -> None:
    answer = await say(two_bots, "/tune")
    assert commands(answer) == {
        BOT: f"/tune show bot={BOT}",
        OTHER: f"/tune show bot={OTHER}",
        "Desk limits": "/tune show desk",
    }
    answer = await say(two_bots, "/tune set crosses_per_day 9")
    assert commands(answer)[OTHER] == f"/tune set crosses_per_day=9 bot={OTHER}"
    assert (await say(two_bots, commands(answer)[OTHER])).ok
    assert (value(two_bots, "crosses_per_day"), value(two_bots, "crosses_per_day", OTHER)) == (
        12.0,
        9.0,
    )


async def test_what_only_the_desk_has_needs_no_bot_named(two_bots: Desk) -> None:
    made = await propose(two_bots, "/tune set day_stops 4%")
    assert instruction_of(made) == SetParameters("", (("day_stops", 0.04),))


async def test_the_story_of_one_has_buttons_with_the_values_of_a_step(desk: Desk) -> None:
    answer = await say(desk, "/tune show leverage")
    assert commands(answer) == {
        "🟡 ▼ 9": f"/tune set leverage 9 bot={BOT}",
        "🟡 ▲ 11": f"/tune set leverage 11 bot={BOT}",
        "History": f"/tune history {BOT}",
    }
    card = fields(answer, f"leverage of {BOT}")
    assert card["set_by"] == "nobody: it is what the settings say"
    assert (card["bounds"], card["tier"]) == ("1 to 100 in steps of 1", "yellow")
    made = await propose(desk, commands(answer)["🟡 ▲ 11"])
    assert instruction_of(made) == SetParameters(BOT, (("leverage", 11.0),))


async def test_whoever_may_only_look_has_no_buttons_that_change(desk: Desk) -> None:
    answer = await say(desk, "/tune show leverage", Role.VIEWER)
    assert list(commands(answer)) == ["History"]


async def test_a_name_alone_behind_set_shows_what_could_be_set(desk: Desk) -> None:
    assert await say(desk, "/tune set leverage") == await say(desk, "/tune show leverage")


# -- setting -----------------------------------------------------------------------------


async def test_green_acts_at_once_and_the_answer_is_the_page_with_undo(desk: Desk) -> None:
    answer = await say(desk, "/tune set crosses_per_day 9 too many fees", Role.TRADER, in_chat=True)
    assert text(answer).startswith("Change 1: crosses_per_day of shortseller_001 from 12 to 9.")
    card = fields(answer, f"crosses_per_day of {BOT}")
    assert (card["value"], card["set_by"]) == ("9", "telegram:8 (tom) (too many fees)")
    assert commands(answer)["Undo"] == "/undo 1"
    assert value(desk, "crosses_per_day") == 9.0


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("leverage up", {"leverage": 11.0}),
        ("leverage down", {"leverage": 9.0}),
        ("stop-loss 2%", {"stop_loss": 0.02}),
        ("STOP_LOSS 0.02", {"stop_loss": 0.02}),
        ("max_age 30h", {"max_age": 108_000_000.0}),
        ("confirmed yes", {"confirmed": 1.0}),
        ("fast=200 slow=500", {"fast": 200.0, "slow": 500.0}),
        ("LEVERAGE=UP margin=4%", {"leverage": 11.0, "margin": 0.04}),
        (f"name=leverage value=9 bot={BOT}", {"leverage": 9.0}),
    ],
)
async def test_values_are_taken_as_people_write_them(
    desk: Desk, line: str, values: dict[str, float]
) -> None:
    made = await propose(desk, f"/tune set {line}")
    assert instruction_of(made) == SetParameters(BOT, tuple(values.items()))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("leverage 9 fewer losses", "fewer losses"),
        (f"leverage 9 {BOT} fewer losses", "fewer losses"),
        ("fast=200 slow=500 9 losses in a row", "9 losses in a row"),
        ("leverage 9 said 123456 by phone", "said *** by phone"),
    ],
)
async def test_why_may_follow_and_keeps_no_code(desk: Desk, line: str, reason: str) -> None:
    wanted = instruction_of(await propose(desk, f"/tune set {line}"))
    assert isinstance(wanted, SetParameters)
    assert wanted.reason == reason


async def test_a_strategys_bot_is_set_as_any_parameter(desk: Desk) -> None:
    made = await propose(desk, f"/strategy set {BOT} leverage 9 calmer")
    assert instruction_of(made) == SetParameters(BOT, (("leverage", 9.0),), "calmer")


async def test_a_red_one_asks_for_a_phrase_that_says_what_it_does(desk: Desk) -> None:
    made = await propose(desk, "/tune set day_stops 4%")
    assert made.tier is Tier.RED
    assert made.phrase.startswith("APPROVE DAY STOPS 4% ")


async def test_the_limits_of_the_desk_are_an_admins(desk: Desk) -> None:
    answer = await say(desk, "/tune set day_stops 4%", Role.TRADER, in_chat=True)
    assert answer.error == "That needs the role admin; yours is trader."


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("/tune set levrage 9", f"name: 'levrage' is not valid. {NEAREST}"),
        ("/tune show levrage", f"name: 'levrage' is not valid. {NEAREST}"),
        ("/tune set leverage 900", "leverage: '900' is not valid. Allowed: 1 to 100 in steps of 1"),
        ("/tune set leverage 9.5", "leverage: '9.5' is not valid. Allowed: 1 to 100 in steps"),
        ("/tune set leverage much", "leverage: 'much' is not valid. Allowed: 1 to 100 in steps"),
        ("/tune set leverage 9x", "leverage: '9x' is not valid. Allowed: 1 to 100 in steps"),
        ("/tune set confirmed 1", "confirmed: '1' is not valid. Allowed: no, yes."),
        ("/tune set leverage 90", "leverage: '90' is not valid. Allowed: "),
        ("/tune set leverage 10", f"leverage of {BOT} is 10 already."),
        ("/tune set fast=8 fast=9", "fast: '8' is not valid. Allowed: one value."),
        ("/tune set fast= slow=9", "fast: '' is not valid. Allowed: name=value."),
        ("/tune set day_stops 4% " + BOT, f"parameter of {BOT}: 'day_stops' is not valid."),
        ("/tune set fast=8 day_stops=4%", "Nothing on this desk has that."),
        ("/strategy set nobody leverage 9", "bot: 'nobody' is not valid. Allowed: " + BOT),
        ("/tune set", "name is missing: "),
        ("/tune rollback nonsense", "snapshot: 'nonsense' is not valid."),
        ("/tune rollback", "Which snapshot? Kept: none."),
        ("/tune diff 99", "There is no snapshot 99."),
        ("/undo 99", "There is no change 99 to take back."),
        ("/undo", "No change of parameters is there to take back."),
        ("/tune snapshot 7", "snapshot name: '7' is not valid."),
    ],
)
async def test_what_is_not_allowed_is_told_and_nothing_changed(
    desk: Desk, line: str, error: str
) -> None:
    before = desk.tuning()
    answer = await say(desk, line)
    assert answer.error is not None and answer.error.startswith(error), answer.error
    assert desk.tuning() == before
    assert desk.view().proposals == ()


async def test_a_parameter_rests_after_a_change_and_says_until_when(desk: Desk) -> None:
    assert (await say(desk, "/tune set crosses_per_day 9")).ok
    answer = await say(desk, "/tune set crosses_per_day 8")
    assert answer.error is not None and "rests until 2025-01-03 22:20 UTC" in answer.error
    page = await say(desk, "/tune show crosses_per_day")
    assert list(commands(page)) == ["Undo", "History"]


async def test_a_paused_bot_is_set_nothing(desk: Desk) -> None:
    await say(desk, f"/bot pause {BOT}")
    answer = await say(desk, "/tune set crosses_per_day 9")
    assert answer.error == f"{BOT} is paused. Say /bot resume {BOT} first."


# -- what is expected --------------------------------------------------------------------


async def traded(desk: Desk, count: int) -> None:
    """So many more trades of the bot in the books, which gained 30 each."""
    one, *_ = await desk.store.recent(Trade)
    facts = [
        replace(one, trade_id=number, net_pnl=Decimal(30 - number % 3))
        for number in range(2, count + 2)
    ]
    await desk.store.commit(Commit(epoch=1, facts=facts))


async def test_a_change_by_hand_is_watched_where_enough_trades_say_what_to_expect(
    desk: Desk,
) -> None:
    await traded(desk, 8)
    assert (await say(desk, "/tune set crosses_per_day 9")).ok
    assert desk.tuning().watches == {}
    assert (await say(desk, "/undo")).ok

    await traded(desk, 20)
    answer = await say(desk, "/tune set confidence_min 1%")
    assert answer.ok, answer.error
    [change] = [each for each in desk.tuning().changes if each.fate is Fate.WATCHED]
    assert desk.tuning().watches.keys() == {change.change_id}
    [row] = [
        row
        for row in rows(table(await say(desk, "/tune outcomes"), "Outcomes"))
        if row["change"] == change.change_id
    ]
    assert "after 30 trades" in str(row["expected"])
    assert (row["came"], row["what_became_of_it"]) == (
        "0 trades, 0.00 USDT, drawdown 0.0%",
        "is being watched",
    )


async def test_in_a_terminal_no_column_cuts_what_a_change_moved(desk: Desk) -> None:
    await say(
        desk, "/tune set crosses_per_day 9 the fees of the last week were more than it earned"
    )
    await say(desk, "/tune set confidence_min 1% a signal has to say more", in_chat=True)
    shown = to_text(await say(desk, "/tune history"), 100, color=False)
    assert "crosses_per_day 12 to 9" in shown
    assert "confidence_min 0% to 1%" in shown
    assert max(map(len, shown.splitlines())) <= 100


async def test_a_second_value_is_not_taken_for_a_reason(desk: Desk) -> None:
    for words in ("crosses_per_day 9 confidence_min 1%", "crosses_per_day=9 leverage up fees"):
        answer = await say(desk, f"/tune set {words}")
        assert not answer.ok
        assert "several values as " in str(answer.error)
    assert value(desk, "crosses_per_day") == 12.0
    assert (await say(desk, "/tune set crosses_per_day 9 leverage is no worry")).ok


async def test_a_card_says_what_watches_it_or_that_nothing_does(desk: Desk) -> None:
    made = await propose(desk, "/tune set leverage 9")
    words = text(card(made, desk.clock.now()))
    assert "Live at the next bar. Nothing watches it" in words
    await traded(desk, 20)
    made = await propose(desk, "/tune set margin 4%")
    words = text(card(made, desk.clock.now()))
    assert "Watched over 30 trades: below " in words
    assert "a roll-back is proposed." in words


# -- taking back -------------------------------------------------------------------------


async def test_undo_takes_the_last_change_back_and_then_none_is_left(desk: Desk) -> None:
    await say(desk, "/tune set crosses_per_day 9")
    assert text(await say(desk, "/undo")).startswith("Change 2: ")
    assert value(desk, "crosses_per_day") == 12.0
    again = await say(desk, "/undo 1")
    assert again.error == "Change 1 is taken back already."
    assert (await say(desk, "/undo")).error == "No change of parameters is there to take back."


async def test_to_undo_takes_what_the_change_took(desk: Desk) -> None:
    made = await propose(desk, "/tune set leverage 9")
    assert (await say(desk, f"/approve {made.proposal_id}")).ok
    assert value(desk, "leverage") == 9.0
    back = await propose(desk, "/undo 1 too slow")
    assert (back.tier, instruction_of(back)) == (Tier.YELLOW, UndoChange(1, BOT, "too slow"))
    assert (await say(desk, f"/approve {back.proposal_id}")).ok
    assert value(desk, "leverage") == 10.0


async def test_a_snapshot_tells_what_is_different_and_brings_it_back(desk: Desk) -> None:
    kept = await say(desk, "/tune snapshot calm")
    assert text(kept) == "Snapshot 1 (calm) is kept for good."
    await say(desk, "/tune set crosses_per_day 9")
    answer = await say(desk, "/tune diff calm", Role.VIEWER)
    [row] = rows(table(answer, "Snapshot 1 (calm) and now"))
    assert row == {
        "whose": BOT,
        "parameter": "crosses_per_day",
        "difference": "12 then, 9 now",
    }
    assert "Roll back" not in commands(answer)
    back = commands(await say(desk, "/tune diff 1"))["Roll back"]
    assert (await say(desk, back)).ok
    assert value(desk, "crosses_per_day") == 12.0
    assert table(await say(desk, "/tune diff calm"), "Snapshot 1 (calm) and now").rows == ()


async def test_a_roll_back_of_what_is_yellow_waits(desk: Desk) -> None:
    await say(desk, "/tune snapshot calm")
    made = await propose(desk, "/tune set leverage 9")
    await say(desk, f"/approve {made.proposal_id}")
    back = await propose(desk, "/tune rollback calm back to calm")
    assert instruction_of(back) == RollBack(1, "back to calm")
    assert value(desk, "leverage") == 9.0


async def test_the_history_tells_who_changed_what_and_which_snapshots_are_kept(
    desk: Desk,
) -> None:
    await say(desk, "/tune set crosses_per_day 9 fees", Role.TRADER, in_chat=True)
    answer = await say(desk, f"/tune history {BOT}", Role.VIEWER)
    [row] = rows(table(answer, "Changes"))
    assert (row["change"], row["what"], row["whose"]) == (1, "crosses_per_day 12 to 9", BOT)
    assert (row["by"], row["why"]) == ("telegram:8 (tom)", "fees")
    [kept] = rows(table(answer, "Snapshots"))
    assert (kept["snapshot"], kept["name"], kept["values_set"]) == (1, None, 0)
    assert commands(answer)["Undo 1"] == "/undo 1"
    assert table(await say(desk, "/tune history desk"), "Changes").rows == ()


# -- the evidence card -------------------------------------------------------------------


async def test_the_card_of_what_was_found_shows_its_evidence(desk: Desk) -> None:
    made = await found_by_the_tuner(desk, "stop_loss", 0.01)
    shown = card(made, desk.clock.now())
    words = text(shown)
    assert "Found by the tuner: It lost less." in words
    assert "97% sure to be no luck after 64 tries (deflated Sharpe)" in words
    assert "below -3.0% at their end, or after a fall of 6.0%, a roll-back is proposed." in words
    found = table(shown, "Out of sample, 84 days in 4 pieces")
    assert [row[0] for row in found.rows] == ["return", "drawdown", "Sharpe", "trades"]
    assert list(commands(shown).items()) == [
        ("Confirm", f"/approve {made.proposal_id}"),
        ("Reject", f"/reject {made.proposal_id}"),
        ("Details", "/tune study 7"),
    ]
    [picture] = [block.chart for block in shown.blocks if isinstance(block, Chart)]
    assert isinstance(picture, CurvesChart)
    assert [(name, points[-1][1]) for name, points in picture.curves] == [
        ("as it is", pytest.approx(0.012)),
        ("changed", pytest.approx(0.0413)),
    ]


async def test_a_decided_card_keeps_its_picture(desk: Desk) -> None:
    made = await found_by_the_tuner(desk, "stop_loss", 0.01)
    await say(desk, f"/approve {made.proposal_id}", in_chat=True)
    ended = await desk.proposal(made.proposal_id)
    assert ended is not None and ended.state is ProposalState.DONE
    shown = card(ended, desk.clock.now())
    # A message with a picture can't become one without.
    assert any(isinstance(block, Chart) for block in shown.blocks)
    assert list(commands(shown)) == ["Details"]


async def test_a_card_with_a_picture_is_one_message_on_telegram(desk: Desk) -> None:
    reason = "Smaller losses cut the drawdown by 2.1% and cost nothing of the return in any piece."
    made = await found_by_the_tuner(desk, "stop_loss", 0.01, reason=reason)
    shown = replace(card(made, desk.clock.now()), badge=desk.badge)
    [message] = telegram_messages(shown, [Path("curves.png")])
    assert message.photo is not None


async def test_a_card_too_long_for_a_caption_is_one_message_without_its_picture(
    desk: Desk,
) -> None:
    made = await found_by_the_tuner(
        desk, "drawdown_stops", 0.06, scope=DESK_SCOPE, reason="so " * 150
    )
    assert made.tier is Tier.RED
    shown = replace(card(made, desk.clock.now()), badge=desk.badge)
    [message] = telegram_messages(shown, [Path("curves.png")])
    assert message.photo is None
    assert made.phrase in message.text
    assert {each.label for row in message.buttons for each in row} >= {"Approve...", "Reject"}
    ended = replace(made, state=ProposalState.DONE, outcome="Change 1: drawdown_stops to 6%.")
    [message] = telegram_messages(card(ended, desk.clock.now()), [Path("curves.png")])
    assert message.photo is not None


async def test_a_long_reason_is_cut_on_a_card_and_kept_in_the_proposal(desk: Desk) -> None:
    made = await found_by_the_tuner(desk, "stop_loss", 0.01, reason="so " * 150)
    shown = card(made, desk.clock.now())
    [why] = [
        block.text
        for block in shown.blocks
        if isinstance(block, Text) and block.text.startswith("Found by the tuner")
    ]
    assert why.endswith("…") and len(why) < 230
    wanted = instruction_of(made)
    assert isinstance(wanted, SetParameters) and len(wanted.reason) == 450


async def test_cards_of_other_things_have_no_evidence(desk: Desk) -> None:
    await say(desk, "/halt")
    shown = card(await propose(desk, "/resume"), desk.clock.now())
    assert not any(isinstance(block, Chart) for block in shown.blocks)
    assert [block.title for block in shown.blocks if isinstance(block, Table)] == ["What changes"]
