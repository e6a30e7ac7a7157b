"""/backtest and /compare: what is asked for, what is refused at once, and what a message shows."""

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.render.telegram import telegram_messages
from engine.backtest.plan import Held
from engine.candle import DAY_MS, timeframe_name
from engine.desk import Desk
from engine.errors import Broken
from engine.market.holdings import Holding
from engine.metrics import Mark
from engine.people import Role
from engine.ports import FeedHealth
from engine.signal import Sides
from engine.strategies import STRATEGIES
from engine.studies import Source, Stage, Study
from handlers.backtest import POINTS_MAX, thinned
from handlers.reply import (
    Chart,
    CurvesChart,
    EquityChart,
    File,
    Money,
    Percent,
    Reply,
    Table,
    Time,
    Word,
    show,
)
from handlers.trials import COSTS, TIMEFRAME
from tests.findings import SETUP, TRIPS, done, finding
from tests.handlers.desks import (
    BTC,
    ETH,
    T0,
    OpenDesk,
    ScriptedMarket,
    course,
    fields,
    quiet,
    rows,
    say,
    table,
    text,
)
from tests.studies import ScriptedStudies

DAYS_THERE = 6


@pytest.fixture
async def desk(open_desk: OpenDesk) -> Desk:
    """A desk on a market of six days of two symbols."""
    bars = course(100_000.0, [(DAYS_THERE * 288, 5.0)])
    return await open_desk(ScriptedMarket({BTC: bars, ETH: quiet(len(bars))}))


def studies(desk: Desk) -> ScriptedStudies:
    assert isinstance(desk.studies, ScriptedStudies)
    return desk.studies


def chart(reply: Reply) -> EquityChart | CurvesChart:
    [found] = [block.chart for block in reply.blocks if isinstance(block, Chart)]
    assert isinstance(found, EquityChart | CurvesChart)
    return found


def stocked(desk: Desk, *holdings: Holding) -> Desk:
    return replace(desk, holdings=lambda: holdings)


def held(symbol: str, days: float, timeframe: str = "5m", end: int = T0) -> Holding:
    """Stored candles of so many days up to `end`."""
    return Holding(symbol, timeframe, end - int(days * DAY_MS), end, 1, 0, 0, 1, None)


# -- asking --------------------------------------------------------------------------------


async def test_a_backtest_is_queued_as_it_was_asked_for(desk: Desk) -> None:
    answer = await say(desk, "/backtest shortseller BTC, eth 4 stop_loss=2% fee=0.1% exact")
    [study] = studies(desk).found.values()
    setup = study.setup
    assert (setup.strategy, setup.symbols, setup.days) == ("shortseller", (BTC, ETH), 4)
    assert (setup.values, setup.fee, setup.exact) == ({"stop_loss": 0.02}, 0.001, True)
    assert (setup.source, setup.interval) == (Source.MARKET, 300_000)
    assert setup.stop == T0 + DAYS_THERE * DAY_MS
    assert answer.follows == (1,)
    assert "Backtest 1: shortseller 5m on BTCUSDT, ETHUSDT, 4 days, exact" in text(answer)
    assert [button.command for button in answer.buttons] == ["/backtest cancel 1"]


async def test_the_plan_has_every_setting(desk: Desk) -> None:
    line = "/backtest shortseller BTC 6 side=long_only deposit=500 slippage=0.1% take_profit=3%"
    assert (await say(desk, line)).ok
    [study] = studies(desk).found.values()
    plan = study.setup.plan(STRATEGIES)
    assert (plan.sides, plan.deposit, plan.slippage) == (Sides.LONG_ONLY, 500.0, 0.001)
    assert plan.strategy.exits_for(BTC).take_profit == 0.03
    assert not plan.exact


async def test_a_strategy_can_be_tried_on_another_timeframe_of_its_own(desk: Desk) -> None:
    name, (timeframe, _) = next(
        (each.name, pair)
        for each in STRATEGIES.values()
        for pair in each.pairs
        if pair[0] != each.timeframe and each.bars_needed * pair[0] < 4 * DAY_MS
    )
    answer = await say(desk, f"/backtest {name} BTC 6 timeframe={timeframe_name(timeframe)}")
    assert answer.ok, answer.error
    assert studies(desk).found[1].setup.plan(STRATEGIES).strategy.timeframe == timeframe


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shortsell BTC 5", "strategy: 'shortsell' is not valid. Allowed: shortseller, lxalgo"),
        ("shortseller DOGE 5", "symbols: 'DOGE' is not valid. Allowed: BTCUSDT, ETHUSDT."),
        ("shortseller BTC;ETH 5", "symbols: 'BTC;ETH' is not valid."),
        ("shortseller BTC 0", "Allowed: a whole number from 1 to 3650."),
        ("shortseller BTC 2", "Allowed: 3 to 3650: shortseller warms up on 601 bars of 5m."),
        ("shortseller BTC 90", "Allowed: up to 6, the days of this market so far,"),
        ("shortseller BTC 5 stop=2%", "parameter: 'stop' is not valid. Allowed: fast, slow,"),
        ("shortseller BTC 5 stop_loss=60%", "stop_loss: '60%' is not valid. Allowed: 0% to 50%"),
        ("shortseller BTC 5 fee=5%", "fee: '5%' is not valid. Allowed: 0% to 1%"),
        ("shortseller BTC 5 side=up", "side: 'up' is not valid. Allowed: both, long_only"),
        ("shortseller BTC 5 timeframe=7h", "timeframe: '7h' is not valid. Allowed: 1m, 3m, 5m"),
        ("shortseller BTC 5 fast", "settings: 'fast' is not valid. Allowed: name=value"),
        ("shortseller BTC 5 fast=10 fast=20", "fast: '20' is not valid. Allowed: one value."),
    ],
)
async def test_what_can_not_be_run_is_told_at_once(desk: Desk, line: str, said: str) -> None:
    answer = await say(desk, f"/backtest {line}")
    assert said in (answer.error or ""), answer.error
    assert studies(desk).found == {}


async def test_no_strategy_has_a_parameter_that_means_something_else_behind_a_backtest() -> None:
    taken = {TIMEFRAME, *COSTS}
    assert {name for each in STRATEGIES.values() for name in each.tunable} & taken == set()


async def test_running_takes_a_trader_and_looking_a_viewer(desk: Desk) -> None:
    assert "trader" in ((await say(desk, "/backtest shortseller BTC 5", Role.VIEWER)).error or "")
    assert "trader" in ((await say(desk, "/compare rsi macd", Role.VIEWER)).error or "")
    assert (await say(desk, "/backtest shortseller BTC 5", Role.TRADER)).ok
    assert (await say(desk, "/backtest show 1", Role.VIEWER)).ok
    assert (await say(desk, "/backtest list", Role.VIEWER)).ok


# -- candles -------------------------------------------------------------------------------


async def source_of(desk: Desk, line: str = "/backtest shortseller BTC 5") -> tuple[Source, int]:
    answer = await say(desk, line)
    assert answer.ok, answer.error
    setup = studies(desk).found[max(studies(desk).found)].setup
    return setup.source, setup.interval


async def test_stored_candles_come_before_the_markets_own(desk: Desk) -> None:
    stored = stocked(desk, held(BTC, 20), held(BTC, 30, "1m"), held(BTC, 30, "funding"))
    assert await source_of(stored) == (Source.ARCHIVE, 300_000)
    found = studies(desk).found[1].setup
    assert (found.start, found.stop) == (T0 - 5 * DAY_MS, T0)


async def test_shorter_bars_are_taken_where_the_markets_are_not_stored(desk: Desk) -> None:
    stored = stocked(desk, held(BTC, 2), held(BTC, 30, "1m"), held(BTC, 90, "15m"))
    assert await source_of(stored) == (Source.ARCHIVE, 60_000)


async def test_what_is_stored_of_one_symbol_alone_is_not_enough(desk: Desk) -> None:
    stored = stocked(desk, held(BTC, 20))
    assert await source_of(stored, "/backtest shortseller BTC,ETH 5") == (Source.MARKET, 300_000)


async def test_a_symbol_that_is_only_stored_can_be_tried(desk: Desk) -> None:
    stored = stocked(desk, held("DOGEUSDT", 20))
    assert await source_of(stored, "/backtest shortseller doge 5") == (Source.ARCHIVE, 300_000)
    answer = await say(stored, "/backtest shortseller DOGE 30")
    assert "symbols: 'DOGEUSDT' is not valid. Allowed: BTCUSDT, ETHUSDT, or more" in (
        answer.error or ""
    )


class Live(ScriptedMarket):
    """A market whose prices come from outside."""

    def health(self) -> FeedHealth | None:
        return FeedHealth(True, T0, 0, T0, 0, 0, True, (), 0)


@pytest.fixture
async def live_desk(open_desk: OpenDesk) -> Desk:
    return await open_desk(Live({BTC: course(100_000.0, [(288, 5.0)])}))


async def test_on_live_prices_what_is_not_stored_up_to_now_is_fetched(live_desk: Desk) -> None:
    now = T0 + DAY_MS
    old = stocked(live_desk, held(BTC, 400))
    assert await source_of(old, "/backtest shortseller BTC 90") == (Source.BYBIT, 300_000)
    setup = studies(live_desk).found[1].setup
    assert (setup.start, setup.stop) == (now - 90 * DAY_MS, now)
    fresh = stocked(live_desk, held(BTC, 400, end=now))
    assert await source_of(fresh, "/backtest shortseller BTC 90") == (Source.ARCHIVE, 300_000)
    # A symbol that the desk does not trade: Bybit knows whether there is one.
    assert (await source_of(fresh, "/backtest shortseller PEPE 9"))[0] is Source.BYBIT


# -- messages ------------------------------------------------------------------------------


async def test_a_message_follows_its_backtest_until_it_ends(desk: Desk) -> None:
    await say(desk, "/backtest shortseller BTC 5")
    await say(desk, "/backtest shortseller ETH 5")
    found = studies(desk).found
    assert "Queued: 1 before it." in text(await say(desk, "/backtest show 2"))
    found[1] = found[1].at(Stage.FETCHING, "BTCUSDT 5m, 40 % of 1,440 bars")
    answer = await say(desk, "/backtest show 1")
    assert "Fetching: BTCUSDT 5m, 40 % of 1,440 bars" in text(answer)
    assert answer.follows == (1,)
    found[1] = found[1].failed("Bybit does not answer.")
    answer = await say(desk, "/backtest show 1")
    assert text(answer) == "Backtest 1 has no result: Bybit does not answer."
    assert answer.follows == answer.buttons == ()


async def test_canceling_says_so_once(desk: Desk) -> None:
    await say(desk, "/backtest shortseller BTC 5")
    assert text(await say(desk, "/backtest cancel 1")) == "Backtest 1 was canceled."
    again = await say(desk, "/backtest cancel 1")
    assert again.error == "Backtest 1 neither waits nor runs."


@pytest.fixture
def tried(desk: Desk) -> Desk:
    """A desk on which two backtests are done, with other stops on the same candles."""
    other = replace(SETUP, values={"stop_loss": 0.02}, fee=0.001)
    studies(desk).end(1, done(1, finding()), finding())
    studies(desk).end(2, done(2, finding(TRIPS[:2]), other), finding(TRIPS[:2]))
    return desk


async def test_the_card_has_figures_with_n_the_honest_sentence_and_the_picture(
    tried: Desk,
) -> None:
    answer = await say(tried, "/backtest show 1")
    shown = fields(answer)
    assert shown["net"] == Money(Decimal("-20"), signed=True)
    assert shown["trades"] == "4"
    assert shown["win_rate"] == "50.00% (n 4)"
    assert shown.keys() >= {"expectancy_in_r", "time_in_the_market"}
    assert str(shown["sharpe"]).endswith(" (n 30)")
    words = text(answer)
    assert "Lost 20.00 of 10,000.00 (0.20%) in 30d; buying at the start and holding" in words
    assert "this did 1.20 points worse" in words
    assert "4 closed trades: too few to prove anything." in words
    assert "All parameters are the defaults." in words
    assert "2 gaps (5 bars missing)" in words
    drawn = chart(answer)
    assert isinstance(drawn, EquityChart)
    assert (drawn.deposit, drawn.points[-1][1]) == (10_000.0, 9_980.0)
    assert [button.label for button in answer.buttons] == [
        "By symbol",
        "By exit",
        "Trades",
        "Full report",
    ]
    assert answer.follows == ()


async def test_the_card_names_the_positions_that_are_open_at_the_end(desk: Desk) -> None:
    held = Held("BTCUSDT", 1, 0.5, SETUP.start, 90.0, 101.0, 5.5)
    found = replace(finding(), held=(held,), equity=9_985.5)
    studies(desk).end(1, done(1, found), found)
    words = text(await say(desk, "/backtest show 1"))
    assert "Open at the end: long BTCUSDT, +5.50 by now; in the net, not among the trades." in words


async def test_the_card_names_what_is_not_the_default(tried: Desk) -> None:
    assert "Not by default: stop_loss 2%, fee 0.1%." in text(await say(tried, "/backtest show 2"))


async def test_a_result_whose_strategy_is_gone_is_still_shown(tried: Desk) -> None:
    gone = replace(tried, strategies={"rsi": STRATEGIES["rsi"]})
    answer = await say(gone, "/backtest show 1")
    assert fields(answer)["trades"] == "4"
    assert "Lost" not in text(answer)


async def test_the_buttons_show_the_trades_of_the_kept_result(tried: Desk) -> None:
    by_symbol = rows(table(await say(tried, "/backtest show 1 symbols"), "Backtest 1 by symbol"))
    assert [(row["symbol"], row["trades"], row["net"]) for row in by_symbol] == [
        (Word(ETH), 1, Money(30, signed=True)),
        (Word(BTC), 3, Money(-50, signed=True)),
    ]
    by_exit = rows(table(await say(tried, "/backtest show 1 exits"), "Backtest 1 by exit"))
    assert [(row["exit"], row["won"], row["win_rate"]) for row in by_exit] == [
        (Word("take_profit"), 2, Percent(1.0)),
        (Word("stop_loss"), 0, Percent(0.0)),
    ]
    trades = rows(table(await say(tried, "/backtest show 1 trades"), "Backtest 1, trades"))
    assert trades[0]["left"] == Time(TRIPS[-1].exit_time)
    assert [row["net"] for row in trades] == [Money(round(t.net), True) for t in reversed(TRIPS)]


async def test_the_full_report_is_a_file(tried: Desk) -> None:
    answer = await say(tried, "/backtest show 1 report")
    [file] = [block for block in answer.blocks if isinstance(block, File)]
    assert file == File("backtest-1.html", "<html>1</html>")


async def test_the_list_has_what_was_tried_and_what_it_returned(tried: Desk) -> None:
    await say(tried, "/backtest shortseller BTC 5")
    listed = rows(table(await say(tried, "/backtest list"), "Backtests"))
    assert [(row["backtest"], row["trades"]) for row in listed] == [(3, None), (2, 2), (1, 4)]
    assert listed[0]["return"] == "queued"
    assert [row["by"] for row in listed[:2]] == ["ann at the console", "telegram:7"]


async def test_a_damaged_one_hides_no_other_from_the_list(
    tried: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def study(number: int) -> Study:
        if number == 2:
            raise Broken("2.json.gz is damaged; it can be removed.")
        return studies(tried).found[number]

    monkeypatch.setattr(studies(tried), "study", study)
    answer = await say(tried, "/backtest list")
    assert [row["backtest"] for row in rows(table(answer, "Backtests"))] == [1]
    assert "2.json.gz is damaged" in text(answer)


async def test_what_is_not_there_is_refused_with_what_is(tried: Desk) -> None:
    assert (await say(tried, "/backtest show 9")).error == (
        "There is no backtest 9. /backtest list shows them."
    )
    assert "number: 'x' is not valid. Allowed: 2, 1." in (
        (await say(tried, "/backtest show x")).error or ""
    )


# -- comparing -----------------------------------------------------------------------------


async def test_two_backtests_stand_beside_each_other(tried: Desk) -> None:
    answer = await say(tried, "/compare 1 2")
    tables = [block for block in answer.blocks if isinstance(block, Table)]
    assert [each.title for each in tables] == ["Result", "Ratios", "Risk", "Trades"]
    assert {each.columns for each in tables} == {("figure", "#1", "#2")}
    by_figure = {row[0]: row[1:] for each in tables for row in each.rows}
    assert by_figure["Trades"] == (4, 2)
    assert [show(value) for value in by_figure["Return"]] == ["-0.20%", "+0.30%"]
    assert "Backtest 1: shortseller 5m on BTCUSDT, 30 days" in text(answer)
    drawn = chart(answer)
    assert isinstance(drawn, CurvesChart)
    assert [(name, round(points[-1][1], 6)) for name, points in drawn.curves] == [
        ("1 shortseller", -0.002),
        ("2 shortseller", 0.003),
    ]
    assert "They paid different fees or slippage." in text(answer)
    assert "different candles" not in text(answer)


async def test_a_phone_shows_whose_figure_is_whose(tried: Desk) -> None:
    """As columns beneath the numbers of the two, none of them as loose values."""
    messages = telegram_messages(await say(tried, "/compare 1 2"))
    shown = "\n".join(message.text for message in messages)
    assert len(re.findall(r"^<pre>figure +#1 +#2$", shown, re.MULTILINE)) == 4
    assert re.search(r"^Return +-0\.20% +\+0\.30%", shown, re.MULTILINE)


async def test_values_too_wide_for_a_phone_are_named_there(tried: Desk) -> None:
    wide = {"best_trade": 12_345_678.9, "longest_underwater": 1_200.5 * DAY_MS}
    for number in (1, 2):
        study = studies(tried).found[number]
        metrics = {**study.metrics} | {
            key: study.metrics[key]._replace(value=value) for key, value in wide.items()
        }
        studies(tried).found[number] = replace(study, metrics=metrics)
    messages = telegram_messages(await say(tried, "/compare 1 2"))
    shown = re.sub("</?b>", "", "\n".join(message.text for message in messages))
    assert "Best trade\n#1 +12,345,678.90 · #2 +12,345,678.90" in shown
    assert "Longest underwater\n#1 1200d 12h · #2 1200d 12h" in shown
    assert re.search(r"^Sharpe +-0\.67 +1\.93$", shown, re.MULTILINE)


async def test_what_a_comparison_can_not_say_has_its_reason(tried: Desk) -> None:
    answer = await say(tried, "/compare 1 2")
    undefined = [
        row for block in answer.blocks if isinstance(block, Table) for row in block.rows
        if "n/a" in row
    ]  # fmt: skip
    assert undefined
    for label, *_ in undefined:
        assert re.search(rf"Backtest [12] has no .*{label} \(\w", text(answer))


async def test_a_comparison_over_different_candles_says_so(tried: Desk) -> None:
    studies(tried).end(3, done(3, finding(digest="xyz")), finding(digest="xyz"))
    assert "They ran on different candles" in text(await say(tried, "/compare 1 3"))


async def test_two_strategies_are_run_on_the_same_candles(desk: Desk) -> None:
    answer = await say(desk, "/compare shortseller rsi BTC 5")
    assert answer.ok, answer.error
    first, second = (study.setup for study in studies(desk).found.values())
    assert (first.strategy, second.strategy) == ("shortseller", "rsi")
    assert (first.start, first.stop, first.interval) == (second.start, second.stop, second.interval)
    assert answer.follows == (1, 2)
    assert [button.label for button in answer.buttons] == ["Cancel 1", "Cancel 2"]


async def test_a_number_and_a_strategy_can_not_be_compared(tried: Desk) -> None:
    assert "Say two numbers of backtests, or two strategies" in (
        (await say(tried, "/compare 1 rsi")).error or ""
    )


# -- the course ----------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, POINTS_MAX, POINTS_MAX + 1, 9_000])
def test_a_thinned_course_keeps_its_ends_and_extremes(count: int) -> None:
    marks: Sequence[Mark] = [Mark(n, float((n * 7919) % 1000)) for n in range(count)]
    points = thinned(marks)
    assert len(points) <= POINTS_MAX
    assert (points[0], points[-1]) == (tuple(marks[0]), tuple(marks[-1]))
    assert min(v for _, v in points) == min(mark.equity for mark in marks)
    assert max(v for _, v in points) == max(mark.equity for mark in marks)
    assert [ts for ts, _ in points] == sorted(ts for ts, _ in points)
