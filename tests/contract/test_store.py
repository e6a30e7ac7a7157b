"""Every promise of the store's port, kept by each store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from engine.alert import Alert, Direction
from engine.audit import Act, AuditAnchor, AuditRow, Chain
from engine.bot import BotRow, BotStatus
from engine.effect import Fact, Notice, NoticeKind
from engine.errors import Broken, LostLock
from engine.instrument import MAJORS, Instrument
from engine.ledger import EquityPoint, Funding
from engine.mail import Chat, ChatKind
from engine.order import ExecType, Fill, Order, OrderStatus, OrderType, Reason, Side
from engine.people import Identity, Person, Role
from engine.ports import Commit, JournalRow, StateRow, Store
from engine.position import Position, Trade
from engine.proposal import Proposal, ProposalKind, ProposalState, Vote
from engine.schedule import Schedule
from engine.signal import Action, Decision, Opposed
from engine.store.tables import FACTS, notices
from engine.tunable import Tier
from engine.tuning import (
    Band,
    ChangeKind,
    Evidence,
    Fate,
    Figures,
    Moved,
    ParameterChange,
    ParameterValue,
    Point,
    Snapshot,
    Source,
    Stand,
    StudyStage,
    TuningStudy,
)
from tests.contract.conftest import Opened

ACCOUNT = "paper-sim42-shortseller_001"
BOT = "shortseller_001"
TS = 1_700_000_000_000
AMOUNTS = [
    "12345678901.123456789",
    "1234567890123456789.123456789",
    "0.000000000000000000000000001",
    "-0.1",
    "1E+2",
    "1.50",
    "0",
]


def order(number: int = 1, **changes: Any) -> Order:
    made = Order(
        account=ACCOUNT,
        order_link_id=f"{BOT}-ec-{number:011d}",
        client_order_id=f"{BOT}:ema_cross:{TS + number}",
        bot_id=BOT,
        symbol="BTCUSDT",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.100"),
        leverage=3,
        reason=Reason.EMA_CROSS,
        created_at=TS + number,
        updated_at=TS + number,
        stop_loss=Decimal("70000.5"),
        break_even_trigger=Decimal("64000.5"),
        break_even_stop=Decimal("64967.5"),
    )
    return replace(made, **changes)


def fill(number: int = 1, **changes: Any) -> Fill:
    made = Fill(
        exec_id=f"E{number:08d}",
        account=ACCOUNT,
        bot_id=BOT,
        symbol="BTCUSDT",
        order_id=f"P{number:08d}",
        client_order_id=f"{BOT}:ema_cross:{TS + number}",
        side=Side.SELL,
        exec_price=Decimal("65000.10"),
        exec_qty=Decimal("0.100"),
        exec_time=TS + number,
        commission=Decimal("3.575"),
        is_maker=False,
        exec_type=ExecType.TRADE,
        close_reason=Reason.EMA_CROSS,
    )
    return replace(made, **changes)


def position(number: int = 1, **changes: Any) -> Position:
    made = Position(
        account=ACCOUNT,
        bot_id=BOT,
        symbol="BTCUSDT",
        quantity=Decimal("-0.1"),
        cost=Decimal("-6500.01"),
        leverage=3,
        opened_at=TS,
        updated_at=TS + number,
        entry_reason=Reason.EMA_CROSS,
        entry_client_order_id=f"{BOT}:ema_cross:{TS}",
    )
    return replace(made, **changes)


def trade(number: int = 1, **changes: Any) -> Trade:
    made = Trade(
        trade_id=number,
        account=ACCOUNT,
        bot_id=BOT,
        symbol="BTCUSDT",
        side=Side.SELL,
        quantity=Decimal("0.1"),
        entry_price=Decimal("65000"),
        entry_time=TS,
        entry_reason=Reason.EMA_CROSS,
        exit_price=Decimal("64000"),
        exit_time=TS + number,
        close_reason=Reason.TAKE_PROFIT,
        gross_pnl=Decimal("100"),
        commission=Decimal("7.095"),
        funding=Decimal("-0.5"),
        net_pnl=Decimal("92.405"),
        pnl_pct=Decimal("0.01421615384615384615384615385"),
        entry_client_order_id=f"{BOT}:ema_cross:{TS}",
        exit_client_order_id=f"{BOT}:take_profit:{TS + number}",
    )
    return replace(made, **changes)


def payment(number: int = 1, **changes: Any) -> Funding:
    made = Funding(
        account=ACCOUNT,
        bot_id=BOT,
        symbol="BTCUSDT",
        ts=TS + number,
        amount=Decimal("0.65"),
        rate=Decimal("0.0001"),
        price=Decimal("65000"),
        quantity=Decimal("-0.1"),
    )
    return replace(made, **changes)


def decision(number: int = 1, **changes: Any) -> Decision:
    made = Decision(
        decision_id=number,
        account=ACCOUNT,
        bot_id=BOT,
        symbol="BTCUSDT",
        ts=TS + number,
        action=Action.ENTRY,
        side=Side.SELL,
        reason=Reason.EMA_CROSS,
        price=0.1 + 0.2,
        approved=False,
        gate="spread",
        detail="12 ticks > 5",
        order_link_id=None,
        confidence=0.1 + 0.7,
        consultation=41,
        instead="would have sold 0.10 at the market, stop 65000.5",
        opposed=Opposed(Decimal("0.10"), Decimal("65000.5"), None),
    )
    return replace(made, **changes)


def point(number: int = 1, **changes: Any) -> EquityPoint:
    made = EquityPoint(ACCOUNT, TS + number, Decimal("10000"), Decimal("10012.5"))
    return replace(made, **changes)


def bot(number: int = 1, **changes: Any) -> BotRow:
    made = BotRow(
        bot_id=f"bot_{number:03d}",
        account=ACCOUNT,
        strategy_name="shortseller",
        symbols="BTCUSDT,ETHUSDT",
        status=BotStatus.ACTIVE,
        deployment_mode="paper",
        initial_capital=Decimal("10000"),
    )
    return replace(made, **changes)


def instrument(number: int = 1, **changes: Any) -> Instrument:
    return replace(MAJORS["BTCUSDT"], symbol=f"COIN{number:03d}USDT", **changes)


def person(number: int = 1, **changes: Any) -> Person:
    return replace(Person(f"person{number:03d}", "Tom", Role.TRADER), **changes)


def identity(number: int = 1, **changes: Any) -> Identity:
    return replace(Identity("telegram", f"{7_000_000_000 + number}", "tom"), **changes)


def chat(number: int = 1, **changes: Any) -> Chat:
    made = Chat(
        surface="telegram",
        chat_id=f"-{number:03d}",
        thread_id="5",
        kind=ChatKind.GROUP,
        subscribed=True,
        added_by="telegram:7 (ann)",
        ts=TS + number,
    )
    return replace(made, **changes)


def schedule(number: int = 1, **changes: Any) -> Schedule:
    made = Schedule(
        schedule_id=number,
        cron="0 8 * * mon-fri",
        zone="Europe/Berlin",
        command="report daily",
        surface="telegram",
        chat_id="7",
        thread_id="",
        created_by="telegram:7 (ann)",
        created_at=TS + number,
        last_due=TS + number,
    )
    return replace(made, **changes)


def alert(number: int = 1, **changes: Any) -> Alert:
    made = Alert(
        alert_id=number,
        symbol="BTCUSDT",
        direction=Direction.ABOVE,
        price=Decimal("70000.50"),
        surface="discord",
        chat_id="9",
        thread_id="",
        created_by="discord:9",
        created_at=TS + number,
    )
    return replace(made, **changes)


def proposal(number: int = 1, **changes: Any) -> Proposal:
    made = Proposal(
        proposal_id=number,
        books="paper-sim42",
        kind=ProposalKind.ORDER,
        tier=Tier.RED,
        title="Buy 0.1 BTCUSDT",
        instruction="ResumeDesk {}",
        shown='{"changes":[]}',
        asked_by="ann",
        asker="Ann",
        surface="telegram",
        chat_id="7",
        thread_id="",
        created_at=TS + number,
        expires_at=TS + 60_000,
        needed=2,
        nonce="7Q3K",
        phrase="APPROVE RESUME TRADING 7Q3K",
    )
    return replace(made, **changes)


def vote(number: int = 1, **changes: Any) -> Vote:
    return replace(Vote(number, "bob", True, "discord:9 (bob)", TS + number), **changes)


def anchor(number: int = 1, **changes: Any) -> AuditAnchor:
    return replace(AuditAnchor(number, "ab" * 32, TS + number), **changes)


def change(number: int = 1, **changes: Any) -> ParameterChange:
    made = ParameterChange(
        change_id=number,
        books="paper-sim42",
        kind=ChangeKind.SET,
        tier=Tier.YELLOW,
        source=Source.TUNER,
        author="desk",
        reason="The stop was hit before the target in 7 of 10.",
        moved=(
            Moved(BOT, "stop_loss", 0.1 + 0.2, 0.05, 3, 0.01, 0.4, was_base=True),
            Moved("", "day_stops", 0.05, 0.04, 1, 0.03, 0.15, to_base=True),
        ),
        made_at=TS + number,
        told_at=TS + number + 5,
        snapshot_id=number,
        proposal_id=17,
        study=4,
        fate=Fate.WATCHED,
        expected=Band((-0.01, -0.02), (0.02, 0.03), 0.05),
    )
    return replace(made, **changes)


def value(number: int = 1, **changes: Any) -> ParameterValue:
    made = ParameterValue(
        books="paper-sim42",
        scope=BOT,
        name="stop_loss",
        version=number,
        value=0.1 + 0.2,
        before=0.05,
        low=0.01,
        high=0.4,
        is_base=False,
        change_id=number,
        author="telegram:7 (ann)",
        reason="",
        made_at=TS + number,
        told_at=TS + number,
    )
    return replace(made, **changes)


def snapshot(number: int = 1, **changes: Any) -> Snapshot:
    made = Snapshot(
        snapshot_id=number,
        books="paper-sim42",
        name="before the holidays",
        taken_at=TS + number,
        values={BOT: {"stop_loss": 0.1 + 0.2, "fast": 9.0}, "": {"day_stops": 0.05}},
        set_={BOT: ["stop_loss"]},
        figures={BOT: Stand(Decimal("10012.50"), Decimal("-1E+2"), 7, 3, 0.07)},
    )
    return replace(made, **changes)


def evidence(**changes: Any) -> Evidence:
    made = Evidence(
        study=1,
        start=TS,
        end=TS + 1,
        days=60.5,
        folds=4,
        trials=120,
        deflated=0.97,
        neighbors=0.8,
        before=Figures(-0.01, 0.2, None, 31, 12),
        after=Figures(0.1 + 0.2, 0.1, 1.5, 40, 22),
        before_curve=(Point(TS, 1.0), Point(TS + 1, 0.99)),
        after_curve=(Point(TS, 1.0), Point(TS + 1, 1.3)),
        expected=Band((-0.01, -0.02), (0.02, 0.03), 0.05),
        digest="ab" * 32,
        remarks=("A day of candles is missing.",),
    )
    return replace(made, **changes)


def study(number: int = 1, **changes: Any) -> TuningStudy:
    made = TuningStudy(
        number=number,
        books="paper-sim42",
        bot_id=BOT,
        asked_by="telegram:7",
        asker="Ann",
        surface="telegram",
        asked_at=TS + number,
        stage=StudyStage.PROPOSED,
        done=120,
        trials=120,
        verdict="A wider stop is proposed.",
        values=(("stop_loss", 0.1 + 0.2), ("fast", 9.0)),
        evidence=evidence(),
        ended_at=TS + number + 9,
    )
    return replace(made, **changes)


MAKERS: dict[type[Fact], Callable[..., Any]] = {
    Order: order,
    Fill: fill,
    Position: position,
    Trade: trade,
    Funding: payment,
    Decision: decision,
    EquityPoint: point,
    BotRow: bot,
    Instrument: instrument,
    Person: person,
    Identity: identity,
    Chat: chat,
    Schedule: schedule,
    Alert: alert,
    Proposal: proposal,
    Vote: vote,
    AuditAnchor: anchor,
    ParameterChange: change,
    ParameterValue: value,
    Snapshot: snapshot,
    TuningStudy: study,
}
TIMED = [kind for kind in MAKERS if FACTS[kind].time]


def some(kind: type[Fact], number: int) -> Any:
    """The `number`-th of a series of facts with different keys, ever later."""
    made = MAKERS[kind](number)
    return replace(made, symbol=f"COIN{number:03d}USDT") if kind is Position else made


FILTERS = {"account", "bot_id", "symbol", "books"}


async def recent_by(store: Store, kind: type[Fact], name: str, value: str) -> list[Any]:
    filters: dict[str, Any] = {name: value}
    return list(await store.recent(kind, **filters))


async def with_facts(store: Store, facts: Mapping[type[Fact], Sequence[Any]]) -> None:
    every = [fact for series in facts.values() for fact in series]
    await store.commit(Commit(await store.take_epoch("test"), facts=every))


def acts(*texts: str) -> list[AuditRow]:
    return Chain(b"key", None).seal(Act(TS, "desk", "test", text) for text in texts)


# -- facts -------------------------------------------------------------------------------


def test_every_kind_of_fact_is_tried_here() -> None:
    assert MAKERS.keys() == FACTS.keys()


async def test_a_fact_comes_back_as_it_was_stored(store: Store) -> None:
    facts = {kind: [some(kind, 1)] for kind in MAKERS}
    await with_facts(store, facts)
    for kind, (fact,) in facts.items():
        (found,) = await store.recent(kind)
        assert found == fact
        for column in fields(kind):
            value = getattr(found, column.name)
            assert type(value) is type(getattr(fact, column.name)), column


async def test_an_amount_keeps_every_digit(store: Store) -> None:
    amounts = [Decimal(amount) for amount in AMOUNTS]
    written = [fill(number, exec_price=amount) for number, amount in enumerate(amounts)]
    await store.commit(Commit(await store.take_epoch("test"), facts=[*written]))
    assert [one.exec_price for one in await store.recent(Fill)] == amounts


async def test_facts_come_oldest_first_whatever_order_they_were_stored_in(store: Store) -> None:
    facts = {kind: [some(kind, number) for number in range(1, 13)] for kind in MAKERS}
    shuffled = {kind: [*some[6:], *reversed(some[:6])] for kind, some in facts.items()}
    await with_facts(store, shuffled)
    for kind, expected in facts.items():
        assert await store.recent(kind) == expected
        assert await store.recent(kind, limit=3) == expected[-3:]
        assert await store.recent(kind, limit=50) == expected
        assert await store.recent(kind, limit=0) == []


async def test_since_is_the_first_moment_that_counts(store: Store) -> None:
    facts = {kind: [some(kind, number) for number in range(1, 6)] for kind in TIMED}
    await with_facts(store, facts)
    for kind, expected in facts.items():
        assert await store.recent(kind, since=TS + 4) == expected[3:]
        assert await store.recent(kind, since=TS + 2, limit=2) == expected[3:]
        assert await store.recent(kind, since=TS + 6) == []


async def test_a_filter_leaves_the_others_out(store: Store) -> None:
    known = {kind: FILTERS & {column.name for column in fields(kind)} for kind in MAKERS}
    chosen = {
        kind: replace(some(kind, 2), **dict.fromkeys(names, "zzz")) for kind, names in known.items()
    }
    await with_facts(store, {kind: [some(kind, 1), chosen[kind], some(kind, 3)] for kind in known})
    for kind, names in known.items():
        for name in sorted(names):
            assert await recent_by(store, kind, name, "zzz") == [chosen[kind]]
            assert await recent_by(store, kind, name, "aaa") == []


async def test_a_filter_that_no_row_could_have_is_a_fault(store: Store) -> None:
    for kind in MAKERS:
        for name in sorted(FILTERS - {column.name for column in fields(kind)}):
            with pytest.raises(Broken, match=f"no {name}"):
                await recent_by(store, kind, name, "x")


async def test_filters_and_limit_work_together(store: Store) -> None:
    facts = [fill(n, bot_id="a" if n % 2 else "b", symbol=f"S{n % 3}") for n in range(1, 31)]
    await store.commit(Commit(await store.take_epoch("test"), facts=list(facts)))
    found = await store.recent(
        Fill, account=ACCOUNT, bot_id="a", symbol="S1", since=TS + 5, limit=2
    )
    assert [one.exec_time - TS for one in found] == [19, 25]


async def test_what_has_no_time_can_not_be_asked_for_by_time(store: Store) -> None:
    for kind in MAKERS.keys() - TIMED:
        with pytest.raises(Broken, match="no time"):
            await store.recent(kind, since=TS)


async def test_facts_of_the_same_moment_are_sorted_by_their_key(store: Store) -> None:
    ids = ["b", "B", "a1", "_", "A", "a10", "a2", "ä"]
    facts: list[Fact] = [fill(exec_id=exec_id) for exec_id in ids]
    await store.commit(Commit(await store.take_epoch("test"), facts=facts))
    assert [one.exec_id for one in await store.recent(Fill)] == sorted(ids)


REPLACED: list[tuple[Any, Any]] = [
    (order(), order(status=OrderStatus.FILLED, filled_quantity=Decimal("0.1"))),
    (position(), position(quantity=Decimal(0), cost=Decimal(0))),
    (point(), point(equity=Decimal("9999"))),
    (bot(), bot(status=BotStatus.PAUSED)),
    (instrument(), instrument(leverage_max=50)),
    (person(), person(role=Role.NOBODY)),
    (identity(), identity(principal_id="")),
    (chat(), chat(subscribed=False, gone="it was deleted")),
    (schedule(), schedule(last_due=TS + 9, removed=True)),
    (alert(), alert(fired_at=TS + 9)),
    (proposal(), proposal(state=ProposalState.DONE, approved=1)),
    (change(), change(fate=Fate.KEPT, trades=12, net=Decimal("-1.50"), drawdown=0.03, ended_at=TS)),
    (study(evidence=None), study(verdict="Nothing is proposed.", evidence=None)),
]


async def test_a_newer_row_replaces_the_older(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, facts=[older for older, _ in REPLACED], number=1))
    await store.commit(Commit(epoch, facts=[newer for _, newer in REPLACED], number=2))
    for _, newer in REPLACED:
        assert await store.recent(type(newer)) == [newer]


async def test_the_last_of_a_batch_stands(store: Store) -> None:
    both = [fact for pair in REPLACED for fact in pair]
    await store.commit(Commit(await store.take_epoch("test"), facts=both))
    for _, newer in REPLACED:
        assert await store.recent(type(newer)) == [newer]


KEPT: list[tuple[Any, Any]] = [
    (fill(), fill(exec_price=Decimal(1))),
    (trade(), trade(net_pnl=Decimal(1))),
    (payment(), payment(amount=Decimal(1))),
    (decision(), decision(approved=True)),
    (vote(), vote(approves=False)),
    (anchor(), anchor()),
    (value(), value(value=0.02)),
    (snapshot(), snapshot(name="another")),
]


async def test_a_known_row_is_left_as_it_is(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, facts=[fact for pair in KEPT for fact in pair], number=1))
    await store.commit(Commit(epoch, facts=[again for _, again in KEPT], number=2))
    for first, _ in KEPT:
        assert await store.recent(type(first)) == [first]


def test_a_kind_is_either_replaced_or_kept() -> None:
    assert {type(newer) for _, newer in REPLACED} == {k for k in FACTS if FACTS[k].replaced}
    assert {type(first) for first, _ in KEPT} == {k for k in FACTS if not FACTS[k].replaced}


async def test_the_same_id_on_two_accounts_is_two_fills(store: Store) -> None:
    facts: list[Fact] = [fill(account="a"), fill(account="b")]
    await store.commit(Commit(await store.take_epoch("test"), facts=facts))
    assert await store.recent(Fill) == facts


async def test_a_fact_is_found_by_its_key(store: Store) -> None:
    facts: list[Fact] = [proposal(1), proposal(2, title="another"), study(7), study(7, books="b")]
    await store.commit(Commit(await store.take_epoch("test"), facts=facts))
    assert await store.one(Proposal, 2) == facts[1]
    assert await store.one(Proposal, 3) is None
    assert await store.one(TuningStudy, "b", 7) == facts[3]
    assert await store.one(TuningStudy, "b", 8) is None


async def test_a_bot_that_was_added_again_begins_with_the_first_version_again(store: Store) -> None:
    facts: list[Fact] = [value(1), value(1, change_id=9, value=0.02, made_at=TS + 9)]
    await store.commit(Commit(await store.take_epoch("test"), facts=facts))
    assert await store.recent(ParameterValue) == facts


# -- one transaction ---------------------------------------------------------------------


def full(epoch: int, number: int = 1) -> Commit:
    """A batch with something of everything."""
    chain = Chain(b"key", None)
    rows = chain.seal([Act(TS, "desk", "test", "first")])
    return Commit(
        epoch,
        states=[StateRow("desk", 1, '{"a": 1}')],
        facts=[order(), fill(), position()],
        journal=[JournalRow(TS, "Executed", "{}")],
        notices=[Notice(NoticeKind.ENTRY, TS, order=order(), fill=fill())],
        audit=rows,
        audit_head=chain.head(rows),
        number=number,
    )


async def everything(store: Store) -> list[Any]:
    return [
        await store.states(),
        [await store.recent(kind) for kind in FACTS],
        await store.undelivered(100),
        await store.last_audit(),
    ]


BAD: dict[str, Callable[[int], Commit]] = {
    "a value above its bounds": lambda epoch: replace(
        full(epoch), facts=[fill(), value(value=0.41)]
    ),
    "a value below its bounds": lambda epoch: replace(
        full(epoch), facts=[fill(), value(value=0.009)]
    ),
    "a value that is no number": lambda epoch: replace(
        full(epoch), facts=[fill(), value(value=float("nan"))]
    ),
    "a fact with a part missing": lambda epoch: replace(
        full(epoch), facts=[fill(), order(symbol=None)]
    ),
    "a thing that is no fact": lambda epoch: replace(
        full(epoch),
        facts=[fill(), StateRow("x", 1, "")],  # type: ignore[list-item]  # the fault
    ),
    "an audit row twice": lambda epoch: replace(full(epoch), audit=acts("a") + acts("b")),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
async def test_a_batch_that_fails_leaves_nothing(
    store: Store, bad: Callable[[int], Commit]
) -> None:
    epoch = await store.take_epoch("test")
    before = await everything(store)
    with pytest.raises(Broken):
        await store.commit(bad(epoch))
    assert await everything(store) == before
    await store.commit(full(epoch))
    assert len(await store.recent(Fill)) == 1


async def test_an_audit_row_can_not_be_stored_over_another(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, audit=acts("first"), number=1))
    with pytest.raises(Broken):
        await store.commit(Commit(epoch, audit=acts("forged"), facts=[fill()], number=2))
    last = await store.last_audit()
    assert last is not None and last.detail == "first"
    assert await store.recent(Fill) == []


async def test_a_batch_committed_again_doubles_nothing(store: Store) -> None:
    epoch = await store.take_epoch("test")
    batch = full(epoch)
    await store.commit(batch)
    once = await everything(store)
    await store.commit(batch)
    assert await everything(store) == once
    assert len(await store.undelivered(100)) == 1


async def test_the_next_batch_is_no_repetition(store: Store) -> None:
    epoch = await store.take_epoch("test")
    for number in (1, 2):
        notice = Notice(NoticeKind.MARKET_REMARK, TS, text=f"{number}")
        await store.commit(Commit(epoch, notices=[notice], number=number))
    assert len(await store.undelivered(100)) == 2


async def test_a_batch_from_the_past_is_a_fault(store: Store) -> None:
    epoch = await store.take_epoch("test")
    await store.commit(Commit(epoch, number=7))
    with pytest.raises(Broken, match="commit 6 comes after commit 7"):
        await store.commit(Commit(epoch, facts=[fill()], number=6))
    assert await store.recent(Fill) == []


async def test_a_batch_without_a_number_is_stored_each_time(store: Store) -> None:
    epoch = await store.take_epoch("test")
    batch = Commit(epoch, notices=[Notice(NoticeKind.MARKET_REMARK, TS, text="hello")])
    await store.commit(replace(batch, number=3))
    await store.commit(batch)
    await store.commit(batch)
    await store.commit(replace(batch, number=3))
    assert len(await store.undelivered(100)) == 3


# -- the epoch ---------------------------------------------------------------------------


async def test_the_epoch_counts_up(store: Store) -> None:
    assert [await store.take_epoch(name) for name in "abc"] == [1, 2, 3]


async def test_who_lost_the_epoch_writes_nothing(store: Store) -> None:
    old = await store.take_epoch("the old desk")
    await store.commit(full(old))
    before = await everything(store)
    new = await store.take_epoch("the new desk")
    with pytest.raises(LostLock, match="the new desk trades this account now"):
        await store.commit(Commit(old, [StateRow("desk", 2, "")], [fill(2)], number=2))
    # Not even a repetition: it would say "stored" to a desk that must stop.
    with pytest.raises(LostLock):
        await store.commit(full(old))
    assert await everything(store) == before
    await store.commit(Commit(new, facts=[fill(2)], number=1))
    assert len(await store.recent(Fill)) == 2


@pytest.mark.parametrize("number", [0, 1])
async def test_who_never_took_an_epoch_writes_nothing(store: Store, number: int) -> None:
    for epoch in (0, 1):
        with pytest.raises(LostLock):
            await store.commit(Commit(epoch, facts=[fill()], number=number))
    assert await store.recent(Fill) == []


# -- states, outbox, audit ---------------------------------------------------------------


async def test_states_are_kept_by_key_and_replaced(store: Store) -> None:
    epoch = await store.take_epoch("test")
    first = [StateRow("desk", 1, "{}"), StateRow("paper", 1, '{"ü": 1}')]
    await store.commit(Commit(epoch, states=first, number=1))
    await store.commit(Commit(epoch, states=[StateRow("desk", 2, "[]")], number=2))
    assert await store.states() == {"desk": StateRow("desk", 2, "[]"), "paper": first[1]}


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.states() == {}
    assert await store.undelivered(10) == []
    assert await store.last_audit() is None
    assert [await store.recent(kind) for kind in FACTS] == [[]] * len(FACTS)


def notice(number: int) -> Notice:
    return Notice(
        NoticeKind.EXIT,
        TS + number,
        bot_id=BOT,
        account=ACCOUNT,
        trade=trade(number),
        balance=Decimal("12345678901.123456789"),
    )


async def test_notices_wait_in_the_order_they_were_told(store: Store) -> None:
    epoch = await store.take_epoch("test")
    told = [notice(number) for number in (5, 3, 9, 1)]
    await store.commit(Commit(epoch, notices=told[:2], number=1))
    await store.commit(Commit(epoch, notices=told[2:], number=2))
    rows = await store.undelivered(10)
    assert [notices().validate_json(row.body) for row in rows] == told
    assert [(row.ts, row.kind) for row in rows] == [(one.ts, "exit") for one in told]
    assert [row.seq for row in rows] == sorted({row.seq for row in rows})
    assert await store.undelivered(2) == rows[:2]


async def test_a_delivered_notice_waits_no_more(store: Store) -> None:
    told = [notice(number) for number in range(1, 5)]
    await store.commit(Commit(await store.take_epoch("test"), notices=told))
    rows = await store.undelivered(10)
    await store.mail.route([rows[0].seq, rows[2].seq], [], TS)
    await store.mail.route([rows[0].seq, 999], [], TS + 1)
    await store.mail.route([], [], TS)
    assert await store.undelivered(10) == [rows[1], rows[3]]


async def test_the_last_act_is_the_end_of_the_chain(store: Store) -> None:
    epoch = await store.take_epoch("test")
    rows = acts("one", "two", "three")
    await store.commit(Commit(epoch, audit=rows[:2], number=1))
    assert await store.last_audit() == rows[1]
    await store.commit(Commit(epoch, audit=rows[2:], number=2))
    assert await store.last_audit() == rows[2]


# -- the next process --------------------------------------------------------------------


async def test_what_was_stored_is_there_after_a_restart(opened: Opened) -> None:
    store = opened.store
    epoch = await store.take_epoch("first")
    await store.commit(full(epoch))
    before = await everything(store)
    store = await opened.restart()
    assert await everything(store) == before
    # The outcome was unknown when the process ended; it is the same process that asks again.
    await store.commit(full(epoch))
    assert await everything(store) == before
    assert await store.take_epoch("second") == epoch + 1


async def test_commit_numbers_start_again_with_a_new_epoch(opened: Opened) -> None:
    first = await opened.store.take_epoch("first")
    await opened.store.commit(Commit(first, facts=[fill(1)], number=9))
    second = await opened.store.take_epoch("second")
    await opened.store.commit(Commit(second, facts=[fill(2)], number=1))
    assert len(await opened.store.recent(Fill)) == 2


async def test_two_stores_on_one_database_fence_each_other(opened: Opened) -> None:
    if opened.open is None:
        pytest.skip("memory has one user")
    other = await opened.open()
    try:
        old = await opened.store.take_epoch("old")
        new = await other.take_epoch("new")
        await other.commit(Commit(new, facts=[fill()], number=1))
        with pytest.raises(LostLock):
            await opened.store.commit(Commit(old, facts=[fill(2)], number=1))
        assert await opened.store.recent(Fill) == [fill()]
    finally:
        await other.close()
