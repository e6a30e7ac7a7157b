"""What a row of Bybit's executions is to the desk: a fill, funding, or nothing it can book."""

from engine.bybit.account import VenueExecution
from engine.event import Executed, FundingSettled, Unreadable
from engine.order import ZERO, ExecType, Execution, Reason

FUNDING = "Funding"

# Why the exchange made an order itself: by what the execution is, what the order waited for, and
# how it was made. Names are those of the v5 documentation, "Enums Definitions".
_BY_TYPE = {
    ExecType.LIQUIDATION: Reason.LIQUIDATION,
    ExecType.AUTO_DELEVERAGING: Reason.AUTO_DELEVERAGING,
    ExecType.DELIVERY: Reason.SETTLEMENT,
    ExecType.SETTLEMENT: Reason.SETTLEMENT,
}
_BY_STOP = {
    "StopLoss": Reason.STOP_LOSS,
    "PartialStopLoss": Reason.STOP_LOSS,
    "TakeProfit": Reason.TAKE_PROFIT,
    "PartialTakeProfit": Reason.TAKE_PROFIT,
    "TrailingStop": Reason.TRAILING_STOP,
}
_BY_MAKER = {
    "CreateByStopLoss": Reason.STOP_LOSS,
    "CreateByPartialStopLoss": Reason.STOP_LOSS,
    "CreateByTakeProfit": Reason.TAKE_PROFIT,
    "CreateByPartialTakeProfit": Reason.TAKE_PROFIT,
    "CreateByTrailingStop": Reason.TRAILING_STOP,
    "CreateByTrailingProfit": Reason.TAKE_PROFIT,
    "CreateByLiq": Reason.LIQUIDATION,
    "CreateByTakeOver_PassThrough": Reason.LIQUIDATION,
    "CreateByAdl_PassThrough": Reason.AUTO_DELEVERAGING,
    "CreateBySettle": Reason.SETTLEMENT,
}
_TYPES = {kind.value: kind for kind in ExecType}


def moves(row: VenueExecution) -> bool:
    """Whether the row changes a position, as far as that is known."""
    return row.exec_type in _TYPES


def attribute(
    row: VenueExecution, account: str, is_ours: bool, now: int
) -> Executed | FundingSettled | Unreadable:
    """What the owner of the row's symbol is told; `is_ours` says that its bot made the order."""
    if row.exec_type == FUNDING:
        return _funding(row, account)
    kind = _TYPES.get(row.exec_type)
    if kind is None or row.quantity <= ZERO or row.price <= ZERO:
        detail = (
            f"execution {row.exec_id}: {row.exec_type!r}, {row.side} {row.quantity} "
            f"{row.symbol} at {row.price}"
        )
        return Unreadable(account, row.symbol, detail, now)
    trigger = _BY_TYPE.get(kind)
    if trigger is None and not is_ours:
        trigger = _BY_STOP.get(row.stop_kind) or _BY_MAKER.get(row.made_by) or Reason.EXTERNAL
    return Executed(
        Execution(
            account=account,
            exec_id=row.exec_id,
            order_id=row.order_id,
            order_link_id=row.order_link_id if trigger is None else "",
            symbol=row.symbol,
            side=row.side,
            price=row.price,
            quantity=row.quantity,
            fee=row.fee,
            is_maker=row.is_maker,
            exec_type=kind,
            ts=row.ts,
            trigger=trigger,
        )
    )


def _funding(row: VenueExecution, account: str) -> FundingSettled:
    """The side of such a row is the position's, and its fee is positive when paid."""
    return FundingSettled(
        account=account,
        symbol=row.symbol,
        ts=row.ts,
        amount=-row.fee,
        rate=row.fee_rate,
        price=row.price,
        quantity=row.side.sign * row.quantity,
    )
