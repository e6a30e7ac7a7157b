"""The strategies in words: rules, exits, sizing and every parameter."""

from dataclasses import replace

import pytest

from engine.desk import Desk
from engine.strategies import STRATEGIES, common
from handlers.reply import Duration, Percent, Reply, Table, Text
from handlers.strategies import exits_block, parameters_table, rule_in_words, sizing_words
from tests.handlers.desks import BOT, fields, rows, say, table, text


async def test_those_at_work_stand_first_with_their_bots(desk: Desk) -> None:
    answer = await say(desk, "/strategy list")
    (running,) = rows(table(answer, "Strategies at work"))
    assert (running["strategy"], running["timeframe"]) == ("shortseller", "5m")
    assert running["bots"] == BOT
    others = [row["strategy"] for row in rows(table(answer, "Other strategies"))]
    assert others == [name for name in STRATEGIES if name != "shortseller"]


async def test_the_strategies_at_work_are_a_button_away(desk: Desk) -> None:
    said = [button.command for button in (await say(desk, "/strategy list")).buttons]
    assert said == ["/strategy show shortseller", "/bot list", "/signals"]


async def test_however_many_are_at_work_the_buttons_stay_few(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = desk.view()
    bots = tuple(replace(view.bots[0], bot_id=f"{name}_001", strategy=name) for name in STRATEGIES)
    monkeypatch.setattr(Desk, "view", lambda self: replace(view, bots=bots))
    said = [button.command for button in (await say(desk, "/strategy list")).buttons]
    assert len(said) == 6
    assert said[-2:] == ["/bot list", "/signals"]


async def test_the_list_says_what_is_switched_off(desk: Desk) -> None:
    assert "switched off" not in text(await say(desk, "/strategy list"))
    await say(desk, "/strategy off shortseller btc")
    assert f"{BOT} is switched off on BTCUSDT." in text(await say(desk, "/strategy list"))


@pytest.mark.parametrize("name", STRATEGIES)
async def test_each_strategy_is_told_with_its_rule_and_all_its_numbers(
    desk: Desk, name: str
) -> None:
    strategy = STRATEGIES[name]
    rule = (await say(desk, f"/strategy show {name}")).blocks[0]
    assert isinstance(rule, Text)
    assert rule.text == rule_in_words(strategy)
    assert len(rule.text) > len(strategy.summary)
    own = rows(table(await say(desk, f"/strategy show {name} parameters"), f"Parameters of {name}"))
    assert [row["parameter"] for row in own] == [each.name for each in strategy.parameters]
    title = f"Parameters of {name} that all have"
    shared = rows(table(await say(desk, f"/strategy show {name} common"), title))
    assert [row["parameter"] for row in own + shared] == list(strategy.tunable)


async def test_a_card_says_timeframe_warm_up_sizing_signals_and_bots(desk: Desk) -> None:
    assert fields(await say(desk, "/strategy show rsi")) == {
        "timeframe": "5m, confirmed on 15m (also 1h)",
        "warm_up": "203 bars (16h 55m)",
        "sizing": "2% of equity as margin at 3x, worth 6% of it, one a symbol",
        "signals": "confidence 60% or more, fewer than 4 turns in 15 min, said twice within 10 min",
        "bots": "none runs it",
    }
    card = fields(await say(desk, "/strategy show shortseller"))
    assert card["bots"] == f"{BOT} on BTCUSDT, ETHUSDT 5m"
    assert card["signals"] == "each is taken as it comes"


async def test_exits_stand_by_symbol_and_those_that_are_off_are_left_out(desk: Desk) -> None:
    exits = rows(table(await say(desk, "/strategy show shortseller"), "Exits"))
    assert [row["symbol"] for row in exits] == ["BTCUSDT", "ETHUSDT", "SOLUSDT", "other symbols"]
    assert exits[0] == {
        "symbol": "BTCUSDT",
        "stop": Percent(0.01),
        "target": Percent(0.03),
        "trail": Percent(0.01),
        "trails_from": Percent(0.02),
        "break_even_from": None,
        "max_age": Duration(86_400_000),
        "losing_age": None,
        "rest": Duration(3_600_000),
        "rest_until_full": None,
    }


def test_a_strategy_without_fixed_exits_says_so() -> None:
    block = exits_block(STRATEGIES["breakout"])
    assert block == Text("Exits: its own rule alone, with the levels that each signal brings.")


SIZES = {
    "lxalgo": "150 USDT a position at 1x, at most 15 at once, not counting those whose stop is "
    "beyond the entry, only with 200 USDT free",
    "momentum": "so large that its stop costs 3% of equity, at most 20% of equity each, "
    "at most 3 at once",
    "shortseller": "5% of equity as margin at 10x, worth 50% of it, one a symbol",
}


@pytest.mark.parametrize(("name", "words"), SIZES.items(), ids=SIZES)
def test_sizing_is_told_in_words(name: str, words: str) -> None:
    assert sizing_words(STRATEGIES[name].sizing) == words


async def test_a_parameter_comes_with_value_unit_bounds_and_tier(desk: Desk) -> None:
    (fast, *_) = rows(table(await say(desk, "/strategy show shortseller"), "Parameters"))
    assert fast == {
        "parameter": "fast",
        "value": "240 bars",
        "what": "length of the shorter average",
        "allowed": "2 to 1000 in steps of 1",
        "tier": "yellow",
    }


async def test_what_somebody_set_for_a_bot_stands_before_the_default(desk: Desk) -> None:
    bot = replace(desk.view().bots[0], tuned={"fast": "300", "stop_loss": "2%"})
    strategy = STRATEGIES["shortseller"]
    own = parameters_table("", strategy, strategy.parameters, [bot])
    assert values(own)["fast"] == f"300 bars in {BOT}; default 240 bars"
    assert values(own)["slow"] == "600 bars"
    shared = parameters_table("", strategy, common.EXITS, [bot])
    assert values(shared)["stop_loss"] == f"2% in {BOT}; default 1% or 1.5%"
    assert values(shared)["max_age"] == "1d"


def values(found: Table) -> dict[object, object]:
    return {row[0]: row[1] for row in found.rows}


async def test_many_parameters_wait_behind_a_button(desk: Desk) -> None:
    answer = await say(desk, "/strategy show combined")
    assert Text("It has 48 parameters of its own.") in answer.blocks
    assert "/strategy show combined parameters" in [button.command for button in answer.buttons]


def test_the_lines_of_a_rule_are_as_wide_as_the_reader_has_room() -> None:
    paragraphs = rule_in_words(STRATEGIES["combined"]).split("\n\n")
    assert paragraphs[0] == "The five indicator strategies together: what enough of them say."
    items = paragraphs[2].split("\n")
    assert [item[: item.index(":")] for item in items] == [
        "- consensus", "- weighted", "- best", "- conservative", "- majority",
    ]  # fmt: skip


async def test_an_unknown_strategy_is_refused_with_those_there_are(desk: Desk) -> None:
    answer: Reply = await say(desk, "/strategy show moon")
    assert answer.error is not None
    assert answer.error.startswith("strategy: 'moon' is not valid. Allowed: shortseller, lxalgo")


async def test_an_empty_desk_tells_its_strategies_too(empty_desk: Desk) -> None:
    assert (await say(empty_desk, "/strategy list")).ok
    assert fields(await say(empty_desk, "/strategy show shortseller"))["timeframe"] == "5m"
