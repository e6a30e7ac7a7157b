"""Which way a model leans: taken in, in force to the millisecond, and what entries make of it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan
from random import Random

import pytest
from pydantic import TypeAdapter

from engine.bias import Bias
from engine.candle import DAY_MS, HOUR_MS
from engine.core import Core
from engine.effect import Done, NotDone, Proposed, Result, Submit
from engine.event import CandleClosed, Event, Executed, Instructed, PriceTicked
from engine.instruction import NoteBias, PauseBot, PlaceOrder
from engine.order import Side
from engine.people import DESK
from engine.ports import StateRow
from engine.proposal import shown_of
from engine.risk import verdicts
from engine.signal import Decision, Opposed, Sides
from engine.strategies.pipeline import OPEN
from tests.askers import asking
from tests.engine.conftest import (
    BAR,
    BOT,
    BTC,
    BUY_NOW,
    GOOD,
    LEAVE_NOW,
    NO_EXITS,
    SELL_NOW,
    T0,
    D,
    bar,
    bot,
    closed,
    execution,
    instrument,
    puppet,
)
from tests.engine.cores import ETH, filled, of
from tests.engine.office import ANN, POLICY, Office
from tests.engine.test_risk import CONFIRMED

VETO = replace(POLICY, veto=True)
EXITS = NO_EXITS._replace(stop_loss=0.05, take_profit=0.1)
ann = asking(ANN)


def bias(score: float = -0.6, confidence: float = 0.8, **changes: object) -> Bias:
    """A view of BTC, made when the first bar closed, for four hours."""
    made = Bias(BTC, score, confidence, T0 + BAR, T0 + BAR + 4 * HOUR_MS, 41)
    return replace(made, **changes)


def desk(veto: bool = True, **changes: object) -> Office:
    """A desk that has seen a bar, with a bot that enters with stop and target."""
    changes.setdefault("bots", [bot(puppet(EXITS), symbols=(BTC, ETH))])
    made = Office(policy=VETO if veto else POLICY, **changes)
    made.candle(0)
    return made


def leaning(found: Bias, veto: bool = True) -> Office:
    """A desk with a bias in force."""
    made = desk(veto)
    assert isinstance(note(made, found), Done)
    return made


def note(office: Office, found: Bias) -> Result:
    return office.ask(NoteBias(found), DESK)


def wish(office: Office, index: int, wanted: float, symbol: str = BTC) -> Decision:
    """What becomes of a signal on a bar."""
    office.candle(index, 100, wanted, symbol)
    [decision] = of(Decision, office.effects)
    return decision


# -- what a bias speaks against ----------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "confidence", "stopped"),
    [
        (-0.31, 0.71, "longs"),
        (-0.3, 0.71, "nothing"),
        (-1.0, 0.7, "nothing"),
        (0.51, 0.71, "shorts"),
        (0.5, 0.71, "nothing"),
        (1.0, 0.7, "nothing"),
        (0.0, 1.0, "nothing"),
    ],
)
def test_only_a_bias_that_is_sure_and_leans_far_stops_one_side(score, confidence, stopped):
    found = bias(score, confidence)
    assert found.stopped == stopped
    stops = {side for side in Side if found.stops(side)}
    assert stops == {"longs": {Side.BUY}, "shorts": {Side.SELL}, "nothing": set()}[stopped]


# -- taking one in -----------------------------------------------------------------------


def test_a_bias_is_in_force_for_its_symbol_alone():
    office = leaning(bias())
    assert office.core.view().biases == (bias(),)
    stopped = wish(office, 1, BUY_NOW)
    assert (stopped.gate, stopped.detail) == (
        "model bias",
        "stops longs: score -0.60, confidence 80%, until 2025-01-01 04:05 UTC (/analysis 41)",
    )
    assert wish(office, 1, BUY_NOW, ETH).approved


NOW = T0 + BAR
REFUSED = {
    "unknown symbol": ({"symbol": "XRPUSDT"}, "symbol: 'XRPUSDT'"),
    "score of nothing": ({"score": nan}, "score: nan is not valid. Allowed: -1 to 1."),
    "endless score": ({"score": -inf}, "score: -inf"),
    "score too high": ({"score": 1.01}, "score: 1.01"),
    "confidence of nothing": ({"confidence": nan}, "confidence: nan"),
    "endless confidence": ({"confidence": inf}, "confidence: inf is not valid. Allowed: 0 to 1."),
    "confidence below none": ({"confidence": -0.01}, "confidence: -0.01"),
    "of no analysis": ({"consultation": 0}, "consultation: 0"),
    "of the future": ({"made_at": NOW + 1}, f"made_at: {NOW + 1} is not valid. Allowed: at most"),
    "over when it begins": ({"until": NOW}, f"until: {NOW} is not valid. Allowed: after made_at"),
    "too long": ({"until": NOW + DAY_MS + 1}, "Allowed: after made_at, by at most 24 h."),
    "over already": (
        {"made_at": T0 - BAR, "until": NOW},
        "That bias ended at 2025-01-01 00:05 UTC: make a new analysis.",
    ),
}


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_meant_is_refused_and_leaves_what_is_in_force(changes, said):
    office = leaning(bias())
    result = note(office, bias(**changes))
    assert isinstance(result, NotDone)
    assert said in result.reason
    assert office.core.view().biases == (bias(),)


def test_the_longest_and_the_most_certain_are_taken():
    for found in (bias(until=NOW + DAY_MS), bias(-1.0, 1.0), bias(1.0, 0.0)):
        assert leaning(found).core.view().biases == (found,)


def test_only_the_desk_says_what_a_model_makes_of_a_market():
    office = desk()
    assert office.ask(NoteBias(bias()), ann) == NotDone("Only the desk itself says that.")
    assert office.core.view().biases == ()


def test_a_newer_bias_takes_the_place_of_the_one_in_force_and_an_older_does_not():
    office = leaning(bias())
    office.candle(1)
    newer = bias(0.9, made_at=T0 + 2 * BAR, consultation=42)
    assert isinstance(note(office, newer), Done)
    assert office.core.view().biases == (newer,)
    assert note(office, bias()) == NotDone("A newer bias is in force, of /analysis 42.")
    assert office.core.view().biases == (newer,)


def test_it_is_audited_in_words():
    office = leaning(bias())
    assert (office.acts[-1].action, office.acts[-1].detail) == (
        "NoteBias",
        "BTCUSDT: score -0.60, confidence 80%, until 2025-01-01 04:05 UTC (/analysis 41).",
    )


# -- how long it lasts -------------------------------------------------------------------


@pytest.mark.parametrize(("until", "stopped"), [(2 * BAR + 1, True), (2 * BAR, False)])
def test_it_ends_at_its_millisecond_of_market_time(until, stopped):
    """The second bar closes at 2 x BAR."""
    office = leaning(bias(until=T0 + until))
    decision = wish(office, 1, BUY_NOW)
    assert decision.approved is not stopped
    assert decision.consultation == (41 if stopped else 0)


def test_one_that_ended_is_seen_no_more_and_forgotten_with_the_next_candle():
    office = leaning(bias(until=T0 + BAR + 10))
    office.step(PriceTicked(BTC, 100.0, T0 + BAR + 9))
    assert office.core.view().biases != ()
    office.step(PriceTicked(BTC, 100.0, T0 + BAR + 10))
    assert office.core.view().biases == ()
    assert kept(office) == [BTC]
    office.candle(1, symbol=ETH)
    assert kept(office) == []


def kept(office: Office) -> list[str]:
    return list(json.loads(office.rows["desk:paper-test"].body)["biases"])


def test_an_older_bias_is_taken_once_the_newer_one_has_ended():
    office = leaning(bias(until=T0 + BAR + 10))
    office.step(PriceTicked(BTC, 100.0, T0 + BAR + 10))
    assert isinstance(note(office, bias(made_at=T0)), Done)


def test_it_outlives_a_restart():
    office = leaning(bias())
    office.restart()
    assert office.core.view().biases == (bias(),)
    assert wish(office, 1, BUY_NOW).gate == "model bias"


def test_books_of_before_there_were_any_are_read():
    office = desk()
    row = office.rows["desk:paper-test"]
    body = {name: each for name, each in json.loads(row.body).items() if name != "biases"}
    office.rows[row.key] = StateRow(row.key, row.version, json.dumps(body))
    office.restart()
    assert office.core.view().biases == ()
    assert wish(office, 1, BUY_NOW).approved


# -- what it stops -----------------------------------------------------------------------


def test_the_gate_stands_between_the_signals_own_gates_and_those_of_risk():
    strict = OPEN._replace(confidence_min=0.5, flips=2, confirmed=1)
    asked = replace(GOOD, pipeline=strict, heard=CONFIRMED, sides=Sides.SHORT_ONLY, bias=bias())
    names = [each.gate for each in verdicts(asked)]
    assert names[:7] == [
        "confidence", "side mode", "calm market", "confirmed", "model bias", "mode and kill",
        "warm-up",
    ]  # fmt: skip


def test_without_a_bias_the_gate_says_nothing():
    office = desk()
    office.candle(1)
    [why] = [each for each in office.core.why(BTC) if each.bot_id == BOT]
    assert "model bias" not in [each.gate for each in why.gates]


def test_why_shows_what_would_be_stopped_and_changes_nothing():
    office = leaning(bias())
    office.candle(1)
    [why] = [each for each in office.core.why(BTC) if each.bot_id == BOT]
    [gate] = [each for each in why.gates if each.gate == "model bias"]
    assert (gate.passed, gate.detail.split(":")[0]) == (True, "stops longs")


def test_the_other_side_is_entered_and_the_bias_is_noted():
    decision = wish(leaning(bias()), 1, SELL_NOW)
    assert (decision.approved, decision.consultation) == (True, 41)
    assert (decision.instead, decision.opposed) == ("", None)


@pytest.mark.parametrize("score", [-0.9, 0.9])
def test_an_exit_is_never_stopped(score):
    office = desk()
    office.candle(1, 100, BUY_NOW)
    [sent] = of(Submit, office.effects)
    filled(office.core, sent.order)
    note(office, bias(score))
    office.candle(2, 100, LEAVE_NOW)
    [left] = of(Submit, office.effects)
    assert left.order.reduce_only
    [decision] = of(Decision, office.effects)
    assert (decision.consultation, decision.instead) == (0, "")


def test_an_order_by_hand_is_nobodys_business():
    office = leaning(bias())
    result = office.ask(PlaceOrder(BOT, BTC, Side.BUY, D(1000)), ann)
    assert isinstance(result, Proposed)
    ticket = shown_of(result.proposal).ticket
    assert ticket is not None
    assert "model bias" not in [each.gate for each in ticket.gates]
    assert isinstance(office.press(result.proposal, ann), Done)
    assert of(Submit, office.effects)


# -- what would have become of it --------------------------------------------------------


def test_a_stopped_entry_keeps_the_order_that_would_have_been():
    decision = wish(leaning(bias()), 1, BUY_NOW)
    assert (decision.approved, decision.gate, decision.consultation) == (False, "model bias", 41)
    assert decision.instead == "would have bought 50 at the market, stop 95, target 110"
    assert decision.opposed == Opposed(D("50.0"), D(95), D(110))


def test_a_stopped_short_is_told_as_one():
    decision = wish(leaning(bias(0.8)), 1, SELL_NOW)
    assert decision.instead == "would have sold 50 at the market, stop 105, target 90"


def test_an_entry_without_levels_is_told_without_them():
    office = desk(bots=[bot()])
    note(office, bias())
    decision = wish(office, 1, BUY_NOW)
    assert decision.instead == "would have bought 50 at the market"
    assert decision.opposed == Opposed(D("50.0"), None, None)


def test_what_another_gate_would_have_stopped_names_that_gate():
    office = leaning(bias())
    office.ask(PauseBot(BOT), ann)
    decision = wish(office, 1, BUY_NOW)
    assert decision.gate == "model bias"
    assert decision.instead == "mode and kill would have stopped it: the bot is paused"
    assert decision.opposed is None


def test_what_a_gate_before_it_stopped_was_not_the_models_doing():
    strategy = puppet(EXITS, pipeline=OPEN._replace(confirmed=1))
    office = desk(bots=[bot(strategy)])
    note(office, bias())
    decision = wish(office, 1, BUY_NOW)
    assert (decision.gate, decision.consultation) == ("confirmed", 41)
    assert (decision.instead, decision.opposed) == ("", None)


def test_without_a_veto_it_only_watches():
    decision = wish(leaning(bias(), veto=False), 1, BUY_NOW)
    assert (decision.approved, decision.gate, decision.consultation) == (True, "", 41)
    assert decision.instead == "the model would have stopped it"
    assert decision.opposed == Opposed(D("50.0"), D(95), D(110))


def test_without_a_veto_what_another_gate_stopped_was_not_the_models_doing():
    office = leaning(bias(), veto=False)
    office.ask(PauseBot(BOT), ann)
    decision = wish(office, 1, BUY_NOW)
    assert (decision.gate, decision.consultation, decision.instead) == ("mode and kill", 41, "")


def test_an_entry_that_waited_for_other_symbols_meets_the_bias_of_its_moment():
    sizing = puppet().sizing._replace(slots=1)
    office = desk(bots=[bot(puppet(EXITS, sizing), symbols=(BTC, ETH))])
    office.candle(0, symbol=ETH)
    note(office, bias(until=T0 + 2 * BAR + 1))
    office.candle(1, 100, BUY_NOW)
    assert of(Decision, office.effects) == []
    # ETH tells nothing of that bar: BTC's next one, of after the bias, ends the wait.
    office.candle(2, 100)
    [decision] = of(Decision, office.effects)
    assert (decision.ts, decision.gate) == (T0 + 2 * BAR, "model bias")


# -- by chance ---------------------------------------------------------------------------

SYMBOLS = (BTC, ETH)
MOVING = NO_EXITS._replace(stop_loss=0.03, take_profit=0.04, cooldown_ms=2 * BAR)


def chance(seed: int, bars: int = 250) -> Iterator[Event]:
    """Candles that wish anything, and biases that lean anywhere."""
    rng = Random(seed)
    price = 1000.0
    for index in range(bars):
        for symbol in SYMBOLS:
            price = max(price + rng.uniform(-5, 5), 500.0)
            wanted = rng.choice((0.0, BUY_NOW, SELL_NOW, LEAVE_NOW, LEAVE_NOW))
            yield closed(bar(index, float(round(price)), volume=wanted), symbol)
        now = T0 + (index + 1) * BAR
        if rng.random() < 0.2:
            found = Bias(
                rng.choice(SYMBOLS), rng.uniform(-1.2, 1.1), rng.uniform(0.4, 1.1), now,
                now + rng.randint(1, 20 * BAR), index + 1,
            )  # fmt: skip
            yield Instructed(NoteBias(found), DESK, 1, now)


def fresh(veto: bool = True) -> Core:
    rules = {symbol: instrument(symbol) for symbol in SYMBOLS}
    bots = [bot(puppet(MOVING), symbols=SYMBOLS), bot(puppet(EXITS), "other_bot", SYMBOLS)]
    return Core(bots, rules, BAR, "paper", "test", replace(POLICY, veto=veto))


def without_biases(rows: dict[str, StateRow]) -> Core:
    """A desk that stands just like another, and that no model speaks to."""
    row = rows["desk:paper-test"]
    body = json.dumps(json.loads(row.body) | {"biases": {}})
    twin = fresh()
    twin.restore(rows | {row.key: StateRow(row.key, row.version, body)}, [])
    return twin


@pytest.mark.parametrize("seed", range(3))
def test_a_bias_lets_in_nothing_and_tells_truly_what_it_kept_out(seed):
    core, rows, stopped, kept_out = fresh(), {}, 0, 0
    for event in chance(seed):
        twin = without_biases(rows) if rows and type(event) is CandleClosed else None
        effects = core.step(event)
        free = twin.step(event) if twin else effects
        for each, other in zip(of(Decision, effects), of(Decision, free), strict=True):
            orders = [sent.order for sent in of(Submit, free)]
            if each.gate == "model bias":
                stopped += 1
                kept_out += check_stopped(each, other, orders)
            else:
                assert replace(each, consultation=0) == other
                assert (each.instead, each.opposed) == ("", None)
        for sent in of(Submit, effects):
            filled(core, sent.order, float(core.view().prices[sent.order.symbol]))
        rows |= {row.key: row for row in core.dirty_states()}
    assert stopped > kept_out > 5


def check_stopped(each: Decision, other: Decision, orders: list) -> bool:
    """That a stopped entry says what the free desk did; whether that entered."""
    if not other.approved:
        assert each.instead == f"{other.gate} would have stopped it: {other.detail}"
        assert each.opposed is None
        return False
    [order] = [order for order in orders if order.order_link_id == other.order_link_id]
    assert each.opposed == Opposed(order.quantity, order.stop_loss, order.take_profit)
    return True


@pytest.mark.parametrize("veto", [True, False])
def test_a_replay_of_the_journal_decides_the_same_and_asks_nobody(veto):
    adapter = TypeAdapter(Instructed)
    live, again = fresh(veto), fresh(veto)
    noted = 0
    for event in chance(7, 120):
        read = event
        if isinstance(event, Instructed):
            read = adapter.validate_json(adapter.dump_json(event))
        effects = live.step(event)
        assert again.step(read) == effects
        noted += sum(bool(each.consultation) for each in of(Decision, effects))
        for sent in of(Submit, effects):
            done = Executed(execution(sent.order, ts=sent.order.created_at))
            assert live.step(done) == again.step(done)
    assert noted > 20
    assert {row.key: row for row in live.dirty_states()} == {
        row.key: row for row in again.dirty_states()
    }
