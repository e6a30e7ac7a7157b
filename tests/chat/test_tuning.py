"""Tuning from chats: what is found is shown with its evidence, decided, live at the next bar, and
taken back; on both platforms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.tuner_job import Found
from bot.tunings import Tunings
from engine.desk import Desk
from engine.effect import Proposed
from engine.instruction import SetParameters
from engine.people import DESK
from engine.position import Position
from engine.tunable import Tier
from engine.tuning import DESK_SCOPE, Fate, Source, StudyStage
from engine.tuning_view import ParameterView
from tests.chat.both_scene import Both, is_png, only, open_both
from tests.chat.desks import ChatDesk, LiveMarket
from tests.chat.discord_scene import buttons, said
from tests.chat.telegram_scene import DAY_MS, eventually
from tests.handlers.desks import BOT, BTC, FALLING_TWICE, course
from tests.handlers.evidence import evidence
from tests.servers.discord_world import Message as Card
from tests.tuner_hall import SECTION, ScriptedWorker, subject

# Where the price begins to fall, to rise, and to fall again.
FALLS, RISES, FALLS_AGAIN = 620, 660, 720
BARS = course(100_000.0, FALLING_TWICE)
FOUND = Found((("leverage", 12.0),), "It earned more with the same drawdown.", evidence())


@pytest.fixture
async def both(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    async with open_both(tmp_path, request) as both:
        yield both


@dataclass
class Tuned:
    """A desk with a tuner whose worker finds what a test says."""

    chat: ChatDesk
    market: LiveMarket
    worker: ScriptedWorker

    @property
    def desk(self) -> Desk:
        return self.chat.desk

    def view(self, name: str, scope: str = BOT) -> ParameterView:
        return self.desk.tuning().scopes[scope].parameters[name]

    def value(self, name: str, scope: str = BOT) -> float:
        return self.view(name, scope).value

    def fates(self) -> list[Fate]:
        """What came of the changes, newest first."""
        return [each.fate for each in self.desk.tuning().changes]

    def values(self) -> dict[tuple[str, str], float]:
        """Every parameter of every scope."""
        scopes = self.desk.tuning().scopes.values()
        return {(s.scope, name): view.value for s in scopes for name, view in s.parameters.items()}

    async def approve(self, both: Both, card: Card) -> None:
        """Ann approves on Discord, where it is a proposal: with a press, or with its phrase."""
        there = both.discord
        if "Proposal" not in said(card):
            return
        if "Confirm" in buttons(card):
            await there.press(there.ann, card, "Confirm")
        else:
            opened = await there.press(there.ann, card, "Approve...")
            await there.server.until(lambda: opened.modal)
            phrase = only(self.chat).phrase
            await there.answer(await there.server.submit(there.ann, opened, {"phrase": phrase}))
        await there.shown(card, "approved by ann")

    def go_on(self, first: int, last: int) -> None:
        """Let bars close."""
        self.market.tell(BTC, *BARS[first:last])

    async def entered(self) -> Position:
        """The position, once one is open."""

        async def is_open() -> bool:
            return bool(self.positions())

        await eventually(is_open)
        return self.positions()[0]

    async def left(self) -> None:
        """Return once no position is open."""

        async def is_flat() -> bool:
            return not self.positions()

        await eventually(is_flat)

    def positions(self) -> list[Position]:
        return [each.position for each in self.desk.view().positions]


@asynccontextmanager
async def open_tuned(both: Both, bars: int = FALLS, **settings: Any) -> AsyncIterator[Tuned]:
    market, worker = LiveMarket({BTC: BARS[:bars]}), ScriptedWorker()
    made: list[Tunings] = []

    def tuner(desk: Desk) -> Tunings:
        made.append(Tunings(subject(desk, both.telegram.folder, SECTION), worker, worker))
        return made[0]

    async with both.open_desk(market, tuner=tuner, **settings) as desk:
        made[0].listen(desk.chats.following.on_study)
        running = desk.tasks.create_task(made[0].run())
        try:
            yield Tuned(desk, market, worker)
        finally:
            running.cancel()


# -- what the tuner finds ------------------------------------------------------------------


async def test_what_the_tuner_finds_is_confirmed_traded_at_the_next_bar_and_undone(
    both: Both,
) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        asked = await here.ask(here.tom, "/tune run")
        assert "Study 1" in (asked.text or "") and set(asked.buttons) == {"Cancel"}
        desk.worker.results.put_nowait(FOUND)
        await here.shown(asked, "Study 1 of shortseller_001 found something")
        card = await here.told(here.private(here.ann), "Proposal 1:")
        assert is_png(card)
        for words in (
            "from 10 to 12",
            "Found by the tuner: It earned more with the same drawdown.",
            "+1.20%",
            "+4.13%",
            "64 tries",
            "Live at the next bar. Watched over 3 trades",
        ):
            assert words in (card.text or ""), card.text
        assert list(card.buttons) == ["Confirm", "Reject", "Details"]
        assert desk.value("leverage") == 10.0

        here.press(here.ann, card, "Confirm")
        await here.shown(card, "approved by ann")
        theirs = await there.told(there.dm(there.ann), "Proposal 1:")
        await there.shown(theirs, "approved by ann")
        assert desk.value("leverage") == 12.0
        desk.go_on(FALLS, RISES)
        assert (await desk.entered()).leverage == 12
        desk.go_on(RISES, FALLS_AGAIN)
        await desk.left()

        undo = await there.ask(there.tom, "undo")
        assert "Undo change 1: leverage of shortseller_001 from 12 to 10" in said(undo)
        await there.press(there.tom, undo, "Confirm")
        await there.shown(undo, "approved by tom")
        assert desk.value("leverage") == 10.0
        desk.go_on(FALLS_AGAIN, len(BARS))
        assert (await desk.entered()).leverage == 10
        assert desk.fates() == [Fate.UNWATCHED, Fate.UNDONE]


async def test_on_discord_the_card_has_the_picture_and_details_tell_the_study(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        asked = await there.ask(there.tom, "tune run", bot=BOT)
        assert "Study 1" in said(asked)
        desk.worker.results.put_nowait(FOUND)
        card = await there.told(there.dm(there.ann), "Proposal 1:")
        assert [embed for embed in card.embeds if embed.get("image")]
        assert list(buttons(card)) == ["Confirm", "Reject", "Details"]
        details = await there.answer(await there.press(there.ann, card, "Details"))
        assert "Trades won: 20 as it is, 24 changed." in said(details)
        assert "Proposal 1:" in said(card)

        await there.press(there.ann, card, "Reject")
        await there.shown(card, "rejected by ann")
        mine = await here.told(here.private(here.ann), "Proposal 1:")
        await here.shown(mine, "rejected by ann")
        assert desk.value("leverage") == 10.0
        assert desk.desk.tuning().changes == ()


async def test_what_is_green_is_in_force_at_once_and_every_admin_may_undo_it(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        desk.worker.results.put_nowait(
            Found((("crosses_per_day", 9.0),), "It earned more.", evidence())
        )
        await here.ask(here.tom, "/tune run")
        told = await here.told(here.private(here.ann), "crosses_per_day")
        theirs = await there.told(there.dm(both.bea_there), "crosses_per_day")
        assert "Undo" in told.buttons and "Undo" in buttons(theirs)
        assert is_png(told)
        assert desk.value("crosses_per_day") == 9.0
        assert desk.desk.view().proposals == ()

        here.press(here.ann, told, "Undo")
        await here.told(here.private(here.ann), "from 9 to 12")
        assert desk.value("crosses_per_day") == 12.0
        # It was good once, and for each who has one: the other is told that nothing is left.
        here.press(here.ann, told, "Undo")
        await here.told(here.private(here.ann), "used already")
        again = await there.answer(await there.press(both.bea_there, theirs, "Undo"))
        assert "Change 1 is taken back already." in said(again)
        assert desk.value("crosses_per_day") == 12.0
        assert len(desk.desk.tuning().changes) == 2


async def test_a_study_is_canceled_by_its_button_and_says_so(both: Both) -> None:
    here = both.telegram
    async with open_tuned(both) as desk:
        asked = await here.ask(here.tom, "/tune run")
        here.press(here.tom, asked, "Cancel")
        await here.shown(asked, "Study 1 of shortseller_001 was canceled.")
        study = await desk.desk.tuner.study(1)
        assert study.stage is StudyStage.CANCELED


async def test_how_far_a_study_is_stands_in_its_message(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        asked = await here.ask(here.tom, "/tune run")
        other = await there.ask(there.vera, "tune study", study="1")

        async def has_begun() -> bool:
            return bool(desk.worker.begun)

        await eventually(has_begun)
        desk.worker.tell(StudyStage.SEARCHING, 12, 64)
        await here.shown(asked, "12 of 64 sets of values are tried")
        desk.worker.results.put_nowait(Found((), "Nothing better was found.", None))
        await here.shown(asked, "proposes nothing: Nothing better was found.")
        await there.shown(other, "proposes nothing: Nothing better was found.")


async def test_a_desk_that_starts_again_ends_the_message_of_a_study_that_is_lost(
    both: Both,
) -> None:
    here = both.telegram
    async with open_tuned(both):
        asked = await here.ask(here.tom, "/tune run")
    async with open_tuned(both, bars=0):
        await here.shown(asked, "The desk was started again before it ended.")
        assert "Cancel" not in asked.buttons


# -- RED -----------------------------------------------------------------------------------


async def test_red_takes_the_phrase_and_so_does_its_undo(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        before = desk.value("day_stops", DESK_SCOPE)
        card = await there.ask(there.ann, "tune set", name="day_stops", value="4%")
        assert only(desk.chat).tier is Tier.RED
        mine = await here.told(here.private(here.ann), "Proposal 1:")
        wrong = await here.ask(here.ann, "APPROVE NOTHING", reply_to=mine)
        assert "phrase" in (wrong.text or "")
        assert desk.value("day_stops", DESK_SCOPE) == before
        await here.ask(here.ann, only(desk.chat).phrase, reply_to=mine)
        await there.shown(card, "approved by ann")
        assert desk.value("day_stops", DESK_SCOPE) == 0.04

        await here.ask(here.ann, "/undo")
        theirs = await there.told(there.dm(there.ann), "Proposal 2:")
        await desk.approve(both, theirs)
        assert desk.value("day_stops", DESK_SCOPE) == before


# -- by hand -------------------------------------------------------------------------------


async def test_a_step_is_a_press_and_the_page_shows_the_new_value(both: Both) -> None:
    here = both.telegram
    async with open_tuned(both) as desk:
        page = await here.ask(here.tom, "/tune show crosses_per_day")
        assert {"🟢 ▼ 11", "🟢 ▲ 13"} <= set(page.buttons)
        here.press(here.tom, page, "🟢 ▲ 13")
        await here.shown(page, "12 to 13")
        assert desk.value("crosses_per_day") == 13.0
        told = await both.discord.told(
            both.discord.dm(both.bea_there), f"crosses_per_day of {BOT} from 12 to 13"
        )
        assert "Undo" in buttons(told)
        # It rests now: no further step, but the way back.
        assert not [label for label in page.buttons if "▲" in label or "▼" in label]
        here.press(here.tom, page, "Undo")
        await here.shown(page, "13 to 12")
        assert desk.value("crosses_per_day") == 12.0


async def test_an_old_step_does_not_act_twice(both: Both) -> None:
    here = both.telegram
    async with open_tuned(both) as desk:
        page = await here.ask(here.tom, "/tune show crosses_per_day")
        up = page.buttons["🟢 ▲ 13"]
        for _ in range(2):
            here.server.press(here.tom, page, up)
        await here.until_judged()
        assert desk.value("crosses_per_day") == 13.0
        assert len(desk.desk.tuning().changes) == 1


async def test_a_viewer_looks_and_changes_nothing(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        page = await here.ask(here.vera, "/tune show crosses_per_day")
        assert not [label for label in page.buttons if "▲" in label or "▼" in label]
        refused = await here.ask(here.vera, "/tune set crosses_per_day 11")
        assert "/tune set needs the role trader." in (refused.text or "")
        for name, options in (
            ("tune set", {"name": "crosses_per_day", "value": "11"}),
            ("strategy set", {"bot": BOT, "name": "crosses_per_day", "value": "11"}),
            ("undo", {}),
            ("tune run", {}),
        ):
            answer = await there.ask(there.vera, name, **options)
            assert "needs the role trader." in said(answer)
        # A trader's buttons are no viewer's, also where both see them.
        group = await here.open_group()
        page = await here.ask(here.tom, "/tune show crosses_per_day", group)
        here.press(here.vera, page, "🟢 ▲ 13")
        await here.told(group, "/tune set needs the role trader.")
        assert desk.value("crosses_per_day") == 12.0


# -- completion ----------------------------------------------------------------------------


async def offered(both: Both, command: str, option: str, typed: str, **options: Any) -> list[Any]:
    """What Discord offers Tom, as name and value."""
    there = both.discord
    first, _, second = command.partition(" ")
    asked = await there.server.autocomplete(
        there.tom,
        there.dm(there.tom),
        first,
        option,
        typed,
        options,
        subcommand=second or None,
    )
    await there.server.until(lambda: asked.answer)
    return [(each["name"], each["value"]) for each in asked.choices]


async def test_discord_offers_parameters_with_tier_value_and_bounds(both: Both) -> None:
    async with open_tuned(both):
        found = await offered(both, "tune set", "name", "lever", bot=BOT)
        assert found == [("🟡 leverage is 10 (1 to 100 in steps of 1; now 5 to 15)", "leverage")]
        [(name, value)] = await offered(both, "tune set", "name", "day_st", bot="desk")
        assert name.startswith("🔴 day_stops is ") and value == "day_stops"
        assert await offered(both, "tune set", "name", "day_st", bot=BOT) == []
        names = await offered(both, "strategy set", "name", "", bot=BOT)
        assert {"fast", "crosses_per_day", "leverage"} <= {value for _, value in names}


async def test_discord_offers_values_within_what_is_allowed_now(both: Both) -> None:
    async with open_tuned(both):
        found = await offered(both, "tune set", "value", "", name="leverage", bot=BOT)
        assert [value for _, value in found] == ["9", "11", "10", "5", "15"]
        assert found[1] == ("11: a step up", "11")
        await both.discord.ask(
            both.discord.tom, "tune set", name="crosses_per_day", value="11", bot=BOT
        )
        [(name, value)] = await offered(
            both, "tune set", "value", "", name="crosses_per_day", bot=BOT
        )
        assert value == "11" and name.startswith("11: as it is; rests until ")


async def test_discord_offers_changes_and_snapshots_in_words(both: Both) -> None:
    there = both.discord
    async with open_tuned(both):
        await there.ask(there.tom, "tune set", name="crosses_per_day", value="11", bot=BOT)
        await there.ask(there.tom, "tune snapshot", name="calm")
        [(name, value)] = await offered(both, "undo", "change", "")
        assert value == "1" and name.startswith(f"1: {BOT}: crosses_per_day 12 to 11, by ")
        found = await offered(both, "tune diff", "snapshot", "")
        assert [value for _, value in found] == ["calm", "1"]
        assert found[0][0].startswith("calm: taken ")


# -- attacks that the reference system did not withstand -----------------------------------


async def test_t13_a_roll_back_restores_every_parameter(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with open_tuned(both) as desk:
        await here.ask(here.tom, "/tune snapshot calm")
        before = desk.values()
        # Of the strategy, of its exits, of its size, of the pipeline, and of the desk.
        lines = (
            "crosses_per_day=9 fast=200",
            "stop_loss=2.5%",
            "leverage=12",
            "confidence_min=10%",
            "day_stops=4%",
        )
        for number, line in enumerate(lines, 1):
            card = await there.ask(there.ann, "tune set", name=line)
            await desk.approve(both, card)
            assert len(desk.desk.tuning().changes) == number
        changed = desk.values()
        assert len([key for key in before if changed[key] != before[key]]) == 6

        asked = await here.ask(here.ann, "/tune rollback calm all of it")
        assert only(desk.chat).tier is Tier.RED
        await here.ask(here.ann, only(desk.chat).phrase, reply_to=asked)
        await here.shown(asked, "approved by ann")
        assert desk.values() == before
        same = await there.ask(there.ann, "tune diff", snapshot="calm")
        assert "All parameters are as they were." in said(same)


async def test_t17_what_the_model_suggests_waits_for_a_human(both: Both) -> None:
    here = both.telegram
    async with open_tuned(both) as desk:
        before = desk.values()
        for number, (scope, name, value, tier) in enumerate(
            (
                (BOT, "crosses_per_day", 11.0, Tier.YELLOW),
                (BOT, "leverage", 12.0, Tier.YELLOW),
                (DESK_SCOPE, "day_stops", 0.04, Tier.RED),
            ),
            1,
        ):
            wanted = SetParameters(scope, ((name, value),), "I am 99% sure.", Source.MODEL)
            asked = await desk.desk.ask(wanted, DESK)
            assert isinstance(asked, Proposed) and asked.proposal.tier is tier
            card = await here.told(here.private(here.ann), f"Proposal {number}:")
            assert "Suggested by the model: I am 99% sure." in (card.text or "")
        assert desk.values() == before
        # What is not decided ends; nothing comes true by waiting.
        both.clock.leap(3 * DAY_MS)
        for number in (1, 2, 3):
            card = await here.told(here.private(here.ann), f"Proposal {number}:")
            await here.shown(card, "Nothing was changed.")
        assert desk.values() == before
        assert desk.desk.tuning().changes == ()
