"""The card of an analysis: what to make of it first, what is made up marked, and its picture."""

from dataclasses import replace

import pytest

from engine.advice import NO_KEY, Analysis, Lean, Level, MarketRead, Trend
from engine.desk import Desk
from handlers import analysis_card
from handlers.reply import CandleChart, Chart, Fields, Price, Reply, Table, Text, Time
from tests.handlers.desks import BAR, BTC, ETH, T0, OpenDesk, ScriptedMarket, course, fields, text

NUMBER = 17
# 64 hours and a third of one: the last candle of the picture has not closed.
BARS = course(100_000.0, [(700, 5.0), (72, -20.0)])
CLOSED_AT = BARS[-1].ts + BAR
PRICE = BARS[-1].close


def read(symbol: str = BTC, **changed: object) -> MarketRead:
    found = MarketRead(
        symbol=symbol,
        ts=CLOSED_AT,
        price=PRICE,
        by="gemini-2.5-flash",
        lean=Lean.LONG,
        confidence=0.72,
        reasoning="RSI of 63 turned up, and the hour agrees.",
        bias=0.55,
        scores=(("rsi", 0.8), ("macd", 0.65)),
        trend=Trend.UP,
        trend_strength=0.62,
        supports=(101_000.04, 100_500.0),
        resistances=(103_500.0,),
        volatility=Level.LOW,
        volume="Volume is usual.",
        overall_risk=Level.MEDIUM,
        technical_risk=Level.LOW,
        market_risk=Level.MEDIUM,
        size=0.75,
        stop_loss=PRICE * 0.99,
        take_profit=PRICE * 1.02,
    )
    return replace(found, **changed)


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    return await open_desk(ScriptedMarket({BTC: BARS, ETH: BARS}))


async def carded(desk: Desk, *reads: MarketRead) -> Reply:
    return await analysis_card.card(desk, NUMBER, Analysis(reads))


def picture(answer: Reply) -> CandleChart:
    (found,) = (block.chart for block in answer.blocks if isinstance(block, Chart))
    assert isinstance(found, CandleChart)
    return found


async def test_one_symbol_says_first_what_it_is_how_sure_and_by_whom(desk: Desk) -> None:
    answer = await carded(desk, read())
    assert answer.blocks[0] == Text("BTCUSDT: long, 72% sure, by gemini-2.5-flash.")
    found = fields(answer, "Analysis 17 of BTCUSDT")
    assert found["price"] == Price(PRICE, 1)
    assert found["as_of"] == Time(CLOSED_AT)
    assert found["support"] == "101,000.0, 100,500.0"
    assert found["resistance"] == "103,500.0"
    assert found["stop"] == "101,039.4 (-1.00%)"
    assert found["target"] == "104,101.2 (+2.00%)"
    assert found["risk"] == "medium (technical low, market medium)"
    assert found["size"] == "75% of usual"
    assert found["suits"] == "rsi 80%, macd 65%"
    assert "Why: RSI of 63 turned up, and the hour agrees." in text(answer)


async def test_what_is_made_up_is_marked_and_said(desk: Desk) -> None:
    answer = await carded(desk, read(invented=("63", "40%"), volume="up 40%"))
    assert "RSI of 63 [not in the data] turned up" in text(answer)
    assert fields(answer)["volume"] == "up 40% [not in the data]"
    assert "Don't rely on 63, 40%: they stand in nothing that the model was shown." in text(answer)


async def test_a_grounded_answer_has_no_warning(desk: Desk) -> None:
    assert "rely" not in text(await carded(desk, read()))


@pytest.mark.parametrize(
    "instead", ["Google refuses the key", "The model has cost $0.01 of $0.01 today."]
)
async def test_where_indicators_stand_in_that_is_said_first_with_the_reason(
    desk: Desk, instead: str
) -> None:
    answer = await carded(desk, read(by="indicators", instead=instead))
    first, second = answer.blocks[:2]
    words = instead.rstrip(".")
    assert first == Text(f"Indicators stand in for the model: {words}.")
    assert second == Text("BTCUSDT: long, 72% sure, by the vote of indicators.")


async def test_that_there_is_no_key_is_said_last(desk: Desk) -> None:
    answer = await carded(desk, read(by="indicators", instead=NO_KEY))
    assert answer.blocks[0] == Text("BTCUSDT: long, 72% sure, by the vote of indicators.")
    assert answer.blocks[-1] == Text(f"Indicators alone. {NO_KEY}")


async def test_without_levels_it_says_so_and_leaves_stop_and_target_out(desk: Desk) -> None:
    bare = read(supports=(), resistances=(), stop_loss=None, take_profit=None, lean=Lean.NEUTRAL)
    answer = await carded(desk, bare)
    found = fields(answer)
    assert (found["support"], found["resistance"]) == ("none near", "none near")
    assert not {"stop", "target"} & found.keys()
    assert picture(answer).levels == ()


async def test_the_picture_has_the_candles_as_they_were_and_the_levels(desk: Desk) -> None:
    chart = picture(await carded(desk, read()))
    assert chart.title == "BTCUSDT 1h analysis 17"
    assert chart.levels == (
        ("support", 101_000.0),
        ("support", 100_500.0),
        ("resistance", 103_500.0),
        ("stop", 101_039.4),
        ("target", 104_101.2),
    )
    assert chart.forming_until == CLOSED_AT
    assert chart.candles[-1].close == PRICE
    earlier = picture(await carded(desk, read(ts=T0 + 600 * BAR)))
    assert earlier.candles[-1].ts + 12 * BAR == T0 + 600 * BAR
    assert earlier.forming_until is None


async def test_before_the_first_candle_there_is_no_picture(desk: Desk) -> None:
    answer = await carded(desk, read(ts=T0))
    assert not [block for block in answer.blocks if isinstance(block, Chart)]


async def test_several_symbols_stand_in_a_table_each_with_its_reason(desk: Desk) -> None:
    eth = read(ETH, lean=Lean.NEUTRAL, stop_loss=None, take_profit=None, reasoning="Calm at 9.")
    answer = await carded(desk, read(), replace(eth, invented=("9",)))
    table = one(answer, Table)
    assert table.title == "Analysis 17 by gemini-2.5-flash"
    assert [row[0] for row in table.rows] == [BTC, ETH]
    assert table.rows[1][-2:] == (None, None)
    assert "BTCUSDT: RSI of 63 turned up" in text(answer)
    assert "ETHUSDT: Calm at 9 [not in the data]." in text(answer)
    assert not [block for block in answer.blocks if isinstance(block, Fields | Chart)]


def one(answer: Reply, kind: type[Table]) -> Table:
    (found,) = (block for block in answer.blocks if isinstance(block, kind))
    return found


async def test_buttons_lead_to_what_it_rests_on(desk: Desk) -> None:
    said = [button.command for button in (await carded(desk, read())).buttons]
    assert said == ["/why BTCUSDT", "/chart BTCUSDT", "/analysis 17", "/bias"]
    said = [button.command for button in (await carded(desk, read(), read(ETH))).buttons]
    assert said == ["/why BTCUSDT", "/why ETHUSDT", "/analysis 17", "/bias"]
