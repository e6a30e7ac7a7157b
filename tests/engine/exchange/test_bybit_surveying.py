"""Surveys: all that an account holds, for each of ours that shares it, when nothing moves."""

from dataclasses import replace

import pytest

from engine.bybit.account import VenueStatus
from engine.effect import Submit
from engine.errors import BadSettings, ExchangeRefused, Unreachable
from engine.event import ExchangeLink, Executed, Surveyed, Unreadable
from engine.order import Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BETA,
    BTC,
    ETH,
    SOL,
    D,
    FakeBybit,
    books,
    entry,
    resting,
    venue,
    working,
)


@pytest.fixture
async def desk(fake, clock):
    bots = {ALPHA: (BTC,), BETA: (ETH,)}
    async with working(venue(fake, bots), clock=clock) as desk:
        desk.forget()
        yield desk


async def test_each_account_is_told_of_its_own_symbols(desk, fake):
    stop = resting(7, symbol=ETH, order_link_id="")
    await desk.does(Submit(entry()))
    fake.note(
        replace(
            fake.accept(stop), order_id="guard", status=VenueStatus.UNTRIGGERED,
            stop_kind="StopLoss", trigger_price=D(80),
        )
    )  # fmt: skip
    desk.forget()
    await desk.exchange.survey()

    surveys = {event.account: event.survey for event in desk.told(Surveyed)}
    (held,) = surveys[ALPHA].positions
    assert (held.symbol, held.quantity, held.stop_loss, held.take_profit) == (
        BTC, D(1), D(90), D(120),
    )  # fmt: skip
    assert surveys[ALPHA].orders == ()
    assert {(o.order_id, o.stop_kind) for o in surveys[BETA].orders} >= {("guard", "StopLoss")}
    assert (surveys[BETA].uid, surveys[BETA].equity, surveys[BETA].available) == (
        "1001", D(10_000), D(9_000),
    )  # fmt: skip


async def test_a_survey_says_until_when_all_was_told(desk, fake):
    await desk.exchange.survey()

    read_until = max(end for _, end, _ in fake.called("executions"))
    assert {event.synced_until for event in desk.told(Surveyed)} == {read_until}


async def test_an_execution_in_the_middle_of_a_look_begins_it_anew(desk, fake):
    async def positions():
        if len(fake.called("wallet")) == looks:
            fake.execute(BTC, Side.BUY, D(1))
        return await honest()

    looks = len(fake.called("wallet"))
    honest = fake.positions
    fake.positions = positions
    await desk.exchange.survey()

    told = [type(event) for event in desk.told(Executed, Surveyed)]
    assert told == [Executed, Surveyed, Surveyed]
    assert len(fake.called("wallet")) == looks + 2


async def test_an_account_that_never_stands_still_is_not_surveyed(desk, fake):
    async def positions():
        fake.execute(BTC, Side.BUY, D(1))
        return await honest()

    honest = fake.positions
    fake.positions = positions
    with pytest.raises(Unreachable, match="never stood still"):
        await desk.exchange.survey()
    assert desk.told(Surveyed) == []


async def test_somebody_who_trades_without_end_in_other_symbols_holds_nobody_up(desk, fake):
    async def positions():
        fake.execute(SOL, Side.BUY, D(1))
        return await honest()

    honest, fake.positions = fake.positions, positions
    fake.disconnect()
    fake.reconnect()
    await desk.passes(5)

    assert desk.is_up
    assert {event.account for event in desk.told(Surveyed)} == {ALPHA, BETA}


async def test_a_position_whose_execution_does_not_show_yet_is_waited_for(desk, fake):
    fake.mute = True
    row = fake.execute(BTC, Side.BUY, D(1))
    fake.rows.clear()
    shown = len(fake.called("executions")) + 4

    async def executions(start, end, cursor=""):
        if len(fake.called("executions")) == shown:
            fake.rows.append(row)
        return await honest(start, end, cursor)

    honest = fake.executions
    fake.executions = executions
    await desk.exchange.survey()

    told = [type(event) for event in desk.told(Executed, Surveyed)]
    assert told == [Executed, Surveyed, Surveyed]


async def test_a_position_that_nothing_explains_is_told_in_the_end(desk, fake):
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1))
    fake.rows.clear()
    await desk.exchange.survey()
    first, second = desk.told(Surveyed)
    await desk.exchange.survey()

    assert first.survey.positions[0].quantity == D(1)
    assert second.survey.positions == ()
    # What was found once is what the next is held against.
    assert len(desk.told(Surveyed)) == 4


async def test_an_order_that_is_not_there_any_more_is_asked_for_before_it_is_told(desk, fake):
    order = resting()
    await desk.does(Submit(order))
    fake.mute = True
    fake.end(order.order_link_id)
    desk.forget()
    await desk.exchange.survey()

    assert [type(event).__name__ for event in desk.events] == [
        "OrderCanceled",
        "Surveyed",
        "Surveyed",
    ]


async def test_surveys_come_every_five_minutes(desk, fake):
    await desk.passes(290)
    assert desk.told(Surveyed) == []

    await desk.passes(30)
    assert len(desk.told(Surveyed)) == 2


async def test_a_survey_that_can_not_be_made_says_so(desk, fake):
    fake.failing["open_orders"].append(ExchangeRefused(10_003, "unknown key", stops=True))
    with pytest.raises(Unreachable, match="main: unknown key"):
        await desk.exchange.survey()


async def test_a_margin_mode_that_somebody_switched_is_told_once(desk, fake):
    fake.info = replace(fake.info, margin_mode="REGULAR_MARGIN")
    await desk.exchange.survey()
    await desk.exchange.survey()

    told = desk.told(Unreadable)
    assert [event.account for event in told] == [ALPHA, BETA]
    assert "from ISOLATED_MARGIN to REGULAR_MARGIN" in told[0].detail


async def test_two_venues_do_not_hear_of_each_other(clock):
    one, other = FakeBybit(clock, "1001"), FakeBybit(clock, "2002")
    venues = venue(one, {ALPHA: (BTC,)}), venue(other, {BETA: (BTC,)})
    async with working(*venues, clock=clock) as desk:
        desk.forget()
        other.disconnect()
        other.failing["positions"] += [Unreachable("down")] * 50
        one.execute(BTC, Side.BUY, D(1))
        other.mute = False
        other.execute(BTC, Side.SELL, D(2))
        await desk.passes(1)
        with pytest.raises(Unreachable):
            await desk.exchange.survey()

        assert [(e.execution.account, e.execution.side) for e in desk.told(Executed)] == [
            (ALPHA, Side.BUY),
            (BETA, Side.SELL),
        ]
        assert {event.account for event in desk.told(ExchangeLink)} == {BETA}
        surveys = {event.account: event.survey for event in desk.told(Surveyed)}
        assert (list(surveys), surveys[ALPHA].uid) == ([ALPHA], "1001")


# -- accounts ------------------------------------------------------------------------------------


async def test_two_bots_of_one_key_may_not_have_one_symbol(fake):
    with pytest.raises(BadSettings, match="BTCUSDT belongs to alpha already"):
        venue(fake, {ALPHA: (BTC,), BETA: (BTC,)})


async def test_a_bot_may_not_be_added_on_a_symbol_of_anothers(desk):
    gamma = "demo-bybit-gamma"
    assert "belongs to beta" in desk.exchange.taken(gamma, (SOL, ETH))
    assert desk.exchange.taken(gamma, (SOL,)) == ""
    with pytest.raises(BadSettings):
        desk.exchange.open_account(gamma, D(1), (ETH,))


async def test_a_removed_bot_leaves_its_symbols(desk, fake):
    desk.exchange.close_account(BETA)
    assert desk.exchange.taken("demo-bybit-gamma", (ETH,)) == ""
    fake.execute(ETH, Side.BUY, D(1))
    assert desk.told(Executed) == []


async def test_what_is_held_in_a_symbol_that_is_not_traded_any_more_stays_the_bots(fake, clock):
    known = books(positions={SOL: D(2)})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        fake.execute(SOL, Side.SELL, D(2))

        assert [event.execution.account for event in desk.told(Executed)] == [ALPHA]
