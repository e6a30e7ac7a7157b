"""A desk in lockstep with a paper exchange, and what people ask of it by hand."""

from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TypeVar

from engine.effect import Cancel, Done, Effect, NotDone, Protect, Result, Submit
from engine.event import Event
from engine.exchange.paper import PaperExchange
from engine.exchange.paper_book import PaperBook
from engine.exchange.paper_state import PaperSettings
from engine.instruction import ClosePosition, Instruction, PlaceOrder
from engine.order import Order
from engine.proposal import Proposal, Ticket, shown_of
from tests.askers import asking
from tests.engine.conftest import BOT, BTC, BUY, SELL, D, bar, closed
from tests.engine.office import TIM, TOM, VIC, Office

T = TypeVar("T")
ETH = "ETHUSDT"
tom, tim, vic = asking(TOM), asking(TIM), asking(VIC)
BUYING = PlaceOrder(BOT, BTC, BUY, D(1000))
SELLING = replace(BUYING, side=SELL)
ALL = ClosePosition(BOT, BTC, D(1))
HALF = replace(ALL, fraction=D("0.5"))
QUARTER = replace(ALL, fraction=D("0.25"))
# 0.1 % as taker, as the desk's policy has it, 0.02 % as maker, and no chance.
FREE = PaperSettings(taker_fee=D("0.001"), slippage_max=0.0, seed=1)


@dataclass
class Trading(Office):
    """A desk in lockstep with a paper exchange; a market order fills at the open of the next bar.

    `found` is every effect since the start.
    """

    found: list[Effect] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        rules = self.rules
        books = [PaperBook(b.account, b.capital, FREE, rules, lambda *_: D(0)) for b in self.bots]
        self.exchange = PaperExchange(books, {b.account: b.symbols for b in self.bots})
        self.bars = 0

    def step(self, event: Event) -> list[Effect]:
        effects = super().step(event)
        self.found += effects
        waiting = [each for each in effects if isinstance(each, Submit | Cancel | Protect)]
        while waiting:
            for answer in at_once(self.exchange.carry_out(waiting.pop(0))):
                more = super().step(answer)
                self.found += more
                waiting += [each for each in more if isinstance(each, Submit | Cancel | Protect)]
        self.effects = effects
        return effects

    def play(
        self,
        price: float,
        wish: float = 0,
        low: float | None = None,
        high: float | None = None,
        symbol: str = BTC,
    ) -> list[Effect]:
        """The next bar, at one price but for its low and high."""
        event = closed(bar(self.bars, price, low=low, high=high, volume=wish), symbol)
        self.bars += 1
        effects = [e for answer in self.exchange.on_candle(event) for e in self.step(answer)]
        return effects + self.step(event)

    def held(self) -> Decimal:
        positions = self.core.view().positions
        return sum((each.position.quantity for each in positions), D(0))

    @property
    def orders(self) -> list[Order]:
        """Those that are open."""
        return list(self.core.view().open_orders)

    def levels(self) -> tuple[Decimal | None, Decimal | None]:
        """Stop and target of the one position."""
        [found] = self.core.view().positions
        return found.stop_loss, found.take_profit


def at_once(coroutine: Coroutine[None, None, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


def priced(price: float = 100, **how: object) -> Trading:
    desk = Trading(**how)
    desk.play(price)
    return desk


def holding(instruction: PlaceOrder = BUYING, price: float = 100, **how: object) -> Trading:
    """A desk that has opened a position by hand, at `price`."""
    desk = priced(price, **how)
    confirmed(desk, instruction)
    desk.play(price)
    assert desk.held()
    return desk


def ticket_of(proposal: Proposal) -> Ticket:
    ticket = shown_of(proposal).ticket
    assert ticket is not None
    return ticket


def agreed(desk: Office, instruction: Instruction) -> Result:
    """Ask for something that waits, and confirm it."""
    return desk.press(desk.propose(instruction, tom), tom)


def confirmed(desk: Office, instruction: PlaceOrder | ClosePosition) -> Order:
    """Ask for an order and confirm it; what is sent."""
    assert isinstance(agreed(desk, instruction), Done)
    [submit] = [effect for effect in desk.effects if isinstance(effect, Submit)]
    return submit.order


def refused(desk: Office, instruction: Instruction) -> str:
    result = desk.ask(instruction, tom)
    assert isinstance(result, NotDone)
    return result.reason
