"""What Bybit tells of an account, as values of ours: rows of REST and of the private stream.

They differ in names only. An empty text is nothing, and so is a price of zero; fields that are
not known are ignored. Whatever is not what it should be raises ValueError, which names the field.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

from engine.bybit import parse
from engine.bybit.account import (
    AccountInfo,
    KeyInfo,
    Rows,
    Unread,
    VenueExecution,
    VenueOrder,
    VenuePosition,
    VenueStatus,
    Wallet,
)
from engine.bybit.parse import Fields
from engine.order import ZERO, Side

T = TypeVar("T")

CATEGORY = "linear"
COIN = "USDT"
# What Bybit writes where there is nothing to say.
NOTHING = frozenset({"", "UNKNOWN", "EC_NoError", "None"})
# As much of a row that can't be read as people are shown.
HEAD = 300
# Bybit's number of an account that is not unified.
CLASSIC = 1


def linear(data: object) -> list[Fields]:
    """The rows of a message that are about linear contracts: a stream tells of all products."""
    rows = map(parse.fields, parse.items(data))
    return [row for row in rows if row.get("category", CATEGORY) == CATEGORY]


def readable(rows: Iterable[Fields], read: Callable[[Fields], T]) -> Rows[T]:
    """What rows say; those that make no sense, by what is known of them."""
    found: Rows[T] = Rows()
    for row in rows:
        try:
            found.append(read(row))
        except ValueError as error:
            found.unread.append(unread(row, str(error)))
    return found


def unread(row: Fields, why: str, raw: object = None) -> Unread:
    """What is known of a row that makes no sense; `raw` is all that there is, where not the row."""
    told = row.get("symbol"), row.get("execId")
    symbol, exec_id = (each if isinstance(each, str) else "" for each in told)
    return Unread(symbol, exec_id, f"{why}: {raw or row!r:.{HEAD}}")


def order(row: Fields) -> VenueOrder:
    return VenueOrder(
        order_id=_named(row, "orderId", _filled_text),
        order_link_id=_word(row, "orderLinkId"),
        symbol=_named(row, "symbol", _filled_text),
        side=_named(row, "side", _side),
        order_type=_named(row, "orderType", _filled_text),
        status=_named(row, "orderStatus", _status),
        quantity=_named(row, "qty", _amount),
        filled_quantity=_named(row, "cumExecQty", _amount),
        price=_level(row, "price"),
        trigger_price=_level(row, "triggerPrice"),
        reduce_only=_named(row, "reduceOnly", _flag),
        made_by=_word(row, "createType"),
        stop_kind=_word(row, "stopOrderType"),
        reason=_word(row, "rejectReason") or _word(row, "cancelType"),
        created_at=_named(row, "createdTime", parse.stamp),
        updated_at=_named(row, "updatedTime", parse.stamp),
    )


def execution(row: Fields) -> VenueExecution:
    """Raises ValueError also for a fee in another coin than the account's."""
    coin = _word(row, "feeCurrency")
    if coin not in ("", COIN):
        raise ValueError(f"feeCurrency is {coin!r:.40}: turn off paying fees in it on Bybit's site")
    return VenueExecution(
        exec_id=_named(row, "execId", _filled_text),
        order_id=_named(row, "orderId", parse.text),
        order_link_id=_word(row, "orderLinkId"),
        symbol=_named(row, "symbol", _filled_text),
        side=_named(row, "side", _side),
        price=_named(row, "execPrice", parse.decimal),
        quantity=_named(row, "execQty", _amount),
        fee=_named(row, "execFee", parse.decimal),
        fee_rate=_optional(row, "feeRate", parse.decimal) or ZERO,
        is_maker=_named(row, "isMaker", _flag),
        exec_type=_named(row, "execType", _filled_text),
        made_by=_word(row, "createType"),
        stop_kind=_word(row, "stopOrderType"),
        ts=_named(row, "execTime", parse.stamp),
    )


def position(row: Fields) -> VenuePosition:
    size = _named(row, "size", _amount)
    sign = _named(row, "side", _side).sign if size else 0
    return VenuePosition(
        symbol=_named(row, "symbol", _filled_text),
        quantity=size * sign,
        average_price=_level(row, "avgPrice" if "avgPrice" in row else "entryPrice"),
        leverage=_level(row, "leverage"),
        stop_loss=_level(row, "stopLoss"),
        take_profit=_level(row, "takeProfit"),
        trailing_stop=_level(row, "trailingStop"),
        liquidation_price=_level(row, "liqPrice"),
        mark_price=_level(row, "markPrice"),
        index=_named(row, "positionIdx", _index),
        is_reduce_only=bool(_optional(row, "isReduceOnly", _flag)),
        updated_at=_optional(row, "updatedTime", parse.stamp) or 0,
    )


def wallet(data: object) -> Wallet | None:
    """The money of a unified account; None where it does not tell of USDT.

    With isolated margin there is no account-wide sum: what is free is what is left of the coin
    (documentation of `availableToWithdraw`). Otherwise it is Bybit's sum over all coins, in USD.
    """
    for account in map(parse.fields, parse.items(data)):
        for coin in map(parse.fields, _named(account, "coin", parse.items)):
            if coin.get("coin") == COIN:
                return Wallet(
                    equity=_named(coin, "equity", parse.decimal),
                    wallet_balance=_named(coin, "walletBalance", parse.decimal),
                    available=_available(account, coin),
                )
    return None


def _available(account: Fields, coin: Fields) -> Decimal:
    whole = _optional(account, "totalAvailableBalance", parse.decimal)
    if whole is not None:
        return whole
    bound = ("totalPositionIM", "totalOrderIM", "locked", "bonus")
    taken = (_optional(coin, name, parse.decimal) or ZERO for name in bound)
    return _named(coin, "walletBalance", parse.decimal) - sum(taken, ZERO)


def key_info(result: Fields) -> KeyInfo:
    groups = _named(result, "permissions", parse.fields)
    return KeyInfo(
        uid=str(_named(result, "userID", _index)),
        read_only=bool(_named(result, "readOnly", _index)),
        permissions=frozenset(
            f"{group}:{name}" for group in groups for name in _named(groups, group, _texts)
        ),
        # A star is what Bybit writes for all addresses.
        ips=tuple(ip for ip in _named(result, "ips", _texts) if ip != "*"),
        expires_at=_optional(result, "expiredAt", _date),
    )


def account_info(result: Fields) -> AccountInfo:
    return AccountInfo(
        margin_mode=_named(result, "marginMode", _filled_text),
        unified=_named(result, "unifiedMarginStatus", _index) != CLASSIC,
    )


# -- fields ------------------------------------------------------------------------------------


def _named(row: Fields, name: str, read: Callable[[object], T]) -> T:
    """A field that must be there; the error says which."""
    try:
        return read(row.get(name))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _optional(row: Fields, name: str, read: Callable[[object], T]) -> T | None:
    return None if row.get(name) in (None, "") else _named(row, name, read)


def _word(row: Fields, name: str) -> str:
    """One of Bybit's words, empty where it says nothing."""
    word = _optional(row, name, parse.text) or ""
    return "" if word in NOTHING else word


def _level(row: Fields, name: str) -> Decimal | None:
    """A price, distance or leverage; Bybit also writes zero where there is none."""
    return _optional(row, name, parse.decimal) or None


def _filled_text(value: object) -> str:
    if not (found := parse.text(value)):
        raise ValueError("is empty")
    return found


def _texts(value: object) -> list[str]:
    return [parse.text(each) for each in _items_or_none(value)]


def _items_or_none(value: object) -> Iterable[object]:
    return () if value in (None, "") else parse.items(value)


def _amount(value: object) -> Decimal:
    found = parse.decimal(value)
    if found < 0:
        raise ValueError(f"{value!r:.200} is below zero")
    return found


def _side(value: object) -> Side:
    if value not in tuple(Side):
        raise ValueError(f"{value!r:.200} is neither Buy nor Sell")
    return Side(str(value))


def _status(value: object) -> VenueStatus:
    if value not in tuple(VenueStatus):
        raise ValueError(f"{value!r:.200} is not a status that is known")
    return VenueStatus(str(value))


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.200} is neither true nor false")
    return value


def _index(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r:.200} is not a whole number")
    return value


def _date(value: object) -> int | None:
    """UTC ms; Bybit writes the beginning of time for never."""
    try:
        found = datetime.fromisoformat(parse.text(value)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{value!r:.200} is not a date") from None
    return max(round(found.timestamp() * 1000), 0) or None
