"""A paper account: a pure reducer from orders and candles to executions.

Same book, same inputs, same answers, to the last digit: chance comes from a hash of the seed
and the execution's number. Market orders fill at the open of the next bar; slippage and
impact always go against the order; funding is exchanged at the settlement stamps only; inside
a bar a stop comes before a target.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from pydantic import TypeAdapter

from engine.candle import FUNDING_EVERY_MS, Candle
from engine.effect import Cancel, Protect, Submit
from engine.event import (
    CandleClosed,
    Executed,
    FundingSettled,
    Journaled,
    MarketEvent,
    OrderAccepted,
    OrderCanceled,
    OrderRejected,
    PriceTicked,
    StopMoved,
    StopsRefused,
    StopsSet,
)
from engine.exchange.paper_state import (
    UNPROTECTED,
    PaperSettings,
    PaperState,
    Protection,
    protection_of,
)
from engine.instrument import Instrument, exact
from engine.ledger import Ledger
from engine.margin import liquidation
from engine.order import (
    ZERO,
    ExecType,
    Execution,
    Fill,
    Order,
    OrderType,
    Reason,
    Side,
)
from engine.ports import StateRow
from engine.position import Position, apply
from engine.strategies import exits

STATE_VERSION = 1
MONEY_PLACES = Decimal("1E-8")

IMPACT_AT_HOURLY_VOLUME = 0.001
IMPACT_MAX = 0.01
PARTIAL_CHANCE = 0.10
PARTIAL_SHARE = (0.3, 0.9)
# What becomes of an order that may only rest and would be filled at once.
WOULD_TAKE = "it would have taken, and was to rest only"

_STATE = TypeAdapter(PaperState)


class PaperBook:
    """One paper account: its orders, positions, margin and money."""

    def __init__(
        self,
        account: str,
        deposit: Decimal,
        settings: PaperSettings,
        instruments: Mapping[str, Instrument],
        funding_rate: Callable[[str, int], Decimal],
    ) -> None:
        self.account = account
        self.state = PaperState(Ledger(deposit))
        self._settings = settings
        self._instruments = instruments
        self._funding_rate = funding_rate
        self._busy: set[str] = set()

    @property
    def busy(self) -> frozenset[str]:
        """Symbols with a position or a resting order."""
        return frozenset(self._busy)

    def step(self, event: Submit | Cancel | Protect | MarketEvent) -> Sequence[Journaled]:
        """Take one instruction, bar or price, remember what it changes, return the answers."""
        if type(event) is CandleClosed:
            return self._on_candle(event)
        if type(event) is PriceTicked:
            return self._on_tick(event)
        if isinstance(event, Submit):
            return self._on_submit(event.order)
        if isinstance(event, Protect):
            return self._on_protect(event)
        assert isinstance(event, Cancel)
        return self._on_cancel(event)

    # -- instructions --------------------------------------------------------------------

    def _on_submit(self, order: Order) -> Sequence[Journaled]:
        refusal = self._refusal(order)
        if refusal:
            return (OrderRejected(self.account, order.order_link_id, refusal, order.created_at),)
        self.state.accepted += 1
        order_id = f"P{self.state.accepted:08d}"
        self.state.orders[order.order_link_id] = order.accepted(order_id, order.created_at)
        self.state.fresh[order.order_link_id] = None
        self._busy.add(order.symbol)
        accepted = OrderAccepted(self.account, order.order_link_id, order_id, order.created_at)
        if self._takes(order, self.state.prices[order.symbol]):
            return (accepted, self._never_takes(order, order.created_at))
        return (accepted,)

    def _takes(self, order: Order, price: float) -> bool:
        """Whether an order that may only rest would be filled at once at a price."""
        if not order.post_only or order.price is None:
            return False
        return (float(order.price) - price) * order.side.sign >= 0

    def _never_takes(self, order: Order, ts: int) -> OrderCanceled:
        self._drop(order.order_link_id)
        return OrderCanceled(self.account, order.order_link_id, WOULD_TAKE, ts)

    def _drop(self, order_link_id: str) -> Order | None:
        self.state.fresh.pop(order_link_id, None)
        return self.state.orders.pop(order_link_id, None)

    def _refusal(self, order: Order) -> str:
        rules = self._instruments[order.symbol]
        price = self.state.prices.get(order.symbol)
        if order.order_link_id in self.state.orders:
            return "duplicate order link id"
        if price is None:
            return "no market price yet"
        if order.quantity < rules.quantity_min or order.quantity % rules.quantity_step:
            return (
                f"quantity {order.quantity}: at least {rules.quantity_min}, "
                f"in steps of {rules.quantity_step}"
            )
        if order.quantity > rules.quantity_max:
            return f"quantity {order.quantity} is above the maximum {rules.quantity_max}"
        for level in (order.price, order.trigger_price):
            if level is not None and (level <= 0 or level % rules.tick):
                return f"price {level}: above zero, in steps of {rules.tick}"
        if order.order_type is OrderType.LIMIT and order.price is None:
            return "a limit order needs a price"
        if order.order_type is OrderType.STOP and order.trigger_price is None:
            return "a stop order needs a trigger price"
        if order.reduce_only:
            return "" if self._reducible(order) else "no position to reduce"
        needed = self._needed_margin(order)
        free = self.free_margin()
        if needed > free:
            return f"insufficient margin: needs {needed:.2f}, {free:.2f} is free"
        return ""

    def _on_cancel(self, event: Cancel) -> Sequence[Journaled]:
        order = self._drop(event.order_link_id)
        if order is None:
            return ()
        return (OrderCanceled(self.account, order.order_link_id, "canceled", event.ts),)

    def _on_protect(self, event: Protect) -> Sequence[Journaled]:
        """Set the levels of a position; one that its price has passed would close it at once."""
        symbol = event.symbol
        position = self.state.positions.get(symbol)
        if position is None or position.side is None:
            return (StopsRefused(self.account, symbol, "there is no position", event.ts),)
        before = self.state.protections.get(symbol) or replace(UNPROTECTED)
        stop = before.stop if event.stop_loss is None else float(event.stop_loss)
        target = before.target if event.take_profit is None else float(event.take_profit)
        price, side = self.state.prices[symbol], position.side.sign
        if (stop and (price - stop) * side <= 0) or (target and (target - price) * side <= 0):
            passed = f"the price, {exact(price)}, has passed it"
            return (StopsRefused(self.account, symbol, passed, event.ts),)
        trailing = before.trailing and stop == before.stop
        after = replace(before, stop=stop, target=target, trailing=trailing)
        self.state.protections[symbol] = after
        there = [exact(level) if level else None for level in (stop, target)]
        return (StopsSet(self.account, symbol, there[0], there[1], event.ts),)

    # -- the emergency stop --------------------------------------------------------------

    def withdraw_all(self) -> Sequence[Journaled]:
        """Withdraw every order now."""
        dropped = [self._drop(link_id) for link_id in list(self.state.orders)]
        return [
            OrderCanceled(
                self.account,
                order.order_link_id,
                "the emergency stop",
                max(self.state.told_until, order.updated_at),
            )
            for order in dropped
            if order is not None
        ]

    def close_now(self, symbol: str, quantity: Decimal) -> Sequence[Journaled]:
        """Close so much (signed, as held) of a position at the last price, and never more."""
        position = self.state.positions.get(symbol)
        if position is None or position.side is None or position.quantity * quantity <= 0:
            return ()
        side, amount = position.side.opposite, min(abs(quantity), abs(position.quantity))
        executed = self._fill(
            symbol=symbol,
            side=side,
            quantity=amount,
            price=self._adverse(symbol, side, amount, self.state.prices[symbol]),
            maker=False,
            ts=max(self.state.told_until, position.updated_at),
            trigger=Reason.KILL,
        )
        return (executed,)

    # -- margin --------------------------------------------------------------------------

    def free_margin(self) -> Decimal:
        """Equity less what positions and resting entries bind, in quote currency."""
        state = self.state
        equity = state.ledger.balance
        bound = ZERO
        for position in state.positions.values():
            equity += position.unrealized(exact(state.prices[position.symbol]))
            bound += position.margin
        for order in state.orders.values():
            if not order.reduce_only:
                bound += self._needed_margin(order)
        return equity - bound

    def _needed_margin(self, order: Order) -> Decimal:
        price = order.price or order.trigger_price or exact(self.state.prices[order.symbol])
        notional = order.remaining * price
        return notional / order.leverage + notional * self._settings.taker_fee

    def _reducible(self, order: Order) -> Decimal:
        """How much of a reduce-only order the position allows."""
        position = self.state.positions.get(order.symbol)
        if position is None or position.side is not order.side.opposite:
            return ZERO
        return min(order.remaining, abs(position.quantity))

    # -- a bar ---------------------------------------------------------------------------

    def _on_candle(self, event: CandleClosed) -> Sequence[Journaled]:
        """Let the bar meet what rests, unless its prices have met it already, one by one.

        Nor does it meet anything when a later price was told before it: it is of the past.
        """
        candle = event.candle
        answers: list[Journaled] = []
        if not event.ticked and event.closed_at > self.state.opens.get(event.symbol, 0):
            self._meet_bar(event.symbol, candle, event.closed_at, answers)
        self._saw(event.symbol, candle.close, candle.ts)
        self.state.told_until = max(self.state.told_until, event.closed_at)
        return answers

    def _on_tick(self, event: PriceTicked) -> Sequence[Journaled]:
        """A price is a bar of one moment."""
        price = event.price
        moment = Candle(event.ts, price, price, price, price, 0.0)
        answers: list[Journaled] = []
        self._meet_bar(event.symbol, moment, event.ts, answers)
        self._saw(event.symbol, price, event.ts)
        self.state.told_until = max(self.state.told_until, event.ts)
        return answers

    def _meet_bar(
        self, symbol: str, candle: Candle, closed_at: int, answers: list[Journaled]
    ) -> None:
        if symbol not in self._busy:
            return
        answers.extend(self._settle_funding(symbol, candle))
        intrabar = self._match_orders(symbol, candle, closed_at, answers)
        self._apply_protection(symbol, candle, closed_at, intrabar, answers)
        if symbol not in self.state.positions and not self._resting(symbol):
            self._busy.discard(symbol)

    def _saw(self, symbol: str, price: float, ts: int) -> None:
        """Remember a price, and until when funding is settled: a bar is older than its ticks."""
        self.state.prices[symbol] = price
        self.state.opens[symbol] = max(self.state.opens.get(symbol, 0), ts)

    def _resting(self, symbol: str) -> list[Order]:
        return [order for order in self.state.orders.values() if order.symbol == symbol]

    def _settle_funding(self, symbol: str, candle: Candle) -> Iterable[Journaled]:
        """One payment for each settlement stamp after the last bar's open, up to this one's."""
        last = self.state.opens.get(symbol, candle.ts)
        stamp = last - last % FUNDING_EVERY_MS + FUNDING_EVERY_MS
        while stamp <= candle.ts and symbol in self.state.positions:
            price = candle.open if stamp == candle.ts else self.state.prices[symbol]
            yield self._fund(symbol, stamp, exact(price))
            stamp += FUNDING_EVERY_MS

    def _fund(self, symbol: str, stamp: int, price: Decimal) -> FundingSettled:
        state = self.state
        position = state.positions[symbol]
        rate = self._funding_rate(symbol, stamp)
        amount = (-position.quantity * price * rate).quantize(MONEY_PLACES)
        state.ledger = state.ledger.after_funding(amount)
        state.positions[symbol] = position.with_funding(amount)
        return FundingSettled(self.account, symbol, stamp, amount, rate, price, position.quantity)

    def _match_orders(
        self, symbol: str, candle: Candle, closed_at: int, answers: list[Journaled]
    ) -> bool:
        """Fill what the bar fills; whether a position was opened inside the bar."""
        intrabar = False
        answers.extend(
            self._never_takes(order, candle.ts)
            for order in self._resting(symbol)
            if order.order_link_id in self.state.fresh and self._takes(order, candle.open)
        )
        found = [(order, self._meet(order, candle, closed_at)) for order in self._resting(symbol)]
        met = [(order, *meeting) for order, meeting in found if meeting is not None]
        # What fills at the open comes before what fills inside the bar: the books are folded
        # again from the stored fills, in the order of their times.
        for order, price, maker, ts in sorted(met, key=lambda meeting: meeting[-1]):
            quantity = self._reducible(order) if order.reduce_only else order.remaining
            if not quantity:
                self._drop(order.order_link_id)
                answers.append(
                    OrderCanceled(self.account, order.order_link_id, "no position to reduce", ts)
                )
                continue
            if not maker:
                quantity = self._part_of(order, quantity)
            intrabar = intrabar or (not order.reduce_only and ts != candle.ts)
            answers.append(self._execute(order, quantity, price, maker, ts))
        for order in self._resting(symbol):
            self.state.fresh.pop(order.order_link_id, None)
        return intrabar

    def _meet(self, order: Order, candle: Candle, closed_at: int) -> tuple[float, bool, int] | None:
        """Where a bar meets an order: price before slippage, whether as maker, and when."""
        sign = order.side.sign
        if order.order_type is OrderType.MARKET:
            return self._arrival_price(candle, closed_at), False, candle.ts
        if order.order_type is OrderType.STOP:
            assert order.trigger_price is not None
            trigger = float(order.trigger_price)
            if (candle.open - trigger) * sign >= 0:
                return candle.open, False, candle.ts
            reached = candle.high if sign > 0 else candle.low
            return (trigger, False, closed_at) if (reached - trigger) * sign >= 0 else None
        assert order.price is not None
        limit = float(order.price)
        arrives = order.order_link_id in self.state.fresh
        if arrives and (limit - candle.open) * sign >= 0:
            return candle.open, False, candle.ts
        # The bar must trade through the limit: at a mere touch others stand in line first.
        reached = candle.low if sign > 0 else candle.high
        return (limit, True, closed_at) if (limit - reached) * sign > 0 else None

    def _arrival_price(self, candle: Candle, closed_at: int) -> float:
        length = max(closed_at - candle.ts, 1)
        share = min(self._settings.latency_ms / length, 1.0)
        return candle.open + (candle.close - candle.open) * share

    def _part_of(self, order: Order, quantity: Decimal) -> Decimal:
        if not self._settings.partial_fills or self._draw("partial") >= PARTIAL_CHANCE:
            return quantity
        low, high = PARTIAL_SHARE
        share = low + (high - low) * self._draw("share")
        rules = self._instruments[order.symbol]
        return min(max(rules.quantize(float(quantity) * share), rules.quantity_min), quantity)

    def _execute(
        self, order: Order, quantity: Decimal, price: float, maker: bool, ts: int
    ) -> Executed:
        executed = self._fill(
            symbol=order.symbol,
            side=order.side,
            quantity=quantity,
            price=exact(price) if maker else self._slipped(order, quantity, price),
            maker=maker,
            ts=ts,
            order=order,
        )
        after = order.filled(quantity, ts)
        if after.is_open:
            self.state.orders[order.order_link_id] = after
        else:
            self._drop(order.order_link_id)
        self._protect(order)
        return executed

    def _protect(self, order: Order) -> None:
        """Give a position the levels of the order that opens it or, if it has any, adds to it.

        A later part of the same order changes nothing: the stop may have trailed since.
        """
        position = self.state.positions.get(order.symbol)
        if order.reduce_only or position is None or position.side is not order.side:
            return
        protection = protection_of(order)
        adds = not order.filled_quantity and protection != UNPROTECTED
        if adds or order.symbol not in self.state.protections:
            self.state.protections[order.symbol] = protection

    def _slipped(self, order: Order, quantity: Decimal, price: float) -> Decimal:
        """The price after slippage and impact; a limit is never passed."""
        slipped = self._adverse(order.symbol, order.side, quantity, price)
        if order.price is None:
            return slipped
        worst = min if order.side is Side.BUY else max
        return worst(slipped, order.price)

    def _adverse(self, symbol: str, side: Side, quantity: Decimal, price: float) -> Decimal:
        rules = self._instruments[symbol]
        drift = self._settings.slippage
        if self._settings.slippage_max:
            drift += self._settings.slippage_max * self._draw("slippage")
        if self._settings.impact:
            share = float(quantity) * price / float(rules.hourly_volume)
            drift += min(share * IMPACT_AT_HOURLY_VOLUME, IMPACT_MAX)
        if side is Side.BUY:
            return rules.price_up(price * (1.0 + drift))
        return rules.price_down(price * (1.0 - drift))

    # -- protection ----------------------------------------------------------------------

    def _apply_protection(
        self, symbol: str, candle: Candle, closed_at: int, intrabar: bool, answers: list[Journaled]
    ) -> None:
        position = self.state.positions.get(symbol)
        protection = self.state.protections.get(symbol)
        if position is None or protection is None:
            return
        assert position.side is not None
        side = position.side.sign
        # What came before an entry inside the bar is unknown: assume the worse half only.
        inside = candle.ts < position.opened_at <= closed_at
        intrabar = intrabar or (inside and position.opened_at < closed_at)
        target = 0.0 if intrabar else protection.target
        # A position opened inside the bar never saw its open.
        opened = float(position.average_price or 0) if inside else None
        touch = exits.touch(
            side,
            candle.open if opened is None else opened,
            candle.high,
            candle.low,
            protection.stop,
            target,
            _liquidation_price(position),
        )
        if touch.kind == exits.UNTOUCHED and not intrabar:
            touch = self._trail(position, candle, closed_at, answers)
        if touch.kind != exits.UNTOUCHED:
            answers.append(self._close(position, protection, touch, closed_at))

    def _trail(
        self, position: Position, candle: Candle, closed_at: int, answers: list[Journaled]
    ) -> exits.Touch:
        """Let the stop follow the bar; met at once where the bar closed beyond it."""
        assert position.side is not None
        symbol, side = position.symbol, position.side.sign
        protection = self.state.protections[symbol]
        raised = exits.broken_even(
            side,
            candle.high,
            candle.low,
            protection.stop,
            protection.break_even_stop,
            protection.break_even,
        )
        trailed = exits.trailed_stop(
            side, candle.high, candle.low, raised, protection.trail, protection.activation
        )
        stop = self._instruments[symbol].price_down(trailed)
        if protection.stop in (trailed, float(stop)):
            return exits.NO_TOUCH
        protection.stop = float(stop)
        protection.trailing = protection.trailing or trailed != raised
        answers.append(StopMoved(self.account, symbol, stop, closed_at))
        if (candle.close - protection.stop) * side <= 0:
            return exits.Touch(exits.STOP, protection.stop)
        return exits.NO_TOUCH

    def _close(
        self, position: Position, protection: Protection, touch: exits.Touch, ts: int
    ) -> Executed:
        assert position.side is not None
        side = position.side.opposite
        quantity = abs(position.quantity)
        if touch.kind == exits.LIQUIDATION:
            price = _bankruptcy_price(position, self._instruments[position.symbol])
            reason = Reason.LIQUIDATION
        else:
            price = self._adverse(position.symbol, side, quantity, touch.price)
            stop = Reason.TRAILING_STOP if protection.trailing else Reason.STOP_LOSS
            reason = stop if touch.kind == exits.STOP else Reason.TAKE_PROFIT
        return self._fill(
            symbol=position.symbol,
            side=side,
            quantity=quantity,
            price=price,
            maker=False,
            ts=ts,
            trigger=reason,
        )

    # -- money ---------------------------------------------------------------------------

    def _fill(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        maker: bool,
        ts: int,
        order: Order | None = None,
        trigger: Reason | None = None,
    ) -> Executed:
        state = self.state
        state.executions += 1
        rate = self._settings.maker_fee if maker else self._settings.taker_fee
        if order is None:
            state.accepted += 1
        execution = Execution(
            account=self.account,
            exec_id=f"E{state.executions:08d}",
            order_id=(order.order_id or "") if order else f"P{state.accepted:08d}",
            order_link_id=order.order_link_id if order else "",
            symbol=symbol,
            side=side,
            price=price,
            quantity=quantity,
            fee=(quantity * price * rate).quantize(MONEY_PLACES),
            is_maker=maker,
            exec_type=ExecType.LIQUIDATION if trigger is Reason.LIQUIDATION else ExecType.TRADE,
            ts=ts,
            trigger=trigger,
        )
        reason = order.reason if order else trigger
        assert reason is not None
        our_id = order.client_order_id if order else ""
        # The exchange knows no bots: the fill is the account's.
        self._book(execution.as_fill("", our_id, reason), order.leverage if order else 1)
        return Executed(execution)

    def _book(self, fill: Fill, leverage: int) -> None:
        state = self.state
        symbol = fill.symbol
        before = state.positions.get(symbol) or Position(self.account, "", symbol)
        applied = apply(before, fill, leverage)
        state.ledger = state.ledger.after_fill(
            applied.realized, fill.commission, applied.closed is not None
        )
        if applied.closed is not None:
            state.protections.pop(symbol, None)
        if applied.position.is_flat:
            state.positions.pop(symbol, None)
        else:
            state.positions[symbol] = applied.position

    def _draw(self, what: str) -> float:
        """A number in [0, 1) that depends on seed, execution and purpose alone.

        Not on the account: its name has the market in it, and the same candles under another
        name must give the same trades.
        """
        key = f"{self._settings.seed}:{self.state.executions}:{what}"
        digest = hashlib.blake2b(key.encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") / 2**64

    # -- memory --------------------------------------------------------------------------

    def dump(self) -> StateRow:
        body = _STATE.dump_json(self.state).decode()
        return StateRow(f"paper:{self.account}", STATE_VERSION, body)

    def load(self, body: str) -> None:
        self.state = _STATE.validate_json(body)
        self._busy = set(self.state.positions)
        self._busy.update(order.symbol for order in self.state.orders.values())


def _liquidation_price(position: Position) -> float:
    """Where an isolated position has lost all but its maintenance margin."""
    assert position.average_price is not None and position.side is not None
    return liquidation(float(position.average_price), position.side.sign, position.leverage)


def _bankruptcy_price(position: Position, rules: Instrument) -> Decimal:
    """Where an isolated position has lost its whole margin: what liquidation pays."""
    assert position.average_price is not None and position.side is not None
    price = float(position.average_price) * (1.0 - position.side.sign / position.leverage)
    return rules.price_down(price) if position.side is Side.BUY else rules.price_up(price)
