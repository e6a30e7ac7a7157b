"""Backtests in chats: one message that changes until it is the result, whatever happens to it."""

from bot.backtests import FOLDER
from bot.following import EDIT_S, FILE_NAME
from engine.studies import Stage, Study
from tests.chat import discord_scene, telegram_scene
from tests.chat.desks import ChatDesk, LiveMarket
from tests.chat.discord_scene import buttons, said
from tests.findings import done, finding
from tests.handlers.desks import BTC, course
from tests.studies import ScriptedStudies

LINE = "/backtest shortseller BTC 4"
OPTIONS = {"strategy": "shortseller", "symbols": "BTC", "days": 4}


def market() -> LiveMarket:
    return LiveMarket({BTC: course(100_000.0, [(5 * 288, 5.0)])})


def studies(desk: ChatDesk) -> ScriptedStudies:
    assert isinstance(desk.desk.studies, ScriptedStudies)
    return desk.desk.studies


def change(desk: ChatDesk, study: Study) -> None:
    studies(desk).found[study.number] = study
    desk.chats.following.on_change(study)


def begin(desk: ChatDesk, number: int, detail: str) -> None:
    change(desk, studies(desk).found[number].at(Stage.RUNNING, detail))


def end(desk: ChatDesk, number: int) -> None:
    """Let a backtest end with four trades."""
    studies(desk).end(number, done(number, finding()), finding())
    change(desk, studies(desk).found[number])


# -- Telegram ------------------------------------------------------------------------------


async def test_a_message_tells_how_far_it_is_and_becomes_the_result(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk(market()) as desk:
        card = await telegram.ask(telegram.tom, LINE)
        assert "Backtest 1: shortseller 5m on BTCUSDT, 4 days" in (card.text or "")
        assert set(card.buttons) == {"Cancel"}
        begin(desk, 1, "1,152 bars")
        await telegram.shown(card, "Running: 1,152 bars")
        end(desk, 1)
        await telegram.shown(card, "Lost 20.00 of 10,000.00")
        assert list(card.buttons) == ["By symbol", "By exit", "Trades", "Full report"]
        assert len(telegram.having(telegram.private(telegram.tom), "Backtest 1")) == 1


async def test_a_result_whose_message_was_deleted_is_posted_anew(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk(market()) as desk:
        chat = telegram.private(telegram.tom)
        card = await telegram.ask(telegram.tom, LINE)
        del chat.messages[card.id]
        begin(desk, 1, "1,152 bars")
        end(desk, 1)
        result = await telegram.told(chat, "Lost 20.00 of 10,000.00")
        assert result.id != card.id


async def test_the_button_cancels(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk(market()) as desk:
        card = await telegram.ask(telegram.tom, LINE)
        telegram.press(telegram.tom, card, "Cancel")
        await telegram.shown(card, "Backtest 1 was canceled.")
        assert studies(desk).found[1].stage is Stage.CANCELED


async def test_a_viewer_can_not_cancel_what_another_began(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk(market()) as desk:
        group = await telegram.open_group()
        card = await telegram.ask(telegram.tom, LINE, group)
        telegram.press(telegram.vera, card, "Cancel")
        await telegram.told(group, "/backtest cancel needs the role trader.")
        assert not studies(desk).found[1].is_over


async def test_what_is_asked_about_while_it_runs_is_followed_too(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk(market()) as desk:
        await telegram.ask(telegram.tom, LINE)
        other = await telegram.ask(telegram.vera, "/backtest show 1")
        end(desk, 1)
        await telegram.shown(other, "Lost 20.00 of 10,000.00")


async def test_two_strategies_end_as_one_comparison(telegram: telegram_scene.Scene) -> None:
    async with telegram.open_desk(market()) as desk:
        card = await telegram.ask(telegram.tom, "/compare shortseller rsi BTC 4")
        assert set(card.buttons) == {"Cancel 1", "Cancel 2"}
        end(desk, 1)
        await telegram.shown(card, "Backtest 1 is done.")
        end(desk, 2)
        await telegram.shown(card, "#2")


async def test_a_desk_that_starts_again_ends_the_message_of_a_run_that_is_lost(
    telegram: telegram_scene.Scene,
) -> None:
    async with telegram.open_desk(market()) as desk:
        card = await telegram.ask(telegram.tom, LINE)
        study = studies(desk).found[1]
    async with telegram.open_desk(market()) as again:
        change(again, study.failed("The desk was started again before it ended."))
        await telegram.shown(card, "has no result: The desk was started again")
        assert card.buttons == {}


async def test_nobody_is_told_who_may_not_use_the_desk_any_more(
    telegram: telegram_scene.Scene,
) -> None:
    followed = telegram.folder / FOLDER / FILE_NAME

    async def is_followed() -> bool:
        return followed.exists() and followed.read_text() != "[]"

    async def is_forgotten() -> bool:
        return not await is_followed()

    async with telegram.open_desk(market()) as desk:
        card = await telegram.ask(telegram.tom, LINE)
        await telegram_scene.eventually(is_followed)
        study = studies(desk).found[1]
    without_tom = ({"name": "vera", "role": "viewer", "telegram": telegram.vera.id},)
    async with telegram.open_desk(market(), people=without_tom) as again:
        change(again, study.failed("lost"))
        await telegram_scene.eventually(is_forgotten)
        assert "lost" not in (card.text or "")


# -- Discord -------------------------------------------------------------------------------


async def test_on_discord_the_answer_is_edited_until_it_is_the_result(
    discord: discord_scene.Scene,
) -> None:
    async with discord.open_desk(market()) as desk:
        card = await discord.ask(discord.tom, "backtest run", **OPTIONS)
        assert "Backtest 1: shortseller 5m on BTCUSDT, 4 days" in said(card)
        assert set(buttons(card)) == {"Cancel"}
        begin(desk, 1, "1,152 bars")

        def is_running() -> bool:
            discord.clock.skip(EDIT_S)
            return "Running: 1,152 bars" in said(card)

        await discord_scene.until(is_running)
        end(desk, 1)
        await discord.shown(card, "Lost 20.00 of 10,000.00")
        assert list(buttons(card)) == ["By symbol", "By exit", "Trades", "Full report"]


async def test_on_discord_a_run_that_outlives_its_interaction_still_ends(
    discord: discord_scene.Scene,
) -> None:
    async with discord.open_desk(market()) as desk:
        card = await discord.ask(discord.tom, "backtest run", **OPTIONS)
        discord.clock.skip(20 * 60)
        end(desk, 1)
        await discord.shown(card, "Lost 20.00 of 10,000.00")


async def test_discord_completes_strategies_symbols_parameters_and_numbers(
    discord: discord_scene.Scene,
) -> None:
    async with discord.open_desk(market()) as desk:
        await discord.ask(discord.tom, "backtest run", **OPTIONS)
        assert studies(desk).found
        for subcommand, option, typed, offered in (
            ("run", "strategy", "short", "shortseller"),
            ("run", "symbols", "bt", BTC),
            ("run", "settings", "stop_l", "stop_loss="),
            ("show", "number", "", "1"),
        ):
            asked = await discord.server.autocomplete(
                discord.tom,
                discord.dm(discord.tom),
                "backtest",
                option,
                typed,
                subcommand=subcommand,
            )
            await discord.server.until(lambda asked=asked: asked.answer)
            assert [choice["value"] for choice in asked.choices] == [offered]
