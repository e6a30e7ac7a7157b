"""The local Bybit's ledger as Bybit writes it: numbers as texts, and empty ones where it has none.

REST and the streams name and fill some fields differently.
"""

from decimal import Decimal

from tests.servers.bybit_ledger import PNL_STEP, ZERO, Account, Entry, Execution, Order, Position
from tests.servers.bybit_margin import Margin

Row = dict[str, object]


def text(number: Decimal | None) -> str:
    return "" if number is None else f"{number:f}"


def rounded(number: Decimal | None) -> str:
    """With at most 8 digits behind the point, as Bybit shows what it divides."""
    if number is None:
        return ""
    return f"{number.quantize(PNL_STEP).normalize():f}" if number else "0"


def order_row(order: Order) -> Row:
    """An entry of `order/realtime` and `order/history`."""
    stops = "LastPrice" if order.take_profit or order.stop_loss else ""
    left = order.left if order.is_open else ZERO
    return {
        "orderId": order.order_id, "orderLinkId": order.link_id,
        "parentOrderLinkId": order.parent_link, "blockTradeId": "", "symbol": order.symbol,
        "price": text(order.price) or "0", "qty": text(order.quantity), "side": order.side,
        "isLeverage": "", "positionIdx": order.position_idx, "orderStatus": order.status,
        "createType": order.create_type, "cancelType": order.cancel_type,
        "rejectReason": order.reject_reason,
        "avgPrice": rounded(order.average) if order.filled else "",
        "leavesQty": text(left), "leavesValue": rounded(left * (order.price or ZERO)),
        "cumExecQty": text(order.filled), "cumExecValue": text(order.value),
        "cumExecFee": text(order.fee), "timeInForce": order.time_in_force,
        "orderType": order.kind, "stopOrderType": order.stop_type, "orderIv": "",
        "triggerPrice": text(order.trigger), "takeProfit": text(order.take_profit),
        "stopLoss": text(order.stop_loss), "tpTriggerBy": stops, "slTriggerBy": stops,
        "triggerDirection": order.direction, "triggerBy": order.trigger_by,
        "lastPriceOnCreated": text(order.last_on_created), "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.close_on_trigger, "smpType": "None", "smpGroup": 0,
        "smpOrderId": "", "tpslMode": order.stops_mode,
        "tpLimitPrice": text(order.take_profit_limit),
        "slLimitPrice": text(order.stop_loss_limit), "placeType": "",
        "createdTime": str(order.created), "updatedTime": str(order.updated),
        "cumFeeDetail": {"USDT": text(order.fee)} if order.filled else {},
    }  # fmt: skip


def order_push(order: Order) -> Row:
    """An entry of the stream's `order`."""
    pnl = {"closedPnl": text(order.pnl), "feeCurrency": ""}
    return {"category": "linear", **order_row(order), **pnl}


def execution_row(execution: Execution) -> Row:
    """An entry of `execution/list`."""
    order = execution.order
    return {
        "symbol": order.symbol, "orderId": order.order_id, "orderLinkId": order.link_id,
        "side": execution.side, "orderPrice": text(order.price), "orderQty": text(order.quantity),
        "leavesQty": text(order.left),
        "createType": "" if funding(execution) else order.create_type,
        "orderType": order.kind, "stopOrderType": order.stop_type or "UNKNOWN",
        "execFee": text(execution.fee), "execId": execution.exec_id,
        "execPrice": text(execution.price), "execQty": text(execution.quantity),
        "execType": execution.kind, "execValue": text(execution.value),
        "execTime": str(execution.ts), "feeCurrency": "USDT", "isMaker": execution.maker,
        "feeRate": text(execution.fee_rate), "tradeIv": "", "markIv": "",
        "markPrice": text(execution.mark), "indexPrice": "", "underlyingPrice": "",
        "blockTradeId": "", "closedSize": text(execution.closed), "seq": execution.seq,
        "extraFees": "",
    }  # fmt: skip


def funding(execution: Execution) -> bool:
    return execution.kind == "Funding"


def execution_push(execution: Execution) -> Row:
    """An entry of the stream's `execution`; only here the profit is told."""
    row = execution_row(execution)
    del row["extraFees"]
    more = {"execPnl": text(execution.pnl), "isLeverage": "0", "marketUnit": ""}
    return {"category": "linear", **row, **more}


def position_row(account: Account, position: Position, margin: Margin, mark: Decimal) -> Row:
    """An entry of `position/list`."""
    there = bool(position.size)
    size = abs(position.size)
    initial = rounded(margin.initial(account, position)) if there else ""
    kept = rounded(margin.maintenance(account, position)) if there else ""
    return {
        "positionIdx": position.idx, "riskId": 1, "riskLimitValue": "2000000",
        "symbol": position.symbol, "side": position.side, "size": text(size),
        "avgPrice": rounded(position.average),
        "positionValue": rounded(position.cost) if there else "",
        "tradeMode": 0, "positionStatus": position.status, "autoAddMargin": 0,
        "adlRankIndicator": 2 if there else 0,
        "leverage": text(account.leverage_of(position.symbol)), "breakEvenPrice": "",
        "positionBalance": initial or "0", "markPrice": text(mark),
        "liqPrice": rounded(margin.liquidation_price(account, position)), "bustPrice": "",
        "positionMM": kept, "positionMMByMp": kept,
        "positionIM": initial, "positionIMByMp": initial,
        "tpslMode": "Full", "takeProfit": _stop(account, position, "TakeProfit"),
        "stopLoss": _stop(account, position, "StopLoss"), "trailingStop": text(position.trailing),
        "unrealisedPnl": rounded(position.unrealized(mark)) if there else "",
        "curRealisedPnl": rounded(position.realized),
        "cumRealisedPnl": rounded(position.realized_ever), "seq": position.seq,
        "isReduceOnly": False, "mmrSysUpdatedTime": "", "leverageSysUpdatedTime": "",
        "sessionAvgPrice": "", "createdTime": str(position.created),
        "updatedTime": str(position.updated), "openTime": position.opened,
    }  # fmt: skip


def _stop(account: Account, position: Position, kind: str) -> str:
    order = account.orders.get(position.stops.get(kind, ""))
    return "0" if order is None else text(order.trigger)


def position_push(account: Account, position: Position, margin: Margin, mark: Decimal) -> Row:
    """An entry of the stream's `position`, which knows no `avgPrice`, and zeros for nothing."""
    row = position_row(account, position, margin, mark)
    row["entryPrice"] = row.pop("avgPrice")
    for name in ("positionValue", "positionIM", "positionIMByMp", "positionMM", "positionMMByMp",
                 "unrealisedPnl"):  # fmt: skip
        row[name] = row[name] or "0"
    return {"category": "linear", **row}


def wallet_row(account: Account, margin: Margin) -> Row:
    """The entry of `account/wallet-balance` and of the stream's `wallet`.

    In isolated margin Bybit keeps no sums of margin for the account.
    """
    isolated = account.margin_mode == "ISOLATED_MARGIN"
    wallet, open_pnl = account.wallet, margin.unrealized(account)
    positions, orders = margin.positions(account), margin.orders(account)
    kept = margin.positions_maintenance(account)
    equity = wallet + open_pnl

    def total(number: Decimal) -> str:
        return "" if isolated else rounded(number)

    def share(number: Decimal) -> str:
        return total(number / equity if equity > 0 else ZERO)

    coin = {
        "coin": "USDT", "equity": rounded(equity), "usdValue": rounded(equity),
        "walletBalance": text(wallet), "availableToWithdraw": "", "availableToBorrow": "",
        "borrowAmount": "0", "accruedInterest": "0", "totalOrderIM": rounded(orders),
        "totalPositionIM": rounded(positions), "totalPositionMM": rounded(kept),
        "unrealisedPnl": rounded(open_pnl), "cumRealisedPnl": rounded(wallet - account.deposit),
        "bonus": "0", "collateralSwitch": True, "marginCollateral": True, "locked": "0",
        "spotHedgingQty": "0", "spotBorrow": "0",
    }  # fmt: skip
    return {
        "accountType": "UNIFIED", "totalEquity": rounded(equity),
        "totalWalletBalance": rounded(wallet), "totalMarginBalance": total(equity),
        "totalAvailableBalance": total(margin.available(account)),
        "totalPerpUPL": rounded(open_pnl), "totalInitialMargin": total(positions + orders),
        "totalInitialMarginByMp": total(positions + orders),
        "totalMaintenanceMargin": total(kept), "totalMaintenanceMarginByMp": total(kept),
        "accountIMRate": share(positions + orders), "accountIMRateByMp": share(positions + orders),
        "accountMMRate": share(kept), "accountMMRateByMp": share(kept),
        "accountLTV": "" if isolated else "0", "coin": [coin],
    }  # fmt: skip


def log_row(account: Account, entry: Entry) -> Row:
    """An entry of `account/transaction-log`; funding that was paid is below zero here."""
    execution = entry.execution
    return {
        "transSubType": "", "id": f"{account.uid}_{execution.symbol}_{entry.number}",
        "symbol": execution.symbol, "side": execution.side,
        "funding": text(entry.funding) if funding(execution) else "",
        "orderLinkId": execution.order.link_id, "orderId": execution.order.order_id,
        "fee": text(entry.fee), "change": text(entry.change), "cashFlow": text(entry.cash_flow),
        "transactionTime": str(execution.ts), "type": entry.kind,
        "feeRate": text(execution.fee_rate), "bonusChange": "",
        "size": text(abs(entry.size_after)), "qty": text(execution.quantity),
        "cashBalance": text(entry.balance), "currency": "USDT", "category": "linear",
        "tradePrice": text(execution.price), "tradeId": execution.exec_id, "extraFees": "",
    }  # fmt: skip
