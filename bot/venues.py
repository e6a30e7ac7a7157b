"""The accounts at Bybit that a desk trades: one connection for each API key, checked before use."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from random import Random

import structlog

from bot.modes import KeyPair
from bot.settings import Settings
from engine.bot import Bot
from engine.bybit.account import AccountApi, KeyInfo
from engine.bybit.address import Address
from engine.bybit.private import Fence, PrivateRest
from engine.bybit.sign import ApiKey, login
from engine.bybit.stream import Stream, StreamEvent
from engine.desk import Link
from engine.errors import BadSettings, Unreachable
from engine.exchange.bybit import BybitExchange
from engine.exchange.checking import Wanted, open_venue
from engine.exchange.listening import TOPICS
from engine.exchange.owners import bot_of
from engine.exchange.venue import Venue
from engine.ports import Clock, Exchange

PRIVATE_PATH = "/v5/private"
# How soon a Bybit that could not be reached is asked again.
RETRY_S = 5.0
MARGIN_MODES = {"isolated": "ISOLATED_MARGIN", "cross": "REGULAR_MARGIN"}

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Share:
    """The bots that trade with one API key. `name` is the variable that holds it."""

    name: str
    pair: KeyPair
    margin_mode: str
    bots: tuple[Bot, ...]

    @property
    def key(self) -> ApiKey:
        return ApiKey(self.pair.key.get_secret_value(), self.pair.secret.get_secret_value())

    @property
    def symbols(self) -> list[str]:
        return [symbol for bot in self.bots for symbol in bot.symbols]

    def wanted(self, settings: Settings, uids: Mapping[str, str]) -> Wanted:
        """How the account should be; `uids` are those that our books belong to.

        Raises BadSettings where the books of its bots belong to different ones.
        """
        kept = {uids[bot.account]: bot.bot_id for bot in self.bots if bot.account in uids}
        if len(kept) > 1:
            owners = ", ".join(f"{bot_id} to {uid}" for uid, bot_id in kept.items())
            raise BadSettings(
                f"{self.name}: one key, but the books belong to different accounts: {owners}. "
                "Give each bot the key of its account."
            )
        return Wanted(
            margin_mode=self.margin_mode,
            uid=next(iter(kept), ""),
            allow_withdrawal=settings.exchange.allow_withdraw_keys,
            capital=sum((bot.capital for bot in self.bots), Decimal(0)),
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """Where orders go, ready to run. `uids` are the accounts there, `remarks` what people should
    know of them, `key_of` the variable that holds the key of a bot, or nothing, and `links` how
    each account is heard. On paper there is none of these."""

    exchange: Exchange
    uids: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    key_of: Callable[[str], str] | None = None
    links: Mapping[str, Link] = field(default_factory=dict)


def shares(settings: Settings, bots: Iterable[Bot]) -> list[Share]:
    """Who trades with which key. Raises BadSettings for a bot without one."""
    found: dict[str, list[Bot]] = {}
    pairs: dict[str, tuple[str, KeyPair]] = {}
    for bot in bots:
        pair = settings.api_key(bot.bot_id)
        if pair is None:
            raise BadSettings(f"{bot.bot_id} has no API key. Allowed: BYBIT_API_KEY, or its own.")
        secret = pair.key.get_secret_value()
        pairs.setdefault(secret, (f"{settings.key_name(bot.bot_id)}_KEY", pair))
        found.setdefault(secret, []).append(bot)
    return [
        Share(*pairs[each], MARGIN_MODES[settings.margin(members[0].bot_id)], tuple(members))
        for each, members in found.items()
    ]


class Venues:
    """Opens the accounts of a desk at Bybit; `close` lets go of them."""

    def __init__(self, settings: Settings, clock: Clock, address: Address, rng: Random) -> None:
        self._settings = settings
        self._clock = clock
        self._address = address
        self._rng = rng
        self._sessions: list[PrivateRest] = []

    async def open(self, bots: Sequence[Bot], uids: Mapping[str, str], fence: Fence) -> Opened:
        """Connect and check each account; waits until Bybit can be reached.

        `uids` are the exchange accounts that our books belong to, `fence` is asked before each
        order that opens a position. Raises BadSettings with what has to be mended.
        """
        if not bots:
            raise BadSettings(f"No bot can trade in mode {self._settings.mode}: see [[bots]].")
        found = shares(self._settings, bots)
        venues: dict[str, Venue] = {}
        infos: dict[str, KeyInfo] = {}
        remarks: list[str] = []
        for share in found:
            api = self._session(share, fence)
            infos[share.name], said = await self._checked(share, api, uids)
            remarks += [f"{share.name}: {each}" for each in said]
            venues[share.name] = self._venue(share, api)
        check_apart(infos)
        key_of = partial(_key_of, self._settings, found)
        return Opened(
            exchange=BybitExchange(
                list(venues.values()), lambda account: venues[key_of(bot_of(account))]
            ),
            uids=tuple(info.uid for info in infos.values()),
            remarks=(*remarks, *_unused(self._settings, bots)),
            key_of=key_of,
            links={f"bybit {name}": partial(_link, venue) for name, venue in venues.items()},
        )

    def close(self) -> None:
        for each in self._sessions:
            each.close()

    def _session(self, share: Share, fence: Fence) -> PrivateRest:
        base = self._settings.bases.private_rest
        api = PrivateRest(base, share.key, self._clock, self._address, fence=fence)
        self._sessions.append(api)
        return api

    async def _checked(
        self, share: Share, api: AccountApi, uids: Mapping[str, str]
    ) -> tuple[KeyInfo, list[str]]:
        wanted = share.wanted(self._settings, uids)
        while True:
            try:
                info, findings = await open_venue(api, share.symbols, wanted, self._clock.now())
            except Unreachable as error:
                log.warning("the account can't be asked yet", key=share.name, error=str(error))
                await self._clock.sleep(RETRY_S)
            except BadSettings as error:
                raise BadSettings(f"{share.name}: {error}") from None
            else:
                return info, [str(finding) for finding in findings]

    def _venue(self, share: Share, api: PrivateRest) -> Venue:
        url = self._settings.bases.private_ws + PRIVATE_PATH
        enter = login(share.key, lambda: self._clock.now() + api.offset_ms)

        def connect(handle: Callable[[StreamEvent], None]) -> Stream:
            return Stream(url, TOPICS, self._clock, self._rng, handle, login=enter, silence_s=None)

        accounts = {bot.account: bot.symbols for bot in share.bots}
        return Venue(share.name, api, connect, accounts, self._clock)


def _key_of(settings: Settings, found: Sequence[Share], bot_id: str) -> str:
    """The variable of the open key that a bot trades with; empty where none is open."""
    pair = settings.api_key(bot_id)
    return next((share.name for share in found if pair and share.pair.key == pair.key), "")


def _link(venue: Venue) -> tuple[bool, str]:
    """Whether an account is heard, and how, in words."""
    found = venue.health()
    words = [found.down or "heard", f"its clock is {found.offset_ms:+} ms off ours"]
    if found.recovered:
        words.append(f"{found.recovered} fills were told by REST alone")
    if found.foreign:
        words.append(f"somebody trades {', '.join(found.foreign)} there")
    return not found.down, ", ".join(words)


def check_apart(infos: Mapping[str, KeyInfo]) -> None:
    """Raise BadSettings for two keys of one account: their bots would take each other's fills."""
    seen: dict[str, str] = {}
    for name, info in infos.items():
        if (other := seen.setdefault(info.uid, name)) != name:
            raise BadSettings(
                f"{other} and {name} are keys of one account ({info.uid}). Use one key for all its "
                "bots, or one of another subaccount."
            )


def _unused(settings: Settings, bots: Sequence[Bot]) -> list[str]:
    """Keys that no bot trades with, in sentences: a slip of the pen would trade with another."""
    used = {settings.key_name(bot.bot_id) for bot in bots}
    return [
        f"{name}_BYBIT_API_KEY is no bot's, and is not used."
        for name in settings.bot_keys
        if f"{name}_BYBIT_API" not in used
    ]
