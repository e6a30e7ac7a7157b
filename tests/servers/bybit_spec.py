"""What Bybit's messages may look like, learned from its documentation and from recordings."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# What each endpoint is called there.
REST = {
    "/v5/market/funding/history": "market.funding-history",
    **{
        f"/v5/{name}": name.replace("/", ".")
        for name in (
            "market/time", "market/kline", "market/instruments-info", "market/tickers",
            "order/create", "order/amend", "order/cancel", "order/cancel-all", "order/realtime",
            "order/history", "execution/list", "position/list", "position/set-leverage",
            "position/switch-mode", "position/trading-stop", "account/wallet-balance",
            "account/info", "account/set-margin-mode", "account/fee-rate",
            "account/transaction-log", "user/query-api",
        )
    },
}  # fmt: skip
RECORDED = {
    "market.kline": ["http_get_klines_linear"],
    "market.instruments-info": ["http_get_instruments_linear"],
    "order.realtime": ["http_get_orders_realtime"],
    "order.history": ["http_get_orders_history"],
    "execution.list": ["http_get_executions"],
    "position.list": ["http_get_positions", "http_get_positions_with_open_time"],
    "account.wallet-balance": ["http_get_wallet_balance"],
    "account.info": ["http_get_account_info"],
    "account.fee-rate": ["http_get_fee_rate"],
}
STREAMS = {
    "kline": "public.kline",
    "tickers": "public.tickers",
    **{topic: f"private.{topic}" for topic in ("order", "execution", "position", "wallet")},
}
RECORDED_STREAMS = {
    "kline": ["ws_kline"],
    "tickers": ["ws_ticker_linear"],
    "order": ["ws_account_order_filled", "ws_account_order_stop_loss"],
    "execution": ["ws_account_execution", "ws_account_execution_adl"],
    "position": ["ws_account_position", "ws_account_position_with_open_time"],
    "wallet": ["ws_account_wallet"],
}
TOPIC = re.compile(r"(kline\.(\d+|D|W|M)|tickers)\.[A-Z0-9]+")
PRIVATE_TOPIC = re.compile(
    r"(order|execution|position)(\.(linear|inverse|option|spot))?|execution\.fast|wallet|greeks|dcp"
)
TOPICS_LENGTH_MAX = 21_000
LIMITS = {
    "market.kline": 1_000,
    "market.instruments-info": 1_000,
    "market.funding-history": 200,
    "order.realtime": 50,
    "order.history": 50,
    "execution.list": 100,
    "position.list": 200,
    "account.transaction-log": 50,
}
OPTIONS = ("inverse", "option", "spot")
ENVELOPE = {"retCode": 0, "retMsg": "OK", "result": {}, "retExtInfo": {}, "time": 1}
# The documentation's words for JSON's types.
TYPES = {
    "string": "string", "datetime": "string", "integer": "number", "long": "number",
    "number": "number", "boolean": "boolean", "array": "array", "list": "array",
    "object": "object", "json": "object",
}  # fmt: skip
# An object whose keys are names of coins.
BY_COIN = re.compile(r"\.cumFeeDetail\.\w+")

Shape = dict[str, set[str]]


def leaves(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every place in a message, as a path without indexes, and the JSON type found there."""
    match value:
        case dict():
            yield path, "object"
            for key, child in value.items():
                yield from leaves(child, f"{path}.{key}")
        case list():
            yield path, "array"
            for child in value:
                yield from leaves(child, f"{path}[]")
        case bool():
            yield path, "boolean"
        case int() | float():
            yield path, "number"
        case str():
            yield path, "string"
        case None:
            yield path, "null"


class Spec:
    """Holds messages to the shapes in `folder`; what does not fit is in `violations`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.violations: list[str] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._parameters = {name: self._documented(name) for name in REST.values()}
        self._answers = {name: self._rest_shape(name) for name in REST.values()}
        self._pushes = {name: self._stream_shape(name) for name in STREAMS}
        self._control = self._control_shape("Linear/Inverse")
        self._private_control = self._control_shape(None, "Private")

    def _read(self, name: str) -> dict:
        return json.loads((self._folder / f"{name}.json").read_text())

    def _documented(self, name: str) -> dict[str, dict]:
        return {entry["name"]: entry for entry in self._read(f"rest/{name}")["request_params"]}

    def _rest_shape(self, name: str) -> Shape:
        file = self._read(f"rest/{name}")
        examples = file["response_examples"]
        messages = [e["json"] for e in examples if not str(e["label"]).lower().startswith(OPTIONS)]
        messages = messages or [example["json"] for example in examples[:1]]
        messages += [self._read(f"nautilus/{name}") for name in RECORDED.get(name, ())]
        told = [] if name.startswith("market") else _fields(file["response_params"], ".result")
        return _shape([ENVELOPE, *messages], told)

    def _stream_shape(self, name: str) -> Shape:
        file = self._read(f"ws/{STREAMS[name]}")
        linear = [m["json"] for m in file["messages"] if m["label"] in (None, "Linear")]
        recorded = [self._read(f"nautilus/{name}") for name in RECORDED_STREAMS[name]]
        told = _fields(file["fields"], "") if STREAMS[name].startswith("private") else []
        return _shape([*linear, *recorded], told)

    def _control_shape(self, *labels: str | None) -> Shape:
        frames = self._read("ws/_control")["frames"]
        documented = [f["json"] for f in frames if f["label"] in labels]
        acks = ("ws_subscription_ack", "ws_subscription_failure")
        return _shape([*documented, *(self._read(f"nautilus/{ack}") for ack in acks)])

    def check_request(self, path: str, query: Mapping[str, object]) -> None:
        """Hold a query, whose values are texts, or a JSON body to the documented parameters."""
        name = REST[path]
        documented = self._parameters[name]
        for key, value in query.items():
            if key not in documented:
                self._say(f"{path}: unknown parameter {key}")
            elif wrong := _mistyped(str(documented[key]["type"]).lower(), value):
                self._say(f"{path}: {key}={value} is not {wrong}")
        for key, entry in documented.items():
            if entry["required"] and key not in query:
                self._say(f"{path}: {key} is missing")
        if not 1 <= int(str(query.get("limit", 1))) <= LIMITS.get(name, 1):
            self._say(f"{path}: limit={query['limit']}")

    def check_answer(self, path: str, body: object) -> None:
        self._hold(path, body, self._answers[REST[path]])

    def check_push(self, message: Mapping[str, object]) -> None:
        if "op" in message:
            self._hold(f"op {message['op']}", message, self._control)
        else:
            topic = str(message["topic"])
            self._hold(topic, message, self._pushes[topic.partition(".")[0]])

    def check_private_control(self, message: Mapping[str, object]) -> None:
        """Hold an answer of the private stream to what the client asked of it."""
        self._hold(f"private op {message['op']}", message, self._private_control)

    def check_frame(self, frame: Mapping[str, object]) -> None:
        """Hold what a client sends to the public stream."""
        self._check_op(frame, ("ping", "subscribe", "unsubscribe"))
        topics = frame.get("args", [])
        self.violations += [f"frame: topic {t}" for t in topics if not TOPIC.fullmatch(t)]
        if sum(map(len, topics)) > TOPICS_LENGTH_MAX:
            self._say("frame: topics are too long")

    def check_private_frame(self, frame: Mapping[str, object]) -> None:
        """Hold what a client sends to the private stream."""
        self._check_op(frame, ("auth", "ping", "subscribe", "unsubscribe"))
        args = frame.get("args", [])
        match frame.get("op"), args:
            case "auth", [str(), int() | str(), str()]:
                pass
            case "auth", _:
                # What is wrong with it is not repeated: it may be a secret.
                self._say("frame: auth takes a key, a time and a signature")
            case "subscribe" | "unsubscribe", _:
                wrong = [t for t in args if not PRIVATE_TOPIC.fullmatch(str(t))]
                self.violations += [f"frame: topic {topic}" for topic in wrong]

    def _check_op(self, frame: Mapping[str, object], ops: tuple[str, ...]) -> None:
        if frame.keys() - {"req_id", "op", "args"}:
            self._say(f"frame: unknown fields in {frame}")
        if frame.get("op") not in ops:
            self._say(f"frame: op {frame.get('op')}")

    def _hold(self, what: str, message: object, shape: Shape) -> None:
        for path, kind in leaves(message):
            if (what, path, kind) in self._seen:
                continue
            place = BY_COIN.sub(".cumFeeDetail.*", path)
            if kind not in shape.get(place, set()):
                allowed = ", ".join(sorted(shape.get(place, ()))) or "no such field"
                self._say(f"{what}: {path} is a {kind} (allowed: {allowed})")
            self._seen.add((what, path, kind))

    def _say(self, text: str) -> None:
        if text not in self.violations:
            self.violations.append(text)


def _mistyped(kind: str, value: object) -> str:
    """What a value should have been, or nothing; in a query all values are texts."""
    match kind, value:
        case "integer", str() if not value.isdecimal():
            return "an integer"
        case "integer", bool() | float() | None:
            return "an integer"
        case "string", _ if not isinstance(value, str):
            return "a string"
        case "boolean", _ if not isinstance(value, bool):
            return "a boolean"
    return ""


def _fields(documented: Iterable[Mapping[str, object]], root: str) -> Iterator[tuple[str, str]]:
    """The places of a table of fields, which is indented by their depth."""
    parents = [root]
    for entry in documented:
        kind = TYPES.get(str(entry["type"]).lower(), "object")
        depth = int(str(entry["depth"]))
        del parents[depth + 1 :]
        path = f"{parents[-1]}.{entry['name']}"
        yield path, kind
        if kind == "array":
            yield f"{path}[]", "object"
        parents.append(f"{path}[]" if kind == "array" else path)


def _shape(messages: Iterable[object], documented: Iterable[tuple[str, str]] = ()) -> Shape:
    """All types found at each place, but for null, which Bybit does not send."""
    shape: Shape = {}
    for message in messages:
        for path, kind in leaves(message):
            if kind != "null":
                shape.setdefault(BY_COIN.sub(".cumFeeDetail.*", path), set()).add(kind)
    for path, kind in documented:
        shape.setdefault(path, set()).add(kind)
    return shape
