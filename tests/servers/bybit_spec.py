"""What Bybit's public messages may look like, learned from its documentation and recordings."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

REST = {
    "/v5/market/time": "market.time",
    "/v5/market/kline": "market.kline",
    "/v5/market/instruments-info": "market.instruments-info",
    "/v5/market/tickers": "market.tickers",
    "/v5/market/funding/history": "market.funding-history",
}
RECORDED = {
    "market.kline": "http_get_klines_linear",
    "market.instruments-info": "http_get_instruments_linear",
}
STREAMS = {"kline": "public.kline", "tickers": "public.tickers"}
RECORDED_STREAMS = {"kline": "ws_kline", "tickers": "ws_ticker_linear"}
TOPIC = re.compile(r"(kline\.(\d+|D|W|M)|tickers)\.[A-Z0-9]+")
TOPICS_LENGTH_MAX = 21_000
LIMITS = {
    "market.kline": 1_000,
    "market.instruments-info": 1_000,
    "market.funding-history": 200,
}
OPTIONS = ("inverse", "option", "spot")

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
        self._parameters = {name: self._documented(f"rest/{name}") for name in REST.values()}
        self._answers = {name: self._rest_shape(name) for name in REST.values()}
        self._pushes = {name: self._stream_shape(name) for name in STREAMS}
        self._control = self._control_shape()

    def _read(self, name: str) -> dict:
        return json.loads((self._folder / f"{name}.json").read_text())

    def _documented(self, name: str) -> dict[str, dict]:
        return {entry["name"]: entry for entry in self._read(name)["request_params"]}

    def _rest_shape(self, name: str) -> Shape:
        examples = self._read(f"rest/{name}")["response_examples"]
        messages = [e["json"] for e in examples if not str(e["label"]).lower().startswith(OPTIONS)]
        messages = messages or [example["json"] for example in examples[:1]]
        if recorded := RECORDED.get(name):
            messages.append(self._read(f"nautilus/{recorded}"))
        return _shape(messages)

    def _stream_shape(self, name: str) -> Shape:
        messages = self._read(f"ws/{STREAMS[name]}")["messages"]
        linear = [m["json"] for m in messages if m["label"] in (None, "Linear")]
        return _shape([*linear, self._read(f"nautilus/{RECORDED_STREAMS[name]}")])

    def _control_shape(self) -> Shape:
        frames = self._read("ws/_control")["frames"]
        linear = [f["json"] for f in frames if f["label"] == "Linear/Inverse"]
        acks = ("ws_subscription_ack", "ws_subscription_failure")
        return _shape([*linear, *(self._read(f"nautilus/{ack}") for ack in acks)])

    def check_request(self, path: str, query: dict[str, str]) -> None:
        """Hold a REST query to the documented parameters."""
        name = REST[path]
        documented = self._parameters[name]
        for key, value in query.items():
            if key not in documented:
                self._say(f"{path}: unknown parameter {key}")
            elif documented[key]["type"] == "integer" and not value.isdecimal():
                self._say(f"{path}: {key}={value} is not an integer")
        for key, entry in documented.items():
            if entry["required"] and key not in query:
                self._say(f"{path}: {key} is missing")
        if not 1 <= int(query.get("limit", 1)) <= LIMITS.get(name, 1):
            self._say(f"{path}: limit={query['limit']}")

    def check_answer(self, path: str, body: object) -> None:
        self._hold(path, body, self._answers[REST[path]])

    def check_push(self, message: dict[str, object]) -> None:
        if "op" in message:
            self._hold(f"op {message['op']}", message, self._control)
        else:
            topic = str(message["topic"])
            self._hold(topic, message, self._pushes[topic.partition(".")[0]])

    def check_frame(self, frame: dict[str, object]) -> None:
        """Hold what a client sends to the stream."""
        if frame.keys() - {"req_id", "op", "args"}:
            self._say(f"frame: unknown fields in {frame}")
        if frame.get("op") not in ("ping", "subscribe", "unsubscribe"):
            self._say(f"frame: op {frame.get('op')}")
        topics = frame.get("args", [])
        self.violations += [f"frame: topic {t}" for t in topics if not TOPIC.fullmatch(t)]
        if sum(map(len, topics)) > TOPICS_LENGTH_MAX:
            self._say("frame: topics are too long")

    def _hold(self, what: str, message: object, shape: Shape) -> None:
        for path, kind in leaves(message):
            if kind not in shape.get(path, set()):
                allowed = ", ".join(sorted(shape.get(path, ()))) or "no such field"
                self._say(f"{what}: {path} is a {kind} (allowed: {allowed})")

    def _say(self, text: str) -> None:
        if text not in self.violations:
            self.violations.append(text)


def _shape(messages: list[object]) -> Shape:
    shape: Shape = {}
    for message in messages:
        for path, kind in leaves(message):
            shape.setdefault(path, set()).add(kind)
    return shape
