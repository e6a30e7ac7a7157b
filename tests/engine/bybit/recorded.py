"""The messages of an account among the recorded ones: who reads which, and what is left out."""

import json
from fnmatch import fnmatch

from engine.bybit import private_parse

FOLDERS = (
    "specs/bybit/rest",
    "specs/bybit/ws",
    "specs/bybit/nautilus",
    "data/bybit_v5/docs",
    "data/bybit_v5/nautilus",
    "data/bybit_v5/bybit_net",
    "data/bybit_v5/gocryptotrader",
)
ROWS = {
    "order": private_parse.order,
    "execution": private_parse.execution,
    "execution.fast": private_parse.execution,
    "position": private_parse.position,
}
# By file, in the spelling of each collection: what of an account its answers are.
ANSWERS = {
    "order": (
        "order.realtime", "order.history", "http_get_orders_*", "http_get_order_partially*",
        "order__open-order__1", "order__order-list__1", "pre-upgrade__order-list__1",
        "*__GetOrders",
        "*__Trading__GetOrderHistory",
    ),
    "execution": (
        "execution.list", "http_get_executions", "order__execution__1", "pre-upgrade__execution__1",
        "*__GetUserTrades",
    ),
    "position": (
        "position.list", "http_get_positions*", "position__position__1", "*__Trading__GetPositions",
    ),
    "wallet": (
        "account.wallet-balance", "http_get_wallet_balance*", "account__wallet-balance__1",
        "*__Account__GetBalances",
    ),
    "key": ("user.query-api", "http_get_user_query_api", "*__GetApiKeyInfo"),
    "info": (
        "account.info", "http_get_account_info", "account__account-info__1",
        "*__GetMarginAccountInfo",
    ),
}  # fmt: skip
# About something else: acknowledgements, settings, the market, loans, spreads, sub-accounts, money
# in other wallets, and what the documentation shows of requests.
ELSE = (
    "account.*", "market.*", "order.*", "position.*", "system.*", "http_get_*", "http_post_*",
    "account__*", "asset__*", "market__*", "order__*", "position__*", "pre-upgrade__*", "spread__*",
    "public.*", "trade", "_control", "private.dcp", "ws_*", "websocket__*", "wsTicker", "V5Api__*",
    "V5__*",
)  # fmt: skip
STREAMED = frozenset({*ROWS, "wallet"})


def messages(path):
    """All that one file has: a message, lines of them, or the examples of a documented page."""
    text = path.read_text()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    found = json.loads(text)
    if isinstance(found, dict) and "_source" in found:
        examples = [*found.get("response_examples", []), *found.get("messages", [])]
        return [example["json"] for example in examples if isinstance(example.get("json"), dict)]
    return [found]


def kind_of(stem, message):
    """What of an account a message tells, None where it tells of something else.

    Raises ValueError for a file that no list has.
    """
    if isinstance(message, dict) and message.get("topic") in STREAMED:
        return message["topic"]
    for kind, patterns in ANSWERS.items():
        if any(fnmatch(stem, pattern) for pattern in patterns):
            return kind
    if any(fnmatch(stem, pattern) for pattern in (*ELSE, "wsAuth")):
        return None
    raise ValueError(f"{stem} is in no list")


def read(kind, message):
    """The values of a message; raises ValueError naming the field that is wrong."""
    streamed = message.get("topic") is not None
    result = message if streamed else message["result"]
    match kind:
        case "key":
            return [private_parse.key_info(result)]
        case "info":
            return [private_parse.account_info(result)]
        case "wallet":
            return [private_parse.wallet(result["data" if streamed else "list"])]
        case _:
            rows = private_parse.linear(result["data" if streamed else "list"])
            return [ROWS[kind](row) for row in rows]
