"""What no stream told: read again by REST, to the end, before the account counts as heard."""

from dataclasses import replace

from engine.bybit.stream import Connected, LoginRefused, TopicRefused
from engine.candle import DAY_MS, HOUR_MS
from engine.effect import ReadHistory, Submit
from engine.errors import ExchangeRefused, Unreachable
from engine.event import ExchangeLink, Executed, FundingSettled, HistoryRead, Surveyed
from engine.exchange.catching_up import OVERLAP_MS
from engine.exchange.link import Link
from engine.exchange.surveying import UNREAD_S
from engine.order import Side
from tests.engine.exchange.fake_bybit import (
    ALPHA,
    BETA,
    BTC,
    ETH,
    D,
    books,
    closing,
    entry,
    venue,
    working,
)


def ids(desk):
    return [event.execution.exec_id for event in desk.told(Executed)]


def links(desk):
    return [event.down for event in desk.told(ExchangeLink)]


# -- gaps ------------------------------------------------------------------------------------


async def test_t4_what_happened_while_the_stream_was_down_is_told_in_order(desk, fake):
    fake.disconnect()
    for number in range(8):
        fake.execute(BTC, Side.BUY, D(1), exec_id=f"gap{number}")
        await desk.passes(30)
    fake.reconnect()
    await desk.passes(1)

    assert ids(desk) == [f"gap{number}" for number in range(8)]
    assert desk.is_up


async def test_a_single_execution_that_the_stream_lost_is_told_within_seconds(desk, fake):
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1), exec_id="lost")
    fake.mute = False
    await desk.passes(16)

    assert ids(desk) == ["lost"]
    assert desk.exchange.health()[0].recovered == 1


async def test_only_readings_move_the_watermark(desk, fake, clock):
    fake.failing["executions"] += [Unreachable("down")] * 100
    before = desk.exchange.health()[0].synced_until
    fake.execute(BTC, Side.BUY, D(1))
    await desk.passes(60)

    assert ids(desk) == ["e1"]
    assert desk.exchange.health()[0].synced_until == before


async def test_each_reading_reaches_back_before_the_last(desk, fake):
    await desk.passes(40)
    spans = [(start, end) for start, end, _ in fake.called("executions")]
    later = zip(spans, spans[1:], strict=False)

    assert all(after[0] == before[1] - OVERLAP_MS for before, after in later)


async def test_a_row_that_shows_late_is_still_found(desk, fake, clock):
    fake.mute = True
    late = fake.execute(BTC, Side.BUY, D(1), exec_id="late")
    fake.rows.clear()
    await desk.passes(31)
    fake.rows.append(late)
    await desk.passes(16)

    assert ids(desk) == ["late"]


async def test_all_pages_and_weeks_since_the_last_survey_are_read(fake, clock):
    fake.mute = True
    days = range(20)
    for day in days:
        fake.execute(
            BTC, Side.BUY if day % 2 else Side.SELL, D(1), exec_id=f"day{day}",
            ts=clock.now() - (20 - day) * DAY_MS,
        )  # fmt: skip
    known = books(synced_until=clock.now() - 20 * DAY_MS)
    async with working(venue(fake), clock=clock, books=[known]) as desk:
        assert ids(desk) == [f"day{day}" for day in days]


async def test_a_window_that_can_not_be_read_to_its_end_tells_nothing_and_is_read_again(desk, fake):
    fake.mute = True
    for _ in range(5):
        fake.execute(BTC, Side.BUY, D(1))
    fake.failing["executions"] += [Unreachable("down")]
    await desk.passes(40)

    assert ids(desk) == [row.exec_id for row in fake.rows]


# -- the link --------------------------------------------------------------------------------


async def test_an_account_is_down_until_it_is_connected_and_read(fake, clock):
    fake.failing["executions"] += [Unreachable("no answer")] * 2
    async with working(venue(fake), clock=clock) as desk:
        # Nothing was ever read: that is worse than being on the way.
        assert links(desk) == ["connecting", "the exchange can't be asked: no answer"]

        await desk.passes(4)
        assert links(desk)[-1] == ""
        ups = [type(event) for event in desk.told(Surveyed, ExchangeLink)]
        assert ups[-2:] == [Surveyed, ExchangeLink]


async def test_a_lost_connection_is_told_once_and_over_when_all_is_read(desk, fake):
    fake.disconnect("closed with code 1006")
    fake.disconnect("ClientError: nobody there")
    assert links(desk) == ["the connection was lost: closed with code 1006"]

    fake.failing["positions"] += [Unreachable("down")]
    fake.reconnect()
    await desk.passes(0.5)
    assert len(links(desk)) == 1

    await desk.passes(3)
    assert links(desk)[1:] == [""]


async def test_a_connection_that_breaks_while_it_is_read_for_does_not_count(desk, fake):
    fake.disconnect()
    fake.reconnect()
    fake.disconnect()
    await desk.passes(20)
    assert links(desk)[-1] != ""

    fake.reconnect()
    await desk.passes(1)
    assert links(desk)[-1] == ""


def test_what_was_read_for_one_connection_does_not_speak_for_the_next():
    told = []
    link = Link(told.append)
    link.begin()
    link.connected()
    first = link.connections
    link.connected()
    link.read(first)
    assert told == ["connecting"]

    link.read(link.connections)
    assert told == ["connecting", ""]


async def test_a_key_that_the_stream_refuses_says_so(desk, fake):
    fake.tell(LoginRefused("error sign"))
    fake.disconnect("closed with code 1000")
    assert links(desk) == ["the exchange refuses the API key: error sign"]

    fake.tell(Connected(True))
    await desk.passes(1)
    assert links(desk)[-1] == ""


async def test_without_one_of_its_topics_an_account_is_not_heard(desk, fake):
    """A stream tells of a refused topic first, and then that it is connected all the same."""
    fake.disconnect()
    fake.tell(TopicRefused("execution", "no permission"))
    fake.tell(Connected(True))
    await desk.passes(30)
    assert not desk.is_up
    assert "execution" in desk.exchange.health()[0].down

    fake.disconnect()
    fake.reconnect()
    await desk.passes(1)
    assert desk.is_up


async def test_an_account_that_can_not_be_read_for_long_is_not_heard(desk, fake):
    fake.failing["executions"] += [Unreachable("no answer")] * 12
    await desk.passes(UNREAD_S - 1)
    assert links(desk) == []

    await desk.passes(30)
    assert links(desk) == ["the exchange can't be asked: no answer"]

    await desk.passes(120)
    assert links(desk)[1:] == [""]


async def test_a_clock_that_is_off_shuts_the_account_until_it_is_well(desk, fake):
    fake.offset_ms = -700
    await desk.passes(61)
    assert links(desk) == ["the clock is 700 ms ahead of the exchange's: set it by NTP"]

    fake.offset_ms = 30
    await desk.passes(61)
    assert links(desk)[1:] == [""]


async def test_the_key_of_another_account_never_comes_up(fake, clock):
    fake.key = replace(fake.key, uid="2002")
    fake.execute(BTC, Side.BUY, D(1))
    async with working(venue(fake), clock=clock, books=[books(uid="1001")]) as desk:
        await desk.passes(60)

        assert not desk.is_up
        assert "belongs to account 2002" in links(desk)[-1]
        assert desk.told(Surveyed, Executed) == []


# -- the first run, and history ----------------------------------------------------------------


async def test_the_books_of_a_new_account_begin_with_its_first_survey(fake, clock):
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1), ts=clock.now() - 5_000)
    async with working(venue(fake), clock=clock) as desk:
        await desk.does(Submit(entry()))

        assert ids(desk) == [fake.rows[1].exec_id]
        (first, *_) = desk.told(Surveyed)
        assert first.survey.positions[0].quantity == D(1)
        assert first.synced_until >= clock.now() - 5_000


async def test_a_new_account_beside_an_old_one_is_told_nothing_of_before(fake, clock):
    fake.mute = True
    fake.execute(BTC, Side.BUY, D(1), exec_id="alphas", ts=clock.now() - HOUR_MS)
    fake.execute(ETH, Side.BUY, D(1), exec_id="nobodys", ts=clock.now() - HOUR_MS)
    known = books(synced_until=clock.now() - DAY_MS)
    bots = {ALPHA: (BTC,), BETA: (ETH,)}
    async with working(venue(fake, bots), clock=clock, books=[known]) as desk:
        await desk.passes(20)

        assert ids(desk) == ["alphas"]


async def test_a_bot_added_later_begins_then_and_its_fills_are_told(desk, fake):
    fake.mute = True
    fake.execute("SOLUSDT", Side.BUY, D(1))
    await desk.passes(20)
    fake.mute = False
    desk.exchange.open_account("demo-bybit-gamma", D(100), ("SOLUSDT",))
    await desk.passes(1)
    fake.execute("SOLUSDT", Side.BUY, D(1), exec_id="mine")
    await desk.passes(1)

    assert ids(desk) == ["mine"]
    assert ("demo-bybit-gamma", "") in [(e.account, e.down) for e in desk.told(ExchangeLink)]


async def test_history_is_told_week_by_week_oldest_first(desk, fake, clock):
    now = clock.now()
    fake.mute = True
    for weeks in (4, 3, 1):
        fake.execute(BTC, Side.BUY, D(1), exec_id=f"w{weeks}", ts=now - weeks * 7 * DAY_MS + 1)
    fake.execute("SOLUSDT", Side.BUY, D(1), exec_id="nobodys", ts=now - 10 * DAY_MS)
    fake.execute(
        BTC, Side.BUY, D(1), exec_id="f", exec_type="Funding", ts=now - 20 * DAY_MS
    )  # fmt: skip
    await desk.does(ReadHistory(ALPHA, now - 28 * DAY_MS, now))

    read = desk.told(HistoryRead)
    assert [event.until for event in read] == [now - (3 - k) * 7 * DAY_MS for k in range(4)]
    assert [event.found for event in read] == [1, 3, 3, 4]
    assert {event.end for event in read} == {now}
    assert ids(desk) == ["w4", "w3", "w1"]
    kinds = [type(event) for event in desk.told(Executed, FundingSettled, HistoryRead)]
    assert kinds[:2] == [Executed, HistoryRead]


async def test_a_history_that_can_not_be_read_yet_is_waited_for(desk, fake, clock):
    now = clock.now()
    fake.failing["executions"] += [Unreachable("down"), ExchangeRefused(10_003, "unknown key")]
    await desk.does(ReadHistory(ALPHA, now - DAY_MS, now))
    assert desk.told(HistoryRead) == []

    await desk.passes(20)
    assert [event.until for event in desk.told(HistoryRead)] == [now]


async def test_history_tells_again_what_was_told_before(desk, fake, clock):
    await desk.does(Submit(entry()), Submit(closing()))
    told = ids(desk)
    await desk.does(ReadHistory(ALPHA, clock.now() - DAY_MS, clock.now()))

    assert ids(desk) == told + told
