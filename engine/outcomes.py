"""What became of decisions, and the ledger's trades as the metrics take them: pure joins."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from engine.metrics.facts import Metric, RoundTrip, Unit
from engine.metrics.trades import win_rate
from engine.order import Order, client_order_id, decode_link_id
from engine.position import Position, Trade
from engine.signal import Action, Decision


class Outcome(StrEnum):
    """How a signal ended: by the net profit of its trade, or why it has none."""

    WINNER = "winner"
    LOSER = "loser"
    BREAK_EVEN = "break-even"
    OPEN = "open"
    UNDER_WAY = "under way"
    NOT_FILLED = "not filled"
    NOT_EXECUTED = "not executed"


class Judged(NamedTuple):
    """A decision with its outcome, and the trade that it opened or closed, where that is over."""

    decision: Decision
    outcome: Outcome
    trade: Trade | None = None


# Account, symbol and order: several symbols of a bot may be decided in one millisecond.
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Books:
    """What orders have come to: closed trades by what opened and what closed them, positions
    still open by what opened them, and orders still under way by their link id."""

    opened: Mapping[_Key, Trade]
    closed: Mapping[_Key, Trade]
    held: Collection[_Key]
    waiting: Collection[str]


def books(
    trades: Iterable[Trade], positions: Iterable[Position], open_orders: Iterable[Order]
) -> Books:
    """The books by what joins them to decisions; of flat positions nothing is asked."""
    known = list(trades)
    return Books(
        {(each.account, each.symbol, each.entry_client_order_id): each for each in known},
        {(each.account, each.symbol, each.exit_client_order_id): each for each in known},
        {
            (each.account, each.symbol, each.entry_client_order_id)
            for each in positions
            if each.entry_client_order_id is not None
        },
        {order.order_link_id for order in open_orders},
    )


def judge_all(
    decisions: Iterable[Decision],
    trades: Iterable[Trade],
    positions: Iterable[Position],
    open_orders: Iterable[Order],
) -> list[Judged]:
    """The outcome of each decision, by the trades that ended since and what is open now."""
    known = books(trades, positions, open_orders)
    return [judge(decision, known) for decision in decisions]


def judge(decision: Decision, known: Books) -> Judged:
    """The outcome of one decision; that of an exit is the trade it closed."""
    if not decision.approved or decision.order_link_id is None:
        return Judged(decision, Outcome.NOT_EXECUTED)
    bot_id, reason, ts, _ = decode_link_id(decision.order_link_id)
    key = (decision.account, decision.symbol, client_order_id(bot_id, reason, ts))
    ended = known.opened if decision.action is Action.ENTRY else known.closed
    trade = ended.get(key)
    if trade is not None:
        return Judged(decision, outcome_of(trade), trade)
    if key in known.held:
        return Judged(decision, Outcome.OPEN)
    waits = decision.order_link_id in known.waiting
    return Judged(decision, Outcome.UNDER_WAY if waits else Outcome.NOT_FILLED)


def outcome_of(trade: Trade) -> Outcome:
    """Whether a trade won, after all costs; exactly nothing is neither."""
    if trade.net_pnl == 0:
        return Outcome.BREAK_EVEN
    return Outcome.WINNER if trade.net_pnl > 0 else Outcome.LOSER


# -- quality -----------------------------------------------------------------------------


class Quality(NamedTuple):
    """How good the entry signals of one kind were. `hit_rate` is winners among closed trades,
    `net` what those earned in quote currency, None where there is none."""

    key: str
    signals: int
    executed: int
    closed: int
    hit_rate: Metric
    net: float | None


def quality(judged: Iterable[Judged], key: Callable[[Decision], str]) -> list[Quality]:
    """A row for each key of the entries among these, in the order of the keys."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for each in judged:
        if each.decision.action is Action.ENTRY:
            groups[key(each.decision)].append(each)
    return [_quality(name, groups[name]) for name in sorted(groups)]


def _quality(key: str, signals: Sequence[Judged]) -> Quality:
    nets = [float(each.trade.net_pnl) for each in signals if each.trade is not None]
    return Quality(
        key=key,
        signals=len(signals),
        executed=sum(each.decision.approved for each in signals),
        closed=len(nets),
        hit_rate=win_rate(nets)._replace(unit=Unit.FRACTION),
        net=sum(nets) if nets else None,
    )


def confidence_band(decision: Decision) -> str:
    """The tenth that a confidence lies in: `70 to 80 %`; below a half one band, 1 in the last."""
    tenth = min(int(decision.confidence * 10 + 1e-9), 9)
    return f"{tenth * 10} to {tenth * 10 + 10} %" if tenth >= 5 else "0 to 50 %"


# -- metrics -----------------------------------------------------------------------------


def trips(trades: Iterable[Trade], orders: Iterable[Order] = ()) -> list[RoundTrip]:
    """Closed trades as the metrics take them; among `orders` are those that opened them.

    What the ledger does not keep is not known: slippage, and how far the price went for and
    against a position.
    """
    stops = {
        (order.account, order.symbol, order.client_order_id): order.stop_loss for order in orders
    }
    return [
        trip_of(trade, stops.get((trade.account, trade.symbol, trade.entry_client_order_id)))
        for trade in trades
    ]


def trip_of(trade: Trade, stop: Decimal | None) -> RoundTrip:
    """A closed trade as the metrics take it; `stop` is the first price of its stop, where known."""
    sign = trade.side.sign
    risk = None if stop is None else float((trade.entry_price - stop) * sign * trade.quantity)
    return RoundTrip(
        symbol=trade.symbol,
        side=sign,
        entry_time=trade.entry_time,
        exit_time=trade.exit_time,
        entry_price=float(trade.entry_price),
        exit_price=float(trade.exit_price),
        quantity=float(trade.quantity),
        entry_tag=str(trade.entry_reason),
        exit_reason=str(trade.close_reason),
        gross=float(trade.gross_pnl),
        fees=float(trade.commission),
        funding=float(trade.funding),
        risk=risk,
    )
