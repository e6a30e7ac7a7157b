"""Countersigns from end to end: asked, shown, decided and told, on both platforms."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyotp
import pytest

from engine.bot import BotStatus
from engine.people import Role
from engine.proposal import ProposalState
from engine.store.sql import open_store
from engine.tunable import Tier
from tests.chat import discord_scene
from tests.chat.both_scene import Both, HandClock, code, enroll, only, open_both, said_of, staff
from tests.chat.desks import ChatDesk, quiet_market
from tests.chat.discord_scene import said
from tests.chat.telegram_scene import Scene, eventually, open_scene
from tests.handlers.desks import BAR, BOT, BTC, course
from tests.servers.discord_world import Message as Card
from tests.servers.discord_world import User as DiscordUser
from tests.servers.telegram_chat import Message, User

MINUTE_MS = 60_000
# How it is told to whoever presses too late.
TOLD = f"✗ Proposal 1 (Resume {BOT})"
LATE = f"{TOLD} was approved by tom at 00:00:00 UTC"


@pytest.fixture
async def both(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    async with open_both(tmp_path, request) as both:
        yield both


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def scene(
    tmp_path: Path, request: pytest.FixtureRequest, clock: HandClock
) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, request, clock) as scene:
        yield scene


def is_paused(desk: ChatDesk) -> bool:
    return desk.desk.view().bots[0].status is BotStatus.PAUSED


def role_of(desk: ChatDesk, name: str) -> Role:
    return next((each.role for each in desk.desk.view().people if each.name == name), Role.NOBODY)


async def wanted(scene: Scene, user: User) -> Message:
    """The card of a YELLOW proposal: to let the bot go on that was paused before."""
    await scene.ask(user, f"/bot pause {BOT}")
    return await scene.ask(user, f"/bot resume {BOT}")


async def halted(scene: Scene, user: User) -> Message:
    """The card of a RED proposal: to trade again after a halt."""
    await scene.ask(user, "/halt")
    return await scene.ask(user, "/resume")


async def filled_in(
    scene: discord_scene.Scene, user: DiscordUser, card: Card, **values: str
) -> Card:
    """What the form behind Approve... is answered."""
    opened = await scene.press(user, card, "Approve...")
    await scene.server.until(lambda: opened.modal)
    return await scene.answer(await scene.server.submit(user, opened, values))


# -- one platform asks, the other decides ------------------------------------------------


async def test_yellow_asked_on_telegram_is_confirmed_on_discord(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        asked = await wanted(here, here.tom)
        card = await there.told(there.dm(there.ann), "Proposal 1:")
        await there.press(there.ann, card, "Confirm")
        await there.shown(card, "approved by ann")
        await here.shown(asked, "approved by ann")
        told = await here.told(asked.chat, "Proposal 1: Resume")
        assert "approved by ann" in (told.text or "")
        assert not is_paused(desk)
        assert card.controls == asked.buttons == {}
    assert len(await said_of(both.store, f"approved Proposal 1 (Resume {BOT})")) == 1
    assert len(await said_of(both.store, "done Proposal 1")) == 1


async def test_yellow_asked_on_discord_is_confirmed_on_telegram(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        await there.ask(there.tom, "bot pause", bot=BOT)
        asked = await there.ask(there.tom, "bot resume", there.channel, bot=BOT)
        card = await here.told(here.private(here.ann), "Proposal 1:")
        here.press(here.ann, card, "Confirm")
        await here.shown(card, "approved by ann")
        await there.shown(asked, "approved by ann")
        told = await there.told(there.channel, "Proposal 1: Resume")
        assert "approved by ann" in said(told)
        assert not is_paused(desk)
        assert asked.controls == card.buttons == {}
    assert len(await said_of(both.store, "approved Proposal 1")) == 1


async def test_everybody_who_may_decide_has_one_card_on_each_platform(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk():
        await halted(here, here.ann)
        await here.told(here.private(both.bea), "Proposal 1:")
        for user in (there.ann, both.bea_there):
            await there.told(there.dm(user), "Proposal 1:")
        await here.until_judged()
        for user in (here.tom, here.vera):
            assert here.having(here.private(user), "Proposal 1:") == []
        assert len(here.having(here.private(here.ann), "Proposal 1:")) == 1
        assert there.having(there.dm(there.tom), "Proposal 1:") == []


async def test_of_two_who_press_in_one_millisecond_one_wins_and_both_are_told(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        await wanted(here, here.tom)
        mine = await here.told(here.private(here.ann), "Proposal 1:")
        theirs = await there.told(there.dm(both.bea_there), "Proposal 1:")
        here.press(here.ann, mine, "Confirm")
        await there.press(both.bea_there, theirs, "Reject")
        await here.server.until(lambda: mine.buttons == {})
        await there.server.until(lambda: theirs.controls == {})
        proposal = await desk.desk.proposal(1)
        assert proposal is not None
        if proposal.state is ProposalState.DONE:
            await there.told(
                there.dm(both.bea_there),
                f"{TOLD} was approved by ann at 00:00:00 UTC",
            )
            assert "approved by ann" in (mine.text or "") and "approved by ann" in said(theirs)
        else:
            await here.told(
                here.private(here.ann),
                f"{TOLD} was rejected by bea at 00:00:00 UTC",
            )
            assert "rejected by bea" in (mine.text or "") and "rejected by bea" in said(theirs)
        assert is_paused(desk) is (proposal.state is ProposalState.REJECTED)
    decided = await said_of(both.store, "approved Proposal 1")
    decided += await said_of(both.store, "rejected Proposal 1")
    assert len(decided) == 1


# -- RED ---------------------------------------------------------------------------------


async def test_red_takes_phrase_and_code_and_the_message_with_the_code_is_deleted(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        seed = await enroll(scene, scene.ann, clock)
        clock.leap(30_000)
        card = await halted(scene, scene.ann)
        phrase = only(desk).phrase
        missing = await scene.ask(scene.ann, phrase, reply_to=card)
        assert "code of your authenticator is missing" in (missing.text or "")
        scene.server.write(scene.ann, card.chat, f"{phrase} 000000", reply_to=card)
        await scene.told(card.chat, "That code is wrong. 4 more")
        assert desk.desk.view().halted

        right = f"{phrase} {code(seed, clock)}"
        said_it = scene.server.write(scene.ann, card.chat, right, reply_to=card)
        await scene.shown(card, "approved by ann")
        await scene.server.until(lambda: said_it.id not in card.chat.messages)
        assert not desk.desk.view().halted

        again = await halted(scene, scene.ann)
        phrase = only(desk).phrase
        replayed = f"{phrase} {code(seed, clock)}"
        scene.server.write(scene.ann, again.chat, replayed, reply_to=again)
        await scene.told(again.chat, "was used already")
        assert desk.desk.view().halted


async def test_red_by_form_takes_a_code_of_whoever_is_enrolled(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        seed = await enroll(here, here.ann, both.clock)
        both.clock.leap(30_000)
        await halted(here, here.ann)
        card = await there.told(there.dm(there.ann), "Proposal 1:")
        phrase = only(desk).phrase
        wrong = await filled_in(there, there.ann, card, phrase=phrase, code="000 000")
        assert "That code is wrong" in said(wrong)
        missing = await filled_in(there, there.ann, card, phrase=phrase)
        assert "code of your authenticator is missing" in said(missing)
        assert desk.desk.view().halted
        await filled_in(there, there.ann, card, phrase=phrase, code=code(seed, both.clock))
        await there.shown(card, "approved by ann")
        assert not desk.desk.view().halted
    for line in await said_of(both.store, ""):
        assert code(seed, both.clock) not in line and seed not in line


async def test_a_phrase_is_read_as_phones_write_it(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await halted(scene, scene.ann)
        wide = "".join(chr(ord(each) + 0xFEE0) for each in "APPROVE")
        typed = only(desk).phrase.replace("APPROVE", wide).replace("RESUME", "resume")
        typed = typed.replace(" ", "  ")
        await scene.ask(scene.ann, typed, reply_to=card)
        assert not desk.desk.view().halted


# -- two people --------------------------------------------------------------------------


async def test_with_two_people_the_one_who_asked_does_not_count(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk(approvals={"required": 1}) as desk:
        card = await halted(here, here.ann)
        phrase = only(desk).phrase
        own = await here.ask(here.ann, phrase, reply_to=card)
        assert "You asked for it yourself: somebody else must approve" in (own.text or "")
        there_own = await there.told(there.dm(there.ann), "Proposal 1:")
        pressed = await there.press(there.ann, there_own, "Approve...")
        await there.told(there.dm(there.ann), "You asked for it yourself")
        assert pressed.modal is None
        assert desk.desk.view().halted
        other = await there.told(there.dm(both.bea_there), "Proposal 1:")
        await filled_in(there, both.bea_there, other, phrase=phrase)
        await here.shown(card, "approved by bea")
        assert not desk.desk.view().halted


async def test_where_two_must_approve_two_accounts_of_one_are_one(both: Both) -> None:
    here, there = both.telegram, both.discord
    eve = {"name": "eve", "role": "admin", "telegram": here.eve.id}
    people = (*both.people, eve)
    async with both.open_desk(approvals={"required": 2}, people=people) as desk:
        card = await halted(here, here.ann)
        phrase = only(desk).phrase
        first = await here.told(here.private(both.bea), "Proposal 1:")
        counted = await here.ask(both.bea, phrase, reply_to=first)
        assert "1 more must approve" in (counted.text or "")
        await here.shown(card, "1 of 2")
        other = await there.told(there.dm(both.bea_there), "Proposal 1:")
        await there.shown(other, "1 of 2")
        twice = await filled_in(there, both.bea_there, other, phrase=phrase)
        assert "You approved it already" in said(twice)
        assert desk.desk.view().halted and only(desk).approved == 1
        second = await here.told(here.private(here.eve), "Proposal 1:")
        await here.ask(here.eve, phrase, reply_to=second)
        await here.shown(card, "approved by bea, eve")
        assert not desk.desk.view().halted


async def test_who_asked_is_refused_on_an_account_that_was_linked_since(both: Both) -> None:
    here, there = both.telegram, both.discord
    ann = {"name": "ann", "role": "admin", "telegram": here.ann.id}
    people = (ann, *both.people[1:])
    async with both.open_desk(
        approvals={"required": 1}, people=people, discord_admin_ids=""
    ) as desk:
        offered = await here.ask(here.ann, "/link")
        word = next(w for w in (offered.text or "").split() if is_link_word(w))
        linked = await there.ask(there.ann, "link", code=word.strip(".:"))
        assert "is ann's from now on" in said(linked)
        await here.told(here.private(both.bea), "is ann's from now on")
        again = await there.ask(there.vera, "link", code=word.strip(".:"))
        assert "is ann's" not in said(again)

        await halted(here, here.ann)
        card = await there.told(there.dm(there.ann), "Proposal 1:")
        pressed = await there.press(there.ann, card, "Approve...")
        await there.told(there.dm(there.ann), "You asked for it yourself")
        assert pressed.modal is None
        assert desk.desk.view().halted


def is_link_word(word: str) -> bool:
    """Whether it looks like the one-time word of /link."""
    plain = word.strip(".:")
    return plain.count("-") >= 1 and plain.replace("-", "").isalnum() and plain.isupper()


# -- time --------------------------------------------------------------------------------


@pytest.mark.parametrize(("off_ms", "counts"), [(-1, True), (0, False), (1, False)])
async def test_a_press_counts_until_the_last_millisecond(
    scene: Scene, clock: HandClock, off_ms: int, counts: bool
) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await wanted(scene, scene.tom)
        token = card.buttons["Confirm"]
        assert only(desk).expires_at == clock.now() + 5 * MINUTE_MS
        clock.leap(5 * MINUTE_MS + off_ms)
        await scene.until_judged()
        scene.server.press(scene.tom, card, token)
        await scene.shown(card, "approved by tom" if counts else "expired at")
        if not counts:
            await scene.told(card.chat, f"{TOLD} expired at 00:05:00 UTC")
        assert is_paused(desk) is not counts
        assert card.buttons == {}


@pytest.mark.parametrize(("off_ms", "counts"), [(-1, True), (0, False), (1, False)])
async def test_an_order_waits_a_minute_to_the_millisecond_on_discord_too(
    both: Both, off_ms: int, counts: bool
) -> None:
    there = both.discord
    async with both.open_desk() as desk:
        card = await there.ask(there.tom, "buy", symbol="BTC", amount="500")
        [confirm] = [each for each, shown in card.controls.items() if shown["label"] == "Confirm"]
        assert only(desk).expires_at == both.clock.now() + MINUTE_MS
        asked = there.server.press(there.tom, card, confirm)
        both.clock.leap(MINUTE_MS + off_ms)
        await asked
        await there.shown(card, "approved by tom" if counts else "expired at")
        if not counts:
            await there.told(there.dm(there.tom), "expired at 00:01:00 UTC")
        assert len(desk.desk.view().open_orders) == int(counts)


async def test_what_nobody_decides_ends_by_itself_on_every_card(both: Both) -> None:
    here, there = both.telegram, both.discord
    async with both.open_desk() as desk:
        card = await wanted(here, here.tom)
        other = await there.told(there.dm(there.ann), "Proposal 1:")
        await both.clock.sleeping(300)
        both.clock.leap(5 * MINUTE_MS)
        await here.shown(card, "expired at")
        await there.shown(other, "expired at")
        assert card.buttons == other.controls == {}
        assert is_paused(desk) and not desk.desk.view().proposals


async def test_a_clock_that_went_back_voids_what_waits(scene: Scene, clock: HandClock) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await wanted(scene, scene.tom)
        token = card.buttons["Confirm"]
        clock.leap(-10_000)
        scene.server.press(scene.tom, card, token)
        await scene.shown(card, "clock went back by 10 s")
        assert is_paused(desk) and card.buttons == {}


async def test_what_raises_risk_waits_and_any_admin_may_reject_it_meanwhile(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene), approvals={"delay_s": 60}) as desk:
        card = await halted(scene, scene.ann)
        approved = await scene.ask(scene.ann, only(desk).phrase, reply_to=card)
        assert "It takes effect in 60 s" in (approved.text or "")
        await scene.shown(card, "it takes effect at 00:01:00 UTC")
        assert set(card.buttons) == {"Reject"} and desk.desk.view().halted
        other = await scene.told(scene.private(scene.eve), "Proposal 1:")
        await scene.shown(other, "it takes effect")
        clock.leap(59_999)
        await scene.until_judged()
        scene.press(scene.eve, other, "Reject")
        await scene.shown(card, "rejected by eve")
        clock.leap(10)
        await scene.until_judged()
        assert desk.desk.view().halted


async def test_what_was_approved_takes_effect_by_itself_after_its_delay(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene), approvals={"delay_s": 60}) as desk:
        card = await halted(scene, scene.ann)
        await scene.ask(scene.ann, only(desk).phrase, reply_to=card)
        await clock.sleeping(60)
        clock.leap(60_000)
        await scene.shown(card, "Trading is on again")
        await scene.server.until(lambda: card.buttons == {})
        assert not desk.desk.view().halted


# -- restarts ----------------------------------------------------------------------------


async def test_old_cards_of_both_platforms_work_once_after_a_restart(both: Both) -> None:
    here, there = both.telegram, both.discord
    both.store = await open_store(f"sqlite:///{here.folder / 'desk.db'}")
    async with both.open_desk():
        card = await wanted(here, here.tom)
        await halted(here, here.ann)
        red = await there.told(there.dm(there.ann), "Proposal 2:")
    async with both.open_desk() as desk:
        token = card.buttons["Confirm"]
        assert is_paused(desk) and desk.desk.view().halted
        await here.until_judged()
        here.server.press(here.tom, card, token)
        await here.shown(card, "approved by tom")
        phrase = only(desk).phrase
        await filled_in(there, there.ann, red, phrase=phrase)
        await there.shown(red, "approved by ann")
        assert not is_paused(desk) and not desk.desk.view().halted
    async with both.open_desk() as desk:
        await here.until_judged()
        here.server.press(here.tom, card, token)
        await here.told(card.chat, LATE)
        assert not is_paused(desk)
    assert len(await said_of(both.store, "approved Proposal 1")) == 1
    assert len(await said_of(both.store, "approved Proposal 2")) == 1
    await both.store.close()


async def test_cards_that_no_update_reached_before_the_end_are_updated_by_the_next_desk(
    both: Both,
) -> None:
    here, there = both.telegram, both.discord
    both.store = await open_store(f"sqlite:///{here.folder / 'desk.db'}")
    async with both.open_desk() as desk:
        card = await wanted(here, here.tom)
        own = await here.told(here.private(here.ann), "Proposal 1:")
        other = await there.told(there.dm(there.ann), "Proposal 1:")
        here.server.fault("editMessageText", "hang", times=100)
        await there.press(there.ann, other, "Confirm")
        await there.shown(other, "approved by ann")
        assert not is_paused(desk)
    assert "approved by" not in f"{card.text} {own.text}"
    here.server.heal()
    async with both.open_desk(tells_past=True) as desk:
        for each in (card, own):
            await here.shown(each, "approved by ann")
            assert each.buttons == {}
        assert not is_paused(desk)
    assert len(await said_of(both.store, "approved Proposal 1")) == 1
    await both.store.close()


async def test_a_decision_without_a_moment_to_tell_it_is_told_by_the_next_desk(
    scene: Scene,
) -> None:
    store = await open_store(f"sqlite:///{scene.folder / 'desk.db'}")
    async with scene.open_desk(store=store, **staff(scene)) as desk:
        card = await wanted(scene, scene.tom)
        own = await scene.told(scene.private(scene.ann), "Proposal 1:")
        committed = asyncio.Event()
        desk.runtime.listen(lambda batch: committed.set() if not is_paused(desk) else None)
        scene.server.fault(None, "drop", times=1e9)
        scene.press(scene.tom, card, "Confirm")
        async with asyncio.timeout(5):
            await committed.wait()
    scene.server.heal()
    assert "approved by" not in f"{card.text} {own.text}"
    async with scene.open_desk(store=store, tells_past=True, **staff(scene)) as desk:
        await scene.shown(card, "approved by tom")
        await scene.shown(own, "approved by tom")
        assert not is_paused(desk)
    await store.close()


async def test_a_delay_runs_on_while_the_desk_is_away(scene: Scene, clock: HandClock) -> None:
    store = await open_store(f"sqlite:///{scene.folder / 'desk.db'}")
    settings = staff(scene) | {"approvals": {"delay_s": 60}}
    async with scene.open_desk(store=store, **settings) as desk:
        card = await halted(scene, scene.ann)
        await scene.ask(scene.ann, only(desk).phrase, reply_to=card)
    clock.leap(60_000)
    async with scene.open_desk(store=store, tells_past=True, **settings) as desk:
        await scene.shown(card, "approved by ann")
        assert not desk.desk.view().halted
    await store.close()


# -- who comes late ----------------------------------------------------------------------


async def test_who_presses_late_is_told_who_decided_and_when(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await wanted(scene, scene.tom)
        other = await scene.told(scene.private(scene.ann), "Proposal 1:")
        mine, theirs = card.buttons["Confirm"], other.buttons["Reject"]
        scene.server.press(scene.tom, card, mine)
        await scene.shown(other, "approved by tom")
        scene.server.press(scene.ann, other, theirs)
        await scene.told(other.chat, LATE)
        scene.server.press(scene.tom, card, mine)
        await scene.told(card.chat, LATE)
        assert not is_paused(desk)


async def test_asking_again_voids_the_card_from_before(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        first = await wanted(scene, scene.tom)
        token = first.buttons["Confirm"]
        await scene.ask(scene.tom, f"/bot resume {BOT}")
        await scene.shown(first, "asked for again as proposal 2")
        scene.server.press(scene.tom, first, token)
        await scene.told(first.chat, f"{TOLD} is void since 00:00:00 UTC: it was asked for")
        assert is_paused(desk) and only(desk).proposal_id == 2


async def test_what_changed_meanwhile_voids_it_and_says_what(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await scene.ask(scene.ann, "/role vera trader")
        phrase = only(desk).phrase
        sooner = await scene.ask(scene.eve, "/role vera admin")
        [other] = [each for each in desk.desk.view().proposals if each.phrase != phrase]
        await scene.ask(scene.eve, other.phrase, reply_to=sooner)
        refused = await scene.ask(scene.ann, phrase, reply_to=card)
        assert "is void: vera" in (refused.text or "")
        assert "was 'viewer', it is 'admin' now" in (refused.text or "")
        await scene.shown(card, "void since")
        assert role_of(desk, "vera") is Role.ADMIN


# -- orders ------------------------------------------------------------------------------


async def test_an_order_is_shown_confirmed_by_its_author_filled_and_closed(scene: Scene) -> None:
    market = quiet_market()
    async with scene.open_desk(market, **staff(scene)) as desk:
        card = await scene.ask(scene.tom, "/buy BTC 500")
        for fact in (
            "Buy 0.004 BTC (400.06 of the 500.00 USDT asked)", "10x, margin ", "Stop ", "target ",
            "-4.44", "fee ", "4.00% of the account", "mode and kill", "market open",
            "one position a symbol", "size", "instrument limits",
        ):  # fmt: skip
            assert fact in (card.text or ""), fact
        assert desk.desk.view().open_orders == ()
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")
        assert len(desk.desk.view().open_orders) == 1
        bars = course(100_015.0, [(3, 5.0)])
        market.tell(BTC, after(bars[0], 3))
        await scene.told(scene.private(scene.ann), "Bought ")
        [position] = desk.desk.view().positions

        shown = await scene.ask(scene.tom, "/positions")
        scene.press(scene.tom, shown, f"Close {BTC}")
        closing = await scene.told(shown.chat, "Proposal 2: Close ")
        assert set(closing.buttons) == {"Confirm", "Cancel"}
        assert desk.desk.view().positions == (position,)
        scene.press(scene.tom, closing, "Confirm")
        await scene.shown(closing, "approved by tom")
        market.tell(BTC, after(bars[1], 4))
        await scene.told(scene.private(scene.ann), "Sold ")
        assert desk.desk.view().positions == ()


def after(bar: Any, place: int) -> Any:
    """A bar moved to a place of the script."""
    return bar._replace(ts=quiet_market().coming[0].candle.ts + place * BAR)


async def test_a_price_that_ran_away_voids_an_order_and_tells_the_numbers(scene: Scene) -> None:
    market = quiet_market()
    async with scene.open_desk(market, **staff(scene)) as desk:
        card = await scene.ask(scene.tom, "/buy BTC 500")
        bar = course(100_015.0, [(1, 600.0)])[0]
        market.tell(BTC, after(bar, 3))
        await eventually(lambda: has_price(desk, 100_615.0))
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "the price was 100015, it is 100615 (+0.60%, allowed 0.5%)")
        await scene.told(card.chat, "is void: the price was 100015")
        assert desk.desk.view().open_orders == ()


async def has_price(desk: ChatDesk, price: float) -> bool:
    return desk.desk.view().prices[BTC] == price


async def test_while_the_desk_is_halted_no_order_is_shown_and_closing_still_is(
    scene: Scene,
) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await scene.ask(scene.tom, "/buy BTC 500")
        await scene.ask(scene.vera, "/halt")
        assert not desk.desk.view().halted
        await scene.ask(scene.tom, "/halt")
        assert desk.desk.view().halted
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "void since")
        refused = await scene.ask(scene.tom, "/buy BTC 500")
        assert "Refused by the gate mode and kill" in (refused.text or "")
        assert desk.desk.view().open_orders == ()
        assert not desk.desk.view().proposals


async def test_a_preview_shows_all_and_changes_nothing(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        shown = await scene.ask(scene.tom, "/preview buy BTC 500")
        for fact in ("Preview", "10x, margin ", "instrument limits", "yellow"):
            assert fact in (shown.text or "")
        assert not desk.desk.view().proposals
        scene.press(scene.tom, shown, "Ask for it")
        await scene.server.until(lambda: desk.desk.view().proposals)
        assert only(desk).tier is Tier.YELLOW


# -- people ------------------------------------------------------------------------------


async def test_a_stranger_asks_an_admin_replies_and_the_stranger_may_look(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        asked = await scene.ask(scene.sue, "/access")
        assert "The admins are asked" in (asked.text or "")
        assert "PAPER" not in (asked.text or "")
        card = await scene.told(scene.private(scene.ann), "Proposal 1:")
        assert f"telegram:{scene.sue.id}" in (card.text or "")
        assert scene.having(scene.private(scene.tom), "Proposal 1:") == []
        scene.server.write(scene.ann, card.chat, only(desk).phrase, reply_to=card)
        await scene.shown(card, "approved by ann")
        await scene.told(scene.private(scene.sue), "viewer")
        status = await scene.ask(scene.sue, "/status")
        assert "mode: paper" in (status.text or "")
        refused = await scene.ask(scene.sue, "/halt")
        assert "needs the role trader" in (refused.text or "")
        assert not desk.desk.view().halted


async def test_a_stranger_who_is_rejected_stays_one(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)):
        await scene.ask(scene.sue, "/access trader")
        again = await scene.ask(scene.sue, "/access trader")
        assert "You asked already" in (again.text or "")
        card = await scene.told(scene.private(scene.ann), "Proposal 1:")
        scene.press(scene.ann, card, "Reject")
        await scene.shown(card, "rejected by ann")
        whoami = await scene.ask(scene.sue, "/whoami")
        assert "role: nobody" in (whoami.text or "")


async def test_a_role_is_given_by_phrase_and_counts_at_once(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await scene.ask(scene.ann, "/role vera trader")
        phrase = only(desk).phrase
        assert phrase.startswith("APPROVE ROLE VERA TRADER ")
        assert "viewer" in (card.text or "") and "trader" in (card.text or "")
        before = await scene.ask(scene.vera, "/halt")
        assert "needs the role trader" in (before.text or "")
        wrong = await scene.ask(scene.ann, phrase.replace("VERA", "TOM"), reply_to=card)
        assert "Word 3 of the phrase is 'TOM', not 'VERA'" in (wrong.text or "")
        assert role_of(desk, "vera") is Role.VIEWER
        await scene.ask(scene.ann, phrase, reply_to=card)
        assert role_of(desk, "vera") is Role.TRADER
        await scene.ask(scene.vera, "/halt")
        assert desk.desk.view().halted


async def test_who_is_made_nobody_can_not_decide_what_waits_for_them(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        await wanted(scene, scene.ann)
        theirs = await scene.told(scene.private(scene.tom), "Proposal 1:")
        card = await scene.ask(scene.ann, "/role tom nobody")
        phrase = next(p.phrase for p in desk.desk.view().proposals if p.phrase)
        await scene.ask(scene.ann, phrase, reply_to=card)
        scene.press(scene.tom, theirs, "Confirm")
        await scene.until_judged()
        assert is_paused(desk) and only(desk).proposal_id == 1


async def test_enrolling_shows_a_picture_and_from_then_on_sessions_need_codes(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        group = await scene.open_group()
        elsewhere = await scene.ask(scene.tom, "/enroll", group)
        assert "private chat" in (elsewhere.text or "")
        seed = await enroll(scene, scene.tom, clock)
        await scene.told(scene.private(scene.ann), "tom proves themselves with an authenticator")
        # Whoever has the picture has the codes.
        await scene.server.until(lambda: not pictures(scene, scene.tom))
        card = await wanted(scene, scene.tom)
        await scene.ask(scene.tom, "/lock")
        scene.press(scene.tom, card, "Confirm")
        await scene.told(card.chat, "Your session is closed. Say /unlock")
        assert is_paused(desk)
        in_group = await scene.ask(scene.tom, "/unlock 123456", group)
        assert "private chat" in (in_group.text or "")
        clock.leap(30_000)
        typed = scene.server.write(
            scene.tom, scene.private(scene.tom), f"/unlock {code(seed, clock)}"
        )
        await scene.told(scene.private(scene.tom), "Your session is open for 30 minutes after")
        await scene.server.until(lambda: typed.id not in typed.chat.messages)
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")
        assert not is_paused(desk)


def pictures(scene: Scene, user: User) -> list[Message]:
    return [each for each in scene.server.from_bot(scene.private(user)) if each.media]


async def test_a_picture_makes_way_for_the_next_one_and_goes_after_ten_minutes(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene)):
        scene.server.write(scene.tom, scene.private(scene.tom), "/enroll")
        [first] = await scene.server.until(lambda: pictures(scene, scene.tom))
        assert first.media is not None and first.media.content[:4] == b"\x89PNG"
        scene.server.write(scene.tom, scene.private(scene.tom), "/enroll")
        [second] = await scene.server.until(
            lambda: [each for each in pictures(scene, scene.tom) if each is not first]
        )
        await scene.server.until(lambda: pictures(scene, scene.tom) == [second])
        clock.leap(10 * MINUTE_MS)
        await scene.server.until(lambda: not pictures(scene, scene.tom))


async def test_a_picture_on_discord_goes_when_it_was_used(both: Both) -> None:
    async with both.open_desk() as desk:
        there = both.discord
        shown = await there.slash(there.tom, "enroll")
        picture = await there.answer(shown)
        assert picture.files
        uri = desk.desk.enrollment("tom")
        assert uri is not None
        found = pyotp.parse_uri(uri).at(both.clock.now() // 1000)
        done = await there.ask(there.tom, "enroll", code=found)
        assert "You are enrolled" in said(done)
        dm = there.dm(there.tom)
        await there.server.until(lambda: picture not in there.server.messages(dm))


async def test_a_picture_that_can_not_be_deleted_is_for_its_owner_to_delete(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene)):
        words = "Bad Request: message can't be deleted"
        scene.server.fault("deleteMessage", 400, text=words, times=2)
        await enroll(scene, scene.tom, clock)
        await scene.told(scene.private(scene.tom), "Delete the picture above yourself")


async def test_five_wrong_tries_lock_out_and_the_other_admin_is_told(
    scene: Scene, clock: HandClock
) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await halted(scene, scene.ann)
        phrase = only(desk).phrase
        for left in (4, 3, 2, 1):
            wrong = await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=card)
            assert f"{left} more and you are locked out" in (wrong.text or "")
        last = await scene.ask(scene.ann, "APPROVE NOTHING", reply_to=card)
        assert "you are locked out for 15 minutes" in (last.text or "")
        await scene.told(scene.private(scene.eve), "ann is locked out for 15 minutes")
        right = await scene.ask(scene.ann, phrase, reply_to=card)
        assert "You are locked out" in (right.text or "")
        assert desk.desk.view().halted
        paused = await scene.ask(scene.ann, f"/bot pause {BOT}")
        assert is_paused(desk), paused.text

        let_in = await scene.ask(scene.eve, "/unlock ann")
        scene.press(scene.eve, let_in, "Confirm")
        await scene.shown(let_in, "approved by eve")
        await scene.ask(scene.ann, phrase, reply_to=card)
        assert not desk.desk.view().halted


async def test_an_admin_locks_somebody_until_they_are_let_in_again(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        card = await wanted(scene, scene.tom)
        refused = await scene.ask(scene.tom, "/lock ann")
        assert "Only an admin" in (refused.text or "")
        await scene.ask(scene.ann, "/lock tom")
        scene.press(scene.tom, card, "Confirm")
        await scene.told(card.chat, "You are locked out")
        assert is_paused(desk)


async def test_an_enrollment_ends_by_phrase(scene: Scene, clock: HandClock) -> None:
    async with scene.open_desk(**staff(scene)) as desk:
        await enroll(scene, scene.tom, clock)
        card = await scene.ask(scene.ann, "/unenroll tom")
        phrase = only(desk).phrase
        assert phrase.startswith("APPROVE UNENROLL TOM ")
        await scene.ask(scene.ann, phrase, reply_to=card)
        await scene.shown(card, "approved by ann")
        [tom] = [each for each in desk.desk.view().people if each.name == "tom"]
        assert not tom.enrolled


async def test_settings_show_no_secret_and_audit_shows_who_decided(scene: Scene) -> None:
    async with scene.open_desk(**staff(scene)):
        card = await wanted(scene, scene.tom)
        scene.press(scene.tom, card, "Confirm")
        await scene.shown(card, "approved by tom")
        shown = await scene.ask(scene.ann, "/audit")
        assert f"Proposal 1 (Resume {BOT})" in (shown.text or "") and "tom" in (shown.text or "")
        refused = await scene.ask(scene.tom, "/audit")
        assert "needs the role admin" in (refused.text or "")
