"""Stops at the exchange: there from the moment a position is, set where they are missing."""

from dataclasses import replace

from engine.effect import Protect, Submit
from engine.errors import ExchangeRefused, OutcomeUnknown, Unreachable
from engine.event import (
    ExchangeFailed,
    PriceTicked,
    StopMoved,
    StopsRefused,
    StopsSet,
    Surveyed,
    Unprotected,
)
from engine.order import Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BTC,
    ETH,
    D,
    books,
    closing,
    entry,
    position_row,
    venue,
    working,
)

TOLD = (StopMoved, StopsSet, StopsRefused, Unprotected)


def stopless(fake):
    """From now on the exchange forgets the levels that come with an order."""
    honest = fake.accept

    def accept(order):
        return honest(replace(order, stop_loss=None, take_profit=None))

    fake.accept = accept


async def ticks(desk, symbol, price):
    desk.exchange.on_tick(PriceTicked(symbol, price, desk.clock.now()))
    await desk.passes(0.1)


# -- after an entry ------------------------------------------------------------------------------


async def test_a_stop_that_came_with_the_order_needs_nothing(desk, fake):
    await desk.does(Submit(entry()))
    await desk.passes(10)

    assert fake.called("protect") == []
    assert desk.told(*TOLD) == []


async def test_a_missing_stop_is_set_within_three_seconds(desk, fake, clock):
    stopless(fake)
    began = clock.monotonic()
    await desk.does(Submit(entry()))
    while not desk.told(StopsSet):
        await desk.passes(0.1)

    assert clock.monotonic() - began < 3
    assert fake.called("protect") == [(BTC, {"stop_loss": D(90), "take_profit": D(120)})]
    assert desk.told(*TOLD) == [StopsSet(ALPHA, BTC, D(90), D(120), desk.told(StopsSet)[0].ts)]


async def test_a_stop_that_no_stream_told_of_is_asked_for_and_not_set_again(desk, fake):
    fake.fills = False
    order = entry()
    await desk.does(Submit(order))
    fake.mute = True
    fake.fill(order.order_link_id, D(1))
    await desk.passes(20)

    assert len(fake.called("position")) >= 1
    assert fake.called("protect") == []


async def test_a_stop_that_is_refused_twice_gives_the_position_up(desk, fake):
    stopless(fake)
    fake.failing["protect"] += [ExchangeRefused(110_092, "on the wrong side")] * 2
    await desk.does(Submit(entry()))
    await desk.passes(10)

    (given_up,) = desk.told(*TOLD)
    assert (type(given_up), given_up.symbol) == (Unprotected, BTC)
    assert "wrong side" in given_up.reason
    assert len(fake.called("protect")) == 2


async def test_a_stop_that_is_taken_and_never_there_gives_the_position_up(desk, fake):
    stopless(fake)
    fake.change = lambda symbol, **levels: None
    await desk.does(Submit(entry()))
    await desk.passes(10)

    assert len(desk.told(Unprotected)) == 1
    assert len(fake.called("protect")) == 2


async def test_a_position_that_was_closed_meanwhile_is_let_go(desk, fake):
    stopless(fake)
    await desk.does(Submit(entry()))
    await desk.does(Submit(closing()))
    await desk.passes(20)

    assert fake.called("protect") == []
    assert desk.told(*TOLD) == []


async def test_a_position_that_ends_while_it_is_asked_for_is_let_go(desk, fake):
    async def position(symbol):
        found = await honest(symbol)
        if found.quantity:
            fake.execute(symbol, Side.SELL, D(1))
        return found

    honest = fake.position
    fake.position = position
    stopless(fake)
    await desk.does(Submit(entry()))
    await desk.passes(10)

    assert fake.called("protect") == []


async def test_a_position_that_does_not_show_yet_is_not_let_go(desk, fake):
    stopless(fake)
    seen = len(fake.called("position"))

    async def position(symbol):
        found = await honest(symbol)
        late = len(fake.called("position")) < seen + 3
        return replace(found, quantity=D(0)) if late else found

    honest = fake.position
    fake.position = position
    fake.fills = False
    order = entry()
    await desk.does(Submit(order))
    fake.fill(order.order_link_id, D(1))
    row = fake.held[BTC]
    assert row.quantity == D(1)
    await desk.passes(10)

    assert len(desk.told(StopsSet)) == 1


async def test_an_order_without_a_stop_is_not_given_one(desk, fake):
    await desk.does(Submit(entry(stop_loss=None, take_profit=None)))
    await desk.passes(10)

    assert fake.called("protect") == []
    assert desk.told(*TOLD) == []


async def test_while_the_position_can_not_be_asked_for_it_is_tried_again(desk, fake):
    stopless(fake)
    fake.failing["position"] += [Unreachable("down")] * 5
    await desk.does(Submit(entry()))
    await desk.passes(10)

    assert len(desk.told(StopsSet)) == 1


# -- later -----------------------------------------------------------------------------------------


async def test_a_stop_that_the_exchange_moved_is_told(desk, fake):
    await desk.does(Submit(entry()))
    fake.change(BTC, stop_loss=D(95))
    fake.change(BTC, stop_loss=D(95))

    assert [(e.symbol, e.stop) for e in desk.told(*TOLD)] == [(BTC, D(95))]


async def test_a_stop_that_vanished_is_set_again_once(desk, fake):
    await desk.does(Submit(entry()))
    looks = len(fake.called("positions"))
    fake.change(BTC, stop_loss=None)
    await desk.passes(5)
    assert [type(event) for event in desk.told(*TOLD)] == [StopsSet]
    assert fake.held[BTC].stop_loss == D(90)

    fake.change(BTC, stop_loss=None)
    await desk.passes(5)
    assert len(fake.called("protect")) == 1
    assert len(fake.called("positions")) > looks
    assert fake.held[BTC].stop_loss is None


async def test_a_stop_that_is_hit_is_not_set_again(desk, fake):
    await desk.does(Submit(entry()))
    fake.change(BTC, stop_loss=None)
    fake.execute(BTC, Side.SELL, D(1), stop_kind="StopLoss")
    await desk.passes(10)

    assert fake.called("protect") == []


async def test_a_survey_that_finds_no_stop_has_it_set_again(desk, fake):
    await desk.does(Submit(entry()))
    fake.mute = True
    fake.change(BTC, stop_loss=None)
    await desk.exchange.survey()
    await desk.passes(3)

    assert fake.held[BTC].stop_loss == D(90)
    assert desk.told(Surveyed)[0].survey.positions[0].stop_loss is None


async def test_after_a_restart_a_position_without_its_stop_gets_it(fake, clock):
    fake.execute(BTC, Side.BUY, D(1), ts=clock.now() - 1_000_000)
    known = books(positions={BTC: D(1)}, entries={BTC: entry()})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        await desk.passes(2)

        assert fake.held[BTC].stop_loss == D(90)
        assert len(desk.told(StopsSet)) == 1


# -- trailing ------------------------------------------------------------------------------------


async def test_a_trailing_stop_is_set_once_the_position_stands(desk, fake):
    await desk.does(Submit(entry(trailing_stop=D(3), trailing_activation=D(105))))
    await desk.passes(10)

    assert fake.called("protect") == [(BTC, {"trailing_stop": D(3), "activation": D(105)})]


async def test_an_activation_that_the_price_has_passed_is_left_out(desk, fake):
    await desk.does(Submit(entry(trailing_stop=D(3), trailing_activation=D(99))))
    await desk.passes(10)

    assert fake.called("protect") == [(BTC, {"trailing_stop": D(3)})]


async def test_a_trailing_stop_that_is_refused_is_told_and_the_fixed_one_stands(desk, fake):
    fake.failing["protect"] += [ExchangeRefused(10_001, "too close")] * 2
    await desk.does(Submit(entry(trailing_stop=D(3))))
    await desk.passes(10)

    (refused,) = desk.told(*TOLD)
    assert refused.reason == "the trailing stop: too close"
    assert len(fake.called("protect")) == 2


async def test_a_position_that_only_a_trailing_stop_protects_is_given_up_without_it(desk, fake):
    fake.failing["protect"] += [ExchangeRefused(10_001, "too close")] * 2
    await desk.does(Submit(entry(stop_loss=None, take_profit=None, trailing_stop=D(3))))
    await desk.passes(10)

    assert [type(event) for event in desk.told(*TOLD)] == [Unprotected]


async def test_a_trailing_stop_that_stands_already_is_left_alone_after_a_restart(fake, clock):
    fake.execute(BTC, Side.BUY, D(1), ts=clock.now() - 1_000_000)
    fake.change(BTC, stop_loss=D(90), trailing_stop=D(3))
    known = books(positions={BTC: D(1)}, entries={BTC: entry(trailing_stop=D(3))})
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        await desk.passes(10)

        assert fake.called("protect") == []


# -- break-even ------------------------------------------------------------------------------------


async def test_a_stop_goes_to_break_even_once_the_price_is_there(desk, fake):
    await desk.does(Submit(entry(break_even_trigger=D(110), break_even_stop=D("100.2"))))
    await ticks(desk, BTC, 109.9)
    await ticks(desk, ETH, 110.5)
    assert fake.called("protect") == []

    await ticks(desk, BTC, 110.0)
    await ticks(desk, BTC, 111.0)
    assert fake.called("protect") == [(BTC, {"stop_loss": D("100.2")})]
    assert [event.stop for event in desk.told(StopMoved)] == [D("100.2")]


async def test_break_even_of_a_short_is_below(desk, fake):
    short = entry(
        side=Side.SELL, stop_loss=D(110), take_profit=D(80), break_even_trigger=D(95),
        break_even_stop=D("99.8"),
    )  # fmt: skip
    await desk.does(Submit(short))
    await ticks(desk, BTC, 96.0)
    assert fake.called("protect") == []

    await ticks(desk, BTC, 95.0)
    assert fake.held[BTC].stop_loss == D("99.8")


async def test_break_even_never_loosens_a_stop(desk, fake):
    await desk.does(Submit(entry(break_even_trigger=D(110), break_even_stop=D("100.2"))))
    fake.change(BTC, stop_loss=D(105))
    await ticks(desk, BTC, 110.0)

    assert fake.called("protect") == []


async def test_break_even_is_tried_again_after_a_failure(desk, fake):
    await desk.does(Submit(entry(break_even_trigger=D(110), break_even_stop=D("100.2"))))
    fake.failing["protect"] += [Unreachable("down")] * 2
    await ticks(desk, BTC, 110.0)
    await ticks(desk, BTC, 110.0)
    assert len(fake.called("protect")) == 2

    await desk.passes(6)
    await ticks(desk, BTC, 110.0)
    assert fake.held[BTC].stop_loss == D("100.2")


async def test_a_refused_break_even_is_told_once(desk, fake):
    await desk.does(Submit(entry(break_even_trigger=D(110), break_even_stop=D("100.2"))))
    fake.failing["protect"] += [ExchangeRefused(110_093, "beyond the price")]
    await ticks(desk, BTC, 110.0)
    await desk.passes(6)
    await ticks(desk, BTC, 110.0)

    assert len(desk.told(StopsRefused)) == 1
    assert len(fake.called("protect")) == 1


# -- levels that people move ---------------------------------------------------------------------


async def test_levels_that_somebody_wants_are_set_and_told(desk, fake):
    await desk.does(Submit(entry()))
    await desk.does(Protect(ALPHA, BTC, D(95), None, 0))

    (told,) = desk.told(*TOLD)
    assert told == StopsSet(ALPHA, BTC, D(95), D(120), told.ts)
    assert fake.called("protect") == [(BTC, {"stop_loss": D(95)})]


async def test_a_stop_that_somebody_took_away_is_not_set_again(desk, fake):
    await desk.does(Submit(entry()))
    await desk.does(Protect(ALPHA, BTC, D(0), None, 0))
    await desk.passes(20)

    (told,) = desk.told(*TOLD)
    assert (told.stop_loss, told.take_profit) == (None, D(120))
    assert len(fake.called("protect")) == 1


async def test_levels_that_stand_already_are_set(desk, fake):
    await desk.does(Submit(entry()))
    fake.failing["protect"].append(ExchangeRefused(34_040, "not modified", benign=True))
    await desk.does(Protect(ALPHA, BTC, D(90), None, 0))

    assert [type(event) for event in desk.told(*TOLD)] == [StopsSet]


async def test_levels_that_are_refused_leave_the_old_ones(desk, fake):
    await desk.does(Submit(entry()))
    fake.failing["protect"].append(ExchangeRefused(110_093, "beyond the price"))
    await desk.does(Protect(ALPHA, BTC, D(130), None, 0))
    await desk.passes(5)

    (told,) = desk.told(*TOLD)
    assert told == StopsRefused(ALPHA, BTC, "beyond the price", told.ts)
    assert fake.held[BTC].stop_loss == D(90)


async def test_a_level_that_the_price_has_passed_is_said_in_our_words(desk, fake):
    """Bybit's own text names prices ten thousandfold."""
    await desk.does(Submit(entry()))
    words = "(Bybit: 10001 StopLoss:1010000 set for Buy position should be lower than base_price)"
    fake.failing["protect"].append(ExchangeRefused(10_001, words))
    await desk.does(Protect(ALPHA, BTC, D(101), None, 0))

    (told,) = desk.told(StopsRefused)
    assert told.reason == "the price has passed the level meanwhile (Bybit: 10001)."


async def test_levels_of_unknown_outcome_are_sent_once_more(desk, fake):
    await desk.does(Submit(entry()))
    fake.after["protect"].append(OutcomeUnknown("no answer"))
    await desk.does(Protect(ALPHA, BTC, D(95), None, 0))

    assert [type(event) for event in desk.told(*TOLD)] == [StopsSet]
    assert len(desk.told(ExchangeFailed)) == 1
    assert len(fake.called("protect")) == 2


async def test_an_old_report_while_levels_move_is_not_believed(desk, fake):
    await desk.does(Submit(entry()))
    before = position_row(fake.held[BTC])

    async def protect(symbol, **levels):
        await honest(symbol, **levels)
        fake.push("position", before)

    honest = fake.protect
    fake.protect = protect
    await desk.does(Protect(ALPHA, BTC, D(95), None, 0))
    await desk.passes(3)

    assert [(type(e), e.stop_loss) for e in desk.told(*TOLD)] == [(StopsSet, D(95))]


async def test_levels_of_a_position_that_the_books_have_no_order_for_are_set(desk, fake):
    fake.execute(BTC, Side.BUY, D(1))
    await desk.does(Protect(ALPHA, BTC, D(80), D(130), 0))

    (told,) = desk.told(*TOLD)
    assert (told.stop_loss, told.take_profit) == (D(80), D(130))
