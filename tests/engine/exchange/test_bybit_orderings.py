"""What is told of one order, in every order in which it may come, and each thing twice: the core
always ends with the same books."""

from dataclasses import replace
from decimal import Decimal
from itertools import permutations

import pytest

from engine.bybit.account import VenueExecution, VenueOrder, VenueStatus
from engine.core import Core
from engine.effect import Submit
from engine.event import DeskStarted, ExchangeLink, Executed, Journaled, OrderAccepted, Surveyed
from engine.exchange.orders import Orders
from engine.exchange.owners import Owners
from engine.exchange.tape import Tape
from engine.order import ZERO, Order, OrderStatus
from engine.survey import Survey
from tests.askers import POLICY
from tests.clock import FakeClock
from tests.engine.conftest import ACCOUNT, BAR, BTC, T0, bar, bot, closed, instrument
from tests.engine.cores import of

D = Decimal
ACCEPTED = "accepted"
Told = str | VenueOrder | VenueExecution


class Way:
    """An order of 50 on its way through the adapter's books into the core's."""

    def __init__(self) -> None:
        clock = FakeClock()
        policy = replace(POLICY, surveys=True)
        self.core = Core([bot()], {BTC: instrument()}, BAR, "paper", "test", policy)
        self.events: list[Journaled] = []
        self.orders = Orders(self.tell, clock)
        self.tape = Tape(Owners({ACCOUNT: (BTC,)}), self.orders, self.tell, clock)
        for event in (
            DeskStarted("1.0", 1, T0),
            ExchangeLink(ACCOUNT, "", T0),
            Surveyed(ACCOUNT, Survey((), (), D(10_000), D(9_000), "1001"), T0, T0),
        ):
            self.core.step(event)
        [submit] = of(Submit, self.core.step(closed(bar(0, 100, volume=1.0), BTC)))
        self.order: Order = submit.order
        self.orders.track(self.order)

    def tell(self, event: Journaled) -> None:
        self.events.append(event)
        self.core.step(event)

    def hear(self, told: Told) -> None:
        match told:
            case VenueExecution():
                self.tape.take(told)
            case VenueOrder():
                self.orders.report(told)
            case _:
                self.orders.heard(self.order.order_link_id, "P1")

    def report(self, status: VenueStatus, filled: str = "0") -> VenueOrder:
        order = self.order
        return VenueOrder(
            "P1", order.order_link_id, BTC, order.side, "Market", status, order.quantity, D(filled),
            None, None, False, "CreateByUser", "", "EC_NoEnoughQtyToFill", T0, T0,
        )  # fmt: skip

    def execution(self, exec_id: str, quantity: str) -> VenueExecution:
        return VenueExecution(
            exec_id, "P1", self.order.order_link_id, BTC, self.order.side, D(100), D(quantity),
            D("0.1"), D("0.001"), False, "Trade", "CreateByUser", "", T0,
        )  # fmt: skip


def whole(way: Way) -> list[Told]:
    return [
        ACCEPTED,
        way.report(VenueStatus.NEW),
        way.report(VenueStatus.PARTIALLY_FILLED, "20"),
        way.report(VenueStatus.FILLED, "50"),
        way.execution("e1", "20"),
        way.execution("e2", "30"),
    ]


def part(way: Way) -> list[Told]:
    return [
        ACCEPTED,
        way.report(VenueStatus.NEW),
        way.report(VenueStatus.PARTIALLY_FILLED, "15"),
        way.report(VenueStatus.CANCELED, "20"),
        way.execution("e1", "15"),
        way.execution("e2", "5"),
    ]


def nothing(way: Way) -> list[Told]:
    return [ACCEPTED, way.report(VenueStatus.NEW), way.report(VenueStatus.CANCELED)]


@pytest.mark.parametrize(
    ("told", "quantity", "fate", "overs"),
    [
        (whole, D(50), None, 0),
        (part, D(20), OrderStatus.CANCELED, 1),
        (nothing, ZERO, OrderStatus.CANCELED, 1),
    ],
    ids=["whole", "part", "nothing"],
)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_in_whatever_order_it_is_told_the_books_are_the_same(told, quantity, fate, overs, twice):
    for ordering in permutations(range(len(told(Way())))):
        way = Way()
        rows = told(way)
        for number in ordering:
            for _ in range(1 + twice):
                way.hear(rows[number])
        state = way.core.accounts()[ACCOUNT]
        held = state.positions[BTC].quantity if quantity else ZERO
        assert held == -quantity, ordering
        assert state.ledger.fees == D("0.1") * len([r for r in rows if type(r) is VenueExecution])
        assert not state.orders and way.orders.get(way.order.order_link_id) is None, ordering
        ended = [each.status for each in state.closed.values()]
        assert ended == ([fate] if fate else []), ordering
        kinds = [type(event) for event in way.events]
        assert kinds.count(OrderAccepted) == 1, ordering
        assert len(kinds) == 1 + kinds.count(Executed) + overs, ordering
