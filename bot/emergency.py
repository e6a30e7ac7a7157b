"""The way to flat at Bybit with the keys of the settings, and with nothing else of the desk."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import Random

from bot.modes import KeyPair
from bot.settings import Settings
from engine.bybit.address import Address
from engine.bybit.private import PrivateRest
from engine.bybit.sign import ApiKey
from engine.exchange.bybit_emergency import BybitEmergency, EmergencyAccount
from engine.ports import Clock

# Who signs for what is open on a key that no bot of the settings trades with.
NOBODY = "desk"


@contextmanager
def bybit_emergency(
    settings: Settings,
    bots: Mapping[str, Sequence[str]],
    clock: Clock,
    *,
    are_all: bool = False,
) -> Iterator[BybitEmergency]:
    """The accounts of the keys in the settings, while the context lasts.

    `bots` are the bots, each with its symbols; an account is named by those that trade it. Unless
    they `are_all` there are, the desk's own key is taken too where none of them has it: bots that
    people added may trade with it.
    """
    address = Address(clock)
    with ExitStack() as stack:
        accounts = []
        for pair, traders in _by_key(settings, bots, are_all):
            key = ApiKey(pair.key.get_secret_value(), pair.secret.get_secret_value())
            api = PrivateRest(settings.bases.private_rest, key, clock, address)
            stack.callback(api.close)
            signers = traders or {NOBODY: ()}
            accounts.append(EmergencyAccount(", ".join(signers), api, signers))
        yield BybitEmergency(accounts, clock, Random())


def _by_key(
    settings: Settings, bots: Mapping[str, Sequence[str]], are_all: bool
) -> list[tuple[KeyPair, Mapping[str, Sequence[str]]]]:
    """Each key once, with the bots that trade with it."""
    found: dict[str, tuple[KeyPair, dict[str, Sequence[str]]]] = {}
    for bot_id, symbols in bots.items():
        if (pair := settings.api_key(bot_id)) is not None:
            _, traders = found.setdefault(pair.key.get_secret_value(), (pair, {}))
            traders[bot_id] = symbols
    key, secret = settings.bybit_api_key, settings.bybit_api_secret
    if not are_all and key is not None and secret is not None:
        found.setdefault(key.get_secret_value(), (KeyPair(key=key, secret=secret), {}))
    return list(found.values())
