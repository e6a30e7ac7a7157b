"""Where orders go: the modes of a desk, the addresses of each, and whose keys a bot trades with."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, SecretStr, field_validator

PAPER, DEMO, TESTNET, LIVE = MODES = ("paper", "demo", "testnet", "live")
# What has to be said before real money is traded.
ACCEPTED = "I-accept-the-risk"

# `SHORTSELLER_BYBIT_API_KEY` is the key of the bot `shortseller_001`, unless another has its name.
DESK_KEY = "BYBIT_API"
_BOT_KEY = re.compile(rf"([A-Z0-9_]+)_{DESK_KEY}_(KEY|SECRET)(_FILE)?")
_NUMBER = re.compile(r"_\d+$")
# Bybit's own names, of every country; what stands before the first dot says which exchange it is.
_BYBIT = re.compile(r"(^|\.)(bybit|bytick)[a-z-]*\.[a-z]{2,3}(\.[a-z]{2})?$")


class Bases(NamedTuple):
    """Addresses of REST and streams: those of prices, and those of the account."""

    rest: str
    ws: str
    private_rest: str
    private_ws: str


_MAINNET = "https://api.bybit.com", "wss://stream.bybit.com"
_TESTNET = "https://api-testnet.bybit.com", "wss://stream-testnet.bybit.com"
# Demo trading has the prices of the real exchange, and no streams of prices.
_DEMO = "https://api-demo.bybit.com", "wss://stream-demo.bybit.com"
_BASES = {
    PAPER: Bases(*_MAINNET, *_MAINNET),
    DEMO: Bases(*_MAINNET, *_DEMO),
    TESTNET: Bases(*_TESTNET, *_TESTNET),
    LIVE: Bases(*_MAINNET, *_MAINNET),
}


def bases(mode: str, rest: str | None, ws: str | None) -> Bases:
    """The addresses of a mode; `rest` and `ws` stand in for its own where they are set."""
    own = _BASES[mode]
    return Bases(rest or own.rest, ws or own.ws, rest or own.private_rest, ws or own.private_ws)


def exchange_of(url: str) -> str | None:
    """The mode whose exchange answers at an address of Bybit's; None for a proxy of one's own."""
    host = urlsplit(url).hostname or ""
    if not _BYBIT.search(host):
        return None
    first = host.split(".")[0]
    return next((mode for mode in (DEMO, TESTNET) if mode in first), LIVE)


def check_exchange(name: str, url: str | None, mode: str) -> None:
    """Raise ValueError where a setting leads to an exchange of Bybit's that is not the mode's."""
    exchange = exchange_of(url) if url else None
    if exchange not in (None, mode):
        raise ValueError(
            f"{name}: {url!r} is Bybit's {exchange} exchange, and MODE is {mode}; allowed: none, "
            "or a proxy of your own"
        )


# -- keys --------------------------------------------------------------------------------


class KeyPair(BaseModel):
    """An API key and its secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: SecretStr
    secret: SecretStr

    @field_validator("key", "secret")
    @classmethod
    def _whole(cls, half: SecretStr) -> SecretStr:
        if not half.get_secret_value() or re.search(r"\s", half.get_secret_value()):
            raise ValueError("allowed: the key or secret as Bybit gave it, without spaces")
        return half


class Trader(Protocol):
    """What of a bot decides with whom it may share an account."""

    @property
    def id(self) -> str: ...

    @property
    def symbols(self) -> Sequence[str]: ...


def key_names(bot_id: str) -> list[str]:
    """What the variables of a bot's own key may begin with; the first that is set wins."""
    name = bot_id.upper()
    return list(dict.fromkeys([name, _NUMBER.sub("", name)]))


def keys_among(
    variables: Mapping[str, str], read: Callable[[str, str], str]
) -> dict[str, dict[str, str]]:
    """The keys of single bots among environment variables: halves by name.

    `read` gives what is in the file that a variable names.
    """
    found: dict[str, dict[str, str]] = {}
    # In this order, what is set itself wins over what stands in a file.
    for variable, text in sorted(variables.items(), reverse=True):
        if text and (parts := _BOT_KEY.fullmatch(variable)):
            name, half, in_file = parts.groups()
            value = read(variable, text) if in_file else text
            found.setdefault(name, {})[half.lower()] = value
    return found


def is_key(variable: str) -> bool:
    """Whether an environment variable is for the key of a single bot."""
    return _BOT_KEY.fullmatch(variable) is not None


def check_keys(
    bots: Sequence[Trader],
    key_of: Callable[[str], KeyPair | None],
    margin_of: Callable[[str], str],
) -> None:
    """Raise ValueError where a bot has no key, or shares with another what they can't share."""
    for bot in bots:
        if key_of(bot.id) is None:
            name = f"{key_names(bot.id)[-1]}_{DESK_KEY}"
            raise ValueError(
                f"bots {bot.id}: has no API key; allowed: {DESK_KEY}_KEY and {DESK_KEY}_SECRET for "
                f"all bots, or {name}_KEY and {name}_SECRET for this one"
            )
    for one, other in combinations(bots, 2):
        first, second = key_of(one.id), key_of(other.id)
        if _key(first) == _key(second):
            _check_shared(one, other, margin_of)
            if first != second:
                raise ValueError(
                    f"bots {one.id} and {other.id}: one API key with two secrets; allowed: the "
                    "secret that Bybit gave with it"
                )


def _key(pair: KeyPair | None) -> SecretStr | None:
    return pair.key if pair else None


def _check_shared(one: Trader, other: Trader, margin_of: Callable[[str], str]) -> None:
    both = ", ".join(sorted({*one.symbols} & {*other.symbols}))
    if both:
        raise ValueError(
            f"bots {one.id} and {other.id}: both trade {both} with one API key, and an account has "
            "one position a symbol; allowed: other symbols, or the key of another subaccount"
        )
    if margin_of(one.id) != margin_of(other.id):
        raise ValueError(
            f"bots {one.id} and {other.id}: their margin is {margin_of(one.id)} and "
            f"{margin_of(other.id)} with one API key; allowed: one margin mode for an account"
        )
